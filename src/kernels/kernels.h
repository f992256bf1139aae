/*
 * kernels.h - the arithmetic of a forward pass behind one table per instruction set.
 *
 * portable.c is the specification; every other table gives the same bits for the same input (the
 * one exception: results or products below 2^-126 in bf16 matmuls, which AVX-512 BF16 flushes to 0).
 * Results never depend on how many rows are computed together or on how work is split: integer
 * sums are exact, float sums have one order that is part of the specification.
 *
 * All functions are reentrant and may run on any thread; none allocates. Arrays are f32 unless said
 * otherwise; sizes are in elements.
 */
#ifndef CZ_KERNELS_KERNELS_H
#define CZ_KERNELS_KERNELS_H

#include "kernels/packed.h"
#include "kernels/pool.h"

/* ---- Activations ---- */

/*
 * What a matmul multiplies with weights: a batch of rows (tokens), made row by row by the `quantize`
 * of the same table, in rows * cz_activation_bytes bytes at a multiple of 64. Rows stand interleaved
 * in tiles (layout.h), so a row can't be moved to another batch. For bf16 weights the values are
 * rounded to bf16. For all others they become int8, with a scale for each 16:
 *
 *   scale a = largest |x| of the 16 values / 127, cut to 22 significant bits
 *   code    = x / a, rounded to nearest even
 *   total   = a * the sum of the codes; pair = total of both halves of a block of 32
 */
enum cz_activation { CZ_ACTIVATION_INT8, CZ_ACTIVATION_BF16 };

static inline enum cz_activation cz_packed_activation(const struct cz_packed *matrix)
{
    return matrix->width == CZ_WIDTH_BF16 ? CZ_ACTIVATION_BF16 : CZ_ACTIVATION_INT8;
}

/* Bytes of one row of a batch, a multiple of 64; some tables' rows need fewer. */
size_t cz_activation_bytes(enum cz_activation kind, uint32_t columns);

/* ---- Matrix product ---- */

/*
 * out[i][r] = sum over columns of activations[i] * weights[r], for i < rows: one row is a GEMV.
 * Then bias[r] is added when bias is not NULL, then what out held when `accumulate` (the residual
 * sum). Without `panels` the panels first..end-1 of the weights are computed and r is the weights'
 * row. With it, `panels` lists panels, the range selects entries of the list, and entry j goes to
 * out[i][16 * j ...]: the sparse output head. Rows beyond weights->rows are never written.
 *
 * Specification, per (i, r): sum = 0; for each block in ascending order:
 *   group 32: t = a0 * D0; t = fma(a1, D1, t); sum = fma(scale, t, sum);
 *             sum = fma(minimum, pair, sum) when the matrix has minima
 *   group 16: for each half h: sum = fma(scale_h, a_h * D_h, sum);
 *             sum = fma(minimum_h, total_h, sum) when the matrix has minima
 * with D_h the exact integer dot product of 16 codes minus offset, a_h the activation's scale.
 * out = sum * multiplier (+ bias) (+ out).
 *   bf16: for each pair of columns 2 * p: sum = fma(w[2p+1], x[2p+1], sum);
 *         sum = fma(w[2p], x[2p], sum).
 */
struct cz_matmul {
    const struct cz_packed *weights;
    const void *activations; /* a batch of `rows` rows, of kind cz_packed_activation(weights) */
    uint32_t rows;
    float *out;
    size_t out_stride; /* floats from one row of `out` to the next */
    const float *bias; /* [weights->rows] or NULL */
    bool accumulate;
    const uint32_t *panels; /* or NULL */
    uint32_t panel_count;   /* entries of `panels` */
};

/* ---- Keys and values ---- */

enum { CZ_KV_POSITIONS = 32 /* in one block */ };
/* F16 saturates: keys and values beyond 65,504 are kept as that. */
enum cz_kv_form { CZ_KV_FORM_F16, CZ_KV_FORM_BF16, CZ_KV_FORM_INT8, CZ_KV_FORM_F32 };

