/* bytes.h - what the targets of this folder share: a vocabulary of single bytes, and a walk. */
#ifndef CZ_FUZZ_BYTES_H
#define CZ_FUZZ_BYTES_H

#include "constraint/matcher.h"

#include <stdlib.h>

enum { FUZZ_TOKENS = 260, FUZZ_END = 256 };

/* 256 bytes, an end token, and three longer tokens. */
static inline struct cz_vocab *fuzz_vocab(void)
{
    static struct cz_vocab *vocab;
    static char bytes[256];
    struct cz_slice tokens[FUZZ_TOKENS] = {{0}};
    uint32_t end = FUZZ_END;
    if (vocab)
        return vocab;
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        tokens[i] = cz_slice_of(&bytes[i], 1);
    }
    tokens[257] = CZ_SLICE("\": ");
    tokens[258] = CZ_SLICE("true");
    tokens[259] = CZ_SLICE("}, {\"");
    struct cz_vocab_options options = {.count = FUZZ_TOKENS,
                                       .logits_width = FUZZ_TOKENS + 60,
                                       .tokens = tokens,
                                       .end_ids = &end,
                                       .end_count = 1,
                                       .cache_bytes = 1 << 20};
    if (cz_vocab_create(&options, &vocab, NULL))
        abort();
    return vocab;
}

static inline bool fuzz_mask_has(struct cz_mask mask, uint32_t token)
{
    if (mask.words)
        return mask.words[token / 32] >> (token % 32) & 1;
    for (uint32_t i = 0; i < mask.count; i++) {
        if (mask.ids[i] == token)
            return true;
    }
    return false;
}

/* Drives a matcher by bytes: each is a token to try or, above 250, a rollback or a fork. Whatever
 * happens, mask and accept agree and the text follows the tokens. */
static inline void fuzz_walk(struct cz_grammar *grammar, const uint8_t *steps, size_t count)
{
    struct cz_matcher *matcher = NULL;
    if (cz_matcher_create(grammar, &matcher, NULL))
        return;
    for (size_t i = 0; i < count; i++) {
        uint32_t token = steps[i] < 240 ? steps[i] : 240 + steps[i] - 236;
        if (steps[i] >= 251) {
            cz_matcher_rollback(matcher, steps[i] - 250);
            continue;
        }
        if (steps[i] == 250) {
            struct cz_matcher *fork = NULL;
            if (cz_matcher_fork(matcher, &fork, NULL))
                break;
            cz_matcher_free(matcher);
            matcher = fork;
            continue;
        }
        struct cz_mask mask = cz_matcher_mask(matcher);
        bool allowed = fuzz_mask_has(mask, token);
        size_t before = cz_matcher_text(matcher).size;
        if (cz_matcher_validate(matcher, &token, 1) != allowed ||
            cz_matcher_accept(matcher, token) != allowed)
            abort();
        if (!allowed && cz_matcher_text(matcher).size != before)
            abort();
        if (mask.count == 0 && !cz_matcher_is_finished(matcher))
            abort();
    }
    cz_matcher_free(matcher);
}

/* The source up to the first NUL, and the steps behind it. */
static inline int fuzz_grammar(enum cz_grammar_kind kind, const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct cz_grammar_options options = {.kind = kind,
                                         .policy = data[0] & 1 ? CZ_POLICY_ACCEPT
                                                               : CZ_POLICY_GENERATE,
                                         .whitespace = (enum cz_whitespace)(data[0] >> 1 & 3),
                                         .open_objects = data[0] >> 3 & 1,
                                         .lenient = data[0] >> 4 & 1};
    const uint8_t *end = memchr(data + 1, 0, size - 1);
    size_t source = end ? (size_t)(end - data - 1) : size - 1;
    struct cz_grammar *grammar = NULL;
    struct cloze_error error;
    if (cz_grammar_compile(fuzz_vocab(), cz_slice_of(data + 1, source), &options, &grammar,
                           &error) == CLOZE_OK)
        fuzz_walk(grammar, end ? end + 1 : data, end ? size - source - 2 : 0);
    cz_grammar_release(grammar);
    return 0;
}

#endif
