/*
 * regex.c - from the syntax tree to one expression, assertions included.
 *
 * What follows a place in the text depends on what stood before it only through lookbehinds (`^`
 * and \b are such). So the pattern is compiled backwards, with continuations: given for every
 * context K[c], the language of what may follow, compile() gives the same for the place before a
 * node. A context is a state of the automaton that reads all lookbehinds at once (three states for
 * `^` and \b, one without any), doubled by whether anything was read since the enclosing repetition
 * began its turn, since a turn that reads nothing must not count. A lookahead is then an
 * intersection with K, a lookbehind a choice by context, and an unbounded repetition with
 * assertions inside is an equation X[c] = K[c] | body(X)[c], solved by a variable of the store.
 *
 * Parts without assertions are plain expressions, with counted repeats kept as counters; where the
 * context after them matters, they are cut by their last character.
 */
#include "constraint/regex.h"

#include "base/utf8.h"
#include "constraint/regex_tree.h"

enum { MAXIMUM_BEHINDS = 64, MAXIMUM_CLASSES = 4096 };

/* The automaton of all lookbehinds. State 0 is the start of the text. */
struct contexts {
    uint32_t count;           /* states */
    uint32_t class_count;     /* of code points that no lookbehind tells apart */
    struct cz_codes *classes; /* [class_count] */
    uint32_t *next;           /* [count, class_count] */
    uint64_t *truth;          /* [count]: bit i: lookbehind i holds here */
    bool definite;            /* the last character alone decides the state */
};

struct compiler {
    struct cz_expr_store *store;
    struct cz_arena arena;
    struct contexts contexts;
    struct cz_regex_node *behinds[MAXIMUM_BEHINDS];
    uint32_t behind_count;
    unsigned depth; /* of lookbehinds inside lookbehinds */
    uint32_t steps;
    cloze_status status;
    struct cloze_error *error;
};

/* K: [contexts.count, 2]; the second index: something was read. */
typedef cz_expr *continuations;

static cz_expr compile_whole(struct compiler *compiler, struct cz_regex_node *tree, bool search);

static void fail(struct compiler *compiler, cloze_status code, const char *message)
{
    if (!compiler->status)
        compiler->status = cz_fail(compiler->error, code, NULL, "%s", message);
}

static void *allocate(struct compiler *compiler, size_t count, size_t size)
{
    void *memory = compiler->status ? NULL : cz_arena_array(&compiler->arena, count, size);
    if (!memory && !compiler->status)
        compiler->status = cz_fail_memory(compiler->error, "a regular expression");
    return memory;
}

/* ---- Plain expressions ---- */

/* What most sets are: one byte each. */
static cz_expr ascii_expr(struct cz_expr_store *store, const struct cz_codes *codes)
{
    uint64_t bytes[4] = {0};
    for (size_t i = 0; i < codes->count; i++) {
        for (uint32_t code = codes->ranges[i].first; code <= codes->ranges[i].last; code++)
            bytes[code / 64] |= (uint64_t)1 << code % 64;
    }
    return cz_expr_bytes(store, bytes);
}

static cz_expr set_expr(struct compiler *compiler, const struct cz_codes *codes)
{
    if (codes->failed) {
        compiler->status = cz_fail_memory(compiler->error, "a set of characters");
        return CZ_EXPR_NOTHING;
    }
    if (codes->count == 1 && codes->ranges[0].first == 0 && codes->ranges[0].last == CZ_CODE_LAST)
        return CZ_EXPR_CHAR;
    if (codes->count && codes->ranges[codes->count - 1].last < 0x80)
        return ascii_expr(compiler->store, codes);
    return cz_expr_code_points(compiler->store, codes->ranges, codes->count);
}

static uint32_t child_count(const struct cz_regex_node *node)
{
    uint32_t count = 0;
    for (const struct cz_regex_node *child = node->first; child; child = child->next)
        count++;
    return count;
}

static cz_expr plain(struct compiler *compiler, const struct cz_regex_node *node);

/* first..last (excluded) of a list of siblings, one after the other; from the right, since that
 * is how the store keeps sequences. */
