/* openapi.c - /docs.json: OpenAPI 3.1, from the same table. */
#include "service/document.h"

#include <stdio.h>

/* ---- Small pieces ---- */

static void open_object(struct cz_json_writer *writer, const char *key)
{
    cz_json_write_key(writer, key);
    cz_json_begin_object(writer);
}

static void write_reference(struct cz_json_writer *writer, const char *reference)
{
    cz_json_begin_object(writer);
    cz_json_write_member_string(writer, "$ref", reference);
    cz_json_end_object(writer);
}

static void write_strings(struct cz_json_writer *writer, const char *key,
                          const char *const *texts)
{
    cz_json_write_key(writer, key);
    cz_json_begin_array(writer);
    for (; *texts; texts++)
        cz_json_write_string(writer, *texts);
    cz_json_end_array(writer);
}

/* ---- Inputs ---- */

static void write_type_alternative(struct cz_json_writer *writer, const char *type)
{
    cz_json_begin_object(writer);
    cz_json_write_member_string(writer, "type", type);
    cz_json_end_object(writer);
}

/* "type", or "anyOf" where more than one JSON type is taken. */
static void write_types(struct cz_json_writer *writer, const struct cloze_parameter *table)
{
    if (table->type == CLOZE_JSON || (!table->optional && !table->json_text)) {
        cz_document_type(writer, table->type);
        return;
    }
    cz_json_write_key(writer, "anyOf");
    cz_json_begin_array(writer);
    cz_json_begin_object(writer);
    cz_document_type(writer, table->type);
    cz_json_end_object(writer);
    if (table->json_text) {
        write_type_alternative(writer, "object");
        write_type_alternative(writer, "array");
        write_type_alternative(writer, "boolean");
    }
    if (table->optional)
        write_type_alternative(writer, "null");
    cz_json_end_array(writer);
}

static void write_property(struct cz_json_writer *writer, const struct cz_input *input)
{
    const struct cloze_parameter *table = input->table;
    char title[128];
    cz_document_title(table->name, title, sizeof title);
    open_object(writer, table->name);
    cz_json_write_member_string(writer, "title", title);
    if (table->description)
        cz_json_write_member_string(writer, "description", table->description);
    write_types(writer, table);
    if (table->range.has_minimum) {
        cz_json_write_key(writer, "minimum");
        cz_json_write_double(writer, table->range.minimum);
    }
    if (table->range.has_maximum) {
        cz_json_write_key(writer, "maximum");
        cz_json_write_double(writer, table->range.maximum);
    }
    if (table->choices) {
        cz_json_write_key(writer, "enum");
        cz_json_begin_array(writer);
        for (size_t i = 0; table->choices[i]; i++)
            cz_json_write_string(writer, table->choices[i]);
        if (table->optional)
            cz_json_write_null(writer);
        cz_json_end_array(writer);
    }
    if (!input->required) {
        cz_json_write_key(writer, "default");
        cz_document_value(writer, table->type, &input->fallback);
    }
    cz_json_end_object(writer);
}

static bool has_required(const struct cz_endpoint *endpoint)
{
    for (size_t i = 0; i < endpoint->table->parameter_count; i++)
        if (endpoint->parameters[i].required)
            return true;
    return false;
}

static void write_input_schema(struct cz_json_writer *writer, const struct cz_endpoint *endpoint)
{
    char name[128];
    snprintf(name, sizeof name, "%s__Input", endpoint->table->name);
    open_object(writer, name);
    cz_json_write_member_string(writer, "type", "object");
    cz_json_write_member_string(writer, "title", "Input");
    open_object(writer, "properties");
    for (size_t i = 0; i < endpoint->table->parameter_count; i++)
        write_property(writer, &endpoint->parameters[i]);
    cz_json_end_object(writer);
    if (has_required(endpoint)) {
        cz_json_write_key(writer, "required");
        cz_json_begin_array(writer);
        for (size_t i = 0; i < endpoint->table->parameter_count; i++)
            if (endpoint->parameters[i].required)
                cz_json_write_string(writer, endpoint->parameters[i].table->name);
        cz_json_end_array(writer);
    }
    cz_json_end_object(writer);
}

