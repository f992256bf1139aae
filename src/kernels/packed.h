/*
 * packed.h - the layout that weight matrices have in the packed cache file and in memory.
 *
 * A matrix of [rows, columns] is cut into panels of 16 rows, a panel into blocks of 32 columns. Rows
 * beyond `rows` and columns beyond `columns` are padding that contributes nothing to any product:
 * scales and minima of padding rows are 0, codes of padding columns meet activations that are 0.
 *
 *   matrix = float multiplier[panels], zeros up to a multiple of 64, panel[panels]
 *   panel  = block[ceil(columns / 32)]
 *   block  = half scale[32 / group][16], half minimum[32 / group][16] (has_minimum only), codes
 *   value  = multiplier * (scale * (code - offset) + minimum)
 *
 * Scales in two levels, for columns that are a multiple of 256: halves for 8 blocks stand before
 * these, small integers in each block, and scale and minimum are the products of both (exact in a
 * float). The multiplier is 1.
 *
 *   panel  = span[columns / 256]
 *   span   = half scale[16], half minimum[16] (has_minimum only), block[8]
 *   block  = int8_t scale[32 / group][16], int8_t minimum[32 / group][16] (has_minimum only), codes
 *   block  = uint8_t scale_and_minimum[32 / group][16], codes      (low half the scale, high half
 *            the minimum: CZ_SCALES_NIBBLES)
 *
 * One 64-byte load holds 16 rows times 4 consecutive columns, one 32-bit lane a row. With column
 * k = 4 * s + j (s = 0..7, j = 0..3), the codes of a block are
 *
 *   8 bit    byte [s][row][j]
 *   4 bit    byte [s / 2][row][j], low half for even s, high half for odd s
 *   5 bit    4 bit, then the fifth bits: bit s of byte [row][j]
 *   6 bit    4 bit, then the two high bits: bits 2 * (s % 4) and up of byte [s / 4][row][j]
 *   3 bit    2 bit, then the third bits: bit s of byte [row][j]
 *   2 bit    bits 2 * (s % 4) and up of byte [s / 4][row][j]
 *   4 table  like 4 bit; the code is CZ_PACKED_TABLE[nibble] (IQ4_NL, IQ4_XS)
 *   bf16     no scales, no multiplier: bfloat16 [column / 2][row][column % 2], the value itself
 *
 * The multiplier is a power of two that keeps scales well inside the range of half floats. It is 1
 * where the source has half floats, and theirs are kept; scales of quantised floats are rounded to 11
 * significant bits.
 *
 * The data is position-independent, little-endian, starts at a multiple of 64 and may be a read-only
 * file mapping. Everything here may be called from any thread.
 */
#ifndef CZ_KERNELS_PACKED_H
#define CZ_KERNELS_PACKED_H

#include "base/error.h"

enum {
    CZ_PACKED_VERSION = 2, /* changes whenever the layout does */
    CZ_PANEL_ROWS = 16,
    CZ_BLOCK_COLUMNS = 32,
    CZ_SPAN_BLOCKS = 8, /* that share the upper level of scales */
    CZ_SPAN_COLUMNS = CZ_SPAN_BLOCKS * CZ_BLOCK_COLUMNS,
    CZ_PACKED_ALIGNMENT = 64,
    CZ_PACKED_MAX_COLUMNS = 1 << 20,
    CZ_PACKED_MAX_ROWS = 1 << 24,
};

enum cz_width { /* stored in files: never renumber */
    CZ_WIDTH_BF16 = 0,
    CZ_WIDTH_2 = 1,
    CZ_WIDTH_3 = 2,
    CZ_WIDTH_4 = 3,
    CZ_WIDTH_5 = 4,
    CZ_WIDTH_6 = 5,
    CZ_WIDTH_8 = 6,
    CZ_WIDTH_4_TABLE = 7,
    CZ_WIDTHS
};

enum cz_scales { /* stored in files: never renumber */
    CZ_SCALES_HALF = 0,
    CZ_SCALES_BYTES = 1,   /* two levels */
    CZ_SCALES_NIBBLES = 2, /* two levels; with minima only */
};

/* A matrix over borrowed memory. */
struct cz_packed {
    const unsigned char *data; /* 64-byte aligned, cz_packed_size bytes */
    uint32_t rows;
    uint32_t columns;
    enum cz_width width;
    uint32_t group;   /* columns that share scale and minimum: 16 or 32; 0 for bf16 */
    bool has_minimum;
    uint32_t offset;  /* subtracted from every code: 0..128; 0 with minima */
    enum cz_scales scales;
};

