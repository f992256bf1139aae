/*
 * render.c - walking the statements of a template over a context.
 *
 * break and continue travel up as `jump`.
 */
#include "template/render.h"
#include "base/utf8.h"

#include <stdlib.h>

/* ---- Statements ---- */

/* Binds a target: a name, namespace.attribute, or a tuple of targets. */
static cloze_status assign(struct cz_render *render, const struct cz_node *target,
                           const struct cz_value *value)
{
    if (target->kind == CZ_NODE_NAME)
        return cz_render_bind(render, target->name, *value);
    if (target->kind == CZ_NODE_ATTRIBUTE) {
        const struct cz_value *space = cz_render_find_binding(render->scope, target->name);
        if (!space || space->type != CZ_NAMESPACE)
            return cz_template_fail(render, CLOZE_INVALID, "\"%.*s\" is not a namespace",
                                    CZ_SLICE_ARG(target->name));
        cloze_status deep = cz_render_check_depth(render, value);
        return deep ? deep : cz_value_dict_set(render, space->dict, target->value, *value);
    }
    struct cz_value items;
    cloze_status status = cz_value_iterate(render, value, &items);
    if (!status && items.list->count != cz_node_count(target->a))
        status = cz_template_fail(render, CLOZE_INVALID, "%zu values for %zu names",
                                  items.list->count, cz_node_count(target->a));
    size_t i = 0;
    for (const struct cz_node *item = target->a; item && !status; item = item->next)
        status = assign(render, item, &items.list->items[i++]);
    return status;
}

/* The items that the loop's condition lets through. */
static cloze_status filter_items(struct cz_render *render, const struct cz_node *node,
                                 struct cz_value *items)
{
    struct cz_value *kept, all = *items, condition;
    size_t count = 0;
    struct cz_scope *outside = render->scope;
    cloze_status status = cz_value_make_list(render, CZ_LIST, all.list->count, items, &kept);
    for (size_t i = 0; i < all.list->count && !status; i++) {
        status = cz_render_push_scope(render, outside);
        if (!status)
            status = assign(render, node->a, &all.list->items[i]);
        if (!status)
            status = cz_render_evaluate(render, node->e, &condition);
        if (!status && cz_value_truth(&condition))
            kept[count++] = all.list->items[i];
    }
    render->scope = outside;
    if (!status)
        ((struct cz_list *)items->list)->count = count;
    return status;
}

static cloze_status run_turn(struct cz_render *render, const struct cz_node *node,
                             struct cz_loop *loop, enum cz_jump *jump)
{
    cloze_status status =
        cz_render_bind(render, CZ_SLICE("loop"), (struct cz_value){.type = CZ_LOOP, .loop = loop});
    if (!status)
        status = assign(render, node->a, &loop->items->items[loop->index]);
    return status ? status : cz_render_run_body(render, node->c, jump);
}

static cloze_status run_loop(struct cz_render *render, const struct cz_node *node,
                             const struct cz_list *items)
{
    struct cz_scope *outside = render->scope;
    struct cz_loop *loop = CZ_ARENA_NEW(&render->arena, struct cz_loop);
    if (!loop)
        return cz_template_memory(render);
    loop->items = items;
    enum cz_jump jump = CZ_JUMP_NONE;
    cloze_status status = CLOZE_OK;
    for (; loop->index < items->count && !status && jump != CZ_JUMP_BREAK; loop->index++) {
        jump = CZ_JUMP_NONE;
        status = cz_render_push_scope(render, outside);
        if (!status)
            status = run_turn(render, node, loop, &jump);
    }
    render->scope = outside;
    return status;
}

/* Runs a body in a scope of its own. */
static cloze_status run_inside(struct cz_render *render, const struct cz_node *body,
                               enum cz_jump *jump)
{
    struct cz_scope *outside = render->scope;
    cloze_status status = cz_render_push_scope(render, outside);
    if (!status)
        status = cz_render_run_body(render, body, jump);
    render->scope = outside;
    return status;
}

static cloze_status run_for(struct cz_render *render, const struct cz_node *node,
                            enum cz_jump *jump)
{
    struct cz_value iterable, items;
    cloze_status status = cz_render_evaluate(render, node->b, &iterable);
    render->node = node->b;
    if (!status)
        status = cz_value_iterate(render, &iterable, &items);
    if (!status && node->e)
        status = filter_items(render, node, &items);
    if (status)
        return status;
    if (items.list->count == 0)
        return run_inside(render, node->d, jump);
    return run_loop(render, node, items.list);
}

static cloze_status run_if(struct cz_render *render, const struct cz_node *node, enum cz_jump *jump)
{
    struct cz_value condition;
    cloze_status status = cz_render_evaluate(render, node->a, &condition);
    return status
               ? status
               : cz_render_run_body(render, cz_value_truth(&condition) ? node->b : node->c, jump);
}

