/*
 * vocab.c - the vocabulary as a trie in depth-first order, and the tokens that are plain text.
 */
#include "constraint/split_cache.h"

#include "base/heap.h"
#include "base/size.h"
#include "base/utf8.h"

#include <stdlib.h>

enum { LARGEST_VOCABULARY = 1 << 24 };

/* No quote, backslash or control byte. */
static bool is_safe(struct cz_slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        if (byte < 0x20 || byte == '"' || byte == '\\')
            return false;
    }
    return true;
}

/* Valid UTF-8 whose last character may be incomplete. */
static bool begins_text(struct cz_slice text)
{
    size_t valid = cz_utf8_valid(text), rest = text.size - valid;
    if (rest == 0)
        return true;
    uint8_t lead = (uint8_t)text.data[valid];
    uint8_t next = rest > 1 ? (uint8_t)text.data[valid + 1] : 0x80;
    size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || rest >= size)
        return false;
    for (size_t i = 1; i < rest; i++) {
        if (((uint8_t)text.data[valid + i] & 0xC0) != 0x80)
            return false;
    }
    return rest == 1 || !((lead == 0xE0 && next < 0xA0) || (lead == 0xED && next > 0x9F) ||
                          (lead == 0xF0 && next < 0x90) || (lead == 0xF4 && next > 0x8F));
}

static bool copy_tokens(struct cz_vocab *vocab, const struct cz_vocab_options *options,
                        struct cloze_error *error)
{
    size_t total = 0;
    for (uint32_t i = 0; i < options->count; i++) {
        if (options->tokens[i].size > CZ_TOKEN_LONGEST || total > UINT32_MAX - CZ_TOKEN_LONGEST) {
            cz_fail(error, CLOZE_LIMIT, "vocabulary", "token %u has %zu bytes; at most %d are read",
                    i, options->tokens[i].size, CZ_TOKEN_LONGEST);
            return false;
        }
        total += options->tokens[i].size;
    }
    vocab->bytes = cz_heap_alloc(total + 1);
    vocab->offsets = cz_heap_zeroed((size_t)options->count + 1, sizeof *vocab->offsets);
    vocab->text_words = cz_heap_zeroed(vocab->words, sizeof *vocab->text_words);
    if (!vocab->bytes || !vocab->offsets || !vocab->text_words) {
        cz_fail_memory(error, "the vocabulary");
        return false;
    }
    for (uint32_t i = 0, at = 0; i < options->count; i++) {
        const struct cz_slice *token = &options->tokens[i];
        if (token->size)
            memcpy(vocab->bytes + at, token->data, token->size);
        at += (uint32_t)token->size;
        vocab->offsets[i + 1] = at;
        vocab->longest = token->size > vocab->longest ? (uint32_t)token->size : vocab->longest;
        if (token->size && is_safe(*token) && begins_text(*token)) {
            vocab->text_words[i / 32] |= 1u << i % 32;
            vocab->text_count++;
        }
    }
    return true;
}

static int compare_ids(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

static bool copy_ends(struct cz_vocab *vocab, const struct cz_vocab_options *options)
{
    vocab->ends = cz_heap_zeroed(options->end_count + 1, sizeof *vocab->ends);
    if (!vocab->ends)
        return false;
    for (size_t i = 0; i < options->end_count; i++) {
        if (options->end_ids[i] < options->count)
            vocab->ends[vocab->end_count++] = options->end_ids[i];
    }
    qsort(vocab->ends, vocab->end_count, sizeof *vocab->ends, compare_ids);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < vocab->end_count; i++) {
        if (!kept || vocab->ends[kept - 1] != vocab->ends[i])
            vocab->ends[kept++] = vocab->ends[i];
    }
    vocab->end_count = kept;
    return true;
}

static bool copy_names(struct cz_vocab *vocab, const struct cz_vocab_options *options)
{
    for (uint32_t i = 0; options->names && i < options->count; i++) {
        struct cz_slice name = options->names[i];
        if (name.size == 0)
            continue;
        const char *copy = cz_arena_text(&vocab->name_texts, name);
        if (!copy || !cz_map_set(&vocab->names, cz_slice_of(copy, name.size), i))
            return false;
    }
    return true;
}

bool cz_vocab_find_name(const struct cz_vocab *vocab, struct cz_slice name, uint32_t *token)
{
    uint64_t found;
    if (!cz_map_get(&vocab->names, name, &found))
        return false;
    *token = (uint32_t)found;
    return true;
}

