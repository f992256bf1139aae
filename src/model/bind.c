/*
 * bind.c - what each architecture is made of, and finding the tensor of every role by its name in
 * either world. Adding an architecture is a line of the first table, a name or two of the second.
 */
#include "model/source.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define QK_NORMS (CZ_ROLE_BIT(CZ_ROLE_Q_NORM) | CZ_ROLE_BIT(CZ_ROLE_K_NORM))
#define POST_NORMS (CZ_ROLE_BIT(CZ_ROLE_POST_ATTENTION_NORM) | CZ_ROLE_BIT(CZ_ROLE_POST_FFN_NORM))
#define COMMON_ROLES                                                                               \
    (CZ_ROLE_BIT(CZ_ROLE_EMBEDDING) | CZ_ROLE_BIT(CZ_ROLE_OUTPUT_NORM) |                           \
     CZ_ROLE_BIT(CZ_ROLE_ATTENTION_NORM) | CZ_ROLE_BIT(CZ_ROLE_Q) | CZ_ROLE_BIT(CZ_ROLE_K) |       \
     CZ_ROLE_BIT(CZ_ROLE_V) | CZ_ROLE_BIT(CZ_ROLE_O) | CZ_ROLE_BIT(CZ_ROLE_FFN_NORM) |             \
     CZ_ROLE_BIT(CZ_ROLE_GATE) | CZ_ROLE_BIT(CZ_ROLE_UP) | CZ_ROLE_BIT(CZ_ROLE_DOWN))

static const struct cz_architecture architectures[] = {
    {.name = "llama",
     .gguf = "llama",
     .model_types = {"llama", "mistral"},
     .interleaved_in_gguf = true},
    {.name = "qwen2", .gguf = "qwen2", .model_types = {"qwen2"}, .roles = CZ_ATTENTION_BIASES},
    {.name = "qwen3", .gguf = "qwen3", .model_types = {"qwen3"}, .roles = QK_NORMS},
    {.name = "gemma3_text",
     .gguf = "gemma3",
     .model_types = {"gemma3_text"},
     .roles = QK_NORMS | POST_NORMS,
     .tied_by_default = true,
     .norm_adds_one_in_hf = true,
     .activation = CZ_ACTIVATION_GELU_TANH},
    {.name = "smollm3",
     .gguf = "smollm3",
     .model_types = {"smollm3"},
     .interleaved_in_gguf = true,
     .tied_by_default = true},
    {.name = "phi3", .gguf = "phi3", .model_types = {"phi3"}, .fused = true},
};
enum { ARCHITECTURES = sizeof architectures / sizeof *architectures };

/* Sizes that shapes are made of. */
enum extent { NONE, VOCAB, HIDDEN, INTERMEDIATE, Q_ROWS, KV_ROWS, HEAD, HALF_ROPE };

