/*
 * expr.c - the store of hash-consed expressions and the builders that keep them simple.
 *
 * Every builder puts its result into a normal form, so that equal languages mostly get equal names
 * and the number of states stays small: concatenations lean right, alternatives and intersections
 * are sorted lists without duplicates, neighbouring repetitions of one thing are joined.
 */
#include "base/heap.h"
#include "constraint/expr_internal.h"
#include "constraint/intern.h"

#include <stdlib.h>

enum { FIRST_NODES = 64, FIRST_TABLE = 256, LIST_STACK = 64 };

cz_expr cz_expr_fail(struct cz_expr_store *store, cloze_status status)
{
    if (store->failed == CLOZE_OK)
        store->failed = status;
    return CZ_EXPR_NOTHING;
}

/* Room for `more` items behind `count`; false when there is no memory. */
static bool grow(void **items, uint32_t count, uint32_t *capacity, uint32_t more, size_t size)
{
    if (more <= *capacity - count)
        return true;
    uint64_t wanted = (uint64_t)*capacity * 2;
    if (wanted < (uint64_t)count + more)
        wanted = (uint64_t)count + more + FIRST_NODES;
    if (wanted > UINT32_MAX / 2)
        return false;
    void *larger = cz_heap_resize(*items, wanted * size);
    if (!larger)
        return false;
    *items = larger;
    *capacity = (uint32_t)wanted;
    return true;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
    return hash ^ (hash >> 29);
}

static uint64_t node_hash(const struct cz_expr_store *store, const struct expr_node *node)
{
    uint64_t hash = mix(node->kind, node->c);
    if (node->kind == EXPR_OR || node->kind == EXPR_AND) {
        for (uint32_t i = 0; i < node->b; i++)
            hash = mix(hash, store->pool[node->a + i]);
    } else if (node->kind == EXPR_SET) {
        for (int i = 0; i < 4; i++)
            hash = mix(hash, store->sets[node->a][i]);
    } else {
        hash = mix(mix(hash, node->a), node->b);
    }
    return hash ^ (hash >> 32);
}

static bool node_equal(const struct cz_expr_store *store, const struct expr_node *x,
                       const struct expr_node *y)
{
    if (x->kind != y->kind)
        return false;
    if (x->kind == EXPR_OR || x->kind == EXPR_AND)
        return x->b == y->b &&
               !memcmp(store->pool + x->a, store->pool + y->a, x->b * sizeof *store->pool);
    if (x->kind == EXPR_SET)
        return !memcmp(store->sets[x->a], store->sets[y->a], sizeof *store->sets);
    return x->a == y->a && x->b == y->b && x->c == y->c;
}

/* Facts of a list node, from those of its children. */
static uint8_t list_facts(const struct cz_expr_store *store, const struct expr_node *node)
{
    uint8_t all = 0xFF, any = 0;
    uint32_t open = 0, cofinite = 0;
    for (uint32_t i = 0; i < node->b; i++) {
        uint8_t facts = store->nodes[store->pool[node->a + i]].facts;
        all &= facts;
        any |= facts;
        open += facts & FACT_COFINITE ? 0 : (facts & FACT_OPEN) != 0;
        cofinite += (facts & FACT_COFINITE) != 0;
    }
    if (node->kind == EXPR_OR)
        return (uint8_t)((any & (FACT_NULLABLE | FACT_COFINITE | FACT_OPEN | FACT_ALIVE)) |
                         (all & (FACT_FINITE | FACT_DEAD | FACT_TEXT)));
    uint8_t facts = (uint8_t)((all & (FACT_NULLABLE | FACT_COFINITE)) |
                              (any & (FACT_FINITE | FACT_DEAD | FACT_TEXT)));
    if (cofinite == node->b || (cofinite + 1 == node->b && open == 1))
        facts |= FACT_OPEN | FACT_ALIVE;
    if (facts & FACT_NULLABLE)
        facts |= FACT_ALIVE;
    return facts;
}

