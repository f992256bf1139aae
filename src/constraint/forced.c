/*
 * forced.c - tokens that must come next, as the tokenizer itself would write them.
 *
 * While exactly one byte can follow, bytes are collected and encoded together with the text before
 * them. The last tokens of the result are not sure: the tokenizer may yet join the end of the
 * collected text with what follows, which can change how the bytes before are paired as well. Sure
 * are the tokens before a place that no token of the vocabulary can cover.
 */
#include "constraint/matcher_internal.h"
#include "constraint/vocab_internal.h"

enum { FORCED_BYTES = 1024, CONTEXT_TOKENS = 4 };

/* The only byte that can follow in this local: -1 when there are several or none. */
static int only_byte(struct cz_machine *machine, uint32_t local)
{
    /* the bytes that most often follow are tried first: a second one ends the search */
    static const uint8_t first[] = {' ', '"', 'a', '0', 'z', '\n', '}', ']', '-', 0xC3};
    if (!machine->locals[local].only) {
        int found = -1;
        bool several = machine->locals[local].kind == LOCAL_NUMBER ||
                       machine->locals[local].kind == LOCAL_LEXEME;
        unsigned live = 0;
        for (size_t i = 0; i < sizeof first && !several; i++)
            live += cz_local_step(machine, local, first[i]) != STEP_DEAD;
        several |= live > 1;
        for (int byte = 0; byte < 256 && !several; byte++) {
            if (cz_local_step(machine, local, (uint8_t)byte) == STEP_DEAD)
                continue;
            several = found >= 0;
            found = byte;
        }
        machine->locals[local].only = several || found < 0 ? 1 : (uint16_t)(found + 2);
    }
    return machine->locals[local].only - 2;
}

static int only_byte_of(struct cz_machine *machine, const struct cz_threads *threads)
{
    int byte = threads->count ? only_byte(machine, threads->items[0].local) : -1;
    for (uint32_t i = 0; i < threads->count && byte >= 0; i++) {
        struct cz_thread thread = threads->items[i];
        if (only_byte(machine, thread.local) != byte ||
            cz_thread_may_end(machine, thread.local, thread.stack))
            byte = -1;
    }
    return byte;
}

/* Appends forced bytes to the matcher's text; threads are those behind them. */
static void collect_bytes(struct cz_matcher *matcher, struct cz_threads *threads,
                          struct cz_threads *other)
{
    struct cz_machine *machine = matcher->machine;
    size_t start = matcher->text.size;
    while (matcher->text.size - start < FORCED_BYTES) {
        int byte = only_byte_of(machine, threads);
        if (byte < 0)
            break;
        cz_buffer_append_byte(&matcher->text, (char)byte);
        if (matcher->text.failed)
            break;
        struct cz_binder binder = {matcher->text.data, matcher->text.size - 1};
        other->count = 0;
        for (uint32_t i = 0; i < threads->count; i++)
            cz_thread_step(machine, cz_thread_open(machine, threads->items[i]), (uint8_t)byte,
                           &binder, other, 0);
        for (uint32_t i = 0; i < other->count; i++)
            other->items[i] = cz_thread_close(machine, other->items[i]);
        struct cz_threads swap = *threads;
        *threads = *other;
        *other = swap;
    }
}

/* Whether some token that begins at `start` covers the place `end`: one of the text, or one that goes
 * on behind it in a way that the grammar allows. */
static bool is_crossed(struct cz_machine *machine, struct cz_slice text, size_t start, size_t end,
                       const struct cz_threads *threads)
{
    const struct cz_trie *trie = &machine->vocab->trie;
    uint32_t at = 0;
    for (size_t i = start; i < text.size; i++) {
        at = cz_trie_child(trie, at, (uint8_t)text.data[i]);
        if (!at)
            return false;
        if (i >= end && trie->nodes[at].token != UINT32_MAX)
            return true;
    }
    return trie->nodes[at].skip > 1 && cz_mask_goes_on(machine, at, threads);
}

/* The last place that no token covers, whatever follows: there every encoding has a boundary, so what
 * stands before it is encoded independently of what will come. */
static size_t sure_end(struct cz_machine *machine, struct cz_slice text, size_t context,
                       const struct cz_threads *threads)
{
    size_t end = text.size, longest = machine->vocab->longest;
    for (size_t start = end; start > context && end - (start - 1) < longest; start--) {
        if (is_crossed(machine, text, start - 1, end, threads))
            end = start - 1;
    }
    return end;
}

