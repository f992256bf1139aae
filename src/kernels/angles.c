/*
 * angles.c - sine and cosine for rotary embeddings.
 *
 * libm chooses variants by CPU, so that its last bit differs between machines; this is one sequence
 * of double additions and multiplications, good to about 1e-15 for angles up to 2^24, then rounded
 * to float.
 */
#include "kernels/kernels.h"

#include <math.h>

/* Taylor series on [-pi/4, pi/4]; the first term left out is below 1e-17. */
static double sine_kernel(double x)
{
    double z = x * x, p = -1.0 / 1307674368000.0;
    p = p * z + 1.0 / 6227020800.0;
    p = p * z - 1.0 / 39916800.0;
    p = p * z + 1.0 / 362880.0;
    p = p * z - 1.0 / 5040.0;
    p = p * z + 1.0 / 120.0;
    p = p * z - 1.0 / 6.0;
    return x + x * z * p;
}

static double cosine_kernel(double x)
{
    double z = x * x, p = 1.0 / 20922789888000.0;
    p = p * z - 1.0 / 87178291200.0;
    p = p * z + 1.0 / 479001600.0;
    p = p * z - 1.0 / 3628800.0;
    p = p * z + 1.0 / 40320.0;
    p = p * z - 1.0 / 720.0;
    p = p * z + 1.0 / 24.0;
    return 1.0 - 0.5 * z + z * z * p;
}

/* The angle minus the nearest multiple of pi/2, and which multiple (mod 4). pi/2 is split in parts of
 * 28 bits, so that k times the first two is exact. */
static double reduce(double angle, unsigned *quadrant)
{
    double k = rint(angle * 0.63661977236758134308);
    *quadrant = (unsigned)((int64_t)k & 3);
    double r = angle - k * 0x1.921fb54p+0;
    r = r - k * 0x1.10b461p-30;
    return r - k * 0x1.a62633145c06ep-58;
}

void cz_rope_angles(double position, const float *frequency, uint32_t count, float magnitude,
                    float *cosine, float *sine)
{
    for (uint32_t i = 0; i < count; i++) {
        unsigned quadrant;
        double r = reduce(position * (double)frequency[i], &quadrant);
        double s = sine_kernel(r), c = cosine_kernel(r);
        double cosines[4] = {c, -s, -c, s}, sines[4] = {s, c, -s, -c};
        cosine[i] = (float)cosines[quadrant] * magnitude;
        sine[i] = (float)sines[quadrant] * magnitude;
    }
}
