/* request.c - one request, from its first line to the end of its answer. */
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "server/internal.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

enum { MOST_FIELDS = 1000, FORM_BUFFER = 64 << 10 };

/* ---- Lifetime ---- */

static void drop_reference(struct request *request)
{
    struct cz_server *server = request->server;
    pthread_mutex_lock(&server->mutex);
    bool last = --request->references == 0;
    pthread_mutex_unlock(&server->mutex);
    if (!last)
        return;
    while (request->fields) {
        struct field *field = request->fields;
        request->fields = field->next;
        cz_buffer_free(&field->name);
        cz_buffer_free(&field->value);
        free(field);
    }
    cz_buffer_free(&request->body);
    cz_answer_clear(&request->answer);
    free(request->uri);
    free(request);
}

void *cz_request_begin(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct cz_server *server = context;
    struct request *request = calloc(1, sizeof *request);
    if (!request || !(request->uri = strdup(uri))) {
        free(request);
        return NULL;
    }
    uint64_t number = atomic_fetch_add(&server->next_id, 1);
    snprintf(request->id, sizeof request->id, "%016llx",
             (unsigned long long)cz_hash(&number, sizeof number));
    request->server = server;
    request->connection = connection;
    request->start_ns = cz_clock_ns();
    request->references = 1;
    request->watched = -1;
    request->body.maximum = server->options.largest_body;
    return request;
}

/* ---- Waiting: the list by deadline, and the watch on the client's socket ---- */

static void list_add(struct request *request)
{
    struct request **place = &request->server->waiting, *previous = NULL;
    while (*place && (*place)->deadline_ns <= request->deadline_ns) {
        previous = *place;
        place = &previous->next;
    }
    request->next = *place;
    request->previous = previous;
    if (request->next)
        request->next->previous = request;
    *place = request;
}

static void list_remove(struct request *request)
{
    if (request->previous)
        request->previous->next = request->next;
    else if (request->server->waiting == request)
        request->server->waiting = request->next;
    if (request->next)
        request->next->previous = request->previous;
    request->previous = request->next = NULL;
}

/* libmicrohttpd does not look at a suspended connection, so a client that hangs up shows here. */
static void watch(struct request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct epoll_event event = {.events = EPOLLRDHUP, .data.ptr = request};
    if (info && epoll_ctl(request->server->epoll, EPOLL_CTL_ADD, info->connect_fd, &event) == 0)
        request->watched = info->connect_fd;
}

static void unwatch(struct request *request)
{
    if (request->watched >= 0)
        epoll_ctl(request->server->epoll, EPOLL_CTL_DEL, request->watched, NULL);
    request->watched = -1;
}

static void begin_waiting(struct request *request, enum wait_kind kind, uint64_t timeout_ns)
{
    request->waiting = kind;
    request->deadline_ns = cz_clock_ns() + timeout_ns;
    list_add(request);
    watch(request);
    pthread_mutex_lock(&request->server->mutex);
    request->suspended = true;
    pthread_mutex_unlock(&request->server->mutex);
    MHD_suspend_connection(request->connection);
}

static void end_waiting(struct request *request)
{
    if (request->waiting == WAIT_NONE)
        return;
    list_remove(request);
    unwatch(request);
    request->waiting = WAIT_NONE;
}

/* With the mutex held, from any thread. The HTTP thread waits in its own epoll, so it is woken. */
static void resume(struct request *request)
{
    if (!request->suspended)
        return;
    request->suspended = false;
    MHD_resume_connection(request->connection);
    cz_server_wake(request->server);
}

static void stop_waiting(struct request *request, bool gone)
{
    struct cz_server *server = request->server;
    end_waiting(request);
    pthread_mutex_lock(&server->mutex);
    if (!request->finished) {
        request->gone = gone;
        request->timed_out = !gone;
        atomic_store(&request->cancelled, true);
    }
    resume(request);
    pthread_mutex_unlock(&server->mutex);
}

void cz_request_gone(struct request *request)
{
    stop_waiting(request, true);
}

void cz_request_expire(struct request *request)
{
    stop_waiting(request, false);
}

/* ---- Calls: on a handler thread ---- */

