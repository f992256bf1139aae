/* models.c - `cloze models list`, `get` and `delete`. */
#include "cli/models.h"

#include "base/progress.h"
#include "store/bento.h"
#include "store/manifest.h"
#include "json/writer.h"
#include "json/yaml.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { COLUMNS = 4, LEAST_TAG_WIDTH = 8 };

/* ---- list ---- */

static void local_time(const struct cz_store_entry *entry, char text[32])
{
    time_t seconds = (time_t)(entry->creation_us / 1000000u);
    struct tm date;
    text[0] = '\0';
    if (entry->creation_us && localtime_r(&seconds, &date))
        strftime(text, 32, "%Y-%m-%d %H:%M:%S", &date);
}

/* COLUMNS, else the terminal's width, else no limit: what a program reads is never cut. */
static size_t output_width(void)
{
    const char *columns = getenv("COLUMNS");
    struct winsize size;
    if (columns && atoi(columns) > 0)
        return (size_t)atoi(columns);
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
        return size.ws_col;
    return SIZE_MAX;
}

struct row {
    char tag[CZ_TAG_TEXT], size[CZ_SIZE_TEXT], time[32];
    const char *module;
};

static void fill_row(const struct cz_store_entry *entry, struct row *row)
{
    cz_tag_text(&entry->tag, row->tag);
    cz_size_text(entry->size_bytes, row->size);
    local_time(entry, row->time);
    row->module = entry->damage ? "(damaged)" : entry->module;
}

/* A cell of `width` columns with a blank on both sides, cut with "…" where it is too long. */
static void print_cell(const char *text, size_t width)
{
    size_t size = strlen(text);
    if (size <= width)
        printf(" %-*s ", (int)width, text);
    else
        printf(" %.*s\u2026 ", (int)width - 1, text);
}

static void print_row(const char *const cells[COLUMNS], const size_t widths[COLUMNS])
{
    for (int i = 0; i < COLUMNS; i++)
        print_cell(cells[i], widths[i]);
    putchar('\n');
}

static size_t longer(size_t width, const char *text)
{
    return strlen(text) > width ? strlen(text) : width;
}

static void print_table(const struct cz_store_list *list)
{
    static const char *const header[COLUMNS] = {"Tag", "Module", "Size", "Creation Time"};
    size_t widths[COLUMNS];
    struct row row;
    for (int i = 0; i < COLUMNS; i++)
        widths[i] = strlen(header[i]);
    for (size_t i = 0; i < list->count; i++) {
        fill_row(&list->entries[i], &row);
        widths[0] = longer(widths[0], row.tag);
        widths[1] = longer(widths[1], row.module);
        widths[2] = longer(widths[2], row.size);
        widths[3] = longer(widths[3], row.time);
    }
    size_t others = widths[1] + widths[2] + widths[3] + 2 * COLUMNS, all = output_width();
    if (widths[0] + others > all)
        widths[0] = all > others + LEAST_TAG_WIDTH ? all - others : LEAST_TAG_WIDTH;
    print_row(header, widths);
    for (size_t i = 0; i < list->count; i++) {
        fill_row(&list->entries[i], &row);
        print_row((const char *const[COLUMNS]){row.tag, row.module, row.size, row.time}, widths);
    }
}

/* The list as JSON; for YAML with sorted keys, as PyYAML writes them. */
static void write_list(const struct cz_store_list *list, bool sorted, struct cz_json_writer *writer)
{
    cz_json_begin_array(writer);
    for (size_t i = 0; i < list->count; i++) {
        const struct cz_store_entry *entry = &list->entries[i];
        struct row row;
        fill_row(entry, &row);
        cz_json_begin_object(writer);
        if (sorted)
            cz_json_write_member_string(writer, "creation_time", row.time);
        else
            cz_json_write_member_string(writer, "tag", row.tag);
        if (sorted && entry->damage)
            cz_json_write_member_string(writer, "damage", entry->damage);
        cz_json_write_member_string(writer, "module", entry->module);
        cz_json_write_member_string(writer, "size", row.size);
        if (sorted)
            cz_json_write_member_string(writer, "tag", row.tag);
        else
            cz_json_write_member_string(writer, "creation_time", row.time);
        if (!sorted && entry->damage)
            cz_json_write_member_string(writer, "damage", entry->damage);
        cz_json_end_object(writer);
    }
    cz_json_end_array(writer);
}

