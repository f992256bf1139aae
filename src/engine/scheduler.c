/*
 * scheduler.c - the queue, admission, preemption and the engine thread. step.c plans and absorbs
 * the forward passes.
 */
#include "engine/scheduler_private.h"

#include "base/clock.h"
#include "base/log.h"

#include <signal.h>
#include <stdlib.h>

/* ---- The lock ---- */

void cz_scheduler_lock(struct cz_scheduler *scheduler)
{
    pthread_mutex_lock(&scheduler->lock);
}

void cz_scheduler_unlock(struct cz_scheduler *scheduler)
{
    pthread_mutex_unlock(&scheduler->lock);
}

void cz_scheduler_wait(struct cz_scheduler *scheduler, pthread_cond_t *changed)
{
    pthread_cond_wait(changed, &scheduler->lock);
}

/* ---- Sequences ---- */

/* The lock is held. */
static void copy_stats(struct cz_scheduler *scheduler)
{
    struct cz_engine_stats *stats = &scheduler->stats;
    stats->prompt_tokens = scheduler->prompt_tokens;
    stats->cached_tokens = scheduler->cached_tokens;
    stats->completion_tokens = scheduler->completion_tokens;
    stats->sampled_tokens = scheduler->sampled_tokens;
    stats->steps = scheduler->steps;
    stats->rows = scheduler->rows_run;
    stats->preemptions = scheduler->preemptions;
    stats->step_ns = scheduler->step_ns;
    stats->constraint_ns = scheduler->constraint_ns;
    stats->running = scheduler->running_count;
    stats->waiting = scheduler->waiting_count;
    stats->kv_blocks_used = scheduler->cache.used;
}

void cz_sequence_publish(struct cz_scheduler *scheduler, struct cz_sequence *sequence)
{
    cz_scheduler_lock(scheduler);
    bool finished = sequence->mine.finish != CZ_FINISH_NONE;
    sequence->mine.count = sequence->count;
    sequence->progress = sequence->mine;
    if (finished)
        copy_stats(scheduler); /* who waits for the end finds it counted */
    if (finished || sequence->wants_tokens)
        pthread_cond_broadcast(sequence->changed);
    cz_scheduler_unlock(scheduler);
}

/* The deepest block first: see cache.h. */
static void release_blocks(struct cz_scheduler *scheduler, struct cz_sequence *sequence)
{
    while (sequence->block_count)
        cz_cache_release(&scheduler->cache, sequence->blocks[--sequence->block_count]);
    sequence->computed = sequence->published = 0;
}

static void leave_running(struct cz_scheduler *scheduler, const struct cz_sequence *sequence)
{
    uint32_t at = 0;
    while (scheduler->running[at] != sequence)
        at++;
    for (scheduler->running_count--; at < scheduler->running_count; at++)
        scheduler->running[at] = scheduler->running[at + 1];
}

void cz_sequence_finish(struct cz_scheduler *scheduler, struct cz_sequence *sequence,
                        enum cz_finish finish)
{
    if (sequence->state == CZ_SEQUENCE_RUNNING)
        leave_running(scheduler, sequence);
    release_blocks(scheduler, sequence);
    sequence->state = CZ_SEQUENCE_FINISHED;
    sequence->prompt_done = true; /* nobody waits for it in vain */
    sequence->mine.finish = finish;
    sequence->mine.finished_ns = cz_clock_ns();
}

void cz_sequence_fail(struct cz_scheduler *scheduler, struct cz_sequence *sequence,
                      const struct cloze_error *error)
{
    sequence->mine.status = error->code;
    sequence->mine.error = *error;
    cz_sequence_finish(scheduler, sequence, CZ_FINISH_ERROR);
}

/* Before another in the order of priority and arrival. */
static bool goes_before(const struct cz_sequence *a, const struct cz_sequence *b)
{
    return a->priority != b->priority ? a->priority > b->priority : a->arrival < b->arrival;
}

/* New requests come last, so the walk is usually from the last known place; a preempted one goes
 * near the front. */
