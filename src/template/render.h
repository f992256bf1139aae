/*
 * render.h - what evaluate.c (expressions) and render.c (statements) share while a template runs.
 *
 * Names live in a chain of scopes: the context, the template, one per macro call and loop turn.
 */
#ifndef CZ_TEMPLATE_RENDER_H
#define CZ_TEMPLATE_RENDER_H

#include "template/node.h"

struct cz_scope {
    struct cz_scope *outer;
    struct cz_binding {
        struct cz_slice name;
        struct cz_value value;
        struct cz_binding *next;
    } * bindings;
};

enum cz_jump { CZ_JUMP_NONE, CZ_JUMP_BREAK, CZ_JUMP_CONTINUE };

/* ---- evaluate.c ---- */
cloze_status cz_render_evaluate(struct cz_render *render, const struct cz_node *node,
                                struct cz_value *out);
/* Counts a step and a level; the caller takes the level off render->depth again on success. */
cloze_status cz_render_enter(struct cz_render *render, const struct cz_node *node);
cloze_status cz_render_push_scope(struct cz_render *render, struct cz_scope *outer);
cloze_status cz_render_bind(struct cz_render *render, struct cz_slice name, struct cz_value value);
const struct cz_value *cz_render_find_binding(const struct cz_scope *scope, struct cz_slice name);
cloze_status cz_render_check_depth(struct cz_render *render, const struct cz_value *value);
/* Runs a body with its output as a text. */
cloze_status cz_render_capture(struct cz_render *render, const struct cz_node *body,
                               struct cz_value *out);
/* A CALL; `caller` is the macro of a call block, or NULL. */
cloze_status cz_render_call(struct cz_render *render, const struct cz_node *node,
                            const struct cz_value *caller, struct cz_value *out);
/* A filter on `operand`, or a test. */
cloze_status cz_render_apply(struct cz_render *render, const struct cz_node *node,
                             const struct cz_value *operand, struct cz_value *out);
size_t cz_node_count(const struct cz_node *list);

/* ---- render.c ---- */
cloze_status cz_render_run_body(struct cz_render *render, const struct cz_node *node,
                                enum cz_jump *jump);

#endif
