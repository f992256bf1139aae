/* yaml.c - YAML read as JSON trees and written back as PyYAML would. */
#include "json/yaml.h"

#include "test.h"
#include "json/writer.h"

static struct cz_arena arena;
static struct cz_buffer text;
static struct cloze_error error;

static int clean(void **state)
{
    (void)state;
    cz_arena_free(&arena);
    cz_buffer_free(&text);
    return 0;
}

static cloze_status parse(const char *yaml)
{
    struct cz_json *tree;
    cz_buffer_clear(&text);
    cloze_status status = cz_yaml_parse(&arena, cz_slice(yaml), &tree, &error);
    if (!status)
        cz_json_write_value(&(struct cz_json_writer){.out = &text}, tree);
    return status;
}

static void reads_scalars_as_pyyaml_does(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "null"},
        {"~", "null"},
        {"Null", "null"},
        {"yes", "true"},
        {"Off", "false"},
        {"y", "\"y\""},
        {"12", "12"},
        {"+12", "12"},
        {"-0x1F", "-31"},
        {"0b101", "5"},
        {"017", "15"},
        {"08", "\"08\""},
        {"1_000", "1000"},
        {"1.50", "1.50"},
        {".5", "0.5"},
        {"1.", "1.0"},
        {"1e5", "1e5"},
        {"1.0e+3", "1.0e+3"},
        {"1:30", "\"1:30\""},
        {"2024-04-25", "\"2024-04-25\""},
        {"1.2.3", "\"1.2.3\""},
        {"'12'", "\"12\""},
        {"\"a\\u00e9\"", "\"a\u00e9\""},
        {"!!str 12", "\"12\""},
        {"123456789012345678901", "123456789012345678901"},
        {"|\n a\n b\n", "\"a\\nb\\n\""},
        {"_1", "\"_1\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ASSERT_OK(parse(cases[i][0]));
        assert_string_equal(cz_buffer_text(&text), cases[i][1]);
    }
}

static void reads_collections_and_lines(void **state)
{
    (void)state;
    struct cz_json *tree;
    const char *yaml = "a: [1, {b: c}]\nyes: x\nd:\n  - e\n  - {}\n";
    ASSERT_OK(parse(yaml));
    assert_string_equal(text.data, "{\"a\":[1,{\"b\":\"c\"}],\"yes\":\"x\",\"d\":[\"e\",{}]}");
    ASSERT_OK(cz_yaml_parse(&arena, cz_slice(yaml), &tree, &error));
    assert_int_equal(cz_json_get(tree, "yes")->offset, 2);
    assert_int_equal(cz_json_at(cz_json_get(tree, "d"), 1)->offset, 5);
}

static void expands_aliases(void **state)
{
    (void)state;
    ASSERT_OK(parse("a: &x [1, 2]\nb: *x\nc: [*x, *x]\n"));
    assert_string_equal(text.data, "{\"a\":[1,2],\"b\":[1,2],\"c\":[[1,2],[1,2]]}");
}

static void bounds_the_expansion_of_aliases(void **state)
{
    (void)state;
    struct cz_buffer yaml = {0};
    cz_buffer_append_text(&yaml, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 9; i++) {
        cz_buffer_printf(&yaml, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            cz_buffer_printf(&yaml, "%s*a%d", j ? ", " : "", i - 1);
        cz_buffer_append_text(&yaml, "]\n");
    }
    ASSERT_FAILS(parse(yaml.data), CLOZE_LIMIT, "a million values");
    cz_buffer_free(&yaml);
}

static void bounds_depth(void **state)
{
    (void)state;
    char deep[512];
    memset(deep, '[', 200);
    strcpy(deep + 200, "x");
    ASSERT_FAILS(parse(deep), CLOZE_LIMIT, "nested too deeply");
}

static void refuses_by_name(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"a: 1\na: 2\n", "duplicate key", "line 2, column 1"},
        {"<<: {a: 1}\n", "merge keys", "line 1"},
        {"a: !!python/object:os.system x\n", "tags", "line 1, column 4"},
        {"a: .inf\n", "infinity", "line 1"},
        {"? [a]\n: b\n", "only a scalar", "line 1"},
        {"--- a\n--- b\n", "more than one document", "line 2"},
        {"a: *b\n", "alias", "line 1, column 4"},
        {"a: &a [*a]\n", "alias", "line 1"},
        {"a: [1\n", "expected", "line 2"},
        {"a: \"\x80\"\n", "UTF-8", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_not_equal(parse(cases[i][0]), CLOZE_OK);
        assert_non_null(strstr(error.message, cases[i][1]));
        assert_non_null(strstr(error.where, cases[i][2]));
    }
}

static void writes_as_pyyaml_does(void **state)
{
    (void)state;
    struct cz_json *tree;
    /* made by yaml.safe_dump(value, sort_keys=False) */
    const char *yaml =
        "name: aaa\n"
        "module: ''\n"
        "labels:\n"
        "  odd: 'yes'\n"
        "  time: '2026-11-23T03:55:23.653279+00:00'\n"
        "options: {}\n"
        "list:\n"
        "- 1\n"
        "- 2.5\n"
        "- true\n"
        "- 'x: y'\n"
        "- []\n"
        "s: '0123'\n"
        "n: null\n"
        "'12': v\n"
        "long: 'word word word word word word word word word word word word word word "
        "word\n"
        "  word word '\n";
    ASSERT_OK(cz_yaml_parse(&arena, cz_slice(yaml), &tree, &error));
    ASSERT_OK(cz_yaml_write(tree, &text, &error));
    assert_string_equal(text.data, yaml);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(reads_scalars_as_pyyaml_does, clean),
        cmocka_unit_test_teardown(reads_collections_and_lines, clean),
        cmocka_unit_test_teardown(expands_aliases, clean),
        cmocka_unit_test_teardown(bounds_the_expansion_of_aliases, clean),
        cmocka_unit_test_teardown(bounds_depth, clean),
        cmocka_unit_test_teardown(refuses_by_name, clean),
        cmocka_unit_test_teardown(writes_as_pyyaml_does, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
