/*
 * split.c - splits: what of a local's mask does not depend on the stack below it.
 *
 * A split is made by walking with an unknown stack: the tokens that are allowed whatever stands
 * below, and the exits, nodes where the local is left and the stack decides.
 *
 * Inside strings the plain text of the vocabulary is known beforehand (vocab.c), by length too. A
 * string state that differs from "any text" only here and there (a key that must not be one of those
 * declared) has that state as its base, and the parts of the trie where they differ.
 */
#include "constraint/split_cache.h"

#include "base/heap.h"
#include "base/utf8.h"

bool cz_threads_certain(const struct cz_threads *threads, uint32_t first)
{
    for (uint32_t i = first; i < threads->count; i++) {
        if (!(threads->items[i].marks & THREAD_UNCERTAIN))
            return true;
    }
    return false;
}

struct splitting {
    struct cz_tokens found;
    struct cz_split *split;
    enum cz_exit_trie which; /* the trie that is walked */
};

const struct cz_trie *cz_exit_trie(const struct cz_vocab *vocab, enum cz_exit_trie which)
{
    switch (which) {
    case CZ_EXIT_UNSAFE:
        return &vocab->unsafe;
    case CZ_EXIT_ESCAPES:
        return &vocab->escapes;
    case CZ_EXIT_GAPS:
        return &vocab->gaps;
    case CZ_EXIT_MIXED:
        return &vocab->mixed;
    default:
        return &vocab->trie;
    }
}

void cz_split_free(struct cz_split *split)
{
    cz_heap_free(split->parts);
    cz_heap_free(split->part_locals);
    cz_heap_free(split->ids);
    cz_heap_free(split->words);
    cz_heap_free(split->uncertain);
    cz_heap_free(split->exits);
}

static void add_exit(struct splitting *splitting, struct cz_exit exit)
{
    struct cz_split *split = splitting->split;
    if (cz_machine_grow(splitting->found.machine, (void **)&split->exits, split->exit_count,
                        &split->exit_capacity, sizeof *split->exits))
        split->exits[split->exit_count++] = exit;
}

/* Threads that left the local become exits. */
static bool take_exits(void *context, uint32_t node, uint32_t token, struct cz_threads *threads,
                       uint32_t first)
{
    struct splitting *splitting = context;
    bool ends = false;
    uint32_t kept = first;
    for (uint32_t i = first; i < threads->count; i++) {
        struct cz_thread thread = threads->items[i];
        if (thread.local != CZ_LOCAL_EXIT && thread.local != CZ_LOCAL_EXIT_REDO) {
            threads->items[kept++] = thread;
            continue;
        }
        bool redo = thread.local == CZ_LOCAL_EXIT_REDO;
        ends |= !redo;
        if (redo || splitting->found.trie->nodes[node].skip > 1)
            add_exit(splitting,
                     (struct cz_exit){node, thread.marks, redo, (uint8_t)splitting->which});
    }
    threads->count = kept;
    if (token == UINT32_MAX)
        return true;
    if (ends || (kept > first && cz_threads_certain(threads, first)))
        cz_tokens_add_chain(&splitting->found, token);
    else if (kept > first)
        cz_tokens_add_uncertain(&splitting->found, token);
    return true;
}

static void walk_from(struct splitting *splitting, enum cz_exit_trie which, uint32_t top,
                      bool at_top, uint32_t local)
{
    struct cz_machine *machine = splitting->found.machine;
    const struct cz_thread thread = {.local = local, .stack = CZ_STACK_UNKNOWN};
    const struct cz_trie *trie = cz_exit_trie(machine->vocab, which);
    splitting->which = which;
    splitting->found.trie = trie;
    cz_walk(machine, trie, top, at_top, &thread, 1, take_exits, &splitting->found, splitting);
}

static void split_walk(struct splitting *splitting, enum cz_exit_trie which, uint32_t local)
{
    walk_from(splitting, which, 0, false, local);
}

bool cz_text_of(const struct cz_machine *machine, uint32_t id, cz_expr *expr)
{
    const struct cz_local *local = &machine->locals[id];
    *expr = local->a;
    return local->kind == LOCAL_STRING && local->b == 0;
}

uint32_t cz_text_local(struct cz_machine *machine, cz_expr expr)
{
    return cz_local_add(machine, LOCAL_STRING, expr, 0, 0, 0);
}

