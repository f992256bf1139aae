/*
 * dtype.c - block layouts of the tensor types, as ggml-common.h and ggml-quants.c of the ggml
 * project define them; one decoder per type, from which both public forms are made.
 *
 * Scales are little-endian f16. "lo/hi": byte j of a run of 16 holds element j in its low and
 * element j + 16 in its high nibble.
 */
#include "model/dtype.h"

#include <assert.h>

static const struct cz_dtype_info infos[CZ_DTYPES] = {
    /*             name     elements bytes bits group minimum offset table levels */
    [CZ_F32] = {"F32", 1, 4, 0, 0, false, 0, false, false},
    [CZ_F16] = {"F16", 1, 2, 0, 0, false, 0, false, false},
    [CZ_BF16] = {"BF16", 1, 2, 0, 0, false, 0, false, false},
    [CZ_Q4_0] = {"Q4_0", 32, 18, 4, 32, false, 8, false, false},
    [CZ_Q4_1] = {"Q4_1", 32, 20, 4, 32, true, 0, false, false},
    [CZ_Q5_0] = {"Q5_0", 32, 22, 5, 32, false, 16, false, false},
    [CZ_Q5_1] = {"Q5_1", 32, 24, 5, 32, true, 0, false, false},
    [CZ_Q8_0] = {"Q8_0", 32, 34, 8, 32, false, 128, false, false},
    [CZ_Q2_K] = {"Q2_K", 256, 84, 2, 16, true, 0, false, true},
    [CZ_Q3_K] = {"Q3_K", 256, 110, 3, 16, false, 4, false, true},
    [CZ_Q4_K] = {"Q4_K", 256, 144, 4, 32, true, 0, false, true},
    [CZ_Q5_K] = {"Q5_K", 256, 176, 5, 32, true, 0, false, true},
    [CZ_Q6_K] = {"Q6_K", 256, 210, 6, 16, false, 32, false, true},
    [CZ_IQ4_NL] = {"IQ4_NL", 32, 18, 4, 32, false, 128, true, false},
    [CZ_IQ4_XS] = {"IQ4_XS", 256, 136, 4, 32, false, 128, true, true},
};

const uint8_t cz_iq4_table[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                  129, 141, 153, 166, 181, 197, 217, 241};

const struct cz_dtype_info *cz_dtype_info(enum cz_dtype dtype)
{
    assert(dtype < CZ_DTYPES);
    return &infos[dtype];
}

bool cz_dtype_bytes(enum cz_dtype dtype, uint64_t count, size_t *bytes)
{
    const struct cz_dtype_info *info = cz_dtype_info(dtype);
    uint64_t size;
    if (count % info->block_elements ||
        __builtin_mul_overflow(count / info->block_elements, (uint64_t)info->block_bytes, &size) ||
        size > SIZE_MAX / 2)
        return false;
    *bytes = (size_t)size;
    return true;
}

/* ---- Half precision ---- */

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

