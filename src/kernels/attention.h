/*
 * attention.h - keys, values and softmax of one chunk of positions, written over `lanes`.
 *
 * Included once by the file of each instruction set, after elementwise.h. The queries of all rows
 * and heads of a call ("vectors", at most CZ_ATTENTION_ROWS) meet each key and value once per group
 * of VECTORS, so that loading and converting is shared.
 */
#ifndef CZ_KERNELS_ATTENTION_H
#define CZ_KERNELS_ATTENTION_H

#include "kernels/layout.h"

enum { VECTORS = 4 /* of one pass over keys or values */ };

/* Element index `at` of a key or value array, 16 of them. */
static inline lanes load_kv(enum cz_kv_form form, const unsigned char *array, size_t at)
{
    switch (form) {
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

/* scores[v][32] of `count` vectors against the keys of one tile */
static inline void score_tile(const struct cz_attention *a, enum cz_kv_form form,
                              const unsigned char *tile, const float *const *query,
                              uint32_t count, float *const *scores)
{
    lanes sums[VECTORS][2];
    for (uint32_t v = 0; v < count; v++)
        sums[v][0] = sums[v][1] = lanes_set(0.0f);
    for (uint32_t d = 0; d < a->head_dim; d++) {
        lanes low = load_kv(form, tile, (size_t)d * CZ_KV_POSITIONS);
        lanes high = load_kv(form, tile, (size_t)d * CZ_KV_POSITIONS + LANES);
        for (uint32_t v = 0; v < count; v++) {
            lanes q = lanes_set(query[v][d]);
            sums[v][0] = lanes_fma(q, low, sums[v][0]);
            sums[v][1] = lanes_fma(q, high, sums[v][1]);
        }
    }
    const float *scales = cz_kv_key_scales(form, a->head_dim, tile);
    for (uint32_t v = 0; v < count; v++)
        for (uint32_t half = 0; half < 2; half++) {
            lanes s = lanes_mul(sums[v][half], lanes_set(a->scale));
            if (form == CZ_KV_FORM_INT8)
                s = lanes_mul(s, lanes_load(scales + half * LANES));
            if (a->cap != 0.0f) {
                s = hyperbolic_tangent(lanes_div(s, lanes_set(a->cap)));
                s = lanes_mul(s, lanes_set(a->cap));
            }
            lanes_store(scores[v] + half * LANES, s);
        }
}

/* out[v][head_dim] += weights[v][position] * value[position] over the positions of one tile */
static inline void weigh_tile(const struct cz_attention *a, enum cz_kv_form form,
                              const unsigned char *tile, struct cz_range range, uint32_t count,
                              float *const *weights, float *const *out)
{
    const unsigned char *values = cz_kv_values(form, a->head_dim, tile);
    for (uint32_t d = 0; d < a->head_dim; d += 2 * LANES) {
        uint32_t second = d + LANES < a->head_dim ? LANES : 0; /* head_dim may be odd times 16 */
        lanes sums[VECTORS][2];
        for (uint32_t v = 0; v < count; v++) {
            sums[v][0] = lanes_load(out[v] + d);
            sums[v][1] = lanes_load(out[v] + d + second);
        }
        for (uint32_t p = range.first; p < range.end; p++) {
            lanes low = load_kv(form, values, (size_t)p * a->head_dim + d);
            lanes high = load_kv(form, values, (size_t)p * a->head_dim + d + second);
            for (uint32_t v = 0; v < count; v++) {
                lanes w = lanes_set(weights[v][p]);
                sums[v][0] = lanes_fma(w, low, sums[v][0]);
                sums[v][1] = lanes_fma(w, high, sums[v][1]);
            }
        }
        for (uint32_t v = 0; v < count; v++) {
            lanes_store(out[v] + d, sums[v][0]);
            if (second)
                lanes_store(out[v] + d + second, sums[v][1]);
        }
    }
}

/* Scores to weights: exp(score - maximum) where visible, 0 elsewhere. */
static inline void soften(float *scores, struct cz_range seen, float *highest, float *sum)
{
    for (uint32_t p = 0; p < CZ_ATTENTION_CHUNK; p++)
        if (p < seen.first || p >= seen.end)
            scores[p] = -INFINITY;
    *highest = maximum(scores, CZ_ATTENTION_CHUNK);
    *sum = exp_sum(scores, CZ_ATTENTION_CHUNK, *highest, 1.0f, scores);
}

/* Vectors first .. first + count - 1 of a chunk, count <= VECTORS. */
static inline void attend_vectors(const struct cz_attention *a, enum cz_kv_form form,
                                  uint32_t chunk, uint32_t first, uint32_t count,
                                  struct cz_attention_part *part)
{
    float scores[VECTORS][CZ_ATTENTION_CHUNK];
    const float *query[VECTORS];
    float *tile_scores[VECTORS], *out[VECTORS];
    struct cz_range seen[VECTORS], all = {CZ_ATTENTION_CHUNK, 0};
    for (uint32_t v = 0; v < count; v++) {
        query[v] = query_of(a, first + v);
        out[v] = part->values + (size_t)(first + v) * a->head_dim;
        memset(out[v], 0, a->head_dim * sizeof(float));
        seen[v] = visible(a, first + v, chunk);
        if (seen[v].first < seen[v].end) {
            all.first = seen[v].first < all.first ? seen[v].first : all.first;
            all.end = seen[v].end > all.end ? seen[v].end : all.end;
        }
    }
    const uint32_t *blocks = a->blocks + chunk * (CZ_ATTENTION_CHUNK / CZ_KV_POSITIONS);
    uint32_t first_block = all.first / CZ_KV_POSITIONS;
    uint32_t end_block = (all.end + CZ_KV_POSITIONS - 1) / CZ_KV_POSITIONS;
    for (uint32_t b = first_block; b < end_block; b++) {
        for (uint32_t v = 0; v < count; v++)
            tile_scores[v] = scores[v] + b * CZ_KV_POSITIONS;
        score_tile(a, form, a->tiles + blocks[b] * a->block_stride, query, count, tile_scores);
    }
    for (uint32_t v = 0; v < count; v++) {
        bool empty = seen[v].first >= seen[v].end;
        part->maximum[first + v] = -INFINITY;
        part->sum[first + v] = 0.0f;
        if (empty)
            memset(scores[v], 0, sizeof scores[v]);
        else
            soften(scores[v], seen[v], &part->maximum[first + v], &part->sum[first + v]);
    }
    for (uint32_t b = first_block; b < end_block; b++) {
        const unsigned char *tile = a->tiles + blocks[b] * a->block_stride;
        uint32_t start = b * CZ_KV_POSITIONS;
        struct cz_range range = {all.first > start ? all.first - start : 0,
                                 all.end - start < CZ_KV_POSITIONS ? all.end - start
                                                                   : CZ_KV_POSITIONS};
        for (uint32_t v = 0; v < count; v++) {
            tile_scores[v] = scores[v] + start;
            if (form == CZ_KV_FORM_INT8)
                for (uint32_t p = 0; p < CZ_KV_POSITIONS; p += LANES)
                    lanes_store(tile_scores[v] + p,
                                lanes_mul(lanes_load(tile_scores[v] + p),
                                          lanes_load(cz_kv_value_scales(form, a->head_dim, tile) +
                                                     p)));
        }
        weigh_tile(a, form, tile, range, count, tile_scores, out);
    }
}

static inline void attend_form(const struct cz_attention *a, enum cz_kv_form form, uint32_t chunk,
                               struct cz_attention_part *part)
{
    uint32_t total = a->rows * a->heads, first = 0;
    for (; first + VECTORS <= total; first += VECTORS)
        attend_vectors(a, form, chunk, first, VECTORS, part);
    switch (total - first) { /* constant counts keep the sums in registers */
    case 3:
        attend_vectors(a, form, chunk, first, 3, part);
        break;
    case 2:
        attend_vectors(a, form, chunk, first, 2, part);
        break;
    case 1:
        attend_vectors(a, form, chunk, first, 1, part);
        break;
    }
}

static void attend_chunk(const struct cz_attention *a, uint32_t chunk,
                         struct cz_attention_part *part)
{
    switch (a->form) {
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

static void write_transposed(enum cz_kv_form form, uint32_t head_dim, unsigned char *keys,
                             uint32_t slot, const float *key)
{
    for (uint32_t d = 0; d < head_dim; d++) {
        size_t at = (size_t)d * CZ_KV_POSITIONS + slot;
        if (form == CZ_KV_FORM_BF16) {
            uint16_t value = cz_float_to_bfloat(key[d]);
            memcpy(keys + at * 2, &value, sizeof value);
        } else {
            memcpy(keys + at * 4, &key[d], sizeof *key);
        }
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

static void kv_write(enum cz_kv_form form, uint32_t head_dim, unsigned char *tile, uint32_t slot,
                     const float *key, const float *value)
{
    unsigned char *values = tile + (cz_kv_values(form, head_dim, tile) - tile);
    if (form == CZ_KV_FORM_INT8) {
        float key_scale = write_codes(key, head_dim, tile + slot, CZ_KV_POSITIONS);
        float value_scale = write_codes(value, head_dim, values + (size_t)slot * head_dim, 1);
        size_t key_at = (size_t)((const unsigned char *)cz_kv_key_scales(form, head_dim, tile) - tile);
        memcpy(tile + key_at + slot * sizeof(float), &key_scale, sizeof key_scale);
        memcpy(tile + key_at + (CZ_KV_POSITIONS + slot) * sizeof(float), &value_scale,
               sizeof value_scale);
        return;
    }
    write_transposed(form, head_dim, tile, slot, key);
    for (uint32_t d = 0; d < head_dim; d += LANES) {
        lanes v = lanes_load(value + d);
        size_t at = (size_t)slot * head_dim + d;
        if (form == CZ_KV_FORM_BF16)
            lanes_store_bfloat(values + at * 2, v);
        else
            memcpy(values + at * 4, value + d, LANES * sizeof *value);
    }
}

#endif
