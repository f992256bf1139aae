/* tokenizer_build.c - lists of tokens, and merges by id. */
#include "model/tokenizer_build.h"

#include <ctype.h>

enum { LARGEST_MERGE = 2048 }; /* bytes of the token that a merge makes */

cloze_status cz_token_list_init(struct cz_token_list *list, struct cz_arena *arena, uint32_t count,
                                size_t text_size, struct cloze_error *error)
{
    *list = (struct cz_token_list){.arena = arena, .count = count};
    if (count == 0 || count > CZ_TOKENIZER_MAXIMUM_TOKENS)
        return cz_fail(error, CLOZE_LIMIT, "vocabulary", "%u tokens; 1 to %d are supported", count,
                       CZ_TOKENIZER_MAXIMUM_TOKENS);
    list->tokens = CZ_ARENA_ARRAY(arena, struct cz_token, count);
    list->pool = cz_arena_alloc(arena, text_size + 1);
    list->pool_left = text_size;
    if (!list->tokens || !list->pool ||
        !cz_text_index_init(&list->index, list->tokens, sizeof *list->tokens, count))
        return cz_fail_memory(error, "the vocabulary");
    for (uint32_t id = 0; id < count; id++)
        list->tokens[id].kind = CZ_TOKEN_UNUSED;
    return CLOZE_OK;
}

cloze_status cz_token_list_set(struct cz_token_list *list, uint32_t id, struct cz_slice text,
                               enum cz_token_kind kind, float score, struct cloze_error *error)
{
    if (id >= list->count || text.size > list->pool_left)
        return cz_fail(error, CLOZE_CORRUPT, "vocabulary",
                       "token " CZ_SLICE_FORMAT " has the id %u; there are %u ids",
                       CZ_SLICE_ARG(text), id, list->count);
    struct cz_token *token = &list->tokens[id];
    if (token->text.data && !cz_slice_equal(token->text, text))
        return cz_fail(error, CLOZE_CORRUPT, "vocabulary",
                       "the tokens " CZ_SLICE_FORMAT " and " CZ_SLICE_FORMAT " both have the id %u",
                       CZ_SLICE_ARG(token->text), CZ_SLICE_ARG(text), id);
    if (!token->text.data) {
        if (text.size)
            memcpy(list->pool, text.data, text.size);
        token->text = cz_slice_of(list->pool, text.size);
        list->pool += text.size;
        list->pool_left -= text.size;
        cz_text_index_add(&list->index, id);
    }
    token->kind = (uint8_t)kind;
    token->score = score;
    return CLOZE_OK;
}

int64_t cz_token_list_find(const struct cz_token_list *list, struct cz_slice text)
{
    uint32_t id = cz_text_index_find(&list->index, text);
    return id == CZ_NOT_INDEXED ? -1 : (int64_t)id;
}

void cz_token_list_free(struct cz_token_list *list)
{
    cz_text_index_free(&list->index);
}

static bool spells(const struct cz_token_list *list, uint32_t id, struct cz_slice left,
                   struct cz_slice right)
{
    if (id >= list->count || list->tokens[id].text.size != left.size + right.size)
        return false;
    const char *text = list->tokens[id].text.data;
    return memcmp(text, left.data, left.size) == 0 &&
           memcmp(text + left.size, right.data, right.size) == 0;
}

static uint32_t find_joined(struct cz_token_list *list, struct cz_slice left, struct cz_slice right)
{
    char joined[LARGEST_MERGE];
    if (spells(list, list->last_result, left, right))
        return list->last_result;
    if (spells(list, list->last_result + 1, left, right))
        return ++list->last_result;
    memcpy(joined, left.data, left.size);
    memcpy(joined + left.size, right.data, right.size);
    uint32_t id = cz_text_index_find(&list->index, cz_slice_of(joined, left.size + right.size));
    if (id != CZ_NOT_INDEXED)
        list->last_result = id;
    return id;
}

cloze_status cz_token_list_merge(struct cz_token_list *list, struct cz_slice left,
                                 struct cz_slice right, struct cz_merge *out,
                                 struct cloze_error *error)
{
    if (left.size + right.size > LARGEST_MERGE)
        return cz_fail(error, CLOZE_LIMIT, "merges",
                       "a merge makes a token of %zu bytes; at most "
                       "%d are supported",
                       left.size + right.size, LARGEST_MERGE);
    out->left = cz_text_index_find(&list->index, left);
    out->right = cz_text_index_find(&list->index, right);
    out->result = find_joined(list, left, right);
    if (out->left != CZ_NOT_INDEXED && out->right != CZ_NOT_INDEXED &&
        out->result != CZ_NOT_INDEXED)
        return CLOZE_OK;
    return cz_fail(error, CLOZE_CORRUPT, "merges",
                   "the merge of " CZ_SLICE_FORMAT " and " CZ_SLICE_FORMAT
                   " names a token that is not in the vocabulary",
                   CZ_SLICE_ARG(left), CZ_SLICE_ARG(right));
}

cloze_status cz_token_list_merge_text(struct cz_token_list *list, struct cz_slice text,
                                      struct cz_merge *out, struct cloze_error *error)
{
    const char *blank = text.size > 2 ? memchr(text.data + 1, ' ', text.size - 1) : NULL;
    size_t left = blank ? (size_t)(blank - text.data) : 0;
    if (!blank || left + 1 == text.size || memchr(blank + 1, ' ', text.size - left - 1))
        return cz_fail(error, CLOZE_CORRUPT, "merges",
                       "the merge \"" CZ_SLICE_FORMAT "\" is not two tokens with a blank between",
                       CZ_SLICE_ARG(text));
    return cz_token_list_merge(list, cz_slice_of(text.data, left),
                               cz_slice_of(blank + 1, text.size - left - 1), out, error);
}

bool cz_is_byte_spelling(struct cz_slice text)
{
    return text.size == 6 && memcmp(text.data, "<0x", 3) == 0 && text.data[5] == '>' &&
           isxdigit((unsigned char)text.data[3]) && !islower((unsigned char)text.data[3]) &&
           isxdigit((unsigned char)text.data[4]) && !islower((unsigned char)text.data[4]);
}

struct cz_slice cz_arena_slice(struct cz_arena *arena, struct cz_slice text)
{
    return (struct cz_slice){cz_arena_text(arena, text), text.size};
}

void cz_add_pattern(struct cz_splitter *splitters, uint32_t *count, const char *pattern,
                    enum cz_split_behavior behavior)
{
    splitters[(*count)++] = (struct cz_splitter){.kind = CZ_SPLIT_PATTERN,
                                                 .behavior = behavior,
                                                 .pattern = cz_slice(pattern),
                                                 .is_regex = true};
}
