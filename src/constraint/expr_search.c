/*
 * expr_search.c - what is answered by taking derivatives: is anything left, what is the shortest
 * match, how many are there.
 *
 * A search goes over residual expressions, one byte of each class that the residual tells apart;
 * first where the bytes read and the fewest that must still come (a lower bound that is known of
 * every node) are fewest together, and of equals deepest. So it walks straight to the end of a text
 * of given length, and what it finds is shortest. What it learns about a node is kept in its facts.
 */
#include "constraint/expr_internal.h"

#include "base/heap.h"

/* ---- Searches ---- */

struct step {
    cz_expr expr;
    uint32_t parent; /* index of the step before */
    uint32_t depth;
    uint8_t byte;
};

struct search {
    struct step *steps;
    uint32_t count, capacity;
    uint32_t *seen; /* hash set of step index + 1 */
    uint32_t seen_size;
    uint32_t *open; /* heap of step indices that were not looked at yet */
    uint32_t open_count;
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

static bool search_grow(struct search *search)
{
    uint32_t size = search->seen_size ? search->seen_size * 2 : 64;
    uint32_t *seen = cz_heap_zeroed(size, sizeof *seen);
    struct step *steps = cz_heap_resize(search->steps, size * sizeof *steps);
    if (steps)
        search->steps = steps;
    uint32_t *open = cz_heap_resize(search->open, size * sizeof *open);
    if (open)
        search->open = open;
    if (!seen || !steps || !open) {
        cz_heap_free(seen);
        return false;
    }
    cz_heap_free(search->seen);
    search->seen = seen;
    search->seen_size = size;
    for (uint32_t i = 0; i < search->count; i++)
        seen_add(search, i);
    return true;
}

/* Whether step a is to be looked at before b. */
static bool before(const struct cz_expr_store *store, const struct search *search, uint32_t a,
                   uint32_t b)
{
    const struct step *x = &search->steps[a], *y = &search->steps[b];
    uint64_t first = (uint64_t)x->depth + store->nodes[x->expr].least;
    uint64_t second = (uint64_t)y->depth + store->nodes[y->expr].least;
    return first != second ? first < second : x->depth != y->depth ? x->depth > y->depth : a < b;
}

static void open_push(const struct cz_expr_store *store, struct search *search, uint32_t index)
{
    uint32_t at = search->open_count++;
    for (; at > 0 && before(store, search, index, search->open[(at - 1) / 2]); at = (at - 1) / 2)
        search->open[at] = search->open[(at - 1) / 2];
    search->open[at] = index;
}

static uint32_t open_pop(const struct cz_expr_store *store, struct search *search)
{
    uint32_t top = search->open[0], last = search->open[--search->open_count], at = 0;
    for (;;) {
        uint32_t child = at * 2 + 1;
        if (child >= search->open_count)
            break;
        if (child + 1 < search->open_count &&
            before(store, search, search->open[child + 1], search->open[child]))
            child++;
        if (!before(store, search, search->open[child], last))
            break;
        search->open[at] = search->open[child];
        at = child;
    }
    search->open[at] = last;
    return top;
}

/* Adds a state unless it was reached before; false without memory. */
static bool search_add(const struct cz_expr_store *store, struct search *search, cz_expr e,
                       uint32_t parent, uint8_t byte)
{
    if (search->count * 2 >= search->seen_size && !search_grow(search))
        return false;
    uint32_t depth = search->count ? search->steps[parent].depth + 1 : 0;
    search->steps[search->count] = (struct step){e, parent, depth, byte};
    if (seen_add(search, search->count))
        open_push(store, search, search->count++);
    return true;
}

static void search_free(struct search *search)
{
    cz_heap_free(search->steps);
    cz_heap_free(search->seen);
    cz_heap_free(search->open);
}

enum { LONG = 128 }; /* steps */
enum { EXHAUSTED = -1, FAILED = -2, UNFINISHED = -3 };

/* Goes on until one of the `stop` facts is met or there are so many steps; the step's index, or one
 * of the reasons above. */
static int64_t search_run(struct cz_expr_store *store, struct search *search, uint8_t stop,
                          uint32_t most)
{
    struct expr_class classes[256];
    while (search->open_count) {
        if (search->count > most)
            return UNFINISHED;
        uint32_t at = open_pop(store, search);
        cz_expr state = search->steps[at].expr;
        if (store->nodes[state].facts & stop)
            return at;
        unsigned count = expr_classes(store, state, classes);
        for (unsigned i = 0; i < count; i++) {
            cz_expr next = cz_expr_derive(store, state, classes[i].first);
            if (store->limited && store->fuel-- == 0) {
                store->fuel = 0;
                cz_expr_fail(store, CLOZE_LIMIT);
            }
            if (store->failed != CLOZE_OK)
                return FAILED;
            if (!(store->nodes[next].facts & FACT_DEAD) &&
                !search_add(store, search, next, at, classes[i].first))
                return FAILED;
        }
    }
    return EXHAUSTED;
}

static bool search_alive(struct cz_expr_store *store, cz_expr e)
{
    struct search search = {0};
    const uint8_t stop = FACT_NULLABLE | FACT_ALIVE;
    int64_t found =
        search_add(store, &search, e, 0, 0) ? search_run(store, &search, stop, LONG) : FAILED;
    if (found == UNFINISHED && expr_lacks_bytes(store, e)) {
        store->nodes[e].facts |= FACT_DEAD;
        search_free(&search);
        return false;
    }
    if (found == UNFINISHED)
        found = search_run(store, &search, stop, UINT32_MAX);
    if (found >= 0) {
        for (uint32_t at = (uint32_t)found;; at = search.steps[at].parent) {
            store->nodes[search.steps[at].expr].facts |= FACT_ALIVE;
            if (at == 0)
                break;
        }
    } else if (found == EXHAUSTED) {
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
    int64_t found = search_add(store, &search, e, 0, 0)
                        ? search_run(store, &search, FACT_NULLABLE, UINT32_MAX)
                        : FAILED;
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
            level->weights[i] =
                level->weights[i] + weight > limit ? limit : level->weights[i] + weight;
            return true;
        }
    }
    if (level->count == level->capacity) {
        size_t capacity = level->capacity ? level->capacity * 2 : 16;
        cz_expr *exprs = cz_heap_resize(level->exprs, capacity * sizeof *exprs);
        level->exprs = exprs ? exprs : level->exprs;
        size_t *weights = cz_heap_resize(level->weights, capacity * sizeof *weights);
        level->weights = weights ? weights : level->weights;
        if (!exprs || !weights)
            return false;
        level->capacity = capacity;
    }
    level->exprs[level->count] = e;
    level->weights[level->count++] = weight;
    return true;
}

