/* hub_http.c - requests to the hub over libcurl. */
#include "store/hub_http.h"

#include "base/file.h"
#include "base/log.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* One request: what came back, and where its body goes. */
struct exchange {
    struct cz_hub *hub;
    struct cz_buffer *body; /* else the file */
    int descriptor;
    uint64_t offset; /* bytes of the file that are there */
    uint64_t size;   /* bytes that it shall have */
    cz_import_progress *progress;
    void *context;
    const char *what;
    long code;               /* HTTP status; 0 until it is known */
    char error_code[64];     /* the hub's X-Error-Code: GatedRepo, RepoNotFound, ... */
    char error_message[256]; /* X-Error-Message */
    char range[64];          /* Content-Range: "bytes 100-199/200" */
    bool started;            /* the body has begun */
    cloze_status failure;    /* of the callbacks, told in *error */
    struct cloze_error *error;
};

/* ---- Settings ---- */

void cz_hub_home(struct cz_buffer *out)
{
    const char *home = getenv("HF_HOME"), *cache = getenv("XDG_CACHE_HOME"), *user = getenv("HOME");
    if (home && *home)
        cz_buffer_append_text(out, home);
    else if (cache && *cache)
        cz_buffer_printf(out, "%s/huggingface", cache);
    else
        cz_buffer_printf(out, "%s/.cache/huggingface", user ? user : "");
}

/* A token is one printable word; anything else could break out of its header. */
static char *clean_token(const char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t size = 0;
    while (isgraph((unsigned char)text[size]))
        size++;
    return size ? strndup(text, size) : NULL;
}

static char *find_token(void)
{
    const char *value = getenv("HF_TOKEN"), *named = getenv("HF_TOKEN_PATH");
    struct cz_buffer path = {0}, text = {.maximum = 4096};
    char *token = NULL;
    if (value && *value)
        return clean_token(value);
    if (named && *named) {
        cz_buffer_append_text(&path, named);
    } else {
        cz_hub_home(&path);
        cz_buffer_append_text(&path, "/token");
    }
    if (cz_file_read(cz_buffer_text(&path), &text, NULL) == CLOZE_OK)
        token = clean_token(cz_buffer_text(&text));
    cz_buffer_free(&path);
    cz_buffer_free(&text);
    return token;
}

cloze_status cz_hub_open(struct cz_hub *hub, const char *id, struct cloze_error *error)
{
    const char *endpoint = getenv("HF_ENDPOINT");
    *hub = (struct cz_hub){.id = id};
    if (!endpoint || !*endpoint)
        endpoint = "https://huggingface.co";
    if (strncmp(endpoint, "https://", 8) != 0 && strncmp(endpoint, "http://", 7) != 0)
        return cz_fail(error, CLOZE_INVALID, "HF_ENDPOINT",
                       "'%s' does not begin with https:// or http://", endpoint);
    cloze_status status = cz_curl_open(&hub->curl, error);
    if (status)
        return status;
    size_t size = strlen(endpoint);
    while (size && endpoint[size - 1] == '/')
        size--;
    hub->endpoint = strndup(endpoint, size);
    hub->token = find_token();
    hub->handle = hub->curl->easy_init();
    if (hub->endpoint && hub->handle)
        return CLOZE_OK;
    cz_hub_close(hub);
    return cz_fail_memory(error, "the hub's connection");
}

void cz_hub_close(struct cz_hub *hub)
{
    if (hub->handle)
        hub->curl->easy_cleanup(hub->handle);
    free(hub->endpoint);
    free(hub->token);
    *hub = (struct cz_hub){0};
}

/* ---- One request ---- */

/* "Name: value\r\n" copied into out, when the header has that name. */
static void take_header(const char *line, size_t size, const char *name, char *out, size_t room)
{
    size_t length = strlen(name);
    if (size <= length || strncasecmp(line, name, length) != 0 || line[length] != ':')
        return;
    line += length + 1;
    size -= length + 1;
    while (size && isspace((unsigned char)*line))
        line++, size--;
    while (size && isspace((unsigned char)line[size - 1]))
        size--;
    snprintf(out, room, "%.*s", (int)(size < room ? size : room - 1), line);
}

