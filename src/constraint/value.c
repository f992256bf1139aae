/*
 * value.c - sets of JSON values: boolean combinations, looked into only when they are needed.
 *
 * A value is a word sequence: kind, then parts. Schemas are named, not opened, so that recursive
 * ones are finite; cz_value_expand opens one level and remembers the result. By then every boolean
 * operation has been carried out type by type.
 */
#include "constraint/machine.h"

#include "base/heap.h"

#include <stdlib.h>

enum value_kind { VALUE_NONE, VALUE_ANY, VALUE_TYPED, VALUE_SCHEMA, VALUE_NOT, VALUE_AND, VALUE_OR };

enum { UNKNOWN, ALIVE, DEAD, OPEN };

struct value_facts {
    uint32_t typed; /* index + 1 */
    uint32_t depth; /* while OPEN: where it stands on the path */
    uint8_t alive;
    uint8_t expanding;
};

const struct cz_typed CZ_TYPED_NONE = {0};
const struct cz_typed CZ_TYPED_ANY = {7, CZ_NUMBERS_ALL, CZ_EXPR_TEXT, CZ_FORMULA_TRUE,
                                      CZ_FORMULA_TRUE};

static cz_value add(struct cz_machine *machine, const uint32_t *words, uint32_t count)
{
    bool added;
    if (machine->limited && machine->values.count > CZ_MACHINE_NODES) {
        cz_machine_fail(machine, CLOZE_LIMIT, NULL, "the schema combines into too many values");
        return CZ_VALUE_NONE;
    }
    uint32_t id = cz_intern_add(&machine->values, words, count, &added);
    if (id == UINT32_MAX ||
        (added && !cz_machine_grow(machine, (void **)&machine->value_facts, id,
                                   &machine->value_facts_capacity, sizeof *machine->value_facts))) {
        cz_machine_fail_memory(machine);
        return CZ_VALUE_NONE;
    }
    if (added)
        machine->value_facts[id] = (struct value_facts){0};
    return id;
}

bool cz_values_start(struct cz_machine *machine);

bool cz_values_start(struct cz_machine *machine)
{
    uint32_t none = VALUE_NONE, any = VALUE_ANY;
    return add(machine, &none, 1) == CZ_VALUE_NONE && add(machine, &any, 1) == CZ_VALUE_ANY;
}

static uint32_t kind_of(const struct cz_machine *machine, cz_value value)
{
    return cz_intern_get(&machine->values, value)[0];
}

cz_value cz_value_typed(struct cz_machine *machine, const struct cz_typed *typed)
{
    if (!memcmp(typed, &CZ_TYPED_ANY, sizeof *typed))
        return CZ_VALUE_ANY;
    if (!memcmp(typed, &CZ_TYPED_NONE, sizeof *typed))
        return CZ_VALUE_NONE;
    return add(machine, (uint32_t[]){VALUE_TYPED, typed->literals, typed->number, typed->string,
                                     typed->array, typed->object}, 6);
}

cz_value cz_value_schema(struct cz_machine *machine, uint32_t schema)
{
    return add(machine, (uint32_t[]){VALUE_SCHEMA, schema}, 2);
}

cz_value cz_value_not(struct cz_machine *machine, cz_value a)
{
    if (a <= CZ_VALUE_ANY)
        return a == CZ_VALUE_ANY ? CZ_VALUE_NONE : CZ_VALUE_ANY;
    if (kind_of(machine, a) == VALUE_NOT)
        return cz_intern_get(&machine->values, a)[1];
    return add(machine, (uint32_t[]){VALUE_NOT, a}, 2);
}

cz_value cz_value_negated(const struct cz_machine *machine, cz_value value)
{
    return kind_of(machine, value) == VALUE_NOT ? cz_intern_get(&machine->values, value)[1]
                                                : (cz_value)CZ_VALUE_NONE;
}

