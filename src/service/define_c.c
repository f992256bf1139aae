/*
 * define_c.c - service.c: compiled by the system's compiler, loaded into this process.
 *
 * The library is cached under the digest of all that it is made from, so that an unchanged service
 * starts without a compiler. It finds the functions of cloze.h in the program that loads it; it is
 * never linked with a second copy of them.
 */
#include "base/digest.h"
#include "base/file.h"
#include "service/embedded.h"
#include "service/service.h"
#include "store/store.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { LARGEST_SOURCE = 16 << 20, LARGEST_OUTPUT = 64 << 10, MOST_SOURCES = 1000 };

static const char *const compiler_names[] = {"cc", "gcc", "clang", NULL};

/* ---- The digest ---- */

static int order_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_source(const struct dirent *entry)
{
    struct cz_slice name = cz_slice(entry->d_name);
    return cz_slice_ends_with(name, ".c") || cz_slice_ends_with(name, ".h");
}

static cloze_status digest_file(struct cz_sha256 *digest, const char *folder, const char *name,
                                struct cloze_error *error)
{
    struct cz_buffer path = {0}, content = {.maximum = LARGEST_SOURCE};
    cloze_status status = cz_path_join(&path, folder, name)
                              ? cz_file_read(path.data, &content, error)
                              : cz_fail_memory(error, name);
    if (!status) {
        cz_sha256_update(digest, name, strlen(name) + 1);
        cz_sha256_update(digest, &content.size, sizeof content.size);
        cz_sha256_update(digest, content.data, content.size);
    }
    cz_buffer_free(&path);
    cz_buffer_free(&content);
    return status;
}

/* Of the header, the flags and every .c and .h file of the folder. */
static cloze_status digest_sources(const char *folder, const char *source, const char *flags,
                                   char text[CZ_SHA256_TEXT + 1], struct cloze_error *error)
{
    struct dirent **names = NULL;
    struct cz_sha256 digest = {0};
    int count = scandir(folder, &names, is_source, order_names);
    if (count < 0)
        return cz_fail_errno(error, folder, "list the folder");
    cloze_status status = CLOZE_OK;
    if (count > MOST_SOURCES)
        status = cz_fail(error, CLOZE_LIMIT, folder, "holds more than %d sources", MOST_SOURCES);
    if (!status)
        status = cz_sha256_start(&digest, error);
    if (!status) {
        const struct cz_embedded *header = cz_embedded_header;
        cz_sha256_update(&digest, header->start, (size_t)(header->end - header->start));
        cz_sha256_update(&digest, flags, strlen(flags) + 1);
        cz_sha256_update(&digest, source, strlen(source) + 1);
    }
    for (int i = 0; i < count; i++) {
        if (!status)
            status = digest_file(&digest, folder, names[i]->d_name, error);
        free(names[i]);
    }
    free(names);
    if (digest.context)
        cz_sha256_finish(&digest, text);
    return status;
}

/* ---- Compiling ---- */

/* Reads all of a pipe, keeping at most what fits the buffer. */
static void read_output(int descriptor, struct cz_buffer *output)
{
    char chunk[4096];
    ssize_t size;
    while ((size = read(descriptor, chunk, sizeof chunk)) != 0) {
        if (size < 0 && errno != EINTR)
            break;
        if (size > 0)
            cz_buffer_append(output, chunk, (size_t)size);
    }
}

