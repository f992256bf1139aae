/*
 * regex_reader.c - characters, escapes and the sets that they stand for.
 */
#include "constraint/regex_reader.h"

#include "base/utf8.h"

#include <stdio.h>

bool cz_reader_is_python(const struct cz_regex_reader *reader)
{
    return reader->flavour == CZ_REGEX_PYTHON;
}

void cz_reader_refuse(struct cz_regex_reader *reader, cloze_status code, const char *what)
{
    if (reader->status)
        return;
    size_t character = 1;
    for (size_t i = 0; i < reader->at && i < reader->text.size; i++)
        character += ((unsigned char)reader->text.data[i] & 0xC0) != 0x80;
    reader->status = cz_fail(reader->error, code, NULL,
                             "%s (character %zu of the pattern \"" CZ_SLICE_FORMAT "\")", what,
                             character, CZ_SLICE_ARG(reader->text));
}

void cz_reader_malformed(struct cz_regex_reader *reader, const char *what)
{
    cz_reader_refuse(reader, CLOZE_INVALID, what);
}

void cz_reader_unsupported(struct cz_regex_reader *reader, const char *what)
{
    cz_reader_refuse(reader, CLOZE_UNSUPPORTED, what);
}

/* ---- Reading ---- */

uint32_t cz_reader_peek(const struct cz_regex_reader *reader)
{
    uint32_t code;
    size_t left = reader->text.size - reader->at;
    return left && cz_utf8_decode(reader->text.data + reader->at, left, &code) ? code
                                                                               : CZ_READER_END;
}

uint32_t cz_reader_take(struct cz_regex_reader *reader)
{
    uint32_t code;
    size_t left = reader->text.size - reader->at;
    size_t size = left ? cz_utf8_decode(reader->text.data + reader->at, left, &code) : 0;
    reader->at += size;
    return size ? code : CZ_READER_END;
}

bool cz_reader_looking_at(const struct cz_regex_reader *reader, const char *text)
{
    size_t size = strlen(text);
    return reader->text.size - reader->at >= size &&
           memcmp(reader->text.data + reader->at, text, size) == 0;
}

bool cz_reader_accept(struct cz_regex_reader *reader, const char *text)
{
    if (!cz_reader_looking_at(reader, text))
        return false;
    reader->at += strlen(text);
    return true;
}

static int digit_value(uint32_t code, unsigned base)
{
    unsigned value = code >= '0' && code <= '9'   ? code - '0'
                     : code >= 'a' && code <= 'f' ? code - 'a' + 10
                     : code >= 'A' && code <= 'F' ? code - 'A' + 10
                                                  : 99;
    return value < base ? (int)value : -1;
}

/* Reads between `least` and `most` digits; false, with nothing read, when there are fewer. */
bool cz_reader_digits(struct cz_regex_reader *reader, unsigned base, unsigned least, unsigned most,
                      uint32_t *out)
{
    size_t start = reader->at;
    uint64_t value = 0;
    unsigned count = 0;
    for (; count < most; count++) {
        int digit = digit_value(cz_reader_peek(reader), base);
        if (digit < 0)
            break;
        value = value > UINT32_MAX ? value : value * base + (unsigned)digit;
        reader->at++;
    }
    if (count < least) {
        reader->at = start;
        return false;
    }
    *out = value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
    return true;
}

bool cz_reader_is_alphanumeric(uint32_t code)
{
    return (code >= '0' && code <= '9') || ((code | 32) >= 'a' && (code | 32) <= 'z');
}

/* ---- Classes of characters ---- */

static void add_digits(struct cz_codes *codes)
{
    cz_codes_add(codes, '0', '9');
}

void cz_codes_add_word(struct cz_codes *codes)
{
    cz_codes_add(codes, '0', '9');
    cz_codes_add(codes, 'A', 'Z');
    cz_codes_add(codes, '_', '_');
    cz_codes_add(codes, 'a', 'z');
}

/* ECMA-262: WhiteSpace and LineTerminator. */
static void add_space(struct cz_codes *codes)
{
    cz_codes_add(codes, 0x09, 0x0D);
    cz_codes_add(codes, 0x20, 0x20);
    cz_codes_add(codes, 0xA0, 0xA0);
    cz_codes_add(codes, 0x1680, 0x1680);
    cz_codes_add(codes, 0x2000, 0x200A);
    cz_codes_add(codes, 0x2028, 0x2029);
    cz_codes_add(codes, 0x202F, 0x202F);
    cz_codes_add(codes, 0x205F, 0x205F);
    cz_codes_add(codes, 0x3000, 0x3000);
    cz_codes_add(codes, 0xFEFF, 0xFEFF);
}

