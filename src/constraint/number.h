/*
 * number.h - sets of JSON numbers, exact on their decimal text.
 *
 * A set is a union of cells; a cell is an interval with open, closed or infinite ends, at most one
 * "multiple of", and at most CZ_NUMBERS_EXCLUDED "not a multiple of". No float is involved: bounds
 * are compared digit by digit, remainders are kept modulo the multiple. Sets are closed under union,
 * intersection and complement.
 *
 * A state says what has been read of a number, as far as the set can tell prefixes apart: how the
 * significant digits compare with each bound, where the point is, the remainders. Exponents are
 * understood in acceptance; generation writes plain decimals of at most CZ_NUMBER_DIGITS digits
 * unless a bound has more.
 */
#ifndef CZ_CONSTRAINT_NUMBER_H
#define CZ_CONSTRAINT_NUMBER_H

#include "base/slice.h"

typedef uint32_t cz_numbers;      /* names a set of one store */
typedef uint32_t cz_number_state; /* names a state; 0 is dead */

enum { CZ_NUMBERS_NONE = 0, CZ_NUMBERS_ALL = 1, CZ_NUMBERS_INTEGERS = 2 };
enum {
    CZ_NUMBERS_EXCLUDED = 6,
    CZ_NUMBERS_CELLS = 20000,      /* of one set */
    CZ_NUMBER_DIGITS = 15,         /* that generation writes when no bound has more */
    CZ_NUMBER_BOUND_DIGITS = 400,  /* significant digits and decimal exponent of a bound */
    CZ_NUMBER_MULTIPLE_DIGITS = 18 /* of a multiple, with its fraction written out */
};

struct cz_number_store;

struct cz_number_store *cz_number_store_create(bool generate);
void cz_number_store_free(struct cz_number_store *store);
size_t cz_number_store_bytes(const struct cz_number_store *store);
/* CLOZE_OK, or why a builder returned CZ_NUMBERS_NONE: past a limit, or without memory. */
cloze_status cz_number_status(const struct cz_number_store *store, struct cloze_error *error);

/* The limits hold until then: compiling is bounded, what was compiled never fails. */
void cz_numbers_unlimit(struct cz_number_store *store);

/* Texts are JSON numbers. */
cz_numbers cz_numbers_above(struct cz_number_store *store, struct cz_slice bound, bool open);
cz_numbers cz_numbers_below(struct cz_number_store *store, struct cz_slice bound, bool open);
/* NONE, and nothing has failed, when there are no limits and the exponent has ten digits. */
cz_numbers cz_numbers_equal(struct cz_number_store *store, struct cz_slice value);
/* One of the values. */
cz_numbers cz_numbers_among(struct cz_number_store *store, const struct cz_slice *values,
                            size_t count);
cz_numbers cz_numbers_multiple(struct cz_number_store *store, struct cz_slice step);
cz_numbers cz_numbers_and(struct cz_number_store *store, cz_numbers a, cz_numbers b);
cz_numbers cz_numbers_or(struct cz_number_store *store, cz_numbers a, cz_numbers b);
cz_numbers cz_numbers_not(struct cz_number_store *store, cz_numbers a);
/* Whether any text of the policy spells a number of the set. */
bool cz_numbers_alive(struct cz_number_store *store, cz_numbers set);
/* How many numbers, at most `limit`. */
size_t cz_numbers_count(struct cz_number_store *store, cz_numbers set, size_t limit);

cz_number_state cz_number_start(struct cz_number_store *store, cz_numbers set);
/* The state after one more character; 0 when no number of the set goes on so. */
cz_number_state cz_number_step(struct cz_number_store *store, cz_number_state state, uint8_t byte);
bool cz_number_is_whole(struct cz_number_store *store, cz_number_state state);
/* Appends what completes a number from here, short but not always shortest. */
bool cz_number_finish(struct cz_number_store *store, cz_number_state state, struct cz_buffer *out);

#endif
