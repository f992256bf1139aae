/* sampler.c - what each option keeps, and that draws depend on nothing but their arguments. */
#include "test.h"

#include "engine/sampler.h"

#include <math.h>

static struct cloze_error error;
static struct cz_sampler sampler;

enum { WIDTH = 64 };

static int setup(void **state)
{
    (void)state;
    return cz_sampler_create(WIDTH, &sampler, &error);
}

static int teardown(void **state)
{
    (void)state;
    cz_sampler_free(&sampler);
    return 0;
}

/* Draws from the first `count` of the logits 0, 1, 2 ... of the tests' distribution. */
static uint32_t draw_from(const float *logits, struct cz_mask mask,
                          const struct cz_sampling *sampling, uint32_t position)
{
    float copy[WIDTH];
    uint32_t id = UINT32_MAX;
    memcpy(copy, logits, mask.count * sizeof *copy);
    struct cz_draw draw = {.logits = copy, .mask = mask, .seed = 7, .position = position};
    ASSERT_OK(cz_sample(&sampler, sampling, &draw, &id, NULL, &error));
    return id;
}

/* How often each id is drawn in 20,000 draws. */
static void histogram(const float *logits, uint32_t count, const struct cz_sampling *sampling,
                      double *shares)
{
    enum { DRAWS = 20000 };
    for (uint32_t i = 0; i < count; i++)
        shares[i] = 0;
    for (uint32_t i = 0; i < DRAWS; i++)
        shares[draw_from(logits, (struct cz_mask){.count = count}, sampling, i)] += 1.0 / DRAWS;
}

/* p = 0.4, 0.3, 0.2, 0.1 */
static const float four[4] = {-0.91629073f, -1.2039728f, -1.6094379f, -2.3025851f};

static void greedy_takes_the_lowest_id_of_a_tie(void **state)
{
    (void)state;
    static const float logits[] = {1, 3, 3, 2};
    static const uint32_t ids[] = {5, 9, 11, 40};
    static const uint32_t words[] = {1u << 5 | 1u << 9 | 1u << 11, 1u << 8};
    struct cz_sampling greedy = {0};
    assert_int_equal(draw_from(logits, (struct cz_mask){.count = 4}, &greedy, 0), 1);
    assert_int_equal(draw_from(logits, (struct cz_mask){.ids = ids, .count = 4}, &greedy, 0), 9);
    assert_int_equal(draw_from(logits, (struct cz_mask){.words = words, .count = 4}, &greedy, 0),
                     9);
}

static void draws_by_probability(void **state)
{
    (void)state;
    double shares[4];
    histogram(four, 4, &(struct cz_sampling){.temperature = 1}, shares);
    for (unsigned i = 0; i < 4; i++)
        assert_true(fabs(shares[i] - (0.4 - 0.1 * i)) < 0.015);
    histogram(four, 4, &(struct cz_sampling){.temperature = 0.5}, shares);
    for (unsigned i = 0; i < 4; i++)
        assert_true(fabs(shares[i] - pow(0.4 - 0.1 * i, 2) / 0.3) < 0.015);
}

static void filters_keep_what_they_should(void **state)
{
    (void)state;
    static const struct {
        struct cz_sampling sampling;
        unsigned kept; /* bits */
    } cases[] = {
        {{.temperature = 1, .top_k = 2}, 3},
        {{.temperature = 1, .top_p = 0.39}, 1},
        {{.temperature = 1, .top_p = 0.41}, 3},
        {{.temperature = 1, .top_p = 0.71}, 7},
        {{.temperature = 1, .min_p = 0.6}, 3},
        {{.temperature = 1, .min_p = 0.2}, 15},
        {{.temperature = 1, .top_k = 3, .top_p = 0.7}, 3}, /* 0.7 of 0.9 */
        /* entropy 1.28 nats; surprises 0.92 1.20 1.61 2.30: the nearest is id 1, then 2 */
        {{.temperature = 1, .typical_p = 0.25}, 2},
        {{.temperature = 1, .typical_p = 0.4}, 6},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double shares[4];
        unsigned kept = 0;
        histogram(four, 4, &cases[i].sampling, shares);
        for (unsigned j = 0; j < 4; j++)
            kept |= (unsigned)(shares[j] > 0) << j;
        assert_int_equal(kept, cases[i].kept);
    }
}

static void penalties_and_bias_reach_the_right_ids(void **state)
{
    (void)state;
    static const uint32_t words[] = {0, 0xF0};
    static const uint32_t ids[] = {36, 37, 38, 39};
    struct cz_logit_bias bias = {37, 5};
    struct cz_token_counts counts;
    ASSERT_OK(cz_token_counts_init(&counts, 8, &error));
    cz_token_counts_add(&counts, 36, true);
    cz_token_counts_add(&counts, 36, true);
    cz_token_counts_add(&counts, 3, true); /* not allowed: ignored */
    static const struct cz_sampling cases[] = {{.repetition_penalty = 2},
                                               {.presence_penalty = 1},
                                               {.frequency_penalty = 0.5},
                                               {.temperature = 0}};
    static const uint32_t expected[] = {37, 37, 37, 36};
    for (size_t i = 0; i < 4; i++) {
        for (unsigned dense = 0; dense < 2; dense++) {
            float logits[4] = {2, 1.5f, 1, 0};
            uint32_t id;
            struct cz_draw draw = {.logits = logits,
                                   .mask = {dense ? NULL : ids, dense ? words : NULL, 4},
                                   .counts = &counts};
            ASSERT_OK(cz_sample(&sampler, &cases[i], &draw, &id, NULL, &error));
            assert_int_equal(id, expected[i]);
        }
    }
    cz_token_counts_free(&counts);
    struct cz_sampling biased = {.biases = &bias, .bias_count = 1};
    static const float logits[] = {2, 1.5f, 1, 0};
    assert_int_equal(draw_from(logits, (struct cz_mask){.ids = ids, .count = 4}, &biased, 0), 37);
}

