/* gguf.c - parsing GGUF: one pass over the header, every count checked before it is trusted. */
#include "model/gguf.h"

#include "base/size.h"

#include <stdio.h>

/* Reads little-endian fields; the first failure is kept in `status` and everything after it reads
 * as zero, so that a run of fields needs one check. */
struct reader {
    struct cz_slice bytes;
    size_t at;
    const char *name;
    cloze_status status;
    struct cloze_error *error;
};

static const uint8_t type_sizes[CZ_GGUF_TYPES] = {
    [CZ_GGUF_U8] = 1,  [CZ_GGUF_I8] = 1,  [CZ_GGUF_U16] = 2, [CZ_GGUF_I16] = 2,
    [CZ_GGUF_U32] = 4, [CZ_GGUF_I32] = 4, [CZ_GGUF_F32] = 4, [CZ_GGUF_BOOL] = 1,
    [CZ_GGUF_U64] = 8, [CZ_GGUF_I64] = 8, [CZ_GGUF_F64] = 8,
};

/* ggml's type ids; the ones that Cloze reads have a dtype, the others only a name to refuse. */
static const struct {
    const char *name;
    int dtype;
} ggml_types[] = {
    [0] = {"F32", CZ_F32},        [1] = {"F16", CZ_F16},    [2] = {"Q4_0", CZ_Q4_0},
    [3] = {"Q4_1", CZ_Q4_1},      [6] = {"Q5_0", CZ_Q5_0},  [7] = {"Q5_1", CZ_Q5_1},
    [8] = {"Q8_0", CZ_Q8_0},      [9] = {"Q8_1", -1},       [10] = {"Q2_K", CZ_Q2_K},
    [11] = {"Q3_K", CZ_Q3_K},     [12] = {"Q4_K", CZ_Q4_K}, [13] = {"Q5_K", CZ_Q5_K},
    [14] = {"Q6_K", CZ_Q6_K},     [15] = {"Q8_K", -1},      [16] = {"IQ2_XXS", -1},
    [17] = {"IQ2_XS", -1},        [18] = {"IQ3_XXS", -1},   [19] = {"IQ1_S", -1},
    [20] = {"IQ4_NL", CZ_IQ4_NL}, [21] = {"IQ3_S", -1},     [22] = {"IQ2_S", -1},
    [23] = {"IQ4_XS", CZ_IQ4_XS}, [24] = {"I8", -1},        [25] = {"I16", -1},
    [26] = {"I32", -1},           [27] = {"I64", -1},       [28] = {"F64", -1},
    [29] = {"IQ1_M", -1},         [30] = {"BF16", CZ_BF16}, [34] = {"TQ1_0", -1},
    [35] = {"TQ2_0", -1},         [39] = {"MXFP4", -1},     [40] = {"NVFP4", -1},
    [41] = {"Q1_0", -1},          [42] = {"Q2_0", -1},
};

static cloze_status fail_at(struct reader *reader, cloze_status code, size_t offset,
                            const char *message)
{
    char where[256];
    snprintf(where, sizeof where, "%.200s:%zu", reader->name, offset);
    if (!reader->status)
        reader->status = cz_fail(reader->error, code, where, "%s", message);
    return reader->status;
}

static const char *take(struct reader *reader, uint64_t size)
{
    if (reader->status)
        return NULL;
    if (size > reader->bytes.size - reader->at) {
        fail_at(reader, CLOZE_CORRUPT, reader->at, "the file ends inside its header: truncated?");
        return NULL;
    }
    const char *data = reader->bytes.data + reader->at;
    reader->at += (size_t)size;
    return data;
}

static uint64_t read_uint(struct reader *reader, unsigned size)
{
    uint64_t value = 0;
    const char *data = take(reader, size);
    if (data)
        memcpy(&value, data, size);
    return value;
}

static struct cz_slice read_string(struct reader *reader, uint64_t maximum, const char *too_long)
{
    size_t start = reader->at;
    uint64_t size = read_uint(reader, 8);
    if (!reader->status && size > maximum)
        fail_at(reader, CLOZE_LIMIT, start, too_long);
    const char *data = take(reader, size);
    return (struct cz_slice){data, data ? (size_t)size : 0};
}

/* ---- Pairs ---- */

