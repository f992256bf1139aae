/* handlers.c - handler threads. */
#include "server/handlers.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

enum { STACK_SIZE = 4 << 20 }; /* reserved address space; pages come when touched */

struct cz_handlers {
    pthread_mutex_t mutex;
    pthread_cond_t work;
    struct cz_call_job *first, **end;
    pthread_t *threads; /* [most_threads] */
    size_t thread_count, running, waiting;
    size_t most_threads, most_waiting;
    bool stopping;
};

static void *thread_main(void *context)
{
    struct cz_handlers *pool = context;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (!pool->first && !pool->stopping)
            pthread_cond_wait(&pool->work, &pool->mutex);
        struct cz_call_job *job = pool->first;
        if (!job)
            break;
        pool->first = job->next;
        if (!pool->first)
            pool->end = &pool->first;
        pool->waiting--;
        pool->running++;
        pthread_mutex_unlock(&pool->mutex);
        job->run(job);
        pthread_mutex_lock(&pool->mutex);
        pool->running--;
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

cloze_status cz_handlers_create(unsigned most_threads, unsigned most_waiting, struct cz_handlers **out,
                            struct cloze_error *error)
{
    struct cz_handlers *pool = calloc(1, sizeof *pool);
    *out = NULL;
    if (pool)
        pool->threads = calloc(most_threads, sizeof *pool->threads);
    if (!pool || !pool->threads) {
        free(pool);
        return cz_fail_memory(error, "handler threads");
    }
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);
    pool->end = &pool->first;
    pool->most_threads = most_threads;
    pool->most_waiting = most_waiting;
    *out = pool;
    return CLOZE_OK;
}

/* With the mutex held. Signals stay with the main thread. */
static void start_thread(struct cz_handlers *pool)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&pool->threads[pool->thread_count], &attributes, thread_main, pool) == 0)
        pool->thread_count++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

bool cz_handlers_submit(struct cz_handlers *pool, struct cz_call_job *job)
{
    pthread_mutex_lock(&pool->mutex);
    size_t jobs = pool->running + pool->waiting;
    if (jobs >= pool->thread_count && pool->thread_count < pool->most_threads)
        start_thread(pool);
    bool taken = pool->thread_count > 0 && jobs < pool->most_threads + pool->most_waiting;
    if (taken) {
        job->next = NULL;
        *pool->end = job;
        pool->end = &job->next;
        pool->waiting++;
        pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->mutex);
    return taken;
}

void cz_handlers_load(struct cz_handlers *pool, size_t *waiting, size_t *running)
{
    pthread_mutex_lock(&pool->mutex);
    *waiting = pool->waiting;
    *running = pool->running;
    pthread_mutex_unlock(&pool->mutex);
}

void cz_handlers_free(struct cz_handlers *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->mutex);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    for (size_t i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_mutex_destroy(&pool->mutex);
    pthread_cond_destroy(&pool->work);
    free(pool->threads);
    free(pool);
}
