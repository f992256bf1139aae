/*
 * avx512.h - matrix products with 512-bit VNNI.
 *
 * Included by avx512_vnni.c and avx512_bf16.c, which define how pairs of bf16 are multiplied.
 *
 * One activation row (decoding): each panel is streamed once, codes are unpacked in registers. More
 * rows: a strip of PANELS panels and some blocks of columns is unpacked to bytes and floats in L1 and
 * multiplied with all activation rows, COLUMNS of them at a time; what the earlier strips of the
 * same panels gave waits in `sums`. For every row both paths do the specified operations in the
 * specified order.
 */
#ifndef CZ_KERNELS_AVX512_H
#define CZ_KERNELS_AVX512_H

#include "kernels/lanes_avx512.h"

#include "kernels/tables.h"
#include "kernels/elementwise.h"
#include "kernels/epilogue.h"
#include "kernels/attention.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    PANELS = 2,
    ROWS = 120,          /* activation rows that share an unpacked strip: whole tiles of both kinds */
    STRIP_BLOCKS = 18,   /* of a strip at most */
    BFLOAT_BLOCKS = 9,
    BLOCK_STEPS = 8,
    PREFETCH_BYTES = 2048,
};

/* What is known about a matrix when the kernels are compiled. */
struct shape {
    enum cz_width width;
    uint32_t groups; /* in a block: 1 or 2 */
    bool has_minimum;
};

INLINE __m512i load64(const unsigned char *at)
{
    return _mm512_loadu_si512(at);
}

/* A word in which field s (of `bits` bits) of each byte moves to bit position `to`. */
INLINE __m512i field(__m512i word, int bits, int s, int to)
{
    typedef uint32_t words __attribute__((vector_size(64)));
    int right = bits * s - to;
    words moved = right > 0 ? (words)word >> right : (words)word << -right;
    return _mm512_and_si512((__m512i)moved, _mm512_set1_epi8((char)(((1 << bits) - 1) << to)));
}

/* Step s (0..7) of a block's codes: 16 rows x 4 columns as unsigned bytes. */
INLINE __m512i unpack(enum cz_width width, const unsigned char *codes, int s)
{
    if (width == CZ_WIDTH_8)
        return load64(codes + s * 64);
    if (width == CZ_WIDTH_2 || width == CZ_WIDTH_3) {
        __m512i pair = field(load64(codes + s / 4 * 64), 2, s % 4, 0);
        if (width == CZ_WIDTH_2)
            return pair;
        return _mm512_or_si512(pair, field(load64(codes + 128), 1, s, 2));
    }
    __m512i nibble = field(load64(codes + s / 2 * 64), 4, s % 2, 0);
    if (width == CZ_WIDTH_5)
        return _mm512_or_si512(nibble, field(load64(codes + 256), 1, s, 4));
    if (width == CZ_WIDTH_6)
        return _mm512_or_si512(nibble, field(load64(codes + 256 + s / 4 * 64), 2, s % 4, 4));
    if (width == CZ_WIDTH_4_TABLE) {
        __m128i table = _mm_loadu_si128((const __m128i *)CZ_PACKED_TABLE);
        return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), nibble);
    }
    return nibble;
}

INLINE __m512 load_halves(const unsigned char *at)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)at));
}

INLINE __m512i broadcast4(const int8_t *at)
{
    int32_t word;
    memcpy(&word, at, sizeof word);
    return _mm512_set1_epi32(word);
}

/* ---- One activation row ---- */

