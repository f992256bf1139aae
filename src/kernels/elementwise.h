/*
 * elementwise.h - norms, rotations, activations and the sampler's helpers, written over `lanes`.
 *
 * Included once by the file of each instruction set, after its lanes_*.h. Sums run over 16 lanes;
 * a tail of fewer values is padded with zeros (or -infinity for maxima) and goes through the same
 * operations.
 */
#ifndef CZ_KERNELS_ELEMENTWISE_H
#define CZ_KERNELS_ELEMENTWISE_H

#include "kernels/layout.h"

static inline lanes load_tail(const float *at, uint32_t count, float padding)
{
    float values[LANES];
    for (uint32_t i = 0; i < LANES; i++)
        values[i] = i < count ? at[i] : padding;
    return lanes_load(values);
}

static inline lanes load_some(const float *x, uint32_t i, uint32_t count, float padding)
{
    return count - i >= LANES ? lanes_load(x + i) : load_tail(x + i, count - i, padding);
}

static inline void store_some(float *x, uint32_t i, uint32_t count, lanes value)
{
    if (count - i >= LANES) {
        lanes_store(x + i, value);
    } else {
        float values[LANES];
        lanes_store(values, value);
        memcpy(x + i, values, (count - i) * sizeof *x);
    }
}

/*
 * e^x to about 1 ulp: x = n * ln 2 + r, a polynomial of degree 6 in r, times 2^n. 0 below -87.3,
 * where the result would be subnormal; at most 2^127.
 */
static inline lanes exponential(lanes x)
{
    const lanes low = lanes_set(-87.33654f), high = lanes_set(88.0f);
    lanes bounded = lanes_min(lanes_max(x, low), high);
    lanes n = lanes_round(lanes_mul(bounded, lanes_set(1.44269504f)));
    lanes r = lanes_fma(n, lanes_set(-0.693359375f), bounded);
    r = lanes_fma(n, lanes_set(2.12194440e-4f), r);
    lanes p = lanes_set(1.3888889e-3f);
    p = lanes_fma(p, r, lanes_set(8.3333333e-3f));
    p = lanes_fma(p, r, lanes_set(4.1666668e-2f));
    p = lanes_fma(p, r, lanes_set(1.6666667e-1f));
    p = lanes_fma(p, r, lanes_set(0.5f));
    p = lanes_fma(p, r, lanes_set(1.0f));
    p = lanes_fma(p, r, lanes_set(1.0f));
    return lanes_where_ge(x, low, lanes_mul(p, lanes_power_of_two(n)), lanes_set(0.0f));
}

/* x / (1 + e^-z) */
static inline lanes gated(lanes x, lanes z)
{
    lanes e = exponential(lanes_sub(lanes_set(0.0f), z));
    return lanes_div(x, lanes_add(lanes_set(1.0f), e));
}

/* tanh(x) = 1 - 2 / (e^2x + 1) */
static inline lanes hyperbolic_tangent(lanes x)
{
    lanes e = exponential(lanes_add(x, x));
    return lanes_sub(lanes_set(1.0f), lanes_div(lanes_set(2.0f), lanes_add(e, lanes_set(1.0f))));
}

/* 16 values to codes; returns scale and sum of the codes. */
static inline float quantize_group(lanes x, int8_t codes[LANES], int32_t *sum)
{
    float largest = lanes_maximum(lanes_abs(x));
    float scale = largest > 1e-30f ? cz_cut_scale(largest / 127.0f) : 0.0f;
    float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    lanes code = lanes_round(lanes_mul(x, lanes_set(inverse)));
    code = lanes_min(lanes_max(code, lanes_set(-127.0f)), lanes_set(127.0f));
    *sum = lanes_store_int8(codes, code);
    return scale;
}

static inline lanes load_padded(const float *x, uint32_t at, uint32_t columns)
{
    return at < columns ? load_some(x, at, columns, 0.0f) : lanes_set(0.0f);
}

