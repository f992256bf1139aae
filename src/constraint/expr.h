/*
 * expr.h - regular languages over bytes, as expressions with derivatives.
 *
 * What everything below the nesting level is made of: patterns, formats, lengths, enums, lexemes.
 * An expression is a 32-bit name for a hash-consed node of a store: equal names mean equal
 * languages (the converse holds only as far as the simplifications reach). Closed under
 * concatenation, alternation, intersection, complement and bounded repetition; a repetition is one
 * node with two counters, never unrolled, so char{0,1000000} costs one node and its states are made
 * on demand.
 *
 * Automata are never built ahead: cz_expr_derive(e, b) is the language of what may follow byte b,
 * cz_expr_nullable(e) says whether the text may end here, cz_expr_alive(e) whether anything can
 * still match. A state of the lazy automaton is an expression.
 *
 * Alphabet. Text is UTF-8 in bytes; expressions for JSON strings describe the DECODED string, so
 * nobody who writes a pattern or a format cares about escapes. Lone surrogates, which JSON can spell
 * (\ud800), stand in the generalised three-byte form. CZ_EXPR_TEXT is all such strings: complements
 * are relative to all byte strings, and the JSON level intersects with CZ_EXPR_TEXT.
 *
 * Errors. Builders never fail loudly: past the store's limits (nodes, fuel, memory) the store is
 * marked, builders return CZ_EXPR_NOTHING, and one cz_expr_status() at the end reports it. Not
 * thread-safe; the machine that owns a store serialises its use.
 */
#ifndef CZ_CONSTRAINT_EXPR_H
#define CZ_CONSTRAINT_EXPR_H

#include "base/slice.h"
#include "constraint/trie.h"

typedef uint32_t cz_expr; /* names a node of one store */

struct cz_expr_store;

enum {
    CZ_EXPR_NOTHING = 0, /* matches no string */
    CZ_EXPR_EMPTY = 1,   /* matches only the empty string */
    CZ_EXPR_ANY = 2,     /* matches every byte string */
    CZ_EXPR_CHAR = 3,    /* one code point (U+0000..U+10FFFF, surrogates included) in UTF-8 */
    CZ_EXPR_TEXT = 4     /* CZ_EXPR_CHAR, any number of times */
};

#define CZ_EXPR_UNBOUNDED UINT32_MAX

/* Limits of one store while compiling; see cz_expr_store_create. */
enum {
    CZ_EXPR_NODE_LIMIT = 400000,   /* nodes while a constraint is compiled */
    CZ_EXPR_FUEL = 400000          /* derivatives taken while deciding emptiness, in all */
};

struct cz_code_range {
    uint32_t first, last; /* inclusive code points */
};

/* The limits hold until cz_expr_unlimit: compiling is bounded, what was compiled never fails. */
struct cz_expr_store *cz_expr_store_create(void);
void cz_expr_store_free(struct cz_expr_store *store);
void cz_expr_unlimit(struct cz_expr_store *store);
size_t cz_expr_store_bytes(const struct cz_expr_store *store);
uint32_t cz_expr_store_count(const struct cz_expr_store *store); /* names are below it */
/* CLOZE_OK, or CLOZE_LIMIT / CLOZE_MEMORY when a builder could not go on. */
cloze_status cz_expr_status(const struct cz_expr_store *store, struct cloze_error *error);

/* ---- Builders ---- */

cz_expr cz_expr_byte(struct cz_expr_store *store, uint8_t byte);
cz_expr cz_expr_bytes(struct cz_expr_store *store, const uint64_t set[4]); /* bit b of word b/64 */
cz_expr cz_expr_literal(struct cz_expr_store *store, struct cz_slice text);
/* One of the texts: shaped as a trie, so that deriving costs what a trie step costs. */
cz_expr cz_expr_literals(struct cz_expr_store *store, const struct cz_slice *texts, size_t count);
cz_expr cz_expr_concat(struct cz_expr_store *store, cz_expr first, cz_expr second);
cz_expr cz_expr_or(struct cz_expr_store *store, cz_expr a, cz_expr b);
cz_expr cz_expr_and(struct cz_expr_store *store, cz_expr a, cz_expr b);
cz_expr cz_expr_or_many(struct cz_expr_store *store, const cz_expr *parts, size_t count);
cz_expr cz_expr_and_many(struct cz_expr_store *store, const cz_expr *parts, size_t count);
cz_expr cz_expr_not(struct cz_expr_store *store, cz_expr e);
/* `e` at least `minimum` and at most `maximum` times (CZ_EXPR_UNBOUNDED: no maximum). */
cz_expr cz_expr_repeat(struct cz_expr_store *store, cz_expr e, uint32_t minimum, uint32_t maximum);
/* One code point of the ranges (any order, may overlap), in UTF-8. */
cz_expr cz_expr_code_points(struct cz_expr_store *store, const struct cz_code_range *ranges,
                            size_t count);
