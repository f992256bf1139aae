/*
 * backend.c - the CPU backend against recorded float32 logits of transformers, for a tiny random
 * model of every architecture and RoPE type (tests/tools/make_reference_models.py), and the promise
 * that a row's result depends on its sequence alone.
 */
#include "test.h"

#include "base/file.h"
#include "engine/backend.h"
#include "engine/identity.h"

#include <malloc.h>
#include <math.h>
#include <unistd.h>

enum { MAX_TOKENS = 128, BLOCKS = 20 };

static struct cloze_error error;
static char cache[64];

struct reference {
    struct cz_buffer content;
    uint32_t tokens, vocab;
    const uint32_t *token;
    const float *logits; /* [tokens][vocab] */
};

static void read_reference(const char *name, struct reference *reference)
{
    char path[256];
    snprintf(path, sizeof path, "models/%s/reference.bin", name);
    *reference = (struct reference){0};
    ASSERT_OK(cz_file_read(test_file(path), &reference->content, &error));
    const uint32_t *words = (const uint32_t *)(const void *)reference->content.data;
    reference->tokens = words[0];
    reference->vocab = words[1];
    reference->token = words + 2;
    reference->logits = (const float *)(words + 2 + words[0]);
    assert_int_equal(reference->content.size,
                     4 * (2 + (size_t)words[0] + (size_t)words[0] * words[1]));
}

static struct cz_backend *open_backend(const char *name, uint32_t threads, enum cz_kv_type kv_type)
{
    char path[256];
    struct cz_backend_options options = {.threads = threads,
                                         .max_rows = MAX_TOKENS,
                                         .max_logits = MAX_TOKENS,
                                         .kv_blocks = BLOCKS,
                                         .kv_type = kv_type};
    struct cz_backend *backend;
    snprintf(path, sizeof path, "models/%s", name);
    if (strcmp(name, "llama-gguf") == 0)
        strcat(path, "/llama.gguf");
    ASSERT_OK(cz_cpu_backend_open(test_file(path), cache, &options, &backend, &error));
    return backend;
}

/* One sequence in the blocks from first_block on, run in steps of `rows`; logits of all rows. */
static void run_sequence(struct cz_backend *backend, const struct reference *reference,
                         uint32_t first_block, uint32_t rows, float *out)
{
    uint32_t blocks[4] = {first_block + 2, first_block, first_block + 3, first_block + 1};
    struct cz_step_sequence sequence = {blocks, 4};
    struct cz_step_row row[MAX_TOKENS];
    struct cz_step_logits logits[MAX_TOKENS];
    for (uint32_t first = 0; first < reference->tokens; first += rows) {
        uint32_t count = reference->tokens - first < rows ? reference->tokens - first : rows;
        for (uint32_t i = 0; i < count; i++) {
            row[i] = (struct cz_step_row){reference->token[first + i], first + i, 0};
            logits[i] =
                (struct cz_step_logits){.row = i,
                                        .count = reference->vocab,
                                        .out = out + (size_t)(first + i) * reference->vocab};
        }
        struct cz_step step = {&sequence, 1, row, count, logits, count};
        ASSERT_OK(backend->functions->step(backend, &step, &error));
    }
}

/* Root mean square of the difference over that of the reference. */
static double distance(const struct reference *reference, const float *out)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < (size_t)reference->tokens * reference->vocab; i++) {
        difference += pow((double)out[i] - reference->logits[i], 2);
        size += pow(reference->logits[i], 2);
    }
    return sqrt(difference / size);
}

static void check_model(const char *name, double most)
{
    struct reference reference;
    read_reference(name, &reference);
    size_t count = (size_t)reference.tokens * reference.vocab;
    float *whole = test_calloc(count, sizeof *whole), *parts = test_calloc(count, sizeof *parts);
    struct cz_backend *backend = open_backend(name, 2, CZ_KV_F32);
    run_sequence(backend, &reference, 0, MAX_TOKENS, whole);
    double far = distance(&reference, whole);
    if (!(far <= most))
        fail_msg("%s: the logits are %.4f away from transformers', at most %.4f is expected", name,
                 far, most);
    run_sequence(backend, &reference, 8, 7, parts);
    assert_memory_equal(whole, parts, count * sizeof *whole);
    backend->functions->close(backend);
    backend = open_backend(name, 1, CZ_KV_F32);
    run_sequence(backend, &reference, 4, 1, parts);
    assert_memory_equal(whole, parts, count * sizeof *whole);
    backend->functions->close(backend);
    cz_buffer_free(&reference.content);
    test_free(whole);
    test_free(parts);
}

