/*
 * step.c - one forward pass: which tokens of which sequences go in, and what becomes of the logits.
 *
 * Masks are computed before the pass, so that the backend computes only the logits of allowed ids.
 * Guesses at what will be drawn run in the same pass: draft.c.
 *
 * A constrained answer runs as if it had no token budget until it wants a token behind which it
 * could not be completed. From there on (`limited`) masks heed the budget, and the finish reason is
 * "length": so an answer that ends with "stop" is the one that any larger budget gives.
 */
#include "engine/scheduler_private.h"

#include "base/clock.h"
#include "tokenizer/tokenizer.h"

#include <string.h>

enum {
    LEAST_PROMPT_ROWS = 2, /* a prompt always goes on; far behind its beginning a row costs much */
    FIRST_PROMPT_ROWS = 32 /* while nothing has been measured */
};
/* Reading prompts may lengthen a step by this many times its length without them: with it, the p99
 * gap between two tokens of an answer stays below three times what it is alone (bench/gaps.c). */
static const double prompt_share = 1.0;

/* ---- Tokens that are certain ---- */

static uint32_t answer_count(const struct cz_sequence *sequence)
{
    return sequence->count - sequence->prompt_count;
}

static bool is_stop(const struct cz_scheduler *scheduler, uint32_t id)
{
    for (size_t i = 0; i < scheduler->options.stop_count; i++) {
        if (scheduler->options.stop_ids[i] == id)
            return true;
    }
    return false;
}

/* Whether a stop string ends within the bytes that the token adds. */
static bool completes_a_stop(const struct cz_scheduler *scheduler, struct cz_sequence *sequence,
                             uint32_t id)
{
    if (!sequence->stop_count)
        return false;
    struct cz_slice bytes = cz_tokenizer_bytes(scheduler->options.tokenizer, id);
    if (bytes.size)
        memcpy(sequence->tail + sequence->tail_size, bytes.data, bytes.size);
    size_t size = sequence->tail_size + bytes.size;
    for (size_t i = 0; i < sequence->stop_count; i++) {
        const struct cz_slice *stop = &sequence->stops[i];
        if (memmem(sequence->tail, size, stop->data, stop->size))
            return true;
    }
    size_t kept = size < sequence->longest_stop ? size : sequence->longest_stop;
    memmove(sequence->tail, sequence->tail + size - kept, kept);
    sequence->tail_size = kept;
    return false;
}

static enum cz_finish finish_after(const struct cz_scheduler *scheduler,
                                   struct cz_sequence *sequence, uint32_t id)
{
    bool ended =
        sequence->matcher ? cz_matcher_is_finished(sequence->matcher) : is_stop(scheduler, id);
    if (ended || completes_a_stop(scheduler, sequence, id))
        return sequence->limited ? CZ_FINISH_LENGTH : CZ_FINISH_STOP;
    return answer_count(sequence) == sequence->max_tokens ? CZ_FINISH_LENGTH : CZ_FINISH_NONE;
}

/* The next token of the answer; may finish the sequence. */
static void append(struct cz_scheduler *scheduler, struct cz_sequence *sequence, uint32_t id)
{
    struct cloze_error error;
    if (sequence->matcher && !cz_matcher_accept(sequence->matcher, id)) {
        cz_fail(&error, CLOZE_INTERNAL, NULL, "the grammar refused token %u of its own mask", id);
        cz_sequence_fail(scheduler, sequence, &error);
        return;
    }
    sequence->near = false;
    sequence->tokens[sequence->count++] = id;
    if (sequence->forced_at < sequence->forced_count)
        sequence->forced_at++;
    if (sequence->counts.slots)
        cz_token_counts_add(&sequence->counts, id, true);
    if (!sequence->mine.first_token_ns)
        sequence->mine.first_token_ns = cz_clock_ns();
    scheduler->completion_tokens++;
    enum cz_finish finish = finish_after(scheduler, sequence, id);
    if (finish)
        cz_sequence_finish(scheduler, sequence, finish);
}

/* A forced token has probability 1 in the distribution that the grammar leaves. */
static void append_forced(struct cz_scheduler *scheduler, struct cz_sequence *sequence, uint32_t id)
{
    if (sequence->logprobs) {
        struct cz_logprobs *logprobs = &sequence->logprobs[answer_count(sequence)];
        *logprobs = (struct cz_logprobs){.id = id};
        if (sequence->sampling->logprobs > 1) {
            logprobs->count = 1;
            logprobs->top[0].id = id;
        }
    }
    append(scheduler, sequence, id);
}

uint32_t cz_mask_first(const struct cz_mask *mask)
{
    uint32_t word = 0;
    if (mask->ids)
        return mask->ids[0];
    while (!mask->words[word])
        word++;
    return word * 32 + (uint32_t)__builtin_ctz(mask->words[word]);
}

