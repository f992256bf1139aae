/* tokens.c - fuzz target: a text encoded and decoded is the same text, for tokenizers that spell
 * every byte: byte-level BPE, and SentencePiece's shape with byte fallback. */
#include "base/utf8.h"
#include "model/tokenizer_build.h"
#include "tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* 256 byte tokens, some merges; the pattern is Llama 3's. */
static void byte_level_json(struct cz_buffer *json)
{
    cz_buffer_append_text(
        json, "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":"
              "\"Split\",\"pattern\":{\"Regex\":\"[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|"
              "\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|"
              "\\\\s+(?!\\\\S)|\\\\s+\"},\"behavior\":\"Isolated\"},{\"type\":\"ByteLevel\","
              "\"add_prefix_space\":false,\"use_regex\":false}]},\"decoder\":{\"type\":"
              "\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{");
    unsigned next = 0;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool itself = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
        cz_buffer_printf(json, "\"\\u%04x\":%u,", itself ? byte : 0x100 + next, byte);
        next += !itself;
    }
    cz_buffer_append_text(
        json, "\"ab\":256,\"aba\":257,\"\\u0120\\u0120\":258,\"abaab\":259},\"merges\":["
              "\"a b\",\"ab a\",\"\\u0120 \\u0120\",\"aba ab\"]}}");
}

static void fallback_json(struct cz_buffer *json)
{
    cz_buffer_append_text(
        json,
        "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\","
        "\"prepend\":\"\\u2581\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},"
        "\"content\":\"\\u2581\"}]},\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":"
        "\"Replace\",\"pattern\":{\"String\":\"\\u2581\"},\"content\":\" \"},{\"type\":"
        "\"ByteFallback\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]},"
        "\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{");
    for (unsigned byte = 0; byte < 256; byte++)
        cz_buffer_printf(json, "\"<0x%02X>\":%u,", byte, byte);
    cz_buffer_append_text(json, "\"\\u2581\":256,\"a\":257,\"b\":258,\"ab\":259,\"\\u2581ab\":260},"
                                "\"merges\":[\"a b\",\"\\u2581 ab\"]}}");
}

static struct cz_tokenizer *make(void (*write)(struct cz_buffer *))
{
    static struct cz_arena arena; /* for as long as the process runs */
    struct cz_buffer json = {0};
    struct cz_tokenizer *tokenizer;
    struct cloze_error error;
    struct cz_tokenizer_tables *tables = CZ_ARENA_NEW(&arena, struct cz_tokenizer_tables);
    write(&json);
    if (!tables || cz_tokenizer_read_json(cz_buffer_slice(&json), &arena, tables, &error) ||
        cz_tokenizer_create(tables, &tokenizer, &error)) {
        fprintf(stderr, "%s: %s\n", error.where, error.message);
        abort();
    }
    cz_buffer_free(&json);
    return tokenizer;
}

static void check(const struct cz_tokenizer *tokenizer, struct cz_slice text)
{
    struct cz_ids ids = {0};
    struct cz_buffer out = {0};
    struct cloze_error error;
    if (cz_tokenizer_encode(tokenizer, text, NULL, &ids, &error) ||
        cz_tokenizer_decode(tokenizer, ids.ids, ids.count, false, &out, &error) ||
        !cz_slice_equal(cz_buffer_slice(&out), text))
        abort();
    cz_ids_free(&ids);
    cz_buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cz_tokenizer *byte_level, *fallback;
    if (!byte_level) {
        byte_level = make(byte_level_json);
        fallback = make(fallback_json);
    }
    struct cz_slice text = cz_slice_of(data, size);
    text.size = cz_utf8_valid(text);
    check(byte_level, text);
    if (!memmem(text.data, text.size, CZ_BLANK, 3)) /* U+2581 itself reads back as a blank */
        check(fallback, text);
    return 0;
}
