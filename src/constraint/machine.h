/*
 * machine.h - the automaton behind a grammar, made lazily and kept in tables; for this room only.
 *
 * Three levels, each hash-consed, so that equal things have equal 32-bit names:
 *
 *   values    sets of JSON values, closed under and, or, not. A value splits by type: a number set,
 *             a string expression, three literals, and one formula each for arrays and objects.
 *   formulas  boolean formulas, negations pushed to the leaves, over what can be said of an open
 *             object or array: all members follow P, key k is required, at most n items follow V...
 *             Reading a member gives pairs (values allowed here, formula for the rest); their union
 *             is the future. Complements never have to be built for nested values: negated leaves
 *             are existential ones ("some member breaks P").
 *   locals    states of the byte automaton, with what to do on each byte; nesting is a stack of
 *             locals to continue with, hash-consed too: (local, parent). A configuration is a small
 *             set of threads (local, stack); nearly always one.
 *
 * Every state offered is alive: pairs whose value or rest has no member at all are dropped when they
 * are made, so no thread walks into a dead end.
 *
 * All of it is owned by one machine, guarded by its mutex, and freed at once.
 */
#ifndef CZ_CONSTRAINT_MACHINE_H
#define CZ_CONSTRAINT_MACHINE_H

#include "base/arena.h"
#include "base/map.h"
#include "constraint/expr.h"
#include "constraint/grammar.h"
#include "constraint/intern.h"
#include "constraint/number.h"
#include "constraint/rules.h"

#include <stdatomic.h>
#include "json/json.h"

#include <pthread.h>

typedef uint32_t cz_value;
typedef uint32_t cz_formula;
typedef uint32_t cz_key; /* an interned member name */

enum { CZ_VALUE_NONE = 0, CZ_VALUE_ANY = 1 };
enum { CZ_FORMULA_FALSE = 0, CZ_FORMULA_TRUE = 1 };
#define CZ_COUNT_UNBOUNDED UINT32_MAX

/* Limits while compiling. */
enum {
    CZ_MACHINE_DEPTH = 1000,    /* nesting of the questions "is there any such value" */
    CZ_MACHINE_PAIRS = 512,    /* alternatives for one member */
    CZ_MACHINE_CLASSES = 64,    /* of undeclared keys, told apart by patterns */
    CZ_MACHINE_NODES = 300000,  /* values, formulas */
    CZ_MACHINE_FUEL = 250000    /* steps of searches for a value that fits */
};

/* ---- Values ---- */

enum cz_literal { CZ_LITERAL_NULL = 1, CZ_LITERAL_FALSE = 2, CZ_LITERAL_TRUE = 4 };

struct cz_typed {
    uint32_t literals; /* enum cz_literal, or-ed */
    cz_numbers number;
    cz_expr string; /* a subset of CZ_EXPR_TEXT */
    cz_formula array;
    cz_formula object;
};

/* Named values (sorted by key), patterned ones, and the value of all other members. */
struct cz_props {
    uint32_t named_count, pattern_count;
    cz_key *keys;          /* [named_count], in schema order */
    cz_value *values;      /* [named_count], patterns that match the key included */
    uint32_t *sorted;      /* [named_count] indices by key */
    cz_expr *patterns;     /* [pattern_count] */
    cz_value *pattern_values;
    cz_value other;
    bool closing; /* generation closes an object that has these */
};

struct cz_items {
    uint32_t count;
    cz_value *prefix; /* [count] */
    cz_value rest;
};

enum cz_formula_kind {
    FORMULA_FALSE,
    FORMULA_TRUE,
    FORMULA_AND,      /* words: children */
    FORMULA_OR,
    FORMULA_ONE,      /* exactly one child holds */
    FORMULA_NOTONE,   /* none does, or several */
    FORMULA_ALL,      /* props: every member follows */
    FORMULA_SOME,     /* props: some member does not */
    FORMULA_REQUIRE,  /* key */
    FORMULA_FORBID,   /* key */
    FORMULA_COUNT,    /* minimum, maximum of members or items still to come */
    FORMULA_ITEMS,    /* items, position: every item follows */
    FORMULA_SOMEITEM, /* items, position: some item does not */
    FORMULA_CONTAINS, /* value, minimum, maximum */
    FORMULA_UNIQUE,   /* value: the items so far, none of which may come again */
    FORMULA_REPEAT,   /* value: the items so far, one of which must come again */
    FORMULA_WHEN      /* value, formula, formula: while a member is read; see formula_read.c */
};

