/* tokenizer_json.c - fuzz target: what reads as a tokenizer.json must make a tokenizer or an error,
 * and the tokenizer must encode a text and spell its ids. */
#include "model/tokenizer_build.h"
#include "tokenizer/tokenizer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct cz_tokenizer *tokenizer)
{
    static const char text[] = "hello  world\n1234 \xC3\xA9\xE6\xBC\xA2 <s></s> don't";
    struct cz_encode_options options = {.add_special = true, .parse_special = true};
    struct cz_ids ids = {0};
    struct cz_buffer out = {0};
    struct cloze_error error;
    if (cz_tokenizer_encode(tokenizer, CZ_SLICE(text), &options, &ids, &error) == CLOZE_OK &&
        cz_tokenizer_decode(tokenizer, ids.ids, ids.count, true, &out, &error) != CLOZE_OK)
        abort();
    cz_ids_free(&ids);
    cz_buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cz_arena arena = {.maximum = 256 << 20};
    struct cz_tokenizer_tables tables;
    struct cz_tokenizer *tokenizer;
    struct cloze_error error;
    if (cz_tokenizer_read_json(cz_slice_of(data, size), &arena, &tables, &error) == CLOZE_OK &&
        cz_tokenizer_create(&tables, &tokenizer, &error) == CLOZE_OK) {
        use(tokenizer);
        cz_tokenizer_free(tokenizer);
    }
    cz_arena_free(&arena);
    return 0;
}