bool cz_value_is_plain(struct cz_machine *machine, cz_value value)
{
    uint32_t kind = kind_of(machine, value), size = cz_intern_size(&machine->values, value);
    if (kind == VALUE_SCHEMA)
        return cz_schema_is_plain(machine, cz_intern_get(&machine->values, value)[1]);
    for (uint32_t i = 1; kind >= VALUE_NOT && i < size; i++) {
        if (!cz_value_is_plain(machine, cz_intern_get(&machine->values, value)[i]))
            return false;
    }
    return true;
}

static cz_value combine(struct cz_machine *machine, uint32_t kind, cz_value a, cz_value b)
{
    uint32_t stack[64], *words = stack, count = 1;
    uint32_t total = 1;
    cz_value both[2] = {a, b};
    for (int i = 0; i < 2; i++)
        total += kind_of(machine, both[i]) == kind ? cz_intern_size(&machine->values, both[i]) : 1;
    if (total > 64 && !(words = cz_heap_alloc(total * sizeof *words))) {
        cz_machine_fail_memory(machine);
        return CZ_VALUE_NONE;
    }
    words[0] = kind;
    for (int i = 0; i < 2; i++) {
        if (kind_of(machine, both[i]) == kind) {
            uint32_t size = cz_intern_size(&machine->values, both[i]) - 1;
            memcpy(words + count, cz_intern_get(&machine->values, both[i]) + 1,
                   size * sizeof *words);
            count += size;
        } else {
            words[count++] = both[i];
        }
    }
    cz_words_sort(words + 1, count - 1);
    uint32_t kept = 1;
    for (uint32_t i = 1; i < count; i++) {
        if (kept == 1 || words[kept - 1] != words[i])
            words[kept++] = words[i];
    }
    bool opposed = false; /* x beside not x */
    for (uint32_t i = 1; i < kept && !opposed; i++) {
        cz_value negated = cz_value_negated(machine, words[i]);
        opposed = negated && cz_words_hold(words + 1, kept - 1, negated);
    }
    cz_value result = opposed     ? (kind == VALUE_AND ? CZ_VALUE_NONE : CZ_VALUE_ANY)
                      : kept == 2 ? words[1]
                                  : add(machine, words, kept);
    if (words != stack)
        cz_heap_free(words);
    return result;
}

cz_value cz_value_and(struct cz_machine *machine, cz_value a, cz_value b)
{
    if (a == b || b == CZ_VALUE_ANY || a == CZ_VALUE_NONE)
        return a;
    return a == CZ_VALUE_ANY || b == CZ_VALUE_NONE ? b : combine(machine, VALUE_AND, a, b);
}

cz_value cz_value_or(struct cz_machine *machine, cz_value a, cz_value b)
{
    if (a == b || b == CZ_VALUE_NONE || a == CZ_VALUE_ANY)
        return a;
    return a == CZ_VALUE_NONE || b == CZ_VALUE_ANY ? b : combine(machine, VALUE_OR, a, b);
}

cz_value cz_value_any_of(struct cz_machine *machine, const cz_value *values, uint32_t count)
{
    uint32_t *words = cz_heap_alloc(((size_t)count + 1) * sizeof *words), kept = 1;
    cz_value result = CZ_VALUE_NONE;
    if (!words) {
        cz_machine_fail_memory(machine);
        return result;
    }
    for (uint32_t i = 0; i < count; i++) {
        words[kept] = values[i];
        kept += values[i] != CZ_VALUE_NONE;
    }
    words[0] = VALUE_OR;
    cz_words_sort(words + 1, kept - 1);
    if (kept > 1)
        result = kept == 2 ? words[1] : add(machine, words, kept);
    cz_heap_free(words);
    return result;
}

/* TEXT is the whole of what a string can be, so intersecting with it changes nothing. */
static cz_expr string_and(struct cz_machine *machine, cz_expr a, cz_expr b)
{
    if (a == CZ_EXPR_TEXT || b == CZ_EXPR_NOTHING)
        return b;
    return b == CZ_EXPR_TEXT ? a : cz_expr_and(machine->exprs, a, b);
}

