/*
 * constraint_api.c - section 2 of cloze.h over the constraint room: names, arguments that callers
 * may get wrong, vocabularies from files, batches on the thread pool.
 *
 * Grammars and matchers of the public header are the room's own, under another name.
 */
#include "base/file.h"
#include "constraint/matcher.h"
#include "kernels/pool.h"
#include "model/tokenizer_source.h"
#include "tokenizer/tokenizer.h"

#include <stdlib.h>

struct cloze_vocab {
    struct cz_vocab *vocab;
    struct cz_tokenizer *tokenizer; /* NULL: made from token bytes */
    struct cz_arena arena;          /* of the tables that the tokenizer runs on */
    cloze_encode_function *encode;  /* the caller's, or NULL */
    void *encode_context;
    uint32_t count, logits_width;
};

struct cloze_batch {
    struct cz_pool *pool;
    struct cloze_matcher *const *matchers; /* of the call under way */
    uint32_t count;
    uint32_t *words;
    size_t row_words;
};

static struct cz_grammar *inner_grammar(struct cloze_grammar *grammar)
{
    return (struct cz_grammar *)grammar;
}

static struct cz_matcher *inner_matcher(const struct cloze_matcher *matcher)
{
    return (struct cz_matcher *)matcher;
}

/* ---- Vocabularies ---- */

static size_t encode_with_tokenizer(const struct cz_tokenizer *tokenizer, struct cz_slice text,
                                    uint32_t *ids, size_t capacity)
{
    static const struct cz_encode_options options = {.continues = true};
    struct cz_ids found = {0};
    size_t count = 0;
    if (cz_tokenizer_encode(tokenizer, text, &options, &found, NULL) == CLOZE_OK) {
        count = found.count;
        memcpy(ids, found.ids, (count < capacity ? count : capacity) * sizeof *ids);
    }
    cz_ids_free(&found);
    return count;
}

static size_t encode_for_vocab(void *context, struct cz_slice text, uint32_t *ids, size_t capacity)
{
    return cloze_vocab_encode(context, text.data, text.size, ids, capacity);
}

static cloze_status check_options(const struct cloze_vocab_options *options,
                                  struct cloze_error *error)
{
    if (!options->count || options->count > CZ_TOKENIZER_MAXIMUM_TOKENS)
        return cz_fail(error, CLOZE_INVALID, "count", "a vocabulary has 1 to %d tokens",
                       CZ_TOKENIZER_MAXIMUM_TOKENS);
    if (!options->tokens || !options->sizes)
        return cz_fail(error, CLOZE_INVALID, "tokens", "tokens and sizes must be given");
    for (size_t i = 0; i < options->end_count; i++) {
        if (options->end_ids[i] >= options->count)
            return cz_fail(error, CLOZE_INVALID, "end_ids", "the end token %u is not below %u",
                           options->end_ids[i], options->count);
    }
    return CLOZE_OK;
}

static cloze_status make_vocab(struct cloze_vocab *self, const struct cz_slice *tokens,
                               const struct cz_slice *names, const uint32_t *end_ids,
                               size_t end_count, bool encodes, size_t cache_bytes,
                               struct cloze_error *error)
{
    if (self->logits_width == 0)
        self->logits_width = self->count;
    if (self->logits_width < self->count)
        return cz_fail(error, CLOZE_INVALID, "logits_width", "%u logits are too few for %u tokens",
                       self->logits_width, self->count);
    struct cz_vocab_options inner = {.count = self->count,
                                     .logits_width = self->logits_width,
                                     .tokens = tokens,
                                     .names = names,
                                     .end_ids = end_ids,
                                     .end_count = end_count,
                                     .encode = encodes ? encode_for_vocab : NULL,
                                     .encode_context = self,
                                     .cache_bytes = cache_bytes};
    return cz_vocab_create(&inner, &self->vocab, error);
}

cloze_status cloze_vocab_create(const struct cloze_vocab_options *options, struct cloze_vocab **out,
                                struct cloze_error *error)
{
    *out = NULL;
    cloze_status status = check_options(options, error);
    if (status)
        return status;
    struct cloze_vocab *self = calloc(1, sizeof *self);
    struct cz_slice *tokens = calloc(options->count, sizeof *tokens);
    struct cz_slice *names = calloc(options->count, sizeof *names);
    if (!self || !tokens || !names) {
        status = cz_fail_memory(error, "a vocabulary");
        goto out;
    }
    for (uint32_t i = 0; i < options->count; i++) {
        tokens[i] = cz_slice_of(options->tokens[i], options->sizes[i]);
        names[i] = cz_slice(options->names ? options->names[i] : NULL);
    }
    self->count = options->count;
    self->logits_width = options->logits_width;
    self->encode = options->encode;
    self->encode_context = options->encode_context;
    status = make_vocab(self, tokens, names, options->end_ids, options->end_count,
                        self->encode != NULL, options->cache_bytes, error);
out:
    free(tokens);
    free(names);
    if (status)
        cloze_vocab_free(self);
    else
        *out = self;
    return status;
}

