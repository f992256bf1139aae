/*
 * kernels.c - what the kernels reach of the machine's limits.
 *
 *     cloze-bench-kernels [ROWS COLUMNS [THREADS [BATCH]]]
 *
 * For every width: GB/s of weights that a product with one activation row streams, against an own
 * read loop over the same memory in the same run; GOP/s (2 per multiply-add) of a product with BATCH
 * rows, against an own loop of the fastest multiply instruction. The weights repeat until they are
 * larger than the caches (BENCH_MB megabytes, default 512). All is measured in short turns, one after
 * the other; figures are medians over the turns, shares are medians of the ratios within a turn. With
 * one thread CPU time is measured, so that other processes disturb less.
 */
#include "peak.h"

#include "kernels/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TURNS = 25 };

struct form {
    const char *name;
    enum cz_width width;
    uint32_t group;
    bool has_minimum;
    uint32_t offset;
    enum cz_scales scales;
};

static const struct form forms[] = {
    {"4 bit, minima per 32 (Q4_1)", CZ_WIDTH_4, 32, true, 0, CZ_SCALES_HALF},
    {"4 bit per 32 (Q4_0)", CZ_WIDTH_4, 32, false, 8, CZ_SCALES_HALF},
    {"5 bit per 32 (Q5_0)", CZ_WIDTH_5, 32, false, 16, CZ_SCALES_HALF},
    {"8 bit per 32 (Q8_0)", CZ_WIDTH_8, 32, false, 128, CZ_SCALES_HALF},
    {"two levels: Q2_K", CZ_WIDTH_2, 16, true, 0, CZ_SCALES_NIBBLES},
    {"two levels: Q3_K", CZ_WIDTH_3, 16, false, 4, CZ_SCALES_BYTES},
    {"two levels: Q4_K", CZ_WIDTH_4, 32, true, 0, CZ_SCALES_BYTES},
    {"two levels: Q5_K", CZ_WIDTH_5, 32, true, 0, CZ_SCALES_BYTES},
    {"two levels: Q6_K", CZ_WIDTH_6, 16, false, 32, CZ_SCALES_BYTES},
    {"bf16", CZ_WIDTH_BF16, 0, false, 0, CZ_SCALES_HALF},
};

struct bench {
    const struct cz_kernels *kernels;
    struct cz_packed *matrices; /* [count], one after the other in memory */
    uint32_t count;
    uint32_t batch;
    const unsigned char *memory;
    size_t bytes;
    void *activations[2]; /* of one row, of a batch */
    float *out;
};

static void stream_products(void *context, struct cz_worker *worker)
{
    struct bench *bench = context;
    for (uint32_t i = 0; i < bench->count; i++) {
        const struct cz_packed *weights = &bench->matrices[i];
        struct cz_matmul product = {.weights = weights, .activations = bench->activations[bench->batch > 1],
                                    .rows = bench->batch, .out = bench->out,
                                    .out_stride = weights->rows};
        cz_matmul_run(bench->kernels, worker, &product, 1);
        cz_worker_barrier(worker);
    }
}

static double seconds(struct cz_pool *pool, cz_pool_task *task, struct bench *bench)
{
    double start = bench_seconds(pool);
    cz_pool_run(pool, task, bench);
    return bench_seconds(pool) - start;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double values[TURNS])
{
    double sorted[TURNS];
    memcpy(sorted, values, sizeof sorted);
    qsort(sorted, TURNS, sizeof *sorted, compare);
    return sorted[TURNS / 2];
}

/* Median of a[i] / b[i] in percent; 0 where b is 0. */
static double share(const double a[TURNS], const double b[TURNS])
{
    double ratios[TURNS];
    for (int i = 0; i < TURNS; i++)
        ratios[i] = b[i] > 0 ? 100 * a[i] / b[i] : 0;
    return median(ratios);
}

static void *allocate(size_t size)
{
    void *memory = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
    if (!memory) {
        fprintf(stderr, "cloze-bench-kernels: no memory for %zu bytes\n", size);
        exit(1);
    }
    return memory;
}

/* Random codes; scales are half floats near 1, so that nothing overflows or is subnormal. */
static void fill(const struct cz_packed *shape, unsigned char *memory)
{
    uint64_t state = 88172645463325252u;
    size_t size = cz_packed_size(shape);
    for (size_t i = 0; i + 8 <= size; i += 8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        uint64_t bits = (state & 0x3fff3fff3fff3fff) | 0x2000200020002000; /* halves, bfloats */
        memcpy(memory + i, &bits, sizeof bits);
    }
    for (uint32_t panel = 0; shape->group && panel < cz_packed_panels(shape); panel++)
        memcpy(memory + panel * sizeof(float), &(float){1.0f}, sizeof(float));
}

