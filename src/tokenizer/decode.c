/* decode.c - the way back: the bytes of tokens, put together. */
#include "tokenizer/parts.h"

static void append_token(const struct cz_tokenizer *tokenizer, uint32_t id, bool with_special,
                         struct cz_buffer *text)
{
    if (!tokenizer->special[id])
        cz_buffer_append_slice(text, tokenizer->bytes[id]);
    else if (with_special)
        cz_buffer_append_slice(text, tokenizer->tables->tokens[id].text);
}

cloze_status cz_tokenizer_decode(const struct cz_tokenizer *tokenizer, const uint32_t *ids,
                                 size_t count, bool with_special, struct cz_buffer *text,
                                 struct cloze_error *error)
{
    struct cz_buffer whole = {.maximum = text->maximum};
    for (size_t i = 0; i < count; i++) {
        if (ids[i] >= tokenizer->tables->token_count) {
            cz_buffer_free(&whole);
            return cz_fail(error, CLOZE_INVALID, "ids",
                           "id %u is not in the vocabulary of %u tokens", ids[i],
                           tokenizer->tables->token_count);
        }
        append_token(tokenizer, ids[i], with_special, &whole);
    }
    size_t skipped = tokenizer->tables->strip_first_blank && whole.size && whole.data[0] == ' ';
    cloze_status status = cz_buffer_status(&whole, "decoded text", error);
    if (!status) {
        cz_buffer_append(text, whole.data + skipped, whole.size - skipped);
        status = cz_buffer_status(text, "decoded text", error);
    }
    cz_buffer_free(&whole);
    return status;
}
