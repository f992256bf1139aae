/*
 * text_index.h - hash index from texts to the numbers of the records that hold them.
 *
 * For large tables that are built once: a slot is 8 bytes, the texts stay where they are. A record
 * begins with a struct cz_slice, its text, and may hold more; records that are added must not move
 * their text. Keyed like cz_map. Reading is thread-safe.
 */
#ifndef CZ_BASE_TEXT_INDEX_H
#define CZ_BASE_TEXT_INDEX_H

#include "base/slice.h"

#define CZ_NOT_INDEXED UINT32_MAX

struct cz_text_index {
    const char *records;
    size_t stride; /* bytes from one record to the next */
    struct cz_text_slot {
        uint32_t tag;    /* of the text's hash */
        uint32_t number; /* CZ_NOT_INDEXED: free */
    } * slots;           /* [mask + 1] */
    size_t mask;
};

/* Room for `count` texts, which is all that may be added. false: no memory. */
bool cz_text_index_init(struct cz_text_index *index, const void *records, size_t stride,
                        uint32_t count);
/* Adds the record's text; when it is there already, returns the number that has it, and nothing
 * changes; else returns `number`. */
uint32_t cz_text_index_add(struct cz_text_index *index, uint32_t number);
uint32_t cz_text_index_find(const struct cz_text_index *index, struct cz_slice text);
void cz_text_index_free(struct cz_text_index *index);

#endif
