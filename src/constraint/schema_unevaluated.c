/*
 * schema_unevaluated.c - unevaluatedProperties and unevaluatedItems.
 *
 * What the subschemas applied to the same value evaluate depends on which of them hold. So the
 * keyword becomes a choice over sets of conditions: "these branches hold, and what none of them
 * evaluates follows the keyword's schema". Counting a branch that holds as not chosen only asks for
 * more, so no condition has to be negated.
 */
#include "constraint/schema_internal.h"

#include "base/heap.h"

enum { PIECE_LIMIT = 8, DEPTH_LIMIT = 64 };

/* What is evaluated under a condition. */
struct piece {
    cz_formula condition;
    cz_key *keys;
    uint32_t key_count, key_capacity;
    cz_expr *patterns;
    uint32_t pattern_count, pattern_capacity;
    cz_value *contains;
    uint32_t contains_count, contains_capacity;
    uint32_t prefix;
    bool all;
};

struct pieces {
    struct cz_machine *machine;
    bool objects; /* else arrays */
    struct piece *items;
    uint32_t count, capacity;
    unsigned depth;
};

static struct piece *piece_for(struct pieces *pieces, cz_formula condition)
{
    for (uint32_t i = 0; i < pieces->count; i++) {
        if (pieces->items[i].condition == condition)
            return &pieces->items[i];
    }
    if (!cz_machine_grow(pieces->machine, (void **)&pieces->items, pieces->count,
                         &pieces->capacity, sizeof *pieces->items)) {
        cz_machine_fail_memory(pieces->machine);
        return NULL;
    }
    pieces->items[pieces->count] = (struct piece){.condition = condition};
    return &pieces->items[pieces->count++];
}

static void add_word(struct pieces *pieces, uint32_t **words, uint32_t *count, uint32_t *capacity,
                     uint32_t word)
{
    if (cz_machine_grow(pieces->machine, (void **)words, *count, capacity, sizeof **words))
        (*words)[(*count)++] = word;
    else
        cz_machine_fail_memory(pieces->machine);
}

static cz_formula formula_of(struct pieces *pieces, const struct cz_json *node, struct schema from)
{
    struct cz_typed typed =
        cz_value_expand(pieces->machine, cz_schema_value(pieces->machine, node, from));
    return pieces->objects ? typed.object : typed.array;
}

static void collect(struct pieces *pieces, const struct cz_json *node, struct schema from,
                    cz_formula condition, bool top);

static void collect_branch(struct pieces *pieces, const struct cz_json *node, struct schema from,
                           cz_formula condition)
{
    cz_formula branch = formula_of(pieces, node, from);
    collect(pieces, node, from, cz_formula_and(pieces->machine, condition, branch), false);
}

static void collect_own_object(struct pieces *pieces, const struct fields *fields,
                               struct piece *piece, bool top)
{
    const struct cz_json *named = fields->at[KEY_PROPERTIES];
    const struct cz_json *patterned = fields->at[KEY_PATTERN_PROPERTIES];
    if (cz_json_is(named, CZ_JSON_OBJECT)) {
        CZ_JSON_EACH(member, named)
            add_word(pieces, &piece->keys, &piece->key_count, &piece->key_capacity,
                     cz_machine_key(pieces->machine, cz_json_key(member)));
    }
    if (cz_json_is(patterned, CZ_JSON_OBJECT)) {
        CZ_JSON_EACH(member, patterned)
            add_word(pieces, &piece->patterns, &piece->pattern_count, &piece->pattern_capacity,
                     cz_schema_pattern(pieces->machine, cz_json_key(member)));
    }
    piece->all |= fields->at[KEY_ADDITIONAL_PROPERTIES] ||
                  (!top && fields->at[KEY_UNEVALUATED_PROPERTIES]);
}