#define MODEL_TEST(function, name)                                                                 \
    static void function(void **state)                                                             \
    {                                                                                              \
        (void)state;                                                                               \
        check_model(name, 0.015);                                                                  \
    }

MODEL_TEST(llama, "llama")
MODEL_TEST(llama_from_gguf_with_permuted_rows, "llama-gguf")
MODEL_TEST(llama_with_biases_and_tied_head, "llama-bias")
MODEL_TEST(linear_rope, "llama-linear")
MODEL_TEST(dynamic_rope, "llama-dynamic")
MODEL_TEST(llama3_rope, "llama-llama3")
MODEL_TEST(yarn_rope, "llama-yarn")
MODEL_TEST(mistral_past_its_window, "mistral-window")
MODEL_TEST(mistral_nemo_with_wide_heads, "mistral-nemo")
MODEL_TEST(smollm3_with_a_layer_without_rope, "smollm3")
MODEL_TEST(qwen2, "qwen2")
MODEL_TEST(qwen2_with_windows_in_upper_layers, "qwen2-window")
MODEL_TEST(qwen3, "qwen3")
MODEL_TEST(gemma3, "gemma3")
MODEL_TEST(phi3, "phi3")
MODEL_TEST(phi3_with_longrope, "phi3-longrope")

/* ---- What stands beside a row changes nothing ---- */

/* Two copies of the sequence, one 20 positions ahead of the other, in steps that mix rows of both.
 */
static void a_mixed_batch_gives_the_same_bits(void **state)
{
    (void)state;
    struct reference reference;
    read_reference("mistral-window", &reference);
    size_t vocab = reference.vocab, count = reference.tokens * vocab;
    float *alone = test_calloc(count, sizeof *alone), *mixed = test_calloc(count, sizeof *mixed);
    struct cz_backend *backend = open_backend("mistral-window", 2, CZ_KV_F16);
    run_sequence(backend, &reference, 0, MAX_TOKENS, alone);
    const uint32_t blocks[2][3] = {{9, 4, 7}, {5, 8, 6}};
    const struct cz_step_sequence sequences[2] = {{blocks[0], 3}, {blocks[1], 3}};
    uint32_t done[2] = {0, 0}, length = reference.tokens;
    while (done[1] < length) {
        struct cz_step_row rows[40];
        struct cz_step_logits logits[40];
        uint32_t row_count = 0, logits_count = 0;
        for (uint32_t s = 0; s < 2; s++) {
            uint32_t chunk = s == 0 ? (done[0] ? 1 : 20) : (done[0] > 20 ? 9 : 0);
            for (uint32_t i = 0; i < chunk && done[s] < length; i++, done[s]++) {
                if (s == 1)
                    logits[logits_count++] = (struct cz_step_logits){
                        .row = row_count, .count = (uint32_t)vocab, .out = mixed + done[1] * vocab};
                rows[row_count++] = (struct cz_step_row){reference.token[done[s]], done[s], s};
            }
        }
        struct cz_step step = {sequences, 2, rows, row_count, logits, logits_count};
        ASSERT_OK(backend->functions->step(backend, &step, &error));
    }
    assert_memory_equal(alone, mixed, count * sizeof *alone);
    backend->functions->close(backend);
    cz_buffer_free(&reference.content);
    test_free(alone);
    test_free(mixed);
}

/* Sparse ids, sparse words, dense words and all logits, several of one row, give the same numbers.
 */
