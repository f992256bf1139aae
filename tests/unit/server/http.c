/*
 * The server byte by byte: what is sent, in which pieces, and what comes back.
 *
 * Answers are compared whole, with the date and the request id replaced.
 */
#include "test.h"

#include "fake.h"
#include "server/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_SIZE = 1 << 16 };

static const char definition[] =
    "service: Test\n"
    "traffic: {timeout: 1, max_concurrency: 2, max_queue: 1}\n"
    "endpoints:\n"
    "  generate:\n"
    "    input:\n"
    "      prompt: {type: string, default: hello}\n"
    "      json_schema: {type: string, optional: true, default: '{}'}\n"
    "    generate: {prompt: '{{ prompt }}', json_schema: '{{ json_schema }}'}\n"
    "    output: object\n"
    "  say:\n"
    "    input: {prompt: {type: string}}\n"
    "    generate: {prompt: '{{ prompt }}'}\n"
    "    output: string\n";

struct setting {
    struct cz_service *service;
    struct cz_server *server;
    struct fake fake;
    struct cz_generator generator;
};

static int start_with(void **state, const char *const *keys, size_t key_count, bool ready)
{
    struct cloze_error error;
    struct setting *setting = calloc(1, sizeof *setting);
    struct cz_server_options options = {.host = "127.0.0.1",
                                        .api_keys = keys,
                                        .api_key_count = key_count,
                                        .largest_body = 4096};
    *state = setting;
    setting->service = cz_service_new(".", &error);
    ASSERT_OK(cz_service_define_yaml(setting->service, CZ_SLICE(definition), "test", &error));
    ASSERT_OK(cz_service_prepare(setting->service, &error));
    ASSERT_OK(cz_server_start(setting->service, &options, &setting->server, &error));
    setting->generator = (struct cz_generator){&setting->fake, fake_generate};
    if (ready)
        cz_server_set_ready(setting->server, &setting->generator);
    return 0;
}

static int start(void **state)
{
    return start_with(state, NULL, 0, true);
}

static int start_loading(void **state)
{
    return start_with(state, NULL, 0, false);
}

static int start_with_key(void **state)
{
    static const char *const keys[] = {"secret"};
    return start_with(state, keys, 1, true);
}

static int stop(void **state)
{
    struct setting *setting = *state;
    cz_server_stop(setting->server, 100);
    cz_service_free(setting->service);
    free(setting);
    return 0;
}

/* ---- A client of bytes ---- */

static int open_connection(const struct setting *setting)
{
    int one = 1;
    int descriptor = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)cz_server_port(setting->server)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(descriptor, (struct sockaddr *)&address, sizeof address), 0);
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return descriptor;
}

static void send_bytes(int descriptor, const char *data, size_t size)
{
    while (size) {
        ssize_t sent = send(descriptor, data, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        data += sent;
        size -= (size_t)sent;
    }
}

/* Bytes of the body that the head in `text` announces; -1 while the head is not complete. */
static long missing_bytes(const char *text, size_t size, bool head_only)
{
    const char *end = strstr(text, "\r\n\r\n");
    if (!end)
        return -1;
    if (strncmp(text, "HTTP/1.1 100", 12) == 0)
        return missing_bytes(end + 4, size - (size_t)(end + 4 - text), head_only);
    const char *length = strstr(text, "Content-Length: ");
    long wanted = length && !head_only ? strtol(length + 16, NULL, 10) : 0;
    long have = (long)size - (long)(end + 4 - text);
    return wanted > have ? wanted - have : 0;
}

/* Reads one answer, 10 seconds at most. */
static void receive(int descriptor, char answer[ANSWER_SIZE], bool head_only)
{
    size_t size = 0;
    answer[0] = '\0';
    while (missing_bytes(answer, size, head_only) != 0) {
        struct pollfd poller = {.fd = descriptor, .events = POLLIN};
        if (poll(&poller, 1, 10000) <= 0)
            break;
        ssize_t got = recv(descriptor, answer + size, ANSWER_SIZE - 1 - size, 0);
        if (got <= 0)
            break;
        size += (size_t)got;
        answer[size] = '\0';
    }
}

/* Replaces what differs from run to run. */
static void normalise(char *answer)
{
    static const char *const names[] = {"Date: ", "X-BentoML-Request-ID: ", "Last-Modified: ",
                                        "ETag: "};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *line = answer;
        while ((line = strstr(line, names[i]))) {
            char *value = line + strlen(names[i]), *end = strstr(value, "\r\n");
            if (!end)
                break;
            *value = '*';
            memmove(value + 1, end, strlen(end) + 1);
            line = value;
        }
    }
}