static void collect_own_array(struct pieces *pieces, const struct fields *fields,
                              struct piece *piece, struct schema schema, bool top)
{
    const struct cz_json *prefix = fields->at[KEY_PREFIX_ITEMS], *items = fields->at[KEY_ITEMS];
    enum draft draft = pieces->machine->schemas->resources[schema.resource].dialect.draft;
    bool tuple = !prefix && cz_json_is(items, CZ_JSON_ARRAY);
    if (tuple)
        prefix = items;
    if (prefix && prefix->count > piece->prefix)
        piece->prefix = prefix->count;
    piece->all |= (items && !tuple) || (tuple && fields->at[KEY_ADDITIONAL_ITEMS]) ||
                  (!top && fields->at[KEY_UNEVALUATED_ITEMS]);
    if (fields->at[KEY_CONTAINS] && draft >= DRAFT_2020)
        add_word(pieces, &piece->contains, &piece->contains_count, &piece->contains_capacity,
                 cz_schema_value(pieces->machine, fields->at[KEY_CONTAINS], schema));
}

static void collect_list(struct pieces *pieces, const struct cz_json *list, struct schema schema,
                         cz_formula condition, bool conditional)
{
    if (!cz_json_is(list, CZ_JSON_ARRAY))
        return;
    CZ_JSON_EACH(item, list) {
        if (conditional)
            collect_branch(pieces, item, schema, condition);
        else
            collect(pieces, item, schema, condition, false);
    }
}

static void collect_dependent(struct pieces *pieces, const struct cz_json *map,
                              struct schema schema, cz_formula condition)
{
    struct cz_machine *machine = pieces->machine;
    if (!cz_json_is(map, CZ_JSON_OBJECT) || !pieces->objects)
        return;
    CZ_JSON_EACH(member, map) {
        cz_formula there = cz_formula_atom(machine, FORMULA_REQUIRE,
                                           cz_machine_key(machine, cz_json_key(member)), 0, 0);
        if (member->kind == CZ_JSON_OBJECT)
            collect(pieces, member, schema, cz_formula_and(machine, condition, there), false);
    }
}

static void collect_references(struct pieces *pieces, const struct fields *fields,
                               struct schema schema, cz_formula condition)
{
    static const enum keyword REFERENCES[] = {KEY_REF, KEY_DYNAMIC_REF};
    struct schema target;
    struct cz_slice text;
    for (int i = 0; i < 2; i++) {
        if (cz_json_string(fields->at[REFERENCES[i]], &text) &&
            cz_schema_resolve(pieces->machine, schema, text, i == 1, &target))
            collect(pieces, target.node, target, condition, false);
    }
    if (fields->at[KEY_RECURSIVE_REF] &&
        cz_schema_resolve_recursive(pieces->machine, schema, &target))
        collect(pieces, target.node, target, condition, false);
}

static void collect(struct pieces *pieces, const struct cz_json *node, struct schema from,
                    cz_formula condition, bool top)
{
    struct cz_machine *machine = pieces->machine;
    struct fields fields;
    if (node->kind != CZ_JSON_OBJECT || condition == CZ_FORMULA_FALSE ||
        machine->failed != CLOZE_OK)
        return;
    if (pieces->depth >= DEPTH_LIMIT) {
        cz_schema_fail(machine, CLOZE_LIMIT, CZ_SLICE(""), "unevaluated keywords nest too deeply");
        return;
    }
    pieces->depth++;
    uint32_t id = cz_schema_add(machine, node, from); /* schemas may move */
    struct schema schema = machine->schemas->schemas[id];
    cz_schema_fields(machine, node, schema.resource, &fields);
    struct piece *piece = piece_for(pieces, condition);
    if (piece && pieces->objects)
        collect_own_object(pieces, &fields, piece, top);
    else if (piece)
        collect_own_array(pieces, &fields, piece, schema, top);
    collect_references(pieces, &fields, schema, condition);
    collect_list(pieces, fields.at[KEY_ALL_OF], schema, condition, false);
    collect_list(pieces, fields.at[KEY_ANY_OF], schema, condition, true);
    collect_list(pieces, fields.at[KEY_ONE_OF], schema, condition, true);
    collect_dependent(pieces, fields.at[KEY_DEPENDENT_SCHEMAS], schema, condition);
    if (fields.at[KEY_IF]) {
        cz_formula test = formula_of(pieces, fields.at[KEY_IF], schema);
        cz_formula yes = cz_formula_and(machine, condition, test);
        cz_formula no = cz_formula_and(machine, condition, cz_formula_not(machine, test));
        collect(pieces, fields.at[KEY_IF], schema, yes, false);
        if (fields.at[KEY_THEN])
            collect(pieces, fields.at[KEY_THEN], schema, yes, false);
        if (fields.at[KEY_ELSE])
            collect(pieces, fields.at[KEY_ELSE], schema, no, false);
    }
    pieces->depth--;
}

