/*
 * progress.h - how far a long operation is, on standard error.
 *
 * On a terminal one line that is drawn anew: what, bar, percent, rate, time left. Elsewhere plain
 * lines, one when a step ends and one at most every few seconds between.
 */
#ifndef CZ_BASE_PROGRESS_H
#define CZ_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

enum { CZ_PROGRESS_WHAT = 120 };

struct cz_progress {
    bool terminal;
    bool quiet; /* nothing is shown */
    char what[CZ_PROGRESS_WHAT];
    uint64_t done, total;  /* bytes */
    uint64_t started_ns;   /* of this step */
    uint64_t started_done; /* bytes that were there at its start: a resumed download */
    uint64_t shown_ns;
    bool shown; /* a bar stands on the terminal's line */
};

void cz_progress_start(struct cz_progress *progress, bool quiet);
/* A new `what` ends the step before. `total` 0: unknown. */
void cz_progress_step(struct cz_progress *progress, const char *what, uint64_t done,
                      uint64_t total);
/* Ends the last step and leaves the line clean. */
void cz_progress_end(struct cz_progress *progress);

/* "13.49 GiB": steps of 1024, two decimals, as BentoML writes sizes. */
enum { CZ_SIZE_TEXT = 32 };
void cz_size_text(uint64_t size_bytes, char text[CZ_SIZE_TEXT]);

#endif
