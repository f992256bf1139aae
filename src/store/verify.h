/*
 * verify.h - whether a model of the store still is what was imported.
 */
#ifndef CZ_STORE_VERIFY_H
#define CZ_STORE_VERIFY_H

#include "store/import.h"

struct cz_verification {
    size_t files;       /* whose digest was compared */
    bool has_checksums; /* false for models that BentoML wrote: only the tensors were checked */
};

/* Compares every file's digest with SHA256SUMS and opens the model (shapes, types and bounds of all
 * tensors). CLOZE_CORRUPT names the first file
 * that differs or is missing. */
cloze_status cz_store_verify(const struct cz_store_entry *entry, cz_import_progress *progress,
                             void *context, struct cz_verification *verification,
                             struct cloze_error *error);

#endif
