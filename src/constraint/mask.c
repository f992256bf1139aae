/*
 * mask.c - which tokens a thread allows: a walk over the vocabulary's trie, split so that most of it
 * is done once per local, not once per stack.
 *
 * A local's split is made by walking with an unknown stack: the tokens that are allowed whatever
 * stands below, and the exits, nodes where the local is left and the stack decides. A mask is a
 * local's split, continued from its exits with the stack at hand; without exits it is the split
 * itself, and nothing is copied.
 *
 * Inside strings the plain text of the vocabulary is known beforehand (vocab.c), by length too, and
 * what follows a closing quote is one small trie for all of it. A string state that differs from
 * "any text" only here and there (a key that must not be one of those declared) takes that state's
 * mask and redoes the parts of the trie where they differ.
 */
#include "constraint/split_cache.h"

#include "base/heap.h"

static bool take_tokens(void *context, uint32_t node, uint32_t token, struct cz_threads *threads,
                        uint32_t first)
{
    (void)node;
    if (token == UINT32_MAX)
        return true;
    if (cz_threads_certain(threads, first))
        cz_tokens_add_chain(context, token);
    else
        cz_tokens_add_uncertain(context, token);
    return true;
}

/* ---- Masks ---- */

/* Starts from the split's own tokens. */
static void begin_with(struct cz_tokens *found, const struct cz_split *split)
{
    if (split->words) {
        cz_tokens_use(found, split->words, split->count);
    } else {
        found->count = split->count;
        if (split->count)
            memcpy(found->ids, split->ids, split->count * sizeof *split->ids);
    }
    cz_tokens_join_uncertain(found, split->uncertain, split->uncertain_count);
}

/* The thread that a local's end leads to, before what comes next is read. */
static struct cz_thread below(const struct cz_machine *machine, uint32_t stack, uint16_t marks)
{
    struct cz_stack top = machine->stacks[stack];
    uint16_t open = machine->locals[top.local].flags;
    return (struct cz_thread){top.local, top.parent, (uint16_t)(marks | open), 0};
}

/* Goes on from the exits with what the stack says. */
static void follow_exits(struct cz_tokens *found, const struct cz_split *split, uint32_t stack)
{
    struct cz_machine *machine = found->machine;
    for (uint32_t i = 0; i < split->exit_count; i++) {
        struct cz_exit exit = split->exits[i];
        struct cz_thread thread = below(machine, stack, exit.marks);
        found->trie = cz_exit_trie(machine->vocab, exit.trie);
        cz_walk(machine, found->trie, exit.node, exit.redo, &thread, 1, take_tokens, found, found);
    }
}

/* What follows a number that may end: the mask of what stands below, unless that is to remember it. */
static void follow_number(struct cz_tokens *found, uint32_t stack)
{
    struct cz_machine *machine = found->machine;
    struct cz_thread thread = below(machine, stack, 0);
    const struct cz_mask_entry *entry =
        thread.marks ? NULL : cz_mask_of(machine, thread.local, thread.stack);
    if (!entry) {
        found->trie = &machine->vocab->trie;
        cz_walk(machine, found->trie, 0, false, &thread, 1, take_tokens, found, found);
        return;
    }
    if (entry->words)
        cz_tokens_join(found, entry->words);
    for (uint32_t i = 0; entry->ids && i < entry->count; i++)
        cz_tokens_add(found, entry->ids[i]);
    cz_tokens_join_uncertain(found, entry->uncertain, entry->uncertain_count);
}

/* Behind the closing quote of any text. */
static void follow_quotes(struct cz_tokens *found, uint32_t local, uint32_t stack)
{
    struct cz_machine *machine = found->machine;
    struct cz_threads behind = {0};
    cz_thread_step(machine, (struct cz_thread){.local = local, .stack = stack}, '"', NULL, &behind, 0);
    found->trie = &machine->vocab->quotes;
    cz_walk(machine, found->trie, 0, false, behind.items, behind.count, take_tokens, found, found);
    cz_heap_free(behind.items);
}

/* Takes the base's mask and redoes the parts that differ. */
static bool redo_parts(struct cz_tokens *found, uint32_t local, uint32_t stack)
{
    struct cz_machine *machine = found->machine;
    const struct cz_trie *trie = &machine->vocab->trie;
    const struct cz_mask_entry *base = cz_mask_of(machine, machine->splits[local].base, stack);
    if (!base || !base->words)
        return false;
    cz_tokens_use(found, base->words, base->count);
    cz_tokens_join_uncertain(found, base->uncertain, base->uncertain_count);
    found->trie = trie;
    for (uint32_t i = 0; i < machine->splits[local].part_count; i++) {
        uint32_t node = machine->splits[local].parts[i];
        for (uint32_t t = trie->before[node]; t < trie->before[node + trie->nodes[node].skip]; t++)
            cz_tokens_remove(found, trie->order[t]);
        struct cz_thread thread = {.local = machine->splits[local].part_locals[i], .stack = stack};
        cz_walk(machine, trie, node, true, &thread, 1, take_tokens, found, found);
    }
    return true;
}