static enum cz_gguf_type read_type(struct reader *reader)
{
    size_t start = reader->at;
    uint64_t type = read_uint(reader, 4);
    if (type < CZ_GGUF_TYPES)
        return (enum cz_gguf_type)type;
    fail_at(reader, CLOZE_CORRUPT, start, "unknown value type (0 to 12 are defined)");
    return CZ_GGUF_U8;
}

static void skip_strings(struct reader *reader, uint64_t count)
{
    for (uint64_t i = 0; i < count && !reader->status; i++)
        read_string(reader, CZ_GGUF_LARGEST_STRING, "a string is longer than 2^30 bytes");
}

static void check_bools(struct reader *reader, const char *bytes, uint64_t count)
{
    for (uint64_t i = 0; bytes && i < count; i++) {
        if ((unsigned char)bytes[i] > 1)
            fail_at(reader, CLOZE_CORRUPT, (size_t)(bytes + i - reader->bytes.data),
                    "a boolean is neither 0 nor 1");
    }
}

static void read_elements(struct reader *reader, struct cz_gguf_value *value)
{
    size_t start = reader->at;
    if (value->element == CZ_GGUF_STRING)
        skip_strings(reader, value->count);
    else
        take(reader, value->count * type_sizes[value->element]); /* count <= 2^30 */
    value->bytes = cz_slice_of(reader->bytes.data + start, reader->at - start);
    if (value->element == CZ_GGUF_BOOL && !reader->status)
        check_bools(reader, value->bytes.data, value->count);
}

static void read_pair(struct reader *reader, struct cz_gguf_value *value)
{
    size_t start = reader->at;
    value->key = read_string(reader, CZ_GGUF_LARGEST_KEY, "a key is longer than 65,535 bytes");
    if (!reader->status && value->key.size == 0)
        fail_at(reader, CLOZE_CORRUPT, start, "a key is empty");
    value->type = value->element = read_type(reader);
    value->count = 1;
    if (value->type == CZ_GGUF_ARRAY) {
        value->element = read_type(reader);
        start = reader->at;
        value->count = read_uint(reader, 8);
        if (!reader->status && value->element == CZ_GGUF_ARRAY)
            fail_at(reader, CLOZE_UNSUPPORTED, start, "an array of arrays isn't supported");
        if (!reader->status && value->count > CZ_GGUF_LARGEST_STRING)
            fail_at(reader, CLOZE_LIMIT, start, "an array has more than 2^30 elements");
    }
    if (!reader->status)
        read_elements(reader, value);
}

static cloze_status read_pairs(struct reader *reader, struct cz_gguf *gguf)
{
    for (size_t i = 0; i < gguf->value_count; i++) {
        size_t start = reader->at;
        read_pair(reader, &gguf->values[i]);
        if (reader->status)
            return reader->status;
        int added = cz_map_add(&gguf->value_index, gguf->values[i].key, i, NULL);
        if (added < 0)
            return cz_fail_memory(reader->error, reader->name);
        if (added == 0)
            return fail_at(reader, CLOZE_CORRUPT, start, "a key occurs twice");
    }
    return CLOZE_OK;
}

/* ---- Tensors ---- */

static cloze_status fail_type(struct reader *reader, size_t offset, struct cz_slice name,
                              uint64_t type)
{
    char message[512];
    const char *known =
        type < sizeof ggml_types / sizeof *ggml_types ? ggml_types[type].name : NULL;
    char number[32];
    snprintf(number, sizeof number, "number %llu", (unsigned long long)type);
    snprintf(message, sizeof message,
             "tensor " CZ_SLICE_FORMAT " has type %s, which Cloze doesn't read (it reads F32 F16 "
             "BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K to Q6_K IQ4_NL IQ4_XS)",
             CZ_SLICE_ARG(name), known ? known : number);
    return fail_at(reader, CLOZE_UNSUPPORTED, offset, message);
}

static cloze_status read_shape(struct reader *reader, struct cz_gguf_tensor *tensor)
{
    size_t start = reader->at;
    uint64_t rank = read_uint(reader, 4);
    if (!reader->status && rank > 4)
        return fail_at(reader, CLOZE_CORRUPT, start, "a tensor has more than 4 dimensions");
    tensor->rank = (unsigned)rank;
    for (unsigned i = 0; i < 4; i++)
        tensor->dims[i] = i < rank ? read_uint(reader, 8) : 1;
    uint64_t elements = 1;
    for (unsigned i = 0; i < 4; i++) {
        if (__builtin_mul_overflow(elements, tensor->dims[i], &elements) || elements > INT64_MAX)
            return fail_at(reader, CLOZE_CORRUPT, start, "a tensor's size overflows 63 bits");
    }
    return reader->status;
}

