/*
 * schema.c - what schemas accept and refuse, as a table; over a vocabulary of single bytes, so that
 * every state on the way is visited, and the mask is compared with accept at every step.
 */
#include "test.h"

#include "constraint/matcher.h"

enum { END = 256 };

static struct cz_vocab *byte_vocab(void)
{
    static char bytes[256];
    static struct cz_slice tokens[257];
    const uint32_t end = END;
    struct cz_vocab *vocab;
    struct cloze_error error;
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        tokens[i] = cz_slice_of(&bytes[i], 1);
    }
    const struct cz_vocab_options options = {
        .count = 257, .logits_width = 257, .tokens = tokens, .end_ids = &end, .end_count = 1};
    ASSERT_OK(cz_vocab_create(&options, &vocab, &error));
    return vocab;
}

/* Whether the text is accepted whole; the mask must agree with accept on the way. */
static bool accepts(struct cz_grammar *grammar, const char *text)
{
    struct cz_matcher *matcher;
    struct cloze_error error;
    bool good = true;
    ASSERT_OK(cz_matcher_create(grammar, &matcher, &error));
    for (const char *at = text; *at && good; at++) {
        bool allowed = cz_mask_has(cz_matcher_mask(matcher), (uint8_t)*at);
        good = cz_matcher_accept(matcher, (uint8_t)*at);
        if (allowed != good)
            fail_msg("mask and accept differ at '%s' of '%s'", at, text);
    }
    good = good && cz_matcher_is_accepting(matcher);
    if (good) {
        assert_true(cz_mask_has(cz_matcher_mask(matcher), END));
        assert_true(cz_matcher_accept(matcher, END));
        assert_true(cz_matcher_is_finished(matcher));
    }
    cz_matcher_free(matcher);
    return good;
}

struct row {
    const char *schema;
    const char *valid[8], *invalid[8];
};

static void check_rows(const struct row *rows, size_t count, enum cz_policy policy)
{
    struct cz_vocab *vocab = byte_vocab();
    const struct cz_grammar_options options = {.policy = policy};
    for (size_t i = 0; i < count; i++) {
        struct cz_grammar *grammar;
        struct cloze_error error;
        if (cz_grammar_compile(vocab, cz_slice(rows[i].schema), &options, &grammar, &error))
            fail_msg("%s: %s: %s", rows[i].schema, error.where, error.message);
        for (int j = 0; j < 8 && rows[i].valid[j]; j++) {
            if (!accepts(grammar, rows[i].valid[j]))
                fail_msg("%s refuses %s", rows[i].schema, rows[i].valid[j]);
        }
        for (int j = 0; j < 8 && rows[i].invalid[j]; j++) {
            if (accepts(grammar, rows[i].invalid[j]))
                fail_msg("%s accepts %s", rows[i].schema, rows[i].invalid[j]);
        }
        cz_grammar_release(grammar);
    }
    cz_vocab_release(vocab);
}

