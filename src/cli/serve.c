/*
 * serve.c - `cloze serve`: a service over HTTP until a signal ends it.
 *
 * The server answers from the first moment; the model is opened on a thread of its own meanwhile,
 * so that a probe never waits and Ctrl-C works while it loads.
 */
#include "cli/engine_flags.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "server/server.h"
#include "service/document.h"
#include "service/engine_generator.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { GRACE_MS = 5000, MOST_KEYS = 64 };

/* What is being served. */
struct serving {
    struct cz_service *service;
    struct cz_model_source model;
    const char *keys[MOST_KEYS]; /* the server borrows them */
    struct cz_engine_options engine_options;
    struct cz_engine *engine;
    struct cz_generator generator;
    struct cz_server *server;

    pthread_t main_thread;
    pthread_t loader;
    bool loading;              /* the loader was started and not joined */
    cloze_status load_status;  /* set by the loader before it signals */
    struct cloze_error load_error;
    uint64_t load_ns;
};

/* ---- What to serve ---- */

static bool folder_has(const char *folder, const char *name)
{
    struct cz_buffer path = {0};
    bool found = cz_path_join(&path, folder, name) && cz_file_exists(path.data);
    cz_buffer_free(&path);
    return found;
}

/* A folder with a model's files and no service. */
static bool is_model_folder(const char *path)
{
    return cz_file_is_folder(path) && folder_has(path, "config.json") &&
           !folder_has(path, "service.yaml") && !folder_has(path, "service.c");
}

/* The target is a service, or a model (a tag or path) to be served as it is. */
static bool is_service(const char *target)
{
    struct cz_slice name = cz_slice(target);
    if (cz_slice_ends_with(name, ".yaml") || cz_slice_ends_with(name, ".c"))
        return true;
    return cz_file_is_folder(target) && !is_model_folder(target);
}

/* The model is --model's, the target itself, the service's own, or the default. */
static cloze_status load(struct serving *serving, const struct cz_arguments *arguments,
                         struct cloze_error *error)
{
    const char *target = cz_argument(arguments, "TARGET");
    const char *wanted = cz_flag_text(arguments, "model");
    cloze_status status;
    if (!target)
        target = ".";
    if (is_service(target)) {
        status = cz_service_load(target, &serving->service, error);
        if (!status && !wanted)
            wanted = serving->service->table->model;
    } else {
        status = cz_service_builtin(&serving->service, error);
        if (!wanted)
            wanted = target;
    }
    return status ? status : cz_model_source_open(wanted, &serving->model, error);
}

/* ---- What is said ---- */

/* The endpoint whose call is shown: `generate`, else the first. */
static const struct cz_endpoint *shown_endpoint(const struct cz_service *service)
{
    for (size_t i = 0; i < service->endpoint_count; i++)
        if (strcmp(service->endpoints[i].table->name, "generate") == 0)
            return &service->endpoints[i];
    return &service->endpoints[0];
}

/* A body with the prompt and what else is required. */
static void write_example(const struct cz_endpoint *endpoint, struct cz_buffer *out)
{
    struct cz_json_writer writer = {.out = out, .style = CZ_JSON_SPACED};
    cz_json_begin_object(&writer);
    for (size_t i = 0; i < endpoint->table->parameter_count; i++) {
        const struct cz_input *input = &endpoint->parameters[i];
        bool is_prompt = strcmp(input->table->name, "prompt") == 0;
        if (!input->required && !is_prompt)
            continue;
        cz_json_write_key(&writer, input->table->name);
        if (!input->required && !input->fallback.is_null)
            cz_document_value(&writer, input->table->type, &input->fallback);
        else if (is_prompt)
            cz_json_write_string(&writer, "Give me a character description.");
        else
            cz_document_sample(&writer, input->table);
    }
    cz_json_end_object(&writer);
}

/* Text inside single quotes of a shell. */
static void append_quoted(struct cz_buffer *out, const char *text)
{
    cz_buffer_append_byte(out, '\'');
    for (; *text; text++)
        *text == '\'' ? cz_buffer_append_text(out, "'\\''") : cz_buffer_append_byte(out, *text);
    cz_buffer_append_byte(out, '\'');
}

