/* service.c - preparing a definition, and loading it from where it stands. */
#include "service/service.h"

#include "base/file.h"
#include "service/arguments.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const type_names[] = {NULL,   "string", "int",   "number",
                                         "bool", "object", "array", "json"};

const char *cz_type_name(enum cloze_type type)
{
    return type >= CLOZE_STRING && type <= CLOZE_JSON ? type_names[type] : "unknown";
}

enum cloze_type cz_type_from_name(struct cz_slice name)
{
    for (unsigned i = CLOZE_STRING; i <= CLOZE_JSON; i++)
        if (cz_slice_is(name, type_names[i]))
            return (enum cloze_type)i;
    return 0;
}

bool cz_is_identifier(struct cz_slice name)
{
    if (name.size == 0 || name.size > 100 || isdigit((unsigned char)name.data[0]))
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (!isalnum((unsigned char)name.data[i]) && name.data[i] != '_')
            return false;
    return true;
}

/* Edit distance (insert, delete, replace), words of at most 40 characters. */
static unsigned distance(struct cz_slice a, struct cz_slice b)
{
    unsigned row[41];
    for (unsigned j = 0; j <= b.size; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a.size; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= b.size; j++) {
            unsigned replaced = diagonal + (a.data[i - 1] != b.data[j - 1]);
            diagonal = row[j];
            unsigned shifted = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = shifted < replaced ? shifted : replaced;
        }
    }
    return row[b.size];
}

const char *cz_nearest_name(struct cz_slice word, const char *const *names)
{
    const char *nearest = NULL;
    unsigned least = 3; /* more than two edits are another word */
    for (; word.size <= 40 && *names; names++) {
        struct cz_slice name = cz_slice(*names);
        unsigned edits = name.size <= 40 ? distance(word, name) : least;
        if (edits < least && edits < name.size) {
            least = edits;
            nearest = *names;
        }
    }
    return nearest;
}

/* ---- Preparing ---- */

cloze_status cz_service_path(const struct cz_service *service, const char *name,
                             struct cz_buffer *path, struct cloze_error *error)
{
    if (!cz_path_is_safe(cz_slice(name)))
        return cz_fail(error, CLOZE_INVALID, name,
                       "a service's file stands in its folder: a relative path without '..'");
    return cz_path_join(path, service->folder, name) ? CLOZE_OK : cz_fail_memory(error, name);
}

static cloze_status read_fallback_file(struct cz_service *service,
                                       const struct cloze_parameter *parameter,
                                       struct cz_slice *text, struct cloze_error *error)
{
    struct cz_buffer path = {0}, content = {.maximum = CZ_SERVICE_LARGEST_FILE};
    cloze_status status =
        cz_service_path(service, parameter->fallback_file, &path, error);
    if (!status)
        status = cz_file_read(path.data, &content, error);
    if (status)
        goto out;
    struct cz_slice trimmed = cz_buffer_slice(&content);
    while (trimmed.size && trimmed.data[trimmed.size - 1] == '\n')
        trimmed.size--;
    char *copy = cz_arena_text(&service->arena, trimmed);
    *text = cz_slice_of(copy, trimmed.size);
    status = copy ? CLOZE_OK : cz_fail_memory(error, path.data);
out:
    cz_buffer_free(&path);
    cz_buffer_free(&content);
    return status;
}

/* A fallback's text as the JSON value that a request would carry. */
static cloze_status parse_fallback(struct cz_service *service,
                                   const struct cloze_parameter *parameter, struct cz_slice text,
                                   struct cz_json **out, struct cloze_error *error)
{
    if (parameter->type != CLOZE_STRING)
        return cz_json_parse(&service->arena, text, NULL, out, error);
    struct cz_json *node = CZ_ARENA_NEW(&service->arena, struct cz_json);
    if (!node)
        return cz_fail_memory(error, "default");
    *node = (struct cz_json){.kind = CZ_JSON_STRING, .text = text};
    *out = node;
    return CLOZE_OK;
}

