/*
 * split.c - from a stretch of text to pieces: every splitter cuts what the one before left whole,
 * and the last pieces are encoded as they fall off, so no list of pieces is kept.
 */
#include "tokenizer/parts.h"

struct splitting {
    const struct cz_tokenizer *tokenizer;
    struct cz_ids *ids;
    struct cloze_error *error;
};

static cloze_status split_from(struct splitting *splitting, uint32_t step, struct cz_slice piece,
                               enum cz_place place);

/* ---- The end of the line ---- */

static bool starts_blank(const struct cz_tokenizer *tokenizer, struct cz_slice text, size_t at)
{
    struct cz_slice blank = tokenizer->tables->blank;
    return text.size - at >= blank.size && memcmp(text.data + at, blank.data, blank.size) == 0;
}

/* Where the run of blanks and the word behind it end. */
static size_t end_of_word(const struct cz_tokenizer *tokenizer, struct cz_slice text, size_t at)
{
    while (at < text.size && starts_blank(tokenizer, text, at))
        at += tokenizer->tables->blank.size;
    while (at < text.size && !starts_blank(tokenizer, text, at))
        at++;
    return at;
}

static cloze_status encode_piece(struct splitting *splitting, struct cz_slice piece)
{
    const struct cz_tokenizer *tokenizer = splitting->tokenizer;
    if (!tokenizer->splits_at_blanks)
        return cz_bpe_encode(tokenizer, piece, splitting->ids, splitting->error);
    cloze_status status = CLOZE_OK;
    for (size_t at = 0; !status && at < piece.size;) {
        size_t end = end_of_word(tokenizer, piece, at);
        status = cz_bpe_encode(tokenizer, cz_slice_of(piece.data + at, end - at), splitting->ids,
                               splitting->error);
        at = end;
    }
    return status;
}

/* ---- Patterns ---- */

/* The piece is a row of segments, matches and what lies between them. One is held back until it is
 * known whether the next one joins it. */
struct segments {
    struct splitting *splitting;
    uint32_t step;
    struct cz_slice piece;
    enum cz_place place;
    enum cz_split_behavior behavior;
    bool held, held_match;
    size_t start, end; /* of the one held back */
};

static cloze_status flush(struct segments *segments)
{
    bool dropped = segments->behavior == CZ_SPLIT_REMOVED && segments->held_match;
    if (!segments->held || dropped || segments->start == segments->end)
        return CLOZE_OK;
    struct cz_slice piece = {segments->piece.data + segments->start,
                             segments->end - segments->start};
    return split_from(segments->splitting, segments->step + 1, piece,
                      segments->start == 0 ? segments->place : CZ_PLACE_INSIDE);
}

static bool joins(const struct segments *segments, bool match)
{
    if (!segments->held)
        return false;
    switch (segments->behavior) {
    case CZ_SPLIT_CONTIGUOUS:
        return match == segments->held_match;
    case CZ_SPLIT_MERGED_WITH_PREVIOUS:
        return match && !segments->held_match;
    case CZ_SPLIT_MERGED_WITH_NEXT:
        return !match && segments->held_match;
    default:
        return false;
    }
}

static cloze_status add_segment(struct segments *segments, size_t start, size_t end, bool match)
{
    if (joins(segments, match)) {
        segments->end = end;
        segments->held_match = match;
        return CLOZE_OK;
    }
    cloze_status status = flush(segments);
    segments->held = true;
    segments->held_match = match;
    segments->start = start;
    segments->end = end;
    return status;
}

static cloze_status split_by(struct segments *segments, struct cz_pattern *pattern, bool invert)
{
    struct cz_pattern_search search;
    struct cloze_error *error = segments->splitting->error;
    cloze_status status = cz_pattern_search_begin(&search, pattern, segments->piece, error);
    size_t at = 0;
    bool found = true;
    while (!status) {
        status = cz_pattern_search_next(&search, &found, error);
        if (status || !found)
            break;
        if (search.start > at)
            status = add_segment(segments, at, search.start, invert);
        if (!status)
            status = add_segment(segments, search.start, search.end, !invert);
        at = search.end;
    }
    if (!status && at < segments->piece.size)
        status = add_segment(segments, at, segments->piece.size, invert);
    cz_pattern_search_end(&search);
    return status ? status : flush(segments);
}

