/*
 * tokenizer_sentencepiece.c - tokenizer.model: the protobuf of SentencePiece (sentencepiece_model
 * .proto). Read are ModelProto.pieces (1), .trainer_spec (2) and .normalizer_spec (3); fields that
 * aren't known are skipped, as protobuf means it.
 */
#include "model/tokenizer_build.h"

#include <stdio.h>

enum { LARGEST_FILE = 128 << 20 };

enum { WIRE_VARINT, WIRE_64, WIRE_BYTES, WIRE_32 = 5 };

/* One field of a message: its number and value. */
struct field {
    uint32_t number;
    uint64_t value;        /* WIRE_VARINT, WIRE_32 */
    struct cz_slice bytes; /* WIRE_BYTES */
};

struct reader {
    struct cz_arena *arena;
    struct cz_tokenizer_tables *tables;
    struct cz_token_list list;
    uint64_t model_type; /* 1 unigram, 2 BPE */
    int64_t bos_id, eos_id, unknown_id;
    bool adds_blank, removes_extra_blanks, escapes_blanks;
    bool has_character_map;
    struct cloze_error *error;
};

static cloze_status corrupt(struct reader *reader, const char *message)
{
    return cz_fail(reader->error, CLOZE_CORRUPT, "tokenizer.model", "%s", message);
}

/* ---- Wire format ---- */

