/*
 * same_bits.c - a row's logits are the same bits alone and in a step of up to 96 rows, with every kernel
 * table that this CPU has, and as bf16, 8-bit and 4-bit weights (with 6 bits in the head).
 *
 * The model is random, of shapes that cross the borders of the products: more columns than one strip
 * has, rows that end within a group of panels, and three query heads to a KV head.
 */
#include "test.h"

#include "base/file.h"
#include "engine/backend.h"
#include "kernels/kernels.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    ROWS = 96,  /* in the largest step */
    START = 37, /* their first one's position: within a KV block */
    POSITIONS = START + ROWS,
    BLOCKS = (POSITIONS + CZ_KV_BLOCK - 1) / CZ_KV_BLOCK,
    VOCAB = 150,
    HIDDEN = 96,
    HEADS = 6,
    KV_HEADS = 2,
    HEAD_DIM = 16,
    INTERMEDIATE = 608,
    LAYERS = 2,
};

static struct cloze_error error;
static char folder[64]; /* the model and its cache */

/* ---- The model ---- */

/* A safetensors file while it is written: its header and its data. */
struct tensors {
    struct cz_buffer header, data;
    uint32_t random;
};

static float next_random(struct tensors *tensors)
{
    tensors->random = tensors->random * 1664525u + 1013904223u;
    return ((float)(tensors->random >> 8) * 0x1p-23f - 1.0f) * 0.3f;
}

/* A bf16 matrix, or a vector when it has no rows. */
static void add(struct tensors *tensors, uint32_t rows, uint32_t columns, const char *name, ...)
{
    char full[128], shape[32];
    va_list arguments;
    va_start(arguments, name);
    vsnprintf(full, sizeof full, name, arguments);
    va_end(arguments);
    int used = rows ? snprintf(shape, sizeof shape, "%u,", rows) : 0;
    snprintf(shape + used, sizeof shape - (size_t)used, "%u", columns);
    size_t begin = tensors->data.size, count = (size_t)(rows ? rows : 1) * columns;
    for (size_t i = 0; i < count; i++) {
        float value = next_random(tensors) + (rows ? 0.0f : 1.0f);
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        uint16_t half = (uint16_t)(bits >> 16);
        cz_buffer_append(&tensors->data, (const char *)&half, sizeof half);
    }
    cz_buffer_printf(&tensors->header,
                     "%c\"%s\":{\"dtype\":\"BF16\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                     tensors->header.size ? ',' : '{', full, shape, begin, tensors->data.size);
}

static void add_layer(struct tensors *tensors, int layer)
{
    add(tensors, 0, HIDDEN, "model.layers.%d.input_layernorm.weight", layer);
    add(tensors, 0, HIDDEN, "model.layers.%d.post_attention_layernorm.weight", layer);
    add(tensors, HEADS * HEAD_DIM, HIDDEN, "model.layers.%d.self_attn.q_proj.weight", layer);
    add(tensors, KV_HEADS * HEAD_DIM, HIDDEN, "model.layers.%d.self_attn.k_proj.weight", layer);
    add(tensors, KV_HEADS * HEAD_DIM, HIDDEN, "model.layers.%d.self_attn.v_proj.weight", layer);
    add(tensors, HIDDEN, HEADS * HEAD_DIM, "model.layers.%d.self_attn.o_proj.weight", layer);
    add(tensors, INTERMEDIATE, HIDDEN, "model.layers.%d.mlp.gate_proj.weight", layer);
    add(tensors, INTERMEDIATE, HIDDEN, "model.layers.%d.mlp.up_proj.weight", layer);
    add(tensors, HIDDEN, INTERMEDIATE, "model.layers.%d.mlp.down_proj.weight", layer);
}

static void write_file(const char *name, struct cz_slice content)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    ASSERT_OK(cz_file_write_atomic(path, content, &error));
}

static void write_config(void)
{
    struct cz_buffer config = {0};
    cz_buffer_printf(&config,
                     "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\","
                     "\"vocab_size\":%d,\"hidden_size\":%d,\"intermediate_size\":%d,"
                     "\"num_hidden_layers\":%d,\"num_attention_heads\":%d,"
                     "\"num_key_value_heads\":%d,\"head_dim\":%d,\"hidden_act\":\"silu\","
                     "\"max_position_embeddings\":1024,\"rms_norm_eps\":1e-6,"
                     "\"rope_theta\":10000.0,\"tie_word_embeddings\":true}",
                     VOCAB, HIDDEN, INTERMEDIATE, LAYERS, HEADS, KV_HEADS, HEAD_DIM);
    write_file("config.json", cz_buffer_slice(&config));
    cz_buffer_free(&config);
}