static void logits_of_allowed_ids_are_those_of_the_whole_head(void **state)
{
    (void)state;
    struct reference reference;
    read_reference("qwen2", &reference);
    struct cz_backend *backend = open_backend("qwen2", 2, CZ_KV_F16);
    static const uint32_t ids[] = {3, 5, 47, 49};
    static const uint32_t few[] = {0x10008, 0}, many[] = {0xffffffff, 0x3ffdf};
    uint32_t blocks[] = {0, 1, 2}, many_ids[49];
    float all[64], by_id[4], by_few[2], by_many[49], by_many_ids[49], again[64];
    uint32_t many_count = 0;
    for (uint32_t id = 0; id < 50; id++)
        if (many[id / 32] >> id % 32 & 1)
            many_ids[many_count++] = id;
    assert_int_equal(many_count, 49);
    struct cz_step_sequence sequence = {blocks, 3};
    struct cz_step_row rows[2] = {{reference.token[0], 0, 0}, {reference.token[1], 1, 0}};
    struct cz_step_logits logits[] = {
        {.row = 1, .ids = ids, .count = 4, .out = by_id},
        {.row = 1, .count = 50, .out = all},
        {.row = 1, .words = few, .count = 2, .out = by_few},
        {.row = 1, .words = many, .count = 49, .out = by_many},
        {.row = 0, .count = 50, .out = again},
        {.row = 1, .ids = many_ids, .count = 49, .out = by_many_ids},
    };
    struct cz_step step = {&sequence, 1, rows, 2, logits, 6};
    ASSERT_OK(backend->functions->step(backend, &step, &error));
    for (int i = 0; i < 4; i++)
        assert_true(by_id[i] == all[ids[i]]);
    assert_true(by_few[0] == all[3] && by_few[1] == all[16]);
    for (int i = 0; i < 49; i++)
        assert_true(by_many[i] == all[many_ids[i]] && by_many_ids[i] == all[many_ids[i]]);
    assert_true(memcmp(all, again, 50 * sizeof *all) != 0);
    backend->functions->close(backend);
    cz_buffer_free(&reference.content);
}

static void smaller_kv_forms_stay_near(void **state)
{
    (void)state;
    struct reference reference;
    read_reference("llama", &reference);
    float *out = test_calloc((size_t)reference.tokens * reference.vocab, sizeof *out);
    const double most[] = {[CZ_KV_F16] = 0.01, [CZ_KV_BF16] = 0.02, [CZ_KV_INT8] = 0.04};
    for (int type = CZ_KV_F16; type <= CZ_KV_INT8; type++) {
        struct cz_backend *backend = open_backend("llama", 1, (enum cz_kv_type)type);
        run_sequence(backend, &reference, 0, MAX_TOKENS, out);
        double far = distance(&reference, out);
        if (!(far <= most[type]))
            fail_msg("KV type %d: %.4f away, at most %.4f is expected", type, far, most[type]);
        backend->functions->close(backend);
    }
    cz_buffer_free(&reference.content);
    test_free(out);
}

static void quantised_weights_stay_near(void **state)
{
    (void)state;
    const struct {
        enum cz_quantize quantize;
        double most;
    } forms[] = {{CZ_QUANTIZE_BF16, 0.015}, {CZ_QUANTIZE_Q8, 0.06}, {CZ_QUANTIZE_Q4, 0.45}};
    struct reference reference;
    read_reference("llama", &reference);
    float *out = test_calloc((size_t)reference.tokens * reference.vocab, sizeof *out);
    size_t before = SIZE_MAX;
    for (unsigned i = 0; i < 3; i++) {
        struct cz_backend_options options = {.max_rows = MAX_TOKENS,
                                             .max_logits = MAX_TOKENS,
                                             .kv_blocks = BLOCKS,
                                             .quantize = forms[i].quantize};
        struct cz_backend *backend;
        struct cz_backend_info info;
        ASSERT_OK(
            cz_cpu_backend_open(test_file("models/llama"), cache, &options, &backend, &error));
        backend->functions->info(backend, &info);
        assert_true(info.weight_bytes < before);
        before = info.weight_bytes;
        run_sequence(backend, &reference, 0, MAX_TOKENS, out);
        double far = distance(&reference, out);
        if (!(far <= forms[i].most))
            fail_msg("%s: %.4f away, at most %.4f is expected", cz_quantize_name(forms[i].quantize),
                     far, forms[i].most);
        backend->functions->close(backend);
    }
    cz_buffer_free(&reference.content);
    test_free(out);
}

