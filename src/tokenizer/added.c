/* added.c - finding added tokens: a trie walked from every place where one may begin. */
#include "base/heap.h"
#include "base/utf8.h"
#include "tokenizer/parts.h"

#include <unictype.h>

bool cz_is_white_space(uint32_t code)
{
    return (code >= 9 && code <= 13) || code == ' ' || code == 0x85 || code == 0xA0 ||
           code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
           code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

/* ---- The trie ---- */

static uint32_t add_node(struct cz_added_trie *trie)
{
    if (trie->count == trie->capacity) {
        uint32_t capacity = trie->capacity ? trie->capacity * 2 : 64;
        struct cz_added_node *grown =
            capacity > trie->capacity ? cz_heap_resize(trie->nodes, capacity * sizeof *grown) : NULL;
        if (!grown)
            return 0;
        trie->nodes = grown;
        trie->capacity = capacity;
    }
    trie->nodes[trie->count] = (struct cz_added_node){.token = CZ_NO_TOKEN};
    return trie->count++;
}

static uint32_t child_of(const struct cz_added_trie *trie, uint32_t node, unsigned char byte)
{
    uint32_t child = trie->nodes[node].child;
    while (child && trie->nodes[child].byte != byte)
        child = trie->nodes[child].sibling;
    return child;
}

bool cz_added_trie_add(struct cz_added_trie *trie, struct cz_slice content, uint32_t token)
{
    if (!trie->count && (add_node(trie), trie->count == 0))
        return false;
    uint32_t node = 0;
    for (size_t i = 0; i < content.size; i++) {
        unsigned char byte = (unsigned char)content.data[i];
        uint32_t child = child_of(trie, node, byte);
        if (!child) {
            child = add_node(trie);
            if (!child)
                return false;
            trie->nodes[child].byte = byte;
            trie->nodes[child].sibling = trie->nodes[node].child;
            trie->nodes[node].child = child;
        }
        node = child;
    }
    trie->nodes[node].token = token;
    trie->starts[(unsigned char)content.data[0]] = true;
    return true;
}

void cz_added_trie_free(struct cz_added_trie *trie)
{
    cz_heap_free(trie->nodes);
    *trie = (struct cz_added_trie){0};
}

/* ---- Finding ---- */

static bool is_trusted(const struct cz_trust *trust, size_t start, size_t end)
{
    if (!trust || trust->everywhere)
        return trust != NULL;
    size_t low = 0, high = trust->count; /* the first span that ends at or after `end` */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (trust->spans[middle].end < end)
            low = middle + 1;
        else
            high = middle;
    }
    return low < trust->count && trust->spans[low].start <= start;
}

/* The longest permitted token that begins at `at`; CZ_NO_TOKEN: none. */
static uint32_t longest_at(const struct cz_added_trie *trie, struct cz_slice text, size_t at,
                           const struct cz_trust *trust, size_t *end)
{
    uint32_t node = 0, found = CZ_NO_TOKEN;
    for (size_t i = at; i < text.size; i++) {
        node = child_of(trie, node, (unsigned char)text.data[i]);
        if (!node)
            break;
        uint32_t token = trie->nodes[node].token;
        if (token == CZ_NO_TOKEN || (trie->tokens[token].special && !is_trusted(trust, at, i + 1)))
            continue;
        found = token;
        *end = i + 1;
    }
    return found;
}

/* The size of the character that ends at `end`, its code point in *code. */
static size_t previous_character(struct cz_slice text, size_t end, uint32_t *code)
{
    size_t start = end;
    do
        start--;
    while (start > 0 && ((unsigned char)text.data[start] & 0xC0) == 0x80);
    return cz_utf8_decode(text.data + start, end - start, code);
}

static bool is_word(uint32_t code)
{
    return code == '_' ||
           uc_is_general_category_withtable(code, UC_CATEGORY_MASK_L | UC_CATEGORY_MASK_M |
                                                      UC_CATEGORY_MASK_Nd | UC_CATEGORY_MASK_Pc);
}

static bool stands_alone(struct cz_slice text, size_t start, size_t end)
{
    uint32_t code;
    if (start > 0 && previous_character(text, start, &code) && is_word(code))
        return false;
    return !(end < text.size && cz_utf8_decode(text.data + end, text.size - end, &code) &&
             is_word(code));
}

static void swallow_white_space(struct cz_slice text, size_t from, struct cz_added_match *match)
{
    uint32_t code;
    size_t size;
    while (match->token->lstrip && match->cut_start > from &&
           (size = previous_character(text, match->cut_start, &code)) && cz_is_white_space(code))
        match->cut_start -= size;
    while (match->token->rstrip && match->cut_end < text.size &&
           (size = cz_utf8_decode(text.data + match->cut_end, text.size - match->cut_end, &code)) &&
           cz_is_white_space(code))
        match->cut_end += size;
}

struct cz_added_match cz_added_find(const struct cz_added_trie *trie, struct cz_slice text,
                                    size_t from, const struct cz_trust *trust)
{
    struct cz_added_match match = {0};
    if (!trie->count)
        return match;
    for (size_t at = from; at < text.size;) {
        uint32_t token = trie->starts[(unsigned char)text.data[at]]
                             ? longest_at(trie, text, at, trust, &match.end)
                             : CZ_NO_TOKEN;
        if (token == CZ_NO_TOKEN) {
            at++;
        } else if (trie->tokens[token].single_word && !stands_alone(text, at, match.end)) {
            at = match.end;
        } else {
            match.start = match.cut_start = at;
            match.cut_end = match.end;
            match.token = &trie->tokens[token];
            swallow_white_space(text, from, &match);
            return match;
        }
    }
    return match;
}
