/*
 * rope.h - rotary position embedding as a table: base frequencies per pair of dimensions.
 *
 * All RoPE types reduce to frequencies f[dims / 2] and a factor on cos and sin, computed once when
 * a model is packed. Two types depend on the position too; so that a row's result depends on its
 * own sequence alone, they mean:
 *
 * - "dynamic": a row takes the base for the length position + 1, which is what transformers does
 * when it generates token by token.
 * - "longrope": a row past the original context takes the long table for itself and for all keys
 * that it attends to, a row before it the short one. transformers does the same, but also computes
 * the rows before the switch again, with the long table, once a sequence has passed it. Within the
 *   original context there is no difference.
 */
#ifndef CZ_ENGINE_ROPE_H
#define CZ_ENGINE_ROPE_H

#include "model/model.h"

/* As it stands in the packed file: fixed layout, no pointers. */
struct cz_rope_table {
    uint32_t dims;          /* rotated dimensions of a head; the others pass through */
    uint32_t switch_at;     /* first position of the long table; 0: there is none */
    uint32_t dynamic_from;  /* first position with a base of its own; 0: none */
    float attention_factor; /* on cos and sin */
    double dynamic_factor;
    double theta;
};

/* frequencies[dims / 2], and long_frequencies[dims / 2] for longrope (else untouched). `divisors`
 * are the file's RoPE factors [dims / 2], or NULL. `context` is the model's longest sequence. */
void cz_rope_prepare(const struct cz_rope *rope, const float *divisors, uint32_t context,
                     struct cz_rope_table *table, float *frequencies, float *long_frequencies);

/* cos and sin [dims / 2] of one position, times the attention factor. */
void cz_rope_row(const struct cz_rope_table *table, const float *frequencies, uint32_t position,
                 float *cosine, float *sine);

#endif
