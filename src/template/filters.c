/* filters.c - filters on texts and numbers, and the table of all filters. */
#include "base/size.h"
#include "base/utf8.h"
#include "template/value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unicase.h>
#include <unictype.h>

#define FILTER(name)                                                                               \
    static cloze_status name(struct cz_render *render, const struct cz_value *self,                \
                             const struct cz_arguments *arguments, struct cz_value *out)

/* ---- Shared helpers ---- */

cloze_status cz_value_argument_integer(struct cz_render *render, const struct cz_value *argument,
                                       int64_t fallback, int64_t *out)
{
    *out = fallback;
    if (argument->type == CZ_UNDEFINED || argument->type == CZ_NONE)
        return CLOZE_OK;
    if (argument->type != CZ_INTEGER && argument->type != CZ_BOOLEAN)
        return cz_template_fail(render, CLOZE_INVALID, "expected an integer, got %s",
                                cz_value_type_name(argument));
    *out = argument->type == CZ_INTEGER ? argument->integer : argument->boolean;
    return CLOZE_OK;
}

cloze_status cz_value_operand_text(struct cz_render *render, const struct cz_value *value,
                                   const struct cz_text **out)
{
    struct cz_value text;
    cloze_status status = cz_value_to_string(render, value, &text);
    if (!status)
        *out = text.text;
    return status;
}

enum { MAPPED_SIZE = 32 }; /* bytes that one character becomes at most */

static char c_toupper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}

static char c_tolower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* What is written before and between words for the title filter. */
static bool separates_words(uint32_t code)
{
    return code < 0x80
               ? strchr("-({[<", (int)code) != NULL || (code >= 9 && code <= 13) || code == ' '
               : uc_is_property_white_space(code);
}

/* One character in another case, which may be several characters ("SS" for U+00DF). */
static size_t map_character(struct cz_slice character, enum cz_case mode, bool begins,
                            char out[MAPPED_SIZE])
{
    bool upper = mode == CZ_UPPER || (mode != CZ_LOWER && begins);
    bool title = upper && mode != CZ_UPPER && mode != CZ_TITLE_FILTER;
    size_t size = MAPPED_SIZE;
    if (character.size == 1) {
        out[0] = (char)(upper ? c_toupper(character.data[0]) : c_tolower(character.data[0]));
        return 1;
    }
    const uint8_t *bytes = (const uint8_t *)character.data;
    uint8_t *mapped = title   ? u8_totitle(bytes, character.size, "", NULL, (uint8_t *)out, &size)
                      : upper ? u8_toupper(bytes, character.size, "", NULL, (uint8_t *)out, &size)
                              : u8_tolower(bytes, character.size, "", NULL, (uint8_t *)out, &size);
    if (mapped == (uint8_t *)out)
        return size;
    free(mapped); /* no memory, or more than any character maps to: it stays as it is */
    memcpy(out, character.data, character.size);
    return character.size;
}

cloze_status cz_value_change_case(struct cz_render *render, const struct cz_text *text,
                                  enum cz_case mode, struct cz_value *out)
{
    struct cz_writer writer = {.bytes.maximum = CZ_TEMPLATE_MAXIMUM_OUTPUT};
    bool begins = true;
    for (size_t at = 0; at < text->size;) {
        uint32_t code = 0xFFFD;
        size_t size = cz_size_max(cz_utf8_decode(text->data + at, text->size - at, &code), 1);
        char mapped[MAPPED_SIZE];
        size_t mapped_size =
            map_character(cz_slice_of(text->data + at, size), mode, begins, mapped);
        cz_text_write(&writer, cz_slice_of(mapped, mapped_size),
                      text->mask ? text->mask[at] : text->trusted);
        begins = mode == CZ_TITLE_FILTER   ? separates_words(code)
                 : mode == CZ_TITLE_METHOD ? !uc_is_property_alphabetic(code)
                                           : false;
        at += size;
    }
    return cz_text_writer_take(render, &writer, out);
}

