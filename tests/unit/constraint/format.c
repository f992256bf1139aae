/* format.c - what each format accepts; leap seconds against their definition. */
#include "test.h"

#include "constraint/format.h"

static struct cz_expr_store *store;

static int open_store(void **state)
{
    (void)state;
    store = cz_expr_store_create();
    return store ? 0 : -1;
}

static int close_store(void **state)
{
    (void)state;
    cz_expr_store_free(store);
    return 0;
}

static bool accepts(const char *format, const char *text)
{
    cz_expr expr = CZ_EXPR_NOTHING;
    assert_int_equal(cz_format_find(store, cz_slice(format), &expr), CZ_FORMAT_KNOWN);
    return cz_expr_matches(store, expr, cz_slice(text));
}

static void formats_accept_what_their_rfcs_say(void **state)
{
    (void)state;
    static const struct {
        const char *format;
        const char *yes[5], *no[5];
    } samples[] = {
        {"date",
         {"2020-02-29", "2000-02-29", "0001-12-31"},
         {"2021-02-29", "1900-02-29", "2020-04-31"}},
        {"date-time",
         {"1963-06-19t08:30:06.283185z", "1990-12-31T15:59:50-08:00"},
         {"1990-12-31T24:00:00Z", "1990-12-31 15:59:50Z", "1990-12-31T15:59:50"}},
        {"duration", {"P4DT12H30M5S", "P2W", "PT1M"}, {"P", "PT", "P1Y2D", "P1Y2W"}},
        {"email",
         {"a.b@example.com", "\"a b\"@x", "a@[127.0.0.1]", "a@[IPv6:::1]"},
         {"a@b@c", ".a@b", "a..b@c", "a@[300.0.0.1]", "a@-b"}},
        {"idn-email", {"\xC3\xA9@\xC3\xA9.fr"}, {"\xC3\xA9"}},
        {"hostname", {"a", "1-2.example"}, {"", "-a", "a_b", "a.", "xn--x"}},
        {"ipv4", {"0.0.0.0", "255.255.255.255"}, {"256.0.0.0", "01.2.3.4", "1.2.3"}},
        {"ipv6",
         {"::", "1::d6:192.168.0.1", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::"},
         {"1:2:3:4:5:6:7", "1::2::3", "12345::", "::1%eth0"}},
        {"uri",
         {"http://a/?b#c", "urn:a:b", "ldap://[2001:db8::7]/c"},
         {"//a", "a", "http:// a", "http://a/%zz", "http:/[::1]"}},
        {"uri-reference", {"", "//a", "./a:b", "#f"}, {"1:b", "\\a", "/%zz"}},
        {"iri", {"http://\xC3\xA9/\xC3\xA9?\xEE\x80\x80"}, {"\xC3\xA9", "http://a/\xEE\x80\x80"}},
        {"uuid", {"2EB8AA08-aa98-11ea-b4aa-73b441d16380"}, {"2eb8aa08aa9811eab4aa73b441d16380"}},
        {"uri-template", {"", "{+a,b*}", "{v:1000}", "a'b"}, {"{}", "{v:0}", "{", "a b"}},
        {"json-pointer", {"", "/a~0/b~1"}, {"a", "/~2"}},
        {"relative-json-pointer", {"0#", "1/a"}, {"01", "/a", "-1"}},
        {"regex",
         {"^[a-z]+(?:x{2,3}|\\d)$", "[\\u0041-\\u005A\\x01-\\x1f]", "(?<n>a)", "\\p{Lu}"},
         {"(", "[z-a]", "a{3,2}", "\\a", "(?P<n>a)"}},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        for (int j = 0; j < 5 && samples[i].yes[j]; j++) {
            if (!accepts(samples[i].format, samples[i].yes[j]))
                fail_msg("%s should accept '%s'", samples[i].format, samples[i].yes[j]);
        }
        for (int j = 0; j < 5 && samples[i].no[j]; j++) {
            if (accepts(samples[i].format, samples[i].no[j]))
                fail_msg("%s should not accept '%s'", samples[i].format, samples[i].no[j]);
        }
    }
}

static void a_leap_second_is_the_last_of_a_utc_day(void **state)
{
    (void)state;
    char text[32];
    for (int local = 0; local < 1440; local++) {
        for (int i = 0; i < 40; i++) { /* the right offset, its neighbours, and others */
            int right = (local + 1) % 1440, other = i < 5 ? (right + i + 1438) % 1440 : i * 37;
            snprintf(text, sizeof text, "%02d:%02d:60+%02d:%02d", local / 60, local % 60,
                     other / 60, other % 60);
            if (accepts("time", text) != (other == right))
                fail_msg("%s", text);
            right = 1439 - local;
            other = i < 5 ? (right + i + 1438) % 1440 : i * 37;
            snprintf(text, sizeof text, "%02d:%02d:60.5-%02d:%02d", local / 60, local % 60,
                     other / 60, other % 60);
            if (accepts("time", text) != (other == right))
                fail_msg("%s", text);
        }
    }
}

static void every_day_of_four_centuries_is_a_date(void **state)
{
    (void)state;
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    char text[32];
    for (int year = 1600; year < 2000; year += year % 100 == 3 ? 93 : 1) {
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        for (int month = 0; month < 12; month++) {
            for (int day = 0; day <= 32; day++) {
                int last = lengths[month] + (month == 1 && leap);
                snprintf(text, sizeof text, "%04d-%02d-%02d", year, month + 1, day);
                if (accepts("date", text) != (day >= 1 && day <= last))
                    fail_msg("%s", text);
            }
        }
    }
}

static void other_names_are_not_enforced(void **state)
{
    (void)state;
    cz_expr expr;
    assert_int_equal(cz_format_find(store, CZ_SLICE("path"), &expr), CZ_FORMAT_UNKNOWN);
    assert_int_equal(cz_format_find(store, CZ_SLICE("idn-hostname"), &expr), CZ_FORMAT_UNSUPPORTED);
    assert_non_null(cz_format_note(CZ_SLICE("hostname")));
    assert_null(cz_format_note(CZ_SLICE("date")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_accept_what_their_rfcs_say),
        cmocka_unit_test(a_leap_second_is_the_last_of_a_utc_day),
        cmocka_unit_test(every_day_of_four_centuries_is_a_date),
        cmocka_unit_test(other_names_are_not_enforced),
    };
    return cmocka_run_group_tests(tests, open_store, close_store);
}
