/*
 * hub_repository.h - what hf:ORG/NAME[@REVISION][:FILE or QUANTISATION] means: the words parsed,
 * the hub's listing of a repository read, and the files chosen. No network here.
 */
#ifndef CZ_STORE_HUB_REPOSITORY_H
#define CZ_STORE_HUB_REPOSITORY_H

#include "json/json.h"

enum {
    CZ_HUB_PART = 192,  /* bytes of an id, a revision, a choice */
    CZ_HUB_COMMIT = 40, /* hexadecimal digits */
    CZ_HUB_MAXIMUM_LISTING = 64 << 20
};

struct cz_hub_address {
    char id[CZ_HUB_PART];       /* "org/name", or "name" for the oldest models */
    char revision[CZ_HUB_PART]; /* branch, tag or commit; "main" when not given */
    char choice[CZ_HUB_PART];   /* a file's path or a quantisation; "" when not given */
};

cloze_status cz_hub_address_parse(const char *text, struct cz_hub_address *address,
                                  struct cloze_error *error);

struct cz_hub_file {
    const char *path;   /* in the repository, safe below a folder */
    const char *sha256; /* of a large file (LFS); NULL for others */
    const char *sha1;   /* git's blob id of a small file; NULL for large ones */
    uint64_t size;
    bool chosen;
};

struct cz_hub_listing {
    const char *commit;        /* 40 hexadecimal digits */
    struct cz_hub_file *files; /* [count] */
    size_t count;
};

/* Reads the answer of GET /api/models/<id>/revision/<revision>?blobs=true. All in the arena. */
cloze_status cz_hub_listing_parse(struct cz_arena *arena, struct cz_slice json,
                                  struct cz_hub_listing *listing, struct cloze_error *error);

/*
 * Sets `chosen` on the files to import. With a choice: that file, or the GGUF of that quantisation,
 * with all its shards. Without: config.json, *.safetensors and the small files beside them; or the
 * only GGUF. Anything else is an error that lists what there is.
 */
cloze_status cz_hub_listing_choose(struct cz_hub_listing *listing,
                                   const struct cz_hub_address *address, struct cloze_error *error);

#endif
