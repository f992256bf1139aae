/* selection.c - choosing the files of a model. */
#include "store/selection.h"

#include "base/file.h"
#include "store/manifest.h"
#include "store/tag.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

bool cz_select_is_safetensors(struct cz_slice name)
{
    return cz_slice_ends_with(name, ".safetensors") &&
           !cz_slice_starts_with(cz_slice(cz_path_name(name.data)), "consolidated");
}

bool cz_select_is_gguf(struct cz_slice name)
{
    return (cz_slice_ends_with(name, ".gguf") || cz_slice_ends_with(name, ".GGUF")) &&
           !cz_slice_starts_with(cz_slice(cz_path_name(name.data)), "mmproj");
}

bool cz_select_wants(struct cz_slice name)
{
    static const char *const endings[] = {".json", ".txt", ".model", ".jinja", ".md", NULL};
    static const char *const starts[] = {"LICENSE", "NOTICE", "USE_POLICY", NULL};
    if (memchr(name.data, '/', name.size) || name.data[0] == '.')
        return false;
    if (cz_select_is_safetensors(name))
        return true;
    for (const char *const *ending = endings; *ending; ending++) {
        if (cz_slice_ends_with(name, *ending))
            return !cz_slice_starts_with(name, "pytorch_model") &&
                   !cz_slice_starts_with(name, "consolidated");
    }
    for (const char *const *start = starts; *start; start++) {
        if (cz_slice_starts_with(name, *start))
            return true;
    }
    return false;
}

/* ---- Reading a folder ---- */

struct scan {
    struct cz_arena *arena;
    struct cloze_error *error;
    struct cz_selected_file *files; /* every regular file found, names relative to the top */
    struct cz_selected_file **tail;
    size_t count;
};

static bool has_controls(const char *name)
{
    for (; *name; name++) {
        if (iscntrl((unsigned char)*name))
            return true;
    }
    return false;
}

static cloze_status add_file(struct scan *scan, const char *path, const char *name, uint64_t size)
{
    if (scan->count == CZ_SELECTION_MAXIMUM_FILES)
        return cz_fail(scan->error, CLOZE_LIMIT, path, "more than %d files",
                       CZ_SELECTION_MAXIMUM_FILES);
    if (has_controls(name))
        return cz_fail(scan->error, CLOZE_INVALID, path, "its name holds control characters");
    struct cz_selected_file *file = CZ_ARENA_NEW(scan->arena, struct cz_selected_file);
    if (!file)
        return cz_fail_memory(scan->error, path);
    *file = (struct cz_selected_file){cz_arena_text(scan->arena, cz_slice(path)),
                                      cz_arena_text(scan->arena, cz_slice(name)), size, NULL};
    *scan->tail = file;
    scan->tail = &file->next;
    scan->count++;
    return file->path && file->name ? CLOZE_OK : cz_fail_memory(scan->error, path);
}

static cloze_status scan_folder(struct scan *scan, const char *folder, const char *prefix,
                                unsigned depth);

/* Links are followed (the Hugging Face cache is made of them); what is neither file nor folder is
 * passed over. */
static cloze_status scan_item(struct scan *scan, const char *folder, const char *prefix,
                              const char *item, unsigned depth)
{
    struct cz_buffer path = {0}, name = {0};
    struct stat info;
    cloze_status status = CLOZE_OK;
    if (!cz_path_join(&path, folder, item) || !cz_path_join(&name, prefix, item))
        status = cz_fail_memory(scan->error, folder);
    else if (stat(path.data, &info) != 0)
        status = cz_fail_errno(scan->error, path.data, "look at");
    else if (S_ISREG(info.st_mode))
        status = add_file(scan, path.data, name.data, (uint64_t)info.st_size);
    else if (S_ISDIR(info.st_mode) && depth)
        status = scan_folder(scan, path.data, name.data, depth - 1);
    cz_buffer_free(&path);
    cz_buffer_free(&name);
    return status;
}

static cloze_status scan_folder(struct scan *scan, const char *folder, const char *prefix,
                                unsigned depth)
{
    DIR *open_folder = opendir(folder);
    if (!open_folder)
        return cz_fail_errno(scan->error, folder, "list the folder");
    cloze_status status = CLOZE_OK;
    for (struct dirent *item; !status && (item = readdir(open_folder));) {
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0)
            status = scan_item(scan, folder, prefix, item->d_name, depth);
    }
    closedir(open_folder);
    return status;
}

/* ---- Choosing ---- */

