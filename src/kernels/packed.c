/* packed.c - sizes of packed matrices, and reading them back. */
#include "kernels/packed_private.h"

#include "base/size.h"

#include <string.h>

const uint8_t CZ_PACKED_TABLE[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                     129, 141, 153, 166, 181, 197, 217, 241};

/* Bytes of the codes of one block, by width. */
static const uint16_t CODE_BYTES[CZ_WIDTHS] = {
    [CZ_WIDTH_BF16] = 1024, [CZ_WIDTH_2] = 128,     [CZ_WIDTH_3] = 192,
    [CZ_WIDTH_4] = 256,     [CZ_WIDTH_5] = 320,     [CZ_WIDTH_6] = 384,
    [CZ_WIDTH_8] = 512,     [CZ_WIDTH_4_TABLE] = 256,
};

static bool is_shape(const struct cz_packed *m)
{
#define SHAPE(name, w, g, minimum, s)                                                              \
    if (m->width == (w) && m->group == (g) && m->has_minimum == (minimum) && m->scales == (s))     \
        return true;
    CZ_PACKED_SHAPES(SHAPE)
#undef SHAPE
    return false;
}

cloze_status cz_packed_check(const struct cz_packed *matrix, struct cloze_error *error)
{
    if (matrix->rows == 0 || matrix->rows > CZ_PACKED_MAX_ROWS)
        return cz_fail(error, CLOZE_LIMIT, NULL, "a matrix has 1 to %d rows, not %u",
                       CZ_PACKED_MAX_ROWS, matrix->rows);
    if (matrix->columns == 0 || matrix->columns > CZ_PACKED_MAX_COLUMNS)
        return cz_fail(error, CLOZE_LIMIT, NULL, "a matrix has 1 to %d columns, not %u",
                       CZ_PACKED_MAX_COLUMNS, matrix->columns);
    if ((unsigned)matrix->width >= CZ_WIDTHS)
        return cz_fail(error, CLOZE_INVALID, NULL, "unknown packed width %d", (int)matrix->width);
    if (matrix->width == CZ_WIDTH_BF16)
        return CLOZE_OK;
    if (matrix->group != 16 && matrix->group != 32)
        return cz_fail(error, CLOZE_INVALID, NULL, "groups are of 16 or 32 columns, not %u",
                       matrix->group);
    if (matrix->columns % matrix->group)
        return cz_fail(error, CLOZE_INVALID, NULL, "%u columns are not whole groups of %u",
                       matrix->columns, matrix->group);
    if (matrix->offset > 128 || (matrix->has_minimum && matrix->offset))
        return cz_fail(error, CLOZE_INVALID, NULL, "code offset %u is not possible here",
                       matrix->offset);
    if (!is_shape(matrix))
        return cz_fail(error, CLOZE_INVALID, NULL,
                       "width %d, groups of %u%s and scales %d don't occur together",
                       (int)matrix->width, matrix->group, matrix->has_minimum ? " with minima" : "",
                       (int)matrix->scales);
    if (matrix->scales && matrix->columns % CZ_SPAN_COLUMNS)
        return cz_fail(error, CLOZE_INVALID, NULL, "%u columns are not whole spans of %d",
                       matrix->columns, CZ_SPAN_COLUMNS);
    return CLOZE_OK;
}

uint32_t cz_packed_panels(const struct cz_packed *matrix)
{
    return (matrix->rows + CZ_PANEL_ROWS - 1) / CZ_PANEL_ROWS;
}

uint32_t cz_packed_blocks(const struct cz_packed *matrix)
{
    return (matrix->columns + CZ_BLOCK_COLUMNS - 1) / CZ_BLOCK_COLUMNS;
}

size_t cz_packed_scale_bytes(const struct cz_packed *matrix)
{
    static const uint8_t bytes[] = {
        [CZ_SCALES_HALF] = sizeof(uint16_t), [CZ_SCALES_BYTES] = 1, [CZ_SCALES_NIBBLES] = 1};
    if (matrix->width == CZ_WIDTH_BF16)
        return 0;
    bool both = matrix->has_minimum && matrix->scales != CZ_SCALES_NIBBLES;
    return (size_t)(CZ_BLOCK_COLUMNS / matrix->group) * CZ_PANEL_ROWS * bytes[matrix->scales] *
           (both ? 2 : 1);
}

size_t cz_packed_block_bytes(const struct cz_packed *matrix)
{
    return cz_packed_scale_bytes(matrix) + CODE_BYTES[matrix->width];
}

