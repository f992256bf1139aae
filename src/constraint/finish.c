/*
 * finish.c - short texts that complete a value, a container, a local state: the distance to an end.
 *
 * The text need not be the shortest; that it exists and is short is what matters. Its tokens by
 * longest match are an upper bound of the tokens still needed, summed over the stack.
 */
#include "base/heap.h"
#include "constraint/machine.h"
#include "constraint/vocab_internal.h"

enum {
    FINISH_DEPTH = 200,
    FINISH_STEPS = 8000, /* which nest: a few frames each */
    SEARCH_LIMIT = 2048,
    SLACK = 2 /* tokens that a text may need more when it is cut elsewhere */
};

static bool finish_local(struct cz_machine *machine, uint32_t local, struct cz_buffer *out);

/* Fixed styles want their white space in the text. */
static void append_gap(struct cz_machine *machine, const char *before, uint32_t depth,
                       struct cz_buffer *out)
{
    enum cz_whitespace style = machine->options.whitespace;
    bool line = style == CZ_WHITESPACE_PRETTY && *before != ':';
    if (line) {
        cz_buffer_append_byte(out, '\n');
        for (uint32_t i = 0; i < depth * 2; i++)
            cz_buffer_append_byte(out, ' ');
    } else if (*before && (style == CZ_WHITESPACE_SPACED || style == CZ_WHITESPACE_PRETTY)) {
        cz_buffer_append_byte(out, ' ');
    }
}

/* A value of the first target that has one; then its continuation, which may have to remember it. */
static bool finish_targets(struct cz_machine *machine, uint32_t targets, uint32_t depth,
                           struct cz_buffer *out)
{
    uint32_t size = cz_intern_size(&machine->targets, targets);
    for (uint32_t i = 0; i < size; i += 2) {
        size_t before = out->size;
        uint32_t next = cz_intern_get(&machine->targets, targets)[i + 1];
        bool found =
            cz_value_shortest(machine, cz_intern_get(&machine->targets, targets)[i], depth, out);
        if (found && machine->locals[next].flags == THREAD_ITEM_OPEN)
            next = cz_local_bind_item(
                machine, next, cz_slice_of((const char *)out->data + before, out->size - before));
        if (found && next && finish_local(machine, next, out))
            return true;
        out->size = before;
    }
    return false;
}

static bool finish_key(struct cz_machine *machine, uint32_t targets, uint32_t depth,
                       struct cz_buffer *out)
{
    cz_buffer_append_byte(out, ':');
    append_gap(machine, ":", depth, out);
    return finish_targets(machine, targets, depth, out);
}

/* A member that the formula wants: what is left to want must get less. */
static bool finish_member(struct cz_machine *machine, uint32_t id, bool first,
                          struct cz_buffer *out)
{
    struct cz_plan *plan = cz_object_plan(machine, id);
    struct cz_object object = cz_object_get(machine, id);
    const struct cz_keyset *keyset = machine->keysets[object.keyset];
    size_t before = out->size;
    if (!plan)
        return false;
    if (!first)
        cz_buffer_append_byte(out, ',');
    append_gap(machine, first ? "" : ",", object.depth, out);
    cz_buffer_append_byte(out, '"');
    size_t start = out->size;
    for (uint32_t i = 0; i < keyset->count; i++) {
        if (!(plan->allowed[i / 64] >> i % 64 & 1))
            continue;
        uint32_t targets = cz_object_useful(machine, id, cz_object_targets(machine, id, i));
        if (targets == UINT32_MAX)
            continue;
        cz_string_spell(machine->keys[keyset->keys[i]], out);
        cz_buffer_append_byte(out, '"');
        if (finish_key(machine, targets, object.depth, out))
            return true;
        out->size = start;
    }
    for (uint32_t i = 0; i < plan->other_count; i++) {
        struct cz_buffer key = {0};
        uint32_t targets = cz_object_useful(machine, id, plan->other_targets[i]);
        bool found = targets != UINT32_MAX &&
                     cz_expr_shortest(machine->exprs, plan->others[i], &key);
        if (found)
            cz_string_spell(cz_buffer_slice(&key), out);
        cz_buffer_append_byte(out, '"');
        uint32_t colon =
            found ? cz_local_add(machine, LOCAL_COLON, targets, 0, 0, object.depth) : 0;
        uint32_t bound = found ? cz_local_bind_key(machine, colon, cz_buffer_slice(&key)) : 0;
        cz_buffer_free(&key);
        if (bound && finish_key(machine, machine->locals[bound].a, object.depth, out))
            return true;
        out->size = start;
    }
    out->size = before;
    return false;
}

