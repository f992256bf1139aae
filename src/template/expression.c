/*
 * expression.c - the expressions of a template, by recursive descent: a function a level of Jinja's
 * grammar, the tighter operators deeper.
 */
#include "template/parser.h"

static cloze_status parse_unary(struct cz_parser *parser, bool with_filter, struct cz_node **out);

/* ---- Primary expressions ---- */

/* Items up to `close`, separated by commas; a trailing comma is fine. */
static cloze_status parse_items(struct cz_parser *parser, const char *close, struct cz_node **out)
{
    struct cz_node **tail = out;
    while (!cz_scan_is_operator(parser, close)) {
        TRY(cz_parse_expression(parser, tail));
        tail = &(*tail)->next;
        if (cz_scan_is_operator(parser, close))
            break;
        TRY(cz_scan_expect_operator(parser, ","));
    }
    return cz_scan_next(parser);
}

static cloze_status parse_dict(struct cz_parser *parser, struct cz_node **out)
{
    NEW(node, CZ_NODE_DICT);
    struct cz_node **keys = &node->a, **values = &node->b;
    TRY(cz_scan_next(parser));
    while (!cz_scan_is_operator(parser, "}")) {
        TRY(cz_parse_expression(parser, keys));
        TRY(cz_scan_expect_operator(parser, ":"));
        TRY(cz_parse_expression(parser, values));
        keys = &(*keys)->next;
        values = &(*values)->next;
        if (cz_scan_is_operator(parser, "}"))
            break;
        TRY(cz_scan_expect_operator(parser, ","));
    }
    *out = node;
    return cz_scan_next(parser);
}

static bool ends_tuple(const struct cz_parser *parser, const char *end_words)
{
    return parser->token.kind == CZ_TOKEN_END_OF_TAG || cz_scan_is_operator(parser, ")") ||
           cz_scan_is_one_of(parser, end_words);
}

/* One item, or several with commas: then a tuple. */
cloze_status cz_parse_tuple(struct cz_parser *parser, bool parenthesised, const char *end_words,
                            cloze_status (*parse)(struct cz_parser *, struct cz_node **),
                            struct cz_node **out)
{
    NEW(tuple, CZ_NODE_TUPLE);
    struct cz_node **tail = &tuple->a;
    bool has_comma = false;
    while (!ends_tuple(parser, end_words)) {
        TRY(parse(parser, tail));
        tail = &(*tail)->next;
        if (!cz_scan_is_operator(parser, ","))
            break;
        has_comma = true;
        TRY(cz_scan_next(parser));
    }
    if (!tuple->a && !parenthesised)
        return cz_scan_fail(parser, "expected an expression, got");
    *out = has_comma || !tuple->a ? tuple : tuple->a;
    return CLOZE_OK;
}

static cloze_status parse_string_literal(struct cz_parser *parser, struct cz_node *node)
{
    struct cz_buffer joined = {0};
    cloze_status status = CLOZE_OK;
    while (!status && parser->token.kind == CZ_TOKEN_STRING) {
        cz_buffer_append_slice(&joined, cz_value_text_slice(&parser->token.value));
        status = cz_scan_next(parser);
    }
    if (!status)
        status = cz_buffer_status(&joined, "the template", parser->error);
    if (!status)
        status = cz_scan_keep_text(parser, cz_slice_of(cz_buffer_text(&joined), joined.size),
                                   &node->value);
    cz_buffer_free(&joined);
    return status;
}

static cloze_status parse_name(struct cz_parser *parser, struct cz_node *node)
{
    if (cz_scan_is_one_of(parser, " true True false False ")) {
        node->value = cz_value_boolean(parser->token.text.data[0] == 't' ||
                                       parser->token.text.data[0] == 'T');
    } else if (cz_scan_is_one_of(parser, " none None ")) {
        node->value = cz_value_none();
    } else {
        node->kind = CZ_NODE_NAME;
        node->name = parser->token.text;
    }
    return cz_scan_next(parser);
}

static cloze_status parse_primary(struct cz_parser *parser, struct cz_node **out)
{
    if (cz_scan_is_operator(parser, "{"))
        return parse_dict(parser, out);
    if (cz_scan_is_operator(parser, "(")) {
        TRY(cz_scan_next(parser));
        TRY(cz_parse_tuple(parser, true, "", cz_parse_expression, out));
        return cz_scan_expect_operator(parser, ")");
    }
    NEW(node, CZ_NODE_CONSTANT);
    *out = node;
    switch (parser->token.kind) {
    case CZ_TOKEN_NAME:
        return parse_name(parser, node);
    case CZ_TOKEN_STRING:
        return parse_string_literal(parser, node);
    case CZ_TOKEN_INTEGER:
    case CZ_TOKEN_FLOAT:
        node->value = parser->token.value;
        return cz_scan_next(parser);
    default:
        break;
    }
    if (!cz_scan_is_operator(parser, "["))
        return cz_scan_fail(parser, "expected an expression, got");
    node->kind = CZ_NODE_LIST;
    TRY(cz_scan_next(parser));
    return parse_items(parser, "]", &node->a);
}