static cz_expr plain_run(struct compiler *compiler, struct cz_regex_node *const *nodes,
                         uint32_t first, uint32_t last)
{
    cz_expr result = CZ_EXPR_EMPTY;
    for (uint32_t i = last; i-- > first;)
        result = cz_expr_concat(compiler->store, plain(compiler, nodes[i]), result);
    return result;
}

static struct cz_regex_node **list_children(struct compiler *compiler,
                                            const struct cz_regex_node *node, uint32_t count)
{
    struct cz_regex_node **list = allocate(compiler, count + 1, sizeof *list);
    uint32_t i = 0;
    for (struct cz_regex_node *child = node->first; list && child; child = child->next)
        list[i++] = child;
    return list;
}

static cz_expr plain_alternatives(struct compiler *compiler, const struct cz_regex_node *node)
{
    uint32_t count = child_count(node), i = 0;
    cz_expr *parts = allocate(compiler, count, sizeof *parts);
    if (!parts)
        return CZ_EXPR_NOTHING;
    for (const struct cz_regex_node *child = node->first; child; child = child->next)
        parts[i++] = plain(compiler, child);
    return cz_expr_or_many(compiler->store, parts, count);
}

/* The expression of a node without assertions. */
static cz_expr plain(struct compiler *compiler, const struct cz_regex_node *node)
{
    uint32_t count;
    struct cz_regex_node **list;
    if (compiler->status)
        return CZ_EXPR_NOTHING;
    switch (node->kind) {
    case CZ_REGEX_SET:
        return set_expr(compiler, &node->codes);
    case CZ_REGEX_CONCAT:
        count = child_count(node);
        list = list_children(compiler, node, count);
        return list ? plain_run(compiler, list, 0, count) : CZ_EXPR_NOTHING;
    case CZ_REGEX_ALTERNATE:
        return plain_alternatives(compiler, node);
    case CZ_REGEX_REPEAT:
        return cz_expr_repeat(compiler->store, plain(compiler, node->first), node->minimum,
                              node->maximum);
    default:
        return CZ_EXPR_EMPTY;
    }
}

/* ---- Contexts ---- */

/* Numbers the lookbehinds that belong to this pattern: not those inside another lookbehind. */
static void find_behinds(struct compiler *compiler, struct cz_regex_node *node)
{
    if (!node->asserts)
        return;
    if (node->kind == CZ_REGEX_LOOK && node->behind) {
        if (compiler->behind_count == MAXIMUM_BEHINDS) {
            fail(compiler, CLOZE_LIMIT, "a pattern with more than 64 lookbehinds");
            return;
        }
        node->look = compiler->behind_count;
        compiler->behinds[compiler->behind_count++] = node;
        return;
    }
    for (struct cz_regex_node *child = node->first; child; child = child->next)
        find_behinds(compiler, child);
}

static bool has_ahead(const struct cz_regex_node *node)
{
    if (node->kind == CZ_REGEX_LOOK && !node->behind)
        return true;
    for (const struct cz_regex_node *child = node->first; child && node->asserts;
         child = child->next) {
        if (has_ahead(child))
            return true;
    }
    return false;
}

static void add_class(struct compiler *compiler, struct cz_codes codes)
{
    struct contexts *contexts = &compiler->contexts;
    uint32_t count = contexts->class_count;
    if (count == MAXIMUM_CLASSES) {
        fail(compiler, CLOZE_LIMIT, "too many sets of characters in lookbehinds");
        return;
    }
    if ((count & (count - 1)) == 0) { /* full: the capacity is the next power of two */
        struct cz_codes *classes = allocate(compiler, count ? (size_t)count * 2 : 1, sizeof codes);
        if (!classes)
            return;
        if (count)
            memcpy(classes, contexts->classes, count * sizeof codes);
        contexts->classes = classes;
    }
    contexts->classes[contexts->class_count++] = codes;
}

/* Splits every class into what is inside of `codes` and what is not. */
static void refine_classes(struct compiler *compiler, const struct cz_codes *codes)
{
    struct contexts *contexts = &compiler->contexts;
    uint32_t count = contexts->class_count;
    for (uint32_t i = 0; i < count; i++) {
        struct cz_codes inside = contexts->classes[i], outside = *codes;
        cz_codes_intersect(&inside, codes);
        cz_codes_negate(&outside);
        cz_codes_intersect(&outside, &contexts->classes[i]);
        if (!inside.count || !outside.count)
            continue;
        contexts->classes[i] = inside;
        add_class(compiler, outside);
    }
}

