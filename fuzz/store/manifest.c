/* manifest.c - fuzz target: a manifest that reads can be renamed, and reads again the same. */
#include "store/manifest.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cz_arena arena = {.maximum = 64 << 20};
    struct cz_buffer text = {.maximum = 4 << 20};
    struct cz_manifest first, second;
    struct cloze_error error;
    struct cz_tag tag = {"name", "version"};
    if (cz_manifest_parse(&arena, cz_slice_of(data, size), &first, &error) == CLOZE_OK &&
        cz_manifest_rename(&first, &tag, &text, &error) == CLOZE_OK &&
        (cz_manifest_parse(&arena, cz_buffer_slice(&text), &second, &error) != CLOZE_OK ||
         second.creation_us != first.creation_us || !cz_slice_equal(second.module, first.module) ||
         strcmp(second.tag.name, "name") != 0))
        abort();
    cz_buffer_free(&text);
    cz_arena_free(&arena);
    return 0;
}
