/* avx512_vnni.c - AVX-512 with VNNI but without BF16 (Cascade Lake, Ice Lake). */
#include <immintrin.h>

static inline __m512 add_bfloat_pair(__m512 sum, __m512i weights, __m512i x)
{
    const __m512i high = _mm512_set1_epi32((int)0xffff0000);
    sum = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(weights, high)),
                          _mm512_castsi512_ps(_mm512_and_si512(x, high)), sum);
    return _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(weights, 16)),
                           _mm512_castsi512_ps(_mm512_slli_epi32(x, 16)), sum);
}

#include "kernels/avx512.h"

const struct cz_kernels cz_kernels_avx512_vnni = {CZ_KERNEL_TABLE("avx512-vnni")};
