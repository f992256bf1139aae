/* packed_private.h - what the files of this room share about packed matrices. */
#ifndef CZ_KERNELS_PACKED_PRIVATE_H
#define CZ_KERNELS_PACKED_PRIVATE_H

#include "kernels/packed.h"

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
