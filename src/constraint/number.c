/*
 * number.c - sets of numbers: bounds, cells, and the boolean operations on unions of cells.
 */
#include "constraint/number_internal.h"

#include "base/heap.h"

#include <stdlib.h>

static cz_numbers fail(struct cz_number_store *store, cloze_status status)
{
    if (store->failed == CLOZE_OK)
        store->failed = status;
    return CZ_NUMBERS_NONE;
}

/* ---- Decimals: sign, significant digits without zeros at either end, place of the point ---- */

static int compare_digits(const struct decimal *a, const struct decimal *b)
{
    int order = memcmp(a->digits, b->digits, a->count < b->count ? a->count : b->count);
    return order ? order : (a->count > b->count) - (a->count < b->count);
}

int cz_decimal_compare(const struct decimal *a, const struct decimal *b)
{
    int sign_a = a->count == 0 ? 0 : a->negative ? -1 : 1;
    int sign_b = b->count == 0 ? 0 : b->negative ? -1 : 1;
    if (sign_a != sign_b)
        return sign_a < sign_b ? -1 : 1;
    if (sign_a == 0)
        return 0;
    int order = a->point != b->point ? (a->point < b->point ? -1 : 1) : compare_digits(a, b);
    return order * sign_a;
}

enum { EXPONENT_LIMIT = 1000000000 };

static int64_t parse_exponent(struct cz_slice text, size_t at)
{
    bool negative = at < text.size && text.data[at] == '-';
    int64_t value = 0;
    for (size_t i = at + (at < text.size && (negative || text.data[at] == '+')); i < text.size; i++) {
        if (value < EXPONENT_LIMIT)
            value = value * 10 + (text.data[i] - '0');
    }
    return negative ? -value : value;
}

/* The digits without the zeros at either end, into `digits`, which is as long as the text. */
static void parse_digits(struct cz_slice text, struct decimal *out, char *digits, int64_t *point)
{
    size_t zeros = 0;
    bool after_point = false;
    for (size_t i = out->negative; i < text.size && text.data[i] != 'e' && text.data[i] != 'E';
         i++) {
        if (text.data[i] == '.') {
            after_point = true;
        } else if (text.data[i] == '0') {
            zeros++;
            *point += out->count ? !after_point : -(int64_t)after_point;
        } else {
            size_t inner = out->count ? zeros : 0;
            memset(digits + out->count, '0', inner);
            out->count += (uint32_t)inner;
            digits[out->count++] = text.data[i];
            *point += !after_point;
            zeros = 0;
        }
    }
}

/* The decimal of a JSON number; false past the limits. */
static bool parse_decimal(struct cz_number_store *store, struct cz_slice text, struct decimal *out)
{
    int64_t point = 0, most = store->limited ? CZ_NUMBER_BOUND_DIGITS : EXPONENT_LIMIT;
    char *digits = cz_arena_alloc(&store->arena, text.size + 1);
    *out = (struct decimal){.negative = text.size && text.data[0] == '-', .digits = digits};
    if (!digits || text.size > INT32_MAX)
        return false;
    parse_digits(text, out, digits, &point);
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == 'e' || text.data[i] == 'E')
            point += parse_exponent(text, i + 1);
    }
    if (out->count == 0)
        point = 0, out->negative = false;
    out->point = (int32_t)point;
    return point > -most && point < most && (!store->limited || (int64_t)out->count <= most);
}

/* Equal decimals have one name. */
static uint32_t decimal_intern(struct cz_number_store *store, const struct decimal *wanted)
{
    uint64_t known = 0;
    size_t size = sizeof wanted->point + 1 + wanted->count;
    char *key = cz_arena_alloc(&store->arena, size);
    if (key) {
        memcpy(key, &wanted->point, sizeof wanted->point);
        key[sizeof wanted->point] = wanted->negative;
        memcpy(key + sizeof wanted->point + 1, wanted->digits, wanted->count);
    }
    int added = key ? cz_map_add(&store->decimal_names, cz_slice_of(key, size),
                                 store->decimal_count, &known)
                    : -1;
    if (added == 0)
        return (uint32_t)known;
    if (added > 0 && store->decimal_count == store->decimal_capacity) {
        uint32_t capacity = store->decimal_capacity ? store->decimal_capacity * 2 : 8;
        struct decimal *larger = cz_heap_resize(store->decimals, capacity * sizeof *larger);
        store->decimals = larger ? larger : store->decimals;
        store->decimal_capacity = larger ? capacity : store->decimal_capacity;
    }
    if (added < 0 || store->decimal_count == store->decimal_capacity) {
        fail(store, CLOZE_MEMORY);
        return 0;
    }
    store->decimals[store->decimal_count] = *wanted;
    return store->decimal_count++;
}

