/* model_source.c - see model_source.h. */
#include "cli/model_source.h"

#include "base/file.h"
#include "store/manifest.h"

#include <stdio.h>
#include <stdlib.h>

static bool is_path(const char *text)
{
    return strchr(text, '/') || cz_slice_ends_with(cz_slice(text), ".gguf");
}

static cloze_status use_path(struct cz_model_source *source, const char *path,
                             struct cloze_error *error)
{
    if (!cz_file_exists(path))
        return cz_fail(error, CLOZE_NOT_FOUND, path, "there is no such model file or folder");
    snprintf(source->name, sizeof source->name, "%.*s", (int)sizeof source->name - 1,
             cz_path_name(path));
    source->path = strdup(path);
    return source->path ? CLOZE_OK : cz_fail_memory(error, path);
}

/* The form that `models import --quantize` recorded. */
static cloze_status read_quantize(struct cz_model_source *source, struct cloze_error *error)
{
    struct cz_arena arena = {0};
    struct cz_manifest manifest;
    char name[16];
    cloze_status status = cz_manifest_read(&arena, source->path, &manifest, error);
    if (!status) {
        snprintf(name, sizeof name, CZ_SLICE_FORMAT, CZ_SLICE_ARG(cz_manifest_quantize(&manifest)));
        if (!cz_quantize_of(name, &source->quantize))
            status = cz_fail(error, CLOZE_UNSUPPORTED, source->path,
                             "its record asks for weights in the form '%s', which this version "
                             "does not know",
                             name);
    }
    cz_arena_free(&arena);
    return status;
}

static cloze_status use_tag(struct cz_model_source *source, const char *tag,
                            struct cloze_error *error)
{
    struct cz_store_entry entry = {0};
    cloze_status status = cz_store_find(&source->store, tag, &entry, error);
    if (status == CLOZE_NOT_FOUND)
        status = cz_fail(error, CLOZE_NOT_FOUND, tag,
                         "the model store at %s has no such model; `cloze models import` puts one "
                         "there, --model chooses another",
                         source->store.home);
    if (!status) {
        cz_tag_text(&entry.tag, source->name);
        source->path = strdup(entry.path);
        status = source->path ? read_quantize(source, error) : cz_fail_memory(error, tag);
    }
    cz_store_entry_free(&entry);
    return status;
}

cloze_status cz_model_source_open(const char *wanted, struct cz_model_source *source,
                                  struct cloze_error *error)
{
    *source = (struct cz_model_source){0};
    cloze_status status = cz_store_open(NULL, &source->store, error);
    if (status)
        return status;
    if (wanted && is_path(wanted))
        return use_path(source, wanted, error);
    return use_tag(source, wanted ? wanted : CZ_DEFAULT_MODEL, error);
}

void cz_model_source_close(struct cz_model_source *source)
{
    free(source->path);
    source->path = NULL;
    cz_store_close(&source->store);
}
