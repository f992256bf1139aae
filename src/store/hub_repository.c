/* hub_repository.c - addresses and listings of the Hugging Face Hub. */
#include "store/hub_repository.h"

#include "base/file.h"
#include "store/selection.h"
#include "store/tag.h"

#include <ctype.h>
#include <strings.h>

/* ---- Addresses ---- */

static bool is_id_character(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.';
}

/* "org/name" or "name": letters, digits, - _ . ; no part begins with a dot. */
static bool is_id(const char *id)
{
    int slashes = 0;
    for (const char *at = id; *at; at++) {
        bool first = at == id || at[-1] == '/';
        if (*at == '/' && (first || ++slashes > 1))
            return false;
        if (*at != '/' && (!is_id_character(*at) || (first && *at == '.')))
            return false;
    }
    return *id && id[strlen(id) - 1] != '/';
}

/* Revisions and choices go into paths and addresses: no controls, blanks or "..". */
static bool is_plain(const char *text)
{
    for (const char *at = text; *at; at++) {
        if (!isgraph((unsigned char)*at))
            return false;
    }
    return !strstr(text, "..") && text[0] != '/';
}

static bool copy_part(char out[CZ_HUB_PART], const char *from, size_t size)
{
    if (size == 0 || size >= CZ_HUB_PART)
        return false;
    memcpy(out, from, size);
    out[size] = '\0';
    return true;
}

cloze_status cz_hub_address_parse(const char *text, struct cz_hub_address *address,
                                  struct cloze_error *error)
{
    *address = (struct cz_hub_address){.revision = "main"};
    const char *at = text + (strncmp(text, "hf:", 3) == 0 ? 3 : 0);
    size_t size = strcspn(at, "@:");
    bool ok = copy_part(address->id, at, size) && is_id(address->id);
    at += size;
    if (ok && *at == '@') {
        size = strcspn(++at, ":");
        ok = copy_part(address->revision, at, size) && is_plain(address->revision);
        at += size;
    }
    if (ok && *at == ':')
        ok = copy_part(address->choice, at + 1, strlen(at + 1)) && is_plain(address->choice);
    return ok ? CLOZE_OK
              : cz_fail(error, CLOZE_INVALID, text,
                        "is not hf:ORG/NAME[@REVISION][:FILE or QUANTISATION]");
}

/* ---- Listings ---- */

static bool is_hexadecimal(const char *text, size_t size)
{
    return text && strlen(text) == size && strspn(text, "0123456789abcdef") == size;
}

/* A copy of a member's text; NULL when it is missing or no text. */
static const char *text_of(struct cz_arena *arena, const struct cz_json *object, const char *key)
{
    struct cz_slice text;
    return cz_json_string(cz_json_get(object, key), &text) ? cz_arena_text(arena, text) : NULL;
}

/* One of "siblings": {"rfilename", "size", "blobId", "lfs": {"sha256", "size"}}. Names that are not
 * safe are left out: they can't be wanted. */
static bool read_file(struct cz_arena *arena, const struct cz_json *item, struct cz_hub_file *file)
{
    const struct cz_json *lfs = cz_json_get(item, "lfs");
    int64_t size = -1;
    *file = (struct cz_hub_file){.path = text_of(arena, item, "rfilename")};
    if (!file->path || !cz_path_is_safe(cz_slice(file->path)) || !is_plain(file->path))
        return false;
    if (cz_json_is(lfs, CZ_JSON_OBJECT)) {
        file->sha256 = text_of(arena, lfs, "sha256");
        if (!is_hexadecimal(file->sha256, 64))
            file->sha256 = NULL;
        cz_json_int64(cz_json_get(lfs, "size"), &size);
    } else {
        file->sha1 = text_of(arena, item, "blobId");
        if (!is_hexadecimal(file->sha1, 40))
            file->sha1 = NULL;
    }
    if (size < 0)
        cz_json_int64(cz_json_get(item, "size"), &size);
    file->size = size < 0 ? 0 : (uint64_t)size;
    return size >= 0;
}

cloze_status cz_hub_listing_parse(struct cz_arena *arena, struct cz_slice json,
                                  struct cz_hub_listing *listing, struct cloze_error *error)
{
    struct cz_json *tree;
    struct cz_json_options options = {.maximum_size = CZ_HUB_MAXIMUM_LISTING};
    *listing = (struct cz_hub_listing){0};
    cloze_status status = cz_json_parse(arena, json, &options, &tree, error);
    if (status)
        return status;
    const struct cz_json *siblings = cz_json_get(tree, "siblings");
    listing->commit = text_of(arena, tree, "sha");
    if (!is_hexadecimal(listing->commit, CZ_HUB_COMMIT) || !cz_json_is(siblings, CZ_JSON_ARRAY))
        return cz_fail(error, CLOZE_NETWORK, NULL,
                       "the hub's answer has no commit or no list of files");
    listing->files = CZ_ARENA_ARRAY(arena, struct cz_hub_file, (size_t)siblings->count + 1);
    if (!listing->files)
        return cz_fail_memory(error, "the hub's list of files");
    CZ_JSON_EACH(item, siblings)
    {
        if (read_file(arena, item, &listing->files[listing->count]))
            listing->count++;
    }
    return CLOZE_OK;
}

/* ---- Choosing ---- */

