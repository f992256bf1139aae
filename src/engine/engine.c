/* engine.c - opening a model as an engine, and what can be asked of it. */
#include "engine/engine_private.h"

#include "base/log.h"

#include <math.h>
#include <stdlib.h>

/* The tokenizer's own encoding of plain text that goes on with an answer, for canonical runs. It
 * runs on the engine's thread and allocates only when the capacity is too small. */
static size_t encode_plain(void *context, struct cz_slice text, uint32_t *ids, size_t capacity)
{
    static const struct cz_encode_options options = {.continues = true};
    const struct cz_engine *engine = context;
    struct cz_ids list = {.ids = ids, .capacity = capacity, .fixed = true}, longer = {0};
    if (cz_tokenizer_encode(engine->tokenizer, text, &options, &list, NULL) == CLOZE_OK)
        return list.count;
    if (!list.failed || cz_tokenizer_encode(engine->tokenizer, text, &options, &longer, NULL))
        longer.count = 0;
    size_t count = longer.count;
    if (count)
        memcpy(ids, longer.ids, (count < capacity ? count : capacity) * sizeof *ids);
    cz_ids_free(&longer);
    return count;
}

static bool is_stop(const struct cz_model *model, uint32_t id)
{
    for (size_t i = 0; i < model->stop_count; i++) {
        if (model->stop_ids[i] == id)
            return true;
    }
    return false;
}

static cloze_status open_vocab(struct cz_engine *engine, struct cloze_error *error)
{
    const struct cz_model *model = engine->model;
    struct cz_slice *tokens = calloc(engine->token_count + 1, sizeof *tokens);
    if (!tokens)
        return cz_fail_memory(error, "vocabulary");
    for (uint32_t i = 0; i < engine->token_count; i++) {
        if (!is_stop(model, i))
            tokens[i] = cz_tokenizer_bytes(engine->tokenizer, i);
        if (tokens[i].size > engine->largest_token)
            engine->largest_token = tokens[i].size;
    }
    struct cz_vocab_options options = {
        .count = engine->token_count,
        .logits_width = engine->backend.vocab,
        .tokens = tokens,
        .end_ids = model->stop_ids,
        .end_count = model->stop_count,
        .encode = encode_plain,
        .encode_context = engine,
    };
    cloze_status status = cz_vocab_create(&options, &engine->vocab, error);
    free(tokens);
    return status;
}

/* A template that we can't run is no reason not to serve raw prompts: it is reported when used. */
static void open_template(struct cz_engine *engine)
{
    struct cz_slice source = engine->model->chat_template;
    if (source.size && cz_template_compile(source, &engine->template, &engine->template_error)) {
        cz_error_at(&engine->template_error, "chat template");
        cz_log_error(CZ_LOG_WARNING, "the chat template can't be used", &engine->template_error);
    }
}

static cloze_status open_scheduler(struct cz_engine *engine, struct cz_backend *backend,
                                   const struct cz_engine_options *options, uint32_t kv_blocks,
                                   struct cloze_error *error)
{
    struct cz_scheduler_options details = {
        .max_sequences = options->max_sequences ? options->max_sequences : CZ_ENGINE_SEQUENCES,
        .max_queue = options->max_queue ? options->max_queue : CZ_ENGINE_QUEUE,
        .max_rows = CZ_ENGINE_STEP_ROWS,
        .kv_blocks = kv_blocks,
        .no_prefix_sharing = options->no_prefix_sharing,
        .stop_ids = engine->model->stop_ids,
        .stop_count = engine->model->stop_count,
        .token_count = engine->token_count,
        .tokenizer = engine->tokenizer,
    };
    return cz_scheduler_create(backend, &details, &engine->scheduler, error);
}

