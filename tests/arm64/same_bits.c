/*
 * same_bits.c - do the NEON kernels give the portable kernels' bits? Built and run by run.sh, with a
 * cross compiler and an emulator; cmocka is not asked for there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define fail_msg(...)                                                                              \
    do {                                                                                           \
        printf("FAILED: " __VA_ARGS__);                                                            \
        puts("");                                                                                  \
        exit(1);                                                                                   \
    } while (0)
#define assert_non_null(pointer)                                                                   \
    do {                                                                                           \
        if (!(pointer))                                                                            \
            fail_msg("out of memory");                                                             \
    } while (0)
#define ASSERT_OK(call)                                                                            \
    do {                                                                                           \
        if ((call) != CLOZE_OK)                                                                    \
            fail_msg("%s: %s", #call, error.message);                                              \
    } while (0)

#include "kernels_data.h"

enum { ROWS = 72, COLUMNS = 672, BATCH = 13, COUNT = 77, DIMS = 64, POSITIONS = 300 };
enum { TABLES = 3 }; /* portable, dot products, matrices */
enum { HEADS = 3, QUERIES = 5, BLOCKS = 10 };

static void compare_products(const struct cz_kernels *portable, const struct cz_kernels *kernels)
{
    static float want[BATCH * ROWS], got[BATCH * ROWS];
    for (size_t f = 0; f < FORMS; f++) {
        struct matrix matrix;
        matrix_random(&matrix, &forms[f], ROWS, columns_of(&forms[f], COLUMNS));
        struct batch input;
        batch_random(&input, portable, &matrix.packed, BATCH);
        struct cz_matmul product = {.weights = &matrix.packed, .activations = input.activations,
                                    .rows = BATCH, .out = want, .out_stride = ROWS};
        struct cz_range all = {0, cz_packed_panels(&matrix.packed)};
        portable->matmul(&product, all);
        product.out = got;
        for (product.rows = 1; product.rows <= BATCH; product.rows++) {
            batch_quantize(&input, kernels, &matrix.packed, product.rows);
            memset(got, 0, sizeof got);
            kernels->matmul(&product, all);
            if (memcmp(got, want, product.rows * ROWS * sizeof *got))
                fail_msg("form %zu, batch %u", f, product.rows);
        }
        batch_free(&input);
        matrix_free(&matrix);
    }
}

static void fill_elementwise(const struct cz_kernels *kernels, const float *x, const float *y,
                             float out[6][COUNT])
{
    kernels->rms_norm(x, y, COUNT, 1e-5f, out[0]);
    kernels->silu_mul(x, y, COUNT, out[1]);
    kernels->gelu_mul(x, y, COUNT, out[2]);
    out[3][0] = kernels->exp_sum(x, COUNT - 1, 20.0f, 0.7f, out[3] + 1);
    memcpy(out[4], x, COUNT * sizeof *x);
    kernels->softcap(out[4], 5.0f, COUNT);
    memcpy(out[5], x, COUNT * sizeof *x);
    kernels->rope(out[5], COUNT / 2, y, y + COUNT / 2);
}

static void compare_elementwise(const struct cz_kernels *portable, const struct cz_kernels *kernels)
{
    static float x[COUNT], y[COUNT], want[6][COUNT], got[6][COUNT];
    for (int i = 0; i < COUNT; i++) {
        x[i] = 20.0f * random_float();
        y[i] = random_float();
    }
    fill_elementwise(portable, x, y, want);
    fill_elementwise(kernels, x, y, got);
    if (memcmp(want, got, sizeof want))
        fail_msg("norms, rotations or activations");
    if (kernels->maximum(x, COUNT) != portable->maximum(x, COUNT) ||
        kernels->argmax(x, COUNT) != portable->argmax(x, COUNT))
        fail_msg("maxima");
}

static void fill_attention(const struct cz_kernels *kernels, enum cz_kv_form form,
                           const float *queries, const float *kv, float *scratch, float *out)
{
    static const uint32_t blocks[BLOCKS] = {9, 3, 1, 7, 5, 0, 8, 2, 6, 4};
    size_t bytes = cz_kv_tile_bytes(form, DIMS);
    unsigned char *tiles = aligned_bytes(bytes * BLOCKS);
    for (uint32_t p = 0; p < POSITIONS; p++)
        kernels->kv_write(form, DIMS, tiles + blocks[p / 32] * bytes, p % 32,
                          kv + (size_t)p * DIMS, kv + (size_t)(POSITIONS + p) * DIMS);
    struct cz_attention attention = {
        .form = form, .head_dim = DIMS, .heads = HEADS, .rows = QUERIES,
        .first_position = POSITIONS - QUERIES, .window = 100, .scale = 0.3f, .queries = queries,
        .query_stride = HEADS * DIMS, .tiles = tiles, .block_stride = bytes, .blocks = blocks};
    cz_attend(kernels, &attention, scratch, out, HEADS * DIMS);
    free(tiles);
}

static void compare_attention(const struct cz_kernels *portable, const struct cz_kernels *kernels)
{
    static float queries[QUERIES * HEADS * DIMS], kv[2 * POSITIONS * DIMS];
    static float want[QUERIES * HEADS * DIMS], got[QUERIES * HEADS * DIMS];
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
        queries[i] = random_float();
    for (size_t i = 0; i < sizeof kv / sizeof *kv; i++)
        kv[i] = random_float();
    float *scratch = floats(cz_attention_scratch(DIMS));
    for (int form = 0; form < 3; form++) {
        fill_attention(portable, (enum cz_kv_form)form, queries, kv, scratch, want);
        fill_attention(kernels, (enum cz_kv_form)form, queries, kv, scratch, got);
        if (memcmp(want, got, sizeof want))
            fail_msg("attention, form %d", form);
    }
    free(scratch);
}

int main(void)
{
    const struct cz_kernels *portable = cz_kernels_at(0), *kernels;
    uint32_t tables = 1;
    for (; (kernels = cz_kernels_at(tables)); tables++) {
        compare_products(portable, kernels);
        compare_elementwise(portable, kernels);
        compare_attention(portable, kernels);
        printf("%s: the same bits as portable\n", kernels->name);
    }
    if (tables != TABLES)
        fail_msg("this CPU runs %u tables, not %d", tables, TABLES);
    return 0;
}
