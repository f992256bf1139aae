/* gguf.c - fuzz target: any bytes opened as a GGUF model; every value and tensor is then read. */
#include "model/gguf.h"
#include "model/model.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t sink;

/* Returns a sum, so that no read is optimised away. */
static uint64_t walk(const struct cz_gguf *gguf)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < gguf->value_count; i++) {
        const struct cz_gguf_value *value = &gguf->values[i];
        struct cz_slice text;
        size_t cursor = 0;
        if (value->element == CZ_GGUF_STRING) {
            while (cz_gguf_next_string(value, &cursor, &text))
                sum += text.size ? (unsigned char)text.data[text.size - 1] : 0;
        } else if (value->count) {
            sum += (uint64_t)(cz_gguf_double_at(value, value->count - 1) > 0);
        }
    }
    for (size_t i = 0; i < gguf->tensor_count; i++) {
        const struct cz_gguf_tensor *tensor = &gguf->tensors[i];
        if (tensor->size)
            sum += ((const uint8_t *)tensor->data)[tensor->size - 1];
    }
    return sum;
}

static void open_model(const uint8_t *data, size_t size)
{
    char path[64];
    struct cz_model *model;
    int descriptor = memfd_create("gguf", MFD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    if (descriptor < 0 || write(descriptor, data, size) != (ssize_t)size)
        return;
    if (cz_model_open(path, &model, NULL) == CLOZE_OK)
        cz_model_close(model);
    close(descriptor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cz_arena arena = {.maximum = 64 << 20};
    struct cz_gguf gguf;
    if (cz_gguf_parse(cz_slice_of(data, size), "fuzz", &arena, &gguf, NULL) == CLOZE_OK) {
        sink = walk(&gguf);
        cz_gguf_free(&gguf);
        open_model(data, size);
    }
    cz_arena_free(&arena);
    return 0;
}