static uint8_t repeat_facts(const struct expr_node *node, uint8_t inner)
{
    uint8_t facts = inner & FACT_TEXT;
    if (node->b == 0 || (inner & FACT_NULLABLE))
        facts |= FACT_NULLABLE | FACT_ALIVE;
    facts |= inner & FACT_ALIVE;
    if (node->c != CZ_EXPR_UNBOUNDED)
        facts |= inner & FACT_FINITE;
    else if (node->a == CZ_EXPR_CHAR)
        facts |= FACT_COFINITE | FACT_OPEN | FACT_ALIVE;
    return facts;
}

static uint8_t node_facts(const struct cz_expr_store *store, const struct expr_node *node)
{
    uint8_t first, second;
    switch (node->kind) {
    case EXPR_NOTHING:
        return FACT_FINITE | FACT_DEAD | FACT_TEXT;
    case EXPR_EMPTY:
        return FACT_NULLABLE | FACT_FINITE | FACT_ALIVE | FACT_TEXT;
    case EXPR_ANY:
        return FACT_NULLABLE | FACT_COFINITE | FACT_OPEN | FACT_ALIVE;
    case EXPR_SET:
        return (uint8_t)(FACT_FINITE | FACT_ALIVE |
                         (store->sets[node->a][2] | store->sets[node->a][3] ? 0 : FACT_TEXT));
    case EXPR_CONCAT:
        first = store->nodes[node->a].facts;
        second = store->nodes[node->b].facts;
        if ((node->a == CZ_EXPR_TEXT || node->a == CZ_EXPR_ANY) && (second & FACT_ALIVE))
            return (uint8_t)((second & FACT_NULLABLE) | (first & second & FACT_TEXT) | FACT_OPEN |
                             FACT_ALIVE);
        return (uint8_t)((first & second &
                          (FACT_NULLABLE | FACT_FINITE | FACT_ALIVE | FACT_TEXT)) |
                         ((first | second) & FACT_DEAD));
    case EXPR_NOT:
        first = store->nodes[node->a].facts;
        return (uint8_t)((first & FACT_NULLABLE ? 0 : FACT_NULLABLE | FACT_ALIVE) |
                         (first & FACT_FINITE ? FACT_COFINITE | FACT_OPEN | FACT_ALIVE : 0));
    case EXPR_REPEAT:
        return repeat_facts(node, store->nodes[node->a].facts);
    case EXPR_VARIABLE:
        return node->b ? FACT_NULLABLE | FACT_ALIVE : 0;
    default:
        return list_facts(store, node);
    }
}

static uint16_t at_most(uint64_t length)
{
    return length < UINT16_MAX ? (uint16_t)length : UINT16_MAX;
}

static uint16_t list_least(const struct cz_expr_store *store, const struct expr_node *node)
{
    uint16_t least = node->kind == EXPR_OR ? UINT16_MAX : 0;
    for (uint32_t i = 0; i < node->b; i++) {
        uint16_t part = store->nodes[store->pool[node->a + i]].least;
        least = (node->kind == EXPR_OR) == (part < least) ? part : least;
    }
    return least;
}

/* See expr_node.least. A derivative's is at most one less. */
static uint16_t node_least(const struct cz_expr_store *store, const struct expr_node *node)
{
    switch (node->kind) {
    case EXPR_SET:
        return 1;
    case EXPR_CONCAT:
        return at_most((uint64_t)store->nodes[node->a].least + store->nodes[node->b].least);
    case EXPR_REPEAT:
        return at_most((uint64_t)store->nodes[node->a].least * node->b);
    case EXPR_OR:
    case EXPR_AND:
        return list_least(store, node);
    case EXPR_NOT:
        return (node->facts & FACT_NULLABLE) == 0;
    default:
        return 0;
    }
}

