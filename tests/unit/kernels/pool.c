/* Workers share every item once, meet at barriers, and wake from sleep. */
#include "test.h"

#include "base/clock.h"
#include "kernels/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { ITEMS = 1000, ROUNDS = 50, THREADS = 4 };

struct work {
    unsigned char taken[ITEMS];
    uint32_t sums[ROUNDS];
    uint32_t rounds;
};

static void take_all(void *context, struct cz_worker *worker)
{
    struct work *work = context;
    for (uint32_t round = 0; round < work->rounds; round++) {
        struct cz_range range;
        while (cz_worker_take(worker, ITEMS, 7, &range))
            for (uint32_t i = range.first; i < range.end; i++)
                work->taken[i]++;
        cz_worker_barrier(worker);
        if (worker->index == round % worker->count) /* sees what all have written */
            for (uint32_t i = 0; i < ITEMS; i++)
                work->sums[round] += work->taken[i];
        cz_worker_barrier(worker);
    }
}

static void every_item_is_taken_once(void **state)
{
    (void)state;
    struct cloze_error error;
    for (uint32_t threads = 1; threads <= THREADS; threads++) {
        struct cz_pool *pool;
        ASSERT_OK(cz_pool_create(threads, &pool, &error));
        assert_int_equal(cz_pool_threads(pool), threads);
        struct work work = {.rounds = ROUNDS};
        cz_pool_run(pool, take_all, &work);
        for (uint32_t round = 0; round < ROUNDS; round++)
            assert_int_equal(work.sums[round], (round + 1) * ITEMS);
        cz_pool_free(pool);
    }
}

static void sleeping_workers_wake(void **state)
{
    (void)state;
    struct cloze_error error;
    struct cz_pool *pool;
    ASSERT_OK(cz_pool_create(THREADS, &pool, &error));
    for (int i = 0; i < 5; i++) {
        struct work work = {.rounds = 1};
        nanosleep(&(struct timespec){0, 3000000}, NULL); /* longer than they spin */
        cz_pool_run(pool, take_all, &work);
        assert_int_equal(work.sums[0], ITEMS);
    }
    cz_pool_free(pool);
}

static void *compute(void *stop)
{
    while (!atomic_load((atomic_bool *)stop))
        ;
    return NULL;
}

/* More than enough other work for the pool to let workers rest, and to try again. */
static void runs_beside_busy_threads_are_whole(void **state)
{
    (void)state;
    struct cloze_error error;
    struct cz_pool *pool;
    pthread_t busy[2 * THREADS];
    atomic_bool stop = false;
    ASSERT_OK(cz_pool_create(THREADS, &pool, &error));
    for (int i = 0; i < 2 * THREADS; i++)
        assert_int_equal(pthread_create(&busy[i], NULL, compute, &stop), 0);
    for (uint64_t end = cz_clock_ns() + 700000000; cz_clock_ns() < end;) {
        struct work work = {.rounds = 2};
        cz_pool_run(pool, take_all, &work);
        assert_int_equal(work.sums[1], 2 * ITEMS);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2 * THREADS; i++)
        pthread_join(busy[i], NULL);
    cz_pool_free(pool);
}

static void shares_cover_all(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers < 9; workers++) {
        uint32_t next = 0;
        for (uint32_t i = 0; i < workers; i++) {
            struct cz_worker worker = {.index = i, .count = workers};
            struct cz_range range = cz_worker_share(&worker, 101, 4);
            assert_int_equal(range.first, next);
            assert_true(range.first % 4 == 0 || range.first == 101);
            next = range.end;
        }
        assert_int_equal(next, 101);
    }
}

static void limits_are_kept(void **state)
{
    (void)state;
    struct cloze_error error;
    struct cz_pool *pool;
    ASSERT_FAILS(cz_pool_create(CZ_POOL_MAX_THREADS + 1, &pool, &error), CLOZE_LIMIT, "threads");
    assert_in_range(cz_cpu_threads(), 1, CZ_POOL_MAX_THREADS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_is_taken_once),
        cmocka_unit_test(sleeping_workers_wake),
        cmocka_unit_test(runs_beside_busy_threads_are_whole),
        cmocka_unit_test(shares_cover_all),
        cmocka_unit_test(limits_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
