/*
 * avx2.c - AVX2 without VNNI (Haswell to Comet Lake, Zen 1 to Zen 3).
 *
 * vpmaddubsw adds two products in 16 bits and saturates: codes below 64 are safe (2 * 63 * 127), 8-bit
 * codes are not. They are made signed, and the sign moves to the other factor: |w| * (x with w's
 * sign) is at most 2 * 128 * 127 = 32,512.
 */
#include "kernels/vectors_avx2.h"

#define WIDE_BIAS 128

static inline ivec ivec_dot4(ivec sum, ivec codes, ivec x, bool wide)
{
    __m256i w = (__m256i)codes, y = (__m256i)x;
    if (wide) {
        y = _mm256_sign_epi8(y, w);
        w = _mm256_abs_epi8(w);
    }
    return sum + (ivec)_mm256_madd_epi16(_mm256_maddubs_epi16(w, y), _mm256_set1_epi16(1));
}

#include "kernels/product.h"

const struct cz_kernels cz_kernels_avx2 = {CZ_KERNEL_TABLE("avx2")};
