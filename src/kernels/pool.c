/*
 * pool.c - workers, barriers, shared loops.
 *
 * All waiting is for a 32-bit word to change: a worker's `start` (a new run) or `arrival`. Whoever
 * changes a word wakes sleepers only when there are some.
 *
 * Barriers: a worker counts its arrivals and waits for everybody else's. There is no word in the middle
 * that all of them write to, so a cache line travels between two cores once, not four times.
 *
 * Shared loops: every worker has its own share of the items, in one piece, so that it reads memory in
 * one stream; when the share is used up it takes from the shares of the workers behind it. A worker
 * counts what was taken of its share in one of two counters, the phase's last bit says which. The other
 * one was used before the last barrier, by nobody since: a worker resets it when it arrives at the next.
 *
 * Foreign processes: workers meet thousands of times a second, so one that shares its CPU with a
 * program that computes holds up all others for most of the time. Therefore workers count the time
 * that their CPUs spent on others; when that comes to a good part of a CPU, as many workers rest for a
 * while, and the rest of the pool keeps the CPUs that it gets for itself.
 */
#include "kernels/pool.h"

#include "base/clock.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    QUICK_LOOKS = 256,           /* at the word before the first pause */
    PAUSES_PER_LOOK = 64,        /* at the clock */
    BARRIER_SPIN_NS = 60 * 1000, /* a barrier opens within microseconds or a worker lost its CPU */
    RUN_SPIN_NS = 300 * 1000,    /* what the engine does between two steps */
    MOST_VICTIMS = 8,            /* shares that a worker looks into besides its own */
    WINDOW_NS = 10 * 1000 * 1000, /* of runs, after which lost time is looked at */
    LEAST_REST_NS = 200 * 1000 * 1000,
    MOST_REST_NS = 2000 * 1000 * 1000, /* the rest doubles while it proves necessary */
};
static const double lost_cpu = 0.3; /* of a CPU, and more: one worker rests */

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
    cz_pool_task *task; /* of the current run; NULL: the workers end */
    void *context;
    uint32_t phase; /* what the arrivals of those that run stand at when it begins */
    uint32_t count, active; /* workers 0..active-1 run */
    pthread_t *threads;        /* [count - 1] */
    struct cz_worker *workers; /* [count] */
    struct share *shares;      /* [count] */
    struct gate *starts;       /* [count] */
    struct gate *arrivals;     /* [count] */
    uint64_t window_ns;        /* of runs since lost time was looked at */
    uint64_t rest_ns, rest_end; /* of those that don't run: the next rest's length, this one's end */
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
    return false;
}

