/* vocab_internal.h - the trie and the sets that masks are computed from; for this room only. */
#ifndef CZ_CONSTRAINT_VOCAB_INTERNAL_H
#define CZ_CONSTRAINT_VOCAB_INTERNAL_H

#include "base/arena.h"
#include "base/map.h"
#include "constraint/trie.h"
#include "constraint/vocab.h"

#include <stdatomic.h>

/* Text tokens of at most this many characters have masks of their own. */
enum { CZ_VOCAB_SHORT = 32 };

struct cz_vocab {
    atomic_size_t references;
    uint32_t count, logits_width, words;
    char *bytes;
    uint32_t *offsets;   /* [count + 1] */
    uint32_t *ends;      /* end ids, ascending */
    uint32_t end_count;
    uint32_t longest; /* bytes of the longest token */
    struct cz_trie trie;
    struct cz_trie unsafe;    /* only tokens with a quote, a backslash or a control byte */
    struct cz_trie escapes;   /* tokens whose first such byte is a backslash */
    struct cz_trie quotes;    /* what follows the quote that is a token's first such byte */
    struct cz_trie gaps;      /* what follows flexible white space at a token's beginning */
    uint32_t *blanks;         /* tokens of flexible white space alone */
    uint32_t blank_count;
    uint32_t *closing;        /* tokens that end with that quote */
    uint32_t closing_count;
    uint32_t *text_words;     /* tokens that are plain text inside a JSON string */
    uint32_t text_count;
    uint32_t *short_words[CZ_VOCAB_SHORT + 1]; /* [n]: those of at most n characters */
    uint32_t short_counts[CZ_VOCAB_SHORT + 1];
    uint32_t *long_ids;       /* text tokens of more characters, fewest first */
    uint32_t *long_sizes;     /* their characters */
    uint32_t long_count;
    uint32_t *word_words;     /* tokens of ASCII letters and digits alone */
    uint32_t *word_ids;       /* the same, longest first */
    uint32_t word_count;
    struct cz_trie mixed;     /* tokens that begin with such a character and go on with others */
    struct cz_map names;      /* special tokens by name */
    struct cz_arena name_texts;
    struct cz_split_cache *splits;
    cz_encode_function *encode;
    void *encode_context;
    size_t cache_bytes;
    struct cz_grammar_cache *cache;
};

/* An ASCII letter or digit: what most tokens of most vocabularies are made of. */
static inline bool cz_is_word(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= 'a' && byte <= 'z');
}

static inline struct cz_slice cz_vocab_token(const struct cz_vocab *vocab, uint32_t token)
{
    return cz_slice_of(vocab->bytes + vocab->offsets[token],
                       vocab->offsets[token + 1] - vocab->offsets[token]);
}

bool cz_vocab_find_name(const struct cz_vocab *vocab, struct cz_slice name, uint32_t *token);
/* The longest token that `text` begins with: its size, 0 when there is none. */
size_t cz_vocab_longest_prefix(const struct cz_vocab *vocab, struct cz_slice text, uint32_t *token);
/* Tokens of a text by longest match: an upper bound of what an encoder needs. UINT32_MAX when some
 * byte has no token. */
uint32_t cz_vocab_cost(const struct cz_vocab *vocab, struct cz_slice text);

struct cz_grammar_cache *cz_grammar_cache_create(size_t maximum);
void cz_grammar_cache_free(struct cz_grammar_cache *cache);

#endif
