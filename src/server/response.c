/* response.c - answers: bodies of errors, headers, and handing them to libmicrohttpd. */
#include "base/heap.h"
#include "base/log.h"
#include "server/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define JSON_TYPE "application/json"
#define TEXT_TYPE "text/plain; charset=utf-8"

static const char unexpected[] =
    "An unexpected error has occurred, please check the server log.";

static void set(struct answer *answer, int status, const char *type)
{
    cz_buffer_clear(&answer->body);
    answer->status = status;
    answer->content_type = type;
}

void cz_answer_text(struct answer *answer, int status, const char *text)
{
    set(answer, status, TEXT_TYPE);
    cz_buffer_append_text(&answer->body, text);
}

void cz_answer_error(struct answer *answer, int status, const char *message)
{
    struct cz_json_writer writer = {.out = &answer->body};
    set(answer, status, JSON_TYPE);
    cz_json_begin_object(&writer);
    cz_json_write_member_string(&writer, "error", message);
    cz_json_end_object(&writer);
}

void cz_answer_problems(struct answer *answer, const struct cz_problems *problems)
{
    struct cz_json_writer writer = {.out = &answer->body};
    set(answer, 400, JSON_TYPE);
    cz_problems_write(problems, &writer);
}

/* A refused constraint: which argument, where inside it, and why. */
static void refuse_constraint(struct answer *answer, const struct cloze_call *call,
                              cloze_status status)
{
    const struct cloze_error *error = &call->error;
    struct cz_json_writer writer = {.out = &answer->body};
    char text[sizeof error->message + sizeof error->where + 64];
    bool placed = error->where[0] && strcmp(error->where, call->problem_place) != 0;
    set(answer, 400, JSON_TYPE);
    snprintf(text, sizeof text, "%s%s%s: %s", call->problem_place, placed ? " at " : "",
             placed ? error->where : "", error->message);
    cz_json_begin_object(&writer);
    cz_json_write_member_string(&writer, "error", text);
    cz_json_write_key(&writer, "detail");
    cz_json_begin_array(&writer);
    cz_json_begin_object(&writer);
    snprintf(text, sizeof text, "%s_%s", call->problem_place, cloze_status_name(status));
    cz_json_write_member_string(&writer, "type", text);
    cz_json_write_key(&writer, "loc");
    cz_json_begin_array(&writer);
    cz_json_write_string(&writer, call->problem_place);
    if (placed)
        cz_json_write_string(&writer, error->where);
    cz_json_end_array(&writer);
    cz_json_write_member_string(&writer, "msg", error->message);
    cz_json_end_object(&writer);
    cz_json_end_array(&writer);
    cz_json_end_object(&writer);
}

static void succeed(struct answer *answer, struct cloze_call *call)
{
    bool text = call->endpoint->table->output == CLOZE_STRING;
    answer->status = 200;
    answer->content_type = text ? TEXT_TYPE : JSON_TYPE;
    answer->finish_reason = call->finish_reason;
    cz_buffer_free(&answer->body);
    answer->body = call->result;
    call->result = (struct cz_buffer){0};
}

void cz_answer_call(struct answer *answer, struct cloze_call *call, cloze_status status,
                    const char *id)
{
    int code = cz_call_http_status(call, status);
    answer->of_endpoint = true;
    if (code == 200) {
        succeed(answer, call);
    } else if (code == 503) {
        snprintf(answer->retry_after, sizeof answer->retry_after, "1");
        cz_answer_error(answer, code, call->error.message);
    } else if (code >= 500) {
        char what[64];
        snprintf(what, sizeof what, "%s %s", call->endpoint->table->name, id);
        cz_log_error(CZ_LOG_ERROR, what, &call->error);
        cz_answer_error(answer, code, unexpected);
    } else if (call->problem_place && !call->http_status) {
        refuse_constraint(answer, call, status);
    } else {
        cz_answer_error(answer, code, call->error.message);
    }
}

void cz_answer_clear(struct answer *answer)
{
    cz_buffer_free(&answer->body);
}

/* ---- Sending ---- */

static void add(struct MHD_Response *response, const char *name, const char *value)
{
    if (value && value[0])
        MHD_add_response_header(response, name, value);
}

static void add_headers(struct MHD_Response *response, const struct request *request,
                        const struct answer *answer)
{
    char server[160];
    add(response, "Content-Type", answer->content_type);
    add(response, "Allow", answer->allow);
    add(response, "Retry-After", answer->retry_after);
    add(response, "X-Cloze-Finish-Reason", answer->finish_reason);
    if (answer->status == 401)
        add(response, "WWW-Authenticate", "Bearer");
    if (answer->close)
        add(response, "Connection", "close");
    if (!answer->of_endpoint)
        return;
    snprintf(server, sizeof server, "BentoML Service/%s", request->server->service->table->name);
    add(response, "Server", server);
    add(response, "X-BentoML-Request-ID", request->id);
}

enum MHD_Result cz_answer_send(struct request *request, struct answer *answer)
{
    static char empty[1];
    if (answer->body.failed)
        cz_answer_error(answer, 500, unexpected);
    struct cz_buffer *body = &answer->body;
    struct MHD_Response *response =
        body->data ? MHD_create_response_from_buffer_with_free_callback(body->size, body->data,
                                                                       cz_heap_free)
                   : MHD_create_response_from_buffer(0, empty, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    *body = (struct cz_buffer){0}; /* the response owns the bytes now */
    add_headers(response, request, answer);
    request->status = answer->status;
    enum MHD_Result result =
        MHD_queue_response(request->connection, (unsigned)answer->status, response);
    MHD_destroy_response(response);
    return result;
}
