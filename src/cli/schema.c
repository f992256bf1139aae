/* schema.c - `cloze schema check` and `cloze schema accept`: what the engine makes of a schema. */
#include "cli/mask_tools.h"
#include "cli/verb.h"

#include "base/file.h"

#include <stdlib.h>
#include <unistd.h>

enum { MAXIMUM_DOCUMENT = 64 << 20, MAXIMUM_RESOURCES = 1024 };

/* Everything that a verb of this file opens. */
struct work {
    struct cz_mask_vocab vocab;
    struct cz_grammar_options options;
    struct cz_schema_resource *resources;
    struct cz_buffer *texts; /* of the resources */
    struct cz_buffer schema;
    struct cz_grammar *grammar;
    struct cloze_error refusal;
};

static cloze_status read_document(const char *path, struct cz_buffer *out,
                                  struct cloze_error *error)
{
    char part[1 << 14];
    size_t size;
    out->maximum = MAXIMUM_DOCUMENT;
    if (strcmp(path, "-") != 0)
        return cz_file_read(path, out, error);
    while ((size = fread(part, 1, sizeof part, stdin)) > 0)
        cz_buffer_append(out, part, size);
    return ferror(stdin) ? cz_fail_errno(error, "standard input", "read")
                         : cz_buffer_status(out, "standard input", error);
}

/* --resource URI=FILE */
static cloze_status read_resources(struct work *work, struct cz_arguments *arguments,
                                   struct cloze_error *error)
{
    work->resources = calloc(MAXIMUM_RESOURCES, sizeof *work->resources);
    work->texts = calloc(MAXIMUM_RESOURCES, sizeof *work->texts);
    if (!work->resources || !work->texts)
        return cz_fail_memory(error, "the resources");
    const char *value;
    for (size_t i = 0; (value = cz_flag_each(arguments, "resource", i)); i++) {
        const char *equals = strrchr(value, '=');
        if (!equals || i == MAXIMUM_RESOURCES)
            return cz_fail_usage(arguments, error, "--resource takes URI=FILE, at most %d times",
                                 MAXIMUM_RESOURCES);
        cloze_status status = read_document(equals + 1, &work->texts[i], error);
        char *uri = status ? NULL : strndup(value, (size_t)(equals - value));
        if (!status && !uri)
            status = cz_fail_memory(error, "the resources");
        if (status)
            return status;
        work->resources[i] = (struct cz_schema_resource){uri, cz_buffer_slice(&work->texts[i])};
        work->options.resource_count++;
    }
    work->options.resources = work->resources;
    return CLOZE_OK;
}

/* The flags that say how to read the schema. */
static void read_options(struct work *work, struct cz_arguments *arguments)
{
    bool generate = strcmp(cz_flag_text(arguments, "policy"), "generate") == 0;
    work->options.policy = generate ? CZ_POLICY_GENERATE : CZ_POLICY_ACCEPT;
    work->options.annotate_formats = strcmp(cz_flag_text(arguments, "format"), "annotate") == 0;
    work->options.open_objects = strcmp(cz_flag_text(arguments, "extra-keys"), "open") == 0;
    work->options.lenient = cz_flag_given(arguments, "lenient");
    if (strcmp(cz_flag_text(arguments, "whitespace"), "any") == 0)
        work->options.whitespace = CZ_WHITESPACE_ANY;
}

/* Compiles; a refusal is no failure of the verb's own, it is kept in work->refusal. */
static cloze_status open_work(struct work *work, struct cz_arguments *arguments,
                              struct cloze_error *error)
{
    const char *path = cz_argument(arguments, "SCHEMA");
    read_options(work, arguments);
    cloze_status status = read_resources(work, arguments, error);
    if (!status)
        status = read_document(path, &work->schema, error);
    if (!status)
        status = cz_mask_vocab_open(&work->vocab, cz_flag_text(arguments, "tokenizer"), error);
    if (status)
        return status;
    if (cz_grammar_compile(work->vocab.vocab, cz_buffer_slice(&work->schema), &work->options,
                           &work->grammar, &work->refusal)) {
        *error = work->refusal;
        cz_error_at(error, path);
    }
    return work->refusal.code;
}

