/*
 * avx512_bf16.c - AVX-512 with VNNI and BF16, where vdpbf16ps is fast (Zen 4 and later).
 *
 * The instruction adds the product of the odd elements first, then that of the even ones, each with
 * one rounding, and flushes subnormal numbers to 0.
 */
#include "kernels/vectors_avx512.h"

#define CZ_BFLOAT_PAIRS

static inline fvec bfloat_dot(fvec sum, ivec weights, ivec x)
{
    return (fvec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)weights, (__m512bh)x);
}

#include "kernels/product.h"

const struct cz_kernels cz_kernels_avx512_bf16 = {CZ_KERNEL_TABLE("avx512-bf16")};
