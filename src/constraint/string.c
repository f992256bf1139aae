/*
 * string.c - the inside of a JSON string: raw characters and escapes, read onto decoded text.
 *
 * The state beside the decoded language is one word, the escape under way:
 *
 *   0                      between characters
 *   1                      after a backslash
 *   2 | digits, value      in \uXXXX
 *   3 | high               after an escaped high surrogate, which the next escape may complete
 *   4 | high               ... and a backslash
 *   5 | digits, value, high  ... and in its \uXXXX
 *   6                      after a raw byte ED, which must not begin a surrogate
 *
 * Acceptance takes every spelling; generation one per character: raw, the short escapes, and
 * \u00XX for the other controls.
 */
#include "constraint/machine.h"

#include "base/utf8.h"

enum { PLAIN, BACKSLASH, UNICODE, HIGH, HIGH_BACKSLASH, HIGH_UNICODE, RAW_ED };

#define STATE(kind, digits, value, high) \
    ((uint32_t)(kind) | (uint32_t)(digits) << 4 | (uint32_t)(value) << 8 | (uint32_t)(high) << 20)

static uint32_t kind_of(uint32_t escape)
{
    return escape & 15;
}

static uint32_t digits_of(uint32_t escape)
{
    return escape >> 4 & 15;
}

static uint32_t value_of(uint32_t escape)
{
    return escape >> 8 & 0xFFF;
}

static uint32_t high_of(uint32_t escape)
{
    return 0xD800 + (escape >> 20 & 0x3FF);
}

static bool allowed(const struct cz_plan *plan, uint32_t index)
{
    return plan->allowed[index / 64] >> index % 64 & 1;
}

bool cz_inner_trim(struct cz_machine *machine, struct cz_inner *inner)
{
    const struct cz_plan *plan = cz_object_plan(machine, inner->object);
    if (!plan)
        return false;
    while (inner->first < inner->last && !allowed(plan, inner->first))
        inner->first++;
    while (inner->first < inner->last && !allowed(plan, inner->last - 1))
        inner->last--;
    return inner->first < inner->last;
}

static struct cz_slice key_at(const struct cz_machine *machine, const struct cz_inner *inner,
                              uint32_t index)
{
    uint32_t keyset = cz_object_get(machine, inner->object).keyset;
    return machine->keys[machine->keysets[keyset]->keys[index]];
}

static bool derive_named(struct cz_machine *machine, struct cz_inner *inner, uint8_t byte)
{
    uint32_t first = inner->first, last = inner->last;
    while (first < last) {
        struct cz_slice key = key_at(machine, inner, first);
        if (key.size > inner->depth && (uint8_t)key.data[inner->depth] == byte)
            break;
        first++;
    }
    while (last > first) {
        struct cz_slice key = key_at(machine, inner, last - 1);
        if (key.size > inner->depth && (uint8_t)key.data[inner->depth] == byte)
            break;
        last--;
    }
    inner->first = first;
    inner->last = last;
    inner->depth++;
    return cz_inner_trim(machine, inner);
}

static bool derive_byte(struct cz_machine *machine, struct cz_inner *inner, uint8_t byte)
{
    if (inner->named)
        return derive_named(machine, inner, byte);
    inner->expr = cz_expr_derive(machine->exprs, inner->expr, byte);
    return cz_expr_alive(machine->exprs, inner->expr);
}

static bool derive_code(struct cz_machine *machine, struct cz_inner *inner, uint32_t code)
{
    char bytes[4];
    size_t size = cz_utf8_encode(code, bytes);
    bool alive = size > 0;
    for (size_t i = 0; i < size && alive; i++)
        alive = derive_byte(machine, inner, (uint8_t)bytes[i]);
    return alive;
}

