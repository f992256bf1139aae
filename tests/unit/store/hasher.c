/* hasher.c - digests that are made while files are still being written. */
#include "test.h"

#include "base/file.h"
#include "store/hasher.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct cloze_error error;
static char folder[64];

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/cloze-hasher-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return cz_file_remove_tree(folder, NULL) == CLOZE_OK ? 0 : -1;
}

/* Appends `count` bytes of which each is `byte`. */
static void append(const char *path, size_t count, int byte)
{
    FILE *file = fopen(path, "ab");
    assert_non_null(file);
    for (size_t i = 0; i < count; i++)
        fputc(byte, file);
    assert_int_equal(fclose(file), 0);
}

static void follows_a_file_that_grows(void **state)
{
    (void)state;
    struct cz_hasher hasher;
    struct cz_hashed_file *grows, *whole;
    char path[128], got[CZ_SHA256_TEXT + 1], want[CZ_SHA256_TEXT + 1];
    strcpy(path, path_of("grows"));
    append(path, 0, 0);
    append(path_of("whole"), 10, 'w');
    cz_hasher_open(&hasher);
    ASSERT_OK(cz_hasher_add(&hasher, path, "a/grows", &grows, &error));
    ASSERT_OK(cz_hasher_add(&hasher, path_of("whole"), NULL, &whole, &error));
    cz_hasher_allow(&hasher, whole, UINT64_MAX);
    for (int i = 1; i <= 5; i++) {
        append(path, 100000, i);
        cz_hasher_allow(&hasher, grows, (uint64_t)i * 100000);
        usleep(1000);
    }
    cz_hasher_allow(&hasher, grows, UINT64_MAX);
    ASSERT_OK(cz_hasher_wait(&hasher, grows, got, &error));
    ASSERT_OK(cz_sha256_file(path, want, &error));
    assert_string_equal(got, want);
    ASSERT_OK(cz_hasher_wait(&hasher, whole, got, &error));
    ASSERT_OK(cz_sha256_file(path_of("whole"), want, &error));
    assert_string_equal(got, want);
    struct cz_buffer checksums = {0};
    ASSERT_OK(cz_hasher_wait_all(&hasher, &checksums, &error));
    assert_int_equal(checksums.size, CZ_SHA256_TEXT + 2 + strlen("a/grows\n"));
    assert_non_null(strstr(cz_buffer_text(&checksums), "  a/grows\n"));
    cz_buffer_free(&checksums);
    cz_hasher_close(&hasher);
}

static void a_missing_file_is_named(void **state)
{
    (void)state;
    struct cz_hasher hasher;
    struct cz_hashed_file *file;
    struct cz_buffer checksums = {0};
    cz_hasher_open(&hasher);
    ASSERT_OK(cz_hasher_add(&hasher, path_of("missing"), "missing", &file, &error));
    cz_hasher_allow(&hasher, file, UINT64_MAX);
    ASSERT_FAILS(cz_hasher_wait_all(&hasher, &checksums, &error), CLOZE_NOT_FOUND, "missing");
    cz_buffer_free(&checksums);
    cz_hasher_close(&hasher);
}

/* A copy that failed leaves a file behind of which no more will come. */
static void closes_with_a_file_unfinished(void **state)
{
    (void)state;
    struct cz_hasher hasher;
    struct cz_hashed_file *file;
    append(path_of("half"), 10, 'h');
    cz_hasher_open(&hasher);
    ASSERT_OK(cz_hasher_add(&hasher, path_of("half"), "half", &file, &error));
    cz_hasher_allow(&hasher, file, 5);
    cz_hasher_close(&hasher);
    cz_hasher_open(&hasher);
    cz_hasher_close(&hasher); /* without any file */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(follows_a_file_that_grows, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_missing_file_is_named, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(closes_with_a_file_unfinished, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
