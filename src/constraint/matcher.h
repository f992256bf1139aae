/*
 * matcher.h - one sequence walking through a grammar.
 *
 * A matcher belongs to one thread at a time. Nothing here fails: what could, failed when the grammar
 * was compiled. Pointers into a mask are valid until the next call on that matcher.
 */
#ifndef CZ_CONSTRAINT_MATCHER_H
#define CZ_CONSTRAINT_MATCHER_H

#include "constraint/grammar.h"
#include "constraint/intern.h"

/* The tokens allowed next. Sparse masks are sorted ids; dense ones are bits, word i / 32, bit i %
 * 32, `logits_width` wide. Exactly one of ids and words is set. */
struct cz_mask {
    const uint32_t *ids;   /* [count], ascending; NULL when dense */
    const uint32_t *words; /* [(logits_width + 31) / 32]; NULL when sparse */
    uint32_t count;        /* allowed tokens, end ids included; never 0 before the end */
};

static inline bool cz_mask_has(struct cz_mask mask, uint32_t token)
{
    return mask.words ? mask.words[token / 32] >> token % 32 & 1
                      : cz_words_hold(mask.ids, mask.count, token);
}

struct cz_matcher;

cloze_status cz_matcher_create(struct cz_grammar *grammar, struct cz_matcher **out,
                               struct cloze_error *error);
cloze_status cz_matcher_fork(const struct cz_matcher *matcher, struct cz_matcher **out,
                             struct cloze_error *error);
void cz_matcher_reset(struct cz_matcher *matcher);
void cz_matcher_free(struct cz_matcher *matcher);

/* Fills the grammar's lazy tables by some walks, once per grammar and for 10 ms at most, so that less
 * is left for the first answers, which may be running. Changes no answer. */
void cz_grammar_warm(struct cz_grammar *grammar);

struct cz_mask cz_matcher_mask(struct cz_matcher *matcher);
/* false: the token is not allowed and nothing changed. Needs no mask before it. */
bool cz_matcher_accept(struct cz_matcher *matcher, uint32_t token);
/* How many of the tokens would be accepted in turn; nothing changes. */
size_t cz_matcher_validate(struct cz_matcher *matcher, const uint32_t *tokens, size_t count);
/* Room for `tokens` more tokens, so that accepting them allocates nothing for the matcher itself. */
cloze_status cz_matcher_reserve(struct cz_matcher *matcher, uint32_t tokens,
                                struct cloze_error *error);
/* Takes back the last `count` accepted tokens (at most all): O(1) each. */
void cz_matcher_rollback(struct cz_matcher *matcher, size_t count);
/* The canonical tokens that must come next, at most `capacity`; 0 when there is a choice. */
size_t cz_matcher_forced(struct cz_matcher *matcher, uint32_t *tokens, size_t capacity);
/* Behind a call of cz_matcher_forced that gave 0: the token that the tokenizer would write next if
 * nothing joined what is certain of the text, so a likely one. False when there is none. */
bool cz_matcher_guess(const struct cz_matcher *matcher, uint32_t *token);

bool cz_matcher_is_accepting(struct cz_matcher *matcher); /* the text so far is a whole answer */
bool cz_matcher_is_finished(const struct cz_matcher *matcher); /* an end id was accepted */
/* An upper bound of the tokens still needed for a whole answer, the end token included. */
uint32_t cz_matcher_distance(struct cz_matcher *matcher);
/* From now on masks allow only tokens after which the answer can be completed within what is left
 * of `tokens` (the end token counts). CLOZE_LIMIT when that is less than the distance. */
cloze_status cz_matcher_set_budget(struct cz_matcher *matcher, uint32_t tokens,
                                   struct cloze_error *error);
/* While the budget is not heeded, masks and forced runs are those of a matcher without one. It is
 * heeded when it is set. */
void cz_matcher_heed_budget(struct cz_matcher *matcher, bool heed);
/* Whether some token of the next mask may be too much for the budget, heeded or not. */
bool cz_matcher_is_near_budget(struct cz_matcher *matcher);
/* Whether the token is allowed next and the answer can be completed within the budget behind it. */
bool cz_matcher_fits(struct cz_matcher *matcher, uint32_t token);
/* The bytes accepted so far. */
struct cz_slice cz_matcher_text(const struct cz_matcher *matcher);

#endif
