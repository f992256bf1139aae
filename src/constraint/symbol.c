/*
 * symbol.c - stepping through context-free symbols.
 *
 * A byte opens symbols down to the terminals that take it. What is to follow is pushed on the way;
 * an empty symbol hands the byte to what was pushed last. Every reading is kept.
 */
#include "constraint/rules_internal.h"

#include "base/heap.h"

/* The symbols entered at this byte, so that what reads nothing is not entered twice. */
struct entered {
    const struct entered *outer;
    uint32_t kind, what, pushes;
};

struct opening {
    struct cz_machine *machine;
    int byte; /* -1: only tokens are looked for */
    uint32_t pushes[CZ_STEP_PUSHES];
    uint32_t push_count;
    struct cz_step_list *out;
    bool passed; /* everything can be empty */
};

static void open_symbol(struct opening *opening, cz_symbol symbol, const struct entered *outer);

static void add_step(struct opening *opening, uint32_t op, uint32_t next)
{
    struct cz_step_list *out = opening->out;
    for (uint32_t i = 0; i < out->count; i++) {
        if (out->items[i].op == op && out->items[i].next == next &&
            out->items[i].push_count == opening->push_count &&
            !memcmp(out->items[i].pushes, opening->pushes,
                    opening->push_count * sizeof *opening->pushes))
            return;
    }
    cz_step_add(opening->machine, out, op, next);
    if (opening->machine->failed != CLOZE_OK)
        return;
    struct cz_step *made = &out->items[out->count - 1];
    memcpy(made->pushes, opening->pushes, opening->push_count * sizeof *opening->pushes);
    made->push_count = opening->push_count;
}

/* Nothing was read here: what was pushed last gets the byte. */
static void open_next(struct opening *opening, const struct entered *outer)
{
    if (opening->push_count == 0) {
        if (!opening->passed && opening->byte >= 0)
            add_step(opening, OP_POP_REDO, 0);
        opening->passed = true;
        return;
    }
    uint32_t top = opening->pushes[--opening->push_count];
    open_symbol(opening, opening->machine->locals[top].a, outer);
    opening->pushes[opening->push_count++] = top;
}

static void open_before(struct opening *opening, cz_symbol first, cz_symbol rest,
                        const struct entered *outer)
{
    if (rest == CZ_SYMBOL_EMPTY) {
        open_symbol(opening, first, outer);
        return;
    }
    if (!cz_symbol_alive(opening->machine->rules, rest))
        return;
    if (opening->push_count == CZ_STEP_PUSHES) {
        cz_machine_fail(opening->machine, CLOZE_LIMIT, NULL, "rules open too many others at once");
        return;
    }
    uint32_t count = opening->push_count;
    opening->pushes[opening->push_count++] =
        cz_local_add(opening->machine, LOCAL_SYMBOL, rest, 0, 0, 0);
    open_symbol(opening, first, outer);
    opening->push_count = count;
}

static void open_terminal(struct opening *opening, cz_expr expr, const struct entered *outer)
{
    struct cz_machine *machine = opening->machine;
    if (opening->byte >= 0) {
        cz_expr next = cz_expr_derive(machine->exprs, expr, (uint8_t)opening->byte);
        if (cz_expr_alive(machine->exprs, next))
            add_step(opening, OP_GO, cz_local_add(machine, LOCAL_LEXEME, next, 0, 0, 0));
    }
    if (cz_expr_nullable(machine->exprs, expr))
        open_next(opening, outer);
}

static void open_schema(struct opening *opening, uint32_t index)
{
    struct cz_machine *machine = opening->machine;
    struct cz_step_list list = {0};
    if (opening->byte < 0)
        return;
    cz_value_start(machine, machine->rules->schemas[index].value, 0, (uint8_t)opening->byte, &list);
    for (uint32_t i = 0; i < list.count; i++)
        add_step(opening, list.items[i].op, list.items[i].next);
    cz_heap_free(list.items);
}

