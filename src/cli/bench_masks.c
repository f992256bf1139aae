/*
 * bench_masks.c - `cloze bench masks`: MaskBench files (a schema with valid and invalid instances)
 * against the constraint engine, by MaskBench's rules with the end of the document checked.
 *
 * An instance is written as Python's json.dumps(data, ensure_ascii=False) does, tokenised, and fed
 * token by token. One timed window per token holds computing the mask and accepting the token;
 * compiling has a window of its own, from schema text to a grammar. What lies between the windows
 * is timed as well, as parsing; the rest of the process's time is reported as unaccounted.
 *
 * Every schema runs once, cold: no grammar is kept, but the vocabulary keeps what it learned of
 * patterns from earlier schemas, as it does in a server. Only a window that would be the largest of all
 * is measured in two more runs, with all of that forgotten, and counts for the maximum with the smallest of the three.
 */
#include "cli/mask_tools.h"
#include "cli/verb.h"

#include "base/file.h"

#include <stdlib.h>

enum verdict { PASSING, COMPILE_ERROR, VALID_REJECTED, INVALID_ACCEPTED, CRASH, CLASSES };

static const char *const class_names[CLASSES] = {"passing", "compile_error", "valid_rejected",
                                                 "invalid_accepted", "crash"};

enum { COLD_RUNS = 3 };

/* The mask windows of one schema in order, in ticks. */
struct windows {
    uint64_t *ticks; /* [count] */
    size_t count, capacity;
};

struct run {
    struct cz_mask_vocab vocab;
    struct cz_grammar_options options;
    FILE *per_schema; /* NULL: none asked for */
    struct cz_times masks, compiles;
    struct windows windows;    /* of the schema at hand */
    uint64_t longest_mask;     /* each the smallest of COLD_RUNS */
    uint64_t longest_compile;
    uint64_t refusing; /* ticks of compiling what was refused */
    double parsing_s;  /* processor time outside the windows that is explained */
    double repeating_s; /* of the further cold runs */
    uint64_t classes[CLASSES];
    uint64_t schemas;
    uint64_t inconsistent; /* tokens on which mask and accept disagreed: a defect */
    struct cz_buffer text;
    struct cz_ids ids;
};

/* What one schema gave. */
struct outcome {
    enum verdict verdict;
    struct cloze_error error; /* COMPILE_ERROR, CRASH */
    size_t instance;          /* the last one judged wrongly, counted from 0 */
    size_t token;             /* how many of its tokens were accepted */
    uint64_t compile;
    uint64_t masks, masks_sum, masks_maximum; /* how many; ticks */
};

static void add_window(struct windows *windows, uint64_t ticks)
{
    if (windows->count == windows->capacity) {
        size_t capacity = windows->capacity ? windows->capacity * 2 : 1024;
        uint64_t *larger = realloc(windows->ticks, capacity * sizeof *larger);
        if (!larger)
            return;
        windows->ticks = larger;
        windows->capacity = capacity;
    }
    windows->ticks[windows->count++] = ticks;
}

/* Feeds the tokens; true when all are accepted and the document may end there. */
static bool feed(struct run *run, struct cz_matcher *matcher, size_t *accepted)
{
    size_t i = 0;
    for (; i < run->ids.count; i++) {
        uint32_t token = run->ids.ids[i];
        uint64_t start = cz_ticks();
        struct cz_mask mask = cz_matcher_mask(matcher);
        uint64_t masked = cz_ticks();
        bool allowed = cz_mask_has(mask, token);
        uint64_t looked = cz_ticks();
        bool taken = cz_matcher_accept(matcher, token);
        uint64_t end = cz_ticks();
        add_window(&run->windows, (masked - start) + (end - looked));
        run->inconsistent += allowed != taken;
        if (!taken)
            break;
    }
    *accepted = i;
    return i == run->ids.count && cz_matcher_is_accepting(matcher);
}

static cloze_status try_instance(struct run *run, struct cz_matcher *matcher,
                                 const struct cz_json *test, size_t index, struct outcome *outcome,
                                 struct cloze_error *error)
{
    bool valid = cz_json_is(cz_json_get(test, "valid"), CZ_JSON_TRUE);
    double before = cz_cpu_seconds();
    cloze_status status =
        cz_json_text(cz_json_get(test, "data"), CZ_JSON_SPACED, &run->text, error);
    if (!status)
        status = cz_mask_vocab_encode(&run->vocab, cz_buffer_slice(&run->text), &run->ids, error);
    if (status)
        return status;
    cz_matcher_reset(matcher);
    run->parsing_s += cz_cpu_seconds() - before;
    size_t accepted;
    if (feed(run, matcher, &accepted) != valid) {
        outcome->verdict = valid ? VALID_REJECTED : INVALID_ACCEPTED;
        outcome->instance = index;
        outcome->token = accepted;
    }
    return CLOZE_OK;
}

