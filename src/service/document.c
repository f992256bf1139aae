/* document.c - /schema.json, in upstream's order of keys. */
#include "service/document.h"

#include <ctype.h>

void cz_document_title(const char *name, char *out, size_t size)
{
    bool start = true;
    size_t i = 0;
    for (; name[i] && i + 1 < size; i++) {
        char c = name[i] == '_' ? ' ' : name[i];
        out[i] = (char)(start ? toupper((unsigned char)c) : tolower((unsigned char)c));
        start = !isalpha((unsigned char)c);
    }
    out[i] = '\0';
}

void cz_document_type(struct cz_json_writer *writer, enum cloze_type type)
{
    static const char *const names[] = {[CLOZE_STRING] = "string",  [CLOZE_INT] = "integer",
                                        [CLOZE_NUMBER] = "number",  [CLOZE_BOOL] = "boolean",
                                        [CLOZE_OBJECT] = "object",  [CLOZE_ARRAY] = "array",
                                        [CLOZE_JSON] = NULL};
    if (names[type])
        cz_json_write_member_string(writer, "type", names[type]);
}

void cz_document_value(struct cz_json_writer *writer, enum cloze_type type,
                       const struct cz_argument *value)
{
    if (type == CLOZE_STRING && !value->is_null)
        cz_json_write_slice(writer, value->text);
    else
        cz_json_write_raw(writer, value->text);
}

static void write_any_item(struct cz_json_writer *writer)
{
    cz_json_write_key(writer, "items");
    cz_json_begin_object(writer);
    cz_json_end_object(writer);
}

static void write_property(struct cz_json_writer *writer, const struct cz_input *parameter)
{
    const struct cloze_parameter *table = parameter->table;
    char title[128];
    cz_document_title(table->name, title, sizeof title);
    cz_json_write_key(writer, table->name);
    cz_json_begin_object(writer);
    if (!parameter->required) {
        cz_json_write_key(writer, "default");
        cz_document_value(writer, table->type, &parameter->fallback);
    }
    if (table->description)
        cz_json_write_member_string(writer, "description", table->description);
    if (table->range.has_maximum) {
        cz_json_write_key(writer, "maximum");
        cz_json_write_double(writer, table->range.maximum);
    }
    if (table->range.has_minimum) {
        cz_json_write_key(writer, "minimum");
        cz_json_write_double(writer, table->range.minimum);
    }
    if (table->choices) {
        cz_json_write_key(writer, "enum");
        cz_json_begin_array(writer);
        for (size_t i = 0; table->choices[i]; i++)
            cz_json_write_string(writer, table->choices[i]);
        cz_json_end_array(writer);
    }
    if (table->type == CLOZE_ARRAY)
        write_any_item(writer); /* the client fails on an array without items */
    cz_json_write_member_string(writer, "title", title);
    cz_document_type(writer, table->type);
    cz_json_end_object(writer);
}

static void write_input(struct cz_json_writer *writer, const struct cz_endpoint *endpoint)
{
    size_t count = endpoint->table->parameter_count, required = 0;
    cz_json_begin_object(writer);
    cz_json_write_key(writer, "properties");
    cz_json_begin_object(writer);
    for (size_t i = 0; i < count; i++) {
        write_property(writer, &endpoint->parameters[i]);
        required += endpoint->parameters[i].required;
    }
    cz_json_end_object(writer);
    if (required) {
        cz_json_write_key(writer, "required");
        cz_json_begin_array(writer);
        for (size_t i = 0; i < count; i++)
            if (endpoint->parameters[i].required)
                cz_json_write_string(writer, endpoint->parameters[i].table->name);
        cz_json_end_array(writer);
    }
    cz_json_write_member_string(writer, "title", "Input");
    cz_json_write_member_string(writer, "type", "object");
    cz_json_end_object(writer);
}

static void write_route(struct cz_json_writer *writer, const struct cz_endpoint *endpoint)
{
    cz_json_begin_object(writer);
    cz_json_write_member_string(writer, "name", endpoint->table->name);
    cz_json_write_member_string(writer, "route", endpoint->route);
    if (endpoint->table->description)
        cz_json_write_member_string(writer, "doc", endpoint->table->description);
    cz_json_write_member_bool(writer, "batchable", false);
    cz_json_write_key(writer, "input");
    write_input(writer, endpoint);
    cz_json_write_key(writer, "output");
    cz_json_begin_object(writer);
    if (endpoint->table->output == CLOZE_OBJECT)
        cz_json_write_member_bool(writer, "additionalProperties", true);
    if (endpoint->table->output == CLOZE_ARRAY)
        write_any_item(writer);
    cz_document_type(writer, endpoint->table->output);
    cz_json_end_object(writer);
    cz_json_write_member_bool(writer, "is_task", false);
    cz_json_end_object(writer);
}

cloze_status cz_document_schema(const struct cz_service *service, struct cz_buffer *out,
                                struct cloze_error *error)
{
    struct cz_json_writer writer = {.out = out};
    cz_json_begin_object(&writer);
    cz_json_write_member_string(&writer, "name", service->table->name);
    cz_json_write_member_string(&writer, "type", "service");
    if (service->table->description)
        cz_json_write_member_string(&writer, "description", service->table->description);
    cz_json_write_key(&writer, "routes");
    cz_json_begin_array(&writer);
    for (size_t i = 0; i < service->endpoint_count; i++)
        write_route(&writer, &service->endpoints[i]);
    cz_json_end_array(&writer);
    cz_json_write_key(&writer, "paths");
    cz_json_begin_object(&writer);
    for (size_t i = 0; i < service->endpoint_count; i++) {
        cz_json_write_key(&writer, service->endpoints[i].route);
        cz_json_begin_object(&writer);
        cz_json_write_member_bool(&writer, "mounted", false);
        cz_json_end_object(&writer);
    }
    cz_json_end_object(&writer);
    cz_json_end_object(&writer);
    return cz_buffer_status(out, "/schema.json", error);
}
