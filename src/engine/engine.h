/*
 * engine.h - one loaded model: text in, text out, many requests at once.
 *
 * An engine owns the model's backend, tokenizer, chat template and vocabulary, and one thread that
 * runs all requests together (scheduler.h). Requests are prepared on the caller's thread: template,
 * tokenizer and constraint compiler run there, so a bad request fails before it reaches the queue
 * and thousands of queued ones cost memory only.
 *
 * All functions may be called from any thread; a struct cz_generation belongs to one thread at a
 * time, but for cz_generation_cancel.
 */
#ifndef CZ_ENGINE_ENGINE_H
#define CZ_ENGINE_ENGINE_H

#include "constraint/grammar.h"
#include "engine/backend.h"
#include "engine/sampler.h"
#include "json/json.h"

#include <stdatomic.h>

/* Limits and defaults. */
enum {
    CZ_ENGINE_MAX_TOKENS = 1024,   /* of an answer, when the request doesn't say */
    CZ_ENGINE_MAX_CHOICES = 128,   /* of one request */
    CZ_ENGINE_MAX_STOPS = 64,      /* stop strings of one request */
    CZ_ENGINE_LARGEST_STOP = 1024, /* bytes of one */
    CZ_ENGINE_SEQUENCES = 64,      /* running together, unless options say otherwise */
    CZ_ENGINE_QUEUE = 4096,        /* waiting */
    CZ_ENGINE_KV_POSITIONS = 8192, /* tokens that the KV cache holds, unless options say */
    CZ_ENGINE_LARGEST_KV = 1 << 28,
    CZ_ENGINE_STEP_ROWS = 256 /* rows of one forward pass */
};

struct cz_engine;

struct cz_engine_options {
    const char *cache_folder; /* where packed weights are kept */
    uint32_t threads;         /* 0: what affinity and cgroup allow */
    uint64_t kv_positions;    /* budget of the KV cache, in tokens of all sequences together;
                                 0: CZ_ENGINE_KV_POSITIONS */
    uint64_t kv_bytes; /* the same budget in bytes, instead of kv_positions; 0: not given */
    enum cz_kv_type kv_type;
    enum cz_quantize quantize; /* of the weights, when they are packed */
    uint32_t max_sequences; /* running together; 0: CZ_ENGINE_SEQUENCES */
    uint32_t max_queue;     /* waiting; 0: CZ_ENGINE_QUEUE */
    bool no_prefix_sharing;
};

/* Opens the model at `source` (a file or folder that cz_model_open takes) with the CPU backend and
 * starts the engine's thread. `options` may be NULL but for cache_folder. */
cloze_status cz_engine_open(const char *source, const struct cz_engine_options *options,
                            struct cz_engine **out, struct cloze_error *error);
/* Cancels what runs; generations must be closed before. NULL is fine. */
void cz_engine_close(struct cz_engine *engine);

struct cz_engine_info {
    const char *name; /* the model's, "" when unknown */
    const char *architecture;
    struct cz_backend_info backend;
    bool has_chat_template;
    uint64_t kv_positions;
};
void cz_engine_info(const struct cz_engine *engine, struct cz_engine_info *info);

/* Fills `sampling` with what the model's files recommend; greedy where they say nothing. */
void cz_engine_sampling(const struct cz_engine *engine, struct cz_sampling *sampling);

struct cz_engine_stats {
    uint64_t prompt_tokens, cached_tokens;      /* cached: found in the KV cache */
    uint64_t completion_tokens, sampled_tokens; /* sampled: not forced */
    uint64_t steps, rows;                       /* forward passes and their rows */
    uint64_t step_ns, constraint_ns; /* of the engine's thread: in those, and in masks, acceptance and
                                        forced runs between them */
    uint64_t requests, preemptions;
    uint32_t running, waiting;
    uint32_t kv_blocks, kv_blocks_used; /* used: by running requests */
};
void cz_engine_stats(struct cz_engine *engine, struct cz_engine_stats *stats);

struct cz_tokenizer;
const struct cz_tokenizer *cz_engine_tokenizer(const struct cz_engine *engine);
/* The vocabulary that constraints are compiled for. */
struct cz_vocab *cz_engine_vocab(const struct cz_engine *engine);

