/* encode.c - small tokenizers from tokenizer.json: what they encode, decode, trust and refuse. */
#include "test.h"

#include "model/tokenizer_build.h"
#include "tokenizer/tokenizer.h"

static struct cloze_error error;

/* Byte-level BPE with the bytes of "helo wrd<|>!", some merges, one special, one plain added token. */
static const char byte_level[] =
    "{\"added_tokens\": ["
    "{\"id\": 20, \"content\": \"<|end|>\", \"special\": true, \"normalized\": false},"
    "{\"id\": 21, \"content\": \"<tool>\", \"special\": false, \"normalized\": false}],"
    "\"normalizer\": null,"
    "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false},"
    "\"decoder\": {\"type\": \"ByteLevel\"},"
    "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": ["
    "  {\"SpecialToken\": {\"id\": \"<|end|>\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\"}}],"
    "  \"special_tokens\": {\"<|end|>\": {\"id\": \"<|end|>\", \"ids\": [20]}}},"
    "\"model\": {\"type\": \"BPE\", \"vocab\": {\"h\": 0, \"e\": 1, \"l\": 2, \"o\": 3, \"\\u0120\": 4,"
    "  \"w\": 5, \"r\": 6, \"d\": 7, \"<\": 8, \"|\": 9, \">\": 10, \"n\": 11, \"he\": 12, \"ll\": 13,"
    "  \"llo\": 14, \"hello\": 15, \"\\u0120w\": 16, \"t\": 17, \"\\u010a\": 18, \"\\u00c3\": 19,"
    "  \"\\u00a9\": 22}, "
    "\"merges\": [\"h e\", [\"l\", \"l\"], \"ll o\", [\"he\", \"llo\"], \"\\u0120 w\"]}}";

/* SentencePiece's shape: U+2581 for blanks, byte fallback. */
static const char blanks[] =
    "{\"added_tokens\": [{\"id\": 0, \"content\": \"<unk>\", \"special\": true}],"
    "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": ["
    "  {\"type\": \"Prepend\", \"prepend\": \"\\u2581\"},"
    "  {\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"\\u2581\"}]},"
    "\"decoder\": {\"type\": \"Sequence\", \"decoders\": ["
    "  {\"type\": \"Replace\", \"pattern\": {\"String\": \"\\u2581\"}, \"content\": \" \"},"
    "  {\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"},"
    "  {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}]},"
    "\"model\": {\"type\": \"BPE\", \"unk_token\": \"<unk>\", \"fuse_unk\": true, "
    "  \"byte_fallback\": true, \"vocab\": {\"<unk>\": 0, \"\\u2581\": 1, \"a\": 2, \"b\": 3,"
    "  \"ab\": 4, \"\\u2581ab\": 5, \"\\u2581\\u2581\": 6%s},"
    "  \"merges\": [\"a b\", \"\\u2581 ab\", \"\\u2581 \\u2581\"]}}";

struct fixture {
    struct cz_arena arena;
    struct cz_tokenizer_tables tables;
    struct cz_tokenizer *tokenizer;
};

static void open_fixture(struct fixture *fixture, const char *json)
{
    *fixture = (struct fixture){0};
    ASSERT_OK(cz_tokenizer_read_json(cz_slice(json), &fixture->arena, &fixture->tables, &error));
    ASSERT_OK(cz_tokenizer_create(&fixture->tables, &fixture->tokenizer, &error));
}

static void close_fixture(struct fixture *fixture)
{
    cz_tokenizer_free(fixture->tokenizer);
    cz_arena_free(&fixture->arena);
}

/* The ids of `text` as "1 2 3". */
static const char *ids_of(const struct fixture *fixture, const char *text,
                          const struct cz_encode_options *options)
{
    static char out[500];
    struct cz_ids ids = {0};
    ASSERT_OK(cz_tokenizer_encode(fixture->tokenizer, cz_slice(text), options, &ids, &error));
    out[0] = '\0';
    for (size_t i = 0; i < ids.count; i++)
        sprintf(out + strlen(out), "%s%u", i ? " " : "", ids.ids[i]);
    cz_ids_free(&ids);
    return out;
}

static void merges_in_rank_order(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, byte_level);
    assert_string_equal(ids_of(&fixture, "hello world", NULL), "15 16 3 6 2 7");
    assert_string_equal(ids_of(&fixture, "helo", NULL), "12 2 3");
    assert_string_equal(ids_of(&fixture, "", NULL), "");
    assert_string_equal(ids_of(&fixture, "\xC3\xA9", NULL), "19 22");
    close_fixture(&fixture);
}

static void long_pieces_merge_like_short_ones(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, byte_level);
    char text[5 * 60 + 1] = "";
    for (int i = 0; i < 60; i++)
        strcat(text, "hello");
    struct cz_ids ids = {0};
    ASSERT_OK(cz_tokenizer_encode(fixture.tokenizer, cz_slice(text), NULL, &ids, &error));
    assert_int_equal(ids.count, 60);
    for (size_t i = 0; i < ids.count; i++)
        assert_int_equal(ids.ids[i], 15);
    cz_ids_free(&ids);
    close_fixture(&fixture);
}

static void special_tokens_count_in_trusted_text_only(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, byte_level);
    const char *text = "<|end|><|end|>o<tool>";
    struct cz_span first = {0, 7}, cut[] = {{0, 3}, {3, 10}}, second = {7, 21};
    struct cz_encode_options trusted = {.parse_special = true},
                             one = {.spans = &first, .span_count = 1},
                             halves = {.spans = cut, .span_count = 2},
                             last = {.spans = &second, .span_count = 1, .add_special = true};
    assert_string_equal(ids_of(&fixture, text, NULL),
                        "8 9 1 11 7 9 10 8 9 1 11 7 9 10 3 21");
    assert_string_equal(ids_of(&fixture, text, &trusted), "20 20 3 21");
    assert_string_equal(ids_of(&fixture, text, &one), "20 8 9 1 11 7 9 10 3 21");
    assert_string_equal(ids_of(&fixture, text, &halves),
                        "8 9 1 11 7 9 10 8 9 1 11 7 9 10 3 21");
    assert_string_equal(ids_of(&fixture, text, &last), "20 8 9 1 11 7 9 10 20 3 21");
    close_fixture(&fixture);
}