/* Any text: every quote of the vocabulary leads out of it in the same way. */
static void split_text(struct splitting *splitting, uint32_t local)
{
    const struct cz_vocab *vocab = splitting->found.machine->vocab;
    cz_tokens_use(&splitting->found, vocab->text_words, vocab->text_count);
    for (uint32_t i = 0; i < vocab->closing_count; i++)
        cz_tokens_add(&splitting->found, vocab->closing[i]);
    split_walk(splitting, CZ_EXIT_ESCAPES, local);
    splitting->split->quotes = true;
}

/* At most so many characters. */
static void use_short_text(struct cz_tokens *found, uint32_t characters)
{
    const struct cz_vocab *vocab = found->machine->vocab;
    if (characters <= CZ_VOCAB_SHORT) {
        cz_tokens_use(found, vocab->short_words[characters], vocab->short_counts[characters]);
        return;
    }
    cz_tokens_use(found, vocab->text_words, vocab->text_count);
    for (uint32_t i = vocab->long_count; i-- > 0 && vocab->long_sizes[i] > characters;)
        cz_tokens_remove(found, vocab->long_ids[i]);
}

/* ---- Declared keys: the trie is followed along the keys, without a local for every prefix ---- */

static struct cz_inner name_of(const struct cz_local *local)
{
    return (struct cz_inner){.named = true, .object = local->a, .first = local->b >> 16,
                             .last = local->b & 0xFFFF, .depth = local->c};
}

/* The part of the trie at `child` is walked as usual, from the key's local. */
static void name_part(struct splitting *splitting, const struct cz_inner *inner, uint32_t child)
{
    struct cz_machine *machine = splitting->found.machine;
    if (child)
        walk_from(splitting, splitting->which, child, true,
                  cz_local_add(machine, LOCAL_NAME, inner->object,
                               inner->first << 16 | inner->last, inner->depth, 0));
}

/* Tokens that end within the digits of this 16-bit unit; false when one has all of them. */
static bool name_unit(struct splitting *splitting, uint32_t at, uint32_t unit, unsigned digit)
{
    const struct cz_trie *trie = splitting->found.trie;
    uint32_t value = unit >> (12 - 4 * digit) & 15;
    for (int upper = 0; upper <= (value > 9); upper++) {
        char byte = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[value];
        uint32_t child = cz_trie_child(trie, at, (uint8_t)byte);
        if (!child)
            continue;
        if (digit == 3)
            return false;
        cz_tokens_add_node(&splitting->found, &trie->nodes[child]);
        if (!name_unit(splitting, child, unit, digit + 1))
            return false;
    }
    return true;
}

/* Acceptance: the next characters of the keys as \u escapes, of which the vocabulary seldom has more
 * than the beginning. false when that is not all, and they are to be walked. */
static bool name_escapes(struct splitting *splitting, const struct cz_inner *inner,
                         const struct cz_keyset *keyset, uint32_t backslash)
{
    struct cz_machine *machine = splitting->found.machine;
    const struct cz_trie *trie = splitting->found.trie;
    uint32_t u = cz_trie_child(trie, backslash, 'u'), before = UINT32_MAX, code;
    for (uint32_t i = inner->first; i < inner->last; i++) {
        struct cz_slice key = machine->keys[keyset->keys[i]];
        struct cz_inner one = *inner;
        one.first = i;
        one.last = i + 1;
        if (key.size <= inner->depth || !cz_inner_trim(machine, &one) ||
            !cz_utf8_decode(key.data + inner->depth, key.size - inner->depth, &code) ||
            code == before)
            continue;
        if (code < 0x20 || strchr("\"\\/", (int)code))
            return false;
        uint32_t unit = code < 0x10000 ? code : 0xD800 + ((code - 0x10000) >> 10);
        if (u && !name_unit(splitting, u, unit, 0))
            return false;
        before = code;
    }
    if (before != UINT32_MAX) {
        cz_tokens_add_node(&splitting->found, &trie->nodes[backslash]);
        if (u)
            cz_tokens_add_node(&splitting->found, &trie->nodes[u]);
    }
    return true;
}

static void name_walk(struct splitting *splitting, struct cz_inner inner, uint32_t at);