/* Type and size; `offset` is from the start of the data. */
static cloze_status read_tensor(struct reader *reader, struct cz_gguf_tensor *tensor,
                                uint64_t *offset)
{
    size_t start = reader->at;
    tensor->name =
        read_string(reader, CZ_GGUF_LARGEST_NAME, "a tensor's name is longer than 63 bytes");
    if (read_shape(reader, tensor))
        return reader->status;
    uint64_t type = read_uint(reader, 4);
    *offset = read_uint(reader, 8);
    if (reader->status)
        return reader->status;
    if (type >= sizeof ggml_types / sizeof *ggml_types || !ggml_types[type].name ||
        ggml_types[type].dtype < 0)
        return fail_type(reader, start, tensor->name, type);
    tensor->dtype = (enum cz_dtype)ggml_types[type].dtype;
    uint64_t elements = tensor->dims[0] * tensor->dims[1] * tensor->dims[2] * tensor->dims[3];
    if (tensor->dims[0] % cz_dtype_info(tensor->dtype)->block_elements ||
        !cz_dtype_bytes(tensor->dtype, elements, &tensor->size))
        return fail_at(reader, CLOZE_CORRUPT, start,
                       "a tensor's row is no multiple of its type's block");
    return CLOZE_OK;
}

static cloze_status read_tensors(struct reader *reader, struct cz_gguf *gguf, uint64_t *offsets,
                                 struct cz_map *names)
{
    for (size_t i = 0; i < gguf->tensor_count; i++) {
        size_t start = reader->at;
        if (read_tensor(reader, &gguf->tensors[i], &offsets[i]))
            return reader->status;
        int added = cz_map_add(names, gguf->tensors[i].name, i, NULL);
        if (added < 0)
            return cz_fail_memory(reader->error, reader->name);
        if (added == 0)
            return fail_at(reader, CLOZE_CORRUPT, start, "a tensor's name occurs twice");
    }
    return CLOZE_OK;
}

static cloze_status read_alignment(struct reader *reader, const struct cz_gguf *gguf,
                                   uint32_t *alignment)
{
    *alignment = 32;
    reader->status = cz_gguf_get_u32(gguf, "general.alignment", alignment, reader->error);
    if (!reader->status && (*alignment == 0 || (*alignment & (*alignment - 1))))
        fail_at(reader, CLOZE_CORRUPT, reader->at, "general.alignment is no power of two");
    return reader->status;
}

/* Tensors lie one behind the other, in the table's order, each padded to the alignment. */
static cloze_status place_tensors(struct reader *reader, struct cz_gguf *gguf,
                                  const uint64_t *offsets)
{
    uint32_t alignment;
    if (read_alignment(reader, gguf, &alignment))
        return reader->status;
    if (gguf->tensor_count == 0)
        return CLOZE_OK;
    size_t start = cz_size_align(reader->at, alignment);
    size_t left = start <= reader->bytes.size ? reader->bytes.size - start : 0;
    size_t expected = 0;
    for (size_t i = 0; i < gguf->tensor_count; i++) {
        struct cz_gguf_tensor *tensor = &gguf->tensors[i];
        char message[256];
        const char *wrong = NULL;
        if (offsets[i] != expected)
            wrong = "doesn't begin where the one before it ends";
        else if (expected > left || tensor->size > left - expected)
            wrong = "reaches beyond the end of the file: truncated?";
        if (wrong) {
            snprintf(message, sizeof message, "tensor " CZ_SLICE_FORMAT " %s",
                     CZ_SLICE_ARG(tensor->name), wrong);
            return fail_at(reader, CLOZE_CORRUPT, start + cz_size_min(expected, left), message);
        }
        tensor->data = reader->bytes.data + start + expected;
        expected = cz_size_align(expected + tensor->size, alignment);
    }
    return CLOZE_OK;
}

/* ---- The file ---- */

