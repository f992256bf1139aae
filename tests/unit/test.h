/* test.h - what every unit test includes: cmocka and the checks that the project needs often. */
#ifndef CZ_TEST_H
#define CZ_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/slice.h"

/* The call succeeds; otherwise the test fails with the error's text. `error` is a struct variable
 * in scope. */
#define ASSERT_OK(call)                                                                            \
    do {                                                                                           \
        if ((call) != CLOZE_OK)                                                                    \
            fail_msg("%s: %s: %s", #call, error.where, error.message);                             \
    } while (0)

/* The call fails with this status, and the message names `part`. */
#define ASSERT_FAILS(call, status, part)                                                           \
    do {                                                                                           \
        assert_int_equal((call), (status));                                                        \
        assert_int_equal(error.code, (status));                                                    \
        if (!strstr(error.message, (part)) && !strstr(error.where, (part)))                        \
            fail_msg("the error does not name '%s': %s: %s", (part), error.where, error.message);  \
    } while (0)

#define ASSERT_SLICE(slice, text)                                                                  \
    do {                                                                                           \
        struct cz_slice got_ = (slice);                                                            \
        if (!cz_slice_is(got_, (text)))                                                            \
            fail_msg("expected '%s', got '%.*s'", (text), (int)got_.size, got_.data);              \
    } while (0)

/* tests/data, for tests that read files. */
static inline const char *test_file(const char *name)
{
    static char path[1024];
    const char *folder = getenv("CLOZE_TEST_FILES");
    snprintf(path, sizeof path, "%s/%s", folder ? folder : "tests/data", name);
    return path;
}

#endif
