/*
 * matcher.c - one sequence walking through a grammar.
 *
 * Every accepted token appends its threads to one array and a record to another; rolling back cuts
 * both. The stacks themselves are shared and persistent, in the machine. What the machine keeps is
 * never freed while a matcher holds its grammar, so masks are returned without copying.
 */
#include "constraint/matcher.h"

#include "base/heap.h"
#include "base/size.h"
#include "constraint/matcher_internal.h"
#include "constraint/vocab_internal.h"

enum {
    LIST = 512,        /* masks of at most this many tokens are handed out as a list */
    RESERVED_BYTES = 8 /* of a token, on average, that cz_matcher_reserve makes room for */
};

static struct record *last(const struct cz_matcher *matcher)
{
    return &matcher->records[matcher->record_count - 1];
}

static bool push_record(struct cz_matcher *matcher, struct record record)
{
    if (!cz_machine_grow(matcher->machine, (void **)&matcher->records, matcher->record_count,
                         &matcher->record_capacity, sizeof *matcher->records))
        return false;
    matcher->records[matcher->record_count++] = record;
    return true;
}

void cz_matcher_free(struct cz_matcher *matcher)
{
    if (!matcher)
        return;
    cz_heap_free(matcher->threads.items);
    cz_heap_free(matcher->records);
    cz_heap_free(matcher->scratch[0].items);
    cz_heap_free(matcher->scratch[1].items);
    cz_heap_free(matcher->words);
    cz_heap_free(matcher->ids);
    cz_buffer_free(&matcher->text);
    cz_buffer_free(&matcher->plan);
    cz_buffer_free(&matcher->forced_ids);
    cz_grammar_release(matcher->grammar);
    cz_heap_free(matcher);
}

static struct cz_matcher *allocate(struct cz_grammar *grammar)
{
    struct cz_matcher *matcher = cz_heap_zeroed(1, sizeof *matcher);
    if (!matcher)
        return NULL;
    matcher->grammar = cz_grammar_retain(grammar);
    matcher->machine = cz_grammar_machine(grammar);
    matcher->words =
        cz_heap_alloc(((size_t)matcher->machine->vocab->words + 1) * sizeof *matcher->words);
    matcher->ids = cz_heap_alloc(LIST * sizeof *matcher->ids);
    return matcher;
}

cloze_status cz_matcher_create(struct cz_grammar *grammar, struct cz_matcher **out,
                               struct cloze_error *error)
{
    struct cz_matcher *matcher = allocate(grammar);
    if (!matcher)
        return cz_fail_memory(error, "a matcher");
    struct cz_machine *machine = matcher->machine;
    struct cz_thread start = {.local = machine->root_local, .stack = machine->root_stack};
    if (!matcher->words || !matcher->ids || !cz_threads_add(&matcher->threads, start) ||
        !push_record(matcher, (struct record){0})) {
        cz_matcher_free(matcher);
        return cz_fail_memory(error, "a matcher");
    }
    *out = matcher;
    return CLOZE_OK;
}

cloze_status cz_matcher_fork(const struct cz_matcher *matcher, struct cz_matcher **out,
                             struct cloze_error *error)
{
    struct cz_matcher *copy = allocate(matcher->grammar);
    if (!copy)
        return cz_fail_memory(error, "a matcher");
    bool good = copy->words && copy->ids;
    for (uint32_t i = 0; i < matcher->threads.count && good; i++)
        good = cz_threads_add(&copy->threads, matcher->threads.items[i]);
    for (uint32_t i = 0; i < matcher->record_count && good; i++)
        good = push_record(copy, matcher->records[i]);
    cz_buffer_append_slice(&copy->text, cz_buffer_slice(&matcher->text));
    if (!good || copy->text.failed) {
        cz_matcher_free(copy);
        return cz_fail_memory(error, "a matcher");
    }
    copy->budgeted = matcher->budgeted;
    copy->heedless = matcher->heedless;
    copy->budget_end = matcher->budget_end;
    *out = copy;
    return CLOZE_OK;
}

static bool reserve_threads(struct cz_threads *threads, size_t count)
{
    struct cz_thread *larger = cz_heap_resize(threads->items, count * sizeof *larger);
    if (!larger)
        return false;
    threads->items = larger;
    threads->capacity = (uint32_t)count;
    return true;
}

