/*
 * format_uri.c - URIs (RFC 3986) and IRIs (RFC 3987), from the parts that their grammars name.
 */
#include "constraint/format_internal.h"

#define UNRESERVED "A-Za-z0-9\\-._~"
#define SUB_DELIMS "!$&'()*+,;="
#define PERCENT "%[0-9A-Fa-f]{2}"

struct parts {
    struct cz_expr_store *store;
    cz_expr more;      /* characters that an IRI adds */
    cz_expr query;     /* those that it adds in a query */
    cz_expr segment;   /* *pchar */
    cz_expr segment_1; /* 1*pchar */
};

static cz_expr star(const struct parts *parts, cz_expr e)
{
    return cz_expr_repeat(parts->store, e, 0, CZ_EXPR_UNBOUNDED);
}

static cz_expr maybe(const struct parts *parts, cz_expr e)
{
    return cz_expr_or(parts->store, CZ_EXPR_EMPTY, e);
}

/* The characters of `pattern`, and those that an IRI adds. */
static cz_expr characters(const struct parts *parts, const char *pattern)
{
    return cz_expr_or(parts->store, cz_format_part(parts->store, pattern), parts->more);
}

static struct parts make_parts(struct cz_expr_store *store, bool iri)
{
    struct parts parts = {.store = store};
    if (iri) {
        parts.more = cz_format_part(store, "[" CZ_UCSCHAR "]");
        parts.query = cz_format_part(store, "[" CZ_IPRIVATE "]");
    }
    cz_expr pchar = characters(&parts, "[" UNRESERVED SUB_DELIMS ":@]|" PERCENT);
    parts.segment = star(&parts, pchar);
    parts.segment_1 = cz_expr_repeat(store, pchar, 1, CZ_EXPR_UNBOUNDED);
    return parts;
}

/* *( "/" segment ) */
static cz_expr more_segments(const struct parts *parts)
{
    return star(parts,
                cz_expr_concat(parts->store, cz_expr_byte(parts->store, '/'), parts->segment));
}

/* "//" authority path-abempty */
static cz_expr authority(const struct parts *parts)
{
    struct cz_expr_store *store = parts->store;
    cz_expr user = star(parts, characters(parts, "[" UNRESERVED SUB_DELIMS ":]|" PERCENT));
    cz_expr name = star(parts, characters(parts, "[" UNRESERVED SUB_DELIMS "]|" PERCENT));
    cz_expr literal = cz_format_part(
        store, "\\[(?:" CZ_IPV6 "|[Vv][0-9A-Fa-f]+\\.[" UNRESERVED SUB_DELIMS ":]+)\\]");
    cz_expr before = maybe(parts, cz_expr_concat(store, user, cz_expr_byte(store, '@')));
    cz_expr host = cz_expr_or(store, literal, name);
    cz_expr rest =
        cz_format_concat(store, host, cz_format_part(store, "(?::\\d*)?"), more_segments(parts));
    return cz_format_concat(store, cz_format_part(store, "//"), before, rest);
}

/* "/" [ segment-nz *( "/" segment ) ] */
static cz_expr absolute(const struct parts *parts)
{
    cz_expr segments = cz_expr_concat(parts->store, parts->segment_1, more_segments(parts));
    return cz_expr_concat(parts->store, cz_expr_byte(parts->store, '/'), maybe(parts, segments));
}

/* [ "?" query ] [ "#" fragment ] */
static cz_expr query_fragment(const struct parts *parts)
{
    struct cz_expr_store *store = parts->store;
    cz_expr extra = cz_format_part(store, "[/?]");
    cz_expr fragment = cz_expr_or(store, parts->segment_1, extra);
    cz_expr query = cz_expr_or(store, fragment, parts->query);
    query = cz_expr_concat(store, cz_expr_byte(store, '?'), star(parts, query));
    fragment = cz_expr_concat(store, cz_expr_byte(store, '#'), star(parts, fragment));
    return cz_expr_concat(store, maybe(parts, query), maybe(parts, fragment));
}

/* What follows the scheme, or stands alone when there is none; `first` begins a path without "/".
 */
static cz_expr hierarchy(const struct parts *parts, cz_expr first)
{
    cz_expr choices[] = {authority(parts), absolute(parts), CZ_EXPR_EMPTY,
                         cz_expr_concat(parts->store, first, more_segments(parts))};
    return cz_expr_concat(parts->store, cz_expr_or_many(parts->store, choices, 4),
                          query_fragment(parts));
}

static cz_expr absolute_uri(const struct parts *parts)
{
    return cz_expr_concat(parts->store, cz_format_part(parts->store, "[A-Za-z][A-Za-z0-9+\\-.]*:"),
                          hierarchy(parts, parts->segment_1));
}

/* segment-nz-nc: the first segment of a relative path holds no colon. */
static cz_expr relative_uri(const struct parts *parts)
{
    cz_expr character = characters(parts, "[" UNRESERVED SUB_DELIMS "@]|" PERCENT);
    return hierarchy(parts, cz_expr_repeat(parts->store, character, 1, CZ_EXPR_UNBOUNDED));
}

cz_expr cz_format_uri(struct cz_expr_store *store)
{
    struct parts parts = make_parts(store, false);
    return absolute_uri(&parts);
}

cz_expr cz_format_uri_reference(struct cz_expr_store *store)
{
    struct parts parts = make_parts(store, false);
    return cz_expr_or(store, absolute_uri(&parts), relative_uri(&parts));
}

cz_expr cz_format_iri(struct cz_expr_store *store)
{
    struct parts parts = make_parts(store, true);
    return absolute_uri(&parts);
}

cz_expr cz_format_iri_reference(struct cz_expr_store *store)
{
    struct parts parts = make_parts(store, true);
    return cz_expr_or(store, absolute_uri(&parts), relative_uri(&parts));
}
