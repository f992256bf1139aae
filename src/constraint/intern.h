/*
 * intern.h - sequences of 32-bit words, interned by content, and sorted words; for this room only.
 */
#ifndef CZ_CONSTRAINT_INTERN_H
#define CZ_CONSTRAINT_INTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cz_intern {
    uint32_t *words; /* every entry: its words, one after the other */
    uint32_t word_count, word_capacity;
    uint32_t *first; /* [count + 1] offset of each entry in words */
    uint32_t count, capacity;
    uint32_t *table;
    uint32_t table_size;
};

/* The entry's name, UINT32_MAX without memory. *added tells whether it is new (may be NULL). */
uint32_t cz_intern_add(struct cz_intern *intern, const uint32_t *words, uint32_t count,
                       bool *added);
static inline const uint32_t *cz_intern_get(const struct cz_intern *intern, uint32_t id)
{
    return intern->words + intern->first[id];
}
static inline uint32_t cz_intern_size(const struct cz_intern *intern, uint32_t id)
{
    return intern->first[id + 1] - intern->first[id];
}
void cz_intern_free(struct cz_intern *intern);
size_t cz_intern_bytes(const struct cz_intern *intern);

/* Ascending; words are often in order already. */
void cz_words_sort(uint32_t *words, uint32_t count);
bool cz_words_hold(const uint32_t *words, uint32_t count, uint32_t wanted); /* sorted */

#endif