static bool grow_table(struct cz_expr_store *store)
{
    uint32_t size = store->table_size ? store->table_size * 2 : FIRST_TABLE;
    uint32_t *table = cz_heap_zeroed(size, sizeof *table);
    if (!table)
        return false;
    for (uint32_t id = 1; id < store->count; id++) {
        uint32_t slot = (uint32_t)node_hash(store, &store->nodes[id]) & (size - 1);
        while (table[slot])
            slot = (slot + 1) & (size - 1);
        table[slot] = id;
    }
    cz_heap_free(store->table);
    store->table = table;
    store->table_size = size;
    return true;
}

/* The node's name, and the slot where a new one goes. */
static cz_expr find(const struct cz_expr_store *store, const struct expr_node *node, uint32_t *slot)
{
    *slot = (uint32_t)node_hash(store, node) & (store->table_size - 1);
    while (store->table[*slot]) {
        if (node_equal(store, node, &store->nodes[store->table[*slot]]))
            return store->table[*slot];
        *slot = (*slot + 1) & (store->table_size - 1);
    }
    return CZ_EXPR_NOTHING;
}

static cz_expr intern(struct cz_expr_store *store, struct expr_node node)
{
    uint32_t slot;
    if (store->failed != CLOZE_OK)
        return CZ_EXPR_NOTHING;
    if (store->count * 2 >= store->table_size && !grow_table(store))
        return cz_expr_fail(store, CLOZE_MEMORY);
    cz_expr found = find(store, &node, &slot);
    if (found)
        return found;
    if (store->limited && store->count >= CZ_EXPR_NODE_LIMIT)
        return cz_expr_fail(store, CLOZE_LIMIT);
    if (!grow((void **)&store->nodes, store->count, &store->capacity, 1, sizeof *store->nodes))
        return cz_expr_fail(store, CLOZE_MEMORY);
    node.facts = node_facts(store, &node);
    node.least = node_least(store, &node);
    store->nodes[store->count] = node;
    store->table[slot] = store->count;
    return store->count++;
}

cz_expr cz_expr_make(struct cz_expr_store *store, uint8_t kind, uint32_t a, uint32_t b, uint32_t c)
{
    return intern(store, (struct expr_node){.kind = kind, .a = a, .b = b, .c = c});
}

cz_expr cz_expr_make_list(struct cz_expr_store *store, uint8_t kind, cz_expr *parts, size_t count)
{
    if (count > UINT32_MAX / 4 || !grow((void **)&store->pool, store->pool_count,
                                        &store->pool_capacity, (uint32_t)count, sizeof *parts))
        return cz_expr_fail(store, CLOZE_MEMORY);
    uint32_t first = store->pool_count;
    memcpy(store->pool + first, parts, count * sizeof *parts);
    uint32_t before = store->count;
    cz_expr made = cz_expr_make(store, kind, first, (uint32_t)count, 0);
    if (store->count != before)
        store->pool_count += (uint32_t)count;
    return made;
}

bool cz_expr_set_has(const struct cz_expr_store *store, const struct expr_node *node, uint8_t byte)
{
    return store->sets[node->a][byte >> 6] >> (byte & 63) & 1;
}

cz_expr cz_expr_bytes(struct cz_expr_store *store, const uint64_t set[4])
{
    if (!(set[0] | set[1] | set[2] | set[3]))
        return CZ_EXPR_NOTHING;
    if (!grow((void **)&store->sets, store->set_count, &store->set_capacity, 1,
              sizeof *store->sets))
        return cz_expr_fail(store, CLOZE_MEMORY);
    memcpy(store->sets[store->set_count], set, sizeof *store->sets);
    uint32_t before = store->count;
    cz_expr made = cz_expr_make(store, EXPR_SET, store->set_count, 0, 0);
    store->set_count += store->count != before;
    return made;
}

