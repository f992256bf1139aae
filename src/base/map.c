/* map.c - the hash map and its keyed hash. */
#include "base/map.h"

#include "base/heap.h"
#include "base/size.h"

#include <pthread.h>
#include <sys/random.h>

static uint64_t hash_key[2];
static pthread_once_t hash_once = PTHREAD_ONCE_INIT;

static void hash_init(void)
{
    if (getrandom(hash_key, sizeof hash_key, GRND_NONBLOCK) != (ssize_t)sizeof hash_key)
        hash_key[0] = (uint64_t)(uintptr_t)&hash_key; /* early boot: the address is random too */
    hash_key[1] |= 1;
}

/* The two halves of a 128-bit product, folded: the mixing step of wyhash-like functions. */
static uint64_t fold(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t read_partial(const unsigned char *bytes, size_t size)
{
    uint64_t word = 0;
    memcpy(&word, bytes, size);
    return word;
}

uint64_t cz_hash(const void *data, size_t size)
{
    pthread_once(&hash_once, hash_init);
    const unsigned char *bytes = data;
    uint64_t hash = hash_key[0] ^ size;
    for (; size >= 16; size -= 16, bytes += 16)
        hash = fold(hash ^ read_partial(bytes, 8),
                    hash_key[1] ^ 0x9E3779B97F4A7C15u ^ read_partial(bytes + 8, 8));
    for (; size >= 8; size -= 8, bytes += 8)
        hash = fold(hash ^ read_partial(bytes, 8), hash_key[1] ^ 0x9E3779B97F4A7C15u);
    if (size)
        hash = fold(hash ^ read_partial(bytes, size), hash_key[1] ^ 0xD6E8FEB86659FD93u);
    return fold(hash ^ hash_key[1], 0xA0761D6478BD642Fu);
}

static struct cz_map_entry *find(struct cz_map_entry *entries, size_t capacity, struct cz_slice key,
                                 uint64_t hash)
{
    size_t slot = (size_t)hash & (capacity - 1);
    while (entries[slot].key.data) {
        if (entries[slot].hash == hash && cz_slice_equal(entries[slot].key, key))
            break;
        slot = (slot + 1) & (capacity - 1);
    }
    return &entries[slot];
}

bool cz_map_reserve(struct cz_map *map, size_t count)
{
    size_t capacity = map->capacity ? map->capacity : 16;
    while (count > capacity / 4 * 3) {
        if (capacity > SIZE_MAX / 2)
            return false;
        capacity *= 2;
    }
    if (capacity == map->capacity)
        return true;
    struct cz_map_entry *entries = cz_heap_zeroed(capacity, sizeof *entries);
    if (!entries)
        return false;
    for (size_t i = 0; i < map->capacity; i++) {
        const struct cz_map_entry *old = &map->entries[i];
        if (old->key.data)
            *find(entries, capacity, old->key, old->hash) = *old;
    }
    cz_heap_free(map->entries);
    map->entries = entries;
    map->capacity = capacity;
    return true;
}

int cz_map_add(struct cz_map *map, struct cz_slice key, uint64_t value, uint64_t *existing)
{
    if (!cz_map_reserve(map, map->count + 1))
        return -1;
    if (!key.data)
        key.data = "";
    uint64_t hash = cz_hash(key.data, key.size);
    struct cz_map_entry *entry = find(map->entries, map->capacity, key, hash);
    if (entry->key.data) {
        if (existing)
            *existing = entry->value;
        return 0;
    }
    *entry = (struct cz_map_entry){key, hash, value};
    map->count++;
    return 1;
}

bool cz_map_set(struct cz_map *map, struct cz_slice key, uint64_t value)
{
    int added = cz_map_add(map, key, value, NULL);
    if (added == 0)
        find(map->entries, map->capacity, key, cz_hash(key.data, key.size))->value = value;
    return added >= 0;
}

bool cz_map_get(const struct cz_map *map, struct cz_slice key, uint64_t *value)
{
    if (!map->count)
        return false;
    const struct cz_map_entry *entry =
        find(map->entries, map->capacity, key, cz_hash(key.data, key.size));
    if (!entry->key.data)
        return false;
    if (value)
        *value = entry->value;
    return true;
}

void cz_map_free(struct cz_map *map)
{
    cz_heap_free(map->entries);
    *map = (struct cz_map){0};
}
