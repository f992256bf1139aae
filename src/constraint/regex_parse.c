/*
 * regex_parse.c - recursive descent over the pattern's code points.
 *
 * The parser holds its first error; every function returns at once when there is one. Groups leave
 * no node of their own. Case-insensitive sets are closed under case while they are read, so flags
 * don't reach the tree.
 */
#include "constraint/regex_tree.h"

#include "base/utf8.h"

#include <stdio.h>

enum { END = UINT32_MAX };

struct flags {
    bool ignore_case, multi_line, dot_all, verbose;
};

struct parser {
    struct cz_arena *arena;
    struct cz_slice text;
    size_t at;
    enum cz_regex_flavour flavour;
    struct flags flags;
    unsigned depth;
    uint32_t groups; /* capturing groups in the whole pattern */
    bool named;      /* a group has a name */
    cloze_status status;
    struct cloze_error *error;
};

static bool is_python(const struct parser *parser)
{
    return parser->flavour == CZ_REGEX_PYTHON;
}

static void refuse(struct parser *parser, cloze_status code, const char *what)
{
    if (parser->status)
        return;
    size_t character = 1;
    for (size_t i = 0; i < parser->at && i < parser->text.size; i++)
        character += ((unsigned char)parser->text.data[i] & 0xC0) != 0x80;
    parser->status = cz_fail(parser->error, code, NULL,
                             "%s (character %zu of the pattern \"" CZ_SLICE_FORMAT "\")", what,
                             character, CZ_SLICE_ARG(parser->text));
}

static void malformed(struct parser *parser, const char *what)
{
    refuse(parser, CLOZE_INVALID, what);
}

static void unsupported(struct parser *parser, const char *what)
{
    refuse(parser, CLOZE_UNSUPPORTED, what);
}

/* ---- Reading ---- */

static uint32_t peek(const struct parser *parser)
{
    uint32_t code;
    size_t left = parser->text.size - parser->at;
    return left && cz_utf8_decode(parser->text.data + parser->at, left, &code) ? code : END;
}

static uint32_t take(struct parser *parser)
{
    uint32_t code;
    size_t left = parser->text.size - parser->at;
    size_t size = left ? cz_utf8_decode(parser->text.data + parser->at, left, &code) : 0;
    parser->at += size;
    return size ? code : END;
}

static bool looking_at(const struct parser *parser, const char *text)
{
    size_t size = strlen(text);
    return parser->text.size - parser->at >= size &&
           memcmp(parser->text.data + parser->at, text, size) == 0;
}

static bool accept(struct parser *parser, const char *text)
{
    if (!looking_at(parser, text))
        return false;
    parser->at += strlen(text);
    return true;
}

static int digit_value(uint32_t code, unsigned base)
{
    unsigned value = code >= '0' && code <= '9'   ? code - '0'
                     : code >= 'a' && code <= 'f' ? code - 'a' + 10
                     : code >= 'A' && code <= 'F' ? code - 'A' + 10
                                                  : 99;
    return value < base ? (int)value : -1;
}

/* Reads between `least` and `most` digits; false, with nothing read, when there are fewer. */
static bool read_digits(struct parser *parser, unsigned base, unsigned least, unsigned most,
                        uint32_t *out)
{
    size_t start = parser->at;
    uint64_t value = 0;
    unsigned count = 0;
    for (; count < most; count++) {
        int digit = digit_value(peek(parser), base);
        if (digit < 0)
            break;
        value = value > UINT32_MAX ? value : value * base + (unsigned)digit;
        parser->at++;
    }
    if (count < least) {
        parser->at = start;
        return false;
    }
    *out = value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
    return true;
}

static bool is_letter_or_digit(uint32_t code)
{
    return (code >= '0' && code <= '9') || ((code | 32) >= 'a' && (code | 32) <= 'z');
}

/* ---- Nodes ---- */

static struct cz_regex_node *node_new(struct parser *parser, enum cz_regex_kind kind)
{
    struct cz_regex_node *node = CZ_ARENA_NEW(parser->arena, struct cz_regex_node);
    if (!node) {
        if (!parser->status)
            parser->status = cz_fail_memory(parser->error, "a regular expression");
        return NULL;
    }
    node->kind = (uint8_t)kind;
    node->codes.arena = parser->arena;
    return node;
}

static void add_child(struct cz_regex_node *parent, struct cz_regex_node *child)
{
    if (!parent || !child)
        return;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->asserts |= child->asserts;
}

