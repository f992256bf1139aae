/*
 * schema.c - JSON Schema to values: one schema at a time, when it is first needed.
 *
 * A schema's keywords that speak of one type go into that type's part; those that combine schemas
 * for the same value become boolean operations on the parts. Schemas of members and items are only
 * named here, and opened when a value of theirs begins or is asked for.
 */
#include "constraint/schema_internal.h"

#include "base/heap.h"
#include "constraint/format.h"
#include "constraint/regex.h"

#include <stdarg.h>
#include <stdio.h>

enum { SCHEMA_LIMIT = 200000 };

/* ---- Errors and remarks ---- */

static bool pointer_to(const struct cz_json *at, const struct cz_json *wanted,
                       struct cz_buffer *pointer)
{
    size_t size = pointer->size, index = 0;
    if (at == wanted)
        return true;
    if (at->kind != CZ_JSON_OBJECT && at->kind != CZ_JSON_ARRAY)
        return false;
    CZ_JSON_EACH(child, at) {
        if (at->kind == CZ_JSON_OBJECT)
            cz_json_pointer_append(pointer, cz_json_key(child));
        else
            cz_json_pointer_append_index(pointer, index++);
        if (pointer_to(child, wanted, pointer))
            return true;
        pointer->size = size;
    }
    return false;
}

void cz_schema_place(struct cz_machine *machine, const struct cz_json *node,
                     struct cz_slice keyword, struct cz_buffer *out)
{
    struct cz_schemas *schemas = machine->schemas;
    for (uint32_t i = 0; i < schemas->resource_count; i++) {
        size_t size = out->size;
        if (i > 0 && schemas->resources[i].source.data != schemas->resources[0].source.data) {
            cz_buffer_append_slice(out, schemas->resources[i].uri);
            cz_buffer_append_byte(out, '#');
        }
        if (pointer_to(schemas->resources[i].root, node, out))
            break;
        out->size = size;
    }
    if (keyword.size)
        cz_json_pointer_append(out, keyword);
}

void cz_schema_fail(struct cz_machine *machine, cloze_status status, struct cz_slice keyword,
                    const char *format, ...)
{
    char message[600];
    struct cz_buffer place = {0};
    va_list arguments;
    if (machine->failed != CLOZE_OK)
        return;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (machine->schemas->current)
        cz_schema_place(machine, machine->schemas->current, keyword, &place);
    cz_machine_fail(machine, status, cz_buffer_text(&place), message);
    cz_buffer_free(&place);
}

void cz_schema_remark(struct cz_machine *machine, const struct cz_json *node,
                      struct cz_slice keyword, int kind)
{
    struct cz_schemas *schemas = machine->schemas;
    if (cz_machine_grow(machine, (void **)&schemas->remarks, schemas->remark_count,
                        &schemas->remark_capacity, sizeof *schemas->remarks))
        schemas->remarks[schemas->remark_count++] = (struct remark){node, keyword, kind};
}

static void malformed(struct cz_machine *machine, const char *keyword, const char *wanted)
{
    cz_schema_fail(machine, CLOZE_INVALID, cz_slice(keyword), "%s must be %s", keyword, wanted);
}

/* ---- Schemas by name ---- */

uint32_t cz_schema_add(struct cz_machine *machine, const struct cz_json *node, struct schema from)
{
    struct cz_schemas *schemas = machine->schemas;
    uint32_t resource = cz_schema_resource(machine, node, from.resource);
    uint32_t scope = cz_schema_enter(machine, from.scope, resource);
    uintptr_t address = (uintptr_t)node;
    const uint32_t words[4] = {(uint32_t)address, (uint32_t)((uint64_t)address >> 32), resource,
                               scope};
    bool added;
    uint32_t id = cz_intern_add(&schemas->schema_keys, words, 4, &added);
    if (id == UINT32_MAX || (machine->limited && id > SCHEMA_LIMIT) ||
        (added && !cz_machine_grow(machine, (void **)&schemas->schemas, id,
                                   &schemas->schema_capacity, sizeof *schemas->schemas))) {
        cz_machine_fail(machine, CLOZE_LIMIT, NULL, "too many schemas");
        return 0;
    }
    if (added)
        schemas->schemas[id] = (struct schema){node, resource, scope};
    return id;
}

