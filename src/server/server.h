/*
 * server.h - a service over HTTP.
 *
 * Threads. One HTTP thread runs libmicrohttpd, answers what needs no handler, watches the sockets of
 * waiting requests and their deadlines; handlers run on a bounded pool. The functions here may be
 * called from any other thread.
 */
#ifndef CZ_SERVER_SERVER_H
#define CZ_SERVER_SERVER_H

#include "service/generator.h"
#include "service/service.h"

enum {
    CZ_SERVER_LARGEST_BODY = 16 << 20,   /* beyond it: 413 */
    CZ_SERVER_LARGEST_DISCARD = 64 << 20, /* of a refused body that is read; beyond it: closed */
    CZ_SERVER_MOST_CONNECTIONS = 4096,
    CZ_SERVER_IDLE_S = 600 /* an idle connection is kept this long */
};

struct cz_server;

struct cz_server_options {
    const char *host;
    unsigned port; /* 0: any free one */
    const char *const *api_keys; /* [api_key_count], borrowed; none: open to all */
    size_t api_key_count;
    size_t largest_body; /* 0: CZ_SERVER_LARGEST_BODY */
};

/* Binds and starts to answer; endpoints answer 503 until cz_server_set_ready. `service` is borrowed
 * until the server is freed. A port in use is CLOZE_BUSY. */
cloze_status cz_server_start(const struct cz_service *service,
                             const struct cz_server_options *options, struct cz_server **out,
                             struct cloze_error *error);
/* From now on endpoints are served, with this generator (borrowed; NULL: a service without model). */
void cz_server_set_ready(struct cz_server *server, const struct cz_generator *generator);
unsigned cz_server_port(const struct cz_server *server);
/* Takes no new calls, waits up to grace_ms for running ones, then cancels them; stops all threads
 * and frees the server. NULL is fine. */
void cz_server_stop(struct cz_server *server, unsigned grace_ms);
/* Whether the program holds Swagger UI's files. */
bool cz_server_has_swagger_ui(void);

#endif