static void enter_waiting(struct cz_scheduler *scheduler, struct cz_sequence *sequence)
{
    struct cz_sequence **link = &scheduler->waiting;
    if (scheduler->last_waiting && goes_before(scheduler->last_waiting, sequence))
        link = &scheduler->last_waiting->next;
    while (*link && goes_before(*link, sequence))
        link = &(*link)->next;
    sequence->state = CZ_SEQUENCE_WAITING;
    sequence->next = *link;
    *link = sequence;
    if (!sequence->next)
        scheduler->last_waiting = sequence;
    scheduler->waiting_count++;
}

/* Takes *link out of the waiting list; `previous` stands before it, or is NULL. */
static struct cz_sequence *leave_waiting(struct cz_scheduler *scheduler, struct cz_sequence **link,
                                         struct cz_sequence *previous)
{
    struct cz_sequence *sequence = *link;
    *link = sequence->next;
    if (scheduler->last_waiting == sequence)
        scheduler->last_waiting = previous;
    scheduler->waiting_count--;
    return sequence;
}

void cz_sequence_preempt(struct cz_scheduler *scheduler, struct cz_sequence *sequence)
{
    leave_running(scheduler, sequence);
    release_blocks(scheduler, sequence);
    sequence->piece = 0;
    scheduler->preemptions++;
    enter_waiting(scheduler, sequence);
}

/* ---- Admission ---- */

static void enter_running(struct cz_scheduler *scheduler, struct cz_sequence *sequence)
{
    uint32_t at = scheduler->running_count++;
    for (; at > 0 && goes_before(sequence, scheduler->running[at - 1]); at--)
        scheduler->running[at] = scheduler->running[at - 1];
    scheduler->running[at] = sequence;
    sequence->state = CZ_SEQUENCE_RUNNING;
    sequence->resume = sequence->count;
}

/* What has to be done once: an answer may begin with forced tokens, which then go through the model
 * together with the prompt. */
static void start(struct cz_scheduler *scheduler, struct cz_sequence *sequence)
{
    sequence->mine.started_ns = cz_clock_ns();
    sequence->mine.cached_tokens = sequence->computed;
    scheduler->cached_tokens += sequence->computed;
    scheduler->prompt_tokens += sequence->prompt_count;
    cz_sequence_force(scheduler, sequence);
    sequence->resume = sequence->count;
    cz_sequence_publish(scheduler, sequence);
}

/* Whether its tokens, the next block of each that runs and one of its own would fit. Takes what the
 * cache holds of it; the last token is always run, for its logits. */
static bool fits(struct cz_scheduler *scheduler, struct cz_sequence *sequence)
{
    struct cz_cache *cache = &scheduler->cache;
    uint32_t matched =
        cz_cache_match(cache, sequence->tokens, sequence->count - 1, sequence->blocks);
    uint32_t needed = cz_sequence_blocks(sequence->count) - matched;
    uint32_t spare = scheduler->running_count ? scheduler->running_count + 1 : 0;
    sequence->block_count = sequence->published = matched;
    sequence->computed = matched * CZ_KV_BLOCK;
    if (cache->count - cache->used >= needed + spare)
        return true;
    release_blocks(scheduler, sequence);
    return false;
}

/* The prompt's last, unfinished block, copied from the choice that computed it: only the last token
 * is left to be run, for its logits. What that choice wrote behind the prompt is overwritten. */
static void copy_tail(struct cz_scheduler *scheduler, struct cz_sequence *sequence)
{
    const struct cz_sequence *first = sequence->after;
    uint32_t at = sequence->block_count, last = sequence->prompt_count - 1;
    if (scheduler->options.no_prefix_sharing || !first || first->state != CZ_SEQUENCE_RUNNING ||
        first->computed < sequence->prompt_count || at != last / CZ_KV_BLOCK ||
        last % CZ_KV_BLOCK == 0 || !cz_cache_take(&scheduler->cache, &sequence->blocks[at]))
        return;
    scheduler->backend->functions->copy_block(scheduler->backend, first->blocks[at],
                                              sequence->blocks[at]);
    sequence->block_count++;
    sequence->computed = last;
}

