/*
 * pool.h - the compute threads, and how many the machine lets us have.
 *
 * A pool runs one function on all its workers at once; the caller is worker 0, so two cores are two
 * workers. Inside the function the workers share loops and meet at barriers:
 *
 *     static void step(void *context, struct cz_worker *worker)
 *     {
 *         struct cz_range range;
 *         while (cz_worker_take(worker, items, grain, &range))
 *             ... items range.first .. range.end - 1 ...
 *         cz_worker_barrier(worker);
 *         ...
 *     }
 *
 * Between two barriers all workers share at most ONE loop (with the same items and grain). All
 * writes before a barrier are seen by all workers after it. A whole forward pass is one cz_pool_run.
 *
 * Waiting: workers spin for some microseconds, then sleep on a futex, so a pool that waits for a
 * request costs nothing. While foreign processes take CPUs away, fewer workers run (pool.c). One thread
 * calls cz_pool_run at a time.
 */
#ifndef CZ_KERNELS_POOL_H
#define CZ_KERNELS_POOL_H

#include "base/error.h"

enum { CZ_POOL_MAX_THREADS = 256 };

struct cz_pool;

struct cz_worker { /* alone in its cache line: every barrier writes to it */
    _Alignas(64) struct cz_pool *pool;
    uint32_t index; /* 0 is the caller of cz_pool_run */
    uint32_t count; /* workers in this run */
    uint32_t phase; /* barriers that it has arrived at, of all runs */
    uint64_t slept_ns, lost_ns; /* the pool's own: asleep at barriers; without a CPU in tasks */
};

struct cz_range {
    uint32_t first, end;
};

typedef void cz_pool_task(void *context, struct cz_worker *worker);

/* threads = 0: cz_cpu_threads(). Workers inherit the caller's affinity and block all signals. */
cloze_status cz_pool_create(uint32_t threads, struct cz_pool **out, struct cloze_error *error);
void cz_pool_free(struct cz_pool *pool); /* NULL is fine; no run may be in progress */
uint32_t cz_pool_threads(const struct cz_pool *pool);

/* Returns when all workers have returned from `task`. No malloc, no failure. */
void cz_pool_run(struct cz_pool *pool, cz_pool_task *task, void *context);

void cz_worker_barrier(struct cz_worker *worker);
/* The next piece of at most `grain` of the items 0..count-1: of the worker's own share in ascending
 * order, then of the shares of some others. False when none is left there. Every item is taken once,
 * all of them by the time that every worker has got false. */
bool cz_worker_take(struct cz_worker *worker, uint32_t count, uint32_t grain,
                    struct cz_range *range);
/* The fixed share of one worker, in multiples of `grain` (but for the last). */
struct cz_range cz_worker_share(const struct cz_worker *worker, uint32_t count, uint32_t grain);

/* Threads worth running: the CPUs that the affinity mask allows, one per core where hyper-threads
 * share it, at most what the cgroup's CPU quota (v1 or v2, rounded up) pays for; at least 1. */
uint32_t cz_cpu_threads(void);

#endif
