/*
 * value.h - the values of a template while it is rendered; private to the room.
 *
 * Values are immutable (but for namespaces) and live in the arena of one rendering. A text knows
 * where each of its bytes came from: `mask` has a byte per byte of data, 1 for trusted; NULL when
 * `trusted` says it for all. Parts of a text keep their mask, joined texts join their masks.
 */
#ifndef CZ_TEMPLATE_VALUE_H
#define CZ_TEMPLATE_VALUE_H

#include "base/arena.h"
#include "template/template.h"
#include "json/json.h"

/* Limits of one rendering. */
enum {
    CZ_TEMPLATE_MAXIMUM_SOURCE = 4 << 20,
    CZ_TEMPLATE_DEPTH = 200,        /* nested expressions, statements, calls */
    CZ_TEMPLATE_VALUE_DEPTH = 1000, /* lists in lists */
    CZ_TEMPLATE_STEPS = 5000000,    /* nodes evaluated */
    CZ_TEMPLATE_MAXIMUM_OUTPUT = 16 << 20,
    CZ_TEMPLATE_MAXIMUM_MEMORY = 256 << 20,
    CZ_TEMPLATE_MAXIMUM_RANGE = 100000 /* as in Jinja's sandbox */
};

enum cz_value_type {
    CZ_UNDEFINED,
    CZ_NONE,
    CZ_BOOLEAN,
    CZ_INTEGER,
    CZ_FLOAT,
    CZ_BIG, /* an integer of the context beyond 64 bits: printed, not computed with */
    CZ_STRING,
    CZ_LIST,
    CZ_TUPLE,
    CZ_DICT,
    CZ_NAMESPACE,
    CZ_LOOP,
    CZ_MACRO,
    CZ_FUNCTION,
    CZ_METHOD
};

struct cz_text {
    const char *data;
    size_t size;
    const uint8_t *mask;
    bool trusted;
    bool safe; /* made by the filter safe or escape: + escapes what is joined to it */
};

struct cz_value {
    enum cz_value_type type;
    union {
        bool boolean;
        int64_t integer;
        double number;
        const struct cz_text *text;       /* STRING, BIG; UNDEFINED: its name, or NULL */
        const struct cz_list *list;       /* LIST, TUPLE */
        struct cz_dict *dict;             /* DICT, NAMESPACE */
        const struct cz_loop *loop;       /* LOOP */
        const struct cz_macro *macro;     /* MACRO */
        const struct cz_builtin *builtin; /* FUNCTION */
        const struct cz_method *method;   /* METHOD */
    };
};

struct cz_list {
    struct cz_value *items;
    size_t count;
    unsigned depth; /* of nesting; 0 until it was asked for */
};

/* In order of insertion; looked up linearly. */
struct cz_dict {
    struct cz_dict_entry {
        struct cz_value key, value;
    } * entries;
    size_t count, capacity;
    unsigned depth;
};

struct cz_loop {
    size_t index; /* from 0 */
    const struct cz_list *items;
};

struct cz_node;
struct cz_scope;

struct cz_macro {
    const struct cz_node *node; /* MACRO or CALL_BLOCK */
    struct cz_scope *scope;     /* where it was defined */
};

struct cz_arguments {
    struct cz_value *values;
    size_t count;
    struct cz_named {
        struct cz_slice name;
        struct cz_value value;
    } * named;
    size_t named_count;
};

struct cz_render;

/* A filter, test, function or method. `parameters`: names between blanks, in order; what the
 * function gets in `values` is one value per parameter, UNDEFINED where none was given. */
struct cz_builtin {
    const char *name;
    const char *parameters; /* NULL: any arguments, handed over as they are */
    cloze_status (*run)(struct cz_render *render, const struct cz_value *self,
                        const struct cz_arguments *arguments, struct cz_value *out);
};

struct cz_method {
    struct cz_value self;
    const struct cz_builtin *builtin;
};

/* The output that is being written: bytes and their trust. */
struct cz_writer {
    struct cz_buffer bytes, mask;
};

struct cz_render {
    const struct cz_template *tmpl;
    struct cz_arena arena;
    struct cz_writer *out;
    struct cz_scope *scope;
    const struct cz_node *node; /* being evaluated: the place of errors */
    unsigned depth;
    size_t steps;
    struct cloze_error *error;
};

/* ---- Making values (value.c) ---- */
struct cz_value cz_value_none(void);
struct cz_value cz_value_boolean(bool boolean);
struct cz_value cz_value_integer(int64_t integer);
struct cz_value cz_value_number(double number);
cloze_status cz_value_string(struct cz_render *render, struct cz_slice text, bool trusted,
                             struct cz_value *out); /* copies */
cloze_status cz_value_text_part(struct cz_render *render, const struct cz_text *text, size_t start,
                                size_t end, struct cz_value *out); /* shares the bytes */
cloze_status cz_value_make_list(struct cz_render *render, enum cz_value_type type, size_t count,
                                struct cz_value *out, struct cz_value **items);
cloze_status cz_value_make_dict(struct cz_render *render, enum cz_value_type type, size_t capacity,
                                struct cz_value *out);
cloze_status cz_value_dict_set(struct cz_render *render, struct cz_dict *dict, struct cz_value key,
                               struct cz_value value);
const struct cz_value *cz_value_dict_find(const struct cz_dict *dict, struct cz_value key);
const struct cz_value *cz_value_dict_find_text(const struct cz_dict *dict, struct cz_slice key);
cloze_status cz_value_from_json(struct cz_render *render, const struct cz_json *json, bool trusted,
                                struct cz_value *out);