static cloze_status open_files(struct cloze_vocab *self, const char *path,
                               struct cz_tokenizer_source *source, struct cloze_error *error)
{
    const char *name = cz_path_name(path);
    struct cz_slice folder = cz_slice(path);
    if (!cz_file_is_folder(path))
        folder.size = (size_t)(name - path);
    char *text = cz_arena_text(&self->arena, folder.size ? folder : CZ_SLICE("."));
    if (!text)
        return cz_fail_memory(error, "a path");
    cloze_status status = cz_tokenizer_source_folder(text, &self->arena, source, error);
    return status ? status : cz_tokenizer_create(&source->tables, &self->tokenizer, error);
}

cloze_status cloze_vocab_open(const char *path, uint32_t logits_width, struct cloze_vocab **out,
                              struct cloze_error *error)
{
    struct cloze_vocab *self = calloc(1, sizeof *self);
    *out = NULL;
    if (!self)
        return cz_fail_memory(error, "a vocabulary");
    struct cz_tokenizer_source *source = CZ_ARENA_NEW(&self->arena, struct cz_tokenizer_source);
    cloze_status status =
        source ? open_files(self, path, source, error) : cz_fail_memory(error, "a vocabulary");
    struct cz_slice *tokens = NULL, *names = NULL;
    if (!status) {
        self->count = cz_tokenizer_count(self->tokenizer);
        self->logits_width = logits_width;
        tokens = calloc(self->count, sizeof *tokens);
        names = calloc(self->count, sizeof *names);
        status = tokens && names ? CLOZE_OK : cz_fail_memory(error, "a vocabulary");
    }
    for (uint32_t i = 0; !status && i < self->count; i++) {
        tokens[i] = cz_tokenizer_bytes(self->tokenizer, i);
        if (cz_tokenizer_is_special(self->tokenizer, i))
            names[i] = cz_tokenizer_spelling(self->tokenizer, i);
    }
    if (!status)
        status =
            make_vocab(self, tokens, names, source->stop_ids, source->stop_count, true, 0, error);
    free(tokens);
    free(names);
    if (status)
        cloze_vocab_free(self);
    else
        *out = self;
    return status;
}

void cloze_vocab_free(struct cloze_vocab *vocab)
{
    if (!vocab)
        return;
    cz_vocab_release(vocab->vocab);
    cz_tokenizer_free(vocab->tokenizer);
    cz_arena_free(&vocab->arena);
    free(vocab);
}

uint32_t cloze_vocab_count(const struct cloze_vocab *vocab)
{
    return vocab->count;
}

size_t cloze_vocab_mask_words(const struct cloze_vocab *vocab)
{
    return ((size_t)vocab->logits_width + 31) / 32;
}

size_t cloze_vocab_encode(const struct cloze_vocab *vocab, const char *text, size_t size,
                          uint32_t *ids, size_t capacity)
{
    if (vocab->tokenizer)
        return encode_with_tokenizer(vocab->tokenizer, cz_slice_of(text, size), ids, capacity);
    return vocab->encode ? vocab->encode(vocab->encode_context, text, size, ids, capacity) : 0;
}

/* ---- Grammars ---- */

cloze_status cloze_grammar_compile(struct cloze_vocab *vocab, const char *source, size_t size,
                                   const struct cloze_grammar_options *options,
                                   struct cloze_grammar **out, struct cloze_error *error)
{
    struct cz_grammar_options inner = {.kind = (enum cz_grammar_kind)options->kind,
                                       .policy = (enum cz_policy)options->policy,
                                       .whitespace = (enum cz_whitespace)options->whitespace,
                                       .open_objects = options->open_objects,
                                       .annotate_formats = options->annotate_formats,
                                       .lenient = options->lenient,
                                       .resource_count = options->resource_count};
    struct cz_schema_resource *resources = NULL;
    *out = NULL;
    if ((unsigned)options->kind > CLOZE_STRUCTURAL || (unsigned)options->policy > CLOZE_ACCEPT ||
        (unsigned)options->whitespace > CLOZE_WHITESPACE_ANY)
        return cz_fail(error, CLOZE_INVALID, "options", "kind, policy or whitespace is unknown");
    if (options->resource_count) {
        resources = calloc(options->resource_count, sizeof *resources);
        if (!resources)
            return cz_fail_memory(error, "the resources");
    }
    for (size_t i = 0; i < options->resource_count; i++)
        resources[i] = (struct cz_schema_resource){
            options->resources[i].uri,
            cz_slice_of(options->resources[i].text, options->resources[i].size)};
    inner.resources = resources;
    struct cz_grammar *grammar = NULL;
    cloze_status status =
        cz_grammar_compile(vocab->vocab, cz_slice_of(source, size), &inner, &grammar, error);
    *out = (struct cloze_grammar *)grammar;
    free(resources);
    return status;
}