static struct cz_regex_node *node_set(struct parser *parser, const struct cz_codes *codes)
{
    struct cz_regex_node *node = node_new(parser, CZ_REGEX_SET);
    if (node)
        node->codes = *codes;
    return node;
}

static struct cz_regex_node *node_code(struct parser *parser, uint32_t code)
{
    struct cz_codes codes = {.arena = parser->arena};
    cz_codes_add(&codes, code, code);
    if (parser->flags.ignore_case)
        cz_codes_close_case(&codes);
    return node_set(parser, &codes);
}

static struct cz_regex_node *node_look(struct parser *parser, struct cz_regex_node *child,
                                       bool behind, bool negate)
{
    struct cz_regex_node *node = node_new(parser, CZ_REGEX_LOOK);
    if (!node)
        return NULL;
    node->behind = behind;
    node->negate = negate;
    add_child(node, child);
    node->asserts = true;
    return node;
}

/* ---- Classes of characters ---- */

static void add_digits(struct cz_codes *codes)
{
    cz_codes_add(codes, '0', '9');
}

static void add_word(struct cz_codes *codes)
{
    cz_codes_add(codes, '0', '9');
    cz_codes_add(codes, 'A', 'Z');
    cz_codes_add(codes, '_', '_');
    cz_codes_add(codes, 'a', 'z');
}

/* ECMA-262: WhiteSpace and LineTerminator. */
static void add_space(struct cz_codes *codes)
{
    cz_codes_add(codes, 0x09, 0x0D);
    cz_codes_add(codes, 0x20, 0x20);
    cz_codes_add(codes, 0xA0, 0xA0);
    cz_codes_add(codes, 0x1680, 0x1680);
    cz_codes_add(codes, 0x2000, 0x200A);
    cz_codes_add(codes, 0x2028, 0x2029);
    cz_codes_add(codes, 0x202F, 0x202F);
    cz_codes_add(codes, 0x205F, 0x205F);
    cz_codes_add(codes, 0x3000, 0x3000);
    cz_codes_add(codes, 0xFEFF, 0xFEFF);
}

static void add_line_ends(const struct parser *parser, struct cz_codes *codes)
{
    cz_codes_add(codes, '\n', '\n');
    if (is_python(parser))
        return;
    cz_codes_add(codes, '\r', '\r');
    cz_codes_add(codes, 0x2028, 0x2029);
}

static void add_horizontal(struct cz_codes *codes)
{
    cz_codes_add(codes, 0x09, 0x09);
    cz_codes_add(codes, 0x20, 0x20);
    cz_codes_add(codes, 0xA0, 0xA0);
    cz_codes_add(codes, 0x1680, 0x1680);
    cz_codes_add(codes, 0x180E, 0x180E);
    cz_codes_add(codes, 0x2000, 0x200A);
    cz_codes_add(codes, 0x202F, 0x202F);
    cz_codes_add(codes, 0x205F, 0x205F);
    cz_codes_add(codes, 0x3000, 0x3000);
}

static void add_vertical(struct cz_codes *codes)
{
    cz_codes_add(codes, 0x0A, 0x0D);
    cz_codes_add(codes, 0x85, 0x85);
    cz_codes_add(codes, 0x2028, 0x2029);
}

/* After `\p` or `\P`: "{Name}", "{Name=Value}", and in PCRE also "{^Name}" and one letter. */
static bool read_property(struct parser *parser, bool negate, struct cz_codes *codes)
{
    struct cz_slice name = {parser->text.data + parser->at + 1, 0};
    if (accept(parser, "{")) {
        while (peek(parser) != '}' && peek(parser) != END)
            take(parser);
        name.size = (size_t)(parser->text.data + parser->at - name.data);
        if (take(parser) == END) {
            malformed(parser, "\\p{ without its closing brace");
            return false;
        }
    } else if (is_python(parser) && is_letter_or_digit(peek(parser))) {
        name.data--;
        name.size = 1;
        take(parser);
    } else {
        malformed(parser, "\\p needs a property in braces, as in \\p{Letter}");
        return false;
    }
    if (is_python(parser) && name.size && *name.data == '^') {
        negate = !negate;
        name = cz_slice_of(name.data + 1, name.size - 1);
    }
    struct cz_codes found = {.arena = parser->arena};
    if (!cz_codes_add_property(&found, name)) {
        bool extensions =
            cz_slice_starts_with(name, "Script_Extensions=") || cz_slice_starts_with(name, "scx=");
        if (extensions)
            unsupported(parser, "the property Script_Extensions is not supported");
        else
            malformed(parser, "\\p{...} names no category, script or binary property");
        return false;
    }
    if (negate)
        cz_codes_negate(&found);
    cz_codes_add_set(codes, &found);
    return true;
}

