/* gguf.c - what the GGUF reader accepts, and how it refuses damaged and hostile files. */
#include "test.h"

#include "base/file.h"
#include "model/gguf.h"
#include "model/model.h"

#include <unistd.h>

static struct cloze_error error;
static struct cz_arena arena;
static struct cz_buffer file; /* the GGUF file being built */
static char folder[64];

static int setup(void **state)
{
    (void)state;
    cz_buffer_free(&file);
    strcpy(folder, "/tmp/cloze-gguf-XXXXXX");
    return mkdtemp(folder) ? 0 : 1;
}

static int teardown(void **state)
{
    (void)state;
    cz_buffer_free(&file);
    cz_arena_free(&arena);
    return cz_file_remove_tree(folder, &error);
}

/* ---- Building files ---- */

static void put(uint64_t value, size_t size)
{
    cz_buffer_append(&file, &value, size);
}

static void put_text(const char *text)
{
    put(strlen(text), 8);
    cz_buffer_append_text(&file, text);
}

static void header(uint64_t tensors, uint64_t pairs)
{
    cz_buffer_clear(&file);
    cz_buffer_append_text(&file, "GGUF");
    put(3, 4);
    put(tensors, 8);
    put(pairs, 8);
}

static void pair_u32(const char *key, uint32_t value)
{
    put_text(key);
    put(CZ_GGUF_U32, 4);
    put(value, 4);
}

static void pair_f32(const char *key, float value)
{
    put_text(key);
    put(CZ_GGUF_F32, 4);
    cz_buffer_append(&file, &value, sizeof value);
}

static void pair_text(const char *key, const char *value)
{
    put_text(key);
    put(CZ_GGUF_STRING, 4);
    put_text(value);
}

/* An F32 tensor's entry; returns the offset behind its data. */
static uint64_t tensor(const char *name, unsigned rank, uint64_t columns, uint64_t rows,
                       uint64_t offset)
{
    put_text(name);
    put(rank, 4);
    put(columns, 8);
    if (rank == 2)
        put(rows, 8);
    put(0, 4);
    put(offset, 8);
    return offset + (columns * (rank == 2 ? rows : 1) * 4 + 31) / 32 * 32;
}

static void pad_to_data(uint64_t data)
{
    static const char zeros[4096];
    size_t target = (file.size + 31) / 32 * 32 + data;
    while (file.size < target)
        cz_buffer_append(&file, zeros, target - file.size < 4096 ? target - file.size : 4096);
}

static void pairs_of_model(const char *architecture)
{
    pair_text("general.architecture", architecture);
    pair_u32("llama.block_count", 1);
    pair_u32("llama.embedding_length", 8);
    pair_u32("llama.feed_forward_length", 12);
    pair_u32("llama.attention.head_count", 2);
    pair_u32("llama.attention.head_count_kv", 1);
    pair_u32("llama.context_length", 64);
    pair_f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
}
enum { MODEL_PAIRS = 8, MODEL_TENSORS = 11 };

static void tensors_of_model(uint64_t down_columns)
{
    uint64_t at = 0;
    at = tensor("token_embd.weight", 2, 8, 16, at);
    at = tensor("output_norm.weight", 1, 8, 1, at);
    at = tensor("blk.0.attn_norm.weight", 1, 8, 1, at);
    at = tensor("blk.0.attn_q.weight", 2, 8, 8, at);
    at = tensor("blk.0.attn_k.weight", 2, 8, 4, at);
    at = tensor("blk.0.attn_v.weight", 2, 8, 4, at);
    at = tensor("blk.0.attn_output.weight", 2, 8, 8, at);
    at = tensor("blk.0.ffn_norm.weight", 1, 8, 1, at);
    at = tensor("blk.0.ffn_gate.weight", 2, 8, 12, at);
    at = tensor("blk.0.ffn_up.weight", 2, 8, 12, at);
    at = tensor("blk.0.ffn_down.weight", 2, down_columns, 8, at);
    pad_to_data(at);
}

static void tiny_model(const char *architecture)
{
    header(MODEL_TENSORS, MODEL_PAIRS);
    pairs_of_model(architecture);
    tensors_of_model(12);
}

static const char *saved(const char *name)
{
    static struct cz_buffer path;
    cz_path_join(&path, folder, name);
    ASSERT_OK(cz_file_write_atomic(path.data, cz_buffer_slice(&file), &error));
    return path.data;
}

static cloze_status parse(struct cz_gguf *gguf)
{
    return cz_gguf_parse(cz_buffer_slice(&file), "x.gguf", &arena, gguf, &error);
}

/* ---- Tests ---- */

