/*
 * formula.c - boolean formulas over what can be said of the members or items still to come.
 *
 * Negation is pushed to the leaves, each of which has its opposite among the leaves. Reading a member
 * turns a formula into pairs (value, rest): the member may be any of `value` if what follows meets
 * `rest`. A set of pairs is a union, so a pair may be left out when another covers it.
 */
#include "constraint/machine.h"

#include <stdlib.h>

enum { FACT_NULLABLE = 1, FACT_BINDS = 2, LIST_STACK = 128, ABSORB_LIMIT = 64 };

struct formula_facts {
    uint32_t opposite; /* + 1; 0 not known yet */
    uint8_t facts;
};

uint32_t cz_formula_kind(const struct cz_machine *machine, cz_formula formula)
{
    return cz_intern_get(&machine->formulas, formula)[0];
}

const uint32_t *cz_formula_words(const struct cz_machine *machine, cz_formula formula)
{
    return cz_intern_get(&machine->formulas, formula);
}

uint32_t cz_formula_size(const struct cz_machine *machine, cz_formula formula)
{
    return cz_intern_size(&machine->formulas, formula);
}

bool cz_formula_nullable(const struct cz_machine *machine, cz_formula formula)
{
    return machine->formula_facts[formula].facts & FACT_NULLABLE;
}

bool cz_formula_binds(const struct cz_machine *machine, cz_formula formula)
{
    return machine->formula_facts[formula].facts & FACT_BINDS;
}

static uint8_t facts_of(const struct cz_machine *machine, const uint32_t *words, uint32_t count)
{
    uint8_t any = 0, all = 0xFF;
    switch (words[0]) {
    case FORMULA_AND:
    case FORMULA_OR:
        for (uint32_t i = 1; i < count; i++) {
            any |= machine->formula_facts[words[i]].facts;
            all &= machine->formula_facts[words[i]].facts;
        }
        return (uint8_t)(((words[0] == FORMULA_AND ? all : any) & FACT_NULLABLE) |
                         (any & FACT_BINDS));
    case FORMULA_TRUE:
    case FORMULA_ALL:
    case FORMULA_FORBID:
    case FORMULA_ITEMS:
        return FACT_NULLABLE;
    case FORMULA_COUNT:
        return words[1] == 0 ? FACT_NULLABLE : 0;
    case FORMULA_CONTAINS:
        return words[2] == 0 ? FACT_NULLABLE : 0;
    case FORMULA_UNIQUE:
        return FACT_NULLABLE | FACT_BINDS;
    case FORMULA_REPEAT:
        return FACT_BINDS;
    default:
        return 0;
    }
}

static cz_formula add(struct cz_machine *machine, const uint32_t *words, uint32_t count)
{
    bool added;
    if (machine->limited && machine->formulas.count > CZ_MACHINE_NODES) {
        cz_machine_fail(machine, CLOZE_LIMIT, NULL, "the schema combines into too many states");
        return CZ_FORMULA_FALSE;
    }
    uint32_t id = cz_intern_add(&machine->formulas, words, count, &added);
    if (id == UINT32_MAX ||
        (added && !cz_machine_grow(machine, (void **)&machine->formula_facts, id,
                                   &machine->formula_facts_capacity,
                                   sizeof *machine->formula_facts))) {
        cz_machine_fail(machine, CLOZE_MEMORY, NULL, "out of memory");
        return CZ_FORMULA_FALSE;
    }
    if (added) {
        uint8_t facts = facts_of(machine, cz_intern_get(&machine->formulas, id), count);
        machine->formula_facts[id] = (struct formula_facts){.facts = facts};
    }
    return id;
}

bool cz_formulas_start(struct cz_machine *machine);

bool cz_formulas_start(struct cz_machine *machine)
{
    uint32_t no = FORMULA_FALSE, yes = FORMULA_TRUE;
    return add(machine, &no, 1) == CZ_FORMULA_FALSE && add(machine, &yes, 1) == CZ_FORMULA_TRUE;
}

cz_formula cz_formula_atom(struct cz_machine *machine, uint32_t kind, uint32_t a, uint32_t b,
                           uint32_t c)
{
    return add(machine, (uint32_t[]){kind, a, b, c}, 4);
}

cz_formula cz_formula_count(struct cz_machine *machine, uint32_t minimum, uint32_t maximum)
{
    if (minimum > maximum)
        return CZ_FORMULA_FALSE;
    if (minimum == 0 && maximum == CZ_COUNT_UNBOUNDED)
        return CZ_FORMULA_TRUE;
    return cz_formula_atom(machine, FORMULA_COUNT, minimum, maximum, 0);
}

