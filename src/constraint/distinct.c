/*
 * distinct.c - arrays that remember their items (uniqueItems and its negation): whether such an
 * array can be completed, and which values an item may have so that it still can.
 *
 * Values are told apart only as far as the formula does: atoms are the intersections, where there is
 * something in them, of the values it speaks of and their complements. Of each is known how many of
 * its values have not come yet, and whether some have. The search goes from state to state, an item
 * at a time; a state is the formula, with the items so far forgotten, and these numbers. An atom with
 * more values than a completion can want is endless. Where all that is asked is a number of items,
 * each of some value, the places are matched with the atoms instead.
 */
#include "constraint/machine.h"

#include "base/heap.h"

enum {
    ATOMS = 64,           /* beyond which the array is refused */
    STATES = 20000,       /* looked at while compiling, all of them; then a single search wants less */
    STATES_LATER = 200000,
    PLACES = 64,          /* that may each have few values */
    WANTED = 4096         /* values of one atom that are counted */
};
#define ENDLESS UINT32_MAX

struct atoms {
    cz_value values[ATOMS];
    uint32_t fresh[ATOMS]; /* values that have not come yet; ENDLESS */
    bool used[ATOMS];      /* some have come */
    uint32_t count;
    uint32_t wanted; /* no shortest completion has more items */
};

static cz_value meet(struct cz_machine *machine, cz_value a, cz_value b)
{
    cz_value both = cz_value_and(machine, a, b);
    return cz_value_alive(machine, both) ? both : (cz_value)CZ_VALUE_NONE;
}

static void refuse(struct cz_machine *machine, const char *why)
{
    if (machine->limited)
        cz_machine_fail(machine, CLOZE_LIMIT, NULL, why);
}

/* ---- Atoms ---- */

static void split(struct cz_machine *machine, struct atoms *atoms, cz_value by)
{
    uint32_t count = atoms->count;
    for (uint32_t i = 0; i < count && machine->failed == CLOZE_OK; i++) {
        cz_value inside = meet(machine, atoms->values[i], by);
        cz_value outside = meet(machine, atoms->values[i], cz_value_not(machine, by));
        if (!inside || !outside)
            continue;
        if (atoms->count == ATOMS) {
            refuse(machine, "uniqueItems over items of more than 64 sorts is not decided");
            return;
        }
        atoms->values[i] = inside;
        atoms->values[atoms->count++] = outside;
    }
}

static void split_by_items(struct cz_machine *machine, struct atoms *atoms, const uint32_t *words)
{
    const struct cz_items *items = machine->items[words[1]];
    for (uint32_t i = words[2]; i < items->count && machine->failed == CLOZE_OK; i++)
        split(machine, atoms, items->prefix[i]);
    split(machine, atoms, items->rest);
}

static uint32_t add_wanted(uint32_t a, uint32_t b)
{
    return a > WANTED || b > WANTED ? WANTED + 1 : a + b;
}

/* By what the leaves say; *seen becomes the items so far. */
static void split_by_leaves(struct cz_machine *machine, struct atoms *atoms, cz_formula formula,
                            cz_value *seen)
{
    const uint32_t *words = cz_formula_words(machine, formula);
    uint32_t kind = words[0], size = cz_formula_size(machine, formula), wanted = 0;
    switch (kind) {
    case FORMULA_ITEMS:
    case FORMULA_SOMEITEM: {
        uint32_t count = machine->items[words[1]]->count;
        wanted = words[2] < count ? count - words[2] + 1 : 1;
        split_by_items(machine, atoms, words);
        break;
    }
    case FORMULA_COUNT:
        wanted = words[1];
        break;
    case FORMULA_CONTAINS:
        wanted = words[2];
        split(machine, atoms, words[1]);
        break;
    case FORMULA_UNIQUE:
    case FORMULA_REPEAT:
        wanted = 2;
        *seen = words[1];
        break;
    default:
        for (uint32_t i = 1; cz_formula_is_list(kind) && i < size; i++) {
            cz_formula part = cz_formula_words(machine, formula)[i];
            split_by_leaves(machine, atoms, part, seen);
            if (kind != FORMULA_ONE && kind != FORMULA_NOTONE)
                continue;
            cz_formula opposite = cz_formula_not(machine, part);
            if (opposite != formula) /* "not this constant" is a list of that constant */
                split_by_leaves(machine, atoms, opposite, seen);
        }
        break;
    }
    atoms->wanted = add_wanted(atoms->wanted, wanted);
}

