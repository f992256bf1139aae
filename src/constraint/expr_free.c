/*
 * expr_free.c - what can be read freely: characters, any text of which leaves something to match.
 *
 * A counter of characters is free as long as it lasts, whatever follows it; a residual is free in
 * the characters that lead back to it. An intersection is free in what all its parts are free in,
 * if what is left of all when the first counter ends has a match in common: before that there is
 * more left.
 */
#include "constraint/expr_internal.h"

enum { LONGEST = 255 }; /* characters that a limit need tell of */

static const struct cz_chars everything = {{UINT64_MAX, UINT64_MAX, ~CZ_CHARS_INVALID}};

static bool is_empty(const struct cz_chars *chars)
{
    return !(chars->words[0] | chars->words[1] | chars->words[2]);
}

/* The characters that are matches by themselves. */
static struct cz_chars chars_of(struct cz_expr_store *store, cz_expr set)
{
    struct cz_chars chars = {0};
    if (set == CZ_EXPR_CHAR)
        return everything;
    for (unsigned byte = 0; byte < 128; byte++) {
        cz_expr behind = cz_expr_derive(store, set, (uint8_t)byte);
        chars.words[byte / 64] |= (uint64_t)cz_expr_nullable(store, behind) << byte % 64;
    }
    for (unsigned lead = CZ_LEAD_FIRST; lead <= CZ_LEAD_LAST; lead++) {
        cz_expr behind = cz_expr_derive(store, set, (uint8_t)lead);
        uint64_t all = behind == cz_expr_derive(store, CZ_EXPR_CHAR, (uint8_t)lead);
        chars.words[2] |= all << (lead - CZ_LEAD_FIRST);
    }
    return chars;
}

/* Sets come again and again: the last ones are remembered. */
static struct cz_chars known_chars(struct cz_expr_store *store, cz_expr set)
{
    struct expr_chars *known = &store->chars[set % EXPR_CHARS_KNOWN];
    if (known->set != set)
        *known = (struct expr_chars){set, chars_of(store, set)};
    return known->chars;
}

/* Whether all characters whose next byte is of low..high, `missing` in all, lead from e to `to`. */
static bool leads_to(struct cz_expr_store *store, cz_expr e, cz_expr to, unsigned missing,
                     unsigned low, unsigned high)
{
    cz_expr before = CZ_EXPR_NOTHING;
    for (unsigned byte = low; byte <= high; byte++) {
        cz_expr next = cz_expr_derive(store, e, (uint8_t)byte);
        if (next == before && byte > low)
            continue;
        if (missing == 1 ? next != to : !leads_to(store, next, to, missing - 1, 0x80, 0xBF))
            return false;
        before = next;
    }
    return true;
}

/* What may follow the first byte of a character: so many bytes, the next one within bounds. */
struct tail {
    unsigned missing, low, high;
};

static struct tail tail_of(unsigned lead)
{
    return (struct tail){lead >= 0xF0   ? 3
                         : lead >= 0xE0 ? 2
                                        : 1,
                         lead == 0xE0   ? 0xA0
                         : lead == 0xF0 ? 0x90
                                        : 0x80,
                         lead == 0xED   ? 0x9F
                         : lead == 0xF4 ? 0x8F
                                        : 0xBF};
}

/* Those of the first bytes (bits from 0xC0 on), all leading to `behind`, whose characters lead to
 * e. */
static uint64_t leads_of(struct cz_expr_store *store, cz_expr behind, cz_expr e, uint64_t leads)
{
    struct tail last = {0};
    uint64_t found = 0;
    bool loops = false;
    for (; leads; leads &= leads - 1) {
        unsigned bit = (unsigned)__builtin_ctzll(leads);
        struct tail tail = tail_of(0xC0 + bit);
        if (memcmp(&tail, &last, sizeof tail) != 0)
            loops = leads_to(store, behind, e, tail.missing, tail.low, tail.high);
        last = tail;
        found |= (uint64_t)loops << bit;
    }
    return found;
}

