/*
 * packed_file.c - the cache of packed models: made once, shared by copies, made again when it is
 * stale, damaged or of another version; weights that are no numbers are refused by name.
 */
#include "test.h"

#include "base/file.h"
#include "engine/backend.h"
#include "engine/identity.h"
#include "engine/packed_file.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static struct cloze_error error;
static char folder[64]; /* of this test: model and cache */

static const char *path_of(const char *name)
{
    static char path[2][256];
    static int turn;
    turn ^= 1;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static void copy_file(const char *from, const char *to)
{
    struct cz_buffer content = {0};
    ASSERT_OK(cz_file_read(from, &content, &error));
    ASSERT_OK(cz_file_write_atomic(to, cz_buffer_slice(&content), &error));
    cz_buffer_free(&content);
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/cloze-packed-XXXXXX");
    if (!mkdtemp(folder) || mkdir(path_of("model"), 0777) != 0)
        return -1;
    copy_file(test_file("models/llama-bias/config.json"), path_of("model/config.json"));
    copy_file(test_file("models/llama-bias/tokenizer.json"), path_of("model/tokenizer.json"));
    copy_file(test_file("models/llama-bias/model.safetensors"), path_of("model/model.safetensors"));
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return cz_file_remove_tree(folder, NULL) == CLOZE_OK ? 0 : -1;
}

/* The packed file's path, after packing. */
static const char *pack(void)
{
    static struct cz_buffer path;
    char digest[CZ_SHA256_TEXT + 1];
    ASSERT_OK(
        cz_pack_model(path_of("model"), path_of("cache"), CZ_QUANTIZE_KEEP, NULL, NULL, &error));
    ASSERT_OK(cz_source_digest(path_of("model"), path_of("cache"), digest, &error));
    return cz_packed_path(&path, path_of("cache"), digest);
}

static ino_t inode(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_ino;
}

static unsigned files_in(const char *path)
{
    DIR *handle = opendir(path);
    unsigned count = 0;
    assert_non_null(handle);
    for (struct dirent *entry; (entry = readdir(handle));)
        count += entry->d_name[0] != '.';
    closedir(handle);
    return count;
}

static void open_checked(const char *path, cloze_status expected, const char *part)
{
    struct cz_packed_model model;
    char digest[CZ_SHA256_TEXT + 1];
    ASSERT_OK(cz_source_digest(path_of("model"), path_of("cache"), digest, &error));
    if (expected == CLOZE_OK) {
        ASSERT_OK(cz_packed_open(path, digest, &model, &error));
        ASSERT_OK(cz_packed_verify(&model, path, &error));
        cz_packed_close(&model);
    } else {
        ASSERT_FAILS(cz_packed_open(path, digest, &model, &error), expected, part);
    }
}

static void packing_twice_makes_one_file(void **state)
{
    (void)state;
    const char *path = pack();
    ino_t first = inode(path);
    assert_int_equal(inode(pack()), first);
    assert_int_equal(files_in(path_of("cache/packed")), 1);
    open_checked(path, CLOZE_OK, NULL);
}

static void a_copy_of_the_model_shares_the_packed_file(void **state)
{
    (void)state;
    ino_t first = inode(pack());
    copy_file(path_of("model/model.safetensors"), path_of("model/new"));
    assert_int_equal(rename(path_of("model/new"), path_of("model/model.safetensors")), 0);
    assert_int_equal(inode(pack()), first);
    assert_int_equal(files_in(path_of("cache/identity")), 2);
}

/* Writes `size` bytes at `position` of a file. */
static void overwrite(const char *path, long position, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, position, position < 0 ? SEEK_END : SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void a_changed_model_is_packed_anew(void **state)
{
    (void)state;
    char before[256];
    strcpy(before, pack());
    overwrite(path_of("model/model.safetensors"), -2, "\x10\x3f", 2);
    assert_string_not_equal(pack(), before);
    open_checked(pack(), CLOZE_OK, NULL);
    assert_int_equal(files_in(path_of("cache/packed")), 2);
}

static void damaged_files_are_refused_and_made_again(void **state)
{
    (void)state;
    const char *path = pack();
    const struct {
        long position;
        const char *part;
    } damages[] = {
        {0, "begin"},
        {offsetof(struct cz_packed_header, layout), "another version"},
        {offsetof(struct cz_packed_header, source_digest), "another model"},
        {offsetof(struct cz_packed_header, file_size), "size"},
        {offsetof(struct cz_packed_header, hyper.hidden), "header is damaged"},
        {sizeof(struct cz_packed_header) + 100, "header is damaged"},
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        overwrite(path, damages[i].position, "\x55", 1);
        open_checked(path, CLOZE_CORRUPT, damages[i].part);
        pack();
        open_checked(path, CLOZE_OK, NULL);
    }
    assert_int_equal(truncate(path, 5000), 0);
    open_checked(path, CLOZE_CORRUPT, "size");
    assert_int_equal(truncate(path, 50), 0);
    open_checked(path, CLOZE_CORRUPT, "begin");
    assert_int_equal(truncate(path, 0), 0);
    open_checked(path, CLOZE_CORRUPT, "begin");
    pack();
    open_checked(path, CLOZE_OK, NULL);
}

static void verify_sees_a_flipped_weight(void **state)
{
    (void)state;
    const char *path = pack();
    char digest[CZ_SHA256_TEXT + 1];
    struct cz_packed_model model;
    overwrite(path, -700, "\x55", 1);
    ASSERT_OK(cz_source_digest(path_of("model"), path_of("cache"), digest, &error));
    ASSERT_OK(cz_packed_open(path, digest, &model, &error));
    ASSERT_FAILS(cz_packed_verify(&model, path, &error), CLOZE_CORRUPT, "tensors are damaged");
    cz_packed_close(&model);
}

static void weights_that_are_no_numbers_are_named(void **state)
{
    (void)state;
    overwrite(path_of("model/model.safetensors"), -2, "\xc0\x7f", 2); /* a NaN */
    ASSERT_FAILS(
        cz_pack_model(path_of("model"), path_of("cache"), CZ_QUANTIZE_KEEP, NULL, NULL, &error),
        CLOZE_CORRUPT, "model.norm.weight");
    assert_int_equal(files_in(path_of("cache/packed")), 0);
}

static void shards_belong_to_one_digest(void **state)
{
    (void)state;
    char one[CZ_SHA256_TEXT + 1], two[CZ_SHA256_TEXT + 1];
    const char *gguf = test_file("models/llama-gguf/llama.gguf");
    copy_file(gguf, path_of("m-00001-of-00002.gguf"));
    copy_file(gguf, path_of("m-00002-of-00002.gguf"));
    copy_file(gguf, path_of("n-00002-of-00002.gguf"));
    ASSERT_OK(cz_source_digest(path_of("m-00001-of-00002.gguf"), path_of("cache"), one, &error));
    overwrite(path_of("n-00002-of-00002.gguf"), -1, "x", 1);
    ASSERT_OK(cz_source_digest(path_of("m-00001-of-00002.gguf"), path_of("cache"), two, &error));
    assert_string_equal(one, two);
    overwrite(path_of("m-00002-of-00002.gguf"), -1, "x", 1);
    ASSERT_OK(cz_source_digest(path_of("m-00001-of-00002.gguf"), path_of("cache"), two, &error));
    assert_string_not_equal(one, two);
}

/* One file's digest is known, the other's is not. */
static bool known_weights(void *context, const char *name, char sha256[CZ_SHA256_TEXT + 1])
{
    *(unsigned *)context += 1;
    return strcmp(name, "model.safetensors") == 0 &&
           cz_sha256_file(path_of("model/model.safetensors"), sha256, &error) == CLOZE_OK;
}

static void known_digests_give_the_same(void **state)
{
    (void)state;
    char made[CZ_SHA256_TEXT + 1], known[CZ_SHA256_TEXT + 1];
    unsigned asked = 0;
    ASSERT_OK(cz_source_digest_known(path_of("model"), path_of("cache"), known_weights, &asked,
                                     known, &error));
    assert_int_equal(asked, 2);
    ASSERT_OK(cz_file_remove_tree(path_of("cache"), &error));
    ASSERT_OK(cz_source_digest(path_of("model"), path_of("cache"), made, &error));
    assert_string_equal(known, made);
}

static void a_packing_is_published_once_or_given_up(void **state)
{
    (void)state;
    char digest[CZ_SHA256_TEXT + 1];
    struct cz_packing *packing[3];
    ASSERT_OK(cz_source_digest(path_of("model"), path_of("cache"), digest, &error));
    for (int i = 0; i < 3; i++)
        ASSERT_OK(cz_packing_begin(path_of("model"), path_of("cache"), CZ_QUANTIZE_KEEP, NULL, NULL,
                                   &packing[i], &error));
    assert_int_equal(files_in(path_of("cache/packed")), 3);
    ASSERT_OK(cz_packing_end(packing[0], NULL, &error));
    assert_int_equal(files_in(path_of("cache/packed")), 2);
    ASSERT_OK(cz_packing_end(packing[1], digest, &error));
    ino_t first = inode(pack());
    ASSERT_OK(cz_packing_end(packing[2], digest, &error));
    assert_int_equal(inode(pack()), first);
    assert_int_equal(files_in(path_of("cache/packed")), 1);
    open_checked(pack(), CLOZE_OK, NULL);
}

static void a_missing_model_is_named(void **state)
{
    (void)state;
    ASSERT_FAILS(cz_pack_model(path_of("nowhere.gguf"), path_of("cache"), CZ_QUANTIZE_KEEP, NULL,
                               NULL, &error),
                 CLOZE_NOT_FOUND, "nowhere.gguf");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(packing_twice_makes_one_file),   TEST(a_copy_of_the_model_shares_the_packed_file),
        TEST(a_changed_model_is_packed_anew), TEST(damaged_files_are_refused_and_made_again),
        TEST(verify_sees_a_flipped_weight),   TEST(weights_that_are_no_numbers_are_named),
        TEST(shards_belong_to_one_digest),    TEST(known_digests_give_the_same),
        TEST(a_packing_is_published_once_or_given_up), TEST(a_missing_model_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
