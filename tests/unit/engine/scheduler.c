/* scheduler.c - sequences come out the same however they were run together. */
#include "test.h"

#include "base/clock.h"
#include "engine/scheduler.h"
#include "fake_backend.h"

#include <unistd.h>

static struct cloze_error error;
static struct fake_backend fake;
static struct cz_scheduler *scheduler;
static const uint32_t stop_id = 100;

static void start(const struct cz_scheduler_options *changes)
{
    struct cz_scheduler_options options = *changes;
    fake_backend_init(&fake);
    options.stop_ids = &stop_id;
    options.stop_count = 1;
    options.token_count = FAKE_VOCAB;
    options.max_sequences = options.max_sequences ? options.max_sequences : 8;
    options.max_queue = options.max_queue ? options.max_queue : 100;
    options.max_rows = options.max_rows ? options.max_rows : 64;
    options.kv_blocks = options.kv_blocks ? options.kv_blocks : FAKE_BLOCKS;
    ASSERT_OK(cz_scheduler_create(&fake.base, &options, &scheduler, &error));
}

static int teardown(void **state)
{
    (void)state;
    cz_scheduler_free(scheduler);
    scheduler = NULL;
    return 0;
}

/* ---- Requests with their own memory ---- */

struct request {
    struct cz_sequence sequence;
    struct cz_sampling sampling;
    pthread_cond_t changed;
    atomic_bool cancelled;
    uint32_t tokens[1024], blocks[32];
};

static void prepare(struct request *request, const uint32_t *prompt, uint32_t count,
                    uint32_t max_tokens)
{
    memset(request, 0, sizeof *request);
    pthread_cond_init(&request->changed, NULL);
    memcpy(request->tokens, prompt, count * sizeof *prompt);
    request->sequence = (struct cz_sequence){
        .tokens = request->tokens,
        .blocks = request->blocks,
        .prompt_count = count,
        .max_tokens = max_tokens,
        .sampling = &request->sampling,
        .changed = &request->changed,
        .cancelled = {&request->cancelled},
    };
}

static void submit(struct request *request)
{
    struct cz_sequence *sequence = &request->sequence;
    ASSERT_OK(cz_scheduler_submit(scheduler, &sequence, 1, &error));
}

static void wait_for(struct request *request)
{
    cz_scheduler_lock(scheduler);
    while (!request->sequence.progress.finish)
        cz_scheduler_wait(scheduler, &request->changed);
    cz_scheduler_unlock(scheduler);
}

/* What the answer has to be, by the definition of the fake model. */
static void check_answer(const struct request *request)
{
    struct cz_sampler sampler;
    const struct cz_sequence *sequence = &request->sequence;
    uint32_t tokens[1024], count = sequence->prompt_count;
    enum cz_finish finish = CZ_FINISH_LENGTH;
    ASSERT_OK(cz_sampler_create(FAKE_VOCAB, &sampler, &error));
    memcpy(tokens, request->tokens, count * sizeof *tokens);
    for (uint32_t i = 0; i < sequence->max_tokens && finish == CZ_FINISH_LENGTH; i++) {
        float logits[FAKE_VOCAB];
        fake_logits(tokens, count, logits);
        struct cz_draw draw = {.logits = logits,
                               .mask = {.count = FAKE_VOCAB},
                               .seed = sequence->seed,
                               .choice = sequence->choice,
                               .position = i};
        ASSERT_OK(cz_sample(&sampler, &request->sampling, &draw, &tokens[count], NULL, &error));
        if (tokens[count++] == stop_id)
            finish = CZ_FINISH_STOP;
    }
    cz_sampler_free(&sampler);
    assert_int_equal(sequence->progress.finish, finish);
    assert_int_equal(sequence->progress.count, count);
    assert_memory_equal(request->tokens, tokens, count * sizeof *tokens);
}

/* Prompts of different lengths, some with a common beginning. */
static uint32_t make_prompt(uint32_t number, uint32_t *prompt)
{
    uint32_t count = 5 + number * 37 % 150;
    for (uint32_t i = 0; i < count; i++)
        prompt[i] = i < 70 && number % 2 ? i * 7 % 90 : (i * 13 + number * 31) % 90;
    return count;
}

/* Rows that run for these answers: all tokens of each but its last. */
static uint32_t answer_rows(const struct request *requests, uint32_t number)
{
    uint32_t rows = 0;
    for (uint32_t i = 0; i < number; i++)
        rows += requests[i].sequence.progress.count - requests[i].sequence.prompt_count - 1;
    return rows;
}

/* ---- Tests ---- */