static cloze_status open_backend(struct cz_engine *engine, const char *source,
                                 const struct cz_engine_options *options, struct cloze_error *error)
{
    uint64_t positions = options->kv_positions ? options->kv_positions : CZ_ENGINE_KV_POSITIONS;
    if (positions > CZ_ENGINE_LARGEST_KV)
        return cz_fail(error, CLOZE_LIMIT, "kv_positions",
                       "the KV cache holds at most 2^28 tokens");
    uint32_t blocks = cz_sequence_blocks((uint32_t)positions);
    struct cz_backend_options details = {
        .threads = options->threads,
        .max_rows = CZ_ENGINE_STEP_ROWS,
        .max_logits = cz_scheduler_logits(options->max_sequences ? options->max_sequences
                                                                 : CZ_ENGINE_SEQUENCES),
        .kv_blocks = blocks,
        .kv_bytes = options->kv_bytes,
        .kv_type = options->kv_type,
        .quantize = options->quantize,
    };
    struct cz_backend *backend;
    cloze_status status =
        cz_cpu_backend_open(source, options->cache_folder, &details, &backend, error);
    if (status)
        return status;
    backend->functions->info(backend, &engine->backend);
    blocks = engine->backend.kv_blocks;
    engine->kv_positions = (uint64_t)blocks * CZ_KV_BLOCK;
    uint32_t tokens = cz_tokenizer_count(engine->tokenizer);
    engine->token_count = tokens < engine->backend.vocab ? tokens : engine->backend.vocab;
    status = open_vocab(engine, error);
    if (!status)
        status = open_scheduler(engine, backend, options, blocks, error);
    if (status)
        backend->functions->close(backend);
    return status;
}

static cloze_status open_parts(struct cz_engine *engine, const char *source,
                               const struct cz_engine_options *options, struct cloze_error *error)
{
    cloze_status status = cz_model_open(source, &engine->model, error);
    if (status)
        return status;
    if (!engine->model->tokenizer)
        return cz_fail(error, CLOZE_NOT_FOUND, source,
                       "holds no tokenizer (tokenizer.json, tokenizer.model or GGUF keys)");
    status = cz_tokenizer_create(engine->model->tokenizer, &engine->tokenizer, error);
    if (status)
        return status;
    open_template(engine);
    return open_backend(engine, source, options, error);
}

cloze_status cz_engine_open(const char *source, const struct cz_engine_options *options,
                            struct cz_engine **out, struct cloze_error *error)
{
    struct cz_engine *engine = calloc(1, sizeof *engine);
    *out = NULL;
    if (!engine)
        return cz_fail_memory(error, source);
    cloze_status status = open_parts(engine, source, options, error);
    if (status)
        cz_engine_close(engine);
    else
        *out = engine;
    return status;
}

void cz_engine_close(struct cz_engine *engine)
{
    if (!engine)
        return;
    cz_scheduler_free(engine->scheduler);
    if (engine->vocab)
        cz_vocab_release(engine->vocab);
    cz_template_free(engine->template);
    cz_tokenizer_free(engine->tokenizer);
    cz_model_close(engine->model);
    free(engine);
}

void cz_engine_info(const struct cz_engine *engine, struct cz_engine_info *info)
{
    *info = (struct cz_engine_info){
        .name = engine->model->name,
        .architecture = engine->model->hyper.architecture,
        .backend = engine->backend,
        .has_chat_template = engine->template != NULL,
        .kv_positions = engine->kv_positions,
    };
}

static double or_zero(double value)
{
    return isnan(value) ? 0 : value;
}

/* As in transformers, nothing is drawn unless do_sample says so; GGUF files have no such key, there
 * a temperature says it. */
void cz_engine_sampling(const struct cz_engine *engine, struct cz_sampling *sampling)
{
    const struct cz_generation_defaults *defaults = &engine->model->defaults;
    bool gguf = strcmp(engine->model->format, "gguf") == 0;
    bool draws =
        defaults->has_do_sample ? defaults->do_sample : gguf && !isnan(defaults->temperature);
    *sampling = (struct cz_sampling){
        .top_k = defaults->top_k,
        .top_p = or_zero(defaults->top_p),
        .min_p = or_zero(defaults->min_p),
        .repetition_penalty = or_zero(defaults->repetition_penalty),
    };
    if (draws)
        sampling->temperature = isnan(defaults->temperature) ? 1 : defaults->temperature;
}

void cz_engine_stats(struct cz_engine *engine, struct cz_engine_stats *stats)
{
    cz_scheduler_stats(engine->scheduler, stats);
}

const struct cz_tokenizer *cz_engine_tokenizer(const struct cz_engine *engine)
{
    return engine->tokenizer;
}

struct cz_vocab *cz_engine_vocab(const struct cz_engine *engine)
{
    return engine->vocab;
}
