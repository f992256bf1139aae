/*
 * lanes_portable.h - vectors of 16 floats in plain C: what each operation means.
 *
 * elementwise.h and attention.h are written with these operations and compiled once for each
 * instruction set; lanes_avx2.h, lanes_avx512.h and lanes_neon.h define the same operations with the
 * same results, bit by bit.
 */
#ifndef CZ_KERNELS_LANES_PORTABLE_H
#define CZ_KERNELS_LANES_PORTABLE_H

#include "kernels/packed.h"

#include <math.h>
#include <string.h>

enum { LANES = 16 };
#define VECTORS 2 /* see attention.h */

typedef struct {
    float x[LANES];
} lanes;

#define EACH_LANE for (int i = 0; i < LANES; i++)

static inline lanes lanes_load(const float *at)
{
    lanes a;
    memcpy(a.x, at, sizeof a.x);
    return a;
}

static inline void lanes_store(float *at, lanes a)
{
    memcpy(at, a.x, sizeof a.x);
}

static inline lanes lanes_set(float value)
{
    lanes a;
    EACH_LANE a.x[i] = value;
    return a;
}

static inline lanes lanes_load_bfloat(const void *at)
{
    lanes a;
    EACH_LANE {
        uint16_t value;
        memcpy(&value, (const char *)at + i * 2, sizeof value);
        a.x[i] = cz_bfloat_to_float(value);
    }
    return a;
}

/* NaN aside, as cz_float_to_bfloat. */
static inline void lanes_store_bfloat(void *at, lanes a)
{
    EACH_LANE {
        uint16_t value = cz_float_to_bfloat(a.x[i]);
        memcpy((char *)at + i * 2, &value, sizeof value);
    }
}

static inline lanes lanes_load_half(const void *at)
{
    lanes a;
    EACH_LANE {
        uint16_t value;
        memcpy(&value, (const char *)at + i * 2, sizeof value);
        a.x[i] = cz_half_to_float(value);
    }
    return a;
}

/* Numbers within the range of halves. */
static inline void lanes_store_half(void *at, lanes a)
{
    EACH_LANE {
        uint16_t value = cz_float_to_half(a.x[i]);
        memcpy((char *)at + i * 2, &value, sizeof value);
    }
}

static inline lanes lanes_load_int8(const void *at)
{
    lanes a;
    EACH_LANE a.x[i] = ((const int8_t *)at)[i];
    return a;
}

/* Integral values in -128..127; returns their sum. */
static inline int32_t lanes_store_int8(void *at, lanes a)
{
    int32_t sum = 0;
    EACH_LANE {
        ((int8_t *)at)[i] = (int8_t)a.x[i];
        sum += (int32_t)a.x[i];
    }
    return sum;
}

static inline lanes lanes_add(lanes a, lanes b)
{
    EACH_LANE a.x[i] = a.x[i] + b.x[i];
    return a;
}

static inline lanes lanes_sub(lanes a, lanes b)
{
    EACH_LANE a.x[i] = a.x[i] - b.x[i];
    return a;
}

static inline lanes lanes_mul(lanes a, lanes b)
{
    EACH_LANE a.x[i] = a.x[i] * b.x[i];
    return a;
}

static inline lanes lanes_div(lanes a, lanes b)
{
    EACH_LANE a.x[i] = a.x[i] / b.x[i];
    return a;
}

/* a * b + c with one rounding */
static inline lanes lanes_fma(lanes a, lanes b, lanes c)
{
    EACH_LANE a.x[i] = fmaf(a.x[i], b.x[i], c.x[i]);
    return a;
}

/* The second operand when either is NaN. */
static inline lanes lanes_max(lanes a, lanes b)
{
    EACH_LANE a.x[i] = a.x[i] > b.x[i] ? a.x[i] : b.x[i];
    return a;
}

static inline lanes lanes_min(lanes a, lanes b)
{
    EACH_LANE a.x[i] = a.x[i] < b.x[i] ? a.x[i] : b.x[i];
    return a;
}

static inline lanes lanes_abs(lanes a)
{
    EACH_LANE a.x[i] = fabsf(a.x[i]);
    return a;
}

/* To the nearest integral value, halves to even. */
static inline lanes lanes_round(lanes a)
{
    EACH_LANE a.x[i] = rintf(a.x[i]);
    return a;
}

/* 2^n for integral n in -126..127 */
static inline lanes lanes_power_of_two(lanes n)
{
    EACH_LANE {
        uint32_t bits = (uint32_t)((int32_t)n.x[i] + 127) << 23;
        memcpy(&n.x[i], &bits, sizeof bits);
    }
    return n;
}

/* a >= b ? x : y */
static inline lanes lanes_where_ge(lanes a, lanes b, lanes x, lanes y)
{
    EACH_LANE x.x[i] = a.x[i] >= b.x[i] ? x.x[i] : y.x[i];
    return x;
}

/* Bit i: a[i] >= b[i]. */
static inline uint32_t lanes_mask_ge(lanes a, lanes b)
{
    uint32_t mask = 0;
    EACH_LANE mask |= (uint32_t)(a.x[i] >= b.x[i]) << i;
    return mask;
}

/* Lanes 8 apart first, then 4, 2, 1. */
static inline float lanes_sum(lanes a)
{
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            a.x[i] = a.x[i] + a.x[i + half];
    return a.x[0];
}

static inline float lanes_maximum(lanes a)
{
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            a.x[i] = a.x[i] > a.x[i + half] ? a.x[i] : a.x[i + half];
    return a.x[0];
}

#endif