/* The characters that lead from e to e. */
static struct cz_chars loops_of(struct cz_expr_store *store, cz_expr e)
{
    const uint64_t all_leads =
        (1ull << (CZ_LEAD_LAST - 0xC0 + 1)) - (1ull << (CZ_LEAD_FIRST - 0xC0));
    struct expr_class classes[256];
    struct cz_chars chars = {0};
    unsigned count = expr_classes(store, e, classes);
    for (unsigned i = 0; i < count; i++) {
        const uint64_t *bytes = classes[i].bytes;
        cz_expr behind = cz_expr_derive(store, e, classes[i].first);
        if (behind == e) {
            chars.words[0] |= bytes[0];
            chars.words[1] |= bytes[1];
        }
        if (behind != CZ_EXPR_NOTHING)
            chars.words[2] |=
                leads_of(store, behind, e, bytes[3] & all_leads) >> (CZ_LEAD_FIRST - 0xC0);
    }
    return chars;
}

/* A part of an intersection: what it is free in, and what may still be left of it after `count` of
 * these characters. */
struct part {
    struct cz_chars chars;
    cz_expr counted, rest; /* rest: CZ_EXPR_EMPTY when nothing follows the counter */
    uint32_t maximum;      /* CZ_EXPR_UNBOUNDED: it is left as it is */
};

static struct part part_of(struct cz_expr_store *store, cz_expr e)
{
    struct expr_node node = store->nodes[e];
    struct part part = {.rest = CZ_EXPR_EMPTY, .maximum = CZ_EXPR_UNBOUNDED};
    if (node.kind == EXPR_CONCAT) {
        part.rest = node.b;
        node = store->nodes[node.a];
    }
    if (node.kind == EXPR_REPEAT && (node.b == 0 || node.c == CZ_EXPR_UNBOUNDED)) {
        part.chars = known_chars(store, node.a);
        part.counted = node.a;
        part.maximum = node.c;
    } else {
        part.chars = loops_of(store, e);
    }
    return part;
}

/* Whether all parts have a match in common after `count` characters. */
static bool left_alive(struct cz_expr_store *store, struct expr_node list, uint32_t count)
{
    cz_expr left = CZ_EXPR_ANY;
    for (uint32_t i = 0; i < list.b; i++) {
        cz_expr e = store->pool[list.a + i];
        struct part part = part_of(store, e);
        if (part.maximum != CZ_EXPR_UNBOUNDED)
            e = cz_expr_concat(store, cz_expr_repeat(store, part.counted, 0, part.maximum - count),
                               part.rest);
        left = cz_expr_and(store, left, e);
    }
    return cz_expr_alive(store, left);
}

static bool common_freedom(struct cz_expr_store *store, struct expr_node list,
                           struct cz_expr_freedom *out)
{
    enum { MOST_PARTS = 8 };
    *out = (struct cz_expr_freedom){everything, CZ_EXPR_UNBOUNDED};
    if (list.b > MOST_PARTS)
        return false;
    for (uint32_t i = 0; i < list.b && !is_empty(&out->chars); i++) {
        struct part part = part_of(store, store->pool[list.a + i]);
        for (int w = 0; w < 3; w++)
            out->chars.words[w] &= part.chars.words[w];
        out->limit = part.maximum < out->limit ? part.maximum : out->limit;
    }
    if (is_empty(&out->chars))
        return false;
    if (out->limit == CZ_EXPR_UNBOUNDED)
        return true;
    out->limit = out->limit < LONGEST ? out->limit : LONGEST;
    while (out->limit && !left_alive(store, list, out->limit))
        out->limit /= 2;
    return out->limit > 0;
}

unsigned cz_expr_freedoms(struct cz_expr_store *store, cz_expr e, struct cz_expr_freedom *out,
                          unsigned capacity)
{
    struct expr_node node = store->nodes[e];
    unsigned count = 0;
    if (capacity == 0)
        return 0;
    switch (node.kind) {
    case EXPR_REPEAT:
        *out = (struct cz_expr_freedom){known_chars(store, node.a), node.c};
        return !is_empty(&out->chars);
    case EXPR_CONCAT:
        if (!cz_expr_alive(store, node.b))
            return 0;
        count = cz_expr_freedoms(store, node.a, out, capacity);
        if (cz_expr_nullable(store, node.a))
            count += cz_expr_freedoms(store, node.b, out + count, capacity - count);
        return count;
    case EXPR_OR:
        for (uint32_t i = 0; i < node.b && count < capacity; i++)
            count +=
                cz_expr_freedoms(store, store->pool[node.a + i], out + count, capacity - count);
        return count;
    case EXPR_AND:
        return common_freedom(store, node, out);
    case EXPR_NOT:
        *out = (struct cz_expr_freedom){loops_of(store, e), CZ_EXPR_UNBOUNDED};
        return !is_empty(&out->chars);
    default:
        return 0;
    }
}

