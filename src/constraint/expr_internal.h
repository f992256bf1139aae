/*
 * expr_internal.h - how an expression store is laid out; for the expr_*.c files only.
 *
 * Nodes stand in one growing array, their children lists (OR, AND) in one pool, byte sets in
 * another. A node's facts (nullable, finite, ...) are computed when it is made.
 */
#ifndef CZ_CONSTRAINT_EXPR_INTERNAL_H
#define CZ_CONSTRAINT_EXPR_INTERNAL_H

#include "constraint/expr.h"

enum cz_expr_kind {
    EXPR_NOTHING,
    EXPR_EMPTY,
    EXPR_ANY,
    EXPR_SET,    /* a: index of the byte set */
    EXPR_CONCAT, /* a, b; a is no CONCAT */
    EXPR_OR,     /* a: first child in the pool, b: count; ascending */
    EXPR_AND,
    EXPR_NOT,     /* a */
    EXPR_REPEAT,  /* a, b: minimum, c: maximum */
    EXPR_VARIABLE /* a: index of its body, b: nullable */
};

enum {
    FACT_NULLABLE = 1,
    FACT_FINITE = 2,   /* matches finitely many strings; a cleared bit means "not known" */
    FACT_COFINITE = 4, /* matches all but finitely many strings of TEXT, and more */
    FACT_OPEN = 8,     /* every string of TEXT can be extended to a match */
    FACT_ALIVE = 16,
    FACT_DEAD = 32,
    FACT_TEXT = 64 /* matches strings of TEXT only */
};

enum { EXPR_CHARS_KNOWN = 16 };

struct expr_node {
    uint8_t kind;
    uint8_t facts;
    uint16_t least; /* bytes of a match: no shorter one, as far as the form tells */
    uint32_t a, b, c;
};

struct expr_memo {
    uint32_t expr;
    uint32_t byte;
    uint32_t result;
};

struct expr_class {
    uint64_t bytes[4]; /* a bit for each */
    uint8_t first;
};

struct expr_chars {
    cz_expr set;
    struct cz_chars chars;
};

struct cz_expr_store {
    struct expr_node *nodes;
    uint32_t count, capacity;
    uint32_t *pool;
    uint32_t pool_count, pool_capacity;
    cz_expr *bodies; /* of the variables */
    uint32_t body_count, body_capacity;
    uint64_t (*sets)[4];
    uint32_t set_count, set_capacity;
    uint32_t *table;                           /* hash table of node ids; 0 is free */
    uint32_t table_size;                       /* a power of two */
    struct expr_memo *memo;                    /* lossy cache of derivatives */
    uint32_t memo_size;                        /* a power of two */
    struct expr_chars chars[EXPR_CHARS_KNOWN]; /* see expr_free.c */
    cz_expr formats[32];                       /* by format.c: what was made already */
    uint32_t depth;                            /* of derivations under way */
    uint64_t fuel;
    bool limited;
    cloze_status failed;
};

cz_expr cz_expr_make(struct cz_expr_store *store, uint8_t kind, uint32_t a, uint32_t b, uint32_t c);
cz_expr cz_expr_make_list(struct cz_expr_store *store, uint8_t kind, cz_expr *parts, size_t count);
cz_expr cz_expr_fail(struct cz_expr_store *store, cloze_status status);
/* The classes of bytes that lead to equal derivatives, which are a partition; returns how many. */
unsigned expr_classes(const struct cz_expr_store *store, cz_expr e, struct expr_class list[256]);
/* Whether its form shows that every match has a byte that none has: then there is none. */
bool expr_lacks_bytes(const struct cz_expr_store *store, cz_expr e);
bool cz_expr_set_has(const struct cz_expr_store *store, const struct expr_node *node, uint8_t byte);

#endif
