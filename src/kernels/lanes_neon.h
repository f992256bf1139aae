/* lanes_neon.h - 16 floats in four registers; see lanes_portable.h for what the operations mean. */
#ifndef CZ_KERNELS_LANES_NEON_H
#define CZ_KERNELS_LANES_NEON_H

#include <arm_neon.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 16 };
#define VECTORS 2 /* see attention.h */

typedef struct {
    float32x4_t v[4]; /* lanes 0..3, 4..7, ... */
} lanes;

#define EACH_VECTOR for (int i = 0; i < 4; i++)

static inline lanes lanes_load(const float *at)
{
    lanes x;
    EACH_VECTOR x.v[i] = vld1q_f32(at + 4 * i);
    return x;
}

static inline void lanes_store(float *at, lanes x)
{
    EACH_VECTOR vst1q_f32(at + 4 * i, x.v[i]);
}

static inline lanes lanes_set(float value)
{
    lanes x;
    EACH_VECTOR x.v[i] = vdupq_n_f32(value);
    return x;
}

static inline lanes lanes_load_bfloat(const void *at)
{
    lanes x;
    EACH_VECTOR {
        uint16x4_t half = vld1_u16((const uint16_t *)at + 4 * i);
        x.v[i] = vreinterpretq_f32_u32(vshll_n_u16(half, 16));
    }
    return x;
}

static inline void lanes_store_bfloat(void *at, lanes x)
{
    EACH_VECTOR {
        uint32x4_t bits = vreinterpretq_u32_f32(x.v[i]);
        uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
        bits = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
        vst1_u16((uint16_t *)at + 4 * i, vshrn_n_u32(bits, 16));
    }
}

static inline lanes lanes_load_half(const void *at)
{
    lanes x;
    EACH_VECTOR {
        uint16x4_t half = vld1_u16((const uint16_t *)at + 4 * i);
        x.v[i] = vcvt_f32_f16(vreinterpret_f16_u16(half));
    }
    return x;
}

static inline void lanes_store_half(void *at, lanes x)
{
    EACH_VECTOR vst1_u16((uint16_t *)at + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.v[i])));
}

static inline lanes lanes_load_int8(const void *at)
{
    lanes x;
    int8x16_t bytes = vld1q_s8(at);
    int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_s8(vget_high_s8(bytes));
    x.v[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(low)));
    x.v[1] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(low)));
    x.v[2] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(high)));
    x.v[3] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)));
    return x;
}

static inline int32_t lanes_store_int8(void *at, lanes x)
{
    int16x4_t words[4];
    EACH_VECTOR words[i] = vmovn_s32(vcvtq_s32_f32(x.v[i]));
    int8x16_t bytes = vcombine_s8(vmovn_s16(vcombine_s16(words[0], words[1])),
                                  vmovn_s16(vcombine_s16(words[2], words[3])));
    vst1q_s8(at, bytes);
    return vaddlvq_s8(bytes);
}

#define EACH(name, operation)                                                                      \
    static inline lanes name(lanes x, lanes y)                                                     \
    {                                                                                              \
        EACH_VECTOR x.v[i] = operation(x.v[i], y.v[i]);                                            \
        return x;                                                                                  \
    }

/* Not vmaxq and vminq: those give NaN when either is NaN. */
static inline float32x4_t larger(float32x4_t x, float32x4_t y)
{
    return vbslq_f32(vcgtq_f32(x, y), x, y);
}

static inline float32x4_t smaller(float32x4_t x, float32x4_t y)
{
    return vbslq_f32(vcltq_f32(x, y), x, y);
}

EACH(lanes_add, vaddq_f32)
EACH(lanes_sub, vsubq_f32)
EACH(lanes_mul, vmulq_f32)
EACH(lanes_div, vdivq_f32)
EACH(lanes_max, larger)
EACH(lanes_min, smaller)

static inline lanes lanes_fma(lanes x, lanes y, lanes z)
{
    EACH_VECTOR z.v[i] = vfmaq_f32(z.v[i], x.v[i], y.v[i]);
    return z;
}

static inline lanes lanes_abs(lanes x)
{
    EACH_VECTOR x.v[i] = vabsq_f32(x.v[i]);
    return x;
}

static inline lanes lanes_round(lanes x)
{
    EACH_VECTOR x.v[i] = vrndnq_f32(x.v[i]);
    return x;
}

static inline lanes lanes_power_of_two(lanes n)
{
    EACH_VECTOR {
        int32x4_t exponent = vaddq_s32(vcvtq_s32_f32(n.v[i]), vdupq_n_s32(127));
        n.v[i] = vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23));
    }
    return n;
}

static inline lanes lanes_where_ge(lanes x, lanes y, lanes yes, lanes no)
{
    EACH_VECTOR no.v[i] = vbslq_f32(vcgeq_f32(x.v[i], y.v[i]), yes.v[i], no.v[i]);
    return no;
}

static inline uint32_t lanes_mask_ge(lanes x, lanes y)
{
    static const uint32_t bits[4] = {1, 2, 4, 8};
    uint32_t mask = 0;
    EACH_VECTOR mask |= vaddvq_u32(vandq_u32(vcgeq_f32(x.v[i], y.v[i]), vld1q_u32(bits))) << 4 * i;
    return mask;
}

static inline float lanes_sum(lanes x)
{
    float32x4_t a = vaddq_f32(vaddq_f32(x.v[0], x.v[2]), vaddq_f32(x.v[1], x.v[3]));
    float32x2_t b = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(b, 0) + vget_lane_f32(b, 1);
}

static inline float lanes_maximum(lanes x)
{
    float32x4_t a = larger(larger(x.v[0], x.v[2]), larger(x.v[1], x.v[3]));
    float values[4];
    vst1q_f32(values, a);
    float low = values[0] > values[2] ? values[0] : values[2];
    float high = values[1] > values[3] ? values[1] : values[3];
    return low > high ? low : high;
}

#endif
