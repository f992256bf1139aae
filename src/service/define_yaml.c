/* define_yaml.c - service.yaml: a table without code. */
#include "base/file.h"
#include "service/action.h"
#include "service/service.h"
#include "json/writer.h"
#include "json/yaml.h"


#include <stdarg.h>
#include <stdio.h>

struct definition {
    struct cz_service *service;
    struct cz_arena *arena; /* the service's */
    const char *name;       /* of the file, for errors */
    struct cloze_error *error;
};

static const struct cloze_parameter sampling[] = {CLOZE_SAMPLING};
enum { SAMPLING_COUNT = sizeof sampling / sizeof *sampling };

/* ---- Errors and small readers ---- */

static cloze_status fail_at(struct definition *definition, const struct cz_json *node,
                            cloze_status code, const char *format, ...) CZ_PRINTF(4, 5);

static cloze_status fail_at(struct definition *definition, const struct cz_json *node,
                            cloze_status code, const char *format, ...)
{
    char where[240], message[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    snprintf(where, sizeof where, "%.180s: line %u", definition->name, node->offset);
    return cz_fail(definition->error, code, where, "%s", message);
}

/* Places an error that a deeper function wrote without knowing the line. */
static cloze_status place(struct definition *definition, const struct cz_json *node,
                          cloze_status status)
{
    char where[240];
    if (!status)
        return status;
    snprintf(where, sizeof where, "%.180s: line %u", definition->name, node->offset);
    cz_error_at(definition->error, where);
    return status;
}

static cloze_status wrong_kind(struct definition *definition, const struct cz_json *node,
                               const char *wanted)
{
    return fail_at(definition, node, CLOZE_INVALID,
                   "'" CZ_SLICE_FORMAT "' is %s; it has to be %s", CZ_SLICE_ARG(cz_json_key(node)),
                   cz_json_kind_name(node), wanted);
}

static cloze_status check_keys(struct definition *definition, const struct cz_json *mapping,
                               const char *what, const char *const *known)
{
    if (mapping->kind != CZ_JSON_OBJECT)
        return fail_at(definition, mapping, CLOZE_INVALID, "%s is %s; it has to be a mapping", what,
                       cz_json_kind_name(mapping));
    CZ_JSON_EACH (member, mapping) {
        bool found = false;
        for (size_t i = 0; known[i] && !found; i++)
            found = cz_slice_is(cz_json_key(member), known[i]);
        if (found)
            continue;
        const char *nearest = cz_nearest_name(cz_json_key(member), known);
        struct cz_buffer list = {.maximum = 400};
        for (size_t i = 0; known[i]; i++)
            cz_buffer_printf(&list, "%s%s", i ? ", " : "", known[i]);
        cloze_status status =
            fail_at(definition, member, CLOZE_INVALID, "%s has no key '" CZ_SLICE_FORMAT "'%s%s%s",
                    what, CZ_SLICE_ARG(cz_json_key(member)), nearest ? "; did you mean '" : "; it has ",
                    nearest ? nearest : cz_buffer_text(&list), nearest ? "'?" : "");
        cz_buffer_free(&list);
        return status;
    }
    return CLOZE_OK;
}

/* Leaves *out alone when `node` is NULL. */
static cloze_status read_text(struct definition *definition, const struct cz_json *node,
                              const char **out)
{
    if (!node)
        return CLOZE_OK;
    if (!cz_json_is(node, CZ_JSON_STRING))
        return wrong_kind(definition, node, "a string (in quotes if it looks like something else)");
    if (strlen(node->text.data) != node->text.size)
        return fail_at(definition, node, CLOZE_INVALID, "a NUL character in a string");
    *out = node->text.data;
    return CLOZE_OK;
}

static cloze_status read_bool(struct definition *definition, const struct cz_json *node, bool *out)
{
    if (node && !cz_json_bool(node, out))
        return wrong_kind(definition, node, "true or false");
    return CLOZE_OK;
}

static cloze_status read_count(struct definition *definition, const struct cz_json *node,
                               unsigned *out)
{
    double number;
    if (!node)
        return CLOZE_OK;
    if (!cz_json_double(node, &number) || number < 1 || number > 1e6 ||
        number != (unsigned)number)
        return wrong_kind(definition, node, "a whole number from 1 to 1,000,000");
    *out = (unsigned)number;
    return CLOZE_OK;
}

static cloze_status read_number(struct definition *definition, const struct cz_json *node,
                                bool *present, double *out)
{
    if (!node)
        return CLOZE_OK;
    *present = true;
    return cz_json_double(node, out) ? CLOZE_OK : wrong_kind(definition, node, "a number");
}

/* The node as JSON text in the arena. */
static cloze_status read_json(struct definition *definition, const struct cz_json *node,
                              const char **out)
{
    struct cz_buffer text = {.maximum = (size_t)16 << 20};
    struct cz_json_writer writer = {.out = &text, .style = CZ_JSON_SPACED};
    cz_json_write_value(&writer, node);
    cloze_status status = cz_buffer_status(&text, definition->name, definition->error);
    if (!status && !(*out = cz_arena_text(definition->arena, cz_buffer_slice(&text))))
        status = cz_fail_memory(definition->error, definition->name);
    cz_buffer_free(&text);
    return status;
}

/* "{file: x}": the only mapping that is not a value itself. */
static bool is_file(const struct cz_json *node)
{
    return node->kind == CZ_JSON_OBJECT && node->first && !node->first->next &&
           cz_slice_is(cz_json_key(node->first), "file");
}

/* ---- Input ---- */

static cloze_status read_type(struct definition *definition, const struct cz_json *node,
                              const struct cz_json *parent, const char *what, enum cloze_type *out)
{
    static const char *const names[] = {"string", "int",   "number", "bool",
                                        "object", "array", "json",   NULL};
    if (!node)
        return fail_at(definition, parent, CLOZE_INVALID,
                       "%s needs a type: string, int, number, bool, object, array or json", what);
    *out = node->kind == CZ_JSON_STRING ? cz_type_from_name(node->text) : 0;
    if (*out)
        return CLOZE_OK;
    static const char *const others[][2] = {{"integer", "int"},  {"str", "string"},
                                            {"float", "number"}, {"boolean", "bool"},
                                            {"dict", "object"},  {"list", "array"}};
    const char *nearest = node->kind == CZ_JSON_STRING ? cz_nearest_name(node->text, names) : NULL;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (node->kind == CZ_JSON_STRING && cz_slice_is(node->text, others[i][0]))
            nearest = others[i][1];
    if (nearest)
        return fail_at(definition, node, CLOZE_INVALID,
                       "there is no type '" CZ_SLICE_FORMAT "'; did you mean '%s'?",
                       CZ_SLICE_ARG(node->text), nearest);
    return wrong_kind(definition, node, "string, int, number, bool, object, array or json");
}

static cloze_status read_choices(struct definition *definition, const struct cz_json *node,
                                 const char *const **out)
{
    if (!node)
        return CLOZE_OK;
    if (node->kind != CZ_JSON_ARRAY || !node->first)
        return wrong_kind(definition, node, "a list of strings");
    size_t count = 0;
    CZ_JSON_EACH (item, node)
        count++;
    const char **choices = CZ_ARENA_ARRAY(definition->arena, const char *, count + 1);
    if (!choices)
        return cz_fail_memory(definition->error, "enum");
    count = 0;
    CZ_JSON_EACH (item, node) {
        if (!cz_json_is(item, CZ_JSON_STRING))
            return fail_at(definition, item, CLOZE_INVALID, "an enum's value is %s, not a string",
                           cz_json_kind_name(item));
        choices[count++] = item->text.data;
    }
    *out = choices;
    return CLOZE_OK;
}

static cloze_status read_default(struct definition *definition, const struct cz_json *node,
                                 struct cloze_parameter *parameter)
{
    if (!node)
        return CLOZE_OK;
    if (is_file(node))
        return read_text(definition, node->first, &parameter->fallback_file);
    if (cz_json_is(node, CZ_JSON_NULL)) {
        if (!parameter->optional)
            return fail_at(definition, node, CLOZE_INVALID,
                           "the default is null, but the argument is not optional");
        return CLOZE_OK;
    }
    if (parameter->type == CLOZE_STRING)
        return read_text(definition, node, &parameter->fallback);
    return read_json(definition, node, &parameter->fallback);
}

static cloze_status read_parameter(struct definition *definition, const struct cz_json *node,
                                   struct cloze_parameter *out)
{
    static const char *const keys[] = {"type",    "default", "optional", "description", "minimum",
                                       "maximum", "enum",    "json_text", NULL};
    *out = (struct cloze_parameter){.name = node->key};
    cloze_status status = check_keys(definition, node, "an argument", keys);
    if (!status)
        status = read_type(definition, cz_json_get(node, "type"), node, "an argument", &out->type);
    if (!status)
        status = read_bool(definition, cz_json_get(node, "optional"), &out->optional);
    if (!status)
        status = read_bool(definition, cz_json_get(node, "json_text"), &out->json_text);
    if (!status)
        status = read_text(definition, cz_json_get(node, "description"), &out->description);
    if (!status)
        status = read_number(definition, cz_json_get(node, "minimum"), &out->range.has_minimum,
                             &out->range.minimum);
    if (!status)
        status = read_number(definition, cz_json_get(node, "maximum"), &out->range.has_maximum,
                             &out->range.maximum);
    if (!status)
        status = read_choices(definition, cz_json_get(node, "enum"), &out->choices);
    if (!status)
        status = read_default(definition, cz_json_get(node, "default"), out);
    return status;
}

static bool is_declared(const struct cloze_parameter *parameters, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(parameters[i].name, name) == 0)
            return true;
    return false;
}

