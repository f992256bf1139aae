/*
 * product.h - matrix products over vectors of 4, 8 or 16 rows.
 *
 * Included by the file of each instruction set, which defines before:
 *
 *     VECTOR_ROWS    rows of one register: its 32-bit lanes
 *     TILE_VECTORS   vectors of rows that a tile holds in registers
 *     WIDE_BIAS      0 when dot4 takes codes up to 255; 128 when codes of 8 bits are to be made
 *                    signed (code - 128) for it
 *     fvec, ivec     vectors of VECTOR_ROWS floats and 32-bit words (GCC vector extensions)
 *     fvec_set, fvec_fma (one rounding), fvec_halves (loads half floats)
 *     ivec_set, ivec_bytes (loads VECTOR_ROWS signed bytes), ivec_table (CZ_PACKED_TABLE of every byte)
 *     ivec_dot4(sum, codes, x, wide)   sum + the dot product of the 4 bytes of each lane; codes are
 *                    unsigned below 128, or as WIDE_BIAS says when `wide`; x is signed
 *     TILE_MATRICES, add_matrices      only where one instruction multiplies small matrices of codes
 *     CZ_BFLOAT_PAIRS, bfloat_dot      only where pairs of bf16 are multiplied by one instruction
 *
 * One activation row (decoding): a few panels are streamed side by side, once, and codes are
 * unpacked in registers; several streams, because the hardware's prefetcher stops at the end of each page.
 * A few rows: few.h. More: a strip of PANELS panels and some blocks of columns is unpacked to bytes
 * and floats in L1 and multiplied with all activation rows, a tile of them at a time; what the earlier
 * strips of the same panels gave waits in `sums`. For every row all paths do the specified operations
 * in the specified order.
 */
#ifndef CZ_KERNELS_PRODUCT_H
#define CZ_KERNELS_PRODUCT_H

#include "kernels/tables.h"
#include "kernels/elementwise.h"
#include "kernels/epilogue.h"
#include "kernels/attention.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    PANELS = 2,
    STRIP_ROWS = PANELS * CZ_PANEL_ROWS,
    PANEL_VECTORS = CZ_PANEL_ROWS / VECTOR_ROWS,
    ROWS = 120,          /* activation rows that share an unpacked strip: whole tiles of both kinds */
    STRIP_BLOCKS = 18,   /* of a strip at most; whole spans where scales have two levels */
    BFLOAT_BLOCKS = 9,   /* the same, bf16 */
    BLOCK_STEPS = 8,
    BESIDE = 4, /* panels that one activation row meets at a time; PANELS where fewer are left */
    MOST_COLUMNS = 2 * CZ_INT8_TILE, /* activation rows that a panel meets at a time, see few.h */
    PREFETCH_BYTES = 2048,
};

/* What is known about a matrix when the kernels are compiled. */
struct shape {
    enum cz_width width;
    uint32_t groups; /* in a block: 1 or 2 */
    bool has_minimum;
    enum cz_scales scales;
};

INLINE ivec ivec_load(const void *at)
{
    ivec v;
    memcpy(&v, at, sizeof v);
    return v;
}

INLINE fvec fvec_load(const float *at)
{
    fvec v;
    memcpy(&v, at, sizeof v);
    return v;
}

INLINE void fvec_store(float *at, fvec v)
{
    memcpy(at, &v, sizeof v);
}

INLINE fvec to_float(ivec v)
{
    return __builtin_convertvector(v, fvec);
}

/* Four codes of one activation row, in every lane. */
INLINE ivec broadcast4(const int8_t *at)
{
    int32_t word;
    memcpy(&word, at, sizeof word);
    return ivec_set(word);
}

INLINE bool is_wide(enum cz_width width)
{
    return WIDE_BIAS && (width == CZ_WIDTH_8 || width == CZ_WIDTH_4_TABLE);
}

/* Field s (of `bits` bits) of each byte, at bit position `to`. */
INLINE ivec field(ivec word, int bits, int s, int to)
{
    typedef uint32_t words __attribute__((vector_size(sizeof(ivec))));
    int right = bits * s - to;
    words moved = right > 0 ? (words)word >> right : (words)word << -right;
    return (ivec)moved & ivec_set((((1 << bits) - 1) << to) * 0x01010101);
}

/* Step s (0..7) of a block's codes for one vector of rows: lanes of 4 columns. `codes` points at the
 * vector's first row. */
INLINE ivec unpack(enum cz_width width, const unsigned char *codes, int s)
{
    ivec flip = ivec_set((int32_t)0x80808080);
    if (width == CZ_WIDTH_8)
        return WIDE_BIAS ? ivec_load(codes + s * 64) ^ flip : ivec_load(codes + s * 64);
    if (width == CZ_WIDTH_2 || width == CZ_WIDTH_3) {
        ivec pair = field(ivec_load(codes + s / 4 * 64), 2, s % 4, 0);
        return width == CZ_WIDTH_2 ? pair : pair | field(ivec_load(codes + 128), 1, s, 2);
    }
    ivec nibble = field(ivec_load(codes + s / 2 * 64), 4, s % 2, 0);
    if (width == CZ_WIDTH_5)
        return nibble | field(ivec_load(codes + 256), 1, s, 4);
    if (width == CZ_WIDTH_6)
        return nibble | field(ivec_load(codes + 256 + s / 4 * 64), 2, s % 4, 4);
    if (width == CZ_WIDTH_4_TABLE)
        return WIDE_BIAS ? ivec_table(nibble) ^ flip : ivec_table(nibble);
    return nibble;
}

