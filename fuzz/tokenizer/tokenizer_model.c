/* tokenizer_model.c - fuzz target: the protobuf of tokenizer.model. */
#include "model/tokenizer_build.h"
#include "tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cz_arena arena = {.maximum = 256 << 20};
    struct cz_tokenizer_tables tables;
    struct cz_tokenizer *tokenizer;
    struct cz_ids ids = {0};
    struct cloze_error error;
    if (cz_tokenizer_read_sentencepiece(cz_slice_of(data, size), NULL, &arena, &tables, &error) ==
            CLOZE_OK &&
        cz_tokenizer_create(&tables, &tokenizer, &error) == CLOZE_OK) {
        cz_tokenizer_encode(tokenizer, CZ_SLICE("ab  ab \xC3\xA9 <s>"), NULL, &ids, &error);
        cz_tokenizer_free(tokenizer);
    }
    cz_ids_free(&ids);
    cz_arena_free(&arena);
    return 0;
}