/* ---- What follows an expression: attributes, items, calls, filters, tests ---- */

/* "(a, b, c=d)" behind the parenthesis; keyword arguments to *named. */
static cloze_status parse_arguments(struct cz_parser *parser, struct cz_node **positional,
                                    struct cz_node **named)
{
    TRY(cz_scan_expect_operator(parser, "("));
    while (!cz_scan_is_operator(parser, ")")) {
        if (cz_scan_is_operator(parser, "*") || cz_scan_is_operator(parser, "**"))
            return cz_scan_unsupported(parser, parser->token.offset,
                                       "unpacked arguments are not supported:", parser->token.text);
        struct cz_node *argument;
        TRY(cz_parse_expression(parser, &argument));
        if (cz_scan_is_operator(parser, "=") && argument->kind == CZ_NODE_NAME) {
            argument->kind = CZ_NODE_KEYWORD;
            TRY(cz_scan_next(parser));
            TRY(cz_parse_expression(parser, &argument->a));
            *named = argument;
            named = &argument->next;
        } else {
            *positional = argument;
            positional = &argument->next;
        }
        if (cz_scan_is_operator(parser, ")"))
            break;
        TRY(cz_scan_expect_operator(parser, ","));
    }
    return cz_scan_next(parser);
}

static cloze_status parse_slice_bound(struct cz_parser *parser, struct cz_node **out)
{
    return cz_scan_is_operator(parser, ":") || cz_scan_is_operator(parser, "]")
               ? CLOZE_OK
               : cz_parse_expression(parser, out);
}

/* "[key]" or "[from:to:step]" behind the bracket. */
static cloze_status parse_brackets(struct cz_parser *parser, struct cz_node *node)
{
    node->kind = CZ_NODE_ITEM;
    TRY(cz_scan_next(parser));
    TRY(parse_slice_bound(parser, &node->b));
    if (cz_scan_is_operator(parser, ":")) {
        node->kind = CZ_NODE_SLICE;
        TRY(cz_scan_next(parser));
        TRY(parse_slice_bound(parser, &node->c));
        if (cz_scan_is_operator(parser, ":")) {
            TRY(cz_scan_next(parser));
            TRY(parse_slice_bound(parser, &node->d));
        }
    } else if (!node->b) {
        return cz_scan_fail(parser, "expected a key, got");
    }
    return cz_scan_expect_operator(parser, "]");
}

static cloze_status parse_dot(struct cz_parser *parser, struct cz_node *node)
{
    TRY(cz_scan_next(parser));
    if (parser->token.kind == CZ_TOKEN_INTEGER) {
        NEW(key, CZ_NODE_CONSTANT);
        key->value = parser->token.value;
        node->kind = CZ_NODE_ITEM;
        node->b = key;
        return cz_scan_next(parser);
    }
    return cz_scan_expect_name(parser, &node->name);
}

/* Wraps *out as the operand `a` of a new node. */
cloze_status cz_parse_wrap(struct cz_parser *parser, enum cz_node_kind kind, struct cz_node **out)
{
    NEW(node, kind);
    node->a = *out;
    *out = node;
    return CLOZE_OK;
}

static cloze_status parse_postfix(struct cz_parser *parser, struct cz_node **out)
{
    for (unsigned i = 0; i < CZ_TEMPLATE_DEPTH; i++) {
        if (cz_scan_is_operator(parser, ".")) {
            TRY(cz_parse_wrap(parser, CZ_NODE_ATTRIBUTE, out));
            TRY(parse_dot(parser, *out));
        } else if (cz_scan_is_operator(parser, "[")) {
            TRY(cz_parse_wrap(parser, CZ_NODE_ITEM, out));
            TRY(parse_brackets(parser, *out));
        } else if (cz_scan_is_operator(parser, "(")) {
            TRY(cz_parse_wrap(parser, CZ_NODE_CALL, out));
            TRY(parse_arguments(parser, &(*out)->b, &(*out)->c));
        } else {
            return CLOZE_OK;
        }
    }
    return cz_scan_fail(parser, "too many attributes or calls in a row, at");
}

/* The name of a filter and its arguments, behind "|". */
cloze_status cz_parse_filter_name(struct cz_parser *parser, struct cz_node *node)
{
    TRY(cz_scan_expect_name(parser, &node->name));
    node->builtin = cz_template_filter(node->name); /* NULL: fails when it is reached */
    return cz_scan_is_operator(parser, "(") ? parse_arguments(parser, &node->b, &node->c)
                                            : CLOZE_OK;
}