static bool in_set(struct cz_slice character, uint32_t code, const struct cz_value *set)
{
    if (set->type != CZ_STRING)
        return uc_is_property_white_space(code) || (code >= 0x1C && code <= 0x1F);
    return memmem(set->text->data, set->text->size, character.data, character.size) != NULL;
}

cloze_status cz_value_strip(struct cz_render *render, const struct cz_text *text,
                            const struct cz_value *set, bool left, bool right, struct cz_value *out)
{
    size_t start = 0, end = text->size, size;
    uint32_t code;
    while (left && start < end && (size = cz_utf8_decode(text->data + start, end - start, &code)) &&
           in_set(cz_slice_of(text->data + start, size), code, set))
        start += size;
    while (right && end > start) {
        size_t at = end - 1;
        while (at > start && ((unsigned char)text->data[at] & 0xC0) == 0x80)
            at--;
        size = cz_utf8_decode(text->data + at, end - at, &code);
        if (!size || !in_set(cz_slice_of(text->data + at, size), code, set))
            break;
        end = at;
    }
    return cz_value_text_part(render, text, start, end, out);
}

static void write_part(struct cz_writer *writer, const struct cz_text *text, size_t start,
                       size_t end)
{
    struct cz_text part = {.data = text->data + start,
                           .size = end - start,
                           .mask = text->mask ? text->mask + start : NULL,
                           .trusted = text->trusted};
    cz_text_write_text(writer, &part);
}

/* Python's str.replace: an empty `old` stands between all characters. */
static size_t find_old(const struct cz_text *text, size_t from, struct cz_slice old)
{
    if (old.size == 0) {
        size_t at = from;
        while (at < text->size && ((unsigned char)text->data[at] & 0xC0) == 0x80)
            at++;
        return at;
    }
    const char *hit = memmem(text->data + from, text->size - from, old.data, old.size);
    return hit ? (size_t)(hit - text->data) : SIZE_MAX;
}

cloze_status cz_value_replace(struct cz_render *render, const struct cz_text *text,
                              const struct cz_arguments *arguments, struct cz_value *out)
{
    const struct cz_value *old = &arguments->values[0], *new = &arguments->values[1];
    int64_t count;
    cloze_status status = cz_value_argument_integer(render, &arguments->values[2], -1, &count);
    if (!status && (old->type != CZ_STRING || new->type != CZ_STRING))
        status = cz_template_fail(render, CLOZE_INVALID, "replace needs two texts");
    if (status)
        return status;
    struct cz_writer writer = {.bytes.maximum = CZ_TEMPLATE_MAXIMUM_OUTPUT};
    struct cz_slice what = cz_value_text_slice(old);
    size_t at = 0, search = 0;
    for (; count != 0 && search <= text->size && !writer.bytes.failed; count--) {
        size_t hit = find_old(text, search, what);
        if (hit == SIZE_MAX)
            break;
        write_part(&writer, text, at, hit);
        cz_text_write_text(&writer, new->text);
        at = hit + what.size;
        search = at + (what.size == 0);
    }
    write_part(&writer, text, at, text->size);
    return cz_text_writer_take(render, &writer, out);
}

/* ---- Texts ---- */

FILTER(filter_upper)
{
    (void)arguments;
    const struct cz_text *text;
    cloze_status status = cz_value_operand_text(render, self, &text);
    return status ? status : cz_value_change_case(render, text, CZ_UPPER, out);
}

FILTER(filter_lower)
{
    (void)arguments;
    const struct cz_text *text;
    cloze_status status = cz_value_operand_text(render, self, &text);
    return status ? status : cz_value_change_case(render, text, CZ_LOWER, out);
}

FILTER(filter_title)
{
    (void)arguments;
    const struct cz_text *text;
    cloze_status status = cz_value_operand_text(render, self, &text);
    return status ? status : cz_value_change_case(render, text, CZ_TITLE_FILTER, out);
}

