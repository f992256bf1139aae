/*
 * machine.c - the life of a machine, its errors and limits.
 */
#include "constraint/machine.h"

#include "base/heap.h"
#include "constraint/walk.h"

bool cz_values_start(struct cz_machine *machine);
bool cz_formulas_start(struct cz_machine *machine);

void cz_machine_fail(struct cz_machine *machine, cloze_status status, const char *where,
                     const char *message)
{
    if (machine->failed != CLOZE_OK)
        return;
    machine->failed = status;
    cz_fail(&machine->error, status, where, "%s", message);
}

void cz_machine_fail_memory(struct cz_machine *machine)
{
    cz_machine_fail(machine, CLOZE_MEMORY, NULL, "out of memory");
}

cloze_status cz_machine_status(struct cz_machine *machine, struct cloze_error *error)
{
    if (machine->failed == CLOZE_OK) {
        if (cz_expr_status(machine->exprs, &machine->error) != CLOZE_OK ||
            cz_number_status(machine->numbers, &machine->error) != CLOZE_OK)
            machine->failed = machine->error.code;
    }
    if (machine->failed != CLOZE_OK && error)
        *error = machine->error;
    return machine->failed;
}

bool cz_machine_burn(struct cz_machine *machine, uint32_t steps)
{
    if (!machine->limited)
        return true;
    if (machine->fuel < steps) {
        cz_machine_fail(machine, CLOZE_LIMIT, NULL,
                        "whether any value fits can't be decided within the limits");
        return false;
    }
    machine->fuel -= steps;
    return machine->failed == CLOZE_OK;
}

bool cz_machine_grow(struct cz_machine *machine, void **items, uint32_t count, uint32_t *capacity,
                     size_t size)
{
    (void)machine;
    if (count < *capacity)
        return true;
    uint64_t wanted = (uint64_t)*capacity * 2 > (uint64_t)count + 16 ? (uint64_t)*capacity * 2
                                                                     : (uint64_t)count + 16;
    if (wanted > UINT32_MAX / 2)
        return false;
    void *larger = cz_heap_resize(*items, wanted * size);
    if (!larger)
        return false;
    *items = larger;
    *capacity = (uint32_t)wanted;
    return true;
}

cz_key cz_machine_key(struct cz_machine *machine, struct cz_slice text)
{
    uint64_t known;
    if (cz_map_get(&machine->key_map, text, &known))
        return (cz_key)known;
    char *copy = cz_arena_text(&machine->arena, text);
    struct cz_slice key = cz_slice_of(copy, text.size);
    if (!copy || !cz_machine_grow(machine, (void **)&machine->keys, machine->key_count,
                                  &machine->key_capacity, sizeof *machine->keys) ||
        !cz_map_set(&machine->key_map, key, machine->key_count)) {
        cz_machine_fail_memory(machine);
        return 0;
    }
    machine->keys[machine->key_count] = key;
    return machine->key_count++;
}

static bool start_tables(struct cz_machine *machine)
{
    return cz_values_start(machine) && cz_formulas_start(machine) &&
           cz_local_add(machine, LOCAL_DEAD, 0, 0, 0, 0) == 0 &&
           cz_local_add(machine, LOCAL_DEAD, 1, 0, 0, 0) == STEP_DEAD &&
           cz_local_add(machine, LOCAL_DEAD, 2, 0, 0, 0) == CZ_LOCAL_EXIT &&
           cz_local_add(machine, LOCAL_DEAD, 3, 0, 0, 0) == CZ_LOCAL_EXIT_REDO &&
           cz_local_add(machine, LOCAL_DEAD, 4, 0, 0, 0) == STEP_GAP &&
           cz_stack_push(machine, 0, 0) == CZ_STACK_EMPTY &&
           cz_stack_push(machine, 0, STEP_DEAD) == CZ_STACK_UNKNOWN;
}

