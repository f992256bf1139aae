/*
 * hub.c - importing from the Hugging Face Hub.
 *
 * A file comes from the local Hugging Face cache when that has it, else over the network into
 * <home>/cache/downloads/<digest>, where a broken download waits to be continued; from there it is
 * hard-linked into the stage. Every file is compared with the digest that the hub announces.
 */
#include "base/file.h"
#include "base/log.h"
#include "store/checksum.h"
#include "store/hub_cache.h"
#include "store/hub_http.h"
#include "store/selection.h"
#include "store/stage.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

struct hub_import {
    struct cz_import *import;
    struct cz_hub hub; /* closed when offline */
    struct cz_hub_address address;
    struct cz_hub_listing listing;
    struct cloze_error *error;
};

static bool is_offline(void)
{
    static const char *const yes[] = {"1", "on", "yes", "true"};
    const char *value = getenv("HF_HUB_OFFLINE");
    for (size_t i = 0; value && i < sizeof yes / sizeof *yes; i++) {
        if (strcasecmp(value, yes[i]) == 0)
            return true;
    }
    return false;
}

/* Percent-encodes all but letters, digits, - . _ ~ and, where asked, '/'. */
static void append_escaped(struct cz_buffer *out, const char *text, bool keep_slash)
{
    for (; *text; text++) {
        if (isalnum((unsigned char)*text) || strchr("-._~", *text) || (keep_slash && *text == '/'))
            cz_buffer_append_byte(out, *text);
        else
            cz_buffer_printf(out, "%%%02X", (unsigned char)*text);
    }
}

static cloze_status ask_hub(struct hub_import *hub)
{
    struct cz_buffer path = {0}, body = {.maximum = CZ_HUB_MAXIMUM_LISTING};
    cz_buffer_printf(&path, "/api/models/%s/revision/", hub->address.id);
    append_escaped(&path, hub->address.revision, false);
    cz_buffer_append_text(&path, "?blobs=true");
    cloze_status status = cz_hub_open(&hub->hub, hub->address.id, hub->error);
    if (!status)
        status = cz_hub_get(&hub->hub, cz_buffer_text(&path), &body, hub->error);
    /* The tree's strings point into the text, which must live as long. */
    char *text = status ? NULL : cz_arena_text(hub->import->arena, cz_buffer_slice(&body));
    if (!status && !text)
        status = cz_fail_memory(hub->error, "the hub's answer");
    if (!status)
        status = cz_hub_listing_parse(hub->import->arena, cz_slice_of(text, body.size),
                                      &hub->listing, hub->error);
    cz_buffer_free(&path);
    cz_buffer_free(&body);
    return status;
}

/* ---- One file ---- */

/* What the file is called in the model's folder: a GGUF's folder in the repository is dropped. */
static const char *name_in_store(const struct cz_hub_file *file)
{
    return cz_path_name(file->path);
}

/* CLOZE_CORRUPT when the file's content is not what the hub announced. */
static cloze_status check_digest(struct hub_import *hub, const struct cz_hub_file *file,
                                 const char *path, const char *sha256)
{
    char sha1[CZ_SHA1_TEXT + 1];
    cloze_status status = CLOZE_OK;
    if (!file->sha256)
        status = cz_git_blob_file(path, sha1, hub->error);
    const char *found = file->sha256 ? sha256 : sha1;
    const char *wanted = file->sha256 ? file->sha256 : file->sha1;
    if (!status && strcmp(found, wanted) != 0)
        status = cz_fail(hub->error, CLOZE_CORRUPT, file->path,
                         "its digest is %s, the hub announces %s", found, wanted);
    return status;
}