cloze_status cz_matcher_reserve(struct cz_matcher *matcher, uint32_t tokens,
                                struct cloze_error *error)
{
    enum { THREADS = 64, PLAN = 4096 };
    size_t records = (size_t)matcher->record_count + tokens + 1;
    struct record *larger = cz_heap_resize(matcher->records, records * sizeof *larger);
    matcher->records = larger ? larger : matcher->records;
    if (!larger || !reserve_threads(&matcher->threads, matcher->threads.count + records + THREADS) ||
        !reserve_threads(&matcher->scratch[0], THREADS) ||
        !reserve_threads(&matcher->scratch[1], THREADS) ||
        !cz_buffer_reserve(&matcher->text, (size_t)tokens * RESERVED_BYTES) ||
        !cz_buffer_reserve(&matcher->forced_ids, PLAN) || !cz_buffer_reserve(&matcher->plan, PLAN))
        return cz_fail_memory(error, "a matcher");
    matcher->record_capacity = (uint32_t)records;
    return CLOZE_OK;
}

void cz_matcher_rollback(struct cz_matcher *matcher, size_t count)
{
    uint32_t tokens = matcher->record_count - 1;
    matcher->record_count -= count < tokens ? (uint32_t)count : tokens;
    struct record *at = last(matcher);
    matcher->text.size = at->text_size;
    /* the threads of the last record end where those of the one taken back began */
    if (count && tokens)
        matcher->threads.count = matcher->records[matcher->record_count].first;
}

void cz_matcher_reset(struct cz_matcher *matcher)
{
    cz_matcher_rollback(matcher, matcher->record_count - 1);
    matcher->budgeted = false;
}

static bool may_end(struct cz_matcher *matcher)
{
    for (uint32_t i = last(matcher)->first; i < matcher->threads.count; i++) {
        struct cz_thread thread = matcher->threads.items[i];
        if (cz_thread_may_end(matcher->machine, thread.local, thread.stack))
            return true;
    }
    return false;
}

static bool is_end_id(const struct cz_vocab *vocab, uint32_t token)
{
    for (uint32_t i = 0; i < vocab->end_count; i++) {
        if (vocab->ends[i] == token)
            return true;
    }
    return false;
}

static bool take_record(struct cz_matcher *matcher, uint32_t token,
                        const struct cz_threads *threads, bool finished)
{
    uint32_t first = matcher->threads.count;
    for (uint32_t i = 0; i < threads->count; i++) {
        if (!cz_threads_add(&matcher->threads, threads->items[i])) {
            matcher->threads.count = first;
            return false;
        }
    }
    struct record record = {token, first, (uint32_t)matcher->text.size, finished};
    if (push_record(matcher, record))
        return true;
    matcher->threads.count = first;
    return false;
}

/* Threads that take this token by its id. */
static bool step_by_id(struct cz_matcher *matcher, uint32_t token, struct cz_threads *out)
{
    struct cz_machine *machine = matcher->machine;
    struct cz_threads opened = {0};
    for (uint32_t i = last(matcher)->first; i < matcher->threads.count; i++)
        cz_symbol_tokens(machine, matcher->threads.items[i], &opened);
    for (uint32_t i = 0; i < opened.count; i++) {
        struct cz_thread at = opened.items[i];
        if (machine->locals[at.local].a != token)
            continue;
        struct cz_stack stack = machine->stacks[at.stack];
        cz_threads_add(out, (struct cz_thread){.local = stack.local, .stack = stack.parent});
    }
    cz_heap_free(opened.items);
    return out->count > 0;
}

/* The threads after these bytes, into scratch[...]; NULL when there are none. */
static struct cz_threads *step_bytes(struct cz_matcher *matcher, struct cz_slice bytes)
{
    struct cz_threads *from = &matcher->scratch[0], *to = &matcher->scratch[1];
    from->count = 0;
    for (uint32_t i = last(matcher)->first; i < matcher->threads.count; i++) {
        if (!cz_threads_add(from, cz_thread_open(matcher->machine, matcher->threads.items[i])))
            return NULL;
    }
    size_t before = matcher->text.size;
    cz_buffer_append_slice(&matcher->text, bytes);
    if (matcher->text.failed)
        return NULL;
    for (size_t i = 0; i < bytes.size; i++) {
        struct cz_binder binder = {matcher->text.data, before + i};
        to->count = 0;
        for (uint32_t t = 0; t < from->count; t++)
            cz_thread_step(matcher->machine, from->items[t], (uint8_t)bytes.data[i], &binder, to, 0);
        if (to->count == 0)
            return NULL;
        struct cz_threads *swap = from;
        from = to;
        to = swap;
    }
    for (uint32_t i = 0; i < from->count; i++)
        from->items[i] = cz_thread_close(matcher->machine, from->items[i]);
    return from;
}