static void close_work(struct work *work)
{
    cz_grammar_release(work->grammar);
    cz_mask_vocab_close(&work->vocab);
    for (size_t i = 0; i < work->options.resource_count; i++) {
        free((char *)work->resources[i].uri);
        cz_buffer_free(&work->texts[i]);
    }
    free(work->resources);
    free(work->texts);
    cz_buffer_free(&work->schema);
}

/* ---- check ---- */

/* The lists of a report, as people read them; empty ones are left out. */
static const struct heading {
    const char *key, *text;
    bool inline_list; /* words in a line, not places one below the other */
} headings[] = {
    {"enforced", "Enforced", true},
    {"unsatisfiable", "Unsatisfiable parts, which no answer will hold", false},
    {"unenforced", "Not enforced", false},
    {"narrowed", "Formats that are enforced more strictly than they are defined", false},
    {"ignored", "Ignored, as this draft asks", false},
    {"unknown_formats", "Formats that no draft defines, taken as annotations", true},
    {"closed", "Objects that generation closes to undeclared keys", false},
    {"annotations", "Annotations, which allow and forbid nothing", false},
    {"warnings", "Warnings", false},
};

static void print_list(const struct heading *heading, const struct cz_json *list)
{
    bool first = true;
    if (!list || !list->count)
        return;
    printf("%s:", heading->text);
    CZ_JSON_EACH(item, list)
    {
        struct cz_slice text = item->text.size ? item->text : CZ_SLICE("(the root)");
        const char *before = !heading->inline_list ? "\n  " : first ? " " : ", ";
        printf("%s%.*s", before, CZ_SLICE_ARG(text));
        first = false;
    }
    putchar('\n');
}

static cloze_status print_report(const struct work *work, struct cloze_error *error)
{
    struct cz_arena arena = {0};
    struct cz_json *report = NULL;
    struct cz_slice draft = {0};
    double bytes = 0, microseconds = 0;
    cloze_status status =
        cz_json_parse(&arena, cz_grammar_report(work->grammar), NULL, &report, error);
    if (!status) {
        cz_json_string(cz_json_get(report, "draft"), &draft);
        cz_json_double(cz_json_get(report, "bytes"), &bytes);
        cz_json_double(cz_json_get(report, "microseconds"), &microseconds);
        printf("Draft %.*s, compiled in %.0f microseconds to %.1f kB.\n", CZ_SLICE_ARG(draft),
               microseconds, bytes / 1000);
        for (size_t i = 0; i < sizeof headings / sizeof *headings; i++)
            print_list(&headings[i], cz_json_get(report, headings[i].key));
    }
    cz_arena_free(&arena);
    return status;
}

static cloze_status run_check(struct cz_arguments *arguments, struct cloze_error *error)
{
    struct work work = {0};
    bool json = strcmp(cz_flag_text(arguments, "output"), "json") == 0;
    cloze_status status = open_work(&work, arguments, error);
    if (!status && json) {
        struct cz_slice report = cz_grammar_report(work.grammar);
        printf("%.*s\n", (int)report.size, report.data);
    } else if (!status) {
        status = print_report(&work, error);
    }
    close_work(&work);
    return status;
}

/* ---- accept ---- */

static cloze_status judge(struct work *work, const char *path, struct cz_slice text,
                          struct cloze_error *error)
{
    struct cz_matcher *matcher = NULL;
    struct cz_ids ids = {0};
    cloze_status status = cz_matcher_create(work->grammar, &matcher, error);
    if (!status)
        status = cz_mask_vocab_encode(&work->vocab, text, &ids, error);
    size_t count = 0;
    while (!status && count < ids.count && cz_matcher_accept(matcher, ids.ids[count]))
        count++;
    if (!status && count < ids.count)
        status =
            cz_fail(error, CLOZE_INVALID, path,
                    "not accepted: the schema allows nothing of this kind after %zu bytes "
                    "(...%.*s)",
                    cz_matcher_text(matcher).size,
                    (int)(cz_matcher_text(matcher).size < 40 ? cz_matcher_text(matcher).size : 40),
                    cz_matcher_text(matcher).data + cz_matcher_text(matcher).size -
                        (cz_matcher_text(matcher).size < 40 ? cz_matcher_text(matcher).size : 40));
    else if (!status && !cz_matcher_is_accepting(matcher))
        status = cz_fail(error, CLOZE_INVALID, path, "not accepted: the document is not complete");
    cz_ids_free(&ids);
    cz_matcher_free(matcher);
    return status;
}