/* Takes the file from the Hugging Face cache. CLOZE_NOT_FOUND: it has to be downloaded. */
static cloze_status take_cached(struct hub_import *hub, const struct cz_hub_file *file)
{
    struct cz_buffer folder = {0}, path = {0};
    struct stat info;
    char sha256[CZ_SHA256_TEXT + 1];
    struct cz_import *import = hub->import;
    size_t checksums = import->checksums->size;
    cloze_status status = CLOZE_NOT_FOUND;
    if (cz_hub_cache_snapshot(&folder, hub->address.id, hub->listing.commit) &&
        cz_path_join(&path, folder.data, file->path) && stat(path.data, &info) == 0 &&
        S_ISREG(info.st_mode) && (uint64_t)info.st_size == file->size) {
        import->what = import->options->link ? "linking from the Hugging Face cache"
                                             : "copying from the Hugging Face cache";
        status =
            cz_import_file(import, path.data, name_in_store(file), file->size, sha256, hub->error);
        if (!status)
            status = check_digest(hub, file, path.data, sha256);
    }
    if (status == CLOZE_CORRUPT && hub->hub.handle) {
        cz_log_error(CZ_LOG_WARNING, "the Hugging Face cache has a damaged file; downloading it",
                     hub->error);
        import->checksums->size = checksums;
        if (cz_path_join(&path, import->stage->content, name_in_store(file)))
            unlink(path.data);
        status = CLOZE_NOT_FOUND;
    }
    cz_buffer_free(&folder);
    cz_buffer_free(&path);
    return status;
}

static struct cz_import_download *find_download(const struct cz_import *import, const char *path)
{
    for (struct cz_import_download *item = import->downloads; item; item = item->next) {
        if (strcmp(item->path, path) == 0)
            return item;
    }
    return NULL;
}

/* Locks the download's file, which is the open file itself. A collection may remove it between our
 * opening and our locking it: then another is made. */
static cloze_status lock_download(const char *path, uint64_t size, int *descriptor,
                                  struct cloze_error *error)
{
    struct stat held, named;
    for (int attempt = 0; attempt < 10; attempt++) {
        /* One that another model shares (a hard link) is never written to. */
        if (stat(path, &named) == 0 && named.st_nlink > 1 && (uint64_t)named.st_size != size)
            unlink(path);
        cloze_status status = cz_file_lock(path, false, descriptor, error);
        if (status)
            return status;
        if (fstat(*descriptor, &held) == 0 && stat(path, &named) == 0 &&
            held.st_ino == named.st_ino)
            return CLOZE_OK;
        close(*descriptor);
    }
    return cz_fail(error, CLOZE_BUSY, path, "is being removed by a collection");
}

/* Opens and locks the file's download, or finds it when another file has the same content. */
static cloze_status open_download(struct hub_import *hub, const struct cz_hub_file *file,
                                  struct cz_import_download **out)
{
    struct cz_buffer path = {0};
    struct cz_import *import = hub->import;
    struct cz_import_download *download = CZ_ARENA_NEW(import->arena, struct cz_import_download);
    cloze_status status = cz_file_make_folders(import->store->downloads, hub->error);
    cz_path_join(&path, import->store->downloads, file->sha256 ? file->sha256 : file->sha1);
    const char *kept = cz_arena_text(import->arena, cz_buffer_slice(&path));
    if (!status && (!download || !kept || path.failed))
        status = cz_fail_memory(hub->error, file->path);
    *out = status ? NULL : find_download(import, kept);
    if (!status && !*out) {
        status = lock_download(kept, file->size, &download->descriptor, hub->error);
        if (status == CLOZE_BUSY)
            status = cz_fail(hub->error, CLOZE_BUSY, file->path,
                             "is being downloaded by another import; try again when it has ended");
        if (!status) {
            download->path = kept;
            download->next = import->downloads;
            import->downloads = *out = download;
        }
    }
    cz_buffer_free(&path);
    return status;
}

/* Downloads what is missing and checks the whole; a file that is wrong at its end is fetched once
 * more from its start, since an earlier part may have been damaged. */