static void refine_by_tree(struct compiler *compiler, const struct cz_regex_node *node)
{
    if (compiler->status)
        return;
    if (node->kind == CZ_REGEX_SET)
        refine_classes(compiler, &node->codes);
    for (const struct cz_regex_node *child = node->first; child; child = child->next)
        refine_by_tree(compiler, child);
}

static void make_classes(struct compiler *compiler)
{
    struct cz_codes all = {.arena = &compiler->arena};
    cz_codes_add(&all, 0, CZ_CODE_LAST);
    add_class(compiler, all);
    for (uint32_t i = 0; i < compiler->behind_count; i++)
        refine_by_tree(compiler, compiler->behinds[i]->first);
}

/* A node for any text. */
static struct cz_regex_node *any_text(struct compiler *compiler)
{
    struct cz_regex_node *nodes = allocate(compiler, 2, sizeof *nodes);
    if (!nodes)
        return NULL;
    nodes[0] = (struct cz_regex_node){.kind = CZ_REGEX_REPEAT,
                                      .maximum = CZ_EXPR_UNBOUNDED,
                                      .first = &nodes[1],
                                      .last = &nodes[1]};
    nodes[1] = (struct cz_regex_node){.kind = CZ_REGEX_SET, .codes = {.arena = &compiler->arena}};
    cz_codes_add(&nodes[1].codes, 0, CZ_CODE_LAST);
    return nodes;
}

/* The language of all texts that end in a match of the lookbehind's body. */
static cz_expr behind_language(struct compiler *outer, struct cz_regex_node *body)
{
    struct compiler *inner = allocate(outer, 1, sizeof *inner);
    struct cz_regex_node *prefix = any_text(outer);
    if (!inner || !prefix)
        return CZ_EXPR_NOTHING;
    *inner = (struct compiler){.store = outer->store,
                               .error = outer->error,
                               .depth = outer->depth + 1,
                               .steps = outer->steps};
    struct cz_regex_node whole = {
        .kind = CZ_REGEX_CONCAT, .first = prefix, .last = body, .asserts = body->asserts};
    prefix->next = body; /* the only child of its look: it has no sibling */
    cz_expr result = compile_whole(inner, &whole, false);
    outer->steps = inner->steps;
    outer->status = inner->status;
    cz_arena_free(&inner->arena);
    return result;
}

static cz_expr derive_code(struct cz_expr_store *store, cz_expr expr, uint32_t code)
{
    char bytes[4];
    size_t size = cz_utf8_encode(code, bytes);
    for (size_t i = 0; i < size; i++)
        expr = cz_expr_derive(store, expr, (uint8_t)bytes[i]);
    return expr;
}

/* The state with these residual languages, new or known. */
static uint32_t find_state(struct compiler *compiler, cz_expr *states, const cz_expr *residuals)
{
    struct contexts *contexts = &compiler->contexts;
    uint32_t width = compiler->behind_count;
    for (uint32_t i = 0; i < contexts->count; i++) {
        if (memcmp(states + (size_t)i * width, residuals, width * sizeof *residuals) == 0)
            return i;
    }
    if (contexts->count == CZ_REGEX_MAXIMUM_CONTEXTS) {
        fail(compiler, CLOZE_LIMIT, "lookbehinds that tell more than 64 contexts apart");
        return 0;
    }
    memcpy(states + (size_t)contexts->count * width, residuals, width * sizeof *residuals);
    for (uint32_t i = 0; i < width; i++) {
        if (cz_expr_nullable(compiler->store, residuals[i]))
            contexts->truth[contexts->count] |= (uint64_t)1 << i;
    }
    return contexts->count++;
}

static void walk_states(struct compiler *compiler, cz_expr *states)
{
    struct contexts *contexts = &compiler->contexts;
    uint32_t width = compiler->behind_count;
    cz_expr residuals[MAXIMUM_BEHINDS];
    for (uint32_t state = 0; state < contexts->count && !compiler->status; state++) {
        for (uint32_t group = 0; group < contexts->class_count; group++) {
            uint32_t code = contexts->classes[group].ranges[0].first;
            for (uint32_t i = 0; i < width; i++)
                residuals[i] =
                    derive_code(compiler->store, states[(size_t)state * width + i], code);
            contexts->next[(size_t)state * contexts->class_count + group] =
                find_state(compiler, states, residuals);
        }
    }
}

