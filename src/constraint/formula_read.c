/*
 * formula_read.c - what a formula makes of one member or item: pairs (value, rest).
 *
 * The member may be any of `value` if what follows meets `rest`; a set of pairs is a union. First
 * every leaf is replaced by what it asks of the rest, where that hangs on the member's value by a
 * FORMULA_WHEN. These are then decided one after the other. A condition that only helps, or only
 * hurts, needs no complement on its other side, and alternatives under such conditions stay apart;
 * any other is decided once for all its places, so that contradictions never come up.
 */
#include "constraint/formula_internal.h"

#include "base/heap.h"

#include <stdlib.h>

enum { PARTS = 64, BURN = 8 /* parts of a list for one step of fuel */ };

/* ---- Pairs ---- */

void cz_pairs_free(struct cz_pairs *pairs)
{
    cz_heap_free(pairs->items);
    *pairs = (struct cz_pairs){0};
}

/* The conjuncts of a that b has too (`shared`), or those that it has not. */
static cz_formula conjuncts_of(struct cz_machine *machine, cz_formula a, cz_formula b, bool shared)
{
    uint32_t size = cz_formula_size(machine, a), others = cz_formula_size(machine, b), count = 0;
    uint32_t *parts = cz_heap_alloc(size * sizeof *parts);
    if (!parts) {
        cz_machine_fail_memory(machine);
        return CZ_FORMULA_FALSE;
    }
    for (uint32_t i = 1; i < size; i++) {
        cz_formula part = cz_formula_words(machine, a)[i];
        if (cz_words_hold(cz_formula_words(machine, b) + 1, others - 1, part) == shared)
            parts[count++] = part;
    }
    cz_formula result = cz_formula_list(machine, FORMULA_AND, parts, count);
    cz_heap_free(parts);
    return result;
}

/* a or b, what both demand said once: what is wanted is not to count twice. */
static cz_formula join(struct cz_machine *machine, cz_formula a, cz_formula b)
{
    if (a == b || cz_formula_kind(machine, a) != FORMULA_AND ||
        cz_formula_kind(machine, b) != FORMULA_AND)
        return cz_formula_or(machine, a, b);
    cz_formula shared = conjuncts_of(machine, a, b, true);
    if (shared == CZ_FORMULA_TRUE)
        return cz_formula_or(machine, a, b);
    cz_formula either = cz_formula_or(machine, conjuncts_of(machine, a, b, false),
                                      conjuncts_of(machine, b, a, false));
    return cz_formula_and(machine, shared, either);
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
            pair->rest = join(machine, pair->rest, rest);
            return;
        }
    }
    if (machine->limited && pairs->count >= CZ_MACHINE_PAIRS) {
        cz_machine_fail(machine, CLOZE_LIMIT, NULL, "too many ways to read one member");
        return;
    }
    if (!cz_machine_grow(machine, (void **)&pairs->items, pairs->count, &pairs->capacity,
                         sizeof *pairs->items)) {
        cz_machine_fail_memory(machine);
        return;
    }
    pairs->items[pairs->count++] = (struct cz_pair){value, rest};
}

/* ---- What a leaf makes of a member ---- */

struct choice {
    cz_value value;
    cz_formula in, out; /* what is asked of the rest when the member is one of value, or not */
};

static struct choice always(cz_formula rest)
{
    return (struct choice){CZ_VALUE_ANY, rest, rest};
}

static struct choice read_contains(struct cz_machine *machine, cz_formula leaf,
                                   const uint32_t words[4])
{
    uint32_t low = words[2] ? words[2] - 1 : 0;
    uint32_t high = words[3] == CZ_COUNT_UNBOUNDED ? words[3] : words[3] - 1;
    cz_formula in = words[3] ? cz_formula_contains(machine, words[1], low, high)
                             : (cz_formula)CZ_FORMULA_FALSE;
    return (struct choice){words[1], in, leaf};
}

