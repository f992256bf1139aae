/*
 * codes.h - sets of Unicode code points, as sorted ranges.
 *
 * A set is built by adding ranges in any order and then normalised: ranges sorted, disjoint and not
 * adjacent. Every function below but cz_codes_add leaves its result normalised and expects
 * normalised arguments. The ranges live in the arena that was passed; a set that ran out of memory
 * has `failed` set, which sticks. Named sets (categories, scripts, properties) follow the Unicode
 * version of libunistring.
 */
#ifndef CZ_CONSTRAINT_CODES_H
#define CZ_CONSTRAINT_CODES_H

#include "base/arena.h"
#include "constraint/expr.h" /* struct cz_code_range */

enum { CZ_CODE_LAST = 0x10FFFF, CZ_SURROGATE_FIRST = 0xD800, CZ_SURROGATE_LAST = 0xDFFF };

struct cz_codes {
    struct cz_arena *arena;
    struct cz_code_range *ranges; /* [count] */
    size_t count, capacity;
    bool failed;
};

void cz_codes_add(struct cz_codes *set, uint32_t first, uint32_t last);
void cz_codes_add_set(struct cz_codes *set, const struct cz_codes *other);
void cz_codes_normalise(struct cz_codes *set);
void cz_codes_negate(struct cz_codes *set); /* within 0 .. CZ_CODE_LAST, surrogates included */
void cz_codes_intersect(struct cz_codes *set, const struct cz_codes *other);
bool cz_codes_has(const struct cz_codes *set, uint32_t code);
/* Adds every code point that differs from a member by case only (simple case mappings). */
void cz_codes_close_case(struct cz_codes *set);

/* Adds the code points that `name` stands for: a general category ("Lu", "Letter", "L&"), a script
 * ("Greek"), a binary property ("Alphabetic"), "Any", "ASCII", "Assigned", or one of these behind
 * "General_Category=", "gc=", "Script=" or "sc=". false when there is no such name. */
bool cz_codes_add_property(struct cz_codes *set, struct cz_slice name);

#endif
