/* model.c - opening a model: which format a path holds, and what an open model owns. */
#include "model/source.h"
#include "model/tokenizer_source.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>

const struct cz_tensor *cz_model_tensor(const struct cz_model *model, enum cz_role role,
                                        uint32_t layer)
{
    return role < CZ_ROLE_ATTENTION_NORM ? &model->tensors[role]
                                         : &model->layers[layer][role - CZ_ROLE_ATTENTION_NORM];
}

void cz_model_close(struct cz_model *model)
{
    if (!model)
        return;
    struct cz_model_files *files = model->owner;
    for (size_t i = 0; i < files->mapping_count; i++)
        cz_file_unmap(&files->mappings[i]);
    cz_arena_free(&files->arena);
    free(files);
}

cloze_status cz_model_add_stops(struct cz_model_files *files, const uint32_t *ids, size_t count,
                                const char *path, struct cloze_error *error)
{
    struct cz_model *model = &files->model;
    uint32_t *all = CZ_ARENA_ARRAY(&files->arena, uint32_t, model->stop_count + count + 1);
    if (!all)
        return cz_fail_memory(error, path);
    size_t used = model->stop_count;
    if (used)
        memcpy(all, model->stop_ids, used * sizeof *all);
    for (size_t i = 0; i < count; i++) {
        if (ids[i] >= model->hyper.vocab)
            return cz_fail(error, CLOZE_CORRUPT, path,
                           "end token %u is beyond the vocabulary of %u", ids[i],
                           model->hyper.vocab);
        size_t same = 0;
        while (same < used && all[same] != ids[i])
            same++;
        all[used] = ids[i];
        used += same == used;
    }
    model->stop_ids = all;
    model->stop_count = used;
    return CLOZE_OK;
}

cloze_status cz_model_set_tokenizer(struct cz_model_files *files,
                                    const struct cz_tokenizer_source *source, const char *path,
                                    struct cloze_error *error)
{
    struct cz_model *model = &files->model;
    struct cz_tokenizer_tables *tables = CZ_ARENA_NEW(&files->arena, struct cz_tokenizer_tables);
    if (!tables)
        return cz_fail_memory(error, path);
    *tables = source->tables;
    model->tokenizer = tables;
    model->chat_template = source->chat_template;
    return cz_model_add_stops(files, source->stop_ids, source->stop_count, path, error);
}

/* What a folder holds, as far as the choice of the format needs it. */
struct folder {
    struct cz_buffer gguf; /* the name of the only GGUF file, or of the first shard */
    unsigned gguf_count;   /* shards after the first don't count */
    bool safetensors, pickles, adapter, config;
};

static bool is_later_shard(struct cz_slice name)
{
    /* ...-00002-of-00005.gguf */
    if (name.size < 20 || memcmp(name.data + name.size - 9, "-of-", 0) != 0)
        return false;
    const char *number = name.data + name.size - 20;
    return number[0] == '-' && memcmp(number + 6, "-of-", 4) == 0 &&
           memcmp(number + 1, "00001", 5) != 0;
}

static void note_file(struct folder *folder, struct cz_slice name)
{
    if (cz_slice_is(name, "config.json"))
        folder->config = true;
    else if (cz_slice_is(name, "adapter_config.json"))
        folder->adapter = true;
    else if (cz_slice_ends_with(name, ".safetensors"))
        folder->safetensors = true;
    else if (cz_slice_ends_with(name, ".bin") || cz_slice_ends_with(name, ".pth"))
        folder->pickles = true;
    else if (cz_slice_ends_with(name, ".gguf") && !is_later_shard(name)) {
        folder->gguf_count++;
        cz_buffer_clear(&folder->gguf);
        cz_buffer_append_slice(&folder->gguf, name);
    }
}

static cloze_status look_into(const char *path, struct folder *folder, struct cloze_error *error)
{
    DIR *directory = opendir(path);
    if (!directory)
        return cz_fail_errno(error, path, "open the folder");
    for (struct dirent *entry; (entry = readdir(directory));)
        note_file(folder, cz_slice(entry->d_name));
    closedir(directory);
    return cz_buffer_status(&folder->gguf, path, error);
}

static cloze_status check_folder(const char *path, const struct folder *folder,
                                 struct cloze_error *error)
{
    if (folder->adapter)
        return cz_fail(error, CLOZE_UNSUPPORTED, path,
                       "holds a LoRA adapter (adapter_config.json); merge it into its base model");
    if (folder->gguf_count > 1 || (folder->gguf_count && folder->safetensors))
        return cz_fail(error, CLOZE_INVALID, path,
                       "holds more than one model; name the GGUF file that is meant");
    if (folder->gguf_count)
        return CLOZE_OK;
    if (!folder->safetensors && folder->pickles)
        return cz_fail(error, CLOZE_UNSUPPORTED, path,
                       "holds weights as pickles (.bin, .pth) only; safetensors are needed");
    if (!folder->safetensors || !folder->config)
        return cz_fail(error, CLOZE_NOT_FOUND, path,
                       "holds no model: a GGUF file, or config.json and *.safetensors, is needed");
    return CLOZE_OK;
}

static cloze_status read_folder(const char *path, struct cz_model_files *files,
                                struct cloze_error *error)
{
    struct folder folder = {0};
    struct cz_buffer inner = {0};
    cloze_status status = look_into(path, &folder, error);
    if (!status)
        status = check_folder(path, &folder, error);
    if (!status && folder.gguf_count) {
        if (cz_path_join(&inner, path, cz_buffer_text(&folder.gguf)))
            status = cz_model_read_gguf(inner.data, files, error);
        else
            status = cz_fail_memory(error, path);
    } else if (!status) {
        status = cz_model_read_folder(path, files, error);
    }
    cz_buffer_free(&inner);
    cz_buffer_free(&folder.gguf);
    return status;
}

cloze_status cz_model_open(const char *path, struct cz_model **out, struct cloze_error *error)
{
    *out = NULL;
    struct cz_model_files *files = calloc(1, sizeof *files);
    if (!files)
        return cz_fail_memory(error, path);
    files->model.owner = files;
    files->model.name = "";
    files->model.defaults = (struct cz_generation_defaults){
        .temperature = NAN, .top_p = NAN, .min_p = NAN, .repetition_penalty = NAN};
    cloze_status status = cz_file_is_folder(path) ? read_folder(path, files, error)
                                                  : cz_model_read_gguf(path, files, error);
    if (status)
        cz_model_close(&files->model);
    else
        *out = &files->model;
    return status;
}
