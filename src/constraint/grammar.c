/*
 * grammar.c - compiling, and the cache of compiled grammars.
 *
 * A core is what was compiled: the machine, its source and options. Handles count references to it.
 * A vocabulary keeps its recent cores, found by their whole text; when their tables outgrow the
 * budget, the least recently used that no handle holds are freed.
 */
#include "constraint/grammar_internal.h"

#include "base/clock.h"
#include "base/heap.h"
#include "constraint/frontend.h"
#include "constraint/regex.h"
#include "constraint/rules_internal.h"
#include "constraint/vocab_internal.h"

enum { SOURCE_LIMIT = 64 << 20, CACHE_SLOTS = 1024 };

struct core {
    struct cz_machine *machine;
    struct cz_buffer key; /* options and source, compared whole */
    uint64_t hash;
    size_t handles;
    size_t bytes;      /* when last measured */
    struct core *next; /* in the same slot */
    struct core *older, *newer; /* of those without handles */
    struct cz_buffer report;
    uint64_t compile_ns;
};

struct cz_grammar_cache {
    pthread_mutex_t lock;
    struct core *slots[CACHE_SLOTS];
    struct core *oldest, *newest; /* by last use, of those without handles */
    size_t bytes, maximum;
};

struct cz_grammar {
    atomic_size_t references;
    struct cz_vocab *vocab;
    struct core *core;
};

static size_t core_bytes(struct core *core)
{
    return sizeof *core + core->key.size + core->report.size + cz_machine_bytes(core->machine);
}

static void core_free(struct core *core)
{
    cz_machine_free(core->machine);
    cz_buffer_free(&core->key);
    cz_buffer_free(&core->report);
    cz_heap_free(core);
}

struct cz_grammar_cache *cz_grammar_cache_create(size_t maximum)
{
    struct cz_grammar_cache *cache = cz_heap_zeroed(1, sizeof *cache);
    if (!cache)
        return NULL;
    pthread_mutex_init(&cache->lock, NULL);
    cache->maximum = maximum;
    return cache;
}

void cz_grammar_cache_free(struct cz_grammar_cache *cache)
{
    if (!cache)
        return;
    for (int i = 0; i < CACHE_SLOTS; i++) {
        for (struct core *core = cache->slots[i], *next; core; core = next) {
            next = core->next;
            core_free(core);
        }
    }
    pthread_mutex_destroy(&cache->lock);
    cz_heap_free(cache);
}

static void unlink_core(struct cz_grammar_cache *cache, struct core *core)
{
    struct core **at = &cache->slots[core->hash % CACHE_SLOTS];
    while (*at != core)
        at = &(*at)->next;
    *at = core->next;
    cache->bytes -= core->bytes;
}

static void take_idle(struct cz_grammar_cache *cache, struct core *core)
{
    *(core->older ? &core->older->newer : &cache->oldest) = core->newer;
    *(core->newer ? &core->newer->older : &cache->newest) = core->older;
    core->older = core->newer = NULL;
}

static void add_idle(struct cz_grammar_cache *cache, struct core *core)
{
    core->older = cache->newest;
    *(core->older ? &core->older->newer : &cache->oldest) = core;
    cache->newest = core;
}

static void trim(struct cz_grammar_cache *cache)
{
    while (cache->bytes > cache->maximum && cache->oldest) {
        struct core *core = cache->oldest;
        take_idle(cache, core);
        unlink_core(cache, core);
        core_free(core);
    }
}

/* ---- Keys ---- */

static void append_text(struct cz_buffer *key, struct cz_slice text)
{
    uint64_t size = text.size;
    cz_buffer_append(key, &size, sizeof size);
    cz_buffer_append_slice(key, text);
}

static void make_key(struct cz_buffer *key, struct cz_slice source,
                     const struct cz_grammar_options *options)
{
    const uint8_t head[] = {(uint8_t)options->kind,       (uint8_t)options->policy,
                            (uint8_t)options->whitespace, options->open_objects,
                            options->annotate_formats,    options->lenient};
    cz_buffer_reserve(key, source.size + 64); /* all of it when there are no resources */
    cz_buffer_append(key, head, sizeof head);
    append_text(key, source);
    for (size_t i = 0; i < options->resource_count; i++) {
        append_text(key, cz_slice(options->resources[i].uri));
        append_text(key, options->resources[i].text);
    }
}

