/* avx2_vnni.c - AVX2 with AVX-VNNI (Alder Lake and later client CPUs). */
#include "kernels/vectors_avx2.h"

#define WIDE_BIAS 0

static inline ivec ivec_dot4(ivec sum, ivec codes, ivec x, bool wide)
{
    (void)wide;
    return (ivec)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)codes, (__m256i)x);
}

#include "kernels/product.h"

const struct cz_kernels cz_kernels_avx2_vnni = {CZ_KERNEL_TABLE("avx2-vnni")};
