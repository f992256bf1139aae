/* pointer.c - JSON Pointer (RFC 6901). */
#include "json/json.h"

/* Whether the pointer token (with ~0 and ~1) stands for `key`. */
static bool token_is(struct cz_slice token, struct cz_slice key)
{
    size_t at = 0;
    for (size_t i = 0; i < token.size; i++, at++) {
        char byte = token.data[i];
        if (byte == '~') {
            if (++i == token.size || (token.data[i] != '0' && token.data[i] != '1'))
                return false;
            byte = token.data[i] == '0' ? '~' : '/';
        }
        if (at == key.size || key.data[at] != byte)
            return false;
    }
    return at == key.size;
}

static bool token_index(struct cz_slice token, size_t *index)
{
    if (token.size == 0 || token.size > 10 || (token.size > 1 && token.data[0] == '0'))
        return false;
    *index = 0;
    for (size_t i = 0; i < token.size; i++) {
        if (token.data[i] < '0' || token.data[i] > '9')
            return false;
        *index = *index * 10 + (size_t)(token.data[i] - '0');
    }
    return true;
}

static struct cz_json *step(const struct cz_json *node, struct cz_slice token)
{
    size_t index;
    if (node->kind == CZ_JSON_ARRAY)
        return token_index(token, &index) ? cz_json_at(node, index) : NULL;
    if (node->kind != CZ_JSON_OBJECT)
        return NULL;
    CZ_JSON_EACH(member, node)
        if (token_is(token, cz_json_key(member)))
            return member;
    return NULL;
}

struct cz_json *cz_json_pointer_find(const struct cz_json *root, struct cz_slice pointer)
{
    const struct cz_json *node = root;
    size_t at = 0;
    while (node && at < pointer.size) {
        if (pointer.data[at] != '/')
            return NULL;
        size_t start = ++at;
        while (at < pointer.size && pointer.data[at] != '/')
            at++;
        node = step(node, cz_slice_of(pointer.data + start, at - start));
    }
    return (struct cz_json *)(uintptr_t)node;
}

void cz_json_pointer_append(struct cz_buffer *pointer, struct cz_slice token)
{
    cz_buffer_append_byte(pointer, '/');
    for (size_t i = 0; i < token.size; i++) {
        char byte = token.data[i];
        if (byte == '~' || byte == '/')
            cz_buffer_append_text(pointer, byte == '~' ? "~0" : "~1");
        else
            cz_buffer_append_byte(pointer, byte);
    }
}

void cz_json_pointer_append_index(struct cz_buffer *pointer, size_t index)
{
    cz_buffer_printf(pointer, "/%zu", index);
}