/* The text of a $ref that alone says what the schema is. */
static bool only_reference(const struct cz_machine *machine, const struct cz_json *node,
                           uint32_t resource, struct cz_slice *text)
{
    if (node->kind != CZ_JSON_OBJECT || !cz_json_string(cz_json_get(node, "$ref"), text) ||
        machine->schemas->dynamic)
        return false;
    if (machine->schemas->resources[resource].dialect.draft <= DRAFT_7)
        return node->count == 1;
    CZ_JSON_EACH(member, node) {
        enum keyword keyword = cz_keyword_find(cz_json_key(member));
        if (keyword != KEY_REF && keyword != KEY_ANNOTATION && keyword != KEY_COMMENT)
            return false;
    }
    return true;
}

cz_value cz_schema_value(struct cz_machine *machine, const struct cz_json *node, struct schema from)
{
    enum { HOPS = 32 };
    struct schema at = {node, cz_schema_resource(machine, node, from.resource), from.scope};
    struct cz_slice text;
    for (int hop = 0; hop < HOPS && only_reference(machine, at.node, at.resource, &text); hop++) {
        const struct cz_json *outer = machine->schemas->current;
        machine->schemas->current = at.node;
        if (!cz_schema_resolve(machine, at, text, false, &at))
            return CZ_VALUE_NONE;
        machine->schemas->current = outer;
    }
    if (at.node->kind == CZ_JSON_TRUE ||
        (at.node->kind == CZ_JSON_OBJECT && at.node->count == 0))
        return CZ_VALUE_ANY;
    if (at.node->kind == CZ_JSON_FALSE)
        return CZ_VALUE_NONE;
    uint32_t id = cz_schema_add(machine, at.node, at);
    cz_value value = cz_value_schema(machine, id);
    if (machine->failed != CLOZE_OK || !cz_schema_is_plain(machine, id))
        return value;
    /* equal plain schemas are one value, wherever they stand */
    struct cz_typed typed = cz_value_expand(machine, value);
    return machine->failed == CLOZE_OK ? cz_value_typed(machine, &typed) : value;
}

static struct cz_typed expand_child(struct cz_machine *machine, const struct cz_json *node,
                                    struct schema from)
{
    return cz_value_expand(machine, cz_schema_value(machine, node, from));
}

/* The first draft that has the keyword. */
static enum draft introduced(enum keyword keyword)
{
    switch (keyword) {
    case KEY_CONST:
    case KEY_CONTAINS:
    case KEY_PROPERTY_NAMES:
        return DRAFT_6;
    case KEY_IF:
    case KEY_THEN:
    case KEY_ELSE:
        return DRAFT_7;
    case KEY_DEPENDENT_REQUIRED:
    case KEY_DEPENDENT_SCHEMAS:
    case KEY_UNEVALUATED_ITEMS:
    case KEY_UNEVALUATED_PROPERTIES:
    case KEY_MIN_CONTAINS:
    case KEY_MAX_CONTAINS:
    case KEY_RECURSIVE_REF:
        return DRAFT_2019;
    case KEY_PREFIX_ITEMS:
    case KEY_DYNAMIC_REF:
        return DRAFT_2020;
    default:
        return DRAFT_4;
    }
}

bool cz_schema_fields(struct cz_machine *machine, const struct cz_json *node, uint32_t resource,
                      struct fields *out)
{
    const struct dialect dialect = machine->schemas->resources[resource].dialect;
    memset(out, 0, sizeof *out);
    CZ_JSON_EACH(member, node) {
        enum keyword keyword = cz_keyword_find(cz_json_key(member));
        if (keyword == KEY_ID4 && dialect.draft != DRAFT_4)
            keyword = KEY_UNKNOWN;
        if (introduced(keyword) > dialect.draft || cz_dialect_ignores(&dialect, keyword)) {
            cz_schema_remark(machine, node, cz_json_key(member), REMARK_IGNORED);
            continue;
        }
        if (keyword == KEY_UNKNOWN)
            cz_schema_remark(machine, node, cz_json_key(member), REMARK_UNKNOWN);
        else if (keyword == KEY_ANNOTATION)
            cz_schema_remark(machine, node, cz_json_key(member), REMARK_ANNOTATION);
        else
            out->at[keyword] = member;
    }
    return true;
}