static cloze_status read_version(struct reader *reader, struct cz_gguf *gguf)
{
    if (reader->bytes.size < 4 || memcmp(reader->bytes.data, "GGUF", 4) != 0)
        return fail_at(reader, CLOZE_INVALID, 0, "is not a GGUF file: it doesn't begin with GGUF");
    reader->at = 4;
    gguf->version = (uint32_t)read_uint(reader, 4);
    if (!reader->status && (gguf->version & 0xFFFF) == 0)
        return fail_at(reader, CLOZE_UNSUPPORTED, 4, "big-endian GGUF files aren't supported");
    if (!reader->status && gguf->version != 2 && gguf->version != 3)
        return fail_at(reader, CLOZE_UNSUPPORTED, 4, "only GGUF versions 2 and 3 are supported");
    return reader->status;
}

/* The least a pair can take is a key of one byte, a type and a value: 14 bytes; a tensor info 24.
 */
static cloze_status read_counts(struct reader *reader, struct cz_gguf *gguf, struct cz_arena *arena,
                                uint64_t **offsets)
{
    uint64_t tensors = read_uint(reader, 8), pairs = read_uint(reader, 8);
    if (reader->status)
        return reader->status;
    size_t left = reader->bytes.size - reader->at;
    if (tensors > left / 24 || pairs > left / 14)
        return fail_at(reader, CLOZE_CORRUPT, 8,
                       "the counts of tensors and pairs exceed what the file can hold: truncated?");
    if (tensors > CZ_GGUF_MOST_TENSORS || pairs > CZ_GGUF_MOST_PAIRS)
        return fail_at(reader, CLOZE_LIMIT, 8, "more than 2^20 tensors or 2^16 pairs");
    gguf->tensor_count = (size_t)tensors;
    gguf->value_count = (size_t)pairs;
    gguf->values = CZ_ARENA_ARRAY(arena, struct cz_gguf_value, gguf->value_count + 1);
    gguf->tensors = CZ_ARENA_ARRAY(arena, struct cz_gguf_tensor, gguf->tensor_count + 1);
    *offsets = CZ_ARENA_ARRAY(arena, uint64_t, gguf->tensor_count + 1);
    if (!gguf->values || !gguf->tensors || !*offsets)
        return cz_fail_memory(reader->error, reader->name);
    return CLOZE_OK;
}

cloze_status cz_gguf_parse(struct cz_slice bytes, const char *name, struct cz_arena *arena,
                           struct cz_gguf *out, struct cloze_error *error)
{
    struct reader reader = {.bytes = bytes, .name = name, .error = error};
    struct cz_map names = {0};
    uint64_t *offsets;
    *out = (struct cz_gguf){.name = name, .bytes = bytes};
    cloze_status status = read_version(&reader, out);
    if (!status)
        status = read_counts(&reader, out, arena, &offsets);
    if (!status)
        status = read_pairs(&reader, out);
    if (!status)
        status = read_tensors(&reader, out, offsets, &names);
    if (!status)
        status = place_tensors(&reader, out, offsets);
    cz_map_free(&names);
    if (status)
        cz_gguf_free(out);
    return status;
}

void cz_gguf_free(struct cz_gguf *gguf)
{
    cz_map_free(&gguf->value_index);
}

/* ---- Access ---- */

const struct cz_gguf_value *cz_gguf_find(const struct cz_gguf *gguf, const char *key)
{
    uint64_t index;
    return cz_map_get(&gguf->value_index, cz_slice(key), &index) ? &gguf->values[index] : NULL;
}

static bool is_integer(enum cz_gguf_type type)
{
    return type != CZ_GGUF_F32 && type != CZ_GGUF_F64 && type != CZ_GGUF_BOOL &&
           type != CZ_GGUF_STRING && type != CZ_GGUF_ARRAY;
}

static bool is_float(enum cz_gguf_type type)
{
    return type == CZ_GGUF_F32 || type == CZ_GGUF_F64;
}

int64_t cz_gguf_int_at(const struct cz_gguf_value *value, uint64_t index)
{
    unsigned size = type_sizes[value->element];
    uint64_t bits = 0;
    memcpy(&bits, value->bytes.data + index * size, size);
    switch (value->element) {
    case CZ_GGUF_I8:
        return (int8_t)bits;
    case CZ_GGUF_I16:
        return (int16_t)bits;
    case CZ_GGUF_I32:
        return (int32_t)bits;
    case CZ_GGUF_U64:
        return bits > INT64_MAX ? INT64_MAX : (int64_t)bits;
    default:
        return (int64_t)bits;
    }
}

