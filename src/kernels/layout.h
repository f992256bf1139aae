/* layout.h - where things lie in activation records and KV tiles (see kernels.h). */
#ifndef CZ_KERNELS_LAYOUT_H
#define CZ_KERNELS_LAYOUT_H

#include "kernels/kernels.h"

#include <string.h>

/* Loops over constants that must disappear, so that arrays of vectors become registers. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* Entries of a product: panels, or those that are listed. */
static inline uint32_t cz_matmul_entries(const struct cz_matmul *m)
{
    return m->panels ? m->panel_count : cz_packed_panels(m->weights);
}

/*
 * A batch of activations is cut in tiles of consecutive rows, the last of which may have fewer: one
 * pointer and constant offsets reach all rows of a tile.
 *
 *   int8   tiles of 4 rows. A tile of w rows is, block after block (32 columns each), 64 * w bytes:
 *          int8_t code[8][w][4], float scale[2][w], int32_t sum[2][w], float total[2][w],
 *          float pair[w], padding
 *   bf16   tiles of 6 rows. A tile of w rows is float value[padded columns][w], the values being
 *          rounded to bf16; in the table avx512-bf16 uint16_t value[padded columns / 2][w][2].
 */
enum { CZ_INT8_TILE = 4, CZ_BF16_TILE = 6 };

struct cz_tile {
    unsigned char *memory;
    uint32_t rows; /* in the tile: 1..width */
    uint32_t row;  /* the wanted one */
};

static inline struct cz_tile cz_tile_of(const void *activations, uint32_t rows, uint32_t row,
                                        uint32_t width, size_t row_bytes)
{
    uint32_t first = row / width * width, left = rows - first;
    unsigned char *memory = (unsigned char *)(uintptr_t)activations + first * row_bytes;
    return (struct cz_tile){memory, left < width ? left : width, row - first};
}

/* One block of an int8 tile of `rows` rows, taken apart. */
struct cz_tile_block {
    int8_t *codes;  /* [8][rows][4] */
    float *scales;  /* [2][rows] */
    int32_t *sums;  /* [2][rows] */
    float *totals;  /* [2][rows] */
    float *pairs;   /* [rows] */
};

static inline __attribute__((always_inline)) struct cz_tile_block
cz_tile_block(void *tile, uint32_t rows, size_t block)
{
    unsigned char *at = (unsigned char *)tile + block * 64 * rows;
    return (struct cz_tile_block){(int8_t *)at, (float *)(void *)(at + (size_t)32 * rows),
                                  (int32_t *)(void *)(at + (size_t)40 * rows),
                                  (float *)(void *)(at + (size_t)48 * rows),
                                  (float *)(void *)(at + (size_t)56 * rows)};
}

/* Without the lowest two bits, so that scale * 1.5 * 2^23 is a float. */
static inline float cz_cut_scale(float scale)
{
    uint32_t bits;
    memcpy(&bits, &scale, sizeof bits);
    bits &= ~UINT32_C(3);
    memcpy(&scale, &bits, sizeof bits);
    return scale;
}

static inline size_t cz_kv_element_bytes(enum cz_kv_form form)
{
    return form == CZ_KV_FORM_INT8 ? 1 : form == CZ_KV_FORM_F32 ? 4 : 2;
}

static inline const unsigned char *cz_kv_values(enum cz_kv_form form, uint32_t head_dim,
                                                const unsigned char *tile)
{
    return tile + (size_t)CZ_KV_POSITIONS * head_dim * cz_kv_element_bytes(form);
}

static inline const float *cz_kv_key_scales(enum cz_kv_form form, uint32_t head_dim,
                                            const unsigned char *tile)
{
    return (const float *)(const void *)(tile + 2 * (size_t)CZ_KV_POSITIONS * head_dim *
                                                    cz_kv_element_bytes(form));
}

static inline const float *cz_kv_value_scales(enum cz_kv_form form, uint32_t head_dim,
                                              const unsigned char *tile)
{
    return cz_kv_key_scales(form, head_dim, tile) + CZ_KV_POSITIONS;
}

#endif