FILTER(filter_capitalize)
{
    (void)arguments;
    const struct cz_text *text;
    cloze_status status = cz_value_operand_text(render, self, &text);
    return status ? status : cz_value_change_case(render, text, CZ_CAPITALIZE, out);
}

FILTER(filter_trim)
{
    const struct cz_text *text;
    cloze_status status = cz_value_operand_text(render, self, &text);
    return status ? status : cz_value_strip(render, text, &arguments->values[0], true, true, out);
}

FILTER(filter_replace)
{
    const struct cz_text *text;
    cloze_status status = cz_value_operand_text(render, self, &text);
    return status ? status : cz_value_replace(render, text, arguments, out);
}

FILTER(filter_string)
{
    (void)arguments;
    return cz_value_to_string(render, self, out);
}

/* The indentation of `indent`: a number of blanks, or a text. */
static cloze_status indentation(struct cz_render *render, const struct cz_value *width,
                                struct cz_value *out)
{
    char blanks[256];
    int64_t count;
    if (width->type == CZ_STRING) {
        *out = *width;
        return CLOZE_OK;
    }
    cloze_status status = cz_value_argument_integer(render, width, 4, &count);
    if (!status && count >= (int64_t)sizeof blanks)
        status = cz_template_fail(render, CLOZE_LIMIT, "an indentation of more than 255 blanks");
    count = count < 0 ? 0 : count;
    memset(blanks, ' ', sizeof blanks);
    return status ? status : cz_value_string(render, cz_slice_of(blanks, (size_t)count), true, out);
}

FILTER(filter_indent)
{
    const struct cz_text *text;
    struct cz_value lines, indent;
    bool first = cz_value_truth(&arguments->values[1]),
         blank = cz_value_truth(&arguments->values[2]);
    cloze_status status = cz_value_operand_text(render, self, &text);
    if (!status)
        status = indentation(render, &arguments->values[0], &indent);
    if (!status)
        status = cz_value_split_lines(render, text, &lines);
    if (status)
        return status;
    struct cz_writer writer = {.bytes.maximum = CZ_TEMPLATE_MAXIMUM_OUTPUT};
    bool ends_open = text->size && text->data[text->size - 1] == '\n';
    size_t count = lines.list->count + ends_open;
    for (size_t i = 0; i < count; i++) {
        const struct cz_text *line =
            i < lines.list->count ? lines.list->items[i].text : &(struct cz_text){.data = ""};
        if (i)
            cz_text_write(&writer, CZ_SLICE("\n"), true);
        if (i ? blank || line->size : first)
            cz_text_write_text(&writer, indent.text);
        cz_text_write_text(&writer, line);
    }
    return cz_text_writer_take(render, &writer, out);
}

static void mark_safe(struct cz_value *value)
{
    ((struct cz_text *)value->text)->safe = true;
}

cloze_status cz_value_escape(struct cz_render *render, const struct cz_text *text,
                             struct cz_value *out)
{
    static const char characters[] = "&<>'\"";
    static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    struct cz_writer writer = {.bytes.maximum = CZ_TEMPLATE_MAXIMUM_OUTPUT};
    for (size_t i = 0; i < text->size; i++) {
        char c = text->data[i];
        const char *found = c && !text->safe ? strchr(characters, c) : NULL;
        if (found)
            cz_text_write(&writer, cz_slice(entities[found - characters]), false);
        else
            write_part(&writer, text, i, i + 1);
    }
    cloze_status status = cz_text_writer_take(render, &writer, out);
    if (!status)
        mark_safe(out);
    return status;
}

FILTER(filter_escape)
{
    (void)arguments;
    const struct cz_text *text;
    cloze_status status = cz_value_operand_text(render, self, &text);
    return status ? status : cz_value_escape(render, text, out);
}

FILTER(filter_safe)
{
    (void)arguments;
    const struct cz_text *text;
    cloze_status status = cz_value_operand_text(render, self, &text);
    if (!status)
        status = cz_value_text_part(render, text, 0, text->size, out);
    if (!status)
        mark_safe(out);
    return status;
}

