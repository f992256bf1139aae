/*
 * format.c - a table of formats, most of them regular expressions in the syntax of regex.h
 * (CZ_REGEX_PYTHON), assembled from the names that the RFCs' grammars use.
 */
#include "constraint/format.h"

#include "constraint/expr_internal.h"
#include "constraint/format_internal.h"

/* ---- RFC 3339 ---- */

#define LEAP_YEAR "(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
#define DATE                                                                                       \
    "(?:\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])"                                     \
    "|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)"                                                         \
    "|02-(?:0[1-9]|1\\d|2[0-8]))|" LEAP_YEAR "-02-29)"
/* RFC 3339, appendix A */
#define DURATION_TIME "T(?:\\d+H(?:\\d+M(?:\\d+S)?)?|\\d+M(?:\\d+S)?|\\d+S)"
#define DURATION                                                                                   \
    "P(?:(?:\\d+Y(?:\\d+M(?:\\d+D)?)?|\\d+M(?:\\d+D)?|\\d+D)(?:" DURATION_TIME ")?|" DURATION_TIME \
    "|\\d+W)"

/* ---- Addresses ---- */

#define LABEL "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define DOMAIN "(?=.{1,253}$)" LABEL "(?:\\." LABEL ")*"
#define HOSTNAME "(?!(?:.*\\.)?[Xx][Nn]--)" DOMAIN

#define ATEXT "A-Za-z0-9!#$%&'*+\\-/=?^_`{|}~"
#define LITERAL "\\[(?:" CZ_IPV4 "|[Ii][Pp][Vv]6:" CZ_IPV6 ")\\]"
#define EMAIL                                                                                      \
    "(?=.{1,64}@[^@]*$)(?:[" ATEXT "]+(?:\\.[" ATEXT "]+)*"                                        \
    "|\"(?:[ !#-\\[\\]-~]|\\\\[ -~])*\")@(?:" DOMAIN "|" LITERAL ")"

#define NON_ASCII "\\x{80}-\\x{D7FF}\\x{E000}-\\x{10FFFF}"
#define IDN_LABEL                                                                                  \
    "[A-Za-z0-9" NON_ASCII "](?:[A-Za-z0-9" NON_ASCII "-]{0,61}[A-Za-z0-9" NON_ASCII "])?"
#define IDN_EMAIL                                                                                  \
    "(?s)(?=.{1,64}@[^@]*$)(?:[" ATEXT NON_ASCII "]+(?:\\.[" ATEXT NON_ASCII "]+)*"                \
    "|\"(?:[ !#-\\[\\]-~" NON_ASCII "]|\\\\[ -~])*\")@(?:(?=.{1,253}$)" IDN_LABEL                  \
    "(?:\\." IDN_LABEL ")*|" LITERAL ")"

/* ---- The others ---- */

#define UUID "[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"

#define PERCENT "%[0-9A-Fa-f]{2}"

/* RFC 6570; the apostrophe by erratum 6937. */
#define VARIABLE_CHARACTER "(?:[A-Za-z0-9_]|" PERCENT ")"
#define VARIABLE VARIABLE_CHARACTER "(?:\\.?" VARIABLE_CHARACTER ")*(?::[1-9]\\d{0,3}|\\*)?"
#define URI_TEMPLATE                                                                               \
    "(?:[!#$&-;=?-\\[\\]_a-z~" CZ_UCSCHAR CZ_IPRIVATE "]|" PERCENT "|\\{[+#./;?&=,!@|]?" VARIABLE  \
    "(?:," VARIABLE ")*\\})*"

#define JSON_POINTER "(?:/(?:[^~/]|~[01])*)*"
#define RELATIVE_JSON_POINTER "(?:0|[1-9]\\d*)(?:#|" JSON_POINTER ")"

static cz_expr date_time(struct cz_expr_store *store)
{
    cz_expr time = CZ_EXPR_NOTHING;
    cz_format_find(store, CZ_SLICE("time"), &time);
    return cz_expr_concat(store, cz_format_part(store, DATE "[Tt]"), time);
}

struct format {
    const char *name;
    const char *pattern; /* NULL with `make`, or when the format is not supported */
    cz_expr (*make)(struct cz_expr_store *store);
    const char *note;
};

static const struct format formats[CZ_FORMAT_COUNT] = {
    {"date-time", NULL, date_time, NULL},
    {"date", DATE, NULL, NULL},
    {"time", NULL, cz_format_time, NULL},
    {"duration", DURATION, NULL, NULL},
    {"email", EMAIL, NULL, NULL},
    {"idn-email", IDN_EMAIL, NULL, NULL},
    {"hostname", HOSTNAME, NULL, "names with A-labels (xn--...) are not accepted"},
    {"idn-hostname", NULL, NULL, NULL},
    {"ipv4", CZ_IPV4, NULL, NULL},
    {"ipv6", CZ_IPV6, NULL, NULL},
    {"uri", NULL, cz_format_uri, NULL},
    {"uri-reference", NULL, cz_format_uri_reference, NULL},
    {"iri", NULL, cz_format_iri, NULL},
    {"iri-reference", NULL, cz_format_iri_reference, NULL},
    {"uuid", UUID, NULL, NULL},
    {"uri-template", URI_TEMPLATE, NULL, NULL},
    {"json-pointer", JSON_POINTER, NULL, NULL},
    {"relative-json-pointer", RELATIVE_JSON_POINTER, NULL, NULL},
    {"regex", NULL, cz_format_regex,
     "patterns with back-references, \\0, a second named group, groups nested more than 16 deep, "
     "rare properties, or ranges other than of ASCII characters, \\xHH and \\uHHHH are not "
     "accepted"},
};

static const struct format *find(struct cz_slice name)
{
    for (size_t i = 0; i < CZ_FORMAT_COUNT; i++) {
        if (formats[i].name && cz_slice_is(name, formats[i].name))
            return &formats[i];
    }
    return NULL;
}

cz_expr cz_format_part(struct cz_expr_store *store, const char *pattern)
{
    struct cz_regex_options options = {.flavour = CZ_REGEX_PYTHON};
    struct cloze_error error;
    cz_expr expr = CZ_EXPR_NOTHING;
    /* The patterns are right; what can fail is the store, which remembers it. */
    if (cz_regex_parse(store, cz_slice(pattern), &options, &expr, &error))
        return CZ_EXPR_NOTHING;
    return expr;
}

enum cz_format_status cz_format_find(struct cz_expr_store *store, struct cz_slice name,
                                     cz_expr *out)
{
    const struct format *format = find(name);
    if (!format)
        return CZ_FORMAT_UNKNOWN;
    if (!format->pattern && !format->make)
        return CZ_FORMAT_UNSUPPORTED;
    cz_expr *slot = &store->formats[format - formats];
    if (*slot == CZ_EXPR_NOTHING)
        *slot = format->make ? format->make(store) : cz_format_part(store, format->pattern);
    *out = *slot;
    return CZ_FORMAT_KNOWN;
}

const char *cz_format_note(struct cz_slice name)
{
    const struct format *format = find(name);
    return format ? format->note : NULL;
}