/* The escapes that stand for a set, the backslash already read: true when there was one. */
static bool read_class_escape(struct parser *parser, struct cz_codes *codes)
{
    uint32_t letter = peek(parser);
    struct cz_codes found = {.arena = parser->arena};
    bool python = is_python(parser);
    switch (letter) {
    case 'd':
    case 'D':
        add_digits(&found);
        break;
    case 'w':
    case 'W':
        add_word(&found);
        break;
    case 's':
    case 'S':
        add_space(&found);
        break;
    case 'p':
    case 'P':
        take(parser);
        read_property(parser, letter == 'P', codes);
        return true;
    case 'h':
    case 'H':
        if (!python)
            return false;
        add_horizontal(&found);
        break;
    case 'V':
        if (!python)
            return false;
        add_vertical(&found);
        break;
    case 'N':
        if (!python)
            return false;
        add_line_ends(parser, &found);
        break;
    default:
        return false;
    }
    take(parser);
    if (letter < 'a')
        cz_codes_negate(&found);
    cz_codes_add_set(codes, &found);
    return true;
}

/* ---- Escapes of one character ---- */

/* After "\u": four digits (and the second half of a surrogate pair) or a code point in braces. */
static uint32_t read_unicode_escape(struct parser *parser)
{
    uint32_t code, low;
    if (accept(parser, "{")) {
        if (!read_digits(parser, 16, 1, 64, &code) || code > CZ_CODE_LAST || !accept(parser, "}"))
            malformed(parser, "\\u{...} needs a code point of at most 10FFFF");
        return code;
    }
    if (!read_digits(parser, 16, 4, 4, &code)) {
        malformed(parser, "\\u needs four hexadecimal digits or a code point in braces");
        return 0;
    }
    size_t after = parser->at;
    if (code >= 0xD800 && code < 0xDC00 && accept(parser, "\\u")) {
        if (read_digits(parser, 16, 4, 4, &low) && low >= 0xDC00 && low < 0xE000)
            return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        parser->at = after;
    }
    return code;
}

static uint32_t read_hex_escape(struct parser *parser)
{
    uint32_t code = 0;
    if (is_python(parser) && accept(parser, "{")) {
        if (!read_digits(parser, 16, 1, 64, &code) || code > CZ_CODE_LAST || !accept(parser, "}"))
            malformed(parser, "\\x{...} needs a code point of at most 10FFFF");
    } else if (!read_digits(parser, 16, 2, 2, &code)) {
        malformed(parser, "\\x needs two hexadecimal digits");
    }
    return code;
}

static uint32_t read_control_escape(struct parser *parser)
{
    uint32_t letter = peek(parser);
    if ((letter | 32) < 'a' || (letter | 32) > 'z') {
        malformed(parser, "\\c needs a letter");
        return 0;
    }
    take(parser);
    return letter & 31;
}

/* A digit after the backslash: NUL, an octal code, or a back-reference, which is refused. */
static uint32_t read_number_escape(struct parser *parser, bool in_class)
{
    uint32_t value = 0;
    size_t start = parser->at;
    if (peek(parser) != '0' && !in_class) {
        read_digits(parser, 10, 1, 9, &value);
        if (value <= parser->groups) {
            unsupported(parser, "a back-reference is not regular and not supported");
            return 0;
        }
        parser->at = start;
    }
    if (!read_digits(parser, 8, 1, 3, &value) || value > 0xFF) {
        malformed(parser, "a back-reference to a group that does not exist");
        return 0;
    }
    if (!is_python(parser) && (value || parser->at != start + 1))
        malformed(parser, "octal escapes have no meaning in ECMA-262 with the u flag: write \\xHH");
    return value;
}

/* The escapes that only Python or PCRE know. */
static bool read_python_escape(struct parser *parser, uint32_t letter, uint32_t *code)
{
    switch (letter) {
    case 'a':
        *code = 7;
        return true;
    case 'e':
        *code = 0x1B;
        return true;
    case 'U':
        if (!read_digits(parser, 16, 8, 8, code) || *code > CZ_CODE_LAST)
            malformed(parser, "\\U needs eight hexadecimal digits of at most 10FFFF");
        return true;
    case 'o':
        if (!accept(parser, "{") || !read_digits(parser, 8, 1, 16, code) || *code > CZ_CODE_LAST ||
            !accept(parser, "}"))
            malformed(parser, "\\o needs an octal number in braces");
        return true;
    default:
        return false;
    }
}