static bool read_varint(struct cz_slice *rest, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && rest->size; shift += 7) {
        unsigned char byte = (unsigned char)*rest->data++;
        rest->size--;
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool take(struct cz_slice *rest, uint64_t size, struct cz_slice *out)
{
    if (size > rest->size)
        return false;
    *out = cz_slice_of(rest->data, size);
    rest->data += size;
    rest->size -= size;
    return true;
}

/* The next field; false at a malformed one. */
static bool read_field(struct cz_slice *rest, struct field *field)
{
    uint64_t tag, size;
    *field = (struct field){0};
    if (!read_varint(rest, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1FFFFFFF)
        return false;
    field->number = (uint32_t)(tag >> 3);
    switch (tag & 7) {
    case WIRE_VARINT:
        return read_varint(rest, &field->value);
    case WIRE_64:
        return take(rest, 8, &field->bytes);
    case WIRE_BYTES:
        return read_varint(rest, &size) && take(rest, size, &field->bytes);
    case WIRE_32:
        if (!take(rest, 4, &field->bytes))
            return false;
        memcpy(&field->value, field->bytes.data, 4); /* little-endian, like every host we run on */
        return true;
    default:
        return false;
    }
}

/* ---- Messages ---- */

static cloze_status read_trainer(struct reader *reader, struct cz_slice message)
{
    struct field field;
    while (message.size) {
        if (!read_field(&message, &field))
            return corrupt(reader, "the trainer's settings are malformed");
        int32_t number = (int32_t)field.value;
        if (field.number == 3)
            reader->model_type = field.value;
        else if (field.number == 35)
            reader->tables->byte_fallback = field.value != 0;
        else if (field.number == 40)
            reader->unknown_id = number;
        else if (field.number == 41)
            reader->bos_id = number;
        else if (field.number == 42)
            reader->eos_id = number;
    }
    return CLOZE_OK;
}

static cloze_status read_normalizer(struct reader *reader, struct cz_slice message)
{
    struct field field;
    while (message.size) {
        if (!read_field(&message, &field))
            return corrupt(reader, "the normalizer's settings are malformed");
        if (field.number == 2)
            reader->has_character_map = field.bytes.size > 0;
        else if (field.number == 3)
            reader->adds_blank = field.value != 0;
        else if (field.number == 4)
            reader->removes_extra_blanks = field.value != 0;
        else if (field.number == 5)
            reader->escapes_blanks = field.value != 0;
    }
    return CLOZE_OK;
}

static cloze_status read_piece(struct reader *reader, struct cz_slice message, uint32_t id)
{
    struct field field;
    struct cz_slice text = {0};
    float score = 0;
    uint64_t type = 1;
    while (message.size) {
        if (!read_field(&message, &field))
            return corrupt(reader, "a piece is malformed");
        if (field.number == 1) {
            text = field.bytes;
        } else if (field.number == 2) {
            uint32_t bits = (uint32_t)field.value;
            memcpy(&score, &bits, sizeof score);
        } else if (field.number == 3) {
            type = field.value;
        }
    }
    if (type < 1 || type > 6 || score != score)
        return corrupt(reader, "a piece has an unknown type or a score that is not a number");
    return cz_token_list_set(&reader->list, id, text, (enum cz_token_kind)(type - 1), score,
                             reader->error);
}

/* Walks the file's fields: counts the pieces, or reads everything. */
static cloze_status walk(struct reader *reader, struct cz_slice source, uint32_t *pieces,
                         bool reading)
{
    struct field field;
    cloze_status status = CLOZE_OK;
    *pieces = 0;
    while (source.size && !status) {
        if (!read_field(&source, &field))
            return corrupt(reader, "the file is not a SentencePiece model, or cut off");
        if (field.number == 1 && reading)
            status = read_piece(reader, field.bytes, *pieces);
        else if (field.number == 2 && reading)
            status = read_trainer(reader, field.bytes);
        else if (field.number == 3 && reading)
            status = read_normalizer(reader, field.bytes);
        *pieces += field.number == 1;
        if (*pieces > CZ_TOKENIZER_MAXIMUM_TOKENS)
            return corrupt(reader, "too many pieces");
    }
    return status;
}

/* ---- Added tokens of tokenizer_config.json: {"32000": {"content": "<|x|>", "special": true}} ----
 */

static const struct cz_json *added_list(const struct cz_json *config)
{
    const struct cz_json *added = cz_json_get(config, "added_tokens_decoder");
    return cz_json_is(added, CZ_JSON_OBJECT) ? added : NULL;
}

static bool parse_id(struct cz_slice key, uint32_t *id)
{
    uint64_t value = 0;
    for (size_t i = 0; i < key.size; i++) {
        if (key.data[i] < '0' || key.data[i] > '9' || value >= CZ_TOKENIZER_MAXIMUM_TOKENS)
            return false;
        value = value * 10 + (uint64_t)(key.data[i] - '0');
    }
    *id = (uint32_t)value;
    return key.size > 0 && value < CZ_TOKENIZER_MAXIMUM_TOKENS;
}

static cloze_status measure_added(struct reader *reader, const struct cz_json *added,
                                  uint32_t *count, size_t *text_size)
{
    uint32_t pieces = *count;
    for (const struct cz_json *item = added ? added->first : NULL; item; item = item->next) {
        uint32_t id;
        struct cz_slice content;
        if (!parse_id(cz_json_key(item), &id) || id > pieces + 65536 ||
            !cz_json_string(cz_json_get(item, "content"), &content))
            return corrupt(reader, "added_tokens_decoder holds a bad id or no content");
        *count = id >= *count ? id + 1 : *count;
        *text_size += content.size;
    }
    return CLOZE_OK;
}

static cloze_status set_added(struct reader *reader, const struct cz_json *added)
{
    for (const struct cz_json *item = added ? added->first : NULL; item; item = item->next) {
        uint32_t id = 0;
        bool special = false;
        struct cz_slice content = {0};
        parse_id(cz_json_key(item), &id);
        cz_json_string(cz_json_get(item, "content"), &content);
        cz_json_bool(cz_json_get(item, "special"), &special);
        enum cz_token_kind kind = special ? CZ_TOKEN_CONTROL : CZ_TOKEN_USER;
        if ((int64_t)id == reader->unknown_id)
            kind = CZ_TOKEN_UNKNOWN;
        cloze_status status = cz_token_list_set(&reader->list, id, content, kind,
                                                reader->list.tokens[id].score, reader->error);
        if (status)
            return status;
    }
    return CLOZE_OK;
}

/* Control, unknown and user-defined pieces are cut out of texts, as sentencepiece does. */
static cloze_status list_added(struct reader *reader, const struct cz_json *config_added)
{
    struct cz_tokenizer_tables *tables = reader->tables;
    struct cz_added_token *added =
        CZ_ARENA_ARRAY(reader->arena, struct cz_added_token, reader->list.count);
    if (!added)
        return cz_fail_memory(reader->error, "added tokens");
    for (uint32_t id = 0; id < reader->list.count; id++) {
        const struct cz_token *token = &reader->list.tokens[id];
        bool special = token->kind == CZ_TOKEN_CONTROL || token->kind == CZ_TOKEN_UNKNOWN;
        if (token->text.size && (special || token->kind == CZ_TOKEN_USER))
            added[tables->added_count++] =
                (struct cz_added_token){.content = token->text, .id = id, .special = special};
    }
    for (uint32_t i = 0; config_added && i < tables->added_count; i++) {
        char key[16];
        snprintf(key, sizeof key, "%u", added[i].id);
        const struct cz_json *item = cz_json_get(config_added, key);
        cz_json_bool(cz_json_get(item, "lstrip"), &added[i].lstrip);
        cz_json_bool(cz_json_get(item, "rstrip"), &added[i].rstrip);
        cz_json_bool(cz_json_get(item, "single_word"), &added[i].single_word);
    }
    tables->added = added;
    return CLOZE_OK;
}

/* ---- The whole ---- */

static cloze_status check_features(struct reader *reader)
{
    const char *refused = NULL;
    if (reader->model_type != 2)
        refused = reader->model_type == 1 ? "the model type unigram" : "the model type";
    else if (reader->has_character_map)
        refused = "a precompiled character map";
    else if (reader->removes_extra_blanks)
        refused = "remove_extra_whitespaces";
    else if (!reader->escapes_blanks)
        refused = "escape_whitespaces off";
    return refused ? cz_fail(reader->error, CLOZE_UNSUPPORTED, "tokenizer.model",
                             "%s is not supported", refused)
                   : CLOZE_OK;
}

/* transformers' "legacy": false - the blank goes before the whole text only, not before what
 * follows an added token. */
static cloze_status add_metaspace(struct reader *reader)
{
    struct cz_splitter *step = CZ_ARENA_NEW(reader->arena, struct cz_splitter);
    if (!step)
        return cz_fail_memory(reader->error, "the tokenizer");
    step->kind = CZ_SPLIT_METASPACE;
    step->pattern = CZ_SLICE(CZ_BLANK);
    step->prepend = reader->adds_blank ? CZ_PREPEND_FIRST : CZ_PREPEND_NEVER;
    reader->tables->splitters = step;
    reader->tables->splitter_count = 1;
    return CLOZE_OK;
}

static cloze_status add_normalizers(struct reader *reader)
{
    struct cz_tokenizer_tables *tables = reader->tables;
    struct cz_normalizer *steps = CZ_ARENA_ARRAY(reader->arena, struct cz_normalizer, 2);
    if (!steps)
        return cz_fail_memory(reader->error, "the tokenizer");
    if (reader->adds_blank)
        steps[tables->normalizer_count++] =
            (struct cz_normalizer){.kind = CZ_NORMALIZE_PREPEND, .content = CZ_SLICE(CZ_BLANK)};
    steps[tables->normalizer_count++] = (struct cz_normalizer){
        .kind = CZ_NORMALIZE_REPLACE, .pattern = CZ_SLICE(" "), .content = CZ_SLICE(CZ_BLANK)};
    tables->normalizers = steps;
    return CLOZE_OK;
}

static cloze_status add_steps(struct reader *reader, const struct cz_json *config)
{
    struct cz_tokenizer_tables *tables = reader->tables;
    bool legacy = true;
    cz_json_bool(cz_json_get(config, "legacy"), &legacy);
    uint32_t *around = CZ_ARENA_ARRAY(reader->arena, uint32_t, 1);
    if (!around)
        return cz_fail_memory(reader->error, "the tokenizer");
    tables->blank = CZ_SLICE(CZ_BLANK);
    tables->strip_first_blank = reader->adds_blank;
    tables->fuse_unknown = true;
    tables->bos_id = reader->bos_id < (int64_t)reader->list.count ? reader->bos_id : -1;
    tables->eos_id = reader->eos_id < (int64_t)reader->list.count ? reader->eos_id : -1;
    tables->unknown_id = reader->unknown_id;
    around[0] = (uint32_t)tables->bos_id;
    tables->prefix_ids = around;
    tables->prefix_count = tables->bos_id >= 0;
    return legacy ? add_normalizers(reader) : add_metaspace(reader);
}

static cloze_status read_all(struct reader *reader, struct cz_slice source,
                             const struct cz_json *config)
{
    uint32_t pieces;
    size_t text_size = source.size;
    cloze_status status = walk(reader, source, &pieces, false);
    uint32_t count = pieces;
    if (!status)
        status = measure_added(reader, added_list(config), &count, &text_size);
    if (!status)
        status = cz_token_list_init(&reader->list, reader->arena, count, text_size, reader->error);
    if (!status)
        status = walk(reader, source, &pieces, true);
    if (!status)
        status = check_features(reader);
    if (!status)
        status = set_added(reader, added_list(config));
    if (!status)
        status = list_added(reader, added_list(config));
    reader->tables->tokens = reader->list.tokens;
    reader->tables->token_count = reader->list.count;
    return status ? status : add_steps(reader, config);
}

cloze_status cz_tokenizer_read_sentencepiece(struct cz_slice source, const struct cz_json *config,
                                             struct cz_arena *arena,
                                             struct cz_tokenizer_tables *tables,
                                             struct cloze_error *error)
{
    *tables = (struct cz_tokenizer_tables){.kind = CZ_TOKENIZER_SCORE_BPE};
    struct reader reader = {.arena = arena,
                            .tables = tables,
                            .model_type = 1,
                            .bos_id = 1,
                            .eos_id = 2,
                            .adds_blank = true,
                            .removes_extra_blanks = true,
                            .escapes_blanks = true,
                            .error = error};
    if (source.size > LARGEST_FILE)
        return corrupt(&reader, "the file is larger than 128 MiB");
    cloze_status status = read_all(&reader, source, config);
    cz_token_list_free(&reader.list);
    return status;
}
