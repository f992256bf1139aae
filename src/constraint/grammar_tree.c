/*
 * grammar_tree.c - the tree, and how it becomes rules.
 *
 * Compiling goes through the rules from the root. A rule that is under way when it is met again is
 * recursive and stays a rule; one whose parts are all expressions becomes one, unless it weighs too
 * much: an expression is copied wherever it is used, so its weight (nodes, roughly) is bounded.
 */
#include "constraint/grammar_tree.h"


enum { HEAVIEST_EXPR = 2000, DEEPEST_TREE = 1000 };

enum { RULE_NEW, RULE_OPEN, RULE_EXPR, RULE_SYMBOL };

struct part {
    bool is_expr;
    cz_expr expr;
    uint32_t weight;
    cz_symbol symbol;
};

struct compiler {
    struct cz_tree *tree;
    struct cz_rules *rules;
    unsigned depth;
    bool too_deep;
};

void cz_tree_free(struct cz_tree *tree)
{
    cz_map_free(&tree->names);
    cz_arena_free(&tree->arena);
}

uint32_t cz_tree_rule(struct cz_tree *tree, struct cz_slice name, size_t used_at)
{
    uint64_t index;
    if (cz_map_get(&tree->names, name, &index))
        return (uint32_t)index;
    if (tree->rule_count == tree->rule_capacity) {
        uint32_t capacity = tree->rule_capacity ? tree->rule_capacity * 2 : 32;
        struct cz_tree_rule *rules = CZ_ARENA_ARRAY(&tree->arena, struct cz_tree_rule, capacity);
        if (!rules) {
            tree->failed = true;
            return UINT32_MAX;
        }
        if (tree->rule_count)
            memcpy(rules, tree->rules, tree->rule_count * sizeof *rules);
        tree->rules = rules;
        tree->rule_capacity = capacity;
    }
    if (!cz_map_set(&tree->names, name, tree->rule_count)) {
        tree->failed = true;
        return UINT32_MAX;
    }
    tree->rules[tree->rule_count] = (struct cz_tree_rule){.name = name, .used_at = used_at};
    return tree->rule_count++;
}

struct cz_tree_node *cz_tree_node(struct cz_tree *tree, enum cz_tree_kind kind)
{
    struct cz_tree_node *node = CZ_ARENA_NEW(&tree->arena, struct cz_tree_node);
    if (node)
        node->kind = (uint8_t)kind;
    else
        tree->failed = true;
    return node;
}

struct cz_tree_node *cz_tree_expr(struct cz_tree *tree, cz_expr expr, uint32_t weight)
{
    struct cz_tree_node *node = cz_tree_node(tree, CZ_TREE_EXPR);
    if (node)
        *node = (struct cz_tree_node){.kind = CZ_TREE_EXPR, .expr = expr, .weight = weight};
    return node;
}

void cz_tree_add(struct cz_tree_node *parent, struct cz_tree_node *child)
{
    if (!parent || !child)
        return;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
}

struct cz_tree_node *cz_tree_repeat(struct cz_tree *tree, struct cz_tree_node *child,
                                    uint32_t minimum, uint32_t maximum)
{
    struct cz_tree_node *node = cz_tree_node(tree, CZ_TREE_REPEAT);
    if (!node)
        return NULL;
    node->minimum = minimum;
    node->maximum = maximum;
    cz_tree_add(node, child);
    return node;
}

/* ---- Compiling ---- */

static struct part compile(struct compiler *compiler, const struct cz_tree_node *node);

static cz_symbol symbol_of(struct compiler *compiler, struct part part)
{
    return part.is_expr ? cz_rules_terminal(compiler->rules, part.expr) : part.symbol;
}

static struct part compile_rule(struct compiler *compiler, uint32_t index)
{
    struct cz_tree_rule *rule = &compiler->tree->rules[index];
    cz_rule name = cz_rules_rule(compiler->rules, rule->name);
    if (rule->state == RULE_NEW && rule->body) {
        rule->state = RULE_OPEN;
        struct part body = compile(compiler, rule->body);
        rule->state = body.is_expr ? RULE_EXPR : RULE_SYMBOL;
        rule->expr = body.expr;
        rule->weight = body.weight;
        cz_rules_define(compiler->rules, name, symbol_of(compiler, body));
    }
    if (rule->state == RULE_EXPR)
        return (struct part){.is_expr = true, .expr = rule->expr, .weight = rule->weight};
    return (struct part){.symbol = cz_rules_reference(compiler->rules, name)};
}

/* Joins a child to a sequence: expressions side by side become one while they are light. */
static struct part join(struct compiler *compiler, struct part left, struct part right)
{
    if (left.is_expr && right.is_expr && left.weight + right.weight <= HEAVIEST_EXPR)
        return (struct part){.is_expr = true,
                             .expr = cz_expr_concat(compiler->tree->store, left.expr, right.expr),
                             .weight = left.weight + right.weight};
    cz_symbol parts[] = {symbol_of(compiler, left), symbol_of(compiler, right)};
    return (struct part){.symbol = cz_rules_sequence(compiler->rules, parts, 2)};
}