/* ---- Cells ---- */

static const struct cell EVERYTHING = {.low = NO_BOUND, .high = NO_BOUND};

static int bound_order(const struct cz_number_store *store, uint32_t a, uint32_t b)
{
    return a == b ? 0 : cz_decimal_compare(&store->decimals[a], &store->decimals[b]);
}

/* Whether the interval holds no number at all. */
static bool interval_empty(const struct cz_number_store *store, const struct cell *cell)
{
    if (cell->low == NO_BOUND || cell->high == NO_BOUND)
        return false;
    int order = bound_order(store, cell->low, cell->high);
    return order > 0 || (order == 0 && (cell->low_open || cell->high_open));
}

static uint64_t greatest_divisor(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static bool scale(struct cell *cell, int places)
{
    uint64_t factor = 1;
    for (int i = cell->places; i < places; i++)
        factor *= 10;
    if (places > cell->places) {
        if (__builtin_mul_overflow(cell->multiple, factor, &cell->multiple))
            return false;
        for (int i = 0; i < cell->excluded_count; i++) {
            if (__builtin_mul_overflow(cell->excluded[i], factor, &cell->excluded[i]))
                return false;
        }
        cell->places = (int8_t)places;
    }
    return true;
}

/* false: the result can't be represented. *empty: it holds nothing. */
static bool cell_and(const struct cz_number_store *store, struct cell a, struct cell b,
                     struct cell *out, bool *empty)
{
    int places = a.places > b.places ? a.places : b.places;
    if (!scale(&a, places) || !scale(&b, places))
        return false;
    struct cell both = a;
    if (b.low != NO_BOUND) {
        int order = a.low == NO_BOUND ? 1 : bound_order(store, b.low, a.low);
        if (order > 0 || (order == 0 && b.low_open))
            both.low = b.low, both.low_open = b.low_open;
    }
    if (b.high != NO_BOUND) {
        int order = a.high == NO_BOUND ? -1 : bound_order(store, b.high, a.high);
        if (order < 0 || (order == 0 && b.high_open))
            both.high = b.high, both.high_open = b.high_open;
    }
    if (b.multiple && a.multiple) {
        uint64_t step = b.multiple / greatest_divisor(a.multiple, b.multiple);
        if (__builtin_mul_overflow(a.multiple, step, &both.multiple) ||
            both.multiple > MULTIPLE_LIMIT)
            return false;
    } else if (b.multiple) {
        both.multiple = b.multiple;
    }
    for (int i = 0; i < b.excluded_count; i++) {
        bool known = false;
        for (int j = 0; j < both.excluded_count; j++)
            known |= both.excluded[j] == b.excluded[i];
        if (known)
            continue;
        if (both.excluded_count == CZ_NUMBERS_EXCLUDED)
            return false;
        both.excluded[both.excluded_count++] = b.excluded[i];
    }
    *empty = interval_empty(store, &both);
    for (int i = 0; i < both.excluded_count; i++)
        *empty |= both.multiple && both.multiple % both.excluded[i] == 0;
    *out = both;
    return true;
}

static cz_numbers add_set(struct cz_number_store *store, const struct cell *cells, uint32_t count)
{
    if (count == 0)
        return CZ_NUMBERS_NONE;
    for (uint32_t id = store->set_count; id-- > 1;) {
        const struct number_set *set = &store->sets[id];
        if (set->count == count &&
            !memcmp(store->cells + set->first, cells, count * sizeof *cells))
            return id;
        if (store->set_count - id > 64)
            break;
    }
    if (store->limited && count > CZ_NUMBERS_CELLS)
        return fail(store, CLOZE_LIMIT);
    if (store->set_count == store->set_capacity) {
        uint32_t capacity = store->set_capacity ? store->set_capacity * 2 : 16;
        struct number_set *larger = cz_heap_resize(store->sets, capacity * sizeof *larger);
        if (!larger)
            return fail(store, CLOZE_MEMORY);
        store->sets = larger;
        store->set_capacity = capacity;
    }
    if (store->cell_count + count > store->cell_capacity) {
        uint32_t capacity = store->cell_capacity * 2 + count + 16;
        struct cell *larger = cz_heap_resize(store->cells, capacity * sizeof *larger);
        if (!larger)
            return fail(store, CLOZE_MEMORY);
        store->cells = larger;
        store->cell_capacity = capacity;
    }
    memcpy(store->cells + store->cell_count, cells, count * sizeof *cells);
    store->sets[store->set_count] = (struct number_set){.first = store->cell_count, .count = count};
    store->cell_count += count;
    return store->set_count++;
}

struct cz_number_store *cz_number_store_create(bool generate)
{
    struct cz_number_store *store = cz_heap_zeroed(1, sizeof *store);
    if (!store)
        return NULL;
    store->generate = generate;
    store->limited = true;
    store->set_count = 1; /* set 0 is empty */
    store->state_count = 1; /* state 0 is dead */
    struct cell integers = EVERYTHING;
    integers.multiple = 1;
    store->sets = cz_heap_zeroed(16, sizeof *store->sets);
    store->set_capacity = store->sets ? 16 : 0;
    if (!store->sets || add_set(store, &EVERYTHING, 1) != CZ_NUMBERS_ALL ||
        add_set(store, &integers, 1) != CZ_NUMBERS_INTEGERS) {
        cz_number_store_free(store);
        return NULL;
    }
    return store;
}

void cz_number_store_free(struct cz_number_store *store)
{
    if (!store)
        return;
    cz_map_free(&store->decimal_names);
    cz_arena_free(&store->arena);
    cz_heap_free(store->decimals);
    cz_heap_free(store->sets);
    cz_heap_free(store->cells);
    cz_heap_free(store->points);
    cz_heap_free(store->point_table);
    cz_heap_free(store->states);
    cz_heap_free(store->state_points);
    cz_heap_free(store->state_table);
    cz_heap_free(store);
}

void cz_numbers_unlimit(struct cz_number_store *store)
{
    store->limited = false;
}

size_t cz_number_store_bytes(const struct cz_number_store *store)
{
    return sizeof *store + store->arena.total +
           store->decimal_names.capacity * sizeof *store->decimal_names.entries +
           store->decimal_capacity * sizeof *store->decimals +
           store->set_capacity * sizeof *store->sets + store->cell_capacity * sizeof *store->cells +
           store->point_capacity * sizeof *store->points +
           store->point_table_size * sizeof *store->point_table +
           store->state_capacity * sizeof *store->states +
           store->state_point_capacity * sizeof *store->state_points +
           store->state_table_size * sizeof *store->state_table;
}

cloze_status cz_number_status(const struct cz_number_store *store, struct cloze_error *error)
{
    if (store->failed == CLOZE_OK)
        return CLOZE_OK;
    if (store->failed == CLOZE_MEMORY)
        return cz_fail_memory(error, "a set of numbers");
    return cz_fail(error, store->failed, NULL,
                   "numeric bounds need at most %d digits, multipleOf at most %d, and a combination "
                   "at most %d exclusions and %d ranges",
                   CZ_NUMBER_BOUND_DIGITS, CZ_NUMBER_MULTIPLE_DIGITS, CZ_NUMBERS_EXCLUDED,
                   CZ_NUMBERS_CELLS);
}

static cz_numbers add_bounded(struct cz_number_store *store, struct cz_slice text, int sides,
                              bool open)
{
    struct decimal bound;
    struct cell cell = EVERYTHING;
    if (!parse_decimal(store, text, &bound))
        return store->limited ? fail(store, CLOZE_UNSUPPORTED) : CZ_NUMBERS_NONE;
    uint32_t id = decimal_intern(store, &bound);
    if (sides & 1)
        cell.low = id, cell.low_open = open;
    if (sides & 2)
        cell.high = id, cell.high_open = open;
    return add_set(store, &cell, 1);
}

cz_numbers cz_numbers_above(struct cz_number_store *store, struct cz_slice bound, bool open)
{
    return add_bounded(store, bound, 1, open);
}

cz_numbers cz_numbers_below(struct cz_number_store *store, struct cz_slice bound, bool open)
{
    return add_bounded(store, bound, 2, open);
}

/* Equal numbers have one set. */
cz_numbers cz_numbers_equal(struct cz_number_store *store, struct cz_slice value)
{
    struct decimal decimal;
    struct cell cell = EVERYTHING;
    if (!parse_decimal(store, value, &decimal))
        return store->limited ? fail(store, CLOZE_UNSUPPORTED) : CZ_NUMBERS_NONE;
    uint32_t id = decimal_intern(store, &decimal);
    if (store->failed != CLOZE_OK)
        return CZ_NUMBERS_NONE;
    cell.low = cell.high = id;
    if (!store->decimals[id].equal)
        store->decimals[id].equal = add_set(store, &cell, 1);
    return store->decimals[id].equal;
}

cz_numbers cz_numbers_multiple(struct cz_number_store *store, struct cz_slice step)
{
    struct decimal parsed;
    struct cell cell = EVERYTHING;
    if (!parse_decimal(store, step, &parsed) || parsed.count > CZ_NUMBER_MULTIPLE_DIGITS ||
        parsed.count == 0)
        return fail(store, CLOZE_UNSUPPORTED);
    int places = (int)parsed.count - parsed.point;
    if (places > CZ_NUMBER_MULTIPLE_DIGITS || parsed.point > CZ_NUMBER_MULTIPLE_DIGITS)
        return fail(store, CLOZE_UNSUPPORTED);
    for (uint32_t i = 0; i < parsed.count; i++)
        cell.multiple = cell.multiple * 10 + (uint64_t)(parsed.digits[i] - '0');
    for (; places < 0; places++)
        cell.multiple *= 10;
    cell.places = (int8_t)places;
    return add_set(store, &cell, 1);
}

struct cell_list {
    struct cell *cells;
    uint32_t count, capacity;
};

static bool list_add(struct cz_number_store *store, struct cell_list *list, const struct cell *cell)
{
    for (uint32_t i = list->count; i-- > 0 && list->count - i < 16;) {
        if (!memcmp(&list->cells[i], cell, sizeof *cell))
            return true;
    }
    if (store->limited && list->count >= CZ_NUMBERS_CELLS) {
        fail(store, CLOZE_LIMIT);
        return false;
    }
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity ? list->capacity * 2 : 8;
        struct cell *larger = cz_heap_resize(list->cells, capacity * sizeof *larger);
        if (!larger) {
            fail(store, CLOZE_MEMORY);
            return false;
        }
        list->cells = larger;
        list->capacity = capacity;
    }
    list->cells[list->count++] = *cell;
    return true;
}