/* One character behind a backslash that was read. */
static uint32_t read_character_escape(struct parser *parser, bool in_class)
{
    uint32_t letter = peek(parser), code = 0;
    if (letter >= '0' && letter <= '9')
        return read_number_escape(parser, in_class);
    if (letter == END) {
        malformed(parser, "a backslash at the end");
        return 0;
    }
    take(parser);
    switch (letter) {
    case 't':
        return '\t';
    case 'n':
        return '\n';
    case 'v':
        return '\v';
    case 'f':
        return '\f';
    case 'r':
        return '\r';
    case 'c':
        return read_control_escape(parser);
    case 'x':
        return read_hex_escape(parser);
    case 'u':
        return read_unicode_escape(parser);
    case 'b':
        if (in_class)
            return '\b';
        break;
    default:
        break;
    }
    if (is_python(parser) && read_python_escape(parser, letter, &code))
        return code;
    if (is_letter_or_digit(letter)) {
        char text[96];
        snprintf(text, sizeof text, "the escape \\%c has no meaning in %s", (char)letter,
                 is_python(parser) ? "a regular language" : "ECMA-262 with the u flag");
        malformed(parser, text);
    }
    return letter;
}

/* ---- Bracket expressions ---- */

struct posix_class {
    const char *name;
    const char *ranges; /* pairs of first and last */
};

static const struct posix_class posix_classes[] = {
    {"alnum", "09AZaz"},   {"alpha", "AZaz"},    {"ascii", "\x01\x7F"},
    {"blank", "\t\t  "},   {"digit", "09"},      {"cntrl", "\x01\x1F\x7F\x7F"},
    {"graph", "!~"},       {"lower", "az"},      {"print", " ~"},
    {"punct", "!/:@[`{~"}, {"space", "\t\r  "},  {"upper", "AZ"},
    {"word", "09AZ__az"},  {"xdigit", "09AFaf"},
};

/* "[:name:]" or "[:^name:]" inside brackets. */
static bool read_posix_class(struct parser *parser, struct cz_codes *codes)
{
    size_t start = parser->at;
    if (!is_python(parser) || !accept(parser, "[:"))
        return false;
    bool negate = accept(parser, "^");
    for (size_t i = 0; i < sizeof posix_classes / sizeof *posix_classes; i++) {
        size_t after = parser->at;
        if (!accept(parser, posix_classes[i].name) || !accept(parser, ":]")) {
            parser->at = after;
            continue;
        }
        struct cz_codes found = {.arena = parser->arena};
        const char *ranges = posix_classes[i].ranges;
        if (strcmp(posix_classes[i].name, "ascii") == 0 ||
            strcmp(posix_classes[i].name, "cntrl") == 0)
            cz_codes_add(&found, 0, 0); /* a string can't hold it */
        for (; *ranges; ranges += 2)
            cz_codes_add(&found, (unsigned char)ranges[0], (unsigned char)ranges[1]);
        cz_codes_normalise(&found);
        if (negate)
            cz_codes_negate(&found);
        cz_codes_add_set(codes, &found);
        return true;
    }
    parser->at = start;
    return false;
}

/* One item: a set (true; already added) or a single character in *code (false). */
static bool read_class_atom(struct parser *parser, struct cz_codes *codes, uint32_t *code)
{
    if (read_posix_class(parser, codes))
        return true;
    if (!accept(parser, "\\")) {
        *code = take(parser);
        return false;
    }
    if (read_class_escape(parser, codes))
        return true;
    *code = read_character_escape(parser, true);
    return false;
}

static void read_class_item(struct parser *parser, struct cz_codes *codes)
{
    uint32_t first = 0, last = 0;
    bool set = read_class_atom(parser, codes, &first);
    if (peek(parser) != '-' || looking_at(parser, "-]")) {
        if (!set)
            cz_codes_add(codes, first, first);
        return;
    }
    take(parser);
    bool last_set = read_class_atom(parser, codes, &last);
    if (set || last_set) { /* Annex B: the hyphen is a character */
        cz_codes_add(codes, '-', '-');
        if (!set)
            cz_codes_add(codes, first, first);
        if (!last_set)
            cz_codes_add(codes, last, last);
    } else if (first > last) {
        malformed(parser, "a range of characters in the wrong order");
    } else {
        cz_codes_add(codes, first, last);
    }
}