/* The part of a name before its last '/', empty at the top. */
static struct cz_slice folder_of(const char *name)
{
    size_t size = (size_t)(cz_path_name(name) - name);
    return cz_slice_of(name, size ? size - 1 : 0);
}

static bool is_in(const struct cz_selected_file *file, struct cz_slice folder)
{
    return cz_slice_equal(folder_of(file->name), folder);
}

static bool has_file(const struct scan *scan, struct cz_slice folder, const char *base)
{
    for (const struct cz_selected_file *file = scan->files; file; file = file->next) {
        if (is_in(file, folder) && strcmp(cz_path_name(file->name), base) == 0)
            return true;
    }
    return false;
}

/* What model, if any, this file stands for: a model.yaml for its folder, a config.json with
 * safetensors beside it for its folder, a GGUF file (not the second and later shards) for itself.
 */
static enum cz_selection_form form_of(const struct scan *scan, const struct cz_selected_file *file)
{
    const char *base = cz_path_name(file->name);
    struct cz_slice folder = folder_of(file->name), name = cz_slice(base);
    if (strcmp(base, CZ_MANIFEST_FILE) == 0)
        return CZ_SELECTION_STORE;
    if (has_file(scan, folder, CZ_MANIFEST_FILE))
        return CZ_SELECTION_NONE;
    if (strcmp(base, "config.json") == 0) {
        for (const struct cz_selected_file *other = scan->files; other; other = other->next) {
            if (is_in(other, folder) && cz_select_is_safetensors(cz_slice(other->name)))
                return CZ_SELECTION_HF;
        }
        return CZ_SELECTION_NONE;
    }
    if (!cz_select_is_gguf(name))
        return CZ_SELECTION_NONE;
    const char *shard = strstr(base, "-of-");
    return !shard || shard - base < 5 || strncmp(shard - 5, "00001", 5) == 0 ? CZ_SELECTION_GGUF
                                                                             : CZ_SELECTION_NONE;
}

static bool belongs(enum cz_selection_form form, const struct cz_selected_file *file,
                    const struct cz_selected_file *chosen)
{
    struct cz_slice folder = folder_of(chosen->name), unused;
    const char *base = cz_path_name(file->name);
    if (form == CZ_SELECTION_STORE)
        return folder.size == 0 || (strncmp(file->name, folder.data, folder.size) == 0 &&
                                    file->name[folder.size] == '/');
    if (!is_in(file, folder))
        return false;
    if (form == CZ_SELECTION_HF)
        return cz_select_wants(cz_slice(base));
    const char *other = cz_path_name(chosen->name);
    size_t size = cz_gguf_stem(cz_slice(other), &unused);
    return file->path == chosen->path ||
           (strstr(other, "-of-") && strstr(base, "-of-") && cz_select_is_gguf(cz_slice(base)) &&
            cz_gguf_stem(cz_slice(base), &unused) == size && strncmp(base, other, size) == 0);
}

/* Keeps the chosen model's files, names relative to its folder. */
static cloze_status keep_files(struct scan *scan, enum cz_selection_form form,
                               const struct cz_selected_file *chosen, struct cz_selection *source)
{
    struct cz_selected_file model = *chosen; /* its name changes on the way */
    size_t prefix = (size_t)(cz_path_name(chosen->name) - chosen->name);
    struct cz_selected_file **tail = &source->files;
    size_t folder = (size_t)(cz_path_name(chosen->path) - chosen->path);
    source->form = form;
    source->folder = cz_arena_text(scan->arena, cz_slice_of(chosen->path, folder ? folder - 1 : 0));
    if (!source->folder)
        return cz_fail_memory(scan->error, chosen->path);
    for (struct cz_selected_file *file = scan->files, *next; file; file = next) {
        next = file->next;
        if (!belongs(form, file, &model))
            continue;
        file->name += prefix;
        file->next = NULL;
        *tail = file;
        tail = &file->next;
        source->count++;
        source->size_bytes += file->size;
    }
    return CLOZE_OK;
}

static cloze_status fail_none(struct scan *scan, const char *folder)
{
    for (const struct cz_selected_file *file = scan->files; file; file = file->next) {
        if (cz_slice_ends_with(cz_slice(file->name), ".bin") ||
            cz_slice_ends_with(cz_slice(file->name), ".pth"))
            return cz_fail(scan->error, CLOZE_UNSUPPORTED, folder,
                           "holds PyTorch weights (%s), which can run code when loaded: convert "
                           "them to safetensors",
                           cz_path_name(file->name));
    }
    return cz_fail(scan->error, CLOZE_NOT_FOUND, folder,
                   "holds no model: neither a GGUF file nor config.json with *.safetensors");
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct cz_selected_file *const *)a)->name,
                  (*(struct cz_selected_file *const *)b)->name);
}

