/* Calls: what a handler can read, return and refuse; templates of a definition. */
#include "test.h"

#include "../server/fake.h"
#include "service/call.h"

static atomic_bool not_cancelled;

struct setting {
    struct cz_service *service;
    struct fake fake;
    struct cz_generator generator;
    struct cz_argument values[20];
    struct cloze_call call;
};

/* Runs the one endpoint of `table` with a JSON body. */
static cloze_status call(struct setting *setting, struct cloze_service *table, const char *body)
{
    struct cloze_error error;
    struct cz_problems problems = {0};
    ASSERT_OK(cz_service_from_table(table, ".", &setting->service, &error));
    setting->generator = (struct cz_generator){&setting->fake, fake_generate};
    setting->call = (struct cloze_call){.endpoint = &setting->service->endpoints[0],
                                        .arguments = setting->values,
                                        .generator = &setting->generator,
                                        .cancelled = &not_cancelled};
    ASSERT_OK(cz_arguments_from_body(setting->call.endpoint, cz_slice(body), &setting->call.arena,
                                     setting->values, &problems, &error));
    return cz_call_run(&setting->call);
}

static void end(struct setting *setting)
{
    cz_call_free(&setting->call);
    cz_service_free(setting->service);
}

#define SERVICE(function, type)                                                                    \
    static struct cloze_endpoint function##_endpoint = {                                           \
        .name = #function, .output = (type), .handler = (function), .parameters = inputs,          \
        .parameter_count = sizeof inputs / sizeof *inputs};                                        \
    static struct cloze_service function##_service = {                                             \
        .abi = CLOZE_SERVICE_ABI, .name = "Test", .endpoints = &function##_endpoint};

static const struct cloze_parameter inputs[] = {
    CLOZE_STRING("text", .fallback = "hi"), CLOZE_INT("count", .fallback = "2"),
    CLOZE_STRING("schema", .optional = true), CLOZE_SAMPLING};

static cloze_status repeat(struct cloze_call *call)
{
    char text[200] = "";
    for (int64_t i = 0; i < cloze_arg_int(call, "count") && i < 10; i++)
        strcat(text, cloze_arg_string(call, "text"));
    return cloze_return_string(call, text);
}
SERVICE(repeat, CLOZE_STRING)

static void a_handler_reads_arguments_and_returns_text(void **state)
{
    (void)state;
    struct setting setting = {0};
    assert_int_equal(call(&setting, &repeat_service, "{\"count\": 3}"), CLOZE_OK);
    ASSERT_SLICE(cz_buffer_slice(&setting.call.result), "hihihi");
    end(&setting);
}

static cloze_status wrong_name(struct cloze_call *call)
{
    cloze_arg_string(call, "txet");
    return cloze_return_string(call, "");
}
SERVICE(wrong_name, CLOZE_STRING)

static cloze_status wrong_type(struct cloze_call *call)
{
    return cloze_return_int(call, 1);
}
SERVICE(wrong_type, CLOZE_STRING)

static cloze_status no_result(struct cloze_call *call)
{
    (void)call;
    return CLOZE_OK;
}
SERVICE(no_result, CLOZE_STRING)

/* A defect of the handler is the server's fault, not the client's. */
static void a_handlers_mistakes_are_internal(void **state)
{
    (void)state;
    struct {
        struct cloze_service *service;
        const char *message;
    } cases[] = {{&wrong_name_service, "'txet', which is not declared"},
                 {&wrong_type_service, "declared as string"},
                 {&no_result_service, "no result"}};
    for (size_t i = 0; i < 3; i++) {
        struct setting setting = {0};
        cloze_status status = call(&setting, cases[i].service, "{}");
        assert_int_equal(status, CLOZE_INTERNAL);
        assert_int_equal(cz_call_http_status(&setting.call, status), 500);
        assert_non_null(strstr(setting.call.error.message, cases[i].message));
        end(&setting);
    }
}

static cloze_status refuse(struct cloze_call *call)
{
    return cloze_call_fail(call, 422, "no %s today", cloze_arg_string(call, "text"));
}
SERVICE(refuse, CLOZE_STRING)

static void a_handler_chooses_its_refusal(void **state)
{
    (void)state;
    struct setting setting = {0};
    cloze_status status = call(&setting, &refuse_service, "{}");
    assert_int_equal(cz_call_http_status(&setting.call, status), 422);
    assert_string_equal(setting.call.error.message, "no hi today");
    end(&setting);
}