/* ---- tojson ---- */

/* separators=(",", ":") */
static cloze_status read_separators(struct cz_render *render, const struct cz_value *argument,
                                    struct cz_dump_options *options)
{
    if (argument->type == CZ_UNDEFINED || argument->type == CZ_NONE)
        return CLOZE_OK;
    bool is_pair = (argument->type == CZ_TUPLE || argument->type == CZ_LIST) &&
                   argument->list->count == 2 && argument->list->items[0].type == CZ_STRING &&
                   argument->list->items[1].type == CZ_STRING;
    if (!is_pair)
        return cz_template_fail(render, CLOZE_INVALID, "tojson: separators are two texts");
    options->item_separator = cz_value_text_slice(&argument->list->items[0]);
    options->key_separator = cz_value_text_slice(&argument->list->items[1]);
    return CLOZE_OK;
}

FILTER(filter_tojson)
{
    const struct cz_value *indent = &arguments->values[1];
    struct cz_value indent_text;
    struct cz_dump_options options = {.ascii = cz_value_truth(&arguments->values[0]),
                                      .sort_keys = cz_value_truth(&arguments->values[3]),
                                      .item_separator = CZ_SLICE(", "),
                                      .key_separator = CZ_SLICE(": ")};
    if (indent->type != CZ_UNDEFINED && indent->type != CZ_NONE) {
        cloze_status status = indentation(render, indent, &indent_text);
        if (status)
            return status;
        options.indent = cz_value_text_slice(&indent_text);
        options.item_separator = CZ_SLICE(",");
    }
    cloze_status status = read_separators(render, &arguments->values[2], &options);
    return status ? status : cz_value_dump_json(render, self, &options, out);
}

/* ---- Any value ---- */

FILTER(filter_default)
{
    bool as_boolean = cz_value_truth(&arguments->values[1]);
    bool missing = self->type == CZ_UNDEFINED || (as_boolean && !cz_value_truth(self));
    *out = missing ? arguments->values[0] : *self;
    return missing && out->type == CZ_UNDEFINED ? cz_value_string(render, CZ_SLICE(""), true, out)
                                                : CLOZE_OK;
}

FILTER(filter_abs)
{
    (void)arguments;
    if (!cz_value_is_number(self))
        return cz_template_fail(render, CLOZE_INVALID, "abs of %s", cz_value_type_name(self));
    *out = *self;
    if (self->type == CZ_FLOAT)
        out->number = fabs(self->number);
    else if (self->type == CZ_BOOLEAN)
        *out = cz_value_integer(self->boolean);
    else if (self->integer == INT64_MIN)
        return cz_template_fail(render, CLOZE_LIMIT, "an integer grows beyond 64 bits");
    else
        out->integer = self->integer < 0 ? -self->integer : self->integer;
    return CLOZE_OK;
}

/* A text's number as JSON spells it, with blanks around; false when it is none. */
static bool parse_number(struct cz_slice text, struct cz_json *out)
{
    while (text.size && strchr(" \t\n\r\v\f", text.data[0])) {
        text.data++;
        text.size--;
    }
    while (text.size && strchr(" \t\n\r\v\f", text.data[text.size - 1]))
        text.size--;
    for (size_t i = 0; i < text.size; i++)
        if (!text.data[i] || !strchr("0123456789+-.eE", text.data[i]))
            return false;
    *out = (struct cz_json){.kind = CZ_JSON_NUMBER, .text = text};
    return text.size > 0;
}

FILTER(filter_float)
{
    double number = 0;
    struct cz_json json;
    const struct cz_value *fallback = &arguments->values[0];
    *out = fallback->type == CZ_UNDEFINED ? cz_value_number(0) : *fallback;
    (void)render;
    if (cz_value_is_number(self))
        *out = cz_value_number(cz_value_as_double(self));
    else if (self->type == CZ_STRING && parse_number(cz_value_text_slice(self), &json) &&
             cz_json_double(&json, &number))
        *out = cz_value_number(number);
    return CLOZE_OK;
}

