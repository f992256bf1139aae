/* packed_private.h - what the files of this room share about packed matrices. */
#ifndef CZ_KERNELS_PACKED_PRIVATE_H
#define CZ_KERNELS_PACKED_PRIVATE_H

#include "kernels/packed.h"

/*
 * The quantised shapes that occur, as (name, width, group, has_minimum, scales): what the kernels are
 * compiled for.
 */
#define CZ_PACKED_SHAPES(SHAPE)                                                                    \
    SHAPE(q4_0, CZ_WIDTH_4, 32, false, CZ_SCALES_HALF)                                             \
    SHAPE(q4_1, CZ_WIDTH_4, 32, true, CZ_SCALES_HALF)                                              \
    SHAPE(w4_16m, CZ_WIDTH_4, 16, true, CZ_SCALES_HALF) /* q4 of columns that 32 doesn't divide */ \
    SHAPE(q5_0, CZ_WIDTH_5, 32, false, CZ_SCALES_HALF)                                             \
    SHAPE(q5_1, CZ_WIDTH_5, 32, true, CZ_SCALES_HALF)                                              \
    SHAPE(w6_16, CZ_WIDTH_6, 16, false, CZ_SCALES_HALF) /* q4: embedding and head */               \
    SHAPE(q8_0, CZ_WIDTH_8, 32, false, CZ_SCALES_HALF)                                             \
    SHAPE(w8_16, CZ_WIDTH_8, 16, false, CZ_SCALES_HALF) /* q8 like w4_16m */                       \
    SHAPE(iq4_nl, CZ_WIDTH_4_TABLE, 32, false, CZ_SCALES_HALF)                                     \
    SHAPE(q2_k, CZ_WIDTH_2, 16, true, CZ_SCALES_NIBBLES)                                           \
    SHAPE(q3_k, CZ_WIDTH_3, 16, false, CZ_SCALES_BYTES)                                            \
    SHAPE(q4_k, CZ_WIDTH_4, 32, true, CZ_SCALES_BYTES)                                             \
    SHAPE(q5_k, CZ_WIDTH_5, 32, true, CZ_SCALES_BYTES)                                             \
    SHAPE(q6_k, CZ_WIDTH_6, 16, false, CZ_SCALES_BYTES)                                            \
    SHAPE(iq4_xs, CZ_WIDTH_4_TABLE, 32, false, CZ_SCALES_BYTES)

/* Bytes of scales and minima at the start of a block. */
size_t cz_packed_scale_bytes(const struct cz_packed *matrix);

/* The largest code of each width; 0 for bf16. */
extern const uint8_t CZ_WIDTH_CODES[CZ_WIDTHS];

/*
 * One row of `columns` floats (whole groups) as codes, scales and, for shapes with minima, minima.
 * Scales and minima have 11 significant bits, so that packing does not round them again. Widths with
 * a table are not possible.
 */
void cz_quantize_groups(const struct cz_packed *shape, const float *values, uint8_t *codes,
                        float *scales, float *minima);

#endif
