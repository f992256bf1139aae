/*
 * number_state.c - reading a number of a set character by character.
 *
 * A state is a sorted list of points, one per cell that can still be met. Whether a point is alive
 * is decided by arithmetic: a value 0.DIGITS x 10^P that begins with the significant digits read so
 * far lies between the bounds for some place P of the point that the rest of the text can still
 * choose, and some continuation of the digits is a multiple.
 */
#include "constraint/number_internal.h"

#include "base/heap.h"

#include <stdio.h>
#include <stdlib.h>

__extension__ typedef unsigned __int128 wide;

enum { WIDE_DIGITS = 37, TRIES = 64, EXPONENT_LIMIT = 1 << 28 };

/* The bounds of one sign, as magnitudes. */
struct bounds {
    const struct decimal *low, *high; /* high NULL: none; a low of no digits is zero */
    bool low_open, high_open;
    bool dead; /* no number of this sign */
    bool zero; /* zero itself is in the cell, as far as the interval says */
};

static const struct decimal ZERO;

static struct bounds bounds_of(const struct cz_number_store *store, const struct cell *cell,
                               bool negative)
{
    struct bounds bounds = {.low = &ZERO};
    uint32_t near = negative ? cell->high : cell->low, far = negative ? cell->low : cell->high;
    bool near_open = negative ? cell->high_open : cell->low_open;
    if (near != NO_BOUND) {
        const struct decimal *bound = &store->decimals[near];
        if (bound->count == 0)
            bounds.low_open = near_open;
        else if (bound->negative == negative)
            bounds.low = bound, bounds.low_open = near_open;
    }
    if (far != NO_BOUND) {
        bounds.high = &store->decimals[far];
        bounds.high_open = negative ? cell->low_open : cell->high_open;
        bounds.dead = bounds.high->count && bounds.high->negative != negative;
        bounds.dead |= bounds.high->count == 0 && (bounds.high_open || bounds.low_open);
    }
    bounds.zero = !bounds.dead && bounds.low->count == 0 && !bounds.low_open &&
                  cell->excluded_count == 0 && !(negative && store->generate);
    return bounds;
}

static unsigned digit_of(const struct decimal *bound, uint32_t at)
{
    return at < bound->count ? (unsigned)(bound->digits[at] - '0') : 0;
}

static uint64_t shifted(uint64_t rest, uint64_t places, uint64_t modulus)
{
    uint64_t factor = 10 % modulus;
    for (; places; places >>= 1) {
        if (places & 1)
            rest = (uint64_t)((wide)rest * factor % modulus);
        factor = (uint64_t)((wide)factor * factor % modulus);
    }
    return rest % modulus;
}

/* How the value relates to its bounds when its point is at P. */
struct fit {
    bool possible, tight_low, tight_high;
};

static struct fit fit_of(const struct point *point, const struct bounds *bounds, int64_t P)
{
    struct fit fit = {.possible = true};
    if (bounds->low->count) {
        if (P < bounds->low->point)
            return (struct fit){0};
        fit.tight_low = P == bounds->low->point && point->low_order == 0;
        fit.possible &= !(P == bounds->low->point && point->low_order < 0);
    }
    if (bounds->high) {
        if (bounds->high->count == 0 || P > bounds->high->point)
            return (struct fit){0};
        fit.tight_high = P == bounds->high->point && point->high_order == 0;
        fit.possible &= !(P == bounds->high->point && point->high_order > 0);
    }
    return fit;
}

/* Digits may go on for ever: only the bounds matter. */
static bool fits_real(const struct point *point, const struct bounds *bounds, int64_t P)
{
    struct fit fit = fit_of(point, bounds, P);
    if (!fit.possible || !fit.tight_high)
        return fit.possible;
    if (fit.tight_low) {
        int order = cz_decimal_compare(bounds->low, bounds->high);
        if (bounds->low->negative)
            order = -order;
        return order < 0 || (order == 0 && !bounds->low_open && !bounds->high_open);
    }
    if (point->count == 0)
        return bounds->high->digits[0] > '1' || bounds->high->count > 1 || !bounds->high_open;
    return bounds->high->count > point->count || !bounds->high_open;
}

