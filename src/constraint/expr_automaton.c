/*
 * expr_automaton.c - derivatives, and which bytes lead to equal ones.
 */
#include "constraint/expr_internal.h"

#include "base/heap.h"

enum { DERIVE_DEPTH = 20000, CLASS_VISITS = 4096, CLASS_FEW = 32, CLASS_SEEN = 512, LIST_STACK = 64 };

bool cz_expr_nullable(const struct cz_expr_store *store, cz_expr e)
{
    return store->nodes[e].facts & FACT_NULLABLE;
}

bool cz_expr_is_open(struct cz_expr_store *store, cz_expr e)
{
    return store->nodes[e].facts & FACT_OPEN;
}

static cz_expr derive_list(struct cz_expr_store *store, struct expr_node node, uint8_t byte)
{
    cz_expr stack[LIST_STACK], *parts = stack;
    size_t count = 0;
    if (node.b > LIST_STACK && !(parts = cz_heap_alloc(node.b * sizeof *parts)))
        return cz_expr_fail(store, CLOZE_MEMORY);
    for (uint32_t i = 0; i < node.b; i++) {
        cz_expr part = cz_expr_derive(store, store->pool[node.a + i], byte);
        if (part == CZ_EXPR_NOTHING && node.kind == EXPR_AND) {
            count = 0;
            parts[count++] = part;
            break;
        }
        if (part != CZ_EXPR_NOTHING)
            parts[count++] = part;
    }
    cz_expr result = count == 0             ? CZ_EXPR_NOTHING
                     : count == 1           ? parts[0]
                     : node.kind == EXPR_OR ? cz_expr_or_many(store, parts, count)
                                            : cz_expr_and_many(store, parts, count);
    if (parts != stack)
        cz_heap_free(parts);
    return result;
}

static cz_expr derive_repeat(struct cz_expr_store *store, struct expr_node node, uint8_t byte)
{
    cz_expr first = cz_expr_derive(store, node.a, byte);
    if (first == CZ_EXPR_NOTHING)
        return first;
    uint32_t maximum = node.c == CZ_EXPR_UNBOUNDED ? node.c : node.c - 1;
    cz_expr rest = cz_expr_repeat(store, node.a, node.b ? node.b - 1 : 0, maximum);
    return cz_expr_concat(store, first, rest);
}

static cz_expr derive_concat(struct cz_expr_store *store, struct expr_node node, uint8_t byte)
{
    cz_expr first = cz_expr_derive(store, node.a, byte);
    if (first != CZ_EXPR_NOTHING)
        first = cz_expr_concat(store, first, node.b);
    if (!(store->nodes[node.a].facts & FACT_NULLABLE))
        return first;
    return cz_expr_or(store, first, cz_expr_derive(store, node.b, byte));
}

/* The slot of (e, byte) in the cache, which grows with the store. NULL without memory. */
static struct expr_memo *memo_slot(struct cz_expr_store *store, cz_expr e, uint8_t byte)
{
    if (store->memo_size < store->count * 4) {
        uint32_t size = store->memo_size ? store->memo_size * 4 : 1024;
        struct expr_memo *memo = cz_heap_zeroed(size, sizeof *memo);
        if (memo) {
            cz_heap_free(store->memo);
            store->memo = memo;
            store->memo_size = size;
        } else if (!store->memo) {
            return NULL;
        }
    }
    uint64_t key = (uint64_t)e << 8 | byte;
    return &store->memo[(key * 0x9E3779B97F4A7C15u >> 32) & (store->memo_size - 1)];
}

static cz_expr derive_new(struct cz_expr_store *store, struct expr_node node, uint8_t byte)
{
    switch (node.kind) {
    case EXPR_CONCAT:
        return derive_concat(store, node, byte);
    case EXPR_REPEAT:
        return derive_repeat(store, node, byte);
    case EXPR_NOT:
        return cz_expr_not(store, cz_expr_derive(store, node.a, byte));
    case EXPR_VARIABLE:
        return cz_expr_derive(store, store->bodies[node.a], byte);
    default:
        return derive_list(store, node, byte);
    }
}

cz_expr cz_expr_derive(struct cz_expr_store *store, cz_expr e, uint8_t byte)
{
    struct expr_node node = store->nodes[e];
    if (node.kind == EXPR_SET)
        return cz_expr_set_has(store, &node, byte) ? CZ_EXPR_EMPTY : CZ_EXPR_NOTHING;
    if (node.kind <= EXPR_ANY)
        return node.kind == EXPR_ANY ? CZ_EXPR_ANY : CZ_EXPR_NOTHING;
    if (node.kind == EXPR_CONCAT && store->nodes[node.a].kind == EXPR_SET)
        return cz_expr_set_has(store, &store->nodes[node.a], byte) ? node.b : CZ_EXPR_NOTHING;
    struct expr_memo *memo = memo_slot(store, e, byte);
    if (!memo)
        return cz_expr_fail(store, CLOZE_MEMORY);
    if (memo->expr == e && memo->byte == byte)
        return memo->result;
    if (store->depth >= DERIVE_DEPTH)
        return cz_expr_fail(store, CLOZE_LIMIT);
    store->depth++;
    cz_expr result = derive_new(store, node, byte);
    store->depth--;
    memo = memo_slot(store, e, byte);
    *memo = (struct expr_memo){e, byte, result};
    return result;
}

