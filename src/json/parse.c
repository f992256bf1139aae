/*
 * parse.c - the JSON parser: recursive descent over the source, with a bounded depth.
 *
 * Each open container is a `struct level` on the C stack; the chain of levels gives the JSON
 * Pointer of an error. Strings are validated while they are scanned, and copied into the arena only
 * when they hold an escape.
 */
#include "base/map.h"
#include "base/utf8.h"
#include "json/json.h"

#include <stdio.h>

enum { DEFAULT_MAXIMUM_SIZE = 256 << 20, SMALL_OBJECT = 8 };

struct level {
    const struct level *outer;
    const struct cz_json *container;
    const struct cz_json *member; /* the child being parsed */
};

struct parser {
    struct cz_arena *arena;
    const char *start;
    const char *at;
    const char *end;
    const struct level *level;
    unsigned depth_left;
    struct cz_json_options options;
    struct cloze_error *error;
};

static cloze_status parse_value(struct parser *parser, struct cz_json *node);

/* ---- Errors ---- */

static void append_pointer(struct cz_buffer *pointer, const struct level *level)
{
    if (!level)
        return;
    append_pointer(pointer, level->outer);
    if (level->member && level->member->key)
        cz_json_pointer_append(pointer, cz_json_key(level->member));
    else
        cz_json_pointer_append_index(pointer, level->container->count);
}

static cloze_status fail_at(struct parser *parser, const char *at, cloze_status code,
                            const char *message)
{
    if (!parser->error)
        return code;
    size_t line = 1, column = 1;
    for (const char *c = parser->start; c < at; c++) {
        bool newline = *c == '\n';
        line += newline;
        column = newline ? 1 : column + (((unsigned char)*c & 0xC0) != 0x80);
    }
    struct cz_buffer pointer = {.maximum = 200};
    append_pointer(&pointer, parser->level);
    char where[sizeof parser->error->where];
    snprintf(where, sizeof where, "line %zu, column %zu%s%s", line, column,
             pointer.size ? ", at " : "", cz_buffer_text(&pointer));
    cz_buffer_free(&pointer);
    return cz_fail(parser->error, code, where, "%s", message);
}

static cloze_status fail(struct parser *parser, const char *message)
{
    return fail_at(parser, parser->at, CLOZE_INVALID, message);
}

static cloze_status fail_no_memory(struct parser *parser)
{
    return fail_at(parser, parser->at, CLOZE_MEMORY, "out of memory for the JSON tree");
}

/* ---- Lexical parts ---- */

static void skip_space(struct parser *parser)
{
    while (parser->at < parser->end && (*parser->at == ' ' || *parser->at == '\n' ||
                                        *parser->at == '\r' || *parser->at == '\t'))
        parser->at++;
}

static bool take(struct parser *parser, char byte)
{
    if (parser->at == parser->end || *parser->at != byte)
        return false;
    parser->at++;
    return true;
}

static bool take_digits(struct parser *parser)
{
    const char *first = parser->at;
    while (parser->at < parser->end && *parser->at >= '0' && *parser->at <= '9')
        parser->at++;
    return parser->at > first;
}

static cloze_status parse_number(struct parser *parser, struct cz_json *node)
{
    const char *first = parser->at;
    take(parser, '-');
    if (!take(parser, '0') && !take_digits(parser))
        return fail(parser, "a number needs a digit here");
    if (parser->at < parser->end && parser->at[-1] == '0' && parser->at - first <= 2 &&
        *parser->at >= '0' && *parser->at <= '9')
        return fail(parser, "a number must not start with a zero that others follow");
    if (take(parser, '.') && !take_digits(parser))
        return fail(parser, "a digit must follow the decimal point");
    if (take(parser, 'e') || take(parser, 'E')) {
        if (!take(parser, '+'))
            take(parser, '-');
        if (!take_digits(parser))
            return fail(parser, "the exponent needs a digit");
    }
    node->kind = CZ_JSON_NUMBER;
    node->text = cz_slice_of(first, (size_t)(parser->at - first));
    return CLOZE_OK;
}

static bool hex4(const char *at, const char *end, uint32_t *out)
{
    if (end - at < 4)
        return false;
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16u;
        if (digit == 16)
            return false;
        value = value << 4 | digit;
    }
    *out = value;
    return true;
}

/* The escape \uXXXX whose digits start at parser->at; joins a surrogate pair. */
static cloze_status take_unicode_escape(struct parser *parser, uint32_t *code)
{
    const char *escape = parser->at - 2;
    if (!hex4(parser->at, parser->end, code))
        return fail_at(parser, escape, CLOZE_INVALID, "\\u needs four hexadecimal digits");
    parser->at += 4;
    if (*code < 0xD800 || *code > 0xDFFF)
        return CLOZE_OK;
    uint32_t low;
    bool paired = *code < 0xDC00 && parser->end - parser->at >= 6 && parser->at[0] == '\\' &&
                  parser->at[1] == 'u' && hex4(parser->at + 2, parser->end, &low) &&
                  low >= 0xDC00 && low <= 0xDFFF;
    if (paired) {
        *code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
        parser->at += 6;
    } else if (!parser->options.allow_lone_surrogates) {
        return fail_at(parser, escape, CLOZE_INVALID, "a surrogate escape without its other half");
    }
    return CLOZE_OK;
}

