/*
 * bench_suite.c - `cloze bench suite`: the official JSON-Schema-Test-Suite.
 *
 * Each group is a schema with tests. The draft is the schema's own $schema, else the one that the
 * path names (".../draft7/..."), else the newest. Documents of the suite's `remotes` folder, found
 * beside the paths, are what remote references may name. A refused schema counts as a pass only
 * when it was refused as unsatisfiable and no test of its group is valid.
 */
#include "cli/mask_tools.h"
#include "cli/verb.h"

#include "base/file.h"

#include <limits.h>
#include <stdlib.h>

enum { MAXIMUM_REMOTES = 4096 };

struct suite {
    struct cz_mask_vocab vocab;
    struct cz_grammar_options options;
    const char *format; /* "auto", "assert", "annotate" */
    bool failures;      /* print them */
    struct cz_arena arena;
    struct cz_schema_resource *resources; /* [options.resource_count] */
    uint64_t pass, false_positive, false_negative, refused_valid, refused_invalid, unsatisfiable;
    struct cz_buffer text;
    struct cz_ids ids;
};

/* What a group's draft is called in $schema, when its path names one. */
static const char *draft_of_path(const char *path)
{
    static const char *const drafts[][2] = {
        {"draft4/", "http://json-schema.org/draft-04/schema#"},
        {"draft6/", "http://json-schema.org/draft-06/schema#"},
        {"draft7/", "http://json-schema.org/draft-07/schema#"},
        {"draft2019-09/", "https://json-schema.org/draft/2019-09/schema"},
        {"draft2020-12/", "https://json-schema.org/draft/2020-12/schema"},
    };
    for (size_t i = 0; i < sizeof drafts / sizeof *drafts; i++) {
        if (strstr(path, drafts[i][0]))
            return drafts[i][1];
    }
    return NULL;
}

/* The schema's text, with $schema first when it has none and the path tells. */
static cloze_status schema_text(const struct cz_json *schema, const char *path,
                                struct cz_buffer *out, struct cloze_error *error)
{
    const char *draft = draft_of_path(path);
    cz_buffer_clear(out);
    struct cz_json_writer writer = {.out = out, .style = CZ_JSON_COMPACT};
    if (!draft || !cz_json_is(schema, CZ_JSON_OBJECT) || cz_json_get(schema, "$schema")) {
        cz_json_write_value(&writer, schema);
        return cz_buffer_status(out, "a schema", error);
    }
    cz_json_begin_object(&writer);
    cz_json_write_member_string(&writer, "$schema", draft);
    CZ_JSON_EACH(member, schema)
    {
        cz_json_write_key_slice(&writer, cz_json_key(member));
        cz_json_write_value(&writer, member);
    }
    cz_json_end_object(&writer);
    return cz_buffer_status(out, "a schema", error);
}

/* ---- Remotes ---- */

static cloze_status add_remote(struct suite *suite, const char *folder, const char *path,
                               struct cloze_error *error)
{
    struct cz_buffer content = {0}, uri = {0};
    cloze_status status = cz_file_read(path, &content, error);
    if (!status && suite->options.resource_count == MAXIMUM_REMOTES)
        status =
            cz_fail(error, CLOZE_LIMIT, path, "more than %d remote documents", MAXIMUM_REMOTES);
    if (!status) {
        cz_buffer_printf(&uri, "http://localhost:1234%s", path + strlen(folder));
        char *text = cz_arena_text(&suite->arena, cz_buffer_slice(&content));
        char *name = cz_arena_text(&suite->arena, cz_buffer_slice(&uri));
        if (text && name && !uri.failed)
            suite->resources[suite->options.resource_count++] =
                (struct cz_schema_resource){name, cz_slice_of(text, content.size)};
        else
            status = cz_fail_memory(error, "the remote documents");
    }
    cz_buffer_free(&content);
    cz_buffer_free(&uri);
    return status;
}

/* Looks for a folder `remotes` beside the path and beside every folder above it. */
static cloze_status find_remotes(struct suite *suite, const char *path, struct cloze_error *error)
{
    char folder[PATH_MAX], candidate[PATH_MAX + 16];
    if (suite->options.resource_count || !realpath(path, folder))
        return CLOZE_OK;
    for (char *slash; (slash = strrchr(folder, '/')) && slash != folder;) {
        *slash = 0;
        snprintf(candidate, sizeof candidate, "%s/remotes", folder);
        if (!cz_file_is_folder(candidate))
            continue;
        struct cz_paths paths = {0};
        cloze_status status = cz_paths_add(&paths, candidate, error);
        for (size_t i = 0; !status && i < paths.count; i++)
            status = add_remote(suite, candidate, paths.paths[i], error);
        cz_paths_free(&paths);
        return status;
    }
    return CLOZE_OK;
}

