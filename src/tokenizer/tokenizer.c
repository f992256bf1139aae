/* tokenizer.c - putting a tokenizer together from its tables, checking every number in them. */
#include "base/heap.h"
#include "base/size.h"
#include "base/utf8.h"
#include "tokenizer/parts.h"

/* ---- Checks ---- */

static bool is_id(const struct cz_tokenizer_tables *tables, int64_t id)
{
    return id >= 0 && id < (int64_t)tables->token_count;
}

static cloze_status bad_id(struct cloze_error *error, const char *what, size_t index, uint32_t id)
{
    return cz_fail(error, CLOZE_CORRUPT, "tokenizer", "%s %zu names id %u, which is no token", what,
                   index, id);
}

static cloze_status check_added(const struct cz_tokenizer_tables *tables, struct cloze_error *error)
{
    for (uint32_t i = 0; i < tables->added_count; i++) {
        const struct cz_added_token *token = &tables->added[i];
        if (!is_id(tables, token->id))
            return bad_id(error, "added token", i, token->id);
        if (token->content.size == 0 || token->content.size > CZ_TOKENIZER_MAXIMUM_ADDED_SIZE)
            return cz_fail(error, CLOZE_LIMIT, "tokenizer",
                           "added token %u has %zu bytes; 1 to %d are supported", token->id,
                           token->content.size, CZ_TOKENIZER_MAXIMUM_ADDED_SIZE);
    }
    return CLOZE_OK;
}

static cloze_status check_ids(const struct cz_tokenizer_tables *tables, struct cloze_error *error)
{
    for (uint32_t i = 0; i < tables->merge_count; i++) {
        const struct cz_merge *merge = &tables->merges[i];
        if (!is_id(tables, merge->left) || !is_id(tables, merge->right) ||
            !is_id(tables, merge->result))
            return bad_id(error, "merge", i, merge->result);
    }
    for (uint32_t i = 0; i < tables->prefix_count; i++)
        if (!is_id(tables, tables->prefix_ids[i]))
            return bad_id(error, "prefix", i, tables->prefix_ids[i]);
    for (uint32_t i = 0; i < tables->suffix_count; i++)
        if (!is_id(tables, tables->suffix_ids[i]))
            return bad_id(error, "suffix", i, tables->suffix_ids[i]);
    if (tables->unknown_id >= 0 && !is_id(tables, tables->unknown_id))
        return bad_id(error, "unknown token", 0, (uint32_t)tables->unknown_id);
    return CLOZE_OK;
}

static cloze_status check_tables(const struct cz_tokenizer_tables *tables,
                                 struct cloze_error *error)
{
    if (tables->token_count == 0 || tables->token_count > CZ_TOKENIZER_MAXIMUM_TOKENS ||
        tables->merge_count > CZ_TOKENIZER_MAXIMUM_MERGES ||
        tables->added_count > CZ_TOKENIZER_MAXIMUM_ADDED ||
        tables->normalizer_count > CZ_TOKENIZER_MAXIMUM_STEPS ||
        tables->splitter_count > CZ_TOKENIZER_MAXIMUM_STEPS)
        return cz_fail(error, CLOZE_LIMIT, "tokenizer",
                       "%u tokens, %u merges, %u added tokens: none, or more than supported",
                       tables->token_count, tables->merge_count, tables->added_count);
    for (uint32_t id = 0; id < tables->token_count; id++)
        if (tables->tokens[id].text.size > CZ_TOKENIZER_MAXIMUM_TOKEN_SIZE)
            return cz_fail(error, CLOZE_LIMIT, "tokenizer", "token %u has %zu bytes; at most %d",
                           id, tables->tokens[id].text.size, CZ_TOKENIZER_MAXIMUM_TOKEN_SIZE);
    cloze_status status = check_added(tables, error);
    return status ? status : check_ids(tables, error);
}

/* ---- The bytes of every token ---- */

/* "<0x0A>" -> 10; -1 when it is spelled otherwise. */
static int byte_of_spelling(struct cz_slice text)
{
    static const char digits[] = "0123456789ABCDEF";
    if (text.size != 6 || memcmp(text.data, "<0x", 3) != 0 || text.data[5] != '>')
        return -1;
    const char *high = memchr(digits, text.data[3], 16), *low = memchr(digits, text.data[4], 16);
    return high && low ? (int)((high - digits) * 16 + (low - digits)) : -1;
}

