/* pattern.c - rewriting Oniguruma patterns for PCRE2, and searching with them. */
#include "tokenizer/pattern.h"

#include "base/heap.h"
#include "base/size.h"
#include "base/utf8.h"
#include "tokenizer/tables.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Work that one match may take: hostile patterns backtrack exponentially. */
enum { SMALLEST_MATCH_LIMIT = 10000000, MATCH_LIMIT_PER_BYTE = 64, HEAP_LIMIT_KIB = 256 << 10 };

struct cz_pattern {
    pcre2_code *code; /* NULL for a literal */
    bool jit;
    struct cz_slice literal; /* owned copy */
    /* Match data of a search that has ended, for the next one; NULL: none. */
    _Atomic(pcre2_match_data *) spare;
};

/* ---- Rewriting ---- */

#define WHITE_SPACE                                                                                \
    "\\t-\\r\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"       \
    "\\x{3000}"
#define WORD "\\p{L}\\p{M}\\p{Nd}\\p{Pc}"

#define WORD_BOUNDARY "(?:(?<=[" WORD "])(?![" WORD "])|(?<![" WORD "])(?=[" WORD "]))"

struct rewriter {
    struct cz_slice source;
    size_t at;
    bool in_class;
    struct cz_buffer out;
    struct cloze_error *error;
};

static cloze_status refuse(struct rewriter *rewriter, size_t at, const char *what)
{
    char where[64];
    snprintf(where, sizeof where, "character %zu of the pattern", at + 1);
    return cz_fail(rewriter->error, CLOZE_UNSUPPORTED, where,
                   "the tokenizer's pattern uses %s, which isn't supported: " CZ_SLICE_FORMAT, what,
                   CZ_SLICE_ARG(rewriter->source));
}

/* \p{Name}: general categories mean the same in both; scripts need PCRE2's "sc:". */
static cloze_status rewrite_property(struct rewriter *rewriter, size_t start)
{
    struct cz_slice rest = {rewriter->source.data + start, rewriter->source.size - start};
    const char *end =
        rest.size > 2 && rest.data[2] == '{' ? memchr(rest.data, '}', rest.size) : NULL;
    if (!end)
        return refuse(rewriter, start, "a property without braces");
    struct cz_slice name = {rest.data + 3, (size_t)(end - rest.data) - 3};
    bool negated = name.size && name.data[0] == '^';
    name.data += negated;
    name.size -= negated;
    bool is_category = name.size <= 2 || cz_slice_is(name, "Any");
    cz_buffer_printf(&rewriter->out, "\\%c{%s%s%.*s}", rest.data[1], negated ? "^" : "",
                     is_category ? "" : "sc:", (int)cz_size_min(name.size, 64), name.data);
    rewriter->at = start + (size_t)(end - rest.data) + 1;
    return CLOZE_OK;
}

/* \xHH, \x{H...} and Oniguruma's \uHHHH. */
static cloze_status rewrite_code_point(struct rewriter *rewriter, size_t start)
{
    struct cz_slice rest = {rewriter->source.data + start, rewriter->source.size - start};
    bool braces = rest.size > 2 && rest.data[1] == 'x' && rest.data[2] == '{';
    size_t begin = braces ? 3 : 2;
    size_t limit = braces ? 6 : rest.data[1] == 'x' ? 2 : 4;
    size_t digits = 0;
    while (digits < limit && begin + digits < rest.size &&
           isxdigit((unsigned char)rest.data[begin + digits]))
        digits++;
    size_t end = begin + digits + braces;
    if (digits == 0 || end > rest.size || (braces && rest.data[end - 1] != '}'))
        return refuse(rewriter, start, "an incomplete \\x or \\u");
    cz_buffer_printf(&rewriter->out, "\\x{%.*s}", (int)digits, rest.data + begin);
    rewriter->at = start + end;
    return CLOZE_OK;
}

