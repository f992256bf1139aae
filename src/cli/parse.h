/* parse.h - a command line matched with a verb's tables. */
#ifndef CZ_CLI_PARSE_H
#define CZ_CLI_PARSE_H

#include "cli/verb.h"

enum { CZ_MAXIMUM_WORDS = 4096, CZ_VERB_PATH_SIZE = 64 };

struct cz_flag_value {
    const struct cz_flag *flag;
    const char *text; /* borrowed from the command line; "" for a switch */
};

struct cz_arguments {
    const struct cz_verb *verb;
    char path[CZ_VERB_PATH_SIZE]; /* "models import" */
    const char **positional;      /* [positional_count], owned; the texts are borrowed */
    size_t positional_count;
    struct cz_flag_value *values; /* [value_count], owned */
    size_t value_count;
    bool bad_usage; /* the command line is at fault: exit status 2 */
};

/* Matches the words behind the program's name. On failure ->verb and ->path still say how far the
 * words were understood. Required arguments are not asked for when --help or --version was given.
 */
cloze_status cz_arguments_parse(struct cz_arguments *arguments, const struct cz_verb *program,
                                size_t count, char *const *words, struct cloze_error *error);
void cz_arguments_free(struct cz_arguments *arguments);

#endif
