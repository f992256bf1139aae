/* neon.c - 64-bit Arm with the dot product instructions (Armv8.2 and later). */
#include "kernels/vectors_neon.h"

#include "kernels/product.h"

const struct cz_kernels cz_kernels_neon = {CZ_KERNEL_TABLE("neon-dotprod")};
