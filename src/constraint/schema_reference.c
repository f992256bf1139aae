/*
 * schema_reference.c - documents, identifiers and references.
 *
 * Before anything is compiled, every document is scanned in the places where schemas stand for $id,
 * $anchor and the like. References are resolved against the URI of the resource they stand in
 * (RFC 3986); what they name must be among the documents given or the built-in meta-schemas.
 */
#include "constraint/metaschema.h"
#include "constraint/schema_internal.h"

#include <stdlib.h>

enum { SCAN_DEPTH = 600, RESOURCE_LIMIT = 20000 };

/* ---- URIs ---- */

struct uri {
    struct cz_slice scheme, authority, path, query, fragment;
    bool has_authority, has_query, has_fragment;
};

static struct cz_slice cut(struct cz_slice *text, size_t size, size_t skip)
{
    struct cz_slice head = cz_slice_of(text->data, size);
    *text = cz_slice_of(text->data + size + skip, text->size - size - skip);
    return head;
}

static size_t find_any(struct cz_slice text, const char *set)
{
    size_t i = 0;
    while (i < text.size && !strchr(set, text.data[i]))
        i++;
    return i;
}

static struct uri parse_uri(struct cz_slice text)
{
    struct uri uri = {0};
    size_t at = find_any(text, "#");
    if (at < text.size) {
        uri.has_fragment = true;
        uri.fragment = cz_slice_of(text.data + at + 1, text.size - at - 1);
        text.size = at;
    }
    at = find_any(text, ":/?");
    if (at > 0 && at < text.size && text.data[at] == ':')
        uri.scheme = cut(&text, at, 1);
    if (cz_slice_starts_with(text, "//")) {
        cut(&text, 0, 2);
        uri.has_authority = true;
        uri.authority = cut(&text, find_any(text, "/?"), 0);
    }
    at = find_any(text, "?");
    uri.path = cz_slice_of(text.data, at);
    if (at < text.size) {
        uri.has_query = true;
        uri.query = cz_slice_of(text.data + at + 1, text.size - at - 1);
    }
    return uri;
}

/* Removes "." and ".." segments (RFC 3986, 5.2.4) from what stands behind `start`. */
static void remove_dots(struct cz_buffer *out, size_t start)
{
    char *path = out->data + start;
    size_t size = out->size - start, made = 0;
    for (size_t i = 0; i < size;) {
        size_t end = i + 1;
        while (end < size && path[end] != '/')
            end++;
        struct cz_slice segment = cz_slice_of(path + i, end - i);
        bool last = end == size;
        if (cz_slice_is(segment, "/.") || cz_slice_is(segment, "/..")) {
            while (segment.size == 3 && made > 0 && path[--made] != '/')
                ;
            if (last)
                path[made++] = '/';
        } else {
            memmove(path + made, path + i, end - i);
            made += end - i;
        }
        i = end;
    }
    out->size = start + made;
    if (out->data)
        out->data[out->size] = 0;
}

static void append_reference(struct cz_buffer *out, const struct uri *base, const struct uri *ref)
{
    const struct uri *from = ref->scheme.size || ref->has_authority ? ref : base;
    struct cz_slice scheme = ref->scheme.size ? ref->scheme : base->scheme;
    if (scheme.size) {
        cz_buffer_append_slice(out, scheme);
        cz_buffer_append_byte(out, ':');
    }
    if (from->has_authority) {
        cz_buffer_append_text(out, "//");
        cz_buffer_append_slice(out, from->authority);
    }
    size_t start = out->size;
    bool merge = from == base && ref->path.size && ref->path.data[0] != '/';
    if (from == base && ref->path.size == 0) {
        cz_buffer_append_slice(out, base->path);
    } else {
        size_t keep = merge ? base->path.size : 0;
        while (keep > 0 && base->path.data[keep - 1] != '/')
            keep--;
        cz_buffer_append(out, base->path.data, keep);
        if (merge && keep == 0 && base->has_authority)
            cz_buffer_append_byte(out, '/');
        cz_buffer_append_slice(out, ref->path);
        if (out->data && out->size > start && out->data[start] == '/')
            remove_dots(out, start);
    }
    bool inherit = from == base && ref->path.size == 0 && !ref->has_query;
    if (ref->has_query || (inherit && base->has_query)) {
        cz_buffer_append_byte(out, '?');
        cz_buffer_append_slice(out, inherit ? base->query : ref->query);
    }
}

