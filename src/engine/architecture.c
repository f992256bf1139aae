/* architecture.c - the rows of the architecture table, and the checks against them. */
#include "engine/architecture.h"

#define BIT(role) ((uint64_t)1 << CZ_ROLE_##role)

/* What every decoder here has: two norms, attention and a gated feed-forward part per layer. */
#define COMMON                                                                                     \
    (BIT(EMBEDDING) | BIT(OUTPUT_NORM) | BIT(ATTENTION_NORM) | BIT(Q) | BIT(K) | BIT(V) | BIT(O) | \
     BIT(FFN_NORM) | BIT(GATE) | BIT(UP) | BIT(DOWN))
#define QKV_BIAS (BIT(Q_BIAS) | BIT(K_BIAS) | BIT(V_BIAS))
#define QK_NORM (BIT(Q_NORM) | BIT(K_NORM))
#define FFN_BIAS (BIT(GATE_BIAS) | BIT(UP_BIAS) | BIT(DOWN_BIAS))
#define POST_NORMS (BIT(POST_ATTENTION_NORM) | BIT(POST_FFN_NORM))
#define ANYWHERE (BIT(HEAD) | BIT(ROPE_FACTORS))

static const struct cz_architecture table[] = {
    {"llama", COMMON, ANYWHERE | QKV_BIAS | BIT(O_BIAS) | FFN_BIAS, CZ_ACTIVATION_SILU},
    {"smollm3", COMMON, ANYWHERE | QKV_BIAS | BIT(O_BIAS) | FFN_BIAS, CZ_ACTIVATION_SILU},
    {"qwen2", COMMON | QKV_BIAS, ANYWHERE, CZ_ACTIVATION_SILU},
    {"qwen3", COMMON | QK_NORM, ANYWHERE | QKV_BIAS | BIT(O_BIAS), CZ_ACTIVATION_SILU},
    {"gemma3_text", COMMON | QK_NORM | POST_NORMS, ANYWHERE | QKV_BIAS | BIT(O_BIAS),
     CZ_ACTIVATION_GELU_TANH},
    {"phi3", COMMON, ANYWHERE, CZ_ACTIVATION_SILU},
};

static const char *const role_names[CZ_ROLES] = {
    [CZ_ROLE_EMBEDDING] = "embedding",
    [CZ_ROLE_OUTPUT_NORM] = "output norm",
    [CZ_ROLE_HEAD] = "output head",
    [CZ_ROLE_ROPE_FACTORS] = "RoPE factors",
    [CZ_ROLE_ATTENTION_NORM] = "attention norm",
    [CZ_ROLE_Q] = "q",
    [CZ_ROLE_K] = "k",
    [CZ_ROLE_V] = "v",
    [CZ_ROLE_O] = "o",
    [CZ_ROLE_Q_BIAS] = "q bias",
    [CZ_ROLE_K_BIAS] = "k bias",
    [CZ_ROLE_V_BIAS] = "v bias",
    [CZ_ROLE_O_BIAS] = "o bias",
    [CZ_ROLE_Q_NORM] = "q norm",
    [CZ_ROLE_K_NORM] = "k norm",
    [CZ_ROLE_POST_ATTENTION_NORM] = "norm after attention",
    [CZ_ROLE_FFN_NORM] = "feed-forward norm",
    [CZ_ROLE_GATE] = "gate",
    [CZ_ROLE_UP] = "up",
    [CZ_ROLE_DOWN] = "down",
    [CZ_ROLE_GATE_BIAS] = "gate bias",
    [CZ_ROLE_UP_BIAS] = "up bias",
    [CZ_ROLE_DOWN_BIAS] = "down bias",
    [CZ_ROLE_POST_FFN_NORM] = "norm after the feed-forward part",
};

cloze_status cz_architecture_of(const char *name, const struct cz_architecture **out,
                                struct cloze_error *error)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(table[i].name, name) == 0) {
            *out = &table[i];
            return CLOZE_OK;
        }
    }
    return cz_fail(
        error, CLOZE_UNSUPPORTED, NULL,
        "architecture '%s' is not supported; supported are llama (and mistral), smollm3, "
        "qwen2, qwen3, gemma3_text and phi3",
        name);
}

static cloze_status check_role(const struct cz_architecture *architecture,
                               const struct cz_model *model, enum cz_role role, uint32_t layer,
                               struct cloze_error *error)
{
    const struct cz_tensor *tensor = cz_model_tensor(model, role, layer);
    uint64_t bit = (uint64_t)1 << role;
    if (!tensor->data && (architecture->required & bit))
        return cz_fail(error, CLOZE_INVALID, NULL,
                       "the model has no tensor '%s' (layer %u), which architecture '%s' needs",
                       role_names[role], layer, architecture->name);
    if (tensor->data && !((architecture->required | architecture->optional) & bit))
        return cz_fail(error, CLOZE_UNSUPPORTED, tensor->name,
                       "architecture '%s' has no tensor of this kind (%s)", architecture->name,
                       role_names[role]);
    return CLOZE_OK;
}

static cloze_status check_shape(const struct cz_hyperparameters *hyper, struct cloze_error *error)
{
    if (!hyper->heads || !hyper->kv_heads || hyper->heads % hyper->kv_heads)
        return cz_fail(error, CLOZE_INVALID, NULL,
                       "%u attention heads can't be shared out over %u key-value heads",
                       hyper->heads, hyper->kv_heads);
    if (!hyper->rope.dims || hyper->rope.dims % 2 || hyper->rope.dims > hyper->head_dim)
        return cz_fail(error, CLOZE_INVALID, NULL,
                       "RoPE over %u dimensions does not fit heads of %u dimensions",
                       hyper->rope.dims, hyper->head_dim);
    return CLOZE_OK;
}

cloze_status cz_architecture_check(const struct cz_architecture *architecture,
                                   const struct cz_model *model, struct cloze_error *error)
{
    if (model->hyper.activation != architecture->activation)
        return cz_fail(error, CLOZE_UNSUPPORTED, NULL,
                       "architecture '%s' with another activation than %s is not supported",
                       architecture->name,
                       architecture->activation == CZ_ACTIVATION_SILU ? "silu"
                                                                      : "gelu_pytorch_tanh");
    cloze_status status = check_shape(&model->hyper, error);
    for (int role = 0; role < CZ_ROLE_ATTENTION_NORM && !status; role++)
        status = check_role(architecture, model, (enum cz_role)role, 0, error);
    for (uint32_t layer = 0; layer < model->hyper.layers && !status; layer++)
        for (int role = CZ_ROLE_ATTENTION_NORM; role < CZ_ROLES && !status; role++)
            status = check_role(architecture, model, (enum cz_role)role, layer, error);
    return status;
}