/* Whether some character of first..last may come next. */
static bool range_alive(struct cz_machine *machine, const struct cz_inner *inner, uint32_t first,
                        uint32_t last)
{
    if (inner->named && last - first < 16) {
        for (uint32_t code = first; code <= last; code++) {
            struct cz_inner next = *inner;
            if (derive_code(machine, &next, code))
                return true;
        }
        return false;
    }
    if (inner->named) {
        const struct cz_plan *plan = cz_object_plan(machine, inner->object);
        for (uint32_t i = inner->first; plan && i < inner->last; i++) {
            struct cz_slice key = key_at(machine, inner, i);
            uint32_t code;
            if (allowed(plan, i) && key.size > inner->depth &&
                cz_utf8_decode(key.data + inner->depth, key.size - inner->depth, &code) &&
                code >= first && code <= last)
                return true;
        }
        return false;
    }
    return cz_expr_has_code(machine->exprs, inner->expr, first, last);
}

static uint32_t supplementary(uint32_t high, uint32_t low)
{
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

/* Whether a \u escape whose 16 bits lie in first..last can go on from here. */
static bool unit_alive(struct cz_machine *machine, const struct cz_inner *inner, uint32_t first,
                       uint32_t last)
{
    if (range_alive(machine, inner, first, last))
        return true;
    uint32_t high_first = first > 0xD800 ? first : 0xD800, high_last = last < 0xDBFF ? last : 0xDBFF;
    return high_first <= high_last &&
           range_alive(machine, inner, supplementary(high_first, 0xDC00),
                       supplementary(high_last, 0xDFFF));
}

static bool lone_high(struct cz_machine *machine, struct cz_inner *inner, uint32_t high)
{
    return derive_code(machine, inner, high);
}

static bool is_generating(const struct cz_machine *machine)
{
    return machine->options.policy == CZ_POLICY_GENERATE;
}

static const char SHORT_ESCAPES[] = "\"\\bfnrt";
static const char SHORT_VALUES[] = "\"\\\b\f\n\r\t";

static bool needs_unicode(uint32_t code)
{
    return code < 0x20 && !(code && strchr("\b\f\n\r\t", (int)code));
}

/* Generation: a control character whose \u spelling begins with these digits may come next. */
static bool control_alive(struct cz_machine *machine, const struct cz_inner *inner, uint32_t digits,
                          uint32_t value)
{
    for (uint32_t code = 0; code < 0x20; code++) {
        struct cz_inner next = *inner;
        if (needs_unicode(code) && code >> 4 * (4 - digits) == value &&
            derive_code(machine, &next, code))
            return true;
    }
    return false;
}

static bool digits_alive(struct cz_machine *machine, const struct cz_inner *inner, uint32_t escape)
{
    uint32_t digits = digits_of(escape), shift = 4 * (4 - digits), value = value_of(escape);
    uint32_t first = value << shift, last = first + (1u << shift) - 1;
    if (is_generating(machine))
        return control_alive(machine, inner, digits, value);
    if (kind_of(escape) == UNICODE)
        return unit_alive(machine, inner, first, last);
    uint32_t low_first = first > 0xDC00 ? first : 0xDC00, low_last = last < 0xDFFF ? last : 0xDFFF;
    uint32_t high = high_of(escape);
    if (low_first <= low_last &&
        range_alive(machine, inner, supplementary(high, low_first), supplementary(high, low_last)))
        return true;
    struct cz_inner alone = *inner;
    if (!lone_high(machine, &alone, high))
        return false;
    /* after a lone high surrogate any unit but a low one */
    return (first < 0xDC00 && unit_alive(machine, &alone, first, last < 0xDBFF ? last : 0xDBFF)) ||
           (last > 0xDFFF && unit_alive(machine, &alone, first > 0xE000 ? first : 0xE000, last));
}

const char *cz_string_candidates(uint32_t escape)
{
    switch (kind_of(escape)) {
    case BACKSLASH:
    case HIGH_BACKSLASH:
        return "\"\\/bfnrtu";
    case UNICODE:
    case HIGH_UNICODE:
        return "0123456789abcdefABCDEF";
    default:
        return NULL;
    }
}

static int hex_value(const struct cz_machine *machine, uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    return byte >= 'A' && byte <= 'F' && !is_generating(machine) ? byte - 'A' + 10 : -1;
}

/* A whole \u escape: its 16 bits. */
static bool take_unit(struct cz_machine *machine, struct cz_inner *inner, uint32_t *escape,
                      uint32_t unit)
{
    bool pending = kind_of(*escape) == HIGH_UNICODE;
    uint32_t high = high_of(*escape);
    *escape = PLAIN;
    if (pending && unit >= 0xDC00 && unit <= 0xDFFF)
        return derive_code(machine, inner, supplementary(high, unit));
    if (pending && !lone_high(machine, inner, high))
        return false;
    if (unit < 0xD800 || unit > 0xDBFF)
        return (!is_generating(machine) || needs_unicode(unit)) &&
               derive_code(machine, inner, unit);
    *escape = STATE(HIGH, 0, 0, unit - 0xD800);
    struct cz_inner alone = *inner;
    return lone_high(machine, &alone, unit) ||
           range_alive(machine, inner, supplementary(unit, 0xDC00), supplementary(unit, 0xDFFF));
}

static bool step_digits(struct cz_machine *machine, struct cz_inner *inner, uint32_t *escape,
                        uint8_t byte)
{
    int digit = hex_value(machine, byte);
    if (digit < 0)
        return false;
    uint32_t value = value_of(*escape) << 4 | (uint32_t)digit, digits = digits_of(*escape) + 1;
    if (digits == 4)
        return take_unit(machine, inner, escape, value);
    *escape = STATE(kind_of(*escape), digits, value, high_of(*escape) - 0xD800);
    return digits_alive(machine, inner, *escape);
}

static bool step_backslash(struct cz_machine *machine, struct cz_inner *inner, uint32_t *escape,
                           uint8_t byte)
{
    if (byte == 'u') {
        *escape = STATE(UNICODE, 0, 0, 0);
        return digits_alive(machine, inner, *escape);
    }
    *escape = PLAIN;
    if (byte == '/' && !is_generating(machine))
        return derive_code(machine, inner, '/');
    const char *at = byte ? strchr(SHORT_ESCAPES, byte) : NULL;
    return at && derive_code(machine, inner, (uint8_t)SHORT_VALUES[at - SHORT_ESCAPES]);
}

static bool backslash_alive(struct cz_machine *machine, const struct cz_inner *inner)
{
    if (!is_generating(machine))
        return unit_alive(machine, inner, 0, 0xFFFF);
    for (const char *value = SHORT_VALUES; *value; value++) {
        struct cz_inner next = *inner;
        if (derive_code(machine, &next, (uint8_t)*value))
            return true;
    }
    return control_alive(machine, inner, 0, 0);
}

static bool step_plain(struct cz_machine *machine, struct cz_inner *inner, uint32_t *escape,
                       uint8_t byte)
{
    if (byte < 0x20 || (*escape == RAW_ED && byte > 0x9F))
        return false;
    if (byte == '\\') {
        *escape = BACKSLASH;
        return backslash_alive(machine, inner);
    }
    *escape = byte == 0xED ? RAW_ED : PLAIN;
    if (!derive_byte(machine, inner, byte))
        return false;
    if (byte != 0xED || inner->named)
        return true;
    /* alive by surrogates alone is not alive: none can follow raw */
    for (uint32_t next = 0x80; next <= 0x9F; next++) {
        struct cz_inner probe = *inner;
        if (derive_byte(machine, &probe, (uint8_t)next))
            return true;
    }
    return false;
}

bool cz_string_step(struct cz_machine *machine, struct cz_inner *inner, uint32_t *escape,
                    uint8_t byte)
{
    uint32_t high = high_of(*escape);
    switch (kind_of(*escape)) {
    case BACKSLASH:
        return step_backslash(machine, inner, escape, byte);
    case UNICODE:
    case HIGH_UNICODE:
        return step_digits(machine, inner, escape, byte);
    case HIGH:
        if (byte == '\\') {
            struct cz_inner alone = *inner;
            *escape = STATE(HIGH_BACKSLASH, 0, 0, high - 0xD800);
            return range_alive(machine, inner, supplementary(high, 0xDC00),
                               supplementary(high, 0xDFFF)) ||
                   (lone_high(machine, &alone, high) && backslash_alive(machine, &alone));
        }
        *escape = PLAIN;
        return lone_high(machine, inner, high) && step_plain(machine, inner, escape, byte);
    case HIGH_BACKSLASH:
        if (byte == 'u') {
            *escape = STATE(HIGH_UNICODE, 0, 0, high - 0xD800);
            return digits_alive(machine, inner, *escape);
        }
        return lone_high(machine, inner, high) && step_backslash(machine, inner, escape, byte);
    default:
        return step_plain(machine, inner, escape, byte);
    }
}

bool cz_string_settle(struct cz_machine *machine, struct cz_inner *inner, uint32_t escape)
{
    if (kind_of(escape) == HIGH)
        return lone_high(machine, inner, high_of(escape));
    return escape == PLAIN;
}

void cz_string_spell(struct cz_slice decoded, struct cz_buffer *out)
{
    for (size_t i = 0; i < decoded.size; i++) {
        uint8_t byte = (uint8_t)decoded.data[i];
        const char *at = byte ? strchr(SHORT_VALUES, byte) : NULL;
        if (at) {
            cz_buffer_append_byte(out, '\\');
            cz_buffer_append_byte(out, SHORT_ESCAPES[at - SHORT_VALUES]);
        } else if (byte < 0x20) {
            cz_buffer_printf(out, "\\u%04x", byte);
        } else if (byte == 0xED && i + 2 < decoded.size && (uint8_t)decoded.data[i + 1] > 0x9F) {
            uint32_t unit = 0xD000u | (uint32_t)(decoded.data[i + 1] & 0x3F) << 6 |
                            (uint32_t)(decoded.data[i + 2] & 0x3F);
            cz_buffer_printf(out, "\\u%04x", unit);
            i += 2;
        } else {
            cz_buffer_append_byte(out, (char)byte);
        }
    }
}

static void append_code(struct cz_buffer *out, uint32_t code)
{
    char bytes[4];
    cz_buffer_append(out, bytes, cz_utf8_encode(code, bytes));
}

static uint32_t hex4(const char *data)
{
    uint32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        char c = data[i];
        unit = unit << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return unit;
}

bool cz_string_decode(struct cz_slice spelled, struct cz_buffer *out)
{
    for (size_t i = 0; i < spelled.size; i++) {
        char c = spelled.data[i];
        if (c != '\\') {
            cz_buffer_append_byte(out, c);
            continue;
        }
        if (++i >= spelled.size)
            return false;
        const char *at = strchr(SHORT_ESCAPES, spelled.data[i]);
        if (spelled.data[i] != 'u') {
            cz_buffer_append_byte(out, at ? SHORT_VALUES[at - SHORT_ESCAPES] : spelled.data[i]);
            continue;
        }
        if (spelled.size - i <= 4)
            return false;
        uint32_t unit = hex4(spelled.data + i + 1);
        i += 4;
        if (unit >= 0xD800 && unit <= 0xDBFF && spelled.size - i > 6 &&
            spelled.data[i + 1] == '\\' && spelled.data[i + 2] == 'u') {
            uint32_t low = hex4(spelled.data + i + 3);
            if (low >= 0xDC00 && low <= 0xDFFF) {
                unit = supplementary(unit, low);
                i += 6;
            }
        }
        append_code(out, unit);
    }
    return !out->failed;
}