/* The declared arguments, then the sampling settings that are not declared among them. */
static cloze_status read_input(struct definition *definition, const struct cz_json *node,
                               struct cloze_endpoint *endpoint, struct cloze_parameter **out)
{
    size_t count = 0;
    if (node && node->kind != CZ_JSON_OBJECT)
        return wrong_kind(definition, node, "a mapping of argument names");
    for (const struct cz_json *item = node ? node->first : NULL; item; item = item->next)
        count++;
    if (count > CZ_SERVICE_MOST_PARAMETERS - SAMPLING_COUNT)
        return fail_at(definition, node, CLOZE_LIMIT, "more than %d arguments",
                       CZ_SERVICE_MOST_PARAMETERS - SAMPLING_COUNT);
    struct cloze_parameter *parameters =
        CZ_ARENA_ARRAY(definition->arena, struct cloze_parameter, count + SAMPLING_COUNT);
    if (!parameters)
        return cz_fail_memory(definition->error, "input");
    count = 0;
    for (const struct cz_json *item = node ? node->first : NULL; item; item = item->next) {
        cloze_status status = read_parameter(definition, item, &parameters[count]);
        if (status)
            return status;
        count++;
    }
    size_t declared = count;
    for (size_t i = 0; i < SAMPLING_COUNT; i++)
        if (!is_declared(parameters, declared, sampling[i].name))
            parameters[count++] = sampling[i];
    endpoint->parameters = *out = parameters;
    endpoint->parameter_count = count;
    return CLOZE_OK;
}