bool cz_matcher_accept_locked(struct cz_matcher *matcher, uint32_t token)
{
    const struct cz_vocab *vocab = matcher->machine->vocab;
    if (token >= vocab->count || last(matcher)->finished)
        return false;
    if (is_end_id(vocab, token)) {
        const struct cz_threads none = {0};
        if (may_end(matcher))
            return take_record(matcher, token, &none, true);
    }
    struct cz_threads *by_id = &matcher->scratch[1];
    by_id->count = 0;
    if (matcher->machine->rules && step_by_id(matcher, token, by_id))
        return take_record(matcher, token, by_id, false);
    struct cz_slice bytes = cz_vocab_token(vocab, token);
    if (bytes.size == 0 || is_end_id(vocab, token))
        return false;
    size_t before = matcher->text.size;
    struct cz_threads *threads = step_bytes(matcher, bytes);
    if (threads && take_record(matcher, token, threads, false))
        return true;
    matcher->text.size = before;
    return false;
}

bool cz_matcher_accept(struct cz_matcher *matcher, uint32_t token)
{
    pthread_mutex_lock(&matcher->machine->lock);
    bool accepted = cz_matcher_accept_locked(matcher, token);
    pthread_mutex_unlock(&matcher->machine->lock);
    return accepted;
}

size_t cz_matcher_validate(struct cz_matcher *matcher, const uint32_t *tokens, size_t count)
{
    size_t taken = 0;
    pthread_mutex_lock(&matcher->machine->lock);
    while (taken < count && cz_matcher_accept_locked(matcher, tokens[taken]))
        taken++;
    cz_matcher_rollback(matcher, taken);
    pthread_mutex_unlock(&matcher->machine->lock);
    return taken;
}

/* ---- Masks ---- */

static uint32_t set_bit(uint32_t *words, uint32_t token)
{
    uint32_t bit = 1u << token % 32, fresh = !(words[token / 32] & bit);
    words[token / 32] |= bit;
    return fresh;
}

/* The token is allowed when the text at hand is looked at. */
static bool accepts_now(struct cz_matcher *matcher, uint32_t token)
{
    bool accepted = cz_matcher_accept_locked(matcher, token);
    if (accepted)
        cz_matcher_rollback(matcher, 1);
    return accepted;
}

/* Adds an entry's tokens to the matcher's words; the new count of all. */
static uint32_t join(struct cz_matcher *matcher, const struct cz_mask_entry *entry, uint32_t count)
{
    uint32_t words = matcher->machine->vocab->words;
    if (entry->words && count == 0) {
        memcpy(matcher->words, entry->words, words * sizeof *matcher->words);
        return entry->count;
    }
    for (uint32_t i = 0; entry->words && i < words; i++)
        matcher->words[i] |= entry->words[i];
    if (entry->words)
        return cz_mask_count(matcher->words, words);
    for (uint32_t i = 0; i < entry->count; i++)
        count += set_bit(matcher->words, entry->ids[i]);
    return count;
}

static struct cz_mask joined_mask(struct cz_matcher *matcher, bool ends)
{
    struct cz_machine *machine = matcher->machine;
    const struct cz_vocab *vocab = machine->vocab;
    uint32_t first = last(matcher)->first, end = matcher->threads.count, total = 0;
    bool cleared = false;
    for (int dense = 1; dense >= 0; dense--) {
        for (uint32_t t = first; t < end; t++) {
            struct cz_thread thread = matcher->threads.items[t];
            const struct cz_mask_entry *entry = cz_mask_of(machine, thread.local, thread.stack);
            if (!entry || (entry->words != NULL) != dense)
                continue;
            if (!cleared && !dense)
                memset(matcher->words, 0, vocab->words * sizeof *matcher->words);
            cleared = true;
            total = join(matcher, entry, total);
        }
    }
    if (!cleared)
        memset(matcher->words, 0, vocab->words * sizeof *matcher->words);
    for (uint32_t t = first; t < end; t++) {
        struct cz_thread thread = matcher->threads.items[t];
        const struct cz_mask_entry *entry = cz_mask_of(machine, thread.local, thread.stack);
        uint32_t count = entry ? entry->uncertain_count : 0;
        for (uint32_t i = 0; i < count; i++) {
            /* accepting may move the table of masks: ask for the entry again */
            uint32_t token = cz_mask_of(machine, thread.local, thread.stack)->uncertain[i];
            if (accepts_now(matcher, token))
                total += set_bit(matcher->words, token);
        }
    }
    for (uint32_t i = 0; ends && i < vocab->end_count; i++)
        total += set_bit(matcher->words, vocab->ends[i]);
    return (struct cz_mask){.words = matcher->words, .count = total};
}