static wide rest_digits(const struct decimal *bound, uint32_t from, uint64_t places)
{
    wide value = 0;
    for (uint64_t i = 0; i < places; i++)
        value = value * 10 + digit_of(bound, (uint32_t)(from + i));
    return value;
}

static bool excluded_at(const struct cell *cell, const struct point *point, uint64_t places, wide d)
{
    for (int i = 0; i < cell->excluded_count; i++) {
        uint64_t modulus = cell->excluded[i];
        uint64_t rest = shifted(point->rest[1 + i], places, modulus);
        if ((rest + (uint64_t)(d % modulus)) % modulus == 0)
            return true;
    }
    return false;
}

/* No digits can be added: the value is what was read. */
static bool fits_exactly(const struct cell *cell, const struct point *point,
                         const struct bounds *bounds, struct fit fit, uint64_t zeros)
{
    if (fit.tight_low && (bounds->low->count > point->count || bounds->low_open))
        return false;
    if (fit.tight_high && bounds->high->count <= point->count && bounds->high_open)
        return false;
    return shifted(point->rest[0], zeros, cell->multiple) == 0 &&
           !excluded_at(cell, point, zeros, 0);
}

/* Whether a multiple of the cell with its point at P begins with the digits read. */
static bool fits_multiple(const struct cell *cell, const struct point *point,
                          const struct bounds *bounds, int64_t P, int64_t scale)
{
    struct fit fit = fit_of(point, bounds, P);
    int64_t size = P + scale;
    if (!fit.possible || size <= 0 || size < (int64_t)point->stripped)
        return false;
    if (size < (int64_t)point->count)
        return fits_exactly(cell, point, bounds, fit, (uint64_t)size - point->stripped);
    uint64_t places = (uint64_t)size - point->count;
    uint64_t digits = places < WIDE_DIGITS ? places : WIDE_DIGITS;
    wide power = 1;
    for (uint64_t i = 0; i < digits; i++)
        power *= 10;
    wide low = point->count ? 0 : power / 10, high = power - 1;
    if (point->count == 0 && places == 0)
        return false;
    if (fit.tight_low) {
        wide bound = rest_digits(bounds->low, point->count, digits);
        bound += bounds->low->count > point->count + digits || bounds->low_open;
        low = bound > low ? bound : low;
    }
    if (fit.tight_high) {
        wide bound = rest_digits(bounds->high, point->count, digits);
        bool exact = bounds->high->count <= point->count + digits;
        if (exact && bounds->high_open && bound == 0)
            return false;
        high = bound - (exact && bounds->high_open);
    }
    if (low > high)
        return false;
    if (places > WIDE_DIGITS)
        return true; /* multiples are far denser than what the leading digits leave */
    uint64_t zeros = point->count - point->stripped;
    uint64_t rest = shifted(point->rest[0], zeros + places, cell->multiple);
    wide first = low + ((wide)cell->multiple - (rest + (low % cell->multiple)) % cell->multiple) %
                           cell->multiple;
    for (int i = 0; i < TRIES && first <= high; i++, first += cell->multiple) {
        if (!excluded_at(cell, point, zeros + places, first))
            return true;
    }
    return false;
}

static int fraction_digits(const struct cz_number_store *store, uint32_t bound)
{
    if (bound == NO_BOUND)
        return 0;
    int digits = store->decimals[bound].count - store->decimals[bound].point;
    return digits > 0 ? digits : 0;
}

/* Generation: how many digits may stand behind the point of a number with `whole` before it. */
static int64_t places_for(const struct cz_number_store *store, const struct cell *cell,
                          int64_t whole)
{
    if (cell->multiple)
        return cell->places > 0 ? cell->places : 0;
    int64_t needed = fraction_digits(store, cell->low), other = fraction_digits(store, cell->high);
    needed = (needed > other ? needed : other) + 1;
    int64_t usual = CZ_NUMBER_DIGITS - (whole > 1 ? whole : 1);
    return needed > usual ? needed : usual;
}

static bool fits_at(const struct cz_number_store *store, const struct cell *cell,
                    const struct point *point, const struct bounds *bounds, int64_t P)
{
    if (cell->multiple)
        return fits_multiple(cell, point, bounds, P, cell->places);
    if (!store->generate)
        return fits_real(point, bounds, P);
    struct cell grid = *cell;
    grid.multiple = 1;
    return fits_multiple(&grid, point, bounds, P, places_for(store, cell, P));
}

