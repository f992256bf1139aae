/*
 * gguf_model.c - a model from GGUF: shards, the keys of its architecture, its tensors.
 *
 * A model of several files is named by its first, ...-00001-of-0000N.gguf, which alone carries the
 * hyper-parameters and the tokenizer; the others hold tensors only.
 */
#include "model/source.h"
#include "model/tokenizer_source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct loader {
    struct cz_model_files *files;
    struct cz_gguf *ggufs; /* [count], in the arena */
    size_t count;
    const struct cz_architecture *architecture;
    struct cz_source source;
    struct cloze_error *error;
};

/* ---- Keys below "{architecture}." ---- */

static const char *full_key(const struct loader *loader, const char *key, char buffer[128])
{
    snprintf(buffer, 128, "%s.%s", loader->architecture->gguf, key);
    return buffer;
}

static cloze_status get_u32(const struct loader *loader, const char *key, uint32_t *out)
{
    char buffer[128];
    return cz_gguf_get_u32(loader->ggufs, full_key(loader, key, buffer), out, loader->error);
}

static cloze_status get_double(const struct loader *loader, const char *key, double *out)
{
    char buffer[128];
    return cz_gguf_get_double(loader->ggufs, full_key(loader, key, buffer), out, loader->error);
}

/* A number, or an array with one number per layer that must all be equal. */
static cloze_status get_uniform(const struct loader *loader, const char *key, uint32_t *out)
{
    char buffer[128];
    const struct cz_gguf_value *value = cz_gguf_find(loader->ggufs, full_key(loader, key, buffer));
    if (!value || value->type != CZ_GGUF_ARRAY)
        return get_u32(loader, key, out);
    cloze_status status =
        cz_gguf_get_array(loader->ggufs, buffer, CZ_GGUF_I64, &value, loader->error);
    if (status)
        return status;
    for (uint64_t i = 1; i < value->count; i++) {
        if (cz_gguf_int_at(value, i) != cz_gguf_int_at(value, 0))
            return cz_fail(loader->error, CLOZE_UNSUPPORTED, loader->source.path,
                           "key %s differs between layers, which Cloze doesn't run", buffer);
    }
    int64_t number = value->count ? cz_gguf_int_at(value, 0) : -1;
    if (number < 0 || number > UINT32_MAX)
        return cz_fail(loader->error, CLOZE_CORRUPT, loader->source.path,
                       "key %s is empty or out of range", buffer);
    *out = (uint32_t)number;
    return CLOZE_OK;
}

static cloze_status find_architecture(struct loader *loader)
{
    struct cz_slice name = {0};
    cloze_status status =
        cz_gguf_get_string(loader->ggufs, "general.architecture", &name, loader->error);
    if (status)
        return status;
    loader->architecture = cz_architecture_find(CZ_NAMING_GGUF, name);
    if (!loader->architecture)
        return cz_fail(loader->error, CLOZE_UNSUPPORTED, loader->source.path,
                       "architecture '" CZ_SLICE_FORMAT "' isn't supported; Cloze runs %s",
                       CZ_SLICE_ARG(name), cz_architecture_names(CZ_NAMING_GGUF));
    return CLOZE_OK;
}

/* Keys whose mere presence (other than 0) means an architecture that we don't run. */
static cloze_status refuse_variants(const struct loader *loader)
{
    static const struct {
        const char *key, *feature;
    } variants[] = {
        {"expert_count", "a mixture of experts"},
        {"vision.block_count", "a vision encoder"},
        {"pooling_type", "an embedding model"},
        {"altup.num_inputs", "AltUp"},
    };
    struct cz_slice type = {0};
    cloze_status status = cz_gguf_get_string(loader->ggufs, "general.type", &type, loader->error);
    if (!status && type.size && !cz_slice_is(type, "model"))
        return cz_fail(loader->error, CLOZE_UNSUPPORTED, loader->source.path,
                       "holds a '" CZ_SLICE_FORMAT "' (general.type), not a whole model",
                       CZ_SLICE_ARG(type));
    for (size_t i = 0; !status && i < sizeof variants / sizeof *variants; i++) {
        uint32_t count = 0;
        status = get_u32(loader, variants[i].key, &count);
        if (!status && count)
            return cz_fail(loader->error, CLOZE_UNSUPPORTED, loader->source.path,
                           "the model is or has %s (key %s), which Cloze doesn't run",
                           variants[i].feature, variants[i].key);
    }
    return status;
}

