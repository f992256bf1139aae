/*
 * attention.h - keys, values and softmax of one chunk of positions, written over `lanes`.
 *
 * Included once by the file of each instruction set, after elementwise.h. The queries of all rows
 * and heads of a call ("vectors", at most CZ_ATTENTION_ROWS) meet each key and value once per group
 * of VECTORS, so that loading and converting is shared; VECTORS comes with the lanes: what fits the
 * registers.
 */
#ifndef CZ_KERNELS_ATTENTION_H
#define CZ_KERNELS_ATTENTION_H

#include "kernels/layout.h"

enum { MOST_COLUMNS_OF_VALUES = 4 }; /* registers of values that one vector meets at a time */

/* One group of vectors and one chunk. */
struct group {
    const struct cz_attention *attention;
    const uint32_t *blocks;                 /* of the chunk */
    uint32_t first;                         /* vector */
    struct cz_range seen[VECTORS];          /* positions that each vector attends to, in the chunk */
    struct cz_range all;                    /* what any of them attends to */
    float queries[CZ_MAX_HEAD_DIM][VECTORS];
    float scores[VECTORS][CZ_ATTENTION_CHUNK]; /* then weights */
};

/* Element index `at` of a key or value array, 16 of them. */
static inline lanes load_kv(enum cz_kv_form form, const unsigned char *array, size_t at)
{
    switch (form) {
    case CZ_KV_FORM_F16:
        return lanes_load_half(array + at * 2);
    case CZ_KV_FORM_BF16:
        return lanes_load_bfloat(array + at * 2);
    case CZ_KV_FORM_INT8:
        return lanes_load_int8(array + at);
    default:
        return lanes_load((const float *)(const void *)(array + at * 4));
    }
}

/* The positions that vector `index` attends to in a chunk, counted from the chunk's start. */
static inline struct cz_range visible(const struct cz_attention *a, uint32_t index, uint32_t chunk)
{
    uint32_t start = chunk * CZ_ATTENTION_CHUNK;
    uint32_t end = a->first_position + index / a->heads + 1;
    uint32_t first = a->window && end > a->window ? end - a->window : 0;
    struct cz_range range = {first > start ? first - start : 0, end > start ? end - start : 0};
    if (range.end > CZ_ATTENTION_CHUNK)
        range.end = CZ_ATTENTION_CHUNK;
    if (range.first > range.end)
        range.first = range.end;
    return range;
}

static inline const float *query_of(const struct cz_attention *a, uint32_t index)
{
    return a->queries + index / a->heads * a->query_stride +
           (size_t)(index % a->heads) * a->head_dim;
}

static inline const unsigned char *tile_of(const struct group *group, uint32_t block)
{
    return group->attention->tiles + group->blocks[block] * group->attention->block_stride;
}

static void start_group(struct group *group, const struct cz_attention *a, uint32_t chunk,
                        uint32_t first, uint32_t count)
{
    group->attention = a;
    group->blocks = a->blocks + chunk * (CZ_ATTENTION_CHUNK / CZ_KV_POSITIONS);
    group->first = first;
    group->all = (struct cz_range){CZ_ATTENTION_CHUNK, 0};
    for (uint32_t v = 0; v < count; v++) {
        struct cz_range seen = group->seen[v] = visible(a, first + v, chunk);
        if (seen.first < seen.end) {
            group->all.first = seen.first < group->all.first ? seen.first : group->all.first;
            group->all.end = seen.end > group->all.end ? seen.end : group->all.end;
        }
        const float *query = query_of(a, first + v);
        for (uint32_t d = 0; d < a->head_dim; d++)
            group->queries[d][v] = query[d];
    }
}

/* Scores of the positions of one block. */
static inline __attribute__((always_inline)) void
score_block(struct group *group, enum cz_kv_form form, uint32_t count, uint32_t block)
{
    const struct cz_attention *a = group->attention;
    const unsigned char *tile = tile_of(group, block);
    lanes sums[VECTORS][2];
    UNROLL for (uint32_t v = 0; v < count; v++)
        sums[v][0] = sums[v][1] = lanes_set(0.0f);
    for (uint32_t d = 0; d < a->head_dim; d++) {
        lanes low = load_kv(form, tile, (size_t)d * CZ_KV_POSITIONS);
        lanes high = load_kv(form, tile, (size_t)d * CZ_KV_POSITIONS + LANES);
        UNROLL for (uint32_t v = 0; v < count; v++)
        {
            lanes q = lanes_set(group->queries[d][v]);
            sums[v][0] = lanes_fma(q, low, sums[v][0]);
            sums[v][1] = lanes_fma(q, high, sums[v][1]);
        }
    }
    lanes scales[2] = {lanes_set(a->scale), lanes_set(a->scale)};
    UNROLL for (uint32_t half = 0; half < 2; half++)
    {
        if (form == CZ_KV_FORM_INT8)
            scales[half] = lanes_mul(scales[half],
                                     lanes_load(cz_kv_key_scales(form, a->head_dim, tile) +
                                                half * LANES));
        UNROLL for (uint32_t v = 0; v < count; v++)
        {
            float *scores = group->scores[v] + block * CZ_KV_POSITIONS + half * LANES;
            lanes_store(scores, lanes_mul(sums[v][half], scales[half]));
        }
    }
}

