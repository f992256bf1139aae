/* operators.c - arithmetic, comparison and slicing as Python does them, within 64 bits. */
#include "base/size.h"
#include "template/node.h"

#include <math.h>

static cloze_status bad_operands(struct cz_render *render, const char *symbol,
                                 const struct cz_value *a, const struct cz_value *b)
{
    if (a->type == CZ_UNDEFINED || b->type == CZ_UNDEFINED) {
        const struct cz_value *undefined = a->type == CZ_UNDEFINED ? a : b;
        return cz_template_fail(render, CLOZE_INVALID, "%.*s is undefined",
                                undefined->text ? (int)cz_size_min(undefined->text->size, 100) : 7,
                                undefined->text ? undefined->text->data : "a value");
    }
    return cz_template_fail(render, CLOZE_INVALID, "%s is not defined for %s and %s", symbol,
                            cz_value_type_name(a), cz_value_type_name(b));
}

static bool is_whole(const struct cz_value *value)
{
    return value->type == CZ_INTEGER || value->type == CZ_BOOLEAN;
}

static int64_t whole(const struct cz_value *value)
{
    return value->type == CZ_BOOLEAN ? value->boolean : value->integer;
}

static int64_t floor_divide(int64_t a, int64_t b)
{
    int64_t quotient = a / b;
    return quotient - (a % b != 0 && (a < 0) != (b < 0));
}

static bool power(int64_t base, int64_t exponent, int64_t *out)
{
    *out = 1;
    for (int64_t i = 0; i < exponent; i++) {
        if (base == 0 || base == 1 || base == -1) {
            *out = exponent % 2 || base == 0 ? base : 1;
            return true;
        }
        if (__builtin_mul_overflow(*out, base, out))
            return false;
    }
    return true;
}

static cloze_status compute_whole(struct cz_render *render, enum cz_operator op, int64_t a,
                                  int64_t b, struct cz_value *out)
{
    bool fits = true;
    int64_t result = 0;
    if ((op == CZ_OP_FLOOR_DIVIDE || op == CZ_OP_MODULO) && b == 0)
        return cz_template_fail(render, CLOZE_INVALID, "division by zero");
    switch (op) {
    case CZ_OP_ADD:
        fits = !__builtin_add_overflow(a, b, &result);
        break;
    case CZ_OP_SUBTRACT:
        fits = !__builtin_sub_overflow(a, b, &result);
        break;
    case CZ_OP_MULTIPLY:
        fits = !__builtin_mul_overflow(a, b, &result);
        break;
    case CZ_OP_POWER:
        fits = power(a, b, &result);
        break;
    case CZ_OP_FLOOR_DIVIDE:
        fits = b != -1 || a != INT64_MIN;
        result = fits ? floor_divide(a, b) : 0;
        break;
    default: /* modulo */
        result = b == -1 ? 0 : a - floor_divide(a, b) * b;
        break;
    }
    *out = cz_value_integer(result);
    return fits ? CLOZE_OK
                : cz_template_fail(render, CLOZE_LIMIT, "an integer grows beyond 64 bits");
}

static cloze_status compute_double(struct cz_render *render, enum cz_operator op, double a,
                                   double b, struct cz_value *out)
{
    bool divides = op == CZ_OP_DIVIDE || op == CZ_OP_FLOOR_DIVIDE || op == CZ_OP_MODULO;
    if (divides && b == 0)
        return cz_template_fail(render, CLOZE_INVALID, "division by zero");
    double remainder = divides ? fmod(a, b) : 0;
    if (remainder != 0 && (remainder < 0) != (b < 0))
        remainder += b;
    *out = cz_value_number(op == CZ_OP_ADD            ? a + b
                           : op == CZ_OP_SUBTRACT     ? a - b
                           : op == CZ_OP_MULTIPLY     ? a * b
                           : op == CZ_OP_DIVIDE       ? a / b
                           : op == CZ_OP_FLOOR_DIVIDE ? floor(a / b)
                           : op == CZ_OP_MODULO       ? remainder
                                                      : pow(a, b));
    return CLOZE_OK;
}

static cloze_status repeat(struct cz_render *render, const struct cz_value *text, int64_t times,
                           struct cz_value *out)
{
    struct cz_writer writer = {.bytes.maximum = CZ_TEMPLATE_MAXIMUM_OUTPUT};
    if (text->text->size == 0)
        times = 0;
    for (int64_t i = 0; i < times && !writer.bytes.failed; i++)
        cz_text_write_text(&writer, text->text);
    return cz_text_writer_take(render, &writer, out);
}

