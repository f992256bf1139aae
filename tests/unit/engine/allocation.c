/*
 * allocation.c - once warm, the threads of an engine call no malloc: what they need was reserved
 * when the request was prepared, or comes from the heap (base/heap.h).
 *
 * Counts the calls of malloc, calloc, realloc and mmap on all threads but the first by standing in
 * for them, which sanitizers do as well: this test is not built with those.
 */
#include "test.h"

#include "base/file.h"
#include "engine/engine.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static atomic_uint allocations;
static struct cloze_error error;

static void count(void)
{
    allocations += gettid() != getpid();
}

void *malloc(size_t size)
{
    count();
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
    count();
    return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size)
{
    count();
    return __libc_realloc(old, size);
}

void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    count();
    return (void *)syscall(SYS_mmap, address, size, protection, flags, file, offset);
}

/* Runs some requests; how many allocations that took. */
static unsigned run(struct cz_engine *engine, const struct cz_constraint *constraint,
                    uint32_t max_tokens, uint32_t logprobs)
{
    unsigned before = allocations;
    struct cz_generation *generations[6];
    for (unsigned seed = 0; seed < 6; seed++) {
        struct cz_request request = {
            .prompt = CZ_SLICE("ABCDEABCDEABCDEABCDEABCDEABCDEABCDEABCDE"),
            .max_tokens = max_tokens,
            .choices = 2,
            .sampling = {.temperature = 1.5, .has_seed = true, .seed = seed, .logprobs = logprobs},
            .constraint = *constraint,
        };
        ASSERT_OK(cz_engine_submit(engine, &request, &generations[seed], &error));
    }
    for (unsigned seed = 0; seed < 6; seed++) {
        struct cz_buffer text = {0};
        ASSERT_OK(cz_generation_finish(generations[seed], &text, NULL, &error));
        cz_generation_close(generations[seed]);
        cz_buffer_free(&text);
    }
    return allocations - before;
}

/* How requests meet in the engine's steps differs from run to run, and a meeting that is new may
 * need more room: warm is an engine that has taken some runs in a row without. */
static void settles(struct cz_engine *engine, const char *expression, uint32_t logprobs)
{
    enum { RUNS = 100, QUIET = 3 };
    struct cz_constraint constraint = {
        .set = expression, .options.kind = CZ_GRAMMAR_REGEX, .source = cz_slice(expression)};
    unsigned quiet = 0;
    for (unsigned i = 0; i < RUNS && quiet < QUIET; i++)
        quiet = run(engine, &constraint, 30, logprobs) == 0 ? quiet + 1 : 0;
    assert_int_equal(quiet, QUIET);
}

/* A schema that no other number gives, of more states than are met before the first answer. */
static void write_schema(struct cz_buffer *schema, unsigned number)
{
    cz_buffer_clear(schema);
    cz_buffer_printf(
        schema,
        "{\"type\":\"object\",\"required\":[\"A%u\",\"B\",\"C\",\"D\",\"E\"],\"properties\":{"
        "\"A%u\":{\"type\":\"string\",\"pattern\":\"^([A-D]{2,20}|%u[^A]{3,9})+E?$\"},"
        "\"B\":{\"type\":\"number\",\"minimum\":%u.5,\"maximum\":%u123,\"multipleOf\":0.25},"
        "\"C\":{\"type\":\"array\",\"uniqueItems\":true,\"minItems\":2,\"items\":{\"enum\":"
        "[\"ABC%u\",\"ABCD\",7,[1,%u],{\"A\":null}]}},"
        "\"D\":{\"anyOf\":[{\"type\":\"string\",\"format\":\"date-time\"},{\"type\":\"object\","
        "\"additionalProperties\":{\"type\":\"integer\"},\"minProperties\":2,"
        "\"patternProperties\":{\"^X[a-z]+%u\":{\"type\":\"string\",\"maxLength\":%u}}}]},"
        "\"E\":{\"type\":[\"object\",\"array\",\"boolean\"]}},\"additionalProperties\":%s}",
        number, number, number, number, number, number, number, number, number + 2,
        number % 2 ? "false" : "true");
}