/* Prints a JSON text in YAML. */
static cloze_status print_as_yaml(struct cz_slice json, struct cloze_error *error)
{
    struct cz_arena arena = {0};
    struct cz_buffer yaml = {0};
    struct cz_json *tree;
    cloze_status status = cz_json_parse(&arena, json, NULL, &tree, error);
    if (!status)
        status = cz_yaml_write(tree, &yaml, error);
    if (!status)
        fputs(cz_buffer_text(&yaml), stdout);
    cz_buffer_free(&yaml);
    cz_arena_free(&arena);
    return status;
}

static cloze_status print_list(const struct cz_store_list *list, const char *format,
                               struct cloze_error *error)
{
    if (strcmp(format, "table") == 0) {
        print_table(list);
        return CLOZE_OK;
    }
    bool yaml = strcmp(format, "yaml") == 0;
    struct cz_buffer text = {0};
    struct cz_json_writer writer = {.out = &text, .style = CZ_JSON_PRETTY};
    write_list(list, yaml, &writer);
    cloze_status status = cz_buffer_status(&text, "the list", error);
    if (!status && yaml)
        status = print_as_yaml(cz_buffer_slice(&text), error);
    else if (!status)
        puts(cz_buffer_text(&text));
    cz_buffer_free(&text);
    return status;
}

static cloze_status run_list(struct cz_arguments *arguments, struct cloze_error *error)
{
    struct cz_store store;
    struct cz_store_list list = {0};
    const char *format =
        cz_flag_given(arguments, "json") ? "json" : cz_flag_text(arguments, "output");
    cloze_status status = cz_store_open(NULL, &store, error);
    if (!status)
        status = cz_store_list(&store, cz_argument(arguments, "NAME"), &list, error);
    if (!status)
        status = print_list(&list, format, error);
    for (size_t i = 0; !status && i < list.count; i++) {
        char tag[CZ_TAG_TEXT];
        if (list.entries[i].damage)
            fprintf(stderr, "Warning: %s is damaged: %s\n", cz_tag_text(&list.entries[i].tag, tag),
                    list.entries[i].damage);
    }
    cz_store_list_free(&list);
    cz_store_close(&store);
    return status;
}

static const struct cz_flag list_flags[] = {
    {.name = "output",
     .letter = 'o',
     .kind = CZ_VALUE_CHOICE,
     .value = "table|json|yaml",
     .fallback = "table",
     .help = "format of the list"},
    {.name = "json", .help = "the same as --output json"},
    {.name = NULL},
};

static const struct cz_parameter list_parameters[] = {
    {.name = "NAME",
     .help = "show only the versions of this name",
     .kind = CZ_VALUE_MODEL,
     .optional = true},
    {.name = NULL},
};

static const struct cz_verb verb_list = {
    .name = "list",
    .summary = "list the models in the store, newest first",
    .description = "A model that is damaged is listed as such and named on standard error. In a "
                   "terminal long tags are cut to its width (COLUMNS overrides it).",
    .flags = list_flags,
    .parameters = list_parameters,
    .run = run_list,
};

/* ---- get ---- */

static cloze_status print_manifest(const struct cz_store_entry *entry, bool json,
                                   struct cloze_error *error)
{
    struct cz_arena arena = {0};
    struct cz_buffer text = {0};
    struct cz_manifest manifest;
    cloze_status status = cz_manifest_read(&arena, entry->path, &manifest, error);
    if (!status && json)
        cz_json_write_value(&(struct cz_json_writer){.out = &text, .style = CZ_JSON_PRETTY},
                            manifest.tree);
    else if (!status)
        status = cz_yaml_write(manifest.tree, &text, error);
    if (!status)
        status = cz_buffer_status(&text, "the manifest", error);
    if (!status)
        printf("%s%s", cz_buffer_text(&text), json ? "\n" : "");
    cz_buffer_free(&text);
    cz_arena_free(&arena);
    return status;
}

static cloze_status run_get(struct cz_arguments *arguments, struct cloze_error *error)
{
    struct cz_store store;
    struct cz_store_entry entry = {0};
    const char *format =
        cz_flag_given(arguments, "json") ? "json" : cz_flag_text(arguments, "output");
    cloze_status status = cz_store_open(NULL, &store, error);
    if (!status)
        status = cz_store_find(&store, cz_argument(arguments, "TAG"), &entry, error);
    if (!status && strcmp(format, "path") == 0)
        puts(entry.path);
    else if (!status)
        status = print_manifest(&entry, strcmp(format, "json") == 0, error);
    cz_store_entry_free(&entry);
    cz_store_close(&store);
    return status;
}

static const struct cz_flag get_flags[] = {
    {.name = "output",
     .letter = 'o',
     .kind = CZ_VALUE_CHOICE,
     .value = "yaml|json|path",
     .fallback = "yaml",
     .help = "the manifest as YAML or JSON, or the model's folder"},
    {.name = "json", .help = "the same as --output json"},
    {.name = NULL},
};

