/*
 * mask.c - which tokens a thread allows: one walk over the vocabulary's trie, kept for next time.
 *
 * The walk carries the threads of every depth on a stack of its own. Where the local is the inside
 * of a string that any text can continue, the tokens that are plain text are known per vocabulary,
 * and only those with a quote, an escape or a control byte are walked.
 */
#include "constraint/machine.h"
#include "constraint/vocab_internal.h"

#include <stdlib.h>

enum { SPARSE_LIMIT = 512 };

/* The tokens found, as ids while they are few, else as bits in the machine's scratch. */
struct collection {
    struct cz_machine *machine;
    uint32_t ids[SPARSE_LIMIT];
    uint32_t count;
    bool dense;
    uint32_t *uncertain;
    uint32_t uncertain_count, uncertain_capacity;
};

static void make_dense(struct collection *found)
{
    struct cz_machine *machine = found->machine;
    memset(machine->scratch_words, 0, machine->vocab->words * sizeof(uint32_t));
    for (uint32_t i = 0; i < found->count; i++)
        machine->scratch_words[found->ids[i] / 32] |= 1u << found->ids[i] % 32;
    found->dense = true;
}

static void add_token(struct collection *found, uint32_t token)
{
    const struct cz_vocab *vocab = found->machine->vocab;
    for (; token != UINT32_MAX; token = vocab->same[token]) {
        if (!found->dense && found->count < SPARSE_LIMIT) {
            found->ids[found->count++] = token;
            continue;
        }
        if (!found->dense)
            make_dense(found);
        uint32_t *word = &found->machine->scratch_words[token / 32];
        found->count += !(*word >> token % 32 & 1);
        *word |= 1u << token % 32;
    }
}

static void add_uncertain(struct collection *found, uint32_t token)
{
    const struct cz_vocab *vocab = found->machine->vocab;
    for (; token != UINT32_MAX; token = vocab->same[token]) {
        if (!cz_machine_grow(found->machine, (void **)&found->uncertain, found->uncertain_count,
                             &found->uncertain_capacity, sizeof *found->uncertain))
            return;
        found->uncertain[found->uncertain_count++] = token;
    }
}

static bool take_node(void *context, uint32_t token, const struct cz_thread *threads,
                      uint32_t count)
{
    struct collection *found = context;
    bool certain = false;
    for (uint32_t i = 0; i < count && !certain; i++)
        certain = !(threads[i].marks & THREAD_UNCERTAIN);
    if (certain)
        add_token(found, token);
    else
        add_uncertain(found, token);
    return true;
}

/* What is done with a token that some thread allows: false stops the walk. */
typedef bool take_function(void *context, uint32_t token, const struct cz_thread *threads,
                           uint32_t count);

/* Walks the nodes below `top` with these threads at it. */
static void walk(struct cz_machine *machine, const struct cz_trie *trie, uint32_t top,
                 const struct cz_thread *begin, uint32_t begin_count, take_function *take,
                 void *context)
{
    struct cz_threads *threads = &machine->walk;
    uint32_t *starts = machine->walk_starts, base = cz_trie_depth(&trie->nodes[top]);
    threads->count = 0;
    for (uint32_t i = 0; i < begin_count; i++) {
        if (!cz_threads_add(threads, begin[i])) {
            cz_machine_fail(machine, CLOZE_MEMORY, NULL, "out of memory");
            return;
        }
    }
    starts[0] = 0;
    starts[1] = begin_count;
    for (uint32_t i = top + 1, end = top + trie->nodes[top].skip; i < end;) {
        const struct cz_trie_node *node = &trie->nodes[i];
        uint32_t depth = cz_trie_depth(node) - base, first = starts[depth];
        threads->count = first;
        for (uint32_t t = starts[depth - 1]; t < first; t++) {
            struct cz_thread at = threads->items[t];
            const uint32_t *table = machine->locals[at.local].next;
            if (table && table[node->byte] == STEP_DEAD)
                continue;
            cz_thread_step(machine, at, node->byte, NULL, threads, first);
        }
        if (threads->count == first) {
            i += node->skip;
            continue;
        }
        starts[depth + 1] = threads->count;
        if (node->token != UINT32_MAX &&
            !take(context, node->token, threads->items + first, threads->count - first))
            return;
        i++;
    }
}

