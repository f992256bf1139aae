/* tables.h - the tables that are compiled in, and what fills one. */
#ifndef CZ_KERNELS_TABLES_H
#define CZ_KERNELS_TABLES_H

#include "kernels/kernels.h"

extern const struct cz_kernels cz_kernels_portable;
extern const struct cz_kernels cz_kernels_neon;
extern const struct cz_kernels cz_kernels_neon_i8mm;
extern const struct cz_kernels cz_kernels_avx2;
extern const struct cz_kernels cz_kernels_avx2_vnni;
extern const struct cz_kernels cz_kernels_avx512_vnni;
extern const struct cz_kernels cz_kernels_avx512_bf16;

/* The functions of the including file: its own matmul, and elementwise.h and attention.h over its
 * lanes. */
#define CZ_KERNEL_TABLE(table_name)                                                                \
    .name = table_name, .bfloat_bytes = BFLOAT_BYTES, .matmul = matmul, .quantize = quantize,      \
    .rms_norm = rms_norm, .rope = rope, .silu_mul = silu_mul, .gelu_mul = gelu_mul, .add = add,    \
    .scale = scale, .softcap = softcap, .kv_write = kv_write, .attend_chunk = attend_chunk,        \
    .attend_merge = attend_merge, .attend_finish = attend_finish, .maximum = maximum,              \
    .argmax = argmax, .exp_sum = exp_sum, .select = select_ge

#endif