static size_t size_of(const struct expr_class *class)
{
    size_t size = 0;
    for (unsigned w = 0; w < 4; w++)
        size += (size_t)__builtin_popcountll(class->bytes[w]);
    return size;
}

static bool next_level(struct cz_expr_store *store, const struct level *from, struct level *to,
                       size_t limit)
{
    struct expr_class classes[256];
    to->count = 0;
    for (size_t i = 0; i < from->count; i++) {
        unsigned count = expr_classes(store, from->exprs[i], classes);
        for (unsigned j = 0; j < count; j++) {
            cz_expr next = cz_expr_derive(store, from->exprs[i], classes[j].first);
            if (!cz_expr_alive(store, next))
                continue;
            size_t weight = from->weights[i] * size_of(&classes[j]);
            if (!level_add(to, next, weight > limit ? limit : weight, limit))
                return false;
        }
    }
    return store->failed == CLOZE_OK;
}

/* At least so many matches, as far as `depth` bytes and `width` states of each depth tell. */
static size_t count_matches(struct cz_expr_store *store, cz_expr e, size_t limit, size_t depth,
                            size_t width)
{
    struct level levels[2] = {{0}};
    size_t total = 0;
    bool good = true;
    unsigned now = 0;
    if (store->nodes[e].facts & FACT_OPEN)
        return limit;
    if (cz_expr_alive(store, e))
        good = level_add(&levels[0], e, 1, limit);
    for (; good && total < limit && levels[now].count && depth > 0; depth--) {
        if (levels[now].count > width)
            levels[now].count = width;
        for (size_t i = 0; i < levels[now].count; i++)
            total += cz_expr_nullable(store, levels[now].exprs[i]) ? levels[now].weights[i] : 0;
        good = next_level(store, &levels[now], &levels[1 - now], limit);
        now = 1 - now;
    }
    for (int i = 0; i < 2; i++) {
        cz_heap_free(levels[i].exprs);
        cz_heap_free(levels[i].weights);
    }
    return !good || total > limit ? limit : total;
}

size_t cz_expr_count(struct cz_expr_store *store, cz_expr e, size_t limit)
{
    return count_matches(store, e, limit, SIZE_MAX, SIZE_MAX);
}

bool cz_expr_has_many(struct cz_expr_store *store, cz_expr e, size_t limit)
{
    enum { DEPTH = 64, WIDTH = 32 };
    return store->failed == CLOZE_OK && count_matches(store, e, limit, DEPTH, WIDTH) >= limit;
}
