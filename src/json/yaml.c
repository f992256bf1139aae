/* yaml.c - YAML to and from JSON trees, over libyaml's event parser and emitter. */
#include "json/yaml.h"

#include "base/map.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <yaml.h>

/* What a plain scalar stands for. PLAIN_SPECIAL: dates, base-60 numbers, "=" and "<<", which other
 * readers give a meaning to: strings here, but quoted when written. */
enum plain {
    PLAIN_STRING,
    PLAIN_NULL,
    PLAIN_FALSE,
    PLAIN_TRUE,
    PLAIN_INT,
    PLAIN_FLOAT,
    PLAIN_NOT_FINITE,
    PLAIN_SPECIAL
};

/* ---- Plain scalars ---- */

static bool is_one_of(struct cz_slice text, const char *const *words)
{
    for (; *words; words++) {
        if (cz_slice_is(text, *words))
            return true;
    }
    return false;
}

static const char *const null_words[] = {"", "~", "null", "Null", "NULL", NULL};
static const char *const true_words[] = {"yes",  "Yes", "YES", "true", "True",
                                         "TRUE", "on",  "On",  "ON",   NULL};
static const char *const false_words[] = {"no",    "No",  "NO",  "false", "False",
                                          "FALSE", "off", "Off", "OFF",   NULL};
static const char *const not_finite_words[] = {".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
                                               "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
                                               ".NaN",  ".NAN",  NULL};

/* Skips characters of `set` from *at on; returns how many. */
static size_t skip(struct cz_slice text, size_t *at, const char *set)
{
    size_t start = *at;
    while (*at < text.size && text.data[*at] && strchr(set, text.data[*at]))
        (*at)++;
    return *at - start;
}

static bool is_integer(struct cz_slice text)
{
    size_t at = 0;
    if (text.size && strchr("+-", text.data[0]))
        at = 1;
    if (at == text.size)
        return false;
    if (text.data[at] != '0')
        return text.data[at] != '_' && skip(text, &at, "0123456789_") && at == text.size;
    if (++at == text.size)
        return true;
    const char *digits = text.data[at] == 'x'   ? "0123456789abcdefABCDEF_"
                         : text.data[at] == 'b' ? "01_"
                                                : "01234567_";
    if (text.data[at] == 'x' || text.data[at] == 'b')
        at++;
    return skip(text, &at, digits) && at == text.size;
}

/* Digits with a point, or with an exponent, or both; not just an integer. */
static bool is_float(struct cz_slice text)
{
    size_t at = 0;
    if (text.size && strchr("+-", text.data[0]))
        at = 1;
    bool underscore_first = at < text.size && text.data[at] == '_';
    size_t whole = skip(text, &at, "0123456789_");
    size_t point = 0, fraction = 0, exponent = 0;
    if (at < text.size && text.data[at] == '.') {
        point = 1;
        at++;
        fraction = skip(text, &at, "0123456789_");
    }
    if (underscore_first || (!whole && !fraction))
        return false;
    if (at < text.size && (text.data[at] == 'e' || text.data[at] == 'E')) {
        at++;
        if (at < text.size && strchr("+-", text.data[at]))
            at++;
        exponent = skip(text, &at, "0123456789");
        if (!exponent)
            return false;
    }
    return at == text.size && (point || exponent);
}

/* 2024-04-25, 2024-04-25T06:52:39.3+00:00, 190:20:30: only digits and separators, starting with a
 * digit or sign, with a date's dashes or a colon inside. More than YAML 1.1 resolves is caught:
 * quoting too much does no harm. */
static bool is_special(struct cz_slice text)
{
    if (cz_slice_is(text, "=") || cz_slice_is(text, "<<"))
        return true;
    size_t at = 0;
    skip(text, &at, "+-");
    size_t digits = skip(text, &at, "0123456789_");
    if (!digits || at == text.size || (text.data[at] != '-' && text.data[at] != ':'))
        return false;
    skip(text, &at, "0123456789_:.+-TtZ ");
    return at == text.size;
}

static enum plain classify(struct cz_slice text)
{
    if (is_one_of(text, null_words))
        return PLAIN_NULL;
    if (is_one_of(text, true_words))
        return PLAIN_TRUE;
    if (is_one_of(text, false_words))
        return PLAIN_FALSE;
    if (is_one_of(text, not_finite_words))
        return PLAIN_NOT_FINITE;
    if (is_integer(text))
        return PLAIN_INT;
    if (is_float(text))
        return PLAIN_FLOAT;
    return is_special(text) ? PLAIN_SPECIAL : PLAIN_STRING;
}