/* One block of one panel; returns the new sums. */
INLINE __m512 block_product(struct shape shape, const unsigned char *block, uint32_t offset,
                            void *activations, size_t b, __m512 sums)
{
    struct cz_tile_block x = cz_tile_block(activations, 1, b);
    const unsigned char *minima = block + shape.groups * 32;
    const unsigned char *codes = minima + (shape.has_minimum ? shape.groups * 32 : 0);
    __m512 product[2];
    UNROLL for (int half = 0; half < 2; half++)
    {
        __m512i dot = shape.has_minimum ? _mm512_setzero_si512()
                                        : _mm512_set1_epi32(-(int32_t)offset * x.sums[half]);
        UNROLL for (int s = half * 4; s < half * 4 + 4; s++)
            dot = _mm512_dpbusd_epi32(dot, unpack(shape.width, codes, s),
                                      broadcast4(x.codes + (size_t)s * 4));
        product[half] = _mm512_cvtepi32_ps(dot);
    }
    product[0] = _mm512_mul_ps(_mm512_set1_ps(x.scales[0]), product[0]);
    if (shape.groups == 1) {
        __m512 both = _mm512_fmadd_ps(_mm512_set1_ps(x.scales[1]), product[1], product[0]);
        sums = _mm512_fmadd_ps(load_halves(block), both, sums);
        if (shape.has_minimum)
            sums = _mm512_fmadd_ps(load_halves(minima), _mm512_set1_ps(x.pairs[0]), sums);
        return sums;
    }
    product[1] = _mm512_mul_ps(_mm512_set1_ps(x.scales[1]), product[1]);
    UNROLL for (size_t half = 0; half < 2; half++)
    {
        sums = _mm512_fmadd_ps(load_halves(block + half * 32), product[half], sums);
        if (shape.has_minimum)
            sums = _mm512_fmadd_ps(load_halves(minima + half * 32),
                                   _mm512_set1_ps(x.totals[half]), sums);
    }
    return sums;
}

INLINE void row_product(struct shape shape, const struct cz_matmul *m, struct cz_range range)
{
    const struct cz_packed *weights = m->weights;
    uint32_t blocks = cz_packed_blocks(weights);
    size_t block_bytes = cz_packed_block_bytes(weights);
    void *x = activation_tile(m, 0).memory;
    for (uint32_t entry = range.first; entry < range.end; entry++) {
        const unsigned char *block = cz_packed_panel(weights, entry_panel(m, entry));
        __m512 sums = _mm512_setzero_ps();
        for (size_t b = 0; b < blocks; b++, block += block_bytes) {
            for (size_t line = 0; line < block_bytes; line += 64)
                _mm_prefetch((const char *)block + PREFETCH_BYTES + line, _MM_HINT_T0);
            sums = block_product(shape, block, weights->offset, x, b, sums);
        }
        float stored[CZ_PANEL_ROWS];
        _mm512_storeu_ps(stored, sums);
        store_sums(m, 0, 1, entry, stored, 0);
    }
}

/* ---- Many activation rows ---- */

typedef float strip_sums[PANELS][CZ_PANEL_ROWS]; /* of one activation row */

/* PANELS panels x some blocks of columns, unpacked. */
struct strip {
    const unsigned char *ahead[PANELS]; /* what to prefetch while this strip is multiplied */
    const unsigned char *ahead_end[PANELS];
    uint32_t ahead_lines; /* with every block */
    _Alignas(64) uint8_t codes[STRIP_BLOCKS][BLOCK_STEPS][PANELS][64];
    _Alignas(64) float scales[STRIP_BLOCKS][2][PANELS][CZ_PANEL_ROWS];
    _Alignas(64) float minima[STRIP_BLOCKS][2][PANELS][CZ_PANEL_ROWS];
};

/* Blocks of one panel into place `p` of the strip. */
INLINE void unpack_panel(struct shape shape, const unsigned char *block, size_t block_bytes,
                         uint32_t blocks, uint32_t p, struct strip *strip)
{
    for (uint32_t b = 0; b < blocks; b++, block += block_bytes) {
        const unsigned char *minima = block + shape.groups * 32;
        const unsigned char *codes = minima + (shape.has_minimum ? shape.groups * 32 : 0);
        for (uint32_t g = 0; g < shape.groups; g++) {
            _mm512_store_ps(strip->scales[b][g][p], load_halves(block + g * 32));
            if (shape.has_minimum)
                _mm512_store_ps(strip->minima[b][g][p], load_halves(minima + g * 32));
        }
        for (int s = 0; s < BLOCK_STEPS; s++)
            _mm512_store_si512(strip->codes[b][s][p], unpack(shape.width, codes, s));
    }
}

/* What the dot products of some rows and half blocks start from: -offset * sum of the codes. */
typedef int32_t strip_starts[STRIP_BLOCKS][2 * CZ_INT8_TILE];

