/* call.c - what a handler can ask of its call. */
#include "service/call.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Arguments ---- */

static void misuse(struct cloze_call *call, const char *name, const char *problem)
{
    if (call->failed)
        return;
    call->failed = true;
    cz_fail(&call->error, CLOZE_INTERNAL, call->endpoint->table->name,
            "the handler asks for argument '%s', which %s", name, problem);
}

/* The index of a declared argument, or -1. */
static long find(const struct cloze_call *call, const char *name)
{
    const struct cloze_endpoint *table = call->endpoint->table;
    for (size_t i = 0; i < table->parameter_count; i++)
        if (strcmp(table->parameters[i].name, name) == 0)
            return (long)i;
    return -1;
}

/* The argument when it is declared with one of two types and not null. */
static const struct cz_argument *get(struct cloze_call *call, const char *name,
                                     enum cloze_type type, enum cloze_type other)
{
    long index = find(call, name);
    if (index < 0) {
        misuse(call, name, "is not declared");
        return NULL;
    }
    enum cloze_type declared = call->endpoint->table->parameters[index].type;
    if (declared != type && declared != other) {
        misuse(call, name, "is declared with another type");
        return NULL;
    }
    const struct cz_argument *argument = &call->arguments[index];
    return argument->is_null ? NULL : argument;
}

const char *cloze_arg_string(struct cloze_call *call, const char *name)
{
    const struct cz_argument *argument = get(call, name, CLOZE_STRING, CLOZE_STRING);
    return argument ? argument->text.data : NULL;
}

int64_t cloze_arg_int(struct cloze_call *call, const char *name)
{
    const struct cz_argument *argument = get(call, name, CLOZE_INT, CLOZE_INT);
    return argument ? argument->integer : 0;
}

double cloze_arg_number(struct cloze_call *call, const char *name)
{
    const struct cz_argument *argument = get(call, name, CLOZE_NUMBER, CLOZE_INT);
    return argument ? argument->number : 0;
}

bool cloze_arg_bool(struct cloze_call *call, const char *name)
{
    const struct cz_argument *argument = get(call, name, CLOZE_BOOL, CLOZE_BOOL);
    return argument && argument->boolean;
}

const char *cloze_arg_json(struct cloze_call *call, const char *name)
{
    long index = find(call, name);
    if (index < 0) {
        misuse(call, name, "is not declared");
        return NULL;
    }
    const struct cz_argument *argument = &call->arguments[index];
    if (argument->is_null || call->endpoint->table->parameters[index].type != CLOZE_STRING)
        return argument->text.data;
    struct cz_buffer text = {0};
    struct cz_json_writer writer = {.out = &text};
    cz_json_write_slice(&writer, argument->text);
    char *copy = text.failed ? NULL : cz_arena_text(&call->arena, cz_buffer_slice(&text));
    cz_buffer_free(&text);
    return copy;
}

bool cloze_arg_is_null(struct cloze_call *call, const char *name)
{
    long index = find(call, name);
    if (index < 0)
        misuse(call, name, "is not declared");
    return index < 0 || call->arguments[index].is_null;
}

const void *cloze_call_context(const struct cloze_call *call)
{
    return call->endpoint->table->context;
}

bool cloze_call_is_cancelled(const struct cloze_call *call)
{
    return atomic_load_explicit(call->cancelled, memory_order_relaxed);
}

/* ---- Results ---- */

static cloze_status wrong_output(struct cloze_call *call, const char *got)
{
    return cz_fail(&call->error, CLOZE_INTERNAL, call->endpoint->table->name,
                   "the result is %s, but the endpoint's output is declared as %s", got,
                   cz_type_name(call->endpoint->table->output));
}

static cloze_status set_result(struct cloze_call *call, struct cz_slice text)
{
    cz_buffer_clear(&call->result);
    cz_buffer_append_slice(&call->result, text);
    call->has_result = true;
    call->finish_reason = NULL;
    return cz_buffer_status(&call->result, "result", &call->error);
}

static cloze_status set_json_string(struct cloze_call *call, struct cz_slice text)
{
    struct cz_json_writer writer = {.out = &call->result};
    cz_buffer_clear(&call->result);
    cz_json_write_slice(&writer, text);
    call->has_result = true;
    call->finish_reason = NULL;
    return cz_buffer_status(&call->result, "result", &call->error);
}

cloze_status cloze_return_string(struct cloze_call *call, const char *text)
{
    enum cloze_type output = call->endpoint->table->output;
    if (output == CLOZE_STRING)
        return set_result(call, cz_slice(text));
    return output == CLOZE_JSON ? set_json_string(call, cz_slice(text))
                                : wrong_output(call, "a string");
}

cloze_status cloze_return_int(struct cloze_call *call, int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return cloze_return_json(call, text);
}

