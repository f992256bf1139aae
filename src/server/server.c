/* server.c - start and stop, and the HTTP thread. */
#include "server/server.h"

#include "base/clock.h"
#include "base/log.h"
#include "server/internal.h"
#include "service/document.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTION_MEMORY = 128 << 10, MOST_EVENTS = 64, BACKLOG = 1024 };

/* ---- The HTTP thread ---- */

void cz_server_wake(struct cz_server *server)
{
    const uint64_t one = 1;
    while (write(server->wake, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

/* Milliseconds until something is due, at most a minute. */
static int wait_ms(struct cz_server *server)
{
    MHD_UNSIGNED_LONG_LONG due = 60000;
    if (MHD_get_timeout(server->daemon, &due) != MHD_YES || due > 60000)
        due = 60000;
    if (server->waiting) {
        uint64_t now = cz_clock_ns(), deadline = server->waiting->deadline_ns;
        uint64_t left_ms = deadline > now ? (deadline - now + 999999) / 1000000 : 0;
        if (left_ms < due)
            due = left_ms;
    }
    return (int)due;
}

static void expire(struct cz_server *server, bool all)
{
    uint64_t now = cz_clock_ns();
    while (server->waiting && (all || server->waiting->deadline_ns <= now))
        cz_request_expire(server->waiting);
}

static void *http_main(void *context)
{
    struct cz_server *server = context;
    struct epoll_event events[MOST_EVENTS];
    while (!atomic_load(&server->stopping)) {
        int count = epoll_wait(server->epoll, events, MOST_EVENTS, wait_ms(server));
        /* No request is freed before MHD_run, so every pointer of this round is alive. */
        for (int i = 0; i < count; i++) {
            uint64_t value;
            if (events[i].data.ptr == &server->wake)
                while (read(server->wake, &value, sizeof value) > 0)
                    continue;
            else if (events[i].data.ptr)
                cz_request_gone(events[i].data.ptr);
        }
        expire(server, false);
        MHD_run(server->daemon);
    }
    expire(server, true);
    MHD_run(server->daemon); /* resumes them, so that none is suspended at the end */
    MHD_run(server->daemon);
    return NULL;
}

/* ---- Starting ---- */

static cloze_status fail_bind(const struct cz_server_options *options, const char *what,
                              struct cloze_error *error)
{
    char where[128];
    snprintf(where, sizeof where, "%.100s:%u", options->host, options->port);
    if (errno == EADDRINUSE)
        return cz_fail(error, CLOZE_BUSY, where,
                       "the port is in use by another program; choose one with --port");
    if (errno == EACCES)
        return cz_fail(error, CLOZE_DENIED, where, "this port needs more rights; choose one above "
                                                   "1023 with --port");
    return cz_fail(error, CLOZE_NETWORK, where, "%s: %s", what, strerror(errno));
}

static int open_listener(const struct addrinfo *address)
{
    int one = 1;
    int descriptor =
        socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0)
        return -1;
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(descriptor, address->ai_addr, address->ai_addrlen) == 0 &&
        listen(descriptor, BACKLOG) == 0)
        return descriptor;
    int reason = errno;
    close(descriptor);
    errno = reason;
    return -1;
}

static cloze_status bind_port(struct cz_server *server, struct cloze_error *error)
{
    const struct cz_server_options *options = &server->options;
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct addrinfo *addresses;
    char port[16];
    snprintf(port, sizeof port, "%u", options->port);
    int failure = getaddrinfo(options->host, port, &hints, &addresses);
    if (failure)
        return cz_fail(error, CLOZE_INVALID, options->host, "is no address to listen on: %s",
                       gai_strerror(failure));
    server->listener = open_listener(addresses);
    int reason = errno;
    freeaddrinfo(addresses);
    errno = reason;
    if (server->listener < 0)
        return fail_bind(options, "can't listen", error);
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    if (getsockname(server->listener, (struct sockaddr *)&bound, &size))
        return fail_bind(options, "can't read the port", error);
    server->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                     : ((struct sockaddr_in *)&bound)->sin_port);
    return CLOZE_OK;
}

static cloze_status make_metrics(struct cz_server *server, struct cloze_error *error)
{
    static const char *const own[OWN_ROUTE_COUNT] = {
        [ROUTE_LIVEZ] = "/livez",     [ROUTE_HEALTHZ] = "/healthz",   [ROUTE_READYZ] = "/readyz",
        [ROUTE_METRICS] = "/metrics", [ROUTE_SCHEMA] = "/schema.json", [ROUTE_DOCS] = "/docs.json",
        [ROUTE_ROOT] = "/",           [ROUTE_STATIC] = "/static_content", [ROUTE_UNKNOWN] = "unknown"};
    size_t count = server->service->endpoint_count;
    server->route_names = calloc(count + OWN_ROUTE_COUNT, sizeof *server->route_names);
    if (!server->route_names)
        return cz_fail_memory(error, "metrics");
    for (size_t i = 0; i < count; i++)
        server->route_names[i] = server->service->endpoints[i].route;
    for (size_t i = 0; i < OWN_ROUTE_COUNT; i++)
        server->route_names[count + i] = own[i];
    return cz_metrics_create(server->service->table->name, server->route_names,
                             count + OWN_ROUTE_COUNT, count, &server->metrics, error);
}