static void full_logits_give_the_token_of_gathered_ones(void **state)
{
    (void)state;
    static const uint32_t ids[] = {3, 17, 18, 60};
    static const uint32_t words[] = {1u << 3 | 1u << 17 | 1u << 18, 1u << 28};
    struct cz_sampling sampling = {.temperature = 1.2, .top_p = 0.9, .seed = 1};
    for (uint32_t position = 0; position < 200; position++) {
        float full[WIDTH], full_too[WIDTH], gathered[4];
        for (uint32_t i = 0; i < WIDTH; i++)
            full[i] = full_too[i] = sinf((float)(i * 7 + position));
        for (uint32_t i = 0; i < 4; i++)
            gathered[i] = full[ids[i]];
        struct cz_draw draw = {.logits = full,
                               .mask = {.ids = ids, .count = 4},
                               .full = true,
                               .full_count = WIDTH,
                               .position = position};
        uint32_t first, second;
        ASSERT_OK(cz_sample(&sampler, &sampling, &draw, &first, NULL, &error));
        draw.logits = full_too;
        draw.mask = (struct cz_mask){.words = words, .count = 4};
        ASSERT_OK(cz_sample(&sampler, &sampling, &draw, &second, NULL, &error));
        assert_int_equal(first, second);
        draw.logits = gathered;
        draw.full = false;
        ASSERT_OK(cz_sample(&sampler, &sampling, &draw, &second, NULL, &error));
        assert_int_equal(first, second);
    }
}

static void log_probabilities_are_those_of_the_distribution(void **state)
{
    (void)state;
    static const uint32_t ids[] = {1, 2};
    struct cz_logprobs logprobs;
    uint32_t id;
    float logits[4];
    memcpy(logits, four, sizeof logits);
    struct cz_sampling sampling = {.logprobs = 4, .repetition_penalty = 3};
    struct cz_draw draw = {
        .logits = logits, .mask = {.ids = ids, .count = 2}, .full = true, .full_count = 4};
    sampling.logprobs_are_raw = true;
    ASSERT_OK(cz_sample(&sampler, &sampling, &draw, &id, &logprobs, &error));
    assert_int_equal(id, 1);
    assert_true(fabs((double)logprobs.logprob - log(0.3)) < 1e-5);
    assert_int_equal(logprobs.count, 3);
    assert_int_equal(logprobs.top[0].id, 0);
    assert_true(fabs((double)logprobs.top[2].logprob - log(0.2)) < 1e-5);
    memcpy(logits, four, sizeof logits);
    sampling.logprobs_are_raw = false;
    ASSERT_OK(cz_sample(&sampler, &sampling, &draw, &id, &logprobs, &error));
    assert_true(fabs((double)logprobs.logprob - log(0.6)) < 1e-5);
    assert_int_equal(logprobs.count, 2);
    assert_int_equal(logprobs.top[1].id, 2);
}

static void random_numbers_are_a_function_of_their_place(void **state)
{
    (void)state;
    double sum = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        double value = cz_random_unit(42, 1, i);
        assert_true(value >= 0 && value < 1);
        assert_true(value == cz_random_unit(42, 1, i));
        sum += value;
    }
    assert_true(fabs(sum / 10000 - 0.5) < 0.01);
    assert_true(cz_random_unit(42, 0, 1) != cz_random_unit(42, 1, 0));
    assert_true(cz_random_unit(42, 0, 0) != cz_random_unit(43, 0, 0));
}

static void refuses_bad_settings_and_bad_logits(void **state)
{
    (void)state;
    static const float bad[] = {NAN, NAN};
    float logits[2];
    uint32_t id;
    memcpy(logits, bad, sizeof logits);
    struct cz_draw draw = {.logits = logits, .mask = {.count = 2}};
    ASSERT_FAILS(cz_sample(&sampler, &(struct cz_sampling){0}, &draw, &id, NULL, &error),
                 CLOZE_CORRUPT, "not a number");
    ASSERT_FAILS(cz_sampling_check(&(struct cz_sampling){.temperature = -1}, &error), CLOZE_INVALID,
                 "temperature");
    ASSERT_FAILS(cz_sampling_check(&(struct cz_sampling){.top_p = NAN}, &error), CLOZE_INVALID,
                 "top_p");
    ASSERT_FAILS(cz_sampling_check(&(struct cz_sampling){.logprobs = 22}, &error), CLOZE_INVALID,
                 "logprobs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_lowest_id_of_a_tie),
        cmocka_unit_test(draws_by_probability),
        cmocka_unit_test(filters_keep_what_they_should),
        cmocka_unit_test(penalties_and_bias_reach_the_right_ids),
        cmocka_unit_test(full_logits_give_the_token_of_gathered_ones),
        cmocka_unit_test(log_probabilities_are_those_of_the_distribution),
        cmocka_unit_test(random_numbers_are_a_function_of_their_place),
        cmocka_unit_test(refuses_bad_settings_and_bad_logits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