/* The atoms of a formula and of one value more. */
static void find_atoms(struct cz_machine *machine, struct atoms *atoms, cz_formula formula,
                       cz_value value)
{
    cz_value seen = CZ_VALUE_NONE;
    *atoms = (struct atoms){.values = {CZ_VALUE_ANY}, .count = 1, .wanted = 1};
    split(machine, atoms, value);
    split_by_leaves(machine, atoms, formula, &seen);
    for (uint32_t i = 0; i < atoms->count && machine->failed == CLOZE_OK; i++) {
        cz_value left = meet(machine, atoms->values[i], cz_value_not(machine, seen));
        size_t limit = (size_t)atoms->wanted + 1;
        size_t fresh = left ? cz_value_count(machine, left, limit) : 0;
        atoms->fresh[i] = fresh >= limit ? ENDLESS : (uint32_t)fresh;
        atoms->used[i] = seen && meet(machine, atoms->values[i], seen);
        if (fresh >= limit && atoms->wanted > WANTED &&
            cz_value_count(machine, left, UINT32_MAX) < UINT32_MAX)
            refuse(machine, "uniqueItems over more than 4,096 items of few values is not decided");
    }
}

/* ---- The search ---- */

struct search {
    struct cz_machine *machine;
    const struct atoms *atoms;
    struct cz_intern states; /* words: formula, fresh by atom, used by atom */
    uint32_t *queue;         /* states still to be looked at */
    uint32_t queued, capacity;
    bool found;
};

static void visit(struct search *search, const uint32_t *words)
{
    bool added;
    struct cz_machine *machine = search->machine;
    uint32_t count = search->atoms->count;
    uint32_t id = cz_intern_add(&search->states, words, 1 + 2 * count, &added);
    if (id == UINT32_MAX ||
        !cz_machine_grow(machine, (void **)&search->queue, search->queued, &search->capacity,
                         sizeof *search->queue))
        cz_machine_fail_memory(machine);
    else if (added)
        search->queue[search->queued++] = id;
}

/* An item of the atom, not seen before or seen; the rest of the array then. */
static void take(struct search *search, const uint32_t *words, uint32_t atom, cz_formula rest)
{
    uint32_t next[1 + 2 * ATOMS], count = search->atoms->count;
    if (!cz_formula_binds(search->machine, rest)) {
        search->found |= cz_array_alive(search->machine, rest);
        return;
    }
    memcpy(next, words, (1 + 2 * count) * sizeof *next);
    next[0] = rest;
    next[1 + atom] -= next[1 + atom] != ENDLESS;
    next[1 + count + atom] = 1;
    visit(search, next);
}

static void read_items(struct search *search, const uint32_t *words, bool again)
{
    struct cz_machine *machine = search->machine;
    uint32_t count = search->atoms->count;
    struct cz_pairs pairs = {0};
    cz_formula_item(machine, again ? cz_formula_settle(machine, words[0]) : words[0], &pairs);
    for (uint32_t i = 0; i < pairs.count && machine->failed == CLOZE_OK; i++) {
        for (uint32_t a = 0; a < count && machine->failed == CLOZE_OK; a++) {
            if (words[1 + (again ? count : 0) + a] &&
                meet(machine, search->atoms->values[a], pairs.items[i].value))
                take(search, words, a, pairs.items[i].rest);
        }
    }
    cz_pairs_free(&pairs);
}

