/*
 * sampler.c - penalties, filters and the draw.
 *
 * The usual case touches all logits twice (maximum, exponentials); the filters look only at tokens
 * above a weight that is lowered until enough of them are found, and order those with a heap.
 * Everything that decides is computed in one fixed order: same logits, same token.
 */
#include "engine/sampler.h"

#include "kernels/kernels.h"

#include <math.h>
#include <stdlib.h>

/* ---- Checks ---- */

static bool is_fraction(double value)
{
    return value >= 0 && value <= 1;
}

cloze_status cz_sampling_check(const struct cz_sampling *sampling, struct cloze_error *error)
{
    const struct {
        const char *name;
        bool fits;
        const char *expected;
    } checks[] = {
        {"temperature", sampling->temperature >= 0 && sampling->temperature <= 100,
         "a number from 0 to 100"},
        {"top_p", is_fraction(sampling->top_p), "a number from 0 to 1"},
        {"min_p", is_fraction(sampling->min_p), "a number from 0 to 1"},
        {"typical_p", is_fraction(sampling->typical_p), "a number from 0 to 1"},
        {"repetition_penalty",
         sampling->repetition_penalty >= 0 && sampling->repetition_penalty <= 100,
         "a number from 0 to 100"},
        {"presence_penalty", fabs(sampling->presence_penalty) <= 100, "a number from -100 to 100"},
        {"frequency_penalty", fabs(sampling->frequency_penalty) <= 100,
         "a number from -100 to 100"},
        {"logit_bias", sampling->bias_count <= CZ_SAMPLER_MOST_BIASES, "at most 1,024 entries"},
        {"logprobs", sampling->logprobs <= CZ_LOGPROBS_MOST + 1, "at most 20 alternatives"},
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        if (!checks[i].fits)
            return cz_fail(error, CLOZE_INVALID, checks[i].name, "%s must be %s", checks[i].name,
                           checks[i].expected);
    }
    for (uint32_t i = 0; i < sampling->bias_count; i++) {
        if (!(fabsf(sampling->biases[i].bias) <= 1e4f))
            return cz_fail(error, CLOZE_INVALID, "logit_bias",
                           "a bias must be a number from -10,000 to 10,000");
    }
    return CLOZE_OK;
}

/* ---- Token counts ---- */

bool cz_sampling_needs_counts(const struct cz_sampling *sampling)
{
    bool repetition = sampling->repetition_penalty != 0 && sampling->repetition_penalty != 1;
    return repetition || sampling->presence_penalty != 0 || sampling->frequency_penalty != 0;
}

cloze_status cz_token_counts_init(struct cz_token_counts *counts, uint32_t tokens,
                                  struct cloze_error *error)
{
    uint32_t capacity = 16;
    while (capacity < tokens && capacity < 1u << 30)
        capacity *= 2;
    counts->capacity = capacity * 2; /* at most half full */
    counts->slots = calloc(counts->capacity, sizeof *counts->slots);
    return counts->slots ? CLOZE_OK : cz_fail_memory(error, "token counts");
}

void cz_token_counts_add(struct cz_token_counts *counts, uint32_t id, bool in_answer)
{
    uint32_t mask = counts->capacity - 1;
    uint32_t at = id * 2654435761u & mask;
    while (counts->slots[at].used && counts->slots[at].id != id)
        at = (at + 1) & mask;
    struct cz_token_count *slot = &counts->slots[at];
    slot->used = true;
    slot->id = id;
    slot->in_answer += in_answer;
}

void cz_token_counts_free(struct cz_token_counts *counts)
{
    free(counts->slots);
    *counts = (struct cz_token_counts){0};
}

/* ---- Random numbers ---- */

/* The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection that mixes all bits. */
static uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

double cz_random_unit(uint64_t seed, uint32_t choice, uint32_t position)
{
    uint64_t bits = mix(mix(seed) ^ ((uint64_t)choice << 32 | position));
    return (double)(mix(bits) >> 11) * 0x1p-53;
}

