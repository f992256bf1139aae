/*
 * keyset.c - the keys that a formula names.
 *
 * They are told apart one by one; all others fall into classes by the patterns that they match.
 */
#include "constraint/machine.h"

#include "base/heap.h"

#include <stdlib.h>

struct collector {
    struct cz_machine *machine;
    cz_key *keys;
    uint32_t count, capacity;
    cz_expr *patterns;
    uint32_t pattern_count, pattern_capacity;
    uint8_t *known; /* [key_count] */
};

static void collect_key(struct collector *all, cz_key key)
{
    if (all->known[key])
        return;
    if (!cz_machine_grow(all->machine, (void **)&all->keys, all->count, &all->capacity,
                         sizeof *all->keys)) {
        cz_machine_fail_memory(all->machine);
        return;
    }
    all->known[key] = 1;
    all->keys[all->count++] = key;
}

static void collect_pattern(struct collector *all, cz_expr pattern)
{
    for (uint32_t i = 0; i < all->pattern_count; i++) {
        if (all->patterns[i] == pattern)
            return;
    }
    if (!cz_machine_grow(all->machine, (void **)&all->patterns, all->pattern_count,
                         &all->pattern_capacity, sizeof *all->patterns)) {
        cz_machine_fail_memory(all->machine);
        return;
    }
    all->patterns[all->pattern_count++] = pattern;
}

/* Declared keys first (pass 0), then those that are only required or forbidden (pass 1). */
static void collect(struct collector *all, cz_formula formula, int pass)
{
    struct cz_machine *machine = all->machine;
    const uint32_t *words = cz_formula_words(machine, formula);
    uint32_t size = cz_formula_size(machine, formula);
    if (cz_formula_is_list(words[0])) {
        for (uint32_t i = 1; i < size; i++) {
            if (cz_formula_visit(machine, words[i]))
                collect(all, words[i], pass);
        }
    } else if (words[0] == FORMULA_ALL || words[0] == FORMULA_SOME) {
        const struct cz_props *props = machine->props[words[1]];
        for (uint32_t i = 0; i < props->named_count && pass == 0; i++)
            collect_key(all, props->keys[i]);
        for (uint32_t i = 0; i < props->pattern_count && pass == 0; i++)
            collect_pattern(all, props->patterns[i]);
    } else if ((words[0] == FORMULA_REQUIRE || words[0] == FORMULA_FORBID) && pass == 1) {
        collect_key(all, words[1]);
    }
}

static int compare_ranks(const void *x, const void *y, void *context)
{
    const struct collector *all = context;
    return cz_slice_compare(all->machine->keys[all->keys[*(const uint32_t *)x]],
                            all->machine->keys[all->keys[*(const uint32_t *)y]]);
}

/* All keys but the declared ones. */
static cz_expr other_keys(struct cz_machine *machine, const struct cz_keyset *keyset)
{
    struct cz_expr_store *exprs = machine->exprs;
    struct cz_slice *texts = cz_heap_zeroed(keyset->count + 1, sizeof *texts);
    if (!texts) {
        cz_machine_fail_memory(machine);
        return CZ_EXPR_TEXT;
    }
    for (uint32_t i = 0; i < keyset->count; i++)
        texts[i] = machine->keys[keyset->keys[i]];
    cz_expr keys = cz_expr_literals(exprs, texts, keyset->count);
    cz_heap_free(texts);
    return cz_expr_minus(exprs, CZ_EXPR_TEXT, keys);
}

/* Cuts the language of all other keys into classes by pattern. Without patterns it is one class,
 * and made when it is first asked for. */
static void make_classes(struct cz_machine *machine, struct cz_keyset *keyset)
{
    struct cz_expr_store *exprs = machine->exprs;
    cz_expr classes[CZ_MACHINE_CLASSES] = {CZ_EXPR_NOTHING};
    uint64_t bits[CZ_MACHINE_CLASSES] = {0};
    uint32_t count = 1;
    if (keyset->pattern_count > 64) {
        cz_machine_fail(machine, CLOZE_LIMIT, NULL, "an object has more than 64 key patterns");
        return;
    }
    if (keyset->pattern_count)
        classes[0] = other_keys(machine, keyset);
    for (uint32_t p = 0; p < keyset->pattern_count; p++) {
        for (uint32_t i = 0, before = count; i < before; i++) {
            cz_expr inside = cz_expr_and(exprs, classes[i], keyset->patterns[p]);
            cz_expr outside = cz_expr_minus(exprs, classes[i], keyset->patterns[p]);
            if (!cz_expr_alive(exprs, inside))
                continue;
            if (!cz_expr_alive(exprs, outside)) {
                classes[i] = inside;
                bits[i] |= 1ull << p;
                continue;
            }
            if (count == CZ_MACHINE_CLASSES) {
                cz_machine_fail(machine, CLOZE_LIMIT, NULL,
                                "key patterns overlap in more than 64 ways");
                return;
            }
            classes[i] = outside;
            classes[count] = inside;
            bits[count++] = bits[i] | 1ull << p;
        }
    }
    keyset->classes = CZ_ARENA_ARRAY(&machine->arena, cz_expr, count);
    keyset->class_keys = CZ_ARENA_ARRAY(&machine->arena, cz_expr, count);
    keyset->class_bits = CZ_ARENA_ARRAY(&machine->arena, uint64_t, count);
    if (!keyset->classes || !keyset->class_keys || !keyset->class_bits) {
        cz_machine_fail_memory(machine);
        return;
    }
    memcpy(keyset->classes, classes, count * sizeof *classes);
    memcpy(keyset->class_bits, bits, count * sizeof *bits);
    keyset->class_count = count;
}

