/*
 * trie.c - tries of tokens in depth-first order, and the characters that stand in their parts.
 *
 * A walk that stands where any text of some characters may follow needs not look into a subtree that
 * is made of them: for that every node knows the characters at and below it. There are few different
 * such sets, so nodes hold their numbers.
 */
#include "constraint/trie.h"

#include "base/heap.h"

#include <stdlib.h>
#include <string.h>

/* ---- Building ---- */

static uint64_t head_of(struct cz_slice text)
{
    uint64_t head = 0;
    for (size_t i = 0; i < 8; i++)
        head = head << 8 | (i < text.size ? (uint8_t)text.data[i] : 0);
    return head;
}

struct cz_trie_entry cz_trie_entry(struct cz_slice text, uint32_t token)
{
    return (struct cz_trie_entry){head_of(text), token, (uint32_t)text.size, text.data};
}

static int compare_entries(const void *x, const void *y)
{
    const struct cz_trie_entry *a = x, *b = y;
    if (a->head != b->head)
        return a->head < b->head ? -1 : 1;
    uint32_t shorter = a->size < b->size ? a->size : b->size;
    int order = memcmp(a->data, b->data, shorter);
    if (order == 0)
        order = (a->size > b->size) - (a->size < b->size);
    return order ? order : (a->token > b->token) - (a->token < b->token);
}

void cz_trie_sort(struct cz_trie_entry *entries, size_t count)
{
    qsort(entries, count, sizeof *entries, compare_entries);
}

static uint32_t shared_prefix(const struct cz_trie_entry *a, const struct cz_trie_entry *b)
{
    uint32_t size = a->size < b->size ? a->size : b->size, i = 0;
    while (i < size && a->data[i] == b->data[i])
        i++;
    return i;
}

enum { WIDE = 8 }; /* children */

static uint32_t count_children(const struct cz_trie *trie, uint32_t at)
{
    uint32_t count = 0;
    for (uint32_t i = at + 1; i < at + trie->nodes[at].skip; i += trie->nodes[i].skip)
        count++;
    return count;
}

static bool list_children(struct cz_trie *trie)
{
    uint32_t nodes = 0, children = 0;
    for (uint32_t i = 0; i < trie->count; i++) {
        uint32_t count = trie->nodes[i].skip > WIDE ? count_children(trie, i) : 0;
        if (count < WIDE)
            continue;
        trie->nodes[i].wide = ++nodes & INT32_MAX;
        children += count;
    }
    trie->wide_first = cz_heap_alloc(((size_t)nodes + 1) * sizeof *trie->wide_first);
    trie->wide_nodes = cz_heap_alloc(((size_t)children + 1) * sizeof *trie->wide_nodes);
    trie->wide_bytes = cz_heap_alloc((size_t)children + 1);
    if (!trie->wide_first || !trie->wide_nodes || !trie->wide_bytes)
        return false;
    children = 0;
    for (uint32_t i = 0; i < trie->count; i++) {
        if (!trie->nodes[i].wide)
            continue;
        trie->wide_first[trie->nodes[i].wide - 1] = children;
        for (uint32_t j = i + 1; j < i + trie->nodes[i].skip; j += trie->nodes[j].skip) {
            trie->wide_bytes[children] = trie->nodes[j].byte;
            trie->wide_nodes[children++] = j;
        }
    }
    trie->wide_first[nodes] = children;
    return true;
}