/* What the exact dot product with codes minus offset starts from, times the sum of the row's codes. */
INLINE int32_t start_factor(bool wide, uint32_t offset)
{
    return (wide ? WIDE_BIAS : 0) - (int32_t)offset;
}

/* ---- One activation row ---- */

/* Bytes of a block's scales alone, of a whole block and of a span's halves, as cz_packed_block_bytes
 * and cz_packed_span_bytes say, but constants. */
INLINE size_t scale_bytes_of(struct shape shape)
{
    if (shape.scales == CZ_SCALES_NIBBLES)
        return shape.groups * 16;
    return (shape.has_minimum ? 2 : 1) * shape.groups * (shape.scales == CZ_SCALES_HALF ? 32 : 16);
}

INLINE size_t span_bytes_of(struct shape shape)
{
    return shape.scales == CZ_SCALES_HALF ? 0 : shape.has_minimum ? 64 : 32;
}

INLINE size_t block_bytes_of(struct shape shape)
{
    static const size_t code_bytes[CZ_WIDTHS] = {
        [CZ_WIDTH_2] = 128, [CZ_WIDTH_3] = 192, [CZ_WIDTH_4] = 256,       [CZ_WIDTH_5] = 320,
        [CZ_WIDTH_6] = 384, [CZ_WIDTH_8] = 512, [CZ_WIDTH_4_TABLE] = 256,
    };
    return code_bytes[shape.width] + scale_bytes_of(shape);
}

/* Where one vector of rows of a block has its scales and codes, and the halves of its span. */
struct parts {
    const unsigned char *span, *scales, *codes;
};

INLINE struct parts parts_of(struct shape shape, const unsigned char *span,
                             const unsigned char *block, uint32_t vector)
{
    size_t row = (size_t)vector * VECTOR_ROWS;
    return (struct parts){span + row * 2, block + row * (shape.scales == CZ_SCALES_HALF ? 2 : 1),
                          block + scale_bytes_of(shape) + row * 4};
}

/* Scales and minima of a group, of one vector of rows. */
INLINE fvec scales_of(struct shape shape, struct parts parts, size_t group)
{
    if (shape.scales == CZ_SCALES_HALF)
        return fvec_halves(parts.scales + group * 32);
    ivec low = ivec_bytes(parts.scales + group * 16);
    if (shape.scales == CZ_SCALES_NIBBLES)
        low &= ivec_set(15);
    return fvec_halves(parts.span) * to_float(low);
}

INLINE fvec minima_of(struct shape shape, struct parts parts, size_t group)
{
    if (shape.scales == CZ_SCALES_HALF)
        return fvec_halves(parts.scales + (shape.groups + group) * 32);
    bool nibbles = shape.scales == CZ_SCALES_NIBBLES;
    ivec low = ivec_bytes(parts.scales + (nibbles ? group : shape.groups + group) * 16);
    if (nibbles)
        low = low >> 4 & ivec_set(15);
    return fvec_halves(parts.span + 32) * to_float(low);
}

/* Where block `b` begins a span: the span's halves are passed. */
INLINE void begin_span(struct shape shape, uint32_t panels, size_t b, const unsigned char **span,
                       const unsigned char **block)
{
    if (shape.scales == CZ_SCALES_HALF || b % CZ_SPAN_BLOCKS)
        return;
    UNROLL for (uint32_t p = 0; p < panels; p++)
    {
        span[p] = block[p];
        block[p] += span_bytes_of(shape);
    }
}

/* Some panels side by side, each a stream of memory, and the activation rows ("columns") of one or
 * two tiles; constants. */
struct extent {
    uint32_t panels, columns;
};

typedef fvec extent_vectors[MOST_COLUMNS][BESIDE]; /* of each column and panel */

/* Which tile column `c` is in, how many it has, and which of them c is. */
struct place_in_tile {
    uint32_t tile, rows, row;
};

INLINE struct place_in_tile place_of(struct extent extent, uint32_t c)
{
    if (c >= CZ_INT8_TILE)
        return (struct place_in_tile){1, extent.columns - CZ_INT8_TILE, c - CZ_INT8_TILE};
    return (struct place_in_tile){0, extent.columns < CZ_INT8_TILE ? extent.columns : CZ_INT8_TILE,
                                  c};
}

/* The exact dot products of half a block. */
INLINE void half_block(struct shape shape, struct extent extent, const struct parts *parts,
                       uint32_t offset, const struct cz_tile_block *x, uint32_t half,
                       extent_vectors products)
{
    bool wide = is_wide(shape.width);
    ivec dot[MOST_COLUMNS][BESIDE];
    UNROLL for (uint32_t c = 0; c < extent.columns; c++)
    {
        struct place_in_tile at = place_of(extent, c);
        ivec start = ivec_set(0);
        if (wide || !shape.has_minimum)
            start = ivec_set(start_factor(wide, offset) * x[at.tile].sums[half * at.rows + at.row]);
        UNROLL for (uint32_t p = 0; p < extent.panels; p++)
            dot[c][p] = start;
    }
    UNROLL for (uint32_t s = half * 4; s < half * 4 + 4; s++)
    {
        ivec codes[BESIDE];
        UNROLL for (uint32_t p = 0; p < extent.panels; p++)
            codes[p] = unpack(shape.width, parts[p].codes, (int)s);
        UNROLL for (uint32_t c = 0; c < extent.columns; c++)
        {
            struct place_in_tile at = place_of(extent, c);
            ivec four = broadcast4(x[at.tile].codes + (size_t)(s * at.rows + at.row) * 4);
            UNROLL for (uint32_t p = 0; p < extent.panels; p++)
                dot[c][p] = ivec_dot4(dot[c][p], codes[p], four, wide);
        }
    }
    UNROLL for (uint32_t c = 0; c < extent.columns; c++)
        UNROLL for (uint32_t p = 0; p < extent.panels; p++)
            products[c][p] = to_float(dot[c][p]);
}