/* ---- generate ---- */

static cloze_status read_file(struct definition *definition, const struct cz_json *node,
                              struct cz_slice *out)
{
    const char *name = NULL;
    cloze_status status = read_text(definition, node->first, &name);
    if (status)
        return status;
    struct cz_buffer path = {0}, content = {.maximum = CZ_SERVICE_LARGEST_FILE};
    status = cz_service_path(definition->service, name, &path, definition->error);
    if (!status)
        status = cz_file_read(path.data, &content, definition->error);
    if (!status) {
        char *copy = cz_arena_text(definition->arena, cz_buffer_slice(&content));
        *out = cz_slice_of(copy, content.size);
        status = copy ? CLOZE_OK : cz_fail_memory(definition->error, name);
    }
    cz_buffer_free(&path);
    cz_buffer_free(&content);
    return place(definition, node, status);
}

/* A literal that is not looked at for {{ }}. */
static cloze_status set_literal(struct definition *definition, struct cz_slice text,
                                struct cz_action_text *out)
{
    out->pieces = CZ_ARENA_NEW(definition->arena, struct cz_action_piece);
    if (!out->pieces)
        return cz_fail_memory(definition->error, "generate");
    out->pieces[0].literal = text;
    out->count = 1;
    return CLOZE_OK;
}