/* A special token that the thread takes by id. */
static void add_tokens_by_id(struct cz_tokens *found, struct cz_thread thread)
{
    struct cz_machine *machine = found->machine;
    struct cz_threads opened = {0};
    cz_symbol_tokens(machine, thread, &opened);
    for (uint32_t i = 0; i < opened.count; i++)
        cz_tokens_add(found, machine->locals[opened.items[i].local].a);
    cz_heap_free(opened.items);
}

/* Counters that no token can exhaust make no difference. */
static uint32_t canonical(struct cz_machine *machine, uint32_t local)
{
    cz_expr expr;
    if (!cz_text_of(machine, local, &expr))
        return local;
    cz_expr clamped = cz_expr_clamp(machine->exprs, expr, machine->vocab->longest);
    return clamped == expr ? local : cz_text_local(machine, clamped);
}

static bool fill_entry(struct cz_machine *machine, uint32_t local, uint32_t stack,
                       struct cz_mask_entry *entry)
{
    struct cz_split *split = cz_split_of(machine, local);
    struct cz_tokens found;
    if (!split)
        return false;
    if (!split->base && !split->exit_count && !split->quotes && !split->leaves && !machine->rules) {
        *entry = (struct cz_mask_entry){.ids = split->ids, .words = split->words,
                                        .count = split->count, .uncertain = split->uncertain,
                                        .uncertain_count = split->uncertain_count, .ready = true};
        return true;
    }
    struct cz_thread next = below(machine, stack, 0);
    if (split->base) /* these are made before the scratch is in use */
        cz_mask_of(machine, split->base, stack);
    else if (split->leaves && !next.marks)
        cz_mask_of(machine, next.local, next.stack);
    split = &machine->splits[local];
    found.machine = machine;
    found.count = found.uncertain_count = found.uncertain_capacity = 0;
    found.dense = false;
    found.uncertain = NULL;
    if (split->base) {
        if (!redo_parts(&found, local, stack))
            return false;
    } else {
        bool quotes = split->quotes, leaves = split->leaves;
        begin_with(&found, split);
        follow_exits(&found, split, stack);
        if (quotes)
            follow_quotes(&found, local, stack);
        if (leaves)
            follow_number(&found, stack);
    }
    if (machine->rules)
        add_tokens_by_id(&found, (struct cz_thread){.local = local, .stack = stack});
    uint32_t *copy = cz_tokens_copy(&found);
    *entry = (struct cz_mask_entry){.ids = found.dense ? NULL : copy,
                                    .words = found.dense ? copy : NULL, .count = found.count,
                                    .uncertain = found.uncertain,
                                    .uncertain_count = found.uncertain_count, .ready = true,
                                    .owned = true};
    return copy != NULL;
}

const struct cz_mask_entry *cz_mask_of(struct cz_machine *machine, uint32_t local, uint32_t stack)
{
    bool added;
    uint32_t id = cz_intern_add(&machine->mask_keys, (uint32_t[]){local, stack}, 2, &added);
    if (id == UINT32_MAX ||
        (added && !cz_machine_grow(machine, (void **)&machine->masks, id, &machine->mask_capacity,
                                   sizeof *machine->masks)))
        return NULL;
    if (added)
        machine->masks[id] = (struct cz_mask_entry){0};
    if (machine->masks[id].ready)
        return &machine->masks[id];
    struct cz_mask_entry entry = {0};
    uint32_t alike = canonical(machine, local);
    if (alike != local) {
        const struct cz_mask_entry *other = cz_mask_of(machine, alike, stack);
        if (!other)
            return NULL;
        entry = *other;
        entry.owned = false;
    } else if (!fill_entry(machine, local, stack, &entry)) {
        return NULL;
    }
    machine->masks[id] = entry;
    return &machine->masks[id];
}

size_t cz_masks_bytes(const struct cz_machine *machine)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < machine->mask_keys.count && i < machine->mask_capacity; i++) {
        const struct cz_mask_entry *entry = &machine->masks[i];
        if (entry->owned)
            bytes += cz_heap_size((void *)entry->ids) +
                     cz_heap_size((void *)entry->words) +
                     cz_heap_size(entry->uncertain);
    }
    for (uint32_t i = 0; i < machine->split_capacity; i++) {
        const struct cz_split *split = &machine->splits[i];
        if (split->shared)
            bytes += cz_shared_split_bytes(machine->vocab->splits, split->shared);
        else if (split->ready)
            bytes += cz_heap_size(split->parts) + cz_heap_size(split->part_locals) +
                     cz_heap_size(split->ids) + cz_heap_size(split->words) +
                     cz_heap_size(split->uncertain) + cz_heap_size(split->exits);
    }
    return bytes;
}

