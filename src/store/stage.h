/*
 * stage.h - how models come into the store and leave it: whole, by one rename.
 *
 * A stage is a folder <home>/staging/<random> on the store's own file system, with the file `lock`
 * held (flock) as long as its owner lives, and the folder `content`, which becomes the model. Its
 * owner fills content, and publishes. A stage whose lock can be had is a dead process's, and the
 * collection removes it.
 */
#ifndef CZ_STORE_STAGE_H
#define CZ_STORE_STAGE_H

#include "store/store.h"

struct cz_stage {
    char *folder; /* owned, like content */
    char *content;
    int lock; /* descriptor; -1 when closed */
};

cloze_status cz_stage_open(const struct cz_store *store, struct cz_stage *stage,
                           struct cloze_error *error);

/*
 * Makes all of content durable (fsync of files, folders, and the parents on both sides) and renames
 * it to models/<name>/<version>. CLOZE_EXISTS when the tag is there. `latest` moves to it unless
 * the newest so far is newer than creation_us.
 */
cloze_status cz_stage_publish(const struct cz_store *store, struct cz_stage *stage,
                              const struct cz_tag *tag, uint64_t creation_us,
                              struct cloze_error *error);

/* Removes what is left in the stage; fine after a failed open. */
void cz_stage_close(struct cz_stage *stage);

struct cz_collection {
    size_t stages;       /* leftovers of dead processes */
    size_t downloads;    /* files of the hub that no import is using */
    uint64_t size_bytes; /* freed */
};

/* Only the stages: what every import begins with, so that interrupted ones don't add up. */
cloze_status cz_store_collect_stages(const struct cz_store *store, struct cz_collection *collection,
                                     struct cloze_error *error);
/* Removes leftovers: stages and downloads whose locks nobody holds. */
cloze_status cz_store_collect(const struct cz_store *store, struct cz_collection *collection,
                              struct cloze_error *error);

#endif