static void one_sequence_runs_to_its_end(void **state)
{
    (void)state;
    static struct request request;
    static const uint32_t prompt[] = {1, 2, 3};
    start(&(struct cz_scheduler_options){0});
    prepare(&request, prompt, 3, 200);
    submit(&request);
    wait_for(&request);
    check_answer(&request);
    assert_int_equal(request.sequence.progress.sampled_tokens, request.sequence.progress.count - 3);
    assert_false(fake.broken);
}

static void run_many(const struct cz_scheduler_options *options, struct cz_engine_stats *stats)
{
    enum { MANY = 40 };
    static struct request requests[MANY];
    start(options);
    for (uint32_t i = 0; i < MANY; i++) {
        uint32_t prompt[256], count = make_prompt(i, prompt);
        prepare(&requests[i], prompt, count, 10 + i * 17 % 200);
        requests[i].sampling.temperature = i % 3 ? 1.5 : 0;
        requests[i].sequence.seed = i;
        submit(&requests[i]);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        wait_for(&requests[i]);
        check_answer(&requests[i]);
    }
    assert_false(fake.broken);
    cz_scheduler_stats(scheduler, stats);
    assert_int_equal(stats->kv_blocks_used, 0);
}

static void batches_change_nothing(void **state)
{
    (void)state;
    struct cz_engine_stats stats;
    run_many(&(struct cz_scheduler_options){0}, &stats);
    assert_true(stats.cached_tokens > 0);
    assert_true(stats.steps < stats.completion_tokens);
}

static void preemption_changes_nothing(void **state)
{
    (void)state;
    struct cz_engine_stats stats;
    run_many(&(struct cz_scheduler_options){.kv_blocks = 14}, &stats);
    assert_true(stats.preemptions > 0);
}

static void prefix_sharing_changes_nothing(void **state)
{
    (void)state;
    struct cz_engine_stats stats;
    run_many(&(struct cz_scheduler_options){.kv_blocks = 14, .no_prefix_sharing = true}, &stats);
    assert_int_equal(stats.cached_tokens, 0);
}

static void narrow_steps_change_nothing(void **state)
{
    (void)state;
    struct cz_engine_stats stats;
    run_many(&(struct cz_scheduler_options){.max_rows = 8, .max_sequences = 8}, &stats);
}

static void a_repeated_prompt_is_found_in_the_cache(void **state)
{
    (void)state;
    static struct request first, second;
    uint32_t prompt[256], count = make_prompt(3, prompt);
    assert_true(count > 64);
    start(&(struct cz_scheduler_options){0});
    prepare(&first, prompt, count, 5);
    submit(&first);
    wait_for(&first);
    prepare(&second, prompt, count, 5);
    submit(&second);
    wait_for(&second);
    check_answer(&second);
    assert_int_equal(second.sequence.progress.cached_tokens,
                     (count - 1) / CZ_KV_BLOCK * CZ_KV_BLOCK);
}

static void choices_share_one_prefill(void **state)
{
    (void)state;
    static struct request requests[3];
    struct cz_sequence *list[3];
    uint32_t prompt[256], count = make_prompt(3, prompt);
    start(&(struct cz_scheduler_options){0});
    for (uint32_t i = 0; i < 3; i++) {
        prepare(&requests[i], prompt, count, 30);
        requests[i].sampling.temperature = 1;
        requests[i].sequence.seed = 5;
        requests[i].sequence.choice = i;
        requests[i].sequence.after = i ? &requests[0].sequence : NULL;
        list[i] = &requests[i].sequence;
    }
    ASSERT_OK(cz_scheduler_submit(scheduler, list, 3, &error));
    for (uint32_t i = 0; i < 3; i++) {
        wait_for(&requests[i]);
        check_answer(&requests[i]);
        assert_int_equal(requests[i].sequence.progress.cached_tokens, i ? count - 1 : 0);
    }
    assert_int_equal(fake.rows, count + 2 + answer_rows(requests, 3));
    assert_memory_not_equal(requests[0].tokens + count, requests[1].tokens + count, 40);
}

/* ---- Guesses ---- */

/* Single bytes from the blank on, some longer tokens, and the end. */
static const char *const longer_tokens[] = {"\":", " \"", "{\"", "\",", "\"A",
                                            " 1",  "ab",  "abc", "cd",  "}"};
enum { SINGLE = 90, GUESSING = 20 };

static struct cz_slice token_text(uint32_t id)
{
    static char bytes[SINGLE];
    if (id >= SINGLE)
        return id < 100 ? cz_slice(longer_tokens[id - SINGLE]) : (struct cz_slice){0};
    bytes[id] = (char)(' ' + id);
    return cz_slice_of(bytes + id, 1);
}

