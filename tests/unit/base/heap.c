/* heap.c - blocks of all sizes keep their content, stand apart, and come back for use. */
#include "test.h"

#include "base/heap.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

enum { BLOCKS = 2000, STEPS = 60000, THREADS = 4 };

struct block {
    unsigned char *data;
    size_t size;
    unsigned char filling;
};

static uint64_t draw(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return *random >> 33;
}

/* Mostly small, now and then some hundred kilobytes. */
static size_t draw_size(uint64_t *random)
{
    return 1 + draw(random) % ((size_t)16 << draw(random) % (draw(random) % 64 ? 8 : 16));
}

static bool holds(const struct block *block, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (block->data[i] != block->filling)
            return false;
    }
    return true;
}

static void fill(struct block *block, uint64_t *random)
{
    block->filling = (unsigned char)draw(random);
    if (block->data)
        memset(block->data, block->filling, block->size);
}

/* A new block, another size, or none; whether all was well. */
static bool change(struct block *block, uint64_t *random)
{
    size_t size = draw_size(random), kept = size < block->size ? size : block->size;
    if (block->data && !holds(block, block->size))
        return false;
    if (block->data && draw(random) % 2) {
        cz_heap_free(block->data);
        *block = (struct block){0};
        return true;
    }
    bool fresh = !block->data, zeroed = fresh && draw(random) % 2;
    block->data = zeroed ? cz_heap_zeroed(1, size) : cz_heap_resize(block->data, size);
    block->size = size;
    if (!block->data || (uintptr_t)block->data % 16 || cz_heap_size(block->data) < size)
        return false;
    if (zeroed)
        block->filling = 0;
    if (zeroed ? !holds(block, size) : !fresh && !holds(block, kept))
        return false;
    fill(block, random);
    return true;
}

/* Returns its argument when all was well. */
static void *use_heap(void *number)
{
    struct block *blocks = calloc(BLOCKS, sizeof *blocks);
    uint64_t random = (uintptr_t)number;
    bool good = blocks != NULL;
    for (int i = 0; good && i < STEPS; i++)
        good = change(&blocks[draw(&random) % BLOCKS], &random);
    for (int i = 0; blocks && i < BLOCKS; i++) {
        good = good && (!blocks[i].data || holds(&blocks[i], blocks[i].size));
        cz_heap_free(blocks[i].data);
    }
    free(blocks);
    return good ? number : NULL;
}

static void blocks_keep_their_content(void **state)
{
    (void)state;
    static char number[1];
    assert_ptr_equal(use_heap(number), number);
}

static void threads_share_it(void **state)
{
    (void)state;
    static char numbers[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_heap, &numbers[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        void *result;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_ptr_equal(result, &numbers[i]);
    }
}

static void every_size_has_room(void **state)
{
    (void)state;
    for (size_t size = 0; size < 70000; size += size < 9000 ? 1 : 511) {
        unsigned char *memory = cz_heap_alloc(size);
        assert_non_null(memory);
        assert_true(cz_heap_size(memory) >= size);
        memset(memory, 0xA5, size);
        cz_heap_free(memory);
    }
    cz_heap_free(NULL);
    assert_int_equal(cz_heap_size(NULL), 0);
}

static void large_blocks_grow_and_shrink(void **state)
{
    (void)state;
    struct block block = {NULL, 0, 7};
    for (size_t size = 1000; size < (size_t)200 << 20; size *= 3) {
        block.data = cz_heap_resize(block.data, size);
        assert_non_null(block.data);
        assert_true(holds(&block, block.size));
        memset(block.data + block.size, block.filling, size - block.size);
        block.size = size;
    }
    for (; block.size > 10; block.size /= 5) {
        block.data = cz_heap_resize(block.data, block.size);
        assert_non_null(block.data);
        assert_true(holds(&block, block.size));
    }
    cz_heap_free(block.data);
}

/* Spans that were written, given back and joined are zero when that was asked for. */
static void zeroed_memory_is_zero(void **state)
{
    (void)state;
    void *parts[64];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 64; i++) {
            parts[i] = cz_heap_alloc((size_t)(i + 1) * 3000);
            assert_non_null(parts[i]);
            memset(parts[i], 0xFF, (size_t)(i + 1) * 3000);
        }
        for (int i = 0; i < 64; i++)
            cz_heap_free(parts[(i * 37 + round) % 64]);
        for (int i = 0; i < 64; i++) {
            struct block block = {cz_heap_zeroed(50, (size_t)(64 - i) * 90), 0, 0};
            assert_non_null(block.data);
            assert_true(holds(&block, (size_t)(64 - i) * 4500));
            memset(block.data, 0xEE, (size_t)(64 - i) * 4500);
            parts[i] = block.data;
        }
        for (int i = 0; i < 64; i++)
            cz_heap_free(parts[i]);
    }
}

static void what_can_not_be_had_is_null(void **state)
{
    (void)state;
    volatile size_t most = SIZE_MAX;
    assert_null(cz_heap_zeroed(most / 2, 3));
#ifndef __SANITIZE_ADDRESS__ /* which ends the process */
    assert_null(cz_heap_alloc(most));
    void *kept = cz_heap_alloc(10);
    assert_null(cz_heap_resize(kept, most - 4096));
    cz_heap_free(kept);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_keep_their_content), cmocka_unit_test(threads_share_it),
        cmocka_unit_test(every_size_has_room),       cmocka_unit_test(large_blocks_grow_and_shrink),
        cmocka_unit_test(zeroed_memory_is_zero),     cmocka_unit_test(what_can_not_be_had_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
