/* digest.c - SHA-256 through the EVP interface. */
#include "base/digest.h"

#include "base/file.h"

#include <openssl/evp.h>
#include <stdio.h>

/* Two lower-case digits a byte, and a NUL. */
static void write_hexadecimal(const unsigned char *raw, size_t size, char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[raw[i] >> 4];
        text[2 * i + 1] = digits[raw[i] & 15];
    }
    text[2 * size] = '\0';
}

cloze_status cz_sha256_start(struct cz_sha256 *digest, struct cloze_error *error)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(context);
        digest->context = NULL;
        return cz_fail_memory(error, "SHA-256");
    }
    digest->context = context;
    return CLOZE_OK;
}

void cz_sha256_update(struct cz_sha256 *digest, const void *data, size_t size)
{
    EVP_DigestUpdate(digest->context, data, size);
}

void cz_sha256_finish(struct cz_sha256 *digest, char text[CZ_SHA256_TEXT + 1])
{
    unsigned char raw[EVP_MAX_MD_SIZE] = {0};
    EVP_DigestFinal_ex(digest->context, raw, NULL);
    EVP_MD_CTX_free(digest->context);
    digest->context = NULL;
    write_hexadecimal(raw, CZ_SHA256_SIZE, text);
}

cloze_status cz_sha256_file(const char *path, char text[CZ_SHA256_TEXT + 1],
                            struct cloze_error *error)
{
    struct cz_mapping mapping;
    cloze_status result = cz_file_map(path, &mapping, error);
    if (result)
        return result;
    struct cz_sha256 digest;
    result = cz_sha256_start(&digest, error);
    if (!result) {
        cz_sha256_update(&digest, mapping.data, mapping.size);
        cz_sha256_finish(&digest, text);
    }
    cz_file_unmap(&mapping);
    return result;
}

cloze_status cz_git_blob_file(const char *path, char text[CZ_SHA1_TEXT + 1],
                              struct cloze_error *error)
{
    struct cz_mapping mapping;
    cloze_status result = cz_file_map(path, &mapping, error);
    if (result)
        return result;
    char header[40];
    int size = snprintf(header, sizeof header, "blob %zu", mapping.size) + 1;
    unsigned char raw[EVP_MAX_MD_SIZE] = {0};
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context && EVP_DigestInit_ex(context, EVP_sha1(), NULL) == 1 &&
        EVP_DigestUpdate(context, header, (size_t)size) == 1 &&
        EVP_DigestUpdate(context, mapping.data, mapping.size) == 1 &&
        EVP_DigestFinal_ex(context, raw, NULL) == 1)
        write_hexadecimal(raw, CZ_SHA1_TEXT / 2, text);
    else
        result = cz_fail_memory(error, "SHA-1");
    EVP_MD_CTX_free(context);
    cz_file_unmap(&mapping);
    return result;
}
