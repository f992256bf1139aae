/* methods.c - methods of texts, dicts and loops, as Python has them. */
#include "base/size.h"
#include "base/utf8.h"
#include "template/value.h"

#include <unictype.h>

#define METHOD(name)                                                                               \
    static cloze_status name(struct cz_render *render, const struct cz_value *self,                \
                             const struct cz_arguments *arguments, struct cz_value *out)

/* ---- Case and white space ---- */

#define CASE_METHOD(name, mode)                                                                    \
    METHOD(name)                                                                                   \
    {                                                                                              \
        (void)arguments;                                                                           \
        return cz_value_change_case(render, self->text, mode, out);                                \
    }

CASE_METHOD(text_upper, CZ_UPPER)
CASE_METHOD(text_lower, CZ_LOWER)
CASE_METHOD(text_capitalize, CZ_CAPITALIZE)
CASE_METHOD(text_title, CZ_TITLE_METHOD)

METHOD(text_strip)
{
    return cz_value_strip(render, self->text, &arguments->values[0], true, true, out);
}

METHOD(text_lstrip)
{
    return cz_value_strip(render, self->text, &arguments->values[0], true, false, out);
}

METHOD(text_rstrip)
{
    return cz_value_strip(render, self->text, &arguments->values[0], false, true, out);
}

METHOD(text_replace)
{
    return cz_value_replace(render, self->text, arguments, out);
}

/* ---- Beginnings and ends ---- */

static bool begins(struct cz_slice text, struct cz_slice part)
{
    return part.size <= text.size && memcmp(text.data, part.data, part.size) == 0;
}

static bool ends(struct cz_slice text, struct cz_slice part)
{
    return part.size <= text.size &&
           memcmp(text.data + text.size - part.size, part.data, part.size) == 0;
}

/* One text, or a tuple of texts of which one must fit. */
static cloze_status fits_any(struct cz_render *render, const struct cz_value *self,
                             const struct cz_value *parts,
                             bool (*fits)(struct cz_slice, struct cz_slice), struct cz_value *out)
{
    bool found = false, is_text = parts->type == CZ_STRING;
    if (!is_text && parts->type != CZ_TUPLE)
        return cz_template_fail(render, CLOZE_INVALID,
                                "expected a text or a tuple of texts, got %s",
                                cz_value_type_name(parts));
    size_t count = is_text ? 1 : parts->list->count;
    for (size_t i = 0; i < count && !found; i++) {
        const struct cz_value *part = is_text ? parts : &parts->list->items[i];
        found =
            part->type == CZ_STRING && fits(cz_value_text_slice(self), cz_value_text_slice(part));
    }
    *out = cz_value_boolean(found);
    return CLOZE_OK;
}

METHOD(text_startswith)
{
    return fits_any(render, self, &arguments->values[0], begins, out);
}

METHOD(text_endswith)
{
    return fits_any(render, self, &arguments->values[0], ends, out);
}

METHOD(text_removeprefix)
{
    struct cz_slice part = cz_value_text_slice(&arguments->values[0]);
    bool fits = begins(cz_value_text_slice(self), part);
    return cz_value_text_part(render, self->text, fits ? part.size : 0, self->text->size, out);
}

METHOD(text_removesuffix)
{
    struct cz_slice part = cz_value_text_slice(&arguments->values[0]);
    bool fits = ends(cz_value_text_slice(self), part);
    return cz_value_text_part(render, self->text, 0, self->text->size - (fits ? part.size : 0),
                              out);
}

/* ---- Searching ---- */

static cloze_status need_text(struct cz_render *render, const struct cz_value *argument)
{
    return argument->type == CZ_STRING
               ? CLOZE_OK
               : cz_template_fail(render, CLOZE_INVALID, "expected a text, got %s",
                                  cz_value_type_name(argument));
}

