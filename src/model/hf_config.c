/* hf_config.c - hyper-parameters from config.json. */
#include "model/hf_config.h"

#include <math.h>
#include <stdio.h>

struct reader {
    const struct cz_json *root;
    const char *path;
    struct cz_model_files *files;
    struct cz_hyperparameters *hyper;
    struct cz_hf_config *config;
    struct cloze_error *error;
};

static cloze_status fail_key(const struct reader *reader, cloze_status code, const char *key,
                             const char *message)
{
    char where[256];
    snprintf(where, sizeof where, "%.180s: /%s", reader->path, key);
    return cz_fail(reader->error, code, where, "%s", message);
}

/* ---- Members: absent or null leaves *out as it is, another type is an error ---- */

static const struct cz_json *member(const struct cz_json *object, const char *key)
{
    const struct cz_json *value =
        cz_json_is(object, CZ_JSON_OBJECT) ? cz_json_get(object, key) : NULL;
    return cz_json_is(value, CZ_JSON_NULL) ? NULL : value;
}

static cloze_status get_u32(const struct reader *reader, const struct cz_json *object,
                            const char *key, uint32_t *out)
{
    const struct cz_json *value = member(object, key);
    int64_t number;
    if (!value)
        return CLOZE_OK;
    if (!cz_json_int64(value, &number) || number < 0 || number > UINT32_MAX)
        return fail_key(reader, CLOZE_INVALID, key, "is not an integer from 0 to 2^32 - 1");
    *out = (uint32_t)number;
    return CLOZE_OK;
}

static cloze_status get_double(const struct reader *reader, const struct cz_json *object,
                               const char *key, double *out)
{
    const struct cz_json *value = member(object, key);
    double number;
    if (!value)
        return CLOZE_OK;
    if (!cz_json_double(value, &number) || !isfinite(number))
        return fail_key(reader, CLOZE_INVALID, key, "is not a number");
    *out = number;
    return CLOZE_OK;
}

static cloze_status get_bool(const struct reader *reader, const char *key, bool *out)
{
    const struct cz_json *value = member(reader->root, key);
    if (value && !cz_json_bool(value, out))
        return fail_key(reader, CLOZE_INVALID, key, "is neither true nor false");
    return CLOZE_OK;
}

static cloze_status get_string(const struct reader *reader, const struct cz_json *object,
                               const char *key, struct cz_slice *out)
{
    const struct cz_json *value = member(object, key);
    if (value && !cz_json_string(value, out))
        return fail_key(reader, CLOZE_INVALID, key, "is not a string");
    return CLOZE_OK;
}

/* ---- What we don't run ---- */

static cloze_status refuse_variants(const struct reader *reader)
{
    static const struct {
        const char *key, *message;
    } objects[] = {
        {"quantization_config", "quantised checkpoints (GPTQ, AWQ, fp8, bitsandbytes ...) aren't "
                                "supported; use the original weights or a GGUF file"},
        {"vision_config", "vision models aren't supported"},
        {"audio_config", "audio models aren't supported"},
        {"text_config", "multimodal models aren't supported"},
    };
    static const char *const experts[] = {"num_local_experts", "num_experts", "n_routed_experts"};
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++) {
        if (member(reader->root, objects[i].key))
            return fail_key(reader, CLOZE_UNSUPPORTED, objects[i].key, objects[i].message);
    }
    for (size_t i = 0; i < sizeof experts / sizeof *experts; i++) {
        uint32_t count = 0;
        cloze_status status = get_u32(reader, reader->root, experts[i], &count);
        if (status)
            return status;
        if (count > 1)
            return fail_key(reader, CLOZE_UNSUPPORTED, experts[i],
                            "mixtures of experts aren't supported");
    }
    bool bidirectional = false;
    cloze_status status = get_bool(reader, "use_bidirectional_attention", &bidirectional);
    return bidirectional ? fail_key(reader, CLOZE_UNSUPPORTED, "use_bidirectional_attention",
                                    "embedding models aren't supported")
                         : status;
}

