/* Packing: what goes in comes out, and what can't be packed is refused. */
#include "test.h"

#include "kernels_data.h"

static void groups_come_back(void **state)
{
    (void)state;
    for (size_t f = 0; f < FORMS; f++) {
        const struct form *form = &forms[f];
        struct matrix m;
        matrix_random(&m, form, 37, 96);
        float row[96];
        for (uint32_t r = 0; r < 37; r++) {
            cz_packed_row(&m.packed, r, row);
            for (uint32_t k = 0; k < 96; k++) {
                size_t at = (size_t)r * 96 + k;
                float want = m.values[at];
                if (form->group) {
                    size_t g = at / form->group;
                    want = m.scales[g] * (float)(m.codes[at] - (int)form->offset) +
                           (form->has_minimum ? m.minima[g] : 0.0f);
                }
                assert_true(row[k] == want);
            }
        }
        matrix_free(&m);
    }
}

/* Scales that half floats can't hold keep 11 bits, however small or large. */
static void small_and_large_scales_keep_their_bits(void **state)
{
    (void)state;
    struct cloze_error error;
    struct cz_packed shape = {NULL, 16, 32, CZ_WIDTH_8, 32, false, 128};
    unsigned char *memory = aligned_bytes(cz_packed_size(&shape));
    uint8_t codes[16 * 32];
    memset(codes, 200, sizeof codes);
    static const float factors[] = {1.2345678e-30f, 3.3e-8f, 0.1f, 7.7e9f};
    for (size_t f = 0; f < 4; f++) {
        float scales[16], row[32];
        for (int r = 0; r < 16; r++)
            scales[r] = factors[f] * (float)(r + 1);
        cz_pack_start(&shape, memory);
        ASSERT_OK(cz_pack_groups(&shape, memory, 0, 16, codes, scales, NULL, &error));
        shape.data = memory;
        for (uint32_t r = 0; r < 16; r++) {
            cz_packed_row(&shape, r, row);
            float want = scales[r] * 72.0f;
            assert_true(fabsf(row[0] - want) <= want * 0x1p-11f);
        }
    }
    free(memory);
}

static void floats_are_quantised_closely(void **state)
{
    (void)state;
    struct cloze_error error;
    static const struct {
        struct form form;
        float error; /* of the values -1..1, root mean square */
    } cases[] = {{{CZ_WIDTH_8, 32, false, 128, 0}, 0.003f},
                 {{CZ_WIDTH_4, 32, true, 0, 0}, 0.04f},
                 {{CZ_WIDTH_4, 32, false, 8, 0}, 0.045f},
                 {{CZ_WIDTH_6, 16, false, 32, 0}, 0.01f}};
    for (size_t c = 0; c < 4; c++) {
        const struct form *form = &cases[c].form;
        struct cz_packed m = {NULL, 16, 64, form->width, form->group, form->has_minimum,
                              form->offset};
        unsigned char *memory = aligned_bytes(cz_packed_size(&m));
        float values[16 * 64], row[64];
        for (int i = 0; i < 16 * 64; i++)
            values[i] = random_float();
        cz_pack_start(&m, memory);
        ASSERT_OK(cz_pack_floats(&m, memory, 0, 16, values, &error));
        m.data = memory;
        double sum = 0;
        for (uint32_t r = 0; r < 16; r++) {
            cz_packed_row(&m, r, row);
            for (int k = 0; k < 64; k++)
                sum += (row[k] - values[r * 64 + k]) * (row[k] - values[r * 64 + k]);
        }
        assert_true(sqrt(sum / (16 * 64)) < cases[c].error);
        free(memory);
    }
}

static void bad_input_is_refused(void **state)
{
    (void)state;
    struct cloze_error error;
    struct cz_packed shape = {NULL, 1, 32, CZ_WIDTH_4, 32, false, 8};
    unsigned char *memory = aligned_bytes(cz_packed_size(&shape));
    uint8_t codes[32] = {16};
    float scale = 1.0f, values[32] = {NAN};
    cz_pack_start(&shape, memory);
    ASSERT_FAILS(cz_pack_groups(&shape, memory, 0, 1, codes, &scale, NULL, &error), CLOZE_INVALID,
                 "does not fit");
    codes[0] = 15;
    scale = INFINITY;
    ASSERT_FAILS(cz_pack_groups(&shape, memory, 0, 1, codes, &scale, NULL, &error), CLOZE_INVALID,
                 "not finite");
    ASSERT_FAILS(cz_pack_floats(&shape, memory, 0, 1, values, &error), CLOZE_INVALID,
                 "not a finite number");
    shape.columns = 40;
    ASSERT_FAILS(cz_packed_check(&shape, &error), CLOZE_INVALID, "whole groups");
    shape.columns = 0;
    ASSERT_FAILS(cz_packed_check(&shape, &error), CLOZE_LIMIT, "columns");
    free(memory);
}

static void halves_round_to_even(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7c00; h++)
        assert_int_equal(cz_float_to_half(cz_half_to_float((uint16_t)h)), h);
    assert_int_equal(cz_float_to_half(65520.0f), 0x7c00);
    assert_int_equal(cz_float_to_half(65519.0f), 0x7bff);
    assert_int_equal(cz_float_to_half(1.0f + 0x1p-11f), 0x3c00);
    assert_int_equal(cz_float_to_half(1.0f + 3 * 0x1p-11f), 0x3c02);
    assert_int_equal(cz_float_to_bfloat(1.0f + 0x1p-8f), 0x3f80);
    assert_int_equal(cz_float_to_bfloat(1.0f + 3 * 0x1p-8f), 0x3f82);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_come_back),
        cmocka_unit_test(small_and_large_scales_keep_their_bits),
        cmocka_unit_test(floats_are_quantised_closely),
        cmocka_unit_test(bad_input_is_refused),
        cmocka_unit_test(halves_round_to_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
