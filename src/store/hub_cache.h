/*
 * hub_cache.h - the cache of Hugging Face's own tools, read only:
 *
 *   <cache>/models--org--name/refs/<revision>           the commit
 *   <cache>/models--org--name/snapshots/<commit>/<file> a link to ../../blobs/<digest>
 *
 * <cache> is HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub.
 */
#ifndef CZ_STORE_HUB_CACHE_H
#define CZ_STORE_HUB_CACHE_H

#include "store/hub_repository.h"

/* The folder of a commit's files, as the buffer's content. */
const char *cz_hub_cache_snapshot(struct cz_buffer *path, const char *id, const char *commit);

/* What the cache has of a repository, as the hub would list it; the blobs' names are the digests.
 * CLOZE_NOT_FOUND when the repository or the revision is not there. */
cloze_status cz_hub_cache_listing(struct cz_arena *arena, const struct cz_hub_address *address,
                                  struct cz_hub_listing *listing, struct cloze_error *error);

#endif