static void look_at(struct search *search, uint32_t state)
{
    uint32_t words[1 + 2 * ATOMS];
    memcpy(words, cz_intern_get(&search->states, state),
           (1 + 2 * search->atoms->count) * sizeof *words);
    search->found |= cz_formula_nullable(search->machine, words[0]);
    read_items(search, words, false);
    read_items(search, words, true);
}

/* While compiling every state is looked at, so that none of the searches later is too long. */
static bool completable(struct cz_machine *machine, cz_formula formula, const struct atoms *atoms)
{
    struct search search = {.machine = machine, .atoms = atoms};
    uint32_t words[1 + 2 * ATOMS] = {cz_formula_forget(machine, formula)};
    uint32_t most = machine->limited ? STATES : STATES_LATER;
    for (uint32_t i = 0; i < atoms->count; i++) {
        words[1 + i] = atoms->fresh[i];
        words[1 + atoms->count + i] = atoms->used[i];
    }
    visit(&search, words);
    while (search.queued && machine->failed == CLOZE_OK && (machine->limited || !search.found)) {
        if (search.states.count > most || !cz_machine_burn(machine, 1)) {
            refuse(machine, "uniqueItems beside other bounds needs too long a search");
            search.found = true;
            break;
        }
        look_at(&search, search.queue[--search.queued]);
    }
    cz_intern_free(&search.states);
    cz_heap_free(search.queue);
    return search.found;
}

/* ---- Places, where only a number of items is asked for ---- */

static cz_value seen_by(struct cz_machine *machine, cz_formula formula)
{
    bool list = cz_formula_kind(machine, formula) == FORMULA_AND;
    uint32_t size = list ? cz_formula_size(machine, formula) : 1;
    cz_value seen = CZ_VALUE_NONE;
    for (uint32_t i = list; i < size; i++) {
        const uint32_t *words =
            cz_formula_words(machine, list ? cz_formula_words(machine, formula)[i] : formula);
        if (words[0] == FORMULA_UNIQUE)
            seen = cz_value_or(machine, seen, words[1]);
    }
    return seen;
}

/* Every place has more values than there are places, so that one taken makes no difference: then
 * no more is to be done. Each value is alive or there is no way: *dead. */
static bool has_plenty(struct cz_machine *machine, cz_formula formula, uint32_t minimum, bool *dead)
{
    bool last = false, plenty = true;
    cz_value seen = cz_value_not(machine, seen_by(machine, formula));
    for (uint32_t i = 0; i < minimum && !last; i++) {
        cz_value value =
            cz_value_and(machine, cz_array_ahead(machine, formula, i, &last), seen);
        *dead |= !cz_value_alive(machine, value);
        plenty &= !*dead && cz_value_count(machine, value, (size_t)minimum + 1) > minimum;
    }
    return plenty;
}

struct places {
    const struct atoms *atoms;
    bool fits[PLACES][ATOMS];
    uint32_t held[ATOMS][PLACES], held_count[ATOMS]; /* places that an atom's values are given to */
    bool tried[ATOMS];
};

/* Gives the place a value, moving others where that helps. */
static bool assign(struct places *places, uint32_t place)
{
    for (uint32_t a = 0; a < places->atoms->count; a++) {
        if (!places->fits[place][a] || places->tried[a])
            continue;
        places->tried[a] = true;
        if (places->held_count[a] < places->atoms->fresh[a]) {
            places->held[a][places->held_count[a]++] = place;
            return true;
        }
        for (uint32_t i = 0; i < places->held_count[a]; i++) {
            if (assign(places, places->held[a][i])) {
                places->held[a][i] = place;
                return true;
            }
        }
    }
    return false;
}

