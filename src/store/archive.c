/* archive.c - unpacking what may be hostile, packing what is ours. */
#include "store/archive.h"

#include "base/file.h"
#include "base/library.h"
#include "base/progress.h"
#include "base/size.h"
#include "store/libarchive.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, OPEN_BLOCK = 1 << 16, MAXIMUM_NAME = 1024, MAXIMUM_DEPTH = 32 };

cloze_status cz_libarchive_open(const struct cz_libarchive **out, struct cloze_error *error)
{
    static const char *const names[] = {"libarchive.so.13", "libarchive.so", NULL};
    static const struct cz_library_symbol symbols[] = {
#define X(name) {#name, offsetof(struct cz_libarchive, name)},
        CZ_LIBARCHIVE_FUNCTIONS(X){NULL, 0}
#undef X
    };
    static struct cz_libarchive library;
    static bool is_open;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    cloze_status status = CLOZE_OK;
    if (!is_open)
        status = cz_library_open(names, "libarchive13", symbols, &library, error);
    is_open = !status;
    pthread_mutex_unlock(&lock);
    *out = &library;
    return status;
}

bool cz_archive_name_is_safe(const char *member, struct cz_slice *name)
{
    while (member[0] == '.' && member[1] == '/')
        member += 2;
    if (strcmp(member, ".") == 0)
        member++;
    *name = cz_slice(member);
    while (name->size && name->data[name->size - 1] == '/')
        name->size--;
    for (size_t i = 0; i < name->size; i++) {
        if (iscntrl((unsigned char)name->data[i]))
            return false;
    }
    return name->size <= MAXIMUM_NAME && member[0] != '/' &&
           (name->size == 0 || cz_path_is_safe(*name));
}

/* ---- Unpacking ---- */

struct unpacker {
    const struct cz_libarchive *library;
    struct archive *archive;
    struct archive_entry *entry;
    const char *path;   /* of the archive */
    const char *folder; /* to unpack into */
    cz_archive_progress *progress;
    void *context;
    uint64_t total; /* size of the archive */
    char *chunk;    /* [CHUNK] */
    struct cz_buffer target;
    struct cloze_error *error;
};

static cloze_status fail_archive(struct unpacker *unpacker, const char *what)
{
    const char *reason = unpacker->library->archive_error_string(unpacker->archive);
    return cz_fail(unpacker->error, CLOZE_INVALID, unpacker->path, "%s: %s", what,
                   reason ? reason : "unknown reason");
}

static cloze_status check_space(struct unpacker *unpacker, const char *name)
{
    struct statvfs space;
    int64_t size = unpacker->library->archive_entry_size(unpacker->entry);
    if (statvfs(unpacker->folder, &space) != 0 || size <= 0)
        return CLOZE_OK;
    uint64_t available = (uint64_t)space.f_bavail * space.f_frsize;
    if ((uint64_t)size <= available)
        return CLOZE_OK;
    char needed[CZ_SIZE_TEXT], left[CZ_SIZE_TEXT];
    cz_size_text((uint64_t)size, needed);
    cz_size_text(available, left);
    return cz_fail(unpacker->error, CLOZE_IO, unpacker->path,
                   "'%s' needs %s, and the file system to unpack to has %s left", name, needed,
                   left);
}

static cloze_status copy_data(struct unpacker *unpacker, int descriptor)
{
    const struct cz_libarchive *library = unpacker->library;
    for (;;) {
        ssize_t got = library->archive_read_data(unpacker->archive, unpacker->chunk, CHUNK);
        if (got < 0)
            return fail_archive(unpacker, "can't be unpacked");
        if (got == 0)
            return CLOZE_OK;
        cloze_status status =
            cz_file_write_all(descriptor, cz_slice_of(unpacker->chunk, (size_t)got),
                              unpacker->target.data, unpacker->error);
        if (status)
            return status;
        if (unpacker->progress)
            unpacker->progress(unpacker->context,
                               (uint64_t)library->archive_filter_bytes(unpacker->archive, -1),
                               unpacker->total);
    }
}