cloze_status cloze_return_number(struct cloze_call *call, double value)
{
    if (!isfinite(value))
        return wrong_output(call, "not a finite number");
    struct cz_buffer text = {0};
    struct cz_json_writer writer = {.out = &text};
    cz_json_write_double(&writer, value);
    cloze_status status = cz_buffer_status(&text, "result", &call->error);
    if (!status)
        status = cloze_return_json(call, text.data);
    cz_buffer_free(&text);
    return status;
}

cloze_status cloze_return_bool(struct cloze_call *call, bool value)
{
    return cloze_return_json(call, value ? "true" : "false");
}

static bool fits_output(const struct cz_json *value, enum cloze_type output)
{
    int64_t integer;
    switch (output) {
    case CLOZE_STRING:
        return value->kind == CZ_JSON_STRING;
    case CLOZE_INT:
        return cz_json_int64(value, &integer);
    case CLOZE_NUMBER:
        return value->kind == CZ_JSON_NUMBER;
    case CLOZE_BOOL:
        return value->kind == CZ_JSON_TRUE || value->kind == CZ_JSON_FALSE;
    case CLOZE_OBJECT:
        return value->kind == CZ_JSON_OBJECT;
    case CLOZE_ARRAY:
        return value->kind == CZ_JSON_ARRAY;
    case CLOZE_JSON:
        break;
    }
    return true;
}

static cloze_status return_json_slice(struct cloze_call *call, struct cz_slice json)
{
    struct cz_arena scratch = {0};
    struct cz_json *value;
    enum cloze_type output = call->endpoint->table->output;
    cloze_status status = cz_json_parse(&scratch, json, NULL, &value, &call->error);
    if (status)
        cz_error_at(&call->error, "result");
    else if (!fits_output(value, output))
        status = wrong_output(call, cz_json_kind_name(value));
    else
        status = set_result(call, output == CLOZE_STRING ? value->text : json);
    cz_arena_free(&scratch);
    return status;
}

cloze_status cloze_return_json(struct cloze_call *call, const char *json)
{
    return return_json_slice(call, cz_slice(json));
}

cloze_status cloze_call_fail(struct cloze_call *call, int http_status, const char *format, ...)
{
    char message[sizeof call->error.message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    call->http_status = http_status >= 400 && http_status <= 599 ? http_status : 500;
    return cz_fail(&call->error, call->http_status < 500 ? CLOZE_INVALID : CLOZE_INTERNAL, NULL,
                   "%s", message);
}

/* ---- Generating ---- */

/* The argument of a sampling setting: NULL when not declared so, or null. */
static const struct cz_argument *setting(const struct cloze_call *call, const char *name,
                                         enum cloze_type type)
{
    long index = find(call, name);
    if (index < 0 || call->endpoint->table->parameters[index].type != type)
        return NULL;
    return call->arguments[index].is_null ? NULL : &call->arguments[index];
}

static void read_sampling(const struct cloze_call *call, struct cz_generate_request *request)
{
    const struct cz_argument *value;
    if ((value = setting(call, "temperature", CLOZE_NUMBER))) {
        request->has_temperature = true;
        request->temperature = value->number;
    }
    if ((value = setting(call, "top_p", CLOZE_NUMBER))) {
        request->has_top_p = true;
        request->top_p = value->number;
    }
    if ((value = setting(call, "seed", CLOZE_INT))) {
        request->has_seed = true;
        request->seed = value->integer;
    }
    if ((value = setting(call, "max_tokens", CLOZE_INT))) {
        request->has_max_tokens = true;
        request->max_tokens = value->integer;
    }
}

/* The one constraint that is set; *place names it for errors. */
static cloze_status read_constraint(struct cloze_call *call, const struct cloze_generation *wanted,
                                    struct cz_generate_request *request, const char **place)
{
    const struct {
        const char *name;
        const char *text;
        enum cz_generate_kind kind;
    } choices[] = {{"json_schema", wanted->json_schema, CZ_GENERATE_JSON_SCHEMA},
                   {"json_object", wanted->json_object ? "" : NULL, CZ_GENERATE_JSON_OBJECT},
                   {"regex", wanted->regex, CZ_GENERATE_REGEX},
                   {"choice", wanted->choices, CZ_GENERATE_CHOICE},
                   {"type", wanted->type, CZ_GENERATE_TYPE}};
    *place = NULL;
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        if (!choices[i].text)
            continue;
        if (*place)
            return cz_fail(&call->error, CLOZE_INVALID, choices[i].name,
                           "%s and %s are both given: an answer has one constraint", *place,
                           choices[i].name);
        *place = choices[i].name;
        request->kind = choices[i].kind;
        request->constraint = cz_slice(choices[i].text);
    }
    return CLOZE_OK;
}

