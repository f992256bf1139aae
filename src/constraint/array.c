/*
 * array.c - arrays under way: which items may come next, and whether the array can be completed.
 *
 * An array is a formula over the items still to come. One that asks only for a number of items,
 * each of some value, is decided by looking at those values; one that remembers its items
 * (uniqueItems) is decided in distinct.c; any other by a search, item by item.
 */
#include "constraint/machine.h"

#include "base/heap.h"

enum { UNKNOWN, ALIVE, DEAD, OPEN };

uint32_t cz_array_add(struct cz_machine *machine, cz_formula formula, uint32_t depth)
{
    return cz_intern_add(&machine->arrays, (uint32_t[]){formula, depth}, 2, NULL);
}

static bool array_facts_reserve(struct cz_machine *machine, cz_formula formula)
{
    if (formula < machine->array_facts_capacity)
        return true;
    uint32_t capacity = (formula + 64) * 2;
    uint8_t *larger = cz_heap_resize(machine->array_facts, capacity);
    if (!larger)
        return false;
    memset(larger + machine->array_facts_capacity, 0, capacity - machine->array_facts_capacity);
    machine->array_facts = larger;
    machine->array_facts_capacity = capacity;
    return true;
}

cz_value cz_array_ahead(struct cz_machine *machine, cz_formula formula, uint32_t ahead,
                        bool *last)
{
    bool list = cz_formula_kind(machine, formula) == FORMULA_AND;
    uint32_t size = list ? cz_formula_size(machine, formula) : 1;
    cz_value value = CZ_VALUE_ANY;
    *last = true;
    for (uint32_t i = list; i < size; i++) {
        const uint32_t *words =
            cz_formula_words(machine, list ? cz_formula_words(machine, formula)[i] : formula);
        if (words[0] != FORMULA_ITEMS)
            continue;
        const struct cz_items *items = machine->items[words[1]];
        uint64_t position = (uint64_t)words[2] + ahead;
        *last &= position >= items->count;
        value = cz_value_and(machine, value,
                             position < items->count ? items->prefix[position] : items->rest);
    }
    return value;
}

bool cz_array_is_sequence(struct cz_machine *machine, cz_formula formula, uint32_t *minimum)
{
    bool list = cz_formula_kind(machine, formula) == FORMULA_AND;
    uint32_t size = list ? cz_formula_size(machine, formula) : 1;
    *minimum = 0;
    for (uint32_t i = list; i < size; i++) {
        const uint32_t *words =
            cz_formula_words(machine, list ? cz_formula_words(machine, formula)[i] : formula);
        if (words[0] == FORMULA_COUNT)
            *minimum = words[1];
        else if (words[0] != FORMULA_ITEMS && words[0] != FORMULA_UNIQUE)
            return false;
    }
    return true;
}

static bool sequence_alive(struct cz_machine *machine, cz_formula formula, uint32_t minimum)
{
    bool last = false;
    for (uint32_t i = 0; i < minimum && !last; i++) {
        if (!cz_value_alive(machine, cz_array_ahead(machine, formula, i, &last)))
            return false;
    }
    return true;
}

static bool array_search(struct cz_machine *machine, cz_formula formula)
{
    struct cz_pairs pairs = {0};
    bool found = false;
    if (!cz_machine_burn(machine, 1))
        return false;
    cz_formula_item(machine, formula, &pairs);
    for (uint32_t i = 0; i < pairs.count && !found && machine->failed == CLOZE_OK; i++)
        found = cz_value_alive(machine, pairs.items[i].value) &&
                cz_array_alive(machine, pairs.items[i].rest);
    cz_pairs_free(&pairs);
    return found;
}

static bool array_alive(struct cz_machine *machine, cz_formula formula)
{
    uint32_t minimum;
    if (cz_formula_nullable(machine, formula))
        return true;
    if (cz_formula_binds(machine, formula))
        return cz_distinct_alive(machine, formula);
    return cz_array_is_sequence(machine, formula, &minimum)
               ? sequence_alive(machine, formula, minimum)
               : array_search(machine, formula);
}

bool cz_array_alive(struct cz_machine *machine, cz_formula formula)
{
    if (formula == CZ_FORMULA_FALSE)
        return false;
    if (!array_facts_reserve(machine, formula)) {
        cz_machine_fail_memory(machine);
        return false;
    }
    uint8_t known = machine->array_facts[formula];
    if (known == ALIVE || known == DEAD)
        return known == ALIVE;
    if (known == OPEN) {
        machine->cycle_depth = 0;
        return false;
    }
    if (machine->depth >= CZ_MACHINE_DEPTH) {
        cz_machine_fail(machine, CLOZE_LIMIT, NULL, "required items nest or count too deeply");
        return false;
    }
    uint32_t outer = machine->cycle_depth;
    machine->cycle_depth = UINT32_MAX;
    machine->array_facts[formula] = OPEN;
    machine->depth++;
    bool alive = array_alive(machine, formula);
    machine->depth--;
    bool sure = machine->failed == CLOZE_OK && (alive || machine->cycle_depth == UINT32_MAX);
    machine->array_facts[formula] = !sure ? UNKNOWN : alive ? ALIVE : DEAD;
    if (alive || machine->cycle_depth > outer)
        machine->cycle_depth = outer;
    return alive;
}

static uint32_t array_targets(struct cz_machine *machine, uint32_t id)
{
    const uint32_t *array = cz_intern_get(&machine->arrays, id);
    cz_formula formula = array[0];
    uint32_t depth = array[1], count = 0;
    struct cz_pairs pairs = {0};
    cz_formula_item(machine, formula, &pairs);
    uint32_t *words = cz_heap_alloc((pairs.count * 2 + 1) * sizeof *words);
    for (uint32_t i = 0; words && i < pairs.count; i++) {
        cz_value value = cz_distinct_narrow(machine, pairs.items[i].value, pairs.items[i].rest);
        if (value == CZ_VALUE_NONE)
            continue;
        uint32_t next = cz_array_add(machine, pairs.items[i].rest, depth);
        words[count++] = value;
        words[count++] = cz_local_add(machine, LOCAL_ARRAY_AFTER, next, 0, 0, 0);
    }
    uint32_t targets = words ? cz_targets_add(machine, words, count) : UINT32_MAX;
    cz_heap_free(words);
    cz_pairs_free(&pairs);
    return targets;
}

/* Remembered: + 2; 1: none; 0: not known yet. */
uint32_t cz_array_targets(struct cz_machine *machine, uint32_t id)
{
    if (id >= machine->array_targets_capacity) {
        uint32_t capacity = (id + 64) * 2;
        uint32_t *larger = cz_heap_resize(machine->array_targets, capacity * sizeof *larger);
        if (!larger)
            return array_targets(machine, id);
        memset(larger + machine->array_targets_capacity, 0,
               (capacity - machine->array_targets_capacity) * sizeof *larger);
        machine->array_targets = larger;
        machine->array_targets_capacity = capacity;
    }
    if (!machine->array_targets[id]) {
        uint32_t targets = array_targets(machine, id);
        machine->array_targets[id] = targets == UINT32_MAX ? 1 : targets + 2;
    }
    return machine->array_targets[id] == 1 ? UINT32_MAX : machine->array_targets[id] - 2;
}
