/*
 * evaluate.c - expressions of a template: names in scopes, attributes, calls, operators.
 *
 * Every node evaluated counts against CZ_TEMPLATE_STEPS, every level of nesting against
 * CZ_TEMPLATE_DEPTH.
 */
#include "template/render.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- Failing ---- */

cloze_status cz_template_fail(struct cz_render *render, cloze_status code, const char *format, ...)
{
    char where[64] = "", message[700];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (render->node)
        cz_template_place(render->tmpl->source, render->node->offset, where);
    return cz_fail(render->error, code, where, "%s", message);
}

cloze_status cz_template_memory(struct cz_render *render)
{
    return cz_template_fail(
        render, render->arena.total > CZ_TEMPLATE_MAXIMUM_MEMORY / 2 ? CLOZE_LIMIT : CLOZE_MEMORY,
        "the template needs more memory than allowed");
}

static cloze_status step(struct cz_render *render, const struct cz_node *node)
{
    render->node = node;
    if (++render->steps > CZ_TEMPLATE_STEPS)
        return cz_template_fail(render, CLOZE_LIMIT, "the template takes more than %d steps",
                                CZ_TEMPLATE_STEPS);
    return CLOZE_OK;
}

cloze_status cz_render_enter(struct cz_render *render, const struct cz_node *node)
{
    cloze_status status = step(render, node);
    if (!status && ++render->depth > CZ_TEMPLATE_DEPTH)
        status = cz_template_fail(render, CLOZE_LIMIT, "the template nests deeper than %d",
                                  CZ_TEMPLATE_DEPTH);
    return status;
}

/* ---- Scopes ---- */

cloze_status cz_render_push_scope(struct cz_render *render, struct cz_scope *outer)
{
    struct cz_scope *scope = CZ_ARENA_NEW(&render->arena, struct cz_scope);
    if (!scope)
        return cz_template_memory(render);
    scope->outer = outer;
    render->scope = scope;
    return CLOZE_OK;
}

cloze_status cz_render_check_depth(struct cz_render *render, const struct cz_value *value)
{
    return cz_value_depth(value) > CZ_TEMPLATE_VALUE_DEPTH
               ? cz_template_fail(render, CLOZE_LIMIT, "a value nests deeper than %d",
                                  CZ_TEMPLATE_VALUE_DEPTH)
               : CLOZE_OK;
}

cloze_status cz_render_bind(struct cz_render *render, struct cz_slice name, struct cz_value value)
{
    cloze_status status = cz_render_check_depth(render, &value);
    if (status)
        return status;
    for (struct cz_binding *own = render->scope->bindings; own; own = own->next) {
        if (cz_slice_equal(own->name, name)) {
            own->value = value;
            return CLOZE_OK;
        }
    }
    struct cz_binding *binding = CZ_ARENA_NEW(&render->arena, struct cz_binding);
    if (!binding)
        return cz_template_memory(render);
    *binding = (struct cz_binding){name, value, render->scope->bindings};
    render->scope->bindings = binding;
    return CLOZE_OK;
}

const struct cz_value *cz_render_find_binding(const struct cz_scope *scope, struct cz_slice name)
{
    for (; scope; scope = scope->outer)
        for (const struct cz_binding *own = scope->bindings; own; own = own->next)
            if (cz_slice_equal(own->name, name))
                return &own->value;
    return NULL;
}

static cloze_status undefined(struct cz_render *render, struct cz_slice name, struct cz_value *out)
{
    cloze_status status = cz_value_string(render, name, false, out);
    out->type = CZ_UNDEFINED;
    return status;
}

static cloze_status look_up(struct cz_render *render, struct cz_slice name, struct cz_value *out)
{
    const struct cz_value *found = cz_render_find_binding(render->scope, name);
    const struct cz_builtin *function = found ? NULL : cz_template_function(name);
    if (found)
        *out = *found;
    else if (function)
        *out = (struct cz_value){.type = CZ_FUNCTION, .builtin = function};
    else
        return undefined(render, name, out);
    return CLOZE_OK;
}

/* ---- Attributes and items ---- */

