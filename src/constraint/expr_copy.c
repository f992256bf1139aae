/*
 * expr_copy.c - an expression of one store in another, where equal forms get equal names.
 *
 * Every node is looked at once: a small table by linear probing tells what became of it.
 */
#include "constraint/expr_internal.h"

enum { TABLE = 4 * CZ_EXPR_COPY_LIMIT, LIST = 64 };

struct copying {
    struct cz_expr_store *into;
    const struct cz_expr_store *from;
    cz_expr known[TABLE], copies[TABLE]; /* known: 0 is free */
    uint32_t count;
    bool failed;
};

static uint32_t slot_of(const struct copying *copying, cz_expr e)
{
    uint32_t slot = e * 2654435761u % TABLE;
    while (copying->known[slot] && copying->known[slot] != e)
        slot = (slot + 1) % TABLE;
    return slot;
}

static cz_expr fail(struct copying *copying)
{
    copying->failed = true;
    return CZ_EXPR_NOTHING;
}

static cz_expr copy(struct copying *copying, cz_expr e);

/* Children stand in the order of their names, which differ from store to store. */
static cz_expr copy_list(struct copying *copying, const struct expr_node *node)
{
    cz_expr items[LIST];
    if (node->b > LIST)
        return fail(copying);
    for (uint32_t i = 0; i < node->b && !copying->failed; i++) {
        cz_expr item = copy(copying, copying->from->pool[node->a + i]);
        uint32_t at = i;
        for (; at > 0 && items[at - 1] > item; at--)
            items[at] = items[at - 1];
        items[at] = item;
    }
    return copying->failed ? CZ_EXPR_NOTHING
                           : cz_expr_make_list(copying->into, node->kind, items, node->b);
}

/* At most CZ_EXPR_COPY_LIMIT deep, as no node is entered twice. */
static cz_expr copy_node(struct copying *copying, const struct expr_node *node)
{
    cz_expr first, second;
    switch (node->kind) {
    case EXPR_SET:
        return cz_expr_bytes(copying->into, copying->from->sets[node->a]);
    case EXPR_CONCAT:
        first = copy(copying, node->a);
        second = copy(copying, node->b);
        return cz_expr_make(copying->into, EXPR_CONCAT, first, second, 0);
    case EXPR_OR:
    case EXPR_AND:
        return copy_list(copying, node);
    case EXPR_NOT:
        return cz_expr_make(copying->into, EXPR_NOT, copy(copying, node->a), 0, 0);
    case EXPR_REPEAT:
        return cz_expr_make(copying->into, EXPR_REPEAT, copy(copying, node->a), node->b, node->c);
    default:
        return fail(copying);
    }
}

static cz_expr copy(struct copying *copying, cz_expr e)
{
    if (copying->failed)
        return CZ_EXPR_NOTHING;
    if (e <= CZ_EXPR_TEXT)
        return e;
    uint32_t slot = slot_of(copying, e);
    if (copying->known[slot])
        return copying->copies[slot];
    if (++copying->count > CZ_EXPR_COPY_LIMIT)
        return fail(copying);
    cz_expr made = copy_node(copying, &copying->from->nodes[e]);
    slot = slot_of(copying, e);
    copying->known[slot] = e;
    copying->copies[slot] = made;
    return made;
}

cz_expr cz_expr_copy(struct cz_expr_store *into, const struct cz_expr_store *from, cz_expr e)
{
    struct copying copying = {.into = into, .from = from};
    cz_expr made = copy(&copying, e);
    return copying.failed || into->failed != CLOZE_OK ? CZ_EXPR_NOTHING : made;
}
