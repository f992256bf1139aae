/* hf_folder.c - Hugging Face folders: safetensors, their index, config.json. */
#include "test.h"

#include "base/file.h"
#include "model/model.h"
#include "model/safetensors.h"

#include <math.h>
#include <unistd.h>

static struct cloze_error error;
static struct cz_arena arena;
static char folder[64];

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/cloze-hf-XXXXXX");
    return mkdtemp(folder) ? 0 : 1;
}

static int teardown(void **state)
{
    (void)state;
    cz_arena_free(&arena);
    return cz_file_remove_tree(folder, &error);
}

static void save(const char *name, struct cz_slice content)
{
    struct cz_buffer path = {0};
    cz_path_join(&path, folder, name);
    ASSERT_OK(cz_file_write_atomic(path.data, content, &error));
    cz_buffer_free(&path);
}

/* ---- safetensors ---- */

/* The file with this header and `data` zero bytes behind it. */
static struct cz_buffer tensors_file(const char *header, size_t data)
{
    struct cz_buffer file = {0};
    uint64_t size = strlen(header);
    cz_buffer_append(&file, &size, 8);
    cz_buffer_append_text(&file, header);
    for (size_t i = 0; i < data; i++)
        cz_buffer_append_byte(&file, 0);
    return file;
}

static cloze_status parse(const char *header, size_t data, struct cz_safetensors *out)
{
    struct cz_buffer file = tensors_file(header, data);
    cloze_status status =
        cz_safetensors_parse(cz_buffer_slice(&file), "x.safetensors", &arena, out, &error);
    cz_buffer_free(&file);
    return status;
}

static void reads_tensors_in_any_order(void **state)
{
    (void)state;
    struct cz_safetensors file;
    ASSERT_OK(parse("{\"__metadata__\":{\"format\":\"pt\"},"
                    "\"b\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[4,16]},"
                    "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
                    "\"c\":{\"dtype\":\"F16\",\"shape\":[0,5],\"data_offsets\":[16,16]}}   ",
                    16, &file));
    assert_int_equal(file.count, 3);
    assert_string_equal(file.tensors[0].name, "a");
    assert_int_equal(file.tensors[1].dtype, CZ_BF16);
    assert_int_equal(file.tensors[1].shape[0], 2);
    assert_int_equal(file.tensors[1].shape[1], 3);
}

static void refuses_headers_that_contradict_the_data(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        cloze_status status;
        const char *part;
    } cases[] = {
        {"[]", 0, CLOZE_CORRUPT, "{"},
        {"{\"a\":1}", 0, CLOZE_CORRUPT, "object"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         8, CLOZE_INVALID, "twice"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, CLOZE_CORRUPT,
         "contradict"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, CLOZE_CORRUPT,
         "begin"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, CLOZE_CORRUPT,
         "belong to none"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 2, CLOZE_CORRUPT,
         "truncated"},
        {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
         CLOZE_UNSUPPORTED, "F8_E4M3"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[9223372036854775807,9223372036854775807],"
         "\"data_offsets\":[0,4]}}",
         4, CLOZE_CORRUPT, "overflows"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, CLOZE_CORRUPT,
         "dimension"},
        {"{\"__metadata__\":{\"a\":1}}", 0, CLOZE_CORRUPT, "__metadata__"},
    };
    struct cz_safetensors file;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ASSERT_FAILS(parse(cases[i].header, cases[i].data, &file), cases[i].status, cases[i].part);
    ASSERT_FAILS(cz_safetensors_parse(CZ_SLICE("\x09\0\0\0\0\0\0\0{}"), "x", &arena, &file, &error),
                 CLOZE_CORRUPT, "truncated");
    ASSERT_FAILS(cz_safetensors_parse(CZ_SLICE("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFFzz"), "x", &arena,
                                      &file, &error),
                 CLOZE_INVALID, "not a safetensors");
}

/* ---- Folders ---- */

#define BASE                                                                                       \
    "\"vocab_size\":16,\"hidden_size\":8,\"intermediate_size\":12,\"num_hidden_layers\":2,"        \
    "\"num_attention_heads\":2,\"num_key_value_heads\":1,\"max_position_embeddings\":256,"         \
    "\"eos_token_id\":[2,3]"

