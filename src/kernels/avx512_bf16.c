/* avx512_bf16.c - AVX-512 with VNNI and BF16 (Cooper Lake, Sapphire Rapids, Zen 4 and later). */
#include <immintrin.h>

/* The instruction adds the product of the odd elements first, then that of the even ones, each with
 * one rounding, and flushes subnormal numbers to 0. */
static inline __m512 add_bfloat_pair(__m512 sum, __m512i weights, __m512i x)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)weights, (__m512bh)x);
}

#include "kernels/avx512.h"

const struct cz_kernels cz_kernels_avx512_bf16 = {CZ_KERNEL_TABLE("avx512-bf16")};