/* A different value for each of the places. */
static bool match_places(struct cz_machine *machine, cz_formula formula, uint32_t minimum,
                         const struct atoms *atoms)
{
    struct places *places = cz_heap_zeroed(1, sizeof *places);
    bool last = false, good = places != NULL;
    if (!places) {
        cz_machine_fail_memory(machine);
        return false;
    }
    places->atoms = atoms;
    for (uint32_t i = 0; i < minimum && good && machine->failed == CLOZE_OK; i++) {
        cz_value value = cz_array_ahead(machine, formula, i, &last);
        for (uint32_t a = 0; a < atoms->count; a++)
            places->fits[i][a] = meet(machine, atoms->values[a], value) != CZ_VALUE_NONE;
        memset(places->tried, 0, sizeof places->tried);
        good = assign(places, i);
    }
    cz_heap_free(places);
    return good;
}

/* Places of one and the same value. */
static bool count_places(struct cz_machine *machine, cz_formula formula, uint32_t minimum,
                         const struct atoms *atoms)
{
    bool last;
    size_t total = 0;
    cz_value value = cz_array_ahead(machine, formula, 0, &last);
    for (uint32_t a = 0; a < atoms->count && last; a++) {
        if (!meet(machine, atoms->values[a], value))
            continue;
        if (atoms->fresh[a] == ENDLESS)
            return true;
        total += atoms->fresh[a];
    }
    if (!last)
        refuse(machine, "uniqueItems over more than 64 places that each have few values is not "
                        "decided");
    return !last || total >= minimum;
}

/* ---- Both ---- */

static bool can_be_met(struct cz_machine *machine, cz_formula rest, const struct atoms *atoms)
{
    uint32_t minimum;
    if (!cz_array_is_sequence(machine, rest, &minimum))
        return completable(machine, rest, atoms);
    return minimum <= PLACES ? match_places(machine, rest, minimum, atoms)
                             : count_places(machine, rest, minimum, atoms);
}

/* Whether no look at the atoms is wanted; *alive is then the answer, whatever came before. */
static bool is_plain(struct cz_machine *machine, cz_formula formula, bool *alive)
{
    uint32_t minimum;
    bool dead = false;
    *alive = true;
    if (!cz_array_is_sequence(machine, formula, &minimum))
        return false;
    bool plenty = has_plenty(machine, formula, minimum, &dead);
    *alive = !dead;
    return plenty || dead;
}

bool cz_distinct_alive(struct cz_machine *machine, cz_formula formula)
{
    struct atoms atoms;
    bool alive;
    if (is_plain(machine, formula, &alive))
        return alive;
    find_atoms(machine, &atoms, formula, CZ_VALUE_ANY);
    return can_be_met(machine, formula, &atoms);
}

cz_value cz_distinct_narrow(struct cz_machine *machine, cz_value value, cz_formula rest)
{
    struct atoms atoms;
    bool alive;
    if (!cz_value_alive(machine, value))
        return CZ_VALUE_NONE;
    if (!cz_formula_binds(machine, rest))
        return cz_array_alive(machine, rest) ? value : (cz_value)CZ_VALUE_NONE;
    if (is_plain(machine, rest, &alive))
        return alive ? value : (cz_value)CZ_VALUE_NONE;
    find_atoms(machine, &atoms, rest, value);
    cz_value left = CZ_VALUE_NONE;
    bool whole = true;
    for (uint32_t a = 0; a < atoms.count && machine->failed == CLOZE_OK; a++) {
        uint32_t fresh = atoms.fresh[a];
        bool used = atoms.used[a];
        if (!meet(machine, atoms.values[a], value))
            continue;
        atoms.fresh[a] -= fresh != ENDLESS && fresh > 0;
        atoms.used[a] = true;
        bool good = can_be_met(machine, rest, &atoms);
        atoms.fresh[a] = fresh;
        atoms.used[a] = used;
        whole &= good;
        if (good)
            left = cz_value_or(machine, left, atoms.values[a]);
    }
    return whole ? value : cz_value_and(machine, value, left);
}
