/* hasher.c - a thread that follows files with SHA-256. */
#include "store/hasher.h"

#include "base/size.h"
#include "store/checksum.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { CHUNK = 256 << 10 };

/* ---- The thread ---- */

/* Waits for bytes past `position`; how many may be read, 0 when the hasher stops. */
static uint64_t wait_for_bytes(struct cz_hasher *hasher, const struct cz_hashed_file *file,
                               uint64_t position)
{
    pthread_mutex_lock(&hasher->lock);
    while (!hasher->stops && file->available <= position)
        pthread_cond_wait(&hasher->changed, &hasher->lock);
    uint64_t count = hasher->stops ? 0 : file->available - position;
    pthread_mutex_unlock(&hasher->lock);
    return count;
}

static cloze_status hash_descriptor(struct cz_hasher *hasher, struct cz_hashed_file *file,
                                    int descriptor, char *chunk, struct cz_sha256 *digest)
{
    for (uint64_t position = 0, count; (count = wait_for_bytes(hasher, file, position));) {
        ssize_t got = pread(descriptor, chunk, cz_size_min(count, CHUNK), (off_t)position);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return cz_fail_errno(&file->error, file->path, "read the file");
        if (got == 0)
            return CLOZE_OK;
        cz_sha256_update(digest, chunk, (size_t)got);
        position += (uint64_t)got;
    }
    return cz_fail(&file->error, CLOZE_CANCELLED, file->path, "was not read to its end");
}

static cloze_status hash_file(struct cz_hasher *hasher, struct cz_hashed_file *file, char *chunk)
{
    struct cz_sha256 digest;
    int descriptor = open(file->path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return cz_fail_errno(&file->error, file->path, "open the file");
    cloze_status status = cz_sha256_start(&digest, &file->error);
    if (!status) {
        status = hash_descriptor(hasher, file, descriptor, chunk, &digest);
        cz_sha256_finish(&digest, file->sha256);
    }
    close(descriptor);
    return status;
}

/* The first file that has not ended, waiting for one; NULL when the hasher stops. */
static struct cz_hashed_file *next_file(struct cz_hasher *hasher)
{
    pthread_mutex_lock(&hasher->lock);
    struct cz_hashed_file *file = NULL;
    while (!hasher->stops && !file) {
        for (file = hasher->files; file && file->ended;)
            file = file->next;
        if (!file)
            pthread_cond_wait(&hasher->changed, &hasher->lock);
    }
    pthread_mutex_unlock(&hasher->lock);
    return file;
}

static void *run(void *context)
{
    struct cz_hasher *hasher = context;
    char *chunk = malloc(CHUNK);
    for (struct cz_hashed_file *file; (file = next_file(hasher));) {
        cloze_status status =
            chunk ? hash_file(hasher, file, chunk) : cz_fail_memory(&file->error, file->path);
        pthread_mutex_lock(&hasher->lock);
        file->status = status;
        file->ended = true;
        pthread_cond_broadcast(&hasher->changed);
        pthread_mutex_unlock(&hasher->lock);
    }
    free(chunk);
    return NULL;
}

/* ---- Its owner ---- */

void cz_hasher_open(struct cz_hasher *hasher)
{
    *hasher = (struct cz_hasher){0};
    pthread_mutex_init(&hasher->lock, NULL);
    pthread_cond_init(&hasher->changed, NULL);
}

static void file_free(struct cz_hashed_file *file)
{
    free(file->path);
    free(file->name);
    free(file);
}

void cz_hasher_close(struct cz_hasher *hasher)
{
    pthread_mutex_lock(&hasher->lock);
    hasher->stops = true;
    pthread_cond_broadcast(&hasher->changed);
    pthread_mutex_unlock(&hasher->lock);
    if (hasher->started)
        pthread_join(hasher->thread, NULL);
    for (struct cz_hashed_file *file = hasher->files, *next; file; file = next) {
        next = file->next;
        file_free(file);
    }
    pthread_cond_destroy(&hasher->changed);
    pthread_mutex_destroy(&hasher->lock);
}

cloze_status cz_hasher_add(struct cz_hasher *hasher, const char *path, const char *name,
                           struct cz_hashed_file **out, struct cloze_error *error)
{
    struct cz_hashed_file *file = calloc(1, sizeof *file), **end = &hasher->files;
    if (!file)
        return cz_fail_memory(error, path);
    file->path = strdup(path);
    file->name = name ? strdup(name) : NULL;
    if (!hasher->started)
        hasher->started = pthread_create(&hasher->thread, NULL, run, hasher) == 0;
    if (!file->path || (name && !file->name) || !hasher->started) {
        file_free(file);
        return cz_fail_memory(error, path);
    }
    pthread_mutex_lock(&hasher->lock);
    while (*end)
        end = &(*end)->next;
    *end = *out = file;
    pthread_cond_broadcast(&hasher->changed);
    pthread_mutex_unlock(&hasher->lock);
    return CLOZE_OK;
}

void cz_hasher_allow(struct cz_hasher *hasher, struct cz_hashed_file *file, uint64_t available)
{
    pthread_mutex_lock(&hasher->lock);
    file->available = available;
    pthread_cond_broadcast(&hasher->changed);
    pthread_mutex_unlock(&hasher->lock);
}

cloze_status cz_hasher_wait(struct cz_hasher *hasher, const struct cz_hashed_file *file,
                            char sha256[CZ_SHA256_TEXT + 1], struct cloze_error *error)
{
    pthread_mutex_lock(&hasher->lock);
    while (!file->ended)
        pthread_cond_wait(&hasher->changed, &hasher->lock);
    pthread_mutex_unlock(&hasher->lock);
    memcpy(sha256, file->sha256, CZ_SHA256_TEXT + 1);
    if (file->status && error)
        *error = file->error;
    return file->status;
}

cloze_status cz_hasher_wait_all(struct cz_hasher *hasher, struct cz_buffer *checksums,
                                struct cloze_error *error)
{
    char sha256[CZ_SHA256_TEXT + 1];
    cloze_status status = CLOZE_OK;
    for (const struct cz_hashed_file *file = hasher->files; !status && file; file = file->next) {
        if (!file->name)
            continue;
        status = cz_hasher_wait(hasher, file, sha256, error);
        if (!status)
            cz_checksums_append(checksums, file->name, sha256);
    }
    return status;
}
