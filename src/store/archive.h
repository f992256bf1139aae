/*
 * archive.h - tar (with any compression), zip and their kin, by libarchive, which is opened at
 * first use.
 */
#ifndef CZ_STORE_ARCHIVE_H
#define CZ_STORE_ARCHIVE_H

#include "base/slice.h"

enum { CZ_ARCHIVE_MAXIMUM_FILES = 100000 };

/* Called with bytes of the archive that are read or written, and of how many. */
typedef void cz_archive_progress(void *context, uint64_t done, uint64_t total);

/* Unpacks into the existing folder. Refuses absolute names, "..", links, devices, names twice, and
 * what the file system has no room for. CLOZE_INVALID when the file is no archive. */
cloze_status cz_archive_unpack(const char *path, const char *folder, cz_archive_progress *progress,
                               void *context, struct cloze_error *error);

enum cz_archive_format {
    CZ_ARCHIVE_TAR,
    CZ_ARCHIVE_TAR_GZ,
    CZ_ARCHIVE_TAR_XZ,
    CZ_ARCHIVE_TAR_BZ2,
    CZ_ARCHIVE_TAR_ZSTD,
    CZ_ARCHIVE_ZIP
};

/* Packs the files of `folder` (names of tar members begin with "./") into a new file at `path`,
 * written beside it and renamed when whole; durable. */
cloze_status cz_archive_pack(const char *folder, const char *path, enum cz_archive_format format,
                             cz_archive_progress *progress, void *context,
                             struct cloze_error *error);

/* Whether a member's name may be written below a folder: relative, without "." (but a leading "./")
 * and "..", without control characters, at most 1024 bytes. *name is what remains of it, empty for
 * the folder itself. */
bool cz_archive_name_is_safe(const char *member, struct cz_slice *name);

#endif
