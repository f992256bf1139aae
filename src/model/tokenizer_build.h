/*
 * tokenizer_build.h - what all readers of tokenizer files do alike: collecting tokens in an arena
 * and turning merges of texts into merges of ids. Private to the model room.
 */
#ifndef CZ_MODEL_TOKENIZER_BUILD_H
#define CZ_MODEL_TOKENIZER_BUILD_H

#include "base/text_index.h"
#include "model/tokenizer_source.h"
#include "json/json.h"

#define CZ_GPT2_PATTERN                                                                            \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define CZ_BLANK "\xE2\x96\x81" /* U+2581 */

struct cz_token_list {
    struct cz_arena *arena;
    struct cz_token *tokens; /* [count], in the arena; holes have no text */
    uint32_t count;
    struct cz_text_index index; /* text -> id, of every token added */
    uint32_t last_result;       /* of a merge: files list merges in the order of their results */
    char *pool;                 /* what the texts are copied into */
    size_t pool_left;
};

/* `text_size` bytes will be added in all. */
cloze_status cz_token_list_init(struct cz_token_list *list, struct cz_arena *arena, uint32_t count,
                                size_t text_size, struct cloze_error *error);
/* Copies the text. An id twice with another text is CLOZE_CORRUPT; of two ids with one text the
 * first is the one that is found. */
cloze_status cz_token_list_set(struct cz_token_list *list, uint32_t id, struct cz_slice text,
                               enum cz_token_kind kind, float score, struct cloze_error *error);
/* -1 when there is none. */
int64_t cz_token_list_find(const struct cz_token_list *list, struct cz_slice text);
void cz_token_list_free(struct cz_token_list *list); /* the index; the arena keeps the rest */

/* A merge of two texts, by the ids of the three tokens. */
cloze_status cz_token_list_merge(struct cz_token_list *list, struct cz_slice left,
                                 struct cz_slice right, struct cz_merge *out,
                                 struct cloze_error *error);
/* The same for "left right". */
cloze_status cz_token_list_merge_text(struct cz_token_list *list, struct cz_slice text,
                                      struct cz_merge *out, struct cloze_error *error);

/* "<0x0A>" and its like. */
bool cz_is_byte_spelling(struct cz_slice text);

/* Copies into the arena; data is NULL when there is no memory. */
struct cz_slice cz_arena_slice(struct cz_arena *arena, struct cz_slice text);

/* A pattern step at the end of a list with room for it. */
void cz_add_pattern(struct cz_splitter *splitters, uint32_t *count, const char *pattern,
                    enum cz_split_behavior behavior);

/* The readers of one file each; `source` holds its bytes. The tables' texts are copied. */
cloze_status cz_tokenizer_read_json(struct cz_slice source, struct cz_arena *arena,
                                    struct cz_tokenizer_tables *tables, struct cloze_error *error);
/* `config` (tokenizer_config.json) may be NULL; its added_tokens_decoder names added tokens. */
cloze_status cz_tokenizer_read_sentencepiece(struct cz_slice source, const struct cz_json *config,
                                             struct cz_arena *arena,
                                             struct cz_tokenizer_tables *tables,
                                             struct cloze_error *error);

#endif