/* One way to read a member: its value is of `value`, the rest of the container follows `rest`. */
struct cz_pair {
    cz_value value;
    cz_formula rest;
};

struct cz_pairs {
    struct cz_pair *items;
    uint32_t count, capacity;
};

/* ---- The byte automaton ---- */

enum cz_local_kind {
    LOCAL_DEAD,
    LOCAL_END,         /* b: gap state */
    LOCAL_TARGETS,     /* a value is next: a targets, b gap state, c gap kind, d depth */
    LOCAL_STRING,      /* a expression, b escape state */
    LOCAL_NUMBER,      /* a number state */
    LOCAL_LITERAL,     /* a which, b position */
    LOCAL_OBJECT_OPEN, /* a object, b gap state */
    LOCAL_OBJECT_KEY,  /* after a comma: a object, b gap state */
    LOCAL_NAME,        /* in a declared key: a object, b first << 16 | last, c depth, d escape */
    LOCAL_COLON,       /* a targets, b gap state, c the key is to be remembered, d depth */
    LOCAL_OBJECT_AFTER,/* a object, b gap state */
    LOCAL_ARRAY_OPEN,  /* a array, b gap state */
    LOCAL_ARRAY_AFTER, /* a array, b gap state */
    LOCAL_LEXEME,      /* a expression: part of a context-free grammar */
    LOCAL_SYMBOL,      /* a symbol of the rules still to be read */
    LOCAL_TOKEN,       /* a token that is taken by id */
    LOCAL_KINDS
};

struct cz_local {
    uint8_t kind;
    uint8_t flags; /* what is to be remembered on a pop to it: THREAD_KEY_OPEN, THREAD_ITEM_OPEN */
    uint32_t a, b, c, d;
    uint32_t base;     /* in a flexible gap: the local at its beginning; else 0 */
    /* By class of byte: 0 unknown, STEP_DEAD, STEP_GAP, a local, or STEP_EFFECT | effect. NULL: no
     * table yet. */
    uint32_t *next;
    const uint8_t *classes; /* [256] */
    uint32_t distance; /* tokens to complete this local, + 1; 0 unknown */
    const uint32_t *plan; /* such tokens, after their number; NULL unknown */
    uint32_t freedom;  /* first in machine->freedoms, when freedom_count is not 0 */
    uint8_t freedom_count, freedom_known;
    uint8_t certain;   /* see certain.c */
    uint32_t explored; /* by which exploration: see walk.c */
    uint16_t only;     /* the one byte that can follow, + 2; 1: several; 0 unknown */
};

/* Locals with fixed names. Where a walk does not know the stack, it stands on CZ_STACK_UNKNOWN, and
 * a pop from there leads to one of the exits: the byte was used, or is to be stepped again. */
enum { STEP_DEAD = 1, CZ_LOCAL_EXIT = 2, CZ_LOCAL_EXIT_REDO = 3, STEP_GAP = 4 };
enum { CZ_STACK_EMPTY = 0, CZ_STACK_UNKNOWN = 1 };
#define STEP_EFFECT 0x80000000u

enum { OP_GO, OP_POP, OP_POP_REDO };

struct cz_alternative {
    uint32_t op;
    uint32_t push_count;
    uint32_t push_first; /* in machine->pushes; pushed in that order */
    uint32_t next;
};

struct cz_effect {
    uint32_t first, count; /* alternatives */
};

struct cz_stack {
    uint32_t local, parent;
    uint32_t distance; /* tokens to complete all below, end token not counted; 0 unknown */
    uint32_t depth;
};

/* Within a token, how far flexible white space has been read is counted beside the local. */
struct cz_thread {
    uint32_t local, stack;
    uint16_t marks;
    uint16_t gap; /* 0 between tokens: see cz_thread_open */
};

