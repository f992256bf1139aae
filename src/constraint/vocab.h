/*
 * vocab.h - the token vocabulary that masks are computed over: one per tokenizer, immutable, shared.
 */
#ifndef CZ_CONSTRAINT_VOCAB_H
#define CZ_CONSTRAINT_VOCAB_H

#include "base/slice.h"

/* The tokenizer's own encoding of `text` (plain text in mid-sentence: no specials added, nothing put
 * before it): writes at most `capacity` ids and returns how many there are. Called from any thread. */
typedef size_t cz_encode_function(void *context, struct cz_slice text, uint32_t *ids,
                                  size_t capacity);

struct cz_vocab_options {
    uint32_t count;                 /* ids are 0 .. count - 1 */
    uint32_t logits_width;          /* >= count: rows of the head; masks are this wide */
    const struct cz_slice *tokens;  /* [count] exact bytes; empty: never allowed. Copied. */
    const struct cz_slice *names;   /* [count] or NULL: texts that grammars may name special tokens
                                       by ("<|im_end|>"); empty: none. Copied. */
    const uint32_t *end_ids;        /* ids that end an answer; allowed where the grammar accepts */
    size_t end_count;
    cz_encode_function *encode;     /* NULL: nothing is ever forced */
    void *encode_context;           /* must outlive the vocabulary */
    size_t cache_bytes;             /* budget for lazily filled tables; 0: 64 MiB */
};

struct cz_vocab;

cloze_status cz_vocab_create(const struct cz_vocab_options *options, struct cz_vocab **out,
                             struct cloze_error *error);
/* Forgets what grammars found out about patterns, so that the next one finds it anew. For measuring. */
void cz_vocab_forget(struct cz_vocab *vocab);
struct cz_vocab *cz_vocab_retain(struct cz_vocab *vocab);
void cz_vocab_release(struct cz_vocab *vocab); /* freed with its last reference */

#endif
