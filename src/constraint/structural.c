/*
 * structural.c - choices, and free text with constrained parts: from JSON to rules.
 *
 * "Free text up to and with the first trigger" is a regular expression: text that ends in the
 * trigger, minus text in which any trigger ends earlier. Triggers that are special tokens never
 * match as text, so before them the text is only kept free of the triggers that are strings.
 */
#include "base/heap.h"
#include "constraint/frontend.h"
#include "constraint/regex.h"
#include "json/json.h"
#include "json/writer.h"

#include <stdio.h>

enum { MAXIMUM_TAGS = 4096, MAXIMUM_CHOICES = 1 << 20 };

struct builder {
    struct cz_rules *rules;
    struct cz_expr_store *store;
    struct cz_arena arena;
    cz_find_token_function *find_token;
    void *context;
    cz_expr triggers; /* texts that end in a string trigger */
    cloze_status status;
    struct cloze_error *error;
};

/* A trigger, or what begins or ends a tag. */
struct mark {
    bool is_token;
    uint32_t token;
    struct cz_slice text;
};

static void fail(struct builder *builder, cloze_status code, const char *where, const char *message)
{
    if (!builder->status)
        builder->status = cz_fail(builder->error, code, where, "%s", message);
}

static cz_symbol text_symbol(struct builder *builder, struct cz_slice text)
{
    if (!text.size)
        return CZ_SYMBOL_EMPTY;
    return cz_rules_terminal(builder->rules, cz_expr_literal(builder->store, text));
}

static bool read_mark(struct builder *builder, const struct cz_json *value, const char *where,
                      struct mark *out)
{
    *out = (struct mark){0};
    if (cz_json_string(value, &out->text))
        return true;
    struct cz_slice name;
    if (!cz_json_string(cz_json_get(value, "token"), &name)) {
        fail(builder, CLOZE_INVALID, where, "a string or {\"token\": \"<|name|>\"} is expected");
        return false;
    }
    out->is_token = true;
    if (builder->find_token && builder->find_token(builder->context, name, &out->token))
        return true;
    fail(builder, CLOZE_INVALID, where, "the vocabulary has no special token of this name");
    return false;
}

static cz_symbol mark_symbol(struct builder *builder, const struct mark *mark)
{
    return mark->is_token ? cz_rules_token(builder->rules, mark->token)
                          : text_symbol(builder, mark->text);
}

/* ---- Parts ---- */

static cz_symbol schema_symbol(struct builder *builder, const struct cz_json *schema,
                               const char *where)
{
    struct cz_buffer text = {0};
    struct cz_json_writer writer = {.out = &text, .style = CZ_JSON_COMPACT};
    cz_json_write_value(&writer, schema);
    if (text.failed)
        fail(builder, CLOZE_MEMORY, where, "out of memory");
    cz_symbol symbol = cz_rules_json_schema(builder->rules, cz_buffer_slice(&text), where);
    cz_buffer_free(&text);
    return symbol;
}

static cz_symbol regex_symbol(struct builder *builder, const struct cz_json *value,
                              const char *where)
{
    struct cz_regex_options options = {.flavour = CZ_REGEX_PYTHON};
    struct cz_slice pattern;
    cz_expr expr = CZ_EXPR_NOTHING;
    if (!cz_json_string(value, &pattern)) {
        fail(builder, CLOZE_INVALID, where, "a regular expression is a string");
        return CZ_SYMBOL_NONE;
    }
    cloze_status status = cz_regex_parse(builder->store, pattern, &options, &expr, builder->error);
    if (status && !builder->status) {
        builder->status = status;
        cz_error_at(builder->error, where);
    }
    return cz_rules_terminal(builder->rules, expr);
}