/* Names below "blk.N." and "model.layers.N." for the roles of a layer. */
static const struct role {
    const char *gguf, *hf;
    enum extent rows, columns; /* columns NONE: a vector */
} roles[CZ_ROLES] = {
    [CZ_ROLE_EMBEDDING] = {"token_embd.weight", "model.embed_tokens.weight", VOCAB, HIDDEN},
    [CZ_ROLE_OUTPUT_NORM] = {"output_norm.weight", "model.norm.weight", HIDDEN, NONE},
    [CZ_ROLE_HEAD] = {"output.weight", "lm_head.weight", VOCAB, HIDDEN},
    [CZ_ROLE_ROPE_FACTORS] = {"rope_freqs.weight", NULL, HALF_ROPE, NONE},
    [CZ_ROLE_ATTENTION_NORM] = {"attn_norm.weight", "input_layernorm.weight", HIDDEN, NONE},
    [CZ_ROLE_Q] = {"attn_q.weight", "self_attn.q_proj.weight", Q_ROWS, HIDDEN},
    [CZ_ROLE_K] = {"attn_k.weight", "self_attn.k_proj.weight", KV_ROWS, HIDDEN},
    [CZ_ROLE_V] = {"attn_v.weight", "self_attn.v_proj.weight", KV_ROWS, HIDDEN},
    [CZ_ROLE_O] = {"attn_output.weight", "self_attn.o_proj.weight", HIDDEN, Q_ROWS},
    [CZ_ROLE_Q_BIAS] = {"attn_q.bias", "self_attn.q_proj.bias", Q_ROWS, NONE},
    [CZ_ROLE_K_BIAS] = {"attn_k.bias", "self_attn.k_proj.bias", KV_ROWS, NONE},
    [CZ_ROLE_V_BIAS] = {"attn_v.bias", "self_attn.v_proj.bias", KV_ROWS, NONE},
    [CZ_ROLE_O_BIAS] = {"attn_output.bias", "self_attn.o_proj.bias", HIDDEN, NONE},
    [CZ_ROLE_Q_NORM] = {"attn_q_norm.weight", "self_attn.q_norm.weight", HEAD, NONE},
    [CZ_ROLE_K_NORM] = {"attn_k_norm.weight", "self_attn.k_norm.weight", HEAD, NONE},
    [CZ_ROLE_POST_ATTENTION_NORM] = {"post_attention_norm.weight",
                                     "post_attention_layernorm.weight", HIDDEN, NONE},
    [CZ_ROLE_FFN_NORM] = {"ffn_norm.weight", "post_attention_layernorm.weight", HIDDEN, NONE},
    [CZ_ROLE_GATE] = {"ffn_gate.weight", "mlp.gate_proj.weight", INTERMEDIATE, HIDDEN},
    [CZ_ROLE_UP] = {"ffn_up.weight", "mlp.up_proj.weight", INTERMEDIATE, HIDDEN},
    [CZ_ROLE_DOWN] = {"ffn_down.weight", "mlp.down_proj.weight", HIDDEN, INTERMEDIATE},
    [CZ_ROLE_GATE_BIAS] = {"ffn_gate.bias", "mlp.gate_proj.bias", INTERMEDIATE, NONE},
    [CZ_ROLE_UP_BIAS] = {"ffn_up.bias", "mlp.up_proj.bias", INTERMEDIATE, NONE},
    [CZ_ROLE_DOWN_BIAS] = {"ffn_down.bias", "mlp.down_proj.bias", HIDDEN, NONE},
    [CZ_ROLE_POST_FFN_NORM] = {"post_ffw_norm.weight", "post_feedforward_layernorm.weight", HIDDEN,
                               NONE},
};

const struct cz_architecture *cz_architecture_find(enum cz_naming naming, struct cz_slice name)
{
    for (size_t i = 0; i < ARCHITECTURES; i++) {
        const struct cz_architecture *one = &architectures[i];
        if (naming == CZ_NAMING_GGUF && cz_slice_is(name, one->gguf))
            return one;
        for (size_t j = 0; naming == CZ_NAMING_HF && j < 2 && one->model_types[j]; j++) {
            if (cz_slice_is(name, one->model_types[j]))
                return one;
        }
    }
    return NULL;
}

const char *cz_architecture_names(enum cz_naming naming)
{
    return naming == CZ_NAMING_GGUF ? "llama, qwen2, qwen3, gemma3, smollm3 and phi3"
                                    : "llama, mistral, qwen2, qwen3, gemma3_text, smollm3 and phi3";
}

/* ---- Hyper-parameters ---- */

static cloze_status check_bound(const char *path, const char *what, uint32_t value, uint32_t most,
                                struct cloze_error *error)
{
    if (value == 0)
        return cz_fail(error, CLOZE_CORRUPT, path, "the model's %s is missing or 0", what);
    if (value > most)
        return cz_fail(error, CLOZE_LIMIT, path, "the model's %s is %u; the most is %u", what,
                       value, most);
    return CLOZE_OK;
}

static bool is_positive(double value)
{
    return value > 0 && __builtin_isfinite(value);
}