static cloze_status find_architecture(const struct reader *reader)
{
    struct cz_slice type = {0};
    cloze_status status = get_string(reader, reader->root, "model_type", &type);
    if (status)
        return status;
    reader->config->architecture = cz_architecture_find(CZ_NAMING_HF, type);
    if (reader->config->architecture)
        return CLOZE_OK;
    char message[256];
    snprintf(message, sizeof message, "'" CZ_SLICE_FORMAT "' isn't supported; Cloze runs %s",
             CZ_SLICE_ARG(type), cz_architecture_names(CZ_NAMING_HF));
    return fail_key(reader, CLOZE_UNSUPPORTED, "model_type", message);
}

static bool is_architecture(const struct reader *reader, const char *name)
{
    return strcmp(reader->config->architecture->name, name) == 0;
}

/* ---- RoPE ---- */

static cloze_status rope_type(const struct reader *reader, const struct cz_json *settings,
                              enum cz_rope_type *out)
{
    static const struct {
        const char *name;
        enum cz_rope_type type;
    } types[] = {{"default", CZ_ROPE_DEFAULT}, {"linear", CZ_ROPE_LINEAR},
                 {"dynamic", CZ_ROPE_DYNAMIC}, {"llama3", CZ_ROPE_LLAMA3},
                 {"yarn", CZ_ROPE_YARN},       {"longrope", CZ_ROPE_LONGROPE},
                 {"su", CZ_ROPE_LONGROPE}}; /* Phi-3's old name */
    struct cz_slice name = CZ_SLICE("default");
    cloze_status status = get_string(reader, settings, "type", &name);
    if (!status)
        status = get_string(reader, settings, "rope_type", &name);
    for (size_t i = 0; !status && i < sizeof types / sizeof *types; i++) {
        if (cz_slice_is(name, types[i].name)) {
            *out = types[i].type;
            if (is_architecture(reader, "phi3") && *out == CZ_ROPE_YARN)
                *out = CZ_ROPE_LONGROPE; /* so does transformers */
            return CLOZE_OK;
        }
    }
    char message[256];
    snprintf(message, sizeof message,
             "RoPE type '" CZ_SLICE_FORMAT "' isn't supported (default, linear, dynamic, llama3, "
             "yarn and longrope are)",
             CZ_SLICE_ARG(name));
    return status ? status : fail_key(reader, CLOZE_UNSUPPORTED, "rope_scaling", message);
}

static double yarn_mscale(double factor, double scale)
{
    return factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1;
}

static cloze_status read_yarn(const struct reader *reader, const struct cz_json *settings,
                              struct cz_rope *rope)
{
    double mscale = 0, mscale_all = 0;
    cloze_status status = get_double(reader, settings, "beta_fast", &rope->beta_fast);
    if (!status)
        status = get_double(reader, settings, "beta_slow", &rope->beta_slow);
    if (!status)
        status = get_double(reader, settings, "mscale", &mscale);
    if (!status)
        status = get_double(reader, settings, "mscale_all_dim", &mscale_all);
    if (!status && cz_json_is(member(settings, "truncate"), CZ_JSON_FALSE))
        return fail_key(reader, CLOZE_UNSUPPORTED, "rope_scaling/truncate",
                        "yarn without rounded bounds isn't supported");
    if (mscale != 0 && mscale_all != 0)
        rope->attention_factor =
            yarn_mscale(rope->factor, mscale) / yarn_mscale(rope->factor, mscale_all);
    else
        rope->attention_factor = yarn_mscale(rope->factor, 1);
    return status;
}

static cloze_status read_factors(const struct reader *reader, const struct cz_json *settings,
                                 const char *key, uint32_t count, const float **out)
{
    const struct cz_json *list = member(settings, key);
    if (!cz_json_is(list, CZ_JSON_ARRAY) || list->count != count)
        return fail_key(reader, CLOZE_INVALID, key,
                        "is not a list with one number for each pair of rotated dimensions");
    float *factors = CZ_ARENA_ARRAY(&reader->files->arena, float, count);
    if (!factors)
        return cz_fail_memory(reader->error, reader->path);
    *out = factors;
    CZ_JSON_EACH(item, list)
    {
        double number;
        if (!cz_json_double(item, &number) || !isfinite(number) || number <= 0)
            return fail_key(reader, CLOZE_INVALID, key, "holds something other than numbers > 0");
        *factors++ = (float)number;
    }
    return CLOZE_OK;
}