/* readdir's order is the file system's: sorted, results don't depend on it. */
static cloze_status sort_files(struct scan *scan)
{
    struct cz_selected_file **order = calloc(scan->count + 1, sizeof *order);
    if (!order)
        return cz_fail_memory(scan->error, "the list of files");
    size_t count = 0;
    for (struct cz_selected_file *file = scan->files; file; file = file->next)
        order[count++] = file;
    qsort(order, count, sizeof *order, by_name);
    for (size_t i = 0; i < count; i++)
        order[i]->next = order[i + 1];
    scan->files = order[0];
    free(order);
    return CLOZE_OK;
}

/* The one model among the files. Forms are ranked: a GGUF file beside a Hugging Face model in the
 * same folder is passed over. */
static cloze_status choose(struct scan *scan, const char *folder, struct cz_selection *source)
{
    const struct cz_selected_file *chosen = NULL, *rival = NULL;
    enum cz_selection_form form = CZ_SELECTION_NONE;
    for (const struct cz_selected_file *file = scan->files; file; file = file->next) {
        enum cz_selection_form found = form_of(scan, file);
        if (found == CZ_SELECTION_NONE)
            continue;
        if (form == CZ_SELECTION_NONE || found < form) {
            chosen = file;
            form = found;
            rival = NULL;
        } else if (found == form) {
            rival = file;
        }
    }
    if (!chosen)
        return fail_none(scan, folder);
    if (rival)
        return cz_fail(scan->error, CLOZE_INVALID, folder,
                       "holds several models (%s, %s): name the one to import", chosen->name,
                       rival->name);
    return keep_files(scan, form, chosen, source);
}

/* A set "-00001-of-00003" has all its parts. */
static cloze_status check_shards(const struct cz_selection *source, const char *folder,
                                 struct cloze_error *error)
{
    const char *shard = source->form == CZ_SELECTION_GGUF && source->files
                            ? strstr(cz_path_name(source->files->name), "-of-")
                            : NULL;
    if (!shard || !isdigit((unsigned char)shard[4]))
        return CLOZE_OK;
    unsigned long wanted = strtoul(shard + 4, NULL, 10);
    if (wanted == source->count)
        return CLOZE_OK;
    return cz_fail(error, CLOZE_NOT_FOUND, folder, "%zu of the %lu shards of %s are there",
                   source->count, wanted, source->files->name);
}

cloze_status cz_select_folder(struct cz_arena *arena, const char *folder, bool deep,
                              struct cz_selection *source, struct cloze_error *error)
{
    struct scan scan = {.arena = arena, .error = error};
    scan.tail = &scan.files;
    *source = (struct cz_selection){0};
    struct cz_buffer manifest = {0};
    bool is_entry =
        cz_path_join(&manifest, folder, CZ_MANIFEST_FILE) && cz_file_exists(manifest.data);
    cz_buffer_free(&manifest);
    cloze_status status =
        scan_folder(&scan, folder, "", deep || is_entry ? CZ_SELECTION_MAXIMUM_DEPTH : 0);
    if (!status)
        status = sort_files(&scan);
    if (!status)
        status = choose(&scan, folder, source);
    return status ? status : check_shards(source, folder, error);
}

cloze_status cz_select_gguf(struct cz_arena *arena, const char *path, struct cz_selection *source,
                            struct cloze_error *error)
{
    struct scan scan = {.arena = arena, .error = error};
    scan.tail = &scan.files;
    *source = (struct cz_selection){0};
    const char *base = cz_path_name(path);
    char *folder = base == path ? strdup(".") : strndup(path, (size_t)(base - path));
    cloze_status status = folder ? scan_folder(&scan, folder, "", 0) : cz_fail_memory(error, path);
    if (!status)
        status = sort_files(&scan);
    const struct cz_selected_file *chosen = NULL;
    for (struct cz_selected_file *file = scan.files; !status && file; file = file->next) {
        if (strcmp(file->name, base) == 0)
            chosen = file;
    }
    if (!status && !chosen)
        status = cz_fail(error, CLOZE_NOT_FOUND, path, "is not a regular file");
    if (!status)
        status = keep_files(&scan, CZ_SELECTION_GGUF, chosen, source);
    if (!status)
        status = check_shards(source, folder, error);
    free(folder);
    return status;
}
