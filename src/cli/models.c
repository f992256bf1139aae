/* models.c - `cloze models`: the verbs that look at the store and clean it. Those that move models
 * in and out are in models_import.c. */
#include "cli/models.h"

#include "base/file.h"
#include "base/progress.h"
#include "engine/identity.h"
#include "engine/packed_file.h"
#include "store/bento.h"
#include "store/manifest.h"
#include "store/stage.h"
#include "store/verify.h"
#include "json/writer.h"
#include "json/yaml.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { COLUMNS = 4, LEAST_TAG_WIDTH = 8 };

void cz_models_progress(void *context, const char *what, uint64_t done, uint64_t total)
{
    cz_progress_step(context, what, done, total);
}

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

/* ---- verify ---- */

/* Compares the packed form of the model, where there is one, with its own checksum. */
static cloze_status verify_packed(const struct cz_store *store, const struct cz_store_entry *entry,
                                  bool *packed, struct cloze_error *error)
{
    char digest[CZ_SHA256_TEXT + 1];
    struct cz_buffer path = {0};
    struct cz_packed_model model = {0};
    cloze_status status = cz_source_digest(entry->path, store->cache, digest, error);
    if (status)
        return status;
    cz_packed_path(&path, store->cache, digest);
    status = cz_buffer_status(&path, "the packed model", error);
    *packed = !status && cz_file_exists(path.data);
    if (*packed)
        status = cz_packed_open(path.data, digest, &model, error);
    if (*packed && !status) {
        status = cz_packed_verify(&model, path.data, error);
        cz_packed_close(&model);
    }
    cz_buffer_free(&path);
    return status;
}

static cloze_status verify_one(const struct cz_store *store, const struct cz_store_entry *entry,
                               bool quiet)
{
    struct cz_progress progress;
    struct cz_verification result = {0};
    struct cloze_error error = {0};
    bool packed = false;
    char tag[CZ_TAG_TEXT];
    cz_progress_start(&progress, quiet || !isatty(STDERR_FILENO));
    cloze_status status = CLOZE_CORRUPT;
    if (entry->damage)
        cz_fail(&error, status, NULL, "%s", entry->damage);
    else
        status = cz_store_verify(entry, cz_models_progress, &progress, &result, &error);
    if (!status)
        status = verify_packed(store, entry, &packed, &error);
    cz_progress_end(&progress);
    cz_tag_text(&entry->tag, tag);
    if (status)
        printf("%s: DAMAGED: %s%s%s\n", tag, error.where, error.where[0] ? ": " : "",
               error.message);
    else if (!result.has_checksums)
        printf("%s: tensors are well formed; no digests were recorded for it\n", tag);
    else
        printf("%s: OK (%zu files%s)\n", tag, result.files, packed ? " and the packed form" : "");
    return status;
}

static cloze_status run_verify(struct cz_arguments *arguments, struct cloze_error *error)
{
    struct cz_store store;
    struct cz_store_list list = {0};
    struct cz_store_entry entry = {0};
    const char *tag = cz_argument(arguments, "TAG");
    bool quiet = cz_is_quiet(arguments);
    size_t damaged = 0;
    cloze_status status = cz_store_open(NULL, &store, error);
    if (!status && tag) {
        status = cz_store_find(&store, tag, &entry, error);
        if (!status || (status == CLOZE_CORRUPT && entry.path)) {
            damaged += verify_one(&store, &entry, quiet) != CLOZE_OK;
            status = CLOZE_OK;
        }
    } else if (!status) {
        status = cz_store_list(&store, NULL, &list, error);
    }
    for (size_t i = 0; !status && i < list.count; i++)
        damaged += verify_one(&store, &list.entries[i], quiet) != CLOZE_OK;
    if (!status && damaged)
        status = cz_fail(error, CLOZE_CORRUPT, NULL,
                         "%zu damaged %s: delete and import again, or restore the files", damaged,
                         damaged == 1 ? "model" : "models");
    cz_store_entry_free(&entry);
    cz_store_list_free(&list);
    cz_store_close(&store);
    return status;
}

static const struct cz_parameter verify_parameters[] = {
    {.name = "TAG",
     .kind = CZ_VALUE_MODEL,
     .optional = true,
     .help = "the model to check; without it all are"},
    {.name = NULL},
};

static const struct cz_verb verb_verify = {
    .name = "verify",
    .summary = "compare models with the digests recorded at their import",
    .description = "Reads every file, compares its SHA-256 with SHA256SUMS in the model's folder, "
                   "checks all tensors, and the packed form in the cache where there is one.",
    .parameters = verify_parameters,
    .run = run_verify,
};

/* ---- gc ---- */