static bool starts_test_argument(const struct cz_parser *parser)
{
    if (parser->token.kind == CZ_TOKEN_NAME)
        return !cz_scan_is_one_of(parser, " else or and ");
    return parser->token.kind == CZ_TOKEN_STRING || parser->token.kind == CZ_TOKEN_INTEGER ||
           parser->token.kind == CZ_TOKEN_FLOAT || cz_scan_is_operator(parser, "[") ||
           cz_scan_is_operator(parser, "{");
}

/* "not name argument" behind "is". */
static cloze_status parse_test(struct cz_parser *parser, struct cz_node **out)
{
    TRY(cz_scan_next(parser));
    bool negated = cz_scan_is_word(parser, "not");
    if (negated)
        TRY(cz_scan_next(parser));
    TRY(cz_parse_wrap(parser, CZ_NODE_TEST, out));
    struct cz_node *test = *out;
    TRY(cz_scan_expect_name(parser, &test->name));
    test->builtin = cz_template_test(test->name); /* NULL: fails when it is reached */
    if (cz_scan_is_operator(parser, "(")) {
        TRY(parse_arguments(parser, &test->b, &test->c));
    } else if (starts_test_argument(parser)) {
        if (cz_scan_is_word(parser, "is"))
            return cz_scan_fail(parser, "tests can't be chained with");
        TRY(parse_primary(parser, &test->b));
        TRY(parse_postfix(parser, &test->b));
    }
    if (negated) {
        TRY(cz_parse_wrap(parser, CZ_NODE_UNARY, out));
        (*out)->op = CZ_OP_NOT;
    }
    return CLOZE_OK;
}

static cloze_status parse_filters(struct cz_parser *parser, struct cz_node **out)
{
    for (unsigned i = 0; i < CZ_TEMPLATE_DEPTH; i++) {
        if (cz_scan_is_operator(parser, "|")) {
            TRY(cz_scan_next(parser));
            TRY(cz_parse_wrap(parser, CZ_NODE_FILTER, out));
            TRY(cz_parse_filter_name(parser, *out));
        } else if (cz_scan_is_word(parser, "is")) {
            TRY(parse_test(parser, out));
        } else if (cz_scan_is_operator(parser, "(")) {
            TRY(cz_parse_wrap(parser, CZ_NODE_CALL, out));
            TRY(parse_arguments(parser, &(*out)->b, &(*out)->c));
        } else {
            return CLOZE_OK;
        }
    }
    return cz_scan_fail(parser, "too many filters in a row, at");
}

/* ---- Operators, the tighter ones first ---- */

static cloze_status parse_signed(struct cz_parser *parser, enum cz_operator op,
                                 struct cz_node **out)
{
    NEW(node, CZ_NODE_UNARY);
    node->op = op;
    *out = node;
    TRY(cz_scan_next(parser));
    return parse_unary(parser, false, &node->a);
}