/* ---- RoPE ---- */

static cloze_status read_rope_type(const struct loader *loader, struct cz_rope *rope)
{
    static const struct {
        const char *name;
        enum cz_rope_type type;
    } types[] = {{"none", CZ_ROPE_DEFAULT},
                 {"linear", CZ_ROPE_LINEAR},
                 {"yarn", CZ_ROPE_YARN},
                 {"longrope", CZ_ROPE_LONGROPE}};
    char key[128];
    struct cz_slice name = CZ_SLICE("none");
    cloze_status status = cz_gguf_get_string(
        loader->ggufs, full_key(loader, "rope.scaling.type", key), &name, loader->error);
    for (size_t i = 0; i < sizeof types / sizeof *types && !status; i++) {
        if (cz_slice_is(name, types[i].name)) {
            rope->type = types[i].type;
            return CLOZE_OK;
        }
    }
    return status ? status
                  : cz_fail(loader->error, CLOZE_UNSUPPORTED, loader->source.path,
                            "RoPE scaling '" CZ_SLICE_FORMAT "' isn't supported (none, linear, "
                            "yarn and longrope are)",
                            CZ_SLICE_ARG(name));
}

static cloze_status read_rope(const struct loader *loader, struct cz_hyperparameters *hyper)
{
    struct cz_rope *rope = &hyper->rope;
    *rope = (struct cz_rope){.theta = 10000,
                             .factor = 1,
                             .beta_fast = 32,
                             .beta_slow = 1,
                             .attention_factor = 1,
                             .original_context = hyper->context,
                             .dims = hyper->head_dim};
    double attn_factor = 1;
    cloze_status status = read_rope_type(loader, rope);
    const struct {
        const char *key;
        double *out;
    } numbers[] = {{"rope.freq_base", &rope->theta},
                   {"rope.scale_linear", &rope->factor},
                   {"rope.scaling.factor", &rope->factor},
                   {"rope.scaling.attn_factor", &attn_factor},
                   {"rope.scaling.yarn_beta_fast", &rope->beta_fast},
                   {"rope.scaling.yarn_beta_slow", &rope->beta_slow}};
    for (size_t i = 0; !status && i < sizeof numbers / sizeof *numbers; i++)
        status = get_double(loader, numbers[i].key, numbers[i].out);
    if (!status)
        status = get_u32(loader, "rope.dimension_count", &rope->dims);
    if (!status)
        status = get_u32(loader, "rope.scaling.original_context_length", &rope->original_context);
    if (rope->type == CZ_ROPE_DEFAULT && rope->factor != 1)
        rope->type = CZ_ROPE_LINEAR; /* the old scale_linear */
    if (rope->type == CZ_ROPE_YARN && rope->factor > 1)
        attn_factor *= 1 + 0.1 * log(rope->factor);
    rope->attention_factor = attn_factor;
    return status;
}

/* Phi-3's factors are tensors: copied, because a file promises no alignment for floats. */
static cloze_status read_factors(const struct loader *loader, const char *name,
                                 const struct cz_rope *rope, const float **out)
{
    struct cz_source_tensor *found = cz_source_find(&loader->source, name);
    if (!found || found->tensor.dtype != CZ_F32 || found->tensor.rank != 1 ||
        found->tensor.shape[0] != rope->dims / 2)
        return cz_fail(loader->error, CLOZE_CORRUPT, loader->source.path,
                       "longrope needs tensor %s, F32, with %u numbers", name, rope->dims / 2);
    float *factors = CZ_ARENA_ARRAY(&loader->files->arena, float, rope->dims / 2);
    if (!factors)
        return cz_fail_memory(loader->error, loader->source.path);
    memcpy(factors, found->tensor.data, found->tensor.size);
    found->used = true;
    *out = factors;
    return CLOZE_OK;
}

