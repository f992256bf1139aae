/*
 * bpe.c - byte-pair encoding of one piece.
 *
 * The piece is a row of symbols, at first its characters (or bytes). Again and again the neighbours
 * with the lowest rank are joined, the leftmost pair among equals, until no pair has a rank. With
 * merges a pair's rank is that of its merge; in SentencePiece's way it is the score of the token
 * that the joined text spells, highest first. Short pieces are searched linearly, long ones with a
 * heap whose entries go stale when a neighbour grows.
 */
#include "base/heap.h"
#include "base/map.h"
#include "base/size.h"
#include "base/utf8.h"
#include "tokenizer/parts.h"

enum { SHORT_PIECE = 96 }; /* symbols up to which the linear search wins */

#define NO_RANK UINT32_MAX
#define NONE UINT32_MAX

struct symbol {
    uint32_t start, end; /* bytes of the piece; start == end once it was joined to its left */
    uint32_t id;         /* CZ_NO_TOKEN: the text has no token (yet) */
    uint32_t previous, next;
};

struct pair {
    uint32_t rank, result;
};

/* ---- The table of merges ---- */

static size_t merge_slot(const struct cz_merge_table *table, uint32_t left, uint32_t right)
{
    uint64_t key = ((uint64_t)left << 32 | right) ^ table->seed;
    key *= 0x9E3779B97F4A7C15u;
    key ^= key >> 29;
    key *= 0xBF58476D1CE4E5B9u;
    size_t slot = (size_t)(key >> 32) & table->mask;
    while (table->slots[slot].left != CZ_NO_TOKEN &&
           (table->slots[slot].left != left || table->slots[slot].right != right))
        slot = (slot + 1) & table->mask;
    return slot;
}

bool cz_merge_table_create(struct cz_merge_table *table, const struct cz_merge *merges,
                           uint32_t count)
{
    size_t capacity = 16;
    while (capacity / 2 < count)
        capacity *= 2;
    table->slots = cz_heap_alloc(capacity * sizeof *table->slots);
    if (!table->slots)
        return false;
    memset(table->slots, 0xFF, capacity * sizeof *table->slots);
    table->mask = capacity - 1;
    table->seed = cz_hash("merges", 6);
    for (uint32_t rank = 0; rank < count; rank++) {
        const struct cz_merge *merge = &merges[rank];
        table->slots[merge_slot(table, merge->left, merge->right)] =
            (struct cz_merge_slot){merge->left, merge->right, rank, merge->result};
    }
    return true;
}

void cz_merge_table_free(struct cz_merge_table *table)
{
    cz_heap_free(table->slots);
    *table = (struct cz_merge_table){0};
}

/* ---- Ranks of pairs ---- */

/* Ascending for descending scores. */
static uint32_t score_rank(float score)
{
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    return bits & 0x80000000u ? bits : ~(bits | 0x80000000u);
}

static struct pair rank_pair(const struct cz_tokenizer *tokenizer, struct cz_slice piece,
                             const struct symbol *left, const struct symbol *right)
{
    if (tokenizer->tables->kind == CZ_TOKENIZER_BPE) {
        const struct cz_merge_table *table = &tokenizer->merges;
        const struct cz_merge_slot *slot = &table->slots[merge_slot(table, left->id, right->id)];
        return slot->left == CZ_NO_TOKEN ? (struct pair){NO_RANK, CZ_NO_TOKEN}
                                         : (struct pair){slot->rank, slot->result};
    }
    struct cz_slice joined = {piece.data + left->start, right->end - left->start};
    uint32_t id = cz_text_index_find(&tokenizer->vocabulary, joined);
    return id == CZ_NO_TOKEN ? (struct pair){NO_RANK, CZ_NO_TOKEN}
                             : (struct pair){score_rank(tokenizer->tables->tokens[id].score), id};
}

/* ---- The first symbols ---- */

struct row {
    struct symbol *symbols;
    uint32_t count;
};

static void push(struct row *row, uint32_t start, size_t size, uint32_t id)
{
    row->symbols[row->count++] =
        (struct symbol){.start = start, .end = start + (uint32_t)size, .id = id};
}

/* A character without a token: its bytes, or the unknown token, or nothing. */
static void push_unknown(const struct cz_tokenizer *tokenizer, struct cz_slice piece,
                         uint32_t start, size_t size, struct row *row)
{
    const struct cz_tokenizer_tables *tables = tokenizer->tables;
    if (tables->byte_fallback && tokenizer->has_all_bytes) {
        for (size_t i = 0; i < size; i++)
            push(row, start + (uint32_t)i, 1,
                 tokenizer->byte_ids[(unsigned char)piece.data[start + i]]);
        return;
    }
    if (tables->unknown_id < 0)
        return;
    struct symbol *last = row->count ? &row->symbols[row->count - 1] : NULL;
    if (tables->fuse_unknown && last && last->id == (uint32_t)tables->unknown_id)
        last->end = start + (uint32_t)size;
    else
        push(row, start, size, (uint32_t)tables->unknown_id);
}

