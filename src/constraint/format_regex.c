/*
 * format_regex.c - the format "regex": what a text must look like to be a pattern of ECMA-262 with
 * the u flag.
 *
 * That language is not regular: groups nest, names must differ, references must exist, ranges must
 * be in order. This is the largest part of it that stays exact and small: groups to a fixed depth,
 * one named group, no references, ranges between ASCII characters, between \xHH and between \uHHHH
 * escapes, the commonest properties. cz_format_note says so.
 */
#include "constraint/format_internal.h"

#define HEX "[0-9A-Fa-f]"
#define ESCAPE                                                                                     \
    "\\\\(?:[fnrtv]|c[A-Za-z]|x" HEX "{2}|u" HEX "{4}|u\\{0*(?:10" HEX "{4}|" HEX "{1,5})\\}"      \
    "|[\\^$\\\\.*+?()\\[\\]{}|/])"
#define PROPERTY                                                                                   \
    "\\\\[pP]\\{(?:(?:(?:General_Category|gc)=)?(?:L[ulmtoC]?|M[nce]?|N[dlo]?|P[cdseifo]?"         \
    "|S[mcko]?|Z[slp]?|C[cfson]?|Letter|Mark|Number|Punctuation|Symbol|Separator|Other)"           \
    "|(?:Script|sc)=(?:Latin|Greek|Cyrillic|Han|Hiragana|Katakana|Hangul|Arabic|Hebrew|Thai"       \
    "|Devanagari)|Any|ASCII|Alphabetic|Lowercase|Uppercase|White_Space|Emoji|ID_Start"             \
    "|ID_Continue)\\}"
#define CLASS_ESCAPE "\\\\[dDsSwW]|" PROPERTY
#define NAME "[A-Za-z_$][A-Za-z0-9_$]*"

enum { COUNT_DIGITS = 4, HEX_DIGITS = 4 };

/* a-z: from each printable ASCII character to one that is not before it. */
static cz_expr ascii_ranges(struct cz_expr_store *store)
{
    cz_expr result = CZ_EXPR_NOTHING, hyphen = cz_expr_byte(store, '-');
    for (uint32_t first = ' '; first < 0x7F; first++) {
        if (first == '\\' || first == ']' || first == '-')
            continue;
        struct cz_code_range ranges[2] = {{first, '['}, {'^', 0x10FFFF}};
        if (first > '[')
            ranges[0] = ranges[1] = (struct cz_code_range){first, 0x10FFFF};
        result = cz_expr_or(store, result,
                            cz_format_concat(store, cz_expr_byte(store, (uint8_t)first), hyphen,
                                             cz_expr_code_points(store, ranges, 2)));
    }
    return result;
}

/* One digit whose value lies in first..last. */
static cz_expr digit_between(struct cz_expr_store *store, unsigned first, unsigned last)
{
    struct cz_code_range ranges[48];
    size_t count = 0;
    for (unsigned value = first; value <= last; value++) {
        uint32_t lower = value < 10 ? '0' + value : 'a' + value - 10;
        uint32_t upper = value < 10 ? lower : 'A' + value - 10;
        ranges[count++] = (struct cz_code_range){lower, lower};
        ranges[count++] = (struct cz_code_range){upper, upper};
    }
    return cz_expr_code_points(store, ranges, count);
}

/* `digit` at `place` of `count` digits, anything else around it. */
static cz_expr digit_at(struct cz_expr_store *store, cz_expr digit, cz_expr any, uint32_t place,
                        uint32_t count)
{
    return cz_format_concat(store, cz_expr_repeat(store, any, place, place), digit,
                            cz_expr_repeat(store, any, count - place - 1, count - place - 1));
}

/* Two numbers of `count` digits, `between` them, the digits at `place` equal or (less) rising. */
static cz_expr compare_digits(struct cz_expr_store *store, unsigned base, uint32_t place,
                              uint32_t count, cz_expr between, bool less)
{
    cz_expr result = CZ_EXPR_NOTHING, any = digit_between(store, 0, base - 1);
    for (unsigned value = 0; value + less < base; value++) {
        cz_expr low = digit_between(store, value, value);
        cz_expr high = less ? digit_between(store, value + 1, base - 1) : low;
        result = cz_expr_or(store, result,
                            cz_format_concat(store, digit_at(store, low, any, place, count),
                                             between, digit_at(store, high, any, place, count)));
    }
    return result;
}

