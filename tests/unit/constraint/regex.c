/* regex.c - which texts a pattern matches, in both flavours, and which patterns are refused. */
#include "test.h"

#include "constraint/regex.h"

static cloze_status parse(struct cz_expr_store *store, const char *pattern,
                          enum cz_regex_flavour flavour, bool search, cz_expr *out,
                          struct cloze_error *error)
{
    struct cz_regex_options options = {.flavour = flavour, .search = search};
    return cz_regex_parse(store, cz_slice(pattern), &options, out, error);
}

static bool matches(const char *pattern, enum cz_regex_flavour flavour, bool search,
                    struct cz_slice text)
{
    struct cloze_error error;
    struct cz_expr_store *store = cz_expr_store_create();
    cz_expr expr;
    assert_non_null(store);
    ASSERT_OK(parse(store, pattern, flavour, search, &expr, &error));
    bool result = cz_expr_matches(store, expr, text);
    cz_expr_store_free(store);
    return result;
}

struct sample {
    const char *pattern;
    const char *yes[4], *no[4];
};

static void check(const struct sample *samples, size_t count, enum cz_regex_flavour flavour,
                  bool search)
{
    for (size_t i = 0; i < count; i++) {
        for (int j = 0; j < 4 && samples[i].yes[j]; j++) {
            if (!matches(samples[i].pattern, flavour, search, cz_slice(samples[i].yes[j])))
                fail_msg("/%s/ should match '%s'", samples[i].pattern, samples[i].yes[j]);
        }
        for (int j = 0; j < 4 && samples[i].no[j]; j++) {
            if (matches(samples[i].pattern, flavour, search, cz_slice(samples[i].no[j])))
                fail_msg("/%s/ should not match '%s'", samples[i].pattern, samples[i].no[j]);
        }
    }
}

#define CHECK(samples, flavour, search)                                                            \
    check(samples, sizeof(samples) / sizeof *(samples), flavour, search)

static void ecma_patterns_search(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"b", {"abc", "b"}, {"", "ac"}},
        {"^a|b$", {"ax", "xb"}, {"xa", "bx"}},
        {"^abc$", {"abc"}, {"abc\n", "xabc"}},
        {"a$b", {NULL}, {"ab", "a"}},
        {"^$", {""}, {"a", "\n"}},
        {"^.$", {"a", "\xC3\xA9", "\xF0\x9F\x98\x80"}, {"\n", "\r", "\xE2\x80\xA8", ""}},
        {"^[^]$", {"\n", "a"}, {"", "ab"}},
        {"[]", {NULL}, {"", "a"}},
        {"^[a-c\\-\\]x-]$", {"-", "]", "b", "x"}, {"d"}},
        {"^\\d$", {"0"}, {"\xDF\x80", "a"}},
        {"^\\w$", {"a", "_"}, {"\xC3\xA9"}},
        {"^\\s$", {"\xC2\xA0", "\xEF\xBB\xBF", "\xE2\x80\xA9"}, {"\xE2\x80\x93"}},
        {"^\\cC\\x41\\u0042\\u{43}$", {"\003ABC"}, {"ABC"}},
        {"^\\ud83d\\ude00$", {"\xF0\x9F\x98\x80"}, {"?"}},
        {"^\\p{Lu}\\P{Lu}\\p{Script=Greek}$", {"Aa\xCE\xB1"}, {"aAa"}},
        {"^\\@\\-\\/\\%$", {"@-/%"}, {"@"}},
        {"^{a}]$", {"{a}]"}, {"a"}},
        {"^x{,3}$", {"x{,3}"}, {"xx"}},
        {"^a{2,3}$", {"aa", "aaa"}, {"a", "aaaa"}},
        {"^(?:a+){2,}$", {"aa", "aaa"}, {"a"}},
        {"^(?<name>a)+?$", {"aaa"}, {""}},
        {"^(?i:stra\xC3\x9F"
         "e)$",
         {"STRA\xE1\xBA\x9E"
          "E"},
         {"strasse"}},
    };
    CHECK(samples, CZ_REGEX_ECMA, true);
}

static void assertions_are_exact_anywhere(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"\\bfoo\\b", {"a foo b", "foo"}, {"afoo", "food"}},
        {"\\B", {"", "ab"}, {"a"}},
        {"^(?!interactive|name|style).+$", {"nam", "x"}, {"name", "styles"}},
        {"^((?!mode)(?!Mode).)*$", {"mod", ""}, {"amode", "Modes"}},
        {"(?=a)b", {NULL}, {"ab", "b"}},
        {"^(?=.*\\d)(?=.*[a-z]).{4,8}$", {"abc1", "1aaaaaaa"}, {"abcd", "1234", "a1"}},
        {"(?<=a)b", {"ab"}, {"b", "cb"}},
        {"(?<!ab)c", {"c", "bc"}, {"abc"}},
        {"(?<=^|,)x", {"x", "a,x"}, {"ax"}},
        {"^(?:a(?=b)b?|b)*$", {"abab", "b"}, {"aba", "a"}},
        {"^(?:(?<=a)b|a)+$", {"ab", "aab"}, {"b", "abb"}},
        {"^(?:^a|b)*$", {"abb", "bb"}, {"ba"}},
        {"^(?:\\b\\w+\\W*)+$", {"two words"}, {" x"}},
    };
    CHECK(samples, CZ_REGEX_ECMA, true);
}

