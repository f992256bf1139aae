/* import.c - from a source to a published model. */
#include "store/import.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/size.h"
#include "model/model.h"
#include "store/archive.h"
#include "store/checksum.h"
#include "store/manifest.h"
#include "store/selection.h"
#include "store/stage.h"
#include "json/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    CHUNK = 2 << 20, /* whole chunks at multiples of this give the page cache large pages */
    SPARE_BYTES = 16 << 20
};

void cz_import_report(struct cz_import *import, const char *what, uint64_t done, uint64_t total)
{
    if (import->options->progress)
        import->options->progress(import->options->context, what, done, total);
}

cloze_status cz_import_check_space(struct cz_import *import, uint64_t size_bytes,
                                   struct cloze_error *error)
{
    struct statvfs space;
    const char *folder = import->stage->folder;
    if (statvfs(folder, &space) != 0)
        return cz_fail_errno(error, folder, "ask for the free space of");
    uint64_t available = (uint64_t)space.f_bavail * space.f_frsize;
    if (size_bytes <= available && available - size_bytes >= SPARE_BYTES)
        return CLOZE_OK;
    char needed[CZ_SIZE_TEXT], left[CZ_SIZE_TEXT];
    cz_size_text(size_bytes, needed);
    cz_size_text(available, left);
    return cz_fail(error, CLOZE_IO, import->store->home,
                   "the model needs %s, and the file system has %s left", needed, left);
}

/* ---- Bringing files in ---- */