cz_formula cz_formula_contains(struct cz_machine *machine, cz_value value, uint32_t minimum,
                               uint32_t maximum)
{
    if (minimum > maximum || (value == CZ_VALUE_NONE && minimum > 0))
        return CZ_FORMULA_FALSE;
    if (value == CZ_VALUE_NONE || (minimum == 0 && maximum == CZ_COUNT_UNBOUNDED))
        return CZ_FORMULA_TRUE;
    if (value == CZ_VALUE_ANY)
        return cz_formula_count(machine, minimum, maximum);
    return cz_formula_atom(machine, FORMULA_CONTAINS, value, minimum, maximum);
}

/* ---- Members' and items' values ---- */

static int compare_keys(const void *x, const void *y, void *context)
{
    const cz_key *keys = context;
    cz_key a = keys[*(const uint32_t *)x], b = keys[*(const uint32_t *)y];
    return (a > b) - (a < b);
}

static uint32_t find_key(const struct cz_props *props, cz_key key)
{
    uint32_t low = 0, high = props->named_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (props->keys[props->sorted[middle]] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < props->named_count && props->keys[props->sorted[low]] == key ? props->sorted[low]
                                                                              : UINT32_MAX;
}

static void *copy_array(struct cz_machine *machine, const void *items, size_t count, size_t size)
{
    void *copy = cz_arena_array(&machine->arena, count + 1, size);
    if (copy && count)
        memcpy(copy, items, count * size);
    return copy;
}

uint32_t cz_props_add(struct cz_machine *machine, const struct cz_props *props)
{
    struct cz_props *copy = CZ_ARENA_NEW(&machine->arena, struct cz_props);
    if (!copy || !cz_machine_grow(machine, (void **)&machine->props, machine->props_count,
                                  &machine->props_capacity, sizeof *machine->props)) {
        cz_machine_fail(machine, CLOZE_MEMORY, NULL, "out of memory");
        return 0;
    }
    *copy = *props;
    copy->keys = copy_array(machine, props->keys, props->named_count, sizeof *copy->keys);
    copy->values = copy_array(machine, props->values, props->named_count, sizeof *copy->values);
    copy->sorted = CZ_ARENA_ARRAY(&machine->arena, uint32_t, props->named_count + 1);
    copy->patterns = copy_array(machine, props->patterns, props->pattern_count,
                                sizeof *copy->patterns);
    copy->pattern_values = copy_array(machine, props->pattern_values, props->pattern_count,
                                      sizeof *copy->pattern_values);
    if (!copy->keys || !copy->values || !copy->sorted || !copy->patterns || !copy->pattern_values) {
        cz_machine_fail(machine, CLOZE_MEMORY, NULL, "out of memory");
        return 0;
    }
    for (uint32_t i = 0; i < copy->named_count; i++)
        copy->sorted[i] = i;
    qsort_r(copy->sorted, copy->named_count, sizeof *copy->sorted, compare_keys, copy->keys);
    machine->props[machine->props_count] = copy;
    return machine->props_count++;
}

uint32_t cz_items_add(struct cz_machine *machine, const struct cz_items *items)
{
    struct cz_items *copy = CZ_ARENA_NEW(&machine->arena, struct cz_items);
    if (!copy || !cz_machine_grow(machine, (void **)&machine->items, machine->items_count,
                                  &machine->items_capacity, sizeof *machine->items)) {
        cz_machine_fail(machine, CLOZE_MEMORY, NULL, "out of memory");
        return 0;
    }
    *copy = *items;
    copy->prefix = copy_array(machine, items->prefix, items->count, sizeof *copy->prefix);
    if (!copy->prefix)
        cz_machine_fail(machine, CLOZE_MEMORY, NULL, "out of memory");
    machine->items[machine->items_count] = copy;
    return machine->items_count++;
}

cz_formula cz_formula_props(struct cz_machine *machine, uint32_t props)
{
    const struct cz_props *p = machine->props[props];
    if (p->named_count == 0 && p->pattern_count == 0 && p->other == CZ_VALUE_ANY)
        return CZ_FORMULA_TRUE;
    return cz_formula_atom(machine, FORMULA_ALL, props, 0, 0);
}

cz_formula cz_formula_items(struct cz_machine *machine, uint32_t items, uint32_t position)
{
    const struct cz_items *p = machine->items[items];
    if (position > p->count)
        position = p->count;
    if (position == p->count && p->rest == CZ_VALUE_ANY)
        return CZ_FORMULA_TRUE;
    return cz_formula_atom(machine, FORMULA_ITEMS, items, position, 0);
}

static bool class_has(const struct cz_member *member, cz_expr pattern)
{
    const struct cz_keyset *keyset = member->keyset;
    for (uint32_t i = 0; i < keyset->pattern_count; i++) {
        if (keyset->patterns[i] == pattern)
            return keyset->class_bits[member->class] >> i & 1;
    }
    return false;
}

cz_value cz_props_value(struct cz_machine *machine, uint32_t id, const struct cz_member *member)
{
    const struct cz_props *props = machine->props[id];
    cz_value value = CZ_VALUE_ANY;
    bool matched = false;
    if (member->key != UINT32_MAX) {
        uint32_t at = find_key(props, member->key);
        if (at != UINT32_MAX)
            return props->values[at];
    }
    for (uint32_t i = 0; i < props->pattern_count; i++) {
        bool matches = member->key == UINT32_MAX
                           ? class_has(member, props->patterns[i])
                           : cz_expr_matches(machine->exprs, props->patterns[i],
                                             machine->keys[member->key]);
        if (matches)
            value = cz_value_and(machine, value, props->pattern_values[i]);
        matched |= matches;
    }
    return matched ? value : props->other;
}

static cz_value item_value(const struct cz_machine *machine, uint32_t items, uint32_t position)
{
    const struct cz_items *p = machine->items[items];
    return position < p->count ? p->prefix[position] : p->rest;
}

/* ---- And, or ---- */

static int compare_words(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

static bool holds(const uint32_t *words, uint32_t count, uint32_t wanted)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (words[middle] < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && words[low] == wanted;
}

/* The opposite of a leaf if it was ever made; FALSE's name otherwise (never in a list). */
static cz_formula known_opposite(const struct cz_machine *machine, cz_formula formula)
{
    uint32_t opposite = machine->formula_facts[formula].opposite;
    return opposite ? opposite - 1 : CZ_FORMULA_FALSE;
}

/* Intersects or joins the intervals of COUNT leaves, and of CONTAINS leaves of one value. Returns
 * false when an intersection is empty (or a union everything). */
static bool merge_counts(struct cz_machine *machine, uint32_t kind, uint32_t *words,
                         uint32_t *count)
{
    for (uint32_t i = 0; i < *count; i++) {
        uint32_t first[4], first_kind = cz_formula_kind(machine, words[i]);
        if (first_kind != FORMULA_COUNT && first_kind != FORMULA_CONTAINS)
            continue;
        memcpy(first, cz_formula_words(machine, words[i]), sizeof first);
        uint32_t at = first_kind == FORMULA_COUNT ? 1 : 2;
        for (uint32_t j = i + 1; j < *count; j++) {
            const uint32_t *other = cz_formula_words(machine, words[j]);
            if (other[0] != first_kind || (at == 2 && other[1] != first[1]))
                continue;
            uint32_t low = first[at] > other[at] ? first[at] : other[at];
            uint32_t high = first[at + 1] < other[at + 1] ? first[at + 1] : other[at + 1];
            if (kind == FORMULA_OR) {
                if (high != CZ_COUNT_UNBOUNDED && low > high + 1)
                    continue;
                low = first[at] < other[at] ? first[at] : other[at];
                high = first[at + 1] > other[at + 1] ? first[at + 1] : other[at + 1];
            }
            cz_formula merged = at == 1 ? cz_formula_count(machine, low, high)
                                        : cz_formula_contains(machine, first[1], low, high);
            words[i] = merged;
            memmove(words + j, words + j + 1, (*count - j - 1) * sizeof *words);
            --*count;
            if (merged <= CZ_FORMULA_TRUE)
                return false;
            i--;
            break;
        }
    }
    return true;
}

/* Whether every conjunct of `weak` is one of `strong`: then strong implies weak. */
static bool covers(const struct cz_machine *machine, cz_formula weak, cz_formula strong)
{
    const uint32_t *conjuncts = &weak, *all = cz_formula_words(machine, strong) + 1;
    uint32_t count = 1, size = cz_formula_size(machine, strong) - 1;
    if (cz_formula_kind(machine, strong) != FORMULA_AND)
        return false;
    if (cz_formula_kind(machine, weak) == FORMULA_AND) {
        conjuncts = cz_formula_words(machine, weak) + 1;
        count = cz_formula_size(machine, weak) - 1;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!holds(all, size, conjuncts[i]))
            return false;
    }
    return true;
}

/* A or (A and B) is A. */
static uint32_t absorb(const struct cz_machine *machine, uint32_t *parts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < count; j++) {
            if (i == j || !covers(machine, parts[i], parts[j]))
                continue;
            memmove(parts + j, parts + j + 1, (count - j - 1) * sizeof *parts);
            count--;
            i -= j < i;
            j--;
        }
    }
    return count;
}

