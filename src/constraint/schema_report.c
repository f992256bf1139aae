/*
 * schema_report.c - what a compiled schema enforces, and the check that all of it was understood.
 */
#include "base/heap.h"
#include "constraint/format.h"
#include "constraint/grammar_internal.h"
#include "constraint/schema_internal.h"

#include "json/writer.h"

/* ---- Every value that can be reached is opened once, so that refusals come now ---- */

struct visits {
    struct cz_machine *machine;
    cz_value *queue;
    uint32_t count, capacity;
    uint8_t *seen; /* by value */
    uint32_t seen_capacity;
    uint8_t *formulas; /* by formula */
    uint32_t formulas_capacity;
};

static bool mark(uint8_t **marks, uint32_t *capacity, uint32_t id)
{
    if (id >= *capacity) {
        uint32_t wanted = (id + 64) * 2;
        uint8_t *larger = cz_heap_resize(*marks, wanted);
        if (!larger)
            return false;
        memset(larger + *capacity, 0, wanted - *capacity);
        *marks = larger;
        *capacity = wanted;
    }
    bool fresh = !(*marks)[id];
    (*marks)[id] = 1;
    return fresh;
}

static void visit_value(struct visits *visits, cz_value value)
{
    if (value > CZ_VALUE_ANY && mark(&visits->seen, &visits->seen_capacity, value) &&
        cz_machine_grow(visits->machine, (void **)&visits->queue, visits->count, &visits->capacity,
                        sizeof *visits->queue))
        visits->queue[visits->count++] = value;
}

static void visit_props(struct visits *visits, const struct cz_props *props)
{
    for (uint32_t i = 0; i < props->named_count; i++)
        visit_value(visits, props->values[i]);
    for (uint32_t i = 0; i < props->pattern_count; i++)
        visit_value(visits, props->pattern_values[i]);
    visit_value(visits, props->other);
}

static void visit_items(struct visits *visits, const struct cz_items *items)
{
    for (uint32_t i = 0; i < items->count; i++)
        visit_value(visits, items->prefix[i]);
    visit_value(visits, items->rest);
}

static void visit_formula(struct visits *visits, cz_formula formula)
{
    struct cz_machine *machine = visits->machine;
    if (!mark(&visits->formulas, &visits->formulas_capacity, formula))
        return;
    const uint32_t *words = cz_formula_words(machine, formula);
    uint32_t size = cz_formula_size(machine, formula);
    switch (words[0]) {
    case FORMULA_AND:
    case FORMULA_OR:
    case FORMULA_ONE:
    case FORMULA_NOTONE:
        for (uint32_t i = 1; i < size; i++)
            visit_formula(visits, cz_formula_words(machine, formula)[i]);
        break;
    case FORMULA_ALL:
    case FORMULA_SOME:
        visit_props(visits, machine->props[words[1]]);
        break;
    case FORMULA_ITEMS:
    case FORMULA_SOMEITEM:
        visit_items(visits, machine->items[words[1]]);
        break;
    case FORMULA_CONTAINS:
        visit_value(visits, words[1]);
        break;
    default:
        break;
    }
}

cloze_status cz_schema_check_all(struct cz_machine *machine, cz_value root,
                                 struct cloze_error *error)
{
    struct visits visits = {.machine = machine};
    visit_value(&visits, root);
    for (uint32_t i = 0; i < visits.count && machine->failed == CLOZE_OK; i++) {
        struct cz_typed typed = cz_value_expand(machine, visits.queue[i]);
        cz_value_alive(machine, visits.queue[i]);
        visit_formula(&visits, typed.array);
        visit_formula(&visits, typed.object);
        cz_object_probe(machine, typed.object);
    }
    cz_heap_free(visits.queue);
    cz_heap_free(visits.seen);
    cz_heap_free(visits.formulas);
    return cz_machine_status(machine, error);
}

/* ---- The report ---- */

static void write_remark(struct cz_json_writer *writer, struct cz_machine *machine,
                         const struct remark *remark)
{
    struct cz_buffer place = {0};
    cz_schema_place(machine, remark->node, remark->keyword, &place);
    cz_json_write_slice(writer, cz_buffer_slice(&place));
    cz_buffer_free(&place);
}

static void write_remarks(struct cz_json_writer *writer, struct cz_machine *machine,
                          const char *name, int kind, int other)
{
    const struct cz_schemas *schemas = machine->schemas;
    cz_json_write_key(writer, name);
    cz_json_begin_array(writer);
    for (uint32_t i = 0; schemas && i < schemas->remark_count; i++) {
        if ((int)schemas->remarks[i].kind == kind || (int)schemas->remarks[i].kind == other)
            write_remark(writer, machine, &schemas->remarks[i]);
    }
    cz_json_end_array(writer);
}

