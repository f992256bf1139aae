/* Attention against sums in double precision, every table against the portable one, and calls of one
 * row against calls of many. */
#include "test.h"

#include "kernels_data.h"

enum { POSITIONS = 600, BLOCKS = (POSITIONS + 31) / 32, HEADS = 3, ROWS = 5 };

/* Keys and values of one head in tiles whose blocks are in no order. */
struct cache {
    enum cz_kv_form form;
    uint32_t dims;
    float *keys, *values; /* [POSITIONS][dims], as they were written */
    unsigned char *tiles;
    uint32_t blocks[BLOCKS];
};

static void cache_fill(struct cache *cache, const struct cz_kernels *kernels)
{
    size_t bytes = cz_kv_tile_bytes(cache->form, cache->dims);
    memset(cache->tiles, 0xff, bytes * BLOCKS); /* NaN wherever nothing is written */
    for (uint32_t p = 0; p < POSITIONS; p++)
        kernels->kv_write(cache->form, cache->dims, cache->tiles + cache->blocks[p / 32] * bytes,
                          p % 32, cache->keys + (size_t)p * cache->dims,
                          cache->values + (size_t)p * cache->dims);
}

static void cache_random(struct cache *cache, enum cz_kv_form form, uint32_t dims)
{
    *cache = (struct cache){.form = form, .dims = dims};
    cache->keys = floats((size_t)POSITIONS * dims);
    cache->values = floats((size_t)POSITIONS * dims);
    cache->tiles = aligned_bytes(cz_kv_tile_bytes(form, dims) * BLOCKS);
    for (size_t i = 0; i < (size_t)POSITIONS * dims; i++) {
        cache->keys[i] = random_float();
        cache->values[i] = random_float();
    }
    for (uint32_t b = 0; b < BLOCKS; b++)
        cache->blocks[b] = (b * 7 + 3) % BLOCKS;
}

static void cache_free(struct cache *cache)
{
    free(cache->keys);
    free(cache->values);
    free(cache->tiles);
}

static struct cz_attention attention_of(const struct cache *cache, const float *queries)
{
    return (struct cz_attention){
        .form = cache->form, .head_dim = cache->dims, .heads = HEADS, .rows = ROWS, .scale = 0.3f,
        .queries = queries, .query_stride = HEADS * cache->dims, .tiles = cache->tiles,
        .block_stride = cz_kv_tile_bytes(cache->form, cache->dims), .blocks = cache->blocks};
}

static void expected(const struct cz_attention *a, const struct cache *cache, uint32_t row,
                     uint32_t head, double *out)
{
    uint32_t end = a->first_position + row + 1, first = 0;
    if (a->window && end > a->window)
        first = end - a->window;
    const float *query = a->queries + row * a->query_stride + (size_t)head * a->head_dim;
    double sum = 0;
    memset(out, 0, a->head_dim * sizeof *out);
    for (uint32_t p = first; p < end; p++) {
        double score = 0;
        for (uint32_t d = 0; d < a->head_dim; d++)
            score += (double)query[d] * cache->keys[(size_t)p * a->head_dim + d];
        score *= a->scale;
        if (a->cap != 0)
            score = a->cap * tanh(score / a->cap);
        double weight = exp(score);
        sum += weight;
        for (uint32_t d = 0; d < a->head_dim; d++)
            out[d] += weight * cache->values[(size_t)p * a->head_dim + d];
    }
    for (uint32_t d = 0; d < a->head_dim; d++)
        out[d] /= sum;
}

static void check_attention(const struct cz_kernels *kernels, const struct cz_attention *a,
                            const struct cache *cache, double tolerance)
{
    float *scratch = floats(cz_attention_scratch(a->head_dim));
    float *out = floats((size_t)ROWS * HEADS * a->head_dim);
    double want[CZ_MAX_HEAD_DIM];
    cz_attend(kernels, a, scratch, out, HEADS * a->head_dim);
    for (uint32_t row = 0; row < ROWS; row++)
        for (uint32_t head = 0; head < HEADS; head++) {
            expected(a, cache, row, head, want);
            for (uint32_t d = 0; d < a->head_dim; d++) {
                double got = out[((size_t)row * HEADS + head) * a->head_dim + d];
                if (!(fabs(got - want[d]) <= tolerance))
                    fail_msg("%s form %d dims %u position %u window %u row %u head %u: [%u] is %g,"
                             " expected %g", kernels->name, (int)a->form, a->head_dim,
                             a->first_position, a->window, row, head, d, got, want[d]);
            }
        }
    free(out);
    free(scratch);
}

static void attention_is_softmax(void **state)
{
    (void)state;
    static const double tolerance[] = {
        [CZ_KV_FORM_F16] = 2e-3, [CZ_KV_FORM_BF16] = 1e-2, [CZ_KV_FORM_INT8] = 1.5e-2,
        [CZ_KV_FORM_F32] = 1e-5};
    static const uint32_t dims[] = {16, 48, 64, 128};
    const struct cz_kernels *kernels;
    for (int form = 0; form < 4; form++)
        for (size_t i = 0; i < 4; i++) {
            struct cache cache;
            cache_random(&cache, (enum cz_kv_form)form, dims[i]);
            float *queries = floats((size_t)ROWS * HEADS * dims[i]);
            for (uint32_t q = 0; q < ROWS * HEADS * dims[i]; q++)
                queries[q] = random_float();
            struct cz_attention a = attention_of(&cache, queries);
            for (uint32_t t = 0; (kernels = cz_kernels_at(t)); t++) {
                cache_fill(&cache, kernels);
                static const uint32_t positions[] = {0, 30, 253, 300, POSITIONS - ROWS};
                for (size_t p = 0; p < 5; p++) {
                    a.first_position = positions[p];
                    a.window = 0;
                    a.cap = 0;
                    check_attention(kernels, &a, &cache, tolerance[form]);
                    a.window = 40;
                    a.cap = 5;
                    check_attention(kernels, &a, &cache, tolerance[form]);
                }
            }
            free(queries);
            cache_free(&cache);
        }
}

/* Tables agree bit by bit, and a row alone gives what it gives among others. */
static void rows_and_tables_agree(void **state)
{
    (void)state;
    const struct cz_kernels *kernels;
    enum { DIMS = 64 };
    float *scratch = floats(cz_attention_scratch(DIMS)), queries[ROWS * HEADS * DIMS];
    float want[ROWS * HEADS * DIMS], got[ROWS * HEADS * DIMS];
    for (size_t i = 0; i < ROWS * HEADS * DIMS; i++)
        queries[i] = random_float();
    for (int form = 0; form < 4; form++) {
        struct cache cache;
        cache_random(&cache, (enum cz_kv_form)form, DIMS);
        struct cz_attention a = attention_of(&cache, queries);
        a.first_position = 510;
        a.window = 300;
        for (uint32_t t = 0; (kernels = cz_kernels_at(t)); t++) {
            cache_fill(&cache, kernels);
            cz_attend(kernels, &a, scratch, t ? got : want, HEADS * DIMS);
            if (t)
                assert_memory_equal(got, want, sizeof want);
            for (uint32_t row = 0; row < ROWS; row++) {
                struct cz_attention one = a;
                one.rows = 1;
                one.first_position += row;
                one.queries += row * one.query_stride;
                cz_attend(kernels, &one, scratch, got, 0);
                assert_memory_equal(got, want + row * HEADS * DIMS, HEADS * DIMS * sizeof *got);
            }
        }
        cache_free(&cache);
    }
    free(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_is_softmax),
        cmocka_unit_test(rows_and_tables_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