static size_t on_header(char *line, size_t unit, size_t count, void *context)
{
    struct exchange *exchange = context;
    size_t size = unit * count;
    take_header(line, size, "X-Error-Code", exchange->error_code, sizeof exchange->error_code);
    take_header(line, size, "X-Error-Message", exchange->error_message,
                sizeof exchange->error_message);
    take_header(line, size, "Content-Range", exchange->range, sizeof exchange->range);
    return size;
}

/* Prepares the file for the body: from the offset on when the hub honours the range (206), from its
 * start when it does not (200). */
static cloze_status start_file(struct exchange *exchange)
{
    unsigned long long start = 0;
    if (exchange->code == 206 &&
        (sscanf(exchange->range, "bytes %llu-", &start) != 1 || start != exchange->offset))
        return cz_fail(exchange->error, CLOZE_NETWORK, exchange->what,
                       "the hub sends another range than asked for: '%s'", exchange->range);
    if (exchange->code == 200)
        exchange->offset = 0;
    if (ftruncate(exchange->descriptor, (off_t)exchange->offset) != 0 ||
        lseek(exchange->descriptor, (off_t)exchange->offset, SEEK_SET) < 0)
        return cz_fail_errno(exchange->error, exchange->what, "continue the download of");
    return CLOZE_OK;
}

static cloze_status write_body(struct exchange *exchange, struct cz_slice data)
{
    cloze_status status = CLOZE_OK;
    if (exchange->body) {
        cz_buffer_append_slice(exchange->body, data);
        return cz_buffer_status(exchange->body, "the hub's answer", exchange->error);
    }
    if (!exchange->started)
        status = start_file(exchange);
    exchange->started = true;
    if (!status && data.size > exchange->size - exchange->offset)
        status = cz_fail(exchange->error, CLOZE_NETWORK, exchange->what,
                         "the hub sends more than the %llu bytes it announced",
                         (unsigned long long)exchange->size);
    if (!status)
        status = cz_file_write_all(exchange->descriptor, data, exchange->what, exchange->error);
    if (status)
        return status;
    exchange->offset += data.size;
    if (exchange->progress)
        exchange->progress(exchange->context, exchange->what, exchange->offset, exchange->size);
    return CLOZE_OK;
}

static size_t on_body(char *data, size_t unit, size_t count, void *context)
{
    struct exchange *exchange = context;
    size_t size = unit * count;
    struct cz_hub *hub = exchange->hub;
    hub->curl->easy_getinfo(hub->handle, CURLINFO_RESPONSE_CODE, &exchange->code);
    if (exchange->code != 200 && exchange->code != 206)
        return size; /* the text of an error or a redirect */
    exchange->failure = write_body(exchange, cz_slice_of(data, size));
    return exchange->failure ? 0 : size;
}

/* scheme://host:port of an address is that of the endpoint. */
static bool is_endpoint(const struct cz_hub *hub, const char *address)
{
    static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
    const struct cz_curl *curl = hub->curl;
    CURLU *a = curl->url(), *b = curl->url();
    bool same = a && b && curl->url_set(a, CURLUPART_URL, hub->endpoint, 0) == CURLUE_OK &&
                curl->url_set(b, CURLUPART_URL, address, 0) == CURLUE_OK;
    for (size_t i = 0; same && i < 3; i++) {
        char *left = NULL, *right = NULL;
        same = curl->url_get(a, parts[i], &left, CURLU_DEFAULT_PORT) == CURLUE_OK &&
               curl->url_get(b, parts[i], &right, CURLU_DEFAULT_PORT) == CURLUE_OK &&
               strcasecmp(left, right) == 0;
        curl->free(left);
        curl->free(right);
    }
    curl->url_cleanup(a);
    curl->url_cleanup(b);
    return same;
}

static struct curl_slist *make_headers(const struct cz_hub *hub, const char *address)
{
    struct cz_buffer line = {0};
    struct curl_slist *headers = NULL;
    if (hub->token && is_endpoint(hub, address)) {
        cz_buffer_printf(&line, "Authorization: Bearer %s", hub->token);
        headers = hub->curl->slist_append(NULL, cz_buffer_text(&line));
    }
    cz_buffer_free(&line);
    return headers;
}

/* Certificates of a company's own: libcurl itself reads none of these, unlike the tools that users
 * of the hub know. */
static const char *certificates(void)
{
    static const char *const names[] = {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return value;
    }
    return NULL;
}