static void python_patterns_match_the_whole_text(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"a|bc", {"a", "bc"}, {"abc", "b"}},
        {"(?i)abc", {"ABC"}, {"abcd"}},
        {"(?s).", {"\n"}, {""}},
        {"(?x) a b # comment\n c", {"abc"}, {"a b c"}},
        {"\\Aab\\Z", {"ab"}, {"ab\n"}},
        {"[[:alpha:]]+[[:^digit:]]", {"ab", "a-"}, {"a1"}},
        {"[]a]+", {"]a"}, {"b"}},
        {"(?P<n>a)(?#note)b", {"ab"}, {"a"}},
        {"\\Qa.b\\E+", {"a.b"}, {"axb"}},
        {"\\pL\\p{^Lu}", {"Aa"}, {"AA"}},
        {"(?m)^a$\\n^b$", {"a\nb"}, {"ab"}},
        {"x{,2}", {"", "xx"}, {"xxx"}},
        {"\\x{1F600}\\u00e9\\101",
         {"\xF0\x9F\x98\x80\xC3\xA9"
          "A"},
         {""}},
        {"\\h\\R\\N", {"\t\r\na"}, {"\t\r\n\n"}},
    };
    CHECK(samples, CZ_REGEX_PYTHON, false);
}

static void a_counted_repeat_stays_small(void **state)
{
    (void)state;
    struct cloze_error error;
    struct cz_expr_store *store = cz_expr_store_create();
    cz_expr expr;
    ASSERT_OK(parse(store, "^[a-z]{0,1000000}$", CZ_REGEX_ECMA, true, &expr, &error));
    assert_true(cz_expr_store_bytes(store) < 1 << 20);
    cz_expr_store_free(store);
}

static void refusals_name_what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        enum cz_regex_flavour flavour;
        cloze_status status;
        const char *part;
    } samples[] = {
        {"(a)\\1", CZ_REGEX_ECMA, CLOZE_UNSUPPORTED, "back-reference"},
        {"(?<n>a)\\k<n>", CZ_REGEX_ECMA, CLOZE_UNSUPPORTED, "back-reference"},
        {"(?P=n)", CZ_REGEX_PYTHON, CLOZE_UNSUPPORTED, "back-reference"},
        {"a++", CZ_REGEX_PYTHON, CLOZE_UNSUPPORTED, "possessive"},
        {"(?>a)", CZ_REGEX_PYTHON, CLOZE_UNSUPPORTED, "atomic"},
        {"(?(1)a)", CZ_REGEX_PYTHON, CLOZE_UNSUPPORTED, "conditional"},
        {"(?R)", CZ_REGEX_PYTHON, CLOZE_UNSUPPORTED, "recursion"},
        {"(?<=(?=a))b", CZ_REGEX_ECMA, CLOZE_UNSUPPORTED, "lookbehind"},
        {"\\p{scx=Greek}", CZ_REGEX_ECMA, CLOZE_UNSUPPORTED, "Script_Extensions"},
        {"(a", CZ_REGEX_ECMA, CLOZE_INVALID, "character 3"},
        {"a)", CZ_REGEX_ECMA, CLOZE_INVALID, "character 2"},
        {"[a", CZ_REGEX_ECMA, CLOZE_INVALID, "bracket"},
        {"*a", CZ_REGEX_ECMA, CLOZE_INVALID, "nothing to repeat"},
        {"a**", CZ_REGEX_ECMA, CLOZE_INVALID, "nothing to repeat"},
        {"[z-a]", CZ_REGEX_ECMA, CLOZE_INVALID, "wrong order"},
        {"a{3,1}", CZ_REGEX_ECMA, CLOZE_INVALID, "minimum"},
        {"\\p{Nonsense}", CZ_REGEX_ECMA, CLOZE_INVALID, "property"},
        {"\\a", CZ_REGEX_ECMA, CLOZE_INVALID, "\\a"},
        {"\\Z", CZ_REGEX_ECMA, CLOZE_INVALID, "\\Z"},
        {"(?P<n>a)", CZ_REGEX_ECMA, CLOZE_INVALID, "group"},
        {"\\u{110000}", CZ_REGEX_ECMA, CLOZE_INVALID, "10FFFF"},
        {"\xFF", CZ_REGEX_ECMA, CLOZE_INVALID, "UTF-8"},
        {"a{99999999999}", CZ_REGEX_ECMA, CLOZE_LIMIT, "repeat"},
        {"(?:\\ba){5000}", CZ_REGEX_ECMA, CLOZE_LIMIT, "2000"},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct cloze_error error = {0};
        struct cz_expr_store *store = cz_expr_store_create();
        cz_expr expr;
        ASSERT_FAILS(parse(store, samples[i].pattern, samples[i].flavour, true, &expr, &error),
                     samples[i].status, samples[i].part);
        cz_expr_store_free(store);
    }
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    struct cloze_error error = {0};
    struct cz_expr_store *store = cz_expr_store_create();
    char pattern[2001];
    cz_expr expr;
    memset(pattern, '(', 1000);
    memset(pattern + 1000, ')', 1000);
    pattern[2000] = 0;
    ASSERT_FAILS(parse(store, pattern, CZ_REGEX_ECMA, true, &expr, &error), CLOZE_LIMIT, "250");
    cz_expr_store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ecma_patterns_search),
        cmocka_unit_test(assertions_are_exact_anywhere),
        cmocka_unit_test(python_patterns_match_the_whole_text),
        cmocka_unit_test(a_counted_repeat_stays_small),
        cmocka_unit_test(refusals_name_what_is_refused),
        cmocka_unit_test(deep_nesting_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