/* Few tokens are handed out as a list. */
static struct cz_mask as_list(struct cz_matcher *matcher, struct cz_mask mask)
{
    if (mask.count > LIST)
        return mask;
    uint32_t count = 0;
    for (uint32_t w = 0; w < matcher->machine->vocab->words; w++) {
        for (uint32_t bits = mask.words[w]; bits; bits &= bits - 1)
            matcher->ids[count++] = w * 32 + (uint32_t)__builtin_ctz(bits);
    }
    return (struct cz_mask){.ids = matcher->ids, .count = count};
}

/* ---- Budgets ---- */

static uint32_t distance_locked(struct cz_matcher *matcher)
{
    uint32_t nearest = CZ_FAR;
    for (uint32_t i = last(matcher)->first; i < matcher->threads.count; i++) {
        uint32_t distance = cz_thread_distance(matcher->machine, matcher->threads.items[i]);
        nearest = distance < nearest ? distance : nearest;
    }
    return nearest + 1;
}

static uint32_t budget_left(const struct cz_matcher *matcher)
{
    uint32_t taken = matcher->record_count - 1;
    return matcher->budget_end > taken ? matcher->budget_end - taken : 0;
}

enum { UNMEASURED = 8 }; /* tokens that one byte of an unmeasured token may add, generously */

/* Whether some allowed token leads too far from an end for what is left. */
static bool must_steer(struct cz_matcher *matcher)
{
    uint32_t first = last(matcher)->first, farthest = 0;
    for (uint32_t i = first; i < matcher->threads.count; i++) {
        struct cz_thread thread = matcher->threads.items[i];
        uint32_t reach = cz_mask_reach(matcher->machine, thread);
        farthest = reach > farthest ? reach : farthest;
        /* tokens that rest on the text were not measured: near the end they are left out */
        const struct cz_mask_entry *entry =
            cz_mask_of(matcher->machine, thread.local, thread.stack);
        if (entry && entry->uncertain_count) {
            reach = distance_locked(matcher) + UNMEASURED * matcher->machine->vocab->longest;
            farthest = reach > farthest ? reach : farthest;
        }
    }
    return (uint64_t)farthest + 2 > budget_left(matcher);
}

/* The next token of the plan. A plan is kept as long as it is followed, and made anew from the state
 * at hand when it was left: by then the distance was seen to fit. */
static bool planned_token(struct cz_matcher *matcher, uint32_t *token)
{
    uint32_t taken = matcher->record_count - 1;
    const uint32_t *plan = (const uint32_t *)(const void *)matcher->plan.data;
    size_t size = matcher->plan.size / sizeof *plan;
    bool followed = size > 0 && taken >= matcher->plan_begin && taken - matcher->plan_begin < size;
    for (uint32_t i = matcher->plan_begin; followed && i < taken; i++)
        followed = matcher->records[i + 1].token == plan[i - matcher->plan_begin];
    if (!followed) {
        uint32_t best = last(matcher)->first;
        for (uint32_t i = best; i < matcher->threads.count; i++) {
            if (cz_thread_distance(matcher->machine, matcher->threads.items[i]) <
                cz_thread_distance(matcher->machine, matcher->threads.items[best]))
                best = i;
        }
        cz_buffer_clear(&matcher->plan);
        matcher->plan_begin = taken;
        if (best >= matcher->threads.count ||
            !cz_thread_plan(matcher->machine, matcher->threads.items[best], &matcher->plan) ||
            matcher->plan.size == 0)
            return false;
        plan = (const uint32_t *)(const void *)matcher->plan.data;
    }
    *token = plan[taken - matcher->plan_begin];
    return true;
}

