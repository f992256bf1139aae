/* store.c - opening the store, listing it, finding a model in it. Readers take no lock: what they
 * see was published whole, and what vanishes under them is skipped. */
#include "store/store.h"

#include "base/file.h"
#include "base/log.h"
#include "store/checksum.h"
#include "store/manifest.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A copy of "folder/name"; NULL when out of memory. */
static char *path_of(const char *folder, const char *name)
{
    struct cz_buffer path = {0};
    cz_path_join(&path, folder, name);
    return cz_buffer_take(&path);
}

static char *home_from_environment(void)
{
    static const char *const names[] = {"CLOZE_HOME", "BENTOML_HOME"};
    for (size_t i = 0; i < 2; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return strdup(value);
    }
    const char *home = getenv("HOME");
    return home && *home ? path_of(home, "bentoml") : NULL;
}

cloze_status cz_store_open(const char *home, struct cz_store *store, struct cloze_error *error)
{
    *store = (struct cz_store){0};
    char *name = home ? strdup(home) : home_from_environment();
    if (!name && !home)
        return cz_fail(error, CLOZE_NOT_FOUND, "CLOZE_HOME",
                       "neither CLOZE_HOME nor HOME says where the model store is");
    if (name && name[0] != '/') {
        char *current = getcwd(NULL, 0);
        store->home = current ? path_of(current, name) : NULL;
        free(current);
        free(name);
    } else {
        store->home = name;
    }
    if (store->home) {
        store->models = path_of(store->home, "models");
        store->staging = path_of(store->home, "staging");
        store->cache = path_of(store->home, "cache");
        store->downloads = path_of(store->home, "cache/downloads");
    }
    if (store->models && store->staging && store->cache && store->downloads)
        return CLOZE_OK;
    cz_store_close(store);
    return cz_fail_memory(error, "the model store");
}

void cz_store_close(struct cz_store *store)
{
    free(store->home);
    free(store->models);
    free(store->staging);
    free(store->cache);
    free(store->downloads);
    *store = (struct cz_store){0};
}

void cz_store_entry_free(struct cz_store_entry *entry)
{
    free(entry->path);
    free(entry->module);
    free(entry->damage);
    *entry = (struct cz_store_entry){0};
}

void cz_store_list_free(struct cz_store_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        cz_store_entry_free(&list->entries[i]);
    free(list->entries);
    *list = (struct cz_store_list){0};
}

/* ---- One model ---- */

static _Thread_local uint64_t tree_size; /* nftw has no context */

static int add_size(const char *path, const struct stat *status, int kind, struct FTW *position)
{
    (void)path, (void)position;
    if (kind == FTW_F)
        tree_size += (uint64_t)status->st_size;
    return 0;
}

static uint64_t size_of_tree(const char *path)
{
    tree_size = 0;
    nftw(path, add_size, 32, FTW_PHYS);
    return tree_size;
}

/* What is wrong with the model in entry->path, in *error; CLOZE_OK when nothing is. */
static cloze_status read_entry(struct cz_store_entry *entry, struct cloze_error *error)
{
    struct cz_arena arena = {0};
    struct cz_manifest manifest;
    cloze_status status = cz_manifest_read(&arena, entry->path, &manifest, error);
    if (status == CLOZE_NOT_FOUND)
        status = cz_fail(error, CLOZE_CORRUPT, entry->path, "has no %s", CZ_MANIFEST_FILE);
    char wanted[CZ_TAG_TEXT], found[CZ_TAG_TEXT];
    if (!status && strcmp(cz_tag_text(&entry->tag, wanted), cz_tag_text(&manifest.tag, found)) != 0)
        status = cz_fail(error, CLOZE_CORRUPT, entry->path, "its %s is that of %s",
                         CZ_MANIFEST_FILE, found);
    if (!status)
        status = cz_checksums_check_presence(entry->path, error);
    if (!status) {
        entry->creation_us = manifest.creation_us;
        entry->module =
            strndup(manifest.module.data ? manifest.module.data : "", manifest.module.size);
        if (!entry->module)
            status = cz_fail_memory(error, "the model store");
    }
    cz_arena_free(&arena);
    return status;
}