/* A mask walk does not know the text: what a state should remember of it (an undeclared key, an item
 * of a unique array) is left open, and tokens whose fate may rest on it are checked one by one. */
enum { THREAD_KEY_OPEN = 1, THREAD_ITEM_OPEN = 2, THREAD_UNCERTAIN = 4 };

/* The text that is being accepted; NULL in mask walks. */
struct cz_binder {
    const char *text;
    size_t size; /* before the byte at hand */
};

struct cz_threads {
    struct cz_thread *items;
    uint32_t count, capacity;
};

/* An object under way. Words: formula, keyset, position, seen bits, extra keys, depth, open. */
struct cz_object {
    cz_formula formula;
    uint32_t keyset;
    uint32_t position; /* declared order: ranks below are past; else 0 */
    uint32_t seen;     /* bits of the keyset's keys that are there already */
    cz_expr extra;     /* undeclared keys that are there already */
    uint32_t depth;    /* of the object's members; 0 unless printing pretty */
    uint32_t open;     /* undeclared keys are offered */
};

struct cz_array {
    cz_formula formula;
    uint32_t depth;
};

/* The keys that a formula speaks of, and the classes of all others. */
struct cz_keyset {
    uint32_t count;
    cz_key *keys;    /* [count] sorted by text */
    uint32_t *ranks; /* [count] declared order */
    uint32_t class_count;
    cz_expr *classes; /* [class_count] disjoint key languages without the declared keys;
                         CZ_EXPR_NOTHING: not made yet */
    cz_expr *class_keys;  /* [class_count] a shortest key of each; CZ_EXPR_NOTHING: not looked for */
    uint64_t *class_bits; /* [class_count] which patterns hold */
    uint32_t pattern_count;
    cz_expr *patterns;
};

/* What an object may do next, worked out when its local is first stepped. */
struct cz_plan {
    bool ready;
    uint64_t *allowed;  /* bits by key index */
    uint32_t *targets;  /* [keyset count] UINT32_MAX unknown */
    uint32_t other_count;
    cz_expr *others;    /* key languages */
    uint32_t *other_targets;
    bool may_close;
};

struct cz_mask_entry {
    const uint32_t *ids;   /* sparse: ascending */
    const uint32_t *words; /* dense */
    uint32_t count;
    bool ready, owned; /* not owned: the arrays are the split's */
    uint32_t reach; /* + 1: see cz_mask_reach; 0 unknown */
    uint32_t *uncertain; /* tokens that depend on keys or items seen: checked one by one */
    uint32_t uncertain_count;
};

struct cz_split;
struct cz_schemas;

/* What a local became when it remembered a value, given by its spelling. */
struct cz_binding {
    uint32_t local, result;
    struct cz_buffer value;
};

struct cz_machine {
    pthread_mutex_t lock;
    atomic_bool warm; /* warm.c has been at it */
    struct cz_vocab *vocab;
    struct cz_grammar_options options;
    struct cz_expr_store *exprs;
    struct cz_number_store *numbers;
    struct cz_schemas *schemas;
    struct cz_rules *rules;
    struct cz_arena arena;
    cloze_status failed;   /* sticky while compiling */
    struct cloze_error error;
    bool limited; /* compiling: limits hold */
    uint64_t fuel;

    struct cz_map key_map;
    struct cz_slice *keys;
    uint32_t key_count, key_capacity;

    struct cz_intern values;
    struct value_facts *value_facts; /* [values.count] */
    uint32_t value_facts_capacity;
    struct cz_typed *typed;
    uint32_t typed_count, typed_capacity;
    uint32_t depth, cycle_depth;
    uint32_t finish_depth, finish_limit, finish_steps;

    struct cz_intern constants;   /* arrays and objects; words: see value.c */
    cz_value *constant_values;    /* [constants.count] */
    uint32_t constant_capacity;

