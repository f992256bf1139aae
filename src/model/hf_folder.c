/*
 * hf_folder.c - a model from a Hugging Face folder: config.json, generation_config.json, and
 * safetensors, either one model.safetensors or the parts that model.safetensors.index.json names.
 */
#include "model/hf_config.h"
#include "model/safetensors.h"
#include "model/tokenizer_source.h"

#include "base/log.h"

#include <stdlib.h>

static const char index_name[] = "model.safetensors.index.json";
enum { LARGEST_INDEX = 64 << 20 };

struct loader {
    struct cz_model_files *files;
    const char *folder;
    struct cz_buffer path; /* of the file at work */
    struct cz_arena json;  /* of the documents, freed at the end */
    struct cz_hf_config config;
    struct cz_source source;
    struct cz_safetensors parts[CZ_MODEL_MOST_FILES];
    const char *part_names[CZ_MODEL_MOST_FILES];
    size_t part_count;
    struct cloze_error *error;
};

/* ---- JSON files ---- */

static cloze_status enter(struct loader *loader, const char *name)
{
    return cz_path_join(&loader->path, loader->folder, name)
               ? CLOZE_OK
               : cz_fail_memory(loader->error, loader->folder);
}

/* Parses the file at loader->path; the tree and its text live in loader->json. */
static cloze_status read_json(struct loader *loader, size_t maximum, struct cz_json **out)
{
    struct cz_buffer text = {.maximum = maximum};
    cloze_status status = cz_file_read(loader->path.data, &text, loader->error);
    char *copy = NULL;
    if (!status && !(copy = cz_arena_text(&loader->json, cz_buffer_slice(&text))))
        status = cz_fail_memory(loader->error, loader->path.data);
    if (!status) {
        status =
            cz_json_parse(&loader->json, cz_slice_of(copy, text.size), NULL, out, loader->error);
        if (status)
            cz_error_at(loader->error, loader->path.data);
    }
    cz_buffer_free(&text);
    return status;
}

static cloze_status read_configs(struct loader *loader)
{
    struct cz_json *root;
    cloze_status status = enter(loader, "config.json");
    if (!status)
        status = read_json(loader, CZ_CONFIG_LARGEST, &root);
    if (!status)
        status = cz_hf_config_read(root, loader->path.data, loader->files, &loader->config,
                                   loader->error);
    if (!status)
        status = enter(loader, "generation_config.json");
    if (status || !cz_file_exists(loader->path.data))
        return status;
    status = read_json(loader, CZ_CONFIG_LARGEST, &root);
    return status ? status
                  : cz_hf_generation_read(root, loader->path.data, loader->files, &loader->config,
                                          loader->error);
}

/* ---- Weights ---- */

static cloze_status open_part(struct loader *loader, const char *name)
{
    struct cz_model_files *files = loader->files;
    cloze_status status = enter(loader, name);
    if (status)
        return status;
    const char *path = cz_arena_text(&files->arena, cz_buffer_slice(&loader->path));
    if (!path)
        return cz_fail_memory(loader->error, loader->folder);
    struct cz_mapping *mapping = &files->mappings[files->mapping_count];
    status = cz_file_map(path, mapping, loader->error);
    if (status)
        return status;
    files->mapping_count++;
    loader->part_names[loader->part_count] = name;
    return cz_safetensors_parse(cz_slice_of(mapping->data, mapping->size), path, &files->arena,
                                &loader->parts[loader->part_count++], loader->error);
}

/* Whether a part was opened already; there are few. */
static bool has_part(const struct loader *loader, struct cz_slice name)
{
    for (size_t i = 0; i < loader->part_count; i++) {
        if (cz_slice_is(name, loader->part_names[i]))
            return true;
    }
    return false;
}

static cloze_status open_mapped_part(struct loader *loader, const struct cz_json *value)
{
    struct cz_slice name;
    if (!cz_json_string(value, &name) || !cz_path_is_safe(name) ||
        memchr(name.data, '/', name.size))
        return cz_fail(loader->error, CLOZE_INVALID, loader->path.data,
                       "weight_map: the file of tensor " CZ_SLICE_FORMAT
                       " is not a plain file name",
                       CZ_SLICE_ARG(cz_json_key(value)));
    if (has_part(loader, name))
        return CLOZE_OK;
    if (loader->part_count == CZ_MODEL_MOST_FILES)
        return cz_fail(loader->error, CLOZE_LIMIT, loader->path.data,
                       "weight_map names more than %d files", CZ_MODEL_MOST_FILES);
    const char *copy = cz_arena_text(&loader->files->arena, name);
    cloze_status status =
        copy ? open_part(loader, copy) : cz_fail_memory(loader->error, loader->folder);
    return status ? status : enter(loader, index_name);
}

static cloze_status open_parts(struct loader *loader, const struct cz_json **map)
{
    struct cz_json *root;
    cloze_status status = read_json(loader, LARGEST_INDEX, &root);
    if (status)
        return status;
    *map = cz_json_is(root, CZ_JSON_OBJECT) ? cz_json_get(root, "weight_map") : NULL;
    if (!cz_json_is(*map, CZ_JSON_OBJECT) || !(*map)->count)
        return cz_fail(loader->error, CLOZE_INVALID, loader->path.data, "has no object weight_map");
    CZ_JSON_EACH(value, *map)
    {
        if (!status)
            status = open_mapped_part(loader, value);
    }
    return status;
}

