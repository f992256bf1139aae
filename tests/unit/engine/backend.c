/*
 * backend.c - the CPU backend against recorded float32 logits of transformers, for a tiny random
 * model of every architecture and RoPE type (tests/tools/make_reference_models.py), and the promise
 * that a row's result depends on its sequence alone.
 */
#include "test.h"

#include "base/file.h"
#include "engine/backend.h"
#include "engine/identity.h"

#include <math.h>
#include <unistd.h>

enum { MAX_TOKENS = 128, BLOCKS = 16 };

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
    struct cz_backend_options options = {.threads = threads, .max_rows = MAX_TOKENS,
                                         .max_logits = MAX_TOKENS, .kv_blocks = BLOCKS,
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
            logits[i] = (struct cz_step_logits){
                .row = i, .count = reference->vocab,
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
        check_model(name, 0.015);                                                                   \
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
    };
    return cmocka_run_group_tests(tests, make_cache, remove_cache);
}