void cloze_grammar_free(struct cloze_grammar *grammar)
{
    cz_grammar_release(inner_grammar(grammar));
}

const char *cloze_grammar_report(const struct cloze_grammar *grammar)
{
    return cz_grammar_report((const struct cz_grammar *)grammar).data;
}

/* ---- Matchers ---- */

cloze_status cloze_matcher_create(struct cloze_grammar *grammar, struct cloze_matcher **out,
                                  struct cloze_error *error)
{
    return cz_matcher_create(inner_grammar(grammar), (struct cz_matcher **)out, error);
}

cloze_status cloze_matcher_fork(const struct cloze_matcher *matcher, struct cloze_matcher **out,
                                struct cloze_error *error)
{
    return cz_matcher_fork(inner_matcher(matcher), (struct cz_matcher **)out, error);
}

void cloze_matcher_reset(struct cloze_matcher *matcher)
{
    cz_matcher_reset(inner_matcher(matcher));
}

void cloze_matcher_free(struct cloze_matcher *matcher)
{
    cz_matcher_free(inner_matcher(matcher));
}

struct cloze_mask cloze_matcher_mask(struct cloze_matcher *matcher)
{
    struct cz_mask mask = cz_matcher_mask(inner_matcher(matcher));
    return (struct cloze_mask){mask.ids, mask.words, mask.count};
}

void cloze_matcher_fill(struct cloze_matcher *matcher, uint32_t *words, size_t word_count)
{
    struct cz_mask mask = cz_matcher_mask(inner_matcher(matcher));
    if (mask.words) {
        memcpy(words, mask.words, word_count * sizeof *words);
        return;
    }
    memset(words, 0, word_count * sizeof *words);
    for (uint32_t i = 0; i < mask.count; i++)
        words[mask.ids[i] / 32] |= 1u << mask.ids[i] % 32;
}

bool cloze_matcher_accept(struct cloze_matcher *matcher, uint32_t token)
{
    return cz_matcher_accept(inner_matcher(matcher), token);
}

size_t cloze_matcher_validate(struct cloze_matcher *matcher, const uint32_t *tokens, size_t count)
{
    return cz_matcher_validate(inner_matcher(matcher), tokens, count);
}

void cloze_matcher_rollback(struct cloze_matcher *matcher, size_t count)
{
    cz_matcher_rollback(inner_matcher(matcher), count);
}

size_t cloze_matcher_forced(struct cloze_matcher *matcher, uint32_t *tokens, size_t capacity)
{
    return cz_matcher_forced(inner_matcher(matcher), tokens, capacity);
}

bool cloze_matcher_is_accepting(struct cloze_matcher *matcher)
{
    return cz_matcher_is_accepting(inner_matcher(matcher));
}

bool cloze_matcher_is_finished(const struct cloze_matcher *matcher)
{
    return cz_matcher_is_finished(inner_matcher(matcher));
}

uint32_t cloze_matcher_distance(struct cloze_matcher *matcher)
{
    return cz_matcher_distance(inner_matcher(matcher));
}

cloze_status cloze_matcher_set_budget(struct cloze_matcher *matcher, uint32_t tokens,
                                      struct cloze_error *error)
{
    return cz_matcher_set_budget(inner_matcher(matcher), tokens, error);
}

const char *cloze_matcher_text(const struct cloze_matcher *matcher, size_t *size)
{
    struct cz_slice text = cz_matcher_text(inner_matcher(matcher));
    *size = text.size;
    return text.data;
}

/* ---- Batches ---- */

cloze_status cloze_batch_create(uint32_t threads, struct cloze_batch **out,
                                struct cloze_error *error)
{
    struct cloze_batch *batch = calloc(1, sizeof *batch);
    *out = NULL;
    if (!batch)
        return cz_fail_memory(error, "a batch");
    cloze_status status = cz_pool_create(threads, &batch->pool, error);
    if (status)
        free(batch);
    else
        *out = batch;
    return status;
}

void cloze_batch_free(struct cloze_batch *batch)
{
    if (!batch)
        return;
    cz_pool_free(batch->pool);
    free(batch);
}

static void fill_rows(void *context, struct cz_worker *worker)
{
    const struct cloze_batch *batch = context;
    struct cz_range range;
    while (cz_worker_take(worker, batch->count, 1, &range)) {
        for (uint32_t i = range.first; i < range.end; i++) {
            uint32_t *row = batch->words + (size_t)i * batch->row_words;
            if (batch->matchers[i])
                cloze_matcher_fill(batch->matchers[i], row, batch->row_words);
            else
                memset(row, 0xFF, batch->row_words * sizeof *row);
        }
    }
}

void cloze_batch_fill(struct cloze_batch *batch, struct cloze_matcher *const *matchers,
                      uint32_t count, uint32_t *words, size_t row_words)
{
    batch->matchers = matchers;
    batch->count = count;
    batch->words = words;
    batch->row_words = row_words;
    cz_pool_run(batch->pool, fill_rows, batch);
}
