/*
 * local.c - the byte automaton: what each byte does in each local state.
 *
 * A byte's effect is a list of steps: go to a local, perhaps pushing others to continue with; or pop,
 * with the byte already used (a closing bracket) or not (what follows a number). Effects are worked
 * out once per local and byte and kept in the local's table.
 */
#include "constraint/machine.h"

#include "base/heap.h"

bool cz_local_in_gap(const struct cz_machine *machine, uint32_t kind)
{
    return machine->options.whitespace == CZ_WHITESPACE_FLEXIBLE &&
           (kind == LOCAL_END || kind == LOCAL_TARGETS || kind == LOCAL_OBJECT_OPEN ||
            kind == LOCAL_OBJECT_KEY || kind == LOCAL_COLON || kind == LOCAL_OBJECT_AFTER ||
            kind == LOCAL_ARRAY_OPEN || kind == LOCAL_ARRAY_AFTER);
}

bool cz_local_begins_gap(const struct cz_machine *machine, uint32_t id)
{
    const struct cz_local *local = &machine->locals[id];
    return cz_local_in_gap(machine, local->kind) && !local->base &&
           !(local->kind == LOCAL_END && local->a);
}

uint32_t cz_local_add(struct cz_machine *machine, uint32_t kind, uint32_t a, uint32_t b, uint32_t c,
                      uint32_t d)
{
    bool added;
    uint32_t id = cz_intern_add(&machine->local_keys, (uint32_t[]){kind, a, b, c, d}, 5, &added);
    if (id == UINT32_MAX || (added && !cz_machine_grow(machine, (void **)&machine->locals, id,
                                                       &machine->local_capacity,
                                                       sizeof *machine->locals))) {
        cz_machine_fail_memory(machine);
        return 0;
    }
    if (added) {
        machine->locals[id] = (struct cz_local){.kind = (uint8_t)kind, .a = a, .b = b, .c = c, .d = d};
        if (kind == LOCAL_ARRAY_AFTER &&
            cz_formula_binds(machine, cz_intern_get(&machine->arrays, a)[0]))
            machine->locals[id].flags = THREAD_ITEM_OPEN;
        if (kind == LOCAL_COLON && c)
            machine->locals[id].flags = THREAD_KEY_OPEN;
        if (b && cz_local_in_gap(machine, kind)) {
            uint32_t base = cz_local_add(machine, kind, a, 0, c, d); /* locals may move */
            machine->locals[id].base = base;
        }
    }
    return id;
}

void cz_step_add(struct cz_machine *machine, struct cz_step_list *list, uint32_t op, uint32_t next)
{
    if (!cz_machine_grow(machine, (void **)&list->items, list->count, &list->capacity,
                         sizeof *list->items)) {
        cz_machine_fail_memory(machine);
        return;
    }
    list->items[list->count++] = (struct cz_step){.op = op, .next = next};
}

/* ---- Values ---- */

const char *const CZ_LITERALS[] = {"null", "false", "true"};

static void start_string(struct cz_machine *machine, const struct cz_typed *typed,
                         struct cz_step_list *out)
{
    if (cz_expr_alive(machine->exprs, typed->string))
        cz_step_add(machine, out, OP_GO, cz_local_add(machine, LOCAL_STRING, typed->string, 0, 0, 0));
}

static void start_container(struct cz_machine *machine, const struct cz_typed *typed,
                            uint32_t depth, uint8_t byte, struct cz_step_list *out)
{
    uint32_t inner = machine->options.whitespace == CZ_WHITESPACE_PRETTY ? depth + 1 : 0;
    if (byte == '{' && typed->object != CZ_FORMULA_FALSE) {
        uint32_t object = cz_object_start(machine, typed->object, inner);
        if (object != UINT32_MAX)
            cz_step_add(machine, out, OP_GO,
                        cz_local_add(machine, LOCAL_OBJECT_OPEN, object, 0, 0, 0));
    } else if (byte == '[' && cz_array_alive(machine, typed->array)) {
        uint32_t array = cz_array_add(machine, typed->array, inner);
        cz_step_add(machine, out, OP_GO, cz_local_add(machine, LOCAL_ARRAY_OPEN, array, 0, 0, 0));
    }
}