static cloze_status choice_expr(struct cz_expr_store *store, const struct cz_json *array,
                                const char *where, cz_expr *out, struct cloze_error *error)
{
    struct cz_slice *texts = NULL;
    size_t count = 0;
    *out = CZ_EXPR_NOTHING;
    if (!cz_json_is(array, CZ_JSON_ARRAY) || !array->count)
        return cz_fail(error, CLOZE_INVALID, where, "choices are an array of at least one string");
    if (array->count > MAXIMUM_CHOICES)
        return cz_fail(error, CLOZE_LIMIT, where, "more than %d choices", MAXIMUM_CHOICES);
    texts = cz_heap_zeroed(array->count, sizeof *texts);
    if (!texts)
        return cz_fail_memory(error, "the choices");
    cloze_status status = CLOZE_OK;
    CZ_JSON_EACH(item, array)
    {
        if (!status && !cz_json_string(item, &texts[count++]))
            status = cz_fail(error, CLOZE_INVALID, where, "choice %zu is %s, not a string", count,
                             cz_json_kind_name(item));
    }
    if (!status)
        *out = cz_expr_literals(store, texts, count);
    cz_heap_free(texts);
    return status;
}

static cz_symbol part_symbol(struct builder *builder, const struct cz_json *part, const char *where)
{
    const struct cz_json *value;
    cz_expr expr;
    if ((value = cz_json_get(part, "schema")))
        return schema_symbol(builder, value, where);
    if (cz_json_is(cz_json_get(part, "json_object"), CZ_JSON_TRUE))
        return cz_rules_json_schema(builder->rules, CZ_SLICE("{\"type\":\"object\"}"), where);
    if (cz_json_is(cz_json_get(part, "text"), CZ_JSON_TRUE))
        return cz_rules_terminal(builder->rules, CZ_EXPR_TEXT);
    if ((value = cz_json_get(part, "regex")))
        return regex_symbol(builder, value, where);
    if ((value = cz_json_get(part, "choice"))) {
        cloze_status status = choice_expr(builder->store, value, where, &expr, builder->error);
        builder->status = builder->status ? builder->status : status;
        return cz_rules_terminal(builder->rules, expr);
    }
    fail(builder, CLOZE_INVALID, where,
         "a part needs one of \"schema\", \"regex\", \"choice\", \"json_object\" and \"text\"");
    return CZ_SYMBOL_NONE;
}

/* ---- Free text ---- */

static void add_trigger(struct builder *builder, const struct mark *mark, const char *where)
{
    if (mark->is_token)
        return;
    if (!mark->text.size) {
        fail(builder, CLOZE_INVALID, where, "a trigger must not be empty");
        return;
    }
    cz_expr ending =
        cz_expr_concat(builder->store, CZ_EXPR_TEXT, cz_expr_literal(builder->store, mark->text));
    builder->triggers = cz_expr_or(builder->store, builder->triggers, ending);
}

/* Text in which no trigger occurs. */
static cz_expr free_text(struct builder *builder)
{
    return cz_expr_minus(builder->store, CZ_EXPR_TEXT,
                         cz_expr_concat(builder->store, builder->triggers, CZ_EXPR_ANY));
}

/* Free text up to and with the trigger, where no other one ends earlier. */
static cz_symbol text_and_trigger(struct builder *builder, const struct mark *mark)
{
    struct cz_expr_store *store = builder->store;
    if (mark->is_token) {
        cz_symbol parts[] = {cz_rules_terminal(builder->rules, free_text(builder)),
                             cz_rules_token(builder->rules, mark->token)};
        return cz_rules_sequence(builder->rules, parts, 2);
    }
    cz_expr ending = cz_expr_concat(store, CZ_EXPR_TEXT, cz_expr_literal(store, mark->text));
    cz_expr later =
        cz_expr_concat(store, builder->triggers, cz_expr_concat(store, CZ_EXPR_CHAR, CZ_EXPR_ANY));
    return cz_rules_terminal(builder->rules, cz_expr_minus(store, ending, later));
}

/* ---- The two forms ---- */

static cz_symbol until_symbol(struct builder *builder, const struct cz_json *source)
{
    struct mark mark;
    if (!read_mark(builder, cz_json_get(source, "until"), "/until", &mark))
        return CZ_SYMBOL_NONE;
    add_trigger(builder, &mark, "/until");
    const struct cz_json *then = cz_json_get(source, "then");
    if (!then) {
        fail(builder, CLOZE_INVALID, "", "\"until\" needs \"then\": what follows the trigger");
        return CZ_SYMBOL_NONE;
    }
    cz_symbol parts[] = {text_and_trigger(builder, &mark), part_symbol(builder, then, "/then")};
    return cz_rules_sequence(builder->rules, parts, 2);
}

