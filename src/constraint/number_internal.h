/* number_internal.h - the layout of a number store; for number*.c only. */
#ifndef CZ_CONSTRAINT_NUMBER_INTERNAL_H
#define CZ_CONSTRAINT_NUMBER_INTERNAL_H

#include "base/arena.h"
#include "base/map.h"
#include "constraint/number.h"

#define NO_BOUND UINT32_MAX
#define MULTIPLE_LIMIT 1000000000000000000u

/* 0.digits x 10^point; zero has no digits. */
struct decimal {
    bool negative;
    uint32_t count;
    int32_t point;
    const char *digits; /* [count], in the store's arena */
    cz_numbers equal;   /* the set of this number alone; NONE: not made yet */
};

/* Multiples are integers at 10^-places: multipleOf 0.25 is multiple 25, places 2. */
struct cell {
    uint32_t low, high; /* decimals; NO_BOUND */
    uint64_t multiple;  /* 0: none */
    uint64_t excluded[CZ_NUMBERS_EXCLUDED];
    uint8_t low_open, high_open;
    int8_t places;
    int8_t excluded_count;
    uint32_t unused; /* keeps the bytes of equal cells equal */
};

struct number_set {
    uint32_t first, count; /* cells */
    uint8_t alive;         /* 0 unknown, 1 no, 2 yes */
};

enum phase {
    PHASE_START,
    PHASE_MINUS,
    PHASE_ZERO,
    PHASE_INTEGER,
    PHASE_POINT,
    PHASE_FRACTION,
    PHASE_E,
    PHASE_E_SIGN,
    PHASE_EXPONENT
};

/* What was read of a number, for one cell. The significant digits are those from the first that is
 * not zero; `stripped` of them end in a digit that is not zero, the rest are zeros. */
struct point {
    uint32_t cell;
    uint8_t phase, negative, exponent_negative;
    int8_t low_order, high_order; /* significant digits against the bounds' of this sign */
    uint32_t count, stripped;
    int32_t point; /* value = 0.digits x 10^point, as far as it is known */
    uint32_t fraction;
    uint64_t rest[1 + CZ_NUMBERS_EXCLUDED]; /* stripped digits modulo multiple, excluded */
    int64_t exponent_low, exponent_high;    /* from PHASE_E on: what the exponent may be */
    int64_t exponent;
};

struct number_state {
    uint32_t first, count; /* in state_points */
};

struct cz_number_store {
    bool generate;
    bool limited; /* compiling: limits hold */
    cloze_status failed;
    struct cz_arena arena;
    struct cz_map decimal_names; /* by sign, point and digits */
    struct decimal *decimals;
    uint32_t decimal_count, decimal_capacity;
    struct cell *cells;
    uint32_t cell_count, cell_capacity;
    struct number_set *sets;
    uint32_t set_count, set_capacity;
    struct point *points;
    uint32_t point_count, point_capacity;
    uint32_t *point_table;
    uint32_t point_table_size;
    struct number_state *states;
    uint32_t state_count, state_capacity;
    uint32_t *state_points;
    uint32_t state_point_count, state_point_capacity;
    uint32_t *state_table;
    uint32_t state_table_size;
};

int cz_decimal_compare(const struct decimal *a, const struct decimal *b);

#endif
