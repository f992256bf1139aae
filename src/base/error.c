/* error.c - filling struct cloze_error, and the names of the status codes. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const status_names[] = {
    [CLOZE_OK] = "ok",
    [CLOZE_INVALID] = "invalid",
    [CLOZE_UNSUPPORTED] = "unsupported",
    [CLOZE_UNSATISFIABLE] = "unsatisfiable",
    [CLOZE_LIMIT] = "limit",
    [CLOZE_NOT_FOUND] = "not_found",
    [CLOZE_EXISTS] = "exists",
    [CLOZE_CORRUPT] = "corrupt",
    [CLOZE_IO] = "io",
    [CLOZE_NETWORK] = "network",
    [CLOZE_DENIED] = "denied",
    [CLOZE_BUSY] = "busy",
    [CLOZE_TIMEOUT] = "timeout",
    [CLOZE_CANCELLED] = "cancelled",
    [CLOZE_MEMORY] = "memory",
    [CLOZE_INTERNAL] = "internal",
};

const char *cloze_status_name(cloze_status status)
{
    size_t count = sizeof status_names / sizeof *status_names;
    return (size_t)status < count ? status_names[status] : "unknown";
}

const char *cloze_version(void)
{
    return CLOZE_VERSION;
}

/* A cut message must stay valid UTF-8: an incomplete character at the end is dropped. */
static void trim_partial_character(char *text)
{
    size_t size = strlen(text);
    size_t start = size;
    while (start > 0 && size - start < 3 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t needed = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (lead >= 0xC0 && size - start + 1 < needed)
        text[start - 1] = '\0';
}

cloze_status cz_fail(struct cloze_error *error, cloze_status code, const char *where,
                     const char *format, ...)
{
    if (!error)
        return code;
    error->code = code;
    snprintf(error->where, sizeof error->where, "%s", where ? where : "");
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    trim_partial_character(error->where);
    trim_partial_character(error->message);
    return code;
}

cloze_status cz_fail_memory(struct cloze_error *error, const char *what)
{
    return cz_fail(error, CLOZE_MEMORY, what, "out of memory");
}

cloze_status cz_fail_errno(struct cloze_error *error, const char *path, const char *action)
{
    int number = errno;
    cloze_status code = number == ENOENT   ? CLOZE_NOT_FOUND
                        : number == EEXIST ? CLOZE_EXISTS
                        : number == ENOMEM ? CLOZE_MEMORY
                        : number == EACCES ? CLOZE_DENIED
                                           : CLOZE_IO;
    return cz_fail(error, code, path, "cannot %s: %s", action, strerror(number));
}

void cz_error_at(struct cloze_error *error, const char *prefix)
{
    if (!error)
        return;
    char where[sizeof error->where];
    snprintf(where, sizeof where, "%s", error->where);
    const char *separator = where[0] ? ": " : "";
    int room = (int)sizeof error->where - 1;
    snprintf(error->where, sizeof error->where, "%.*s%s%.*s", room / 2, prefix, separator,
             room - room / 2 - 2, where);
    trim_partial_character(error->where);
}