static cloze_status by_schema(struct cloze_call *call)
{
    return cloze_generate_json(call, cloze_arg_string(call, "text"),
                               cloze_arg_string(call, "schema"));
}
SERVICE(by_schema, CLOZE_OBJECT)

static void sampling_arguments_reach_the_generator(void **state)
{
    (void)state;
    struct setting setting = {0};
    assert_int_equal(call(&setting, &by_schema_service,
                          "{\"schema\": \"{}\", \"temperature\": 0.5, \"seed\": 3, "
                          "\"max_tokens\": 9}"),
                     CLOZE_OK);
    ASSERT_SLICE(cz_buffer_slice(&setting.call.result),
                 "{\"prompt\": \"hi\", \"kind\": \"json_schema\", \"constraint\": \"{}\", "
                 "\"temperature\": 0.5, \"seed\": 3, \"max_tokens\": 9}");
    assert_string_equal(setting.call.finish_reason, "stop");
    end(&setting);
}

static void no_schema_means_any_object(void **state)
{
    (void)state;
    struct setting setting = {0};
    assert_int_equal(call(&setting, &by_schema_service, "{\"schema\": null}"), CLOZE_OK);
    assert_non_null(strstr(setting.call.result.data, "\"kind\": \"json_object\""));
    end(&setting);
}

static void a_refused_schema_is_the_clients_fault(void **state)
{
    (void)state;
    struct setting setting = {0};
    cloze_status status = call(&setting, &by_schema_service, "{\"schema\": \"refuse\"}");
    assert_int_equal(cz_call_http_status(&setting.call, status), 400);
    assert_string_equal(setting.call.problem_place, "json_schema");
    assert_string_equal(setting.call.error.where, "/properties/refuse");
    end(&setting);
}

static cloze_status two_constraints(struct cloze_call *call)
{
    return cloze_generate(call, &(struct cloze_generation){
                                    .prompt = "x", .regex = "a", .json_schema = "{}"});
}
SERVICE(two_constraints, CLOZE_JSON)

static void an_answer_has_one_constraint(void **state)
{
    (void)state;
    struct setting setting = {0};
    assert_int_equal(call(&setting, &two_constraints_service, "{}"), CLOZE_INVALID);
    assert_non_null(strstr(setting.call.error.message, "json_schema and regex"));
    end(&setting);
}

static void the_builtin_service_passes_each_constraint_on(void **state)
{
    (void)state;
    static const struct {
        const char *body, *answer;
    } cases[] = {{"{\"prompt\":\"a\"}", "\"text for a\""},
                 {"{\"prompt\":\"a\",\"regex\":\"x\"}", "\"text for a\""},
                 {"{\"prompt\":\"a\",\"json_schema\":{\"b\":1}}",
                  "{\"prompt\": \"a\", \"kind\": \"json_schema\", \"constraint\": "
                  "\"{\\\"b\\\": 1}\"}"}};
    for (size_t i = 0; i < 3; i++) {
        struct cloze_error error;
        struct cz_problems problems = {0};
        struct setting setting = {.generator = {&setting.fake, fake_generate}};
        ASSERT_OK(cz_service_builtin(&setting.service, &error));
        setting.call = (struct cloze_call){.endpoint = &setting.service->endpoints[0],
                                           .arguments = setting.values,
                                           .generator = &setting.generator,
                                           .cancelled = &not_cancelled};
        ASSERT_OK(cz_arguments_from_body(setting.call.endpoint, cz_slice(cases[i].body),
                                         &setting.call.arena, setting.values, &problems, &error));
        assert_int_equal(cz_call_run(&setting.call), CLOZE_OK);
        ASSERT_SLICE(cz_buffer_slice(&setting.call.result), cases[i].answer);
        end(&setting);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handler_reads_arguments_and_returns_text),
        cmocka_unit_test(a_handlers_mistakes_are_internal),
        cmocka_unit_test(a_handler_chooses_its_refusal),
        cmocka_unit_test(sampling_arguments_reach_the_generator),
        cmocka_unit_test(no_schema_means_any_object),
        cmocka_unit_test(a_refused_schema_is_the_clients_fault),
        cmocka_unit_test(an_answer_has_one_constraint),
        cmocka_unit_test(the_builtin_service_passes_each_constraint_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