static cz_expr string_or(struct cz_machine *machine, cz_expr a, cz_expr b)
{
    return a == CZ_EXPR_TEXT || b == CZ_EXPR_TEXT ? CZ_EXPR_TEXT : cz_expr_or(machine->exprs, a, b);
}

static cz_expr string_not(struct cz_machine *machine, cz_expr a)
{
    return a == CZ_EXPR_TEXT ? CZ_EXPR_NOTHING : cz_expr_minus(machine->exprs, CZ_EXPR_TEXT, a);
}

struct cz_typed cz_typed_and(struct cz_machine *machine, struct cz_typed a, struct cz_typed b)
{
    return (struct cz_typed){a.literals & b.literals,
                             cz_numbers_and(machine->numbers, a.number, b.number),
                             string_and(machine, a.string, b.string),
                             cz_formula_and(machine, a.array, b.array),
                             cz_formula_and(machine, a.object, b.object)};
}

struct cz_typed cz_typed_or(struct cz_machine *machine, struct cz_typed a, struct cz_typed b)
{
    return (struct cz_typed){a.literals | b.literals,
                             cz_numbers_or(machine->numbers, a.number, b.number),
                             string_or(machine, a.string, b.string),
                             cz_formula_or(machine, a.array, b.array),
                             cz_formula_or(machine, a.object, b.object)};
}

struct cz_typed cz_typed_not(struct cz_machine *machine, struct cz_typed a)
{
    return (struct cz_typed){~a.literals & 7, cz_numbers_not(machine->numbers, a.number),
                             string_not(machine, a.string), cz_formula_not(machine, a.array),
                             cz_formula_not(machine, a.object)};
}

/* By halves: each set on the way is a new one, as large as all its parts. */
static struct cz_typed expand_parts(struct cz_machine *machine, cz_value value, uint32_t kind,
                                    uint32_t from, uint32_t to)
{
    if (machine->failed != CLOZE_OK)
        return CZ_TYPED_NONE;
    if (to - from == 1)
        return cz_value_expand(machine, cz_intern_get(&machine->values, value)[from]);
    uint32_t middle = from + (to - from) / 2;
    struct cz_typed first = expand_parts(machine, value, kind, from, middle);
    struct cz_typed second = expand_parts(machine, value, kind, middle, to);
    return kind == VALUE_AND ? cz_typed_and(machine, first, second)
                             : cz_typed_or(machine, first, second);
}

static struct cz_typed expand_new(struct cz_machine *machine, cz_value value)
{
    const uint32_t *words = cz_intern_get(&machine->values, value);
    switch (words[0]) {
    case VALUE_NONE:
        return CZ_TYPED_NONE;
    case VALUE_ANY:
        return CZ_TYPED_ANY;
    case VALUE_TYPED:
        return (struct cz_typed){words[1], words[2], words[3], words[4], words[5]};
    case VALUE_SCHEMA:
        return cz_schema_expand(machine, words[1]);
    case VALUE_NOT:
        return cz_typed_not(machine, cz_value_expand(machine, words[1]));
    default:
        return expand_parts(machine, value, words[0], 1, cz_intern_size(&machine->values, value));
    }
}

struct cz_typed cz_value_expand(struct cz_machine *machine, cz_value value)
{
    struct value_facts *facts = &machine->value_facts[value];
    if (facts->typed)
        return machine->typed[facts->typed - 1];
    if (facts->expanding) {
        cz_machine_fail(machine, CLOZE_INVALID, NULL,
                        "the schema applies itself to the same value without end (a cycle of $ref, "
                        "allOf, anyOf and the like)");
        return CZ_TYPED_NONE;
    }
    if (machine->depth >= CZ_MACHINE_DEPTH) {
        cz_machine_fail(machine, CLOZE_LIMIT, NULL, "schemas apply each other too deeply");
        return CZ_TYPED_NONE;
    }
    facts->expanding = 1;
    machine->depth++;
    struct cz_typed typed = expand_new(machine, value);
    machine->depth--;
    facts = &machine->value_facts[value];
    facts->expanding = 0;
    if (machine->failed != CLOZE_OK ||
        !cz_machine_grow(machine, (void **)&machine->typed, machine->typed_count,
                         &machine->typed_capacity, sizeof *machine->typed))
        return typed;
    machine->typed[machine->typed_count++] = typed;
    machine->value_facts[value].typed = machine->typed_count;
    return typed;
}