/* Whether the token's bytes stand at this place of the text: a tokenizer may add some of its own, such
 * as SentencePiece's blank before a text. */
static bool stands_at(const struct cz_vocab *vocab, uint32_t token, struct cz_slice text, size_t at)
{
    struct cz_slice bytes = cz_vocab_token(vocab, token);
    return bytes.size && bytes.size <= text.size - at &&
           memcmp(bytes.data, text.data + at, bytes.size) == 0;
}

/* Drops the tokens of the context and the unsure ones; how many are left in `ids`. */
static size_t keep_sure(struct cz_matcher *matcher, uint32_t *ids, size_t count, size_t context,
                        size_t begin, const struct cz_threads *threads)
{
    const struct cz_vocab *vocab = matcher->machine->vocab;
    struct cz_slice text = cz_slice_of(matcher->text.data + begin, matcher->text.size - begin);
    size_t at = 0, first = 0;
    for (; first < count && at < context && stands_at(vocab, ids[first], text, at); first++)
        at += cz_vocab_token(vocab, ids[first]).size;
    if (at != context)
        return 0; /* the tokenizer would join the forced text with what was accepted */
    size_t end = sure_end(matcher->machine, text, context, threads), kept = 0;
    for (size_t i = first; i < count && stands_at(vocab, ids[i], text, at); i++) {
        at += cz_vocab_token(vocab, ids[i]).size;
        if (at > end) {
            matcher->guess = ids[i];
            break;
        }
        ids[kept++] = ids[i];
    }
    return kept;
}

static size_t forced_locked(struct cz_matcher *matcher, uint32_t *tokens, size_t capacity)
{
    const struct cz_vocab *vocab = matcher->machine->vocab;
    struct cz_threads *threads = &matcher->scratch[0];
    uint32_t records = matcher->record_count;
    uint32_t from = records > CONTEXT_TOKENS ? records - 1 - CONTEXT_TOKENS : 0;
    size_t before = matcher->text.size, begin = matcher->records[from].text_size, kept = 0;
    threads->count = 0;
    matcher->guess = UINT32_MAX;
    for (uint32_t i = matcher->records[records - 1].first; i < matcher->threads.count; i++)
        cz_threads_add(threads, matcher->threads.items[i]);
    collect_bytes(matcher, threads, &matcher->scratch[1]);
    size_t size = matcher->text.size - begin;
    cz_buffer_clear(&matcher->forced_ids);
    uint32_t *ids = (uint32_t *)(void *)cz_buffer_reserve(&matcher->forced_ids,
                                                          (size + 1) * sizeof *ids);
    if (ids && matcher->text.size > before) {
        size_t count = vocab->encode(vocab->encode_context,
                                     cz_slice_of(matcher->text.data + begin, size), ids, size + 1);
        if (count <= size)
            kept = keep_sure(matcher, ids, count, before - begin, begin, threads);
        kept = kept < capacity ? kept : capacity;
        if (kept)
            memcpy(tokens, ids, kept * sizeof *ids);
    }
    matcher->text.size = before;
    return kept;
}

/* The first of the tokens that leave the budget enough for the rest: the tokenizer's own spelling may
 * take more tokens than the distance counts. */
static size_t keep_affordable(struct cz_matcher *matcher, const uint32_t *tokens, size_t count)
{
    size_t kept = 0;
    while (kept < count && cz_matcher_fits_locked(matcher, tokens[kept]) &&
           cz_matcher_accept_locked(matcher, tokens[kept]))
        kept++;
    cz_matcher_rollback(matcher, kept);
    return kept;
}

size_t cz_matcher_forced(struct cz_matcher *matcher, uint32_t *tokens, size_t capacity)
{
    if (!matcher->machine->vocab->encode || cz_matcher_is_finished(matcher))
        return 0;
    pthread_mutex_lock(&matcher->machine->lock);
    size_t count = forced_locked(matcher, tokens, capacity);
    if (matcher->budgeted && !matcher->heedless)
        count = keep_affordable(matcher, tokens, count);
    pthread_mutex_unlock(&matcher->machine->lock);
    return count;
}

bool cz_matcher_guess(const struct cz_matcher *matcher, uint32_t *token)
{
    *token = matcher->guess;
    return *token != UINT32_MAX;
}