static cloze_status prepare_fallback(struct cz_service *service, struct cz_input *parameter,
                                     struct cloze_error *error)
{
    const struct cloze_parameter *table = parameter->table;
    struct cz_slice text = cz_slice(table->fallback);
    if (table->fallback && table->fallback_file)
        return cz_fail(error, CLOZE_INVALID, NULL, "has a default and a default file; keep one");
    if (table->fallback_file) {
        cloze_status status = read_fallback_file(service, table, &text, error);
        if (status)
            return status;
    }
    if (!text.data) {
        parameter->required = !table->optional;
        parameter->fallback = (struct cz_argument){.is_null = true, .text = CZ_SLICE("null")};
        return CLOZE_OK;
    }
    struct cz_json *value;
    cloze_status status = parse_fallback(service, table, text, &value, error);
    if (status)
        return status;
    struct cz_problem *found =
        cz_argument_read(table, value, &service->arena, &parameter->fallback);
    if (found)
        return cz_fail(error, CLOZE_INVALID, NULL, "the default: %s", found->message);
    return CLOZE_OK;
}

static cloze_status prepare_parameter(struct cz_service *service, struct cz_endpoint *endpoint,
                                      size_t index, struct cloze_error *error)
{
    struct cz_input *parameter = &endpoint->parameters[index];
    const struct cloze_parameter *table = &endpoint->table->parameters[index];
    parameter->table = table;
    if (!table->name || !cz_is_identifier(cz_slice(table->name)))
        return cz_fail(error, CLOZE_INVALID, NULL,
                       "an argument's name has letters, digits and '_', and no digit first");
    for (size_t i = 0; i < index; i++)
        if (strcmp(endpoint->parameters[i].table->name, table->name) == 0)
            return cz_fail(error, CLOZE_INVALID, table->name, "this argument is declared twice");
    if (table->type < CLOZE_STRING || table->type > CLOZE_JSON)
        return cz_fail(error, CLOZE_INVALID, table->name, "has no known type");
    bool number = table->type == CLOZE_INT || table->type == CLOZE_NUMBER;
    if (!number && (table->range.has_minimum || table->range.has_maximum))
        return cz_fail(error, CLOZE_INVALID, table->name, "a range needs the type int or number");
    if (table->choices && table->type != CLOZE_STRING)
        return cz_fail(error, CLOZE_INVALID, table->name, "choices need the type string");
    cloze_status status = prepare_fallback(service, parameter, error);
    if (status)
        cz_error_at(error, table->name);
    return status;
}

/* Routes that the server answers itself. */
static const char *const own_routes[] = {"/",        "/livez",       "/readyz",    "/healthz",
                                         "/metrics", "/schema.json", "/docs.json", NULL};

static cloze_status check_route(const struct cz_service *service, const char *route,
                                struct cloze_error *error)
{
    size_t size = strlen(route);
    if (route[0] != '/' || size > 200 || (size > 1 && route[size - 1] == '/'))
        return cz_fail(error, CLOZE_INVALID, route,
                       "a route starts with '/', does not end with it, at most 200 characters");
    for (const char *c = route; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("/_-.", *c))
            return cz_fail(error, CLOZE_INVALID, route,
                           "a route has letters, digits and the characters / _ - .");
    for (size_t i = 0; own_routes[i]; i++)
        if (strcmp(route, own_routes[i]) == 0 || strncmp(route, "/static_content/", 16) == 0)
            return cz_fail(error, CLOZE_INVALID, route, "is a route of the server itself");
    for (size_t i = 0; i < service->endpoint_count; i++)
        if (service->endpoints[i].route && strcmp(service->endpoints[i].route, route) == 0)
            return cz_fail(error, CLOZE_INVALID, route, "two endpoints have this route");
    return CLOZE_OK;
}

