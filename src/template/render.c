/*
 * render.c - walking the tree of a template over a context.
 *
 * Names live in a chain of scopes: the context, the template, one per macro call and loop turn.
 * Every node evaluated counts against CZ_TEMPLATE_STEPS, every level of nesting against
 * CZ_TEMPLATE_DEPTH. break and continue travel up as `jump`.
 */
#include "base/utf8.h"
#include "template/node.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct cz_scope {
    struct cz_scope *outer;
    struct binding {
        struct cz_slice name;
        struct cz_value value;
        struct binding *next;
    } * bindings;
};

enum jump { JUMP_NONE, JUMP_BREAK, JUMP_CONTINUE };

static cloze_status evaluate(struct cz_render *render, const struct cz_node *node,
                             struct cz_value *out);
static cloze_status run_body(struct cz_render *render, const struct cz_node *node, enum jump *jump);

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

static cloze_status enter(struct cz_render *render, const struct cz_node *node)
{
    cloze_status status = step(render, node);
    if (!status && ++render->depth > CZ_TEMPLATE_DEPTH)
        status = cz_template_fail(render, CLOZE_LIMIT, "the template nests deeper than %d",
                                  CZ_TEMPLATE_DEPTH);
    return status;
}

/* ---- Scopes ---- */

static cloze_status push_scope(struct cz_render *render, struct cz_scope *outer)
{
    struct cz_scope *scope = CZ_ARENA_NEW(&render->arena, struct cz_scope);
    if (!scope)
        return cz_template_memory(render);
    scope->outer = outer;
    render->scope = scope;
    return CLOZE_OK;
}

static cloze_status check_depth(struct cz_render *render, const struct cz_value *value)
{
    return cz_value_depth(value) > CZ_TEMPLATE_VALUE_DEPTH
               ? cz_template_fail(render, CLOZE_LIMIT, "a value nests deeper than %d",
                                  CZ_TEMPLATE_VALUE_DEPTH)
               : CLOZE_OK;
}

static cloze_status bind(struct cz_render *render, struct cz_slice name, struct cz_value value)
{
    cloze_status status = check_depth(render, &value);
    if (status)
        return status;
    for (struct binding *own = render->scope->bindings; own; own = own->next) {
        if (cz_slice_equal(own->name, name)) {
            own->value = value;
            return CLOZE_OK;
        }
    }
    struct binding *binding = CZ_ARENA_NEW(&render->arena, struct binding);
    if (!binding)
        return cz_template_memory(render);
    *binding = (struct binding){name, value, render->scope->bindings};
    render->scope->bindings = binding;
    return CLOZE_OK;
}