static struct core *find_core(struct cz_grammar_cache *cache, const struct cz_buffer *key,
                              uint64_t hash)
{
    for (struct core *core = cache->slots[hash % CACHE_SLOTS]; core; core = core->next) {
        if (core->hash == hash && core->key.size == key->size &&
            !memcmp(core->key.data, key->data, key->size))
            return core;
    }
    return NULL;
}

/* ---- Compiling ---- */

static uint32_t root_of_value(struct cz_machine *machine, cz_value value)
{
    uint32_t end = cz_local_add(machine, LOCAL_END, 0, 0, 0, 0);
    uint32_t targets = cz_intern_add(&machine->targets, (uint32_t[]){value, end}, 2, NULL);
    return cz_local_add(machine, LOCAL_TARGETS, targets, 0, 0, 0);
}

static cloze_status check_alive(struct cz_machine *machine, cz_value value,
                                struct cloze_error *error)
{
    bool alive = cz_value_alive(machine, value);
    cloze_status status = cz_machine_status(machine, error);
    if (status != CLOZE_OK || alive)
        return status;
    return cz_fail(error, CLOZE_UNSATISFIABLE, "", "no JSON value can meet this schema");
}

static cloze_status compile_schema(struct cz_machine *machine, struct cz_slice source,
                                   struct cloze_error *error)
{
    cz_value value;
    cloze_status status = cz_schema_compile(machine, source, &value, error);
    if (status == CLOZE_OK)
        status = check_alive(machine, value, error);
    if (status == CLOZE_OK)
        status = cz_schema_check_all(machine, value, error);
    if (status == CLOZE_OK)
        machine->root_local = root_of_value(machine, value);
    return status;
}

/* A lexeme or a symbol, behind which nothing may stand. */
static void set_root(struct cz_machine *machine, uint32_t kind, uint32_t what)
{
    uint32_t end = cz_local_add(machine, LOCAL_END, 1, 0, 0, 0);
    machine->root_local = cz_local_add(machine, kind, what, 0, 0, 0);
    machine->root_stack = cz_stack_push(machine, 0, end);
}

static cloze_status set_expression(struct cz_machine *machine, cz_expr expr, const char *what,
                                   struct cloze_error *error)
{
    const struct cz_code_range scalars[] = {{0, 0xD7FF}, {0xE000, 0x10FFFF}};
    cz_expr text = cz_expr_repeat(machine->exprs, cz_expr_code_points(machine->exprs, scalars, 2),
                                  0, CZ_EXPR_UNBOUNDED);
    expr = cz_expr_and(machine->exprs, expr, text); /* raw UTF-8 has no surrogates */
    bool alive = cz_expr_alive(machine->exprs, expr);
    cloze_status status = cz_machine_status(machine, error);
    if (status == CLOZE_OK && !alive)
        return cz_fail(error, CLOZE_UNSATISFIABLE, "", "no text matches %s", what);
    if (status == CLOZE_OK)
        set_root(machine, LOCAL_LEXEME, expr);
    return status;
}

static cloze_status compile_regex(struct cz_machine *machine, struct cz_slice source,
                                  struct cloze_error *error)
{
    const struct cz_regex_options options = {.flavour = CZ_REGEX_PYTHON};
    cz_expr expr;
    cloze_status status = cz_regex_parse(machine->exprs, source, &options, &expr, error);
    return status == CLOZE_OK ? set_expression(machine, expr, "the expression", error) : status;
}

static cloze_status compile_choice(struct cz_machine *machine, struct cz_slice source,
                                   struct cloze_error *error)
{
    cz_expr expr;
    cloze_status status = cz_choice_parse(machine->exprs, source, &expr, error);
    return status == CLOZE_OK ? set_expression(machine, expr, "the choices", error) : status;
}

static bool find_token(void *context, struct cz_slice name, uint32_t *token)
{
    return cz_vocab_find_name(context, name, token);
}

