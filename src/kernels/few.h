/*
 * few.h - products with a few activation rows: too few for unpacking a strip first to pay.
 *
 * Included by product.h. Codes are unpacked in registers, as for one row, and meet a tile of rows
 * (2 to CZ_INT8_TILE); the next tile finds the panels in the cache. TILE_VECTORS panels go side by
 * side. For every row these are the specified operations in the specified order.
 */
#ifndef CZ_KERNELS_FEW_H
#define CZ_KERNELS_FEW_H

enum { FEW_ROWS = 8 };

/* Of each vector of rows, activation row and panel. */
typedef fvec few_sums[PANEL_VECTORS][CZ_INT8_TILE][TILE_VECTORS];

/* `columns` activation rows, a constant, and TILE_VECTORS panels. */
INLINE void few_product(struct shape shape, uint32_t columns, const struct cz_packed *weights,
                        const unsigned char *const *panels, void *activations, few_sums out)
{
    const struct extent extent = {TILE_VECTORS, columns};
    uint32_t blocks = cz_packed_blocks(weights);
    size_t block_bytes = block_bytes_of(shape);
    few_sums sums;
    UNROLL for (uint32_t v = 0; v < PANEL_VECTORS; v++)
        UNROLL for (uint32_t c = 0; c < columns; c++)
            UNROLL for (uint32_t p = 0; p < TILE_VECTORS; p++)
                sums[v][c][p] = fvec_set(0.0f);
    const unsigned char *block[TILE_VECTORS], *span[TILE_VECTORS];
    memcpy(block, panels, sizeof block);
    memcpy(span, panels, sizeof span);
    for (size_t b = 0; b < blocks; b++) {
        struct cz_tile_block x = cz_tile_block(activations, columns, b);
        begin_span(shape, TILE_VECTORS, b, span, block);
        UNROLL for (uint32_t p = 0; p < TILE_VECTORS; p++)
            UNROLL for (size_t line = 0; line < block_bytes; line += 64)
                __builtin_prefetch(block[p] + PREFETCH_BYTES + line);
        UNROLL for (uint32_t v = 0; v < PANEL_VECTORS; v++)
        {
            struct parts parts[TILE_VECTORS];
            extent_vectors low, high;
            UNROLL for (uint32_t p = 0; p < TILE_VECTORS; p++)
                parts[p] = parts_of(shape, span[p], block[p], v);
            half_block(shape, extent, parts, weights->offset, &x, 0, low);
            half_block(shape, extent, parts, weights->offset, &x, 1, high);
            UNROLL for (uint32_t c = 0; c < columns; c++)
                UNROLL for (uint32_t p = 0; p < TILE_VECTORS; p++)
                    sums[v][c][p] = add_block(shape, parts[p], &x, columns, c, low[c][p],
                                              high[c][p], sums[v][c][p]);
        }
        UNROLL for (uint32_t p = 0; p < TILE_VECTORS; p++)
            block[p] += block_bytes;
    }
    memcpy(out, sums, sizeof sums);
}

typedef void few_function(uint32_t columns, const struct cz_packed *weights,
                          const unsigned char *const *panels, void *activations, few_sums out);

#define FEW_CASE(count)                                                                            \
    if (columns == (count))                                                                        \
        few_product(shape, (count), weights, panels, activations, sums);

/* One tile of activation rows and TILE_VECTORS entries from `entry` on. */
static void few_tile(few_function *product, const struct cz_matmul *m, struct cz_range range,
                     uint32_t entry, uint32_t first)
{
    struct cz_tile tile = activation_tile(m, first);
    const unsigned char *panels[TILE_VECTORS];
    few_sums sums;
    for (uint32_t p = 0; p < TILE_VECTORS; p++)
        panels[p] = cz_packed_panel(m->weights,
                                    entry_panel(m, entry + p < range.end ? entry + p : entry));
    product(tile.rows, m->weights, panels, tile.memory, sums);
    for (uint32_t p = 0; p < TILE_VECTORS && entry + p < range.end; p++) {
        float stored[CZ_INT8_TILE][CZ_PANEL_ROWS];
        for (uint32_t c = 0; c < tile.rows; c++)
            for (uint32_t v = 0; v < PANEL_VECTORS; v++)
                fvec_store(stored[c] + v * VECTOR_ROWS, sums[v][c][p]);
        store_sums(m, first, tile.rows, entry + p, stored[0], CZ_PANEL_ROWS);
    }
}

static void few_rows(few_function *product, const struct cz_matmul *m, struct cz_range range)
{
    for (uint32_t entry = range.first; entry < range.end; entry += TILE_VECTORS)
        for (uint32_t first = 0; first < m->rows; first += CZ_INT8_TILE)
            few_tile(product, m, range, entry, first);
}

#endif