static cloze_status rewrite_escape(struct rewriter *rewriter)
{
    size_t start = rewriter->at;
    if (start + 1 >= rewriter->source.size)
        return refuse(rewriter, start, "a backslash at its end");
    char letter = rewriter->source.data[start + 1];
    rewriter->at += 2;
    struct cz_buffer *out = &rewriter->out;
    switch (letter) {
    case 's':
        cz_buffer_append_text(out, rewriter->in_class ? WHITE_SPACE : "[" WHITE_SPACE "]");
        return CLOZE_OK;
    case 'w':
        cz_buffer_append_text(out, rewriter->in_class ? WORD : "[" WORD "]");
        return CLOZE_OK;
    case 'S':
    case 'W':
        if (rewriter->in_class)
            return refuse(rewriter, start, "\\S or \\W inside a set");
        cz_buffer_append_text(out, letter == 'S' ? "[^" WHITE_SPACE "]" : "[^" WORD "]");
        return CLOZE_OK;
    case 'p':
    case 'P':
        return rewrite_property(rewriter, start);
    case 'x':
    case 'u':
        return rewrite_code_point(rewriter, start);
    case 'b':
    case 'B':
        cz_buffer_append_text(out, rewriter->in_class ? "\\b"
                                   : letter == 'b'    ? WORD_BOUNDARY
                                                      : "(?!" WORD_BOUNDARY ")");
        return CLOZE_OK;
    default:
        break;
    }
    bool is_letter = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z');
    if (is_letter && !strchr("dDnrtfaeAzZG", letter)) {
        char what[] = "\\?";
        what[1] = letter;
        return refuse(rewriter, start, what);
    }
    cz_buffer_append(out, rewriter->source.data + start, 2);
    return CLOZE_OK;
}

static cloze_status rewrite_in_class(struct rewriter *rewriter, char c)
{
    struct cz_slice rest = {rewriter->source.data + rewriter->at,
                            rewriter->source.size - rewriter->at};
    if (c == '[')
        return refuse(rewriter, rewriter->at, "a set inside a set");
    if (cz_slice_starts_with(rest, "&&"))
        return refuse(rewriter, rewriter->at, "an intersection of sets");
    if (c == ']')
        rewriter->in_class = false;
    cz_buffer_append_byte(&rewriter->out, c);
    rewriter->at++;
    return CLOZE_OK;
}

static void open_class(struct rewriter *rewriter)
{
    rewriter->in_class = true;
    cz_buffer_append_byte(&rewriter->out, '[');
    rewriter->at++;
    if (rewriter->at < rewriter->source.size && rewriter->source.data[rewriter->at] == '^') {
        cz_buffer_append_byte(&rewriter->out, '^');
        rewriter->at++;
    }
}

/* "(?i:...)" means the same in both, other option letters and places don't. */
static cloze_status check_options(struct rewriter *rewriter)
{
    size_t at = rewriter->at + 2;
    while (at < rewriter->source.size && strchr("imsxaduw-", rewriter->source.data[at])) {
        if (!strchr("i-", rewriter->source.data[at]))
            return refuse(rewriter, at, "an option other than (?i:...)");
        at++;
    }
    bool whole_rest =
        at > rewriter->at + 2 && at < rewriter->source.size && rewriter->source.data[at] == ')';
    return whole_rest && rewriter->at > 0 ? refuse(rewriter, at, "an option in mid-pattern")
                                          : CLOZE_OK;
}

static cloze_status rewrite_plain(struct rewriter *rewriter, char c)
{
    struct cz_slice rest = {rewriter->source.data + rewriter->at,
                            rewriter->source.size - rewriter->at};
    if (cz_slice_starts_with(rest, "}+") || cz_slice_starts_with(rest, "}?"))
        return refuse(rewriter, rewriter->at, "an interval followed by + or ?");
    cloze_status status = cz_slice_starts_with(rest, "(?") ? check_options(rewriter) : CLOZE_OK;
    cz_buffer_append_byte(&rewriter->out, c);
    rewriter->at++;
    return status;
}