/* A value that stands in the example of a required argument. */
void cz_document_sample(struct cz_json_writer *writer, const struct cloze_parameter *table)
{
    double number = table->range.has_minimum ? table->range.minimum : 1;
    switch (table->type) {
    case CLOZE_STRING:
        cz_json_write_string(writer, table->choices ? table->choices[0] : "text");
        break;
    case CLOZE_INT:
    case CLOZE_NUMBER:
        cz_json_write_double(writer, number);
        break;
    case CLOZE_BOOL:
        cz_json_write_bool(writer, true);
        break;
    case CLOZE_ARRAY:
        cz_json_begin_array(writer);
        cz_json_end_array(writer);
        break;
    default:
        cz_json_begin_object(writer);
        cz_json_end_object(writer);
    }
}

/* A fallback as somebody would send it: text that stands for JSON as that JSON, easier to edit. */
static void write_example_value(struct cz_json_writer *writer, const struct cz_input *input)
{
    struct cz_arena scratch = {0};
    struct cz_json *value;
    if (input->table->json_text &&
        cz_json_parse(&scratch, input->fallback.text, NULL, &value, NULL) == CLOZE_OK &&
        (value->kind == CZ_JSON_OBJECT || value->kind == CZ_JSON_ARRAY))
        cz_json_write_value(writer, value);
    else
        cz_document_value(writer, input->table->type, &input->fallback);
    cz_arena_free(&scratch);
}

/* What "Try it out" starts with: required arguments and those with a value of their own. */
static void write_example(struct cz_json_writer *writer, const struct cz_endpoint *endpoint)
{
    open_object(writer, "example");
    for (size_t i = 0; i < endpoint->table->parameter_count; i++) {
        const struct cz_input *input = &endpoint->parameters[i];
        if (!input->required && input->fallback.is_null)
            continue;
        cz_json_write_key(writer, input->table->name);
        if (input->required)
            cz_document_sample(writer, input->table);
        else
            write_example_value(writer, input);
    }
    cz_json_end_object(writer);
}

/* ---- Operations ---- */

static const struct {
    const char *code, *reference;
} error_responses[] = {{"400", "InvalidArgument"}, {"401", "Unauthorized"},
                       {"404", "NotFound"},        {"413", "TooLarge"},
                       {"415", "UnsupportedMedia"}, {"429", "TooManyRequests"},
                       {"500", "InternalServerError"}, {"503", "NotReady"},
                       {"504", "Timeout"}};

static void write_success(struct cz_json_writer *writer, const struct cz_endpoint *endpoint)
{
    bool text = endpoint->table->output == CLOZE_STRING;
    open_object(writer, "200");
    cz_json_write_member_string(writer, "description", "Success");
    open_object(writer, "headers");
    open_object(writer, "X-Cloze-Finish-Reason");
    cz_json_write_member_string(writer, "description",
                                "Why the generation ended: `stop`, or `length` when the token "
                                "budget closed the answer.");
    open_object(writer, "schema");
    cz_json_write_member_string(writer, "type", "string");
    write_strings(writer, "enum", (const char *const[]){"stop", "length", NULL});
    cz_json_end_object(writer);
    cz_json_end_object(writer);
    cz_json_end_object(writer);
    open_object(writer, "content");
    open_object(writer, text ? "text/plain" : "application/json");
    open_object(writer, "schema");
    cz_document_type(writer, endpoint->table->output);
    cz_json_end_object(writer);
    cz_json_end_object(writer);
    cz_json_end_object(writer);
    cz_json_end_object(writer);
}

static void write_responses(struct cz_json_writer *writer, const struct cz_endpoint *endpoint,
                            bool auth)
{
    open_object(writer, "responses");
    write_success(writer, endpoint);
    for (size_t i = 0; i < sizeof error_responses / sizeof *error_responses; i++) {
        char reference[100];
        if (strcmp(error_responses[i].code, "401") == 0 && !auth)
            continue;
        snprintf(reference, sizeof reference, "#/components/responses/%s",
                 error_responses[i].reference);
        cz_json_write_key(writer, error_responses[i].code);
        write_reference(writer, reference);
    }
    cz_json_end_object(writer);
}