FILTER(filter_int)
{
    double number;
    int64_t integer, base;
    struct cz_json json;
    const struct cz_value *fallback = &arguments->values[0];
    *out = fallback->type == CZ_UNDEFINED ? cz_value_integer(0) : *fallback;
    cloze_status status = cz_value_argument_integer(render, &arguments->values[1], 10, &base);
    if (status)
        return status;
    if (base != 10)
        return cz_template_fail(render, CLOZE_UNSUPPORTED, "int with a base other than 10");
    bool is_text = self->type == CZ_STRING && parse_number(cz_value_text_slice(self), &json);
    if (self->type == CZ_INTEGER || self->type == CZ_BOOLEAN) {
        *out = cz_value_integer(self->type == CZ_INTEGER ? self->integer : self->boolean);
    } else if (is_text && cz_json_int64(&json, &integer)) {
        *out = cz_value_integer(integer);
    } else if (self->type == CZ_FLOAT || (is_text && cz_json_double(&json, &number))) {
        number = self->type == CZ_FLOAT ? self->number : number;
        if (fabs(number) < 9e18)
            *out = cz_value_integer((int64_t)number);
    }
    return CLOZE_OK;
}

/* Half to even, as Python's round; "floor" and "ceil" as their names say. */
FILTER(filter_round)
{
    int64_t precision;
    const struct cz_value *method = &arguments->values[1];
    cloze_status status = cz_value_argument_integer(render, &arguments->values[0], 0, &precision);
    if (status)
        return status;
    if (!cz_value_is_number(self) || precision < 0 || precision > 15)
        return cz_template_fail(render, CLOZE_INVALID, "round needs a number and 0 to 15 digits");
    double scale = pow(10, (double)precision), value = cz_value_as_double(self);
    char text[400];
    if (cz_value_is_text(method, "ceil"))
        *out = cz_value_number(ceil(value * scale) / scale);
    else if (cz_value_is_text(method, "floor"))
        *out = cz_value_number(floor(value * scale) / scale);
    else if (method->type != CZ_UNDEFINED && !cz_value_is_text(method, "common"))
        return cz_template_fail(render, CLOZE_INVALID, "round: common, ceil or floor");
    else {
        snprintf(text, sizeof text, "%.*f", (int)precision, value);
        *out = cz_value_number(strtod(text, NULL));
        if (self->type != CZ_FLOAT)
            *out = *self;
    }
    return CLOZE_OK;
}

/* ---- The table ---- */

static const struct cz_builtin text_filters[] = {
    {"abs", "", filter_abs},
    {"capitalize", "", filter_capitalize},
    {"d", "default_value boolean", filter_default},
    {"default", "default_value boolean", filter_default},
    {"e", "", filter_escape},
    {"escape", "", filter_escape},
    {"float", "default", filter_float},
    {"indent", "width first blank", filter_indent},
    {"int", "default base", filter_int},
    {"lower", "", filter_lower},
    {"replace", "old new count", filter_replace},
    {"round", "precision method", filter_round},
    {"safe", "", filter_safe},
    {"string", "", filter_string},
    {"title", "", filter_title},
    {"tojson", "ensure_ascii indent separators sort_keys", filter_tojson},
    {"trim", "chars", filter_trim},
    {"upper", "", filter_upper},
    {NULL, NULL, NULL},
};

const struct cz_builtin *cz_template_builtin(const struct cz_builtin *table, struct cz_slice name)
{
    for (; table->name; table++)
        if (cz_slice_is(name, table->name))
            return table;
    return NULL;
}

const struct cz_builtin *cz_template_filter(struct cz_slice name)
{
    const struct cz_builtin *found = cz_template_builtin(text_filters, name);
    return found ? found : cz_template_builtin(cz_template_sequence_filters, name);
}