static struct cz_slice replace_blanks(struct cz_slice text, struct cz_slice blank, char *out)
{
    size_t size = 0;
    for (size_t at = 0; at < text.size;) {
        bool is_blank = blank.size && text.size - at >= blank.size &&
                        memcmp(text.data + at, blank.data, blank.size) == 0;
        out[size++] = is_blank ? ' ' : text.data[at];
        at += is_blank ? blank.size : 1;
    }
    return cz_slice_of(out, size);
}

/* What a token adds to a text; written to `out` when it isn't its text already. */
static struct cz_slice bytes_of(const struct cz_tokenizer *tokenizer, const struct cz_token *token,
                                char *out)
{
    size_t size;
    int byte = token->kind == CZ_TOKEN_BYTE ? byte_of_spelling(token->text) : -1;
    if (byte >= 0) {
        out[0] = (char)byte;
        return cz_slice_of(out, 1);
    }
    if (tokenizer->tables->alphabet == CZ_ALPHABET_PLAIN)
        return replace_blanks(token->text, tokenizer->tables->blank, out);
    if (token->kind == CZ_TOKEN_USER)
        return token->text;
    return cz_alphabet_decode(token->text, out, &size) ? cz_slice_of(out, size) : token->text;
}

static bool is_silent(const struct cz_token *token)
{
    return token->kind == CZ_TOKEN_CONTROL || token->kind == CZ_TOKEN_UNKNOWN ||
           token->kind == CZ_TOKEN_UNUSED || !token->text.data;
}

/* How the model finds a token by its text; empty: not at all. */
static struct cz_slice key_of(const struct cz_tokenizer *tokenizer, const struct cz_token *token,
                              struct cz_slice bytes)
{
    bool has_bytes = bytes.data != token->text.data; /* spelled in the byte alphabet */
    if (is_silent(token) || token->kind == CZ_TOKEN_BYTE)
        return (struct cz_slice){0};
    if (tokenizer->tables->alphabet == CZ_ALPHABET_PLAIN)
        return token->text;
    return has_bytes ? bytes : (struct cz_slice){0};
}

static cloze_status spell_tokens(struct cz_tokenizer *tokenizer, struct cloze_error *error)
{
    const struct cz_tokenizer_tables *tables = tokenizer->tables;
    size_t total = 1;
    for (uint32_t id = 0; id < tables->token_count; id++)
        total += tables->tokens[id].text.size;
    tokenizer->pool = cz_heap_alloc(total);
    tokenizer->keys = cz_heap_zeroed(tables->token_count, sizeof *tokenizer->keys);
    tokenizer->bytes = cz_heap_zeroed(tables->token_count, sizeof *tokenizer->bytes);
    tokenizer->special = cz_heap_zeroed(tables->token_count, sizeof *tokenizer->special);
    tokenizer->whole = cz_heap_zeroed(tables->token_count, sizeof *tokenizer->whole);
    if (!tokenizer->pool || !tokenizer->keys || !tokenizer->bytes || !tokenizer->special ||
        !tokenizer->whole)
        return cz_fail_memory(error, "the vocabulary");
    char *out = tokenizer->pool;
    for (uint32_t id = 0; id < tables->token_count; id++) {
        const struct cz_token *token = &tables->tokens[id];
        struct cz_slice bytes = bytes_of(tokenizer, token, out);
        tokenizer->special[id] = token->kind == CZ_TOKEN_CONTROL || token->kind == CZ_TOKEN_UNKNOWN;
        tokenizer->keys[id] = key_of(tokenizer, token, bytes);
        if (!is_silent(token))
            tokenizer->bytes[id] = bytes;
        if (bytes.data == out)
            out += bytes.size;
    }
    if (!cz_text_index_init(&tokenizer->vocabulary, tokenizer->keys, sizeof *tokenizer->keys,
                            tables->token_count))
        return cz_fail_memory(error, "the vocabulary");
    for (uint32_t id = 0; id < tables->token_count; id++)
        if (tokenizer->keys[id].size) /* of two that look alike the first is meant */
            cz_text_index_add(&tokenizer->vocabulary, id);
    return CLOZE_OK;
}