    struct cz_intern formulas;
    struct formula_facts *formula_facts;
    uint32_t formula_facts_capacity;
    uint32_t formula_stamp; /* of the last walk over formulas that marks them */
    struct cz_props **props;
    uint32_t props_count, props_capacity;
    struct cz_items **items;
    uint32_t items_count, items_capacity;

    struct cz_intern objects;
    struct object_facts *object_facts;
    uint32_t object_facts_capacity;
    struct cz_intern bits;
    struct cz_keyset **keysets;
    uint32_t keyset_count, keyset_capacity;
    uint32_t *keyset_of; /* by formula: keyset + 1 */
    uint32_t keyset_of_capacity;

    struct cz_intern arrays;
    uint8_t *array_facts;
    uint32_t array_facts_capacity;

    uint32_t *array_targets; /* by array: see cz_array_targets */
    uint32_t array_targets_capacity;

    struct cz_intern targets; /* words: value, local to continue with, repeated */

    struct cz_intern local_keys;
    struct cz_local *locals;
    uint32_t local_capacity;
    struct cz_intern class_keys; /* equal ways to class bytes have one name, and one place */
    const uint8_t **classes;
    uint32_t classes_capacity;
    const uint8_t *last_classes[LOCAL_KINDS]; /* of a local of each kind */
    struct cz_intern effect_keys; /* equal effects have one name */
    struct cz_effect *effects;
    uint32_t effect_capacity;
    struct cz_alternative *alternatives;
    uint32_t alternative_count, alternative_capacity;
    uint32_t *pushes;
    uint32_t push_count, push_capacity;

    struct cz_expr_freedom *freedoms; /* of locals, next to each other */
    uint32_t freedom_count, freedom_capacity;
    uint32_t explorations;

    struct cz_intern stack_keys;
    struct cz_stack *stacks;
    uint32_t stack_capacity;

    struct cz_intern mask_keys; /* local, stack */
    struct cz_mask_entry *masks;
    uint32_t mask_capacity;
    struct cz_split *splits; /* by local */
    uint32_t split_capacity;

    struct cz_binding last_binding;
    uint32_t root_local, root_stack;
    struct cz_threads walk;  /* scratch of the mask walk */
    struct cz_walk_level *walk_levels;
    uint32_t *scratch_words; /* [mask words], and behind them a bit for each */
};

/* machine.c */
cloze_status cz_machine_create(struct cz_vocab *vocab, const struct cz_grammar_options *options,
                               struct cz_machine **out, struct cloze_error *error);
void cz_machine_free(struct cz_machine *machine);
size_t cz_machine_bytes(struct cz_machine *machine); /* memory that it holds */
void cz_machine_fail(struct cz_machine *machine, cloze_status status, const char *where,
                     const char *message);
void cz_machine_fail_memory(struct cz_machine *machine);
cloze_status cz_machine_status(struct cz_machine *machine, struct cloze_error *error);
bool cz_machine_burn(struct cz_machine *machine, uint32_t steps); /* false: no fuel left */
cz_key cz_machine_key(struct cz_machine *machine, struct cz_slice text);
/* Room for one more entry of a parallel array. */
bool cz_machine_grow(struct cz_machine *machine, void **items, uint32_t count, uint32_t *capacity,
                     size_t size);

/* value.c */
cz_value cz_value_typed(struct cz_machine *machine, const struct cz_typed *typed);
cz_value cz_value_schema(struct cz_machine *machine, uint32_t schema);
cz_value cz_value_and(struct cz_machine *machine, cz_value a, cz_value b);
/* One of several, none of which is a union itself. */
cz_value cz_value_any_of(struct cz_machine *machine, const cz_value *values, uint32_t count);
cz_value cz_value_or(struct cz_machine *machine, cz_value a, cz_value b);
cz_value cz_value_not(struct cz_machine *machine, cz_value a);
cz_value cz_value_constant(struct cz_machine *machine, const struct cz_json *json);
/* What `value` is the complement of, CZ_VALUE_NONE when it is none. */
cz_value cz_value_negated(const struct cz_machine *machine, cz_value value);
/* A value that can be expanded at any time: it refers to no other schema. */
bool cz_value_is_plain(struct cz_machine *machine, cz_value value);
struct cz_typed cz_value_expand(struct cz_machine *machine, cz_value value);
bool cz_value_alive(struct cz_machine *machine, cz_value value);
/* How many values, at most limit. */
size_t cz_value_count(struct cz_machine *machine, cz_value value, size_t limit);
extern const struct cz_typed CZ_TYPED_NONE, CZ_TYPED_ANY;
struct cz_typed cz_typed_and(struct cz_machine *machine, struct cz_typed a, struct cz_typed b);
struct cz_typed cz_typed_or(struct cz_machine *machine, struct cz_typed a, struct cz_typed b);
struct cz_typed cz_typed_not(struct cz_machine *machine, struct cz_typed a);