bool cz_object_finish(struct cz_machine *machine, uint32_t id, bool first, struct cz_buffer *out)
{
    struct cz_object object = cz_object_get(machine, id);
    if (!cz_formula_nullable(machine, object.formula))
        return finish_member(machine, id, first, out);
    if (!first && machine->options.whitespace == CZ_WHITESPACE_PRETTY)
        append_gap(machine, "", object.depth - 1, out);
    cz_buffer_append_byte(out, '}');
    return true;
}

bool cz_array_finish(struct cz_machine *machine, uint32_t id, bool first, struct cz_buffer *out)
{
    const uint32_t *array = cz_intern_get(&machine->arrays, id);
    uint32_t depth = array[1];
    if (cz_formula_nullable(machine, array[0])) {
        if (!first && machine->options.whitespace == CZ_WHITESPACE_PRETTY)
            append_gap(machine, "", depth - 1, out);
        cz_buffer_append_byte(out, ']');
        return true;
    }
    uint32_t targets = cz_array_targets(machine, id);
    if (targets == UINT32_MAX)
        return false;
    if (!first)
        cz_buffer_append_byte(out, ',');
    append_gap(machine, first ? "" : ",", depth, out);
    return finish_targets(machine, targets, depth, out);
}

/* ---- Values ---- */

static bool shortest_scalar(struct cz_machine *machine, const struct cz_typed *typed,
                            struct cz_buffer *out)
{
    if (cz_numbers_alive(machine->numbers, typed->number))
        return cz_number_finish(machine->numbers,
                                cz_number_start(machine->numbers, typed->number), out);
    if (cz_expr_alive(machine->exprs, typed->string)) {
        struct cz_buffer text = {0};
        bool found = cz_expr_shortest(machine->exprs, typed->string, &text);
        cz_buffer_append_byte(out, '"');
        cz_string_spell(cz_buffer_slice(&text), out);
        cz_buffer_append_byte(out, '"');
        cz_buffer_free(&text);
        return found;
    }
    for (int i = 0; i < 3; i++) {
        if (typed->literals >> i & 1) {
            cz_buffer_append_text(out, CZ_LITERALS[i]);
            return true;
        }
    }
    return false;
}

static bool shortest_container(struct cz_machine *machine, const struct cz_typed *typed,
                               uint32_t depth, struct cz_buffer *out)
{
    uint32_t inner = machine->options.whitespace == CZ_WHITESPACE_PRETTY ? depth + 1 : 0;
    size_t before = out->size;
    if (typed->array != CZ_FORMULA_FALSE && cz_array_alive(machine, typed->array)) {
        cz_buffer_append_byte(out, '[');
        if (cz_array_finish(machine, cz_array_add(machine, typed->array, inner), true, out))
            return true;
        out->size = before;
    }
    uint32_t object = typed->object != CZ_FORMULA_FALSE
                          ? cz_object_start(machine, typed->object, inner)
                          : UINT32_MAX;
    cz_buffer_append_byte(out, '{');
    return object != UINT32_MAX && cz_object_finish(machine, object, true, out);
}

