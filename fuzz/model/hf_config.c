/* hf_config.c - fuzz target: any bytes as config.json and as generation_config.json. */
#include "model/hf_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cz_model_files files = {0};
    struct cz_hf_config config = {0};
    struct cz_arena arena = {.maximum = 64 << 20};
    struct cz_json *root;
    if (cz_json_parse(&arena, cz_slice_of(data, size), NULL, &root, NULL) == CLOZE_OK) {
        cz_hf_config_read(root, "config.json", &files, &config, NULL);
        cz_hf_generation_read(root, "generation_config.json", &files, &config, NULL);
    }
    cz_arena_free(&files.arena);
    cz_arena_free(&arena);
    return 0;
}