static void memory_is_a_stated_budget(void **state)
{
    (void)state;
    const char *model = test_file("models/llama");
    struct cz_backend_options options = {.max_rows = 8, .max_logits = 8, .kv_blocks = 2};
    struct cz_backend *backend;
    struct cz_backend_info info;
    ASSERT_OK(cz_cpu_backend_open(model, cache, &options, &backend, &error));
    backend->functions->info(backend, &info);
    size_t block = info.kv_block_bytes, weights = info.weight_bytes;
    backend->functions->close(backend);
    options.kv_bytes = 5 * block + 1;
    ASSERT_OK(cz_cpu_backend_open(model, cache, &options, &backend, &error));
    backend->functions->info(backend, &info);
    assert_int_equal(info.kv_blocks, 5);
    backend->functions->close(backend);
    options.memory_bytes = weights + 5 * block;
    ASSERT_OK(cz_cpu_backend_open(model, cache, &options, &backend, &error));
    backend->functions->close(backend);
    options.memory_bytes--;
    ASSERT_FAILS(cz_cpu_backend_open(model, cache, &options, &backend, &error), CLOZE_LIMIT,
                 "this process may use");
    options.kv_bytes = block - 1;
    ASSERT_FAILS(cz_cpu_backend_open(model, cache, &options, &backend, &error), CLOZE_LIMIT,
                 "KV cache");
    options.kv_bytes = UINT64_MAX;
    options.memory_bytes = 0;
    ASSERT_FAILS(cz_cpu_backend_open(model, cache, &options, &backend, &error), CLOZE_LIMIT,
                 "this process may use");
}

static void a_copied_block_continues_the_sequence(void **state)
{
    (void)state;
    struct reference reference;
    read_reference("llama", &reference);
    struct cz_backend *backend = open_backend("llama", 1, CZ_KV_F16);
    float *whole = test_calloc((size_t)reference.tokens * reference.vocab, sizeof *whole);
    run_sequence(backend, &reference, 0, MAX_TOKENS, whole);
    /* positions 0..31 lie in block 2 and 32..63 in block 0 */
    backend->functions->copy_block(backend, 2, 10);
    backend->functions->copy_block(backend, 0, 11);
    const uint32_t blocks[] = {10, 11};
    float out[64];
    struct cz_step_sequence sequence = {blocks, 2};
    struct cz_step_row row = {reference.token[63], 63, 0};
    struct cz_step_logits logits = {.count = reference.vocab, .out = out};
    struct cz_step step = {&sequence, 1, &row, 1, &logits, 1};
    ASSERT_OK(backend->functions->step(backend, &step, &error));
    assert_memory_equal(out, whole + (size_t)63 * reference.vocab, reference.vocab * sizeof *out);
    backend->functions->close(backend);
    cz_buffer_free(&reference.content);
    test_free(whole);
}

static void a_step_allocates_nothing(void **state)
{
    (void)state;
    struct reference reference;
    read_reference("llama", &reference);
    struct cz_backend *backend = open_backend("llama", 2, CZ_KV_F16);
    float *out = test_calloc((size_t)reference.tokens * reference.vocab, sizeof *out);
    run_sequence(backend, &reference, 0, 40, out);
    struct mallinfo2 before = mallinfo2();
    run_sequence(backend, &reference, 0, 40, out);
    struct mallinfo2 after = mallinfo2();
    assert_int_equal(before.uordblks, after.uordblks);
    assert_int_equal(before.hblkhd, after.hblkhd);
    backend->functions->close(backend);
    cz_buffer_free(&reference.content);
    test_free(out);
}

/* Far into a sequence, a row is shared by chunks of positions when that keeps all workers busy. */
static void long_sequences_give_the_same_bits_on_any_number_of_threads(void **state)
{
    (void)state;
    enum { LENGTH = 640, VOCAB = 50 };
    static float out[2][LENGTH / 8][VOCAB];
    uint32_t blocks[LENGTH / CZ_KV_BLOCK];
    for (uint32_t i = 0; i < LENGTH / CZ_KV_BLOCK; i++)
        blocks[i] = (i * 7) % (LENGTH / CZ_KV_BLOCK);
    for (int run = 0; run < 2; run++) {
        struct cz_backend *backend = open_backend("llama", run ? 3 : 1, CZ_KV_F16);
        struct cz_step_sequence sequence = {blocks, LENGTH / CZ_KV_BLOCK};
        for (uint32_t first = 0; first < LENGTH; first += 8) {
            struct cz_step_row rows[8];
            for (uint32_t i = 0; i < 8; i++)
                rows[i] = (struct cz_step_row){3 + (first + i) * 31 % 47, first + i, 0};
            struct cz_step_logits logits = {.row = 0, .count = VOCAB, .out = out[run][first / 8]};
            struct cz_step several = {&sequence, 1, rows, 7, NULL, 0};
            ASSERT_OK(backend->functions->step(backend, &several, &error));
            struct cz_step one = {&sequence, 1, rows + 7, 1, &logits, 1};
            ASSERT_OK(backend->functions->step(backend, &one, &error));
        }
        backend->functions->close(backend);
    }
    assert_memory_equal(out[0], out[1], sizeof out[0]);
}

