/* tag.c - the grammar of tags, and names made from sources. */
#include "store/tag.h"

#include "test.h"

static struct cloze_error error;

static void parses_names_and_versions(void **state)
{
    (void)state;
    struct cz_tag tag;
    char text[CZ_TAG_TEXT];
    ASSERT_OK(cz_tag_parse("a", &tag, &error));
    assert_string_equal(tag.name, "a");
    assert_string_equal(tag.version, "");
    ASSERT_OK(cz_tag_parse("mistralai--mistral-7b-v0.1:m7lmf5ac2cmubnnz", &tag, &error));
    assert_string_equal(tag.version, "m7lmf5ac2cmubnnz");
    assert_string_equal(cz_tag_text(&tag, text), "mistralai--mistral-7b-v0.1:m7lmf5ac2cmubnnz");
    ASSERT_OK(cz_tag_parse("Some_Model:V1.0", &tag, &error));
    assert_string_equal(cz_tag_text(&tag, text), "some_model:v1.0");
}

static void refuses_what_bentoml_refuses(void **state)
{
    (void)state;
    struct cz_tag tag;
    char longest[CZ_TAG_PART + 2];
    memset(longest, 'a', sizeof longest);
    longest[CZ_TAG_PART] = '\0';
    ASSERT_OK(cz_tag_parse(longest, &tag, &error));
    longest[CZ_TAG_PART] = 'a';
    longest[CZ_TAG_PART + 1] = '\0';
    const char *const bad[] = {"",    ":v",    "a/b",      "-a",  "a-",       ".a",   "a.",
                               "a b", "a:b:c", "\xc3\xa4", "a:-", "a:b/../c", longest};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ASSERT_FAILS(cz_tag_parse(bad[i], &tag, &error), CLOZE_INVALID, "is not a tag");
    ASSERT_FAILS(cz_tag_parse("a:", &tag, &error), CLOZE_INVALID, "'a:latest'");
}

static void makes_new_versions(void **state)
{
    (void)state;
    struct cz_tag a = {.name = "a"}, b = {.name = "a"};
    cz_tag_new_version(&a);
    cz_tag_new_version(&b);
    assert_int_equal(strlen(a.version), 16);
    assert_int_equal(strspn(a.version, "abcdefghijklmnopqrstuvwxyz234567"), 16);
    assert_string_not_equal(a.version, b.version);
}

static void names_models_by_their_source(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"mistralai/Mistral-7B-v0.1", "mistralai--mistral-7b-v0.1"},
        {"gpt2", "gpt2"},
        {"My Model (1)", "my-model--1"},
        {"..hidden..", "hidden"},
        {"a/b/c", "a--b--c"},
        {"./a/b", "a--b"},
    };
    struct cz_tag tag;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ASSERT_OK(cz_tag_name_from(cases[i][0], &tag, &error));
        assert_string_equal(tag.name, cases[i][1]);
    }
    char endless[200];
    memset(endless, 'x', sizeof endless);
    endless[sizeof endless - 1] = '\0';
    ASSERT_OK(cz_tag_name_from(endless, &tag, &error));
    assert_int_equal(strlen(tag.name), CZ_TAG_PART);
    ASSERT_FAILS(cz_tag_name_from("--", &tag, &error), CLOZE_INVALID, "give a TAG");
}

static void finds_stem_and_quantisation_of_gguf_names(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct", "Q4_1"},
        {"qwen2.5-0.5b-instruct-q4_k_m.gguf", "qwen2.5-0.5b-instruct", "q4_k_m"},
        {"Llama-3-00001-of-00003.gguf", "Llama-3", ""},
        {"M-BF16-00002-of-00003.gguf", "M", "BF16"},
        {"m.IQ2_XXS.gguf", "m", "IQ2_XXS"},
        {"F16.gguf", "F16", ""},
        {"model-v0.1.gguf", "model-v0.1", ""},
        {"sub/model-f32.gguf", "sub/model", "f32"},
        {"no-ending", "no-ending", ""},
        {"", "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cz_slice quant;
        size_t stem = cz_gguf_stem(cz_slice(cases[i][0]), &quant);
        ASSERT_SLICE(cz_slice_of(cases[i][0], stem), cases[i][1]);
        ASSERT_SLICE(quant, cases[i][2]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_names_and_versions),
        cmocka_unit_test(refuses_what_bentoml_refuses),
        cmocka_unit_test(makes_new_versions),
        cmocka_unit_test(names_models_by_their_source),
        cmocka_unit_test(finds_stem_and_quantisation_of_gguf_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
