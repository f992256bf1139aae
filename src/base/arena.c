/* arena.c - blocks of zeroed memory, handed out in order. */
#include "base/arena.h"

#include "base/heap.h"
#include "base/size.h"

enum { FIRST_BLOCK = 4096, LARGEST_STEP = 1 << 20, ALIGNMENT = 16 };

struct cz_arena_block {
    struct cz_arena_block *older;
    size_t size;
    _Alignas(ALIGNMENT) char data[];
};

static struct cz_arena_block *grow(struct cz_arena *arena, size_t needed)
{
    size_t step = arena->blocks ? arena->blocks->size * 2 : FIRST_BLOCK;
    size_t size = cz_size_max(needed, cz_size_min(step, LARGEST_STEP));
    if (arena->maximum && (size > arena->maximum || arena->total > arena->maximum - size))
        return NULL;
    struct cz_arena_block *block = cz_heap_zeroed(1, sizeof *block + size);
    if (!block)
        return NULL;
    block->older = arena->blocks;
    block->size = size;
    arena->blocks = block;
    arena->total += size;
    arena->used = 0;
    return block;
}

void *cz_arena_alloc(struct cz_arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = cz_size_align(size ? size : 1, ALIGNMENT);
    struct cz_arena_block *block = arena->blocks;
    if (!block || block->size - arena->used < size)
        block = grow(arena, size);
    if (!block)
        return NULL;
    void *result = block->data + arena->used;
    arena->used += size;
    return result;
}

void *cz_arena_array(struct cz_arena *arena, size_t count, size_t size)
{
    size_t total;
    return cz_size_mul(count, size, &total) ? cz_arena_alloc(arena, total) : NULL;
}

char *cz_arena_text(struct cz_arena *arena, struct cz_slice text)
{
    char *copy = cz_arena_alloc(arena, text.size + 1);
    if (copy && text.size)
        memcpy(copy, text.data, text.size);
    return copy;
}

void cz_arena_free(struct cz_arena *arena)
{
    while (arena->blocks) {
        struct cz_arena_block *older = arena->blocks->older;
        cz_heap_free(arena->blocks);
        arena->blocks = older;
    }
    *arena = (struct cz_arena){.maximum = arena->maximum};
}
