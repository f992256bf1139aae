/*
 * bench.c - `cloze bench model`: what a model does on this machine, as one JSON line.
 *
 * Prompt and decoding speed are those of the backend alone, as llama-bench measures them: a prompt
 * from an empty cache, then single tokens from an empty cache. With a schema the whole engine runs.
 * The machine's own limits are measured in the same run: reading memory of the weights' size, and
 * the fastest multiply instruction.
 */
#include "base/clock.h"
#include "base/file.h"
#include "cli/model_source.h"
#include "cli/verb.h"
#include "engine/engine.h"
#include "kernels/pool.h"
#include "model/model.h"
#include "json/writer.h"

#include "peak.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { MOST_REPETITIONS = 100, STEP_ROWS = 512, LARGEST_SCHEMA = 16 << 20 };

struct bench {
    uint32_t prompt, answer, batch, repetitions, threads;
    struct cz_model_source source;
    struct cz_backend *backend;
    struct cz_backend_info info;
    struct cz_step_sequence *sequences; /* [batch] */
    struct cz_step_row *rows;           /* [STEP_ROWS] */
    struct cz_step_logits *logits;      /* [batch] */
    uint32_t *blocks;                   /* of all sequences */
    float *out;                         /* [batch][vocab] */

    double ready_ms, rss_mb;
    double prefill[MOST_REPETITIONS], decode[MOST_REPETITIONS]; /* tokens/s */
    uint64_t passes;
    double operations_per_token; /* of a prompt's token: 2 for each parameter but the head's */
    double read_peak, int8_peak; /* 10^9 a second */
};

/* ---- The backend ---- */

static uint32_t blocks_of_sequence(const struct bench *bench)
{
    uint32_t longest = bench->prompt > bench->answer ? bench->prompt : bench->answer;
    return (longest + CZ_KV_BLOCK - 1) / CZ_KV_BLOCK;
}

static cloze_status open_backend(struct bench *bench, struct cloze_error *error)
{
    uint64_t start = cz_clock_ns();
    uint32_t each = blocks_of_sequence(bench);
    struct cz_backend_options options = {.threads = bench->threads,
                                         .max_rows = STEP_ROWS,
                                         .max_logits = bench->batch,
                                         .kv_blocks = each * bench->batch};
    cloze_status status = cz_cpu_backend_open(bench->source.path, bench->source.store.cache,
                                              &options, &bench->backend, error);
    if (status)
        return status;
    bench->ready_ms = (double)(cz_clock_ns() - start) / 1e6;
    bench->backend->functions->info(bench->backend, &bench->info);
    bench->sequences = calloc(bench->batch, sizeof *bench->sequences);
    bench->rows = calloc(STEP_ROWS, sizeof *bench->rows);
    bench->logits = calloc(bench->batch, sizeof *bench->logits);
    bench->blocks = calloc((size_t)each * bench->batch, sizeof *bench->blocks);
    bench->out = calloc((size_t)bench->batch * bench->info.vocab, sizeof *bench->out);
    if (!bench->sequences || !bench->rows || !bench->logits || !bench->blocks || !bench->out)
        return cz_fail_memory(error, "bench");
    for (uint32_t i = 0; i < each * bench->batch; i++)
        bench->blocks[i] = i;
    for (uint32_t i = 0; i < bench->batch; i++)
        bench->sequences[i] = (struct cz_step_sequence){bench->blocks + (size_t)i * each, each};
    return CLOZE_OK;
}

/* Any tokens will do: the arithmetic is the same. */
static uint32_t token_at(const struct bench *bench, uint32_t position)
{
    return (position * 7919u + 13) % bench->info.vocab;
}

static cloze_status run_step(struct bench *bench, uint32_t rows, uint32_t logits,
                             struct cloze_error *error)
{
    struct cz_step step = {.sequences = bench->sequences,
                           .sequence_count = bench->batch,
                           .rows = bench->rows,
                           .row_count = rows,
                           .logits = bench->logits,
                           .logits_count = logits};
    bench->passes++;
    return bench->backend->functions->step(bench->backend, &step, error);
}