static cloze_status try_instances(struct run *run, struct cz_grammar *grammar,
                                  const struct cz_json *tests, struct outcome *outcome,
                                  struct cloze_error *error)
{
    struct cz_matcher *matcher = NULL;
    cloze_status status = cz_matcher_create(grammar, &matcher, error);
    size_t index = 0;
    if (!status && cz_json_is(tests, CZ_JSON_ARRAY)) {
        CZ_JSON_EACH(test, tests)
        {
            if (!status && cz_json_get(test, "data"))
                status = try_instance(run, matcher, test, index, outcome, error);
            index++;
        }
    }
    double before = cz_cpu_seconds();
    cz_matcher_free(matcher);
    run->parsing_s += cz_cpu_seconds() - before;
    return status;
}

/* Compiles and tries every instance. Fails only when the file is unusable. */
static cloze_status try_schema(struct run *run, const struct cz_json *file, struct outcome *outcome,
                               struct cloze_error *error)
{
    struct cz_grammar *grammar = NULL;
    struct cz_buffer schema = {0};
    double before = cz_cpu_seconds();
    cloze_status status =
        cz_json_text(cz_json_get(file, "schema"), CZ_JSON_COMPACT, &schema, error);
    run->parsing_s += cz_cpu_seconds() - before;
    if (status)
        goto out;
    uint64_t start = cz_ticks();
    cloze_status refused = cz_grammar_compile(run->vocab.vocab, cz_buffer_slice(&schema),
                                              &run->options, &grammar, &outcome->error);
    outcome->compile = cz_ticks() - start;
    if (refused) {
        outcome->verdict = refused == CLOZE_INTERNAL ? CRASH : COMPILE_ERROR;
        goto out;
    }
    run->windows.count = 0;
    status = try_instances(run, grammar, cz_json_get(file, "tests"), outcome, error);
out:
    before = cz_cpu_seconds();
    cz_grammar_release(grammar);
    cz_buffer_free(&schema);
    run->parsing_s += cz_cpu_seconds() - before;
    return status;
}

/* What a first run took goes to the distributions. */
static void account(struct run *run, struct outcome *outcome)
{
    if (outcome->verdict == COMPILE_ERROR || outcome->verdict == CRASH) {
        run->windows.count = 0;
        run->refusing += outcome->compile; /* no part of the compile times */
        return;
    }
    cz_times_add(&run->compiles, outcome->compile);
    outcome->masks = run->windows.count;
    for (size_t i = 0; i < run->windows.count; i++) {
        uint64_t ticks = run->windows.ticks[i];
        cz_times_add(&run->masks, ticks);
        outcome->masks_sum += ticks;
        if (ticks > outcome->masks_maximum)
            outcome->masks_maximum = ticks;
    }
}

static uint64_t largest(const struct windows *windows)
{
    uint64_t maximum = 0;
    for (size_t i = 0; i < windows->count; i++)
        maximum = windows->ticks[i] > maximum ? windows->ticks[i] : maximum;
    return maximum;
}

/* Runs the schema again, cold, and keeps the smaller time of every position. */
static cloze_status repeat(struct run *run, const struct cz_json *file, struct windows *shortest,
                           uint64_t *compile, struct cloze_error *error)
{
    struct outcome again = {0};
    cz_vocab_forget(run->vocab.vocab);
    cloze_status status = try_schema(run, file, &again, error);
    *compile = again.compile < *compile ? again.compile : *compile;
    for (size_t i = 0; i < shortest->count && i < run->windows.count; i++) {
        if (run->windows.ticks[i] < shortest->ticks[i])
            shortest->ticks[i] = run->windows.ticks[i];
    }
    return status;
}

static cloze_status confirm_longest(struct run *run, const struct cz_json *file,
                                    const struct outcome *outcome, struct cloze_error *error)
{
    bool refused = outcome->verdict == COMPILE_ERROR || outcome->verdict == CRASH;
    if (refused || (outcome->masks_maximum <= run->longest_mask &&
                    outcome->compile <= run->longest_compile))
        return CLOZE_OK;
    double before = cz_cpu_seconds(), parsing_s = run->parsing_s;
    struct windows shortest = run->windows;
    uint64_t compile = outcome->compile, inconsistent = run->inconsistent;
    cloze_status status = CLOZE_OK;
    run->windows = (struct windows){0};
    for (int i = 1; i < COLD_RUNS && !status; i++)
        status = repeat(run, file, &shortest, &compile, error);
    uint64_t mask = largest(&shortest);
    run->longest_mask = mask > run->longest_mask ? mask : run->longest_mask;
    run->longest_compile = compile > run->longest_compile ? compile : run->longest_compile;
    free(shortest.ticks);
    run->inconsistent = inconsistent;
    run->parsing_s = parsing_s;
    run->repeating_s += cz_cpu_seconds() - before;
    return status;
}

