/* client.c - section 5 of cloze.h: calls of a service, over libcurl. */
#include "base/curl.h"
#include "base/slice.h"
#include "client/client.h"

#include <stdio.h>
#include <stdlib.h>

enum { DEFAULT_TIMEOUT_S = 600, CONNECT_TIMEOUT_S = 10, LARGEST_URL = 4096 };

#define LARGEST_ANSWER ((size_t)256 << 20)

struct cloze_client {
    const struct cz_curl *curl;
    CURL *handle;
    char *url; /* without '/' at its end */
    struct curl_slist *headers;
    unsigned timeout_s;
    struct cz_buffer schema_text, answer;
    struct cz_arena arena; /* of the schema's tree */
    struct cz_json *schema;
};

/* ---- One exchange ---- */

static size_t append_answer(char *data, size_t size, size_t count, void *context)
{
    struct cz_buffer *answer = context;
    cz_buffer_append(answer, data, size * count);
    return answer->failed ? 0 : size * count;
}

/* `body` NULL: GET. Fills *answer and *code. */
static cloze_status exchange(struct cloze_client *client, const char *path, const char *body,
                             struct cz_buffer *answer, long *code, struct cloze_error *error)
{
    const struct cz_curl *curl = client->curl;
    CURL *handle = client->handle;
    struct cz_buffer url = {.maximum = LARGEST_URL};
    cz_buffer_printf(&url, "%s%s", client->url, path);
    cloze_status status = cz_buffer_status(&url, "the URL", error);
    if (status)
        return status;
    cz_buffer_clear(answer);
    curl->easy_reset(handle);
    curl->easy_setopt(handle, CURLOPT_URL, url.data);
    curl->easy_setopt(handle, CURLOPT_HTTPHEADER, client->headers);
    curl->easy_setopt(handle, CURLOPT_WRITEFUNCTION, append_answer);
    curl->easy_setopt(handle, CURLOPT_WRITEDATA, answer);
    curl->easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl->easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl->easy_setopt(handle, CURLOPT_TIMEOUT, (long)client->timeout_s);
    curl->easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl->easy_setopt(handle, CURLOPT_USERAGENT, "cloze/" CLOZE_VERSION);
    if (body) {
        curl->easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
        curl->easy_setopt(handle, CURLOPT_POSTFIELDS, body);
    }
    CURLcode result = curl->easy_perform(handle);
    if (result == CURLE_OK)
        curl->easy_getinfo(handle, CURLINFO_RESPONSE_CODE, code);
    else if (result == CURLE_OPERATION_TIMEDOUT)
        status = cz_fail(error, CLOZE_TIMEOUT, url.data, "no answer in time");
    else if (answer->failed)
        status = cz_buffer_status(answer, url.data, error);
    else
        status = cz_fail(error, CLOZE_NETWORK, url.data, "%s", curl->easy_strerror(result));
    cz_buffer_free(&url);
    return status;
}

/* ---- Opening ---- */

static cloze_status add_header(struct cloze_client *client, const char *text,
                               struct cloze_error *error)
{
    struct curl_slist *longer = client->curl->slist_append(client->headers, text);
    if (!longer)
        return cz_fail_memory(error, "header");
    client->headers = longer;
    return CLOZE_OK;
}

static cloze_status set_up(struct cloze_client *client, const char *url, const char *api_key,
                           struct cloze_error *error)
{
    size_t size = strlen(url);
    while (size && url[size - 1] == '/')
        size--;
    cloze_status status = cz_curl_open(&client->curl, error);
    if (status)
        return status;
    client->url = strndup(url, size);
    client->handle = client->curl->easy_init();
    if (!client->url || !client->handle)
        return cz_fail_memory(error, "client");
    status = add_header(client, "Content-Type: application/json", error);
    if (!status)
        status = add_header(client, "Expect:", error); /* bodies are sent at once */
    if (!status && api_key) {
        struct cz_buffer text = {0};
        cz_buffer_printf(&text, "Authorization: Bearer %s", api_key);
        status = cz_buffer_status(&text, "the API key", error);
        if (!status)
            status = add_header(client, text.data, error);
        cz_buffer_free(&text);
    }
    return status;
}

static cloze_status read_schema(struct cloze_client *client, struct cloze_error *error)
{
    long code = 0;
    cloze_status status =
        exchange(client, "/schema.json", NULL, &client->schema_text, &code, error);
    if (status)
        return status;
    if (code != 200)
        return cz_fail(error, CLOZE_NETWORK, client->url,
                       "/schema.json is answered with %ld: this is no Cloze or BentoML service",
                       code);
    struct cz_slice text = cz_buffer_slice(&client->schema_text);
    status = cz_json_parse(&client->arena, text, NULL, &client->schema, error);
    if (status)
        cz_error_at(error, "/schema.json");
    else if (!cz_json_is(cz_json_get(client->schema, "routes"), CZ_JSON_ARRAY))
        status = cz_fail(error, CLOZE_NETWORK, client->url,
                         "/schema.json has no routes: this is no Cloze or BentoML service");
    return status;
}

