/*
 * heap.h - memory for what grows while requests run: buffers, arenas, maps, the lazy tables of
 * grammars.
 *
 * One heap for the process; any thread may call. It takes address space from the system in segments
 * of 64 MiB and pages of it as they are first written, so threads that must not wait call no malloc
 * and hardly ever the system. How much stays in use is its users' business: the grammar cache has a
 * budget. What is given back is used again; runs of a megabyte go back to the system.
 *
 * With AddressSanitizer it is malloc, which that tool watches.
 */
#ifndef CZ_BASE_HEAP_H
#define CZ_BASE_HEAP_H

#include <stddef.h>

/* Aligned for any type; NULL without memory. A size of 0 is 1. */
void *cz_heap_alloc(size_t size);
void *cz_heap_zeroed(size_t count, size_t size); /* overflow-checked */
/* Like realloc: NULL leaves `memory` as it is. */
void *cz_heap_resize(void *memory, size_t size);
void cz_heap_free(void *memory); /* NULL is fine */
/* Bytes that the memory takes; 0 for NULL. */
size_t cz_heap_size(const void *memory);

#endif