static void quantize_int8(const float *x, uint32_t columns, struct cz_tile tile)
{
    uint32_t blocks = (columns + CZ_BLOCK_COLUMNS - 1) / CZ_BLOCK_COLUMNS;
    for (uint32_t b = 0; b < blocks; b++) {
        struct cz_tile_block block = cz_tile_block(tile.memory, tile.rows, b);
        int8_t codes[CZ_BLOCK_COLUMNS];
        for (uint32_t half = 0; half < 2; half++) {
            lanes v = load_padded(x, b * CZ_BLOCK_COLUMNS + half * LANES, columns);
            uint32_t at = half * tile.rows + tile.row;
            block.scales[at] = quantize_group(v, codes + half * LANES, &block.sums[at]);
            block.totals[at] = block.scales[at] * (float)block.sums[at];
        }
        block.pairs[tile.row] = block.totals[tile.row] + block.totals[tile.rows + tile.row];
        for (uint32_t s = 0; s < CZ_BLOCK_COLUMNS / 4; s++)
            memcpy(block.codes + ((size_t)s * tile.rows + tile.row) * 4, codes + (size_t)s * 4, 4);
    }
}

#ifdef CZ_BFLOAT_PAIRS
enum { BFLOAT_BYTES = sizeof(uint16_t) };
#else
enum { BFLOAT_BYTES = sizeof(float) };
#endif

static void quantize_bfloat(const float *x, uint32_t columns, struct cz_tile tile)
{
    uint32_t padded = (columns + CZ_BLOCK_COLUMNS - 1) / CZ_BLOCK_COLUMNS * CZ_BLOCK_COLUMNS;
    for (uint32_t at = 0; at < padded; at += LANES) {
        uint16_t values[LANES];
        lanes_store_bfloat(values, load_padded(x, at, columns));
#ifdef CZ_BFLOAT_PAIRS
        for (size_t i = 0; i < LANES / 2; i++)
            memcpy(tile.memory + ((at / 2 + i) * tile.rows + tile.row) * 4, values + i * 2, 4);
#else
        float wide[LANES];
        lanes_store(wide, lanes_load_bfloat(values));
        for (size_t i = 0; i < LANES; i++)
            memcpy(tile.memory + ((at + i) * tile.rows + tile.row) * 4, &wide[i], 4);
#endif
    }
}

static void quantize(enum cz_activation kind, const float *x, uint32_t columns, uint32_t rows,
                     uint32_t row, void *activations)
{
    size_t bytes = cz_activation_bytes(kind, columns);
    if (kind == CZ_ACTIVATION_BF16)
        quantize_bfloat(x, columns, cz_tile_of(activations, rows, row, CZ_BF16_TILE, bytes));
    else
        quantize_int8(x, columns, cz_tile_of(activations, rows, row, CZ_INT8_TILE, bytes));
}

static void rms_norm(const float *x, const float *weight, uint32_t count, float epsilon,
                     float *out)
{
    lanes sums[2] = {lanes_set(0.0f), lanes_set(0.0f)};
    for (uint32_t i = 0; i < count; i += LANES) {
        lanes v = load_some(x, i, count, 0.0f);
        sums[i / LANES % 2] = lanes_fma(v, v, sums[i / LANES % 2]);
    }
    float mean = lanes_sum(lanes_add(sums[0], sums[1])) / (float)count;
    lanes factor = lanes_set(1.0f / sqrtf(mean + epsilon));
    for (uint32_t i = 0; i < count; i += LANES) {
        lanes v = lanes_mul(load_some(x, i, count, 0.0f), factor);
        if (weight)
            v = lanes_mul(v, load_some(weight, i, count, 0.0f));
        store_some(out, i, count, v);
    }
}