static size_t choose_shards(struct cz_hub_listing *listing, const struct cz_hub_file *first)
{
    struct cz_slice unused;
    struct cz_slice path = cz_slice(first->path);
    size_t stem = cz_gguf_stem(path, &unused), count = 0;
    bool sharded = strstr(first->path, "-of-") != NULL;
    for (size_t i = 0; i < listing->count; i++) {
        struct cz_hub_file *file = &listing->files[i];
        struct cz_slice other = cz_slice(file->path), quant, first_quant;
        cz_gguf_stem(path, &first_quant);
        file->chosen = file == first ||
                       (sharded && strstr(file->path, "-of-") && cz_select_is_gguf(other) &&
                        cz_gguf_stem(other, &quant) == stem && cz_slice_equal(quant, first_quant) &&
                        memcmp(file->path, first->path, stem) == 0);
        count += file->chosen;
    }
    return count;
}

static bool is_first_shard(const char *path)
{
    const char *of = strstr(path, "-of-");
    return !of || of - path < 5 || strncmp(of - 5, "00001", 5) == 0;
}

static bool same_quant(struct cz_slice quant, const char *choice)
{
    return quant.size == strlen(choice) && strncasecmp(quant.data, choice, quant.size) == 0;
}

/* "a.Q4_0.gguf, a.Q8_0.gguf, ..." */
static void list_ggufs(const struct cz_hub_listing *listing, struct cz_buffer *out)
{
    for (size_t i = 0; i < listing->count; i++) {
        const char *path = listing->files[i].path;
        if (cz_select_is_gguf(cz_slice(path)) && is_first_shard(path))
            cz_buffer_printf(out, "%s%s", out->size ? ", " : "", path);
    }
}

static cloze_status fail_choice(const struct cz_hub_listing *listing,
                                const struct cz_hub_address *address, const char *problem,
                                struct cloze_error *error)
{
    struct cz_buffer names = {.maximum = 600};
    list_ggufs(listing, &names);
    cloze_status status = cz_fail(error, CLOZE_NOT_FOUND, address->id, "%s%s%s", problem,
                                  names.size ? "; its GGUF files: " : "", cz_buffer_text(&names));
    cz_buffer_free(&names);
    return status;
}

/* The only GGUF (first shard) that has the quantisation, or any when `choice` is empty. */
static struct cz_hub_file *only_gguf(struct cz_hub_listing *listing, const char *choice,
                                     size_t *count)
{
    struct cz_hub_file *found = NULL;
    *count = 0;
    for (size_t i = 0; i < listing->count; i++) {
        struct cz_slice quant, path = cz_slice(listing->files[i].path);
        if (!cz_select_is_gguf(path) || !is_first_shard(path.data))
            continue;
        cz_gguf_stem(path, &quant);
        if (*choice && !same_quant(quant, choice))
            continue;
        found = &listing->files[i];
        (*count)++;
    }
    return found;
}

static cloze_status choose_by_word(struct cz_hub_listing *listing,
                                   const struct cz_hub_address *address, struct cloze_error *error)
{
    struct cz_hub_file *found = NULL;
    size_t count = 0;
    for (size_t i = 0; i < listing->count; i++) {
        if (strcmp(listing->files[i].path, address->choice) == 0)
            found = &listing->files[i];
    }
    if (found && !cz_select_is_gguf(cz_slice(found->path)))
        return cz_fail(error, CLOZE_UNSUPPORTED, address->choice,
                       "only a GGUF file can be chosen by name; without a name the safetensors are "
                       "imported");
    if (!found)
        found = only_gguf(listing, address->choice, &count);
    if (!found)
        return fail_choice(listing, address, "the repository has no such file or quantisation",
                           error);
    if (count > 1)
        return fail_choice(listing, address, "several files have that quantisation: name one",
                           error);
    choose_shards(listing, found);
    return CLOZE_OK;
}

static cloze_status choose_by_form(struct cz_hub_listing *listing,
                                   const struct cz_hub_address *address, struct cloze_error *error)
{
    bool safetensors = false, config = false, torch = false;
    size_t count;
    for (size_t i = 0; i < listing->count; i++) {
        struct cz_slice path = cz_slice(listing->files[i].path);
        bool top = !memchr(path.data, '/', path.size);
        safetensors |= top && cz_select_is_safetensors(path);
        config |= cz_slice_is(path, "config.json");
        torch |= top && cz_slice_ends_with(path, ".bin");
    }
    if (safetensors && config) {
        for (size_t i = 0; i < listing->count; i++)
            listing->files[i].chosen = cz_select_wants(cz_slice(listing->files[i].path));
        return CLOZE_OK;
    }
    struct cz_hub_file *found = only_gguf(listing, "", &count);
    if (count > 1)
        return fail_choice(listing, address,
                           "the repository has several GGUF files: choose one with :FILE or "
                           ":QUANTISATION",
                           error);
    if (!found && torch)
        return cz_fail(error, CLOZE_UNSUPPORTED, address->id,
                       "the repository has only PyTorch's *.bin weights, which can run code when "
                       "loaded: take one with safetensors");
    if (!found)
        return cz_fail(error, CLOZE_NOT_FOUND, address->id,
                       "the repository holds no model: neither config.json with *.safetensors nor "
                       "a GGUF file");
    choose_shards(listing, found);
    return CLOZE_OK;
}

cloze_status cz_hub_listing_choose(struct cz_hub_listing *listing,
                                   const struct cz_hub_address *address, struct cloze_error *error)
{
    for (size_t i = 0; i < listing->count; i++)
        listing->files[i].chosen = false;
    return address->choice[0] ? choose_by_word(listing, address, error)
                              : choose_by_form(listing, address, error);
}
