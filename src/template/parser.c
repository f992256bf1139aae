/*
 * parser.c - from a template's text to its tree, as Jinja reads it with trim_blocks and
 * lstrip_blocks on: text, tags and statements.
 *
 * Text up to the next tag is cut off first, its white space trimmed by the tags on both sides;
 * within a tag the scanner hands out one token at a time.
 */
#include "template/parser.h"

static cloze_status parse_body(struct cz_parser *parser, const char *ends, struct cz_node **out);

/* ---- Statements ---- */

/* A name, namespace.attribute (for set), or targets in parentheses. */
static cloze_status parse_target_item(struct cz_parser *parser, struct cz_node **out)
{
    if (cz_scan_is_operator(parser, "(")) {
        TRY(cz_parse_enter(parser));
        TRY(cz_scan_next(parser));
        TRY(cz_parse_tuple(parser, true, "", parse_target_item, out));
        parser->depth--;
        return cz_scan_expect_operator(parser, ")");
    }
    NEW(node, CZ_NODE_NAME);
    TRY(cz_scan_expect_name(parser, &node->name));
    *out = node;
    if (!cz_scan_is_operator(parser, "."))
        return CLOZE_OK;
    node->kind = CZ_NODE_ATTRIBUTE;
    TRY(cz_scan_next(parser));
    struct cz_slice attribute;
    TRY(cz_scan_expect_name(parser, &attribute));
    return cz_scan_keep_text(parser, attribute, &node->value);
}

/* Continues behind the tag that parser->token ended. */
static cloze_status parse_block_end(struct cz_parser *parser, const char *ends,
                                    struct cz_node **body)
{
    TRY(cz_scan_expect_tag_end(parser));
    return parse_body(parser, ends, body);
}

static cloze_status parse_if(struct cz_parser *parser, struct cz_node **out)
{
    NEW(node, CZ_NODE_IF);
    *out = node;
    TRY(cz_parse_enter(parser));
    TRY(cz_scan_next(parser));
    TRY(cz_parse_tuple(parser, false, "", cz_parse_or, &node->a));
    TRY(parse_block_end(parser, " elif else endif ", &node->b));
    if (cz_scan_is_word(parser, "elif")) {
        TRY(parse_if(parser, &node->c));
    } else if (cz_scan_is_word(parser, "else")) {
        TRY(cz_scan_next(parser));
        TRY(parse_block_end(parser, " endif ", &node->c));
        TRY(cz_scan_next(parser));
    } else {
        TRY(cz_scan_next(parser));
    }
    parser->depth--;
    return CLOZE_OK;
}

static cloze_status parse_for(struct cz_parser *parser, struct cz_node **out)
{
    NEW(node, CZ_NODE_FOR);
    *out = node;
    TRY(cz_scan_next(parser));
    TRY(cz_parse_tuple(parser, false, " in ", parse_target_item, &node->a));
    if (!cz_scan_is_word(parser, "in"))
        return cz_scan_fail(parser, "expected \"in\", got");
    TRY(cz_scan_next(parser));
    TRY(cz_parse_tuple(parser, false, " if recursive ", cz_parse_or, &node->b));
    if (cz_scan_is_word(parser, "if")) {
        TRY(cz_scan_next(parser));
        TRY(cz_parse_expression(parser, &node->e));
    }
    if (cz_scan_is_word(parser, "recursive"))
        return cz_scan_unsupported(parser, parser->token.offset,
                                   "unsupported:", CZ_SLICE("for recursive"));
    parser->loops++;
    TRY(parse_block_end(parser, " else endfor ", &node->c));
    parser->loops--;
    if (cz_scan_is_word(parser, "else")) {
        TRY(cz_scan_next(parser));
        TRY(parse_block_end(parser, " endfor ", &node->d));
    }
    return cz_scan_next(parser);
}

/* "|filter|filter" without an operand, for blocks. */
static cloze_status parse_block_filter(struct cz_parser *parser, struct cz_node **out)
{
    while (!*out || cz_scan_is_operator(parser, "|")) {
        if (cz_scan_is_operator(parser, "|"))
            TRY(cz_scan_next(parser));
        TRY(cz_parse_wrap(parser, CZ_NODE_FILTER, out));
        TRY(cz_parse_filter_name(parser, *out));
    }
    return CLOZE_OK;
}

static cloze_status parse_set(struct cz_parser *parser, struct cz_node **out)
{
    NEW(node, CZ_NODE_SET);
    *out = node;
    TRY(cz_scan_next(parser));
    TRY(cz_parse_tuple(parser, false, "", parse_target_item, &node->a));
    if (cz_scan_is_operator(parser, "=")) {
        TRY(cz_scan_next(parser));
        return cz_parse_tuple(parser, false, "", cz_parse_expression, &node->b);
    }
    node->kind = CZ_NODE_SET_BLOCK;
    if (cz_scan_is_operator(parser, "|"))
        TRY(parse_block_filter(parser, &node->c));
    TRY(parse_block_end(parser, " endset ", &node->b));
    return cz_scan_next(parser);
}

