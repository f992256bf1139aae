/*
 * cpu.h - the CPU backend's parts: opened weights, KV memory and the buffers of a step.
 *
 * A step runs as one task on all workers of the pool (cpu_step.c); stages are separated by
 * barriers. Everything is allocated when the backend is opened; a step allocates nothing.
 *
 * KV memory: block[kv_blocks], a block being tile[layers][kv_heads][copies] (kernels.h, "Keys and
 * values"). There are two copies only for longrope models: keys rotated for positions before and
 * past the switch, so that a row finds all keys rotated the way its own position asks for.
 */
#ifndef CZ_ENGINE_CPU_H
#define CZ_ENGINE_CPU_H

#include "engine/backend.h"
#include "engine/packed_file.h"
#include "kernels/kernels.h"

enum {
    CZ_HEAD_GROUP = 16, /* logits requests that go through the head together */
    CZ_ACTIVATION_KINDS = 2,
    CZ_BACKEND_MAX_ROWS = 1 << 16,
};

/* The matrices that take the same input. */
struct cz_cpu_product {
    struct cz_packed weights[3];
    const float *bias[3];
    uint32_t count;
    bool needs[CZ_ACTIVATION_KINDS]; /* forms of the input, by enum cz_activation */
};

struct cz_cpu_layer {
    struct cz_cpu_product qkv, o, gate_up, down;
    const float *attention_norm, *q_norm, *k_norm, *post_attention_norm;
    const float *ffn_norm, *post_ffn_norm; /* NULL where the architecture has none */
    bool has_rope, is_local;
};

/* Rows that attend together: consecutive positions of one sequence, from one RoPE table. */
struct cz_cpu_tile {
    uint32_t row, count;
    bool is_wanted; /* logits are wanted of one of them */
};

struct cz_cpu_worker_memory {
    float *row;       /* one row of any width */
    float *attention; /* scratch of cz_attend */
    unsigned char *records[CZ_ACTIVATION_KINDS]; /* one row: the input that a worker makes for itself */
};

struct cz_cpu_backend {
    struct cz_backend base;
    struct cz_backend_options options;
    char name[48];
    const struct cz_kernels *kernels;
    struct cz_pool *pool;
    struct cz_packed_model packed;
    const struct cz_packed_hyper *hyper;
    struct cz_cpu_layer *layers; /* [hyper->layers] */
    struct cz_packed embedding;
    struct cz_cpu_product head;
    const float *output_norm;
    const float *frequencies[3]; /* by enum cz_cpu_rope, NULL when not used */

    unsigned char *kv; /* mmapped */
    size_t kv_bytes, tile_bytes, head_bytes, layer_bytes, block_bytes;

    /* Buffers of a step; rows = options.max_rows. All in `memory`, mmapped. */
    unsigned char *memory;
    size_t memory_bytes;
    float *x;                                    /* [rows][hidden]: the residual stream */
    float *q, *k, *v;                            /* [rows][heads or kv_heads * head_dim] */
    float *attended;                             /* [rows][heads * head_dim] */
    float *gate, *up;                            /* [rows][intermediate] */
    float *sum;                                  /* [rows][hidden]: input of a norm after a part */
    float *cosine[3], *sine[3];                  /* [rows][dims / 2], by enum cz_cpu_rope */
    unsigned char *records[CZ_ACTIVATION_KINDS]; /* the input of the next products */
    float *logits;                               /* [CZ_HEAD_GROUP][vocab up to a whole panel] */
    uint32_t *panels;                            /* [CZ_HEAD_GROUP][panels of the head] */
    struct cz_cpu_tile *tiles;                   /* [rows] */
    uint32_t tile_count;
    uint32_t *logits_order;          /* [max_logits] */
    uint32_t *wanted, wanted_count;  /* [rows]: those that logits are wanted of */
    uint32_t *place;                 /* [rows]: where a wanted row ends up */
    struct cz_attention_part *parts; /* [part_count]: attention shared by chunks of positions */
    uint32_t part_count;
    uint32_t chunk_count;                 /* of this step; 0: a worker does all chunks of an item */
    struct cz_cpu_worker_memory *workers; /* [threads] */
};

static inline enum cz_kv_form cz_cpu_kv_form(const struct cz_cpu_backend *backend)
{
    static const enum cz_kv_form forms[] = {[CZ_KV_F16] = CZ_KV_FORM_F16,
                                            [CZ_KV_BF16] = CZ_KV_FORM_BF16,
                                            [CZ_KV_INT8] = CZ_KV_FORM_INT8,
                                            [CZ_KV_F32] = CZ_KV_FORM_F32};
    return forms[backend->options.kv_type];
}

enum cz_cpu_rope { CZ_CPU_ROPE, CZ_CPU_ROPE_LONG, CZ_CPU_ROPE_LOCAL };

/* The step function of the backend's table. */
cloze_status cz_cpu_step(struct cz_backend *backend, const struct cz_step *step,
                         struct cloze_error *error);

#endif
