/* hub_cache.c - finding models in the Hugging Face cache. */
#include "store/hub_cache.h"

#include "base/file.h"
#include "store/hub_http.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { CACHE_FILES = 10000, CACHE_DEPTH = 4 };

/* "<cache>/models--org--name/<kind>/<leaf>" */
static const char *cache_path(struct cz_buffer *path, const char *id, const char *kind,
                              const char *leaf)
{
    const char *cache = getenv("HF_HUB_CACHE");
    cz_buffer_clear(path);
    if (cache && *cache) {
        cz_buffer_append_text(path, cache);
    } else {
        cz_hub_home(path);
        cz_buffer_append_text(path, "/hub");
    }
    cz_buffer_append_text(path, "/models--");
    for (; *id; id++) {
        if (*id == '/')
            cz_buffer_append_text(path, "--");
        else
            cz_buffer_append_byte(path, *id);
    }
    cz_buffer_printf(path, "/%s/%s", kind, leaf);
    return path->failed ? NULL : path->data;
}

const char *cz_hub_cache_snapshot(struct cz_buffer *path, const char *id, const char *commit)
{
    return cache_path(path, id, "snapshots", commit);
}

static bool is_hexadecimal(const char *text, size_t size)
{
    return strlen(text) == size && strspn(text, "0123456789abcdef") == size;
}

/* The commit that the revision stands for, in the arena; NULL when the cache does not know. */
static const char *find_commit(struct cz_arena *arena, const struct cz_hub_address *address)
{
    struct cz_buffer path = {0}, text = {.maximum = 256};
    const char *commit = NULL;
    if (is_hexadecimal(address->revision, CZ_HUB_COMMIT))
        commit = cz_arena_text(arena, cz_slice(address->revision));
    else if (cache_path(&path, address->id, "refs", address->revision) &&
             cz_file_read(path.data, &text, NULL) == CLOZE_OK) {
        size_t size = strcspn(cz_buffer_text(&text), "\r\n ");
        commit = cz_arena_text(arena, cz_slice_of(cz_buffer_text(&text), size));
    }
    cz_buffer_free(&path);
    cz_buffer_free(&text);
    return commit && is_hexadecimal(commit, CZ_HUB_COMMIT) ? commit : NULL;
}

struct walk {
    struct cz_arena *arena;
    struct cz_hub_listing *listing;
    struct cloze_error *error;
};

static cloze_status add_file(struct walk *walk, const char *path, const char *name, uint64_t size)
{
    if (walk->listing->count == CACHE_FILES)
        return cz_fail(walk->error, CLOZE_LIMIT, path, "more than %d files", CACHE_FILES);
    struct cz_hub_file *file = &walk->listing->files[walk->listing->count++];
    char *real = realpath(path, NULL);
    const char *blob = real ? cz_path_name(real) : "";
    *file = (struct cz_hub_file){.path = cz_arena_text(walk->arena, cz_slice(name)), .size = size};
    if (is_hexadecimal(blob, 64))
        file->sha256 = cz_arena_text(walk->arena, cz_slice(blob));
    else if (is_hexadecimal(blob, 40))
        file->sha1 = cz_arena_text(walk->arena, cz_slice(blob));
    free(real);
    return file->path ? CLOZE_OK : cz_fail_memory(walk->error, path);
}

static cloze_status walk_folder(struct walk *walk, const char *folder, const char *prefix,
                                unsigned depth)
{
    struct dirent **items;
    int count = scandir(folder, &items, NULL, alphasort);
    if (count < 0)
        return cz_fail_errno(walk->error, folder, "list the folder");
    cloze_status status = CLOZE_OK;
    for (int i = 0; i < count; i++) {
        struct cz_buffer path = {0}, name = {0};
        struct stat info;
        const char *item = items[i]->d_name;
        if (!status && strcmp(item, ".") != 0 && strcmp(item, "..") != 0) {
            if (!cz_path_join(&path, folder, item) || !cz_path_join(&name, prefix, item))
                status = cz_fail_memory(walk->error, folder);
            else if (stat(path.data, &info) != 0)
                status = cz_fail_errno(walk->error, path.data, "look at");
            else if (S_ISREG(info.st_mode))
                status = add_file(walk, path.data, name.data, (uint64_t)info.st_size);
            else if (S_ISDIR(info.st_mode) && depth)
                status = walk_folder(walk, path.data, name.data, depth - 1);
        }
        cz_buffer_free(&path);
        cz_buffer_free(&name);
        free(items[i]);
    }
    free(items);
    return status;
}

cloze_status cz_hub_cache_listing(struct cz_arena *arena, const struct cz_hub_address *address,
                                  struct cz_hub_listing *listing, struct cloze_error *error)
{
    struct cz_buffer path = {0};
    struct walk walk = {arena, listing, error};
    *listing = (struct cz_hub_listing){.commit = find_commit(arena, address)};
    if (listing->commit)
        cz_hub_cache_snapshot(&path, address->id, listing->commit);
    cloze_status status = CLOZE_OK;
    if (!listing->commit || !cz_file_is_folder(cz_buffer_text(&path)))
        status = cz_fail(error, CLOZE_NOT_FOUND, address->id,
                         "HF_HUB_OFFLINE is set, and the local Hugging Face cache does not have "
                         "revision %s of it",
                         address->revision);
    if (!status) {
        listing->files = CZ_ARENA_ARRAY(arena, struct cz_hub_file, CACHE_FILES);
        status = listing->files ? walk_folder(&walk, path.data, "", CACHE_DEPTH)
                                : cz_fail_memory(error, address->id);
    }
    cz_buffer_free(&path);
    return status;
}