static struct choice read_count(struct cz_machine *machine, const uint32_t words[4])
{
    uint32_t low = words[1] ? words[1] - 1 : 0;
    uint32_t high = words[2] == CZ_COUNT_UNBOUNDED ? words[2] : words[2] - 1;
    return always(words[2] ? cz_formula_count(machine, low, high)
                           : (cz_formula)CZ_FORMULA_FALSE);
}

static struct choice read_leaf(struct cz_machine *machine, cz_formula leaf,
                               const struct cz_member *member)
{
    uint32_t words[4] = {0}, size = cz_formula_size(machine, leaf);
    cz_formula next;
    memcpy(words, cz_formula_words(machine, leaf), (size < 4 ? size : 4) * sizeof *words);
    switch (words[0]) {
    case FORMULA_ALL:
        return (struct choice){cz_props_value(machine, words[1], member), leaf, CZ_FORMULA_FALSE};
    case FORMULA_SOME:
        return (struct choice){cz_props_value(machine, words[1], member), leaf, CZ_FORMULA_TRUE};
    case FORMULA_REQUIRE:
        return always(member->key == words[1] ? (cz_formula)CZ_FORMULA_TRUE : leaf);
    case FORMULA_FORBID:
        return always(member->key == words[1] ? (cz_formula)CZ_FORMULA_FALSE : leaf);
    case FORMULA_COUNT:
        return read_count(machine, words);
    case FORMULA_ITEMS:
        next = cz_formula_items(machine, words[1], words[2] + 1);
        return (struct choice){cz_items_value(machine, words[1], words[2]), next, CZ_FORMULA_FALSE};
    case FORMULA_SOMEITEM:
        next = cz_formula_not(machine, cz_formula_items(machine, words[1], words[2] + 1));
        return (struct choice){cz_items_value(machine, words[1], words[2]), next, CZ_FORMULA_TRUE};
    case FORMULA_CONTAINS:
        return read_contains(machine, leaf, words);
    case FORMULA_UNIQUE:
        return (struct choice){words[1], CZ_FORMULA_FALSE, leaf};
    case FORMULA_REPEAT:
        return (struct choice){words[1], CZ_FORMULA_TRUE, leaf};
    default:
        return always(leaf);
    }
}

/* ---- Replacing leaves ---- */

struct walk {
    struct cz_machine *machine;
    cz_formula (*leaf)(struct walk *walk, cz_formula formula);
    uint32_t stamp;
    bool pending;  /* only what has conditions changes */
    uint64_t keys; /* nothing changes that has none of these bits */
    const struct cz_member *member;
    cz_value value; /* of the condition that is decided */
    bool in;
};

static cz_formula replace(struct walk *walk, cz_formula formula);

static cz_formula replace_parts(struct walk *walk, cz_formula formula)
{
    struct cz_machine *machine = walk->machine;
    uint32_t size = cz_formula_size(machine, formula), stack[PARTS], *parts = stack;
    bool changed = false;
    if (size > PARTS && !(parts = cz_heap_alloc(size * sizeof *parts))) {
        cz_machine_fail_memory(machine);
        return CZ_FORMULA_FALSE;
    }
    for (uint32_t i = 1; i < size; i++) {
        cz_formula part = cz_formula_words(machine, formula)[i];
        parts[i] = replace(walk, part);
        changed |= parts[i] != part;
    }
    if (changed)
        formula = cz_formula_list(machine, cz_formula_kind(machine, formula), parts + 1, size - 1);
    if (parts != stack)
        cz_heap_free(parts);
    return formula;
}

/* What a member makes of one constant: the rest of it, where the member has this value. */
struct agreement {
    cz_value value;
    cz_formula rest;
};