static bool fits_between(const struct cz_number_store *store, const struct cell *cell,
                         const struct point *point, const struct bounds *bounds, int64_t first,
                         int64_t last)
{
    for (int64_t P = first; P <= last; P++) {
        if (fits_at(store, cell, point, bounds, P))
            return true;
    }
    return false;
}

/* Acceptance: an exponent can put the point anywhere. */
static bool alive_anywhere(const struct cz_number_store *store, const struct cell *cell,
                           const struct point *point, const struct bounds *bounds)
{
    int64_t low = bounds->low->count ? bounds->low->point : bounds->high ? bounds->high->point - 1 : 0;
    int64_t high = bounds->high ? bounds->high->point : low + 1;
    if (bounds->high && bounds->high->count == 0)
        return false;
    if (!cell->multiple)
        return fits_between(store, cell, point, bounds, low, low + 1) ||
               fits_between(store, cell, point, bounds, high - 1, high);
    if (!bounds->high)
        high = (low > (int64_t)point->count ? low : (int64_t)point->count) + 2 * WIDE_DIGITS;
    int64_t least = 1 - cell->places;
    low = bounds->low->count && bounds->low->point > least ? bounds->low->point : least;
    for (int64_t P = high; P >= low; P--) {
        if (fits_at(store, cell, point, bounds, P))
            return true;
    }
    return false;
}

static bool alive_plain(const struct cz_number_store *store, const struct cell *cell,
                        const struct point *point, const struct bounds *bounds)
{
    int64_t longest = CZ_NUMBER_DIGITS, least = 1 - places_for(store, cell, 0);
    if (bounds->low->point > longest)
        longest = bounds->low->point;
    if (bounds->high && bounds->high->point > longest)
        longest = bounds->high->point;
    switch (point->phase) {
    case PHASE_START:
    case PHASE_MINUS:
        return fits_between(store, cell, point, bounds, least, longest);
    case PHASE_ZERO:
        return fits_between(store, cell, point, bounds, least, 0);
    case PHASE_INTEGER:
        return fits_between(store, cell, point, bounds, point->count, longest);
    default:
        if (point->count)
            return fits_at(store, cell, point, bounds, point->point);
        return fits_between(store, cell, point, bounds, least, -(int64_t)point->fraction);
    }
}

/* Some integer in low..high has the written digits as a prefix. */
static bool exponent_alive(const struct point *point)
{
    int64_t low = point->exponent_low, high = point->exponent_high;
    if (low > high)
        return false;
    if (point->phase == PHASE_E)
        return true;
    if (point->exponent_negative) {
        int64_t swap = low;
        low = -high;
        high = -swap;
    }
    if (point->phase == PHASE_E_SIGN)
        return high >= 0;
    int64_t first = point->exponent, size = 1;
    while (first <= high) {
        if (first + size - 1 >= low)
            return true;
        if (size > EXPONENT_LIMIT * 10ll)
            return false;
        first = first ? first * 10 : 0;
        size *= 10;
    }
    return false;
}

static bool point_alive(const struct cz_number_store *store, const struct point *point)
{
    const struct cell *cell = &store->cells[point->cell];
    if (point->phase >= PHASE_E)
        return exponent_alive(point);
    if (point->phase == PHASE_START) {
        struct point minus = *point;
        minus.phase = PHASE_MINUS;
        minus.negative = 1;
        if (point_alive(store, &minus))
            return true;
    }
    struct bounds bounds = bounds_of(store, cell, point->negative);
    if (bounds.dead)
        return false;
    if (point->count == 0 && bounds.zero && point->phase != PHASE_INTEGER)
        return true;
    return store->generate ? alive_plain(store, cell, point, &bounds)
                           : alive_anywhere(store, cell, point, &bounds);
}