/* "(a, b=1)" */
static cloze_status parse_parameters(struct cz_parser *parser, struct cz_node **out)
{
    TRY(cz_scan_expect_operator(parser, "("));
    while (!cz_scan_is_operator(parser, ")")) {
        NEW(parameter, CZ_NODE_NAME);
        TRY(cz_scan_expect_name(parser, &parameter->name));
        if (cz_scan_is_operator(parser, "=")) {
            TRY(cz_scan_next(parser));
            TRY(cz_parse_expression(parser, &parameter->a));
        }
        *out = parameter;
        out = &parameter->next;
        if (cz_scan_is_operator(parser, ")"))
            break;
        TRY(cz_scan_expect_operator(parser, ","));
    }
    return cz_scan_next(parser);
}

/* A body in which break and continue don't reach the loops outside. */
static cloze_status parse_own_body(struct cz_parser *parser, const char *end, struct cz_node **body)
{
    unsigned loops = parser->loops;
    parser->loops = 0;
    TRY(parse_block_end(parser, end, body));
    parser->loops = loops;
    return cz_scan_next(parser);
}

static cloze_status parse_macro(struct cz_parser *parser, struct cz_node **out)
{
    NEW(node, CZ_NODE_MACRO);
    *out = node;
    TRY(cz_scan_next(parser));
    TRY(cz_scan_expect_name(parser, &node->name));
    TRY(parse_parameters(parser, &node->a));
    return parse_own_body(parser, " endmacro ", &node->b);
}

static cloze_status parse_call_block(struct cz_parser *parser, struct cz_node **out)
{
    NEW(node, CZ_NODE_CALL_BLOCK);
    *out = node;
    node->name = CZ_SLICE("caller");
    TRY(cz_scan_next(parser));
    if (cz_scan_is_operator(parser, "("))
        TRY(parse_parameters(parser, &node->a));
    TRY(cz_parse_expression(parser, &node->c));
    if (node->c->kind != CZ_NODE_CALL)
        return cz_scan_fail(parser, "expected a call, got");
    return parse_own_body(parser, " endcall ", &node->b);
}

static cloze_status parse_filter_block(struct cz_parser *parser, struct cz_node **out)
{
    NEW(node, CZ_NODE_FILTER_BLOCK);
    *out = node;
    TRY(cz_scan_next(parser));
    TRY(parse_block_filter(parser, &node->a));
    return parse_own_body(parser, " endfilter ", &node->b);
}

static cloze_status parse_generation(struct cz_parser *parser, struct cz_node **out)
{
    NEW(node, CZ_NODE_GENERATION);
    *out = node;
    TRY(cz_scan_next(parser));
    return parse_own_body(parser, " endgeneration ", &node->b);
}

static cloze_status parse_jump(struct cz_parser *parser, struct cz_node **out)
{
    NEW(node, cz_scan_is_word(parser, "break") ? CZ_NODE_BREAK : CZ_NODE_CONTINUE);
    *out = node;
    return parser->loops ? cz_scan_next(parser) : cz_scan_fail(parser, "outside of a loop:");
}

static cloze_status parse_statement(struct cz_parser *parser, struct cz_node **out)
{
    static const struct {
        const char *word;
        cloze_status (*parse)(struct cz_parser *, struct cz_node **);
    } statements[] = {{"if", parse_if},
                      {"for", parse_for},
                      {"set", parse_set},
                      {"macro", parse_macro},
                      {"call", parse_call_block},
                      {"filter", parse_filter_block},
                      {"generation", parse_generation},
                      {"break", parse_jump},
                      {"continue", parse_jump}};
    TRY(cz_parse_enter(parser));
    for (unsigned i = 0; i < sizeof statements / sizeof *statements; i++) {
        if (!cz_scan_is_word(parser, statements[i].word))
            continue;
        TRY(statements[i].parse(parser, out));
        parser->depth--;
        return cz_scan_expect_tag_end(parser);
    }
    if (parser->token.kind != CZ_TOKEN_NAME)
        return cz_scan_fail(parser, "expected a statement, got");
    bool closes =
        cz_slice_starts_with(parser->token.text, "end") || cz_scan_is_one_of(parser, " else elif ");
    return cz_scan_fail_at(parser, parser->token.offset, closes ? CLOZE_INVALID : CLOZE_UNSUPPORTED,
                           closes ? "unexpected" : "unsupported statement", parser->token.text);
}

/* ---- Text between tags ---- */