static cloze_status prepare_route(struct cz_service *service, struct cz_endpoint *endpoint,
                                  struct cloze_error *error)
{
    const char *route = endpoint->table->route;
    if (!route) {
        char text[128];
        snprintf(text, sizeof text, "/%s", endpoint->table->name);
        if (!(route = cz_arena_text(&service->arena, cz_slice(text))))
            return cz_fail_memory(error, "route");
    }
    cloze_status status = check_route(service, route, error);
    endpoint->route = route;
    return status;
}

static cloze_status prepare_endpoint(struct cz_service *service, struct cz_endpoint *endpoint,
                                     const struct cloze_endpoint *table, struct cloze_error *error)
{
    endpoint->table = table;
    if (!table->name || !cz_is_identifier(cz_slice(table->name)))
        return cz_fail(error, CLOZE_INVALID, table->name,
                       "an endpoint's name has letters, digits and '_', and no digit first");
    if (!table->handler)
        return cz_fail(error, CLOZE_INVALID, table->name, "has no handler");
    if (table->output < CLOZE_STRING || table->output > CLOZE_JSON)
        return cz_fail(error, CLOZE_INVALID, table->name, "has no known output type");
    if (table->parameter_count > CZ_SERVICE_MOST_PARAMETERS)
        return cz_fail(error, CLOZE_LIMIT, table->name, "has more than %d arguments",
                       CZ_SERVICE_MOST_PARAMETERS);
    cloze_status status = prepare_route(service, endpoint, error);
    endpoint->parameters =
        CZ_ARENA_ARRAY(&service->arena, struct cz_input, table->parameter_count + 1);
    if (!status && !endpoint->parameters)
        status = cz_fail_memory(error, "endpoint");
    for (size_t i = 0; !status && i < table->parameter_count; i++)
        status = prepare_parameter(service, endpoint, i, error);
    if (status)
        cz_error_at(error, table->name);
    return status;
}

static int order_by_name(const void *a, const void *b)
{
    return strcmp(((const struct cz_endpoint *)a)->table->name,
                  ((const struct cz_endpoint *)b)->table->name);
}

static cloze_status check_head(const struct cloze_service *table, struct cloze_error *error)
{
    if (table->abi != CLOZE_SERVICE_ABI)
        return cz_fail(error, CLOZE_UNSUPPORTED, table->name,
                       "was built for another version of cloze.h (service ABI %u, this is %u)",
                       table->abi, CLOZE_SERVICE_ABI);
    if (!table->name || !cz_is_identifier(cz_slice(table->name)))
        return cz_fail(error, CLOZE_INVALID, "service",
                       "a service's name has letters, digits and '_', and no digit first");
    return CLOZE_OK;
}

cloze_status cz_service_prepare(struct cz_service *service, struct cloze_error *error)
{
    const struct cloze_service *table = service->table;
    cloze_status status = check_head(table, error);
    if (status)
        return status;
    size_t count = 0;
    for (const struct cloze_endpoint *item = table->endpoints; item; item = item->next)
        if (++count > CZ_SERVICE_MOST_ENDPOINTS)
            return cz_fail(error, CLOZE_LIMIT, table->name, "has more than %d endpoints",
                           CZ_SERVICE_MOST_ENDPOINTS);
    if (count == 0)
        return cz_fail(error, CLOZE_INVALID, table->name, "has no endpoint");
    service->timeout_s = table->timeout_s ? table->timeout_s : CZ_SERVICE_DEFAULT_TIMEOUT_S;
    service->max_concurrency =
        table->max_concurrency ? table->max_concurrency : CZ_SERVICE_DEFAULT_CONCURRENCY;
    service->max_queue = table->max_queue ? table->max_queue : CZ_SERVICE_DEFAULT_QUEUE;
    service->endpoints = CZ_ARENA_ARRAY(&service->arena, struct cz_endpoint, count);
    if (!service->endpoints)
        return cz_fail_memory(error, "service");
    for (const struct cloze_endpoint *item = table->endpoints; item && !status; item = item->next) {
        status = prepare_endpoint(service, &service->endpoints[service->endpoint_count], item, error);
        service->endpoint_count++;
    }
    if (status)
        return status;
    qsort(service->endpoints, count, sizeof *service->endpoints, order_by_name);
    for (size_t i = 1; i < count; i++)
        if (order_by_name(&service->endpoints[i - 1], &service->endpoints[i]) == 0)
            return cz_fail(error, CLOZE_INVALID, service->endpoints[i].table->name,
                           "two endpoints have this name");
    return CLOZE_OK;
}

