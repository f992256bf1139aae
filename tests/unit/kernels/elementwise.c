/* Norms, rotations, activations and the sampler's helpers: near libm, and the same bits everywhere. */
#include "test.h"

#include "kernels_data.h"

enum { COUNT = 77 };

static void all_tables_agree(void **state)
{
    (void)state;
    const struct cz_kernels *portable = cz_kernels_at(0), *kernels;
    float x[COUNT], y[COUNT], want[6][COUNT], got[6][COUNT];
    for (int i = 0; i < COUNT; i++) {
        x[i] = 20.0f * random_float();
        y[i] = random_float();
    }
    for (uint32_t t = 0; (kernels = cz_kernels_at(t)); t++) {
        float(*out)[COUNT] = t ? got : want;
        memset(out, 0, sizeof want);
        kernels->rms_norm(x, y, COUNT, 1e-5f, out[0]);
        kernels->silu_mul(x, y, COUNT, out[1]);
        kernels->gelu_mul(x, y, COUNT, out[2]);
        out[3][0] = kernels->exp_sum(x, COUNT - 1, 20.0f, 0.7f, out[3] + 1);
        memcpy(out[4], x, sizeof x);
        kernels->softcap(out[4], 5.0f, COUNT);
        memcpy(out[5], x, sizeof x);
        kernels->rope(out[5], COUNT / 2, y, y + COUNT / 2);
        kernels->add(out[5], y, COUNT);
        assert_memory_equal(out, want, sizeof want);
        assert_true(kernels->maximum(x, COUNT) == portable->maximum(x, COUNT));
    }
}

static void functions_are_near_libm(void **state)
{
    (void)state;
    const struct cz_kernels *kernels = cz_kernels_at(0);
    float one = 1, out;
    for (int i = -400; i <= 400; i++) {
        float x = 0.05f * (float)i;
        kernels->silu_mul(&x, &one, 1, &out);
        assert_true(fabs(out - x / (1 + exp(-(double)x))) < 3e-6);
        kernels->gelu_mul(&x, &one, 1, &out);
        double u = 0.7978845608028654 * (x + 0.044715 * (double)x * x * x);
        assert_true(fabs(out - 0.5 * x * (1 + tanh(u))) < 3e-6);
        float sum = kernels->exp_sum(&x, 1, 0.0f, 1.0f, &out);
        assert_true(fabs(sum - exp(x)) < 4e-7 * exp(x));
    }
    float low = -1000;
    assert_true(kernels->exp_sum(&low, 1, 0.0f, 1.0f, &out) == 0);
}

static void angles_are_near_libm(void **state)
{
    (void)state;
    float frequency[4] = {1.0f, 0.1f, 0.01f, 1e-5f}, cosine[4], sine[4];
    for (double position = 0; position < 2e6; position = position * 1.7 + 1) {
        cz_rope_angles(position, frequency, 4, 1.0f, cosine, sine);
        for (int i = 0; i < 4; i++) {
            assert_true(fabs(cosine[i] - cos(position * frequency[i])) < 1e-7);
            assert_true(fabs(sine[i] - sin(position * frequency[i])) < 1e-7);
        }
    }
}

static void extremes_are_found(void **state)
{
    (void)state;
    const struct cz_kernels *kernels;
    float x[COUNT];
    uint32_t found[COUNT];
    for (uint32_t t = 0; (kernels = cz_kernels_at(t)); t++) {
        for (int i = 0; i < COUNT; i++)
            x[i] = (float)(i % 10);
        assert_int_equal(kernels->argmax(x, COUNT), 9);
        x[70] = 9.5f;
        assert_int_equal(kernels->argmax(x, COUNT), 70);
        x[3] = NAN;
        assert_true(kernels->maximum(x, COUNT) == 9.5f);
        assert_int_equal(kernels->select(x, COUNT, 9.0f, found, COUNT), 8);
        assert_int_equal(found[0], 9);
        assert_int_equal(found[7], 70);
        assert_int_equal(kernels->select(x, COUNT, 9.0f, found, 2), 8);
        assert_int_equal(kernels->argmax(x, 1), 0);
        assert_true(kernels->maximum(x, 0) == -INFINITY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_tables_agree),
        cmocka_unit_test(functions_are_near_libm),
        cmocka_unit_test(angles_are_near_libm),
        cmocka_unit_test(extremes_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
