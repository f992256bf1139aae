/*
 * import.h - bringing a model into the store.
 *
 * Every source ends in a stage's content folder: copied, linked, unpacked or downloaded there. Then
 * the model is opened as the engine would open it (every tensor's shape, type and bounds), the
 * digest of every file, which a thread makes meanwhile, is recorded, and all of it is published at
 * once.
 */
#ifndef CZ_STORE_IMPORT_H
#define CZ_STORE_IMPORT_H

#include "base/arena.h"
#include "base/digest.h"
#include "store/hasher.h"
#include "store/store.h"

/* What happens, for a progress bar: `what` is a word or two ("copying", "downloading x"), `total`
 * 0 when unknown. Called from the importing thread, often. */
typedef void cz_import_progress(void *context, const char *what, uint64_t done, uint64_t total);

struct cz_import_options {
    /* A GGUF file, a folder, an archive, or hf:ORG/NAME[@REVISION][:FILE or QUANTISATION] */
    const char *source;
    const char *tag; /* NULL: a name made from the source, and a new version */
    const char *quantize; /* how the engine packs the weights, for the record; NULL: as they are */
    bool link;       /* share the files' data with the source where the file system can */
    cz_import_progress *progress; /* may be NULL */
    void *context;
    /* Called with folder and size of a model that has passed its checks, while its digests are still
     * being made; it is published under another path. May be NULL. */
    void (*prepare)(void *context, const char *folder, uint64_t size_bytes);
    void *prepare_context;
};

/* On success *entry is the new model (free it). */
cloze_status cz_store_import(const struct cz_store *store, const struct cz_import_options *options,
                             struct cz_store_entry *entry, struct cloze_error *error);

/* ---- For the kinds of sources ---- */

struct cz_stage;
struct cz_selection;
struct cz_import_download;

/* An import under way. */
struct cz_import {
    const struct cz_store *store;
    const struct cz_import_options *options;
    struct cz_stage *stage;
    const char *name_source; /* what the name is derived from, when there is no tag; in the arena */
    const char *description; /* "hf:org/name:Q4_1", a file's name; in the arena */
    const char *model_id;    /* hub: "org/name" */
    const char *revision;    /* hub: the commit */
    bool has_manifest;       /* content/model.yaml came with the source */
    struct cz_buffer *checksums; /* lines of SHA256SUMS for files that are in content */
    struct cz_buffer *recorded;  /* the SHA256SUMS that came with the source */
    struct cz_hasher hasher;     /* makes the other lines */
    struct cz_arena *arena;
    uint64_t done, total; /* bytes, for the progress */
    const char *what;
    struct cz_import_download *downloads;
};

void cz_import_report(struct cz_import *import, const char *what, uint64_t done, uint64_t total);
/* CLOZE_IO unless the store's file system has `size_bytes` and a little more. */
cloze_status cz_import_check_space(struct cz_import *import, uint64_t size_bytes,
                                   struct cloze_error *error);
/* Brings the files of a selection into content: by renaming them when they are the import's own
 * (`move`), else by linking or copying. */
cloze_status cz_import_files(struct cz_import *import, const struct cz_selection *selection,
                             bool move, struct cloze_error *error);
/* Brings one file of another owner into content as `name`, linked or copied. Its digest is waited for
 * and appended to the checksums when `sha256` has room for it; with NULL the hasher has it later. */
cloze_status cz_import_file(struct cz_import *import, const char *path, const char *name,
                            uint64_t size, char *sha256, struct cloze_error *error);

/* hub.c: from the Hugging Face Hub or its local cache. */
cloze_status cz_import_from_hub(struct cz_import *import, struct cloze_error *error);

/* A download that the import holds (its lock is the open descriptor) until the model is published:
 * then the file goes; when the import fails it stays, to be continued by the next one. */
struct cz_import_download {
    const char *path; /* in the arena */
    int descriptor;
    struct cz_import_download *next;
};

#endif
