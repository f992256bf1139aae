/*
 * expr_utf8.c - sets of code points as expressions over their UTF-8 bytes.
 *
 * A range of code points is cut where the encoded size changes, then where a suffix of continuation
 * bytes is not complete (the method of Ken Thompson's grep, as in RE2): what is left are products of
 * byte ranges. Surrogates are encoded like their neighbours (the generalised form).
 */
#include "constraint/expr_internal.h"

#include "base/heap.h"
#include "base/utf8.h"

#include <stdlib.h>

struct builder {
    struct cz_expr_store *store;
    cz_expr *parts;
    size_t count, capacity;
};

static void add_part(struct builder *builder, cz_expr part)
{
    if (builder->count == builder->capacity) {
        size_t capacity = builder->capacity ? builder->capacity * 2 : 64;
        cz_expr *larger = cz_heap_resize(builder->parts, capacity * sizeof *larger);
        if (!larger) {
            cz_expr_fail(builder->store, CLOZE_MEMORY);
            return;
        }
        builder->parts = larger;
        builder->capacity = capacity;
    }
    builder->parts[builder->count++] = part;
}

static cz_expr byte_range(struct cz_expr_store *store, uint8_t first, uint8_t last)
{
    uint64_t set[4] = {0};
    for (unsigned byte = first; byte <= last; byte++)
        set[byte >> 6] |= 1ull << (byte & 63);
    return cz_expr_bytes(store, set);
}

/* first..last have encodings of one size whose bytes vary independently. */
static void add_product(struct builder *builder, uint32_t first, uint32_t last)
{
    char low[4], high[4];
    size_t size = cz_utf8_encode(first, low);
    cz_utf8_encode(last, high);
    cz_expr product = CZ_EXPR_EMPTY;
    for (size_t i = size; i-- > 0;)
        product = cz_expr_concat(
            builder->store, byte_range(builder->store, (uint8_t)low[i], (uint8_t)high[i]), product);
    add_part(builder, product);
}

/* The end of the largest block from `first` on, `last` at most, that is one product. */
static uint32_t product_end(uint32_t first, uint32_t last)
{
    static const uint32_t size_ends[] = {0x7F, 0x7FF, 0xFFFF};
    uint32_t end = last;
    for (int i = 0; i < 3; i++) {
        if (first <= size_ends[i] && size_ends[i] < end)
            end = size_ends[i];
    }
    /* Take the largest block of complete suffixes that starts here and fits. */
    for (int shift = 18; shift > 0 && first > 0x7F; shift -= 6) {
        uint32_t mask = (1u << shift) - 1;
        if ((first & ~mask) == (end & ~mask))
            continue; /* the bytes above the suffix are equal: no cut at this level */
        if (first & mask)
            end = first | mask;
        else if ((end & mask) != mask)
            end = (end & ~mask) - 1;
    }
    return end;
}

static void add_range(struct builder *builder, uint32_t first, uint32_t last)
{
    while (first <= last) {
        uint32_t end = product_end(first, last);
        add_product(builder, first, end);
        first = end + 1;
    }
}

static int compare_ranges(const void *x, const void *y)
{
    const struct cz_code_range *a = x, *b = y;
    return (a->first > b->first) - (a->first < b->first);
}

static size_t merge_ranges(struct cz_code_range *ranges, size_t count)
{
    size_t kept = 0;
    qsort(ranges, count, sizeof *ranges, compare_ranges);
    for (size_t i = 0; i < count; i++) {
        if (kept && ranges[i].first <= ranges[kept - 1].last + 1) {
            if (ranges[i].last > ranges[kept - 1].last)
                ranges[kept - 1].last = ranges[i].last;
        } else {
            ranges[kept++] = ranges[i];
        }
    }
    return kept;
}

/* Products grouped by their first byte set: fewer alternatives to derive. */
static cz_expr join(struct builder *builder)
{
    return cz_expr_or_many(builder->store, builder->parts, builder->count);
}

cz_expr cz_expr_code_points(struct cz_expr_store *store, const struct cz_code_range *ranges,
                            size_t count)
{
    struct cz_code_range *sorted = count ? cz_heap_alloc(count * sizeof *sorted) : NULL;
    struct builder builder = {.store = store};
    if (!count)
        return CZ_EXPR_NOTHING;
    if (!sorted)
        return cz_expr_fail(store, CLOZE_MEMORY);
    memcpy(sorted, ranges, count * sizeof *sorted);
    count = merge_ranges(sorted, count);
    for (size_t i = 0; i < count; i++) {
        uint32_t last = sorted[i].last < 0x10FFFF ? sorted[i].last : 0x10FFFF;
        if (sorted[i].first <= last)
            add_range(&builder, sorted[i].first, last);
    }
    cz_expr result = join(&builder);
    store->nodes[result].facts |= FACT_TEXT;
    cz_heap_free(builder.parts);
    cz_heap_free(sorted);
    return result;
}

/* Whether some product of bytes low[i]..high[i] can begin a match. */
static bool product_alive(struct cz_expr_store *store, cz_expr e, const char *low, const char *high,
                          size_t size)
{
    cz_expr before = CZ_EXPR_NOTHING;
    if (size == 0)
        return cz_expr_alive(store, e);
    for (unsigned byte = (uint8_t)*low; byte <= (uint8_t)*high; byte++) {
        cz_expr next = cz_expr_derive(store, e, (uint8_t)byte);
        if (next != before && next != CZ_EXPR_NOTHING &&
            product_alive(store, next, low + 1, high + 1, size - 1))
            return true;
        before = next;
    }
    return false;
}

bool cz_expr_has_code(struct cz_expr_store *store, cz_expr e, uint32_t first, uint32_t last)
{
    while (first <= last) {
        char low[4], high[4];
        uint32_t end = product_end(first, last);
        size_t size = cz_utf8_encode(first, low);
        cz_utf8_encode(end, high);
        if (product_alive(store, e, low, high, size))
            return true;
        first = end + 1;
    }
    return false;
}