struct tag {
    struct mark begin;
    cz_symbol rest; /* the part and the end */
    bool used;
};

static size_t read_tags(struct builder *builder, const struct cz_json *array, struct tag *tags)
{
    size_t count = 0;
    CZ_JSON_EACH(item, array)
    {
        char where[64];
        struct mark end = {0};
        struct tag *tag = &tags[count];
        snprintf(where, sizeof where, "/tags/%zu", count++);
        if (!read_mark(builder, cz_json_get(item, "begin"), where, &tag->begin))
            return count;
        if (cz_json_get(item, "end") && !read_mark(builder, cz_json_get(item, "end"), where, &end))
            return count;
        cz_symbol parts[] = {part_symbol(builder, item, where), mark_symbol(builder, &end)};
        tag->rest = cz_rules_sequence(builder->rules, parts, 2);
    }
    return count;
}

/* The tags that this trigger begins: what is left of their beginning, then the rest. */
static cz_symbol tags_of_trigger(struct builder *builder, const struct mark *trigger,
                                 struct tag *tags, size_t count, const char *where)
{
    cz_symbol *choices = CZ_ARENA_ARRAY(&builder->arena, cz_symbol, count + 1);
    size_t used = 0;
    for (size_t i = 0; choices && i < count; i++) {
        struct cz_slice begin = tags[i].begin.text;
        bool same = trigger->is_token == tags[i].begin.is_token;
        if (trigger->is_token ? !same || trigger->token != tags[i].begin.token
                              : !same || begin.size < trigger->text.size ||
                                    memcmp(begin.data, trigger->text.data, trigger->text.size) != 0)
            continue;
        struct cz_slice more = {begin.data ? begin.data + trigger->text.size : NULL,
                                begin.size - trigger->text.size};
        cz_symbol parts[] = {text_symbol(builder, more), tags[i].rest};
        choices[used++] = cz_rules_sequence(builder->rules, parts, 2);
        tags[i].used = true;
    }
    if (!used)
        fail(builder, CLOZE_INVALID, where, "no tag begins with this trigger");
    return used ? cz_rules_choice(builder->rules, choices, used) : CZ_SYMBOL_NONE;
}

/* Every trigger is known before the first text is built: reads them all, then builds. */
static cz_symbol all_tags(struct builder *builder, const struct mark *triggers,
                          size_t trigger_count, struct tag *tags, size_t count)
{
    cz_symbol *choices = CZ_ARENA_ARRAY(&builder->arena, cz_symbol, trigger_count + 1);
    if (!choices) {
        fail(builder, CLOZE_MEMORY, "", "out of memory");
        return CZ_SYMBOL_NONE;
    }
    for (size_t i = 0; i < trigger_count; i++)
        add_trigger(builder, &triggers[i], "/triggers");
    for (size_t i = 0; i < trigger_count && !builder->status; i++) {
        cz_symbol parts[] = {text_and_trigger(builder, &triggers[i]),
                             tags_of_trigger(builder, &triggers[i], tags, count, "/triggers")};
        choices[i] = cz_rules_sequence(builder->rules, parts, 2);
    }
    for (size_t i = 0; i < count; i++) {
        if (!tags[i].used)
            fail(builder, CLOZE_INVALID, "/tags", "a tag's \"begin\" starts with no trigger");
    }
    return builder->status ? CZ_SYMBOL_NONE
                           : cz_rules_choice(builder->rules, choices, trigger_count);
}

static bool same_mark(const struct mark *a, const struct mark *b)
{
    return a->is_token == b->is_token &&
           (a->is_token ? a->token == b->token : cz_slice_equal(a->text, b->text));
}