static struct cz_regex_node *read_class(struct parser *parser)
{
    struct cz_codes codes = {.arena = parser->arena};
    bool negate = accept(parser, "^");
    bool first = true;
    while (!parser->status && !codes.failed) {
        if (peek(parser) == END) {
            malformed(parser, "[ without its closing bracket");
            break;
        }
        if (!(first && is_python(parser)) && accept(parser, "]"))
            break;
        read_class_item(parser, &codes);
        first = false;
    }
    cz_codes_normalise(&codes);
    if (parser->flags.ignore_case)
        cz_codes_close_case(&codes);
    if (negate)
        cz_codes_negate(&codes);
    return node_set(parser, &codes);
}

static struct cz_regex_node *read_dot(struct parser *parser)
{
    struct cz_codes codes = {.arena = parser->arena};
    if (!parser->flags.dot_all)
        add_line_ends(parser, &codes);
    cz_codes_negate(&codes);
    return node_set(parser, &codes);
}

/* ---- Assertions ---- */

static struct cz_regex_node *any_code(struct parser *parser)
{
    struct cz_codes codes = {.arena = parser->arena};
    cz_codes_add(&codes, 0, CZ_CODE_LAST);
    return node_set(parser, &codes);
}

/* Start of the text (behind) or its end. */
static struct cz_regex_node *node_edge(struct parser *parser, bool behind)
{
    return node_look(parser, any_code(parser), behind, true);
}

/* Start or end of a line: the neighbour, if there is one, is a line end. */
static struct cz_regex_node *node_line_edge(struct parser *parser, bool behind)
{
    struct cz_codes codes = {.arena = parser->arena};
    add_line_ends(parser, &codes);
    cz_codes_negate(&codes);
    return node_look(parser, node_set(parser, &codes), behind, true);
}

static struct cz_regex_node *node_word_look(struct parser *parser, bool behind, bool negate)
{
    struct cz_codes codes = {.arena = parser->arena};
    add_word(&codes);
    return node_look(parser, node_set(parser, &codes), behind, negate);
}

/* \b: the characters before and after differ in being word characters; \B: they don't. */
static struct cz_regex_node *node_word_edge(struct parser *parser, bool boundary)
{
    struct cz_regex_node *either = node_new(parser, CZ_REGEX_ALTERNATE);
    for (int before = 0; before < 2; before++) {
        struct cz_regex_node *both = node_new(parser, CZ_REGEX_CONCAT);
        add_child(both, node_word_look(parser, true, before));
        add_child(both, node_word_look(parser, false, boundary ? !before : before));
        add_child(either, both);
    }
    return either;
}

/* ---- Groups ---- */

static struct cz_regex_node *read_alternatives(struct parser *parser);

static bool read_group_name(struct parser *parser, char closing)
{
    size_t start = parser->at;
    while (peek(parser) != END && peek(parser) != (unsigned char)closing)
        take(parser);
    bool empty = parser->at == start;
    if (take(parser) == END || empty) {
        malformed(parser, "a group's name is empty or not closed");
        return false;
    }
    return true;
}

/* Letters of "(?im-s" up to ':' or ')'. */
static bool read_flags(struct parser *parser, struct flags *flags)
{
    bool value = true;
    for (;; take(parser)) {
        switch (peek(parser)) {
        case '-':
            value = false;
            break;
        case 'i':
            flags->ignore_case = value;
            break;
        case 'm':
            flags->multi_line = value;
            break;
        case 's':
            flags->dot_all = value;
            break;
        case 'x':
            if (!is_python(parser))
                return false;
            flags->verbose = value;
            break;
        case 'a':
            if (!is_python(parser))
                return false;
            break;
        case 'u':
        case 'L':
            unsupported(parser, "the flags u and L are not supported: \\d, \\w and \\s are ASCII");
            return false;
        default:
            return true;
        }
    }
}

static struct cz_regex_node *read_group_body(struct parser *parser)
{
    struct flags outer = parser->flags;
    if (++parser->depth > CZ_REGEX_MAXIMUM_DEPTH) {
        refuse(parser, CLOZE_LIMIT, "groups nested more than 250 deep");
        return NULL;
    }
    struct cz_regex_node *node = read_alternatives(parser);
    parser->depth--;
    parser->flags = outer;
    if (!accept(parser, ")"))
        malformed(parser, "( without its closing parenthesis");
    return node;
}