double cz_gguf_double_at(const struct cz_gguf_value *value, uint64_t index)
{
    float single;
    double wide;
    if (value->element == CZ_GGUF_F32) {
        memcpy(&single, value->bytes.data + index * sizeof single, sizeof single);
        return (double)single;
    }
    if (value->element != CZ_GGUF_F64)
        return (double)cz_gguf_int_at(value, index);
    memcpy(&wide, value->bytes.data + index * sizeof wide, sizeof wide);
    return wide;
}

bool cz_gguf_next_string(const struct cz_gguf_value *value, size_t *cursor, struct cz_slice *out)
{
    if (*cursor >= value->bytes.size)
        return false;
    uint64_t size;
    memcpy(&size, value->bytes.data + *cursor, sizeof size);
    *out = cz_slice_of(value->bytes.data + *cursor + sizeof size, (size_t)size);
    *cursor += sizeof size + (size_t)size;
    return true;
}

static cloze_status fail_key(const struct cz_gguf *gguf, const char *key, const char *expected,
                             struct cloze_error *error)
{
    return cz_fail(error, CLOZE_CORRUPT, gguf->name, "the value of key %s is not %s", key,
                   expected);
}

cloze_status cz_gguf_get_u32(const struct cz_gguf *gguf, const char *key, uint32_t *out,
                             struct cloze_error *error)
{
    const struct cz_gguf_value *value = cz_gguf_find(gguf, key);
    if (!value)
        return CLOZE_OK;
    int64_t number = is_integer(value->type) ? cz_gguf_int_at(value, 0) : -1;
    if (number < 0 || number > UINT32_MAX)
        return fail_key(gguf, key, "an integer from 0 to 2^32 - 1", error);
    *out = (uint32_t)number;
    return CLOZE_OK;
}

cloze_status cz_gguf_get_double(const struct cz_gguf *gguf, const char *key, double *out,
                                struct cloze_error *error)
{
    const struct cz_gguf_value *value = cz_gguf_find(gguf, key);
    if (!value)
        return CLOZE_OK;
    if (!is_float(value->type) && !is_integer(value->type))
        return fail_key(gguf, key, "a number", error);
    double number = cz_gguf_double_at(value, 0);
    if (!__builtin_isfinite(number))
        return fail_key(gguf, key, "a finite number", error);
    *out = number;
    return CLOZE_OK;
}

cloze_status cz_gguf_get_bool(const struct cz_gguf *gguf, const char *key, bool *out,
                              struct cloze_error *error)
{
    const struct cz_gguf_value *value = cz_gguf_find(gguf, key);
    if (!value)
        return CLOZE_OK;
    if (value->type != CZ_GGUF_BOOL)
        return fail_key(gguf, key, "a boolean", error);
    *out = value->bytes.data[0] != 0;
    return CLOZE_OK;
}

cloze_status cz_gguf_get_string(const struct cz_gguf *gguf, const char *key, struct cz_slice *out,
                                struct cloze_error *error)
{
    const struct cz_gguf_value *value = cz_gguf_find(gguf, key);
    if (!value)
        return CLOZE_OK;
    size_t cursor = 0;
    if (value->type != CZ_GGUF_STRING || !cz_gguf_next_string(value, &cursor, out))
        return fail_key(gguf, key, "a string", error);
    return CLOZE_OK;
}

cloze_status cz_gguf_get_array(const struct cz_gguf *gguf, const char *key,
                               enum cz_gguf_type element, const struct cz_gguf_value **out,
                               struct cloze_error *error)
{
    const struct cz_gguf_value *value = *out = cz_gguf_find(gguf, key);
    if (!value)
        return CLOZE_OK;
    bool fits = element == CZ_GGUF_I64   ? is_integer(value->element)
                : element == CZ_GGUF_F64 ? is_float(value->element)
                                         : value->element == element;
    if (value->type != CZ_GGUF_ARRAY || !fits)
        return fail_key(gguf, key,
                        element == CZ_GGUF_STRING ? "an array of strings" : "an array of numbers",
                        error);
    return CLOZE_OK;
}