/* All tensors of all parts; with an index, those that it places in that very part. */
static cloze_status collect(struct loader *loader, const struct cz_map *places)
{
    size_t total = 0;
    for (size_t i = 0; i < loader->part_count; i++)
        total += loader->parts[i].count;
    cloze_status status = cz_source_init(&loader->source, &loader->files->arena, loader->folder,
                                         total, loader->error);
    for (size_t i = 0; i < loader->part_count; i++) {
        for (size_t j = 0; !status && j < loader->parts[i].count; j++) {
            const struct cz_tensor *tensor = &loader->parts[i].tensors[j];
            uint64_t place = i;
            if (places && (!cz_map_get(places, cz_slice(tensor->name), &place) || place != i))
                cz_log(CZ_LOG_WARNING, "%s: tensor %s is not in the index", loader->part_names[i],
                       tensor->name);
            else
                status = cz_source_add(&loader->source, tensor, loader->error);
        }
    }
    return status;
}

static uint64_t part_of(const struct loader *loader, const struct cz_json *value)
{
    for (size_t i = 0; i < loader->part_count; i++) {
        if (cz_slice_is(value->text, loader->part_names[i]))
            return i;
    }
    return UINT64_MAX; /* not reached: every named part was opened */
}

static cloze_status collect_indexed(struct loader *loader, const struct cz_json *map)
{
    struct cz_map places = {0};
    cloze_status status = CLOZE_OK;
    CZ_JSON_EACH(value, map)
    {
        if (!status && !cz_map_set(&places, cz_json_key(value), part_of(loader, value)))
            status = cz_fail_memory(loader->error, loader->folder);
    }
    if (!status)
        status = collect(loader, &places);
    cz_map_free(&places);
    CZ_JSON_EACH(value, map)
    {
        uint64_t found;
        if (!status && !cz_map_get(&loader->source.index, cz_json_key(value), &found))
            status = cz_fail(loader->error, CLOZE_CORRUPT, loader->path.data,
                             "tensor " CZ_SLICE_FORMAT " is not in the file that weight_map names",
                             CZ_SLICE_ARG(cz_json_key(value)));
    }
    return status;
}

static cloze_status read_weights(struct loader *loader)
{
    struct cz_model_files *files = loader->files;
    const struct cz_json *map = NULL;
    files->mappings = CZ_ARENA_ARRAY(&files->arena, struct cz_mapping, CZ_MODEL_MOST_FILES);
    if (!files->mappings)
        return cz_fail_memory(loader->error, loader->folder);
    cloze_status status = enter(loader, index_name);
    if (status)
        return status;
    if (cz_file_exists(loader->path.data)) {
        status = open_parts(loader, &map);
        return status ? status : collect_indexed(loader, map);
    }
    status = open_part(loader, "model.safetensors");
    return status ? status : collect(loader, NULL);
}

static cloze_status bind_tensors(struct loader *loader)
{
    struct cz_binding binding = {.architecture = loader->config.architecture,
                                 .naming = CZ_NAMING_HF,
                                 .required = loader->config.biases};
    struct cz_source_tensor *head = cz_source_find(&loader->source, "lm_head.weight");
    if (!loader->config.tied)
        binding.required |= CZ_ROLE_BIT(CZ_ROLE_HEAD);
    else if (head)
        head->used = true; /* some writers store the tied matrix twice */
    return cz_model_bind(loader->files, &loader->source, &binding, loader->error);
}

static bool has_file(struct loader *loader, const char *name)
{
    return !enter(loader, name) && cz_file_exists(loader->path.data);
}

static cloze_status read_tokenizer(struct loader *loader)
{
    struct cz_tokenizer_source source;
    if (!has_file(loader, "tokenizer.json") && !has_file(loader, "tokenizer.model"))
        return CLOZE_OK;
    cloze_status status =
        cz_tokenizer_source_folder(loader->folder, &loader->files->arena, &source, loader->error);
    return status ? status
                  : cz_model_set_tokenizer(loader->files, &source, loader->folder, loader->error);
}

static cloze_status load(struct loader *loader)
{
    cloze_status status = read_configs(loader);
    if (!status)
        status = read_weights(loader);
    if (!status)
        status = bind_tensors(loader);
    if (!status)
        status = cz_model_add_stops(loader->files, loader->config.stop_ids,
                                    loader->config.stop_count, loader->folder, loader->error);
    return status ? status : read_tokenizer(loader);
}

cloze_status cz_model_read_folder(const char *folder, struct cz_model_files *files,
                                  struct cloze_error *error)
{
    struct loader *loader = calloc(1, sizeof *loader);
    if (!loader)
        return cz_fail_memory(error, folder);
    loader->files = files;
    loader->folder = folder;
    loader->error = error;
    loader->source.path = folder;
    files->model.format = "safetensors";
    cloze_status status = load(loader);
    cz_source_free(&loader->source);
    cz_buffer_free(&loader->path);
    cz_arena_free(&loader->json);
    free(loader);
    return status;
}