static bool is_definite(const struct contexts *contexts)
{
    for (uint32_t state = 1; state < contexts->count; state++) {
        if (memcmp(contexts->next + (size_t)state * contexts->class_count, contexts->next,
                   contexts->class_count * sizeof *contexts->next))
            return false;
    }
    return true;
}

static void make_contexts(struct compiler *compiler)
{
    struct contexts *contexts = &compiler->contexts;
    uint32_t width = compiler->behind_count;
    make_classes(compiler);
    cz_expr *states =
        allocate(compiler, (size_t)CZ_REGEX_MAXIMUM_CONTEXTS * (width + 1), sizeof *states);
    contexts->next = allocate(compiler, (size_t)CZ_REGEX_MAXIMUM_CONTEXTS * contexts->class_count,
                              sizeof(uint32_t));
    contexts->truth = allocate(compiler, CZ_REGEX_MAXIMUM_CONTEXTS, sizeof(uint64_t));
    cz_expr start[MAXIMUM_BEHINDS];
    for (uint32_t i = 0; i < width && !compiler->status; i++)
        start[i] = behind_language(compiler, compiler->behinds[i]->first);
    if (compiler->status)
        return;
    find_state(compiler, states, start);
    walk_states(compiler, states);
    contexts->definite = is_definite(contexts);
}

/* ---- Continuations ---- */

static continuations compile(struct compiler *compiler, const struct cz_regex_node *node,
                             continuations after);

static size_t width(const struct compiler *compiler)
{
    return (size_t)compiler->contexts.count * 2;
}

static continuations new_continuations(struct compiler *compiler)
{
    return allocate(compiler, width(compiler), sizeof(cz_expr));
}

/* All contexts continue alike, once something was read. */
static bool is_uniform(const struct compiler *compiler, const cz_expr *after)
{
    for (size_t i = 3; i < width(compiler); i += 2) {
        if (after[i] != after[1])
            return false;
    }
    return true;
}

/* The code points that lead from `state` to `target`. */
static struct cz_codes codes_between(struct compiler *compiler, uint32_t state, uint32_t target)
{
    struct contexts *contexts = &compiler->contexts;
    struct cz_codes codes = {.arena = &compiler->arena};
    for (uint32_t group = 0; group < contexts->class_count; group++) {
        if (contexts->next[(size_t)state * contexts->class_count + group] == target)
            cz_codes_add_set(&codes, &contexts->classes[group]);
    }
    return codes;
}

/* A set in context `state`, which continues as the context after the character says. */
static cz_expr set_in_context(struct compiler *compiler, const struct cz_codes *set, uint32_t state,
                              const cz_expr *after)
{
    cz_expr result = CZ_EXPR_NOTHING;
    for (uint32_t target = 0; target < compiler->contexts.count; target++) {
        struct cz_codes codes = codes_between(compiler, state, target);
        cz_codes_intersect(&codes, set);
        if (!codes.count && !codes.failed)
            continue;
        cz_expr part = cz_expr_concat(compiler->store, set_expr(compiler, &codes),
                                      after[(size_t)target * 2 + 1]);
        result = cz_expr_or(compiler->store, result, part);
    }
    return result;
}

/* `expr`, which reads something, in any context when the last character decides the next one. */
static cz_expr cut_by_last(struct compiler *compiler, cz_expr expr, const cz_expr *after)
{
    struct cz_expr_store *store = compiler->store;
    cz_expr result = CZ_EXPR_NOTHING;
    if (is_uniform(compiler, after))
        return cz_expr_concat(store, expr, after[1]);
    for (uint32_t target = 0; target < compiler->contexts.count; target++) {
        struct cz_codes codes = codes_between(compiler, 0, target);
        if (after[(size_t)target * 2 + 1] == CZ_EXPR_NOTHING || (!codes.count && !codes.failed))
            continue;
        cz_expr ending = cz_expr_concat(store, CZ_EXPR_TEXT, set_expr(compiler, &codes));
        cz_expr part =
            cz_expr_concat(store, cz_expr_and(store, expr, ending), after[(size_t)target * 2 + 1]);
        result = cz_expr_or(store, result, part);
    }
    return result;
}

