/*
 * gguf.h - one GGUF file (version 2 or 3, little-endian): its key-value pairs and tensor table.
 *
 * Layout: "GGUF" | u32 version | i64 tensor count | i64 pair count | pairs | tensor infos | padding
 * | tensor data, each tensor padded to general.alignment. Everything is checked while parsing:
 * counts against the bytes left, types, duplicate names, offsets, sizes. Nothing is copied: keys,
 * values and tensors point into the file's bytes, which the caller keeps.
 *
 * A parsed file is immutable and may be read by any number of threads.
 */
#ifndef CZ_MODEL_GGUF_H
#define CZ_MODEL_GGUF_H

#include "base/arena.h"
#include "base/map.h"
#include "model/dtype.h"

enum {
    CZ_GGUF_LARGEST_KEY = 65535,      /* bytes */
    CZ_GGUF_LARGEST_NAME = 63,        /* bytes of a tensor's name, as in ggml */
    CZ_GGUF_LARGEST_STRING = 1 << 30, /* bytes; also the most elements of an array */
    CZ_GGUF_MOST_TENSORS = 1 << 20,
    CZ_GGUF_MOST_PAIRS = 1 << 16
};

enum cz_gguf_type {
    CZ_GGUF_U8,
    CZ_GGUF_I8,
    CZ_GGUF_U16,
    CZ_GGUF_I16,
    CZ_GGUF_U32,
    CZ_GGUF_I32,
    CZ_GGUF_F32,
    CZ_GGUF_BOOL,
    CZ_GGUF_STRING,
    CZ_GGUF_ARRAY,
    CZ_GGUF_U64,
    CZ_GGUF_I64,
    CZ_GGUF_F64,
    CZ_GGUF_TYPES
};

/* One pair. For an array, `element` is the type of its elements and `count` their number; for a
 * scalar `element` equals `type` and count is 1. */
struct cz_gguf_value {
    struct cz_slice key;
    enum cz_gguf_type type, element;
    uint64_t count;
    struct cz_slice bytes; /* of the elements, as they lie in the file */
};

struct cz_gguf_tensor {
    struct cz_slice name;
    enum cz_dtype dtype;
    unsigned rank;
    uint64_t dims[4]; /* dims[0] is the fastest axis (columns); 1 beyond the rank */
    const void *data;
    size_t size;
};

struct cz_gguf {
    const char *name; /* for errors */
    struct cz_slice bytes;
    uint32_t version;
    struct cz_gguf_value *values;   /* [value_count] */
    struct cz_gguf_tensor *tensors; /* [tensor_count] */
    size_t value_count, tensor_count;
    struct cz_map value_index; /* key -> index */
};

/* Parses a file's bytes. `name` (kept, not copied) stands in errors; tables come from the arena. On
 * failure nothing is to be freed but the arena; after success cz_gguf_free frees the index. */
cloze_status cz_gguf_parse(struct cz_slice bytes, const char *name, struct cz_arena *arena,
                           struct cz_gguf *out, struct cloze_error *error);
void cz_gguf_free(struct cz_gguf *gguf);

/* NULL when there is no such key. */
const struct cz_gguf_value *cz_gguf_find(const struct cz_gguf *gguf, const char *key);

/* These leave *out unchanged when the key is absent, and fail when its type is another: integers of
 * any width that are in range, floats of either width (or integers), strings, booleans. */
cloze_status cz_gguf_get_u32(const struct cz_gguf *gguf, const char *key, uint32_t *out,
                             struct cloze_error *error);
cloze_status cz_gguf_get_double(const struct cz_gguf *gguf, const char *key, double *out,
                                struct cloze_error *error);
cloze_status cz_gguf_get_bool(const struct cz_gguf *gguf, const char *key, bool *out,
                              struct cloze_error *error);
cloze_status cz_gguf_get_string(const struct cz_gguf *gguf, const char *key, struct cz_slice *out,
                                struct cloze_error *error);
/* *out is NULL when the key is absent; otherwise an array with elements of that kind, where
 * CZ_GGUF_I64 stands for all integer types and CZ_GGUF_F64 for both float types. */
cloze_status cz_gguf_get_array(const struct cz_gguf *gguf, const char *key,
                               enum cz_gguf_type element, const struct cz_gguf_value **out,
                               struct cloze_error *error);

/* Element `index` < count of a scalar or array. Integers: BOOL and integer types; U64 beyond
 * INT64_MAX is INT64_MAX. Doubles: floats and integers. */
int64_t cz_gguf_int_at(const struct cz_gguf_value *value, uint64_t index);
double cz_gguf_double_at(const struct cz_gguf_value *value, uint64_t index);
/* Walks a string array: start with *cursor = 0; false at the end. */
bool cz_gguf_next_string(const struct cz_gguf_value *value, size_t *cursor, struct cz_slice *out);

#endif
