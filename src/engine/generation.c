/*
 * generation.c - one request from its submission to its text.
 *
 * A generation owns all memory of its sequences. The engine thread writes tokens and, under the
 * scheduler's lock, how many there are; this side turns them into text when it is asked for.
 */
#include "engine/engine_private.h"

#include "base/clock.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <sys/random.h>

struct choice {
    struct cz_sequence sequence;
    struct cz_sequence_progress seen; /* the last that was looked at */
    uint32_t read;                    /* tokens that are in `text` */
    struct cz_buffer text;
    size_t shown;  /* bytes handed out */
    bool finished; /* and the end was told */
};

struct cz_generation {
    struct cz_engine *engine;
    struct cz_arena arena;
    struct cz_sampling sampling;
    struct cz_slice *stops;
    size_t stop_count, longest_stop;
    struct cz_grammar *grammar;
    atomic_bool cancelled;
    pthread_cond_t changed;
    struct choice *choices; /* [choice_count] */
    uint32_t choice_count, turn;
    uint32_t prompt_count, max_tokens;
    uint64_t submitted_ns, seed;
};

const char *cz_finish_name(enum cz_finish finish)
{
    static const char *const names[] = {"none", "stop", "length", "error"};
    return names[finish];
}

/* ---- Preparing ---- */

static cloze_status check_request(const struct cz_request *request, struct cloze_error *error)
{
    if (request->choices > CZ_ENGINE_MAX_CHOICES)
        return cz_fail(error, CLOZE_LIMIT, "n", "at most %d answers", CZ_ENGINE_MAX_CHOICES);
    if (request->stop_count > CZ_ENGINE_MAX_STOPS)
        return cz_fail(error, CLOZE_LIMIT, "stop", "at most %d stop strings", CZ_ENGINE_MAX_STOPS);
    if (request->stop_count && request->constraint.set)
        return cz_fail(error, CLOZE_UNSUPPORTED, "stop",
                       "stop strings would cut an answer that has to fit a constraint");
    for (size_t i = 0; i < request->stop_count; i++) {
        if (!request->stops[i].size || request->stops[i].size > CZ_ENGINE_LARGEST_STOP)
            return cz_fail(error, CLOZE_INVALID, "stop", "a stop string has from 1 to %d bytes",
                           CZ_ENGINE_LARGEST_STOP);
    }
    return cz_sampling_check(&request->sampling, error);
}

static cloze_status copy_stops(struct cz_generation *generation, const struct cz_request *request,
                               struct cloze_error *error)
{
    generation->stops =
        CZ_ARENA_ARRAY(&generation->arena, struct cz_slice, request->stop_count + 1);
    if (!generation->stops)
        return cz_fail_memory(error, "stop");
    for (size_t i = 0; i < request->stop_count; i++) {
        struct cz_slice stop = request->stops[i];
        const char *copy = cz_arena_text(&generation->arena, stop);
        if (!copy)
            return cz_fail_memory(error, "stop");
        generation->stops[i] = cz_slice_of(copy, stop.size);
        if (stop.size > generation->longest_stop)
            generation->longest_stop = stop.size;
    }
    generation->stop_count = request->stop_count;
    return CLOZE_OK;
}

static cloze_status copy_sampling(struct cz_generation *generation,
                                  const struct cz_sampling *sampling, struct cloze_error *error)
{
    struct cz_logit_bias *biases =
        CZ_ARENA_ARRAY(&generation->arena, struct cz_logit_bias, sampling->bias_count + 1);
    if (!biases)
        return cz_fail_memory(error, "logit_bias");
    if (sampling->bias_count)
        memcpy(biases, sampling->biases, sampling->bias_count * sizeof *biases);
    generation->sampling = *sampling;
    generation->sampling.biases = biases;
    generation->seed = sampling->seed;
    if (!sampling->has_seed &&
        getrandom(&generation->seed, sizeof generation->seed, 0) != sizeof generation->seed)
        return cz_fail(error, CLOZE_IO, "seed", "the system has no random numbers");
    return CLOZE_OK;
}

/* How long the answer may be: what the request says, what the context and the KV cache leave. */
static cloze_status set_limits(struct cz_generation *generation, const struct cz_request *request,
                               size_t prompt_count, struct cloze_error *error)
{
    const struct cz_engine *engine = generation->engine;
    uint64_t context = engine->backend.context;
    bool cache_bounds = engine->kv_positions < context;
    uint64_t most = cache_bounds ? engine->kv_positions : context;
    const char *what = cache_bounds ? "KV cache" : "model's context";
    if (prompt_count >= most)
        return cz_fail(error, CLOZE_LIMIT, "prompt",
                       "has %zu tokens, which leaves no room for an answer in the %s of %llu",
                       prompt_count, what, (unsigned long long)most);
    uint64_t left = most - prompt_count;
    if (request->max_tokens > left)
        return cz_fail(error, CLOZE_LIMIT, "max_tokens",
                       "is %u, but the prompt of %zu tokens leaves %llu in the %s of %llu",
                       request->max_tokens, prompt_count, (unsigned long long)left, what,
                       (unsigned long long)most);
    uint64_t usual = left < CZ_ENGINE_MAX_TOKENS ? left : CZ_ENGINE_MAX_TOKENS;
    generation->max_tokens = request->max_tokens ? request->max_tokens : (uint32_t)usual;
    generation->prompt_count = (uint32_t)prompt_count;
    return CLOZE_OK;
}

