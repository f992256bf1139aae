/*
 * writer.h - writing JSON into a buffer, one event at a time.
 *
 * The writer places commas, colons and white space; the caller keeps begins and ends paired. An
 * overfull buffer is sticky (see slice.h): check cz_buffer_status once at the end.
 */
#ifndef CZ_JSON_WRITER_H
#define CZ_JSON_WRITER_H

#include "json/json.h"

enum cz_json_style {
    CZ_JSON_COMPACT, /* {"a":1,"b":[2,3]} */
    CZ_JSON_SPACED,  /* {"a": 1, "b": [2, 3]} - Python's json.dumps */
    CZ_JSON_PRETTY   /* indented by two blanks */
};


struct cz_json_writer {
    struct cz_buffer *out;
    enum cz_json_style style;
    bool ascii; /* escape everything beyond ASCII as \uXXXX */
    bool has_items;  /* the open container has a child already */
    bool after_key;
    unsigned depth;
};

void cz_json_begin_object(struct cz_json_writer *writer);
void cz_json_end_object(struct cz_json_writer *writer);
void cz_json_begin_array(struct cz_json_writer *writer);
void cz_json_end_array(struct cz_json_writer *writer);
void cz_json_write_key(struct cz_json_writer *writer, const char *key);
void cz_json_write_key_slice(struct cz_json_writer *writer, struct cz_slice key);
/* Bytes that are not UTF-8 are written as U+FFFD: the output is always valid. */
void cz_json_write_string(struct cz_json_writer *writer, const char *text);
void cz_json_write_slice(struct cz_json_writer *writer, struct cz_slice text);
void cz_json_write_int(struct cz_json_writer *writer, int64_t value);
void cz_json_write_double(struct cz_json_writer *writer, double value); /* not finite: null */
void cz_json_write_bool(struct cz_json_writer *writer, bool value);
void cz_json_write_null(struct cz_json_writer *writer);
/* Text that is JSON already: a number as written, a prepared document. */
void cz_json_write_raw(struct cz_json_writer *writer, struct cz_slice json);
/* A parsed value, numbers as they were written. */
void cz_json_write_value(struct cz_json_writer *writer, const struct cz_json *value);

/* key + value in one call */
void cz_json_write_member_string(struct cz_json_writer *writer, const char *key, const char *text);
void cz_json_write_member_int(struct cz_json_writer *writer, const char *key, int64_t value);
void cz_json_write_member_bool(struct cz_json_writer *writer, const char *key, bool value);

#endif
