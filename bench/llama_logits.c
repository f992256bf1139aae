/*
 * llama_logits.c - teacher-forced logits of a model by llama.cpp, for bench/quality.py.
 *
 *     llama-logits MODEL SEQUENCE_LENGTH THREADS <tokens >logits
 *
 * Reads and writes what cloze-logits does (logits.c). Not part of the build, for it needs
 * llama.cpp:
 *
 *     cc -O2 bench/llama_logits.c -I LLAMA/include -I LLAMA/ggml/include -L LLAMA/build/bin \
 *        -Wl,-rpath,LLAMA/build/bin -lllama -o build/llama-logits
 */
#include <llama.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const char *what)
{
    fprintf(stderr, "llama-logits: %s\n", what);
    return 1;
}

static void be_quiet(enum ggml_log_level level, const char *text, void *context)
{
    (void)context;
    if (level == GGML_LOG_LEVEL_ERROR)
        fputs(text, stderr);
}

static struct llama_context *open_context(struct llama_model *model, uint32_t length, int threads)
{
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = params.n_ubatch = length;
    params.n_threads = params.n_threads_batch = threads;
    return llama_init_from_model(model, params);
}

static int run_sequence(struct llama_context *context, struct llama_batch *batch, size_t vocab)
{
    llama_memory_clear(llama_get_memory(context), true);
    if (llama_decode(context, *batch))
        return fail("llama_decode failed");
    for (int32_t i = 0; i < batch->n_tokens; i++) {
        if (fwrite(llama_get_logits_ith(context, i), sizeof(float), vocab, stdout) != vocab)
            return fail("the logits could not be written");
    }
    fflush(stdout);
    return 0;
}

int main(int count, char **words)
{
    if (count != 4)
        return fail("usage: llama-logits MODEL SEQUENCE_LENGTH THREADS <tokens >logits");
    uint32_t length = (uint32_t)strtoul(words[2], NULL, 10), token = 0;
    llama_log_set(be_quiet, NULL);
    llama_backend_init();
    struct llama_model *model = llama_model_load_from_file(words[1], llama_model_default_params());
    struct llama_context *context = model ? open_context(model, length, atoi(words[3])) : NULL;
    if (!context)
        return fail("the model could not be opened");
    size_t vocab = (size_t)llama_vocab_n_tokens(llama_model_get_vocab(model));
    struct llama_batch batch = llama_batch_init((int32_t)length, 0, 1);
    int status = 0;
    while (!status && fread(&token, sizeof token, 1, stdin) == 1) {
        int32_t at = batch.n_tokens++;
        batch.token[at] = (llama_token)token;
        batch.pos[at] = at;
        batch.n_seq_id[at] = 1;
        batch.seq_id[at][0] = 0;
        batch.logits[at] = 1;
        if (batch.n_tokens < (int32_t)length)
            continue;
        status = run_sequence(context, &batch, vocab);
        batch.n_tokens = 0;
    }
    llama_batch_free(batch);
    llama_free(context);
    llama_model_free(model);
    return status;
}
