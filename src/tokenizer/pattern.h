/*
 * pattern.h - the regular expressions of tokenizer files, run by PCRE2.
 *
 * The files are written for Oniguruma (Ruby syntax). What differs there is rewritten while a
 * pattern is compiled: \s and \w have Unicode's White_Space and word characters, script names mean
 * the script itself, ^ and $ stand at every line. What can't be rewritten (set operations, nested
 * sets, \h, \R, \X, ...) is refused by name. A compiled pattern is immutable and shared by threads.
 */
#ifndef CZ_TOKENIZER_PATTERN_H
#define CZ_TOKENIZER_PATTERN_H

#include "base/slice.h"

struct cz_pattern;

/* `is_regex` false: `text` itself is looked for. Where executable memory is forbidden the
 * interpreter runs the pattern. */
cloze_status cz_pattern_compile(struct cz_slice text, bool is_regex, struct cz_pattern **out,
                                struct cloze_error *error);
void cz_pattern_free(struct cz_pattern *pattern);

/* The state of one search, on the stack of one thread: matches of `subject` from left to right.
 * Empty matches count unless they touch the end of the match before. */
struct cz_pattern_search {
    struct cz_pattern *pattern;
    struct cz_slice subject; /* valid UTF-8 */
    size_t at;               /* where the next search begins */
    size_t last_end;         /* of the last match */
    bool has_last;
    void *matches;     /* pcre2_match_data */
    size_t start, end; /* the match found */
};

cloze_status cz_pattern_search_begin(struct cz_pattern_search *search,
                                     struct cz_pattern *pattern, struct cz_slice subject,
                                     struct cloze_error *error);
/* *found says whether start and end hold a match. */
cloze_status cz_pattern_search_next(struct cz_pattern_search *search, bool *found,
                                    struct cloze_error *error);
void cz_pattern_search_end(struct cz_pattern_search *search);

#endif