static void first_symbols(const struct cz_tokenizer *tokenizer, struct cz_slice piece,
                          struct row *row)
{
    bool bytes = tokenizer->tables->alphabet == CZ_ALPHABET_BYTES;
    bool by_score = tokenizer->tables->kind == CZ_TOKENIZER_SCORE_BPE;
    for (uint32_t at = 0; at < piece.size;) {
        uint32_t code, id;
        size_t size = 1;
        if (bytes) {
            id = tokenizer->initial_ids[(unsigned char)piece.data[at]];
        } else {
            size = cz_size_max(cz_utf8_decode(piece.data + at, piece.size - at, &code), 1);
            id = cz_text_index_find(&tokenizer->vocabulary, cz_slice_of(piece.data + at, size));
        }
        if (id != CZ_NO_TOKEN || by_score)
            push(row, at, size, id);
        else
            push_unknown(tokenizer, piece, at, size, row);
        at += (uint32_t)size;
    }
}

static void emit(const struct cz_tokenizer *tokenizer, struct cz_slice piece,
                 const struct symbol *symbol, struct cz_ids *ids)
{
    if (symbol->id != CZ_NO_TOKEN) {
        cz_ids_append(ids, symbol->id);
        return;
    }
    struct symbol spelled[4]; /* one character: score BPE joins only to what has a token */
    struct row row = {spelled, 0};
    push_unknown(tokenizer, piece, symbol->start, symbol->end - symbol->start, &row);
    for (uint32_t i = 0; i < row.count; i++) {
        bool repeats = tokenizer->tables->fuse_unknown && ids->count > 0 &&
                       spelled[i].id == tokenizer->tables->unknown_id &&
                       ids->ids[ids->count - 1] == spelled[i].id;
        if (!repeats)
            cz_ids_append(ids, spelled[i].id);
    }
}

/* ---- Joining: linear ---- */

static uint32_t lowest(const struct pair *pairs, uint32_t count)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < count; i++)
        if (pairs[i].rank < pairs[best].rank)
            best = i;
    return best;
}

static uint32_t join_short(const struct cz_tokenizer *tokenizer, struct cz_slice piece,
                           struct symbol *symbols, uint32_t count)
{
    struct pair pairs[SHORT_PIECE]; /* pairs[i] joins symbols i and i + 1 */
    for (uint32_t i = 0; i + 1 < count; i++)
        pairs[i] = rank_pair(tokenizer, piece, &symbols[i], &symbols[i + 1]);
    while (count > 1) {
        uint32_t at = lowest(pairs, count - 1);
        if (pairs[at].rank == NO_RANK)
            break;
        symbols[at].id = pairs[at].result;
        symbols[at].end = symbols[at + 1].end;
        count--;
        memmove(&symbols[at + 1], &symbols[at + 2], (count - at - 1) * sizeof *symbols);
        if (at + 1 < count) {
            memmove(&pairs[at + 1], &pairs[at + 2], (count - at - 2) * sizeof *pairs);
            pairs[at] = rank_pair(tokenizer, piece, &symbols[at], &symbols[at + 1]);
        }
        if (at > 0)
            pairs[at - 1] = rank_pair(tokenizer, piece, &symbols[at - 1], &symbols[at]);
    }
    return count;
}

/* ---- Joining: with a heap ---- */

struct candidate {
    uint32_t rank, left; /* the order: rank, then place */
    uint32_t size;       /* bytes of the joined symbol: tells a stale candidate */
    uint32_t result;
};

struct heap {
    struct candidate *items; /* [3 * symbols]: each join adds two candidates at most */
    uint32_t count;
};

static bool before(const struct candidate *a, const struct candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->left < b->left;
}

static void heap_push(struct heap *heap, struct candidate item)
{
    uint32_t at = heap->count++;
    while (at > 0 && before(&item, &heap->items[(at - 1) / 2])) {
        heap->items[at] = heap->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap->items[at] = item;
}

static struct candidate heap_pop(struct heap *heap)
{
    struct candidate top = heap->items[0];
    struct candidate item = heap->items[--heap->count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && before(&heap->items[child + 1], &heap->items[child]))
            child++;
        if (!before(&heap->items[child], &item))
            break;
        heap->items[at] = heap->items[child];
        at = child;
    }
    heap->items[at] = item;
    return top;
}