static void rope(float *x, uint32_t half, const float *cosine, const float *sine)
{
    for (uint32_t i = 0; i < half; i += LANES) {
        lanes a = load_some(x, i, half, 0.0f), b = load_some(x + half, i, half, 0.0f);
        lanes c = load_some(cosine, i, half, 0.0f), s = load_some(sine, i, half, 0.0f);
        store_some(x, i, half, lanes_sub(lanes_mul(a, c), lanes_mul(b, s)));
        store_some(x + half, i, half, lanes_add(lanes_mul(b, c), lanes_mul(a, s)));
    }
}

static void silu_mul(const float *gate, const float *up, uint32_t count, float *out)
{
    for (uint32_t i = 0; i < count; i += LANES) {
        lanes g = load_some(gate, i, count, 0.0f);
        store_some(out, i, count, lanes_mul(gated(g, g), load_some(up, i, count, 0.0f)));
    }
}

/* gelu(x) = x / 2 * (1 + tanh(u)) = x / (1 + e^-2u), u = sqrt(2 / pi) * (x + 0.044715 x^3) */
static void gelu_mul(const float *gate, const float *up, uint32_t count, float *out)
{
    for (uint32_t i = 0; i < count; i += LANES) {
        lanes g = load_some(gate, i, count, 0.0f);
        lanes cubic = lanes_fma(lanes_mul(g, g), lanes_set(0.044715f), lanes_set(1.0f));
        lanes twice = lanes_mul(lanes_mul(g, cubic), lanes_set(1.5957691216f));
        store_some(out, i, count, lanes_mul(gated(g, twice), load_some(up, i, count, 0.0f)));
    }
}

static void add(float *x, const float *y, uint32_t count)
{
    for (uint32_t i = 0; i < count; i += LANES)
        store_some(x, i, count,
                   lanes_add(load_some(x, i, count, 0.0f), load_some(y, i, count, 0.0f)));
}

static void scale(float *x, float factor, uint32_t count)
{
    for (uint32_t i = 0; i < count; i += LANES)
        store_some(x, i, count, lanes_mul(load_some(x, i, count, 0.0f), lanes_set(factor)));
}

static void softcap(float *x, float cap, uint32_t count)
{
    for (uint32_t i = 0; i < count; i += LANES) {
        lanes v = lanes_div(load_some(x, i, count, 0.0f), lanes_set(cap));
        store_some(x, i, count, lanes_mul(hyperbolic_tangent(v), lanes_set(cap)));
    }
}

static float maximum(const float *x, uint32_t count)
{
    lanes m = lanes_set(-INFINITY);
    for (uint32_t i = 0; i < count; i += LANES)
        m = lanes_max(load_some(x, i, count, -INFINITY), m);
    return lanes_maximum(m);
}

static uint32_t argmax(const float *x, uint32_t count)
{
    float top = maximum(x, count);
    for (uint32_t i = 0; i < count; i += LANES) {
        uint32_t mask = lanes_mask_ge(load_some(x, i, count, -INFINITY), lanes_set(top));
        if (mask)
            return i + (uint32_t)__builtin_ctz(mask);
    }
    return 0;
}

static float exp_sum(const float *x, uint32_t count, float highest, float factor, float *out)
{
    lanes sum = lanes_set(0.0f);
    for (uint32_t i = 0; i < count; i += LANES) {
        lanes v = lanes_sub(load_some(x, i, count, -INFINITY), lanes_set(highest));
        v = exponential(lanes_mul(v, lanes_set(factor)));
        sum = lanes_add(sum, v);
        store_some(out, i, count, v);
    }
    return lanes_sum(sum);
}

static uint32_t select_ge(const float *x, uint32_t count, float threshold, uint32_t *out,
                          uint32_t capacity)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i += LANES) {
        uint32_t mask = lanes_mask_ge(load_some(x, i, count, NAN), lanes_set(threshold));
        for (; mask; mask &= mask - 1, found++)
            if (found < capacity)
                out[found] = i + (uint32_t)__builtin_ctz(mask);
    }
    return found;
}

#endif
