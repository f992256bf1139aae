/*
 * expr_automaton.c - derivatives, and the questions that are answered by taking them: is anything
 * left, what is the shortest match, how many are there.
 *
 * Searches go breadth first over residual expressions, one byte of each class that the residual
 * tells apart; what a search learns about a node is kept in its facts.
 */
#include "constraint/expr_internal.h"

#include <stdlib.h>

enum { DERIVE_DEPTH = 20000, CLASS_SETS = 512, LIST_STACK = 64 };

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
    if (node.b > LIST_STACK && !(parts = malloc(node.b * sizeof *parts)))
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
    cz_expr result = count == 0   ? CZ_EXPR_NOTHING
                     : count == 1 ? parts[0]
                     : node.kind == EXPR_OR ? cz_expr_or_many(store, parts, count)
                                            : cz_expr_and_many(store, parts, count);
    if (parts != stack)
        free(parts);
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
        struct expr_memo *memo = calloc(size, sizeof *memo);
        if (memo) {
            free(store->memo);
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

struct classes {
    uint8_t of[256];
    uint16_t sizes[256]; /* [count] */
    unsigned count;
};

static void split_byte(struct classes *classes, unsigned byte)
{
    if (classes->sizes[classes->of[byte]] == 1)
        return;
    classes->sizes[classes->of[byte]]--;
    classes->sizes[classes->count] = 1;
    classes->of[byte] = (uint8_t)classes->count++;
}

static void split(struct classes *classes, const uint64_t set[4])
{
    uint16_t inside[256], moved[256];
    unsigned before = classes->count, bits = 0;
    for (int w = 0; w < 4; w++)
        bits += (unsigned)__builtin_popcountll(set[w]);
    if (bits == 1) {
        for (unsigned w = 0; w < 4; w++) {
            if (set[w])
                split_byte(classes, w * 64 + (unsigned)__builtin_ctzll(set[w]));
        }
        return;
    }
    memset(inside, 0, before * sizeof *inside);
    memset(moved, 0, before * sizeof *moved);
    for (unsigned w = 0; w < 4; w++) {
        for (uint64_t left = set[w]; left; left &= left - 1)
            inside[classes->of[w * 64 + (unsigned)__builtin_ctzll(left)]]++;
    }
    for (unsigned class = 0; class < before; class++) {
        if (inside[class] == 0 || inside[class] == classes->sizes[class])
            continue;
        moved[class] = (uint16_t)classes->count;
        classes->sizes[class] = (uint16_t)(classes->sizes[class] - inside[class]);
        classes->sizes[classes->count++] = inside[class];
    }
    if (classes->count == before)
        return;
    for (unsigned w = 0; w < 4; w++) {
        for (uint64_t left = set[w]; left; left &= left - 1) {
            uint8_t *class = &classes->of[w * 64 + (unsigned)__builtin_ctzll(left)];
            if (moved[*class])
                *class = (uint8_t)moved[*class];
        }
    }
}

struct collector {
    struct classes classes;
    unsigned visits;
};

static void collect(const struct cz_expr_store *store, cz_expr e, struct collector *collector)
{
    const struct expr_node *node = &store->nodes[e];
    if (collector->visits >= CLASS_SETS * 8)
        return;
    collector->visits++;
    switch (node->kind) {
    case EXPR_SET:
        if (collector->classes.count < 256)
            split(&collector->classes, store->sets[node->a]);
        break;
    case EXPR_CONCAT:
        collect(store, node->a, collector);
        if (store->nodes[node->a].facts & FACT_NULLABLE)
            collect(store, node->b, collector);
        break;
    case EXPR_NOT:
    case EXPR_REPEAT:
        collect(store, node->a, collector);
        break;
    case EXPR_VARIABLE:
        collect(store, store->bodies[node->a], collector);
        break;
    case EXPR_OR:
    case EXPR_AND:
        for (uint32_t i = 0; i < node->b; i++)
            collect(store, store->pool[node->a + i], collector);
        break;
    default:
        break;
    }
}

/* One byte of each class, and the class sizes; returns how many. */
static unsigned representatives(const struct cz_expr_store *store, cz_expr e, uint8_t bytes[256],
                                uint16_t sizes[256])
{
    struct collector collector = {.classes.count = 1, .classes.sizes = {256}};
    collect(store, e, &collector);
    if (collector.visits >= CLASS_SETS * 8) {
        for (unsigned i = 0; i < 256; i++)
            bytes[i] = (uint8_t)i, sizes[i] = 1;
        return 256;
    }
    memset(sizes, 0, 256 * sizeof *sizes);
    for (unsigned i = 256; i-- > 0;) {
        bytes[collector.classes.of[i]] = (uint8_t)i;
        sizes[collector.classes.of[i]]++;
    }
    return collector.classes.count;
}

unsigned cz_expr_classes(const struct cz_expr_store *store, cz_expr e, uint8_t of[256])
{
    struct collector collector = {.classes.count = 1, .classes.sizes = {256}};
    collect(store, e, &collector);
    if (collector.visits < CLASS_SETS * 8 && collector.classes.count < 256) {
        memcpy(of, collector.classes.of, 256);
        return collector.classes.count;
    }
    for (unsigned i = 0; i < 256; i++)
        of[i] = (uint8_t)i;
    return 256;
}

cz_expr cz_expr_clamp(struct cz_expr_store *store, cz_expr e, uint32_t bytes)
{
    struct expr_node node = store->nodes[e];
    if (node.kind != EXPR_REPEAT || node.a != CZ_EXPR_CHAR)
        return e;
    uint32_t minimum = node.b > bytes ? bytes + 1 : node.b;
    return cz_expr_repeat(store, node.a, minimum, node.c >= bytes ? CZ_EXPR_UNBOUNDED : node.c);
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

void cz_expr_first(struct cz_expr_store *store, cz_expr e, uint64_t set[4])
{
    struct collector collector = {.classes.count = 1, .classes.sizes = {256}};
    uint8_t live[256] = {0};
    collect(store, e, &collector);
    bool exact = collector.visits < CLASS_SETS * 8;
    memset(set, 0, 4 * sizeof *set);
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t class = exact ? collector.classes.of[byte] : (uint8_t)byte;
        if (!live[class])
            live[class] = cz_expr_derive(store, e, (uint8_t)byte) ? 2 : 1;
        if (live[class] == 2)
            set[byte >> 6] |= 1ull << (byte & 63);
    }
}

/* ---- Searches ---- */

struct step {
    cz_expr expr;
    uint32_t parent; /* index of the step before */
    uint8_t byte;
};

struct search {
    struct step *steps;
    uint32_t count, capacity;
    uint32_t *seen; /* hash set of step index + 1 */
    uint32_t seen_size;
};

static bool seen_add(struct search *search, uint32_t index)
{
    cz_expr e = search->steps[index].expr;
    uint32_t slot = (e * 0x9E3779B1u) & (search->seen_size - 1);
    for (; search->seen[slot]; slot = (slot + 1) & (search->seen_size - 1)) {
        if (search->steps[search->seen[slot] - 1].expr == e)
            return false;
    }
    search->seen[slot] = index + 1;
    return true;
}

/* Adds a state unless it was reached before; false without memory. */
static bool search_add(struct search *search, cz_expr e, uint32_t parent, uint8_t byte)
{
    if (search->count * 2 >= search->seen_size) {
        uint32_t size = search->seen_size ? search->seen_size * 2 : 64;
        uint32_t *seen = calloc(size, sizeof *seen);
        struct step *steps = realloc(search->steps, size * sizeof *steps);
        if (steps)
            search->steps = steps;
        if (!seen || !steps) {
            free(seen);
            return false;
        }
        free(search->seen);
        search->seen = seen;
        search->seen_size = size;
        for (uint32_t i = 0; i < search->count; i++)
            seen_add(search, i);
    }
    search->steps[search->count] = (struct step){e, parent, byte};
    search->count += seen_add(search, search->count);
    return true;
}

static void search_free(struct search *search)
{
    free(search->steps);
    free(search->seen);
}

/* Breadth first from e until `stop` facts are met; the step's index, or -1 when there is none, or -2
 * when the search could not end. */
static int64_t search_run(struct cz_expr_store *store, struct search *search, cz_expr e,
                          uint8_t stop)
{
    uint8_t bytes[256];
    uint16_t sizes[256];
    if (!search_add(search, e, 0, 0))
        return -2;
    for (uint32_t at = 0; at < search->count; at++) {
        cz_expr state = search->steps[at].expr;
        if (store->nodes[state].facts & stop)
            return at;
        unsigned count = representatives(store, state, bytes, sizes);
        for (unsigned i = 0; i < count; i++) {
            cz_expr next = cz_expr_derive(store, state, bytes[i]);
            if (store->limited && store->fuel-- == 0) {
                store->fuel = 0;
                cz_expr_fail(store, CLOZE_LIMIT);
            }
            if (store->failed != CLOZE_OK)
                return -2;
            if (store->nodes[next].facts & FACT_DEAD)
                continue;
            if (!search_add(search, next, at, bytes[i]))
                return -2;
        }
    }
    return -1;
}

static bool search_alive(struct cz_expr_store *store, cz_expr e)
{
    struct search search = {0};
    int64_t found = search_run(store, &search, e, FACT_NULLABLE | FACT_ALIVE);
    if (found >= 0) {
        for (uint32_t at = (uint32_t)found;; at = search.steps[at].parent) {
            store->nodes[search.steps[at].expr].facts |= FACT_ALIVE;
            if (at == 0)
                break;
        }
    } else if (found == -1) {
        for (uint32_t i = 0; i < search.count; i++)
            store->nodes[search.steps[i].expr].facts |= FACT_DEAD;
    } else {
        cz_expr_fail(store, CLOZE_MEMORY);
    }
    search_free(&search);
    return found >= 0;
}

bool cz_expr_alive(struct cz_expr_store *store, cz_expr e)
{
    struct expr_node node = store->nodes[e];
    if (node.facts & (FACT_ALIVE | FACT_DEAD))
        return node.facts & FACT_ALIVE;
    bool alive = false;
    if (node.kind == EXPR_CONCAT) {
        alive = cz_expr_alive(store, node.a) && cz_expr_alive(store, node.b);
    } else if (node.kind == EXPR_OR) {
        for (uint32_t i = 0; i < node.b && !alive; i++)
            alive = cz_expr_alive(store, store->pool[node.a + i]);
    } else if (node.kind == EXPR_REPEAT) {
        alive = cz_expr_alive(store, node.a);
    } else {
        return search_alive(store, e);
    }
    if (store->failed == CLOZE_OK)
        store->nodes[e].facts |= alive ? FACT_ALIVE : FACT_DEAD;
    return alive;
}

bool cz_expr_shortest(struct cz_expr_store *store, cz_expr e, struct cz_buffer *out)
{
    struct search search = {0};
    if (!cz_expr_alive(store, e))
        return false;
    int64_t found = search_run(store, &search, e, FACT_NULLABLE);
    if (found >= 0) {
        size_t size = 0;
        for (uint32_t at = (uint32_t)found; at; at = search.steps[at].parent)
            size++;
        char *text = cz_buffer_reserve(out, size);
        for (uint32_t at = (uint32_t)found, i = 1; text && at; at = search.steps[at].parent, i++)
            text[size - i] = (char)search.steps[at].byte;
        out->size += text ? size : 0;
    }
    search_free(&search);
    return found >= 0 && !out->failed;
}

/* ---- Counting: level by level, each state with the number of strings that lead to it ---- */

struct level {
    cz_expr *exprs;
    size_t *weights;
    size_t count, capacity;
};

static bool level_add(struct level *level, cz_expr e, size_t weight, size_t limit)
{
    for (size_t i = 0; i < level->count; i++) {
        if (level->exprs[i] == e) {
            level->weights[i] = level->weights[i] + weight > limit ? limit
                                                                   : level->weights[i] + weight;
            return true;
        }
    }
    if (level->count == level->capacity) {
        size_t capacity = level->capacity ? level->capacity * 2 : 16;
        cz_expr *exprs = realloc(level->exprs, capacity * sizeof *exprs);
        level->exprs = exprs ? exprs : level->exprs;
        size_t *weights = realloc(level->weights, capacity * sizeof *weights);
        level->weights = weights ? weights : level->weights;
        if (!exprs || !weights)
            return false;
        level->capacity = capacity;
    }
    level->exprs[level->count] = e;
    level->weights[level->count++] = weight;
    return true;
}

static bool next_level(struct cz_expr_store *store, const struct level *from, struct level *to,
                       size_t limit)
{
    uint8_t bytes[256];
    uint16_t sizes[256];
    to->count = 0;
    for (size_t i = 0; i < from->count; i++) {
        unsigned count = representatives(store, from->exprs[i], bytes, sizes);
        for (unsigned j = 0; j < count; j++) {
            cz_expr next = cz_expr_derive(store, from->exprs[i], bytes[j]);
            if (!cz_expr_alive(store, next))
                continue;
            size_t weight = from->weights[i] * sizes[j];
            if (!level_add(to, next, weight > limit ? limit : weight, limit))
                return false;
        }
    }
    return store->failed == CLOZE_OK;
}

size_t cz_expr_count(struct cz_expr_store *store, cz_expr e, size_t limit)
{
    struct level levels[2] = {{0}};
    size_t total = 0;
    bool good = true;
    unsigned now = 0;
    if (store->nodes[e].facts & FACT_OPEN)
        return limit;
    if (cz_expr_alive(store, e))
        good = level_add(&levels[0], e, 1, limit);
    while (good && total < limit && levels[now].count) {
        for (size_t i = 0; i < levels[now].count; i++)
            total += cz_expr_nullable(store, levels[now].exprs[i]) ? levels[now].weights[i] : 0;
        good = next_level(store, &levels[now], &levels[1 - now], limit);
        now = 1 - now;
    }
    for (int i = 0; i < 2; i++) {
        free(levels[i].exprs);
        free(levels[i].weights);
    }
    return !good || total > limit ? limit : total;
}
