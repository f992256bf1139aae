/*
 * walk.c - random walks from the mask alone always end, under a budget, in a whole answer; and the
 * mask is what accept says, token by token, over a vocabulary of pieces that cross all borders.
 */
#include "test.h"

#include "constraint/matcher.h"
#include "json/json.h"

static const char *const PIECES[] = {
    "{\"", "\": ", "\", \"", "\"}", "}, {", "\":", "\": \"", "[1, ", "], \"", "ab", "name", "na",
    "me\"", "a\": ", "12", "123", "0.", "e5", "true", "null", "\\u00", "\\\"", "é", "\xc3", "😀", "  ",
    "\n  ", "\"]", "]}", "}}", "\", \"a", "a\"", "\"a\"", "1]", "1, 1", "\"a\", \"a\"", "x\": 1, \"x",
    "abcdefgh", "ab12cd34ef56", "name-", "a@b", ".com", "abcdefghijklmnopqrstuvw", " {\"", " true",
    " 1", "\t", " \"", "\n\n\"a", " [", "\\u", "\\u006", "\\u0061", "\\u006E\\", "ab\"", "12 "};

enum { PIECE_COUNT = sizeof PIECES / sizeof *PIECES, END = 256 + PIECE_COUNT, COUNT = END + 1 };

static struct cz_vocab *make_vocab(void)
{
    static char bytes[256];
    static struct cz_slice tokens[COUNT];
    const uint32_t end = END;
    struct cz_vocab *vocab;
    struct cloze_error error;
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        tokens[i] = cz_slice_of(&bytes[i], 1);
    }
    for (int i = 0; i < PIECE_COUNT; i++)
        tokens[256 + i] = cz_slice(PIECES[i]);
    const struct cz_vocab_options options = {
        .count = COUNT, .logits_width = COUNT, .tokens = tokens, .end_ids = &end, .end_count = 1};
    ASSERT_OK(cz_vocab_create(&options, &vocab, &error));
    return vocab;
}

static const char *const SCHEMAS[] = {
    "{\"type\": \"object\"}",
    "{\"type\": \"object\", \"properties\": {\"name\": {\"type\": \"string\", \"maxLength\": 5}, \"na\": {\"type\": \"integer\", "
    "\"minimum\": 3, \"maximum\": 130}}, \"required\": [\"name\"]}",
    "{\"type\": \"array\", \"items\": {\"enum\": [1, 12, \"a\", \"ab\"]}, \"uniqueItems\": true, \"minItems\": 2}",
    "{\"type\": \"array\", \"contains\": {\"type\": \"integer\"}, \"items\": {\"type\": [\"integer\", \"string\"]}, \"maxContains\": 2}",
    "{\"oneOf\": [{\"type\": \"object\", \"required\": [\"a\"], \"properties\": {\"a\": {\"const\": 1}}}, {\"type\": \"object\", "
    "\"required\": [\"x\"]}]}",
    "{\"$ref\": \"#/$defs/t\", \"$defs\": {\"t\": {\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"array\", \"items\": {\"$ref\": "
    "\"#/$defs/t\"}}}, \"required\": [\"a\"]}}}",
    "{\"type\": \"object\", \"patternProperties\": {\"^a+$\": {\"type\": \"null\"}}, \"additionalProperties\": false, \"minProperties\": 2}",
    "{\"type\": \"string\", \"pattern\": \"^(ab|na)+$\", \"minLength\": 4}",
    "{\"const\": {\"b\": null, \"a\": \"x\"}, \"not\": {\"properties\": {\"a\": {\"type\": \"string\"}, \"b\": "
    "{\"type\": \"null\"}}, \"required\": [\"name\"]}}",
    "{\"anyOf\": [{\"type\": \"object\", \"properties\": {\"a\": {\"$ref\": \"#\"}, \"b\": {\"$ref\": \"#\"}}, \"required\": "
    "[\"a\", \"b\"]}, {\"type\": \"object\", \"required\": [\"name\"]}]}",
    "{\"type\": \"string\", \"pattern\": \"^[a-z0-9]{8}-[a-z0-9]{4,12}$\"}",
    "{\"type\": \"array\", \"items\": {\"type\": \"string\", \"pattern\": \"^[a-z0-9]{8}-[a-z0-9]{4,12}$\"}, "
    "\"maxItems\": 1}",
    "{\"type\": \"object\", \"properties\": {\"name\": {\"type\": \"string\", \"format\": \"email\"}, \"na\": {\"type\": "
    "\"string\", \"format\": \"hostname\"}}, \"minProperties\": 1}",
    "{\"type\": \"object\", \"properties\": {\"a\": true}, \"not\": {\"required\": [\"x\"]}, \"propertyNames\": {\"maxLength\": 2}}",
};

