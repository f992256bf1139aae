/*
 * file.h - files: read whole, map, write atomically, lock, walk.
 *
 * Paths are NUL-terminated. Durable means: data is on the disk (fsync) before the function returns.
 */
#ifndef CZ_BASE_FILE_H
#define CZ_BASE_FILE_H

#include "base/slice.h"

/* A read-only private mapping. A file that another process truncates while it is mapped would
 * fault; the store never truncates what it has published. */
struct cz_mapping {
    const char *data; /* NULL for an empty file */
    size_t size;
};

/* Appends the file's bytes; CLOZE_LIMIT when it is larger than buffer->maximum. */
cloze_status cz_file_read(const char *path, struct cz_buffer *buffer, struct cloze_error *error);
cloze_status cz_file_map(const char *path, struct cz_mapping *mapping, struct cloze_error *error);
/* mmap(2) of a file's beginning, MAP_FAILED with errno. Files of some size begin at a multiple of a huge
 * page and ask for such pages, which file systems with large folios give: fewer faults, fewer misses
 * of the TLB. */
void *cz_file_map_open(int descriptor, size_t size, int protection, int flags);
void cz_file_unmap(struct cz_mapping *mapping);
/* Durable: a temporary file beside `path`, fsync, rename, fsync of the folder. */
cloze_status cz_file_write_atomic(const char *path, struct cz_slice content,
                                  struct cloze_error *error);
cloze_status cz_file_fsync_folder(const char *path, struct cloze_error *error);
/* write(2) until all is out, through EINTR and short writes. */
cloze_status cz_file_write_all(int descriptor, struct cz_slice content, const char *path,
                               struct cloze_error *error);
/* The same with pwrite(2). */
cloze_status cz_file_write_at(int descriptor, struct cz_slice content, uint64_t position,
                              const char *path, struct cloze_error *error);
/* mkdir -p; an existing folder is fine. Mode 0777 less the umask. */
cloze_status cz_file_make_folders(const char *path, struct cloze_error *error);
/* Removes a file or a folder with all it holds, following no links; a missing path is fine. */
cloze_status cz_file_remove_tree(const char *path, struct cloze_error *error);
bool cz_file_exists(const char *path);
bool cz_file_is_folder(const char *path);

/* "a" + "b" = "a/b"; an absolute `name` stands alone. Replaces the buffer's content; returns its
 * text, or NULL when it did not fit. */
const char *cz_path_join(struct cz_buffer *buffer, const char *folder, const char *name);
/* What follows the last '/'. */
const char *cz_path_name(const char *path);
/* Whether a name from outside is safe below a folder: relative, no empty part, no "." or "..". */
bool cz_path_is_safe(struct cz_slice name);

/* An exclusive flock(2) on `path`, created when missing. With `wait` false a lock held elsewhere is
 * CLOZE_BUSY. *descriptor is closed to release it. */
cloze_status cz_file_lock(const char *path, bool wait, int *descriptor, struct cloze_error *error);

#endif
