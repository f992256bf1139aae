/* pattern.c - Oniguruma's patterns mean the same under PCRE2, or are refused. */
#include "test.h"

#include "tokenizer/pattern.h"

static struct cloze_error error;

/* The matches in `text`, each followed by '/'. */
static const char *matches(const char *regex, const char *text)
{
    static char out[200];
    struct cz_pattern *pattern;
    struct cz_pattern_search search;
    bool found;
    ASSERT_OK(cz_pattern_compile(cz_slice(regex), true, &pattern, &error));
    ASSERT_OK(cz_pattern_search_begin(&search, pattern, cz_slice(text), &error));
    out[0] = '\0';
    for (;;) {
        ASSERT_OK(cz_pattern_search_next(&search, &found, &error));
        if (!found)
            break;
        strncat(out, text + search.start, search.end - search.start);
        strcat(out, "/");
    }
    cz_pattern_search_end(&search);
    cz_pattern_free(pattern);
    return out;
}

static void finds_as_oniguruma_does(void **state)
{
    (void)state;
    assert_string_equal(matches(" ?\\p{L}+|\\s+(?!\\S)|\\s+", "ab cd  \t ef"), "ab/ cd/  \t/ ef/");
    assert_string_equal(matches("\\s", "a\xE1\xA0\x8E" "b"), ""); /* U+180E is no white space */
    assert_string_equal(matches("\\s", "a\xC2\x85" "b"), "\xC2\x85/");
    assert_string_equal(matches("\\w+", "a\xCC\x81_\xE2\x82\xAC"), "a\xCC\x81_/");
    assert_string_equal(matches("(?i:'s)", "'S 's"), "'S/'s/");
    assert_string_equal(matches("\\bab\\b", "ab abc"), "ab/");
    assert_string_equal(matches("\\p{Han}+", "a\xE6\xBC\xA2" "b"), "\xE6\xBC\xA2/");
    assert_string_equal(matches("\\u0041\\x{42}\\x43", "xABC"), "ABC/");
    assert_string_equal(matches("^b$", "a\nb\nc"), "b/");
}

static void empty_matches_move_on(void **state)
{
    (void)state;
    assert_string_equal(matches("x*", "xxab"), "xx///");
    assert_string_equal(matches("(?=a)", "aa"), "//");
}

static void refuses_what_means_something_else(void **state)
{
    (void)state;
    static const char *const patterns[] = {"[a&&b]",  "[[a]b]",   "\\h",      "(?m:a)", "a{2}+",
                                           "[\\S]",   "\\K",      "a(?i)b|c", "(a",     "\\p{Nowhere}",
                                           "\\x{110", "\\p",      ""};
    struct cz_pattern *pattern;
    for (unsigned i = 0; i < sizeof patterns / sizeof *patterns; i++)
        assert_int_not_equal(cz_pattern_compile(cz_slice(patterns[i]), true, &pattern, &error),
                             CLOZE_OK);
    ASSERT_FAILS(cz_pattern_compile(CZ_SLICE("x\\h"), true, &pattern, &error), CLOZE_UNSUPPORTED,
                 "\\h");
}

static void runaway_patterns_end_with_an_error(void **state)
{
    (void)state;
    char text[200];
    memset(text, 'a', sizeof text);
    struct cz_pattern *pattern;
    struct cz_pattern_search search;
    bool found;
    ASSERT_OK(cz_pattern_compile(CZ_SLICE("(a|aa|a)+b"), true, &pattern, &error));
    ASSERT_OK(cz_pattern_search_begin(&search, pattern, cz_slice_of(text, sizeof text), &error));
    cloze_status status = cz_pattern_search_next(&search, &found, &error);
    assert_true(status == CLOZE_LIMIT || (status == CLOZE_OK && !found));
    cz_pattern_search_end(&search);
    cz_pattern_free(pattern);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_as_oniguruma_does),
        cmocka_unit_test(empty_matches_move_on),
        cmocka_unit_test(refuses_what_means_something_else),
        cmocka_unit_test(runaway_patterns_end_with_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
