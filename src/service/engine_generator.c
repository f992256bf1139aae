/* engine_generator.c - requests of a service in the engine's terms. */
#include "service/engine_generator.h"

static cloze_status read_constraint(const struct cz_generate_request *request,
                                    struct cz_constraint *out, struct cloze_error *error)
{
    static const enum cz_grammar_kind kinds[] = {
        [CZ_GENERATE_JSON_SCHEMA] = CZ_GRAMMAR_JSON_SCHEMA,
        [CZ_GENERATE_JSON_OBJECT] = CZ_GRAMMAR_JSON_OBJECT,
        [CZ_GENERATE_REGEX] = CZ_GRAMMAR_REGEX,
        [CZ_GENERATE_CHOICE] = CZ_GRAMMAR_CHOICE};
    if (request->kind == CZ_GENERATE_TYPE)
        return cz_constraint_of_type(request->constraint, out, error);
    *out = (struct cz_constraint){.set = request->kind != CZ_GENERATE_TEXT,
                                  .source = request->constraint};
    if (out->set)
        out->options.kind = kinds[request->kind];
    return CLOZE_OK;
}

/* What the request says goes before what the model's files recommend. */
static void read_sampling(const struct cz_generate_request *request, struct cz_sampling *sampling)
{
    if (request->has_temperature)
        sampling->temperature = request->temperature;
    if (request->has_top_p && request->top_p < 1) /* 0 leaves the likeliest token alone */
        sampling->top_p = request->top_p > 1e-9 ? request->top_p : 1e-9;
    else if (request->has_top_p)
        sampling->top_p = 0; /* not used */
    if (request->has_seed) {
        sampling->has_seed = true;
        sampling->seed = (uint64_t)request->seed;
    }
}

static cloze_status generate(void *context, const struct cz_generate_request *request,
                             struct cz_generate_result *result, struct cloze_error *error)
{
    struct cz_engine *engine = context;
    struct cz_generation *generation = NULL;
    enum cz_finish finish = CZ_FINISH_NONE;
    struct cz_usage usage = {0};
    struct cz_request wanted = {.prompt = request->prompt,
                                .system = request->system,
                                .raw = request->raw,
                                .cancelled = request->cancelled};
    cloze_status status = read_constraint(request, &wanted.constraint, error);
    if (status)
        return status;
    cz_engine_sampling(engine, &wanted.sampling);
    read_sampling(request, &wanted.sampling);
    if (request->has_max_tokens)
        wanted.max_tokens = request->max_tokens < UINT32_MAX ? (uint32_t)request->max_tokens
                                                             : UINT32_MAX;
    status = cz_engine_submit(engine, &wanted, &generation, error);
    if (!status)
        status = cz_generation_finish(generation, &result->text, &finish, error);
    if (generation)
        cz_generation_usage(generation, &usage);
    result->finish_reason = cz_finish_name(finish);
    result->prompt_tokens = usage.prompt_tokens;
    result->completion_tokens = usage.completion_tokens;
    result->first_token_ns = usage.first_token_ns;
    result->total_ns = usage.total_ns;
    cz_generation_close(generation);
    return status;
}

struct cz_generator cz_engine_generator(struct cz_engine *engine)
{
    return (struct cz_generator){.context = engine, .generate = generate};
}
