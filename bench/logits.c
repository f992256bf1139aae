/*
 * logits.c - teacher-forced logits of a model, for bench/quality.py.
 *
 *     cloze-logits MODEL CACHE_FOLDER SEQUENCE_LENGTH <tokens >logits
 *
 * Reads u32 token ids, cuts them in sequences of SEQUENCE_LENGTH, runs each on its own and writes
 * the logits of every position as f32[vocab]. CLOZE_KV=bf16, int8 or f32 chooses another form of the KV
 * cache, CLOZE_QUANTIZE=q8, q4 or bf16 of the weights.
 */
#include "engine/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 64 };

static int fail(const struct cloze_error *error)
{
    fprintf(stderr, "cloze-logits: %s: %s\n", error->where, error->message);
    return 1;
}

static enum cz_kv_type kv_type(void)
{
    const char *name = getenv("CLOZE_KV");
    if (name && strcmp(name, "int8") == 0)
        return CZ_KV_INT8;
    if (name && strcmp(name, "bf16") == 0)
        return CZ_KV_BF16;
    return name && strcmp(name, "f32") == 0 ? CZ_KV_F32 : CZ_KV_F16;
}

/* Rows first..first+count-1 of a sequence; their logits go to `out`. */
static cloze_status run_rows(struct cz_backend *backend, const struct cz_step_sequence *sequence,
                             const uint32_t *tokens, uint32_t first, uint32_t count, uint32_t vocab,
                             float *out, struct cloze_error *error)
{
    struct cz_step_row rows[ROWS];
    struct cz_step_logits logits[ROWS];
    for (uint32_t i = 0; i < count; i++) {
        rows[i] = (struct cz_step_row){tokens[first + i], first + i, 0};
        logits[i] =
            (struct cz_step_logits){.row = i, .count = vocab, .out = out + (size_t)i * vocab};
    }
    struct cz_step step = {sequence, 1, rows, count, logits, count};
    return backend->functions->step(backend, &step, error);
}

int main(int argc, char **argv)
{
    long length = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
    if (length < 1 || length > 1 << 20) {
        fprintf(stderr, "usage: cloze-logits MODEL CACHE_FOLDER SEQUENCE_LENGTH <tokens >logits\n");
        return 2;
    }
    uint32_t blocks = (uint32_t)(length + CZ_KV_BLOCK - 1) / CZ_KV_BLOCK;
    struct cz_backend_options options = {
        .max_rows = ROWS, .max_logits = ROWS, .kv_blocks = blocks, .kv_type = kv_type()};
    const char *form = getenv("CLOZE_QUANTIZE");
    if (form && !cz_quantize_of(form, &options.quantize)) {
        fprintf(stderr, "cloze-logits: CLOZE_QUANTIZE is none of keep, q8, q4, bf16\n");
        return 2;
    }
    struct cloze_error error = {0};
    struct cz_backend *backend;
    if (cz_cpu_backend_open(argv[1], argv[2], &options, &backend, &error))
        return fail(&error);
    struct cz_backend_info info;
    backend->functions->info(backend, &info);
    uint32_t *tokens = calloc((size_t)length, sizeof *tokens);
    uint32_t *block = calloc(blocks, sizeof *block);
    float *out = calloc((size_t)ROWS * info.vocab, sizeof *out);
    int result = tokens && block && out ? 0 : 1;
    for (uint32_t i = 0; i < blocks && !result; i++)
        block[i] = i;
    struct cz_step_sequence sequence = {block, blocks};
    for (size_t got; !result && (got = fread(tokens, 4, (size_t)length, stdin));) {
        for (uint32_t first = 0; first < got && !result; first += ROWS) {
            uint32_t count = (uint32_t)got - first < ROWS ? (uint32_t)got - first : ROWS;
            if (run_rows(backend, &sequence, tokens, first, count, info.vocab, out, &error))
                result = fail(&error);
            else if (fwrite(out, 4 * (size_t)info.vocab, count, stdout) != count)
                result = 1;
        }
    }
    backend->functions->close(backend);
    free(tokens);
    free(block);
    free(out);
    return result;
}