/* sum + one block of one vector of rows and column `c`; the halves' dot products are `low`, `high`. */
INLINE fvec add_block(struct shape shape, struct extent extent, struct parts parts,
                      const struct cz_tile_block *tiles, uint32_t c, fvec low, fvec high, fvec sum)
{
    struct place_in_tile at = place_of(extent, c);
    const struct cz_tile_block *x = &tiles[at.tile];
    low = fvec_set(x->scales[at.row]) * low;
    if (shape.groups == 1) {
        fvec both = fvec_fma(fvec_set(x->scales[at.rows + at.row]), high, low);
        sum = fvec_fma(scales_of(shape, parts, 0), both, sum);
        if (shape.has_minimum)
            sum = fvec_fma(minima_of(shape, parts, 0), fvec_set(x->pairs[at.row]), sum);
        return sum;
    }
    high = fvec_set(x->scales[at.rows + at.row]) * high;
    UNROLL for (size_t half = 0; half < 2; half++)
    {
        sum = fvec_fma(scales_of(shape, parts, half), half ? high : low, sum);
        if (shape.has_minimum)
            sum = fvec_fma(minima_of(shape, parts, half),
                           fvec_set(x->totals[half * at.rows + at.row]), sum);
    }
    return sum;
}

typedef fvec panel_sums[PANEL_VECTORS];

/* Panels that are read side by side, each a stream of memory, and those that follow in each stream. */
struct streams {
    const unsigned char *panels[BESIDE];
    const unsigned char *next[BESIDE];
};

/* `count` panels side by side and one activation row. */
INLINE void panels_product(struct shape shape, int count, const struct cz_packed *weights,
                           const struct streams *streams, void *activations, panel_sums *sums)
{
    struct extent extent = {(uint32_t)count, 1};
    uint32_t blocks = cz_packed_blocks(weights);
    size_t block_bytes = block_bytes_of(shape), distance = PREFETCH_BYTES / block_bytes;
    const unsigned char *block[BESIDE], *span[BESIDE];
    ptrdiff_t ahead[BESIDE]; /* from a panel's block to the one that is prefetched beside it */
    fvec sum[BESIDE][PANEL_VECTORS];
    UNROLL for (int p = 0; p < count; p++)
    {
        block[p] = span[p] = streams->panels[p];
        ahead[p] = (ptrdiff_t)(distance * block_bytes);
        UNROLL for (uint32_t v = 0; v < PANEL_VECTORS; v++)
            sum[p][v] = fvec_set(0.0f);
    }
    for (size_t b = 0; b < blocks; b++) {
        struct cz_tile_block x = cz_tile_block(activations, 1, b);
        begin_span(shape, (uint32_t)count, b, span, block);
        if (b + distance == blocks)
            UNROLL for (int p = 0; p < count; p++)
                ahead[p] = streams->next[p] - block[p];
        UNROLL for (int p = 0; p < count; p++)
            UNROLL for (size_t line = 0; line < block_bytes + span_bytes_of(shape); line += 64)
                __builtin_prefetch(block[p] + ahead[p] + line);
        UNROLL for (uint32_t v = 0; v < PANEL_VECTORS; v++)
        {
            struct parts parts[BESIDE];
            extent_vectors low, high;
            UNROLL for (int p = 0; p < count; p++)
                parts[p] = parts_of(shape, span[p], block[p], v);
            half_block(shape, extent, parts, weights->offset, &x, 0, low);
            half_block(shape, extent, parts, weights->offset, &x, 1, high);
            UNROLL for (int p = 0; p < count; p++)
                sum[p][v] =
                    add_block(shape, extent, parts[p], &x, 0, low[0][p], high[0][p], sum[p][v]);
        }
        UNROLL for (int p = 0; p < count; p++)
            block[p] += block_bytes;
    }
    UNROLL for (int p = 0; p < count; p++)
        UNROLL for (uint32_t v = 0; v < PANEL_VECTORS; v++)
            sums[p][v] = sum[p][v];
}

#include "kernels/few.h"

/* ---- bf16, one activation row ---- */

#ifdef CZ_BFLOAT_PAIRS
typedef ivec bfloat_pairs;

INLINE bfloat_pairs bfloat_weights(const unsigned char *at)
{
    return ivec_load(at);
}

/* sum + weights * the pair `k` of column `c` of a tile of `columns` */
INLINE fvec bfloat_add(fvec sum, bfloat_pairs w, const unsigned char *x, uint32_t columns,
                       size_t k, uint32_t c)
{
    return bfloat_dot(sum, w, broadcast4((const int8_t *)x + (k * columns + c) * 4));
}
#else
typedef struct {
    fvec odd, even;
} bfloat_pairs;