static void pieces_free(struct pieces *pieces)
{
    for (uint32_t i = 0; i < pieces->count; i++) {
        cz_heap_free(pieces->items[i].keys);
        cz_heap_free(pieces->items[i].patterns);
        cz_heap_free(pieces->items[i].contains);
    }
    cz_heap_free(pieces->items);
}

static bool is_empty(const struct piece *piece)
{
    return !piece->key_count && !piece->pattern_count && !piece->contains_count &&
           !piece->prefix && !piece->all;
}

/* Everything the chosen pieces evaluate is free, the rest follows `value`. */
static cz_formula object_choice(struct pieces *pieces, uint64_t chosen, cz_value value)
{
    struct cz_machine *machine = pieces->machine;
    struct cz_props props = {.other = value};
    uint32_t keys = 0, patterns = 0;
    for (uint32_t i = 0; i < pieces->count; i++) {
        if (chosen >> i & 1) {
            keys += pieces->items[i].key_count;
            patterns += pieces->items[i].pattern_count;
            if (pieces->items[i].all)
                return CZ_FORMULA_TRUE;
        }
    }
    props.keys = cz_heap_alloc((keys + 1) * sizeof *props.keys);
    props.values = cz_heap_alloc((keys + 1) * sizeof *props.values);
    props.patterns = cz_heap_alloc((patterns + 1) * sizeof *props.patterns);
    props.pattern_values = cz_heap_alloc((patterns + 1) * sizeof *props.pattern_values);
    for (uint32_t i = 0; props.keys && props.patterns && i < pieces->count; i++) {
        const struct piece *piece = &pieces->items[i];
        if (!(chosen >> i & 1))
            continue;
        for (uint32_t k = 0; k < piece->key_count; k++) {
            bool known = false;
            for (uint32_t j = 0; j < props.named_count; j++)
                known |= props.keys[j] == piece->keys[k];
            if (!known)
                props.keys[props.named_count++] = piece->keys[k];
        }
        for (uint32_t k = 0; k < piece->pattern_count; k++)
            props.patterns[props.pattern_count++] = piece->patterns[k];
    }
    for (uint32_t k = 0; props.values && k < props.named_count; k++)
        props.values[k] = CZ_VALUE_ANY;
    for (uint32_t k = 0; props.pattern_values && k < props.pattern_count; k++)
        props.pattern_values[k] = CZ_VALUE_ANY;
    cz_formula result = cz_formula_atom(machine, FORMULA_ALL, cz_props_add(machine, &props), 0, 0);
    cz_heap_free(props.keys);
    cz_heap_free(props.values);
    cz_heap_free(props.patterns);
    cz_heap_free(props.pattern_values);
    return result;
}