static bool object_alive(struct cz_machine *machine, cz_formula formula)
{
    return formula != CZ_FORMULA_FALSE &&
           (formula == CZ_FORMULA_TRUE ||
            cz_object_start(machine, formula, 0) != UINT32_MAX);
}

static bool typed_alive(struct cz_machine *machine, cz_value value)
{
    struct cz_typed typed = cz_value_expand(machine, value);
    return typed.literals || cz_numbers_alive(machine->numbers, typed.number) ||
           cz_expr_alive(machine->exprs, typed.string) ||
           (typed.array && cz_array_alive(machine, typed.array)) ||
           object_alive(machine, typed.object);
}

/* Least fixed point by depth-first search: a value met again on its own path counts as dead there,
 * and a "dead" that rests on such an assumption is not remembered. machine->cycle_depth is the
 * shallowest place of the path that the answer at hand rests on. */
bool cz_value_alive(struct cz_machine *machine, cz_value value)
{
    struct value_facts *facts = &machine->value_facts[value];
    if (value == CZ_VALUE_ANY || facts->alive == ALIVE)
        return true;
    if (value == CZ_VALUE_NONE || facts->alive == DEAD)
        return false;
    if (facts->alive == OPEN) {
        if (facts->depth < machine->cycle_depth)
            machine->cycle_depth = facts->depth;
        return false;
    }
    if (machine->depth >= CZ_MACHINE_DEPTH || !cz_machine_burn(machine, 1)) {
        cz_machine_fail(machine, CLOZE_LIMIT, NULL,
                        "whether any value fits can't be decided within the limits");
        return false;
    }
    uint32_t outer = machine->cycle_depth, depth = machine->depth;
    facts->alive = OPEN;
    facts->depth = depth;
    machine->cycle_depth = UINT32_MAX;
    machine->depth++;
    bool alive = typed_alive(machine, value);
    machine->depth--;
    facts = &machine->value_facts[value];
    bool rests = machine->cycle_depth < depth;
    facts->alive = alive ? ALIVE : rests ? UNKNOWN : DEAD;
    if (machine->cycle_depth > outer || alive || !rests)
        machine->cycle_depth = outer;
    return alive;
}

/* Equal containers have one name: `words` are their parts in one order. */
static cz_value known_constant(struct cz_machine *machine, const uint32_t *words, uint32_t count,
                               cz_value (*make)(struct cz_machine *machine, const uint32_t *words,
                                                uint32_t count))
{
    bool added;
    uint32_t id = cz_intern_add(&machine->constants, words, count, &added);
    if (id == UINT32_MAX ||
        !cz_machine_grow(machine, (void **)&machine->constant_values, id,
                         &machine->constant_capacity, sizeof *machine->constant_values)) {
        cz_machine_fail_memory(machine);
        return CZ_VALUE_NONE;
    }
    if (added) {
        cz_value made = make(machine, words, count); /* the table may move */
        machine->constant_values[id] = made;
    }
    return machine->constant_values[id];
}

/* words: CZ_JSON_ARRAY, the items */
static cz_value make_array(struct cz_machine *machine, const uint32_t *words, uint32_t count)
{
    struct cz_items items = {.count = count - 1, .rest = CZ_VALUE_ANY};
    struct cz_typed typed = CZ_TYPED_NONE;
    items.prefix = cz_heap_zeroed(count, sizeof *items.prefix);
    if (!items.prefix)
        return CZ_VALUE_NONE;
    memcpy(items.prefix, words + 1, (count - 1) * sizeof *items.prefix);
    typed.array = cz_formula_and(machine, cz_formula_count(machine, count - 1, count - 1),
                                 cz_formula_items(machine, cz_items_add(machine, &items), 0));
    cz_formula_mark_constant(machine, typed.array);
    cz_heap_free(items.prefix);
    return cz_value_typed(machine, &typed);
}