/* formula.c */
cz_formula cz_formula_atom(struct cz_machine *machine, uint32_t kind, uint32_t a, uint32_t b,
                           uint32_t c);
cz_formula cz_formula_and(struct cz_machine *machine, cz_formula a, cz_formula b);
cz_formula cz_formula_or(struct cz_machine *machine, cz_formula a, cz_formula b);
cz_formula cz_formula_not(struct cz_machine *machine, cz_formula a);
/* Exactly one of the parts holds. */
cz_formula cz_formula_one(struct cz_machine *machine, const cz_formula *parts, uint32_t count);
cz_formula cz_formula_count(struct cz_machine *machine, uint32_t minimum, uint32_t maximum);
cz_formula cz_formula_contains(struct cz_machine *machine, cz_value value, uint32_t minimum,
                               uint32_t maximum);
uint32_t cz_props_add(struct cz_machine *machine, const struct cz_props *props); /* copied */
uint32_t cz_items_add(struct cz_machine *machine, const struct cz_items *items); /* copied */
cz_formula cz_formula_props(struct cz_machine *machine, uint32_t props);
cz_formula cz_formula_items(struct cz_machine *machine, uint32_t items, uint32_t position);
/* Whether it is plain from the form that nothing meets both. */
bool cz_formulas_disjoint(struct cz_machine *machine, cz_formula a, cz_formula b);
uint32_t cz_formula_kind(const struct cz_machine *machine, cz_formula formula);
const uint32_t *cz_formula_words(const struct cz_machine *machine, cz_formula formula);
uint32_t cz_formula_size(const struct cz_machine *machine, cz_formula formula);
bool cz_formula_nullable(const struct cz_machine *machine, cz_formula formula);
/* Whether generation leaves undeclared keys out: some part lists its properties and says nothing
 * else. */
bool cz_formula_closing(const struct cz_machine *machine, cz_formula formula);
/* The sum of what the leaves still want: a member that lowers it nowhere is of no use. */
uint64_t cz_formula_wants(const struct cz_machine *machine, cz_formula formula);
/* Whether the kind's words are other formulas. */
static inline bool cz_formula_is_list(uint32_t kind)
{
    return kind >= FORMULA_AND && kind <= FORMULA_NOTONE;
}
/* Whether a set of members may meet an object's formula, but not after leaving one out that no leaf
 * requires by name. */
bool cz_formula_counts(const struct cz_machine *machine, cz_formula formula);
/* Marks a formula: false when the walk under way (++formula_stamp) came by before. */
bool cz_formula_visit(struct cz_machine *machine, cz_formula formula);
/* Whether it is plain that the strong formula implies the weak one. */
bool cz_formula_weaker(const struct cz_machine *machine, cz_formula weak, cz_formula strong);
/* Takes a formula apart that is no conjunction of leaves (else false): *result tells whether the
 * test holds of an alternative. */
typedef bool cz_formula_test(struct cz_machine *machine, cz_formula formula, void *context);
bool cz_formula_branch(struct cz_machine *machine, cz_formula formula, cz_formula_test *test,
                       void *context, bool *result);
