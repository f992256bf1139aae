/* yaml.c - fuzz target: what parses as YAML must be written as YAML that reads as an equal tree. */
#include "json/yaml.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cz_arena arena = {.maximum = 64 << 20};
    struct cz_buffer text = {.maximum = 1 << 20};
    struct cz_json *first, *second;
    struct cloze_error error;
    if (cz_yaml_parse(&arena, cz_slice_of(data, size), &first, &error) == CLOZE_OK &&
        cz_yaml_write(first, &text, &error) == CLOZE_OK &&
        (cz_yaml_parse(&arena, cz_buffer_slice(&text), &second, &error) != CLOZE_OK ||
         !cz_json_equal(first, second)))
        abort();
    cz_buffer_free(&text);
    cz_arena_free(&arena);
    return 0;
}
