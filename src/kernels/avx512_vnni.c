/*
 * avx512_vnni.c - AVX-512 with VNNI; bf16 by f32 multiply-adds.
 *
 * Also the better one of the two on Intel CPUs with BF16: there vdpbf16ps takes four times as long
 * as a multiply-add (measured on Emerald Rapids), for twice the work.
 */
#include <immintrin.h>
#include <stdint.h>

typedef struct {
    __m512 odd, even;
} bfloat_pairs;

static inline bfloat_pairs bfloat_weights(__m512i pairs)
{
    const __m512i high = _mm512_set1_epi32((int)0xffff0000);
    return (bfloat_pairs){_mm512_castsi512_ps(_mm512_and_si512(pairs, high)),
                          _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16))};
}

/* sum + weights * the pair `k` of column `c` of a tile of `columns` */
static inline __m512 bfloat_add(__m512 sum, bfloat_pairs weights, const unsigned char *x,
                                uint32_t columns, size_t k, uint32_t c)
{
    const float *at = (const float *)(const void *)x + 2 * k * columns + c;
    sum = _mm512_fmadd_ps(weights.odd, _mm512_set1_ps(at[columns]), sum);
    return _mm512_fmadd_ps(weights.even, _mm512_set1_ps(at[0]), sum);
}

#include "kernels/avx512.h"

const struct cz_kernels cz_kernels_avx512_vnni = {CZ_KERNEL_TABLE("avx512-vnni")};