static void reads_values_of_every_kind(void **state)
{
    (void)state;
    struct cz_gguf gguf;
    header(0, 4);
    pair_u32("a.u32", 7);
    pair_f32("a.f32", 0.5f);
    pair_text("a.text", "héllo");
    put_text("a.list");
    put(CZ_GGUF_ARRAY, 4);
    put(CZ_GGUF_STRING, 4);
    put(2, 8);
    put_text("one");
    put_text("");
    ASSERT_OK(parse(&gguf));
    uint32_t number = 0;
    double real = 0;
    struct cz_slice text = {0};
    const struct cz_gguf_value *list;
    ASSERT_OK(cz_gguf_get_u32(&gguf, "a.u32", &number, &error));
    ASSERT_OK(cz_gguf_get_double(&gguf, "a.f32", &real, &error));
    ASSERT_OK(cz_gguf_get_string(&gguf, "a.text", &text, &error));
    ASSERT_OK(cz_gguf_get_array(&gguf, "a.list", CZ_GGUF_STRING, &list, &error));
    assert_int_equal(number, 7);
    assert_true(real == 0.5);
    ASSERT_SLICE(text, "héllo");
    size_t cursor = 0;
    assert_true(cz_gguf_next_string(list, &cursor, &text));
    ASSERT_SLICE(text, "one");
    assert_true(cz_gguf_next_string(list, &cursor, &text));
    assert_int_equal(text.size, 0);
    assert_false(cz_gguf_next_string(list, &cursor, &text));
    ASSERT_FAILS(cz_gguf_get_u32(&gguf, "a.text", &number, &error), CLOZE_CORRUPT, "a.text");
    ASSERT_FAILS(cz_gguf_get_array(&gguf, "a.list", CZ_GGUF_I64, &list, &error), CLOZE_CORRUPT,
                 "a.list");
    cz_gguf_free(&gguf);
}

static void opens_a_tiny_model(void **state)
{
    (void)state;
    struct cz_model *model;
    tiny_model("llama");
    ASSERT_OK(cz_model_open(saved("tiny.gguf"), &model, &error));
    assert_string_equal(model->hyper.architecture, "llama");
    assert_int_equal(model->hyper.vocab, 16);
    assert_int_equal(model->hyper.head_dim, 4);
    assert_true(model->hyper.attention_scale == 0.5);
    assert_true(model->hyper.qk_interleaved);
    const struct cz_tensor *down = cz_model_tensor(model, CZ_ROLE_DOWN, 0);
    assert_int_equal(down->shape[0], 8);
    assert_int_equal(down->shape[1], 12);
    assert_null(cz_model_tensor(model, CZ_ROLE_HEAD, 0)->data);
    assert_null(cz_model_tensor(model, CZ_ROLE_Q_BIAS, 0)->data);
    cz_model_close(model);
    ASSERT_OK(cz_model_open(folder, &model, &error)); /* the folder holds one model */
    cz_model_close(model);
    saved("second.gguf");
    ASSERT_FAILS(cz_model_open(folder, &model, &error), CLOZE_INVALID, "more than one");
}

/* Cut anywhere, the file is refused, and the error names it. */
static void refuses_every_truncation(void **state)
{
    (void)state;
    tiny_model("llama");
    size_t whole = file.size;
    for (size_t size = 0; size < whole; size++) {
        struct cz_gguf gguf;
        char *cut = malloc(size + 1); /* exact size: sanitizers see a read beyond it */
        memcpy(cut, file.data, size);
        cloze_status status =
            cz_gguf_parse(cz_slice_of(cut, size), "x.gguf", &arena, &gguf, &error);
        /* the padding after the last tensor is not needed */
        if (status == CLOZE_OK)
            cz_gguf_free(&gguf);
        assert_true(status != CLOZE_OK || whole - size < 32);
        if (status)
            assert_non_null(strstr(error.where, "x.gguf:"));
        free(cut);
    }
}

static void refuses_absurd_counts_before_allocating(void **state)
{
    (void)state;
    struct cz_gguf gguf;
    header(UINT64_MAX, 0);
    ASSERT_FAILS(parse(&gguf), CLOZE_CORRUPT, "counts");
    header(0, 1ull << 40);
    ASSERT_FAILS(parse(&gguf), CLOZE_CORRUPT, "counts");
    header(0, 1);
    put_text("a");
    put(CZ_GGUF_ARRAY, 4);
    put(CZ_GGUF_U64, 4);
    put(UINT64_MAX / 4, 8);
    ASSERT_FAILS(parse(&gguf), CLOZE_LIMIT, "2^30");
    header(1, 0);
    tensor("t", 2, 1ull << 33, 1ull << 33, 0);
    ASSERT_FAILS(parse(&gguf), CLOZE_CORRUPT, "63 bits");
}

