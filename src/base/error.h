/*
 * error.h - how functions report failure.
 *
 * A function that can fail returns a cloze_status and fills the caller's struct cloze_error (which
 * may be NULL). The deepest function that knows what went wrong writes the error; its callers
 * return the status unchanged, or add the place with cz_error_at.
 */
#ifndef CZ_BASE_ERROR_H
#define CZ_BASE_ERROR_H

#include "cloze.h"

#define CZ_PRINTF(position, first) __attribute__((format(printf, position, first)))

/* Returns `code`, so that `return cz_fail(...)` reads as one step. `where` may be NULL. */
cloze_status cz_fail(struct cloze_error *error, cloze_status code, const char *where,
                     const char *format, ...) CZ_PRINTF(4, 5);

/* CLOZE_MEMORY with the usual message; `what` names what could not be allocated. */
cloze_status cz_fail_memory(struct cloze_error *error, const char *what);

/* CLOZE_IO (or CLOZE_NOT_FOUND for ENOENT, CLOZE_EXISTS for EEXIST) from errno, naming `path`. */
cloze_status cz_fail_errno(struct cloze_error *error, const char *path, const char *action);

/* Puts `prefix` before error->where ("model.gguf" + "tensor x" = "model.gguf: tensor x"). */
void cz_error_at(struct cloze_error *error, const char *prefix);

#endif