static void admit(struct cz_scheduler *scheduler)
{
    struct cz_sequence **link = &scheduler->waiting, *previous = NULL;
    while (*link && scheduler->running_count < scheduler->options.max_sequences) {
        struct cz_sequence *sequence = *link;
        if (sequence->after && !sequence->after->prompt_done) {
            previous = sequence;
            link = &sequence->next;
            continue;
        }
        if (!fits(scheduler, sequence))
            break; /* nobody overtakes: the large must not starve */
        leave_waiting(scheduler, link, previous);
        enter_running(scheduler, sequence);
        if (!sequence->mine.started_ns) {
            copy_tail(scheduler, sequence);
            start(scheduler, sequence);
        }
    }
}

/* ---- Ends that come from outside ---- */

static bool is_cancelled(const struct cz_sequence *sequence)
{
    for (unsigned i = 0; i < 2; i++) {
        if (sequence->cancelled[i] &&
            atomic_load_explicit(sequence->cancelled[i], memory_order_relaxed))
            return true;
    }
    return false;
}

/* Ends a sequence that was cancelled or is late; false when it goes on. */
static bool is_over(struct cz_scheduler *scheduler, struct cz_sequence *sequence, uint64_t now)
{
    struct cloze_error error;
    if (atomic_load(&scheduler->stopping) || is_cancelled(sequence))
        cz_fail(&error, CLOZE_CANCELLED, NULL, "the request was cancelled");
    else if (sequence->deadline_ns && now >= sequence->deadline_ns)
        cz_fail(&error, CLOZE_TIMEOUT, NULL, "the request's time is over");
    else
        return false;
    cz_sequence_fail(scheduler, sequence, &error);
    return true;
}

static void drop_waiting(struct cz_scheduler *scheduler, uint64_t now)
{
    struct cz_sequence **link = &scheduler->waiting, *previous = NULL;
    while (*link) {
        struct cz_sequence *sequence = *link;
        if (!is_over(scheduler, sequence, now)) {
            previous = sequence;
            link = &sequence->next;
            continue;
        }
        leave_waiting(scheduler, link, previous);
        cz_sequence_publish(scheduler, sequence);
    }
}

static void drop_running(struct cz_scheduler *scheduler, uint64_t now)
{
    for (uint32_t i = scheduler->running_count; i-- > 0;) {
        struct cz_sequence *sequence = scheduler->running[i];
        if (is_over(scheduler, sequence, now)) {
            cz_sequence_publish(scheduler, sequence);
        }
    }
}

/* ---- The queue ---- */

cloze_status cz_scheduler_submit(struct cz_scheduler *scheduler, struct cz_sequence *const *list,
                                 uint32_t count, struct cloze_error *error)
{
    cz_scheduler_lock(scheduler);
    cloze_status status = CLOZE_OK;
    if (scheduler->stopping)
        status = cz_fail(error, CLOZE_CANCELLED, NULL, "the engine is closing");
    else if (scheduler->stats.waiting + scheduler->incoming_count + count >
             scheduler->options.max_queue)
        status = cz_fail(error, CLOZE_BUSY, NULL, "%u requests are waiting: the queue is full",
                         scheduler->stats.waiting + scheduler->incoming_count);
    for (uint32_t i = 0; i < count && !status; i++) {
        list[i]->arrival = scheduler->arrivals++;
        list[i]->count = list[i]->prompt_count;
        list[i]->next = NULL;
        *scheduler->incoming_end = list[i];
        scheduler->incoming_end = &list[i]->next;
        scheduler->incoming_count++;
    }
    scheduler->stats.requests += status ? 0 : 1;
    pthread_cond_signal(&scheduler->work);
    cz_scheduler_unlock(scheduler);
    return status;
}

/* Moves what was submitted to the waiting list; sleeps while there is nothing to do. False when the
 * scheduler stops and nothing is left. */
static bool take_incoming(struct cz_scheduler *scheduler)
{
    cz_scheduler_lock(scheduler);
    copy_stats(scheduler);
    while (!scheduler->incoming && !scheduler->stopping && !scheduler->waiting &&
           !scheduler->running_count)
        pthread_cond_wait(&scheduler->work, &scheduler->lock);
    struct cz_sequence *list = scheduler->incoming;
    scheduler->incoming = NULL;
    scheduler->incoming_end = &scheduler->incoming;
    scheduler->stats.waiting += scheduler->incoming_count;
    scheduler->incoming_count = 0;
    bool stopping = scheduler->stopping;
    cz_scheduler_unlock(scheduler);
    while (list) {
        struct cz_sequence *next = list->next;
        enter_waiting(scheduler, list);
        list = next;
    }
    return !stopping || scheduler->waiting || scheduler->running_count;
}