static cloze_status fetch(struct hub_import *hub, const struct cz_hub_file *file,
                          struct cz_import_download *download, char sha256[CZ_SHA256_TEXT + 1])
{
    struct cz_buffer path = {0};
    char what[CZ_HUB_PART + 16];
    cloze_status status = CLOZE_OK;
    snprintf(what, sizeof what, "downloading %s", name_in_store(file));
    cz_buffer_printf(&path, "/%s/resolve/%s/", hub->address.id, hub->listing.commit);
    append_escaped(&path, file->path, true);
    for (int attempt = 0; attempt < 2; attempt++) {
        status = cz_hub_download(&hub->hub, cz_buffer_text(&path), download->descriptor, file->size,
                                 hub->import->options->progress, hub->import->options->context,
                                 what, hub->error);
        if (!status)
            status = cz_sha256_file(download->path, sha256, hub->error);
        if (!status)
            status = check_digest(hub, file, download->path, sha256);
        if (status != CLOZE_CORRUPT || ftruncate(download->descriptor, 0) != 0)
            break;
    }
    cz_buffer_free(&path);
    return status;
}

static cloze_status take_downloaded(struct hub_import *hub, const struct cz_hub_file *file)
{
    struct cz_import_download *download;
    struct cz_buffer target = {0};
    char sha256[CZ_SHA256_TEXT + 1];
    cloze_status status = open_download(hub, file, &download);
    if (!status)
        status = fetch(hub, file, download, sha256);
    if (!status && !cz_path_join(&target, hub->import->stage->content, name_in_store(file)))
        status = cz_fail_memory(hub->error, file->path);
    /* Two files of one repository may have the same content: the second link needs a name only. */
    if (!status && link(download->path, target.data) != 0 &&
        rename(download->path, target.data) != 0)
        status = cz_fail_errno(hub->error, target.data, "link into place");
    if (!status)
        cz_checksums_append(hub->import->checksums, name_in_store(file), sha256);
    cz_buffer_free(&target);
    return status;
}

/* ---- All files ---- */

static cloze_status check_files(struct hub_import *hub)
{
    uint64_t size = 0;
    for (size_t i = 0; i < hub->listing.count; i++) {
        const struct cz_hub_file *file = &hub->listing.files[i];
        if (!file->chosen)
            continue;
        if (!file->sha256 && !file->sha1)
            return cz_fail(hub->error, CLOZE_NETWORK, file->path,
                           "the hub announces no digest for it, so it can't be checked");
        size += file->size;
    }
    hub->import->total = size;
    return cz_import_check_space(hub->import, size, hub->error);
}

static cloze_status take_files(struct hub_import *hub)
{
    cloze_status status = check_files(hub);
    for (size_t i = 0; !status && i < hub->listing.count; i++) {
        const struct cz_hub_file *file = &hub->listing.files[i];
        if (!file->chosen)
            continue;
        status = take_cached(hub, file);
        if (status == CLOZE_NOT_FOUND && hub->hub.handle)
            status = take_downloaded(hub, file);
    }
    return status;
}

cloze_status cz_import_from_hub(struct cz_import *import, struct cloze_error *error)
{
    struct hub_import hub = {.import = import, .error = error};
    bool offline = is_offline();
    cloze_status status = cz_hub_address_parse(import->options->source, &hub.address, error);
    if (!status)
        status = offline ? cz_hub_cache_listing(import->arena, &hub.address, &hub.listing, error)
                         : ask_hub(&hub);
    if (!status)
        status = cz_hub_listing_choose(&hub.listing, &hub.address, error);
    if (!status)
        status = take_files(&hub);
    if (!status) {
        import->model_id = cz_arena_text(import->arena, cz_slice(hub.address.id));
        import->name_source = import->model_id;
        import->revision = hub.listing.commit;
        if (!import->model_id)
            status = cz_fail_memory(error, hub.address.id);
    }
    cz_hub_close(&hub.hub);
    return status;
}
