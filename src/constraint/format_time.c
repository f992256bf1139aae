/*
 * format_time.c - times of day with an offset (RFC 3339, full-time), leap seconds included.
 *
 * A leap second is 23:59:60 in UTC, so the local time and the offset belong together. With a
 * negative offset hours add up to 23 and minutes to 59; with a positive one the offset is the local
 * time plus one minute. Such pairs are compared field by field and, for minutes, digit by digit:
 * "local hour 15 goes with offset hour 08" is one small expression that leaves the other digits
 * open, and the whole is an intersection of such comparisons.
 */
#include "constraint/format_internal.h"

#define HOUR "(?:[01]\\d|2[0-3])"
#define PLAIN_TIME HOUR ":[0-5]\\d:[0-5]\\d(?:\\.\\d+)?(?:[Zz]|[+-]" HOUR ":[0-5]\\d)"

/* Where in "hh:mm" a comparison looks. */
enum place { HOURS, TENS, UNITS };

struct leap {
    struct cz_expr_store *store;
    cz_expr between[2][3]; /* by sign (0: plus) and place: from one compared field to the other */
    cz_expr before[3];     /* by place: what comes before the field in "hh:mm" */
    cz_expr after[3];      /* and behind it */
};

static struct leap make_leap(struct cz_expr_store *store)
{
    static const char *const before[] = {"", "\\d\\d:", "\\d\\d:\\d"};
    static const char *const after[] = {":\\d\\d", "\\d", ""};
    static const char *const signs[] = {":60(?:\\.\\d+)?[+]", ":60(?:\\.\\d+)?-"};
    struct leap leap = {.store = store};
    for (int place = 0; place < 3; place++) {
        leap.before[place] = cz_format_part(store, before[place]);
        leap.after[place] = cz_format_part(store, after[place]);
        for (int sign = 0; sign < 2; sign++)
            leap.between[sign][place] = cz_format_concat(
                store, leap.after[place], cz_format_part(store, signs[sign]), leap.before[place]);
    }
    return leap;
}

static cz_expr number(struct cz_expr_store *store, unsigned value, enum place place)
{
    char text[2] = {(char)('0' + value / 10), (char)('0' + value % 10)};
    return cz_expr_literal(store, place == HOURS ? cz_slice_of(text, 2) : cz_slice_of(text + 1, 1));
}

/* "local" in the time goes with "offset" in the offset. */
static cz_expr pair(const struct leap *leap, enum place place, bool minus, unsigned local,
                    unsigned offset)
{
    struct cz_expr_store *store = leap->store;
    cz_expr rest = cz_format_concat(store, leap->between[minus][place],
                                    number(store, offset, place), leap->after[place]);
    return cz_format_concat(store, leap->before[place], number(store, local, place), rest);
}

/* All pairs of one place: local from first to last, offset as much more (or, minus, adding up). */
static cz_expr pairs(const struct leap *leap, enum place place, unsigned first, unsigned last,
                     unsigned more)
{
    cz_expr parts[24];
    for (unsigned local = first; local <= last; local++)
        parts[local - first] = pair(leap, place, false, local, local + more);
    return cz_expr_or_many(leap->store, parts, last - first + 1);
}

static cz_expr pairs_to(const struct leap *leap, enum place place, unsigned sum)
{
    cz_expr parts[24];
    for (unsigned local = 0; local <= sum; local++)
        parts[local] = pair(leap, place, true, local, sum - local);
    return cz_expr_or_many(leap->store, parts, sum + 1);
}

static cz_expr leap_minus(const struct leap *leap)
{
    cz_expr parts[] = {pairs_to(leap, HOURS, 23), pairs_to(leap, TENS, 5),
                       pairs_to(leap, UNITS, 9)};
    return cz_expr_and_many(leap->store, parts, 3);
}

static cz_expr leap_plus(const struct leap *leap)
{
    struct cz_expr_store *store = leap->store;
    cz_expr same_tens = cz_expr_and(store, pairs(leap, TENS, 0, 5, 0), pairs(leap, UNITS, 0, 8, 1));
    cz_expr carry = cz_expr_and(store, pairs(leap, TENS, 0, 4, 1), pair(leap, UNITS, false, 9, 0));
    cz_expr same_hour =
        cz_expr_and(store, pairs(leap, HOURS, 0, 23, 0), cz_expr_or(store, same_tens, carry));
    cz_expr hours =
        cz_expr_or(store, pairs(leap, HOURS, 0, 22, 1), pair(leap, HOURS, false, 23, 0));
    cz_expr full =
        cz_expr_and(store, pair(leap, TENS, false, 5, 0), pair(leap, UNITS, false, 9, 0));
    return cz_expr_or(store, same_hour, cz_expr_and(store, hours, full));
}

cz_expr cz_format_time(struct cz_expr_store *store)
{
    struct leap leap = make_leap(store);
    cz_expr parts[] = {cz_format_part(store, PLAIN_TIME), leap_minus(&leap), leap_plus(&leap),
                       cz_format_part(store, "23:59:60(?:\\.\\d+)?[Zz]")};
    return cz_expr_or_many(store, parts, 4);
}