void cz_masks_free(struct cz_machine *machine)
{
    for (uint32_t i = 0; i < machine->mask_keys.count && i < machine->mask_capacity; i++) {
        if (!machine->masks[i].owned)
            continue;
        cz_heap_free((void *)machine->masks[i].ids);
        cz_heap_free((void *)machine->masks[i].words);
        cz_heap_free(machine->masks[i].uncertain);
    }
    for (uint32_t i = 0; i < machine->split_capacity; i++) {
        if (machine->splits[i].shared)
            cz_shared_split_release(machine->vocab->splits, machine->splits[i].shared);
        else
            cz_split_free(&machine->splits[i]);
    }
}

/* ---- Masks under a budget ---- */

struct measure {
    struct cz_machine *machine;
    const struct cz_trie *trie;
    uint32_t limit, farthest;
    uint32_t *words; /* may be NULL */
};

static bool measure_node(void *context, uint32_t node, uint32_t token, struct cz_threads *threads,
                         uint32_t first)
{
    struct measure *measure = context;
    uint32_t nearest = CZ_FAR;
    (void)node;
    if (token == UINT32_MAX)
        return true;
    for (uint32_t i = first; i < threads->count; i++) {
        if (threads->items[i].marks & THREAD_UNCERTAIN)
            continue;
        uint32_t distance = cz_thread_distance(
            measure->machine, cz_thread_close(measure->machine, threads->items[i]));
        nearest = distance < nearest ? distance : nearest;
    }
    measure->farthest = nearest > measure->farthest ? nearest : measure->farthest;
    for (; measure->words && nearest <= measure->limit && token != UINT32_MAX;
         token = measure->trie->same[token])
        measure->words[token / 32] |= 1u << token % 32;
    return true;
}

/* Inside a string of any text, plain text leads nowhere new, or into the middle of a character. */
static bool measure_text(struct measure *measure, const struct cz_thread *threads, uint32_t count)
{
    struct cz_machine *machine = measure->machine;
    const struct cz_vocab *vocab = machine->vocab;
    const struct cz_local *local = &machine->locals[threads[0].local];
    if (count != 1 || local->kind != LOCAL_STRING || local->a != CZ_EXPR_TEXT || local->b)
        return false;
    uint32_t distance = cz_thread_distance(machine, threads[0]) + 3;
    if (distance > measure->limit)
        return false;
    measure->farthest = distance;
    for (uint32_t i = 0; measure->words && i < vocab->words; i++)
        measure->words[i] |= vocab->text_words[i];
    return true;
}

static void measure_all(struct measure *measure, const struct cz_thread *threads, uint32_t count)
{
    struct cz_machine *machine = measure->machine;
    bool text = measure_text(measure, threads, count);
    measure->trie = text ? &machine->vocab->unsafe : &machine->vocab->trie;
    cz_walk(machine, measure->trie, 0, false, threads, count, measure_node, NULL, measure);
}

uint32_t cz_mask_reach(struct cz_machine *machine, struct cz_thread thread)
{
    struct measure measure = {.machine = machine, .limit = CZ_FAR};
    if (!cz_mask_of(machine, thread.local, thread.stack))
        return CZ_FAR;
    uint32_t id = cz_intern_add(&machine->mask_keys, (uint32_t[]){thread.local, thread.stack}, 2,
                                NULL);
    if (!machine->masks[id].reach) {
        measure_all(&measure, &thread, 1);
        machine->masks[id].reach = measure.farthest + 1;
    }
    return machine->masks[id].reach - 1;
}

void cz_mask_within(struct cz_machine *machine, const struct cz_thread *threads, uint32_t count,
                    uint32_t limit, uint32_t *words)
{
    struct measure measure = {.machine = machine, .limit = limit, .words = words};
    measure_all(&measure, threads, count);
}

/* ---- One question ---- */

static bool found_one(void *context, uint32_t node, uint32_t token, struct cz_threads *threads,
                      uint32_t first)
{
    (void)node, (void)threads, (void)first;
    *(bool *)context |= token != UINT32_MAX;
    return !*(bool *)context;
}

bool cz_mask_goes_on(struct cz_machine *machine, uint32_t at, const struct cz_threads *threads)
{
    bool found = false;
    cz_walk(machine, &machine->vocab->trie, at, false, threads->items, threads->count, found_one, NULL,
         &found);
    return found;
}
