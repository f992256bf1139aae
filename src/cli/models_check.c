/* models_check.c - `cloze models verify` and `gc`: the store compared with itself, and cleaned. */
#include "cli/models.h"

#include "base/file.h"
#include "base/progress.h"
#include "engine/identity.h"
#include "engine/packed_file.h"
#include "store/stage.h"
#include "store/verify.h"
#include "json/writer.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- verify ---- */

static const enum cz_quantize forms[] = {CZ_QUANTIZE_KEEP, CZ_QUANTIZE_Q8, CZ_QUANTIZE_Q4,
                                         CZ_QUANTIZE_BF16};
enum { FORMS = sizeof forms / sizeof *forms };

/* Compares one packed form of a model, when it is there, with its own checksum. */
static cloze_status verify_form(const struct cz_store *store, const char *source_digest,
                                enum cz_quantize form, bool *packed, struct cloze_error *error)
{
    char digest[CZ_SHA256_TEXT + 1];
    struct cz_buffer path = {0};
    struct cz_packed_model model = {0};
    cloze_status status = cz_packed_digest(source_digest, form, digest, error);
    if (status)
        return status;
    cz_packed_path(&path, store->cache, digest);
    status = cz_buffer_status(&path, "the packed model", error);
    bool there = !status && cz_file_exists(path.data);
    if (there)
        status = cz_packed_open(path.data, digest, &model, error);
    if (there && !status) {
        status = cz_packed_verify(&model, path.data, error);
        cz_packed_close(&model);
    }
    *packed |= there;
    cz_buffer_free(&path);
    return status;
}

static cloze_status verify_packed(const struct cz_store *store, const struct cz_store_entry *entry,
                                  bool *packed, struct cloze_error *error)
{
    char digest[CZ_SHA256_TEXT + 1];
    cloze_status status = cz_source_digest(entry->path, store->cache, digest, error);
    for (size_t i = 0; i < FORMS && !status; i++)
        status = verify_form(store, digest, forms[i], packed, error);
    return status;
}

/* What was found out about one model. */
struct verdict {
    struct cz_verification result;
    bool packed;
    cloze_status status;
    struct cloze_error error;
};

static void verify_one(const struct cz_store *store, const struct cz_store_entry *entry, bool quiet,
                       struct verdict *verdict)
{
    struct cz_progress progress;
    struct cloze_error *error = &verdict->error;
    *verdict = (struct verdict){.status = CLOZE_OK};
    cz_progress_start(&progress, quiet || !isatty(STDERR_FILENO));
    if (entry->damage)
        verdict->status = cz_fail(error, CLOZE_CORRUPT, NULL, "%s", entry->damage);
    else
        verdict->status =
            cz_store_verify(entry, cz_models_progress, &progress, &verdict->result, error);
    if (!verdict->status)
        verdict->status = verify_packed(store, entry, &verdict->packed, error);
    cz_progress_end(&progress);
}

static void print_verdict(const char *tag, const struct verdict *verdict)
{
    const struct cloze_error *error = &verdict->error;
    if (verdict->status)
        printf("%s: DAMAGED: %s%s%s\n", tag, error->where, error->where[0] ? ": " : "",
               error->message);
    else if (!verdict->result.has_checksums)
        printf("%s: tensors are well formed; no digests were recorded for it\n", tag);
    else
        printf("%s: OK (%zu files%s)\n", tag, verdict->result.files,
               verdict->packed ? " and the packed form" : "");
}

static void write_verdict(const char *tag, const struct verdict *verdict,
                          struct cz_json_writer *writer)
{
    cz_json_begin_object(writer);
    cz_json_write_member_string(writer, "tag", tag);
    cz_json_write_member_bool(writer, "ok", !verdict->status);
    cz_json_write_member_int(writer, "files", (int64_t)verdict->result.files);
    cz_json_write_member_bool(writer, "packed", verdict->packed);
    if (verdict->status) {
        cz_json_write_member_string(writer, "where", verdict->error.where);
        cz_json_write_member_string(writer, "error", verdict->error.message);
    }
    cz_json_end_object(writer);
}

/* Verifies all of the list and prints what it finds; returns how many are damaged. */
static size_t verify_list(const struct cz_store *store, const struct cz_store_list *list,
                          bool quiet, bool json)
{
    struct cz_buffer text = {0};
    struct cz_json_writer writer = {.out = &text, .style = CZ_JSON_PRETTY};
    size_t damaged = 0;
    cz_json_begin_array(&writer);
    for (size_t i = 0; i < list->count; i++) {
        struct verdict verdict;
        char tag[CZ_TAG_TEXT];
        cz_tag_text(&list->entries[i].tag, tag);
        verify_one(store, &list->entries[i], quiet, &verdict);
        damaged += verdict.status != CLOZE_OK;
        if (json)
            write_verdict(tag, &verdict, &writer);
        else
            print_verdict(tag, &verdict);
    }
    cz_json_end_array(&writer);
    if (json)
        puts(cz_buffer_text(&text));
    cz_buffer_free(&text);
    return damaged;
}