static struct agreement read_constant(struct cz_machine *machine, cz_formula constant,
                                      const struct cz_member *member)
{
    struct agreement all = {CZ_VALUE_ANY, CZ_FORMULA_TRUE};
    bool list = cz_formula_kind(machine, constant) == FORMULA_AND;
    uint32_t size = list ? cz_formula_size(machine, constant) : 1;
    for (uint32_t i = list; i < size; i++) {
        cz_formula leaf = list ? cz_formula_words(machine, constant)[i] : constant;
        struct choice choice = read_leaf(machine, leaf, member);
        all.rest = cz_formula_and(machine, all.rest, choice.in);
        if (choice.out == CZ_FORMULA_FALSE)
            all.value = cz_value_and(machine, all.value, choice.value);
    }
    cz_formula none = cz_formula_count(machine, 0, 0);
    if (cz_formula_weaker(machine, none, all.rest))
        all.rest = none; /* whatever else was said of members, there are none */
    cz_formula_mark_constant(machine, all.rest);
    return all;
}

static int compare_agreements(const void *x, const void *y)
{
    const struct agreement *a = x, *b = y;
    if (a->value != b->value)
        return (a->value > b->value) - (a->value < b->value);
    return (a->rest > b->rest) - (a->rest < b->rest);
}

/* Agreements of one value become one, what differs from all their rests. */
static uint32_t join_values(struct cz_machine *machine, struct agreement *all, uint32_t count)
{
    cz_formula *rests = cz_heap_alloc((count + 1) * sizeof *rests);
    uint32_t kept = 0;
    qsort(all, count, sizeof *all, compare_agreements);
    for (uint32_t i = 0, next; i < count && rests; i = next) {
        uint32_t several = 0;
        for (next = i; next < count && all[next].value == all[i].value; next++)
            rests[several++] = all[next].rest;
        all[kept++] = (struct agreement){all[i].value,
                                         cz_formula_differs(machine, rests, several)};
    }
    if (!rests)
        cz_machine_fail_memory(machine);
    cz_heap_free(rests);
    return kept;
}

/* Agreements of one rest become one: the first keeps the values of all, the others have none. */
static void join_rests(struct cz_machine *machine, struct agreement *all, uint32_t count)
{
    cz_value *values = cz_heap_alloc((count + 1) * sizeof *values);
    for (uint32_t i = 0; i < count && values; i++) {
        uint32_t several = 0;
        for (uint32_t j = i; j < count && all[i].value != CZ_VALUE_NONE; j++) {
            if (all[j].rest != all[i].rest || all[j].value == CZ_VALUE_NONE)
                continue;
            values[several++] = all[j].value;
            all[j].value = CZ_VALUE_NONE;
        }
        if (several)
            all[i].value = cz_value_any_of(machine, values, several);
    }
    if (!values)
        cz_machine_fail_memory(machine);
    cz_heap_free(values);
}

/* What remains of constants by the member's value; those that it does not agree with can't come any
 * more. Owned by the caller, NULL without memory. */
static struct agreement *read_differs(struct cz_machine *machine, cz_formula formula,
                                      const struct cz_member *member, uint32_t *count)
{
    uint32_t size = cz_formula_size(machine, formula);
    struct agreement *all = cz_heap_alloc(size * sizeof *all);
    *count = 0;
    if (!all) {
        cz_machine_fail_memory(machine);
        return NULL;
    }
    for (uint32_t i = 1; i < size && cz_machine_burn(machine, 1); i++) {
        all[*count] = read_constant(machine, cz_formula_words(machine, formula)[i], member);
        *count += all[*count].rest != CZ_FORMULA_FALSE && all[*count].value != CZ_VALUE_NONE;
    }
    *count = join_values(machine, all, *count);
    join_rests(machine, all, *count);
    return all;
}

/* As conditions, one in the other. */
static cz_formula replace_differs(struct walk *walk, cz_formula formula)
{
    uint32_t count;
    struct agreement *all = read_differs(walk->machine, formula, walk->member, &count);
    cz_formula result = CZ_FORMULA_TRUE;
    for (uint32_t i = 0; i < count; i++) {
        if (all[i].value != CZ_VALUE_NONE)
            result = cz_formula_when(walk->machine, all[i].value, all[i].rest, result);
    }
    cz_heap_free(all);
    return result;
}