INLINE bfloat_pairs bfloat_weights(const unsigned char *at)
{
    ivec pairs = ivec_load(at);
    return (bfloat_pairs){(fvec)(pairs & ivec_set((int32_t)0xffff0000)), (fvec)(pairs << 16)};
}

INLINE fvec bfloat_add(fvec sum, bfloat_pairs w, const unsigned char *x, uint32_t columns,
                       size_t k, uint32_t c)
{
    const float *at = (const float *)(const void *)x + 2 * k * columns + c;
    return fvec_fma(w.even, fvec_set(at[0]), fvec_fma(w.odd, fvec_set(at[columns]), sum));
}
#endif

INLINE void bfloat_beside(int count, const struct cz_packed *weights,
                          const struct streams *streams, void *activations, panel_sums *sums)
{
    enum { DISTANCE = PREFETCH_BYTES / 64 };
    size_t lines = (size_t)cz_packed_blocks(weights) * CZ_BLOCK_COLUMNS / 2;
    ptrdiff_t ahead[BESIDE];
    fvec sum[BESIDE][PANEL_VECTORS];
    UNROLL for (int p = 0; p < count; p++)
    {
        ahead[p] = PREFETCH_BYTES;
        UNROLL for (uint32_t v = 0; v < PANEL_VECTORS; v++)
            sum[p][v] = fvec_set(0.0f);
    }
    for (size_t k = 0; k < lines; k++) {
        if (k + DISTANCE == lines)
            UNROLL for (int p = 0; p < count; p++)
                ahead[p] = streams->next[p] - (streams->panels[p] + k * 64);
        UNROLL for (int p = 0; p < count; p++)
        {
            const unsigned char *line = streams->panels[p] + k * 64;
            __builtin_prefetch(line + ahead[p]);
            UNROLL for (uint32_t v = 0; v < PANEL_VECTORS; v++)
            {
                bfloat_pairs w = bfloat_weights(line + (size_t)v * VECTOR_ROWS * 4);
                sum[p][v] = bfloat_add(sum[p][v], w, activations, 1, k, 0);
            }
        }
    }
    UNROLL for (int p = 0; p < count; p++)
        UNROLL for (uint32_t v = 0; v < PANEL_VECTORS; v++)
            sums[p][v] = sum[p][v];
}

static void bfloat_panels(uint32_t count, const struct cz_packed *weights,
                          const struct streams *streams, void *activations, panel_sums *sums)
{
    if (count == BESIDE)
        bfloat_beside(BESIDE, weights, streams, activations, sums);
    else
        bfloat_beside(PANELS, weights, streams, activations, sums);
}

/* ---- Many activation rows ---- */

typedef float strip_sums[STRIP_ROWS]; /* of one activation row */

/* PANELS panels x some blocks of columns, unpacked. */
struct strip {
    const unsigned char *ahead[PANELS]; /* what to prefetch while this strip is multiplied */
    const unsigned char *ahead_end[PANELS];
    uint32_t ahead_lines; /* with every block */
    _Alignas(64) uint8_t codes[STRIP_BLOCKS][BLOCK_STEPS][STRIP_ROWS][4];
    _Alignas(64) float scales[STRIP_BLOCKS][2][STRIP_ROWS];
    _Alignas(64) float minima[STRIP_BLOCKS][2][STRIP_ROWS];
};

/* Blocks of one panel, from the beginning of a span on where there are spans, into place `p` of the
 * strip. */
INLINE void unpack_panel(struct shape shape, const unsigned char *block, uint32_t blocks,
                         uint32_t p, struct strip *strip)
{
    const unsigned char *span = block;
    for (uint32_t b = 0; b < blocks; b++, block += block_bytes_of(shape)) {
        if (shape.scales && b % CZ_SPAN_BLOCKS == 0) {
            span = block;
            block += span_bytes_of(shape);
        }
        UNROLL for (uint32_t v = 0; v < PANEL_VECTORS; v++)
        {
            uint32_t row = p * CZ_PANEL_ROWS + v * VECTOR_ROWS;
            struct parts parts = parts_of(shape, span, block, v);
            for (uint32_t g = 0; g < shape.groups; g++) {
                fvec_store(&strip->scales[b][g][row], scales_of(shape, parts, g));
                if (shape.has_minimum)
                    fvec_store(&strip->minima[b][g][row], minima_of(shape, parts, g));
            }
            UNROLL for (int s = 0; s < BLOCK_STEPS; s++)
            {
                ivec unpacked = unpack(shape.width, parts.codes, s);
                memcpy(strip->codes[b][s][row], &unpacked, sizeof unpacked);
            }
        }
    }
}

/* What the dot products of the rows and half blocks of a tile start from. */
typedef int32_t strip_starts[STRIP_BLOCKS][2 * CZ_INT8_TILE];

static void set_starts(const struct cz_tile *tile, int32_t factor, uint32_t block, uint32_t blocks,
                       strip_starts starts)
{
    typedef int32_t vector __attribute__((vector_size(2 * CZ_INT8_TILE * sizeof(int32_t))));
    for (uint32_t b = 0; b < blocks; b++) {
        const int32_t *sums = cz_tile_block(tile->memory, tile->rows, block + b).sums;
        if (tile->rows == CZ_INT8_TILE) { /* nearly all are: one multiplication */
            vector all;
            memcpy(&all, sums, sizeof all);
            all *= factor;
            memcpy(starts[b], &all, sizeof all);
        } else {
            for (uint32_t i = 0; i < 2 * tile->rows; i++)
                starts[b][i] = factor * sums[i];
        }
    }
}

