/*
 * trie.h - the vocabulary as a trie, and which characters its parts are made of; for this room only.
 */
#ifndef CZ_CONSTRAINT_TRIE_H
#define CZ_CONSTRAINT_TRIE_H

#include "base/slice.h"

enum { CZ_TOKEN_LONGEST = 4096 }; /* bytes */

/* Nodes in depth-first order: a node's subtree is the `skip` nodes from it on. */
struct cz_trie_node {
    uint32_t skip;
    uint32_t token; /* first token that ends here, UINT32_MAX when none */
    uint8_t byte;
    uint8_t characters; /* that a path from this node on, itself included, begins at most; 255: more */
    uint16_t depth;     /* 1 for a first byte */
    uint32_t wide : 31; /* of many children: its number among such nodes, + 1; else 0 */
    uint32_t chained : 1; /* several tokens end here: see same */
};

/* A set of characters: the ASCII ones in two words, the others told apart by their first byte only,
 * in the third. CZ_CHARS_INVALID stands for what is no UTF-8. */
struct cz_chars {
    uint64_t words[3];
};

#define CZ_CHARS_INVALID (1ull << 63)
enum { CZ_LEAD_FIRST = 0xC2, CZ_LEAD_LAST = 0xF4 };

struct cz_trie {
    struct cz_trie_node *nodes;
    uint32_t count;
    /* The children of wide nodes side by side, so that looking for some does not touch the rest,
     * which lie far apart: node number w has children wide_first[w] to wide_first[w + 1]. */
    uint32_t *wide_first, *wide_nodes;
    uint8_t *wide_bytes;
    uint32_t *same; /* [vocabulary] the next token that ends at the same node, UINT32_MAX */
    uint16_t *below; /* [count] the set of all characters in a node's subtree; NULL: not made */
    struct cz_chars *sets;
    uint32_t set_count;
    uint32_t *order;  /* the tokens, in the order of their nodes; made with `below` */
    uint32_t *before; /* [count + 1] how many of them stand at nodes before this one */
};

struct cz_trie_entry {
    uint64_t head; /* first eight bytes, big-endian, so that most comparisons are one */
    uint32_t token;
    uint32_t size;
    const char *data;
};

struct cz_trie_entry cz_trie_entry(struct cz_slice text, uint32_t token);
void cz_trie_sort(struct cz_trie_entry *entries, size_t count);
/* Of sorted entries; `tokens` is the size of the vocabulary. Tokens of equal bytes are chained. */
bool cz_trie_build(struct cz_trie *trie, const struct cz_trie_entry *entries, size_t count,
                   uint32_t tokens);
/* Makes `below`, `order` and the nodes' `characters`. */
bool cz_trie_find_characters(struct cz_trie *trie);
void cz_trie_free(struct cz_trie *trie);

/* The child of `at` with this byte, 0 when there is none. */
uint32_t cz_trie_child(const struct cz_trie *trie, uint32_t at, uint8_t byte);

/* Children one after the other, ascending. */
struct cz_trie_cursor {
    uint32_t at, end; /* nodes, or places in wide_nodes */
    bool wide;
};

static inline struct cz_trie_cursor cz_trie_children(const struct cz_trie *trie, uint32_t node)
{
    uint32_t wide = trie->nodes[node].wide;
    if (wide)
        return (struct cz_trie_cursor){trie->wide_first[wide - 1], trie->wide_first[wide], true};
    return (struct cz_trie_cursor){node + 1, node + trie->nodes[node].skip, false};
}

/* The next child, 0 at the end. */
static inline uint32_t cz_trie_next(const struct cz_trie *trie, struct cz_trie_cursor *cursor)
{
    if (cursor->at >= cursor->end)
        return 0;
    if (cursor->wide)
        return trie->wide_nodes[cursor->at++];
    uint32_t node = cursor->at;
    cursor->at += trie->nodes[node].skip;
    return node;
}

static inline bool cz_chars_within(const struct cz_chars *set, const struct cz_chars *other)
{
    return !((set->words[0] & ~other->words[0]) | (set->words[1] & ~other->words[1]) |
             (set->words[2] & ~other->words[2]));
}

#endif