/*
 * Keys and values of one block of 32 positions, one layer and one KV head ("tile"), in
 * cz_kv_tile_bytes bytes at a multiple of 64:
 *   keys    [head_dim][32]: transposed, so that a lane is a position
 *   values  [32][head_dim]
 *   int8 only: float key_scale[32], value_scale[32] (largest |x| / 127; code = x / scale)
 */
size_t cz_kv_tile_bytes(enum cz_kv_form form, uint32_t head_dim);

/*
 * Attention of `rows` consecutive positions (first_position + i) of one sequence, for the `heads`
 * query heads that share one KV head. Row i attends to positions max(0, p + 1 - window) .. p of
 * its own position p (window 0: all). Positions are cut in chunks of CZ_ATTENTION_CHUNK at fixed
 * places; cz_attend_chunk gives the part of one chunk, cz_attend_merge adds the parts in ascending
 * order. So a chunk is the unit of parallel work, and the result does not depend on who computes it.
 *
 * score = (q . k) * scale, then cap * tanh(score / cap) when cap is not 0.
 */
enum {
    CZ_ATTENTION_CHUNK = 256, /* positions */
    CZ_ATTENTION_ROWS = 16,   /* rows * heads of one call at most */
    CZ_MAX_HEAD_DIM = 512,
};

struct cz_attention {
    enum cz_kv_form form;
    uint32_t head_dim; /* a multiple of 16, at most CZ_MAX_HEAD_DIM */
    uint32_t heads;    /* query heads of this KV head */
    uint32_t rows;     /* rows * heads <= CZ_ATTENTION_ROWS */
    uint32_t first_position;
    uint32_t window;
    float scale;
    float cap;
    const float *queries; /* row i, head h: queries + i * query_stride + h * head_dim */
    size_t query_stride;
    const unsigned char *tiles; /* the KV memory of this layer and head: tile of block b at */
    size_t block_stride;        /*   tiles + blocks[b] * block_stride */
    const uint32_t *blocks;     /* block b holds positions 32 * b ... of the sequence */
};

/* The softmax of one chunk, not yet divided: one per (row, head), row-major. */
struct cz_attention_part {
    float maximum[CZ_ATTENTION_ROWS]; /* -INFINITY: the row attends to nothing in this chunk */
    float sum[CZ_ATTENTION_ROWS];
    float *values; /* [rows * heads][head_dim], caller's memory, 64-byte aligned */
};

/* First chunk that any row of the call attends to, and one past the last. */
struct cz_range cz_attention_chunks(const struct cz_attention *attention);

/* ---- The table ---- */

struct cz_kernels {
    const char *name; /* "portable", "avx2", "avx2-vnni", "avx512-vnni", "avx512-bf16", "neon" ... */
    uint32_t bfloat_bytes; /* of one bf16 activation: 4 when they are kept as floats, else 2 */

    /* Panels (or list entries) first..end-1 of the product. */
    void (*matmul)(const struct cz_matmul *matmul, struct cz_range range);
    /* Puts x[columns] in place `row` of a batch of `rows`. Rows may be put by several threads. */
    void (*quantize)(enum cz_activation kind, const float *x, uint32_t columns, uint32_t rows,
                     uint32_t row, void *activations);

    /* out[i] = x[i] / sqrt(mean(x^2) + epsilon) * weight[i]; out may be x; weight may be NULL. */
    void (*rms_norm)(const float *x, const float *weight, uint32_t count, float epsilon,
                     float *out);
    /* Rotates the pairs (x[i], x[half + i]) by the angle of cosine[i], sine[i]; i < half. */
    void (*rope)(float *x, uint32_t half, const float *cosine, const float *sine);
    /* out = silu(gate) * up, out = gelu_tanh(gate) * up; out may be gate or up. */
    void (*silu_mul)(const float *gate, const float *up, uint32_t count, float *out);
    void (*gelu_mul)(const float *gate, const float *up, uint32_t count, float *out);
    void (*add)(float *x, const float *y, uint32_t count);                /* x += y */
    void (*scale)(float *x, float factor, uint32_t count);                /* x *= factor */
    void (*softcap)(float *x, float cap, uint32_t count); /* x = cap * tanh(x / cap) */