static cloze_status run_accept(struct cz_arguments *arguments, struct cloze_error *error)
{
    struct work work = {0};
    struct cz_buffer instance = {0};
    const char *path = cz_argument(arguments, "INSTANCE");
    cloze_status status = open_work(&work, arguments, error);
    if (!status)
        status = read_document(path, &instance, error);
    struct cz_slice text = cz_buffer_slice(&instance);
    while (text.size && strchr(" \t\r\n", text.data[text.size - 1]))
        text.size--; /* the line end that editors put there */
    if (!status)
        status = judge(&work, path, text, error);
    if (!status)
        printf("accepted\n");
    cz_buffer_free(&instance);
    close_work(&work);
    return status;
}

/* ---- Tables ---- */

#define SHARED_FLAGS(policy_fallback)                                                              \
    {.name = "policy",                                                                             \
     .kind = CZ_VALUE_CHOICE,                                                                      \
     .value = "accept|generate",                                                                   \
     .fallback = policy_fallback,                                                                  \
     .help = "all that the standard allows, or what generation offers"},                           \
        {.name = "format",                                                                         \
         .kind = CZ_VALUE_CHOICE,                                                                  \
         .value = "assert|annotate",                                                               \
         .fallback = "assert",                                                                     \
         .help = "whether formats are enforced"},                                                  \
        {.name = "extra-keys",                                                                     \
         .kind = CZ_VALUE_CHOICE,                                                                  \
         .value = "closed|open",                                                                   \
         .fallback = "closed",                                                                     \
         .help = "generation: objects that say nothing of other keys"},                            \
        {.name = "whitespace",                                                                     \
         .kind = CZ_VALUE_CHOICE,                                                                  \
         .value = "default|any",                                                                   \
         .fallback = "any",                                                                        \
         .help = "white space between the tokens of a document"},                                  \
        {.name = "lenient", .help = "report what can't be enforced instead of refusing"},          \
        {.name = "resource",                                                                       \
         .kind = CZ_VALUE_TEXT,                                                                    \
         .value = "URI=FILE",                                                                      \
         .help = "a document that a remote $ref may name",                                         \
         .repeated = true},                                                                        \
    {                                                                                              \
        .name = "tokenizer", .kind = CZ_VALUE_FILE, .value = "TOKENIZER.json",                     \
        .help = "the vocabulary; without it, one token a byte"                                     \
    }

static const struct cz_flag check_flags[] = {
    SHARED_FLAGS("generate"),
    {.name = "output",
     .letter = 'o',
     .kind = CZ_VALUE_CHOICE,
     .value = "text|json",
     .fallback = "text",
     .help = "how to print the report"},
    {.name = NULL},
};

static const struct cz_flag accept_flags[] = {
    SHARED_FLAGS("accept"),
    {.name = NULL},
};

static const struct cz_parameter check_parameters[] = {
    {.name = "SCHEMA", .help = "a JSON Schema; - for standard input", .kind = CZ_VALUE_FILE},
    {.name = NULL},
};

static const struct cz_parameter accept_parameters[] = {
    {.name = "SCHEMA", .help = "a JSON Schema", .kind = CZ_VALUE_FILE},
    {.name = "INSTANCE", .help = "a JSON document; - for standard input", .kind = CZ_VALUE_FILE},
    {.name = NULL},
};

static const struct cz_verb check = {
    .name = "check",
    .summary = "compile a schema and tell what is enforced",
    .description = "Tells the draft, what is enforced and what is an annotation, where generation "
                   "closes objects, parts that nothing can satisfy, size and time. What can't be "
                   "enforced is an error that names the keyword and its place.",
    .flags = check_flags,
    .parameters = check_parameters,
    .run = run_check,
};

static const struct cz_verb accept = {
    .name = "accept",
    .summary = "judge a document by a schema",
    .flags = accept_flags,
    .parameters = accept_parameters,
    .run = run_accept,
};

static const struct cz_verb *const verbs[] = {&check, &accept, NULL};

const struct cz_verb cz_verb_schema = {
    .name = "schema",
    .summary = "try out JSON Schemas",
    .verbs = verbs,
};
