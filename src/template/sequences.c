/* sequences.c - filters on lists and dicts. */
#include "template/node.h"

#include <stdio.h>
#include <stdlib.h>

#define FILTER(name)                                                                               \
    static cloze_status name(struct cz_render *render, const struct cz_value *self,                \
                             const struct cz_arguments *arguments, struct cz_value *out)

/* ---- Paths: "function.name", 0 ---- */

static bool is_index(struct cz_slice part, int64_t *index)
{
    struct cz_json json = {.kind = CZ_JSON_NUMBER, .text = part};
    for (size_t i = 0; i < part.size; i++)
        if (part.data[i] < '0' || part.data[i] > '9')
            return false;
    return part.size > 0 && cz_json_int64(&json, index);
}

cloze_status cz_value_get_path(struct cz_render *render, const struct cz_value *value,
                               const struct cz_value *path, struct cz_value *out)
{
    *out = *value;
    if (path->type != CZ_STRING)
        return cz_value_get_item(render, value, path, out);
    struct cz_slice rest = cz_value_text_slice(path);
    cloze_status status = CLOZE_OK;
    while (!status) {
        const char *dot = rest.size ? memchr(rest.data, '.', rest.size) : NULL;
        struct cz_slice part = {rest.data, dot ? (size_t)(dot - rest.data) : rest.size};
        struct cz_value key, container = *out;
        int64_t index;
        if (is_index(part, &index))
            key = cz_value_integer(index);
        else
            status = cz_value_string(render, part, true, &key);
        if (!status)
            status = cz_value_get_item(render, &container, &key, out);
        if (!dot)
            break;
        rest = cz_slice_of(dot + 1, rest.size - part.size - 1);
    }
    return status;
}

/* ---- Ends and length ---- */

FILTER(filter_length)
{
    (void)arguments;
    size_t length;
    switch (self->type) {
    case CZ_STRING:
        length = cz_value_character_count(cz_value_text_slice(self));
        break;
    case CZ_LIST:
    case CZ_TUPLE:
        length = self->list->count;
        break;
    case CZ_DICT:
        length = self->dict->count;
        break;
    case CZ_UNDEFINED:
        length = 0;
        break;
    default:
        return cz_template_fail(render, CLOZE_INVALID, "a %s has no length",
                                cz_value_type_name(self));
    }
    *out = cz_value_integer((int64_t)length);
    return CLOZE_OK;
}

static cloze_status pick(struct cz_render *render, const struct cz_value *self, bool last,
                         struct cz_value *out)
{
    struct cz_value items;
    cloze_status status = cz_value_iterate(render, self, &items);
    if (status)
        return status;
    size_t count = items.list->count;
    *out = (struct cz_value){.type = CZ_UNDEFINED};
    if (count)
        *out = items.list->items[last ? count - 1 : 0];
    return CLOZE_OK;
}

FILTER(filter_first)
{
    (void)arguments;
    return pick(render, self, false, out);
}

FILTER(filter_last)
{
    (void)arguments;
    return pick(render, self, true, out);
}

FILTER(filter_list)
{
    (void)arguments;
    cloze_status status = cz_value_iterate(render, self, out);
    out->type = CZ_LIST;
    return status;
}

FILTER(filter_reverse)
{
    (void)arguments;
    if (self->type == CZ_STRING) {
        const struct cz_value bounds[3] = {cz_value_none(), cz_value_none(), cz_value_integer(-1)};
        return cz_value_slice(render, self, bounds, out);
    }
    struct cz_value items, *reversed;
    cloze_status status = cz_value_iterate(render, self, &items);
    if (!status)
        status = cz_value_make_list(render, CZ_LIST, items.list->count, out, &reversed);
    for (size_t i = 0; !status && i < items.list->count; i++)
        reversed[i] = items.list->items[items.list->count - 1 - i];
    return status;
}