static cloze_status read_longrope(const struct reader *reader, const struct cz_json *settings,
                                  struct cz_rope *rope)
{
    static const char *const variants[] = {"short_mscale", "long_mscale"};
    for (size_t i = 0; i < 2; i++) {
        if (member(settings, variants[i]))
            return fail_key(reader, CLOZE_UNSUPPORTED, variants[i], "isn't supported");
    }
    cloze_status status =
        read_factors(reader, settings, "long_factor", rope->dims / 2, &rope->long_factors);
    if (!status)
        status =
            read_factors(reader, settings, "short_factor", rope->dims / 2, &rope->short_factors);
    if (rope->factor > 1 && rope->original_context > 1)
        rope->attention_factor = sqrt(1 + log(rope->factor) / log(rope->original_context));
    return status;
}

/* theta, partial_rotary_factor and the original context stand inside the settings (v5) or at the
 * top (before); a top-level original context decides the factor (Phi-3). */
static cloze_status read_places(const struct reader *reader, const struct cz_json *settings,
                                struct cz_rope *rope)
{
    const struct cz_json *places[] = {reader->root, settings};
    double partial = 1;
    cloze_status status = CLOZE_OK;
    for (size_t i = 0; !status && i < 2; i++) {
        status = get_double(reader, places[i], "rope_theta", &rope->theta);
        if (!status)
            status = get_double(reader, places[i], "partial_rotary_factor", &partial);
    }
    if (!status)
        status =
            get_u32(reader, settings, "original_max_position_embeddings", &rope->original_context);
    if (!status)
        status = get_u32(reader, reader->root, "original_max_position_embeddings",
                         &rope->original_context);
    if (!status && !(partial > 0 && partial <= 1))
        status = fail_key(reader, CLOZE_INVALID, "partial_rotary_factor", "is not in (0, 1]");
    if (!status)
        rope->dims = (uint32_t)(reader->hyper->head_dim * partial);
    return status;
}

static cloze_status read_factor(const struct reader *reader, const struct cz_json *settings,
                                struct cz_rope *rope)
{
    bool derived = rope->type == CZ_ROPE_YARN || rope->type == CZ_ROPE_LONGROPE;
    double factor = 0;
    cloze_status status = get_double(reader, settings, "factor", &factor);
    if (status || rope->type == CZ_ROPE_DEFAULT)
        return status;
    bool top_level = member(reader->root, "original_max_position_embeddings") != NULL;
    if (derived && rope->original_context &&
        (factor == 0 || (rope->type == CZ_ROPE_LONGROPE && top_level)))
        factor = (double)reader->hyper->context / rope->original_context;
    if (factor == 0)
        return fail_key(reader, CLOZE_INVALID, "rope_scaling", "has no factor");
    rope->factor = factor;
    return CLOZE_OK;
}

static cloze_status read_rope(const struct reader *reader, const struct cz_json *settings,
                              double theta, struct cz_rope *rope)
{
    *rope = (struct cz_rope){.theta = theta,
                             .factor = 1,
                             .beta_fast = 32,
                             .beta_slow = 1,
                             .attention_factor = 1,
                             .original_context = reader->hyper->context};
    cloze_status status = rope_type(reader, settings, &rope->type);
    if (!status)
        status = read_places(reader, settings, rope);
    if (!status)
        status = read_factor(reader, settings, rope);
    if (!status && rope->type == CZ_ROPE_LLAMA3) {
        status = get_double(reader, settings, "low_freq_factor", &rope->low_freq_factor);
        if (!status)
            status = get_double(reader, settings, "high_freq_factor", &rope->high_freq_factor);
    }
    if (!status && rope->type == CZ_ROPE_YARN)
        status = read_yarn(reader, settings, rope);
    if (!status && rope->type == CZ_ROPE_LONGROPE)
        status = read_longrope(reader, settings, rope);
    if (!status && (rope->type == CZ_ROPE_YARN || rope->type == CZ_ROPE_LONGROPE))
        status = get_double(reader, settings, "attention_factor", &rope->attention_factor);
    return status;
}

