/*
 * formula_disjoint.c - whether it is plain from their form that no container meets two formulas.
 */
#include "constraint/formula_internal.h"

/* What the ALL leaves of a conjunction say of a member, as a value. */
static cz_value value_by(struct cz_machine *machine, cz_formula formula,
                         const struct cz_member *member)
{
    uint32_t kind = cz_formula_kind(machine, formula), size = cz_formula_size(machine, formula);
    cz_value value = CZ_VALUE_ANY;
    if (kind == FORMULA_ALL)
        return cz_props_value(machine, cz_formula_words(machine, formula)[1], member);
    if (kind == FORMULA_FORBID && cz_formula_words(machine, formula)[1] == member->key)
        return CZ_VALUE_NONE;
    for (uint32_t i = 1; kind == FORMULA_AND && i < size; i++)
        value = cz_value_and(machine, value,
                             value_by(machine, cz_formula_words(machine, formula)[i], member));
    return value;
}

/* A key that one side requires can have no value that suits both. */
static bool apart_by_key(struct cz_machine *machine, cz_formula a, cz_formula b, cz_key key)
{
    struct cz_member member = {.key = key};
    cz_value x = value_by(machine, a, &member), y = value_by(machine, b, &member);
    struct cz_typed first, second;
    if (x == CZ_VALUE_NONE || y == CZ_VALUE_NONE)
        return true;
    if (!cz_value_is_plain(machine, x) || !cz_value_is_plain(machine, y))
        return false;
    first = cz_value_expand(machine, x);
    second = cz_value_expand(machine, y);
    first = cz_typed_and(machine, first, second);
    return !first.literals && !first.array && !first.object &&
           !cz_numbers_alive(machine->numbers, first.number) &&
           !cz_expr_alive(machine->exprs, first.string);
}

static bool apart_by_requirements(struct cz_machine *machine, cz_formula a, cz_formula b,
                                  cz_formula of)
{
    uint32_t kind = cz_formula_kind(machine, of), size = cz_formula_size(machine, of);
    if (kind == FORMULA_REQUIRE)
        return apart_by_key(machine, a, b, cz_formula_words(machine, of)[1]);
    for (uint32_t i = 1; kind == FORMULA_AND && i < size; i++) {
        cz_formula leaf = cz_formula_words(machine, of)[i];
        if (cz_formula_kind(machine, leaf) == FORMULA_REQUIRE &&
            apart_by_key(machine, a, b, cz_formula_words(machine, leaf)[1]))
            return true;
    }
    return false;
}

/* Whether some undeclared key is good for it, by its ALL leaves alone. */
static bool takes_any_key(const struct cz_machine *machine, cz_formula formula)
{
    const uint32_t *words = cz_formula_words(machine, formula);
    uint32_t size = cz_formula_size(machine, formula);
    if (words[0] == FORMULA_ALL) {
        const struct cz_props *props = machine->props[words[1]];
        return !props->pattern_count && props->other == CZ_VALUE_ANY;
    }
    for (uint32_t i = 1; words[0] == FORMULA_AND && i < size; i++) {
        if (!takes_any_key(machine, words[i]))
            return false;
    }
    return true;
}

/* One side wants a member, and no key is good for both. */
static bool apart_by_count(struct cz_machine *machine, cz_formula a, cz_formula b)
{
    uint32_t id;
    if ((cz_formula_nullable(machine, a) && cz_formula_nullable(machine, b)) ||
        (takes_any_key(machine, a) && takes_any_key(machine, b)))
        return false;
    const struct cz_keyset *keyset = cz_keyset_of(machine, cz_formula_and(machine, a, b), &id);
    for (uint32_t i = 0; keyset && i < keyset->count + keyset->class_count; i++) {
        bool named = i < keyset->count;
        struct cz_member member = {named ? keyset->keys[i] : UINT32_MAX, keyset,
                                   named ? 0 : i - keyset->count};
        if (value_by(machine, a, &member) != CZ_VALUE_NONE &&
            value_by(machine, b, &member) != CZ_VALUE_NONE)
            return false;
    }
    return keyset != NULL;
}

bool cz_formulas_disjoint(struct cz_machine *machine, cz_formula a, cz_formula b)
{
    uint32_t size_a = cz_formula_size(machine, a), size_b = cz_formula_size(machine, b);
    uint32_t kind_a = cz_formula_kind(machine, a), kind_b = cz_formula_kind(machine, b);
    if (kind_a == FORMULA_OR || kind_a == FORMULA_ONE) {
        for (uint32_t i = 1; i < size_a; i++) {
            if (!cz_formulas_disjoint(machine, cz_formula_words(machine, a)[i], b))
                return false;
        }
        return true;
    }
    if (kind_b == FORMULA_OR || kind_b == FORMULA_ONE) {
        for (uint32_t i = 1; i < size_b; i++) {
            if (!cz_formulas_disjoint(machine, a, cz_formula_words(machine, b)[i]))
                return false;
        }
        return true;
    }
    return apart_by_requirements(machine, a, b, a) || apart_by_requirements(machine, a, b, b) ||
           apart_by_count(machine, a, b);
}
