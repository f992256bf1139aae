/* progress.c - the progress line. */
#include "base/progress.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR = 24, REDRAW_MS = 100, PLAIN_MS = 5000, SECOND_NS = 1000000000 };

void cz_size_text(uint64_t size_bytes, char text[CZ_SIZE_TEXT])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double size = (double)size_bytes;
    int unit = 0;
    for (; size >= 1024 && unit < 5; unit++)
        size /= 1024;
    snprintf(text, CZ_SIZE_TEXT, "%.2f %s", size, units[unit]);
}

void cz_progress_start(struct cz_progress *progress, bool quiet)
{
    *progress = (struct cz_progress){.quiet = quiet, .terminal = isatty(STDERR_FILENO) == 1};
}

static double rate_of(const struct cz_progress *progress)
{
    double seconds = (double)(cz_clock_ns() - progress->started_ns) / SECOND_NS;
    return seconds > 0.05 ? (double)(progress->done - progress->started_done) / seconds : 0;
}

static int terminal_width(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

/* " 12.50 MiB of 98.10 MiB, 55.20 MiB/s, 0:01 left" */
static void describe(const struct cz_progress *progress, bool ended, char *text, size_t size)
{
    char done[CZ_SIZE_TEXT], total[CZ_SIZE_TEXT], per_second[CZ_SIZE_TEXT];
    double rate = rate_of(progress);
    cz_size_text(progress->done, done);
    cz_size_text(progress->total, total);
    cz_size_text((uint64_t)rate, per_second);
    int used = progress->total ? snprintf(text, size, "%s of %s", done, total)
                               : snprintf(text, size, "%s", done);
    if (rate > 0)
        used += snprintf(text + used, size - (size_t)used, ", %s/s", per_second);
    if (rate > 0 && !ended && progress->total > progress->done) {
        unsigned left = (unsigned)((double)(progress->total - progress->done) / rate + 0.5);
        if (left >= 3600)
            snprintf(text + used, size - (size_t)used, ", %u:%02u:%02u left", left / 3600,
                     left / 60 % 60, left % 60);
        else
            snprintf(text + used, size - (size_t)used, ", %u:%02u left", left / 60, left % 60);
    }
}

static void draw(struct cz_progress *progress)
{
    char line[512], numbers[160] = "", bar[BAR + 1];
    if (progress->done || progress->total)
        describe(progress, false, numbers, sizeof numbers);
    if (progress->total) {
        uint64_t part = progress->done < progress->total ? progress->done : progress->total;
        int filled = (int)((double)part / (double)progress->total * BAR);
        memset(bar, ' ', BAR);
        memset(bar, '#', (size_t)filled);
        bar[BAR] = '\0';
        snprintf(line, sizeof line, "%s [%s] %3d%%  %s", progress->what, bar,
                 (int)(100 * (double)part / (double)progress->total), numbers);
    } else {
        snprintf(line, sizeof line, "%s  %s", progress->what, numbers);
    }
    fprintf(stderr, "\r\033[K%.*s", terminal_width() - 1, line);
    progress->shown = true;
}

static void print_plain(struct cz_progress *progress, bool ended)
{
    char numbers[160];
    describe(progress, ended, numbers, sizeof numbers);
    fprintf(stderr, "%s: %s\n", progress->what, numbers);
}

static void end_step(struct cz_progress *progress)
{
    if (progress->quiet || !progress->what[0])
        return;
    if (progress->shown)
        fputs("\r\033[K", stderr);
    if (progress->done)
        print_plain(progress, true);
    progress->shown = false;
}

void cz_progress_step(struct cz_progress *progress, const char *what, uint64_t done, uint64_t total)
{
    uint64_t now = cz_clock_ns();
    if (strncmp(progress->what, what, sizeof progress->what - 1) != 0) {
        end_step(progress);
        snprintf(progress->what, sizeof progress->what, "%s", what);
        progress->started_ns = progress->shown_ns = now;
        progress->started_done = done;
    }
    progress->done = done;
    progress->total = total;
    uint64_t pause_ns = (progress->terminal ? REDRAW_MS : PLAIN_MS) * (uint64_t)1000000;
    if (progress->quiet || now - progress->shown_ns < pause_ns)
        return;
    progress->shown_ns = now;
    if (progress->terminal)
        draw(progress);
    else
        print_plain(progress, false);
}

void cz_progress_end(struct cz_progress *progress)
{
    end_step(progress);
    progress->what[0] = '\0';
}
