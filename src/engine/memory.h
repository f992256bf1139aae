/* memory.h - how much memory this process may use. */
#ifndef CZ_ENGINE_MEMORY_H
#define CZ_ENGINE_MEMORY_H

#include <stdint.h>

/* Bytes: the machine's, or less where a cgroup (v1, v2) says so. */
uint64_t cz_memory_limit(void);

#endif