bool cz_value_shortest(struct cz_machine *machine, cz_value value, uint32_t depth,
                       struct cz_buffer *out)
{
    struct cz_typed typed = cz_value_expand(machine, value);
    size_t before = out->size;
    if (shortest_scalar(machine, &typed, out))
        return true;
    out->size = before;
    if (machine->finish_depth >= machine->finish_limit || machine->finish_steps >= FINISH_STEPS)
        return false;
    machine->finish_depth++;
    machine->finish_steps++;
    bool found = shortest_container(machine, &typed, depth, out);
    machine->finish_depth--;
    if (!found)
        out->size = before;
    return found;
}

/* ---- Locals ---- */

/* Ends an escape that is under way: tries bytes breadth first. */
static bool settle(struct cz_machine *machine, struct cz_inner *inner, uint32_t *escape,
                   struct cz_buffer *out)
{
    static const char bytes[] = "0123456789abcdefun\"\\/rtb\x80\x90\x9f\xbf";
    struct {
        struct cz_inner inner;
        uint32_t escape, parent;
        char byte;
    } *queue = cz_heap_alloc(SEARCH_LIMIT * sizeof *queue);
    uint32_t count = 1, at = 0;
    bool found = false;
    if (!queue)
        return false;
    queue[0].inner = *inner;
    queue[0].escape = *escape;
    for (; at < count && !found; at++) {
        if ((found = queue[at].escape == 0))
            break;
        for (const char *byte = bytes; *byte && count < SEARCH_LIMIT; byte++) {
            queue[count].inner = queue[at].inner;
            queue[count].escape = queue[at].escape;
            queue[count].parent = at;
            queue[count].byte = *byte;
            count += cz_string_step(machine, &queue[count].inner, &queue[count].escape,
                                    (uint8_t)*byte);
        }
    }
    char text[64];
    size_t size = 0;
    for (uint32_t i = at; found && i && size < sizeof text; i = queue[i].parent)
        text[size++] = queue[i].byte;
    while (found && size > 0)
        cz_buffer_append_byte(out, text[--size]);
    if (found) {
        *inner = queue[at].inner;
        *escape = 0;
    }
    cz_heap_free(queue);
    return found;
}

static bool finish_string(struct cz_machine *machine, struct cz_inner inner, uint32_t escape,
                          struct cz_buffer *out)
{
    struct cz_buffer text = {0};
    bool found = (escape == 0 || settle(machine, &inner, &escape, out)) &&
                 cz_expr_shortest(machine->exprs, inner.expr, &text);
    cz_string_spell(cz_buffer_slice(&text), out);
    cz_buffer_append_byte(out, '"');
    cz_buffer_free(&text);
    return found;
}

static bool finish_name(struct cz_machine *machine, const struct cz_local *local,
                        struct cz_buffer *out)
{
    struct cz_inner inner = {.named = true, .object = local->a, .first = local->b >> 16,
                             .last = local->b & 0xFFFF, .depth = local->c};
    uint32_t escape = local->d;
    struct cz_object object = cz_object_get(machine, local->a);
    if (escape && !settle(machine, &inner, &escape, out))
        return false;
    struct cz_slice key = machine->keys[machine->keysets[object.keyset]->keys[inner.first]];
    cz_string_spell(cz_slice_of(key.data + inner.depth, key.size - inner.depth), out);
    cz_buffer_append_byte(out, '"');
    uint32_t targets = cz_object_targets(machine, local->a, inner.first);
    return targets != UINT32_MAX && finish_key(machine, targets, object.depth, out);
}

static bool finish_lexeme(struct cz_machine *machine, cz_expr expr, struct cz_buffer *out)
{
    return cz_expr_shortest(machine->exprs, expr, out);
}

