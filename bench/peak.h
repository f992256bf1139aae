/* peak.h - how many operations per second the multiply instructions alone give. */
#ifndef CZ_BENCH_PEAK_H
#define CZ_BENCH_PEAK_H

#include "kernels/pool.h"

enum bench_multiply { BENCH_INT8, BENCH_BFLOAT, BENCH_FLOAT };

/* Runs a loop of vpdpbusd, vdpbf16ps or vfmadd on 512-bit registers on all workers and returns the
 * operations (2 per multiply-add) in units of 10^9; 0 where the CPU has no such instruction. */
double bench_peak(struct cz_pool *pool, enum bench_multiply multiply);

#endif