/* Fills *entry for an existing version. Damage is no failure here; being out of memory is. */
static cloze_status load_entry(const struct cz_store *store, const struct cz_tag *tag,
                               struct cz_store_entry *entry, struct cloze_error *error)
{
    struct cloze_error damage = {0};
    struct cz_buffer relative = {0};
    *entry = (struct cz_store_entry){.tag = *tag};
    cz_buffer_printf(&relative, "%s/%s", tag->name, tag->version);
    entry->path = path_of(store->models, cz_buffer_text(&relative));
    cz_buffer_free(&relative);
    if (!entry->path)
        return cz_fail_memory(error, "the model store");
    entry->size_bytes = size_of_tree(entry->path);
    if (read_entry(entry, &damage) == CLOZE_OK)
        return CLOZE_OK;
    char text[sizeof damage.where + sizeof damage.message + 4];
    snprintf(text, sizeof text, "%s: %s", damage.where, damage.message);
    entry->damage = strdup(text);
    if (!entry->module)
        entry->module = strdup("");
    return entry->damage && entry->module ? CLOZE_OK : cz_fail_memory(error, "the model store");
}

/* ---- Listing ---- */

/* Calls `visit` for every folder in `path` whose name can be part of a tag. A missing folder has
 * none. Stops at the first failure. */
typedef cloze_status folder_visitor(void *context, const char *name, struct cloze_error *error);

static cloze_status each_folder(const char *path, folder_visitor *visit, void *context,
                                struct cloze_error *error)
{
    DIR *folder = opendir(path);
    if (!folder)
        return errno == ENOENT || errno == ENOTDIR ? CLOZE_OK
                                                   : cz_fail_errno(error, path, "list the folder");
    cloze_status status = CLOZE_OK;
    struct stat info;
    for (struct dirent *item; !status && (item = readdir(folder));) {
        if (cz_tag_part_is_valid(cz_slice(item->d_name)) &&
            fstatat(dirfd(folder), item->d_name, &info, 0) == 0 && S_ISDIR(info.st_mode))
            status = visit(context, item->d_name, error);
    }
    closedir(folder);
    return status;
}

struct collector {
    const struct cz_store *store;
    struct cz_store_list *list;
    struct cz_tag tag; /* the name under way */
};

static cloze_status collect_version(void *context, const char *version, struct cloze_error *error)
{
    struct collector *collector = context;
    struct cz_store_list *list = collector->list;
    struct cz_store_entry *grown =
        reallocarray(list->entries, list->count + 1, sizeof *list->entries);
    if (!grown)
        return cz_fail_memory(error, "the list of models");
    list->entries = grown;
    snprintf(collector->tag.version, sizeof collector->tag.version, "%s", version);
    struct cz_store_entry *entry = &grown[list->count];
    cloze_status status = load_entry(collector->store, &collector->tag, entry, error);
    if (status || (entry->damage && !cz_file_exists(entry->path)))
        cz_store_entry_free(entry); /* it was deleted while we looked */
    else
        list->count++;
    return status;
}

static cloze_status collect_name(void *context, const char *name, struct cloze_error *error)
{
    struct collector *collector = context;
    snprintf(collector->tag.name, sizeof collector->tag.name, "%s", name);
    char *path = path_of(collector->store->models, name);
    if (!path)
        return cz_fail_memory(error, "the list of models");
    cloze_status status = each_folder(path, collect_version, collector, error);
    free(path);
    return status;
}

/* Newest first; by tag where the times are equal. */
static int compare_entries(const void *a, const void *b)
{
    const struct cz_store_entry *left = a, *right = b;
    if (left->creation_us != right->creation_us)
        return left->creation_us < right->creation_us ? 1 : -1;
    int names = strcmp(left->tag.name, right->tag.name);
    return names ? names : strcmp(left->tag.version, right->tag.version);
}

cloze_status cz_store_list(const struct cz_store *store, const char *name,
                           struct cz_store_list *list, struct cloze_error *error)
{
    *list = (struct cz_store_list){0};
    struct collector collector = {.store = store, .list = list};
    struct cz_tag tag;
    cloze_status status = name ? cz_tag_parse(name, &tag, error) : CLOZE_OK;
    if (status)
        return status;
    if (!name)
        status = each_folder(store->models, collect_name, &collector, error);
    else
        status = collect_name(&collector, tag.name, error);
    size_t kept = 0;
    for (size_t i = 0; !status && i < list->count; i++) {
        if (name && tag.version[0] && strcmp(list->entries[i].tag.version, tag.version) != 0)
            cz_store_entry_free(&list->entries[i]);
        else
            list->entries[kept++] = list->entries[i];
    }
    if (!status)
        list->count = kept;
    if (!status && name && !kept)
        status =
            cz_fail(error, CLOZE_NOT_FOUND, store->models, "no models with name '%s' found", name);
    if (status)
        cz_store_list_free(list);
    else if (list->count)
        qsort(list->entries, list->count, sizeof *list->entries, compare_entries);
    return status;
}

