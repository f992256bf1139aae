/* action.c - templates, and the handler that fills them in. */
#include "service/action.h"

#include "service/call.h"

/* ---- Parsing ---- */

static struct cz_slice trim(struct cz_slice text)
{
    while (text.size && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = cz_slice_of(text.data + 1, text.size - 1);
    while (text.size && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
        text.size--;
    return text;
}

static const struct cloze_parameter *find(struct cz_slice name,
                                          const struct cloze_parameter *parameters, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (cz_slice_is(name, parameters[i].name))
            return &parameters[i];
    return NULL;
}

static cloze_status unknown_argument(struct cz_slice name, const struct cloze_parameter *parameters,
                                     size_t count, struct cloze_error *error)
{
    const char *names[CZ_SERVICE_MOST_PARAMETERS + 1] = {0};
    for (size_t i = 0; i < count && i < CZ_SERVICE_MOST_PARAMETERS; i++)
        names[i] = parameters[i].name;
    const char *nearest = cz_nearest_name(name, names);
    return cz_fail(error, CLOZE_INVALID, NULL,
                   "{{ " CZ_SLICE_FORMAT " }} is not an argument of this endpoint%s%s%s",
                   CZ_SLICE_ARG(name), nearest ? "; did you mean '" : "", nearest ? nearest : "",
                   nearest ? "'?" : "");
}

/* The text between "{{" and "}}". */
static cloze_status parse_expression(struct cz_slice expression,
                                     const struct cloze_parameter *parameters, size_t count,
                                     struct cz_action_piece *piece, struct cloze_error *error)
{
    struct cz_slice name = trim(expression);
    if (!cz_is_identifier(name))
        return cz_fail(error, CLOZE_UNSUPPORTED, NULL,
                       "{{" CZ_SLICE_FORMAT "}}: only {{ argument }} is understood here",
                       CZ_SLICE_ARG(expression));
    const struct cloze_parameter *parameter = find(name, parameters, count);
    if (!parameter)
        return unknown_argument(name, parameters, count, error);
    piece->argument = parameter->name;
    piece->is_string = parameter->type == CLOZE_STRING;
    return CLOZE_OK;
}

static size_t count_pieces(struct cz_slice text)
{
    size_t count = 1;
    for (size_t i = 0; i + 1 < text.size; i++)
        if (text.data[i] == '{' && text.data[i + 1] == '{')
            count += 2;
    return count;
}

cloze_status cz_action_parse(struct cz_arena *arena, struct cz_slice text,
                             const struct cloze_parameter *parameters, size_t parameter_count,
                             struct cz_action_text *out, struct cloze_error *error)
{
    out->count = 0;
    out->pieces = CZ_ARENA_ARRAY(arena, struct cz_action_piece, count_pieces(text));
    if (!out->pieces)
        return cz_fail_memory(error, "template");
    do {
        const char *open = text.size ? memmem(text.data, text.size, "{{", 2) : NULL;
        size_t before = open ? (size_t)(open - text.data) : text.size;
        if (before || (!open && out->count == 0)) /* an empty template is one empty literal */
            out->pieces[out->count++].literal = cz_slice_of(text.data, before);
        if (!open)
            return CLOZE_OK;
        text = cz_slice_of(open + 2, text.size - before - 2);
        const char *close = memmem(text.data, text.size, "}}", 2);
        if (!close)
            return cz_fail(error, CLOZE_INVALID, NULL, "'{{' without '}}'");
        struct cz_slice expression = cz_slice_of(text.data, (size_t)(close - text.data));
        cloze_status status = parse_expression(expression, parameters, parameter_count,
                                               &out->pieces[out->count++], error);
        if (status)
            return status;
        text = cz_slice_of(close + 2, text.size - expression.size - 2);
    } while (text.size);
    return CLOZE_OK;
}

/* ---- Running ---- */

static const char *argument_text(struct cloze_call *call, const struct cz_action_piece *piece)
{
    return piece->is_string ? cloze_arg_string(call, piece->argument)
                            : cloze_arg_json(call, piece->argument);
}

/* *out is NULL for a template that is not given, or whose one argument is null. */
static cloze_status fill_in(struct cloze_call *call, const struct cz_action_text *text,
                            const char **out)
{
    *out = NULL;
    if (text->count == 0)
        return CLOZE_OK;
    if (text->count == 1 && text->pieces[0].argument) {
        if (!cloze_arg_is_null(call, text->pieces[0].argument))
            *out = argument_text(call, &text->pieces[0]);
        return CLOZE_OK;
    }
    struct cz_buffer filled = {0};
    for (size_t i = 0; i < text->count; i++) {
        const struct cz_action_piece *piece = &text->pieces[i];
        if (!piece->argument)
            cz_buffer_append_slice(&filled, piece->literal);
        else if (!cloze_arg_is_null(call, piece->argument))
            cz_buffer_append_text(&filled, argument_text(call, piece));
    }
    cloze_status status = cz_buffer_status(&filled, "template", &call->error);
    if (!status && !(*out = cz_arena_text(&call->arena, cz_buffer_slice(&filled))))
        status = cz_fail_memory(&call->error, "template");
    cz_buffer_free(&filled);
    return status;
}

cloze_status cz_action_run(struct cloze_call *call)
{
    const struct cz_action *action = cloze_call_context(call);
    struct cloze_generation wanted = {.raw = action->raw, .json_object = action->json_object};
    const struct {
        const struct cz_action_text *text;
        const char **out;
    } templates[] = {{&action->prompt, &wanted.prompt}, {&action->system, &wanted.system},
                     {&action->json_schema, &wanted.json_schema},
                     {&action->regex, &wanted.regex}, {&action->choice, &wanted.choices},
                     {&action->type, &wanted.type}};
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
        cloze_status status = fill_in(call, templates[i].text, templates[i].out);
        if (status)
            return status;
    }
    bool constrained = wanted.json_schema || wanted.regex || wanted.choices || wanted.type;
    if (!constrained && call->endpoint->table->output == CLOZE_OBJECT)
        wanted.json_object = true; /* the output has to be an object: any one */
    return cloze_generate(call, &wanted);
}
