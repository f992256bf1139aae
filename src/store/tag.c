/* tag.c - the grammar of tags, new versions, and names derived from sources. */
#include "store/tag.h"

#include "base/clock.h"
#include "base/log.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_tag_character(char c)
{
    return is_alphanumeric(c) || c == '-' || c == '.' || c == '_';
}

bool cz_tag_part_is_valid(struct cz_slice part)
{
    if (part.size == 0 || part.size > CZ_TAG_PART || !is_alphanumeric(part.data[0]) ||
        !is_alphanumeric(part.data[part.size - 1]))
        return false;
    for (size_t i = 0; i < part.size; i++) {
        if (!is_tag_character(part.data[i]))
            return false;
    }
    return true;
}

/* Copies a part in lower case; false when it does not match the grammar. */
static bool set_part(struct cz_slice part, char out[CZ_TAG_PART + 1], bool *lowered)
{
    if (part.size > CZ_TAG_PART)
        return false;
    for (size_t i = 0; i < part.size; i++) {
        bool upper = part.data[i] >= 'A' && part.data[i] <= 'Z';
        out[i] = upper ? (char)(part.data[i] + ('a' - 'A')) : part.data[i];
        *lowered |= upper;
    }
    out[part.size] = '\0';
    return cz_tag_part_is_valid(cz_slice_of(out, part.size));
}

cloze_status cz_tag_parse(const char *text, struct cz_tag *tag, struct cloze_error *error)
{
    *tag = (struct cz_tag){0};
    const char *colon = strchrnul(text, ':');
    bool lowered = false;
    if (*colon && !colon[1])
        return cz_fail(error, CLOZE_INVALID, text,
                       "ends with a colon; '%.*s:latest' is the newest version",
                       (int)(colon - text), text);
    if (!set_part(cz_slice_of(text, (size_t)(colon - text)), tag->name, &lowered) ||
        (*colon && !set_part(cz_slice(colon + 1), tag->version, &lowered)))
        return cz_fail(error, CLOZE_INVALID, text,
                       "is not a tag: name or name:version, each at most %d of a-z 0-9 - . _, "
                       "starting and ending with a letter or digit",
                       CZ_TAG_PART);
    if (lowered) {
        char lower[CZ_TAG_TEXT];
        cz_log(CZ_LOG_WARNING, "the tag '%s' is lowered to '%s'", text, cz_tag_text(tag, lower));
    }
    return CLOZE_OK;
}

const char *cz_tag_text(const struct cz_tag *tag, char text[CZ_TAG_TEXT])
{
    snprintf(text, CZ_TAG_TEXT, "%s%s%s", tag->name, tag->version[0] ? ":" : "", tag->version);
    return text;
}

void cz_tag_new_version(struct cz_tag *tag)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    static const uint64_t ticks_1582_to_1970 = 0x01B21DD213814000; /* of 100 ns, RFC 4122 */
    uint64_t ticks = cz_clock_wall_us() * 10 + ticks_1582_to_1970;
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        random = (uint32_t)cz_clock_ns();
    /* UUID order: the low 32 bits of the time, its next 16, then the sequence and node bits */
    uint8_t bytes[10];
    for (int i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(ticks >> (24 - 8 * i));
        bytes[6 + i] = (uint8_t)(random >> (8 * i));
    }
    bytes[4] = (uint8_t)(ticks >> 40);
    bytes[5] = (uint8_t)(ticks >> 32);
    bytes[6] = (uint8_t)((bytes[6] & 0x3f) | 0x80); /* the UUID's variant */
    for (int i = 0; i < CZ_TAG_VERSION; i++) {
        int bit = 5 * i, at = bit / 8;
        unsigned pair = (unsigned)bytes[at] << 8 | (at + 1 < 10 ? bytes[at + 1] : 0);
        tag->version[i] = alphabet[pair >> (11 - bit % 8) & 31];
    }
    tag->version[CZ_TAG_VERSION] = '\0';
}

/* Q4_1, Q4_K_M, IQ2_XXS, TQ1_0, F16, BF16, F32, FP16, MXFP4: what quantisers append to names. */
static bool is_quant(struct cz_slice word)
{
    static const char *const floats[] = {"f16", "f32", "bf16", "fp16", "fp32", "mxfp4", NULL};
    char lower[16];
    if (word.size < 2 || word.size >= sizeof lower)
        return false;
    for (size_t i = 0; i <= word.size; i++)
        lower[i] = i < word.size ? (char)tolower((unsigned char)word.data[i]) : '\0';
    for (const char *const *name = floats; *name; name++) {
        if (strcmp(lower, *name) == 0)
            return true;
    }
    const char *at = lower + (lower[0] == 'i' || lower[0] == 't');
    if (at[0] != 'q' || !isdigit((unsigned char)at[1]))
        return false;
    return at[2] == '\0' || at[2] == '_';
}

/* Removes "-00001-of-00003" from the end. */
static void drop_shard(struct cz_slice *stem)
{
    size_t at = stem->size;
    unsigned numbers = 0;
    for (; numbers < 2; numbers++) {
        size_t end = at;
        while (at && isdigit((unsigned char)stem->data[at - 1]))
            at--;
        const char *before = numbers == 0 ? "-of-" : "-";
        size_t size = strlen(before);
        if (at == end || at < size || memcmp(stem->data + at - size, before, size) != 0)
            return;
        at -= size;
    }
    stem->size = at;
}

size_t cz_gguf_stem(struct cz_slice file, struct cz_slice *quant)
{
    struct cz_slice stem = file;
    *quant = (struct cz_slice){0};
    if (cz_slice_ends_with(stem, ".gguf") || cz_slice_ends_with(stem, ".GGUF"))
        stem.size -= 5;
    drop_shard(&stem);
    size_t at = stem.size;
    while (at && stem.data[at - 1] != '.' && stem.data[at - 1] != '-')
        at--;
    struct cz_slice word = {stem.data + at, stem.size - at};
    if (at > 1 && is_quant(word)) {
        *quant = word;
        stem.size = at - 1;
    }
    return stem.size;
}

cloze_status cz_tag_name_from(const char *source, struct cz_tag *tag, struct cloze_error *error)
{
    *tag = (struct cz_tag){0};
    size_t size = 0;
    for (const char *at = source; *at && size < CZ_TAG_PART; at++) {
        char c = (char)tolower((unsigned char)*at);
        if (c == '/' && size && size + 2 <= CZ_TAG_PART) {
            tag->name[size++] = '-';
            c = '-';
        }
        if (!is_tag_character(c))
            c = '-';
        if (size || is_alphanumeric(c))
            tag->name[size++] = c;
    }
    while (size && !is_alphanumeric(tag->name[size - 1]))
        size--;
    tag->name[size] = '\0';
    if (!size)
        return cz_fail(error, CLOZE_INVALID, source,
                       "holds no letter or digit to name the model by: give a TAG");
    return CLOZE_OK;
}
