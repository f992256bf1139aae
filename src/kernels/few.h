/*
 * few.h - products with a few activation rows: too few for unpacking a strip first to pay.
 *
 * Included by product.h. Codes are unpacked in registers, as for one row, and meet one tile of rows
 * (TILE_VECTORS panels side by side, of which the next tile finds the panels in the cache) or, where
 * there are registers for it, two tiles (one panel at a time). For every row these are the specified
 * operations in the specified order.
 */
#ifndef CZ_KERNELS_FEW_H
#define CZ_KERNELS_FEW_H

enum {
    FEW_COLUMNS = VECTOR_ROWS == 16 ? MOST_COLUMNS : CZ_INT8_TILE, /* that a panel meets at a time */
    FEW_ROWS = 2 * FEW_COLUMNS,
};

/* Of each vector of rows, column and panel. */
typedef fvec few_sums[PANEL_VECTORS][MOST_COLUMNS][TILE_VECTORS];

/* Panels that meet so many columns side by side. */
INLINE uint32_t few_panels(uint32_t columns)
{
    return columns > CZ_INT8_TILE ? 1 : TILE_VECTORS;
}

INLINE void few_product(struct shape shape, struct extent extent, const struct cz_packed *weights,
                        const unsigned char *const *panels, unsigned char *activations,
                        few_sums out)
{
    uint32_t blocks = cz_packed_blocks(weights);
    struct place_in_tile last = place_of(extent, extent.columns - 1);
    unsigned char *second = activations + (size_t)blocks * 64 * CZ_INT8_TILE;
    size_t block_bytes = block_bytes_of(shape);
    few_sums sums;
    UNROLL for (uint32_t v = 0; v < PANEL_VECTORS; v++)
        UNROLL for (uint32_t c = 0; c < extent.columns; c++)
            UNROLL for (uint32_t p = 0; p < extent.panels; p++)
                sums[v][c][p] = fvec_set(0.0f);
    const unsigned char *block[TILE_VECTORS], *span[TILE_VECTORS];
    UNROLL for (uint32_t p = 0; p < extent.panels; p++)
        block[p] = span[p] = panels[p];
    for (size_t b = 0; b < blocks; b++) {
        struct cz_tile_block x[2] = {
            cz_tile_block(activations, place_of(extent, 0).rows, b),
            cz_tile_block(last.tile ? second : activations, last.rows, b),
        };
        begin_span(shape, extent.panels, b, span, block);
        UNROLL for (uint32_t p = 0; p < extent.panels; p++)
            UNROLL for (size_t line = 0; line < block_bytes; line += 64)
                __builtin_prefetch(block[p] + PREFETCH_BYTES + line);
        UNROLL for (uint32_t v = 0; v < PANEL_VECTORS; v++)
        {
            struct parts parts[TILE_VECTORS];
            extent_vectors low, high;
            UNROLL for (uint32_t p = 0; p < extent.panels; p++)
                parts[p] = parts_of(shape, span[p], block[p], v);
            half_block(shape, extent, parts, weights->offset, x, 0, low);
            half_block(shape, extent, parts, weights->offset, x, 1, high);
            UNROLL for (uint32_t c = 0; c < extent.columns; c++)
                UNROLL for (uint32_t p = 0; p < extent.panels; p++)
                    sums[v][c][p] = add_block(shape, extent, parts[p], x, c, low[c][p],
                                              high[c][p], sums[v][c][p]);
        }
        UNROLL for (uint32_t p = 0; p < extent.panels; p++)
            block[p] += block_bytes;
    }
    UNROLL for (uint32_t v = 0; v < PANEL_VECTORS; v++)
        UNROLL for (uint32_t c = 0; c < extent.columns; c++)
            UNROLL for (uint32_t p = 0; p < extent.panels; p++)
                out[v][c][p] = sums[v][c][p];
}

typedef void few_function(uint32_t columns, const struct cz_packed *weights,
                          const unsigned char *const *panels, unsigned char *activations,
                          few_sums out);

#define FEW_CASE(count)                                                                            \
    if (columns == (count) && (count) <= FEW_COLUMNS)                                              \
        few_product(shape, (struct extent){few_panels(count), (count)}, weights, panels,           \
                    activations, out);

/* The activation rows from `first` on, as many as go together, and the entries from `entry` on. */
static void few_tile(few_function *product, const struct cz_matmul *m, struct cz_range range,
                     uint32_t entry, uint32_t first, uint32_t columns)
{
    const unsigned char *panels[TILE_VECTORS];
    few_sums sums;
    for (uint32_t p = 0; p < few_panels(columns); p++)
        panels[p] = cz_packed_panel(m->weights,
                                    entry_panel(m, entry + p < range.end ? entry + p : entry));
    product(columns, m->weights, panels, activation_tile(m, first).memory, sums);
    for (uint32_t p = 0; p < few_panels(columns) && entry + p < range.end; p++) {
        float stored[MOST_COLUMNS][CZ_PANEL_ROWS];
        for (uint32_t c = 0; c < columns; c++)
            for (uint32_t v = 0; v < PANEL_VECTORS; v++)
                fvec_store(stored[c] + v * VECTOR_ROWS, sums[v][c][p]);
        store_sums(m, first, columns, entry + p, stored[0], CZ_PANEL_ROWS);
    }
}

static void few_rows(few_function *product, const struct cz_matmul *m, struct cz_range range)
{
    for (uint32_t entry = range.first; entry < range.end; entry += TILE_VECTORS)
        for (uint32_t first = 0, columns; first < m->rows; first += columns) {
            columns = m->rows - first < FEW_COLUMNS ? m->rows - first : FEW_COLUMNS;
            for (uint32_t p = 0; p < TILE_VECTORS && entry + p < range.end; p += few_panels(columns))
                few_tile(product, m, range, entry + p, first, columns);
        }
}

#endif
