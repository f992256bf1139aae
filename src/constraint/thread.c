/*
 * thread.c - threads: a local and the stack below it, stepped byte by byte.
 *
 * Stacks are interned, so that equal ones have one name and pushing is a look-up. What a state must
 * remember of the text (an undeclared key, an item of a unique array) is bound when it is popped to.
 */
#include "constraint/machine.h"

#include "base/heap.h"

/* ---- Stacks and lists of threads ---- */

uint32_t cz_stack_push(struct cz_machine *machine, uint32_t stack, uint32_t local)
{
    bool added;
    uint32_t id = cz_intern_add(&machine->stack_keys, (uint32_t[]){local, stack}, 2, &added);
    if (id == UINT32_MAX || (added && !cz_machine_grow(machine, (void **)&machine->stacks, id,
                                                       &machine->stack_capacity,
                                                       sizeof *machine->stacks))) {
        cz_machine_fail_memory(machine);
        return 0;
    }
    if (added)
        machine->stacks[id] = (struct cz_stack){
            .local = local, .parent = stack, .depth = id ? machine->stacks[stack].depth + 1 : 0};
    return id;
}

bool cz_threads_add(struct cz_threads *threads, struct cz_thread thread)
{
    if (threads->count == threads->capacity) {
        uint32_t capacity = threads->capacity ? threads->capacity * 2 : 16;
        struct cz_thread *larger = cz_heap_resize(threads->items, capacity * sizeof *larger);
        if (!larger)
            return false;
        threads->items = larger;
        threads->capacity = capacity;
    }
    threads->items[threads->count++] = thread;
    return true;
}

/* ---- Binding: what a state must remember of the text ---- */

/* Where the JSON value that ends at `end` begins. */
static size_t value_begin(const char *text, size_t end)
{
    size_t at = end, depth = 0;
    while (at > 0) {
        char c = text[--at];
        if (c == '"') {
            for (;;) {
                size_t slashes = 0;
                while (at > 0 && text[at - 1] != '"')
                    at--;
                if (at == 0)
                    return 0;
                at--;
                while (at > slashes && text[at - 1 - slashes] == '\\')
                    slashes++;
                if (slashes % 2 == 0)
                    break;
            }
        } else if (c == '}' || c == ']') {
            depth++;
        } else if (c == '{' || c == '[') {
            depth--;
        } else if (depth == 0) {
            while (at > 0 && (strchr("+-.", text[at - 1]) || (text[at - 1] >= '0' && text[at - 1] <= '9') ||
                              (text[at - 1] >= 'A' && text[at - 1] <= 'z' && text[at - 1] != '[' &&
                               text[at - 1] != ']' && text[at - 1] != '\\')))
                at--;
        }
        if (depth == 0)
            return at;
    }
    return 0;
}

uint32_t cz_local_bind_item(struct cz_machine *machine, uint32_t local, struct cz_slice item)
{
    struct cz_arena arena = {0};
    struct cz_json *json;
    const struct cz_json_options options = {.allow_lone_surrogates = true};
    const struct cz_local at = machine->locals[local];
    const uint32_t *array = cz_intern_get(&machine->arrays, at.a);
    cz_formula formula = array[0];
    uint32_t depth = array[1], result = 0;
    if (cz_json_parse(&arena, item, &options, &json, NULL) == CLOZE_OK) {
        cz_value item_value = cz_value_constant(machine, json);
        formula = cz_formula_bind(machine, formula, item_value);
        if (item_value != CZ_VALUE_NONE && cz_array_alive(machine, formula))
            result = cz_local_add(machine, LOCAL_ARRAY_AFTER,
                                  cz_array_add(machine, formula, depth), at.b, 0, 0);
    }
    cz_arena_free(&arena);
    return result;
}