/* The values of all positions, weighed: the dimensions from `d` on that `columns` registers hold. */
static inline __attribute__((always_inline)) void
weigh_columns(const struct group *group, enum cz_kv_form form, uint32_t count, uint32_t columns,
              uint32_t d, struct cz_attention_part *part)
{
    uint32_t dims = group->attention->head_dim;
    lanes sums[VECTORS][MOST_COLUMNS_OF_VALUES];
    UNROLL for (uint32_t v = 0; v < count; v++)
        UNROLL for (uint32_t c = 0; c < columns; c++)
            sums[v][c] = lanes_set(0.0f);
    for (uint32_t p = group->all.first; p < group->all.end;) {
        uint32_t block = p / CZ_KV_POSITIONS, end = (block + 1) * CZ_KV_POSITIONS;
        const unsigned char *values = cz_kv_values(form, dims, tile_of(group, block));
        for (end = end < group->all.end ? end : group->all.end; p < end; p++) {
            size_t at = (size_t)(p % CZ_KV_POSITIONS) * dims + d;
            lanes loaded[MOST_COLUMNS_OF_VALUES];
            UNROLL for (uint32_t c = 0; c < columns; c++)
                loaded[c] = load_kv(form, values, at + c * LANES);
            UNROLL for (uint32_t v = 0; v < count; v++)
            {
                lanes w = lanes_set(group->scores[v][p]);
                UNROLL for (uint32_t c = 0; c < columns; c++)
                    sums[v][c] = lanes_fma(w, loaded[c], sums[v][c]);
            }
        }
    }
    UNROLL for (uint32_t v = 0; v < count; v++)
        UNROLL for (uint32_t c = 0; c < columns; c++)
            lanes_store(part->values + (size_t)(group->first + v) * dims + d + c * LANES,
                        sums[v][c]);
}

/* To out[head_dim] of each vector. Few vectors leave registers for twice as many dimensions, so that
 * values are read half as often. */
static inline __attribute__((always_inline)) void
weigh_values(const struct group *group, enum cz_kv_form form, uint32_t count,
             struct cz_attention_part *part)
{
    uint32_t dims = group->attention->head_dim, d = 0;
    if (count <= VECTORS / 2)
        for (; d + 4 * LANES <= dims; d += 4 * LANES)
            weigh_columns(group, form, count, 4, d, part);
    for (; d + 2 * LANES <= dims; d += 2 * LANES)
        weigh_columns(group, form, count, 2, d, part);
    if (d < dims) /* head_dim may be odd times 16 */
        weigh_columns(group, form, count, 1, d, part);
}

/* Scores of one vector to weights: exp(score - maximum) where visible, 0 elsewhere. Vectors of 16
 * that no vector of the group sees are left alone: they would add 0 to every sum. */
static void soften(struct group *group, uint32_t v, float *highest, float *sum)
{
    float *scores = group->scores[v];
    struct cz_range seen = group->seen[v];
    uint32_t first = group->all.first / LANES * LANES;
    uint32_t end = (group->all.end + LANES - 1) / LANES * LANES;
    if (group->attention->cap != 0.0f)
        softcap(scores + first, group->attention->cap, end - first);
    for (uint32_t p = first; p < seen.first; p++)
        scores[p] = -INFINITY;
    for (uint32_t p = seen.end; p < end; p++)
        scores[p] = -INFINITY;
    *highest = maximum(scores + first, end - first);
    *sum = exp_sum(scores + first, end - first, *highest, 1.0f, scores + first);
}