FILTER(filter_join)
{
    const struct cz_value *separator = &arguments->values[0], *attribute = &arguments->values[1];
    struct cz_value items;
    struct cz_writer writer = {.bytes.maximum = CZ_TEMPLATE_MAXIMUM_OUTPUT};
    cloze_status status = cz_value_iterate(render, self, &items);
    for (size_t i = 0; !status && i < items.list->count; i++) {
        struct cz_value item = items.list->items[i];
        if (attribute->type != CZ_UNDEFINED && attribute->type != CZ_NONE)
            status = cz_value_get_path(render, &items.list->items[i], attribute, &item);
        if (i && !status)
            cz_text_write_value(&writer, separator);
        if (!status)
            cz_text_write_value(&writer, &item);
    }
    if (!status)
        return cz_text_writer_take(render, &writer, out);
    cz_text_writer_free(&writer);
    return status;
}

/* ---- map, select, reject ---- */

/* Like Jinja, these take whatever is not true as an empty list. */
static cloze_status iterate_if_true(struct cz_render *render, const struct cz_value *value,
                                    struct cz_value *out)
{
    struct cz_value *none;
    return cz_value_truth(value) ? cz_value_iterate(render, value, out)
                                 : cz_value_make_list(render, CZ_LIST, 0, out, &none);
}

/* The arguments behind the first `skipped`. */
static struct cz_arguments behind(const struct cz_arguments *arguments, size_t skipped)
{
    struct cz_arguments rest = *arguments;
    rest.values += skipped;
    rest.count -= skipped;
    return rest;
}

static const struct cz_value *named(const struct cz_arguments *arguments, const char *name)
{
    for (size_t i = 0; i < arguments->named_count; i++)
        if (cz_slice_is(arguments->named[i].name, name))
            return &arguments->named[i].value;
    return NULL;
}

static cloze_status map_item(struct cz_render *render, const struct cz_value *item,
                             const struct cz_arguments *arguments, const struct cz_builtin *filter,
                             struct cz_value *out)
{
    const struct cz_value *attribute = named(arguments, "attribute");
    const struct cz_value *fallback = named(arguments, "default");
    if (filter) {
        struct cz_arguments rest = behind(arguments, 1);
        return cz_template_run_builtin(render, filter, item, &rest, out);
    }
    cloze_status status = cz_value_get_path(render, item, attribute, out);
    if (!status && fallback && out->type == CZ_UNDEFINED)
        *out = *fallback;
    return status;
}

FILTER(filter_map)
{
    const struct cz_builtin *filter = NULL;
    struct cz_value items, *mapped;
    if (!named(arguments, "attribute")) {
        if (!arguments->count || arguments->values[0].type != CZ_STRING)
            return cz_template_fail(render, CLOZE_INVALID, "map needs a filter or an attribute");
        filter = cz_template_filter(cz_value_text_slice(&arguments->values[0]));
        if (!filter)
            return cz_template_fail(render, CLOZE_UNSUPPORTED, "unsupported filter \"%.*s\"",
                                    CZ_SLICE_ARG(cz_value_text_slice(&arguments->values[0])));
    }
    cloze_status status = iterate_if_true(render, self, &items);
    if (!status)
        status = cz_value_make_list(render, CZ_LIST, items.list->count, out, &mapped);
    for (size_t i = 0; !status && i < items.list->count; i++)
        status = map_item(render, &items.list->items[i], arguments, filter, &mapped[i]);
    return status;
}

/* Whether an item passes: its truth, or that of a test. */
static cloze_status passes(struct cz_render *render, const struct cz_value *item,
                           const struct cz_arguments *arguments, size_t skipped, bool *out)
{
    struct cz_value subject = *item, result;
    cloze_status status =
        skipped ? cz_value_get_path(render, item, &arguments->values[0], &subject) : CLOZE_OK;
    *out = cz_value_truth(&subject);
    if (status || arguments->count <= skipped)
        return status;
    struct cz_slice name = cz_value_text_slice(&arguments->values[skipped]);
    const struct cz_builtin *test = cz_template_test(name);
    if (!test)
        return cz_template_fail(render, CLOZE_UNSUPPORTED, "unsupported test \"%.*s\"",
                                CZ_SLICE_ARG(name));
    struct cz_arguments rest = behind(arguments, skipped + 1);
    status = cz_template_run_builtin(render, test, &subject, &rest, &result);
    *out = cz_value_truth(&result);
    return status;
}

