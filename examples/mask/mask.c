/*
 * mask.c - Cloze's constraint engine under somebody else's inference: here a "model" that picks any
 * allowed token at random.
 *
 *     cc mask.c $(pkg-config --cflags --libs cloze) -o mask
 *     ./mask tokenizer.json schema.json [seed]
 */
#include <cloze.h>

#include <stdio.h>
#include <stdlib.h>

static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    char *text = malloc(1 << 20);
    *size = file && text ? fread(text, 1, 1 << 20, file) : 0;
    if (file)
        fclose(file);
    return text;
}

/* Where a model would take the most probable token that the mask allows. */
static uint32_t sample(struct cloze_mask mask, size_t words)
{
    uint32_t wanted = (uint32_t)rand() % mask.count;
    if (mask.ids)
        return mask.ids[wanted];
    for (size_t i = 0; i < words * 32; i++) {
        if (mask.words[i / 32] >> (i % 32) & 1 && wanted-- == 0)
            return (uint32_t)i;
    }
    return 0;
}

int main(int count, char **words)
{
    struct cloze_vocab *vocab = NULL;
    struct cloze_grammar *grammar = NULL;
    struct cloze_matcher *matcher = NULL;
    struct cloze_grammar_options options = {.kind = CLOZE_JSON_SCHEMA, .policy = CLOZE_GENERATE};
    struct cloze_error error = {0};
    size_t size = 0;
    char *schema = count > 2 ? read_file(words[2], &size) : NULL;
    srand(count > 3 ? (unsigned)atoi(words[3]) : 1);
    if (!schema) {
        fprintf(stderr, "usage: mask TOKENIZER.json SCHEMA.json [SEED]\n");
        return 2;
    }
    if (cloze_vocab_open(words[1], 0, &vocab, &error) ||
        cloze_grammar_compile(vocab, schema, size, &options, &grammar, &error) ||
        cloze_matcher_create(grammar, &matcher, &error) ||
        cloze_matcher_set_budget(matcher, cloze_matcher_distance(matcher) + 100, &error)) {
        fprintf(stderr, "Error: %s: %s\n", error.where, error.message);
    } else {
        while (!cloze_matcher_is_finished(matcher)) {
            struct cloze_mask mask = cloze_matcher_mask(matcher);
            cloze_matcher_accept(matcher, sample(mask, cloze_vocab_mask_words(vocab)));
        }
        const char *text = cloze_matcher_text(matcher, &size);
        printf("%.*s\n", (int)size, text);
    }
    cloze_matcher_free(matcher);
    cloze_grammar_free(grammar);
    cloze_vocab_free(vocab);
    free(schema);
    return error.code != CLOZE_OK;
}
