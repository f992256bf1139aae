/* pack.c - groups of codes and scales, or floats, into panels. */
#include "kernels/packed_private.h"

#include "base/size.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void cz_pack_start(const struct cz_packed *shape, void *data)
{
    struct cz_packed matrix = *shape;
    matrix.data = data;
    size_t header = (size_t)(cz_packed_panel(&matrix, 0) - matrix.data);
    size_t panels = cz_packed_panels(&matrix) * cz_packed_panel_bytes(&matrix);
    memset(data, 0, header);
    memset((unsigned char *)data + header + panels, 0, cz_packed_size(&matrix) - header - panels);
}

/* Puts one code into its place; the panel's memory was zero before. */
static void put_code(enum cz_width width, unsigned char *codes, uint32_t row, uint32_t k,
                     uint8_t code)
{
    uint32_t s = k / 4, at = row * 4 + k % 4;
    switch (width) {
    case CZ_WIDTH_2:
        codes[s / 4 * 64 + at] |= (uint8_t)(code << (s % 4 * 2));
        break;
    case CZ_WIDTH_3:
        codes[s / 4 * 64 + at] |= (uint8_t)((code & 3) << (s % 4 * 2));
        codes[128 + at] |= (uint8_t)((code >> 2) << s);
        break;
    case CZ_WIDTH_4:
    case CZ_WIDTH_4_TABLE:
        codes[s / 2 * 64 + at] |= (uint8_t)(code << (s % 2 * 4));
        break;
    case CZ_WIDTH_5:
        codes[s / 2 * 64 + at] |= (uint8_t)((code & 15) << (s % 2 * 4));
        codes[256 + at] |= (uint8_t)((code >> 4) << s);
        break;
    case CZ_WIDTH_6:
        codes[s / 2 * 64 + at] |= (uint8_t)((code & 15) << (s % 2 * 4));
        codes[256 + s / 4 * 64 + at] |= (uint8_t)((code >> 4) << (s % 4 * 2));
        break;
    default:
        codes[s * 64 + at] = code;
        break;
    }
}

const uint8_t CZ_WIDTH_CODES[CZ_WIDTHS] = {
    [CZ_WIDTH_2] = 3,  [CZ_WIDTH_3] = 7,   [CZ_WIDTH_4] = 15,       [CZ_WIDTH_5] = 31,
    [CZ_WIDTH_6] = 63, [CZ_WIDTH_8] = 255, [CZ_WIDTH_4_TABLE] = 15,
};

/* Checks the codes of one row, and turns table values into their nibbles in `out`. */
static cloze_status row_codes(const struct cz_packed *shape, const uint8_t *codes, uint8_t *out,
                              struct cloze_error *error)
{
    uint8_t largest = CZ_WIDTH_CODES[shape->width], nibble[256];
    if (shape->width == CZ_WIDTH_4_TABLE) {
        memset(nibble, 255, sizeof nibble);
        for (uint8_t i = 0; i < 16; i++)
            nibble[CZ_PACKED_TABLE[i]] = i;
    }
    uint8_t seen = 0;
    for (uint32_t k = 0; k < shape->columns; k++) {
        out[k] = shape->width == CZ_WIDTH_4_TABLE ? nibble[codes[k]] : codes[k];
        if (out[k] > seen)
            seen = out[k];
    }
    if (seen > largest)
        return cz_fail(error, CLOZE_INVALID, NULL, "a code does not fit the packed width");
    return CLOZE_OK;
}

/* The power of two that the panel's scales are divided by: 1 when they are half floats as they
 * are, else such that the largest lies in [2^14, 2^15). */
static cloze_status choose_multiplier(const float *scales, const float *minima, size_t count,
                                      float *multiplier, struct cloze_error *error)
{
    float largest = 0;
    bool exact = true;
    for (size_t i = 0; i < count; i++) {
        float scale = scales[i], minimum = minima ? minima[i] : 0.0f;
        if (!isfinite(scale) || !isfinite(minimum))
            return cz_fail(error, CLOZE_INVALID, NULL, "a scale of a weight group is not finite");
        exact = exact && cz_half_to_float(cz_float_to_half(scale)) == scale &&
                cz_half_to_float(cz_float_to_half(minimum)) == minimum;
        largest = fmaxf(largest, fmaxf(fabsf(scale), fabsf(minimum)));
    }
    *multiplier = 1.0f;
    if (!exact) {
        int exponent;
        frexpf(largest, &exponent);
        if (exponent - 15 < -126) /* the multiplier stays a normal number */
            exponent = 15 - 126;
        *multiplier = ldexpf(1.0f, exponent - 15);
    }
    return CLOZE_OK;
}

static void put_half(unsigned char *at, float value)
{
    uint16_t half = cz_float_to_half(value);
    memcpy(at, &half, sizeof half);
}

