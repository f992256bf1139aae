/*
 * pack.c - groups of codes and scales, or floats, into panels.
 *
 * Packing is a transposition of 32-bit words: the four codes of columns 4 * s and up of every row
 * become the 16 words of step s, and planes are made of whole steps. Loops over 16 words have constant
 * bounds, so that compilers make vectors of them.
 */
#include "kernels/packed_private.h"

#include "base/size.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = CZ_BLOCK_COLUMNS / 4 };

/* Four codes of every row. */
struct step {
    uint32_t words[CZ_PANEL_ROWS];
};

const uint8_t CZ_WIDTH_CODES[CZ_WIDTHS] = {
    [CZ_WIDTH_2] = 3,  [CZ_WIDTH_3] = 7,   [CZ_WIDTH_4] = 15,       [CZ_WIDTH_5] = 31,
    [CZ_WIDTH_6] = 63, [CZ_WIDTH_8] = 255, [CZ_WIDTH_4_TABLE] = 15,
};

/* ---- Transposition ---- */

typedef uint32_t quad __attribute__((vector_size(16)));

static inline quad load_quad(const unsigned char *at)
{
    quad q;
    memcpy(&q, at, sizeof q);
    return q;
}

static inline void store_quad(unsigned char *at, quad q)
{
    memcpy(at, &q, sizeof q);
}

/* Words first..first+3 of four rows to four lines of 16 words. */
static inline void transpose_quads(const unsigned char *const *rows, size_t first,
                                   unsigned char *out)
{
    enum { LINE = CZ_PANEL_ROWS * 4 };
    quad a = load_quad(rows[0] + first * 4), b = load_quad(rows[1] + first * 4);
    quad c = load_quad(rows[2] + first * 4), d = load_quad(rows[3] + first * 4);
    quad ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), AB = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    quad cd = __builtin_shufflevector(c, d, 0, 4, 1, 5), CD = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    store_quad(out, __builtin_shufflevector(ab, cd, 0, 1, 4, 5));
    store_quad(out + LINE, __builtin_shufflevector(ab, cd, 2, 3, 6, 7));
    store_quad(out + 2 * LINE, __builtin_shufflevector(AB, CD, 0, 1, 4, 5));
    store_quad(out + 3 * LINE, __builtin_shufflevector(AB, CD, 2, 3, 6, 7));
}

/* Words 0..words-1 (a multiple of 4) of 16 rows become lines of 16 words. */
static inline void transpose(const unsigned char *const rows[CZ_PANEL_ROWS], size_t words,
                             unsigned char *out)
{
    for (size_t word = 0; word < words; word += 4)
        for (size_t row = 0; row < CZ_PANEL_ROWS; row += 4)
            transpose_quads(rows + row, word, out + (word * CZ_PANEL_ROWS + row) * 4);
}

/* Replaces the rows by copies of `size` bytes each, of which the first `count` of the first `given`
 * rows are theirs and all others 0. */
static void pad_rows(const unsigned char *rows[CZ_PANEL_ROWS], uint32_t given, size_t count,
                     unsigned char *copies, size_t size)
{
    memset(copies, 0, CZ_PANEL_ROWS * size);
    for (uint32_t i = 0; i < CZ_PANEL_ROWS; i++, copies += size) {
        if (i < given)
            memcpy(copies, rows[i], count);
        rows[i] = copies;
    }
}

/* ---- Codes ---- */

/* Bits `first` and up of all codes, `bits` of each, 8 / bits steps in a byte; returns the end. */
static unsigned char *put_plane(unsigned char *out, const struct step *steps, uint32_t first,
                                uint32_t bits)
{
    uint32_t mask = ((1u << bits) - 1) * 0x01010101u, together = 8 / bits;
    for (uint32_t s = 0; s < STEPS; s += together) {
        struct step plane = {0};
        for (uint32_t i = 0; i < together; i++)
            for (uint32_t row = 0; row < CZ_PANEL_ROWS; row++)
                plane.words[row] |= (steps[s + i].words[row] >> first & mask) << (i * bits);
        memcpy(out, &plane, sizeof plane);
        out += sizeof plane;
    }
    return out;
}

