/*
 * tokens.c - sets of tokens while they are collected.
 */
#include "constraint/walk.h"

#include "base/heap.h"

/* Without a popcount instruction in the baseline, bits are summed in parallel: loops like this one
 * are vectorised. */
uint32_t cz_mask_count(const uint32_t *words, uint32_t count)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t word = words[i];
        word -= word >> 1 & 0x55555555u;
        word = (word & 0x33333333u) + (word >> 2 & 0x33333333u);
        word = (word + (word >> 4)) & 0x0F0F0F0Fu;
        total += (word * 0x01010101u) >> 24;
    }
    return total;
}

static void count_bits(struct cz_tokens *tokens)
{
    tokens->count = cz_mask_count(tokens->machine->scratch_words, tokens->machine->vocab->words);
}

static void add_bit(struct cz_tokens *tokens, uint32_t token)
{
    uint32_t *word = &tokens->machine->scratch_words[token / 32], bit = 1u << token % 32;
    tokens->count += !(*word & bit);
    *word |= bit;
}

static void make_dense(struct cz_tokens *tokens)
{
    struct cz_machine *machine = tokens->machine;
    uint32_t listed = tokens->count;
    memset(machine->scratch_words, 0, machine->vocab->words * sizeof(uint32_t));
    tokens->count = 0;
    for (uint32_t i = 0; i < listed; i++)
        add_bit(tokens, tokens->ids[i]);
    tokens->dense = true;
}

void cz_tokens_add(struct cz_tokens *tokens, uint32_t token)
{
    if (!tokens->dense && tokens->count < CZ_TOKENS_LISTED) {
        tokens->ids[tokens->count++] = token;
        return;
    }
    if (!tokens->dense)
        make_dense(tokens);
    add_bit(tokens, token);
}

void cz_tokens_remove(struct cz_tokens *tokens, uint32_t token)
{
    uint32_t *word = &tokens->machine->scratch_words[token / 32], bit = 1u << token % 32;
    tokens->count -= (*word & bit) != 0;
    *word &= ~bit;
}

void cz_tokens_add_chain(struct cz_tokens *tokens, uint32_t token)
{
    for (; token != UINT32_MAX; token = tokens->trie->same[token])
        cz_tokens_add(tokens, token);
}

void cz_tokens_add_below(struct cz_tokens *tokens, uint32_t node)
{
    const struct cz_trie *trie = tokens->trie;
    uint32_t first = trie->before[node], end = trie->before[node + trie->nodes[node].skip];
    if (!tokens->dense && tokens->count + (end - first) > CZ_TOKENS_LISTED)
        make_dense(tokens);
    if (!tokens->dense) {
        memcpy(tokens->ids + tokens->count, trie->order + first,
               (end - first) * sizeof *tokens->ids);
        tokens->count += end - first;
        return;
    }
    for (uint32_t i = first; i < end; i++)
        add_bit(tokens, trie->order[i]);
}

void cz_tokens_join_uncertain(struct cz_tokens *tokens, const uint32_t *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!cz_machine_grow(tokens->machine, (void **)&tokens->uncertain, tokens->uncertain_count,
                             &tokens->uncertain_capacity, sizeof *tokens->uncertain))
            return;
        tokens->uncertain[tokens->uncertain_count++] = list[i];
    }
}

void cz_tokens_add_uncertain(struct cz_tokens *tokens, uint32_t token)
{
    for (; token != UINT32_MAX; token = tokens->trie->same[token])
        cz_tokens_join_uncertain(tokens, &token, 1);
}

void cz_tokens_join(struct cz_tokens *tokens, const uint32_t *words)
{
    if (!tokens->dense)
        make_dense(tokens);
    for (uint32_t i = 0; i < tokens->machine->vocab->words; i++)
        tokens->machine->scratch_words[i] |= words[i];
    count_bits(tokens);
}

void cz_tokens_keep(struct cz_tokens *tokens, const uint32_t *words)
{
    for (uint32_t i = 0; i < tokens->machine->vocab->words; i++)
        tokens->machine->scratch_words[i] &= words[i];
    count_bits(tokens);
}

void cz_tokens_use(struct cz_tokens *tokens, const uint32_t *words, uint32_t count)
{
    memcpy(tokens->machine->scratch_words, words, tokens->machine->vocab->words * sizeof *words);
    tokens->count = count;
    tokens->dense = true;
}

/* By way of bits, and bits that tell which words have any. */
static void order_by_bits(struct cz_tokens *tokens)
{
    struct cz_machine *machine = tokens->machine;
    uint32_t words = machine->vocab->words, listed = tokens->count;
    uint32_t *filled = machine->scratch_words + words;
    memset(filled, 0, (words / 32 + 1) * sizeof *filled);
    for (uint32_t i = 0; i < listed; i++)
        filled[tokens->ids[i] / 1024] |= 1u << tokens->ids[i] / 32 % 32;
    make_dense(tokens);
    tokens->dense = false;
    tokens->count = 0;
    for (uint32_t f = 0; f <= words / 32; f++) {
        for (uint32_t some = filled[f]; some; some &= some - 1) {
            uint32_t w = f * 32 + (uint32_t)__builtin_ctz(some);
            for (uint32_t bits = machine->scratch_words[w]; bits; bits &= bits - 1)
                tokens->ids[tokens->count++] = w * 32 + (uint32_t)__builtin_ctz(bits);
        }
    }
}

/* By insertion while they are few, else over the bits. */
static void order_ids(struct cz_tokens *tokens)
{
    enum { FEW = 48 };
    uint32_t *ids = tokens->ids;
    if (tokens->count > FEW) {
        order_by_bits(tokens);
        return;
    }
    for (uint32_t i = 1; i < tokens->count; i++) {
        uint32_t id = ids[i], at = i;
        for (; at > 0 && ids[at - 1] > id; at--)
            ids[at] = ids[at - 1];
        ids[at] = id;
    }
}

static void sort_ids(struct cz_tokens *tokens)
{
    uint32_t kept = 0;
    order_ids(tokens);
    for (uint32_t i = 0; i < tokens->count; i++) {
        if (!kept || tokens->ids[kept - 1] != tokens->ids[i])
            tokens->ids[kept++] = tokens->ids[i];
    }
    tokens->count = kept;
}

uint32_t *cz_tokens_copy(struct cz_tokens *tokens)
{
    if (!tokens->dense)
        sort_ids(tokens);
    size_t size = tokens->dense ? tokens->machine->vocab->words : tokens->count;
    uint32_t *copy = cz_heap_alloc((size + 1) * sizeof *copy);
    if (copy && size)
        memcpy(copy, tokens->dense ? tokens->machine->scratch_words : tokens->ids,
               size * sizeof *copy);
    return copy;
}
