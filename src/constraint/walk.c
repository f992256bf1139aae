/*
 * walk.c - walks over the vocabulary's trie with the threads of a state.
 *
 * Nearly everywhere one thread goes on to one local, by a look at its table. Where whatever text of
 * some characters leaves the local alive, the parts of the trie that are made of them are taken
 * whole.
 */
#include "constraint/walk.h"

/* ---- Freedom: text that needs not be walked ---- */

static const struct cz_chars digits = {{0x03FF000000000000u, 0, 0}};
static const struct cz_chars words = {{0x03FF000000000000u, 0x07FFFFFE07FFFFFEu, 0}};

enum { EXPLORED = 64 }; /* states */

struct exploration {
    uint32_t states[EXPLORED];
    uint32_t count;
};

static bool explore_to(struct cz_machine *machine, struct exploration *found, uint32_t state)
{
    if (machine->locals[state].explored == machine->explorations)
        return true;
    if (found->count == EXPLORED)
        return false;
    machine->locals[state].explored = machine->explorations;
    found->states[found->count++] = state;
    return true;
}

/* Whether every one of the bytes leaves the state alive. */
static bool explore_from(struct cz_machine *machine, struct exploration *found, uint32_t state,
                         const char *bytes)
{
    uint32_t last = 0;
    for (; *bytes; bytes++) {
        uint32_t step = cz_local_step(machine, state, (uint8_t)*bytes);
        if (step == STEP_DEAD || (step & STEP_EFFECT) ||
            (step != last && !explore_to(machine, found, step)))
            return false;
        last = step;
    }
    return true;
}

/* Of how many of these characters any text is alive, as far as a few states tell. */
static uint32_t explore(struct cz_machine *machine, uint32_t local, const char *bytes,
                        uint32_t deepest)
{
    struct exploration found = {.count = 0};
    machine->explorations++;
    explore_to(machine, &found, local);
    for (uint32_t depth = 0, from = 0; depth < deepest; depth++) {
        uint32_t end = found.count;
        for (; from < end; from++) {
            if (!explore_from(machine, &found, found.states[from], bytes))
                return depth;
        }
        if (found.count == end)
            return CZ_EXPR_UNBOUNDED;
    }
    return deepest;
}

/* An expression's form does not show it where several conditions must hold at once. */
static uint32_t explore_words(struct cz_machine *machine, uint32_t local)
{
    return explore(machine, local,
                   "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", 16);
}

static void add_freedom(struct cz_machine *machine, struct cz_local *local,
                        struct cz_expr_freedom freedom)
{
    if (!cz_machine_grow(machine, (void **)&machine->freedoms, machine->freedom_count,
                         &machine->freedom_capacity, sizeof *machine->freedoms))
        return;
    machine->freedoms[machine->freedom_count++] = freedom;
    local->freedom_count++;
}

static void find_freedoms(struct cz_machine *machine, uint32_t id)
{
    enum { MOST = 4, DIGITS = 4 }; /* in tokens of numbers there seldom are more */
    static const struct cz_chars unsafe = {{UINT32_MAX | 1ull << '"', 1ull << ('\\' - 64), 0}};
    struct cz_local local = machine->locals[id];
    struct cz_expr_freedom found[MOST];
    bool string = local.kind == LOCAL_STRING && local.b == 0;
    unsigned count = string || local.kind == LOCAL_LEXEME
                         ? cz_expr_freedoms(machine->exprs, local.a, found, MOST)
                         : 0;
    local.freedom = machine->freedom_count;
    for (unsigned i = 0; i < count; i++) {
        for (int w = 0; w < 3 && string; w++)
            found[i].chars.words[w] &= ~unsafe.words[w];
        add_freedom(machine, &local, found[i]);
    }
    bool number = local.kind == LOCAL_NUMBER;
    uint32_t limit = number             ? explore(machine, id, "0123456789", DIGITS)
                     : string && !count ? explore_words(machine, id)
                                        : 0;
    local.next = machine->locals[id].next; /* the table may have been made just now */
    local.classes = machine->locals[id].classes;
    if (limit)
        add_freedom(machine, &local, (struct cz_expr_freedom){number ? digits : words, limit});
    local.freedom_known = true;
    machine->locals[id] = local;
}

uint32_t cz_local_word_limit(struct cz_machine *machine, uint32_t id)
{
    uint32_t limit = 0;
    if (!machine->locals[id].freedom_known)
        find_freedoms(machine, id);
    const struct cz_local *local = &machine->locals[id];
    for (uint32_t i = 0; i < local->freedom_count; i++) {
        const struct cz_expr_freedom *freedom = &machine->freedoms[local->freedom + i];
        if (cz_chars_within(&words, &freedom->chars) && freedom->limit > limit)
            limit = freedom->limit;
    }
    return limit;
}

