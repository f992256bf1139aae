/*
 * rules.h - context-free grammars over bytes: what GBNF, Lark and structural constraints compile to.
 *
 * A set of rules; each rule's body is a symbol, a tree built from terminals, references, sequences,
 * choices and repetitions. The machine runs rules as a pushdown automaton that keeps every reading
 * alive: a terminal is a regular expression (expr.h) without maximal munch, so "list" | "listen"
 * followed by "ed" loses nothing. An author who wants longest match writes it into the expression.
 *
 * Left recursion is allowed (rules that begin with themselves, also through others): the machine's
 * stacks are hash-consed and a cycle that reads nothing is cut. What is not allowed, and refused by
 * cz_rules_check, is a rule that derives itself alone (a: a), an undefined rule, and a rule that can
 * match nothing at all.
 *
 * Free text until a trigger: a terminal of
 *     and(concat(ANY, trigger), not(concat(ANY, trigger, repeat(any byte, 1, unbounded))))
 * is "all up to and with the first trigger".
 *
 * Errors: builders return CZ_SYMBOL_NONE past the limits and mark the rules; cz_rules_check reports.
 */
#ifndef CZ_CONSTRAINT_RULES_H
#define CZ_CONSTRAINT_RULES_H

#include "constraint/expr.h"

typedef uint32_t cz_symbol; /* names a symbol tree of one rule set */
typedef uint32_t cz_rule;   /* names a rule */

enum { CZ_SYMBOL_NONE = 0, CZ_SYMBOL_EMPTY = 1 };
enum { CZ_RULES_LIMIT = 100000 }; /* symbols and rules, each */

struct cz_rules;

/* Terminals are expressions of `store`, which outlives the rules. */
struct cz_rules *cz_rules_create(struct cz_expr_store *store);
void cz_rules_free(struct cz_rules *rules);
size_t cz_rules_bytes(const struct cz_rules *rules);
struct cz_expr_store *cz_rules_expr_store(struct cz_rules *rules);

/* The rule of that name, declared when it is new. The name is copied. */
cz_rule cz_rules_rule(struct cz_rules *rules, struct cz_slice name);
bool cz_rules_is_defined(const struct cz_rules *rules, cz_rule rule);
/* Sets the body; a second definition of a rule replaces the first (callers who mind check before). */
void cz_rules_define(struct cz_rules *rules, cz_rule rule, cz_symbol body);
void cz_rules_set_root(struct cz_rules *rules, cz_rule rule);

cz_symbol cz_rules_terminal(struct cz_rules *rules, cz_expr expr);
cz_symbol cz_rules_reference(struct cz_rules *rules, cz_rule rule);
cz_symbol cz_rules_sequence(struct cz_rules *rules, const cz_symbol *parts, size_t count);
cz_symbol cz_rules_choice(struct cz_rules *rules, const cz_symbol *parts, size_t count);
cz_symbol cz_rules_repeat(struct cz_rules *rules, cz_symbol part, uint32_t minimum,
                          uint32_t maximum); /* CZ_EXPR_UNBOUNDED */
/* Exactly this token by id: special tokens, which never match as text. */
cz_symbol cz_rules_token(struct cz_rules *rules, uint32_t token);
/* A JSON value that follows this schema (borrowed text, copied), under the grammar's own options.
 * `where` is put before the JSON Pointer of an error. */
cz_symbol cz_rules_json_schema(struct cz_rules *rules, struct cz_slice schema, const char *where);

/* CLOZE_INVALID naming the rule: undefined, or deriving itself; CLOZE_UNSATISFIABLE when the root
 * matches nothing; CLOZE_LIMIT. Called by the grammar compiler after the front end is done. */
cloze_status cz_rules_check(struct cz_rules *rules, struct cloze_error *error);

#endif
