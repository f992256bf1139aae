/*
 * certain.c - which bytes behind an item that an array is to remember are allowed whatever the item
 * is, so that a token with them needs no look at the text.
 *
 * It is so where the array asks for nothing but a number of different items, all of one value, and
 * there are more such values than any text holds: then it can always be closed as soon as there are
 * enough, or go on with another item.
 */
#include "constraint/machine.h"

enum { KNOWN = 1, CLOSES = 2, GOES_ON = 4, PAUSES = 8, STRINGS = 16, OBJECTS = 32 };
enum {
    LEVELS = 3,       /* of members within members that are looked at */
    ENDLESS = 1 << 24 /* no text has so many items */
};

/* The one value of all items, of an array that asks for a number of them, and different ones. */
static bool item_of(struct cz_machine *machine, cz_formula formula, cz_value *value)
{
    bool list = cz_formula_kind(machine, formula) == FORMULA_AND, last;
    uint32_t size = list ? cz_formula_size(machine, formula) : 1, minimum;
    if (!cz_array_is_sequence(machine, formula, &minimum))
        return false;
    for (uint32_t i = list; i < size; i++) {
        const uint32_t *words =
            cz_formula_words(machine, list ? cz_formula_words(machine, formula)[i] : formula);
        if (words[0] == FORMULA_ITEMS && machine->items[words[1]]->count > 0)
            return false;
    }
    *value = cz_array_ahead(machine, formula, 0, &last);
    return true;
}

static bool value_endless(struct cz_machine *machine, cz_value value, unsigned levels);

static bool targets_endless(struct cz_machine *machine, uint32_t targets, unsigned levels)
{
    uint32_t size = targets == UINT32_MAX ? 0 : cz_intern_size(&machine->targets, targets);
    for (uint32_t i = 0; i < size; i += 2) {
        if (value_endless(machine, cz_intern_get(&machine->targets, targets)[i], levels))
            return true;
    }
    return false;
}

/* By the members that may come first. */
static bool objects_endless(struct cz_machine *machine, cz_formula objects, unsigned levels)
{
    if (objects <= CZ_FORMULA_TRUE)
        return objects == CZ_FORMULA_TRUE;
    uint32_t id = cz_object_start(machine, objects, 0);
    struct cz_plan *plan = id != UINT32_MAX && levels ? cz_object_plan(machine, id) : NULL;
    if (!plan)
        return false;
    for (uint32_t i = 0; i < plan->other_count; i++) {
        if (cz_expr_has_many(machine->exprs, plan->others[i], ENDLESS) ||
            targets_endless(machine, plan->other_targets[i], levels - 1))
            return true;
    }
    uint32_t keys = machine->keysets[cz_object_get(machine, id).keyset]->count;
    for (uint32_t i = 0; i < keys; i++) {
        if ((plan->allowed[i / 64] >> i % 64 & 1) &&
            targets_endless(machine, cz_object_targets(machine, id, i), levels - 1))
            return true;
    }
    return false;
}

static bool value_endless(struct cz_machine *machine, cz_value value, unsigned levels)
{
    struct cz_typed typed = cz_value_expand(machine, value);
    return cz_numbers_count(machine->numbers, typed.number, ENDLESS) >= ENDLESS ||
           cz_expr_has_many(machine->exprs, typed.string, ENDLESS) ||
           objects_endless(machine, typed.object, levels);
}

static uint8_t behind_item(struct cz_machine *machine, uint32_t array)
{
    cz_formula formula = cz_intern_get(&machine->arrays, array)[0];
    cz_value value;
    if (!item_of(machine, formula, &value))
        return KNOWN;
    if (value_endless(machine, value, LEVELS))
        return KNOWN | CLOSES | GOES_ON | PAUSES;
    return KNOWN | CLOSES | (cz_formula_nullable(machine, formula) ? PAUSES : 0);
}

static uint8_t before_item(struct cz_machine *machine, uint32_t targets)
{
    uint8_t found = KNOWN;
    for (uint32_t i = 1; i < cz_intern_size(&machine->targets, targets); i += 2) {
        uint32_t next = cz_intern_get(&machine->targets, targets)[i];
        cz_value value;
        if (machine->locals[next].kind != LOCAL_ARRAY_AFTER ||
            !item_of(machine, cz_intern_get(&machine->arrays, machine->locals[next].a)[0], &value))
            continue;
        struct cz_typed typed = cz_value_expand(machine, value);
        found |= cz_expr_has_many(machine->exprs, typed.string, ENDLESS) ? STRINGS : 0;
        found |= objects_endless(machine, typed.object, LEVELS) ? OBJECTS : 0;
    }
    return found;
}

static uint8_t facts_of(struct cz_machine *machine, uint32_t id)
{
    const struct cz_local local = machine->locals[id];
    if (local.certain)
        return local.certain;
    uint8_t found = local.kind == LOCAL_ARRAY_AFTER ? behind_item(machine, local.a)
                    : local.kind == LOCAL_TARGETS   ? before_item(machine, local.a)
                                                    : KNOWN;
    machine->locals[id].certain = found;
    return found;
}

bool cz_local_is_certain(struct cz_machine *machine, uint32_t local, uint8_t byte)
{
    uint8_t facts = facts_of(machine, local);
    switch (machine->locals[local].kind) {
    case LOCAL_ARRAY_AFTER:
        return facts & (byte == ']' ? CLOSES : byte == ',' ? GOES_ON : PAUSES);
    case LOCAL_TARGETS:
        return cz_is_blank(byte) || (byte == '"' && (facts & STRINGS)) ||
               (byte == '{' && (facts & OBJECTS));
    case LOCAL_OBJECT_OPEN:
        return byte != '}';
    default:
        return false;
    }
}