static cloze_status parse_rules(struct cz_machine *machine, struct cz_slice source,
                                struct cloze_error *error)
{
    switch (machine->options.kind) {
    case CZ_GRAMMAR_GBNF:
        return cz_gbnf_parse(machine->rules, source, find_token, machine->vocab, error);
    case CZ_GRAMMAR_LARK:
        return cz_lark_parse(machine->rules, source, error);
    default:
        return cz_structural_parse(machine->rules, source, find_token, machine->vocab, error);
    }
}

static cloze_status compile_embedded(struct cz_machine *machine, struct embedded *embedded,
                                     struct cloze_error *error)
{
    cloze_status status = cz_schema_compile(
        machine, cz_slice_of(embedded->text, embedded->size), &embedded->value, error);
    if (status == CLOZE_OK)
        status = check_alive(machine, embedded->value, error);
    if (status == CLOZE_OK)
        status = cz_schema_check_all(machine, embedded->value, error);
    if (status != CLOZE_OK && embedded->where[0])
        cz_error_at(error, embedded->where);
    return status;
}

static cloze_status compile_rules(struct cz_machine *machine, struct cz_slice source,
                                  struct cloze_error *error)
{
    machine->rules = cz_rules_create(machine->exprs);
    if (!machine->rules)
        return cz_fail_memory(error, "a grammar");
    cloze_status status = parse_rules(machine, source, error);
    if (status == CLOZE_OK)
        status = cz_machine_status(machine, error);
    for (uint32_t i = 0; status == CLOZE_OK && i < machine->rules->schema_count; i++)
        status = compile_embedded(machine, &machine->rules->schemas[i], error);
    if (status == CLOZE_OK)
        status = cz_rules_check(machine->rules, error);
    if (status == CLOZE_OK)
        set_root(machine, LOCAL_SYMBOL, cz_rules_reference(machine->rules, machine->rules->root));
    return status;
}

static cloze_status compile_kind(struct cz_machine *machine, struct cz_slice source,
                                 struct cloze_error *error)
{
    switch (machine->options.kind) {
    case CZ_GRAMMAR_JSON_SCHEMA:
        return compile_schema(machine, source, error);
    case CZ_GRAMMAR_JSON_OBJECT:
        return compile_schema(machine, CZ_SLICE("{\"type\":\"object\"}"), error);
    case CZ_GRAMMAR_REGEX:
        return compile_regex(machine, source, error);
    case CZ_GRAMMAR_CHOICE:
        return compile_choice(machine, source, error);
    default:
        return compile_rules(machine, source, error);
    }
}

static cloze_status compile_core(struct cz_vocab *vocab, struct cz_slice source,
                                 const struct cz_grammar_options *options, struct core **out,
                                 struct cloze_error *error)
{
    struct core *core = cz_heap_zeroed(1, sizeof *core);
    struct cz_grammar_options settled = *options;
    uint64_t start = cz_clock_ns();
    if (!core)
        return cz_fail_memory(error, "a grammar");
    if (settled.whitespace == CZ_WHITESPACE_DEFAULT)
        settled.whitespace = settled.policy == CZ_POLICY_ACCEPT ? CZ_WHITESPACE_FLEXIBLE
                                                                : CZ_WHITESPACE_SPACED;
    cloze_status status = cz_machine_create(vocab, &settled, &core->machine, error);
    if (status == CLOZE_OK)
        status = compile_kind(core->machine, source, error);
    if (status == CLOZE_OK)
        status = cz_machine_status(core->machine, error);
    if (status != CLOZE_OK) {
        core_free(core);
        return status;
    }
    /* resources belong to the caller: all that they gave was read */
    core->machine->options.resources = NULL;
    core->machine->options.resource_count = 0;
    core->machine->limited = false;
    cz_expr_unlimit(core->machine->exprs);
    cz_numbers_unlimit(core->machine->numbers);
    core->compile_ns = cz_clock_ns() - start;
    core->bytes = core_bytes(core);
    *out = core;
    return CLOZE_OK;
}

static struct cz_grammar *make_handle(struct cz_vocab *vocab, struct core *core)
{
    struct cz_grammar *grammar = cz_heap_zeroed(1, sizeof *grammar);
    if (!grammar)
        return NULL;
    atomic_init(&grammar->references, 1);
    grammar->vocab = cz_vocab_retain(vocab);
    grammar->core = core;
    return grammar;
}

