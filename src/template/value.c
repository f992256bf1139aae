/* value.c - making, comparing and taking apart the values of a template. */
#include "template/value.h"

#include "base/size.h"
#include "base/utf8.h"

#include <math.h>

/* ---- Making ---- */

struct cz_value cz_value_none(void)
{
    return (struct cz_value){.type = CZ_NONE};
}

struct cz_value cz_value_boolean(bool boolean)
{
    return (struct cz_value){.type = CZ_BOOLEAN, .boolean = boolean};
}

struct cz_value cz_value_integer(int64_t integer)
{
    return (struct cz_value){.type = CZ_INTEGER, .integer = integer};
}

struct cz_value cz_value_number(double number)
{
    return (struct cz_value){.type = CZ_FLOAT, .number = number};
}

static cloze_status make_text(struct cz_render *render, const struct cz_text *text,
                              struct cz_value *out)
{
    struct cz_text *kept = CZ_ARENA_NEW(&render->arena, struct cz_text);
    if (!kept)
        return cz_template_memory(render);
    *kept = *text;
    *out = (struct cz_value){.type = CZ_STRING, .text = kept};
    return CLOZE_OK;
}

cloze_status cz_value_string(struct cz_render *render, struct cz_slice text, bool trusted,
                             struct cz_value *out)
{
    const char *data = cz_arena_text(&render->arena, text);
    return data ? make_text(render,
                            &(struct cz_text){.data = data, .size = text.size, .trusted = trusted},
                            out)
                : cz_template_memory(render);
}

cloze_status cz_value_text_part(struct cz_render *render, const struct cz_text *text, size_t start,
                                size_t end, struct cz_value *out)
{
    struct cz_text part = {.data = text->data + start,
                           .size = end - start,
                           .mask = text->mask ? text->mask + start : NULL,
                           .trusted = text->trusted,
                           .safe = text->safe};
    return make_text(render, &part, out);
}

cloze_status cz_value_make_list(struct cz_render *render, enum cz_value_type type, size_t count,
                                struct cz_value *out, struct cz_value **items)
{
    struct cz_list *list = CZ_ARENA_NEW(&render->arena, struct cz_list);
    *items = CZ_ARENA_ARRAY(&render->arena, struct cz_value, count ? count : 1);
    if (!list || !*items)
        return cz_template_memory(render);
    *list = (struct cz_list){.items = *items, .count = count};
    *out = (struct cz_value){.type = type, .list = list};
    return CLOZE_OK;
}

cloze_status cz_value_make_dict(struct cz_render *render, enum cz_value_type type, size_t capacity,
                                struct cz_value *out)
{
    struct cz_dict *dict = CZ_ARENA_NEW(&render->arena, struct cz_dict);
    if (!dict)
        return cz_template_memory(render);
    dict->capacity = capacity ? capacity : 1;
    dict->entries = CZ_ARENA_ARRAY(&render->arena, struct cz_dict_entry, dict->capacity);
    *out = (struct cz_value){.type = type, .dict = dict};
    return dict->entries ? CLOZE_OK : cz_template_memory(render);
}

const struct cz_value *cz_value_dict_find(const struct cz_dict *dict, struct cz_value key)
{
    for (size_t i = 0; i < dict->count; i++)
        if (cz_value_equal(&dict->entries[i].key, &key))
            return &dict->entries[i].value;
    return NULL;
}

const struct cz_value *cz_value_dict_find_text(const struct cz_dict *dict, struct cz_slice key)
{
    for (size_t i = 0; i < dict->count; i++)
        if (dict->entries[i].key.type == CZ_STRING &&
            cz_slice_equal(cz_value_text_slice(&dict->entries[i].key), key))
            return &dict->entries[i].value;
    return NULL;
}

cloze_status cz_value_dict_set(struct cz_render *render, struct cz_dict *dict, struct cz_value key,
                               struct cz_value value)
{
    struct cz_value *found = (struct cz_value *)cz_value_dict_find(dict, key);
    if (found) {
        *found = value;
        return CLOZE_OK;
    }
    if (dict->count == dict->capacity) {
        size_t capacity = dict->capacity * 2;
        struct cz_dict_entry *grown =
            CZ_ARENA_ARRAY(&render->arena, struct cz_dict_entry, capacity);
        if (!grown)
            return cz_template_memory(render);
        memcpy(grown, dict->entries, dict->count * sizeof *grown);
        dict->entries = grown;
        dict->capacity = capacity;
    }
    dict->entries[dict->count++] = (struct cz_dict_entry){key, value};
    return CLOZE_OK;
}

/* ---- From JSON: its depth is bounded by the parser that made it ---- */

