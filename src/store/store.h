/*
 * store.h - the model store: a folder tree that the real BentoML reads and writes too.
 *
 *   <home>/models/<name>/<version>/model.yaml + the model's files + SHA256SUMS
 *   <home>/models/<name>/latest             the newest version, without a line feed
 *   <home>/staging/<random>/                imports and removals under way, each with its own lock
 *   <home>/staging/lock                     held while something is published or taken out
 *   <home>/cache/packed/                    packed weights, made by the engine
 *   <home>/cache/downloads/                 files of the hub while they come
 *
 * <home> is $CLOZE_HOME, else $BENTOML_HOME, else ~/bentoml. A model appears by one rename and
 * vanishes by one rename, so readers take no lock and a killed process leaves nothing half done
 * below models/; what it leaves below staging/ and cache/ cz_store_collect removes.
 *
 * Functions may be called from any thread and process; a struct belongs to its caller.
 */
#ifndef CZ_STORE_STORE_H
#define CZ_STORE_STORE_H

#include "store/tag.h"

#define CZ_STORE_CHECKSUMS "SHA256SUMS"

struct cz_store {
    char *home;      /* all owned */
    char *models;    /* <home>/models */
    char *staging;   /* <home>/staging */
    char *cache;     /* <home>/cache, where the engine keeps its own below */
    char *downloads; /* <home>/cache/downloads */
};

/* A model of the store. What is wrong with a damaged one stands in `damage`; its other fields are
 * as good as could be found out. */
struct cz_store_entry {
    struct cz_tag tag;
    char *path; /* owned, like module and damage */
    char *module;
    char *damage;         /* NULL when the model is whole */
    uint64_t creation_us; /* 0 when damaged */
    uint64_t size_bytes;  /* of all files */
};

struct cz_store_list {
    struct cz_store_entry *entries; /* [count], owned */
    size_t count;
};

/* `home` NULL: from the environment. Creates nothing. */
cloze_status cz_store_open(const char *home, struct cz_store *store, struct cloze_error *error);
void cz_store_close(struct cz_store *store);

/* All models, or all versions of `name`; newest first, damaged ones last. A name that the store
 * does not have is CLOZE_NOT_FOUND; an empty store is an empty list. */
cloze_status cz_store_list(const struct cz_store *store, const char *name,
                           struct cz_store_list *list, struct cloze_error *error);
void cz_store_list_free(struct cz_store_list *list);

/*
 * Finds one model. "name" and "name:latest" are what the file `latest` says, or the newest when it
 * is missing or stale; "name:version" is that version, or the only one that begins so. A damaged
 * model is CLOZE_CORRUPT, and *entry is filled nonetheless (free it in any case).
 */
cloze_status cz_store_find(const struct cz_store *store, const char *tag,
                           struct cz_store_entry *entry, struct cloze_error *error);
void cz_store_entry_free(struct cz_store_entry *entry);

/* Takes exactly this version out of the store and removes its files. */
cloze_status cz_store_remove(const struct cz_store *store, const struct cz_tag *tag,
                             struct cloze_error *error);

#endif
