/*
 * schema_object.c - the keywords about objects, as a formula.
 */
#include "constraint/schema_internal.h"

#include "base/heap.h"

static bool is_object(struct cz_machine *machine, const struct cz_json *value)
{
    if (!value || value->kind == CZ_JSON_OBJECT)
        return true;
    struct cz_slice key = cz_json_key(value);
    cz_schema_fail(machine, CLOZE_INVALID, key, "%.*s must be an object", CZ_SLICE_ARG(key));
    return false;
}

static void fill_patterns(struct cz_machine *machine, const struct cz_json *map,
                          struct schema schema, struct cz_props *props)
{
    if (!map)
        return;
    CZ_JSON_EACH(member, map) {
        props->patterns[props->pattern_count] = cz_schema_pattern(machine, cz_json_key(member));
        props->pattern_values[props->pattern_count++] = cz_schema_value(machine, member, schema);
    }
}

/* A named member follows the patterns that its key matches, too. */
static void fill_names(struct cz_machine *machine, const struct cz_json *map, struct schema schema,
                       struct cz_props *props)
{
    if (!map)
        return;
    CZ_JSON_EACH(member, map) {
        cz_value value = cz_schema_value(machine, member, schema);
        for (uint32_t i = 0; i < props->pattern_count; i++) {
            if (cz_expr_matches(machine->exprs, props->patterns[i], cz_json_key(member)))
                value = cz_value_and(machine, value, props->pattern_values[i]);
        }
        props->keys[props->named_count] = cz_machine_key(machine, cz_json_key(member));
        props->values[props->named_count++] = value;
    }
}

/* properties, patternProperties and additionalProperties: one leaf. */
static cz_formula read_properties(struct cz_machine *machine, struct schema schema,
                                  const struct fields *fields)
{
    const struct cz_json *named = fields->at[KEY_PROPERTIES];
    const struct cz_json *patterned = fields->at[KEY_PATTERN_PROPERTIES];
    const struct cz_json *other = fields->at[KEY_ADDITIONAL_PROPERTIES];
    struct cz_props props = {.other = CZ_VALUE_ANY};
    if ((!named && !patterned && !other) || !is_object(machine, named) ||
        !is_object(machine, patterned))
        return CZ_FORMULA_TRUE;
    size_t names = named ? named->count : 0, patterns = patterned ? patterned->count : 0;
    props.keys = cz_heap_alloc((names + 1) * sizeof *props.keys);
    props.values = cz_heap_alloc((names + 1) * sizeof *props.values);
    props.patterns = cz_heap_alloc((patterns + 1) * sizeof *props.patterns);
    props.pattern_values = cz_heap_alloc((patterns + 1) * sizeof *props.pattern_values);
    if (props.keys && props.values && props.patterns && props.pattern_values) {
        fill_patterns(machine, patterned, schema, &props);
        fill_names(machine, named, schema, &props);
    } else {
        cz_machine_fail_memory(machine);
    }
    if (other)
        props.other = cz_schema_value(machine, other, schema);
    props.closing = named && !patterned && !other && !fields->at[KEY_UNEVALUATED_PROPERTIES];
    if (props.closing && machine->options.policy == CZ_POLICY_GENERATE &&
        !machine->options.open_objects)
        cz_schema_remark(machine, schema.node, CZ_SLICE(""), REMARK_CLOSED);
    cz_formula formula =
        machine->failed == CLOZE_OK
            ? cz_formula_atom(machine, FORMULA_ALL, cz_props_add(machine, &props), 0, 0)
            : CZ_FORMULA_FALSE;
    cz_heap_free(props.keys);
    cz_heap_free(props.values);
    cz_heap_free(props.patterns);
    cz_heap_free(props.pattern_values);
    return formula;
}

static cz_formula require_key(struct cz_machine *machine, struct cz_slice name)
{
    return cz_formula_atom(machine, FORMULA_REQUIRE, cz_machine_key(machine, name), 0, 0);
}