cz_expr cz_expr_byte(struct cz_expr_store *store, uint8_t byte)
{
    uint64_t set[4] = {0};
    set[byte >> 6] = 1ull << (byte & 63);
    return cz_expr_bytes(store, set);
}

cz_expr cz_expr_literal(struct cz_expr_store *store, struct cz_slice text)
{
    cz_expr result = CZ_EXPR_EMPTY;
    for (size_t i = text.size; i-- > 0;)
        result = cz_expr_concat(store, cz_expr_byte(store, (uint8_t)text.data[i]), result);
    return result;
}

/* x{a,b} x{c,d} is x{a+c,b+d}. */
static cz_expr join_repeats(struct cz_expr_store *store, const struct expr_node *x,
                            const struct expr_node *y)
{
    uint64_t minimum = (uint64_t)x->b + y->b, maximum = (uint64_t)x->c + y->c;
    bool unbounded = x->c == CZ_EXPR_UNBOUNDED || y->c == CZ_EXPR_UNBOUNDED;
    if (minimum >= CZ_EXPR_UNBOUNDED || (!unbounded && maximum >= CZ_EXPR_UNBOUNDED))
        return CZ_EXPR_NOTHING;
    return cz_expr_make(store, EXPR_REPEAT, x->a, (uint32_t)minimum,
                        unbounded ? CZ_EXPR_UNBOUNDED : (uint32_t)maximum);
}

/* a is no CONCAT. */
static cz_expr prepend(struct cz_expr_store *store, cz_expr a, cz_expr b)
{
    if (a == CZ_EXPR_NOTHING || b == CZ_EXPR_NOTHING)
        return CZ_EXPR_NOTHING;
    if (a == CZ_EXPR_EMPTY || (a == CZ_EXPR_ANY && b == CZ_EXPR_ANY))
        return b;
    if (b == CZ_EXPR_EMPTY)
        return a;
    struct expr_node first = store->nodes[a], second = store->nodes[b];
    struct expr_node next = second.kind == EXPR_CONCAT ? store->nodes[second.a] : second;
    if (first.kind == EXPR_REPEAT && next.kind == EXPR_REPEAT && first.a == next.a) {
        cz_expr joined = join_repeats(store, &first, &next);
        if (joined)
            return second.kind == EXPR_CONCAT
                       ? cz_expr_make(store, EXPR_CONCAT, joined, second.b, 0)
                       : joined;
    }
    return cz_expr_make(store, EXPR_CONCAT, a, b, 0);
}

cz_expr cz_expr_concat(struct cz_expr_store *store, cz_expr first, cz_expr second)
{
    cz_expr stack[LIST_STACK], *items = stack;
    size_t count = 0, capacity = LIST_STACK;
    while (store->nodes[first].kind == EXPR_CONCAT) {
        if (count == capacity) {
            cz_expr *larger = cz_heap_alloc(capacity * 2 * sizeof *items);
            if (!larger)
                break;
            memcpy(larger, items, count * sizeof *items);
            if (items != stack)
                cz_heap_free(items);
            items = larger;
            capacity *= 2;
        }
        items[count++] = store->nodes[first].a;
        first = store->nodes[first].b;
    }
    cz_expr result = store->nodes[first].kind == EXPR_CONCAT
                         ? cz_expr_fail(store, CLOZE_MEMORY)
                         : prepend(store, first, second);
    while (count > 0)
        result = prepend(store, items[--count], result);
    if (items != stack)
        cz_heap_free(items);
    return result;
}