/* ---- Memory ---- */

cloze_status cz_sampler_create(uint32_t width, struct cz_sampler *sampler,
                               struct cloze_error *error)
{
    *sampler = (struct cz_sampler){.width = width};
    sampler->weights = calloc(width, sizeof *sampler->weights);
    sampler->selected = calloc(width, sizeof *sampler->selected);
    sampler->original = calloc(width, sizeof *sampler->original);
    sampler->ranks = calloc(width / 32 + 1, sizeof *sampler->ranks);
    if (sampler->weights && sampler->selected && sampler->original && sampler->ranks)
        return cz_kernels_select(&sampler->kernels, error);
    cz_sampler_free(sampler);
    return cz_fail_memory(error, "sampler");
}

void cz_sampler_free(struct cz_sampler *sampler)
{
    free(sampler->weights);
    free(sampler->selected);
    free(sampler->original);
    free(sampler->ranks);
    *sampler = (struct cz_sampler){0};
}

/* ---- Ids and their places among the allowed ones ---- */

struct work {
    struct cz_sampler *sampler;
    const struct cz_sampling *sampling;
    const struct cz_mask *mask;
    float *logits; /* [count] of the allowed ids */
    uint32_t count;
};

static uint32_t id_of(const struct cz_mask *mask, uint32_t index)
{
    if (mask->ids)
        return mask->ids[index];
    if (!mask->words)
        return index;
    uint32_t word = 0;
    while (index >= (uint32_t)__builtin_popcount(mask->words[word]))
        index -= (uint32_t)__builtin_popcount(mask->words[word++]);
    uint32_t bits = mask->words[word];
    while (index--)
        bits &= bits - 1;
    return word * 32 + (uint32_t)__builtin_ctz(bits);
}

static void rank_words(const struct work *work)
{
    uint32_t rank = 0;
    for (uint32_t i = 0; work->mask->words && i < (work->sampler->width + 31) / 32; i++) {
        work->sampler->ranks[i] = rank;
        rank += (uint32_t)__builtin_popcount(work->mask->words[i]);
    }
}

/* The place of an id, or count when it isn't allowed. Dense masks need rank_words before. */
static uint32_t index_of(const struct work *work, uint32_t id)
{
    const struct cz_mask *mask = work->mask;
    if (id >= work->sampler->width)
        return work->count;
    if (mask->words) {
        uint32_t word = mask->words[id / 32], bit = 1u << id % 32;
        return word & bit
                   ? work->sampler->ranks[id / 32] + (uint32_t)__builtin_popcount(word & (bit - 1))
                   : work->count;
    }
    if (!mask->ids)
        return id < work->count ? id : work->count;
    uint32_t low = 0, high = work->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (mask->ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < work->count && mask->ids[low] == id ? low : work->count;
}

/* Full logits to those of the allowed ids, in place: every id's place is at or before it. */
static void compress(const struct cz_draw *draw)
{
    const struct cz_mask *mask = &draw->mask;
    uint32_t count = 0;
    if (mask->ids) {
        for (uint32_t i = 0; i < mask->count; i++)
            draw->logits[i] = draw->logits[mask->ids[i]];
    } else if (mask->words) {
        for (uint32_t word = 0; count < mask->count; word++) {
            for (uint32_t bits = mask->words[word]; bits; bits &= bits - 1)
                draw->logits[count++] = draw->logits[word * 32 + (uint32_t)__builtin_ctz(bits)];
        }
    }
}

/* ---- Penalties ---- */

static void penalise(const struct work *work, const struct cz_token_count *token)
{
    const struct cz_sampling *sampling = work->sampling;
    uint32_t index = index_of(work, token->id);
    if (index == work->count)
        return;
    float *logit = &work->logits[index];
    float repetition = (float)sampling->repetition_penalty;
    if (repetition != 0)
        *logit = *logit > 0 ? *logit / repetition : *logit * repetition;
    if (token->in_answer)
        *logit -= (float)(sampling->presence_penalty +
                          sampling->frequency_penalty * (double)token->in_answer);
}

static void apply_penalties(const struct work *work, const struct cz_token_counts *counts)
{
    const struct cz_sampling *sampling = work->sampling;
    if (!counts && !sampling->bias_count)
        return;
    rank_words(work);
    for (uint32_t i = 0; counts && i < counts->capacity; i++) {
        if (counts->slots[i].used)
            penalise(work, &counts->slots[i]);
    }
    for (uint32_t i = 0; i < sampling->bias_count; i++) {
        uint32_t index = index_of(work, sampling->biases[i].id);
        if (index < work->count)
            work->logits[index] += sampling->biases[i].bias;
    }
}

/* ---- Filters ---- */

/* Candidates are places among the allowed; `keys` orders them, higher first, then lower places. */
static bool goes_before(const float *keys, uint32_t a, uint32_t b)
{
    return keys[a] > keys[b] || (keys[a] == keys[b] && a < b);
}

static void sift_down(const float *keys, uint32_t *heap, uint32_t at, uint32_t count)
{
    uint32_t item = heap[at];
    for (uint32_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && goes_before(keys, heap[child + 1], heap[child]))
            child++;
        if (!goes_before(keys, heap[child], item))
            break;
        heap[at] = heap[child];
    }
    heap[at] = item;
}