static cloze_status rewrite(struct rewriter *rewriter)
{
    while (rewriter->at < rewriter->source.size) {
        char c = rewriter->source.data[rewriter->at];
        cloze_status status = CLOZE_OK;
        if (c == '\\') {
            status = rewrite_escape(rewriter);
        } else if (rewriter->in_class) {
            status = rewrite_in_class(rewriter, c);
        } else if (c == '[') {
            open_class(rewriter);
        } else {
            status = rewrite_plain(rewriter, c);
        }
        if (status)
            return status;
    }
    return cz_buffer_status(&rewriter->out, "the tokenizer's pattern", rewriter->error);
}

/* ---- Compiling ---- */

static cloze_status compile_rewritten(struct cz_slice source, struct cz_slice rewritten,
                                      struct cz_pattern *pattern, struct cloze_error *error)
{
    int code;
    PCRE2_SIZE offset;
    uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
    pattern->code =
        pcre2_compile((PCRE2_SPTR)rewritten.data, rewritten.size, options, &code, &offset, NULL);
    if (!pattern->code) {
        char reason[200];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)reason, sizeof reason);
        return cz_fail(error, CLOZE_UNSUPPORTED, "tokenizer pattern",
                       "%s in the pattern " CZ_SLICE_FORMAT, reason, CZ_SLICE_ARG(source));
    }
    pattern->jit = pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE) == 0;
    return CLOZE_OK;
}

static cloze_status compile_regex(struct cz_slice text, struct cz_pattern *pattern,
                                  struct cloze_error *error)
{
    struct rewriter rewriter = {
        .source = text, .error = error, .out = {.maximum = CZ_TOKENIZER_MAXIMUM_PATTERN * 64}};
    cloze_status status = rewrite(&rewriter);
    if (!status)
        status = compile_rewritten(text, cz_buffer_slice(&rewriter.out), pattern, error);
    cz_buffer_free(&rewriter.out);
    return status;
}

cloze_status cz_pattern_compile(struct cz_slice text, bool is_regex, struct cz_pattern **out,
                                struct cloze_error *error)
{
    if (text.size == 0 || text.size > CZ_TOKENIZER_MAXIMUM_PATTERN)
        return cz_fail(error, CLOZE_LIMIT, "tokenizer pattern",
                       "a pattern has %zu bytes; 1 to %d are supported", text.size,
                       CZ_TOKENIZER_MAXIMUM_PATTERN);
    struct cz_pattern *pattern = calloc(1, sizeof *pattern + text.size);
    if (!pattern)
        return cz_fail_memory(error, "a tokenizer pattern");
    memcpy(pattern + 1, text.data, text.size);
    pattern->literal = cz_slice_of(pattern + 1, text.size);
    cloze_status status = is_regex ? compile_regex(text, pattern, error) : CLOZE_OK;
    if (status) {
        cz_pattern_free(pattern);
        return status;
    }
    *out = pattern;
    return CLOZE_OK;
}

void cz_pattern_free(struct cz_pattern *pattern)
{
    if (!pattern)
        return;
    pcre2_code_free(pattern->code);
    pcre2_match_data_free(atomic_load(&pattern->spare));
    free(pattern);
}

/* ---- Searching ---- */

static void *allocate(size_t size, void *unused)
{
    (void)unused;
    return cz_heap_alloc(size);
}

static void release(void *memory, void *unused)
{
    (void)unused;
    cz_heap_free(memory);
}

static pcre2_match_data *make_matches(void)
{
    pcre2_general_context *context = pcre2_general_context_create(allocate, release, NULL);
    pcre2_match_data *matches = context ? pcre2_match_data_create(1, context) : NULL;
    pcre2_general_context_free(context);
    return matches;
}

