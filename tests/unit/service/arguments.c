/* Arguments of a request: coercion, fallbacks, and all problems in pydantic's words. */
#include "test.h"

#include "service/arguments.h"
#include "service/service.h"

static cloze_status never(struct cloze_call *call)
{
    (void)call;
    return CLOZE_INTERNAL;
}

static const struct cloze_parameter parameters[] = {
    CLOZE_INT("n"), CLOZE_NUMBER("x"), CLOZE_BOOL("b"), CLOZE_OBJECT("o"), CLOZE_ARRAY("a"),
    CLOZE_JSON("j"), CLOZE_NUMBER("r", .fallback = "0.5", .range = CLOZE_RANGE(0, 2)),
    CLOZE_INT("s", .optional = true, .range = CLOZE_AT_LEAST(1)),
    CLOZE_STRING("e", .fallback = "a", .choices = CLOZE_CHOICES("a", "b")),
    CLOZE_STRING("t", .optional = true, .json_text = true)};

enum { COUNT = sizeof parameters / sizeof *parameters };

static struct cloze_endpoint many = {
    .name = "many", .output = CLOZE_JSON, .handler = never, .parameters = parameters,
    .parameter_count = COUNT};

static struct cloze_service table = {.abi = CLOZE_SERVICE_ABI, .name = "Test", .endpoints = &many};

struct reading {
    struct cz_service *service;
    struct cz_arena arena;
    struct cz_argument values[COUNT];
    struct cz_problems problems;
    struct cz_buffer text; /* the body of the answer to the problems */
};

static cloze_status read_body(struct reading *reading, const char *body)
{
    struct cloze_error error;
    ASSERT_OK(cz_service_from_table(&table, ".", &reading->service, &error));
    cloze_status status =
        cz_arguments_from_body(&reading->service->endpoints[0], cz_slice(body), &reading->arena,
                               reading->values, &reading->problems, &error);
    struct cz_json_writer writer = {.out = &reading->text};
    cz_problems_write(&reading->problems, &writer);
    return status;
}

static void end(struct reading *reading)
{
    cz_buffer_free(&reading->text);
    cz_arena_free(&reading->arena);
    cz_service_free(reading->service);
}

/* The problem of one argument as "type: message", or "" when it has none. */
static const char *problem_of(struct reading *reading, const char *name)
{
    static char text[700];
    text[0] = '\0';
    for (struct cz_problem *item = reading->problems.first; item; item = item->next)
        if (item->location && strcmp(item->location, name) == 0)
            snprintf(text, sizeof text, "%s: %s", item->type, item->message);
    return text;
}

static void lists_every_missing_argument(void **state)
{
    (void)state;
    struct reading reading = {0};
    assert_int_equal(read_body(&reading, ""), CLOZE_INVALID);
    assert_int_equal(reading.problems.count, 6);
    assert_string_equal(problem_of(&reading, "n"), "missing: Field required");
    assert_string_equal(problem_of(&reading, "r"), "");
    end(&reading);
}

