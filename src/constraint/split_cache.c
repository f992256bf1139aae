/*
 * split_cache.c - see split_cache.h.
 *
 * Languages are named by a store of the cache's own, where equal forms get equal names: a split is
 * found by policy and name. The cache holds a reference to each of its splits, grammars the others.
 */
#include "constraint/split_cache.h"

#include "base/heap.h"

enum { POLICIES = 2, NAMES_LIMIT = 1 << 16 };

struct cz_shared_split {
    struct cz_split split;
    size_t bytes;
    uint32_t references;
    bool kept; /* the cache holds one of them */
};

struct cz_split_cache {
    pthread_mutex_t lock;
    struct cz_expr_store *names;
    struct cz_shared_split **splits[POLICIES]; /* [NAMES_LIMIT] by name */
    size_t bytes;
};

struct cz_split_cache *cz_split_cache_create(void)
{
    struct cz_split_cache *cache = cz_heap_zeroed(1, sizeof *cache);
    if (!cache)
        return NULL;
    pthread_mutex_init(&cache->lock, NULL);
    bool good = true;
    for (int i = 0; i < POLICIES; i++) {
        cache->splits[i] = cz_heap_zeroed(NAMES_LIMIT, sizeof **cache->splits);
        good &= cache->splits[i] != NULL;
    }
    if (good)
        return cache;
    cz_split_cache_free(cache);
    return NULL;
}

static void drop(struct cz_shared_split *shared)
{
    if (--shared->references)
        return;
    cz_split_free(&shared->split);
    cz_heap_free(shared);
}

static void forget(struct cz_split_cache *cache)
{
    uint32_t count = cache->names ? cz_expr_store_count(cache->names) : 0;
    for (uint32_t i = 0; i < POLICIES * count; i++) {
        struct cz_shared_split **at = &cache->splits[i % POLICIES][i / POLICIES];
        if (!*at)
            continue;
        (*at)->kept = false;
        drop(*at);
        *at = NULL;
    }
    cz_expr_store_free(cache->names);
    cache->names = NULL;
    cache->bytes = 0;
}

void cz_split_cache_forget(struct cz_split_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    forget(cache);
    pthread_mutex_unlock(&cache->lock);
}

void cz_split_cache_free(struct cz_split_cache *cache)
{
    if (!cache)
        return;
    forget(cache);
    pthread_mutex_destroy(&cache->lock);
    for (int i = 0; i < POLICIES; i++)
        cz_heap_free(cache->splits[i]);
    cz_heap_free(cache);
}

/* Where the language's split stands; NULL when it can't be kept. */
static struct cz_shared_split **place(struct cz_split_cache *cache,
                                      const struct cz_expr_store *exprs, cz_expr expr,
                                      enum cz_policy policy)
{
    if (cache->names && cz_expr_store_count(cache->names) + CZ_EXPR_COPY_LIMIT >= NAMES_LIMIT)
        forget(cache);
    if (!cache->names)
        cache->names = cz_expr_store_create();
    cz_expr name = cache->names ? cz_expr_copy(cache->names, exprs, expr) : CZ_EXPR_NOTHING;
    return name == CZ_EXPR_NOTHING ? NULL : &cache->splits[policy][name];
}

struct cz_shared_split *cz_split_cache_find(struct cz_split_cache *cache,
                                            const struct cz_expr_store *exprs, cz_expr expr,
                                            enum cz_policy policy)
{
    pthread_mutex_lock(&cache->lock);
    struct cz_shared_split **at = place(cache, exprs, expr, policy);
    struct cz_shared_split *found = at ? *at : NULL;
    if (found)
        found->references++;
    pthread_mutex_unlock(&cache->lock);
    return found;
}

static size_t bytes_of(const struct cz_split *split)
{
    return sizeof(struct cz_shared_split) + cz_heap_size(split->ids) +
           cz_heap_size(split->words) + cz_heap_size(split->exits);
}

struct cz_shared_split *cz_split_cache_add(struct cz_split_cache *cache,
                                           const struct cz_expr_store *exprs, cz_expr expr,
                                           enum cz_policy policy, const struct cz_split *made)
{
    struct cz_shared_split *shared = cz_heap_alloc(sizeof *shared);
    if (!shared)
        return NULL;
    *shared = (struct cz_shared_split){*made, bytes_of(made), 2, true};
    pthread_mutex_lock(&cache->lock);
    if (cache->bytes + shared->bytes > CZ_SPLIT_CACHE_BYTES)
        forget(cache);
    struct cz_shared_split **at = place(cache, exprs, expr, policy);
    bool taken = at && !*at; /* another thread may have been first */
    if (taken) {
        *at = shared;
        cache->bytes += shared->bytes;
    }
    pthread_mutex_unlock(&cache->lock);
    if (taken)
        return shared;
    cz_heap_free(shared);
    return NULL;
}

void cz_shared_split_release(struct cz_split_cache *cache, struct cz_shared_split *shared)
{
    pthread_mutex_lock(&cache->lock);
    drop(shared);
    pthread_mutex_unlock(&cache->lock);
}

const struct cz_split *cz_shared_split_get(const struct cz_shared_split *shared)
{
    return &shared->split;
}

size_t cz_shared_split_bytes(struct cz_split_cache *cache, const struct cz_shared_split *shared)
{
    pthread_mutex_lock(&cache->lock);
    size_t bytes = shared->kept ? 0 : shared->bytes;
    pthread_mutex_unlock(&cache->lock);
    return bytes;
}