cloze_status cz_machine_create(struct cz_vocab *vocab, const struct cz_grammar_options *options,
                               struct cz_machine **out, struct cloze_error *error)
{
    struct cz_machine *machine = cz_heap_zeroed(1, sizeof *machine);
    if (!machine)
        return cz_fail_memory(error, "a grammar");
    pthread_mutex_init(&machine->lock, NULL);
    machine->vocab = vocab;
    machine->options = *options;
    machine->limited = true;
    machine->fuel = CZ_MACHINE_FUEL;
    machine->cycle_depth = UINT32_MAX;
    machine->exprs = cz_expr_store_create();
    machine->numbers = cz_number_store_create(options->policy == CZ_POLICY_GENERATE);
    machine->walk_levels = cz_heap_zeroed(vocab->longest + 3, sizeof *machine->walk_levels);
    machine->scratch_words = cz_heap_zeroed((size_t)vocab->words + vocab->words / 32 + 1,
                                    sizeof *machine->scratch_words);
    if (!machine->exprs || !machine->numbers || !machine->walk_levels || !machine->scratch_words ||
        !start_tables(machine)) {
        cz_machine_free(machine);
        return cz_fail_memory(error, "a grammar");
    }
    *out = machine;
    return CLOZE_OK;
}

/* The tables and the single arrays that a machine owns, for freeing and for measuring. */
enum { TABLES = 12, ARRAYS = 24 };

static void list_owned(struct cz_machine *machine, struct cz_intern *tables[TABLES],
                       void *arrays[ARRAYS])
{
    struct cz_intern *all_tables[TABLES] = {
        &machine->values,  &machine->formulas,   &machine->objects,    &machine->bits,
        &machine->arrays,  &machine->targets,    &machine->local_keys, &machine->stack_keys,
        &machine->mask_keys, &machine->effect_keys, &machine->constants,  &machine->class_keys};
    void *all_arrays[ARRAYS] = {
        machine->keys,         machine->value_facts,   machine->typed,        machine->formula_facts,
        machine->props,        machine->items,         machine->object_facts, machine->keysets,
        machine->keyset_of,    machine->array_facts,   machine->locals,       machine->effects,
        machine->alternatives, machine->pushes,        machine->stacks,       machine->masks,
        machine->splits,       machine->array_targets, machine->walk.items,   machine->walk_levels,
        machine->scratch_words, machine->freedoms, machine->constant_values,
        machine->classes};
    memcpy(tables, all_tables, sizeof all_tables);
    memcpy(arrays, all_arrays, sizeof all_arrays);
}

void cz_machine_free(struct cz_machine *machine)
{
    struct cz_intern *tables[TABLES];
    void *arrays[ARRAYS];
    if (!machine)
        return;
    cz_masks_free(machine);
    list_owned(machine, tables, arrays);
    for (size_t i = 0; i < TABLES; i++)
        cz_intern_free(tables[i]);
    for (size_t i = 0; i < ARRAYS; i++)
        cz_heap_free(arrays[i]);
    cz_schemas_free(machine->schemas);
    cz_rules_free(machine->rules);
    cz_map_free(&machine->key_map);
    cz_buffer_free(&machine->last_binding.value);
    cz_arena_free(&machine->arena);
    cz_expr_store_free(machine->exprs);
    cz_number_store_free(machine->numbers);
    pthread_mutex_destroy(&machine->lock);
    cz_heap_free(machine);
}

size_t cz_machine_bytes(struct cz_machine *machine)
{
    struct cz_intern *tables[TABLES];
    void *arrays[ARRAYS];
    size_t bytes = sizeof *machine + machine->arena.total + cz_masks_bytes(machine) +
                   cz_expr_store_bytes(machine->exprs) +
                   cz_number_store_bytes(machine->numbers) +
                   machine->key_map.capacity * sizeof *machine->key_map.entries +
                   cz_schemas_bytes(machine->schemas) + cz_rules_bytes(machine->rules);
    list_owned(machine, tables, arrays);
    for (size_t i = 0; i < TABLES; i++)
        bytes += cz_intern_bytes(tables[i]);
    for (size_t i = 0; i < ARRAYS; i++)
        bytes += cz_heap_size(arrays[i]);
    return bytes;
}