static void put_planes(enum cz_width width, unsigned char *out, const struct step *steps)
{
    switch (width) {
    case CZ_WIDTH_2:
        put_plane(out, steps, 0, 2);
        break;
    case CZ_WIDTH_3:
        put_plane(put_plane(out, steps, 0, 2), steps, 2, 1);
        break;
    case CZ_WIDTH_4:
    case CZ_WIDTH_4_TABLE:
        put_plane(out, steps, 0, 4);
        break;
    case CZ_WIDTH_5:
        put_plane(put_plane(out, steps, 0, 4), steps, 4, 1);
        break;
    case CZ_WIDTH_6:
        put_plane(put_plane(out, steps, 0, 4), steps, 4, 2);
        break;
    default:
        memcpy(out, steps, STEPS * sizeof *steps);
        break;
    }
}

/* Whether all codes fit the width. */
static bool codes_fit(enum cz_width width, const struct step *steps)
{
    struct step seen = {0};
    for (uint32_t s = 0; s < STEPS; s++)
        for (uint32_t row = 0; row < CZ_PANEL_ROWS; row++)
            seen.words[row] |= steps[s].words[row];
    uint32_t all = 0;
    for (uint32_t row = 0; row < CZ_PANEL_ROWS; row++)
        all |= seen.words[row];
    return !(all & ~(CZ_WIDTH_CODES[width] * 0x01010101u));
}

/* The codes of a block, of which `count` columns are in the matrix; rows lie `stride` apart. */
static cloze_status put_codes(enum cz_width width, unsigned char *out, uint32_t rows,
                              size_t stride, const uint8_t *codes, uint32_t count,
                              struct cloze_error *error)
{
    struct step steps[STEPS];
    const unsigned char *row[CZ_PANEL_ROWS];
    uint8_t padded[CZ_PANEL_ROWS][CZ_BLOCK_COLUMNS];
    for (uint32_t i = 0; i < CZ_PANEL_ROWS; i++)
        row[i] = codes + (i < rows ? i : 0) * stride;
    if (rows < CZ_PANEL_ROWS || count < CZ_BLOCK_COLUMNS)
        pad_rows(row, rows, count, padded[0], sizeof *padded);
    transpose(row, STEPS, (unsigned char *)steps);
    if (!codes_fit(width, steps))
        return cz_fail(error, CLOZE_INVALID, NULL, "a code does not fit the packed width");
    put_planes(width, out, steps);
    return CLOZE_OK;
}

/* ---- Scales ---- */

/* `count` columns' halves of `rows` rows that lie `stride` apart, as [count][16]; returns the end. */
static unsigned char *put_halves(unsigned char *out, const uint16_t *halves, uint32_t rows,
                                 size_t stride, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++, out += CZ_PANEL_ROWS * sizeof *halves) {
        if (rows < CZ_PANEL_ROWS)
            memset(out, 0, CZ_PANEL_ROWS * sizeof *halves);
        for (uint32_t row = 0; row < rows; row++)
            memcpy(out + row * sizeof *halves, &halves[row * stride + i], sizeof *halves);
    }
    return out;
}

static unsigned char *put_bytes(unsigned char *out, const int8_t *bytes, uint32_t rows,
                                size_t stride, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++, out += CZ_PANEL_ROWS) {
        if (rows < CZ_PANEL_ROWS)
            memset(out, 0, CZ_PANEL_ROWS);
        for (uint32_t row = 0; row < rows; row++)
            out[row] = (unsigned char)bytes[row * stride + i];
    }
    return out;
}

static unsigned char *put_nibbles(unsigned char *out, const int8_t *low, const int8_t *high,
                                  uint32_t rows, size_t stride, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++, out += CZ_PANEL_ROWS) {
        if (rows < CZ_PANEL_ROWS)
            memset(out, 0, CZ_PANEL_ROWS);
        for (uint32_t row = 0; row < rows; row++)
            out[row] = (unsigned char)((low[row * stride + i] & 15) | high[row * stride + i] << 4);
    }
    return out;
}