uint32_t cz_local_bind_key(struct cz_machine *machine, uint32_t colon, struct cz_slice key)
{
    struct cz_local at = machine->locals[colon];
    uint32_t count = 0, result = 0, size = cz_intern_size(&machine->targets, at.a);
    uint32_t *words = cz_heap_alloc((size + 1) * sizeof *words);
    cz_expr literal = cz_expr_literal(machine->exprs, key);
    for (uint32_t i = 0; words && i < size; i += 2) {
        uint32_t value = cz_intern_get(&machine->targets, at.a)[i];
        uint32_t after = cz_intern_get(&machine->targets, at.a)[i + 1];
        struct cz_object object = cz_object_get(machine, machine->locals[after].a);
        object.extra = cz_expr_or(machine->exprs, object.extra, literal);
        uint32_t id = cz_object_add(machine, &object);
        if (id == UINT32_MAX || !cz_object_alive(machine, id))
            continue;
        words[count++] = value;
        words[count++] = cz_local_add(machine, LOCAL_OBJECT_AFTER, id, 0, 0, 0);
    }
    if (count)
        result = cz_local_add(machine, LOCAL_COLON,
                              cz_intern_add(&machine->targets, words, count, NULL), at.b, 0, at.d);
    cz_heap_free(words);
    return result;
}

/* `key` is spelled as a string. */
static uint32_t bind_key(struct cz_machine *machine, uint32_t colon, struct cz_slice key)
{
    struct cz_buffer decoded = {0};
    uint32_t result = 0;
    if (cz_string_decode(cz_slice_of(key.data + 1, key.size - 2), &decoded))
        result = cz_local_bind_key(machine, colon, cz_buffer_slice(&decoded));
    cz_buffer_free(&decoded);
    return result;
}

/* The local as it is when the value that ends the text is remembered; 0 when it is not allowed. The
 * tokens of one mask often ask for the same, so the last answer is kept. */
static uint32_t bind(struct cz_machine *machine, uint32_t local, struct cz_slice text)
{
    size_t begin = value_begin(text.data, text.size);
    struct cz_slice value = cz_slice_of(text.data + begin, text.size - begin);
    struct cz_binding *last = &machine->last_binding;
    if (last->local == local && cz_slice_equal(cz_buffer_slice(&last->value), value))
        return last->result;
    uint32_t result = machine->locals[local].flags == THREAD_KEY_OPEN
                          ? bind_key(machine, local, value)
                          : cz_local_bind_item(machine, local, value);
    cz_buffer_clear(&last->value);
    cz_buffer_append_slice(&last->value, value);
    last->local = last->value.failed ? 0 : local;
    last->result = result;
    return result;
}

/* ---- Threads ---- */

static void emit(struct cz_machine *machine, struct cz_thread thread, struct cz_threads *out,
                 uint32_t first)
{
    for (uint32_t i = first; i < out->count; i++) {
        if (out->items[i].local == thread.local && out->items[i].stack == thread.stack &&
            out->items[i].gap == thread.gap) {
            out->items[i].marks |= thread.marks;
            return;
        }
    }
    if (!cz_threads_add(out, thread))
        cz_machine_fail_memory(machine);
}

static void step_into(struct cz_machine *machine, struct cz_thread thread, uint8_t byte,
                      const struct cz_binder *binder, struct cz_threads *out, uint32_t first);

/* Continues with the local on top of the stack; `used` tells whether the byte is spent. */
static void pop(struct cz_machine *machine, struct cz_thread thread, uint8_t byte, bool used,
                const struct cz_binder *binder, struct cz_threads *out, uint32_t first)
{
    if (thread.stack == CZ_STACK_UNKNOWN) {
        thread.local = used ? CZ_LOCAL_EXIT : CZ_LOCAL_EXIT_REDO;
        emit(machine, thread, out, first);
        return;
    }
    struct cz_stack stack = machine->stacks[thread.stack];
    struct cz_thread next = {.local = stack.local, .stack = stack.parent, .marks = thread.marks};
    if (machine->locals[stack.local].flags) {
        if (binder)
            next.local = bind(machine, stack.local,
                              cz_slice_of(binder->text, binder->size + used));
        else
            next.marks |= machine->locals[stack.local].flags;
        if (next.local == 0)
            return;
    }
    if (used)
        emit(machine, next, out, first);
    else
        step_into(machine, next, byte, binder, out, first);
}

/* The marks of a thread that reads on while an item is still to be remembered: once its array is
 * closed it is not. */
