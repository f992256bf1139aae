/*
 * format.h - the string formats that any draft of JSON Schema defines, as expressions.
 *
 * A format describes the decoded string. The expression is made once per store, on first use.
 *
 * Sources: date, time, date-time, duration: RFC 3339, real month lengths and leap years included; a
 * second of 60 only where it is 23:59:60 in UTC. email: RFC 5321 Mailbox; idn-email: RFC 6531.
 * hostname: RFC 1123 (A-labels excepted, see cz_format_note). ipv4: RFC 2673; ipv6: RFC 4291. uri,
 * uri-reference: RFC 3986; iri, iri-reference: RFC 3987. uuid: RFC 4122. uri-template: RFC 6570.
 * json-pointer: RFC 6901. regex: ECMA-262 with the u flag. Spellings of draft 3 that people still
 * write ("host-name", "ip-address") are formats that no later draft defines: annotations.
 */
#ifndef CZ_CONSTRAINT_FORMAT_H
#define CZ_CONSTRAINT_FORMAT_H

#include "constraint/expr.h"

enum cz_format_status {
    CZ_FORMAT_UNKNOWN,    /* no draft defines it: an annotation, reported */
    CZ_FORMAT_KNOWN,      /* *out is set */
    CZ_FORMAT_UNSUPPORTED /* defined, but not regular and not enforced here: refused by name */
};

enum { CZ_FORMAT_COUNT = 20, CZ_FORMAT_REGEX_DEPTH = 16 };

enum cz_format_status cz_format_find(struct cz_expr_store *store, struct cz_slice name,
                                     cz_expr *out);

/* What of the format is left out, as a sentence for reports: texts that the standard allows and the
 * expression doesn't. NULL when nothing is. */
const char *cz_format_note(struct cz_slice name);

#endif
