/*
 * avx512_bf16.c - AVX-512 with VNNI and BF16, where vdpbf16ps is fast (Zen 4 and later).
 *
 * The instruction adds the product of the odd elements first, then that of the even ones, each with
 * one rounding, and flushes subnormal numbers to 0.
 */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

typedef __m512i bfloat_pairs;

static inline bfloat_pairs bfloat_weights(__m512i pairs)
{
    return pairs;
}

/* sum + weights * the pair `k` of column `c` of a tile of `columns` */
static inline __m512 bfloat_add(__m512 sum, bfloat_pairs weights, const unsigned char *x,
                                uint32_t columns, size_t k, uint32_t c)
{
    int32_t pair;
    memcpy(&pair, x + (k * columns + c) * 4, sizeof pair);
    return _mm512_dpbf16_ps(sum, (__m512bh)weights, (__m512bh)_mm512_set1_epi32(pair));
}

#define CZ_BFLOAT_PAIRS
#include "kernels/avx512.h"

const struct cz_kernels cz_kernels_avx512_bf16 = {CZ_KERNEL_TABLE("avx512-bf16")};