static void make_heap(const float *keys, uint32_t *heap, uint32_t count)
{
    for (uint32_t i = count / 2; i-- > 0;)
        sift_down(keys, heap, i, count);
}

/* Takes the first of `count` out of the heap and puts it behind the rest: taken ones end up at the
 * array's end, the first taken last. */
static uint32_t take_first(const float *keys, uint32_t *heap, uint32_t count)
{
    uint32_t first = heap[0];
    heap[0] = heap[count - 1];
    heap[count - 1] = first;
    sift_down(keys, heap, 0, count - 1);
    return first;
}

/* The candidates of largest key, until `most` are taken or their weights reach `mass`; they move to
 * the front of the array in the order taken. Returns how many. */
static uint32_t take_until(const float *keys, const float *weights, uint32_t *heap, uint32_t count,
                           uint32_t most, double mass)
{
    uint32_t taken = 0;
    double sum = 0;
    make_heap(keys, heap, count);
    while (taken < count && taken < most && (taken == 0 || sum < mass)) {
        sum += (double)weights[take_first(keys, heap, count - taken)];
        taken++;
    }
    for (uint32_t i = 0; i < taken && i < count - 1 - i; i++) {
        uint32_t other = heap[i];
        heap[i] = heap[count - 1 - i];
        heap[count - 1 - i] = other;
    }
    return taken;
}

static double sum_of(const float *weights, const uint32_t *places, uint32_t count)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += (double)weights[places[i]];
    return sum;
}

/* The places above a weight that is lowered until they number `most` or weigh `mass`. Weights are
 * relative to the largest, which is 1. */
static uint32_t select_enough(const struct work *work, uint32_t most, double mass)
{
    struct cz_sampler *sampler = work->sampler;
    static const float thresholds[] = {0x1p-4f, 0x1p-8f, 0x1p-13f, 0x1p-20f, 0};
    for (size_t i = 0;; i++) {
        uint32_t count = sampler->kernels->select(sampler->weights, work->count, thresholds[i],
                                                  sampler->selected, sampler->width);
        if (thresholds[i] == 0 || count >= most ||
            (mass > 0 && sum_of(sampler->weights, sampler->selected, count) >= mass))
            return count;
    }
}

static bool uses(double fraction)
{
    return fraction > 0 && fraction < 1;
}