bool cz_trie_build(struct cz_trie *trie, const struct cz_trie_entry *entries, size_t count,
                   uint32_t tokens)
{
    size_t total = 1;
    uint32_t open[CZ_TOKEN_LONGEST + 1];
    for (size_t i = 0; i < count; i++)
        total += entries[i].size - (i ? shared_prefix(&entries[i - 1], &entries[i]) : 0);
    struct cz_trie_node *nodes = cz_heap_zeroed(total, sizeof *nodes);
    trie->nodes = nodes;
    trie->same = cz_heap_alloc(((size_t)tokens + 1) * sizeof *trie->same);
    if (!nodes || !trie->same)
        return false;
    memset(trie->same, 0xFF, ((size_t)tokens + 1) * sizeof *trie->same);
    uint32_t made = 1, depth = 0;
    nodes[0].token = UINT32_MAX;
    open[0] = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t keep = i ? shared_prefix(&entries[i - 1], &entries[i]) : 0;
        if (i && keep == entries[i].size && entries[i - 1].size == keep) {
            trie->same[entries[i - 1].token] = entries[i].token;
            nodes[made - 1].chained = true;
            continue;
        }
        for (; depth > keep; depth--)
            nodes[open[depth]].skip = made - open[depth];
        while (depth < entries[i].size) {
            struct cz_trie_node *node = &nodes[made];
            node->byte = (uint8_t)entries[i].data[depth++];
            node->token = UINT32_MAX;
            node->depth = (uint16_t)depth;
            open[depth] = made++;
        }
        nodes[made - 1].token = entries[i].token;
    }
    for (;; depth--) {
        nodes[open[depth]].skip = made - open[depth];
        if (depth == 0)
            break;
    }
    trie->count = made;
    return list_children(trie);
}

void cz_trie_free(struct cz_trie *trie)
{
    cz_heap_free(trie->nodes);
    cz_heap_free(trie->wide_first);
    cz_heap_free(trie->wide_nodes);
    cz_heap_free(trie->wide_bytes);
    cz_heap_free(trie->same);
    cz_heap_free(trie->below);
    cz_heap_free(trie->sets);
    cz_heap_free(trie->order);
    cz_heap_free(trie->before);
}

uint32_t cz_trie_child(const struct cz_trie *trie, uint32_t at, uint8_t byte)
{
    struct cz_trie_cursor children = cz_trie_children(trie, at);
    if (children.wide) {
        const uint8_t *bytes = trie->wide_bytes + children.at;
        const uint8_t *found = memchr(bytes, byte, children.end - children.at);
        return found ? trie->wide_nodes[children.at + (uint32_t)(found - bytes)] : 0;
    }
    for (uint32_t child; (child = cz_trie_next(trie, &children));) {
        if (trie->nodes[child].byte == byte)
            return child;
    }
    return 0;
}

/* ---- Characters ---- */

/* Between the bytes of a character: how many are missing, and the bounds of the next. */
struct unfinished {
    uint8_t missing, low, high;
};

/* Where a trie is being looked through: one for each depth. */
struct level {
    uint32_t node;
    struct cz_chars chars;
    uint8_t characters;
    struct unfinished behind;
};

static struct unfinished behind_lead(uint8_t byte)
{
    uint8_t missing = byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : 1;
    return (struct unfinished){missing, byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80,
                               byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF};
}

/* Enters a node: what its own byte adds. */
static void enter(struct level *level, struct unfinished before, uint8_t byte)
{
    level->chars = (struct cz_chars){0};
    level->characters = 0;
    level->behind = (struct unfinished){0};
    if (before.missing && byte >= before.low && byte <= before.high) {
        level->behind = (struct unfinished){(uint8_t)(before.missing - 1), 0x80, 0xBF};
        return;
    }
    if (before.missing)
        level->chars.words[2] |= CZ_CHARS_INVALID;
    level->characters = 1;
    if (byte < 0x80) {
        level->chars.words[byte / 64] |= 1ull << byte % 64;
    } else if (byte < CZ_LEAD_FIRST || byte > CZ_LEAD_LAST) {
        level->chars.words[2] |= CZ_CHARS_INVALID;
    } else {
        level->chars.words[2] |= 1ull << (byte - CZ_LEAD_FIRST);
        level->behind = behind_lead(byte);
    }
}

/* Sets by content. */
struct sets {
    struct cz_chars *items;
    uint32_t count, capacity;
    uint32_t *table; /* number + 1 */
    uint32_t table_size;
};

enum { SETS_LIMIT = 1 << 16, SETS_TABLE = 1 << 18 };

