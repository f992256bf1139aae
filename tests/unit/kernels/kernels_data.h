/* kernels_data.h - random matrices and activations for the kernels' tests. */
#ifndef CZ_KERNELS_DATA_H
#define CZ_KERNELS_DATA_H

#include "kernels/kernels.h"

#include <math.h>

struct form {
    enum cz_width width;
    uint32_t group;
    bool has_minimum;
    uint32_t offset;
    unsigned codes; /* different codes */
};

static const struct form forms[] = {
    {CZ_WIDTH_4, 32, true, 0, 16},      {CZ_WIDTH_4, 32, false, 8, 16},
    {CZ_WIDTH_4, 16, false, 8, 16},     {CZ_WIDTH_4, 16, true, 0, 16},
    {CZ_WIDTH_5, 32, true, 0, 32},      {CZ_WIDTH_5, 32, false, 16, 32},
    {CZ_WIDTH_6, 16, false, 32, 64},    {CZ_WIDTH_8, 32, false, 128, 256},
    {CZ_WIDTH_8, 16, false, 128, 256},  {CZ_WIDTH_4_TABLE, 32, false, 128, 16},
    {CZ_WIDTH_2, 16, true, 0, 4},       {CZ_WIDTH_3, 16, false, 4, 8},
    {CZ_WIDTH_6, 32, true, 0, 64},      {CZ_WIDTH_BF16, 0, false, 0, 0},
};
enum { FORMS = sizeof forms / sizeof *forms };

static inline uint32_t random_bits(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

/* -1..1 */
static inline float random_float(void)
{
    return (float)((int32_t)random_bits() * 0x1p-31);
}

static inline void *aligned_bytes(size_t size)
{
    void *memory = aligned_alloc(64, (size + 63) / 64 * 64);
    assert_non_null(memory);
    memset(memory, 0xa5, (size + 63) / 64 * 64);
    return memory;
}

static inline float *floats(size_t count)
{
    return aligned_bytes(count * sizeof(float));
}

struct matrix {
    struct cz_packed packed;
    void *memory;
    uint8_t *codes; /* [rows][columns], as they were given */
    float *scales, *minima, *values;
};

static inline void fill_groups(struct matrix *m, const struct form *form)
{
    size_t count = (size_t)m->packed.rows * m->packed.columns;
    for (size_t i = 0; i < count; i++) {
        uint32_t code = random_bits() % form->codes;
        m->codes[i] = form->width == CZ_WIDTH_4_TABLE ? CZ_PACKED_TABLE[code] : (uint8_t)code;
    }
    for (size_t i = 0; i < count / form->group; i++) {
        m->scales[i] = cz_half_to_float(cz_float_to_half(0.01f * random_float()));
        m->minima[i] = cz_half_to_float(cz_float_to_half(0.1f * random_float()));
    }
}

static inline void matrix_random(struct matrix *m, const struct form *form, uint32_t rows,
                                 uint32_t columns)
{
    struct cloze_error error;
    size_t count = (size_t)rows * columns;
    *m = (struct matrix){.packed = {NULL, rows, columns, form->width, form->group,
                                    form->has_minimum, form->offset}};
    ASSERT_OK(cz_packed_check(&m->packed, &error));
    m->memory = aligned_bytes(cz_packed_size(&m->packed));
    m->codes = malloc(count);
    m->scales = floats(count);
    m->minima = floats(count);
    m->values = floats(count);
    if (form->group)
        fill_groups(m, form);
    for (size_t i = 0; i < count; i++)
        m->values[i] = cz_bfloat_to_float(cz_float_to_bfloat(random_float()));
    cz_pack_start(&m->packed, m->memory);
    for (uint32_t panel = 0; panel * 16 < rows; panel++) {
        uint32_t left = rows - panel * 16, here = left < 16 ? left : 16;
        size_t at = (size_t)panel * 16 * columns;
        if (!form->group) {
            ASSERT_OK(cz_pack_floats(&m->packed, m->memory, panel, here, m->values + at, &error));
            continue;
        }
        ASSERT_OK(cz_pack_groups(&m->packed, m->memory, panel, here, m->codes + at,
                                 m->scales + at / form->group,
                                 form->has_minimum ? m->minima + at / form->group : NULL, &error));
    }
    m->packed.data = m->memory;
}

static inline void matrix_free(struct matrix *m)
{
    free(m->memory);
    free(m->codes);
    free(m->scales);
    free(m->minima);
    free(m->values);
}

/* Activation rows of very different sizes, as hidden states have them. */
struct batch {
    float *x; /* [rows][columns] */
    unsigned char *activations;
};

static inline void batch_quantize(struct batch *batch, const struct cz_kernels *kernels,
                                  const struct cz_packed *weights, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++)
        kernels->quantize(cz_packed_activation(weights), batch->x + (size_t)i * weights->columns,
                          weights->columns, rows, i, batch->activations);
}

static inline void batch_random(struct batch *batch, const struct cz_kernels *kernels,
                                const struct cz_packed *weights, uint32_t rows)
{
    size_t count = (size_t)rows * weights->columns;
    batch->x = floats(count);
    for (size_t i = 0; i < count; i++)
        batch->x[i] = random_float() * (i % 97 == 0 ? 30.0f : 1.0f);
    size_t bytes = cz_activation_bytes(cz_packed_activation(weights), weights->columns);
    batch->activations = aligned_bytes(bytes * rows);
    batch_quantize(batch, kernels, weights, rows);
}

static inline void batch_free(struct batch *batch)
{
    free(batch->x);
    free(batch->activations);
}

#endif