static cloze_status select_items(struct cz_render *render, const struct cz_value *self,
                                 const struct cz_arguments *arguments, bool by_attribute,
                                 bool wanted, struct cz_value *out)
{
    struct cz_value items, *kept;
    if (by_attribute && !arguments->count)
        return cz_template_fail(render, CLOZE_INVALID,
                                "selectattr and rejectattr need an attribute");
    cloze_status status = iterate_if_true(render, self, &items);
    if (!status)
        status = cz_value_make_list(render, CZ_LIST, items.list->count, out, &kept);
    size_t count = 0;
    for (size_t i = 0; !status && i < items.list->count; i++) {
        bool pass = false;
        status = passes(render, &items.list->items[i], arguments, by_attribute, &pass);
        if (pass == wanted)
            kept[count++] = items.list->items[i];
    }
    if (!status)
        ((struct cz_list *)out->list)->count = count;
    return status;
}

FILTER(filter_select)
{
    return select_items(render, self, arguments, false, true, out);
}

FILTER(filter_reject)
{
    return select_items(render, self, arguments, false, false, out);
}

FILTER(filter_selectattr)
{
    return select_items(render, self, arguments, true, true, out);
}

FILTER(filter_rejectattr)
{
    return select_items(render, self, arguments, true, false, out);
}

/* ---- Order ---- */

/* What an item is compared by: itself or an attribute, texts in lower case unless told not to. */
static cloze_status sort_key(struct cz_render *render, const struct cz_value *item,
                             const struct cz_value *attribute, bool case_sensitive,
                             struct cz_value *out)
{
    *out = *item;
    cloze_status status = attribute->type != CZ_UNDEFINED && attribute->type != CZ_NONE
                              ? cz_value_get_path(render, item, attribute, out)
                              : CLOZE_OK;
    if (!status && !case_sensitive && out->type == CZ_STRING)
        status = cz_value_change_case(render, out->text, CZ_LOWER, out);
    return status;
}

struct keyed {
    struct cz_value key, item;
};

/* Stable, by merging: `scratch` has room for all. */
static bool merge_sort(struct keyed *items, struct keyed *scratch, size_t count, bool reverse)
{
    if (count < 2)
        return true;
    size_t half = count / 2, left = 0, right = half, at = 0;
    if (!merge_sort(items, scratch, half, reverse) ||
        !merge_sort(items + half, scratch, count - half, reverse))
        return false;
    while (left < half || right < count) {
        int order = left == half ? 1 : -1;
        if (left < half && right < count &&
            !cz_value_order(&items[left].key, &items[right].key, &order))
            return false;
        if (left < half && right < count && reverse)
            order = -order;
        scratch[at++] = order <= 0 ? items[left++] : items[right++];
    }
    memcpy(items, scratch, count * sizeof *items);
    return true;
}

static cloze_status sort_list(struct cz_render *render, const struct cz_list *list,
                              const struct cz_value *attribute, bool case_sensitive, bool reverse,
                              struct cz_value *out)
{
    struct cz_value *sorted;
    struct keyed *items = CZ_ARENA_ARRAY(&render->arena, struct keyed, 2 * list->count + 1);
    if (!items)
        return cz_template_memory(render);
    cloze_status status = cz_value_make_list(render, CZ_LIST, list->count, out, &sorted);
    for (size_t i = 0; !status && i < list->count; i++) {
        items[i].item = list->items[i];
        status = sort_key(render, &list->items[i], attribute, case_sensitive, &items[i].key);
    }
    if (!status && !merge_sort(items, items + list->count, list->count, reverse))
        status =
            cz_template_fail(render, CLOZE_INVALID, "values that have no order can't be sorted");
    for (size_t i = 0; !status && i < list->count; i++)
        sorted[i] = items[i].item;
    return status;
}

FILTER(filter_sort)
{
    struct cz_value items;
    cloze_status status = cz_value_iterate(render, self, &items);
    return status ? status
                  : sort_list(render, items.list, &arguments->values[2],
                              cz_value_truth(&arguments->values[1]),
                              cz_value_truth(&arguments->values[0]), out);
}