static void open_list(struct opening *opening, cz_symbol symbol, const struct entered *outer)
{
    struct cz_rules *rules = opening->machine->rules;
    uint32_t size = cz_intern_size(&rules->symbols, symbol);
    if (cz_intern_get(&rules->symbols, symbol)[0] == SYMBOL_CHOICE) {
        for (uint32_t i = 1; i < size; i++)
            open_symbol(opening, cz_intern_get(&rules->symbols, symbol)[i], outer);
        return;
    }
    uint32_t *parts = cz_heap_alloc(size * sizeof *parts);
    if (!parts)
        return;
    memcpy(parts, cz_intern_get(&rules->symbols, symbol) + 1, (size - 1) * sizeof *parts);
    cz_symbol rest = cz_rules_sequence(rules, parts + 1, size - 2);
    open_before(opening, parts[0], rest, outer);
    cz_heap_free(parts);
}

static void open_loop(struct opening *opening, cz_symbol symbol, cz_rule rule,
                      const struct entered *outer)
{
    open_next(opening, outer);
    for (uint32_t i = 0; i < opening->machine->rules->rules[rule].loop_count; i++)
        open_before(opening, opening->machine->rules->rules[rule].loops[i], symbol, outer);
}

static void open_symbol(struct opening *opening, cz_symbol symbol, const struct entered *outer)
{
    struct cz_machine *machine = opening->machine;
    struct cz_rules *rules = machine->rules;
    uint32_t words[4] = {0}, size = cz_intern_size(&rules->symbols, symbol);
    memcpy(words, cz_intern_get(&rules->symbols, symbol), (size < 4 ? size : 4) * sizeof *words);
    struct entered here = {outer, words[0], words[1], opening->push_count};
    if (words[0] == SYMBOL_REFERENCE || words[0] == SYMBOL_REPEAT || words[0] == SYMBOL_LOOP) {
        for (const struct entered *at = outer; at; at = at->outer) {
            if (at->kind == words[0] && at->what == words[1])
                return;
        }
    }
    switch (words[0]) {
    case SYMBOL_EMPTY:
        open_next(opening, outer);
        break;
    case SYMBOL_TERMINAL:
        open_terminal(opening, words[1], outer);
        break;
    case SYMBOL_REFERENCE:
        open_before(opening, rules->rules[words[1]].body,
                    rules->rules[words[1]].left_recursive
                        ? cz_rules_loop(rules, words[1])
                        : (cz_symbol)CZ_SYMBOL_EMPTY,
                    &here);
        break;
    case SYMBOL_REPEAT: {
        uint32_t high = words[3] == CZ_EXPR_UNBOUNDED ? words[3] : words[3] - 1;
        cz_symbol again = cz_rules_repeat(rules, words[1], words[2] ? words[2] - 1 : 0, high);
        open_before(opening, words[1], again, &here);
        if (words[2] == 0)
            open_next(opening, outer);
        break;
    }
    case SYMBOL_TOKEN:
        if (opening->byte < 0)
            add_step(opening, OP_GO, cz_local_add(machine, LOCAL_TOKEN, words[1], 0, 0, 0));
        break;
    case SYMBOL_SCHEMA:
        open_schema(opening, words[1]);
        break;
    case SYMBOL_LOOP:
        open_loop(opening, symbol, words[1], &here);
        break;
    default:
        open_list(opening, symbol, outer);
        break;
    }
}

void cz_symbol_step(struct cz_machine *machine, cz_symbol symbol, uint8_t byte,
                    struct cz_step_list *out)
{
    struct opening opening = {.machine = machine, .byte = byte, .out = out};
    open_symbol(&opening, symbol, NULL);
}