static cz_formula finish_list(struct cz_machine *machine, uint32_t kind, uint32_t *words,
                              uint32_t count)
{
    cz_formula zero = kind == FORMULA_AND ? CZ_FORMULA_FALSE : CZ_FORMULA_TRUE;
    cz_formula unit = kind == FORMULA_AND ? CZ_FORMULA_TRUE : CZ_FORMULA_FALSE;
    uint32_t *parts = words + 1, kept = 0;
    qsort(parts, count, sizeof *parts, compare_words);
    for (uint32_t i = 0; i < count; i++) {
        if (parts[i] == zero)
            return zero;
        if (parts[i] != unit && (!kept || parts[kept - 1] != parts[i]))
            parts[kept++] = parts[i];
    }
    if (!merge_counts(machine, kind, parts, &kept))
        return zero;
    qsort(parts, kept, sizeof *parts, compare_words);
    for (uint32_t i = 0; i < kept; i++) {
        cz_formula opposite = known_opposite(machine, parts[i]);
        if (opposite != CZ_FORMULA_FALSE && holds(parts, kept, opposite))
            return zero;
    }
    if (kind == FORMULA_OR && kept > 1 && kept <= ABSORB_LIMIT)
        kept = absorb(machine, parts, kept);
    if (kept <= 1)
        return kept ? parts[0] : unit;
    words[0] = kind;
    return add(machine, words, kept + 1);
}