void cz_reader_line_ends(const struct cz_regex_reader *reader, struct cz_codes *codes)
{
    cz_codes_add(codes, '\n', '\n');
    if (cz_reader_is_python(reader))
        return;
    cz_codes_add(codes, '\r', '\r');
    cz_codes_add(codes, 0x2028, 0x2029);
}

static void add_horizontal(struct cz_codes *codes)
{
    cz_codes_add(codes, 0x09, 0x09);
    cz_codes_add(codes, 0x20, 0x20);
    cz_codes_add(codes, 0xA0, 0xA0);
    cz_codes_add(codes, 0x1680, 0x1680);
    cz_codes_add(codes, 0x180E, 0x180E);
    cz_codes_add(codes, 0x2000, 0x200A);
    cz_codes_add(codes, 0x202F, 0x202F);
    cz_codes_add(codes, 0x205F, 0x205F);
    cz_codes_add(codes, 0x3000, 0x3000);
}

void cz_codes_add_vertical(struct cz_codes *codes)
{
    cz_codes_add(codes, 0x0A, 0x0D);
    cz_codes_add(codes, 0x85, 0x85);
    cz_codes_add(codes, 0x2028, 0x2029);
}

/* After `\p` or `\P`: "{Name}", "{Name=Value}", and in PCRE also "{^Name}" and one letter. */
static bool read_property(struct cz_regex_reader *reader, bool negate, struct cz_codes *codes)
{
    struct cz_slice name = {reader->text.data + reader->at + 1, 0};
    if (cz_reader_accept(reader, "{")) {
        while (cz_reader_peek(reader) != '}' && cz_reader_peek(reader) != CZ_READER_END)
            cz_reader_take(reader);
        name.size = (size_t)(reader->text.data + reader->at - name.data);
        if (cz_reader_take(reader) == CZ_READER_END) {
            cz_reader_malformed(reader, "\\p{ without its closing brace");
            return false;
        }
    } else if (cz_reader_is_python(reader) && cz_reader_is_alphanumeric(cz_reader_peek(reader))) {
        name.data--;
        name.size = 1;
        cz_reader_take(reader);
    } else {
        cz_reader_malformed(reader, "\\p needs a property in braces, as in \\p{Letter}");
        return false;
    }
    if (cz_reader_is_python(reader) && name.size && *name.data == '^') {
        negate = !negate;
        name = cz_slice_of(name.data + 1, name.size - 1);
    }
    struct cz_codes found = {.arena = reader->arena};
    if (!cz_codes_add_property(&found, name)) {
        bool extensions =
            cz_slice_starts_with(name, "Script_Extensions=") || cz_slice_starts_with(name, "scx=");
        if (extensions)
            cz_reader_unsupported(reader, "the property Script_Extensions is not supported");
        else
            cz_reader_malformed(reader, "\\p{...} names no category, script or binary property");
        return false;
    }
    if (negate)
        cz_codes_negate(&found);
    cz_codes_add_set(codes, &found);
    return true;
}

/* The escapes that stand for a set, the backslash already read: true when there was one. */
bool cz_reader_set_escape(struct cz_regex_reader *reader, struct cz_codes *codes)
{
    uint32_t letter = cz_reader_peek(reader);
    struct cz_codes found = {.arena = reader->arena};
    bool python = cz_reader_is_python(reader);
    switch (letter) {
    case 'd':
    case 'D':
        add_digits(&found);
        break;
    case 'w':
    case 'W':
        cz_codes_add_word(&found);
        break;
    case 's':
    case 'S':
        add_space(&found);
        break;
    case 'p':
    case 'P':
        cz_reader_take(reader);
        read_property(reader, letter == 'P', codes);
        return true;
    case 'h':
    case 'H':
        if (!python)
            return false;
        add_horizontal(&found);
        break;
    case 'V':
        if (!python)
            return false;
        cz_codes_add_vertical(&found);
        break;
    case 'N':
        if (!python)
            return false;
        cz_reader_line_ends(reader, &found);
        break;
    default:
        return false;
    }
    cz_reader_take(reader);
    if (letter < 'a')
        cz_codes_negate(&found);
    cz_codes_add_set(codes, &found);
    return true;
}

