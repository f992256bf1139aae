/*
 * scanner.c - the tokens within a tag of a template, one at a time, and errors with their place.
 */
#include "base/utf8.h"
#include "template/parser.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Errors ---- */

void cz_template_place(struct cz_slice source, size_t offset, char where[64])
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < offset && i < source.size; i++) {
        bool newline = source.data[i] == '\n';
        line += newline;
        column = newline ? 1 : column + (((unsigned char)source.data[i] & 0xC0) != 0x80);
    }
    snprintf(where, 64, "line %zu, column %zu", line, column);
}

cloze_status cz_scan_fail_at(struct cz_parser *parser, size_t offset, cloze_status code,
                             const char *what, struct cz_slice text)
{
    char where[64];
    cz_template_place(parser->source, offset, where);
    return cz_fail(parser->error, code, where, text.size ? "%s \"" CZ_SLICE_FORMAT "\"" : "%s",
                   what, CZ_SLICE_ARG(text));
}

cloze_status cz_scan_fail(struct cz_parser *parser, const char *what)
{
    bool has_token =
        parser->token.kind != CZ_TOKEN_END && parser->token.kind != CZ_TOKEN_END_OF_TAG;
    return cz_scan_fail_at(parser, parser->token.offset, CLOZE_INVALID, what,
                           has_token ? parser->token.text : (struct cz_slice){0});
}

cloze_status cz_scan_unsupported(struct cz_parser *parser, size_t offset, const char *what,
                                 struct cz_slice name)
{
    return cz_scan_fail_at(parser, offset, CLOZE_UNSUPPORTED, what, name);
}

/* ---- The scanner ---- */

bool cz_scan_is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool cz_scan_looking_at(const struct cz_parser *parser, size_t at, const char *text)
{
    return cz_slice_starts_with(cz_slice_of(parser->source.data + at, parser->source.size - at),
                                text);
}

static void skip_space(struct cz_parser *parser)
{
    while (parser->at < parser->source.size && cz_scan_is_space(parser->source.data[parser->at]))
        parser->at++;
}

/* Behind the end of a tag: "-" takes all white space, a block or comment one newline. */
void cz_scan_trim_after(struct cz_parser *parser, char sign, bool is_block)
{
    if (sign == '-')
        skip_space(parser);
    else if (is_block && sign != '+' && cz_scan_looking_at(parser, parser->at, "\n"))
        parser->at++;
    parser->line_starting = parser->source.data[parser->at - 1] == '\n';
}

/* The end of the tag at the current place, with its sign; the tag is left then. */
static bool take_tag_end(struct cz_parser *parser)
{
    char c = parser->source.data[parser->at];
    bool is_block = parser->tag_end[0] == '%';
    bool has_sign = c == '-' || (c == '+' && is_block);
    if (parser->brackets || !cz_scan_looking_at(parser, parser->at + has_sign, parser->tag_end))
        return false;
    parser->at += 2 + has_sign;
    cz_scan_trim_after(parser, has_sign ? c : '\0', is_block);
    return true;
}

static void append_code_point(struct cz_buffer *text, uint32_t code)
{
    char bytes[4];
    cz_buffer_append(text, bytes, cz_utf8_encode(code, bytes));
}

