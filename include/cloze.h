/*
 * cloze.h - the public face of libcloze: language models that answer in your schema.
 *
 * Sections, in the order in which they build on each other:
 *   1. status and errors
 *   2. the constraint engine alone (bring your own inference)
 *   3. the embedded engine
 *   4. services: typed endpoints served over HTTP
 *   5. the client
 *
 * Conventions. Every function that can fail returns a cloze_status and, where it takes a
 * `struct cloze_error *`, fills it; the pointer may be NULL. Nothing here prints, exits, aborts or
 * installs a signal handler. Strings are UTF-8; a `const char *` is NUL-terminated unless a size
 * stands beside it. Structs without a definition here are opaque.
 */
#ifndef CLOZE_H
#define CLOZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CLOZE_API __attribute__((visibility("default")))
#else
#define CLOZE_API
#endif

#define CLOZE_VERSION "0.1.0"

/* ---- 1. Status and errors ------------------------------------------------------------------- */

typedef enum cloze_status {
    CLOZE_OK = 0,
    CLOZE_INVALID,       /* an argument or an input is malformed */
    CLOZE_UNSUPPORTED,   /* well formed, but a feature that Cloze refuses by name */
    CLOZE_UNSATISFIABLE, /* a constraint that no answer can meet */
    CLOZE_LIMIT,         /* a documented limit is exceeded: size, depth, budget, fuel */
    CLOZE_NOT_FOUND,     /* a file, tag, route or key that does not exist */
    CLOZE_EXISTS,        /* what was to be created is there already */
    CLOZE_CORRUPT,       /* a file contradicts itself or its recorded digest */
    CLOZE_IO,            /* the operating system refused: open, read, write, rename, map */
    CLOZE_NETWORK,       /* a peer could not be reached or answered wrongly */
    CLOZE_DENIED,        /* authentication or permission */
    CLOZE_BUSY,          /* try again later: queue full, lock held, still loading */
    CLOZE_TIMEOUT,       /* a deadline passed */
    CLOZE_CANCELLED,     /* the caller or its client went away */
    CLOZE_MEMORY,        /* out of memory */
    CLOZE_INTERNAL       /* a defect in Cloze; please report it */
} cloze_status;

/*
 * Why something failed. `message` says what was wrong and what would be right; `where` says where,
 * in the form that fits the input: "file.gguf:1024" (byte offset), "line 3, column 7",
 * "/properties/age" (JSON Pointer), an argument's name. Both are always NUL-terminated, and cut
 * when they would not fit.
 */
struct cloze_error {
    cloze_status code;
    char where[256];
    char message[768];
};

/* The status as one lower-case word ("ok", "invalid", "unsatisfiable", ...). Never NULL. */
CLOZE_API const char *cloze_status_name(cloze_status status);

/* The library's version, equal to CLOZE_VERSION of the header it was built with. */
CLOZE_API const char *cloze_version(void);

#ifdef __cplusplus
}
#endif

#endif
