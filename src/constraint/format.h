/*
 * format.h - the string formats that any draft of JSON Schema defines, as expressions.
 *
 * A format describes the decoded string. The expression is made once per store, on first use.
 */
#ifndef CZ_CONSTRAINT_FORMAT_H
#define CZ_CONSTRAINT_FORMAT_H

#include "constraint/expr.h"

enum cz_format_status {
    CZ_FORMAT_UNKNOWN,    /* no draft defines it: an annotation, reported */
    CZ_FORMAT_KNOWN,      /* *out is set */
    CZ_FORMAT_UNSUPPORTED /* defined, but not regular and not enforced here: refused by name */
};

enum cz_format_status cz_format_find(struct cz_expr_store *store, struct cz_slice name,
                                     cz_expr *out);

#endif
