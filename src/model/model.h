/*
 * model.h - one description for every file format: hyper-parameters, tensors by role, tokenizer
 * tables, chat template, generation defaults.
 *
 * The files stay mapped as long as the model is open; tensors point into the mapping (unaligned:
 * use memcpy or the dtype functions). Everything has been checked when cz_model_open returns:
 * shapes against the hyper-parameters, bounds, types. A feature that Cloze doesn't run is refused
 * by name. An open model is immutable and may be read by any number of threads.
 */
#ifndef CZ_MODEL_MODEL_H
#define CZ_MODEL_MODEL_H

#include "model/dtype.h"
#include "tokenizer/tables.h"
#include "json/json.h"

enum cz_role {
    /* one per model */
    CZ_ROLE_EMBEDDING,    /* [vocab, hidden] */
    CZ_ROLE_OUTPUT_NORM,  /* [hidden] */
    CZ_ROLE_HEAD,         /* [vocab, hidden]; absent when tied to the embedding */
    CZ_ROLE_ROPE_FACTORS, /* [head_dim / 2] divisors of the base frequencies (GGUF), or absent */
    /* one per layer */
    CZ_ROLE_ATTENTION_NORM,
    CZ_ROLE_Q, /* [heads * head_dim, hidden] */
    CZ_ROLE_K, /* [kv_heads * head_dim, hidden] */
    CZ_ROLE_V,
    CZ_ROLE_O, /* [hidden, heads * head_dim] */
    CZ_ROLE_Q_BIAS,
    CZ_ROLE_K_BIAS,
    CZ_ROLE_V_BIAS,
    CZ_ROLE_O_BIAS,
    CZ_ROLE_Q_NORM, /* [head_dim] */
    CZ_ROLE_K_NORM,
    CZ_ROLE_POST_ATTENTION_NORM, /* Gemma: after attention, before the residual sum */
    CZ_ROLE_FFN_NORM,
    CZ_ROLE_GATE, /* [intermediate, hidden] */
    CZ_ROLE_UP,
    CZ_ROLE_DOWN, /* [hidden, intermediate] */
    CZ_ROLE_GATE_BIAS,
    CZ_ROLE_UP_BIAS,
    CZ_ROLE_DOWN_BIAS,
    CZ_ROLE_POST_FFN_NORM,
    CZ_ROLES
};

/* A matrix is row-major with shape {rows, columns}; a vector has rank 1. Fused matrices (phi3's qkv
 * and gate_up) are handed out as their row ranges. */
struct cz_tensor {
    const char *name; /* as in the file */
    enum cz_dtype dtype;
    unsigned rank;     /* 1 or 2 */
    uint64_t shape[2]; /* {rows, columns}, or {size, 1} */
    const void *data;  /* NULL when the model has no such tensor */
    size_t size;       /* bytes */
};

enum cz_rope_type {
    CZ_ROPE_DEFAULT,
    CZ_ROPE_LINEAR,
    CZ_ROPE_DYNAMIC,
    CZ_ROPE_LLAMA3,
    CZ_ROPE_YARN,
    CZ_ROPE_LONGROPE
};

struct cz_rope {
    enum cz_rope_type type;
    double theta;
    double factor;
    double low_freq_factor, high_freq_factor; /* llama3 */
    double beta_fast, beta_slow;              /* yarn */
    double attention_factor; /* multiplies cos and sin; 1 unless the type sets it */
    uint32_t original_context;
    uint32_t dims;             /* rotated dimensions of a head */
    const float *long_factors; /* [dims / 2] longrope, or NULL */
    const float *short_factors;
};

enum cz_activation_function { CZ_ACTIVATION_SILU, CZ_ACTIVATION_GELU_TANH };

struct cz_hyperparameters {
    char architecture[32]; /* llama (Mistral too), qwen2, qwen3, gemma3_text, smollm3, phi3 */
    uint32_t vocab;        /* rows of the embedding; may exceed the tokenizer's count */
    uint32_t hidden, intermediate, layers, heads, kv_heads, head_dim;
    uint32_t context;
    double norm_epsilon;
    enum cz_activation_function activation;
    struct cz_rope rope;
    struct cz_rope local_rope; /* for layers with a sliding window, where they differ (Gemma 3) */
    bool has_local_rope;
    uint32_t sliding_window; /* 0: none */
    const uint8_t
        *layer_is_local; /* [layers] 1 where the window applies; NULL: everywhere if any */
    const uint8_t *layer_has_rope; /* [layers]; NULL: all */
    double attention_scale;        /* of q.k; usually head_dim^-0.5 */
    double embedding_scale;        /* 1, or Gemma's sqrt(hidden) rounded to the model's dtype */
    double attention_softcap, final_softcap; /* 0: none */
    bool qk_interleaved; /* rows of Q and K pair neighbours (GGUF llama): undo when packing */
    bool norm_adds_one;  /* norms multiply by 1 + w (Gemma from safetensors) */
};

/* What generation_config.json or the file says; NAN or 0 where it says nothing. */
struct cz_generation_defaults {
    double temperature, top_p, min_p, repetition_penalty;
    uint32_t top_k;
    bool do_sample, has_do_sample;
};

struct cz_model {
    struct cz_hyperparameters hyper;
    struct cz_tensor tensors[CZ_ROLE_ATTENTION_NORM];              /* by role */
    struct cz_tensor (*layers)[CZ_ROLES - CZ_ROLE_ATTENTION_NORM]; /* [hyper.layers] */
    const struct cz_tokenizer_tables *tokenizer;                   /* NULL: the files have none */
    struct cz_slice chat_template;                                 /* empty: none */
    const uint32_t *stop_ids; /* union of every eos the files name */
    size_t stop_count;
    struct cz_generation_defaults defaults;
    const char *format; /* "gguf" or "safetensors" */
    const char *name;   /* general.name or _name_or_path; "" when unknown */
    uint64_t parameters;
    size_t tensor_bytes; /* of all tensors */
    void *owner;         /* mappings and arena, private to the room */
};

/* Opens a GGUF file (or the first of its shards) or a folder that holds one model. Warnings (unused
 * tensors) go to the log. */
cloze_status cz_model_open(const char *path, struct cz_model **out, struct cloze_error *error);
void cz_model_close(struct cz_model *model);

/* The tensor of a role, in a layer where the role is per layer; ->data is NULL when absent. */
const struct cz_tensor *cz_model_tensor(const struct cz_model *model, enum cz_role role,
                                        uint32_t layer);

#endif
