/*
 * gbnf.c - llama.cpp's grammar language: recursive descent into a grammar tree.
 *
 * White space and comments end a rule only where a line ends outside of parentheses and not behind
 * `|` or `::=`, as in llama.cpp.
 */
#include "constraint/grammar_tree.h"
#include "constraint/source.h"

#include "base/utf8.h"
#include "constraint/codes.h"

#include <stdio.h>

#define END UINT32_MAX /* peek() at the end of the text; no code point */

struct parser {
    struct cz_tree tree;
    struct cz_source in;
    cz_find_token_function *find_token;
    void *context;
};

static void skip_space(struct parser *parser, bool lines)
{
    struct cz_source *in = &parser->in;
    for (;; in->at++) {
        char c = cz_source_peek(in);
        if (c == '#') {
            while (in->at < in->text.size && c != '\n' && c != '\r') {
                in->at++;
                c = cz_source_peek(in);
            }
        }
        bool space = c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'));
        if (!space || in->at >= in->text.size)
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
    struct cz_slice name = {parser->in.text.data + parser->in.at, 0};
    while (is_word(cz_source_peek(&parser->in))) {
        parser->in.at++;
        name.size++;
    }
    if (!name.size)
        cz_source_malformed(&parser->in, "a rule's name is expected");
    return name;
}

/* ---- Characters ---- */

static uint32_t read_hex(struct parser *parser, unsigned digits)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < digits; i++, parser->in.at++) {
        char c = cz_source_peek(&parser->in);
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : 16;
        if (digit == 16) {
            cz_source_malformed(&parser->in, "a hexadecimal digit is expected");
            return 0;
        }
        value = value * 16 + digit;
    }
    if (value > CZ_CODE_LAST)
        cz_source_malformed(&parser->in, "a character beyond U+10FFFF");
    return (uint32_t)value;
}

static uint32_t read_escape(struct parser *parser)
{
    char c = cz_source_peek(&parser->in);
    if (parser->in.at < parser->in.text.size)
        parser->in.at++;
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
        parser->in.at--;
        cz_source_malformed(&parser->in, "an unknown escape: \\x, \\u, \\U, \\t, \\r, \\n, \\\\, "
                                         "\\\", \\[, \\] and \\- are known");
        return 0;
    }
}

static uint32_t read_character(struct parser *parser)
{
    uint32_t code;
    if (cz_source_accept(&parser->in, "\\"))
        return read_escape(parser);
    size_t size =
        cz_utf8_decode(parser->in.text.data + parser->in.at,
                       parser->in.text.size - parser->in.at, &code);
    if (!size) {
        cz_source_malformed(&parser->in, "the grammar ends inside of a literal or a set");
        return 0;
    }
    parser->in.at += size;
    return code;
}

