/*
 * action.h - `generate:` of a service.yaml: a handler made of templates.
 *
 * A template is text with {{ argument }} in it. One that is nothing but {{ argument }} passes the
 * argument on as it is: null stays null, and a constraint that is null is no constraint.
 */
#ifndef CZ_SERVICE_ACTION_H
#define CZ_SERVICE_ACTION_H

#include "base/arena.h"
#include "base/slice.h"

struct cz_action_piece {
    struct cz_slice literal;      /* when `argument` is NULL */
    const char *argument;         /* a declared one */
    bool is_string;               /* the argument's type: its text, else its JSON */
};

struct cz_action_text {
    struct cz_action_piece *pieces; /* [count] */
    size_t count;                   /* 0: not given */
};

struct cz_action {
    struct cz_action_text prompt, system, json_schema, regex, choice, type;
    bool json_object;
    bool raw;
};

/* Splits `text` into pieces. `parameters` are the declared arguments. */
cloze_status cz_action_parse(struct cz_arena *arena, struct cz_slice text,
                             const struct cloze_parameter *parameters, size_t parameter_count,
                             struct cz_action_text *out, struct cloze_error *error);

/* The handler; its endpoint's context is a struct cz_action. */
cloze_status cz_action_run(struct cloze_call *call);

#endif