/* Longest match. */
static size_t encode(void *context, struct cz_slice text, uint32_t *ids, size_t capacity)
{
    (void)context;
    size_t count = 0;
    for (size_t at = 0; at < text.size; count++) {
        uint32_t best = (uint32_t)(text.data[at] - ' ');
        size_t longest = best < SINGLE;
        for (uint32_t id = SINGLE; id < 100; id++) {
            struct cz_slice rest = cz_slice_of(text.data + at, text.size - at);
            if (token_text(id).size > longest &&
                cz_slice_starts_with(rest, longer_tokens[id - SINGLE])) {
                best = id;
                longest = token_text(id).size;
            }
        }
        if (count < capacity)
            ids[count] = best;
        at += longest;
    }
    return count;
}

static struct cz_grammar *guessing_grammar(struct cz_vocab **vocab)
{
    static struct cz_slice tokens[FAKE_VOCAB];
    static const char schema[] =
        "{\"type\": \"object\", \"required\": [\"a\", \"b\", \"c\"], \"properties\": {"
        "\"a\": {\"type\": \"string\", \"maxLength\": 3}, \"b\": {\"type\": \"integer\"},"
        "\"c\": {\"enum\": [\"abc\", \"abd\"]}}}";
    struct cz_grammar_options options = {.kind = CZ_GRAMMAR_JSON_SCHEMA};
    struct cz_grammar *grammar;
    for (uint32_t id = 0; id < FAKE_VOCAB; id++)
        tokens[id] = token_text(id);
    struct cz_vocab_options details = {.count = FAKE_VOCAB,
                                       .logits_width = FAKE_VOCAB,
                                       .tokens = tokens,
                                       .end_ids = &stop_id,
                                       .end_count = 1,
                                       .encode = encode};
    ASSERT_OK(cz_vocab_create(&details, vocab, &error));
    ASSERT_OK(cz_grammar_compile(*vocab, CZ_SLICE(schema), &options, &grammar, &error));
    return grammar;
}

/* Answers of 20 requests, `together` at a time; each in its row of `answers`. */
static void run_guessing(struct cz_grammar *grammar, uint32_t together, uint32_t max_rows,
                         uint32_t answers[GUESSING][64], uint32_t *passes)
{
    static struct request requests[GUESSING];
    *passes = 0;
    start(&(struct cz_scheduler_options){.max_sequences = together, .max_rows = max_rows});
    for (uint32_t i = 0; i < GUESSING; i++) {
        uint32_t prompt[256], count = make_prompt(i, prompt);
        prepare(&requests[i], prompt, count, 64);
        requests[i].sampling.temperature = 1;
        requests[i].sequence.seed = i;
        ASSERT_OK(cz_matcher_create(grammar, &requests[i].sequence.matcher, &error));
        ASSERT_OK(cz_matcher_set_budget(requests[i].sequence.matcher, 64, &error));
        cz_matcher_heed_budget(requests[i].sequence.matcher, false);
        submit(&requests[i]);
    }
    for (uint32_t i = 0; i < GUESSING; i++) {
        const struct cz_sequence *sequence = &requests[i].sequence;
        wait_for(&requests[i]);
        assert_int_equal(sequence->progress.status, CLOZE_OK);
        memset(answers[i], 0, sizeof answers[i]);
        memcpy(answers[i], sequence->tokens + sequence->prompt_count,
               (sequence->progress.count - sequence->prompt_count) * sizeof **answers);
        *passes += sequence->progress.passes;
        cz_matcher_free(sequence->matcher);
    }
    assert_true(fake.largest_step <= max_rows);
    assert_false(fake.broken);
    teardown(NULL);
}

static void guesses_change_nothing_but_the_passes(void **state)
{
    (void)state;
    static uint32_t alone[GUESSING][64], others[GUESSING][64];
    struct cz_vocab *vocab;
    struct cz_grammar *grammar = guessing_grammar(&vocab);
    uint32_t guessed, passes;
    run_guessing(grammar, 1, 256, alone, &guessed);
    run_guessing(grammar, GUESSING, 256, others, &passes); /* too many to guess, most of the time */
    assert_memory_equal(alone, others, sizeof alone);
    assert_true(guessed < passes);
    run_guessing(grammar, 8, 16, others, &passes); /* hardly any room for guesses */
    assert_memory_equal(alone, others, sizeof alone);
    cz_grammar_release(grammar);
    cz_vocab_release(vocab);
}

static void cancelled_and_late_requests_end(void **state)
{
    (void)state;
    static struct request endless, late, other;
    static const uint32_t prompt[] = {9, 8, 7};
    start(&(struct cz_scheduler_options){.max_sequences = 2});
    fake.delay_us = 2000;
    prepare(&endless, prompt, 3, 900);
    prepare(&late, prompt, 3, 900);
    prepare(&other, prompt, 3, 2);
    endless.sampling.biases = late.sampling.biases = &(struct cz_logit_bias){stop_id, -1000};
    endless.sampling.bias_count = late.sampling.bias_count = 1;
    late.sequence.deadline_ns = cz_clock_ns() + 20 * 1000000u;
    submit(&endless);
    submit(&late);
    submit(&other); /* waits for a place */
    wait_for(&late);
    assert_int_equal(late.sequence.progress.status, CLOZE_TIMEOUT);
    atomic_store(&endless.cancelled, true);
    wait_for(&endless);
    assert_int_equal(endless.sequence.progress.status, CLOZE_CANCELLED);
    wait_for(&other);
    assert_int_equal(other.sequence.progress.status, CLOZE_OK);
    assert_int_equal(other.sequence.progress.count, 5);
}

