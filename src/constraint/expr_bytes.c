/*
 * expr_bytes.c - which bytes some match of an expression may have, and which every match has.
 *
 * Both are read off the form: the first as an upper bound, the second as a lower one. An
 * intersection one part of which wants a byte that another never has is empty, and no search over
 * its states need show it.
 */
#include "constraint/expr_internal.h"

enum { MOST_VISITS = 8192, DEEPEST = 256 };

struct reading {
    unsigned visits, depth;
};

struct bytes {
    uint64_t some[4], every[4];
};

static const struct bytes unknown = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}, {0}};

static struct bytes bytes_of(const struct cz_expr_store *store, cz_expr e, struct reading *reading);

static struct bytes set_bytes(const uint64_t set[4])
{
    struct bytes bytes = {0};
    int size = 0;
    for (int w = 0; w < 4; w++)
        size += __builtin_popcountll(set[w]);
    for (int w = 0; w < 4; w++) {
        bytes.some[w] = set[w];
        bytes.every[w] = size == 1 ? set[w] : 0;
    }
    return bytes;
}

/* Of one expression behind the other. */
static struct bytes chain(struct bytes a, const struct bytes *b)
{
    for (int w = 0; w < 4; w++) {
        a.some[w] |= b->some[w];
        a.every[w] |= b->every[w];
    }
    return a;
}

static struct bytes list_bytes(const struct cz_expr_store *store, const struct expr_node *node,
                               struct reading *reading)
{
    struct bytes all = bytes_of(store, store->pool[node->a], reading);
    for (uint32_t i = 1; i < node->b; i++) {
        struct bytes part = bytes_of(store, store->pool[node->a + i], reading);
        for (int w = 0; w < 4; w++) {
            bool both = node->kind == EXPR_AND;
            all.some[w] = both ? all.some[w] & part.some[w] : all.some[w] | part.some[w];
            all.every[w] = both ? all.every[w] | part.every[w] : all.every[w] & part.every[w];
        }
    }
    return all;
}

static struct bytes node_bytes(const struct cz_expr_store *store, const struct expr_node *node,
                               struct reading *reading)
{
    struct bytes bytes = {0};
    switch (node->kind) {
    case EXPR_EMPTY:
        return bytes;
    case EXPR_SET:
        return set_bytes(store->sets[node->a]);
    case EXPR_OR:
    case EXPR_AND:
        return list_bytes(store, node, reading);
    case EXPR_REPEAT:
        bytes = bytes_of(store, node->a, reading);
        if (node->b == 0)
            memset(bytes.every, 0, sizeof bytes.every);
        return bytes;
    default:
        return unknown;
    }
}

/* Concatenations are lists to the right. */
static struct bytes bytes_of(const struct cz_expr_store *store, cz_expr e, struct reading *reading)
{
    struct bytes all = {0}, next;
    bool more = true;
    if (reading->depth >= DEEPEST)
        return unknown;
    reading->depth++;
    while (more) {
        const struct expr_node *node = &store->nodes[e];
        if (++reading->visits > MOST_VISITS)
            next = unknown;
        else if (node->kind == EXPR_CONCAT)
            next = bytes_of(store, node->a, reading);
        else
            next = node_bytes(store, node, reading);
        all = chain(all, &next);
        more = node->kind == EXPR_CONCAT && reading->visits <= MOST_VISITS;
        e = node->b;
    }
    reading->depth--;
    return all;
}

bool expr_lacks_bytes(const struct cz_expr_store *store, cz_expr e)
{
    struct reading reading = {0};
    struct bytes bytes = bytes_of(store, e, &reading);
    uint64_t lacking = 0;
    for (int w = 0; w < 4; w++)
        lacking |= bytes.every[w] & ~bytes.some[w];
    return lacking != 0;
}
