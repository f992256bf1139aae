/* manual.c - cloze(1), written from the verbs' tables; and the verb that prints it. */
#include "cli/verb.h"

/* Text with what roff would take as its own escaped: backslashes, dashes (so that they can be
 * copied), and control characters at the start of a line. */
static void write_roff(const char *text, struct cz_buffer *out)
{
    bool line_start = true;
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\''))
            cz_buffer_append_text(out, "\\&");
        if (*text == '\\')
            cz_buffer_append_text(out, "\\e");
        else if (*text == '-')
            cz_buffer_append_text(out, "\\-");
        else
            cz_buffer_append_byte(out, *text);
        line_start = *text == '\n';
    }
}

static void write_paragraphs(const char *text, struct cz_buffer *out)
{
    for (const char *gap; (gap = strstr(text, "\n\n")); text = gap + 2) {
        struct cz_buffer paragraph = {0};
        cz_buffer_append(&paragraph, text, (size_t)(gap - text));
        write_roff(cz_buffer_text(&paragraph), out);
        cz_buffer_append_text(out, "\n.PP\n");
        cz_buffer_free(&paragraph);
    }
    write_roff(text, out);
    cz_buffer_append_byte(out, '\n');
}

static void write_flags(const struct cz_flag *flags, struct cz_buffer *out)
{
    struct cz_buffer left = {0};
    CZ_EACH(flag, flags)
    {
        cz_buffer_clear(&left);
        cz_flag_write(flag, &left);
        cz_buffer_append_text(out, ".TP\n.B ");
        write_roff(cz_buffer_text(&left), out);
        cz_buffer_append_byte(out, '\n');
        write_roff(flag->help, out);
        if (flag->repeated)
            cz_buffer_append_text(out, "; may be given several times");
        if (flag->fallback) {
            cz_buffer_append_text(out, " (default: ");
            write_roff(flag->fallback, out);
            cz_buffer_append_byte(out, ')');
        }
        cz_buffer_append_text(out, ".\n");
    }
    cz_buffer_free(&left);
}

static void write_examples(const struct cz_example *examples, struct cz_buffer *out)
{
    for (const struct cz_example *example = examples; example && example->command; example++) {
        cz_buffer_append_text(out, ".PP\n");
        if (example->help) {
            write_roff(example->help, out);
            cz_buffer_append_text(out, ":\n");
        }
        cz_buffer_append_text(out, ".EX\n");
        write_roff(example->command, out);
        cz_buffer_append_text(out, "\n.EE\n");
    }
}

static void write_verb(const struct cz_verb *verb, const char *parent, struct cz_buffer *out)
{
    if (verb->hidden)
        return;
    char path[64];
    snprintf(path, sizeof path, "%s%s%s", parent, *parent ? " " : "", verb->name);
    for (const struct cz_verb *const *at = verb->verbs; at && *at; at++)
        write_verb(*at, path, out);
    if (verb->verbs)
        return;
    struct cz_buffer usage = {0};
    cz_usage_write(verb, path, &usage);
    cz_buffer_append_text(out, ".SS ");
    write_roff(cz_buffer_text(&usage), out);
    cz_buffer_append_byte(out, '\n');
    write_paragraphs(verb->summary, out);
    if (verb->description) {
        cz_buffer_append_text(out, ".PP\n");
        write_paragraphs(verb->description, out);
    }
    CZ_EACH(parameter, verb->parameters)
    {
        cz_buffer_printf(out, ".TP\n.I %s\n", parameter->name);
        write_paragraphs(parameter->help, out);
    }
    write_flags(verb->flags, out);
    write_examples(verb->examples, out);
    cz_buffer_free(&usage);
}

void cz_man_write(struct cz_buffer *out)
{
    cz_buffer_printf(out, ".TH CLOZE 1 \"\" \"Cloze %s\" \"User Commands\"\n", cloze_version());
    cz_buffer_printf(out, ".SH NAME\ncloze \\- %s\n", cz_program.summary);
    cz_buffer_append_text(out, ".SH SYNOPSIS\n.B cloze\n.I COMMAND\n[\\fIFLAGS\\fR]\n");
    cz_buffer_append_text(out, ".SH DESCRIPTION\n");
    write_paragraphs(cz_program.description, out);
    cz_buffer_append_text(out, ".SH COMMANDS\n");
    for (const struct cz_verb *const *at = cz_program.verbs; *at; at++)
        write_verb(*at, "", out);
    cz_buffer_append_text(out, ".SH FLAGS OF EVERY COMMAND\n");
    write_flags(cz_global_flags, out);
    cz_buffer_append_text(
        out,
        ".SH ENVIRONMENT\n"
        ".TP\n.B CLOZE_HOME\nThe folder that holds the model store and the caches; when it is not\n"
        "set, \\fBBENTOML_HOME\\fR, and without that \\fI~/bentoml\\fR.\n"
        ".TP\n.B HF_ENDPOINT\nThe Hugging Face Hub to ask (default: https://huggingface.co).\n"
        ".TP\n.B HF_TOKEN\nThe access token for the Hub; else the file that HF_TOKEN_PATH names,\n"
        "else \\fItoken\\fR in HF_HOME.\n"
        ".TP\n.B HF_HUB_OFFLINE\nWith 1, take models from the local Hugging Face cache only.\n"
        ".TP\n.B HF_HOME, HF_HUB_CACHE\nWhere that cache is.\n");
    cz_buffer_append_text(out, ".SH EXIT STATUS\n0 on success, 1 on failure, 2 when the command\n"
                               "line can't be understood, 130 when interrupted.\n");
}

static cloze_status run(struct cz_arguments *arguments, struct cloze_error *error)
{
    (void)arguments;
    struct cz_buffer text = {0};
    cz_man_write(&text);
    cloze_status status = cz_buffer_status(&text, "the manual page", error);
    if (!status)
        fwrite(text.data, 1, text.size, stdout);
    cz_buffer_free(&text);
    return status;
}

static const struct cz_example examples[] = {
    {"cloze man | man -l -", "Read it"},
    {NULL, NULL},
};

const struct cz_verb cz_verb_man = {
    .name = "man",
    .summary = "print the manual page, in man(7) format",
    .examples = examples,
    .run = run,
};
