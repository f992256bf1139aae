/* parse.c - the words of a command line, in the manner of getopt_long: flags anywhere, "--name=x",
 * "--name x", "-n x", "-nx", bundles of one-letter switches, and "--" before arguments that begin
 * with a dash. */
#include "cli/parse.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>

struct parser {
    struct cz_arguments *arguments;
    char *const *words;
    size_t count;
    size_t next;
    bool only_positional; /* behind "--" or in a raw verb */
    struct cloze_error *error;
};

cloze_status cz_fail_usage(struct cz_arguments *arguments, struct cloze_error *error,
                           const char *format, ...)
{
    char message[sizeof error->message];
    va_list values;
    va_start(values, format);
    vsnprintf(message, sizeof message, format, values);
    va_end(values);
    arguments->bad_usage = true;
    return cz_fail(error, CLOZE_INVALID, NULL, "%s", message);
}

static bool number_in_range(const struct cz_flag *flag, double value)
{
    bool bounded = flag->minimum != 0 || flag->maximum != 0;
    return !bounded || (value >= flag->minimum && value <= flag->maximum);
}

/* Reads the whole text as the flag's kind of number. */
static bool number_is_valid(const struct cz_flag *flag, const char *text)
{
    char *end;
    double value;
    errno = 0;
    if (flag->kind == CZ_VALUE_INTEGER)
        value = (double)strtoll(text, &end, 10);
    else
        value = strtod(text, &end);
    return end != text && *end == '\0' && errno == 0 && isfinite(value) &&
           number_in_range(flag, value);
}

static cloze_status fail_number(struct parser *parser, const struct cz_flag *flag, const char *text)
{
    const char *kind = flag->kind == CZ_VALUE_INTEGER ? "a whole number" : "a number";
    if (flag->minimum == 0 && flag->maximum == 0)
        return cz_fail_usage(parser->arguments, parser->error, "--%s takes %s, not '%s'",
                             flag->name, kind, text);
    return cz_fail_usage(parser->arguments, parser->error,
                         "--%s takes %s from %.15g to %.15g, not '%s'", flag->name, kind,
                         flag->minimum, flag->maximum, text);
}

static cloze_status check_value(struct parser *parser, const struct cz_flag *flag, const char *text)
{
    bool is_number = flag->kind == CZ_VALUE_INTEGER || flag->kind == CZ_VALUE_NUMBER;
    if (is_number && !number_is_valid(flag, text))
        return fail_number(parser, flag, text);
    if (flag->kind == CZ_VALUE_CHOICE && !cz_choice_has(flag->value, cz_slice(text)))
        return cz_fail_usage(parser->arguments, parser->error, "--%s takes one of %s, not '%s'",
                             flag->name, flag->value, text);
    return CLOZE_OK;
}

static cloze_status add_value(struct parser *parser, const struct cz_flag *flag, const char *text)
{
    cloze_status status = check_value(parser, flag, text);
    if (status)
        return status;
    struct cz_arguments *arguments = parser->arguments;
    for (size_t i = 0; i < arguments->value_count; i++) {
        if (arguments->values[i].flag == flag && !flag->repeated && flag->kind != CZ_VALUE_NONE)
            return cz_fail_usage(arguments, parser->error, "--%s is given twice", flag->name);
    }
    arguments->values[arguments->value_count++] = (struct cz_flag_value){flag, text};
    return CLOZE_OK;
}

static cloze_status next_value(struct parser *parser, const struct cz_flag *flag)
{
    if (parser->next == parser->count)
        return cz_fail_usage(parser->arguments, parser->error, "--%s needs a value: %s", flag->name,
                             flag->value ? flag->value : "TEXT");
    return add_value(parser, flag, parser->words[parser->next++]);
}

static cloze_status parse_long(struct parser *parser, const char *word)
{
    const struct cz_verb *verb = parser->arguments->verb;
    const char *equals = strchrnul(word, '=');
    const struct cz_flag *flag = cz_flag_find(verb, cz_slice_of(word, (size_t)(equals - word)));
    if (!flag) {
        const char *nearest = cz_nearest_flag(verb, word);
        return cz_fail_usage(parser->arguments, parser->error, "unknown flag --%.*s%s%s%s",
                             (int)(equals - word), word, nearest ? "; did you mean --" : "",
                             nearest ? nearest : "", nearest ? "?" : "");
    }
    if (flag->kind == CZ_VALUE_NONE && *equals)
        return cz_fail_usage(parser->arguments, parser->error, "--%s takes no value", flag->name);
    if (flag->kind == CZ_VALUE_NONE)
        return add_value(parser, flag, "");
    return *equals ? add_value(parser, flag, equals + 1) : next_value(parser, flag);
}

static cloze_status parse_letters(struct parser *parser, const char *letters)
{
    for (; *letters; letters++) {
        const struct cz_flag *flag = cz_flag_letter(parser->arguments->verb, *letters);
        if (!flag)
            return cz_fail_usage(parser->arguments, parser->error, "unknown flag -%c", *letters);
        if (flag->kind != CZ_VALUE_NONE)
            return letters[1] ? add_value(parser, flag, letters + 1 + (letters[1] == '='))
                              : next_value(parser, flag);
        cloze_status status = add_value(parser, flag, "");
        if (status)
            return status;
    }
    return CLOZE_OK;
}

static void enter_verb(struct parser *parser, const struct cz_verb *verb)
{
    struct cz_arguments *arguments = parser->arguments;
    size_t size = strlen(arguments->path);
    snprintf(arguments->path + size, sizeof arguments->path - size, "%s%s", size ? " " : "",
             verb->name);
    arguments->verb = verb;
    parser->only_positional = verb->raw;
}