static cloze_status prepare_matcher(struct cz_generation *generation, struct cz_sequence *sequence,
                                    struct cloze_error *error)
{
    if (!generation->grammar)
        return CLOZE_OK;
    cloze_status status = cz_matcher_create(generation->grammar, &sequence->matcher, error);
    if (!status)
        status = cz_matcher_set_budget(sequence->matcher, generation->max_tokens, error);
    if (!status)
        status = cz_matcher_reserve(sequence->matcher, generation->max_tokens, error);
    if (!status)
        cz_matcher_heed_budget(sequence->matcher, false); /* until it has to: see step.c */
    return status;
}

static cloze_status prepare_counts(struct cz_generation *generation, struct cz_sequence *sequence,
                                   struct cloze_error *error)
{
    if (!cz_sampling_needs_counts(&generation->sampling))
        return CLOZE_OK;
    uint32_t most = generation->prompt_count + generation->max_tokens;
    cloze_status status = cz_token_counts_init(&sequence->counts, most, error);
    for (uint32_t i = 0; !status && i < generation->prompt_count; i++)
        cz_token_counts_add(&sequence->counts, sequence->tokens[i], false);
    return status;
}

static cloze_status prepare_choice(struct cz_generation *generation,
                                   const struct cz_request *request, const struct cz_ids *prompt,
                                   uint32_t index, struct cloze_error *error)
{
    struct cz_arena *arena = &generation->arena;
    struct cz_sequence *sequence = &generation->choices[index].sequence;
    uint32_t most = generation->prompt_count + generation->max_tokens;
    size_t tail = generation->longest_stop + generation->engine->largest_token;
    *sequence = (struct cz_sequence){
        .tokens = CZ_ARENA_ARRAY(arena, uint32_t, most),
        .prompt_count = generation->prompt_count,
        .max_tokens = generation->max_tokens,
        .blocks = CZ_ARENA_ARRAY(arena, uint32_t, cz_sequence_blocks(most)),
        .sampling = &generation->sampling,
        .seed = generation->seed,
        .choice = index,
        .stops = generation->stops,
        .stop_count = generation->stop_count,
        .longest_stop = generation->longest_stop,
        .tail = generation->stop_count ? CZ_ARENA_ARRAY(arena, char, tail) : NULL,
        .after = index ? &generation->choices[0].sequence : NULL,
        .deadline_ns = request->deadline_ns,
        .cancelled = {&generation->cancelled, request->cancelled},
        .priority = request->priority,
        .changed = &generation->changed,
    };
    if (generation->sampling.logprobs)
        sequence->logprobs = CZ_ARENA_ARRAY(arena, struct cz_logprobs, generation->max_tokens);
    if (!sequence->tokens || !sequence->blocks || (generation->stop_count && !sequence->tail) ||
        (generation->sampling.logprobs && !sequence->logprobs))
        return cz_fail_memory(error, "request");
    memcpy(sequence->tokens, prompt->ids, prompt->count * sizeof *prompt->ids);
    cloze_status status = prepare_matcher(generation, sequence, error);
    return status ? status : prepare_counts(generation, sequence, error);
}

static cloze_status prepare_choices(struct cz_generation *generation,
                                    const struct cz_request *request, const struct cz_ids *prompt,
                                    struct cloze_error *error)
{
    uint32_t count = request->choices ? request->choices : 1;
    generation->choices = CZ_ARENA_ARRAY(&generation->arena, struct choice, count);
    if (!generation->choices)
        return cz_fail_memory(error, "request");
    cloze_status status = CLOZE_OK;
    for (uint32_t i = 0; !status && i < count; i++) {
        generation->choice_count++;
        status = prepare_choice(generation, request, prompt, i, error);
    }
    return status;
}