static uint32_t chars_slot(const struct cz_chars *chars)
{
    uint64_t hash = 0;
    for (int i = 0; i < 3; i++) {
        hash = (hash ^ chars->words[i]) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 29;
    }
    return (uint32_t)(hash >> 32) & (SETS_TABLE - 1);
}

/* The set's number; that of the first set, which holds everything, when there are too many. */
static uint16_t number_of(struct sets *sets, const struct cz_chars *chars)
{
    uint32_t slot = chars_slot(chars);
    for (; sets->table[slot]; slot = (slot + 1) & (SETS_TABLE - 1)) {
        if (!memcmp(&sets->items[sets->table[slot] - 1], chars, sizeof *chars))
            return (uint16_t)(sets->table[slot] - 1);
    }
    if (sets->count == sets->capacity) {
        uint32_t capacity = sets->capacity ? sets->capacity * 2 : 1024;
        struct cz_chars *larger =
            capacity > SETS_LIMIT ? NULL : cz_heap_resize(sets->items, capacity * sizeof *larger);
        if (!larger)
            return 0;
        sets->items = larger;
        sets->capacity = capacity;
    }
    sets->items[sets->count] = *chars;
    sets->table[slot] = ++sets->count;
    return (uint16_t)(sets->count - 1);
}

/* Leaves a node: its set is complete. */
static void leave(struct cz_trie *trie, struct sets *sets, const struct level *level,
                  struct level *parent)
{
    unsigned characters = level->characters;
    for (int i = 0; i < 3; i++)
        parent->chars.words[i] |= level->chars.words[i];
    trie->below[level->node] = number_of(sets, &level->chars);
    trie->nodes[level->node].characters = (uint8_t)characters;
    unsigned own = parent->node && (trie->nodes[parent->node].byte & 0xC0) != 0x80;
    characters = characters + own > 255 ? 255 : characters + own;
    parent->characters = characters > parent->characters ? (uint8_t)characters : parent->characters;
}

/* The tokens of a subtree side by side. */
static bool order_tokens(struct cz_trie *trie)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < trie->count; i++) {
        for (uint32_t t = trie->nodes[i].token; t != UINT32_MAX; t = trie->same[t])
            count++;
    }
    trie->order = cz_heap_alloc(((size_t)count + 1) * sizeof *trie->order);
    trie->before = cz_heap_alloc(((size_t)trie->count + 1) * sizeof *trie->before);
    if (!trie->order || !trie->before)
        return false;
    count = 0;
    for (uint32_t i = 0; i < trie->count; i++) {
        trie->before[i] = count;
        for (uint32_t t = trie->nodes[i].token; t != UINT32_MAX; t = trie->same[t])
            trie->order[count++] = t;
    }
    trie->before[trie->count] = count;
    return true;
}

bool cz_trie_find_characters(struct cz_trie *trie)
{
    struct level *levels = cz_heap_zeroed(CZ_TOKEN_LONGEST + 2, sizeof *levels);
    struct sets sets = {.table = cz_heap_zeroed(SETS_TABLE, sizeof *sets.table)};
    const struct cz_chars all = {{UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    trie->below = cz_heap_zeroed(trie->count, sizeof *trie->below);
    bool good = levels && sets.table && trie->below && order_tokens(trie);
    uint32_t depth = 0;
    if (good)
        number_of(&sets, &all);
    good = good && sets.count == 1;
    for (uint32_t i = 1; good && i < trie->count; i++) {
        for (; depth >= trie->nodes[i].depth; depth--)
            leave(trie, &sets, &levels[depth], &levels[depth - 1]);
        depth = trie->nodes[i].depth;
        levels[depth].node = i;
        enter(&levels[depth], levels[depth - 1].behind, trie->nodes[i].byte);
    }
    for (; good && depth > 0; depth--)
        leave(trie, &sets, &levels[depth], &levels[depth - 1]);
    cz_heap_free(levels);
    cz_heap_free(sets.table);
    trie->sets = sets.items;
    trie->set_count = sets.count;
    return good;
}
