/*
 * formula.c - boolean formulas over what can be said of the members or items still to come.
 *
 * Negation is pushed to the leaves, each of which has its opposite among the leaves. A list of
 * alternatives exactly one of which holds has a kind of its own, as has its opposite: written with
 * "and" and "or" it would hold each alternative many times over.
 */
#include "constraint/formula_internal.h"

#include "base/heap.h"

enum { LIST_STACK = 128, ABSORB_LIMIT = 64, BURN = 8 /* parts of a list for a step of fuel */ };

/* ---- The table ---- */

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
    return cz_formula_has(machine, formula, FACT_NULLABLE);
}

bool cz_formula_binds(const struct cz_machine *machine, cz_formula formula)
{
    return cz_formula_has(machine, formula, FACT_BINDS);
}

bool cz_formula_closing(const struct cz_machine *machine, cz_formula formula)
{
    return cz_formula_has(machine, formula, FACT_CLOSING);
}

bool cz_formula_counts(const struct cz_machine *machine, cz_formula formula)
{
    return cz_formula_has(machine, formula, FACT_COUNTS);
}

uint64_t cz_formula_wants(const struct cz_machine *machine, cz_formula formula)
{
    return machine->formula_facts[formula].wants;
}

bool cz_formula_visit(struct cz_machine *machine, cz_formula formula)
{
    struct formula_facts *facts = &machine->formula_facts[formula];
    bool fresh = facts->stamp != machine->formula_stamp;
    facts->stamp = machine->formula_stamp;
    return fresh;
}

static uint64_t sum(uint64_t a, uint64_t b)
{
    return a + b < a ? UINT64_MAX : a + b;
}

static struct formula_facts interval_facts(uint32_t low, uint32_t high)
{
    return (struct formula_facts){.wants = low,
                                  .wants_opposite = high == CZ_COUNT_UNBOUNDED ? 0 : high + 1ull,
                                  .facts = low == 0 ? FACT_NULLABLE : 0};
}

/* Undeclared keys count as all, where their values are bound. */
static uint64_t leaf_keys(const struct cz_machine *machine, const uint32_t *words)
{
    const struct cz_props *props;
    uint64_t keys = 0;
    switch (words[0]) {
    case FORMULA_FALSE:
    case FORMULA_TRUE:
        return 0;
    case FORMULA_REQUIRE:
    case FORMULA_FORBID:
        return cz_key_bit(words[1]);
    case FORMULA_ALL:
    case FORMULA_SOME:
        props = machine->props[words[1]];
        if (props->pattern_count || props->other != CZ_VALUE_ANY)
            return KEYS_ANY;
        for (uint32_t i = 0; i < props->named_count; i++)
            keys |= cz_key_bit(props->keys[i]);
        return keys;
    default:
        return KEYS_ANY;
    }
}

static struct formula_facts leaf_facts(const struct cz_machine *machine, const uint32_t *words)
{
    struct formula_facts leaf = {0};
    uint64_t keys = leaf_keys(machine, words);
    switch (words[0]) {
    case FORMULA_TRUE:
        leaf.facts = FACT_NULLABLE;
        break;
    case FORMULA_ITEMS:
        leaf.facts = FACT_NULLABLE;
        leaf.wants_opposite = 1;
        break;
    case FORMULA_SOMEITEM:
        leaf.wants = 1;
        break;
    case FORMULA_ALL:
        leaf.facts = FACT_NULLABLE;
        leaf.facts |= machine->props[words[1]]->closing ? FACT_CLOSING : 0u;
        leaf.wants_opposite = 1;
        break;
    case FORMULA_SOME:
        leaf.facts = FACT_COUNTS;
        leaf.wants = 1;
        break;
    case FORMULA_REQUIRE:
        leaf.wants = 1;
        break;
    case FORMULA_FORBID:
        leaf.facts = FACT_NULLABLE;
        leaf.wants_opposite = 1;
        break;
    case FORMULA_COUNT:
        leaf = interval_facts(words[1], words[2]);
        leaf.facts |= words[1] ? FACT_COUNTS : 0u;
        break;
    case FORMULA_CONTAINS:
        leaf = interval_facts(words[2], words[3]);
        break;
    case FORMULA_UNIQUE:
        leaf.facts = FACT_NULLABLE | FACT_BINDS;
        leaf.wants_opposite = 1;
        break;
    case FORMULA_REPEAT:
        leaf.facts = FACT_BINDS;
        leaf.wants = 1;
        break;
    case FORMULA_WHEN:
        leaf.facts = FACT_PENDING;
        break;
    default:
        break;
    }
    leaf.keys = keys;
    return leaf;
}

