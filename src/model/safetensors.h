/*
 * safetensors.h - one safetensors file: its header, checked, and its tensors.
 *
 * Layout: u64 little-endian N | N bytes of JSON | data. The JSON maps a tensor's name to {dtype,
 * shape, data_offsets: [begin, end]}, offsets relative to the data. Data has no holes, no order and
 * no alignment. The format: github.com/huggingface/safetensors.
 */
#ifndef CZ_MODEL_SAFETENSORS_H
#define CZ_MODEL_SAFETENSORS_H

#include "base/arena.h"
#include "model/model.h"

enum {
    CZ_SAFETENSORS_LARGEST_HEADER = 100 * 1000 * 1000,
    CZ_SAFETENSORS_MOST_TENSORS = 1 << 20,
    CZ_SAFETENSORS_MOST_DIMENSIONS = 8
};

struct cz_safetensors {
    struct cz_tensor *tensors; /* [count], in the order of their data */
    size_t count;
};

/* Names are copied to the arena, data stays in `bytes`. A tensor with more than two dimensions
 * keeps its rank; its shape is {product of all but the last, last}. `name` stands in errors. */
cloze_status cz_safetensors_parse(struct cz_slice bytes, const char *name, struct cz_arena *arena,
                                  struct cz_safetensors *out, struct cloze_error *error);

#endif