size_t cz_packed_span_bytes(const struct cz_packed *matrix)
{
    if (matrix->scales == CZ_SCALES_HALF)
        return 0;
    return (matrix->has_minimum ? 2 : 1) * CZ_PANEL_ROWS * sizeof(uint16_t);
}

size_t cz_packed_block_position(const struct cz_packed *matrix, uint32_t block)
{
    size_t spans = (block + CZ_SPAN_BLOCKS - 1) / CZ_SPAN_BLOCKS;
    return block * cz_packed_block_bytes(matrix) + spans * cz_packed_span_bytes(matrix);
}

size_t cz_packed_panel_bytes(const struct cz_packed *matrix)
{
    return cz_packed_block_position(matrix, cz_packed_blocks(matrix));
}

size_t cz_packed_header_bytes(const struct cz_packed *matrix)
{
    if (matrix->width == CZ_WIDTH_BF16)
        return 0;
    return cz_size_align(cz_packed_panels(matrix) * sizeof(float), CZ_PACKED_ALIGNMENT);
}

size_t cz_packed_size(const struct cz_packed *matrix)
{
    return cz_size_align(cz_packed_header_bytes(matrix) +
                             cz_packed_panels(matrix) * cz_packed_panel_bytes(matrix),
                         CZ_PACKED_ALIGNMENT);
}

const unsigned char *cz_packed_panel(const struct cz_packed *matrix, uint32_t panel)
{
    return matrix->data + cz_packed_header_bytes(matrix) + panel * cz_packed_panel_bytes(matrix);
}

float cz_packed_multiplier(const struct cz_packed *matrix, uint32_t panel)
{
    if (matrix->width == CZ_WIDTH_BF16)
        return 1.0f;
    float multiplier;
    memcpy(&multiplier, matrix->data + panel * sizeof multiplier, sizeof multiplier);
    return multiplier;
}

/* Four bits, two bits of step s at byte `at`: planes of half and of a quarter of the steps. */
static uint8_t nibble_at(const unsigned char *codes, uint32_t at, uint32_t s)
{
    return codes[s / 2 * 64 + at] >> (s % 2 * 4) & 15;
}

static uint8_t pair_at(const unsigned char *codes, uint32_t at, uint32_t s)
{
    return codes[s / 4 * 64 + at] >> (s % 4 * 2) & 3;
}

/* The code at step s, byte j of a row. `codes` points at the block's codes. */
static uint8_t code_at(enum cz_width width, const unsigned char *codes, uint32_t row, uint32_t s,
                       uint32_t j)
{
    uint32_t at = row * 4 + j;
    switch (width) {
    case CZ_WIDTH_2:
        return pair_at(codes, at, s);
    case CZ_WIDTH_3:
        return (uint8_t)(pair_at(codes, at, s) | (codes[128 + at] >> s & 1) << 2);
    case CZ_WIDTH_4:
        return nibble_at(codes, at, s);
    case CZ_WIDTH_4_TABLE:
        return CZ_PACKED_TABLE[nibble_at(codes, at, s)];
    case CZ_WIDTH_5:
        return (uint8_t)(nibble_at(codes, at, s) | (codes[256 + at] >> s & 1) << 4);
    case CZ_WIDTH_6:
        return (uint8_t)(nibble_at(codes, at, s) | pair_at(codes + 256, at, s) << 4);
    default:
        return codes[s * 64 + at];
    }
}

static float half_at(const unsigned char *at)
{
    uint16_t half;
    memcpy(&half, at, sizeof half);
    return cz_half_to_float(half);
}

/* Scale and minimum of a row's group in a block; `span` points at the span's halves. */
static void scale_at(const struct cz_packed *matrix, const unsigned char *span,
                     const unsigned char *block, uint32_t group, uint32_t row, float *scale,
                     float *minimum)
{
    uint32_t at = group * CZ_PANEL_ROWS + row;
    uint32_t all = CZ_BLOCK_COLUMNS / matrix->group * CZ_PANEL_ROWS;
    *minimum = 0;
    if (matrix->scales == CZ_SCALES_HALF) {
        *scale = half_at(block + (size_t)at * 2);
        if (matrix->has_minimum)
            *minimum = half_at(block + (size_t)(all + at) * 2);
        return;
    }
    bool bytes = matrix->scales == CZ_SCALES_BYTES;
    *scale = half_at(span + (size_t)row * 2) * (float)(bytes ? (int8_t)block[at] : block[at] & 15);
    if (matrix->has_minimum)
        *minimum = half_at(span + (size_t)(CZ_PANEL_ROWS + row) * 2) *
                   (float)(bytes ? (int8_t)block[all + at] : block[at] >> 4);
}

