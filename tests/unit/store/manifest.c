/* manifest.c - model.yaml read and written. */
#include "store/manifest.h"

#include "test.h"

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

static void writes_bentoml_s_layout(void **state)
{
    (void)state;
    struct cz_tag tag = {"mistralai--mistral-7b-v0.1", "m7lmf5ac2cmubnnz"};
    struct cz_manifest_facts facts = {
        .model_id = "mistralai/Mistral-7B-v0.1", .format = "gguf", .parameters = 7241732096};
    ASSERT_OK(cz_manifest_write(&tag, 1714027959317038, &facts, &text, &error));
    assert_string_equal(text.data, "name: mistralai--mistral-7b-v0.1\n"
                                   "version: m7lmf5ac2cmubnnz\n"
                                   "module: ''\n"
                                   "labels: {}\n"
                                   "options: {}\n"
                                   "metadata:\n"
                                   "  model_id: mistralai/Mistral-7B-v0.1\n"
                                   "  format: gguf\n"
                                   "  parameters: 7241732096\n"
                                   "context:\n"
                                   "  framework_name: cloze\n"
                                   "  framework_versions:\n"
                                   "    cloze: " CLOZE_VERSION "\n"
                                   "  bentoml_version: 1.4.38\n"
                                   "  python_version: ''\n"
                                   "signatures: {}\n"
                                   "api_version: v1\n"
                                   "creation_time: '2024-04-25T06:52:39.317038+00:00'\n");
    struct cz_manifest manifest;
    ASSERT_OK(cz_manifest_parse(&arena, cz_buffer_slice(&text), &manifest, &error));
    assert_string_equal(manifest.tag.name, tag.name);
    assert_string_equal(manifest.tag.version, tag.version);
    assert_int_equal(manifest.creation_us, 1714027959317038);
    ASSERT_SLICE(manifest.module, "");
}

static void keeps_what_it_does_not_know_when_renaming(void **state)
{
    (void)state;
    struct cz_manifest manifest;
    ASSERT_OK(cz_manifest_parse(&arena,
                                CZ_SLICE("name: a\nversion: v1\nextra: {b: [1, 'yes']}\n"
                                         "creation_time: 2024-04-25 06:52:39Z\n"),
                                &manifest, &error));
    ASSERT_OK(cz_manifest_rename(&manifest, &(struct cz_tag){"c", "v2"}, &text, &error));
    assert_string_equal(text.data, "name: c\nversion: v2\nextra:\n  b:\n  - 1\n  - 'yes'\n"
                                   "creation_time: '2024-04-25 06:52:39Z'\n");
}

static void reads_times(void **state)
{
    (void)state;
    uint64_t us;
    assert_true(cz_manifest_time(CZ_SLICE("2024-04-25T06:52:39.317038+00:00"), &us));
    assert_int_equal(us, 1714027959317038);
    assert_true(cz_manifest_time(CZ_SLICE("2024-04-25 08:52:39.3+02:00"), &us));
    assert_int_equal(us, 1714027959300000);
    assert_true(cz_manifest_time(CZ_SLICE("2024-04-25T06:52:39"), &us));
    assert_int_equal(us, 1714027959000000);
    static const char *const bad[] = {"",
                                      "2024-04-25",
                                      "2024-13-25T06:52:39",
                                      "2024-04-25T06:52",
                                      "2024-04-25T06:52:39x",
                                      "2024-04-25T06:52:39+",
                                      "0000-01-01T00:00:00"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(cz_manifest_time(cz_slice(bad[i]), &us));
}

static void names_what_is_wrong(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"- a\n", "is not a mapping"},
        {"version: v\n", "no text 'name'"},
        {"name: 12\nversion: v\n", "no text 'name'"},
        {"name: a/b\nversion: v\n", "not part of a tag"},
        {"name: a\nversion: v\n", "creation_time"},
        {"name: a\nversion: v\ncreation_time: soon\n", "creation_time"},
    };
    struct cz_manifest manifest;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ASSERT_FAILS(cz_manifest_parse(&arena, cz_slice(cases[i][0]), &manifest, &error),
                     CLOZE_CORRUPT, cases[i][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(writes_bentoml_s_layout, clean),
        cmocka_unit_test_teardown(keeps_what_it_does_not_know_when_renaming, clean),
        cmocka_unit_test_teardown(reads_times, clean),
        cmocka_unit_test_teardown(names_what_is_wrong, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