static const char *exchange(const struct setting *setting, const char *request)
{
    static char answer[ANSWER_SIZE];
    int descriptor = open_connection(setting);
    send_bytes(descriptor, request, strlen(request));
    receive(descriptor, answer, strncmp(request, "HEAD", 4) == 0);
    close(descriptor);
    normalise(answer);
    return answer;
}

static void assert_starts(const char *text, const char *start)
{
    if (strncmp(text, start, strlen(start)) != 0)
        fail_msg("expected '%s', got '%.200s'", start, text);
}

static void assert_has(const char *text, const char *part)
{
    if (!text || !strstr(text, part))
        fail_msg("expected '%s' in '%.1000s'", part, text ? text : "(nothing)");
}

#define CALL(headers, length, body)                                                                \
    "POST /generate HTTP/1.1\r\nHost: h\r\n" headers "Content-Length: " length "\r\n\r\n" body

#define ANSWER(status, headers, length, body)                                                      \
    "HTTP/1.1 " status "\r\nDate: *\r\n" headers "Content-Length: " length "\r\n\r\n" body

#define GENERATED                                                                                  \
    ANSWER("200 OK",                                                                               \
           "Content-Type: application/json\r\nX-Cloze-Finish-Reason: stop\r\n"                     \
           "Server: BentoML Service/Test\r\nX-BentoML-Request-ID: *\r\n",                          \
           "58", "{\"prompt\": \"a\", \"kind\": \"json_schema\", \"constraint\": \"{}\"}")

/* ---- Bytes in, bytes out ---- */

