/* epilogue.h - what every matmul shares: which panels, and how sums become results.
 * Included after elementwise.h. */
#ifndef CZ_KERNELS_EPILOGUE_H
#define CZ_KERNELS_EPILOGUE_H

#include "kernels/layout.h"
#include "kernels/packed_private.h"

/* The panel that entry `entry` of the range stands for. */
static inline uint32_t entry_panel(const struct cz_matmul *m, uint32_t entry)
{
    return m->panels ? m->panels[entry] : entry;
}

/* Rows of the weights in a panel: 16 but for the last. */
static inline uint32_t panel_rows(const struct cz_matmul *m, uint32_t panel)
{
    uint32_t left = m->weights->rows - panel * CZ_PANEL_ROWS;
    return left < CZ_PANEL_ROWS ? left : CZ_PANEL_ROWS;
}

/* The tile of the activations that row `row` is in. */
static inline struct cz_tile activation_tile(const struct cz_matmul *m, uint32_t row)
{
    enum cz_activation kind = cz_packed_activation(m->weights);
    return cz_tile_of(m->activations, m->rows, row,
                      kind == CZ_ACTIVATION_BF16 ? CZ_BF16_TILE : CZ_INT8_TILE,
                      cz_activation_bytes(kind, m->weights->columns));
}

/* The sums of `count` activation rows from `first` on and one panel: multiplied, biased, accumulated,
 * stored. The sums of consecutive rows are `stride` floats apart. */
static __attribute__((noinline)) void
store_sums(const struct cz_matmul *m, uint32_t first, uint32_t count, uint32_t entry,
           const float *sums, size_t stride)
{
    uint32_t panel = entry_panel(m, entry), rows = panel_rows(m, panel);
    float *out = m->out + first * m->out_stride + (size_t)entry * CZ_PANEL_ROWS;
    lanes multiplier = lanes_set(cz_packed_multiplier(m->weights, panel));
    lanes bias = lanes_set(0.0f);
    if (m->bias)
        bias = load_some(m->bias, panel * CZ_PANEL_ROWS, m->weights->rows, 0.0f);
    for (uint32_t i = 0; i < count; i++, out += m->out_stride, sums += stride) {
        lanes value = lanes_mul(lanes_load(sums), multiplier);
        if (m->bias)
            value = lanes_add(value, bias);
        if (m->accumulate)
            value = lanes_add(value, load_some(out, 0, rows, 0.0f));
        store_some(out, 0, rows, value);
    }
}

#endif
