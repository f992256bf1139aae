/* manifest.c - model.yaml read into a tree and written from one. */
#include "store/manifest.h"

#include "base/clock.h"
#include "base/file.h"
#include "json/writer.h"
#include "json/yaml.h"

#include <stdio.h>
#include <time.h>

/* Reads exactly `digits` digits at *at. */
static bool read_digits(struct cz_slice text, size_t *at, unsigned digits, int *value)
{
    *value = 0;
    for (unsigned i = 0; i < digits; i++, (*at)++) {
        if (*at >= text.size || text.data[*at] < '0' || text.data[*at] > '9')
            return false;
        *value = *value * 10 + (text.data[*at] - '0');
    }
    return true;
}

static bool read_byte(struct cz_slice text, size_t *at, const char *set)
{
    if (*at >= text.size || !text.data[*at] || !strchr(set, text.data[*at]))
        return false;
    (*at)++;
    return true;
}

/* ".317038", any number of digits, as microseconds. */
static uint64_t read_fraction(struct cz_slice text, size_t *at)
{
    uint64_t us = 0;
    uint64_t unit = 100000;
    for (int digit; read_digits(text, at, 1, &digit); unit /= 10)
        us += unit * (uint64_t)digit;
    return us;
}

static bool read_offset(struct cz_slice text, size_t *at, int *seconds)
{
    int hours, minutes = 0;
    *seconds = 0;
    if (*at == text.size || read_byte(text, at, "Zz"))
        return true;
    bool minus = text.data[*at] == '-';
    if (!read_byte(text, at, "+-") || !read_digits(text, at, 2, &hours))
        return false;
    if (read_byte(text, at, ":") && !read_digits(text, at, 2, &minutes))
        return false;
    *seconds = (minus ? -60 : 60) * (60 * hours + minutes);
    return true;
}

bool cz_manifest_time(struct cz_slice text, uint64_t *us)
{
    struct tm date = {0};
    size_t at = 0;
    int offset;
    if (!read_digits(text, &at, 4, &date.tm_year) || !read_byte(text, &at, "-") ||
        !read_digits(text, &at, 2, &date.tm_mon) || !read_byte(text, &at, "-") ||
        !read_digits(text, &at, 2, &date.tm_mday) || !read_byte(text, &at, "Tt ") ||
        !read_digits(text, &at, 2, &date.tm_hour) || !read_byte(text, &at, ":") ||
        !read_digits(text, &at, 2, &date.tm_min) || !read_byte(text, &at, ":") ||
        !read_digits(text, &at, 2, &date.tm_sec))
        return false;
    uint64_t fraction = read_byte(text, &at, ".") ? read_fraction(text, &at) : 0;
    if (!read_offset(text, &at, &offset) || at != text.size || date.tm_year < 1971 ||
        date.tm_mon < 1 || date.tm_mon > 12 || date.tm_mday < 1 || date.tm_mday > 31 ||
        date.tm_hour > 23 || date.tm_min > 59 || date.tm_sec > 60)
        return false;
    date.tm_year -= 1900;
    date.tm_mon -= 1;
    *us = (uint64_t)(timegm(&date) - offset) * 1000000u + fraction;
    return true;
}

static cloze_status read_tag_part(const struct cz_json *tree, const char *key,
                                  char out[CZ_TAG_PART + 1], struct cloze_error *error)
{
    struct cz_slice part;
    if (!cz_json_string(cz_json_get(tree, key), &part))
        return cz_fail(error, CLOZE_CORRUPT, NULL, "has no text '%s'", key);
    if (!cz_tag_part_is_valid(part))
        return cz_fail(error, CLOZE_CORRUPT, NULL, "'%s' is not part of a tag: " CZ_SLICE_FORMAT,
                       key, CZ_SLICE_ARG(part));
    memcpy(out, part.data, part.size);
    out[part.size] = '\0';
    return CLOZE_OK;
}

cloze_status cz_manifest_parse(struct cz_arena *arena, struct cz_slice text,
                               struct cz_manifest *manifest, struct cloze_error *error)
{
    struct cz_json *tree;
    struct cz_slice time;
    *manifest = (struct cz_manifest){0};
    cloze_status status = cz_yaml_parse(arena, text, &tree, error);
    if (status)
        return status;
    if (!cz_json_is(tree, CZ_JSON_OBJECT))
        return cz_fail(error, CLOZE_CORRUPT, NULL, "is not a mapping, but %s",
                       cz_json_kind_name(tree));
    status = read_tag_part(tree, "name", manifest->tag.name, error);
    if (!status)
        status = read_tag_part(tree, "version", manifest->tag.version, error);
    if (status)
        return status;
    if (!cz_json_string(cz_json_get(tree, "creation_time"), &time) ||
        !cz_manifest_time(time, &manifest->creation_us))
        return cz_fail(error, CLOZE_CORRUPT, NULL, "has no creation_time in ISO 8601");
    cz_json_string(cz_json_get(tree, "module"), &manifest->module);
    manifest->tree = tree;
    return CLOZE_OK;
}