static size_t find_tag(const struct cz_parser *parser, size_t at)
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
static size_t trimmed_end(const struct cz_parser *parser, size_t start, size_t tag)
{
    const char *data = parser->source.data;
    bool in_source = tag + 2 < parser->source.size;
    char sign = in_source ? data[tag + 2] : '\0';
    size_t end = tag;
    if (sign == '-') {
        while (end > start && cz_scan_is_space(data[end - 1]))
            end--;
        return end;
    }
    if (sign == '+' || data[tag + 1] == '{')
        return tag;
    while (end > start && cz_scan_is_space(data[end - 1]) && data[end - 1] != '\n')
        end--;
    bool begins_line = end > start ? data[end - 1] == '\n' : parser->line_starting;
    return begins_line ? end : tag;
}

static cloze_status add_text(struct cz_parser *parser, size_t start, size_t end,
                             struct cz_node ***tail)
{
    if (start == end)
        return CLOZE_OK;
    NEW(node, CZ_NODE_TEXT);
    TRY(cz_scan_keep_text(parser, cz_slice_of(parser->source.data + start, end - start),
                          &node->value));
    **tail = node;
    *tail = &node->next;
    return CLOZE_OK;
}

static cloze_status skip_comment(struct cz_parser *parser)
{
    size_t start = parser->at;
    const char *end =
        memmem(parser->source.data + start + 2, parser->source.size - start - 2, "#}", 2);
    if (!end)
        return cz_scan_fail_at(parser, start, CLOZE_INVALID, "a comment without its end",
                               (struct cz_slice){0});
    parser->at = (size_t)(end - parser->source.data) + 2;
    bool has_sign = end > parser->source.data + start + 2 && (end[-1] == '-' || end[-1] == '+');
    cz_scan_trim_after(parser, has_sign ? end[-1] : '\0', true);
    return CLOZE_OK;
}

/* Opens the tag at parser->at and reads its first token. */
static cloze_status open_tag(struct cz_parser *parser)
{
    bool is_block = parser->source.data[parser->at + 1] == '%';
    parser->tag_end = is_block ? "%}" : "}}";
    parser->brackets = 0;
    parser->at += 2;
    if (cz_scan_looking_at(parser, parser->at, "-") || cz_scan_looking_at(parser, parser->at, "+"))
        parser->at++;
    return cz_scan_next(parser);
}

/* {% raw %} ... {% endraw %}, at its tag; false when it is another tag. */
static bool is_raw_tag(const struct cz_parser *parser)
{
    size_t at = parser->at + 2;
    struct cz_slice source = parser->source;
    if (source.data[parser->at + 1] != '%')
        return false;
    at += at < source.size && (source.data[at] == '-' || source.data[at] == '+');
    while (at < source.size && cz_scan_is_space(source.data[at]))
        at++;
    if (!cz_scan_looking_at(parser, at, "raw"))
        return false;
    at += 3;
    while (at < source.size && cz_scan_is_space(source.data[at]))
        at++;
    return cz_scan_looking_at(parser, at, "%}") || cz_scan_looking_at(parser, at, "-%}");
}

/* One thing of a body: text and the tag behind it. *ended: it was the tag of one of `ends`, whose
 * word is the current token. */
static cloze_status parse_piece(struct cz_parser *parser, const char *ends, struct cz_node ***tail,
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
        return cz_scan_unsupported(parser, tag, "unsupported statement", CZ_SLICE("raw"));
    bool is_block = parser->source.data[tag + 1] == '%';
    TRY(open_tag(parser));
    *ended = is_block && cz_scan_is_one_of(parser, ends);
    if (*ended)
        return CLOZE_OK;
    if (is_block) {
        TRY(parse_statement(parser, *tail));
    } else {
        NEW(print, CZ_NODE_PRINT);
        **tail = print;
        TRY(cz_parse_tuple(parser, false, "", cz_parse_expression, &print->a));
        TRY(cz_scan_expect_tag_end(parser));
    }
    *tail = &(**tail)->next;
    return CLOZE_OK;
}

/* Up to a tag of one of `ends` (words between blanks), which becomes the current token; with no
 * ends up to the end of the source. */
static cloze_status parse_body(struct cz_parser *parser, const char *ends, struct cz_node **out)
{
    size_t offset = parser->token.offset;
    bool ended = false;
    while (!ended && parser->at < parser->source.size)
        TRY(parse_piece(parser, ends, &out, &ended));
    if (!ended && ends[0])
        return cz_scan_fail_at(parser, offset, CLOZE_INVALID,
                               "a block is not closed; expected one of", cz_slice(ends));
    return CLOZE_OK;
}

cloze_status cz_template_parse(struct cz_template *tmpl, struct cloze_error *error)
{
    struct cz_parser parser = {
        .tmpl = tmpl, .source = tmpl->source, .line_starting = true, .error = error};
    return parse_body(&parser, "", &tmpl->body);
}