/* ---- Looking at values (value.c) ---- */
struct cz_slice cz_value_text_slice(const struct cz_value *value);
bool cz_value_is_text(const struct cz_value *value, const char *text);
bool cz_value_truth(const struct cz_value *value);
bool cz_value_is_number(const struct cz_value *value); /* booleans too, as in Python */
double cz_value_as_double(const struct cz_value *value);
bool cz_value_equal(const struct cz_value *a, const struct cz_value *b);
/* -1, 0, 1 in *order; false when Python has no order for them. */
bool cz_value_order(const struct cz_value *a, const struct cz_value *b, int *order);
/* How deeply lists and dicts nest in a value. Asked for whenever a value gets a name, it looks at
 * one new level only, and keeps every other walk over values within CZ_TEMPLATE_VALUE_DEPTH. */
unsigned cz_value_depth(const struct cz_value *value);
const char *cz_value_type_name(const struct cz_value *value); /* Python's: "str", "int", ... */
size_t cz_value_character_count(struct cz_slice text);
size_t cz_value_character_offset(struct cz_slice text,
                                 size_t index); /* in bytes; size at the end */
/* What a for loop sees: items, characters, keys. */
cloze_status cz_value_iterate(struct cz_render *render, const struct cz_value *value,
                              struct cz_value *out_list);

/* ---- Writing (print.c) ---- */
void cz_text_write(struct cz_writer *writer, struct cz_slice text, bool trusted);
void cz_text_write_text(struct cz_writer *writer, const struct cz_text *text);
void cz_text_write_value(struct cz_writer *writer,
                         const struct cz_value *value); /* Python's str() */
void cz_text_writer_free(struct cz_writer *writer);
/* The writer's content as a string value, and frees the writer. */
cloze_status cz_text_writer_take(struct cz_render *render, struct cz_writer *writer,
                                 struct cz_value *out);
cloze_status cz_value_to_string(struct cz_render *render, const struct cz_value *value,
                                struct cz_value *out);
void cz_text_write_double(struct cz_buffer *out, double number); /* Python's repr */

struct cz_dump_options {
    bool ascii, sort_keys;
    struct cz_slice indent; /* data NULL: one line */
    struct cz_slice item_separator, key_separator;
};
/* json.dumps; fails for what JSON has no form for. */
cloze_status cz_value_dump_json(struct cz_render *render, const struct cz_value *value,
                                const struct cz_dump_options *options, struct cz_value *out);

/* ---- Failing (evaluate.c): at the node being evaluated ---- */
cloze_status cz_template_fail(struct cz_render *render, cloze_status code, const char *format, ...)
    CZ_PRINTF(3, 4);
cloze_status cz_template_memory(struct cz_render *render);

/* ---- Calling (evaluate.c) ---- */
cloze_status cz_value_call(struct cz_render *render, const struct cz_value *callee,
                           const struct cz_arguments *arguments, struct cz_value *out);
/* Puts arguments in the order of the builtin's parameters and runs it. */
cloze_status cz_template_run_builtin(struct cz_render *render, const struct cz_builtin *builtin,
                                     const struct cz_value *self,
                                     const struct cz_arguments *arguments, struct cz_value *out);
/* value.name and value[key] as Jinja looks them up. */
cloze_status cz_value_get_attribute(struct cz_render *render, const struct cz_value *value,
                                    struct cz_slice name, struct cz_value *out);
cloze_status cz_value_get_item(struct cz_render *render, const struct cz_value *value,
                               const struct cz_value *key, struct cz_value *out);

/* ---- Arguments and results that builtins share ---- */
/* An argument as an integer; `fallback` when it was not given. */
cloze_status cz_value_argument_integer(struct cz_render *render, const struct cz_value *argument,
                                       int64_t fallback, int64_t *out);
/* The value as text (str() of it), as filters take their operand. */
cloze_status cz_value_operand_text(struct cz_render *render, const struct cz_value *value,
                                   const struct cz_text **out);
/* "a.b.0" or an integer: attributes of attributes, as in map(attribute=...). */
cloze_status cz_value_get_path(struct cz_render *render, const struct cz_value *value,
                               const struct cz_value *path, struct cz_value *out);
/* Text with every character mapped; the mask goes along. */
enum cz_case { CZ_UPPER, CZ_LOWER, CZ_CAPITALIZE, CZ_TITLE_FILTER, CZ_TITLE_METHOD };
cloze_status cz_value_change_case(struct cz_render *render, const struct cz_text *text,
                                  enum cz_case mode, struct cz_value *out);
/* White space, or the characters of `set` when it is a text, cut off at either end. */
cloze_status cz_value_strip(struct cz_render *render, const struct cz_text *text,
                            const struct cz_value *set, bool left, bool right,
                            struct cz_value *out);
cloze_status cz_value_replace(struct cz_render *render, const struct cz_text *text,
                              const struct cz_arguments *old_new_count, struct cz_value *out);
/* The lines of a text, without their ends. */
cloze_status cz_value_split_lines(struct cz_render *render, const struct cz_text *text,
                                  struct cz_value *out);
/* HTML's characters as entities; a safe text stays as it is. The result is safe. */
cloze_status cz_value_escape(struct cz_render *render, const struct cz_text *text,
                             struct cz_value *out);
cloze_status cz_value_dict_items(struct cz_render *render, const struct cz_dict *dict,
                                 struct cz_value *out);

extern const struct cz_builtin cz_template_sequence_filters[]; /* of sequences.c */

/* ---- Tables; NULL when there is none of that name ---- */
const struct cz_builtin *cz_template_filter(struct cz_slice name);
const struct cz_builtin *cz_template_test(struct cz_slice name);
const struct cz_builtin *cz_template_function(struct cz_slice name);
const struct cz_builtin *cz_template_method(const struct cz_value *value, struct cz_slice name);
const struct cz_builtin *cz_template_builtin(const struct cz_builtin *table, struct cz_slice name);

#endif
