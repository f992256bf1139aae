/* Packing: what goes in comes out, and what can't be packed is refused. */
#include "test.h"

#include "kernels_data.h"

static void groups_come_back(void **state)
{
    (void)state;
    for (size_t f = 0; f < FORMS; f++) {
        struct matrix m;
        uint32_t columns = columns_of(&forms[f], 96);
        matrix_random(&m, &forms[f], 37, columns);
        float row[256];
        for (uint32_t r = 0; r < 37; r++) {
            cz_packed_row(&m.packed, r, row);
            assert_memory_equal(row, m.values + (size_t)r * columns, columns * sizeof *row);
        }
        matrix_free(&m);
    }
}

/* What a form takes, in bits a weight: no type grows by more than 15 %. */
static void scales_in_two_levels_are_small(void **state)
{
    (void)state;
    static const struct {
        enum cz_width width;
        double source; /* bits a weight of Q2_K, Q3_K, ... */
    } types[] = {{CZ_WIDTH_2, 2.625}, {CZ_WIDTH_3, 3.4375}, {CZ_WIDTH_4, 4.5},
                 {CZ_WIDTH_5, 5.5},   {CZ_WIDTH_6, 6.5625}, {CZ_WIDTH_4_TABLE, 4.25}};
    unsigned found = 0;
    for (size_t f = 0; f < FORMS; f++)
        for (size_t t = 0; forms[f].scales && t < sizeof types / sizeof *types; t++) {
            struct cz_packed shape = {NULL, 2048, 2048, forms[f].width, forms[f].group,
                                      forms[f].has_minimum, forms[f].offset, forms[f].scales};
            if (forms[f].width != types[t].width)
                continue;
            found++;
            assert_true((double)cz_packed_size(&shape) * 8 / (2048 * 2048) < types[t].source * 1.04);
        }
    assert_int_equal(found, 6);
}

