/*
 * scheduler.h - many sequences through one backend: continuous batching on one thread.
 *
 * A sequence is a row of tokens, of which the first `computed` are in the KV cache. Everything it
 * may still have to run (a prompt, a forced run, the last sampled token, all of it after a
 * preemption) is tokens[computed .. count): each step takes a piece of that from every running
 * sequence. When a piece reaches the end, the step also yields logits, a token is sampled, and
 * forced tokens are appended behind it. So one rule covers prefill, decoding, forced runs and
 * recomputation.
 *
 * A step's rows: first those of sequences that are answering, then pieces of prompts under a budget
 * that keeps the step's time near that of decoding alone. Sequences run in the order of priority
 * and arrival; when KV blocks run out, the last in that order is preempted and recomputed later.
 * The output of a sequence depends on nothing but itself.
 *
 * Threads: the engine thread owns all fields of a submitted sequence but those marked as shared,
 * which the scheduler's lock guards. It never allocates.
 */
#ifndef CZ_ENGINE_SCHEDULER_H
#define CZ_ENGINE_SCHEDULER_H

#include "engine/cache.h"
#include "engine/engine.h"
#include "engine/sampler.h"

#include <pthread.h>

struct cz_tokenizer;

enum {
    CZ_FORCED_AT_ONCE = 64,
    /* Guesses that run ahead of what is drawn, see draft.c. */
    CZ_DRAFT_GUESSES = 4,      /* of one sequence in one step */
    CZ_DRAFT_IDS = 512,        /* in the masks of those */
    CZ_DRAFTING_SEQUENCES = 8, /* with more, a row costs as much as the pass that it may save */
};

/* The most rows of a step that want logits. */
static inline uint32_t cz_scheduler_logits(uint32_t max_sequences)
{
    return max_sequences + CZ_DRAFTING_SEQUENCES * CZ_DRAFT_GUESSES;
}

enum cz_sequence_state { CZ_SEQUENCE_WAITING, CZ_SEQUENCE_RUNNING, CZ_SEQUENCE_FINISHED };

/* What the consumer sees; guarded by the scheduler's lock. */
struct cz_sequence_progress {
    uint32_t count;        /* tokens that may be read */
    enum cz_finish finish; /* set when the engine has let go of the sequence */
    cloze_status status;
    struct cloze_error error;
    uint32_t cached_tokens, sampled_tokens, passes;
    uint64_t started_ns, first_token_ns, finished_ns; /* cz_clock_ns(), 0: not yet */
};

struct cz_sequence {
    /* Set before submitting; all memory is the submitter's. */
    uint32_t *tokens; /* [prompt_count + max_tokens]: the prompt, then the answer */
    uint32_t prompt_count, max_tokens;
    uint32_t *blocks;           /* [cz_sequence_blocks] */
    struct cz_matcher *matcher; /* NULL: free text; else with its budget set */
    const struct cz_sampling *sampling;
    uint64_t seed;
    uint32_t choice;
    struct cz_token_counts counts; /* with the prompt's tokens; no slots: no penalties */
    struct cz_logprobs *logprobs;  /* [max_tokens] or NULL */
    const struct cz_slice *stops;  /* [stop_count] */
    size_t stop_count;
    char *tail; /* [longest_stop + largest token]: the answer's last bytes */
    size_t longest_stop;
    const struct cz_sequence *after; /* waits until that one's prompt is computed; or NULL */
    uint64_t deadline_ns;            /* 0: none */
    const atomic_bool *cancelled[2]; /* either may be NULL */
    int priority;
    pthread_cond_t *changed; /* signalled with the scheduler's lock held */

    /* Shared */
    struct cz_sequence_progress progress;
    bool wants_tokens; /* signal `changed` for each token, not only at the end */

    /* Engine thread */
    bool prompt_done; /* its prompt has been computed once, or it has ended */
    enum cz_sequence_state state;
    uint64_t arrival;
    uint32_t count, computed;
    uint32_t block_count, published;
    uint32_t resume; /* below this `computed` is recomputing or reading the prompt */
    uint32_t piece;  /* tokens of it in the current step */
    size_t tail_size;
    uint32_t forced[CZ_FORCED_AT_ONCE]; /* certain tokens that are not in the answer yet ... */
    uint32_t forced_at, forced_count;   /* ... are forced[forced_at .. forced_count) */
    bool near;                          /* the next token may be too much for the budget */
    bool limited;    /* the budget has refused a token: from then on it decides, see step.c */
    bool is_certain; /* the mask is of `certain` alone, which waits for its log-probability */
    uint32_t certain;
    struct cz_mask mask; /* of the next token; count 0: not computed yet */
    uint32_t asked;   /* rows of the current step whose logits are wanted */
    uint32_t drafted; /* tokens that its rows are ahead of the answer, and the matcher too */
    uint32_t draft_id_count, draft_ids[CZ_DRAFT_IDS]; /* masks of tokens that were guessed */
    struct cz_sequence_progress mine;
    struct cz_sequence *next;
};

/* KV blocks of a sequence of that many tokens. */
static inline uint32_t cz_sequence_blocks(uint32_t tokens)
{
    return tokens / CZ_KV_BLOCK + (tokens % CZ_KV_BLOCK != 0);
}

struct cz_scheduler_options {
    uint32_t max_sequences, max_queue, max_rows, kv_blocks;
    bool no_prefix_sharing;
    const uint32_t *stop_ids; /* [stop_count] end free text */
    size_t stop_count;
    uint32_t token_count; /* ids from here on are never sampled (padding of the head) */
    const struct cz_tokenizer *tokenizer; /* for stop strings; NULL: none are used */
};

struct cz_scheduler;

/* Takes the backend over in case of success; options' pointers must outlive it. Starts the thread.
 */
cloze_status cz_scheduler_create(struct cz_backend *backend,
                                 const struct cz_scheduler_options *options,
                                 struct cz_scheduler **out, struct cloze_error *error);
/* Cancels what is left and closes the backend. NULL is fine. */
void cz_scheduler_free(struct cz_scheduler *scheduler);

/* Puts the sequences (choices of one request) into the queue: all or none; CLOZE_BUSY when full. */
cloze_status cz_scheduler_submit(struct cz_scheduler *scheduler, struct cz_sequence *const *list,
                                 uint32_t count, struct cloze_error *error);
void cz_scheduler_stats(struct cz_scheduler *scheduler, struct cz_engine_stats *stats);

void cz_scheduler_lock(struct cz_scheduler *scheduler);
void cz_scheduler_unlock(struct cz_scheduler *scheduler);
void cz_scheduler_wait(struct cz_scheduler *scheduler, pthread_cond_t *changed); /* lock held */

#endif