static void bytes_are_exact(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, byte_level);
    ASSERT_SLICE(cz_tokenizer_bytes(fixture.tokenizer, 16), " w");
    ASSERT_SLICE(cz_tokenizer_bytes(fixture.tokenizer, 18), "\n");
    ASSERT_SLICE(cz_tokenizer_bytes(fixture.tokenizer, 19), "\xC3");
    ASSERT_SLICE(cz_tokenizer_bytes(fixture.tokenizer, 20), "");
    ASSERT_SLICE(cz_tokenizer_bytes(fixture.tokenizer, 21), "<tool>");
    ASSERT_SLICE(cz_tokenizer_bytes(fixture.tokenizer, 99), "");
    ASSERT_SLICE(cz_tokenizer_spelling(fixture.tokenizer, 20), "<|end|>");
    assert_true(cz_tokenizer_is_special(fixture.tokenizer, 20));
    assert_false(cz_tokenizer_is_special(fixture.tokenizer, 21));
    assert_int_equal(cz_tokenizer_find(fixture.tokenizer, CZ_SLICE("<|end|>")), 20);
    close_fixture(&fixture);
}

static void blanks_and_unknown_characters(void **state)
{
    (void)state;
    struct fixture fixture;
    char json[2000];
    snprintf(json, sizeof json, blanks, "");
    open_fixture(&fixture, json);
    assert_string_equal(ids_of(&fixture, "ab  ab", NULL), "5 1 5");
    assert_string_equal(ids_of(&fixture, "ab\xC3\xA9\xC3\xA9" "a", NULL), "5 0 2");
    const struct cz_encode_options goes_on = {.continues = true};
    assert_string_equal(ids_of(&fixture, "ab ab", &goes_on), "4 5");
    struct cz_buffer text = {0};
    const uint32_t ids[] = {5, 6, 2};
    ASSERT_OK(cz_tokenizer_decode(fixture.tokenizer, ids, 3, false, &text, &error));
    assert_string_equal(cz_buffer_text(&text), "ab  a");
    ASSERT_FAILS(cz_tokenizer_decode(fixture.tokenizer, (uint32_t[]){7}, 1, false, &text, &error),
                 CLOZE_INVALID, "id 7");
    cz_buffer_free(&text);
    close_fixture(&fixture);
}

static void bytes_stand_in_for_characters_without_a_token(void **state)
{
    (void)state;
    struct fixture fixture;
    char json[12000], bytes[8000] = "";
    for (int i = 0; i < 256; i++)
        sprintf(bytes + strlen(bytes), ", \"<0x%02X>\": %d", i, 7 + i);
    snprintf(json, sizeof json, blanks, bytes);
    open_fixture(&fixture, json);
    assert_string_equal(ids_of(&fixture, "a\xC3\xA9", NULL), "1 2 202 176");
    ASSERT_SLICE(cz_tokenizer_bytes(fixture.tokenizer, 202), "\xC3");
    close_fixture(&fixture);
}

static void refuses_text_that_is_not_utf8(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cz_ids ids = {0};
    open_fixture(&fixture, byte_level);
    ASSERT_FAILS(cz_tokenizer_encode(fixture.tokenizer, CZ_SLICE("he\xFF"), NULL, &ids, &error),
                 CLOZE_INVALID, "byte 2");
    cz_ids_free(&ids);
    close_fixture(&fixture);
}

static void refuses_files_by_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        cloze_status status;
        const char *part;
    } cases[] = {
        {"{\"model\": {\"type\": \"WordPiece\", \"vocab\": {}}}", CLOZE_UNSUPPORTED, "WordPiece"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [\"a b\"]}}",
         CLOZE_CORRUPT, "not in the vocabulary"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [\"ab\"]}}",
         CLOZE_CORRUPT, "blank between"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 0}, \"merges\": []}}",
         CLOZE_CORRUPT, "id 0"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 99999999}, \"merges\": []}}",
         CLOZE_LIMIT, "99999999"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [], \"dropout\": 0.1}}",
         CLOZE_UNSUPPORTED, "dropout"},
        {"{\"normalizer\": {\"type\": \"BertNormalizer\"},"
         "\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": []}}",
         CLOZE_UNSUPPORTED, "BertNormalizer"},
        {"{\"pre_tokenizer\": {\"type\": \"ByteLevel\"},"
         "\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": []}}",
         CLOZE_UNSUPPORTED, "ByteLevel"},
        {"[1, 2", CLOZE_INVALID, "line 1"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cz_arena arena = {0};
        struct cz_tokenizer_tables tables;
        ASSERT_FAILS(cz_tokenizer_read_json(cz_slice(cases[i].json), &arena, &tables, &error),
                     cases[i].status, cases[i].part);
        cz_arena_free(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_in_rank_order),
        cmocka_unit_test(long_pieces_merge_like_short_ones),
        cmocka_unit_test(special_tokens_count_in_trusted_text_only),
        cmocka_unit_test(bytes_are_exact),
        cmocka_unit_test(blanks_and_unknown_characters),
        cmocka_unit_test(bytes_stand_in_for_characters_without_a_token),
        cmocka_unit_test(refuses_text_that_is_not_utf8),
        cmocka_unit_test(refuses_files_by_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
