/*
 * rules.c - building and checking rule sets.
 *
 * Left recursion is resolved by analysis: where a rule can begin with itself, followed by G, the rule
 * is what it is without that, followed by any number of Gs. The machine pushes that loop when it
 * enters the rule and cuts the rule's re-entry.
 */
#include "constraint/rules_internal.h"

#include "base/heap.h"

enum { CORNER_DEPTH = 200, LOOP_LIMIT = 4096 };

static cz_symbol fail(struct cz_rules *rules, cloze_status status)
{
    if (rules->failed == CLOZE_OK)
        rules->failed = status;
    return CZ_SYMBOL_NONE;
}

static cz_symbol add(struct cz_rules *rules, const uint32_t *words, uint32_t count)
{
    if (rules->symbols.count > CZ_RULES_LIMIT)
        return fail(rules, CLOZE_LIMIT);
    uint32_t id = cz_intern_add(&rules->symbols, words, count, NULL);
    return id == UINT32_MAX ? fail(rules, CLOZE_MEMORY) : id;
}

struct cz_rules *cz_rules_create(struct cz_expr_store *store)
{
    struct cz_rules *rules = cz_heap_zeroed(1, sizeof *rules);
    if (!rules)
        return NULL;
    rules->exprs = store;
    const uint32_t none = SYMBOL_NONE, empty = SYMBOL_EMPTY;
    if (add(rules, &none, 1) != CZ_SYMBOL_NONE || add(rules, &empty, 1) != CZ_SYMBOL_EMPTY) {
        cz_rules_free(rules);
        return NULL;
    }
    return rules;
}

void cz_rules_free(struct cz_rules *rules)
{
    if (!rules)
        return;
    for (uint32_t i = 0; i < rules->rule_count; i++)
        cz_heap_free(rules->rules[i].loops);
    cz_heap_free(rules->rules);
    cz_heap_free(rules->schemas);
    cz_map_free(&rules->names);
    cz_intern_free(&rules->symbols);
    cz_arena_free(&rules->arena);
    cz_heap_free(rules);
}

size_t cz_rules_bytes(const struct cz_rules *rules)
{
    if (!rules)
        return 0;
    return sizeof *rules + rules->arena.total + rules->rule_capacity * sizeof *rules->rules +
           rules->schema_capacity * sizeof *rules->schemas +
           rules->names.capacity * sizeof *rules->names.entries + cz_intern_bytes(&rules->symbols);
}

struct cz_expr_store *cz_rules_expr_store(struct cz_rules *rules)
{
    return rules->exprs;
}

cz_rule cz_rules_rule(struct cz_rules *rules, struct cz_slice name)
{
    uint64_t known;
    if (cz_map_get(&rules->names, name, &known))
        return (cz_rule)known;
    char *copy = cz_arena_text(&rules->arena, name);
    struct cz_slice kept = cz_slice_of(copy, name.size);
    if (rules->rule_count >= CZ_RULES_LIMIT)
        return fail(rules, CLOZE_LIMIT);
    if (!copy || !cz_machine_grow(NULL, (void **)&rules->rules, rules->rule_count,
                                  &rules->rule_capacity, sizeof *rules->rules) ||
        !cz_map_set(&rules->names, kept, rules->rule_count))
        return fail(rules, CLOZE_MEMORY);
    rules->rules[rules->rule_count] = (struct rule){.name = kept};
    return rules->rule_count++;
}

bool cz_rules_is_defined(const struct cz_rules *rules, cz_rule rule)
{
    return rule < rules->rule_count && rules->rules[rule].body != CZ_SYMBOL_NONE;
}

void cz_rules_define(struct cz_rules *rules, cz_rule rule, cz_symbol body)
{
    if (rule < rules->rule_count)
        rules->rules[rule].body = body;
}

void cz_rules_set_root(struct cz_rules *rules, cz_rule rule)
{
    rules->root = rule;
    rules->has_root = true;
}

cz_symbol cz_rules_terminal(struct cz_rules *rules, cz_expr expr)
{
    if (expr == CZ_EXPR_EMPTY)
        return CZ_SYMBOL_EMPTY;
    return add(rules, (uint32_t[]){SYMBOL_TERMINAL, expr}, 2);
}

cz_symbol cz_rules_reference(struct cz_rules *rules, cz_rule rule)
{
    return add(rules, (uint32_t[]){SYMBOL_REFERENCE, rule}, 2);
}

static cz_symbol add_list(struct cz_rules *rules, uint32_t kind, const cz_symbol *parts,
                          size_t count)
{
    uint32_t kept = 1;
    if (count > CZ_RULES_LIMIT)
        return fail(rules, CLOZE_LIMIT);
    uint32_t *words = cz_heap_alloc((count + 1) * sizeof *words);
    if (!words)
        return fail(rules, CLOZE_MEMORY);
    words[0] = kind;
    for (size_t i = 0; i < count; i++) {
        if (parts[i] != CZ_SYMBOL_EMPTY || kind == SYMBOL_CHOICE)
            words[kept++] = parts[i];
    }
    cz_symbol result = kept == 1 ? (cz_symbol)CZ_SYMBOL_EMPTY
                       : kept == 2 ? words[1]
                                   : add(rules, words, kept);
    cz_heap_free(words);
    return result;
}

