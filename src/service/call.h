/*
 * call.h - one call of an endpoint: arguments in, a result or a refusal out.
 *
 * Implements section 4 of cloze.h. A call belongs to the thread that runs its handler; only
 * `cancelled` is written by others.
 */
#ifndef CZ_SERVICE_CALL_H
#define CZ_SERVICE_CALL_H

#include "service/arguments.h"
#include "service/generator.h"

struct cloze_call {
    const struct cz_endpoint *endpoint;
    const struct cz_argument *arguments; /* [parameter_count] */
    const struct cz_generator *generator;
    const atomic_bool *cancelled;
    struct cz_arena arena;

    struct cz_buffer result; /* text of a string output, else JSON */
    bool has_result;
    bool failed;               /* the handler misused the call: `error` says how */
    int http_status;           /* set by cloze_call_fail; 0: derived from the status */
    const char *problem_place; /* the argument that a refused constraint came from */
    struct cloze_error error;
    const char *finish_reason; /* of the generation that made the result; NULL: none */
    uint64_t prompt_tokens, completion_tokens, first_token_ns; /* of all generations */
};

/* Runs the endpoint's handler. `arguments` has to outlive the call; the result and the error are in
 * *call until cz_call_free. */
cloze_status cz_call_run(struct cloze_call *call);
void cz_call_free(struct cloze_call *call);
/* The HTTP status of a call that ended with `status`. */
int cz_call_http_status(const struct cloze_call *call, cloze_status status);

#endif
