/*
 * warm.c - fills a grammar's lazy tables ahead of its first answer, on the thread that asks for it.
 *
 * A few random walks do what a generation does (forced runs, masks, the look at the budget), so
 * that the engine's thread, which all requests share, finds most states known. What is filled
 * changes no answer: tables are functions of the grammar.
 */
#include "base/clock.h"
#include "constraint/matcher_internal.h"
#include "constraint/vocab_internal.h"

enum { WALKS = 6, LONGEST_WALK = 256, LONGEST_NS = 10000000, RUN = 64 };

/* The allowed token of this number, counted around. */
static uint32_t token_at(const struct cz_mask *mask, uint32_t number)
{
    number %= mask->count;
    if (mask->ids)
        return mask->ids[number];
    uint32_t word = 0, bits;
    for (uint32_t before = 0, count;; before += count, word++) {
        bits = mask->words[word];
        count = (uint32_t)__builtin_popcount(bits);
        if (number < before + count) {
            for (number -= before; number; number--)
                bits &= bits - 1;
            return word * 32 + (uint32_t)__builtin_ctz(bits);
        }
    }
}

static void walk(struct cz_matcher *matcher, uint32_t seed, uint64_t deadline)
{
    uint32_t run[RUN];
    uint64_t random = seed;
    for (uint32_t i = 0; i < LONGEST_WALK && !cz_matcher_is_finished(matcher); i++) {
        size_t count = cz_matcher_forced(matcher, run, RUN);
        for (size_t at = 0; at < count; at++)
            cz_matcher_accept(matcher, run[at]);
        if (cz_matcher_is_finished(matcher) || cz_clock_ns() > deadline)
            return;
        cz_matcher_is_near_budget(matcher);
        struct cz_mask mask = cz_matcher_mask(matcher);
        random = random * 6364136223846793005u + 1442695040888963407u;
        if (!mask.count || !cz_matcher_accept(matcher, token_at(&mask, (uint32_t)(random >> 33))))
            return;
    }
}

void cz_grammar_warm(struct cz_grammar *grammar)
{
    static const uint32_t budgets[WALKS] = {200, 40, 20, 10, 4, 0};
    if (atomic_exchange(&cz_grammar_machine(grammar)->warm, true))
        return;
    uint64_t deadline = cz_clock_ns() + LONGEST_NS;
    for (uint32_t i = 0; i < WALKS; i++) {
        struct cz_matcher *matcher;
        if (cz_matcher_create(grammar, &matcher, NULL))
            return;
        if (!cz_matcher_set_budget(matcher, cz_matcher_distance(matcher) + budgets[i], NULL))
            walk(matcher, i, deadline);
        cz_matcher_free(matcher);
    }
}