static cz_formula replace(struct walk *walk, cz_formula formula)
{
    struct cz_machine *machine = walk->machine;
    if ((walk->pending && !cz_formula_has(machine, formula, FACT_PENDING)) ||
        !(machine->formula_facts[formula].keys & walk->keys))
        return formula;
    if (!cz_formula_is_list(cz_formula_kind(machine, formula)))
        return walk->leaf(walk, formula);
    if (cz_formula_has(machine, formula, FACT_DIFFERS))
        return replace_differs(walk, formula);
    if (machine->formula_facts[formula].stamp == walk->stamp)
        return machine->formula_facts[formula].memo;
    if (!cz_machine_burn(machine, 1 + cz_formula_size(machine, formula) / BURN))
        return CZ_FORMULA_FALSE;
    if (machine->depth >= CZ_MACHINE_DEPTH) {
        cz_machine_fail(machine, CLOZE_LIMIT, NULL, "schemas are combined too deeply");
        return CZ_FORMULA_FALSE;
    }
    machine->depth++;
    cz_formula result = replace_parts(walk, formula);
    machine->depth--;
    machine->formula_facts[formula].stamp = walk->stamp;
    machine->formula_facts[formula].memo = result;
    return result;
}

static cz_formula read_one(struct walk *walk, cz_formula leaf)
{
    struct choice choice = read_leaf(walk->machine, leaf, walk->member);
    return cz_formula_when(walk->machine, choice.value, choice.in, choice.out);
}

static cz_formula decide_one(struct walk *walk, cz_formula when)
{
    const uint32_t *words = cz_formula_words(walk->machine, when);
    return words[1] == walk->value ? words[walk->in ? 2 : 3] : when;
}

/* The formula where a condition is known. */
static cz_formula decide(struct cz_machine *machine, cz_formula formula, cz_value value, bool in)
{
    struct walk walk = {.machine = machine, .leaf = decide_one, .pending = true, .value = value,
                        .keys = KEYS_ANY,
                        .in = in, .stamp = ++machine->formula_stamp};
    return replace(&walk, formula);
}

/* ---- What a condition does ---- */

enum { HELPS = 1, HURTS = 2 };

/* Whether the interval of one CONTAINS (or of all, TRUE) holds that of another. */
static bool wider(const struct cz_machine *machine, cz_formula wide, cz_formula narrow)
{
    const uint32_t *a = cz_formula_words(machine, wide), *b = cz_formula_words(machine, narrow);
    return wide == CZ_FORMULA_TRUE || narrow == CZ_FORMULA_FALSE ||
           (a[0] == FORMULA_CONTAINS && b[0] == FORMULA_CONTAINS && a[1] == b[1] && a[2] <= b[2] &&
            a[3] >= b[3]);
}

/* How the value's condition acts in the formula: HELPS, HURTS or both. */
static uint32_t effect_of(struct cz_machine *machine, cz_formula formula, cz_value value,
                          bool either)
{
    struct formula_facts *facts = &machine->formula_facts[formula];
    const uint32_t *words = cz_formula_words(machine, formula);
    if (!(facts->facts & FACT_PENDING) ||
        (facts->stamp == machine->formula_stamp && (facts->memo || !either)))
        return 0;
    if (words[0] == FORMULA_WHEN) {
        uint32_t effect = wider(machine, words[2], words[3])   ? HELPS
                          : wider(machine, words[3], words[2]) ? HURTS
                                                               : HELPS | HURTS;
        return words[1] != value ? 0 : either ? HELPS | HURTS : effect;
    }
    facts->stamp = machine->formula_stamp;
    facts->memo = either;
    either |= words[0] == FORMULA_ONE || words[0] == FORMULA_NOTONE;
    uint32_t effect = 0, size = cz_formula_size(machine, formula);
    for (uint32_t i = 1; i < size && effect != (HELPS | HURTS); i++)
        effect |= effect_of(machine, words[i], value, either);
    return effect;
}