static bool loop_attribute(const struct cz_loop *loop, struct cz_slice name, struct cz_value *out)
{
    size_t left = loop->items->count - loop->index;
    if (cz_slice_is(name, "index"))
        *out = cz_value_integer((int64_t)loop->index + 1);
    else if (cz_slice_is(name, "index0"))
        *out = cz_value_integer((int64_t)loop->index);
    else if (cz_slice_is(name, "revindex"))
        *out = cz_value_integer((int64_t)left);
    else if (cz_slice_is(name, "revindex0"))
        *out = cz_value_integer((int64_t)left - 1);
    else if (cz_slice_is(name, "first"))
        *out = cz_value_boolean(loop->index == 0);
    else if (cz_slice_is(name, "last"))
        *out = cz_value_boolean(left == 1);
    else if (cz_slice_is(name, "length"))
        *out = cz_value_integer((int64_t)loop->items->count);
    else if (cz_slice_is(name, "depth"))
        *out = cz_value_integer(1); /* only recursive loops, which are refused, go deeper */
    else if (cz_slice_is(name, "depth0"))
        *out = cz_value_integer(0);
    else if (cz_slice_is(name, "previtem") && loop->index > 0)
        *out = loop->items->items[loop->index - 1];
    else if (cz_slice_is(name, "nextitem") && left > 1)
        *out = loop->items->items[loop->index + 1];
    else
        return false;
    return true;
}

static cloze_status make_method(struct cz_render *render, const struct cz_value *self,
                                const struct cz_builtin *builtin, struct cz_value *out)
{
    struct cz_method *method = CZ_ARENA_NEW(&render->arena, struct cz_method);
    if (!method)
        return cz_template_memory(render);
    *method = (struct cz_method){*self, builtin};
    *out = (struct cz_value){.type = CZ_METHOD, .method = method};
    return CLOZE_OK;
}

static cloze_status fail_undefined(struct cz_render *render, const struct cz_value *value,
                                   struct cz_slice wanted)
{
    return cz_template_fail(render, CLOZE_INVALID, "\"%.*s\" is undefined; it has no \"%.*s\"",
                            value->text ? (int)(value->text->size < 100 ? value->text->size : 100)
                                        : 7,
                            value->text ? value->text->data : "a value", CZ_SLICE_ARG(wanted));
}

cloze_status cz_value_get_attribute(struct cz_render *render, const struct cz_value *value,
                                    struct cz_slice name, struct cz_value *out)
{
    if (value->type == CZ_UNDEFINED)
        return fail_undefined(render, value, name);
    if (value->type == CZ_LOOP && loop_attribute(value->loop, name, out))
        return CLOZE_OK;
    const struct cz_builtin *method = cz_template_method(value, name);
    if (method)
        return make_method(render, value, method, out);
    const struct cz_value *found = value->type == CZ_DICT || value->type == CZ_NAMESPACE
                                       ? cz_value_dict_find_text(value->dict, name)
                                       : NULL;
    if (!found)
        return undefined(render, name, out);
    *out = *found;
    return CLOZE_OK;
}

static cloze_status item_at(struct cz_render *render, const struct cz_value *value, int64_t index,
                            struct cz_value *out)
{
    bool is_text = value->type == CZ_STRING;
    struct cz_slice text = cz_value_text_slice(value);
    size_t count = is_text ? cz_value_character_count(text) : value->list->count;
    if (index < 0)
        index += (int64_t)count;
    if (index < 0 || index >= (int64_t)count)
        return undefined(render, CZ_SLICE("an item beyond the end"), out);
    if (!is_text) {
        *out = value->list->items[index];
        return CLOZE_OK;
    }
    size_t start = cz_value_character_offset(text, (size_t)index);
    struct cz_slice rest = {text.data + start, text.size - start};
    return cz_value_text_part(render, value->text, start,
                              start + cz_value_character_offset(rest, 1), out);
}