static cloze_status prepare(struct cz_generation *generation, const struct cz_request *request,
                            struct cz_ids *prompt, struct cloze_error *error)
{
    struct cz_engine *engine = generation->engine;
    cloze_status status = check_request(request, error);
    if (!status)
        status = cz_prompt_encode(engine, request, prompt, error);
    if (!status)
        status = set_limits(generation, request, prompt->count, error);
    if (!status)
        status = copy_stops(generation, request, error);
    if (!status)
        status = copy_sampling(generation, &request->sampling, error);
    if (!status && request->constraint.set)
        status = cz_grammar_compile(engine->vocab, request->constraint.source,
                                    &request->constraint.options, &generation->grammar, error);
    return status ? status : prepare_choices(generation, request, prompt, error);
}

static cloze_status submit(struct cz_generation *generation, struct cloze_error *error)
{
    struct cz_sequence *list[CZ_ENGINE_MAX_CHOICES];
    for (uint32_t i = 0; i < generation->choice_count; i++)
        list[i] = &generation->choices[i].sequence;
    return cz_scheduler_submit(generation->engine->scheduler, list, generation->choice_count,
                               error);
}

static void free_generation(struct cz_generation *generation)
{
    for (uint32_t i = 0; i < generation->choice_count; i++) {
        struct choice *choice = &generation->choices[i];
        if (choice->sequence.matcher)
            cz_matcher_free(choice->sequence.matcher);
        cz_token_counts_free(&choice->sequence.counts);
        cz_buffer_free(&choice->text);
    }
    if (generation->grammar)
        cz_grammar_release(generation->grammar);
    pthread_cond_destroy(&generation->changed);
    cz_arena_free(&generation->arena);
    free(generation);
}

cloze_status cz_engine_submit(struct cz_engine *engine, const struct cz_request *request,
                              struct cz_generation **out, struct cloze_error *error)
{
    struct cz_generation *generation = calloc(1, sizeof *generation);
    struct cz_ids prompt = {0};
    *out = NULL;
    if (!generation)
        return cz_fail_memory(error, "request");
    generation->engine = engine;
    generation->submitted_ns = cz_clock_ns();
    pthread_cond_init(&generation->changed, NULL);
    cloze_status status = prepare(generation, request, &prompt, error);
    if (!status)
        status = submit(generation, error);
    if (!status && generation->grammar)
        cz_grammar_warm(generation->grammar); /* while the prompt is read */
    cz_ids_free(&prompt);
    if (status)
        free_generation(generation);
    else
        *out = generation;
    return status;
}

/* ---- Text ---- */

static bool ends_answer(const struct cz_engine *engine, uint32_t id)
{
    for (size_t i = 0; i < engine->model->stop_count; i++) {
        if (engine->model->stop_ids[i] == id)
            return true;
    }
    return false;
}

/* Cuts the text at the first stop string in it. */
static void cut_at_stop(const struct cz_generation *generation, struct cz_buffer *text)
{
    size_t end = text->size;
    for (size_t i = 0; text->data && i < generation->stop_count; i++) {
        const char *found =
            memmem(text->data, end, generation->stops[i].data, generation->stops[i].size);
        if (found)
            end = (size_t)(found - text->data);
    }
    text->size = end;
}

static void read_tokens(const struct cz_generation *generation, struct choice *choice)
{
    const struct cz_engine *engine = generation->engine;
    for (; choice->read < choice->seen.count; choice->read++) {
        uint32_t id = choice->sequence.tokens[choice->read];
        if (choice->read >= generation->prompt_count && !ends_answer(engine, id))
            cz_buffer_append_slice(&choice->text, cz_tokenizer_bytes(engine->tokenizer, id));
    }
    if (choice->seen.finish == CZ_FINISH_STOP)
        cut_at_stop(generation, &choice->text);
}

/* What may be shown: all at the end; before it, no half character and no beginning of a stop. */
static size_t safe_size(const struct cz_generation *generation, const struct choice *choice)
{
    if (choice->seen.finish)
        return choice->text.size;
    size_t held = generation->longest_stop ? generation->longest_stop - 1 : 0;
    size_t size = choice->text.size > held ? choice->text.size - held : 0;
    size_t safe = cz_utf8_complete(cz_slice_of(choice->text.data, size));
    return safe > choice->shown ? safe : choice->shown;
}

/* Looks at a choice, the lock being held; true when there is something new. */
static bool look(struct choice *choice)
{
    if (choice->finished)
        return false;
    choice->seen = choice->sequence.progress;
    return choice->seen.finish || choice->seen.count > choice->read;
}

static struct choice *wait_for_news(struct cz_generation *generation)
{
    struct cz_scheduler *scheduler = generation->engine->scheduler;
    struct choice *found = NULL;
    cz_scheduler_lock(scheduler);
    for (;;) {
        uint32_t open = 0;
        for (uint32_t i = 0; i < generation->choice_count && !found; i++) {
            uint32_t index = (generation->turn + i) % generation->choice_count;
            struct choice *choice = &generation->choices[index];
            choice->sequence.wants_tokens = true;
            open += !choice->finished;
            if (look(choice)) {
                found = choice;
                generation->turn = index + 1;
            }
        }
        if (found || !open)
            break;
        cz_scheduler_wait(scheduler, &generation->changed);
    }
    cz_scheduler_unlock(scheduler);
    return found;
}

