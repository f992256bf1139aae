/*
 * json.h - JSON as RFC 8259 defines it, kept exactly: member order, number text, source offsets.
 *
 * A document is a tree of nodes in an arena. Strings without escapes and all numbers point into the
 * source text, which the caller keeps alive as long as the tree. The parser refuses what is not
 * JSON (trailing commas, comments, NaN, bad UTF-8, unescaped controls), duplicate keys, lone
 * surrogates, and nesting beyond the limit; its error has line, column and JSON Pointer.
 *
 * Trees are immutable after parsing and may be read by any number of threads.
 */
#ifndef CZ_JSON_JSON_H
#define CZ_JSON_JSON_H

#include "base/arena.h"
#include "base/slice.h"

enum cz_json_kind {
    CZ_JSON_NULL,
    CZ_JSON_FALSE,
    CZ_JSON_TRUE,
    CZ_JSON_NUMBER,
    CZ_JSON_STRING,
    CZ_JSON_ARRAY,
    CZ_JSON_OBJECT
};

struct cz_json {
    uint8_t kind;           /* enum cz_json_kind */
    uint32_t count;         /* ARRAY, OBJECT: number of children */
    uint32_t offset;        /* byte offset of the value in the source */
    uint32_t key_size;      /* OBJECT members: size of key */
    const char *key;        /* OBJECT members: decoded key; NULL elsewhere */
    struct cz_json *next;   /* the next sibling, or NULL */
    union {
        struct cz_json *first;   /* ARRAY, OBJECT: first child, or NULL */
        struct cz_slice text;    /* STRING: decoded; NUMBER: as written */
    };
};

struct cz_json_options {
    size_t maximum_size;  /* 0: 256 MiB; never above 4 GiB - 1 */
    unsigned maximum_depth; /* 0: 512 */
    bool allow_duplicate_keys;   /* all are kept, in order; cz_json_get finds the first */
    bool allow_lone_surrogates;  /* kept in the generalised 3-byte UTF-8 form */
};

enum { CZ_JSON_DEFAULT_DEPTH = 512, CZ_JSON_LARGEST_DEPTH = 4096 };

/* Parses one value with nothing but whitespace around it. `options` may be NULL. */
cloze_status cz_json_parse(struct cz_arena *arena, struct cz_slice source,
                           const struct cz_json_options *options, struct cz_json **out,
                           struct cloze_error *error);

/* ---- Access. NULL in gives NULL or false out, so that look-ups can be chained. ---- */

struct cz_json *cz_json_get(const struct cz_json *object, const char *key); /* first match */
struct cz_json *cz_json_get_slice(const struct cz_json *object, struct cz_slice key);
struct cz_json *cz_json_at(const struct cz_json *array, size_t index); /* linear */
struct cz_slice cz_json_key(const struct cz_json *member);

bool cz_json_is(const struct cz_json *value, enum cz_json_kind kind);
/* The kind as a word for messages: "an object", "a string", ... */
const char *cz_json_kind_name(const struct cz_json *value);
bool cz_json_string(const struct cz_json *value, struct cz_slice *out);
bool cz_json_bool(const struct cz_json *value, bool *out);
/* Exact integers only (also "1.0" and "1e2"); false when not an integer or out of range. */
bool cz_json_int64(const struct cz_json *value, int64_t *out);
bool cz_json_double(const struct cz_json *value, double *out); /* nearest double, locale-free */

/* Equality as JSON Schema means it: numbers by mathematical value, objects in any order. */
bool cz_json_equal(const struct cz_json *a, const struct cz_json *b);

#define CZ_JSON_EACH(item, parent) \
    for (struct cz_json *item = (parent)->first; item; item = item->next)

/* ---- JSON Pointer, RFC 6901 ---- */

/* The value that `pointer` ("" or "/a/0/b~1c") names below root, or NULL. */
struct cz_json *cz_json_pointer_find(const struct cz_json *root, struct cz_slice pointer);
/* Appends "/" and the token, escaped. */
void cz_json_pointer_append(struct cz_buffer *pointer, struct cz_slice token);
void cz_json_pointer_append_index(struct cz_buffer *pointer, size_t index);

#endif
