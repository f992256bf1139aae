/*
 * regex_parse.c - recursive descent over the pattern's code points.
 *
 * The parser holds its first error; every function returns at once when there is one. Groups leave
 * no node of their own. Case-insensitive sets are closed under case while they are read, so flags
 * don't reach the tree.
 */
#include "constraint/regex_reader.h"

#include "base/utf8.h"

/* ---- Nodes ---- */

static struct cz_regex_node *node_new(struct cz_regex_reader *reader, enum cz_regex_kind kind)
{
    struct cz_regex_node *node = CZ_ARENA_NEW(reader->arena, struct cz_regex_node);
    if (!node) {
        if (!reader->status)
            reader->status = cz_fail_memory(reader->error, "a regular expression");
        return NULL;
    }
    node->kind = (uint8_t)kind;
    node->codes.arena = reader->arena;
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

static struct cz_regex_node *node_set(struct cz_regex_reader *reader, const struct cz_codes *codes)
{
    struct cz_regex_node *node = node_new(reader, CZ_REGEX_SET);
    if (node)
        node->codes = *codes;
    return node;
}

static struct cz_regex_node *node_code(struct cz_regex_reader *reader, uint32_t code)
{
    struct cz_codes codes = {.arena = reader->arena};
    cz_codes_add(&codes, code, code);
    if (reader->flags.ignore_case)
        cz_codes_close_case(&codes);
    return node_set(reader, &codes);
}

static struct cz_regex_node *node_look(struct cz_regex_reader *reader, struct cz_regex_node *child,
                                       bool behind, bool negate)
{
    struct cz_regex_node *node = node_new(reader, CZ_REGEX_LOOK);
    if (!node)
        return NULL;
    node->behind = behind;
    node->negate = negate;
    add_child(node, child);
    node->asserts = true;
    return node;
}

static struct cz_regex_node *read_class(struct cz_regex_reader *reader)
{
    struct cz_codes codes = {.arena = reader->arena};
    bool negate = cz_reader_accept(reader, "^");
    bool first = true;
    while (!reader->status && !codes.failed) {
        if (cz_reader_peek(reader) == CZ_READER_END) {
            cz_reader_malformed(reader, "[ without its closing bracket");
            break;
        }
        if (!(first && cz_reader_is_python(reader)) && cz_reader_accept(reader, "]"))
            break;
        cz_reader_class_item(reader, &codes);
        first = false;
    }
    cz_codes_normalise(&codes);
    if (reader->flags.ignore_case)
        cz_codes_close_case(&codes);
    if (negate)
        cz_codes_negate(&codes);
    return node_set(reader, &codes);
}

static struct cz_regex_node *read_dot(struct cz_regex_reader *reader)
{
    struct cz_codes codes = {.arena = reader->arena};
    if (!reader->flags.dot_all)
        cz_reader_line_ends(reader, &codes);
    cz_codes_negate(&codes);
    return node_set(reader, &codes);
}

/* ---- Assertions ---- */

static struct cz_regex_node *any_code(struct cz_regex_reader *reader)
{
    struct cz_codes codes = {.arena = reader->arena};
    cz_codes_add(&codes, 0, CZ_CODE_LAST);
    return node_set(reader, &codes);
}

/* Start of the text (behind) or its end. */
static struct cz_regex_node *node_edge(struct cz_regex_reader *reader, bool behind)
{
    return node_look(reader, any_code(reader), behind, true);
}

/* Start or end of a line: the neighbour, if there is one, is a line end. */
static struct cz_regex_node *node_line_edge(struct cz_regex_reader *reader, bool behind)
{
    struct cz_codes codes = {.arena = reader->arena};
    cz_reader_line_ends(reader, &codes);
    cz_codes_negate(&codes);
    return node_look(reader, node_set(reader, &codes), behind, true);
}

static struct cz_regex_node *node_word_look(struct cz_regex_reader *reader, bool behind,
                                            bool negate)
{
    struct cz_codes codes = {.arena = reader->arena};
    cz_codes_add_word(&codes);
    return node_look(reader, node_set(reader, &codes), behind, negate);
}

/* \b: the characters before and after differ in being word characters; \B: they don't. */
static struct cz_regex_node *node_word_edge(struct cz_regex_reader *reader, bool boundary)
{
    struct cz_regex_node *either = node_new(reader, CZ_REGEX_ALTERNATE);
    for (int before = 0; before < 2; before++) {
        struct cz_regex_node *both = node_new(reader, CZ_REGEX_CONCAT);
        add_child(both, node_word_look(reader, true, before));
        add_child(both, node_word_look(reader, false, boundary ? !before : before));
        add_child(either, both);
    }
    return either;
}

/* ---- Groups ---- */

static struct cz_regex_node *read_alternatives(struct cz_regex_reader *reader);

static bool read_group_name(struct cz_regex_reader *reader, char closing)
{
    size_t start = reader->at;
    while (cz_reader_peek(reader) != CZ_READER_END &&
           cz_reader_peek(reader) != (unsigned char)closing)
        cz_reader_take(reader);
    bool empty = reader->at == start;
    if (cz_reader_take(reader) == CZ_READER_END || empty) {
        cz_reader_malformed(reader, "a group's name is empty or not closed");
        return false;
    }
    return true;
}

/* Letters of "(?im-s" up to ':' or ')'. */
static bool read_flags(struct cz_regex_reader *reader, struct cz_regex_flags *flags)
{
    bool value = true;
    for (;; cz_reader_take(reader)) {
        switch (cz_reader_peek(reader)) {
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
            if (!cz_reader_is_python(reader))
                return false;
            flags->verbose = value;
            break;
        case 'a':
            if (!cz_reader_is_python(reader))
                return false;
            break;
        case 'u':
        case 'L':
            cz_reader_unsupported(
                reader, "the flags u and L are not supported: \\d, \\w and \\s are ASCII");
            return false;
        default:
            return true;
        }
    }
}

static struct cz_regex_node *read_group_body(struct cz_regex_reader *reader)
{
    struct cz_regex_flags outer = reader->flags;
    if (++reader->depth > CZ_REGEX_MAXIMUM_DEPTH) {
        cz_reader_refuse(reader, CLOZE_LIMIT, "groups nested more than 250 deep");
        return NULL;
    }
    struct cz_regex_node *node = read_alternatives(reader);
    reader->depth--;
    reader->flags = outer;
    if (!cz_reader_accept(reader, ")"))
        cz_reader_malformed(reader, "( without its closing parenthesis");
    return node;
}

static struct cz_regex_node *read_look(struct cz_regex_reader *reader, bool behind, bool negate)
{
    return node_look(reader, read_group_body(reader), behind, negate);
}

/* "(?flags)" for the rest of the enclosing group, or "(?flags:...)". */
static struct cz_regex_node *read_flag_group(struct cz_regex_reader *reader)
{
    struct cz_regex_flags flags = reader->flags, outer = flags;
    if (!read_flags(reader, &flags)) {
        cz_reader_malformed(reader, "an unknown flag");
        return NULL;
    }
    if (cz_reader_accept(reader, ":")) {
        reader->flags = flags;
        struct cz_regex_node *node = read_group_body(reader);
        reader->flags = outer;
        return node;
    }
    if (!cz_reader_accept(reader, ")") || !cz_reader_is_python(reader)) {
        cz_reader_malformed(reader, "an unknown kind of group after (?");
        return NULL;
    }
    reader->flags = flags;
    return node_new(reader, CZ_REGEX_EMPTY);
}

static struct cz_regex_node *read_python_group(struct cz_regex_reader *reader)
{
    if (cz_reader_accept(reader, "#")) {
        while (cz_reader_peek(reader) != ')' && cz_reader_peek(reader) != CZ_READER_END)
            cz_reader_take(reader);
        if (cz_reader_take(reader) == CZ_READER_END)
            cz_reader_malformed(reader, "(?# without its closing parenthesis");
        return node_new(reader, CZ_REGEX_EMPTY);
    }
    if (cz_reader_accept(reader, "P<") || cz_reader_accept(reader, "'")) {
        char closing = reader->text.data[reader->at - 1] == '<' ? '>' : '\'';
        return read_group_name(reader, closing) ? read_group_body(reader) : NULL;
    }
    if (cz_reader_looking_at(reader, "P="))
        cz_reader_unsupported(reader, "a back-reference is not regular and not supported");
    else if (cz_reader_looking_at(reader, ">"))
        cz_reader_unsupported(reader, "an atomic group is not supported");
    else if (cz_reader_looking_at(reader, "("))
        cz_reader_unsupported(reader, "a conditional group is not supported");
    else if (cz_reader_looking_at(reader, "|"))
        cz_reader_unsupported(reader, "a branch reset group is not supported");
    else if (cz_reader_looking_at(reader, "R") || cz_reader_looking_at(reader, "&") ||
             cz_reader_looking_at(reader, "P>") ||
             (cz_reader_peek(reader) >= '0' && cz_reader_peek(reader) <= '9') ||
             cz_reader_looking_at(reader, "+"))
        cz_reader_unsupported(reader, "recursion is not regular: use a grammar");
    return NULL;
}

static struct cz_regex_node *read_group(struct cz_regex_reader *reader)
{
    if (!cz_reader_accept(reader, "?"))
        return read_group_body(reader);
    if (cz_reader_accept(reader, ":"))
        return read_group_body(reader);
    if (cz_reader_accept(reader, "="))
        return read_look(reader, false, false);
    if (cz_reader_accept(reader, "!"))
        return read_look(reader, false, true);
    if (cz_reader_accept(reader, "<="))
        return read_look(reader, true, false);
    if (cz_reader_accept(reader, "<!"))
        return read_look(reader, true, true);
    if (cz_reader_accept(reader, "<"))
        return read_group_name(reader, '>') ? read_group_body(reader) : NULL;
    if (cz_reader_is_python(reader)) {
        struct cz_regex_node *node = read_python_group(reader);
        if (node || reader->status)
            return node;
    }
    return read_flag_group(reader);
}

/* ---- Atoms ---- */

/* \R of PCRE: any line end, CR LF as one. */
static struct cz_regex_node *node_line_break(struct cz_regex_reader *reader)
{
    struct cz_codes single = {.arena = reader->arena};
    cz_codes_add_vertical(&single);
    struct cz_regex_node *either = node_new(reader, CZ_REGEX_ALTERNATE);
    struct cz_regex_node *both = node_new(reader, CZ_REGEX_CONCAT);
    add_child(both, node_code(reader, '\r'));
    add_child(both, node_code(reader, '\n'));
    add_child(either, node_set(reader, &single));
    add_child(either, both);
    return either;
}

static struct cz_regex_node *read_quoted(struct cz_regex_reader *reader)
{
    struct cz_regex_node *node = node_new(reader, CZ_REGEX_CONCAT);
    while (!reader->status && cz_reader_peek(reader) != CZ_READER_END &&
           !cz_reader_accept(reader, "\\E"))
        add_child(node, node_code(reader, cz_reader_take(reader)));
    return node;
}

static struct cz_regex_node *read_python_atom_escape(struct cz_regex_reader *reader)
{
    if (cz_reader_accept(reader, "A"))
        return node_edge(reader, true);
    if (cz_reader_accept(reader, "Z") || cz_reader_accept(reader, "z"))
        return node_edge(reader, false);
    if (cz_reader_accept(reader, "R"))
        return node_line_break(reader);
    if (cz_reader_accept(reader, "Q"))
        return read_quoted(reader);
    if (cz_reader_accept(reader, "E"))
        return node_new(reader, CZ_REGEX_EMPTY);
    if (cz_reader_looking_at(reader, "N{"))
        cz_reader_unsupported(reader, "\\N{...} is not supported: write the character or \\uXXXX");
    else if (cz_reader_looking_at(reader, "K") || cz_reader_looking_at(reader, "G") ||
             cz_reader_looking_at(reader, "X") || cz_reader_looking_at(reader, "C"))
        cz_reader_unsupported(reader, "the escapes \\K, \\G, \\X and \\C are not supported");
    else if (cz_reader_looking_at(reader, "k") || cz_reader_looking_at(reader, "g"))
        cz_reader_unsupported(reader, "a back-reference is not regular and not supported");
    return NULL;
}

static struct cz_regex_node *read_atom_escape(struct cz_regex_reader *reader)
{
    if (cz_reader_accept(reader, "b"))
        return node_word_edge(reader, true);
    if (cz_reader_accept(reader, "B"))
        return node_word_edge(reader, false);
    if (cz_reader_is_python(reader)) {
        struct cz_regex_node *node = read_python_atom_escape(reader);
        if (node || reader->status)
            return node;
    }
    if (cz_reader_looking_at(reader, "k") && reader->named) {
        cz_reader_unsupported(reader, "a back-reference is not regular and not supported");
        return NULL;
    }
    struct cz_codes codes = {.arena = reader->arena};
    if (cz_reader_set_escape(reader, &codes)) {
        if (reader->flags.ignore_case)
            cz_codes_close_case(&codes);
        return node_set(reader, &codes);
    }
    return node_code(reader, cz_reader_character_escape(reader, false));
}

static struct cz_regex_node *read_caret(struct cz_regex_reader *reader)
{
    return reader->flags.multi_line ? node_line_edge(reader, true) : node_edge(reader, true);
}

static struct cz_regex_node *read_dollar(struct cz_regex_reader *reader)
{
    return reader->flags.multi_line ? node_line_edge(reader, false) : node_edge(reader, false);
}

/* ---- Repeats ---- */

/* "{n}", "{n,}" or "{n,m}"; anything else is a literal brace, and nothing is read. */
static bool read_counts(struct cz_regex_reader *reader, uint32_t *minimum, uint32_t *maximum)
{
    size_t start = reader->at;
    bool found = cz_reader_accept(reader, "{");
    bool has_minimum = found && cz_reader_digits(reader, 10, 1, UINT32_MAX, minimum);
    if (found && !has_minimum) {
        *minimum = 0; /* Python: {,m} */
        found = cz_reader_is_python(reader) && cz_reader_looking_at(reader, ",") &&
                !cz_reader_looking_at(reader, ",}");
    }
    *maximum = *minimum;
    if (found && cz_reader_accept(reader, ",")) {
        *maximum = CZ_EXPR_UNBOUNDED;
        if (!cz_reader_looking_at(reader, "}"))
            found = cz_reader_digits(reader, 10, 1, UINT32_MAX, maximum);
        else if (!has_minimum)
            found = false;
    }
    if (found && cz_reader_accept(reader, "}"))
        return true;
    reader->at = start;
    return false;
}

static bool read_quantifier(struct cz_regex_reader *reader, uint32_t *minimum, uint32_t *maximum)
{
    *minimum = 0;
    *maximum = CZ_EXPR_UNBOUNDED;
    if (cz_reader_accept(reader, "*"))
        return true;
    if (cz_reader_accept(reader, "+")) {
        *minimum = 1;
        return true;
    }
    if (cz_reader_accept(reader, "?")) {
        *maximum = 1;
        return true;
    }
    size_t start = reader->at;
    if (!read_counts(reader, minimum, maximum))
        return false;
    bool bounded = reader->text.data[reader->at - 2] != ',';
    if (*minimum > CZ_REGEX_MAXIMUM_COUNT || (bounded && *maximum > CZ_REGEX_MAXIMUM_COUNT)) {
        reader->at = start;
        cz_reader_refuse(reader, CLOZE_LIMIT, "a counted repeat of more than 1073741824");
    } else if (*minimum > *maximum) {
        reader->at = start;
        cz_reader_malformed(reader, "a counted repeat whose minimum is above its maximum");
    }
    return true;
}

/* Skips white space and comments of the x flag. */
static void skip_verbose(struct cz_regex_reader *reader)
{
    while (reader->flags.verbose) {
        uint32_t code = cz_reader_peek(reader);
        if (code == ' ' || (code >= '\t' && code <= '\r')) {
            cz_reader_take(reader);
        } else if (code == '#') {
            while (cz_reader_peek(reader) != CZ_READER_END && cz_reader_peek(reader) != '\n')
                cz_reader_take(reader);
        } else {
            return;
        }
    }
}

static struct cz_regex_node *repeat(struct cz_regex_reader *reader, struct cz_regex_node *atom,
                                    uint32_t minimum, uint32_t maximum)
{
    if (!atom || (minimum == 1 && maximum == 1))
        return atom;
    if (maximum == 0)
        return node_new(reader, CZ_REGEX_EMPTY);
    if (atom->kind == CZ_REGEX_LOOK)
        return minimum ? atom : node_new(reader, CZ_REGEX_EMPTY);
    struct cz_regex_node *node = node_new(reader, CZ_REGEX_REPEAT);
    if (!node)
        return NULL;
    node->minimum = minimum;
    node->maximum = maximum;
    add_child(node, atom);
    return node;
}

static struct cz_regex_node *read_quantified(struct cz_regex_reader *reader,
                                             struct cz_regex_node *atom)
{
    uint32_t minimum, maximum;
    skip_verbose(reader);
    size_t start = reader->at;
    if (reader->status || !read_quantifier(reader, &minimum, &maximum))
        return atom;
    atom = repeat(reader, atom, minimum, maximum);
    if (cz_reader_accept(reader, "?"))
        return atom; /* lazy: the same language */
    if (cz_reader_is_python(reader) && cz_reader_peek(reader) == '+') {
        reader->at = start;
        cz_reader_unsupported(reader, "a possessive quantifier is not supported");
    }
    uint32_t ignored;
    start = reader->at;
    if (read_quantifier(reader, &minimum, &ignored)) {
        reader->at = start;
        cz_reader_malformed(reader, "a quantifier with nothing to repeat");
    }
    return atom;
}

static struct cz_regex_node *read_atom(struct cz_regex_reader *reader)
{
    uint32_t minimum, maximum;
    size_t start = reader->at;
    if (read_quantifier(reader, &minimum, &maximum)) {
        reader->at = start;
        cz_reader_malformed(reader, "a quantifier with nothing to repeat");
        return NULL;
    }
    uint32_t code = cz_reader_take(reader);
    switch (code) {
    case '^':
        return read_caret(reader);
    case '$':
        return read_dollar(reader);
    case '.':
        return read_dot(reader);
    case '(':
        return read_group(reader);
    case '[':
        return read_class(reader);
    case '\\':
        return read_atom_escape(reader);
    default:
        return node_code(reader, code);
    }
}

static struct cz_regex_node *read_sequence(struct cz_regex_reader *reader)
{
    struct cz_regex_node *node = node_new(reader, CZ_REGEX_CONCAT);
    while (!reader->status) {
        skip_verbose(reader);
        uint32_t code = cz_reader_peek(reader);
        if (code == CZ_READER_END || code == '|' || code == ')')
            break;
        add_child(node, read_quantified(reader, read_atom(reader)));
    }
    return node;
}

static struct cz_regex_node *read_alternatives(struct cz_regex_reader *reader)
{
    struct cz_regex_node *first = read_sequence(reader);
    if (cz_reader_peek(reader) != '|')
        return first;
    struct cz_regex_node *node = node_new(reader, CZ_REGEX_ALTERNATE);
    add_child(node, first);
    while (!reader->status && cz_reader_accept(reader, "|"))
        add_child(node, read_sequence(reader));
    return node;
}

/* Counts the capturing groups ahead of parsing: \1 may stand before its group. */
static void count_groups(struct cz_regex_reader *reader)
{
    bool in_class = false;
    const char *text = reader->text.data;
    for (size_t i = 0; i < reader->text.size; i++) {
        size_t left = reader->text.size - i;
        if (text[i] == '\\') {
            i++;
        } else if (text[i] == '[' || text[i] == ']') {
            in_class = text[i] == '[';
        } else if (text[i] == '(' && !in_class) {
            bool name = (left > 3 && text[i + 1] == '?' && text[i + 2] == '<' &&
                         text[i + 3] != '=' && text[i + 3] != '!') ||
                        (left > 3 && memcmp(text + i, "(?P<", 4) == 0);
            reader->named |= name;
            reader->groups += name || left < 2 || text[i + 1] != '?';
        }
    }
}

cloze_status cz_regex_tree_parse(struct cz_arena *arena, struct cz_slice pattern,
                                 const struct cz_regex_options *options, struct cz_regex_node **out,
                                 struct cloze_error *error)
{
    struct cz_regex_reader reader = {
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
    count_groups(&reader);
    struct cz_regex_node *node = read_alternatives(&reader);
    if (!reader.status && cz_reader_peek(&reader) == ')')
        cz_reader_malformed(&reader, ") without its opening parenthesis");
    *out = node;
    return reader.status;
}
