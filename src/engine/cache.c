/* cache.c - the tree of published KV blocks, its index and its eviction list. */
#include "engine/cache.h"

#include <stdlib.h>
#include <string.h>

cloze_status cz_cache_create(uint32_t blocks, bool sharing, struct cz_cache *cache,
                             struct cloze_error *error)
{
    *cache = (struct cz_cache){.count = blocks,
                               .sharing = sharing,
                               .oldest = CZ_CACHE_NONE,
                               .newest = CZ_CACHE_NONE,
                               .bucket_count = 16};
    while (cache->bucket_count < blocks)
        cache->bucket_count *= 2;
    cache->nodes = calloc(blocks, sizeof *cache->nodes);
    cache->buckets = malloc(cache->bucket_count * sizeof *cache->buckets);
    if (!cache->nodes || !cache->buckets) {
        cz_cache_free(cache);
        return cz_fail_memory(error, "KV cache");
    }
    for (uint32_t i = 0; i < cache->bucket_count; i++)
        cache->buckets[i] = CZ_CACHE_NONE;
    for (uint32_t i = 0; i < blocks; i++)
        cache->nodes[i].chain = i + 1 < blocks ? i + 1 : CZ_CACHE_NONE;
    cache->free = blocks ? 0 : CZ_CACHE_NONE;
    return CLOZE_OK;
}

void cz_cache_free(struct cz_cache *cache)
{
    free(cache->nodes);
    free(cache->buckets);
    *cache = (struct cz_cache){0};
}

/* ---- The index of the tree ---- */

/* FNV-1a over words; collisions cost a comparison, since whole keys are compared. */
static uint32_t *bucket_of(const struct cz_cache *cache, uint32_t parent, const uint32_t *tokens)
{
    uint64_t hash = 0xCBF29CE484222325u ^ parent;
    for (unsigned i = 0; i < CZ_KV_BLOCK; i++)
        hash = (hash ^ tokens[i]) * 0x100000001B3u;
    hash ^= hash >> 32;
    return &cache->buckets[hash & (cache->bucket_count - 1)];
}

static uint32_t find(const struct cz_cache *cache, uint32_t parent, const uint32_t *tokens)
{
    uint32_t block = *bucket_of(cache, parent, tokens);
    for (; block != CZ_CACHE_NONE; block = cache->nodes[block].chain) {
        const struct cz_cache_node *node = &cache->nodes[block];
        if (node->parent == parent && memcmp(node->tokens, tokens, sizeof node->tokens) == 0)
            break;
    }
    return block;
}

static void unpublish(struct cz_cache *cache, uint32_t block)
{
    struct cz_cache_node *node = &cache->nodes[block];
    uint32_t *link = bucket_of(cache, node->parent, node->tokens);
    while (*link != block)
        link = &cache->nodes[*link].chain;
    *link = node->chain;
    node->published = false;
}

/* ---- Unreferenced nodes, oldest first ---- */

static void list_append(struct cz_cache *cache, uint32_t block)
{
    struct cz_cache_node *node = &cache->nodes[block];
    node->older = cache->newest;
    node->newer = CZ_CACHE_NONE;
    if (cache->newest != CZ_CACHE_NONE)
        cache->nodes[cache->newest].newer = block;
    else
        cache->oldest = block;
    cache->newest = block;
}

static void list_remove(struct cz_cache *cache, uint32_t block)
{
    const struct cz_cache_node *node = &cache->nodes[block];
    if (node->older != CZ_CACHE_NONE)
        cache->nodes[node->older].newer = node->newer;
    else
        cache->oldest = node->newer;
    if (node->newer != CZ_CACHE_NONE)
        cache->nodes[node->newer].older = node->older;
    else
        cache->newest = node->older;
}

/* ---- References ---- */

static void retain(struct cz_cache *cache, uint32_t block)
{
    struct cz_cache_node *node = &cache->nodes[block];
    if (node->references++ == 0) {
        list_remove(cache, block);
        cache->used++;
    }
}

void cz_cache_release(struct cz_cache *cache, uint32_t block)
{
    struct cz_cache_node *node = &cache->nodes[block];
    if (--node->references)
        return;
    cache->used--;
    if (node->published) {
        list_append(cache, block);
    } else {
        node->chain = cache->free;
        cache->free = block;
    }
}

bool cz_cache_take(struct cz_cache *cache, uint32_t *block)
{
    *block = cache->free;
    if (*block != CZ_CACHE_NONE) {
        cache->free = cache->nodes[*block].chain;
    } else {
        *block = cache->oldest;
        if (*block == CZ_CACHE_NONE)
            return false;
        list_remove(cache, *block);
        unpublish(cache, *block);
    }
    cache->nodes[*block].references = 1;
    cache->used++;
    return true;
}

uint32_t cz_cache_match(struct cz_cache *cache, const uint32_t *tokens, uint32_t count,
                        uint32_t *blocks)
{
    uint32_t matched = 0, parent = CZ_CACHE_NONE;
    for (; cache->sharing && count >= CZ_KV_BLOCK; count -= CZ_KV_BLOCK, tokens += CZ_KV_BLOCK) {
        uint32_t block = find(cache, parent, tokens);
        if (block == CZ_CACHE_NONE)
            break;
        retain(cache, block);
        blocks[matched++] = parent = block;
    }
    return matched;
}

uint32_t cz_cache_publish(struct cz_cache *cache, uint32_t block, uint32_t parent,
                          const uint32_t *tokens)
{
    if (!cache->sharing)
        return block;
    uint32_t known = find(cache, parent, tokens);
    if (known != CZ_CACHE_NONE) {
        retain(cache, known);
        cz_cache_release(cache, block);
        return known;
    }
    struct cz_cache_node *node = &cache->nodes[block];
    uint32_t *bucket = bucket_of(cache, parent, tokens);
    memcpy(node->tokens, tokens, sizeof node->tokens);
    node->parent = parent;
    node->published = true;
    node->chain = *bucket;
    *bucket = block;
    return block;
}
