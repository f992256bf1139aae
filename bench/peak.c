/*
 * peak.c - the machine's own limits: independent chains of one multiply instruction in registers, and
 * loops that only read.
 *
 * Reading: every worker's share is cut in streams that are read side by side. One stream leaves the
 * work to the hardware's prefetcher, which stops at every page; several keep more lines under way.
 * Which is fastest depends on the machine and on where the data lies, so all are tried; what counts is
 * the average of a loop's passes, as what it is compared with is an average.
 */
#include "peak.h"

#include <stdint.h>
#include <time.h>

double bench_seconds(const struct cz_pool *pool)
{
    struct timespec time;
    clock_gettime(cz_pool_threads(pool) == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

#if defined(__x86_64__)

#include <immintrin.h>

enum { CHAINS = 12, ROUNDS = 1 << 18 };

__attribute__((target("avx512f,avx512vnni"))) static void int8_loop(void *context,
                                                                    struct cz_worker *worker)
{
    __m512i sums[CHAINS], a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(1);
    for (int i = 0; i < CHAINS; i++)
        sums[i] = _mm512_set1_epi32(i); /* different chains: none is computed once for all */
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CHAINS; i++)
            sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
        __asm__ volatile("" : "+v"(a), "+v"(b));
    }
    for (int i = 1; i < CHAINS; i++)
        sums[0] = _mm512_add_epi32(sums[0], sums[i]);
    ((volatile int *)context)[worker->index] = _mm512_reduce_add_epi32(sums[0]);
}

__attribute__((target("avx512f,avx512bf16"))) static void bfloat_loop(void *context,
                                                                      struct cz_worker *worker)
{
    __m512 sums[CHAINS];
    __m512i a = _mm512_set1_epi32(0x3f803f80), b = a;
    for (int i = 0; i < CHAINS; i++)
        sums[i] = _mm512_set1_ps((float)i);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CHAINS; i++)
            sums[i] = _mm512_dpbf16_ps(sums[i], (__m512bh)a, (__m512bh)b);
        __asm__ volatile("" : "+v"(a), "+v"(b));
    }
    for (int i = 1; i < CHAINS; i++)
        sums[0] = _mm512_add_ps(sums[0], sums[i]);
    ((volatile int *)context)[worker->index] = (int)_mm512_reduce_add_ps(sums[0]);
}

__attribute__((target("avx512f"))) static void float_loop(void *context, struct cz_worker *worker)
{
    __m512 sums[CHAINS], a = _mm512_set1_ps(1.0f), b = a;
    for (int i = 0; i < CHAINS; i++)
        sums[i] = _mm512_set1_ps((float)i);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CHAINS; i++)
            sums[i] = _mm512_fmadd_ps(a, b, sums[i]);
        __asm__ volatile("" : "+v"(a), "+v"(b));
    }
    for (int i = 1; i < CHAINS; i++)
        sums[0] = _mm512_add_ps(sums[0], sums[i]);
    ((volatile int *)context)[worker->index] = (int)_mm512_reduce_add_ps(sums[0]);
}

double bench_peak(struct cz_pool *pool, enum bench_multiply multiply)
{
    static volatile int sink[CZ_POOL_MAX_THREADS];
    static cz_pool_task *const loops[] = {int8_loop, bfloat_loop, float_loop};
    static const int products[] = {64, 32, 16};
    bool runs = multiply == BENCH_INT8     ? __builtin_cpu_supports("avx512vnni")
                : multiply == BENCH_BFLOAT ? __builtin_cpu_supports("avx512bf16")
                                           : __builtin_cpu_supports("avx512f");
    if (!runs)
        return 0;
    double work = 2e-9 * products[multiply] * CHAINS * ROUNDS * cz_pool_threads(pool), best = 0;
    for (int i = 0; i < 3; i++) { /* the first one wakes the workers */
        double start = bench_seconds(pool);
        cz_pool_run(pool, loops[multiply], (void *)(uintptr_t)sink);
        double rate = work / (bench_seconds(pool) - start);
        best = rate > best ? rate : best;
    }
    return best;
}

#else

double bench_peak(struct cz_pool *pool, enum bench_multiply multiply)
{
    (void)pool;
    (void)multiply;
    return 0;
}

#endif

/* ---- Reading ---- */

enum { TURN = 256 /* bytes of one stream before the next one's turn */ };

struct reading {
    const char *memory;
    size_t bytes;
    volatile uint64_t sink[CZ_POOL_MAX_THREADS]; /* so that nothing is optimised away */
};

static inline __attribute__((always_inline)) void read_streams(struct reading *reading,
                                                               struct cz_worker *worker,
                                                               uint32_t streams)
{
    typedef uint64_t vector __attribute__((vector_size(64)));
    size_t each = reading->bytes / worker->count / streams / TURN * TURN;
    const char *memory = reading->memory + worker->index * streams * each;
    vector sums[TURN / sizeof(vector)] = {{0}};
    for (size_t at = 0; at < each; at += TURN)
        for (uint32_t s = 0; s < streams; s++)
            for (size_t line = 0; line < TURN / sizeof(vector); line++)
                sums[line] ^= ((const vector *)(const void *)(memory + s * each + at))[line];
    for (size_t line = 1; line < TURN / sizeof(vector); line++)
        sums[0] ^= sums[line];
    reading->sink[worker->index] = sums[0][0] ^ sums[0][7];
}

/* The streams are constants, so that the loops over them disappear. */
#define READ_LOOP(target, name, streams)                                                           \
    static target void name(void *context, struct cz_worker *worker)                          \
    {                                                                                              \
        read_streams(context, worker, streams);                                                    \
    }
READ_LOOP(, read_1, 1)
READ_LOOP(, read_4, 4)
READ_LOOP(, read_8, 8)
#if defined(__x86_64__)
READ_LOOP(__attribute__((target("avx512f"))), read_wide_1, 1)
READ_LOOP(__attribute__((target("avx512f"))), read_wide_4, 4)
READ_LOOP(__attribute__((target("avx512f"))), read_wide_8, 8)
#endif

double bench_read_rate(struct cz_pool *pool, const void *memory, size_t bytes)
{
    cz_pool_task *loops[] = {read_1, read_4, read_8};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) {
        loops[0] = read_wide_1;
        loops[1] = read_wide_4;
        loops[2] = read_wide_8;
    }
#endif
    enum { PASSES = 3 };
    struct reading reading = {.memory = memory, .bytes = bytes};
    double best = 0;
    cz_pool_run(pool, loops[0], &reading); /* what fits into the caches is there */
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++) {
        double start = bench_seconds(pool);
        for (int pass = 0; pass < PASSES; pass++)
            cz_pool_run(pool, loops[i], &reading);
        double rate = (double)bytes * PASSES * 1e-9 / (bench_seconds(pool) - start);
        best = rate > best ? rate : best;
    }
    return best;
}
