/* dtype.c - blocks become the numbers that their formats define. */
#include "test.h"

#include "base/file.h"
#include "model/dtype.h"

#include <math.h>

static struct cloze_error error;

/* d = 0.5, bytes chosen so that each nibble differs: values worked out by hand. */
static void decodes_q4_0_by_hand(void **state)
{
    (void)state;
    uint8_t block[18] = {0x00, 0x38}; /* f16 0.5 */
    float values[32];
    for (unsigned i = 0; i < 16; i++)
        block[2 + i] = (uint8_t)(i | (15 - i) << 4);
    cz_dtype_to_f32(CZ_Q4_0, block, 32, values);
    for (unsigned i = 0; i < 16; i++) {
        assert_true(values[i] == ((float)i - 8) * 0.5f);
        assert_true(values[i + 16] == (7 - (float)i) * 0.5f);
    }
}

/* Sub-block 5 of Q4_K: scale and minimum from the split 6-bit fields. d = 2, dmin = 1. */
static void decodes_q4_k_scales_by_hand(void **state)
{
    (void)state;
    uint8_t block[144] = {0x00, 0x40, 0x00, 0x3C};
    float values[256];
    block[4 + 9] = 0x7B;   /* low bits of scale 11, of minimum 7 */
    block[4 + 1] = 0x80;   /* high bits of the scale: 2 */
    block[4 + 5] = 0x40;   /* high bits of the minimum: 1 */
    block[16 + 64] = 0x30; /* element 160 = 3, the first of the high nibbles of group 2 */
    cz_dtype_to_f32(CZ_Q4_K, block, 256, values);
    assert_true(values[160] == 2.0f * (11 + 32) * 3 - (7 + 16));
    assert_true(values[161] == -(7 + 16));
}

static void converts_halves(void **state)
{
    (void)state;
    static const struct {
        float value;
        uint16_t half;
    } pairs[] = {{0, 0},        {1, 0x3C00},        {-2, 0xC000},    {65504, 0x7BFF},
                 {0x1p-24f, 1}, {0x1p-14f, 0x0400}, {65520, 0x7C00}, {1.0009765625f, 0x3C01},
                 {0x1p-25f, 0}, {-0.0f, 0x8000}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_int_equal(cz_f32_to_f16(pairs[i].value), pairs[i].half);
    for (uint32_t half = 0; half < 0x10000; half++) {
        float value = cz_f16_to_f32((uint16_t)half);
        if (!isnan(value))
            assert_int_equal(cz_f32_to_f16(value), half);
    }
    assert_true(isnan(cz_f16_to_f32(0x7E00)));
    assert_int_equal(cz_f32_to_bf16(1.00390625f), 0x3F80); /* a tie goes to even */
    assert_int_equal(cz_f32_to_bf16(1.01171875f), 0x3F82);
}

static uint32_t take_u32(const char **at)
{
    uint32_t value;
    memcpy(&value, *at, sizeof value);
    *at += sizeof value;
    return value;
}

static enum cz_dtype dtype_named(struct cz_slice name)
{
    enum cz_dtype dtype = 0;
    while (dtype < CZ_DTYPES && !cz_slice_is(name, cz_dtype_info(dtype)->name))
        dtype++;
    assert_true(dtype < CZ_DTYPES);
    return dtype;
}

static void check_groups(enum cz_dtype dtype, const char *raw, const float *expected, size_t count)
{
    const struct cz_dtype_info *info = cz_dtype_info(dtype);
    uint8_t codes[512];
    uint16_t scales[32], minima[32] = {0};
    int8_t low_scales[32], low_minima[32] = {0};
    assert_true(count <= 512);
    cz_dtype_to_groups(dtype, raw, count,
                       (struct cz_groups){codes, scales, minima, low_scales, low_minima});
    for (size_t i = 0; i < count; i++) {
        size_t group = i / info->group, half = info->two_levels ? i / 256 : group;
        float scale = cz_f16_to_f32(scales[half]), minimum = cz_f16_to_f32(minima[half]);
        assert_true(codes[i] < 1u << info->bits);
        int code = info->has_table ? cz_iq4_table[codes[i]] : codes[i];
        if (info->two_levels) {
            scale *= low_scales[group];
            minimum *= low_minima[group];
        }
        assert_true((float)(code - (int)info->offset) * scale + minimum == expected[i]);
    }
}

/* Against the gguf package's own values, exactly. */
static void equals_the_gguf_package(void **state)
{
    (void)state;
    struct cz_mapping file;
    ASSERT_OK(cz_file_map(test_file("model/dtypes.bin"), &file, &error));
    const char *at = file.data;
    unsigned types = 0;
    for (; at < file.data + file.size; types++) {
        uint32_t size = take_u32(&at);
        enum cz_dtype dtype = dtype_named(cz_slice_of(at, size));
        at += size;
        size = take_u32(&at);
        const char *raw = at;
        at += size;
        uint32_t count = take_u32(&at);
        float expected[512], values[512];
        size_t bytes;
        assert_int_equal(count, 512);
        assert_true(cz_dtype_bytes(dtype, count, &bytes) && bytes == size);
        memcpy(expected, at, sizeof expected);
        at += sizeof expected;
        cz_dtype_to_f32(dtype, raw, count, values);
        for (size_t i = 0; i < count; i++) /* -0 and 0 are the same value */
            assert_true(values[i] == expected[i]);
        check_groups(dtype, raw, expected, count);
    }
    assert_int_equal(types, 12);
    cz_file_unmap(&file);
}

static void refuses_partial_blocks(void **state)
{
    (void)state;
    size_t bytes;
    assert_false(cz_dtype_bytes(CZ_Q4_K, 255, &bytes));
    assert_false(cz_dtype_bytes(CZ_F32, UINT64_MAX / 2, &bytes));
    assert_true(cz_dtype_bytes(CZ_Q6_K, 512, &bytes));
    assert_int_equal(bytes, 420);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_q4_0_by_hand),   cmocka_unit_test(decodes_q4_k_scales_by_hand),
        cmocka_unit_test(converts_halves),        cmocka_unit_test(equals_the_gguf_package),
        cmocka_unit_test(refuses_partial_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