static struct cz_mask steered_mask(struct cz_matcher *matcher, bool ends)
{
    const struct cz_vocab *vocab = matcher->machine->vocab;
    uint32_t first = last(matcher)->first, count = matcher->threads.count - first;
    uint32_t left = budget_left(matcher);
    memset(matcher->words, 0, vocab->words * sizeof *matcher->words);
    if (left >= 2)
        cz_mask_within(matcher->machine, matcher->threads.items + first, count, left - 2,
                       matcher->words);
    for (uint32_t i = 0; ends && i < vocab->end_count; i++)
        set_bit(matcher->words, vocab->ends[i]);
    uint32_t token;
    if (left >= 2 && planned_token(matcher, &token) && accepts_now(matcher, token))
        set_bit(matcher->words, token);
    return as_list(matcher, (struct cz_mask){.words = matcher->words,
                                             .count = cz_mask_count(matcher->words, vocab->words)});
}

bool cz_matcher_fits_locked(struct cz_matcher *matcher, uint32_t token)
{
    if (!matcher->budgeted)
        return accepts_now(matcher, token);
    if (!cz_matcher_accept_locked(matcher, token))
        return false;
    bool fits = last(matcher)->finished || distance_locked(matcher) <= budget_left(matcher);
    cz_matcher_rollback(matcher, 1);
    uint32_t planned;
    return fits || (planned_token(matcher, &planned) && planned == token);
}

static struct cz_mask mask_locked(struct cz_matcher *matcher)
{
    uint32_t first = last(matcher)->first;
    if (last(matcher)->finished)
        return (struct cz_mask){.ids = matcher->words, .count = 0};
    bool ends = may_end(matcher);
    if (matcher->budgeted && !matcher->heedless && must_steer(matcher))
        return steered_mask(matcher, ends);
    if (matcher->threads.count - first == 1 && !ends) {
        struct cz_thread thread = matcher->threads.items[first];
        const struct cz_mask_entry *entry =
            cz_mask_of(matcher->machine, thread.local, thread.stack);
        if (entry && entry->uncertain_count == 0)
            return (struct cz_mask){entry->ids, entry->words, entry->count};
    }
    return as_list(matcher, joined_mask(matcher, ends));
}

struct cz_mask cz_matcher_mask(struct cz_matcher *matcher)
{
    pthread_mutex_lock(&matcher->machine->lock);
    struct cz_mask mask = mask_locked(matcher);
    pthread_mutex_unlock(&matcher->machine->lock);
    return mask;
}

bool cz_matcher_is_accepting(struct cz_matcher *matcher)
{
    pthread_mutex_lock(&matcher->machine->lock);
    bool accepting = !last(matcher)->finished && may_end(matcher);
    pthread_mutex_unlock(&matcher->machine->lock);
    return accepting;
}

bool cz_matcher_is_finished(const struct cz_matcher *matcher)
{
    return last(matcher)->finished;
}

struct cz_slice cz_matcher_text(const struct cz_matcher *matcher)
{
    return cz_buffer_slice(&matcher->text);
}

uint32_t cz_matcher_distance(struct cz_matcher *matcher)
{
    if (last(matcher)->finished)
        return 0;
    pthread_mutex_lock(&matcher->machine->lock);
    uint32_t distance = distance_locked(matcher);
    pthread_mutex_unlock(&matcher->machine->lock);
    return distance;
}

cloze_status cz_matcher_set_budget(struct cz_matcher *matcher, uint32_t tokens,
                                   struct cloze_error *error)
{
    uint32_t needed = cz_matcher_distance(matcher), taken = matcher->record_count - 1;
    if (tokens < needed)
        return cz_fail(error, CLOZE_LIMIT, "max_tokens",
                       "the shortest answer found needs %u tokens, and only %u are allowed", needed,
                       tokens);
    matcher->budgeted = true;
    matcher->heedless = false;
    matcher->budget_end = tokens < UINT32_MAX - taken ? taken + tokens : UINT32_MAX;
    return CLOZE_OK;
}

void cz_matcher_heed_budget(struct cz_matcher *matcher, bool heed)
{
    matcher->heedless = !heed;
}

bool cz_matcher_is_near_budget(struct cz_matcher *matcher)
{
    pthread_mutex_lock(&matcher->machine->lock);
    bool near = matcher->budgeted && !last(matcher)->finished && must_steer(matcher);
    pthread_mutex_unlock(&matcher->machine->lock);
    return near;
}

bool cz_matcher_fits(struct cz_matcher *matcher, uint32_t token)
{
    pthread_mutex_lock(&matcher->machine->lock);
    bool fits = cz_matcher_fits_locked(matcher, token);
    pthread_mutex_unlock(&matcher->machine->lock);
    return fits;
}