static cz_value first_condition(const struct cz_machine *machine, cz_formula formula)
{
    const uint32_t *words = cz_formula_words(machine, formula);
    while (words[0] != FORMULA_WHEN) {
        uint32_t i = 1;
        while (!cz_formula_has(machine, words[i], FACT_PENDING))
            i++;
        words = cz_formula_words(machine, words[i]);
    }
    return words[1];
}

/* ---- Deciding the conditions ---- */

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

static void expand(struct cz_machine *machine, cz_formula formula, cz_value value,
                   struct cz_pairs *out);

/* Whether the value is known to be a part of the other. */
static bool within(struct cz_machine *machine, cz_value value, cz_value other)
{
    if (value == other || other == CZ_VALUE_ANY)
        return true;
    cz_value negated = cz_value_negated(machine, other);
    if (!negated && (!cz_value_is_plain(machine, value) || !cz_value_is_plain(machine, other)))
        return false;
    return value != CZ_VALUE_ANY &&
           apart(machine, value, negated ? negated : cz_value_not(machine, other));
}

/* One side of a condition: `value` is narrowed by `by`. */
static void take_side(struct cz_machine *machine, cz_formula formula, cz_value value, cz_value by,
                      struct cz_pairs *out)
{
    if (formula == CZ_FORMULA_FALSE)
        return;
    cz_value met = meet(machine, value, by);
    if (met == CZ_VALUE_NONE || (met != value && met != by && !cz_value_alive(machine, met)))
        return;
    expand(machine, formula, met, out);
}

static void split(struct cz_machine *machine, cz_formula formula, cz_value value,
                  struct cz_pairs *out)
{
    cz_value condition = first_condition(machine, formula);
    cz_value opposite = cz_value_not(machine, condition);
    machine->formula_stamp++;
    uint32_t effect = effect_of(machine, formula, condition, false);
    cz_formula in = decide(machine, formula, condition, true);
    cz_formula not_in = decide(machine, formula, condition, false);
    if (in == not_in || within(machine, value, condition)) {
        expand(machine, in, value, out);
        return;
    }
    if (within(machine, value, opposite)) {
        expand(machine, not_in, value, out);
        return;
    }
    cz_value inside = effect == HURTS ? (cz_value)CZ_VALUE_ANY : condition;
    cz_value outside = effect == HELPS ? (cz_value)CZ_VALUE_ANY : opposite;
    take_side(machine, in, value, inside, out);
    take_side(machine, not_in, value, outside, out);
}

/* Every part that has conditions by itself, and the others together, each beside `others`. */
static void expand_parts(struct cz_machine *machine, cz_formula list, cz_formula others,
                         cz_value value, struct cz_pairs *out)
{
    uint32_t size = cz_formula_size(machine, list), sure = 0, stack[PARTS], *parts = stack;
    if (size > PARTS && !(parts = cz_heap_alloc(size * sizeof *parts))) {
        cz_machine_fail_memory(machine);
        return;
    }
    for (uint32_t i = 1; i < size && machine->failed == CLOZE_OK; i++) {
        cz_formula part = cz_formula_words(machine, list)[i];
        if (cz_formula_has(machine, part, FACT_PENDING))
            expand(machine, cz_formula_and(machine, others, part), value, out);
        else
            parts[sure++] = part;
    }
    if (sure) {
        cz_formula rest = cz_formula_list(machine, FORMULA_OR, parts, sure);
        expand(machine, cz_formula_and(machine, others, rest), value, out);
    }
    if (parts != stack)
        cz_heap_free(parts);
}