float cz_f16_to_f32(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = (half >> 10) & 31u;
    uint32_t fraction = half & 0x3FFu;
    if (exponent == 31) /* infinity, NaN */
        return float_of(sign | 0x7F800000u | fraction << 13);
    if (exponent == 0) { /* zero, subnormal: fraction * 2^-24, exact in float */
        float value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    return float_of(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t cz_f32_to_f16(float value)
{
    uint32_t bits = bits_of(value);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u)
        return (uint16_t)(sign | 0x7E00u);
    if (magnitude >= 0x477FF000u) /* rounds to 2^16 or more */
        return (uint16_t)(sign | 0x7C00u);
    if (magnitude < 0x38800000u) { /* subnormal: adding 0.5 leaves multiples of 2^-24 below it */
        float shifted = float_of(magnitude) + 0.5f;
        return (uint16_t)(sign | (bits_of(shifted) - 0x3F000000u));
    }
    uint32_t odd = magnitude >> 13 & 1u;
    return (uint16_t)(sign | ((magnitude - 0x38000000u + 0xFFFu + odd) >> 13));
}

uint16_t cz_f32_to_bf16(float value)
{
    uint32_t bits = bits_of(value);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u)
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

/* ---- One block of each type ---- */

static uint16_t half_at(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

/* The half float with the other sign. */
static uint16_t minus_half_at(const uint8_t *bytes)
{
    return half_at(bytes) ^ 0x8000u;
}

/* 16 bytes lo/hi to 32 codes. */
static void nibbles(const uint8_t *bytes, uint8_t *codes)
{
    for (unsigned i = 0; i < 16; i++) {
        codes[i] = bytes[i] & 15;
        codes[i + 16] = bytes[i] >> 4;
    }
}

/* Adds the fifth bits: bit i of the little-endian u32 belongs to element i. */
static void fifth_bits(const uint8_t *bytes, uint8_t *codes)
{
    for (unsigned i = 0; i < 4; i++) {
        uint64_t word; /* bit j to byte j: spread, singled out, moved up to the sign bit by a carry */
        uint64_t spread = bytes[i] * UINT64_C(0x0101010101010101) & UINT64_C(0x8040201008040201);
        spread = (spread + UINT64_C(0x007f7f7f7f7f7f7f)) & UINT64_C(0x8080808080808080);
        memcpy(&word, codes + (size_t)8 * i, sizeof word);
        word |= spread >> 3;
        memcpy(codes + (size_t)8 * i, &word, sizeof word);
    }
}

/*
 * Loops write through pointers of their own: bytes may alias all, so that out->codes would be read
 * again for each.
 */
static void q4_0(const uint8_t *block, const struct cz_groups *out)
{
    out->scales[0] = half_at(block);
    nibbles(block + 2, out->codes);
}

static void q4_1(const uint8_t *block, const struct cz_groups *out)
{
    out->scales[0] = half_at(block);
    out->minima[0] = half_at(block + 2);
    nibbles(block + 4, out->codes);
}

static void q5_0(const uint8_t *block, const struct cz_groups *out)
{
    out->scales[0] = half_at(block);
    nibbles(block + 6, out->codes);
    fifth_bits(block + 2, out->codes);
}

static void q5_1(const uint8_t *block, const struct cz_groups *out)
{
    out->scales[0] = half_at(block);
    out->minima[0] = half_at(block + 2);
    nibbles(block + 8, out->codes);
    fifth_bits(block + 4, out->codes);
}

static void q8_0(const uint8_t *block, const struct cz_groups *out)
{
    uint8_t *codes = out->codes;
    out->scales[0] = half_at(block);
    for (unsigned i = 0; i < 32; i++)
        codes[i] = block[2 + i] ^ 0x80u; /* signed to offset 128 */
}

/* 64 bytes to 256 codes of two bits: group g of 32 of a half has bits 2g of the half's 32 bytes. */
static void pairs_of_bits(const uint8_t *bytes, uint8_t *codes)
{
    for (unsigned g = 0; g < 8; g++)
        for (unsigned i = 0; i < 32; i++)
            codes[32 * g + i] = bytes[g / 4 * 32 + i] >> g % 4 * 2 & 3;
}

/* 32 bytes of single bits, bit g of which belong to group g of 32 codes, put at bit `to`. */
static void add_bits(const uint8_t *bytes, unsigned to, uint8_t *codes)
{
    for (unsigned g = 0; g < 8; g++)
        for (unsigned i = 0; i < 32; i++)
            codes[32 * g + i] |= (uint8_t)((bytes[i] >> g & 1) << to);
}

/* scales[16], qs[64], d, dmin. */
static void q2_k(const uint8_t *block, const struct cz_groups *out)
{
    out->scales[0] = half_at(block + 80);
    out->minima[0] = minus_half_at(block + 82);
    for (unsigned i = 0; i < 16; i++) {
        out->low_scales[i] = block[i] & 15;
        out->low_minima[i] = (int8_t)(block[i] >> 4);
    }
    pairs_of_bits(block + 16, out->codes);
}

/* hmask[32], qs[64], scales[12], d. The third bit of 32-group g is bit g of hmask. */
static void q3_k(const uint8_t *block, const struct cz_groups *out)
{
    const uint8_t *packed = block + 96;
    out->scales[0] = half_at(block + 108);
    for (unsigned i = 0; i < 16; i++) {
        unsigned scale = (packed[i % 8] >> i / 8 * 4 & 15u) | (packed[8 + i % 4] >> i / 4 * 2 & 3u)
                                                                  << 4;
        out->low_scales[i] = (int8_t)((int)scale - 32);
    }
    pairs_of_bits(block + 32, out->codes);
    add_bits(block, 2, out->codes);
}

/* The 6-bit scale and minimum of sub-block j < 8 from the 12 bytes that Q4_K and Q5_K share. */
static void k_scale(const uint8_t *packed, unsigned j, int8_t *scale, int8_t *minimum)
{
    if (j < 4) {
        *scale = packed[j] & 63;
        *minimum = packed[j + 4] & 63;
    } else {
        *scale = (int8_t)((packed[j + 4] & 15) | packed[j - 4] >> 6 << 4);
        *minimum = (int8_t)(packed[j + 4] >> 4 | packed[j] >> 6 << 4);
    }
}

static void k_scales(const uint8_t *block, const struct cz_groups *out)
{
    out->scales[0] = half_at(block);
    out->minima[0] = minus_half_at(block + 2);
    for (unsigned j = 0; j < 8; j++)
        k_scale(block + 4, j, &out->low_scales[j], &out->low_minima[j]);
}

/* 128 bytes to 256 codes: per 64 elements 32 bytes, low nibbles first. */
static void long_nibbles(const uint8_t *bytes, uint8_t *codes)
{
    for (unsigned g = 0; g < 4; g++)
        for (unsigned i = 0; i < 32; i++) {
            codes[64 * g + i] = bytes[32 * g + i] & 15;
            codes[64 * g + 32 + i] = bytes[32 * g + i] >> 4;
        }
}

/* d, dmin, scales[12], qs[128]. */
static void q4_k(const uint8_t *block, const struct cz_groups *out)
{
    k_scales(block, out);
    long_nibbles(block + 16, out->codes);
}

/* d, dmin, scales[12], qh[32], qs[128]: bit i / 32 of qh[i % 32] is the fifth bit. */
static void q5_k(const uint8_t *block, const struct cz_groups *out)
{
    k_scales(block, out);
    long_nibbles(block + 48, out->codes);
    add_bits(block + 16, 4, out->codes);
}

/* ql[128], qh[64], int8 scales[16], d. Per 128 elements: group g of 32 takes nibble g / 2 of
 * ql[l + 32 * (g % 2)] and bits 2g of qh[l]. */
static void q6_k(const uint8_t *block, const struct cz_groups *out)
{
    uint8_t *codes = out->codes;
    out->scales[0] = half_at(block + 208);
    memcpy(out->low_scales, block + 192, 16);
    for (unsigned half = 0; half < 2; half++)
        for (unsigned group = 0; group < 4; group++)
            for (unsigned l = 0; l < 32; l++) {
                unsigned low = block[half * 64 + group % 2 * 32 + l] >> group / 2 * 4 & 15u;
                unsigned high = block[128 + half * 32 + l] >> group * 2 & 3u;
                codes[half * 128 + group * 32 + l] = (uint8_t)(low | high << 4);
            }
}

static void iq4_nl(const uint8_t *block, const struct cz_groups *out)
{
    out->scales[0] = half_at(block);
    nibbles(block + 2, out->codes);
}

/* d, u16 scales_h, scales_l[4], qs[128]: each 16 bytes lo/hi for 32 elements. */
static void iq4_xs(const uint8_t *block, const struct cz_groups *out)
{
    unsigned high = half_at(block + 2);
    out->scales[0] = half_at(block);
    for (unsigned j = 0; j < 8; j++) {
        unsigned scale = (block[4 + j / 2] >> j % 2 * 4 & 15u) | (high >> 2 * j & 3u) << 4;
        out->low_scales[j] = (int8_t)((int)scale - 32);
        nibbles(block + 8 + 16 * j, out->codes + 32 * j);
    }
}

static void (*const decoders[CZ_DTYPES])(const uint8_t *block, const struct cz_groups *out) = {
    [CZ_Q4_0] = q4_0, [CZ_Q4_1] = q4_1, [CZ_Q5_0] = q5_0,     [CZ_Q5_1] = q5_1,
    [CZ_Q8_0] = q8_0, [CZ_Q2_K] = q2_k, [CZ_Q3_K] = q3_k,     [CZ_Q4_K] = q4_k,
    [CZ_Q5_K] = q5_k, [CZ_Q6_K] = q6_k, [CZ_IQ4_NL] = iq4_nl, [CZ_IQ4_XS] = iq4_xs,
};

/* ---- The public forms ---- */

void cz_dtype_to_groups(enum cz_dtype dtype, const void *blocks, size_t count,
                        struct cz_groups out)
{
    const struct cz_dtype_info *info = cz_dtype_info(dtype);
    assert(info->bits && count % info->block_elements == 0);
    unsigned groups = info->two_levels ? info->block_elements / info->group : 0;
    const uint8_t *block = blocks;
    for (size_t i = 0; i < count / info->block_elements; i++) {
        decoders[dtype](block, &out);
        block += info->block_bytes;
        out.codes += info->block_elements;
        out.scales++;
        out.minima += info->has_minimum;
        out.low_scales += groups;
        out.low_minima += info->has_minimum ? groups : 0;
    }
}

static void floats_to_f32(enum cz_dtype dtype, const uint8_t *values, size_t count, float *out)
{
    if (dtype == CZ_F32) {
        memcpy(out, values, count * sizeof *out);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint16_t value = (uint16_t)(values[2 * i] | values[2 * i + 1] << 8);
        out[i] = dtype == CZ_F16 ? cz_f16_to_f32(value) : cz_bf16_to_f32(value);
    }
}

static void block_to_f32(enum cz_dtype dtype, const uint8_t *block, float *out)
{
    const struct cz_dtype_info *info = cz_dtype_info(dtype);
    uint8_t codes[256];
    uint16_t half_scale, half_minimum = 0;
    int8_t low_scales[16] = {1}, low_minima[16] = {1};
    decoders[dtype](block, &(struct cz_groups){codes, &half_scale, &half_minimum, low_scales,
                                               low_minima});
    float d = cz_f16_to_f32(half_scale), dmin = cz_f16_to_f32(half_minimum);
    for (unsigned i = 0; i < info->block_elements; i++) {
        unsigned group = i / info->group;
        int code = info->has_table ? cz_iq4_table[codes[i]] : codes[i];
        out[i] = (float)(code - (int)info->offset) * (d * (float)low_scales[group]) +
                 dmin * (float)low_minima[group];
    }
}

void cz_dtype_to_f32(enum cz_dtype dtype, const void *blocks, size_t count, float *out)
{
    const struct cz_dtype_info *info = cz_dtype_info(dtype);
    assert(count % info->block_elements == 0);
    if (!info->bits) {
        floats_to_f32(dtype, blocks, count, out);
        return;
    }
    for (size_t i = 0; i < count; i += info->block_elements)
        block_to_f32(dtype, (const uint8_t *)blocks + i / info->block_elements * info->block_bytes,
                     out + i);
}
