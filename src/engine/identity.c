/* identity.c - lists a source's weight files, and remembers the digest of their content. */
#include "engine/identity.h"

#include "base/file.h"
#include "base/log.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

struct file_list {
    struct cz_buffer folder; /* of all files */
    char **names;            /* sorted; each owned */
    size_t count;
};

static void file_list_free(struct file_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i]);
    free(list->names);
    cz_buffer_free(&list->folder);
}

static cloze_status add_file(struct file_list *list, const char *name, struct cloze_error *error)
{
    if (list->count == CZ_SOURCE_FILES_MAXIMUM)
        return cz_fail(error, CLOZE_LIMIT, cz_buffer_text(&list->folder),
                       "holds more than %d weight files", CZ_SOURCE_FILES_MAXIMUM);
    char **names = realloc(list->names, (list->count + 1) * sizeof *names);
    if (names)
        list->names = names;
    char *copy = names ? strdup(name) : NULL;
    if (!copy)
        return cz_fail_memory(error, "a list of weight files");
    list->names[list->count++] = copy;
    return CLOZE_OK;
}

/* "model-00002-of-00009.gguf": where the shard's number begins; NULL for a file without shards. */
static const char *shard_number(const char *name)
{
    enum { TAIL = sizeof "00001-of-00001.gguf" - 1 };
    size_t size = strlen(name);
    const char *tail = size > TAIL ? name + size - TAIL : "";
    for (int i = 0; i < TAIL && *tail; i++) {
        const char *pattern = "#####-of-#####.gguf";
        bool digit = tail[i] >= '0' && tail[i] <= '9';
        if (pattern[i] == '#' ? !digit : tail[i] != pattern[i])
            return NULL;
    }
    return *tail ? tail : NULL;
}