static void find_single_bytes(struct cz_tokenizer *tokenizer)
{
    const struct cz_tokenizer_tables *tables = tokenizer->tables;
    memset(tokenizer->byte_ids, 0xFF, sizeof tokenizer->byte_ids);
    for (uint32_t id = 0; id < tables->token_count; id++) {
        const struct cz_token *token = &tables->tokens[id];
        int byte = token->kind == CZ_TOKEN_BYTE ? byte_of_spelling(token->text) : -1;
        if (byte >= 0)
            tokenizer->byte_ids[byte] = id;
    }
    tokenizer->has_all_bytes = true;
    for (unsigned byte = 0; byte < 256; byte++) {
        char text = (char)byte;
        tokenizer->has_all_bytes &= tokenizer->byte_ids[byte] != CZ_NO_TOKEN;
        tokenizer->initial_ids[byte] =
            cz_text_index_find(&tokenizer->vocabulary, cz_slice_of(&text, 1));
    }
}

/* ---- Pieces ---- */

/* Whether some token has a blank behind something else. */
static bool blank_inside(struct cz_slice text, struct cz_slice blank)
{
    size_t at = 0;
    while (text.size - at >= blank.size && memcmp(text.data + at, blank.data, blank.size) == 0)
        at += blank.size;
    return memmem(text.data + at, text.size - at, blank.data, blank.size) != NULL;
}

/* Where every token has its blanks in front only, no merge crosses from a word into the blanks
 * behind it, and a text may be cut there before it is merged: words are short, texts are long. */
static bool can_split_at_blanks(const struct cz_tokenizer *tokenizer)
{
    const struct cz_tokenizer_tables *tables = tokenizer->tables;
    if (tables->alphabet != CZ_ALPHABET_PLAIN || !tables->blank.size || tables->ignore_merges ||
        cz_text_index_find(&tokenizer->vocabulary, tables->blank) == CZ_NO_TOKEN)
        return false;
    for (uint32_t id = 0; id < tables->token_count; id++)
        if (tokenizer->keys[id].size && blank_inside(tokenizer->keys[id], tables->blank))
            return false;
    return true;
}

static cloze_status compile_steps(struct cz_tokenizer *tokenizer, struct cloze_error *error)
{
    const struct cz_tokenizer_tables *tables = tokenizer->tables;
    tokenizer->normalizers = cz_heap_zeroed(tables->normalizer_count + 1, sizeof *tokenizer->normalizers);
    tokenizer->splitters = cz_heap_zeroed(tables->splitter_count + 1, sizeof *tokenizer->splitters);
    if (!tokenizer->normalizers || !tokenizer->splitters)
        return cz_fail_memory(error, "the tokenizer");
    cloze_status status = CLOZE_OK;
    for (uint32_t i = 0; !status && i < tables->normalizer_count; i++) {
        const struct cz_normalizer *table = &tables->normalizers[i];
        tokenizer->normalizers[i].table = table;
        if (table->kind == CZ_NORMALIZE_REPLACE)
            status = cz_pattern_compile(table->pattern, table->is_regex,
                                        &tokenizer->normalizers[i].pattern, error);
    }
    for (uint32_t i = 0; !status && i < tables->splitter_count; i++) {
        const struct cz_splitter *table = &tables->splitters[i];
        tokenizer->splitters[i].table = table;
        if (table->kind != CZ_SPLIT_PREFIX_SPACE)
            status = cz_pattern_compile(table->pattern,
                                        table->is_regex && table->kind == CZ_SPLIT_PATTERN,
                                        &tokenizer->splitters[i].pattern, error);
    }
    return status;
}

/* ---- Added tokens ---- */

/* Special tokens count on raw text always: their place in a prompt was decided there. */
static cloze_status build_tries(struct cz_tokenizer *tokenizer, struct cloze_error *error)
{
    const struct cz_tokenizer_tables *tables = tokenizer->tables;
    struct cz_buffer buffers[2] = {{0}, {0}};
    cloze_status status = CLOZE_OK;
    tokenizer->raw_added.tokens = tokenizer->normalized_added.tokens = tables->added;
    for (uint32_t i = 0; !status && i < tables->added_count; i++) {
        const struct cz_added_token *token = &tables->added[i];
        struct cz_slice content = token->content;
        bool normalized = token->normalized && !token->special;
        if (normalized)
            status = cz_normalize(tokenizer, content, CZ_PLACE_FIRST, buffers, &content, error);
        struct cz_added_trie *trie =
            normalized ? &tokenizer->normalized_added : &tokenizer->raw_added;
        if (!status && content.size && !cz_added_trie_add(trie, content, i))
            status = cz_fail_memory(error, "added tokens");
    }
    cz_buffer_free(&buffers[0]);
    cz_buffer_free(&buffers[1]);
    return status;
}

