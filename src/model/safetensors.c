/* safetensors.c - the header of a safetensors file and the checks that the format asks for. */
#include "model/safetensors.h"

#include "base/size.h"
#include "json/json.h"

#include <stdio.h>
#include <stdlib.h>

/* A tensor with the offsets that its data must have. */
struct entry {
    struct cz_tensor tensor;
    uint64_t begin, end;
};

struct parser {
    struct cz_slice data;
    const char *name;
    struct cz_arena *arena;
    struct cloze_error *error;
};

static cloze_status fail_tensor(const struct parser *parser, cloze_status code,
                                struct cz_slice tensor, const char *message)
{
    return cz_fail(parser->error, code, parser->name, "tensor " CZ_SLICE_FORMAT ": %s",
                   CZ_SLICE_ARG(tensor), message);
}

static cloze_status read_dtype(const struct parser *parser, struct cz_slice name,
                               const struct cz_json *value, enum cz_dtype *out)
{
    struct cz_slice text;
    if (!cz_json_string(value, &text))
        return fail_tensor(parser, CLOZE_CORRUPT, name, "dtype is missing or no string");
    if (cz_slice_is(text, "F32"))
        *out = CZ_F32;
    else if (cz_slice_is(text, "F16"))
        *out = CZ_F16;
    else if (cz_slice_is(text, "BF16"))
        *out = CZ_BF16;
    else
        return cz_fail(parser->error, CLOZE_UNSUPPORTED, parser->name,
                       "tensor " CZ_SLICE_FORMAT " has dtype " CZ_SLICE_FORMAT
                       ", which Cloze doesn't read (it reads F32, F16 and BF16)",
                       CZ_SLICE_ARG(name), CZ_SLICE_ARG(text));
    return CLOZE_OK;
}

static bool read_size(const struct cz_json *value, uint64_t *out)
{
    int64_t number;
    if (!cz_json_int64(value, &number) || number < 0)
        return false;
    *out = (uint64_t)number;
    return true;
}

static cloze_status read_shape(const struct parser *parser, struct cz_slice name,
                               const struct cz_json *value, struct cz_tensor *tensor)
{
    if (!cz_json_is(value, CZ_JSON_ARRAY) || value->count > CZ_SAFETENSORS_MOST_DIMENSIONS)
        return fail_tensor(parser, CLOZE_CORRUPT, name,
                           "shape is missing, no array, or has more than 8 dimensions");
    uint64_t last = 1, others = 1, total = 1, size = 0;
    CZ_JSON_EACH(item, value)
    {
        if (!read_size(item, &size))
            return fail_tensor(parser, CLOZE_CORRUPT, name, "a dimension is no integer >= 0");
        /* with a zero dimension the product stays 0, whatever follows */
        if (__builtin_mul_overflow(total, size, &total) || total > INT64_MAX / 8)
            return fail_tensor(parser, CLOZE_CORRUPT, name, "the shape overflows 60 bits");
        if (__builtin_mul_overflow(others, last, &others))
            return fail_tensor(parser, CLOZE_CORRUPT, name, "the shape overflows 64 bits");
        last = size;
    }
    tensor->rank = value->count;
    tensor->shape[0] = tensor->rank == 1 ? last : others;
    tensor->shape[1] = tensor->rank == 1 ? 1 : last;
    return CLOZE_OK;
}

static cloze_status read_offsets(const struct parser *parser, struct cz_slice name,
                                 const struct cz_json *value, struct entry *entry)
{
    size_t bytes;
    if (!cz_json_is(value, CZ_JSON_ARRAY) || value->count != 2 ||
        !read_size(value->first, &entry->begin) || !read_size(value->first->next, &entry->end))
        return fail_tensor(parser, CLOZE_CORRUPT, name,
                           "data_offsets is missing or no pair of integers");
    if (entry->end < entry->begin || entry->end > parser->data.size)
        return fail_tensor(parser, CLOZE_CORRUPT, name,
                           "its data reaches beyond the end of the file: truncated?");
    if (!cz_dtype_bytes(entry->tensor.dtype, entry->tensor.shape[0] * entry->tensor.shape[1],
                        &bytes) ||
        bytes != entry->end - entry->begin)
        return fail_tensor(parser, CLOZE_CORRUPT, name, "shape and data_offsets contradict");
    entry->tensor.data = parser->data.data + entry->begin;
    entry->tensor.size = bytes;
    return CLOZE_OK;
}

static cloze_status read_entry(const struct parser *parser, const struct cz_json *member,
                               struct entry *entry)
{
    struct cz_slice name = cz_json_key(member);
    if (!cz_json_is(member, CZ_JSON_OBJECT))
        return fail_tensor(parser, CLOZE_CORRUPT, name, "is not described by an object");
    if (memchr(name.data, 0, name.size))
        return fail_tensor(parser, CLOZE_CORRUPT, name, "its name holds a NUL");
    cloze_status status =
        read_dtype(parser, name, cz_json_get(member, "dtype"), &entry->tensor.dtype);
    if (!status)
        status = read_shape(parser, name, cz_json_get(member, "shape"), &entry->tensor);
    if (!status)
        status = read_offsets(parser, name, cz_json_get(member, "data_offsets"), entry);
    if (status)
        return status;
    entry->tensor.name = cz_arena_text(parser->arena, name);
    return entry->tensor.name ? CLOZE_OK : cz_fail_memory(parser->error, parser->name);
}