static bool is_end(const struct cz_vocab *vocab, uint32_t token)
{
    for (uint32_t i = 0; i < vocab->end_count; i++) {
        if (vocab->ends[i] == token)
            return true;
    }
    return false;
}

/* Where the first byte is that is not plain text; the text's size when all is. */
static size_t first_unsafe(struct cz_slice text)
{
    size_t i = 0;
    while (i < text.size && (uint8_t)text.data[i] >= 0x20 && text.data[i] != '"' &&
           text.data[i] != '\\')
        i++;
    return i;
}

/* The tries of what leaves plain text, by how it is left; entries are sorted. */
static bool build_unsafe(struct cz_vocab *vocab, const struct cz_trie_entry *entries, size_t count)
{
    struct cz_trie_entry *parts = cz_heap_alloc((count + 1) * sizeof *parts);
    size_t unsafe = 0, escapes = 0, quotes = 0;
    vocab->closing = cz_heap_alloc((count + 1) * sizeof *vocab->closing);
    if (!parts || !vocab->closing) {
        cz_heap_free(parts);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (first_unsafe(cz_slice_of(entries[i].data, entries[i].size)) < entries[i].size)
            parts[unsafe++] = entries[i];
    }
    bool good = cz_trie_build(&vocab->unsafe, parts, unsafe, vocab->count);
    for (size_t i = 0; i < unsafe; i++) {
        size_t at = first_unsafe(cz_slice_of(parts[i].data, parts[i].size));
        if (parts[i].data[at] == '\\')
            parts[escapes++] = parts[i];
    }
    good = good && cz_trie_build(&vocab->escapes, parts, escapes, vocab->count);
    for (size_t i = 0; i < count; i++) {
        struct cz_slice text = cz_slice_of(entries[i].data, entries[i].size);
        size_t at = first_unsafe(text);
        if (at == text.size || text.data[at] != '"' ||
            cz_utf8_valid(cz_slice_of(text.data, at)) != at)
            continue;
        if (at + 1 == text.size) {
            vocab->closing[vocab->closing_count++] = entries[i].token;
            continue;
        }
        struct cz_slice rest = cz_slice_of(text.data + at + 1, text.size - at - 1);
        parts[quotes++] = cz_trie_entry(rest, entries[i].token);
    }
    cz_trie_sort(parts, quotes);
    good = good && cz_trie_build(&vocab->quotes, parts, quotes, vocab->count);
    cz_heap_free(parts);
    return good;
}

static size_t word_size(struct cz_slice text)
{
    size_t size = 0;
    while (size < text.size && cz_is_word((uint8_t)text.data[size]))
        size++;
    return size;
}

static int compare_longest(const void *x, const void *y)
{
    const struct cz_trie_entry *a = x, *b = y;
    return a->size != b->size ? (a->size < b->size) - (a->size > b->size)
                              : (a->token > b->token) - (a->token < b->token);
}

static bool build_words(struct cz_vocab *vocab, const struct cz_trie_entry *entries, size_t count)
{
    struct cz_trie_entry *parts = cz_heap_alloc((count + 1) * sizeof *parts);
    size_t words = 0, mixed = 0;
    vocab->word_words = cz_heap_zeroed(vocab->words, sizeof *vocab->word_words);
    vocab->word_ids = cz_heap_alloc((count + 1) * sizeof *vocab->word_ids);
    if (!parts || !vocab->word_words || !vocab->word_ids) {
        cz_heap_free(parts);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        size_t size = word_size(cz_slice_of(entries[i].data, entries[i].size));
        if (size && size < entries[i].size)
            parts[mixed++] = entries[i];
    }
    bool good = cz_trie_build(&vocab->mixed, parts, mixed, vocab->count);
    for (size_t i = 0; i < count; i++) {
        if (word_size(cz_slice_of(entries[i].data, entries[i].size)) < entries[i].size)
            continue;
        parts[words++] = entries[i];
        vocab->word_words[entries[i].token / 32] |= 1u << entries[i].token % 32;
    }
    qsort(parts, words, sizeof *parts, compare_longest);
    for (size_t i = 0; i < words; i++)
        vocab->word_ids[i] = parts[i].token;
    vocab->word_count = (uint32_t)words;
    cz_heap_free(parts);
    return good;
}

/* Whether the text may be the beginning of what stands behind white space in a document. */
static bool begins_structure(struct cz_slice text)
{
    static const char marks[] = "\"{}[],:-0123456789";
    static const char *const literals[] = {"true", "false", "null"};
    if (memchr(marks, text.data[0], sizeof marks - 1))
        return true;
    for (int i = 0; i < 3; i++) {
        size_t size = strlen(literals[i]);
        if (!memcmp(text.data, literals[i], text.size < size ? text.size : size))
            return true;
    }
    return false;
}

