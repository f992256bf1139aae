/* hub.c - addresses of the hub, its listings, and which files are taken. */
#include "store/hub_repository.h"

#include "test.h"

static struct cz_arena arena;
static struct cloze_error error;

static int clean(void **state)
{
    (void)state;
    cz_arena_free(&arena);
    return 0;
}

static void parses_addresses(void **state)
{
    (void)state;
    struct cz_hub_address address;
    ASSERT_OK(cz_hub_address_parse("hf:gpt2", &address, &error));
    assert_string_equal(address.id, "gpt2");
    assert_string_equal(address.revision, "main");
    assert_string_equal(address.choice, "");
    ASSERT_OK(cz_hub_address_parse("hf:Org/Na.me-1@refs/pr/2:sub/a.Q4_0.gguf", &address, &error));
    assert_string_equal(address.id, "Org/Na.me-1");
    assert_string_equal(address.revision, "refs/pr/2");
    assert_string_equal(address.choice, "sub/a.Q4_0.gguf");
    static const char *const bad[] = {
        "hf:",   "hf:/a",       "hf:a/", "hf:a/b/c", "hf:a b",  "hf:../a",  "hf:a/.b",
        "hf:a@", "hf:a@x/../y", "hf:a:", "hf:a:/b",  "hf:a:..", "hf:a@b\nc"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ASSERT_FAILS(cz_hub_address_parse(bad[i], &address, &error), CLOZE_INVALID, "hf:ORG/NAME");
}

/* A listing of these files, which need no digests to be chosen among. */
static struct cz_hub_listing listing_of(const char *const *names)
{
    struct cz_hub_listing listing = {0};
    listing.files = CZ_ARENA_ARRAY(&arena, struct cz_hub_file, 32);
    for (; *names; names++)
        listing.files[listing.count++].path = *names;
    return listing;
}

/* "a, b" of the chosen files, or the error. */
static const char *choose(const char *const *names, const char *choice)
{
    static char text[512];
    struct cz_hub_listing listing = listing_of(names);
    struct cz_hub_address address = {.id = "o/n"};
    snprintf(address.choice, sizeof address.choice, "%s", choice);
    text[0] = '\0';
    if (cz_hub_listing_choose(&listing, &address, &error))
        return strcpy(text, error.message);
    for (size_t i = 0; i < listing.count; i++) {
        if (listing.files[i].chosen)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", *text ? ", " : "",
                     listing.files[i].path);
    }
    return text;
}

static void takes_safetensors_before_anything_else(void **state)
{
    (void)state;
    const char *const names[] = {".gitattributes",
                                 "README.md",
                                 "config.json",
                                 "consolidated.safetensors",
                                 "model-00001-of-00002.safetensors",
                                 "model-00002-of-00002.safetensors",
                                 "model.gguf",
                                 "model.safetensors.index.json",
                                 "original/x.safetensors",
                                 "pytorch_model.bin",
                                 "pytorch_model.bin.index.json",
                                 "tokenizer.model",
                                 NULL};
    assert_string_equal(choose(names, ""),
                        "README.md, config.json, model-00001-of-00002.safetensors, "
                        "model-00002-of-00002.safetensors, model.safetensors.index.json, "
                        "tokenizer.model");
    assert_string_equal(choose(names, "model.gguf"), "model.gguf");
}

static void takes_one_gguf_with_its_shards(void **state)
{
    (void)state;
    const char *const one[] = {"README.md", "config.json", "m-Q4_0.gguf", "mmproj-m.gguf", NULL};
    assert_string_equal(choose(one, ""), "m-Q4_0.gguf");
    const char *const many[] = {"m-Q4_0.gguf",
                                "m-Q4_K_M-00001-of-00002.gguf",
                                "m-Q4_K_M-00002-of-00002.gguf",
                                "m-Q8_0-00001-of-00002.gguf",
                                "m-Q8_0-00002-of-00002.gguf",
                                NULL};
    assert_string_equal(choose(many, "q4_k_m"),
                        "m-Q4_K_M-00001-of-00002.gguf, m-Q4_K_M-00002-of-00002.gguf");
    assert_string_equal(choose(many, "m-Q8_0-00001-of-00002.gguf"),
                        "m-Q8_0-00001-of-00002.gguf, m-Q8_0-00002-of-00002.gguf");
    assert_string_equal(choose(many, "Q4_0"), "m-Q4_0.gguf");
    assert_non_null(strstr(choose(many, ""), "choose one with :FILE or :QUANTISATION"));
    assert_non_null(
        strstr(choose(many, "Q4"), "no such file or quantisation; its GGUF files: m-Q4_0"));
}

static void refuses_the_rest(void **state)
{
    (void)state;
    const char *const torch[] = {"config.json", "pytorch_model.bin", NULL};
    assert_non_null(strstr(choose(torch, ""), "only PyTorch's *.bin"));
    const char *const none[] = {"README.md", NULL};
    assert_non_null(strstr(choose(none, ""), "holds no model"));
    const char *const file[] = {"config.json", NULL};
    assert_non_null(strstr(choose(file, "config.json"), "only a GGUF"));
}

static void reads_listings(void **state)
{
    (void)state;
    struct cz_hub_listing listing;
    const char *json = "{\"sha\":\"0123456789abcdef0123456789abcdef01234567\",\"siblings\":["
                       "{\"rfilename\":\"config.json\",\"size\":12,"
                       "\"blobId\":\"89abcdef0123456789abcdef0123456789abcdef\"},"
                       "{\"rfilename\":\"../evil\",\"size\":1},"
                       "{\"rfilename\":\"/evil\",\"size\":1},"
                       "{\"rfilename\":\"a.gguf\",\"size\":99,\"lfs\":{\"sha256\":\"zz\"}},"
                       "{\"rfilename\":\"sizeless\"}]}";
    ASSERT_OK(cz_hub_listing_parse(&arena, cz_slice(json), &listing, &error));
    assert_int_equal(listing.count, 2);
    assert_string_equal(listing.files[0].sha1, "89abcdef0123456789abcdef0123456789abcdef");
    assert_int_equal(listing.files[0].size, 12);
    assert_null(listing.files[1].sha256);
    ASSERT_FAILS(cz_hub_listing_parse(&arena, CZ_SLICE("{\"sha\":\"main\",\"siblings\":[]}"),
                                      &listing, &error),
                 CLOZE_NETWORK, "no commit");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(parses_addresses, clean),
        cmocka_unit_test_teardown(takes_safetensors_before_anything_else, clean),
        cmocka_unit_test_teardown(takes_one_gguf_with_its_shards, clean),
        cmocka_unit_test_teardown(refuses_the_rest, clean),
        cmocka_unit_test_teardown(reads_listings, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
