/*
 * gbnf.c - llama.cpp's grammar language: recursive descent into a grammar tree.
 *
 * White space and comments end a rule only where a line ends outside of parentheses and not behind
 * `|` or `::=`, as in llama.cpp.
 */
#include "constraint/grammar_tree.h"

#include "base/utf8.h"
#include "constraint/codes.h"

#include <stdio.h>

#define END UINT32_MAX /* peek() at the end of the text; no code point */

struct parser {
    struct cz_tree tree;
    struct cz_slice text;
    size_t at;
    unsigned depth; /* of parentheses */
    cz_find_token_function *find_token;
    void *context;
    cloze_status status;
    struct cloze_error *error;
};

static void fail(struct parser *parser, cloze_status code, size_t at, const char *message)
{
    char place[64];
    if (parser->status)
        return;
    cz_source_place(parser->text, at, place, sizeof place);
    parser->status = cz_fail(parser->error, code, place, "%s", message);
}

static void malformed(struct parser *parser, const char *message)
{
    fail(parser, CLOZE_INVALID, parser->at, message);
}

static char peek(const struct parser *parser)
{
    return parser->at < parser->text.size ? parser->text.data[parser->at] : 0;
}

static bool accept(struct parser *parser, const char *text)
{
    size_t size = strlen(text);
    if (parser->text.size - parser->at < size ||
        memcmp(parser->text.data + parser->at, text, size) != 0)
        return false;
    parser->at += size;
    return true;
}

static void skip_space(struct parser *parser, bool lines)
{
    for (;; parser->at++) {
        char c = peek(parser);
        if (c == '#') {
            while (parser->at < parser->text.size && peek(parser) != '\n' && peek(parser) != '\r')
                parser->at++;
            c = peek(parser);
        }
        bool space = c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'));
        if (!space || parser->at >= parser->text.size)
            return;
    }
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static struct cz_slice read_name(struct parser *parser)
{
    struct cz_slice name = {parser->text.data + parser->at, 0};
    while (is_word(peek(parser))) {
        parser->at++;
        name.size++;
    }
    if (!name.size)
        malformed(parser, "a rule's name is expected");
    return name;
}

static bool read_number(struct parser *parser, uint32_t *out)
{
    uint64_t value = 0;
    size_t start = parser->at;
    for (; peek(parser) >= '0' && peek(parser) <= '9'; parser->at++)
        value = value >= UINT32_MAX ? value : value * 10 + (unsigned)(peek(parser) - '0');
    if (value >= UINT32_MAX)
        fail(parser, CLOZE_LIMIT, start, "a number that is too large");
    *out = (uint32_t)value;
    return parser->at > start;
}

/* ---- Characters ---- */

static uint32_t read_hex(struct parser *parser, unsigned digits)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < digits; i++, parser->at++) {
        char c = peek(parser);
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : 16;
        if (digit == 16) {
            malformed(parser, "a hexadecimal digit is expected");
            return 0;
        }
        value = value * 16 + digit;
    }
    if (value > CZ_CODE_LAST)
        malformed(parser, "a character beyond U+10FFFF");
    return (uint32_t)value;
}

static uint32_t read_escape(struct parser *parser)
{
    char c = peek(parser);
    if (parser->at < parser->text.size)
        parser->at++;
    switch (c) {
    case 'x':
        return read_hex(parser, 2);
    case 'u':
        return read_hex(parser, 4);
    case 'U':
        return read_hex(parser, 8);
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case 'n':
        return '\n';
    case '\\':
    case '"':
    case '[':
    case ']':
    case '-':
        return (unsigned char)c;
    default:
        parser->at--;
        malformed(parser, "an unknown escape: \\x, \\u, \\U, \\t, \\r, \\n, \\\\, \\\", \\[, \\] "
                          "and \\- are known");
        return 0;
    }
}

static uint32_t read_character(struct parser *parser)
{
    uint32_t code;
    if (accept(parser, "\\"))
        return read_escape(parser);
    size_t size =
        cz_utf8_decode(parser->text.data + parser->at, parser->text.size - parser->at, &code);
    if (!size) {
        malformed(parser, "the grammar ends inside of a literal or a set");
        return 0;
    }
    parser->at += size;
    return code;
}

static struct cz_tree_node *read_literal(struct parser *parser)
{
    struct cz_buffer text = {.maximum = CZ_GRAMMAR_MAXIMUM_SIZE};
    char bytes[4];
    while (!parser->status && !accept(parser, "\"")) {
        uint32_t code = read_character(parser);
        cz_buffer_append(&text, bytes, cz_utf8_encode(code, bytes));
    }
    struct cz_tree_node *node =
        cz_tree_expr(&parser->tree, cz_expr_literal(parser->tree.store, cz_buffer_slice(&text)),
                     (uint32_t)text.size);
    parser->tree.failed |= text.failed;
    cz_buffer_free(&text);
    return node;
}

