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

static void or_word(unsigned char *at, uint32_t bits)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    word |= bits;
    memcpy(at, &word, sizeof word);
}

/* Puts the codes of four columns (4 * s and up), one a byte of `word`, into their places; the panel's
 * memory was zero before. Codes fit the width, so that no shift carries into a neighbour. */
static void put_codes(enum cz_width width, unsigned char *codes, uint32_t row, uint32_t s,
                      uint32_t word)
{
    unsigned char *lane = codes + (size_t)row * 4;
    switch (width) {
    case CZ_WIDTH_2:
        or_word(lane + s / 4 * 64, word << (s % 4 * 2));
        break;
    case CZ_WIDTH_3:
        or_word(lane + s / 4 * 64, (word & 0x03030303) << (s % 4 * 2));
        or_word(lane + 128, (word >> 2 & 0x01010101) << s);
        break;
    case CZ_WIDTH_4:
    case CZ_WIDTH_4_TABLE:
        or_word(lane + s / 2 * 64, word << (s % 2 * 4));
        break;
    case CZ_WIDTH_5:
        or_word(lane + s / 2 * 64, (word & 0x0f0f0f0f) << (s % 2 * 4));
        or_word(lane + 256, (word >> 4 & 0x01010101) << s);
        break;
    case CZ_WIDTH_6:
        or_word(lane + s / 2 * 64, (word & 0x0f0f0f0f) << (s % 2 * 4));
        or_word(lane + 256 + s / 4 * 64, (word >> 4 & 0x03030303) << (s % 4 * 2));
        break;
    default:
        or_word(lane + s * 64, word);
        break;
    }
}

const uint8_t CZ_WIDTH_CODES[CZ_WIDTHS] = {
    [CZ_WIDTH_2] = 3,  [CZ_WIDTH_3] = 7,   [CZ_WIDTH_4] = 15,       [CZ_WIDTH_5] = 31,
    [CZ_WIDTH_6] = 63, [CZ_WIDTH_8] = 255, [CZ_WIDTH_4_TABLE] = 15,
};

/* Table values become their nibbles. */
static void table_codes(uint8_t *codes, uint32_t count)
{
    uint8_t nibble[256];
    memset(nibble, 255, sizeof nibble);
    for (uint8_t i = 0; i < 16; i++)
        nibble[CZ_PACKED_TABLE[i]] = i;
    for (uint32_t k = 0; k < count; k++)
        codes[k] = nibble[codes[k]];
}

/* Puts the codes of one row of a block, of which `count` are in the matrix. */
static cloze_status put_row(enum cz_width width, unsigned char *target, uint32_t row,
                            const uint8_t *codes, uint32_t count, struct cloze_error *error)
{
    uint8_t own[CZ_BLOCK_COLUMNS] = {0}, seen = 0;
    memcpy(own, codes, count);
    if (width == CZ_WIDTH_4_TABLE)
        table_codes(own, count);
    for (uint32_t k = 0; k < CZ_BLOCK_COLUMNS; k++)
        seen = own[k] > seen ? own[k] : seen;
    if (seen > CZ_WIDTH_CODES[width])
        return cz_fail(error, CLOZE_INVALID, NULL, "a code does not fit the packed width");
    for (uint32_t s = 0; s < CZ_BLOCK_COLUMNS / 4; s++) {
        uint32_t word;
        memcpy(&word, own + (size_t)s * 4, sizeof word);
        put_codes(width, target, row, s, word);
    }
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
            unsigned char *block = target + first / CZ_BLOCK_COLUMNS * block_bytes;
            status = put_row(matrix.width, block + codes_at, row,
                             codes + (size_t)row * columns + first,
                             (uint32_t)cz_size_min(columns - first, CZ_BLOCK_COLUMNS), error);
            if (status)
                return status;
        }
    }
    return CLOZE_OK;
}

static bool all_finite(const float *values, size_t count)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, sizeof bits);
        bad |= (bits & 0x7f800000) == 0x7f800000;
    }
    return !bad;
}

static void pack_bfloat(const struct cz_packed *matrix, unsigned char *target, uint32_t rows,
                        const float *values)
{
    uint32_t columns = matrix->columns;
    memset(target, 0, cz_packed_panel_bytes(matrix));
    for (uint32_t k = 0; k < columns; k += 2)
        for (uint32_t row = 0; row < rows; row++) {
            const float *pair = values + (size_t)row * columns + k;
            uint32_t word = cz_float_to_bfloat(pair[0]);
            if (k + 1 < columns)
                word |= (uint32_t)cz_float_to_bfloat(pair[1]) << 16;
            memcpy(target + ((size_t)(k / 2) * CZ_PANEL_ROWS + row) * 4, &word, sizeof word);
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