/* Some lines of the next strip: while one is multiplied, the memory would have nothing to do. */
INLINE void prefetch_ahead(struct strip *strip)
{
    for (uint32_t p = 0; p < PANELS; p++)
        for (uint32_t i = 0; i < strip->ahead_lines && strip->ahead[p] < strip->ahead_end[p]; i++) {
            _mm_prefetch((const char *)strip->ahead[p], _MM_HINT_T0);
            strip->ahead[p] += 64;
        }
}

/* A tile of `columns` activation rows, from the strip's first block on, against the strip; adds to
 * sums[column][panel]. */
INLINE void tile_product(uint32_t groups, bool has_minimum, struct strip *strip,
                         uint32_t blocks, uint32_t columns, void *activations,
                         strip_starts starts, strip_sums *sums)
{
    __m512 sum[CZ_INT8_TILE][PANELS];
    UNROLL for (uint32_t c = 0; c < columns; c++)
        UNROLL for (uint32_t p = 0; p < PANELS; p++)
            sum[c][p] = _mm512_load_ps(sums[c][p]);
    for (uint32_t b = 0; b < blocks; b++) {
        struct cz_tile_block x = cz_tile_block(activations, columns, b);
        prefetch_ahead(strip);
        __m512 both[CZ_INT8_TILE][PANELS];
        UNROLL for (uint32_t half = 0; half < 2; half++)
        {
            __m512i dot[CZ_INT8_TILE][PANELS];
            UNROLL for (uint32_t c = 0; c < columns; c++)
                UNROLL for (uint32_t p = 0; p < PANELS; p++)
                    dot[c][p] = has_minimum ? _mm512_setzero_si512()
                                            : _mm512_set1_epi32(starts[b][half * columns + c]);
            UNROLL for (uint32_t s = half * 4; s < half * 4 + 4; s++)
            {
                __m512i w[PANELS];
                UNROLL for (uint32_t p = 0; p < PANELS; p++)
                    w[p] = _mm512_load_si512(strip->codes[b][s][p]);
                UNROLL for (uint32_t c = 0; c < columns; c++)
                {
                    __m512i codes = broadcast4(x.codes + (size_t)(s * columns + c) * 4);
                    UNROLL for (uint32_t p = 0; p < PANELS; p++)
                        dot[c][p] = _mm512_dpbusd_epi32(dot[c][p], w[p], codes);
                }
            }
            UNROLL for (uint32_t c = 0; c < columns; c++)
            {
                __m512 a = _mm512_set1_ps(x.scales[half * columns + c]);
                UNROLL for (uint32_t p = 0; p < PANELS; p++)
                {
                    __m512 product = _mm512_cvtepi32_ps(dot[c][p]);
                    if (groups == 1) {
                        both[c][p] = half ? _mm512_fmadd_ps(a, product, both[c][p])
                                          : _mm512_mul_ps(a, product);
                        continue;
                    }
                    sum[c][p] = _mm512_fmadd_ps(_mm512_load_ps(strip->scales[b][half][p]),
                                                _mm512_mul_ps(a, product), sum[c][p]);
                    if (has_minimum)
                        sum[c][p] =
                            _mm512_fmadd_ps(_mm512_load_ps(strip->minima[b][half][p]),
                                            _mm512_set1_ps(x.totals[half * columns + c]),
                                            sum[c][p]);
                }
            }
        }
        UNROLL for (uint32_t c = 0; c < columns && groups == 1; c++)
            UNROLL for (uint32_t p = 0; p < PANELS; p++)
            {
                sum[c][p] = _mm512_fmadd_ps(_mm512_load_ps(strip->scales[b][0][p]), both[c][p],
                                            sum[c][p]);
                if (has_minimum)
                    sum[c][p] = _mm512_fmadd_ps(_mm512_load_ps(strip->minima[b][0][p]),
                                                _mm512_set1_ps(x.pairs[c]), sum[c][p]);
            }
    }
    UNROLL for (uint32_t c = 0; c < columns; c++)
        UNROLL for (uint32_t p = 0; p < PANELS; p++)
            _mm512_store_ps(sums[c][p], sum[c][p]);
}

