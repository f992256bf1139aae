/* vectors_neon.h - what product.h needs: 64-bit Arm with the dot product instructions. */
#ifndef CZ_KERNELS_VECTORS_NEON_H
#define CZ_KERNELS_VECTORS_NEON_H

#include "kernels/lanes_neon.h"
#include "kernels/packed.h"

#define VECTOR_ROWS 4
#define TILE_VECTORS 2
#define WIDE_BIAS 128 /* sdot takes signed bytes on both sides */

typedef float fvec __attribute__((vector_size(16)));
typedef int32_t ivec __attribute__((vector_size(16)));

static inline fvec fvec_set(float value)
{
    return (fvec)vdupq_n_f32(value);
}

static inline fvec fvec_fma(fvec a, fvec b, fvec c)
{
    return (fvec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}

static inline fvec fvec_halves(const unsigned char *at)
{
    float16x4_t halves;
    memcpy(&halves, at, sizeof halves);
    return (fvec)vcvt_f32_f16(halves);
}

static inline ivec ivec_bytes(const unsigned char *at)
{
    int8_t bytes[8] = {0};
    memcpy(bytes, at, VECTOR_ROWS);
    return (ivec)vmovl_s16(vget_low_s16(vmovl_s8(vld1_s8(bytes))));
}

static inline ivec ivec_set(int32_t value)
{
    return (ivec)vdupq_n_s32(value);
}

static inline ivec ivec_table(ivec nibbles)
{
    return (ivec)vqtbl1q_u8(vld1q_u8(CZ_PACKED_TABLE), (uint8x16_t)nibbles);
}

static inline ivec ivec_dot4(ivec sum, ivec codes, ivec x, bool wide)
{
    (void)wide;
    return (ivec)vdotq_s32((int32x4_t)sum, (int8x16_t)codes, (int8x16_t)x);
}

#endif