/* ---- Scalars ---- */

static bool add_type(struct cz_machine *machine, struct cz_slice name, struct cz_typed *types)
{
    if (cz_slice_is(name, "null"))
        types->literals |= CZ_LITERAL_NULL;
    else if (cz_slice_is(name, "boolean"))
        types->literals |= CZ_LITERAL_FALSE | CZ_LITERAL_TRUE;
    else if (cz_slice_is(name, "number"))
        types->number = CZ_NUMBERS_ALL;
    else if (cz_slice_is(name, "integer"))
        types->number = cz_numbers_or(machine->numbers, types->number, CZ_NUMBERS_INTEGERS);
    else if (cz_slice_is(name, "string"))
        types->string = CZ_EXPR_TEXT;
    else if (cz_slice_is(name, "array"))
        types->array = CZ_FORMULA_TRUE;
    else if (cz_slice_is(name, "object"))
        types->object = CZ_FORMULA_TRUE;
    else
        return false;
    return true;
}

static struct cz_typed read_type(struct cz_machine *machine, const struct cz_json *value,
                                 struct schema schema)
{
    struct cz_typed types = CZ_TYPED_NONE;
    struct cz_slice name;
    if (cz_json_string(value, &name)) {
        if (cz_slice_is(name, "any"))
            return CZ_TYPED_ANY;
        if (!add_type(machine, name, &types))
            cz_schema_fail(machine, CLOZE_INVALID, CZ_SLICE("type"),
                           "'%.*s' is no type; the types are null, boolean, number, integer, string, "
                           "array and object",
                           CZ_SLICE_ARG(name));
        return types;
    }
    if (!cz_json_is(value, CZ_JSON_ARRAY)) {
        malformed(machine, "type", "a type's name or an array of them");
        return types;
    }
    CZ_JSON_EACH(item, value) {
        if (cz_json_is(item, CZ_JSON_OBJECT))
            types = cz_typed_or(machine, types, expand_child(machine, item, schema));
        else if (!cz_json_string(item, &name) || !add_type(machine, name, &types))
            malformed(machine, "type", "a type's name or an array of them");
    }
    return types;
}

static struct cz_typed read_enum(struct cz_machine *machine, const struct cz_json *value)
{
    struct cz_typed result = CZ_TYPED_NONE;
    if (!cz_json_is(value, CZ_JSON_ARRAY)) {
        malformed(machine, "enum", "an array");
        return result;
    }
    struct cz_slice *texts = cz_heap_alloc(((size_t)value->count * 2 + 1) * sizeof *texts);
    size_t text_count = 0, number_count = 0;
    if (!texts) {
        cz_machine_fail_memory(machine);
        return result;
    }
    struct cz_slice *numbers = texts + value->count;
    CZ_JSON_EACH(item, value) {
        if (item->kind == CZ_JSON_STRING)
            texts[text_count++] = item->text;
        else if (item->kind == CZ_JSON_NUMBER)
            numbers[number_count++] = item->text;
        else
            result = cz_typed_or(machine, result,
                                 cz_value_expand(machine, cz_value_constant(machine, item)));
    }
    if (text_count)
        result.string = cz_expr_literals(machine->exprs, texts, text_count);
    if (number_count)
        result.number = cz_numbers_among(machine->numbers, numbers, number_count);
    cz_heap_free(texts);
    return result;
}

static struct cz_slice number_text(struct cz_machine *machine, const struct cz_json *value,
                                   const char *keyword)
{
    if (cz_json_is(value, CZ_JSON_NUMBER))
        return value->text;
    malformed(machine, keyword, "a number");
    return CZ_SLICE("0");
}

