/*
 * intern.c - tables of word sequences with names, open addressing, never shrinking.
 */
#include "constraint/intern.h"

#include "base/heap.h"

#include <string.h>

static uint32_t hash_words(const uint32_t *words, uint32_t count)
{
    uint64_t hash = 0x9E3779B97F4A7C15u ^ count;
    for (uint32_t i = 0; i < count; i++) {
        hash = (hash ^ words[i]) * 0xD6E8FEB86659FD93u;
        hash ^= hash >> 31;
    }
    return (uint32_t)(hash ^ hash >> 32);
}

static bool rehash(struct cz_intern *intern)
{
    uint32_t size = intern->table_size ? intern->table_size * 2 : 64;
    uint32_t *table = cz_heap_zeroed(size, sizeof *table);
    if (!table)
        return false;
    for (uint32_t id = 0; id < intern->count; id++) {
        uint32_t slot = hash_words(cz_intern_get(intern, id), cz_intern_size(intern, id)) & (size - 1);
        while (table[slot])
            slot = (slot + 1) & (size - 1);
        table[slot] = id + 1;
    }
    cz_heap_free(intern->table);
    intern->table = table;
    intern->table_size = size;
    return true;
}

static bool reserve(uint32_t **items, uint32_t *capacity, uint64_t wanted)
{
    if (wanted <= *capacity)
        return true;
    uint64_t larger = (uint64_t)*capacity * 2 > wanted ? (uint64_t)*capacity * 2 : wanted + 64;
    if (larger > UINT32_MAX / 2)
        return false;
    uint32_t *moved = cz_heap_resize(*items, larger * sizeof *moved);
    if (!moved)
        return false;
    *items = moved;
    *capacity = (uint32_t)larger;
    return true;
}

uint32_t cz_intern_add(struct cz_intern *intern, const uint32_t *words, uint32_t count, bool *added)
{
    if (added)
        *added = false;
    if (intern->count * 2 >= intern->table_size && !rehash(intern))
        return UINT32_MAX;
    uint32_t slot = hash_words(words, count) & (intern->table_size - 1);
    for (; intern->table[slot]; slot = (slot + 1) & (intern->table_size - 1)) {
        uint32_t id = intern->table[slot] - 1;
        if (cz_intern_size(intern, id) == count &&
            (count == 0 || !memcmp(cz_intern_get(intern, id), words, count * sizeof *words)))
            return id;
    }
    if (!reserve(&intern->first, &intern->capacity, (uint64_t)intern->count + 2) ||
        !reserve(&intern->words, &intern->word_capacity, (uint64_t)intern->word_count + count + 1))
        return UINT32_MAX;
    if (count)
        memmove(intern->words + intern->word_count, words, count * sizeof *words);
    intern->first[intern->count] = intern->word_count;
    intern->word_count += count;
    intern->first[intern->count + 1] = intern->word_count;
    intern->table[slot] = intern->count + 1;
    if (added)
        *added = true;
    return intern->count++;
}

/* Shell's way: in place, where qsort asks for memory. */
static void sort_by_gaps(uint32_t *words, uint32_t count)
{
    for (uint32_t gap = count; gap > 1;) {
        gap = gap > 2 ? (uint32_t)((uint64_t)gap * 5 / 11) : 1;
        for (uint32_t i = gap; i < count; i++) {
            uint32_t word = words[i], at = i;
            for (; at >= gap && words[at - gap] > word; at -= gap)
                words[at] = words[at - gap];
            words[at] = word;
        }
    }
}

/* By insertion, which is quick where few words stand wrong; past some work, by gaps. */
void cz_words_sort(uint32_t *words, uint32_t count)
{
    uint64_t work = 0;
    for (uint32_t i = 1; i < count; i++) {
        uint32_t word = words[i], at = i;
        for (; at > 0 && words[at - 1] > word; at--)
            words[at] = words[at - 1];
        words[at] = word;
        work += i - at;
        if (work > 64 + 8ull * count) {
            sort_by_gaps(words, count);
            return;
        }
    }
}

bool cz_words_hold(const uint32_t *words, uint32_t count, uint32_t wanted)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (words[middle] < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && words[low] == wanted;
}

void cz_intern_free(struct cz_intern *intern)
{
    cz_heap_free(intern->words);
    cz_heap_free(intern->first);
    cz_heap_free(intern->table);
    *intern = (struct cz_intern){0};
}

size_t cz_intern_bytes(const struct cz_intern *intern)
{
    return ((size_t)intern->word_capacity + intern->capacity + intern->table_size) *
           sizeof(uint32_t);
}