/* ---- Escapes of one character ---- */

/* After "\u": four digits (and the second half of a surrogate pair) or a code point in braces. */
static uint32_t read_unicode_escape(struct cz_regex_reader *reader)
{
    uint32_t code, low;
    if (cz_reader_accept(reader, "{")) {
        if (!cz_reader_digits(reader, 16, 1, 64, &code) || code > CZ_CODE_LAST ||
            !cz_reader_accept(reader, "}"))
            cz_reader_malformed(reader, "\\u{...} needs a code point of at most 10FFFF");
        return code;
    }
    if (!cz_reader_digits(reader, 16, 4, 4, &code)) {
        cz_reader_malformed(reader, "\\u needs four hexadecimal digits or a code point in braces");
        return 0;
    }
    size_t after = reader->at;
    if (code >= 0xD800 && code < 0xDC00 && cz_reader_accept(reader, "\\u")) {
        if (cz_reader_digits(reader, 16, 4, 4, &low) && low >= 0xDC00 && low < 0xE000)
            return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        reader->at = after;
    }
    return code;
}

static uint32_t read_hex_escape(struct cz_regex_reader *reader)
{
    uint32_t code = 0;
    if (cz_reader_is_python(reader) && cz_reader_accept(reader, "{")) {
        if (!cz_reader_digits(reader, 16, 1, 64, &code) || code > CZ_CODE_LAST ||
            !cz_reader_accept(reader, "}"))
            cz_reader_malformed(reader, "\\x{...} needs a code point of at most 10FFFF");
    } else if (!cz_reader_digits(reader, 16, 2, 2, &code)) {
        cz_reader_malformed(reader, "\\x needs two hexadecimal digits");
    }
    return code;
}

static uint32_t read_control_escape(struct cz_regex_reader *reader)
{
    uint32_t letter = cz_reader_peek(reader);
    if ((letter | 32) < 'a' || (letter | 32) > 'z') {
        cz_reader_malformed(reader, "\\c needs a letter");
        return 0;
    }
    cz_reader_take(reader);
    return letter & 31;
}

/* A digit after the backslash: NUL, an octal code, or a back-reference, which is refused. */
static uint32_t read_number_escape(struct cz_regex_reader *reader, bool in_class)
{
    uint32_t value = 0;
    size_t start = reader->at;
    if (cz_reader_peek(reader) != '0' && !in_class) {
        cz_reader_digits(reader, 10, 1, 9, &value);
        if (value <= reader->groups) {
            cz_reader_unsupported(reader, "a back-reference is not regular and not supported");
            return 0;
        }
        reader->at = start;
    }
    if (!cz_reader_digits(reader, 8, 1, 3, &value) || value > 0xFF) {
        cz_reader_malformed(reader, "a back-reference to a group that does not exist");
        return 0;
    }
    if (!cz_reader_is_python(reader) && (value || reader->at != start + 1))
        cz_reader_malformed(
            reader, "octal escapes have no meaning in ECMA-262 with the u flag: write \\xHH");
    return value;
}

/* The escapes that only Python or PCRE know. */
static bool read_python_escape(struct cz_regex_reader *reader, uint32_t letter, uint32_t *code)
{
    switch (letter) {
    case 'a':
        *code = 7;
        return true;
    case 'e':
        *code = 0x1B;
        return true;
    case 'U':
        if (!cz_reader_digits(reader, 16, 8, 8, code) || *code > CZ_CODE_LAST)
            cz_reader_malformed(reader, "\\U needs eight hexadecimal digits of at most 10FFFF");
        return true;
    case 'o':
        if (!cz_reader_accept(reader, "{") || !cz_reader_digits(reader, 8, 1, 16, code) ||
            *code > CZ_CODE_LAST || !cz_reader_accept(reader, "}"))
            cz_reader_malformed(reader, "\\o needs an octal number in braces");
        return true;
    default:
        return false;
    }
}

