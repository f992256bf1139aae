/*
 * cache.c - compiled grammars shared by many threads, and forgotten when they outgrow the budget.
 */
#include "test.h"

#include "constraint/grammar_internal.h"
#include "constraint/matcher.h"

#include <pthread.h>

enum { END = 256, THREADS = 8, ROUNDS = 24, STEPS = 60, BUDGET = 256 << 10 };

static struct cz_vocab *byte_vocab(void)
{
    static char bytes[256];
    struct cz_slice tokens[257] = {{0}};
    const uint32_t end = END;
    struct cz_vocab *vocab;
    struct cloze_error error;
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        tokens[i] = cz_slice_of(&bytes[i], 1);
    }
    const struct cz_vocab_options options = {.count = 257,
                                             .logits_width = 257,
                                             .tokens = tokens,
                                             .end_ids = &end,
                                             .end_count = 1,
                                             .cache_bytes = BUDGET};
    ASSERT_OK(cz_vocab_create(&options, &vocab, &error));
    return vocab;
}

static struct cz_grammar *compile(struct cz_vocab *vocab, int number)
{
    char text[400];
    const struct cz_grammar_options options = {0};
    struct cz_grammar *grammar;
    struct cloze_error error;
    int size = snprintf(text, sizeof text,
                        "{\"type\": \"object\", \"properties\": {\"name_%d\": {\"type\": \"string\", "
                        "\"maxLength\": 4}, \"tags\": {\"type\": \"array\", \"maxItems\": 3, "
                        "\"uniqueItems\": true, \"items\": {\"enum\": [1, 2, \"a\", %d]}}}, "
                        "\"required\": [\"name_%d\"]}",
                        number, number + 100, number);
    if (cz_grammar_compile(vocab, cz_slice_of(text, (size_t)size), &options, &grammar, &error))
        fail_msg("%s: %s", error.where, error.message);
    return grammar;
}

/* One answer, by choices that follow from the seed; its text. */
static struct cz_matcher *walk(struct cz_grammar *grammar, uint64_t seed)
{
    struct cz_matcher *matcher;
    struct cloze_error error;
    ASSERT_OK(cz_matcher_create(grammar, &matcher, &error));
    ASSERT_OK(cz_matcher_set_budget(matcher, STEPS, &error));
    while (!cz_matcher_is_finished(matcher)) {
        struct cz_mask mask = cz_matcher_mask(matcher);
        assert_true(mask.count > 0);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint32_t wanted = (uint32_t)(seed >> 33) % mask.count, token = 0;
        while (!cz_mask_has(mask, token) || wanted-- > 0)
            token++;
        assert_true(cz_matcher_accept(matcher, token));
    }
    return matcher;
}

struct worker {
    pthread_t thread;
    struct cz_vocab *vocab;
    struct cz_grammar *shared;
    int number;
    bool good;
};

/* An assertion that fails here, outside of the main thread, ends the whole process. */
static void *work(void *argument)
{
    struct worker *worker = argument;
    worker->good = true;
    for (int round = 0; round < ROUNDS; round++) {
        bool own = round % 3 == 1;
        struct cz_grammar *grammar = round % 3 == 0 ? cz_grammar_retain(worker->shared)
                                     : compile(worker->vocab, own ? 1000 * worker->number + round
                                                                  : round);
        struct cz_matcher *matcher = walk(grammar, (uint64_t)round), *fork = NULL;
        size_t size = cz_matcher_text(matcher).size;
        worker->good &= size > 0 && cz_matcher_fork(matcher, &fork, NULL) == CLOZE_OK &&
                        cz_matcher_text(fork).size == size;
        cz_matcher_free(fork);
        cz_matcher_free(matcher);
        cz_grammar_release(grammar);
    }
    return NULL;
}

static void threads_compile_and_mask_together(void **state)
{
    (void)state;
    struct cz_vocab *vocab = byte_vocab();
    struct cz_grammar *shared = compile(vocab, 7);
    struct worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.vocab = vocab, .shared = shared, .number = i + 1};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_true(workers[i].good);
    }
    cz_grammar_release(shared);
    assert_true(cz_grammar_cache_bytes(vocab) <= BUDGET);
    cz_vocab_release(vocab);
}

static void equal_text_is_compiled_once(void **state)
{
    (void)state;
    struct cz_vocab *vocab = byte_vocab();
    struct cz_grammar *first = compile(vocab, 1), *again = compile(vocab, 1);
    struct cz_grammar *other = compile(vocab, 2);
    assert_ptr_equal(cz_grammar_machine(first), cz_grammar_machine(again));
    assert_ptr_not_equal(cz_grammar_machine(first), cz_grammar_machine(other));
    cz_grammar_release(first);
    cz_grammar_release(again);
    cz_grammar_release(other);
    cz_vocab_release(vocab);
}

/* Many more grammars than the budget holds: what a matcher uses stays whole, the rest goes. */
static void the_budget_is_kept(void **state)
{
    (void)state;
    struct cz_vocab *vocab = byte_vocab();
    struct cz_grammar *used = compile(vocab, 1);
    struct cz_matcher *before = walk(used, 5);
    for (int i = 2; i < 200; i++) {
        struct cz_grammar *grammar = compile(vocab, i);
        cz_matcher_free(walk(grammar, (uint64_t)i));
        cz_grammar_release(grammar);
        assert_true(cz_grammar_cache_bytes(vocab) <= BUDGET);
    }
    struct cz_matcher *after = walk(used, 5);
    assert_true(cz_slice_equal(cz_matcher_text(before), cz_matcher_text(after)));
    struct cz_grammar *same = compile(vocab, 1);
    assert_ptr_equal(cz_grammar_machine(used), cz_grammar_machine(same));
    cz_grammar_release(same);
    cz_matcher_free(before);
    cz_matcher_free(after);
    cz_grammar_release(used);
    cz_vocab_release(vocab);
}

/* A grammar that came again lately is kept rather than one that did not. */
static void the_least_recently_used_goes(void **state)
{
    (void)state;
    struct cz_vocab *vocab = byte_vocab();
    struct cz_grammar *grammar = compile(vocab, 1);
    size_t one = cz_grammar_cache_bytes(vocab);
    cz_grammar_release(grammar);
    for (int i = 2; i < 100; i++) {
        cz_grammar_release(compile(vocab, i));
        cz_grammar_release(compile(vocab, 1));
    }
    size_t full = cz_grammar_cache_bytes(vocab);
    assert_true(full > BUDGET - 3 * one && full <= BUDGET);
    size_t held = cz_grammar_cache_bytes(vocab);
    cz_grammar_release(compile(vocab, 1));
    assert_int_equal(cz_grammar_cache_bytes(vocab), held); /* it was there */
    grammar = compile(vocab, 2);
    assert_int_not_equal(cz_grammar_cache_bytes(vocab), held); /* it was not */
    cz_grammar_release(grammar);
    cz_vocab_release(vocab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_compile_and_mask_together),
        cmocka_unit_test(equal_text_is_compiled_once),
        cmocka_unit_test(the_budget_is_kept),
        cmocka_unit_test(the_least_recently_used_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
