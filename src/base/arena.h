/*
 * arena.h - memory that is freed all at once.
 *
 * A chain of blocks, each twice as large as the one before (up to 1 MiB). Allocations are zeroed
 * and aligned for any type. An arena has one owner and is not thread-safe. `maximum` bounds the sum
 * of all blocks; past it, and when the system has no memory, allocations return NULL.
 */
#ifndef CZ_BASE_ARENA_H
#define CZ_BASE_ARENA_H

#include "base/slice.h"

struct cz_arena_block;

struct cz_arena {
    struct cz_arena_block *blocks; /* newest first */
    size_t used;                   /* in the newest block */
    size_t total;                  /* bytes of all blocks */
    size_t maximum;                /* 0: no bound */
};

void *cz_arena_alloc(struct cz_arena *arena, size_t size);
void *cz_arena_array(struct cz_arena *arena, size_t count, size_t size); /* overflow-checked */
char *cz_arena_text(struct cz_arena *arena, struct cz_slice text);       /* NUL-terminated copy */
void cz_arena_free(struct cz_arena *arena); /* leaves an empty, usable arena */

#define CZ_ARENA_NEW(arena, type) ((type *)cz_arena_alloc((arena), sizeof(type)))
#define CZ_ARENA_ARRAY(arena, type, count) ((type *)cz_arena_array((arena), (count), sizeof(type)))

#endif