static uint64_t conjunct_bits(const uint32_t *words, uint32_t count, cz_formula formula)
{
    const uint32_t *conjuncts = words[0] == FORMULA_AND ? words + 1 : &formula;
    uint64_t bits = 0;
    for (uint32_t i = 0; i < (words[0] == FORMULA_AND ? count - 1 : 1); i++)
        bits |= 1ull << (conjuncts[i] * 0x9E3779B1u >> 26);
    return bits;
}

static bool list_nullable(uint32_t kind, uint32_t nullable, uint32_t count)
{
    switch (kind) {
    case FORMULA_AND:
        return nullable == count;
    case FORMULA_OR:
        return nullable > 0;
    case FORMULA_ONE:
        return nullable == 1;
    default:
        return nullable != 1;
    }
}

static struct formula_facts list_facts(const struct cz_machine *machine, const uint32_t *words,
                                       uint32_t count)
{
    struct formula_facts all = {0};
    uint32_t nullable = 0;
    for (uint32_t i = 1; i < count; i++) {
        const struct formula_facts *part = &machine->formula_facts[words[i]];
        all.facts |= part->facts;
        all.keys |= part->keys;
        all.wants = sum(all.wants, part->wants);
        all.wants_opposite = sum(all.wants_opposite, part->wants_opposite);
        nullable += part->facts & FACT_NULLABLE;
    }
    if (words[0] == FORMULA_ONE || words[0] == FORMULA_NOTONE) { /* any part or its opposite */
        all.wants = all.wants_opposite = sum(all.wants, all.wants_opposite);
        all.facts |= FACT_COUNTS;
    }
    all.facts &= ~(uint32_t)(FACT_NULLABLE | FACT_CONSTANT | FACT_DIFFERS);
    all.facts |= list_nullable(words[0], nullable, count - 1) ? FACT_NULLABLE : 0u;
    return all;
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
        cz_machine_fail_memory(machine);
        return CZ_FORMULA_FALSE;
    }
    if (added) {
        const uint32_t *own = cz_intern_get(&machine->formulas, id);
        machine->formula_facts[id] = cz_formula_is_list(own[0]) ? list_facts(machine, own, count)
                                                                : leaf_facts(machine, own);
        machine->formula_facts[id].conjuncts = conjunct_bits(own, count, id);
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

cz_formula cz_formula_when(struct cz_machine *machine, cz_value value, cz_formula in,
                           cz_formula out)
{
    if (in == out || value == CZ_VALUE_ANY)
        return in;
    return value == CZ_VALUE_NONE ? out : cz_formula_atom(machine, FORMULA_WHEN, value, in, out);
}

/* ---- And, or, exactly one ---- */

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
    if ((machine->formula_facts[weak].conjuncts & ~machine->formula_facts[strong].conjuncts) ||
        cz_formula_kind(machine, strong) != FORMULA_AND)
        return false;
    if (cz_formula_kind(machine, weak) == FORMULA_AND) {
        conjuncts = cz_formula_words(machine, weak) + 1;
        count = cz_formula_size(machine, weak) - 1;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!cz_words_hold(all, size, conjuncts[i]))
            return false;
    }
    return true;
}