static void write_endpoint(struct cz_json_writer *writer, const struct cz_service *service,
                           const struct cz_endpoint *endpoint, bool auth)
{
    const char *name = endpoint->table->name;
    char text[256];
    open_object(writer, endpoint->route);
    open_object(writer, "post");
    write_strings(writer, "tags", (const char *const[]){"Service APIs", NULL});
    cz_json_write_member_string(writer, "x-bentoml-name", name);
    cz_json_write_member_string(writer, "summary", name);
    if (endpoint->table->description)
        cz_json_write_member_string(writer, "description", endpoint->table->description);
    snprintf(text, sizeof text, "%.100s__%.100s", service->table->name, name);
    cz_json_write_member_string(writer, "operationId", text);
    if (auth) {
        cz_json_write_key(writer, "security");
        cz_json_begin_array(writer);
        cz_json_begin_object(writer);
        write_strings(writer, "api_key", (const char *const[]){NULL});
        cz_json_end_object(writer);
        cz_json_end_array(writer);
    }
    open_object(writer, "requestBody");
    cz_json_write_member_bool(writer, "required", has_required(endpoint));
    open_object(writer, "content");
    open_object(writer, "application/json");
    snprintf(text, sizeof text, "#/components/schemas/%.100s__Input", name);
    cz_json_write_key(writer, "schema");
    write_reference(writer, text);
    write_example(writer, endpoint);
    cz_json_end_object(writer);
    cz_json_end_object(writer);
    cz_json_end_object(writer);
    write_responses(writer, endpoint, auth);
    cz_json_end_object(writer);
    cz_json_end_object(writer);
}

static void write_probe(struct cz_json_writer *writer, const char *route, const char *description,
                        bool can_be_unready)
{
    open_object(writer, route);
    open_object(writer, "get");
    write_strings(writer, "tags", (const char *const[]){"Infrastructure", NULL});
    cz_json_write_member_string(writer, "summary", description);
    open_object(writer, "responses");
    open_object(writer, "200");
    cz_json_write_member_string(writer, "description", "Success");
    open_object(writer, "content");
    open_object(writer, "text/plain");
    open_object(writer, "schema");
    cz_json_write_member_string(writer, "type", "string");
    for (int i = 0; i < 4; i++)
        cz_json_end_object(writer);
    if (can_be_unready) {
        open_object(writer, "503");
        cz_json_write_member_string(writer, "description", "Not ready: the model is still loading.");
        cz_json_end_object(writer);
    }
    cz_json_end_object(writer);
    cz_json_end_object(writer);
    cz_json_end_object(writer);
}

/* ---- Components ---- */

static void write_error_schemas(struct cz_json_writer *writer)
{
    open_object(writer, "Error");
    cz_json_write_member_string(writer, "type", "object");
    open_object(writer, "properties");
    open_object(writer, "error");
    cz_json_write_member_string(writer, "type", "string");
    cz_json_end_object(writer);
    open_object(writer, "detail");
    cz_json_write_member_string(writer, "type", "array");
    open_object(writer, "items");
    cz_json_write_member_string(writer, "type", "object");
    open_object(writer, "properties");
    static const char *const names[] = {"type", "msg", NULL};
    for (size_t i = 0; names[i]; i++) {
        open_object(writer, names[i]);
        cz_json_write_member_string(writer, "type", "string");
        cz_json_end_object(writer);
    }
    open_object(writer, "loc");
    cz_json_write_member_string(writer, "type", "array");
    open_object(writer, "items");
    write_strings(writer, "type", (const char *const[]){"string", "integer", NULL});
    for (int i = 0; i < 6; i++)
        cz_json_end_object(writer);
    write_strings(writer, "required", (const char *const[]){"error", NULL});
    cz_json_end_object(writer);
}

