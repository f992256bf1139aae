/* checksum.c - reading and writing SHA256SUMS. */
#include "store/checksum.h"

#include "base/file.h"
#include "store/store.h"

#include <stdlib.h>

enum { MAXIMUM_LIST_SIZE = 16 << 20 };

static bool is_digest(struct cz_slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (!memchr("0123456789abcdef", text.data[i], 16))
            return false;
    }
    return text.size == CZ_SHA256_TEXT;
}

/* One line without its line feed; the two separators may be "  " or " *". */
static bool parse_line(struct cz_slice line, struct cz_checksum *item)
{
    if (line.size < CZ_SHA256_TEXT + 3)
        return false;
    item->sha256 = cz_slice_of(line.data, CZ_SHA256_TEXT);
    item->name = cz_slice_of(line.data + CZ_SHA256_TEXT + 2, line.size - CZ_SHA256_TEXT - 2);
    return is_digest(item->sha256) && line.data[CZ_SHA256_TEXT] == ' ' &&
           cz_path_is_safe(item->name);
}

cloze_status cz_checksums_parse(struct cz_buffer *text, struct cz_checksums *checksums,
                                struct cloze_error *error)
{
    *checksums = (struct cz_checksums){.text = *text};
    *text = (struct cz_buffer){0};
    size_t lines = 1;
    for (size_t i = 0; i < checksums->text.size; i++)
        lines += checksums->text.data[i] == '\n';
    checksums->items = calloc(lines, sizeof *checksums->items);
    if (!checksums->items) {
        cz_checksums_free(checksums);
        return cz_fail_memory(error, CZ_STORE_CHECKSUMS);
    }
    const char *at = cz_buffer_text(&checksums->text), *end = at + checksums->text.size;
    for (size_t number = 1; at < end; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        if (!parse_line(cz_slice_of(at, (size_t)(stop - at)),
                        &checksums->items[checksums->count++])) {
            cz_checksums_free(checksums);
            return cz_fail(error, CLOZE_CORRUPT, CZ_STORE_CHECKSUMS,
                           "line %zu is not a SHA-256 and a file name", number);
        }
        at = stop + 1;
    }
    return CLOZE_OK;
}

cloze_status cz_checksums_read(const char *folder, struct cz_checksums *checksums,
                               struct cloze_error *error)
{
    struct cz_buffer path = {0}, text = {.maximum = MAXIMUM_LIST_SIZE};
    *checksums = (struct cz_checksums){0};
    cloze_status status = cz_path_join(&path, folder, CZ_STORE_CHECKSUMS)
                              ? cz_file_read(path.data, &text, error)
                              : cz_fail_memory(error, folder);
    if (!status)
        status = cz_checksums_parse(&text, checksums, error);
    cz_buffer_free(&text);
    cz_buffer_free(&path);
    return status;
}

void cz_checksums_free(struct cz_checksums *checksums)
{
    free(checksums->items);
    cz_buffer_free(&checksums->text);
    *checksums = (struct cz_checksums){0};
}

struct cz_slice cz_checksums_find(const struct cz_checksums *checksums, struct cz_slice name)
{
    for (size_t i = 0; i < checksums->count; i++) {
        if (cz_slice_equal(checksums->items[i].name, name))
            return checksums->items[i].sha256;
    }
    return (struct cz_slice){0};
}

cloze_status cz_checksums_check_presence(const char *folder, struct cloze_error *error)
{
    struct cz_checksums list;
    struct cloze_error reason;
    cloze_status status = cz_checksums_read(folder, &list, &reason);
    if (status == CLOZE_NOT_FOUND)
        return CLOZE_OK;
    if (status)
        return cz_fail(error, status, reason.where, "%s", reason.message);
    struct cz_buffer path = {0}, name = {0};
    for (size_t i = 0; !status && i < list.count; i++) {
        cz_buffer_clear(&name);
        cz_buffer_append_slice(&name, list.items[i].name);
        if (!cz_path_join(&path, folder, cz_buffer_text(&name)))
            status = cz_fail_memory(error, folder);
        else if (!cz_file_exists(path.data))
            status = cz_fail(error, CLOZE_CORRUPT, folder, "'%s' is missing", name.data);
    }
    cz_buffer_free(&path);
    cz_buffer_free(&name);
    cz_checksums_free(&list);
    return status;
}

void cz_checksums_append(struct cz_buffer *text, const char *name, const char *sha256)
{
    cz_buffer_printf(text, "%s  %s\n", sha256, name);
}
