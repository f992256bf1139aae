/* progress.c - sizes as text, and libraries opened at first use. */
#include "base/progress.h"

#include "base/library.h"
#include "test.h"

static void writes_sizes_as_bentoml_does(void **state)
{
    (void)state;
    static const struct {
        uint64_t size;
        const char *text;
    } cases[] = {
        {0, "0.00 B"},
        {1023, "1023.00 B"},
        {1024, "1.00 KiB"},
        {5570, "5.44 KiB"},
        {98362432, "93.81 MiB"},
        {14484731904, "13.49 GiB"},
        {UINT64_MAX, "16384.00 PiB"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[CZ_SIZE_TEXT];
        cz_size_text(cases[i].size, text);
        assert_string_equal(text, cases[i].text);
    }
}

struct functions {
    double (*cosine)(double);
};

static void opens_the_first_library_that_is_there(void **state)
{
    (void)state;
    struct cloze_error error;
    struct functions functions;
    const char *names[] = {"libnot-there.so.1", "libm.so.6", NULL};
    const struct cz_library_symbol symbols[] = {{"cos", offsetof(struct functions, cosine)},
                                                {NULL, 0}};
    ASSERT_OK(cz_library_open(names, "a-package", symbols, &functions, &error));
    assert_float_equal(functions.cosine(0), 1, 0);
}

static void names_what_to_install(void **state)
{
    (void)state;
    struct cloze_error error;
    struct functions functions;
    const char *missing[] = {"libnot-there.so.1", NULL}, *old[] = {"libm.so.6", NULL};
    const struct cz_library_symbol none[] = {{NULL, 0}},
                                   symbols[] = {{"no_such_function", 0}, {NULL, 0}};
    ASSERT_FAILS(cz_library_open(missing, "a-package", none, &functions, &error), CLOZE_NOT_FOUND,
                 "install a-package");
    ASSERT_FAILS(cz_library_open(old, "a-package", symbols, &functions, &error), CLOZE_UNSUPPORTED,
                 "no_such_function");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_sizes_as_bentoml_does),
        cmocka_unit_test(opens_the_first_library_that_is_there),
        cmocka_unit_test(names_what_to_install),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
