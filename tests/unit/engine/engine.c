/* engine.c - whole requests on a tiny random model: text in, text out. */
#include "test.h"

#include "base/clock.h"
#include "base/file.h"
#include "engine/engine.h"

#include <unistd.h>

static struct cloze_error error;
static struct cz_engine *engine;
static char cache[64];

static int setup(void **state)
{
    (void)state;
    struct cz_engine_options options = {.cache_folder = cache, .threads = 2, .kv_positions = 1024};
    strcpy(cache, "/tmp/cloze-engine-XXXXXX");
    if (!mkdtemp(cache))
        return 1;
    if (cz_engine_open(test_file("models/llama"), &options, &engine, &error) == CLOZE_OK)
        return 0;
    fprintf(stderr, "%s: %s\n", error.where, error.message);
    return 1;
}

static int teardown(void **state)
{
    (void)state;
    cz_engine_close(engine);
    return cz_file_remove_tree(cache, &error);
}

static struct cz_request request_of(const char *prompt)
{
    return (struct cz_request){
        .prompt = cz_slice(prompt),
        .max_tokens = 40,
        .sampling = {.temperature = 1, .has_seed = true, .seed = 11},
    };
}

/* The answer in one piece; free(). */
static char *answer(const struct cz_request *request, enum cz_finish *finish)
{
    struct cz_generation *generation;
    struct cz_buffer text = {0};
    ASSERT_OK(cz_engine_submit(engine, request, &generation, &error));
    ASSERT_OK(cz_generation_finish(generation, &text, finish, &error));
    cz_generation_close(generation);
    char *taken = cz_buffer_take(&text);
    assert_non_null(taken);
    return taken;
}

static void the_same_seed_gives_the_same_text(void **state)
{
    (void)state;
    struct cz_request request = request_of("ABC");
    enum cz_finish finish;
    char *first = answer(&request, &finish), *second = answer(&request, NULL);
    assert_true(finish == CZ_FINISH_LENGTH || finish == CZ_FINISH_STOP);
    assert_string_equal(first, second);
    request.sampling.seed = 12;
    char *other = answer(&request, NULL);
    assert_string_not_equal(first, other);
    free(first);
    free(second);
    free(other);
}

static void pieces_add_up_to_the_whole(void **state)
{
    (void)state;
    struct cz_request request = request_of("Hello");
    struct cz_generation *generation;
    struct cz_delta delta;
    struct cz_buffer text = {0};
    unsigned pieces = 0, ends = 0;
    char *whole = answer(&request, NULL);
    ASSERT_OK(cz_engine_submit(engine, &request, &generation, &error));
    while (cz_generation_next(generation, &delta)) {
        cz_buffer_append_slice(&text, delta.text);
        pieces++;
        ends += delta.finish != CZ_FINISH_NONE;
    }
    ASSERT_OK(cz_generation_status(generation, &error));
    assert_true(pieces >= 1);
    assert_int_equal(ends, 1);
    assert_string_equal(cz_buffer_text(&text), whole);
    struct cz_usage usage;
    cz_generation_usage(generation, &usage);
    assert_int_equal(usage.prompt_tokens, 5);
    assert_true(usage.completion_tokens > 0 && usage.completion_tokens <= 40);
    assert_true(usage.first_token_ns > 0 && usage.first_token_ns <= usage.total_ns);
    assert_int_equal(usage.seed, 11);
    cz_generation_close(generation);
    cz_buffer_free(&text);
    free(whole);
}

/* A stop string that does occur: nothing of it is shown, in one piece or in many. */
static void stop_strings_cut_the_text(void **state)
{
    (void)state;
    struct cz_request request = request_of("ABC");
    char *whole = answer(&request, NULL);
    assert_true(strlen(whole) > 12);
    struct cz_slice stop = {whole + 9, 2};
    const char *first = strstr(whole, (char[]){whole[9], whole[10], 0});
    request.stops = &stop;
    request.stop_count = 1;
    enum cz_finish finish;
    char *cut = answer(&request, &finish);
    assert_int_equal(finish, CZ_FINISH_STOP);
    assert_int_equal(strlen(cut), first - whole);
    assert_memory_equal(cut, whole, strlen(cut));
    struct cz_generation *generation;
    struct cz_delta delta;
    size_t size = 0;
    ASSERT_OK(cz_engine_submit(engine, &request, &generation, &error));
    while (cz_generation_next(generation, &delta))
        size += delta.text.size;
    assert_int_equal(size, strlen(cut));
    cz_generation_close(generation);
    free(whole);
    free(cut);
}

