/* lanes_avx2.h - 16 floats in two registers; see lanes_portable.h for what the operations mean. */
#ifndef CZ_KERNELS_LANES_AVX2_H
#define CZ_KERNELS_LANES_AVX2_H

#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 16 };
#define VECTORS 2 /* see attention.h */

typedef struct {
    __m256 a, b; /* lanes 0..7, 8..15 */
} lanes;

#define BOTH(name, operation)                                                                      \
    static inline lanes name(lanes x, lanes y)                                                     \
    {                                                                                              \
        return (lanes){operation(x.a, y.a), operation(x.b, y.b)};                                  \
    }

BOTH(lanes_add, _mm256_add_ps)
BOTH(lanes_sub, _mm256_sub_ps)
BOTH(lanes_mul, _mm256_mul_ps)
BOTH(lanes_div, _mm256_div_ps)
BOTH(lanes_max, _mm256_max_ps)
BOTH(lanes_min, _mm256_min_ps)

static inline lanes lanes_load(const float *at)
{
    return (lanes){_mm256_loadu_ps(at), _mm256_loadu_ps(at + 8)};
}

static inline void lanes_store(float *at, lanes x)
{
    _mm256_storeu_ps(at, x.a);
    _mm256_storeu_ps(at + 8, x.b);
}

static inline lanes lanes_set(float value)
{
    return (lanes){_mm256_set1_ps(value), _mm256_set1_ps(value)};
}

static inline __m256 widen_bfloat(const void *at)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(at));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

static inline lanes lanes_load_bfloat(const void *at)
{
    return (lanes){widen_bfloat(at), widen_bfloat((const char *)at + 16)};
}

static inline __m256i round_bfloat(__m256 x)
{
    __m256i bits = _mm256_castps_si256(x);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    bits = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    return _mm256_srli_epi32(bits, 16);
}

static inline void lanes_store_bfloat(void *at, lanes x)
{
    __m256i packed = _mm256_packus_epi32(round_bfloat(x.a), round_bfloat(x.b));
    _mm256_storeu_si256(at, _mm256_permute4x64_epi64(packed, 0xd8));
}

static inline lanes lanes_load_half(const void *at)
{
    return (lanes){_mm256_cvtph_ps(_mm_loadu_si128(at)),
                   _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)at + 1))};
}

static inline void lanes_store_half(void *at, lanes x)
{
    _mm_storeu_si128(at, _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i *)at + 1, _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
}

static inline __m256 widen_int8(const void *at)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(at)));
}

static inline lanes lanes_load_int8(const void *at)
{
    return (lanes){widen_int8(at), widen_int8((const char *)at + 8)};
}

static inline int32_t lanes_store_int8(void *at, lanes x)
{
    __m256i low = _mm256_cvtps_epi32(x.a), high = _mm256_cvtps_epi32(x.b);
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
    __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words),
                                    _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128(at, bytes);
    __m256i both = _mm256_add_epi32(low, high);
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1)));
}

static inline lanes lanes_fma(lanes x, lanes y, lanes z)
{
    return (lanes){_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}

static inline lanes lanes_abs(lanes x)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (lanes){_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}

static inline lanes lanes_round(lanes x)
{
    return (lanes){_mm256_round_ps(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                   _mm256_round_ps(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

static inline __m256 power_of_two(__m256 n)
{
    __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}

static inline lanes lanes_power_of_two(lanes n)
{
    return (lanes){power_of_two(n.a), power_of_two(n.b)};
}

static inline lanes lanes_where_ge(lanes x, lanes y, lanes yes, lanes no)
{
    return (lanes){_mm256_blendv_ps(no.a, yes.a, _mm256_cmp_ps(x.a, y.a, _CMP_GE_OQ)),
                   _mm256_blendv_ps(no.b, yes.b, _mm256_cmp_ps(x.b, y.b, _CMP_GE_OQ))};
}

static inline uint32_t lanes_mask_ge(lanes x, lanes y)
{
    uint32_t low = (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(x.a, y.a, _CMP_GE_OQ));
    uint32_t high = (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(x.b, y.b, _CMP_GE_OQ));
    return low | high << 8;
}

static inline float lanes_sum(lanes x)
{
    __m256 b = _mm256_add_ps(x.a, x.b);
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}

static inline float lanes_maximum(lanes x)
{
    __m256 b = _mm256_max_ps(x.a, x.b);
    __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

#endif