/* The exponents that put the number read so far into the cell. */
static void exponent_interval(const struct cz_number_store *store, struct point *point)
{
    const struct cell *cell = &store->cells[point->cell];
    struct bounds bounds = bounds_of(store, cell, point->negative);
    int64_t low = -EXPONENT_LIMIT, high = EXPONENT_LIMIT;
    int64_t P = point->phase == PHASE_INTEGER ? (int64_t)point->count : point->point;
    if (point->count == 0) {
        point->exponent_low = bounds.zero ? low : 1;
        point->exponent_high = bounds.zero ? high : 0;
        return;
    }
    if (bounds.low->count) {
        bool equal = point->low_order == 0 && bounds.low->count <= point->count;
        bool below = point->low_order < 0 || (point->low_order == 0 && !equal) ||
                     (equal && bounds.low_open);
        low = bounds.low->point - P + below;
    }
    if (bounds.high) {
        bool equal = point->high_order == 0 && bounds.high->count <= point->count;
        high = bounds.high->point - P - (point->high_order > 0 || (equal && bounds.high_open));
        if (bounds.high->count == 0)
            high = low - 1;
    }
    int64_t shift = P - point->stripped + cell->places; /* exponent of the stripped digits */
    for (int i = 0; i <= cell->excluded_count; i++) {
        uint64_t modulus = i ? cell->excluded[i - 1] : cell->multiple, rest = point->rest[i];
        int64_t zeros = 0;
        if (!modulus)
            continue;
        for (; zeros <= TRIES && rest % modulus; zeros++)
            rest = (uint64_t)((wide)rest * 10 % modulus);
        int64_t first = zeros > TRIES ? EXPONENT_LIMIT + 1ll : zeros - shift;
        if (i == 0)
            low = first > low ? first : low;
        else
            high = first - 1 < high ? first - 1 : high;
    }
    point->exponent_low = low;
    point->exponent_high = high;
}

static bool point_whole(const struct cz_number_store *store, const struct point *point)
{
    if (point->phase == PHASE_EXPONENT) {
        int64_t value = point->exponent_negative ? -point->exponent : point->exponent;
        return value >= point->exponent_low && value <= point->exponent_high;
    }
    if (point->phase != PHASE_ZERO && point->phase != PHASE_INTEGER &&
        point->phase != PHASE_FRACTION)
        return false;
    struct point end = *point;
    exponent_interval(store, &end);
    return !bounds_of(store, &store->cells[point->cell], point->negative).dead &&
           end.exponent_low <= 0 && end.exponent_high >= 0;
}

/* ---- Steps ---- */

static void add_digit(const struct cz_number_store *store, struct point *point, unsigned digit)
{
    const struct cell *cell = &store->cells[point->cell];
    struct bounds bounds = bounds_of(store, cell, point->negative);
    if (point->count == 0 && digit == 0)
        return;
    if (point->low_order == 0 && bounds.low->count) {
        unsigned other = digit_of(bounds.low, point->count);
        point->low_order = (int8_t)((digit > other) - (digit < other));
    }
    if (point->high_order == 0 && bounds.high) {
        unsigned other = digit_of(bounds.high, point->count);
        point->high_order = (int8_t)((digit > other) - (digit < other));
    }
    point->count++;
    if (digit == 0)
        return;
    for (int i = 0; i <= cell->excluded_count; i++) {
        uint64_t modulus = i ? cell->excluded[i - 1] : cell->multiple;
        if (modulus)
            point->rest[i] = (shifted(point->rest[i], point->count - point->stripped, modulus) +
                              digit % modulus) % modulus;
    }
    point->stripped = point->count;
}

static bool step_exponent(struct point *point, uint8_t byte)
{
    if (point->phase == PHASE_E && (byte == '-' || byte == '+')) {
        point->phase = PHASE_E_SIGN;
        point->exponent_negative = byte == '-';
        return true;
    }
    if (byte < '0' || byte > '9' || point->exponent > EXPONENT_LIMIT)
        return false;
    point->phase = PHASE_EXPONENT;
    point->exponent = point->exponent * 10 + (byte - '0');
    return true;
}

static bool step_fraction(const struct cz_number_store *store, struct point *point, unsigned digit)
{
    int64_t whole = point->point > 1 ? point->point : 1;
    if (store->generate &&
        point->fraction >= places_for(store, &store->cells[point->cell], whole))
        return false;
    point->phase = PHASE_FRACTION;
    point->fraction++;
    if (point->count == 0 && digit == 0)
        point->point--;
    add_digit(store, point, digit);
    return true;
}

