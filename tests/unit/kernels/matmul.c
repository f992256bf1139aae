/* The matrix product against sums in double precision, and against itself in other batch shapes. */
#include "test.h"

#include "kernels/layout.h"

#include "kernels_data.h"

/* Activations as the kernels round them. */
static double rounded(const struct cz_packed *w, const float *x, uint32_t k)
{
    if (w->width == CZ_WIDTH_BF16)
        return cz_bfloat_to_float(cz_float_to_bfloat(x[k]));
    float largest = 0;
    for (uint32_t i = k / 16 * 16; i < k / 16 * 16 + 16; i++)
        largest = fmaxf(largest, fabsf(x[i]));
    float scale = cz_cut_scale(largest / 127.0f), inverse = 1.0f / scale;
    return (double)scale * rintf(x[k] * inverse);
}

/* What the product should be, from dequantised weights and rounded activations. */
static double expected(const struct cz_packed *w, const float *row, const float *x, double *size)
{
    double sum = 0;
    *size = 0;
    for (uint32_t k = 0; k < w->columns; k++) {
        double product = row[k] * rounded(w, x, k);
        sum += product;
        *size += fabs(product);
    }
    return sum;
}

static void check_product(const struct cz_kernels *kernels, const struct form *form, uint32_t rows,
                          uint32_t columns, uint32_t batch)
{
    struct matrix matrix;
    columns = columns_of(form, columns);
    matrix_random(&matrix, form, rows, columns);
    struct batch input;
    batch_random(&input, kernels, &matrix.packed, batch);
    float *out = floats((size_t)batch * rows), *row = floats(columns);
    struct cz_matmul product = {.weights = &matrix.packed, .activations = input.activations,
                                .rows = batch, .out = out, .out_stride = rows};
    kernels->matmul(&product, (struct cz_range){0, cz_packed_panels(&matrix.packed)});
    for (uint32_t r = 0; r < rows; r++) {
        cz_packed_row(&matrix.packed, r, row);
        for (uint32_t i = 0; i < batch; i++) {
            double size, want = expected(&matrix.packed, row, input.x + (size_t)i * columns, &size);
            double got = out[(size_t)i * rows + r];
            if (fabs(got - want) > 1e-5 * size)
                fail_msg("%s width %d group %u, %ux%u, batch %u, row %u of %u: %g, expected %g",
                         kernels->name, (int)form->width, form->group, rows, columns, batch, r, i,
                         got, want);
        }
    }
    free(row);
    free(out);
    batch_free(&input);
    matrix_free(&matrix);
}

static void product_is_the_sum(void **state)
{
    (void)state;
    const struct cz_kernels *kernels;
    for (uint32_t t = 0; (kernels = cz_kernels_at(t)); t++)
        for (size_t f = 0; f < FORMS; f++) {
            check_product(kernels, &forms[f], 40, 96, 3);
            check_product(kernels, &forms[f], 64, 576, 1);
            check_product(kernels, &forms[f], 33, 32, 13);
        }
}

/* Every table gives the portable one's bits, in every batch shape; added, so that what is stored twice
 * shows. */
static void all_tables_agree(void **state)
{
    (void)state;
    const struct cz_kernels *portable = cz_kernels_at(0), *kernels;
    for (size_t f = 0; f < FORMS; f++) {
        struct matrix matrix;
        matrix_random(&matrix, &forms[f], 88, columns_of(&forms[f], 320));
        struct batch input;
        batch_random(&input, portable, &matrix.packed, 37);
        float want[37 * 88] = {0}, got[37 * 88];
        struct cz_matmul product = {.weights = &matrix.packed, .activations = input.activations,
                                    .rows = 37, .out = want, .out_stride = 88,
                                    .accumulate = true};
        portable->matmul(&product, (struct cz_range){0, 6});
        for (uint32_t t = 0; (kernels = cz_kernels_at(t)); t++)
            for (uint32_t batch = 1; batch <= 37; batch++) {
                memset(got, 0, sizeof got);
                batch_quantize(&input, kernels, &matrix.packed, batch);
                product.out = got;
                product.rows = batch;
                kernels->matmul(&product, (struct cz_range){0, 6});
                for (uint32_t i = 0; i < batch * 88; i++)
                    if (memcmp(&got[i], &want[i], sizeof *got))
                        fail_msg("%s width %d group %u batch %u: [%u][%u] is %a, expected %a",
                                 kernels->name, (int)forms[f].width, forms[f].group, batch, i / 88,
                                 i % 88, (double)got[i], (double)want[i]);
            }
        batch_free(&input);
        matrix_free(&matrix);
    }
}