/* ---- Blanks ---- */

static bool wants_prefix(const struct cz_splitter *splitter, struct cz_slice piece,
                         struct cz_slice prefix, enum cz_place place)
{
    bool asked = splitter->kind == CZ_SPLIT_PREFIX_SPACE ||
                 splitter->prepend == CZ_PREPEND_ALWAYS ||
                 (splitter->prepend == CZ_PREPEND_FIRST && place == CZ_PLACE_FIRST);
    return asked && place != CZ_PLACE_CONTINUES &&
           (piece.size < prefix.size || memcmp(piece.data, prefix.data, prefix.size) != 0);
}

static cloze_status prefix_space(struct splitting *splitting, uint32_t step, struct cz_slice piece,
                                 enum cz_place place)
{
    struct cz_slice blank = CZ_SLICE(" ");
    if (!wants_prefix(splitting->tokenizer->splitters[step].table, piece, blank, place))
        return split_from(splitting, step + 1, piece, place);
    struct cz_buffer text = {0};
    cz_buffer_append_slice(&text, blank);
    cz_buffer_append_slice(&text, piece);
    cloze_status status = cz_buffer_status(&text, "a piece of text", splitting->error);
    if (!status)
        status = split_from(splitting, step + 1, cz_buffer_slice(&text), place);
    cz_buffer_free(&text);
    return status;
}

static void replace_blanks(struct cz_slice piece, struct cz_slice replacement,
                           struct cz_buffer *out)
{
    for (size_t at = 0; at < piece.size;) {
        const char *blank = memchr(piece.data + at, ' ', piece.size - at);
        size_t end = blank ? (size_t)(blank - piece.data) : piece.size;
        cz_buffer_append(out, piece.data + at, end - at);
        if (blank)
            cz_buffer_append_slice(out, replacement);
        at = end + (blank != NULL);
    }
}

static cloze_status metaspace(struct splitting *splitting, uint32_t step, struct cz_slice piece,
                              enum cz_place place)
{
    const struct cz_split_step *own = &splitting->tokenizer->splitters[step];
    struct cz_buffer replaced = {0}, text = {0};
    replace_blanks(piece, own->table->pattern, &replaced);
    if (wants_prefix(own->table, cz_buffer_slice(&replaced), own->table->pattern, place))
        cz_buffer_append_slice(&text, own->table->pattern);
    cz_buffer_append_slice(&text, cz_buffer_slice(&replaced));
    cloze_status status = cz_buffer_status(&replaced, "a piece of text", splitting->error);
    if (!status)
        status = cz_buffer_status(&text, "a piece of text", splitting->error);
    cz_buffer_free(&replaced);
    if (!status && own->table->split) {
        struct segments segments = {.splitting = splitting,
                                    .step = step,
                                    .place = place,
                                    .piece = cz_buffer_slice(&text),
                                    .behavior = CZ_SPLIT_MERGED_WITH_NEXT};
        status = split_by(&segments, own->pattern, false);
    } else if (!status) {
        status = split_from(splitting, step + 1, cz_buffer_slice(&text), place);
    }
    cz_buffer_free(&text);
    return status;
}

/* Recursive in the number of splitters, which the tables bound. */
static cloze_status split_from(struct splitting *splitting, uint32_t step, struct cz_slice piece,
                               enum cz_place place)
{
    if (step == splitting->tokenizer->tables->splitter_count)
        return encode_piece(splitting, piece);
    const struct cz_split_step *own = &splitting->tokenizer->splitters[step];
    if (own->table->kind == CZ_SPLIT_METASPACE)
        return metaspace(splitting, step, piece, place);
    if (own->table->kind == CZ_SPLIT_PREFIX_SPACE)
        return prefix_space(splitting, step, piece, place);
    struct segments segments = {.splitting = splitting,
                                .step = step,
                                .piece = piece,
                                .place = place,
                                .behavior = own->table->behavior};
    return split_by(&segments, own->pattern, own->table->invert);
}

cloze_status cz_split_encode(const struct cz_tokenizer *tokenizer, struct cz_slice stretch,
                             enum cz_place place, struct cz_ids *ids, struct cloze_error *error)
{
    struct splitting splitting = {tokenizer, ids, error};
    return stretch.size ? split_from(&splitting, 0, stretch, place) : CLOZE_OK;
}