cz_expr cz_expr_repeat(struct cz_expr_store *store, cz_expr e, uint32_t minimum, uint32_t maximum)
{
    if (maximum < minimum)
        return CZ_EXPR_NOTHING;
    if (maximum == 0 || e == CZ_EXPR_EMPTY)
        return CZ_EXPR_EMPTY;
    if (e == CZ_EXPR_NOTHING)
        return minimum ? CZ_EXPR_NOTHING : CZ_EXPR_EMPTY;
    if (maximum == 1 && minimum == 1)
        return e;
    struct expr_node node = store->nodes[e];
    if (node.facts & FACT_NULLABLE)
        minimum = 0;
    if (e == CZ_EXPR_ANY)
        return e;
    if (node.kind == EXPR_REPEAT && node.c == CZ_EXPR_UNBOUNDED && node.b <= 1 &&
        (node.b == 0 || maximum == CZ_EXPR_UNBOUNDED))
        return cz_expr_make(store, EXPR_REPEAT, node.a, node.b ? minimum : 0, CZ_EXPR_UNBOUNDED);
    return cz_expr_make(store, EXPR_REPEAT, e, minimum, maximum);
}

cz_expr cz_expr_variable(struct cz_expr_store *store, bool nullable)
{
    if (!grow((void **)&store->bodies, store->body_count, &store->body_capacity, 1,
              sizeof *store->bodies))
        return cz_expr_fail(store, CLOZE_MEMORY);
    store->bodies[store->body_count] = CZ_EXPR_NOTHING;
    cz_expr made = cz_expr_make(store, EXPR_VARIABLE, store->body_count, nullable, 0);
    store->body_count += made != CZ_EXPR_NOTHING;
    return made;
}

void cz_expr_bind(struct cz_expr_store *store, cz_expr variable, cz_expr body)
{
    if (store->nodes[variable].kind == EXPR_VARIABLE)
        store->bodies[store->nodes[variable].a] = body;
}

cz_expr cz_expr_not(struct cz_expr_store *store, cz_expr e)
{
    if (store->failed != CLOZE_OK)
        return CZ_EXPR_NOTHING;
    if (e == CZ_EXPR_NOTHING)
        return CZ_EXPR_ANY;
    if (e == CZ_EXPR_ANY)
        return CZ_EXPR_NOTHING;
    if (store->nodes[e].kind == EXPR_NOT)
        return store->nodes[e].a;
    return cz_expr_make(store, EXPR_NOT, e, 0, 0);
}

/* Copies parts with nested lists of the same kind opened; the count, or SIZE_MAX without memory. */
static size_t flatten(const struct cz_expr_store *store, uint8_t kind, const cz_expr *parts,
                      size_t count, cz_expr **out)
{
    size_t total = 0, filled = 0;
    for (size_t i = 0; i < count; i++) {
        const struct expr_node *node = &store->nodes[parts[i]];
        total += node->kind == kind ? node->b : 1;
    }
    cz_expr *items = total <= LIST_STACK ? *out : cz_heap_alloc(total * sizeof *items);
    if (!items)
        return SIZE_MAX;
    *out = items;
    for (size_t i = 0; i < count; i++) {
        const struct expr_node *node = &store->nodes[parts[i]];
        if (node->kind == kind) {
            memcpy(items + filled, store->pool + node->a, node->b * sizeof *items);
            filled += node->b;
        } else {
            items[filled++] = parts[i];
        }
    }
    return total;
}

static size_t sort_unique(cz_expr *items, size_t count)
{
    bool sorted = true;
    for (size_t i = 1; i < count && sorted; i++)
        sorted = items[i - 1] < items[i];
    if (sorted)
        return count;
    if (count == 2) {
        cz_expr first = items[0];
        items[0] = items[1];
        items[1] = first;
        return items[0] == items[1] ? 1 : 2;
    }
    cz_words_sort(items, (uint32_t)count);
    size_t kept = 1;
    for (size_t i = 1; i < count; i++) {
        if (items[i] != items[kept - 1])
            items[kept++] = items[i];
    }
    return kept;
}

