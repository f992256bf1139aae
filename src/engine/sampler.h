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

#endif