/* `structured`: a list or mapping stands for its JSON; {file: x} for the file's content. */
static cloze_status read_template(struct definition *definition, const struct cz_json *node,
                                  const struct cloze_endpoint *endpoint, bool structured,
                                  struct cz_action_text *out)
{
    if (!node)
        return CLOZE_OK;
    if (is_file(node)) {
        struct cz_slice content;
        cloze_status status = read_file(definition, node, &content);
        return status ? status : set_literal(definition, content, out);
    }
    if (node->kind >= CZ_JSON_ARRAY && structured) {
        const char *json;
        cloze_status status = read_json(definition, node, &json);
        return status ? status : set_literal(definition, cz_slice(json), out);
    }
    const char *text = NULL;
    cloze_status status = read_text(definition, node, &text);
    if (status)
        return status;
    return place(definition, node,
                 cz_action_parse(definition->arena, cz_slice(text), endpoint->parameters,
                                 endpoint->parameter_count, out, definition->error));
}

/* "temperature: 0.7" in `generate` is the default of the argument of that name. */
static cloze_status read_setting(struct definition *definition, const struct cz_json *node,
                                 struct cloze_parameter *parameters, size_t count)
{
    double number;
    if (!cz_json_double(node, &number))
        return wrong_kind(definition, node, "a number (declare an argument of this name in 'input' "
                                            "to let requests set it)");
    for (size_t i = 0; i < count; i++) {
        if (!cz_slice_is(cz_json_key(node), parameters[i].name))
            continue;
        if (parameters[i].fallback || parameters[i].fallback_file)
            return fail_at(definition, node, CLOZE_INVALID,
                           "'%s' has a default in 'input' already", parameters[i].name);
        return read_json(definition, node, &parameters[i].fallback);
    }
    return CLOZE_OK;
}

/* An argument that is passed on as json_schema may be sent as JSON too, not only as text. */
static void accept_json_text(const struct cz_action *action, struct cloze_parameter *parameters,
                             size_t count)
{
    if (action->json_schema.count != 1 || !action->json_schema.pieces[0].argument)
        return;
    for (size_t i = 0; i < count; i++)
        if (parameters[i].name == action->json_schema.pieces[0].argument &&
            parameters[i].type == CLOZE_STRING)
            parameters[i].json_text = true;
}

