/* file.c - the file operations over POSIX calls. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static cloze_status open_regular(const char *path, int *descriptor, struct stat *status,
                                 struct cloze_error *error)
{
    *descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (*descriptor < 0)
        return cz_fail_errno(error, path, "open the file");
    if (fstat(*descriptor, status) == 0 && S_ISREG(status->st_mode))
        return CLOZE_OK;
    close(*descriptor);
    *descriptor = -1;
    return cz_fail(error, CLOZE_IO, path, "is not a regular file");
}

cloze_status cz_file_read(const char *path, struct cz_buffer *buffer, struct cloze_error *error)
{
    int descriptor;
    struct stat status;
    cloze_status result = open_regular(path, &descriptor, &status, error);
    if (result)
        return result;
    for (;;) {
        size_t step = status.st_size > (off_t)buffer->size ? (size_t)status.st_size : 4096;
        char *end = cz_buffer_reserve(buffer, step);
        if (!end) {
            result = cz_buffer_status(buffer, path, error);
            break;
        }
        ssize_t got = read(descriptor, end, step);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            result = cz_fail_errno(error, path, "read the file");
        if (got <= 0)
            break;
        buffer->size += (size_t)got;
        if (buffer->size == (size_t)status.st_size)
            break;
    }
    if (!result && buffer->data)
        buffer->data[buffer->size] = '\0';
    close(descriptor);
    return result;
}

/* An address that is a multiple of a huge page with room for `size` bytes, or NULL: only a hint, which
 * another thread may take before it is used. */
static void *huge_page_room(size_t size)
{
    enum { HUGE_PAGE = 2 << 20 };
    if (size < HUGE_PAGE || size > SIZE_MAX - HUGE_PAGE)
        return NULL;
    char *room = mmap(NULL, size + HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED)
        return NULL;
    munmap(room, size + HUGE_PAGE);
    return room + -(uintptr_t)room % HUGE_PAGE;
}

void *cz_file_map_open(int descriptor, size_t size, int protection, int flags)
{
    void *data = mmap(huge_page_room(size), size, protection, flags, descriptor, 0);
    if (data != MAP_FAILED)
        madvise(data, size, MADV_HUGEPAGE); /* refused by some kernels: pages are small then */
    return data;
}

cloze_status cz_file_map(const char *path, struct cz_mapping *mapping, struct cloze_error *error)
{
    *mapping = (struct cz_mapping){0};
    int descriptor;
    struct stat status;
    cloze_status result = open_regular(path, &descriptor, &status, error);
    if (result)
        return result;
    size_t size = (size_t)status.st_size;
    if (size) {
        void *data = cz_file_map_open(descriptor, size, PROT_READ, MAP_PRIVATE);
        if (data == MAP_FAILED)
            result = cz_fail_errno(error, path, "map the file");
        else
            *mapping = (struct cz_mapping){data, size};
    }
    close(descriptor);
    return result;
}

void cz_file_unmap(struct cz_mapping *mapping)
{
    if (mapping->data)
        munmap((void *)(uintptr_t)mapping->data, mapping->size);
    *mapping = (struct cz_mapping){0};
}

