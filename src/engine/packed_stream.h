/*
 * packed_stream.h - one worker's way into a packed file: pieces at ascending places, written in chunks.
 *
 * Chunks begin and end at multiples of their size, so that the page cache holds the file in pages as
 * large as the file system has, and writing to the disk starts as soon as a chunk is there. A stream
 * belongs to one thread; several write to one file at places that don't overlap, and take turns: file
 * systems let one thread write to a file at a time, and the kernel lets others spin meanwhile.
 */
#ifndef CZ_ENGINE_PACKED_STREAM_H
#define CZ_ENGINE_PACKED_STREAM_H

#include "base/error.h"

#include <pthread.h>

enum { CZ_PACKED_CHUNK = 2 << 20 };

struct cz_packed_stream {
    int descriptor;        /* borrowed */
    const char *path;      /* for errors; borrowed */
    pthread_mutex_t *lock; /* of the file; borrowed */
    unsigned char *buffer; /* what the file shall hold from `position` on; owned */
    uint64_t position;
    size_t size;
};

/* Pieces have at most `largest` bytes. */
cloze_status cz_packed_stream_open(struct cz_packed_stream *stream, int descriptor,
                                   const char *path, pthread_mutex_t *lock, size_t largest,
                                   struct cloze_error *error);
/* Where to write the piece at `position` to. When it `follows` the last one, nobody else's pieces lie
 * between them: a small gap is filled with zeros. */
cloze_status cz_packed_stream_place(struct cz_packed_stream *stream, uint64_t position,
                                    bool follows, unsigned char **out, struct cloze_error *error);
/* The piece last placed has been written: whole chunks go out. */
cloze_status cz_packed_stream_advance(struct cz_packed_stream *stream, size_t size,
                                      struct cloze_error *error);
/* Writes what is left and frees the memory; with `write` false it only frees. */
cloze_status cz_packed_stream_close(struct cz_packed_stream *stream, bool write,
                                    struct cloze_error *error);

#endif