static cloze_status check_rope(const struct cz_rope *rope, const struct cz_hyperparameters *hyper,
                               const char *path, struct cloze_error *error)
{
    if (rope->dims == 0 || rope->dims % 2 || rope->dims > hyper->head_dim)
        return cz_fail(error, CLOZE_CORRUPT, path,
                       "RoPE turns %u dimensions of a head of %u; an even number, at most the "
                       "head's, is needed",
                       rope->dims, hyper->head_dim);
    if (!is_positive(rope->theta) || rope->theta <= 1 || !is_positive(rope->factor) ||
        !is_positive(rope->attention_factor))
        return cz_fail(error, CLOZE_CORRUPT, path,
                       "a RoPE number is out of range: theta %g, factor %g, attention factor %g",
                       rope->theta, rope->factor, rope->attention_factor);
    if (rope->type == CZ_ROPE_LLAMA3 &&
        (!is_positive(rope->low_freq_factor) || !(rope->high_freq_factor > rope->low_freq_factor)))
        return cz_fail(error, CLOZE_CORRUPT, path,
                       "llama3 RoPE needs 0 < low_freq_factor < high_freq_factor");
    if (rope->type == CZ_ROPE_YARN &&
        (!is_positive(rope->beta_slow) || !(rope->beta_fast >= rope->beta_slow)))
        return cz_fail(error, CLOZE_CORRUPT, path, "yarn RoPE needs 0 < beta_slow <= beta_fast");
    if (rope->type != CZ_ROPE_DEFAULT && rope->type != CZ_ROPE_LINEAR && !rope->original_context)
        return cz_fail(error, CLOZE_CORRUPT, path, "RoPE scaling without the original context");
    return CLOZE_OK;
}

cloze_status cz_hyper_check(const struct cz_hyperparameters *hyper, const char *path,
                            struct cloze_error *error)
{
    const struct {
        const char *what;
        uint32_t value, most;
    } bounds[] = {
        {"layer count", hyper->layers, CZ_MODEL_MOST_LAYERS},
        {"hidden size", hyper->hidden, CZ_MODEL_LARGEST_WIDTH},
        {"intermediate size", hyper->intermediate, CZ_MODEL_LARGEST_WIDTH},
        {"number of heads", hyper->heads, CZ_MODEL_MOST_HEADS},
        {"number of key-value heads", hyper->kv_heads, CZ_MODEL_MOST_HEADS},
        {"head size", hyper->head_dim, CZ_MODEL_LARGEST_HEAD},
        {"vocabulary size", hyper->vocab, CZ_MODEL_LARGEST_VOCAB},
        {"context length", hyper->context, CZ_MODEL_LARGEST_CONTEXT},
    };
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        cloze_status status =
            check_bound(path, bounds[i].what, bounds[i].value, bounds[i].most, error);
        if (status)
            return status;
    }
    if (hyper->heads % hyper->kv_heads)
        return cz_fail(error, CLOZE_CORRUPT, path,
                       "%u attention heads can't share %u key-value heads evenly", hyper->heads,
                       hyper->kv_heads);
    if (!(hyper->norm_epsilon >= 0 && hyper->norm_epsilon < 1) ||
        !is_positive(hyper->attention_scale) || !is_positive(hyper->embedding_scale))
        return cz_fail(error, CLOZE_CORRUPT, path,
                       "a number is out of range: norm epsilon %g, attention scale %g",
                       hyper->norm_epsilon, hyper->attention_scale);
    cloze_status status = check_rope(&hyper->rope, hyper, path, error);
    return status || !hyper->has_local_rope ? status
                                            : check_rope(&hyper->local_rope, hyper, path, error);
}

/* ---- Named tensors ---- */

cloze_status cz_source_init(struct cz_source *source, struct cz_arena *arena, const char *path,
                            size_t capacity, struct cloze_error *error)
{
    *source = (struct cz_source){.path = path};
    source->tensors = CZ_ARENA_ARRAY(arena, struct cz_source_tensor, capacity + 1);
    if (!source->tensors || !cz_map_reserve(&source->index, capacity))
        return cz_fail_memory(error, path);
    return CLOZE_OK;
}

cloze_status cz_source_add(struct cz_source *source, const struct cz_tensor *tensor,
                           struct cloze_error *error)
{
    int added = cz_map_add(&source->index, cz_slice(tensor->name), source->count, NULL);
    if (added < 0)
        return cz_fail_memory(error, source->path);
    if (added == 0)
        return cz_fail(error, CLOZE_CORRUPT, source->path, "tensor %s occurs in two files",
                       tensor->name);
    source->tensors[source->count++].tensor = *tensor;
    return CLOZE_OK;
}