static struct cz_keyset *make_keyset(struct cz_machine *machine, struct collector *all)
{
    struct cz_keyset *keyset = CZ_ARENA_NEW(&machine->arena, struct cz_keyset);
    uint32_t *order = cz_heap_zeroed(all->count + 1, sizeof *order);
    if (!keyset || !order) {
        cz_heap_free(order);
        return NULL;
    }
    if (all->count > UINT16_MAX) {
        cz_machine_fail(machine, CLOZE_LIMIT, NULL, "an object has more than 65535 named keys");
        cz_heap_free(order);
        return NULL;
    }
    keyset->count = all->count;
    keyset->pattern_count = all->pattern_count;
    keyset->keys = CZ_ARENA_ARRAY(&machine->arena, cz_key, all->count + 1);
    keyset->ranks = CZ_ARENA_ARRAY(&machine->arena, uint32_t, all->count + 1);
    keyset->patterns = CZ_ARENA_ARRAY(&machine->arena, cz_expr, all->pattern_count + 1);
    if (keyset->keys && keyset->ranks && keyset->patterns) {
        for (uint32_t i = 0; i < all->count; i++)
            order[i] = i;
        qsort_r(order, all->count, sizeof *order, compare_ranks, all);
        for (uint32_t i = 0; i < all->count; i++) {
            keyset->keys[i] = all->keys[order[i]];
            keyset->ranks[i] = order[i];
        }
        if (all->pattern_count)
            memcpy(keyset->patterns, all->patterns, all->pattern_count * sizeof *all->patterns);
        make_classes(machine, keyset);
    } else {
        keyset = NULL;
    }
    cz_heap_free(order);
    return keyset;
}

static bool grow_keyset_of(struct cz_machine *machine, cz_formula formula)
{
    if (formula < machine->keyset_of_capacity)
        return true;
    uint32_t capacity = (formula + 64) * 2;
    uint32_t *larger = cz_heap_resize(machine->keyset_of, capacity * sizeof *larger);
    if (!larger)
        return false;
    memset(larger + machine->keyset_of_capacity, 0,
           (capacity - machine->keyset_of_capacity) * sizeof *larger);
    machine->keyset_of = larger;
    machine->keyset_of_capacity = capacity;
    return true;
}

const struct cz_keyset *cz_keyset_of(struct cz_machine *machine, cz_formula formula, uint32_t *id)
{
    if (!grow_keyset_of(machine, formula)) {
        cz_machine_fail_memory(machine);
        return NULL;
    }
    if (!machine->keyset_of[formula]) {
        struct collector all = {.machine = machine};
        all.known = cz_heap_zeroed(machine->key_count + 1, 1);
        struct cz_keyset *keyset = NULL;
        if (all.known) {
            machine->formula_stamp++;
            collect(&all, formula, 0);
            machine->formula_stamp++;
            collect(&all, formula, 1);
            keyset = machine->failed == CLOZE_OK ? make_keyset(machine, &all) : NULL;
        }
        cz_heap_free(all.known);
        cz_heap_free(all.keys);
        cz_heap_free(all.patterns);
        if (!keyset || !cz_machine_grow(machine, (void **)&machine->keysets, machine->keyset_count,
                                        &machine->keyset_capacity, sizeof *machine->keysets)) {
            cz_machine_fail_memory(machine);
            return NULL;
        }
        machine->keysets[machine->keyset_count++] = keyset;
        machine->keyset_of[formula] = machine->keyset_count;
    }
    *id = machine->keyset_of[formula] - 1;
    return machine->keysets[*id];
}

cz_expr cz_keyset_class(struct cz_machine *machine, uint32_t id, uint32_t class)
{
    struct cz_keyset *keyset = machine->keysets[id];
    if (keyset->classes[class] == CZ_EXPR_NOTHING)
        keyset->classes[class] = other_keys(machine, keyset);
    return keyset->classes[class];
}
