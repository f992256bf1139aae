/*
 * table.c - which bytes a local treats alike.
 *
 * A transition table has an entry for each class of bytes, which is worked out when one of them is
 * stepped first. Class 0 is what is known to lead nowhere, where there is such. Locals are many and
 * ways to class bytes few: these are interned.
 */
#include "constraint/machine.h"

struct classing {
    uint8_t of[256]; /* all 0 at first */
    unsigned count;
    bool dead; /* class 0 leads nowhere */
};

/* The class of a byte that is alike no other one. */
static uint32_t own_class(struct classing *classing, uint8_t byte)
{
    if (!classing->of[byte])
        classing->of[byte] = (uint8_t)classing->count++;
    return classing->of[byte];
}

static void own_classes(struct classing *classing, const char *bytes)
{
    for (; *bytes; bytes++)
        own_class(classing, (uint8_t)*bytes);
}

static void each_by_itself(struct classing *classing)
{
    for (unsigned i = 0; i < 256; i++)
        classing->of[i] = (uint8_t)i;
    classing->count = 256;
    classing->dead = false;
}

static void class_lexeme(struct cz_machine *machine, cz_expr expr, struct classing *classing)
{
    classing->dead = false;
    classing->count = cz_expr_classes(machine->exprs, expr, classing->of);
}

/* Bytes that lead to the same derivative lead to the same step, but for those that are no plain
 * text. */
static void class_text(struct cz_machine *machine, cz_expr expr, struct classing *classing)
{
    enum { SPECIAL = 3, MOST = 256 - 1 - SPECIAL };
    static const uint8_t special[SPECIAL] = {'"', '\\', 0xED};
    classing->count += cz_expr_classes(machine->exprs, expr, classing->of);
    if (classing->count > MOST) {
        each_by_itself(classing);
        return;
    }
    memset(classing->of, 0, 0x20);
    for (unsigned byte = 0x20; byte < 256; byte++)
        classing->of[byte]++;
    for (unsigned i = 0; i < SPECIAL; i++)
        classing->of[special[i]] = (uint8_t)classing->count++;
}

static void class_name(const struct cz_machine *machine, const struct cz_local *local,
                       struct classing *classing)
{
    const struct cz_keyset *keyset = machine->keysets[cz_object_get(machine, local->a).keyset];
    own_classes(classing, "\"\\");
    for (uint32_t i = local->b >> 16; i < (local->b & 0xFFFF); i++) {
        struct cz_slice key = machine->keys[keyset->keys[i]];
        if (key.size > local->c)
            own_class(classing, (uint8_t)key.data[local->c]);
    }
}

static void class_string(struct cz_machine *machine, const struct cz_local *local, uint32_t escape,
                         struct classing *classing)
{
    const char *candidates = cz_string_candidates(escape);
    if (candidates)
        own_classes(classing, candidates);
    else if (escape)
        each_by_itself(classing);
    else if (local->kind == LOCAL_NAME)
        class_name(machine, local, classing);
    else
        class_text(machine, local->a, classing);
}

/* What values of these targets begin with. */
static void class_targets(struct cz_machine *machine, uint32_t targets, struct classing *classing)
{
    struct cz_typed any = {0};
    for (uint32_t i = 0; i < cz_intern_size(&machine->targets, targets); i += 2) {
        struct cz_typed typed =
            cz_value_expand(machine, cz_intern_get(&machine->targets, targets)[i]);
        any.literals |= typed.literals;
        any.number |= typed.number;
        any.string |= typed.string;
        any.array |= typed.array;
        any.object |= typed.object;
    }
    for (uint32_t i = 0; i < 3; i++) {
        if (any.literals >> i & 1)
            own_class(classing, (uint8_t)CZ_LITERALS[i][0]);
    }
    if (any.string != CZ_EXPR_NOTHING)
        own_class(classing, '"');
    if (any.array != CZ_FORMULA_FALSE)
        own_class(classing, '[');
    if (any.object != CZ_FORMULA_FALSE)
        own_class(classing, '{');
    if (any.number != CZ_NUMBERS_NONE)
        own_classes(classing, "-0123456789");
}