static cloze_status read_longrope(const struct loader *loader, struct cz_rope *rope)
{
    bool has_factors = cz_source_find(&loader->source, "rope_factors_long.weight") != NULL;
    if (rope->type == CZ_ROPE_DEFAULT && has_factors)
        rope->type = CZ_ROPE_LONGROPE; /* Phi-3 files name no type */
    if (rope->type != CZ_ROPE_LONGROPE)
        return CLOZE_OK;
    cloze_status status =
        read_factors(loader, "rope_factors_long.weight", rope, &rope->long_factors);
    return status ? status
                  : read_factors(loader, "rope_factors_short.weight", rope, &rope->short_factors);
}

/* ---- Layers that differ ---- */

/* 1 in every layer but each `period`-th. */
static cloze_status all_but_each(const struct loader *loader, uint32_t layers, uint32_t period,
                                 const uint8_t **out)
{
    uint8_t *flags = CZ_ARENA_ARRAY(&loader->files->arena, uint8_t, layers);
    if (!flags)
        return cz_fail_memory(loader->error, loader->source.path);
    for (uint32_t i = 0; i < layers; i++)
        flags[i] = (i + 1) % period != 0;
    *out = flags;
    return CLOZE_OK;
}

/* The pattern key is a period or one boolean (or number) a layer; Gemma 3's default period is 6. */
static cloze_status read_window_pattern(const struct loader *loader,
                                        struct cz_hyperparameters *hyper)
{
    char key[128];
    const struct cz_gguf_value *value =
        cz_gguf_find(loader->ggufs, full_key(loader, "attention.sliding_window_pattern", key));
    if (!value || value->type != CZ_GGUF_ARRAY) {
        uint32_t period = hyper->has_local_rope ? 6 : 0;
        cloze_status status = get_u32(loader, "attention.sliding_window_pattern", &period);
        return status || !period
                   ? status
                   : all_but_each(loader, hyper->layers, period, &hyper->layer_is_local);
    }
    if (value->count != hyper->layers || value->element == CZ_GGUF_STRING ||
        value->element == CZ_GGUF_F32 || value->element == CZ_GGUF_F64)
        return cz_fail(loader->error, CLOZE_CORRUPT, loader->source.path,
                       "key %s doesn't hold one flag for each of %u layers", key, hyper->layers);
    uint8_t *flags = CZ_ARENA_ARRAY(&loader->files->arena, uint8_t, hyper->layers);
    if (!flags)
        return cz_fail_memory(loader->error, loader->source.path);
    for (uint32_t i = 0; i < hyper->layers; i++)
        flags[i] = cz_gguf_int_at(value, i) != 0;
    hyper->layer_is_local = flags;
    return CLOZE_OK;
}

/* Gemma 3 has no keys for what is the same in all its sizes; 27B (62 layers) scales by hidden per
 * head, the others by the head's size. */
static cloze_status read_gemma(const struct loader *loader, struct cz_hyperparameters *hyper)
{
    hyper->embedding_scale = sqrt((double)hyper->hidden);
    if (hyper->layers == 62 && hyper->heads)
        hyper->attention_scale = 1 / sqrt((double)hyper->hidden / hyper->heads);
    hyper->has_local_rope = true;
    hyper->local_rope = (struct cz_rope){.theta = 10000,
                                         .factor = 1,
                                         .attention_factor = 1,
                                         .original_context = hyper->context,
                                         .dims = hyper->rope.dims};
    return get_double(loader, "rope.freq_base_swa", &hyper->local_rope.theta);
}

/* ---- Hyper-parameters ---- */

