/* public.c - section 3 of cloze.h: the engine for other programs. */
#include "base/clock.h"
#include "base/file.h"
#include "engine/engine.h"

#include <stdlib.h>

struct cloze_engine {
    struct cz_engine *engine;
};

struct cloze_answer {
    struct cz_generation *generation;
    struct cz_buffer text; /* all that was read */
    size_t shown;
    enum cz_finish finish;
};

/* ---- The engine ---- */

static cloze_status default_cache(struct cz_buffer *path, struct cloze_error *error)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && cache[0] == '/')
        cz_buffer_printf(path, "%s/cloze", cache);
    else if (home && home[0])
        cz_buffer_printf(path, "%s/.cache/cloze", home);
    else
        return cz_fail(error, CLOZE_INVALID, "cache_folder",
                       "must be given where neither XDG_CACHE_HOME nor HOME is set");
    return cz_buffer_status(path, "cache_folder", error);
}

cloze_status cloze_engine_open(const char *model, const struct cloze_engine_options *options,
                               struct cloze_engine **out, struct cloze_error *error)
{
    static const struct cloze_engine_options defaults;
    const struct cloze_engine_options *chosen = options ? options : &defaults;
    struct cz_buffer cache = {0};
    struct cloze_engine *engine = calloc(1, sizeof *engine);
    *out = NULL;
    if (!engine)
        return cz_fail_memory(error, model);
    struct cz_engine_options details = {.cache_folder = chosen->cache_folder,
                                        .threads = chosen->threads,
                                        .kv_positions = chosen->kv_tokens,
                                        .max_sequences = chosen->max_requests};
    cloze_status status = details.cache_folder ? CLOZE_OK : default_cache(&cache, error);
    if (!details.cache_folder)
        details.cache_folder = cz_buffer_text(&cache);
    if (!status)
        status = cz_file_make_folders(details.cache_folder, error);
    if (!status)
        status = cz_engine_open(model, &details, &engine->engine, error);
    cz_buffer_free(&cache);
    if (status)
        free(engine);
    else
        *out = engine;
    return status;
}

void cloze_engine_close(struct cloze_engine *engine)
{
    if (!engine)
        return;
    cz_engine_close(engine->engine);
    free(engine);
}

/* ---- Requests ---- */

static cloze_status read_constraint(const struct cloze_request *request, struct cz_constraint *out,
                                    struct cloze_error *error)
{
    const struct {
        const char *text;
        enum cz_grammar_kind kind;
    } texts[] = {{request->json_schema, CZ_GRAMMAR_JSON_SCHEMA},
                 {request->json_object ? "" : NULL, CZ_GRAMMAR_JSON_OBJECT},
                 {request->regex, CZ_GRAMMAR_REGEX},
                 {request->choices, CZ_GRAMMAR_CHOICE}};
    unsigned given = request->type != NULL;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!texts[i].text)
            continue;
        given++;
        *out = (struct cz_constraint){
            .set = true, .options.kind = texts[i].kind, .source = cz_slice(texts[i].text)};
    }
    if (given > 1)
        return cz_fail(error, CLOZE_INVALID, "request",
                       "json_schema, json_object, regex, choices and type exclude each other");
    return request->type ? cz_constraint_of_type(cz_slice(request->type), out, error) : CLOZE_OK;
}

static void read_sampling(const struct cz_engine *engine, const struct cloze_request *request,
                          struct cz_sampling *sampling)
{
    cz_engine_sampling(engine, sampling);
    if (request->own_sampling)
        *sampling = (struct cz_sampling){.temperature = request->temperature,
                                         .top_p = request->top_p,
                                         .min_p = request->min_p,
                                         .top_k = request->top_k,
                                         .repetition_penalty = request->repetition_penalty};
    sampling->has_seed = request->has_seed;
    sampling->seed = request->seed;
}

static cloze_status read_stops(const struct cloze_request *request, struct cz_slice *stops,
                               size_t *count, struct cloze_error *error)
{
    for (*count = 0; request->stops && request->stops[*count]; (*count)++) {
        if (*count == CZ_ENGINE_MAX_STOPS)
            return cz_fail(error, CLOZE_LIMIT, "stops", "at most %d stop strings",
                           CZ_ENGINE_MAX_STOPS);
        stops[*count] = cz_slice(request->stops[*count]);
    }
    return CLOZE_OK;
}

cloze_status cloze_engine_ask(struct cloze_engine *engine, const struct cloze_request *request,
                              struct cloze_answer **out, struct cloze_error *error)
{
    struct cz_slice stops[CZ_ENGINE_MAX_STOPS];
    struct cz_request wanted = {.prompt = cz_slice(request->prompt),
                                .system = cz_slice(request->system),
                                .raw = request->raw,
                                .max_tokens = request->max_tokens,
                                .stops = stops};
    *out = NULL;
    if (!request->prompt)
        return cz_fail(error, CLOZE_INVALID, "prompt", "is missing");
    if (request->timeout_ms)
        wanted.deadline_ns = cz_clock_ns() + (uint64_t)request->timeout_ms * 1000000u;
    read_sampling(engine->engine, request, &wanted.sampling);
    cloze_status status = read_constraint(request, &wanted.constraint, error);
    if (!status)
        status = read_stops(request, stops, &wanted.stop_count, error);
    if (status)
        return status;
    struct cloze_answer *answer = calloc(1, sizeof *answer);
    if (!answer)
        return cz_fail_memory(error, "answer");
    status = cz_engine_submit(engine->engine, &wanted, &answer->generation, error);
    if (status)
        free(answer);
    else
        *out = answer;
    return status;
}

/* ---- Answers ---- */

const char *cloze_answer_next(struct cloze_answer *answer)
{
    struct cz_delta delta;
    if (answer->finish || !cz_generation_next(answer->generation, &delta))
        return NULL;
    answer->finish = delta.finish;
    answer->shown = answer->text.size;
    cz_buffer_append_slice(&answer->text, delta.text);
    if (answer->text.failed || (delta.finish && !delta.text.size))
        return NULL;
    return answer->text.data + answer->shown;
}

cloze_status cloze_answer_status(const struct cloze_answer *answer, struct cloze_error *error)
{
    cloze_status status = cz_generation_status(answer->generation, error);
    return status ? status : cz_buffer_status(&answer->text, "answer", error);
}

const char *cloze_answer_text(struct cloze_answer *answer)
{
    while (!answer->finish && !answer->text.failed)
        cloze_answer_next(answer);
    return cloze_answer_status(answer, NULL) ? NULL : cz_buffer_text(&answer->text);
}

const char *cloze_answer_finish_reason(const struct cloze_answer *answer)
{
    return cz_finish_name(answer->finish);
}

void cloze_answer_usage(const struct cloze_answer *answer, unsigned *prompt_tokens,
                        unsigned *answer_tokens)
{
    struct cz_usage usage;
    cz_generation_usage(answer->generation, &usage);
    *prompt_tokens = usage.prompt_tokens;
    *answer_tokens = usage.completion_tokens;
}

void cloze_answer_cancel(struct cloze_answer *answer)
{
    cz_generation_cancel(answer->generation);
}

void cloze_answer_close(struct cloze_answer *answer)
{
    if (!answer)
        return;
    cz_generation_close(answer->generation);
    cz_buffer_free(&answer->text);
    free(answer);
}
