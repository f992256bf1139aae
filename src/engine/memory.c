/* memory.c - see memory.h. */
#include "engine/memory.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

/* The number in a file, or `limit` when that is less or there is none ("max", no such file). */
static uint64_t smaller(const char *folder, const char *name, uint64_t limit)
{
    char path[PATH_SIZE + 64], line[64] = "";
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    if (!file)
        return limit;
    bool read = fgets(line, sizeof line, file) && line[0] >= '0' && line[0] <= '9';
    fclose(file);
    unsigned long long value = read ? strtoull(line, NULL, 10) : ULLONG_MAX;
    return value < limit ? value : limit;
}

/* The limit of a group and of every parent up to `root`. */
static uint64_t walk_up(const char *root, const char *group, const char *name, uint64_t limit)
{
    char folder[PATH_SIZE];
    int length = snprintf(folder, sizeof folder, "%s%s", root, group);
    if (length < 0 || (size_t)length >= sizeof folder)
        return limit;
    for (;;) {
        limit = smaller(folder, name, limit);
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < strlen(root))
            return limit;
        *slash = '\0';
    }
}

/* Lines of /proc/self/cgroup: "0::/group" (v2) or "3:memory:/group" (v1). */
uint64_t cz_memory_limit(void)
{
    uint64_t limit = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    FILE *file = fopen("/proc/self/cgroup", "re");
    char line[PATH_SIZE];
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':'), *group = NULL;
        if (!controllers || !(group = strchr(++controllers, ':')))
            continue;
        *group++ = '\0';
        if (*controllers == '\0')
            limit = walk_up("/sys/fs/cgroup", group, "memory.max", limit);
        else if (strcmp(controllers, "memory") == 0)
            limit = walk_up("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes", limit);
    }
    if (file)
        fclose(file);
    return limit;
}