static void set_options(struct exchange *exchange, const char *address, struct curl_slist *headers)
{
    const struct cz_curl *curl = exchange->hub->curl;
    CURL *handle = exchange->hub->handle;
    curl->easy_reset(handle);
    curl->easy_setopt(handle, CURLOPT_URL, address);
    curl->easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl->easy_setopt(handle, CURLOPT_USERAGENT, "cloze/" CLOZE_VERSION);
    curl->easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    if (certificates())
        curl->easy_setopt(handle, CURLOPT_CAINFO, certificates());
    curl->easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, (long)CZ_HUB_CONNECT_S);
    curl->easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl->easy_setopt(handle, CURLOPT_LOW_SPEED_TIME, (long)CZ_HUB_STALL_S);
    curl->easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
    curl->easy_setopt(handle, CURLOPT_HEADERDATA, exchange);
    curl->easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
    curl->easy_setopt(handle, CURLOPT_WRITEDATA, exchange);
    if (!exchange->body && exchange->offset) {
        /* Not CURLOPT_RESUME_FROM: that takes a whole file (200) for an error. */
        char range[32];
        snprintf(range, sizeof range, "%llu-", (unsigned long long)exchange->offset);
        curl->easy_setopt(handle, CURLOPT_RANGE, range);
    }
}

/* What a refusal of the hub means for the user. */
static cloze_status fail_answer(struct exchange *exchange, const char *address)
{
    const struct cz_hub *hub = exchange->hub;
    struct cloze_error *error = exchange->error;
    if (strcmp(exchange->error_code, "GatedRepo") == 0)
        return cz_fail(error, CLOZE_DENIED, hub->id,
                       "the repository is gated: accept its terms at %s/%s and set HF_TOKEN to a "
                       "token of that account%s",
                       hub->endpoint, hub->id, hub->token ? " (the one given has no access)" : "");
    if (strcmp(exchange->error_code, "RevisionNotFound") == 0)
        return cz_fail(error, CLOZE_NOT_FOUND, hub->id,
                       "the repository has no such branch, tag or commit");
    if (exchange->code == 401 || exchange->code == 404)
        return cz_fail(
            error, CLOZE_NOT_FOUND, hub->id, "%s has no such repository%s", hub->endpoint,
            hub->token ? ", or the token has no access to it" : "; if it is private, set HF_TOKEN");
    if (exchange->code == 403)
        return cz_fail(error, CLOZE_DENIED, hub->id, "%s refuses access%s%s", hub->endpoint,
                       exchange->error_message[0] ? ": " : "", exchange->error_message);
    if (exchange->code == 429)
        return cz_fail(error, CLOZE_BUSY, hub->id,
                       "%s limits requests (HTTP 429): try again later%s", hub->endpoint,
                       hub->token ? "" : ", or set HF_TOKEN");
    return cz_fail(error, CLOZE_NETWORK, address, "answered HTTP %ld%s%s", exchange->code,
                   exchange->error_message[0] ? ": " : "", exchange->error_message);
}

/* Follows one redirect; false when there is none. */
static cloze_status next_address(struct exchange *exchange, struct cz_buffer *address)
{
    char *target = NULL;
    struct cz_hub *hub = exchange->hub;
    hub->curl->easy_getinfo(hub->handle, CURLINFO_REDIRECT_URL, &target);
    if (!target)
        return fail_answer(exchange, cz_buffer_text(address));
    bool secure = strncmp(cz_buffer_text(address), "https://", 8) == 0;
    if (strncasecmp(target, "https://", 8) != 0 &&
        (secure || strncasecmp(target, "http://", 7) != 0))
        return cz_fail(exchange->error, CLOZE_NETWORK, cz_buffer_text(address),
                       "redirects to '%.200s', which is not https", target);
    struct cz_buffer next = {0};
    cz_buffer_append_text(&next, target);
    cz_buffer_free(address);
    *address = next;
    return cz_buffer_status(address, "an address", exchange->error);
}

static cloze_status fail_transfer(struct exchange *exchange, const char *address, CURLcode result)
{
    if (exchange->failure)
        return exchange->failure;
    return cz_fail(exchange->error, CLOZE_NETWORK, address, "%s",
                   exchange->hub->curl->easy_strerror(result));
}

