/*
 * container.c - objects under way: which keys and values may come next, and whether the object can
 * still be completed; and how many values there are of a kind.
 *
 * What an object may do next is its plan, made on first need.
 */
#include "constraint/machine.h"

#include "base/heap.h"

enum { UNKNOWN, ALIVE, DEAD, OPEN };

struct object_facts {
    struct cz_plan *plan;
    uint32_t witness; /* bits of the keys that some completion consists of, + 1; 0: not known */
    uint8_t alive;
};

static bool declared_order(const struct cz_machine *machine)
{
    return machine->options.policy == CZ_POLICY_GENERATE;
}

/* ---- Objects ---- */

uint32_t cz_object_add(struct cz_machine *machine, const struct cz_object *object)
{
    bool added;
    const uint32_t words[7] = {object->formula, object->keyset, object->position, object->seen,
                               object->extra,   object->depth,  object->open};
    uint32_t id = cz_intern_add(&machine->objects, words, 7, &added);
    if (id == UINT32_MAX ||
        (added && !cz_machine_grow(machine, (void **)&machine->object_facts, id,
                                   &machine->object_facts_capacity,
                                   sizeof *machine->object_facts))) {
        cz_machine_fail_memory(machine);
        return UINT32_MAX;
    }
    if (added)
        machine->object_facts[id] = (struct object_facts){0};
    return id;
}

struct cz_object cz_object_get(const struct cz_machine *machine, uint32_t id)
{
    const uint32_t *words = cz_intern_get(&machine->objects, id);
    return (struct cz_object){words[0], words[1], words[2], words[3], words[4], words[5], words[6]};
}

static bool bits_have(const struct cz_machine *machine, uint32_t bits, uint32_t index)
{
    return index / 32 < cz_intern_size(&machine->bits, bits) &&
           (cz_intern_get(&machine->bits, bits)[index / 32] >> index % 32 & 1);
}

static bool seen_has(const struct cz_machine *machine, const struct cz_object *object, uint32_t index)
{
    if (machine->keysets[object->keyset]->ranks[index] < object->position)
        return true;
    return bits_have(machine, object->seen, index);
}

static uint32_t seen_flip(struct cz_machine *machine, uint32_t seen, uint32_t index)
{
    uint32_t size = cz_intern_size(&machine->bits, seen), wanted = index / 32 + 1;
    uint32_t count = size > wanted ? size : wanted;
    uint32_t *bits = cz_heap_zeroed(count, sizeof *bits);
    if (!bits) {
        cz_machine_fail_memory(machine);
        return seen;
    }
    if (size)
        memcpy(bits, cz_intern_get(&machine->bits, seen), size * sizeof *bits);
    bits[index / 32] ^= 1u << index % 32;
    uint32_t id = cz_intern_add(&machine->bits, bits, count, NULL);
    cz_heap_free(bits);
    return id;
}

static uint32_t seen_add(struct cz_machine *machine, uint32_t seen, uint32_t index)
{
    return bits_have(machine, seen, index) ? seen : seen_flip(machine, seen, index);
}

uint32_t cz_object_start(struct cz_machine *machine, cz_formula formula, uint32_t depth)
{
    struct cz_object object = {.formula = formula, .extra = CZ_EXPR_NOTHING, .depth = depth};
    if (!cz_keyset_of(machine, formula, &object.keyset))
        return UINT32_MAX;
    object.seen = cz_intern_add(&machine->bits, NULL, 0, NULL);
    object.open = !declared_order(machine) || machine->options.open_objects ||
                  !cz_formula_closing(machine, formula);
    for (; object.open <= 1; object.open++) {
        uint32_t id = cz_object_add(machine, &object);
        if (id != UINT32_MAX && cz_object_alive(machine, id))
            return id;
    }
    return UINT32_MAX;
}