cloze_status cz_value_get_item(struct cz_render *render, const struct cz_value *value,
                               const struct cz_value *key, struct cz_value *out)
{
    if (value->type == CZ_UNDEFINED)
        return fail_undefined(render, value, cz_value_text_slice(key));
    bool is_sequence =
        value->type == CZ_LIST || value->type == CZ_TUPLE || value->type == CZ_STRING;
    if (is_sequence && key->type == CZ_INTEGER)
        return item_at(render, value, key->integer, out);
    if (value->type == CZ_DICT) {
        const struct cz_value *found = cz_value_dict_find(value->dict, *key);
        if (found) {
            *out = *found;
            return CLOZE_OK;
        }
    }
    if (key->type == CZ_STRING)
        return cz_value_get_attribute(render, value, cz_value_text_slice(key), out);
    return undefined(render, CZ_SLICE("an item"), out);
}

/* ---- Calls ---- */

size_t cz_node_count(const struct cz_node *node)
{
    size_t count = 0;
    for (; node; node = node->next)
        count++;
    return count;
}

static cloze_status evaluate_arguments(struct cz_render *render, const struct cz_node *node,
                                       struct cz_arguments *out)
{
    out->count = cz_node_count(node->b);
    out->named_count = cz_node_count(node->c);
    /* one more of each: a call block adds its caller, a filter its operand */
    out->values = CZ_ARENA_ARRAY(&render->arena, struct cz_value, out->count + 1);
    out->named = CZ_ARENA_ARRAY(&render->arena, struct cz_named, out->named_count + 1);
    if (!out->values || !out->named)
        return cz_template_memory(render);
    cloze_status status = CLOZE_OK;
    size_t i = 0;
    for (const struct cz_node *item = node->b; item && !status; item = item->next)
        status = cz_render_evaluate(render, item, &out->values[i++]);
    i = 0;
    for (const struct cz_node *item = node->c; item && !status; item = item->next) {
        out->named[i].name = item->name;
        status = cz_render_evaluate(render, item->a, &out->named[i++].value);
    }
    render->node = node;
    return status;
}

/* The index of a name among names between blanks, or -1. */
static int parameter_index(const char *parameters, struct cz_slice name, int *count)
{
    int found = -1;
    *count = 0;
    for (const char *at = parameters; *at;) {
        at += strspn(at, " ");
        size_t size = strcspn(at, " ");
        if (size && cz_slice_equal(cz_slice_of(at, size), name))
            found = *count;
        *count += size > 0;
        at += size;
    }
    return found;
}

cloze_status cz_template_run_builtin(struct cz_render *render, const struct cz_builtin *builtin,
                                     const struct cz_value *self,
                                     const struct cz_arguments *arguments, struct cz_value *out)
{
    enum { MOST_PARAMETERS = 8 };
    struct cz_value values[MOST_PARAMETERS] = {{0}};
    int count;
    if (!builtin->parameters)
        return builtin->run(render, self, arguments, out);
    parameter_index(builtin->parameters, (struct cz_slice){0}, &count);
    if (arguments->count > (size_t)count)
        return cz_template_fail(render, CLOZE_INVALID, "%s takes at most %d arguments",
                                builtin->name, count);
    if (arguments->count)
        memcpy(values, arguments->values, arguments->count * sizeof *values);
    for (size_t i = 0; i < arguments->named_count; i++) {
        int index = parameter_index(builtin->parameters, arguments->named[i].name, &count);
        if (index < 0)
            return cz_template_fail(render, CLOZE_INVALID, "%s has no argument \"%.*s\"",
                                    builtin->name, CZ_SLICE_ARG(arguments->named[i].name));
        values[index] = arguments->named[i].value;
    }
    struct cz_arguments ordered = {.values = values, .count = (size_t)count};
    return builtin->run(render, self, &ordered, out);
}

