/*
 * schema_array.c - the keywords about arrays, as a formula.
 */
#include "constraint/schema_internal.h"

#include "base/heap.h"

/* The tuple part and the rest, in the spelling of any draft. */
static cz_formula read_items(struct cz_machine *machine, struct schema schema,
                             const struct fields *fields)
{
    const struct cz_json *prefix = fields->at[KEY_PREFIX_ITEMS], *rest = fields->at[KEY_ITEMS];
    struct cz_items items = {.rest = CZ_VALUE_ANY};
    if (!prefix && cz_json_is(rest, CZ_JSON_ARRAY)) {
        prefix = rest;
        rest = fields->at[KEY_ADDITIONAL_ITEMS];
    }
    if (prefix && prefix->kind != CZ_JSON_ARRAY) {
        cz_schema_fail(machine, CLOZE_INVALID, CZ_SLICE("prefixItems"),
                       "prefixItems must be an array of schemas");
        return CZ_FORMULA_FALSE;
    }
    if (!prefix && !rest)
        return CZ_FORMULA_TRUE;
    items.prefix = cz_heap_zeroed((prefix ? prefix->count : 0) + 1, sizeof *items.prefix);
    if (!items.prefix) {
        cz_machine_fail_memory(machine);
        return CZ_FORMULA_FALSE;
    }
    if (prefix) {
        CZ_JSON_EACH(item, prefix)
            items.prefix[items.count++] = cz_schema_value(machine, item, schema);
    }
    if (rest)
        items.rest = cz_schema_value(machine, rest, schema);
    cz_formula result = cz_formula_items(machine, cz_items_add(machine, &items), 0);
    cz_heap_free(items.prefix);
    return result;
}

static cz_formula read_contains(struct cz_machine *machine, struct schema schema,
                                const struct fields *fields, enum draft draft)
{
    uint32_t least = 1, most = CZ_COUNT_UNBOUNDED;
    if (!fields->at[KEY_CONTAINS])
        return CZ_FORMULA_TRUE;
    if (draft >= DRAFT_2019) {
        cz_schema_size(machine, fields->at[KEY_MIN_CONTAINS], &least);
        cz_schema_size(machine, fields->at[KEY_MAX_CONTAINS], &most);
    }
    return cz_formula_contains(machine, cz_schema_value(machine, fields->at[KEY_CONTAINS], schema),
                               least, most);
}

cz_formula cz_schema_array(struct cz_machine *machine, struct schema schema,
                           const struct fields *fields, enum draft draft)
{
    uint32_t least = 0, most = CZ_COUNT_UNBOUNDED;
    bool unique = false;
    cz_formula result = read_items(machine, schema, fields);
    cz_schema_size(machine, fields->at[KEY_MIN_ITEMS], &least);
    cz_schema_size(machine, fields->at[KEY_MAX_ITEMS], &most);
    result = cz_formula_and(machine, result, cz_formula_count(machine, least, most));
    result = cz_formula_and(machine, result, read_contains(machine, schema, fields, draft));
    if (cz_json_bool(fields->at[KEY_UNIQUE_ITEMS], &unique) && unique)
        result = cz_formula_and(
            machine, result, cz_formula_atom(machine, FORMULA_UNIQUE, CZ_VALUE_NONE, 0, 0));
    return result;
}
