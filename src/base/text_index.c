/* text_index.c - open addressing, at most half full. */
#include "base/text_index.h"

#include "base/heap.h"
#include "base/map.h"

static struct cz_slice text_of(const struct cz_text_index *index, uint32_t number)
{
    struct cz_slice text;
    memcpy(&text, index->records + number * index->stride, sizeof text);
    return text;
}

/* The slot that holds the text, or the free one where it belongs. */
static size_t slot_of(const struct cz_text_index *index, struct cz_slice text, uint32_t *tag)
{
    uint64_t hash = cz_hash(text.data, text.size);
    size_t at = (size_t)hash & index->mask;
    *tag = (uint32_t)(hash >> 32);
    for (; index->slots[at].number != CZ_NOT_INDEXED; at = (at + 1) & index->mask) {
        if (index->slots[at].tag != *tag)
            continue;
        struct cz_slice other = text_of(index, index->slots[at].number);
        if (other.size == text.size && memcmp(other.data, text.data, text.size) == 0)
            break;
    }
    return at;
}

bool cz_text_index_init(struct cz_text_index *index, const void *records, size_t stride,
                        uint32_t count)
{
    size_t capacity = 16;
    while (capacity / 2 < count)
        capacity *= 2;
    *index = (struct cz_text_index){.records = records, .stride = stride, .mask = capacity - 1};
    index->slots = cz_heap_alloc(capacity * sizeof *index->slots);
    if (index->slots)
        memset(index->slots, 0xFF, capacity * sizeof *index->slots);
    return index->slots != NULL;
}

uint32_t cz_text_index_add(struct cz_text_index *index, uint32_t number)
{
    uint32_t tag;
    struct cz_text_slot *slot = &index->slots[slot_of(index, text_of(index, number), &tag)];
    if (slot->number == CZ_NOT_INDEXED)
        *slot = (struct cz_text_slot){tag, number};
    return slot->number;
}

uint32_t cz_text_index_find(const struct cz_text_index *index, struct cz_slice text)
{
    uint32_t tag;
    return index->slots[slot_of(index, text, &tag)].number;
}

void cz_text_index_free(struct cz_text_index *index)
{
    cz_heap_free(index->slots);
    index->slots = NULL;
}
