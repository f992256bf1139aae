/*
 * pool.c - workers, barriers, shared loops.
 *
 * All waiting is for a 32-bit word to change: `generation` (a new run), `phase` (a barrier opened).
 * Whoever changes a word wakes sleepers only when there are some.
 *
 * Shared loops: every worker has its own share of the items, in one piece, so that it reads memory in
 * one stream; when the share is used up it takes from the shares of the workers behind it. A worker
 * counts what was taken of its share in one of two counters, the phase's last bit says which. The other
 * one was used before the last barrier, by nobody since: a worker resets it when it arrives at the next.
 */
#include "kernels/pool.h"

#include "base/clock.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    QUICK_LOOKS = 256,           /* at the word before the first pause */
    PAUSES_PER_LOOK = 64,        /* at the clock */
    BARRIER_SPIN_NS = 60 * 1000, /* a barrier opens within microseconds or a worker lost its CPU */
    RUN_SPIN_NS = 300 * 1000,    /* what the engine does between two steps */
    YIELDS = 4,
    MOST_VICTIMS = 8, /* shares that a worker looks into besides its own */
};

/* A word that threads wait on, alone in its cache line. */
struct gate {
    _Alignas(64) _Atomic uint32_t word;
    _Atomic uint32_t sleepers;
};

/* What was taken of one worker's share of the current loop; alone in its cache line. */
struct share {
    _Alignas(64) _Atomic uint32_t taken[2];
};

struct cz_pool {
    struct gate generation;
    struct gate phase;
    _Alignas(64) _Atomic uint32_t arrived;
    _Alignas(64) cz_pool_task *task; /* of the current run; NULL: the workers end */
    void *context;
    uint32_t count;
    pthread_t *threads;        /* [count - 1] */
    struct cz_worker *workers; /* [count] */
    struct share *shares;      /* [count] */
};

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool changed(struct gate *gate, uint32_t old)
{
    return atomic_load_explicit(&gate->word, memory_order_acquire) != old;
}

static bool spin(struct gate *gate, uint32_t old, uint64_t spin_ns)
{
    for (int i = 0; i < QUICK_LOOKS; i++)
        if (changed(gate, old))
            return true;
    uint64_t start = cz_clock_ns();
    do {
        for (int i = 0; i < PAUSES_PER_LOOK; i++) {
            if (changed(gate, old))
                return true;
            relax();
        }
    } while (cz_clock_ns() - start < spin_ns);
    for (int i = 0; i < YIELDS; i++) {
        sched_yield();
        if (changed(gate, old))
            return true;
    }
    return false;
}

static void gate_wait(struct gate *gate, uint32_t old, uint64_t spin_ns)
{
    if (spin(gate, old, spin_ns))
        return;
    atomic_fetch_add(&gate->sleepers, 1);
    while (!changed(gate, old))
        syscall(SYS_futex, &gate->word, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    atomic_fetch_sub(&gate->sleepers, 1);
}

static void gate_open(struct gate *gate)
{
    /* sequentially consistent with the sleepers' count: either we see the sleeper, or it sees us */
    atomic_fetch_add(&gate->word, 1);
    if (atomic_load(&gate->sleepers))
        syscall(SYS_futex, &gate->word, FUTEX_WAKE_PRIVATE, CZ_POOL_MAX_THREADS, NULL, NULL, 0);
}

void cz_worker_barrier(struct cz_worker *worker)
{
    struct cz_pool *pool = worker->pool;
    uint32_t phase = atomic_load_explicit(&pool->phase.word, memory_order_acquire);
    atomic_store_explicit(&pool->shares[worker->index].taken[~phase & 1], 0, memory_order_relaxed);
    uint32_t before = atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel);
    if (before + 1 < pool->count) {
        gate_wait(&pool->phase, phase, BARRIER_SPIN_NS);
        return;
    }
    atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
    gate_open(&pool->phase);
}

struct cz_range cz_worker_share(const struct cz_worker *worker, uint32_t count, uint32_t grain)
{
    uint64_t pieces = ((uint64_t)count + grain - 1) / grain;
    uint64_t first = pieces * worker->index / worker->count * grain;
    uint64_t end = pieces * (worker->index + 1) / worker->count * grain;
    return (struct cz_range){(uint32_t)(first < count ? first : count),
                             (uint32_t)(end < count ? end : count)};
}

