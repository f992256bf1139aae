/*
 * tokenizer_folder.c - the tokenizer of a Hugging Face folder: tokenizer.json, else
 * tokenizer.model; tokenizer_config.json for the names of special tokens; the chat template from
 * chat_template.jinja, else from tokenizer_config.json.
 */
#include "base/file.h"
#include "model/tokenizer_build.h"

#include <stdlib.h>

enum { LARGEST_CONFIG = 64 << 20, LARGEST_TEMPLATE = 4 << 20 };

struct reader {
    const char *folder;
    struct cz_arena *arena;
    struct cz_arena trees; /* of tokenizer_config.json */
    struct cz_buffer config_text, path;
    struct cz_json *config; /* NULL: the folder has none */
    struct cz_tokenizer_source *out;
    struct cloze_error *error;
};

/* The path of a file in the folder; NULL when there is no such file. */
static const char *find_file(struct reader *reader, const char *name)
{
    const char *path = cz_path_join(&reader->path, reader->folder, name);
    return path && cz_file_exists(path) ? path : NULL;
}

static cloze_status read_config(struct reader *reader)
{
    const char *path = find_file(reader, "tokenizer_config.json");
    if (!path)
        return CLOZE_OK;
    reader->config_text.maximum = LARGEST_CONFIG;
    cloze_status status = cz_file_read(path, &reader->config_text, reader->error);
    if (status)
        return status;
    status = cz_json_parse(&reader->trees, cz_buffer_slice(&reader->config_text), NULL,
                           &reader->config, reader->error);
    if (status)
        cz_error_at(reader->error, path);
    return status;
}

static cloze_status read_tables(struct reader *reader)
{
    const char *path = find_file(reader, "tokenizer.json");
    bool is_json = path != NULL;
    if (!path)
        path = find_file(reader, "tokenizer.model");
    if (!path)
        return cz_fail(reader->error, CLOZE_NOT_FOUND, reader->folder,
                       "the folder has neither tokenizer.json nor tokenizer.model");
    struct cz_mapping file;
    cloze_status status = cz_file_map(path, &file, reader->error);
    if (status)
        return status;
    struct cz_slice source = {file.data, file.size};
    status =
        is_json ? cz_tokenizer_read_json(source, reader->arena, &reader->out->tables, reader->error)
                : cz_tokenizer_read_sentencepiece(source, reader->config, reader->arena,
                                                  &reader->out->tables, reader->error);
    cz_file_unmap(&file);
    if (status)
        cz_error_at(reader->error, path);
    return status;
}

/* "bos_token": "<s>" or {"content": "<s>"}; -1 when it is absent or no token. */
static int64_t named_id(struct reader *reader, const char *key)
{
    const struct cz_tokenizer_tables *tables = &reader->out->tables;
    const struct cz_json *value = cz_json_get(reader->config, key);
    struct cz_slice text;
    if (!cz_json_string(value, &text) && !cz_json_string(cz_json_get(value, "content"), &text))
        return -1;
    for (uint32_t id = 0; id < tables->token_count; id++)
        if (cz_slice_equal(tables->tokens[id].text, text))
            return id;
    return -1;
}

static cloze_status read_ids(struct reader *reader)
{
    struct cz_tokenizer_source *out = reader->out;
    int64_t bos = named_id(reader, "bos_token"), eos = named_id(reader, "eos_token");
    if (bos >= 0)
        out->tables.bos_id = bos;
    if (eos >= 0)
        out->tables.eos_id = eos;
    uint32_t *stops = CZ_ARENA_NEW(reader->arena, uint32_t);
    if (!stops)
        return cz_fail_memory(reader->error, "the stop tokens");
    stops[0] = (uint32_t)out->tables.eos_id;
    out->stop_ids = stops;
    out->stop_count = out->tables.eos_id >= 0;
    return CLOZE_OK;
}

/* The template of tokenizer_config.json: a text, or a list of {name, template}. */
static struct cz_slice template_of_config(const struct reader *reader)
{
    const struct cz_json *value = cz_json_get(reader->config, "chat_template");
    struct cz_slice text = {0}, name;
    if (!cz_json_is(value, CZ_JSON_ARRAY)) {
        cz_json_string(value, &text);
        return text;
    }
    CZ_JSON_EACH(item, value)
    if (cz_json_string(cz_json_get(item, "name"), &name) && cz_slice_is(name, "default"))
        cz_json_string(cz_json_get(item, "template"), &text);
    return text;
}

static cloze_status read_template(struct reader *reader)
{
    const char *path = find_file(reader, "chat_template.jinja");
    struct cz_buffer file = {.maximum = LARGEST_TEMPLATE};
    cloze_status status = path ? cz_file_read(path, &file, reader->error) : CLOZE_OK;
    struct cz_slice text = path ? cz_buffer_slice(&file) : template_of_config(reader);
    if (!status && text.size) {
        reader->out->chat_template = cz_arena_slice(reader->arena, text);
        if (!reader->out->chat_template.data)
            status = cz_fail_memory(reader->error, "the chat template");
    }
    cz_buffer_free(&file);
    return status;
}

cloze_status cz_tokenizer_source_folder(const char *folder, struct cz_arena *arena,
                                        struct cz_tokenizer_source *out, struct cloze_error *error)
{
    *out = (struct cz_tokenizer_source){0};
    struct reader reader = {.folder = folder, .arena = arena, .out = out, .error = error};
    cloze_status status = read_config(&reader);
    if (!status)
        status = read_tables(&reader);
    if (!status)
        status = read_ids(&reader);
    if (!status)
        status = read_template(&reader);
    cz_arena_free(&reader.trees);
    cz_buffer_free(&reader.config_text);
    cz_buffer_free(&reader.path);
    return status;
}
