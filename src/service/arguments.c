/* arguments.c - coercion and checks of arguments, with pydantic's words. */
#include "service/arguments.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* What is returned when not even a problem can be allocated: static, never linked or changed. */
static struct cz_problem no_memory = {"memory", NULL, "Out of memory", NULL};

static struct cz_problem *problem(struct cz_arena *arena, const char *type, const char *format, ...)
    CZ_PRINTF(3, 4);

static struct cz_problem *problem(struct cz_arena *arena, const char *type, const char *format, ...)
{
    char text[600];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    struct cz_problem *found = CZ_ARENA_NEW(arena, struct cz_problem);
    char *message = cz_arena_text(arena, cz_slice(text));
    if (!found || !message)
        return &no_memory;
    *found = (struct cz_problem){.type = type, .message = message};
    return found;
}

static void append(struct cz_problems *problems, struct cz_problem *found)
{
    problems->count++;
    if (found == &no_memory)
        return;
    if (!problems->end)
        problems->end = &problems->first;
    *problems->end = found;
    problems->end = &found->next;
}

/* The value's JSON text, NUL-terminated, in the arena; .data is NULL when out of memory. */
static struct cz_slice json_text(const struct cz_json *value, struct cz_arena *arena)
{
    struct cz_buffer text = {0};
    struct cz_json_writer writer = {.out = &text, .style = CZ_JSON_SPACED};
    cz_json_write_value(&writer, value);
    char *copy = text.failed ? NULL : cz_arena_text(arena, cz_buffer_slice(&text));
    struct cz_slice result = cz_slice_of(copy, copy ? text.size : 0);
    cz_buffer_free(&text);
    return result;
}

/* Text of a string value without the blanks around it, in a small buffer; false when too long. */
static bool trimmed(const struct cz_json *value, char out[64])
{
    struct cz_slice text = value->text;
    while (text.size && isspace((unsigned char)text.data[0]))
        text = cz_slice_of(text.data + 1, text.size - 1);
    while (text.size && isspace((unsigned char)text.data[text.size - 1]))
        text.size--;
    if (text.size == 0 || text.size >= 64 || memchr(text.data, '\0', text.size))
        return false;
    memcpy(out, text.data, text.size);
    out[text.size] = '\0';
    return true;
}

/* Reads a number out of a string; NULL, or the JSON node it would be. */
static bool number_from_text(const struct cz_json *value, struct cz_json *number,
                             struct cz_arena *arena)
{
    char text[64];
    if (!trimmed(value, text))
        return false;
    const char *start = text[0] == '+' ? text + 1 : text;
    char *copy = cz_arena_text(arena, cz_slice(start));
    struct cz_json *parsed;
    if (!copy || cz_json_parse(arena, cz_slice(copy), NULL, &parsed, NULL) ||
        parsed->kind != CZ_JSON_NUMBER)
        return false;
    *number = *parsed;
    return true;
}

static struct cz_problem *check_range(const struct cloze_parameter *parameter, double number,
                                      struct cz_arena *arena)
{
    const struct cloze_range *range = &parameter->range;
    if (range->has_minimum && number < range->minimum)
        return problem(arena, "greater_than_equal", "Input should be greater than or equal to %g",
                       range->minimum);
    if (range->has_maximum && number > range->maximum)
        return problem(arena, "less_than_equal", "Input should be less than or equal to %g",
                       range->maximum);
    return NULL;
}

static struct cz_problem *read_int(const struct cloze_parameter *parameter,
                                   const struct cz_json *value, struct cz_arena *arena,
                                   struct cz_argument *out)
{
    struct cz_json number = *value;
    if (value->kind == CZ_JSON_STRING && !number_from_text(value, &number, arena))
        return problem(arena, "int_parsing",
                       "Input should be a valid integer, unable to parse string as an integer");
    bool truth;
    if (cz_json_bool(value, &truth))
        out->integer = truth;
    else if (number.kind != CZ_JSON_NUMBER)
        return problem(arena, "int_type", "Input should be a valid integer");
    else if (!cz_json_int64(&number, &out->integer)) {
        double nearest;
        if (cz_json_double(&number, &nearest) && fabs(nearest) >= 9.2e18)
            return problem(arena, "int_parsing_size", "Input should fit in 64 bits");
        if (value->kind == CZ_JSON_STRING)
            return problem(arena, "int_parsing",
                           "Input should be a valid integer, unable to parse string as an integer");
        return problem(arena, "int_from_float",
                       "Input should be a valid integer, got a number with a fractional part");
    }
    out->number = (double)out->integer;
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)out->integer);
    out->text = cz_slice(cz_arena_text(arena, cz_slice(text)));
    return out->text.data ? check_range(parameter, out->number, arena) : &no_memory;
}