/* Joins the byte sets among the items into one (union for OR, intersection for AND). */
static size_t join_sets(struct cz_expr_store *store, uint8_t kind, cz_expr *items, size_t count)
{
    uint64_t joined[4];
    size_t kept = 0, sets = 0;
    for (size_t i = 0; i < count; i++) {
        const struct expr_node *node = &store->nodes[items[i]];
        if (node->kind != EXPR_SET) {
            items[kept++] = items[i];
            continue;
        }
        for (int w = 0; w < 4; w++) {
            uint64_t word = store->sets[node->a][w];
            joined[w] = !sets ? word : kind == EXPR_OR ? joined[w] | word : joined[w] & word;
        }
        sets++;
    }
    if (sets)
        items[kept++] = cz_expr_bytes(store, joined);
    if (sets > 1)
        return sort_unique(items, kept);
    cz_words_sort(items, (uint32_t)kept);
    return kept;
}

/* x and not x, or the empty string beside what decides it. */
static bool clashes(const struct cz_expr_store *store, const cz_expr *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct expr_node *node = &store->nodes[items[i]];
        if (node->kind == EXPR_NOT && cz_words_hold(items, (uint32_t)count, node->a))
            return true;
    }
    return false;
}

static cz_expr finish_or(struct cz_expr_store *store, cz_expr *items, size_t count)
{
    bool nullable = false;
    if (cz_words_hold(items, (uint32_t)count, CZ_EXPR_ANY) || clashes(store, items, count))
        return CZ_EXPR_ANY;
    for (size_t i = 0; i < count; i++)
        nullable |= items[i] > CZ_EXPR_EMPTY && (store->nodes[items[i]].facts & FACT_NULLABLE);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (items[i] != CZ_EXPR_NOTHING && !(items[i] == CZ_EXPR_EMPTY && nullable))
            items[kept++] = items[i];
    }
    if (kept <= 1)
        return kept ? items[0] : CZ_EXPR_NOTHING;
    return cz_expr_make_list(store, EXPR_OR, items, kept);
}

/* TEXT beside what matches nothing else says nothing; counters of the same bytes or characters become
 * one. */
static size_t join_counters(struct cz_expr_store *store, cz_expr *items, size_t count)
{
    size_t kept = 0;
    bool text = false;
    for (size_t i = 0; i < count; i++)
        text |= items[i] != CZ_EXPR_TEXT && (store->nodes[items[i]].facts & FACT_TEXT);
    for (size_t i = 0; i < count; i++) {
        if (items[i] != CZ_EXPR_TEXT || !text)
            items[kept++] = items[i];
    }
    for (size_t i = 0; i + 1 < kept; i++) {
        struct expr_node a = store->nodes[items[i]];
        if (a.kind != EXPR_REPEAT ||
            (a.a != CZ_EXPR_CHAR && store->nodes[a.a].kind != EXPR_SET))
            continue;
        for (size_t j = i + 1; j < kept; j++) {
            struct expr_node b = store->nodes[items[j]];
            if (b.kind != EXPR_REPEAT || b.a != a.a)
                continue;
            items[i] = cz_expr_repeat(store, a.a, a.b > b.b ? a.b : b.b, a.c < b.c ? a.c : b.c);
            memmove(items + j, items + j + 1, (--kept - j) * sizeof *items);
            return join_counters(store, items, sort_unique(items, kept));
        }
    }
    return kept;
}

static cz_expr finish_and(struct cz_expr_store *store, cz_expr *items, size_t count)
{
    size_t kept = 0;
    bool nullable = true;
    count = join_counters(store, items, count);
    if (cz_words_hold(items, (uint32_t)count, CZ_EXPR_NOTHING) || clashes(store, items, count))
        return CZ_EXPR_NOTHING;
    for (size_t i = 0; i < count; i++) {
        nullable &= (store->nodes[items[i]].facts & FACT_NULLABLE) != 0;
        if (items[i] != CZ_EXPR_ANY)
            items[kept++] = items[i];
    }
    if (cz_words_hold(items, (uint32_t)kept, CZ_EXPR_EMPTY))
        return nullable ? CZ_EXPR_EMPTY : CZ_EXPR_NOTHING;
    if (kept <= 1)
        return kept ? items[0] : CZ_EXPR_ANY;
    return cz_expr_make_list(store, EXPR_AND, items, kept);
}