/* Scales and minima of a block's groups, `first` of `stride` and up. */
static unsigned char *put_scales(const struct cz_packed *shape, unsigned char *out, uint32_t rows,
                                 const struct cz_panel_groups *from, uint32_t stride,
                                 uint32_t first)
{
    uint32_t count = (uint32_t)cz_size_min(CZ_BLOCK_COLUMNS / shape->group, stride - first);
    size_t padding = CZ_BLOCK_COLUMNS / shape->group - count;
    switch (shape->scales) {
    case CZ_SCALES_BYTES:
        out = put_bytes(out, from->low_scales + first, rows, stride, count);
        return shape->has_minimum ? put_bytes(out, from->low_minima + first, rows, stride, count)
                                  : out;
    case CZ_SCALES_NIBBLES:
        return put_nibbles(out, from->low_scales + first, from->low_minima + first, rows, stride,
                           count);
    default:
        break;
    }
    const uint16_t *halves[2] = {from->scales, from->minima};
    for (int i = 0; i < 1 + shape->has_minimum; i++) {
        out = put_halves(out, halves[i] + first, rows, stride, count);
        memset(out, 0, padding * CZ_PANEL_ROWS * sizeof(uint16_t));
        out += padding * CZ_PANEL_ROWS * sizeof(uint16_t);
    }
    return out;
}

static bool halves_are_finite(const uint16_t *halves, size_t count)
{
    uint16_t bad = 0;
    for (size_t i = 0; i < count; i++)
        bad |= (halves[i] & 0x7c00) == 0x7c00;
    return !bad;
}

cloze_status cz_pack_groups(const struct cz_packed *shape, void *out, uint32_t rows,
                            uint32_t columns, const struct cz_panel_groups *groups,
                            struct cloze_error *error)
{
    uint32_t spans = columns / CZ_SPAN_COLUMNS;
    size_t halves = shape->scales ? spans : columns / shape->group;
    unsigned char *at = out;
    if (!halves_are_finite(groups->scales, rows * halves) ||
        (shape->has_minimum && !halves_are_finite(groups->minima, rows * halves)))
        return cz_fail(error, CLOZE_INVALID, NULL, "a scale of a weight group is not finite");
    for (uint32_t first = 0; first < columns; first += CZ_BLOCK_COLUMNS) {
        if (shape->scales && first % CZ_SPAN_COLUMNS == 0) {
            uint32_t span = first / CZ_SPAN_COLUMNS;
            at = put_halves(at, groups->scales + span, rows, spans, 1);
            if (shape->has_minimum)
                at = put_halves(at, groups->minima + span, rows, spans, 1);
        }
        uint32_t count = (uint32_t)cz_size_min(columns - first, CZ_BLOCK_COLUMNS);
        unsigned char *codes = put_scales(shape, at, rows, groups, columns / shape->group,
                                          first / shape->group);
        cloze_status status = put_codes(shape->width, codes, rows, columns, groups->codes + first,
                                        count, error);
        if (status)
            return status;
        at += cz_packed_block_bytes(shape);
    }
    return CLOZE_OK;
}

/* ---- Floats ---- */

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

/* Of `count` bfloats, an even number, at any address. */
static bool bfloats_are_finite(const unsigned char *values, size_t count)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i += 2) {
        uint32_t pair;
        memcpy(&pair, values + i * 2, sizeof pair);
        bad |= (pair & 0x7f80) == 0x7f80;
        bad |= (pair & 0x7f800000) == 0x7f800000;
    }
    return !bad;
}

/* Of a row of any number of values. */
static bool row_is_finite(const unsigned char *values, uint32_t columns)
{
    uint16_t last[2] = {0};
    if (columns % 2)
        memcpy(last, values + ((size_t)columns - 1) * 2, 2);
    return bfloats_are_finite(values, columns / 2 * 2) &&
           bfloats_are_finite((const unsigned char *)last, 2);
}

cloze_status cz_pack_bfloats(const struct cz_packed *shape, void *out, uint32_t rows,
                             const void *const *values, struct cloze_error *error)
{
    uint32_t columns = shape->columns;
    unsigned char *to = out, padded[CZ_PANEL_ROWS][CZ_BLOCK_COLUMNS * 2];
    for (uint32_t i = 0; i < rows; i++)
        if (!row_is_finite(values[i], columns))
            return cz_fail(error, CLOZE_INVALID, NULL, "a weight is not a finite number");
    for (uint32_t first = 0; first < columns; first += CZ_BLOCK_COLUMNS) {
        const unsigned char *row[CZ_PANEL_ROWS];
        size_t count = cz_size_min(columns - first, CZ_BLOCK_COLUMNS);
        for (uint32_t i = 0; i < CZ_PANEL_ROWS; i++)
            row[i] = (const unsigned char *)values[i < rows ? i : 0] + (size_t)first * 2;
        if (rows < CZ_PANEL_ROWS || count < CZ_BLOCK_COLUMNS)
            pad_rows(row, rows, count * 2, padded[0], sizeof *padded);
        transpose(row, CZ_BLOCK_COLUMNS / 2, to);
        to += cz_packed_block_bytes(shape);
    }
    return CLOZE_OK;
}

