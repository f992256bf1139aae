/*
 * map.h - hash map from byte strings to 64-bit values.
 *
 * Open addressing, power-of-two capacity, at most three quarters full. Keys are borrowed: the
 * caller keeps them alive as long as the map. The hash is keyed with a random number per process,
 * so that input can't choose its collisions. Not thread-safe while it is changed.
 */
#ifndef CZ_BASE_MAP_H
#define CZ_BASE_MAP_H

#include "base/slice.h"

struct cz_map_entry {
    struct cz_slice key; /* data is NULL in a free slot */
    uint64_t hash;
    uint64_t value;
};

struct cz_map {
    struct cz_map_entry *entries; /* [capacity] */
    size_t capacity;
    size_t count;
};

/* false when out of memory. An existing key keeps its slot and gets the new value. */
bool cz_map_set(struct cz_map *map, struct cz_slice key, uint64_t value);
/* false when the key is absent. `value` may be NULL. */
bool cz_map_get(const struct cz_map *map, struct cz_slice key, uint64_t *value);
/* Adds only when absent: 1 added, 0 was there (its value in *existing, unless NULL), -1 no memory. */
int cz_map_add(struct cz_map *map, struct cz_slice key, uint64_t value, uint64_t *existing);
bool cz_map_reserve(struct cz_map *map, size_t count);
void cz_map_free(struct cz_map *map);

/* 64-bit hash of bytes, keyed per process: never store it. */
uint64_t cz_hash(const void *data, size_t size);

#endif