static const struct cz_json *rope_settings(const struct reader *reader)
{
    const struct cz_json *settings = member(reader->root, "rope_parameters");
    return settings ? settings : member(reader->root, "rope_scaling");
}

/* Two rotations: of global layers and of those with a window. In the v5 form the settings are
 * nested by layer type; before it, the local base frequency had a key of its own. */
static cloze_status read_gemma_rope(const struct reader *reader)
{
    struct cz_hyperparameters *hyper = reader->hyper;
    const struct cz_json *settings = rope_settings(reader);
    const struct cz_json *global = member(settings, "full_attention");
    const struct cz_json *local = member(settings, "sliding_attention");
    double local_theta = 10000;
    cloze_status status = read_rope(reader, global ? global : settings, 1e6, &hyper->rope);
    if (!status)
        status = get_double(reader, reader->root, "rope_local_base_freq", &local_theta);
    if (!status)
        status = get_double(reader, local, "rope_theta", &local_theta);
    enum cz_rope_type type = CZ_ROPE_DEFAULT;
    if (!status)
        status = rope_type(reader, local, &type);
    if (!status && type != CZ_ROPE_DEFAULT)
        return fail_key(reader, CLOZE_UNSUPPORTED, "rope_parameters/sliding_attention",
                        "scaled RoPE in layers with a window isn't supported");
    hyper->has_local_rope = true;
    hyper->local_rope = (struct cz_rope){.theta = local_theta,
                                         .factor = 1,
                                         .attention_factor = 1,
                                         .original_context = hyper->context,
                                         .dims = hyper->rope.dims};
    return status;
}

/* ---- Layers that differ ---- */

static cloze_status layer_flags(const struct reader *reader, uint8_t **out)
{
    if (reader->hyper->layers > CZ_MODEL_MOST_LAYERS)
        return fail_key(reader, CLOZE_LIMIT, "num_hidden_layers", "is more than 1,024");
    *out = CZ_ARENA_ARRAY(&reader->files->arena, uint8_t, reader->hyper->layers + 1);
    return *out ? CLOZE_OK : cz_fail_memory(reader->error, reader->path);
}

static cloze_status read_layer_types(const struct reader *reader, const struct cz_json *types,
                                     uint8_t *local)
{
    if (!cz_json_is(types, CZ_JSON_ARRAY) || types->count != reader->hyper->layers)
        return fail_key(reader, CLOZE_INVALID, "layer_types",
                        "is not a list with one string for each layer");
    CZ_JSON_EACH(item, types)
    {
        struct cz_slice name = {0};
        cz_json_string(item, &name);
        *local++ = cz_slice_is(name, "sliding_attention");
        if (!cz_slice_is(name, "sliding_attention") && !cz_slice_is(name, "full_attention"))
            return fail_key(reader, CLOZE_UNSUPPORTED, "layer_types",
                            "names a layer other than full_attention and sliding_attention");
    }
    return CLOZE_OK;
}

/* Without layer_types each architecture has a rule of its own. */
static cloze_status default_layer_types(const struct reader *reader, uint8_t *local)
{
    const struct cz_hyperparameters *hyper = reader->hyper;
    bool gemma = hyper->has_local_rope, smollm3 = is_architecture(reader, "smollm3");
    uint32_t period = 6, first = 28; /* the defaults of Gemma 3 and Qwen */
    cloze_status status = get_u32(reader, reader->root, "sliding_window_pattern", &period);
    if (!status)
        status = get_u32(reader, reader->root, "max_window_layers", &first);
    if (!status && period == 0)
        status = fail_key(reader, CLOZE_INVALID, "sliding_window_pattern", "is 0");
    for (uint32_t i = 0; !status && i < hyper->layers; i++)
        local[i] = gemma     ? (i + 1) % period != 0
                   : smollm3 ? hyper->layer_has_rope && !hyper->layer_has_rope[i]
                             : i >= first;
    return status;
}

