/* json.c - fuzz target: what parses must print, and what was printed must parse to an equal tree. */
#include "json/writer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cz_arena arena = {.maximum = 64 << 20};
    struct cz_buffer text = {0};
    struct cz_json *first, *second;
    struct cloze_error error;
    if (cz_json_parse(&arena, cz_slice_of(data, size), NULL, &first, &error) == CLOZE_OK) {
        struct cz_json_writer writer = {.out = &text, .style = CZ_JSON_SPACED, .ascii = size & 1};
        cz_json_write_value(&writer, first);
        if (cz_json_parse(&arena, cz_buffer_slice(&text), NULL, &second, &error) != CLOZE_OK ||
            !cz_json_equal(first, second))
            abort();
    }
    cz_buffer_free(&text);
    cz_arena_free(&arena);
    return 0;
}