static struct cz_problem *read_number(const struct cloze_parameter *parameter,
                                      const struct cz_json *value, struct cz_arena *arena,
                                      struct cz_argument *out)
{
    struct cz_json number = *value;
    if (value->kind == CZ_JSON_STRING && !number_from_text(value, &number, arena))
        return problem(arena, "float_parsing",
                       "Input should be a valid number, unable to parse string as a number");
    bool truth;
    if (cz_json_bool(value, &truth)) {
        out->number = truth;
        out->text = cz_slice(truth ? "1" : "0");
        return check_range(parameter, out->number, arena);
    }
    if (number.kind != CZ_JSON_NUMBER)
        return problem(arena, "float_type", "Input should be a valid number");
    if (!cz_json_double(&number, &out->number) || !isfinite(out->number))
        return problem(arena, "finite_number", "Input should be a finite number");
    out->text = json_text(&number, arena);
    return out->text.data ? check_range(parameter, out->number, arena) : &no_memory;
}

static struct cz_problem *read_bool(const struct cz_json *value, struct cz_arena *arena,
                                    struct cz_argument *out)
{
    static const char *const words[2][7] = {{"0", "off", "f", "false", "n", "no", NULL},
                                            {"1", "on", "t", "true", "y", "yes", NULL}};
    char text[64];
    int64_t integer = -1;
    bool known = cz_json_bool(value, &out->boolean);
    if (value->kind == CZ_JSON_NUMBER && cz_json_int64(value, &integer)) {
        known = integer == 0 || integer == 1;
        out->boolean = integer == 1;
    } else if (value->kind == CZ_JSON_STRING && trimmed(value, text)) {
        for (int truth = 0; truth < 2; truth++)
            for (size_t i = 0; words[truth][i] && !known; i++)
                if (strcasecmp(text, words[truth][i]) == 0) {
                    known = true;
                    out->boolean = truth;
                }
    }
    out->text = cz_slice(out->boolean ? "true" : "false");
    if (known)
        return NULL;
    if (value->kind == CZ_JSON_STRING || value->kind == CZ_JSON_NUMBER)
        return problem(arena, "bool_parsing",
                       "Input should be a valid boolean, unable to interpret input");
    return problem(arena, "bool_type", "Input should be a valid boolean");
}

/* "Input should be 'a', 'b' or 'c'" */
static struct cz_problem *choice_problem(const char *const *choices, struct cz_arena *arena)
{
    struct cz_buffer text = {.maximum = 500};
    for (size_t i = 0; choices[i]; i++)
        cz_buffer_printf(&text, "%s'%s'", i == 0 ? "" : choices[i + 1] ? ", " : " or ", choices[i]);
    struct cz_problem *found = problem(arena, "literal_error", "Input should be %s%s",
                                       cz_buffer_text(&text), text.failed ? ", ..." : "");
    cz_buffer_free(&text);
    return found;
}

static struct cz_problem *read_string(const struct cloze_parameter *parameter,
                                      const struct cz_json *value, struct cz_arena *arena,
                                      struct cz_argument *out)
{
    if (value->kind != CZ_JSON_STRING) {
        if (parameter->choices)
            return choice_problem(parameter->choices, arena);
        bool taken = parameter->json_text &&
                     (value->kind == CZ_JSON_OBJECT || value->kind == CZ_JSON_ARRAY ||
                      value->kind == CZ_JSON_TRUE || value->kind == CZ_JSON_FALSE);
        if (!taken)
            return problem(arena, "string_type", "Input should be a valid string");
        out->text = json_text(value, arena);
        return out->text.data ? NULL : &no_memory;
    }
    if (value->text.size && memchr(value->text.data, '\0', value->text.size))
        return problem(arena, "string_nul", "Input should not contain the character U+0000");
    for (size_t i = 0; parameter->choices; i++) {
        if (!parameter->choices[i])
            return choice_problem(parameter->choices, arena);
        if (cz_slice_is(value->text, parameter->choices[i]))
            break;
    }
    char *text = cz_arena_text(arena, value->text);
    out->text = cz_slice_of(text, value->text.size);
    return text ? NULL : &no_memory;
}

static struct cz_problem *read_container(enum cz_json_kind kind, const char *type,
                                         const char *message, const struct cz_json *value,
                                         struct cz_arena *arena, struct cz_argument *out)
{
    if (value->kind != kind)
        return problem(arena, type, "%s", message);
    out->text = json_text(value, arena);
    return out->text.data ? NULL : &no_memory;
}

