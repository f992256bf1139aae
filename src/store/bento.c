/* bento.c - which bentos use a model. */
#include "store/bento.h"

#include "base/file.h"
#include "json/yaml.h"

#include <glob.h>

/* models: [{tag: "name:version", ...}, ...] */
static bool lists_model(const struct cz_json *bento, const char *tag)
{
    const struct cz_json *models = cz_json_get(bento, "models");
    if (!cz_json_is(models, CZ_JSON_ARRAY))
        return false;
    CZ_JSON_EACH(model, models)
    {
        struct cz_slice text;
        if (cz_json_string(cz_json_get(model, "tag"), &text) && cz_slice_is(text, tag))
            return true;
    }
    return false;
}

static void append_tag(const struct cz_json *bento, struct cz_buffer *out)
{
    struct cz_slice name, version;
    if (!cz_json_string(cz_json_get(bento, "name"), &name) ||
        !cz_json_string(cz_json_get(bento, "version"), &version))
        return;
    cz_buffer_append_text(out, out->size ? ", " : "");
    cz_buffer_append_slice(out, name);
    cz_buffer_append_byte(out, ':');
    cz_buffer_append_slice(out, version);
}

static void check_bento(const char *path, const char *tag, struct cz_buffer *out)
{
    struct cz_arena arena = {0};
    struct cz_buffer text = {.maximum = CZ_YAML_MAXIMUM_SIZE};
    struct cz_json *bento;
    if (cz_file_read(path, &text, NULL) == CLOZE_OK &&
        cz_yaml_parse(&arena, cz_buffer_slice(&text), &bento, NULL) == CLOZE_OK &&
        lists_model(bento, tag))
        append_tag(bento, out);
    cz_buffer_free(&text);
    cz_arena_free(&arena);
}

/* Appends the text with what glob(3) would expand escaped. */
static void append_literal(struct cz_buffer *pattern, const char *text)
{
    for (; *text; text++) {
        if (strchr("*?[\\", *text))
            cz_buffer_append_byte(pattern, '\\');
        cz_buffer_append_byte(pattern, *text);
    }
}

void cz_bentos_using(const struct cz_store *store, const struct cz_tag *tag, struct cz_buffer *out)
{
    struct cz_buffer pattern = {0};
    glob_t found = {0};
    char text[CZ_TAG_TEXT];
    append_literal(&pattern, store->home);
    cz_buffer_append_text(&pattern, "/bentos/*/*/bento.yaml");
    if (glob(cz_buffer_text(&pattern), GLOB_NOSORT, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            check_bento(found.gl_pathv[i], cz_tag_text(tag, text), out);
        globfree(&found);
    }
    cz_buffer_free(&pattern);
}