static cloze_status pack_rounded(const struct cz_packed *shape, void *out, uint32_t rows,
                                 const float *values, struct cloze_error *error)
{
    size_t columns = shape->columns;
    const void *row_values[CZ_PANEL_ROWS];
    uint16_t *rounded = malloc(rows * columns * sizeof *rounded);
    if (!rounded)
        return cz_fail_memory(error, "a panel of weights");
    for (size_t i = 0; i < rows * columns; i++) {
        uint32_t bits; /* as cz_float_to_bfloat, but for NaN */
        memcpy(&bits, values + i, sizeof bits);
        rounded[i] = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    }
    for (uint32_t row = 0; row < rows; row++)
        row_values[row] = rounded + row * columns;
    cloze_status status = cz_pack_bfloats(shape, out, rows, row_values, error);
    free(rounded);
    return status;
}

/* The power of two that the panel's scales are divided by: 1 when they are half floats as they
 * are, else such that the largest lies in [2^14, 2^15). */
static float choose_multiplier(const float *scales, size_t count)
{
    float largest = 0;
    bool exact = true;
    for (size_t i = 0; i < count; i++) {
        exact = exact && cz_half_to_float(cz_float_to_half(scales[i])) == scales[i];
        largest = fmaxf(largest, fabsf(scales[i]));
    }
    if (exact)
        return 1.0f;
    int exponent;
    frexpf(largest, &exponent);
    if (exponent - 15 < -126) /* the multiplier stays a normal number */
        exponent = 15 - 126;
    return ldexpf(1.0f, exponent - 15);
}

static cloze_status pack_quantised(const struct cz_packed *shape, void *out, uint32_t rows,
                                   const float *values, float *multiplier,
                                   struct cloze_error *error)
{
    size_t columns = shape->columns, groups = columns / shape->group, all = rows * groups;
    uint8_t *codes = malloc(rows * columns);
    float *scales = calloc(2 * all, sizeof *scales), *minima = scales + all;
    uint16_t *halves = malloc(2 * all * sizeof *halves);
    cloze_status status = CLOZE_OK;
    if (!codes || !scales || !halves) {
        status = cz_fail_memory(error, "a panel of weights");
        goto out;
    }
    for (uint32_t row = 0; row < rows; row++)
        cz_quantize_groups(shape, values + row * columns, codes + row * columns,
                           scales + row * groups, minima + row * groups);
    *multiplier = choose_multiplier(scales, shape->has_minimum ? 2 * all : all);
    for (size_t i = 0; i < 2 * all; i++)
        halves[i] = cz_float_to_half(scales[i] / *multiplier);
    struct cz_panel_groups panel = {codes, halves, halves + all, NULL, NULL};
    status = cz_pack_groups(shape, out, rows, shape->columns, &panel, error);
out:
    free(halves);
    free(scales);
    free(codes);
    return status;
}

cloze_status cz_pack_floats(const struct cz_packed *shape, void *out, uint32_t rows,
                            const float *values, float *multiplier, struct cloze_error *error)
{
    *multiplier = 1.0f;
    if (!all_finite(values, (size_t)rows * shape->columns))
        return cz_fail(error, CLOZE_INVALID, NULL, "a weight is not a finite number");
    if (shape->width == CZ_WIDTH_BF16)
        return pack_rounded(shape, out, rows, values, error);
    if (shape->width == CZ_WIDTH_4_TABLE || shape->scales)
        return cz_fail(error, CLOZE_UNSUPPORTED, NULL,
                       "floats can't be quantised to a table, or with scales in two levels");
    if (!shape->has_minimum && shape->offset != (CZ_WIDTH_CODES[shape->width] + 1u) / 2)
        return cz_fail(error, CLOZE_INVALID, NULL, "code offset %u is not the middle of the codes",
                       shape->offset);
    return pack_quantised(shape, out, rows, values, multiplier, error);
}