static cloze_status join_lists(struct cz_render *render, const struct cz_value *a,
                               const struct cz_value *b, struct cz_value *out)
{
    struct cz_value *items;
    cloze_status status =
        cz_value_make_list(render, a->type, a->list->count + b->list->count, out, &items);
    if (status)
        return status;
    memcpy(items, a->list->items, a->list->count * sizeof *items);
    memcpy(items + a->list->count, b->list->items, b->list->count * sizeof *items);
    return CLOZE_OK;
}

/* As Python's str, and markupsafe's Markup where one of the two is safe. */
static cloze_status join_texts(struct cz_render *render, const struct cz_value *a,
                               const struct cz_value *b, struct cz_value *out)
{
    bool safe = a->text->safe || b->text->safe;
    struct cz_value left = *a, right = *b;
    cloze_status status = safe ? cz_value_escape(render, a->text, &left) : CLOZE_OK;
    if (!status && safe)
        status = cz_value_escape(render, b->text, &right);
    if (status)
        return status;
    struct cz_writer writer = {.bytes.maximum = CZ_TEMPLATE_MAXIMUM_OUTPUT};
    cz_text_write_text(&writer, left.text);
    cz_text_write_text(&writer, right.text);
    status = cz_text_writer_take(render, &writer, out);
    if (!status)
        ((struct cz_text *)out->text)->safe = safe;
    return status;
}

cloze_status cz_value_binary(struct cz_render *render, enum cz_operator op,
                             const struct cz_value *a, const struct cz_value *b,
                             struct cz_value *out)
{
    static const char *const symbols[] = {"+", "-", "*", "/", "//", "%", "**"};
    if (cz_value_is_number(a) && cz_value_is_number(b)) {
        bool negative_power = op == CZ_OP_POWER && is_whole(b) && whole(b) < 0;
        if (is_whole(a) && is_whole(b) && op != CZ_OP_DIVIDE && !negative_power)
            return compute_whole(render, op, whole(a), whole(b), out);
        return compute_double(render, op, cz_value_as_double(a), cz_value_as_double(b), out);
    }
    bool lists = (a->type == CZ_LIST || a->type == CZ_TUPLE) && a->type == b->type;
    if (op == CZ_OP_ADD && lists)
        return join_lists(render, a, b, out);
    if (op == CZ_OP_ADD && a->type == CZ_STRING && b->type == CZ_STRING)
        return join_texts(render, a, b, out);
    if (op == CZ_OP_MULTIPLY && a->type == CZ_STRING && is_whole(b))
        return repeat(render, a, whole(b), out);
    if (op == CZ_OP_MULTIPLY && is_whole(a) && b->type == CZ_STRING)
        return repeat(render, b, whole(a), out);
    if (op == CZ_OP_MODULO && a->type == CZ_STRING)
        return cz_template_fail(render, CLOZE_UNSUPPORTED, "formatting with %% is not supported");
    return bad_operands(render, symbols[op], a, b);
}

cloze_status cz_value_unary(struct cz_render *render, enum cz_operator op, const struct cz_value *a,
                            struct cz_value *out)
{
    if (op == CZ_OP_NOT) {
        *out = cz_value_boolean(!cz_value_truth(a));
        return CLOZE_OK;
    }
    if (a->type == CZ_FLOAT) {
        *out = cz_value_number(op == CZ_OP_NEGATE ? -a->number : a->number);
        return CLOZE_OK;
    }
    struct cz_value zero = cz_value_integer(0);
    return cz_value_binary(render, op == CZ_OP_NEGATE ? CZ_OP_SUBTRACT : CZ_OP_ADD, &zero, a, out);
}

/* ---- Comparison ---- */

static cloze_status contains(struct cz_render *render, const struct cz_value *item,
                             const struct cz_value *container, bool *out)
{
    switch (container->type) {
    case CZ_STRING:
        if (item->type != CZ_STRING)
            return bad_operands(render, "in", item, container);
        *out = item->text->size == 0 || memmem(container->text->data, container->text->size,
                                               item->text->data, item->text->size) != NULL;
        return CLOZE_OK;
    case CZ_DICT:
        *out = cz_value_dict_find(container->dict, *item) != NULL;
        return CLOZE_OK;
    case CZ_UNDEFINED:
        *out = false;
        return CLOZE_OK;
    case CZ_LIST:
    case CZ_TUPLE:
        *out = false;
        for (size_t i = 0; i < container->list->count && !*out; i++)
            *out = cz_value_equal(item, &container->list->items[i]);
        return CLOZE_OK;
    default:
        return bad_operands(render, "in", item, container);
    }
}