/* Some lines of the next strip: while one is multiplied, the memory would have nothing to do. */
INLINE void prefetch_ahead(struct strip *strip)
{
    for (uint32_t p = 0; p < PANELS; p++)
        for (uint32_t i = 0; i < strip->ahead_lines && strip->ahead[p] < strip->ahead_end[p]; i++) {
            __builtin_prefetch(strip->ahead[p]);
            strip->ahead[p] += 64;
        }
}

/* How a strip is multiplied, known when the kernels are compiled. */
struct method {
    uint32_t groups;
    bool has_minimum;
    bool wide;
};

#ifdef TILE_MATRICES
/* Adds to `dot` what half a block of the strip's rows from `row` on gives with a whole tile. */
INLINE void tile_matrices(uint8_t (*codes)[STRIP_ROWS][4], uint32_t row, const int8_t *x,
                          ivec (*dot)[TILE_VECTORS])
{
    UNROLL for (uint32_t v = 0; v < TILE_VECTORS; v++)
        add_matrices(codes[0][row + v * VECTOR_ROWS], sizeof *codes, x,
                     (ivec *[]){&dot[0][v], &dot[1][v], &dot[2][v], &dot[3][v]});
}
#endif

/* A tile of `columns` activation rows, from the strip's first block on, against TILE_VECTORS vectors of
 * the strip's rows from `row` on; adds to sums[column][row]. */
INLINE void tile_product(struct method method, struct strip *strip, uint32_t row, uint32_t blocks,
                         uint32_t columns, void *activations, strip_starts starts,
                         strip_sums *sums)
{
    fvec sum[CZ_INT8_TILE][TILE_VECTORS];
    UNROLL for (uint32_t c = 0; c < columns; c++)
        UNROLL for (uint32_t v = 0; v < TILE_VECTORS; v++)
            sum[c][v] = fvec_load(sums[c] + row + v * VECTOR_ROWS);
    for (uint32_t b = 0; b < blocks; b++) {
        struct cz_tile_block x = cz_tile_block(activations, columns, b);
        fvec both[CZ_INT8_TILE][TILE_VECTORS];
        prefetch_ahead(strip);
        UNROLL for (uint32_t half = 0; half < 2; half++)
        {
            const float *scales = strip->scales[b][half] + row;
            const float *minima = strip->minima[b][half] + row;
            ivec dot[CZ_INT8_TILE][TILE_VECTORS];
            UNROLL for (uint32_t c = 0; c < columns; c++)
                UNROLL for (uint32_t v = 0; v < TILE_VECTORS; v++)
                    dot[c][v] = method.wide || !method.has_minimum
                                    ? ivec_set(starts[b][half * columns + c])
                                    : ivec_set(0);
            uint32_t steps = BLOCK_STEPS / 2;
#ifdef TILE_MATRICES
            if (columns == CZ_INT8_TILE) {
                tile_matrices(strip->codes[b] + half * 4, row, x.codes + half * 16 * columns, dot);
                steps = 0;
            }
#endif
            UNROLL for (uint32_t s = half * 4; s < half * 4 + steps; s++)
            {
                ivec w[TILE_VECTORS];
                UNROLL for (uint32_t v = 0; v < TILE_VECTORS; v++)
                    w[v] = ivec_load(strip->codes[b][s][row + v * VECTOR_ROWS]);
                UNROLL for (uint32_t c = 0; c < columns; c++)
                {
                    ivec codes = broadcast4(x.codes + (size_t)(s * columns + c) * 4);
                    UNROLL for (uint32_t v = 0; v < TILE_VECTORS; v++)
                        dot[c][v] = ivec_dot4(dot[c][v], w[v], codes, method.wide);
                }
            }
            UNROLL for (uint32_t c = 0; c < columns; c++)
            {
                fvec a = fvec_set(x.scales[half * columns + c]);
                fvec total = fvec_set(x.totals[half * columns + c]);
                UNROLL for (uint32_t v = 0; v < TILE_VECTORS; v++)
                {
                    fvec product = to_float(dot[c][v]);
                    if (method.groups == 1) {
                        both[c][v] = half ? fvec_fma(a, product, both[c][v]) : a * product;
                        continue;
                    }
                    sum[c][v] = fvec_fma(fvec_load(scales + v * VECTOR_ROWS), a * product,
                                         sum[c][v]);
                    if (method.has_minimum)
                        sum[c][v] = fvec_fma(fvec_load(minima + v * VECTOR_ROWS), total,
                                             sum[c][v]);
                }
            }
        }
        if (method.groups == 2)
            continue;
        UNROLL for (uint32_t c = 0; c < columns; c++)
        {
            fvec pair = fvec_set(x.pairs[c]);
            UNROLL for (uint32_t v = 0; v < TILE_VECTORS; v++)
            {
                uint32_t at = row + v * VECTOR_ROWS;
                sum[c][v] = fvec_fma(fvec_load(strip->scales[b][0] + at), both[c][v], sum[c][v]);
                if (method.has_minimum)
                    sum[c][v] = fvec_fma(fvec_load(strip->minima[b][0] + at), pair, sum[c][v]);
            }
        }
    }
    UNROLL for (uint32_t c = 0; c < columns; c++)
        UNROLL for (uint32_t v = 0; v < TILE_VECTORS; v++)
            fvec_store(sums[c] + row + v * VECTOR_ROWS, sum[c][v]);
}