/* Takes a core for a new handle; call with the cache locked. */
static void use_core(struct cz_grammar_cache *cache, struct core *core, bool fresh)
{
    if (core->handles++ == 0 && !fresh)
        take_idle(cache, core);
}

static void insert_core(struct cz_grammar_cache *cache, struct core *core)
{
    struct core **slot = &cache->slots[core->hash % CACHE_SLOTS];
    core->next = *slot;
    *slot = core;
    cache->bytes += core->bytes;
    trim(cache);
}

cloze_status cz_grammar_compile(struct cz_vocab *vocab, struct cz_slice source,
                                const struct cz_grammar_options *options, struct cz_grammar **out,
                                struct cloze_error *error)
{
    struct cz_grammar_cache *cache = vocab->cache;
    struct cz_buffer key = {0};
    struct core *made = NULL;
    if (source.size > SOURCE_LIMIT)
        return cz_fail(error, CLOZE_LIMIT, "", "a grammar's source has at most %d bytes",
                       SOURCE_LIMIT);
    make_key(&key, source, options);
    if (key.failed) {
        cz_buffer_free(&key);
        return cz_fail_memory(error, "a grammar");
    }
    uint64_t hash = cz_hash(key.data, key.size);
    pthread_mutex_lock(&cache->lock);
    struct core *core = find_core(cache, &key, hash);
    if (core)
        use_core(cache, core, false);
    pthread_mutex_unlock(&cache->lock);
    if (!core) {
        cloze_status status = compile_core(vocab, source, options, &made, error);
        if (status != CLOZE_OK) {
            cz_buffer_free(&key);
            return status;
        }
        made->hash = hash;
        pthread_mutex_lock(&cache->lock);
        core = find_core(cache, &key, hash); /* another thread may have been faster */
        if (!core) {
            made->key = key;
            key = (struct cz_buffer){0};
            use_core(cache, made, true);
            insert_core(cache, made);
            core = made;
            made = NULL;
        } else {
            use_core(cache, core, false);
        }
        pthread_mutex_unlock(&cache->lock);
    }
    cz_buffer_free(&key);
    if (made)
        core_free(made);
    *out = make_handle(vocab, core);
    return *out ? CLOZE_OK : cz_fail_memory(error, "a grammar");
}

struct cz_grammar *cz_grammar_retain(struct cz_grammar *grammar)
{
    atomic_fetch_add(&grammar->references, 1);
    return grammar;
}

void cz_grammar_release(struct cz_grammar *grammar)
{
    if (!grammar || atomic_fetch_sub(&grammar->references, 1) != 1)
        return;
    struct cz_grammar_cache *cache = grammar->vocab->cache;
    struct core *core = grammar->core;
    pthread_mutex_lock(&cache->lock);
    pthread_mutex_lock(&core->machine->lock);
    size_t bytes = core_bytes(core);
    pthread_mutex_unlock(&core->machine->lock);
    cache->bytes += bytes - core->bytes;
    core->bytes = bytes;
    if (--core->handles == 0)
        add_idle(cache, core);
    trim(cache);
    pthread_mutex_unlock(&cache->lock);
    cz_vocab_release(grammar->vocab);
    cz_heap_free(grammar);
}

size_t cz_grammar_cache_bytes(struct cz_vocab *vocab)
{
    pthread_mutex_lock(&vocab->cache->lock);
    size_t bytes = vocab->cache->bytes;
    pthread_mutex_unlock(&vocab->cache->lock);
    return bytes;
}

struct cz_machine *cz_grammar_machine(struct cz_grammar *grammar)
{
    return grammar->core->machine;
}

struct cz_slice cz_grammar_report(const struct cz_grammar *grammar)
{
    struct core *core = grammar->core;
    pthread_mutex_lock(&core->machine->lock);
    if (!core->report.size)
        cz_schema_report(core->machine, core->compile_ns, &core->report);
    struct cz_slice report = cz_buffer_slice(&core->report);
    pthread_mutex_unlock(&core->machine->lock);
    return report;
}
