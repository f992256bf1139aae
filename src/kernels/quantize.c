/*
 * quantize.c - floats to groups of codes, for `--quantize` at import.
 *
 * Eight bits: the largest magnitude becomes 127. Fewer bits: several scales are tried, each refined
 * by least squares (for given codes c, the scale and minimum that bring scale * c + minimum nearest
 * to the values), and the one with the smallest squared error is kept.
 */
#include "kernels/packed_private.h"

#include <math.h>

enum { CANDIDATES = 15 };

/* Rounded to 11 significant bits, what a half float holds. */
static float round_scale(float value)
{
    uint32_t bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    bits = (bits + 0xfff + (bits >> 13 & 1)) & ~UINT32_C(0x1fff);
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

/* Codes for a given scale and minimum; returns the squared error. */
static float assign(const float *x, uint32_t count, int largest, float scale, float minimum,
                    uint8_t *codes)
{
    float inverse = scale != 0 ? 1.0f / scale : 0.0f, error = 0;
    for (uint32_t i = 0; i < count; i++) {
        float code = rintf((x[i] - minimum) * inverse);
        code = fminf(fmaxf(code, 0.0f), (float)largest);
        codes[i] = (uint8_t)code;
        float difference = x[i] - (scale * code + minimum);
        error += difference * difference;
    }
    return error;
}

/* Least squares over both scale and minimum. */
static void refine_affine(const float *x, uint32_t count, const uint8_t *codes, float *scale,
                          float *minimum)
{
    float n = (float)count, sc = 0, scc = 0, sx = 0, scx = 0;
    for (uint32_t i = 0; i < count; i++) {
        float c = codes[i];
        sc += c;
        scc += c * c;
        sx += x[i];
        scx += c * x[i];
    }
    float determinant = n * scc - sc * sc;
    if (determinant <= 0)
        return;
    *scale = (n * scx - sc * sx) / determinant;
    *minimum = (sx - *scale * sc) / n;
}

/* Least squares over the scale alone: value = scale * (code - offset). */
static void refine_symmetric(const float *x, uint32_t count, const uint8_t *codes, float offset,
                             float *scale)
{
    float scc = 0, scx = 0;
    for (uint32_t i = 0; i < count; i++) {
        float c = (float)codes[i] - offset;
        scc += c * c;
        scx += c * x[i];
    }
    if (scc > 0)
        *scale = scx / scc;
}

/* One group with minimum (`affine`) or with the offset in the codes. */
static void quantize_group(const float *x, uint32_t count, int largest, int offset, bool affine,
                           uint8_t *codes, float *scale, float *minimum)
{
    float low = x[0], high = x[0], extreme = 0;
    for (uint32_t i = 0; i < count; i++) {
        low = fminf(low, x[i]);
        high = fmaxf(high, x[i]);
        extreme = fabsf(x[i]) > fabsf(extreme) ? x[i] : extreme;
    }
    float best_error = INFINITY, full = affine ? (high - low) / (float)largest
                                               : -extreme / (float)offset;
    uint8_t trial[32];
    *scale = *minimum = 0;
    for (int candidate = 0; candidate < CANDIDATES; candidate++) {
        float s = full * (1.05f - 0.02f * (float)candidate), m = low;
        m = affine ? low : -s * (float)offset;
        assign(x, count, largest, s, m, trial);
        if (affine)
            refine_affine(x, count, trial, &s, &m);
        else
            refine_symmetric(x, count, trial, (float)offset, &s);
        s = round_scale(s);
        m = affine ? round_scale(m) : -s * (float)offset;
        float error = assign(x, count, largest, s, m, trial);
        if (error < best_error) {
            best_error = error;
            *scale = s;
            *minimum = m;
            __builtin_memcpy(codes, trial, count);
        }
    }
}

/* Eight bits around offset 128: code - 128 in -127..127. */
static void quantize_bytes(const float *x, uint32_t count, uint8_t *codes, float *scale)
{
    float largest = 0;
    for (uint32_t i = 0; i < count; i++)
        largest = fmaxf(largest, fabsf(x[i]));
    *scale = round_scale(largest / 127.0f);
    float inverse = *scale != 0 ? 1.0f / *scale : 0.0f;
    for (uint32_t i = 0; i < count; i++)
        codes[i] = (uint8_t)(fminf(fmaxf(rintf(x[i] * inverse), -127.0f), 127.0f) + 128.0f);
}

void cz_quantize_groups(const struct cz_packed *shape, const float *values, uint8_t *codes,
                        float *scales, float *minima)
{
    uint32_t group = shape->group;
    int largest = CZ_WIDTH_CODES[shape->width];
    for (uint32_t g = 0; g < shape->columns / group; g++) {
        const float *x = values + (size_t)g * group;
        if (shape->width == CZ_WIDTH_8 && !shape->has_minimum)
            quantize_bytes(x, group, codes + (size_t)g * group, &scales[g]);
        else
            quantize_group(x, group, largest, (int)shape->offset, shape->has_minimum,
                           codes + (size_t)g * group, &scales[g], &minima[g]);
    }
}