static cz_formula make_list(struct cz_machine *machine, uint32_t kind, const cz_formula *parts,
                            uint32_t count)
{
    uint32_t stack[LIST_STACK], *words = stack, total = 1, filled = 1;
    for (uint32_t i = 0; i < count; i++)
        total += cz_formula_kind(machine, parts[i]) == kind ? cz_formula_size(machine, parts[i]) : 1;
    if (total > LIST_STACK && !(words = malloc(total * sizeof *words))) {
        cz_machine_fail(machine, CLOZE_MEMORY, NULL, "out of memory");
        return CZ_FORMULA_FALSE;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (cz_formula_kind(machine, parts[i]) != kind) {
            words[filled++] = parts[i];
            continue;
        }
        uint32_t size = cz_formula_size(machine, parts[i]) - 1;
        memcpy(words + filled, cz_formula_words(machine, parts[i]) + 1, size * sizeof *words);
        filled += size;
    }
    cz_formula result = finish_list(machine, kind, words, filled - 1);
    if (words != stack)
        free(words);
    return result;
}

cz_formula cz_formula_and(struct cz_machine *machine, cz_formula a, cz_formula b)
{
    if (a == b || b == CZ_FORMULA_TRUE || a == CZ_FORMULA_FALSE)
        return a;
    if (a == CZ_FORMULA_TRUE || b == CZ_FORMULA_FALSE)
        return b;
    return make_list(machine, FORMULA_AND, (cz_formula[]){a, b}, 2);
}

cz_formula cz_formula_or(struct cz_machine *machine, cz_formula a, cz_formula b)
{
    if (a == b || b == CZ_FORMULA_FALSE || a == CZ_FORMULA_TRUE)
        return a;
    if (a == CZ_FORMULA_FALSE || b == CZ_FORMULA_TRUE)
        return b;
    return make_list(machine, FORMULA_OR, (cz_formula[]){a, b}, 2);
}

/* ---- Not ---- */

static cz_formula opposite_interval(struct cz_machine *machine, const uint32_t *words)
{
    bool contains = words[0] == FORMULA_CONTAINS;
    uint32_t value = words[1], low = words[1 + contains], high = words[2 + contains];
    cz_formula result = CZ_FORMULA_FALSE;
    if (low > 0)
        result = contains ? cz_formula_contains(machine, value, 0, low - 1)
                          : cz_formula_count(machine, 0, low - 1);
    if (high != CZ_COUNT_UNBOUNDED)
        result = cz_formula_or(
            machine, result,
            contains ? cz_formula_contains(machine, value, high + 1, CZ_COUNT_UNBOUNDED)
                     : cz_formula_count(machine, high + 1, CZ_COUNT_UNBOUNDED));
    return result;
}

static cz_formula opposite_list(struct cz_machine *machine, cz_formula formula, uint32_t kind)
{
    uint32_t size = cz_formula_size(machine, formula) - 1;
    cz_formula *parts = malloc((size + 1) * sizeof *parts);
    if (!parts) {
        cz_machine_fail(machine, CLOZE_MEMORY, NULL, "out of memory");
        return CZ_FORMULA_FALSE;
    }
    for (uint32_t i = 0; i < size; i++)
        parts[i] = cz_formula_not(machine, cz_formula_words(machine, formula)[1 + i]);
    cz_formula result = make_list(machine, kind, parts, size);
    free(parts);
    return result;
}