static struct cz_tree_node *read_literal(struct parser *parser)
{
    struct cz_buffer text = {.maximum = CZ_GRAMMAR_MAXIMUM_SIZE};
    char bytes[4];
    while (!parser->in.status && !cz_source_accept(&parser->in, "\"")) {
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
    bool negate = cz_source_accept(&parser->in, "^");
    while (!parser->in.status && !cz_source_accept(&parser->in, "]")) {
        uint32_t first = read_character(parser), last = first;
        bool range = cz_source_peek(&parser->in) == '-' &&
                     parser->in.at + 1 < parser->in.text.size &&
                     cz_source_peek_at(&parser->in, 1) != ']';
        if (range) {
            parser->in.at++;
            last = read_character(parser);
        }
        if (last < first)
            cz_source_malformed(&parser->in, "a range of characters in the wrong order");
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
    size_t start = parser->in.at;
    if (!cz_source_accept(&parser->in, "<")) {
        cz_source_malformed(&parser->in, "< is expected");
        return false;
    }
    if (cz_source_accept(&parser->in, "[")) {
        if (!cz_source_number(&parser->in, token) || !cz_source_accept(&parser->in, "]>"))
            cz_source_malformed(&parser->in, "a token's id is written <[123]>");
        return !parser->in.status;
    }
    while (parser->in.at < parser->in.text.size && cz_source_peek(&parser->in) != '>')
        parser->in.at++;
    if (!cz_source_accept(&parser->in, ">")) {
        cz_source_malformed(&parser->in, "< without its >");
        return false;
    }
    struct cz_slice name = {parser->in.text.data + start, parser->in.at - start};
    if (parser->find_token && parser->find_token(parser->context, name, token))
        return true;
    cz_source_fail(&parser->in, CLOZE_INVALID, start,
                   "the vocabulary has no special token of this name");
    return false;
}

static struct cz_tree_node *read_token_node(struct parser *parser)
{
    uint32_t token;
    size_t start = parser->in.at;
    bool negate = cz_source_accept(&parser->in, "!");
    if (!read_token(parser, &token))
        return NULL;
    if (!negate) {
        struct cz_tree_node *node = cz_tree_node(&parser->tree, CZ_TREE_TOKEN);
        if (node)
            node->token = token;
        return node;
    }
    skip_space(parser, parser->in.depth > 0);
    if (cz_source_peek(&parser->in) != '*')
        cz_source_fail(&parser->in, CLOZE_UNSUPPORTED, start,
             "a negated token is supported only as !<token>*, which is free text");
    return cz_tree_expr(&parser->tree, CZ_EXPR_CHAR, 1);
}

/* ---- Structure ---- */

static struct cz_tree_node *read_alternates(struct parser *parser);

static struct cz_tree_node *read_group(struct parser *parser)
{
    if (!cz_source_nest(&parser->in))
        return NULL;
    skip_space(parser, true);
    struct cz_tree_node *node = read_alternates(parser);
    if (!cz_source_accept(&parser->in, ")"))
        cz_source_malformed(&parser->in, "( without its )");
    parser->in.depth--;
    return node;
}

/* One symbol without its repetitions; NULL when there is none (or after an error). */
static struct cz_tree_node *read_symbol(struct parser *parser)
{
    size_t start = parser->in.at;
    if (cz_source_accept(&parser->in, "\""))
        return read_literal(parser);
    if (cz_source_accept(&parser->in, "["))
        return read_set(parser);
    if (cz_source_accept(&parser->in, "("))
        return read_group(parser);
    if (cz_source_accept(&parser->in, "."))
        return cz_tree_expr(&parser->tree, CZ_EXPR_CHAR, 1);
    if (cz_source_peek(&parser->in) == '<' || cz_source_peek(&parser->in) == '!')
        return read_token_node(parser);
    if (!is_word(cz_source_peek(&parser->in)))
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
    bool lines = parser->in.depth > 0;
    skip_space(parser, lines);
    if (!cz_source_number(&parser->in, minimum))
        cz_source_malformed(&parser->in, "a number is expected behind {");
    *maximum = *minimum;
    skip_space(parser, lines);
    if (cz_source_accept(&parser->in, ",")) {
        skip_space(parser, lines);
        if (!cz_source_number(&parser->in, maximum))
            *maximum = CZ_EXPR_UNBOUNDED;
        skip_space(parser, lines);
    }
    if (!cz_source_accept(&parser->in, "}"))
        cz_source_malformed(&parser->in, "{ without its }");
    if (*maximum < *minimum)
        cz_source_malformed(&parser->in, "a repetition whose minimum is above its maximum");
}

static bool read_repetition(struct parser *parser, uint32_t *minimum, uint32_t *maximum)
{
    *minimum = 0;
    *maximum = CZ_EXPR_UNBOUNDED;
    if (cz_source_accept(&parser->in, "*"))
        return true;
    if (cz_source_accept(&parser->in, "+")) {
        *minimum = 1;
        return true;
    }
    if (cz_source_accept(&parser->in, "?")) {
        *maximum = 1;
        return true;
    }
    if (!cz_source_accept(&parser->in, "{"))
        return false;
    read_counts(parser, minimum, maximum);
    return true;
}

static struct cz_tree_node *read_sequence(struct parser *parser)
{
    struct cz_tree_node *sequence = cz_tree_node(&parser->tree, CZ_TREE_SEQUENCE);
    uint32_t minimum, maximum;
    while (!parser->in.status) {
        size_t start = parser->in.at;
        struct cz_tree_node *item = read_symbol(parser);
        if (!item || parser->in.status)
            break;
        skip_space(parser, parser->in.depth > 0);
        while (!parser->in.status && read_repetition(parser, &minimum, &maximum)) {
            item = cz_tree_repeat(&parser->tree, item, minimum, maximum);
            skip_space(parser, parser->in.depth > 0);
        }
        cz_tree_add(sequence, item);
        if (parser->in.at == start)
            break;
    }
    char c = cz_source_peek(&parser->in);
    if (!parser->in.status && (c == '*' || c == '+' || c == '?' || c == '{'))
        cz_source_malformed(&parser->in, "a repetition with nothing before it");
    return sequence;
}

static struct cz_tree_node *read_alternates(struct parser *parser)
{
    struct cz_tree_node *choice = cz_tree_node(&parser->tree, CZ_TREE_CHOICE);
    do {
        skip_space(parser, choice && choice->first ? true : parser->in.depth > 0);
        cz_tree_add(choice, read_sequence(parser));
    } while (!parser->in.status && cz_source_accept(&parser->in, "|"));
    return choice;
}

static void read_rule(struct parser *parser)
{
    size_t start = parser->in.at;
    struct cz_slice name = read_name(parser);
    if (parser->in.status)
        return;
    uint32_t rule = cz_tree_rule(&parser->tree, name, start);
    skip_space(parser, false);
    if (!cz_source_accept(&parser->in, "::="))
        cz_source_malformed(&parser->in, "::= is expected behind a rule's name");
    skip_space(parser, true);
    struct cz_tree_node *body = read_alternates(parser);
    if (rule != UINT32_MAX)
        parser->tree.rules[rule].body = body;
    char c = cz_source_peek(&parser->in);
    if (!parser->in.status && parser->in.at < parser->in.text.size && c != '\r' && c != '\n')
        cz_source_malformed(&parser->in, "a symbol, | or the end of the line is expected");
    skip_space(parser, true);
}

static void check_defined(struct parser *parser)
{
    for (uint32_t i = 0; i < parser->tree.rule_count && !parser->in.status; i++) {
        const struct cz_tree_rule *rule = &parser->tree.rules[i];
        char message[160];
        if (rule->body)
            continue;
        snprintf(message, sizeof message, "the rule '%.*s' is not defined",
                 (int)(rule->name.size < 100 ? rule->name.size : 100), rule->name.data);
        cz_source_fail(&parser->in, CLOZE_INVALID, rule->used_at, message);
    }
}

static void read_rules(struct parser *parser, uint32_t *root)
{
    skip_space(parser, true);
    *root = cz_tree_rule(&parser->tree, CZ_SLICE("root"), parser->in.text.size);
    while (!parser->in.status && !parser->tree.failed && parser->in.at < parser->in.text.size)
        read_rule(parser);
    check_defined(parser);
    if (!parser->in.status && parser->tree.failed)
        parser->in.status = cz_fail_memory(parser->in.error, "a grammar");
}

cloze_status cz_gbnf_parse(struct cz_rules *rules, struct cz_slice source,
                           cz_find_token_function *find_token, void *context,
                           struct cloze_error *error)
{
    struct parser parser = {.tree = {.store = cz_rules_expr_store(rules)},
                            .in = {.text = source, .error = error},
                            .find_token = find_token,
                            .context = context};
    uint32_t root = 0;
    cloze_status status = cz_source_check(source, error);
    if (status)
        return status;
    read_rules(&parser, &root);
    status = parser.in.status;
    if (!status)
        status = cz_tree_compile(&parser.tree, root, rules, error);
    cz_tree_free(&parser.tree);
    return status;
}