bool cz_leaves_no_choice(const struct cz_scheduler *scheduler, const struct cz_mask *mask)
{
    if (mask->count == 1)
        return true;
    if (!mask->ids || mask->count > scheduler->options.stop_count)
        return false;
    for (uint32_t i = 0; i < mask->count; i++) {
        if (!is_stop(scheduler, mask->ids[i]))
            return false;
    }
    return true;
}

/* The answer wants more than the budget allows. */
static void limit(struct cz_sequence *sequence)
{
    sequence->limited = true;
    sequence->near = false;
    sequence->forced_at = sequence->forced_count = 0;
    cz_matcher_heed_budget(sequence->matcher, true);
}

/* The next token of a forced run. */
static bool next_forced(struct cz_sequence *sequence, uint32_t *id)
{
    uint32_t room = sequence->max_tokens - answer_count(sequence);
    if (sequence->forced_at == sequence->forced_count) {
        uint32_t most = room < CZ_FORCED_AT_ONCE ? room : CZ_FORCED_AT_ONCE;
        sequence->forced_at = 0;
        sequence->forced_count =
            (uint32_t)cz_matcher_forced(sequence->matcher, sequence->forced, most);
        if (!sequence->forced_count)
            return false;
    }
    *id = sequence->forced[sequence->forced_at];
    if (sequence->limited || cz_matcher_fits(sequence->matcher, *id))
        return true;
    limit(sequence);
    return false;
}

/* The next token when there is no choice about it; else its mask is ready. */
static bool next_certain(const struct cz_scheduler *scheduler, struct cz_sequence *sequence,
                         uint32_t *id)
{
    if (next_forced(sequence, id))
        return true;
    sequence->near = !sequence->limited && cz_matcher_is_near_budget(sequence->matcher);
    sequence->mask = cz_matcher_mask(sequence->matcher);
    if (!cz_leaves_no_choice(scheduler, &sequence->mask))
        return false;
    *id = cz_mask_first(&sequence->mask);
    return true;
}

/* Whether the model's own distribution is wanted of every token, forced ones too. */
static bool wants_raw(const struct cz_sequence *sequence)
{
    return sequence->logprobs && sequence->sampling->logprobs_are_raw;
}

/* What the constraint took of the engine's thread, from `start` on. */
static void count_constraint(struct cz_scheduler *scheduler, const struct cz_sequence *sequence,
                             uint64_t start)
{
    if (sequence->matcher)
        scheduler->constraint_ns += cz_clock_ns() - start;
}

void cz_sequence_force(struct cz_scheduler *scheduler, struct cz_sequence *sequence)
{
    uint32_t id;
    uint64_t start = cz_clock_ns();
    while (sequence->matcher && sequence->state != CZ_SEQUENCE_FINISHED &&
           next_certain(scheduler, sequence, &id)) {
        if (wants_raw(sequence)) { /* one by one: each row's logits are needed */
            sequence->is_certain = true;
            sequence->certain = id;
            sequence->mask = (struct cz_mask){.ids = &sequence->certain, .count = 1};
            break;
        }
        append_forced(scheduler, sequence, id);
    }
    count_constraint(scheduler, sequence, start);
}

/* ---- The plan ---- */

