/* mask_tools.c - see mask_tools.h */
#include "cli/mask_tools.h"

#include "base/clock.h"
#include "base/file.h"
#include "model/tokenizer_source.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

/* Tools compile each schema once, or to time it again: no grammar is kept. */
enum { KEEP_NOTHING = 1 };
enum { BYTE_TOKENS = 256, BYTE_END = 256, MAXIMUM_PATHS = 1 << 20, MAXIMUM_FOLDERS = 16 };

/* ---- Vocabulary ---- */

/* Documents are answers: nothing is put before them. */
static const struct cz_encode_options in_answer = {.continues = true};

static size_t encode_for_vocab(void *context, struct cz_slice text, uint32_t *ids, size_t capacity)
{
    struct cz_ids found = {0};
    size_t count = 0;
    if (!cz_tokenizer_encode(context, text, &in_answer, &found, NULL)) {
        count = found.count;
        for (size_t i = 0; i < count && i < capacity; i++)
            ids[i] = found.ids[i];
    }
    cz_ids_free(&found);
    return count;
}

static cloze_status open_bytes(struct cz_mask_vocab *out, struct cloze_error *error)
{
    static char bytes[BYTE_TOKENS];
    struct cz_slice tokens[BYTE_TOKENS + 1] = {{0}};
    uint32_t end = BYTE_END;
    for (int i = 0; i < BYTE_TOKENS; i++) {
        bytes[i] = (char)i;
        tokens[i] = cz_slice_of(&bytes[i], 1);
    }
    struct cz_vocab_options options = {.count = BYTE_TOKENS + 1,
                                       .logits_width = BYTE_TOKENS + 1,
                                       .tokens = tokens,
                                       .end_ids = &end,
                                       .end_count = 1,
                                       .cache_bytes = KEEP_NOTHING};
    return cz_vocab_create(&options, &out->vocab, error);
}

static cloze_status open_source(struct cz_mask_vocab *out, const char *path,
                                struct cz_tokenizer_source *source, struct cloze_error *error)
{
    const char *name = cz_path_name(path);
    struct cz_slice folder = cz_slice(path);
    if (cz_slice_ends_with(folder, ".json"))
        folder.size = name == path ? 0 : (size_t)(name - path);
    char *text = cz_arena_text(&out->arena, folder.size ? folder : CZ_SLICE("."));
    if (!text)
        return cz_fail_memory(error, "a path");
    return cz_tokenizer_source_folder(text, &out->arena, source, error);
}

static cloze_status open_tokenizer(struct cz_mask_vocab *out, const char *path,
                                   struct cloze_error *error)
{
    struct cz_tokenizer_source *source = CZ_ARENA_NEW(&out->arena, struct cz_tokenizer_source);
    cloze_status status =
        source ? open_source(out, path, source, error) : cz_fail_memory(error, "a tokenizer");
    if (!status)
        status = cz_tokenizer_create(&source->tables, &out->tokenizer, error);
    if (status)
        return status;
    uint32_t count = cz_tokenizer_count(out->tokenizer);
    struct cz_slice *tokens = CZ_ARENA_ARRAY(&out->arena, struct cz_slice, count);
    if (!tokens)
        return cz_fail_memory(error, "the vocabulary");
    for (uint32_t id = 0; id < count; id++)
        tokens[id] = cz_tokenizer_bytes(out->tokenizer, id);
    struct cz_vocab_options options = {.count = count,
                                       .logits_width = count,
                                       .tokens = tokens,
                                       .end_ids = source->stop_ids,
                                       .end_count = source->stop_count,
                                       .encode = encode_for_vocab,
                                       .encode_context = out->tokenizer,
                                       .cache_bytes = KEEP_NOTHING};
    return cz_vocab_create(&options, &out->vocab, error);
}

cloze_status cz_mask_vocab_open(struct cz_mask_vocab *out, const char *path,
                                struct cloze_error *error)
{
    *out = (struct cz_mask_vocab){0};
    cloze_status status = path ? open_tokenizer(out, path, error) : open_bytes(out, error);
    if (status)
        cz_mask_vocab_close(out);
    return status;
}

void cz_mask_vocab_close(struct cz_mask_vocab *vocab)
{
    cz_vocab_release(vocab->vocab);
    cz_tokenizer_free(vocab->tokenizer);
    cz_arena_free(&vocab->arena);
    *vocab = (struct cz_mask_vocab){0};
}

cloze_status cz_mask_vocab_encode(const struct cz_mask_vocab *vocab, struct cz_slice text,
                                  struct cz_ids *ids, struct cloze_error *error)
{
    ids->count = 0;
    if (vocab->tokenizer)
        return cz_tokenizer_encode(vocab->tokenizer, text, &in_answer, ids, error);
    for (size_t i = 0; i < text.size; i++)
        cz_ids_append(ids, (unsigned char)text.data[i]);
    return ids->failed ? cz_fail_memory(error, "the tokens of a document") : CLOZE_OK;
}

/* ---- Paths ---- */

static cloze_status append_path(struct cz_paths *paths, const char *path, struct cloze_error *error)
{
    if (paths->count == MAXIMUM_PATHS)
        return cz_fail(error, CLOZE_LIMIT, path, "more than %d files", MAXIMUM_PATHS);
    if (paths->count == paths->capacity) {
        size_t capacity = paths->capacity ? paths->capacity * 2 : 64;
        char **grown = realloc(paths->paths, capacity * sizeof *grown);
        if (!grown)
            return cz_fail_memory(error, "the list of files");
        paths->paths = grown;
        paths->capacity = capacity;
    }
    char *copy = strdup(path);
    if (!copy)
        return cz_fail_memory(error, "the list of files");
    paths->paths[paths->count++] = copy;
    return CLOZE_OK;
}