static void measure(const struct form *form, struct bench *bench, struct cz_pool *pool,
                    uint32_t rows, uint32_t columns, uint32_t batch)
{
    struct cz_packed shape = {NULL, rows, columns, form->width, form->group, form->has_minimum,
                              form->offset, form->scales};
    if (cz_packed_check(&shape, NULL))
        return; /* two levels of scales need a multiple of 256 columns */
    const char *megabytes = getenv("BENCH_MB");
    size_t each = cz_packed_size(&shape), wanted = (size_t)(megabytes ? atoi(megabytes) : 512) << 20;
    bench->count = (uint32_t)(wanted / each ? wanted / each : 1);
    unsigned char *memory = allocate(each * bench->count);
    fill(&shape, memory);
    bench->matrices = allocate(bench->count * sizeof shape);
    for (uint32_t i = 0; i < bench->count; i++) {
        bench->matrices[i] = shape;
        bench->matrices[i].data = memory + i * each;
        if (i)
            memcpy(memory + i * each, memory, each);
    }
    bench->memory = memory;
    bench->bytes = each * bench->count;
    enum cz_activation kind = cz_packed_activation(&shape);
    size_t record = cz_activation_bytes(kind, columns);
    bench->activations[0] = allocate(record);
    bench->activations[1] = allocate(record * batch);
    float *x = allocate(columns * sizeof *x);
    for (uint32_t k = 0; k < columns; k++)
        x[k] = (float)(k % 17) - 8.0f;
    bench->kernels->quantize(kind, x, columns, 1, 0, bench->activations[0]);
    for (uint32_t i = 0; i < batch; i++)
        bench->kernels->quantize(kind, x, columns, batch, i, bench->activations[1]);
    bench->out = allocate((size_t)rows * batch * sizeof(float));

    double read[TURNS], single[TURNS], many[TURNS], peak[TURNS];
    double gigabytes = (double)bench->bytes * 1e-9, work = 2e-9 * rows * columns * batch;
    uint32_t all = bench->count, some = work < 1.0 ? (uint32_t)(1.0 / work) : 1;
    for (int i = 0; i < TURNS; i++) {
        read[i] = bench_read_rate(pool, bench->memory, bench->bytes);
        bench->batch = 1;
        single[i] = gigabytes / seconds(pool, stream_products, bench);
        bench->batch = batch;
        bench->count = all < some ? all : some;
        many[i] = work * bench->count / seconds(pool, stream_products, bench);
        bench->count = all;
        peak[i] = form->width == CZ_WIDTH_BF16
                      ? fmax(bench_peak(pool, BENCH_BFLOAT), bench_peak(pool, BENCH_FLOAT))
                      : bench_peak(pool, BENCH_INT8);
    }
    printf("%-34s %7.1f %7.1f %4.0f %% %9.0f %4.0f %%\n", form->name, median(read), median(single),
           share(single, read), median(many), share(many, peak));
    free(bench->out);
    free(x);
    free(bench->activations[0]);
    free(bench->activations[1]);
    free(bench->matrices);
    free(memory);
}

int main(int argc, char **argv)
{
    uint32_t rows = argc > 2 ? (uint32_t)atoi(argv[1]) : 1536;
    uint32_t columns = argc > 2 ? (uint32_t)atoi(argv[2]) : 576;
    uint32_t threads = argc > 3 ? (uint32_t)atoi(argv[3]) : 0;
    uint32_t batch = argc > 4 ? (uint32_t)atoi(argv[4]) : 512;
    struct cloze_error error;
    struct cz_pool *pool;
    struct bench bench = {0};
    if (cz_kernels_select(&bench.kernels, &error) || cz_pool_create(threads, &pool, &error)) {
        fprintf(stderr, "cloze-bench-kernels: %s: %s\n", error.where, error.message);
        return 1;
    }
    printf("%s, %u threads, %u x %u, batch %u\n", bench.kernels->name, cz_pool_threads(pool), rows,
           columns, batch);
    printf("%-34s %7s %7s %6s %9s %6s\n", "", "read", "one row", "", "batch", "");
    printf("%-34s %7s %7s %6s %9s %6s\n", "", "GB/s", "GB/s", "share", "GOP/s", "share");
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++)
        measure(&forms[f], &bench, pool, rows, columns, batch);
    cz_pool_free(pool);
    return 0;
}