bool cz_expr_matches(struct cz_expr_store *store, cz_expr e, struct cz_slice text)
{
    for (size_t i = 0; i < text.size && e != CZ_EXPR_NOTHING; i++)
        e = cz_expr_derive(store, e, (uint8_t)text.data[i]);
    return cz_expr_nullable(store, e);
}

/* ---- Byte classes: the sets that the next byte is tested against ---- */

/* A partition of the bytes. */
struct classes {
    struct expr_class *list; /* [256] */
    unsigned count;
    unsigned visits; /* nodes looked at; CLASS_VISITS: too many */
    cz_expr seen[CLASS_SEEN]; /* some of those, from visit CLASS_FEW on: expressions share parts */
};

/* Cuts every class in what is inside the set and what is not. */
static void split(struct classes *classes, const uint64_t set[4])
{
    for (unsigned i = 0, before = classes->count; i < before; i++) {
        uint64_t *class = classes->list[i].bytes, *moved = classes->list[classes->count].bytes;
        uint64_t inside[4], in = 0, out = 0;
        for (int w = 0; w < 4; w++) {
            inside[w] = class[w] & set[w];
            in |= inside[w];
            out |= class[w] ^ inside[w];
        }
        if (!in || !out)
            continue;
        for (int w = 0; w < 4; w++) {
            moved[w] = inside[w];
            class[w] ^= inside[w];
        }
        classes->count++;
    }
}

static bool was_seen(struct classes *classes, cz_expr e)
{
    if (classes->visits < CLASS_FEW)
        return false;
    if (classes->visits == CLASS_FEW)
        memset(classes->seen, 0, sizeof classes->seen);
    bool seen = classes->seen[e % CLASS_SEEN] == e;
    classes->seen[e % CLASS_SEEN] = e;
    return seen;
}

static void collect(const struct cz_expr_store *store, cz_expr e, struct classes *classes)
{
    const struct expr_node *node = &store->nodes[e];
    if (classes->visits >= CLASS_VISITS || was_seen(classes, e))
        return;
    classes->visits++;
    switch (node->kind) {
    case EXPR_SET:
        if (classes->count < 256)
            split(classes, store->sets[node->a]);
        break;
    case EXPR_CONCAT:
        collect(store, node->a, classes);
        if (store->nodes[node->a].facts & FACT_NULLABLE)
            collect(store, node->b, classes);
        break;
    case EXPR_NOT:
    case EXPR_REPEAT:
        collect(store, node->a, classes);
        break;
    case EXPR_VARIABLE:
        collect(store, store->bodies[node->a], classes);
        break;
    case EXPR_OR:
    case EXPR_AND:
        for (uint32_t i = 0; i < node->b; i++)
            collect(store, store->pool[node->a + i], classes);
        break;
    default:
        break;
    }
}

static uint8_t first_bit(const uint64_t set[4])
{
    unsigned word = 0;
    while (!set[word])
        word++;
    return (uint8_t)(word * 64 + (unsigned)__builtin_ctzll(set[word]));
}

unsigned expr_classes(const struct cz_expr_store *store, cz_expr e, struct expr_class list[256])
{
    struct classes classes;
    classes.list = list;
    classes.count = 1;
    classes.visits = 0;
    memset(list[0].bytes, 0xFF, sizeof list[0].bytes);
    collect(store, e, &classes);
    if (classes.visits >= CLASS_VISITS) { /* that takes too long: each byte counts as a class */
        classes.count = 256;
        memset(list, 0, 256 * sizeof *list);
        for (unsigned i = 0; i < 256; i++)
            list[i].bytes[i / 64] = 1ull << i % 64;
    }
    for (unsigned i = 0; i < classes.count; i++)
        list[i].first = first_bit(list[i].bytes);
    return classes.count;
}

void cz_expr_first(struct cz_expr_store *store, cz_expr e, uint64_t set[4])
{
    struct expr_class classes[256];
    unsigned count = expr_classes(store, e, classes);
    memset(set, 0, 4 * sizeof *set);
    for (unsigned i = 0; i < count; i++) {
        bool live = cz_expr_derive(store, e, classes[i].first) != CZ_EXPR_NOTHING;
        for (unsigned w = 0; live && w < 4; w++)
            set[w] |= classes[i].bytes[w];
    }
}

unsigned cz_expr_classes(const struct cz_expr_store *store, cz_expr e, uint8_t of[256])
{
    struct expr_class classes[256];
    unsigned count = expr_classes(store, e, classes);
    for (unsigned i = 0; i < count; i++) {
        for (unsigned w = 0; w < 4; w++) {
            for (uint64_t left = classes[i].bytes[w]; left; left &= left - 1)
                of[w * 64 + (unsigned)__builtin_ctzll(left)] = (uint8_t)i;
        }
    }
    return count;
}

uint32_t cz_expr_longest_text(const struct cz_expr_store *store, cz_expr e)
{
    struct expr_node node = store->nodes[e];
    if (e == CZ_EXPR_EMPTY)
        return 0;
    if (e == CZ_EXPR_CHAR)
        return 1;
    return node.kind == EXPR_REPEAT && node.a == CZ_EXPR_CHAR ? node.c : CZ_EXPR_UNBOUNDED;
}