void cz_value_start(struct cz_machine *machine, cz_value value, uint32_t depth, uint8_t byte,
                    struct cz_step_list *out)
{
    struct cz_typed typed = cz_value_expand(machine, value);
    if (byte == '"') {
        start_string(machine, &typed, out);
    } else if (byte == '{' || byte == '[') {
        start_container(machine, &typed, depth, byte, out);
    } else if (byte == '-' || (byte >= '0' && byte <= '9')) {
        cz_number_state start = cz_number_start(machine->numbers, typed.number);
        cz_number_state state = cz_number_step(machine->numbers, start, byte);
        if (state)
            cz_step_add(machine, out, OP_GO, cz_local_add(machine, LOCAL_NUMBER, state, 0, 0, 0));
    } else {
        for (uint32_t i = 0; i < 3; i++) {
            if ((typed.literals >> i & 1) && byte == (uint8_t)CZ_LITERALS[i][0])
                cz_step_add(machine, out, OP_GO, cz_local_add(machine, LOCAL_LITERAL, i, 1, 0, 0));
        }
    }
}

/* A value of one of the targets begins; each goes on with its own local. */
static void start_targets(struct cz_machine *machine, uint32_t targets, uint32_t depth, uint8_t byte,
                          struct cz_step_list *out)
{
    uint32_t size = cz_intern_size(&machine->targets, targets);
    for (uint32_t i = 0; i < size; i += 2) {
        uint32_t before = out->count, value = cz_intern_get(&machine->targets, targets)[i];
        cz_value_start(machine, value, depth, byte, out);
        for (uint32_t j = before; j < out->count; j++) {
            out->items[j].pushes[0] = cz_intern_get(&machine->targets, targets)[i + 1];
            out->items[j].push_count = 1;
        }
    }
}

static void step_literal(struct cz_machine *machine, const struct cz_local *local, uint8_t byte,
                         struct cz_step_list *out)
{
    const char *text = CZ_LITERALS[local->a];
    if (byte != (uint8_t)text[local->b])
        return;
    if (text[local->b + 1])
        cz_step_add(machine, out, OP_GO,
                    cz_local_add(machine, LOCAL_LITERAL, local->a, local->b + 1, 0, 0));
    else
        cz_step_add(machine, out, OP_POP, 0);
}

static void step_number(struct cz_machine *machine, const struct cz_local *local, uint8_t byte,
                        struct cz_step_list *out)
{
    bool digit = (byte >= '0' && byte <= '9') || byte == '.' || byte == 'e' || byte == 'E' ||
                 byte == '+' || byte == '-';
    if (digit) {
        cz_number_state next = cz_number_step(machine->numbers, local->a, byte);
        if (next)
            cz_step_add(machine, out, OP_GO, cz_local_add(machine, LOCAL_NUMBER, next, 0, 0, 0));
    } else if (cz_number_is_whole(machine->numbers, local->a)) {
        cz_step_add(machine, out, OP_POP_REDO, 0);
    }
}

static void step_string(struct cz_machine *machine, const struct cz_local *local, uint8_t byte,
                        struct cz_step_list *out)
{
    struct cz_inner inner = {.expr = local->a};
    uint32_t escape = local->b;
    if (byte == '"' && cz_string_settle(machine, &inner, escape)) {
        if (cz_expr_nullable(machine->exprs, inner.expr))
            cz_step_add(machine, out, OP_POP, 0);
    } else if (cz_string_step(machine, &inner, &escape, byte)) {
        cz_step_add(machine, out, OP_GO,
                    cz_local_add(machine, LOCAL_STRING, inner.expr, escape, 0, 0));
    }
}