static struct cz_tree_node *read_set(struct parser *parser)
{
    struct cz_codes codes = {.arena = &parser->tree.arena};
    bool negate = accept(parser, "^");
    while (!parser->status && !accept(parser, "]")) {
        uint32_t first = read_character(parser), last = first;
        bool range = peek(parser) == '-' && parser->at + 1 < parser->text.size &&
                     parser->text.data[parser->at + 1] != ']';
        if (range) {
            parser->at++;
            last = read_character(parser);
        }
        if (last < first)
            malformed(parser, "a range of characters in the wrong order");
        cz_codes_add(&codes, first, last);
    }
    cz_codes_normalise(&codes);
    if (negate)
        cz_codes_negate(&codes);
    parser->tree.failed |= codes.failed;
    return cz_tree_expr(&parser->tree,
                        cz_expr_code_points(parser->tree.store, codes.ranges, codes.count), 4);
}

/* ---- Tokens ---- */

/* <[id]> or <name>; false after an error. */
static bool read_token(struct parser *parser, uint32_t *token)
{
    size_t start = parser->at;
    if (!accept(parser, "<")) {
        malformed(parser, "< is expected");
        return false;
    }
    if (accept(parser, "[")) {
        if (!read_number(parser, token) || !accept(parser, "]>"))
            malformed(parser, "a token's id is written <[123]>");
        return !parser->status;
    }
    while (parser->at < parser->text.size && peek(parser) != '>')
        parser->at++;
    if (!accept(parser, ">")) {
        malformed(parser, "< without its >");
        return false;
    }
    struct cz_slice name = {parser->text.data + start, parser->at - start};
    if (parser->find_token && parser->find_token(parser->context, name, token))
        return true;
    fail(parser, CLOZE_INVALID, start, "the vocabulary has no special token of this name");
    return false;
}

static struct cz_tree_node *read_token_node(struct parser *parser)
{
    uint32_t token;
    size_t start = parser->at;
    bool negate = accept(parser, "!");
    if (!read_token(parser, &token))
        return NULL;
    if (!negate) {
        struct cz_tree_node *node = cz_tree_node(&parser->tree, CZ_TREE_TOKEN);
        if (node)
            node->token = token;
        return node;
    }
    skip_space(parser, parser->depth > 0);
    if (peek(parser) != '*')
        fail(parser, CLOZE_UNSUPPORTED, start,
             "a negated token is supported only as !<token>*, which is free text");
    return cz_tree_expr(&parser->tree, CZ_EXPR_CHAR, 1);
}

/* ---- Structure ---- */

static struct cz_tree_node *read_alternates(struct parser *parser);

static struct cz_tree_node *read_group(struct parser *parser)
{
    if (++parser->depth > CZ_GRAMMAR_MAXIMUM_DEPTH) {
        fail(parser, CLOZE_LIMIT, parser->at, "parentheses nested more than 200 deep");
        return NULL;
    }
    skip_space(parser, true);
    struct cz_tree_node *node = read_alternates(parser);
    if (!accept(parser, ")"))
        malformed(parser, "( without its )");
    parser->depth--;
    return node;
}

/* One symbol without its repetitions; NULL when there is none (or after an error). */
static struct cz_tree_node *read_symbol(struct parser *parser)
{
    size_t start = parser->at;
    if (accept(parser, "\""))
        return read_literal(parser);
    if (accept(parser, "["))
        return read_set(parser);
    if (accept(parser, "("))
        return read_group(parser);
    if (accept(parser, "."))
        return cz_tree_expr(&parser->tree, CZ_EXPR_CHAR, 1);
    if (peek(parser) == '<' || peek(parser) == '!')
        return read_token_node(parser);
    if (!is_word(peek(parser)))
        return NULL;
    struct cz_tree_node *node = cz_tree_node(&parser->tree, CZ_TREE_RULE);
    struct cz_slice name = read_name(parser);
    if (node)
        node->rule = cz_tree_rule(&parser->tree, name, start);
    return node;
}

/* {m}, {m,} or {m,n}, behind the brace */
static void read_counts(struct parser *parser, uint32_t *minimum, uint32_t *maximum)
{
    bool lines = parser->depth > 0;
    skip_space(parser, lines);
    if (!read_number(parser, minimum))
        malformed(parser, "a number is expected behind {");
    *maximum = *minimum;
    skip_space(parser, lines);
    if (accept(parser, ",")) {
        skip_space(parser, lines);
        if (!read_number(parser, maximum))
            *maximum = CZ_EXPR_UNBOUNDED;
        skip_space(parser, lines);
    }
    if (!accept(parser, "}"))
        malformed(parser, "{ without its }");
    if (*maximum < *minimum)
        malformed(parser, "a repetition whose minimum is above its maximum");
}