/* int8 values: their scales become part of the weights. */
static void scale_weights(struct group *group, uint32_t v)
{
    for (uint32_t p = group->all.first / LANES * LANES; p < group->all.end; p += LANES) {
        const float *scales = cz_kv_value_scales(CZ_KV_FORM_INT8, group->attention->head_dim,
                                                 tile_of(group, p / CZ_KV_POSITIONS));
        float *weights = group->scores[v] + p;
        lanes_store(weights,
                    lanes_mul(lanes_load(weights), lanes_load(scales + p % CZ_KV_POSITIONS)));
    }
}

/* Vectors first .. first + count - 1 of a chunk. */
static inline __attribute__((always_inline)) void
attend_vectors(const struct cz_attention *a, enum cz_kv_form form, uint32_t chunk, uint32_t first,
               uint32_t count, struct cz_attention_part *part)
{
    struct group group;
    start_group(&group, a, chunk, first, count);
    for (uint32_t b = group.all.first / CZ_KV_POSITIONS; b * CZ_KV_POSITIONS < group.all.end; b++)
        score_block(&group, form, count, b);
    for (uint32_t v = 0; v < count; v++) {
        part->maximum[first + v] = -INFINITY;
        part->sum[first + v] = 0.0f;
        if (group.seen[v].first < group.seen[v].end)
            soften(&group, v, &part->maximum[first + v], &part->sum[first + v]);
        else
            memset(group.scores[v], 0, sizeof group.scores[v]);
        if (form == CZ_KV_FORM_INT8)
            scale_weights(&group, v);
    }
    weigh_values(&group, form, count, part);
}

static inline __attribute__((always_inline)) void
attend_form(const struct cz_attention *a, enum cz_kv_form form, uint32_t chunk,
            struct cz_attention_part *part)
{
    uint32_t total = a->rows * a->heads, count;
    for (uint32_t first = 0; first < total; first += count) {
        count = total - first < VECTORS ? total - first : VECTORS;
        switch (count) { /* constants keep the sums in registers */
        case 1:
            attend_vectors(a, form, chunk, first, 1, part);
            break;
#if VECTORS > 2
        case 2:
            attend_vectors(a, form, chunk, first, 2, part);
            break;
        case 3:
            attend_vectors(a, form, chunk, first, 3, part);
            break;
#endif
#if VECTORS > 4
        case 4:
            attend_vectors(a, form, chunk, first, 4, part);
            break;
        case 5:
            attend_vectors(a, form, chunk, first, 5, part);
            break;
        case 6:
            attend_vectors(a, form, chunk, first, 6, part);
            break;
        case 7:
            attend_vectors(a, form, chunk, first, 7, part);
            break;
#endif
        default:
            attend_vectors(a, form, chunk, first, VECTORS, part);
            break;
        }
    }
}

static void attend_chunk(const struct cz_attention *a, uint32_t chunk,
                         struct cz_attention_part *part)
{
    switch (a->form) {
    case CZ_KV_FORM_F16:
        attend_form(a, CZ_KV_FORM_F16, chunk, part);
        break;
    case CZ_KV_FORM_BF16:
        attend_form(a, CZ_KV_FORM_BF16, chunk, part);
        break;
    case CZ_KV_FORM_INT8:
        attend_form(a, CZ_KV_FORM_INT8, chunk, part);
        break;
    case CZ_KV_FORM_F32:
        attend_form(a, CZ_KV_FORM_F32, chunk, part);
        break;
    }
}

/* e^x of one number, as the lanes compute it */
static float exp_one(float x)
{
    float values[LANES];
    lanes_store(values, exponential(lanes_set(x)));
    return values[0];
}

static void attend_merge(struct cz_attention_part *into, const struct cz_attention_part *part,
                         uint32_t count, uint32_t head_dim)
{
    for (uint32_t v = 0; v < count; v++) {
        if (part->sum[v] == 0.0f)
            continue;
        float *sums = into->values + (size_t)v * head_dim;
        const float *more = part->values + (size_t)v * head_dim;
        float highest = into->maximum[v] > part->maximum[v] ? into->maximum[v] : part->maximum[v];
        float old = into->sum[v] == 0.0f ? 0.0f : exp_one(into->maximum[v] - highest);
        float new = exp_one(part->maximum[v] - highest);
        for (uint32_t d = 0; d < head_dim; d += LANES) {
            lanes kept = lanes_mul(lanes_load(sums + d), lanes_set(old));
            lanes_store(sums + d, lanes_fma(lanes_load(more + d), lanes_set(new), kept));
        }
        into->sum[v] = into->sum[v] * old + part->sum[v] * new;
        into->maximum[v] = highest;
    }
}

