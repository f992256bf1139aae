/* file.c - files in a temporary folder: atomic writes, locks, removal, safe names, digests. */
#include "test.h"

#include "base/digest.h"
#include "base/file.h"

#include <unistd.h>

static char folder[64];
static struct cloze_error error;

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/cloze-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return cz_file_remove_tree(folder, NULL);
}

static const char *inside(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void atomic_write_replaces_the_whole_file(void **state)
{
    (void)state;
    struct cz_buffer content = {0};
    ASSERT_OK(cz_file_write_atomic(inside("a"), CZ_SLICE("a longer first text"), &error));
    ASSERT_OK(cz_file_write_atomic(inside("a"), CZ_SLICE("abc"), &error));
    ASSERT_OK(cz_file_read(inside("a"), &content, &error));
    assert_string_equal(cz_buffer_text(&content), "abc");
    char digest[CZ_SHA256_TEXT + 1];
    ASSERT_OK(cz_sha256_file(inside("a"), digest, &error));
    assert_string_equal(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    cz_buffer_free(&content);
}

static void missing_file_is_not_found(void **state)
{
    (void)state;
    struct cz_mapping mapping;
    ASSERT_FAILS(cz_file_map(inside("none"), &mapping, &error), CLOZE_NOT_FOUND, "none");
    ASSERT_FAILS(cz_file_map(folder, &mapping, &error), CLOZE_IO, "regular");
}

static void large_files_are_mapped_for_huge_pages(void **state)
{
    (void)state;
    enum { SIZE = (5 << 20) + 1, HUGE_PAGE = 2 << 20 };
    static char content[SIZE] = "a";
    content[SIZE - 1] = 'z';
    struct cz_slice slice = {content, SIZE};
    ASSERT_OK(cz_file_write_atomic(inside("large"), slice, &error));
    struct cz_mapping mapping;
    ASSERT_OK(cz_file_map(inside("large"), &mapping, &error));
    assert_int_equal((uintptr_t)mapping.data % HUGE_PAGE, 0);
    assert_true(mapping.size == SIZE && memcmp(mapping.data, content, SIZE) == 0);
    cz_file_unmap(&mapping);
}

static void a_held_lock_is_busy(void **state)
{
    (void)state;
    int first, second;
    ASSERT_OK(cz_file_lock(inside("lock"), false, &first, &error));
    ASSERT_FAILS(cz_file_lock(inside("lock"), false, &second, &error), CLOZE_BUSY, "locked");
    close(first);
    ASSERT_OK(cz_file_lock(inside("lock"), false, &second, &error));
    close(second);
}

static void tree_is_made_and_removed(void **state)
{
    (void)state;
    ASSERT_OK(cz_file_make_folders(inside("x/y/z"), &error));
    ASSERT_OK(cz_file_make_folders(inside("x/y/z"), &error));
    assert_true(cz_file_is_folder(inside("x/y/z")));
    ASSERT_OK(cz_file_remove_tree(inside("x"), &error));
    assert_false(cz_file_exists(inside("x")));
    ASSERT_OK(cz_file_remove_tree(inside("x"), &error));
}

static void names_that_leave_the_folder_are_unsafe(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "/a", "..", "a/../b", "a//b", "a/", ".", "a/."};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(cz_path_is_safe(cz_slice(bad[i])));
    assert_true(cz_path_is_safe(CZ_SLICE("a/b..c/.d")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(atomic_write_replaces_the_whole_file),
        cmocka_unit_test(missing_file_is_not_found),
        cmocka_unit_test(large_files_are_mapped_for_huge_pages),
        cmocka_unit_test(a_held_lock_is_busy),
        cmocka_unit_test(tree_is_made_and_removed),
        cmocka_unit_test(names_that_leave_the_folder_are_unsafe),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
