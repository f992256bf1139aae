/* help.c - the text of --help, from a verb's tables. */
#include "cli/verb.h"

#include "base/size.h"

enum { WIDTH = 92, LEFT = 30 }; /* columns: of the page, of the left side of a table at most */

static const char *value_name(const struct cz_flag *flag)
{
    static const char *const names[] = {
        [CZ_VALUE_TEXT] = "TEXT",     [CZ_VALUE_FILE] = "FILE", [CZ_VALUE_FOLDER] = "FOLDER",
        [CZ_VALUE_MODEL] = "MODEL",   [CZ_VALUE_INTEGER] = "N", [CZ_VALUE_NUMBER] = "X",
        [CZ_VALUE_CHOICE] = "CHOICE", [CZ_VALUE_NONE] = "",
    };
    return flag->value ? flag->value : names[flag->kind];
}

void cz_flag_write(const struct cz_flag *flag, struct cz_buffer *out)
{
    if (flag->letter)
        cz_buffer_printf(out, "-%c, ", flag->letter);
    cz_buffer_printf(out, "--%s", flag->name);
    if (flag->kind != CZ_VALUE_NONE)
        cz_buffer_printf(out, " %s", value_name(flag));
}

static void write_parameter(const struct cz_parameter *parameter, struct cz_buffer *out)
{
    cz_buffer_printf(out, parameter->optional ? "[%s%s]" : "%s%s", parameter->name,
                     parameter->repeated ? "..." : "");
}

void cz_usage_write(const struct cz_verb *verb, const char *path, struct cz_buffer *out)
{
    cz_buffer_printf(out, "%s%s%s", cz_program.name, *path ? " " : "", path);
    if (verb->verbs)
        cz_buffer_append_text(out, " COMMAND");
    CZ_EACH(parameter, verb->parameters)
    {
        cz_buffer_append_byte(out, ' ');
        write_parameter(parameter, out);
    }
    if (!verb->raw)
        cz_buffer_append_text(out, " [FLAGS]");
}

/* Appends `text` from `column` on, broken at blanks so that no line passes WIDTH; following lines
 * begin at `indent`. A line feed in the text stays. */
static void write_wrapped(const char *text, size_t column, size_t indent, struct cz_buffer *out)
{
    while (*text) {
        size_t word = strcspn(text, " \n");
        if (column > indent && column + word > WIDTH) {
            cz_buffer_printf(out, "\n%*s", (int)indent, "");
            column = indent;
        }
        cz_buffer_append(out, text, word);
        column += word;
        text += word;
        if (*text == '\n') {
            cz_buffer_printf(out, "\n%*s", text[1] && text[1] != '\n' ? (int)indent : 0, "");
            column = indent;
            text++;
        } else if (*text == ' ') {
            if (column + 1 + strcspn(text + 1, " \n") <= WIDTH) {
                cz_buffer_append_byte(out, ' ');
                column++;
            } else {
                column = WIDTH;
            }
            text++;
        }
    }
    cz_buffer_append_byte(out, '\n');
}

static void write_row(const char *left, const char *right, size_t width, struct cz_buffer *out)
{
    size_t size = strlen(left), indent = width + 4;
    cz_buffer_printf(out, "  %s", left);
    if (size > width)
        cz_buffer_printf(out, "\n%*s", (int)indent, "");
    else
        cz_buffer_printf(out, "%*s", (int)(indent - size - 2), "");
    write_wrapped(right, indent, indent, out);
}

static size_t left_width(const struct cz_flag *flags, size_t width)
{
    struct cz_buffer text = {0};
    CZ_EACH(flag, flags)
    {
        cz_buffer_clear(&text);
        cz_flag_write(flag, &text);
        if (text.size <= LEFT)
            width = cz_size_max(width, text.size);
    }
    cz_buffer_free(&text);
    return width;
}

static void write_flags(const struct cz_flag *flags, size_t width, struct cz_buffer *out)
{
    struct cz_buffer left = {0}, right = {0};
    CZ_EACH(flag, flags)
    {
        cz_buffer_clear(&left);
        cz_buffer_clear(&right);
        cz_flag_write(flag, &left);
        cz_buffer_append_text(&right, flag->help);
        if (flag->repeated)
            cz_buffer_append_text(&right, "; may be given several times");
        if (flag->fallback)
            cz_buffer_printf(&right, " (default: %s)", flag->fallback);
        write_row(cz_buffer_text(&left), cz_buffer_text(&right), width, out);
    }
    cz_buffer_free(&left);
    cz_buffer_free(&right);
}

