/*
 * formula_leaves.c - what the leaves of formulas speak of: the values of members by key, those of
 * items by position.
 */
#include "constraint/formula_internal.h"

#include <stdlib.h>

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
        cz_machine_fail_memory(machine);
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
        cz_machine_fail_memory(machine);
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
        cz_machine_fail_memory(machine);
        return 0;
    }
    *copy = *items;
    copy->prefix = copy_array(machine, items->prefix, items->count, sizeof *copy->prefix);
    if (!copy->prefix)
        cz_machine_fail_memory(machine);
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

cz_value cz_items_value(const struct cz_machine *machine, uint32_t items, uint32_t position)
{
    const struct cz_items *p = machine->items[items];
    return position < p->count ? p->prefix[position] : p->rest;
}
