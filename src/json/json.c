/* json.c - access to parsed trees: members, scalars, equality. */
#include "json/json.h"

#include "base/map.h"

#include <locale.h>
#include <stdlib.h>

struct cz_slice cz_json_key(const struct cz_json *member)
{
    return cz_slice_of(member->key, member->key_size);
}

struct cz_json *cz_json_get_slice(const struct cz_json *object, struct cz_slice key)
{
    if (!cz_json_is(object, CZ_JSON_OBJECT))
        return NULL;
    CZ_JSON_EACH(member, object)
        if (cz_slice_equal(cz_json_key(member), key))
            return member;
    return NULL;
}

struct cz_json *cz_json_get(const struct cz_json *object, const char *key)
{
    return cz_json_get_slice(object, cz_slice(key));
}

struct cz_json *cz_json_at(const struct cz_json *array, size_t index)
{
    if (!cz_json_is(array, CZ_JSON_ARRAY))
        return NULL;
    struct cz_json *item = array->first;
    while (item && index--)
        item = item->next;
    return item;
}

bool cz_json_is(const struct cz_json *value, enum cz_json_kind kind)
{
    return value && value->kind == kind;
}

const char *cz_json_kind_name(const struct cz_json *value)
{
    static const char *const names[] = {"null",     "false",    "true",     "a number",
                                        "a string", "an array", "an object"};
    return value ? names[value->kind] : "nothing";
}

bool cz_json_string(const struct cz_json *value, struct cz_slice *out)
{
    if (!cz_json_is(value, CZ_JSON_STRING))
        return false;
    *out = value->text;
    return true;
}

bool cz_json_bool(const struct cz_json *value, bool *out)
{
    if (!cz_json_is(value, CZ_JSON_TRUE) && !cz_json_is(value, CZ_JSON_FALSE))
        return false;
    *out = value->kind == CZ_JSON_TRUE;
    return true;
}

/*
 * A decimal number in canonical form: value = sign * 0.d1 d2 d3... * 10^exponent with d1 != 0 and
 * no trailing zero digit; zero has no digits. The digits are read through `digit`, which skips the
 * decimal point, so nothing is copied.
 */
struct decimal {
    bool negative;
    struct cz_slice digits; /* from the first to the last digit that is not zero; may hold '.' */
    size_t count;           /* digits in it, the point not counted */
    int64_t exponent;
};

static int64_t parse_exponent(struct cz_slice text)
{
    const int64_t bound = INT64_MAX / 100; /* far beyond any number of digits in memory */
    bool negative = text.size && text.data[0] == '-';
    int64_t value = 0;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] >= '0' && text.data[i] <= '9' && value < bound)
            value = value * 10 + (text.data[i] - '0');
    return negative ? -value : value;
}

static struct decimal read_decimal(struct cz_slice text)
{
    struct decimal result = {0};
    size_t at = 0, end = 0, point = 0;
    if (text.size && text.data[0] == '-') {
        result.negative = true;
        at = 1;
    }
    while (end < text.size && text.data[end] != 'e' && text.data[end] != 'E')
        end++;
    if (end < text.size)
        result.exponent = parse_exponent(cz_slice_of(text.data + end + 1, text.size - end - 1));
    const char *dot = memchr(text.data, '.', end);
    point = dot ? (size_t)(dot - text.data) : end;
    while (at < end && (text.data[at] == '0' || text.data[at] == '.'))
        at++;
    while (end > at && (text.data[end - 1] == '0' || text.data[end - 1] == '.'))
        end--;
    if (at == end)
        return (struct decimal){0};
    result.digits = cz_slice_of(text.data + at, end - at);
    result.count = end - at - (point > at && point < end);
    result.exponent += point >= at ? (int64_t)(point - at) : -(int64_t)(at - point - 1);
    return result;
}