static cz_expr make_list(struct cz_expr_store *store, uint8_t kind, const cz_expr *parts,
                         size_t count)
{
    cz_expr stack[LIST_STACK], *items = stack;
    size_t total = flatten(store, kind, parts, count, &items);
    if (total == SIZE_MAX)
        return cz_expr_fail(store, CLOZE_MEMORY);
    total = sort_unique(items, total);
    total = join_sets(store, kind, items, total);
    cz_expr result = kind == EXPR_OR ? finish_or(store, items, total)
                                     : finish_and(store, items, total);
    if (items != stack)
        cz_heap_free(items);
    return store->failed == CLOZE_OK ? result : CZ_EXPR_NOTHING;
}

cz_expr cz_expr_or_many(struct cz_expr_store *store, const cz_expr *parts, size_t count)
{
    return make_list(store, EXPR_OR, parts, count);
}

cz_expr cz_expr_and_many(struct cz_expr_store *store, const cz_expr *parts, size_t count)
{
    return make_list(store, EXPR_AND, parts, count);
}

cz_expr cz_expr_or(struct cz_expr_store *store, cz_expr a, cz_expr b)
{
    if (a == b || b == CZ_EXPR_NOTHING)
        return a;
    return a == CZ_EXPR_NOTHING ? b : make_list(store, EXPR_OR, (cz_expr[]){a, b}, 2);
}

cz_expr cz_expr_and(struct cz_expr_store *store, cz_expr a, cz_expr b)
{
    if (a == b || b == CZ_EXPR_ANY)
        return a;
    return a == CZ_EXPR_ANY ? b : make_list(store, EXPR_AND, (cz_expr[]){a, b}, 2);
}

cz_expr cz_expr_minus(struct cz_expr_store *store, cz_expr a, cz_expr b)
{
    return cz_expr_and(store, a, cz_expr_not(store, b));
}

static int compare_slices(const void *x, const void *y)
{
    return cz_slice_compare(*(const struct cz_slice *)x, *(const struct cz_slice *)y);
}

/* The texts, sorted, from their byte `depth` on. */
static cz_expr literal_trie(struct cz_expr_store *store, const struct cz_slice *texts, size_t count,
                            size_t depth)
{
    cz_expr branches[257];
    size_t filled = 0, i = 0;
    if (count == 1)
        return cz_expr_literal(store, cz_slice_of(texts->data + depth, texts->size - depth));
    for (; i < count && texts[i].size == depth; i++)
        branches[0] = CZ_EXPR_EMPTY, filled = 1;
    while (i < count) {
        size_t shared = depth + 1, end = i + 1;
        uint8_t byte = (uint8_t)texts[i].data[depth];
        while (end < count && (uint8_t)texts[end].data[depth] == byte)
            end++;
        const struct cz_slice *last = &texts[end - 1];
        while (shared < texts[i].size && shared < last->size &&
               texts[i].data[shared] == last->data[shared])
            shared++;
        cz_expr rest = literal_trie(store, texts + i, end - i, shared);
        for (size_t at = shared; at-- > depth;)
            rest = prepend(store, cz_expr_byte(store, (uint8_t)texts[i].data[at]), rest);
        branches[filled++] = rest;
        i = end;
    }
    return cz_expr_or_many(store, branches, filled);
}

cz_expr cz_expr_literals(struct cz_expr_store *store, const struct cz_slice *texts, size_t count)
{
    if (count == 0)
        return CZ_EXPR_NOTHING;
    struct cz_slice *sorted = cz_heap_alloc(count * sizeof *sorted);
    if (!sorted)
        return cz_expr_fail(store, CLOZE_MEMORY);
    memcpy(sorted, texts, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_slices);
    size_t kept = 1;
    for (size_t i = 1; i < count; i++) {
        if (!cz_slice_equal(sorted[i], sorted[kept - 1]))
            sorted[kept++] = sorted[i];
    }
    cz_expr result = literal_trie(store, sorted, kept, 0);
    cz_heap_free(sorted);
    return result;
}