/* Each schema is compiled on this thread; its states are met on the engine's. */
static void new_schemas_settle(struct cz_engine *engine)
{
    enum { SCHEMAS = 60, QUIET = 10 };
    struct cz_buffer schema = {0};
    unsigned quiet = 0;
    for (unsigned i = 1; i <= SCHEMAS && quiet < QUIET; i++) {
        write_schema(&schema, i);
        struct cz_constraint constraint = {.set = schema.data, .source = cz_buffer_slice(&schema)};
        quiet = run(engine, &constraint, 200, i % 2 * 4) == 0 ? quiet + 1 : 0;
    }
    assert_int_equal(quiet, QUIET);
    cz_buffer_free(&schema);
}

/* A tokenizer of as many tokens as the test models have, which can write JSON. */
static void write_tokenizer(const char *path)
{
    static const char characters[] = "{}[]\":,.+-0123456789truefalsnABCDEXbcdTZoi\\";
    struct cz_buffer text = {0};
    cz_buffer_append_text(
        &text, "{\"added_tokens\":[{\"id\":1,\"content\":\"<s>\",\"special\":true},"
               "{\"id\":2,\"content\":\"</s>\",\"special\":true}],"
               "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
               "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{"
               "\"\u0120\":0,\"<s>\":1,\"</s>\":2,\"\\\":\":3,\"\\\",\":4,\"AB\":5");
    for (unsigned i = 0; characters[i]; i++)
        cz_buffer_printf(&text, ",\"%s%c\":%u", strchr("\"\\", characters[i]) ? "\\" : "",
                         characters[i], i + 6);
    cz_buffer_append_text(&text,
                          "},\"merges\":[[\"\\\"\",\":\"],[\"\\\"\",\",\"],[\"A\",\"B\"]]}}");
    ASSERT_OK(cz_file_write_atomic(path, cz_buffer_slice(&text), &error));
    cz_buffer_free(&text);
}

static const char *path_of(const char *folder, const char *name)
{
    static char path[3][2048];
    static unsigned next;
    char *out = path[next++ % 3];
    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}

static void copy_file(const char *from, const char *to)
{
    struct cz_buffer content = {0};
    ASSERT_OK(cz_file_read(from, &content, &error));
    ASSERT_OK(cz_file_write_atomic(to, cz_buffer_slice(&content), &error));
    cz_buffer_free(&content);
}

static void *allocate_once(void *unused)
{
    (void)unused;
    return malloc(10);
}

static void other_threads_are_counted(void **state)
{
    (void)state;
    unsigned before = allocations;
    pthread_t thread;
    void *memory;
    assert_int_equal(pthread_create(&thread, NULL, allocate_once, NULL), 0);
    assert_int_equal(pthread_join(thread, &memory), 0);
    free(memory);
    assert_int_equal(allocations - before, 1);
}

static void an_engine_comes_to_allocate_nothing(void **state)
{
    (void)state;
    static const char *const expressions[] = {NULL, "[A-D]{2,20}EFGH(IJK|[LM]+)",
                                              "(AB(CDEFGH|IJ){1,3}){1,6}"};
    char cache[] = "/tmp/cloze-allocation-XXXXXX";
    assert_non_null(mkdtemp(cache));
    struct cz_engine_options options = {.cache_folder = cache, .threads = 2};
    struct cz_engine *engine;
    ASSERT_OK(cz_engine_open(test_file("models/llama"), &options, &engine, &error));
    for (unsigned i = 0; i < 3; i++) {
        settles(engine, expressions[i], 0);
        settles(engine, expressions[i], 4);
    }
    cz_engine_close(engine);
    ASSERT_OK(cz_file_remove_tree(cache, &error));
}

static void nor_does_it_for_states_that_are_new(void **state)
{
    (void)state;
    static const char *const files[] = {"config.json", "model.safetensors"};
    char folder[] = "/tmp/cloze-allocation-XXXXXX";
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < 2; i++)
        copy_file(path_of(test_file("models/llama"), files[i]), path_of(folder, files[i]));
    write_tokenizer(path_of(folder, "tokenizer.json"));
    struct cz_engine_options options = {.cache_folder = path_of(folder, "cache"), .threads = 2};
    struct cz_engine *engine;
    ASSERT_OK(cz_engine_open(folder, &options, &engine, &error));
    new_schemas_settle(engine);
    cz_engine_close(engine);
    ASSERT_OK(cz_file_remove_tree(folder, &error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_threads_are_counted),
        cmocka_unit_test(an_engine_comes_to_allocate_nothing),
        cmocka_unit_test(nor_does_it_for_states_that_are_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