/* Where a tile's part of a strip begins: blocks are 64 bytes a row. */
static inline unsigned char *tile_strip(const struct cz_tile *tile, uint32_t block)
{
    return tile->memory + (size_t)block * 64 * tile->rows;
}

static void set_starts(const struct cz_matmul *m, const struct cz_tile *tile, uint32_t block,
                       uint32_t blocks, strip_starts starts)
{
    int32_t offset = (int32_t)m->weights->offset;
    for (uint32_t b = 0; b < blocks; b++) {
        const int32_t *sums = cz_tile_block(tile->memory, tile->rows, block + b).sums;
        for (uint32_t i = 0; i < 2 * tile->rows; i++)
            starts[b][i] = -offset * sums[i];
    }
}

INLINE void strip_rows(uint32_t groups, bool has_minimum, const struct cz_matmul *m,
                       uint32_t first, uint32_t rows, uint32_t block, uint32_t blocks,
                       struct strip *strip, strip_sums *sums)
{
    size_t row_bytes = cz_activation_bytes(CZ_ACTIVATION_INT8, m->weights->columns);
    for (uint32_t i = 0; i < rows; i += CZ_INT8_TILE) {
        struct cz_tile tile =
            cz_tile_of(m->activations, m->rows, first + i, CZ_INT8_TILE, row_bytes);
        void *x = tile_strip(&tile, block);
        strip_starts starts;
        if (!has_minimum)
            set_starts(m, &tile, block, blocks, starts);
        switch (tile.rows) {
        case 1:
            tile_product(groups, has_minimum, strip, blocks, 1, x, starts, sums + i);
            break;
        case 2:
            tile_product(groups, has_minimum, strip, blocks, 2, x, starts, sums + i);
            break;
        case 3:
            tile_product(groups, has_minimum, strip, blocks, 3, x, starts, sums + i);
            break;
        default:
            tile_product(groups, has_minimum, strip, blocks, 4, x, starts, sums + i);
            break;
        }
    }
}

/* Kept out of line: one copy per kind of scales, not one per width. */
static __attribute__((noinline)) void
multiply_strip(const struct cz_matmul *m, uint32_t first, uint32_t rows, uint32_t block,
               uint32_t blocks, struct strip *strip, strip_sums *sums)
{
    if (m->weights->group == 32 && m->weights->has_minimum)
        strip_rows(1, true, m, first, rows, block, blocks, strip, sums);
    else if (m->weights->group == 32)
        strip_rows(1, false, m, first, rows, block, blocks, strip, sums);
    else if (m->weights->has_minimum)
        strip_rows(2, true, m, first, rows, block, blocks, strip, sums);
    else
        strip_rows(2, false, m, first, rows, block, blocks, strip, sums);
}

/* Blocks of each strip: as few strips as possible, of equal size (but for the last). */
static inline uint32_t strip_blocks(uint32_t blocks, uint32_t most)
{
    uint32_t strips = (blocks + most - 1) / most;
    return (blocks + strips - 1) / strips;
}

/* Entry `p` of the pair that begins at `entry`; a missing second one repeats the first, and its
 * results are not stored. */
INLINE uint32_t second_entry(struct cz_range range, uint32_t entry, uint32_t p)
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
           at.block * cz_packed_block_bytes(m->weights);
}

/* The strip that follows is spread over the tiles and blocks of this one. */
static void plan_ahead(const struct cz_matmul *m, struct cz_range range, struct place at,
                       uint32_t rows, struct strip *strip)
{
    struct place next = next_place(m, at);
    size_t bytes = next.blocks * cz_packed_block_bytes(m->weights);
    uint32_t turns = (rows + CZ_INT8_TILE - 1) / CZ_INT8_TILE * at.blocks;
    strip->ahead_lines = next.entry < range.end ? (uint32_t)(bytes / 64 / turns) + 1 : 0;
    for (uint32_t p = 0; p < PANELS && strip->ahead_lines; p++) {
        strip->ahead[p] = block_at(m, range, next, p);
        strip->ahead_end[p] = strip->ahead[p] + bytes;
    }
}