/* White space of the flexible kind, from the beginning of a gap: its tokens, and what they go on
 * with. */
static bool build_gaps(struct cz_vocab *vocab, const struct cz_trie_entry *entries, size_t count)
{
    struct cz_trie_entry *parts = cz_heap_alloc((count + 1) * sizeof *parts);
    size_t behind = 0;
    vocab->blanks = cz_heap_alloc((count + 1) * sizeof *vocab->blanks);
    for (size_t i = 0; parts && vocab->blanks && i < count; i++) {
        struct cz_slice text = cz_slice_of(entries[i].data, entries[i].size);
        uint32_t state = 0;
        size_t at = 0;
        while (at < text.size && cz_is_blank((uint8_t)text.data[at]) && state != CZ_NO_GAP)
            state = cz_gap_step_flexible(state, (uint8_t)text.data[at++]);
        if (at == 0 || state == CZ_NO_GAP)
            continue;
        struct cz_slice rest = cz_slice_of(text.data + at, text.size - at);
        if (rest.size == 0)
            vocab->blanks[vocab->blank_count++] = entries[i].token;
        else if (cz_gap_done_flexible(state) && begins_structure(rest))
            parts[behind++] = cz_trie_entry(rest, entries[i].token);
    }
    bool good = parts && vocab->blanks;
    if (good)
        cz_trie_sort(parts, behind);
    good = good && cz_trie_build(&vocab->gaps, parts, behind, vocab->count);
    cz_heap_free(parts);
    return good;
}

static bool build_tries(struct cz_vocab *vocab)
{
    struct cz_trie_entry *entries = cz_heap_alloc(((size_t)vocab->count + 1) * sizeof *entries);
    size_t count = 0;
    if (!entries)
        return false;
    for (uint32_t i = 0; i < vocab->count; i++) {
        struct cz_slice text = cz_vocab_token(vocab, i);
        if (text.size && !is_end(vocab, i))
            entries[count++] = cz_trie_entry(text, i);
    }
    cz_trie_sort(entries, count);
    bool good = cz_trie_build(&vocab->trie, entries, count, vocab->count) &&
                cz_trie_find_characters(&vocab->trie) && build_unsafe(vocab, entries, count) &&
                build_gaps(vocab, entries, count) && build_words(vocab, entries, count);
    cz_heap_free(entries);
    return good;
}

/* Characters that a text token begins, the last one perhaps incomplete. */
static uint32_t characters(struct cz_slice text)
{
    uint32_t count = 0;
    for (size_t i = 0; i < text.size; i++)
        count += ((uint8_t)text.data[i] & 0xC0) != 0x80;
    return count;
}

struct sized {
    uint32_t characters, token;
};

static int compare_sized(const void *x, const void *y)
{
    const struct sized *a = x, *b = y;
    return a->characters != b->characters ? (a->characters < b->characters ? -1 : 1)
                                          : (a->token > b->token) - (a->token < b->token);
}

/* Masks of the text tokens of at most 0, 1, 2, ... characters. */
static bool build_lengths(struct cz_vocab *vocab)
{
    struct sized *sized = cz_heap_alloc(((size_t)vocab->text_count + 1) * sizeof *sized);
    uint32_t count = 0, at = 0;
    bool good = sized != NULL;
    for (uint32_t i = 0; good && i < vocab->count; i++) {
        if (vocab->text_words[i / 32] >> i % 32 & 1)
            sized[count++] = (struct sized){characters(cz_vocab_token(vocab, i)), i};
    }
    if (good)
        qsort(sized, count, sizeof *sized, compare_sized);
    for (uint32_t n = 0; good && n <= CZ_VOCAB_SHORT; n++) {
        uint32_t *words = cz_heap_zeroed(vocab->words, sizeof *words);
        vocab->short_words[n] = words;
        if (!words) {
            good = false;
            break;
        }
        if (n)
            memcpy(words, vocab->short_words[n - 1], vocab->words * sizeof *words);
        for (; at < count && sized[at].characters <= n; at++)
            words[sized[at].token / 32] |= 1u << sized[at].token % 32;
        vocab->short_counts[n] = at;
    }
    vocab->long_ids = cz_heap_alloc(((size_t)count - at + 1) * sizeof *vocab->long_ids);
    vocab->long_sizes = cz_heap_alloc(((size_t)count - at + 1) * sizeof *vocab->long_sizes);
    good = good && vocab->long_ids && vocab->long_sizes;
    for (; good && at < count; at++) {
        vocab->long_ids[vocab->long_count] = sized[at].token;
        vocab->long_sizes[vocab->long_count++] = sized[at].characters;
    }
    cz_heap_free(sized);
    return good;
}