static bool finish_local(struct cz_machine *machine, uint32_t id, struct cz_buffer *out)
{
    struct cz_local local = machine->locals[id];
    if (machine->finish_steps++ >= FINISH_STEPS)
        return false;
    bool flexible = machine->options.whitespace >= CZ_WHITESPACE_FLEXIBLE;
    bool in_gap = local.kind == LOCAL_END || local.kind == LOCAL_COLON ||
                  local.kind == LOCAL_OBJECT_OPEN || local.kind == LOCAL_OBJECT_AFTER ||
                  local.kind == LOCAL_ARRAY_OPEN || local.kind == LOCAL_ARRAY_AFTER;
    if (in_gap && flexible)
        cz_gap_finish(machine, GAP_EDGE, 0, local.b, out);
    switch (local.kind) {
    case LOCAL_END:
        return true;
    case LOCAL_TARGETS:
        cz_gap_finish(machine, local.c, local.d, local.b, out);
        return finish_targets(machine, local.a, local.d, out);
    case LOCAL_STRING:
        return finish_string(machine, (struct cz_inner){.expr = local.a}, local.b, out);
    case LOCAL_NUMBER:
        return cz_number_finish(machine->numbers, local.a, out);
    case LOCAL_LITERAL:
        cz_buffer_append_text(out, CZ_LITERALS[local.a] + local.b);
        return true;
    case LOCAL_OBJECT_OPEN:
        return cz_object_finish(machine, local.a, true, out);
    case LOCAL_OBJECT_KEY:
        if (machine->options.whitespace != CZ_WHITESPACE_PRETTY)
            cz_gap_finish(machine, GAP_COMMA, 0, local.b, out);
        return finish_member(machine, local.a, true, out);
    case LOCAL_OBJECT_AFTER:
        return cz_object_finish(machine, local.a, false, out);
    case LOCAL_NAME:
        return finish_name(machine, &local, out);
    case LOCAL_COLON:
        return finish_key(machine, local.a, local.d, out);
    case LOCAL_ARRAY_OPEN:
        return cz_array_finish(machine, local.a, true, out);
    case LOCAL_ARRAY_AFTER:
        return cz_array_finish(machine, local.a, false, out);
    case LOCAL_LEXEME:
        return finish_lexeme(machine, local.a, out);
    case LOCAL_SYMBOL:
        return cz_symbol_finish(machine, local.a, out);
    default:
        return false;
    }
}

/* Values that nest little are looked for first: where a value may hold others of its own kind, the
 * way into them would be taken over and over. */
static bool finish_from(struct cz_machine *machine, uint32_t local, struct cz_buffer *out)
{
    static const uint32_t limits[] = {2, 8, 32, FINISH_DEPTH};
    size_t before = out->size;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        machine->finish_depth = machine->finish_steps = 0;
        machine->finish_limit = limits[i];
        if (finish_local(machine, local, out))
            return true;
        out->size = before;
    }
    return false;
}

/* ---- Distances ---- */

uint32_t cz_local_distance(struct cz_machine *machine, uint32_t local)
{
    struct cz_buffer text = {0};
    if (machine->locals[local].distance)
        return machine->locals[local].distance - 1;
    bool found = finish_from(machine, local, &text);
    uint32_t tokens = found ? cz_vocab_cost(machine->vocab, cz_buffer_slice(&text)) : CZ_FAR;
    cz_buffer_free(&text);
    tokens = tokens < CZ_FAR ? tokens : CZ_FAR;
    machine->locals[local].distance = tokens + 1;
    return tokens;
}

/* What completes an array the last item of which is still being written: that may be one of those
 * that would have completed it, so another one is counted, too. */
static uint32_t open_distance(struct cz_machine *machine, uint32_t local)
{
    uint32_t distance = cz_local_distance(machine, local), array = machine->locals[local].a;
    if (machine->locals[local].flags != THREAD_ITEM_OPEN ||
        cz_formula_nullable(machine, cz_intern_get(&machine->arrays, array)[0]))
        return distance;
    uint32_t targets = cz_array_targets(machine, array), without = 0, item = 0;
    struct cz_buffer text = {0};
    machine->finish_depth = machine->finish_steps = 0;
    machine->finish_limit = FINISH_DEPTH;
    if (targets != UINT32_MAX &&
        cz_value_shortest(machine, cz_intern_get(&machine->targets, targets)[0], 0, &text)) {
        without = cz_local_bind_item(machine, local, cz_buffer_slice(&text));
        item = cz_vocab_cost(machine->vocab, cz_buffer_slice(&text));
    }
    cz_buffer_free(&text);
    uint64_t other = without ? (uint64_t)cz_local_distance(machine, without) + item + SLACK : 0;
    return other <= distance ? distance : other < CZ_FAR ? (uint32_t)other : CZ_FAR;
}

