/* verify.c - digests compared, tensors checked. */
#include "store/verify.h"

#include "base/file.h"
#include "model/model.h"
#include "store/checksum.h"

#include <sys/stat.h>

struct verifier {
    const struct cz_store_entry *entry;
    cz_import_progress *progress;
    void *context;
    uint64_t done;
    struct cloze_error *error;
};

static cloze_status verify_file(struct verifier *verifier, const struct cz_checksum *item)
{
    struct cz_buffer name = {0}, path = {0};
    char sha256[CZ_SHA256_TEXT + 1];
    struct stat info;
    cz_buffer_append_slice(&name, item->name);
    cloze_status status = cz_path_join(&path, verifier->entry->path, cz_buffer_text(&name))
                              ? cz_sha256_file(path.data, sha256, verifier->error)
                              : cz_fail_memory(verifier->error, verifier->entry->path);
    if (status == CLOZE_NOT_FOUND)
        status = cz_fail(verifier->error, CLOZE_CORRUPT, path.data, "is missing");
    if (!status && !cz_slice_is(item->sha256, sha256))
        status = cz_fail(verifier->error, CLOZE_CORRUPT, path.data,
                         "has changed: its SHA-256 is %s, recorded is " CZ_SLICE_FORMAT, sha256,
                         CZ_SLICE_ARG(item->sha256));
    if (!status && stat(path.data, &info) == 0)
        verifier->done += (uint64_t)info.st_size;
    if (verifier->progress)
        verifier->progress(verifier->context, "verifying", verifier->done,
                           verifier->entry->size_bytes);
    cz_buffer_free(&name);
    cz_buffer_free(&path);
    return status;
}

cloze_status cz_store_verify(const struct cz_store_entry *entry, cz_import_progress *progress,
                             void *context, struct cz_verification *verification,
                             struct cloze_error *error)
{
    struct verifier verifier = {entry, progress, context, 0, error};
    struct cz_checksums list;
    struct cz_model *model = NULL;
    *verification = (struct cz_verification){.has_checksums = true};
    cloze_status status = cz_checksums_read(entry->path, &list, error);
    if (status == CLOZE_NOT_FOUND) {
        verification->has_checksums = false;
        status = CLOZE_OK;
    }
    for (size_t i = 0; !status && i < list.count; i++) {
        status = verify_file(&verifier, &list.items[i]);
        verification->files += !status;
    }
    cz_checksums_free(&list);
    if (!status)
        status = cz_model_open(entry->path, &model, error);
    cz_model_close(model);
    return status;
}