/* The keys that go on with this byte; *i is moved behind them. */
static void name_byte(struct splitting *splitting, const struct cz_inner *inner,
                      const struct cz_keyset *keyset, uint32_t at, uint32_t *i)
{
    struct cz_machine *machine = splitting->found.machine;
    const struct cz_trie *trie = splitting->found.trie;
    uint8_t byte = (uint8_t)machine->keys[keyset->keys[*i]].data[inner->depth];
    struct cz_inner next = *inner;
    next.first = *i;
    while (*i < inner->last &&
           (uint8_t)machine->keys[keyset->keys[*i]].data[inner->depth] == byte)
        ++*i;
    next.last = *i;
    next.depth++;
    if (byte < 0x20 || byte == '"' || byte == '\\' || !cz_inner_trim(machine, &next))
        return; /* spelled with an escape: walked apart */
    uint32_t child = cz_trie_child(trie, at, byte);
    if (!child)
        return;
    cz_tokens_add_node(&splitting->found, &trie->nodes[child]);
    name_walk(splitting, next, child);
}

/* Recursion is as deep as a token. */
static void name_walk(struct splitting *splitting, struct cz_inner inner, uint32_t at)
{
    struct cz_machine *machine = splitting->found.machine;
    const struct cz_trie *trie = splitting->found.trie;
    const struct cz_keyset *keyset =
        machine->keysets[cz_object_get(machine, inner.object).keyset];
    if (trie->nodes[at].skip == 1 || !cz_inner_trim(machine, &inner))
        return;
    uint32_t backslash = cz_trie_child(trie, at, '\\'), i = inner.first;
    if (machine->keys[keyset->keys[i]].size == inner.depth) {
        name_part(splitting, &inner, cz_trie_child(trie, at, '"'));
        i++;
    }
    if (backslash && (machine->options.policy == CZ_POLICY_GENERATE ||
                      !name_escapes(splitting, &inner, keyset, backslash)))
        name_part(splitting, &inner, backslash);
    while (i < inner.last)
        name_byte(splitting, &inner, keyset, at, &i);
}

static bool split_name(struct splitting *splitting, uint32_t id)
{
    struct cz_machine *machine = splitting->found.machine;
    const struct cz_local local = machine->locals[id];
    if (local.kind != LOCAL_NAME || local.d)
        return false;
    splitting->which = CZ_EXIT_ALL;
    splitting->found.trie = &machine->vocab->trie;
    name_walk(splitting, name_of(&local), 0);
    return true;
}

/* The quote at `top` begins a key: a declared one, or others. */
static void walk_key(struct splitting *splitting, enum cz_exit_trie which, uint32_t top,
                     uint32_t local)
{
    struct cz_machine *machine = splitting->found.machine;
    const struct cz_trie *trie = cz_exit_trie(machine->vocab, which);
    uint32_t step = cz_local_step(machine, local, '"');
    struct cz_effect effect = step & STEP_EFFECT ? machine->effects[step & ~STEP_EFFECT]
                                                 : (struct cz_effect){0, 1};
    splitting->which = which;
    splitting->found.trie = trie;
    cz_tokens_add_node(&splitting->found, &trie->nodes[top]);
    for (uint32_t i = 0; i < effect.count; i++) {
        struct cz_alternative alternative =
            step & STEP_EFFECT ? machine->alternatives[effect.first + i]
                               : (struct cz_alternative){.op = OP_GO, .next = step};
        const struct cz_local next = machine->locals[alternative.next];
        struct cz_thread thread = {.local = alternative.next, .stack = CZ_STACK_UNKNOWN};
        for (uint32_t j = 0; j < alternative.push_count; j++)
            thread.stack = cz_stack_push(machine, thread.stack,
                                         machine->pushes[alternative.push_first + j]);
        if (next.kind == LOCAL_NAME)
            name_walk(splitting, name_of(&next), top);
        else
            cz_walk(machine, trie, top, false, &thread, 1, take_exits, &splitting->found,
                    splitting);
    }
}

/* ---- Where letters and digits may follow as they like ---- */

/* Whether the token's bytes leave the local alive; none of them ends a string. */
static bool takes_word(struct cz_machine *machine, uint32_t local, struct cz_slice token)
{
    for (size_t i = 0; i < token.size && local != STEP_DEAD; i++)
        local = cz_local_step(machine, local, (uint8_t)token.data[i]);
    return local != STEP_DEAD;
}