/* Scales that half floats can't hold keep 11 bits, however small or large. */
static void small_and_large_scales_keep_their_bits(void **state)
{
    (void)state;
    struct cloze_error error;
    struct cz_packed shape = {NULL, 16, 32, CZ_WIDTH_8, 32, false, 128, CZ_SCALES_HALF};
    unsigned char *memory = aligned_bytes(cz_packed_size(&shape));
    static const float factors[] = {1.2345678e-30f, 3.3e-8f, 0.1f, 7.7e9f};
    for (size_t f = 0; f < 4; f++) {
        float values[16 * 32], row[32], multiplier;
        for (int i = 0; i < 16 * 32; i++)
            values[i] = factors[f] * (float)(i / 32 + 1) * (i % 2 ? 1.0f : -1.0f);
        ASSERT_OK(cz_pack_floats(&shape, panel_memory(&shape, memory, 0), 16, values, &multiplier,
                                 &error));
        memcpy(memory, &multiplier, sizeof multiplier);
        shape.data = memory;
        for (uint32_t r = 0; r < 16; r++) {
            cz_packed_row(&shape, r, row);
            float want = values[r * 32 + 1];
            assert_true(fabsf(row[1] - want) <= want * 0x1p-11f);
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
    } cases[] = {{{CZ_WIDTH_8, 32, false, 128, 0, CZ_SCALES_HALF}, 0.003f},
                 {{CZ_WIDTH_4, 32, true, 0, 0, CZ_SCALES_HALF}, 0.04f},
                 {{CZ_WIDTH_4, 32, false, 8, 0, CZ_SCALES_HALF}, 0.045f},
                 {{CZ_WIDTH_6, 16, false, 32, 0, CZ_SCALES_HALF}, 0.01f}};
    for (size_t c = 0; c < 4; c++) {
        const struct form *form = &cases[c].form;
        struct cz_packed m = {NULL, 16, 64, form->width, form->group, form->has_minimum,
                              form->offset, CZ_SCALES_HALF};
        unsigned char *memory = aligned_bytes(cz_packed_size(&m));
        float values[16 * 64], row[64];
        for (int i = 0; i < 16 * 64; i++)
            values[i] = random_float();
        float multiplier;
        ASSERT_OK(cz_pack_floats(&m, panel_memory(&m, memory, 0), 16, values, &multiplier, &error));
        memcpy(memory, &multiplier, sizeof multiplier);
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

/* Rows of bf16 at odd addresses, of an odd number of columns. */
static void bfloats_come_back(void **state)
{
    (void)state;
    struct cloze_error error;
    struct cz_packed shape = {NULL, 3, 37, CZ_WIDTH_BF16, 0, false, 0, CZ_SCALES_HALF};
    unsigned char *memory = aligned_bytes(cz_packed_size(&shape)), source[3 * 37 * 2 + 1];
    const void *rows[3];
    uint16_t values[3 * 37];
    for (int i = 0; i < 3 * 37; i++)
        values[i] = cz_float_to_bfloat(random_float());
    memcpy(source + 1, values, sizeof values);
    for (int r = 0; r < 3; r++)
        rows[r] = source + 1 + r * 37 * 2;
    ASSERT_OK(cz_pack_bfloats(&shape, memory, 3, rows, &error));
    shape.data = memory;
    for (uint32_t r = 0; r < 3; r++) {
        float row[37];
        cz_packed_row(&shape, r, row);
        for (int k = 0; k < 37; k++)
            assert_true(row[k] == cz_bfloat_to_float(values[r * 37 + (uint32_t)k]));
    }
    static const size_t places[] = {0, 35, 36, 2 * 37 + 36};
    for (size_t i = 0; i < 4; i++) {
        memcpy(source + 1, values, sizeof values);
        memcpy(source + 1 + places[i] * 2, &(uint16_t){0xff80}, 2);
        ASSERT_FAILS(cz_pack_bfloats(&shape, memory, 3, rows, &error), CLOZE_INVALID,
                     "not a finite number");
    }
    free(memory);
}

static void bad_input_is_refused(void **state)
{
    (void)state;
    struct cloze_error error;
    struct cz_packed shape = {NULL, 1, 32, CZ_WIDTH_4, 32, false, 8, CZ_SCALES_HALF};
    unsigned char *memory = aligned_bytes(cz_packed_size(&shape));
    uint8_t codes[32] = {16};
    uint16_t scale = cz_float_to_half(1.0f);
    float values[32] = {NAN}, multiplier;
    struct cz_panel_groups groups = {codes, &scale, NULL, NULL, NULL};
    ASSERT_FAILS(cz_pack_groups(&shape, memory, 1, 32, &groups, &error), CLOZE_INVALID, "does not fit");
    codes[0] = 15;
    scale = cz_float_to_half(INFINITY);
    ASSERT_FAILS(cz_pack_groups(&shape, memory, 1, 32, &groups, &error), CLOZE_INVALID, "not finite");
    ASSERT_FAILS(cz_pack_floats(&shape, memory, 1, values, &multiplier, &error), CLOZE_INVALID,
                 "not a finite number");
    shape.scales = CZ_SCALES_NIBBLES;
    ASSERT_FAILS(cz_packed_check(&shape, &error), CLOZE_INVALID, "don't occur together");
    shape = (struct cz_packed){NULL, 1, 320, CZ_WIDTH_3, 16, false, 4, CZ_SCALES_BYTES};
    ASSERT_FAILS(cz_packed_check(&shape, &error), CLOZE_INVALID, "whole spans");
    shape = (struct cz_packed){NULL, 1, 40, CZ_WIDTH_4, 32, false, 8, CZ_SCALES_HALF};
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
        cmocka_unit_test(scales_in_two_levels_are_small),
        cmocka_unit_test(bfloats_come_back),
        cmocka_unit_test(small_and_large_scales_keep_their_bits),
        cmocka_unit_test(floats_are_quantised_closely),
        cmocka_unit_test(bad_input_is_refused),
        cmocka_unit_test(halves_round_to_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