bool cz_json_int64(const struct cz_json *value, int64_t *out)
{
    if (!cz_json_is(value, CZ_JSON_NUMBER))
        return false;
    struct decimal decimal = read_decimal(value->text);
    if (decimal.exponent > 19 || decimal.exponent < (int64_t)decimal.count)
        return false;
    int64_t result = 0;
    size_t read = 0;
    for (int64_t i = 0; i < decimal.exponent; i++) {
        if (read < decimal.digits.size && decimal.digits.data[read] == '.')
            read++;
        int digit = read < decimal.digits.size ? decimal.digits.data[read++] - '0' : 0;
        int64_t step = decimal.negative ? -digit : digit;
        if (__builtin_mul_overflow(result, 10, &result) ||
            __builtin_add_overflow(result, step, &result))
            return false;
    }
    *out = result;
    return true;
}

/* strtod with the "C" locale's decimal point, whatever the program's locale is. */
static double parse_double(const char *text)
{
    static locale_t c_locale;
    locale_t locale = __atomic_load_n(&c_locale, __ATOMIC_ACQUIRE);
    if (!locale) {
        locale_t made = newlocale(LC_ALL_MASK, "C", NULL);
        locale_t expected = NULL;
        if (__atomic_compare_exchange_n(&c_locale, &expected, made, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            locale = made;
        else {
            if (made)
                freelocale(made);
            locale = expected;
        }
    }
    return locale ? strtod_l(text, NULL, locale) : strtod(text, NULL);
}

bool cz_json_double(const struct cz_json *value, double *out)
{
    if (!cz_json_is(value, CZ_JSON_NUMBER))
        return false;
    char small[64];
    char *text = value->text.size < sizeof small ? small : malloc(value->text.size + 1);
    if (!text)
        return false;
    memcpy(text, value->text.data, value->text.size);
    text[value->text.size] = '\0';
    *out = parse_double(text);
    if (text != small)
        free(text);
    return true;
}

static bool decimal_equal(struct cz_slice a, struct cz_slice b)
{
    struct decimal x = read_decimal(a), y = read_decimal(b);
    if (x.negative != y.negative || x.exponent != y.exponent || x.count != y.count)
        return false;
    size_t i = 0, j = 0;
    for (size_t read = 0; read < x.count; read++) {
        i += x.digits.data[i] == '.';
        j += y.digits.data[j] == '.';
        if (x.digits.data[i++] != y.digits.data[j++])
            return false;
    }
    return true;
}

static bool array_equal(const struct cz_json *a, const struct cz_json *b)
{
    const struct cz_json *x = a->first, *y = b->first;
    for (; x && y; x = x->next, y = y->next)
        if (!cz_json_equal(x, y))
            return false;
    return !x && !y;
}

/* Members by name: a map of one side, unless both list them in the same order. */
static bool object_equal(const struct cz_json *a, const struct cz_json *b)
{
    const struct cz_json *x = a->first, *y = b->first;
    for (; x && y && cz_slice_equal(cz_json_key(x), cz_json_key(y)); x = x->next, y = y->next)
        if (!cz_json_equal(x, y))
            return false;
    struct cz_map members = {0};
    bool equal = true;
    for (; y && equal; y = y->next)
        equal = cz_map_set(&members, cz_json_key(y), (uint64_t)(uintptr_t)y);
    for (; x && equal; x = x->next) {
        uint64_t other;
        equal = cz_map_get(&members, cz_json_key(x), &other) &&
                cz_json_equal(x, (const struct cz_json *)(uintptr_t)other);
    }
    cz_map_free(&members);
    return equal;
}

bool cz_json_equal(const struct cz_json *a, const struct cz_json *b)
{
    if (!a || !b)
        return a == b;
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case CZ_JSON_NUMBER:
        return decimal_equal(a->text, b->text);
    case CZ_JSON_STRING:
        return cz_slice_equal(a->text, b->text);
    case CZ_JSON_ARRAY:
        return a->count == b->count && array_equal(a, b);
    case CZ_JSON_OBJECT:
        return a->count == b->count && object_equal(a, b);
    default:
        return true;
    }
}
