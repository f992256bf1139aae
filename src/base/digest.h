/* digest.h - SHA-256 and git's SHA-1, by OpenSSL's libcrypto (which uses the CPU's SHA instructions). */
#ifndef CZ_BASE_DIGEST_H
#define CZ_BASE_DIGEST_H

#include "base/slice.h"

enum { CZ_SHA256_SIZE = 32, CZ_SHA256_TEXT = 64, CZ_SHA1_TEXT = 40 };

struct cz_sha256 {
    void *context; /* an EVP_MD_CTX, owned; NULL after a failed start or a finish */
};

cloze_status cz_sha256_start(struct cz_sha256 *digest, struct cloze_error *error);
void cz_sha256_update(struct cz_sha256 *digest, const void *data, size_t size);
/* Writes 64 lower-case hexadecimal digits and a NUL, and frees the state. */
void cz_sha256_finish(struct cz_sha256 *digest, char text[CZ_SHA256_TEXT + 1]);
/* The digest of a whole file, read through a mapping. */
cloze_status cz_sha256_file(const char *path, char text[CZ_SHA256_TEXT + 1],
                            struct cloze_error *error);

/* Git's name of a file's content: SHA-1 over "blob <size>", a NUL and the bytes. It identifies, it
 * does not protect. */
cloze_status cz_git_blob_file(const char *path, char text[CZ_SHA1_TEXT + 1],
                              struct cloze_error *error);

#endif