static struct cz_regex_node *read_look(struct parser *parser, bool behind, bool negate)
{
    return node_look(parser, read_group_body(parser), behind, negate);
}

/* "(?flags)" for the rest of the enclosing group, or "(?flags:...)". */
static struct cz_regex_node *read_flag_group(struct parser *parser)
{
    struct flags flags = parser->flags, outer = flags;
    if (!read_flags(parser, &flags)) {
        malformed(parser, "an unknown flag");
        return NULL;
    }
    if (accept(parser, ":")) {
        parser->flags = flags;
        struct cz_regex_node *node = read_group_body(parser);
        parser->flags = outer;
        return node;
    }
    if (!accept(parser, ")") || !is_python(parser)) {
        malformed(parser, "an unknown kind of group after (?");
        return NULL;
    }
    parser->flags = flags;
    return node_new(parser, CZ_REGEX_EMPTY);
}

static struct cz_regex_node *read_python_group(struct parser *parser)
{
    if (accept(parser, "#")) {
        while (peek(parser) != ')' && peek(parser) != END)
            take(parser);
        if (take(parser) == END)
            malformed(parser, "(?# without its closing parenthesis");
        return node_new(parser, CZ_REGEX_EMPTY);
    }
    if (accept(parser, "P<") || accept(parser, "'")) {
        char closing = parser->text.data[parser->at - 1] == '<' ? '>' : '\'';
        return read_group_name(parser, closing) ? read_group_body(parser) : NULL;
    }
    if (looking_at(parser, "P="))
        unsupported(parser, "a back-reference is not regular and not supported");
    else if (looking_at(parser, ">"))
        unsupported(parser, "an atomic group is not supported");
    else if (looking_at(parser, "("))
        unsupported(parser, "a conditional group is not supported");
    else if (looking_at(parser, "|"))
        unsupported(parser, "a branch reset group is not supported");
    else if (looking_at(parser, "R") || looking_at(parser, "&") || looking_at(parser, "P>") ||
             (peek(parser) >= '0' && peek(parser) <= '9') || looking_at(parser, "+"))
        unsupported(parser, "recursion is not regular: use a grammar");
    return NULL;
}

static struct cz_regex_node *read_group(struct parser *parser)
{
    if (!accept(parser, "?"))
        return read_group_body(parser);
    if (accept(parser, ":"))
        return read_group_body(parser);
    if (accept(parser, "="))
        return read_look(parser, false, false);
    if (accept(parser, "!"))
        return read_look(parser, false, true);
    if (accept(parser, "<="))
        return read_look(parser, true, false);
    if (accept(parser, "<!"))
        return read_look(parser, true, true);
    if (accept(parser, "<"))
        return read_group_name(parser, '>') ? read_group_body(parser) : NULL;
    if (is_python(parser)) {
        struct cz_regex_node *node = read_python_group(parser);
        if (node || parser->status)
            return node;
    }
    return read_flag_group(parser);
}

/* ---- Atoms ---- */

/* \R of PCRE: any line end, CR LF as one. */
static struct cz_regex_node *node_line_break(struct parser *parser)
{
    struct cz_codes single = {.arena = parser->arena};
    add_vertical(&single);
    struct cz_regex_node *either = node_new(parser, CZ_REGEX_ALTERNATE);
    struct cz_regex_node *both = node_new(parser, CZ_REGEX_CONCAT);
    add_child(both, node_code(parser, '\r'));
    add_child(both, node_code(parser, '\n'));
    add_child(either, node_set(parser, &single));
    add_child(either, both);
    return either;
}

static struct cz_regex_node *read_quoted(struct parser *parser)
{
    struct cz_regex_node *node = node_new(parser, CZ_REGEX_CONCAT);
    while (!parser->status && peek(parser) != END && !accept(parser, "\\E"))
        add_child(node, node_code(parser, take(parser)));
    return node;
}

static struct cz_regex_node *read_python_atom_escape(struct parser *parser)
{
    if (accept(parser, "A"))
        return node_edge(parser, true);
    if (accept(parser, "Z") || accept(parser, "z"))
        return node_edge(parser, false);
    if (accept(parser, "R"))
        return node_line_break(parser);
    if (accept(parser, "Q"))
        return read_quoted(parser);
    if (accept(parser, "E"))
        return node_new(parser, CZ_REGEX_EMPTY);
    if (looking_at(parser, "N{"))
        unsupported(parser, "\\N{...} is not supported: write the character or \\uXXXX");
    else if (looking_at(parser, "K") || looking_at(parser, "G") || looking_at(parser, "X") ||
             looking_at(parser, "C"))
        unsupported(parser, "the escapes \\K, \\G, \\X and \\C are not supported");
    else if (looking_at(parser, "k") || looking_at(parser, "g"))
        unsupported(parser, "a back-reference is not regular and not supported");
    return NULL;
}