cloze_status cz_pattern_search_begin(struct cz_pattern_search *search, struct cz_pattern *pattern,
                                     struct cz_slice subject, struct cloze_error *error)
{
    *search = (struct cz_pattern_search){.pattern = pattern, .subject = subject};
    if (!pattern->code)
        return CLOZE_OK;
    search->matches = atomic_exchange(&pattern->spare, NULL);
    if (!search->matches)
        search->matches = make_matches();
    return search->matches ? CLOZE_OK : cz_fail_memory(error, "a pattern search");
}

void cz_pattern_search_end(struct cz_pattern_search *search)
{
    if (search->matches)
        pcre2_match_data_free(atomic_exchange(&search->pattern->spare, search->matches));
    search->matches = NULL;
}

/* The interpreter, with limits: used where there is no JIT, and where its stack was too small. */
static int match_interpreted(const struct cz_pattern_search *search, size_t from)
{
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    if (!context)
        return PCRE2_ERROR_NOMEMORY;
    size_t limit = SMALLEST_MATCH_LIMIT;
    if (search->subject.size > SMALLEST_MATCH_LIMIT / MATCH_LIMIT_PER_BYTE)
        limit = cz_size_min(search->subject.size * MATCH_LIMIT_PER_BYTE, UINT32_MAX);
    pcre2_set_match_limit(context, (uint32_t)limit);
    pcre2_set_heap_limit(context, HEAP_LIMIT_KIB);
    int code =
        pcre2_match(search->pattern->code, (PCRE2_SPTR)search->subject.data, search->subject.size,
                    from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, search->matches, context);
    pcre2_match_context_free(context);
    return code;
}

static int match_compiled(const struct cz_pattern_search *search, size_t from)
{
    if (!search->pattern->jit)
        return match_interpreted(search, from);
    int code = pcre2_jit_match(search->pattern->code, (PCRE2_SPTR)search->subject.data,
                               search->subject.size, from, 0, search->matches, NULL);
    return code == PCRE2_ERROR_JIT_STACKLIMIT || code == PCRE2_ERROR_MATCHLIMIT
               ? match_interpreted(search, from)
               : code;
}

static cloze_status find(struct cz_pattern_search *search, size_t from, bool *found,
                         struct cloze_error *error)
{
    const struct cz_pattern *pattern = search->pattern;
    if (!pattern->code) {
        const char *hit = memmem(search->subject.data + from, search->subject.size - from,
                                 pattern->literal.data, pattern->literal.size);
        *found = hit != NULL;
        if (hit) {
            search->start = (size_t)(hit - search->subject.data);
            search->end = search->start + pattern->literal.size;
        }
        return CLOZE_OK;
    }
    int code = match_compiled(search, from);
    *found = code >= 0;
    if (code == PCRE2_ERROR_NOMATCH)
        return CLOZE_OK;
    if (code < 0)
        return cz_fail(error, CLOZE_LIMIT, "text",
                       "the tokenizer's pattern takes too much work on this text (PCRE2 error %d)",
                       code);
    const PCRE2_SIZE *offsets = pcre2_get_ovector_pointer(search->matches);
    search->start = offsets[0];
    search->end = offsets[1];
    return CLOZE_OK;
}

cloze_status cz_pattern_search_next(struct cz_pattern_search *search, bool *found,
                                    struct cloze_error *error)
{
    for (;;) {
        *found = false;
        if (search->at > search->subject.size)
            return CLOZE_OK;
        cloze_status status = find(search, search->at, found, error);
        if (status || !*found)
            return status;
        bool empty = search->start == search->end;
        bool touches = empty && search->has_last && search->start == search->last_end;
        uint32_t code;
        size_t step = empty ? cz_utf8_decode(search->subject.data + search->end,
                                             search->subject.size - search->end, &code)
                            : 0;
        search->at = search->end + (empty ? cz_size_max(step, 1) : 0);
        if (!touches) {
            search->last_end = search->end;
            search->has_last = true;
            return CLOZE_OK;
        }
    }
}