/* Unknown keywords that look like misspelt ones. */
static void write_warnings(struct cz_json_writer *writer, struct cz_machine *machine)
{
    const struct cz_schemas *schemas = machine->schemas;
    cz_json_write_key(writer, "warnings");
    cz_json_begin_array(writer);
    for (uint32_t i = 0; schemas && i < schemas->remark_count; i++) {
        const struct remark *remark = &schemas->remarks[i];
        const char *near = remark->kind == REMARK_UNKNOWN ? cz_keyword_near(remark->keyword) : NULL;
        if (!near)
            continue;
        struct cz_buffer text = {0};
        cz_schema_place(machine, remark->node, remark->keyword, &text);
        cz_buffer_printf(&text, ": no keyword has this name; did you mean '%s'?", near);
        cz_json_write_slice(writer, cz_buffer_slice(&text));
        cz_buffer_free(&text);
    }
    cz_json_end_array(writer);
}

/* Formats that are enforced a little too strictly, and how. */
static void write_narrowed(struct cz_json_writer *writer, struct cz_machine *machine)
{
    const struct cz_schemas *schemas = machine->schemas;
    cz_json_write_key(writer, "narrowed");
    cz_json_begin_array(writer);
    for (uint32_t i = 0; schemas && i < schemas->remark_count; i++) {
        const struct remark *remark = &schemas->remarks[i];
        struct cz_slice name;
        if (remark->kind != REMARK_NARROWED ||
            !cz_json_string(cz_json_get(remark->node, "format"), &name))
            continue;
        struct cz_buffer text = {0};
        cz_schema_place(machine, remark->node, remark->keyword, &text);
        cz_buffer_printf(&text, ": %s", cz_format_note(name));
        cz_json_write_slice(writer, cz_buffer_slice(&text));
        cz_buffer_free(&text);
    }
    cz_json_end_array(writer);
}

static const char *draft_name(const struct cz_schemas *schemas)
{
    switch (schemas && schemas->resource_count ? schemas->resources[0].dialect.draft : DRAFT_2020) {
    case DRAFT_4:
        return "draft-04";
    case DRAFT_6:
        return "draft-06";
    case DRAFT_7:
        return "draft-07";
    case DRAFT_2019:
        return "2019-09";
    default:
        return "2020-12";
    }
}

/* The names of the keywords in use that are enforced. */
static void write_enforced(struct cz_json_writer *writer, struct cz_machine *machine)
{
    const struct cz_schemas *schemas = machine->schemas;
    bool used[KEY_COUNT] = {false};
    cz_json_write_key(writer, "enforced");
    cz_json_begin_array(writer);
    for (uint32_t i = 0; schemas && i < schemas->schema_keys.count; i++) {
        const struct cz_json *node = schemas->schemas[i].node;
        for (struct cz_json *m = cz_json_is(node, CZ_JSON_OBJECT) ? node->first : NULL; m;
             m = m->next) {
            enum keyword keyword = cz_keyword_find(cz_json_key(m));
            if (keyword >= KEY_TYPE && keyword < KEY_ANNOTATION && !used[keyword])
                cz_json_write_slice(writer, cz_json_key(m));
            if (keyword >= KEY_TYPE)
                used[keyword] = true;
        }
    }
    cz_json_end_array(writer);
}

/* Schemas that were opened and that nothing meets. */
static void write_dead(struct cz_json_writer *writer, struct cz_machine *machine)
{
    const struct cz_schemas *schemas = machine->schemas;
    cz_json_begin_array(writer);
    for (uint32_t i = 0; schemas && i < schemas->schema_keys.count; i++) {
        const struct cz_json *node = schemas->schemas[i].node;
        if (cz_value_alive(machine, cz_value_schema(machine, i)))
            continue;
        struct cz_buffer place = {0};
        cz_schema_place(machine, node, CZ_SLICE(""), &place);
        cz_json_write_slice(writer, cz_buffer_slice(&place));
        cz_buffer_free(&place);
    }
    cz_json_end_array(writer);
}

void cz_schema_report(struct cz_machine *machine, uint64_t compile_ns, struct cz_buffer *out)
{
    struct cz_json_writer writer = {.out = out, .style = CZ_JSON_SPACED};
    cz_json_begin_object(&writer);
    if (machine->schemas)
        cz_json_write_member_string(&writer, "draft", draft_name(machine->schemas));
    write_enforced(&writer, machine);
    write_remarks(&writer, machine, "annotations", REMARK_ANNOTATION, REMARK_UNKNOWN);
    write_remarks(&writer, machine, "unknown_formats", REMARK_FORMAT, REMARK_FORMAT);
    write_remarks(&writer, machine, "ignored", REMARK_IGNORED, REMARK_IGNORED);
    write_remarks(&writer, machine, "closed", REMARK_CLOSED, REMARK_CLOSED);
    write_remarks(&writer, machine, "unenforced", REMARK_UNENFORCED, REMARK_UNENFORCED);
    write_narrowed(&writer, machine);
    write_warnings(&writer, machine);
    cz_json_write_key(&writer, "unsatisfiable");
    write_dead(&writer, machine);
    cz_json_write_member_int(&writer, "bytes", (int64_t)cz_machine_bytes(machine));
    cz_json_write_key(&writer, "microseconds");
    cz_json_write_double(&writer, (double)compile_ns / 1000);
    cz_json_end_object(&writer);
}