void cz_scheduler_stats(struct cz_scheduler *scheduler, struct cz_engine_stats *stats)
{
    cz_scheduler_lock(scheduler);
    *stats = scheduler->stats;
    stats->waiting += scheduler->incoming_count;
    cz_scheduler_unlock(scheduler);
}

static void *engine_thread(void *context)
{
    struct cz_scheduler *scheduler = context;
    while (take_incoming(scheduler)) {
        uint64_t now = cz_clock_ns();
        drop_waiting(scheduler, now);
        drop_running(scheduler, now);
        admit(scheduler);
        if (scheduler->running_count)
            cz_scheduler_step(scheduler);
    }
    return NULL;
}

/* ---- Life ---- */

static cloze_status allocate(struct cz_scheduler *scheduler, struct cloze_error *error)
{
    const struct cz_scheduler_options *options = &scheduler->options;
    uint32_t most = options->max_sequences, logits = cz_scheduler_logits(most);
    scheduler->running = calloc(most, sizeof(struct cz_sequence *));
    scheduler->step_sequences = calloc(most, sizeof *scheduler->step_sequences);
    scheduler->step_logits = calloc(logits, sizeof *scheduler->step_logits);
    scheduler->sampled = calloc(logits, sizeof(struct cz_sequence *));
    scheduler->rows = calloc(options->max_rows, sizeof *scheduler->rows);
    scheduler->logits = calloc((size_t)logits * scheduler->info.vocab, sizeof *scheduler->logits);
    if (!scheduler->running || !scheduler->step_sequences || !scheduler->step_logits ||
        !scheduler->sampled || !scheduler->rows || !scheduler->logits)
        return cz_fail_memory(error, "scheduler");
    cloze_status status = cz_sampler_create(scheduler->info.vocab, &scheduler->sampler, error);
    return status ? status
                  : cz_cache_create(options->kv_blocks, !options->no_prefix_sharing,
                                    &scheduler->cache, error);
}

static void free_memory(struct cz_scheduler *scheduler)
{
    cz_cache_free(&scheduler->cache);
    cz_sampler_free(&scheduler->sampler);
    free(scheduler->running);
    free(scheduler->step_sequences);
    free(scheduler->step_logits);
    free(scheduler->sampled);
    free(scheduler->rows);
    free(scheduler->logits);
    pthread_cond_destroy(&scheduler->work);
    pthread_mutex_destroy(&scheduler->lock);
    free(scheduler);
}

/* Signals are for the program's own threads. */
static int start_thread(struct cz_scheduler *scheduler)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int number = pthread_create(&scheduler->thread, NULL, engine_thread, scheduler);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return number;
}

cloze_status cz_scheduler_create(struct cz_backend *backend,
                                 const struct cz_scheduler_options *options,
                                 struct cz_scheduler **out, struct cloze_error *error)
{
    struct cz_scheduler *scheduler = calloc(1, sizeof *scheduler);
    if (!scheduler)
        return cz_fail_memory(error, "scheduler");
    scheduler->options = *options;
    scheduler->backend = backend;
    scheduler->incoming_end = &scheduler->incoming;
    pthread_mutex_init(&scheduler->lock, NULL);
    pthread_cond_init(&scheduler->work, NULL);
    backend->functions->info(backend, &scheduler->info);
    scheduler->stats.kv_blocks = options->kv_blocks;
    cloze_status status = allocate(scheduler, error);
    if (!status && start_thread(scheduler))
        status = cz_fail(error, CLOZE_MEMORY, "scheduler", "cannot start the engine's thread");
    if (status)
        free_memory(scheduler);
    else
        *out = scheduler;
    return status;
}

void cz_scheduler_free(struct cz_scheduler *scheduler)
{
    if (!scheduler)
        return;
    cz_scheduler_lock(scheduler);
    scheduler->stopping = true;
    pthread_cond_signal(&scheduler->work);
    cz_scheduler_unlock(scheduler);
    pthread_join(scheduler->thread, NULL);
    scheduler->backend->functions->close(scheduler->backend);
    free_memory(scheduler);
}