/* From the right, where runs of expressions meet before they are joined to what is none. */
static struct part compile_sequence(struct compiler *compiler, const struct cz_tree_node *child)
{
    struct part empty = {.is_expr = true, .expr = CZ_EXPR_EMPTY}, run = empty, result = empty;
    cz_symbol *symbols = NULL;
    size_t count = 0, used = 0;
    for (const struct cz_tree_node *at = child; at; at = at->next)
        count++;
    symbols = CZ_ARENA_ARRAY(&compiler->tree->arena, cz_symbol, count * 2 + 1);
    if (!symbols) {
        compiler->tree->failed = true;
        return empty;
    }
    for (; child; child = child->next) {
        struct part next = compile(compiler, child);
        if (next.is_expr && run.weight + next.weight <= HEAVIEST_EXPR) {
            run = join(compiler, run, next);
            continue;
        }
        if (run.expr != CZ_EXPR_EMPTY)
            symbols[used++] = symbol_of(compiler, run);
        run = next.is_expr ? next : empty;
        if (!next.is_expr)
            symbols[used++] = next.symbol;
    }
    if (used == 0)
        return run;
    if (run.expr != CZ_EXPR_EMPTY)
        symbols[used++] = symbol_of(compiler, run);
    result = (struct part){.symbol = cz_rules_sequence(compiler->rules, symbols, used)};
    return result;
}

static struct part compile_choice(struct compiler *compiler, const struct cz_tree_node *child)
{
    size_t count = 0, used = 0, exprs = 0;
    for (const struct cz_tree_node *at = child; at; at = at->next)
        count++;
    cz_symbol *symbols = CZ_ARENA_ARRAY(&compiler->tree->arena, cz_symbol, count + 1);
    cz_expr *parts = CZ_ARENA_ARRAY(&compiler->tree->arena, cz_expr, count + 1);
    struct part joined = {.is_expr = true};
    if (!symbols || !parts) {
        compiler->tree->failed = true;
        return joined;
    }
    for (; child; child = child->next) {
        struct part next = compile(compiler, child);
        if (next.is_expr && joined.weight + next.weight <= HEAVIEST_EXPR) {
            parts[exprs++] = next.expr;
            joined.weight += next.weight;
        } else {
            symbols[used++] = symbol_of(compiler, next);
        }
    }
    joined.expr = cz_expr_or_many(compiler->tree->store, parts, exprs);
    if (used == 0)
        return joined;
    if (exprs)
        symbols[used++] = symbol_of(compiler, joined);
    return (struct part){.symbol = cz_rules_choice(compiler->rules, symbols, used)};
}

static struct part compile_repeat(struct compiler *compiler, const struct cz_tree_node *node)
{
    struct part child = compile(compiler, node->first);
    if (child.is_expr)
        return (struct part){
            .is_expr = true,
            .expr = cz_expr_repeat(compiler->tree->store, child.expr, node->minimum, node->maximum),
            .weight = child.weight + 1};
    return (struct part){
        .symbol = cz_rules_repeat(compiler->rules, child.symbol, node->minimum, node->maximum)};
}

static struct part compile_any(struct compiler *compiler, const struct cz_tree_node *node)
{
    switch (node->kind) {
    case CZ_TREE_EXPR:
        return (struct part){.is_expr = true, .expr = node->expr, .weight = node->weight};
    case CZ_TREE_RULE:
        return compile_rule(compiler, node->rule);
    case CZ_TREE_SEQUENCE:
        return compile_sequence(compiler, node->first);
    case CZ_TREE_CHOICE:
        return compile_choice(compiler, node->first);
    case CZ_TREE_REPEAT:
        return compile_repeat(compiler, node);
    case CZ_TREE_TOKEN:
        return (struct part){.symbol = cz_rules_token(compiler->rules, node->token)};
    default:
        return (struct part){.symbol = cz_rules_json_schema(compiler->rules, node->text, "")};
    }
}

static struct part compile(struct compiler *compiler, const struct cz_tree_node *node)
{
    struct part nothing = {.is_expr = true, .expr = CZ_EXPR_EMPTY};
    if (!node || compiler->tree->failed || compiler->depth >= DEEPEST_TREE) {
        compiler->too_deep |= compiler->depth >= DEEPEST_TREE;
        return nothing;
    }
    compiler->depth++;
    struct part part = compile_any(compiler, node);
    compiler->depth--;
    return part;
}

cloze_status cz_tree_compile(struct cz_tree *tree, uint32_t root, struct cz_rules *rules,
                             struct cloze_error *error)
{
    struct compiler compiler = {.tree = tree, .rules = rules};
    compile_rule(&compiler, root);
    cz_rules_set_root(rules, cz_rules_rule(rules, tree->rules[root].name));
    if (tree->failed)
        return cz_fail_memory(error, "a grammar");
    if (compiler.too_deep)
        return cz_fail(error, CLOZE_LIMIT, NULL, "rules nested more than %d deep", DEEPEST_TREE);
    return cz_expr_status(tree->store, error);
}