/* The last place at or before `end` where `part` ends, or SIZE_MAX. */
static size_t find_last(struct cz_slice text, struct cz_slice part, size_t end)
{
    for (size_t at = end; at + 1 > part.size; at--)
        if (memcmp(text.data + at - part.size, part.data, part.size) == 0)
            return at - part.size;
    return SIZE_MAX;
}

static size_t find_first(struct cz_slice text, struct cz_slice part, size_t from)
{
    const char *hit = memmem(text.data + from, text.size - from, part.data, part.size);
    return hit ? (size_t)(hit - text.data) : SIZE_MAX;
}

METHOD(text_find)
{
    cloze_status status = need_text(render, &arguments->values[0]);
    size_t at = status ? 0
                       : find_first(cz_value_text_slice(self),
                                    cz_value_text_slice(&arguments->values[0]), 0);
    *out = cz_value_integer(
        at == SIZE_MAX ? -1 : (int64_t)cz_value_character_count(cz_slice_of(self->text->data, at)));
    return status;
}

METHOD(text_rfind)
{
    cloze_status status = need_text(render, &arguments->values[0]);
    size_t at = status ? 0
                       : find_last(cz_value_text_slice(self),
                                   cz_value_text_slice(&arguments->values[0]), self->text->size);
    *out = cz_value_integer(
        at == SIZE_MAX ? -1 : (int64_t)cz_value_character_count(cz_slice_of(self->text->data, at)));
    return status;
}

METHOD(text_count)
{
    struct cz_slice text = cz_value_text_slice(self),
                    part = cz_value_text_slice(&arguments->values[0]);
    cloze_status status = need_text(render, &arguments->values[0]);
    int64_t count = 0;
    if (part.size == 0)
        count = (int64_t)cz_value_character_count(text) + 1;
    for (size_t at = 0; part.size && (at = find_first(text, part, at)) != SIZE_MAX; count++)
        at += part.size;
    *out = cz_value_integer(count);
    return status;
}

/* ---- Splitting and joining ---- */

struct parts {
    struct cz_value *items;
    size_t count;
    struct cz_value list;
};

static cloze_status start_parts(struct cz_render *render, size_t most, struct parts *parts)
{
    parts->count = 0;
    return cz_value_make_list(render, CZ_LIST, most, &parts->list, &parts->items);
}

static cloze_status add_part(struct cz_render *render, const struct cz_text *text, size_t start,
                             size_t end, struct parts *parts)
{
    return cz_value_text_part(render, text, start, end, &parts->items[parts->count++]);
}

static void finish_parts(struct parts *parts, struct cz_value *out)
{
    ((struct cz_list *)parts->list.list)->count = parts->count;
    *out = parts->list;
}

static size_t space_size(const struct cz_text *text, size_t at)
{
    uint32_t code;
    size_t size = cz_utf8_decode(text->data + at, text->size - at, &code);
    return size && (uc_is_property_white_space(code) || (code >= 0x1C && code <= 0x1F)) ? size : 0;
}

static cloze_status split_white_space(struct cz_render *render, const struct cz_text *text,
                                      int64_t most, struct cz_value *out)
{
    struct parts parts;
    cloze_status status = start_parts(render, text->size / 2 + 1, &parts);
    size_t at = 0, size;
    while (!status) {
        while (at < text->size && (size = space_size(text, at)))
            at += size;
        if (at == text->size)
            break;
        size_t start = at;
        if (most-- == 0) { /* the rest is one part */
            status = add_part(render, text, start, text->size, &parts);
            break;
        }
        while (at < text->size && !space_size(text, at))
            at++;
        status = add_part(render, text, start, at, &parts);
    }
    finish_parts(&parts, out);
    return status;
}

static cloze_status split_at(struct cz_render *render, const struct cz_text *text,
                             struct cz_slice separator, int64_t most, struct cz_value *out)
{
    struct parts parts;
    struct cz_slice whole = {text->data, text->size};
    cloze_status status = start_parts(render, text->size / separator.size + 1, &parts);
    size_t at = 0, hit;
    while (!status && most-- != 0 && (hit = find_first(whole, separator, at)) != SIZE_MAX) {
        status = add_part(render, text, at, hit, &parts);
        at = hit + separator.size;
    }
    if (!status)
        status = add_part(render, text, at, text->size, &parts);
    finish_parts(&parts, out);
    return status;
}