static cz_value constant_array(struct cz_machine *machine, const struct cz_json *json)
{
    uint32_t *words = cz_heap_alloc((json->count + 1) * sizeof *words), count = 1;
    cz_value result = CZ_VALUE_NONE;
    bool good = words != NULL;
    if (good) {
        words[0] = CZ_JSON_ARRAY;
        CZ_JSON_EACH(item, json)
        {
            words[count] = cz_value_constant(machine, item);
            good &= words[count++] != CZ_VALUE_NONE;
        }
    }
    if (good)
        result = known_constant(machine, words, count, make_array);
    cz_heap_free(words);
    return result;
}

/* words: CZ_JSON_OBJECT, key and value of each member, by key */
static cz_value make_object(struct cz_machine *machine, const uint32_t *words, uint32_t count)
{
    uint32_t members = count / 2;
    struct cz_props props = {.named_count = members, .other = CZ_VALUE_NONE};
    struct cz_typed typed = CZ_TYPED_NONE;
    props.keys = cz_heap_zeroed(members + 1, sizeof *props.keys);
    props.values = cz_heap_zeroed(members + 1, sizeof *props.values);
    typed.object = cz_formula_count(machine, members, members);
    for (uint32_t i = 0; i < members && props.keys && props.values; i++) {
        props.keys[i] = words[1 + 2 * i];
        props.values[i] = words[2 + 2 * i];
        typed.object =
            cz_formula_and(machine, typed.object,
                           cz_formula_atom(machine, FORMULA_REQUIRE, props.keys[i], 0, 0));
    }
    if (props.keys && props.values)
        typed.object = cz_formula_and(machine, typed.object,
                                      cz_formula_props(machine, cz_props_add(machine, &props)));
    cz_formula_mark_constant(machine, typed.object);
    cz_heap_free(props.keys);
    cz_heap_free(props.values);
    return cz_value_typed(machine, &typed);
}

/* The key is the first word of a member. */
static int compare_members(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

static cz_value constant_object(struct cz_machine *machine, const struct cz_json *json)
{
    uint32_t *words = cz_heap_alloc((2 * (size_t)json->count + 1) * sizeof *words), count = 1;
    cz_value result = CZ_VALUE_NONE;
    bool good = words != NULL;
    if (good) {
        words[0] = CZ_JSON_OBJECT;
        CZ_JSON_EACH(member, json)
        {
            words[count++] = cz_machine_key(machine, cz_json_key(member));
            words[count] = cz_value_constant(machine, member);
            good &= words[count++] != CZ_VALUE_NONE;
        }
        qsort(words + 1, json->count, 2 * sizeof *words, compare_members);
    }
    if (good)
        result = known_constant(machine, words, count, make_object);
    cz_heap_free(words);
    return result;
}

cz_value cz_value_constant(struct cz_machine *machine, const struct cz_json *json)
{
    struct cz_typed typed = CZ_TYPED_NONE;
    switch (json->kind) {
    case CZ_JSON_NULL:
        typed.literals = CZ_LITERAL_NULL;
        break;
    case CZ_JSON_FALSE:
        typed.literals = CZ_LITERAL_FALSE;
        break;
    case CZ_JSON_TRUE:
        typed.literals = CZ_LITERAL_TRUE;
        break;
    case CZ_JSON_NUMBER:
        typed.number = cz_numbers_equal(machine->numbers, json->text);
        break;
    case CZ_JSON_STRING:
        typed.string = cz_expr_literal(machine->exprs, json->text);
        break;
    case CZ_JSON_ARRAY:
        return constant_array(machine, json);
    default:
        return constant_object(machine, json);
    }
    return cz_value_typed(machine, &typed);
}
