/* generate.c - `cloze generate`: one answer, streamed to the terminal. */
#include "base/file.h"
#include "cli/engine_flags.h"
#include "json/writer.h"

#include <math.h>
#include <signal.h>
#include <unistd.h>

enum { LARGEST_SCHEMA = 16 << 20, LARGEST_PROMPT = 64 << 20, MOST_STOPS = 16 };

static atomic_bool interrupted;

static void on_interrupt(int number)
{
    (void)number;
    atomic_store(&interrupted, true);
}

/* Texts that the request points to. */
struct texts {
    struct cz_buffer prompt, constraint;
    struct cz_slice stops[MOST_STOPS];
};

/* ---- What is asked for ---- */

/* "A,B,C" as a JSON array of strings. */
static cloze_status read_choices(const char *list, struct texts *texts,
                                 struct cz_constraint *constraint, struct cloze_error *error)
{
    struct cz_json_writer writer = {.out = &texts->constraint};
    cz_json_begin_array(&writer);
    for (const char *comma; list; list = comma ? comma + 1 : NULL) {
        comma = strchr(list, ',');
        cz_json_write_slice(&writer,
                            cz_slice_of(list, comma ? (size_t)(comma - list) : strlen(list)));
    }
    cz_json_end_array(&writer);
    *constraint = (struct cz_constraint){.set = true,
                                         .options.kind = CZ_GRAMMAR_CHOICE,
                                         .source = cz_buffer_slice(&texts->constraint)};
    return cz_buffer_status(&texts->constraint, "choice", error);
}

static cloze_status read_file(const char *path, size_t maximum, struct cz_buffer *out,
                              enum cz_grammar_kind kind, struct cz_constraint *constraint,
                              struct cloze_error *error)
{
    out->maximum = maximum;
    cloze_status status = cz_file_read(path, out, error);
    *constraint =
        (struct cz_constraint){.set = true, .options.kind = kind, .source = cz_buffer_slice(out)};
    return status;
}

static enum cz_whitespace whitespace_of(const char *name)
{
    return strcmp(name, "compact") == 0    ? CZ_WHITESPACE_COMPACT
           : strcmp(name, "pretty") == 0   ? CZ_WHITESPACE_PRETTY
           : strcmp(name, "flexible") == 0 ? CZ_WHITESPACE_FLEXIBLE
                                           : CZ_WHITESPACE_SPACED;
}

static cloze_status read_constraint(struct cz_arguments *arguments, struct texts *texts,
                                    struct cz_constraint *out, struct cloze_error *error)
{
    static const char *const names[] = {"schema", "regex", "choice", "type",
                                        "json",   "gbnf",  "lark"};
    const char *name = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!cz_flag_given(arguments, names[i]))
            continue;
        if (name)
            return cz_fail_usage(arguments, error, "--%s and --%s exclude each other", name,
                                 names[i]);
        name = names[i];
    }
    if (!name)
        return CLOZE_OK;
    const char *value = cz_flag_text(arguments, name);
    cloze_status status = CLOZE_OK;
    struct cz_buffer *text = &texts->constraint;
    if (strcmp(name, "type") == 0)
        status = cz_constraint_of_type(cz_slice(value), out, error);
    else if (strcmp(name, "choice") == 0)
        status = read_choices(value, texts, out, error);
    else if (strcmp(name, "schema") == 0)
        status = read_file(value, LARGEST_SCHEMA, text, CZ_GRAMMAR_JSON_SCHEMA, out, error);
    else if (strcmp(name, "gbnf") == 0)
        status = read_file(value, LARGEST_SCHEMA, text, CZ_GRAMMAR_GBNF, out, error);
    else if (strcmp(name, "lark") == 0)
        status = read_file(value, LARGEST_SCHEMA, text, CZ_GRAMMAR_LARK, out, error);
    else if (strcmp(name, "regex") == 0)
        *out = (struct cz_constraint){
            .set = true, .options.kind = CZ_GRAMMAR_REGEX, .source = cz_slice(value)};
    else
        *out = (struct cz_constraint){.set = true, .options.kind = CZ_GRAMMAR_JSON_OBJECT};
    out->options.whitespace = whitespace_of(cz_flag_text(arguments, "whitespace"));
    return status;
}

/* The argument, or what standard input holds. */
static cloze_status read_prompt(const struct cz_arguments *arguments, struct texts *texts,
                                struct cz_request *request, struct cloze_error *error)
{
    const char *prompt = cz_argument(arguments, "PROMPT");
    if (prompt && strcmp(prompt, "-") != 0) {
        request->prompt = cz_slice(prompt);
        return CLOZE_OK;
    }
    texts->prompt.maximum = LARGEST_PROMPT;
    for (ssize_t got = 1; got > 0;) {
        char *end = cz_buffer_reserve(&texts->prompt, 4096);
        got = end ? read(STDIN_FILENO, end, 4096) : 0;
        texts->prompt.size += got > 0 ? (size_t)got : 0;
    }
    request->prompt = cz_buffer_slice(&texts->prompt);
    return cz_buffer_status(&texts->prompt, "standard input", error);
}

