/*
 * template.h - chat templates: a subset of Jinja, rendered as transformers renders it.
 *
 * The rendered text remembers, per byte range, whether it came from the template (trusted: special
 * tokens count) or from values of the context (text of a user: never parsed as special tokens).
 * A compiled template is immutable and may be rendered by any number of threads at once.
 */
#ifndef CZ_TEMPLATE_TEMPLATE_H
#define CZ_TEMPLATE_TEMPLATE_H

#include "json/json.h"

struct cz_template;

struct cz_rendered {
    struct cz_buffer text;
    struct cz_trusted_span {
        size_t start, end; /* bytes of text; same layout as the tokenizer's struct cz_span */
    } * spans;             /* sorted, disjoint */
    size_t span_count;
};

/* Error where: "line N, column M" of the template. Unsupported constructs are CLOZE_UNSUPPORTED. */
cloze_status cz_template_compile(struct cz_slice source, struct cz_template **out,
                                 struct cloze_error *error);
void cz_template_free(struct cz_template *tmpl);

/* `context` is an object: messages, tools, add_generation_prompt, bos_token, ... Values of the
 * members named in `trusted_keys` (NULL-terminated list: "bos_token", "eos_token") count as
 * template text. raise_exception is CLOZE_INVALID with the template's message. */
cloze_status cz_template_render(const struct cz_template *tmpl, const struct cz_json *context,
                                const char *const *trusted_keys, struct cz_rendered *out,
                                struct cloze_error *error);
void cz_rendered_free(struct cz_rendered *rendered);

#endif