static uint32_t keep_top_k(const struct work *work, double *total)
{
    struct cz_sampler *sampler = work->sampler;
    uint32_t kept = select_enough(work, work->sampling->top_k, 0);
    kept = take_until(sampler->weights, sampler->weights, sampler->selected, kept,
                      work->sampling->top_k, INFINITY);
    *total = sum_of(sampler->weights, sampler->selected, kept);
    return kept;
}

static uint32_t keep_top_p(const struct work *work, uint32_t kept, double total)
{
    struct cz_sampler *sampler = work->sampler;
    double mass = work->sampling->top_p * total;
    if (!kept)
        kept = select_enough(work, UINT32_MAX, mass);
    return take_until(sampler->weights, sampler->weights, sampler->selected, kept, UINT32_MAX,
                      mass);
}

static uint32_t keep_min_p(const struct work *work, uint32_t kept)
{
    struct cz_sampler *sampler = work->sampler;
    float least = (float)work->sampling->min_p;
    if (!kept)
        return sampler->kernels->select(sampler->weights, work->count, least, sampler->selected,
                                        sampler->width);
    uint32_t left = 0;
    for (uint32_t i = 0; i < kept; i++) {
        if (sampler->weights[sampler->selected[i]] >= least)
            sampler->selected[left++] = sampler->selected[i];
    }
    return left;
}

/* ln x for x > 0, not by libm, whose last bits depend on the machine: x = m * 2^e, and the series
 * of 2 artanh((m - 1) / (m + 1)). */
static double logarithm(double x)
{
    int exponent;
    double m = frexp(x, &exponent);
    if (m < 0.70710678118654752) {
        m *= 2;
        exponent--;
    }
    double y = (m - 1) / (m + 1), square = y * y, sum = 0;
    for (int i = 21; i >= 1; i -= 2)
        sum = sum * square + 1.0 / i;
    return 2 * y * sum + exponent * 0.69314718055994531;
}

/* Locally typical sampling (Meister et al. 2022): the tokens whose surprise is nearest to the
 * entropy. The keys overwrite the logits, which nothing needs any more. */
static uint32_t keep_typical(const struct work *work, uint32_t kept)
{
    struct cz_sampler *sampler = work->sampler;
    const float *weights = sampler->weights;
    if (!kept)
        kept = sampler->kernels->select(weights, work->count, 0x1p-149f, sampler->selected,
                                        sampler->width);
    double total = sum_of(weights, sampler->selected, kept), entropy = 0;
    for (uint32_t i = 0; i < kept; i++) {
        double p = (double)weights[sampler->selected[i]] / total;
        entropy -= p > 0 ? p * logarithm(p) : 0;
    }
    for (uint32_t i = 0; i < kept; i++) {
        uint32_t place = sampler->selected[i];
        double p = (double)weights[place] / total;
        work->logits[place] = p > 0 ? (float)-fabs(-logarithm(p) - entropy) : -INFINITY;
    }
    return take_until(work->logits, weights, sampler->selected, kept, UINT32_MAX,
                      work->sampling->typical_p * total);
}

/* Leaves the surviving places at the front of sampler->selected; 0: all survive. */
static uint32_t filter(const struct work *work, double total)
{
    const struct cz_sampling *sampling = work->sampling;
    uint32_t kept = 0;
    if (sampling->top_k && sampling->top_k < work->count)
        kept = keep_top_k(work, &total);
    if (uses(sampling->top_p))
        kept = keep_top_p(work, kept, total);
    if (uses(sampling->min_p))
        kept = keep_min_p(work, kept);
    if (uses(sampling->typical_p))
        kept = keep_typical(work, kept);
    return kept;
}

/* ---- The draw ---- */

static uint32_t draw_among(const struct work *work, uint32_t kept, double random)
{
    const float *weights = work->sampler->weights;
    const uint32_t *selected = kept ? work->sampler->selected : NULL;
    uint32_t count = kept ? kept : work->count, last = 0;
    double total = 0, sum = 0;
    for (uint32_t i = 0; i < count; i++)
        total += (double)weights[selected ? selected[i] : i];
    for (uint32_t i = 0; i < count; i++) {
        uint32_t place = selected ? selected[i] : i;
        if (weights[place] > 0) {
            sum += (double)weights[place];
            last = place;
            if (sum > random * total)
                break;
        }
    }
    return last; /* rounding may leave the sum just below: the last one then */
}