bool cz_symbol_tokens(struct cz_machine *machine, struct cz_thread thread, struct cz_threads *out)
{
    for (;;) {
        struct cz_local local = machine->locals[thread.local];
        struct cz_step_list list = {0};
        struct opening opening = {.machine = machine, .byte = -1, .out = &list};
        if (local.kind == LOCAL_SYMBOL)
            open_symbol(&opening, local.a, NULL);
        else if (local.kind == LOCAL_LEXEME)
            opening.passed = cz_expr_nullable(machine->exprs, local.a);
        for (uint32_t i = 0; i < list.count; i++) {
            struct cz_thread made = {.local = list.items[i].next, .stack = thread.stack};
            for (uint32_t j = 0; j < list.items[i].push_count; j++)
                made.stack = cz_stack_push(machine, made.stack, list.items[i].pushes[j]);
            cz_threads_add(out, made);
        }
        cz_heap_free(list.items);
        if (!opening.passed || thread.stack == 0)
            return out->count > 0;
        struct cz_stack stack = machine->stacks[thread.stack];
        thread = (struct cz_thread){.local = stack.local, .stack = stack.parent};
    }
}

/* ---- Shortest texts ---- */

enum { FINISH_DEPTH = 64 };

static bool shortest(struct cz_machine *machine, cz_symbol symbol, unsigned depth,
                     struct cz_buffer *out);

static bool shortest_choice(struct cz_machine *machine, cz_symbol symbol, unsigned depth,
                            struct cz_buffer *out)
{
    struct cz_rules *rules = machine->rules;
    uint32_t size = cz_intern_size(&rules->symbols, symbol);
    struct cz_buffer best = {0};
    bool found = false;
    for (uint32_t i = 1; i < size; i++) {
        struct cz_buffer text = {0};
        if (shortest(machine, cz_intern_get(&rules->symbols, symbol)[i], depth, &text) &&
            (!found || text.size < best.size)) {
            struct cz_buffer swap = best;
            best = text;
            text = swap;
            found = true;
        }
        cz_buffer_free(&text);
    }
    cz_buffer_append_slice(out, cz_buffer_slice(&best));
    cz_buffer_free(&best);
    return found;
}

static bool shortest(struct cz_machine *machine, cz_symbol symbol, unsigned depth,
                     struct cz_buffer *out)
{
    struct cz_rules *rules = machine->rules;
    uint32_t words[4] = {0}, size = cz_intern_size(&rules->symbols, symbol);
    memcpy(words, cz_intern_get(&rules->symbols, symbol), (size < 4 ? size : 4) * sizeof *words);
    if (cz_symbol_nullable(rules, symbol))
        return true;
    if (depth == 0 || machine->finish_steps++ > 20000)
        return false;
    bool good = true;
    switch (words[0]) {
    case SYMBOL_TERMINAL:
        return cz_expr_shortest(machine->exprs, words[1], out);
    case SYMBOL_REFERENCE:
        return shortest(machine, rules->rules[words[1]].body, depth - 1, out);
    case SYMBOL_REPEAT:
        for (uint32_t i = 0; i < words[2] && good; i++)
            good = shortest(machine, words[1], depth - 1, out);
        return good;
    case SYMBOL_TOKEN:
        cz_buffer_append_byte(out, ' '); /* one token, whatever its text */
        return true;
    case SYMBOL_SCHEMA:
        return cz_value_shortest(machine, rules->schemas[words[1]].value, 0, out);
    case SYMBOL_CHOICE:
        return shortest_choice(machine, symbol, depth - 1, out);
    case SYMBOL_SEQUENCE:
        for (uint32_t i = 1; i < size && good; i++)
            good = shortest(machine, cz_intern_get(&rules->symbols, symbol)[i], depth - 1, out);
        return good;
    default:
        return false;
    }
}

bool cz_symbol_finish(struct cz_machine *machine, cz_symbol symbol, struct cz_buffer *out)
{
    for (unsigned depth = 4; depth <= FINISH_DEPTH; depth *= 2) {
        size_t before = out->size;
        if (shortest(machine, symbol, depth, out))
            return true;
        out->size = before;
    }
    return false;
}
