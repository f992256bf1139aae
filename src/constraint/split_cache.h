/*
 * split_cache.h - splits of string states, kept with the vocabulary; for this room only.
 *
 * What a pattern or a format lets follow does not depend on the schema that it stands in, and is
 * what takes masks longest to find out: here grammars find what others did. Any thread may call.
 */
#ifndef CZ_CONSTRAINT_SPLIT_CACHE_H
#define CZ_CONSTRAINT_SPLIT_CACHE_H

#include "constraint/split.h"

enum { CZ_SPLIT_CACHE_BYTES = 8 << 20 }; /* beyond it the cache begins anew */

struct cz_split_cache *cz_split_cache_create(void);
/* All that it gave out was released. */
void cz_split_cache_free(struct cz_split_cache *cache);
/* What is in use stays with its users. */
void cz_split_cache_forget(struct cz_split_cache *cache);

/* The split of the string state with this language, to be released; NULL when it is not known. */
struct cz_shared_split *cz_split_cache_find(struct cz_split_cache *cache,
                                            const struct cz_expr_store *exprs, cz_expr expr,
                                            enum cz_policy policy);
/* The same, of `made`, which the cache takes over. NULL, and nothing is taken, when the language is
 * too large to be compared or memory is short. */
struct cz_shared_split *cz_split_cache_add(struct cz_split_cache *cache,
                                           const struct cz_expr_store *exprs, cz_expr expr,
                                           enum cz_policy policy, const struct cz_split *made);
void cz_shared_split_release(struct cz_split_cache *cache, struct cz_shared_split *shared);
const struct cz_split *cz_shared_split_get(const struct cz_shared_split *shared);
/* Bytes that only its users keep. */
size_t cz_shared_split_bytes(struct cz_split_cache *cache, const struct cz_shared_split *shared);

#endif
