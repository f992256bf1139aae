/* rope.c - base frequencies of every RoPE type, after transformers' modeling_rope_utils. */
#include "engine/rope.h"

#include "kernels/kernels.h"

#include <math.h>

#define TWO_PI 6.283185307179586

/* transformers computes 1 / theta^(2i/d) in float32; the rounding is repeated here, because at
 * position 10,000 it turns into a difference of 1e-3 radians. */
static float base_frequency(double theta, uint32_t pair, uint32_t dims)
{
    float exponent = (float)(2 * pair) / (float)dims;
    float power = (float)pow(theta, (double)exponent);
    return 1.0f / power;
}

/* "llama3": long waves are stretched by the factor, short ones kept, those between blended. */
static float llama3_frequency(const struct cz_rope *rope, double frequency)
{
    double wave = TWO_PI / frequency;
    double original = rope->original_context;
    if (wave > original / rope->low_freq_factor)
        return (float)(frequency / rope->factor);
    if (wave < original / rope->high_freq_factor)
        return (float)frequency;
    double smooth = (original / wave - rope->low_freq_factor) /
                    (rope->high_freq_factor - rope->low_freq_factor);
    return (float)((1 - smooth) * frequency / rope->factor + smooth * frequency);
}

/* The dimension at which a wave turns `rotations` times within the original context. */
static double yarn_dimension(const struct cz_rope *rope, double rotations)
{
    return rope->dims * log(rope->original_context / (rotations * TWO_PI)) / (2 * log(rope->theta));
}

static float yarn_frequency(const struct cz_rope *rope, double frequency, uint32_t pair)
{
    double low = fmax(floor(yarn_dimension(rope, rope->beta_fast)), 0);
    double high = fmin(ceil(yarn_dimension(rope, rope->beta_slow)), rope->dims - 1.0);
    if (high == low)
        high += 0.001;
    double ramp = fmin(fmax((pair - low) / (high - low), 0), 1);
    return (float)(ramp * frequency / rope->factor + (1 - ramp) * frequency);
}

static float frequency_of(const struct cz_rope *rope, uint32_t pair)
{
    float frequency = base_frequency(rope->theta, pair, rope->dims);
    switch (rope->type) {
    case CZ_ROPE_LINEAR:
        return (float)(frequency / rope->factor);
    case CZ_ROPE_LLAMA3:
        return llama3_frequency(rope, frequency);
    case CZ_ROPE_YARN:
        return yarn_frequency(rope, frequency, pair);
    case CZ_ROPE_LONGROPE:
        return frequency / rope->short_factors[pair];
    case CZ_ROPE_DEFAULT:
    case CZ_ROPE_DYNAMIC:
        break;
    }
    return frequency;
}

void cz_rope_prepare(const struct cz_rope *rope, const float *divisors, uint32_t context,
                     struct cz_rope_table *table, float *frequencies, float *long_frequencies)
{
    *table = (struct cz_rope_table){
        .dims = rope->dims,
        .attention_factor = (float)rope->attention_factor,
        .theta = rope->theta,
        .dynamic_factor = rope->factor,
    };
    for (uint32_t pair = 0; pair < rope->dims / 2; pair++) {
        frequencies[pair] = frequency_of(rope, pair);
        if (divisors)
            frequencies[pair] /= divisors[pair];
    }
    if (rope->type == CZ_ROPE_DYNAMIC)
        table->dynamic_from = rope->original_context ? rope->original_context : context;
    if (rope->type != CZ_ROPE_LONGROPE)
        return;
    table->switch_at = rope->original_context;
    for (uint32_t pair = 0; pair < rope->dims / 2; pair++)
        long_frequencies[pair] =
            base_frequency(rope->theta, pair, rope->dims) / rope->long_factors[pair];
}

/* "dynamic": the base that spreads the trained range over `length` positions. */
static double dynamic_theta(const struct cz_rope_table *table, uint32_t length)
{
    double stretch =
        table->dynamic_factor * length / table->dynamic_from - (table->dynamic_factor - 1);
    return table->theta * pow(stretch, table->dims / (table->dims - 2.0));
}

void cz_rope_row(const struct cz_rope_table *table, const float *frequencies, uint32_t position,
                 float *cosine, float *sine)
{
    bool dynamic = table->dynamic_from && position >= table->dynamic_from;
    double theta = dynamic ? dynamic_theta(table, position + 1) : 0;
    uint32_t half = table->dims / 2;
    for (uint32_t pair = 0; pair < half; pair++) {
        float frequency = dynamic ? base_frequency(theta, pair, table->dims) : frequencies[pair];
        cosine[pair] = (float)position * frequency; /* rounded to float, as transformers does */
    }
    cz_rope_angles(1, cosine, half, table->attention_factor, cosine, sine);
}