static void choices_differ_and_repeat(void **state)
{
    (void)state;
    enum { CHOICES = 3 };
    struct cz_request request = request_of("ABCDEFGHIJKLMNABCDEFGHIJKLMNABCDEFGHIJKLMN");
    struct cz_generation *generation;
    struct cz_delta delta;
    struct cz_buffer texts[2][CHOICES] = {0};
    request.choices = CHOICES;
    for (unsigned run = 0; run < 2; run++) {
        ASSERT_OK(cz_engine_submit(engine, &request, &generation, &error));
        while (cz_generation_next(generation, &delta))
            cz_buffer_append_slice(&texts[run][delta.choice], delta.text);
        cz_generation_close(generation);
    }
    for (unsigned i = 0; i < CHOICES; i++)
        assert_string_equal(cz_buffer_text(&texts[0][i]), cz_buffer_text(&texts[1][i]));
    assert_string_not_equal(cz_buffer_text(&texts[0][0]), cz_buffer_text(&texts[0][1]));
    request.choices = 0;
    char *alone = answer(&request, NULL);
    assert_string_equal(alone, cz_buffer_text(&texts[0][0]));
    free(alone);
    for (unsigned i = 0; i < 2 * CHOICES; i++)
        cz_buffer_free(&texts[i / CHOICES][i % CHOICES]);
}

static void log_probabilities_come_with_the_tokens(void **state)
{
    (void)state;
    struct cz_request request = request_of("ABC");
    struct cz_generation *generation;
    struct cz_buffer text = {0};
    uint32_t count, token_count;
    request.sampling = (struct cz_sampling){.logprobs = 3};
    ASSERT_OK(cz_engine_submit(engine, &request, &generation, &error));
    ASSERT_OK(cz_generation_finish(generation, &text, NULL, &error));
    const struct cz_logprobs *logprobs = cz_generation_logprobs(generation, 0, &count);
    const uint32_t *tokens = cz_generation_tokens(generation, 0, &token_count);
    assert_int_equal(count, token_count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(logprobs[i].id, tokens[i]);
        assert_int_equal(logprobs[i].count, 2);
        assert_int_equal(logprobs[i].top[0].id, tokens[i]); /* greedy */
        assert_true(logprobs[i].logprob <= 0);
        assert_true(logprobs[i].top[0].logprob >= logprobs[i].top[1].logprob);
    }
    cz_generation_close(generation);
    cz_buffer_free(&text);
}

static void refuses_what_can_not_work(void **state)
{
    (void)state;
    struct cz_generation *generation;
    struct cz_request request = request_of("ABC");
    request.max_tokens = 1 << 20;
    ASSERT_FAILS(cz_engine_submit(engine, &request, &generation, &error), CLOZE_LIMIT,
                 "max_tokens");
    request = request_of("\xFF");
    ASSERT_FAILS(cz_engine_submit(engine, &request, &generation, &error), CLOZE_INVALID, "UTF-8");
    request = request_of("ABC");
    request.system = CZ_SLICE("be kind");
    ASSERT_FAILS(cz_engine_submit(engine, &request, &generation, &error), CLOZE_UNSUPPORTED,
                 "chat template");
    request = request_of("ABC");
    request.sampling.temperature = -2;
    ASSERT_FAILS(cz_engine_submit(engine, &request, &generation, &error), CLOZE_INVALID,
                 "temperature");
    char *prompt = malloc(5001);
    memset(prompt, 'A', 5000);
    prompt[5000] = '\0';
    request = request_of(prompt);
    ASSERT_FAILS(cz_engine_submit(engine, &request, &generation, &error), CLOZE_LIMIT, "5000");
    free(prompt);
}

static void deadlines_and_cancelling_end_a_generation(void **state)
{
    (void)state;
    struct cz_generation *generation;
    struct cz_buffer text = {0};
    struct cz_request request = request_of("ABC");
    request.deadline_ns = cz_clock_ns();
    ASSERT_OK(cz_engine_submit(engine, &request, &generation, &error));
    ASSERT_FAILS(cz_generation_finish(generation, &text, NULL, &error), CLOZE_TIMEOUT, "time");
    cz_generation_close(generation);
    request.deadline_ns = 0;
    ASSERT_OK(cz_engine_submit(engine, &request, &generation, &error));
    cz_generation_close(generation); /* while it may be running */
    cz_buffer_free(&text);
}

static struct cz_constraint regex(const char *source)
{
    return (struct cz_constraint){
        .set = true, .options.kind = CZ_GRAMMAR_REGEX, .source = cz_slice(source)};
}

static void constrained_answers_fit(void **state)
{
    (void)state;
    struct cz_request request = request_of("ABC");
    enum cz_finish finish;
    request.constraint = regex("[A-D]{3,6}_(HIJ|HIK)");
    for (request.sampling.seed = 0; request.sampling.seed < 50; request.sampling.seed++) {
        char *text = answer(&request, &finish);
        size_t letters = strspn(text, "ABCD");
        assert_int_equal(finish, CZ_FINISH_STOP);
        assert_true(letters >= 3 && letters <= 6);
        assert_true(strcmp(text + letters, "_HIJ") == 0 || strcmp(text + letters, "_HIK") == 0);
        free(text);
    }
}