/* ---- Reading ---- */

struct reader {
    yaml_parser_t parser;
    struct cz_arena *arena;
    struct cz_map anchors; /* name to index in nodes */
    struct anchor *anchor; /* [anchor_count], grown in the arena */
    size_t anchor_count, anchor_capacity;
    size_t nodes; /* with aliases expanded */
    struct cloze_error *error;
};

struct anchor {
    const struct cz_json *node;
    size_t weight; /* nodes that an alias stands for */
};

static cloze_status fail_at(struct reader *reader, cloze_status code, yaml_mark_t mark,
                            const char *message)
{
    char where[64];
    snprintf(where, sizeof where, "line %zu, column %zu", mark.line + 1, mark.column + 1);
    return cz_fail(reader->error, code, where, "%s", message);
}

static cloze_status next_event(struct reader *reader, yaml_event_t *event)
{
    if (yaml_parser_parse(&reader->parser, event))
        return CLOZE_OK;
    yaml_parser_t *parser = &reader->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        return cz_fail_memory(reader->error, "YAML");
    return fail_at(reader, CLOZE_INVALID, parser->problem_mark,
                   parser->problem ? parser->problem : "not YAML");
}

static cloze_status set_text(struct reader *reader, struct cz_slice text, enum cz_json_kind kind,
                             struct cz_json *node)
{
    char *copy = cz_arena_text(reader->arena, text);
    node->kind = (uint8_t)kind;
    node->text = cz_slice_of(copy, text.size);
    return copy ? CLOZE_OK : cz_fail_memory(reader->error, "YAML");
}

/* Whether the text is a number as JSON spells it, so that it can stay as it is. */
static bool is_json_number(const char *text)
{
    const char *digits = "0123456789";
    text += *text == '-';
    if (text[0] == '0' && text[1] >= '0' && text[1] <= '9')
        return false;
    size_t whole = strspn(text, digits);
    if (!whole)
        return false;
    text += whole;
    if (*text == '.') {
        size_t fraction = strspn(text + 1, digits);
        if (!fraction)
            return false;
        text += 1 + fraction;
    }
    return !*text || *text == 'e' || *text == 'E'; /* is_float has checked the exponent */
}

/* Integers in any of YAML's bases, and floats with underscores or bare points, as JSON numbers.
 * `number` has no underscores; false when it is out of range. */
static bool rewrite_number(enum plain plain, const char *number, char out[64])
{
    errno = 0;
    if (plain == PLAIN_INT) {
        const char *first = number + (*number == '-' || *number == '+');
        bool binary = first[0] == '0' && first[1] == 'b';
        int base = binary ? 2 : first[0] != '0' ? 10 : first[1] == 'x' ? 16 : 8;
        unsigned long long value = strtoull(first + (binary ? 2 : 0), NULL, base);
        snprintf(out, 64, "%s%llu", *number == '-' ? "-" : "", value);
        return errno != ERANGE;
    }
    double value = strtod(number, NULL);
    snprintf(out, 64, "%.17g", value);
    if (!strpbrk(out, ".e"))
        strcat(out, ".0");
    return isfinite(value);
}

static cloze_status read_number(struct reader *reader, enum plain plain, struct cz_slice text,
                                yaml_mark_t mark, struct cz_json *node)
{
    char number[128], rewritten[64];
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (size + 1 == sizeof number)
            return fail_at(reader, CLOZE_LIMIT, mark, "a number has more than 127 digits");
        if (text.data[i] != '_')
            number[size++] = text.data[i];
    }
    number[size] = '\0';
    if (!is_json_number(number) && !rewrite_number(plain, number, rewritten))
        return fail_at(reader, CLOZE_LIMIT, mark, "a number is too large");
    return set_text(reader, cz_slice(is_json_number(number) ? number : rewritten), CZ_JSON_NUMBER,
                    node);
}

static bool tag_is(const yaml_char_t *tag, const char *name)
{
    return tag && strcmp((const char *)tag, name) == 0;
}