static cz_numbers finish_list(struct cz_number_store *store, struct cell_list *list)
{
    cz_numbers set = store->failed == CLOZE_OK ? add_set(store, list->cells, list->count)
                                               : CZ_NUMBERS_NONE;
    cz_heap_free(list->cells);
    return set;
}

/* The cells stand in ascending order and have at most their ends in common. */
static bool in_order(const struct cz_number_store *store, struct number_set set)
{
    const struct cell *cells = store->cells + set.first;
    for (uint32_t i = 1; i < set.count; i++) {
        if (cells[i - 1].high == NO_BOUND || cells[i].low == NO_BOUND ||
            bound_order(store, cells[i - 1].high, cells[i].low) > 0)
            return false;
    }
    return true;
}

/* The cell lies below the other one. */
static bool lies_below(const struct cz_number_store *store, const struct cell *cell,
                       const struct cell *other)
{
    return cell->high != NO_BOUND && other->low != NO_BOUND &&
           bound_order(store, cell->high, other->low) < 0;
}

cz_numbers cz_numbers_and(struct cz_number_store *store, cz_numbers a, cz_numbers b)
{
    struct cell_list list = {0};
    if (a == b || b == CZ_NUMBERS_ALL)
        return a;
    if (a == CZ_NUMBERS_ALL || b == CZ_NUMBERS_NONE)
        return b;
    struct number_set x = store->sets[a], y = store->sets[b];
    bool ordered = in_order(store, x) && in_order(store, y);
    uint32_t begin = 0; /* those of y below the cell at hand, where both are in order */
    if (store->limited && !ordered && (uint64_t)x.count * y.count > CZ_NUMBERS_CELLS * 64)
        return fail(store, CLOZE_LIMIT);
    for (uint32_t i = 0; i < x.count; i++) {
        const struct cell *cell = &store->cells[x.first + i];
        while (ordered && begin < y.count && lies_below(store, &store->cells[y.first + begin], cell))
            begin++;
        for (uint32_t j = begin; j < y.count; j++) {
            struct cell both;
            bool empty;
            if (ordered && lies_below(store, cell, &store->cells[y.first + j]))
                break;
            if (!cell_and(store, *cell, store->cells[y.first + j], &both, &empty)) {
                cz_heap_free(list.cells);
                return fail(store, CLOZE_UNSUPPORTED);
            }
            if (!empty && !list_add(store, &list, &both))
                break;
        }
    }
    return finish_list(store, &list);
}

