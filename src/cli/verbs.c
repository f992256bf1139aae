/* verbs.c - the program's table: every verb, one line each, in the order of the help. */
#include "cli/verb.h"

extern const struct cz_verb cz_verb_bench;
extern const struct cz_verb cz_verb_generate;
extern const struct cz_verb cz_verb_models;
extern const struct cz_verb cz_verb_schema;
extern const struct cz_verb cz_verb_serve;
extern const struct cz_verb cz_verb_call;
extern const struct cz_verb cz_verb_help;
extern const struct cz_verb cz_verb_completion;
extern const struct cz_verb cz_verb_man;
extern const struct cz_verb cz_verb_complete;

static const struct cz_verb *const verbs[] = {
    &cz_verb_models,   &cz_verb_schema,   &cz_verb_serve, &cz_verb_call,
    &cz_verb_generate, &cz_verb_bench,    &cz_verb_help,  &cz_verb_completion,
    &cz_verb_man,      &cz_verb_complete, NULL,
};

const struct cz_flag cz_global_flags[] = {
    {.name = "help", .letter = 'h', .help = "show help and stop"},
    {.name = "version", .letter = 'v', .help = "show the version and stop"},
    {.name = "quiet", .letter = 'q', .help = "say nothing but results and errors"},
    {.name = "verbose", .help = "say what happens in detail"},
    {.name = NULL},
};

static const struct cz_example examples[] = {
    {"cloze models import hf:HuggingFaceTB/SmolLM2-135M-Instruct", "Put a model into the store"},
    {"cloze serve .", "Serve the project in this folder at http://localhost:3000"},
    {"cloze generate \"Give me a character description.\" --schema character.schema.json",
     "Generate once, on the terminal"},
    {NULL, NULL},
};

const struct cz_verb cz_program = {
    .name = "cloze",
    .summary = "language models that answer in your schema",
    .description =
        "Imports language models into a store, serves typed endpoints over HTTP, and generates "
        "text that fits a JSON Schema, a regular expression or a list of choices: always, token by "
        "token. A schema keyword that can't be enforced is refused by name.",
    .examples = examples,
    .verbs = verbs,
};