static void acceptance_follows_the_standard(void **state)
{
    (void)state;
    static const struct row ROWS[] = {
        {"{\"type\": \"integer\", \"minimum\": 3, \"exclusiveMaximum\": 10}",
         {"3", "9", "9.0", "3e0", "0.3e1", "900e-2"}, {"2", "10", "3.5", "1e1", "-3", "03"}},
        {"{\"multipleOf\": 0.01}", {"0.07", "1", "-3.25", "1e-2", "\"x\""}, {"0.075", "1e-3"}},
        {"{\"not\": {\"type\": \"integer\"}}", {"1.5", "\"1\"", "null"}, {"1", "1.0", "-20"}},
        {"{\"type\": \"string\", \"minLength\": 2, \"maxLength\": 3}",
         {"\"ab\"", "\"\\u00e9x\"", "\"\\ud83d\\ude00a\"", "\"äöü\""}, {"\"a\"", "\"abcd\"", "\"\\ud83d\\ude00\""}},
        {"{\"type\": \"string\", \"pattern\": \"^a+b\"}", {"\"aab\"", "\"abz\"", "\"\\u0061b\""}, {"\"b\"", "\"xab\""}},
        {"{\"pattern\": \"a\"}", {"\"xaé\"", "\"éa\""}, {"\"a\xcc\xf2\"", "\"a\xc0\x80\"", "\"\xcc\x61\""}},
        {"{\"patternProperties\": {\"^a\": true}, \"additionalProperties\": false}",
         {"{\"aé\": 1}"}, {"{\"a\xcc\": 1}"}},
        {"{\"properties\": {\"a\": {\"type\": \"integer\"}, \"b\": true}, \"required\": [\"a\"], "
         "\"additionalProperties\": false}",
         {"{\"a\": 1}", "{\"b\": null, \"a\": 1}", "{\"\\u0061\":2}", "3"},
         {"{}", "{\"a\": \"x\"}", "{\"a\": 1, \"c\": 2}", "{\"a\": 1, \"a\": 2}", "{\"a\":1,\"\\u0061\":1}"}},
        {"{\"type\": \"object\"}", {"{}", "{\"x\": 1, \"y\": [1, {}]}"}, {"{\"x\": 1, \"x\": 2}", "[]"}},
        {"{\"oneOf\": [{\"required\": [\"a\"]}, {\"required\": [\"b\"]}], \"type\": \"object\"}",
         {"{\"a\": 1}", "{\"b\": 1}", "{\"c\": 0, \"a\": 1}"}, {"{}", "{\"a\": 1, \"b\": 2}"}},
        {"{\"type\": \"object\", \"oneOf\": [{\"properties\": {\"a\": {\"type\": \"integer\"}}}, "
         "{\"properties\": {\"b\": {\"type\": \"string\"}}}, {\"required\": [\"c\"]}]}",
         {"{\"a\": \"x\"}", "{\"b\": 1}", "{\"a\": null, \"c\": 2, \"b\": 1}", "{\"a\": 1, \"b\": 2}"},
         {"{}", "{\"a\": 1}", "{\"a\": \"x\", \"b\": 1}", "{\"a\": \"x\", \"c\": 1}", "{\"c\": 1}"}},
        {"{\"not\": {\"oneOf\": [{\"required\": [\"a\"]}, {\"required\": [\"b\"]}]}, \"minProperties\": 1, "
         "\"type\": \"object\"}",
         {"{\"c\": 1}", "{\"a\": 1, \"b\": 2}", "{\"b\": 1, \"c\": 2, \"a\": 3}"},
         {"{}", "{\"a\": 1}", "{\"c\": 1, \"b\": 2}"}},
        {"{\"type\": \"array\", \"oneOf\": [{\"items\": {\"type\": \"integer\"}}, {\"contains\": "
         "{\"const\": 1}}, {\"maxItems\": 1}]}",
         {"[2, 3]", "[1, \"x\"]", "[\"x\"]"},
         {"[]", "[1]", "[1, 2]", "[\"x\", \"x\"]", "[2]"}},
        {"{\"oneOf\": [{\"type\": \"integer\"}, {\"minimum\": 2}]}", {"1", "2.5", "\"x\""}, {"3", "1.5"}},
        {"{\"uniqueItems\": true}", {"[1, 2]", "[[1], [2]]", "[1, true]", "[1e500, 2e500]"}, {"[1, 1.0]", "[{\"a\": 1, \"b\": 2}, {\"b\": 2, \"a\": 1}]", "[\"a\", \"\\u0061\"]", "[1e500, 10e499]"}},
        {"{\"type\": \"array\", \"not\": {\"uniqueItems\": true}, \"maxItems\": 3}",
         {"[1, 1]", "[1, 2, 1.0]", "[{}, {}, 3]"}, {"[]", "[1]", "[1, 2]", "[1, 2, 3]", "[1, 1, 2, 3]"}},
        {"{\"uniqueItems\": true, \"prefixItems\": [{\"enum\": [\"ab\", \"ac\"]}, {\"const\": \"ac\"}], \"minItems\": 2}",
         {"[\"ab\", \"ac\"]"}, {"[\"ac\", \"ac\"]", "[\"ac\"]"}},
        {"{\"uniqueItems\": true, \"items\": {\"properties\": {\"d\": {\"uniqueItems\": true}}}}",
         {"[{\"d\": [{\"a\": 1}, {\"a\": 2}]}, {\"d\": [{\"a\": 1}]}, {\"d\": [[1], [2]]}]"},
         {"[{\"d\": [{\"a\": 1}, {\"a\": 1}]}]", "[{\"d\": [[1]]}, {\"d\": [[1]]}]"}},
        {"{\"contains\": {\"const\": 5}, \"minContains\": 2, \"maxContains\": 3}",
         {"[5, 1, 5]", "[5,5,5]", "{}"}, {"[5]", "[5, 5, 5, 5]", "[]"}},
        {"{\"if\": {\"properties\": {\"t\": {\"const\": 1}}, \"required\": [\"t\"]}, "
         "\"then\": {\"required\": [\"u\"]}, \"else\": {\"maxProperties\": 1}}",
         {"{\"t\": 1, \"u\": 2}", "{\"u\": 1, \"t\": 1}", "{\"t\": 2}", "{}"},
         {"{\"t\": 1}", "{\"t\": 2, \"u\": 1}"}},
        {"{\"properties\": {\"a\": true}, \"anyOf\": [{\"properties\": {\"b\": true}, \"required\": [\"b\"]}, true], "
         "\"unevaluatedProperties\": false}",
         {"{\"a\": 1}", "{\"b\": 1, \"a\": 2}"}, {"{\"c\": 1}", "{\"b\": 1, \"c\": 1}"}},
        {"{\"patternProperties\": {\"^x\": {\"type\": \"string\"}, \"y$\": {\"maxLength\": 1}}, \"minProperties\": 1}",
         {"{\"xy\": \"a\"}", "{\"z\": 1}", "{\"x\": \"abc\"}"}, {"{}", "{\"xy\": \"ab\"}", "{\"x\": 1}"}},
        {"{\"$ref\": \"#/$defs/n\", \"$defs\": {\"n\": {\"type\": \"object\", \"properties\": {\"n\": {\"$ref\": \"#/$defs/n\"}}, "
         "\"additionalProperties\": false}}}",
         {"{}", "{\"n\": {\"n\": {}}}"}, {"{\"n\": 1}", "{\"n\": {\"m\": {}}}"}},
        {"{\"enum\": [1, \"a\", null, [1, {\"x\": 2}]]}", {"1.0", "\"a\"", "null", "[1, {\"x\": 2.0}]"}, {"2", "\"b\"", "[1]", "[1, {}]"}},
    };
    check_rows(ROWS, sizeof ROWS / sizeof *ROWS, CZ_POLICY_ACCEPT);
}