cloze_status cz_file_write_all(int descriptor, struct cz_slice content, const char *path,
                               struct cloze_error *error)
{
    while (content.size) {
        ssize_t wrote = write(descriptor, content.data, content.size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return cz_fail_errno(error, path, "write the file");
        content.data += wrote;
        content.size -= (size_t)wrote;
    }
    return CLOZE_OK;
}

cloze_status cz_file_write_at(int descriptor, struct cz_slice content, uint64_t position,
                              const char *path, struct cloze_error *error)
{
    while (content.size) {
        ssize_t wrote = pwrite(descriptor, content.data, content.size, (off_t)position);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return cz_fail_errno(error, path, "write the file");
        content.data += wrote;
        content.size -= (size_t)wrote;
        position += (uint64_t)wrote;
    }
    return CLOZE_OK;
}

cloze_status cz_file_fsync_folder(const char *path, struct cloze_error *error)
{
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return cz_fail_errno(error, path, "open the folder");
    cloze_status result = CLOZE_OK;
    if (fsync(descriptor) != 0)
        result = cz_fail_errno(error, path, "fsync the folder");
    close(descriptor);
    return result;
}

static cloze_status fsync_parent(const char *path, struct cloze_error *error)
{
    const char *name = cz_path_name(path);
    if (name == path)
        return cz_file_fsync_folder(".", error);
    char *folder = strndup(path, name - path > 1 ? (size_t)(name - path - 1) : 1);
    if (!folder)
        return cz_fail_memory(error, path);
    cloze_status result = cz_file_fsync_folder(folder, error);
    free(folder);
    return result;
}

static cloze_status write_durable(int descriptor, struct cz_slice content, const char *path,
                                  struct cloze_error *error)
{
    cloze_status result = cz_file_write_all(descriptor, content, path, error);
    if (!result && fchmod(descriptor, 0644) != 0)
        result = cz_fail_errno(error, path, "set the mode of");
    if (!result && fsync(descriptor) != 0)
        result = cz_fail_errno(error, path, "fsync the file");
    return result;
}

cloze_status cz_file_write_atomic(const char *path, struct cz_slice content,
                                  struct cloze_error *error)
{
    struct cz_buffer temporary = {0};
    cz_buffer_printf(&temporary, "%s.XXXXXX", path);
    cloze_status result = cz_buffer_status(&temporary, path, error);
    if (result)
        return result;
    int descriptor = mkostemp(temporary.data, O_CLOEXEC);
    if (descriptor < 0) {
        result = cz_fail_errno(error, path, "create a temporary file beside");
        goto out;
    }
    result = write_durable(descriptor, content, path, error);
    close(descriptor);
    if (!result && rename(temporary.data, path) != 0)
        result = cz_fail_errno(error, path, "rename into place");
    if (result)
        unlink(temporary.data);
    else
        result = fsync_parent(path, error);
out:
    cz_buffer_free(&temporary);
    return result;
}

cloze_status cz_file_make_folders(const char *path, struct cloze_error *error)
{
    char *copy = strdup(path);
    if (!copy)
        return cz_fail_memory(error, path);
    cloze_status result = CLOZE_OK;
    for (char *at = copy + 1; !result; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char saved = *at;
        *at = '\0';
        if (mkdir(copy, 0777) != 0 && (errno != EEXIST || !cz_file_is_folder(copy)))
            result = cz_fail_errno(error, copy, "create the folder");
        *at = saved;
        if (!saved)
            break;
    }
    free(copy);
    return result;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *position)
{
    (void)status, (void)kind, (void)position;
    return remove(path);
}

cloze_status cz_file_remove_tree(const char *path, struct cloze_error *error)
{
    if (nftw(path, remove_entry, 32, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT)
        return CLOZE_OK;
    return cz_fail_errno(error, path, "remove");
}

bool cz_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool cz_file_is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

const char *cz_path_join(struct cz_buffer *buffer, const char *folder, const char *name)
{
    cz_buffer_clear(buffer);
    size_t size = strlen(folder);
    if (name[0] != '/' && size) {
        cz_buffer_append(buffer, folder, size);
        if (folder[size - 1] != '/')
            cz_buffer_append_byte(buffer, '/');
    }
    cz_buffer_append_text(buffer, name);
    return buffer->failed ? NULL : buffer->data;
}

const char *cz_path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool cz_path_is_safe(struct cz_slice name)
{
    if (name.size == 0 || memchr(name.data, '\0', name.size))
        return false;
    size_t start = 0;
    for (size_t i = 0; i <= name.size; i++) {
        if (i < name.size && name.data[i] != '/')
            continue;
        struct cz_slice part = {name.data + start, i - start};
        if (part.size == 0 || cz_slice_is(part, ".") || cz_slice_is(part, ".."))
            return false;
        start = i + 1;
    }
    return true;
}

cloze_status cz_file_lock(const char *path, bool wait, int *descriptor, struct cloze_error *error)
{
    *descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*descriptor < 0)
        return cz_fail_errno(error, path, "open the lock file");
    while (flock(*descriptor, LOCK_EX | (wait ? 0 : LOCK_NB)) != 0) {
        if (errno == EINTR)
            continue;
        bool held = errno == EWOULDBLOCK;
        cloze_status result = held ? cz_fail(error, CLOZE_BUSY, path, "is locked by another process")
                                   : cz_fail_errno(error, path, "lock the file");
        close(*descriptor);
        *descriptor = -1;
        return result;
    }
    return CLOZE_OK;
}