/* minimum or maximum with its exclusive form: a number, or draft 4's flag. */
static cz_numbers read_bound(struct cz_machine *machine, const struct cz_json *bound,
                             const struct cz_json *exclusive, bool above)
{
    cz_numbers result = CZ_NUMBERS_ALL;
    bool flag = false;
    cz_json_bool(exclusive, &flag);
    cz_numbers (*make)(struct cz_number_store *, struct cz_slice, bool) =
        above ? cz_numbers_above : cz_numbers_below;
    if (bound)
        result = make(machine->numbers,
                      number_text(machine, bound, above ? "minimum" : "maximum"), flag);
    if (exclusive && !cz_json_is(exclusive, CZ_JSON_TRUE) && !cz_json_is(exclusive, CZ_JSON_FALSE))
        result = cz_numbers_and(
            machine->numbers, result,
            make(machine->numbers,
                 number_text(machine, exclusive, above ? "exclusiveMinimum" : "exclusiveMaximum"),
                 true));
    return result;
}

static cz_numbers read_numbers(struct cz_machine *machine, const struct fields *fields)
{
    const struct cz_json *step = fields->at[KEY_MULTIPLE_OF];
    cz_numbers low = read_bound(machine, fields->at[KEY_MINIMUM], fields->at[KEY_EXCLUSIVE_MINIMUM],
                                true);
    cz_numbers high = read_bound(machine, fields->at[KEY_MAXIMUM],
                                 fields->at[KEY_EXCLUSIVE_MAXIMUM], false);
    cz_numbers result = cz_numbers_and(machine->numbers, low, high);
    if (step)
        result = cz_numbers_and(
            machine->numbers, result,
            cz_numbers_multiple(machine->numbers, number_text(machine, step, "multipleOf")));
    if (cz_number_status(machine->numbers, NULL) != CLOZE_OK) {
        struct cloze_error why;
        cloze_status status = cz_number_status(machine->numbers, &why);
        cz_schema_fail(machine, status, step ? CZ_SLICE("multipleOf") : CZ_SLICE(""), "%s",
                       why.message);
    }
    return result;
}

bool cz_schema_size(struct cz_machine *machine, const struct cz_json *value, uint32_t *out)
{
    int64_t size;
    double real;
    if (!value)
        return false;
    if (cz_json_int64(value, &size) && size >= 0) {
        *out = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX - 1;
        return true;
    }
    if (cz_json_double(value, &real) && real >= (double)UINT32_MAX) {
        *out = UINT32_MAX - 1;
        return true;
    }
    struct cz_slice key = cz_json_key(value);
    cz_schema_fail(machine, CLOZE_INVALID, key, "%.*s must be a whole number, not negative",
                   CZ_SLICE_ARG(key));
    return false;
}

cz_expr cz_schema_pattern(struct cz_machine *machine, struct cz_slice pattern)
{
    struct cz_regex_options options = {.flavour = CZ_REGEX_ECMA, .search = true};
    struct cloze_error why;
    cz_expr expr = CZ_EXPR_NOTHING;
    cloze_status status = cz_regex_parse(machine->exprs, pattern, &options, &expr, &why);
    if (status == CLOZE_INVALID) {
        /* not ECMA-262: schemas written for Python and PCRE are common */
        options.flavour = CZ_REGEX_PYTHON;
        if (cz_regex_parse(machine->exprs, pattern, &options, &expr, NULL) == CLOZE_OK)
            status = CLOZE_OK;
    }
    if (status != CLOZE_OK)
        cz_schema_fail(machine, status, CZ_SLICE("pattern"), "the pattern '%.*s': %s",
                       CZ_SLICE_ARG(pattern), why.message);
    return expr;
}

static cz_expr read_format(struct cz_machine *machine, const struct cz_json *value,
                           struct schema schema)
{
    const struct dialect *dialect = &machine->schemas->resources[schema.resource].dialect;
    cz_expr expr = CZ_EXPR_TEXT;
    if (!cz_json_is(value, CZ_JSON_STRING) ||
        (machine->options.annotate_formats && !dialect->asserts_formats)) {
        cz_schema_remark(machine, schema.node, CZ_SLICE("format"), REMARK_ANNOTATION);
        return expr;
    }
    enum cz_format_status status = cz_format_find(machine->exprs, value->text, &expr);
    if (status == CZ_FORMAT_KNOWN) {
        if (cz_format_note(value->text))
            cz_schema_remark(machine, schema.node, CZ_SLICE("format"), REMARK_NARROWED);
        return expr;
    }
    if (status == CZ_FORMAT_UNSUPPORTED && !machine->options.lenient)
        cz_schema_fail(machine, CLOZE_UNSUPPORTED, CZ_SLICE("format"),
                       "the format '%.*s' can't be enforced", CZ_SLICE_ARG(value->text));
    cz_schema_remark(machine, schema.node, CZ_SLICE("format"),
                     status == CZ_FORMAT_UNKNOWN ? REMARK_FORMAT : REMARK_UNENFORCED);
    return CZ_EXPR_TEXT;
}