struct shape {
    const char *name;
    unsigned rows, columns; /* columns 0: a vector */
};

static const struct shape llama_top[] = {{"model.embed_tokens.weight", 16, 8},
                                         {"model.norm.weight", 8, 0},
                                         {"lm_head.weight", 16, 8},
                                         {0}};
static const struct shape llama_layer[] = {
    {"input_layernorm.weight", 8, 0},  {"self_attn.q_proj.weight", 8, 8},
    {"self_attn.k_proj.weight", 4, 8}, {"self_attn.v_proj.weight", 4, 8},
    {"self_attn.o_proj.weight", 8, 8}, {"post_attention_layernorm.weight", 8, 0},
    {"mlp.gate_proj.weight", 12, 8},   {"mlp.up_proj.weight", 12, 8},
    {"mlp.down_proj.weight", 8, 12},   {0}};
static const struct shape phi_layer[] = {{"input_layernorm.weight", 8, 0},
                                         {"self_attn.qkv_proj.weight", 16, 8},
                                         {"self_attn.o_proj.weight", 8, 8},
                                         {"post_attention_layernorm.weight", 8, 0},
                                         {"mlp.gate_up_proj.weight", 24, 8},
                                         {"mlp.down_proj.weight", 8, 12},
                                         {0}};

/* Builds a header entry by entry; offsets run on. */
struct builder {
    struct cz_buffer header;
    size_t end;
};

static void add(struct builder *builder, const char *prefix, const struct shape *shape)
{
    size_t size = 4u * shape->rows * (shape->columns ? shape->columns : 1);
    cz_buffer_printf(&builder->header, "%s\"%s%s\":{\"dtype\":\"F32\",\"shape\":[%u",
                     builder->end ? "," : "{", prefix, shape->name, shape->rows);
    if (shape->columns)
        cz_buffer_printf(&builder->header, ",%u", shape->columns);
    cz_buffer_printf(&builder->header, "],\"data_offsets\":[%zu,%zu]}", builder->end,
                     builder->end + size);
    builder->end += size;
}

static void add_all(struct builder *builder, const char *prefix, const struct shape *shapes)
{
    for (; shapes->name; shapes++)
        add(builder, prefix, shapes);
}

/* The data is i / 4 as floats, so that row ranges can be told apart. */
static void save_tensors(struct builder *builder, const char *name)
{
    cz_buffer_append_byte(&builder->header, '}');
    struct cz_buffer file = tensors_file(cz_buffer_text(&builder->header), 0);
    for (size_t i = 0; i < builder->end / 4; i++) {
        float value = (float)i;
        cz_buffer_append(&file, &value, sizeof value);
    }
    save(name, cz_buffer_slice(&file));
    cz_buffer_free(&file);
    cz_buffer_free(&builder->header);
    *builder = (struct builder){0};
}

static void save_model(const struct shape *layer)
{
    struct builder builder = {0};
    add_all(&builder, "", llama_top);
    add_all(&builder, "model.layers.0.", layer);
    add_all(&builder, "model.layers.1.", layer);
    save_tensors(&builder, "model.safetensors");
}

static cloze_status open_with(const char *config, struct cz_model **model)
{
    save("config.json", cz_slice(config));
    return cz_model_open(folder, model, &error);
}

static void opens_llama(void **state)
{
    (void)state;
    struct cz_model *model;
    save_model(llama_layer);
    save("generation_config.json",
         CZ_SLICE("{\"eos_token_id\":[3,5],\"temperature\":0.6,\"do_sample\":true}"));
    ASSERT_OK(open_with("{\"model_type\":\"llama\"," BASE "}", &model));
    assert_string_equal(model->format, "safetensors");
    assert_false(model->hyper.qk_interleaved);
    assert_int_equal(model->stop_count, 3);
    assert_int_equal(model->stop_ids[2], 5);
    assert_true(model->defaults.temperature == 0.6 && model->defaults.do_sample);
    assert_true(isnan(model->defaults.top_p));
    assert_int_equal(cz_model_tensor(model, CZ_ROLE_K, 1)->shape[0], 4);
    cz_model_close(model);
}