static void a_budget_closes_the_answer_and_says_so(void **state)
{
    (void)state;
    struct cz_request request = request_of("ABC");
    struct cz_generation *generation;
    enum cz_finish finish;
    request.constraint = regex("[A-D]{8,100}E");
    request.max_tokens = 12;
    char *text = answer(&request, &finish);
    assert_int_equal(finish, CZ_FINISH_LENGTH);
    assert_true(strlen(text) <= 11 && text[strlen(text) - 1] == 'E');
    free(text);
    request.max_tokens = 5;
    ASSERT_FAILS(cz_engine_submit(engine, &request, &generation, &error), CLOZE_LIMIT, "");
    request.constraint = regex("[A-D");
    ASSERT_FAILS(cz_engine_submit(engine, &request, &generation, &error), CLOZE_INVALID, "");
    request.constraint = regex("A+");
    request.stops = &(struct cz_slice){"A", 1};
    request.stop_count = 1;
    ASSERT_FAILS(cz_engine_submit(engine, &request, &generation, &error), CLOZE_UNSUPPORTED,
                 "stop");
}

/* "stop" means that the budget changed nothing: the answer is that of a budget without end. */
static void the_finish_reason_is_exact(void **state)
{
    (void)state;
    static const char *const expressions[] = {"[A-D]{1,30}E", "([A-D]{2}(FG|FGH|IJK)){1,12}O",
                                              "(A(BCDEFGHIJ)?){1,9}[EF]"};
    unsigned stopped = 0, limited = 0;
    for (unsigned i = 0; i < 30; i++) {
        struct cz_request request = request_of("ABC");
        struct cz_usage usage;
        struct cz_generation *generation;
        struct cz_buffer whole = {0};
        enum cz_finish finish;
        request.constraint = regex(expressions[i % 3]);
        request.sampling.seed = i;
        request.max_tokens = 400;
        ASSERT_OK(cz_engine_submit(engine, &request, &generation, &error));
        ASSERT_OK(cz_generation_finish(generation, &whole, &finish, &error));
        cz_generation_usage(generation, &usage);
        cz_generation_close(generation);
        assert_int_equal(finish, CZ_FINISH_STOP);
        for (request.max_tokens = 6; request.max_tokens < usage.completion_tokens + 3;
             request.max_tokens++) {
            char *text = answer(&request, &finish);
            bool same = strcmp(text, cz_buffer_text(&whole)) == 0;
            assert_int_equal(finish, same ? CZ_FINISH_STOP : CZ_FINISH_LENGTH);
            assert_int_equal(same, request.max_tokens >= usage.completion_tokens);
            same ? stopped++ : limited++;
            free(text);
        }
        cz_buffer_free(&whole);
    }
    assert_true(stopped > 20 && limited > 100);
}

/* What the model itself thinks of `id` behind the prompt: a free answer that is made to begin so.
 */
static float raw_logprob(struct cz_slice prompt, uint32_t id)
{
    struct cz_logit_bias bias = {id, 1000};
    struct cz_request request = {
        .prompt = prompt,
        .max_tokens = 1,
        .sampling = {.logprobs = 1, .logprobs_are_raw = true, .biases = &bias, .bias_count = 1}};
    struct cz_generation *generation;
    struct cz_buffer text = {0};
    uint32_t count;
    ASSERT_OK(cz_engine_submit(engine, &request, &generation, &error));
    ASSERT_OK(cz_generation_finish(generation, &text, NULL, &error));
    const struct cz_logprobs *logprobs = cz_generation_logprobs(generation, 0, &count);
    assert_int_equal(count, 1);
    assert_int_equal(logprobs[0].id, id);
    float logprob = logprobs[0].logprob;
    cz_generation_close(generation);
    cz_buffer_free(&text);
    return logprob;
}

