/*
 * neon_i8mm.c - the same with the 8-bit matrix instructions (Armv8.6: Neoverse V1 and N2, Apple M2).
 *
 * smmla multiplies 2 rows x 8 columns of weights with 8 columns x 2 activation rows, twice the work of
 * sdot. Two steps of 4 columns, zipped, are its 8 columns; its four sums of a pair of rows and a pair of
 * activation rows are taken apart at the end of a group.
 */
#include "kernels/vectors_neon.h"

#define TILE_MATRICES

/* Pairs of 8 bytes from two steps: rows 0 and 1, rows 2 and 3. */
static inline int8x16x2_t zip_steps(const void *step, const void *next)
{
    int32x4x2_t zipped = vzipq_s32(vreinterpretq_s32_s8(vld1q_s8(step)),
                                   vreinterpretq_s32_s8(vld1q_s8(next)));
    return (int8x16x2_t){{vreinterpretq_s8_s32(zipped.val[0]), vreinterpretq_s8_s32(zipped.val[1])}};
}

/* Adds to dot[column] what a half block of 4 rows, steps `stride` bytes apart, gives with the 4
 * activation rows of a tile. */
static inline void add_matrices(const uint8_t *codes, size_t stride, const int8_t *x,
                                ivec *const dot[4])
{
    int32x4_t sums[2][2] = {{vdupq_n_s32(0), vdupq_n_s32(0)}, {vdupq_n_s32(0), vdupq_n_s32(0)}};
    for (int s = 0; s < 4; s += 2) {
        int8x16x2_t w = zip_steps(codes + s * stride, codes + (s + 1) * stride);
        int8x16x2_t y = zip_steps(x + s * 16, x + (s + 1) * 16);
        for (int i = 0; i < 4; i++)
            sums[i / 2][i % 2] = vmmlaq_s32(sums[i / 2][i % 2], w.val[i / 2], y.val[i % 2]);
    }
    for (int pair = 0; pair < 2; pair++) {
        int32x4x2_t columns = vuzpq_s32(sums[0][pair], sums[1][pair]);
        *dot[2 * pair] += (ivec)columns.val[0];
        *dot[2 * pair + 1] += (ivec)columns.val[1];
    }
}

#include "kernels/product.h"

const struct cz_kernels cz_kernels_neon_i8mm = {CZ_KERNEL_TABLE("neon-i8mm")};
