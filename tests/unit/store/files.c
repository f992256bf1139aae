/* files.c - names in archives, lists of digests, and git's digest. */
#include "store/archive.h"
#include "store/checksum.h"

#include "test.h"

#include <unistd.h>

static struct cloze_error error;

static void member_names_stay_below_the_folder(void **state)
{
    (void)state;
    static const char *const good[][2] = {{"a", "a"},     {"./a/b", "a/b"},  {"a/", "a"},
                                          {"./", ""},     {".", ""},         {"././a", "a"},
                                          {"..a", "..a"}, {"a/..b", "a/..b"}};
    static const char *const bad[] = {"/a",     "..",   "../a", "a/../b", "a//b", "a/./b",
                                      "./../a", "a/..", "a\nb", "\x7f",   ".//a"};
    struct cz_slice name;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(cz_archive_name_is_safe(good[i][0], &name));
        ASSERT_SLICE(name, good[i][1]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(cz_archive_name_is_safe(bad[i], &name));
}

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static cloze_status parse(const char *lines, struct cz_checksums *list)
{
    struct cz_buffer text = {0};
    cz_buffer_append_text(&text, lines);
    return cz_checksums_parse(&text, list, &error);
}

static void reads_lists_of_digests(void **state)
{
    (void)state;
    struct cz_checksums list;
    ASSERT_OK(parse(DIGEST "  model.yaml\n" DIGEST " *sub/a b.gguf\n", &list));
    assert_int_equal(list.count, 2);
    ASSERT_SLICE(list.items[1].name, "sub/a b.gguf");
    ASSERT_SLICE(cz_checksums_find(&list, CZ_SLICE("model.yaml")), DIGEST);
    assert_int_equal(cz_checksums_find(&list, CZ_SLICE("other")).size, 0);
    cz_checksums_free(&list);
    ASSERT_OK(parse("", &list));
    assert_int_equal(list.count, 0);
    cz_checksums_free(&list);
}

static void refuses_other_lists(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "x\n",           DIGEST "\n",        DIGEST "  \n", DIGEST "  ../a\n",
        DIGEST "  /a\n", "g" DIGEST "  a\n", "\n"};
    struct cz_checksums list;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ASSERT_FAILS(parse(bad[i], &list), CLOZE_CORRUPT, "line 1");
}

static void digests_files_as_git_does(void **state)
{
    (void)state;
    char path[] = "/tmp/cloze-test-XXXXXX", sha1[CZ_SHA1_TEXT + 1];
    int descriptor = mkstemp(path);
    assert_int_equal(write(descriptor, "hello\n", 6), 6);
    close(descriptor);
    ASSERT_OK(cz_git_blob_file(path, sha1, &error));
    assert_string_equal(sha1, "ce013625030ba8dba906f756967f9e9ca394464a"); /* git hash-object */
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(member_names_stay_below_the_folder),
        cmocka_unit_test(reads_lists_of_digests),
        cmocka_unit_test(refuses_other_lists),
        cmocka_unit_test(digests_files_as_git_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
