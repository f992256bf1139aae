/* size.h - arithmetic on sizes that come from input: checked before it is used. */
#ifndef CZ_BASE_SIZE_H
#define CZ_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* false when the result does not fit; *out is then unspecified. */
static inline bool cz_size_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

static inline bool cz_size_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline size_t cz_size_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t cz_size_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* `value` rounded up to a multiple of `alignment`, a power of two; value must be far from the end. */
static inline size_t cz_size_align(size_t value, size_t alignment)
{
    return (value + alignment - 1) & ~(alignment - 1);
}

#endif
