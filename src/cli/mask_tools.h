/*
 * mask_tools.h - what the verbs that measure and try out the constraint engine share: a vocabulary
 * from a tokenizer.json or of single bytes, test files below the paths of a command line, cycle
 * times and their distribution.
 */
#ifndef CZ_CLI_MASK_TOOLS_H
#define CZ_CLI_MASK_TOOLS_H

#include "constraint/matcher.h"
#include "tokenizer/tokenizer.h"
#include "json/json.h"
#include "json/writer.h"

/* A vocabulary and how text becomes its ids. */
struct cz_mask_vocab {
    struct cz_vocab *vocab;
    struct cz_tokenizer *tokenizer; /* NULL: one token a byte, and the end token behind them */
    struct cz_arena arena;          /* of the tables that the tokenizer runs on */
};

/* `path` names a tokenizer.json or its folder; NULL: the vocabulary of single bytes. */
cloze_status cz_mask_vocab_open(struct cz_mask_vocab *out, const char *path,
                                struct cloze_error *error);
void cz_mask_vocab_close(struct cz_mask_vocab *vocab);
/* Replaces *ids by the tokens of `text`. */
cloze_status cz_mask_vocab_encode(const struct cz_mask_vocab *vocab, struct cz_slice text,
                                  struct cz_ids *ids, struct cloze_error *error);

/* Paths of files whose names end in ".json", in bytewise order; folders are walked. Owned. */
struct cz_paths {
    char **paths; /* [count] */
    size_t count, capacity;
};

cloze_status cz_paths_add(struct cz_paths *paths, const char *path, struct cloze_error *error);
void cz_paths_free(struct cz_paths *paths);

/* A fast counter of the processor, and how long one of its steps is. */
uint64_t cz_ticks(void);
double cz_tick_us(void);     /* calibrated against the monotonic clock at the first call (20 ms) */
double cz_cpu_seconds(void); /* processor time of the whole process */
double cz_peak_rss_mb(void); /* largest resident set so far, in MiB */

/* Durations in ticks, in buckets of 1/128 octave: percentiles are exact to 0.8 %, the average and
 * the maximum are exact. */
enum { CZ_TIMES_STEPS = 128, CZ_TIMES_BUCKETS = 58 * CZ_TIMES_STEPS };

struct cz_times {
    uint64_t count, sum, maximum;
    uint32_t buckets[CZ_TIMES_BUCKETS];
};

void cz_times_add(struct cz_times *times, uint64_t ticks);
/* {"avg":..,"p25":..,..,"max":..} in microseconds */
void cz_times_write(const struct cz_times *times, struct cz_json_writer *writer);

/* The value's text as a compact or spaced document, numbers as they were written. */
cloze_status cz_json_text(const struct cz_json *value, enum cz_json_style style,
                          struct cz_buffer *out, struct cloze_error *error);
/* Three digits behind the point: enough for microseconds. */
void cz_json_write_fixed(struct cz_json_writer *writer, const char *key, double value);

#endif
