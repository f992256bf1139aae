/*
 * node.h - the syntax tree of a template; private to the room.
 *
 * One struct for all nodes: `a` to `d` are children whose meaning the kind says, lists of nodes are
 * chained by `next`.
 */
#ifndef CZ_TEMPLATE_NODE_H
#define CZ_TEMPLATE_NODE_H

#include "template/value.h"

enum cz_node_kind {
    /* statements */
    CZ_NODE_TEXT,         /* value */
    CZ_NODE_PRINT,        /* a: expression */
    CZ_NODE_IF,           /* a: condition, b: body, c: else body */
    CZ_NODE_FOR,          /* a: target, b: iterable, c: body, d: else body; e: condition */
    CZ_NODE_SET,          /* a: target, b: value */
    CZ_NODE_SET_BLOCK,    /* a: target, b: body, c: filter without operand, or NULL */
    CZ_NODE_MACRO,        /* name, a: parameters (NAME with default in a), b: body */
    CZ_NODE_CALL_BLOCK,   /* c: call, a: parameters, b: body */
    CZ_NODE_FILTER_BLOCK, /* a: filter without operand, b: body */
    CZ_NODE_GENERATION,   /* b: body */
    CZ_NODE_BREAK,
    CZ_NODE_CONTINUE,
    /* expressions */
    CZ_NODE_CONSTANT,  /* value */
    CZ_NODE_NAME,      /* name */
    CZ_NODE_ATTRIBUTE, /* a.name; as a target: a is NULL and name "namespace", value the attribute
                        */
    CZ_NODE_ITEM,      /* a[b] */
    CZ_NODE_SLICE,     /* a[b:c:d], any of the three may be NULL */
    CZ_NODE_CALL,      /* a(b..., c...) */
    CZ_NODE_KEYWORD,   /* name=a, in lists of arguments */
    CZ_NODE_FILTER,    /* a|name(b..., c...) */
    CZ_NODE_TEST,      /* a is name(b..., c...) */
    CZ_NODE_UNARY,     /* op a */
    CZ_NODE_BINARY,    /* a op b */
    CZ_NODE_COMPARE,   /* a, then b: list of COMPARAND */
    CZ_NODE_COMPARAND, /* op a */
    CZ_NODE_CONCAT,    /* a: list of operands */
    CZ_NODE_AND,
    CZ_NODE_OR,
    CZ_NODE_CONDITIONAL, /* b if a else c */
    CZ_NODE_LIST,        /* a: list */
    CZ_NODE_TUPLE,       /* a: list */
    CZ_NODE_DICT         /* a: list of keys, b: list of values */
};

enum cz_operator {
    CZ_OP_ADD,
    CZ_OP_SUBTRACT,
    CZ_OP_MULTIPLY,
    CZ_OP_DIVIDE,
    CZ_OP_FLOOR_DIVIDE,
    CZ_OP_MODULO,
    CZ_OP_POWER,
    CZ_OP_NEGATE,
    CZ_OP_PLUS,
    CZ_OP_NOT,
    CZ_OP_EQUAL,
    CZ_OP_UNEQUAL,
    CZ_OP_LESS,
    CZ_OP_LESS_EQUAL,
    CZ_OP_GREATER,
    CZ_OP_GREATER_EQUAL,
    CZ_OP_IN,
    CZ_OP_NOT_IN
};

struct cz_node {
    enum cz_node_kind kind;
    enum cz_operator op;
    uint32_t offset; /* in the source */
    struct cz_node *next;
    struct cz_node *a, *b, *c, *d, *e;
    struct cz_slice name;
    struct cz_value value;
    const struct cz_builtin *builtin; /* FILTER, TEST */
};

struct cz_template {
    struct cz_arena arena;
    struct cz_slice source; /* with newlines normalised */
    struct cz_node *body;
};

/* "line N, column M" of an offset. */
void cz_template_place(struct cz_slice source, size_t offset, char where[64]);

cloze_status cz_template_parse(struct cz_template *tmpl, struct cloze_error *error);

/* ---- operators.c ---- */
cloze_status cz_value_unary(struct cz_render *render, enum cz_operator op, const struct cz_value *a,
                            struct cz_value *out);
cloze_status cz_value_binary(struct cz_render *render, enum cz_operator op,
                             const struct cz_value *a, const struct cz_value *b,
                             struct cz_value *out);
cloze_status cz_value_compare(struct cz_render *render, enum cz_operator op,
                              const struct cz_value *a, const struct cz_value *b, bool *out);
cloze_status cz_value_slice(struct cz_render *render, const struct cz_value *value,
                            const struct cz_value bounds[3], struct cz_value *out);

#endif
