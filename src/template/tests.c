/* tests.c - what may stand behind "is". */
#include "template/node.h"

#include <unicase.h>

#define TEST(name)                                                                                 \
    static cloze_status name(struct cz_render *render, const struct cz_value *self,                \
                             const struct cz_arguments *arguments, struct cz_value *out)

#define TYPE_TEST(name, condition)                                                                 \
    TEST(name)                                                                                     \
    {                                                                                              \
        (void)render;                                                                              \
        (void)arguments;                                                                           \
        *out = cz_value_boolean(condition);                                                        \
        return CLOZE_OK;                                                                           \
    }

TYPE_TEST(test_defined, self->type != CZ_UNDEFINED)
TYPE_TEST(test_undefined, self->type == CZ_UNDEFINED)
TYPE_TEST(test_none, self->type == CZ_NONE)
TYPE_TEST(test_boolean, self->type == CZ_BOOLEAN)
TYPE_TEST(test_true, self->type == CZ_BOOLEAN && self->boolean)
TYPE_TEST(test_false, self->type == CZ_BOOLEAN && !self->boolean)
TYPE_TEST(test_integer, self->type == CZ_INTEGER || self->type == CZ_BIG)
TYPE_TEST(test_float, self->type == CZ_FLOAT)
TYPE_TEST(test_number, cz_value_is_number(self) || self->type == CZ_BIG)
TYPE_TEST(test_string, self->type == CZ_STRING)
TYPE_TEST(test_mapping, self->type == CZ_DICT)
TYPE_TEST(test_sequence, self->type == CZ_LIST || self->type == CZ_TUPLE ||
                             self->type == CZ_STRING || self->type == CZ_DICT ||
                             self->type == CZ_UNDEFINED)
TYPE_TEST(test_iterable, self->type == CZ_LIST || self->type == CZ_TUPLE ||
                             self->type == CZ_STRING || self->type == CZ_DICT ||
                             self->type == CZ_UNDEFINED)
TYPE_TEST(test_callable,
          self->type == CZ_MACRO || self->type == CZ_FUNCTION || self->type == CZ_METHOD)

static cloze_status remainder_of(struct cz_render *render, const struct cz_value *self,
                                 int64_t divisor, int64_t expected, struct cz_value *out)
{
    struct cz_value by = cz_value_integer(divisor), rest, wanted = cz_value_integer(expected);
    cloze_status status = cz_value_binary(render, CZ_OP_MODULO, self, &by, &rest);
    *out = cz_value_boolean(!status && cz_value_equal(&rest, &wanted));
    return status;
}

TEST(test_even)
{
    (void)arguments;
    return remainder_of(render, self, 2, 0, out);
}

TEST(test_odd)
{
    (void)arguments;
    return remainder_of(render, self, 2, 1, out);
}

TEST(test_divisibleby)
{
    int64_t divisor;
    cloze_status status = cz_value_argument_integer(render, &arguments->values[0], 0, &divisor);
    return status ? status : remainder_of(render, self, divisor, 0, out);
}

static cloze_status compare(struct cz_render *render, enum cz_operator op,
                            const struct cz_value *self, const struct cz_arguments *arguments,
                            struct cz_value *out)
{
    bool holds = false;
    cloze_status status = cz_value_compare(render, op, self, &arguments->values[0], &holds);
    *out = cz_value_boolean(holds);
    return status;
}

#define COMPARE_TEST(name, op)                                                                     \
    TEST(name)                                                                                     \
    {                                                                                              \
        return compare(render, op, self, arguments, out);                                          \
    }

COMPARE_TEST(test_eq, CZ_OP_EQUAL)
COMPARE_TEST(test_ne, CZ_OP_UNEQUAL)
COMPARE_TEST(test_lt, CZ_OP_LESS)
COMPARE_TEST(test_le, CZ_OP_LESS_EQUAL)
COMPARE_TEST(test_gt, CZ_OP_GREATER)
COMPARE_TEST(test_ge, CZ_OP_GREATER_EQUAL)
COMPARE_TEST(test_in, CZ_OP_IN)

/* Identity: for what has none of its own, equality within one type. */
TEST(test_sameas)
{
    (void)render;
    const struct cz_value *other = &arguments->values[0];
    bool shared = self->type == CZ_LIST || self->type == CZ_TUPLE || self->type == CZ_DICT ||
                  self->type == CZ_NAMESPACE;
    *out = cz_value_boolean(self->type == other->type &&
                            (shared ? self->dict == other->dict : cz_value_equal(self, other)));
    return CLOZE_OK;
}

static cloze_status is_case(struct cz_render *render, const struct cz_value *self,
                            enum cz_case mode, enum cz_case other, struct cz_value *out)
{
    struct cz_value text, same, opposite;
    cloze_status status = cz_value_to_string(render, self, &text);
    if (!status)
        status = cz_value_change_case(render, text.text, mode, &same);
    if (!status)
        status = cz_value_change_case(render, text.text, other, &opposite);
    *out = cz_value_boolean(!status && cz_value_equal(&text, &same) &&
                            !cz_value_equal(&text, &opposite));
    return status;
}

TEST(test_upper)
{
    (void)arguments;
    return is_case(render, self, CZ_UPPER, CZ_LOWER, out);
}

TEST(test_lower)
{
    (void)arguments;
    return is_case(render, self, CZ_LOWER, CZ_UPPER, out);
}

static const struct cz_builtin tests[] = {
    {"boolean", "", test_boolean},
    {"callable", "", test_callable},
    {"defined", "", test_defined},
    {"divisibleby", "num", test_divisibleby},
    {"eq", "other", test_eq},
    {"equalto", "other", test_eq},
    {"even", "", test_even},
    {"false", "", test_false},
    {"float", "", test_float},
    {"ge", "other", test_ge},
    {"greaterthan", "other", test_gt},
    {"gt", "other", test_gt},
    {"in", "seq", test_in},
    {"integer", "", test_integer},
    {"iterable", "", test_iterable},
    {"le", "other", test_le},
    {"lessthan", "other", test_lt},
    {"lower", "", test_lower},
    {"lt", "other", test_lt},
    {"mapping", "", test_mapping},
    {"ne", "other", test_ne},
    {"none", "", test_none},
    {"number", "", test_number},
    {"odd", "", test_odd},
    {"sameas", "other", test_sameas},
    {"sequence", "", test_sequence},
    {"string", "", test_string},
    {"true", "", test_true},
    {"undefined", "", test_undefined},
    {"upper", "", test_upper},
    {NULL, NULL, NULL},
};

const struct cz_builtin *cz_template_test(struct cz_slice name)
{
    return cz_template_builtin(tests, name);
}
