/* slice.c - comparisons of slices, and the growing buffer. */
#include "base/slice.h"

#include "base/heap.h"
#include "base/size.h"

#include <stdarg.h>
#include <stdio.h>

bool cz_slice_equal(struct cz_slice a, struct cz_slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool cz_slice_is(struct cz_slice slice, const char *text)
{
    return cz_slice_equal(slice, cz_slice(text));
}

bool cz_slice_starts_with(struct cz_slice slice, const char *prefix)
{
    size_t size = strlen(prefix);
    return slice.size >= size && memcmp(slice.data, prefix, size) == 0;
}

bool cz_slice_ends_with(struct cz_slice slice, const char *suffix)
{
    size_t size = strlen(suffix);
    return slice.size >= size && memcmp(slice.data + slice.size - size, suffix, size) == 0;
}

int cz_slice_compare(struct cz_slice a, struct cz_slice b)
{
    size_t common = cz_size_min(a.size, b.size);
    int order = common ? memcmp(a.data, b.data, common) : 0;
    if (order)
        return order;
    return (a.size > b.size) - (a.size < b.size);
}

char *cz_buffer_reserve(struct cz_buffer *buffer, size_t size)
{
    size_t maximum = buffer->maximum ? buffer->maximum : CZ_BUFFER_MAXIMUM;
    size_t needed; /* with the NUL */
    if (buffer->failed || !cz_size_add(buffer->size, size, &needed) || needed > maximum)
        goto fail;
    needed++;
    if (needed > buffer->capacity) {
        size_t capacity = cz_size_max(needed, buffer->capacity + buffer->capacity / 2 + 64);
        char *data = cz_heap_resize(buffer->data, capacity);
        if (!data)
            goto fail;
        buffer->data = data;
        buffer->capacity = capacity;
    }
    return buffer->data + buffer->size;
fail:
    buffer->failed = true;
    return NULL;
}

void cz_buffer_append(struct cz_buffer *buffer, const void *data, size_t size)
{
    char *end = cz_buffer_reserve(buffer, size);
    if (!end)
        return;
    if (size)
        memcpy(end, data, size);
    end[size] = '\0';
    buffer->size += size;
}

void cz_buffer_append_byte(struct cz_buffer *buffer, char byte)
{
    cz_buffer_append(buffer, &byte, 1);
}

void cz_buffer_append_text(struct cz_buffer *buffer, const char *text)
{
    cz_buffer_append(buffer, text, strlen(text));
}

void cz_buffer_append_slice(struct cz_buffer *buffer, struct cz_slice slice)
{
    cz_buffer_append(buffer, slice.data, slice.size);
}

void cz_buffer_printf(struct cz_buffer *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    char *end = size < 0 ? NULL : cz_buffer_reserve(buffer, (size_t)size);
    if (end) {
        vsnprintf(end, (size_t)size + 1, format, again);
        buffer->size += (size_t)size;
    }
    va_end(again);
    va_end(arguments);
}

void cz_buffer_clear(struct cz_buffer *buffer)
{
    buffer->size = 0;
    buffer->failed = false;
    if (buffer->data)
        buffer->data[0] = '\0';
}

void cz_buffer_free(struct cz_buffer *buffer)
{
    cz_heap_free(buffer->data);
    *buffer = (struct cz_buffer){.maximum = buffer->maximum};
}

char *cz_buffer_take(struct cz_buffer *buffer)
{
    char *text = buffer->failed ? NULL : strdup(cz_buffer_text(buffer));
    cz_buffer_free(buffer);
    return text;
}

const char *cz_buffer_text(const struct cz_buffer *buffer)
{
    return buffer->data ? buffer->data : "";
}

struct cz_slice cz_buffer_slice(const struct cz_buffer *buffer)
{
    return (struct cz_slice){cz_buffer_text(buffer), buffer->size};
}

cloze_status cz_buffer_status(const struct cz_buffer *buffer, const char *what,
                              struct cloze_error *error)
{
    if (!buffer->failed)
        return CLOZE_OK;
    size_t maximum = buffer->maximum ? buffer->maximum : CZ_BUFFER_MAXIMUM;
    return cz_fail(error, CLOZE_LIMIT, what, "larger than %zu bytes, or out of memory", maximum);
}