/* Binds the parameters of a macro in the current scope. */
static cloze_status bind_parameters(struct cz_render *render, const struct cz_node *macro,
                                    const struct cz_arguments *arguments)
{
    size_t i = 0, named_used = 0;
    for (const struct cz_node *own = macro->a; own; own = own->next, i++) {
        struct cz_value value = {.type = CZ_UNDEFINED};
        bool given = i < arguments->count;
        if (given)
            value = arguments->values[i];
        for (size_t n = 0; n < arguments->named_count; n++) {
            if (cz_slice_equal(arguments->named[n].name, own->name)) {
                value = arguments->named[n].value;
                given = true;
                named_used++;
            }
        }
        cloze_status status = CLOZE_OK;
        if (!given)
            status = own->a ? cz_render_evaluate(render, own->a, &value)
                            : undefined(render, own->name, &value);
        if (!status)
            status = cz_render_bind(render, own->name, value);
        if (status)
            return status;
    }
    for (size_t n = 0; n < arguments->named_count; n++) {
        if (cz_slice_is(arguments->named[n].name, "caller")) {
            named_used++;
            cloze_status status =
                cz_render_bind(render, arguments->named[n].name, arguments->named[n].value);
            if (status)
                return status;
        }
    }
    if (arguments->count > i || named_used < arguments->named_count)
        return cz_template_fail(render, CLOZE_INVALID, "the macro \"%.*s\" takes no such arguments",
                                CZ_SLICE_ARG(macro->name));
    return CLOZE_OK;
}

/* Runs a body with its output as a text. */
cloze_status cz_render_capture(struct cz_render *render, const struct cz_node *body,
                               struct cz_value *out)
{
    struct cz_writer writer = {.bytes.maximum = CZ_TEMPLATE_MAXIMUM_OUTPUT};
    struct cz_writer *outside = render->out;
    enum cz_jump jump = CZ_JUMP_NONE;
    render->out = &writer;
    cloze_status status = cz_render_run_body(render, body, &jump);
    render->out = outside;
    if (!status)
        return cz_text_writer_take(render, &writer, out);
    cz_text_writer_free(&writer);
    return status;
}

static cloze_status call_macro(struct cz_render *render, const struct cz_macro *macro,
                               const struct cz_arguments *arguments, struct cz_value *out)
{
    struct cz_scope *outside = render->scope;
    cloze_status status = cz_render_enter(render, render->node);
    if (!status)
        status = cz_render_push_scope(render, macro->scope);
    if (!status)
        status = bind_parameters(render, macro->node, arguments);
    if (!status)
        status = cz_render_capture(render, macro->node->b, out);
    render->scope = outside;
    render->depth--;
    return status;
}

cloze_status cz_value_call(struct cz_render *render, const struct cz_value *callee,
                           const struct cz_arguments *arguments, struct cz_value *out)
{
    switch (callee->type) {
    case CZ_MACRO:
        return call_macro(render, callee->macro, arguments, out);
    case CZ_FUNCTION:
        return cz_template_run_builtin(render, callee->builtin, NULL, arguments, out);
    case CZ_METHOD:
        return cz_template_run_builtin(render, callee->method->builtin, &callee->method->self,
                                       arguments, out);
    default:
        return cz_template_fail(render, CLOZE_INVALID, "a %s can't be called",
                                cz_value_type_name(callee));
    }
}

/* A method that isn't there: one that Python has is not supported here, others are the template's
 * mistake. */
static cloze_status fail_method(struct cz_render *render, const struct cz_node *node,
                                const struct cz_value *self)
{
    static const char *const known[] = {
        "append",     "casefold",  "center",    "clear",  "copy",       "encode",
        "expandtabs", "extend",    "index",     "insert", "isdecimal",  "isidentifier",
        "islower",    "isnumeric", "isupper",   "ljust",  "pop",        "popitem",
        "partition",  "remove",    "rindex",    "rjust",  "rpartition", "setdefault",
        "sort",       "swapcase",  "translate", "update", "zfill",      "changed"};
    bool exists = false;
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
        exists |= cz_slice_is(node->name, known[i]);
    return exists ? cz_template_fail(render, CLOZE_UNSUPPORTED,
                                     "the method \"%.*s\" of a %s is not supported",
                                     CZ_SLICE_ARG(node->name), cz_value_type_name(self))
                  : cz_template_fail(render, CLOZE_INVALID, "a %s has no method \"%.*s\"",
                                     cz_value_type_name(self), CZ_SLICE_ARG(node->name));
}