static void vocab_free(struct cz_vocab *vocab)
{
    cz_grammar_cache_free(vocab->cache);
    cz_split_cache_free(vocab->splits);
    cz_heap_free(vocab->bytes);
    cz_heap_free(vocab->offsets);
    cz_heap_free(vocab->ends);
    struct cz_trie *tries[] = {&vocab->trie, &vocab->unsafe, &vocab->escapes, &vocab->quotes,
                               &vocab->gaps, &vocab->mixed};
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++)
        cz_trie_free(tries[i]);
    for (int i = 0; i <= CZ_VOCAB_SHORT; i++)
        cz_heap_free(vocab->short_words[i]);
    cz_heap_free(vocab->closing);
    cz_heap_free(vocab->blanks);
    cz_heap_free(vocab->word_words);
    cz_heap_free(vocab->word_ids);
    cz_heap_free(vocab->long_ids);
    cz_heap_free(vocab->long_sizes);
    cz_heap_free(vocab->text_words);
    cz_map_free(&vocab->names);
    cz_arena_free(&vocab->name_texts);
    cz_heap_free(vocab);
}

cloze_status cz_vocab_create(const struct cz_vocab_options *options, struct cz_vocab **out,
                             struct cloze_error *error)
{
    if (options->count == 0 || options->count > LARGEST_VOCABULARY ||
        options->logits_width < options->count || options->logits_width > LARGEST_VOCABULARY)
        return cz_fail(error, CLOZE_INVALID, "vocabulary",
                       "%u tokens in %u logits: there must be at least one token, at most %d, and a "
                       "logit for each",
                       options->count, options->logits_width, LARGEST_VOCABULARY);
    struct cz_vocab *vocab = cz_heap_zeroed(1, sizeof *vocab);
    if (!vocab)
        return cz_fail_memory(error, "the vocabulary");
    vocab->count = options->count;
    vocab->logits_width = options->logits_width;
    vocab->words = (options->logits_width + 31) / 32;
    vocab->encode = options->encode;
    vocab->encode_context = options->encode_context;
    vocab->cache_bytes = options->cache_bytes ? options->cache_bytes : (size_t)64 << 20;
    atomic_init(&vocab->references, 1);
    if (!copy_tokens(vocab, options, error)) {
        vocab_free(vocab);
        return error ? error->code : CLOZE_MEMORY;
    }
    vocab->cache = cz_grammar_cache_create(vocab->cache_bytes);
    vocab->splits = cz_split_cache_create();
    if (!vocab->cache || !vocab->splits || !copy_ends(vocab, options) || !copy_names(vocab, options) ||
        !build_tries(vocab) || !build_lengths(vocab)) {
        vocab_free(vocab);
        return cz_fail_memory(error, "the vocabulary");
    }
    *out = vocab;
    return CLOZE_OK;
}

void cz_vocab_forget(struct cz_vocab *vocab)
{
    cz_split_cache_forget(vocab->splits);
}

struct cz_vocab *cz_vocab_retain(struct cz_vocab *vocab)
{
    atomic_fetch_add(&vocab->references, 1);
    return vocab;
}

void cz_vocab_release(struct cz_vocab *vocab)
{
    if (vocab && atomic_fetch_sub(&vocab->references, 1) == 1)
        vocab_free(vocab);
}

size_t cz_vocab_longest_prefix(const struct cz_vocab *vocab, struct cz_slice text, uint32_t *token)
{
    const struct cz_trie_node *nodes = vocab->trie.nodes;
    size_t best = 0, depth = 0;
    uint32_t at = 0;
    while (depth < text.size) {
        at = cz_trie_child(&vocab->trie, at, (uint8_t)text.data[depth]);
        if (!at)
            break;
        depth++;
        if (nodes[at].token != UINT32_MAX) {
            best = depth;
            *token = nodes[at].token;
        }
    }
    return best;
}

uint32_t cz_vocab_cost(const struct cz_vocab *vocab, struct cz_slice text)
{
    uint32_t tokens = 0, token;
    while (text.size) {
        size_t size = cz_vocab_longest_prefix(vocab, text, &token);
        if (size == 0)
            return UINT32_MAX;
        text = cz_slice_of(text.data + size, text.size - size);
        tokens++;
    }
    return tokens;
}