/* Between the parts of a document only a few bytes lead on. */
static void class_structure(struct cz_machine *machine, const struct cz_local *local,
                            struct classing *classing)
{
    uint32_t targets = UINT32_MAX;
    own_classes(classing, " \t\n\r");
    switch (local->kind) {
    case LOCAL_TARGETS:
        targets = local->a;
        break;
    case LOCAL_ARRAY_OPEN:
        targets = cz_array_targets(machine, local->a);
        own_classes(classing, "]");
        break;
    case LOCAL_OBJECT_OPEN:
        own_classes(classing, "}\"");
        break;
    case LOCAL_OBJECT_KEY:
        own_classes(classing, "\"");
        break;
    case LOCAL_COLON:
        own_classes(classing, ":");
        break;
    case LOCAL_OBJECT_AFTER:
        own_classes(classing, ",}");
        break;
    case LOCAL_ARRAY_AFTER:
        own_classes(classing, ",]");
        break;
    default:
        break;
    }
    if (targets != UINT32_MAX)
        class_targets(machine, targets, classing);
}

static void class_bytes(struct cz_machine *machine, const struct cz_local *local,
                        struct classing *classing)
{
    switch (local->kind) {
    case LOCAL_LITERAL:
        own_class(classing, (uint8_t)CZ_LITERALS[local->a][local->b]);
        break;
    case LOCAL_NUMBER:
        classing->dead = false;
        own_classes(classing, "+-.0123456789eE");
        break;
    case LOCAL_NAME:
        class_string(machine, local, local->d, classing);
        break;
    case LOCAL_STRING:
        class_string(machine, local, local->b, classing);
        break;
    case LOCAL_LEXEME:
        class_lexeme(machine, local->a, classing);
        break;
    case LOCAL_SYMBOL:
        each_by_itself(classing);
        break;
    case LOCAL_DEAD:
    case LOCAL_TOKEN:
        break;
    default:
        class_structure(machine, local, classing);
        break;
    }
}

/* The classes' own place, where they stay; NULL without memory. */
static const uint8_t *intern_classes(struct cz_machine *machine, uint32_t kind, const uint8_t *of)
{
    uint32_t words[64];
    bool added;
    if (machine->last_classes[kind] && memcmp(machine->last_classes[kind], of, sizeof words) == 0)
        return machine->last_classes[kind];
    memcpy(words, of, sizeof words);
    uint32_t id = cz_intern_add(&machine->class_keys, words, 64, &added);
    if (id == UINT32_MAX || !cz_machine_grow(machine, (void **)&machine->classes, id,
                                             &machine->classes_capacity, sizeof *machine->classes))
        return NULL;
    if (added) {
        uint8_t *copy = CZ_ARENA_ARRAY(&machine->arena, uint8_t, 256);
        if (copy)
            memcpy(copy, of, 256);
        machine->classes[id] = copy;
    }
    return machine->last_classes[kind] = machine->classes[id];
}

bool cz_table_make(struct cz_machine *machine, struct cz_local *local)
{
    struct classing classing = {.count = 1, .dead = true};
    class_bytes(machine, local, &classing);
    local->classes = intern_classes(machine, local->kind, classing.of);
    local->next = CZ_ARENA_ARRAY(&machine->arena, uint32_t, classing.count);
    if (!local->classes || !local->next)
        return false;
    if (classing.dead)
        local->next[0] = STEP_DEAD;
    for (const char *blank = " \t\n\r"; *blank && cz_local_in_gap(machine, local->kind); blank++)
        local->next[local->classes[(uint8_t)*blank]] =
            local->kind == LOCAL_END && local->a ? STEP_DEAD : STEP_GAP;
    return true;
}
