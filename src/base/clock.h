/* clock.h - time: monotonic for durations, wall for dates. */
#ifndef CZ_BASE_CLOCK_H
#define CZ_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

enum { CZ_CLOCK_ISO_SIZE = 40 };

uint64_t cz_clock_ns(void);      /* CLOCK_MONOTONIC */
uint64_t cz_clock_wall_us(void); /* microseconds since 1970, UTC */
/* "2024-04-25T06:52:39.317038+00:00" */
void cz_clock_iso(uint64_t wall_us, char text[CZ_CLOCK_ISO_SIZE]);

#endif
