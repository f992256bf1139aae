/* packed_stream.c - collects pieces and writes them in chunks. */
#include "engine/packed_stream.h"

#include "base/file.h"
#include "base/size.h"

#include <fcntl.h>
#include <stdlib.h>

enum { LARGEST_GAP = 64 << 10 };

cloze_status cz_packed_stream_open(struct cz_packed_stream *stream, int descriptor,
                                   const char *path, pthread_mutex_t *lock, size_t largest,
                                   struct cloze_error *error)
{
    *stream = (struct cz_packed_stream){.descriptor = descriptor, .path = path, .lock = lock};
    stream->buffer = malloc(CZ_PACKED_CHUNK + LARGEST_GAP + largest);
    return stream->buffer ? CLOZE_OK : cz_fail_memory(error, "packing");
}

/* Writes the first `size` bytes of the buffer. */
static cloze_status write_out(struct cz_packed_stream *stream, size_t size,
                              struct cloze_error *error)
{
    if (!size)
        return CLOZE_OK;
    struct cz_slice bytes = cz_slice_of((const char *)stream->buffer, size);
    pthread_mutex_lock(stream->lock);
    cloze_status status =
        cz_file_write_at(stream->descriptor, bytes, stream->position, stream->path, error);
    pthread_mutex_unlock(stream->lock);
    /* To the disk while the next is made; fsync will wait for it and tell of failures. */
    if (!status)
        sync_file_range(stream->descriptor, (off_t)stream->position, (off_t)size,
                        SYNC_FILE_RANGE_WRITE);
    stream->position += size;
    stream->size -= size;
    memmove(stream->buffer, stream->buffer + size, stream->size);
    return status;
}

cloze_status cz_packed_stream_place(struct cz_packed_stream *stream, uint64_t position,
                                    bool follows, unsigned char **out, struct cloze_error *error)
{
    uint64_t end = stream->position + stream->size;
    cloze_status status = CLOZE_OK;
    if (!follows || position < end || position - end > LARGEST_GAP) {
        status = write_out(stream, stream->size, error);
        stream->position = end = position;
    }
    memset(stream->buffer + stream->size, 0, position - end);
    stream->size += position - end;
    *out = stream->buffer + stream->size;
    return status;
}

cloze_status cz_packed_stream_advance(struct cz_packed_stream *stream, size_t size,
                                      struct cloze_error *error)
{
    stream->size += size;
    uint64_t end = stream->position + stream->size;
    uint64_t whole = end / CZ_PACKED_CHUNK * CZ_PACKED_CHUNK;
    return whole > stream->position ? write_out(stream, whole - stream->position, error) : CLOZE_OK;
}

cloze_status cz_packed_stream_close(struct cz_packed_stream *stream, bool write,
                                    struct cloze_error *error)
{
    cloze_status status = write ? write_out(stream, stream->size, error) : CLOZE_OK;
    free(stream->buffer);
    *stream = (struct cz_packed_stream){0};
    return status;
}