/* The parts of a conjunction that leave no choice narrow the value; the rest of it is returned. */
static cz_formula settle(struct cz_machine *machine, cz_formula formula, cz_value *value)
{
    uint32_t size = cz_formula_size(machine, formula);
    for (uint32_t i = 1; i < size; i++) {
        const uint32_t *words =
            cz_formula_words(machine, cz_formula_words(machine, formula)[i]);
        if (words[0] != FORMULA_WHEN ||
            (words[2] != CZ_FORMULA_FALSE && words[3] != CZ_FORMULA_FALSE))
            continue;
        bool in = words[3] == CZ_FORMULA_FALSE;
        cz_value condition = words[1];
        *value = meet(machine, *value, in ? condition : cz_value_not(machine, condition));
        return decide(machine, formula, condition, in);
    }
    return formula;
}

static void expand_and(struct cz_machine *machine, cz_formula formula, cz_value value,
                       struct cz_pairs *out)
{
    cz_formula settled = settle(machine, formula, &value);
    if (settled != formula) {
        if (cz_value_alive(machine, value))
            expand(machine, settled, value, out);
        return;
    }
    uint32_t at = 1;
    while (!cz_formula_has(machine, cz_formula_words(machine, formula)[at], FACT_PENDING))
        at++;
    cz_formula part = cz_formula_words(machine, formula)[at];
    machine->formula_stamp++;
    if (cz_formula_kind(machine, part) == FORMULA_OR &&
        effect_of(machine, formula, first_condition(machine, part), false) != (HELPS | HURTS))
        expand_parts(machine, part, cz_formula_without(machine, formula, at), value, out);
    else
        split(machine, formula, value, out);
}

static void expand(struct cz_machine *machine, cz_formula formula, cz_value value,
                   struct cz_pairs *out)
{
    if (machine->failed != CLOZE_OK || !cz_machine_burn(machine, 1))
        return;
    if (!cz_formula_has(machine, formula, FACT_PENDING)) {
        add_pair(machine, out, value, formula);
        return;
    }
    if (machine->depth >= CZ_MACHINE_DEPTH) {
        cz_machine_fail(machine, CLOZE_LIMIT, NULL, "schemas are combined too deeply");
        return;
    }
    machine->depth++;
    uint32_t kind = cz_formula_kind(machine, formula);
    if (kind == FORMULA_OR)
        expand_parts(machine, formula, CZ_FORMULA_TRUE, value, out);
    else if (kind == FORMULA_AND)
        expand_and(machine, formula, value, out);
    else
        split(machine, formula, value, out);
    machine->depth--;
}

/* ---- Reading ---- */

/* The bit of a named key; an undeclared one and items change only what any may change, which has all
 * bits: the highest stands for them, and what shares it is looked at in vain. */
static uint64_t keys_of(const struct cz_member *member)
{
    return member && member->key != UINT32_MAX ? cz_key_bit(member->key) : 1ull << 63;
}

/* A conjunction's leaves that leave no choice narrow the value right away. */
static cz_formula read_and(struct walk *walk, cz_formula formula, cz_value *value)
{
    struct cz_machine *machine = walk->machine;
    uint32_t size = cz_formula_size(machine, formula), stack[PARTS], *parts = stack;
    bool changed = false;
    if (size > PARTS && !(parts = cz_heap_alloc(size * sizeof *parts))) {
        cz_machine_fail_memory(machine);
        return CZ_FORMULA_FALSE;
    }
    for (uint32_t i = 1; i < size; i++) {
        cz_formula part = cz_formula_words(machine, formula)[i];
        if (!(machine->formula_facts[part].keys & walk->keys)) {
            parts[i] = part;
        } else if (cz_formula_is_list(cz_formula_kind(machine, part))) {
            parts[i] = replace(walk, part);
        } else {
            struct choice choice = read_leaf(machine, part, walk->member);
            bool certain = choice.out == CZ_FORMULA_FALSE;
            if (certain)
                *value = cz_value_and(machine, *value, choice.value);
            parts[i] = certain ? choice.in
                               : cz_formula_when(machine, choice.value, choice.in, choice.out);
        }
        changed |= parts[i] != part;
    }
    if (changed)
        formula = cz_formula_list(machine, FORMULA_AND, parts + 1, size - 1);
    if (parts != stack)
        cz_heap_free(parts);
    return formula;
}