static cz_formula opposite_of(struct cz_machine *machine, cz_formula formula)
{
    static const uint8_t opposites[] = {
        [FORMULA_ALL] = FORMULA_SOME,         [FORMULA_SOME] = FORMULA_ALL,
        [FORMULA_REQUIRE] = FORMULA_FORBID,   [FORMULA_FORBID] = FORMULA_REQUIRE,
        [FORMULA_ITEMS] = FORMULA_SOMEITEM,   [FORMULA_SOMEITEM] = FORMULA_ITEMS,
        [FORMULA_UNIQUE] = FORMULA_REPEAT,    [FORMULA_REPEAT] = FORMULA_UNIQUE,
    };
    uint32_t words[4] = {0};
    uint32_t size = cz_formula_size(machine, formula);
    memcpy(words, cz_formula_words(machine, formula), (size < 4 ? size : 4) * sizeof *words);
    switch (words[0]) {
    case FORMULA_FALSE:
        return CZ_FORMULA_TRUE;
    case FORMULA_TRUE:
        return CZ_FORMULA_FALSE;
    case FORMULA_AND:
        return opposite_list(machine, formula, FORMULA_OR);
    case FORMULA_OR:
        return opposite_list(machine, formula, FORMULA_AND);
    case FORMULA_COUNT:
    case FORMULA_CONTAINS:
        return opposite_interval(machine, words);
    default:
        return cz_formula_atom(machine, opposites[words[0]], words[1], words[2], words[3]);
    }
}

cz_formula cz_formula_not(struct cz_machine *machine, cz_formula formula)
{
    uint32_t known = machine->formula_facts[formula].opposite;
    if (known)
        return known - 1;
    if (machine->depth >= CZ_MACHINE_DEPTH) {
        cz_machine_fail(machine, CLOZE_LIMIT, NULL, "a negated schema is nested too deeply");
        return CZ_FORMULA_FALSE;
    }
    machine->depth++;
    cz_formula opposite = opposite_of(machine, formula);
    machine->depth--;
    machine->formula_facts[formula].opposite = opposite + 1;
    if (!machine->formula_facts[opposite].opposite)
        machine->formula_facts[opposite].opposite = formula + 1;
    return opposite;
}

/* ---- Pairs ---- */

void cz_pairs_free(struct cz_pairs *pairs)
{
    free(pairs->items);
    *pairs = (struct cz_pairs){0};
}

/* Adds a pair, joined with one of the same rest or the same value. */
static void add_pair(struct cz_machine *machine, struct cz_pairs *pairs, cz_value value,
                     cz_formula rest)
{
    if (value == CZ_VALUE_NONE || rest == CZ_FORMULA_FALSE)
        return;
    for (uint32_t i = 0; i < pairs->count; i++) {
        struct cz_pair *pair = &pairs->items[i];
        if (pair->value == CZ_VALUE_ANY && pair->rest == CZ_FORMULA_TRUE)
            return;
        if (pair->rest == rest || pair->value == value) {
            pair->value = cz_value_or(machine, pair->value, value);
            pair->rest = cz_formula_or(machine, pair->rest, rest);
            return;
        }
    }
    if (pairs->count >= CZ_MACHINE_PAIRS) {
        cz_machine_fail(machine, CLOZE_LIMIT, NULL, "too many ways to read one member");
        return;
    }
    if (!cz_machine_grow(machine, (void **)&pairs->items, pairs->count, &pairs->capacity,
                         sizeof *pairs->items)) {
        cz_machine_fail(machine, CLOZE_MEMORY, NULL, "out of memory");
        return;
    }
    pairs->items[pairs->count++] = (struct cz_pair){value, rest};
}

