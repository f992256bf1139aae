/*
 * allocation.c - once warm, the threads of an engine allocate nothing: what they need was reserved
 * when the request was prepared.
 *
 * Counts the calls of malloc, calloc and realloc on all threads but the first by standing in for
 * them, which sanitizers do as well: this test is not built with those.
 */
#include "test.h"

#include "base/file.h"
#include "engine/engine.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static atomic_uint allocations;
static struct cloze_error error;

static void count(void)
{
    allocations += gettid() != getpid();
}

void *malloc(size_t size)
{
    count();
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
    count();
    return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size)
{
    count();
    return __libc_realloc(old, size);
}

/* Runs some requests; how many allocations that took. */
static unsigned run(struct cz_engine *engine, const char *expression, uint32_t logprobs)
{
    unsigned before = allocations;
    struct cz_generation *generations[6];
    for (unsigned seed = 0; seed < 6; seed++) {
        struct cz_request request = {
            .prompt = CZ_SLICE("ABCDEFGHABCDEFGHABCDEFGHABCDEFGHABCDEFGH"),
            .max_tokens = 30,
            .choices = 2,
            .sampling = {.temperature = 1.5, .has_seed = true, .seed = seed, .logprobs = logprobs},
            .constraint = {.set = expression,
                           .options.kind = CZ_GRAMMAR_REGEX,
                           .source = cz_slice(expression)},
        };
        ASSERT_OK(cz_engine_submit(engine, &request, &generations[seed], &error));
    }
    for (unsigned seed = 0; seed < 6; seed++) {
        struct cz_buffer text = {0};
        ASSERT_OK(cz_generation_finish(generations[seed], &text, NULL, &error));
        cz_generation_close(generations[seed]);
        cz_buffer_free(&text);
    }
    return allocations - before;
}

/* How requests meet in the engine's steps differs from run to run, and a meeting that is new may
 * need more room: warm is an engine that has taken some runs in a row without. */
static void settles(struct cz_engine *engine, const char *expression, uint32_t logprobs)
{
    enum { RUNS = 100, QUIET = 3 };
    unsigned quiet = 0;
    for (unsigned i = 0; i < RUNS && quiet < QUIET; i++)
        quiet = run(engine, expression, logprobs) == 0 ? quiet + 1 : 0;
    assert_int_equal(quiet, QUIET);
}

static void *allocate_once(void *unused)
{
    (void)unused;
    return malloc(10);
}

static void other_threads_are_counted(void **state)
{
    (void)state;
    unsigned before = allocations;
    pthread_t thread;
    void *memory;
    assert_int_equal(pthread_create(&thread, NULL, allocate_once, NULL), 0);
    assert_int_equal(pthread_join(thread, &memory), 0);
    free(memory);
    assert_int_equal(allocations - before, 1);
}

static void an_engine_comes_to_allocate_nothing(void **state)
{
    (void)state;
    static const char *const expressions[] = {NULL, "[A-D]{2,20}EFGH(IJK|[LM]+)",
                                              "(AB(CDEFGH|IJ){1,3}){1,6}"};
    char cache[] = "/tmp/cloze-allocation-XXXXXX";
    assert_non_null(mkdtemp(cache));
    struct cz_engine_options options = {.cache_folder = cache, .threads = 2};
    struct cz_engine *engine;
    ASSERT_OK(cz_engine_open(test_file("models/llama"), &options, &engine, &error));
    for (unsigned i = 0; i < 3; i++) {
        settles(engine, expressions[i], 0);
        settles(engine, expressions[i], 4);
    }
    cz_engine_close(engine);
    ASSERT_OK(cz_file_remove_tree(cache, &error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_threads_are_counted),
        cmocka_unit_test(an_engine_comes_to_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