/* ---- Objects ---- */

static uint32_t name_local(struct cz_machine *machine, const struct cz_inner *inner, uint32_t escape)
{
    return cz_local_add(machine, LOCAL_NAME, inner->object, inner->first << 16 | inner->last,
                        inner->depth, escape);
}

static void start_key(struct cz_machine *machine, uint32_t object, struct cz_step_list *out)
{
    struct cz_plan *plan = cz_object_plan(machine, object);
    if (!plan)
        return;
    uint32_t keyset = cz_object_get(machine, object).keyset;
    struct cz_inner inner = {.named = true, .object = object,
                             .last = machine->keysets[keyset]->count};
    if (cz_inner_trim(machine, &inner))
        cz_step_add(machine, out, OP_GO, name_local(machine, &inner, 0));
    for (uint32_t i = 0; i < plan->other_count; i++) {
        cz_step_add(machine, out, OP_GO,
                    cz_local_add(machine, LOCAL_STRING, plan->others[i], 0, 0, 0));
        if (machine->failed != CLOZE_OK)
            return;
        struct cz_step *step = &out->items[out->count - 1];
        step->pushes[step->push_count++] =
            cz_local_add(machine, LOCAL_COLON, plan->other_targets[i], 0, 1,
                         cz_object_get(machine, object).depth);
    }
}

static bool any_key(struct cz_machine *machine, uint32_t object)
{
    struct cz_plan *plan = cz_object_plan(machine, object);
    if (!plan)
        return false;
    uint32_t count = machine->keysets[cz_object_get(machine, object).keyset]->count;
    for (uint32_t i = 0; i <= count / 64; i++) {
        if (plan->allowed[i])
            return true;
    }
    return plan->other_count > 0;
}

static void step_object_open(struct cz_machine *machine, const struct cz_local *local, uint8_t byte,
                             struct cz_step_list *out)
{
    uint32_t depth = cz_object_get(machine, local->a).depth;
    struct cz_plan *plan = cz_object_plan(machine, local->a);
    bool first = local->kind == LOCAL_OBJECT_OPEN;
    enum gap gap = first ? GAP_OPEN : GAP_COMMA;
    bool pretty = machine->options.whitespace == CZ_WHITESPACE_PRETTY;
    if (byte == '"' && cz_gap_done(machine, gap, depth, local->b)) {
        start_key(machine, local->a, out);
    } else if (byte == '}' && first && plan && plan->may_close &&
               (pretty ? local->b == 0 : cz_gap_done(machine, gap, depth, local->b))) {
        cz_step_add(machine, out, OP_POP, 0);
    } else if (!first || !pretty || any_key(machine, local->a)) {
        uint32_t state = cz_gap_step(machine, gap, depth, local->b, byte);
        if (state != CZ_NO_GAP && (any_key(machine, local->a) || (plan && plan->may_close)))
            cz_step_add(machine, out, OP_GO,
                        cz_local_add(machine, local->kind, local->a, state, 0, 0));
    }
}

static void step_name(struct cz_machine *machine, const struct cz_local *local, uint8_t byte,
                      struct cz_step_list *out)
{
    struct cz_inner inner = {.named = true, .object = local->a, .first = local->b >> 16,
                             .last = local->b & 0xFFFF, .depth = local->c};
    uint32_t escape = local->d, depth = cz_object_get(machine, local->a).depth;
    if (byte == '"' && cz_string_settle(machine, &inner, escape)) {
        const struct cz_keyset *keyset =
            machine->keysets[cz_object_get(machine, local->a).keyset];
        if (machine->keys[keyset->keys[inner.first]].size == inner.depth) {
            uint32_t targets = cz_object_targets(machine, local->a, inner.first);
            if (targets != UINT32_MAX)
                cz_step_add(machine, out, OP_GO,
                            cz_local_add(machine, LOCAL_COLON, targets, 0, 0, depth));
        }
    } else if (cz_string_step(machine, &inner, &escape, byte)) {
        cz_step_add(machine, out, OP_GO, name_local(machine, &inner, escape));
    }
}