static void raw_log_probabilities_of_forced_tokens_are_the_models(void **state)
{
    (void)state;
    struct cz_request request = request_of("ABC");
    struct cz_generation *generation;
    struct cz_buffer text = {0}, prompt = {0};
    struct cz_usage usage;
    uint32_t count;
    request.constraint = regex("ABCDEFGH(I|J)KLMNO");
    char *usual = answer(&request, NULL);
    request.sampling.logprobs = 3;
    request.sampling.logprobs_are_raw = true;
    ASSERT_OK(cz_engine_submit(engine, &request, &generation, &error));
    ASSERT_OK(cz_generation_finish(generation, &text, NULL, &error));
    assert_string_equal(cz_buffer_text(&text), usual);
    cz_generation_usage(generation, &usage);
    assert_int_equal(usage.sampled_tokens, 1);
    const struct cz_logprobs *logprobs = cz_generation_logprobs(generation, 0, &count);
    assert_int_equal(count, 15);
    cz_buffer_append_text(&prompt, "ABC");
    for (uint32_t i = 0; i + 1 < count; i++) { /* one byte each; behind them stands the end */
        float expected = raw_logprob(cz_buffer_slice(&prompt), logprobs[i].id);
        assert_true(expected < 0 && logprobs[i].logprob == expected);
        assert_int_equal(logprobs[i].count, 2);
        assert_true(logprobs[i].top[0].logprob >= logprobs[i].logprob);
        cz_buffer_append_byte(&prompt, text.data[i]);
    }
    cz_generation_close(generation);
    cz_buffer_free(&prompt);
    cz_buffer_free(&text);
    free(usual);
}

static void what_is_certain_is_not_sampled(void **state)
{
    (void)state;
    struct cz_request request = request_of("ABC");
    struct cz_generation *generation;
    struct cz_buffer text = {0};
    struct cz_usage usage;
    request.constraint = regex("ABCDEFGH(I|J)KLMNO");
    ASSERT_OK(cz_engine_submit(engine, &request, &generation, &error));
    ASSERT_OK(cz_generation_finish(generation, &text, NULL, &error));
    cz_generation_usage(generation, &usage);
    assert_int_equal(text.size, 14);
    assert_int_equal(usage.completion_tokens, 15); /* with the end */
    assert_int_equal(usage.sampled_tokens, 1);
    assert_int_equal(usage.passes, 1);
    cz_generation_close(generation);
    cz_buffer_free(&text);
}

static void the_public_interface_answers(void **state)
{
    (void)state;
    struct cloze_engine *public_engine;
    struct cloze_answer *first, *second;
    struct cloze_engine_options options = {.cache_folder = cache, .kv_tokens = 512};
    struct cloze_request request = {.prompt = "ABC",
                                    .own_sampling = true,
                                    .temperature = 1,
                                    .has_seed = true,
                                    .seed = 11,
                                    .max_tokens = 40};
    struct cz_request same = request_of("ABC");
    struct cz_buffer pieces = {0};
    char *expected = answer(&same, NULL);
    ASSERT_OK(cloze_engine_open(test_file("models/llama"), &options, &public_engine, &error));
    ASSERT_OK(cloze_engine_ask(public_engine, &request, &first, &error));
    ASSERT_OK(cloze_engine_ask(public_engine, &request, &second, &error));
    for (const char *text; (text = cloze_answer_next(first));)
        cz_buffer_append_text(&pieces, text);
    ASSERT_OK(cloze_answer_status(first, &error));
    assert_string_equal(cz_buffer_text(&pieces), expected);
    assert_string_equal(cloze_answer_text(second), expected);
    assert_string_not_equal(cloze_answer_finish_reason(second), "error");
    unsigned prompt_tokens, answer_tokens;
    cloze_answer_usage(second, &prompt_tokens, &answer_tokens);
    assert_int_equal(prompt_tokens, 3);
    assert_true(answer_tokens > 0);
    cloze_answer_close(first);
    cloze_answer_close(second);
    request.type = "int";
    request.regex = "a";
    ASSERT_FAILS(cloze_engine_ask(public_engine, &request, &first, &error), CLOZE_INVALID,
                 "exclude");
    cloze_engine_close(public_engine);
    cz_buffer_free(&pieces);
    free(expected);
}

static void types_have_constraints(void **state)
{
    (void)state;
    struct cz_constraint constraint;
    ASSERT_OK(cz_constraint_of_type(CZ_SLICE("date"), &constraint, &error));
    assert_true(constraint.set && constraint.options.kind == CZ_GRAMMAR_REGEX);
    ASSERT_FAILS(cz_constraint_of_type(CZ_SLICE("dates"), &constraint, &error), CLOZE_INVALID,
                 "'dates'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_text),
        cmocka_unit_test(pieces_add_up_to_the_whole),
        cmocka_unit_test(stop_strings_cut_the_text),
        cmocka_unit_test(choices_differ_and_repeat),
        cmocka_unit_test(log_probabilities_come_with_the_tokens),
        cmocka_unit_test(refuses_what_can_not_work),
        cmocka_unit_test(deadlines_and_cancelling_end_a_generation),
        cmocka_unit_test(constrained_answers_fit),
        cmocka_unit_test(a_budget_closes_the_answer_and_says_so),
        cmocka_unit_test(the_finish_reason_is_exact),
        cmocka_unit_test(raw_log_probabilities_of_forced_tokens_are_the_models),
        cmocka_unit_test(what_is_certain_is_not_sampled),
        cmocka_unit_test(the_public_interface_answers),
        cmocka_unit_test(types_have_constraints),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