static bool is_point(const struct cell *cell)
{
    return cell->low != NO_BOUND && cell->low == cell->high && !cell->low_open &&
           !cell->high_open && !cell->excluded_count;
}

static int compare_points(const void *a, const void *b, void *store)
{
    return bound_order(store, ((const struct cell *)a)->low, ((const struct cell *)b)->low);
}

/* Single numbers in ascending order; any other list stays as it is. */
static void order_points(struct cz_number_store *store, struct cell_list *list)
{
    uint32_t points = 0, kept = 0;
    while (points < list->count && is_point(&list->cells[points]))
        points++;
    if (points < list->count)
        return;
    qsort_r(list->cells, list->count, sizeof *list->cells, compare_points, store);
    for (uint32_t i = 0; i < list->count; i++) {
        if (!kept || list->cells[kept - 1].low != list->cells[i].low)
            list->cells[kept++] = list->cells[i];
    }
    list->count = kept;
}

/* Two sets of single numbers or rays just stand side by side. */
cz_numbers cz_numbers_or(struct cz_number_store *store, cz_numbers a, cz_numbers b)
{
    struct cell_list list = {0};
    if (a == b || b == CZ_NUMBERS_NONE || a == CZ_NUMBERS_ALL)
        return a;
    if (a == CZ_NUMBERS_NONE || b == CZ_NUMBERS_ALL)
        return b;
    struct number_set sets[2] = {store->sets[a], store->sets[b]};
    for (int s = 0; s < 2; s++) {
        for (uint32_t i = 0; i < sets[s].count; i++) {
            struct cell cell = store->cells[sets[s].first + i];
            if (!list_add(store, &list, &cell))
                break;
        }
    }
    order_points(store, &list);
    return finish_list(store, &list);
}

