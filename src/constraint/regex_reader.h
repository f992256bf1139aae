/*
 * regex_reader.h - the text of a pattern, read character by character: digits, escapes, sets.
 *
 * A reader keeps its first error; functions that read do nothing useful after it, and the caller
 * looks at `status` in its loops.
 */
#ifndef CZ_CONSTRAINT_REGEX_READER_H
#define CZ_CONSTRAINT_REGEX_READER_H

#include "constraint/regex_tree.h"

#define CZ_READER_END UINT32_MAX /* what is read behind the last character */

struct cz_regex_flags {
    bool ignore_case, multi_line, dot_all, verbose;
};

struct cz_regex_reader {
    struct cz_arena *arena;
    struct cz_slice text;
    size_t at;
    enum cz_regex_flavour flavour;
    struct cz_regex_flags flags;
    unsigned depth;
    uint32_t groups; /* capturing groups in the whole pattern */
    bool named;      /* a group has a name */
    cloze_status status;
    struct cloze_error *error;
};

bool cz_reader_is_python(const struct cz_regex_reader *reader);

/* Keep an error, with its place in the pattern, unless there is one already. */
void cz_reader_refuse(struct cz_regex_reader *reader, cloze_status code, const char *what);
void cz_reader_malformed(struct cz_regex_reader *reader, const char *what);
void cz_reader_unsupported(struct cz_regex_reader *reader, const char *what);

/* The next code point; CZ_READER_END when there is none. */
uint32_t cz_reader_peek(const struct cz_regex_reader *reader);
uint32_t cz_reader_take(struct cz_regex_reader *reader);
bool cz_reader_looking_at(const struct cz_regex_reader *reader, const char *text);
bool cz_reader_accept(struct cz_regex_reader *reader, const char *text);
/* Between `least` and `most` digits; false, with nothing read, when there are fewer. A value that
 * does not fit becomes UINT32_MAX. */
bool cz_reader_digits(struct cz_regex_reader *reader, unsigned base, unsigned least, unsigned most,
                      uint32_t *out);
bool cz_reader_is_alphanumeric(uint32_t code);

/* [0-9A-Za-z_], the line ends that `.` leaves out, PCRE's \v */
void cz_codes_add_word(struct cz_codes *codes);
void cz_reader_line_ends(const struct cz_regex_reader *reader, struct cz_codes *codes);
void cz_codes_add_vertical(struct cz_codes *codes);

/* Behind a backslash: an escape that stands for a set is added; false when it stands for none. */
bool cz_reader_set_escape(struct cz_regex_reader *reader, struct cz_codes *codes);
/* Behind a backslash: the one character that is meant. */
uint32_t cz_reader_character_escape(struct cz_regex_reader *reader, bool in_class);
/* One item between brackets: a character, a range, an escape. */
void cz_reader_class_item(struct cz_regex_reader *reader, struct cz_codes *codes);

#endif
