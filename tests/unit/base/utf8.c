/* utf8.c - every code point round-trips; malformed sequences are found where they start. */
#include "test.h"

#include "base/utf8.h"

static void all_code_points_round_trip(void **state)
{
    (void)state;
    for (uint32_t code = 0; code <= 0x10FFFF; code++) {
        char bytes[4];
        uint32_t decoded = 0;
        size_t size = cz_utf8_encode(code, bytes);
        bool surrogate = code >= 0xD800 && code < 0xE000;
        assert_int_equal(cz_utf8_decode(bytes, size, &decoded), surrogate ? 0 : size);
        assert_true(surrogate || decoded == code);
    }
}

static void malformed_bytes_end_the_valid_prefix(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t valid;
    } cases[] = {
        {"abcdefgh\xC3\xA9", 10}, {"ab\xC0\x80", 2}, {"\xE0\x80\x80", 0}, {"a\xF4\x90\x80\x80", 1},
        {"x\x80", 1},             {"\xC3", 0},       {"12345678\xFF", 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(cz_utf8_valid(cz_slice(cases[i].text)), cases[i].valid);
}

static void incomplete_character_is_held_back(void **state)
{
    (void)state;
    assert_int_equal(cz_utf8_complete(CZ_SLICE("a\xF0\x9F\x98")), 1);
    assert_int_equal(cz_utf8_complete(CZ_SLICE("a\xF0\x9F\x98\x80")), 5);
    assert_int_equal(cz_utf8_complete(CZ_SLICE("\xC3")), 0);
    assert_int_equal(cz_utf8_complete(CZ_SLICE("a\x80\x80\x80\x80")), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_code_points_round_trip),
        cmocka_unit_test(malformed_bytes_end_the_valid_prefix),
        cmocka_unit_test(incomplete_character_is_held_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
