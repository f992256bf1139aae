/*
 * slice.h - strings as pointer and size, and growing byte buffers.
 *
 * A slice borrows its bytes and is not NUL-terminated. A buffer owns its bytes, keeps a NUL behind
 * them, and has a maximum size: an append that would pass it (or finds no memory) sets `failed`,
 * and every later append does nothing, so a chain of appends needs one check at its end.
 */
#ifndef CZ_BASE_SLICE_H
#define CZ_BASE_SLICE_H

#include "base/error.h"

#include <string.h>

struct cz_slice {
    const char *data;
    size_t size;
};

#define CZ_SLICE(literal) ((struct cz_slice){literal, sizeof(literal) - 1})
#define CZ_SLICE_FORMAT "%.*s"
#define CZ_SLICE_ARG(slice) (int)((slice).size < 200 ? (slice).size : 200), (slice).data

static inline struct cz_slice cz_slice(const char *text)
{
    return (struct cz_slice){text, text ? strlen(text) : 0};
}

static inline struct cz_slice cz_slice_of(const void *data, size_t size)
{
    return (struct cz_slice){data, size};
}

bool cz_slice_equal(struct cz_slice a, struct cz_slice b);
bool cz_slice_is(struct cz_slice slice, const char *text);
bool cz_slice_starts_with(struct cz_slice slice, const char *prefix);
bool cz_slice_ends_with(struct cz_slice slice, const char *suffix);
int cz_slice_compare(struct cz_slice a, struct cz_slice b); /* bytewise, like memcmp */

struct cz_buffer {
    char *data; /* NUL-terminated once anything was appended; NULL while empty */
    size_t size;
    size_t capacity;
    size_t maximum; /* 0: CZ_BUFFER_MAXIMUM */
    bool failed;
};

#define CZ_BUFFER_MAXIMUM ((size_t)1 << 30)

void cz_buffer_append(struct cz_buffer *buffer, const void *data, size_t size);
void cz_buffer_append_byte(struct cz_buffer *buffer, char byte);
void cz_buffer_append_text(struct cz_buffer *buffer, const char *text);
void cz_buffer_append_slice(struct cz_buffer *buffer, struct cz_slice slice);
void cz_buffer_printf(struct cz_buffer *buffer, const char *format, ...) CZ_PRINTF(2, 3);
/* Room for `size` more bytes at data + size; the caller adds to ->size what it wrote. NULL when
 * there is none. */
char *cz_buffer_reserve(struct cz_buffer *buffer, size_t size);
void cz_buffer_clear(struct cz_buffer *buffer); /* keeps the memory */
void cz_buffer_free(struct cz_buffer *buffer);  /* leaves an empty, usable buffer */
/* A copy of the text for free(), and the buffer is emptied; NULL when it failed or without memory. */
char *cz_buffer_take(struct cz_buffer *buffer);
/* The text as a C string: "" while empty. */
const char *cz_buffer_text(const struct cz_buffer *buffer);
struct cz_slice cz_buffer_slice(const struct cz_buffer *buffer);
/* CLOZE_OK, or the error that a failed buffer stands for. */
cloze_status cz_buffer_status(const struct cz_buffer *buffer, const char *what,
                              struct cloze_error *error);

#endif