/* A part without assertions, known as an expression. Needs `definite` or uniform continuations. */
static continuations compile_expr(struct compiler *compiler, cz_expr expr, const cz_expr *after)
{
    struct cz_expr_store *store = compiler->store;
    continuations before = new_continuations(compiler);
    if (!before)
        return NULL;
    bool nullable = cz_expr_nullable(store, expr);
    bool same = is_uniform(compiler, after);
    for (size_t i = 0; i < width(compiler); i++)
        same &= !nullable || after[i] == after[1];
    cz_expr reading = nullable && !same ? cz_expr_minus(store, expr, CZ_EXPR_EMPTY) : expr;
    cz_expr rest = cut_by_last(compiler, reading, after);
    for (size_t i = 0; i < width(compiler); i++)
        before[i] = nullable && !same ? cz_expr_or(store, after[i], rest) : rest;
    return before;
}

static continuations compile_set(struct compiler *compiler, const struct cz_regex_node *node,
                                 const cz_expr *after)
{
    continuations before = new_continuations(compiler);
    for (uint32_t state = 0; before && state < compiler->contexts.count; state++) {
        cz_expr expr = set_in_context(compiler, &node->codes, state, after);
        before[(size_t)state * 2] = before[(size_t)state * 2 + 1] = expr;
    }
    return before;
}

static continuations compile_concat(struct compiler *compiler, const struct cz_regex_node *node,
                                    continuations after)
{
    uint32_t count = child_count(node);
    struct cz_regex_node **list = list_children(compiler, node, count);
    for (uint32_t end = count; list && after && end > 0;) {
        uint32_t start = end - 1;
        bool cut = compiler->contexts.definite && !list[start]->asserts;
        while (cut && start > 0 && !list[start - 1]->asserts)
            start--;
        after = cut ? compile_expr(compiler, plain_run(compiler, list, start, end), after)
                    : compile(compiler, list[start], after);
        end = start;
    }
    return list ? after : NULL;
}

static continuations compile_alternatives(struct compiler *compiler,
                                          const struct cz_regex_node *node, continuations after)
{
    continuations before = new_continuations(compiler);
    for (const struct cz_regex_node *child = node->first; child && before; child = child->next) {
        continuations part = compile(compiler, child, after);
        for (size_t i = 0; part && i < width(compiler); i++)
            before[i] = cz_expr_or(compiler->store, before[i], part[i]);
        if (!part)
            return NULL;
    }
    return before;
}

static bool is_any_set(const struct cz_regex_node *node)
{
    return node->kind == CZ_REGEX_SET && node->codes.count == 1 &&
           node->codes.ranges[0].first == 0 && node->codes.ranges[0].last == CZ_CODE_LAST;
}

static continuations compile_ahead(struct compiler *compiler, const struct cz_regex_node *node,
                                   const cz_expr *after)
{
    struct cz_expr_store *store = compiler->store;
    continuations before = new_continuations(compiler), free_text = new_continuations(compiler);
    if (!before || !free_text)
        return NULL;
    bool end = node->negate && is_any_set(node->first);
    for (size_t i = 0; i < width(compiler); i++)
        free_text[i] = CZ_EXPR_ANY;
    continuations ahead = end ? free_text : compile(compiler, node->first, free_text);
    for (size_t i = 0; ahead && i < width(compiler); i++) {
        if (end)
            before[i] = cz_expr_nullable(store, after[i]) ? CZ_EXPR_EMPTY : CZ_EXPR_NOTHING;
        else if (node->negate)
            before[i] = cz_expr_minus(store, after[i], ahead[i & ~(size_t)1]);
        else
            before[i] = cz_expr_and(store, after[i], ahead[i & ~(size_t)1]);
    }
    return ahead ? before : NULL;
}