static cloze_status read_sizes(const struct loader *loader, struct cz_hyperparameters *hyper)
{
    const struct {
        const char *key;
        uint32_t *out;
    } numbers[] = {{"block_count", &hyper->layers},
                   {"embedding_length", &hyper->hidden},
                   {"feed_forward_length", &hyper->intermediate},
                   {"attention.head_count", &hyper->heads},
                   {"attention.head_count_kv", &hyper->kv_heads},
                   {"context_length", &hyper->context},
                   {"attention.sliding_window", &hyper->sliding_window}};
    cloze_status status = CLOZE_OK;
    for (size_t i = 0; !status && i < sizeof numbers / sizeof *numbers; i++) {
        status = get_uniform(loader, numbers[i].key, numbers[i].out);
        if (i == 3)
            hyper->kv_heads = hyper->heads; /* unless the next key says otherwise */
    }
    if (status)
        return status;
    uint32_t value_length;
    hyper->head_dim = hyper->heads ? hyper->hidden / hyper->heads : 0;
    status = get_u32(loader, "attention.key_length", &hyper->head_dim);
    value_length = hyper->head_dim;
    if (!status)
        status = get_u32(loader, "attention.value_length", &value_length);
    if (!status && value_length != hyper->head_dim)
        return cz_fail(loader->error, CLOZE_UNSUPPORTED, loader->source.path,
                       "keys of %u and values of %u dimensions differ, which Cloze doesn't run",
                       hyper->head_dim, value_length);
    return status;
}

static cloze_status read_scales(const struct loader *loader, struct cz_hyperparameters *hyper)
{
    hyper->norm_epsilon = -1; /* must be given */
    hyper->embedding_scale = 1;
    hyper->attention_scale = hyper->head_dim ? 1 / sqrt((double)hyper->head_dim) : 0;
    cloze_status status = CLOZE_OK;
    if (cz_slice_is(cz_slice(hyper->architecture), "gemma3_text"))
        status = read_gemma(loader, hyper);
    const struct {
        const char *key;
        double *out;
    } numbers[] = {{"attention.layer_norm_rms_epsilon", &hyper->norm_epsilon},
                   {"attention.scale", &hyper->attention_scale},
                   {"embedding_scale", &hyper->embedding_scale},
                   {"attn_logit_softcapping", &hyper->attention_softcap},
                   {"final_logit_softcapping", &hyper->final_softcap}};
    for (size_t i = 0; !status && i < sizeof numbers / sizeof *numbers; i++)
        status = get_double(loader, numbers[i].key, numbers[i].out);
    return status;
}

static cloze_status read_hyper(const struct loader *loader)
{
    struct cz_hyperparameters *hyper = &loader->files->model.hyper;
    const struct cz_architecture *architecture = loader->architecture;
    snprintf(hyper->architecture, sizeof hyper->architecture, "%s", architecture->name);
    hyper->activation = architecture->activation;
    hyper->qk_interleaved = architecture->interleaved_in_gguf;
    struct cz_source_tensor *embedding = cz_source_find(&loader->source, "token_embd.weight");
    uint64_t rows = embedding ? embedding->tensor.shape[0] : 0;
    hyper->vocab = rows <= UINT32_MAX ? (uint32_t)rows : UINT32_MAX;
    cloze_status status = read_sizes(loader, hyper);
    if (!status)
        status = read_rope(loader, hyper);
    if (!status)
        status = read_longrope(loader, &hyper->rope);
    if (!status)
        status = read_scales(loader, hyper);
    if (!status)
        status = cz_hyper_check(hyper, loader->source.path, loader->error);
    if (!status && hyper->sliding_window)
        status = read_window_pattern(loader, hyper);
    if (!status && strcmp(hyper->architecture, "smollm3") == 0)
        status = all_but_each(loader, hyper->layers, 4, &hyper->layer_has_rope);
    return status;
}

/* ---- What isn't arithmetic ---- */

static cloze_status read_defaults(const struct loader *loader)
{
    struct cz_generation_defaults *defaults = &loader->files->model.defaults;
    const struct {
        const char *key;
        double *out;
    } numbers[] = {{"general.sampling.temp", &defaults->temperature},
                   {"general.sampling.top_p", &defaults->top_p},
                   {"general.sampling.min_p", &defaults->min_p},
                   {"general.sampling.penalty_repeat", &defaults->repetition_penalty}};
    cloze_status status = CLOZE_OK;
    for (size_t i = 0; !status && i < sizeof numbers / sizeof *numbers; i++)
        status = cz_gguf_get_double(loader->ggufs, numbers[i].key, numbers[i].out, loader->error);
    return status ? status
                  : cz_gguf_get_u32(loader->ggufs, "general.sampling.top_k", &defaults->top_k,
                                    loader->error);
}