bool cz_generation_next(struct cz_generation *generation, struct cz_delta *delta)
{
    for (;;) {
        struct choice *choice = wait_for_news(generation);
        if (!choice)
            return false;
        if (choice->read < generation->prompt_count)
            choice->read = generation->prompt_count;
        read_tokens(generation, choice);
        size_t safe = safe_size(generation, choice);
        if (safe == choice->shown && !choice->seen.finish)
            continue;
        *delta = (struct cz_delta){
            .choice = choice->sequence.choice,
            .text =
                cz_slice_of(cz_buffer_text(&choice->text) + choice->shown, safe - choice->shown),
            .finish = choice->seen.finish,
        };
        choice->shown = safe;
        choice->finished = choice->seen.finish != CZ_FINISH_NONE;
        return true;
    }
}

static void wait_for_choice(struct cz_generation *generation, struct choice *choice)
{
    struct cz_scheduler *scheduler = generation->engine->scheduler;
    cz_scheduler_lock(scheduler);
    while (!choice->sequence.progress.finish)
        cz_scheduler_wait(scheduler, &generation->changed);
    choice->seen = choice->sequence.progress;
    cz_scheduler_unlock(scheduler);
}

cloze_status cz_generation_finish(struct cz_generation *generation, struct cz_buffer *text,
                                  enum cz_finish *finish, struct cloze_error *error)
{
    struct choice *choice = &generation->choices[0];
    wait_for_choice(generation, choice);
    choice->finished = true;
    read_tokens(generation, choice);
    cz_buffer_append_slice(text, cz_buffer_slice(&choice->text));
    if (finish)
        *finish = choice->seen.finish;
    cloze_status status = cz_generation_status(generation, error);
    if (!status)
        status = cz_buffer_status(&choice->text, "answer", error);
    return status ? status : cz_buffer_status(text, "answer", error);
}

cloze_status cz_generation_status(const struct cz_generation *generation, struct cloze_error *error)
{
    for (uint32_t i = 0; i < generation->choice_count; i++) {
        const struct cz_sequence_progress *seen = &generation->choices[i].seen;
        if (!seen->status)
            continue;
        if (error)
            *error = seen->error;
        return seen->status;
    }
    return CLOZE_OK;
}

void cz_generation_cancel(struct cz_generation *generation)
{
    atomic_store(&generation->cancelled, true);
}

void cz_generation_close(struct cz_generation *generation)
{
    if (!generation)
        return;
    cz_generation_cancel(generation);
    for (uint32_t i = 0; i < generation->choice_count; i++)
        wait_for_choice(generation, &generation->choices[i]);
    free_generation(generation);
}

/* ---- What it took ---- */

static uint64_t since(uint64_t start, uint64_t end)
{
    return end > start ? end - start : 0;
}

void cz_generation_usage(const struct cz_generation *generation, struct cz_usage *usage)
{
    uint64_t start = generation->submitted_ns;
    *usage = (struct cz_usage){.prompt_tokens = generation->prompt_count, .seed = generation->seed};
    for (uint32_t i = 0; i < generation->choice_count; i++) {
        const struct cz_sequence_progress *seen = &generation->choices[i].seen;
        uint64_t first = since(start, seen->first_token_ns);
        if (seen->count > generation->prompt_count)
            usage->completion_tokens += seen->count - generation->prompt_count;
        usage->sampled_tokens += seen->sampled_tokens;
        usage->passes += seen->passes;
        if (first && (!usage->first_token_ns || first < usage->first_token_ns))
            usage->first_token_ns = first;
        if (since(start, seen->finished_ns) > usage->total_ns)
            usage->total_ns = since(start, seen->finished_ns);
    }
    const struct cz_sequence_progress *first = &generation->choices[0].seen;
    usage->cached_tokens = first->cached_tokens;
    usage->queued_ns = since(start, first->started_ns);
}

const uint32_t *cz_generation_tokens(const struct cz_generation *generation, uint32_t choice,
                                     uint32_t *count)
{
    const struct choice *one = &generation->choices[choice];
    bool any = one->seen.count > generation->prompt_count;
    *count = any ? one->seen.count - generation->prompt_count : 0;
    return one->sequence.tokens + generation->prompt_count;
}

const struct cz_logprobs *cz_generation_logprobs(const struct cz_generation *generation,
                                                 uint32_t choice, uint32_t *count)
{
    cz_generation_tokens(generation, choice, count);
    return generation->choices[choice].sequence.logprobs;
}
