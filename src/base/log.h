/*
 * log.h - one line per event on standard error: time, level, message; as JSON when asked.
 *
 * A line is written with one write(2), so lines of several threads don't mix. The library is quiet
 * (level CZ_LOG_OFF) until a program sets a level.
 */
#ifndef CZ_BASE_LOG_H
#define CZ_BASE_LOG_H

#include "base/error.h"

enum cz_log_level { CZ_LOG_OFF, CZ_LOG_ERROR, CZ_LOG_WARNING, CZ_LOG_INFO, CZ_LOG_DEBUG };

void cz_log_set(enum cz_log_level level, bool json); /* at program start, before other threads */
bool cz_log_enabled(enum cz_log_level level);
void cz_log(enum cz_log_level level, const char *format, ...) CZ_PRINTF(2, 3);
/* message and place of an error as one line: "where: message" */
void cz_log_error(enum cz_log_level level, const char *what, const struct cloze_error *error);

#endif