static void write_outcome(struct run *run, const char *path, const struct outcome *outcome)
{
    struct cz_buffer line = {0};
    struct cz_json_writer writer = {.out = &line};
    double us = cz_tick_us();
    cz_json_begin_object(&writer);
    cz_json_write_member_string(&writer, "file", cz_path_name(path));
    cz_json_write_member_string(&writer, "class", class_names[outcome->verdict]);
    if (outcome->verdict == COMPILE_ERROR || outcome->verdict == CRASH) {
        cz_json_write_member_string(&writer, "code", cloze_status_name(outcome->error.code));
        cz_json_write_member_string(&writer, "where", outcome->error.where);
        cz_json_write_member_string(&writer, "message", outcome->error.message);
    } else if (outcome->verdict != PASSING) {
        cz_json_write_member_int(&writer, "instance", (int64_t)outcome->instance);
        cz_json_write_member_int(&writer, "token", (int64_t)outcome->token);
    }
    cz_json_write_fixed(&writer, "compile_us", (double)outcome->compile * us);
    cz_json_write_member_int(&writer, "masks", (int64_t)outcome->masks);
    cz_json_write_fixed(&writer, "mask_us_total", (double)outcome->masks_sum * us);
    cz_json_write_fixed(&writer, "mask_us_max", (double)outcome->masks_maximum * us);
    cz_json_end_object(&writer);
    fprintf(run->per_schema, "%s\n", cz_buffer_text(&line));
    cz_buffer_free(&line);
}

static cloze_status try_file(struct run *run, const char *path, struct cloze_error *error)
{
    struct cz_arena arena = {0};
    struct cz_buffer source = {0};
    struct cz_json *file = NULL;
    struct outcome outcome = {0};
    double before = cz_cpu_seconds();
    cloze_status status = cz_file_read(path, &source, error);
    if (!status)
        status = cz_json_parse(&arena, cz_buffer_slice(&source), NULL, &file, error);
    if (!status && !cz_json_get(file, "schema"))
        status = cz_fail(error, CLOZE_INVALID, NULL, "no member \"schema\": not a MaskBench file");
    run->parsing_s += cz_cpu_seconds() - before;
    if (!status)
        status = try_schema(run, file, &outcome, error);
    before = cz_cpu_seconds();
    if (!status)
        account(run, &outcome);
    run->parsing_s += cz_cpu_seconds() - before;
    if (!status)
        status = confirm_longest(run, file, &outcome, error);
    before = cz_cpu_seconds();
    if (status) {
        cz_error_at(error, path);
    } else {
        run->schemas++;
        run->classes[outcome.verdict]++;
        if (run->per_schema)
            write_outcome(run, path, &outcome);
    }
    cz_buffer_free(&source);
    cz_arena_free(&arena);
    run->parsing_s += cz_cpu_seconds() - before;
    return status;
}

static void write_result(const struct run *run, double cpu_s)
{
    struct cz_buffer line = {0};
    struct cz_json_writer writer = {.out = &line};
    double windows =
        (double)(run->masks.sum + run->compiles.sum + run->refusing) * cz_tick_us() / 1e6;
    double explained = windows + run->parsing_s + run->repeating_s;
    cz_json_begin_object(&writer);
    cz_json_write_member_int(&writer, "schemas", (int64_t)run->schemas);
    cz_json_write_member_int(&writer, "passing", (int64_t)run->classes[PASSING]);
    cz_json_write_member_int(&writer, "compile_errors", (int64_t)run->classes[COMPILE_ERROR]);
    cz_json_write_member_int(&writer, "valid_rejected", (int64_t)run->classes[VALID_REJECTED]);
    cz_json_write_member_int(&writer, "invalid_accepted", (int64_t)run->classes[INVALID_ACCEPTED]);
    cz_json_write_member_int(&writer, "crashes", (int64_t)run->classes[CRASH]);
    cz_json_write_member_int(&writer, "masks", (int64_t)run->masks.count);
    cz_json_write_key(&writer, "mask_us");
    cz_times_write(&run->masks, &writer);
    cz_json_write_key(&writer, "compile_us");
    cz_times_write(&run->compiles, &writer);
    cz_json_write_fixed(&writer, "parsing_s", run->parsing_s);
    cz_json_write_fixed(&writer, "repeating_s", run->repeating_s);
    cz_json_write_fixed(&writer, "cpu_s", cpu_s);
    cz_json_write_fixed(&writer, "unaccounted_s", cpu_s > explained ? cpu_s - explained : 0);
    cz_json_write_fixed(&writer, "rss_mb", cz_peak_rss_mb());
    cz_json_write_member_int(&writer, "inconsistent_masks", (int64_t)run->inconsistent);
    cz_json_end_object(&writer);
    printf("%s\n", cz_buffer_text(&line));
    cz_buffer_free(&line);
}