static cloze_status read_scalar(struct reader *reader, const yaml_event_t *event,
                                struct cz_json *node)
{
    struct cz_slice text = {(const char *)event->data.scalar.value, event->data.scalar.length};
    const yaml_char_t *tag = event->data.scalar.tag;
    if (tag_is(tag, YAML_STR_TAG) || tag_is(tag, "!") ||
        (!tag && event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE))
        return set_text(reader, text, CZ_JSON_STRING, node);
    if (tag)
        return fail_at(reader, CLOZE_UNSUPPORTED, event->start_mark, "tags are not supported");
    enum plain plain = classify(text);
    switch (plain) {
    case PLAIN_NULL:
        node->kind = CZ_JSON_NULL;
        return CLOZE_OK;
    case PLAIN_TRUE:
    case PLAIN_FALSE:
        node->kind = plain == PLAIN_TRUE ? CZ_JSON_TRUE : CZ_JSON_FALSE;
        return CLOZE_OK;
    case PLAIN_INT:
    case PLAIN_FLOAT:
        return read_number(reader, plain, text, event->start_mark, node);
    case PLAIN_NOT_FINITE:
        return fail_at(reader, CLOZE_UNSUPPORTED, event->start_mark,
                       "infinity and NaN are not supported");
    default:
        return set_text(reader, text, CZ_JSON_STRING, node);
    }
}

static cloze_status remember_anchor(struct reader *reader, const yaml_char_t *name,
                                    const struct cz_json *node, size_t weight)
{
    if (!name)
        return CLOZE_OK;
    if (reader->anchor_count == reader->anchor_capacity) {
        size_t capacity = reader->anchor_capacity ? 2 * reader->anchor_capacity : 8;
        struct anchor *grown = CZ_ARENA_ARRAY(reader->arena, struct anchor, capacity);
        if (!grown)
            return cz_fail_memory(reader->error, "YAML");
        if (reader->anchor_count)
            memcpy(grown, reader->anchor, reader->anchor_count * sizeof *grown);
        reader->anchor = grown;
        reader->anchor_capacity = capacity;
    }
    char *key = cz_arena_text(reader->arena, cz_slice((const char *)name));
    if (!key || !cz_map_set(&reader->anchors, cz_slice(key), reader->anchor_count))
        return cz_fail_memory(reader->error, "YAML");
    reader->anchor[reader->anchor_count++] = (struct anchor){node, weight};
    return CLOZE_OK;
}

static cloze_status read_alias(struct reader *reader, const yaml_event_t *event,
                               struct cz_json *node)
{
    uint64_t index;
    struct cz_slice name = cz_slice((const char *)event->data.alias.anchor);
    if (!cz_map_get(&reader->anchors, name, &index))
        return fail_at(reader, CLOZE_INVALID, event->start_mark,
                       "an alias names no anchor that is complete before it");
    uint32_t key_size = node->key_size;
    const char *key = node->key;
    *node = *reader->anchor[index].node;
    node->key = key;
    node->key_size = key_size;
    node->next = NULL;
    reader->nodes += reader->anchor[index].weight;
    return CLOZE_OK;
}

static cloze_status read_node(struct reader *reader, const yaml_event_t *event, unsigned depth,
                              struct cz_json *node);

static cloze_status read_key(struct reader *reader, const yaml_event_t *event, struct cz_map *seen,
                             struct cz_json *member)
{
    if (event->type != YAML_SCALAR_EVENT)
        return fail_at(reader, CLOZE_UNSUPPORTED, event->start_mark, "only a scalar may be a key");
    struct cz_slice text = {(const char *)event->data.scalar.value, event->data.scalar.length};
    if (event->data.scalar.anchor)
        return fail_at(reader, CLOZE_UNSUPPORTED, event->start_mark,
                       "anchors on keys are not supported");
    if (event->data.scalar.plain_implicit && cz_slice_is(text, "<<"))
        return fail_at(reader, CLOZE_UNSUPPORTED, event->start_mark,
                       "merge keys are not supported");
    char *copy = cz_arena_text(reader->arena, text);
    if (!copy)
        return cz_fail_memory(reader->error, "YAML");
    member->key = copy;
    member->key_size = (uint32_t)text.size;
    int added = cz_map_add(seen, cz_slice_of(copy, text.size), 0, NULL);
    if (added < 0)
        return cz_fail_memory(reader->error, "YAML");
    return added ? CLOZE_OK : fail_at(reader, CLOZE_INVALID, event->start_mark, "duplicate key");
}

