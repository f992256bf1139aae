/* template.c - fuzz target: any text compiles and renders, or fails with an error; spans lie within
 * the text, in order. */
#include "template/template.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char context_text[] =
    "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"add_generation_prompt\": true,"
    " \"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {}}}],"
    " \"n\": 3, \"f\": 1.5, \"none\": null, \"messages\": ["
    " {\"role\": \"system\", \"content\": \"be brief\"},"
    " {\"role\": \"user\", \"content\": \"h\xC3\xA9 <s>\"},"
    " {\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"id\": \"1\","
    "  \"function\": {\"name\": \"f\", \"arguments\": {\"a\": [1, 2.5, true]}}}]}]}";

static void check_spans(const struct cz_rendered *rendered)
{
    size_t at = 0;
    for (size_t i = 0; i < rendered->span_count; i++) {
        if (rendered->spans[i].start < at || rendered->spans[i].end <= rendered->spans[i].start)
            abort();
        at = rendered->spans[i].end + 1;
    }
    if (rendered->span_count && at > rendered->text.size + 1)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const trusted[] = {"bos_token", "eos_token", NULL};
    struct cz_arena arena = {0};
    struct cz_json *context;
    struct cz_template *tmpl;
    struct cz_rendered rendered;
    struct cloze_error error;
    if (cz_json_parse(&arena, CZ_SLICE(context_text), NULL, &context, &error) != CLOZE_OK)
        abort();
    if (cz_template_compile(cz_slice_of(data, size), &tmpl, &error) == CLOZE_OK) {
        if (cz_template_render(tmpl, context, trusted, &rendered, &error) == CLOZE_OK)
            check_spans(&rendered);
        cz_rendered_free(&rendered);
        cz_template_free(tmpl);
    }
    cz_arena_free(&arena);
    return 0;
}