static cloze_status run_files(struct run *run, struct cz_arguments *arguments,
                              struct cloze_error *error)
{
    struct cz_paths paths = {0};
    cloze_status status = CLOZE_OK;
    const char *path;
    for (size_t i = 0; !status && (path = cz_argument_each(arguments, "PATH", i)); i++)
        status = cz_paths_add(&paths, path, error);
    for (size_t i = 0; !status && i < paths.count; i++) {
        status = try_file(run, paths.paths[i], error);
        if (!status && !cz_is_quiet(arguments) && (i + 1) % 500 == 0)
            fprintf(stderr, "%zu of %zu files\n", i + 1, paths.count);
    }
    cz_paths_free(&paths);
    return status;
}

static enum cz_whitespace whitespace_of(const char *name)
{
    static const char *const names[] = {"default", "spaced",   "compact",
                                        "pretty",  "flexible", "any"};
    for (int i = 0; i < 6; i++) {
        if (strcmp(name, names[i]) == 0)
            return (enum cz_whitespace)i;
    }
    return CZ_WHITESPACE_DEFAULT;
}

static cloze_status run_bench_masks(struct cz_arguments *arguments, struct cloze_error *error)
{
    struct run *run = calloc(1, sizeof *run);
    if (!run)
        return cz_fail_memory(error, "the measurements");
    cz_tick_us();
    double before = cz_cpu_seconds();
    run->options = (struct cz_grammar_options){
        .kind = CZ_GRAMMAR_JSON_SCHEMA,
        .policy = strcmp(cz_flag_text(arguments, "policy"), "generate") == 0 ? CZ_POLICY_GENERATE
                                                                             : CZ_POLICY_ACCEPT,
        .whitespace = whitespace_of(cz_flag_text(arguments, "whitespace")),
        .annotate_formats = strcmp(cz_flag_text(arguments, "format"), "annotate") == 0};
    cloze_status status =
        cz_mask_vocab_open(&run->vocab, cz_flag_text(arguments, "tokenizer"), error);
    run->parsing_s += cz_cpu_seconds() - before;
    const char *per_schema = cz_flag_text(arguments, "per-schema");
    if (!status && per_schema && !(run->per_schema = fopen(per_schema, "w")))
        status = cz_fail_errno(error, per_schema, "write");
    if (!status)
        status = run_files(run, arguments, error);
    run->masks.maximum = run->longest_mask;
    run->compiles.maximum = run->longest_compile;
    if (!status)
        write_result(run, cz_cpu_seconds() - before);
    if (run->per_schema && fclose(run->per_schema) && !status)
        status = cz_fail_errno(error, per_schema, "write");
    cz_ids_free(&run->ids);
    free(run->windows.ticks);
    cz_buffer_free(&run->text);
    cz_mask_vocab_close(&run->vocab);
    free(run);
    return status;
}

static const struct cz_flag flags[] = {
    {.name = "tokenizer",
     .kind = CZ_VALUE_FILE,
     .value = "TOKENIZER.json",
     .help = "the vocabulary; without it, one token a byte"},
    {.name = "policy",
     .kind = CZ_VALUE_CHOICE,
     .value = "accept|generate",
     .fallback = "accept",
     .help = "all that the standard allows, or what generation offers"},
    {.name = "whitespace",
     .kind = CZ_VALUE_CHOICE,
     .value = "default|spaced|compact|pretty|flexible|any",
     .fallback = "default",
     .help = "between the tokens of a document"},
    {.name = "format",
     .kind = CZ_VALUE_CHOICE,
     .value = "assert|annotate",
     .fallback = "assert",
     .help = "whether formats are enforced"},
    {.name = "per-schema",
     .kind = CZ_VALUE_FILE,
     .value = "FILE",
     .help = "write one JSON line a schema: its class and times"},
    {.name = NULL},
};

static const struct cz_parameter parameters[] = {
    {.name = "PATH",
     .help = "MaskBench files or folders of them",
     .kind = CZ_VALUE_FILE,
     .repeated = true},
    {.name = NULL},
};

const struct cz_verb cz_verb_bench_masks = {
    .name = "masks",
    .summary = "measure mask and compile times over MaskBench files",
    .description = "Feeds every instance token by token and classifies every schema as MaskBench "
                   "does; a document must also be allowed to end where it ends. The last line is "
                   "one JSON object.",
    .flags = flags,
    .parameters = parameters,
    .run = run_bench_masks,
};
