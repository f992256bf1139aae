/*
 * dtype.h - the types that tensors are stored in, and how their blocks become numbers.
 *
 * Data may lie at any address (files promise no alignment). All functions are pure and may be
 * called from any thread; a count that is no multiple of the block is a defect of the caller.
 *
 * Every quantised type here is, per group of 16 or 32 values, value = (code - offset) * scale + minimum
 * with an unsigned code of `bits` bits; IQ4 types map codes through a table first, whose values are
 * meant. Scales and minima are half floats; in types with two levels a half float for 256 values
 * times a small integer for each group. cz_dtype_to_groups hands all of that out as it is stored, so
 * that the packer can repack without going through floats.
 */
#ifndef CZ_MODEL_DTYPE_H
#define CZ_MODEL_DTYPE_H

#include "base/slice.h"

enum cz_dtype {
    CZ_F32,
    CZ_F16,
    CZ_BF16,
    CZ_Q4_0,
    CZ_Q4_1,
    CZ_Q5_0,
    CZ_Q5_1,
    CZ_Q8_0,
    CZ_Q2_K,
    CZ_Q3_K,
    CZ_Q4_K,
    CZ_Q5_K,
    CZ_Q6_K,
    CZ_IQ4_NL,
    CZ_IQ4_XS,
    CZ_DTYPES
};

struct cz_dtype_info {
    const char *name;        /* "Q4_1" */
    unsigned block_elements; /* values in a block: 1, 32 or 256 */
    unsigned block_bytes;
    unsigned bits;    /* of a code; 0 for float types */
    unsigned group;   /* values that share scale and minimum: 16 or 32; 0 for float types */
    bool has_minimum; /* the type stores minima; otherwise minimum = -offset * scale */
    unsigned offset;  /* without minima: value = (code - offset) * scale */
    bool has_table;   /* the code is an index into cz_iq4_table, whose value is meant */
    bool two_levels;
};

extern const uint8_t cz_iq4_table[16]; /* IQ4's values + 128 */

const struct cz_dtype_info *cz_dtype_info(enum cz_dtype dtype);

/* The size of `count` values; false when count is no multiple of the block or the size is absurd.
 */
bool cz_dtype_bytes(enum cz_dtype dtype, uint64_t count, size_t *bytes);

/* `count` values, a multiple of block_elements, to floats. Exact: no rounding but to float. */
void cz_dtype_to_f32(enum cz_dtype dtype, const void *blocks, size_t count, float *out);

/* Where the parts of quantised values go. */
struct cz_groups {
    uint8_t *codes;     /* [count] */
    uint16_t *scales;   /* half floats: [count / group], two levels: [count / 256] */
    uint16_t *minima;   /* the same; with has_minimum only */
    int8_t *low_scales; /* two levels: [count / group]; with minima 0..63 */
    int8_t *low_minima; /* the same */
};

/* The same values taken apart. Quantised types only. */
void cz_dtype_to_groups(enum cz_dtype dtype, const void *blocks, size_t count,
                        struct cz_groups out);

float cz_f16_to_f32(uint16_t half);
uint16_t cz_f32_to_f16(float value);  /* round to nearest even */
uint16_t cz_f32_to_bf16(float value); /* round to nearest even */
static inline float cz_bf16_to_f32(uint16_t value)
{
    uint32_t bits = (uint32_t)value << 16;
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

#endif