static void higher_priority_goes_first(void **state)
{
    (void)state;
    static struct request busy, low, high;
    static const uint32_t prompt[] = {4, 5};
    start(&(struct cz_scheduler_options){.max_sequences = 1});
    fake.delay_us = 3000;
    prepare(&busy, prompt, 2, 20);
    prepare(&low, prompt, 2, 5);
    prepare(&high, prompt, 2, 5);
    high.sequence.priority = 1;
    submit(&busy);
    usleep(1000);
    submit(&low);
    submit(&high);
    wait_for(&low);
    wait_for(&high);
    assert_true(high.sequence.progress.started_ns < low.sequence.progress.started_ns);
}

static void a_full_queue_says_so(void **state)
{
    (void)state;
    static struct request requests[4];
    static const uint32_t prompt[] = {4, 5};
    start(&(struct cz_scheduler_options){.max_sequences = 1, .max_queue = 2});
    fake.delay_us = 20000;
    for (uint32_t i = 0; i < 4; i++)
        prepare(&requests[i], prompt, 2, 5);
    struct cz_sequence *list[] = {&requests[0].sequence, &requests[1].sequence,
                                  &requests[2].sequence};
    ASSERT_FAILS(cz_scheduler_submit(scheduler, list, 3, &error), CLOZE_BUSY, "full");
    ASSERT_OK(cz_scheduler_submit(scheduler, list, 2, &error));
    wait_for(&requests[0]);
    wait_for(&requests[1]);
}

static void a_failing_backend_fails_its_requests_only(void **state)
{
    (void)state;
    static struct request first, second;
    static const uint32_t prompt[] = {4, 5};
    start(&(struct cz_scheduler_options){0});
    fake.fails = true;
    prepare(&first, prompt, 2, 5);
    submit(&first);
    wait_for(&first);
    assert_int_equal(first.sequence.progress.status, CLOZE_INTERNAL);
    assert_non_null(strstr(first.sequence.progress.error.message, "as told"));
    fake.fails = false;
    prepare(&second, prompt, 2, 5);
    submit(&second);
    wait_for(&second);
    check_answer(&second);
}

/* With a slow backend, a long prompt is read in pieces between the tokens of an answer. */
static void a_long_prompt_does_not_stop_an_answer(void **state)
{
    (void)state;
    static struct request answer, reader;
    static uint32_t prompt[900];
    for (uint32_t i = 0; i < 900; i++)
        prompt[i] = i % 90;
    start(&(struct cz_scheduler_options){0});
    fake.delay_us = 200;
    prepare(&answer, prompt + 1, 2, 400);
    answer.sampling.biases = &(struct cz_logit_bias){stop_id, -1000};
    answer.sampling.bias_count = 1;
    submit(&answer);
    usleep(5000);
    prepare(&reader, prompt, 900, 1);
    submit(&reader);
    wait_for(&reader);
    cz_scheduler_lock(scheduler);
    uint32_t passes = reader.sequence.progress.passes;
    cz_scheduler_unlock(scheduler);
    wait_for(&answer);
    assert_true(passes > 10); /* 900 rows, at most 63 of a step */
    check_answer(&reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(one_sequence_runs_to_its_end, teardown),
        cmocka_unit_test_teardown(batches_change_nothing, teardown),
        cmocka_unit_test_teardown(preemption_changes_nothing, teardown),
        cmocka_unit_test_teardown(prefix_sharing_changes_nothing, teardown),
        cmocka_unit_test_teardown(narrow_steps_change_nothing, teardown),
        cmocka_unit_test_teardown(a_repeated_prompt_is_found_in_the_cache, teardown),
        cmocka_unit_test_teardown(choices_share_one_prefill, teardown),
        cmocka_unit_test_teardown(guesses_change_nothing_but_the_passes, teardown),
        cmocka_unit_test_teardown(cancelled_and_late_requests_end, teardown),
        cmocka_unit_test_teardown(higher_priority_goes_first, teardown),
        cmocka_unit_test_teardown(a_full_queue_says_so, teardown),
        cmocka_unit_test_teardown(a_failing_backend_fails_its_requests_only, teardown),
        cmocka_unit_test_teardown(a_long_prompt_does_not_stop_an_answer, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