/* What is outside one cell: below, above, between the multiples, on an excluded multiple. */
static cz_numbers outside(struct cz_number_store *store, struct cell cell)
{
    struct cell_list list = {0};
    struct cell part = EVERYTHING;
    if (cell.low != NO_BOUND) {
        part.high = cell.low, part.high_open = !cell.low_open;
        list_add(store, &list, &part);
    }
    if (cell.high != NO_BOUND) {
        part = EVERYTHING;
        part.low = cell.high, part.low_open = !cell.high_open;
        list_add(store, &list, &part);
    }
    part = EVERYTHING;
    part.places = cell.places;
    if (cell.multiple) {
        part.excluded[0] = cell.multiple, part.excluded_count = 1;
        list_add(store, &list, &part);
    }
    for (int i = 0; i < cell.excluded_count; i++) {
        part = EVERYTHING;
        part.places = cell.places, part.multiple = cell.excluded[i];
        list_add(store, &list, &part);
    }
    return finish_list(store, &list);
}

cz_numbers cz_numbers_among(struct cz_number_store *store, const struct cz_slice *values,
                            size_t count)
{
    struct cell_list list = {0};
    for (size_t i = 0; i < count && store->failed == CLOZE_OK; i++) {
        struct decimal value;
        struct cell cell = EVERYTHING;
        if (!parse_decimal(store, values[i], &value)) {
            cz_heap_free(list.cells);
            return fail(store, CLOZE_UNSUPPORTED);
        }
        cell.low = cell.high = decimal_intern(store, &value);
        list_add(store, &list, &cell);
    }
    return finish_list(store, &list);
}

/* What lies between single numbers. */
static cz_numbers between_points(struct cz_number_store *store, struct number_set set)
{
    struct cell_list list = {0};
    struct cell_list points = {0};
    struct cell part = EVERYTHING;
    for (uint32_t i = 0; i < set.count; i++) {
        struct cell cell = store->cells[set.first + i];
        list_add(store, &points, &cell);
    }
    order_points(store, &points);
    for (uint32_t i = 0; i < points.count; i++) {
        part.high = points.cells[i].low, part.high_open = true;
        list_add(store, &list, &part);
        part.low = part.high, part.low_open = true;
    }
    part.high = NO_BOUND, part.high_open = false;
    list_add(store, &list, &part);
    cz_heap_free(points.cells);
    return finish_list(store, &list);
}

cz_numbers cz_numbers_not(struct cz_number_store *store, cz_numbers a)
{
    cz_numbers result = CZ_NUMBERS_ALL;
    if (a == CZ_NUMBERS_NONE)
        return result;
    struct number_set set = store->sets[a];
    uint32_t points = 0;
    while (points < set.count && is_point(&store->cells[set.first + points]))
        points++;
    if (points == set.count)
        return between_points(store, set);
    for (uint32_t i = 0; i < set.count && store->failed == CLOZE_OK; i++)
        result = cz_numbers_and(store, result, outside(store, store->cells[set.first + i]));
    return result;
}
