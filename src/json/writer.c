/* writer.c - JSON text from events. */
#include "json/writer.h"

#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void new_line(struct cz_json_writer *writer)
{
    cz_buffer_append_byte(writer->out, '\n');
    for (unsigned i = 0; i < writer->depth; i++)
        cz_buffer_append_text(writer->out, "  ");
}

/* What stands between the last event and the next value or key. */
static void separate(struct cz_json_writer *writer)
{
    if (writer->after_key) {
        writer->after_key = false;
        return;
    }
    if (writer->has_items)
        cz_buffer_append_text(writer->out, writer->style == CZ_JSON_SPACED ? ", " : ",");
    if (writer->style == CZ_JSON_PRETTY && writer->depth)
        new_line(writer);
    writer->has_items = true;
}

static void begin(struct cz_json_writer *writer, char open)
{
    separate(writer);
    cz_buffer_append_byte(writer->out, open);
    writer->depth++;
    writer->has_items = false;
}

static void end(struct cz_json_writer *writer, char close)
{
    writer->depth--;
    if (writer->style == CZ_JSON_PRETTY && writer->has_items)
        new_line(writer);
    cz_buffer_append_byte(writer->out, close);
    writer->has_items = true;
}

void cz_json_begin_object(struct cz_json_writer *writer)
{
    begin(writer, '{');
}

void cz_json_end_object(struct cz_json_writer *writer)
{
    end(writer, '}');
}

void cz_json_begin_array(struct cz_json_writer *writer)
{
    begin(writer, '[');
}

void cz_json_end_array(struct cz_json_writer *writer)
{
    end(writer, ']');
}

static void append_utf16_escape(struct cz_buffer *out, uint32_t code)
{
    if (code >= 0x10000) {
        cz_buffer_printf(out, "\\u%04x", (unsigned)(0xD800 + ((code - 0x10000) >> 10)));
        code = 0xDC00 + ((code - 0x10000) & 0x3FF);
    }
    cz_buffer_printf(out, "\\u%04x", (unsigned)code);
}

static void append_ascii(struct cz_buffer *out, char byte)
{
    static const char controls[] = "\b\f\n\r\t";
    static const char names[] = "bfnrt";
    const char *control = byte ? strchr(controls, byte) : NULL;
    if (control)
        cz_buffer_printf(out, "\\%c", names[control - controls]);
    else if (byte == '"' || byte == '\\')
        cz_buffer_printf(out, "\\%c", byte);
    else if ((unsigned char)byte < 0x20)
        cz_buffer_printf(out, "\\u%04x", (unsigned char)byte);
    else
        cz_buffer_append_byte(out, byte);
}

static bool is_plain(char byte)
{
    return (unsigned char)byte >= 0x20 && (unsigned char)byte < 0x80 && byte != '"' && byte != '\\';
}

static void append_quoted(struct cz_json_writer *writer, struct cz_slice text)
{
    struct cz_buffer *out = writer->out;
    cz_buffer_append_byte(out, '"');
    for (size_t i = 0; i < text.size;) {
        size_t run = i;
        while (run < text.size && is_plain(text.data[run]))
            run++;
        cz_buffer_append(out, text.data + i, run - i);
        i = run;
        if (i == text.size)
            break;
        uint32_t code = 0xFFFD;
        size_t size = cz_utf8_decode(text.data + i, text.size - i, &code);
        if (size == 1)
            append_ascii(out, text.data[i]);
        else if (writer->ascii)
            append_utf16_escape(out, code);
        else if (size)
            cz_buffer_append(out, text.data + i, size);
        else
            cz_buffer_append_text(out, "\xEF\xBF\xBD");
        i += size ? size : 1;
    }
    cz_buffer_append_byte(out, '"');
}

void cz_json_write_key_slice(struct cz_json_writer *writer, struct cz_slice key)
{
    separate(writer);
    append_quoted(writer, key);
    cz_buffer_append_text(writer->out, writer->style == CZ_JSON_COMPACT ? ":" : ": ");
    writer->after_key = true;
}

void cz_json_write_key(struct cz_json_writer *writer, const char *key)
{
    cz_json_write_key_slice(writer, cz_slice(key));
}

void cz_json_write_slice(struct cz_json_writer *writer, struct cz_slice text)
{
    separate(writer);
    append_quoted(writer, text);
}

void cz_json_write_string(struct cz_json_writer *writer, const char *text)
{
    cz_json_write_slice(writer, cz_slice(text));
}

void cz_json_write_raw(struct cz_json_writer *writer, struct cz_slice json)
{
    separate(writer);
    cz_buffer_append_slice(writer->out, json);
}

void cz_json_write_int(struct cz_json_writer *writer, int64_t value)
{
    separate(writer);
    cz_buffer_printf(writer->out, "%lld", (long long)value);
}

/* The shortest of 15 to 17 digits that reads back as the same double. */
void cz_json_write_double(struct cz_json_writer *writer, double value)
{
    if (!isfinite(value)) {
        cz_json_write_null(writer);
        return;
    }
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    char *comma = strchr(text, ','); /* a locale's decimal point */
    if (comma)
        *comma = '.';
    cz_json_write_raw(writer, cz_slice(text));
}

void cz_json_write_bool(struct cz_json_writer *writer, bool value)
{
    cz_json_write_raw(writer, cz_slice(value ? "true" : "false"));
}

void cz_json_write_null(struct cz_json_writer *writer)
{
    cz_json_write_raw(writer, CZ_SLICE("null"));
}

void cz_json_write_value(struct cz_json_writer *writer, const struct cz_json *value)
{
    switch (value->kind) {
    case CZ_JSON_OBJECT:
        cz_json_begin_object(writer);
        CZ_JSON_EACH(member, value) {
            cz_json_write_key_slice(writer, cz_json_key(member));
            cz_json_write_value(writer, member);
        }
        cz_json_end_object(writer);
        break;
    case CZ_JSON_ARRAY:
        cz_json_begin_array(writer);
        CZ_JSON_EACH(item, value)
            cz_json_write_value(writer, item);
        cz_json_end_array(writer);
        break;
    case CZ_JSON_STRING:
        cz_json_write_slice(writer, value->text);
        break;
    case CZ_JSON_NUMBER:
        cz_json_write_raw(writer, value->text);
        break;
    case CZ_JSON_NULL:
        cz_json_write_null(writer);
        break;
    default:
        cz_json_write_bool(writer, value->kind == CZ_JSON_TRUE);
    }
}

void cz_json_write_member_string(struct cz_json_writer *writer, const char *key, const char *text)
{
    cz_json_write_key(writer, key);
    cz_json_write_string(writer, text);
}

void cz_json_write_member_int(struct cz_json_writer *writer, const char *key, int64_t value)
{
    cz_json_write_key(writer, key);
    cz_json_write_int(writer, value);
}

void cz_json_write_member_bool(struct cz_json_writer *writer, const char *key, bool value)
{
    cz_json_write_key(writer, key);
    cz_json_write_bool(writer, value);
}