static void read_sampling(const struct cz_arguments *arguments, struct cz_sampling *sampling)
{
    const struct {
        const char *flag;
        double *out;
    } numbers[] = {{"temperature", &sampling->temperature},
                   {"top-p", &sampling->top_p},
                   {"min-p", &sampling->min_p},
                   {"typical-p", &sampling->typical_p},
                   {"repetition-penalty", &sampling->repetition_penalty},
                   {"presence-penalty", &sampling->presence_penalty},
                   {"frequency-penalty", &sampling->frequency_penalty}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (cz_flag_given(arguments, numbers[i].flag))
            *numbers[i].out = cz_flag_number(arguments, numbers[i].flag);
    }
    if (cz_flag_given(arguments, "top-k"))
        sampling->top_k = (uint32_t)cz_flag_integer(arguments, "top-k");
    sampling->has_seed = cz_flag_given(arguments, "seed");
    if (sampling->has_seed)
        sampling->seed = (uint64_t)cz_flag_integer(arguments, "seed");
}

static cloze_status read_request(struct cz_arguments *arguments, const struct cz_engine *engine,
                                 struct texts *texts, struct cz_request *request,
                                 struct cloze_error *error)
{
    *request = (struct cz_request){.cancelled = &interrupted, .stops = texts->stops};
    cloze_status status = read_prompt(arguments, texts, request, error);
    if (!status)
        status = read_constraint(arguments, texts, &request->constraint, error);
    const char *stop;
    while ((stop = cz_flag_each(arguments, "stop", request->stop_count))) {
        if (request->stop_count == MOST_STOPS)
            return cz_fail_usage(arguments, error, "at most %d --stop", MOST_STOPS);
        texts->stops[request->stop_count++] = cz_slice(stop);
    }
    if (cz_flag_given(arguments, "system"))
        request->system = cz_slice(cz_flag_text(arguments, "system"));
    request->raw = cz_flag_given(arguments, "raw");
    request->max_tokens = (uint32_t)cz_flag_integer(arguments, "max-tokens");
    cz_engine_sampling(engine, &request->sampling);
    read_sampling(arguments, &request->sampling);
    return status;
}

/* ---- The answer ---- */

static void print_usage(const struct cz_generation *generation, const char *finish)
{
    struct cz_usage usage;
    cz_generation_usage(generation, &usage);
    double seconds = (double)(usage.total_ns - usage.first_token_ns) / 1e9;
    fprintf(stderr,
            "prompt %u tokens, answer %u (%u sampled, %u passes), finished: %s; first token after "
            "%.0f ms, %.1f tokens/s, seed %llu\n",
            usage.prompt_tokens, usage.completion_tokens, usage.sampled_tokens, usage.passes,
            finish, (double)usage.first_token_ns / 1e6,
            seconds > 0 ? (double)(usage.completion_tokens - 1) / seconds : 0.0,
            (unsigned long long)usage.seed);
}

static cloze_status stream(struct cz_generation *generation, bool with_usage,
                           struct cloze_error *error)
{
    struct cz_delta delta;
    enum cz_finish finish = CZ_FINISH_NONE;
    while (cz_generation_next(generation, &delta)) {
        fwrite(delta.text.data, 1, delta.text.size, stdout);
        fflush(stdout);
        finish = delta.finish;
    }
    putchar('\n');
    cloze_status status = cz_generation_status(generation, error);
    if (!status && with_usage)
        print_usage(generation, cz_finish_name(finish));
    return status;
}

static cloze_status generate(struct cz_arguments *arguments, struct cz_engine *engine,
                             struct cloze_error *error)
{
    struct texts texts = {0};
    struct cz_request request;
    struct cz_generation *generation = NULL;
    cloze_status status = read_request(arguments, engine, &texts, &request, error);
    if (!status)
        status = cz_engine_submit(engine, &request, &generation, error);
    if (!status)
        status = stream(generation, cz_flag_given(arguments, "stats"), error);
    cz_generation_close(generation);
    cz_buffer_free(&texts.prompt);
    cz_buffer_free(&texts.constraint);
    return status;
}

static cloze_status run(struct cz_arguments *arguments, struct cloze_error *error)
{
    struct cz_model_source source;
    struct cz_engine *engine = NULL;
    cloze_status status = cz_model_source_open(cz_flag_text(arguments, "model"), &source, error);
    struct cz_engine_options options = {
        .threads = (uint32_t)cz_flag_integer(arguments, "threads"),
    };
    if (!status)
        status = cz_engine_flags_read(arguments, &source, &options, error);
    if (!status)
        status = cz_engine_open(source.path, &options, &engine, error);
    signal(SIGINT, on_interrupt);
    if (!status)
        status = generate(arguments, engine, error);
    cz_engine_close(engine);
    cz_model_source_close(&source);
    return status;
}

