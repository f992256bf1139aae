/* map.c - the hash map under growth, and the arena. */
#include "test.h"

#include "base/arena.h"
#include "base/map.h"

static void finds_what_was_set_and_nothing_else(void **state)
{
    (void)state;
    struct cz_arena arena = {0};
    struct cz_map map = {0};
    for (unsigned i = 0; i < 5000; i++) {
        char key[16];
        int size = snprintf(key, sizeof key, "key-%u", i);
        struct cz_slice copy = {cz_arena_text(&arena, cz_slice_of(key, (size_t)size)), (size_t)size};
        assert_true(cz_map_set(&map, copy, i));
    }
    uint64_t value;
    assert_true(cz_map_get(&map, CZ_SLICE("key-4321"), &value));
    assert_int_equal(value, 4321);
    assert_false(cz_map_get(&map, CZ_SLICE("key-5000"), &value));
    assert_int_equal(map.count, 5000);
    assert_int_equal(cz_map_add(&map, CZ_SLICE("key-7"), 9, &value), 0);
    assert_int_equal(value, 7);
    cz_map_free(&map);
    cz_arena_free(&arena);
}

static void the_empty_key_is_a_key(void **state)
{
    (void)state;
    struct cz_map map = {0};
    uint64_t value;
    assert_false(cz_map_get(&map, CZ_SLICE(""), &value));
    assert_true(cz_map_set(&map, (struct cz_slice){NULL, 0}, 3));
    assert_true(cz_map_get(&map, CZ_SLICE(""), &value));
    cz_map_free(&map);
}

static void arena_is_zeroed_aligned_and_bounded(void **state)
{
    (void)state;
    struct cz_arena arena = {.maximum = 1 << 20};
    for (size_t i = 1; i < 200; i++) {
        char *block = cz_arena_alloc(&arena, i);
        assert_int_equal((uintptr_t)block % 16, 0);
        for (size_t j = 0; j < i; j++)
            assert_int_equal(block[j], 0);
        memset(block, 0xFF, i);
    }
    assert_null(cz_arena_alloc(&arena, 2 << 20));
    assert_null(cz_arena_array(&arena, SIZE_MAX / 2, 4));
    cz_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_was_set_and_nothing_else),
        cmocka_unit_test(the_empty_key_is_a_key),
        cmocka_unit_test(arena_is_zeroed_aligned_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
