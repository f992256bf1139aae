/*
 * vectors_avx2.h - what product.h needs: AVX2, FMA and F16C. The including file defines WIDE_BIAS and
 * ivec_dot4.
 */
#ifndef CZ_KERNELS_VECTORS_AVX2_H
#define CZ_KERNELS_VECTORS_AVX2_H

#include "kernels/lanes_avx2.h"
#include "kernels/packed.h"

#define VECTOR_ROWS 8
#define TILE_VECTORS 1

typedef float fvec __attribute__((vector_size(32)));
typedef int32_t ivec __attribute__((vector_size(32)));

static inline fvec fvec_set(float value)
{
    return (fvec)_mm256_set1_ps(value);
}

static inline fvec fvec_fma(fvec a, fvec b, fvec c)
{
    return (fvec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}

static inline fvec fvec_halves(const unsigned char *at)
{
    return (fvec)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)at));
}

static inline ivec ivec_bytes(const unsigned char *at)
{
    return (ivec)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)at));
}

static inline ivec ivec_set(int32_t value)
{
    return (ivec)_mm256_set1_epi32(value);
}

static inline ivec ivec_table(ivec nibbles)
{
    __m128i table = _mm_loadu_si128((const __m128i *)(const void *)CZ_PACKED_TABLE);
    return (ivec)_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), (__m256i)nibbles);
}

#endif
