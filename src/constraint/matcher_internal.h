/* matcher_internal.h - the layout of a matcher; for matcher.c and forced.c. */
#ifndef CZ_CONSTRAINT_MATCHER_INTERNAL_H
#define CZ_CONSTRAINT_MATCHER_INTERNAL_H

#include "constraint/grammar_internal.h"
#include "constraint/matcher.h"

struct record {
    uint32_t token;
    uint32_t first; /* its threads begin here */
    uint32_t text_size;
    bool finished;
};

struct cz_matcher {
    struct cz_grammar *grammar;
    struct cz_machine *machine;
    struct cz_threads threads;
    struct record *records;
    uint32_t record_count, record_capacity; /* the first record is the start */
    struct cz_buffer text;
    struct cz_threads scratch[2];
    uint32_t guess; /* of the last look for forced tokens; UINT32_MAX: none */
    struct cz_buffer forced_ids; /* uint32_t each: what the tokenizer made of a forced run */
    uint32_t *words; /* [vocab words] for masks that are put together */
    uint32_t *ids; /* [512] of masks that are handed out as a list */
    bool budgeted, heedless; /* heedless: masks ignore the budget */
    uint32_t budget_end; /* records until which the answer must be complete */
    struct cz_buffer plan; /* tokens (uint32_t each) that complete the answer from record plan_begin */
    uint32_t plan_begin;
};

/* As cz_matcher_fits; the machine's lock is held. */
bool cz_matcher_fits_locked(struct cz_matcher *matcher, uint32_t token);
bool cz_matcher_accept_locked(struct cz_matcher *matcher, uint32_t token);

#endif
