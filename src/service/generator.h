/*
 * generator.h - what a service needs of a language model: a prompt and a constraint in, text out.
 *
 * The seam between the service and the engine. `generate` blocks and may be called by any number of
 * threads at once; it watches `cancelled` between tokens and then returns CLOZE_CANCELLED soon.
 */
#ifndef CZ_SERVICE_GENERATOR_H
#define CZ_SERVICE_GENERATOR_H

#include "base/slice.h"

#include <stdatomic.h>

enum cz_generate_kind {
    CZ_GENERATE_TEXT,
    CZ_GENERATE_JSON_SCHEMA, /* constraint: JSON text of a schema */
    CZ_GENERATE_JSON_OBJECT, /* any JSON object */
    CZ_GENERATE_REGEX,
    CZ_GENERATE_CHOICE, /* constraint: a JSON array of strings */
    CZ_GENERATE_TYPE    /* constraint: "int", "float", "bool", "date", ... */
};

struct cz_generate_request {
    struct cz_slice prompt;
    struct cz_slice system; /* size 0: none */
    bool raw;               /* no chat template */
    enum cz_generate_kind kind;
    struct cz_slice constraint;
    bool has_temperature, has_top_p, has_seed, has_max_tokens;
    double temperature, top_p;
    int64_t seed;
    int64_t max_tokens;
    const atomic_bool *cancelled; /* never NULL */
};

struct cz_generate_result {
    struct cz_buffer text;     /* UTF-8 */
    const char *finish_reason; /* "stop" or "length", static */
    uint64_t prompt_tokens, completion_tokens;
    uint64_t first_token_ns; /* from the call to the first token */
    uint64_t total_ns;
};

struct cz_generator {
    void *context;
    /* The caller frees result->text, also after a failure. An error of the constraint has the place
     * inside it in error->where (a JSON Pointer for schemas). */
    cloze_status (*generate)(void *context, const struct cz_generate_request *request,
                             struct cz_generate_result *result, struct cloze_error *error);
};

#endif