static cloze_status read_arguments(struct request *request, struct cloze_call *call,
                                   struct cz_argument *values, struct cz_problems *problems)
{
    struct cz_slice body = cz_buffer_slice(&request->body);
    if (!request->is_form)
        return cz_arguments_from_body(request->endpoint, body, &call->arena, values, problems,
                                      &call->error);
    struct cz_json object = {.kind = CZ_JSON_OBJECT};
    for (struct field *field = request->fields; field; field = field->next) {
        cloze_status status =
            cz_arguments_add_field(&object, cz_buffer_slice(&field->name),
                                   cz_buffer_slice(&field->value), &call->arena, &call->error);
        if (status)
            return status;
    }
    return cz_arguments_from_object(request->endpoint, &object, &call->arena, values, problems,
                                    &call->error);
}

static void answer_call(struct request *request, struct cloze_call *call)
{
    struct cz_problems problems = {0};
    size_t count = call->endpoint->table->parameter_count;
    struct cz_argument *values = CZ_ARENA_ARRAY(&call->arena, struct cz_argument, count + 1);
    cloze_status status = values ? read_arguments(request, call, values, &problems)
                                 : cz_fail_memory(&call->error, "arguments");
    request->answer.of_endpoint = true;
    if (problems.count) {
        cz_answer_problems(&request->answer, &problems);
        return;
    }
    call->arguments = values;
    if (!status)
        status = cz_call_run(call);
    if (status == CLOZE_CANCELLED)
        cz_answer_error(&request->answer, 503, "The server is shutting down");
    else
        cz_answer_call(&request->answer, call, status, request->id);
}

static void run_call(struct cz_call_job *job)
{
    struct request *request = (struct request *)job;
    struct cz_server *server = request->server;
    struct cloze_call call = {.endpoint = request->endpoint, .cancelled = &request->cancelled};
    pthread_mutex_lock(&server->mutex);
    call.generator = server->generator;
    pthread_mutex_unlock(&server->mutex);
    if (!atomic_load(&request->cancelled))
        answer_call(request, &call);

    pthread_mutex_lock(&server->mutex);
    request->finished = true;
    if (call.completion_tokens)
        cz_metrics_generated(server->metrics, call.prompt_tokens, call.completion_tokens,
                             call.first_token_ns);
    if (atomic_load(&request->cancelled))
        cz_metrics_cancelled(server->metrics);
    resume(request);
    if (--server->active_calls == 0)
        pthread_cond_broadcast(&server->idle);
    pthread_mutex_unlock(&server->mutex);
    cz_call_free(&call);
    drop_reference(request);
}

/* ---- Forms ---- */

static enum MHD_Result add_field(void *context, enum MHD_ValueKind kind, const char *key,
                                 const char *file, const char *type, const char *encoding,
                                 const char *data, uint64_t offset, size_t size)
{
    struct request *request = context;
    struct field **end = &request->fields, *last = NULL;
    size_t count = 0;
    (void)kind, (void)file, (void)type, (void)encoding;
    for (; *end; end = &(*end)->next, count++)
        last = *end;
    if (offset == 0 || !last) {
        if (count == MOST_FIELDS || !(last = calloc(1, sizeof *last)))
            return MHD_NO;
        *end = last;
        cz_buffer_append_text(&last->name, key);
    }
    cz_buffer_append(&last->value, data, size);
    return last->name.failed || last->value.failed ? MHD_NO : MHD_YES;
}

/* false when the body is no form of the declared kind. */
static bool read_form(struct request *request)
{
    struct MHD_PostProcessor *processor =
        MHD_create_post_processor(request->connection, FORM_BUFFER, add_field, request);
    if (!processor)
        return false;
    bool good = request->body.size == 0 ||
                MHD_post_process(processor, request->body.data, request->body.size) == MHD_YES;
    return MHD_destroy_post_processor(processor) == MHD_YES && good;
}

/* curl -d declares a form whatever it sends: what starts like JSON is JSON. */
static bool looks_like_json(struct cz_slice body)
{
    size_t i = 0;
    while (i < body.size && strchr(" \t\r\n", body.data[i]))
        i++;
    return i < body.size && (body.data[i] == '{' || body.data[i] == '[');
}

static bool has_type(const char *header, const char *type)
{
    return header && strncasecmp(header, type, strlen(type)) == 0;
}

/* ---- Routing ---- */

