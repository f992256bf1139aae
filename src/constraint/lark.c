/*
 * lark.c - Lark's EBNF: one pass that reads statements into a grammar tree, then compiled like
 * GBNF.
 *
 * Rules are lower case, terminals upper case (behind leading underscores). What %ignore names may
 * stand at the beginning and behind every terminal that a rule mentions, but not inside a terminal:
 * so a terminal's name in a rule is read as "terminal ignored*", while in the body of a terminal it
 * is the bare one. Ignored parts are known only at the end of the source, so both readings refer to
 * rules of their own: " ignore" and, for bare terminals, their names.
 */
#include "constraint/grammar_tree.h"
#include "constraint/source.h"

#include "base/utf8.h"
#include "constraint/codes.h"
#include "constraint/regex.h"

#include <stdio.h>
#include <stdlib.h>

struct parser {
    struct cz_tree tree;
    struct cz_source in;
    bool in_terminal; /* the statement defines a terminal */
    uint32_t ignore;  /* the rule of what is ignored */
    struct cz_tree_node *ignored;
};

/* common.lark, as far as its terminals go. */
static const struct {
    const char *name, *pattern;
} common[] = {
    {"DIGIT", "[0-9]"},
    {"HEXDIGIT", "[a-fA-F0-9]"},
    {"INT", "[0-9]+"},
    {"SIGNED_INT", "[+-]?[0-9]+"},
    {"DECIMAL", "[0-9]+\\.[0-9]*|\\.[0-9]+"},
    {"_EXP", "[eE][+-]?[0-9]+"},
    {"FLOAT", "[0-9]+[eE][+-]?[0-9]+|(?:[0-9]+\\.[0-9]*|\\.[0-9]+)(?:[eE][+-]?[0-9]+)?"},
    {"SIGNED_FLOAT",
     "[+-]?(?:[0-9]+[eE][+-]?[0-9]+|(?:[0-9]+\\.[0-9]*|\\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"},
    {"NUMBER", "[0-9]+|[0-9]+[eE][+-]?[0-9]+|(?:[0-9]+\\.[0-9]*|\\.[0-9]+)(?:[eE][+-]?[0-9]+)?"},
    {"SIGNED_NUMBER", "[+-]?(?:[0-9]+|[0-9]+[eE][+-]?[0-9]+|(?:[0-9]+\\.[0-9]*|\\.[0-9]+)"
                      "(?:[eE][+-]?[0-9]+)?)"},
    {"ESCAPED_STRING", "\"(?:[^\"\\\\\\n]|\\\\.)*\""},
    {"LCASE_LETTER", "[a-z]"},
    {"UCASE_LETTER", "[A-Z]"},
    {"LETTER", "[a-zA-Z]"},
    {"WORD", "[a-zA-Z]+"},
    {"CNAME", "[_a-zA-Z][_a-zA-Z0-9]*"},
    {"WS_INLINE", "[ \\t]+"},
    {"WS", "[ \\t\\f\\r\\n]+"},
    {"CR", "\\r"},
    {"LF", "\\n"},
    {"NEWLINE", "(?:\\r?\\n)+"},
    {"SH_COMMENT", "#[^\\n]*"},
    {"CPP_COMMENT", "//[^\\n]*"},
    {"C_COMMENT", "/\\*(?:[^*]|\\*+[^*/])*\\*+/"},
    {"SQL_COMMENT", "--[^\\n]*"},
};

/* ---- Reading ---- */

/* Blanks and comments; with `lines`, line ends too. */
static void skip_space(struct parser *parser, bool lines)
{
    while (parser->in.at < parser->in.text.size) {
        char c = cz_source_peek(&parser->in);
        bool comment = c == '#' || (c == '/' && cz_source_peek_at(&parser->in, 1) == '/');
        if (comment) {
            while (parser->in.at < parser->in.text.size && cz_source_peek(&parser->in) != '\n')
                parser->in.at++;
        } else if (c == ' ' || c == '\t' || c == '\r' || (lines && c == '\n')) {
            parser->in.at++;
        } else {
            return;
        }
    }
}