INLINE void tile_rows(struct method method, struct strip *strip, uint32_t blocks,
                      uint32_t columns, void *activations, strip_starts starts, strip_sums *sums)
{
    for (uint32_t row = 0; row < STRIP_ROWS; row += TILE_VECTORS * VECTOR_ROWS)
        tile_product(method, strip, row, blocks, columns, activations, starts, sums);
}

INLINE void strip_rows(struct method method, const struct cz_matmul *m, uint32_t first,
                       uint32_t rows, uint32_t block, uint32_t blocks, struct strip *strip,
                       strip_sums *sums)
{
    size_t row_bytes = cz_activation_bytes(CZ_ACTIVATION_INT8, m->weights->columns);
    for (uint32_t i = 0; i < rows; i += CZ_INT8_TILE) {
        struct cz_tile tile =
            cz_tile_of(m->activations, m->rows, first + i, CZ_INT8_TILE, row_bytes);
        void *x = tile.memory + (size_t)block * 64 * tile.rows;
        strip_starts starts;
        if (method.wide || !method.has_minimum)
            set_starts(&tile, start_factor(method.wide, m->weights->offset), block, blocks, starts);
        switch (tile.rows) {
        case 1:
            tile_rows(method, strip, blocks, 1, x, starts, sums + i);
            break;
        case 2:
            tile_rows(method, strip, blocks, 2, x, starts, sums + i);
            break;
        case 3:
            tile_rows(method, strip, blocks, 3, x, starts, sums + i);
            break;
        default:
            tile_rows(method, strip, blocks, 4, x, starts, sums + i);
            break;
        }
    }
}

/* Kept out of line: one copy per method, not one per width. */
static __attribute__((noinline)) void
multiply_strip(const struct cz_matmul *m, uint32_t first, uint32_t rows, uint32_t block,
               uint32_t blocks, struct strip *strip, strip_sums *sums)
{
    uint32_t groups = CZ_BLOCK_COLUMNS / m->weights->group;
    bool minimum = m->weights->has_minimum, wide = is_wide(m->weights->width);
#define CASE(g, has_minimum, is_wide_)                                                             \
    if (groups == (g) && minimum == (has_minimum) && wide == (is_wide_))                           \
        strip_rows((struct method){g, has_minimum, is_wide_}, m, first, rows, block, blocks,       \
                   strip, sums);
    CASE(1, false, false)
    CASE(1, true, false)
    CASE(2, false, false)
    CASE(2, true, false)
#if WIDE_BIAS
    CASE(1, false, true)
    CASE(1, true, true)
    CASE(2, false, true)
    CASE(2, true, true)
#endif
#undef CASE
}

/* Blocks of each strip: as few strips as possible, of equal size (but for the last). */
static inline uint32_t strip_blocks(uint32_t blocks, uint32_t most)
{
    uint32_t strips = (blocks + most - 1) / most;
    return (blocks + strips - 1) / strips;
}

/* Entry `p` of the pair that begins at `entry`; a missing second one repeats the first, and its
 * results are not stored. */
static inline uint32_t second_entry(struct cz_range range, uint32_t entry, uint32_t p)
{
    return entry + p < range.end ? entry + p : entry;
}

/* A pair of panels and the blocks of a strip. */
struct place {
    uint32_t entry, block, blocks;
};

static inline struct place next_place(const struct cz_matmul *m, struct place at)
{
    uint32_t all = cz_packed_blocks(m->weights), each = strip_blocks(all, STRIP_BLOCKS);
    if (m->weights->scales)
        each = strip_blocks(all / CZ_SPAN_BLOCKS, STRIP_BLOCKS / CZ_SPAN_BLOCKS) * CZ_SPAN_BLOCKS;
    at.block += at.blocks;
    if (at.block >= all)
        at = (struct place){at.entry + PANELS, 0, 0};
    at.blocks = all - at.block < each ? all - at.block : each;
    return at;
}

static inline const unsigned char *block_at(const struct cz_matmul *m, struct cz_range range,
                                            struct place at, uint32_t p)
{
    return cz_packed_panel(m->weights, entry_panel(m, second_entry(range, at.entry, p))) +
           cz_packed_block_position(m->weights, at.block);
}

/* The strip that follows is spread over the tiles and blocks of this one. */
static void plan_ahead(const struct cz_matmul *m, struct cz_range range, struct place at,
                       uint32_t rows, struct strip *strip)
{
    struct place next = next_place(m, at);
    size_t bytes = cz_packed_block_position(m->weights, next.blocks);
    uint32_t turns = (rows + CZ_INT8_TILE - 1) / CZ_INT8_TILE * at.blocks;
    strip->ahead_lines = next.entry < range.end ? (uint32_t)(bytes / 64 / turns) + 1 : 0;
    for (uint32_t p = 0; p < PANELS && strip->ahead_lines; p++) {
        strip->ahead[p] = block_at(m, range, next, p);
        strip->ahead_end[p] = strip->ahead[p] + bytes;
    }
}

