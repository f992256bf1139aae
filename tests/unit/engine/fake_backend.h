/*
 * fake_backend.h - a backend without a model: logits are a function of the tokens that the KV cache
 * holds for the sequence, so a wrong block table, a stale block or a skipped row changes them.
 */
#ifndef CZ_TEST_FAKE_BACKEND_H
#define CZ_TEST_FAKE_BACKEND_H

#include "engine/backend.h"

#include <stdatomic.h>

enum { FAKE_VOCAB = 101, FAKE_CONTEXT = 4096, FAKE_BLOCKS = 256 };

struct fake_backend {
    struct cz_backend base;
    uint32_t kv[FAKE_BLOCKS][CZ_KV_BLOCK]; /* tokens */
    uint32_t rows, largest_step;           /* rows of all steps, and of the largest */
    atomic_uint steps, delay_us;
    atomic_bool fails, broken; /* broken: a row contradicts the contract */
    bool closed;
};

static inline uint64_t fake_hash(uint64_t hash, uint32_t token)
{
    hash = (hash ^ token) * 0x100000001B3u;
    return hash ^ hash >> 29;
}

static inline float fake_logit(uint64_t hash, uint32_t id)
{
    uint64_t mixed = fake_hash(fake_hash(hash, id), 77);
    return (float)(mixed >> 20 & 0xFFFF) / 8192;
}

/* After the tokens 0 .. count - 1. */
static inline void fake_logits(const uint32_t *tokens, uint32_t count, float *logits)
{
    uint64_t hash = 1;
    for (uint32_t i = 0; i < count; i++)
        hash = fake_hash(hash, tokens[i]);
    for (uint32_t id = 0; id < FAKE_VOCAB; id++)
        logits[id] = fake_logit(hash, id);
}

void fake_backend_init(struct fake_backend *fake);

#endif
