/*
 * tokenizer_gguf.c - the tokenizer.* keys of a GGUF file.
 *
 * A GGUF file names its pre-tokenizer only; what the name means stands in the table below (the
 * patterns are those of the models' own tokenizer.json). A name that isn't there is refused.
 */
#include "model/gguf.h"
#include "model/tokenizer_build.h"

#include <stdio.h>

/* ---- What the names mean ---- */

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define TAIL "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SLASH_TAIL "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define NOT_WORD "[^\\r\\n\\p{L}\\p{N}]?"

#define LLAMA3 CONTRACTIONS "|" NOT_WORD "\\p{L}+|\\p{N}{1,3}" TAIL
#define QWEN2 CONTRACTIONS "|" NOT_WORD "\\p{L}+|\\p{N}" TAIL
#define QWEN35                                                                                     \
    CONTRACTIONS "|" NOT_WORD "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*"        \
                 "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define TEKKEN NOT_WORD UPPER "*" LOWER "+|" NOT_WORD UPPER "+" LOWER "*|\\p{N}" SLASH_TAIL
#define GPT4O                                                                                      \
    NOT_WORD UPPER "*" LOWER "+" CONTRACTIONS "?|" NOT_WORD UPPER "+" LOWER "*" CONTRACTIONS       \
                   "?|\\p{N}{1,3}" SLASH_TAIL
#define DEEPSEEK3                                                                                  \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?"           \
    "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SEED_CODER                                                                                 \
    CONTRACTIONS "|" NOT_WORD "\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|\\s*[\\r\\n]+"        \
                 "|\\s+(?!\\S)|\\s+"

enum { IGNORES_MERGES = 1, ADDS_BOS = 2, COMPOSES = 4 /* NFC */ };

struct pre_tokenizer {
    const char *names; /* each between blanks */
    const char *patterns[3];
    unsigned traits;
};