static void attend_finish(const struct cz_attention_part *part, uint32_t count, uint32_t head_dim,
                          float *out, size_t out_stride)
{
    for (uint32_t v = 0; v < count; v++)
        for (uint32_t d = 0; d < head_dim; d += LANES)
            lanes_store(out + v * out_stride + d,
                        lanes_div(lanes_load(part->values + (size_t)v * head_dim + d),
                                  lanes_set(part->sum[v])));
}

/* 16 elements as they are kept, in `out`; returns the bytes of one. Not for int8. */
static inline __attribute__((always_inline)) size_t
narrow(enum cz_kv_form form, lanes x, unsigned char out[LANES * sizeof(float)])
{
    if (form == CZ_KV_FORM_F16)
        lanes_store_half(out, lanes_min(lanes_max(x, lanes_set(-65504.0f)), lanes_set(65504.0f)));
    else if (form == CZ_KV_FORM_BF16)
        lanes_store_bfloat(out, x);
    else
        lanes_store((float *)(void *)out, x);
    return cz_kv_element_bytes(form);
}

/* The form is a constant: copies of as many bytes as an element has become single moves. */
static inline __attribute__((always_inline)) void
write_floats(enum cz_kv_form form, uint32_t head_dim, unsigned char *tile, uint32_t slot,
             const float *key, const float *value)
{
    unsigned char *values = tile + (cz_kv_values(form, head_dim, tile) - tile);
    for (uint32_t d = 0; d < head_dim; d += LANES) {
        unsigned char kept[LANES * sizeof(float)];
        size_t bytes = narrow(form, lanes_load(key + d), kept);
        for (uint32_t i = 0; i < LANES; i++)
            memcpy(tile + ((size_t)(d + i) * CZ_KV_POSITIONS + slot) * bytes, kept + i * bytes,
                   bytes);
        narrow(form, lanes_load(value + d), kept);
        memcpy(values + ((size_t)slot * head_dim + d) * bytes, kept, LANES * bytes);
    }
}

/* Codes of one vector, one byte every `stride`; returns the scale. */
static float write_codes(const float *x, uint32_t count, unsigned char *out, size_t stride)
{
    lanes largest = lanes_set(0.0f);
    for (uint32_t d = 0; d < count; d += LANES)
        largest = lanes_max(lanes_abs(lanes_load(x + d)), largest);
    float scale = lanes_maximum(largest) / 127.0f;
    lanes inverse = lanes_set(scale > 1e-30f ? 1.0f / scale : 0.0f);
    for (uint32_t d = 0; d < count; d += LANES) {
        int8_t codes[LANES];
        lanes code = lanes_round(lanes_mul(lanes_load(x + d), inverse));
        code = lanes_min(lanes_max(code, lanes_set(-127.0f)), lanes_set(127.0f));
        lanes_store_int8(codes, code);
        for (uint32_t i = 0; i < LANES; i++)
            memcpy(out + (d + i) * stride, &codes[i], 1);
    }
    return scale;
}

static void write_int8(uint32_t head_dim, unsigned char *tile, uint32_t slot, const float *key,
                       const float *value)
{
    const enum cz_kv_form form = CZ_KV_FORM_INT8;
    unsigned char *values = tile + (cz_kv_values(form, head_dim, tile) - tile);
    float key_scale = write_codes(key, head_dim, tile + slot, CZ_KV_POSITIONS);
    float value_scale = write_codes(value, head_dim, values + (size_t)slot * head_dim, 1);
    size_t key_at = (size_t)((const unsigned char *)cz_kv_key_scales(form, head_dim, tile) - tile);
    memcpy(tile + key_at + slot * sizeof(float), &key_scale, sizeof key_scale);
    memcpy(tile + key_at + (CZ_KV_POSITIONS + slot) * sizeof(float), &value_scale,
           sizeof value_scale);
}

static void kv_write(enum cz_kv_form form, uint32_t head_dim, unsigned char *tile, uint32_t slot,
                     const float *key, const float *value)
{
    switch (form) {
    case CZ_KV_FORM_F16:
        write_floats(CZ_KV_FORM_F16, head_dim, tile, slot, key, value);
        break;
    case CZ_KV_FORM_BF16:
        write_floats(CZ_KV_FORM_BF16, head_dim, tile, slot, key, value);
        break;
    case CZ_KV_FORM_INT8:
        write_int8(head_dim, tile, slot, key, value);
        break;
    case CZ_KV_FORM_F32:
        write_floats(CZ_KV_FORM_F32, head_dim, tile, slot, key, value);
        break;
    }
}

#endif