/* ---- bf16 ---- */

/* TILE_VECTORS vectors of rows times a tile of `columns` activation rows, pairs first..end-1. The
 * vectors lie at `weights` (pair 0). */
INLINE void bfloat_tile(const unsigned char *const *weights, uint32_t first, uint32_t end,
                        uint32_t columns, const unsigned char *x, float *const *sums)
{
    fvec sum[CZ_BF16_TILE][TILE_VECTORS];
    UNROLL for (uint32_t c = 0; c < columns; c++)
        UNROLL for (uint32_t v = 0; v < TILE_VECTORS; v++)
            sum[c][v] = fvec_load(sums[v] + (size_t)c * STRIP_ROWS);
    for (size_t k = first; k < end; k++) {
        bfloat_pairs w[TILE_VECTORS];
        UNROLL for (uint32_t v = 0; v < TILE_VECTORS; v++)
            w[v] = bfloat_weights(weights[v] + k * 64);
        UNROLL for (uint32_t c = 0; c < columns; c++)
            UNROLL for (uint32_t v = 0; v < TILE_VECTORS; v++)
                sum[c][v] = bfloat_add(sum[c][v], w[v], x, columns, k, c);
    }
    UNROLL for (uint32_t c = 0; c < columns; c++)
        UNROLL for (uint32_t v = 0; v < TILE_VECTORS; v++)
            fvec_store(sums[v] + (size_t)c * STRIP_ROWS, sum[c][v]);
}

INLINE void bfloat_rows(const unsigned char *const *panel, uint32_t first, uint32_t end,
                        uint32_t columns, const unsigned char *x, strip_sums *sums)
{
    for (uint32_t row = 0; row < STRIP_ROWS; row += TILE_VECTORS * VECTOR_ROWS) {
        const unsigned char *weights[TILE_VECTORS];
        float *vector_sums[TILE_VECTORS];
        UNROLL for (uint32_t v = 0; v < TILE_VECTORS; v++)
        {
            uint32_t at = row + v * VECTOR_ROWS;
            weights[v] = panel[at / CZ_PANEL_ROWS] + (size_t)(at % CZ_PANEL_ROWS) * 4;
            vector_sums[v] = sums[0] + at;
        }
        bfloat_tile(weights, first, end, columns, x, vector_sums);
    }
}

static void bfloat_strip(const struct cz_matmul *m, const unsigned char *const *panel,
                         uint32_t first, uint32_t rows, uint32_t pair, uint32_t end,
                         strip_sums *sums)
{
    size_t row_bytes = cz_activation_bytes(CZ_ACTIVATION_BF16, m->weights->columns);
    for (uint32_t i = 0; i < rows; i += CZ_BF16_TILE) {
        struct cz_tile tile =
            cz_tile_of(m->activations, m->rows, first + i, CZ_BF16_TILE, row_bytes);
        switch (tile.rows) {
        case 1:
            bfloat_rows(panel, pair, end, 1, tile.memory, sums + i);
            break;
        case 2:
            bfloat_rows(panel, pair, end, 2, tile.memory, sums + i);
            break;
        case 3:
            bfloat_rows(panel, pair, end, 3, tile.memory, sums + i);
            break;
        case 4:
            bfloat_rows(panel, pair, end, 4, tile.memory, sums + i);
            break;
        case 5:
            bfloat_rows(panel, pair, end, 5, tile.memory, sums + i);
            break;
        default:
            bfloat_rows(panel, pair, end, 6, tile.memory, sums + i);
            break;
        }
    }
}

static void bfloat_product(const struct cz_matmul *m, struct cz_range range)
{
    const struct cz_packed *weights = m->weights;
    uint32_t blocks = cz_packed_blocks(weights), pairs = blocks * CZ_BLOCK_COLUMNS / 2;
    uint32_t each = strip_blocks(blocks, BFLOAT_BLOCKS) * CZ_BLOCK_COLUMNS / 2;
    _Alignas(64) strip_sums sums[ROWS];
    for (uint32_t first = 0; first < m->rows; first += ROWS) {
        uint32_t rows = m->rows - first < ROWS ? m->rows - first : ROWS;
        for (uint32_t entry = range.first; entry < range.end; entry += PANELS) {
            const unsigned char *panel[PANELS];
            for (uint32_t p = 0; p < PANELS; p++)
                panel[p] =
                    cz_packed_panel(weights, entry_panel(m, second_entry(range, entry, p)));
            memset(sums, 0, rows * sizeof *sums);
            for (uint32_t pair = 0; pair < pairs; pair += each) {
                uint32_t left = pairs - pair;
                bfloat_strip(m, panel, first, rows, pair, pair + (left < each ? left : each),
                             sums);
            }
            for (uint32_t p = 0; p < PANELS && entry + p < range.end; p++)
                store_sums(m, first, rows, entry + p, sums[0] + p * CZ_PANEL_ROWS, STRIP_ROWS);
        }
    }
}

/* ---- Which of them ---- */

/* The products of `count` panels, BESIDE or PANELS, and one activation row. */
typedef void panels_function(uint32_t count, const struct cz_packed *weights,
                             const struct streams *streams, void *activations, panel_sums *sums);

/* What depends on width, groups and minima. */
struct shape_functions {
    panels_function *panels;
    few_function *few;
    void (*unpack)(const unsigned char *block, uint32_t blocks, uint32_t p, struct strip *strip);
};