static continuations compile_behind(struct compiler *compiler, const struct cz_regex_node *node,
                                    const cz_expr *after)
{
    continuations before = new_continuations(compiler);
    for (size_t i = 0; before && i < width(compiler); i++) {
        bool holds = compiler->contexts.truth[i / 2] >> node->look & 1;
        before[i] = holds != node->negate ? after[i] : CZ_EXPR_NOTHING;
    }
    return before;
}

/* One more turn: `body` that reads something and then `after`, or `stop` as it is. */
static continuations compile_turn(struct compiler *compiler, const struct cz_regex_node *body,
                                  const cz_expr *after, const cz_expr *stop)
{
    continuations turn = new_continuations(compiler), before = new_continuations(compiler);
    if (!turn || !before)
        return NULL;
    for (size_t i = 1; i < width(compiler); i += 2)
        turn[i] = after[i]; /* turn[i - 1], nothing read, stays CZ_EXPR_NOTHING */
    turn = compile(compiler, body, turn);
    for (size_t i = 0; turn && i < width(compiler); i++)
        before[i] = cz_expr_or(compiler->store, stop[i], turn[i & ~(size_t)1]);
    return turn ? before : NULL;
}

/* X[c] = after[c] | body that reads something, then X */
static continuations compile_loop(struct compiler *compiler, const struct cz_regex_node *body,
                                  const cz_expr *after)
{
    struct cz_expr_store *store = compiler->store;
    continuations loop = new_continuations(compiler);
    for (size_t i = 0; loop && i < width(compiler); i++)
        loop[i] = cz_expr_variable(store, cz_expr_nullable(store, after[i]));
    continuations bodies = loop ? compile_turn(compiler, body, loop, after) : NULL;
    for (size_t i = 0; bodies && i < width(compiler); i++)
        cz_expr_bind(store, loop[i], bodies[i]);
    return bodies;
}

static continuations compile_repeat(struct compiler *compiler, const struct cz_regex_node *node,
                                    continuations after)
{
    bool unbounded = node->maximum == CZ_EXPR_UNBOUNDED;
    uint32_t optional = unbounded ? 0 : node->maximum - node->minimum;
    if (node->minimum + (uint64_t)optional > CZ_REGEX_MAXIMUM_UNROLL) {
        fail(compiler, CLOZE_LIMIT, "a repeat of more than 2000 with an assertion inside");
        return NULL;
    }
    continuations stop = after;
    if (unbounded)
        after = compile_loop(compiler, node->first, after);
    for (uint32_t i = 0; after && i < optional; i++)
        after = compile_turn(compiler, node->first, after, stop);
    for (uint32_t i = 0; after && i < node->minimum; i++)
        after = compile(compiler, node->first, after);
    return after;
}

/* The language of `node` and what follows it, for every context before it; NULL after an error. */
static continuations compile(struct compiler *compiler, const struct cz_regex_node *node,
                             continuations after)
{
    if (++compiler->steps > CZ_REGEX_MAXIMUM_STEPS)
        fail(compiler, CLOZE_LIMIT, "a regular expression that unrolls to too many parts");
    if (compiler->status || cz_expr_status(compiler->store, NULL))
        return NULL;
    if (!node->asserts && compiler->contexts.definite)
        return compile_expr(compiler, plain(compiler, node), after);
    switch (node->kind) {
    case CZ_REGEX_SET:
        return compile_set(compiler, node, after);
    case CZ_REGEX_CONCAT:
        return compile_concat(compiler, node, after);
    case CZ_REGEX_ALTERNATE:
        return compile_alternatives(compiler, node, after);
    case CZ_REGEX_REPEAT:
        return compile_repeat(compiler, node, after);
    case CZ_REGEX_LOOK:
        return node->behind ? compile_behind(compiler, node, after)
                            : compile_ahead(compiler, node, after);
    default:
        return after;
    }
}

/* ---- Whole patterns ---- */

static cz_expr compile_asserting(struct compiler *compiler, struct cz_regex_node *tree, bool search)
{
    compiler->contexts = (struct contexts){0};
    compiler->behind_count = 0;
    find_behinds(compiler, tree);
    if (!compiler->status)
        make_contexts(compiler);
    continuations after = new_continuations(compiler);
    for (size_t i = 0; after && i < width(compiler); i++)
        after[i] = search ? CZ_EXPR_ANY : CZ_EXPR_EMPTY;
    if (after)
        after = compile(compiler, tree, after);
    struct cz_regex_node *prefix = search ? any_text(compiler) : NULL;
    if (after && prefix)
        after = compile(compiler, prefix, after);
    return after && !compiler->status ? after[0] : CZ_EXPR_NOTHING;
}