/* Inside a string that any text may continue. */
static bool is_open_text(const struct cz_machine *machine, const struct cz_local *local)
{
    if (local->kind == LOCAL_STRING)
        return local->b == 0 && cz_expr_is_open(machine->exprs, local->a);
    return local->kind == LOCAL_OTHER && local->d == 0 && cz_expr_is_open(machine->exprs, local->c);
}

static int compare_ids(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

static bool store_entry(struct cz_machine *machine, struct collection *found,
                        struct cz_mask_entry *entry)
{
    size_t size = found->dense ? machine->vocab->words : found->count;
    uint32_t *copy = malloc((size + 1) * sizeof *copy);
    if (!copy) {
        free(found->uncertain);
        return false;
    }
    if (!found->dense)
        qsort(found->ids, found->count, sizeof *found->ids, compare_ids);
    if (size)
        memcpy(copy, found->dense ? machine->scratch_words : found->ids, size * sizeof *copy);
    entry->words = found->dense ? copy : NULL;
    entry->ids = found->dense ? NULL : copy;
    entry->count = found->count;
    entry->uncertain = found->uncertain;
    entry->uncertain_count = found->uncertain_count;
    entry->ready = true;
    machine->mask_bytes += (size + found->uncertain_capacity) * sizeof *copy;
    return true;
}

/* A special token that the thread takes by id. */
static void add_token_local(struct cz_machine *machine, struct cz_thread thread,
                            struct collection *found)
{
    struct cz_threads opened = {0};
    if (cz_symbol_tokens(machine, thread, &opened)) {
        for (uint32_t i = 0; i < opened.count; i++)
            add_token(found, machine->locals[opened.items[i].local].a);
    }
    free(opened.items);
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
    struct cz_vocab *vocab = machine->vocab;
    struct collection found = {.machine = machine};
    struct cz_thread thread = {local, stack, 0};
    if (is_open_text(machine, &machine->locals[local])) {
        memcpy(machine->scratch_words, vocab->text_words, vocab->words * sizeof(uint32_t));
        found.dense = true;
        found.count = vocab->text_count;
        walk(machine, &vocab->unsafe, 0, &thread, 1, take_node, &found);
    } else {
        walk(machine, &vocab->trie, 0, &thread, 1, take_node, &found);
    }
    if (machine->rules)
        add_token_local(machine, thread, &found);
    return store_entry(machine, &found, &machine->masks[id]) ? &machine->masks[id] : NULL;
}

/* ---- Masks under a budget ---- */

struct measure {
    struct cz_machine *machine;
    uint32_t limit, farthest;
    uint32_t *words; /* may be NULL */
};

static bool measure_node(void *context, uint32_t token, const struct cz_thread *threads,
                         uint32_t count)
{
    struct measure *measure = context;
    uint32_t nearest = CZ_FAR;
    for (uint32_t i = 0; i < count; i++) {
        if (threads[i].marks & THREAD_UNCERTAIN)
            continue;
        uint32_t distance = cz_thread_distance(measure->machine, threads[i]);
        nearest = distance < nearest ? distance : nearest;
    }
    measure->farthest = nearest > measure->farthest ? nearest : measure->farthest;
    for (; measure->words && nearest <= measure->limit && token != UINT32_MAX;
         token = measure->machine->vocab->same[token])
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
    walk(machine, text ? &machine->vocab->unsafe : &machine->vocab->trie, 0, threads, count,
         measure_node, measure);
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

/* ---- */

static bool found_one(void *context, uint32_t token, const struct cz_thread *threads,
                      uint32_t count)
{
    (void)token, (void)threads, (void)count;
    *(bool *)context = true;
    return false;
}

bool cz_mask_goes_on(struct cz_machine *machine, uint32_t at, const struct cz_threads *threads)
{
    bool found = false;
    walk(machine, &machine->vocab->trie, at, threads->items, threads->count, found_one, &found);
    return found;
}
