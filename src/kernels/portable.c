/* portable.c - the specification: every kernel in plain C, on any machine. */
#include "kernels/lanes_portable.h"

#include "kernels/tables.h"
#include "kernels/elementwise.h"
#include "kernels/epilogue.h"
#include "kernels/attention.h"

enum { ROWS = 32 /* activation rows that share one decoding of the weights */ };

/* Exact dot product of half a block: 16 codes minus offset with those of row `row` of a tile. */
static float dot16(const uint8_t *codes, const struct cz_tile_block *x, const struct cz_tile *tile,
                   uint32_t half, int32_t offset)
{
    int32_t total = -offset * x->sums[half * tile->rows + tile->row];
    for (uint32_t k = 0; k < 16; k++) {
        size_t step = half * 4 + k / 4;
        total += codes[half * 16 + k] * x->codes[(step * tile->rows + tile->row) * 4 + k % 4];
    }
    return (float)total;
}

static void add_block(const struct cz_packed *matrix, const struct cz_packed_block *block,
                      const struct cz_tile *tile, uint32_t index, float *sums)
{
    struct cz_tile_block x = cz_tile_block(tile->memory, tile->rows, index);
    int32_t offset = (int32_t)matrix->offset;
    uint32_t at[2] = {tile->row, tile->rows + tile->row};
    for (uint32_t r = 0; r < CZ_PANEL_ROWS; r++) {
        float product[2];
        for (uint32_t half = 0; half < 2; half++)
            product[half] = dot16(block->codes[r], &x, tile, half, offset);
        if (matrix->group == 32) {
            float both = fmaf(x.scales[at[1]], product[1], x.scales[at[0]] * product[0]);
            sums[r] = fmaf(block->scales[0][r], both, sums[r]);
            if (matrix->has_minimum)
                sums[r] = fmaf(block->minima[0][r], x.pairs[tile->row], sums[r]);
            continue;
        }
        for (uint32_t half = 0; half < 2; half++) {
            sums[r] = fmaf(block->scales[half][r], x.scales[at[half]] * product[half], sums[r]);
            if (matrix->has_minimum)
                sums[r] = fmaf(block->minima[half][r], x.totals[at[half]], sums[r]);
        }
    }
}

static void add_bfloat_block(const unsigned char *weights, const struct cz_tile *tile,
                             uint32_t index, float *sums)
{
    const float *x = (const float *)(const void *)tile->memory;
    x += (size_t)index * CZ_BLOCK_COLUMNS * tile->rows + tile->row;
    for (uint32_t p = 0; p < CZ_BLOCK_COLUMNS / 2; p++) {
        float even = x[(size_t)2 * p * tile->rows], odd = x[(size_t)(2 * p + 1) * tile->rows];
        for (uint32_t r = 0; r < CZ_PANEL_ROWS; r++) {
            uint16_t pair[2];
            memcpy(pair, weights + (p * CZ_PANEL_ROWS + r) * sizeof pair, sizeof pair);
            sums[r] = fmaf(cz_bfloat_to_float(pair[1]), odd, sums[r]);
            sums[r] = fmaf(cz_bfloat_to_float(pair[0]), even, sums[r]);
        }
    }
}

/* One panel against `rows` <= ROWS activation rows. */
static void panel_product(const struct cz_matmul *m, uint32_t entry, uint32_t first, uint32_t rows)
{
    const struct cz_packed *weights = m->weights;
    const unsigned char *panel = cz_packed_panel(weights, entry_panel(m, entry));
    uint32_t blocks = cz_packed_blocks(weights);
    float sums[ROWS][CZ_PANEL_ROWS] = {{0}};
    struct cz_packed_block block;
    for (uint32_t b = 0; b < blocks; b++) {
        if (weights->width != CZ_WIDTH_BF16)
            cz_packed_decode(weights, panel, b, &block);
        for (uint32_t i = 0; i < rows; i++) {
            struct cz_tile tile = activation_tile(m, first + i);
            if (weights->width == CZ_WIDTH_BF16)
                add_bfloat_block(panel + cz_packed_block_position(weights, b), &tile, b, sums[i]);
            else
                add_block(weights, &block, &tile, b, sums[i]);
        }
    }
    store_sums(m, first, rows, entry, sums[0], CZ_PANEL_ROWS);
}

static void matmul(const struct cz_matmul *m, struct cz_range range)
{
    for (uint32_t first = 0; first < m->rows; first += ROWS) {
        uint32_t rows = m->rows - first < ROWS ? m->rows - first : ROWS;
        for (uint32_t entry = range.first; entry < range.end; entry++)
            panel_product(m, entry, first, rows);
    }
}

const struct cz_kernels cz_kernels_portable = {CZ_KERNEL_TABLE("portable")};
