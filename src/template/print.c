/*
 * print.c - values as text, as Python prints them: str() for output, repr() within containers,
 * json.dumps for tojson.
 */
#include "base/size.h"
#include "base/utf8.h"
#include "template/value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unictype.h>

/* ---- The writer ---- */

void cz_text_write(struct cz_writer *writer, struct cz_slice text, bool trusted)
{
    char *mask = text.size ? cz_buffer_reserve(&writer->mask, text.size) : NULL;
    cz_buffer_append_slice(&writer->bytes, text);
    if (mask) {
        memset(mask, trusted, text.size);
        writer->mask.size += text.size;
    }
}

void cz_text_write_text(struct cz_writer *writer, const struct cz_text *text)
{
    if (!text->mask) {
        cz_text_write(writer, cz_slice_of(text->data, text->size), text->trusted);
        return;
    }
    cz_buffer_append(&writer->bytes, text->data, text->size);
    cz_buffer_append(&writer->mask, text->mask, text->size);
}

void cz_text_writer_free(struct cz_writer *writer)
{
    cz_buffer_free(&writer->bytes);
    cz_buffer_free(&writer->mask);
}

static bool is_uniform(const uint8_t *mask, size_t size)
{
    return size == 0 || memchr(mask, !mask[0], size) == NULL;
}

static cloze_status keep_writer(struct cz_render *render, const struct cz_writer *writer,
                                struct cz_value *out)
{
    size_t size = writer->bytes.size;
    const uint8_t *mask = (const uint8_t *)writer->mask.data;
    cloze_status status = cz_value_string(render, cz_slice_of(cz_buffer_text(&writer->bytes), size),
                                          size == 0 || mask[0], out);
    if (status || is_uniform(mask, size))
        return status;
    char *kept = cz_arena_text(&render->arena, cz_slice_of(mask, size));
    struct cz_text *text = (struct cz_text *)out->text;
    text->mask = (const uint8_t *)kept;
    return kept ? CLOZE_OK : cz_template_memory(render);
}

cloze_status cz_text_writer_take(struct cz_render *render, struct cz_writer *writer,
                                 struct cz_value *out)
{
    cloze_status status =
        writer->bytes.failed || writer->mask.failed
            ? cz_template_fail(render, CLOZE_LIMIT, "the text grows beyond %d bytes",
                               CZ_TEMPLATE_MAXIMUM_OUTPUT)
            : keep_writer(render, writer, out);
    cz_text_writer_free(writer);
    return status;
}

/* ---- Numbers ---- */

/* The shortest digits that read back as the same number; "d.ddde+XX". */
static void shortest_digits(double number, char out[40])
{
    for (int precision = 0; precision <= 17; precision++) {
        snprintf(out, 40, "%.*e", precision, number);
        if (strtod(out, NULL) == number)
            return;
    }
}