static cloze_status read_generate(struct definition *definition, const struct cz_json *node,
                                  struct cloze_endpoint *endpoint,
                                  struct cloze_parameter *parameters, struct cz_action *action)
{
    static const char *const keys[] = {"prompt",      "system",      "json_schema", "json_object",
                                       "regex",       "choice",      "type",        "raw",
                                       "temperature", "top_p",       "seed",        "max_tokens",
                                       NULL};
    const struct {
        const char *key;
        bool structured;
        struct cz_action_text *out;
    } templates[] = {{"prompt", false, &action->prompt},
                     {"system", false, &action->system},
                     {"json_schema", true, &action->json_schema},
                     {"regex", false, &action->regex},
                     {"choice", true, &action->choice},
                     {"type", false, &action->type}};
    cloze_status status = check_keys(definition, node, "'generate'", keys);
    for (size_t i = 0; i < sizeof templates / sizeof *templates && !status; i++)
        status = read_template(definition, cz_json_get(node, templates[i].key), endpoint,
                               templates[i].structured, templates[i].out);
    if (!status)
        status = read_bool(definition, cz_json_get(node, "json_object"), &action->json_object);
    if (!status)
        status = read_bool(definition, cz_json_get(node, "raw"), &action->raw);
    for (size_t i = 0; i < SAMPLING_COUNT && !status; i++) {
        const struct cz_json *setting = cz_json_get(node, sampling[i].name);
        if (setting)
            status = read_setting(definition, setting, parameters, endpoint->parameter_count);
    }
    if (!status && action->prompt.count == 0)
        status = fail_at(definition, node, CLOZE_INVALID, "'generate' needs a prompt");
    if (!status)
        accept_json_text(action, parameters, endpoint->parameter_count);
    return status;
}

/* ---- The service ---- */

static cloze_status read_endpoint(struct definition *definition, const struct cz_json *node,
                                  struct cloze_endpoint **out)
{
    static const char *const keys[] = {"route",    "description", "input",
                                       "generate", "output",      NULL};
    struct cloze_endpoint *endpoint = CZ_ARENA_NEW(definition->arena, struct cloze_endpoint);
    struct cz_action *action = CZ_ARENA_NEW(definition->arena, struct cz_action);
    struct cloze_parameter *parameters = NULL;
    *out = endpoint;
    if (!endpoint || !action)
        return cz_fail_memory(definition->error, "endpoint");
    *endpoint = (struct cloze_endpoint){
        .name = node->key, .handler = cz_action_run, .context = action};
    cloze_status status = check_keys(definition, node, "an endpoint", keys);
    if (!status)
        status = read_text(definition, cz_json_get(node, "route"), &endpoint->route);
    if (!status)
        status = read_text(definition, cz_json_get(node, "description"), &endpoint->description);
    if (!status)
        status = read_type(definition, cz_json_get(node, "output"), node, "an endpoint's output",
                           &endpoint->output);
    if (!status)
        status = read_input(definition, cz_json_get(node, "input"), endpoint, &parameters);
    const struct cz_json *generate = cz_json_get(node, "generate");
    if (!status && !generate)
        return fail_at(definition, node, CLOZE_INVALID, "the endpoint needs 'generate'");
    return status ? status : read_generate(definition, generate, endpoint, parameters, action);
}

static cloze_status read_endpoints(struct definition *definition, const struct cz_json *node,
                                   const struct cz_json *root, struct cloze_service *table)
{
    if (!node)
        return fail_at(definition, root, CLOZE_INVALID, "the service needs 'endpoints'");
    if (node->kind != CZ_JSON_OBJECT)
        return wrong_kind(definition, node, "a mapping of endpoint names");
    struct cloze_endpoint **end = &table->endpoints;
    CZ_JSON_EACH (item, node) {
        cloze_status status = read_endpoint(definition, item, end);
        if (status)
            return status;
        end = &(*end)->next;
    }
    return CLOZE_OK;
}

static cloze_status read_traffic(struct definition *definition, const struct cz_json *node,
                                 struct cloze_service *table)
{
    static const char *const keys[] = {"timeout", "max_concurrency", "max_queue", NULL};
    if (!node)
        return CLOZE_OK;
    cloze_status status = check_keys(definition, node, "'traffic'", keys);
    if (!status)
        status = read_count(definition, cz_json_get(node, "timeout"), &table->timeout_s);
    if (!status)
        status = read_count(definition, cz_json_get(node, "max_concurrency"),
                            &table->max_concurrency);
    if (!status)
        status = read_count(definition, cz_json_get(node, "max_queue"), &table->max_queue);
    return status;
}

