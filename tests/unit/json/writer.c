/* writer.c - the three styles, escaping, and numbers. */
#include "test.h"

#include "json/writer.h"

static struct cz_buffer text;

static int clear(void **state)
{
    (void)state;
    cz_buffer_free(&text);
    return 0;
}

static const char *rewrite(const char *source, enum cz_json_style style, bool ascii)
{
    struct cz_arena arena = {0};
    struct cz_json *value;
    struct cloze_error error;
    ASSERT_OK(cz_json_parse(&arena, cz_slice(source), NULL, &value, &error));
    struct cz_json_writer writer = {.out = &text, .style = style, .ascii = ascii};
    cz_buffer_clear(&text);
    cz_json_write_value(&writer, value);
    cz_arena_free(&arena);
    return cz_buffer_text(&text);
}

static void styles_differ_in_space_only(void **state)
{
    (void)state;
    const char *source = "{\"a\":[1,2,{}],\"b\":[],\"c\":{\"d\":1.50}}";
    assert_string_equal(rewrite(source, CZ_JSON_COMPACT, false), source);
    assert_string_equal(rewrite(source, CZ_JSON_SPACED, false),
                        "{\"a\": [1, 2, {}], \"b\": [], \"c\": {\"d\": 1.50}}");
    assert_string_equal(rewrite(source, CZ_JSON_PRETTY, false),
                        "{\n  \"a\": [\n    1,\n    2,\n    {}\n  ],\n  \"b\": [],\n"
                        "  \"c\": {\n    \"d\": 1.50\n  }\n}");
}

static void escapes_are_minimal_or_ascii(void **state)
{
    (void)state;
    const char *source = "\"\\u0001\\n\\\"\xC3\xA9\xF0\x9F\x98\x80\x7F\"";
    assert_string_equal(rewrite(source, CZ_JSON_COMPACT, false),
                        "\"\\u0001\\n\\\"\xC3\xA9\xF0\x9F\x98\x80\x7F\"");
    assert_string_equal(rewrite(source, CZ_JSON_COMPACT, true),
                        "\"\\u0001\\n\\\"\\u00e9\\ud83d\\ude00\x7F\"");
}

static void bad_bytes_become_replacement_characters(void **state)
{
    (void)state;
    struct cz_json_writer writer = {.out = &text};
    cz_json_write_slice(&writer, cz_slice_of("a\xFF\xC3", 3));
    assert_string_equal(cz_buffer_text(&text), "\"a\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

static void doubles_are_short_and_exact(void **state)
{
    (void)state;
    struct cz_json_writer writer = {.out = &text};
    cz_json_begin_array(&writer);
    cz_json_write_double(&writer, 0.1);
    cz_json_write_double(&writer, 1.0 / 3);
    cz_json_write_double(&writer, 1e300 * 1e300);
    cz_json_write_double(&writer, 5);
    cz_json_end_array(&writer);
    assert_string_equal(cz_buffer_text(&text), "[0.1,0.3333333333333333,null,5]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(styles_differ_in_space_only, clear),
        cmocka_unit_test_teardown(escapes_are_minimal_or_ascii, clear),
        cmocka_unit_test_teardown(bad_bytes_become_replacement_characters, clear),
        cmocka_unit_test_teardown(doubles_are_short_and_exact, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
