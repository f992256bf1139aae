/*
 * regex_tree.h - the syntax tree between the text of a regular expression and its expression.
 *
 * Groups leave no node. Flags are resolved while reading: sets are closed under case, `.` and the
 * edges of lines are sets and looks. `^` is (?<![^]), `$` is (?![^]), \b an alternation of looks.
 */
#ifndef CZ_CONSTRAINT_REGEX_TREE_H
#define CZ_CONSTRAINT_REGEX_TREE_H

#include "constraint/codes.h"
#include "constraint/regex.h"

enum cz_regex_kind {
    CZ_REGEX_EMPTY,
    CZ_REGEX_SET,       /* one code point of `codes` */
    CZ_REGEX_CONCAT,    /* children in turn */
    CZ_REGEX_ALTERNATE, /* one of the children */
    CZ_REGEX_REPEAT,    /* the child, minimum to maximum times */
    CZ_REGEX_LOOK       /* the child matches ahead of here, or behind; or does not (negate) */
};

struct cz_regex_node {
    uint8_t kind; /* enum cz_regex_kind */
    bool negate, behind;
    bool asserts;              /* a LOOK is in here */
    uint32_t minimum, maximum; /* CZ_EXPR_UNBOUNDED */
    uint32_t look;             /* of a LOOK behind: its number among them, set while compiling */
    struct cz_codes codes;
    struct cz_regex_node *first, *last; /* children */
    struct cz_regex_node *next;         /* sibling */
};

/* The tree lives in the arena. */
cloze_status cz_regex_tree_parse(struct cz_arena *arena, struct cz_slice pattern,
                                 const struct cz_regex_options *options, struct cz_regex_node **out,
                                 struct cloze_error *error);

#endif