/* An array of names that must all be there. */
static cz_formula require_all(struct cz_machine *machine, const struct cz_json *names)
{
    cz_formula result = CZ_FORMULA_TRUE;
    CZ_JSON_EACH(item, names) {
        if (item->kind != CZ_JSON_STRING) {
            cz_schema_fail(machine, CLOZE_INVALID, cz_json_key(names), "%.*s must list names",
                           CZ_SLICE_ARG(cz_json_key(names)));
            return CZ_FORMULA_FALSE;
        }
        result = cz_formula_and(machine, result, require_key(machine, item->text));
    }
    return result;
}

static cz_formula read_required(struct cz_machine *machine, struct schema schema,
                                const struct cz_json *value)
{
    if (!value)
        return CZ_FORMULA_TRUE;
    if (value->kind == CZ_JSON_ARRAY)
        return require_all(machine, value);
    if (value->kind == CZ_JSON_TRUE || value->kind == CZ_JSON_FALSE) {
        /* draft 3's flag on a property: no later draft gives it a meaning */
        cz_schema_remark(machine, schema.node, CZ_SLICE("required"), REMARK_IGNORED);
        return CZ_FORMULA_TRUE;
    }
    cz_schema_fail(machine, CLOZE_INVALID, CZ_SLICE("required"), "required must list names");
    return CZ_FORMULA_FALSE;
}

static cz_formula read_names(struct cz_machine *machine, struct schema schema,
                             const struct cz_json *value)
{
    if (!value)
        return CZ_FORMULA_TRUE;
    struct cz_typed names =
        cz_value_expand(machine, cz_schema_value(machine, value, schema));
    if (names.string == CZ_EXPR_TEXT)
        return CZ_FORMULA_TRUE;
    cz_expr bad = cz_expr_minus(machine->exprs, CZ_EXPR_TEXT, names.string);
    cz_value none = CZ_VALUE_NONE;
    struct cz_props props = {.pattern_count = 1, .patterns = &bad, .pattern_values = &none,
                             .other = CZ_VALUE_ANY};
    return cz_formula_atom(machine, FORMULA_ALL, cz_props_add(machine, &props), 0, 0);
}

/* dependencies, dependentRequired, dependentSchemas: when a key is there, so and so. */
static cz_formula read_dependent(struct cz_machine *machine, struct schema schema,
                                 const struct cz_json *map)
{
    cz_formula result = CZ_FORMULA_TRUE;
    if (!map || !is_object(machine, map))
        return result;
    CZ_JSON_EACH(member, map) {
        cz_formula then;
        if (member->kind == CZ_JSON_ARRAY)
            then = require_all(machine, member);
        else if (member->kind == CZ_JSON_STRING)
            then = require_key(machine, member->text);
        else
            then = cz_value_expand(machine, cz_schema_value(machine, member, schema)).object;
        cz_formula absent =
            cz_formula_not(machine, require_key(machine, cz_json_key(member)));
        result = cz_formula_and(machine, result, cz_formula_or(machine, absent, then));
    }
    return result;
}

cz_formula cz_schema_object(struct cz_machine *machine, struct schema schema,
                            const struct fields *fields)
{
    uint32_t least = 0, most = CZ_COUNT_UNBOUNDED;
    cz_formula result = read_properties(machine, schema, fields);
    result = cz_formula_and(machine, result,
                            read_required(machine, schema, fields->at[KEY_REQUIRED]));
    cz_schema_size(machine, fields->at[KEY_MIN_PROPERTIES], &least);
    cz_schema_size(machine, fields->at[KEY_MAX_PROPERTIES], &most);
    result = cz_formula_and(machine, result, cz_formula_count(machine, least, most));
    result = cz_formula_and(machine, result,
                            read_names(machine, schema, fields->at[KEY_PROPERTY_NAMES]));
    static const enum keyword DEPENDENT[] = {KEY_DEPENDENCIES, KEY_DEPENDENT_REQUIRED,
                                             KEY_DEPENDENT_SCHEMAS};
    for (int i = 0; i < 3; i++)
        result = cz_formula_and(machine, result,
                                read_dependent(machine, schema, fields->at[DEPENDENT[i]]));
    return result;
}
