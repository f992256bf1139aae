/*
 * heap.c - see heap.h.
 *
 * A segment is 64 MiB of address space, aligned to its size, so that a pointer tells its segment.
 * It begins with one descriptor for each of its pages (8 KiB); pages are handed out in spans:
 *
 *   slab   blocks of one size (a class), at most 8 KiB each: 1 page for small ones, 4 for others
 *   large  one block of whole pages
 *   free   no two stand side by side
 *
 * The descriptor of a span's first page tells what it is; that of its last page (of every page in a
 * slab) tells where the first is. Pages from `fresh` on were never written, so they are zero. What
 * is larger than 8 MiB gets a segment of its own.
 */
#include "base/heap.h"

#include "base/size.h"

#if defined(__SANITIZE_ADDRESS__)
#define HEAP_IS_MALLOC
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HEAP_IS_MALLOC
#endif
#endif

#ifdef HEAP_IS_MALLOC
#include <malloc.h>
#include <stdlib.h>

void *cz_heap_alloc(size_t size)
{
    return malloc(size ? size : 1);
}

void *cz_heap_zeroed(size_t count, size_t size)
{
    size_t total;
    if (!cz_size_mul(count, size, &total))
        return NULL;
    return calloc(1, total ? total : 1);
}

void *cz_heap_resize(void *memory, size_t size)
{
    return realloc(memory, size ? size : 1);
}

void cz_heap_free(void *memory)
{
    free(memory);
}

size_t cz_heap_size(const void *memory)
{
    return malloc_usable_size((void *)memory);
}

#else
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

enum {
    SEGMENT = 64 << 20,
    PAGE = 8 << 10,
    PAGES = SEGMENT / PAGE,
    RETURNED = (1 << 20) / PAGE, /* that many written pages side by side go back to the system */
    SMALL_BLOCK = 1 << 10,       /* the largest of slabs of one page */
    LARGEST_BLOCK = PAGE,
    LARGEST_SPAN = 8 << 20,
    SLAB_PAGES = 4,
    CLASSES = 32,
    LENGTHS = 14, /* of free spans, by powers of two */
    LOOKS = 16,   /* at free spans of a length that may be too short */
};

enum kind { SPAN_FREE, SPAN_SLAB, SPAN_LARGE };

struct span {
    uint32_t pages;
    uint32_t back; /* pages to the span's first; the only member that is set behind that */
    uint32_t kind, class;
    uint32_t
        count; /* slab: blocks in use; free: pages that were written since the system gave them */
    uint32_t fresh;               /* slab: blocks from here on were never handed out */
    void *free_list;              /* slab: blocks that were given back, each begins with the next */
    struct span *next, *previous; /* in a list of free spans, or of slabs that have free blocks */
};

struct segment {
    size_t huge;    /* bytes of its one block; 0: it has spans */
    uint32_t fresh; /* pages from here on were never handed out */
    struct span spans[PAGES];
};

enum { FIRST_PAGE = (sizeof(struct segment) + PAGE - 1) / PAGE };

static struct {
    pthread_mutex_t lock;
    struct segment *newest;
    struct span *slabs[CLASSES];
    struct span *spans[LENGTHS];
} heap = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct segment *segment_of(const void *memory)
{
    return (struct segment *)((uintptr_t)memory & ~(uintptr_t)(SEGMENT - 1));
}

static uint32_t page_of(const struct span *span)
{
    return (uint32_t)(span - segment_of(span)->spans);
}

static char *start_of(const struct span *span)
{
    return (char *)segment_of(span) + (size_t)page_of(span) * PAGE;
}

static struct span *span_of(const void *memory)
{
    struct segment *segment = segment_of(memory);
    struct span *span = &segment->spans[((uintptr_t)memory - (uintptr_t)segment) / PAGE];
    return span - span->back;
}

/* ---- Classes: steps of 16 bytes up to 128, then four for each power of two ---- */

static uint32_t class_of(size_t size)
{
    if (size <= 128)
        return (uint32_t)(size + 15) / 16 - 1;
    uint32_t shift = 61 - (uint32_t)__builtin_clzl(size - 1);
    return 8 + (shift - 5) * 4 + (uint32_t)((size - 1) >> shift) - 4;
}

static uint32_t block_size(uint32_t class)
{
    return class < 8 ? (class + 1) * 16 : (class % 4 + 5) << (class / 4 + 3);
}

static uint32_t slab_pages(uint32_t class)
{
    return block_size(class) <= SMALL_BLOCK ? 1 : SLAB_PAGES;
}

/* ---- Lists ---- */