/* What only has to differ from constants, taken out of a conjunction; FALSE: there is no such. */
static cz_formula take_differing(struct cz_machine *machine, cz_formula *formula)
{
    cz_formula whole = *formula;
    uint32_t size = cz_formula_size(machine, whole);
    if (cz_formula_has(machine, whole, FACT_DIFFERS)) {
        *formula = CZ_FORMULA_TRUE;
        return whole;
    }
    for (uint32_t i = 1; i < size && cz_formula_kind(machine, whole) == FORMULA_AND; i++) {
        cz_formula part = cz_formula_words(machine, whole)[i];
        if (cz_formula_has(machine, part, FACT_DIFFERS)) {
            *formula = cz_formula_without(machine, whole, i);
            return part;
        }
    }
    return CZ_FORMULA_FALSE;
}

/* The agreements exclude each other, so that each is a way to read the member, and any other value
 * is one. */
static void expand_differs(struct cz_machine *machine, cz_formula formula, cz_value value,
                           const struct agreement *all, uint32_t count, struct cz_pairs *out)
{
    cz_value *values = cz_heap_alloc((count + 1) * sizeof *values);
    uint32_t several = 0;
    for (uint32_t i = 0; i < count && values; i++) {
        if (all[i].value != CZ_VALUE_NONE)
            values[several++] = all[i].value;
    }
    cz_value known = values ? cz_value_any_of(machine, values, several) : (cz_value)CZ_VALUE_NONE;
    take_side(machine, formula, value, cz_value_not(machine, known), out);
    for (uint32_t i = 0; i < count; i++) {
        if (all[i].value != CZ_VALUE_NONE)
            take_side(machine, cz_formula_and(machine, formula, all[i].rest), value, all[i].value,
                      out);
    }
    cz_heap_free(values);
}

/* Those first after which least is wanted, so that who takes the first one gets to an end. */
static void sort_pairs(const struct cz_machine *machine, struct cz_pairs *pairs)
{
    for (uint32_t i = 1; i < pairs->count; i++) {
        struct cz_pair pair = pairs->items[i];
        uint64_t wants = cz_formula_wants(machine, pair.rest);
        uint32_t at = i;
        for (; at > 0 && cz_formula_wants(machine, pairs->items[at - 1].rest) > wants; at--)
            pairs->items[at] = pairs->items[at - 1];
        pairs->items[at] = pair;
    }
}

void cz_formula_member(struct cz_machine *machine, cz_formula formula,
                       const struct cz_member *member, struct cz_pairs *out)
{
    struct walk walk = {.machine = machine, .leaf = read_one, .member = member,
                        .keys = keys_of(member)};
    cz_value value = CZ_VALUE_ANY;
    uint32_t count = 0;
    struct agreement *differs = NULL;
    if (!cz_machine_burn(machine, 1 + cz_formula_size(machine, formula) / BURN))
        return;
    cz_formula differing = take_differing(machine, &formula);
    if (differing != CZ_FORMULA_FALSE)
        differs = read_differs(machine, differing, member, &count);
    walk.stamp = ++machine->formula_stamp;
    formula = cz_formula_kind(machine, formula) == FORMULA_AND ? read_and(&walk, formula, &value)
                                                               : replace(&walk, formula);
    if (differs)
        expand_differs(machine, formula, value, differs, count, out);
    else
        expand(machine, formula, value, out);
    cz_heap_free(differs);
    sort_pairs(machine, out);
}

void cz_formula_item(struct cz_machine *machine, cz_formula formula, struct cz_pairs *out)
{
    cz_formula_member(machine, formula, NULL, out);
}
