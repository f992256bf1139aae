/*
 * parser.h - what scanner.c, expression.c and parser.c share while a template is read.
 */
#ifndef CZ_TEMPLATE_PARSER_H
#define CZ_TEMPLATE_PARSER_H

#include "template/node.h"

enum cz_token_kind {
    CZ_TOKEN_END_OF_TAG,
    CZ_TOKEN_NAME,
    CZ_TOKEN_STRING,
    CZ_TOKEN_INTEGER,
    CZ_TOKEN_FLOAT,
    CZ_TOKEN_OPERATOR,
    CZ_TOKEN_END /* of the source */
};

struct cz_token {
    enum cz_token_kind kind;
    size_t offset;
    struct cz_slice text;  /* as written */
    struct cz_value value; /* STRING, INTEGER, FLOAT */
};

struct cz_parser {
    struct cz_template *tmpl;
    struct cz_slice source;
    size_t at;
    const char *tag_end;   /* "%}" or "}}" while in a tag */
    unsigned brackets;     /* open in the tag */
    bool line_starting;    /* the last thing read ended a line */
    struct cz_token token; /* the current one, in a tag */
    unsigned depth, loops;
    struct cloze_error *error;
};

#define NEW(variable, kind)                                                                        \
    struct cz_node *variable = cz_parse_node(parser, kind);                                        \
    if (!variable)                                                                                 \
    return CLOZE_MEMORY

#define TRY(call)                                                                                  \
    do {                                                                                           \
        cloze_status try_status = (call);                                                          \
        if (try_status)                                                                            \
            return try_status;                                                                     \
    } while (0)

/* ---- scanner.c: failing, with the place ---- */
cloze_status cz_scan_fail_at(struct cz_parser *parser, size_t offset, cloze_status code,
                             const char *what, struct cz_slice text);
cloze_status cz_scan_fail(struct cz_parser *parser, const char *what); /* at the current token */
cloze_status cz_scan_unsupported(struct cz_parser *parser, size_t offset, const char *what,
                                 struct cz_slice text);

/* ---- scanner.c: characters ---- */
bool cz_scan_is_space(char c);
bool cz_scan_looking_at(const struct cz_parser *parser, size_t at, const char *text);
/* Behind the end of a tag: "-" takes all white space, a block or comment one newline. */
void cz_scan_trim_after(struct cz_parser *parser, char sign, bool is_block);
/* A trusted string value of the template's own text. */
cloze_status cz_scan_keep_text(struct cz_parser *parser, struct cz_slice text,
                               struct cz_value *out);

/* ---- scanner.c: the current token ---- */
cloze_status cz_scan_next(struct cz_parser *parser);
bool cz_scan_is_operator(const struct cz_parser *parser, const char *text);
bool cz_scan_is_word(const struct cz_parser *parser, const char *text);
bool cz_scan_is_one_of(const struct cz_parser *parser, const char *words); /* between blanks */
/* These take the token they expect; the end of a tag stays the current one. */
cloze_status cz_scan_expect_operator(struct cz_parser *parser, const char *text);
cloze_status cz_scan_expect_name(struct cz_parser *parser, struct cz_slice *name);
cloze_status cz_scan_expect_tag_end(struct cz_parser *parser);

/* ---- scanner.c: nodes ---- */
/* A node at the current token; NULL, with the error set, when memory is short. */
struct cz_node *cz_parse_node(struct cz_parser *parser, enum cz_node_kind kind);
/* One level deeper; the caller takes it off parser->depth again when it succeeds. */
cloze_status cz_parse_enter(struct cz_parser *parser);

/* ---- expression.c ---- */
cloze_status cz_parse_expression(struct cz_parser *parser, struct cz_node **out);
cloze_status cz_parse_or(struct cz_parser *parser, struct cz_node **out); /* without inline if */
/* One item, or several with commas: then a tuple. `end_words`: what may follow a comma instead. */
cloze_status cz_parse_tuple(struct cz_parser *parser, bool parenthesised, const char *end_words,
                            cloze_status (*parse)(struct cz_parser *, struct cz_node **),
                            struct cz_node **out);
/* Wraps *out as the operand `a` of a new node. */
cloze_status cz_parse_wrap(struct cz_parser *parser, enum cz_node_kind kind, struct cz_node **out);
cloze_status cz_parse_filter_name(struct cz_parser *parser, struct cz_node *node);

#endif
