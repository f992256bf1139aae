/*
 * tokenizer_source.h - where tokenizer tables and chat templates come from: the files of a Hugging
 * Face folder, or the keys of a GGUF file.
 *
 * All memory that the result points to is in the caller's arena; nothing refers to the files once
 * these functions have returned. A feature that the tokenizer doesn't run is CLOZE_UNSUPPORTED and
 * named.
 */
#ifndef CZ_MODEL_TOKENIZER_SOURCE_H
#define CZ_MODEL_TOKENIZER_SOURCE_H

#include "base/arena.h"
#include "tokenizer/tables.h"

struct cz_gguf;

struct cz_tokenizer_source {
    struct cz_tokenizer_tables tables;
    struct cz_slice chat_template; /* empty: none */
    const uint32_t *stop_ids;      /* ids that the tokenizer's files name as ends: eos, eot, eom */
    uint32_t stop_count;
};

/* Reads tokenizer.json or tokenizer.model, tokenizer_config.json and chat_template.jinja. */
cloze_status cz_tokenizer_source_folder(const char *folder, struct cz_arena *arena,
                                        struct cz_tokenizer_source *out, struct cloze_error *error);

/* Reads the tokenizer.* keys. */
cloze_status cz_tokenizer_source_gguf(const struct cz_gguf *gguf, struct cz_arena *arena,
                                      struct cz_tokenizer_source *out, struct cloze_error *error);

#endif
