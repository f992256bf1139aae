/* functions.c - the global functions of a chat template. */
#include "template/value.h"

#include <time.h>

#define FUNCTION(name)                                                                             \
    static cloze_status name(struct cz_render *render, const struct cz_value *self,                \
                             const struct cz_arguments *arguments, struct cz_value *out)

FUNCTION(function_range)
{
    (void)self;
    int64_t bounds[3] = {0, 0, 1};
    cloze_status status = CLOZE_OK;
    if (arguments->count < 1 || arguments->count > 3 || arguments->named_count)
        return cz_template_fail(render, CLOZE_INVALID, "range takes one to three integers");
    for (size_t i = 0; i < arguments->count && !status; i++)
        status = cz_value_argument_integer(render, &arguments->values[i], 0,
                                           &bounds[arguments->count == 1 ? 1 : i]);
    if (status)
        return status;
    int64_t start = bounds[0], stop = bounds[1], step = bounds[2], distance;
    if (step == 0 || step == INT64_MIN || __builtin_sub_overflow(stop, start, &distance) ||
        distance == INT64_MIN)
        return cz_template_fail(render, CLOZE_INVALID, "range: bounds or step are out of range");
    distance = step > 0 ? distance : -distance;
    int64_t size = step > 0 ? step : -step;
    int64_t count = distance <= 0 ? 0 : (distance - 1) / size + 1;
    if (count > CZ_TEMPLATE_MAXIMUM_RANGE)
        return cz_template_fail(render, CLOZE_LIMIT, "a range of more than %d numbers",
                                CZ_TEMPLATE_MAXIMUM_RANGE);
    struct cz_value *items;
    status = cz_value_make_list(render, CZ_LIST, (size_t)count, out, &items);
    for (int64_t i = 0; i < count && !status; i++)
        items[i] = cz_value_integer(start + i * step);
    return status;
}

/* dict(a=1) and namespace(a=1); either also from one dict. */
static cloze_status make_dict(struct cz_render *render, const struct cz_arguments *arguments,
                              enum cz_value_type type, struct cz_value *out)
{
    const struct cz_value *from = arguments->count ? &arguments->values[0] : NULL;
    if (arguments->count > 1 || (from && from->type != CZ_DICT))
        return cz_template_fail(render, CLOZE_UNSUPPORTED,
                                "dict and namespace take one dict, or keyword arguments");
    size_t count = from ? from->dict->count : 0;
    cloze_status status = cz_value_make_dict(render, type, count + arguments->named_count, out);
    for (size_t i = 0; i < count && !status; i++)
        status = cz_value_dict_set(render, out->dict, from->dict->entries[i].key,
                                   from->dict->entries[i].value);
    for (size_t i = 0; i < arguments->named_count && !status; i++) {
        struct cz_value key;
        status = cz_value_string(render, arguments->named[i].name, true, &key);
        if (!status)
            status = cz_value_dict_set(render, out->dict, key, arguments->named[i].value);
    }
    return status;
}

FUNCTION(function_dict)
{
    (void)self;
    return make_dict(render, arguments, CZ_DICT, out);
}

FUNCTION(function_namespace)
{
    (void)self;
    return make_dict(render, arguments, CZ_NAMESPACE, out);
}

FUNCTION(function_raise_exception)
{
    (void)self;
    struct cz_value message;
    cloze_status status = cz_value_to_string(render, &arguments->values[0], &message);
    *out = cz_value_none();
    return status ? status
                  : cz_template_fail(render, CLOZE_INVALID, "%.*s",
                                     CZ_SLICE_ARG(cz_value_text_slice(&message)));
}

FUNCTION(function_strftime_now)
{
    (void)self;
    char format[200], text[400];
    struct cz_slice wanted = cz_value_text_slice(&arguments->values[0]);
    time_t now = time(NULL);
    struct tm local;
    if (arguments->values[0].type != CZ_STRING || wanted.size >= sizeof format)
        return cz_template_fail(render, CLOZE_INVALID, "strftime_now needs a short format");
    memcpy(format, wanted.data, wanted.size);
    format[wanted.size] = '\0';
    localtime_r(&now, &local);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored                                                                     \
    "-Wformat-nonliteral" /* the template's own format is what is asked */
    size_t size = strftime(text, sizeof text, format, &local);
#pragma GCC diagnostic pop
    return cz_value_string(render, cz_slice_of(text, size), true, out);
}

const struct cz_builtin *cz_template_function(struct cz_slice name)
{
    static const struct cz_builtin functions[] = {
        {"dict", NULL, function_dict},
        {"namespace", NULL, function_namespace},
        {"raise_exception", "message", function_raise_exception},
        {"range", NULL, function_range},
        {"strftime_now", "format", function_strftime_now},
        {NULL, NULL, NULL},
    };
    return cz_template_builtin(functions, name);
}