/* ---- Counters that are far from their ends ---- */

enum { FAR = 1 << 20, BOUND_VISITS = 1000 };

/* Upper bounds: of a shortest match, and of a shortest match of any residual that has one. FAR when
 * the form does not show them. */
struct bounds {
    uint32_t shortest, residual;
};

static uint32_t at_most_far(uint64_t bytes)
{
    return bytes < FAR ? (uint32_t)bytes : FAR;
}

static struct bounds bounds_of(const struct cz_expr_store *store, cz_expr e, unsigned *visits)
{
    const struct expr_node *node = &store->nodes[e];
    struct bounds a, b;
    if (++*visits > BOUND_VISITS)
        return (struct bounds){FAR, FAR};
    switch (node->kind) {
    case EXPR_EMPTY:
    case EXPR_ANY:
        return (struct bounds){0, 0};
    case EXPR_SET:
        return (struct bounds){1, 1};
    case EXPR_CONCAT:
        a = bounds_of(store, node->a, visits);
        b = bounds_of(store, node->b, visits);
        a.residual = at_most_far((uint64_t)a.residual + b.shortest);
        return (struct bounds){at_most_far((uint64_t)a.shortest + b.shortest),
                               a.residual > b.residual ? a.residual : b.residual};
    case EXPR_REPEAT:
        a = bounds_of(store, node->a, visits);
        b.shortest = at_most_far((uint64_t)a.shortest * node->b);
        return (struct bounds){b.shortest, at_most_far((uint64_t)a.residual + b.shortest)};
    case EXPR_OR:
        b = (struct bounds){FAR, 0};
        for (uint32_t i = 0; i < node->b; i++) {
            a = bounds_of(store, store->pool[node->a + i], visits);
            b.shortest = a.shortest < b.shortest ? a.shortest : b.shortest;
            b.residual = a.residual > b.residual ? a.residual : b.residual;
        }
        return b;
    default:
        return (struct bounds){FAR, FAR};
    }
}

/* A maximum of characters beside something else can't be met within `bytes` bytes while what is
 * left of the other part always ends soon enough. */
static cz_expr clamp_maximum(struct cz_expr_store *store, struct expr_node list, uint32_t bytes)
{
    cz_expr counter = store->pool[list.a], other = store->pool[list.a + 1];
    if (store->nodes[other].kind == EXPR_REPEAT && store->nodes[other].a == CZ_EXPR_CHAR) {
        cz_expr swap = counter;
        counter = other;
        other = swap;
    }
    struct expr_node node = store->nodes[counter];
    unsigned visits = 0;
    if (node.kind != EXPR_REPEAT || node.a != CZ_EXPR_CHAR || node.b > 0 || node.c <= bytes ||
        node.c == CZ_EXPR_UNBOUNDED)
        return CZ_EXPR_NOTHING;
    return bounds_of(store, other, &visits).residual <= node.c - bytes
               ? cz_expr_and(store, CZ_EXPR_TEXT, other)
               : (cz_expr)CZ_EXPR_NOTHING;
}

cz_expr cz_expr_clamp(struct cz_expr_store *store, cz_expr e, uint32_t bytes)
{
    struct expr_node node = store->nodes[e];
    if (node.kind == EXPR_AND && node.b == 2) {
        cz_expr clamped = clamp_maximum(store, node, bytes);
        return clamped ? clamped : e;
    }
    if (node.kind != EXPR_REPEAT || node.a != CZ_EXPR_CHAR)
        return e;
    uint32_t minimum = node.b > bytes ? bytes + 1 : node.b;
    return cz_expr_repeat(store, node.a, minimum, node.c >= bytes ? CZ_EXPR_UNBOUNDED : node.c);
}