/* The absolute URI, without fragment, in the arena; the fragment apart. */
static struct cz_slice resolve_uri(struct cz_machine *machine, struct cz_slice base,
                                   struct cz_slice reference, struct cz_slice *fragment)
{
    struct uri ref = parse_uri(reference), from = parse_uri(base);
    struct cz_buffer out = {0};
    *fragment = ref.has_fragment ? ref.fragment : (struct cz_slice){NULL, 0};
    append_reference(&out, &from, &ref);
    struct cz_slice result = cz_buffer_slice(&out);
    result.data = cz_arena_text(&machine->schemas->arena, result);
    cz_buffer_free(&out);
    if (!result.data)
        cz_machine_fail_memory(machine);
    return result;
}

/* ---- Documents ---- */

static uint32_t add_resource(struct cz_machine *machine, struct resource resource)
{
    struct cz_schemas *schemas = machine->schemas;
    if (schemas->resource_count >= RESOURCE_LIMIT) {
        cz_machine_fail(machine, CLOZE_LIMIT, NULL, "a schema has too many $ids");
        return 0;
    }
    if (!cz_machine_grow(machine, (void **)&schemas->resources, schemas->resource_count,
                         &schemas->resource_capacity, sizeof *schemas->resources)) {
        cz_machine_fail_memory(machine);
        return 0;
    }
    schemas->resources[schemas->resource_count] = resource;
    return schemas->resource_count++;
}

static void add_anchor(struct cz_machine *machine, uint32_t resource, struct cz_slice name,
                       const struct cz_json *node, bool dynamic)
{
    struct cz_schemas *schemas = machine->schemas;
    if (!cz_machine_grow(machine, (void **)&schemas->anchors, schemas->anchor_count,
                         &schemas->anchor_capacity, sizeof *schemas->anchors)) {
        cz_machine_fail_memory(machine);
        return;
    }
    schemas->anchors[schemas->anchor_count++] = (struct anchor){resource, name, node, dynamic};
}

/* $id, or draft 4's id; nothing where a $ref makes its siblings void. */
static bool identifier(const struct cz_json *node, enum draft draft, struct cz_slice *out)
{
    if (draft <= DRAFT_7 && cz_json_get(node, "$ref"))
        return false;
    if (cz_json_string(cz_json_get(node, "$id"), out))
        return true;
    return draft == DRAFT_4 && cz_json_string(cz_json_get(node, "id"), out);
}

static void scan(struct cz_machine *machine, const struct cz_json *node, uint32_t resource,
                 unsigned depth);

static void scan_children(struct cz_machine *machine, const struct cz_json *node,
                          uint32_t resource, unsigned depth)
{
    CZ_JSON_EACH(member, node) {
        enum shape shape = cz_keyword_shape(cz_keyword_find(cz_json_key(member)));
        bool list = member->kind == CZ_JSON_ARRAY &&
                    (shape == SHAPE_LIST || shape == SHAPE_SCHEMA_OR_LIST);
        if (list || (shape == SHAPE_MAP && member->kind == CZ_JSON_OBJECT)) {
            CZ_JSON_EACH(child, member)
                scan(machine, child, resource, depth + 1);
        } else if (shape == SHAPE_SCHEMA || shape == SHAPE_SCHEMA_OR_LIST) {
            scan(machine, member, resource, depth + 1);
        }
    }
}

static void scan(struct cz_machine *machine, const struct cz_json *node, uint32_t resource,
                 unsigned depth)
{
    struct cz_schemas *schemas = machine->schemas;
    struct cz_slice text, fragment;
    bool flag;
    if (node->kind != CZ_JSON_OBJECT || depth > SCAN_DEPTH || machine->failed != CLOZE_OK)
        return;
    enum draft draft = schemas->resources[resource].dialect.draft;
    if (depth && identifier(node, draft, &text) && text.size) {
        struct cz_slice uri =
            resolve_uri(machine, schemas->resources[resource].uri, text, &fragment);
        if (fragment.size && fragment.data[0] != '/') /* until draft 7; later no $id may have one */
            add_anchor(machine, resource, fragment, node, false);
        if (text.data[0] != '#')
            resource = add_resource(machine, (struct resource){.uri = uri, .root = node,
                                    .source = schemas->resources[resource].source,
                                    .dialect = cz_schema_dialect(machine, node,
                                                                 schemas->resources[resource].dialect)});
        if (machine->failed != CLOZE_OK)
            return;
    }
    if (cz_json_string(cz_json_get(node, "$anchor"), &text))
        add_anchor(machine, resource, text, node, false);
    if (cz_json_string(cz_json_get(node, "$dynamicAnchor"), &text))
        add_anchor(machine, resource, text, node, true);
    if (cz_json_bool(cz_json_get(node, "$recursiveAnchor"), &flag) && flag)
        schemas->resources[resource].recursive_anchor = true;
    if (cz_json_get(node, "$dynamicRef") || cz_json_get(node, "$recursiveRef"))
        schemas->dynamic = true;
    scan_children(machine, node, resource, depth);
}

