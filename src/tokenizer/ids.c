/* ids.c - growing lists of token ids. */
#include "tokenizer/parts.h"

#include "base/heap.h"

bool cz_ids_reserve(struct cz_ids *ids, size_t count)
{
    if (ids->failed || count <= ids->capacity - ids->count)
        return !ids->failed;
    if (ids->fixed) {
        ids->failed = true;
        return false;
    }
    size_t capacity = ids->capacity ? ids->capacity : 32;
    while (capacity - ids->count < count && capacity <= SIZE_MAX / 16)
        capacity *= 2;
    uint32_t *grown =
        capacity - ids->count < count ? NULL : cz_heap_resize(ids->ids, capacity * sizeof *grown);
    ids->failed = !grown;
    if (!grown)
        return false;
    ids->ids = grown;
    ids->capacity = capacity;
    return true;
}

void cz_ids_append(struct cz_ids *ids, uint32_t id)
{
    if (ids->count == ids->capacity && !cz_ids_reserve(ids, 1))
        return;
    ids->ids[ids->count++] = id;
}

void cz_ids_free(struct cz_ids *ids)
{
    if (!ids->fixed)
        cz_heap_free(ids->ids);
    *ids = (struct cz_ids){0};
}