/* A chain of filters without an operand (its innermost `a` is NULL) on a text. */
static cloze_status apply_chain(struct cz_render *render, const struct cz_node *filter,
                                struct cz_value *value)
{
    cloze_status status = filter->a ? apply_chain(render, filter->a, value) : CLOZE_OK;
    struct cz_value operand = *value;
    return status ? status : cz_render_apply(render, filter, &operand, value);
}

static cloze_status capture_inside(struct cz_render *render, const struct cz_node *body,
                                   struct cz_value *out)
{
    struct cz_scope *outside = render->scope;
    cloze_status status = cz_render_push_scope(render, outside);
    if (!status)
        status = cz_render_capture(render, body, out);
    render->scope = outside;
    return status;
}

static cloze_status run_set(struct cz_render *render, const struct cz_node *node)
{
    struct cz_value value;
    cloze_status status = node->kind == CZ_NODE_SET ? cz_render_evaluate(render, node->b, &value)
                                                    : capture_inside(render, node->b, &value);
    if (!status && node->kind == CZ_NODE_SET_BLOCK && node->c)
        status = apply_chain(render, node->c, &value);
    render->node = node;
    return status ? status : assign(render, node->a, &value);
}

static cloze_status make_macro(struct cz_render *render, const struct cz_node *node,
                               struct cz_value *out)
{
    struct cz_macro *macro = CZ_ARENA_NEW(&render->arena, struct cz_macro);
    if (!macro)
        return cz_template_memory(render);
    *macro = (struct cz_macro){node, render->scope};
    *out = (struct cz_value){.type = CZ_MACRO, .macro = macro};
    return CLOZE_OK;
}

static cloze_status run_macro(struct cz_render *render, const struct cz_node *node)
{
    struct cz_value macro;
    cloze_status status = make_macro(render, node, &macro);
    return status ? status : cz_render_bind(render, node->name, macro);
}

static cloze_status run_call_block(struct cz_render *render, const struct cz_node *node)
{
    struct cz_value caller, value;
    cloze_status status = make_macro(render, node, &caller);
    if (!status)
        status = cz_render_call(render, node->c, &caller, &value);
    if (!status)
        cz_text_write_value(render->out, &value);
    return status;
}

static cloze_status run_filter_block(struct cz_render *render, const struct cz_node *node)
{
    struct cz_value value;
    cloze_status status = capture_inside(render, node->b, &value);
    if (!status)
        status = apply_chain(render, node->a, &value);
    if (!status)
        cz_text_write_value(render->out, &value);
    return status;
}

static cloze_status run_print(struct cz_render *render, const struct cz_node *node)
{
    struct cz_value value;
    cloze_status status = cz_render_evaluate(render, node->a, &value);
    if (!status)
        cz_text_write_value(render->out, &value);
    return status;
}

static cloze_status run_statement(struct cz_render *render, const struct cz_node *node,
                                  enum cz_jump *jump)
{
    switch (node->kind) {
    case CZ_NODE_TEXT:
        cz_text_write_text(render->out, node->value.text);
        return CLOZE_OK;
    case CZ_NODE_PRINT:
        return run_print(render, node);
    case CZ_NODE_IF:
        return run_if(render, node, jump);
    case CZ_NODE_FOR:
        return run_for(render, node, jump);
    case CZ_NODE_SET:
    case CZ_NODE_SET_BLOCK:
        return run_set(render, node);
    case CZ_NODE_MACRO:
        return run_macro(render, node);
    case CZ_NODE_CALL_BLOCK:
        return run_call_block(render, node);
    case CZ_NODE_FILTER_BLOCK:
        return run_filter_block(render, node);
    case CZ_NODE_GENERATION:
        return run_inside(render, node->b, jump);
    case CZ_NODE_BREAK:
        *jump = CZ_JUMP_BREAK;
        return CLOZE_OK;
    default:
        *jump = CZ_JUMP_CONTINUE;
        return CLOZE_OK;
    }
}

cloze_status cz_render_run_body(struct cz_render *render, const struct cz_node *node,
                                enum cz_jump *jump)
{
    cloze_status status = CLOZE_OK;
    for (; node && !status && *jump == CZ_JUMP_NONE; node = node->next) {
        status = cz_render_enter(render, node);
        if (!status)
            status = run_statement(render, node, jump);
        render->depth--;
        if (!status && (render->out->bytes.failed || render->out->mask.failed))
            status = cz_template_fail(render, CLOZE_LIMIT, "the text grows beyond %d bytes",
                                      CZ_TEMPLATE_MAXIMUM_OUTPUT);
    }
    return status;
}

/* ---- The whole ---- */

static bool is_listed(const char *const *names, struct cz_slice name)
{
    for (; names && *names; names++)
        if (cz_slice_is(name, *names))
            return true;
    return false;
}