/* ---- Loading ---- */

struct cz_service *cz_service_new(const char *folder, struct cloze_error *error)
{
    struct cz_service *service = calloc(1, sizeof *service);
    if (service)
        service->folder = strdup(folder);
    if (service && service->folder)
        return service;
    free(service);
    cz_fail_memory(error, "service");
    return NULL;
}

void cz_service_free(struct cz_service *service)
{
    if (!service)
        return;
    cz_arena_free(&service->arena);
    if (service->library)
        dlclose(service->library);
    free(service->folder);
    free(service);
}

static cloze_status define_from_file(struct cz_service *service, const char *path,
                                     struct cloze_error *error)
{
    if (cz_slice_ends_with(cz_slice(path), ".c"))
        return cz_service_define_c(service, path, error);
    struct cz_buffer content = {.maximum = (size_t)4 << 20};
    cloze_status status = cz_file_read(path, &content, error);
    if (!status)
        status = cz_service_define_yaml(service, cz_buffer_slice(&content), path, error);
    cz_buffer_free(&content);
    return status;
}

/* Chooses the definition inside a folder; *path is replaced by it. */
static cloze_status find_definition(struct cz_buffer *path, struct cloze_error *error)
{
    struct cz_buffer yaml = {0}, c = {0};
    bool has_yaml = cz_path_join(&yaml, path->data, "service.yaml") && cz_file_exists(yaml.data);
    bool has_c = cz_path_join(&c, path->data, "service.c") && cz_file_exists(c.data);
    cloze_status status = CLOZE_OK;
    if (has_yaml && has_c)
        status = cz_fail(error, CLOZE_INVALID, path->data,
                         "holds service.yaml and service.c: keep one, or name the file");
    else if (!has_yaml && !has_c)
        status = cz_fail(error, CLOZE_NOT_FOUND, path->data,
                         "holds neither service.yaml nor service.c");
    else {
        cz_buffer_clear(path);
        cz_buffer_append_slice(path, cz_buffer_slice(has_yaml ? &yaml : &c));
    }
    cz_buffer_free(&yaml);
    cz_buffer_free(&c);
    return status;
}

cloze_status cz_service_load(const char *path, struct cz_service **out, struct cloze_error *error)
{
    struct cz_buffer file = {0};
    char *folder = NULL;
    struct cz_service *service = NULL;
    cz_buffer_append_text(&file, path);
    cloze_status status = cz_buffer_status(&file, "path", error);
    if (!status && cz_file_is_folder(path))
        status = find_definition(&file, error);
    if (status)
        goto out;
    const char *slash = strrchr(file.data, '/');
    folder = slash ? strndup(file.data, (size_t)(slash - file.data) + 1) : strdup("./");
    status = CLOZE_MEMORY;
    if (!folder || !(service = cz_service_new(folder, error)))
        goto out;
    status = define_from_file(service, file.data, error);
    if (!status && (status = cz_service_prepare(service, error)))
        cz_error_at(error, file.data);
out:
    if (status) {
        cz_service_free(service);
        service = NULL;
    }
    *out = service;
    free(folder);
    cz_buffer_free(&file);
    return status;
}

cloze_status cz_service_from_table(struct cloze_service *table, const char *folder,
                                   struct cz_service **out, struct cloze_error *error)
{
    *out = cz_service_new(folder, error);
    if (!*out)
        return CLOZE_MEMORY;
    (*out)->table = table;
    cloze_status status = cz_service_prepare(*out, error);
    if (status) {
        cz_service_free(*out);
        *out = NULL;
    }
    return status;
}
