/* lanes_avx512.h - 16 floats in one register; see lanes_portable.h for what the operations mean. */
#ifndef CZ_KERNELS_LANES_AVX512_H
#define CZ_KERNELS_LANES_AVX512_H

#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 16 };
#define VECTORS 8 /* see attention.h */

typedef __m512 lanes;

static inline lanes lanes_load(const float *at)
{
    return _mm512_loadu_ps(at);
}

static inline void lanes_store(float *at, lanes a)
{
    _mm512_storeu_ps(at, a);
}

static inline lanes lanes_set(float value)
{
    return _mm512_set1_ps(value);
}

static inline lanes lanes_load_bfloat(const void *at)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(at));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

static inline void lanes_store_bfloat(void *at, lanes a)
{
    __m512i bits = _mm512_castps_si512(a);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    bits = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    _mm256_storeu_si256(at, _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16)));
}

static inline lanes lanes_load_half(const void *at)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256(at));
}

static inline void lanes_store_half(void *at, lanes a)
{
    _mm256_storeu_si256(at, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}

static inline lanes lanes_load_int8(const void *at)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(at)));
}

static inline int32_t lanes_store_int8(void *at, lanes a)
{
    __m128i bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a));
    _mm_storeu_si128(at, bytes);
    __m128i sum = _mm_dpbusd_epi32(_mm_setzero_si128(), _mm_set1_epi8(1), bytes);
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1)));
}

static inline lanes lanes_add(lanes a, lanes b)
{
    return _mm512_add_ps(a, b);
}

static inline lanes lanes_sub(lanes a, lanes b)
{
    return _mm512_sub_ps(a, b);
}

static inline lanes lanes_mul(lanes a, lanes b)
{
    return _mm512_mul_ps(a, b);
}

static inline lanes lanes_div(lanes a, lanes b)
{
    return _mm512_div_ps(a, b);
}

static inline lanes lanes_fma(lanes a, lanes b, lanes c)
{
    return _mm512_fmadd_ps(a, b, c);
}

static inline lanes lanes_max(lanes a, lanes b)
{
    return _mm512_max_ps(a, b);
}

static inline lanes lanes_min(lanes a, lanes b)
{
    return _mm512_min_ps(a, b);
}

static inline lanes lanes_abs(lanes a)
{
    return _mm512_abs_ps(a);
}

static inline lanes lanes_round(lanes a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline lanes lanes_power_of_two(lanes n)
{
    __m512i exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23));
}

static inline lanes lanes_where_ge(lanes a, lanes b, lanes x, lanes y)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GE_OQ), y, x);
}

static inline uint32_t lanes_mask_ge(lanes a, lanes b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ);
}

static inline __m256 lanes_half(lanes a, int half)
{
    return _mm512_castps512_ps256(half ? _mm512_shuffle_f32x4(a, a, 0xee) : a);
}

static inline float lanes_sum(lanes a)
{
    __m256 b = _mm256_add_ps(lanes_half(a, 0), lanes_half(a, 1));
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}

static inline float lanes_maximum(lanes a)
{
    __m256 b = _mm256_max_ps(lanes_half(a, 0), lanes_half(a, 1));
    __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

#endif