static cloze_status read_name(const struct loader *loader)
{
    struct cz_slice name = {0};
    cloze_status status = cz_gguf_get_string(loader->ggufs, "general.name", &name, loader->error);
    if (status || !name.size)
        return status;
    loader->files->model.name = cz_arena_text(&loader->files->arena, name);
    return loader->files->model.name ? CLOZE_OK
                                     : cz_fail_memory(loader->error, loader->source.path);
}

/* ---- Files ---- */

/* Whether the name ends in -00001-of-0000N.gguf; *prefix is what stands before. */
static bool is_sharded_name(const char *path, struct cz_slice *prefix)
{
    struct cz_slice name = cz_slice(path);
    static const char tail[] = "-00001-of-";
    if (name.size < 20 || memcmp(path + name.size - 20, tail, sizeof tail - 1) != 0)
        return false;
    *prefix = cz_slice_of(path, name.size - 20);
    return true;
}

static cloze_status open_file(struct loader *loader, const char *path, struct cz_gguf *gguf)
{
    struct cz_model_files *files = loader->files;
    struct cz_mapping *mapping = &files->mappings[files->mapping_count];
    cloze_status status = cz_file_map(path, mapping, loader->error);
    if (status)
        return status;
    files->mapping_count++;
    return cz_gguf_parse(cz_slice_of(mapping->data, mapping->size), path, &files->arena, gguf,
                         loader->error);
}

static cloze_status check_shard(const struct loader *loader, size_t number)
{
    uint32_t index = UINT32_MAX;
    const struct cz_gguf *gguf = &loader->ggufs[number];
    cloze_status status = cz_gguf_get_u32(gguf, "split.no", &index, loader->error);
    if (!status && index != number)
        return cz_fail(loader->error, CLOZE_CORRUPT, gguf->name,
                       "says that it is part %u (split.no), but its name says %zu", index, number);
    return status;
}

static cloze_status open_shards(struct loader *loader, const char *path, uint32_t count)
{
    struct cz_slice prefix;
    if (!is_sharded_name(path, &prefix))
        return cz_fail(loader->error, CLOZE_INVALID, path,
                       "is one of %u parts (split.count); name the first, ...-00001-of-%05u.gguf",
                       count, count);
    cloze_status status = check_shard(loader, 0);
    for (uint32_t i = 1; i < count && !status; i++) {
        struct cz_buffer name = {0};
        cz_buffer_append_slice(&name, prefix);
        cz_buffer_printf(&name, "-%05u-of-%05u.gguf", i + 1, count);
        const char *shard = cz_arena_text(&loader->files->arena, cz_buffer_slice(&name));
        cz_buffer_free(&name);
        if (!shard)
            return cz_fail_memory(loader->error, path);
        status = open_file(loader, shard, &loader->ggufs[i]);
        if (!status) {
            loader->count++;
            status = check_shard(loader, i);
        }
    }
    return status;
}

static cloze_status open_files(struct loader *loader, const char *path)
{
    struct cz_arena *arena = &loader->files->arena;
    uint32_t parts = 1;
    struct cz_gguf first;
    loader->files->mappings = CZ_ARENA_ARRAY(arena, struct cz_mapping, CZ_MODEL_MOST_FILES);
    const char *name = cz_arena_text(arena, cz_slice(path));
    if (!loader->files->mappings || !name)
        return cz_fail_memory(loader->error, path);
    cloze_status status = open_file(loader, name, &first);
    if (status)
        return status;
    status = cz_gguf_get_u32(&first, "split.count", &parts, loader->error);
    if (!status && (parts == 0 || parts > CZ_MODEL_MOST_FILES))
        status =
            cz_fail(loader->error, CLOZE_LIMIT, path,
                    "split.count is %u; from 1 to %d parts are read", parts, CZ_MODEL_MOST_FILES);
    if (!status && !(loader->ggufs = CZ_ARENA_ARRAY(arena, struct cz_gguf, parts)))
        status = cz_fail_memory(loader->error, path);
    if (status) {
        cz_gguf_free(&first);
        return status;
    }
    loader->ggufs[0] = first;
    loader->count = 1;
    return parts > 1 ? open_shards(loader, name, parts) : CLOZE_OK;
}