static void bias_residual_and_ranges(void **state)
{
    (void)state;
    const struct cz_kernels *kernels;
    for (uint32_t t = 0; (kernels = cz_kernels_at(t)); t++) {
        struct matrix matrix;
        matrix_random(&matrix, &forms[0], 70, 64);
        struct batch input;
        batch_random(&input, kernels, &matrix.packed, 2);
        float plain[140], out[140], bias[70];
        for (int i = 0; i < 70; i++)
            bias[i] = (float)i;
        for (int i = 0; i < 140; i++)
            out[i] = 1000.0f * (float)i;
        struct cz_matmul product = {.weights = &matrix.packed, .activations = input.activations,
                                    .rows = 2, .out = plain, .out_stride = 70};
        kernels->matmul(&product, (struct cz_range){0, 5});
        product.out = out;
        product.bias = bias;
        product.accumulate = true;
        kernels->matmul(&product, (struct cz_range){3, 5});
        kernels->matmul(&product, (struct cz_range){0, 3});
        for (int i = 0; i < 140; i++)
            assert_true(out[i] == plain[i] + bias[i % 70] + 1000.0f * (float)i);
        batch_free(&input);
        matrix_free(&matrix);
    }
}

static void listed_panels_stand_close(void **state)
{
    (void)state;
    const struct cz_kernels *kernels;
    for (uint32_t t = 0; (kernels = cz_kernels_at(t)); t++)
        for (size_t f = 0; f < FORMS; f++) {
            struct matrix matrix;
            matrix_random(&matrix, &forms[f], 100, columns_of(&forms[f], 64));
            struct batch input;
            batch_random(&input, kernels, &matrix.packed, 1);
            float all[100], some[48];
            memset(some, 0, sizeof some);
            struct cz_matmul product = {.weights = &matrix.packed, .activations = input.activations,
                                        .rows = 1, .out = all, .out_stride = 100};
            kernels->matmul(&product, (struct cz_range){0, 7});
            const uint32_t list[] = {1, 4, 6};
            product.out = some;
            product.panels = list;
            product.panel_count = 3;
            kernels->matmul(&product, (struct cz_range){0, 3});
            assert_memory_equal(some, all + 16, 16 * sizeof *all);
            assert_memory_equal(some + 16, all + 64, 16 * sizeof *all);
            assert_memory_equal(some + 32, all + 96, 4 * sizeof *all);
            assert_true(some[36] == 0 && some[47] == 0);
            batch_free(&input);
            matrix_free(&matrix);
        }
}

struct shared {
    const struct cz_kernels *kernels;
    const struct cz_matmul *list;
};

static void run_shared(void *context, struct cz_worker *worker)
{
    const struct shared *shared = context;
    cz_matmul_run(shared->kernels, worker, shared->list, 2);
}

static void workers_share_products(void **state)
{
    (void)state;
    struct cloze_error error;
    struct matrix a, b;
    matrix_random(&a, &forms[0], 300, 64);
    matrix_random(&b, &forms[0], 17, 64);
    struct batch input;
    batch_random(&input, cz_kernels_at(0), &a.packed, 2);
    float want[2][600], got[2][600];
    const struct cz_kernels *kernels = cz_kernels_at(0);
    struct cz_matmul list[2] = {{.weights = &a.packed, .activations = input.activations, .rows = 2,
                                 .out = want[0], .out_stride = 300},
                                {.weights = &b.packed, .activations = input.activations, .rows = 2,
                                 .out = want[1], .out_stride = 17}};
    kernels->matmul(&list[0], (struct cz_range){0, 19});
    kernels->matmul(&list[1], (struct cz_range){0, 2});
    list[0].out = got[0];
    list[1].out = got[1];
    struct cz_pool *pool;
    ASSERT_OK(cz_pool_create(3, &pool, &error));
    struct shared shared = {kernels, list};
    cz_pool_run(pool, run_shared, &shared);
    cz_pool_free(pool);
    assert_memory_equal(got[0], want[0], 600 * sizeof(float));
    assert_memory_equal(got[1], want[1], 34 * sizeof(float));
    batch_free(&input);
    matrix_free(&a);
    matrix_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(product_is_the_sum),
        cmocka_unit_test(all_tables_agree),
        cmocka_unit_test(bias_residual_and_ranges),
        cmocka_unit_test(listed_panels_stand_close),
        cmocka_unit_test(workers_share_products),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