static void generation_is_the_documented_subset(void **state)
{
    (void)state;
    static const struct row ROWS[] = {
        {"{\"type\": \"object\", \"properties\": {\"name\": {\"type\": \"string\"}, \"age\": {\"type\": \"integer\"}}, "
         "\"required\": [\"name\"]}",
         {"{\"name\": \"x\", \"age\": 3}", "{\"name\": \"\"}"},
         {"{\"age\": 3, \"name\": \"x\"}", "{\"name\":\"x\"}", "{\"name\": \"x\", \"z\": 1}", "{\"name\": \"\\u0061\"}"}},
        {"{\"type\": \"integer\"}", {"0", "-12", "123456789012345"}, {"1.0", "1e2", "-0", "1234567890123456"}},
        {"{\"type\": \"number\"}", {"0.5", "-1.25", "3"}, {"1e5", "0.1234567890123456"}},
        {"{\"type\": \"string\"}", {"\"\\n\"", "\"\\u0001\"", "\"/\""}, {"\"\\/\"", "\"\\ud800\"", "\"\\u000a\""}},
    };
    check_rows(ROWS, sizeof ROWS / sizeof *ROWS, CZ_POLICY_GENERATE);
}

static void what_cannot_be_met_is_refused(void **state)
{
    (void)state;
    static const char *const SCHEMAS[] = {
        "false", "{\"type\": \"string\", \"enum\": [1, 2]}", "{\"type\": \"object\", \"required\": [\"a\"], \"properties\": {\"a\": false}}",
        "{\"allOf\": [{\"type\": \"integer\", \"minimum\": 5}, {\"maximum\": 4.5}], \"type\": \"number\"}",
        "{\"type\": \"string\", \"pattern\": \"^a$\", \"minLength\": 2}",
        "{\"type\": \"array\", \"items\": {\"enum\": [1, 2]}, \"uniqueItems\": true, \"minItems\": 3}",
        "{\"type\": \"array\", \"uniqueItems\": true, \"contains\": {\"const\": 1}, \"minContains\": 2}",
        "{\"type\": \"array\", \"not\": {\"uniqueItems\": true}, \"prefixItems\": [{\"const\": 1}, {\"const\": 2}], \"maxItems\": 2}",
        "{\"type\": \"object\", \"properties\": {\"x\": {\"$ref\": \"#\"}}, \"required\": [\"x\"]}",
    };
    struct cz_vocab *vocab = byte_vocab();
    for (size_t i = 0; i < sizeof SCHEMAS / sizeof *SCHEMAS; i++) {
        const struct cz_grammar_options options = {.policy = CZ_POLICY_ACCEPT};
        struct cz_grammar *grammar;
        struct cloze_error error;
        if (cz_grammar_compile(vocab, cz_slice(SCHEMAS[i]), &options, &grammar, &error) !=
            CLOZE_UNSATISFIABLE)
            fail_msg("%s is not refused as unsatisfiable", SCHEMAS[i]);
    }
    cz_vocab_release(vocab);
}