static cloze_status number_from_json(struct cz_render *render, const struct cz_json *json,
                                     bool trusted, struct cz_value *out)
{
    bool is_integer = true;
    for (size_t i = 0; i < json->text.size; i++)
        is_integer &= !strchr(".eE", json->text.data[i]);
    if (!is_integer) {
        out->type = CZ_FLOAT;
        if (!cz_json_double(json, &out->number))
            out->number = json->text.data[0] == '-' ? -HUGE_VAL : HUGE_VAL;
        return CLOZE_OK;
    }
    out->type = CZ_INTEGER;
    if (cz_json_int64(json, &out->integer))
        return CLOZE_OK;
    cloze_status status = cz_value_string(render, json->text, trusted, out);
    out->type = CZ_BIG;
    return status;
}

static cloze_status container_from_json(struct cz_render *render, const struct cz_json *json,
                                        bool trusted, struct cz_value *out)
{
    bool is_array = json->kind == CZ_JSON_ARRAY;
    struct cz_value *items = NULL, key;
    cloze_status status = is_array ? cz_value_make_list(render, CZ_LIST, json->count, out, &items)
                                   : cz_value_make_dict(render, CZ_DICT, json->count, out);
    for (const struct cz_json *item = json->first; item && !status; item = item->next) {
        if (is_array) {
            status = cz_value_from_json(render, item, trusted, items++);
            continue;
        }
        struct cz_dict *dict = out->dict;
        status = cz_value_string(render, cz_json_key(item), trusted, &key);
        if (!status)
            status = cz_value_from_json(render, item, trusted, &dict->entries[dict->count].value);
        dict->entries[dict->count++].key = key; /* JSON's keys are unique */
    }
    return status;
}

cloze_status cz_value_from_json(struct cz_render *render, const struct cz_json *json, bool trusted,
                                struct cz_value *out)
{
    *out = cz_value_none();
    switch ((enum cz_json_kind)json->kind) {
    case CZ_JSON_NULL:
        return CLOZE_OK;
    case CZ_JSON_FALSE:
    case CZ_JSON_TRUE:
        *out = cz_value_boolean(json->kind == CZ_JSON_TRUE);
        return CLOZE_OK;
    case CZ_JSON_NUMBER:
        return number_from_json(render, json, trusted, out);
    case CZ_JSON_STRING:
        return cz_value_string(render, json->text, trusted, out);
    default:
        return container_from_json(render, json, trusted, out);
    }
}

/* ---- Looking ---- */

struct cz_slice cz_value_text_slice(const struct cz_value *value)
{
    return value->type == CZ_STRING || value->type == CZ_BIG
               ? (struct cz_slice){value->text->data, value->text->size}
               : (struct cz_slice){0};
}

bool cz_value_is_text(const struct cz_value *value, const char *text)
{
    return value->type == CZ_STRING && cz_slice_is(cz_value_text_slice(value), text);
}

bool cz_value_truth(const struct cz_value *value)
{
    switch (value->type) {
    case CZ_UNDEFINED:
    case CZ_NONE:
        return false;
    case CZ_BOOLEAN:
        return value->boolean;
    case CZ_INTEGER:
        return value->integer != 0;
    case CZ_FLOAT:
        return value->number != 0;
    case CZ_STRING:
        return value->text->size > 0;
    case CZ_LIST:
    case CZ_TUPLE:
        return value->list->count > 0;
    case CZ_DICT:
        return value->dict->count > 0;
    default:
        return true;
    }
}

bool cz_value_is_number(const struct cz_value *value)
{
    return value->type == CZ_INTEGER || value->type == CZ_FLOAT || value->type == CZ_BOOLEAN;
}

double cz_value_as_double(const struct cz_value *value)
{
    return value->type == CZ_FLOAT     ? value->number
           : value->type == CZ_INTEGER ? (double)value->integer
                                       : (double)value->boolean;
}

static int64_t as_integer(const struct cz_value *value)
{
    return value->type == CZ_BOOLEAN ? value->boolean : value->integer;
}

static int compare_numbers(const struct cz_value *a, const struct cz_value *b)
{
    if (a->type == CZ_FLOAT || b->type == CZ_FLOAT) {
        double left = cz_value_as_double(a), right = cz_value_as_double(b);
        return (left > right) - (left < right);
    }
    int64_t left = as_integer(a), right = as_integer(b);
    return (left > right) - (left < right);
}

static bool is_sequence(const struct cz_value *value)
{
    return value->type == CZ_LIST || value->type == CZ_TUPLE;
}

static bool equal_dicts(const struct cz_dict *a, const struct cz_dict *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct cz_value *other = cz_value_dict_find(b, a->entries[i].key);
        if (!other || !cz_value_equal(&a->entries[i].value, other))
            return false;
    }
    return true;
}