static cloze_status read_window(const struct reader *reader)
{
    struct cz_hyperparameters *hyper = reader->hyper;
    bool gemma = hyper->has_local_rope, used = false;
    bool always = gemma || is_architecture(reader, "phi3");
    struct cz_slice type = {0};
    cloze_status status = get_string(reader, reader->root, "model_type", &type);
    if (cz_slice_is(type, "mistral"))
        always = true;
    if (!status)
        status = get_bool(reader, "use_sliding_window", &used);
    if (status || (!always && !used) || cz_slice_is(type, "llama"))
        return status;
    hyper->sliding_window = is_architecture(reader, "phi3") ? 0 : 4096; /* when not given */
    status = get_u32(reader, reader->root, "sliding_window", &hyper->sliding_window);
    if (member(reader->root, "sliding_window") == NULL &&
        cz_json_get(reader->root, "sliding_window"))
        hyper->sliding_window = 0; /* null: no window */
    if (status || !hyper->sliding_window || (always && !gemma))
        return status;
    uint8_t *local;
    status = layer_flags(reader, &local);
    if (status)
        return status;
    const struct cz_json *types = member(reader->root, "layer_types");
    hyper->layer_is_local = local;
    return types ? read_layer_types(reader, types, local) : default_layer_types(reader, local);
}

static cloze_status read_no_rope_layers(const struct reader *reader)
{
    uint8_t *has_rope;
    uint32_t interval = 4;
    cloze_status status = layer_flags(reader, &has_rope);
    if (!status)
        status = get_u32(reader, reader->root, "no_rope_layer_interval", &interval);
    if (!status && interval == 0)
        status = fail_key(reader, CLOZE_INVALID, "no_rope_layer_interval", "is 0");
    if (status)
        return status;
    reader->hyper->layer_has_rope = has_rope;
    const struct cz_json *list = member(reader->root, "no_rope_layers");
    if (!list) {
        for (uint32_t i = 0; i < reader->hyper->layers; i++)
            has_rope[i] = (i + 1) % interval != 0;
        return CLOZE_OK;
    }
    if (!cz_json_is(list, CZ_JSON_ARRAY) || list->count != reader->hyper->layers)
        return fail_key(reader, CLOZE_INVALID, "no_rope_layers",
                        "is not a list with one number for each layer");
    CZ_JSON_EACH(item, list)
    {
        int64_t flag;
        if (!cz_json_int64(item, &flag))
            return fail_key(reader, CLOZE_INVALID, "no_rope_layers", "holds a non-integer");
        *has_rope++ = flag != 0;
    }
    return CLOZE_OK;
}

/* ---- Sizes, scales, flags ---- */

static cloze_status read_sizes(const struct reader *reader)
{
    struct cz_hyperparameters *hyper = reader->hyper;
    const struct {
        const char *key;
        uint32_t *out;
    } numbers[] = {{"vocab_size", &hyper->vocab},
                   {"hidden_size", &hyper->hidden},
                   {"intermediate_size", &hyper->intermediate},
                   {"num_hidden_layers", &hyper->layers},
                   {"num_attention_heads", &hyper->heads},
                   {"max_position_embeddings", &hyper->context}};
    cloze_status status = CLOZE_OK;
    for (size_t i = 0; !status && i < sizeof numbers / sizeof *numbers; i++)
        status = get_u32(reader, reader->root, numbers[i].key, numbers[i].out);
    hyper->kv_heads = hyper->heads;
    hyper->head_dim = is_architecture(reader, "qwen3")         ? 128
                      : is_architecture(reader, "gemma3_text") ? 256
                      : hyper->heads                           ? hyper->hidden / hyper->heads
                                                               : 0;
    if (!status)
        status = get_u32(reader, reader->root, "num_key_value_heads", &hyper->kv_heads);
    return status ? status : get_u32(reader, reader->root, "head_dim", &hyper->head_dim);
}