bool cz_schema_add_document(struct cz_machine *machine, struct cz_slice uri, struct cz_slice text,
                            enum draft fallback, uint32_t *resource, struct cloze_error *error)
{
    struct cz_schemas *schemas = machine->schemas;
    struct cz_json *root;
    struct cz_slice id, fragment;
    struct cz_json_options options = {.allow_duplicate_keys = true, .allow_lone_surrogates = true};
    cloze_status status = cz_json_parse(&schemas->arena, text, &options, &root, error);
    if (status != CLOZE_OK) {
        if (error && machine->failed == CLOZE_OK) {
            machine->failed = status;
            machine->error = *error;
        }
        return false;
    }
    struct dialect dialect =
        cz_schema_dialect(machine, root, (struct dialect){.draft = fallback});
    struct resource made = {.uri = uri, .root = root, .source = text, .dialect = dialect};
    if (cz_json_is(root, CZ_JSON_OBJECT) && identifier(root, dialect.draft, &id))
        made.uri = resolve_uri(machine, uri, id, &fragment);
    *resource = add_resource(machine, made);
    if (made.uri.size != uri.size && uri.size)
        add_resource(machine, (struct resource){uri, root, text, dialect, false});
    scan(machine, root, *resource, 0);
    return machine->failed == CLOZE_OK;
}

uint32_t cz_schema_resource(struct cz_machine *machine, const struct cz_json *node, uint32_t parent)
{
    struct cz_schemas *schemas = machine->schemas;
    if (schemas->resource_count < 2 || node->kind != CZ_JSON_OBJECT)
        return parent;
    if (!cz_json_get(node, "$id") && !cz_json_get(node, "id"))
        return parent;
    for (uint32_t i = 0; i < schemas->resource_count; i++) {
        if (schemas->resources[i].root == node)
            return i;
    }
    return parent;
}

/* ---- References ---- */

/* `fallback`: the draft of a document that does not say. */
static uint32_t find_resource(struct cz_machine *machine, struct cz_slice uri, enum draft fallback)
{
    struct cz_schemas *schemas = machine->schemas;
    for (uint32_t i = 0; i < schemas->resource_count; i++) {
        if (cz_slice_equal(schemas->resources[i].uri, uri))
            return i;
    }
    for (size_t i = 0; i < machine->options.resource_count; i++) {
        const struct cz_schema_resource *given = &machine->options.resources[i];
        struct cz_slice given_uri = cz_slice(given->uri);
        uint32_t resource;
        while (given_uri.size && given_uri.data[given_uri.size - 1] == '#')
            given_uri.size--;
        if (cz_slice_equal(given_uri, uri))
            return cz_schema_add_document(machine, given_uri, given->text, fallback, &resource,
                                          &machine->error)
                       ? resource
                       : UINT32_MAX;
    }
    const struct cz_metaschema *built_in = cz_metaschema_find(uri);
    uint32_t resource;
    if (built_in && cz_schema_add_document(machine, uri, cz_slice(built_in->text), DRAFT_2020,
                                           &resource, &machine->error))
        return resource;
    return UINT32_MAX;
}

static struct cz_slice percent_decode(struct cz_machine *machine, struct cz_slice text)
{
    if (find_any(text, "%") == text.size)
        return text;
    char *copy = cz_arena_text(&machine->schemas->arena, text);
    size_t size = 0;
    for (size_t i = 0; copy && i < text.size; i++) {
        char hex[3] = {0};
        if (text.data[i] == '%' && text.size - i > 2) {
            memcpy(hex, text.data + i + 1, 2);
            copy[size++] = (char)strtol(hex, NULL, 16);
            i += 2;
        } else {
            copy[size++] = text.data[i];
        }
    }
    return cz_slice_of(copy, size);
}

/* Follows a JSON Pointer, minding resources on its way. */
static bool follow_pointer(struct cz_machine *machine, struct cz_slice pointer, struct schema *at)
{
    for (size_t begin = 0; begin < pointer.size;) {
        size_t end = begin + 1;
        while (end < pointer.size && pointer.data[end] != '/')
            end++;
        at->node = cz_json_pointer_find(at->node, cz_slice_of(pointer.data + begin, end - begin));
        if (!at->node)
            return false;
        at->resource = cz_schema_resource(machine, at->node, at->resource);
        begin = end;
    }
    return true;
}