struct cz_source_tensor *cz_source_find(const struct cz_source *source, const char *name)
{
    uint64_t index;
    return cz_map_get(&source->index, cz_slice(name), &index) ? &source->tensors[index] : NULL;
}

void cz_source_free(struct cz_source *source)
{
    cz_map_free(&source->index);
}

/* ---- Binding ---- */

struct binder {
    struct cz_model *model;
    struct cz_source *source;
    const struct cz_binding *binding;
    struct cloze_error *error;
};

static uint64_t extent_of(const struct cz_hyperparameters *hyper, enum extent extent)
{
    const uint64_t sizes[] = {
        [NONE] = 1,
        [VOCAB] = hyper->vocab,
        [HIDDEN] = hyper->hidden,
        [INTERMEDIATE] = hyper->intermediate,
        [Q_ROWS] = (uint64_t)hyper->heads * hyper->head_dim,
        [KV_ROWS] = (uint64_t)hyper->kv_heads * hyper->head_dim,
        [HEAD] = hyper->head_dim,
        [HALF_ROPE] = hyper->rope.dims / 2,
    };
    return sizes[extent];
}

static void role_name(const struct binder *binder, enum cz_role role, uint32_t layer,
                      char name[128])
{
    bool gguf = binder->binding->naming == CZ_NAMING_GGUF;
    const char *base = gguf ? roles[role].gguf : roles[role].hf;
    if (!gguf && role == CZ_ROLE_FFN_NORM &&
        binder->binding->architecture->roles & CZ_ROLE_BIT(CZ_ROLE_POST_FFN_NORM))
        base = "pre_feedforward_layernorm.weight"; /* Gemma's post_attention_layernorm is another */
    if (role < CZ_ROLE_ATTENTION_NORM)
        snprintf(name, 128, "%s", base ? base : "");
    else
        snprintf(name, 128, gguf ? "blk.%u.%s" : "model.layers.%u.%s", layer, base);
}

/* The tensor `name` if its shape is rows x columns; *out is NULL when it is absent and may be. */
static cloze_status find_shaped(const struct binder *binder, const char *name, bool required,
                                uint64_t rows, uint64_t columns, unsigned rank,
                                struct cz_source_tensor **out)
{
    struct cz_source_tensor *found = *out = cz_source_find(binder->source, name);
    if (!found && !required)
        return CLOZE_OK;
    if (!found)
        return cz_fail(binder->error, CLOZE_CORRUPT, binder->source->path, "tensor %s is missing",
                       name);
    const struct cz_tensor *tensor = &found->tensor;
    if (tensor->rank != rank || tensor->shape[0] != rows || tensor->shape[1] != columns)
        return cz_fail(binder->error, CLOZE_CORRUPT, binder->source->path,
                       "tensor %s has %u dimensions, %llu x %llu; the model's numbers ask for "
                       "%u, %llu x %llu",
                       name, tensor->rank, (unsigned long long)tensor->shape[0],
                       (unsigned long long)tensor->shape[1], rank, (unsigned long long)rows,
                       (unsigned long long)columns);
    found->used = true;
    return CLOZE_OK;
}

static struct cz_tensor *slot(struct cz_model *model, enum cz_role role, uint32_t layer)
{
    return role < CZ_ROLE_ATTENTION_NORM ? &model->tensors[role]
                                         : &model->layers[layer][role - CZ_ROLE_ATTENTION_NORM];
}

static cloze_status bind_role(const struct binder *binder, enum cz_role role, uint32_t layer,
                              bool required)
{
    char name[128];
    struct cz_source_tensor *found;
    const struct cz_hyperparameters *hyper = &binder->model->hyper;
    role_name(binder, role, layer, name);
    cloze_status status =
        find_shaped(binder, name, required, extent_of(hyper, roles[role].rows),
                    extent_of(hyper, roles[role].columns), roles[role].columns ? 2 : 1, &found);
    if (!status && found)
        *slot(binder->model, role, layer) = found->tensor;
    return status;
}

/* Rows [first, first + count) of a matrix: rows are whole blocks, so they lie apart. */
static struct cz_tensor row_range(const struct cz_tensor *tensor, uint64_t first, uint64_t count)
{
    struct cz_tensor range = *tensor;
    size_t row = tensor->size / (size_t)tensor->shape[0];
    range.shape[0] = count;
    range.data = (const char *)tensor->data + row * first;
    range.size = row * (size_t)count;
    return range;
}

