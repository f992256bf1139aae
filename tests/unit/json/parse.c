/* parse.c - what the JSON parser accepts, keeps and refuses. */
#include "test.h"

#include "json/json.h"

static struct cz_arena arena;
static struct cloze_error error;

static int teardown(void **state)
{
    (void)state;
    cz_arena_free(&arena);
    return 0;
}

static struct cz_json *parse(const char *text)
{
    struct cz_json *value;
    ASSERT_OK(cz_json_parse(&arena, cz_slice(text), NULL, &value, &error));
    return value;
}

static void keeps_member_order_and_number_text(void **state)
{
    (void)state;
    struct cz_json *object = parse(" {\"b\": 1.50, \"a\": -0e+2} ");
    assert_int_equal(object->count, 2);
    ASSERT_SLICE(cz_json_key(object->first), "b");
    ASSERT_SLICE(object->first->text, "1.50");
    ASSERT_SLICE(cz_json_key(object->first->next), "a");
    ASSERT_SLICE(object->first->next->text, "-0e+2");
    assert_int_equal(object->first->offset, 7);
}

static void decodes_escapes(void **state)
{
    (void)state;
    struct cz_json *value = parse("\"a\\n\\u00e9\\ud83d\\ude00\\/\\\"\"");
    ASSERT_SLICE(value->text, "a\n\xC3\xA9\xF0\x9F\x98\x80/\"");
}

static void keeps_lone_surrogates_only_when_asked(void **state)
{
    (void)state;
    struct cz_json *value;
    struct cz_json_options options = {.allow_lone_surrogates = true};
    ASSERT_FAILS(cz_json_parse(&arena, CZ_SLICE("\"\\udc00\""), NULL, &value, &error),
                 CLOZE_INVALID, "surrogate");
    ASSERT_OK(cz_json_parse(&arena, CZ_SLICE("\"\\udc00\""), &options, &value, &error));
    ASSERT_SLICE(value->text, "\xED\xB0\x80");
}

static void refuses_what_is_not_json(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",       "{",        "[1,]",     "{\"a\":1,}", "01",       "1.",          "-",
        "1e",     "+1",       ".5",       "NaN",        "tru",      "'a'",         "\"a",
        "[1 2]",  "{a:1}",    "{\"a\" 1}", "\"\\x\"",   "\"\t\"",   "\"\\u12g4\"", "1 2",
        "\"\xFF\"", "\"\xC0\x80\"", "[1]]", "// c\n1",  "\"\\",     "\"\\\"",      "-01",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct cz_json *value;
        if (cz_json_parse(&arena, cz_slice(texts[i]), NULL, &value, &error) != CLOZE_INVALID)
            fail_msg("accepted: %s", texts[i]);
    }
}

static void refuses_duplicate_keys_in_small_and_large_objects(void **state)
{
    (void)state;
    struct cz_json *value;
    ASSERT_FAILS(cz_json_parse(&arena, CZ_SLICE("{\"a\":1,\"\\u0061\":2}"), NULL, &value, &error),
                 CLOZE_INVALID, "twice");
    struct cz_buffer text = {0};
    cz_buffer_append_byte(&text, '{');
    for (int i = 0; i < 100; i++)
        cz_buffer_printf(&text, "\"k%d\":%d,", i, i);
    cz_buffer_append_text(&text, "\"k3\":0}");
    ASSERT_FAILS(cz_json_parse(&arena, cz_buffer_slice(&text), NULL, &value, &error), CLOZE_INVALID,
                 "/k3");
    cz_buffer_free(&text);
}

static void error_has_line_column_and_pointer(void **state)
{
    (void)state;
    struct cz_json *value;
    assert_int_equal(cz_json_parse(&arena, CZ_SLICE("{\"a\": [1,\n  {\"b/c\": x}]}"), NULL, &value,
                                   &error),
                     CLOZE_INVALID);
    assert_string_equal(error.where, "line 2, column 11, at /a/1/b~1c");
}

static void depth_is_bounded(void **state)
{
    (void)state;
    struct cz_json *value;
    struct cz_buffer text = {0};
    for (int i = 0; i < 60000; i++)
        cz_buffer_append_byte(&text, '[');
    ASSERT_FAILS(cz_json_parse(&arena, cz_buffer_slice(&text), NULL, &value, &error), CLOZE_LIMIT,
                 "deeper");
    cz_buffer_free(&text);
}

static void integers_are_exact(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool fits;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-0.0", true, 0},
        {"1.0", true, 1},
        {"12.50e1", true, 125},
        {"1e3", true, 1000},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"1.5", false, 0},
        {"1e-1", false, 0},
        {"1e999999999999999999999", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t value = 0;
        assert_int_equal(cz_json_int64(parse(cases[i].text), &value), cases[i].fits);
        assert_true(!cases[i].fits || value == cases[i].value);
    }
}

static void equality_is_by_value(void **state)
{
    (void)state;
    static const char *const equal[][2] = {
        {"1", "1.0"}, {"100", "1e2"}, {"0", "-0.0"}, {"1.50", "15e-1"}, {"{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}"}};
    static const char *const different[][2] = {
        {"1", "true"}, {"1", "1.1"}, {"1", "-1"}, {"[1,2]", "[2,1]"}, {"{\"a\":1}", "{\"b\":1}"}, {"10", "1"}};
    for (size_t i = 0; i < sizeof equal / sizeof *equal; i++)
        assert_true(cz_json_equal(parse(equal[i][0]), parse(equal[i][1])));
    for (size_t i = 0; i < sizeof different / sizeof *different; i++)
        assert_false(cz_json_equal(parse(different[i][0]), parse(different[i][1])));
}

static void pointers_resolve(void **state)
{
    (void)state;
    struct cz_json *root = parse("{\"a\": [10, {\"m~n/o\": 5}], \"\": 7}");
    ASSERT_SLICE(cz_json_pointer_find(root, CZ_SLICE("/a/1/m~0n~1o"))->text, "5");
    ASSERT_SLICE(cz_json_pointer_find(root, CZ_SLICE("/"))->text, "7");
    assert_ptr_equal(cz_json_pointer_find(root, CZ_SLICE("")), root);
    assert_null(cz_json_pointer_find(root, CZ_SLICE("/a/01")));
    assert_null(cz_json_pointer_find(root, CZ_SLICE("a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_member_order_and_number_text),
        cmocka_unit_test(decodes_escapes),
        cmocka_unit_test(keeps_lone_surrogates_only_when_asked),
        cmocka_unit_test(refuses_what_is_not_json),
        cmocka_unit_test(refuses_duplicate_keys_in_small_and_large_objects),
        cmocka_unit_test(error_has_line_column_and_pointer),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(integers_are_exact),
        cmocka_unit_test(equality_is_by_value),
        cmocka_unit_test(pointers_resolve),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
