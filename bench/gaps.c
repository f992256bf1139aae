/*
 * gaps.c - how long a running answer waits between two tokens, alone and while a long prompt is
 * read.
 *
 *     cloze-gaps MODEL CACHE_FOLDER [PROMPT_TOKENS]
 *
 * One free answer runs; behind its first tokens a prompt of PROMPT_TOKENS (4,096) is submitted, and
 * once that has been read the answer goes on alone, from where its own context has grown to. Prints
 * the median and the 99th percentile of the gaps of both, in milliseconds, as JSON: of the clock,
 * and of the processor time that the threads spent in between (over their number), which other
 * programs on the machine leave alone.
 */
#include "base/clock.h"
#include "engine/engine.h"
#include "tokenizer/tokenizer.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TOKENS = 3000, WARM = 50, ALONE = 200 };

struct gaps {
    double ms[TOKENS], cpu_ms[TOKENS];
    size_t count;
};

static int fail(const struct cloze_error *error)
{
    fprintf(stderr, "cloze-gaps: %s: %s\n", error->where, error->message);
    return 1;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(double *values, size_t count, double share)
{
    qsort(values, count, sizeof *values, by_size);
    return count ? values[(size_t)((double)(count - 1) * share)] : 0;
}

static void report(const char *what, struct gaps *gaps)
{
    printf("\"%s\": {\"tokens\": %zu, \"p50_ms\": %.2f, \"p99_ms\": %.2f, \"cpu_p50_ms\": %.2f, "
           "\"cpu_p99_ms\": %.2f}",
           what, gaps->count, percentile(gaps->ms, gaps->count, 0.5),
           percentile(gaps->ms, gaps->count, 0.99), percentile(gaps->cpu_ms, gaps->count, 0.5),
           percentile(gaps->cpu_ms, gaps->count, 0.99));
}

static double cpu_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

/* Collects gaps until `most` tokens came or the other request has come and gone. */
static bool watch(struct cz_engine *engine, struct cz_generation *answer, size_t most,
                  struct gaps *gaps)
{
    static uint64_t last;
    static double last_cpu;
    struct cz_engine_info info;
    bool seen = false;
    struct cz_delta delta;
    struct cz_engine_stats stats;
    cz_engine_info(engine, &info);
    while (gaps->count < most && cz_generation_next(answer, &delta)) {
        uint64_t now = cz_clock_ns();
        double cpu = cpu_ms();
        if (last) {
            gaps->ms[gaps->count] = (double)(now - last) / 1e6;
            gaps->cpu_ms[gaps->count++] = (cpu - last_cpu) / info.backend.threads;
        }
        last = now;
        last_cpu = cpu;
        if (delta.finish)
            return false;
        cz_engine_stats(engine, &stats);
        if (seen && stats.running == 1)
            break;
        seen |= stats.running == 2;
    }
    return true;
}

/* "a b c d ...", of at least so many tokens; free(). */
static char *long_prompt(size_t tokens)
{
    char *text = malloc(tokens * 2 + 1);
    for (size_t i = 0; text && i < tokens; i++) {
        text[2 * i] = ' ';
        text[2 * i + 1] = (char)('a' + i * 7 % 26);
    }
    if (text)
        text[tokens * 2] = '\0';
    return text;
}

int main(int argc, char **argv)
{
    size_t tokens = argc == 4 ? strtoul(argv[3], NULL, 10) : 4096;
    struct cz_engine_options options = {.cache_folder = argc >= 3 ? argv[2] : NULL,
                                        .kv_positions = 8192 + tokens};
    struct cloze_error error = {0};
    struct cz_engine *engine;
    static struct gaps warm, alone, beside;
    if (argc < 3 || !tokens || tokens > 1 << 20) {
        fprintf(stderr, "usage: cloze-gaps MODEL CACHE_FOLDER [PROMPT_TOKENS]\n");
        return 2;
    }
    if (cz_engine_open(argv[1], &options, &engine, &error))
        return fail(&error);
    int policy;
    struct sched_param own;
    if (!pthread_getschedparam(pthread_self(), &policy, &own) && policy == SCHED_FIFO) {
        own.sched_priority++; /* under chrt: the watcher must not wait for the spinning workers */
        pthread_setschedparam(pthread_self(), policy, &own);
    }
    int64_t eos = cz_tokenizer_eos(cz_engine_tokenizer(engine));
    struct cz_logit_bias endless = {(uint32_t)(eos > 0 ? eos : 0), -1000};
    char *prompt = long_prompt(tokens);
    struct cz_request first = {.prompt = CZ_SLICE("Once upon a time"),
                               .raw = true,
                               .max_tokens = TOKENS,
                               .sampling = {.biases = &endless, .bias_count = 1}};
    struct cz_request second = {.prompt = cz_slice(prompt), .raw = true, .max_tokens = 1};
    struct cz_generation *answer, *reader;
    if (cz_engine_submit(engine, &first, &answer, &error))
        return fail(&error);
    bool on = watch(engine, answer, WARM, &warm);
    if (on && cz_engine_submit(engine, &second, &reader, &error))
        return fail(&error);
    on = on && watch(engine, answer, TOKENS - WARM - ALONE, &beside);
    bool longer = on && watch(engine, answer, ALONE, &alone);
    printf("{\"prompt\": %zu, ", tokens);
    report("alone", &alone);
    printf(", ");
    report("beside", &beside);
    printf(", \"cpu_p99_ratio\": %.2f}\n", percentile(beside.cpu_ms, beside.count, 0.99) /
                                               percentile(alone.cpu_ms, alone.count, 0.5));
    if (!longer)
        fprintf(stderr, "cloze-gaps: the answer ended too early\n");
    cz_generation_close(answer);
    if (on)
        cz_generation_close(reader);
    cz_engine_close(engine);
    free(prompt);
    return 0;
}
