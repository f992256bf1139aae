/* listing.c - fuzz target: the hub's listing of a repository, and the choice among its files. */
#include "base/file.h"
#include "store/hub_repository.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const choices[] = {"", "Q4_0", "a.gguf"};
    struct cz_arena arena = {.maximum = 64 << 20};
    struct cz_hub_listing listing;
    struct cloze_error error;
    if (cz_hub_listing_parse(&arena, cz_slice_of(data, size), &listing, &error) == CLOZE_OK) {
        for (size_t i = 0; i < 3; i++) {
            struct cz_hub_address address = {.id = "o/n"};
            strcpy(address.choice, choices[i]);
            cz_hub_listing_choose(&listing, &address, &error);
        }
        for (size_t i = 0; i < listing.count; i++) {
            if (!cz_path_is_safe(cz_slice(listing.files[i].path)))
                abort();
        }
    }
    cz_arena_free(&arena);
    return 0;
}