static cloze_status run_verify(struct cz_arguments *arguments, struct cloze_error *error)
{
    struct cz_store store;
    struct cz_store_list list = {0};
    struct cz_store_entry entry = {0};
    const char *tag = cz_argument(arguments, "TAG");
    size_t damaged = 0;
    cloze_status status = cz_store_open(NULL, &store, error);
    if (!status && tag) {
        status = cz_store_find(&store, tag, &entry, error);
        if (status == CLOZE_CORRUPT && entry.path)
            status = CLOZE_OK; /* found, and damaged: that is the verdict */
    } else if (!status) {
        status = cz_store_list(&store, NULL, &list, error);
    }
    if (!status)
        damaged = verify_list(&store, tag ? &(struct cz_store_list){&entry, 1} : &list,
                              cz_is_quiet(arguments), cz_flag_given(arguments, "json"));
    if (!status && damaged)
        status = cz_fail(error, CLOZE_CORRUPT, NULL,
                         "%zu damaged %s: delete and import again, or restore the files", damaged,
                         damaged == 1 ? "model" : "models");
    cz_store_entry_free(&entry);
    cz_store_list_free(&list);
    cz_store_close(&store);
    return status;
}

static const struct cz_flag verify_flags[] = {
    {.name = "json", .help = "print the verdicts as JSON"},
    {.name = NULL},
};

static const struct cz_parameter verify_parameters[] = {
    {.name = "TAG",
     .kind = CZ_VALUE_MODEL,
     .optional = true,
     .help = "the model to check; without it all are"},
    {.name = NULL},
};

const struct cz_verb cz_verb_models_verify = {
    .name = "verify",
    .summary = "compare models with the digests recorded at their import",
    .description = "Reads every file, compares its SHA-256 with SHA256SUMS in the model's folder, "
                   "checks all tensors, and the packed form in the cache where there is one.",
    .flags = verify_flags,
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
    for (size_t i = 0; !wanted && i < count * FORMS; i++) {
        char digest[CZ_SHA256_TEXT + 1];
        if (cz_packed_digest(digests[i / FORMS], forms[i % FORMS], digest, NULL))
            return true; /* not known: kept */
        cz_packed_path(&path, store->cache, digest);
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

static void print_collection(const struct cz_collection *collection, size_t packed, bool json)
{
    char size[CZ_SIZE_TEXT];
    cz_size_text(collection->size_bytes, size);
    if (!json) {
        printf("Removed %zu unfinished imports, %zu downloads and %zu packed models: %s freed.\n",
               collection->stages, collection->downloads, packed, size);
        return;
    }
    struct cz_buffer text = {0};
    struct cz_json_writer writer = {.out = &text, .style = CZ_JSON_SPACED};
    cz_json_begin_object(&writer);
    cz_json_write_member_int(&writer, "unfinished_imports", (int64_t)collection->stages);
    cz_json_write_member_int(&writer, "downloads", (int64_t)collection->downloads);
    cz_json_write_member_int(&writer, "packed_models", (int64_t)packed);
    cz_json_write_member_int(&writer, "freed_bytes", (int64_t)collection->size_bytes);
    cz_json_end_object(&writer);
    puts(cz_buffer_text(&text));
    cz_buffer_free(&text);
}

static cloze_status run_gc(struct cz_arguments *arguments, struct cloze_error *error)
{
    struct cz_store store;
    struct cz_collection collection = {0};
    size_t packed = 0;
    cloze_status status = cz_store_open(NULL, &store, error);
    if (!status)
        status = cz_store_collect(&store, &collection, error);
    if (!status)
        status = collect_packed(&store, &packed, &collection.size_bytes, error);
    if (!status)
        print_collection(&collection, packed, cz_flag_given(arguments, "json"));
    cz_store_close(&store);
    return status;
}

static const struct cz_flag gc_flags[] = {
    {.name = "json", .help = "print what was removed as JSON"},
    {.name = NULL},
};

const struct cz_verb cz_verb_models_gc = {
    .name = "gc",
    .summary = "remove what interrupted imports left, and caches of models that are gone",
    .description = "Imports that are under way are not touched. Models never are.",
    .flags = gc_flags,
    .run = run_gc,
};
