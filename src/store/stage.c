/* stage.c - staging folders, publishing, removing, collecting. */
#include "store/stage.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STAGE_ATTEMPTS = 100 };

/* ---- Opening ---- */

static cloze_status join(char **out, const char *folder, const char *name,
                         struct cloze_error *error)
{
    struct cz_buffer path = {0};
    cz_path_join(&path, folder, name);
    *out = cz_buffer_take(&path);
    return *out ? CLOZE_OK : cz_fail_memory(error, folder);
}

/* Whether the lock file that we hold is still the one below its name: a collection may have
 * removed the folder between our creating and our locking it. */
static bool lock_is_in_place(int descriptor, const char *path)
{
    struct stat held, named;
    return fstat(descriptor, &held) == 0 && stat(path, &named) == 0 &&
           held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

/* Makes a new folder and locks it; CLOZE_BUSY when a collection was faster. */
static cloze_status try_open(const struct cz_store *store, struct cz_stage *stage,
                             struct cloze_error *error)
{
    uint64_t random = 0;
    char name[32], *lock = NULL;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        random = cz_clock_ns() ^ (uint64_t)getpid() << 40;
    snprintf(name, sizeof name, "%016" PRIx64, random);
    cloze_status status = join(&stage->folder, store->staging, name, error);
    if (!status)
        status = join(&stage->content, stage->folder, "content", error);
    if (!status)
        status = join(&lock, stage->folder, "lock", error);
    if (!status && mkdir(stage->folder, 0777) != 0)
        status = cz_fail_errno(error, stage->folder, "create the folder");
    if (!status) {
        status = cz_file_lock(lock, false, &stage->lock, error);
        if (status == CLOZE_NOT_FOUND || (!status && !lock_is_in_place(stage->lock, lock)))
            status = CLOZE_BUSY;
    }
    if (!status && mkdir(stage->content, 0777) != 0)
        status = cz_fail_errno(error, stage->content, "create the folder");
    free(lock);
    return status;
}

cloze_status cz_stage_open(const struct cz_store *store, struct cz_stage *stage,
                           struct cloze_error *error)
{
    *stage = (struct cz_stage){.lock = -1};
    cloze_status status = cz_file_make_folders(store->staging, error);
    for (int attempt = 0; !status && attempt < STAGE_ATTEMPTS; attempt++) {
        status = try_open(store, stage, error);
        if (status != CLOZE_BUSY)
            break;
        cz_stage_close(stage);
        status = CLOZE_OK;
    }
    if (!status && stage->lock < 0)
        status = cz_fail(error, CLOZE_BUSY, store->staging, "no staging folder could be locked");
    if (status)
        cz_stage_close(stage);
    return status;
}

void cz_stage_close(struct cz_stage *stage)
{
    if (stage->folder && stage->lock >= 0)
        cz_file_remove_tree(stage->folder, NULL);
    if (stage->lock >= 0)
        close(stage->lock);
    free(stage->folder);
    free(stage->content);
    *stage = (struct cz_stage){.lock = -1};
}

/* ---- Publishing ---- */

static _Thread_local struct cloze_error *sync_error; /* nftw has no context */

static int sync_entry(const char *path, const struct stat *info, int kind, struct FTW *position)
{
    (void)info, (void)position;
    if (kind != FTW_F && kind != FTW_DP)
        return 0;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    int result = descriptor < 0 || fsync(descriptor) != 0;
    if (result)
        cz_fail_errno(sync_error, path, "write to the disk");
    if (descriptor >= 0)
        close(descriptor);
    return result;
}

static cloze_status sync_tree(const char *path, struct cloze_error *error)
{
    struct cloze_error unused;
    sync_error = error ? error : &unused;
    sync_error->code = CLOZE_OK;
    if (nftw(path, sync_entry, 32, FTW_DEPTH | FTW_PHYS) == 0)
        return CLOZE_OK;
    return sync_error->code ? sync_error->code
                            : cz_fail_errno(sync_error, path, "write to the disk");
}

/* Renames a folder to a name that must be free, and makes both parents durable. File systems
 * without RENAME_NOREPLACE fall back to rename(2), which never replaces a folder that holds
 * something. */
static cloze_status move_folder(const char *from, const char *to, const char *from_parent,
                                const char *to_parent, struct cloze_error *error)
{
    int failed = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    if (failed && (errno == EINVAL || errno == ENOSYS))
        failed = rename(from, to);
    if (failed)
        return cz_fail_errno(error, to, "move a folder to");
    cloze_status status = cz_file_fsync_folder(to_parent, error);
    return status ? status : cz_file_fsync_folder(from_parent, error);
}

static cloze_status write_file(const char *path, const char *text, struct cloze_error *error)
{
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor < 0)
        return cz_fail_errno(error, path, "create the file");
    cloze_status status = cz_file_write_all(descriptor, cz_slice(text), path, error);
    if (!status && fsync(descriptor) != 0)
        status = cz_fail_errno(error, path, "write to the disk");
    close(descriptor);
    return status;
}

