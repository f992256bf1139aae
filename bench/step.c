/*
 * step.c - times the steps of the CPU backend: what bench/models.py compares with llama-bench.
 *
 *     cloze-step MODEL CACHE_FOLDER [prompt] [generate] [sequences] [repetitions] [threads]
 *
 * Prints one line of JSON: prefill and decode in tokens per second, for one sequence and for
 * `sequences` together, each the median over the repetitions. As in llama-bench, decoding starts
 * with an empty cache, takes arbitrary tokens and computes all logits of every one.
 */
#include "base/clock.h"
#include "engine/backend.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_SEQUENCES = 64, MAX_REPETITIONS = 100 };

struct bench {
    struct cz_backend *backend;
    struct cz_backend_info info;
    uint32_t prompt, generate, sequences, repetitions;
    uint32_t *blocks; /* [sequences][blocks each] */
    uint32_t blocks_each;
    struct cz_step_row *rows; /* [max rows] */
    float *out;               /* [sequences][vocab] */
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

/* Median tokens per second; sequences 0 is the prompt. */
static double measure(struct bench *bench, uint32_t sequences)
{
    double rates[MAX_REPETITIONS];
    struct cloze_error error = {0};
    for (uint32_t i = 0; i <= bench->repetitions; i++) { /* the first one warms up */
        uint64_t start = cz_clock_ns();
        cloze_status status =
            sequences ? run_decode(bench, sequences, &error) : run_prompt(bench, &error);
        if (status) {
            fprintf(stderr, "cloze-step: %s\n", error.message);
            exit(1);
        }
        uint32_t tokens = sequences ? sequences * bench->generate : bench->prompt;
        if (i)
            rates[i - 1] = tokens * 1e9 / (double)(cz_clock_ns() - start);
    }
    qsort(rates, bench->repetitions, sizeof *rates, compare);
    return rates[bench->repetitions / 2];
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
                                         .kv_type = CZ_KV_BF16};
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
    if (!bench.blocks || !bench.rows || !bench.out)
        return 1;
    for (uint32_t i = 0; i < count; i++)
        bench.blocks[i] = i;
    printf("{\"backend\": \"%s\", \"threads\": %u, \"ready_ms\": %.1f", bench.info.name,
           bench.info.threads, ready_ms);
    if (bench.generate)
        printf(", \"decode_tok_s\": %.1f", measure(&bench, 1));
    if (bench.prompt)
        printf(", \"prefill_tok_s\": %.1f", measure(&bench, 0));
    if (bench.sequences && bench.generate)
        printf(", \"batch_tok_s\": %.1f", measure(&bench, bench.sequences));
    printf("}\n");
    bench.backend->functions->close(bench.backend);
    free(bench.blocks);
    free(bench.rows);
    free(bench.out);
    return 0;
}
