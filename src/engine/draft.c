/*
 * draft.c - tokens that are run before they are known.
 *
 * Where a schema leaves a choice, what will be drawn can often be guessed: the tokenizer's usual
 * spelling of what is certain suggests a token (a blank before a number, a quote before a string),
 * or the text is certain and only how far the next token goes is open. The guess and the tokens that
 * it forces, up to the next choice, run as further rows of the same pass, and so on from there. What
 * is drawn then decides: as far as the answer goes the way that was guessed, its rows are computed
 * and a pass is saved; the others are forgotten.
 *
 * While the step runs, the matcher of a drafted sequence is `drafted` tokens ahead of the answer.
 */
#include "engine/scheduler_private.h"

#include "tokenizer/tokenizer.h"

#include <string.h>

enum { DRAFT_ROWS = 32 /* of one guess at most */ };

/* The longer of two tokens that begin the same: the text is certain, how it is cut is not. */
static bool longer_of_two(const struct cz_tokenizer *tokenizer, struct cz_mask mask, uint32_t *guess)
{
    if (!tokenizer || !mask.ids || mask.count != 2)
        return false;
    struct cz_slice a = cz_tokenizer_bytes(tokenizer, mask.ids[0]);
    struct cz_slice b = cz_tokenizer_bytes(tokenizer, mask.ids[1]);
    size_t common = a.size < b.size ? a.size : b.size;
    *guess = mask.ids[b.size > a.size];
    return common && memcmp(a.data, b.data, common) == 0;
}

static bool next_guess(const struct cz_scheduler *scheduler, const struct cz_sequence *sequence,
                       struct cz_mask mask, uint32_t *guess)
{
    return cz_matcher_guess(sequence->matcher, guess) ||
           longer_of_two(scheduler->options.tokenizer, mask, guess);
}

/* Moves the matcher behind the guess and what is certain then, to the next choice, whose mask is
 * `mask`. How many tokens that are; 0 when it takes more than `most` or the answer ends: then the
 * matcher is where it was. */
static uint32_t accept_ahead(const struct cz_scheduler *scheduler, struct cz_matcher *matcher,
                             uint32_t *tokens, uint32_t most, struct cz_mask *mask)
{
    uint32_t accepted = 0, count = 1;
    while (count <= most) {
        while (accepted < count && cz_matcher_accept(matcher, tokens[accepted]))
            accepted++;
        if (accepted < count || cz_matcher_is_finished(matcher))
            break;
        count += (uint32_t)cz_matcher_forced(matcher, tokens + count, most + 1 - count);
        if (accepted < count)
            continue;
        *mask = cz_matcher_mask(matcher);
        if (!cz_leaves_no_choice(scheduler, mask))
            return count;
        tokens[count++] = cz_mask_first(mask);
    }
    cz_matcher_rollback(matcher, accepted);
    return 0;
}

/* Blocks for so many positions, from what is free. */
static bool take_blocks(struct cz_scheduler *scheduler, struct cz_sequence *sequence,
                        uint32_t positions)
{
    while (sequence->block_count < cz_sequence_blocks(positions)) {
        if (!cz_cache_take(&scheduler->cache, &sequence->blocks[sequence->block_count]))
            return false;
        sequence->block_count++;
    }
    return true;
}

/* Keeps the mask's ids while the matcher goes on. */
static bool keep_ids(struct cz_sequence *sequence, struct cz_mask *mask)
{
    if (!mask->ids || mask->count > CZ_DRAFT_IDS - sequence->draft_id_count)
        return false;
    uint32_t *kept = sequence->draft_ids + sequence->draft_id_count;
    memcpy(kept, mask->ids, mask->count * sizeof *kept);
    sequence->draft_id_count += mask->count;
    mask->ids = kept;
    return true;
}

/* How many more tokens may be drafted: the answer's last is only drawn. */
static uint32_t draft_room(const struct cz_scheduler *scheduler, const struct cz_sequence *sequence)
{
    uint32_t end = sequence->prompt_count + sequence->max_tokens;
    uint32_t room = end - 1 - sequence->count - sequence->drafted;
    room = room < scheduler->spare_rows ? room : scheduler->spare_rows;
    return room < DRAFT_ROWS ? room : DRAFT_ROWS;
}

/* Adds the rows of one guess and asks for the logits behind them. `mask` is of the token that is
 * guessed, then of the one behind the rows. */
static bool add_guess(struct cz_scheduler *scheduler, struct cz_sequence *sequence, uint32_t index,
                      struct cz_mask *mask)
{
    uint32_t tokens[DRAFT_ROWS + 1], room = draft_room(scheduler, sequence);
    uint32_t position = sequence->count + sequence->drafted;
    if (!room || !next_guess(scheduler, sequence, *mask, tokens) || !keep_ids(sequence, mask))
        return false;
    scheduler->step_logits[scheduler->logits_count - 1].ids = mask->ids;
    uint32_t count = accept_ahead(scheduler, sequence->matcher, tokens, room, mask);
    if (count && !take_blocks(scheduler, sequence, position + count)) {
        cz_matcher_rollback(sequence->matcher, count);
        count = 0;
    }
    for (uint32_t i = 0; i < count; i++)
        scheduler->rows[scheduler->row_count++] =
            (struct cz_step_row){tokens[i], position + i, index};
    sequence->drafted += count;
    scheduler->spare_rows -= count;
    if (count)
        cz_ask_logits(scheduler, sequence, *mask);
    return count;
}

void cz_sequence_draft(struct cz_scheduler *scheduler, struct cz_sequence *sequence, uint32_t index)
{
    struct cz_mask mask = sequence->mask;
    if (!sequence->matcher || sequence->near || sequence->limited ||
        scheduler->running_count > CZ_DRAFTING_SEQUENCES)
        return;
    sequence->draft_id_count = 0;
    for (uint32_t i = 0; i < CZ_DRAFT_GUESSES; i++) {
        if (!add_guess(scheduler, sequence, index, &mask))
            break;
    }
    scheduler->step_sequences[index].block_count = sequence->block_count;
    if (sequence->draft_id_count) /* the matcher may have gone on, even in vain */
        sequence->mask.ids = sequence->draft_ids;
}

void cz_sequence_end_draft(struct cz_sequence *sequence)
{
    if (sequence->drafted)
        cz_matcher_rollback(sequence->matcher, sequence->drafted);
    sequence->drafted = 0;
}

bool cz_sequence_went_as_drafted(const struct cz_scheduler *scheduler,
                                 const struct cz_sequence *sequence, uint32_t row)
{
    const struct cz_step_row *last = &scheduler->rows[row];
    if (sequence->state != CZ_SEQUENCE_RUNNING || sequence->limited ||
        last->position + 1 != sequence->count)
        return false;
    for (uint32_t at = sequence->computed; at < sequence->count; at++) {
        if (last[(int64_t)at - last->position].token != sequence->tokens[at])
            return false;
    }
    return true;
}