cloze_status cz_render_call(struct cz_render *render, const struct cz_node *node,
                            const struct cz_value *caller, struct cz_value *out)
{
    struct cz_value callee, self;
    struct cz_arguments arguments;
    cloze_status status;
    if (node->a->kind == CZ_NODE_ATTRIBUTE) {
        status = cz_render_evaluate(render, node->a->a, &self);
        render->node = node->a;
        if (!status)
            status = cz_value_get_attribute(render, &self, node->a->name, &callee);
        if (!status && callee.type == CZ_UNDEFINED)
            return fail_method(render, node->a, &self);
    } else {
        status = cz_render_evaluate(render, node->a, &callee);
        if (!status && callee.type == CZ_UNDEFINED)
            return cz_template_fail(render, CLOZE_INVALID, "\"%.*s\" is undefined",
                                    CZ_SLICE_ARG(node->a->name));
    }
    if (!status)
        status = evaluate_arguments(render, node, &arguments);
    if (!status && caller)
        arguments.named[arguments.named_count++] = (struct cz_named){CZ_SLICE("caller"), *caller};
    return status ? status : cz_value_call(render, &callee, &arguments, out);
}

/* A filter on `operand`, or a test. */
cloze_status cz_render_apply(struct cz_render *render, const struct cz_node *node,
                             const struct cz_value *operand, struct cz_value *out)
{
    struct cz_arguments arguments;
    if (!node->builtin)
        return cz_template_fail(render, CLOZE_UNSUPPORTED, "unsupported %s \"%.*s\"",
                                node->kind == CZ_NODE_TEST ? "test" : "filter",
                                CZ_SLICE_ARG(node->name));
    cloze_status status = evaluate_arguments(render, node, &arguments);
    return status ? status
                  : cz_template_run_builtin(render, node->builtin, operand, &arguments, out);
}

/* ---- Expressions ---- */

static cloze_status evaluate_list(struct cz_render *render, const struct cz_node *node,
                                  struct cz_value *out)
{
    struct cz_value *items;
    cloze_status status =
        cz_value_make_list(render, node->kind == CZ_NODE_TUPLE ? CZ_TUPLE : CZ_LIST,
                           cz_node_count(node->a), out, &items);
    for (const struct cz_node *item = node->a; item && !status; item = item->next)
        status = cz_render_evaluate(render, item, items++);
    return status;
}

static cloze_status evaluate_dict(struct cz_render *render, const struct cz_node *node,
                                  struct cz_value *out)
{
    cloze_status status = cz_value_make_dict(render, CZ_DICT, cz_node_count(node->a), out);
    const struct cz_node *value_node = node->b;
    for (const struct cz_node *item = node->a; item && !status; item = item->next) {
        struct cz_value key, value;
        status = cz_render_evaluate(render, item, &key);
        if (!status)
            status = cz_render_evaluate(render, value_node, &value);
        if (!status)
            status = cz_value_dict_set(render, out->dict, key, value);
        value_node = value_node->next;
    }
    return status;
}

static cloze_status evaluate_concat(struct cz_render *render, const struct cz_node *node,
                                    struct cz_value *out)
{
    struct cz_writer writer = {.bytes.maximum = CZ_TEMPLATE_MAXIMUM_OUTPUT};
    cloze_status status = CLOZE_OK;
    for (const struct cz_node *item = node->a; item && !status; item = item->next) {
        struct cz_value value;
        status = cz_render_evaluate(render, item, &value);
        if (!status)
            cz_text_write_value(&writer, &value);
    }
    if (!status)
        return cz_text_writer_take(render, &writer, out);
    cz_text_writer_free(&writer);
    return status;
}

static cloze_status evaluate_comparison(struct cz_render *render, const struct cz_node *node,
                                        struct cz_value *out)
{
    struct cz_value left, right;
    bool holds = true;
    cloze_status status = cz_render_evaluate(render, node->a, &left);
    for (const struct cz_node *item = node->b; item && !status && holds; item = item->next) {
        status = cz_render_evaluate(render, item->a, &right);
        render->node = node;
        if (!status)
            status = cz_value_compare(render, item->op, &left, &right, &holds);
        left = right;
    }
    *out = cz_value_boolean(holds);
    return status;
}

static cloze_status evaluate_binary(struct cz_render *render, const struct cz_node *node,
                                    struct cz_value *out)
{
    struct cz_value left, right;
    cloze_status status = cz_render_evaluate(render, node->a, &left);
    if (!status)
        status = cz_render_evaluate(render, node->b, &right);
    render->node = node;
    return status ? status : cz_value_binary(render, node->op, &left, &right, out);
}