static void answers_byte_for_byte(void **state)
{
    static const struct {
        const char *request, *answer;
    } cases[] = {
        {CALL("Content-Type: application/json\r\n", "15", "{\"prompt\": \"a\"}"), GENERATED},
        /* curl -d declares a form */
        {CALL("Content-Type: application/x-www-form-urlencoded\r\n", "15", "{\"prompt\": \"a\"}"),
         GENERATED},
        {CALL("Content-Type: application/x-www-form-urlencoded\r\n", "8", "prompt=a"), GENERATED},
        {CALL("Content-Type: multipart/form-data; boundary=form\r\n", "70",
              "--form\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\na\r\n--form--\r\n"),
         GENERATED},
        {CALL("", "15", "{\"prompt\": \"a\"}"), GENERATED},
        {"POST /generate HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
         "7\r\n{\"promp\r\n8\r\nt\": \"a\"}\r\n0\r\n\r\n",
         GENERATED},
        {"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n",
         ANSWER("200 OK", "Content-Type: text/plain; charset=utf-8\r\n", "1", "\n")},
        {"HEAD /readyz HTTP/1.1\r\nHost: h\r\n\r\n",
         ANSWER("200 OK", "Content-Type: text/plain; charset=utf-8\r\n", "1", "")},
        {"GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n",
         ANSWER("404 Not Found", "Content-Type: text/plain; charset=utf-8\r\n", "9", "Not Found")},
        {"GET /generate HTTP/1.1\r\nHost: h\r\n\r\n",
         ANSWER("405 Method Not Allowed",
                "Content-Type: text/plain; charset=utf-8\r\nAllow: POST\r\n", "18",
                "Method Not Allowed")},
        {"OPTIONS /generate HTTP/1.1\r\nHost: h\r\n\r\n",
         ANSWER("405 Method Not Allowed",
                "Content-Type: text/plain; charset=utf-8\r\nAllow: POST\r\n", "18",
                "Method Not Allowed")},
        {"POST /livez HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}",
         ANSWER("405 Method Not Allowed",
                "Content-Type: text/plain; charset=utf-8\r\nAllow: GET, HEAD\r\n", "18",
                "Method Not Allowed")},
        {"POST /generate/?a=1&b=%20 HTTP/1.1\r\nHost: there:99\r\nContent-Length: 0\r\n\r\n",
         ANSWER("307 Temporary Redirect",
                "Location: http://there:99/generate?a=1&b=%20\r\n", "0", "")},
        {CALL("", "12", "{\"prompt\":1}"),
         ANSWER("400 Bad Request",
                "Content-Type: application/json\r\nServer: BentoML Service/Test\r\n"
                "X-BentoML-Request-ID: *\r\n",
                "130",
                "{\"error\":\"1 validation error for Input\",\"detail\":[{\"type\":\"string_type\","
                "\"loc\":[\"prompt\"],\"msg\":\"Input should be a valid string\"}]}")},
        {CALL("", "24", "{\"json_schema\":\"refuse\"}"),
         ANSWER("400 Bad Request",
                "Content-Type: application/json\r\nServer: BentoML Service/Test\r\n"
                "X-BentoML-Request-ID: *\r\n",
                "221",
                "{\"error\":\"json_schema at /properties/refuse: the keyword 'refuse' can't be "
                "enforced\",\"detail\":[{\"type\":\"json_schema_unsupported\",\"loc\":["
                "\"json_schema\",\"/properties/refuse\"],\"msg\":\"the keyword 'refuse' can't be "
                "enforced\"}]}")},
        {CALL("", "17", "{\"prompt\":\"fail\"}"),
         ANSWER("500 Internal Server Error",
                "Content-Type: application/json\r\nServer: BentoML Service/Test\r\n"
                "X-BentoML-Request-ID: *\r\n",
                "74",
                "{\"error\":\"An unexpected error has occurred, please check the server log.\"}")},
        {CALL("", "17", "{\"prompt\":\"busy\"}"),
         ANSWER("503 Service Unavailable",
                "Content-Type: application/json\r\nRetry-After: 1\r\n"
                "Server: BentoML Service/Test\r\nX-BentoML-Request-ID: *\r\n",
                "40", "{\"error\":\"no room for another sequence\"}")},
        {CALL("Content-Type: application/vnd.bentoml+pickle\r\n", "1", "x"),
         ANSWER("415 Unsupported Media Type",
                "Content-Type: application/json\r\nServer: BentoML Service/Test\r\n"
                "X-BentoML-Request-ID: *\r\n",
                "72",
                "{\"error\":\"application/vnd.bentoml+pickle is not allowed in main server\"}")},
        {"POST /say HTTP/1.1\r\nHost: h\r\nContent-Length: 15\r\n\r\n{\"prompt\":\"ü\"}",
         ANSWER("200 OK",
                "Content-Type: text/plain; charset=utf-8\r\nX-Cloze-Finish-Reason: stop\r\n"
                "Server: BentoML Service/Test\r\nX-BentoML-Request-ID: *\r\n",
                "11", "text for ü")},
        {"POST /say HTTP/1.1\r\nHost: h\r\nContent-Length: 17\r\n\r\n{\"prompt\":\"long\"}",
         ANSWER("200 OK",
                "Content-Type: text/plain; charset=utf-8\r\nX-Cloze-Finish-Reason: length\r\n"
                "Server: BentoML Service/Test\r\nX-BentoML-Request-ID: *\r\n",
                "13", "text for long")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(exchange(*state, cases[i].request), cases[i].answer);
}

/* The request in two pieces, cut at every byte, on one connection. */
static void takes_a_request_cut_anywhere(void **state)
{
    static const char *const requests[] = {
        CALL("Content-Type: application/json\r\n", "15", "{\"prompt\": \"a\"}"),
        "POST /generate HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        "7\r\n{\"promp\r\n8\r\nt\": \"a\"}\r\n0\r\n\r\n"};
    static char answer[ANSWER_SIZE];
    for (size_t i = 0; i < 2; i++) {
        int descriptor = open_connection(*state);
        for (size_t cut = 1; cut < strlen(requests[i]); cut++) {
            send_bytes(descriptor, requests[i], cut);
            nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
            send_bytes(descriptor, requests[i] + cut, strlen(requests[i]) - cut);
            receive(descriptor, answer, false);
            normalise(answer);
            assert_string_equal(answer, GENERATED);
        }
        close(descriptor);
    }
}

static void answers_100_continue(void **state)
{
    static char answer[ANSWER_SIZE];
    int descriptor = open_connection(*state);
    const char *head = CALL("Expect: 100-continue\r\n", "15", "");
    send_bytes(descriptor, head, strlen(head));
    struct pollfd poller = {.fd = descriptor, .events = POLLIN};
    assert_int_equal(poll(&poller, 1, 5000), 1);
    ssize_t got = recv(descriptor, answer, ANSWER_SIZE - 1, 0);
    answer[got > 0 ? got : 0] = '\0';
    assert_string_equal(answer, "HTTP/1.1 100 Continue\r\n\r\n");
    send_bytes(descriptor, "{\"prompt\": \"a\"}", 15);
    receive(descriptor, answer, false);
    assert_starts(answer, "HTTP/1.1 200 OK");
    close(descriptor);
}

static void refuses_a_body_that_is_too_large(void **state)
{
    static char request[9000];
    int size = snprintf(request, sizeof request, CALL("", "8000", "%08000d"), 0);
    assert_true(size > 8000);
    const char *answer = exchange(*state, request);
    assert_starts(answer, "HTTP/1.1 413");
    assert_has(answer, "{\"error\":\"The body is too large\"}");
    assert_starts(exchange(*state, CALL("Expect: 100-continue\r\n", "8000", "")),
                  "HTTP/1.1 413");
    /* without a declared length it shows on the way */
    size = snprintf(request, sizeof request,
                    "POST /generate HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "1f40\r\n%08000d\r\n0\r\n\r\n",
                    0);
    assert_true(size > 8000);
    assert_starts(exchange(*state, request), "HTTP/1.1 413");
}

static void keeps_the_connection_after_a_refusal(void **state)
{
    static char request[9000], answer[ANSWER_SIZE];
    int descriptor = open_connection(*state);
    snprintf(request, sizeof request, CALL("", "8000", "%08000d"), 0);
    send_bytes(descriptor, request, strlen(request));
    receive(descriptor, answer, false);
    assert_starts(answer, "HTTP/1.1 413");
    send_bytes(descriptor, "GET /livez HTTP/1.1\r\nHost: h\r\n\r\n", 33);
    receive(descriptor, answer, false);
    assert_starts(answer, "HTTP/1.1 200");
    close(descriptor);
}

/* ---- Time ---- */

static uint64_t now_ms(void)
{
    return cz_clock_ns() / 1000000;
}

static bool becomes(atomic_int *value, int wanted, unsigned within_ms)
{
    for (uint64_t end = now_ms() + within_ms; now_ms() < end;) {
        if (atomic_load(value) == wanted)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return false;
}

static int begin(const struct setting *setting, const char *prompt)
{
    char request[300];
    int descriptor = open_connection(setting);
    size_t size = strlen(prompt) + strlen("{\"prompt\":\"\"}");
    snprintf(request, sizeof request,
             "POST /generate HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n{\"prompt\":\"%s\"}",
             size, prompt);
    send_bytes(descriptor, request, strlen(request));
    return descriptor;
}

static void a_timeout_is_504_and_ends_the_work(void **state)
{
    struct setting *setting = *state;
    static char answer[ANSWER_SIZE];
    int descriptor = begin(setting, "sleep 20000");
    uint64_t start_ms = now_ms();
    receive(descriptor, answer, false);
    assert_starts(answer, "HTTP/1.1 504");
    assert_has(answer, "{\"error\":\"Not able to process the request in 1 seconds\"}");
    assert_true(now_ms() - start_ms >= 950 && now_ms() - start_ms < 3000);
    assert_true(becomes(&setting->fake.cancelled, 1, 1000));
    assert_int_equal(atomic_load(&setting->fake.running), 0);
    /* the connection is still good */
    send_bytes(descriptor, "GET /livez HTTP/1.1\r\nHost: h\r\n\r\n", 33);
    receive(descriptor, answer, false);
    assert_starts(answer, "HTTP/1.1 200");
    close(descriptor);
}

static void a_client_that_leaves_ends_its_work(void **state)
{
    struct setting *setting = *state;
    int descriptor = begin(setting, "sleep 20000");
    assert_true(becomes(&setting->fake.running, 1, 1000));
    uint64_t start_ms = now_ms();
    close(descriptor);
    assert_true(becomes(&setting->fake.cancelled, 1, 1000));
    assert_true(now_ms() - start_ms < 500);
}

/* Its place in the queue goes too: it never reaches the handler. */
static void a_client_that_leaves_while_it_waits_is_skipped(void **state)
{
    struct setting *setting = *state;
    int first = begin(setting, "sleep 400"), second = begin(setting, "sleep 400");
    assert_true(becomes(&setting->fake.running, 2, 1000));
    int third = begin(setting, "sleep 400");
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    close(third);
    assert_true(becomes(&setting->fake.finished, 2, 2000));
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    assert_int_equal(atomic_load(&setting->fake.finished), 2);
    close(first);
    close(second);
}

static void health_is_answered_while_handlers_work(void **state)
{
    struct setting *setting = *state;
    int first = begin(setting, "sleep 600"), second = begin(setting, "sleep 600");
    assert_true(becomes(&setting->fake.most_running, 2, 1000)); /* both at once */
    static const char *const paths[] = {"/livez", "/readyz", "/metrics", "/schema.json",
                                        "/docs.json", "/"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char request[100];
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", paths[i]);
        uint64_t least_ms = UINT64_MAX; /* of three: the machine has other work */
        for (int attempt = 0; attempt < 3; attempt++) {
            uint64_t start_ms = now_ms();
            assert_starts(exchange(setting, request), "HTTP/1.1 200");
            if (now_ms() - start_ms < least_ms)
                least_ms = now_ms() - start_ms;
        }
        assert_true(least_ms < 50);
    }
    close(first);
    close(second);
}

static void a_full_queue_is_429(void **state)
{
    struct setting *setting = *state;
    int held[3];
    for (int i = 0; i < 3; i++) { /* two run, one waits */
        held[i] = begin(setting, "sleep 600");
        if (i == 1)
            assert_true(becomes(&setting->fake.running, 2, 1000));
    }
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    const char *answer = exchange(setting, CALL("", "15", "{\"prompt\": \"a\"}"));
    assert_starts(answer, "HTTP/1.1 429");
    assert_has(answer, "Retry-After: 1\r\n");
    assert_has(answer, "{\"error\":\"Too many requests\"}");
    for (int i = 0; i < 3; i++)
        close(held[i]);
}

static void stopping_waits_for_running_calls(void **state)
{
    struct setting *setting = *state;
    static char answer[ANSWER_SIZE];
    int descriptor = begin(setting, "sleep 200");
    assert_true(becomes(&setting->fake.running, 1, 1000));
    cz_server_stop(setting->server, 2000);
    setting->server = NULL;
    receive(descriptor, answer, false);
    close(descriptor);
    assert_starts(answer, "HTTP/1.1 200");
}

static void stopping_cancels_what_takes_too_long(void **state)
{
    struct setting *setting = *state;
    int descriptor = begin(setting, "sleep 20000");
    assert_true(becomes(&setting->fake.running, 1, 1000));
    uint64_t start_ms = now_ms();
    cz_server_stop(setting->server, 100);
    setting->server = NULL;
    assert_int_equal(atomic_load(&setting->fake.cancelled), 1);
    assert_true(now_ms() - start_ms < 1000);
    close(descriptor);
}

/* ---- Loading, keys, metrics ---- */

static void while_loading_readiness_is_held_and_503(void **state)
{
    struct setting *setting = *state;
    uint64_t start_ms = now_ms();
    const char *answer = exchange(setting, "GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n");
    uint64_t held_ms = now_ms() - start_ms;
    assert_starts(answer, "HTTP/1.1 503");
    assert_has(answer, "The model is still loading");
    assert_true(held_ms >= 50 && held_ms < 200);
    assert_starts(exchange(setting, "GET /livez HTTP/1.1\r\nHost: h\r\n\r\n"), "HTTP/1.1 200");
    answer = exchange(setting, CALL("", "2", "{}"));
    assert_starts(answer, "HTTP/1.1 503");
    assert_has(answer, "Retry-After: 1\r\n");
    cz_server_set_ready(setting->server, &setting->generator);
    assert_starts(exchange(setting, "GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n"), "HTTP/1.1 200");
}

static void calls_need_the_key(void **state)
{
    const char *answer = exchange(*state, CALL("", "2", "{}"));
    assert_starts(answer, "HTTP/1.1 401");
    assert_has(answer, "WWW-Authenticate: Bearer\r\n");
    assert_has(answer, "{\"error\":\"Authorization error\"}");
    static const char *const wrong[] = {CALL("Authorization: Bearer secre\r\n", "2", "{}"),
                                        CALL("Authorization: Bearer secrets\r\n", "2", "{}"),
                                        CALL("Authorization: Bearer \r\n", "2", "{}"),
                                        CALL("Authorization: Basic secret\r\n", "2", "{}")};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_starts(exchange(*state, wrong[i]), "HTTP/1.1 401");
    assert_starts(exchange(*state, CALL("Authorization: Bearer secret\r\n", "2", "{}")),
                  "HTTP/1.1 200");
    assert_starts(exchange(*state, "GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n"), "HTTP/1.1 200");
    assert_has(exchange(*state, "GET /docs.json HTTP/1.1\r\nHost: h\r\n\r\n"), "securitySchemes");
}

static void metrics_count_by_route(void **state)
{
    const char *get = "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_has(exchange(*state, get),
               "bentoml_service_request_total{endpoint=\"/generate\",http_response_code=\"500\","
               "runner_name=\"Test\",service_name=\"Test\",service_version=\"not available\"} 0\n");
    exchange(*state, CALL("", "2", "{}"));
    exchange(*state, "GET /one HTTP/1.1\r\nHost: h\r\n\r\n");
    exchange(*state, "GET /two HTTP/1.1\r\nHost: h\r\n\r\n");
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    const char *answer = exchange(*state, get);
    assert_has(answer, "endpoint=\"/generate\",http_response_code=\"200\",runner_name=\"Test\","
                       "service_name=\"Test\",service_version=\"not available\"} 1\n");
    assert_has(answer, "endpoint=\"unknown\",http_response_code=\"404\",runner_name=\"Test\","
                       "service_name=\"Test\",service_version=\"not available\"} 2\n");
    assert_has(answer, "cloze_completion_tokens_total 7\n");
    assert_null(strstr(answer, "endpoint=\"/one\""));
}

static void an_unchanged_page_is_304(void **state)
{
    char request[300];
    static char answer[ANSWER_SIZE];
    int descriptor = open_connection(*state);
    const char *get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    send_bytes(descriptor, get, strlen(get));
    receive(descriptor, answer, false);
    const char *tag = strstr(answer, "ETag: ");
    assert_non_null(tag);
    snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: h\r\nIf-None-Match: %.34s\r\n\r\n",
             tag + 6);
    send_bytes(descriptor, request, strlen(request));
    receive(descriptor, answer, true);
    assert_starts(answer, "HTTP/1.1 304");
    close(descriptor);
}

static void a_port_in_use_is_a_clear_error(void **state)
{
    struct setting *setting = *state;
    struct cloze_error error;
    struct cz_server *second;
    struct cz_server_options options = {.host = "127.0.0.1",
                                        .port = cz_server_port(setting->server)};
    ASSERT_FAILS(cz_server_start(setting->service, &options, &second, &error), CLOZE_BUSY,
                 "the port is in use");
    assert_null(second);
}

#define WITH(test, begin) cmocka_unit_test_setup_teardown(test, begin, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(answers_byte_for_byte, start),
        WITH(takes_a_request_cut_anywhere, start),
        WITH(answers_100_continue, start),
        WITH(refuses_a_body_that_is_too_large, start),
        WITH(keeps_the_connection_after_a_refusal, start),
        WITH(a_timeout_is_504_and_ends_the_work, start),
        WITH(a_client_that_leaves_ends_its_work, start),
        WITH(a_client_that_leaves_while_it_waits_is_skipped, start),
        WITH(health_is_answered_while_handlers_work, start),
        WITH(a_full_queue_is_429, start),
        WITH(stopping_waits_for_running_calls, start),
        WITH(stopping_cancels_what_takes_too_long, start),
        WITH(while_loading_readiness_is_held_and_503, start_loading),
        WITH(calls_need_the_key, start_with_key),
        WITH(metrics_count_by_route, start),
        WITH(an_unchanged_page_is_304, start),
        WITH(a_port_in_use_is_a_clear_error, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
