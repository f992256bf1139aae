/*
 * utf8.h - UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, at most U+10FFFF.
 */
#ifndef CZ_BASE_UTF8_H
#define CZ_BASE_UTF8_H

#include "base/slice.h"

/* Size in bytes (1..4) of the character at `data`, its code point in *code; 0 when the bytes are
 * not valid or not complete within `size`. */
size_t cz_utf8_decode(const char *data, size_t size, uint32_t *code);

/* Writes 1..4 bytes and returns how many. Surrogates are written in the generalised 3-byte form;
 * code points beyond U+10FFFF return 0. */
size_t cz_utf8_encode(uint32_t code, char out[4]);

/* The number of leading bytes that are valid; equal to size when all is. */
size_t cz_utf8_valid(struct cz_slice text);

/* The number of leading bytes of `text` that hold only complete characters: what may be shown of a
 * stream so far. Bytes that can never become valid count as complete. */
size_t cz_utf8_complete(struct cz_slice text);

#endif
