/* log.c - the log line. */
#include "base/log.h"

#include "base/clock.h"
#include "base/slice.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static enum cz_log_level log_level = CZ_LOG_OFF;
static bool log_json;

static const char *const level_names[] = {"off", "error", "warning", "info", "debug"};

void cz_log_set(enum cz_log_level level, bool json)
{
    log_level = level;
    log_json = json;
}

bool cz_log_enabled(enum cz_log_level level)
{
    return level <= log_level && level != CZ_LOG_OFF;
}

/* Control characters are escaped, so that logged input can't forge a line. */
static void append_escaped(struct cz_buffer *line, const char *text)
{
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x20 || byte == 0x7F)
            cz_buffer_printf(line, "\\u%04x", byte);
        else if (log_json && (byte == '"' || byte == '\\'))
            cz_buffer_printf(line, "\\%c", byte);
        else
            cz_buffer_append_byte(line, (char)byte);
    }
}

static void write_line(enum cz_log_level level, const char *message)
{
    char time[CZ_CLOCK_ISO_SIZE];
    cz_clock_iso(cz_clock_wall_us(), time);
    struct cz_buffer line = {.maximum = 64 * 1024};
    cz_buffer_printf(&line, log_json ? "{\"time\":\"%s\",\"level\":\"%s\",\"message\":\"" : "%s %s: ",
                     time, level_names[level]);
    append_escaped(&line, message);
    cz_buffer_append_text(&line, log_json ? "\"}\n" : "\n");
    if (!line.failed && write(STDERR_FILENO, line.data, line.size) < 0) {
        /* Nowhere left to report that standard error is gone. */
    }
    cz_buffer_free(&line);
}

void cz_log(enum cz_log_level level, const char *format, ...)
{
    if (!cz_log_enabled(level))
        return;
    char message[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    write_line(level, message);
}

void cz_log_error(enum cz_log_level level, const char *what, const struct cloze_error *error)
{
    const char *separator = error->where[0] ? ": " : "";
    cz_log(level, "%s: %s%s%s", what, error->where, separator, error->message);
}
