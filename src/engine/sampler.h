/*
 * sampler.h - from logits to a token.
 *
 * Works on the logits of the allowed tokens only, in ascending id order; never sorts the vocabulary
 * and never allocates. The steps, in the order of Hugging Face transformers: penalties and bias,
 * temperature, top-k, top-p, min-p, typical; each keeps at least one token. The random number is a
 * function of (seed, choice, position), so the same request gives the same tokens however it is
 * run.
 */
#ifndef CZ_ENGINE_SAMPLER_H
#define CZ_ENGINE_SAMPLER_H

#include "base/error.h"
#include "constraint/matcher.h"

struct cz_kernels;

enum { CZ_SAMPLER_MOST_BIASES = 1024, CZ_LOGPROBS_MOST = 20 };

struct cz_logit_bias {
    uint32_t id;
    float bias;
};

/* Zero stands for "not used" in every member, so that a zeroed struct is greedy decoding. */
struct cz_sampling {
    double temperature; /* 0: the most probable token, the lowest id on a tie */
    uint32_t top_k;
    double top_p, min_p, typical_p; /* in (0, 1) */
    double repetition_penalty;      /* divides positive and multiplies negative logits of tokens
                                       that prompt or answer hold; 1 and 0: none */
    double presence_penalty, frequency_penalty; /* subtracted for tokens of the answer */
    const struct cz_logit_bias *biases;
    uint32_t bias_count;
    bool has_seed;
    uint64_t seed;
    uint32_t logprobs;     /* 1 + the number of alternatives wanted; 0: none */
    bool logprobs_are_raw; /* of the model's whole distribution, not of the masked one */
};

/* The log-probability of a token and of the most probable ones at its position. */
struct cz_logprobs {
    uint32_t id;
    float logprob;
    uint32_t count;
    struct {
        uint32_t id;
        float logprob;
    } top[CZ_LOGPROBS_MOST]; /* by falling probability */
};

/* CLOZE_INVALID, naming the member that is out of range. */
cloze_status cz_sampling_check(const struct cz_sampling *sampling, struct cloze_error *error);

/* ---- Token counts, for penalties ---- */

/* How often each token occurs, in an open-addressing table that never grows. */
struct cz_token_counts {
    struct cz_token_count {
        uint32_t id;
        uint32_t in_answer;
        bool used;
    } * slots;
    uint32_t capacity; /* a power of two */
};

/* Room for `tokens` tokens; freed with cz_token_counts_free. */
cloze_status cz_token_counts_init(struct cz_token_counts *counts, uint32_t tokens,
                                  struct cloze_error *error);
void cz_token_counts_add(struct cz_token_counts *counts, uint32_t id, bool in_answer);
void cz_token_counts_free(struct cz_token_counts *counts);
bool cz_sampling_needs_counts(const struct cz_sampling *sampling);

/* ---- One draw ---- */

/* Memory of a sampler, for one thread; `width` is the largest number of logits. */
struct cz_sampler {
    const struct cz_kernels *kernels;
    uint32_t width;
    float *weights;     /* [width] */
    uint32_t *selected; /* [width] */
    float *original;    /* [width] logits before penalties, for log-probabilities */
    uint32_t *ranks;    /* [width / 32 + 1] of dense masks: allowed ids before each word */
};

cloze_status cz_sampler_create(uint32_t width, struct cz_sampler *sampler,
                               struct cloze_error *error);
void cz_sampler_free(struct cz_sampler *sampler);

/* What to draw from. Logits are those of the mask's ids, in ascending order, or, with `full`, of
 * all ids of the vocabulary; they are overwritten. A mask without ids and words allows all ids
 * below its count. */
struct cz_draw {
    float *logits;
    struct cz_mask mask;
    bool full;
    uint32_t full_count;                  /* ids that raw log-probabilities look at */
    const struct cz_token_counts *counts; /* NULL: no penalties */
    uint64_t seed;
    uint32_t choice, position; /* position: tokens of the answer before this one */
};

/* CLOZE_CORRUPT when no logit is a number. `logprobs` may be NULL. No malloc. */
cloze_status cz_sample(struct cz_sampler *sampler, const struct cz_sampling *sampling,
                       const struct cz_draw *draw, uint32_t *id, struct cz_logprobs *logprobs,
                       struct cloze_error *error);

/* Uniform in [0, 1), a function of its arguments alone. */
double cz_random_unit(uint64_t seed, uint32_t choice, uint32_t position);

#endif