static cloze_status walk(struct cz_paths *paths, const char *path, unsigned depth,
                         struct cloze_error *error)
{
    if (!cz_file_is_folder(path))
        return append_path(paths, path, error);
    if (depth > MAXIMUM_FOLDERS)
        return cz_fail(error, CLOZE_LIMIT, path, "folders nested more than %d deep",
                       MAXIMUM_FOLDERS);
    struct dirent **entries = NULL;
    struct cz_buffer name = {0};
    cloze_status status = CLOZE_OK;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0)
        return cz_fail_errno(error, path, "read the folder");
    for (int i = 0; i < count; i++) {
        const char *entry = entries[i]->d_name;
        const char *full = cz_path_join(&name, path, entry);
        if (!status && !full)
            status = cz_fail_memory(error, "a path");
        bool wanted = full && entry[0] != '.' &&
                      (cz_file_is_folder(full) || cz_slice_ends_with(cz_slice(entry), ".json"));
        if (!status && wanted)
            status = walk(paths, full, depth + 1, error);
        free(entries[i]);
    }
    free(entries);
    cz_buffer_free(&name);
    return status;
}

cloze_status cz_paths_add(struct cz_paths *paths, const char *path, struct cloze_error *error)
{
    if (!cz_file_exists(path))
        return cz_fail(error, CLOZE_NOT_FOUND, path, "no such file or folder");
    return walk(paths, path, 0, error);
}

void cz_paths_free(struct cz_paths *paths)
{
    for (size_t i = 0; i < paths->count; i++)
        free(paths->paths[i]);
    free(paths->paths);
    *paths = (struct cz_paths){0};
}

/* ---- Time and memory ---- */

uint64_t cz_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t value;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
    return value;
#else
    return cz_clock_ns();
#endif
}

double cz_tick_us(void)
{
    static double step;
    if (step > 0)
        return step;
    uint64_t start_ns = cz_clock_ns(), start = cz_ticks(), now_ns;
    do
        now_ns = cz_clock_ns();
    while (now_ns - start_ns < 20 * 1000 * 1000);
    step = (double)(now_ns - start_ns) / 1000.0 / (double)(cz_ticks() - start);
    return step;
}

double cz_cpu_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

double cz_peak_rss_mb(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024.0;
}

/* Below CZ_TIMES_STEPS every value has its bucket; above, an octave has CZ_TIMES_STEPS. */
static size_t bucket_of(uint64_t ticks)
{
    if (ticks < CZ_TIMES_STEPS)
        return (size_t)ticks;
    unsigned shift = 63 - (unsigned)__builtin_clzll(ticks) - 7;
    return (size_t)(shift + 1) * CZ_TIMES_STEPS + (size_t)((ticks >> shift) - CZ_TIMES_STEPS);
}

static double bucket_middle(size_t bucket)
{
    if (bucket < CZ_TIMES_STEPS)
        return (double)bucket;
    size_t shift = bucket / CZ_TIMES_STEPS - 1;
    return ((double)(bucket % CZ_TIMES_STEPS + CZ_TIMES_STEPS) + 0.5) * (double)(1ull << shift);
}

void cz_times_add(struct cz_times *times, uint64_t ticks)
{
    times->count++;
    times->sum += ticks;
    if (ticks > times->maximum)
        times->maximum = ticks;
    size_t bucket = bucket_of(ticks);
    times->buckets[bucket < CZ_TIMES_BUCKETS ? bucket : CZ_TIMES_BUCKETS - 1]++;
}

static double percentile(const struct cz_times *times, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)times->count), seen = 0;
    for (size_t i = 0; i < CZ_TIMES_BUCKETS; i++) {
        seen += times->buckets[i];
        if (seen > wanted)
            return bucket_middle(i);
    }
    return (double)times->maximum;
}

void cz_times_write(const struct cz_times *times, struct cz_json_writer *writer)
{
    static const struct {
        const char *name;
        double share;
    } points[] = {{"p25", 0.25}, {"p50", 0.5},  {"p75", 0.75},  {"p90", 0.9},
                  {"p95", 0.95}, {"p99", 0.99}, {"p999", 0.999}};
    double us = cz_tick_us();
    cz_json_begin_object(writer);
    cz_json_write_fixed(writer, "avg",
                        times->count ? (double)times->sum / (double)times->count * us : 0);
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        cz_json_write_fixed(writer, points[i].name,
                            times->count ? percentile(times, points[i].share) * us : 0);
    cz_json_write_fixed(writer, "max", (double)times->maximum * us);
    cz_json_end_object(writer);
}

/* ---- JSON ---- */

cloze_status cz_json_text(const struct cz_json *value, enum cz_json_style style,
                          struct cz_buffer *out, struct cloze_error *error)
{
    cz_buffer_clear(out);
    struct cz_json_writer writer = {.out = out, .style = style};
    cz_json_write_value(&writer, value);
    return cz_buffer_status(out, "a document", error);
}

void cz_json_write_fixed(struct cz_json_writer *writer, const char *key, double value)
{
    char text[48];
    int size = snprintf(text, sizeof text, "%.3f", value);
    cz_json_write_key(writer, key);
    cz_json_write_raw(writer, cz_slice_of(text, (size_t)size));
}
