/* normalize.c - Unicode normal forms (libunistring), prepended text, replacements. */
#include "tokenizer/parts.h"

#include <errno.h>
#include <stdlib.h>
#include <uninorm.h>

static uninorm_t form_of(enum cz_normalizer_kind kind)
{
    switch (kind) {
    case CZ_NORMALIZE_NFC:
        return UNINORM_NFC;
    case CZ_NORMALIZE_NFD:
        return UNINORM_NFD;
    case CZ_NORMALIZE_NFKC:
        return UNINORM_NFKC;
    default:
        return UNINORM_NFKD;
    }
}

/* No normal form changes ASCII, and NFC nothing below U+0300. */
static bool is_normal_already(struct cz_slice text, enum cz_normalizer_kind kind)
{
    unsigned char limit = kind == CZ_NORMALIZE_NFC ? 0xCC : 0x80;
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] >= limit)
            return false;
    return true;
}

static cloze_status apply_form(struct cz_slice *text, enum cz_normalizer_kind kind,
                               struct cz_buffer *out, struct cloze_error *error)
{
    if (is_normal_already(*text, kind))
        return CLOZE_OK;
    size_t size;
    uint8_t *normal =
        u8_normalize(form_of(kind), (const uint8_t *)text->data, text->size, NULL, &size);
    if (!normal)
        return errno == ENOMEM ? cz_fail_memory(error, "normalising text")
                               : cz_fail(error, CLOZE_INVALID, "text", "the text is not UTF-8");
    cz_buffer_clear(out);
    cz_buffer_append(out, normal, size);
    free(normal);
    *text = cz_buffer_slice(out);
    return cz_buffer_status(out, "normalised text", error);
}

static cloze_status replace(struct cz_slice *text, const struct cz_normalize_step *step,
                            struct cz_buffer *out, struct cloze_error *error)
{
    struct cz_pattern_search search;
    cloze_status status = cz_pattern_search_begin(&search, step->pattern, *text, error);
    if (status)
        return status;
    cz_buffer_clear(out);
    size_t at = 0;
    bool found;
    while (!(status = cz_pattern_search_next(&search, &found, error)) && found) {
        cz_buffer_append(out, text->data + at, search.start - at);
        cz_buffer_append_slice(out, step->table->content);
        at = search.end;
    }
    cz_pattern_search_end(&search);
    if (status)
        return status;
    cz_buffer_append(out, text->data + at, text->size - at);
    *text = cz_buffer_slice(out);
    return cz_buffer_status(out, "normalised text", error);
}

static cloze_status prepend(struct cz_slice *text, struct cz_slice content, struct cz_buffer *out,
                            struct cloze_error *error)
{
    if (text->size == 0)
        return CLOZE_OK;
    cz_buffer_clear(out);
    cz_buffer_append_slice(out, content);
    cz_buffer_append_slice(out, *text);
    *text = cz_buffer_slice(out);
    return cz_buffer_status(out, "normalised text", error);
}

cloze_status cz_normalize(const struct cz_tokenizer *tokenizer, struct cz_slice text,
                          enum cz_place place, struct cz_buffer buffers[2], struct cz_slice *out,
                          struct cloze_error *error)
{
    cloze_status status = CLOZE_OK;
    for (uint32_t i = 0; !status && i < tokenizer->tables->normalizer_count; i++) {
        const struct cz_normalize_step *step = &tokenizer->normalizers[i];
        struct cz_buffer *free_one = &buffers[buffers[0].size && text.data == buffers[0].data];
        if (step->table->kind == CZ_NORMALIZE_PREPEND && place == CZ_PLACE_CONTINUES)
            continue;
        else if (step->table->kind == CZ_NORMALIZE_PREPEND)
            status = prepend(&text, step->table->content, free_one, error);
        else if (step->table->kind == CZ_NORMALIZE_REPLACE)
            status = replace(&text, step, free_one, error);
        else
            status = apply_form(&text, step->table->kind, free_one, error);
    }
    *out = text;
    return status;
}