static bool step_point(const struct cz_number_store *store, struct point *point, uint8_t byte)
{
    if (point->phase >= PHASE_E)
        return step_exponent(point, byte);
    bool complete = point->phase == PHASE_ZERO || point->phase == PHASE_INTEGER ||
                    point->phase == PHASE_FRACTION;
    if (byte == '-' && point->phase == PHASE_START) {
        point->phase = PHASE_MINUS;
        point->negative = 1;
        return true;
    }
    if (byte == '.' && (point->phase == PHASE_ZERO || point->phase == PHASE_INTEGER)) {
        point->point = point->phase == PHASE_INTEGER ? (int32_t)point->count : 0;
        point->phase = PHASE_POINT;
        return !store->generate ||
               places_for(store, &store->cells[point->cell], point->point) > 0;
    }
    if ((byte == 'e' || byte == 'E') && complete && !store->generate) {
        exponent_interval(store, point);
        point->phase = PHASE_E;
        return true;
    }
    if (byte < '0' || byte > '9' || point->phase == PHASE_ZERO)
        return false;
    if (point->phase == PHASE_POINT || point->phase == PHASE_FRACTION)
        return step_fraction(store, point, byte - '0');
    point->phase = point->phase != PHASE_INTEGER && byte == '0' ? PHASE_ZERO : PHASE_INTEGER;
    add_digit(store, point, byte - '0');
    return true;
}

/* Forgets what can no longer matter, so that equal futures are equal points. */
static void normalise(const struct cz_number_store *store, struct point *point)
{
    if (point->phase >= PHASE_E) {
        point->count = point->stripped = point->fraction = 0;
        point->point = 0;
        point->low_order = point->high_order = 0;
        memset(point->rest, 0, sizeof point->rest);
        if (point->exponent_low <= -EXPONENT_LIMIT && point->exponent_high >= EXPONENT_LIMIT)
            point->exponent = 0;
    } else {
        const struct cell *cell = &store->cells[point->cell];
        if (!store->generate)
            point->fraction = 0;
        if (!cell->multiple && !cell->excluded_count && point->count)
            point->stripped = point->count; /* trailing zeros matter for multiples only */
        if (cell->low == NO_BOUND && cell->high == NO_BOUND && !store->generate && point->count) {
            uint32_t surplus = point->stripped - 1; /* how many digits there are does not matter */
            point->count -= surplus;
            point->stripped = 1;
            if (point->phase != PHASE_INTEGER)
                point->point = cell->multiple || cell->excluded_count
                                   ? point->point - (int32_t)surplus : 0;
        }
    }
}

/* ---- Interning ---- */

static uint64_t hash_bytes(const void *data, size_t size)
{
    const uint32_t *words = data;
    uint64_t hash = 0x9E3779B97F4A7C15u;
    for (size_t i = 0; i < size / 4; i++) {
        hash = (hash ^ words[i]) * 0xD6E8FEB86659FD93u;
        hash ^= hash >> 32;
    }
    return hash;
}

static bool grow(void **items, uint32_t count, uint32_t *capacity, uint32_t more, size_t size)
{
    if (count + more <= *capacity)
        return true;
    uint32_t wanted = *capacity * 2 + more + 16;
    void *larger = cz_heap_resize(*items, wanted * size);
    if (!larger)
        return false;
    *items = larger;
    *capacity = wanted;
    return true;
}

static uint64_t state_hash(const struct cz_number_store *store, const struct number_state *state)
{
    return hash_bytes(store->state_points + state->first, state->count * sizeof(uint32_t));
}

/* Doubles a table of ids that is half full; `of` tells the hash of an id. */
static bool grow_table(struct cz_number_store *store, uint32_t **table, uint32_t *size,
                       uint32_t count, bool of_points)
{
    if (count * 2 < *size)
        return true;
    uint32_t wanted = *size ? *size * 2 : 64;
    uint32_t *larger = cz_heap_zeroed(wanted, sizeof *larger);
    if (!larger)
        return false;
    for (uint32_t id = of_points ? 0 : 1; id < count; id++) {
        uint64_t hash = of_points ? hash_bytes(&store->points[id], sizeof *store->points)
                                  : state_hash(store, &store->states[id]);
        uint32_t slot = (uint32_t)hash & (wanted - 1);
        while (larger[slot])
            slot = (slot + 1) & (wanted - 1);
        larger[slot] = id + 1;
    }
    cz_heap_free(*table);
    *table = larger;
    *size = wanted;
    return true;
}

