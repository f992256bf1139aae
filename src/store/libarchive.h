/* libarchive.h - the functions of libarchive that Cloze calls, found when first needed. */
#ifndef CZ_STORE_LIBARCHIVE_H
#define CZ_STORE_LIBARCHIVE_H

#include "base/error.h"

#include <archive.h>
#include <archive_entry.h>

#define CZ_LIBARCHIVE_FUNCTIONS(X)                                                                 \
    X(archive_read_new)                                                                            \
    X(archive_read_support_filter_all)                                                             \
    X(archive_read_support_format_tar)                                                             \
    X(archive_read_support_format_zip)                                                             \
    X(archive_read_open_filename) X(archive_read_next_header) X(archive_read_data)                 \
        X(archive_read_free) X(archive_filter_bytes) X(archive_error_string) X(archive_errno)      \
            X(archive_entry_pathname) X(archive_entry_hardlink) X(archive_entry_filetype)          \
                X(archive_entry_size) X(archive_entry_size_is_set) X(archive_entry_new)            \
                    X(archive_entry_free) X(archive_entry_clear) X(archive_entry_set_pathname)     \
                        X(archive_entry_set_size) X(archive_entry_set_filetype)                    \
                            X(archive_entry_set_perm) X(archive_entry_set_mtime)                   \
                                X(archive_write_new) X(archive_write_free) X(archive_write_close)  \
                                    X(archive_write_open_fd)                                       \
                                        X(archive_write_set_format_pax_restricted)                 \
                                            X(archive_write_set_format_zip)                        \
                                                X(archive_write_add_filter_gzip)                   \
                                                    X(archive_write_add_filter_xz)                 \
                                                        X(archive_write_add_filter_bzip2)          \
                                                            X(archive_write_add_filter_zstd)       \
                                                                X(archive_write_set_filter_option) \
                                                                    X(archive_write_header)        \
                                                                        X(archive_write_data)

struct cz_libarchive {
#define X(name) __typeof__(name) *name;
    CZ_LIBARCHIVE_FUNCTIONS(X)
#undef X
};

/* From any thread; *out lives as long as the process. */
cloze_status cz_libarchive_open(const struct cz_libarchive **out, struct cloze_error *error);

#endif