static void step_colon(struct cz_machine *machine, const struct cz_local *local, uint8_t byte,
                       struct cz_step_list *out)
{
    if (byte == ':' && cz_gap_done(machine, GAP_BEFORE_COLON, local->d, local->b)) {
        cz_step_add(machine, out, OP_GO,
                    cz_local_add(machine, LOCAL_TARGETS, local->a, 0, GAP_COLON, local->d));
        return;
    }
    uint32_t state = cz_gap_step(machine, GAP_BEFORE_COLON, local->d, local->b, byte);
    if (state != CZ_NO_GAP)
        cz_step_add(machine, out, OP_GO,
                    cz_local_add(machine, LOCAL_COLON, local->a, state, 0, local->d));
}

static void step_targets(struct cz_machine *machine, const struct cz_local *local, uint8_t byte,
                         struct cz_step_list *out)
{
    if (cz_gap_done(machine, local->c, local->d, local->b))
        start_targets(machine, local->a, local->d, byte, out);
    uint32_t state = cz_gap_step(machine, local->c, local->d, local->b, byte);
    if (state != CZ_NO_GAP)
        cz_step_add(machine, out, OP_GO,
                    cz_local_add(machine, LOCAL_TARGETS, local->a, state, local->c, local->d));
}

/* After a value: a comma, the closing bracket, or white space before either. */
static void step_after(struct cz_machine *machine, const struct cz_local *local, uint8_t byte,
                       bool more, bool close, uint32_t depth, uint32_t next, uint8_t bracket,
                       struct cz_step_list *out)
{
    if (byte == ',') {
        if (more && cz_gap_done(machine, GAP_BEFORE_COMMA, depth, local->b))
            cz_step_add(machine, out, OP_GO, next);
    } else if (byte == bracket) {
        if (close && cz_gap_done(machine, GAP_CLOSE, depth, local->b))
            cz_step_add(machine, out, OP_POP, 0);
    } else {
        uint32_t state = close ? cz_gap_step(machine, GAP_CLOSE, depth, local->b, byte) : CZ_NO_GAP;
        if (more && state == CZ_NO_GAP)
            state = cz_gap_step(machine, GAP_BEFORE_COMMA, depth, local->b, byte);
        if (state != CZ_NO_GAP)
            cz_step_add(machine, out, OP_GO,
                        cz_local_add(machine, local->kind, local->a, state, 0, 0));
    }
}

static void step_object_after(struct cz_machine *machine, const struct cz_local *local, uint8_t byte,
                              struct cz_step_list *out)
{
    struct cz_object object = cz_object_get(machine, local->a);
    bool close = cz_formula_nullable(machine, object.formula);
    bool more = byte != '}' && any_key(machine, local->a);
    uint32_t next =
        more ? cz_local_add(machine, LOCAL_OBJECT_KEY, local->a, 0, 0, 0) : 0;
    step_after(machine, local, byte, more, close, object.depth, next, '}', out);
}

static void step_array_after(struct cz_machine *machine, const struct cz_local *local, uint8_t byte,
                             struct cz_step_list *out)
{
    const uint32_t *array = cz_intern_get(&machine->arrays, local->a);
    uint32_t depth = array[1];
    bool close = cz_formula_nullable(machine, array[0]);
    uint32_t targets = byte == ']' ? UINT32_MAX : cz_array_targets(machine, local->a);
    uint32_t next = targets != UINT32_MAX
                        ? cz_local_add(machine, LOCAL_TARGETS, targets, 0, GAP_COMMA, depth)
                        : 0;
    step_after(machine, local, byte, targets != UINT32_MAX, close, depth, next, ']', out);
}