static cloze_status parse_unary(struct cz_parser *parser, bool with_filter, struct cz_node **out)
{
    TRY(cz_parse_enter(parser));
    if (cz_scan_is_operator(parser, "-"))
        TRY(parse_signed(parser, CZ_OP_NEGATE, out));
    else if (cz_scan_is_operator(parser, "+"))
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

static const struct operator_name *find_operator(const struct cz_parser *parser,
                                                 const struct operator_name *names)
{
    for (; names->text; names++)
        if (cz_scan_is_operator(parser, names->text))
            return names;
    return NULL;
}

/* A left-associative level: operand (op operand)*. */
static cloze_status parse_level(struct cz_parser *parser, const struct operator_name *names,
                                cloze_status (*operand)(struct cz_parser *, struct cz_node **),
                                struct cz_node **out)
{
    TRY(operand(parser, out));
    const struct operator_name *found;
    unsigned depth = 0;
    while ((found = find_operator(parser, names))) {
        if (++depth > CZ_TEMPLATE_DEPTH)
            return cz_scan_fail(parser, "too many operators in a row, at");
        TRY(cz_parse_wrap(parser, CZ_NODE_BINARY, out));
        (*out)->op = found->op;
        TRY(cz_scan_next(parser));
        TRY(operand(parser, &(*out)->b));
    }
    return CLOZE_OK;
}

static cloze_status parse_filtered_unary(struct cz_parser *parser, struct cz_node **out)
{
    return parse_unary(parser, true, out);
}

static cloze_status parse_power(struct cz_parser *parser, struct cz_node **out)
{
    static const struct operator_name names[] = {{"**", CZ_OP_POWER}, {NULL, 0}};
    return parse_level(parser, names, parse_filtered_unary, out);
}

static cloze_status parse_product(struct cz_parser *parser, struct cz_node **out)
{
    static const struct operator_name names[] = {{"*", CZ_OP_MULTIPLY},
                                                 {"/", CZ_OP_DIVIDE},
                                                 {"//", CZ_OP_FLOOR_DIVIDE},
                                                 {"%", CZ_OP_MODULO},
                                                 {NULL, 0}};
    return parse_level(parser, names, parse_power, out);
}

static cloze_status parse_concat(struct cz_parser *parser, struct cz_node **out)
{
    TRY(parse_product(parser, out));
    if (!cz_scan_is_operator(parser, "~"))
        return CLOZE_OK;
    TRY(cz_parse_wrap(parser, CZ_NODE_CONCAT, out));
    struct cz_node **tail = &(*out)->a->next;
    while (cz_scan_is_operator(parser, "~")) {
        TRY(cz_scan_next(parser));
        TRY(parse_product(parser, tail));
        tail = &(*tail)->next;
    }
    return CLOZE_OK;
}

static cloze_status parse_sum(struct cz_parser *parser, struct cz_node **out)
{
    static const struct operator_name names[] = {
        {"+", CZ_OP_ADD}, {"-", CZ_OP_SUBTRACT}, {NULL, 0}};
    return parse_level(parser, names, parse_concat, out);
}

/* The comparison at the current token; false when there is none. "not" needs "in" behind it. */
static cloze_status take_comparison(struct cz_parser *parser, enum cz_operator *op, bool *found)
{
    static const struct operator_name names[] = {{"==", CZ_OP_EQUAL},
                                                 {"!=", CZ_OP_UNEQUAL},
                                                 {"<=", CZ_OP_LESS_EQUAL},
                                                 {">=", CZ_OP_GREATER_EQUAL},
                                                 {"<", CZ_OP_LESS},
                                                 {">", CZ_OP_GREATER},
                                                 {NULL, 0}};
    const struct operator_name *name = find_operator(parser, names);
    *found = name || cz_scan_is_word(parser, "in") || cz_scan_is_word(parser, "not");
    if (!*found)
        return CLOZE_OK;
    *op = name ? name->op : cz_scan_is_word(parser, "in") ? CZ_OP_IN : CZ_OP_NOT_IN;
    TRY(cz_scan_next(parser));
    if (*op != CZ_OP_NOT_IN)
        return CLOZE_OK;
    return cz_scan_is_word(parser, "in") ? cz_scan_next(parser)
                                         : cz_scan_fail(parser, "expected \"in\", got");
}

static cloze_status parse_comparison(struct cz_parser *parser, struct cz_node **out)
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
            TRY(cz_parse_wrap(parser, CZ_NODE_COMPARE, out));
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

static cloze_status parse_not(struct cz_parser *parser, struct cz_node **out)
{
    if (!cz_scan_is_word(parser, "not"))
        return parse_comparison(parser, out);
    NEW(node, CZ_NODE_UNARY);
    node->op = CZ_OP_NOT;
    *out = node;
    TRY(cz_parse_enter(parser));
    TRY(cz_scan_next(parser));
    TRY(parse_not(parser, &node->a));
    parser->depth--;
    return CLOZE_OK;
}

static cloze_status parse_words(struct cz_parser *parser, const char *word, enum cz_node_kind kind,
                                cloze_status (*operand)(struct cz_parser *, struct cz_node **),
                                struct cz_node **out)
{
    TRY(operand(parser, out));
    for (unsigned depth = 0; cz_scan_is_word(parser, word); depth++) {
        if (depth > CZ_TEMPLATE_DEPTH)
            return cz_scan_fail(parser, "too many operators in a row, at");
        TRY(cz_parse_wrap(parser, kind, out));
        TRY(cz_scan_next(parser));
        TRY(operand(parser, &(*out)->b));
    }
    return CLOZE_OK;
}

static cloze_status parse_and(struct cz_parser *parser, struct cz_node **out)
{
    return parse_words(parser, "and", CZ_NODE_AND, parse_not, out);
}

cloze_status cz_parse_or(struct cz_parser *parser, struct cz_node **out)
{
    return parse_words(parser, "or", CZ_NODE_OR, parse_and, out);
}

cloze_status cz_parse_expression(struct cz_parser *parser, struct cz_node **out)
{
    TRY(cz_parse_enter(parser));
    TRY(cz_parse_or(parser, out));
    for (unsigned depth = 0; cz_scan_is_word(parser, "if"); depth++) {
        if (depth > CZ_TEMPLATE_DEPTH)
            return cz_scan_fail(parser, "too many conditions in a row, at");
        NEW(node, CZ_NODE_CONDITIONAL);
        node->b = *out;
        *out = node;
        TRY(cz_scan_next(parser));
        TRY(cz_parse_or(parser, &node->a));
        if (cz_scan_is_word(parser, "else")) {
            TRY(cz_scan_next(parser));
            TRY(cz_parse_expression(parser, &node->c));
        }
    }
    parser->depth--;
    return CLOZE_OK;
}
