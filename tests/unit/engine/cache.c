/* cache.c - prefixes are found, references keep them, the least recently used leaf goes first. */
#include "test.h"

#include "engine/cache.h"

static struct cloze_error error;
static struct cz_cache cache;

static int teardown(void **state)
{
    (void)state;
    cz_cache_free(&cache);
    return 0;
}

/* Tokens of three blocks; sequences that differ in `tail` share the first two. */
static void spell(uint32_t *tokens, uint32_t tail)
{
    for (uint32_t i = 0; i < 3 * CZ_KV_BLOCK; i++)
        tokens[i] = i < 2 * CZ_KV_BLOCK ? i : i + 1000 * tail;
}

/* Fills and publishes the blocks that are not in the tree yet. */
static uint32_t compute(const uint32_t *tokens, uint32_t *blocks)
{
    uint32_t matched = cz_cache_match(&cache, tokens, 3 * CZ_KV_BLOCK, blocks);
    for (uint32_t i = matched; i < 3; i++) {
        assert_true(cz_cache_take(&cache, &blocks[i]));
        blocks[i] = cz_cache_publish(&cache, blocks[i], i ? blocks[i - 1] : CZ_CACHE_NONE,
                                     tokens + i * CZ_KV_BLOCK);
    }
    return matched;
}

static void release(const uint32_t *blocks, uint32_t count)
{
    while (count--)
        cz_cache_release(&cache, blocks[count]);
}

static void shares_prefixes(void **state)
{
    (void)state;
    uint32_t tokens[3 * CZ_KV_BLOCK], first[3], second[3];
    ASSERT_OK(cz_cache_create(8, true, &cache, &error));
    spell(tokens, 1);
    assert_int_equal(compute(tokens, first), 0);
    spell(tokens, 2);
    assert_int_equal(compute(tokens, second), 2);
    assert_int_equal(first[1], second[1]);
    assert_int_not_equal(first[2], second[2]);
    assert_int_equal(cache.used, 4);
    release(first, 3);
    release(second, 3);
    assert_int_equal(cache.used, 0);
    assert_int_equal(compute(tokens, second), 3);
}

static void two_that_compute_the_same_end_with_one_block(void **state)
{
    (void)state;
    uint32_t tokens[3 * CZ_KV_BLOCK], a, b;
    ASSERT_OK(cz_cache_create(4, true, &cache, &error));
    spell(tokens, 1);
    assert_true(cz_cache_take(&cache, &a));
    assert_true(cz_cache_take(&cache, &b));
    assert_int_equal(cz_cache_publish(&cache, a, CZ_CACHE_NONE, tokens), a);
    assert_int_equal(cz_cache_publish(&cache, b, CZ_CACHE_NONE, tokens), a);
    assert_int_equal(cache.nodes[a].references, 2);
    assert_int_equal(cache.used, 1);
}

static void evicts_leaves_before_their_parents(void **state)
{
    (void)state;
    uint32_t tokens[3 * CZ_KV_BLOCK], blocks[3], other[3], block;
    ASSERT_OK(cz_cache_create(4, true, &cache, &error));
    spell(tokens, 1);
    compute(tokens, blocks);
    release(blocks, 3);
    assert_true(cz_cache_take(&cache, &other[0])); /* the free one */
    assert_true(cz_cache_take(&cache, &block));    /* evicts the tail */
    assert_int_equal(block, blocks[2]);
    assert_int_equal(cz_cache_match(&cache, tokens, 3 * CZ_KV_BLOCK, blocks), 2);
    assert_false(cz_cache_take(&cache, &other[1])); /* all are in use */
    release(blocks, 2);
    assert_true(cz_cache_take(&cache, &other[1]));
    assert_int_equal(cz_cache_match(&cache, tokens, 3 * CZ_KV_BLOCK, blocks), 1);
}

static void shares_nothing_when_told_so(void **state)
{
    (void)state;
    uint32_t tokens[3 * CZ_KV_BLOCK], blocks[3];
    ASSERT_OK(cz_cache_create(8, false, &cache, &error));
    spell(tokens, 1);
    compute(tokens, blocks);
    release(blocks, 3);
    assert_int_equal(compute(tokens, blocks), 0);
}

/* Random traffic against a model that knows only what must hold. */
static void holds_its_invariants_under_random_traffic(void **state)
{
    (void)state;
    enum { HOLDERS = 6, BLOCKS = 12 };
    uint32_t tokens[3 * CZ_KV_BLOCK], held[HOLDERS][3], counts[HOLDERS] = {0};
    uint64_t random = 1;
    ASSERT_OK(cz_cache_create(BLOCKS, true, &cache, &error));
    for (unsigned step = 0; step < 20000; step++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint32_t who = (uint32_t)(random >> 33) % HOLDERS, tail = (uint32_t)(random >> 40) % 5;
        if (counts[who]) {
            release(held[who], counts[who]);
            counts[who] = 0;
            continue;
        }
        spell(tokens, tail);
        uint32_t *blocks = held[who];
        uint32_t count = cz_cache_match(&cache, tokens, 3 * CZ_KV_BLOCK, blocks);
        for (; count < 3 && cz_cache_take(&cache, &blocks[count]); count++)
            blocks[count] =
                cz_cache_publish(&cache, blocks[count], count ? blocks[count - 1] : CZ_CACHE_NONE,
                                 tokens + count * CZ_KV_BLOCK);
        counts[who] = count;
        for (uint32_t i = 0; i < count; i++)
            assert_memory_equal(cache.nodes[blocks[i]].tokens, tokens + i * CZ_KV_BLOCK,
                                sizeof cache.nodes[0].tokens);
    }
    for (unsigned i = 0; i < HOLDERS; i++)
        release(held[i], counts[i]);
    assert_int_equal(cache.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(shares_prefixes, teardown),
        cmocka_unit_test_teardown(two_that_compute_the_same_end_with_one_block, teardown),
        cmocka_unit_test_teardown(evicts_leaves_before_their_parents, teardown),
        cmocka_unit_test_teardown(shares_nothing_when_told_so, teardown),
        cmocka_unit_test_teardown(holds_its_invariants_under_random_traffic, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
