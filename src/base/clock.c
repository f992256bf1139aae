/* clock.c - the clocks, and dates as text. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static uint64_t read_clock(clockid_t id, uint64_t units_per_s)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * units_per_s + (uint64_t)now.tv_nsec / (1000000000u / units_per_s);
}

uint64_t cz_clock_ns(void)
{
    return read_clock(CLOCK_MONOTONIC, 1000000000u);
}

uint64_t cz_clock_wall_us(void)
{
    return read_clock(CLOCK_REALTIME, 1000000u);
}

void cz_clock_iso(uint64_t wall_us, char text[CZ_CLOCK_ISO_SIZE])
{
    time_t seconds = (time_t)(wall_us / 1000000u);
    struct tm date;
    gmtime_r(&seconds, &date);
    char day[24];
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &date);
    snprintf(text, CZ_CLOCK_ISO_SIZE, "%s.%06u+00:00", day, (unsigned)(wall_us % 1000000u));
}