#define SHAPE(name, width, group, has_minimum, scales)                                            \
    static void panels_##name(uint32_t count, const struct cz_packed *weights,                     \
                              const struct streams *streams, void *activations,                    \
                              panel_sums *sums)                                                    \
    {                                                                                              \
        struct shape shape = {width, CZ_BLOCK_COLUMNS / (group), has_minimum, scales};             \
        if (count == BESIDE)                                                                       \
            panels_product(shape, BESIDE, weights, streams, activations, sums);                    \
        else                                                                                       \
            panels_product(shape, PANELS, weights, streams, activations, sums);                    \
    }                                                                                              \
    static void few_##name(uint32_t columns, const struct cz_packed *weights,                      \
                           const unsigned char *const *panels, unsigned char *activations,         \
                           few_sums out)                                                           \
    {                                                                                              \
        struct shape shape = {width, CZ_BLOCK_COLUMNS / (group), has_minimum, scales};             \
        FEW_CASE(1)                                                                                \
        FEW_CASE(2)                                                                                \
        FEW_CASE(3)                                                                                \
        FEW_CASE(4)                                                                                \
        FEW_CASE(5)                                                                                \
        FEW_CASE(6)                                                                                \
        FEW_CASE(7)                                                                                \
        FEW_CASE(8)                                                                                \
    }                                                                                              \
    static void unpack_##name(const unsigned char *block, uint32_t blocks, uint32_t p,             \
                              struct strip *strip)                                                 \
    {                                                                                              \
        unpack_panel((struct shape){width, CZ_BLOCK_COLUMNS / (group), has_minimum, scales},       \
                     block, blocks, p, strip);                                                     \
    }

CZ_PACKED_SHAPES(SHAPE)

#define ENTRY(name, width, group, has_minimum, scales)                                            \
    [width][CZ_BLOCK_COLUMNS / (group) - 1][has_minimum][(scales) != CZ_SCALES_HALF] = {           \
        panels_##name, few_##name, unpack_##name},

/* [width][groups - 1][has_minimum][two levels of scales] */
static const struct shape_functions SHAPES[CZ_WIDTHS][2][2][2] = {CZ_PACKED_SHAPES(ENTRY)};

static const unsigned char *entry_data(const struct cz_matmul *m, uint32_t entry)
{
    return cz_packed_panel(m->weights, entry_panel(m, entry));
}

static void row_product(panels_function *product, const struct cz_matmul *m, struct cz_range range)
{
    void *activations = activation_tile(m, 0).memory;
    uint32_t last = cz_matmul_entries(m) - 1;
    for (uint32_t entry = range.first, count; entry < range.end; entry += count) {
        struct streams streams;
        panel_sums sums[BESIDE];
        count = range.end - entry >= BESIDE ? BESIDE : PANELS;
        for (uint32_t p = 0; p < count; p++) {
            uint32_t next = entry + count + p; /* beyond the range too: most often this worker's */
            streams.panels[p] = entry_data(m, second_entry(range, entry, p));
            streams.next[p] = entry_data(m, next < last ? next : last);
        }
        product(count, m->weights, &streams, activations, sums);
        for (uint32_t p = 0; p < count && entry + p < range.end; p++) {
            float stored[CZ_PANEL_ROWS];
            memcpy(stored, sums[p], sizeof stored);
            store_sums(m, 0, 1, entry + p, stored, 0);
        }
    }
}

static void rows_product(const struct shape_functions *shape, const struct cz_matmul *m,
                         struct cz_range range)
{
    struct strip strip;
    _Alignas(64) strip_sums sums[ROWS];
    for (uint32_t first = 0; first < m->rows; first += ROWS) {
        uint32_t rows = m->rows - first < ROWS ? m->rows - first : ROWS;
        struct place at = next_place(m, (struct place){range.first, 0, 0}), next;
        for (; at.entry < range.end; at = next) {
            next = next_place(m, at);
            if (at.block == 0)
                memset(sums, 0, rows * sizeof *sums);
            for (uint32_t p = 0; p < PANELS; p++)
                shape->unpack(block_at(m, range, at, p), at.blocks, p, &strip);
            plan_ahead(m, range, at, rows, &strip);
            multiply_strip(m, first, rows, at.block, at.blocks, &strip, sums);
            for (uint32_t p = 0; p < PANELS && next.block == 0 && at.entry + p < range.end; p++)
                store_sums(m, first, rows, at.entry + p, sums[0] + p * CZ_PANEL_ROWS, STRIP_ROWS);
        }
    }
}

static void matmul(const struct cz_matmul *m, struct cz_range range)
{
    bool one = m->rows == 1;
    if (m->weights->width == CZ_WIDTH_BF16) {
        if (one)
            row_product(bfloat_panels, m, range);
        else
            bfloat_product(m, range);
        return;
    }
    const struct shape_functions *shape =
        &SHAPES[m->weights->width][CZ_BLOCK_COLUMNS / m->weights->group - 1]
               [m->weights->has_minimum][m->weights->scales != CZ_SCALES_HALF];
    if (one)
        row_product(shape->panels, m, range);
    else if (m->rows <= FEW_ROWS)
        few_rows(shape->few, m, range);
    else
        rows_product(shape, m, range);
}

#endif