/* Tokens that are words are known by length; those that go beyond the freedom are tried one by one. */
static bool split_words(struct splitting *splitting, uint32_t local)
{
    enum { WORTHWHILE = 6 };
    struct cz_machine *machine = splitting->found.machine;
    const struct cz_vocab *vocab = machine->vocab;
    uint32_t limit = cz_local_word_limit(machine, local);
    if (limit < WORTHWHILE)
        return false;
    limit = limit > CZ_VOCAB_SHORT ? CZ_VOCAB_SHORT : limit;
    cz_tokens_use(&splitting->found, vocab->word_words, vocab->word_count);
    cz_tokens_keep(&splitting->found, vocab->short_words[limit]);
    for (uint32_t i = 0; i < vocab->word_count; i++) {
        struct cz_slice token = cz_vocab_token(vocab, vocab->word_ids[i]);
        if (token.size <= limit)
            break;
        if (takes_word(machine, local, token))
            cz_tokens_add(&splitting->found, vocab->word_ids[i]);
    }
    struct cz_trie_cursor children = cz_trie_children(&vocab->trie, 0);
    for (uint32_t child; (child = cz_trie_next(&vocab->trie, &children));) {
        if (!cz_is_word(vocab->trie.nodes[child].byte))
            walk_from(splitting, CZ_EXIT_ALL, child, true, local);
    }
    split_walk(splitting, CZ_EXIT_MIXED, local);
    return true;
}

/* ---- Where white space or the end of a number comes first ---- */

static void walk_structure(struct splitting *splitting, enum cz_exit_trie which, uint32_t local)
{
    struct cz_machine *machine = splitting->found.machine;
    const struct cz_trie *trie = cz_exit_trie(machine->vocab, which);
    uint32_t kind = machine->locals[local].kind;
    bool key = kind == LOCAL_OBJECT_KEY || kind == LOCAL_OBJECT_OPEN;
    struct cz_trie_cursor children = cz_trie_children(trie, 0);
    for (uint32_t child; (child = cz_trie_next(trie, &children));) {
        uint8_t byte = trie->nodes[child].byte;
        if (cz_is_blank(byte) || cz_local_step(machine, local, byte) == STEP_DEAD)
            continue;
        if (byte == '"' && key)
            walk_key(splitting, which, child, local);
        else
            walk_from(splitting, which, child, true, local);
    }
}

/* The beginning of a gap: white space leads on alike wherever it stands. */
static bool split_gap(struct splitting *splitting, uint32_t local)
{
    struct cz_machine *machine = splitting->found.machine;
    const struct cz_vocab *vocab = machine->vocab;
    if (!cz_local_begins_gap(machine, local))
        return false;
    walk_structure(splitting, CZ_EXIT_ALL, local);
    for (uint32_t i = 0; i < vocab->blank_count; i++)
        cz_tokens_add(&splitting->found, vocab->blanks[i]);
    walk_structure(splitting, CZ_EXIT_GAPS, local);
    return true;
}

/* What ends a number is no part of it: the stack's own mask, which begins with none of its
 * characters. */
static bool split_number(struct splitting *splitting, uint32_t id)
{
    struct cz_machine *machine = splitting->found.machine;
    const struct cz_local local = machine->locals[id];
    if (local.kind != LOCAL_NUMBER)
        return false;
    for (const char *byte = "+-.0123456789Ee"; *byte; byte++) {
        uint32_t child = cz_trie_child(&machine->vocab->trie, 0, (uint8_t)*byte);
        if (child)
            walk_from(splitting, CZ_EXIT_ALL, child, true, id);
    }
    splitting->split->leaves = cz_number_is_whole(machine->numbers, local.a);
    return true;
}

static void split_new(struct splitting *splitting, uint32_t local)
{
    struct cz_machine *machine = splitting->found.machine;
    const struct cz_vocab *vocab = machine->vocab;
    cz_expr expr;
    if (split_name(splitting, local) || split_gap(splitting, local) ||
        split_number(splitting, local)) {
        return;
    } else if (!cz_text_of(machine, local, &expr)) {
        split_walk(splitting, CZ_EXIT_ALL, local);
    } else if (expr == CZ_EXPR_TEXT) {
        split_text(splitting, local);
    } else if (cz_expr_is_open(machine->exprs, expr)) {
        cz_tokens_use(&splitting->found, vocab->text_words, vocab->text_count);
        split_walk(splitting, CZ_EXIT_UNSAFE, local);
    } else if (cz_expr_longest_text(machine->exprs, expr) != CZ_EXPR_UNBOUNDED) {
        use_short_text(&splitting->found, cz_expr_longest_text(machine->exprs, expr));
        split_walk(splitting, CZ_EXIT_UNSAFE, local);
    } else if (!split_words(splitting, local)) {
        split_walk(splitting, CZ_EXIT_ALL, local);
    }
}

/* ---- Splits by difference ---- */

/* Compares two locals along the trie: where a byte takes both to the same place, all below is equal.
 * Where one ends, or the effects differ, the part is noted. Recursion is as deep as a token. */