/* The given triggers, or the different beginnings of the tags. */
static size_t read_triggers(struct builder *builder, const struct cz_json *array,
                            const struct tag *tags, size_t count, struct mark *out)
{
    size_t used = 0;
    if (array && (array->kind != CZ_JSON_ARRAY || !array->count || array->count > MAXIMUM_TAGS)) {
        fail(builder, CLOZE_INVALID, "/triggers", "an array of at least one trigger is expected");
        return 0;
    }
    if (array) {
        CZ_JSON_EACH(item, array)
        read_mark(builder, item, "/triggers", &out[used++]);
        return used;
    }
    for (size_t i = 0; i < count; i++) {
        size_t j = 0;
        while (j < used && !same_mark(&out[j], &tags[i].begin))
            j++;
        if (j == used)
            out[used++] = tags[i].begin;
    }
    return used;
}

static cz_symbol tags_symbol(struct builder *builder, const struct cz_json *source)
{
    const struct cz_json *array = cz_json_get(source, "tags");
    if (array->kind != CZ_JSON_ARRAY || !array->count || array->count > MAXIMUM_TAGS) {
        fail(builder, CLOZE_INVALID, "/tags", "an array of 1 to 4096 tags is expected");
        return CZ_SYMBOL_NONE;
    }
    struct tag *tags = CZ_ARENA_ARRAY(&builder->arena, struct tag, array->count);
    struct mark *triggers = CZ_ARENA_ARRAY(&builder->arena, struct mark, MAXIMUM_TAGS);
    if (!tags || !triggers) {
        fail(builder, CLOZE_MEMORY, "", "out of memory");
        return CZ_SYMBOL_NONE;
    }
    size_t count = read_tags(builder, array, tags);
    size_t trigger_count =
        read_triggers(builder, cz_json_get(source, "triggers"), tags, count, triggers);
    if (builder->status)
        return CZ_SYMBOL_NONE;
    bool once = cz_json_is(cz_json_get(source, "once"), CZ_JSON_TRUE);
    bool required = cz_json_is(cz_json_get(source, "required"), CZ_JSON_TRUE);
    cz_symbol tag = all_tags(builder, triggers, trigger_count, tags, count);
    cz_symbol text = cz_rules_terminal(builder->rules, free_text(builder));
    if (once) {
        cz_symbol either[] = {tag, text};
        return required ? tag : cz_rules_choice(builder->rules, either, 2);
    }
    cz_symbol parts[] = {cz_rules_repeat(builder->rules, tag, required, CZ_EXPR_UNBOUNDED), text};
    return cz_rules_sequence(builder->rules, parts, 2);
}

cloze_status cz_structural_parse(struct cz_rules *rules, struct cz_slice source,
                                 cz_find_token_function *find_token, void *context,
                                 struct cloze_error *error)
{
    struct builder builder = {.rules = rules,
                              .store = cz_rules_expr_store(rules),
                              .find_token = find_token,
                              .context = context,
                              .triggers = CZ_EXPR_NOTHING,
                              .error = error};
    struct cz_json *json = NULL;
    cz_symbol body = CZ_SYMBOL_NONE;
    builder.status = cz_json_parse(&builder.arena, source, NULL, &json, error);
    if (!builder.status && cz_json_get(json, "until"))
        body = until_symbol(&builder, json);
    else if (!builder.status && cz_json_get(json, "tags"))
        body = tags_symbol(&builder, json);
    else
        fail(&builder, CLOZE_INVALID, "", "an object with \"until\" or \"tags\" is expected");
    if (!builder.status) {
        cz_rule root = cz_rules_rule(rules, CZ_SLICE("root"));
        cz_rules_define(rules, root, body);
        cz_rules_set_root(rules, root);
        builder.status = cz_expr_status(builder.store, error);
    }
    cz_arena_free(&builder.arena);
    return builder.status;
}

cloze_status cz_choice_parse(struct cz_expr_store *store, struct cz_slice source, cz_expr *out,
                             struct cloze_error *error)
{
    struct cz_arena arena = {0};
    struct cz_json *json = NULL;
    cloze_status status = cz_json_parse(&arena, source, NULL, &json, error);
    if (!status)
        status = choice_expr(store, json, "", out, error);
    cz_arena_free(&arena);
    return status;
}