/* ---- Requests ---- */

enum cz_finish {
    CZ_FINISH_NONE,
    CZ_FINISH_STOP,   /* the answer is complete, or a stop string came */
    CZ_FINISH_LENGTH, /* max_tokens ended it (a constrained answer is complete all the same) */
    CZ_FINISH_ERROR   /* see cz_generation_status */
};
const char *cz_finish_name(enum cz_finish finish); /* "stop", "length", "error" */

/* What an answer has to fit. Zero: free text. */
struct cz_constraint {
    bool set;
    struct cz_grammar_options options;
    struct cz_slice source;
};
/* The constraint that one of the names "int", "float", "bool", "date", ... stands for. */
cloze_status cz_constraint_of_type(struct cz_slice name, struct cz_constraint *out,
                                   struct cloze_error *error);

struct cz_request {
    /* The prompt: `messages` (a JSON array, as chat templates take it) or else `prompt`, a user's
     * message with an optional system message; through the model's chat template when it has one
     * and `raw` is not set. Raw: the model's input as it is, special tokens recognised nowhere. */
    struct cz_slice prompt, system;
    const struct cz_json *messages;
    const struct cz_json
        *template_arguments; /* an object: more variables of the template; or NULL */
    bool raw;

    struct cz_constraint constraint;
    struct cz_sampling sampling;
    uint32_t max_tokens; /* 0: the smaller of CZ_ENGINE_MAX_TOKENS and what the context has left */
    uint32_t choices;    /* answers from one prompt; 0: 1 */
    const struct cz_slice *stops; /* [stop_count] not with a constraint */
    size_t stop_count;

    uint64_t deadline_ns;         /* cz_clock_ns(); 0: none */
    const atomic_bool *cancelled; /* watched between steps; may be NULL */
    int priority;                 /* higher goes first; 0 is usual */
};

struct cz_generation;

/* Prepares the request and puts it into the queue; CLOZE_BUSY when that is full. Everything is
 * copied. A constraint's error has its place in error->where. */
cloze_status cz_engine_submit(struct cz_engine *engine, const struct cz_request *request,
                              struct cz_generation **out, struct cloze_error *error);

/* A piece of an answer: whole UTF-8 characters, nothing that a stop string could still take back.
 * `text` is valid until the next call. */
struct cz_delta {
    uint32_t choice;
    struct cz_slice text;
    enum cz_finish finish; /* set with the last piece of the choice, whose text may be empty */
};
/* Waits for the next piece of any choice; false when all choices have finished. */
bool cz_generation_next(struct cz_generation *generation, struct cz_delta *delta);
/* Waits for the end and appends the text of choice 0. CLOZE_TIMEOUT after the deadline,
 * CLOZE_CANCELLED, or what the backend failed with. */
cloze_status cz_generation_finish(struct cz_generation *generation, struct cz_buffer *text,
                                  enum cz_finish *finish, struct cloze_error *error);
/* CLOZE_OK until it has failed. */
cloze_status cz_generation_status(const struct cz_generation *generation,
                                  struct cloze_error *error);
void cz_generation_cancel(struct cz_generation *generation); /* from any thread */
/* Cancels what still runs, waits until the engine has let go, and frees. NULL is fine. */
void cz_generation_close(struct cz_generation *generation);

struct cz_usage {
    uint32_t prompt_tokens, cached_tokens;
    uint32_t completion_tokens; /* of all choices, end tokens included */
    uint32_t sampled_tokens;
    uint32_t passes;         /* forward passes that held a row of this request */
    uint64_t queued_ns;      /* from submitting to the first pass */
    uint64_t first_token_ns; /* from submitting to the first token; 0: none came */
    uint64_t total_ns;
    uint64_t seed; /* what was used */
};
void cz_generation_usage(const struct cz_generation *generation, struct cz_usage *usage);

/* The tokens of a choice and, when the request asked for them, their log-probabilities. Valid until
 * the next call of cz_generation_next. */
const uint32_t *cz_generation_tokens(const struct cz_generation *generation, uint32_t choice,
                                     uint32_t *count);
const struct cz_logprobs *cz_generation_logprobs(const struct cz_generation *generation,
                                                 uint32_t choice, uint32_t *count);

#endif