static bool read_repetition(struct parser *parser, uint32_t *minimum, uint32_t *maximum)
{
    *minimum = 0;
    *maximum = CZ_EXPR_UNBOUNDED;
    if (accept(parser, "*"))
        return true;
    if (accept(parser, "+")) {
        *minimum = 1;
        return true;
    }
    if (accept(parser, "?")) {
        *maximum = 1;
        return true;
    }
    if (!accept(parser, "{"))
        return false;
    read_counts(parser, minimum, maximum);
    return true;
}

static struct cz_tree_node *read_sequence(struct parser *parser)
{
    struct cz_tree_node *sequence = cz_tree_node(&parser->tree, CZ_TREE_SEQUENCE);
    uint32_t minimum, maximum;
    while (!parser->status) {
        size_t start = parser->at;
        struct cz_tree_node *item = read_symbol(parser);
        if (!item || parser->status)
            break;
        skip_space(parser, parser->depth > 0);
        while (!parser->status && read_repetition(parser, &minimum, &maximum)) {
            item = cz_tree_repeat(&parser->tree, item, minimum, maximum);
            skip_space(parser, parser->depth > 0);
        }
        cz_tree_add(sequence, item);
        if (parser->at == start)
            break;
    }
    if (!parser->status &&
        (peek(parser) == '*' || peek(parser) == '+' || peek(parser) == '?' || peek(parser) == '{'))
        malformed(parser, "a repetition with nothing before it");
    return sequence;
}

static struct cz_tree_node *read_alternates(struct parser *parser)
{
    struct cz_tree_node *choice = cz_tree_node(&parser->tree, CZ_TREE_CHOICE);
    do {
        skip_space(parser, choice && choice->first ? true : parser->depth > 0);
        cz_tree_add(choice, read_sequence(parser));
    } while (!parser->status && accept(parser, "|"));
    return choice;
}

static void read_rule(struct parser *parser)
{
    size_t start = parser->at;
    struct cz_slice name = read_name(parser);
    if (parser->status)
        return;
    uint32_t rule = cz_tree_rule(&parser->tree, name, start);
    skip_space(parser, false);
    if (!accept(parser, "::="))
        malformed(parser, "::= is expected behind a rule's name");
    skip_space(parser, true);
    struct cz_tree_node *body = read_alternates(parser);
    if (rule != UINT32_MAX)
        parser->tree.rules[rule].body = body;
    char c = peek(parser);
    if (!parser->status && parser->at < parser->text.size && c != '\r' && c != '\n')
        malformed(parser, "a symbol, | or the end of the line is expected");
    skip_space(parser, true);
}

static void check_defined(struct parser *parser)
{
    for (uint32_t i = 0; i < parser->tree.rule_count && !parser->status; i++) {
        const struct cz_tree_rule *rule = &parser->tree.rules[i];
        char message[160];
        if (rule->body)
            continue;
        snprintf(message, sizeof message, "the rule '%.*s' is not defined",
                 (int)(rule->name.size < 100 ? rule->name.size : 100), rule->name.data);
        fail(parser, CLOZE_INVALID, rule->used_at, message);
    }
}

static void read_rules(struct parser *parser, uint32_t *root)
{
    skip_space(parser, true);
    *root = cz_tree_rule(&parser->tree, CZ_SLICE("root"), parser->text.size);
    while (!parser->status && !parser->tree.failed && parser->at < parser->text.size)
        read_rule(parser);
    check_defined(parser);
    if (!parser->status && parser->tree.failed)
        parser->status = cz_fail_memory(parser->error, "a grammar");
}

cloze_status cz_gbnf_parse(struct cz_rules *rules, struct cz_slice source,
                           cz_find_token_function *find_token, void *context,
                           struct cloze_error *error)
{
    struct parser parser = {.tree = {.store = cz_rules_expr_store(rules)},
                            .text = source,
                            .find_token = find_token,
                            .context = context,
                            .error = error};
    uint32_t root = 0;
    if (source.size > CZ_GRAMMAR_MAXIMUM_SIZE)
        return cz_fail(error, CLOZE_LIMIT, NULL, "a grammar of more than %d bytes",
                       CZ_GRAMMAR_MAXIMUM_SIZE);
    if (cz_utf8_valid(source) != source.size)
        return cz_fail(error, CLOZE_INVALID, NULL, "a grammar that is not UTF-8");
    read_rules(&parser, &root);
    cloze_status status = parser.status;
    if (!status)
        status = cz_tree_compile(&parser.tree, root, rules, error);
    cz_tree_free(&parser.tree);
    return status;
}
