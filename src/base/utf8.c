/* utf8.c - decoding, encoding and validation. */
#include "base/utf8.h"

static bool continues(unsigned char byte)
{
    return (byte & 0xC0) == 0x80;
}

static size_t sequence_size(unsigned char lead)
{
    return lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
}

size_t cz_utf8_decode(const char *data, size_t size, uint32_t *code)
{
    static const unsigned char lead_bits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *bytes = (const unsigned char *)data;
    size_t needed = size ? sequence_size(bytes[0]) : 0;
    if (needed == 0 || needed > size)
        return 0;
    uint32_t value = bytes[0] & lead_bits[needed];
    for (size_t i = 1; i < needed; i++) {
        if (!continues(bytes[i]))
            return 0;
        value = value << 6 | (bytes[i] & 0x3F);
    }
    if (value < smallest[needed] || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
        return 0;
    *code = value;
    return needed;
}

size_t cz_utf8_encode(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    if (code > 0x10FFFF)
        return 0;
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

size_t cz_utf8_valid(struct cz_slice text)
{
    size_t at = 0;
    while (at < text.size) {
        uint64_t word;
        if (text.size - at >= 8) {
            memcpy(&word, text.data + at, 8);
            if (!(word & 0x8080808080808080u)) {
                at += 8;
                continue;
            }
        }
        if ((unsigned char)text.data[at] < 0x80) {
            at++;
            continue;
        }
        uint32_t code;
        size_t size = cz_utf8_decode(text.data + at, text.size - at, &code);
        if (size == 0)
            break;
        at += size;
    }
    return at;
}

size_t cz_utf8_complete(struct cz_slice text)
{
    size_t back = 0;
    while (back < 3 && back < text.size && continues((unsigned char)text.data[text.size - back - 1]))
        back++;
    if (back == text.size)
        return text.size;
    size_t needed = sequence_size((unsigned char)text.data[text.size - back - 1]);
    return needed > back + 1 ? text.size - back - 1 : text.size;
}