static cloze_status evaluate_slice(struct cz_render *render, const struct cz_node *node,
                                   struct cz_value *out)
{
    const struct cz_node *nodes[3] = {node->b, node->c, node->d};
    struct cz_value bounds[3], value;
    cloze_status status = cz_render_evaluate(render, node->a, &value);
    for (int i = 0; i < 3 && !status; i++) {
        bounds[i] = cz_value_none();
        if (nodes[i])
            status = cz_render_evaluate(render, nodes[i], &bounds[i]);
    }
    render->node = node;
    return status ? status : cz_value_slice(render, &value, bounds, out);
}

static cloze_status evaluate_conditional(struct cz_render *render, const struct cz_node *node,
                                         struct cz_value *out)
{
    struct cz_value condition;
    cloze_status status = cz_render_evaluate(render, node->a, &condition);
    if (status)
        return status;
    if (cz_value_truth(&condition))
        return cz_render_evaluate(render, node->b, out);
    if (node->c)
        return cz_render_evaluate(render, node->c, out);
    return undefined(render, CZ_SLICE("an inline if without else"), out);
}

static cloze_status evaluate_logic(struct cz_render *render, const struct cz_node *node,
                                   struct cz_value *out)
{
    cloze_status status = cz_render_evaluate(render, node->a, out);
    bool decided = cz_value_truth(out) == (node->kind == CZ_NODE_OR);
    return status || decided ? status : cz_render_evaluate(render, node->b, out);
}

static cloze_status evaluate_postfix(struct cz_render *render, const struct cz_node *node,
                                     struct cz_value *out)
{
    struct cz_value value, key;
    cloze_status status = cz_render_evaluate(render, node->a, &value);
    if (!status && node->kind == CZ_NODE_ITEM)
        status = cz_render_evaluate(render, node->b, &key);
    render->node = node;
    if (status)
        return status;
    switch (node->kind) {
    case CZ_NODE_ATTRIBUTE:
        return cz_value_get_attribute(render, &value, node->name, out);
    case CZ_NODE_ITEM:
        return cz_value_get_item(render, &value, &key, out);
    case CZ_NODE_UNARY:
        return cz_value_unary(render, node->op, &value, out);
    default: /* FILTER, TEST */
        return cz_render_apply(render, node, &value, out);
    }
}

static cloze_status evaluate_node(struct cz_render *render, const struct cz_node *node,
                                  struct cz_value *out)
{
    switch (node->kind) {
    case CZ_NODE_CONSTANT:
        *out = node->value;
        return CLOZE_OK;
    case CZ_NODE_NAME:
        return look_up(render, node->name, out);
    case CZ_NODE_ATTRIBUTE:
    case CZ_NODE_ITEM:
    case CZ_NODE_UNARY:
    case CZ_NODE_FILTER:
    case CZ_NODE_TEST:
        return evaluate_postfix(render, node, out);
    case CZ_NODE_SLICE:
        return evaluate_slice(render, node, out);
    case CZ_NODE_CALL:
        return cz_render_call(render, node, NULL, out);
    case CZ_NODE_BINARY:
        return evaluate_binary(render, node, out);
    case CZ_NODE_COMPARE:
        return evaluate_comparison(render, node, out);
    case CZ_NODE_CONCAT:
        return evaluate_concat(render, node, out);
    case CZ_NODE_AND:
    case CZ_NODE_OR:
        return evaluate_logic(render, node, out);
    case CZ_NODE_CONDITIONAL:
        return evaluate_conditional(render, node, out);
    case CZ_NODE_LIST:
    case CZ_NODE_TUPLE:
        return evaluate_list(render, node, out);
    case CZ_NODE_DICT:
        return evaluate_dict(render, node, out);
    default:
        return cz_template_fail(render, CLOZE_INVALID, "expected an expression");
    }
}

cloze_status cz_render_evaluate(struct cz_render *render, const struct cz_node *node,
                                struct cz_value *out)
{
    *out = (struct cz_value){.type = CZ_UNDEFINED};
    cloze_status status = cz_render_enter(render, node);
    if (!status)
        status = evaluate_node(render, node, out);
    render->depth--;
    return status;
}
