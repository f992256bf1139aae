#!/bin/sh
# Compiles the kernels for 64-bit Arm and compares NEON with portable C under qemu. ./check installs
# the cross compiler and the emulator.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
compiler=${ARM64_CC:-aarch64-linux-gnu-gcc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags="-std=c17 -O2 -Wall -Wextra -Werror -Wno-maybe-uninitialized -D_GNU_SOURCE
       -ffp-contract=off -fno-strict-aliasing -fno-math-errno -I$root/include -I$root/src
       -I$root/tests/unit/kernels"
arch=-march=armv8.2-a+dotprod
$compiler $flags $arch -c "$root/src/kernels/neon.c" -o "$work/neon.o"
$compiler $flags $arch+i8mm -c "$root/src/kernels/neon_i8mm.c" -o "$work/neon_i8mm.o"
sources="$root/tests/arm64/same_bits.c $root/src/base/error.c $root/src/base/clock.c"
for name in angles kernels pack packed pool portable quantize topology; do
    sources="$sources $root/src/kernels/$name.c"
done
$compiler $flags -static -pthread $sources "$work"/neon*.o -lm -o "$work/same_bits"
qemu-aarch64 -cpu max "$work/same_bits"