/* Two numbers of `count` digits with `between` them, the first not above the second. */
static cz_expr ordered(struct cz_expr_store *store, unsigned base, uint32_t count, cz_expr between)
{
    cz_expr result = CZ_EXPR_NOTHING;
    for (uint32_t place = count; place-- > 0;) {
        cz_expr less = compare_digits(store, base, place, count, between, true);
        cz_expr equal = compare_digits(store, base, place, count, between, false);
        result = place == count - 1 ? cz_expr_or(store, less, equal)
                                    : cz_expr_or(store, less, cz_expr_and(store, equal, result));
    }
    return result;
}

/* {m,n} with m not above n, both without leading zeros and of few digits. */
static cz_expr counts(struct cz_expr_store *store)
{
    cz_expr result = CZ_EXPR_NOTHING, comma = cz_expr_byte(store, ',');
    cz_expr shape = cz_format_part(store, "(?:0|[1-9]\\d*),(?:0|[1-9]\\d*)");
    cz_expr digit = digit_between(store, 0, 9);
    for (uint32_t low = 1; low <= COUNT_DIGITS; low++) {
        result = cz_expr_or(store, result, ordered(store, 10, low, comma));
        if (low < COUNT_DIGITS)
            result =
                cz_expr_or(store, result,
                           cz_format_concat(store, cz_expr_repeat(store, digit, low, low), comma,
                                            cz_expr_repeat(store, digit, low + 1, COUNT_DIGITS)));
    }
    return cz_expr_and(store, result, shape);
}

static cz_expr quantifier(struct cz_expr_store *store)
{
    cz_expr bounded =
        cz_format_concat(store, cz_expr_byte(store, '{'), counts(store), cz_expr_byte(store, '}'));
    cz_expr any = cz_expr_or(store, cz_format_part(store, "[*+?]|\\{\\d+,?\\}"), bounded);
    return cz_expr_concat(store, any, cz_format_part(store, "\\??"));
}

/* [...]: items never begin with a hyphen, so one that stands free comes first, last, or behind a
 * range. */
static cz_expr class(struct cz_expr_store *store)
{
    cz_expr hex2 = cz_expr_concat(store, cz_format_part(store, "\\\\x"),
                                  ordered(store, 16, 2, cz_format_part(store, "-\\\\x")));
    cz_expr hex4 = cz_expr_concat(store, cz_format_part(store, "\\\\u"),
                                  ordered(store, 16, HEX_DIGITS, cz_format_part(store, "-\\\\u")));
    cz_expr range = cz_expr_or(store, ascii_ranges(store), cz_expr_or(store, hex2, hex4));
    range = cz_expr_concat(store, range, cz_format_part(store, "-?"));
    cz_expr single = cz_format_part(store, "[^\\\\\\]\\-]|\\\\[b\\-]|" ESCAPE "|" CLASS_ESCAPE);
    cz_expr items = cz_expr_repeat(store, cz_expr_or(store, range, single), 0, CZ_EXPR_UNBOUNDED);
    return cz_format_concat(store, cz_format_part(store, "\\[\\^?-?"), items,
                            cz_format_part(store, "-?\\]"));
}

cz_expr cz_format_regex(struct cz_expr_store *store)
{
    cz_expr close = cz_expr_byte(store, ')');
    cz_expr group = cz_format_part(store, "\\((?:\\?(?::|<" NAME ">))?"),
            look = cz_format_part(store, "\\(\\?<?[=!]");
    cz_expr atom = cz_expr_or(
        store, class(store),
        cz_format_part(store, "[^\\^$\\\\.*+?()\\[\\]{}|]|\\.|" ESCAPE "|" CLASS_ESCAPE));
    cz_expr edge = cz_format_part(store, "[\\^$|]|\\\\[bB]"), times = quantifier(store);
    cz_expr inner = CZ_EXPR_NOTHING;
    for (int depth = 0; depth <= CZ_FORMAT_REGEX_DEPTH; depth++) {
        cz_expr grouped = cz_format_concat(store, group, inner, close);
        cz_expr looking = cz_format_concat(store, look, inner, close);
        cz_expr repeated = cz_expr_concat(store, cz_expr_or(store, atom, grouped),
                                          cz_expr_or(store, CZ_EXPR_EMPTY, times));
        cz_expr parts[] = {edge, looking, repeated};
        inner = cz_expr_repeat(store, cz_expr_or_many(store, parts, 3), 0, CZ_EXPR_UNBOUNDED);
    }
    cz_expr named = cz_format_part(store, "(?s).*\\(\\?<[^=!].*\\(\\?<[^=!].*");
    return cz_expr_minus(store, inner, named);
}
