/* safetensors.c - fuzz target: any bytes as a safetensors file; the ends of all data are read. */
#include "model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sink; /* reads must happen */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cz_arena arena = {.maximum = 64 << 20};
    struct cz_safetensors file;
    if (cz_safetensors_parse(cz_slice_of(data, size), "fuzz", &arena, &file, NULL) == CLOZE_OK) {
        for (size_t i = 0; i < file.count; i++) {
            const struct cz_tensor *tensor = &file.tensors[i];
            if (tensor->size)
                sink = ((const uint8_t *)tensor->data)[tensor->size - 1];
        }
    }
    cz_arena_free(&arena);
    return 0;
}