/* Writes models/<name>/latest: prepared in `workspace`, a folder of the staging area, then renamed,
 * so that no reader sees half of it and no leftover stays among the models. */
static cloze_status set_latest(const char *workspace, const char *name_folder, const char *version,
                               struct cloze_error *error)
{
    char *prepared = NULL, *final = NULL;
    cloze_status status = join(&prepared, workspace, "latest", error);
    if (!status)
        status = join(&final, name_folder, "latest", error);
    if (!status)
        status = write_file(prepared, version, error);
    if (!status && rename(prepared, final) != 0)
        status = cz_fail_errno(error, final, "rename into place");
    if (!status)
        status = cz_file_fsync_folder(name_folder, error);
    free(prepared);
    free(final);
    return status;
}

/* The first version of a name: the folder models/<name> itself, with the version and `latest` in
 * it, is built in the stage and appears at once. */
static cloze_status publish_name(const struct cz_store *store, struct cz_stage *stage,
                                 const char *name_folder, const char *version,
                                 struct cloze_error *error)
{
    char *folder = NULL, *inner = NULL;
    cloze_status status = join(&folder, stage->folder, "name", error);
    if (!status)
        status = join(&inner, folder, version, error);
    if (!status && mkdir(folder, 0777) != 0)
        status = cz_fail_errno(error, folder, "create the folder");
    if (!status)
        status = move_folder(stage->content, inner, stage->folder, folder, error);
    if (!status)
        status = set_latest(stage->folder, folder, version, error);
    if (!status)
        status = move_folder(folder, name_folder, stage->folder, store->models, error);
    free(folder);
    free(inner);
    return status;
}

/* Another version of a name that is there. */
static cloze_status publish_version(const struct cz_store *store, struct cz_stage *stage,
                                    const char *name_folder, const struct cz_tag *tag,
                                    uint64_t creation_us, struct cloze_error *error)
{
    struct cz_store_entry newest;
    char *final = NULL;
    bool is_newest = cz_store_find(store, tag->name, &newest, NULL) != CLOZE_OK ||
                     newest.creation_us <= creation_us;
    cz_store_entry_free(&newest);
    cloze_status status = join(&final, name_folder, tag->version, error);
    if (!status)
        status = move_folder(stage->content, final, stage->folder, name_folder, error);
    if (!status && is_newest)
        status = set_latest(stage->folder, name_folder, tag->version, error);
    free(final);
    return status;
}

static cloze_status lock_store(const struct cz_store *store, int *lock, struct cloze_error *error)
{
    char *path;
    *lock = -1;
    cloze_status status = cz_file_make_folders(store->staging, error);
    if (!status)
        status = join(&path, store->staging, "lock", error);
    if (!status) {
        status = cz_file_lock(path, true, lock, error);
        free(path);
    }
    return status;
}

cloze_status cz_stage_publish(const struct cz_store *store, struct cz_stage *stage,
                              const struct cz_tag *tag, uint64_t creation_us,
                              struct cloze_error *error)
{
    int lock = -1;
    char *name_folder = NULL;
    char text[CZ_TAG_TEXT];
    cloze_status status = sync_tree(stage->content, error);
    if (!status)
        status = cz_file_make_folders(store->models, error);
    if (!status)
        status = join(&name_folder, store->models, tag->name, error);
    if (!status)
        status = lock_store(store, &lock, error);
    if (!status && !cz_file_exists(name_folder))
        status = publish_name(store, stage, name_folder, tag->version, error);
    else if (!status)
        status = publish_version(store, stage, name_folder, tag, creation_us, error);
    if (status == CLOZE_EXISTS)
        status = cz_fail(error, CLOZE_EXISTS, cz_tag_text(tag, text),
                         "already exists in the store %s", store->models);
    if (lock >= 0)
        close(lock);
    free(name_folder);
    return status;
}

/* ---- Removing ---- */

/* The newest version but `tag`; false when it is the only one. */
static bool newest_other(const struct cz_store *store, const struct cz_tag *tag,
                         char version[CZ_TAG_PART + 1])
{
    struct cz_store_list list;
    bool found = false;
    if (cz_store_list(store, tag->name, &list, NULL) != CLOZE_OK)
        return false;
    for (size_t i = 0; !found && i < list.count; i++) {
        found = strcmp(list.entries[i].tag.version, tag->version) != 0;
        if (found)
            snprintf(version, CZ_TAG_PART + 1, "%s", list.entries[i].tag.version);
    }
    cz_store_list_free(&list);
    return found;
}