cz_symbol cz_rules_sequence(struct cz_rules *rules, const cz_symbol *parts, size_t count)
{
    return add_list(rules, SYMBOL_SEQUENCE, parts, count);
}

cz_symbol cz_rules_choice(struct cz_rules *rules, const cz_symbol *parts, size_t count)
{
    return add_list(rules, SYMBOL_CHOICE, parts, count);
}

cz_symbol cz_rules_repeat(struct cz_rules *rules, cz_symbol part, uint32_t minimum,
                          uint32_t maximum)
{
    if (part == CZ_SYMBOL_EMPTY || maximum == 0)
        return CZ_SYMBOL_EMPTY;
    if (minimum == 1 && maximum == 1)
        return part;
    return add(rules, (uint32_t[]){SYMBOL_REPEAT, part, minimum, maximum}, 4);
}

cz_symbol cz_rules_token(struct cz_rules *rules, uint32_t token)
{
    return add(rules, (uint32_t[]){SYMBOL_TOKEN, token}, 2);
}

cz_symbol cz_rules_json_schema(struct cz_rules *rules, struct cz_slice schema, const char *where)
{
    struct embedded made = {.size = schema.size};
    made.text = cz_arena_text(&rules->arena, schema);
    made.where = cz_arena_text(&rules->arena, cz_slice(where ? where : ""));
    if (!made.text || !made.where ||
        !cz_machine_grow(NULL, (void **)&rules->schemas, rules->schema_count,
                         &rules->schema_capacity, sizeof *rules->schemas))
        return fail(rules, CLOZE_MEMORY);
    rules->schemas[rules->schema_count] = made;
    return add(rules, (uint32_t[]){SYMBOL_SCHEMA, rules->schema_count++}, 2);
}

cz_symbol cz_rules_loop(struct cz_rules *rules, cz_rule rule)
{
    return add(rules, (uint32_t[]){SYMBOL_LOOP, rule}, 2);
}

/* ---- Analysis ---- */

bool cz_symbol_nullable(const struct cz_rules *rules, cz_symbol symbol)
{
    const uint32_t *words = cz_intern_get(&rules->symbols, symbol);
    uint32_t size = cz_intern_size(&rules->symbols, symbol);
    switch (words[0]) {
    case SYMBOL_EMPTY:
    case SYMBOL_LOOP:
        return true;
    case SYMBOL_TERMINAL:
        return cz_expr_nullable(rules->exprs, words[1]);
    case SYMBOL_REFERENCE:
        return rules->rules[words[1]].nullable;
    case SYMBOL_REPEAT:
        return words[2] == 0 || cz_symbol_nullable(rules, words[1]);
    case SYMBOL_SEQUENCE:
    case SYMBOL_CHOICE:
        for (uint32_t i = 1; i < size; i++) {
            if (cz_symbol_nullable(rules, words[i]) == (words[0] == SYMBOL_CHOICE))
                return words[0] == SYMBOL_CHOICE;
        }
        return words[0] == SYMBOL_SEQUENCE;
    default:
        return false;
    }
}

bool cz_symbol_alive(const struct cz_rules *rules, cz_symbol symbol)
{
    const uint32_t *words = cz_intern_get(&rules->symbols, symbol);
    uint32_t size = cz_intern_size(&rules->symbols, symbol);
    switch (words[0]) {
    case SYMBOL_NONE:
        return false;
    case SYMBOL_TERMINAL:
        return cz_expr_alive(rules->exprs, words[1]);
    case SYMBOL_REFERENCE:
        return rules->rules[words[1]].alive;
    case SYMBOL_REPEAT:
        return words[2] == 0 || cz_symbol_alive(rules, words[1]);
    case SYMBOL_SEQUENCE:
    case SYMBOL_CHOICE:
        for (uint32_t i = 1; i < size; i++) {
            if (cz_symbol_alive(rules, words[i]) == (words[0] == SYMBOL_CHOICE))
                return words[0] == SYMBOL_CHOICE;
        }
        return words[0] == SYMBOL_SEQUENCE;
    default:
        return true;
    }
}

static void settle_flags(struct cz_rules *rules)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < rules->rule_count; i++) {
            struct rule *rule = &rules->rules[i];
            bool nullable = cz_symbol_nullable(rules, rule->body);
            bool alive = cz_symbol_alive(rules, rule->body);
            changed |= nullable != rule->nullable || alive != rule->alive;
            rule->nullable = nullable;
            rule->alive = alive;
        }
    }
}