/* ---- Finding ---- */

/* The version in the file `latest`, when it names an existing one. */
static bool read_latest(const struct cz_store *store, struct cz_tag *tag)
{
    struct cz_buffer path = {0}, text = {.maximum = 256};
    char *name = path_of(store->models, tag->name);
    bool found = false;
    if (name && cz_path_join(&path, name, "latest") &&
        cz_file_read(path.data, &text, NULL) == CLOZE_OK) {
        while (text.size && strchr(" \r\n", text.data[text.size - 1]))
            text.data[--text.size] = '\0';
        found = cz_tag_part_is_valid(cz_buffer_slice(&text)) &&
                cz_path_join(&path, name, text.data) && cz_file_is_folder(path.data);
        if (found)
            snprintf(tag->version, sizeof tag->version, "%s", text.data);
    }
    free(name);
    cz_buffer_free(&path);
    cz_buffer_free(&text);
    return found;
}

static cloze_status fail_no_name(const struct cz_store *store, const struct cz_tag *tag,
                                 struct cloze_error *error)
{
    return cz_fail(error, CLOZE_NOT_FOUND, store->models,
                   "no model with name '%s' is in the store; 'cloze models list' shows what is",
                   tag->name);
}

static cloze_status resolve_latest(const struct cz_store *store, struct cz_tag *tag,
                                   struct cloze_error *error)
{
    if (read_latest(store, tag))
        return CLOZE_OK;
    struct cz_store_list list;
    cloze_status status = cz_store_list(store, tag->name, &list, error);
    if (status == CLOZE_NOT_FOUND)
        return fail_no_name(store, tag, error);
    if (!status) {
        *tag = list.entries[0].tag;
        cz_store_list_free(&list);
    }
    return status;
}

struct matcher {
    const char *prefix;
    size_t count;
    char found[CZ_TAG_PART + 1]; /* the first match */
    struct cz_buffer all;        /* "v1, v2" */
    bool exact;
};

static cloze_status match_version(void *context, const char *version, struct cloze_error *error)
{
    (void)error;
    struct matcher *matcher = context;
    if (strncmp(version, matcher->prefix, strlen(matcher->prefix)) != 0)
        return CLOZE_OK;
    matcher->exact |= strcmp(version, matcher->prefix) == 0;
    if (matcher->count++ == 0)
        snprintf(matcher->found, sizeof matcher->found, "%s", version);
    cz_buffer_printf(&matcher->all, "%s%s", matcher->all.size ? ", " : "", version);
    return CLOZE_OK;
}

static cloze_status resolve_prefix(const struct cz_store *store, struct cz_tag *tag,
                                   struct cloze_error *error)
{
    struct matcher matcher = {.prefix = tag->version};
    char *path = path_of(store->models, tag->name);
    cloze_status status = path ? each_folder(path, match_version, &matcher, error)
                               : cz_fail_memory(error, "the model store");
    char text[CZ_TAG_TEXT];
    if (!status && matcher.count == 0 && !cz_file_is_folder(path))
        status = fail_no_name(store, tag, error);
    else if (!status && matcher.count == 0)
        status = cz_fail(error, CLOZE_NOT_FOUND, store->models,
                         "no model '%s' is in the store; 'cloze models list %s' shows the versions",
                         cz_tag_text(tag, text), tag->name);
    else if (!status && matcher.count > 1 && !matcher.exact)
        status = cz_fail(error, CLOZE_INVALID, cz_tag_text(tag, text),
                         "several versions begin so: %s", cz_buffer_text(&matcher.all));
    else if (!status && !matcher.exact)
        snprintf(tag->version, sizeof tag->version, "%s", matcher.found);
    cz_buffer_free(&matcher.all);
    free(path);
    return status;
}

cloze_status cz_store_find(const struct cz_store *store, const char *text,
                           struct cz_store_entry *entry, struct cloze_error *error)
{
    struct cz_tag tag;
    *entry = (struct cz_store_entry){0};
    cloze_status status = cz_tag_parse(text, &tag, error);
    if (status)
        return status;
    if (!tag.version[0] || strcmp(tag.version, "latest") == 0)
        status = resolve_latest(store, &tag, error);
    else
        status = resolve_prefix(store, &tag, error);
    if (!status)
        status = load_entry(store, &tag, entry, error);
    if (!status && entry->damage)
        status = cz_fail(error, CLOZE_CORRUPT, NULL, "the model is damaged: %s", entry->damage);
    return status;
}