static void write_tensors(void)
{
    struct tensors tensors = {.random = 5};
    struct cz_buffer file = {0};
    add(&tensors, VOCAB, HIDDEN, "model.embed_tokens.weight");
    add(&tensors, 0, HIDDEN, "model.norm.weight");
    for (int layer = 0; layer < LAYERS; layer++)
        add_layer(&tensors, layer);
    cz_buffer_append_byte(&tensors.header, '}');
    uint64_t size = tensors.header.size;
    cz_buffer_append(&file, (const char *)&size, sizeof size);
    cz_buffer_append_slice(&file, cz_buffer_slice(&tensors.header));
    cz_buffer_append_slice(&file, cz_buffer_slice(&tensors.data));
    assert_false(file.failed);
    write_file("model.safetensors", cz_buffer_slice(&file));
    cz_buffer_free(&file);
    cz_buffer_free(&tensors.header);
    cz_buffer_free(&tensors.data);
}

/* ---- Steps ---- */

typedef float all_logits[POSITIONS][VOCAB];

/* Runs positions first..first+count-1 as one step. */
static void run_step(struct cz_backend *backend, uint32_t first, uint32_t count, all_logits out)
{
    static const uint32_t blocks[] = {3, 0, 4, 1, 2};
    static struct cz_step_row rows[ROWS];
    static struct cz_step_logits logits[ROWS];
    struct cz_step_sequence sequence = {blocks, BLOCKS};
    for (uint32_t i = 0; i < count; i++) {
        rows[i] = (struct cz_step_row){(first + i) * 31 % VOCAB, first + i, 0};
        logits[i] = (struct cz_step_logits){.row = i, .count = VOCAB, .out = out[first + i]};
    }
    struct cz_step step = {&sequence, 1, rows, count, logits, count};
    ASSERT_OK(backend->functions->step(backend, &step, &error));
}

static struct cz_backend *open_backend(const char *kernels, enum cz_quantize quantize)
{
    struct cz_backend_options options = {.threads = 2,
                                         .max_rows = ROWS,
                                         .max_logits = ROWS,
                                         .kv_blocks = BLOCKS,
                                         .quantize = quantize};
    struct cz_backend *backend;
    assert_int_equal(setenv("CLOZE_KERNELS", kernels, 1), 0);
    ASSERT_OK(cz_cpu_backend_open(folder, folder, &options, &backend, &error));
    return backend;
}

/* All sizes; of the slow portable table those around its tiles' borders. */
static uint32_t next_size(uint32_t size, bool portable)
{
    if (!portable || size < 5)
        return size + 1;
    return size < 48 ? size * 2 - size % 2 : size + 43;
}

static void check_table(const struct cz_kernels *kernels, enum cz_quantize quantize)
{
    static all_logits specified, alone, together;
    struct cz_backend *backend = open_backend(kernels->name, quantize);
    bool portable = kernels == cz_kernels_at(0);
    for (uint32_t i = 0; i < POSITIONS; i++)
        run_step(backend, i, 1, alone);
    if (portable)
        memcpy(specified, alone, sizeof specified);
    if (memcmp(alone, specified, sizeof specified))
        fail_msg("%s, %s: differs from portable", kernels->name, cz_quantize_name(quantize));
    for (uint32_t size = 2; size <= ROWS; size = next_size(size, portable)) {
        memset(together, 0, sizeof together);
        run_step(backend, START, size, together);
        for (uint32_t i = START; i < START + size; i++)
            if (memcmp(alone[i], together[i], sizeof alone[i]))
                fail_msg("%s, %s: row %u of a step of %u differs from the row alone",
                         kernels->name, cz_quantize_name(quantize), i - START, size);
    }
    backend->functions->close(backend);
}

static void check_form(enum cz_quantize quantize)
{
    const struct cz_kernels *kernels;
    for (uint32_t t = 0; (kernels = cz_kernels_at(t)); t++)
        check_table(kernels, quantize);
}

static void rows_give_the_same_bits_with_bf16_weights(void **state)
{
    (void)state;
    check_form(CZ_QUANTIZE_KEEP);
}

static void rows_give_the_same_bits_with_8_bit_weights(void **state)
{
    (void)state;
    check_form(CZ_QUANTIZE_Q8);
}

static void rows_give_the_same_bits_with_4_and_6_bit_weights(void **state)
{
    (void)state;
    check_form(CZ_QUANTIZE_Q4);
}

static int make_model(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/cloze-bits-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    write_config();
    write_tensors();
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    return cz_file_remove_tree(folder, NULL) == CLOZE_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_give_the_same_bits_with_bf16_weights),
        cmocka_unit_test(rows_give_the_same_bits_with_8_bit_weights),
        cmocka_unit_test(rows_give_the_same_bits_with_4_and_6_bit_weights),
    };
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