static cloze_status read_resources(struct definition *definition, const struct cz_json *node,
                                   struct cloze_service *table)
{
    static const char *const keys[] = {"gpu", "gpu_type", NULL};
    bool present;
    if (!node)
        return CLOZE_OK;
    cloze_status status = check_keys(definition, node, "'resources'", keys);
    if (!status)
        status = read_number(definition, cz_json_get(node, "gpu"), &present, &table->gpu);
    if (!status)
        status = read_text(definition, cz_json_get(node, "gpu_type"), &table->gpu_type);
    return status;
}

static cloze_status read_service(struct definition *definition, const struct cz_json *root,
                                 struct cloze_service *table)
{
    static const char *const keys[] = {"service",   "description", "model", "traffic",
                                       "resources", "endpoints",   NULL};
    cloze_status status = check_keys(definition, root, "a service definition", keys);
    if (!status)
        status = read_text(definition, cz_json_get(root, "service"), &table->name);
    if (!status && !table->name)
        status = fail_at(definition, root, CLOZE_INVALID, "the service needs a name: 'service'");
    if (!status)
        status = read_text(definition, cz_json_get(root, "description"), &table->description);
    if (!status)
        status = read_text(definition, cz_json_get(root, "model"), &table->model);
    if (!status)
        status = read_traffic(definition, cz_json_get(root, "traffic"), table);
    if (!status)
        status = read_resources(definition, cz_json_get(root, "resources"), table);
    if (!status)
        status = read_endpoints(definition, cz_json_get(root, "endpoints"), root, table);
    return status;
}

cloze_status cz_service_define_yaml(struct cz_service *service, struct cz_slice source,
                                    const char *name, struct cloze_error *error)
{
    struct definition definition = {
        .service = service, .arena = &service->arena, .name = name, .error = error};
    struct cz_json *root;
    cloze_status status = cz_yaml_parse(&service->arena, source, &root, error);
    if (status) {
        cz_error_at(error, name);
        return status;
    }
    service->table = CZ_ARENA_NEW(&service->arena, struct cloze_service);
    if (!service->table)
        return cz_fail_memory(error, name);
    service->table->abi = CLOZE_SERVICE_ABI;
    return read_service(&definition, root, service->table);
}

cloze_status cz_service_builtin(struct cz_service **out, struct cloze_error *error)
{
    static const char source[] =
        "service: Cloze\n"
        "description: A language model that answers in your schema.\n"
        "endpoints:\n"
        "  generate:\n"
        "    description: Generates text, or JSON by a schema, or what a constraint allows.\n"
        "    input:\n"
        "      prompt: {type: string, description: The user's message.}\n"
        "      json_schema: {type: string, optional: true, description: A JSON Schema.}\n"
        "      regex: {type: string, optional: true, description: The whole answer matches it.}\n"
        "      choice: {type: array, optional: true, description: The texts to choose from.}\n"
        "      type: {type: string, optional: true, description: 'int, float, bool, date, ...'}\n"
        "      system: {type: string, optional: true, description: A system message.}\n"
        "    generate:\n"
        "      prompt: '{{ prompt }}'\n"
        "      system: '{{ system }}'\n"
        "      json_schema: '{{ json_schema }}'\n"
        "      regex: '{{ regex }}'\n"
        "      choice: '{{ choice }}'\n"
        "      type: '{{ type }}'\n"
        "    output: json\n";
    *out = cz_service_new(".", error);
    if (!*out)
        return CLOZE_MEMORY;
    cloze_status status =
        cz_service_define_yaml(*out, CZ_SLICE(source), "the built-in service", error);
    if (!status)
        status = cz_service_prepare(*out, error);
    if (status) {
        cz_service_free(*out);
        *out = NULL;
    }
    return status;
}