/* What reads one thing: a member of an object, or an item of an array (member NULL). */
static void read_leaf(struct cz_machine *machine, cz_formula formula, const uint32_t words[4],
                      const struct cz_member *member, struct cz_pairs *out)
{
    cz_value value;
    uint32_t low, high;
    switch (words[0]) {
    case FORMULA_ALL:
        add_pair(machine, out, cz_props_value(machine, words[1], member), formula);
        break;
    case FORMULA_SOME:
        value = cz_value_not(machine, cz_props_value(machine, words[1], member));
        add_pair(machine, out, value, CZ_FORMULA_TRUE);
        add_pair(machine, out, CZ_VALUE_ANY, formula);
        break;
    case FORMULA_REQUIRE:
        add_pair(machine, out, CZ_VALUE_ANY,
                 member->key == words[1] ? (cz_formula)CZ_FORMULA_TRUE : formula);
        break;
    case FORMULA_FORBID:
        if (member->key != words[1])
            add_pair(machine, out, CZ_VALUE_ANY, formula);
        break;
    case FORMULA_COUNT:
        low = words[1] ? words[1] - 1 : 0;
        high = words[2] == CZ_COUNT_UNBOUNDED ? words[2] : words[2] - 1;
        if (words[2] > 0)
            add_pair(machine, out, CZ_VALUE_ANY, cz_formula_count(machine, low, high));
        break;
    case FORMULA_ITEMS:
        add_pair(machine, out, item_value(machine, words[1], words[2]),
                 cz_formula_items(machine, words[1], words[2] + 1));
        break;
    case FORMULA_SOMEITEM:
        value = cz_value_not(machine, item_value(machine, words[1], words[2]));
        add_pair(machine, out, value, CZ_FORMULA_TRUE);
        add_pair(machine, out, CZ_VALUE_ANY,
                 cz_formula_not(machine, cz_formula_items(machine, words[1], words[2] + 1)));
        break;
    case FORMULA_CONTAINS:
        low = words[2] ? words[2] - 1 : 0;
        high = words[3] == CZ_COUNT_UNBOUNDED ? words[3] : words[3] - 1;
        if (words[3] > 0)
            add_pair(machine, out, words[1], cz_formula_contains(machine, words[1], low, high));
        add_pair(machine, out,
                 words[3] == CZ_COUNT_UNBOUNDED ? (cz_value)CZ_VALUE_ANY
                                                : cz_value_not(machine, words[1]),
                 formula);
        break;
    case FORMULA_UNIQUE:
        add_pair(machine, out, cz_value_not(machine, words[1]), formula);
        break;
    case FORMULA_REPEAT:
        add_pair(machine, out, words[1], CZ_FORMULA_TRUE);
        add_pair(machine, out, CZ_VALUE_ANY, formula);
        break;
    default:
        break;
    }
}

static void read_one(struct cz_machine *machine, cz_formula formula, const struct cz_member *member,
                     struct cz_pairs *out);

/* Whether nothing is in both. */
static bool apart(struct cz_machine *machine, cz_value a, cz_value b)
{
    return !cz_value_alive(machine, cz_value_and(machine, a, b));
}

/* a and b, where "a and not c" is just a when a and c have nothing in common. */
static cz_value meet(struct cz_machine *machine, cz_value a, cz_value b)
{
    cz_value negated = cz_value_negated(machine, b);
    if (a == b || b == CZ_VALUE_ANY || (negated && a != CZ_VALUE_ANY && apart(machine, a, negated)))
        return a;
    negated = cz_value_negated(machine, a);
    if (a == CZ_VALUE_ANY || (negated && apart(machine, b, negated)))
        return b;
    return cz_value_and(machine, a, b);
}

/* The product of two unions. */
static void multiply(struct cz_machine *machine, struct cz_pairs *left, const struct cz_pairs *right)
{
    struct cz_pairs product = {0};
    for (uint32_t i = 0; i < left->count; i++) {
        for (uint32_t j = 0; j < right->count && cz_machine_burn(machine, 1); j++) {
            cz_value value = meet(machine, left->items[i].value, right->items[j].value);
            if (value == CZ_VALUE_NONE ||
                ((left->count > 1 || right->count > 1) && !cz_value_alive(machine, value)))
                continue;
            add_pair(machine, &product, value,
                     cz_formula_and(machine, left->items[i].rest, right->items[j].rest));
        }
    }
    cz_pairs_free(left);
    *left = product;
}

/* Parts that can be read in one way only go together first: they narrow the value that the others
 * are multiplied with. */