static cz_expr text_and(struct cz_machine *machine, cz_expr a, cz_expr b)
{
    if (a == CZ_EXPR_TEXT || b == CZ_EXPR_TEXT)
        return a == CZ_EXPR_TEXT ? b : a;
    return cz_expr_and(machine->exprs, a, b);
}

static cz_expr read_string(struct cz_machine *machine, const struct fields *fields,
                           struct schema schema)
{
    uint32_t shortest = 0, longest = CZ_EXPR_UNBOUNDED;
    cz_expr result = CZ_EXPR_TEXT;
    bool bounded = cz_schema_size(machine, fields->at[KEY_MIN_LENGTH], &shortest);
    bounded |= cz_schema_size(machine, fields->at[KEY_MAX_LENGTH], &longest);
    if (bounded)
        result = cz_expr_repeat(machine->exprs, CZ_EXPR_CHAR, shortest, longest);
    if (fields->at[KEY_PATTERN]) {
        struct cz_slice pattern;
        if (cz_json_string(fields->at[KEY_PATTERN], &pattern))
            result = text_and(machine, result, cz_schema_pattern(machine, pattern));
        else
            malformed(machine, "pattern", "a string");
    }
    if (fields->at[KEY_FORMAT])
        result = text_and(machine, result, read_format(machine, fields->at[KEY_FORMAT], schema));
    return result;
}

/* ---- Combinations ---- */

static bool is_list(struct cz_machine *machine, const struct cz_json *value, const char *keyword)
{
    if (cz_json_is(value, CZ_JSON_ARRAY) && value->count)
        return true;
    malformed(machine, keyword, "an array of schemas, not empty");
    return false;
}

static struct cz_typed all_of(struct cz_machine *machine, const struct cz_json *list,
                              struct schema schema)
{
    struct cz_typed result = CZ_TYPED_ANY;
    CZ_JSON_EACH(item, list)
        result = cz_typed_and(machine, result, expand_child(machine, item, schema));
    return result;
}

static struct cz_typed any_of(struct cz_machine *machine, const struct cz_json *list,
                              struct schema schema)
{
    struct cz_typed result = CZ_TYPED_NONE;
    CZ_JSON_EACH(item, list)
        result = cz_typed_or(machine, result, expand_child(machine, item, schema));
    return result;
}

/* One more alternative of an exact "one of", for all but containers: `one` holds of exactly one so
 * far, `any` of some. */
static void one_more(struct cz_machine *machine, struct cz_typed *one, struct cz_typed *any,
                     struct cz_typed next)
{
    uint32_t literals = any->literals & next.literals;
    cz_numbers numbers = cz_numbers_and(machine->numbers, any->number, next.number);
    cz_expr strings = CZ_EXPR_NOTHING;
    if (any->string && next.string)
        strings = text_and(machine, any->string, next.string);
    one->literals = (one->literals | next.literals) & ~literals;
    one->number = cz_numbers_or(machine->numbers, one->number, next.number);
    if (cz_numbers_alive(machine->numbers, numbers))
        one->number = cz_numbers_and(machine->numbers, one->number,
                                     cz_numbers_not(machine->numbers, numbers));
    one->string = cz_expr_or(machine->exprs, one->string, next.string);
    if (cz_expr_alive(machine->exprs, strings))
        one->string = cz_expr_minus(machine->exprs, one->string, strings);
    any->literals |= next.literals;
    any->number = cz_numbers_or(machine->numbers, any->number, next.number);
    any->string = cz_expr_or(machine->exprs, any->string, next.string);
}

/* Numbers the groups of formulas, so that those in different groups are plainly disjoint. */
static void group_formulas(struct cz_machine *machine, const cz_formula *parts, uint32_t *groups,
                           uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        groups[i] = i;
        for (uint32_t j = 0; j < i && machine->failed == CLOZE_OK; j++) {
            uint32_t old = groups[j];
            if (old == groups[i] || cz_formulas_disjoint(machine, parts[i], parts[j]))
                continue;
            for (uint32_t k = 0; k < i; k++)
                groups[k] = groups[k] == old ? groups[i] : groups[k];
        }
    }
}

