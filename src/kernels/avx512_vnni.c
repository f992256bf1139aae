/*
 * avx512_vnni.c - AVX-512 with VNNI; bf16 by f32 multiply-adds.
 *
 * Also the better one of the two on Intel CPUs with BF16: there vdpbf16ps takes four times as long
 * as a multiply-add (measured on Emerald Rapids), for twice the work.
 */
#include "kernels/vectors_avx512.h"

#include "kernels/product.h"

const struct cz_kernels cz_kernels_avx512_vnni = {CZ_KERNEL_TABLE("avx512-vnni")};
