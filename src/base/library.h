/*
 * library.h - shared libraries that are opened at first use, so that a process that doesn't need
 * them doesn't carry them and their dependencies.
 *
 * A user of a library keeps a struct of function pointers (declared as __typeof__(function) *, so
 * that the compiler checks every call against the library's header) and a table that says where
 * each symbol goes.
 */
#ifndef CZ_BASE_LIBRARY_H
#define CZ_BASE_LIBRARY_H

#include "base/error.h"

struct cz_library_symbol {
    const char *name;
    size_t offset; /* of the pointer in the struct of functions */
};

/* Opens the first of `names` (NULL-terminated sonames, best first) that is there and fills the
 * struct at `functions` by the table (NULL-terminated). The library stays open for the life of the
 * process. CLOZE_NOT_FOUND names the library and `package`, what to install. Not thread-safe for
 * the same struct: guard it with pthread_once or a lock. */
cloze_status cz_library_open(const char *const *names, const char *package,
                             const struct cz_library_symbol *symbols, void *functions,
                             struct cloze_error *error);

#endif
