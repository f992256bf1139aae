/*
 * regex.h - regular expressions in common syntaxes, to expressions over UTF-8 (expr.h).
 *
 * The result describes whole strings: with `search` set, "somewhere in the string there is a match"
 * (what JSON Schema's pattern means: TEXT e TEXT with anchors and assertions resolved), else the
 * whole string is the match. Groups capture nothing. Lookaround and \b become intersections and
 * complements where that is regular; back-references, recursion and the like are CLOZE_UNSUPPORTED
 * and named. A malformed pattern is CLOZE_INVALID. error->where is "character N".
 */
#ifndef CZ_CONSTRAINT_REGEX_H
#define CZ_CONSTRAINT_REGEX_H

#include "constraint/expr.h"

enum cz_regex_flavour {
    CZ_REGEX_ECMA, /* ECMA-262 with the u flag; what no u-pattern allows but people write (\- and
                      other identity escapes) is read as without the flag */
    CZ_REGEX_PYTHON /* Python's re, which covers the common part of PCRE and Rust */
};

struct cz_regex_options {
    enum cz_regex_flavour flavour;
    bool search;      /* a match anywhere, instead of the whole string */
    bool ignore_case; /* flags, also settable in the pattern where the flavour has a syntax */
    bool multiline;
    bool dot_all;
};

enum { CZ_REGEX_MAXIMUM_SIZE = 1 << 16, CZ_REGEX_MAXIMUM_DEPTH = 250 };

cloze_status cz_regex_parse(struct cz_expr_store *store, struct cz_slice pattern,
                            const struct cz_regex_options *options, cz_expr *out,
                            struct cloze_error *error);

#endif