INLINE void rows_product(struct shape shape, const struct cz_matmul *m, struct cz_range range)
{
    size_t block_bytes = cz_packed_block_bytes(m->weights);
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
                unpack_panel(shape, block_at(m, range, at, p), block_bytes, at.blocks, p, &strip);
            plan_ahead(m, range, at, rows, &strip);
            multiply_strip(m, first, rows, at.block, at.blocks, &strip, sums);
            for (uint32_t p = 0; p < PANELS && next.block == 0 && at.entry + p < range.end; p++)
                store_sums(m, first, rows, at.entry + p, sums[0][p], PANELS * CZ_PANEL_ROWS);
        }
    }
}

/* ---- bf16 ---- */

/* PANELS panels times a tile of `columns` activation rows, pairs of columns first..end-1. */
INLINE void bfloat_tile(const unsigned char *const *panel, uint32_t first, uint32_t end,
                        uint32_t columns, const unsigned char *x, strip_sums *sums)
{
    __m512 sum[CZ_BF16_TILE][PANELS];
    UNROLL for (uint32_t c = 0; c < columns; c++)
        UNROLL for (uint32_t p = 0; p < PANELS; p++)
            sum[c][p] = _mm512_load_ps(sums[c][p]);
    for (size_t k = first; k < end; k++) {
        bfloat_pairs w[PANELS];
        UNROLL for (uint32_t p = 0; p < PANELS; p++)
            w[p] = bfloat_weights(load64(panel[p] + k * 64));
        UNROLL for (uint32_t c = 0; c < columns; c++)
            UNROLL for (uint32_t p = 0; p < PANELS; p++)
                sum[c][p] = bfloat_add(sum[c][p], w[p], x, columns, k, c);
    }
    UNROLL for (uint32_t c = 0; c < columns; c++)
        UNROLL for (uint32_t p = 0; p < PANELS; p++)
            _mm512_store_ps(sums[c][p], sum[c][p]);
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
            bfloat_tile(panel, pair, end, 1, tile.memory, sums + i);
            break;
        case 2:
            bfloat_tile(panel, pair, end, 2, tile.memory, sums + i);
            break;
        case 3:
            bfloat_tile(panel, pair, end, 3, tile.memory, sums + i);
            break;
        case 4:
            bfloat_tile(panel, pair, end, 4, tile.memory, sums + i);
            break;
        case 5:
            bfloat_tile(panel, pair, end, 5, tile.memory, sums + i);
            break;
        default:
            bfloat_tile(panel, pair, end, 6, tile.memory, sums + i);
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
                store_sums(m, first, rows, entry + p, sums[0][p], PANELS * CZ_PANEL_ROWS);
        }
    }
}

/* ---- Which of them ---- */

INLINE void product(struct shape shape, const struct cz_matmul *m, struct cz_range range)
{
    if (m->rows == 1)
        row_product(shape, m, range);
    else
        rows_product(shape, m, range);
}

INLINE void width_product(enum cz_width width, const struct cz_matmul *m, struct cz_range range)
{
    if (m->weights->group == 32 && m->weights->has_minimum)
        product((struct shape){width, 1, true}, m, range);
    else if (m->weights->group == 32)
        product((struct shape){width, 1, false}, m, range);
    else if (m->weights->has_minimum)
        product((struct shape){width, 2, true}, m, range);
    else
        product((struct shape){width, 2, false}, m, range);
}

static void matmul(const struct cz_matmul *m, struct cz_range range)
{
    switch (m->weights->width) {
    case CZ_WIDTH_BF16:
        bfloat_product(m, range);
        break;
    case CZ_WIDTH_2:
        width_product(CZ_WIDTH_2, m, range);
        break;
    case CZ_WIDTH_3:
        width_product(CZ_WIDTH_3, m, range);
        break;
    case CZ_WIDTH_4:
        width_product(CZ_WIDTH_4, m, range);
        break;
    case CZ_WIDTH_5:
        width_product(CZ_WIDTH_5, m, range);
        break;
    case CZ_WIDTH_6:
        width_product(CZ_WIDTH_6, m, range);
        break;
    case CZ_WIDTH_8:
        width_product(CZ_WIDTH_8, m, range);
        break;
    case CZ_WIDTH_4_TABLE:
        width_product(CZ_WIDTH_4_TABLE, m, range);
        break;
    case CZ_WIDTHS:
        break;
    }
}

#endif
