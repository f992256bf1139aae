/*
 * grammar_tree.h - what GBNF and Lark sources are read into before they become rules (rules.h).
 *
 * The tree exists so that parts without recursion become one terminal: a rule that only spells out
 * characters, directly or through other such rules, costs the machine nothing but an automaton
 * state.
 */
#ifndef CZ_CONSTRAINT_GRAMMAR_TREE_H
#define CZ_CONSTRAINT_GRAMMAR_TREE_H

#include "base/arena.h"
#include "base/map.h"
#include "constraint/frontend.h"

enum cz_tree_kind {
    CZ_TREE_EXPR, /* expr, weight: about how many nodes it has */
    CZ_TREE_RULE, /* rule */
    CZ_TREE_SEQUENCE,
    CZ_TREE_CHOICE,
    CZ_TREE_REPEAT, /* the child, minimum to maximum times */
    CZ_TREE_TOKEN,  /* token: a special token by its id */
    CZ_TREE_SCHEMA  /* text: a JSON Schema */
};

struct cz_tree_node {
    uint8_t kind; /* enum cz_tree_kind */
    cz_expr expr;
    uint32_t weight;
    uint32_t rule;
    uint32_t token;
    uint32_t minimum, maximum;         /* CZ_EXPR_UNBOUNDED */
    struct cz_slice text;              /* SCHEMA */
    struct cz_tree_node *first, *last; /* children */
    struct cz_tree_node *next;         /* sibling */
};

struct cz_tree_rule {
    struct cz_slice name;
    size_t used_at;            /* where in the source it was named first, for errors */
    struct cz_tree_node *body; /* NULL: not defined */
    uint8_t state;             /* of the compiler */
    cz_expr expr;
    uint32_t weight;
};

struct cz_tree {
    struct cz_arena arena;
    struct cz_expr_store *store;
    struct cz_tree_rule *rules; /* [rule_count] */
    uint32_t rule_count, rule_capacity;
    struct cz_map names; /* of the rules */
    bool failed;         /* out of memory */
};

void cz_tree_free(struct cz_tree *tree);
/* UINT32_MAX without memory. The name is borrowed. */
uint32_t cz_tree_rule(struct cz_tree *tree, struct cz_slice name, size_t used_at);
/* NULL without memory. */
struct cz_tree_node *cz_tree_node(struct cz_tree *tree, enum cz_tree_kind kind);
struct cz_tree_node *cz_tree_expr(struct cz_tree *tree, cz_expr expr, uint32_t weight);
void cz_tree_add(struct cz_tree_node *parent, struct cz_tree_node *child); /* NULLs do nothing */
struct cz_tree_node *cz_tree_repeat(struct cz_tree *tree, struct cz_tree_node *child,
                                    uint32_t minimum, uint32_t maximum);

/* Defines every rule that `root` reaches. */
cloze_status cz_tree_compile(struct cz_tree *tree, uint32_t root, struct cz_rules *rules,
                             struct cloze_error *error);

#endif