/* Reads children up to the end of the sequence or mapping. */
static cloze_status read_children(struct reader *reader, bool mapping, unsigned depth,
                                  struct cz_json *parent)
{
    struct cz_json **tail = &parent->first;
    struct cz_map seen = {0};
    cloze_status status;
    for (;;) {
        yaml_event_t event;
        struct cz_json *child = NULL;
        status = next_event(reader, &event);
        if (status)
            break;
        uint32_t line = (uint32_t)event.start_mark.line + 1; /* of a member: its key's */
        bool end = event.type == YAML_MAPPING_END_EVENT || event.type == YAML_SEQUENCE_END_EVENT;
        if (!end) {
            child = CZ_ARENA_NEW(reader->arena, struct cz_json);
            if (!child)
                status = cz_fail_memory(reader->error, "YAML");
        }
        if (child && mapping) {
            status = read_key(reader, &event, &seen, child);
            yaml_event_delete(&event);
            if (!status)
                status = next_event(reader, &event);
            if (status)
                break;
        }
        if (child && !status)
            status = read_node(reader, &event, depth, child);
        yaml_event_delete(&event);
        if (end || status)
            break;
        child->offset = line;
        *tail = child;
        tail = &child->next;
        parent->count++;
    }
    cz_map_free(&seen);
    return status;
}

static cloze_status read_collection(struct reader *reader, const yaml_event_t *event,
                                    unsigned depth, struct cz_json *node)
{
    bool mapping = event->type == YAML_MAPPING_START_EVENT;
    const yaml_char_t *tag =
        mapping ? event->data.mapping_start.tag : event->data.sequence_start.tag;
    if (tag && !tag_is(tag, mapping ? YAML_MAP_TAG : YAML_SEQ_TAG))
        return fail_at(reader, CLOZE_UNSUPPORTED, event->start_mark, "tags are not supported");
    if (depth == CZ_YAML_MAXIMUM_DEPTH)
        return fail_at(reader, CLOZE_LIMIT, event->start_mark, "nested too deeply");
    node->kind = mapping ? CZ_JSON_OBJECT : CZ_JSON_ARRAY;
    node->first = NULL;
    return read_children(reader, mapping, depth + 1, node);
}

static cloze_status read_node(struct reader *reader, const yaml_event_t *event, unsigned depth,
                              struct cz_json *node)
{
    size_t before = reader->nodes++;
    const yaml_char_t *anchor = NULL;
    cloze_status status;
    node->offset = (uint32_t)event->start_mark.line + 1;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        status = read_scalar(reader, event, node);
        break;
    case YAML_ALIAS_EVENT:
        status = read_alias(reader, event, node);
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        status = read_collection(reader, event, depth, node);
        break;
    default:
        anchor = event->data.mapping_start.anchor;
        status = read_collection(reader, event, depth, node);
        break;
    }
    if (!status && reader->nodes > CZ_YAML_MAXIMUM_NODES)
        return fail_at(reader, CLOZE_LIMIT, event->start_mark, "more than a million values");
    return status ? status : remember_anchor(reader, anchor, node, reader->nodes - before);
}

/* Stream start, document start, the root, document end, stream end. */
static cloze_status read_document(struct reader *reader, struct cz_json *root)
{
    bool found = false;
    for (;;) {
        yaml_event_t event;
        cloze_status status = next_event(reader, &event);
        if (status)
            return status;
        yaml_event_type_t type = event.type;
        if (type == YAML_DOCUMENT_START_EVENT && found)
            status = fail_at(reader, CLOZE_UNSUPPORTED, event.start_mark, "more than one document");
        else if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT &&
                 type != YAML_DOCUMENT_END_EVENT && type != YAML_STREAM_END_EVENT) {
            status = read_node(reader, &event, 0, root);
            found = true;
        }
        yaml_event_delete(&event);
        if (status || type == YAML_STREAM_END_EVENT)
            return status;
    }
}