static cloze_status bind_context(struct cz_render *render, const struct cz_json *context,
                                 const char *const *trusted_keys)
{
    if (!cz_json_is(context, CZ_JSON_OBJECT))
        return cz_template_fail(render, CLOZE_INVALID, "the context must be an object");
    cloze_status status = cz_render_push_scope(render, NULL);
    for (const struct cz_json *item = context->first; item && !status; item = item->next) {
        struct cz_value value;
        struct cz_slice name = cz_json_key(item);
        status = cz_value_from_json(render, item, is_listed(trusted_keys, name), &value);
        if (!status)
            status = cz_render_bind(render, name, value);
    }
    return status ? status : cz_render_push_scope(render, render->scope);
}

/* Runs of trusted bytes become spans. */
static cloze_status make_spans(const struct cz_writer *writer, struct cz_rendered *out,
                               struct cloze_error *error)
{
    const char *mask = writer->mask.data;
    size_t size = writer->mask.size, count = 0;
    for (size_t i = 0; i < size; i++)
        count += mask[i] && (i == 0 || !mask[i - 1]);
    out->spans = calloc(count + 1, sizeof *out->spans);
    if (!out->spans)
        return cz_fail_memory(error, "the rendered text");
    for (size_t i = 0; i < size; i++) {
        if (mask[i] && (i == 0 || !mask[i - 1]))
            out->spans[out->span_count].start = i;
        if (mask[i] && (i + 1 == size || !mask[i + 1]))
            out->spans[out->span_count++].end = i + 1;
    }
    return CLOZE_OK;
}

cloze_status cz_template_render(const struct cz_template *tmpl, const struct cz_json *context,
                                const char *const *trusted_keys, struct cz_rendered *out,
                                struct cloze_error *error)
{
    struct cz_writer writer = {.bytes.maximum = CZ_TEMPLATE_MAXIMUM_OUTPUT};
    struct cz_render render = {.tmpl = tmpl,
                               .arena = {.maximum = CZ_TEMPLATE_MAXIMUM_MEMORY},
                               .out = &writer,
                               .error = error};
    enum cz_jump jump = CZ_JUMP_NONE;
    *out = (struct cz_rendered){0};
    cloze_status status = bind_context(&render, context, trusted_keys);
    if (!status)
        status = cz_render_run_body(&render, tmpl->body, &jump);
    if (!status)
        status = make_spans(&writer, out, error);
    cz_arena_free(&render.arena);
    cz_buffer_free(&writer.mask);
    if (status)
        cz_buffer_free(&writer.bytes);
    else
        out->text = writer.bytes;
    return status;
}

void cz_rendered_free(struct cz_rendered *rendered)
{
    cz_buffer_free(&rendered->text);
    free(rendered->spans);
    *rendered = (struct cz_rendered){0};
}

/* ---- Compiling ---- */

/* Newlines as "\n"; one at the very end is dropped, as Jinja does. */
static cloze_status normalize_source(struct cz_template *tmpl, struct cz_slice source,
                                     struct cloze_error *error)
{
    char *copy = cz_arena_alloc(&tmpl->arena, source.size + 1);
    if (!copy)
        return cz_fail_memory(error, "the template");
    size_t size = 0;
    for (size_t i = 0; i < source.size; i++) {
        bool pair = source.data[i] == '\r' && i + 1 < source.size && source.data[i + 1] == '\n';
        if (!pair)
            copy[size++] = source.data[i] == '\r' ? '\n' : source.data[i];
    }
    if (size && copy[size - 1] == '\n')
        size--;
    tmpl->source = cz_slice_of(copy, size);
    return CLOZE_OK;
}

cloze_status cz_template_compile(struct cz_slice source, struct cz_template **out,
                                 struct cloze_error *error)
{
    if (source.size > CZ_TEMPLATE_MAXIMUM_SOURCE)
        return cz_fail(error, CLOZE_LIMIT, "template", "a template has %zu bytes; at most %d",
                       source.size, CZ_TEMPLATE_MAXIMUM_SOURCE);
    if (cz_utf8_valid(source) != source.size)
        return cz_fail(error, CLOZE_INVALID, "template", "the template is not UTF-8 at byte %zu",
                       cz_utf8_valid(source));
    struct cz_template *tmpl = calloc(1, sizeof *tmpl);
    if (!tmpl)
        return cz_fail_memory(error, "the template");
    cloze_status status = normalize_source(tmpl, source, error);
    if (!status)
        status = cz_template_parse(tmpl, error);
    if (status)
        cz_template_free(tmpl);
    else
        *out = tmpl;
    return status;
}

void cz_template_free(struct cz_template *tmpl)
{
    if (!tmpl)
        return;
    cz_arena_free(&tmpl->arena);
    free(tmpl);
}