/* A prompt, or what a preemption made to be computed again. */
static bool is_reading(const struct cz_sequence *sequence)
{
    return sequence->computed < sequence->resume;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t plan_answers(struct cz_scheduler *scheduler)
{
    uint32_t rows = 0;
    for (uint32_t i = 0; i < scheduler->running_count; i++) {
        struct cz_sequence *sequence = scheduler->running[i];
        uint32_t pending = is_reading(sequence) ? 0 : sequence->count - sequence->computed;
        sequence->piece = smaller(pending, scheduler->options.max_rows - rows);
        rows += sequence->piece;
    }
    return rows;
}

static uint32_t prompt_budget(const struct cz_scheduler *scheduler, uint32_t answer_rows)
{
    uint32_t left = scheduler->options.max_rows - answer_rows;
    if (!answer_rows)
        return left;
    if (scheduler->decode_ns <= 0 || scheduler->row_ns <= 0)
        return smaller(left, FIRST_PROMPT_ROWS);
    double rows = prompt_share * scheduler->decode_ns / scheduler->row_ns;
    uint32_t budget = rows < LEAST_PROMPT_ROWS ? LEAST_PROMPT_ROWS
                      : rows < (double)left    ? (uint32_t)rows
                                               : left;
    return smaller(left, budget);
}

/* Prompts take turns: each step another one goes first, and takes as much as there is. */
static uint32_t plan_prompts(struct cz_scheduler *scheduler, uint32_t budget)
{
    uint32_t rows = 0, count = scheduler->running_count;
    scheduler->turn++;
    for (uint32_t i = 0; i < count; i++) {
        struct cz_sequence *sequence = scheduler->running[(scheduler->turn + i) % count];
        if (!is_reading(sequence))
            continue;
        sequence->piece = smaller(sequence->count - sequence->computed, budget - rows);
        rows += sequence->piece;
    }
    return rows;
}

/* Blocks for the piece; those that run last are preempted for it. False when it was its own turn to
 * go. */
static bool reserve(struct cz_scheduler *scheduler, struct cz_sequence *sequence)
{
    uint32_t needed = cz_sequence_blocks(sequence->computed + sequence->piece);
    while (sequence->block_count < needed) {
        uint32_t block;
        if (cz_cache_take(&scheduler->cache, &block)) {
            sequence->blocks[sequence->block_count++] = block;
            continue;
        }
        struct cz_sequence *last = scheduler->running[scheduler->running_count - 1];
        cz_sequence_preempt(scheduler, last);
        if (last == sequence)
            return false;
    }
    return true;
}

void cz_ask_logits(struct cz_scheduler *scheduler, struct cz_sequence *sequence,
                   struct cz_mask mask)
{
    uint32_t index = scheduler->logits_count++;
    struct cz_step_logits *ask = &scheduler->step_logits[index];
    *ask = (struct cz_step_logits){
        .row = scheduler->row_count - 1,
        .count = scheduler->info.vocab,
        .out = scheduler->logits + (size_t)index * scheduler->info.vocab,
    };
    if (sequence->matcher && !wants_raw(sequence)) {
        ask->ids = mask.ids;
        ask->words = mask.words;
        ask->count = mask.count;
    }
    scheduler->sampled[index] = sequence;
    sequence->asked++;
}

static void add_rows(struct cz_scheduler *scheduler, struct cz_sequence *sequence, uint32_t index)
{
    scheduler->step_sequences[index] =
        (struct cz_step_sequence){sequence->blocks, sequence->block_count};
    for (uint32_t i = 0; i < sequence->piece; i++) {
        uint32_t position = sequence->computed + i;
        scheduler->rows[scheduler->row_count++] =
            (struct cz_step_row){sequence->tokens[position], position, index};
    }
    if (sequence->computed + sequence->piece < sequence->count)
        return;
    sequence->asked = 0;
    cz_ask_logits(scheduler, sequence, sequence->mask);
    uint64_t start = cz_clock_ns();
    if (!wants_raw(sequence))
        cz_sequence_draft(scheduler, sequence, index);
    count_constraint(scheduler, sequence, start);
}

static uint32_t plan(struct cz_scheduler *scheduler)
{
    uint32_t answer_rows = plan_answers(scheduler), used = 0;
    uint32_t prompt_rows = plan_prompts(scheduler, prompt_budget(scheduler, answer_rows));
    scheduler->spare_rows = scheduler->options.max_rows - answer_rows - prompt_rows;
    scheduler->row_count = scheduler->logits_count = scheduler->prompt_rows = 0;
    for (uint32_t i = 0; i < scheduler->running_count; i++) {
        struct cz_sequence *sequence = scheduler->running[i];
        if (!sequence->piece || !reserve(scheduler, sequence))
            continue;
        if (is_reading(sequence))
            scheduler->prompt_rows += sequence->piece;
        add_rows(scheduler, sequence, used++);
    }
    return used;
}

/* ---- The results ---- */

/* Moves on by so many rows; blocks that are full now can be shared. */
static void advance(struct cz_scheduler *scheduler, struct cz_sequence *sequence, uint32_t rows)
{
    sequence->computed += rows;
    if (sequence->computed >= sequence->prompt_count)
        sequence->prompt_done = true;
    while (sequence->published < sequence->computed / CZ_KV_BLOCK) {
        uint32_t at = sequence->published++;
        uint32_t parent = at ? sequence->blocks[at - 1] : CZ_CACHE_NONE;
        sequence->blocks[at] = cz_cache_publish(&scheduler->cache, sequence->blocks[at], parent,
                                                sequence->tokens + (size_t)at * CZ_KV_BLOCK);
    }
}

/* The last row is run once more, for the logits of another mask. */
static void draw_again(struct cz_scheduler *scheduler, struct cz_sequence *sequence)
{
    sequence->computed = sequence->count - 1;
    cz_sequence_force(scheduler, sequence);
}

/* Draws the next token from the logits of a mask; false when that failed the sequence. */
static bool draw(struct cz_scheduler *scheduler, struct cz_sequence *sequence,
                 const struct cz_step_logits *logits, struct cz_mask mask, uint32_t *id)
{
    struct cloze_error error;
    uint32_t position = answer_count(sequence);
    struct cz_draw details = {
        .logits = logits->out,
        .mask = mask,
        .full = sequence->matcher && !logits->ids && !logits->words,
        .full_count = scheduler->options.token_count,
        .counts = sequence->counts.slots ? &sequence->counts : NULL,
        .seed = sequence->seed,
        .choice = sequence->choice,
        .position = position,
    };
    struct cz_logprobs *logprobs = sequence->logprobs ? &sequence->logprobs[position] : NULL;
    if (cz_sample(&scheduler->sampler, sequence->sampling, &details, id, logprobs, &error)) {
        cz_sequence_fail(scheduler, sequence, &error);
        return false;
    }
    return true;
}

static void count_sampled(struct cz_scheduler *scheduler, struct cz_sequence *sequence)
{
    scheduler->sampled_tokens += !sequence->is_certain;
    sequence->mine.sampled_tokens += !sequence->is_certain;
    sequence->is_certain = false;
}

static void sample(struct cz_scheduler *scheduler, struct cz_sequence *sequence,
                   const struct cz_step_logits *logits)
{
    struct cz_mask mask = {.count = scheduler->options.token_count};
    uint32_t id;
    if (!draw(scheduler, sequence, logits, sequence->matcher ? sequence->mask : mask, &id))
        return;
    if (sequence->near && !cz_matcher_fits(sequence->matcher, id)) {
        limit(sequence);
        draw_again(scheduler, sequence);
        return;
    }
    count_sampled(scheduler, sequence);
    uint64_t start = cz_clock_ns();
    append(scheduler, sequence, id);
    count_constraint(scheduler, sequence, start);
    cz_sequence_force(scheduler, sequence);
}

/* Draws the next token and, as long as the answer goes the way that was drafted, those behind it. */
static void sample_all(struct cz_scheduler *scheduler, struct cz_sequence *sequence,
                       const struct cz_step_logits *logits)
{
    cz_sequence_end_draft(sequence);
    sample(scheduler, sequence, logits);
    for (uint32_t i = 1; i < sequence->asked; i++) {
        if (!cz_sequence_went_as_drafted(scheduler, sequence, logits[i].row))
            break;
        advance(scheduler, sequence, sequence->count - sequence->computed);
        sample(scheduler, sequence, &logits[i]);
    }
}

/* Moving averages of what a step costs, to size pieces of prompts. A step that others held up
 * counts as twice the average at most: one while a prompt is read would last until its end. */
static void measure(struct cz_scheduler *scheduler, double ns)
{
    static const double weight = 0.25;
    double *average = NULL, value = 0;
    if (scheduler->prompt_rows == 0) {
        average = &scheduler->decode_ns;
        value = ns;
    } else if (scheduler->prompt_rows >= LEAST_PROMPT_ROWS) {
        bool alone = scheduler->prompt_rows == scheduler->row_count;
        double rest = ns - (alone ? 0 : scheduler->decode_ns);
        average = &scheduler->row_ns;
        value = (rest > 0 ? rest : 0) / scheduler->prompt_rows;
    }
    if (average && *average > 0 && value > 2 * *average)
        value = 2 * *average;
    if (average)
        *average = *average > 0 ? *average + weight * (value - *average) : value;
}

static void fail_all(struct cz_scheduler *scheduler, const struct cloze_error *error)
{
    while (scheduler->running_count) {
        struct cz_sequence *sequence = scheduler->running[scheduler->running_count - 1];
        cz_sequence_fail(scheduler, sequence, error);
        cz_sequence_publish(scheduler, sequence);
    }
}

void cz_scheduler_step(struct cz_scheduler *scheduler)
{
    struct cloze_error error;
    struct cz_step step = {
        .sequences = scheduler->step_sequences,
        .sequence_count = plan(scheduler),
        .rows = scheduler->rows,
        .row_count = scheduler->row_count,
        .logits = scheduler->step_logits,
        .logits_count = scheduler->logits_count,
    };
    if (!step.row_count)
        return;
    uint64_t start = cz_clock_ns();
    if (scheduler->backend->functions->step(scheduler->backend, &step, &error)) {
        fail_all(scheduler, &error);
        return;
    }
    uint64_t took = cz_clock_ns() - start;
    measure(scheduler, (double)took);
    scheduler->step_ns += took;
    scheduler->steps++;
    scheduler->rows_run += step.row_count;
    for (uint32_t i = 0; i < scheduler->running_count; i++) {
        struct cz_sequence *sequence = scheduler->running[i];
        sequence->mine.passes += sequence->piece > 0;
        advance(scheduler, sequence, sequence->piece);
        sequence->piece = 0;
    }
    for (uint32_t i = 0; i < step.logits_count;) {
        struct cz_sequence *sequence = scheduler->sampled[i];
        const struct cz_step_logits *logits = &step.logits[i];
        i += sequence->asked;
        sample_all(scheduler, sequence, logits);
        cz_sequence_publish(scheduler, sequence);
    }
}