    /* Writes key[head_dim] and value[head_dim] at position `slot` (0..31) of a tile. */
    void (*kv_write)(enum cz_kv_form form, uint32_t head_dim, unsigned char *tile, uint32_t slot,
                     const float *key, const float *value);
    /* Fills `part` with the chunk's part of the attention. */
    void (*attend_chunk)(const struct cz_attention *attention, uint32_t chunk,
                         struct cz_attention_part *part);
    /* into = into + part, the parts being in ascending order of chunks. */
    void (*attend_merge)(struct cz_attention_part *into, const struct cz_attention_part *part,
                         uint32_t count, uint32_t head_dim);
    /* out[i] = part->values[i] / part->sum[i], count vectors, `out_stride` floats apart */
    void (*attend_finish)(const struct cz_attention_part *part, uint32_t count, uint32_t head_dim,
                          float *out, size_t out_stride);

    /* For the sampler. NaN never compares greater. */
    float (*maximum)(const float *x, uint32_t count);     /* -INFINITY when count is 0 */
    uint32_t (*argmax)(const float *x, uint32_t count);   /* the lowest index of the maximum */
    /* out[i] = exp((x[i] - maximum) * factor); returns their sum; out may be x. */
    float (*exp_sum)(const float *x, uint32_t count, float maximum, float factor, float *out);
    /* Indices of x[i] >= threshold in ascending order, at most `capacity`; returns how many there
     * are in all. */
    uint32_t (*select)(const float *x, uint32_t count, float threshold, uint32_t *out,
                       uint32_t capacity);
};

/* The fastest table this CPU runs, or the one that the environment's CLOZE_KERNELS names (an
 * unknown or unsupported name: CLOZE_UNSUPPORTED, listing what there is). */
cloze_status cz_kernels_select(const struct cz_kernels **out, struct cloze_error *error);
/* Table number `index` that this CPU runs, slowest first (0 is portable); NULL past the end. */
const struct cz_kernels *cz_kernels_at(uint32_t index);

/* Where in the record of a batch's only row its columns from `column` on, a multiple of a block, begin. */
size_t cz_activation_offset(const struct cz_kernels *kernels, enum cz_activation kind,
                            uint32_t column);

/*
 * The products of `list` shared among the workers: one parallel loop, no barrier at its end. All
 * of them are computed by the time that every worker has passed the next barrier. Matrices that
 * take the same activations (q, k, v; gate, up) belong in one call.
 */
void cz_matmul_run(const struct cz_kernels *kernels, struct cz_worker *worker,
                   const struct cz_matmul *list, uint32_t count);

/*
 * The same for two products with as many rows of weights and no `panels`, the same rows of both at a
 * time: then() gets each range of them, a multiple of 32 but for the last one, when this worker has
 * computed it.
 */
typedef void cz_matmul_then(void *context, struct cz_range rows);
void cz_matmul_run_pair(const struct cz_kernels *kernels, struct cz_worker *worker,
                        const struct cz_matmul pair[2], cz_matmul_then *then, void *context);

/* Floats of scratch memory (64-byte aligned) that cz_attend needs. */
size_t cz_attention_scratch(uint32_t head_dim);
/* The whole attention of one call by one worker: all chunks, merged and divided. Row i, head h goes
 * to out + i * out_stride + h * head_dim. The same bits as chunks shared among workers. */
void cz_attend(const struct cz_kernels *kernels, const struct cz_attention *attention,
               float *scratch, float *out, size_t out_stride);
/* The end of an attention whose chunks several workers computed: parts[count], ascending from the
 * first chunk, are merged into parts[0] and divided. The same bits as cz_attend. */
void cz_attend_parts(const struct cz_kernels *kernels, const struct cz_attention *attention,
                     struct cz_attention_part *parts, uint32_t count, float *out,
                     size_t out_stride);

/* cos and sin of position * frequency[i], times `magnitude`, for rope; the same bits on every machine
 * (no libm). |position * frequency[i]| is at most 2^24. */
void cz_rope_angles(double position, const float *frequency, uint32_t count, float magnitude,
                    float *cosine, float *sine);

#endif
