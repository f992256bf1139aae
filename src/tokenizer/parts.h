/*
 * parts.h - the parts that a tokenizer is put together from; private to the room.
 *
 * bpe.c         a piece -> ids, by merging
 * added.c       where added tokens stand in a text (trie)
 * normalize.c   a stretch of text -> its normal form
 * split.c       a stretch -> pieces
 * encode.c      the way through all of them; decode.c the way back
 */
#ifndef CZ_TOKENIZER_PARTS_H
#define CZ_TOKENIZER_PARTS_H

#include "base/text_index.h"
#include "tokenizer/pattern.h"
#include "tokenizer/tokenizer.h"

#include <stdatomic.h>

#define CZ_NO_TOKEN CZ_NOT_INDEXED

/* ---- ids.c ---- */
/* Room for `count` more ids; false when there is none. */
bool cz_ids_reserve(struct cz_ids *ids, size_t count);

/* ---- alphabet.c: GPT-2's spelling of bytes as printable characters ---- */
/* The byte that a character stands for, or -1. */
int cz_alphabet_byte(uint32_t code);
/* Writes at most `text.size` bytes; false when a character is outside the alphabet. */
bool cz_alphabet_decode(struct cz_slice text, char *out, size_t *size);

/* ---- bpe.c ---- */
/* (left, right) -> merge: open addressing over 64-bit keys. */
struct cz_merge_slot {
    uint32_t left, right; /* left is CZ_NO_TOKEN in a free slot */
    uint32_t rank, result;
};

struct cz_merge_table {
    struct cz_merge_slot *slots; /* [mask + 1] */
    size_t mask;
    uint64_t seed;
};

bool cz_merge_table_create(struct cz_merge_table *table, const struct cz_merge *merges,
                           uint32_t count);
void cz_merge_table_free(struct cz_merge_table *table);

/* Appends the ids of one piece. */
cloze_status cz_bpe_encode(const struct cz_tokenizer *tokenizer, struct cz_slice piece,
                           struct cz_ids *ids, struct cloze_error *error);

/* ---- added.c ---- */
/* A trie over the contents of added tokens: children of a node are a list of siblings. */
struct cz_added_node {
    uint32_t child, sibling; /* node indices; 0: none */
    uint32_t token;          /* index into `tokens` of the one that ends here, or CZ_NO_TOKEN */
    unsigned char byte;
};

struct cz_added_trie {
    struct cz_added_node *nodes; /* [count]; node 0 is the root */
    uint32_t count, capacity;
    bool starts[256]; /* bytes that some content begins with */
    const struct cz_added_token *tokens;
};

struct cz_added_match {
    size_t start, end;                  /* of the content */
    size_t cut_start, cut_end;          /* with the white space that it swallows */
    const struct cz_added_token *token; /* NULL: none found */
};

/* Where special tokens may be recognised. */
struct cz_trust {
    bool everywhere;
    const struct cz_span *spans;
    size_t count;
};

bool cz_added_trie_add(struct cz_added_trie *trie, struct cz_slice content, uint32_t token);
void cz_added_trie_free(struct cz_added_trie *trie);
/* The leftmost, there the longest, token that may be matched in text[from..]. `trust` NULL: no
 * special ones. */
struct cz_added_match cz_added_find(const struct cz_added_trie *trie, struct cz_slice text,
                                    size_t from, const struct cz_trust *trust);

/* Where a stretch or piece of text stands, which decides about the blank that some put in front. */
enum cz_place {
    CZ_PLACE_INSIDE,   /* behind an added token or another piece */
    CZ_PLACE_FIRST,    /* it begins the whole text */
    CZ_PLACE_CONTINUES /* it goes on with a text that is not at hand */
};

/* ---- normalize.c ---- */
struct cz_normalize_step {
    const struct cz_normalizer *table;
    struct cz_pattern *pattern; /* REPLACE */
};

/* The normal form of a stretch: `text` itself when nothing changes, else bytes in one of the two
 * buffers. */
cloze_status cz_normalize(const struct cz_tokenizer *tokenizer, struct cz_slice text,
                          enum cz_place place, struct cz_buffer buffers[2], struct cz_slice *out,
                          struct cloze_error *error);

/* ---- split.c ---- */
struct cz_split_step {
    const struct cz_splitter *table;
    struct cz_pattern *pattern; /* PATTERN */
};

/* Splits a stretch with every splitter in turn and encodes the pieces. */
cloze_status cz_split_encode(const struct cz_tokenizer *tokenizer, struct cz_slice stretch,
                             enum cz_place place, struct cz_ids *ids, struct cloze_error *error);

/* ---- the whole ---- */
struct cz_tokenizer {
    const struct cz_tokenizer_tables *tables;
    struct cz_text_index vocabulary; /* over keys */
    struct cz_slice *keys;     /* [token_count] as the model sees them; empty: never by text */
    struct cz_slice *bytes;    /* [token_count] what they add to a text */
    bool *special;             /* [token_count] */
    char *pool;                /* decoded bytes that keys and bytes point into */
    uint32_t byte_ids[256];    /* BYTE tokens of byte fallback, or CZ_NO_TOKEN */
    bool has_all_bytes;        /* none of byte_ids is missing */
    uint32_t initial_ids[256]; /* byte alphabet: the token of each byte, or CZ_NO_TOKEN */
    struct cz_merge_table merges;
    /* [token_count] is the whole-piece encoding of a token the token itself? 0 not known yet,
     * 1 yes, 2 no. Filled on the way; every thread finds the same answer. */
    _Atomic unsigned char *whole;
    bool splits_at_blanks; /* no merge reaches across the start of a run of blanks */
    struct cz_added_trie raw_added, normalized_added;
    struct cz_normalize_step *normalizers; /* [tables->normalizer_count] */
    struct cz_split_step *splitters;       /* [tables->splitter_count] */
};

/* Unicode's White_Space. */
bool cz_is_white_space(uint32_t code);

#endif