/* Exactly one of the parts: where groups are disjoint, exactly one of a group. */
static cz_formula one_formula(struct cz_machine *machine, const cz_formula *parts, uint32_t count)
{
    cz_formula *group = cz_heap_zeroed((size_t)count + 1, 2 * sizeof *group);
    cz_formula result = CZ_FORMULA_FALSE;
    if (!group) {
        cz_machine_fail_memory(machine);
        return result;
    }
    uint32_t *groups = group + count + 1;
    group_formulas(machine, parts, groups, count);
    for (uint32_t i = 0; i < count && machine->failed == CLOZE_OK; i++) {
        uint32_t size = 0;
        for (uint32_t j = 0; j < count; j++) {
            if (groups[j] == i)
                group[size++] = parts[j];
        }
        if (size)
            result = cz_formula_or(machine, result, cz_formula_one(machine, group, size));
    }
    cz_heap_free(group);
    return result;
}

static struct cz_typed one_of(struct cz_machine *machine, const struct cz_json *list,
                              struct schema schema)
{
    struct cz_typed one = CZ_TYPED_NONE, any = CZ_TYPED_NONE;
    cz_formula *arrays = cz_heap_zeroed((size_t)list->count + 1, 2 * sizeof *arrays);
    if (!arrays) {
        cz_machine_fail_memory(machine);
        return one;
    }
    cz_formula *objects = arrays + list->count + 1;
    uint32_t array_count = 0, object_count = 0;
    CZ_JSON_EACH(item, list) {
        if (machine->failed != CLOZE_OK)
            break;
        struct cz_typed next = expand_child(machine, item, schema);
        one_more(machine, &one, &any, next);
        if (next.array)
            arrays[array_count++] = next.array;
        if (next.object)
            objects[object_count++] = next.object;
    }
    one.array = one_formula(machine, arrays, array_count);
    one.object = one_formula(machine, objects, object_count);
    cz_heap_free(arrays);
    return one;
}

static struct cz_typed if_then_else(struct cz_machine *machine, const struct fields *fields,
                                    struct schema schema)
{
    struct cz_typed condition = expand_child(machine, fields->at[KEY_IF], schema);
    struct cz_typed yes = condition, no = cz_typed_not(machine, condition);
    if (fields->at[KEY_THEN])
        yes = cz_typed_and(machine, yes, expand_child(machine, fields->at[KEY_THEN], schema));
    if (fields->at[KEY_ELSE])
        no = cz_typed_and(machine, no, expand_child(machine, fields->at[KEY_ELSE], schema));
    if (!fields->at[KEY_THEN] && !fields->at[KEY_ELSE])
        return CZ_TYPED_ANY;
    return cz_typed_or(machine, yes, no);
}

static struct cz_typed reference(struct cz_machine *machine, const struct cz_json *value,
                                 struct schema schema, bool dynamic)
{
    struct cz_slice text;
    struct schema target;
    if (!cz_json_string(value, &text)) {
        malformed(machine, dynamic ? "$dynamicRef" : "$ref", "a string");
        return CZ_TYPED_NONE;
    }
    if (!cz_schema_resolve(machine, schema, text, dynamic, &target))
        return CZ_TYPED_NONE;
    return expand_child(machine, target.node, target);
}