static void refuses_duplicates_and_wrong_places(void **state)
{
    (void)state;
    struct cz_gguf gguf;
    header(0, 2);
    pair_u32("a", 1);
    pair_u32("a", 2);
    ASSERT_FAILS(parse(&gguf), CLOZE_CORRUPT, "twice");
    header(2, 0);
    tensor("t", 1, 8, 1, 0);
    tensor("t", 1, 8, 1, 32);
    pad_to_data(64);
    ASSERT_FAILS(parse(&gguf), CLOZE_CORRUPT, "twice");
    header(2, 0);
    tensor("t", 1, 8, 1, 0);
    tensor("u", 1, 8, 1, 0);
    pad_to_data(64);
    ASSERT_FAILS(parse(&gguf), CLOZE_CORRUPT, "begin where");
}

static void refuses_by_name_what_it_does_not_read(void **state)
{
    (void)state;
    struct cz_gguf gguf;
    struct cz_model *model;
    header(1, 0);
    tensor("blk.0.attn_q.weight", 1, 256, 1, 0);
    file.data[file.size - 12] = 16; /* the type */
    pad_to_data(256);
    ASSERT_FAILS(parse(&gguf), CLOZE_UNSUPPORTED, "IQ2_XXS");
    tiny_model("llama");
    memcpy(file.data + 4, "\0\0\0\3", 4);
    ASSERT_FAILS(parse(&gguf), CLOZE_UNSUPPORTED, "big-endian");
    memcpy(file.data + 4, "\1\0\0\0", 4);
    ASSERT_FAILS(parse(&gguf), CLOZE_UNSUPPORTED, "versions 2 and 3");
    tiny_model("mamba");
    ASSERT_FAILS(cz_model_open(saved("m.gguf"), &model, &error), CLOZE_UNSUPPORTED, "'mamba'");
    header(MODEL_TENSORS, MODEL_PAIRS + 1);
    pairs_of_model("llama");
    pair_u32("llama.expert_count", 8);
    tensors_of_model(12);
    ASSERT_FAILS(cz_model_open(saved("m.gguf"), &model, &error), CLOZE_UNSUPPORTED,
                 "mixture of experts");
}

static void refuses_a_shape_that_contradicts_the_numbers(void **state)
{
    (void)state;
    struct cz_model *model;
    header(MODEL_TENSORS, MODEL_PAIRS);
    pairs_of_model("llama");
    tensors_of_model(16);
    ASSERT_FAILS(cz_model_open(saved("m.gguf"), &model, &error), CLOZE_CORRUPT, "ffn_down");
}

static void header_of_part(uint64_t tensors, uint64_t pairs, uint32_t number)
{
    header(tensors, pairs + 3);
    pair_u32("split.no", number);
    pair_u32("split.count", 2);
    pair_u32("split.tensors.count", MODEL_TENSORS);
}

static void joins_shards(void **state)
{
    (void)state;
    struct cz_model *model;
    header_of_part(1, 0, 1);
    pad_to_data(tensor("token_embd.weight", 2, 8, 16, 0));
    saved("m-00002-of-00002.gguf");
    header_of_part(MODEL_TENSORS - 1, MODEL_PAIRS, 0);
    pairs_of_model("llama");
    uint64_t at = 0; /* the same tensors without the first */
    at = tensor("output_norm.weight", 1, 8, 1, at);
    at = tensor("blk.0.attn_norm.weight", 1, 8, 1, at);
    at = tensor("blk.0.attn_q.weight", 2, 8, 8, at);
    at = tensor("blk.0.attn_k.weight", 2, 8, 4, at);
    at = tensor("blk.0.attn_v.weight", 2, 8, 4, at);
    at = tensor("blk.0.attn_output.weight", 2, 8, 8, at);
    at = tensor("blk.0.ffn_norm.weight", 1, 8, 1, at);
    at = tensor("blk.0.ffn_gate.weight", 2, 8, 12, at);
    at = tensor("blk.0.ffn_up.weight", 2, 8, 12, at);
    at = tensor("blk.0.ffn_down.weight", 2, 12, 8, at);
    pad_to_data(at);
    const char *path = saved("m-00001-of-00002.gguf");
    ASSERT_OK(cz_model_open(path, &model, &error));
    assert_int_equal(model->hyper.vocab, 16);
    cz_model_close(model);
    ASSERT_OK(cz_model_open(folder, &model, &error));
    cz_model_close(model);
    path = saved("whole.gguf"); /* a part under another name */
    ASSERT_FAILS(cz_model_open(path, &model, &error), CLOZE_INVALID, "split.count");
    char missing[128];
    snprintf(missing, sizeof missing, "%s/m-00002-of-00002.gguf", folder);
    unlink(missing);
    snprintf(missing, sizeof missing, "%s/m-00001-of-00002.gguf", folder);
    ASSERT_FAILS(cz_model_open(missing, &model, &error), CLOZE_NOT_FOUND, "00002-of-00002");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_values_of_every_kind, setup, teardown),
        cmocka_unit_test_setup_teardown(opens_a_tiny_model, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_every_truncation, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_absurd_counts_before_allocating, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_duplicates_and_wrong_places, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_by_name_what_it_does_not_read, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_a_shape_that_contradicts_the_numbers, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(joins_shards, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