cloze_status cz_pack_groups(const struct cz_packed *shape, void *data, uint32_t panel,
                            uint32_t rows, const uint8_t *codes, const float *scales,
                            const float *minima, struct cloze_error *error)
{
    struct cz_packed matrix = *shape;
    matrix.data = data;
    uint32_t columns = matrix.columns, row_groups = columns / matrix.group;
    uint32_t block_groups = CZ_BLOCK_COLUMNS / matrix.group;
    float multiplier;
    cloze_status status = choose_multiplier(scales, matrix.has_minimum ? minima : NULL,
                                            (size_t)rows * row_groups, &multiplier, error);
    if (status)
        return status;
    memcpy((unsigned char *)data + panel * sizeof multiplier, &multiplier, sizeof multiplier);
    unsigned char *target = (unsigned char *)data + (cz_packed_panel(&matrix, panel) - matrix.data);
    memset(target, 0, cz_packed_panel_bytes(&matrix));
    size_t block_bytes = cz_packed_block_bytes(&matrix), codes_at = cz_packed_scale_bytes(&matrix);
    float inverse = 1.0f / multiplier;
    for (uint32_t row = 0; row < rows; row++) {
        for (uint32_t g = 0; g < row_groups; g++) {
            unsigned char *block = target + g / block_groups * block_bytes;
            uint32_t at = g % block_groups * CZ_PANEL_ROWS + row;
            put_half(block + at * 2, scales[(size_t)row * row_groups + g] * inverse);
            if (matrix.has_minimum)
                put_half(block + (block_groups * CZ_PANEL_ROWS + at) * 2,
                         minima[(size_t)row * row_groups + g] * inverse);
        }
        for (uint32_t first = 0; first < columns; first += CZ_BLOCK_COLUMNS) {
            struct cz_packed piece = matrix;
            piece.columns = (uint32_t)cz_size_min(columns - first, CZ_BLOCK_COLUMNS);
            uint8_t checked[CZ_BLOCK_COLUMNS];
            status = row_codes(&piece, codes + (size_t)row * columns + first, checked, error);
            if (status)
                return status;
            unsigned char *block = target + first / CZ_BLOCK_COLUMNS * block_bytes;
            for (uint32_t k = 0; k < piece.columns; k++)
                put_code(matrix.width, block + codes_at, row, k, checked[k]);
        }
    }
    return CLOZE_OK;
}

static bool all_finite(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

static void pack_bfloat(const struct cz_packed *matrix, unsigned char *target, uint32_t rows,
                        const float *values)
{
    memset(target, 0, cz_packed_panel_bytes(matrix));
    for (uint32_t row = 0; row < rows; row++)
        for (uint32_t k = 0; k < matrix->columns; k++) {
            uint16_t value = cz_float_to_bfloat(values[(size_t)row * matrix->columns + k]);
            memcpy(target + ((size_t)(k / 2) * CZ_PANEL_ROWS + row) * 4 + k % 2 * 2, &value, 2);
        }
}

cloze_status cz_pack_floats(const struct cz_packed *shape, void *data, uint32_t panel,
                            uint32_t rows, const float *values, struct cloze_error *error)
{
    struct cz_packed matrix = *shape;
    matrix.data = data;
    if (!all_finite(values, (size_t)rows * matrix.columns))
        return cz_fail(error, CLOZE_INVALID, NULL, "a weight is not a finite number");
    if (matrix.width == CZ_WIDTH_BF16) {
        unsigned char *start = data;
        pack_bfloat(&matrix, start + (cz_packed_panel(&matrix, panel) - matrix.data), rows, values);
        return CLOZE_OK;
    }
    if (matrix.width == CZ_WIDTH_4_TABLE)
        return cz_fail(error, CLOZE_UNSUPPORTED, NULL, "floats can't be quantised to a table");
    if (!matrix.has_minimum && matrix.offset != (CZ_WIDTH_CODES[matrix.width] + 1u) / 2)
        return cz_fail(error, CLOZE_INVALID, NULL, "code offset %u is not the middle of the codes",
                       matrix.offset);
    size_t groups = matrix.columns / matrix.group;
    uint8_t *codes = malloc((size_t)rows * matrix.columns);
    float *scales = malloc(2 * rows * groups * sizeof *scales), *minima = scales + rows * groups;
    cloze_status status = CLOZE_OK;
    if (!codes || !scales) {
        status = cz_fail_memory(error, "a panel of weights");
        goto out;
    }
    for (uint32_t row = 0; row < rows; row++)
        cz_quantize_groups(&matrix, values + (size_t)row * matrix.columns,
                           codes + (size_t)row * matrix.columns, scales + row * groups,
                           minima + row * groups);
    status = cz_pack_groups(&matrix, data, panel, rows, codes, scales,
                            matrix.has_minimum ? minima : NULL, error);
out:
    free(scales);
    free(codes);
    return status;
}