static struct cz_typed combine(struct cz_machine *machine, const struct fields *fields,
                               struct schema schema)
{
    struct cz_typed result = CZ_TYPED_ANY;
    struct schema target;
    const struct cz_json *const *at = fields->at;
    if (at[KEY_REF])
        result = cz_typed_and(machine, result, reference(machine, at[KEY_REF], schema, false));
    if (at[KEY_DYNAMIC_REF])
        result = cz_typed_and(machine, result,
                              reference(machine, at[KEY_DYNAMIC_REF], schema, true));
    if (at[KEY_RECURSIVE_REF] && cz_schema_resolve_recursive(machine, schema, &target))
        result = cz_typed_and(machine, result, expand_child(machine, target.node, target));
    if (at[KEY_ALL_OF] && is_list(machine, at[KEY_ALL_OF], "allOf"))
        result = cz_typed_and(machine, result, all_of(machine, at[KEY_ALL_OF], schema));
    if (at[KEY_ANY_OF] && is_list(machine, at[KEY_ANY_OF], "anyOf"))
        result = cz_typed_and(machine, result, any_of(machine, at[KEY_ANY_OF], schema));
    if (at[KEY_ONE_OF] && is_list(machine, at[KEY_ONE_OF], "oneOf"))
        result = cz_typed_and(machine, result, one_of(machine, at[KEY_ONE_OF], schema));
    if (at[KEY_NOT])
        result = cz_typed_and(machine, result,
                              cz_typed_not(machine, expand_child(machine, at[KEY_NOT], schema)));
    if (at[KEY_IF])
        result = cz_typed_and(machine, result, if_then_else(machine, fields, schema));
    return result;
}

/* ---- One schema ---- */

static struct cz_typed read_keywords(struct cz_machine *machine, const struct fields *fields,
                                     struct schema schema, enum draft draft)
{
    struct cz_typed result = CZ_TYPED_ANY;
    if (fields->at[KEY_TYPE])
        result = read_type(machine, fields->at[KEY_TYPE], schema);
    if (result.number)
        result.number = cz_numbers_and(machine->numbers, result.number,
                                       read_numbers(machine, fields));
    if (result.string)
        result.string = text_and(machine, result.string,
                                 read_string(machine, fields, schema));
    if (result.array)
        result.array = cz_formula_and(machine, result.array,
                                      cz_schema_array(machine, schema, fields, draft));
    if (result.object)
        result.object = cz_formula_and(machine, result.object,
                                       cz_schema_object(machine, schema, fields));
    if (fields->at[KEY_ENUM])
        result = cz_typed_and(machine, result, read_enum(machine, fields->at[KEY_ENUM]));
    if (fields->at[KEY_CONST])
        result = cz_typed_and(
            machine, result,
            cz_value_expand(machine, cz_value_constant(machine, fields->at[KEY_CONST])));
    return result;
}

static struct cz_typed expand_object(struct cz_machine *machine, struct schema schema)
{
    enum draft draft = machine->schemas->resources[schema.resource].dialect.draft;
    struct fields fields;
    cz_schema_fields(machine, schema.node, schema.resource, &fields);
    if (draft <= DRAFT_7 && fields.at[KEY_REF]) {
        CZ_JSON_EACH(member, schema.node) {
            enum keyword keyword = cz_keyword_find(cz_json_key(member));
            if (keyword > KEY_DEFINITIONS && keyword != KEY_ANNOTATION)
                cz_schema_remark(machine, schema.node, cz_json_key(member), REMARK_IGNORED);
        }
        return reference(machine, fields.at[KEY_REF], schema, false);
    }
    struct cz_typed result = read_keywords(machine, &fields, schema, draft);
    if (machine->failed == CLOZE_OK)
        result = cz_typed_and(machine, result, combine(machine, &fields, schema));
    if (fields.at[KEY_UNEVALUATED_PROPERTIES] && result.object && machine->failed == CLOZE_OK)
        result.object = cz_formula_and(machine, result.object,
                                       cz_schema_unevaluated_properties(machine, schema, &fields));
    if (fields.at[KEY_UNEVALUATED_ITEMS] && result.array && machine->failed == CLOZE_OK)
        result.array = cz_formula_and(machine, result.array,
                                      cz_schema_unevaluated_items(machine, schema, &fields));
    return result;
}