/* Tells that one single array or object meets the formula; equal ones must have one name. */
void cz_formula_mark_constant(struct cz_machine *machine, cz_formula formula);
/* Replaces UNIQUE and REPEAT atoms by ones that remember this value too. */
cz_formula cz_formula_bind(struct cz_machine *machine, cz_formula formula, cz_value value);
/* ... by ones that remember nothing; by what they are once an item came again. */
cz_formula cz_formula_forget(struct cz_machine *machine, cz_formula formula);
cz_formula cz_formula_settle(struct cz_machine *machine, cz_formula formula);
bool cz_formula_binds(const struct cz_machine *machine, cz_formula formula);
/* The pairs for one item. */
void cz_formula_item(struct cz_machine *machine, cz_formula formula, struct cz_pairs *out);
/* The pairs for one member. class_matches tells of undeclared keys which patterns hold. */
struct cz_member {
    cz_key key;                     /* UINT32_MAX: a class */
    const struct cz_keyset *keyset; /* of the class */
    uint32_t class;
};
void cz_formula_member(struct cz_machine *machine, cz_formula formula,
                       const struct cz_member *member, struct cz_pairs *out);
void cz_pairs_free(struct cz_pairs *pairs);
cz_value cz_props_value(struct cz_machine *machine, uint32_t props, const struct cz_member *member);
cz_value cz_items_value(const struct cz_machine *machine, uint32_t items, uint32_t position);

/* container.c: objects and arrays under way */
uint32_t cz_object_start(struct cz_machine *machine, cz_formula formula, uint32_t depth);
uint32_t cz_object_add(struct cz_machine *machine, const struct cz_object *object);
struct cz_object cz_object_get(const struct cz_machine *machine, uint32_t id);
bool cz_object_alive(struct cz_machine *machine, uint32_t id);
/* Works out the first states of an object whose formula is no plain conjunction, so that one that
 * is too hard to follow is refused while compiling. */
void cz_object_probe(struct cz_machine *machine, cz_formula formula);
struct cz_plan *cz_object_plan(struct cz_machine *machine, uint32_t id);
uint32_t cz_object_targets(struct cz_machine *machine, uint32_t id, uint32_t index);
uint32_t cz_targets_add(struct cz_machine *machine, const uint32_t *words, uint32_t count);
const struct cz_keyset *cz_keyset_of(struct cz_machine *machine, cz_formula formula, uint32_t *id);
/* The language of a class of undeclared keys; that without patterns is made when first asked for. */
cz_expr cz_keyset_class(struct cz_machine *machine, uint32_t id, uint32_t class);
/* Those of a member's targets after which the object's formula wants less; UINT32_MAX: none. */
uint32_t cz_object_useful(struct cz_machine *machine, uint32_t id, uint32_t targets);

/* array.c: arrays under way */
uint32_t cz_array_add(struct cz_machine *machine, cz_formula formula, uint32_t depth);
bool cz_array_alive(struct cz_machine *machine, cz_formula formula);
uint32_t cz_array_targets(struct cz_machine *machine, uint32_t id);
/* Items, all different or not, and a count only: how many items must come; false for any other
 * formula. */
bool cz_array_is_sequence(struct cz_machine *machine, cz_formula formula, uint32_t *minimum);
/* The value of the item `ahead` places on, and whether all later ones are the same. */
cz_value cz_array_ahead(struct cz_machine *machine, cz_formula formula, uint32_t ahead, bool *last);

/* distinct.c: arrays that remember their items */
bool cz_distinct_alive(struct cz_machine *machine, cz_formula formula);
/* Those of `value` after which, when `rest` has remembered the item, it can be met. */
cz_value cz_distinct_narrow(struct cz_machine *machine, cz_value value, cz_formula rest);

/* finish.c: distances */
enum { CZ_FAR = 1 << 28 }; /* no completion was found within the limits */
uint32_t cz_local_distance(struct cz_machine *machine, uint32_t local);
/* Tokens that complete the answer from here, the end token not counted: an upper bound. */
uint32_t cz_thread_distance(struct cz_machine *machine, struct cz_thread thread);
/* Appends the tokens (uint32_t each) that the distance counts; false when none were found. */
bool cz_thread_plan(struct cz_machine *machine, struct cz_thread thread, struct cz_buffer *out);
/* Text that completes the container from here, closing bracket included. */
bool cz_object_finish(struct cz_machine *machine, uint32_t id, bool first, struct cz_buffer *out);
bool cz_array_finish(struct cz_machine *machine, uint32_t id, bool first, struct cz_buffer *out);
bool cz_value_shortest(struct cz_machine *machine, cz_value value, uint32_t depth,
                       struct cz_buffer *out);