/* Recursive in the depth of the values, which JSON's and the template's depth bound. */
bool cz_value_equal(const struct cz_value *a, const struct cz_value *b)
{
    if (cz_value_is_number(a) && cz_value_is_number(b))
        return compare_numbers(a, b) == 0 && cz_value_as_double(a) == cz_value_as_double(b);
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case CZ_STRING:
    case CZ_BIG:
        return cz_slice_equal(cz_value_text_slice(a), cz_value_text_slice(b));
    case CZ_LIST:
    case CZ_TUPLE:
        if (a->list->count != b->list->count)
            return false;
        for (size_t i = 0; i < a->list->count; i++)
            if (!cz_value_equal(&a->list->items[i], &b->list->items[i]))
                return false;
        return true;
    case CZ_DICT:
        return equal_dicts(a->dict, b->dict);
    case CZ_UNDEFINED:
    case CZ_NONE:
        return true;
    default:
        return a->dict == b->dict;
    }
}

bool cz_value_order(const struct cz_value *a, const struct cz_value *b, int *order)
{
    if (cz_value_is_number(a) && cz_value_is_number(b)) {
        *order = compare_numbers(a, b);
        return true;
    }
    if (a->type == CZ_STRING && b->type == CZ_STRING) {
        *order = cz_slice_compare(cz_value_text_slice(a), cz_value_text_slice(b));
        return true;
    }
    if (!is_sequence(a) || a->type != b->type)
        return false;
    size_t shared = cz_size_min(a->list->count, b->list->count);
    for (size_t i = 0; i < shared; i++)
        if (!cz_value_equal(&a->list->items[i], &b->list->items[i]))
            return cz_value_order(&a->list->items[i], &b->list->items[i], order);
    *order = (a->list->count > b->list->count) - (a->list->count < b->list->count);
    return true;
}

unsigned cz_value_depth(const struct cz_value *value)
{
    unsigned deepest = 0;
    if (is_sequence(value)) {
        struct cz_list *list = (struct cz_list *)value->list;
        for (size_t i = 0; i < list->count && !list->depth; i++) {
            unsigned depth = cz_value_depth(&list->items[i]);
            deepest = depth > deepest ? depth : deepest;
        }
        if (!list->depth)
            list->depth = deepest + 1;
        return list->depth;
    }
    if (value->type != CZ_DICT)
        return 0;
    for (size_t i = 0; i < value->dict->count && !value->dict->depth; i++) {
        unsigned depth = cz_value_depth(&value->dict->entries[i].value);
        deepest = depth > deepest ? depth : deepest;
    }
    if (!value->dict->depth)
        value->dict->depth = deepest + 1;
    return value->dict->depth;
}

const char *cz_value_type_name(const struct cz_value *value)
{
    static const char *const names[] = {
        [CZ_UNDEFINED] = "undefined", [CZ_NONE] = "None",           [CZ_BOOLEAN] = "bool",
        [CZ_INTEGER] = "int",         [CZ_FLOAT] = "float",         [CZ_BIG] = "int",
        [CZ_STRING] = "str",          [CZ_LIST] = "list",           [CZ_TUPLE] = "tuple",
        [CZ_DICT] = "dict",           [CZ_NAMESPACE] = "namespace", [CZ_LOOP] = "loop",
        [CZ_MACRO] = "macro",         [CZ_FUNCTION] = "function",   [CZ_METHOD] = "method"};
    return names[value->type];
}

/* ---- Characters ---- */

static bool starts_character(char byte)
{
    return ((unsigned char)byte & 0xC0) != 0x80;
}

size_t cz_value_character_count(struct cz_slice text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++)
        count += starts_character(text.data[i]);
    return count;
}

size_t cz_value_character_offset(struct cz_slice text, size_t index)
{
    size_t at = 0;
    for (; at < text.size; at++)
        if (starts_character(text.data[at]) && index-- == 0)
            break;
    return at;
}

static cloze_status iterate_text(struct cz_render *render, const struct cz_text *text,
                                 struct cz_value *out)
{
    struct cz_value *items;
    struct cz_slice rest = {text->data, text->size};
    size_t count = cz_value_character_count(rest), at = 0;
    cloze_status status = cz_value_make_list(render, CZ_LIST, count, out, &items);
    for (size_t i = 0; i < count && !status; i++) {
        size_t end = at + 1;
        while (end < text->size && !starts_character(text->data[end]))
            end++;
        status = cz_value_text_part(render, text, at, end, &items[i]);
        at = end;
    }
    return status;
}

cloze_status cz_value_iterate(struct cz_render *render, const struct cz_value *value,
                              struct cz_value *out)
{
    struct cz_value *items;
    cloze_status status;
    switch (value->type) {
    case CZ_LIST:
    case CZ_TUPLE:
        *out = *value;
        return CLOZE_OK;
    case CZ_STRING:
        return iterate_text(render, value->text, out);
    case CZ_UNDEFINED:
        return cz_value_make_list(render, CZ_LIST, 0, out, &items);
    case CZ_DICT:
        status = cz_value_make_list(render, CZ_LIST, value->dict->count, out, &items);
        for (size_t i = 0; i < value->dict->count && !status; i++)
            items[i] = value->dict->entries[i].key;
        return status;
    default:
        return cz_template_fail(render, CLOZE_INVALID, "a %s can't be iterated over",
                                cz_value_type_name(value));
    }
}