struct cz_typed cz_schema_expand(struct cz_machine *machine, uint32_t id)
{
    struct cz_schemas *schemas = machine->schemas;
    struct schema schema = schemas->schemas[id];
    const struct cz_json *outer = schemas->current;
    struct cz_typed result = CZ_TYPED_NONE;
    schemas->current = schema.node;
    if (schema.node->kind == CZ_JSON_TRUE)
        result = CZ_TYPED_ANY;
    else if (schema.node->kind == CZ_JSON_OBJECT)
        result = expand_object(machine, schema);
    else if (schema.node->kind != CZ_JSON_FALSE)
        cz_schema_fail(machine, CLOZE_INVALID, CZ_SLICE(""),
                       "a schema must be an object, true or false, not %s",
                       cz_json_kind_name(schema.node));
    if (machine->failed != CLOZE_OK && !machine->error.where[0]) {
        struct cz_buffer place = {0};
        cz_schema_place(machine, schema.node, CZ_SLICE(""), &place);
        snprintf(machine->error.where, sizeof machine->error.where, "%s", cz_buffer_text(&place));
        cz_buffer_free(&place);
    }
    if (machine->failed == CLOZE_OK)
        schemas->current = outer;
    return result;
}

bool cz_schema_is_plain(struct cz_machine *machine, uint32_t id)
{
    const struct cz_json *node = machine->schemas->schemas[id].node;
    if (node->kind != CZ_JSON_OBJECT)
        return true;
    CZ_JSON_EACH(member, node) {
        enum keyword keyword = cz_keyword_find(cz_json_key(member));
        if (keyword == KEY_REF || keyword == KEY_DYNAMIC_REF || keyword == KEY_RECURSIVE_REF ||
            (cz_keyword_shape(keyword) != SHAPE_NONE && keyword != KEY_DEFS &&
             keyword != KEY_DEFINITIONS))
            return false;
    }
    return true;
}

/* ---- The whole ---- */

void cz_schemas_free(struct cz_schemas *schemas)
{
    if (!schemas)
        return;
    cz_heap_free(schemas->resources);
    cz_heap_free(schemas->anchors);
    cz_heap_free(schemas->schemas);
    cz_heap_free(schemas->remarks);
    cz_intern_free(&schemas->schema_keys);
    cz_intern_free(&schemas->scopes);
    cz_arena_free(&schemas->arena);
    cz_heap_free(schemas);
}

size_t cz_schemas_bytes(const struct cz_schemas *schemas)
{
    if (!schemas)
        return 0;
    return sizeof *schemas + schemas->arena.total +
           schemas->resource_capacity * sizeof *schemas->resources +
           schemas->anchor_capacity * sizeof *schemas->anchors +
           schemas->schema_capacity * sizeof *schemas->schemas +
           schemas->remark_capacity * sizeof *schemas->remarks +
           cz_intern_bytes(&schemas->schema_keys) + cz_intern_bytes(&schemas->scopes);
}

static struct cz_schemas *schemas_create(void)
{
    struct cz_schemas *schemas = cz_heap_zeroed(1, sizeof *schemas);
    if (schemas)
        cz_intern_add(&schemas->scopes, (uint32_t[]){UINT32_MAX, 0}, 2, NULL); /* 0: no scope */
    return schemas;
}

cloze_status cz_schema_compile(struct cz_machine *machine, struct cz_slice source, cz_value *out,
                               struct cloze_error *error)
{
    uint32_t resource;
    char name[32] = "";
    if (!machine->schemas && !(machine->schemas = schemas_create()))
        return cz_fail_memory(error, "a schema");
    struct cz_schemas *schemas = machine->schemas;
    struct cz_slice text = {cz_arena_text(&schemas->arena, source), source.size};
    if (schemas->resource_count) /* one of several schemas inside a grammar */
        snprintf(name, sizeof name, "cloze:schema-%u", schemas->resource_count);
    struct cz_slice uri = cz_slice(cz_arena_text(&schemas->arena, cz_slice(name)));
    if (!text.data || !uri.data)
        return cz_fail_memory(error, "a schema");
    schemas->current = NULL;
    /* dynamic scopes are kept from the start when a document that may come in needs them */
    for (size_t i = 0; i < machine->options.resource_count; i++) {
        struct cz_slice given = machine->options.resources[i].text;
        schemas->dynamic |= memmem(given.data, given.size, "$dynamicRef", 11) ||
                            memmem(given.data, given.size, "$recursiveRef", 13);
    }
    if (!cz_schema_add_document(machine, uri, text, DRAFT_2020, &resource, &machine->error))
        return cz_machine_status(machine, error);
    struct schema root = {schemas->resources[resource].root, resource, 0};
    *out = cz_schema_value(machine, root.node, root);
    return cz_machine_status(machine, error);
}
