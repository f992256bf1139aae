/* peak.h - what the machine itself gives: multiply instructions and reading memory. */
#ifndef CZ_BENCH_PEAK_H
#define CZ_BENCH_PEAK_H

#include "kernels/pool.h"

#include <stddef.h>

enum bench_multiply { BENCH_INT8, BENCH_BFLOAT, BENCH_FLOAT };

/* Runs a loop of vpdpbusd, vdpbf16ps or vfmadd on 512-bit registers on all workers a few times and
 * returns 10^9 operations a second (2 per multiply-add) of the fastest run; 0 where the CPU has no such
 * instruction. */
double bench_peak(struct cz_pool *pool, enum bench_multiply multiply);

/* Reads memory (a multiple of 64) on all workers, each its share, and returns 10^9 bytes a second:
 * the average of the fastest of several loops, with different numbers of streams. */
double bench_read_rate(struct cz_pool *pool, const void *memory, size_t bytes);

/* Seconds: of CPU time where the pool is the caller alone, so that other processes disturb less. */
double bench_seconds(const struct cz_pool *pool);

#endif