/* Runs a program of the PATH with its output into *output. *code is 127 when there is none. */
static cloze_status run(const char *const *command, struct cz_buffer *output, int *code,
                        struct cloze_error *error)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return cz_fail_errno(error, command[0], "make a pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    pid_t child;
    int failure = posix_spawnp(&child, command[0], &actions, NULL, (char *const *)command, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    *code = 127;
    if (failure == 0) {
        int state = 0;
        read_output(ends[0], output);
        while (waitpid(child, &state, 0) < 0 && errno == EINTR)
            continue;
        *code = WIFEXITED(state) ? WEXITSTATUS(state) : 1;
    }
    close(ends[0]);
    errno = failure;
    if (failure && failure != ENOENT)
        return cz_fail_errno(error, command[0], "run the compiler");
    return CLOZE_OK;
}

static cloze_status compile(const char *source, const char *include, const char *output,
                            struct cloze_error *error)
{
    const char *chosen[] = {getenv("CC"), NULL};
    const char *const *names = chosen[0] && chosen[0][0] ? chosen : compiler_names;
    struct cz_buffer messages = {.maximum = LARGEST_OUTPUT};
    cloze_status status = CLOZE_OK;
    int code = 127;
    for (size_t i = 0; names[i] && !status && code == 127; i++) {
        const char *command[] = {names[i],  "-std=c17", "-O2",   "-g", "-Wall",  "-fPIC",
                                 "-shared", "-I",       include, "-o", output,   source,
                                 NULL};
        cz_buffer_clear(&messages);
        status = run(command, &messages, &code, error);
    }
    if (!status && code == 127)
        status = cz_fail(error, CLOZE_NOT_FOUND, source,
                         "needs a C compiler, and there is no %s; install one, or write the "
                         "service as service.yaml",
                         names == chosen ? chosen[0] : "cc, gcc or clang");
    else if (!status && code != 0)
        status = cz_fail(error, CLOZE_INVALID, source, "does not compile:\n%s",
                         cz_buffer_text(&messages));
    cz_buffer_free(&messages);
    return status;
}

/* Compiles beside the final place and renames, so that two starts at once do no harm. */
static cloze_status build(const char *source, const char *cache, const char *library,
                          struct cloze_error *error)
{
    struct cz_buffer include = {0}, header = {0}, temporary = {0};
    const struct cz_embedded *embedded = cz_embedded_header;
    struct cz_slice content =
        cz_slice_of(embedded->start, (size_t)(embedded->end - embedded->start));
    cz_buffer_printf(&include, "%s/include-%ld", cache, (long)getpid());
    cz_buffer_printf(&header, "%s/cloze.h", cz_buffer_text(&include));
    cz_buffer_printf(&temporary, "%s.%ld", library, (long)getpid());
    cloze_status status = cz_buffer_status(&temporary, "path", error);
    if (!status)
        status = cz_file_make_folders(cz_buffer_text(&include), error);
    if (!status)
        status = cz_file_write_atomic(cz_buffer_text(&header), content, error);
    if (!status)
        status = compile(source, cz_buffer_text(&include), cz_buffer_text(&temporary), error);
    if (!status && rename(temporary.data, library))
        status = cz_fail_errno(error, library, "rename the compiled service");
    cz_file_remove_tree(cz_buffer_text(&include), NULL);
    cz_buffer_free(&include);
    cz_buffer_free(&header);
    cz_buffer_free(&temporary);
    return status;
}

/* ---- Loading ---- */

static cloze_status load(struct cz_service *service, const char *library, const char *source,
                         struct cloze_error *error)
{
    service->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!service->library)
        return cz_fail(error, CLOZE_INVALID, source, "can't be loaded: %s", dlerror());
    struct cloze_service *const *exported = dlsym(service->library, "cloze_exported_service");
    if (!exported)
        return cz_fail(error, CLOZE_INVALID, source, "defines no service: CLOZE_SERVICE is missing");
    service->table = *exported;
    return CLOZE_OK;
}

/* <home>/cache/services, made when missing. */
static cloze_status cache_folder(struct cz_buffer *path, struct cloze_error *error)
{
    struct cz_store store;
    cloze_status status = cz_store_open(NULL, &store, error);
    if (status)
        return status;
    cz_buffer_printf(path, "%s/services", store.cache);
    cz_store_close(&store);
    status = cz_buffer_status(path, "path", error);
    return status ? status : cz_file_make_folders(path->data, error);
}

cloze_status cz_service_define_c(struct cz_service *service, const char *path,
                                 struct cloze_error *error)
{
    struct cz_buffer cache = {0}, library = {0};
    char digest[CZ_SHA256_TEXT + 1];
    cloze_status status = digest_sources(service->folder, cz_path_name(path),
                                         "c17 O2 g Wall fPIC shared 1", digest, error);
    if (!status)
        status = cache_folder(&cache, error);
    if (!status) {
        cz_buffer_printf(&library, "%s/%s.so", cache.data, digest);
        status = cz_buffer_status(&library, "path", error);
    }
    if (!status && !cz_file_exists(library.data))
        status = build(path, cache.data, library.data, error);
    if (!status)
        status = load(service, library.data, path, error);
    cz_buffer_free(&cache);
    cz_buffer_free(&library);
    return status;
}
