/*
 * prompt.c - from a request's prompt or messages to token ids.
 *
 * A chat template prints the special tokens itself, so nothing is added to its text, and only what
 * the template printed can become special tokens. A raw prompt gets what the tokenizer adds (BOS).
 */
#include "engine/engine_private.h"

#include "base/utf8.h"
#include "json/writer.h"

#include <assert.h>

static void write_message(struct cz_json_writer *writer, const char *role, struct cz_slice content)
{
    cz_json_begin_object(writer);
    cz_json_write_member_string(writer, "role", role);
    cz_json_write_key(writer, "content");
    cz_json_write_slice(writer, content);
    cz_json_end_object(writer);
}

static void write_messages(struct cz_json_writer *writer, const struct cz_request *request)
{
    cz_json_write_key(writer, "messages");
    if (request->messages) {
        cz_json_write_value(writer, request->messages);
        return;
    }
    cz_json_begin_array(writer);
    if (request->system.size)
        write_message(writer, "system", request->system);
    write_message(writer, "user", request->prompt);
    cz_json_end_array(writer);
}

static void write_token(struct cz_json_writer *writer, const struct cz_tokenizer *tokenizer,
                        const char *key, int64_t id)
{
    if (id < 0)
        return;
    cz_json_write_key(writer, key);
    cz_json_write_slice(writer, cz_tokenizer_spelling(tokenizer, (uint32_t)id));
}

static bool is_own_variable(struct cz_slice key)
{
    return cz_slice_is(key, "messages") || cz_slice_is(key, "bos_token") ||
           cz_slice_is(key, "eos_token");
}

/* The template's variables. The request's own come first, so that they can't be hidden. */
static void write_context(struct cz_json_writer *writer, const struct cz_engine *engine,
                          const struct cz_request *request)
{
    const struct cz_json *more = request->template_arguments;
    bool is_object = cz_json_is(more, CZ_JSON_OBJECT);
    cz_json_begin_object(writer);
    write_messages(writer, request);
    write_token(writer, engine->tokenizer, "bos_token", cz_tokenizer_bos(engine->tokenizer));
    write_token(writer, engine->tokenizer, "eos_token", cz_tokenizer_eos(engine->tokenizer));
    if (!is_object || !cz_json_get(more, "add_generation_prompt"))
        cz_json_write_member_bool(writer, "add_generation_prompt", true);
    if (is_object) {
        CZ_JSON_EACH(item, more)
        {
            if (is_own_variable(cz_json_key(item)))
                continue;
            cz_json_write_key_slice(writer, cz_json_key(item));
            cz_json_write_value(writer, item);
        }
    }
    cz_json_end_object(writer);
}

static cloze_status render(const struct cz_engine *engine, const struct cz_request *request,
                           struct cz_rendered *out, struct cloze_error *error)
{
    static const char *const trusted[] = {"bos_token", "eos_token", NULL};
    struct cz_buffer text = {0};
    struct cz_arena arena = {0};
    struct cz_json *context;
    struct cz_json_writer writer = {.out = &text};
    write_context(&writer, engine, request);
    cloze_status status = cz_buffer_status(&text, "prompt", error);
    if (!status)
        status = cz_json_parse(&arena, cz_buffer_slice(&text), NULL, &context, error);
    if (!status)
        status = cz_template_render(engine->template, context, trusted, out, error);
    cz_arena_free(&arena);
    cz_buffer_free(&text);
    return status;
}

static cloze_status encode_rendered(const struct cz_engine *engine,
                                    const struct cz_rendered *rendered, struct cz_ids *ids,
                                    struct cloze_error *error)
{
    static_assert(sizeof(struct cz_trusted_span) == sizeof(struct cz_span), "one layout");
    struct cz_encode_options options = {
        .spans = (const struct cz_span *)(const void *)rendered->spans,
        .span_count = rendered->span_count,
    };
    return cz_tokenizer_encode(engine->tokenizer, cz_buffer_slice(&rendered->text), &options, ids,
                               error);
}

static cloze_status encode_chat(const struct cz_engine *engine, const struct cz_request *request,
                                struct cz_ids *ids, struct cloze_error *error)
{
    struct cz_rendered rendered = {0};
    cloze_status status = render(engine, request, &rendered, error);
    if (!status)
        status = encode_rendered(engine, &rendered, ids, error);
    cz_rendered_free(&rendered);
    return status;
}

static cloze_status encode_raw(const struct cz_engine *engine, const struct cz_request *request,
                               struct cz_ids *ids, struct cloze_error *error)
{
    struct cz_encode_options options = {.add_special = true};
    if (request->messages)
        return cz_fail(error, CLOZE_UNSUPPORTED, "messages",
                       "the model has no chat template; send a prompt");
    if (request->system.size)
        return cz_fail(error, CLOZE_UNSUPPORTED, "system",
                       "a system message needs a chat template; raw prompts and models without "
                       "one take none");
    cloze_status status =
        cz_tokenizer_encode(engine->tokenizer, request->prompt, &options, ids, error);
    int64_t bos = cz_tokenizer_bos(engine->tokenizer);
    if (!status && !ids->count && bos >= 0)
        cz_ids_append(ids, (uint32_t)bos); /* an empty prompt: anything the model likes */
    return status;
}

static cloze_status check_text(struct cz_slice text, const char *what, struct cloze_error *error)
{
    size_t valid = cz_utf8_valid(text);
    return valid == text.size
               ? CLOZE_OK
               : cz_fail(error, CLOZE_INVALID, what, "is not valid UTF-8 from byte %zu on", valid);
}

static cloze_status check_ids(const struct cz_engine *engine, const struct cz_ids *ids,
                              struct cloze_error *error)
{
    if (ids->failed)
        return cz_fail_memory(error, "prompt");
    if (!ids->count)
        return cz_fail(error, CLOZE_INVALID, "prompt", "is empty");
    for (size_t i = 0; i < ids->count; i++) {
        if (ids->ids[i] >= engine->backend.vocab)
            return cz_fail(error, CLOZE_UNSUPPORTED, "prompt",
                           "token %u has no embedding in this model", ids->ids[i]);
    }
    return CLOZE_OK;
}

cloze_status cz_prompt_encode(const struct cz_engine *engine, const struct cz_request *request,
                              struct cz_ids *ids, struct cloze_error *error)
{
    cloze_status status = check_text(request->prompt, "prompt", error);
    if (!status)
        status = check_text(request->system, "system", error);
    if (status)
        return status;
    bool chat = !request->raw && (engine->template || engine->template_error.code);
    if (chat && engine->template_error.code) {
        if (error)
            *error = engine->template_error;
        return engine->template_error.code;
    }
    status =
        chat ? encode_chat(engine, request, ids, error) : encode_raw(engine, request, ids, error);
    return status ? status : check_ids(engine, ids, error);
}