/* CZ_EXPR_CHAR and CZ_EXPR_TEXT have fixed names, so their places are taken first and filled when
 * the parts exist. */
static void make_text(struct cz_expr_store *store)
{
    const struct cz_code_range all = {0, 0x10FFFF};
    store->count = CZ_EXPR_TEXT + 1;
    cz_expr any_char = cz_expr_code_points(store, &all, 1);
    if (store->failed != CLOZE_OK)
        return;
    uint32_t slot;
    find(store, &store->nodes[any_char], &slot);
    store->nodes[CZ_EXPR_CHAR] = store->nodes[any_char];
    store->table[slot] = CZ_EXPR_CHAR;
    store->nodes[CZ_EXPR_TEXT] = (struct expr_node){
        .kind = EXPR_REPEAT, .a = CZ_EXPR_CHAR, .b = 0, .c = CZ_EXPR_UNBOUNDED};
    store->nodes[CZ_EXPR_TEXT].facts = node_facts(store, &store->nodes[CZ_EXPR_TEXT]);
    find(store, &store->nodes[CZ_EXPR_TEXT], &slot);
    store->table[slot] = CZ_EXPR_TEXT;
    if (any_char + 1 == store->count)
        store->count--;
}

struct cz_expr_store *cz_expr_store_create(void)
{
    struct cz_expr_store *store = cz_heap_zeroed(1, sizeof *store);
    if (!store)
        return NULL;
    store->limited = true;
    store->fuel = CZ_EXPR_FUEL;
    if (!grow((void **)&store->nodes, 0, &store->capacity, FIRST_NODES, sizeof *store->nodes) ||
        !grow_table(store)) {
        cz_expr_store_free(store);
        return NULL;
    }
    memset(store->nodes, 0, FIRST_NODES * sizeof *store->nodes);
    for (uint8_t kind = EXPR_NOTHING; kind <= EXPR_ANY; kind++) {
        store->nodes[kind].kind = kind;
        store->nodes[kind].facts = node_facts(store, &store->nodes[kind]);
    }
    make_text(store);
    if (store->failed != CLOZE_OK) {
        cz_expr_store_free(store);
        return NULL;
    }
    return store;
}

uint32_t cz_expr_store_count(const struct cz_expr_store *store)
{
    return store->count;
}

void cz_expr_store_free(struct cz_expr_store *store)
{
    if (!store)
        return;
    cz_heap_free(store->nodes);
    cz_heap_free(store->pool);
    cz_heap_free(store->sets);
    cz_heap_free(store->bodies);
    cz_heap_free(store->table);
    cz_heap_free(store->memo);
    cz_heap_free(store);
}

void cz_expr_unlimit(struct cz_expr_store *store)
{
    store->limited = false;
}

size_t cz_expr_store_bytes(const struct cz_expr_store *store)
{
    return sizeof *store + store->capacity * sizeof *store->nodes +
           store->pool_capacity * sizeof *store->pool + store->set_capacity * sizeof *store->sets +
           store->table_size * sizeof *store->table + store->memo_size * sizeof *store->memo;
}

cloze_status cz_expr_status(const struct cz_expr_store *store, struct cloze_error *error)
{
    if (store->failed == CLOZE_OK)
        return CLOZE_OK;
    if (store->failed == CLOZE_MEMORY)
        return cz_fail_memory(error, "a regular expression");
    return cz_fail(error, store->failed, NULL,
                   "a pattern, or a combination of patterns, needs too many states to decide what "
                   "can match (limit: %d nodes, %d steps)",
                   CZ_EXPR_NODE_LIMIT, CZ_EXPR_FUEL);
}