/* gap.c: white space stands in gaps between the parts of a document */
enum gap { GAP_EDGE, GAP_OPEN, GAP_CLOSE, GAP_BEFORE_COLON, GAP_COLON, GAP_BEFORE_COMMA, GAP_COMMA };
#define CZ_NO_GAP UINT32_MAX
bool cz_is_blank(uint8_t byte);
/* The state of a gap after one more byte; CZ_NO_GAP when it can't be read. */
uint32_t cz_gap_step(const struct cz_machine *machine, enum gap gap, uint32_t depth, uint32_t state,
                     uint8_t byte);
/* Whether the gap may end here. */
bool cz_gap_done(const struct cz_machine *machine, enum gap gap, uint32_t depth, uint32_t state);
/* The same for flexible white space, where it depends on nothing else. */
uint32_t cz_gap_step_flexible(uint32_t state, uint8_t byte);
bool cz_gap_done_flexible(uint32_t state);
/* Appends what the gap still wants. */
void cz_gap_finish(const struct cz_machine *machine, enum gap gap, uint32_t depth, uint32_t state,
                   struct cz_buffer *out);

/* local.c: the byte automaton */
uint32_t cz_local_add(struct cz_machine *machine, uint32_t kind, uint32_t a, uint32_t b, uint32_t c,
                      uint32_t d);
/* Flexible white space may come, and none has yet. */
bool cz_local_begins_gap(const struct cz_machine *machine, uint32_t local);
/* What byte does in a local: see cz_local.next. */
uint32_t cz_local_step(struct cz_machine *machine, uint32_t local, uint8_t byte);
/* The same as far as it is known: else 0. */
static inline uint32_t cz_local_known(const struct cz_local *local, uint8_t byte)
{
    return local->next ? local->next[local->classes[byte]] : 0;
}
/* certain.c: whether a byte that the local takes leads on whatever the item is that was just read and
 * is to be remembered; every byte since that item was certain. */
bool cz_local_is_certain(struct cz_machine *machine, uint32_t local, uint8_t byte);
/* Flexible white space has hundreds of states, which nothing but the white space itself depends on:
 * locals of these kinds have no tables in a gap, but share those of their base, the local at its
 * beginning. */
bool cz_local_in_gap(const struct cz_machine *machine, uint32_t kind);
extern const char *const CZ_LITERALS[]; /* null, false, true */
/* table.c: gives the local an empty table. false without memory. */
bool cz_table_make(struct cz_machine *machine, struct cz_local *local);
/* thread.c: locals with the stacks below them */
uint32_t cz_stack_push(struct cz_machine *machine, uint32_t stack, uint32_t local);
/* The same targets, the objects of which remember an undeclared key (decoded). 0: none is left. */
uint32_t cz_local_bind_item(struct cz_machine *machine, uint32_t local, struct cz_slice item);
uint32_t cz_local_bind_key(struct cz_machine *machine, uint32_t colon, struct cz_slice key);
/* Between tokens a thread's local tells how far white space was read; while bytes are stepped the
 * thread does. Opening and closing go from one form to the other. */
struct cz_thread cz_thread_open(const struct cz_machine *machine, struct cz_thread thread);
struct cz_thread cz_thread_close(struct cz_machine *machine, struct cz_thread thread);
/* Appends the threads that `thread` becomes, unless they stand at or behind `first` already. All
 * are open. */
void cz_thread_step(struct cz_machine *machine, struct cz_thread thread, uint8_t byte,
                    const struct cz_binder *binder, struct cz_threads *out, uint32_t first);
bool cz_thread_may_end(struct cz_machine *machine, uint32_t local, uint32_t stack);
bool cz_threads_add(struct cz_threads *threads, struct cz_thread thread);

