/* text_index.c - the index finds what was added, and nothing else. */
#include "test.h"

#include "base/text_index.h"

struct record {
    struct cz_slice text;
    int more;
};

static void finds_every_text(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    static char texts[COUNT][8];
    static struct record records[COUNT];
    struct cz_text_index index;
    assert_true(cz_text_index_init(&index, records, sizeof *records, COUNT));
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(texts[i], sizeof texts[i], "%u", i);
        records[i].text = cz_slice(texts[i]);
        assert_int_equal(cz_text_index_add(&index, i), i);
    }
    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(cz_text_index_find(&index, cz_slice(texts[i])), i);
    assert_int_equal(cz_text_index_find(&index, CZ_SLICE("5000")), CZ_NOT_INDEXED);
    assert_int_equal(cz_text_index_find(&index, CZ_SLICE("")), CZ_NOT_INDEXED);
    cz_text_index_free(&index);
}

static void keeps_the_first_of_equal_texts(void **state)
{
    (void)state;
    struct record records[] = {{CZ_SLICE("a"), 0}, {CZ_SLICE("b"), 0}, {CZ_SLICE("a"), 0}};
    struct cz_text_index index;
    assert_true(cz_text_index_init(&index, records, sizeof *records, 3));
    assert_int_equal(cz_text_index_add(&index, 0), 0);
    assert_int_equal(cz_text_index_add(&index, 1), 1);
    assert_int_equal(cz_text_index_add(&index, 2), 0);
    assert_int_equal(cz_text_index_find(&index, CZ_SLICE("a")), 0);
    cz_text_index_free(&index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_every_text),
        cmocka_unit_test(keeps_the_first_of_equal_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