static void consider(const struct cz_tokenizer *tokenizer, struct cz_slice piece,
                     const struct symbol *symbols, uint32_t left, struct heap *heap)
{
    if (left == NONE || symbols[left].next == NONE)
        return;
    const struct symbol *right = &symbols[symbols[left].next];
    struct pair pair = rank_pair(tokenizer, piece, &symbols[left], right);
    if (pair.rank != NO_RANK)
        heap_push(heap, (struct candidate){pair.rank, left, right->end - symbols[left].start,
                                           pair.result});
}

static void join_long(const struct cz_tokenizer *tokenizer, struct cz_slice piece,
                      struct symbol *symbols, uint32_t count, struct heap *heap)
{
    for (uint32_t i = 0; i < count; i++) {
        symbols[i].previous = i ? i - 1 : NONE;
        symbols[i].next = i + 1 < count ? i + 1 : NONE;
    }
    for (uint32_t i = 0; i < count; i++)
        consider(tokenizer, piece, symbols, i, heap);
    while (heap->count) {
        struct candidate top = heap_pop(heap);
        struct symbol *left = &symbols[top.left];
        if (left->start == left->end || left->next == NONE ||
            symbols[left->next].end - left->start != top.size)
            continue;
        struct symbol *right = &symbols[left->next];
        left->id = top.result;
        left->end = right->end;
        left->next = right->next;
        right->start = right->end;
        if (left->next != NONE)
            symbols[left->next].previous = top.left;
        consider(tokenizer, piece, symbols, top.left, heap);
        consider(tokenizer, piece, symbols, left->previous, heap);
    }
}

static cloze_status encode_long(const struct cz_tokenizer *tokenizer, struct cz_slice piece,
                                struct cz_ids *ids, struct cloze_error *error)
{
    if (piece.size > CZ_TOKENIZER_MAXIMUM_TEXT)
        return cz_fail(error, CLOZE_LIMIT, "text", "a text has %zu bytes; at most %d are encoded",
                       piece.size, CZ_TOKENIZER_MAXIMUM_TEXT);
    struct row row = {cz_heap_alloc(piece.size * sizeof *row.symbols), 0};
    struct heap heap = {cz_heap_alloc(piece.size * 3 * sizeof *heap.items), 0};
    cloze_status status = CLOZE_OK;
    if (!row.symbols || !heap.items) {
        status = cz_fail_memory(error, "encoding a long text");
        goto out;
    }
    first_symbols(tokenizer, piece, &row);
    join_long(tokenizer, piece, row.symbols, row.count, &heap);
    for (uint32_t i = 0; i < row.count; i++)
        if (row.symbols[i].start != row.symbols[i].end)
            emit(tokenizer, piece, &row.symbols[i], ids);
out:
    cz_heap_free(row.symbols);
    cz_heap_free(heap.items);
    return status;
}

static void encode_short(const struct cz_tokenizer *tokenizer, struct cz_slice piece,
                         struct cz_ids *ids)
{
    struct symbol symbols[SHORT_PIECE];
    struct row row = {symbols, 0};
    first_symbols(tokenizer, piece, &row);
    uint32_t count = join_short(tokenizer, piece, symbols, row.count);
    for (uint32_t i = 0; i < count; i++)
        emit(tokenizer, piece, &symbols[i], ids);
}

/* ---- A piece that is a token as a whole ---- */

enum { WHOLE_UNKNOWN, WHOLE_YES, WHOLE_NO };

static bool is_known_whole(const struct cz_tokenizer *tokenizer, uint32_t id)
{
    return tokenizer->tables->ignore_merges ||
           atomic_load_explicit(&tokenizer->whole[id], memory_order_relaxed) == WHOLE_YES;
}

cloze_status cz_bpe_encode(const struct cz_tokenizer *tokenizer, struct cz_slice piece,
                           struct cz_ids *ids, struct cloze_error *error)
{
    uint32_t whole = cz_text_index_find(&tokenizer->vocabulary, piece);
    if (whole != CZ_NO_TOKEN && is_known_whole(tokenizer, whole)) {
        cz_ids_append(ids, whole);
        return CLOZE_OK;
    }
    size_t before_count = ids->count;
    cloze_status status = CLOZE_OK;
    if (piece.size <= SHORT_PIECE)
        encode_short(tokenizer, piece, ids);
    else
        status = encode_long(tokenizer, piece, ids, error);
    if (whole != CZ_NO_TOKEN && !status && !ids->failed) {
        bool same = ids->count == before_count + 1 && ids->ids[before_count] == whole;
        atomic_store_explicit(&tokenizer->whole[whole], same ? WHOLE_YES : WHOLE_NO,
                              memory_order_relaxed);
    }
    return status;
}