cloze_status cloze_client_open(const char *url, const struct cloze_client_options *options,
                               struct cloze_client **out, struct cloze_error *error)
{
    *out = NULL;
    struct cloze_client *client = calloc(1, sizeof *client);
    if (!client)
        return cz_fail_memory(error, "client");
    client->timeout_s = options && options->timeout_s ? options->timeout_s : DEFAULT_TIMEOUT_S;
    client->schema_text.maximum = client->answer.maximum = LARGEST_ANSWER;
    cloze_status status = set_up(client, url, options ? options->api_key : NULL, error);
    if (!status)
        status = read_schema(client, error);
    if (status)
        cloze_client_close(client);
    else
        *out = client;
    return status;
}

void cloze_client_close(struct cloze_client *client)
{
    if (!client)
        return;
    if (client->handle)
        client->curl->easy_cleanup(client->handle);
    if (client->headers)
        client->curl->slist_free_all(client->headers);
    cz_buffer_free(&client->schema_text);
    cz_buffer_free(&client->answer);
    cz_arena_free(&client->arena);
    free(client->url);
    free(client);
}

const char *cloze_client_schema(const struct cloze_client *client)
{
    return cz_buffer_text(&client->schema_text);
}

/* ---- Calling ---- */

const struct cz_json *cz_client_endpoint(const struct cloze_client *client, const char *name)
{
    CZ_JSON_EACH (route, cz_json_get(client->schema, "routes")) {
        struct cz_slice text;
        if (cz_json_string(cz_json_get(route, "name"), &text) && cz_slice_is(text, name))
            return route;
    }
    return NULL;
}

static cloze_status unknown_endpoint(const struct cloze_client *client, const char *name,
                                     struct cloze_error *error)
{
    struct cz_buffer names = {.maximum = 400};
    CZ_JSON_EACH (route, cz_json_get(client->schema, "routes")) {
        struct cz_slice text;
        if (cz_json_string(cz_json_get(route, "name"), &text))
            cz_buffer_printf(&names, "%s" CZ_SLICE_FORMAT, names.size ? ", " : "",
                             CZ_SLICE_ARG(text));
    }
    cloze_status status = cz_fail(error, CLOZE_NOT_FOUND, name,
                                  "the service has no such endpoint; it has: %s",
                                  cz_buffer_text(&names));
    cz_buffer_free(&names);
    return status;
}

static cloze_status status_of_code(long code)
{
    switch (code) {
    case 401:
    case 403:
        return CLOZE_DENIED;
    case 404:
        return CLOZE_NOT_FOUND;
    case 429:
    case 503:
        return CLOZE_BUSY;
    case 504:
        return CLOZE_TIMEOUT;
    default:
        return code < 500 ? CLOZE_INVALID : CLOZE_INTERNAL;
    }
}

/* The refusal's own words: "error", and what "detail" adds. */
static cloze_status fail_refused(const struct cloze_client *client, long code,
                                 struct cloze_error *error)
{
    struct cz_arena arena = {0};
    struct cz_json *body = NULL;
    struct cz_buffer text = {.maximum = 700};
    struct cz_slice words = CZ_SLICE("");
    cz_json_parse(&arena, cz_buffer_slice(&client->answer), NULL, &body, NULL);
    if (cz_json_string(cz_json_get(body, "error"), &words))
        cz_buffer_append_slice(&text, words);
    else
        cz_buffer_printf(&text, "%.500s", cz_buffer_text(&client->answer));
    const struct cz_json *detail = cz_json_get(body, "detail");
    for (const struct cz_json *item = cz_json_is(detail, CZ_JSON_ARRAY) ? detail->first : NULL; item;
         item = item->next) {
        struct cz_slice place = CZ_SLICE("body"), message = CZ_SLICE("");
        cz_json_string(cz_json_at(cz_json_get(item, "loc"), 0), &place);
        cz_json_string(cz_json_get(item, "msg"), &message);
        if (message.size && !memmem(words.data, words.size, message.data, message.size))
            cz_buffer_printf(&text, "\n  " CZ_SLICE_FORMAT ": " CZ_SLICE_FORMAT,
                             CZ_SLICE_ARG(place), CZ_SLICE_ARG(message));
    }
    char where[40];
    snprintf(where, sizeof where, "HTTP %ld", code);
    cloze_status status =
        cz_fail(error, status_of_code(code), where, "%s", cz_buffer_text(&text));
    cz_buffer_free(&text);
    cz_arena_free(&arena);
    return status;
}

cloze_status cloze_client_call(struct cloze_client *client, const char *endpoint,
                               const char *arguments, const char **answer, int *http_status,
                               struct cloze_error *error)
{
    long code = 0;
    struct cz_slice route;
    *answer = NULL;
    if (http_status)
        *http_status = 0;
    const struct cz_json *description = cz_client_endpoint(client, endpoint);
    if (!cz_json_string(cz_json_get(description, "route"), &route))
        return unknown_endpoint(client, endpoint, error);
    char *path = strndup(route.data, route.size);
    cloze_status status = path ? exchange(client, path, arguments ? arguments : "{}",
                                          &client->answer, &code, error)
                               : cz_fail_memory(error, "path");
    free(path);
    if (status)
        return status;
    *answer = cz_buffer_text(&client->answer);
    if (http_status)
        *http_status = (int)code;
    return code == 200 ? CLOZE_OK : fail_refused(client, code, error);
}