/* A walk down the left corner of one rule. */
struct corner {
    struct cz_rules *rules;
    cz_rule target;
    cz_rule path[CORNER_DEPTH];
    uint32_t depth, paths;
    bool alone; /* the rule can derive itself and nothing else */
};

static void found_loop(struct corner *corner, cz_symbol rest)
{
    struct cz_rules *rules = corner->rules;
    struct rule *rule = &rules->rules[corner->target];
    rule->left_recursive = true;
    if (rest == CZ_SYMBOL_EMPTY) {
        corner->alone = true;
        return;
    }
    for (uint32_t i = 0; i < rule->loop_count; i++) {
        if (rule->loops[i] == rest)
            return;
    }
    if (rule->loop_count >= LOOP_LIMIT ||
        !cz_machine_grow(NULL, (void **)&rule->loops, rule->loop_count, &rule->loop_capacity,
                         sizeof *rule->loops)) {
        fail(rules, CLOZE_LIMIT);
        return;
    }
    rule->loops[rule->loop_count++] = rest;
}

/* `rest` is what follows `symbol` on the way up to the target. */
static void walk_corner(struct corner *corner, cz_symbol symbol, cz_symbol rest)
{
    struct cz_rules *rules = corner->rules;
    const uint32_t *words = cz_intern_get(&rules->symbols, symbol);
    uint32_t size = cz_intern_size(&rules->symbols, symbol), kind = words[0], first = words[1];
    if (corner->depth + 1 >= CORNER_DEPTH || corner->paths++ > LOOP_LIMIT * 16) {
        fail(rules, CLOZE_LIMIT);
        return;
    }
    if (kind == SYMBOL_REFERENCE && first == corner->target) {
        found_loop(corner, rest);
    } else if (kind == SYMBOL_REFERENCE) {
        for (uint32_t i = 0; i < corner->depth; i++) {
            if (corner->path[i] == first)
                return;
        }
        cz_symbol loop = cz_rules_loop(rules, first);
        cz_symbol behind = cz_rules_sequence(rules, (cz_symbol[]){loop, rest}, 2);
        corner->path[corner->depth++] = first;
        walk_corner(corner, rules->rules[first].body, behind);
        corner->depth--;
    } else if (kind == SYMBOL_CHOICE) {
        for (uint32_t i = 1; i < size; i++)
            walk_corner(corner, cz_intern_get(&rules->symbols, symbol)[i], rest);
    } else if (kind == SYMBOL_SEQUENCE) {
        for (uint32_t i = 1; i < size; i++) {
            words = cz_intern_get(&rules->symbols, symbol);
            cz_symbol part = words[i];
            cz_symbol *parts = cz_heap_alloc((size - i + 1) * sizeof *parts);
            if (!parts)
                return;
            memcpy(parts, words + i + 1, (size - i - 1) * sizeof *parts);
            parts[size - i - 1] = rest;
            cz_symbol behind = cz_rules_sequence(rules, parts, size - i);
            cz_heap_free(parts);
            walk_corner(corner, part, behind);
            if (!cz_symbol_nullable(rules, part))
                break;
        }
    } else if (kind == SYMBOL_REPEAT) {
        uint32_t low = words[2] ? words[2] - 1 : 0;
        uint32_t high = words[3] == CZ_EXPR_UNBOUNDED ? words[3] : words[3] - 1;
        cz_symbol again = high ? cz_rules_repeat(rules, first, low, high)
                               : (cz_symbol)CZ_SYMBOL_EMPTY;
        walk_corner(corner, first, cz_rules_sequence(rules, (cz_symbol[]){again, rest}, 2));
    }
}

cloze_status cz_rules_check(struct cz_rules *rules, struct cloze_error *error)
{
    if (rules->failed == CLOZE_MEMORY)
        return cz_fail_memory(error, "a grammar");
    if (rules->failed != CLOZE_OK)
        return cz_fail(error, rules->failed, NULL, "the grammar has more than %d rules or symbols",
                       CZ_RULES_LIMIT);
    if (!rules->has_root)
        return cz_fail(error, CLOZE_INVALID, NULL, "the grammar has no start rule");
    for (uint32_t i = 0; i < rules->rule_count; i++) {
        if (rules->rules[i].body == CZ_SYMBOL_NONE)
            return cz_fail(error, CLOZE_INVALID, rules->rules[i].name.data,
                           "the rule '%s' is used and not defined", rules->rules[i].name.data);
    }
    settle_flags(rules);
    if (!rules->rules[rules->root].alive)
        return cz_fail(error, CLOZE_UNSATISFIABLE, rules->rules[rules->root].name.data,
                       "the grammar matches nothing");
    for (uint32_t i = 0; i < rules->rule_count; i++) {
        struct corner corner = {.rules = rules, .target = i};
        walk_corner(&corner, rules->rules[i].body, CZ_SYMBOL_EMPTY);
    }
    if (rules->failed != CLOZE_OK)
        return cz_fail(error, rules->failed, NULL, "the grammar's left recursion is too deep");
    return CLOZE_OK;
}
