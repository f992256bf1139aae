/*
 * walk.h - walks over the vocabulary's trie, and the sets of tokens that they collect; for this room
 * only.
 */
#ifndef CZ_CONSTRAINT_WALK_H
#define CZ_CONSTRAINT_WALK_H

#include "constraint/machine.h"
#include "constraint/vocab_internal.h"

enum { CZ_TOKENS_LISTED = 1024 }; /* tokens that are kept as a list */

/* A set of tokens under way: ids while they are few, else bits in the machine's scratch, of which
 * there is one: only one set may be dense at a time. */
struct cz_tokens {
    struct cz_machine *machine;
    const struct cz_trie *trie; /* whose chains of equal tokens count */
    uint32_t ids[CZ_TOKENS_LISTED];
    uint32_t count; /* of ids, some perhaps twice; of bits */
    bool dense;
    uint32_t *uncertain; /* tokens that depend on the text: see THREAD_UNCERTAIN */
    uint32_t uncertain_count, uncertain_capacity;
};

void cz_tokens_add(struct cz_tokens *tokens, uint32_t token);
void cz_tokens_remove(struct cz_tokens *tokens, uint32_t token); /* of a dense set */
/* A token and those of the same bytes; UINT32_MAX: none. */
void cz_tokens_add_chain(struct cz_tokens *tokens, uint32_t token);
/* The tokens that end at this node. */
static inline void cz_tokens_add_node(struct cz_tokens *tokens, const struct cz_trie_node *node)
{
    if (node->chained)
        cz_tokens_add_chain(tokens, node->token);
    else if (node->token != UINT32_MAX)
        cz_tokens_add(tokens, node->token);
}
/* All tokens that end at this node or below. */
void cz_tokens_add_below(struct cz_tokens *tokens, uint32_t node);
void cz_tokens_add_uncertain(struct cz_tokens *tokens, uint32_t token);
void cz_tokens_join_uncertain(struct cz_tokens *tokens, const uint32_t *list, uint32_t count);
void cz_tokens_join(struct cz_tokens *tokens, const uint32_t *words);
void cz_tokens_keep(struct cz_tokens *tokens, const uint32_t *words); /* of a dense set */
/* Replaces the set by these bits, `count` of which are set. */
void cz_tokens_use(struct cz_tokens *tokens, const uint32_t *words, uint32_t count);
/* A copy of what was found, as bits or ascending ids. NULL without memory. */
uint32_t *cz_tokens_copy(struct cz_tokens *tokens);

/* Where a walk stands, at one depth. */
struct cz_walk_level {
    uint32_t first; /* of machine->walk: here the threads of the level's node begin; they end where
                     * those of the next level do */
    struct cz_trie_cursor children; /* still to come */
    uint32_t local; /* instead of threads, while there is but one */
};

/* Of how many ASCII letters and digits any text leaves the local, that of a string, alive. */
uint32_t cz_local_word_limit(struct cz_machine *machine, uint32_t local);

/* What is done with a node that threads reach; the threads may be changed. false stops the walk. */
typedef bool cz_walk_function(void *context, uint32_t node, uint32_t token,
                              struct cz_threads *threads, uint32_t first);

/* Walks the nodes below `top`, or at it and below, with these threads before it. Tokens that are
 * allowed for plain reasons are added to `found` and not shown to `take`; without `found`, every
 * node with a token is. */
void cz_walk(struct cz_machine *machine, const struct cz_trie *trie, uint32_t top, bool at_top,
             const struct cz_thread *begin, uint32_t begin_count, cz_walk_function *take,
             struct cz_tokens *found, void *context);

#endif