static const char *header(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

static enum own_route find_own_route(const char *url)
{
    static const char *const urls[] = {[ROUTE_LIVEZ] = "/livez",     [ROUTE_HEALTHZ] = "/healthz",
                                       [ROUTE_READYZ] = "/readyz",   [ROUTE_METRICS] = "/metrics",
                                       [ROUTE_SCHEMA] = "/schema.json",
                                       [ROUTE_DOCS] = "/docs.json",  [ROUTE_ROOT] = "/"};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++)
        if (strcmp(url, urls[i]) == 0)
            return (enum own_route)i;
    return cz_page_exists(url) ? ROUTE_STATIC : ROUTE_UNKNOWN;
}

static const struct cz_endpoint *find_endpoint(const struct cz_service *service, const char *url)
{
    for (size_t i = 0; i < service->endpoint_count; i++)
        if (strcmp(service->endpoints[i].route, url) == 0)
            return &service->endpoints[i];
    return NULL;
}

static void find_route(struct request *request, const char *url)
{
    struct cz_server *server = request->server;
    request->routed = true;
    request->endpoint = find_endpoint(server->service, url);
    request->route = request->endpoint
                         ? (size_t)(request->endpoint - server->service->endpoints)
                         : server->service->endpoint_count + find_own_route(url);
    request->counted = request->route != server->service->endpoint_count + ROUTE_METRICS;
    if (!request->counted)
        return;
    pthread_mutex_lock(&server->mutex);
    cz_metrics_begin(server->metrics, request->route);
    pthread_mutex_unlock(&server->mutex);
}

/* ---- Answers that need no handler ---- */

static enum MHD_Result send_text(struct request *request, int status, const char *text)
{
    struct answer answer = {0};
    cz_answer_text(&answer, status, text);
    return cz_answer_send(request, &answer);
}

static enum MHD_Result send_error(struct request *request, int status, const char *message,
                                  const char *retry_after)
{
    struct answer answer = {.of_endpoint = status != 429 && status != 504};
    snprintf(answer.retry_after, sizeof answer.retry_after, "%s", retry_after ? retry_after : "");
    cz_answer_error(&answer, status, message);
    return cz_answer_send(request, &answer);
}

static enum MHD_Result send_not_allowed(struct request *request, const char *allow)
{
    struct answer answer = {.allow = allow};
    cz_answer_text(&answer, 405, "Method Not Allowed");
    return cz_answer_send(request, &answer);
}

static enum MHD_Result send_document(struct request *request, const struct cz_buffer *text,
                                     const char *type)
{
    struct answer answer = {.status = 200, .content_type = type};
    cz_buffer_append_slice(&answer.body, cz_buffer_slice(text));
    return cz_answer_send(request, &answer);
}

static enum MHD_Result send_metrics(struct request *request)
{
    struct cz_server *server = request->server;
    struct cz_metrics_now now;
    struct answer answer = {.status = 200,
                            .content_type = "text/plain; version=0.0.4; charset=utf-8"};
    cz_handlers_load(server->handlers, &now.waiting, &now.running);
    pthread_mutex_lock(&server->mutex);
    cz_metrics_write(server->metrics, &now, &answer.body);
    pthread_mutex_unlock(&server->mutex);
    return cz_answer_send(request, &answer);
}

/* 307 to the path without its trailing slashes, the query kept. */
static enum MHD_Result send_redirect(struct request *request, const char *url)
{
    struct cz_buffer location = {0};
    const char *host = header(request, "Host"), *query = strchr(request->uri, '?');
    size_t size = strlen(url);
    while (size > 1 && url[size - 1] == '/')
        size--;
    if (host && host[0])
        cz_buffer_printf(&location, "http://%s", host);
    cz_buffer_append(&location, url, size);
    cz_buffer_append_text(&location, query ? query : "");
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result = MHD_NO;
    if (response && !location.failed &&
        MHD_add_response_header(response, "Location", location.data) == MHD_YES) {
        request->status = 307;
        result = MHD_queue_response(request->connection, 307, response);
    }
    if (response)
        MHD_destroy_response(response);
    cz_buffer_free(&location);
    return result;
}

static enum MHD_Result send_unknown(struct request *request, const char *url)
{
    size_t size = strlen(url);
    if (size > 1 && url[size - 1] == '/') {
        char *shorter = strndup(url, size - 1);
        bool known = shorter && (find_endpoint(request->server->service, shorter) ||
                                 find_own_route(shorter) != ROUTE_UNKNOWN);
        free(shorter);
        if (known)
            return send_redirect(request, url);
    }
    return send_text(request, 404, "Not Found");
}