static void list_add(struct span **list, struct span *span)
{
    span->previous = NULL;
    span->next = *list;
    if (*list)
        (*list)->previous = span;
    *list = span;
}

static void list_remove(struct span **list, struct span *span)
{
    *(span->previous ? &span->previous->next : list) = span->next;
    if (span->next)
        span->next->previous = span->previous;
}

static struct span **spans_like(uint32_t pages)
{
    return &heap.spans[31 - __builtin_clz(pages)];
}

/* ---- Spans ---- */

static struct segment *map_segment(size_t size)
{
    char *memory = mmap(NULL, size + SEGMENT, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    char *aligned = (char *)cz_size_align((uintptr_t)memory, SEGMENT);
    size_t before = (size_t)(aligned - memory);
    if (before)
        munmap(memory, before);
    munmap(aligned + size, SEGMENT - before);
    return (struct segment *)(void *)aligned;
}

static void lock(void)
{
    pthread_mutex_lock(&heap.lock);
}

static void unlock(void)
{
    pthread_mutex_unlock(&heap.lock);
}

static struct segment *add_segment(void)
{
    struct segment *segment = map_segment(SEGMENT);
    if (!segment)
        return NULL;
    if (!heap.newest)
        pthread_atfork(lock, unlock, unlock);
    segment->fresh = FIRST_PAGE;
    heap.newest = segment;
    return segment;
}

static void set_span(struct span *span, uint32_t pages, enum kind kind)
{
    span->pages = pages;
    span->kind = kind;
    span->back = 0;
    span[pages - 1].back = pages - 1;
}

static struct span *take_fresh(uint32_t pages)
{
    struct segment *segment = heap.newest;
    if (!segment || PAGES - segment->fresh < pages)
        segment = add_segment();
    if (!segment)
        return NULL;
    struct span *span = &segment->spans[segment->fresh];
    segment->fresh += pages;
    set_span(span, pages, SPAN_LARGE);
    return span;
}

static void add_free(struct span *span, uint32_t pages, uint32_t written)
{
    set_span(span, pages, SPAN_FREE);
    span->count = written;
    list_add(spans_like(pages), span);
}

/* The first pages of a free span; what is left stays free. */
static void split_free(struct span *span, uint32_t pages)
{
    uint32_t rest = span->pages - pages, written = span->count;
    list_remove(spans_like(span->pages), span);
    set_span(span, pages, SPAN_LARGE);
    if (rest)
        add_free(span + pages, rest, written < rest ? written : rest);
}

static struct span *find_free(uint32_t pages)
{
    for (struct span **list = spans_like(pages); list < heap.spans + LENGTHS; list++) {
        struct span *span = *list;
        for (int looks = 0; span && looks < LOOKS; span = span->next, looks++) {
            if (span->pages >= pages)
                return span;
        }
    }
    return NULL;
}

/* *zero: it was never written. */
static struct span *take_span(uint32_t pages, bool *zero)
{
    struct span *span = find_free(pages);
    *zero = !span;
    if (!span)
        return take_fresh(pages);
    split_free(span, pages);
    return span;
}

/* The span behind; NULL when that was never handed out. */
static struct span *behind(struct span *span)
{
    uint32_t next = page_of(span) + span->pages;
    return next < segment_of(span)->fresh ? span + span->pages : NULL;
}

static void give_span(struct span *span)
{
    struct span *first = span, *after = behind(span);
    uint32_t pages = span->pages, written = pages;
    if (after && after->kind == SPAN_FREE) {
        list_remove(spans_like(after->pages), after);
        pages += after->pages;
        written += after->count;
    }
    if (page_of(span) > FIRST_PAGE) {
        struct span *before = span - 1;
        before -= before->back;
        if (before->kind == SPAN_FREE) {
            list_remove(spans_like(before->pages), before);
            pages += before->pages;
            written += before->count;
            first = before;
        }
    }
    if (written >= RETURNED && madvise(start_of(first), (size_t)pages * PAGE, MADV_DONTNEED) == 0)
        written = 0;
    add_free(first, pages, written);
}

/* ---- Slabs ---- */

static struct span *add_slab(uint32_t class)
{
    uint32_t pages = slab_pages(class);
    bool zero;
    struct span *span = take_span(pages, &zero);
    if (!span)
        return NULL;
    for (uint32_t i = 0; i < pages; i++)
        span[i].back = i;
    span->kind = SPAN_SLAB;
    span->class = class;
    span->count = span->fresh = 0;
    span->free_list = NULL;
    list_add(&heap.slabs[class], span);
    return span;
}

static bool is_full(const struct span *slab)
{
    return !slab->free_list &&
           (slab->fresh + 1) * block_size(slab->class) > slab->pages * (uint32_t)PAGE;
}

static void *take_block(uint32_t class)
{
    struct span *slab = heap.slabs[class];
    if (!slab && !(slab = add_slab(class)))
        return NULL;
    void *block = slab->free_list;
    if (block)
        memcpy(&slab->free_list, block, sizeof slab->free_list);
    else
        block = start_of(slab) + (size_t)slab->fresh++ * block_size(class);
    slab->count++;
    if (is_full(slab))
        list_remove(&heap.slabs[class], slab);
    return block;
}

static void give_block(struct span *slab, void *block)
{
    struct span **list = &heap.slabs[slab->class];
    if (is_full(slab))
        list_add(list, slab);
    memcpy(block, &slab->free_list, sizeof slab->free_list);
    slab->free_list = block;
    slab->count--;
    if (slab->count || (!slab->next && !slab->previous))
        return; /* the last slab with room stays */
    list_remove(list, slab);
    give_span(slab);
}

/* ---- Single blocks ---- */

/* In a segment of its own, which is then larger than others. */
static void *take_huge(size_t size)
{
    if (size > SIZE_MAX / 4)
        return NULL;
    struct segment *segment = map_segment(cz_size_align(size + FIRST_PAGE * PAGE, PAGE));
    if (!segment)
        return NULL;
    segment->huge = size;
    return (char *)segment + FIRST_PAGE * PAGE;
}

static uint32_t pages_of(size_t size)
{
    return (uint32_t)((size + PAGE - 1) / PAGE);
}

/* Large spans grow where they stand when there is room behind them. */
static bool extend(struct span *span, uint32_t pages)
{
    struct segment *segment = segment_of(span);
    struct span *after = behind(span);
    uint32_t more = pages - span->pages;
    if (!after && PAGES - segment->fresh >= more)
        segment->fresh += more;
    else if (after && after->kind == SPAN_FREE && after->pages >= more)
        split_free(after, more);
    else
        return false;
    set_span(span, pages, SPAN_LARGE);
    return true;
}

static void *take(size_t size, bool *zero)
{
    *zero = size > LARGEST_SPAN;
    if (size > LARGEST_SPAN)
        return take_huge(size);
    lock();
    void *memory = NULL;
    if (size <= LARGEST_BLOCK) {
        memory = take_block(class_of(size));
    } else {
        struct span *span = take_span(pages_of(size), zero);
        memory = span ? start_of(span) : NULL;
    }
    unlock();
    return memory;
}

void *cz_heap_alloc(size_t size)
{
    bool zero;
    return take(size ? size : 1, &zero);
}

void *cz_heap_zeroed(size_t count, size_t size)
{
    bool zero;
    size_t total;
    if (!cz_size_mul(count, size, &total))
        return NULL;
    void *memory = take(total ? total : 1, &zero);
    if (memory && !zero)
        memset(memory, 0, total);
    return memory;
}

void cz_heap_free(void *memory)
{
    if (!memory)
        return;
    struct segment *segment = segment_of(memory);
    if (segment->huge) {
        munmap(segment, cz_size_align(segment->huge + FIRST_PAGE * PAGE, PAGE));
        return;
    }
    struct span *span = span_of(memory);
    lock();
    if (span->kind == SPAN_SLAB)
        give_block(span, memory);
    else
        give_span(span);
    unlock();
}

size_t cz_heap_size(const void *memory)
{
    if (!memory)
        return 0;
    if (segment_of(memory)->huge)
        return segment_of(memory)->huge;
    const struct span *span = span_of(memory);
    return span->kind == SPAN_SLAB ? block_size(span->class) : (size_t)span->pages * PAGE;
}

static bool resize_in_place(void *memory, size_t size, size_t has)
{
    if (size <= has && size >= has / 2)
        return true;
    if (size < has || has <= LARGEST_BLOCK || size > LARGEST_SPAN)
        return false;
    lock();
    bool extended = extend(span_of(memory), pages_of(size));
    unlock();
    return extended;
}

void *cz_heap_resize(void *memory, size_t size)
{
    size_t has = cz_heap_size(memory);
    if (memory && resize_in_place(memory, size ? size : 1, has))
        return memory;
    void *moved = cz_heap_alloc(size);
    if (!moved)
        return NULL;
    if (memory)
        memcpy(moved, memory, cz_size_min(size, has));
    cz_heap_free(memory);
    return moved;
}
#endif