static const struct cz_parameter tag_parameter[] = {
    {.name = "TAG",
     .kind = CZ_VALUE_MODEL,
     .help = "name, name:latest, name:version, or name and how a version begins"},
    {.name = NULL},
};

static const struct cz_verb verb_get = {
    .name = "get",
    .summary = "show what the store knows of a model",
    .flags = get_flags,
    .parameters = tag_parameter,
    .run = run_get,
};

/* ---- delete ---- */

static bool confirm(const char *tag)
{
    char answer[16] = "";
    fprintf(stderr, "delete model %s? [y/N]: ", tag);
    fflush(stderr);
    if (!fgets(answer, sizeof answer, stdin)) {
        fputc('\n', stderr);
        return false;
    }
    return answer[0] == 'y' || answer[0] == 'Y';
}

static cloze_status delete_one(const struct cz_store *store, const struct cz_tag *tag, bool sure,
                               struct cloze_error *error)
{
    char text[CZ_TAG_TEXT];
    cz_tag_text(tag, text);
    if (!sure && !confirm(text))
        return CLOZE_OK;
    struct cz_buffer users = {0};
    cz_bentos_using(store, tag, &users);
    cloze_status status =
        users.size ? cz_fail(error, CLOZE_BUSY, text, "is used by these bentos: %s", users.data)
                   : cz_store_remove(store, tag, error);
    cz_buffer_free(&users);
    if (!status)
        printf("Model(tag=\"%s\") deleted.\n", text);
    return status;
}

/* A bare name stands for all its versions. */
static cloze_status delete_target(const struct cz_store *store, const char *target, bool sure,
                                  struct cloze_error *error)
{
    struct cz_tag tag;
    cloze_status status = cz_tag_parse(target, &tag, error);
    if (status)
        return status;
    if (tag.version[0]) {
        struct cz_store_entry entry;
        status = cz_store_find(store, target, &entry, error);
        if (!status || status == CLOZE_CORRUPT)
            status = delete_one(store, &entry.tag, sure, error);
        cz_store_entry_free(&entry);
        return status;
    }
    struct cz_store_list list;
    status = cz_store_list(store, target, &list, error);
    for (size_t i = 0; !status && i < list.count; i++)
        status = delete_one(store, &list.entries[i].tag, sure, error);
    cz_store_list_free(&list);
    return status;
}

static cloze_status run_delete(struct cz_arguments *arguments, struct cloze_error *error)
{
    struct cz_store store;
    bool sure = cz_flag_given(arguments, "yes") || cz_flag_given(arguments, "assume-yes");
    cloze_status status = cz_store_open(NULL, &store, error);
    const char *word;
    for (size_t i = 0; !status && (word = cz_argument_each(arguments, "TAG", i)); i++) {
        char *targets = strdup(word), *rest = targets;
        if (!targets)
            status = cz_fail_memory(error, word);
        for (char *target; !status && rest && (target = strsep(&rest, ", "));) {
            if (*target)
                status = delete_target(&store, target, sure, error);
        }
        free(targets);
    }
    cz_store_close(&store);
    return status;
}

static const struct cz_flag delete_flags[] = {
    {.name = "yes", .letter = 'y', .help = "don't ask"},
    {.name = "assume-yes", .help = "the same as --yes"},
    {.name = NULL},
};

static const struct cz_parameter delete_parameters[] = {
    {.name = "TAG",
     .kind = CZ_VALUE_MODEL,
     .repeated = true,
     .help = "tags, also with commas between; a bare name stands for all its versions"},
    {.name = NULL},
};

static const struct cz_verb verb_delete = {
    .name = "delete",
    .summary = "remove models from the store",
    .description = "Asks before each one. A model that a bento uses is not removed.",
    .flags = delete_flags,
    .parameters = delete_parameters,
    .run = run_delete,
};

/* ---- The verb ---- */

static const struct cz_verb *const model_verbs[] = {
    &verb_list,
    &verb_get,
    &cz_verb_models_import,
    &cz_verb_models_export,
    &verb_delete,
    &cz_verb_models_verify,
    &cz_verb_models_gc,
    NULL,
};

const struct cz_verb cz_verb_models = {
    .name = "models",
    .summary = "the model store: import, list, get, delete, export, verify, gc",
    .description =
        "The store is a folder: CLOZE_HOME, else BENTOML_HOME, else ~/bentoml. BentoML's own "
        "commands read it too, and Cloze reads what they write.",
    .verbs = model_verbs,
};