static void read_state(struct cz_server *server, bool *ready, bool *draining)
{
    pthread_mutex_lock(&server->mutex);
    *ready = server->ready;
    *draining = server->draining;
    pthread_mutex_unlock(&server->mutex);
}

static enum MHD_Result send_readiness(struct request *request, bool held)
{
    bool ready, draining;
    read_state(request->server, &ready, &draining);
    if (draining)
        return send_text(request, 503, "The server is shutting down\n");
    if (ready)
        return send_text(request, 200, "\n");
    if (held)
        return send_text(request, 503, "The model is still loading\n");
    begin_waiting(request, WAIT_LOADING, LOADING_HOLD_MS * (uint64_t)1000000);
    return MHD_YES;
}

static enum MHD_Result dispatch_own(struct request *request, enum own_route route, const char *url,
                                    const char *method)
{
    if (route == ROUTE_UNKNOWN)
        return send_unknown(request, url);
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return send_not_allowed(request, "GET, HEAD");
    switch (route) {
    case ROUTE_READYZ:
        return send_readiness(request, false);
    case ROUTE_METRICS:
        return send_metrics(request);
    case ROUTE_SCHEMA:
        return send_document(request, &request->server->schema, "application/json");
    case ROUTE_DOCS:
        return send_document(request, &request->server->openapi, "application/json");
    case ROUTE_ROOT:
    case ROUTE_STATIC:
        return cz_page_send(request, url);
    default:
        return send_text(request, 200, "\n");
    }
}

/* ---- Calls: on the HTTP thread ---- */

/* Compares whole keys, so that time tells nothing of how much was right. */
static bool same_key(const char *given, const char *key)
{
    size_t size = strlen(given);
    unsigned difference = size != strlen(key);
    for (size_t i = 0; i < size && !(difference && i >= strlen(key)); i++)
        difference |= (unsigned char)given[i] ^ (unsigned char)key[i];
    return difference == 0;
}

static bool is_authorised(const struct request *request)
{
    const struct cz_server_options *options = &request->server->options;
    const char *given = header(request, "Authorization");
    if (options->api_key_count == 0)
        return true;
    if (!given || strncasecmp(given, "Bearer ", 7) != 0)
        return false;
    bool found = false;
    for (size_t i = 0; i < options->api_key_count; i++)
        found |= same_key(given + 7, options->api_keys[i]);
    return found;
}

static enum MHD_Result submit(struct request *request)
{
    struct cz_server *server = request->server;
    begin_waiting(request, WAIT_HANDLER, server->service->timeout_s * (uint64_t)1000000000);
    request->job.run = run_call;
    pthread_mutex_lock(&server->mutex);
    request->references++;
    server->active_calls++;
    pthread_mutex_unlock(&server->mutex);
    if (cz_handlers_submit(server->handlers, &request->job))
        return MHD_YES;
    pthread_mutex_lock(&server->mutex);
    request->references--;
    server->active_calls--;
    request->finished = true;
    cz_answer_error(&request->answer, 429, "Too many requests");
    snprintf(request->answer.retry_after, sizeof request->answer.retry_after, "1");
    resume(request);
    pthread_mutex_unlock(&server->mutex);
    return MHD_YES;
}

static enum MHD_Result dispatch_call(struct request *request, const char *method)
{
    const char *type = header(request, "Content-Type");
    bool ready, draining;
    if (strcmp(method, "POST") != 0)
        return send_not_allowed(request, "POST");
    if (!is_authorised(request))
        return send_error(request, 401, "Authorization error", NULL);
    if (request->body.failed)
        return send_error(request, 413, "The body is too large", NULL);
    if (has_type(type, "application/vnd.bentoml+pickle"))
        return send_error(request, 415,
                          "application/vnd.bentoml+pickle is not allowed in main server", NULL);
    read_state(request->server, &ready, &draining);
    if (draining)
        return send_error(request, 503, "The server is shutting down", NULL);
    if (!ready)
        return send_error(request, 503, "The model is still loading", "1");
    bool multipart = has_type(type, "multipart/form-data");
    request->is_form = multipart || (has_type(type, "application/x-www-form-urlencoded") &&
                                     !looks_like_json(cz_buffer_slice(&request->body)));
    if (request->is_form && !read_form(request))
        return send_error(request, 400, "The body is not the form that its Content-Type declares",
                          NULL);
    return submit(request);
}