static const struct anchor *find_anchor(const struct cz_schemas *schemas, uint32_t resource,
                                        struct cz_slice name)
{
    for (uint32_t i = 0; i < schemas->anchor_count; i++) {
        const struct anchor *anchor = &schemas->anchors[i];
        /* a document may stand under two URIs: compare roots */
        if (schemas->resources[anchor->resource].root == schemas->resources[resource].root &&
            cz_slice_equal(anchor->name, name))
            return anchor;
    }
    return NULL;
}

uint32_t cz_schema_enter(struct cz_machine *machine, uint32_t scope, uint32_t resource)
{
    struct cz_schemas *schemas = machine->schemas;
    if (!schemas->dynamic)
        return 0;
    for (uint32_t at = scope; at; at = cz_intern_get(&schemas->scopes, at)[1]) {
        if (cz_intern_get(&schemas->scopes, at)[0] == resource)
            return scope; /* only the outermost entry counts */
    }
    uint32_t id = cz_intern_add(&schemas->scopes, (uint32_t[]){resource, scope}, 2, NULL);
    if (id == UINT32_MAX)
        cz_machine_fail_memory(machine);
    return id == UINT32_MAX ? 0 : id;
}

/* The outermost resource of the dynamic scope that has this dynamic anchor. */
static void bookend(struct cz_machine *machine, struct schema from, struct cz_slice name,
                    struct schema *out)
{
    struct cz_schemas *schemas = machine->schemas;
    for (uint32_t at = from.scope; at; at = cz_intern_get(&schemas->scopes, at)[1]) {
        uint32_t resource = cz_intern_get(&schemas->scopes, at)[0];
        const struct anchor *anchor = find_anchor(schemas, resource, name);
        if (anchor && anchor->dynamic) {
            out->node = anchor->node;
            out->resource = resource;
        }
    }
}

bool cz_schema_resolve(struct cz_machine *machine, struct schema from, struct cz_slice reference,
                       bool dynamic, struct schema *out)
{
    struct cz_schemas *schemas = machine->schemas;
    struct cz_slice fragment;
    struct cz_slice uri =
        resolve_uri(machine, schemas->resources[from.resource].uri, reference, &fragment);
    enum draft draft = schemas->resources[from.resource].dialect.draft;
    uint32_t resource =
        machine->failed == CLOZE_OK ? find_resource(machine, uri, draft) : UINT32_MAX;
    if (machine->failed != CLOZE_OK)
        return false;
    if (resource == UINT32_MAX) {
        cz_schema_fail(machine, CLOZE_NOT_FOUND, CZ_SLICE("$ref"),
                       "'%.*s' names a document that was not supplied", CZ_SLICE_ARG(reference) );
        return false;
    }
    *out = (struct schema){schemas->resources[resource].root, resource, from.scope};
    fragment = percent_decode(machine, fragment);
    bool found = true;
    if (fragment.size && fragment.data[0] == '/') {
        found = follow_pointer(machine, fragment, out);
    } else if (fragment.size) {
        const struct anchor *anchor = find_anchor(schemas, resource, fragment);
        found = anchor != NULL;
        if (anchor) {
            out->node = anchor->node;
            out->resource = cz_schema_resource(machine, anchor->node, resource);
            if (dynamic && anchor->dynamic)
                bookend(machine, from, fragment, out);
        }
    }
    if (!found)
        cz_schema_fail(machine, CLOZE_NOT_FOUND, CZ_SLICE("$ref"), "'%.*s' names nothing",
                       CZ_SLICE_ARG(reference));
    return found;
}

bool cz_schema_resolve_recursive(struct cz_machine *machine, struct schema from, struct schema *out)
{
    struct cz_schemas *schemas = machine->schemas;
    *out = (struct schema){schemas->resources[from.resource].root, from.resource, from.scope};
    if (!schemas->resources[from.resource].recursive_anchor)
        return true;
    for (uint32_t at = from.scope; at; at = cz_intern_get(&schemas->scopes, at)[1]) {
        uint32_t resource = cz_intern_get(&schemas->scopes, at)[0];
        if (!schemas->resources[resource].recursive_anchor)
            break;
        out->node = schemas->resources[resource].root;
        out->resource = resource;
    }
    return true;
}