/* The escape behind the backslash at parser->at - 1; appends its UTF-8 form to *out. */
static cloze_status take_escape(struct parser *parser, char **out)
{
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    char name = parser->at < parser->end ? *parser->at : '\0';
    if (name == 'u') {
        parser->at++;
        uint32_t code;
        cloze_status status = take_unicode_escape(parser, &code);
        if (!status)
            *out += cz_utf8_encode(code, *out);
        return status;
    }
    const char *found = name ? strchr(names, name) : NULL;
    if (!found)
        return fail(parser, "unknown escape; JSON knows \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
    *(*out)++ = values[found - names];
    parser->at++;
    return CLOZE_OK;
}

/* Finds the closing quote; parser->at stays. Reports whether an escape was seen. */
static cloze_status find_string_end(struct parser *parser, const char **end, bool *escaped)
{
    const char *at = parser->at;
    *escaped = false;
    while (at < parser->end && *at != '"') {
        if ((unsigned char)*at < 0x20)
            return fail_at(parser, at, CLOZE_INVALID,
                           "a control character in a string must be escaped");
        if (*at == '\\') {
            *escaped = true;
            at++;
        }
        at++;
    }
    if (at >= parser->end)
        return fail_at(parser, parser->at, CLOZE_INVALID, "the string has no closing quote");
    *end = at;
    size_t size = (size_t)(at - parser->at);
    size_t valid = cz_utf8_valid(cz_slice_of(parser->at, size));
    if (valid < size)
        return fail_at(parser, parser->at + valid, CLOZE_INVALID, "the bytes are not valid UTF-8");
    return CLOZE_OK;
}

/* The string whose opening quote stands before parser->at. */
static cloze_status parse_string(struct parser *parser, struct cz_slice *text)
{
    const char *end;
    bool escaped;
    cloze_status status = find_string_end(parser, &end, &escaped);
    if (status)
        return status;
    size_t size = (size_t)(end - parser->at);
    *text = cz_slice_of(parser->at, size);
    if (escaped) {
        char *copy = cz_arena_alloc(parser->arena, size); /* no escape is shorter than its value */
        if (!copy)
            return fail_no_memory(parser);
        char *out = copy;
        while (!status && parser->at < end) {
            char byte = *parser->at++;
            if (byte == '\\')
                status = take_escape(parser, &out);
            else
                *out++ = byte;
        }
        *text = cz_slice_of(copy, (size_t)(out - copy));
    }
    if (!status)
        parser->at = end + 1;
    return status;
}

/* ---- Containers ---- */

/* Refuses a second member of the same name: linear in small objects, by hash in large ones. */
static cloze_status check_unique(struct parser *parser, const struct cz_json *object,
                                 const struct cz_json *member, struct cz_map *seen)
{
    if (parser->options.allow_duplicate_keys)
        return CLOZE_OK;
    bool twice = false;
    if (object->count <= SMALL_OBJECT) {
        CZ_JSON_EACH(other, object)
            twice |= other != member && cz_slice_equal(cz_json_key(other), cz_json_key(member));
    } else {
        if (seen->count == 0)
            CZ_JSON_EACH(other, object)
                if (other != member && cz_map_add(seen, cz_json_key(other), 0, NULL) < 0)
                    return fail_no_memory(parser);
        int added = cz_map_add(seen, cz_json_key(member), 0, NULL);
        if (added < 0)
            return fail_no_memory(parser);
        twice = added == 0;
    }
    return twice ? fail(parser, "the object has this key twice") : CLOZE_OK;
}

static cloze_status parse_member_key(struct parser *parser, struct cz_json *node)
{
    skip_space(parser);
    if (!take(parser, '"'))
        return fail(parser, "a member starts with a key in double quotes");
    struct cz_slice key;
    cloze_status status = parse_string(parser, &key);
    if (status)
        return status;
    if (key.size > UINT32_MAX)
        return fail(parser, "the key is too long");
    node->key = key.data;
    node->key_size = (uint32_t)key.size;
    skip_space(parser);
    return take(parser, ':') ? CLOZE_OK : fail(parser, "a colon must follow the key");
}

static cloze_status parse_child(struct parser *parser, struct cz_json *parent, struct cz_json **tail,
                                struct level *level, struct cz_map *seen)
{
    struct cz_json *node = CZ_ARENA_NEW(parser->arena, struct cz_json);
    if (!node)
        return fail_no_memory(parser);
    cloze_status status = CLOZE_OK;
    if (parent->kind == CZ_JSON_OBJECT)
        status = parse_member_key(parser, node);
    if (status)
        return status;
    level->member = node;
    if (*tail)
        (*tail)->next = node;
    else
        parent->first = node;
    *tail = node;
    if (parent->kind == CZ_JSON_OBJECT)
        status = check_unique(parser, parent, node, seen);
    if (!status)
        status = parse_value(parser, node);
    parent->count++;
    level->member = NULL;
    return status;
}

static cloze_status parse_children(struct parser *parser, struct cz_json *parent, char close,
                                   struct level *level, struct cz_map *seen)
{
    struct cz_json *tail = NULL;
    skip_space(parser);
    if (take(parser, close))
        return CLOZE_OK;
    for (;;) {
        cloze_status status = parse_child(parser, parent, &tail, level, seen);
        if (status)
            return status;
        skip_space(parser);
        if (take(parser, close))
            return CLOZE_OK;
        if (!take(parser, ','))
            return fail(parser, close == '}' ? "a comma or a closing brace must follow the member"
                                             : "a comma or a closing bracket must follow the item");
        if (parent->count == UINT32_MAX)
            return fail_at(parser, parser->at, CLOZE_LIMIT, "too many items");
    }
}

static cloze_status parse_container(struct parser *parser, struct cz_json *node, bool object)
{
    if (parser->depth_left == 0)
        return fail_at(parser, parser->at - 1, CLOZE_LIMIT, "nested deeper than the limit");
    node->kind = object ? CZ_JSON_OBJECT : CZ_JSON_ARRAY;
    node->first = NULL;
    struct level level = {parser->level, node, NULL};
    struct cz_map seen = {0};
    parser->level = &level;
    parser->depth_left--;
    cloze_status status = parse_children(parser, node, object ? '}' : ']', &level, &seen);
    parser->depth_left++;
    parser->level = level.outer;
    cz_map_free(&seen);
    return status;
}

static cloze_status parse_word(struct parser *parser, struct cz_json *node, const char *word,
                               enum cz_json_kind kind)
{
    if (!cz_slice_starts_with(cz_slice_of(parser->at, (size_t)(parser->end - parser->at)), word))
        return fail(parser, "not a JSON value; the words are true, false and null");
    parser->at += strlen(word);
    node->kind = (uint8_t)kind;
    return CLOZE_OK;
}

static cloze_status parse_value(struct parser *parser, struct cz_json *node)
{
    skip_space(parser);
    if (parser->at == parser->end)
        return fail(parser, "the document ends where a value should stand");
    node->offset = (uint32_t)(parser->at - parser->start);
    switch (*parser->at) {
    case '{':
    case '[':
        return parse_container(parser, node, *parser->at++ == '{');
    case '"':
        parser->at++;
        node->kind = CZ_JSON_STRING;
        return parse_string(parser, &node->text);
    case 't':
        return parse_word(parser, node, "true", CZ_JSON_TRUE);
    case 'f':
        return parse_word(parser, node, "false", CZ_JSON_FALSE);
    case 'n':
        return parse_word(parser, node, "null", CZ_JSON_NULL);
    case '-':
    case '0': case '1': case '2': case '3': case '4':
    case '5': case '6': case '7': case '8': case '9':
        return parse_number(parser, node);
    default:
        return fail(parser, "not a JSON value");
    }
}

static struct cz_json_options effective_options(const struct cz_json_options *options)
{
    struct cz_json_options result = options ? *options : (struct cz_json_options){0};
    if (result.maximum_size == 0)
        result.maximum_size = DEFAULT_MAXIMUM_SIZE;
    if (result.maximum_size > UINT32_MAX)
        result.maximum_size = UINT32_MAX;
    if (result.maximum_depth == 0)
        result.maximum_depth = CZ_JSON_DEFAULT_DEPTH;
    if (result.maximum_depth > CZ_JSON_LARGEST_DEPTH)
        result.maximum_depth = CZ_JSON_LARGEST_DEPTH;
    return result;
}

cloze_status cz_json_parse(struct cz_arena *arena, struct cz_slice source,
                           const struct cz_json_options *options, struct cz_json **out,
                           struct cloze_error *error)
{
    *out = NULL;
    const char *start = source.data ? source.data : "";
    struct parser parser = {.arena = arena, .start = start, .at = start, .end = start + source.size,
                            .options = effective_options(options), .error = error};
    parser.depth_left = parser.options.maximum_depth;
    if (source.size > parser.options.maximum_size)
        return cz_fail(error, CLOZE_LIMIT, "", "the JSON text has %zu bytes; at most %zu are allowed",
                       source.size, parser.options.maximum_size);
    struct cz_json *root = CZ_ARENA_NEW(arena, struct cz_json);
    if (!root)
        return fail_no_memory(&parser);
    cloze_status status = parse_value(&parser, root);
    if (status)
        return status;
    skip_space(&parser);
    if (parser.at != parser.end)
        return fail(&parser, "more text follows the JSON value");
    *out = root;
    return CLOZE_OK;
}