static void ask_all(struct bench *bench, uint32_t index, uint32_t row)
{
    bench->logits[index] =
        (struct cz_step_logits){.row = row,
                                .count = bench->info.vocab,
                                .out = bench->out + (size_t)index * bench->info.vocab};
}

static cloze_status run_prompt(struct bench *bench, struct cloze_error *error)
{
    cloze_status status = CLOZE_OK;
    for (uint32_t at = 0; !status && at < bench->prompt;) {
        uint32_t left = bench->prompt - at, rows = left < STEP_ROWS ? left : STEP_ROWS;
        for (uint32_t i = 0; i < rows; i++)
            bench->rows[i] = (struct cz_step_row){token_at(bench, at + i), at + i, 0};
        ask_all(bench, 0, rows - 1);
        at += rows;
        status = run_step(bench, rows, at == bench->prompt, error);
    }
    return status;
}

static cloze_status run_answers(struct bench *bench, struct cloze_error *error)
{
    cloze_status status = CLOZE_OK;
    for (uint32_t at = 0; !status && at < bench->answer; at++) {
        for (uint32_t i = 0; i < bench->batch; i++) {
            bench->rows[i] = (struct cz_step_row){token_at(bench, at + i), at, i};
            ask_all(bench, i, i);
        }
        status = run_step(bench, bench->batch, bench->batch, error);
    }
    return status;
}

/* Prompts and answers in turn, so that noise of the machine meets both. */
static cloze_status measure(struct bench *bench, struct cloze_error *error)
{
    cloze_status status = run_prompt(bench, error); /* pages come in */
    for (uint32_t i = 0; !status && i < bench->repetitions; i++) {
        uint64_t start = cz_clock_ns();
        status = run_prompt(bench, error);
        uint64_t middle = cz_clock_ns();
        if (!status)
            status = run_answers(bench, error);
        bench->prefill[i] = bench->prompt * 1e9 / (double)(middle - start);
        bench->decode[i] =
            (double)bench->answer * bench->batch * 1e9 / (double)(cz_clock_ns() - middle);
    }
    return status;
}

/* ---- The machine ---- */

static double peak_rss_mb(void)
{
    char line[256];
    double kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "VmHWM: %lf", &kilobytes) == 1)
            break;
    }
    if (file)
        fclose(file);
    return kilobytes / 1024;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* The fastest of several passes each. */