static void impossible_steps_are_refused(void **state)
{
    (void)state;
    struct cz_backend *backend = open_backend("llama", 1, CZ_KV_F16);
    const uint32_t blocks[] = {0, 1, 2, 3, 4}, outside[] = {BLOCKS};
    struct cz_step_sequence sequence = {blocks, 5};
    struct cz_step_row row = {50, 0, 0};
    struct cz_step_logits logits = {.row = 1};
    struct cz_step step = {&sequence, 1, &row, 1, NULL, 0};
    ASSERT_FAILS(backend->functions->step(backend, &step, &error), CLOZE_INVALID, "token 50");
    row = (struct cz_step_row){0, 1024, 0};
    ASSERT_FAILS(backend->functions->step(backend, &step, &error), CLOZE_LIMIT, "context of 1024");
    row = (struct cz_step_row){0, 0, 1};
    ASSERT_FAILS(backend->functions->step(backend, &step, &error), CLOZE_INVALID, "sequence 1");
    row = (struct cz_step_row){0, 64, 0};
    sequence.block_count = 2;
    ASSERT_FAILS(backend->functions->step(backend, &step, &error), CLOZE_INVALID, "no KV block");
    row = (struct cz_step_row){0, 0, 0};
    sequence = (struct cz_step_sequence){outside, 1};
    ASSERT_FAILS(backend->functions->step(backend, &step, &error), CLOZE_INVALID, "KV block 20");
    sequence = (struct cz_step_sequence){blocks, 1};
    step.logits = &logits;
    step.logits_count = 1;
    ASSERT_FAILS(backend->functions->step(backend, &step, &error), CLOZE_INVALID, "row 1");
    step.row_count = MAX_TOKENS + 1;
    ASSERT_FAILS(backend->functions->step(backend, &step, &error), CLOZE_LIMIT, "at most 128");
    backend->functions->close(backend);
}

static int make_cache(void **state)
{
    (void)state;
    strcpy(cache, "/tmp/cloze-backend-XXXXXX");
    return mkdtemp(cache) ? 0 : -1;
}

static int remove_cache(void **state)
{
    (void)state;
    return cz_file_remove_tree(cache, NULL) == CLOZE_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama),
        cmocka_unit_test(llama_from_gguf_with_permuted_rows),
        cmocka_unit_test(llama_with_biases_and_tied_head),
        cmocka_unit_test(linear_rope),
        cmocka_unit_test(dynamic_rope),
        cmocka_unit_test(llama3_rope),
        cmocka_unit_test(yarn_rope),
        cmocka_unit_test(mistral_past_its_window),
        cmocka_unit_test(mistral_nemo_with_wide_heads),
        cmocka_unit_test(smollm3_with_a_layer_without_rope),
        cmocka_unit_test(qwen2),
        cmocka_unit_test(qwen2_with_windows_in_upper_layers),
        cmocka_unit_test(qwen3),
        cmocka_unit_test(gemma3),
        cmocka_unit_test(phi3),
        cmocka_unit_test(phi3_with_longrope),
        cmocka_unit_test(a_mixed_batch_gives_the_same_bits),
        cmocka_unit_test(logits_of_allowed_ids_are_those_of_the_whole_head),
        cmocka_unit_test(smaller_kv_forms_stay_near),
        cmocka_unit_test(quantised_weights_stay_near),
        cmocka_unit_test(memory_is_a_stated_budget),
        cmocka_unit_test(a_copied_block_continues_the_sequence),
        cmocka_unit_test(a_step_allocates_nothing),
        cmocka_unit_test(long_sequences_give_the_same_bits_on_any_number_of_threads),
        cmocka_unit_test(impossible_steps_are_refused),
    };
    return cmocka_run_group_tests(tests, make_cache, remove_cache);
}