static const struct cz_flag flags[] = {
    {.name = "model",
     .letter = 'm',
     .kind = CZ_VALUE_MODEL,
     .value = "MODEL",
     .help = "a tag of the store, or the path of a model (default: " CZ_DEFAULT_MODEL ")"},
    {.name = "schema",
     .letter = 's',
     .kind = CZ_VALUE_FILE,
     .value = "FILE",
     .help = "the answer is JSON that fits this JSON Schema"},
    {.name = "json", .help = "the answer is a JSON object"},
    {.name = "regex",
     .letter = 'r',
     .kind = CZ_VALUE_TEXT,
     .value = "REGEX",
     .help = "the whole answer matches"},
    {.name = "choice",
     .letter = 'c',
     .kind = CZ_VALUE_TEXT,
     .value = "A,B",
     .help = "the answer is one of these"},
    {.name = "type",
     .kind = CZ_VALUE_CHOICE,
     .value = "int|float|bool|date|time|datetime",
     .help = "the answer is a value of this type"},
    {.name = "gbnf",
     .kind = CZ_VALUE_FILE,
     .value = "FILE",
     .help = "the answer fits this grammar, in llama.cpp's notation"},
    {.name = "lark",
     .kind = CZ_VALUE_FILE,
     .value = "FILE",
     .help = "the answer fits this grammar, in Lark's notation"},
    {.name = "whitespace",
     .kind = CZ_VALUE_CHOICE,
     .value = "spaced|compact|pretty|flexible",
     .fallback = "spaced",
     .help = "white space in JSON"},
    {.name = "system", .kind = CZ_VALUE_TEXT, .value = "TEXT", .help = "a system message"},
    {.name = "raw", .help = "give the prompt to the model as it is, without its chat template"},
    {.name = "max-tokens",
     .letter = 'n',
     .kind = CZ_VALUE_INTEGER,
     .value = "N",
     .minimum = 1,
     .maximum = 1 << 28,
     .help = "upper bound of the answer's tokens (default: 1,024, or what the context has left)"},
    {.name = "temperature",
     .letter = 't',
     .kind = CZ_VALUE_NUMBER,
     .value = "T",
     .maximum = 100,
     .help = "randomness; 0 is greedy (default: the model's own setting)"},
    {.name = "top-k",
     .kind = CZ_VALUE_INTEGER,
     .value = "K",
     .maximum = 1 << 22,
     .help = "sample from the K likeliest tokens"},
    {.name = "top-p",
     .kind = CZ_VALUE_NUMBER,
     .value = "P",
     .maximum = 1,
     .help = "sample from the likeliest tokens of this total probability"},
    {.name = "min-p",
     .kind = CZ_VALUE_NUMBER,
     .value = "P",
     .maximum = 1,
     .help = "sample from tokens at least this probable, relative to the likeliest"},
    {.name = "typical-p",
     .kind = CZ_VALUE_NUMBER,
     .value = "P",
     .maximum = 1,
     .help = "locally typical sampling"},
    {.name = "repetition-penalty",
     .kind = CZ_VALUE_NUMBER,
     .value = "X",
     .maximum = 100,
     .help = "divides the scores of tokens that have occurred"},
    {.name = "presence-penalty",
     .kind = CZ_VALUE_NUMBER,
     .value = "X",
     .minimum = -100,
     .maximum = 100,
     .help = "subtracted from the scores of tokens of the answer"},
    {.name = "frequency-penalty",
     .kind = CZ_VALUE_NUMBER,
     .value = "X",
     .minimum = -100,
     .maximum = 100,
     .help = "the same, times how often they occurred"},
    {.name = "seed",
     .kind = CZ_VALUE_INTEGER,
     .value = "N",
     .help = "the same seed gives the same answer"},
    {.name = "stop",
     .kind = CZ_VALUE_TEXT,
     .value = "TEXT",
     .repeated = true,
     .help = "end free text before this string"},
    {.name = "threads",
     .kind = CZ_VALUE_INTEGER,
     .value = "N",
     .fallback = "0",
     .maximum = 256,
     .help = "compute threads; 0: as many as the machine allows"},
    CZ_ENGINE_FLAGS,
    {.name = "stats", .help = "say on standard error what the answer took"},
    {.name = NULL},
};

static const struct cz_parameter parameters[] = {
    {.name = "PROMPT",
     .kind = CZ_VALUE_TEXT,
     .optional = true,
     .help = "the user's message; - or nothing: standard input"},
    {.name = NULL},
};

static const struct cz_example examples[] = {
    {"cloze generate \"Give me a character description.\" --schema character.schema.json",
     "JSON that fits the schema"},
    {"cloze generate \"Is the sky blue?\" --choice yes,no", "One of two words"},
    {"cloze generate \"When did Apollo 11 land?\" --type date", "A date"},
    {NULL, NULL},
};

const struct cz_verb cz_verb_generate = {
    .name = "generate",
    .summary = "generate one answer on the terminal",
    .description =
        "Loads a model and streams its answer to the prompt. With a schema, expression, choice or "
        "type the answer always fits; one that the token budget had to close is complete all the "
        "same. The prompt goes through the model's chat template unless --raw is given.",
    .flags = flags,
    .parameters = parameters,
    .examples = examples,
    .run = run,
};
