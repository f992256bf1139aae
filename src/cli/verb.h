/*
 * verb.h - a command of the program as one table: from it come parsing, help, completion and the
 * manual page.
 *
 * A verb lives in one file (src/cli/<verb>.c), declares its tables `static const`, exports one
 * `const struct cz_verb`, and is listed in verbs.c. Tables end with an entry whose name is NULL. A
 * verb with sub-verbs ("models list") has `verbs` in place of `run`.
 *
 * Errors go to standard error as one line "Error: where: message"; the exit status is 0 for
 * success, 1 for failure, 2 for a command line that can't be understood, 130 when cancelled.
 * SIGPIPE is ignored: a verb that writes much checks ferror(stdout), and main reports the rest.
 */
#ifndef CZ_CLI_VERB_H
#define CZ_CLI_VERB_H

#include "base/error.h"
#include "base/slice.h"

#include <stdio.h>

/* What a flag or an argument takes; the kinds of text differ in what the shell completes. */
enum cz_value_kind {
    CZ_VALUE_NONE, /* a switch (flags only) */
    CZ_VALUE_TEXT,
    CZ_VALUE_FILE,
    CZ_VALUE_FOLDER,
    CZ_VALUE_MODEL,   /* a tag of the model store */
    CZ_VALUE_INTEGER, /* within minimum...maximum, unless both are 0 */
    CZ_VALUE_NUMBER,  /* likewise */
    CZ_VALUE_CHOICE   /* one of the words in `value`: "table|json|yaml" */
};

struct cz_flag {
    const char *name; /* "max-tokens": --max-tokens */
    char letter;      /* 'o': -o; 0: none */
    enum cz_value_kind kind;
    const char *value;    /* in the help: "FILE", "N"; the words of a choice */
    const char *fallback; /* its value when not given, as text; NULL: none */
    const char *help;     /* a sentence without a full stop */
    double minimum, maximum;
    bool repeated; /* may be given several times */
};

struct cz_parameter {
    const char *name; /* "SOURCE" */
    const char *help;
    enum cz_value_kind kind; /* any but NONE */
    bool optional;           /* may be missing; only optional ones may follow */
    bool repeated;           /* any number; only as the last */
    const char *value;       /* the words of a choice */
};

struct cz_example {
    const char *command;
    const char *help;
};

struct cz_arguments;

struct cz_verb {
    const char *name;
    const char *summary;     /* "import a model into the store" */
    const char *description; /* paragraphs, apart by an empty line; NULL: the summary says it all */
    const struct cz_flag *flags;           /* may be NULL, like the tables below */
    const struct cz_parameter *parameters; /* positional arguments */
    const struct cz_example *examples;
    const struct cz_verb *const *verbs; /* ends with NULL */
    cloze_status (*run)(struct cz_arguments *arguments, struct cloze_error *error);
    bool hidden; /* not in help and completion */
    bool raw;    /* everything behind the verb is positional, flags too */
};

/* The whole program: its name, summary and verbs; and the flags that every verb takes. */
extern const struct cz_verb cz_program;
extern const struct cz_flag cz_global_flags[];

/* ---- What a verb asks of its arguments. Names are those of its tables: others are a defect. ----
 */

/* The last value given, else the fallback, else NULL. */
const char *cz_flag_text(const struct cz_arguments *arguments, const char *name);
bool cz_flag_given(const struct cz_arguments *arguments, const char *name);
/* The value of a flag that has a fallback or was given; else 0. Bounds were checked. */
int64_t cz_flag_integer(const struct cz_arguments *arguments, const char *name);
double cz_flag_number(const struct cz_arguments *arguments, const char *name);
/* Values of a repeated flag, in order; NULL past the end. */
const char *cz_flag_each(const struct cz_arguments *arguments, const char *name, size_t index);

/* A positional argument by its name; NULL when it was not given. A repeated one: its first. */
const char *cz_argument(const struct cz_arguments *arguments, const char *name);
/* The values of the last, repeated argument; NULL past the end. */
const char *cz_argument_each(const struct cz_arguments *arguments, const char *name, size_t index);

/* CLOZE_INVALID for what only the verb can tell about its command line; exits with 2. */
cloze_status cz_fail_usage(struct cz_arguments *arguments, struct cloze_error *error,
                           const char *format, ...) CZ_PRINTF(3, 4);
bool cz_is_quiet(const struct cz_arguments *arguments); /* --quiet */

/* ---- For the program and its generated texts ---- */

/* Parses and runs a command line; returns the exit status. */
int cz_cli_main(int count, char **words);

/* The help of `verb`, which is reached by `path` ("models import"; "" for the program). */
void cz_help_write(const struct cz_verb *verb, const char *path, struct cz_buffer *out);
void cz_usage_write(const struct cz_verb *verb, const char *path, struct cz_buffer *out);
void cz_man_write(struct cz_buffer *out); /* cloze(1), in man(7) macros */
/* Lines "candidate\tdescription" for the last of `words`, the words behind "cloze". A first line
 * ":files" or ":folders" says that the shell completes those. */
void cz_complete_write(const char *const *words, size_t count, struct cz_buffer *out);

/* "--max-tokens N", "-o, --output table|json|yaml" */
void cz_flag_write(const struct cz_flag *flag, struct cz_buffer *out);
const struct cz_verb *cz_verb_find(const struct cz_verb *parent, const char *name);
/* A flag of the verb or a global one; NULL when there is none. */
const struct cz_flag *cz_flag_find(const struct cz_verb *verb, struct cz_slice name);
const struct cz_flag *cz_flag_letter(const struct cz_verb *verb, char letter);
/* Whether `word` is one of "a|b|c". */
bool cz_choice_has(const char *choices, struct cz_slice word);
/* The nearest of what the user may have meant, or NULL when nothing is near. */
const char *cz_nearest_verb(const struct cz_verb *parent, const char *name);
const char *cz_nearest_flag(const struct cz_verb *verb, const char *name);

#define CZ_EACH(item, table) for (__typeof__(*(table)) *item = (table); item && item->name; item++)

#endif