static cloze_status check_metadata(const struct parser *parser, const struct cz_json *metadata)
{
    if (!cz_json_is(metadata, CZ_JSON_OBJECT))
        return cz_fail(parser->error, CLOZE_CORRUPT, parser->name, "__metadata__ is no object");
    CZ_JSON_EACH(item, metadata)
    {
        if (!cz_json_is(item, CZ_JSON_STRING))
            return cz_fail(parser->error, CLOZE_CORRUPT, parser->name,
                           "__metadata__ holds something other than strings");
    }
    return CLOZE_OK;
}

static int by_offset(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    return a->end < b->end ? -1 : a->end > b->end;
}

/* Sorted by offset, each tensor begins where the one before ends, and the last ends the file. */
static cloze_status check_cover(const struct parser *parser, const struct entry *entries,
                                size_t count)
{
    uint64_t expected = 0;
    for (size_t i = 0; i < count; i++) {
        if (entries[i].begin != expected)
            return fail_tensor(parser, CLOZE_CORRUPT, cz_slice(entries[i].tensor.name),
                               "its data doesn't begin where the tensor before it ends");
        expected = entries[i].end;
    }
    if (expected != parser->data.size)
        return cz_fail(parser->error, CLOZE_CORRUPT, parser->name,
                       "%zu bytes after the last tensor belong to none",
                       (size_t)(parser->data.size - expected));
    return CLOZE_OK;
}

static cloze_status read_entries(const struct parser *parser, const struct cz_json *root,
                                 struct entry *entries, size_t *count)
{
    CZ_JSON_EACH(member, root)
    {
        cloze_status status = cz_slice_is(cz_json_key(member), "__metadata__")
                                  ? check_metadata(parser, member)
                                  : read_entry(parser, member, &entries[(*count)++]);
        if (status)
            return status;
    }
    if (*count)
        qsort(entries, *count, sizeof *entries, by_offset);
    return check_cover(parser, entries, *count);
}

static cloze_status read_header(const struct parser *parser, const struct cz_json *root,
                                struct cz_safetensors *out)
{
    if (!cz_json_is(root, CZ_JSON_OBJECT))
        return cz_fail(parser->error, CLOZE_CORRUPT, parser->name, "the header is no JSON object");
    if (root->count > CZ_SAFETENSORS_MOST_TENSORS)
        return cz_fail(parser->error, CLOZE_LIMIT, parser->name, "more than 2^20 tensors");
    struct entry *entries = calloc(root->count + 1, sizeof *entries);
    out->tensors = CZ_ARENA_ARRAY(parser->arena, struct cz_tensor, root->count + 1);
    cloze_status status =
        entries && out->tensors ? CLOZE_OK : cz_fail_memory(parser->error, parser->name);
    if (!status)
        status = read_entries(parser, root, entries, &out->count);
    for (size_t i = 0; !status && i < out->count; i++)
        out->tensors[i] = entries[i].tensor;
    free(entries);
    return status;
}

cloze_status cz_safetensors_parse(struct cz_slice bytes, const char *name, struct cz_arena *arena,
                                  struct cz_safetensors *out, struct cloze_error *error)
{
    *out = (struct cz_safetensors){0};
    uint64_t size;
    if (bytes.size < 8)
        return cz_fail(error, CLOZE_CORRUPT, name, "is too short for a safetensors file");
    memcpy(&size, bytes.data, 8);
    if (size > CZ_SAFETENSORS_LARGEST_HEADER)
        return cz_fail(error, CLOZE_INVALID, name,
                       "is not a safetensors file: its header would have more than 100 MB");
    if (size > bytes.size - 8)
        return cz_fail(error, CLOZE_CORRUPT, name, "the file ends inside its header: truncated?");
    if (size == 0 || bytes.data[8] != '{')
        return cz_fail(error, CLOZE_CORRUPT, name, "the header doesn't begin with {");
    struct cz_arena json_arena = {0};
    struct cz_json *root;
    struct parser parser = {.data = cz_slice_of(bytes.data + 8 + size, bytes.size - 8 - size),
                            .name = name,
                            .arena = arena,
                            .error = error};
    struct cz_json_options options = {.maximum_depth = 8};
    cloze_status status = cz_json_parse(&json_arena, cz_slice_of(bytes.data + 8, (size_t)size),
                                        &options, &root, error);
    if (status)
        cz_error_at(error, name);
    else
        status = read_header(&parser, root, out);
    cz_arena_free(&json_arena);
    return status;
}