/* Returns how long it slept. */
static uint64_t gate_wait(struct gate *gate, uint32_t old, uint64_t spin_ns)
{
    if (spin(gate, old, spin_ns))
        return 0;
    uint64_t start = cz_clock_ns();
    atomic_fetch_add(&gate->sleepers, 1);
    while (!changed(gate, old))
        syscall(SYS_futex, &gate->word, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    atomic_fetch_sub(&gate->sleepers, 1);
    return cz_clock_ns() - start;
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
    uint32_t count = worker->count; /* once all have arrived, the pool's owner may change it */
    uint32_t phase = worker->phase++;
    atomic_store_explicit(&pool->shares[worker->index].taken[~phase & 1], 0, memory_order_relaxed);
    gate_open(&pool->arrivals[worker->index]);
    for (uint32_t i = 1; i < count; i++)
        worker->slept_ns +=
            gate_wait(&pool->arrivals[(worker->index + i) % count], phase, BARRIER_SPIN_NS);
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
    struct cz_worker other = {.index = owner, .count = worker->count};
    struct cz_range share = cz_worker_share(&other, count, grain);
    _Atomic uint32_t *taken = &pool->shares[owner].taken[worker->phase & 1];
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

static uint64_t thread_cpu_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void run_task(struct cz_pool *pool, struct cz_worker *worker)
{
    worker->phase = pool->phase;
    uint64_t start = cz_clock_ns() - thread_cpu_ns() - worker->slept_ns;
    pool->task(pool->context, worker);
    int64_t lost = (int64_t)(cz_clock_ns() - thread_cpu_ns() - worker->slept_ns - start);
    worker->lost_ns += lost > 0 ? (uint64_t)lost : 0;
    cz_worker_barrier(worker);
}

static void *worker_main(void *argument)
{
    struct cz_worker *worker = argument;
    struct cz_pool *pool = worker->pool;
    for (uint32_t seen = 0;; seen++) {
        gate_wait(&pool->starts[worker->index], seen, RUN_SPIN_NS);
        if (!pool->task)
            return NULL;
        run_task(pool, worker);
    }
}

/* No run is in progress. */
static void set_active(struct cz_pool *pool, uint32_t active)
{
    pool->active = active;
    for (uint32_t i = 0; i < pool->count; i++) {
        pool->workers[i].count = active;
        memset(&pool->shares[i], 0, sizeof pool->shares[i]);
        atomic_store_explicit(&pool->arrivals[i].word, pool->phase, memory_order_relaxed);
    }
}

/* After a run of so long: who runs in the next one. */
static void review(struct cz_pool *pool, uint64_t ns)
{
    pool->window_ns += ns;
    if (pool->count == 1 || pool->window_ns < WINDOW_NS)
        return;
    double lost = 0;
    for (uint32_t i = 0; i < pool->active; i++) {
        lost += (double)pool->workers[i].lost_ns / (double)pool->window_ns;
        pool->workers[i].lost_ns = 0;
    }
    pool->window_ns = 0;
    uint32_t too_many = (uint32_t)(lost + 1 - lost_cpu);
    if (too_many && pool->active > 1) {
        set_active(pool, pool->active > too_many ? pool->active - too_many : 1);
        pool->rest_end = cz_clock_ns() + pool->rest_ns;
        pool->rest_ns = pool->rest_ns * 2 < MOST_REST_NS ? pool->rest_ns * 2 : MOST_REST_NS;
    } else if (pool->active == pool->count) {
        pool->rest_ns = LEAST_REST_NS;
    } else if (cz_clock_ns() > pool->rest_end) {
        set_active(pool, pool->count);
    }
}

void cz_pool_run(struct cz_pool *pool, cz_pool_task *task, void *context)
{
    uint64_t start = cz_clock_ns();
    pool->task = task;
    pool->context = context;
    for (uint32_t i = 1; i < pool->active; i++)
        gate_open(&pool->starts[i]);
    run_task(pool, &pool->workers[0]);
    pool->phase = pool->workers[0].phase;
    review(pool, cz_clock_ns() - start);
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
    struct cz_pool *pool = malloc(sizeof *pool);
    if (!pool)
        return cz_fail_memory(error, "the thread pool");
    *pool = (struct cz_pool){.count = threads, .rest_ns = LEAST_REST_NS};
    pool->threads = calloc(threads, sizeof *pool->threads);
    pool->workers = aligned_alloc(64, threads * sizeof *pool->workers);
    pool->shares = aligned_alloc(64, threads * sizeof *pool->shares);
    pool->starts = aligned_alloc(64, threads * sizeof *pool->starts);
    pool->arrivals = aligned_alloc(64, threads * sizeof *pool->arrivals);
    if (!pool->threads || !pool->workers || !pool->shares || !pool->starts || !pool->arrivals) {
        pool->count = 1;
        cz_pool_free(pool);
        return cz_fail_memory(error, "the thread pool");
    }
    memset(pool->starts, 0, threads * sizeof *pool->starts);
    memset(pool->arrivals, 0, threads * sizeof *pool->arrivals);
    for (uint32_t i = 0; i < threads; i++)
        pool->workers[i] = (struct cz_worker){.pool = pool, .index = i};
    set_active(pool, threads);
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
    for (uint32_t i = 1; i < pool->count; i++)
        gate_open(&pool->starts[i]);
    for (uint32_t i = 1; i < pool->count; i++)
        pthread_join(pool->threads[i - 1], NULL);
    free(pool->workers);
    free(pool->shares);
    free(pool->starts);
    free(pool->arrivals);
    free(pool->threads);
    free(pool);
}

uint32_t cz_pool_threads(const struct cz_pool *pool)
{
    return pool->count;
}
