/*
 * tokenizer.h - text to ids and back, exactly as the model's own tokenizer does it.
 *
 * A tokenizer is immutable after creation and may be used by any number of threads at once.
 */
#ifndef CZ_TOKENIZER_TOKENIZER_H
#define CZ_TOKENIZER_TOKENIZER_H

#include "tokenizer/tables.h"

struct cz_tokenizer;

/* Growing list of token ids; free(ids) by its owner through cz_ids_free. */
struct cz_ids {
    uint32_t *ids;
    size_t count, capacity;
    bool fixed; /* `ids` is somebody else's and can't grow: full is failed */
    bool failed; /* sticky: out of memory */
};

void cz_ids_append(struct cz_ids *ids, uint32_t id);
void cz_ids_free(struct cz_ids *ids);

/* A byte range of text that came from the template: only there are special tokens recognised. */
struct cz_span {
    size_t start, end;
};

struct cz_encode_options {
    bool add_special;   /* BOS, EOS as the post-processor says */
    bool continues;     /* other text stands before: no blank is put in front (SentencePiece's) */
    bool parse_special; /* recognise special tokens anywhere (trusted text) ... */
    const struct cz_span
        *spans; /* ... or only inside these, sorted; NULL: none but parse_special */
    size_t span_count;
};

cloze_status cz_tokenizer_create(const struct cz_tokenizer_tables *tables,
                                 struct cz_tokenizer **out, struct cloze_error *error);
void cz_tokenizer_free(struct cz_tokenizer *tokenizer);

/* Appends to *ids. Text must be UTF-8. `options` may be NULL: plain text, nothing added. */
cloze_status cz_tokenizer_encode(const struct cz_tokenizer *tokenizer, struct cz_slice text,
                                 const struct cz_encode_options *options, struct cz_ids *ids,
                                 struct cloze_error *error);

uint32_t cz_tokenizer_count(const struct cz_tokenizer *tokenizer); /* ids are 0 .. count - 1 */
/* The exact bytes that the token adds to a text in mid-sentence; empty for specials and unused. */
struct cz_slice cz_tokenizer_bytes(const struct cz_tokenizer *tokenizer, uint32_t id);
/* The token as its table spells it ("<|im_end|>"), for logs and templates. */
struct cz_slice cz_tokenizer_spelling(const struct cz_tokenizer *tokenizer, uint32_t id);
bool cz_tokenizer_is_special(const struct cz_tokenizer *tokenizer, uint32_t id);
/* -1 when the tokenizer has none. */
int64_t cz_tokenizer_bos(const struct cz_tokenizer *tokenizer);
int64_t cz_tokenizer_eos(const struct cz_tokenizer *tokenizer);
int64_t cz_tokenizer_find(const struct cz_tokenizer *tokenizer, struct cz_slice spelling);

/* Appends the text of ids, specials left out unless asked. The result is bytes as generated;
 * cut them with cz_utf8_complete for display. */
cloze_status cz_tokenizer_decode(const struct cz_tokenizer *tokenizer, const uint32_t *ids,
                                 size_t count, bool with_special, struct cz_buffer *text,
                                 struct cloze_error *error);

#endif
