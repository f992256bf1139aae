/*
 * checksum.h - SHA256SUMS: the digest of every file of a model, in the format that sha256sum -c
 * reads: "<64 hexadecimal digits>  <name>", one line a file, names relative to the model's folder.
 */
#ifndef CZ_STORE_CHECKSUM_H
#define CZ_STORE_CHECKSUM_H

#include "base/digest.h"

struct cz_checksum {
    struct cz_slice name; /* relative path */
    struct cz_slice sha256;
};

struct cz_checksums {
    struct cz_checksum *items; /* [count] */
    size_t count;
    struct cz_buffer text; /* what the items point into */
};

/* Parses the list; names that leave the folder are refused. Takes over the buffer. */
cloze_status cz_checksums_parse(struct cz_buffer *text, struct cz_checksums *checksums,
                                struct cloze_error *error);
/* Reads <folder>/SHA256SUMS; CLOZE_NOT_FOUND when the model has none (BentoML writes none). */
cloze_status cz_checksums_read(const char *folder, struct cz_checksums *checksums,
                               struct cloze_error *error);
void cz_checksums_free(struct cz_checksums *checksums);
/* The digest of `name`, empty when the list does not have it. */
struct cz_slice cz_checksums_find(const struct cz_checksums *checksums, struct cz_slice name);

/* Every file of the list exists (CLOZE_CORRUPT names the first that does not). No list: fine. */
cloze_status cz_checksums_check_presence(const char *folder, struct cloze_error *error);

void cz_checksums_append(struct cz_buffer *text, const char *name, const char *sha256);

#endif