static uint32_t intern_point(struct cz_number_store *store, const struct point *point)
{
    if (!grow_table(store, &store->point_table, &store->point_table_size, store->point_count, true) ||
        !grow((void **)&store->points, store->point_count, &store->point_capacity, 1,
              sizeof *store->points))
        return UINT32_MAX;
    uint32_t slot = (uint32_t)hash_bytes(point, sizeof *point) & (store->point_table_size - 1);
    for (; store->point_table[slot]; slot = (slot + 1) & (store->point_table_size - 1)) {
        if (!memcmp(&store->points[store->point_table[slot] - 1], point, sizeof *point))
            return store->point_table[slot] - 1;
    }
    store->points[store->point_count] = *point;
    store->point_table[slot] = ++store->point_count;
    return store->point_count - 1;
}

/* The list stands at the end of state_points, not yet counted. */
static cz_number_state intern_state(struct cz_number_store *store, uint32_t count)
{
    struct number_state state = {store->state_point_count, count};
    if (count == 0)
        return 0;
    if (!grow_table(store, &store->state_table, &store->state_table_size, store->state_count,
                    false) ||
        !grow((void **)&store->states, store->state_count, &store->state_capacity, 1,
              sizeof *store->states))
        return 0;
    uint32_t slot = (uint32_t)state_hash(store, &state) & (store->state_table_size - 1);
    for (; store->state_table[slot]; slot = (slot + 1) & (store->state_table_size - 1)) {
        struct number_state *other = &store->states[store->state_table[slot] - 1];
        if (other->count == count &&
            !memcmp(store->state_points + other->first, store->state_points + state.first,
                    count * sizeof(uint32_t)))
            return store->state_table[slot] - 1;
    }
    store->states[store->state_count] = state;
    store->state_point_count += count;
    store->state_table[slot] = store->state_count + 1;
    return store->state_count++;
}

/* Adds a point behind the uncounted list of `count`, unless dead or there; the new count. */
static uint32_t add_point(struct cz_number_store *store, uint32_t count, struct point *point)
{
    normalise(store, point);
    if (!point_alive(store, point))
        return count;
    uint32_t id = intern_point(store, point);
    if (id == UINT32_MAX || !grow((void **)&store->state_points, store->state_point_count + count,
                                  &store->state_point_capacity, 1, sizeof(uint32_t)))
        return count;
    uint32_t *list = store->state_points + store->state_point_count;
    uint32_t at = count;
    while (at > 0 && list[at - 1] > id)
        at--;
    if (at > 0 && list[at - 1] == id)
        return count;
    memmove(list + at + 1, list + at, (count - at) * sizeof *list);
    list[at] = id;
    return count + 1;
}

cz_number_state cz_number_start(struct cz_number_store *store, cz_numbers set)
{
    uint32_t count = 0;
    if (set == CZ_NUMBERS_NONE)
        return 0;
    for (uint32_t i = 0; i < store->sets[set].count; i++) {
        struct point point;
        memset(&point, 0, sizeof point);
        point.cell = store->sets[set].first + i;
        count = add_point(store, count, &point);
    }
    return intern_state(store, count);
}

bool cz_numbers_alive(struct cz_number_store *store, cz_numbers set)
{
    if (set == CZ_NUMBERS_NONE)
        return false;
    if (!store->sets[set].alive) {
        bool alive = false;
        for (uint32_t i = 0; i < store->sets[set].count && !alive; i++) {
            struct point point;
            memset(&point, 0, sizeof point);
            point.cell = store->sets[set].first + i;
            alive = point_alive(store, &point);
        }
        store->sets[set].alive = alive ? 2 : 1;
    }
    return store->sets[set].alive == 2;
}