/* The object after one more member. */
static uint32_t object_after(struct cz_machine *machine, struct cz_object object,
                             const struct cz_member *member, uint32_t index, cz_formula rest)
{
    const struct cz_keyset *keyset = machine->keysets[object.keyset];
    object.formula = rest;
    if (declared_order(machine))
        object.position = member->key == UINT32_MAX ? keyset->count : keyset->ranks[index] + 1;
    else if (member->key != UINT32_MAX)
        object.seen = seen_add(machine, object.seen, index);
    return cz_object_add(machine, &object);
}

static uint32_t key_index(const struct cz_machine *machine, const struct cz_keyset *keyset,
                          cz_key key)
{
    uint32_t low = 0, high = keyset->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (cz_slice_compare(machine->keys[keyset->keys[middle]], machine->keys[key]) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < keyset->count && keyset->keys[low] == key ? low : UINT32_MAX;
}

/* The undeclared keys of a class that may still come. */
static cz_expr class_language(struct cz_machine *machine, const struct cz_object *object,
                              uint32_t class)
{
    cz_expr language = cz_keyset_class(machine, object->keyset, class);
    return object->extra == CZ_EXPR_NOTHING ? language
                                            : cz_expr_minus(machine->exprs, language, object->extra);
}

/* ---- Is there a completion: conjunctions of simple leaves directly ---- */

struct conjunction {
    uint32_t minimum, maximum;
    uint32_t required;
    bool simple;
};

static bool leaf_is_simple(uint32_t kind)
{
    return kind == FORMULA_ALL || kind == FORMULA_REQUIRE || kind == FORMULA_FORBID ||
           kind == FORMULA_COUNT || kind == FORMULA_TRUE;
}

static void conjunction_leaf(const uint32_t *words, struct conjunction *all)
{
    all->simple &= leaf_is_simple(words[0]);
    all->required += words[0] == FORMULA_REQUIRE;
    if (words[0] == FORMULA_COUNT)
        all->minimum = words[1], all->maximum = words[2];
}

static struct conjunction conjunction_of(const struct cz_machine *machine, cz_formula formula)
{
    struct conjunction all = {.maximum = CZ_COUNT_UNBOUNDED, .simple = true};
    const uint32_t *words = cz_formula_words(machine, formula);
    uint32_t size = cz_formula_size(machine, formula);
    if (words[0] != FORMULA_AND) {
        conjunction_leaf(words, &all);
        return all;
    }
    for (uint32_t i = 1; i < size; i++)
        conjunction_leaf(cz_formula_words(machine, words[i]), &all);
    return all;
}

/* What a member's value must be by all ALL leaves of a conjunction; NONE when it is forbidden. */
static cz_value member_value(struct cz_machine *machine, cz_formula formula,
                             const struct cz_member *member)
{
    cz_value value = CZ_VALUE_ANY;
    uint32_t size = cz_formula_size(machine, formula);
    bool list = cz_formula_kind(machine, formula) == FORMULA_AND;
    for (uint32_t i = list; i < (list ? size : 1); i++) {
        cz_formula leaf = list ? cz_formula_words(machine, formula)[i] : formula;
        const uint32_t *words = cz_formula_words(machine, leaf);
        if (words[0] == FORMULA_ALL)
            value = cz_value_and(machine, value, cz_props_value(machine, words[1], member));
        else if (words[0] == FORMULA_FORBID && words[1] == member->key)
            return CZ_VALUE_NONE;
    }
    return value;
}

static bool required_alive(struct cz_machine *machine, const struct cz_object *object)
{
    const struct cz_keyset *keyset = machine->keysets[object->keyset];
    cz_formula formula = object->formula;
    bool list = cz_formula_kind(machine, formula) == FORMULA_AND;
    uint32_t size = list ? cz_formula_size(machine, formula) : 1;
    for (uint32_t i = list; i < size; i++) {
        const uint32_t *words =
            cz_formula_words(machine, list ? cz_formula_words(machine, formula)[i] : formula);
        if (words[0] != FORMULA_REQUIRE)
            continue;
        struct cz_member member = {.key = words[1]};
        uint32_t index = key_index(machine, keyset, words[1]);
        if (index == UINT32_MAX || seen_has(machine, object, index) ||
            !cz_value_alive(machine, member_value(machine, formula, &member)))
            return false;
    }
    return true;
}

/* How many more members could be added, at most `limit`. */
static uint32_t available(struct cz_machine *machine, const struct cz_object *object, uint32_t limit)
{
    const struct cz_keyset *keyset = machine->keysets[object->keyset];
    size_t count = 0;
    for (uint32_t c = 0; c < keyset->class_count && object->open && count < limit; c++) {
        struct cz_member member = {UINT32_MAX, keyset, c};
        if (cz_value_alive(machine, member_value(machine, object->formula, &member)))
            count += cz_expr_count(machine->exprs, class_language(machine, object, c), limit);
    }
    for (uint32_t i = 0; i < keyset->count && count < limit; i++) {
        struct cz_member member = {.key = keyset->keys[i]};
        count += !seen_has(machine, object, i) &&
                 cz_value_alive(machine, member_value(machine, object->formula, &member));
    }
    return count < limit ? (uint32_t)count : limit;
}

/* ---- ... and anything else by search ---- */

/* Past the largest number that can be told apart, no member is known to be of no use. */
static bool wants_less(const struct cz_machine *machine, cz_formula formula, uint64_t before)
{
    return before == UINT64_MAX || cz_formula_wants(machine, formula) < before;
}

/* The completion that is known of an object, and one key more. */
static uint32_t witness_with(struct cz_machine *machine, uint32_t id, uint32_t index)
{
    uint32_t witness = machine->object_facts[id].witness;
    return witness ? seen_add(machine, witness - 1, index) + 1 : 0;
}

/* Whether some reading of this member leads to an object that can be completed, and how. */
static bool try_member(struct cz_machine *machine, const struct cz_object *object,
                       const struct cz_member *member, uint32_t index, uint32_t *witness)
{
    struct cz_pairs pairs = {0};
    uint64_t before = cz_formula_wants(machine, object->formula);
    bool found = false;
    cz_formula_member(machine, object->formula, member, &pairs);
    for (uint32_t i = 0; i < pairs.count && !found && machine->failed == CLOZE_OK; i++) {
        if (!wants_less(machine, pairs.items[i].rest, before) ||
            !cz_value_alive(machine, pairs.items[i].value))
            continue;
        struct cz_object next = *object;
        next.formula = pairs.items[i].rest;
        if (member->key != UINT32_MAX)
            next.seen = seen_add(machine, next.seen, index);
        uint32_t id = cz_object_add(machine, &next);
        found = id != UINT32_MAX && cz_object_alive(machine, id);
        if (found)
            *witness = member->key == UINT32_MAX ? 0 : witness_with(machine, id, index);
    }
    cz_pairs_free(&pairs);
    return found;
}

static bool try_key(struct cz_machine *machine, const struct cz_object *object, cz_key key,
                    uint32_t *witness)
{
    struct cz_member member = {.key = key};
    uint32_t index = key_index(machine, machine->keysets[object->keyset], key);
    return index != UINT32_MAX && !seen_has(machine, object, index) &&
           try_member(machine, object, &member, index, witness);
}

/* A shortest undeclared key of a class, as an expression; CZ_EXPR_NOTHING when there is none left.
 * Remembered where no such key was seen yet. */
static cz_expr class_key(struct cz_machine *machine, const struct cz_object *object, uint32_t class)
{
    struct cz_keyset *keyset = machine->keysets[object->keyset];
    struct cz_buffer text = {0};
    cz_expr key = object->extra == CZ_EXPR_NOTHING ? keyset->class_keys[class] : CZ_EXPR_NOTHING;
    if (key != CZ_EXPR_NOTHING)
        return key;
    if (cz_expr_shortest(machine->exprs, class_language(machine, object, class), &text))
        key = cz_expr_literal(machine->exprs, cz_buffer_slice(&text));
    if (object->extra == CZ_EXPR_NOTHING)
        keyset->class_keys[class] = key;
    cz_buffer_free(&text);
    return key;
}

/* Tries one undeclared key of a class. */
static bool try_class(struct cz_machine *machine, const struct cz_object *object, uint32_t class)
{
    struct cz_member member = {UINT32_MAX, machine->keysets[object->keyset], class};
    struct cz_object with = *object;
    cz_expr key = class_key(machine, object, class);
    uint32_t witness;
    with.extra = cz_expr_or(machine->exprs, with.extra, key);
    return key != CZ_EXPR_NOTHING && try_member(machine, &with, &member, 0, &witness);
}

/* Tries the members that may break what the leaf says of all. */
static bool try_breaking(struct cz_machine *machine, const struct cz_object *object, uint32_t id,
                         uint32_t *witness)
{
    const struct cz_keyset *keyset = machine->keysets[object->keyset];
    const struct cz_props *props = machine->props[id];
    if (props->pattern_count == 0 && props->other == CZ_VALUE_ANY) {
        for (uint32_t i = 0; i < props->named_count; i++) {
            if (props->values[i] != CZ_VALUE_ANY && try_key(machine, object, props->keys[i], witness))
                return true;
        }
        return false;
    }
    for (uint32_t i = 0; i < keyset->count; i++) {
        struct cz_member member = {.key = keyset->keys[i]};
        if (cz_props_value(machine, id, &member) != CZ_VALUE_ANY &&
            try_key(machine, object, keyset->keys[i], witness))
            return true;
    }
    for (uint32_t c = 0; c < keyset->class_count && object->open; c++) {
        struct cz_member member = {UINT32_MAX, keyset, c};
        if (cz_props_value(machine, id, &member) != CZ_VALUE_ANY && try_class(machine, object, c))
            return true;
    }
    return false;
}

/* Tries every member that may come. */
static bool try_any(struct cz_machine *machine, const struct cz_object *object, uint32_t *witness)
{
    const struct cz_keyset *keyset = machine->keysets[object->keyset];
    for (uint32_t c = 0; c < keyset->class_count && object->open; c++) {
        if (try_class(machine, object, c))
            return true;
    }
    for (uint32_t i = 0; i < keyset->count; i++) {
        if (try_key(machine, object, keyset->keys[i], witness))
            return true;
    }
    return false;
}

/* A conjunction of leaves, some of which want a member that breaks a rule. The order of members does
 * not matter for whether there are any: what is required is read first, then whatever may serve the
 * first such leaf. Where it must only differ from constants, any member may. */
static bool search_alive(struct cz_machine *machine, const struct cz_object *object,
                         uint32_t *witness)
{
    cz_formula formula = object->formula;
    bool list = cz_formula_kind(machine, formula) == FORMULA_AND;
    uint32_t size = list ? cz_formula_size(machine, formula) : 1;
    uint32_t required = UINT32_MAX, some = UINT32_MAX;
    for (uint32_t i = size; i-- > list;) {
        const uint32_t *words =
            cz_formula_words(machine, list ? cz_formula_words(machine, formula)[i] : formula);
        if (words[0] == FORMULA_REQUIRE)
            required = words[1];
        else if (words[0] == FORMULA_SOME)
            some = words[1];
    }
    if (!cz_machine_burn(machine, 1))
        return false;
    if (required != UINT32_MAX)
        return try_key(machine, object, required, witness);
    return some != UINT32_MAX ? try_breaking(machine, object, some, witness)
                              : try_any(machine, object, witness);
}

struct attempt {
    struct cz_object object;
    uint32_t *witness;
};

static bool alternative_alive(struct cz_machine *machine, cz_formula formula, void *context)
{
    struct attempt *attempt = context;
    struct cz_object object = attempt->object;
    object.formula = formula;
    uint32_t id = cz_object_add(machine, &object);
    bool alive = id != UINT32_MAX && cz_machine_burn(machine, 1) && cz_object_alive(machine, id);
    if (alive)
        *attempt->witness = machine->object_facts[id].witness;
    return alive;
}

/* The keys that a conjunction requires. */
static uint32_t required_bits(struct cz_machine *machine, const struct cz_object *object)
{
    const struct cz_keyset *keyset = machine->keysets[object->keyset];
    bool list = cz_formula_kind(machine, object->formula) == FORMULA_AND;
    uint32_t size = list ? cz_formula_size(machine, object->formula) : 1;
    uint32_t bits = cz_intern_add(&machine->bits, NULL, 0, NULL);
    for (uint32_t i = list; i < size; i++) {
        const uint32_t *words = cz_formula_words(
            machine, list ? cz_formula_words(machine, object->formula)[i] : object->formula);
        if (words[0] == FORMULA_REQUIRE)
            bits = seen_add(machine, bits, key_index(machine, keyset, words[1]));
    }
    return bits;
}

static bool object_alive(struct cz_machine *machine, uint32_t id, uint32_t *witness)
{
    struct cz_object object = cz_object_get(machine, id);
    struct attempt attempt = {object, witness};
    struct conjunction all = conjunction_of(machine, object.formula);
    bool alive;
    if (cz_formula_nullable(machine, object.formula)) {
        *witness = cz_intern_add(&machine->bits, NULL, 0, NULL) + 1;
        return true;
    }
    if (all.required > all.maximum || !required_alive(machine, &object))
        return false;
    if (cz_formula_branch(machine, object.formula, alternative_alive, &attempt, &alive))
        return alive;
    if (!all.simple)
        return search_alive(machine, &object, witness);
    if (all.minimum > all.required)
        return available(machine, &object, all.minimum) >= all.minimum;
    *witness = required_bits(machine, &object) + 1;
    return true;
}

/* Whether an object that is alive stays so by a member that leaves the formula as it is, or drops
 * conjuncts: the completion that is known is one of the rest, too, when it does not hold the key, or
 * when nothing hangs on there being a member of that value. */
static bool stays_alive(struct cz_machine *machine, uint32_t before, uint32_t after, uint32_t index)
{
    struct object_facts *facts = &machine->object_facts[before];
    cz_formula old = cz_object_get(machine, before).formula;
    cz_formula new = cz_object_get(machine, after).formula;
    if (facts->alive != ALIVE || !facts->witness || declared_order(machine))
        return false;
    bool held = bits_have(machine, facts->witness - 1, index);
    if ((old != new && !cz_formula_weaker(machine, new, old)) ||
        (held && cz_formula_counts(machine, new)))
        return false;
    uint32_t witness = facts->witness - 1;
    if (held)
        witness = seen_flip(machine, witness, index);
    machine->object_facts[after].alive = ALIVE;
    machine->object_facts[after].witness = witness + 1;
    return true;
}

bool cz_object_alive(struct cz_machine *machine, uint32_t id)
{
    struct object_facts *facts = &machine->object_facts[id];
    if (facts->alive == ALIVE || facts->alive == DEAD)
        return facts->alive == ALIVE;
    if (machine->depth >= CZ_MACHINE_DEPTH) {
        cz_machine_fail(machine, CLOZE_LIMIT, NULL, "required members nest too deeply");
        return false;
    }
    uint32_t outer = machine->cycle_depth;
    machine->cycle_depth = UINT32_MAX;
    machine->depth++;
    uint32_t witness = 0;
    bool alive = object_alive(machine, id, &witness);
    machine->depth--;
    if (machine->failed == CLOZE_OK && (alive || machine->cycle_depth == UINT32_MAX)) {
        machine->object_facts[id].alive = alive ? ALIVE : DEAD;
        machine->object_facts[id].witness = witness;
    }
    if (alive || machine->cycle_depth > outer)
        machine->cycle_depth = outer;
    return alive;
}

/* ---- Targets and plans ---- */

uint32_t cz_targets_add(struct cz_machine *machine, const uint32_t *words, uint32_t count)
{
    uint32_t id = count ? cz_intern_add(&machine->targets, words, count, NULL) : UINT32_MAX;
    return id;
}

/* The live pairs of one member as targets; UINT32_MAX when there are none. */
/* Whether the object can be completed behind a member. An undeclared key is not known yet; the keys of
 * a class are alike, so any one of them stands for it: it can't come again. */
static bool alive_behind(struct cz_machine *machine, uint32_t id, const struct cz_member *member)
{
    struct cz_object object = cz_object_get(machine, id);
    if (!cz_object_alive(machine, id))
        return false;
    if (member->key != UINT32_MAX || cz_formula_nullable(machine, object.formula))
        return true;
    object.extra = cz_expr_or(machine->exprs, object.extra,
                              class_key(machine, &object, member->class));
    id = cz_object_add(machine, &object);
    return id != UINT32_MAX && cz_object_alive(machine, id);
}

static uint32_t member_targets(struct cz_machine *machine, uint32_t id,
                               const struct cz_member *member, uint32_t index)
{
    struct cz_object object = cz_object_get(machine, id);
    struct cz_pairs pairs = {0};
    uint32_t count = 0;
    cz_formula_member(machine, object.formula, member, &pairs);
    uint32_t *words = cz_heap_alloc((pairs.count * 2 + 1) * sizeof *words);
    for (uint32_t i = 0; words && i < pairs.count; i++) {
        if (!cz_value_alive(machine, pairs.items[i].value))
            continue;
        uint32_t next = object_after(machine, object, member, index, pairs.items[i].rest);
        if (next == UINT32_MAX || !(stays_alive(machine, id, next, index) ||
                                    alive_behind(machine, next, member)))
            continue;
        words[count++] = pairs.items[i].value;
        words[count++] = cz_local_add(machine, LOCAL_OBJECT_AFTER, next, 0, 0, 0);
    }
    uint32_t targets = words ? cz_targets_add(machine, words, count) : UINT32_MAX;
    cz_heap_free(words);
    cz_pairs_free(&pairs);
    return targets;
}

uint32_t cz_object_targets(struct cz_machine *machine, uint32_t id, uint32_t index)
{
    struct cz_plan *plan = machine->object_facts[id].plan;
    if (!plan)
        return UINT32_MAX;
    if (plan->targets[index] == UINT32_MAX) {
        uint32_t keyset = cz_object_get(machine, id).keyset;
        struct cz_member member = {.key = machine->keysets[keyset]->keys[index]};
        plan->targets[index] = member_targets(machine, id, &member, index);
    }
    return plan->targets[index];
}

uint32_t cz_object_useful(struct cz_machine *machine, uint32_t id, uint32_t targets)
{
    uint32_t count = 0;
    if (targets == UINT32_MAX)
        return targets;
    uint64_t before = cz_formula_wants(machine, cz_object_get(machine, id).formula);
    uint32_t size = cz_intern_size(&machine->targets, targets);
    uint32_t *words = cz_heap_alloc((size + 1) * sizeof *words);
    for (uint32_t i = 0; words && i < size; i += 2) {
        const uint32_t *pair = cz_intern_get(&machine->targets, targets) + i;
        uint32_t object = machine->locals[pair[1]].a;
        if (!wants_less(machine, cz_object_get(machine, object).formula, before))
            continue;
        words[count++] = pair[0];
        words[count++] = pair[1];
    }
    uint32_t useful = words ? cz_targets_add(machine, words, count) : UINT32_MAX;
    cz_heap_free(words);
    return useful;
}

/* The undeclared keys: classes with equal targets are one language. */
static void plan_others(struct cz_machine *machine, uint32_t id, struct cz_plan *plan)
{
    struct cz_object object = cz_object_get(machine, id);
    const struct cz_keyset *keyset = machine->keysets[object.keyset];
    for (uint32_t c = 0; c < keyset->class_count && object.open; c++) {
        struct cz_member member = {UINT32_MAX, keyset, c};
        uint32_t targets = member_targets(machine, id, &member, 0);
        if (targets == UINT32_MAX)
            continue;
        cz_expr language = class_language(machine, &object, c);
        if (!cz_expr_alive(machine->exprs, language))
            continue;
        uint32_t at = 0;
        while (at < plan->other_count && plan->other_targets[at] != targets)
            at++;
        if (at == plan->other_count) {
            plan->others[at] = language;
            plan->other_targets[at] = targets;
            plan->other_count++;
        } else {
            plan->others[at] = cz_expr_or(machine->exprs, plan->others[at], language);
        }
    }
}

/* The smallest rank of a required key; keys behind it would leave it out. */
static uint32_t first_required(const struct cz_machine *machine, const struct cz_object *object)
{
    const struct cz_keyset *keyset = machine->keysets[object->keyset];
    bool list = cz_formula_kind(machine, object->formula) == FORMULA_AND;
    uint32_t size = list ? cz_formula_size(machine, object->formula) : 1, smallest = UINT32_MAX;
    for (uint32_t i = list; i < size; i++) {
        const uint32_t *words = cz_formula_words(
            machine, list ? cz_formula_words(machine, object->formula)[i] : object->formula);
        uint32_t index =
            words[0] == FORMULA_REQUIRE ? key_index(machine, keyset, words[1]) : UINT32_MAX;
        if (index != UINT32_MAX && keyset->ranks[index] < smallest)
            smallest = keyset->ranks[index];
    }
    return smallest;
}

/* In a conjunction of simple leaves that can be completed, most keys leave it so: what counts is the
 * key's value, the order, and room for what is required. */
static bool key_allowed(struct cz_machine *machine, uint32_t id, const struct cz_object *object,
                        const struct conjunction *all, uint32_t smallest, uint32_t index)
{
    const struct cz_keyset *keyset = machine->keysets[object->keyset];
    bool declared = declared_order(machine);
    if (seen_has(machine, object, index) || (declared && keyset->ranks[index] > smallest))
        return false;
    if (!all->simple || all->maximum <= all->required || (declared && all->minimum))
        return cz_object_targets(machine, id, index) != UINT32_MAX;
    struct cz_member member = {.key = keyset->keys[index]};
    return cz_value_alive(machine, member_value(machine, object->formula, &member));
}

struct cz_plan *cz_object_plan(struct cz_machine *machine, uint32_t id)
{
    if (machine->object_facts[id].plan)
        return machine->object_facts[id].plan;
    struct cz_object object = cz_object_get(machine, id);
    const struct cz_keyset *keyset = machine->keysets[object.keyset];
    struct cz_plan *plan = CZ_ARENA_NEW(&machine->arena, struct cz_plan);
    if (!plan) {
        cz_machine_fail_memory(machine);
        return NULL;
    }
    plan->allowed = CZ_ARENA_ARRAY(&machine->arena, uint64_t, keyset->count / 64 + 1);
    plan->targets = CZ_ARENA_ARRAY(&machine->arena, uint32_t, keyset->count + 1);
    plan->others = CZ_ARENA_ARRAY(&machine->arena, cz_expr, keyset->class_count + 1);
    plan->other_targets = CZ_ARENA_ARRAY(&machine->arena, uint32_t, keyset->class_count + 1);
    if (!plan->allowed || !plan->targets || !plan->others || !plan->other_targets) {
        cz_machine_fail_memory(machine);
        return NULL;
    }
    memset(plan->targets, 0xFF, (keyset->count + 1) * sizeof *plan->targets);
    machine->object_facts[id].plan = plan;
    plan->may_close = cz_formula_nullable(machine, object.formula);
    struct conjunction all = conjunction_of(machine, object.formula);
    uint32_t smallest = all.simple && all.required ? first_required(machine, &object) : UINT32_MAX;
    for (uint32_t i = 0; i < keyset->count; i++) {
        if (key_allowed(machine, id, &object, &all, smallest, i))
            plan->allowed[i / 64] |= 1ull << i % 64;
    }
    plan_others(machine, id, plan);
    return plan;
}

/* ---- Probing ---- */

static void probe_targets(struct cz_machine *machine, uint32_t targets, uint32_t *queue,
                          uint32_t *count, uint32_t limit)
{
    if (targets == UINT32_MAX)
        return;
    for (uint32_t i = 1; i < cz_intern_size(&machine->targets, targets); i += 2) {
        uint32_t next = machine->locals[cz_intern_get(&machine->targets, targets)[i]].a;
        bool known = *count >= limit;
        for (uint32_t j = 0; j < *count && !known; j++)
            known = queue[j] == next;
        if (!known)
            queue[(*count)++] = next;
    }
}

void cz_object_probe(struct cz_machine *machine, cz_formula formula)
{
    enum { STATES = 3 }; /* each is as much work as its first mask */
    uint32_t queue[STATES], count = 0;
    if (formula <= CZ_FORMULA_TRUE || conjunction_of(machine, formula).simple)
        return;
    uint32_t start = cz_object_start(machine, formula, 0);
    if (start != UINT32_MAX)
        queue[count++] = start;
    for (uint32_t at = 0; at < count && machine->failed == CLOZE_OK; at++) {
        struct cz_plan *plan = cz_object_plan(machine, queue[at]);
        uint32_t keys = machine->keysets[cz_object_get(machine, queue[at]).keyset]->count;
        for (uint32_t i = 0; plan && i < keys && machine->failed == CLOZE_OK; i++)
            probe_targets(machine, cz_object_targets(machine, queue[at], i), queue, &count, STATES);
        for (uint32_t i = 0; plan && i < plan->other_count; i++)
            probe_targets(machine, plan->other_targets[i], queue, &count, STATES);
    }
}

/* ---- Counting ---- */

static size_t product(size_t a, size_t b, size_t limit)
{
    return a == 0 || b == 0 ? 0 : a > limit / b ? limit : a * b;
}

/* Arrays of one fixed length; any other array formula counts as endless. */
static size_t array_count(struct cz_machine *machine, cz_formula formula, size_t limit)
{
    const uint32_t *words = cz_formula_words(machine, formula);
    uint32_t size = cz_formula_size(machine, formula), length = UINT32_MAX;
    for (uint32_t i = 1; words[0] == FORMULA_AND && i < size; i++) {
        const uint32_t *leaf = cz_formula_words(machine, words[i]);
        if (leaf[0] == FORMULA_COUNT && leaf[1] == leaf[2])
            length = leaf[1];
    }
    if (words[0] == FORMULA_COUNT && words[2] == 0)
        return 1;
    if (length == UINT32_MAX)
        return limit;
    size_t total = 1;
    bool last = false;
    for (uint32_t i = 0; i < length && total < limit; i++)
        total = product(total, cz_value_count(machine, cz_array_ahead(machine, formula, i, &last), limit),
                        limit);
    return total;
}

/* Objects with one fixed set of keys; any other object formula counts as endless. */
static size_t object_count(struct cz_machine *machine, cz_formula formula, size_t limit)
{
    struct conjunction all = conjunction_of(machine, formula);
    uint32_t size = cz_formula_size(machine, formula);
    if (all.simple && all.maximum == 0)
        return 1;
    if (!all.simple || all.required != all.maximum)
        return limit;
    size_t total = 1;
    for (uint32_t i = 1; i < size && total < limit; i++) {
        const uint32_t *words =
            cz_formula_words(machine, cz_formula_words(machine, formula)[i]);
        struct cz_member member = {.key = words[1]};
        if (words[0] == FORMULA_REQUIRE)
            total = product(total,
                            cz_value_count(machine, member_value(machine, formula, &member), limit),
                            limit);
    }
    return total;
}

size_t cz_value_count(struct cz_machine *machine, cz_value value, size_t limit)
{
    if (!cz_value_alive(machine, value))
        return 0;
    if (machine->depth >= CZ_MACHINE_DEPTH)
        return limit;
    machine->depth++;
    struct cz_typed typed = cz_value_expand(machine, value);
    size_t total = (size_t)__builtin_popcount(typed.literals);
    total += cz_numbers_count(machine->numbers, typed.number, limit);
    if (total < limit)
        total += cz_expr_count(machine->exprs, typed.string, limit);
    if (total < limit && typed.array && cz_array_alive(machine, typed.array))
        total += array_count(machine, typed.array, limit);
    if (total < limit && typed.object &&
        (typed.object == CZ_FORMULA_TRUE ||
         cz_object_start(machine, typed.object, 0) != UINT32_MAX))
        total += typed.object == CZ_FORMULA_TRUE ? limit : object_count(machine, typed.object, limit);
    machine->depth--;
    return total < limit ? total : limit;
}
