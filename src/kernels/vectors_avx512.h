/* vectors_avx512.h - what product.h needs: AVX-512 with VNNI. */
#ifndef CZ_KERNELS_VECTORS_AVX512_H
#define CZ_KERNELS_VECTORS_AVX512_H

#include "kernels/lanes_avx512.h"
#include "kernels/packed.h"

#define VECTOR_ROWS 16
#define TILE_VECTORS 2
#define WIDE_BIAS 0

typedef float fvec __attribute__((vector_size(64)));
typedef int32_t ivec __attribute__((vector_size(64)));

static inline fvec fvec_set(float value)
{
    return (fvec)_mm512_set1_ps(value);
}

static inline fvec fvec_fma(fvec a, fvec b, fvec c)
{
    return (fvec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}

static inline fvec fvec_halves(const unsigned char *at)
{
    return (fvec)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)at));
}

static inline ivec ivec_bytes(const unsigned char *at)
{
    return (ivec)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)at));
}

static inline ivec ivec_set(int32_t value)
{
    return (ivec)_mm512_set1_epi32(value);
}

static inline ivec ivec_table(ivec nibbles)
{
    __m128i table = _mm_loadu_si128((const __m128i *)(const void *)CZ_PACKED_TABLE);
    return (ivec)_mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), (__m512i)nibbles);
}

static inline ivec ivec_dot4(ivec sum, ivec codes, ivec x, bool wide)
{
    (void)wide;
    return (ivec)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)codes, (__m512i)x);
}

#endif
