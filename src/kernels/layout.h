/* layout.h - where things lie in activation records and KV tiles (see kernels.h). */
#ifndef CZ_KERNELS_LAYOUT_H
#define CZ_KERNELS_LAYOUT_H

#include "kernels/kernels.h"

#include <string.h>

/* An int8 activation record of `padded` columns, taken apart. */
struct cz_record {
    int8_t *codes;  /* [padded] */
    float *scales;  /* [padded / 16] */
    int32_t *sums;  /* [padded / 16] */
    float *totals;  /* [padded / 16] */
    float *pairs;   /* [padded / 32] */
};

static inline struct cz_record cz_record(void *memory, uint32_t padded)
{
    unsigned char *at = memory;
    struct cz_record record = {memory, NULL, NULL, NULL, NULL};
    size_t groups = padded / 16;
    record.scales = (float *)(void *)(at + padded);
    record.sums = (int32_t *)(void *)(at + padded + groups * 4);
    record.totals = (float *)(void *)(at + padded + groups * 8);
    record.pairs = (float *)(void *)(at + padded + groups * 12);
    return record;
}

static inline size_t cz_record_bytes(uint32_t padded)
{
    return (size_t)padded + (size_t)padded / 16 * 12 + (size_t)padded / 32 * 4;
}

/* Without the lowest two bits, so that scale * 1.5 * 2^23 is a float. */
static inline float cz_cut_scale(float scale)
{
    uint32_t bits;
    memcpy(&bits, &scale, sizeof bits);
    bits &= ~UINT32_C(3);
    memcpy(&scale, &bits, sizeof bits);
    return scale;
}

static inline size_t cz_kv_element_bytes(enum cz_kv_form form)
{
    return form == CZ_KV_FORM_INT8 ? 1 : form == CZ_KV_FORM_BF16 ? 2 : 4;
}

static inline const unsigned char *cz_kv_values(enum cz_kv_form form, uint32_t head_dim,
                                                const unsigned char *tile)
{
    return tile + (size_t)CZ_KV_POSITIONS * head_dim * cz_kv_element_bytes(form);
}

static inline const float *cz_kv_key_scales(enum cz_kv_form form, uint32_t head_dim,
                                            const unsigned char *tile)
{
    return (const float *)(const void *)(tile + 2 * (size_t)CZ_KV_POSITIONS * head_dim *
                                                    cz_kv_element_bytes(form));
}

static inline const float *cz_kv_value_scales(enum cz_kv_form form, uint32_t head_dim,
                                              const unsigned char *tile)
{
    return cz_kv_key_scales(form, head_dim, tile) + CZ_KV_POSITIONS;
}

#endif
