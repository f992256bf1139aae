/*
 * step.c - times the steps of the CPU backend: what bench/models.py compares with llama-bench.
 *
 *     cloze-step MODEL CACHE_FOLDER [prompt] [generate] [sequences] [repetitions] [threads]
 *
 * Prints one line of JSON: prefill and decode in tokens per second, for one sequence and for
 * `sequences` together, each the median over the repetitions; between them, what the machine gives:
 * own read loops over a buffer of the weights' size (the fastest loop's average, before and after
 * decoding), and a loop of vpdpbusd. The share is the median of the repetitions' shares. As in llama-bench,
 * decoding starts with an empty cache, takes arbitrary tokens and computes all logits of every one.
 */
#include "base/clock.h"
#include "engine/backend.h"
#include "peak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

enum { MAX_SEQUENCES = 64, MAX_REPETITIONS = 100 };

struct bench {
    struct cz_backend *backend;
    struct cz_backend_info info;
    uint32_t prompt, generate, sequences, repetitions;
    uint32_t *blocks; /* [sequences][blocks each] */
    uint32_t blocks_each;
    struct cz_step_row *rows; /* [max rows] */
    float *out;               /* [sequences][vocab] */
    struct cz_pool *pool;     /* for the machine's own limits */
    void *memory;             /* [memory_size], to be read */
    size_t memory_size;
};

static uint32_t token_at(const struct bench *bench, uint32_t sequence, uint32_t position)
{
    return (position * 2654435761u + sequence * 40503u) % bench->info.vocab;
}

static cloze_status run_prompt(struct bench *bench, struct cloze_error *error)
{
    struct cz_step_sequence sequence = {bench->blocks, bench->blocks_each};
    struct cz_step_logits logits = {
        .row = bench->prompt - 1, .count = bench->info.vocab, .out = bench->out};
    for (uint32_t i = 0; i < bench->prompt; i++)
        bench->rows[i] = (struct cz_step_row){token_at(bench, 0, i), i, 0};
    struct cz_step step = {&sequence, 1, bench->rows, bench->prompt, &logits, 1};
    return bench->backend->functions->step(bench->backend, &step, error);
}

