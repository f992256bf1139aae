/* run.c - one command line from words to exit status. */
#include "cli/parse.h"

#include "base/log.h"

#include <errno.h>
#include <signal.h>

enum { EXIT_USAGE = 2, EXIT_INTERRUPTED = 130, EXIT_PIPE = 141 };

static void print_error(const struct cz_arguments *arguments, const struct cloze_error *error)
{
    fprintf(stderr, "Error: %s%s%s\n", error->where, error->where[0] ? ": " : "", error->message);
    if (arguments->bad_usage)
        fprintf(stderr, "See '%s%s%s --help'.\n", cz_program.name, arguments->path[0] ? " " : "",
                arguments->path);
}

static cloze_status print_help(const struct cz_arguments *arguments, struct cloze_error *error)
{
    struct cz_buffer text = {0};
    cz_help_write(arguments->verb, arguments->path, &text);
    cloze_status status = cz_buffer_status(&text, "the help", error);
    fputs(cz_buffer_text(&text), stdout);
    cz_buffer_free(&text);
    return status;
}

static cloze_status run_verb(struct cz_arguments *arguments, struct cloze_error *error)
{
    bool bare = arguments->verb == &cz_program && arguments->value_count == 0;
    if (cz_flag_given(arguments, "version")) {
        printf("cloze %s\n", cloze_version());
        return CLOZE_OK;
    }
    if (cz_flag_given(arguments, "help") || bare)
        return print_help(arguments, error);
    if (!arguments->verb->run)
        return cz_fail_usage(arguments, error, "a command is missing behind '%s%s%s'",
                             cz_program.name, arguments->path[0] ? " " : "", arguments->path);
    cz_log_set(cz_flag_given(arguments, "verbose") ? CZ_LOG_DEBUG
               : cz_is_quiet(arguments)            ? CZ_LOG_ERROR
                                                   : CZ_LOG_WARNING,
               false);
    return arguments->verb->run(arguments, error);
}

/* What was printed must have arrived: a full disk is an error, a reader that left is not. */
static int check_output(int result)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return result;
    if (errno == EPIPE)
        return EXIT_PIPE;
    fprintf(stderr, "Error: standard output: %s\n", strerror(errno));
    return result ? result : 1;
}

int cz_cli_main(int count, char **words)
{
    struct cz_arguments arguments;
    struct cloze_error error = {0};
    signal(SIGPIPE, SIG_IGN);
    cloze_status status = cz_arguments_parse(&arguments, &cz_program,
                                             count > 0 ? (size_t)count - 1 : 0, words + 1, &error);
    if (!status)
        status = run_verb(&arguments, &error);
    int result = check_output(0);
    if (status && result != EXIT_PIPE) {
        print_error(&arguments, &error);
        result = arguments.bad_usage         ? EXIT_USAGE
                 : status == CLOZE_CANCELLED ? EXIT_INTERRUPTED
                                             : 1;
    }
    cz_arguments_free(&arguments);
    return result;
}