static bool is_weight_file(const char *name, const char *shard_of)
{
    if (shard_of) {
        const char *number = shard_number(name);
        size_t stem = (size_t)(shard_number(shard_of) - shard_of);
        return number && (size_t)(number - name) == stem && strncmp(name, shard_of, stem) == 0;
    }
    struct cz_slice slice = cz_slice(name);
    return cz_slice_ends_with(slice, ".safetensors") || cz_slice_ends_with(slice, ".gguf") ||
           cz_slice_is(slice, "config.json");
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static cloze_status list_folder(struct file_list *list, const char *shard_of,
                                struct cloze_error *error)
{
    const char *folder = cz_buffer_text(&list->folder);
    DIR *handle = opendir(folder);
    if (!handle)
        return cz_fail_errno(error, folder, "list the folder");
    cloze_status status = CLOZE_OK;
    for (struct dirent *entry; !status && (entry = readdir(handle));)
        if (is_weight_file(entry->d_name, shard_of))
            status = add_file(list, entry->d_name, error);
    closedir(handle);
    if (!status && !list->count)
        return cz_fail(error, CLOZE_NOT_FOUND, folder, "holds no weight files");
    if (!status)
        qsort(list->names, list->count, sizeof *list->names, compare_names);
    return status;
}

static cloze_status list_source(const char *source, struct file_list *list,
                                struct cloze_error *error)
{
    if (cz_file_is_folder(source)) {
        cz_buffer_append_text(&list->folder, source);
        return list_folder(list, NULL, error);
    }
    const char *name = cz_path_name(source);
    cz_buffer_append(&list->folder, source, (size_t)(name - source));
    if (name == source)
        cz_buffer_append_text(&list->folder, ".");
    if (shard_number(name))
        return list_folder(list, name, error);
    return add_file(list, name, error);
}

/* What stat says of all files, digested. */
static cloze_status stat_key(const struct file_list *list, char key[CZ_SHA256_TEXT + 1],
                             struct cloze_error *error)
{
    struct cz_sha256 digest;
    struct cz_buffer text = {0};
    cloze_status status = CLOZE_OK;
    for (size_t i = 0; i < list->count && !status; i++) {
        struct cz_buffer path = {0};
        struct stat info = {0};
        const char *joined = cz_path_join(&path, cz_buffer_text(&list->folder), list->names[i]);
        if (!joined || stat(joined, &info) != 0)
            status = cz_fail_errno(error, joined ? joined : list->names[i], "look at");
        cz_buffer_printf(&text, "%s %ju %ju %jd %jd.%ld %jd.%ld\n", list->names[i],
                         (uintmax_t)info.st_dev, (uintmax_t)info.st_ino, (intmax_t)info.st_size,
                         (intmax_t)info.st_mtim.tv_sec, info.st_mtim.tv_nsec,
                         (intmax_t)info.st_ctim.tv_sec, info.st_ctim.tv_nsec);
        cz_buffer_free(&path);
    }
    if (!status)
        status = cz_buffer_status(&text, "file times", error);
    if (!status)
        status = cz_sha256_start(&digest, error);
    if (!status) {
        cz_sha256_update(&digest, text.data, text.size);
        cz_sha256_finish(&digest, key);
    }
    cz_buffer_free(&text);
    return status;
}

/* The digest over lines "name sha256-of-content". */
static cloze_status hash_content(const struct file_list *list, cz_known_digest *known,
                                 void *context, char digest[CZ_SHA256_TEXT + 1],
                                 struct cloze_error *error)
{
    struct cz_sha256 whole;
    cloze_status status = cz_sha256_start(&whole, error);
    if (status)
        return status;
    for (size_t i = 0; i < list->count && !status; i++) {
        struct cz_buffer path = {0};
        char content[CZ_SHA256_TEXT + 1] = "";
        const char *joined = cz_path_join(&path, cz_buffer_text(&list->folder), list->names[i]);
        if (!joined)
            status = cz_fail_memory(error, "a path");
        else if (!known || !known(context, list->names[i], content))
            status = cz_sha256_file(joined, content, error);
        cz_sha256_update(&whole, list->names[i], strlen(list->names[i]) + 1);
        cz_sha256_update(&whole, content, CZ_SHA256_TEXT);
        cz_buffer_free(&path);
    }
    cz_sha256_finish(&whole, digest);
    return status;
}

static bool read_remembered(const char *path, char digest[CZ_SHA256_TEXT + 1])
{
    struct cz_buffer content = {.maximum = 4096};
    bool good = cz_file_read(path, &content, NULL) == CLOZE_OK && content.size == CZ_SHA256_TEXT &&
                strspn(content.data, "0123456789abcdef") == CZ_SHA256_TEXT;
    if (good)
        memcpy(digest, content.data, CZ_SHA256_TEXT + 1);
    cz_buffer_free(&content);
    return good;
}

static void remember(const char *cache_folder, const char *path, const char *digest)
{
    struct cz_buffer folder = {0};
    struct cloze_error error = {0};
    const char *name = cz_path_join(&folder, cache_folder, "identity");
    if (!name || cz_file_make_folders(name, &error) ||
        cz_file_write_atomic(path, cz_slice(digest), &error))
        cz_log_error(CZ_LOG_WARNING, "the model's digest could not be remembered", &error);
    cz_buffer_free(&folder);
}

cloze_status cz_source_digest(const char *source, const char *cache_folder,
                              char digest[CZ_SHA256_TEXT + 1], struct cloze_error *error)
{
    return cz_source_digest_known(source, cache_folder, NULL, NULL, digest, error);
}

cloze_status cz_source_digest_known(const char *source, const char *cache_folder,
                                    cz_known_digest *known, void *context,
                                    char digest[CZ_SHA256_TEXT + 1], struct cloze_error *error)
{
    struct file_list list = {0};
    struct cz_buffer path = {0};
    char key[CZ_SHA256_TEXT + 1];
    cloze_status status = list_source(source, &list, error);
    if (!status)
        status = stat_key(&list, key, error);
    if (status)
        goto out;
    cz_buffer_printf(&path, "%s/identity/%s", cache_folder, key);
    status = cz_buffer_status(&path, "a path", error);
    if (status || read_remembered(path.data, digest))
        goto out;
    status = hash_content(&list, known, context, digest, error);
    if (!status)
        remember(cache_folder, path.data, digest);
out:
    cz_buffer_free(&path);
    file_list_free(&list);
    return status;
}