/* The messages are those that pydantic gives for the same arguments. */
static void speaks_like_pydantic(void **state)
{
    (void)state;
    static const struct {
        const char *body, *name, *problem;
    } cases[] = {
        {"{\"n\":\"x\"}", "n",
         "int_parsing: Input should be a valid integer, unable to parse string as an integer"},
        {"{\"n\":\"3.5\"}", "n",
         "int_parsing: Input should be a valid integer, unable to parse string as an integer"},
        {"{\"n\":1.5}", "n",
         "int_from_float: Input should be a valid integer, got a number with a fractional part"},
        {"{\"n\":[]}", "n", "int_type: Input should be a valid integer"},
        {"{\"n\":null}", "n", "int_type: Input should be a valid integer"},
        {"{\"n\":99999999999999999999}", "n", "int_parsing_size: Input should fit in 64 bits"},
        {"{\"x\":\"y\"}", "x",
         "float_parsing: Input should be a valid number, unable to parse string as a number"},
        {"{\"x\":[]}", "x", "float_type: Input should be a valid number"},
        {"{\"x\":1e999}", "x", "finite_number: Input should be a finite number"},
        {"{\"b\":\"maybe\"}", "b",
         "bool_parsing: Input should be a valid boolean, unable to interpret input"},
        {"{\"b\":2}", "b",
         "bool_parsing: Input should be a valid boolean, unable to interpret input"},
        {"{\"b\":null}", "b", "bool_type: Input should be a valid boolean"},
        {"{\"o\":1}", "o", "dict_type: Input should be an object"},
        {"{\"a\":{}}", "a", "list_type: Input should be a valid array"},
        {"{\"r\":3}", "r", "less_than_equal: Input should be less than or equal to 2"},
        {"{\"r\":-1}", "r", "greater_than_equal: Input should be greater than or equal to 0"},
        {"{\"s\":0}", "s", "greater_than_equal: Input should be greater than or equal to 1"},
        {"{\"e\":\"c\"}", "e", "literal_error: Input should be 'a' or 'b'"},
        {"{\"e\":1}", "e", "literal_error: Input should be 'a' or 'b'"},
        {"{\"t\":1}", "t", "string_type: Input should be a valid string"},
        {"{\"t\":\"a\\u0000b\"}", "t",
         "string_nul: Input should not contain the character U+0000"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct reading reading = {0};
        assert_int_equal(read_body(&reading, cases[i].body), CLOZE_INVALID);
        assert_string_equal(problem_of(&reading, cases[i].name), cases[i].problem);
        end(&reading);
    }
}

static void coerces_as_the_lax_mode_does(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"n\":1e3,\"x\":true,\"b\":\"yes\",\"o\":{},\"a\":[],\"j\":1}",
        "{\"n\":\" 1000 \",\"x\":\"1.0\",\"b\":1,\"o\":{},\"a\":[],\"j\":1}",
        "{\"n\":\"1000.0\",\"x\":\"+1\",\"b\":\"ON\",\"o\":{},\"a\":[],\"j\":1,\"unknown\":2}"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct reading reading = {0};
        assert_int_equal(read_body(&reading, bodies[i]), CLOZE_OK);
        assert_int_equal(reading.values[0].integer, 1000);
        assert_true(reading.values[1].number == 1.0);
        assert_true(reading.values[2].boolean);
        end(&reading);
    }
}

static void fills_in_fallbacks(void **state)
{
    (void)state;
    struct reading reading = {0};
    const char *body = "{\"n\":1,\"x\":1,\"b\":false,\"o\":{},\"a\":[],\"j\":null}";
    assert_int_equal(read_body(&reading, body), CLOZE_OK);
    assert_true(reading.values[5].is_null);
    assert_true(reading.values[6].number == 0.5);
    assert_true(reading.values[7].is_null);
    ASSERT_SLICE(reading.values[8].text, "a");
    end(&reading);
}

static void takes_json_where_its_text_is_meant(void **state)
{
    (void)state;
    struct reading reading = {0};
    read_body(&reading, "{\"t\":{\"type\":\"object\"}}");
    ASSERT_SLICE(reading.values[9].text, "{\"type\": \"object\"}");
    end(&reading);
}

static void says_where_json_breaks(void **state)
{
    (void)state;
    struct reading reading = {0};
    assert_int_equal(read_body(&reading, "{\"n\": 1,}"), CLOZE_INVALID);
    assert_string_equal(reading.problems.first->type, "json_invalid");
    assert_non_null(strstr(reading.text.data, "\"loc\":[]"));
    assert_non_null(strstr(reading.text.data, "line 1"));
    end(&reading);
}

static void wants_an_object(void **state)
{
    (void)state;
    struct reading reading = {0};
    assert_int_equal(read_body(&reading, "[1]"), CLOZE_INVALID);
    assert_string_equal(reading.text.data,
                        "{\"error\":\"1 validation error for Input\",\"detail\":[{\"type\":"
                        "\"model_type\",\"loc\":[],\"msg\":\"Input should be an object\"}]}");
    end(&reading);
}

static void reads_a_form_field_as_json_or_text(void **state)
{
    (void)state;
    struct cloze_error error;
    struct cz_arena arena = {0};
    struct cz_json object = {.kind = CZ_JSON_OBJECT};
    ASSERT_OK(cz_arguments_add_field(&object, cz_slice("n"), cz_slice("5"), &arena, &error));
    ASSERT_OK(cz_arguments_add_field(&object, cz_slice("t"), cz_slice("5 {"), &arena, &error));
    assert_true(cz_json_is(cz_json_get(&object, "n"), CZ_JSON_NUMBER));
    ASSERT_SLICE(cz_json_get(&object, "t")->text, "5 {");
    cz_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_every_missing_argument),
        cmocka_unit_test(speaks_like_pydantic),
        cmocka_unit_test(coerces_as_the_lax_mode_does),
        cmocka_unit_test(fills_in_fallbacks),
        cmocka_unit_test(takes_json_where_its_text_is_meant),
        cmocka_unit_test(says_where_json_breaks),
        cmocka_unit_test(wants_an_object),
        cmocka_unit_test(reads_a_form_field_as_json_or_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