static bool allows(const struct cz_expr_freedom *freedom, const struct cz_chars *chars,
                   uint32_t characters)
{
    return cz_chars_within(chars, &freedom->chars) &&
           (freedom->limit == CZ_EXPR_UNBOUNDED ||
            (characters < 255 && characters <= freedom->limit));
}

enum { WORTH_ASKING = 4 }; /* nodes of a subtree */

/* Whether everything at and below the node stays in the local, and alive. */
static inline bool is_free(struct cz_machine *machine, const struct cz_trie *trie, uint32_t id,
                           uint32_t node)
{
    bool inside = (trie->nodes[node].byte & 0xC0) == 0x80; /* a character that began before it */
    if (trie->nodes[node].skip < WORTH_ASKING || inside)
        return false;
    const struct cz_chars *chars = &trie->sets[trie->below[node]];
    if (!machine->locals[id].freedom_known)
        find_freedoms(machine, id);
    const struct cz_local *local = &machine->locals[id];
    for (uint32_t i = 0; i < local->freedom_count; i++) {
        if (allows(&machine->freedoms[local->freedom + i], chars, trie->nodes[node].characters))
            return true;
    }
    return false;
}

/* ---- The walk ---- */

struct walk {
    struct cz_machine *machine;
    const struct cz_trie *trie;
    cz_walk_function *take;
    struct cz_tokens *found; /* NULL: every node is taken */
    void *context;
    unsigned nested; /* walks of one plain thread within another */
};

/* Steps the only thread there is where nothing but its local and gap change: *next is then what it
 * becomes. false when it is to be stepped in full. */
static inline bool step_plain(const struct cz_machine *machine, struct cz_thread at, uint8_t byte,
                              struct cz_thread *next, bool *dead)
{
    uint32_t step = cz_local_known(&machine->locals[at.local], byte);
    if (step == 0 || (step & STEP_EFFECT) || at.marks)
        return false;
    *dead = step == STEP_DEAD;
    if (step == STEP_GAP) {
        uint32_t gap = cz_gap_step(machine, GAP_EDGE, 0, at.gap, byte);
        *dead = gap == CZ_NO_GAP;
        *next = (struct cz_thread){at.local, at.stack, 0, (uint16_t)gap};
        return true;
    }
    if (at.gap && !*dead)
        *dead = !cz_gap_done(machine, GAP_EDGE, 0, at.gap);
    *next = (struct cz_thread){step, at.stack, 0, 0};
    return true;
}

/* What becomes of the threads at a node. */
enum reached {
    NOTHING,
    EVERYTHING, /* all that stands at the node and below it is allowed */
    ANOTHER,    /* the one thread went on to another local */
    THREADS     /* to be looked at */
};

/* Steps the threads from..first of the parent; those at the node stand behind them. */
static enum reached reach(const struct walk *walk, uint32_t at, uint32_t from, uint32_t first)
{
    struct cz_machine *machine = walk->machine;
    struct cz_threads *threads = &machine->walk;
    uint8_t byte = walk->trie->nodes[at].byte;
    bool dead, ask = walk->found && walk->trie->below;
    threads->count = first;
    for (uint32_t t = from; t < first && ask; t++) {
        if (!threads->items[t].marks && is_free(machine, walk->trie, threads->items[t].local, at))
            return EVERYTHING;
    }
    if (first - from == 1 && first < threads->capacity &&
        step_plain(machine, threads->items[from], byte, &threads->items[first], &dead)) {
        threads->count += !dead;
        return dead ? NOTHING : ANOTHER;
    }
    for (uint32_t t = from; t < first; t++)
        cz_thread_step(machine, threads->items[t], byte, NULL, threads, first);
    return threads->count > first ? THREADS : NOTHING;
}

/* Steps the level's threads at the node and takes what they reach; false stops the walk. */
static bool visit(struct walk *walk, const struct cz_walk_level *level, uint32_t at)
{
    const struct cz_trie_node *node = &walk->trie->nodes[at];
    uint32_t first = level[1].first;
    enum reached reached = reach(walk, at, level->first, first);
    if (reached == EVERYTHING)
        cz_tokens_add_below(walk->found, at);
    else if (reached == ANOTHER && walk->found)
        cz_tokens_add_node(walk->found, node);
    else if (reached == THREADS || (reached == ANOTHER && node->token != UINT32_MAX))
        return walk->take(walk->context, at, node->token, &walk->machine->walk, first);
    return true;
}