static uint16_t behind_item(struct cz_machine *machine, struct cz_thread thread, uint8_t byte)
{
    if ((thread.marks & THREAD_UNCERTAIN) || !cz_local_is_certain(machine, thread.local, byte))
        return thread.marks | THREAD_UNCERTAIN;
    bool closed = byte == ']' && machine->locals[thread.local].kind == LOCAL_ARRAY_AFTER;
    return closed ? thread.marks & (uint16_t)~THREAD_ITEM_OPEN : thread.marks;
}

static void step_into(struct cz_machine *machine, struct cz_thread thread, uint8_t byte,
                      const struct cz_binder *binder, struct cz_threads *out, uint32_t first)
{
    uint32_t step = cz_local_known(&machine->locals[thread.local], byte);
    if (step == 0)
        step = cz_local_step(machine, thread.local, byte);
    if (step == STEP_DEAD)
        return;
    if (thread.marks & THREAD_ITEM_OPEN)
        thread.marks = behind_item(machine, thread, byte);
    if (step == STEP_GAP) {
        uint32_t gap = cz_gap_step(machine, GAP_EDGE, 0, thread.gap, byte);
        thread.gap = (uint16_t)gap;
        if (gap != CZ_NO_GAP)
            emit(machine, thread, out, first);
        return;
    }
    if (thread.gap && !cz_gap_done(machine, GAP_EDGE, 0, thread.gap))
        return;
    thread.gap = 0;
    if (!(step & STEP_EFFECT)) {
        thread.local = step;
        emit(machine, thread, out, first);
        return;
    }
    struct cz_effect effect = machine->effects[step & ~STEP_EFFECT];
    for (uint32_t i = 0; i < effect.count; i++) {
        struct cz_alternative alternative = machine->alternatives[effect.first + i];
        struct cz_thread next = thread;
        for (uint32_t j = 0; j < alternative.push_count; j++) {
            uint32_t push = machine->pushes[alternative.push_first + j];
            next.stack = cz_stack_push(machine, next.stack, push);
            if ((next.marks & THREAD_KEY_OPEN) && machine->locals[push].flags == THREAD_KEY_OPEN)
                next.marks |= THREAD_UNCERTAIN; /* it must not be the key that is not yet known */
        }
        next.local = alternative.next;
        if (alternative.op == OP_GO)
            emit(machine, next, out, first);
        else
            pop(machine, next, byte, alternative.op == OP_POP, binder, out, first);
    }
}

struct cz_thread cz_thread_open(const struct cz_machine *machine, struct cz_thread thread)
{
    const struct cz_local *local = &machine->locals[thread.local];
    if (local->base) {
        thread.gap = (uint16_t)local->b;
        thread.local = local->base;
    }
    return thread;
}

struct cz_thread cz_thread_close(struct cz_machine *machine, struct cz_thread thread)
{
    if (thread.gap) {
        struct cz_local local = machine->locals[thread.local];
        thread.local = cz_local_add(machine, local.kind, local.a, thread.gap, local.c, local.d);
        thread.gap = 0;
    }
    return thread;
}

void cz_thread_step(struct cz_machine *machine, struct cz_thread thread, uint8_t byte,
                    const struct cz_binder *binder, struct cz_threads *out, uint32_t first)
{
    step_into(machine, thread, byte, binder, out, first);
}

bool cz_thread_may_end(struct cz_machine *machine, uint32_t local, uint32_t stack)
{
    for (;;) {
        const struct cz_local *at = &machine->locals[local];
        if (at->kind == LOCAL_END)
            return at->a || cz_gap_done(machine, GAP_EDGE, 0, at->b);
        bool may = (at->kind == LOCAL_NUMBER && cz_number_is_whole(machine->numbers, at->a)) ||
                   (at->kind == LOCAL_LEXEME && cz_expr_nullable(machine->exprs, at->a)) ||
                   (at->kind == LOCAL_SYMBOL && cz_symbol_nullable(machine->rules, at->a));
        if (!may)
            return false;
        local = machine->stacks[stack].local;
        stack = machine->stacks[stack].parent;
    }
}