METHOD(text_split)
{
    const struct cz_value *separator = &arguments->values[0];
    int64_t most;
    cloze_status status = cz_value_argument_integer(render, &arguments->values[1], -1, &most);
    if (status)
        return status;
    if (separator->type == CZ_UNDEFINED || separator->type == CZ_NONE)
        return split_white_space(render, self->text, most, out);
    status = need_text(render, separator);
    if (!status && separator->text->size == 0)
        status = cz_template_fail(render, CLOZE_INVALID, "split: the separator is empty");
    return status ? status
                  : split_at(render, self->text, cz_value_text_slice(separator), most, out);
}

METHOD(text_rsplit)
{
    const struct cz_value *separator = &arguments->values[0];
    struct parts parts;
    int64_t most;
    cloze_status status = cz_value_argument_integer(render, &arguments->values[1], -1, &most);
    if (!status)
        status = need_text(render, separator);
    if (!status && separator->text->size == 0)
        status = cz_template_fail(render, CLOZE_INVALID, "rsplit: the separator is empty");
    if (!status)
        status = start_parts(render, self->text->size / separator->text->size + 1, &parts);
    size_t end = self->text->size, hit;
    while (!status && most-- != 0 &&
           (hit = find_last(cz_value_text_slice(self), cz_value_text_slice(separator), end)) !=
               SIZE_MAX) {
        status = add_part(render, self->text, hit + separator->text->size, end, &parts);
        end = hit;
    }
    if (!status)
        status = add_part(render, self->text, 0, end, &parts);
    if (status)
        return status;
    for (size_t i = 0; i < parts.count / 2; i++) {
        struct cz_value swapped = parts.items[i];
        parts.items[i] = parts.items[parts.count - 1 - i];
        parts.items[parts.count - 1 - i] = swapped;
    }
    finish_parts(&parts, out);
    return CLOZE_OK;
}

/* The size of the line end at `at`: \n, \r, \r\n, and Python's other line boundaries. */
static size_t line_end(const struct cz_text *text, size_t at)
{
    uint32_t code;
    size_t size = cz_utf8_decode(text->data + at, text->size - at, &code);
    if (code == '\r' && at + 1 < text->size && text->data[at + 1] == '\n')
        return 2;
    bool ends_line = (code >= '\n' && code <= '\r') || (code >= 0x1C && code <= 0x1E) ||
                     code == 0x85 || code == 0x2028 || code == 0x2029;
    return size && ends_line ? size : 0;
}

cloze_status cz_value_split_lines(struct cz_render *render, const struct cz_text *text,
                                  struct cz_value *out)
{
    struct parts parts;
    cloze_status status = start_parts(render, text->size + 1, &parts);
    size_t start = 0, size;
    for (size_t at = 0; at < text->size && !status;) {
        size = line_end(text, at);
        if (size) {
            status = add_part(render, text, start, at, &parts);
            start = at + size;
        }
        at += size ? size : 1;
    }
    if (!status && start < text->size)
        status = add_part(render, text, start, text->size, &parts);
    finish_parts(&parts, out);
    return status;
}

METHOD(text_splitlines)
{
    if (cz_value_truth(&arguments->values[0]))
        return cz_template_fail(render, CLOZE_UNSUPPORTED, "splitlines(keepends) is not supported");
    return cz_value_split_lines(render, self->text, out);
}

