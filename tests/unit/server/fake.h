/*
 * fake.h - a generator without a model, for tests of everything around it.
 *
 * The answer depends on the request alone: an object that repeats it. A prompt "sleep N" works for N
 * milliseconds, unless it is cancelled; "fail" fails as a defect would; "busy" has no room. A schema
 * with the key "refuse" is refused as an unsupported keyword.
 */
#ifndef CZ_TEST_FAKE_H
#define CZ_TEST_FAKE_H

#include "base/clock.h"
#include "json/writer.h"
#include "service/generator.h"

#include <stdlib.h>
#include <time.h>

struct fake {
    atomic_int running, most_running, cancelled, finished;
};

static bool fake_sleep(const struct cz_generate_request *request, long total_ms)
{
    uint64_t end = cz_clock_ns() + (uint64_t)total_ms * 1000000;
    while (cz_clock_ns() < end) {
        if (atomic_load(request->cancelled))
            return false;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    return true;
}

static void fake_answer(const struct cz_generate_request *request, struct cz_buffer *text)
{
    static const char *const kinds[] = {"text", "json_schema", "json_object",
                                        "regex", "choice", "type"};
    struct cz_json_writer writer = {.out = text, .style = CZ_JSON_SPACED};
    if (request->kind != CZ_GENERATE_JSON_SCHEMA && request->kind != CZ_GENERATE_JSON_OBJECT) {
        cz_buffer_append_text(text, "text for ");
        cz_buffer_append_slice(text, request->prompt);
        return;
    }
    cz_json_begin_object(&writer);
    cz_json_write_key(&writer, "prompt");
    cz_json_write_slice(&writer, request->prompt);
    cz_json_write_member_string(&writer, "kind", kinds[request->kind]);
    cz_json_write_key(&writer, "constraint");
    cz_json_write_slice(&writer, request->constraint);
    if (request->has_temperature) {
        cz_json_write_key(&writer, "temperature");
        cz_json_write_double(&writer, request->temperature);
    }
    if (request->has_seed)
        cz_json_write_member_int(&writer, "seed", request->seed);
    if (request->has_max_tokens)
        cz_json_write_member_int(&writer, "max_tokens", request->max_tokens);
    cz_json_end_object(&writer);
}

static cloze_status fake_run(struct fake *fake, const struct cz_generate_request *request,
                             struct cz_generate_result *result, struct cloze_error *error)
{
    if (cz_slice_is(request->prompt, "fail"))
        return cz_fail(error, CLOZE_INTERNAL, "fake", "a secret of the server");
    if (cz_slice_is(request->prompt, "busy"))
        return cz_fail(error, CLOZE_BUSY, NULL, "no room for another sequence");
    if (request->constraint.size &&
        memmem(request->constraint.data, request->constraint.size, "refuse", 6))
        return cz_fail(error, CLOZE_UNSUPPORTED, "/properties/refuse",
                       "the keyword 'refuse' can't be enforced");
    if (cz_slice_starts_with(request->prompt, "sleep ") &&
        !fake_sleep(request, strtol(request->prompt.data + 6, NULL, 10))) {
        atomic_fetch_add(&fake->cancelled, 1);
        return cz_fail(error, CLOZE_CANCELLED, NULL, "cancelled");
    }
    fake_answer(request, &result->text);
    result->finish_reason = cz_slice_is(request->prompt, "long") ? "length" : "stop";
    result->prompt_tokens = 5;
    result->completion_tokens = 7;
    result->first_token_ns = 1000000;
    return cz_buffer_status(&result->text, "answer", error);
}

static cloze_status fake_generate(void *context, const struct cz_generate_request *request,
                                  struct cz_generate_result *result, struct cloze_error *error)
{
    struct fake *fake = context;
    int running = atomic_fetch_add(&fake->running, 1) + 1;
    int most = atomic_load(&fake->most_running);
    while (running > most && !atomic_compare_exchange_weak(&fake->most_running, &most, running))
        continue;
    cloze_status status = fake_run(fake, request, result, error);
    atomic_fetch_sub(&fake->running, 1);
    atomic_fetch_add(&fake->finished, 1);
    return status;
}

#endif