static void hands_out_fused_matrices_as_row_ranges(void **state)
{
    (void)state;
    struct cz_model *model;
    save_model(phi_layer);
    ASSERT_OK(open_with("{\"model_type\":\"phi3\"," BASE "}", &model));
    const struct cz_tensor *q = cz_model_tensor(model, CZ_ROLE_Q, 1);
    const struct cz_tensor *k = cz_model_tensor(model, CZ_ROLE_K, 1);
    const struct cz_tensor *v = cz_model_tensor(model, CZ_ROLE_V, 1);
    const struct cz_tensor *up = cz_model_tensor(model, CZ_ROLE_UP, 1);
    assert_int_equal(q->shape[0], 8);
    assert_int_equal(k->shape[0], 4);
    assert_int_equal(k->size, 4 * 8 * 4);
    assert_ptr_equal((const char *)q->data + q->size, k->data);
    assert_ptr_equal((const char *)k->data + k->size, v->data);
    assert_int_equal(up->shape[0], 12);
    cz_model_close(model);
}

static void reads_every_shape_of_rope_settings(void **state)
{
    (void)state;
    struct cz_model *model;
    save_model(llama_layer);
    ASSERT_OK(open_with("{\"model_type\":\"llama\",\"rope_theta\":5e5,\"rope_scaling\":"
                        "{\"type\":\"linear\",\"factor\":2}," BASE "}",
                        &model));
    assert_int_equal(model->hyper.rope.type, CZ_ROPE_LINEAR);
    assert_true(model->hyper.rope.theta == 5e5 && model->hyper.rope.factor == 2);
    cz_model_close(model);
    ASSERT_OK(open_with("{\"model_type\":\"llama\",\"rope_scaling\":{\"rope_type\":\"llama3\","
                        "\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4,"
                        "\"original_max_position_embeddings\":64}," BASE "}",
                        &model));
    assert_int_equal(model->hyper.rope.type, CZ_ROPE_LLAMA3);
    assert_int_equal(model->hyper.rope.original_context, 64);
    cz_model_close(model);
    ASSERT_OK(open_with("{\"model_type\":\"llama\",\"rope_parameters\":{\"rope_type\":\"yarn\","
                        "\"rope_theta\":1e6,\"original_max_position_embeddings\":64,"
                        "\"factor\":null}," BASE "}",
                        &model));
    assert_true(model->hyper.rope.factor == 4 && model->hyper.rope.theta == 1e6);
    assert_true(fabs(model->hyper.rope.attention_factor - (0.1 * log(4) + 1)) < 1e-12);
    cz_model_close(model);
    ASSERT_FAILS(open_with("{\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"mrope\"}," BASE
                           "}",
                           &model),
                 CLOZE_UNSUPPORTED, "mrope");
}

static void knows_which_layers_have_a_window(void **state)
{
    (void)state;
    struct cz_model *model;
    save_model(llama_layer);
    ASSERT_OK(open_with("{\"model_type\":\"mistral\",\"sliding_window\":32," BASE "}", &model));
    assert_int_equal(model->hyper.sliding_window, 32);
    assert_null(model->hyper.layer_is_local);
    cz_model_close(model);
    ASSERT_OK(open_with("{\"model_type\":\"mistral\",\"sliding_window\":null," BASE "}", &model));
    assert_int_equal(model->hyper.sliding_window, 0);
    cz_model_close(model);
    ASSERT_OK(open_with("{\"model_type\":\"smollm3\",\"no_rope_layers\":[1,0],"
                        "\"tie_word_embeddings\":false," BASE "}",
                        &model));
    assert_int_equal(model->hyper.layer_has_rope[0], 1);
    assert_int_equal(model->hyper.layer_has_rope[1], 0);
    assert_true(model->hyper.rope.theta == 2e6);
    cz_model_close(model);
}