METHOD(text_join)
{
    struct cz_value items;
    struct cz_writer writer = {.bytes.maximum = CZ_TEMPLATE_MAXIMUM_OUTPUT};
    cloze_status status = cz_value_iterate(render, &arguments->values[0], &items);
    for (size_t i = 0; !status && i < items.list->count; i++) {
        if (i)
            cz_text_write_text(&writer, self->text);
        status = need_text(render, &items.list->items[i]);
        if (!status)
            cz_text_write_text(&writer, items.list->items[i].text);
    }
    if (!status)
        return cz_text_writer_take(render, &writer, out);
    cz_text_writer_free(&writer);
    return status;
}

/* ---- format ---- */

/* The value of a replacement field: "", "0" or "name". */
static const struct cz_value *field_value(const struct cz_arguments *arguments,
                                          struct cz_slice field, size_t *next)
{
    int64_t index;
    struct cz_json number = {.kind = CZ_JSON_NUMBER, .text = field};
    for (size_t i = 0; i < arguments->named_count; i++)
        if (cz_slice_equal(arguments->named[i].name, field))
            return &arguments->named[i].value;
    if (field.size == 0)
        index = (int64_t)(*next)++;
    else if (field.data[0] < '0' || field.data[0] > '9' || !cz_json_int64(&number, &index))
        return NULL;
    return (size_t)index < arguments->count ? &arguments->values[index] : NULL;
}

static cloze_status write_field(struct cz_render *render, const struct cz_arguments *arguments,
                                struct cz_slice field, size_t *next, struct cz_writer *writer)
{
    if (field.size && (memchr(field.data, ':', field.size) || memchr(field.data, '!', field.size) ||
                       memchr(field.data, '.', field.size) || memchr(field.data, '[', field.size)))
        return cz_template_fail(render, CLOZE_UNSUPPORTED,
                                "format: only {}, {0} and {name} are supported");
    const struct cz_value *value = field_value(arguments, field, next);
    if (!value)
        return cz_template_fail(render, CLOZE_INVALID, "format: nothing given for {%.*s}",
                                CZ_SLICE_ARG(field));
    cz_text_write_value(writer, value);
    return CLOZE_OK;
}

METHOD(text_format)
{
    const struct cz_text *text = self->text;
    struct cz_writer writer = {.bytes.maximum = CZ_TEMPLATE_MAXIMUM_OUTPUT};
    cloze_status status = CLOZE_OK;
    size_t next = 0;
    for (size_t at = 0; at < text->size && !status;) {
        char c = text->data[at];
        bool brace = c == '{' || c == '}';
        bool doubled = brace && at + 1 < text->size && text->data[at + 1] == c;
        const char *close =
            c == '{' && !doubled ? memchr(text->data + at, '}', text->size - at) : NULL;
        if (brace && !doubled && !close) {
            status = cz_template_fail(render, CLOZE_INVALID, "format: a single brace");
        } else if (close) {
            size_t end = (size_t)(close - text->data);
            status = write_field(render, arguments, cz_slice_of(text->data + at + 1, end - at - 1),
                                 &next, &writer);
            at = end + 1;
        } else {
            cz_text_write(&writer, cz_slice_of(&text->data[at], 1),
                          text->mask ? text->mask[at] : text->trusted);
            at += 1 + doubled;
        }
    }
    if (!status)
        return cz_text_writer_take(render, &writer, out);
    cz_text_writer_free(&writer);
    return status;
}

/* ---- Classes of characters ---- */

static cloze_status all_are(const struct cz_value *self, bool (*is)(uint32_t), struct cz_value *out)
{
    bool all = self->text->size > 0;
    for (size_t at = 0; at < self->text->size && all;) {
        uint32_t code = 0;
        size_t size =
            cz_size_max(cz_utf8_decode(self->text->data + at, self->text->size - at, &code), 1);
        all = is(code);
        at += size;
    }
    *out = cz_value_boolean(all);
    return CLOZE_OK;
}

static bool is_decimal(uint32_t code)
{
    return uc_is_general_category_withtable(code, UC_CATEGORY_MASK_Nd);
}

static bool is_letter(uint32_t code)
{
    return uc_is_general_category_withtable(code, UC_CATEGORY_MASK_L);
}

