/*
 * hasher.h - SHA-256 of files in the background, one after the other, while they are still being
 * written.
 *
 * One thread reads the files in the order in which they were added, each as far as it is there. The
 * owner's thread calls all functions.
 */
#ifndef CZ_STORE_HASHER_H
#define CZ_STORE_HASHER_H

#include "base/digest.h"

#include <pthread.h>

/* One file; owned by its hasher. */
struct cz_hashed_file {
    char *path, *name;
    uint64_t available; /* bytes that may be read; UINT64_MAX: all that there are */
    bool ended;
    cloze_status status;
    struct cloze_error error;
    char sha256[CZ_SHA256_TEXT + 1];
    struct cz_hashed_file *next;
};

struct cz_hasher {
    bool started, stops;
    pthread_t thread;
    pthread_mutex_t lock; /* guards all that follows, but for what only the reader of a file uses */
    pthread_cond_t changed;
    struct cz_hashed_file *files;
};

void cz_hasher_open(struct cz_hasher *hasher);
/* Gives up what has not been read. */
void cz_hasher_close(struct cz_hasher *hasher);

/* A file that exists, of which nothing may be read yet. `name` is for cz_hasher_wait_all, which passes
 * over files without one. */
cloze_status cz_hasher_add(struct cz_hasher *hasher, const char *path, const char *name,
                           struct cz_hashed_file **out, struct cloze_error *error);
/* So many bytes are there now; UINT64_MAX: the file is complete. */
void cz_hasher_allow(struct cz_hasher *hasher, struct cz_hashed_file *file, uint64_t available);
/* Waits until a complete file has been read. */
cloze_status cz_hasher_wait(struct cz_hasher *hasher, const struct cz_hashed_file *file,
                            char sha256[CZ_SHA256_TEXT + 1], struct cloze_error *error);
/* The same for all that have a name, appending their lines of SHA256SUMS. */
cloze_status cz_hasher_wait_all(struct cz_hasher *hasher, struct cz_buffer *checksums,
                                struct cloze_error *error);

#endif