/* Whether threads stand at the node that was visited, and may go on: those of level[1]. */
static bool descend(const struct walk *walk, struct cz_walk_level *level, uint32_t at)
{
    const struct cz_threads *threads = &walk->machine->walk;
    if (threads->count <= level[1].first || walk->trie->nodes[at].skip == 1)
        return false;
    level[1].children = cz_trie_children(walk->trie, at);
    level[2].first = threads->count;
    return true;
}

/* The next child that the level's threads, or else its one local, may reach; 0: none is left. */
static inline uint32_t next_child(const struct walk *walk, struct cz_walk_level *level,
                                  const struct cz_local *local)
{
    struct cz_trie_cursor *cursor = &level->children;
    while (cursor->wide && local && cursor->at < cursor->end &&
           cz_local_known(local, walk->trie->wide_bytes[cursor->at]) == STEP_DEAD)
        cursor->at++;
    return cz_trie_next(walk->trie, cursor);
}

static bool walk_level(struct walk *walk, struct cz_walk_level *bottom);

/* Nearly all walks: from one local to another, the stack staying as it is. Where that is not so
 * threads go on. */
static bool walk_plain(struct walk *walk, struct cz_walk_level *bottom)
{
    struct cz_machine *machine = walk->machine;
    const struct cz_trie *trie = walk->trie;
    struct cz_walk_level *level = bottom;
    struct cz_thread thread = machine->walk.items[bottom->first];
    level->local = thread.local;
    for (;;) {
        uint32_t i = next_child(walk, level, &machine->locals[level->local]);
        if (!i && level == bottom)
            return true;
        if (!i) {
            level--;
            continue;
        }
        const struct cz_trie_node *node = &trie->nodes[i];
        if (is_free(machine, trie, level->local, i)) {
            cz_tokens_add_below(walk->found, i);
            continue;
        }
        uint32_t step = cz_local_known(&machine->locals[level->local], node->byte);
        if (!step)
            step = cz_local_step(machine, level->local, node->byte);
        if (step == STEP_DEAD)
            continue;
        if (step == STEP_GAP || (step & STEP_EFFECT)) {
            thread.local = level->local;
            machine->walk.items[bottom->first] = thread;
            level->first = bottom->first;
            level[1].first = bottom->first + 1;
            if (!visit(walk, level, i) ||
                (descend(walk, level, i) && !walk_level(walk, level + 1)))
                return false;
            continue;
        }
        cz_tokens_add_node(walk->found, node);
        if (node->skip > 1) {
            level++;
            level->local = step;
            level->children = cz_trie_children(trie, i);
        }
    }
}

/* All that is below the level; false when the walk was stopped. */
static bool walk_level(struct walk *walk, struct cz_walk_level *bottom)
{
    enum { NESTED = 8 };
    const struct cz_thread *threads = walk->machine->walk.items + bottom->first;
    struct cz_walk_level *level = bottom;
    bool single = bottom[1].first - bottom->first == 1, good = true;
    if (single && !threads->marks && !threads->gap && walk->found && walk->trie->below &&
        walk->nested < NESTED) {
        walk->nested++;
        good = walk_plain(walk, bottom);
        walk->nested--;
        return good;
    }
    while (good) {
        const struct cz_thread *thread = &walk->machine->walk.items[level->first];
        single = level[1].first - level->first == 1;
        uint32_t i = next_child(walk, level, single ? &walk->machine->locals[thread->local] : NULL);
        if (!i && level == bottom)
            return true;
        if (!i) {
            level--;
            continue;
        }
        good = visit(walk, level, i);
        level += good && descend(walk, level, i);
    }
    return false;
}

void cz_walk(struct cz_machine *machine, const struct cz_trie *trie, uint32_t top, bool at_top,
             const struct cz_thread *begin, uint32_t begin_count, cz_walk_function *take,
             struct cz_tokens *found, void *context)
{
    struct walk walk = {machine, trie, take, found, context, 0};
    struct cz_walk_level *levels = machine->walk_levels;
    machine->walk.count = 0;
    for (uint32_t i = 0; i < begin_count; i++) {
        if (!cz_threads_add(&machine->walk, cz_thread_open(machine, begin[i]))) {
            cz_machine_fail_memory(machine);
            return;
        }
    }
    levels[0].first = 0;
    levels[1].first = begin_count;
    /* `top` is either the only node below, or left out. */
    levels[0].children = at_top ? (struct cz_trie_cursor){top, top + 1, false}
                                : cz_trie_children(trie, top);
    walk_level(&walk, levels);
}