/* The connection goes on after a wait: with the handler's answer, or with why there is none. */
static enum MHD_Result answer_after_wait(struct request *request)
{
    struct cz_server *server = request->server;
    enum wait_kind kind = request->endpoint ? WAIT_HANDLER : WAIT_LOADING;
    end_waiting(request);
    pthread_mutex_lock(&server->mutex);
    bool gone = request->gone, timed_out = request->timed_out, finished = request->finished;
    pthread_mutex_unlock(&server->mutex);
    if (gone)
        return MHD_NO;
    if (kind == WAIT_LOADING)
        return send_readiness(request, true);
    if (finished && !timed_out && request->answer.status)
        return cz_answer_send(request, &request->answer);
    char text[100];
    if (atomic_load(&server->stopping))
        return send_error(request, 503, "The server is shutting down", NULL);
    snprintf(text, sizeof text, "Not able to process the request in %u seconds",
             server->service->timeout_s);
    return send_error(request, 504, text, NULL);
}

/* ---- libmicrohttpd's callbacks ---- */

/* Refuses at once what a client asks leave to send, or what is too much to throw away. */
static enum MHD_Result check_head(struct request *request)
{
    const char *length = header(request, "Content-Length");
    unsigned long long size = length ? strtoull(length, NULL, 10) : 0;
    if (size <= request->body.maximum)
        return MHD_YES;
    request->body.failed = true;
    if (!header(request, "Expect") && size <= CZ_SERVER_LARGEST_DISCARD)
        return MHD_YES;
    return send_error(request, 413, "The body is too large", NULL);
}

static enum MHD_Result collect(struct request *request, const char *data, size_t *size)
{
    request->body_size += *size;
    if (request->body_size > CZ_SERVER_LARGEST_DISCARD)
        return MHD_NO;
    if (request->endpoint)
        cz_buffer_append(&request->body, data, *size);
    *size = 0;
    return MHD_YES;
}

enum MHD_Result cz_request_handle(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **request_context)
{
    struct request *request = *request_context;
    (void)context, (void)connection, (void)version;
    if (!request)
        return MHD_NO; /* there was no memory for it */
    if (!request->routed) {
        find_route(request, url);
        return check_head(request);
    }
    if (*size)
        return collect(request, data, size);
    if (request->deadline_ns) /* it waited */
        return answer_after_wait(request);
    if (request->endpoint)
        return dispatch_call(request, method);
    enum own_route route =
        (enum own_route)(request->route - request->server->service->endpoint_count);
    return dispatch_own(request, route, url, method);
}

static void log_request(const struct request *request, uint64_t duration_ns)
{
    char host[64] = "?", port[16] = "?";
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (info && info->client_addr) {
        socklen_t size = info->client_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                                  : sizeof(struct sockaddr_in);
        getnameinfo(info->client_addr, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV);
    }
    double duration_ms = (double)duration_ns / 1e6;
    if (request->status)
        cz_log(CZ_LOG_INFO, "%s:%s %.300s -> %d in %.3f ms, %s", host, port, request->uri,
               request->status, duration_ms, request->id);
    else
        cz_log(CZ_LOG_INFO, "%s:%s %.300s: the client left after %.3f ms, %s", host, port,
               request->uri, duration_ms, request->id);
}

void cz_request_end(void *context, struct MHD_Connection *connection, void **request_context,
                    enum MHD_RequestTerminationCode code)
{
    struct request *request = *request_context;
    (void)connection, (void)code;
    if (!request)
        return;
    struct cz_server *server = context;
    uint64_t duration_ns = cz_clock_ns() - request->start_ns;
    *request_context = NULL;
    end_waiting(request);
    pthread_mutex_lock(&server->mutex);
    request->suspended = false;
    if (!request->finished)
        atomic_store(&request->cancelled, true);
    if (request->counted)
        cz_metrics_end(server->metrics, request->route, request->status, duration_ns);
    pthread_mutex_unlock(&server->mutex);
    size_t own = server->service->endpoint_count;
    bool quiet = request->route >= own && request->route < own + ROUTE_SCHEMA;
    if (request->routed && !quiet && cz_log_enabled(CZ_LOG_INFO))
        log_request(request, duration_ns);
    drop_reference(request);
}
