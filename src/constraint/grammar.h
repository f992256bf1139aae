/*
 * grammar.h - a compiled constraint: what an answer may be.
 *
 * Compiling decides everything: what can't be enforced exactly is refused here by name, with the
 * JSON Pointer (or position) in error->where; a constraint that nothing meets is
 * CLOZE_UNSATISFIABLE. After that, masks and accepts can't fail. A grammar is immutable from
 * outside, reference-counted and shared between threads. Equal text with equal options for one
 * vocabulary is compiled once (the whole text is compared).
 */
#ifndef CZ_CONSTRAINT_GRAMMAR_H
#define CZ_CONSTRAINT_GRAMMAR_H

#include "constraint/vocab.h"

enum cz_grammar_kind {
    CZ_GRAMMAR_JSON_SCHEMA, /* source: the schema */
    CZ_GRAMMAR_JSON_OBJECT, /* any JSON object; no source */
    CZ_GRAMMAR_REGEX,       /* source: the expression, anchored at both ends */
    CZ_GRAMMAR_CHOICE,      /* source: a JSON array of strings */
    CZ_GRAMMAR_GBNF,
    CZ_GRAMMAR_LARK,
    CZ_GRAMMAR_STRUCTURAL   /* free text, then constrained parts by trigger; source: JSON */
};

enum cz_policy {
    CZ_POLICY_GENERATE, /* declared key order, closed objects, plain numbers, one spelling */
    CZ_POLICY_ACCEPT    /* all that the standard allows */
};

enum cz_whitespace {
    CZ_WHITESPACE_DEFAULT, /* spaced for generation, flexible for acceptance */
    CZ_WHITESPACE_SPACED,  /* {"a": 1, "b": [2, 3]} */
    CZ_WHITESPACE_COMPACT, /* {"a":1,"b":[2,3]} */
    CZ_WHITESPACE_PRETTY,  /* indented by two blanks */
    CZ_WHITESPACE_FLEXIBLE, /* compact, spaced or indented, runs bounded */
    CZ_WHITESPACE_ANY
};

/* A document that a remote $ref may name. */
struct cz_schema_resource {
    const char *uri;
    struct cz_slice text;
};

struct cz_grammar_options {
    enum cz_grammar_kind kind;
    enum cz_policy policy;
    enum cz_whitespace whitespace;
    bool open_objects;      /* generation: don't close objects that say nothing of other keys */
    bool annotate_formats;  /* formats are annotations, as the standard's default */
    bool lenient;           /* report what can't be enforced instead of refusing */
    const struct cz_schema_resource *resources;
    size_t resource_count;
};

struct cz_grammar;

/* `options` is copied. error->where is a JSON Pointer into the schema, or "line L, column C". */
cloze_status cz_grammar_compile(struct cz_vocab *vocab, struct cz_slice source,
                                const struct cz_grammar_options *options, struct cz_grammar **out,
                                struct cloze_error *error);
struct cz_grammar *cz_grammar_retain(struct cz_grammar *grammar);
void cz_grammar_release(struct cz_grammar *grammar);

/* One JSON object: draft, enforced, annotations, warnings (near-misses), closed (pointers of objects
 * that generation closes), unenforced (lenient), narrowed (formats enforced too strictly, and how),
 * unsatisfiable parts, bytes, microseconds. Lives as
 * long as the grammar. */
struct cz_slice cz_grammar_report(const struct cz_grammar *grammar);

#endif