void cz_text_write_double(struct cz_buffer *out, double number)
{
    if (isnan(number) || isinf(number)) {
        cz_buffer_append_text(out, isnan(number) ? "nan" : number < 0 ? "-inf" : "inf");
        return;
    }
    char text[40], digits[40];
    shortest_digits(number, text);
    char *e = strchr(text, 'e');
    int exponent = atoi(e + 1), count = 0;
    for (char *c = text; c < e; c++)
        if (*c >= '0' && *c <= '9')
            digits[count++] = *c;
    while (count > 1 && digits[count - 1] == '0')
        count--;
    if (text[0] == '-')
        cz_buffer_append_byte(out, '-');
    if (exponent < -4 || exponent >= 16) {
        cz_buffer_append_byte(out, digits[0]);
        if (count > 1)
            cz_buffer_printf(out, ".%.*s", count - 1, digits + 1);
        cz_buffer_printf(out, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
    } else if (exponent < 0) {
        cz_buffer_printf(out, "0.%.*s%.*s", -exponent - 1, "0000", count, digits);
    } else {
        for (int i = 0; i <= exponent; i++)
            cz_buffer_append_byte(out, i < count ? digits[i] : '0');
        cz_buffer_append_byte(out, '.');
        cz_buffer_printf(out, "%.*s", count > exponent + 1 ? count - exponent - 1 : 1,
                         count > exponent + 1 ? digits + exponent + 1 : "0");
    }
}

/* ---- str() and repr() ---- */

/* Python's str.isprintable for one character. */
static bool is_printable(uint32_t code)
{
    return code == ' ' ||
           !uc_is_general_category_withtable(code, UC_CATEGORY_MASK_C | UC_CATEGORY_MASK_Z);
}

static void write_repr_character(struct cz_buffer *out, const char *data, size_t size,
                                 uint32_t code, char quote)
{
    if (code == (uint32_t)quote || code == '\\')
        cz_buffer_printf(out, "\\%c", (char)code);
    else if (code == '\n' || code == '\r' || code == '\t')
        cz_buffer_printf(out, "\\%c", code == '\n' ? 'n' : code == '\r' ? 'r' : 't');
    else if (is_printable(code))
        cz_buffer_append(out, data, size);
    else
        cz_buffer_printf(out,
                         code < 0x100     ? "\\x%02x"
                         : code < 0x10000 ? "\\u%04x"
                                          : "\\U%08x",
                         code);
}

static void write_repr_text(struct cz_writer *writer, struct cz_slice text)
{
    struct cz_buffer out = {.maximum = CZ_TEMPLATE_MAXIMUM_OUTPUT};
    bool single = memchr(text.data, '\'', text.size) != NULL;
    bool both = single && memchr(text.data, '"', text.size);
    char quote = single && !both ? '"' : '\'';
    cz_buffer_append_byte(&out, quote);
    for (size_t at = 0; at < text.size;) {
        uint32_t code = 0;
        size_t size = cz_size_max(cz_utf8_decode(text.data + at, text.size - at, &code), 1);
        write_repr_character(&out, text.data + at, size, code, quote);
        at += size;
    }
    cz_buffer_append_byte(&out, quote);
    cz_text_write(writer, cz_buffer_slice(&out), false);
    writer->bytes.failed |= out.failed;
    cz_buffer_free(&out);
}

static void write_value(struct cz_writer *writer, const struct cz_value *value, bool inside);

static void write_items(struct cz_writer *writer, const struct cz_list *list, bool tuple)
{
    cz_text_write(writer, tuple ? CZ_SLICE("(") : CZ_SLICE("["), false);
    for (size_t i = 0; i < list->count; i++) {
        if (i)
            cz_text_write(writer, CZ_SLICE(", "), false);
        write_value(writer, &list->items[i], true);
    }
    if (tuple && list->count == 1)
        cz_text_write(writer, CZ_SLICE(","), false);
    cz_text_write(writer, tuple ? CZ_SLICE(")") : CZ_SLICE("]"), false);
}

static void write_entries(struct cz_writer *writer, const struct cz_dict *dict)
{
    cz_text_write(writer, CZ_SLICE("{"), false);
    for (size_t i = 0; i < dict->count; i++) {
        if (i)
            cz_text_write(writer, CZ_SLICE(", "), false);
        write_value(writer, &dict->entries[i].key, true);
        cz_text_write(writer, CZ_SLICE(": "), false);
        write_value(writer, &dict->entries[i].value, true);
    }
    cz_text_write(writer, CZ_SLICE("}"), false);
}

static void write_number(struct cz_writer *writer, const struct cz_value *value)
{
    struct cz_buffer text = {0};
    if (value->type == CZ_FLOAT)
        cz_text_write_double(&text, value->number);
    else
        cz_buffer_printf(&text, "%lld", (long long)value->integer);
    cz_text_write(writer, cz_buffer_slice(&text), true); /* digits spell no special token */
    cz_buffer_free(&text);
}

/* Recursive in the depth of the value; see cz_equal. */
static void write_value(struct cz_writer *writer, const struct cz_value *value, bool inside)
{
    switch (value->type) {
    case CZ_UNDEFINED:
        cz_text_write(writer, inside ? CZ_SLICE("Undefined") : CZ_SLICE(""), true);
        break;
    case CZ_NONE:
        cz_text_write(writer, CZ_SLICE("None"), true);
        break;
    case CZ_BOOLEAN:
        cz_text_write(writer, value->boolean ? CZ_SLICE("True") : CZ_SLICE("False"), true);
        break;
    case CZ_INTEGER:
    case CZ_FLOAT:
        write_number(writer, value);
        break;
    case CZ_STRING:
        if (inside)
            write_repr_text(writer, cz_value_text_slice(value));
        else
            cz_text_write_text(writer, value->text);
        break;
    case CZ_BIG:
        cz_text_write_text(writer, value->text);
        break;
    case CZ_LIST:
    case CZ_TUPLE:
        write_items(writer, value->list, value->type == CZ_TUPLE);
        break;
    case CZ_DICT:
        write_entries(writer, value->dict);
        break;
    default:
        cz_text_write(writer, CZ_SLICE("<"), true);
        cz_text_write(writer, cz_slice(cz_value_type_name(value)), true);
        cz_text_write(writer, CZ_SLICE(">"), true);
    }
}

void cz_text_write_value(struct cz_writer *writer, const struct cz_value *value)
{
    write_value(writer, value, false);
}

cloze_status cz_value_to_string(struct cz_render *render, const struct cz_value *value,
                                struct cz_value *out)
{
    if (value->type == CZ_STRING) {
        *out = *value;
        return CLOZE_OK;
    }
    struct cz_writer writer = {.bytes.maximum = CZ_TEMPLATE_MAXIMUM_OUTPUT};
    cz_text_write_value(&writer, value);
    return cz_text_writer_take(render, &writer, out);
}

/* ---- json.dumps ---- */

struct dumper {
    struct cz_render *render;
    const struct cz_dump_options *options;
    struct cz_buffer out;
    unsigned depth;
    bool trusted; /* nothing of a user so far */
};

static cloze_status dump_value(struct dumper *dumper, const struct cz_value *value);

static void dump_character(struct dumper *dumper, const char *data, size_t size, uint32_t code)
{
    static const char escaped[] = "\"\\\n\r\t\b\f";
    static const char letters[] = "\"\\nrtbf";
    const char *found = code && code < 0x80 ? strchr(escaped, (int)code) : NULL;
    if (found)
        cz_buffer_printf(&dumper->out, "\\%c", letters[found - escaped]);
    else if (code < 0x20 || (dumper->options->ascii && code >= 0x80 && code < 0x10000))
        cz_buffer_printf(&dumper->out, "\\u%04x", code);
    else if (dumper->options->ascii && code >= 0x10000)
        cz_buffer_printf(&dumper->out, "\\u%04x\\u%04x", 0xD800 + ((code - 0x10000) >> 10),
                         0xDC00 + (code & 0x3FF));
    else
        cz_buffer_append(&dumper->out, data, size);
}

static void dump_text(struct dumper *dumper, const struct cz_value *value)
{
    struct cz_slice text = cz_value_text_slice(value);
    dumper->trusted &= value->text->trusted && !value->text->mask;
    cz_buffer_append_byte(&dumper->out, '"');
    for (size_t at = 0; at < text.size;) {
        uint32_t code = 0xFFFD;
        size_t size = cz_size_max(cz_utf8_decode(text.data + at, text.size - at, &code), 1);
        dump_character(dumper, text.data + at, size, code);
        at += size;
    }
    cz_buffer_append_byte(&dumper->out, '"');
}

static void dump_line_break(struct dumper *dumper)
{
    if (!dumper->options->indent.data)
        return;
    cz_buffer_append_byte(&dumper->out, '\n');
    for (unsigned i = 0; i < dumper->depth; i++)
        cz_buffer_append_slice(&dumper->out, dumper->options->indent);
}

static cloze_status dump_key(struct dumper *dumper, const struct cz_value *key)
{
    if (key->type == CZ_STRING) {
        dump_text(dumper, key);
        return CLOZE_OK;
    }
    if (!cz_value_is_number(key) && key->type != CZ_NONE)
        return cz_template_fail(dumper->render, CLOZE_INVALID,
                                "tojson: keys must be text or numbers, not %s",
                                cz_value_type_name(key));
    cz_buffer_append_byte(&dumper->out, '"');
    cloze_status status = dump_value(dumper, key);
    cz_buffer_append_byte(&dumper->out, '"');
    return status;
}

static int order_entries(const void *a, const void *b)
{
    const struct cz_dict_entry *left = a, *right = b;
    return cz_slice_compare(cz_value_text_slice(&left->key), cz_value_text_slice(&right->key));
}

/* The entries in the order to write them. */
static const struct cz_dict_entry *entries_in_order(struct dumper *dumper,
                                                    const struct cz_dict *dict)
{
    if (!dumper->options->sort_keys)
        return dict->entries;
    struct cz_dict_entry *sorted =
        CZ_ARENA_ARRAY(&dumper->render->arena, struct cz_dict_entry, dict->count);
    if (sorted) {
        memcpy(sorted, dict->entries, dict->count * sizeof *sorted);
        qsort(sorted, dict->count, sizeof *sorted, order_entries);
    }
    return sorted;
}

static cloze_status dump_members(struct dumper *dumper, const struct cz_dict *dict)
{
    const struct cz_dict_entry *entries = entries_in_order(dumper, dict);
    if (!entries)
        return cz_template_memory(dumper->render);
    cloze_status status = CLOZE_OK;
    for (size_t i = 0; i < dict->count && !status; i++) {
        if (i)
            cz_buffer_append_slice(&dumper->out, dumper->options->item_separator);
        dump_line_break(dumper);
        status = dump_key(dumper, &entries[i].key);
        cz_buffer_append_slice(&dumper->out, dumper->options->key_separator);
        if (!status)
            status = dump_value(dumper, &entries[i].value);
    }
    return status;
}

static cloze_status dump_items(struct dumper *dumper, const struct cz_list *list)
{
    cloze_status status = CLOZE_OK;
    for (size_t i = 0; i < list->count && !status; i++) {
        if (i)
            cz_buffer_append_slice(&dumper->out, dumper->options->item_separator);
        dump_line_break(dumper);
        status = dump_value(dumper, &list->items[i]);
    }
    return status;
}

static cloze_status dump_container(struct dumper *dumper, const struct cz_value *value)
{
    bool is_dict = value->type == CZ_DICT;
    size_t count = is_dict ? value->dict->count : value->list->count;
    cz_buffer_append_byte(&dumper->out, is_dict ? '{' : '[');
    dumper->depth++;
    cloze_status status =
        is_dict ? dump_members(dumper, value->dict) : dump_items(dumper, value->list);
    dumper->depth--;
    if (count)
        dump_line_break(dumper);
    cz_buffer_append_byte(&dumper->out, is_dict ? '}' : ']');
    return status;
}

static cloze_status dump_value(struct dumper *dumper, const struct cz_value *value)
{
    switch (value->type) {
    case CZ_NONE:
        cz_buffer_append_text(&dumper->out, "null");
        return CLOZE_OK;
    case CZ_BOOLEAN:
        cz_buffer_append_text(&dumper->out, value->boolean ? "true" : "false");
        return CLOZE_OK;
    case CZ_INTEGER:
        cz_buffer_printf(&dumper->out, "%lld", (long long)value->integer);
        return CLOZE_OK;
    case CZ_FLOAT:
        if (isnan(value->number) || isinf(value->number))
            cz_buffer_append_text(&dumper->out, isnan(value->number) ? "NaN"
                                                : value->number < 0  ? "-Infinity"
                                                                     : "Infinity");
        else
            cz_text_write_double(&dumper->out, value->number);
        return CLOZE_OK;
    case CZ_BIG:
        cz_buffer_append_slice(&dumper->out, cz_value_text_slice(value));
        return CLOZE_OK;
    case CZ_STRING:
        dump_text(dumper, value);
        return CLOZE_OK;
    case CZ_LIST:
    case CZ_TUPLE:
    case CZ_DICT:
        return dump_container(dumper, value);
    default:
        return cz_template_fail(dumper->render, CLOZE_INVALID,
                                "tojson: a value is %s, which JSON "
                                "has no form for",
                                cz_value_type_name(value));
    }
}

cloze_status cz_value_dump_json(struct cz_render *render, const struct cz_value *value,
                                const struct cz_dump_options *options, struct cz_value *out)
{
    struct dumper dumper = {.render = render,
                            .options = options,
                            .trusted = true,
                            .out = {.maximum = CZ_TEMPLATE_MAXIMUM_OUTPUT}};
    cloze_status status = dump_value(&dumper, value);
    if (!status && dumper.out.failed)
        status = cz_template_fail(render, CLOZE_LIMIT, "the text grows beyond %d bytes",
                                  CZ_TEMPLATE_MAXIMUM_OUTPUT);
    if (!status)
        status = cz_value_string(render, cz_buffer_slice(&dumper.out), dumper.trusted, out);
    cz_buffer_free(&dumper.out);
    return status;
}
