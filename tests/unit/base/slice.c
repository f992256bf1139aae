/* slice.c - the growing buffer and its bound; errors. */
#include "test.h"

static void buffer_grows_and_stays_terminated(void **state)
{
    (void)state;
    struct cz_buffer buffer = {0};
    assert_string_equal(cz_buffer_text(&buffer), "");
    for (int i = 0; i < 1000; i++)
        cz_buffer_printf(&buffer, "%d,", i);
    assert_int_equal(buffer.size, 3890);
    assert_int_equal(strlen(buffer.data), buffer.size);
    cz_buffer_free(&buffer);
}

static void buffer_past_its_maximum_fails_for_good(void **state)
{
    (void)state;
    struct cloze_error error;
    struct cz_buffer buffer = {.maximum = 5};
    cz_buffer_append_text(&buffer, "12345");
    assert_false(buffer.failed);
    cz_buffer_append_byte(&buffer, '6');
    cz_buffer_append_text(&buffer, "");
    ASSERT_FAILS(cz_buffer_status(&buffer, "body", &error), CLOZE_LIMIT, "5 bytes");
    assert_string_equal(buffer.data, "12345");
    cz_buffer_free(&buffer);
}

static void cut_messages_stay_utf8(void **state)
{
    (void)state;
    struct cloze_error error;
    char text[1000];
    for (size_t i = 0; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "\xC3\xA9", 2);
    text[998] = '\0';
    cz_fail(&error, CLOZE_INVALID, "x", "a%s", text);
    assert_int_equal(strlen(error.message) % 2, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffer_grows_and_stays_terminated),
        cmocka_unit_test(buffer_past_its_maximum_fails_for_good),
        cmocka_unit_test(cut_messages_stay_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