static cloze_status read_activation(const struct reader *reader)
{
    struct cz_slice name = {0};
    bool gemma = is_architecture(reader, "gemma3_text");
    cloze_status status =
        get_string(reader, reader->root, gemma ? "hidden_activation" : "hidden_act", &name);
    reader->hyper->activation = reader->config->architecture->activation;
    if (status || !name.size)
        return status;
    if (cz_slice_is(name, "silu") || cz_slice_is(name, "swish"))
        reader->hyper->activation = CZ_ACTIVATION_SILU;
    else if (cz_slice_is(name, "gelu_pytorch_tanh"))
        reader->hyper->activation = CZ_ACTIVATION_GELU_TANH;
    else
        return fail_key(reader, CLOZE_UNSUPPORTED, "hidden_act",
                        "only silu and gelu_pytorch_tanh are supported");
    return CLOZE_OK;
}

/* sqrt(hidden) as the model's own type holds it: what training saw. */
static cloze_status read_embedding_scale(const struct reader *reader)
{
    struct cz_slice type = {0};
    cloze_status status = get_string(reader, reader->root, "torch_dtype", &type);
    if (!status)
        status = get_string(reader, reader->root, "dtype", &type);
    float scale = (float)sqrt((double)reader->hyper->hidden);
    if (cz_slice_is(type, "bfloat16"))
        scale = cz_bf16_to_f32(cz_f32_to_bf16(scale));
    else if (cz_slice_is(type, "float16"))
        scale = cz_f16_to_f32(cz_f32_to_f16(scale));
    reader->hyper->embedding_scale = (double)scale;
    return status;
}

static cloze_status read_scales(const struct reader *reader)
{
    struct cz_hyperparameters *hyper = reader->hyper;
    hyper->norm_epsilon = 1e-6;
    hyper->embedding_scale = 1;
    hyper->attention_scale = hyper->head_dim ? 1 / sqrt((double)hyper->head_dim) : 0;
    cloze_status status = get_double(reader, reader->root, "rms_norm_eps", &hyper->norm_epsilon);
    if (status || !is_architecture(reader, "gemma3_text"))
        return status;
    double scalar = 256;
    status = get_double(reader, reader->root, "query_pre_attn_scalar", &scalar);
    hyper->attention_scale = scalar > 0 ? 1 / sqrt(scalar) : 0;
    if (!status)
        status =
            get_double(reader, reader->root, "attn_logit_softcapping", &hyper->attention_softcap);
    if (!status)
        status = get_double(reader, reader->root, "final_logit_softcapping", &hyper->final_softcap);
    return status ? status : read_embedding_scale(reader);
}

static cloze_status read_flags(const struct reader *reader)
{
    bool attention_bias = false, mlp_bias = false;
    reader->config->tied = reader->config->architecture->tied_by_default;
    cloze_status status = get_bool(reader, "tie_word_embeddings", &reader->config->tied);
    if (!status && !is_architecture(reader, "qwen2"))
        status = get_bool(reader, "attention_bias", &attention_bias);
    if (!status)
        status = get_bool(reader, "mlp_bias", &mlp_bias);
    if (attention_bias && reader->config->architecture->fused)
        return fail_key(reader, CLOZE_UNSUPPORTED, "attention_bias", "isn't supported in phi3");
    if (attention_bias)
        reader->config->biases |= CZ_ATTENTION_BIASES | CZ_ROLE_BIT(CZ_ROLE_O_BIAS);
    if (mlp_bias)
        reader->config->biases |= CZ_MLP_BIASES;
    return status;
}

static cloze_status read_name(const struct reader *reader)
{
    struct cz_slice name = {0};
    cloze_status status = get_string(reader, reader->root, "_name_or_path", &name);
    if (status || !name.size)
        return status;
    reader->files->model.name = cz_arena_text(&reader->files->arena, name);
    return reader->files->model.name ? CLOZE_OK : cz_fail_memory(reader->error, reader->path);
}

/* ---- Stop ids ---- */

