/* peak.c - independent chains of one multiply instruction in registers. */
#include "peak.h"

#if defined(__x86_64__)

#include <immintrin.h>

enum { CHAINS = 12, ROUNDS = 1 << 17 };

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
    cz_pool_run(pool, loops[multiply], (void *)(uintptr_t)sink);
    return 2e-9 * products[multiply] * CHAINS * ROUNDS * cz_pool_threads(pool);
}

#else

double bench_peak(struct cz_pool *pool, enum bench_multiply multiply)
{
    (void)pool;
    (void)multiply;
    return 0;
}

#endif