cloze_status cz_yaml_parse(struct cz_arena *arena, struct cz_slice source, struct cz_json **out,
                           struct cloze_error *error)
{
    struct reader reader = {.arena = arena, .error = error};
    *out = NULL;
    if (source.size > CZ_YAML_MAXIMUM_SIZE)
        return cz_fail(error, CLOZE_LIMIT, NULL, "the YAML text is larger than %d MiB",
                       CZ_YAML_MAXIMUM_SIZE >> 20);
    struct cz_json *root = CZ_ARENA_NEW(arena, struct cz_json);
    if (!root || !yaml_parser_initialize(&reader.parser))
        return cz_fail_memory(error, "YAML");
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(
        &reader.parser, (const unsigned char *)(source.size ? source.data : ""), source.size);
    cloze_status status = read_document(&reader, root);
    yaml_parser_delete(&reader.parser);
    cz_map_free(&reader.anchors);
    if (!status)
        *out = root;
    return status;
}

/* ---- Writing ---- */

static bool emit_scalar(yaml_emitter_t *emitter, struct cz_slice text, bool plain)
{
    yaml_event_t event;
    return text.size <= INT32_MAX &&
           yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text.data,
                                        (int)text.size, plain, 1, YAML_ANY_SCALAR_STYLE) &&
           yaml_emitter_emit(emitter, &event);
}

static bool emit_string(yaml_emitter_t *emitter, struct cz_slice text)
{
    return emit_scalar(emitter, text.size ? text : CZ_SLICE(""), classify(text) == PLAIN_STRING);
}

static bool emit_node(yaml_emitter_t *emitter, const struct cz_json *node);

static bool emit_collection(yaml_emitter_t *emitter, const struct cz_json *node)
{
    yaml_event_t event;
    bool mapping = node->kind == CZ_JSON_OBJECT;
    int ok = mapping ? yaml_mapping_start_event_initialize(&event, NULL, NULL, 1,
                                                           YAML_BLOCK_MAPPING_STYLE)
                     : yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
                                                            YAML_BLOCK_SEQUENCE_STYLE);
    if (!ok || !yaml_emitter_emit(emitter, &event))
        return false;
    CZ_JSON_EACH(child, node)
    {
        if (mapping && !emit_string(emitter, cz_json_key(child)))
            return false;
        if (!emit_node(emitter, child))
            return false;
    }
    ok = mapping ? yaml_mapping_end_event_initialize(&event)
                 : yaml_sequence_end_event_initialize(&event);
    return ok && yaml_emitter_emit(emitter, &event);
}

static bool emit_node(yaml_emitter_t *emitter, const struct cz_json *node)
{
    switch (node->kind) {
    case CZ_JSON_NULL:
        return emit_scalar(emitter, CZ_SLICE("null"), true);
    case CZ_JSON_FALSE:
        return emit_scalar(emitter, CZ_SLICE("false"), true);
    case CZ_JSON_TRUE:
        return emit_scalar(emitter, CZ_SLICE("true"), true);
    case CZ_JSON_NUMBER:
        return emit_scalar(emitter, node->text, true);
    case CZ_JSON_STRING:
        return emit_string(emitter, node->text);
    default:
        return emit_collection(emitter, node);
    }
}

static bool emit_document(yaml_emitter_t *emitter, const struct cz_json *tree)
{
    yaml_event_t event;
    return yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) &&
           yaml_emitter_emit(emitter, &event) &&
           yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) &&
           yaml_emitter_emit(emitter, &event) && emit_node(emitter, tree) &&
           yaml_document_end_event_initialize(&event, 1) && yaml_emitter_emit(emitter, &event) &&
           yaml_stream_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

static int append_output(void *buffer, unsigned char *data, size_t size)
{
    cz_buffer_append(buffer, data, size);
    return !((struct cz_buffer *)buffer)->failed;
}

cloze_status cz_yaml_write(const struct cz_json *tree, struct cz_buffer *out,
                           struct cloze_error *error)
{
    yaml_emitter_t emitter;
    if (!yaml_emitter_initialize(&emitter))
        return cz_fail_memory(error, "YAML");
    yaml_emitter_set_output(&emitter, append_output, out);
    yaml_emitter_set_width(&emitter, 80);
    cloze_status status = CLOZE_OK;
    if (!emit_document(&emitter, tree))
        status = cz_fail(error, emitter.error == YAML_MEMORY_ERROR ? CLOZE_MEMORY : CLOZE_INVALID,
                         NULL, "can't be written as YAML: %s",
                         emitter.problem ? emitter.problem : "out of memory");
    yaml_emitter_delete(&emitter);
    return status;
}