/* A line that begins with | (behind blanks and empty lines) continues the statement. */
static bool next_line_continues(struct parser *parser)
{
    size_t start = parser->in.at;
    skip_space(parser, true);
    if (cz_source_peek(&parser->in) == '|')
        return true;
    parser->in.at = start;
    return false;
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static struct cz_slice read_name(struct parser *parser)
{
    struct cz_slice name = {parser->in.text.data + parser->in.at, 0};
    while (is_name(cz_source_peek(&parser->in))) {
        parser->in.at++;
        name.size++;
    }
    if (!name.size || (*name.data >= '0' && *name.data <= '9'))
        cz_source_malformed(&parser->in, "a name is expected");
    return name;
}

static bool is_terminal(struct cz_slice name)
{
    size_t i = 0;
    while (i < name.size && name.data[i] == '_')
        i++;
    return i < name.size && name.data[i] >= 'A' && name.data[i] <= 'Z';
}

/* ---- Terminals ---- */

/* What stands in a rule where a terminal was read: the terminal, then what is ignored. */
static struct cz_tree_node *in_rule(struct parser *parser, struct cz_tree_node *terminal)
{
    if (parser->in_terminal)
        return terminal;
    struct cz_tree_node *sequence = cz_tree_node(&parser->tree, CZ_TREE_SEQUENCE);
    struct cz_tree_node *ignore = cz_tree_node(&parser->tree, CZ_TREE_RULE);
    if (ignore)
        ignore->rule = parser->ignore;
    cz_tree_add(sequence, terminal);
    cz_tree_add(sequence, ignore);
    return sequence;
}

static struct cz_tree_node *regex_node(struct parser *parser, struct cz_slice pattern,
                                       struct cz_regex_options options, size_t at)
{
    struct cloze_error why = {0};
    cz_expr expr = CZ_EXPR_NOTHING;
    options.flavour = CZ_REGEX_PYTHON;
    cloze_status status = cz_regex_parse(parser->tree.store, pattern, &options, &expr, &why);
    if (status)
        cz_source_fail(&parser->in, status, at, why.message);
    return cz_tree_expr(&parser->tree, expr, (uint32_t)pattern.size);
}

/* The bytes of a string between its quotes, escapes resolved as Python does. */
static void read_string(struct parser *parser, struct cz_buffer *out)
{
    static const char escapes[] = "n\nt\tr\rf\fv\va\ab\b0\0\\\\\"\"''//";
    while (!parser->in.status && !cz_source_accept(&parser->in, "\"")) {
        char c = cz_source_peek(&parser->in);
        if (parser->in.at >= parser->in.text.size || c == '\n') {
            cz_source_malformed(&parser->in, "a string without its closing quote");
            return;
        }
        parser->in.at++;
        if (c != '\\') {
            cz_buffer_append_byte(out, c);
            continue;
        }
        char escape = cz_source_peek(&parser->in), bytes[4];
        unsigned digits = escape == 'x' ? 2 : escape == 'u' ? 4 : escape == 'U' ? 8 : 0;
        const char *known = digits || !escape ? NULL : memchr(escapes, escape, sizeof escapes - 1);
        uint32_t code = 0;
        cz_source_advance(&parser->in, 1);
        for (unsigned i = 0; i < digits; i++, cz_source_advance(&parser->in, 1)) {
            char hex[2] = {cz_source_peek(&parser->in), 0};
            if (!hex[0] || !strchr("0123456789abcdefABCDEF", hex[0]))
                cz_source_malformed(&parser->in, "a hexadecimal digit is expected");
            code = code << 4 | (uint32_t)strtoul(hex, NULL, 16);
        }
        if (digits)
            cz_buffer_append(out, bytes, cz_utf8_encode(code, bytes));
        else if (known && (known - escapes) % 2 == 0)
            cz_buffer_append_byte(out, known[1]);
        else
            cz_source_malformed(&parser->in, "an unknown escape in a string");
    }
}

static cz_expr literal_expr(struct parser *parser, struct cz_slice text, bool ignore_case)
{
    if (!ignore_case)
        return cz_expr_literal(parser->tree.store, text);
    cz_expr result = CZ_EXPR_EMPTY;
    for (size_t i = 0, size; i < text.size; i += size) {
        struct cz_codes codes = {.arena = &parser->tree.arena};
        uint32_t code;
        size = cz_utf8_decode(text.data + i, text.size - i, &code);
        if (!size)
            break;
        cz_codes_add(&codes, code, code);
        cz_codes_close_case(&codes);
        result = cz_expr_concat(parser->tree.store, result,
                                cz_expr_code_points(parser->tree.store, codes.ranges, codes.count));
    }
    return result;
}

/* "a".."z" */
static struct cz_tree_node *range_node(struct parser *parser, struct cz_slice first, size_t at)
{
    struct cz_buffer last = {0};
    uint32_t from = 0, to = 0;
    read_string(parser, &last);
    bool single = cz_utf8_decode(first.data, first.size, &from) == first.size && first.size &&
                  last.size && cz_utf8_decode(last.data, last.size, &to) == last.size;
    if (!single || from > to)
        cz_source_fail(&parser->in, CLOZE_INVALID, at,
                       "a range is between two characters, in order");
    cz_buffer_free(&last);
    struct cz_code_range range = {from, to};
    return cz_tree_expr(&parser->tree, cz_expr_code_points(parser->tree.store, &range, 1), 4);
}

static struct cz_tree_node *read_literal(struct parser *parser)
{
    struct cz_buffer text = {.maximum = CZ_GRAMMAR_MAXIMUM_SIZE};
    struct cz_tree_node *node;
    size_t start = parser->in.at;
    read_string(parser, &text);
    if (cz_source_accept(&parser->in, "..\"")) {
        node = range_node(parser, cz_buffer_slice(&text), start);
    } else {
        bool ignore_case =
            !is_name(cz_source_peek_at(&parser->in, 1)) && cz_source_accept(&parser->in, "i");
        node =
            cz_tree_expr(&parser->tree, literal_expr(parser, cz_buffer_slice(&text), ignore_case),
                         (uint32_t)text.size);
    }
    parser->tree.failed |= text.failed;
    cz_buffer_free(&text);
    return in_rule(parser, node);
}

static struct cz_tree_node *read_regex(struct parser *parser)
{
    struct cz_regex_options options = {0};
    size_t start = parser->in.at;
    while (cz_source_peek(&parser->in) != '/') {
        if (parser->in.at >= parser->in.text.size || cz_source_peek(&parser->in) == '\n') {
            cz_source_malformed(&parser->in, "a regular expression without its closing slash");
            return NULL;
        }
        cz_source_advance(&parser->in, cz_source_peek(&parser->in) == '\\' ? 2 : 1);
    }
    struct cz_slice pattern = {parser->in.text.data + start, parser->in.at - start};
    for (parser->in.at++;; parser->in.at++) {
        char flag = cz_source_peek(&parser->in);
        options.ignore_case |= flag == 'i';
        options.multiline |= flag == 'm';
        options.dot_all |= flag == 's';
        options.verbose |= flag == 'x';
        if (!flag || !strchr("imslux", flag))
            break;
    }
    return in_rule(parser, regex_node(parser, pattern, options, start));
}

/* ---- Expressions ---- */

static struct cz_tree_node *read_alternatives(struct parser *parser);

static struct cz_tree_node *read_group(struct parser *parser, const char *closing, bool optional)
{
    if (!cz_source_nest(&parser->in))
        return NULL;
    struct cz_tree_node *node = read_alternatives(parser);
    skip_space(parser, true);
    if (!cz_source_accept(&parser->in, closing))
        cz_source_malformed(&parser->in, "an opening bracket without its closing one");
    parser->in.depth--;
    return optional ? cz_tree_repeat(&parser->tree, node, 0, 1) : node;
}

static struct cz_tree_node *read_reference(struct parser *parser)
{
    size_t start = parser->in.at;
    struct cz_slice name = read_name(parser);
    struct cz_tree_node *node = cz_tree_node(&parser->tree, CZ_TREE_RULE);
    if (cz_source_peek(&parser->in) == '{')
        cz_source_fail(&parser->in, CLOZE_UNSUPPORTED, start, "templates are not supported");
    if (node)
        node->rule = cz_tree_rule(&parser->tree, name, start);
    if (is_terminal(name))
        return in_rule(parser, node);
    if (parser->in_terminal)
        cz_source_fail(&parser->in, CLOZE_INVALID, start, "a terminal can't refer to a rule");
    return node;
}

/* One item without its repetition; NULL when there is none (or after an error). */
static struct cz_tree_node *read_atom(struct parser *parser)
{
    if (cz_source_accept(&parser->in, "("))
        return read_group(parser, ")", false);
    if (cz_source_accept(&parser->in, "["))
        return read_group(parser, "]", true);
    if (cz_source_accept(&parser->in, "\""))
        return read_literal(parser);
    if (cz_source_peek(&parser->in) == '/' && cz_source_peek_at(&parser->in, 1) != '/') {
        parser->in.at++;
        return read_regex(parser);
    }
    if (is_name(cz_source_peek(&parser->in)))
        return read_reference(parser);
    return NULL;
}

/* ~ n or ~ n..m */
static void read_counts(struct parser *parser, uint32_t *minimum, uint32_t *maximum)
{
    skip_space(parser, false);
    if (!cz_source_number(&parser->in, minimum))
        cz_source_malformed(&parser->in, "a number is expected behind ~");
    *maximum = *minimum;
    if (cz_source_accept(&parser->in, "..") && !cz_source_number(&parser->in, maximum))
        cz_source_malformed(&parser->in, "a number is expected behind ..");
    if (*maximum < *minimum)
        cz_source_malformed(&parser->in, "a repetition whose minimum is above its maximum");
}

static struct cz_tree_node *read_item(struct parser *parser)
{
    uint32_t minimum = 0, maximum = CZ_EXPR_UNBOUNDED;
    struct cz_tree_node *atom = read_atom(parser);
    size_t start = parser->in.at;
    if (!atom)
        return NULL;
    skip_space(parser, false);
    if (cz_source_accept(&parser->in, "*")) {
    } else if (cz_source_accept(&parser->in, "+")) {
        minimum = 1;
    } else if (cz_source_accept(&parser->in, "?")) {
        maximum = 1;
    } else if (cz_source_accept(&parser->in, "~")) {
        read_counts(parser, &minimum, &maximum);
    } else {
        parser->in.at = start;
        return atom;
    }
    return cz_tree_repeat(&parser->tree, atom, minimum, maximum);
}

static struct cz_tree_node *read_sequence(struct parser *parser)
{
    struct cz_tree_node *sequence = cz_tree_node(&parser->tree, CZ_TREE_SEQUENCE);
    while (!parser->in.status) {
        skip_space(parser, parser->in.depth > 0);
        struct cz_tree_node *item = read_item(parser);
        if (!item)
            break;
        cz_tree_add(sequence, item);
    }
    if (cz_source_accept(&parser->in, "->")) { /* an alias: the tree node that Lark would make */
        skip_space(parser, false);
        read_name(parser);
        skip_space(parser, parser->in.depth > 0);
    }
    return sequence;
}

static struct cz_tree_node *read_alternatives(struct parser *parser)
{
    struct cz_tree_node *choice = cz_tree_node(&parser->tree, CZ_TREE_CHOICE);
    do {
        cz_tree_add(choice, read_sequence(parser));
    } while (!parser->in.status && next_line_continues(parser) &&
             cz_source_accept(&parser->in, "|"));
    return choice;
}

/* ---- Statements ---- */

static void end_statement(struct parser *parser)
{
    skip_space(parser, false);
    if (!parser->in.status && parser->in.at < parser->in.text.size &&
        cz_source_peek(&parser->in) != '\n')
        cz_source_malformed(&parser->in, "the end of the statement is expected");
}

static void define(struct parser *parser, struct cz_slice name, struct cz_tree_node *body,
                   size_t at)
{
    uint32_t rule = cz_tree_rule(&parser->tree, name, at);
    if (rule == UINT32_MAX || parser->in.status)
        return;
    if (parser->tree.rules[rule].body)
        cz_source_fail(&parser->in, CLOZE_INVALID, at, "this name is defined twice");
    parser->tree.rules[rule].body = body;
}

static void read_definition(struct parser *parser)
{
    size_t start;
    uint32_t priority;
    while (cz_source_accept(&parser->in, "?") || cz_source_accept(&parser->in, "!")) {
    }
    start = parser->in.at;
    struct cz_slice name = read_name(parser);
    if (parser->in.status)
        return;
    if (cz_source_peek(&parser->in) == '{')
        cz_source_fail(&parser->in, CLOZE_UNSUPPORTED, start, "templates are not supported");
    if (cz_source_accept(&parser->in, ".")) {
        cz_source_accept(&parser->in, "-");
        if (!cz_source_number(&parser->in, &priority))
            cz_source_malformed(&parser->in, "a priority is a number");
    }
    skip_space(parser, false);
    if (!cz_source_accept(&parser->in, ":"))
        cz_source_malformed(&parser->in, ": is expected behind the name of a rule or terminal");
    parser->in_terminal = is_terminal(name);
    next_line_continues(parser);
    struct cz_tree_node *body = read_alternatives(parser);
    define(parser, name, body, start);
    end_statement(parser);
}

static void read_ignore(struct parser *parser)
{
    parser->in_terminal = true;
    cz_tree_add(parser->ignored, read_alternatives(parser));
    end_statement(parser);
}

static void import_common(struct parser *parser, struct cz_slice name, struct cz_slice as,
                          size_t at)
{
    for (size_t i = 0; i < sizeof common / sizeof *common; i++) {
        if (!cz_slice_is(name, common[i].name))
            continue;
        struct cz_regex_options options = {0};
        define(parser, as, regex_node(parser, cz_slice(common[i].pattern), options, at), at);
        return;
    }
    cz_source_fail(&parser->in, CLOZE_INVALID, at, "the module 'common' has no such terminal");
}

/* %import common.NAME, %import common.NAME -> OTHER, %import common (A, B) */
static void read_import(struct parser *parser)
{
    size_t start = parser->in.at;
    if (!cz_source_accept(&parser->in, "common")) {
        cz_source_fail(&parser->in, CLOZE_UNSUPPORTED, start,
                       "only the module 'common' can be imported from");
        return;
    }
    skip_space(parser, false);
    bool list = cz_source_accept(&parser->in, "(");
    if (!list && !cz_source_accept(&parser->in, "."))
        cz_source_malformed(&parser->in, "%import is written common.NAME or common (NAME, NAME)");
    do {
        skip_space(parser, list);
        size_t at = parser->in.at;
        struct cz_slice name = read_name(parser), as = name;
        skip_space(parser, list);
        if (!list && cz_source_accept(&parser->in, "->")) {
            skip_space(parser, false);
            as = read_name(parser);
        }
        if (!parser->in.status)
            import_common(parser, name, as, at);
    } while (!parser->in.status && list && cz_source_accept(&parser->in, ","));
    if (list && !cz_source_accept(&parser->in, ")"))
        cz_source_malformed(&parser->in, "( without its )");
    end_statement(parser);
}

static void read_statement(struct parser *parser)
{
    size_t start = parser->in.at;
    if (!cz_source_accept(&parser->in, "%")) {
        read_definition(parser);
        return;
    }
    struct cz_slice name = read_name(parser);
    skip_space(parser, false);
    if (cz_slice_is(name, "ignore"))
        read_ignore(parser);
    else if (cz_slice_is(name, "import"))
        read_import(parser);
    else if (cz_slice_is(name, "declare") || cz_slice_is(name, "extend") ||
             cz_slice_is(name, "override"))
        cz_source_fail(&parser->in, CLOZE_UNSUPPORTED, start,
             "%declare, %extend and %override are not supported: define the terminal here");
    else
        cz_source_fail(&parser->in, CLOZE_INVALID, start, "an unknown directive");
}

/* The whole: what is ignored, then the start rule. */
static uint32_t define_root(struct parser *parser)
{
    struct cz_tree *tree = &parser->tree;
    uint32_t root = cz_tree_rule(tree, CZ_SLICE(" root"), 0);
    uint32_t start = cz_tree_rule(tree, CZ_SLICE("start"), parser->in.text.size);
    struct cz_tree_node *body = cz_tree_node(tree, CZ_TREE_SEQUENCE);
    uint32_t names[] = {parser->ignore, start};
    for (int i = 0; i < 2; i++) {
        struct cz_tree_node *reference = cz_tree_node(tree, CZ_TREE_RULE);
        if (reference)
            reference->rule = names[i];
        cz_tree_add(body, reference);
    }
    if (tree->failed)
        return 0;
    tree->rules[root].body = body;
    tree->rules[parser->ignore].body =
        parser->ignored->first ? cz_tree_repeat(tree, parser->ignored, 0, CZ_EXPR_UNBOUNDED)
                               : cz_tree_expr(tree, CZ_EXPR_EMPTY, 0);
    return root;
}

static void check_defined(struct parser *parser)
{
    for (uint32_t i = 0; i < parser->tree.rule_count && !parser->in.status; i++) {
        const struct cz_tree_rule *rule = &parser->tree.rules[i];
        char message[160];
        if (rule->body)
            continue;
        snprintf(message, sizeof message, "'%.*s' is not defined",
                 (int)(rule->name.size < 100 ? rule->name.size : 100), rule->name.data);
        cz_source_fail(&parser->in, CLOZE_INVALID, rule->used_at, message);
    }
}

static uint32_t read_all(struct parser *parser)
{
    parser->ignore = cz_tree_rule(&parser->tree, CZ_SLICE(" ignore"), 0);
    parser->ignored = cz_tree_node(&parser->tree, CZ_TREE_CHOICE);
    skip_space(parser, true);
    while (!parser->in.status && !parser->tree.failed && parser->in.at < parser->in.text.size) {
        read_statement(parser);
        skip_space(parser, true);
    }
    uint32_t root = parser->tree.failed ? 0 : define_root(parser);
    if (!parser->in.status && parser->tree.failed)
        parser->in.status = cz_fail_memory(parser->in.error, "a grammar");
    check_defined(parser);
    return root;
}

cloze_status cz_lark_parse(struct cz_rules *rules, struct cz_slice source,
                           struct cloze_error *error)
{
    struct parser parser = {
        .tree = {.store = cz_rules_expr_store(rules)}, .in = {.text = source, .error = error}};
    cloze_status status = cz_source_check(source, error);
    if (status)
        return status;
    uint32_t root = read_all(&parser);
    status = parser.in.status;
    if (!status)
        status = cz_tree_compile(&parser.tree, root, rules, error);
    cz_tree_free(&parser.tree);
    return status;
}