static cloze_status run_decode(struct bench *bench, uint32_t sequences, struct cloze_error *error)
{
    struct cz_step_sequence sequence[MAX_SEQUENCES];
    struct cz_step_logits logits[MAX_SEQUENCES];
    struct cz_step step = {sequence, sequences, bench->rows, sequences, logits, sequences};
    for (uint32_t s = 0; s < sequences; s++) {
        sequence[s] =
            (struct cz_step_sequence){bench->blocks + s * bench->blocks_each, bench->blocks_each};
        logits[s] = (struct cz_step_logits){.row = s,
                                            .count = bench->info.vocab,
                                            .out = bench->out + (size_t)s * bench->info.vocab};
    }
    cloze_status status = CLOZE_OK;
    for (uint32_t i = 0; i < bench->generate && !status; i++) {
        for (uint32_t s = 0; s < sequences; s++)
            bench->rows[s] = (struct cz_step_row){token_at(bench, s, i), i, s};
        status = bench->backend->functions->step(bench->backend, &step, error);
    }
    return status;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Tokens per second of one run; sequences 0 is the prompt. */
static double run_once(struct bench *bench, uint32_t sequences)
{
    struct cloze_error error = {0};
    uint64_t start = cz_clock_ns();
    cloze_status status =
        sequences ? run_decode(bench, sequences, &error) : run_prompt(bench, &error);
    if (status) {
        fprintf(stderr, "cloze-step: %s\n", error.message);
        exit(1);
    }
    uint32_t tokens = sequences ? sequences * bench->generate : bench->prompt;
    return tokens * 1e9 / (double)(cz_clock_ns() - start);
}

struct figures {
    double decode[MAX_REPETITIONS], prefill[MAX_REPETITIONS], batch[MAX_REPETITIONS];
    double read[MAX_REPETITIONS], peak[MAX_REPETITIONS];
    double share[MAX_REPETITIONS]; /* of what is read when decoding in what can be read */
};

/* 10^9 bytes a second. */
static double read_peak(struct bench *bench)
{
    return bench_read_rate(bench->pool, bench->memory, bench->memory_size);
}

/* 10^9 bytes of the source file that decoding at this speed reads each second. */
static double bandwidth(const struct bench *bench, double tokens)
{
    return tokens * (double)bench->info.source_bytes_per_token / 1e9;
}

static void measure(struct bench *bench, struct figures *figures)
{
    for (uint32_t i = 0; i <= bench->repetitions; i++) {
        uint32_t at = i ? i - 1 : 0; /* the first round warms up and is overwritten */
        figures->read[at] = read_peak(bench);
        if (bench->generate)
            figures->decode[at] = run_once(bench, 1);
        figures->read[at] = (figures->read[at] + read_peak(bench)) / 2;
        figures->share[at] = bandwidth(bench, figures->decode[at]) / figures->read[at];
        figures->peak[at] = bench_peak(bench->pool, BENCH_INT8);
        if (bench->prompt)
            figures->prefill[at] = run_once(bench, 0);
        if (bench->generate && bench->sequences)
            figures->batch[at] = run_once(bench, bench->sequences);
    }
}

static double median(double *values, uint32_t count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

static uint32_t argument(int argc, char **argv, int index, uint32_t fallback)
{
    return argc > index ? (uint32_t)strtoul(argv[index], NULL, 10) : fallback;
}

int main(int argc, char **argv)
{
    struct bench bench = {.prompt = argument(argc, argv, 3, 512),
                          .generate = argument(argc, argv, 4, 128),
                          .sequences = argument(argc, argv, 5, 8),
                          .repetitions = argument(argc, argv, 6, 5)};
    if (argc < 3 || bench.sequences > MAX_SEQUENCES || bench.repetitions > MAX_REPETITIONS ||
        !bench.repetitions) {
        fprintf(stderr, "usage: cloze-step MODEL CACHE_FOLDER [prompt] [generate] [sequences] "
                        "[repetitions] [threads]\n");
        return 2;
    }
    uint32_t longest = bench.prompt > bench.generate ? bench.prompt : bench.generate;
    bench.blocks_each = longest / CZ_KV_BLOCK + 1;
    uint32_t count = (bench.sequences + 1) * bench.blocks_each;
    struct cz_backend_options options = {.threads = argument(argc, argv, 7, 0),
                                         .max_rows =
                                             longest > MAX_SEQUENCES ? longest : MAX_SEQUENCES,
                                         .max_logits = MAX_SEQUENCES,
                                         .kv_blocks = count,
                                         .kv_type = CZ_KV_F16};
    struct cloze_error error = {0};
    uint64_t start = cz_clock_ns();
    if (cz_cpu_backend_open(argv[1], argv[2], &options, &bench.backend, &error)) {
        fprintf(stderr, "cloze-step: %s: %s\n", error.where, error.message);
        return 1;
    }
    double ready_ms = (double)(cz_clock_ns() - start) / 1e6;
    bench.backend->functions->info(bench.backend, &bench.info);
    bench.blocks = calloc(count, sizeof *bench.blocks);
    bench.rows = calloc(options.max_rows, sizeof *bench.rows);
    bench.out = calloc((size_t)MAX_SEQUENCES * bench.info.vocab, sizeof *bench.out);
    bench.memory_size = bench.info.weight_bytes;
    bench.memory =
        aligned_alloc(HUGE_PAGE, (bench.memory_size + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
    if (!bench.blocks || !bench.rows || !bench.out || !bench.memory ||
        cz_pool_create(bench.info.threads, &bench.pool, &error))
        return 1;
    madvise(bench.memory, bench.memory_size, MADV_HUGEPAGE); /* failing lowers the read figure */
    memset(bench.memory, 1, bench.memory_size);
    for (uint32_t i = 0; i < count; i++)
        bench.blocks[i] = i;
    printf("{\"backend\": \"%s\", \"threads\": %u, \"ready_ms\": %.1f", bench.info.name,
           bench.info.threads, ready_ms);
    static struct figures figures;
    measure(&bench, &figures);
    double decode = median(figures.decode, bench.repetitions);
    double read = median(figures.read, bench.repetitions);
    printf(", \"decode_tok_s\": %.1f, \"prefill_tok_s\": %.1f, \"batch_tok_s\": %.1f", decode,
           median(figures.prefill, bench.repetitions), median(figures.batch, bench.repetitions));
    printf(", \"bandwidth_gb_s\": %.1f, \"read_peak_gb_s\": %.1f, \"read_share\": %.3f, "
           "\"int8_peak_gops\": %.0f}\n",
           bandwidth(&bench, decode), read, median(figures.share, bench.repetitions),
           median(figures.peak, bench.repetitions));
    bench.backend->functions->close(bench.backend);
    cz_pool_free(bench.pool);
    free(bench.memory);
    free(bench.blocks);
    free(bench.rows);
    free(bench.out);
    return 0;
}
