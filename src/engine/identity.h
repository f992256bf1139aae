/*
 * identity.h - which weights a model source holds: a digest of its content, found without reading
 * it.
 *
 * The digest names the packed file, so that two copies of a model share one. Hashing costs a second
 * per 1.5 GB; therefore it is remembered in `cache_folder`/identity under what stat(2) says of the
 * files (device, inode, size, times). A change of any of those hashes again.
 */
#ifndef CZ_ENGINE_IDENTITY_H
#define CZ_ENGINE_IDENTITY_H

#include "base/digest.h"

enum { CZ_SOURCE_FILES_MAXIMUM = 4096 };

/* The digest over names, sizes and contents of the source's weight files: a GGUF file with its
 * shards, or the *.safetensors, *.gguf and config.json of a folder. A cache folder that can't be
 * written is no error; the digest is then made every time. */
cloze_status cz_source_digest(const char *source, const char *cache_folder,
                              char digest[CZ_SHA256_TEXT + 1], struct cloze_error *error);

/* The same where the files' SHA-256 may be known: `known` writes that of a weight file and returns
 * true, or false for it to be read. */
typedef bool cz_known_digest(void *context, const char *name, char sha256[CZ_SHA256_TEXT + 1]);
cloze_status cz_source_digest_known(const char *source, const char *cache_folder,
                                    cz_known_digest *known, void *context,
                                    char digest[CZ_SHA256_TEXT + 1], struct cloze_error *error);

#endif