extern const uint8_t CZ_PACKED_TABLE[16]; /* IQ4's values + 128 */

/* Whether the shape (all but data) is one that the kernels take; names what isn't. */
cloze_status cz_packed_check(const struct cz_packed *matrix, struct cloze_error *error);

/* Bytes of the whole matrix, a multiple of 64; the shape has passed cz_packed_check. */
size_t cz_packed_size(const struct cz_packed *matrix);
uint32_t cz_packed_panels(const struct cz_packed *matrix); /* ceil(rows / 16) */
uint32_t cz_packed_blocks(const struct cz_packed *matrix); /* ceil(columns / 32) */
size_t cz_packed_block_bytes(const struct cz_packed *matrix);
/* Bytes before the blocks of a span: 0 where scales have one level. */
size_t cz_packed_span_bytes(const struct cz_packed *matrix);
/* Where a panel's block lies, behind the panel's start; in two levels the first of a span's is where
 * the span begins. */
size_t cz_packed_block_position(const struct cz_packed *matrix, uint32_t block);
size_t cz_packed_panel_bytes(const struct cz_packed *matrix);
const unsigned char *cz_packed_panel(const struct cz_packed *matrix, uint32_t panel);
float cz_packed_multiplier(const struct cz_packed *matrix, uint32_t panel);

/*
 * Packing, one panel at a time, so that panels can be packed in parallel and in any order. `out` is
 * the panel's memory (cz_packed_panel_bytes), of which all is written; `rows` (1..16) rows are given,
 * the rest of the panel becomes padding. The matrix's multipliers are the caller's to write, before
 * the panels: cz_packed_header_bytes, zeros behind the last.
 */
size_t cz_packed_header_bytes(const struct cz_packed *matrix);

/* Codes and scales of some rows and columns (whole groups), as in model/dtype.h. For CZ_WIDTH_4_TABLE
 * codes are indices into the table. */
struct cz_panel_groups {
    const uint8_t *codes;                  /* [rows][columns] */
    const uint16_t *scales, *minima;       /* halves: [rows][columns / group]; two levels:
                                              [rows][columns / 256]; minima with has_minimum only */
    const int8_t *low_scales, *low_minima; /* two levels: [rows][columns / group] */
};

/* Packs `columns` of the shape's columns, whole blocks and spans but at its end; `out` is where the
 * first of their blocks belongs (cz_packed_block_position). Fails (CLOZE_INVALID) on scales that are
 * not finite and codes that do not fit the width. The multiplier is 1. */
cloze_status cz_pack_groups(const struct cz_packed *shape, void *out, uint32_t rows,
                            uint32_t columns, const struct cz_panel_groups *groups,
                            struct cloze_error *error);

/* Rows of floats [rows][columns]: rounded to bf16, or quantised to the shape's width (one level of
 * scales) by cz_quantize_groups. Fails (CLOZE_INVALID) on values that are not finite. */
cloze_status cz_pack_floats(const struct cz_packed *shape, void *out, uint32_t rows,
                            const float *values, float *multiplier, struct cloze_error *error);

/* The same of bf16 values, one pointer a row (unaligned), to a panel of bf16. */
cloze_status cz_pack_bfloats(const struct cz_packed *shape, void *out, uint32_t rows,
                             const void *const *values, struct cloze_error *error);

/* Row `row` as `columns` floats (embedding lookup): exactly the values that the kernels multiply. */
void cz_packed_row(const struct cz_packed *matrix, uint32_t row, float *out);

/* One block, decoded. */
struct cz_packed_block {
    uint8_t codes[CZ_PANEL_ROWS][CZ_BLOCK_COLUMNS]; /* table applied, offset not subtracted */
    float scales[2][CZ_PANEL_ROWS];                 /* a group's; [0] alone for groups of 32 */
    float minima[2][CZ_PANEL_ROWS];                 /* 0 without minima */
};

/* Block `index` of a panel; not for bf16. */
void cz_packed_decode(const struct cz_packed *matrix, const unsigned char *panel, uint32_t index,
                      struct cz_packed_block *out);

/* ---- Half and bfloat16, rounding to nearest even ---- */

float cz_half_to_float(uint16_t half);
uint16_t cz_float_to_half(float value);

static inline float cz_bfloat_to_float(uint16_t value)
{
    uint32_t bits = (uint32_t)value << 16;
    float result;
    __builtin_memcpy(&result, &bits, sizeof result);
    return result;
}

static inline uint16_t cz_float_to_bfloat(float value)
{
    uint32_t bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 64); /* keep a NaN a NaN */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#endif
