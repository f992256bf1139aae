/*
 * source.c - see source.h.
 */
#include "constraint/source.h"

#include "base/utf8.h"
#include "constraint/frontend.h"

#include <stdio.h>

cloze_status cz_source_check(struct cz_slice text, struct cloze_error *error)
{
    if (text.size > CZ_GRAMMAR_MAXIMUM_SIZE)
        return cz_fail(error, CLOZE_LIMIT, NULL, "a grammar of more than %d bytes",
                       CZ_GRAMMAR_MAXIMUM_SIZE);
    if (cz_utf8_valid(text) != text.size)
        return cz_fail(error, CLOZE_INVALID, NULL, "a grammar that is not UTF-8");
    return CLOZE_OK;
}

void cz_source_place(struct cz_slice source, size_t offset, char *out, size_t size)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < offset && i < source.size; i++) {
        if (source.data[i] == '\n') {
            line++;
            column = 1;
        } else {
            column += ((unsigned char)source.data[i] & 0xC0) != 0x80;
        }
    }
    snprintf(out, size, "line %zu, column %zu", line, column);
}

void cz_source_fail(struct cz_source *source, cloze_status code, size_t at, const char *message)
{
    char place[64];
    if (source->status)
        return;
    cz_source_place(source->text, at, place, sizeof place);
    source->status = cz_fail(source->error, code, place, "%s", message);
}

void cz_source_malformed(struct cz_source *source, const char *message)
{
    cz_source_fail(source, CLOZE_INVALID, source->at, message);
}

char cz_source_peek_at(const struct cz_source *source, size_t ahead)
{
    return source->at + ahead < source->text.size ? source->text.data[source->at + ahead] : 0;
}

char cz_source_peek(const struct cz_source *source)
{
    return cz_source_peek_at(source, 0);
}

void cz_source_advance(struct cz_source *source, size_t count)
{
    size_t left = source->text.size - source->at;
    source->at += count < left ? count : left;
}

bool cz_source_accept(struct cz_source *source, const char *text)
{
    size_t size = strlen(text);
    if (source->text.size - source->at < size ||
        memcmp(source->text.data + source->at, text, size) != 0)
        return false;
    source->at += size;
    return true;
}

bool cz_source_number(struct cz_source *source, uint32_t *out)
{
    uint64_t value = 0;
    size_t start = source->at;
    for (char c; (c = cz_source_peek(source)) >= '0' && c <= '9'; source->at++)
        value = value >= UINT32_MAX ? value : value * 10 + (unsigned)(c - '0');
    if (value >= UINT32_MAX)
        cz_source_fail(source, CLOZE_LIMIT, start, "a number that is too large");
    *out = (uint32_t)value;
    return source->at > start;
}

bool cz_source_nest(struct cz_source *source)
{
    if (++source->depth <= CZ_GRAMMAR_MAXIMUM_DEPTH)
        return true;
    cz_source_fail(source, CLOZE_LIMIT, source->at, "parentheses nested more than 200 deep");
    return false;
}
