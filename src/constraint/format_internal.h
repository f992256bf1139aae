/*
 * format_internal.h - what the format_*.c files share: patterns of addresses and of characters, and
 * the formats that are put together in code.
 */
#ifndef CZ_CONSTRAINT_FORMAT_INTERNAL_H
#define CZ_CONSTRAINT_FORMAT_INTERNAL_H

#include "constraint/format.h"
#include "constraint/regex.h"

#define CZ_OCTET "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define CZ_IPV4 CZ_OCTET "\\." CZ_OCTET "\\." CZ_OCTET "\\." CZ_OCTET
#define CZ_H16 "[0-9A-Fa-f]{1,4}"
#define CZ_LS32 "(?:" CZ_H16 ":" CZ_H16 "|" CZ_IPV4 ")"
#define CZ_IPV6                                                                                    \
    "(?:(?:" CZ_H16 ":){6}" CZ_LS32 "|::(?:" CZ_H16 ":){5}" CZ_LS32 "|(?:" CZ_H16 ")?::(?:" CZ_H16 \
    ":){4}" CZ_LS32 "|(?:(?:" CZ_H16 ":)?" CZ_H16 ")?::(?:" CZ_H16 ":){3}" CZ_LS32                 \
    "|(?:(?:" CZ_H16 ":){0,2}" CZ_H16 ")?::(?:" CZ_H16 ":){2}" CZ_LS32 "|(?:(?:" CZ_H16            \
    ":){0,3}" CZ_H16 ")?::" CZ_H16 ":" CZ_LS32 "|(?:(?:" CZ_H16 ":){0,4}" CZ_H16 ")?::" CZ_LS32    \
    "|(?:(?:" CZ_H16 ":){0,5}" CZ_H16 ")?::" CZ_H16 "|(?:(?:" CZ_H16 ":){0,6}" CZ_H16 ")?::)"

/* RFC 3987: what an IRI may hold beyond ASCII, and beyond that in its query. */
#define CZ_UCSCHAR                                                                                 \
    "\\x{A0}-\\x{D7FF}\\x{F900}-\\x{FDCF}\\x{FDF0}-\\x{FFEF}\\x{10000}-\\x{1FFFD}"                 \
    "\\x{20000}-\\x{2FFFD}\\x{30000}-\\x{3FFFD}\\x{40000}-\\x{4FFFD}\\x{50000}-\\x{5FFFD}"         \
    "\\x{60000}-\\x{6FFFD}\\x{70000}-\\x{7FFFD}\\x{80000}-\\x{8FFFD}\\x{90000}-\\x{9FFFD}"         \
    "\\x{A0000}-\\x{AFFFD}\\x{B0000}-\\x{BFFFD}\\x{C0000}-\\x{CFFFD}\\x{D0000}-\\x{DFFFD}"         \
    "\\x{E1000}-\\x{EFFFD}"
#define CZ_IPRIVATE "\\x{E000}-\\x{F8FF}\\x{F0000}-\\x{FFFFD}\\x{100000}-\\x{10FFFD}"

/* The expression of a pattern (CZ_REGEX_PYTHON) that is known to be right. */
cz_expr cz_format_part(struct cz_expr_store *store, const char *pattern);

static inline cz_expr cz_format_concat(struct cz_expr_store *store, cz_expr a, cz_expr b, cz_expr c)
{
    return cz_expr_concat(store, a, cz_expr_concat(store, b, c));
}

cz_expr cz_format_time(struct cz_expr_store *store);
cz_expr cz_format_uri(struct cz_expr_store *store);
cz_expr cz_format_uri_reference(struct cz_expr_store *store);
cz_expr cz_format_iri(struct cz_expr_store *store);
cz_expr cz_format_iri_reference(struct cz_expr_store *store);
cz_expr cz_format_regex(struct cz_expr_store *store);

#endif