static void print_banner(const struct serving *serving, const char *host)
{
    const struct cz_service *service = serving->service;
    const struct cz_endpoint *endpoint = shown_endpoint(service);
    struct cz_buffer body = {0}, quoted = {0};
    char address[160];
    bool any = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0 ||
               strcmp(host, "127.0.0.1") == 0;
    snprintf(address, sizeof address, strchr(host, ':') && !any ? "http://[%.100s]:%u"
                                                                : "http://%.100s:%u",
             any ? "localhost" : host, cz_server_port(serving->server));
    write_example(endpoint, &body);
    append_quoted(&quoted, cz_buffer_text(&body));
    printf("%s is served at %s\n", service->table->name, address);
    printf("  %-12s%s/\n", cz_server_has_swagger_ui() ? "Swagger UI" : "Endpoints", address);
    printf("  %-12s%s\n", "Model", serving->model.name);
    if (service->table->gpu > 0)
        printf("  %-12sthe service declares a GPU (%s); Cloze computes on the CPU\n", "Note",
               service->table->gpu_type ? service->table->gpu_type : "any");
    printf("\nTry it:\n  curl -X POST %s%s -H 'Content-Type: application/json' -d %s\n\n", address,
           endpoint->route, cz_buffer_text(&quoted));
    fflush(stdout);
    cz_buffer_free(&body);
    cz_buffer_free(&quoted);
}

/* ---- Loading and waiting ---- */

/* Opens the model, then wakes the main thread. */
static void *load_main(void *context)
{
    struct serving *serving = context;
    uint64_t start_ns = cz_clock_ns();
    serving->load_status = cz_engine_open(serving->model.path, &serving->engine_options,
                                          &serving->engine, &serving->load_error);
    serving->load_ns = cz_clock_ns() - start_ns;
    pthread_kill(serving->main_thread, SIGUSR1);
    return NULL;
}

/* The signals that are waited for, blocked in all threads. */
static void block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, set, NULL);
}

static cloze_status finish_loading(struct serving *serving, bool quiet, struct cloze_error *error)
{
    pthread_join(serving->loader, NULL);
    serving->loading = false;
    if (serving->load_status) {
        *error = serving->load_error;
        return serving->load_status;
    }
    serving->generator = cz_engine_generator(serving->engine);
    cz_server_set_ready(serving->server, &serving->generator);
    if (!quiet) {
        printf("Ready: the model was opened in %.0f ms. Ctrl-C ends.\n",
               (double)serving->load_ns / 1e6);
        fflush(stdout);
    }
    return CLOZE_OK;
}

/* Until a signal ends it. */
static cloze_status wait_for_end(struct serving *serving, const sigset_t *set, bool quiet,
                                 struct cloze_error *error)
{
    for (;;) {
        int signal_number = 0;
        sigwait(set, &signal_number);
        if (signal_number != SIGUSR1)
            return CLOZE_OK;
        cloze_status status = serving->loading ? finish_loading(serving, quiet, error) : CLOZE_OK;
        if (status)
            return status;
    }
}

static void stop(struct serving *serving, const sigset_t *set)
{
    /* a second Ctrl-C ends at once */
    pthread_sigmask(SIG_UNBLOCK, set, NULL);
    cz_server_stop(serving->server, GRACE_MS);
    serving->server = NULL;
    if (serving->loading) {
        fflush(NULL);
        _exit(0); /* opening a model can't be interrupted; it leaves nothing half done */
    }
}

/* ---- The verb ---- */

static unsigned chosen_port(const struct cz_arguments *arguments)
{
    const char *port = getenv("BENTOML_PORT");
    if (!cz_flag_given(arguments, "port") && port && atoi(port) > 0 && atoi(port) < 65536)
        return (unsigned)atoi(port);
    return (unsigned)cz_flag_integer(arguments, "port");
}

static const char *chosen_host(const struct cz_arguments *arguments)
{
    const char *host = getenv("BENTOML_HOST");
    return !cz_flag_given(arguments, "host") && host && host[0] ? host
                                                                : cz_flag_text(arguments, "host");
}

static size_t read_keys(const struct cz_arguments *arguments, const char *keys[MOST_KEYS])
{
    size_t count = 0;
    const char *key;
    for (; count < MOST_KEYS - 1 && (key = cz_flag_each(arguments, "api-key", count)); count++)
        keys[count] = key;
    key = getenv("CLOZE_API_KEY");
    if (key && key[0])
        keys[count++] = key;
    return count;
}