bool cz_formula_weaker(const struct cz_machine *machine, cz_formula weak, cz_formula strong)
{
    return weak == CZ_FORMULA_TRUE || covers(machine, weak, strong);
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

static cz_formula and_or(struct cz_machine *machine, uint32_t kind, const cz_formula *parts,
                         uint32_t count);

/* What a disjunction still says beside the other parts of a sorted conjunction: nothing when one of
 * its alternatives is among them; and those fall away the opposites of which are. */
static cz_formula reduce(struct cz_machine *machine, const uint32_t *parts, uint32_t count,
                         cz_formula list)
{
    uint32_t size = cz_formula_size(machine, list), kept = 0, left[ABSORB_LIMIT];
    if (size - 1 > ABSORB_LIMIT)
        return list;
    for (uint32_t i = 1; i < size; i++) {
        cz_formula part = cz_formula_words(machine, list)[i];
        cz_formula opposite = known_opposite(machine, part);
        if (cz_words_hold(parts, count, part))
            return CZ_FORMULA_TRUE;
        if (opposite == CZ_FORMULA_FALSE || !cz_words_hold(parts, count, opposite))
            left[kept++] = part;
    }
    return kept == size - 1 ? list : and_or(machine, FORMULA_OR, left, kept);
}

/* Reduces the disjunctions of a sorted conjunction; false when nothing changed. */
static bool reduce_all(struct cz_machine *machine, uint32_t *parts, uint32_t count)
{
    bool changed = false;
    for (uint32_t i = 0; i < count; i++) {
        cz_formula part = parts[i];
        if (cz_formula_kind(machine, part) == FORMULA_OR)
            parts[i] = reduce(machine, parts, count, part);
        if (parts[i] != part) { /* out of order now: the rest is for the next round */
            changed = true;
            break;
        }
    }
    return changed;
}

static cz_formula finish_list(struct cz_machine *machine, uint32_t kind, uint32_t *words,
                              uint32_t count)
{
    cz_formula zero = kind == FORMULA_AND ? CZ_FORMULA_FALSE : CZ_FORMULA_TRUE;
    cz_formula unit = kind == FORMULA_AND ? CZ_FORMULA_TRUE : CZ_FORMULA_FALSE;
    uint32_t *parts = words + 1, kept = 0;
    if (!cz_machine_burn(machine, count / BURN))
        return CZ_FORMULA_FALSE;
    cz_words_sort(parts, count);
    for (uint32_t i = 0; i < count; i++) {
        if (parts[i] == zero)
            return zero;
        if (parts[i] != unit && (!kept || parts[kept - 1] != parts[i]))
            parts[kept++] = parts[i];
    }
    if (!merge_counts(machine, kind, parts, &kept))
        return zero;
    cz_words_sort(parts, kept);
    for (uint32_t i = 0; i < kept; i++) {
        cz_formula opposite = known_opposite(machine, parts[i]);
        if (opposite != CZ_FORMULA_FALSE && cz_words_hold(parts, kept, opposite))
            return zero;
    }
    if (kind == FORMULA_OR && kept > 1 && kept <= ABSORB_LIMIT)
        kept = absorb(machine, parts, kept);
    if (kind == FORMULA_AND && reduce_all(machine, parts, kept))
        return and_or(machine, kind, parts, kept);
    if (kept <= 1)
        return kept ? parts[0] : unit;
    words[0] = kind;
    return add(machine, words, kept + 1);
}

static cz_formula and_or(struct cz_machine *machine, uint32_t kind, const cz_formula *parts,
                         uint32_t count)
{
    uint32_t stack[LIST_STACK], *words = stack, total = 1, filled = 1;
    for (uint32_t i = 0; i < count; i++)
        total += cz_formula_kind(machine, parts[i]) == kind ? cz_formula_size(machine, parts[i]) : 1;
    if (total > LIST_STACK && !(words = cz_heap_alloc(total * sizeof *words))) {
        cz_machine_fail_memory(machine);
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
        cz_heap_free(words);
    return result;
}

cz_formula cz_formula_and(struct cz_machine *machine, cz_formula a, cz_formula b)
{
    if (a == b || b == CZ_FORMULA_TRUE || a == CZ_FORMULA_FALSE)
        return a;
    if (a == CZ_FORMULA_TRUE || b == CZ_FORMULA_FALSE)
        return b;
    return and_or(machine, FORMULA_AND, (cz_formula[]){a, b}, 2);
}

cz_formula cz_formula_or(struct cz_machine *machine, cz_formula a, cz_formula b)
{
    if (a == b || b == CZ_FORMULA_FALSE || a == CZ_FORMULA_TRUE)
        return a;
    if (a == CZ_FORMULA_FALSE || b == CZ_FORMULA_TRUE)
        return b;
    return and_or(machine, FORMULA_OR, (cz_formula[]){a, b}, 2);
}

/* The opposites of all parts but those two, and `rest`. */
static cz_formula none_of(struct cz_machine *machine, const uint32_t *parts, uint32_t count,
                          cz_formula but, cz_formula but_too, cz_formula rest)
{
    for (uint32_t i = 0; i < count; i++) {
        if (parts[i] != but && parts[i] != but_too)
            rest = cz_formula_and(machine, rest, cz_formula_not(machine, parts[i]));
    }
    return rest;
}

/* Exactly one of the parts, which are sorted here. A part that stands there twice can't hold; of a
 * part and its opposite one holds, so that no other does. */
static cz_formula exactly_one(struct cz_machine *machine, uint32_t *words, uint32_t count)
{
    uint32_t *parts = words + 1, kept = 0, certain = 0;
    cz_formula beside = CZ_FORMULA_TRUE;
    cz_words_sort(parts, count);
    for (uint32_t i = 0, next; i < count; i = next) {
        cz_formula part = parts[i];
        for (next = i + 1; next < count && parts[next] == part;)
            next++;
        if (part == CZ_FORMULA_TRUE)
            certain += next - i;
        else if (next - i > 1 && part != CZ_FORMULA_FALSE)
            beside = cz_formula_and(machine, beside, cz_formula_not(machine, part));
        else if (part != CZ_FORMULA_FALSE)
            parts[kept++] = part;
    }
    if (certain)
        return certain > 1 ? CZ_FORMULA_FALSE
                           : none_of(machine, parts, kept, UINT32_MAX, UINT32_MAX, beside);
    for (uint32_t i = 0; i < kept; i++) {
        cz_formula opposite = known_opposite(machine, parts[i]);
        if (opposite != CZ_FORMULA_FALSE && cz_words_hold(parts, kept, opposite))
            return none_of(machine, parts, kept, parts[i], opposite, beside);
    }
    words[0] = FORMULA_ONE;
    cz_formula one = kept == 0   ? (cz_formula)CZ_FORMULA_FALSE
                     : kept == 1 ? parts[0]
                                 : add(machine, words, kept + 1);
    return cz_formula_and(machine, beside, one);
}

cz_formula cz_formula_one(struct cz_machine *machine, const cz_formula *parts, uint32_t count)
{
    uint32_t *words = cz_heap_alloc(((size_t)count + 1) * sizeof *words);
    if (!words) {
        cz_machine_fail_memory(machine);
        return CZ_FORMULA_FALSE;
    }
    memcpy(words + 1, parts, count * sizeof *words);
    cz_formula result = exactly_one(machine, words, count);
    cz_heap_free(words);
    return result;
}

cz_formula cz_formula_list(struct cz_machine *machine, uint32_t kind, const cz_formula *parts,
                           uint32_t count)
{
    if (kind == FORMULA_AND || kind == FORMULA_OR)
        return and_or(machine, kind, parts, count);
    cz_formula one = cz_formula_one(machine, parts, count);
    return kind == FORMULA_ONE ? one : cz_formula_not(machine, one);
}

cz_formula cz_formula_without(struct cz_machine *machine, cz_formula list, uint32_t index)
{
    uint32_t size = cz_formula_size(machine, list), *parts = cz_heap_alloc(size * sizeof *parts);
    if (!parts) {
        cz_machine_fail_memory(machine);
        return CZ_FORMULA_FALSE;
    }
    memcpy(parts, cz_formula_words(machine, list), size * sizeof *parts);
    memmove(parts + index, parts + index + 1, (size - index - 1) * sizeof *parts);
    cz_formula rest = and_or(machine, FORMULA_AND, parts + 1, size - 2);
    cz_heap_free(parts);
    return rest;
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
    cz_formula *parts = cz_heap_alloc((size + 1) * sizeof *parts);
    if (!parts) {
        cz_machine_fail_memory(machine);
        return CZ_FORMULA_FALSE;
    }
    for (uint32_t i = 0; i < size; i++)
        parts[i] = cz_formula_not(machine, cz_formula_words(machine, formula)[1 + i]);
    cz_formula result = and_or(machine, kind, parts, size);
    cz_heap_free(parts);
    return result;
}

/* None of some constants, all different, which are sorted here. A member that agrees with some of
 * them leaves fewer and shorter ones, so that it is wanted less and less. */
static cz_formula differs_from(struct cz_machine *machine, uint32_t *words, uint32_t count)
{
    uint64_t most = 0;
    words[0] = FORMULA_NOTONE;
    cz_words_sort(words + 1, count);
    for (uint32_t i = 1; i <= count; i++) {
        uint64_t wants = cz_formula_wants(machine, words[i]);
        most = wants > most ? wants : most;
    }
    cz_formula result = add(machine, words, count + 1);
    machine->formula_facts[result].facts |= FACT_DIFFERS | FACT_COUNTS;
    machine->formula_facts[result].wants = most + 1;
    return result;
}

cz_formula cz_formula_differs(struct cz_machine *machine, const cz_formula *constants,
                              uint32_t count)
{
    uint32_t *words = cz_heap_alloc(((size_t)count + 1) * sizeof *words);
    if (!words) {
        cz_machine_fail_memory(machine);
        return CZ_FORMULA_FALSE;
    }
    memcpy(words + 1, constants, count * sizeof *words);
    cz_formula result = count ? differs_from(machine, words, count) : (cz_formula)CZ_FORMULA_TRUE;
    cz_heap_free(words);
    return result;
}

void cz_formula_mark_constant(struct cz_machine *machine, cz_formula formula)
{
    machine->formula_facts[formula].facts |= FACT_CONSTANT;
}

static bool are_constants(const struct cz_machine *machine, cz_formula list)
{
    uint32_t size = cz_formula_size(machine, list);
    for (uint32_t i = 1; i < size; i++) {
        if (!cz_formula_has(machine, cz_formula_words(machine, list)[i], FACT_CONSTANT))
            return false;
    }
    return true;
}

static cz_formula opposite_one(struct cz_machine *machine, cz_formula formula)
{
    uint32_t size = cz_formula_size(machine, formula), *words = cz_heap_alloc(size * sizeof *words);
    if (!words) {
        cz_machine_fail_memory(machine);
        return CZ_FORMULA_FALSE;
    }
    memcpy(words, cz_formula_words(machine, formula), size * sizeof *words);
    words[0] = words[0] == FORMULA_ONE ? FORMULA_NOTONE : FORMULA_ONE;
    cz_formula result = add(machine, words, size);
    cz_heap_free(words);
    return result;
}

static cz_formula same_parts(struct cz_machine *machine, cz_formula list, uint32_t kind)
{
    uint32_t size = cz_formula_size(machine, list), *parts = cz_heap_alloc(size * sizeof *parts);
    if (!parts) {
        cz_machine_fail_memory(machine);
        return CZ_FORMULA_FALSE;
    }
    memcpy(parts, cz_formula_words(machine, list) + 1, (size - 1) * sizeof *parts);
    cz_formula result = and_or(machine, kind, parts, size - 1);
    cz_heap_free(parts);
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
        return cz_formula_has(machine, formula, FACT_CONSTANT)
                   ? cz_formula_differs(machine, &formula, 1)
                   : opposite_list(machine, formula, FORMULA_OR);
    case FORMULA_OR:
        return are_constants(machine, formula)
                   ? cz_formula_differs(machine, cz_formula_words(machine, formula) + 1, size - 1)
                   : opposite_list(machine, formula, FORMULA_AND);
    case FORMULA_ONE:
    case FORMULA_NOTONE:
        return cz_formula_has(machine, formula, FACT_DIFFERS)
                   ? same_parts(machine, formula, FORMULA_OR)
                   : opposite_one(machine, formula);
    case FORMULA_COUNT:
    case FORMULA_CONTAINS:
        return opposite_interval(machine, words);
    case FORMULA_WHEN:
        return cz_formula_when(machine, words[1], cz_formula_not(machine, words[2]),
                               cz_formula_not(machine, words[3]));
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

/* ---- Remembering items ---- */

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
    cz_formula *parts = cz_heap_alloc(size * sizeof *parts);
    cz_formula result = CZ_FORMULA_FALSE;
    for (uint32_t i = 1; parts && i < size; i++)
        parts[i - 1] = map_leaves(machine, cz_formula_words(machine, formula)[i], map, value);
    if (parts)
        result = cz_formula_list(machine, kind, parts, size - 1);
    cz_heap_free(parts);
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
