/*
 * regex.h - regular expressions in common syntaxes, to expressions over UTF-8 (expr.h).
 *
 * The result describes whole strings: with `search` set, "somewhere in the string there is a match"
 * (what JSON Schema's pattern means), else the whole string is the match. Only the language counts:
 * groups capture nothing and laziness is without effect.
 *
 * CZ_REGEX_ECMA is ECMA-262 with the `u` flag, and takes the spellings of Annex B that have one
 * meaning only (identity escapes of punctuation, a lone brace or bracket). CZ_REGEX_PYTHON adds the
 * common syntax of Python and PCRE: inline flags, \A \Z \z, POSIX classes, (?P<name>...), comments,
 * \Q...\E. In both, \d \w \s and \b are the ones of ECMA-262 (ASCII digits and word characters),
 * and a `$` without the m flag is the very end of the text.
 *
 * Lookahead, lookbehind, \b, ^ and $ are exact anywhere, also inside repetitions. Refused by name
 * as CLOZE_UNSUPPORTED: back-references and recursion (not regular), possessive quantifiers, atomic
 * and conditional groups (they depend on the order of a backtracking search), a lookahead inside a
 * lookbehind. A malformed pattern is CLOZE_INVALID. Messages name the character, counted from 1.
 */
#ifndef CZ_CONSTRAINT_REGEX_H
#define CZ_CONSTRAINT_REGEX_H

#include "constraint/expr.h"

enum cz_regex_flavour { CZ_REGEX_ECMA, CZ_REGEX_PYTHON };

struct cz_regex_options {
    enum cz_regex_flavour flavour;
    bool search;      /* a match anywhere, instead of the whole string */
    bool ignore_case; /* flags, also settable in the pattern where the flavour has a syntax */
    bool multiline;
    bool dot_all;
    bool verbose; /* CZ_REGEX_PYTHON only */
};

enum {
    CZ_REGEX_MAXIMUM_SIZE = 1 << 16,  /* bytes of the pattern */
    CZ_REGEX_MAXIMUM_DEPTH = 250,     /* of nested groups */
    CZ_REGEX_MAXIMUM_COUNT = 1 << 30, /* of a counted repeat */
    CZ_REGEX_MAXIMUM_CONTEXTS = 64,   /* that the lookbehinds of a pattern tell apart */
    CZ_REGEX_MAXIMUM_UNROLL = 2000,   /* count of a repeat that has an assertion inside */
    CZ_REGEX_MAXIMUM_STEPS = 200000   /* parts compiled, unrolled ones included */
};

cloze_status cz_regex_parse(struct cz_expr_store *store, struct cz_slice pattern,
                            const struct cz_regex_options *options, cz_expr *out,
                            struct cloze_error *error);

#endif