static cloze_status add_stop(const struct reader *reader, const struct cz_json *value)
{
    int64_t id;
    struct cz_hf_config *config = reader->config;
    if (!cz_json_int64(value, &id) || id < 0 || id > UINT32_MAX)
        return fail_key(reader, CLOZE_INVALID, "eos_token_id",
                        "is not a token id or a list of them");
    for (size_t i = 0; i < config->stop_count; i++) {
        if (config->stop_ids[i] == (uint32_t)id)
            return CLOZE_OK;
    }
    if (config->stop_count == CZ_CONFIG_MOST_STOPS)
        return fail_key(reader, CLOZE_LIMIT, "eos_token_id", "names more than 64 tokens");
    config->stop_ids[config->stop_count++] = (uint32_t)id;
    return CLOZE_OK;
}

static cloze_status read_stops(const struct reader *reader)
{
    const struct cz_json *value = member(reader->root, "eos_token_id");
    if (!value)
        return CLOZE_OK;
    if (!cz_json_is(value, CZ_JSON_ARRAY))
        return add_stop(reader, value);
    cloze_status status = CLOZE_OK;
    CZ_JSON_EACH(item, value)
    {
        if (!status)
            status = add_stop(reader, item);
    }
    return status;
}

/* ---- The files ---- */

cloze_status cz_hf_config_read(const struct cz_json *config, const char *path,
                               struct cz_model_files *files, struct cz_hf_config *out,
                               struct cloze_error *error)
{
    struct cz_hyperparameters *hyper = &files->model.hyper;
    struct reader reader = {config, path, files, hyper, out, error};
    cloze_status (*const steps[])(const struct reader *) = {
        refuse_variants, find_architecture, read_sizes, read_activation,
        read_scales,     read_flags,        read_name,  read_stops,
    };
    if (!cz_json_is(config, CZ_JSON_OBJECT))
        return cz_fail(error, CLOZE_INVALID, path, "is not a JSON object");
    cloze_status status = CLOZE_OK;
    for (size_t i = 0; !status && i < sizeof steps / sizeof *steps; i++)
        status = steps[i](&reader);
    if (status)
        return status;
    snprintf(hyper->architecture, sizeof hyper->architecture, "%s", out->architecture->name);
    hyper->norm_adds_one = out->architecture->norm_adds_one_in_hf;
    bool smollm3 = is_architecture(&reader, "smollm3");
    if (is_architecture(&reader, "gemma3_text"))
        status = read_gemma_rope(&reader);
    else
        status = read_rope(&reader, rope_settings(&reader), smollm3 ? 2e6 : 1e4, &hyper->rope);
    if (!status && smollm3)
        status = read_no_rope_layers(&reader);
    if (!status)
        status = read_window(&reader);
    return status ? status : cz_hyper_check(hyper, path, error);
}

cloze_status cz_hf_generation_read(const struct cz_json *generation, const char *path,
                                   struct cz_model_files *files, struct cz_hf_config *out,
                                   struct cloze_error *error)
{
    struct cz_generation_defaults *defaults = &files->model.defaults;
    struct reader reader = {generation, path, files, &files->model.hyper, out, error};
    if (!cz_json_is(generation, CZ_JSON_OBJECT))
        return cz_fail(error, CLOZE_INVALID, path, "is not a JSON object");
    const struct {
        const char *key;
        double *out;
    } numbers[] = {{"temperature", &defaults->temperature},
                   {"top_p", &defaults->top_p},
                   {"min_p", &defaults->min_p},
                   {"repetition_penalty", &defaults->repetition_penalty}};
    cloze_status status = read_stops(&reader);
    for (size_t i = 0; !status && i < sizeof numbers / sizeof *numbers; i++)
        status = get_double(&reader, generation, numbers[i].key, numbers[i].out);
    if (!status)
        status = get_u32(&reader, generation, "top_k", &defaults->top_k);
    if (!status)
        status = get_bool(&reader, "do_sample", &defaults->do_sample);
    defaults->has_do_sample = member(generation, "do_sample") != NULL;
    return status;
}
