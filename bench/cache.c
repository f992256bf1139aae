/*
 * cache.c - the cache of compiled grammars: how long a hit by content takes, by the size of the
 * schema, and how much memory ten thousand different schemas leave behind, each walked for some
 * tokens. Over the vocabulary of single bytes. `cloze-bench-cache`
 */
#include "base/clock.h"
#include "constraint/matcher.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BYTES = 256, SCHEMAS = 10000, HITS = 20000, STEPS = 40, BUDGET = 32 << 20 };

static void check(cloze_status status, const struct cloze_error *error)
{
    if (status == CLOZE_OK)
        return;
    fprintf(stderr, "%s: %s\n", error->where, error->message);
    exit(1);
}

static struct cz_vocab *byte_vocab(void)
{
    static char bytes[BYTES];
    struct cz_slice tokens[BYTES + 1] = {{0}};
    const uint32_t end = BYTES;
    struct cz_vocab *vocab;
    struct cloze_error error;
    for (int i = 0; i < BYTES; i++) {
        bytes[i] = (char)i;
        tokens[i] = cz_slice_of(&bytes[i], 1);
    }
    const struct cz_vocab_options options = {.count = BYTES + 1,
                                             .logits_width = BYTES + 1,
                                             .tokens = tokens,
                                             .end_ids = &end,
                                             .end_count = 1,
                                             .cache_bytes = BUDGET};
    check(cz_vocab_create(&options, &vocab, &error), &error);
    return vocab;
}

/* A schema of about `size` bytes that no other number gives. */
static void make_schema(struct cz_buffer *out, int number, size_t size)
{
    cz_buffer_clear(out);
    cz_buffer_printf(out, "{\"type\": \"object\", \"properties\": {\"number_%d\": {\"const\": %d}",
                     number, number);
    for (int i = 0; out->size + 60 < size; i++)
        cz_buffer_printf(out, ", \"field_%d\": {\"type\": \"string\", \"maxLength\": %d}", i, number);
    cz_buffer_printf(out, "}, \"required\": [\"number_%d\"]}", number);
}

static struct cz_grammar *compile(struct cz_vocab *vocab, const struct cz_buffer *schema)
{
    const struct cz_grammar_options options = {0};
    struct cz_grammar *grammar;
    struct cloze_error error;
    check(cz_grammar_compile(vocab, cz_buffer_slice(schema), &options, &grammar, &error), &error);
    return grammar;
}

static void time_hits(struct cz_vocab *vocab, size_t size)
{
    struct cz_buffer schema = {0};
    make_schema(&schema, 1, size);
    struct cz_grammar *kept = compile(vocab, &schema);
    uint64_t start = cz_clock_ns();
    for (int i = 0; i < HITS; i++)
        cz_grammar_release(compile(vocab, &schema));
    printf("a hit, schema of %5zu bytes: %6.0f ns\n", schema.size,
           (double)(cz_clock_ns() - start) / HITS);
    cz_grammar_release(kept);
    cz_buffer_free(&schema);
}

static void walk(struct cz_grammar *grammar)
{
    struct cz_matcher *matcher;
    struct cloze_error error;
    check(cz_matcher_create(grammar, &matcher, &error), &error);
    for (int i = 0; i < STEPS; i++) {
        struct cz_mask mask = cz_matcher_mask(matcher);
        uint32_t token = 0;
        while (mask.words && !(mask.words[token / 32] >> token % 32 & 1))
            token++;
        if (!cz_matcher_accept(matcher, mask.ids ? mask.ids[mask.count / 2] : token))
            break;
    }
    cz_matcher_free(matcher);
}

static double resident_mb(void)
{
    unsigned long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%lu %lu", &pages, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

int main(void)
{
    struct cz_vocab *vocab = byte_vocab();
    struct cz_buffer schema = {0};
    for (size_t size = 256; size <= 4096; size *= 4)
        time_hits(vocab, size);
    double before = resident_mb();
    for (int i = 0; i < SCHEMAS; i++) {
        make_schema(&schema, i, 1024);
        struct cz_grammar *grammar = compile(vocab, &schema);
        walk(grammar);
        cz_grammar_release(grammar);
        if ((i + 1) % (SCHEMAS / 5) == 0)
            printf("%5d schemas: %.1f MB more, of a budget of %d MB\n", i + 1,
                   resident_mb() - before, BUDGET >> 20);
    }
    cz_buffer_free(&schema);
    cz_vocab_release(vocab);
    return 0;
}