/* Every token of the vocabulary, tried and taken back. */
static void compare_with_accept(struct cz_matcher *matcher, const char *schema)
{
    bool allowed[COUNT];
    struct cz_mask mask = cz_matcher_mask(matcher);
    uint32_t count = 0;
    for (uint32_t token = 0; token < COUNT; token++)
        count += allowed[token] = cz_mask_has(mask, token);
    assert_int_equal(count, mask.count);
    for (uint32_t token = 0; token < COUNT; token++) {
        bool taken = cz_matcher_accept(matcher, token);
        if (taken != allowed[token])
            fail_msg("%s: after '%.*s' the mask says %d of token %u", schema,
                     CZ_SLICE_ARG(cz_matcher_text(matcher)), allowed[token], token);
        if (taken)
            cz_matcher_rollback(matcher, 1);
    }
}

static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

static uint32_t choose(struct cz_mask mask, uint64_t *seed)
{
    uint32_t wanted = next_random(seed) % mask.count;
    for (uint32_t token = 0;; token++) {
        if (cz_mask_has(mask, token) && wanted-- == 0)
            return token;
    }
}

static void walk(struct cz_vocab *vocab, const char *schema, enum cz_policy policy, bool compare)
{
    const struct cz_grammar_options options = {.policy = policy};
    struct cz_grammar *grammar;
    struct cz_matcher *matcher;
    struct cloze_error error;
    uint64_t seed = 12345;
    enum { BUDGET = 60, WALKS = 12 };
    if (cz_grammar_compile(vocab, cz_slice(schema), &options, &grammar, &error))
        fail_msg("%s: %s: %s", schema, error.where, error.message);
    for (int i = 0; i < WALKS; i++) {
        ASSERT_OK(cz_matcher_create(grammar, &matcher, &error));
        if (!compare)
            ASSERT_OK(cz_matcher_set_budget(matcher, BUDGET, &error));
        for (int step = 0; step < BUDGET && !cz_matcher_is_finished(matcher); step++) {
            if (compare)
                compare_with_accept(matcher, schema);
            struct cz_mask mask = cz_matcher_mask(matcher);
            if (mask.count == 0)
                fail_msg("%s: nothing is allowed after '%.*s'", schema,
                         CZ_SLICE_ARG(cz_matcher_text(matcher)));
            assert_true(cz_matcher_accept(matcher, choose(mask, &seed)));
        }
        if (!compare) {
            struct cz_arena arena = {0};
            struct cz_json *json;
            const struct cz_json_options lone = {.allow_lone_surrogates = true};
            if (!cz_matcher_is_finished(matcher))
                fail_msg("%s: no end within the budget: %.*s", schema,
                         CZ_SLICE_ARG(cz_matcher_text(matcher)));
            ASSERT_OK(cz_json_parse(&arena, cz_matcher_text(matcher), &lone, &json, &error));
            cz_arena_free(&arena);
        }
        cz_matcher_free(matcher);
    }
    cz_grammar_release(grammar);
}

static void the_mask_is_what_accept_says(void **state)
{
    (void)state;
    struct cz_vocab *vocab = make_vocab();
    for (size_t i = 0; i < sizeof SCHEMAS / sizeof *SCHEMAS; i++) {
        walk(vocab, SCHEMAS[i], CZ_POLICY_ACCEPT, true);
        walk(vocab, SCHEMAS[i], CZ_POLICY_GENERATE, true);
    }
    cz_vocab_release(vocab);
}

/* Of more nodes than the vocabulary compares patterns by. */
static void masks_of_a_large_pattern_are_right(void **state)
{
    (void)state;
    enum { REPEATS = 200 };
    static char schema[REPEATS * 8 + 64] = "{\"pattern\": \"^";
    struct cz_vocab *vocab = make_vocab();
    for (int i = 0; i < REPEATS; i++)
        strcat(schema, i % 2 ? "(ab|na)" : "[a-c]?");
    strcat(schema, "$\", \"type\": \"string\"}");
    for (int i = 0; i < 2; i++) {
        const struct cz_grammar_options options = {.policy = CZ_POLICY_ACCEPT};
        struct cz_grammar *grammar;
        struct cz_matcher *matcher;
        struct cloze_error error;
        ASSERT_OK(cz_grammar_compile(vocab, cz_slice(schema), &options, &grammar, &error));
        ASSERT_OK(cz_matcher_create(grammar, &matcher, &error));
        assert_true(cz_matcher_accept(matcher, '"'));
        compare_with_accept(matcher, schema);
        cz_matcher_free(matcher);
        cz_grammar_release(grammar);
    }
    cz_vocab_release(vocab);
}

static void every_walk_ends_within_its_budget(void **state)
{
    (void)state;
    struct cz_vocab *vocab = make_vocab();
    for (size_t i = 0; i < sizeof SCHEMAS / sizeof *SCHEMAS; i++) {
        walk(vocab, SCHEMAS[i], CZ_POLICY_ACCEPT, false);
        walk(vocab, SCHEMAS[i], CZ_POLICY_GENERATE, false);
    }
    cz_vocab_release(vocab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mask_is_what_accept_says),
        cmocka_unit_test(masks_of_a_large_pattern_are_right),
        cmocka_unit_test(every_walk_ends_within_its_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
