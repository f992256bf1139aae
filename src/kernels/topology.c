/*
 * topology.c - how many threads are worth running here.
 *
 * Sources: sched_getaffinity(2); /sys/devices/system/cpu/cpuN/topology for hyper-threads;
 * /proc/self/cgroup with cpu.max (v2) or cpu.cfs_quota_us and cpu.cfs_period_us (v1) of the group
 * and all its parents. What can't be read limits nothing.
 */
#include "kernels/pool.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CPUS = 4096, PATH_SIZE = 4096 };

/* The first one or two (b not NULL) decimal numbers of a file. */
static bool read_numbers(const char *path, long long *a, long long *b)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    char line[128] = "", *end = line;
    bool read = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    *a = strtoll(line, &end, 10);
    read = read && end != line;
    if (b) {
        char *second = end;
        *b = strtoll(second, &end, 10);
        read = read && end != second;
    }
    return read;
}

/* A CPU counts when it is the first allowed one of its core's hyper-threads: the siblings file
 * begins with the lowest, "0,4" or "0-1". */
static bool first_of_core(const cpu_set_t *allowed, size_t size, int cpu)
{
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    long long lowest;
    if (!read_numbers(path, &lowest, NULL) || lowest < 0 || lowest >= MAX_CPUS)
        return true;
    return lowest == cpu || !CPU_ISSET_S((int)lowest, size, allowed);
}

static uint32_t allowed_cores(void)
{
    cpu_set_t *allowed = CPU_ALLOC(MAX_CPUS);
    size_t size = CPU_ALLOC_SIZE(MAX_CPUS);
    uint32_t cores = 0;
    if (allowed && sched_getaffinity(0, size, allowed) == 0)
        for (int cpu = 0; cpu < MAX_CPUS; cpu++)
            if (CPU_ISSET_S(cpu, size, allowed) && first_of_core(allowed, size, cpu))
                cores++;
    if (allowed)
        CPU_FREE(allowed);
    return cores ? cores : 1;
}

/* CPUs that quota and period pay for, rounded up. */
static uint32_t paid(long long quota, long long period, uint32_t limit)
{
    if (quota <= 0 || period <= 0 || quota / period >= limit)
        return limit;
    uint32_t cpus = (uint32_t)((quota + period - 1) / period);
    return cpus ? cpus : 1;
}

static uint32_t group_limit(const char *folder, bool v2, uint32_t limit)
{
    char path[PATH_SIZE + 64];
    long long quota = 0, period = 0;
    if (v2) { /* "200000 100000" or "max 100000" */
        snprintf(path, sizeof path, "%s/cpu.max", folder);
        return read_numbers(path, &quota, &period) ? paid(quota, period, limit)
                                                                : limit;
    }
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
    if (!read_numbers(path, &quota, NULL))
        return limit;
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
    return read_numbers(path, &period, NULL) ? paid(quota, period, limit) : limit;
}

/* The limit of `group` below `root` and of every parent up to the root itself. */
static uint32_t walk_up(const char *root, const char *group, bool v2, uint32_t limit)
{
    char folder[PATH_SIZE];
    int length = snprintf(folder, sizeof folder, "%s%s", root, group);
    if (length < 0 || (size_t)length >= sizeof folder)
        return limit;
    for (;;) {
        limit = group_limit(folder, v2, limit);
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < strlen(root))
            return limit;
        *slash = 0;
    }
}

/* Whether a comma-separated list of controllers has "cpu". */
static bool has_cpu(char *controllers)
{
    char *rest = NULL;
    for (char *name = strtok_r(controllers, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
        if (strcmp(name, "cpu") == 0)
            return true;
    return false;
}

/* Lines of /proc/self/cgroup: "0::/group" (v2) or "3:cpu,cpuacct:/group" (v1). */
static uint32_t cgroup_limit(uint32_t limit)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (!file)
        return limit;
    char line[PATH_SIZE];
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *group = NULL;
        if (!controllers || !(group = strchr(++controllers, ':')))
            continue;
        *group++ = 0;
        if (*controllers == 0)
            limit = walk_up("/sys/fs/cgroup", group, true, limit);
        else if (has_cpu(controllers))
            limit = walk_up("/sys/fs/cgroup/cpu", group, false, limit);
    }
    fclose(file);
    return limit;
}

uint32_t cz_cpu_threads(void)
{
    uint32_t threads = cgroup_limit(allowed_cores());
    return threads < CZ_POOL_MAX_THREADS ? threads : CZ_POOL_MAX_THREADS;
}
