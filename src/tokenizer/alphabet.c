/*
 * alphabet.c - GPT-2's byte alphabet: '!'..'~', A1..AC and AE..FF stand for themselves as code
 * points, the other 68 bytes, in ascending order, for U+0100 and up.
 */
#include "base/utf8.h"
#include "tokenizer/parts.h"

static bool stands_for_itself(uint32_t code)
{
    return (code >= '!' && code <= '~') || (code >= 0xA1 && code <= 0xAC) ||
           (code >= 0xAE && code <= 0xFF);
}

int cz_alphabet_byte(uint32_t code)
{
    if (stands_for_itself(code))
        return (int)code;
    if (code < 0x100 || code >= 0x100 + 68)
        return -1;
    uint32_t nth = code - 0x100; /* 0..0x20, 0x7F..0xA0, 0xAD */
    return (int)(nth <= 0x20 ? nth : nth < 67 ? nth - 0x21 + 0x7F : 0xAD);
}

bool cz_alphabet_decode(struct cz_slice text, char *out, size_t *size)
{
    size_t written = 0;
    for (size_t at = 0; at < text.size;) {
        uint32_t code;
        size_t step = cz_utf8_decode(text.data + at, text.size - at, &code);
        int byte = step ? cz_alphabet_byte(code) : -1;
        if (byte < 0)
            return false;
        out[written++] = (char)byte;
        at += step;
    }
    *size = written;
    return true;
}