/* ---- Groups ---- */

static void report(const struct suite *suite, const char *kind, const char *path,
                   const struct cz_json *group, const struct cz_json *test, const char *more)
{
    struct cz_slice of_group = {0}, of_test = {0};
    if (!suite->failures)
        return;
    cz_json_string(cz_json_get(group, "description"), &of_group);
    cz_json_string(cz_json_get(test, "description"), &of_test);
    printf("%s\t%s\t" CZ_SLICE_FORMAT "\t" CZ_SLICE_FORMAT "\t%s\n", kind, path,
           CZ_SLICE_ARG(of_group), CZ_SLICE_ARG(of_test), more);
}

static bool is_valid(const struct cz_json *test)
{
    return cz_json_is(cz_json_get(test, "valid"), CZ_JSON_TRUE);
}

static void count_refusal(struct suite *suite, const char *path, const struct cz_json *group,
                          const struct cloze_error *why)
{
    const struct cz_json *tests = cz_json_get(group, "tests");
    bool any_valid = false;
    CZ_JSON_EACH(test, tests)
    any_valid |= is_valid(test);
    bool fair = why->code == CLOZE_UNSATISFIABLE && !any_valid;
    suite->unsatisfiable += why->code == CLOZE_UNSATISFIABLE;
    CZ_JSON_EACH(test, tests)
    {
        suite->pass += fair;
        suite->refused_valid += !fair && is_valid(test);
        suite->refused_invalid += !fair && !is_valid(test);
    }
    if (!fair)
        report(suite, "refused", path, group, NULL, why->message);
}

static cloze_status accepts(struct suite *suite, struct cz_matcher *matcher,
                            const struct cz_json *data, bool *out, struct cloze_error *error)
{
    cloze_status status = cz_json_text(data, CZ_JSON_SPACED, &suite->text, error);
    if (!status)
        status =
            cz_mask_vocab_encode(&suite->vocab, cz_buffer_slice(&suite->text), &suite->ids, error);
    if (status)
        return status;
    cz_matcher_reset(matcher);
    size_t i = 0;
    while (i < suite->ids.count && cz_matcher_accept(matcher, suite->ids.ids[i]))
        i++;
    *out = i == suite->ids.count && cz_matcher_is_accepting(matcher);
    return CLOZE_OK;
}

static cloze_status run_tests(struct suite *suite, const char *path, const struct cz_json *group,
                              struct cz_grammar *grammar, struct cloze_error *error)
{
    struct cz_matcher *matcher = NULL;
    cloze_status status = cz_matcher_create(grammar, &matcher, error);
    CZ_JSON_EACH(test, cz_json_get(group, "tests"))
    {
        bool accepted = false, valid = is_valid(test);
        if (status)
            break;
        status = accepts(suite, matcher, cz_json_get(test, "data"), &accepted, error);
        suite->pass += accepted == valid;
        suite->false_positive += accepted && !valid;
        suite->false_negative += !accepted && valid;
        if (accepted != valid)
            report(suite, accepted ? "false_positive" : "false_negative", path, group, test, "");
    }
    cz_matcher_free(matcher);
    return status;
}

static cloze_status run_group(struct suite *suite, const char *path, const struct cz_json *group,
                              struct cloze_error *error)
{
    struct cz_buffer schema = {0};
    struct cz_grammar *grammar = NULL;
    struct cloze_error why = {0};
    if (!cz_json_get(group, "schema") || !cz_json_is(cz_json_get(group, "tests"), CZ_JSON_ARRAY))
        return cz_fail(error, CLOZE_INVALID, path, "a group without \"schema\" or \"tests\"");
    bool formats = strstr(path, "optional/format/") != NULL;
    suite->options.annotate_formats =
        strcmp(suite->format, "auto") == 0 ? !formats : strcmp(suite->format, "annotate") == 0;
    cloze_status status = schema_text(cz_json_get(group, "schema"), path, &schema, error);
    if (!status) {
        if (cz_grammar_compile(suite->vocab.vocab, cz_buffer_slice(&schema), &suite->options,
                               &grammar, &why))
            count_refusal(suite, path, group, &why);
        else
            status = run_tests(suite, path, group, grammar, error);
    }
    cz_grammar_release(grammar);
    cz_buffer_free(&schema);
    return status;
}

