/* Definitions: service.yaml and tables, and what is wrong with them. */
#include "test.h"

#include "service/document.h"
#include "service/service.h"

#define HEAD "service: Test\nendpoints:\n  e:\n"
#define TAIL "    generate: {prompt: '{{ p }}'}\n    output: object\n"

static cloze_status define(const char *source, struct cz_service **service,
                           struct cloze_error *error)
{
    *service = cz_service_new(".", error);
    cloze_status status = cz_service_define_yaml(*service, cz_slice(source), "test.yaml", error);
    return status ? status : cz_service_prepare(*service, error);
}

static void reads_a_whole_definition(void **state)
{
    (void)state;
    struct cloze_error error;
    struct cz_service *service;
    ASSERT_OK(define("service: Test\ndescription: What it does.\nmodel: some-model\n"
                     "traffic: {timeout: 300, max_concurrency: 2, max_queue: 3}\n"
                     "resources: {gpu: 1, gpu_type: nvidia-l4}\n"
                     "endpoints:\n"
                     "  e:\n"
                     "    route: /v2/e\n"
                     "    input:\n"
                     "      p: {type: string, default: hello}\n"
                     "      k: {type: string, enum: [a, b], optional: true}\n"
                     "    generate: {prompt: 'say {{ p }}', temperature: 0.7}\n"
                     "    output: string\n",
                     &service, &error));
    assert_string_equal(service->table->model, "some-model");
    assert_int_equal(service->timeout_s, 300);
    assert_int_equal(service->max_concurrency, 2);
    assert_string_equal(service->endpoints[0].route, "/v2/e");
    assert_int_equal(service->endpoints[0].table->parameter_count, 6); /* 2 and the sampling */
    ASSERT_SLICE(service->endpoints[0].parameters[0].fallback.text, "hello");
    assert_true(service->endpoints[0].parameters[2].fallback.number == 0.7);
    cz_service_free(service);
}

/* Each mistake is refused with its line and, where one is near, what was meant. */
static void refuses_mistakes_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *source, *where, *message;
    } cases[] = {
        {"servce: Test\n", "line 1", "did you mean 'service'?"},
        {HEAD "    inputs: {}\n" TAIL, "line 4", "did you mean 'input'?"},
        {HEAD "    input: {p: {type: strng}}\n" TAIL, "line 4", "did you mean 'string'?"},
        {HEAD "    input: {p: {type: boolean}}\n" TAIL, "line 4", "did you mean 'bool'?"},
        {HEAD "    input: {p: {default: 1}}\n" TAIL, "line 4", "needs a type"},
        {HEAD "    input: {text: {type: string}}\n    generate: {prompt: '{{ txt }}'}\n"
              "    output: object\n",
         "line 5", "did you mean 'text'?"},
        {HEAD "    input: {p: {type: int, default: x}}\n" TAIL, "e: p", "the default"},
        {HEAD "    input: {p: {type: int, default: 5, maximum: 4}}\n" TAIL, "e: p",
         "less than or equal to 4"},
        {HEAD "    input: {p: {type: string, default: {file: nowhere.txt}}}\n" TAIL,
         "nowhere.txt", ""},
        {HEAD "    input: {p: {type: string, maximum: 4}}\n" TAIL, "p", "a range needs the type"},
        {HEAD "    input: {1p: {type: string}}\n" TAIL, "", "is not an argument"},
        {HEAD "    input: {p: {type: string}}\n    generate: {prompt: '{{ p }'}\n"
              "    output: object\n",
         "line 5", "'{{' without '}}'"},
        {HEAD "    input: {p: {type: string}}\n    generate: {prompt: '{{ p | upper }}'}\n"
              "    output: object\n",
         "line 5", "only {{ argument }}"},
        {HEAD "    input: {p: {type: string}}\n    output: object\n", "line 3", "'generate'"},
        {HEAD "    input: {p: {type: string}}\n    generate: {prompt: '{{ p }}'}\n", "line 3",
         "output needs a type"},
        {HEAD "    route: /livez\n    input: {p: {type: string}}\n" TAIL, "/livez",
         "route of the server"},
        {"service: Test\ntraffic: {timeout: soon}\n", "line 2", "whole number"},
        {"service: Test\n", "line 1", "endpoints"},
        {"service: Te st\nendpoints: {e: {input: {p: {type: string}}, generate: {prompt: x}, "
         "output: json}}\n",
         "service", "letters, digits"},
        {"[1, 2]", "line 1", "mapping"},
        {"a: b: c\n", "test.yaml", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cloze_error error = {0};
        struct cz_service *service;
        cloze_status status = define(cases[i].source, &service, &error);
        if (status == CLOZE_OK || !strstr(error.where, cases[i].where) ||
            !strstr(error.message, cases[i].message))
            fail_msg("case %zu: %s: %s", i, error.where, error.message);
        cz_service_free(service);
    }
}