static void write_verbs(const struct cz_verb *verb, struct cz_buffer *out)
{
    size_t width = 0;
    for (const struct cz_verb *const *at = verb->verbs; *at; at++)
        width = (*at)->hidden ? width : cz_size_max(width, strlen((*at)->name));
    cz_buffer_append_text(out, "\nCommands:\n");
    for (const struct cz_verb *const *at = verb->verbs; *at; at++) {
        if (!(*at)->hidden)
            write_row((*at)->name, (*at)->summary, width, out);
    }
}

static void write_parameters(const struct cz_verb *verb, struct cz_buffer *out)
{
    size_t width = 0;
    CZ_EACH(parameter, verb->parameters)
    width = cz_size_max(width, strlen(parameter->name));
    cz_buffer_append_text(out, "\nArguments:\n");
    CZ_EACH(parameter, verb->parameters)
    write_row(parameter->name, parameter->help, width, out);
}

static void write_examples(const struct cz_verb *verb, struct cz_buffer *out)
{
    cz_buffer_append_text(out, "\nExamples:\n");
    for (const struct cz_example *example = verb->examples; example->command; example++) {
        if (example->help)
            cz_buffer_printf(out, "  # %s\n", example->help);
        cz_buffer_printf(out, "  %s\n", example->command);
    }
}

void cz_help_write(const struct cz_verb *verb, const char *path, struct cz_buffer *out)
{
    cz_buffer_printf(out, "%s%s%s: ", cz_program.name, *path ? " " : "", path);
    write_wrapped(verb->summary, 0, 0, out);
    cz_buffer_append_text(out, "\nUsage: ");
    cz_usage_write(verb, path, out);
    cz_buffer_append_byte(out, '\n');
    if (verb->description) {
        cz_buffer_append_byte(out, '\n');
        write_wrapped(verb->description, 0, 0, out);
    }
    if (verb->verbs)
        write_verbs(verb, out);
    if (verb->parameters)
        write_parameters(verb, out);
    size_t width = left_width(verb->flags, left_width(cz_global_flags, 0));
    if (verb->flags) {
        cz_buffer_append_text(out, "\nFlags:\n");
        write_flags(verb->flags, width, out);
    }
    cz_buffer_append_text(out, "\nEverywhere:\n");
    write_flags(cz_global_flags, width, out);
    if (verb->examples)
        write_examples(verb, out);
    if (verb->verbs)
        cz_buffer_printf(out, "\n'%s%s%s COMMAND --help' says more about a command.\n",
                         cz_program.name, *path ? " " : "", path);
}

static cloze_status run_help(struct cz_arguments *arguments, struct cloze_error *error)
{
    const struct cz_verb *verb = &cz_program;
    struct cz_buffer path = {0}, text = {0};
    const char *word;
    cloze_status status = CLOZE_OK;
    for (size_t i = 0; !status && (word = cz_argument_each(arguments, "COMMAND", i)); i++) {
        const struct cz_verb *inner = cz_verb_find(verb, word);
        const char *nearest = inner ? NULL : cz_nearest_verb(verb, word);
        if (!inner)
            status = cz_fail_usage(arguments, error, "unknown command '%s%s%s'%s%s%s",
                                   cz_buffer_text(&path), path.size ? " " : "", word,
                                   nearest ? "; did you mean '" : "", nearest ? nearest : "",
                                   nearest ? "'?" : "");
        else
            verb = inner;
        cz_buffer_printf(&path, "%s%s", path.size ? " " : "", word);
    }
    if (!status)
        cz_help_write(verb, cz_buffer_text(&path), &text);
    if (!status)
        status = cz_buffer_status(&text, "the help", error);
    if (!status)
        fputs(cz_buffer_text(&text), stdout);
    cz_buffer_free(&path);
    cz_buffer_free(&text);
    return status;
}

static const struct cz_parameter help_parameters[] = {
    {.name = "COMMAND",
     .help = "the command to explain; without it, all are listed",
     .kind = CZ_VALUE_TEXT,
     .optional = true,
     .repeated = true},
    {.name = NULL},
};

const struct cz_verb cz_verb_help = {
    .name = "help",
    .summary = "explain a command, like COMMAND --help",
    .parameters = help_parameters,
    .run = run_help,
};
