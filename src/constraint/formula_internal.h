/*
 * formula_internal.h - what the parts of the formulas share; for formula*.c only.
 */
#ifndef CZ_CONSTRAINT_FORMULA_INTERNAL_H
#define CZ_CONSTRAINT_FORMULA_INTERNAL_H

#include "constraint/machine.h"

enum {
    FACT_NULLABLE = 1,        /* nothing more has to come */
    FACT_BINDS = 2,           /* remembers items */
    FACT_PENDING = 4,         /* has FORMULA_WHEN in it */
    FACT_CLOSING = 8,         /* generation leaves undeclared keys out */
    FACT_COUNTS = 16,         /* see cz_formula_counts */
    FACT_CONSTANT = 32,       /* one single container meets it */
    FACT_DIFFERS = 64         /* a NOTONE of different constants: it is none of them */
};

/* What is known of a formula, worked out when it is made. */
struct formula_facts {
    uint64_t wants, wants_opposite; /* see cz_formula_wants; of the formula and of its opposite */
    uint64_t conjuncts;             /* a bit for each (several may share one), or for itself */
    uint64_t keys; /* a bit for each key that reading it may change (several may share one) */
    uint32_t opposite;              /* + 1; 0 not known yet */
    uint32_t facts;
    uint32_t stamp, memo; /* of the last walk that came by: machine->formula_stamp */
};

static inline bool cz_formula_has(const struct cz_machine *machine, cz_formula formula,
                                  uint32_t fact)
{
    return machine->formula_facts[formula].facts & fact;
}

/* See formula_facts.keys; all bits: any member or item may change it. */
#define KEYS_ANY UINT64_MAX
static inline uint64_t cz_key_bit(cz_key key)
{
    return 1ull << (key * 0x9E3779B1u >> 26);
}

/* Any kind of list. */
cz_formula cz_formula_list(struct cz_machine *machine, uint32_t kind, const cz_formula *parts,
                           uint32_t count);
/* None of these constants, which are all different. */
cz_formula cz_formula_differs(struct cz_machine *machine, const cz_formula *constants,
                              uint32_t count);
/* A conjunction without the part at the index of its words. */
cz_formula cz_formula_without(struct cz_machine *machine, cz_formula list, uint32_t index);
/* `in` for a member whose value is one of `value`, `out` for another. */
cz_formula cz_formula_when(struct cz_machine *machine, cz_value value, cz_formula in,
                           cz_formula out);

#endif