/* a and not b */
cz_expr cz_expr_minus(struct cz_expr_store *store, cz_expr a, cz_expr b);

/* A language that is defined by an equation: a new variable, which stands for what cz_expr_bind
 * gives it, once, before anything is derived. `nullable` must be right for that body, which may hold
 * the variable only behind something that reads a byte, and not under an odd number of complements.
 */
cz_expr cz_expr_variable(struct cz_expr_store *store, bool nullable);
void cz_expr_bind(struct cz_expr_store *store, cz_expr variable, cz_expr body);

/* ---- The lazy automaton ---- */

bool cz_expr_nullable(const struct cz_expr_store *store, cz_expr e);
cz_expr cz_expr_derive(struct cz_expr_store *store, cz_expr e, uint8_t byte);
/* Whether any string matches. Remembered per node. */
bool cz_expr_alive(struct cz_expr_store *store, cz_expr e);
/* Appends a shortest matching string; false when there is none (or fuel ran out). */
bool cz_expr_shortest(struct cz_expr_store *store, cz_expr e, struct cz_buffer *out);
/* Whether a whole string matches. */
bool cz_expr_matches(struct cz_expr_store *store, cz_expr e, struct cz_slice text);
/* The bytes b for which derive(e, b) may be alive: a superset, from the node's form alone. */
void cz_expr_first(struct cz_expr_store *store, cz_expr e, uint64_t set[4]);
/* Groups the bytes that lead to equal derivatives: of[b] is the group of b. Returns how many there
 * are; 256, each byte alone, when that is not known cheaply. */
unsigned cz_expr_classes(const struct cz_expr_store *store, cz_expr e, uint8_t of[256]);
/* A language that agrees with e on what may follow within `bytes` more bytes, with counters of
 * characters cut down, so that fewer states are different. */
cz_expr cz_expr_clamp(struct cz_expr_store *store, cz_expr e, uint32_t bytes);
/* The most characters that may follow when e is a plain counter of them, else CZ_EXPR_UNBOUNDED. */
uint32_t cz_expr_longest_text(const struct cz_expr_store *store, cz_expr e);
/* Whether every string can be extended to a matching one, known from the form alone: true is sure. */
bool cz_expr_is_open(struct cz_expr_store *store, cz_expr e);
/* Whether some string that begins with a code point of first..last matches. */
bool cz_expr_has_code(struct cz_expr_store *store, cz_expr e, uint32_t first, uint32_t last);

/* One way to go on freely: whatever text of up to `limit` of these characters is read, something can
 * still match. The characters are told apart as in trie.h. */
struct cz_expr_freedom {
    struct cz_chars chars;
    uint32_t limit; /* CZ_EXPR_UNBOUNDED: none */
};
/* Those that are known cheaply, at most `capacity`; how many. */
unsigned cz_expr_freedoms(struct cz_expr_store *store, cz_expr e, struct cz_expr_freedom *out,
                          unsigned capacity);
/* The same expression in another store, where equal forms get equal names. NOTHING when it has more
 * than CZ_EXPR_COPY_LIMIT nodes, or variables, or the other store failed. */
enum { CZ_EXPR_COPY_LIMIT = 512 };
cz_expr cz_expr_copy(struct cz_expr_store *into, const struct cz_expr_store *from, cz_expr e);
/* How many strings match, at most `limit` (then the answer is `limit`). */
size_t cz_expr_count(struct cz_expr_store *store, cz_expr e, size_t limit);
/* Whether it is soon seen that there are as many. */
bool cz_expr_has_many(struct cz_expr_store *store, cz_expr e, size_t limit);

#endif