static const struct pre_tokenizer pre_tokenizers[] = {
    {" llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 ",
     {LLAMA3},
     IGNORES_MERGES | ADDS_BOS},
    {" dbrx smaug-bpe chatglm-bpe ", {LLAMA3}, 0},
    {" glm4 ", {LLAMA3}, IGNORES_MERGES},
    {" qwen2 deepseek-r1-qwen megrez hunyuan kormo ", {QWEN2}, COMPOSES},
    {" qwen35 ", {QWEN35}, COMPOSES},
    {" stablelm2 grok-2 ", {QWEN2}, 0},
    {" tekken ", {TEKKEN}, IGNORES_MERGES | ADDS_BOS},
    {" gpt-4o llama4 kanana2 ", {GPT4O}, 0},
    {" deepseek-v3 hunyuan-dense ", {"\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3}, 0},
    {" seed-coder ", {SEED_CODER}, 0},
    {" smollm starcoder refact command-r codeshell exaone minerva-7b ",
     {"\\p{N}", CZ_GPT2_PATTERN},
     0},
    {" gpt-2 phi-2 mpt olmo jais gigachat trillion granite-docling exaone4 ", {CZ_GPT2_PATTERN}, 0},
};

static const struct pre_tokenizer *find_pre_tokenizer(struct cz_slice name)
{
    char word[64];
    if (name.size + 3 > sizeof word || memchr(name.data, ' ', name.size))
        return NULL;
    word[0] = ' ';
    memcpy(word + 1, name.data, name.size);
    memcpy(word + 1 + name.size, " ", 2);
    for (unsigned i = 0; i < sizeof pre_tokenizers / sizeof *pre_tokenizers; i++)
        if (strstr(pre_tokenizers[i].names, word))
            return &pre_tokenizers[i];
    return NULL;
}

/* ---- Reading ---- */

struct reader {
    const struct cz_gguf *gguf;
    struct cz_arena *arena;
    struct cz_tokenizer_tables *tables;
    struct cz_token_list list;
    bool adds_bos, adds_eos, adds_space;
    struct cloze_error *error;
};

static cloze_status fail(struct reader *reader, cloze_status code, const char *key,
                         const char *message)
{
    char where[200];
    snprintf(where, sizeof where, "%s: %s", reader->gguf->name, key);
    return cz_fail(reader->error, code, where, "%s", message);
}

static cloze_status array_of(struct reader *reader, const char *key, enum cz_gguf_type element,
                             const struct cz_gguf_value **out)
{
    return cz_gguf_get_array(reader->gguf, key, element, out, reader->error);
}

static cloze_status read_tokens(struct reader *reader)
{
    const struct cz_gguf_value *texts, *scores, *types;
    cloze_status status = array_of(reader, "tokenizer.ggml.tokens", CZ_GGUF_STRING, &texts);
    if (!status)
        status = array_of(reader, "tokenizer.ggml.scores", CZ_GGUF_F64, &scores);
    if (!status)
        status = array_of(reader, "tokenizer.ggml.token_type", CZ_GGUF_I64, &types);
    if (status)
        return status;
    if (!texts)
        return fail(reader, CLOZE_CORRUPT, "tokenizer.ggml.tokens", "the file has no vocabulary");
    if (texts->count > CZ_TOKENIZER_MAXIMUM_TOKENS || (scores && scores->count < texts->count) ||
        (types && types->count < texts->count))
        return fail(reader, CLOZE_CORRUPT, "tokenizer.ggml.tokens",
                    "too many tokens, or fewer scores or types than tokens");
    if (!scores && reader->tables->kind == CZ_TOKENIZER_SCORE_BPE)
        return fail(reader, CLOZE_CORRUPT, "tokenizer.ggml.scores", "the key is missing");
    status = cz_token_list_init(&reader->list, reader->arena, (uint32_t)texts->count,
                                texts->bytes.size, reader->error);
    struct cz_slice text;
    size_t cursor = 0;
    for (uint32_t id = 0; !status && cz_gguf_next_string(texts, &cursor, &text); id++) {
        int64_t type = types ? cz_gguf_int_at(types, id) : 1; /* 1 is "normal", 6 "byte" */
        enum cz_token_kind kind =
            type >= 1 && type <= 6 ? (enum cz_token_kind)(type - 1) : CZ_TOKEN_UNUSED;
        float score = scores ? (float)cz_gguf_double_at(scores, id) : 0;
        if (score != score)
            return fail(reader, CLOZE_CORRUPT, "tokenizer.ggml.scores", "a score is not a number");
        status = cz_token_list_set(&reader->list, id, text, kind, score, reader->error);
    }
    reader->tables->tokens = reader->list.tokens;
    reader->tables->token_count = reader->list.count;
    return status;
}

/* Tokens of the kinds "control", "unknown" and "user" are cut out of texts. */
static cloze_status add_tokens(struct reader *reader)
{
    struct cz_tokenizer_tables *tables = reader->tables;
    uint32_t count = 0;
    for (uint32_t id = 0; id < tables->token_count; id++)
        count += tables->tokens[id].kind == CZ_TOKEN_CONTROL ||
                 tables->tokens[id].kind == CZ_TOKEN_UNKNOWN ||
                 tables->tokens[id].kind == CZ_TOKEN_USER;
    struct cz_added_token *added = CZ_ARENA_ARRAY(reader->arena, struct cz_added_token, count + 1);
    if (!added)
        return cz_fail_memory(reader->error, "added tokens");
    for (uint32_t id = 0; id < tables->token_count; id++) {
        const struct cz_token *token = &tables->tokens[id];
        bool special = token->kind == CZ_TOKEN_CONTROL || token->kind == CZ_TOKEN_UNKNOWN;
        if (token->text.size && (special || token->kind == CZ_TOKEN_USER))
            added[tables->added_count++] =
                (struct cz_added_token){.content = token->text, .id = id, .special = special};
    }
    tables->added = added;
    return CLOZE_OK;
}

static cloze_status read_merges(struct reader *reader)
{
    const struct cz_gguf_value *texts;
    cloze_status status = array_of(reader, "tokenizer.ggml.merges", CZ_GGUF_STRING, &texts);
    if (status)
        return status;
    if (!texts || texts->count > CZ_TOKENIZER_MAXIMUM_MERGES)
        return fail(reader, CLOZE_CORRUPT, "tokenizer.ggml.merges", "missing, or too many merges");
    struct cz_merge *merges = CZ_ARENA_ARRAY(reader->arena, struct cz_merge, texts->count);
    if (!merges)
        return cz_fail_memory(reader->error, "the merges");
    struct cz_slice text;
    size_t cursor = 0;
    while (!status && cz_gguf_next_string(texts, &cursor, &text))
        status = cz_token_list_merge_text(&reader->list, text,
                                          &merges[reader->tables->merge_count++], reader->error);
    reader->tables->merges = merges;
    return status;
}

/* Byte-level BPE: the steps that the name of the pre-tokenizer stands for. */
static cloze_status add_named_steps(struct reader *reader, struct cz_slice name)
{
    struct cz_tokenizer_tables *tables = reader->tables;
    const struct pre_tokenizer *found = find_pre_tokenizer(name);
    if (!found) {
        char message[200];
        snprintf(message, sizeof message, "the pre-tokenizer \"%.*s\" is not supported%s",
                 (int)(name.size < 64 ? name.size : 64), name.data ? name.data : "",
                 name.size ? "" : ": the file names none");
        return fail(reader, CLOZE_UNSUPPORTED, "tokenizer.ggml.pre", message);
    }
    struct cz_splitter *splitters = CZ_ARENA_ARRAY(reader->arena, struct cz_splitter, 4);
    struct cz_normalizer *normalizer = CZ_ARENA_NEW(reader->arena, struct cz_normalizer);
    if (!splitters || !normalizer)
        return cz_fail_memory(reader->error, "the tokenizer");
    if (reader->adds_space)
        splitters[tables->splitter_count++].kind = CZ_SPLIT_PREFIX_SPACE;
    for (unsigned i = 0; i < 3 && found->patterns[i]; i++)
        cz_add_pattern(splitters, &tables->splitter_count, found->patterns[i], CZ_SPLIT_ISOLATED);
    tables->splitters = splitters;
    normalizer->kind = CZ_NORMALIZE_NFC;
    tables->normalizers = normalizer;
    tables->normalizer_count = found->traits & COMPOSES ? 1 : 0;
    tables->ignore_merges = found->traits & IGNORES_MERGES;
    reader->adds_bos = found->traits & ADDS_BOS;
    tables->alphabet = CZ_ALPHABET_BYTES;
    return CLOZE_OK;
}

/* SentencePiece: a blank before the text, U+2581 for blanks, no cuts. */
static cloze_status add_blank_steps(struct reader *reader)
{
    struct cz_tokenizer_tables *tables = reader->tables;
    struct cz_normalizer *steps = CZ_ARENA_ARRAY(reader->arena, struct cz_normalizer, 2);
    if (!steps)
        return cz_fail_memory(reader->error, "the tokenizer");
    tables->normalizers = steps;
    if (reader->adds_space)
        steps[tables->normalizer_count++] =
            (struct cz_normalizer){.kind = CZ_NORMALIZE_PREPEND, .content = CZ_SLICE(CZ_BLANK)};
    steps[tables->normalizer_count++] = (struct cz_normalizer){
        .kind = CZ_NORMALIZE_REPLACE, .pattern = CZ_SLICE(" "), .content = CZ_SLICE(CZ_BLANK)};
    tables->blank = CZ_SLICE(CZ_BLANK);
    tables->strip_first_blank = reader->adds_space;
    tables->byte_fallback = true;
    tables->fuse_unknown = true;
    return CLOZE_OK;
}

/* *id stays as it is when the key is absent. */
static cloze_status read_id(struct reader *reader, const char *key, int64_t *id)
{
    uint32_t number = UINT32_MAX;
    cloze_status status = cz_gguf_get_u32(reader->gguf, key, &number, reader->error);
    if (status || number == UINT32_MAX)
        return status;
    if (number >= reader->tables->token_count)
        return fail(reader, CLOZE_CORRUPT, key, "the id is not in the vocabulary");
    *id = number;
    return CLOZE_OK;
}

/* Ends of a turn that files name by their spelling only. */
static bool spells_end(const struct cz_token *token)
{
    static const char *const spellings[] = {"<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>",
                                            "<end_of_turn>"};
    for (unsigned i = 0; i < sizeof spellings / sizeof *spellings; i++)
        if (token->kind == CZ_TOKEN_CONTROL && cz_slice_is(token->text, spellings[i]))
            return true;
    return false;
}

static cloze_status read_stops(struct reader *reader, struct cz_tokenizer_source *out)
{
    const struct cz_tokenizer_tables *tables = reader->tables;
    int64_t eot = -1, eom = -1;
    cloze_status status = read_id(reader, "tokenizer.ggml.eot_token_id", &eot);
    if (!status)
        status = read_id(reader, "tokenizer.ggml.eom_token_id", &eom);
    if (status)
        return status;
    uint32_t *stops = CZ_ARENA_ARRAY(reader->arena, uint32_t, 16);
    if (!stops)
        return cz_fail_memory(reader->error, "the stop tokens");
    for (uint32_t id = 0; id < tables->token_count && out->stop_count < 16; id++)
        if (id == tables->eos_id || id == eot || id == eom || spells_end(&tables->tokens[id]))
            stops[out->stop_count++] = id;
    out->stop_ids = stops;
    return CLOZE_OK;
}

static cloze_status read_ids(struct reader *reader)
{
    struct cz_tokenizer_tables *tables = reader->tables;
    cloze_status status = read_id(reader, "tokenizer.ggml.bos_token_id", &tables->bos_id);
    if (!status)
        status = read_id(reader, "tokenizer.ggml.eos_token_id", &tables->eos_id);
    if (!status && tables->kind == CZ_TOKENIZER_SCORE_BPE)
        status = read_id(reader, "tokenizer.ggml.unknown_token_id", &tables->unknown_id);
    if (!status)
        status = cz_gguf_get_bool(reader->gguf, "tokenizer.ggml.add_bos_token", &reader->adds_bos,
                                  reader->error);
    if (!status)
        status = cz_gguf_get_bool(reader->gguf, "tokenizer.ggml.add_eos_token", &reader->adds_eos,
                                  reader->error);
    uint32_t *around = CZ_ARENA_ARRAY(reader->arena, uint32_t, 2);
    if (status || !around)
        return status ? status : cz_fail_memory(reader->error, "the tokenizer");
    around[0] = (uint32_t)tables->bos_id;
    around[1] = (uint32_t)tables->eos_id;
    tables->prefix_ids = &around[0];
    tables->prefix_count = reader->adds_bos && tables->bos_id >= 0;
    tables->suffix_ids = &around[1];
    tables->suffix_count = reader->adds_eos && tables->eos_id >= 0;
    return CLOZE_OK;
}

static cloze_status read_kind(struct reader *reader, struct cz_slice model)
{
    bool sentencepiece = cz_slice_is(model, "llama");
    if (!sentencepiece && !cz_slice_is(model, "gpt2")) {
        char message[200];
        snprintf(message, sizeof message,
                 "the tokenizer model \"%.*s\" is not supported; \"gpt2\" and \"llama\" are",
                 (int)(model.size < 64 ? model.size : 64), model.data ? model.data : "");
        return fail(reader, CLOZE_UNSUPPORTED, "tokenizer.ggml.model", message);
    }
    reader->tables->kind = sentencepiece ? CZ_TOKENIZER_SCORE_BPE : CZ_TOKENIZER_BPE;
    reader->adds_bos = reader->adds_space = sentencepiece;
    return cz_gguf_get_bool(reader->gguf, "tokenizer.ggml.add_space_prefix", &reader->adds_space,
                            reader->error);
}

static cloze_status read_all(struct reader *reader, struct cz_tokenizer_source *out)
{
    struct cz_slice model = {0}, pre = {0}, chat_template = {0};
    cloze_status status =
        cz_gguf_get_string(reader->gguf, "tokenizer.ggml.model", &model, reader->error);
    if (!status)
        status = cz_gguf_get_string(reader->gguf, "tokenizer.ggml.pre", &pre, reader->error);
    if (!status)
        status = cz_gguf_get_string(reader->gguf, "tokenizer.chat_template", &chat_template,
                                    reader->error);
    if (!status)
        status = read_kind(reader, model);
    if (!status)
        status = read_tokens(reader);
    bool sentencepiece = reader->tables->kind == CZ_TOKENIZER_SCORE_BPE;
    if (!status)
        status = sentencepiece ? add_blank_steps(reader) : add_named_steps(reader, pre);
    if (!status && !sentencepiece)
        status = read_merges(reader);
    if (!status)
        status = add_tokens(reader);
    if (!status)
        status = read_ids(reader);
    if (!status)
        status = read_stops(reader, out);
    if (status || chat_template.size == 0)
        return status;
    out->chat_template = cz_arena_slice(reader->arena, chat_template);
    return out->chat_template.data ? CLOZE_OK : cz_fail_memory(reader->error, "the chat template");
}

cloze_status cz_tokenizer_source_gguf(const struct cz_gguf *gguf, struct cz_arena *arena,
                                      struct cz_tokenizer_source *out, struct cloze_error *error)
{
    *out = (struct cz_tokenizer_source){.tables = {.unknown_id = -1, .bos_id = -1, .eos_id = -1}};
    struct reader reader = {.gguf = gguf, .arena = arena, .tables = &out->tables, .error = error};
    cloze_status status = read_all(&reader, out);
    cz_token_list_free(&reader.list);
    return status;
}