cloze_status cz_value_compare(struct cz_render *render, enum cz_operator op,
                              const struct cz_value *a, const struct cz_value *b, bool *out)
{
    if (op == CZ_OP_EQUAL || op == CZ_OP_UNEQUAL) {
        *out = cz_value_equal(a, b) == (op == CZ_OP_EQUAL);
        return CLOZE_OK;
    }
    if (op == CZ_OP_IN || op == CZ_OP_NOT_IN) {
        cloze_status status = contains(render, a, b, out);
        *out = *out == (op == CZ_OP_IN);
        return status;
    }
    int order;
    if (!cz_value_order(a, b, &order))
        return bad_operands(render, op == CZ_OP_LESS || op == CZ_OP_LESS_EQUAL ? "<" : ">", a, b);
    *out = op == CZ_OP_LESS         ? order < 0
           : op == CZ_OP_LESS_EQUAL ? order <= 0
           : op == CZ_OP_GREATER    ? order > 0
                                    : order >= 0;
    return CLOZE_OK;
}

/* ---- Slices ---- */

/* Python's slice.indices: a bound within 0..count, or -1..count-1 for a negative step. */
static cloze_status slice_bound(struct cz_render *render, const struct cz_value *bound,
                                int64_t fallback, int64_t count, bool backwards, int64_t *out)
{
    *out = fallback;
    if (bound->type == CZ_NONE)
        return CLOZE_OK;
    if (!is_whole(bound))
        return cz_template_fail(render, CLOZE_INVALID, "the bounds of a slice are integers, not %s",
                                cz_value_type_name(bound));
    int64_t value = whole(bound), low = backwards ? -1 : 0, high = backwards ? count - 1 : count;
    if (value < 0)
        value = value < -count ? low : value + count;
    *out = value < low ? low : value > high ? high : value;
    return CLOZE_OK;
}

struct range {
    int64_t start, stop, step;
};

static cloze_status slice_range(struct cz_render *render, const struct cz_value bounds[3],
                                int64_t count, struct range *out)
{
    out->step = 1;
    if (bounds[2].type != CZ_NONE) {
        if (!is_whole(&bounds[2]) || whole(&bounds[2]) == 0 || whole(&bounds[2]) == INT64_MIN)
            return cz_template_fail(render, CLOZE_INVALID,
                                    "the step of a slice is an integer other than 0");
        out->step = whole(&bounds[2]);
    }
    bool backwards = out->step < 0;
    cloze_status status =
        slice_bound(render, &bounds[0], backwards ? count - 1 : 0, count, backwards, &out->start);
    return status ? status
                  : slice_bound(render, &bounds[1], backwards ? -1 : count, count, backwards,
                                &out->stop);
}

static size_t range_length(const struct range *range)
{
    int64_t distance = range->step > 0 ? range->stop - range->start : range->start - range->stop;
    int64_t step = range->step > 0 ? range->step : -range->step;
    return distance <= 0 ? 0 : (size_t)((distance - 1) / step + 1);
}

cloze_status cz_value_slice(struct cz_render *render, const struct cz_value *value,
                            const struct cz_value bounds[3], struct cz_value *out)
{
    struct cz_value list;
    if (value->type != CZ_STRING && value->type != CZ_LIST && value->type != CZ_TUPLE) {
        if (value->type == CZ_UNDEFINED)
            return bad_operands(render, "[]", value, value);
        return cz_template_fail(render, CLOZE_INVALID, "a %s can't be sliced",
                                cz_value_type_name(value));
    }
    struct range range;
    size_t count = value->type == CZ_STRING ? cz_value_character_count(cz_value_text_slice(value))
                                            : value->list->count;
    cloze_status status = slice_range(render, bounds, (int64_t)count, &range);
    if (status)
        return status;
    size_t length = range_length(&range);
    if (value->type == CZ_STRING && range.step == 1) {
        struct cz_slice text = cz_value_text_slice(value);
        size_t start = cz_value_character_offset(text, (size_t)range.start);
        struct cz_slice rest = {text.data + start, text.size - start};
        return cz_value_text_part(render, value->text, start,
                                  start + cz_value_character_offset(rest, length), out);
    }
    status = cz_value_iterate(render, value, &list);
    struct cz_value *items;
    struct cz_value picked;
    if (!status)
        status = cz_value_make_list(render, value->type == CZ_TUPLE ? CZ_TUPLE : CZ_LIST, length,
                                    &picked, &items);
    if (status)
        return status;
    for (size_t i = 0; i < length; i++)
        items[i] = list.list->items[range.start + (int64_t)i * range.step];
    *out = picked;
    if (value->type != CZ_STRING)
        return CLOZE_OK;
    struct cz_writer writer = {.bytes.maximum = CZ_TEMPLATE_MAXIMUM_OUTPUT};
    for (size_t i = 0; i < length; i++)
        cz_text_write_text(&writer, items[i].text);
    return cz_text_writer_take(render, &writer, out);
}
