/* rules_internal.h - the layout of a rule set; for rules.c and symbol.c. */
#ifndef CZ_CONSTRAINT_RULES_INTERNAL_H
#define CZ_CONSTRAINT_RULES_INTERNAL_H

#include "constraint/machine.h"

enum symbol_kind {
    SYMBOL_NONE,
    SYMBOL_EMPTY,
    SYMBOL_TERMINAL,  /* expr */
    SYMBOL_REFERENCE, /* rule */
    SYMBOL_SEQUENCE,  /* symbols */
    SYMBOL_CHOICE,    /* symbols */
    SYMBOL_REPEAT,    /* symbol, minimum, maximum */
    SYMBOL_TOKEN,     /* token */
    SYMBOL_SCHEMA,    /* index of the embedded schema */
    SYMBOL_LOOP       /* rule: what its left recursion adds behind it, any number of times */
};

struct rule {
    struct cz_slice name;
    cz_symbol body;   /* SYMBOL_NONE: not defined */
    cz_symbol *loops; /* what follows the rule in its own left corner */
    uint32_t loop_count, loop_capacity;
    bool nullable, alive, left_recursive;
};

struct embedded {
    char *text;
    size_t size;
    char *where;
    cz_value value;
};

struct cz_rules {
    struct cz_expr_store *exprs;
    struct cz_intern symbols;
    struct rule *rules;
    uint32_t rule_count, rule_capacity;
    struct cz_map names;
    struct embedded *schemas;
    uint32_t schema_count, schema_capacity;
    struct cz_arena arena;
    cz_rule root;
    bool has_root;
    cloze_status failed;
};

#endif