/* ---- The whole ---- */

static cloze_status build(struct cz_tokenizer *tokenizer, struct cloze_error *error)
{
    const struct cz_tokenizer_tables *tables = tokenizer->tables;
    cloze_status status = check_tables(tables, error);
    if (!status)
        status = spell_tokens(tokenizer, error);
    if (!status)
        status = compile_steps(tokenizer, error);
    if (!status)
        status = build_tries(tokenizer, error);
    if (status)
        return status;
    find_single_bytes(tokenizer);
    tokenizer->splits_at_blanks = can_split_at_blanks(tokenizer);
    return cz_merge_table_create(&tokenizer->merges, tables->merges, tables->merge_count)
               ? CLOZE_OK
               : cz_fail_memory(error, "the merges");
}

cloze_status cz_tokenizer_create(const struct cz_tokenizer_tables *tables,
                                 struct cz_tokenizer **out, struct cloze_error *error)
{
    struct cz_tokenizer *tokenizer = cz_heap_zeroed(1, sizeof *tokenizer);
    if (!tokenizer)
        return cz_fail_memory(error, "the tokenizer");
    tokenizer->tables = tables;
    cloze_status status = build(tokenizer, error);
    if (status)
        cz_tokenizer_free(tokenizer);
    else
        *out = tokenizer;
    return status;
}

void cz_tokenizer_free(struct cz_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    for (uint32_t i = 0; tokenizer->normalizers && i < tokenizer->tables->normalizer_count; i++)
        cz_pattern_free(tokenizer->normalizers[i].pattern);
    for (uint32_t i = 0; tokenizer->splitters && i < tokenizer->tables->splitter_count; i++)
        cz_pattern_free(tokenizer->splitters[i].pattern);
    cz_heap_free(tokenizer->normalizers);
    cz_heap_free(tokenizer->splitters);
    cz_added_trie_free(&tokenizer->raw_added);
    cz_added_trie_free(&tokenizer->normalized_added);
    cz_merge_table_free(&tokenizer->merges);
    cz_text_index_free(&tokenizer->vocabulary);
    cz_heap_free(tokenizer->keys);
    cz_heap_free(tokenizer->bytes);
    cz_heap_free(tokenizer->special);
    cz_heap_free((void *)tokenizer->whole);
    cz_heap_free(tokenizer->pool);
    cz_heap_free(tokenizer);
}

/* ---- Looking at it ---- */

uint32_t cz_tokenizer_count(const struct cz_tokenizer *tokenizer)
{
    return tokenizer->tables->token_count;
}

struct cz_slice cz_tokenizer_bytes(const struct cz_tokenizer *tokenizer, uint32_t id)
{
    return id < tokenizer->tables->token_count ? tokenizer->bytes[id] : (struct cz_slice){0};
}

struct cz_slice cz_tokenizer_spelling(const struct cz_tokenizer *tokenizer, uint32_t id)
{
    return id < tokenizer->tables->token_count ? tokenizer->tables->tokens[id].text
                                               : (struct cz_slice){0};
}

bool cz_tokenizer_is_special(const struct cz_tokenizer *tokenizer, uint32_t id)
{
    return id < tokenizer->tables->token_count && tokenizer->special[id];
}

int64_t cz_tokenizer_bos(const struct cz_tokenizer *tokenizer)
{
    return tokenizer->tables->bos_id;
}

int64_t cz_tokenizer_eos(const struct cz_tokenizer *tokenizer)
{
    return tokenizer->tables->eos_id;
}

int64_t cz_tokenizer_find(const struct cz_tokenizer *tokenizer, struct cz_slice spelling)
{
    for (uint32_t id = 0; id < tokenizer->tables->token_count; id++)
        if (cz_slice_equal(tokenizer->tables->tokens[id].text, spelling))
            return id;
    return -1;
}