FILTER(filter_unique)
{
    struct cz_value items, *kept, *keys, all;
    bool case_sensitive = cz_value_truth(&arguments->values[0]);
    cloze_status status = cz_value_iterate(render, self, &items);
    if (!status)
        status = cz_value_make_list(render, CZ_LIST, items.list->count, out, &kept);
    if (!status)
        status = cz_value_make_list(render, CZ_LIST, items.list->count, &all, &keys);
    size_t count = 0;
    for (size_t i = 0; !status && i < items.list->count; i++) {
        status = sort_key(render, &items.list->items[i], &arguments->values[1], case_sensitive,
                          &keys[count]);
        size_t seen = 0;
        while (seen < count && !cz_value_equal(&keys[seen], &keys[count]))
            seen++;
        if (seen == count)
            kept[count++] = items.list->items[i];
    }
    if (!status)
        ((struct cz_list *)out->list)->count = count;
    return status;
}

static cloze_status extreme(struct cz_render *render, const struct cz_value *self,
                            const struct cz_arguments *arguments, bool largest,
                            struct cz_value *out)
{
    struct cz_value sorted, items;
    cloze_status status = cz_value_iterate(render, self, &items);
    if (!status)
        status = sort_list(render, items.list, &arguments->values[1],
                           cz_value_truth(&arguments->values[0]), largest, &sorted);
    return status ? status : pick(render, &sorted, false, out);
}

FILTER(filter_max)
{
    return extreme(render, self, arguments, true, out);
}

FILTER(filter_min)
{
    return extreme(render, self, arguments, false, out);
}

/* ---- Dicts ---- */

cloze_status cz_value_dict_items(struct cz_render *render, const struct cz_dict *dict,
                                 struct cz_value *out)
{
    struct cz_value *pairs, *pair;
    cloze_status status = cz_value_make_list(render, CZ_LIST, dict->count, out, &pairs);
    for (size_t i = 0; !status && i < dict->count; i++) {
        status = cz_value_make_list(render, CZ_TUPLE, 2, &pairs[i], &pair);
        if (!status) {
            pair[0] = dict->entries[i].key;
            pair[1] = dict->entries[i].value;
        }
    }
    return status;
}

FILTER(filter_items)
{
    (void)arguments;
    if (self->type == CZ_UNDEFINED)
        return cz_value_iterate(render, self, out);
    if (self->type != CZ_DICT)
        return cz_template_fail(render, CLOZE_INVALID, "items of a %s", cz_value_type_name(self));
    return cz_value_dict_items(render, self->dict, out);
}

FILTER(filter_dictsort)
{
    struct cz_value items, path;
    const struct cz_value *by = &arguments->values[1];
    bool by_value = cz_value_is_text(by, "value");
    if (self->type != CZ_DICT ||
        (by->type != CZ_UNDEFINED && !by_value && !cz_value_is_text(by, "key")))
        return cz_template_fail(render, CLOZE_INVALID,
                                "dictsort needs a dict, and by=\"key\" or \"value\"");
    path = cz_value_integer(by_value);
    cloze_status status = cz_value_dict_items(render, self->dict, &items);
    return status ? status
                  : sort_list(render, items.list, &path, cz_value_truth(&arguments->values[0]),
                              cz_value_truth(&arguments->values[2]), out);
}

const struct cz_builtin cz_template_sequence_filters[] = {
    {"count", "", filter_length},
    {"dictsort", "case_sensitive by reverse", filter_dictsort},
    {"first", "", filter_first},
    {"items", "", filter_items},
    {"join", "d attribute", filter_join},
    {"last", "", filter_last},
    {"length", "", filter_length},
    {"list", "", filter_list},
    {"map", NULL, filter_map},
    {"max", "case_sensitive attribute", filter_max},
    {"min", "case_sensitive attribute", filter_min},
    {"reject", NULL, filter_reject},
    {"rejectattr", NULL, filter_rejectattr},
    {"reverse", "", filter_reverse},
    {"select", NULL, filter_select},
    {"selectattr", NULL, filter_selectattr},
    {"sort", "reverse case_sensitive attribute", filter_sort},
    {"unique", "case_sensitive attribute", filter_unique},
    {NULL, NULL, NULL},
};