static cloze_status measure_machine(struct bench *bench, struct cloze_error *error)
{
    enum { HUGE_PAGE = 2 << 20 };
    struct cz_pool *pool;
    size_t bytes = (bench->info.weight_bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    void *memory = aligned_alloc(HUGE_PAGE, bytes);
    if (!memory)
        return cz_fail_memory(error, "bench");
    madvise(memory, bytes, MADV_HUGEPAGE); /* failing lowers the figure */
    memset(memory, 1, bytes);
    cloze_status status = cz_pool_create(bench->info.threads, &pool, error);
    for (uint32_t i = 0; !status && i < 2 * bench->repetitions; i++) {
        bench->read_peak = larger(bench->read_peak, bench_read_rate(pool, memory, bytes));
        bench->int8_peak = larger(bench->int8_peak, bench_peak(pool, BENCH_INT8));
    }
    if (!status)
        cz_pool_free(pool);
    free(memory);
    return status;
}

static cloze_status count_operations(struct bench *bench, struct cloze_error *error)
{
    struct cz_model *model;
    cloze_status status = cz_model_open(bench->source.path, &model, error);
    if (status)
        return status;
    uint64_t head = (uint64_t)model->hyper.vocab * model->hyper.hidden;
    bool own_head = cz_model_tensor(model, CZ_ROLE_HEAD, 0)->data != NULL;
    bench->operations_per_token = 2 * (double)(model->parameters - head - (own_head ? head : 0));
    cz_model_close(model);
    return CLOZE_OK;
}

/* ---- The report ---- */

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

/* Sorts; the spread is from the lowest to the highest, relative to the median. */
static double median(double *values, uint32_t count, double *spread)
{
    qsort(values, count, sizeof *values, by_value);
    double middle = (values[(count - 1) / 2] + values[count / 2]) / 2;
    *spread = middle > 0 ? (values[count - 1] - values[0]) / middle : 0;
    return middle;
}

static void write_number(struct cz_json_writer *writer, const char *key, double value)
{
    char text[40];
    snprintf(text, sizeof text, "%.4g", value);
    cz_json_write_key(writer, key);
    if (value >= 1000)
        cz_json_write_int(writer, (int64_t)(value + 0.5));
    else
        cz_json_write_raw(writer, cz_slice(text));
}

static void write_report(struct bench *bench, struct cz_buffer *out)
{
    double prefill_spread, decode_spread;
    double prefill = median(bench->prefill, bench->repetitions, &prefill_spread);
    double decode = median(bench->decode, bench->repetitions, &decode_spread);
    double steps = decode / bench->batch;
    struct cz_json_writer writer = {.out = out, .style = CZ_JSON_SPACED};
    cz_json_begin_object(&writer);
    cz_json_write_member_string(&writer, "model", bench->source.name);
    cz_json_write_member_string(&writer, "backend", bench->info.name);
    cz_json_write_member_int(&writer, "threads", bench->info.threads);
    cz_json_write_member_int(&writer, "prompt", bench->prompt);
    cz_json_write_member_int(&writer, "answer", bench->answer);
    cz_json_write_member_int(&writer, "batch", bench->batch);
    write_number(&writer, "prefill_tok_s", prefill);
    write_number(&writer, "prefill_spread", prefill_spread);
    write_number(&writer, "decode_tok_s", decode);
    write_number(&writer, "decode_spread", decode_spread);
    write_number(&writer, "bandwidth_gb_s",
                 steps * (double)bench->info.source_bytes_per_token / 1e9);
    write_number(&writer, "read_peak_gb_s", bench->read_peak);
    write_number(&writer, "gops", prefill * bench->operations_per_token / 1e9);
    write_number(&writer, "int8_peak_gops", bench->int8_peak);
    cz_json_write_member_int(&writer, "passes", (int64_t)bench->passes);
    write_number(&writer, "rss_mb", bench->rss_mb);
    write_number(&writer, "ready_ms", bench->ready_ms);
    cz_json_end_object(&writer);
}

static void print_table(struct bench *bench)
{
    double spread;
    double prefill = median(bench->prefill, bench->repetitions, &spread);
    printf("prompt of %u tokens: %8.1f tokens/s (spread %.0f %%), %.0f of %.0f GOP/s\n",
           bench->prompt, prefill, 100 * spread, prefill * bench->operations_per_token / 1e9,
           bench->int8_peak);
    double decode = median(bench->decode, bench->repetitions, &spread);
    printf("answers, %u at once: %8.1f tokens/s (spread %.0f %%), %.1f of %.1f GB/s\n",
           bench->batch, decode, 100 * spread,
           decode / bench->batch * (double)bench->info.source_bytes_per_token / 1e9,
           bench->read_peak);
}

static cloze_status bench_backend(struct bench *bench, bool json_only, struct cloze_error *error)
{
    cloze_status status = open_backend(bench, error);
    if (!status)
        status = measure(bench, error);
    bench->rss_mb = peak_rss_mb();
    if (!status)
        status = count_operations(bench, error);
    if (!status)
        status = measure_machine(bench, error);
    if (status)
        return status;
    struct cz_buffer line = {0};
    if (!json_only)
        print_table(bench);
    write_report(bench, &line);
    status = cz_buffer_status(&line, "report", error);
    if (!status)
        puts(line.data);
    cz_buffer_free(&line);
    return status;
}

/* ---- With a schema: the whole engine, and free text of as many tokens in turn ---- */

struct answers {
    struct cz_generation *generations[256];
    struct cz_usage total;
    uint64_t bytes, passes, step_ns, constraint_ns;
    double seconds;
};

/* What is compared, per repetition. */
struct comparison {
    double free_speed[MOST_REPETITIONS];
    double tokens[MOST_REPETITIONS], bytes[MOST_REPETITIONS]; /* with the schema over without */
    /* Of the engine's thread outside the passes, for each sampled token; and that over the time that
     * a token of free text takes. */
    double constraint_us[MOST_REPETITIONS], constraint_share[MOST_REPETITIONS];
};

static cloze_status answer_together(const struct bench *bench, struct cz_engine *engine,
                                    const struct cz_request *request, struct answers *answers,
                                    struct cloze_error *error)
{
    uint64_t start = cz_clock_ns();
    cloze_status status = CLOZE_OK;
    struct cz_engine_stats before, after;
    *answers = (struct answers){0};
    cz_engine_stats(engine, &before);
    for (uint32_t i = 0; !status && i < bench->batch; i++)
        status = cz_engine_submit(engine, request, &answers->generations[i], error);
    for (uint32_t i = 0; i < bench->batch; i++) {
        struct cz_buffer text = {0};
        struct cz_usage usage = {0};
        if (!status)
            status = cz_generation_finish(answers->generations[i], &text, NULL, error);
        if (!status)
            cz_generation_usage(answers->generations[i], &usage);
        answers->total.completion_tokens += usage.completion_tokens;
        answers->total.sampled_tokens += usage.sampled_tokens;
        answers->bytes += text.size;
        cz_buffer_free(&text);
    }
    answers->seconds = (double)(cz_clock_ns() - start) / 1e9;
    cz_engine_stats(engine, &after);
    answers->passes = after.steps - before.steps;
    answers->step_ns = after.step_ns - before.step_ns;
    answers->constraint_ns = after.constraint_ns - before.constraint_ns;
    for (uint32_t i = 0; i < bench->batch; i++) {
        cz_generation_close(answers->generations[i]);
        answers->generations[i] = NULL;
    }
    return status;
}

static void write_engine_report(struct bench *bench, const struct answers *last,
                                struct comparison *comparison, struct cz_buffer *out)
{
    double spread, speed = median(bench->decode, bench->repetitions, &spread);
    struct cz_json_writer writer = {.out = out, .style = CZ_JSON_SPACED};
    cz_json_begin_object(&writer);
    cz_json_write_member_string(&writer, "model", bench->source.name);
    cz_json_write_member_string(&writer, "backend", bench->info.name);
    cz_json_write_member_int(&writer, "threads", bench->info.threads);
    cz_json_write_member_int(&writer, "batch", bench->batch);
    write_number(&writer, "answer_tok_s", speed);
    write_number(&writer, "answer_spread", spread);
    cz_json_write_member_int(&writer, "answer_tokens", last->total.completion_tokens);
    cz_json_write_member_int(&writer, "sampled_tokens", last->total.sampled_tokens);
    cz_json_write_member_int(&writer, "passes", (int64_t)bench->passes);
    write_number(&writer, "free_tok_s",
                 median(comparison->free_speed, bench->repetitions, &spread));
    write_number(&writer, "token_ratio", median(comparison->tokens, bench->repetitions, &spread));
    write_number(&writer, "byte_ratio", median(comparison->bytes, bench->repetitions, &spread));
    write_number(&writer, "constraint_us",
                 median(comparison->constraint_us, bench->repetitions, &spread));
    write_number(&writer, "constraint_share",
                 median(comparison->constraint_share, bench->repetitions, &spread));
    write_number(&writer, "rss_mb", peak_rss_mb());
    write_number(&writer, "ready_ms", bench->ready_ms);
    cz_json_end_object(&writer);
}

static void print_comparison(struct bench *bench, const struct answers *last,
                             struct comparison *comparison)
{
    double spread;
    printf("answers, %u at once: %8.1f tokens/s, %.2f x the tokens and %.2f x the bytes of free text\n",
           bench->batch, median(bench->decode, bench->repetitions, &spread),
           median(comparison->tokens, bench->repetitions, &spread),
           median(comparison->bytes, bench->repetitions, &spread));
    printf("each: %.1f tokens, %.1f of them sampled, in %.1f passes\n",
           (double)last->total.completion_tokens / bench->batch,
           (double)last->total.sampled_tokens / bench->batch, (double)bench->passes);
    printf("constraint: %.1f us for each sampled token, %.2f %% of a token of free text\n",
           median(comparison->constraint_us, bench->repetitions, &spread),
           100 * median(comparison->constraint_share, bench->repetitions, &spread));
}

/* What a round of answers tells, `free_answers` being free text of as many tokens. */
static void compare(struct comparison *comparison, uint32_t round, const struct answers *answers,
                    const struct answers *free_answers)
{
    double speed = answers->total.completion_tokens / answers->seconds;
    double free_speed = free_answers->total.completion_tokens / free_answers->seconds;
    double us = (double)answers->constraint_ns / answers->total.sampled_tokens / 1e3;
    comparison->free_speed[round] = free_speed;
    comparison->tokens[round] = speed / free_speed;
    comparison->bytes[round] = (double)answers->bytes / answers->seconds /
                               ((double)free_answers->bytes / free_answers->seconds);
    comparison->constraint_us[round] = us;
    comparison->constraint_share[round] =
        us * 1e3 / ((double)free_answers->step_ns / free_answers->total.completion_tokens);
}

static cloze_status measure_engine(struct bench *bench, struct cz_engine *engine,
                                   const struct cz_request *request, struct answers *answers,
                                   struct comparison *comparison, struct cloze_error *error)
{
    static struct answers free_answers;
    struct cz_request free_request = *request;
    cloze_status status = answer_together(bench, engine, request, answers, error);
    free_request.constraint = (struct cz_constraint){0};
    free_request.max_tokens = answers->total.completion_tokens / bench->batch;
    if (!status)
        status = answer_together(bench, engine, &free_request, &free_answers, error);
    for (uint32_t i = 0; !status && i < bench->repetitions; i++) {
        status = answer_together(bench, engine, request, answers, error);
        if (!status)
            status = answer_together(bench, engine, &free_request, &free_answers, error);
        bench->decode[i] = answers->total.completion_tokens / answers->seconds;
        compare(comparison, i, answers, &free_answers);
    }
    bench->passes = answers->passes;
    return status;
}

static cloze_status bench_engine(struct bench *bench, const char *schema, bool json_only,
                                 struct cloze_error *error)
{
    struct cz_engine *engine = NULL;
    static struct answers answers;
    static struct comparison comparison;
    struct cz_buffer text = {.maximum = LARGEST_SCHEMA}, line = {0};
    struct cz_engine_options options = {.cache_folder = bench->source.store.cache,
                                        .threads = bench->threads};
    struct cz_request request = {.prompt = CZ_SLICE("Give me a character description.")};
    cloze_status status = cz_file_read(schema, &text, error);
    uint64_t start = cz_clock_ns();
    if (!status)
        status = cz_engine_open(bench->source.path, &options, &engine, error);
    bench->ready_ms = (double)(cz_clock_ns() - start) / 1e6;
    request.constraint = (struct cz_constraint){.set = true, .source = cz_buffer_slice(&text)};
    if (!status) {
        struct cz_engine_info info;
        cz_engine_info(engine, &info);
        bench->info = info.backend;
        status = measure_engine(bench, engine, &request, &answers, &comparison, error);
    }
    if (!status) {
        if (!json_only)
            print_comparison(bench, &answers, &comparison);
        write_engine_report(bench, &answers, &comparison, &line);
        status = cz_buffer_status(&line, "report", error);
    }
    if (!status)
        puts(line.data);
    cz_engine_close(engine);
    cz_buffer_free(&text);
    cz_buffer_free(&line);
    return status;
}

/* ---- The verb ---- */

static void free_bench(struct bench *bench)
{
    if (bench->backend)
        bench->backend->functions->close(bench->backend);
    free(bench->sequences);
    free(bench->rows);
    free(bench->logits);
    free(bench->blocks);
    free(bench->out);
    cz_model_source_close(&bench->source);
    free(bench);
}

static cloze_status run_model(struct cz_arguments *arguments, struct cloze_error *error)
{
    struct bench *bench = calloc(1, sizeof *bench);
    if (!bench)
        return cz_fail_memory(error, "bench");
    bench->prompt = (uint32_t)cz_flag_integer(arguments, "prompt");
    bench->answer = (uint32_t)cz_flag_integer(arguments, "answer");
    bench->batch = (uint32_t)cz_flag_integer(arguments, "batch");
    bench->repetitions = (uint32_t)cz_flag_integer(arguments, "repetitions");
    bench->threads = (uint32_t)cz_flag_integer(arguments, "threads");
    const char *schema = cz_flag_text(arguments, "schema");
    bool json_only = cz_flag_given(arguments, "json");
    cloze_status status =
        cz_model_source_open(cz_argument(arguments, "MODEL"), &bench->source, error);
    if (!status)
        status = schema ? bench_engine(bench, schema, json_only, error)
                        : bench_backend(bench, json_only, error);
    free_bench(bench);
    return status;
}

static const struct cz_flag flags[] = {
    {.name = "prompt",
     .letter = 'p',
     .kind = CZ_VALUE_INTEGER,
     .value = "N",
     .fallback = "512",
     .minimum = 1,
     .maximum = 1 << 20,
     .help = "tokens of the prompt"},
    {.name = "answer",
     .letter = 'n',
     .kind = CZ_VALUE_INTEGER,
     .value = "N",
     .fallback = "128",
     .minimum = 1,
     .maximum = 1 << 20,
     .help = "tokens of each answer"},
    {.name = "threads",
     .letter = 't',
     .kind = CZ_VALUE_INTEGER,
     .value = "N",
     .fallback = "0",
     .maximum = 256,
     .help = "compute threads; 0: as many as the machine allows"},
    {.name = "batch",
     .letter = 'b',
     .kind = CZ_VALUE_INTEGER,
     .value = "N",
     .fallback = "1",
     .minimum = 1,
     .maximum = 256,
     .help = "answers at once"},
    {.name = "schema",
     .letter = 's',
     .kind = CZ_VALUE_FILE,
     .value = "FILE",
     .help = "measure whole requests whose answers fit this JSON Schema, and free text in turn"},
    {.name = "repetitions",
     .letter = 'r',
     .kind = CZ_VALUE_INTEGER,
     .value = "N",
     .fallback = "5",
     .minimum = 1,
     .maximum = MOST_REPETITIONS,
     .help = "how often"},
    {.name = "json", .help = "print the JSON line only"},
    {.name = NULL},
};

static const struct cz_parameter parameters[] = {
    {.name = "MODEL",
     .kind = CZ_VALUE_MODEL,
     .optional = true,
     .help = "a tag of the store, or the path of a model (default: " CZ_DEFAULT_MODEL ")"},
    {.name = NULL},
};

static const struct cz_verb bench_model = {
    .name = "model",
    .summary = "measure a model's speed",
    .description = "Measures prompts and answers, and what the machine could do at best: the "
                   "share of the memory's and of the arithmetic units' speed that is used. The "
                   "last line is one JSON object.",
    .flags = flags,
    .parameters = parameters,
    .run = run_model,
};

extern const struct cz_verb cz_verb_bench_masks;
extern const struct cz_verb cz_verb_bench_suite;

static const struct cz_verb *const verbs[] = {&bench_model, &cz_verb_bench_masks,
                                              &cz_verb_bench_suite, NULL};

const struct cz_verb cz_verb_bench = {
    .name = "bench",
    .summary = "measure what this machine does",
    .verbs = verbs,
};