static bool is_edge(const struct cz_regex_node *node, bool behind)
{
    return node->kind == CZ_REGEX_LOOK && node->negate && node->behind == behind &&
           is_any_set(node->first);
}

/* Nothing follows a match, as in `...$`: it is text when the pattern's own sets are. */
static bool ends_at_edge(const struct cz_regex_node *tree)
{
    const struct cz_regex_node *last = tree->kind == CZ_REGEX_CONCAT ? tree->first : NULL;
    while (last && last->next)
        last = last->next;
    return last && is_edge(last, false);
}

/* `^...$`, `^...` and `...$` without other assertions, which most patterns are, need no contexts.
 */
static bool compile_edges(struct compiler *compiler, struct cz_regex_node *tree, bool search,
                          cz_expr *out)
{
    uint32_t count = tree->kind == CZ_REGEX_CONCAT ? child_count(tree) : 0, first = 0, last = count;
    struct cz_regex_node **list = count ? list_children(compiler, tree, count) : NULL;
    if (!list)
        return false;
    first += is_edge(list[0], true);
    last -= last > first && is_edge(list[last - 1], false);
    for (uint32_t i = first; i < last; i++) {
        if (list[i]->asserts)
            return false;
    }
    cz_expr expr = plain_run(compiler, list, first, last);
    if (search && last == count)
        expr = cz_expr_concat(compiler->store, expr, CZ_EXPR_ANY);
    if (search && first == 0)
        expr = cz_expr_concat(compiler->store, CZ_EXPR_TEXT, expr);
    *out = expr;
    return true;
}

static cz_expr compile_whole(struct compiler *compiler, struct cz_regex_node *tree, bool search)
{
    struct cz_expr_store *store = compiler->store;
    if (compiler->depth > 0 && has_ahead(tree))
        fail(compiler, CLOZE_UNSUPPORTED,
             "a lookahead (or $, \\b) inside a lookbehind is not supported");
    if (compiler->depth > CZ_REGEX_MAXIMUM_DEPTH)
        fail(compiler, CLOZE_LIMIT, "lookbehinds nested too deep");
    cz_expr expr = CZ_EXPR_NOTHING;
    if (tree->kind == CZ_REGEX_ALTERNATE) {
        for (struct cz_regex_node *child = tree->first; child; child = child->next)
            expr = cz_expr_or(store, expr, compile_whole(compiler, child, search));
        return expr;
    }
    if (compiler->status || compile_edges(compiler, tree, search, &expr))
        return expr;
    if (tree->asserts)
        return compile_asserting(compiler, tree, search);
    expr = plain(compiler, tree);
    if (search)
        expr = cz_expr_concat(store, CZ_EXPR_TEXT, cz_expr_concat(store, expr, CZ_EXPR_ANY));
    return expr;
}

cloze_status cz_regex_parse(struct cz_expr_store *store, struct cz_slice pattern,
                            const struct cz_regex_options *options, cz_expr *out,
                            struct cloze_error *error)
{
    struct compiler *compiler = NULL;
    struct cz_regex_node *tree = NULL;
    struct cz_arena arena = {0};
    *out = CZ_EXPR_NOTHING;
    cloze_status status = cz_regex_tree_parse(&arena, pattern, options, &tree, error);
    if (status)
        goto out;
    compiler = CZ_ARENA_NEW(&arena, struct compiler);
    if (!compiler) {
        status = cz_fail_memory(error, "a regular expression");
        goto out;
    }
    compiler->store = store;
    compiler->error = error;
    *out = compile_whole(compiler, tree, options->search);
    if (options->search && !ends_at_edge(tree)) /* what follows a match is text too */
        *out = cz_expr_and(store, CZ_EXPR_TEXT, *out);
    status = compiler->status ? compiler->status : cz_expr_status(store, error);
    cz_arena_free(&compiler->arena);
out:
    cz_arena_free(&arena);
    return status;
}
