/* scheduler_private.h - the scheduler's own state, for scheduler.c and step.c. */
#ifndef CZ_ENGINE_SCHEDULER_PRIVATE_H
#define CZ_ENGINE_SCHEDULER_PRIVATE_H

#include "engine/scheduler.h"

struct cz_scheduler {
    struct cz_scheduler_options options;
    struct cz_backend *backend;
    struct cz_backend_info info;
    pthread_t thread;

    pthread_mutex_t lock; /* guards this group and the shared parts of sequences */
    pthread_cond_t work;  /* something was submitted, or the end has come */
    struct cz_sequence *incoming, **incoming_end;
    uint32_t incoming_count;
    uint64_t arrivals;
    atomic_bool stopping; /* the engine thread reads it without the lock */
    struct cz_engine_stats stats;

    /* Engine thread */
    struct cz_cache cache;
    struct cz_sampler sampler;
    struct cz_sequence *waiting, *last_waiting; /* by priority, then arrival */
    uint32_t waiting_count;
    struct cz_sequence **running; /* [running_count] in the same order */
    uint32_t running_count;
    uint32_t turn; /* whose prompt goes first in the next step */

    /* The step at work; sequence i of it is running[i] */
    struct cz_step_sequence *step_sequences; /* [max_sequences] */
    struct cz_step_row *rows;                /* [max_rows] */
    struct cz_step_logits *step_logits;      /* [cz_scheduler_logits] */
    struct cz_sequence **sampled;            /* whose logits those are */
    float *logits;                           /* [cz_scheduler_logits][vocab] */
    uint32_t row_count, logits_count;
    uint32_t prompt_rows; /* of row_count */
    uint32_t spare_rows;  /* that the plan leaves, for guesses */

    /* Moving averages: a step without prompt rows, and what one prompt row adds. 0: unknown. */
    double decode_ns, row_ns;

    uint64_t prompt_tokens, cached_tokens, completion_tokens, sampled_tokens;
    uint64_t steps, rows_run, preemptions;
    uint64_t step_ns, constraint_ns;
};

/* One forward pass over the running sequences, of which there is at least one. */
void cz_scheduler_step(struct cz_scheduler *scheduler);

/* Shows the consumer where a sequence stands. When it has finished, the sequence is not the
 * engine's any more. */
void cz_sequence_publish(struct cz_scheduler *scheduler, struct cz_sequence *sequence);
/* Takes it out of the running ones and gives its blocks back; cz_sequence_publish follows. */
void cz_sequence_finish(struct cz_scheduler *scheduler, struct cz_sequence *sequence,
                        enum cz_finish finish);
void cz_sequence_fail(struct cz_scheduler *scheduler, struct cz_sequence *sequence,
                      const struct cloze_error *error);
/* Appends what the grammar leaves no choice about; may finish the sequence. */
void cz_sequence_force(struct cz_scheduler *scheduler, struct cz_sequence *sequence);
/* Takes a running one's blocks and puts it back into the queue. */
void cz_sequence_preempt(struct cz_scheduler *scheduler, struct cz_sequence *sequence);

/* The logits behind the last row that was added: of the ids that the mask allows, or of all. */
void cz_ask_logits(struct cz_scheduler *scheduler, struct cz_sequence *sequence,
                   struct cz_mask mask);
uint32_t cz_mask_first(const struct cz_mask *mask); /* the lowest id */
/* One token is left, or all that are left end the answer: which of those makes no difference. */
bool cz_leaves_no_choice(const struct cz_scheduler *scheduler, const struct cz_mask *mask);

/* ---- draft.c ---- */

/* Adds rows of guesses behind the sequence's last row, whose logits have been asked for. `index` is the
 * sequence's in the step. */
void cz_sequence_draft(struct cz_scheduler *scheduler, struct cz_sequence *sequence,
                       uint32_t index);
/* After the step: the matcher is where the answer is again. */
void cz_sequence_end_draft(struct cz_sequence *sequence);
/* Whether all of the answer that isn't computed yet was, by the drafted rows up to `row`. */
bool cz_sequence_went_as_drafted(const struct cz_scheduler *scheduler,
                                 const struct cz_sequence *sequence, uint32_t row);

#endif