/* Whether a file of cache/packed belongs to one of the models. */
static bool is_wanted(const char *name, char (*digests)[CZ_SHA256_TEXT + 1], size_t count,
                      const struct cz_store *store)
{
    struct cz_buffer path = {0};
    bool wanted = false;
    for (size_t i = 0; !wanted && i < count; i++) {
        cz_buffer_clear(&path);
        cz_packed_path(&path, store->cache, digests[i]);
        wanted = strcmp(cz_path_name(cz_buffer_text(&path)), name) == 0;
    }
    cz_buffer_free(&path);
    return wanted;
}

struct packed_collector {
    const struct cz_store *store;
    char (*digests)[CZ_SHA256_TEXT + 1]; /* [count], of the models in the store */
    size_t count;
    size_t removed;
    uint64_t size_bytes;
};

/* Removes one file of cache/packed, unless a model wants it or a process is still writing it. */
static cloze_status collect_packed_file(struct packed_collector *collector, const char *folder,
                                        const char *name, struct cloze_error *error)
{
    struct cz_buffer path = {0};
    struct stat info;
    int lock = -1;
    cloze_status status = CLOZE_OK;
    if (!cz_path_join(&path, folder, name))
        status = cz_fail_memory(error, folder);
    else if (lstat(path.data, &info) == 0 && S_ISREG(info.st_mode) &&
             !is_wanted(name, collector->digests, collector->count, collector->store) &&
             cz_file_lock(path.data, false, &lock, NULL) == CLOZE_OK) {
        if (unlink(path.data) != 0)
            status = cz_fail_errno(error, path.data, "remove");
        collector->removed += !status;
        collector->size_bytes += status ? 0 : (uint64_t)info.st_size;
        close(lock);
    }
    cz_buffer_free(&path);
    return status;
}

static cloze_status collect_packed_files(struct packed_collector *collector, const char *folder,
                                         struct cloze_error *error)
{
    DIR *open_folder = opendir(folder);
    if (!open_folder)
        return errno == ENOENT ? CLOZE_OK : cz_fail_errno(error, folder, "list the folder");
    cloze_status status = CLOZE_OK;
    for (struct dirent *item; !status && (item = readdir(open_folder));)
        status = collect_packed_file(collector, folder, item->d_name, error);
    closedir(open_folder);
    return status;
}

/* Removes packed forms of models that are no longer in the store. A process that has one mapped
 * keeps it; a model that is served from elsewhere is packed again when it is next opened. */
static cloze_status collect_packed(const struct cz_store *store, size_t *removed, uint64_t *size,
                                   struct cloze_error *error)
{
    struct packed_collector collector = {.store = store};
    struct cz_store_list list;
    struct cz_buffer folder = {0};
    cloze_status status = cz_store_list(store, NULL, &list, error);
    if (status)
        return status;
    collector.digests = calloc(list.count + 1, sizeof *collector.digests);
    if (!collector.digests || !cz_path_join(&folder, store->cache, "packed"))
        status = cz_fail_memory(error, "the list of models");
    for (size_t i = 0; !status && i < list.count; i++) {
        if (!list.entries[i].damage &&
            cz_source_digest(list.entries[i].path, store->cache, collector.digests[collector.count],
                             NULL) == CLOZE_OK)
            collector.count++;
    }
    if (!status)
        status = collect_packed_files(&collector, folder.data, error);
    *removed = collector.removed;
    *size += collector.size_bytes;
    free(collector.digests);
    cz_buffer_free(&folder);
    cz_store_list_free(&list);
    return status;
}

static cloze_status run_gc(struct cz_arguments *arguments, struct cloze_error *error)
{
    (void)arguments;
    struct cz_store store;
    struct cz_collection collection = {0};
    size_t packed = 0;
    cloze_status status = cz_store_open(NULL, &store, error);
    if (!status)
        status = cz_store_collect(&store, &collection, error);
    if (!status)
        status = collect_packed(&store, &packed, &collection.size_bytes, error);
    char size[CZ_SIZE_TEXT];
    cz_size_text(collection.size_bytes, size);
    if (!status)
        printf("Removed %zu unfinished imports, %zu downloads and %zu packed models: %s freed.\n",
               collection.stages, collection.downloads, packed, size);
    cz_store_close(&store);
    return status;
}

static const struct cz_verb verb_gc = {
    .name = "gc",
    .summary = "remove what interrupted imports left, and caches of models that are gone",
    .description = "Imports that are under way are not touched. Models never are.",
    .run = run_gc,
};

/* ---- The verb ---- */

static const struct cz_verb *const model_verbs[] = {
    &verb_list,
    &verb_get,
    &cz_verb_models_import,
    &cz_verb_models_export,
    &verb_delete,
    &verb_verify,
    &verb_gc,
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