/* Performs the request with its redirects. CLOZE_NETWORK may be worth another try. */
static cloze_status perform(struct exchange *exchange, const char *path)
{
    struct cz_hub *hub = exchange->hub;
    struct cz_buffer address = {0};
    cz_buffer_printf(&address, "%s%s", hub->endpoint, path);
    cloze_status status = cz_buffer_status(&address, path, exchange->error);
    for (int hops = 0; !status; hops++) {
        struct curl_slist *headers = make_headers(hub, address.data);
        exchange->code = 0;
        exchange->started = false;
        exchange->error_code[0] = exchange->error_message[0] = '\0';
        set_options(exchange, address.data, headers);
        cz_log(CZ_LOG_DEBUG, "GET %s%s", address.data, headers ? " (with the token)" : "");
        CURLcode result = hub->curl->easy_perform(hub->handle);
        hub->curl->easy_getinfo(hub->handle, CURLINFO_RESPONSE_CODE, &exchange->code);
        hub->curl->slist_free_all(headers);
        if (result != CURLE_OK)
            status = fail_transfer(exchange, address.data, result);
        else if (exchange->code == 200 || exchange->code == 206)
            break;
        else if (exchange->code / 100 == 3 && hops == CZ_HUB_REDIRECTS)
            status = cz_fail(exchange->error, CLOZE_NETWORK, address.data, "too many redirects");
        else if (exchange->code / 100 == 3)
            status = next_address(exchange, &address);
        else
            status = fail_answer(exchange, address.data);
    }
    cz_buffer_free(&address);
    return status;
}

/* ---- The two uses ---- */

static void pause_before(int attempt)
{
    struct timespec pause = {.tv_sec = (1 << attempt) / 4, .tv_nsec = attempt < 2 ? 250000000 : 0};
    nanosleep(&pause, NULL);
}

cloze_status cz_hub_get(struct cz_hub *hub, const char *path, struct cz_buffer *body,
                        struct cloze_error *error)
{
    cloze_status status = CLOZE_OK;
    for (int attempt = 0; attempt < CZ_HUB_ATTEMPTS; attempt++) {
        struct exchange exchange = {.hub = hub, .body = body, .descriptor = -1, .error = error};
        cz_buffer_clear(body);
        status = perform(&exchange, path);
        if (status != CLOZE_NETWORK || (exchange.code && exchange.code < 500))
            break;
        if (attempt + 1 < CZ_HUB_ATTEMPTS)
            pause_before(attempt);
    }
    return status;
}

cloze_status cz_hub_download(struct cz_hub *hub, const char *path, int descriptor, uint64_t size,
                             cz_import_progress *progress, void *context, const char *what,
                             struct cloze_error *error)
{
    struct stat info;
    if (fstat(descriptor, &info) != 0)
        return cz_fail_errno(error, what, "look at");
    uint64_t there = (uint64_t)info.st_size <= size ? (uint64_t)info.st_size : 0;
    cloze_status status = CLOZE_OK;
    int attempt = 0;
    while (there < size || (size == 0 && attempt == 0)) {
        struct exchange exchange = {.hub = hub,
                                    .descriptor = descriptor,
                                    .offset = there,
                                    .size = size,
                                    .progress = progress,
                                    .context = context,
                                    .what = what,
                                    .error = error};
        status = perform(&exchange, path);
        bool advanced = exchange.offset > there;
        if (exchange.code == 416) /* what is there can't be continued: from the start */
            exchange.offset = 0, advanced = there > 0;
        there = exchange.offset;
        attempt = advanced ? 0 : attempt + 1;
        if (status && (status != CLOZE_NETWORK || exchange.failure || attempt == CZ_HUB_ATTEMPTS))
            return status;
        if (!status && there < size && attempt == CZ_HUB_ATTEMPTS)
            return cz_fail(error, CLOZE_NETWORK, what, "the hub sends only %llu of %llu bytes",
                           (unsigned long long)there, (unsigned long long)size);
        if (status)
            cz_log(CZ_LOG_WARNING, "%s: the download broke off at %llu of %llu bytes, continuing",
                   what, (unsigned long long)there, (unsigned long long)size);
        if (status)
            pause_before(attempt);
    }
    if (ftruncate(descriptor, (off_t)size) != 0)
        return cz_fail_errno(error, what, "set the size of");
    return CLOZE_OK;
}