static cloze_status run_file(struct suite *suite, const char *path, struct cloze_error *error)
{
    struct cz_json_options lenient = {.allow_lone_surrogates = true};
    struct cz_arena arena = {0};
    struct cz_buffer source = {0};
    struct cz_json *file = NULL;
    cloze_status status = cz_file_read(path, &source, error);
    if (!status)
        status = cz_json_parse(&arena, cz_buffer_slice(&source), &lenient, &file, error);
    if (status)
        cz_error_at(error, path);
    else if (!cz_json_is(file, CZ_JSON_ARRAY))
        status = cz_fail(error, CLOZE_INVALID, path, "not a file of the test suite: no array");
    if (!status) {
        CZ_JSON_EACH(group, file)
        {
            if (!status)
                status = run_group(suite, path, group, error);
        }
    }
    cz_buffer_free(&source);
    cz_arena_free(&arena);
    return status;
}

static void write_result(const struct suite *suite)
{
    struct cz_buffer line = {0};
    struct cz_json_writer writer = {.out = &line};
    cz_json_begin_object(&writer);
    cz_json_write_member_int(&writer, "pass", (int64_t)suite->pass);
    cz_json_write_member_int(&writer, "false_positive", (int64_t)suite->false_positive);
    cz_json_write_member_int(&writer, "false_negative", (int64_t)suite->false_negative);
    cz_json_write_member_int(&writer, "refused_valid", (int64_t)suite->refused_valid);
    cz_json_write_member_int(&writer, "refused_invalid", (int64_t)suite->refused_invalid);
    cz_json_write_member_int(&writer, "unsatisfiable", (int64_t)suite->unsatisfiable);
    cz_json_end_object(&writer);
    printf("%s\n", cz_buffer_text(&line));
    cz_buffer_free(&line);
}

static cloze_status run_paths(struct suite *suite, struct cz_arguments *arguments,
                              struct cloze_error *error)
{
    struct cz_paths paths = {0};
    cloze_status status = CLOZE_OK;
    const char *path;
    for (size_t i = 0; !status && (path = cz_argument_each(arguments, "PATH", i)); i++) {
        status = cz_paths_add(&paths, path, error);
        if (!status)
            status = find_remotes(suite, path, error);
    }
    suite->options.resources = suite->resources;
    for (size_t i = 0; !status && i < paths.count; i++)
        status = run_file(suite, paths.paths[i], error);
    cz_paths_free(&paths);
    return status;
}

static cloze_status run_bench_suite(struct cz_arguments *arguments, struct cloze_error *error)
{
    struct suite suite = {.options = {.kind = CZ_GRAMMAR_JSON_SCHEMA, .policy = CZ_POLICY_ACCEPT},
                          .format = cz_flag_text(arguments, "format"),
                          .failures = cz_flag_given(arguments, "failures")};
    suite.resources = CZ_ARENA_ARRAY(&suite.arena, struct cz_schema_resource, MAXIMUM_REMOTES);
    cloze_status status = suite.resources ? CLOZE_OK : cz_fail_memory(error, "remote documents");
    if (!status)
        status = cz_mask_vocab_open(&suite.vocab, cz_flag_text(arguments, "tokenizer"), error);
    if (!status)
        status = run_paths(&suite, arguments, error);
    if (!status)
        write_result(&suite);
    cz_ids_free(&suite.ids);
    cz_buffer_free(&suite.text);
    cz_mask_vocab_close(&suite.vocab);
    cz_arena_free(&suite.arena);
    return status;
}

static const struct cz_flag flags[] = {
    {.name = "format",
     .kind = CZ_VALUE_CHOICE,
     .value = "auto|assert|annotate",
     .fallback = "auto",
     .help = "whether formats are enforced; auto: in optional/format only"},
    {.name = "tokenizer",
     .kind = CZ_VALUE_FILE,
     .value = "TOKENIZER.json",
     .help = "the vocabulary; without it, one token a byte"},
    {.name = "failures", .help = "print a line for every test that fails"},
    {.name = NULL},
};

static const struct cz_parameter parameters[] = {
    {.name = "PATH",
     .help = "files of the JSON-Schema-Test-Suite or folders of them",
     .kind = CZ_VALUE_FILE,
     .repeated = true},
    {.name = NULL},
};

const struct cz_verb cz_verb_bench_suite = {
    .name = "suite",
    .summary = "run the official JSON-Schema-Test-Suite",
    .description =
        "Compiles every group's schema and lets the matcher judge every test, the end of "
        "the document included. A refusal counts as a pass only when the schema is "
        "refused as unsatisfiable and no test of its group is valid. The last line is "
        "one JSON object.",
    .flags = flags,
    .parameters = parameters,
    .run = run_bench_suite,
};