static const struct cz_value *find_binding(const struct cz_scope *scope, struct cz_slice name)
{
    for (; scope; scope = scope->outer)
        for (const struct binding *own = scope->bindings; own; own = own->next)
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
    const struct cz_value *found = find_binding(render->scope, name);
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

static size_t list_length(const struct cz_node *node)
{
    size_t count = 0;
    for (; node; node = node->next)
        count++;
    return count;
}

static cloze_status evaluate_arguments(struct cz_render *render, const struct cz_node *node,
                                       struct cz_arguments *out)
{
    out->count = list_length(node->b);
    out->named_count = list_length(node->c);
    /* one more of each: a call block adds its caller, a filter its operand */
    out->values = CZ_ARENA_ARRAY(&render->arena, struct cz_value, out->count + 1);
    out->named = CZ_ARENA_ARRAY(&render->arena, struct cz_named, out->named_count + 1);
    if (!out->values || !out->named)
        return cz_template_memory(render);
    cloze_status status = CLOZE_OK;
    size_t i = 0;
    for (const struct cz_node *item = node->b; item && !status; item = item->next)
        status = evaluate(render, item, &out->values[i++]);
    i = 0;
    for (const struct cz_node *item = node->c; item && !status; item = item->next) {
        out->named[i].name = item->name;
        status = evaluate(render, item->a, &out->named[i++].value);
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
            status =
                own->a ? evaluate(render, own->a, &value) : undefined(render, own->name, &value);
        if (!status)
            status = bind(render, own->name, value);
        if (status)
            return status;
    }
    for (size_t n = 0; n < arguments->named_count; n++) {
        if (cz_slice_is(arguments->named[n].name, "caller")) {
            named_used++;
            cloze_status status = bind(render, arguments->named[n].name, arguments->named[n].value);
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
static cloze_status capture(struct cz_render *render, const struct cz_node *body,
                            struct cz_value *out)
{
    struct cz_writer writer = {.bytes.maximum = CZ_TEMPLATE_MAXIMUM_OUTPUT};
    struct cz_writer *outside = render->out;
    enum jump jump = JUMP_NONE;
    render->out = &writer;
    cloze_status status = run_body(render, body, &jump);
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
    cloze_status status = enter(render, render->node);
    if (!status)
        status = push_scope(render, macro->scope);
    if (!status)
        status = bind_parameters(render, macro->node, arguments);
    if (!status)
        status = capture(render, macro->node->b, out);
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

static cloze_status evaluate_call(struct cz_render *render, const struct cz_node *node,
                                  const struct cz_value *caller, struct cz_value *out)
{
    struct cz_value callee, self;
    struct cz_arguments arguments;
    cloze_status status;
    if (node->a->kind == CZ_NODE_ATTRIBUTE) {
        status = evaluate(render, node->a->a, &self);
        render->node = node->a;
        if (!status)
            status = cz_value_get_attribute(render, &self, node->a->name, &callee);
        if (!status && callee.type == CZ_UNDEFINED)
            return fail_method(render, node->a, &self);
    } else {
        status = evaluate(render, node->a, &callee);
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
static cloze_status apply(struct cz_render *render, const struct cz_node *node,
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
                           list_length(node->a), out, &items);
    for (const struct cz_node *item = node->a; item && !status; item = item->next)
        status = evaluate(render, item, items++);
    return status;
}

static cloze_status evaluate_dict(struct cz_render *render, const struct cz_node *node,
                                  struct cz_value *out)
{
    cloze_status status = cz_value_make_dict(render, CZ_DICT, list_length(node->a), out);
    const struct cz_node *value_node = node->b;
    for (const struct cz_node *item = node->a; item && !status; item = item->next) {
        struct cz_value key, value;
        status = evaluate(render, item, &key);
        if (!status)
            status = evaluate(render, value_node, &value);
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
        status = evaluate(render, item, &value);
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
    cloze_status status = evaluate(render, node->a, &left);
    for (const struct cz_node *item = node->b; item && !status && holds; item = item->next) {
        status = evaluate(render, item->a, &right);
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
    cloze_status status = evaluate(render, node->a, &left);
    if (!status)
        status = evaluate(render, node->b, &right);
    render->node = node;
    return status ? status : cz_value_binary(render, node->op, &left, &right, out);
}

static cloze_status evaluate_slice(struct cz_render *render, const struct cz_node *node,
                                   struct cz_value *out)
{
    const struct cz_node *nodes[3] = {node->b, node->c, node->d};
    struct cz_value bounds[3], value;
    cloze_status status = evaluate(render, node->a, &value);
    for (int i = 0; i < 3 && !status; i++) {
        bounds[i] = cz_value_none();
        if (nodes[i])
            status = evaluate(render, nodes[i], &bounds[i]);
    }
    render->node = node;
    return status ? status : cz_value_slice(render, &value, bounds, out);
}

static cloze_status evaluate_conditional(struct cz_render *render, const struct cz_node *node,
                                         struct cz_value *out)
{
    struct cz_value condition;
    cloze_status status = evaluate(render, node->a, &condition);
    if (status)
        return status;
    if (cz_value_truth(&condition))
        return evaluate(render, node->b, out);
    if (node->c)
        return evaluate(render, node->c, out);
    return undefined(render, CZ_SLICE("an inline if without else"), out);
}

static cloze_status evaluate_logic(struct cz_render *render, const struct cz_node *node,
                                   struct cz_value *out)
{
    cloze_status status = evaluate(render, node->a, out);
    bool decided = cz_value_truth(out) == (node->kind == CZ_NODE_OR);
    return status || decided ? status : evaluate(render, node->b, out);
}

static cloze_status evaluate_postfix(struct cz_render *render, const struct cz_node *node,
                                     struct cz_value *out)
{
    struct cz_value value, key;
    cloze_status status = evaluate(render, node->a, &value);
    if (!status && node->kind == CZ_NODE_ITEM)
        status = evaluate(render, node->b, &key);
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
        return apply(render, node, &value, out);
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
        return evaluate_call(render, node, NULL, out);
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

static cloze_status evaluate(struct cz_render *render, const struct cz_node *node,
                             struct cz_value *out)
{
    *out = (struct cz_value){.type = CZ_UNDEFINED};
    cloze_status status = enter(render, node);
    if (!status)
        status = evaluate_node(render, node, out);
    render->depth--;
    return status;
}

/* ---- Statements ---- */

/* Binds a target: a name, namespace.attribute, or a tuple of targets. */
static cloze_status assign(struct cz_render *render, const struct cz_node *target,
                           const struct cz_value *value)
{
    if (target->kind == CZ_NODE_NAME)
        return bind(render, target->name, *value);
    if (target->kind == CZ_NODE_ATTRIBUTE) {
        const struct cz_value *space = find_binding(render->scope, target->name);
        if (!space || space->type != CZ_NAMESPACE)
            return cz_template_fail(render, CLOZE_INVALID, "\"%.*s\" is not a namespace",
                                    CZ_SLICE_ARG(target->name));
        cloze_status deep = check_depth(render, value);
        return deep ? deep : cz_value_dict_set(render, space->dict, target->value, *value);
    }
    struct cz_value items;
    cloze_status status = cz_value_iterate(render, value, &items);
    if (!status && items.list->count != list_length(target->a))
        status = cz_template_fail(render, CLOZE_INVALID, "%zu values for %zu names",
                                  items.list->count, list_length(target->a));
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
        status = push_scope(render, outside);
        if (!status)
            status = assign(render, node->a, &all.list->items[i]);
        if (!status)
            status = evaluate(render, node->e, &condition);
        if (!status && cz_value_truth(&condition))
            kept[count++] = all.list->items[i];
    }
    render->scope = outside;
    if (!status)
        ((struct cz_list *)items->list)->count = count;
    return status;
}

static cloze_status run_turn(struct cz_render *render, const struct cz_node *node,
                             struct cz_loop *loop, enum jump *jump)
{
    cloze_status status =
        bind(render, CZ_SLICE("loop"), (struct cz_value){.type = CZ_LOOP, .loop = loop});
    if (!status)
        status = assign(render, node->a, &loop->items->items[loop->index]);
    return status ? status : run_body(render, node->c, jump);
}

static cloze_status run_loop(struct cz_render *render, const struct cz_node *node,
                             const struct cz_list *items)
{
    struct cz_scope *outside = render->scope;
    struct cz_loop *loop = CZ_ARENA_NEW(&render->arena, struct cz_loop);
    if (!loop)
        return cz_template_memory(render);
    loop->items = items;
    enum jump jump = JUMP_NONE;
    cloze_status status = CLOZE_OK;
    for (; loop->index < items->count && !status && jump != JUMP_BREAK; loop->index++) {
        jump = JUMP_NONE;
        status = push_scope(render, outside);
        if (!status)
            status = run_turn(render, node, loop, &jump);
    }
    render->scope = outside;
    return status;
}

/* Runs a body in a scope of its own. */
static cloze_status run_inside(struct cz_render *render, const struct cz_node *body,
                               enum jump *jump)
{
    struct cz_scope *outside = render->scope;
    cloze_status status = push_scope(render, outside);
    if (!status)
        status = run_body(render, body, jump);
    render->scope = outside;
    return status;
}

static cloze_status run_for(struct cz_render *render, const struct cz_node *node, enum jump *jump)
{
    struct cz_value iterable, items;
    cloze_status status = evaluate(render, node->b, &iterable);
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

static cloze_status run_if(struct cz_render *render, const struct cz_node *node, enum jump *jump)
{
    struct cz_value condition;
    cloze_status status = evaluate(render, node->a, &condition);
    return status ? status : run_body(render, cz_value_truth(&condition) ? node->b : node->c, jump);
}

/* A chain of filters without an operand (its innermost `a` is NULL) on a text. */
static cloze_status apply_chain(struct cz_render *render, const struct cz_node *filter,
                                struct cz_value *value)
{
    cloze_status status = filter->a ? apply_chain(render, filter->a, value) : CLOZE_OK;
    struct cz_value operand = *value;
    return status ? status : apply(render, filter, &operand, value);
}

static cloze_status capture_inside(struct cz_render *render, const struct cz_node *body,
                                   struct cz_value *out)
{
    struct cz_scope *outside = render->scope;
    cloze_status status = push_scope(render, outside);
    if (!status)
        status = capture(render, body, out);
    render->scope = outside;
    return status;
}

static cloze_status run_set(struct cz_render *render, const struct cz_node *node)
{
    struct cz_value value;
    cloze_status status = node->kind == CZ_NODE_SET ? evaluate(render, node->b, &value)
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
    return status ? status : bind(render, node->name, macro);
}

static cloze_status run_call_block(struct cz_render *render, const struct cz_node *node)
{
    struct cz_value caller, value;
    cloze_status status = make_macro(render, node, &caller);
    if (!status)
        status = evaluate_call(render, node->c, &caller, &value);
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
    cloze_status status = evaluate(render, node->a, &value);
    if (!status)
        cz_text_write_value(render->out, &value);
    return status;
}

static cloze_status run_statement(struct cz_render *render, const struct cz_node *node,
                                  enum jump *jump)
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
        *jump = JUMP_BREAK;
        return CLOZE_OK;
    default:
        *jump = JUMP_CONTINUE;
        return CLOZE_OK;
    }
}

static cloze_status run_body(struct cz_render *render, const struct cz_node *node, enum jump *jump)
{
    cloze_status status = CLOZE_OK;
    for (; node && !status && *jump == JUMP_NONE; node = node->next) {
        status = enter(render, node);
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
    cloze_status status = push_scope(render, NULL);
    for (const struct cz_json *item = context->first; item && !status; item = item->next) {
        struct cz_value value;
        struct cz_slice name = cz_json_key(item);
        status = cz_value_from_json(render, item, is_listed(trusted_keys, name), &value);
        if (!status)
            status = bind(render, name, value);
    }
    return status ? status : push_scope(render, render->scope);
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
    enum jump jump = JUMP_NONE;
    *out = (struct cz_rendered){0};
    cloze_status status = bind_context(&render, context, trusted_keys);
    if (!status)
        status = run_body(&render, tmpl->body, &jump);
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
