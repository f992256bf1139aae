/*
 * formula_branch.c - a formula as the union of alternatives.
 *
 * Whether anything meets a formula is decided alternative by alternative: a list of alternatives is
 * taken apart, in a conjunction the shortest such list; what can't be taken apart is a leaf or a
 * conjunction of leaves. Alternatives that contradict each other fall away when they are put
 * together.
 */
#include "constraint/formula_internal.h"

#include "base/heap.h"

struct branch {
    struct cz_machine *machine;
    cz_formula others; /* what stands beside the list */
    cz_formula_test *test;
    void *context;
};

static bool holds(const struct branch *branch, cz_formula alternative)
{
    cz_formula formula = cz_formula_and(branch->machine, branch->others, alternative);
    return formula != CZ_FORMULA_FALSE && branch->machine->failed == CLOZE_OK &&
           branch->test(branch->machine, formula, branch->context);
}

static cz_formula part_of(const struct branch *branch, cz_formula list, uint32_t index)
{
    return cz_formula_words(branch->machine, list)[index];
}

/* Those that want nothing more first. */
static bool any_holds(const struct branch *branch, cz_formula list)
{
    uint32_t size = cz_formula_size(branch->machine, list);
    for (int nullable = 1; nullable >= 0; nullable--) {
        for (uint32_t i = 1; i < size; i++) {
            cz_formula part = part_of(branch, list, i);
            if (cz_formula_nullable(branch->machine, part) == nullable && holds(branch, part))
                return true;
        }
    }
    return false;
}

/* The parts that are asked for hold, no other does. */
static cz_formula only(const struct branch *branch, cz_formula list, uint32_t wanted)
{
    struct cz_machine *machine = branch->machine;
    uint32_t size = cz_formula_size(machine, list);
    cz_formula *parts = cz_heap_alloc(size * sizeof *parts), result = CZ_FORMULA_FALSE;
    if (!parts) {
        cz_machine_fail_memory(machine);
        return result;
    }
    for (uint32_t i = 1; i < size; i++) {
        cz_formula part = part_of(branch, list, i);
        parts[i] = i == wanted ? part : cz_formula_not(machine, part);
    }
    result = cz_formula_list(machine, FORMULA_AND, parts + 1, size - 1);
    cz_heap_free(parts);
    return result;
}

static bool one_holds(const struct branch *branch, cz_formula list)
{
    uint32_t size = cz_formula_size(branch->machine, list);
    for (uint32_t i = 1; i < size && branch->machine->failed == CLOZE_OK; i++) {
        if (holds(branch, only(branch, list, i)))
            return true;
    }
    return false;
}

/* None holds, or some two do. */
static bool not_one_holds(const struct branch *branch, cz_formula list)
{
    uint32_t size = cz_formula_size(branch->machine, list);
    if (holds(branch, only(branch, list, 0)))
        return true;
    for (uint32_t i = 1; i < size && branch->machine->failed == CLOZE_OK; i++) {
        for (uint32_t j = 1; j < i; j++) {
            if (holds(branch, cz_formula_and(branch->machine, part_of(branch, list, i),
                                             part_of(branch, list, j))))
                return true;
        }
    }
    return false;
}

static bool list_holds(const struct branch *branch, cz_formula list)
{
    switch (cz_formula_kind(branch->machine, list)) {
    case FORMULA_OR:
        return any_holds(branch, list);
    case FORMULA_ONE:
        return one_holds(branch, list);
    default:
        return not_one_holds(branch, list);
    }
}

static bool is_union(const struct cz_machine *machine, cz_formula formula)
{
    return cz_formula_is_list(cz_formula_kind(machine, formula)) &&
           !cz_formula_has(machine, formula, FACT_DIFFERS);
}

/* The shortest list of alternatives in a conjunction; 0: there is none. */
static uint32_t shortest_list(const struct cz_machine *machine, cz_formula formula)
{
    uint32_t size = cz_formula_size(machine, formula), shortest = 0, least = UINT32_MAX;
    for (uint32_t i = 1; i < size; i++) {
        cz_formula part = cz_formula_words(machine, formula)[i];
        uint32_t count = cz_formula_size(machine, part);
        if (is_union(machine, part) && count < least) {
            shortest = i;
            least = count;
        }
    }
    return shortest;
}

bool cz_formula_branch(struct cz_machine *machine, cz_formula formula, cz_formula_test *test,
                       void *context, bool *result)
{
    struct branch branch = {machine, CZ_FORMULA_TRUE, test, context};
    uint32_t kind = cz_formula_kind(machine, formula);
    if (!is_union(machine, formula))
        return false;
    if (kind == FORMULA_AND) {
        uint32_t at = shortest_list(machine, formula);
        if (!at)
            return false;
        branch.others = cz_formula_without(machine, formula, at);
        formula = part_of(&branch, formula, at);
    }
    *result = list_holds(&branch, formula);
    return true;
}