struct cz_problem *cz_argument_read(const struct cloze_parameter *parameter,
                                    const struct cz_json *value, struct cz_arena *arena,
                                    struct cz_argument *out)
{
    *out = (struct cz_argument){0};
    if (value->kind == CZ_JSON_NULL && (parameter->optional || parameter->type == CLOZE_JSON)) {
        *out = (struct cz_argument){.is_null = true, .text = CZ_SLICE("null")};
        return NULL;
    }
    switch (parameter->type) {
    case CLOZE_STRING:
        return read_string(parameter, value, arena, out);
    case CLOZE_INT:
        return read_int(parameter, value, arena, out);
    case CLOZE_NUMBER:
        return read_number(parameter, value, arena, out);
    case CLOZE_BOOL:
        return read_bool(value, arena, out);
    case CLOZE_OBJECT:
        return read_container(CZ_JSON_OBJECT, "dict_type", "Input should be an object", value,
                              arena, out);
    case CLOZE_ARRAY:
        return read_container(CZ_JSON_ARRAY, "list_type", "Input should be a valid array", value,
                              arena, out);
    case CLOZE_JSON:
        break;
    }
    out->text = json_text(value, arena);
    return out->text.data ? NULL : &no_memory;
}

cloze_status cz_arguments_from_object(const struct cz_endpoint *endpoint,
                                      const struct cz_json *object, struct cz_arena *arena,
                                      struct cz_argument *values, struct cz_problems *problems,
                                      struct cloze_error *error)
{
    for (size_t i = 0; i < endpoint->table->parameter_count; i++) {
        const struct cz_input *parameter = &endpoint->parameters[i];
        const struct cz_json *value = cz_json_get(object, parameter->table->name);
        struct cz_problem *found = NULL;
        if (value)
            found = cz_argument_read(parameter->table, value, arena, &values[i]);
        else if (parameter->required)
            found = problem(arena, "missing", "Field required");
        else
            values[i] = parameter->fallback;
        if (found == &no_memory)
            return cz_fail_memory(error, "arguments");
        if (found) {
            found->location = parameter->table->name;
            append(problems, found);
        }
    }
    return problems->count ? cz_fail(error, CLOZE_INVALID, NULL, "invalid arguments") : CLOZE_OK;
}

cloze_status cz_arguments_from_body(const struct cz_endpoint *endpoint, struct cz_slice body,
                                    struct cz_arena *arena, struct cz_argument *values,
                                    struct cz_problems *problems, struct cloze_error *error)
{
    const struct cz_json_options options = {.maximum_depth = CZ_ARGUMENTS_LARGEST_DEPTH,
                                            .allow_duplicate_keys = false};
    struct cz_json *parsed;
    struct cloze_error reason;
    if (body.size == 0)
        body = CZ_SLICE("{}");
    cloze_status status = cz_json_parse(arena, body, &options, &parsed, &reason);
    if (status == CLOZE_MEMORY)
        return cz_fail_memory(error, "arguments");
    if (status) {
        append(problems, problem(arena, "json_invalid", "Invalid JSON: %s%s%s", reason.message,
                                 reason.where[0] ? " at " : "", reason.where));
        return cz_fail(error, CLOZE_INVALID, NULL, "invalid JSON");
    }
    if (parsed->kind != CZ_JSON_OBJECT) {
        append(problems, problem(arena, "model_type", "Input should be an object"));
        return cz_fail(error, CLOZE_INVALID, NULL, "not an object");
    }
    return cz_arguments_from_object(endpoint, parsed, arena, values, problems, error);
}

cloze_status cz_arguments_add_field(struct cz_json *object, struct cz_slice name,
                                    struct cz_slice value, struct cz_arena *arena,
                                    struct cloze_error *error)
{
    const struct cz_json_options options = {.maximum_depth = CZ_ARGUMENTS_LARGEST_DEPTH};
    struct cz_json *node;
    cloze_status status = cz_json_parse(arena, value, &options, &node, NULL);
    if (status && status != CLOZE_MEMORY) {
        node = CZ_ARENA_NEW(arena, struct cz_json);
        if (node)
            *node = (struct cz_json){.kind = CZ_JSON_STRING, .text = value};
        status = node ? CLOZE_OK : CLOZE_MEMORY;
    }
    if (status)
        return cz_fail_memory(error, "form");
    node->key = name.data;
    node->key_size = (uint32_t)name.size;
    struct cz_json **end = &object->first;
    while (*end)
        end = &(*end)->next;
    *end = node;
    object->count++;
    return CLOZE_OK;
}

void cz_problems_write(const struct cz_problems *problems, struct cz_json_writer *writer)
{
    char text[80];
    snprintf(text, sizeof text, "%zu validation error for Input", problems->count);
    cz_json_begin_object(writer);
    cz_json_write_member_string(writer, "error", text);
    cz_json_write_key(writer, "detail");
    cz_json_begin_array(writer);
    for (const struct cz_problem *item = problems->first; item; item = item->next) {
        cz_json_begin_object(writer);
        cz_json_write_member_string(writer, "type", item->type);
        cz_json_write_key(writer, "loc");
        cz_json_begin_array(writer);
        if (item->location)
            cz_json_write_string(writer, item->location);
        cz_json_end_array(writer);
        cz_json_write_member_string(writer, "msg", item->message);
        cz_json_end_object(writer);
    }
    cz_json_end_array(writer);
    cz_json_end_object(writer);
}