static cloze_status add_tensor(struct loader *loader, const struct cz_gguf_tensor *tensor)
{
    char *name = cz_arena_text(&loader->files->arena, tensor->name);
    if (!name)
        return cz_fail_memory(loader->error, loader->source.path);
    /* beyond two dimensions the shape matches no role, whatever stands in it */
    struct cz_tensor plain = {
        .name = name,
        .dtype = tensor->dtype,
        .rank = tensor->rank,
        .shape = {tensor->dims[1] * tensor->dims[2] * tensor->dims[3], tensor->dims[0]},
        .data = tensor->data,
        .size = tensor->size};
    if (tensor->rank == 1) {
        plain.shape[0] = tensor->dims[0];
        plain.shape[1] = 1;
    }
    return cz_source_add(&loader->source, &plain, loader->error);
}

static cloze_status collect_tensors(struct loader *loader)
{
    size_t total = 0;
    for (size_t i = 0; i < loader->count; i++)
        total += loader->ggufs[i].tensor_count;
    uint32_t expected = (uint32_t)total;
    cloze_status status =
        cz_gguf_get_u32(loader->ggufs, "split.tensors.count", &expected, loader->error);
    if (!status && expected != total)
        return cz_fail(loader->error, CLOZE_CORRUPT, loader->ggufs[0].name,
                       "the parts hold %zu tensors, but split.tensors.count says %u", total,
                       expected);
    if (!status)
        status = cz_source_init(&loader->source, &loader->files->arena, loader->ggufs[0].name,
                                total, loader->error);
    for (size_t i = 0; i < loader->count; i++) {
        for (size_t j = 0; !status && j < loader->ggufs[i].tensor_count; j++)
            status = add_tensor(loader, &loader->ggufs[i].tensors[j]);
    }
    return status;
}

static cloze_status bind_tensors(struct loader *loader)
{
    struct cz_binding binding = {
        .architecture = loader->architecture,
        .naming = CZ_NAMING_GGUF,
        .optional = CZ_ROLE_BIT(CZ_ROLE_HEAD) | CZ_ROLE_BIT(CZ_ROLE_ROPE_FACTORS) |
                    CZ_ATTENTION_BIASES | CZ_ROLE_BIT(CZ_ROLE_O_BIAS) | CZ_MLP_BIASES,
    };
    return cz_model_bind(loader->files, &loader->source, &binding, loader->error);
}

static cloze_status read_tokenizer(const struct loader *loader)
{
    struct cz_tokenizer_source source;
    if (!cz_gguf_find(loader->ggufs, "tokenizer.ggml.model"))
        return CLOZE_OK;
    cloze_status status =
        cz_tokenizer_source_gguf(loader->ggufs, &loader->files->arena, &source, loader->error);
    return status
               ? status
               : cz_model_set_tokenizer(loader->files, &source, loader->source.path, loader->error);
}

cloze_status cz_model_read_gguf(const char *path, struct cz_model_files *files,
                                struct cloze_error *error)
{
    struct loader loader = {.files = files, .source = {.path = path}, .error = error};
    files->model.format = "gguf";
    cloze_status status = open_files(&loader, path);
    if (!status)
        status = collect_tensors(&loader);
    if (!status)
        status = find_architecture(&loader);
    if (!status)
        status = refuse_variants(&loader);
    if (!status)
        status = read_hyper(&loader);
    if (!status)
        status = bind_tensors(&loader);
    if (!status)
        status = read_defaults(&loader);
    if (!status)
        status = read_name(&loader);
    if (!status)
        status = read_tokenizer(&loader);
    for (size_t i = 0; i < loader.count; i++)
        cz_gguf_free(&loader.ggufs[i]);
    cz_source_free(&loader.source);
    return status;
}