/* One character behind a backslash that was read. */
uint32_t cz_reader_character_escape(struct cz_regex_reader *reader, bool in_class)
{
    uint32_t letter = cz_reader_peek(reader), code = 0;
    if (letter >= '0' && letter <= '9')
        return read_number_escape(reader, in_class);
    if (letter == CZ_READER_END) {
        cz_reader_malformed(reader, "a backslash at the end");
        return 0;
    }
    cz_reader_take(reader);
    switch (letter) {
    case 't':
        return '\t';
    case 'n':
        return '\n';
    case 'v':
        return '\v';
    case 'f':
        return '\f';
    case 'r':
        return '\r';
    case 'c':
        return read_control_escape(reader);
    case 'x':
        return read_hex_escape(reader);
    case 'u':
        return read_unicode_escape(reader);
    case 'b':
        if (in_class)
            return '\b';
        break;
    default:
        break;
    }
    if (cz_reader_is_python(reader) && read_python_escape(reader, letter, &code))
        return code;
    if (cz_reader_is_alphanumeric(letter)) {
        char text[96];
        snprintf(text, sizeof text, "the escape \\%c has no meaning in %s", (char)letter,
                 cz_reader_is_python(reader) ? "a regular language" : "ECMA-262 with the u flag");
        cz_reader_malformed(reader, text);
    }
    return letter;
}

/* ---- Bracket expressions ---- */

struct posix_class {
    const char *name;
    const char *ranges; /* pairs of first and last */
};

static const struct posix_class posix_classes[] = {
    {"alnum", "09AZaz"},   {"alpha", "AZaz"},    {"ascii", "\x01\x7F"},
    {"blank", "\t\t  "},   {"digit", "09"},      {"cntrl", "\x01\x1F\x7F\x7F"},
    {"graph", "!~"},       {"lower", "az"},      {"print", " ~"},
    {"punct", "!/:@[`{~"}, {"space", "\t\r  "},  {"upper", "AZ"},
    {"word", "09AZ__az"},  {"xdigit", "09AFaf"},
};

/* "[:name:]" or "[:^name:]" inside brackets. */
static bool read_posix_class(struct cz_regex_reader *reader, struct cz_codes *codes)
{
    size_t start = reader->at;
    if (!cz_reader_is_python(reader) || !cz_reader_accept(reader, "[:"))
        return false;
    bool negate = cz_reader_accept(reader, "^");
    for (size_t i = 0; i < sizeof posix_classes / sizeof *posix_classes; i++) {
        size_t after = reader->at;
        if (!cz_reader_accept(reader, posix_classes[i].name) || !cz_reader_accept(reader, ":]")) {
            reader->at = after;
            continue;
        }
        struct cz_codes found = {.arena = reader->arena};
        const char *ranges = posix_classes[i].ranges;
        if (strcmp(posix_classes[i].name, "ascii") == 0 ||
            strcmp(posix_classes[i].name, "cntrl") == 0)
            cz_codes_add(&found, 0, 0); /* a string can't hold it */
        for (; *ranges; ranges += 2)
            cz_codes_add(&found, (unsigned char)ranges[0], (unsigned char)ranges[1]);
        cz_codes_normalise(&found);
        if (negate)
            cz_codes_negate(&found);
        cz_codes_add_set(codes, &found);
        return true;
    }
    reader->at = start;
    return false;
}

/* One item: a set (true; already added) or a single character in *code (false). */
static bool read_class_atom(struct cz_regex_reader *reader, struct cz_codes *codes, uint32_t *code)
{
    if (read_posix_class(reader, codes))
        return true;
    if (!cz_reader_accept(reader, "\\")) {
        *code = cz_reader_take(reader);
        return false;
    }
    if (cz_reader_set_escape(reader, codes))
        return true;
    *code = cz_reader_character_escape(reader, true);
    return false;
}

void cz_reader_class_item(struct cz_regex_reader *reader, struct cz_codes *codes)
{
    uint32_t first = 0, last = 0;
    bool set = read_class_atom(reader, codes, &first);
    if (cz_reader_peek(reader) != '-' || cz_reader_looking_at(reader, "-]")) {
        if (!set)
            cz_codes_add(codes, first, first);
        return;
    }
    cz_reader_take(reader);
    bool last_set = read_class_atom(reader, codes, &last);
    if (set || last_set) { /* Annex B: the hyphen is a character */
        cz_codes_add(codes, '-', '-');
        if (!set)
            cz_codes_add(codes, first, first);
        if (!last_set)
            cz_codes_add(codes, last, last);
    } else if (first > last) {
        cz_reader_malformed(reader, "a range of characters in the wrong order");
    } else {
        cz_codes_add(codes, first, last);
    }
}
