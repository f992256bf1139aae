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
    enum cz_scales scales;
};

static const struct form forms[] = {
    {CZ_WIDTH_4, 32, true, 0, 16, CZ_SCALES_HALF},
    {CZ_WIDTH_4, 32, false, 8, 16, CZ_SCALES_HALF},
    {CZ_WIDTH_4, 16, true, 0, 16, CZ_SCALES_HALF},
    {CZ_WIDTH_5, 32, true, 0, 32, CZ_SCALES_HALF},
    {CZ_WIDTH_5, 32, false, 16, 32, CZ_SCALES_HALF},
    {CZ_WIDTH_6, 16, false, 32, 64, CZ_SCALES_HALF},
    {CZ_WIDTH_8, 32, false, 128, 256, CZ_SCALES_HALF},
    {CZ_WIDTH_8, 16, false, 128, 256, CZ_SCALES_HALF},
    {CZ_WIDTH_4_TABLE, 32, false, 128, 16, CZ_SCALES_HALF},
    {CZ_WIDTH_2, 16, true, 0, 4, CZ_SCALES_NIBBLES},
    {CZ_WIDTH_3, 16, false, 4, 8, CZ_SCALES_BYTES},
    {CZ_WIDTH_4, 32, true, 0, 16, CZ_SCALES_BYTES},
    {CZ_WIDTH_5, 32, true, 0, 32, CZ_SCALES_BYTES},
    {CZ_WIDTH_6, 16, false, 32, 64, CZ_SCALES_BYTES},
    {CZ_WIDTH_4_TABLE, 32, false, 128, 16, CZ_SCALES_BYTES},
    {CZ_WIDTH_BF16, 0, false, 0, 0, CZ_SCALES_HALF},
};
enum { FORMS = sizeof forms / sizeof *forms };

/* At least so many columns that the form allows. */
static inline uint32_t columns_of(const struct form *form, uint32_t columns)
{
    return form->scales ? (columns + 255) / 256 * 256 : columns;
}

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
    uint16_t *scales, *minima;
    int8_t *low_scales, *low_minima;
    float *values; /* what they mean */
};

static inline uint16_t random_half(float size)
{
    return cz_float_to_half(size * random_float());
}

/* The value of a code, from what describes its group. */
static inline float value_of(const struct matrix *m, size_t at)
{
    const struct cz_packed *p = &m->packed;
    size_t group = at / p->group, half = p->scales ? at / 256 : group;
    int code = p->width == CZ_WIDTH_4_TABLE ? CZ_PACKED_TABLE[m->codes[at]] : m->codes[at];
    float scale = cz_half_to_float(m->scales[half]), minimum = cz_half_to_float(m->minima[half]);
    if (p->scales) {
        scale *= m->low_scales[group];
        minimum *= m->low_minima[group];
    }
    return scale * (float)(code - (int)p->offset) + (p->has_minimum ? minimum : 0.0f);
}

static inline void fill_groups(struct matrix *m, const struct form *form)
{
    size_t count = (size_t)m->packed.rows * m->packed.columns;
    for (size_t i = 0; i < count; i++)
        m->codes[i] = (uint8_t)(random_bits() % form->codes);
    for (size_t i = 0; i < count / form->group; i++) {
        m->scales[i] = random_half(0.01f);
        m->minima[i] = random_half(0.1f);
        bool nibbles = form->scales == CZ_SCALES_NIBBLES;
        m->low_scales[i] = (int8_t)(nibbles ? random_bits() & 15 : random_bits());
        m->low_minima[i] = (int8_t)(nibbles ? random_bits() & 15 : random_bits());
    }
    for (size_t i = 0; i < count; i++)
        m->values[i] = value_of(m, i);
}

/* Where a panel is packed to. */
static inline void *panel_memory(const struct cz_packed *shape, void *memory, uint32_t panel)
{
    return (unsigned char *)memory + cz_packed_header_bytes(shape) +
           panel * cz_packed_panel_bytes(shape);
}

static inline void pack_panel(struct matrix *m, uint32_t panel, uint32_t rows)
{
    struct cloze_error error;
    const struct cz_packed *p = &m->packed;
    size_t at = (size_t)panel * 16 * p->columns;
    void *out = panel_memory(p, m->memory, panel);
    float multiplier = 1.0f;
    if (!p->group) {
        ASSERT_OK(cz_pack_floats(p, out, rows, m->values + at, &multiplier, &error));
        return;
    }
    size_t group = at / p->group, half = p->scales ? at / 256 : group;
    struct cz_panel_groups groups = {m->codes + at, m->scales + half, m->minima + half,
                                     m->low_scales + group, m->low_minima + group};
    ASSERT_OK(cz_pack_groups(p, out, rows, p->columns, &groups, &error));
    memcpy((unsigned char *)m->memory + panel * sizeof multiplier, &multiplier, sizeof multiplier);
}

static inline void matrix_random(struct matrix *m, const struct form *form, uint32_t rows,
                                 uint32_t columns)
{
    struct cloze_error error;
    size_t count = (size_t)rows * columns;
    *m = (struct matrix){.packed = {NULL, rows, columns, form->width, form->group,
                                    form->has_minimum, form->offset, form->scales}};
    ASSERT_OK(cz_packed_check(&m->packed, &error));
    m->memory = aligned_bytes(cz_packed_size(&m->packed));
    m->codes = malloc(count);
    m->scales = aligned_bytes(count * 2);
    m->minima = aligned_bytes(count * 2);
    m->low_scales = aligned_bytes(count);
    m->low_minima = aligned_bytes(count);
    m->values = floats(count);
    for (size_t i = 0; i < count; i++)
        m->values[i] = cz_bfloat_to_float(cz_float_to_bfloat(random_float()));
    if (form->group)
        fill_groups(m, form);
    for (uint32_t panel = 0; panel * 16 < rows; panel++)
        pack_panel(m, panel, rows - panel * 16 < 16 ? rows - panel * 16 : 16);
    m->packed.data = m->memory;
}

static inline void matrix_free(struct matrix *m)
{
    free(m->memory);
    free(m->codes);
    free(m->scales);
    free(m->minima);
    free(m->low_scales);
    free(m->low_minima);
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