static struct cz_regex_node *read_atom_escape(struct parser *parser)
{
    if (accept(parser, "b"))
        return node_word_edge(parser, true);
    if (accept(parser, "B"))
        return node_word_edge(parser, false);
    if (is_python(parser)) {
        struct cz_regex_node *node = read_python_atom_escape(parser);
        if (node || parser->status)
            return node;
    }
    if (looking_at(parser, "k") && parser->named) {
        unsupported(parser, "a back-reference is not regular and not supported");
        return NULL;
    }
    struct cz_codes codes = {.arena = parser->arena};
    if (read_class_escape(parser, &codes)) {
        if (parser->flags.ignore_case)
            cz_codes_close_case(&codes);
        return node_set(parser, &codes);
    }
    return node_code(parser, read_character_escape(parser, false));
}

static struct cz_regex_node *read_caret(struct parser *parser)
{
    return parser->flags.multi_line ? node_line_edge(parser, true) : node_edge(parser, true);
}

static struct cz_regex_node *read_dollar(struct parser *parser)
{
    return parser->flags.multi_line ? node_line_edge(parser, false) : node_edge(parser, false);
}

/* ---- Repeats ---- */

/* "{n}", "{n,}" or "{n,m}"; anything else is a literal brace, and nothing is read. */
static bool read_counts(struct parser *parser, uint32_t *minimum, uint32_t *maximum)
{
    size_t start = parser->at;
    bool found = accept(parser, "{");
    bool has_minimum = found && read_digits(parser, 10, 1, UINT32_MAX, minimum);
    if (found && !has_minimum) {
        *minimum = 0; /* Python: {,m} */
        found = is_python(parser) && looking_at(parser, ",") && !looking_at(parser, ",}");
    }
    *maximum = *minimum;
    if (found && accept(parser, ",")) {
        *maximum = CZ_EXPR_UNBOUNDED;
        if (!looking_at(parser, "}"))
            found = read_digits(parser, 10, 1, UINT32_MAX, maximum);
        else if (!has_minimum)
            found = false;
    }
    if (found && accept(parser, "}"))
        return true;
    parser->at = start;
    return false;
}

static bool read_quantifier(struct parser *parser, uint32_t *minimum, uint32_t *maximum)
{
    *minimum = 0;
    *maximum = CZ_EXPR_UNBOUNDED;
    if (accept(parser, "*"))
        return true;
    if (accept(parser, "+")) {
        *minimum = 1;
        return true;
    }
    if (accept(parser, "?")) {
        *maximum = 1;
        return true;
    }
    size_t start = parser->at;
    if (!read_counts(parser, minimum, maximum))
        return false;
    bool bounded = parser->text.data[parser->at - 2] != ',';
    if (*minimum > CZ_REGEX_MAXIMUM_COUNT || (bounded && *maximum > CZ_REGEX_MAXIMUM_COUNT)) {
        parser->at = start;
        refuse(parser, CLOZE_LIMIT, "a counted repeat of more than 1073741824");
    } else if (*minimum > *maximum) {
        parser->at = start;
        malformed(parser, "a counted repeat whose minimum is above its maximum");
    }
    return true;
}

/* Skips white space and comments of the x flag. */
static void skip_verbose(struct parser *parser)
{
    while (parser->flags.verbose) {
        uint32_t code = peek(parser);
        if (code == ' ' || (code >= '\t' && code <= '\r')) {
            take(parser);
        } else if (code == '#') {
            while (peek(parser) != END && peek(parser) != '\n')
                take(parser);
        } else {
            return;
        }
    }
}

static struct cz_regex_node *repeat(struct parser *parser, struct cz_regex_node *atom,
                                    uint32_t minimum, uint32_t maximum)
{
    if (!atom || (minimum == 1 && maximum == 1))
        return atom;
    if (maximum == 0)
        return node_new(parser, CZ_REGEX_EMPTY);
    if (atom->kind == CZ_REGEX_LOOK)
        return minimum ? atom : node_new(parser, CZ_REGEX_EMPTY);
    struct cz_regex_node *node = node_new(parser, CZ_REGEX_REPEAT);
    if (!node)
        return NULL;
    node->minimum = minimum;
    node->maximum = maximum;
    add_child(node, atom);
    return node;
}

