/*
 * source.h - reading a grammar's source text, and what is wrong with it; for gbnf.c and lark.c.
 */
#ifndef CZ_CONSTRAINT_SOURCE_H
#define CZ_CONSTRAINT_SOURCE_H

#include "base/slice.h"

struct cz_source {
    struct cz_slice text;
    size_t at;
    unsigned depth; /* of parentheses */
    cloze_status status; /* of the first failure; reading goes on to no effect */
    struct cloze_error *error;
};

/* Refuses a text that is too long, or not UTF-8. */
cloze_status cz_source_check(struct cz_slice text, struct cloze_error *error);
/* "line L, column C" of a byte offset. */
void cz_source_place(struct cz_slice text, size_t offset, char *out, size_t size);
/* Only the first failure is kept. */
void cz_source_fail(struct cz_source *source, cloze_status code, size_t at, const char *message);
void cz_source_malformed(struct cz_source *source, const char *message); /* where it stands */

/* 0 past the end */
char cz_source_peek_at(const struct cz_source *source, size_t ahead);
char cz_source_peek(const struct cz_source *source);
/* Past what was peeked at; never past the end, where an escape may have been cut off. */
void cz_source_advance(struct cz_source *source, size_t count);
/* Past the text, if it stands here. */
bool cz_source_accept(struct cz_source *source, const char *text);
/* A decimal number, if one stands here. */
bool cz_source_number(struct cz_source *source, uint32_t *out);
/* One parenthesis deeper, if that is allowed; the caller takes it back. */
bool cz_source_nest(struct cz_source *source);

#endif