static void step_array_open(struct cz_machine *machine, const struct cz_local *local, uint8_t byte,
                            struct cz_step_list *out)
{
    const uint32_t *array = cz_intern_get(&machine->arrays, local->a);
    uint32_t depth = array[1];
    bool close = cz_formula_nullable(machine, array[0]);
    bool pretty = machine->options.whitespace == CZ_WHITESPACE_PRETTY;
    if (byte == ']') {
        if (close && (pretty ? local->b == 0 : cz_gap_done(machine, GAP_OPEN, depth, local->b)))
            cz_step_add(machine, out, OP_POP, 0);
        return;
    }
    uint32_t targets = cz_array_targets(machine, local->a);
    if (targets != UINT32_MAX && cz_gap_done(machine, GAP_OPEN, depth, local->b))
        start_targets(machine, targets, depth, byte, out);
    uint32_t state = cz_gap_step(machine, GAP_OPEN, depth, local->b, byte);
    if (state != CZ_NO_GAP && (targets != UINT32_MAX || (close && !pretty)))
        cz_step_add(machine, out, OP_GO,
                    cz_local_add(machine, LOCAL_ARRAY_OPEN, local->a, state, 0, 0));
}

static void step_end(struct cz_machine *machine, const struct cz_local *local, uint8_t byte,
                     struct cz_step_list *out)
{
    uint32_t state = cz_gap_step(machine, GAP_EDGE, 0, local->b, byte);
    if (state != CZ_NO_GAP && !local->a)
        cz_step_add(machine, out, OP_GO, cz_local_add(machine, LOCAL_END, 0, state, 0, 0));
}

static void step_lexeme(struct cz_machine *machine, const struct cz_local *local, uint8_t byte,
                        struct cz_step_list *out)
{
    cz_expr next = cz_expr_derive(machine->exprs, local->a, byte);
    if (cz_expr_alive(machine->exprs, next))
        cz_step_add(machine, out, OP_GO, cz_local_add(machine, LOCAL_LEXEME, next, 0, 0, 0));
    if (cz_expr_nullable(machine->exprs, local->a))
        cz_step_add(machine, out, OP_POP_REDO, 0);
}

static void step_kind(struct cz_machine *machine, const struct cz_local *local, uint8_t byte,
                      struct cz_step_list *out)
{
    switch (local->kind) {
    case LOCAL_END:
        step_end(machine, local, byte, out);
        break;
    case LOCAL_TARGETS:
        step_targets(machine, local, byte, out);
        break;
    case LOCAL_STRING:
        step_string(machine, local, byte, out);
        break;
    case LOCAL_NUMBER:
        step_number(machine, local, byte, out);
        break;
    case LOCAL_LITERAL:
        step_literal(machine, local, byte, out);
        break;
    case LOCAL_OBJECT_OPEN:
    case LOCAL_OBJECT_KEY:
        step_object_open(machine, local, byte, out);
        break;
    case LOCAL_NAME:
        step_name(machine, local, byte, out);
        break;
    case LOCAL_COLON:
        step_colon(machine, local, byte, out);
        break;
    case LOCAL_OBJECT_AFTER:
        step_object_after(machine, local, byte, out);
        break;
    case LOCAL_ARRAY_OPEN:
        step_array_open(machine, local, byte, out);
        break;
    case LOCAL_ARRAY_AFTER:
        step_array_after(machine, local, byte, out);
        break;
    case LOCAL_LEXEME:
        step_lexeme(machine, local, byte, out);
        break;
    case LOCAL_SYMBOL:
        cz_symbol_step(machine, local->a, byte, out);
        break;
    default:
        break;
    }
}

/* ---- Effects ---- */