static struct cz_regex_node *read_quantified(struct parser *parser, struct cz_regex_node *atom)
{
    uint32_t minimum, maximum;
    skip_verbose(parser);
    size_t start = parser->at;
    if (parser->status || !read_quantifier(parser, &minimum, &maximum))
        return atom;
    atom = repeat(parser, atom, minimum, maximum);
    if (accept(parser, "?"))
        return atom; /* lazy: the same language */
    if (is_python(parser) && peek(parser) == '+') {
        parser->at = start;
        unsupported(parser, "a possessive quantifier is not supported");
    }
    uint32_t ignored;
    start = parser->at;
    if (read_quantifier(parser, &minimum, &ignored)) {
        parser->at = start;
        malformed(parser, "a quantifier with nothing to repeat");
    }
    return atom;
}

static struct cz_regex_node *read_atom(struct parser *parser)
{
    uint32_t minimum, maximum;
    size_t start = parser->at;
    if (read_quantifier(parser, &minimum, &maximum)) {
        parser->at = start;
        malformed(parser, "a quantifier with nothing to repeat");
        return NULL;
    }
    uint32_t code = take(parser);
    switch (code) {
    case '^':
        return read_caret(parser);
    case '$':
        return read_dollar(parser);
    case '.':
        return read_dot(parser);
    case '(':
        return read_group(parser);
    case '[':
        return read_class(parser);
    case '\\':
        return read_atom_escape(parser);
    default:
        return node_code(parser, code);
    }
}

static struct cz_regex_node *read_sequence(struct parser *parser)
{
    struct cz_regex_node *node = node_new(parser, CZ_REGEX_CONCAT);
    while (!parser->status) {
        skip_verbose(parser);
        uint32_t code = peek(parser);
        if (code == END || code == '|' || code == ')')
            break;
        add_child(node, read_quantified(parser, read_atom(parser)));
    }
    return node;
}

static struct cz_regex_node *read_alternatives(struct parser *parser)
{
    struct cz_regex_node *first = read_sequence(parser);
    if (peek(parser) != '|')
        return first;
    struct cz_regex_node *node = node_new(parser, CZ_REGEX_ALTERNATE);
    add_child(node, first);
    while (!parser->status && accept(parser, "|"))
        add_child(node, read_sequence(parser));
    return node;
}

/* Counts the capturing groups ahead of parsing: \1 may stand before its group. */
static void count_groups(struct parser *parser)
{
    bool in_class = false;
    const char *text = parser->text.data;
    for (size_t i = 0; i < parser->text.size; i++) {
        size_t left = parser->text.size - i;
        if (text[i] == '\\') {
            i++;
        } else if (text[i] == '[' || text[i] == ']') {
            in_class = text[i] == '[';
        } else if (text[i] == '(' && !in_class) {
            bool name = (left > 3 && text[i + 1] == '?' && text[i + 2] == '<' &&
                         text[i + 3] != '=' && text[i + 3] != '!') ||
                        (left > 3 && memcmp(text + i, "(?P<", 4) == 0);
            parser->named |= name;
            parser->groups += name || left < 2 || text[i + 1] != '?';
        }
    }
}

cloze_status cz_regex_tree_parse(struct cz_arena *arena, struct cz_slice pattern,
                                 const struct cz_regex_options *options, struct cz_regex_node **out,
                                 struct cloze_error *error)
{
    struct parser parser = {
        .arena = arena,
        .text = pattern,
        .flavour = options->flavour,
        .flags = {options->ignore_case, options->multiline, options->dot_all, options->verbose},
        .error = error};
    if (pattern.size > CZ_REGEX_MAXIMUM_SIZE)
        return cz_fail(error, CLOZE_LIMIT, NULL, "a regular expression of more than %d bytes",
                       CZ_REGEX_MAXIMUM_SIZE);
    if (cz_utf8_valid(pattern) != pattern.size)
        return cz_fail(error, CLOZE_INVALID, NULL, "a regular expression that is not UTF-8");
    count_groups(&parser);
    struct cz_regex_node *node = read_alternatives(&parser);
    if (!parser.status && peek(&parser) == ')')
        malformed(&parser, ") without its opening parenthesis");
    *out = node;
    return parser.status;
}