static void read_and(struct cz_machine *machine, cz_formula formula, const struct cz_member *member,
                     struct cz_pairs *out)
{
    uint32_t size = cz_formula_size(machine, formula), rest_count = 0, several_count = 0;
    cz_formula *rests = malloc(size * sizeof *rests);
    struct cz_pairs *several = calloc(size, sizeof *several), product = {0};
    cz_value value = CZ_VALUE_ANY;
    bool dead = !rests || !several;
    for (uint32_t i = 1; i < size && !dead && machine->failed == CLOZE_OK; i++) {
        struct cz_pairs *part = &several[several_count];
        part->count = 0;
        read_one(machine, cz_formula_words(machine, formula)[i], member, part);
        dead = part->count == 0;
        if (part->count == 1) {
            value = cz_value_and(machine, value, part->items[0].value);
            rests[rest_count++] = part->items[0].rest;
        } else {
            several_count++;
        }
    }
    if (!dead && machine->failed == CLOZE_OK)
        add_pair(machine, &product, value, make_list(machine, FORMULA_AND, rests, rest_count));
    for (uint32_t i = 0; i < several_count && machine->failed == CLOZE_OK && product.count; i++)
        multiply(machine, &product, &several[i]);
    for (uint32_t i = 0; i < product.count && machine->failed == CLOZE_OK; i++)
        add_pair(machine, out, product.items[i].value, product.items[i].rest);
    for (uint32_t i = 0; several && i < size; i++)
        cz_pairs_free(&several[i]);
    cz_pairs_free(&product);
    free(several);
    free(rests);
}

static void read_one(struct cz_machine *machine, cz_formula formula, const struct cz_member *member,
                     struct cz_pairs *out)
{
    uint32_t words[4] = {0}, size = cz_formula_size(machine, formula);
    memcpy(words, cz_formula_words(machine, formula), (size < 4 ? size : 4) * sizeof *words);
    if (!cz_machine_burn(machine, 1))
        return;
    if (machine->depth >= CZ_MACHINE_DEPTH) {
        cz_machine_fail(machine, CLOZE_LIMIT, NULL, "schemas are combined too deeply");
        return;
    }
    machine->depth++;
    if (words[0] == FORMULA_TRUE) {
        add_pair(machine, out, CZ_VALUE_ANY, formula);
    } else if (words[0] == FORMULA_AND) {
        read_and(machine, formula, member, out);
    } else if (words[0] == FORMULA_OR) {
        for (uint32_t i = 1; i < size && machine->failed == CLOZE_OK; i++) {
            struct cz_pairs part = {0};
            read_one(machine, cz_formula_words(machine, formula)[i], member, &part);
            for (uint32_t j = 0; j < part.count; j++)
                add_pair(machine, out, part.items[j].value, part.items[j].rest);
            cz_pairs_free(&part);
        }
    } else {
        read_leaf(machine, formula, words, member, out);
    }
    machine->depth--;
}

void cz_formula_item(struct cz_machine *machine, cz_formula formula, struct cz_pairs *out)
{
    read_one(machine, formula, NULL, out);
}

void cz_formula_member(struct cz_machine *machine, cz_formula formula,
                       const struct cz_member *member, struct cz_pairs *out)
{
    read_one(machine, formula, member, out);
}

typedef cz_formula leaf_function(struct cz_machine *machine, uint32_t kind, cz_value seen,
                                 cz_value value);

/* The formula with its UNIQUE and REPEAT leaves replaced. */
static cz_formula map_leaves(struct cz_machine *machine, cz_formula formula, leaf_function *map,
                             cz_value value)
{
    if (!cz_formula_binds(machine, formula))
        return formula;
    uint32_t kind = cz_formula_kind(machine, formula), size = cz_formula_size(machine, formula);
    if (kind == FORMULA_UNIQUE || kind == FORMULA_REPEAT)
        return map(machine, kind, cz_formula_words(machine, formula)[1], value);
    cz_formula *parts = malloc(size * sizeof *parts);
    cz_formula result = CZ_FORMULA_FALSE;
    for (uint32_t i = 1; parts && i < size; i++)
        parts[i - 1] = map_leaves(machine, cz_formula_words(machine, formula)[i], map, value);
    if (parts)
        result = make_list(machine, kind, parts, size - 1);
    free(parts);
    return result;
}

static cz_formula remember(struct cz_machine *machine, uint32_t kind, cz_value seen, cz_value value)
{
    struct cz_typed all = cz_typed_or(machine, cz_value_expand(machine, seen),
                                      cz_value_expand(machine, value));
    cz_formula bound = cz_formula_atom(machine, kind, cz_value_typed(machine, &all), 0, 0);
    cz_formula_not(machine, bound); /* so that the two of them are seen to be opposites */
    return bound;
}

static cz_formula forget(struct cz_machine *machine, uint32_t kind, cz_value seen, cz_value value)
{
    (void)seen, (void)value;
    return cz_formula_atom(machine, kind, CZ_VALUE_NONE, 0, 0);
}

static cz_formula settle(struct cz_machine *machine, uint32_t kind, cz_value seen, cz_value value)
{
    (void)machine, (void)seen, (void)value;
    return kind == FORMULA_REPEAT ? CZ_FORMULA_TRUE : CZ_FORMULA_FALSE;
}