/* The effect's content as words, so that equal effects get one name. */
static uint32_t effect_name(struct cz_machine *machine, const struct cz_step_list *list, bool *added)
{
    uint32_t stack[64], *words = stack, count = 0, total = 0;
    for (uint32_t i = 0; i < list->count; i++)
        total += 3 + list->items[i].push_count;
    if (total > 64 && !(words = cz_heap_alloc(total * sizeof *words)))
        return UINT32_MAX;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct cz_step *step = &list->items[i];
        words[count++] = step->op;
        words[count++] = step->next;
        words[count++] = step->push_count;
        memcpy(words + count, step->pushes, step->push_count * sizeof *words);
        count += step->push_count;
    }
    uint32_t id = cz_intern_add(&machine->effect_keys, words, count, added);
    if (words != stack)
        cz_heap_free(words);
    return id;
}

static bool add_alternative(struct cz_machine *machine, const struct cz_step *step)
{
    struct cz_alternative made = {step->op, step->push_count, machine->push_count, step->next};
    for (uint32_t j = 0; j < step->push_count; j++) {
        if (!cz_machine_grow(machine, (void **)&machine->pushes, machine->push_count,
                             &machine->push_capacity, sizeof *machine->pushes))
            return false;
        machine->pushes[machine->push_count++] = step->pushes[j];
    }
    if (!cz_machine_grow(machine, (void **)&machine->alternatives, machine->alternative_count,
                         &machine->alternative_capacity, sizeof *machine->alternatives))
        return false;
    machine->alternatives[machine->alternative_count++] = made;
    return true;
}

static uint32_t add_effect(struct cz_machine *machine, const struct cz_step_list *list)
{
    bool added = false;
    if (list->count == 0)
        return STEP_DEAD;
    if (list->count == 1 && list->items[0].op == OP_GO && list->items[0].push_count == 0)
        return list->items[0].next;
    uint32_t id = effect_name(machine, list, &added);
    if (id == UINT32_MAX)
        return STEP_DEAD;
    if (!added)
        return STEP_EFFECT | id;
    struct cz_effect effect = {machine->alternative_count, list->count};
    for (uint32_t i = 0; i < list->count; i++) {
        if (!add_alternative(machine, &list->items[i]))
            return STEP_DEAD;
    }
    if (!cz_machine_grow(machine, (void **)&machine->effects, id, &machine->effect_capacity,
                         sizeof *machine->effects))
        return STEP_DEAD;
    machine->effects[id] = effect;
    return STEP_EFFECT | id;
}

static uint32_t step_new(struct cz_machine *machine, const struct cz_local *local, uint8_t byte)
{
    struct cz_step_list list = {0};
    step_kind(machine, local, byte, &list);
    uint32_t result = add_effect(machine, &list);
    cz_heap_free(list.items);
    return result;
}

/* In the middle of a flexible gap. */
static uint32_t step_in_gap(struct cz_machine *machine, const struct cz_local *local, uint8_t byte)
{
    if (!cz_is_blank(byte))
        return cz_gap_done(machine, GAP_EDGE, 0, local->b)
                   ? cz_local_step(machine, local->base, byte)
                   : STEP_DEAD;
    uint32_t state = cz_gap_step(machine, GAP_EDGE, 0, local->b, byte);
    return state == CZ_NO_GAP
               ? (uint32_t)STEP_DEAD
               : cz_local_add(machine, local->kind, local->a, state, local->c, local->d);
}

uint32_t cz_local_step(struct cz_machine *machine, uint32_t id, uint8_t byte)
{
    struct cz_local local = machine->locals[id];
    if (local.base)
        return step_in_gap(machine, &local, byte);
    if (!local.next) {
        if (!cz_table_make(machine, &local)) {
            cz_machine_fail_memory(machine);
            return STEP_DEAD;
        }
        machine->locals[id].next = local.next;
        machine->locals[id].classes = local.classes;
    }
    uint32_t *step = &local.next[local.classes[byte]];
    if (!*step)
        *step = step_new(machine, &local, byte);
    return *step;
}
