/* call.c - `cloze call`: one call of a service's endpoint. */
#include "cli/verb.h"

#include "base/file.h"
#include "client/client.h"
#include "json/writer.h"
#include "service/service.h"

#include <stdlib.h>

enum { LARGEST_FILE = 16 << 20, MOST_NAMES = 100 };

/* ---- Arguments ---- */

static cloze_status unknown_name(const struct cz_json *properties, struct cz_slice name,
                                 struct cloze_error *error)
{
    const char *names[MOST_NAMES + 1] = {0};
    struct cz_arena arena = {0};
    struct cz_buffer list = {.maximum = 300};
    size_t count = 0;
    for (const struct cz_json *item = properties->first; item && count < MOST_NAMES;
         item = item->next) {
        names[count] = cz_arena_text(&arena, cz_json_key(item));
        if (!names[count])
            break;
        cz_buffer_printf(&list, "%s%s", count ? ", " : "", names[count]);
        count++;
    }
    const char *nearest = cz_nearest_name(name, names);
    cloze_status status =
        cz_fail(error, CLOZE_INVALID, NULL, "the endpoint has no argument '" CZ_SLICE_FORMAT "'%s%s%s",
                CZ_SLICE_ARG(name), nearest ? "; did you mean '" : "; it has: ",
                nearest ? nearest : cz_buffer_text(&list), nearest ? "'?" : "");
    cz_buffer_free(&list);
    cz_arena_free(&arena);
    return status;
}

/* A value as the property's type wants it: text for strings, JSON for all else. */
static cloze_status write_value(const struct cz_json *property, struct cz_slice name,
                                struct cz_slice value, struct cz_json_writer *writer,
                                struct cloze_error *error)
{
    struct cz_slice type = {0};
    struct cz_arena arena = {0};
    struct cz_json *parsed;
    cz_json_string(cz_json_get(property, "type"), &type);
    bool is_json = !cz_slice_is(type, "string") &&
                   cz_json_parse(&arena, value, NULL, &parsed, NULL) == CLOZE_OK;
    cloze_status status = CLOZE_OK;
    if (is_json)
        cz_json_write_value(writer, parsed);
    else if (type.size == 0 || cz_slice_is(type, "string"))
        cz_json_write_slice(writer, value);
    else
        status = cz_fail(error, CLOZE_INVALID, NULL,
                         "'" CZ_SLICE_FORMAT "' has to be JSON of the type " CZ_SLICE_FORMAT,
                         CZ_SLICE_ARG(name), CZ_SLICE_ARG(type));
    cz_arena_free(&arena);
    return status;
}

/* "name=value", or "name=@FILE" for the file's content. */
static cloze_status write_argument(const struct cz_json *properties, const char *word,
                                   struct cz_json_writer *writer, struct cloze_error *error)
{
    const char *equals = strchr(word, '=');
    if (!equals)
        return cz_fail(error, CLOZE_INVALID, word, "arguments look like name=value");
    struct cz_slice name = cz_slice_of(word, (size_t)(equals - word));
    const struct cz_json *property = cz_json_get_slice(properties, name);
    if (!property)
        return unknown_name(properties, name, error);
    struct cz_buffer content = {.maximum = LARGEST_FILE};
    struct cz_slice value = cz_slice(equals + 1);
    cloze_status status = CLOZE_OK;
    if (value.size && value.data[0] == '@') {
        status = cz_file_read(equals + 2, &content, error);
        value = cz_buffer_slice(&content);
    }
    cz_json_write_key_slice(writer, name);
    if (!status)
        status = write_value(property, name, value, writer, error);
    cz_buffer_free(&content);
    return status;
}

static cloze_status write_arguments(const struct cz_arguments *arguments,
                                    const struct cz_json *endpoint, struct cz_buffer *body,
                                    struct cloze_error *error)
{
    static const struct cz_json none = {.kind = CZ_JSON_OBJECT};
    const struct cz_json *properties =
        cz_json_get(cz_json_get(endpoint, "input"), "properties");
    struct cz_json_writer writer = {.out = body};
    if (!cz_json_is(properties, CZ_JSON_OBJECT))
        properties = &none;
    cz_json_begin_object(&writer);
    const char *word;
    for (size_t i = 0; (word = cz_argument_each(arguments, "ARGUMENT", i)); i++) {
        cloze_status status = write_argument(properties, word, &writer, error);
        if (status)
            return status;
    }
    cz_json_end_object(&writer);
    return cz_buffer_status(body, "arguments", error);
}

/* ---- The verb ---- */

static cloze_status run(struct cz_arguments *arguments, struct cloze_error *error)
{
    const char *name = cz_argument(arguments, "ENDPOINT");
    const char *key = cz_flag_text(arguments, "api-key");
    struct cloze_client *client;
    struct cloze_client_options options = {
        .api_key = key ? key : getenv("CLOZE_API_KEY"),
        .timeout_s = (unsigned)cz_flag_integer(arguments, "timeout")};
    cloze_status status =
        cloze_client_open(cz_argument(arguments, "URL"), &options, &client, error);
    if (status)
        return status;
    struct cz_buffer body = {0};
    const char *answer = NULL;
    const struct cz_json *endpoint = cz_client_endpoint(client, name);
    if (endpoint)
        status = write_arguments(arguments, endpoint, &body, error);
    if (!status)
        status = cloze_client_call(client, name, body.data, &answer, NULL, error);
    if (!status) {
        size_t size = strlen(answer);
        printf("%s%s", answer, size && answer[size - 1] == '\n' ? "" : "\n");
    }
    cz_buffer_free(&body);
    cloze_client_close(client);
    return status;
}

static const struct cz_flag flags[] = {
    {.name = "api-key", .kind = CZ_VALUE_TEXT, .value = "KEY",
     .help = "send this key; else that of the environment's CLOZE_API_KEY"},
    {.name = "timeout", .kind = CZ_VALUE_INTEGER, .value = "SECONDS", .fallback = "600",
     .help = "give up after so long", .minimum = 1, .maximum = 86400},
    {.name = NULL},
};

static const struct cz_parameter parameters[] = {
    {.name = "URL", .help = "where the service is: http://localhost:3000", .kind = CZ_VALUE_TEXT},
    {.name = "ENDPOINT", .help = "the endpoint's name", .kind = CZ_VALUE_TEXT},
    {.name = "ARGUMENT", .help = "name=value, or name=@FILE for what a file holds",
     .kind = CZ_VALUE_TEXT, .optional = true, .repeated = true},
    {.name = NULL},
};

static const struct cz_example examples[] = {
    {"cloze call http://localhost:3000 generate prompt='Give me a character description.'",
     "Ask the guide's service"},
    {"cloze call http://localhost:3000 generate json_schema=@my.schema.json seed=7",
     "With a schema from a file"},
    {NULL, NULL},
};

const struct cz_verb cz_verb_call = {
    .name = "call",
    .summary = "call an endpoint of a service",
    .description = "Reads the service's /schema.json, sends the arguments with the types that it "
                   "declares, and prints the answer. Works with BentoML services too.",
    .flags = flags,
    .parameters = parameters,
    .examples = examples,
    .run = run,
};