cz_formula cz_formula_bind(struct cz_machine *machine, cz_formula formula, cz_value value)
{
    return map_leaves(machine, formula, remember, value);
}

cz_formula cz_formula_forget(struct cz_machine *machine, cz_formula formula)
{
    return map_leaves(machine, formula, forget, CZ_VALUE_NONE);
}

cz_formula cz_formula_settle(struct cz_machine *machine, cz_formula formula)
{
    return map_leaves(machine, formula, settle, CZ_VALUE_NONE);
}

/* ---- Plainly disjoint ---- */

/* What the ALL leaves of a conjunction say of a member, as a value. */
static cz_value value_by(struct cz_machine *machine, cz_formula formula,
                         const struct cz_member *member)
{
    uint32_t kind = cz_formula_kind(machine, formula), size = cz_formula_size(machine, formula);
    cz_value value = CZ_VALUE_ANY;
    if (kind == FORMULA_ALL)
        return cz_props_value(machine, cz_formula_words(machine, formula)[1], member);
    if (kind == FORMULA_FORBID && cz_formula_words(machine, formula)[1] == member->key)
        return CZ_VALUE_NONE;
    for (uint32_t i = 1; kind == FORMULA_AND && i < size; i++)
        value = cz_value_and(machine, value,
                             value_by(machine, cz_formula_words(machine, formula)[i], member));
    return value;
}

/* A key that one side requires can have no value that suits both. */
static bool apart_by_key(struct cz_machine *machine, cz_formula a, cz_formula b, cz_key key)
{
    struct cz_member member = {.key = key};
    cz_value x = value_by(machine, a, &member), y = value_by(machine, b, &member);
    struct cz_typed first, second;
    if (x == CZ_VALUE_NONE || y == CZ_VALUE_NONE)
        return true;
    if (!cz_value_is_plain(machine, x) || !cz_value_is_plain(machine, y))
        return false;
    first = cz_value_expand(machine, x);
    second = cz_value_expand(machine, y);
    first = cz_typed_and(machine, first, second);
    return !first.literals && !first.array && !first.object &&
           !cz_numbers_alive(machine->numbers, first.number) &&
           !cz_expr_alive(machine->exprs, first.string);
}

static bool apart_by_requirements(struct cz_machine *machine, cz_formula a, cz_formula b,
                                  cz_formula of)
{
    uint32_t kind = cz_formula_kind(machine, of), size = cz_formula_size(machine, of);
    if (kind == FORMULA_REQUIRE)
        return apart_by_key(machine, a, b, cz_formula_words(machine, of)[1]);
    for (uint32_t i = 1; kind == FORMULA_AND && i < size; i++) {
        cz_formula leaf = cz_formula_words(machine, of)[i];
        if (cz_formula_kind(machine, leaf) == FORMULA_REQUIRE &&
            apart_by_key(machine, a, b, cz_formula_words(machine, leaf)[1]))
            return true;
    }
    return false;
}

/* One side wants a member, and no key is good for both. */
static bool apart_by_count(struct cz_machine *machine, cz_formula a, cz_formula b)
{
    uint32_t id;
    if (cz_formula_nullable(machine, a) && cz_formula_nullable(machine, b))
        return false;
    const struct cz_keyset *keyset = cz_keyset_of(machine, cz_formula_and(machine, a, b), &id);
    for (uint32_t i = 0; keyset && i < keyset->count + keyset->class_count; i++) {
        bool named = i < keyset->count;
        struct cz_member member = {named ? keyset->keys[i] : UINT32_MAX, keyset,
                                   named ? 0 : i - keyset->count};
        if (value_by(machine, a, &member) != CZ_VALUE_NONE &&
            value_by(machine, b, &member) != CZ_VALUE_NONE)
            return false;
    }
    return keyset != NULL;
}

bool cz_formulas_disjoint(struct cz_machine *machine, cz_formula a, cz_formula b)
{
    uint32_t size_a = cz_formula_size(machine, a), size_b = cz_formula_size(machine, b);
    if (cz_formula_kind(machine, a) == FORMULA_OR) {
        for (uint32_t i = 1; i < size_a; i++) {
            if (!cz_formulas_disjoint(machine, cz_formula_words(machine, a)[i], b))
                return false;
        }
        return true;
    }
    if (cz_formula_kind(machine, b) == FORMULA_OR) {
        for (uint32_t i = 1; i < size_b; i++) {
            if (!cz_formulas_disjoint(machine, a, cz_formula_words(machine, b)[i]))
                return false;
        }
        return true;
    }
    return apart_by_requirements(machine, a, b, a) || apart_by_requirements(machine, a, b, b) ||
           apart_by_count(machine, a, b);
}