static void refuses_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        cloze_status status;
        const char *part;
    } cases[] = {
        {"{\"model_type\":\"mamba\"," BASE "}", CLOZE_UNSUPPORTED, "'mamba'"},
        {"{\"model_type\":\"llama\",\"num_local_experts\":8," BASE "}", CLOZE_UNSUPPORTED,
         "num_local_experts"},
        {"{\"model_type\":\"gemma3\",\"vision_config\":{}," BASE "}", CLOZE_UNSUPPORTED, "vision"},
        {"{\"model_type\":\"llama\",\"quantization_config\":{}," BASE "}", CLOZE_UNSUPPORTED,
         "quantised"},
        {"{\"model_type\":\"llama\",\"hidden_act\":\"relu\"," BASE "}", CLOZE_UNSUPPORTED,
         "hidden_act"},
        {"{\"model_type\":\"llama\",\"head_dim\":\"big\"," BASE "}", CLOZE_INVALID, "/head_dim"},
        {"{\"model_type\":\"llama\",\"attention_bias\":true," BASE "}", CLOZE_CORRUPT,
         "q_proj.bias is missing"},
        {"{\"model_type\":\"llama\",\"head_dim\":6," BASE "}", CLOZE_CORRUPT, "q_proj"},
        {"{\"model_type\":\"llama\"}", CLOZE_CORRUPT, "layer count"},
        {"[]", CLOZE_INVALID, "config.json"},
        {"{", CLOZE_INVALID, "config.json"},
    };
    struct cz_model *model;
    save_model(llama_layer);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ASSERT_FAILS(open_with(cases[i].config, &model), cases[i].status, cases[i].part);
    save("adapter_config.json", CZ_SLICE("{}"));
    ASSERT_FAILS(open_with("{\"model_type\":\"llama\"," BASE "}", &model), CLOZE_UNSUPPORTED,
                 "LoRA");
}

static void save_index(const char *head_file)
{
    struct cz_buffer index = {0};
    cz_buffer_printf(&index, "{\"weight_map\":{\"lm_head.weight\":\"%s\"", head_file);
    for (const struct shape *one = llama_top; one < llama_top + 2; one++)
        cz_buffer_printf(&index, ",\"%s\":\"a.safetensors\"", one->name);
    for (unsigned i = 0; i < 2; i++) {
        for (const struct shape *one = llama_layer; one->name; one++)
            cz_buffer_printf(&index, ",\"model.layers.%u.%s\":\"%s\"", i, one->name,
                             i ? "b.safetensors" : "a.safetensors");
    }
    cz_buffer_append_text(&index, "}}");
    save("model.safetensors.index.json", cz_buffer_slice(&index));
    cz_buffer_free(&index);
}

static void joins_the_parts_of_an_index(void **state)
{
    (void)state;
    struct cz_model *model;
    struct builder builder = {0};
    add(&builder, "", &llama_top[0]);
    add(&builder, "", &llama_top[1]);
    add_all(&builder, "model.layers.0.", llama_layer);
    save_tensors(&builder, "a.safetensors");
    add(&builder, "", &llama_top[2]);
    add_all(&builder, "model.layers.1.", llama_layer);
    save_tensors(&builder, "b.safetensors");
    save_index("b.safetensors");
    ASSERT_OK(open_with("{\"model_type\":\"llama\"," BASE "}", &model));
    cz_model_close(model);
    save_index("a.safetensors");
    ASSERT_FAILS(cz_model_open(folder, &model, &error), CLOZE_CORRUPT, "lm_head.weight");
    save_index("../a.safetensors");
    ASSERT_FAILS(cz_model_open(folder, &model, &error), CLOZE_INVALID, "plain file name");
    save_index("c.safetensors");
    ASSERT_FAILS(cz_model_open(folder, &model, &error), CLOZE_NOT_FOUND, "c.safetensors");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_tensors_in_any_order, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_headers_that_contradict_the_data, setup, teardown),
        cmocka_unit_test_setup_teardown(opens_llama, setup, teardown),
        cmocka_unit_test_setup_teardown(hands_out_fused_matrices_as_row_ranges, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_every_shape_of_rope_settings, setup, teardown),
        cmocka_unit_test_setup_teardown(knows_which_layers_have_a_window, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(joins_the_parts_of_an_index, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
