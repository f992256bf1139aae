/*
 * frontend.h - the grammar languages: each fills a rule set (rules.h) from its source.
 *
 * error->where is "line L, column C". The grammar compiler calls cz_rules_check afterwards.
 */
#ifndef CZ_CONSTRAINT_FRONTEND_H
#define CZ_CONSTRAINT_FRONTEND_H

#include "constraint/rules.h"

enum {
    CZ_GRAMMAR_MAXIMUM_SIZE = 4 << 20, /* bytes of a grammar's source */
    CZ_GRAMMAR_MAXIMUM_DEPTH = 200     /* of parentheses */
};

/* Finds a special token by its text ("<|im_end|>"), for grammars that name one. */
typedef bool cz_find_token_function(void *context, struct cz_slice text, uint32_t *token);

/*
 * GBNF, the grammar language of llama.cpp, the whole of it: literals, sets of characters, `.`,
 * groups, repetitions, rules by name, comments, tokens (<name>, <[id]>). A negated token (!<name>)
 * is supported where it means free text: !<name>* with a special token. The start is `root`.
 * `find_token` may be NULL: then a grammar that names a token is refused.
 */
cloze_status cz_gbnf_parse(struct cz_rules *rules, struct cz_slice source,
                           cz_find_token_function *find_token, void *context,
                           struct cloze_error *error);

/*
 * Lark's EBNF: rules, terminals, strings, regular expressions with flags, ranges, repetitions
 * (`~ n..m`), optional parts in brackets, aliases (without effect), %ignore, %import from `common`,
 * %declare for nothing. Every reading of the text is followed, as with Lark's Earley parser and
 * dynamic lexer: priorities are read and have no effect on which texts match. Templates, %extend,
 * %override and imports from other modules are refused. The start is `start`.
 */
cloze_status cz_lark_parse(struct cz_rules *rules, struct cz_slice source,
                           struct cloze_error *error);

/*
 * Free text and constrained parts; the source is a JSON object in one of two forms.
 *
 *   {"until": TRIGGER, "then": PART}
 *       free text up to and with the first TRIGGER, then PART, and the answer ends: reasoning.
 *   {"tags": [{"begin": TEXT, PART, "end": TEXT}, ...],
 *    "triggers": [TEXT, ...], "required": false, "once": false}
 *       free text in which a trigger must begin one of the tags: tool calls. Triggers are beginnings
 *       of `begin` texts; without them, the `begin` texts themselves. "required": at least one tag;
 *       "once": the answer ends behind the first.
 *
 * A TRIGGER and a tag's "begin" and "end" are a string, or {"token": "<|name|>"} for a special
 * token. PART is one member: "schema": a JSON Schema, "regex": an expression, "choice": strings,
 * "json_object": true, "text": true.
 */
cloze_status cz_structural_parse(struct cz_rules *rules, struct cz_slice source,
                                 cz_find_token_function *find_token, void *context,
                                 struct cloze_error *error);

/* A JSON array of different strings: one of them, as it stands. */
cloze_status cz_choice_parse(struct cz_expr_store *store, struct cz_slice source, cz_expr *out,
                             struct cloze_error *error);

#endif