/* The halves of the span that a block is in, and the block itself. */
static const unsigned char *find_block(const struct cz_packed *matrix, const unsigned char *panel,
                                       uint32_t index, const unsigned char **block)
{
    const unsigned char *span =
        panel + cz_packed_block_position(matrix, index / CZ_SPAN_BLOCKS * CZ_SPAN_BLOCKS);
    *block = span + cz_packed_span_bytes(matrix) +
             index % CZ_SPAN_BLOCKS * cz_packed_block_bytes(matrix);
    return span;
}

void cz_packed_decode(const struct cz_packed *matrix, const unsigned char *panel, uint32_t index,
                      struct cz_packed_block *out)
{
    const unsigned char *block, *span = find_block(matrix, panel, index, &block);
    const unsigned char *codes = block + cz_packed_scale_bytes(matrix);
    for (uint32_t row = 0; row < CZ_PANEL_ROWS; row++) {
        for (uint32_t k = 0; k < CZ_BLOCK_COLUMNS; k++)
            out->codes[row][k] = code_at(matrix->width, codes, row, k / 4, k % 4);
        for (uint32_t g = 0; g < CZ_BLOCK_COLUMNS / matrix->group; g++)
            scale_at(matrix, span, block, g, row, &out->scales[g][row], &out->minima[g][row]);
    }
}

static void bfloat_row(const struct cz_packed *matrix, const unsigned char *panel, uint32_t lane,
                       float *out)
{
    for (uint32_t k = 0; k < matrix->columns; k++) {
        uint16_t value;
        memcpy(&value, panel + ((size_t)(k / 2) * CZ_PANEL_ROWS + lane) * 4 + k % 2 * 2, 2);
        out[k] = cz_bfloat_to_float(value);
    }
}

void cz_packed_row(const struct cz_packed *matrix, uint32_t row, float *out)
{
    const unsigned char *panel = cz_packed_panel(matrix, row / CZ_PANEL_ROWS), *block;
    float multiplier = cz_packed_multiplier(matrix, row / CZ_PANEL_ROWS), scale, minimum;
    uint32_t lane = row % CZ_PANEL_ROWS;
    if (matrix->width == CZ_WIDTH_BF16) {
        bfloat_row(matrix, panel, lane, out);
        return;
    }
    for (uint32_t first = 0; first < matrix->columns; first += matrix->group) {
        const unsigned char *span = find_block(matrix, panel, first / CZ_BLOCK_COLUMNS, &block);
        uint32_t at = first % CZ_BLOCK_COLUMNS;
        scale_at(matrix, span, block, at / matrix->group, lane, &scale, &minimum);
        const unsigned char *codes = block + cz_packed_scale_bytes(matrix);
        for (uint32_t i = 0; i < matrix->group; i++, at++) {
            int code = code_at(matrix->width, codes, lane, at / 4, at % 4);
            out[first + i] = (scale * (float)(code - (int)matrix->offset) + minimum) * multiplier;
        }
    }
}

float cz_half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = half & 0x7fff, bits;
    float value;
    if (rest >= 0x7c00) { /* infinity, NaN */
        bits = sign | 0x7f800000 | (rest & 0x3ff) << 13;
    } else if (rest >= 0x400) {
        bits = sign | ((rest << 13) + ((127 - 15) << 23));
    } else { /* subnormal: rest * 2^-24 */
        value = (float)rest * 0x1p-24f;
        return sign ? -value : value;
    }
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint16_t cz_float_to_half(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    bits &= 0x7fffffff;
    if (bits > 0x7f800000)
        return sign | 0x7e00;
    if (bits >= 0x477ff000) /* rounds to 2^16 or more */
        return sign | 0x7c00;
    if (bits < 0x38800000) { /* below 2^-14: the sum's last bit is 2^-24 */
        float magnitude;
        memcpy(&magnitude, &bits, sizeof magnitude);
        magnitude += 0.5f;
        memcpy(&bits, &magnitude, sizeof bits);
        return (uint16_t)(sign | (bits - 0x3f000000));
    }
    bits += 0xfff + (bits >> 13 & 1);
    return (uint16_t)(sign | (bits - ((127 - 15) << 23)) >> 13);
}
