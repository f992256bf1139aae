/*
 * arguments.c - fuzz target: a body as JSON, and as a form of fields apart by '&' and '='. Arguments
 * either fit the table or are answered with problems that are JSON.
 */
#include "service/arguments.h"

#include <stdlib.h>

enum { COUNT = 9 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static cloze_status never(struct cloze_call *call)
{
    (void)call;
    return CLOZE_INTERNAL;
}

static const struct cloze_parameter parameters[COUNT] = {
    CLOZE_STRING("a"),
    CLOZE_INT("b", .range = CLOZE_RANGE(-5, 5)),
    CLOZE_NUMBER("c", .optional = true),
    CLOZE_BOOL("d", .fallback = "true"),
    CLOZE_OBJECT("e", .optional = true),
    CLOZE_ARRAY("f", .optional = true),
    CLOZE_JSON("g", .optional = true),
    CLOZE_STRING("h", .fallback = "x", .choices = CLOZE_CHOICES("x", "y")),
    CLOZE_STRING("i", .optional = true, .json_text = true)};

static struct cloze_endpoint endpoint = {.name = "e",
                                         .output = CLOZE_JSON,
                                         .handler = never,
                                         .parameters = parameters,
                                         .parameter_count = COUNT};

static struct cloze_service table = {
    .abi = CLOZE_SERVICE_ABI, .name = "Test", .endpoints = &endpoint};

static void check_values(const struct cz_argument *values)
{
    for (size_t i = 0; i < COUNT; i++)
        if (!values[i].text.data || strlen(values[i].text.data) != values[i].text.size)
            abort();
    if (values[1].integer < -5 || values[1].integer > 5)
        abort();
}

static void check_problems(const struct cz_problems *problems)
{
    struct cz_arena arena = {0};
    struct cz_json *tree;
    struct cz_buffer text = {0};
    struct cz_json_writer writer = {.out = &text};
    cz_problems_write(problems, &writer);
    if (problems->count == 0 ||
        cz_json_parse(&arena, cz_buffer_slice(&text), NULL, &tree, NULL) != CLOZE_OK)
        abort();
    cz_buffer_free(&text);
    cz_arena_free(&arena);
}

static void read_form(const struct cz_service *service, struct cz_slice body)
{
    struct cz_arena arena = {.maximum = 64 << 20};
    struct cz_argument values[COUNT];
    struct cz_problems problems = {0};
    struct cz_json object = {.kind = CZ_JSON_OBJECT};
    struct cloze_error error;
    for (unsigned i = 0; i < 50 && body.size; i++) {
        const char *end = memchr(body.data, '&', body.size);
        size_t size = end ? (size_t)(end - body.data) : body.size;
        const char *equals = memchr(body.data, '=', size);
        size_t name = equals ? (size_t)(equals - body.data) : size;
        struct cz_slice value = cz_slice_of(body.data + name, size - name);
        if (value.size)
            value = cz_slice_of(value.data + 1, value.size - 1);
        if (cz_arguments_add_field(&object, cz_slice_of(body.data, name), value, &arena, &error))
            break;
        body = cz_slice_of(body.data + size, body.size - size);
        if (body.size)
            body = cz_slice_of(body.data + 1, body.size - 1);
    }
    cloze_status status = cz_arguments_from_object(&service->endpoints[0], &object, &arena, values,
                                                   &problems, &error);
    if (status == CLOZE_OK)
        check_values(values);
    else if (status == CLOZE_INVALID)
        check_problems(&problems);
    cz_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cz_service *service;
    struct cz_arena arena = {.maximum = 64 << 20};
    struct cz_argument values[COUNT];
    struct cz_problems problems = {0};
    struct cloze_error error;
    struct cz_slice body = cz_slice_of(data, size);
    if (!service && cz_service_from_table(&table, ".", &service, &error))
        abort();
    cloze_status status = cz_arguments_from_body(&service->endpoints[0], body, &arena, values,
                                                 &problems, &error);
    if (status == CLOZE_OK)
        check_values(values);
    else if (status == CLOZE_INVALID)
        check_problems(&problems);
    cz_arena_free(&arena);
    read_form(service, body);
    return 0;
}