static cz_formula array_choice(struct pieces *pieces, uint64_t chosen, cz_value value)
{
    struct cz_machine *machine = pieces->machine;
    struct cz_items items = {.rest = value};
    for (uint32_t i = 0; i < pieces->count; i++) {
        const struct piece *piece = &pieces->items[i];
        if (!(chosen >> i & 1))
            continue;
        if (piece->all)
            return CZ_FORMULA_TRUE;
        items.count = piece->prefix > items.count ? piece->prefix : items.count;
        for (uint32_t k = 0; k < piece->contains_count; k++)
            items.rest = cz_value_or(machine, items.rest, piece->contains[k]);
    }
    items.prefix = cz_heap_alloc((items.count + 1) * sizeof *items.prefix);
    if (!items.prefix) {
        cz_machine_fail_memory(machine);
        return CZ_FORMULA_FALSE;
    }
    for (uint32_t i = 0; i < items.count; i++)
        items.prefix[i] = CZ_VALUE_ANY;
    cz_formula result = cz_formula_items(machine, cz_items_add(machine, &items), 0);
    cz_heap_free(items.prefix);
    return result;
}

static cz_formula choose(struct pieces *pieces, cz_value value, const char *keyword)
{
    struct cz_machine *machine = pieces->machine;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < pieces->count; i++) {
        if (pieces->items[i].condition == CZ_FORMULA_TRUE || !is_empty(&pieces->items[i])) {
            struct piece swap = pieces->items[kept];
            pieces->items[kept++] = pieces->items[i];
            pieces->items[i] = swap;
        }
    }
    /* pieces dropped keep their memory: they are freed by pieces_free */
    uint32_t all = pieces->count;
    if (kept > PIECE_LIMIT + 1) {
        cz_schema_fail(machine, CLOZE_UNSUPPORTED, cz_slice(keyword),
                       "%s beside more than %d conditional subschemas is not enforced", keyword,
                       PIECE_LIMIT);
        return CZ_FORMULA_FALSE;
    }
    pieces->count = kept;
    cz_formula result = CZ_FORMULA_FALSE;
    for (uint64_t chosen = 0; chosen < 1ull << kept && machine->failed == CLOZE_OK; chosen++) {
        cz_formula part = CZ_FORMULA_TRUE;
        bool skip = false;
        for (uint32_t i = 0; i < kept; i++) {
            bool always = pieces->items[i].condition == CZ_FORMULA_TRUE;
            skip |= always && !(chosen >> i & 1);
            if (chosen >> i & 1)
                part = cz_formula_and(machine, part, pieces->items[i].condition);
        }
        if (skip || part == CZ_FORMULA_FALSE)
            continue;
        cz_formula rest = pieces->objects ? object_choice(pieces, chosen, value)
                                          : array_choice(pieces, chosen, value);
        result = cz_formula_or(machine, result, cz_formula_and(machine, part, rest));
    }
    pieces->count = all;
    return result;
}

static cz_formula unevaluated(struct cz_machine *machine, struct schema schema,
                              const struct cz_json *value, bool objects, const char *keyword)
{
    struct pieces pieces = {.machine = machine, .objects = objects};
    cz_value rest = cz_schema_value(machine, value, schema);
    if (rest == CZ_VALUE_ANY)
        return CZ_FORMULA_TRUE;
    collect(&pieces, schema.node, schema, CZ_FORMULA_TRUE, true);
    cz_formula result =
        machine->failed == CLOZE_OK ? choose(&pieces, rest, keyword) : CZ_FORMULA_FALSE;
    pieces_free(&pieces);
    return result;
}

cz_formula cz_schema_unevaluated_properties(struct cz_machine *machine, struct schema schema,
                                            const struct fields *fields)
{
    return unevaluated(machine, schema, fields->at[KEY_UNEVALUATED_PROPERTIES], true,
                       "unevaluatedProperties");
}

cz_formula cz_schema_unevaluated_items(struct cz_machine *machine, struct schema schema,
                                       const struct fields *fields)
{
    return unevaluated(machine, schema, fields->at[KEY_UNEVALUATED_ITEMS], false,
                       "unevaluatedItems");
}