static bool differ(struct cz_machine *machine, struct cz_split *split, uint32_t at, uint32_t a,
                   uint32_t b)
{
    const struct cz_trie *trie = &machine->vocab->trie;
    struct cz_trie_cursor children = cz_trie_children(trie, at);
    enum { PART_LIMIT = 4096 };
    for (uint32_t child; (child = cz_trie_next(trie, &children));) {
        uint8_t byte = trie->nodes[child].byte;
        uint32_t x = cz_local_step(machine, a, byte), y = cz_local_step(machine, b, byte);
        if (x == y)
            continue;
        if (x == STEP_DEAD || y == STEP_DEAD || (x & STEP_EFFECT) || (y & STEP_EFFECT)) {
            if (split->part_count >= PART_LIMIT ||
                !cz_machine_grow(machine, (void **)&split->parts, split->part_count,
                                 &split->part_capacity, sizeof *split->parts) ||
                !cz_machine_grow(machine, (void **)&split->part_locals, split->part_count,
                                 &split->part_locals_capacity, sizeof *split->part_locals))
                return false;
            split->parts[split->part_count] = child;
            split->part_locals[split->part_count++] = a;
        } else if (!differ(machine, split, child, x, y)) {
            return false;
        }
    }
    return true;
}

/* A state that plain text takes to "any text", which it then differs from in few places. */
static bool split_by_difference(struct cz_machine *machine, struct cz_split *split, uint32_t local)
{
    cz_expr expr;
    if (!cz_text_of(machine, local, &expr) || expr == CZ_EXPR_TEXT ||
        !cz_expr_is_open(machine->exprs, expr))
        return false;
    unsigned alike = 0;
    uint32_t base = cz_text_local(machine, CZ_EXPR_TEXT);
    for (uint8_t byte = 0x20; byte < 0x7F; byte++)
        alike += cz_local_step(machine, local, byte) == cz_local_step(machine, base, byte);
    if (alike < 30)
        return false;
    if (!differ(machine, split, 0, local, base)) {
        cz_split_free(split);
        return false;
    }
    split->base = base;
    return true;
}

/* ---- Splits by local ---- */

static struct cz_split *slot_of(struct cz_machine *machine, uint32_t local)
{
    if (local >= machine->split_capacity) {
        uint32_t capacity = (local + 64) * 2;
        struct cz_split *larger = cz_heap_resize(machine->splits, capacity * sizeof *larger);
        if (!larger)
            return NULL;
        memset(larger + machine->split_capacity, 0,
               (capacity - machine->split_capacity) * sizeof *larger);
        machine->splits = larger;
        machine->split_capacity = capacity;
    }
    return &machine->splits[local];
}

static struct cz_split make(struct cz_machine *machine, uint32_t local)
{
    struct cz_split made = {.ready = true};
    struct splitting splitting = {.found.machine = machine, .split = &made};
    split_new(&splitting, local);
    uint32_t *copy = cz_tokens_copy(&splitting.found);
    made.words = splitting.found.dense ? copy : NULL;
    made.ids = splitting.found.dense ? NULL : copy;
    made.count = splitting.found.count;
    made.uncertain = splitting.found.uncertain;
    made.uncertain_count = splitting.found.uncertain_count;
    return made;
}

/* A string state's split is that of its language: another grammar may have made it. */
static struct cz_split of_language(struct cz_machine *machine, uint32_t local, cz_expr expr)
{
    struct cz_split_cache *cache = machine->vocab->splits;
    enum cz_policy policy = machine->options.policy;
    struct cz_shared_split *shared = cz_split_cache_find(cache, machine->exprs, expr, policy);
    struct cz_split split;
    if (!shared) {
        split = make(machine, local);
        shared = cz_split_cache_add(cache, machine->exprs, expr, policy, &split);
    }
    if (shared) {
        split = *cz_shared_split_get(shared);
        split.shared = shared;
    }
    return split;
}

struct cz_split *cz_split_of(struct cz_machine *machine, uint32_t local)
{
    struct cz_split *slot = slot_of(machine, local);
    cz_expr expr;
    if (!slot || slot->ready)
        return slot;
    struct cz_split made = {.ready = true};
    if (!split_by_difference(machine, &made, local))
        made = cz_text_of(machine, local, &expr) ? of_language(machine, local, expr)
                                                 : make(machine, local);
    machine->splits[local] = made; /* the table may have moved */
    return &machine->splits[local];
}