static cloze_status run_generator(struct cloze_call *call, const struct cloze_generation *wanted,
                                  struct cz_generate_request *request,
                                  struct cz_generate_result *result)
{
    if (!call->generator)
        return cz_fail(&call->error, CLOZE_UNSUPPORTED, NULL, "this service has no model");
    if (!wanted->prompt)
        return cz_fail(&call->error, CLOZE_INVALID, "prompt", "a prompt is needed, not null");
    *request = (struct cz_generate_request){.prompt = cz_slice(wanted->prompt),
                                            .system = cz_slice(wanted->system),
                                            .raw = wanted->raw,
                                            .cancelled = call->cancelled};
    read_sampling(call, request);
    const char *place;
    cloze_status status = read_constraint(call, wanted, request, &place);
    if (status)
        return status;
    status = call->generator->generate(call->generator->context, request, result, &call->error);
    call->prompt_tokens += result->prompt_tokens;
    call->completion_tokens += result->completion_tokens;
    call->first_token_ns = result->first_token_ns;
    call->problem_place = place;
    return status;
}

cloze_status cloze_generate_into(struct cloze_call *call, const struct cloze_generation *generation,
                                 const char **text)
{
    struct cz_generate_request request;
    struct cz_generate_result result = {0};
    cloze_status status = run_generator(call, generation, &request, &result);
    *text = NULL;
    if (!status) {
        *text = cz_arena_text(&call->arena, cz_buffer_slice(&result.text));
        if (!*text)
            status = cz_fail_memory(&call->error, "answer");
    }
    cz_buffer_free(&result.text);
    return status;
}

/* Text that is JSON by its constraint keeps its form; other text becomes what the output says. */
static cloze_status return_generated(struct cloze_call *call, enum cz_generate_kind kind,
                                     struct cz_slice text)
{
    enum cloze_type output = call->endpoint->table->output;
    bool json = kind == CZ_GENERATE_JSON_SCHEMA || kind == CZ_GENERATE_JSON_OBJECT;
    if (output == CLOZE_STRING)
        return set_result(call, text);
    if (output == CLOZE_JSON && !json)
        return set_json_string(call, text);
    if (output == CLOZE_BOOL && cz_slice_is(text, "True"))
        return set_result(call, CZ_SLICE("true"));
    if (output == CLOZE_BOOL && cz_slice_is(text, "False"))
        return set_result(call, CZ_SLICE("false"));
    return return_json_slice(call, text);
}

cloze_status cloze_generate(struct cloze_call *call, const struct cloze_generation *generation)
{
    struct cz_generate_request request;
    struct cz_generate_result result = {0};
    cloze_status status = run_generator(call, generation, &request, &result);
    if (!status) {
        status = return_generated(call, request.kind, cz_buffer_slice(&result.text));
        call->finish_reason = result.finish_reason;
        if (status == CLOZE_INTERNAL) /* the client chose a constraint that the output excludes */
            status = call->error.code = CLOZE_INVALID;
    }
    cz_buffer_free(&result.text);
    return status;
}

cloze_status cloze_generate_json(struct cloze_call *call, const char *prompt,
                                 const char *json_schema)
{
    return cloze_generate(call, &(struct cloze_generation){.prompt = prompt,
                                                           .json_schema = json_schema,
                                                           .json_object = !json_schema});
}

cloze_status cloze_generate_text(struct cloze_call *call, const char *prompt)
{
    return cloze_generate(call, &(struct cloze_generation){.prompt = prompt});
}

/* ---- Running ---- */

cloze_status cz_call_run(struct cloze_call *call)
{
    cloze_status status = call->endpoint->table->handler(call);
    if (call->failed)
        return CLOZE_INTERNAL;
    if (status == CLOZE_OK && !call->has_result)
        return cz_fail(&call->error, CLOZE_INTERNAL, call->endpoint->table->name,
                       "the handler set no result");
    if (status != CLOZE_OK && call->error.code == CLOZE_OK)
        cz_fail(&call->error, status, call->endpoint->table->name, "the handler failed: %s",
                cloze_status_name(status));
    return status;
}

void cz_call_free(struct cloze_call *call)
{
    cz_buffer_free(&call->result);
    cz_arena_free(&call->arena);
}

int cz_call_http_status(const struct cloze_call *call, cloze_status status)
{
    if (call->http_status)
        return call->http_status;
    switch (status) {
    case CLOZE_OK:
        return 200;
    case CLOZE_INVALID:
    case CLOZE_UNSUPPORTED:
    case CLOZE_UNSATISFIABLE:
    case CLOZE_LIMIT:
        return 400;
    case CLOZE_NOT_FOUND: /* of a schema: a reference that leads nowhere */
        return call->problem_place ? 400 : 500;
    case CLOZE_BUSY:
        return 503;
    case CLOZE_TIMEOUT:
        return 504;
    default:
        return 500;
    }
}