static void write_error_response(struct cz_json_writer *writer, const char *name,
                                 const char *description, bool json)
{
    open_object(writer, name);
    cz_json_write_member_string(writer, "description", description);
    open_object(writer, "content");
    open_object(writer, json ? "application/json" : "text/plain");
    cz_json_write_key(writer, "schema");
    if (json)
        write_reference(writer, "#/components/schemas/Error");
    else {
        cz_json_begin_object(writer);
        cz_json_write_member_string(writer, "type", "string");
        cz_json_end_object(writer);
    }
    cz_json_end_object(writer);
    cz_json_end_object(writer);
    cz_json_end_object(writer);
}

static void write_components(struct cz_json_writer *writer, const struct cz_service *service,
                             bool auth)
{
    open_object(writer, "components");
    open_object(writer, "schemas");
    for (size_t i = 0; i < service->endpoint_count; i++)
        write_input_schema(writer, &service->endpoints[i]);
    write_error_schemas(writer);
    cz_json_end_object(writer);
    open_object(writer, "responses");
    write_error_response(writer, "InvalidArgument",
                         "The arguments, or the constraint among them, are not valid.", true);
    if (auth)
        write_error_response(writer, "Unauthorized", "No API key, or a wrong one.", true);
    write_error_response(writer, "NotFound", "There is no such route.", false);
    write_error_response(writer, "TooLarge", "The body is larger than the server takes.", true);
    write_error_response(writer, "UnsupportedMedia", "The body's type is not taken.", true);
    write_error_response(writer, "TooManyRequests", "The queue is full; try again later.", true);
    write_error_response(writer, "InternalServerError", "The server failed; its log says why.",
                         true);
    write_error_response(writer, "NotReady", "The model is still loading.", true);
    write_error_response(writer, "Timeout", "No answer within the service's timeout.", true);
    cz_json_end_object(writer);
    if (auth) {
        open_object(writer, "securitySchemes");
        open_object(writer, "api_key");
        cz_json_write_member_string(writer, "type", "http");
        cz_json_write_member_string(writer, "scheme", "bearer");
        cz_json_end_object(writer);
        cz_json_end_object(writer);
    }
    cz_json_end_object(writer);
}

static void write_head(struct cz_json_writer *writer, const struct cz_service *service)
{
    cz_json_write_member_string(writer, "openapi", "3.1.0");
    open_object(writer, "info");
    cz_json_write_member_string(writer, "title", service->table->name);
    cz_json_write_member_string(writer, "version", CLOZE_VERSION);
    if (service->table->description)
        cz_json_write_member_string(writer, "description", service->table->description);
    cz_json_end_object(writer);
    cz_json_write_key(writer, "servers");
    cz_json_begin_array(writer);
    cz_json_begin_object(writer);
    cz_json_write_member_string(writer, "url", ".");
    cz_json_end_object(writer);
    cz_json_end_array(writer);
    cz_json_write_key(writer, "tags");
    cz_json_begin_array(writer);
    static const char *const tags[][2] = {{"Service APIs", "The service's endpoints."},
                                          {"Infrastructure", "Health and metrics."}};
    for (size_t i = 0; i < 2; i++) {
        cz_json_begin_object(writer);
        cz_json_write_member_string(writer, "name", tags[i][0]);
        cz_json_write_member_string(writer, "description", tags[i][1]);
        cz_json_end_object(writer);
    }
    cz_json_end_array(writer);
}

cloze_status cz_document_openapi(const struct cz_service *service, bool auth, struct cz_buffer *out,
                                 struct cloze_error *error)
{
    struct cz_json_writer writer = {.out = out};
    cz_json_begin_object(&writer);
    write_head(&writer, service);
    open_object(&writer, "paths");
    for (size_t i = 0; i < service->endpoint_count; i++)
        write_endpoint(&writer, service, &service->endpoints[i], auth);
    write_probe(&writer, "/livez", "Whether the server is alive.", false);
    write_probe(&writer, "/healthz", "Whether the server is alive.", false);
    write_probe(&writer, "/readyz", "Whether the server can take calls.", true);
    write_probe(&writer, "/metrics", "Metrics in Prometheus' text format.", false);
    cz_json_end_object(&writer);
    write_components(&writer, service, auth);
    cz_json_end_object(&writer);
    return cz_buffer_status(out, "/docs.json", error);
}
