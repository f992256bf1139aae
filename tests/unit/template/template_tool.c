/*
 * template_tool.c - chat templates on standard input and output, for the tests that compare them
 * with Jinja: lines of {"template": text, "context": object} in, lines of {"text": ..., "spans":
 * [[start, end], ...]} or {"error": message, "where": place, "status": word} out. A line without a
 * template uses that of the line before. bos_token and eos_token are trusted.
 */
#include "template/template.h"
#include "json/writer.h"

#include <stdio.h>
#include <stdlib.h>

static void write_rendered(struct cz_json_writer *writer, const struct cz_rendered *rendered)
{
    cz_json_write_key(writer, "text");
    cz_json_write_slice(writer, cz_buffer_slice(&rendered->text));
    cz_json_write_key(writer, "spans");
    cz_json_begin_array(writer);
    for (size_t i = 0; i < rendered->span_count; i++) {
        cz_json_begin_array(writer);
        cz_json_write_int(writer, (int64_t)rendered->spans[i].start);
        cz_json_write_int(writer, (int64_t)rendered->spans[i].end);
        cz_json_end_array(writer);
    }
    cz_json_end_array(writer);
}

static cloze_status render_line(struct cz_slice line, struct cz_template **tmpl,
                                struct cz_json_writer *writer, struct cloze_error *error)
{
    static const char *const trusted[] = {"bos_token", "eos_token", NULL};
    struct cz_arena arena = {0};
    struct cz_json *root;
    struct cz_slice source;
    struct cz_rendered rendered = {0};
    cloze_status status = cz_json_parse(&arena, line, NULL, &root, error);
    if (!status && cz_json_string(cz_json_get(root, "template"), &source)) {
        cz_template_free(*tmpl);
        *tmpl = NULL;
        status = cz_template_compile(source, tmpl, error);
    }
    if (!status && !*tmpl)
        status = cz_fail(error, CLOZE_INVALID, "line", "no template");
    if (!status)
        status = cz_template_render(*tmpl, cz_json_get(root, "context"), trusted, &rendered, error);
    if (!status)
        write_rendered(writer, &rendered);
    cz_rendered_free(&rendered);
    cz_arena_free(&arena);
    return status;
}

int main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    struct cz_template *tmpl = NULL;
    while ((size = getline(&line, &capacity, stdin)) > 0) {
        struct cz_buffer out = {0};
        struct cz_json_writer writer = {.out = &out, .style = CZ_JSON_COMPACT};
        struct cloze_error error;
        cz_json_begin_object(&writer);
        cloze_status status = render_line(cz_slice_of(line, (size_t)size), &tmpl, &writer, &error);
        if (status) {
            cz_json_write_member_string(&writer, "error", error.message);
            cz_json_write_member_string(&writer, "where", error.where);
            cz_json_write_member_string(&writer, "status", cloze_status_name(status));
        }
        cz_json_end_object(&writer);
        puts(cz_buffer_text(&out));
        cz_buffer_free(&out);
    }
    cz_template_free(tmpl);
    free(line);
    return 0;
}
