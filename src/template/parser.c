/*
 * parser.c - from a template's text to its tree, as Jinja reads it with trim_blocks and
 * lstrip_blocks on.
 *
 * Text up to the next tag is cut off first, its white space trimmed by the tags on both sides;
 * within a tag the scanner hands out one token at a time.
 */
#include "base/utf8.h"
#include "template/node.h"

#include <stdio.h>
#include <stdlib.h>

enum token_kind {
    TOKEN_END_OF_TAG,
    TOKEN_NAME,
    TOKEN_STRING,
    TOKEN_INTEGER,
    TOKEN_FLOAT,
    TOKEN_OPERATOR,
    TOKEN_END /* of the source */
};

struct token {
    enum token_kind kind;
    size_t offset;
    struct cz_slice text;  /* as written */
    struct cz_value value; /* STRING, INTEGER, FLOAT */
};

struct parser {
    struct cz_template *tmpl;
    struct cz_slice source;
    size_t at;
    const char *tag_end; /* "%}" or "}}" while in a tag */
    unsigned brackets;   /* open in the tag */
    bool line_starting;  /* the last thing read ended a line */
    struct token token;  /* the current one, in a tag */
    unsigned depth, loops;
    struct cloze_error *error;
};

static cloze_status parse_expression(struct parser *parser, struct cz_node **out);
static cloze_status parse_body(struct parser *parser, const char *ends, struct cz_node **out);
static cloze_status parse_unary(struct parser *parser, bool with_filter, struct cz_node **out);

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

static cloze_status fail_at(struct parser *parser, size_t offset, cloze_status code,
                            const char *what, struct cz_slice text)
{
    char where[64];
    cz_template_place(parser->source, offset, where);
    return cz_fail(parser->error, code, where, text.size ? "%s \"" CZ_SLICE_FORMAT "\"" : "%s",
                   what, CZ_SLICE_ARG(text));
}

static cloze_status fail(struct parser *parser, const char *what)
{
    bool has_token = parser->token.kind != TOKEN_END && parser->token.kind != TOKEN_END_OF_TAG;
    return fail_at(parser, parser->token.offset, CLOZE_INVALID, what,
                   has_token ? parser->token.text : (struct cz_slice){0});
}

static cloze_status unsupported(struct parser *parser, size_t offset, const char *what,
                                struct cz_slice name)
{
    return fail_at(parser, offset, CLOZE_UNSUPPORTED, what, name);
}

/* ---- The scanner ---- */

static bool is_space(char c)
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

static bool looking_at(const struct parser *parser, size_t at, const char *text)
{
    return cz_slice_starts_with(cz_slice_of(parser->source.data + at, parser->source.size - at),
                                text);
}

static void skip_space(struct parser *parser)
{
    while (parser->at < parser->source.size && is_space(parser->source.data[parser->at]))
        parser->at++;
}

/* Behind the end of a tag: "-" takes all white space, a block or comment one newline. */
static void trim_after(struct parser *parser, char sign, bool is_block)
{
    if (sign == '-')
        skip_space(parser);
    else if (is_block && sign != '+' && looking_at(parser, parser->at, "\n"))
        parser->at++;
    parser->line_starting = parser->source.data[parser->at - 1] == '\n';
}

/* The end of the tag at the current place, with its sign; the tag is left then. */
static bool take_tag_end(struct parser *parser)
{
    char c = parser->source.data[parser->at];
    bool is_block = parser->tag_end[0] == '%';
    bool has_sign = c == '-' || (c == '+' && is_block);
    if (parser->brackets || !looking_at(parser, parser->at + has_sign, parser->tag_end))
        return false;
    parser->at += 2 + has_sign;
    trim_after(parser, has_sign ? c : '\0', is_block);
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

static cloze_status keep_text(struct parser *parser, struct cz_slice text, struct cz_value *out)
{
    struct cz_text *kept = CZ_ARENA_NEW(&parser->tmpl->arena, struct cz_text);
    char *data = cz_arena_text(&parser->tmpl->arena, text);
    if (!kept || !data)
        return cz_fail_memory(parser->error, "the template");
    *kept = (struct cz_text){.data = data, .size = text.size, .trusted = true};
    *out = (struct cz_value){.type = CZ_STRING, .text = kept};
    return CLOZE_OK;
}

static cloze_status scan_string(struct parser *parser)
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
            return fail_at(parser, at, CLOZE_INVALID, "an incomplete escape in a string",
                           (struct cz_slice){0});
        }
        at += 1 + taken;
    }
    cloze_status status = CLOZE_OK;
    if (at >= source.size)
        status = fail_at(parser, parser->at, CLOZE_INVALID, "a string without its closing quote",
                         (struct cz_slice){0});
    else
        status = cz_buffer_status(&text, "the template", parser->error);
    if (!status)
        status =
            keep_text(parser, cz_slice_of(cz_buffer_text(&text), text.size), &parser->token.value);
    cz_buffer_free(&text);
    parser->token.kind = TOKEN_STRING;
    parser->at = at + 1;
    return status;
}

/* Digits with single underscores between them, copied without these. */
static void scan_digits(struct parser *parser, char *out, size_t capacity, size_t *size)
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