/* Moves the version, or the whole name with its last version, into the stage. */
static cloze_status take_out(const struct cz_store *store, struct cz_stage *stage,
                             const struct cz_tag *tag, struct cloze_error *error)
{
    char *name_folder = NULL, *version = NULL, *trash = NULL;
    char newest[CZ_TAG_PART + 1];
    cloze_status status = join(&name_folder, store->models, tag->name, error);
    if (!status)
        status = join(&version, name_folder, tag->version, error);
    if (!status)
        status = join(&trash, stage->folder, "trash", error);
    if (!status && !newest_other(store, tag, newest))
        status = move_folder(name_folder, trash, store->models, stage->folder, error);
    else if (!status) {
        status = move_folder(version, trash, name_folder, stage->folder, error);
        if (!status)
            status = set_latest(stage->folder, name_folder, newest, error);
    }
    free(name_folder);
    free(version);
    free(trash);
    return status;
}

cloze_status cz_store_remove(const struct cz_store *store, const struct cz_tag *tag,
                             struct cloze_error *error)
{
    struct cz_stage stage;
    int lock = -1;
    cloze_status status = cz_stage_open(store, &stage, error);
    if (!status)
        status = lock_store(store, &lock, error);
    if (!status)
        status = take_out(store, &stage, tag, error);
    if (lock >= 0)
        close(lock);
    cz_stage_close(&stage);
    return status;
}

/* ---- Collecting ---- */

static _Thread_local uint64_t freed_size;

static int add_freed(const char *path, const struct stat *info, int kind, struct FTW *position)
{
    (void)path, (void)position;
    if (kind == FTW_F && info->st_nlink == 1)
        freed_size += (uint64_t)info->st_size;
    return 0;
}

/* Removes the folder `name` of the staging area when nobody holds its lock. */
static cloze_status collect_stage(const struct cz_store *store, const char *name,
                                  struct cz_collection *collection, struct cloze_error *error)
{
    char *folder = NULL, *lock = NULL;
    int descriptor = -1;
    cloze_status status = join(&folder, store->staging, name, error);
    if (!status)
        status = join(&lock, folder, "lock", error);
    if (!status && cz_file_lock(lock, false, &descriptor, NULL) == CLOZE_OK) {
        freed_size = 0;
        nftw(folder, add_freed, 32, FTW_PHYS);
        status = cz_file_remove_tree(folder, error);
        collection->stages += !status;
        collection->size_bytes += status ? 0 : freed_size;
    }
    if (descriptor >= 0)
        close(descriptor);
    free(folder);
    free(lock);
    return status;
}

/* Removes a download when nobody holds its lock: downloads are locked themselves. */
static cloze_status collect_download(const struct cz_store *store, const char *name,
                                     struct cz_collection *collection, struct cloze_error *error)
{
    char *path = NULL;
    int descriptor = -1;
    struct stat info;
    cloze_status status = join(&path, store->downloads, name, error);
    if (!status && stat(path, &info) == 0 &&
        cz_file_lock(path, false, &descriptor, NULL) == CLOZE_OK) {
        if (unlink(path) != 0)
            status = cz_fail_errno(error, path, "remove");
        collection->downloads += !status;
        collection->size_bytes += status || info.st_nlink > 1 ? 0 : (uint64_t)info.st_size;
    }
    if (descriptor >= 0)
        close(descriptor);
    free(path);
    return status;
}

typedef cloze_status item_collector(const struct cz_store *store, const char *name,
                                    struct cz_collection *collection, struct cloze_error *error);

static cloze_status collect_folder(const struct cz_store *store, const char *path, int kind,
                                   item_collector *collect, struct cz_collection *collection,
                                   struct cloze_error *error)
{
    DIR *folder = opendir(path);
    if (!folder)
        return errno == ENOENT ? CLOZE_OK : cz_fail_errno(error, path, "list the folder");
    cloze_status status = CLOZE_OK;
    struct stat info;
    for (struct dirent *item; !status && (item = readdir(folder));) {
        if (item->d_name[0] != '.' &&
            fstatat(dirfd(folder), item->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
            (int)(info.st_mode & S_IFMT) == kind)
            status = collect(store, item->d_name, collection, error);
    }
    closedir(folder);
    return status;
}

cloze_status cz_store_collect_stages(const struct cz_store *store, struct cz_collection *collection,
                                     struct cloze_error *error)
{
    return collect_folder(store, store->staging, S_IFDIR, collect_stage, collection, error);
}

cloze_status cz_store_collect(const struct cz_store *store, struct cz_collection *collection,
                              struct cloze_error *error)
{
    *collection = (struct cz_collection){0};
    cloze_status status = cz_store_collect_stages(store, collection, error);
    if (!status)
        status =
            collect_folder(store, store->downloads, S_IFREG, collect_download, collection, error);
    return status;
}
