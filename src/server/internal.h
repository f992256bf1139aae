/*
 * internal.h - what the files of the server share.
 *
 * A request is made when its first line has been read and belongs to the HTTP thread. While its
 * handler works, the connection is suspended, the request stands in server->waiting, and the job
 * holds a second reference; `mutex` guards the members that both touch.
 */
#ifndef CZ_SERVER_INTERNAL_H
#define CZ_SERVER_INTERNAL_H

#include "server/metrics.h"
#include "server/handlers.h"
#include "server/server.h"
#include "service/call.h"

#include <microhttpd.h>
#include <pthread.h>

/* Routes of the server itself; their metrics follow those of the endpoints in this order. */
enum own_route {
    ROUTE_LIVEZ,
    ROUTE_HEALTHZ,
    ROUTE_READYZ,
    ROUTE_METRICS,
    ROUTE_SCHEMA,
    ROUTE_DOCS,
    ROUTE_ROOT,
    ROUTE_STATIC,
    ROUTE_UNKNOWN,
    OWN_ROUTE_COUNT
};

enum { REQUEST_ID_SIZE = 17, LOADING_HOLD_MS = 75 };

struct field {
    struct cz_buffer name, value;
    struct field *next;
};

enum wait_kind {
    WAIT_NONE,
    WAIT_HANDLER, /* the handler works */
    WAIT_LOADING  /* /readyz is held while the model loads */
};

struct answer {
    int status;
    const char *content_type; /* static */
    const char *allow;        /* of a 405 */
    struct cz_buffer body;
    const char *finish_reason;
    char retry_after[12]; /* "" : none */
    bool of_endpoint;     /* carries server and request id */
    bool close;
};

struct request {
    struct cz_call_job job; /* first: the pool hands back its address */
    struct cz_server *server;
    struct MHD_Connection *connection;
    char *uri; /* as sent, query included */
    char id[REQUEST_ID_SIZE];
    uint64_t start_ns;
    bool routed;                        /* the head was looked at */
    bool counted;                       /* in the metrics */
    size_t route;                       /* index of the metrics */
    const struct cz_endpoint *endpoint; /* NULL: an own route */
    int status;                         /* of the answer, for log and metrics */
    struct cz_buffer body;
    uint64_t body_size; /* also of what was thrown away */
    bool is_form;
    struct field *fields;

    enum wait_kind waiting;
    uint64_t deadline_ns;
    int watched; /* descriptor in the epoll set, or -1 */
    struct request *previous, *next; /* in server->waiting, by deadline */

    /* guarded by the server's mutex */
    unsigned references;
    bool suspended;
    bool finished;  /* the handler is through, `answer` is set */
    bool timed_out;
    bool gone;      /* the client left */
    atomic_bool cancelled;
    struct answer answer;
};

struct cz_server {
    const struct cz_service *service;
    struct cz_server_options options;
    struct MHD_Daemon *daemon;
    struct cz_handlers *handlers;
    struct cz_metrics *metrics;
    const char **route_names;
    struct cz_buffer schema, openapi; /* written once */
    pthread_t thread;
    bool has_thread;
    int listener, epoll, wake; /* wake: eventfd that ends the wait */
    unsigned port;
    struct request *waiting; /* by deadline; HTTP thread only */

    pthread_mutex_t mutex;
    pthread_cond_t idle; /* active_calls became 0 */
    const struct cz_generator *generator;
    bool ready, draining;
    size_t active_calls;
    atomic_bool stopping;
    atomic_uint_fast64_t next_id;
};

/* server.c: ends the HTTP thread's wait; from any thread. */
void cz_server_wake(struct cz_server *server);

/* request.c: libmicrohttpd's callbacks. */
void *cz_request_begin(void *server, const char *uri, struct MHD_Connection *connection);
enum MHD_Result cz_request_handle(void *server, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **context);
void cz_request_end(void *server, struct MHD_Connection *connection, void **context,
                    enum MHD_RequestTerminationCode code);
/* The client of a suspended request hung up; its deadline passed; the server ends. */
void cz_request_gone(struct request *request);
void cz_request_expire(struct request *request);

/* response.c */
void cz_answer_text(struct answer *answer, int status, const char *text);
void cz_answer_error(struct answer *answer, int status, const char *message);
void cz_answer_problems(struct answer *answer, const struct cz_problems *problems);
/* What a call's end means for the client; logs what the client isn't told. */
void cz_answer_call(struct answer *answer, struct cloze_call *call, cloze_status status,
                    const char *id);
void cz_answer_clear(struct answer *answer);
enum MHD_Result cz_answer_send(struct request *request, struct answer *answer);

/* page.c: "/" and /static_content/. */
enum MHD_Result cz_page_send(struct request *request, const char *url);
bool cz_page_exists(const char *url);

#endif
