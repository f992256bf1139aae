/*
 * handlers.h - a bounded pool of threads that run blocking handlers.
 *
 * Threads start when work comes and none is idle, up to the maximum; jobs beyond that wait in order
 * in a queue of bounded length. Any thread may submit.
 */
#ifndef CZ_SERVER_HANDLERS_H
#define CZ_SERVER_HANDLERS_H

#include "base/error.h"

struct cz_handlers;

/* A job is embedded in what it works on; its owner keeps it alive until `run` was called. */
struct cz_call_job {
    void (*run)(struct cz_call_job *job);
    struct cz_call_job *next;
};

cloze_status cz_handlers_create(unsigned most_threads, unsigned most_waiting, struct cz_handlers **out,
                            struct cloze_error *error);
/* Runs what is queued, waits for all threads. NULL is fine. */
void cz_handlers_free(struct cz_handlers *pool);
/* false when the queue is full, or no thread could be started at all. */
bool cz_handlers_submit(struct cz_handlers *pool, struct cz_call_job *job);
/* Jobs that wait, and jobs that run. */
void cz_handlers_load(struct cz_handlers *pool, size_t *waiting, size_t *running);

#endif