/* ---- Log-probabilities ---- */

static void take_logprobs(const struct work *work, float maximum, double log_total,
                          struct cz_logprobs *out)
{
    struct cz_sampler *sampler = work->sampler;
    uint32_t wanted = work->sampling->logprobs - 1;
    out->count = 0;
    if (!wanted)
        return;
    uint32_t count = select_enough(work, wanted, 0);
    out->count =
        take_until(sampler->weights, sampler->weights, sampler->selected, count, wanted, INFINITY);
    for (uint32_t i = 0; i < out->count; i++) {
        uint32_t place = sampler->selected[i];
        out->top[i].id = id_of(work->mask, place);
        out->top[i].logprob = (float)((double)(work->logits[place] - maximum) - log_total);
    }
}

/* What log-probabilities are taken from, kept until the token is known. */
struct basis {
    float maximum;
    double log_total;
};

static struct basis measure(const struct work *work, struct cz_logprobs *out)
{
    struct cz_sampler *sampler = work->sampler;
    struct basis basis;
    basis.maximum = sampler->kernels->maximum(work->logits, work->count);
    float total =
        sampler->kernels->exp_sum(work->logits, work->count, basis.maximum, 1, sampler->weights);
    basis.log_total = logarithm((double)total);
    take_logprobs(work, basis.maximum, basis.log_total, out);
    return basis;
}

static cloze_status pick(const struct work *work, const struct cz_draw *draw, uint32_t *place,
                         struct cloze_error *error)
{
    const struct cz_kernels *kernels = work->sampler->kernels;
    float maximum = kernels->maximum(work->logits, work->count);
    if (!(maximum > -INFINITY) || maximum == INFINITY)
        return cz_fail(error, CLOZE_CORRUPT, "model",
                       "the model's output is not a number: its weights are damaged or overflow");
    if (work->sampling->temperature == 0) {
        *place = kernels->argmax(work->logits, work->count);
        return CLOZE_OK;
    }
    float factor = (float)(1 / work->sampling->temperature);
    float total =
        kernels->exp_sum(work->logits, work->count, maximum, factor, work->sampler->weights);
    uint32_t kept = filter(work, (double)total);
    *place = draw_among(work, kept, cz_random_unit(draw->seed, draw->choice, draw->position));
    return CLOZE_OK;
}

cloze_status cz_sample(struct cz_sampler *sampler, const struct cz_sampling *sampling,
                       const struct cz_draw *draw, uint32_t *id, struct cz_logprobs *logprobs,
                       struct cloze_error *error)
{
    struct cz_mask all = {.count = draw->full_count};
    struct work whole = {sampler, sampling, &all, draw->logits, draw->full_count};
    struct work work = {sampler, sampling, &draw->mask, draw->logits, draw->mask.count};
    struct basis basis = {0};
    bool of_whole = draw->full && sampling->logprobs_are_raw;
    uint32_t place = 0;
    if (logprobs && of_whole)
        basis = measure(&whole, logprobs);
    if (draw->full)
        compress(draw);
    if (logprobs && !of_whole)
        basis = measure(&work, logprobs);
    if (logprobs)
        memcpy(sampler->original, work.logits, work.count * sizeof *work.logits);
    apply_penalties(&work, draw->counts);
    cloze_status status = pick(&work, draw, &place, error);
    if (status)
        return status;
    *id = id_of(&draw->mask, place);
    if (logprobs) {
        logprobs->id = *id;
        logprobs->logprob =
            (float)((double)(sampler->original[place] - basis.maximum) - basis.log_total);
    }
    return CLOZE_OK;
}