static uint32_t stack_distance(struct cz_machine *machine, uint32_t stack)
{
    uint64_t total = 0;
    uint32_t at = stack;
    while (at && !machine->stacks[at].distance) {
        total += open_distance(machine, machine->stacks[at].local);
        at = machine->stacks[at].parent;
    }
    total += at ? machine->stacks[at].distance - 1 : 0;
    total = total < CZ_FAR ? total : CZ_FAR;
    if (stack)
        machine->stacks[stack].distance = (uint32_t)total + 1;
    return (uint32_t)total;
}

uint32_t cz_thread_distance(struct cz_machine *machine, struct cz_thread thread)
{
    uint32_t own = cz_local_distance(machine, thread.local);
    uint32_t rest = stack_distance(machine, thread.stack);
    return own + rest < CZ_FAR ? own + rest : CZ_FAR;
}

/* ---- Plans ---- */

static bool append_tokens(const struct cz_vocab *vocab, struct cz_slice text, struct cz_buffer *out)
{
    while (text.size) {
        uint32_t token;
        size_t size = cz_vocab_longest_prefix(vocab, text, &token);
        if (size == 0)
            return false;
        cz_buffer_append(out, &token, sizeof token);
        text = cz_slice_of(text.data + size, text.size - size);
    }
    return !out->failed;
}

/* The tokens that complete a local, after their number; NULL when there are none. */
static const uint32_t *local_plan(struct cz_machine *machine, uint32_t local)
{
    struct cz_buffer text = {0}, tokens = {0};
    if (machine->locals[local].plan)
        return machine->locals[local].plan;
    uint32_t *plan = NULL;
    if (finish_from(machine, local, &text) &&
        append_tokens(machine->vocab, cz_buffer_slice(&text), &tokens))
        plan = cz_arena_alloc(&machine->arena, tokens.size + sizeof *plan);
    if (plan) {
        plan[0] = (uint32_t)(tokens.size / sizeof *plan);
        if (tokens.size)
            memcpy(plan + 1, tokens.data, tokens.size);
        machine->locals[local].plan = plan;
    }
    cz_buffer_free(&text);
    cz_buffer_free(&tokens);
    return plan;
}

/* The token of the first byte that completes a local. */
static bool append_first(struct cz_machine *machine, uint32_t local, struct cz_buffer *out)
{
    struct cz_buffer text = {0};
    bool found = finish_from(machine, local, &text) && text.size &&
                 append_tokens(machine->vocab, cz_slice_of((const char *)text.data, 1), out);
    cz_buffer_free(&text);
    return found;
}

/* Ends behind an item that is to be remembered: how to go on shows when it is known. */
bool cz_thread_plan(struct cz_machine *machine, struct cz_thread thread, struct cz_buffer *out)
{
    for (;;) {
        const uint32_t *plan = local_plan(machine, thread.local);
        if (plan)
            cz_buffer_append(out, plan + 1, plan[0] * sizeof *plan);
        if (!plan || thread.stack <= CZ_STACK_UNKNOWN)
            return plan && !out->failed;
        thread.local = machine->stacks[thread.stack].local;
        thread.stack = machine->stacks[thread.stack].parent;
        if (machine->locals[thread.local].flags == THREAD_ITEM_OPEN)
            return (out->size || append_first(machine, thread.local, out)) && !out->failed;
    }
}