static void ignore_message(void *context, const char *format, va_list arguments)
{
    (void)context, (void)format, (void)arguments; /* broken clients are no event of ours */
}

static cloze_status start_daemon(struct cz_server *server, struct cloze_error *error)
{
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        cz_request_handle, server, MHD_OPTION_EXTERNAL_LOGGER, ignore_message, NULL,
        MHD_OPTION_LISTEN_SOCKET, server->listener, MHD_OPTION_URI_LOG_CALLBACK, cz_request_begin,
        server, MHD_OPTION_NOTIFY_COMPLETED, cz_request_end, server,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CZ_SERVER_IDLE_S, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CZ_SERVER_MOST_CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
    if (!server->daemon)
        return cz_fail(error, CLOZE_INTERNAL, "libmicrohttpd", "can't start");
    return CLOZE_OK;
}

static cloze_status make_loop(struct cz_server *server, struct cloze_error *error)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct epoll_event daemon = {.events = EPOLLIN};
    struct epoll_event wake = {.events = EPOLLIN, .data.ptr = &server->wake};
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!info || server->epoll < 0 || server->wake < 0 ||
        epoll_ctl(server->epoll, EPOLL_CTL_ADD, info->epoll_fd, &daemon) ||
        epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->wake, &wake))
        return cz_fail_errno(error, "epoll", "set up");
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(&server->thread, NULL, http_main, server);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = failure;
    server->has_thread = failure == 0;
    return failure ? cz_fail_errno(error, "thread", "start") : CLOZE_OK;
}

cloze_status cz_server_start(const struct cz_service *service,
                             const struct cz_server_options *options, struct cz_server **out,
                             struct cloze_error *error)
{
    *out = NULL;
    struct cz_server *server = calloc(1, sizeof *server);
    if (!server)
        return cz_fail_memory(error, "server");
    server->service = service;
    server->options = *options;
    if (!server->options.largest_body)
        server->options.largest_body = CZ_SERVER_LARGEST_BODY;
    server->listener = server->epoll = server->wake = -1;
    pthread_mutex_init(&server->mutex, NULL);
    pthread_cond_init(&server->idle, NULL);
    cloze_status status = cz_document_schema(service, &server->schema, error);
    if (!status)
        status = cz_document_openapi(service, options->api_key_count > 0, &server->openapi, error);
    if (!status)
        status = make_metrics(server, error);
    if (!status)
        status = cz_handlers_create(service->max_concurrency, service->max_queue, &server->handlers, error);
    if (!status)
        status = bind_port(server, error);
    if (!status)
        status = start_daemon(server, error);
    if (!status)
        status = make_loop(server, error);
    if (status)
        cz_server_stop(server, 0);
    else
        *out = server;
    return status;
}

void cz_server_set_ready(struct cz_server *server, const struct cz_generator *generator)
{
    pthread_mutex_lock(&server->mutex);
    server->generator = generator;
    server->ready = true;
    pthread_mutex_unlock(&server->mutex);
}

unsigned cz_server_port(const struct cz_server *server)
{
    return server->port;
}

/* ---- Stopping ---- */

static void drain(struct cz_server *server, unsigned grace_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += grace_ms / 1000;
    until.tv_nsec += (long)(grace_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&server->mutex);
    server->draining = true;
    while (server->active_calls && grace_ms)
        if (pthread_cond_timedwait(&server->idle, &server->mutex, &until) == ETIMEDOUT)
            break;
    pthread_mutex_unlock(&server->mutex);
}

static void stop_thread(struct cz_server *server)
{
    atomic_store(&server->stopping, true);
    cz_server_wake(server);
    pthread_join(server->thread, NULL);
}

void cz_server_stop(struct cz_server *server, unsigned grace_ms)
{
    if (!server)
        return;
    if (server->has_thread) {
        drain(server, grace_ms);
        stop_thread(server);
    }
    cz_handlers_free(server->handlers); /* their calls are cancelled: the handlers end soon */
    if (server->daemon)
        MHD_stop_daemon(server->daemon); /* closes the listener too */
    else if (server->listener >= 0)
        close(server->listener);
    if (server->epoll >= 0)
        close(server->epoll);
    if (server->wake >= 0)
        close(server->wake);
    cz_metrics_free(server->metrics);
    cz_buffer_free(&server->schema);
    cz_buffer_free(&server->openapi);
    free(server->route_names);
    pthread_cond_destroy(&server->idle);
    pthread_mutex_destroy(&server->mutex);
    free(server);
}