static bool scan_exponent(struct parser *parser, char *out, size_t capacity, size_t *size)
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

static cloze_status scan_number(struct parser *parser)
{
    char digits[64];
    size_t size = 0, start = parser->at;
    bool fraction = false;
    if (parser->source.data[start] == '0' && start + 1 < parser->source.size &&
        strchr("xXoObB", parser->source.data[start + 1]))
        return unsupported(parser, start, "a number that is not decimal", (struct cz_slice){0});
    scan_digits(parser, digits, sizeof digits, &size);
    if (looking_at(parser, parser->at, ".") && parser->at + 1 < parser->source.size &&
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
        return fail_at(parser, start, CLOZE_LIMIT, "a number with too many digits",
                       (struct cz_slice){0});
    parser->token.kind = fraction ? TOKEN_FLOAT : TOKEN_INTEGER;
    if (fraction) {
        parser->token.value.type = CZ_FLOAT;
        if (!cz_json_double(&number, &parser->token.value.number))
            return fail_at(parser, start, CLOZE_INVALID, "a number out of range",
                           (struct cz_slice){0});
        return CLOZE_OK;
    }
    if (!cz_json_int64(&number, &integer))
        return fail_at(parser, start, CLOZE_LIMIT, "an integer beyond 64 bits",
                       (struct cz_slice){0});
    parser->token.value = (struct cz_value){.type = CZ_INTEGER, .integer = integer};
    return CLOZE_OK;
}

static cloze_status scan_operator(struct parser *parser)
{
    static const char *const operators[] = {"//", "**", "==", "!=", "<=", ">=", "+", "-", "*",
                                            "/",  "%",  "~",  "(",  ")",  "[",  "]", "{", "}",
                                            "|",  ",",  ".",  ":",  "=",  "<",  ">", ";"};
    for (unsigned i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (!looking_at(parser, parser->at, operators[i]))
            continue;
        char c = operators[i][0];
        if (c == '(' || c == '[' || c == '{')
            parser->brackets++;
        else if ((c == ')' || c == ']' || c == '}') && parser->brackets)
            parser->brackets--;
        parser->token.kind = TOKEN_OPERATOR;
        parser->at += strlen(operators[i]);
        return CLOZE_OK;
    }
    return fail_at(parser, parser->at, CLOZE_INVALID, "unexpected character",
                   cz_slice_of(parser->source.data + parser->at, 1));
}

/* Reads the next token of the tag into parser->token. */
static cloze_status next(struct parser *parser)
{
    skip_space(parser);
    parser->token = (struct token){.kind = TOKEN_END, .offset = parser->at};
    if (parser->at >= parser->source.size)
        return fail_at(parser, parser->at, CLOZE_INVALID, "the template ends within a tag",
                       (struct cz_slice){0});
    cloze_status status = CLOZE_OK;
    size_t start = parser->at;
    char c = parser->source.data[start];
    if (take_tag_end(parser)) {
        parser->token.kind = TOKEN_END_OF_TAG;
    } else if (is_name_start(c)) {
        while (parser->at < parser->source.size &&
               (is_name_start(parser->source.data[parser->at]) ||
                is_digit(parser->source.data[parser->at])))
            parser->at++;
        parser->token.kind = TOKEN_NAME;
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

static bool is_operator(const struct parser *parser, const char *text)
{
    return parser->token.kind == TOKEN_OPERATOR && cz_slice_is(parser->token.text, text);
}

static bool is_word(const struct parser *parser, const char *text)
{
    return parser->token.kind == TOKEN_NAME && cz_slice_is(parser->token.text, text);
}

/* Whether the token is one of the words between blanks in `words`. */
static bool is_one_of(const struct parser *parser, const char *words)
{
    char word[32];
    struct cz_slice text = parser->token.text;
    if (parser->token.kind != TOKEN_NAME || text.size + 3 > sizeof word)
        return false;
    snprintf(word, sizeof word, " %.*s ", (int)text.size, text.data);
    return strstr(words, word) != NULL;
}

static cloze_status expect_operator(struct parser *parser, const char *text)
{
    char what[48];
    snprintf(what, sizeof what, "expected \"%s\", got", text);
    return is_operator(parser, text) ? next(parser) : fail(parser, what);
}

static cloze_status expect_name(struct parser *parser, struct cz_slice *name)
{
    if (parser->token.kind != TOKEN_NAME)
        return fail(parser, "expected a name, got");
    *name = parser->token.text;
    return next(parser);
}

static cloze_status expect_tag_end(struct parser *parser)
{
    return parser->token.kind == TOKEN_END_OF_TAG
               ? CLOZE_OK
               : fail(parser, "expected the end of the tag, got");
}

static struct cz_node *new_node(struct parser *parser, enum cz_node_kind kind)
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

#define NEW(variable, kind)                                                                        \
    struct cz_node *variable = new_node(parser, kind);                                             \
    if (!variable)                                                                                 \
    return CLOZE_MEMORY

#define TRY(call)                                                                                  \
    do {                                                                                           \
        cloze_status try_status = (call);                                                          \
        if (try_status)                                                                            \
            return try_status;                                                                     \
    } while (0)

static cloze_status enter(struct parser *parser)
{
    return ++parser->depth > CZ_TEMPLATE_DEPTH ? fail_at(parser, parser->token.offset, CLOZE_LIMIT,
                                                         "nested too deeply", (struct cz_slice){0})
                                               : CLOZE_OK;
}

/* ---- Primary expressions ---- */

/* Items up to `close`, separated by commas; a trailing comma is fine. */
static cloze_status parse_items(struct parser *parser, const char *close, struct cz_node **out)
{
    struct cz_node **tail = out;
    while (!is_operator(parser, close)) {
        TRY(parse_expression(parser, tail));
        tail = &(*tail)->next;
        if (is_operator(parser, close))
            break;
        TRY(expect_operator(parser, ","));
    }
    return next(parser);
}

static cloze_status parse_dict(struct parser *parser, struct cz_node **out)
{
    NEW(node, CZ_NODE_DICT);
    struct cz_node **keys = &node->a, **values = &node->b;
    TRY(next(parser));
    while (!is_operator(parser, "}")) {
        TRY(parse_expression(parser, keys));
        TRY(expect_operator(parser, ":"));
        TRY(parse_expression(parser, values));
        keys = &(*keys)->next;
        values = &(*values)->next;
        if (is_operator(parser, "}"))
            break;
        TRY(expect_operator(parser, ","));
    }
    *out = node;
    return next(parser);
}

static bool ends_tuple(const struct parser *parser, const char *end_words)
{
    return parser->token.kind == TOKEN_END_OF_TAG || is_operator(parser, ")") ||
           is_one_of(parser, end_words);
}

/* One item, or several with commas: then a tuple. */
static cloze_status parse_tuple(struct parser *parser, bool parenthesised, const char *end_words,
                                cloze_status (*parse)(struct parser *, struct cz_node **),
                                struct cz_node **out)
{
    NEW(tuple, CZ_NODE_TUPLE);
    struct cz_node **tail = &tuple->a;
    bool has_comma = false;
    while (!ends_tuple(parser, end_words)) {
        TRY(parse(parser, tail));
        tail = &(*tail)->next;
        if (!is_operator(parser, ","))
            break;
        has_comma = true;
        TRY(next(parser));
    }
    if (!tuple->a && !parenthesised)
        return fail(parser, "expected an expression, got");
    *out = has_comma || !tuple->a ? tuple : tuple->a;
    return CLOZE_OK;
}

static cloze_status parse_string_literal(struct parser *parser, struct cz_node *node)
{
    struct cz_buffer joined = {0};
    cloze_status status = CLOZE_OK;
    while (!status && parser->token.kind == TOKEN_STRING) {
        cz_buffer_append_slice(&joined, cz_value_text_slice(&parser->token.value));
        status = next(parser);
    }
    if (!status)
        status = cz_buffer_status(&joined, "the template", parser->error);
    if (!status)
        status = keep_text(parser, cz_slice_of(cz_buffer_text(&joined), joined.size), &node->value);
    cz_buffer_free(&joined);
    return status;
}

static cloze_status parse_name(struct parser *parser, struct cz_node *node)
{
    if (is_one_of(parser, " true True false False ")) {
        node->value = cz_value_boolean(parser->token.text.data[0] == 't' ||
                                       parser->token.text.data[0] == 'T');
    } else if (is_one_of(parser, " none None ")) {
        node->value = cz_value_none();
    } else {
        node->kind = CZ_NODE_NAME;
        node->name = parser->token.text;
    }
    return next(parser);
}

static cloze_status parse_primary(struct parser *parser, struct cz_node **out)
{
    if (is_operator(parser, "{"))
        return parse_dict(parser, out);
    if (is_operator(parser, "(")) {
        TRY(next(parser));
        TRY(parse_tuple(parser, true, "", parse_expression, out));
        return expect_operator(parser, ")");
    }
    NEW(node, CZ_NODE_CONSTANT);
    *out = node;
    switch (parser->token.kind) {
    case TOKEN_NAME:
        return parse_name(parser, node);
    case TOKEN_STRING:
        return parse_string_literal(parser, node);
    case TOKEN_INTEGER:
    case TOKEN_FLOAT:
        node->value = parser->token.value;
        return next(parser);
    default:
        break;
    }
    if (!is_operator(parser, "["))
        return fail(parser, "expected an expression, got");
    node->kind = CZ_NODE_LIST;
    TRY(next(parser));
    return parse_items(parser, "]", &node->a);
}

/* ---- What follows an expression: attributes, items, calls, filters, tests ---- */

/* "(a, b, c=d)" behind the parenthesis; keyword arguments to *named. */
static cloze_status parse_arguments(struct parser *parser, struct cz_node **positional,
                                    struct cz_node **named)
{
    TRY(expect_operator(parser, "("));
    while (!is_operator(parser, ")")) {
        if (is_operator(parser, "*") || is_operator(parser, "**"))
            return unsupported(parser, parser->token.offset,
                               "unpacked arguments are not supported:", parser->token.text);
        struct cz_node *argument;
        TRY(parse_expression(parser, &argument));
        if (is_operator(parser, "=") && argument->kind == CZ_NODE_NAME) {
            argument->kind = CZ_NODE_KEYWORD;
            TRY(next(parser));
            TRY(parse_expression(parser, &argument->a));
            *named = argument;
            named = &argument->next;
        } else {
            *positional = argument;
            positional = &argument->next;
        }
        if (is_operator(parser, ")"))
            break;
        TRY(expect_operator(parser, ","));
    }
    return next(parser);
}

static cloze_status parse_slice_bound(struct parser *parser, struct cz_node **out)
{
    return is_operator(parser, ":") || is_operator(parser, "]") ? CLOZE_OK
                                                                : parse_expression(parser, out);
}

/* "[key]" or "[from:to:step]" behind the bracket. */
static cloze_status parse_brackets(struct parser *parser, struct cz_node *node)
{
    node->kind = CZ_NODE_ITEM;
    TRY(next(parser));
    TRY(parse_slice_bound(parser, &node->b));
    if (is_operator(parser, ":")) {
        node->kind = CZ_NODE_SLICE;
        TRY(next(parser));
        TRY(parse_slice_bound(parser, &node->c));
        if (is_operator(parser, ":")) {
            TRY(next(parser));
            TRY(parse_slice_bound(parser, &node->d));
        }
    } else if (!node->b) {
        return fail(parser, "expected a key, got");
    }
    return expect_operator(parser, "]");
}

static cloze_status parse_dot(struct parser *parser, struct cz_node *node)
{
    TRY(next(parser));
    if (parser->token.kind == TOKEN_INTEGER) {
        NEW(key, CZ_NODE_CONSTANT);
        key->value = parser->token.value;
        node->kind = CZ_NODE_ITEM;
        node->b = key;
        return next(parser);
    }
    return expect_name(parser, &node->name);
}

/* Wraps *out as the operand `a` of a new node. */
static cloze_status wrap(struct parser *parser, enum cz_node_kind kind, struct cz_node **out)
{
    NEW(node, kind);
    node->a = *out;
    *out = node;
    return CLOZE_OK;
}

static cloze_status parse_postfix(struct parser *parser, struct cz_node **out)
{
    for (unsigned i = 0; i < CZ_TEMPLATE_DEPTH; i++) {
        if (is_operator(parser, ".")) {
            TRY(wrap(parser, CZ_NODE_ATTRIBUTE, out));
            TRY(parse_dot(parser, *out));
        } else if (is_operator(parser, "[")) {
            TRY(wrap(parser, CZ_NODE_ITEM, out));
            TRY(parse_brackets(parser, *out));
        } else if (is_operator(parser, "(")) {
            TRY(wrap(parser, CZ_NODE_CALL, out));
            TRY(parse_arguments(parser, &(*out)->b, &(*out)->c));
        } else {
            return CLOZE_OK;
        }
    }
    return fail(parser, "too many attributes or calls in a row, at");
}

/* The name of a filter and its arguments, behind "|". */
static cloze_status parse_filter_name(struct parser *parser, struct cz_node *node)
{
    TRY(expect_name(parser, &node->name));
    node->builtin = cz_template_filter(node->name); /* NULL: fails when it is reached */
    return is_operator(parser, "(") ? parse_arguments(parser, &node->b, &node->c) : CLOZE_OK;
}

static bool starts_test_argument(const struct parser *parser)
{
    if (parser->token.kind == TOKEN_NAME)
        return !is_one_of(parser, " else or and ");
    return parser->token.kind == TOKEN_STRING || parser->token.kind == TOKEN_INTEGER ||
           parser->token.kind == TOKEN_FLOAT || is_operator(parser, "[") ||
           is_operator(parser, "{");
}

/* "not name argument" behind "is". */
static cloze_status parse_test(struct parser *parser, struct cz_node **out)
{
    TRY(next(parser));
    bool negated = is_word(parser, "not");
    if (negated)
        TRY(next(parser));
    TRY(wrap(parser, CZ_NODE_TEST, out));
    struct cz_node *test = *out;
    TRY(expect_name(parser, &test->name));
    test->builtin = cz_template_test(test->name); /* NULL: fails when it is reached */
    if (is_operator(parser, "(")) {
        TRY(parse_arguments(parser, &test->b, &test->c));
    } else if (starts_test_argument(parser)) {
        if (is_word(parser, "is"))
            return fail(parser, "tests can't be chained with");
        TRY(parse_primary(parser, &test->b));
        TRY(parse_postfix(parser, &test->b));
    }
    if (negated) {
        TRY(wrap(parser, CZ_NODE_UNARY, out));
        (*out)->op = CZ_OP_NOT;
    }
    return CLOZE_OK;
}

static cloze_status parse_filters(struct parser *parser, struct cz_node **out)
{
    for (unsigned i = 0; i < CZ_TEMPLATE_DEPTH; i++) {
        if (is_operator(parser, "|")) {
            TRY(next(parser));
            TRY(wrap(parser, CZ_NODE_FILTER, out));
            TRY(parse_filter_name(parser, *out));
        } else if (is_word(parser, "is")) {
            TRY(parse_test(parser, out));
        } else if (is_operator(parser, "(")) {
            TRY(wrap(parser, CZ_NODE_CALL, out));
            TRY(parse_arguments(parser, &(*out)->b, &(*out)->c));
        } else {
            return CLOZE_OK;
        }
    }
    return fail(parser, "too many filters in a row, at");
}

/* ---- Operators, the tighter ones first ---- */

static cloze_status parse_signed(struct parser *parser, enum cz_operator op, struct cz_node **out)
{
    NEW(node, CZ_NODE_UNARY);
    node->op = op;
    *out = node;
    TRY(next(parser));
    return parse_unary(parser, false, &node->a);
}

static cloze_status parse_unary(struct parser *parser, bool with_filter, struct cz_node **out)
{
    TRY(enter(parser));
    if (is_operator(parser, "-"))
        TRY(parse_signed(parser, CZ_OP_NEGATE, out));
    else if (is_operator(parser, "+"))
        TRY(parse_signed(parser, CZ_OP_PLUS, out));
    else
        TRY(parse_primary(parser, out));
    TRY(parse_postfix(parser, out));
    if (with_filter)
        TRY(parse_filters(parser, out));
    parser->depth--;
    return CLOZE_OK;
}

struct operator_name {
    const char *text;
    enum cz_operator op;
};

static const struct operator_name *find_operator(const struct parser *parser,
                                                 const struct operator_name *names)
{
    for (; names->text; names++)
        if (is_operator(parser, names->text))
            return names;
    return NULL;
}

/* A left-associative level: operand (op operand)*. */
static cloze_status parse_level(struct parser *parser, const struct operator_name *names,
                                cloze_status (*operand)(struct parser *, struct cz_node **),
                                struct cz_node **out)
{
    TRY(operand(parser, out));
    const struct operator_name *found;
    unsigned depth = 0;
    while ((found = find_operator(parser, names))) {
        if (++depth > CZ_TEMPLATE_DEPTH)
            return fail(parser, "too many operators in a row, at");
        TRY(wrap(parser, CZ_NODE_BINARY, out));
        (*out)->op = found->op;
        TRY(next(parser));
        TRY(operand(parser, &(*out)->b));
    }
    return CLOZE_OK;
}

static cloze_status parse_filtered_unary(struct parser *parser, struct cz_node **out)
{
    return parse_unary(parser, true, out);
}

static cloze_status parse_power(struct parser *parser, struct cz_node **out)
{
    static const struct operator_name names[] = {{"**", CZ_OP_POWER}, {NULL, 0}};
    return parse_level(parser, names, parse_filtered_unary, out);
}

static cloze_status parse_product(struct parser *parser, struct cz_node **out)
{
    static const struct operator_name names[] = {{"*", CZ_OP_MULTIPLY},
                                                 {"/", CZ_OP_DIVIDE},
                                                 {"//", CZ_OP_FLOOR_DIVIDE},
                                                 {"%", CZ_OP_MODULO},
                                                 {NULL, 0}};
    return parse_level(parser, names, parse_power, out);
}

static cloze_status parse_concat(struct parser *parser, struct cz_node **out)
{
    TRY(parse_product(parser, out));
    if (!is_operator(parser, "~"))
        return CLOZE_OK;
    TRY(wrap(parser, CZ_NODE_CONCAT, out));
    struct cz_node **tail = &(*out)->a->next;
    while (is_operator(parser, "~")) {
        TRY(next(parser));
        TRY(parse_product(parser, tail));
        tail = &(*tail)->next;
    }
    return CLOZE_OK;
}

static cloze_status parse_sum(struct parser *parser, struct cz_node **out)
{
    static const struct operator_name names[] = {
        {"+", CZ_OP_ADD}, {"-", CZ_OP_SUBTRACT}, {NULL, 0}};
    return parse_level(parser, names, parse_concat, out);
}

/* The comparison at the current token; false when there is none. "not" needs "in" behind it. */
static cloze_status take_comparison(struct parser *parser, enum cz_operator *op, bool *found)
{
    static const struct operator_name names[] = {{"==", CZ_OP_EQUAL},
                                                 {"!=", CZ_OP_UNEQUAL},
                                                 {"<=", CZ_OP_LESS_EQUAL},
                                                 {">=", CZ_OP_GREATER_EQUAL},
                                                 {"<", CZ_OP_LESS},
                                                 {">", CZ_OP_GREATER},
                                                 {NULL, 0}};
    const struct operator_name *name = find_operator(parser, names);
    *found = name || is_word(parser, "in") || is_word(parser, "not");
    if (!*found)
        return CLOZE_OK;
    *op = name ? name->op : is_word(parser, "in") ? CZ_OP_IN : CZ_OP_NOT_IN;
    TRY(next(parser));
    if (*op != CZ_OP_NOT_IN)
        return CLOZE_OK;
    return is_word(parser, "in") ? next(parser) : fail(parser, "expected \"in\", got");
}

static cloze_status parse_comparison(struct parser *parser, struct cz_node **out)
{
    enum cz_operator op;
    bool found;
    TRY(parse_sum(parser, out));
    struct cz_node **tail = NULL;
    for (;;) {
        size_t offset = parser->token.offset;
        TRY(take_comparison(parser, &op, &found));
        if (!found)
            return CLOZE_OK;
        if (!tail) {
            TRY(wrap(parser, CZ_NODE_COMPARE, out));
            (*out)->offset = (uint32_t)offset;
            tail = &(*out)->b;
        }
        NEW(comparand, CZ_NODE_COMPARAND);
        comparand->op = op;
        TRY(parse_sum(parser, &comparand->a));
        *tail = comparand;
        tail = &comparand->next;
    }
}

static cloze_status parse_not(struct parser *parser, struct cz_node **out)
{
    if (!is_word(parser, "not"))
        return parse_comparison(parser, out);
    NEW(node, CZ_NODE_UNARY);
    node->op = CZ_OP_NOT;
    *out = node;
    TRY(enter(parser));
    TRY(next(parser));
    TRY(parse_not(parser, &node->a));
    parser->depth--;
    return CLOZE_OK;
}

static cloze_status parse_words(struct parser *parser, const char *word, enum cz_node_kind kind,
                                cloze_status (*operand)(struct parser *, struct cz_node **),
                                struct cz_node **out)
{
    TRY(operand(parser, out));
    for (unsigned depth = 0; is_word(parser, word); depth++) {
        if (depth > CZ_TEMPLATE_DEPTH)
            return fail(parser, "too many operators in a row, at");
        TRY(wrap(parser, kind, out));
        TRY(next(parser));
        TRY(operand(parser, &(*out)->b));
    }
    return CLOZE_OK;
}

static cloze_status parse_and(struct parser *parser, struct cz_node **out)
{
    return parse_words(parser, "and", CZ_NODE_AND, parse_not, out);
}

static cloze_status parse_or(struct parser *parser, struct cz_node **out)
{
    return parse_words(parser, "or", CZ_NODE_OR, parse_and, out);
}

static cloze_status parse_expression(struct parser *parser, struct cz_node **out)
{
    TRY(enter(parser));
    TRY(parse_or(parser, out));
    for (unsigned depth = 0; is_word(parser, "if"); depth++) {
        if (depth > CZ_TEMPLATE_DEPTH)
            return fail(parser, "too many conditions in a row, at");
        NEW(node, CZ_NODE_CONDITIONAL);
        node->b = *out;
        *out = node;
        TRY(next(parser));
        TRY(parse_or(parser, &node->a));
        if (is_word(parser, "else")) {
            TRY(next(parser));
            TRY(parse_expression(parser, &node->c));
        }
    }
    parser->depth--;
    return CLOZE_OK;
}

/* ---- Statements ---- */

/* A name, namespace.attribute (for set), or targets in parentheses. */
static cloze_status parse_target_item(struct parser *parser, struct cz_node **out)
{
    if (is_operator(parser, "(")) {
        TRY(enter(parser));
        TRY(next(parser));
        TRY(parse_tuple(parser, true, "", parse_target_item, out));
        parser->depth--;
        return expect_operator(parser, ")");
    }
    NEW(node, CZ_NODE_NAME);
    TRY(expect_name(parser, &node->name));
    *out = node;
    if (!is_operator(parser, "."))
        return CLOZE_OK;
    node->kind = CZ_NODE_ATTRIBUTE;
    TRY(next(parser));
    struct cz_slice attribute;
    TRY(expect_name(parser, &attribute));
    return keep_text(parser, attribute, &node->value);
}

/* Continues behind the tag that parser->token ended. */
static cloze_status parse_block_end(struct parser *parser, const char *ends, struct cz_node **body)
{
    TRY(expect_tag_end(parser));
    return parse_body(parser, ends, body);
}

static cloze_status parse_if(struct parser *parser, struct cz_node **out)
{
    NEW(node, CZ_NODE_IF);
    *out = node;
    TRY(enter(parser));
    TRY(next(parser));
    TRY(parse_tuple(parser, false, "", parse_or, &node->a));
    TRY(parse_block_end(parser, " elif else endif ", &node->b));
    if (is_word(parser, "elif")) {
        TRY(parse_if(parser, &node->c));
    } else if (is_word(parser, "else")) {
        TRY(next(parser));
        TRY(parse_block_end(parser, " endif ", &node->c));
        TRY(next(parser));
    } else {
        TRY(next(parser));
    }
    parser->depth--;
    return CLOZE_OK;
}

static cloze_status parse_for(struct parser *parser, struct cz_node **out)
{
    NEW(node, CZ_NODE_FOR);
    *out = node;
    TRY(next(parser));
    TRY(parse_tuple(parser, false, " in ", parse_target_item, &node->a));
    if (!is_word(parser, "in"))
        return fail(parser, "expected \"in\", got");
    TRY(next(parser));
    TRY(parse_tuple(parser, false, " if recursive ", parse_or, &node->b));
    if (is_word(parser, "if")) {
        TRY(next(parser));
        TRY(parse_expression(parser, &node->e));
    }
    if (is_word(parser, "recursive"))
        return unsupported(parser, parser->token.offset, "unsupported:", CZ_SLICE("for recursive"));
    parser->loops++;
    TRY(parse_block_end(parser, " else endfor ", &node->c));
    parser->loops--;
    if (is_word(parser, "else")) {
        TRY(next(parser));
        TRY(parse_block_end(parser, " endfor ", &node->d));
    }
    return next(parser);
}

/* "|filter|filter" without an operand, for blocks. */
static cloze_status parse_block_filter(struct parser *parser, struct cz_node **out)
{
    while (!*out || is_operator(parser, "|")) {
        if (is_operator(parser, "|"))
            TRY(next(parser));
        TRY(wrap(parser, CZ_NODE_FILTER, out));
        TRY(parse_filter_name(parser, *out));
    }
    return CLOZE_OK;
}

static cloze_status parse_set(struct parser *parser, struct cz_node **out)
{
    NEW(node, CZ_NODE_SET);
    *out = node;
    TRY(next(parser));
    TRY(parse_tuple(parser, false, "", parse_target_item, &node->a));
    if (is_operator(parser, "=")) {
        TRY(next(parser));
        return parse_tuple(parser, false, "", parse_expression, &node->b);
    }
    node->kind = CZ_NODE_SET_BLOCK;
    if (is_operator(parser, "|"))
        TRY(parse_block_filter(parser, &node->c));
    TRY(parse_block_end(parser, " endset ", &node->b));
    return next(parser);
}

/* "(a, b=1)" */
static cloze_status parse_parameters(struct parser *parser, struct cz_node **out)
{
    TRY(expect_operator(parser, "("));
    while (!is_operator(parser, ")")) {
        NEW(parameter, CZ_NODE_NAME);
        TRY(expect_name(parser, &parameter->name));
        if (is_operator(parser, "=")) {
            TRY(next(parser));
            TRY(parse_expression(parser, &parameter->a));
        }
        *out = parameter;
        out = &parameter->next;
        if (is_operator(parser, ")"))
            break;
        TRY(expect_operator(parser, ","));
    }
    return next(parser);
}

/* A body in which break and continue don't reach the loops outside. */
static cloze_status parse_own_body(struct parser *parser, const char *end, struct cz_node **body)
{
    unsigned loops = parser->loops;
    parser->loops = 0;
    TRY(parse_block_end(parser, end, body));
    parser->loops = loops;
    return next(parser);
}

static cloze_status parse_macro(struct parser *parser, struct cz_node **out)
{
    NEW(node, CZ_NODE_MACRO);
    *out = node;
    TRY(next(parser));
    TRY(expect_name(parser, &node->name));
    TRY(parse_parameters(parser, &node->a));
    return parse_own_body(parser, " endmacro ", &node->b);
}

static cloze_status parse_call_block(struct parser *parser, struct cz_node **out)
{
    NEW(node, CZ_NODE_CALL_BLOCK);
    *out = node;
    node->name = CZ_SLICE("caller");
    TRY(next(parser));
    if (is_operator(parser, "("))
        TRY(parse_parameters(parser, &node->a));
    TRY(parse_expression(parser, &node->c));
    if (node->c->kind != CZ_NODE_CALL)
        return fail(parser, "expected a call, got");
    return parse_own_body(parser, " endcall ", &node->b);
}

static cloze_status parse_filter_block(struct parser *parser, struct cz_node **out)
{
    NEW(node, CZ_NODE_FILTER_BLOCK);
    *out = node;
    TRY(next(parser));
    TRY(parse_block_filter(parser, &node->a));
    return parse_own_body(parser, " endfilter ", &node->b);
}

static cloze_status parse_generation(struct parser *parser, struct cz_node **out)
{
    NEW(node, CZ_NODE_GENERATION);
    *out = node;
    TRY(next(parser));
    return parse_own_body(parser, " endgeneration ", &node->b);
}

static cloze_status parse_jump(struct parser *parser, struct cz_node **out)
{
    NEW(node, is_word(parser, "break") ? CZ_NODE_BREAK : CZ_NODE_CONTINUE);
    *out = node;
    return parser->loops ? next(parser) : fail(parser, "outside of a loop:");
}

static cloze_status parse_statement(struct parser *parser, struct cz_node **out)
{
    static const struct {
        const char *word;
        cloze_status (*parse)(struct parser *, struct cz_node **);
    } statements[] = {{"if", parse_if},
                      {"for", parse_for},
                      {"set", parse_set},
                      {"macro", parse_macro},
                      {"call", parse_call_block},
                      {"filter", parse_filter_block},
                      {"generation", parse_generation},
                      {"break", parse_jump},
                      {"continue", parse_jump}};
    TRY(enter(parser));
    for (unsigned i = 0; i < sizeof statements / sizeof *statements; i++) {
        if (!is_word(parser, statements[i].word))
            continue;
        TRY(statements[i].parse(parser, out));
        parser->depth--;
        return expect_tag_end(parser);
    }
    if (parser->token.kind != TOKEN_NAME)
        return fail(parser, "expected a statement, got");
    bool closes =
        cz_slice_starts_with(parser->token.text, "end") || is_one_of(parser, " else elif ");
    return fail_at(parser, parser->token.offset, closes ? CLOZE_INVALID : CLOZE_UNSUPPORTED,
                   closes ? "unexpected" : "unsupported statement", parser->token.text);
}

/* ---- Text between tags ---- */

static size_t find_tag(const struct parser *parser, size_t at)
{
    while (at + 1 < parser->source.size) {
        const char *brace = memchr(parser->source.data + at, '{', parser->source.size - at - 1);
        if (!brace)
            break;
        at = (size_t)(brace - parser->source.data);
        if (strchr("{%#", brace[1]) && brace[1])
            return at;
        at++;
    }
    return parser->source.size;
}

/* How much of the text before a tag stays: "-" takes the white space at its end, a block or comment
 * on a line of its own the blanks before it. */
static size_t trimmed_end(const struct parser *parser, size_t start, size_t tag)
{
    const char *data = parser->source.data;
    bool in_source = tag + 2 < parser->source.size;
    char sign = in_source ? data[tag + 2] : '\0';
    size_t end = tag;
    if (sign == '-') {
        while (end > start && is_space(data[end - 1]))
            end--;
        return end;
    }
    if (sign == '+' || data[tag + 1] == '{')
        return tag;
    while (end > start && is_space(data[end - 1]) && data[end - 1] != '\n')
        end--;
    bool begins_line = end > start ? data[end - 1] == '\n' : parser->line_starting;
    return begins_line ? end : tag;
}

static cloze_status add_text(struct parser *parser, size_t start, size_t end,
                             struct cz_node ***tail)
{
    if (start == end)
        return CLOZE_OK;
    NEW(node, CZ_NODE_TEXT);
    TRY(keep_text(parser, cz_slice_of(parser->source.data + start, end - start), &node->value));
    **tail = node;
    *tail = &node->next;
    return CLOZE_OK;
}

static cloze_status skip_comment(struct parser *parser)
{
    size_t start = parser->at;
    const char *end =
        memmem(parser->source.data + start + 2, parser->source.size - start - 2, "#}", 2);
    if (!end)
        return fail_at(parser, start, CLOZE_INVALID, "a comment without its end",
                       (struct cz_slice){0});
    parser->at = (size_t)(end - parser->source.data) + 2;
    bool has_sign = end > parser->source.data + start + 2 && (end[-1] == '-' || end[-1] == '+');
    trim_after(parser, has_sign ? end[-1] : '\0', true);
    return CLOZE_OK;
}

/* Opens the tag at parser->at and reads its first token. */
static cloze_status open_tag(struct parser *parser)
{
    bool is_block = parser->source.data[parser->at + 1] == '%';
    parser->tag_end = is_block ? "%}" : "}}";
    parser->brackets = 0;
    parser->at += 2;
    if (looking_at(parser, parser->at, "-") || looking_at(parser, parser->at, "+"))
        parser->at++;
    return next(parser);
}

/* {% raw %} ... {% endraw %}, at its tag; false when it is another tag. */
static bool is_raw_tag(const struct parser *parser)
{
    size_t at = parser->at + 2;
    struct cz_slice source = parser->source;
    if (source.data[parser->at + 1] != '%')
        return false;
    at += at < source.size && (source.data[at] == '-' || source.data[at] == '+');
    while (at < source.size && is_space(source.data[at]))
        at++;
    if (!looking_at(parser, at, "raw"))
        return false;
    at += 3;
    while (at < source.size && is_space(source.data[at]))
        at++;
    return looking_at(parser, at, "%}") || looking_at(parser, at, "-%}");
}

/* One thing of a body: text and the tag behind it. *ended: it was the tag of one of `ends`, whose
 * word is the current token. */
static cloze_status parse_piece(struct parser *parser, const char *ends, struct cz_node ***tail,
                                bool *ended)
{
    size_t start = parser->at, tag = find_tag(parser, start);
    size_t end = tag < parser->source.size ? trimmed_end(parser, start, tag) : tag;
    TRY(add_text(parser, start, end, tail));
    parser->at = tag;
    if (tag == parser->source.size)
        return CLOZE_OK;
    if (parser->source.data[tag + 1] == '#')
        return skip_comment(parser);
    if (is_raw_tag(parser))
        return unsupported(parser, tag, "unsupported statement", CZ_SLICE("raw"));
    bool is_block = parser->source.data[tag + 1] == '%';
    TRY(open_tag(parser));
    *ended = is_block && is_one_of(parser, ends);
    if (*ended)
        return CLOZE_OK;
    if (is_block) {
        TRY(parse_statement(parser, *tail));
    } else {
        NEW(print, CZ_NODE_PRINT);
        **tail = print;
        TRY(parse_tuple(parser, false, "", parse_expression, &print->a));
        TRY(expect_tag_end(parser));
    }
    *tail = &(**tail)->next;
    return CLOZE_OK;
}

/* Up to a tag of one of `ends` (words between blanks), which becomes the current token; with no
 * ends up to the end of the source. */
static cloze_status parse_body(struct parser *parser, const char *ends, struct cz_node **out)
{
    size_t offset = parser->token.offset;
    bool ended = false;
    while (!ended && parser->at < parser->source.size)
        TRY(parse_piece(parser, ends, &out, &ended));
    if (!ended && ends[0])
        return fail_at(parser, offset, CLOZE_INVALID, "a block is not closed; expected one of",
                       cz_slice(ends));
    return CLOZE_OK;
}

cloze_status cz_template_parse(struct cz_template *tmpl, struct cloze_error *error)
{
    struct parser parser = {
        .tmpl = tmpl, .source = tmpl->source, .line_starting = true, .error = error};
    return parse_body(&parser, "", &tmpl->body);
}