/* Up to CHUNK bytes; fewer at the end only. */
static cloze_status read_chunk(int from, char *chunk, size_t *size, const char *path,
                               struct cloze_error *error)
{
    for (*size = 0; *size < CHUNK;) {
        ssize_t got = read(from, chunk + *size, CHUNK - *size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return cz_fail_errno(error, path, "read the file");
        if (got == 0)
            break;
        *size += (size_t)got;
    }
    return CLOZE_OK;
}

/* Copies; what has arrived goes to the disk and may be hashed meanwhile. */
static cloze_status copy_bytes(struct cz_import *import, int from, int to, const char *path,
                               struct cz_hashed_file *hashed, struct cloze_error *error)
{
    char *chunk = malloc(CHUNK);
    cloze_status status = chunk ? CLOZE_OK : cz_fail_memory(error, path);
    uint64_t position = 0;
    for (size_t size = CHUNK; !status && size == CHUNK; position += size) {
        status = read_chunk(from, chunk, &size, path, error);
        if (!status)
            status = cz_file_write_all(to, cz_slice_of(chunk, size), path, error);
        if (status || !size)
            break;
        sync_file_range(to, (off_t)position, (off_t)size, SYNC_FILE_RANGE_WRITE);
        cz_hasher_allow(&import->hasher, hashed, position + size);
        import->done += size;
        cz_import_report(import, import->what, import->done, import->total);
    }
    free(chunk);
    return status;
}

/* `name` as for cz_hasher_add. */
static cloze_status copy_file(struct cz_import *import, const char *from, const char *to,
                              const char *name, struct cz_hashed_file **hashed,
                              struct cloze_error *error)
{
    int target = -1;
    cloze_status status = CLOZE_OK;
    int source = open(from, O_RDONLY | O_CLOEXEC);
    if (source < 0)
        return cz_fail_errno(error, from, "open the file");
    target = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (target < 0)
        status = cz_fail_errno(error, to, "create the file");
    if (!status)
        status = cz_hasher_add(&import->hasher, to, name, hashed, error);
    if (!status)
        status = copy_bytes(import, source, target, from, *hashed, error);
    if (!status)
        cz_hasher_allow(&import->hasher, *hashed, UINT64_MAX);
    if (target >= 0)
        close(target);
    close(source);
    return status;
}

/* Shares the data with the source: by reflink, else by hard link. false when neither works. */
static bool link_file(const char *from, const char *to)
{
    bool linked = false;
    int source = open(from, O_RDONLY | O_CLOEXEC);
    int target = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (source >= 0 && target >= 0) {
        linked = ioctl(target, FICLONE, source) == 0;
        if (!linked)
            linked =
                unlink(to) == 0 && linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0;
    }
    if (target >= 0 && !linked)
        unlink(to);
    if (source >= 0)
        close(source);
    if (target >= 0)
        close(target);
    return linked;
}

/* A file that is complete. */
static cloze_status hash_file(struct cz_import *import, const char *path, const char *name,
                              uint64_t size, struct cz_hashed_file **hashed,
                              struct cloze_error *error)
{
    cloze_status status = cz_hasher_add(&import->hasher, path, name, hashed, error);
    if (!status)
        cz_hasher_allow(&import->hasher, *hashed, UINT64_MAX);
    import->done += size;
    cz_import_report(import, import->what, import->done, import->total);
    return status;
}

/* Creates the folders between content and the file. */
static cloze_status make_parents(const char *target, struct cloze_error *error)
{
    char *folder = strndup(target, (size_t)(cz_path_name(target) - target));
    cloze_status status =
        folder ? cz_file_make_folders(folder, error) : cz_fail_memory(error, target);
    free(folder);
    return status;
}

/* The file's place in content, its folders made. */
static cloze_status target_of(struct cz_import *import, const char *name, struct cz_buffer *target,
                              struct cloze_error *error)
{
    if (!cz_path_join(target, import->stage->content, name))
        return cz_fail_memory(error, name);
    return make_parents(target->data, error);
}

static cloze_status move_file(struct cz_import *import, const struct cz_selected_file *file,
                              struct cloze_error *error)
{
    struct cz_buffer target = {0};
    struct cz_hashed_file *hashed;
    cloze_status status = target_of(import, file->name, &target, error);
    if (!status && rename(file->path, target.data) != 0)
        status = cz_fail_errno(error, target.data, "rename into place");
    if (!status)
        status = hash_file(import, target.data, file->name, file->size, &hashed, error);
    cz_buffer_free(&target);
    return status;
}

cloze_status cz_import_file(struct cz_import *import, const char *path, const char *name,
                            uint64_t size, char *sha256, struct cloze_error *error)
{
    struct cz_buffer target = {0};
    struct cz_hashed_file *hashed;
    const char *listed = sha256 ? NULL : name;
    cloze_status status = target_of(import, name, &target, error);
    if (!status && import->options->link && link_file(path, target.data)) {
        status = hash_file(import, target.data, listed, size, &hashed, error);
    } else if (!status) {
        if (import->options->link)
            cz_log(CZ_LOG_WARNING, "%s: can't be linked into the store, so it is copied", path);
        status = copy_file(import, path, target.data, listed, &hashed, error);
    }
    if (!status && sha256)
        status = cz_hasher_wait(&import->hasher, hashed, sha256, error);
    if (!status && sha256)
        cz_checksums_append(import->checksums, name, sha256);
    cz_buffer_free(&target);
    return status;
}

/* A source with a SHA256SUMS of its own (an exported model) must agree with it. */
static cloze_status check_recorded(const struct cz_import *import, struct cloze_error *error)
{
    struct cz_buffer expected_text = {0}, found_text = {0};
    struct cz_checksums expected = {0}, found = {0};
    cz_buffer_append_slice(&expected_text, cz_buffer_slice(import->recorded));
    cz_buffer_append_slice(&found_text, cz_buffer_slice(import->checksums));
    cloze_status status = cz_checksums_parse(&expected_text, &expected, error);
    if (!status)
        status = cz_checksums_parse(&found_text, &found, error);
    for (size_t i = 0; !status && i < expected.count; i++) {
        struct cz_slice name = expected.items[i].name;
        struct cz_slice digest = cz_checksums_find(&found, name);
        if (!digest.size)
            status = cz_fail(error, CLOZE_CORRUPT, import->options->source,
                             "'" CZ_SLICE_FORMAT "' of its %s is missing", CZ_SLICE_ARG(name),
                             CZ_STORE_CHECKSUMS);
        else if (!cz_slice_equal(digest, expected.items[i].sha256))
            status = cz_fail(error, CLOZE_CORRUPT, import->options->source,
                             "'" CZ_SLICE_FORMAT "' differs from its digest in %s",
                             CZ_SLICE_ARG(name), CZ_STORE_CHECKSUMS);
    }
    cz_checksums_free(&expected);
    cz_checksums_free(&found);
    return status;
}

cloze_status cz_import_files(struct cz_import *import, const struct cz_selection *selection,
                             bool move, struct cloze_error *error)
{
    import->total = selection->size_bytes;
    import->done = 0;
    import->what = move ? "checking" : import->options->link ? "linking" : "copying";
    import->has_manifest = selection->form == CZ_SELECTION_STORE;
    cloze_status status = CLOZE_OK;
    if (!move && !import->options->link)
        status = cz_import_check_space(import, selection->size_bytes, error);
    for (const struct cz_selected_file *file = selection->files; !status && file;
         file = file->next) {
        if (strcmp(file->name, CZ_STORE_CHECKSUMS) == 0)
            status = cz_file_read(file->path, import->recorded, error);
        else if (move)
            status = move_file(import, file, error);
        else
            status = cz_import_file(import, file->path, file->name, file->size, NULL, error);
    }
    return status;
}

/* ---- Kinds of sources ---- */

static const char *keep_text(struct cz_import *import, struct cz_slice text)
{
    const char *copy = cz_arena_text(import->arena, text);
    return copy ? copy : "";
}

/* "…/models--org--name/snapshots/<commit>" of the Hugging Face cache is "org/name"; any other path
 * is named by its last part. */
static const char *name_of_folder(struct cz_import *import, const char *path)
{
    char *real = realpath(path, NULL);
    const char *full = real ? real : path, *name;
    const char *cache = strstr(full, "/models--");
    if (cache && strstr(cache, "/snapshots/")) {
        cache += strlen("/models--");
        name = keep_text(import, cz_slice_of(cache, strcspn(cache, "/")));
    } else {
        name = keep_text(import, cz_slice(cz_path_name(full)));
    }
    free(real);
    return name;
}

static void name_by_source(struct cz_import *import, const struct cz_selection *source)
{
    struct cz_slice quant;
    if (source->form == CZ_SELECTION_GGUF) {
        struct cz_slice file = cz_slice(cz_path_name(source->files->name));
        import->name_source = keep_text(import, cz_slice_of(file.data, cz_gguf_stem(file, &quant)));
    } else {
        import->name_source = name_of_folder(import, source->folder);
    }
}

static void report_unpacking(void *context, uint64_t done, uint64_t total)
{
    cz_import_report(context, "unpacking", done, total);
}

static cloze_status import_archive(struct cz_import *import, struct cloze_error *error)
{
    const char *path = import->options->source;
    struct cz_buffer folder = {0};
    struct cz_selection source;
    if (!cz_path_join(&folder, import->stage->folder, "unpacked"))
        return cz_fail_memory(error, path);
    cloze_status status = cz_file_make_folders(folder.data, error);
    if (!status)
        status = cz_archive_unpack(path, folder.data, report_unpacking, import, error);
    if (!status) {
        status = cz_select_folder(import->arena, folder.data, true, &source, error);
        if (status && error)
            snprintf(error->where, sizeof error->where, "%s", path); /* not the stage's folder */
    }
    if (!status) {
        name_by_source(import, &source);
        if (source.form == CZ_SELECTION_HF && strcmp(source.folder, folder.data) == 0) {
            const char *base = cz_path_name(path);
            import->name_source = keep_text(import, cz_slice_of(base, strcspn(base, ".")));
        }
        status = cz_import_files(import, &source, true, error);
    }
    cz_buffer_free(&folder);
    return status;
}

static bool is_gguf_file(const char *path)
{
    char magic[4] = "";
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return false;
    bool found = read(descriptor, magic, sizeof magic) == sizeof magic &&
                 memcmp(magic, "GGUF", sizeof magic) == 0;
    close(descriptor);
    return found;
}

static cloze_status import_local(struct cz_import *import, bool folder, struct cloze_error *error)
{
    const char *path = import->options->source;
    struct cz_selection source;
    cloze_status status = folder ? cz_select_folder(import->arena, path, false, &source, error)
                                 : cz_select_gguf(import->arena, path, &source, error);
    if (status)
        return status;
    name_by_source(import, &source);
    return cz_import_files(import, &source, false, error);
}

/* "org/name", the usual slip for hf:org/name */
static bool looks_like_hub(const char *source)
{
    const char *slash = strchr(source, '/');
    return slash && slash > source && slash[1] && !strchr(slash + 1, '/') && source[0] != '.';
}

static cloze_status gather(struct cz_import *import, struct cloze_error *error)
{
    const char *source = import->options->source;
    if (strncmp(source, "hf:", 3) == 0) {
        import->description = source;
        return cz_import_from_hub(import, error);
    }
    import->description = keep_text(import, cz_slice(cz_path_name(source)));
    struct stat info;
    if (stat(source, &info) != 0 && errno == ENOENT && looks_like_hub(source))
        return cz_fail(error, CLOZE_NOT_FOUND, source,
                       "is no file or folder; for the Hugging Face Hub write hf:%s", source);
    if (stat(source, &info) != 0)
        return cz_fail_errno(error, source, "look at");
    if (S_ISDIR(info.st_mode) || is_gguf_file(source))
        return import_local(import, S_ISDIR(info.st_mode), error);
    if (!S_ISREG(info.st_mode))
        return cz_fail(error, CLOZE_INVALID, source, "is neither a file nor a folder");
    cloze_status status = import_archive(import, error);
    if (status == CLOZE_INVALID && error && strstr(error->message, "is no archive"))
        return cz_fail(error, CLOZE_INVALID, source,
                       "is neither a GGUF file nor an archive (tar, zip, whl, bentomodel)");
    return status;
}

/* ---- Completing ---- */

/* Puts the source's name for that of the stage, a folder that is about to vanish: "model.gguf:17",
 * "folder/config.json", "archive.zip: inner.gguf:17". */
static void name_source_in_error(const struct cz_import *import, struct cloze_error *error)
{
    const char *source = import->options->source, *base = cz_path_name(source);
    size_t prefix = strlen(import->stage->content), size = strlen(base);
    if (!error || strncmp(error->where, import->stage->content, prefix) != 0)
        return;
    const char *rest = error->where + prefix + (error->where[prefix] == '/');
    const char *between = !rest[0] ? "" : cz_file_is_folder(source) ? "/" : ": ";
    bool is_source = size && strncmp(rest, base, size) == 0;
    struct cz_buffer where = {0};
    cz_buffer_printf(&where, "%s%s%s", source, is_source ? "" : between,
                     is_source ? rest + size : rest);
    snprintf(error->where, sizeof error->where, "%s", cz_buffer_text(&where));
    cz_buffer_free(&where);
}

/* Opens the model as the engine will; a folder of a store may hold it in any of its forms. */
static cloze_status check_model(struct cz_import *import, struct cz_manifest_facts *facts,
                                struct cloze_error *error)
{
    struct cz_model *model;
    cz_import_report(import, "checking tensors", 0, 0);
    cloze_status status = cz_model_open(import->stage->content, &model, error);
    if (status) {
        name_source_in_error(import, error);
        return status;
    }
    facts->format = keep_text(import, cz_slice(model->format));
    facts->architecture = keep_text(import, cz_slice(model->hyper.architecture));
    facts->parameters = model->parameters;
    cz_model_close(model);
    return CLOZE_OK;
}

static cloze_status write_file(const char *folder, const char *name, struct cz_slice text,
                               struct cloze_error *error)
{
    struct cz_buffer path = {0};
    cloze_status status = CLOZE_OK;
    if (!cz_path_join(&path, folder, name))
        status = cz_fail_memory(error, name);
    else if (unlink(path.data) != 0 && errno != ENOENT) /* it may be a hard link of the source's */
        status = cz_fail_errno(error, path.data, "replace");
    if (!status)
        status = cz_file_write_atomic(path.data, text, error);
    cz_buffer_free(&path);
    return status;
}

/* The tag to publish under: what was asked for, else what the manifest that came along says, else a
 * name from the source; a new version where none is given. */
static cloze_status choose_tag(struct cz_import *import, const struct cz_manifest *manifest,
                               struct cz_tag *tag, struct cloze_error *error)
{
    cloze_status status = CLOZE_OK;
    if (import->options->tag)
        status = cz_tag_parse(import->options->tag, tag, error);
    else if (manifest)
        *tag = manifest->tag;
    else
        status = cz_tag_name_from(import->name_source, tag, error);
    if (!status && !tag->version[0])
        cz_tag_new_version(tag);
    return status;
}

/* Appends the digest of every file but the manifest's own line, which follows its new text. */
static cloze_status write_checksums(struct cz_import *import, struct cz_slice manifest,
                                    struct cloze_error *error)
{
    struct cz_buffer text = {0};
    struct cz_checksums list = {0};
    struct cz_sha256 digest = {0};
    char sha256[CZ_SHA256_TEXT + 1];
    cloze_status status = cz_checksums_parse(import->checksums, &list, error);
    for (size_t i = 0; !status && i < list.count; i++) {
        struct cz_slice line = {list.items[i].sha256.data,
                                CZ_SHA256_TEXT + 2 + list.items[i].name.size};
        if (!cz_slice_is(list.items[i].name, CZ_MANIFEST_FILE)) {
            cz_buffer_append_slice(&text, line);
            cz_buffer_append_byte(&text, '\n');
        }
    }
    if (!status)
        status = cz_sha256_start(&digest, error);
    if (!status) {
        cz_sha256_update(&digest, manifest.data, manifest.size);
        cz_sha256_finish(&digest, sha256);
        cz_checksums_append(&text, CZ_MANIFEST_FILE, sha256);
        status = cz_buffer_status(&text, CZ_STORE_CHECKSUMS, error);
    }
    if (!status)
        status =
            write_file(import->stage->content, CZ_STORE_CHECKSUMS, cz_buffer_slice(&text), error);
    cz_checksums_free(&list);
    cz_buffer_free(&text);
    return status;
}

/* Waits for the digests; files that came with digests of their own must agree. */
static cloze_status take_digests(struct cz_import *import, struct cloze_error *error)
{
    cz_import_report(import, "hashing", 0, 0);
    cloze_status status = cz_hasher_wait_all(&import->hasher, import->checksums, error);
    return status ? status : check_recorded(import, error);
}

/* Writes model.yaml and SHA256SUMS into content and publishes it. */
static cloze_status complete(struct cz_import *import, struct cz_tag *tag,
                             struct cloze_error *error)
{
    struct cz_manifest_facts facts = {
        .source = import->description,
        .model_id = import->model_id,
        .revision = import->revision,
        .quantize = import->options->quantize,
    };
    struct cz_manifest manifest;
    struct cz_buffer text = {0};
    uint64_t creation_us = cz_clock_wall_us();
    cloze_status status = check_model(import, &facts, error);
    if (!status && import->options->prepare)
        import->options->prepare(import->options->prepare_context, import->stage->content,
                                 import->total);
    if (!status)
        status = take_digests(import, error);
    if (!status && import->has_manifest)
        status = cz_manifest_read(import->arena, import->stage->content, &manifest, error);
    if (!status)
        status = choose_tag(import, import->has_manifest ? &manifest : NULL, tag, error);
    if (!status && import->has_manifest && facts.quantize)
        status = cz_fail(error, CLOZE_UNSUPPORTED, "--quantize",
                         "the source brings a record of its own (model.yaml), which stays as it "
                         "is; 'cloze serve --quantize' packs its weights in another form");
    if (!status && import->has_manifest) {
        creation_us = manifest.creation_us;
        status = cz_manifest_rename(&manifest, tag, &text, error);
    } else if (!status) {
        status = cz_manifest_write(tag, creation_us, &facts, &text, error);
    }
    if (!status)
        status =
            write_file(import->stage->content, CZ_MANIFEST_FILE, cz_buffer_slice(&text), error);
    if (!status)
        status = write_checksums(import, cz_buffer_slice(&text), error);
    if (!status)
        status = cz_stage_publish(import->store, import->stage, tag, creation_us, error);
    cz_buffer_free(&text);
    return status;
}

/* Refuses early, before gigabytes are copied: a tag that can't be parsed, is taken, or is "latest".
 */
static cloze_status check_tag(const struct cz_store *store, const char *text,
                              struct cloze_error *error)
{
    struct cz_tag tag;
    struct cz_store_list list;
    cloze_status status = cz_tag_parse(text, &tag, error);
    if (status || !tag.version[0])
        return status;
    if (strcmp(tag.version, "latest") == 0)
        return cz_fail(error, CLOZE_INVALID, text, "'latest' is not a version to import as");
    if (cz_store_list(store, text, &list, NULL) != CLOZE_OK)
        return CLOZE_OK;
    cz_store_list_free(&list);
    return cz_fail(error, CLOZE_EXISTS, text, "already exists in the store %s", store->models);
}

static void release_downloads(const struct cz_import *import, bool published)
{
    for (const struct cz_import_download *item = import->downloads; item; item = item->next) {
        if (published)
            unlink(item->path);
        close(item->descriptor);
    }
}

cloze_status cz_store_import(const struct cz_store *store, const struct cz_import_options *options,
                             struct cz_store_entry *entry, struct cloze_error *error)
{
    struct cz_stage stage = {.lock = -1};
    struct cz_arena arena = {0};
    struct cz_buffer checksums = {0}, recorded = {.maximum = 16 << 20};
    struct cz_import import = {.store = store,
                               .options = options,
                               .stage = &stage,
                               .checksums = &checksums,
                               .recorded = &recorded,
                               .arena = &arena};
    struct cz_tag tag;
    char text[CZ_TAG_TEXT];
    struct cz_collection leftovers = {0};
    *entry = (struct cz_store_entry){0};
    cz_hasher_open(&import.hasher);
    cloze_status status = options->tag ? check_tag(store, options->tag, error) : CLOZE_OK;
    if (!status)
        status = cz_store_collect_stages(store, &leftovers, error);
    if (!status)
        status = cz_stage_open(store, &stage, error);
    if (!status)
        status = gather(&import, error);
    if (!status)
        status = complete(&import, &tag, error);
    release_downloads(&import, !status);
    cz_hasher_close(&import.hasher);
    cz_stage_close(&stage);
    if (!status)
        status = cz_store_find(store, cz_tag_text(&tag, text), entry, error);
    cz_buffer_free(&checksums);
    cz_buffer_free(&recorded);
    cz_arena_free(&arena);
    return status;
}