static void errors_name_the_place(void **state)
{
    (void)state;
    struct cz_vocab *vocab = byte_vocab();
    const struct cz_grammar_options options = {.policy = CZ_POLICY_ACCEPT};
    struct cz_grammar *grammar;
    struct cloze_error error;
    ASSERT_FAILS(cz_grammar_compile(vocab, CZ_SLICE("{\"properties\": {\"a\": {\"pattern\": \"(\"}}}"),
                                    &options, &grammar, &error),
                 CLOZE_INVALID, "/properties/a/pattern");
    ASSERT_FAILS(cz_grammar_compile(vocab, CZ_SLICE("{\"items\": {\"$ref\": \"other.json\"}}"),
                                    &options, &grammar, &error),
                 CLOZE_NOT_FOUND, "/items/$ref");
    ASSERT_FAILS(cz_grammar_compile(vocab, CZ_SLICE("{\"allOf\": [{\"$ref\": \"#\"}]}"), &options,
                                    &grammar, &error),
                 CLOZE_INVALID, "itself");
    cz_vocab_release(vocab);
}

/* A meta-schema that the caller supplies tells which keywords count. */
static void vocabularies_are_read(void **state)
{
    (void)state;
    static const char BEGIN[] = "{\"$schema\": \"https://json-schema.org/draft/2020-12/schema\", "
                                "\"$vocabulary\": {\"https://json-schema.org/draft/2020-12/vocab/";
    struct cz_vocab *vocab = byte_vocab();
    struct cz_buffer shapes = {0}, strange = {0};
    cz_buffer_printf(&shapes, "%sapplicator\": true}}", BEGIN);
    cz_buffer_printf(&strange, "%score\": true, \"urn:x:vocab\": true}}", BEGIN);
    const struct cz_schema_resource resources[] = {{"urn:x:shapes", cz_buffer_slice(&shapes)},
                                                   {"urn:x:strange", cz_buffer_slice(&strange)}};
    const struct cz_grammar_options options = {
        .policy = CZ_POLICY_ACCEPT, .resources = resources, .resource_count = 2};
    struct cz_grammar *grammar;
    struct cloze_error error;
    ASSERT_OK(cz_grammar_compile(
        vocab,
        CZ_SLICE("{\"$schema\": \"urn:x:shapes\", \"type\": \"array\", \"items\": {\"minimum\": 3}, "
                 "\"not\": {\"prefixItems\": [true], \"items\": false}}"),
        &options, &grammar, &error));
    assert_true(accepts(grammar, "[1, 2]"));
    assert_false(accepts(grammar, "{}")); /* "not" counts, and so do its schemas */
    cz_grammar_release(grammar);
    ASSERT_FAILS(cz_grammar_compile(vocab, CZ_SLICE("{\"$schema\": \"urn:x:strange\"}"), &options,
                                    &grammar, &error),
                 CLOZE_UNSUPPORTED, "urn:x:vocab");
    cz_buffer_free(&shapes);
    cz_buffer_free(&strange);
    cz_vocab_release(vocab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acceptance_follows_the_standard),
        cmocka_unit_test(generation_is_the_documented_subset),
        cmocka_unit_test(what_cannot_be_met_is_refused),
        cmocka_unit_test(errors_name_the_place),
        cmocka_unit_test(vocabularies_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