static cloze_status make_parent(struct unpacker *unpacker)
{
    char *target = unpacker->target.data;
    char *slash = strrchr(target, '/');
    *slash = '\0';
    cloze_status status = cz_file_make_folders(target, unpacker->error);
    *slash = '/';
    return status;
}

static cloze_status unpack_file(struct unpacker *unpacker, const char *name)
{
    cloze_status status = check_space(unpacker, name);
    if (!status)
        status = make_parent(unpacker);
    if (status)
        return status;
    int descriptor =
        open(unpacker->target.data, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (descriptor < 0)
        return cz_fail_errno(unpacker->error, unpacker->target.data, "create the file");
    status = copy_data(unpacker, descriptor);
    close(descriptor);
    return status;
}

static cloze_status unpack_entry(struct unpacker *unpacker)
{
    const struct cz_libarchive *library = unpacker->library;
    const char *member = library->archive_entry_pathname(unpacker->entry);
    struct cz_slice name;
    if (!member || !cz_archive_name_is_safe(member, &name))
        return cz_fail(unpacker->error, CLOZE_INVALID, unpacker->path,
                       "holds a name that leaves its folder: '%.200s'", member ? member : "");
    mode_t type = library->archive_entry_filetype(unpacker->entry);
    if (library->archive_entry_hardlink(unpacker->entry) || (type != AE_IFREG && type != AE_IFDIR))
        return cz_fail(unpacker->error, CLOZE_INVALID, unpacker->path,
                       "'%.200s' is a link or a device; only files and folders are unpacked",
                       member);
    struct cz_buffer relative = {0};
    cz_buffer_append_slice(&relative, name);
    cloze_status status = CLOZE_OK;
    if (!cz_path_join(&unpacker->target, unpacker->folder, cz_buffer_text(&relative)))
        status = cz_fail_memory(unpacker->error, member);
    else if (type == AE_IFDIR)
        status = cz_file_make_folders(unpacker->target.data, unpacker->error);
    else if (name.size == 0)
        status = cz_fail(unpacker->error, CLOZE_INVALID, unpacker->path, "holds a nameless file");
    else
        status = unpack_file(unpacker, cz_buffer_text(&relative));
    cz_buffer_free(&relative);
    return status;
}

static cloze_status unpack_all(struct unpacker *unpacker)
{
    for (size_t count = 0;; count++) {
        int result =
            unpacker->library->archive_read_next_header(unpacker->archive, &unpacker->entry);
        if (result == ARCHIVE_EOF)
            return count ? CLOZE_OK
                         : cz_fail(unpacker->error, CLOZE_INVALID, unpacker->path,
                                   "is an empty archive");
        if (result != ARCHIVE_OK && result != ARCHIVE_WARN)
            return fail_archive(unpacker, count ? "can't be unpacked" : "is no archive");
        if (count == CZ_ARCHIVE_MAXIMUM_FILES)
            return cz_fail(unpacker->error, CLOZE_LIMIT, unpacker->path, "holds more than %d files",
                           CZ_ARCHIVE_MAXIMUM_FILES);
        cloze_status status = unpack_entry(unpacker);
        if (status)
            return status;
    }
}

cloze_status cz_archive_unpack(const char *path, const char *folder, cz_archive_progress *progress,
                               void *context, struct cloze_error *error)
{
    struct unpacker unpacker = {
        .path = path, .folder = folder, .progress = progress, .context = context, .error = error};
    struct stat info;
    if (stat(path, &info) != 0)
        return cz_fail_errno(error, path, "look at");
    unpacker.total = (uint64_t)info.st_size;
    cloze_status status = cz_libarchive_open(&unpacker.library, error);
    if (status)
        return status;
    const struct cz_libarchive *library = unpacker.library;
    unpacker.chunk = malloc(CHUNK);
    unpacker.archive = library->archive_read_new();
    if (!unpacker.chunk || !unpacker.archive) {
        status = cz_fail_memory(error, path);
    } else {
        library->archive_read_support_filter_all(unpacker.archive);
        /* Only these: others of libarchive's formats (mtree) name files outside the archive. */
        library->archive_read_support_format_tar(unpacker.archive);
        library->archive_read_support_format_zip(unpacker.archive);
        if (library->archive_read_open_filename(unpacker.archive, path, OPEN_BLOCK) != ARCHIVE_OK)
            status = fail_archive(&unpacker, "is no archive");
        else
            status = unpack_all(&unpacker);
    }
    if (unpacker.archive)
        library->archive_read_free(unpacker.archive);
    cz_buffer_free(&unpacker.target);
    free(unpacker.chunk);
    return status;
}

/* ---- Packing ---- */

struct packer {
    const struct cz_libarchive *library;
    struct archive *archive;
    struct archive_entry *entry;
    enum cz_archive_format format;
    cz_archive_progress *progress;
    void *context;
    uint64_t done, total; /* bytes of the files */
    struct cloze_error *error;
};

static cloze_status fail_packing(struct packer *packer, const char *path)
{
    const char *reason = packer->library->archive_error_string(packer->archive);
    return cz_fail(packer->error, CLOZE_IO, path, "can't be packed: %s",
                   reason ? reason : "unknown reason");
}

static cloze_status write_header(struct packer *packer, const char *path, const char *name,
                                 const struct stat *info)
{
    const struct cz_libarchive *library = packer->library;
    struct cz_buffer member = {0};
    bool folder = S_ISDIR(info->st_mode);
    cz_buffer_printf(&member, "%s%s%s", packer->format == CZ_ARCHIVE_ZIP ? "" : "./", name,
                     folder && *name ? "/" : "");
    library->archive_entry_clear(packer->entry);
    library->archive_entry_set_pathname(packer->entry, cz_buffer_text(&member));
    library->archive_entry_set_filetype(packer->entry, folder ? AE_IFDIR : AE_IFREG);
    library->archive_entry_set_perm(packer->entry, folder ? 0755 : 0644);
    library->archive_entry_set_mtime(packer->entry, info->st_mtime, 0);
    library->archive_entry_set_size(packer->entry, folder ? 0 : info->st_size);
    cz_buffer_free(&member);
    if (library->archive_write_header(packer->archive, packer->entry) != ARCHIVE_OK)
        return fail_packing(packer, path);
    return CLOZE_OK;
}

static cloze_status pack_file(struct packer *packer, const char *path, const char *name,
                              const struct stat *info)
{
    struct cz_mapping mapping;
    cloze_status status = cz_file_map(path, &mapping, packer->error);
    if (status)
        return status;
    status = write_header(packer, path, name, info);
    for (size_t at = 0; !status && at < mapping.size;) {
        size_t step = cz_size_min(CHUNK, mapping.size - at);
        if (packer->library->archive_write_data(packer->archive, mapping.data + at, step) !=
            (la_ssize_t)step)
            status = fail_packing(packer, path);
        at += step;
        packer->done += step;
        if (packer->progress)
            packer->progress(packer->context, packer->done, packer->total);
    }
    cz_file_unmap(&mapping);
    return status;
}

/* Files of a folder before its sub-folders' files; sorted, so that the same model gives the same
 * archive. */
static cloze_status pack_folder(struct packer *packer, const char *path, const char *name,
                                unsigned depth)
{
    struct dirent **items;
    int count = scandir(path, &items, NULL, alphasort);
    if (count < 0)
        return cz_fail_errno(packer->error, path, "list the folder");
    cloze_status status = CLOZE_OK;
    for (int i = 0; i < count; i++) {
        const char *item = items[i]->d_name;
        struct cz_buffer inner = {0}, inner_name = {0};
        struct stat info;
        bool skip = strcmp(item, ".") == 0 || strcmp(item, "..") == 0;
        if (!skip && !status) {
            if (!cz_path_join(&inner, path, item) || !cz_path_join(&inner_name, name, item))
                status = cz_fail_memory(packer->error, path);
            else if (stat(inner.data, &info) != 0)
                status = cz_fail_errno(packer->error, inner.data, "look at");
            else if (S_ISREG(info.st_mode))
                status = pack_file(packer, inner.data, inner_name.data, &info);
            else if (S_ISDIR(info.st_mode) && depth) {
                status = write_header(packer, inner.data, inner_name.data, &info);
                if (!status)
                    status = pack_folder(packer, inner.data, inner_name.data, depth - 1);
            }
        }
        cz_buffer_free(&inner);
        cz_buffer_free(&inner_name);
        free(items[i]);
    }
    free(items);
    return status;
}

static bool set_format(struct packer *packer)
{
    const struct cz_libarchive *library = packer->library;
    struct archive *archive = packer->archive;
    int result = packer->format == CZ_ARCHIVE_ZIP
                     ? library->archive_write_set_format_zip(archive)
                     : library->archive_write_set_format_pax_restricted(archive);
    switch (packer->format) {
    case CZ_ARCHIVE_TAR_GZ:
        result |= library->archive_write_add_filter_gzip(archive);
        break;
    case CZ_ARCHIVE_TAR_XZ:
        result |= library->archive_write_add_filter_xz(archive);
        /* Weights hardly compress, so the fastest setting; on all cores. */
        library->archive_write_set_filter_option(archive, "xz", "compression-level", "0");
        library->archive_write_set_filter_option(archive, "xz", "threads", "0");
        break;
    case CZ_ARCHIVE_TAR_BZ2:
        result |= library->archive_write_add_filter_bzip2(archive);
        break;
    case CZ_ARCHIVE_TAR_ZSTD:
        result |= library->archive_write_add_filter_zstd(archive);
        break;
    default:
        break;
    }
    return result == ARCHIVE_OK;
}

static cloze_status pack_to(struct packer *packer, const char *folder, int descriptor,
                            const char *path)
{
    const struct cz_libarchive *library = packer->library;
    struct stat info;
    packer->archive = library->archive_write_new();
    packer->entry = library->archive_entry_new();
    cloze_status status = CLOZE_OK;
    if (!packer->archive || !packer->entry)
        status = cz_fail_memory(packer->error, path);
    else if (!set_format(packer) ||
             library->archive_write_open_fd(packer->archive, descriptor) != ARCHIVE_OK)
        status = fail_packing(packer, path);
    if (!status && stat(folder, &info) != 0)
        status = cz_fail_errno(packer->error, folder, "look at");
    if (!status && packer->format != CZ_ARCHIVE_ZIP)
        status = write_header(packer, folder, "", &info);
    if (!status)
        status = pack_folder(packer, folder, "", MAXIMUM_DEPTH);
    if (!status && library->archive_write_close(packer->archive) != ARCHIVE_OK)
        status = fail_packing(packer, path);
    if (packer->entry)
        library->archive_entry_free(packer->entry);
    if (packer->archive)
        library->archive_write_free(packer->archive);
    return status;
}

static cloze_status finish_file(int descriptor, const char *temporary, const char *path,
                                struct cloze_error *error)
{
    if (fchmod(descriptor, 0644) != 0 || fsync(descriptor) != 0)
        return cz_fail_errno(error, path, "write to the disk");
    if (rename(temporary, path) != 0)
        return cz_fail_errno(error, path, "rename into place");
    return CLOZE_OK;
}

cloze_status cz_archive_pack(const char *folder, const char *path, enum cz_archive_format format,
                             cz_archive_progress *progress, void *context,
                             struct cloze_error *error)
{
    struct packer packer = {
        .format = format, .progress = progress, .context = context, .error = error};
    struct cz_buffer temporary = {0};
    cloze_status status = cz_libarchive_open(&packer.library, error);
    if (status)
        return status;
    cz_buffer_printf(&temporary, "%s.XXXXXX", path);
    status = cz_buffer_status(&temporary, path, error);
    if (status)
        return status;
    int descriptor = mkostemp(temporary.data, O_CLOEXEC);
    if (descriptor < 0) {
        status = cz_fail_errno(error, path, "create a file beside");
    } else {
        status = pack_to(&packer, folder, descriptor, path);
        if (!status)
            status = finish_file(descriptor, temporary.data, path, error);
        if (status)
            unlink(temporary.data);
        close(descriptor);
    }
    cz_buffer_free(&temporary);
    return status;
}
