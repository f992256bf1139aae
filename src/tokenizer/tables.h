/*
 * tables.h - what a tokenizer is made of, as plain tables: the model room fills them from
 * tokenizer.json, tokenizer.model or GGUF, the tokenizer room runs on them. All memory belongs to
 * whoever filled the tables and must outlive the tokenizer.
 *
 * Text becomes ids in this order: added tokens are cut out, each stretch between them goes through
 * the normalizers and then the splitters, every piece is encoded by the model, and the prefix and
 * suffix ids are put around the whole.
 */
#ifndef CZ_TOKENIZER_TABLES_H
#define CZ_TOKENIZER_TABLES_H

#include "base/slice.h"

/* Limits that hold for every source. */
enum {
    CZ_TOKENIZER_MAXIMUM_TOKENS = 1 << 22,
    CZ_TOKENIZER_MAXIMUM_MERGES = 1 << 23,
    CZ_TOKENIZER_MAXIMUM_TOKEN_SIZE = 1 << 16, /* bytes of one token */
    CZ_TOKENIZER_MAXIMUM_ADDED = 1 << 18,
    CZ_TOKENIZER_MAXIMUM_STEPS = 64, /* of normalizers, of splitters */
    CZ_TOKENIZER_MAXIMUM_PATTERN = 1 << 14,
    CZ_TOKENIZER_MAXIMUM_ADDED_SIZE = 1 << 12, /* bytes of one added token */
    CZ_TOKENIZER_MAXIMUM_TEXT = 1 << 24        /* bytes of one piece that BPE works on */
};

enum cz_token_kind {
    CZ_TOKEN_NORMAL,
    CZ_TOKEN_UNKNOWN, /* stands for what the vocabulary can't spell; no bytes */
    CZ_TOKEN_CONTROL, /* special: no bytes, recognised in trusted text only */
    CZ_TOKEN_USER,    /* added, but plain text: recognised everywhere */
    CZ_TOKEN_UNUSED,  /* a hole in the numbering, or never produced */
    CZ_TOKEN_BYTE     /* "<0x0A>": one byte */
};

struct cz_token {
    struct cz_slice text; /* as the vocabulary spells it; data is NULL in a hole */
    float score;          /* SentencePiece; 0 elsewhere */
    uint8_t kind;         /* enum cz_token_kind */
};

/* Joins two neighbouring tokens; earlier merges go first. All three are ids of the vocabulary. */
struct cz_merge {
    uint32_t left, right, result;
};

/* A token that is cut out of the text before the model sees it. */
struct cz_added_token {
    struct cz_slice content;
    uint32_t id;
    bool special;
    bool normalized;     /* matched on normalised text, not on the raw one */
    bool single_word;    /* only between characters that are not of a word */
    bool lstrip, rstrip; /* swallows the white space beside it */
};

enum cz_normalizer_kind {
    CZ_NORMALIZE_NFC,
    CZ_NORMALIZE_NFD,
    CZ_NORMALIZE_NFKC,
    CZ_NORMALIZE_NFKD,
    CZ_NORMALIZE_PREPEND, /* content before every stretch that is not empty */
    CZ_NORMALIZE_REPLACE  /* every match of pattern by content */
};

struct cz_normalizer {
    enum cz_normalizer_kind kind;
    struct cz_slice pattern;
    struct cz_slice content;
    bool is_regex;
};

enum cz_splitter_kind {
    CZ_SPLIT_PATTERN,     /* at the matches of pattern, as behavior says */
    CZ_SPLIT_METASPACE,   /* blanks become `pattern` (U+2581); see prepend and split */
    CZ_SPLIT_PREFIX_SPACE /* no cut: a blank goes before a piece that doesn't begin with one */
};

enum cz_split_behavior {
    CZ_SPLIT_REMOVED,
    CZ_SPLIT_ISOLATED,
    CZ_SPLIT_MERGED_WITH_PREVIOUS,
    CZ_SPLIT_MERGED_WITH_NEXT,
    CZ_SPLIT_CONTIGUOUS
};

enum cz_prepend { CZ_PREPEND_NEVER, CZ_PREPEND_FIRST, CZ_PREPEND_ALWAYS };

struct cz_splitter {
    enum cz_splitter_kind kind;
    enum cz_split_behavior behavior; /* PATTERN */
    struct cz_slice pattern;         /* PATTERN; METASPACE: the replacement character */
    bool is_regex, invert;           /* PATTERN */
    bool split;                      /* METASPACE: cut before every replacement character */
    enum cz_prepend prepend;         /* METASPACE */
};

enum cz_tokenizer_kind {
    CZ_TOKENIZER_BPE,       /* merges, in rank order */
    CZ_TOKENIZER_SCORE_BPE, /* SentencePiece: the pair whose joined piece scores highest */
    CZ_TOKENIZER_UNIGRAM    /* SentencePiece: the most probable segmentation */
};

/* How a token's text spells bytes. */
enum cz_token_alphabet {
    CZ_ALPHABET_PLAIN, /* UTF-8, after the replacements below */
    CZ_ALPHABET_BYTES  /* GPT-2's: 256 printable characters, one a byte */
};

struct cz_tokenizer_tables {
    enum cz_tokenizer_kind kind;
    enum cz_token_alphabet alphabet;

    const struct cz_token *tokens; /* [token_count], by id */
    uint32_t token_count;
    const struct cz_merge *merges; /* [merge_count], by rank; BPE only */
    uint32_t merge_count;
    const struct cz_added_token *added; /* [added_count] */
    uint32_t added_count;
    const struct cz_normalizer *normalizers; /* [normalizer_count] */
    uint32_t normalizer_count;
    const struct cz_splitter *splitters; /* [splitter_count] */
    uint32_t splitter_count;

    bool byte_fallback; /* what has no token is spelled by BYTE tokens */
    bool fuse_unknown;  /* a run of unknown characters is one unknown token */
    bool ignore_merges; /* a piece that is a token as a whole is not split further */
    int64_t unknown_id; /* -1: none; characters without a token are dropped */

    /* Decoding. `blank` (U+2581, or empty) stands for a blank in tokens of the plain alphabet;
     * one blank at the beginning of a whole text is taken away when strip_first_blank says so. */
    struct cz_slice blank;
    bool strip_first_blank;

    const uint32_t *prefix_ids; /* put before and after every text when specials are added */
    uint32_t prefix_count;
    const uint32_t *suffix_ids;
    uint32_t suffix_count;
    int64_t bos_id, eos_id; /* -1: none */
};

#endif