cz_number_state cz_number_step(struct cz_number_store *store, cz_number_state state, uint8_t byte)
{
    uint32_t count = 0;
    for (uint32_t i = 0; state && i < store->states[state].count; i++) {
        struct point point = store->points[store->state_points[store->states[state].first + i]];
        if (step_point(store, &point, byte))
            count = add_point(store, count, &point);
    }
    return intern_state(store, count);
}

bool cz_number_is_whole(struct cz_number_store *store, cz_number_state state)
{
    for (uint32_t i = 0; state && i < store->states[state].count; i++) {
        if (point_whole(store, &store->points[store->state_points[store->states[state].first + i]]))
            return true;
    }
    return false;
}

/* Breadth first over the characters, plain digits before exponents. */
bool cz_number_finish(struct cz_number_store *store, cz_number_state start, struct cz_buffer *out)
{
    enum { LIMIT = 4096 };
    static const char characters[] = "0123456789.-eE";
    struct {
        cz_number_state state;
        uint32_t parent;
        char character;
    } *queue = cz_heap_alloc(LIMIT * sizeof *queue);
    uint32_t count = 1, at = 0;
    bool found = false;
    if (!queue)
        return false;
    queue[0].state = start;
    for (; at < count; at++) {
        if ((found = cz_number_is_whole(store, queue[at].state)))
            break;
        for (const char *c = characters; *c; c++) {
            cz_number_state next = cz_number_step(store, queue[at].state, (uint8_t)*c);
            bool known = next == 0 || count == LIMIT;
            for (uint32_t i = count; i-- > 0 && !known && count - i < 64;)
                known = queue[i].state == next;
            if (known)
                continue;
            queue[count].state = next;
            queue[count].parent = at;
            queue[count++].character = *c;
        }
    }
    char text[LIMIT];
    size_t size = 0;
    for (uint32_t i = at; found && i; i = queue[i].parent)
        text[size++] = queue[i].character;
    while (size > 0)
        cz_buffer_append_byte(out, text[--size]);
    cz_heap_free(queue);
    return found;
}

size_t cz_numbers_count(struct cz_number_store *store, cz_numbers set, size_t limit)
{
    size_t total = 0;
    if (set == CZ_NUMBERS_NONE)
        return 0;
    for (uint32_t i = 0; i < store->sets[set].count && total < limit; i++) {
        const struct cell *cell = &store->cells[store->sets[set].first + i];
        if (cell->low == NO_BOUND || cell->high == NO_BOUND)
            return limit;
        const struct decimal *low = &store->decimals[cell->low], *high = &store->decimals[cell->high];
        if (cz_decimal_compare(low, high) == 0) {
            total++;
            continue;
        }
        if (!cell->multiple)
            return limit;
        double scale = 1, a = 0, b = 0;
        for (int p = 0; p < cell->places; p++)
            scale *= 10;
        char text[CZ_NUMBER_BOUND_DIGITS + 32];
        snprintf(text, sizeof text, "%s0.%.*se%d", low->negative ? "-" : "", low->count,
                 low->digits, low->point);
        a = strtod(text, NULL) * scale / (double)cell->multiple;
        snprintf(text, sizeof text, "%s0.%.*se%d", high->negative ? "-" : "", high->count,
                 high->digits, high->point);
        b = strtod(text, NULL) * scale / (double)cell->multiple;
        if (b - a >= (double)limit || b > 1e15 || a < -1e15)
            return limit;
        /* Whole numbers between two bounds of modest size: exact up to the ends. */
        int64_t first = (int64_t)a - (a < 0 && a != (double)(int64_t)a) + (a > (double)(int64_t)a);
        int64_t last = (int64_t)b - (b < 0 && b != (double)(int64_t)b);
        if (a < 0 && a != (double)(int64_t)a)
            first = (int64_t)a;
        first += (double)first == a && cell->low_open;
        last -= (double)last == b && cell->high_open;
        for (int64_t k = first; k <= last && total < limit; k++) {
            bool out = false;
            for (int x = 0; x < cell->excluded_count; x++)
                out |= (int64_t)((wide)(k < 0 ? -k : k) * cell->multiple % cell->excluded[x]) == 0;
            total += !out;
        }
    }
    return total < limit ? total : limit;
}
