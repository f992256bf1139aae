/*
 * cache.h - which KV block holds what: free blocks, shared prefixes, eviction.
 *
 * A block (CZ_KV_BLOCK positions of all layers) is free, owned by one sequence that is filling it,
 * or, once full, published in a radix tree: a node per block, keyed by its parent and its tokens,
 * so that a path from the root spells a prefix. Sequences hold references on the nodes of their
 * path; a node without references stays until its memory is needed, the least recently used leaf
 * first. A holder of a node holds its ancestors too, and releases the deepest first, so in the list
 * of unreferenced nodes children always stand before their parents and the first one is a leaf.
 *
 * Only numbers live here, the backend owns the memory. Used by the engine thread; never allocates
 * after its creation.
 */
#ifndef CZ_ENGINE_CACHE_H
#define CZ_ENGINE_CACHE_H

#include "engine/backend.h"

#define CZ_CACHE_NONE UINT32_MAX /* no block */

struct cz_cache_node {
    uint32_t tokens[CZ_KV_BLOCK]; /* when published */
    uint32_t parent;              /* CZ_CACHE_NONE at the root */
    uint32_t references;
    uint32_t chain;        /* next node of the same bucket, or next free block */
    uint32_t older, newer; /* in the list of unreferenced nodes */
    bool published;
};

struct cz_cache {
    struct cz_cache_node *nodes; /* [count], one a block */
    uint32_t *buckets;           /* [bucket_count], a power of two */
    uint32_t count, bucket_count;
    uint32_t free;           /* first free block */
    uint32_t oldest, newest; /* unreferenced nodes */
    uint32_t used;           /* blocks with references */
    bool sharing;            /* false: nothing is ever published */
};

cloze_status cz_cache_create(uint32_t blocks, bool sharing, struct cz_cache *cache,
                             struct cloze_error *error);
void cz_cache_free(struct cz_cache *cache);

/* The longest published prefix of the tokens, in whole blocks: writes them and takes references. */
uint32_t cz_cache_match(struct cz_cache *cache, const uint32_t *tokens, uint32_t count,
                        uint32_t *blocks);
/* A block to fill, with one reference; false when all are in use. */
bool cz_cache_take(struct cz_cache *cache, uint32_t *block);
/* Publishes a full block below `parent` (or CZ_CACHE_NONE). Returns the block to go on with: this
 * one, or an equal one that was there already, whose reference replaces the caller's. */
uint32_t cz_cache_publish(struct cz_cache *cache, uint32_t block, uint32_t parent,
                          const uint32_t *tokens);
void cz_cache_release(struct cz_cache *cache, uint32_t block);

#endif