/* The next piece of what belongs to worker `owner`. */
static bool take_from(const struct cz_worker *worker, uint32_t owner, uint32_t count, uint32_t grain,
                      struct cz_range *range)
{
    struct cz_pool *pool = worker->pool;
    struct cz_worker other = {pool, owner, worker->count};
    struct cz_range share = cz_worker_share(&other, count, grain);
    uint32_t phase = atomic_load_explicit(&pool->phase.word, memory_order_relaxed);
    _Atomic uint32_t *taken = &pool->shares[owner].taken[phase & 1];
    uint32_t items = share.end - share.first;
    if (atomic_load_explicit(taken, memory_order_relaxed) >= items)
        return false;
    uint32_t before = atomic_fetch_add_explicit(taken, grain, memory_order_relaxed);
    if (before >= items)
        return false;
    range->first = share.first + before;
    range->end = items - before < grain ? share.end : range->first + grain;
    return true;
}

bool cz_worker_take(struct cz_worker *worker, uint32_t count, uint32_t grain,
                    struct cz_range *range)
{
    for (uint32_t i = 0; i < worker->count && i <= MOST_VICTIMS; i++)
        if (take_from(worker, (worker->index + i) % worker->count, count, grain, range))
            return true;
    return false;
}

static void *worker_main(void *argument)
{
    struct cz_worker *worker = argument;
    struct cz_pool *pool = worker->pool;
    for (uint32_t seen = 0;; seen++) {
        gate_wait(&pool->generation, seen, RUN_SPIN_NS);
        if (!pool->task)
            return NULL;
        pool->task(pool->context, worker);
        cz_worker_barrier(worker);
    }
}

void cz_pool_run(struct cz_pool *pool, cz_pool_task *task, void *context)
{
    pool->task = task;
    pool->context = context;
    if (pool->count > 1)
        gate_open(&pool->generation);
    task(context, &pool->workers[0]);
    cz_worker_barrier(&pool->workers[0]);
}

/* Threads 1..count-1, with all signals blocked; on failure pool->count is what was started. */
static bool start_threads(struct cz_pool *pool)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    uint32_t wanted = pool->count, started = 1;
    for (; started < wanted; started++) {
        pthread_t *thread = &pool->threads[started - 1];
        if (pthread_create(thread, NULL, worker_main, &pool->workers[started]))
            break;
        char name[24]; /* at most 15 characters are used */
        snprintf(name, sizeof name, "cloze-%u", started);
        pthread_setname_np(*thread, name);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pool->count = started;
    return started == wanted;
}

cloze_status cz_pool_create(uint32_t threads, struct cz_pool **out, struct cloze_error *error)
{
    *out = NULL;
    if (threads == 0)
        threads = cz_cpu_threads();
    if (threads > CZ_POOL_MAX_THREADS)
        return cz_fail(error, CLOZE_LIMIT, "threads", "%u threads; at most %d are possible",
                       threads, CZ_POOL_MAX_THREADS);
    struct cz_pool *pool = aligned_alloc(64, sizeof *pool);
    if (!pool)
        return cz_fail_memory(error, "the thread pool");
    *pool = (struct cz_pool){.count = threads};
    pool->threads = calloc(threads, sizeof *pool->threads);
    pool->workers = calloc(threads, sizeof *pool->workers);
    pool->shares = aligned_alloc(64, threads * sizeof *pool->shares);
    if (!pool->threads || !pool->workers || !pool->shares) {
        pool->count = 1;
        cz_pool_free(pool);
        return cz_fail_memory(error, "the thread pool");
    }
    memset(pool->shares, 0, threads * sizeof *pool->shares);
    for (uint32_t i = 0; i < threads; i++)
        pool->workers[i] = (struct cz_worker){pool, i, threads};
    if (!start_threads(pool)) {
        cz_pool_free(pool);
        return cz_fail(error, CLOZE_MEMORY, "threads", "the system refused to start %u threads",
                       threads);
    }
    *out = pool;
    return CLOZE_OK;
}

void cz_pool_free(struct cz_pool *pool)
{
    if (!pool)
        return;
    pool->task = NULL;
    if (pool->count > 1)
        gate_open(&pool->generation);
    for (uint32_t i = 1; i < pool->count; i++)
        pthread_join(pool->threads[i - 1], NULL);
    free(pool->workers);
    free(pool->shares);
    free(pool->threads);
    free(pool);
}

uint32_t cz_pool_threads(const struct cz_pool *pool)
{
    return pool->count;
}
