/*
 * split.h - what of a local's mask does not depend on the stack; for this room only.
 */
#ifndef CZ_CONSTRAINT_SPLIT_H
#define CZ_CONSTRAINT_SPLIT_H

#include "constraint/walk.h"

/* Where a token leaves the local: below this node, or at its byte, what was pushed before decides. */
struct cz_exit {
    uint32_t node;
    uint16_t marks;
    uint8_t redo;
    uint8_t trie; /* whose node it is: enum cz_exit_trie */
};

enum cz_exit_trie { CZ_EXIT_ALL, CZ_EXIT_UNSAFE, CZ_EXIT_ESCAPES, CZ_EXIT_GAPS, CZ_EXIT_MIXED };

/* What of a local's mask does not depend on the stack. */
struct cz_split {
    struct cz_shared_split *shared; /* whose this is: see split_cache.h; NULL: the machine's own */
    bool ready;
    bool quotes;        /* all closing quotes lead out alike, and are no exits */
    bool leaves;        /* a whole number: what stands below may begin, which is no exit */
    uint32_t base;      /* like this local's, apart from `parts` of the trie; 0: not so */
    uint32_t *parts;    /* nodes */
    uint32_t *part_locals; /* the local before the node's byte */
    uint32_t part_count, part_capacity, part_locals_capacity;
    uint32_t *ids, *words;
    uint32_t count;
    uint32_t *uncertain;
    uint32_t uncertain_count;
    struct cz_exit *exits;
    uint32_t exit_count, exit_capacity;
};

/* The local's split, made when it is first asked for; NULL without memory. It may move when another
 * is made. */
struct cz_split *cz_split_of(struct cz_machine *machine, uint32_t local);

void cz_split_free(struct cz_split *split); /* what it points to, not itself */

const struct cz_trie *cz_exit_trie(const struct cz_vocab *vocab, enum cz_exit_trie which);

/* The decoded language inside a string, when no escape is under way; and the local of one. */
bool cz_text_of(const struct cz_machine *machine, uint32_t local, cz_expr *expr);
uint32_t cz_text_local(struct cz_machine *machine, cz_expr expr);

/* Whether one of the threads from `first` on does not rest on the text: see THREAD_UNCERTAIN. */
bool cz_threads_certain(const struct cz_threads *threads, uint32_t first);

#endif