cloze_status cz_manifest_read(struct cz_arena *arena, const char *folder,
                              struct cz_manifest *manifest, struct cloze_error *error)
{
    struct cz_buffer path = {0}, text = {.maximum = CZ_YAML_MAXIMUM_SIZE};
    cloze_status status = CLOZE_MEMORY;
    if (cz_path_join(&path, folder, CZ_MANIFEST_FILE))
        status = cz_file_read(path.data, &text, error);
    else
        cz_fail_memory(error, folder);
    if (!status) {
        status = cz_manifest_parse(arena, cz_buffer_slice(&text), manifest, error);
        if (status)
            cz_error_at(error, path.data);
    }
    cz_buffer_free(&text);
    cz_buffer_free(&path);
    return status;
}

static void write_text(struct cz_json_writer *writer, const char *key, const char *text)
{
    if (text && *text)
        cz_json_write_member_string(writer, key, text);
}

static void write_empty(struct cz_json_writer *writer, const char *key)
{
    cz_json_write_key(writer, key);
    cz_json_begin_object(writer);
    cz_json_end_object(writer);
}

static void write_metadata(struct cz_json_writer *writer, const struct cz_manifest_facts *facts)
{
    cz_json_write_key(writer, "metadata");
    cz_json_begin_object(writer);
    write_text(writer, "model_id", facts->model_id);
    write_text(writer, "revision", facts->revision);
    write_text(writer, "source", facts->source);
    write_text(writer, "format", facts->format);
    write_text(writer, "architecture", facts->architecture);
    write_text(writer, "quantize", facts->quantize);
    if (facts->parameters)
        cz_json_write_member_int(writer, "parameters", (int64_t)facts->parameters);
    cz_json_end_object(writer);
}

static void write_context(struct cz_json_writer *writer)
{
    cz_json_write_key(writer, "context");
    cz_json_begin_object(writer);
    cz_json_write_member_string(writer, "framework_name", "cloze");
    cz_json_write_key(writer, "framework_versions");
    cz_json_begin_object(writer);
    cz_json_write_member_string(writer, "cloze", cloze_version());
    cz_json_end_object(writer);
    cz_json_write_member_string(writer, "bentoml_version", CZ_MANIFEST_BENTOML_VERSION);
    cz_json_write_member_string(writer, "python_version", "");
    cz_json_end_object(writer);
}

struct cz_slice cz_manifest_quantize(const struct cz_manifest *manifest)
{
    const struct cz_json *metadata = cz_json_get(manifest->tree, "metadata");
    struct cz_slice text;
    return cz_json_string(cz_json_get(metadata, "quantize"), &text) ? text : CZ_SLICE("keep");
}

cloze_status cz_manifest_write(const struct cz_tag *tag, uint64_t creation_us,
                               const struct cz_manifest_facts *facts, struct cz_buffer *out,
                               struct cloze_error *error)
{
    struct cz_buffer json = {0};
    struct cz_arena arena = {0};
    struct cz_json *tree;
    struct cz_json_writer writer = {.out = &json};
    char time[CZ_CLOCK_ISO_SIZE];
    cz_clock_iso(creation_us, time);
    cz_json_begin_object(&writer);
    cz_json_write_member_string(&writer, "name", tag->name);
    cz_json_write_member_string(&writer, "version", tag->version);
    cz_json_write_member_string(&writer, "module", "");
    write_empty(&writer, "labels");
    write_empty(&writer, "options");
    write_metadata(&writer, facts);
    write_context(&writer);
    write_empty(&writer, "signatures");
    cz_json_write_member_string(&writer, "api_version", "v1");
    cz_json_write_member_string(&writer, "creation_time", time);
    cz_json_end_object(&writer);
    cloze_status status = cz_buffer_status(&json, CZ_MANIFEST_FILE, error);
    if (!status)
        status = cz_json_parse(&arena, cz_buffer_slice(&json), NULL, &tree, error);
    if (!status)
        status = cz_yaml_write(tree, out, error);
    cz_arena_free(&arena);
    cz_buffer_free(&json);
    return status;
}

cloze_status cz_manifest_rename(const struct cz_manifest *manifest, const struct cz_tag *tag,
                                struct cz_buffer *out, struct cloze_error *error)
{
    /* A shallow copy of the root and its members, with two of them replaced. */
    struct cz_arena arena = {0};
    struct cz_json root = *manifest->tree;
    struct cz_json **tail = &root.first;
    cloze_status status = CLOZE_OK;
    struct cz_slice name = {tag->name, strnlen(tag->name, CZ_TAG_PART)};
    struct cz_slice version = {tag->version, strnlen(tag->version, CZ_TAG_PART)};
    CZ_JSON_EACH(member, manifest->tree)
    {
        struct cz_json *copy = CZ_ARENA_NEW(&arena, struct cz_json);
        if (!copy) {
            status = cz_fail_memory(error, CZ_MANIFEST_FILE);
            break;
        }
        *copy = *member;
        if (cz_slice_is(cz_json_key(member), "name"))
            copy->text = name;
        if (cz_slice_is(cz_json_key(member), "version"))
            copy->text = version;
        *tail = copy;
        tail = &copy->next;
    }
    if (!status)
        status = cz_yaml_write(&root, out, error);
    cz_arena_free(&arena);
    return status;
}
