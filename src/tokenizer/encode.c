/* encode.c - the way from text to ids: added tokens, normal form, pieces, model. */
#include "base/utf8.h"
#include "tokenizer/parts.h"

struct encoding {
    const struct cz_tokenizer *tokenizer;
    struct cz_ids *ids;
    struct cz_buffer buffers[2]; /* of the normalizers */
    struct cloze_error *error;
};

/* Added tokens that are matched on normal text, and what lies between them. */
static cloze_status encode_normal(struct encoding *encoding, struct cz_slice text,
                                  enum cz_place place)
{
    const struct cz_tokenizer *tokenizer = encoding->tokenizer;
    cloze_status status = CLOZE_OK;
    for (size_t at = 0; !status && at < text.size;) {
        struct cz_added_match match = cz_added_find(&tokenizer->normalized_added, text, at, NULL);
        size_t end = match.token ? match.cut_start : text.size;
        status = cz_split_encode(tokenizer, cz_slice_of(text.data + at, end - at),
                                 at == 0 ? place : CZ_PLACE_INSIDE, encoding->ids, encoding->error);
        if (match.token)
            cz_ids_append(encoding->ids, match.token->id);
        at = match.token ? match.cut_end : text.size;
    }
    return status;
}

static cloze_status encode_stretch(struct encoding *encoding, struct cz_slice text,
                                   enum cz_place place)
{
    struct cz_slice normal;
    cloze_status status =
        cz_normalize(encoding->tokenizer, text, place, encoding->buffers, &normal, encoding->error);
    return status ? status : encode_normal(encoding, normal, place);
}

static cloze_status encode_text(struct encoding *encoding, struct cz_slice text,
                                enum cz_place place, const struct cz_trust *trust)
{
    const struct cz_tokenizer *tokenizer = encoding->tokenizer;
    cloze_status status = CLOZE_OK;
    for (size_t at = 0; !status && at < text.size;) {
        struct cz_added_match match = cz_added_find(&tokenizer->raw_added, text, at, trust);
        size_t end = match.token ? match.cut_start : text.size;
        status = encode_stretch(encoding, cz_slice_of(text.data + at, end - at),
                                at == 0 ? place : CZ_PLACE_INSIDE);
        if (match.token)
            cz_ids_append(encoding->ids, match.token->id);
        at = match.token ? match.cut_end : text.size;
    }
    return status;
}

static void append_all(struct cz_ids *ids, const uint32_t *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        cz_ids_append(ids, list[i]);
}

cloze_status cz_tokenizer_encode(const struct cz_tokenizer *tokenizer, struct cz_slice text,
                                 const struct cz_encode_options *options, struct cz_ids *ids,
                                 struct cloze_error *error)
{
    static const struct cz_encode_options plain;
    const struct cz_tokenizer_tables *tables = tokenizer->tables;
    if (!options)
        options = &plain;
    size_t valid = cz_utf8_valid(text);
    if (valid != text.size)
        return cz_fail(error, CLOZE_INVALID, "text", "the text is not UTF-8 at byte %zu", valid);
    struct encoding encoding = {.tokenizer = tokenizer, .ids = ids, .error = error};
    struct cz_trust trust = {options->parse_special, options->spans, options->span_count};
    if (options->add_special)
        append_all(ids, tables->prefix_ids, tables->prefix_count);
    enum cz_place place = options->continues ? CZ_PLACE_CONTINUES : CZ_PLACE_FIRST;
    cloze_status status = encode_text(&encoding, text, place, &trust);
    if (options->add_special)
        append_all(ids, tables->suffix_ids, tables->suffix_count);
    cz_buffer_free(&encoding.buffers[0]);
    cz_buffer_free(&encoding.buffers[1]);
    if (!status && ids->failed)
        status = cz_fail_memory(error, "token ids");
    return status;
}