/* string.c: the inside of JSON strings, with escapes */
struct cz_inner {
    bool named;
    cz_expr expr;         /* not named: what may follow, decoded */
    uint32_t object;      /* named: the keys `first` to `last` (exclusive) of its keyset that agree */
    uint32_t first, last; /* on `depth` bytes */
    uint32_t depth;
};
/* One byte inside the quotes (not the closing one): false when nothing can follow. */
bool cz_string_step(struct cz_machine *machine, struct cz_inner *inner, uint32_t *escape,
                    uint8_t byte);
/* The only bytes that can follow in this escape state; NULL: many. */
const char *cz_string_candidates(uint32_t escape);
/* The escape state lets the string end: *inner is then what was read in full. */
bool cz_string_settle(struct cz_machine *machine, struct cz_inner *inner, uint32_t escape);
/* Narrows a named range to what is allowed; false when that is nothing. */
bool cz_inner_trim(struct cz_machine *machine, struct cz_inner *inner);
/* Appends the JSON spelling of a decoded text, without quotes. */
void cz_string_spell(struct cz_slice decoded, struct cz_buffer *out);
/* The decoded form of a JSON string's inside. */
bool cz_string_decode(struct cz_slice spelled, struct cz_buffer *out);

/* What a byte does in a local, while it is worked out. */
enum { CZ_STEP_PUSHES = 64 }; /* symbols that one byte may open at once, beyond which is refused */
struct cz_step {
    uint32_t op, next, push_count;
    uint32_t pushes[CZ_STEP_PUSHES];
};

struct cz_step_list {
    struct cz_step *items;
    uint32_t count, capacity;
};

void cz_step_add(struct cz_machine *machine, struct cz_step_list *list, uint32_t op, uint32_t next);
void cz_value_start(struct cz_machine *machine, cz_value value, uint32_t depth, uint8_t byte,
                    struct cz_step_list *out);

/* symbol.c: context-free symbols as locals */
/* The LOCAL_TOKEN threads that `thread` opens without reading a byte. false when there are none. */
bool cz_symbol_tokens(struct cz_machine *machine, struct cz_thread thread, struct cz_threads *out);
bool cz_symbol_finish(struct cz_machine *machine, cz_symbol symbol, struct cz_buffer *out);
bool cz_symbol_alive(const struct cz_rules *rules, cz_symbol symbol);
cz_symbol cz_rules_loop(struct cz_rules *rules, cz_rule rule);
bool cz_symbol_nullable(const struct cz_rules *rules, cz_symbol symbol);
void cz_symbol_step(struct cz_machine *machine, cz_symbol symbol, uint8_t byte,
                    struct cz_step_list *out);

/* mask.c */
uint32_t cz_mask_count(const uint32_t *words, uint32_t count);
void cz_masks_free(struct cz_machine *machine);
size_t cz_masks_bytes(const struct cz_machine *machine);
/* The largest distance that an allowed token leads to. Remembered. */
uint32_t cz_mask_reach(struct cz_machine *machine, struct cz_thread thread);
/* Sets the bits of the tokens after which the distance is at most `limit`. Tokens that rest on the
 * text (see THREAD_UNCERTAIN) are left out. */
void cz_mask_within(struct cz_machine *machine, const struct cz_thread *threads, uint32_t count,
                    uint32_t limit, uint32_t *words);
/* Whether a token that goes on below node `at` of the trie is allowed from here. */
bool cz_mask_goes_on(struct cz_machine *machine, uint32_t at, const struct cz_threads *threads);
const struct cz_mask_entry *cz_mask_of(struct cz_machine *machine, uint32_t local, uint32_t stack);

/* schema.c */
cloze_status cz_schema_compile(struct cz_machine *machine, struct cz_slice source, cz_value *out,
                               struct cloze_error *error);
bool cz_schema_is_plain(struct cz_machine *machine, uint32_t schema);
struct cz_typed cz_schema_expand(struct cz_machine *machine, uint32_t schema);
void cz_schemas_free(struct cz_schemas *schemas);
size_t cz_schemas_bytes(const struct cz_schemas *schemas);

#endif