/* Phi-3: one matrix for q, k and v, one for gate and up. */
static cloze_status bind_fused(const struct binder *binder, uint32_t layer)
{
    const struct cz_hyperparameters *hyper = &binder->model->hyper;
    bool gguf = binder->binding->naming == CZ_NAMING_GGUF;
    char name[128];
    struct cz_source_tensor *found;
    uint64_t q = extent_of(hyper, Q_ROWS), kv = extent_of(hyper, KV_ROWS);
    snprintf(name, sizeof name,
             gguf ? "blk.%u.attn_qkv.weight" : "model.layers.%u.self_attn.qkv_proj.weight", layer);
    cloze_status status = find_shaped(binder, name, true, q + 2 * kv, hyper->hidden, 2, &found);
    if (status)
        return status;
    *slot(binder->model, CZ_ROLE_Q, layer) = row_range(&found->tensor, 0, q);
    *slot(binder->model, CZ_ROLE_K, layer) = row_range(&found->tensor, q, kv);
    *slot(binder->model, CZ_ROLE_V, layer) = row_range(&found->tensor, q + kv, kv);
    uint64_t half = hyper->intermediate;
    snprintf(name, sizeof name,
             gguf ? "blk.%u.ffn_up.weight" : "model.layers.%u.mlp.gate_up_proj.weight", layer);
    status = find_shaped(binder, name, true, 2 * half, hyper->hidden, 2, &found);
    if (status)
        return status;
    *slot(binder->model, CZ_ROLE_GATE, layer) = row_range(&found->tensor, 0, half);
    *slot(binder->model, CZ_ROLE_UP, layer) = row_range(&found->tensor, half, half);
    return CLOZE_OK;
}

static cloze_status bind_roles(const struct binder *binder, enum cz_role from, enum cz_role to,
                               uint32_t layer)
{
    const struct cz_binding *binding = binder->binding;
    uint64_t required = COMMON_ROLES | binding->architecture->roles | binding->required;
    uint64_t wanted = required | binding->optional;
    if (binding->architecture->fused)
        wanted &= ~(CZ_ROLE_BIT(CZ_ROLE_Q) | CZ_ROLE_BIT(CZ_ROLE_K) | CZ_ROLE_BIT(CZ_ROLE_V) |
                    CZ_ROLE_BIT(CZ_ROLE_GATE) | CZ_ROLE_BIT(CZ_ROLE_UP));
    for (enum cz_role role = from; role < to; role++) {
        cloze_status status = CLOZE_OK;
        if (wanted & CZ_ROLE_BIT(role))
            status = bind_role(binder, role, layer, required & CZ_ROLE_BIT(role));
        if (status)
            return status;
    }
    return CLOZE_OK;
}

static void count_tensors(struct cz_model *model, const struct cz_source *source)
{
    for (size_t i = 0; i < source->count; i++) {
        const struct cz_source_tensor *one = &source->tensors[i];
        model->tensor_bytes += one->tensor.size;
        model->parameters += one->tensor.shape[0] * one->tensor.shape[1];
        if (!one->used)
            cz_log(CZ_LOG_WARNING, "%s: tensor %s is not used by this architecture", source->path,
                   one->tensor.name);
    }
}

cloze_status cz_model_bind(struct cz_model_files *files, struct cz_source *source,
                           const struct cz_binding *binding, struct cloze_error *error)
{
    struct cz_model *model = &files->model;
    struct binder binder = {model, source, binding, error};
    model->layers = cz_arena_array(&files->arena, model->hyper.layers, sizeof *model->layers);
    if (!model->layers)
        return cz_fail_memory(error, source->path);
    cloze_status status = bind_roles(&binder, 0, CZ_ROLE_ATTENTION_NORM, 0);
    for (uint32_t i = 0; !status && i < model->hyper.layers; i++) {
        status = bind_roles(&binder, CZ_ROLE_ATTENTION_NORM, CZ_ROLES, i);
        if (!status && binding->architecture->fused)
            status = bind_fused(&binder, i);
    }
    if (!status)
        count_tensors(model, source);
    return status;
}
