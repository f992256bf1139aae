/* codes.c - sets of code points agree with libunistring, and with each other. */
#include "test.h"

#include "constraint/codes.h"

#include <unictype.h>

static void set_operations_keep_ranges_apart(void **state)
{
    (void)state;
    struct cz_arena arena = {0};
    struct cz_codes set = {.arena = &arena}, other = {.arena = &arena};
    cz_codes_add(&set, 'x', 'z');
    cz_codes_add(&set, 'a', 'f');
    cz_codes_add(&set, 'c', 'h');
    cz_codes_normalise(&set);
    assert_int_equal(set.count, 2);
    cz_codes_add(&other, 'g', 'x');
    cz_codes_intersect(&set, &other);
    assert_int_equal(set.count, 2);
    assert_true(cz_codes_has(&set, 'h') && cz_codes_has(&set, 'x') && !cz_codes_has(&set, 'i'));
    cz_codes_negate(&set);
    assert_true(!cz_codes_has(&set, 'h') && cz_codes_has(&set, 0) && cz_codes_has(&set, 0x10FFFF));
    cz_codes_negate(&set);
    cz_codes_negate(&set);
    assert_false(cz_codes_has(&set, 'g'));
    cz_arena_free(&arena);
}

static void categories_agree_with_libunistring(void **state)
{
    (void)state;
    static const char *const names[] = {"Lu", "Nd", "Cn", "Co", "P"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct cz_arena arena = {0};
        struct cz_codes set = {.arena = &arena};
        uc_general_category_t category = uc_general_category_byname(names[i]);
        assert_true(cz_codes_add_property(&set, cz_slice(names[i])));
        for (uint32_t code = 0; code <= CZ_CODE_LAST; code++) {
            if (cz_codes_has(&set, code) != uc_is_general_category(code, category))
                fail_msg("%s: U+%04X", names[i], code);
        }
        cz_arena_free(&arena);
    }
}

static void scripts_agree_with_libunistring(void **state)
{
    (void)state;
    static const char *const names[] = {"Greek", "Han", "Common"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct cz_arena arena = {0};
        struct cz_codes set = {.arena = &arena};
        const uc_script_t *script = uc_script_byname(names[i]);
        assert_true(cz_codes_add_property(&set, cz_slice(names[i])));
        for (uint32_t code = 0; code <= CZ_CODE_LAST; code++) {
            if (cz_codes_has(&set, code) != uc_is_script(code, script))
                fail_msg("%s: U+%04X", names[i], code);
        }
        cz_arena_free(&arena);
    }
}

static void case_closure_joins_all_spellings(void **state)
{
    (void)state;
    struct cz_arena arena = {0};
    struct cz_codes set = {.arena = &arena};
    cz_codes_add(&set, 'k', 'k');
    cz_codes_close_case(&set);
    assert_true(cz_codes_has(&set, 'K') && cz_codes_has(&set, 0x212A)); /* the Kelvin sign */
    assert_false(cz_codes_has(&set, 'j'));
    cz_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_operations_keep_ranges_apart),
        cmocka_unit_test(categories_agree_with_libunistring),
        cmocka_unit_test(scripts_agree_with_libunistring),
        cmocka_unit_test(case_closure_joins_all_spellings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