static bool is_letter_or_digit(uint32_t code)
{
    return uc_is_general_category_withtable(code, UC_CATEGORY_MASK_L | UC_CATEGORY_MASK_N);
}

static bool is_white_space(uint32_t code)
{
    return uc_is_property_white_space(code) || (code >= 0x1C && code <= 0x1F);
}

#define CLASS_METHOD(name, test)                                                                   \
    METHOD(name)                                                                                   \
    {                                                                                              \
        (void)render;                                                                              \
        (void)arguments;                                                                           \
        return all_are(self, test, out);                                                           \
    }

CLASS_METHOD(text_isdigit, is_decimal)
CLASS_METHOD(text_isalpha, is_letter)
CLASS_METHOD(text_isalnum, is_letter_or_digit)
CLASS_METHOD(text_isspace, is_white_space)

/* ---- Dicts and loops ---- */

METHOD(dict_get)
{
    const struct cz_value *found = cz_value_dict_find(self->dict, arguments->values[0]);
    (void)render;
    *out = found ? *found : arguments->values[1];
    if (!found && out->type == CZ_UNDEFINED)
        *out = cz_value_none();
    return CLOZE_OK;
}

METHOD(dict_items)
{
    (void)arguments;
    return cz_value_dict_items(render, self->dict, out);
}

METHOD(dict_keys)
{
    (void)arguments;
    return cz_value_iterate(render, self, out);
}

METHOD(dict_values)
{
    (void)arguments;
    struct cz_value *items;
    cloze_status status = cz_value_make_list(render, CZ_LIST, self->dict->count, out, &items);
    for (size_t i = 0; i < self->dict->count && !status; i++)
        items[i] = self->dict->entries[i].value;
    return status;
}

METHOD(loop_cycle)
{
    if (!arguments->count)
        return cz_template_fail(render, CLOZE_INVALID, "loop.cycle needs something to cycle");
    *out = arguments->values[self->loop->index % arguments->count];
    return CLOZE_OK;
}

/* ---- Tables ---- */

static const struct cz_builtin text_methods[] = {
    {"capitalize", "", text_capitalize},
    {"count", "sub", text_count},
    {"endswith", "suffix", text_endswith},
    {"find", "sub", text_find},
    {"format", NULL, text_format},
    {"isalnum", "", text_isalnum},
    {"isalpha", "", text_isalpha},
    {"isdigit", "", text_isdigit},
    {"isspace", "", text_isspace},
    {"join", "iterable", text_join},
    {"lower", "", text_lower},
    {"lstrip", "chars", text_lstrip},
    {"removeprefix", "prefix", text_removeprefix},
    {"removesuffix", "suffix", text_removesuffix},
    {"replace", "old new count", text_replace},
    {"rfind", "sub", text_rfind},
    {"rsplit", "sep maxsplit", text_rsplit},
    {"rstrip", "chars", text_rstrip},
    {"split", "sep maxsplit", text_split},
    {"splitlines", "keepends", text_splitlines},
    {"startswith", "prefix", text_startswith},
    {"strip", "chars", text_strip},
    {"title", "", text_title},
    {"upper", "", text_upper},
    {NULL, NULL, NULL},
};

static const struct cz_builtin dict_methods[] = {
    {"get", "key default", dict_get}, {"items", "", dict_items}, {"keys", "", dict_keys},
    {"values", "", dict_values},      {NULL, NULL, NULL},
};

static const struct cz_builtin loop_methods[] = {
    {"cycle", NULL, loop_cycle},
    {NULL, NULL, NULL},
};

const struct cz_builtin *cz_template_method(const struct cz_value *value, struct cz_slice name)
{
    switch (value->type) {
    case CZ_STRING:
        return cz_template_builtin(text_methods, name);
    case CZ_DICT:
        return cz_template_builtin(dict_methods, name);
    case CZ_LOOP:
        return cz_template_builtin(loop_methods, name);
    default:
        return NULL;
    }
}