/* \xHH, \uHHHH, \UHHHHHHHH; false when digits are missing. */
static bool take_hexadecimal(struct cz_slice rest, size_t digits, struct cz_buffer *text)
{
    uint32_t code = 0;
    for (size_t i = 0; i < digits; i++) {
        char c = i < rest.size ? rest.data[i] : '\0';
        uint32_t digit = is_digit(c)            ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16u;
        if (digit == 16)
            return false;
        code = code << 4 | digit;
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return false;
    append_code_point(text, code);
    return true;
}

/* One escape behind the backslash; returns the bytes taken, 0 when it is malformed. */
static size_t unescape(struct cz_slice rest, struct cz_buffer *text)
{
    static const char names[] = "\\'\"abfnrtv";
    static const char values[] = "\\'\"\a\b\f\n\r\t\v";
    char c = rest.data[0];
    const char *found = c ? strchr(names, c) : NULL;
    if (found) {
        cz_buffer_append_byte(text, values[found - names]);
        return 1;
    }
    if (c == 'x' || c == 'u' || c == 'U') {
        size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        return take_hexadecimal(cz_slice_of(rest.data + 1, rest.size - 1), digits, text)
                   ? 1 + digits
                   : 0;
    }
    if (c >= '0' && c <= '7') {
        uint32_t code = 0;
        size_t taken = 0;
        while (taken < 3 && taken < rest.size && rest.data[taken] >= '0' && rest.data[taken] <= '7')
            code = code * 8 + (uint32_t)(rest.data[taken++] - '0');
        append_code_point(text, code);
        return taken;
    }
    if (c != '\n') { /* not an escape: the backslash stays */
        cz_buffer_append_byte(text, '\\');
        cz_buffer_append_byte(text, c);
    }
    return 1;
}

cloze_status cz_scan_keep_text(struct cz_parser *parser, struct cz_slice text, struct cz_value *out)
{
    struct cz_text *kept = CZ_ARENA_NEW(&parser->tmpl->arena, struct cz_text);
    char *data = cz_arena_text(&parser->tmpl->arena, text);
    if (!kept || !data)
        return cz_fail_memory(parser->error, "the template");
    *kept = (struct cz_text){.data = data, .size = text.size, .trusted = true};
    *out = (struct cz_value){.type = CZ_STRING, .text = kept};
    return CLOZE_OK;
}

static cloze_status scan_string(struct cz_parser *parser)
{
    struct cz_slice source = parser->source;
    char quote = source.data[parser->at];
    struct cz_buffer text = {0};
    size_t at = parser->at + 1;
    while (at < source.size && source.data[at] != quote) {
        if (source.data[at] != '\\') {
            cz_buffer_append_byte(&text, source.data[at++]);
            continue;
        }
        size_t taken =
            at + 1 < source.size
                ? unescape(cz_slice_of(source.data + at + 1, source.size - at - 1), &text)
                : 0;
        if (!taken) {
            cz_buffer_free(&text);
            return cz_scan_fail_at(parser, at, CLOZE_INVALID, "an incomplete escape in a string",
                                   (struct cz_slice){0});
        }
        at += 1 + taken;
    }
    cloze_status status = CLOZE_OK;
    if (at >= source.size)
        status = cz_scan_fail_at(parser, parser->at, CLOZE_INVALID,
                                 "a string without its closing quote", (struct cz_slice){0});
    else
        status = cz_buffer_status(&text, "the template", parser->error);
    if (!status)
        status = cz_scan_keep_text(parser, cz_slice_of(cz_buffer_text(&text), text.size),
                                   &parser->token.value);
    cz_buffer_free(&text);
    parser->token.kind = CZ_TOKEN_STRING;
    parser->at = at + 1;
    return status;
}

/* Digits with single underscores between them, copied without these. */
static void scan_digits(struct cz_parser *parser, char *out, size_t capacity, size_t *size)
{
    const char *data = parser->source.data;
    while (parser->at < parser->source.size) {
        char c = data[parser->at];
        bool underscore =
            c == '_' && parser->at + 1 < parser->source.size && is_digit(data[parser->at + 1]);
        if (!is_digit(c) && !underscore)
            break;
        if (!underscore && *size + 1 < capacity)
            out[(*size)++] = c;
        parser->at++;
    }
}

static bool scan_exponent(struct cz_parser *parser, char *out, size_t capacity, size_t *size)
{
    const char *data = parser->source.data;
    size_t at = parser->at;
    if (at >= parser->source.size || (data[at] != 'e' && data[at] != 'E'))
        return false;
    size_t sign = at + 1 < parser->source.size && (data[at + 1] == '+' || data[at + 1] == '-');
    if (at + 1 + sign >= parser->source.size || !is_digit(data[at + 1 + sign]))
        return false;
    for (size_t i = 0; i <= sign && *size + 1 < capacity; i++)
        out[(*size)++] = data[at + i];
    parser->at += 1 + sign;
    scan_digits(parser, out, capacity, size);
    return true;
}

static cloze_status scan_number(struct cz_parser *parser)
{
    char digits[64];
    size_t size = 0, start = parser->at;
    bool fraction = false;
    if (parser->source.data[start] == '0' && start + 1 < parser->source.size &&
        strchr("xXoObB", parser->source.data[start + 1]))
        return cz_scan_unsupported(parser, start, "a number that is not decimal",
                                   (struct cz_slice){0});
    scan_digits(parser, digits, sizeof digits, &size);
    if (cz_scan_looking_at(parser, parser->at, ".") && parser->at + 1 < parser->source.size &&
        is_digit(parser->source.data[parser->at + 1])) {
        fraction = true;
        digits[size++] = '.';
        parser->at++;
        scan_digits(parser, digits, sizeof digits, &size);
    }
    fraction |= scan_exponent(parser, digits, sizeof digits, &size);
    struct cz_json number = {.kind = CZ_JSON_NUMBER, .text = {digits, size}};
    int64_t integer;
    if (size + 2 >= sizeof digits)
        return cz_scan_fail_at(parser, start, CLOZE_LIMIT, "a number with too many digits",
                               (struct cz_slice){0});
    parser->token.kind = fraction ? CZ_TOKEN_FLOAT : CZ_TOKEN_INTEGER;
    if (fraction) {
        parser->token.value.type = CZ_FLOAT;
        if (!cz_json_double(&number, &parser->token.value.number))
            return cz_scan_fail_at(parser, start, CLOZE_INVALID, "a number out of range",
                                   (struct cz_slice){0});
        return CLOZE_OK;
    }
    if (!cz_json_int64(&number, &integer))
        return cz_scan_fail_at(parser, start, CLOZE_LIMIT, "an integer beyond 64 bits",
                               (struct cz_slice){0});
    parser->token.value = (struct cz_value){.type = CZ_INTEGER, .integer = integer};
    return CLOZE_OK;
}

static cloze_status scan_operator(struct cz_parser *parser)
{
    static const char *const operators[] = {"//", "**", "==", "!=", "<=", ">=", "+", "-", "*",
                                            "/",  "%",  "~",  "(",  ")",  "[",  "]", "{", "}",
                                            "|",  ",",  ".",  ":",  "=",  "<",  ">", ";"};
    for (unsigned i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (!cz_scan_looking_at(parser, parser->at, operators[i]))
            continue;
        char c = operators[i][0];
        if (c == '(' || c == '[' || c == '{')
            parser->brackets++;
        else if ((c == ')' || c == ']' || c == '}') && parser->brackets)
            parser->brackets--;
        parser->token.kind = CZ_TOKEN_OPERATOR;
        parser->at += strlen(operators[i]);
        return CLOZE_OK;
    }
    return cz_scan_fail_at(parser, parser->at, CLOZE_INVALID, "unexpected character",
                           cz_slice_of(parser->source.data + parser->at, 1));
}

/* Reads the next token of the tag into parser->token. */
cloze_status cz_scan_next(struct cz_parser *parser)
{
    skip_space(parser);
    parser->token = (struct cz_token){.kind = CZ_TOKEN_END, .offset = parser->at};
    if (parser->at >= parser->source.size)
        return cz_scan_fail_at(parser, parser->at, CLOZE_INVALID, "the template ends within a tag",
                               (struct cz_slice){0});
    cloze_status status = CLOZE_OK;
    size_t start = parser->at;
    char c = parser->source.data[start];
    if (take_tag_end(parser)) {
        parser->token.kind = CZ_TOKEN_END_OF_TAG;
    } else if (is_name_start(c)) {
        while (parser->at < parser->source.size &&
               (is_name_start(parser->source.data[parser->at]) ||
                is_digit(parser->source.data[parser->at])))
            parser->at++;
        parser->token.kind = CZ_TOKEN_NAME;
    } else if (c == '\'' || c == '"') {
        status = scan_string(parser);
    } else if (is_digit(c)) {
        status = scan_number(parser);
    } else {
        status = scan_operator(parser);
    }
    parser->token.text = cz_slice_of(parser->source.data + start, parser->at - start);
    return status;
}

/* ---- Tokens ---- */

bool cz_scan_is_operator(const struct cz_parser *parser, const char *text)
{
    return parser->token.kind == CZ_TOKEN_OPERATOR && cz_slice_is(parser->token.text, text);
}

bool cz_scan_is_word(const struct cz_parser *parser, const char *text)
{
    return parser->token.kind == CZ_TOKEN_NAME && cz_slice_is(parser->token.text, text);
}

/* Whether the token is one of the words between blanks in `words`. */
bool cz_scan_is_one_of(const struct cz_parser *parser, const char *words)
{
    char word[32];
    struct cz_slice text = parser->token.text;
    if (parser->token.kind != CZ_TOKEN_NAME || text.size + 3 > sizeof word)
        return false;
    snprintf(word, sizeof word, " %.*s ", (int)text.size, text.data);
    return strstr(words, word) != NULL;
}

cloze_status cz_scan_expect_operator(struct cz_parser *parser, const char *text)
{
    char what[48];
    snprintf(what, sizeof what, "expected \"%s\", got", text);
    return cz_scan_is_operator(parser, text) ? cz_scan_next(parser) : cz_scan_fail(parser, what);
}

cloze_status cz_scan_expect_name(struct cz_parser *parser, struct cz_slice *name)
{
    if (parser->token.kind != CZ_TOKEN_NAME)
        return cz_scan_fail(parser, "expected a name, got");
    *name = parser->token.text;
    return cz_scan_next(parser);
}

cloze_status cz_scan_expect_tag_end(struct cz_parser *parser)
{
    return parser->token.kind == CZ_TOKEN_END_OF_TAG
               ? CLOZE_OK
               : cz_scan_fail(parser, "expected the end of the tag, got");
}

struct cz_node *cz_parse_node(struct cz_parser *parser, enum cz_node_kind kind)
{
    struct cz_node *node = CZ_ARENA_NEW(&parser->tmpl->arena, struct cz_node);
    if (node) {
        node->kind = kind;
        node->offset = (uint32_t)parser->token.offset;
    } else {
        cz_fail_memory(parser->error, "the template");
    }
    return node;
}

cloze_status cz_parse_enter(struct cz_parser *parser)
{
    return ++parser->depth > CZ_TEMPLATE_DEPTH
               ? cz_scan_fail_at(parser, parser->token.offset, CLOZE_LIMIT, "nested too deeply",
                                 (struct cz_slice){0})
               : CLOZE_OK;
}