static cloze_status start(struct serving *serving, struct cz_arguments *arguments,
                          struct cloze_error *error)
{
    struct cz_server_options options = {.host = chosen_host(arguments),
                                        .port = chosen_port(arguments),
                                        .api_keys = serving->keys,
                                        .api_key_count = read_keys(arguments, serving->keys)};
    serving->engine_options =
        (struct cz_engine_options){.threads = (uint32_t)cz_flag_integer(arguments, "threads"),
                                   .max_queue = serving->service->max_queue};
    cloze_status status =
        cz_engine_flags_read(arguments, &serving->model, &serving->engine_options, error);
    if (!status)
        status = cz_server_start(serving->service, &options, &serving->server, error);
    if (status)
        return status;
    if (!cz_is_quiet(arguments))
        print_banner(serving, options.host);
    serving->main_thread = pthread_self();
    if (pthread_create(&serving->loader, NULL, load_main, serving))
        return cz_fail_memory(error, "a thread");
    serving->loading = true;
    return CLOZE_OK;
}

static cloze_status serve(struct serving *serving, struct cz_arguments *arguments,
                          struct cloze_error *error)
{
    sigset_t set;
    cloze_status status = load(serving, arguments, error);
    if (status)
        return status;
    block_signals(&set);
    status = start(serving, arguments, error);
    if (!status)
        status = wait_for_end(serving, &set, cz_is_quiet(arguments), error);
    stop(serving, &set);
    return status;
}

static cloze_status run(struct cz_arguments *arguments, struct cloze_error *error)
{
    struct serving serving = {0};
    bool json = strcmp(cz_flag_text(arguments, "log"), "json") == 0;
    if (!cz_is_quiet(arguments))
        cz_log_set(cz_flag_given(arguments, "verbose") ? CZ_LOG_DEBUG : CZ_LOG_INFO, json);
    cloze_status status = serve(&serving, arguments, error);
    cz_engine_close(serving.engine);
    cz_service_free(serving.service);
    cz_model_source_close(&serving.model);
    return status;
}

static const struct cz_flag flags[] = {
    {.name = "host", .kind = CZ_VALUE_TEXT, .value = "ADDRESS", .fallback = "127.0.0.1",
     .help = "listen on this address; 0.0.0.0 is every one (else BENTOML_HOST)"},
    {.name = "port", .letter = 'p', .kind = CZ_VALUE_INTEGER, .value = "N", .fallback = "3000",
     .help = "listen on this port; 0 is any free one (else BENTOML_PORT)", .minimum = 0,
     .maximum = 65535},
    {.name = "model", .letter = 'm', .kind = CZ_VALUE_MODEL, .value = "TAG",
     .help = "serve this model, a tag of the store or a path, in place of the service's own"},
    {.name = "threads", .letter = 't', .kind = CZ_VALUE_INTEGER, .value = "N", .fallback = "0",
     .help = "compute on so many threads; 0 is what the machine allows", .minimum = 0,
     .maximum = 1024},
    CZ_ENGINE_FLAGS,
    {.name = "api-key", .kind = CZ_VALUE_TEXT, .value = "KEY", .repeated = true,
     .help = "answer calls with this bearer key only (also that of CLOZE_API_KEY)"},
    {.name = "log", .kind = CZ_VALUE_CHOICE, .value = "text|json", .fallback = "text",
     .help = "form of the log lines on standard error"},
    {.name = NULL},
};

static const struct cz_parameter parameters[] = {
    {.name = "TARGET",
     .help = "a folder with service.yaml or service.c, such a file, a model's tag or file; the "
             "current folder when not given",
     .kind = CZ_VALUE_FILE, .optional = true},
    {.name = NULL},
};

static const struct cz_example examples[] = {
    {"cloze serve .", "Serve the project in this folder at http://localhost:3000"},
    {"cloze serve examples/character --model mistralai--mistral-7b-v0.1",
     "The guide's service with the guide's model"},
    {"cloze serve smollm2-135m-instruct --port 8080", "A model as it is, without a project"},
    {NULL, NULL},
};

const struct cz_verb cz_verb_serve = {
    .name = "serve",
    .summary = "serve a project or a model over HTTP",
    .description =
        "Serves the endpoints of a service with /schema.json, /docs.json, Swagger UI at /, health "
        "probes and metrics. BentoML's Python client and curl work with it as they are. The server "
        "answers while the model is still loading: /readyz and the endpoints with 503.\n\n"
        "A call that takes longer than the service's timeout is answered with 504, and a client "
        "that leaves ends its generation. Ctrl-C or SIGTERM lets running calls finish for five "
        "seconds.",
    .flags = flags,
    .parameters = parameters,
    .examples = examples,
    .run = run,
};