static cloze_status handler(struct cloze_call *call)
{
    (void)call;
    return CLOZE_OK;
}

static void refuses_a_table_of_another_version(void **state)
{
    (void)state;
    struct cloze_error error;
    struct cz_service *service;
    struct cloze_endpoint endpoint = {.name = "e", .output = CLOZE_INT, .handler = handler};
    struct cloze_service table = {
        .abi = CLOZE_SERVICE_ABI + 1, .name = "Test", .endpoints = &endpoint};
    ASSERT_FAILS(cz_service_from_table(&table, ".", &service, &error), CLOZE_UNSUPPORTED, "ABI");
    assert_null(service);
}

static void refuses_two_endpoints_of_one_name(void **state)
{
    (void)state;
    struct cloze_error error;
    struct cz_service *service;
    struct cloze_endpoint second = {
        .name = "e", .route = "/other", .output = CLOZE_INT, .handler = handler};
    struct cloze_endpoint first = {
        .name = "e", .output = CLOZE_INT, .handler = handler, .next = &second};
    struct cloze_service table = {.abi = CLOZE_SERVICE_ABI, .name = "Test", .endpoints = &first};
    ASSERT_FAILS(cz_service_from_table(&table, ".", &service, &error), CLOZE_INVALID, "this name");
}

static const struct cloze_parameter parameters[] = {
    CLOZE_INT("n"),
    CLOZE_ARRAY("a"),
    CLOZE_JSON("j"),
    CLOZE_NUMBER("r", .fallback = "0.5", .range = CLOZE_RANGE(0, 2), .description = "The r."),
    CLOZE_STRING("json_schema", .optional = true, .fallback = "{}"),
    CLOZE_STRING("e", .fallback = "a", .choices = CLOZE_CHOICES("a", "b"))};

/* Recorded from BentoML 1.4.38 for the same endpoints; only titles' order inside a property with a
 * range differs there from case to case. */
static void writes_upstreams_schema(void **state)
{
    (void)state;
    struct cloze_endpoint list = {.name = "l", .output = CLOZE_ARRAY, .handler = handler};
    struct cloze_endpoint many = {.name = "many", .output = CLOZE_OBJECT, .handler = handler,
                                  .parameters = parameters, .parameter_count = 6, .next = &list};
    struct cloze_service table = {.abi = CLOZE_SERVICE_ABI, .name = "Outlines", .endpoints = &many};
    struct cloze_error error;
    struct cz_service *service;
    struct cz_buffer text = {0};
    ASSERT_OK(cz_service_from_table(&table, ".", &service, &error));
    ASSERT_OK(cz_document_schema(service, &text, &error));
    assert_string_equal(
        text.data,
        "{\"name\":\"Outlines\",\"type\":\"service\",\"routes\":[{\"name\":\"l\",\"route\":\"/l\","
        "\"batchable\":false,\"input\":{\"properties\":{},\"title\":\"Input\",\"type\":\"object\"},"
        "\"output\":{\"items\":{},\"type\":\"array\"},\"is_task\":false},{\"name\":\"many\","
        "\"route\":\"/many\",\"batchable\":false,\"input\":{\"properties\":{\"n\":{\"title\":\"N\","
        "\"type\":\"integer\"},\"a\":{\"items\":{},\"title\":\"A\",\"type\":\"array\"},"
        "\"j\":{\"title\":\"J\"},\"r\":{\"default\":0.5,\"description\":\"The r.\",\"maximum\":2,"
        "\"minimum\":0,\"title\":\"R\",\"type\":\"number\"},\"json_schema\":{\"default\":\"{}\","
        "\"title\":\"Json Schema\",\"type\":\"string\"},\"e\":{\"default\":\"a\",\"enum\":[\"a\","
        "\"b\"],\"title\":\"E\",\"type\":\"string\"}},\"required\":[\"n\",\"a\",\"j\"],"
        "\"title\":\"Input\",\"type\":\"object\"},\"output\":{\"additionalProperties\":true,"
        "\"type\":\"object\"},\"is_task\":false}],\"paths\":{\"/l\":{\"mounted\":false},"
        "\"/many\":{\"mounted\":false}}}");
    cz_buffer_free(&text);
    cz_service_free(service);
}

static void serves_a_model_without_a_definition(void **state)
{
    (void)state;
    struct cloze_error error;
    struct cz_service *service;
    ASSERT_OK(cz_service_builtin(&service, &error));
    assert_string_equal(service->endpoints[0].route, "/generate");
    cz_service_free(service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_whole_definition),
        cmocka_unit_test(refuses_mistakes_by_name),
        cmocka_unit_test(refuses_a_table_of_another_version),
        cmocka_unit_test(refuses_two_endpoints_of_one_name),
        cmocka_unit_test(writes_upstreams_schema),
        cmocka_unit_test(serves_a_model_without_a_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