static cloze_status parse_sub_verb(struct parser *parser, const char *word)
{
    const struct cz_verb *parent = parser->arguments->verb;
    const struct cz_verb *verb = cz_verb_find(parent, word);
    if (verb) {
        enter_verb(parser, verb);
        return CLOZE_OK;
    }
    const char *nearest = cz_nearest_verb(parent, word);
    const char *path = parser->arguments->path;
    return cz_fail_usage(parser->arguments, parser->error, "unknown command '%s%s%s'%s%s%s", path,
                         *path ? " " : "", word, nearest ? "; did you mean '" : "",
                         nearest ? nearest : "", nearest ? "'?" : "");
}

static cloze_status parse_word(struct parser *parser, const char *word)
{
    struct cz_arguments *arguments = parser->arguments;
    if (!parser->only_positional && strcmp(word, "--") == 0) {
        parser->only_positional = true;
        return CLOZE_OK;
    }
    if (!parser->only_positional && strncmp(word, "--", 2) == 0)
        return parse_long(parser, word + 2);
    if (!parser->only_positional && word[0] == '-' && word[1])
        return parse_letters(parser, word + 1);
    if (arguments->verb->verbs)
        return parse_sub_verb(parser, word);
    arguments->positional[arguments->positional_count++] = word;
    return CLOZE_OK;
}

static cloze_status check_positional(struct cz_arguments *arguments, struct cloze_error *error)
{
    size_t index = 0;
    bool repeated = false;
    CZ_EACH(parameter, arguments->verb->parameters)
    {
        if (index >= arguments->positional_count && !parameter->optional)
            return cz_fail_usage(arguments, error, "%s is missing", parameter->name);
        if (parameter->kind == CZ_VALUE_CHOICE && index < arguments->positional_count &&
            !cz_choice_has(parameter->value, cz_slice(arguments->positional[index])))
            return cz_fail_usage(arguments, error, "%s is one of %s, not '%s'", parameter->name,
                                 parameter->value, arguments->positional[index]);
        repeated = parameter->repeated;
        index++;
    }
    if (arguments->positional_count > index && !repeated)
        return cz_fail_usage(arguments, error, "unexpected argument '%s'",
                             arguments->positional[index]);
    return CLOZE_OK;
}

cloze_status cz_arguments_parse(struct cz_arguments *arguments, const struct cz_verb *program,
                                size_t count, char *const *words, struct cloze_error *error)
{
    *arguments = (struct cz_arguments){.verb = program};
    struct parser parser = {.arguments = arguments, .words = words, .count = count, .error = error};
    size_t values = 1;
    for (size_t i = 0; i < count; i++)
        values += strlen(words[i]); /* no word holds more flags than letters */
    if (count > CZ_MAXIMUM_WORDS)
        return cz_fail_usage(arguments, error, "more than %d arguments", CZ_MAXIMUM_WORDS);
    arguments->positional = calloc(count + 1, sizeof *arguments->positional);
    arguments->values = calloc(values, sizeof *arguments->values);
    if (!arguments->positional || !arguments->values)
        return cz_fail_memory(error, "the command line");
    while (parser.next < count) {
        cloze_status status = parse_word(&parser, words[parser.next++]);
        if (status)
            return status;
    }
    bool asks = cz_flag_given(arguments, "help") || cz_flag_given(arguments, "version");
    return asks ? CLOZE_OK : check_positional(arguments, error);
}

void cz_arguments_free(struct cz_arguments *arguments)
{
    free(arguments->positional);
    free(arguments->values);
    *arguments = (struct cz_arguments){0};
}

/* The value of a flag counted from its first (index 0), NULL past the end. */
const char *cz_flag_each(const struct cz_arguments *arguments, const char *name, size_t index)
{
    for (size_t i = 0; i < arguments->value_count; i++) {
        if (strcmp(arguments->values[i].flag->name, name) == 0 && index-- == 0)
            return arguments->values[i].text;
    }
    return NULL;
}

bool cz_flag_given(const struct cz_arguments *arguments, const char *name)
{
    return cz_flag_each(arguments, name, 0) != NULL;
}

const char *cz_flag_text(const struct cz_arguments *arguments, const char *name)
{
    const struct cz_flag *flag = cz_flag_find(arguments->verb, cz_slice(name));
    assert(flag);
    const char *text = flag->fallback;
    for (size_t i = 0; i < arguments->value_count; i++) {
        if (arguments->values[i].flag == flag)
            text = arguments->values[i].text;
    }
    return text;
}

int64_t cz_flag_integer(const struct cz_arguments *arguments, const char *name)
{
    const char *text = cz_flag_text(arguments, name);
    return text ? strtoll(text, NULL, 10) : 0;
}

double cz_flag_number(const struct cz_arguments *arguments, const char *name)
{
    const char *text = cz_flag_text(arguments, name);
    return text ? strtod(text, NULL) : 0;
}

const char *cz_argument_each(const struct cz_arguments *arguments, const char *name, size_t index)
{
    size_t at = 0;
    CZ_EACH(parameter, arguments->verb->parameters)
    {
        if (strcmp(parameter->name, name) == 0)
            return at + index < arguments->positional_count && (index == 0 || parameter->repeated)
                       ? arguments->positional[at + index]
                       : NULL;
        at++;
    }
    assert(!"a parameter of the verb's table");
    return NULL;
}

const char *cz_argument(const struct cz_arguments *arguments, const char *name)
{
    return cz_argument_each(arguments, name, 0);
}

bool cz_is_quiet(const struct cz_arguments *arguments)
{
    return cz_flag_given(arguments, "quiet");
}
