/*
 * page.c - the page at "/" and its files.
 *
 * With Swagger UI's files in the program they are served as they are; without them "/" lists the
 * endpoints with a curl line each. Nothing on the page comes from elsewhere.
 */
#include "base/digest.h"
#include "server/internal.h"
#include "service/document.h"
#include "service/embedded.h"

#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

static const struct {
    const char *ending, *type;
} content_types[] = {{".html", "text/html; charset=utf-8"},
                     {".css", "text/css; charset=utf-8"},
                     {".js", "text/javascript; charset=utf-8"},
                     {".png", "image/png"}};

bool cz_server_has_swagger_ui(void)
{
    return cz_embedded_pages[0].name != NULL;
}

static const struct cz_embedded *find(const char *url)
{
    const char *name = strcmp(url, "/") == 0 ? "index.html" : url + strlen("/static_content/");
    for (const struct cz_embedded *file = cz_embedded_pages; file->name; file++)
        if (strcmp(file->name, name) == 0)
            return file;
    return NULL;
}

bool cz_page_exists(const char *url)
{
    return strcmp(url, "/") == 0 ||
           (strncmp(url, "/static_content/", 16) == 0 && find(url) != NULL);
}

static const char *content_type(const char *name)
{
    for (size_t i = 0; i < sizeof content_types / sizeof *content_types; i++)
        if (cz_slice_ends_with(cz_slice(name), content_types[i].ending))
            return content_types[i].type;
    return "application/octet-stream";
}

/* When the program was written, as HTTP spells dates. */
static void program_date(char text[40])
{
    struct stat status;
    struct tm parts;
    text[0] = '\0';
    if (stat("/proc/self/exe", &status) == 0 && gmtime_r(&status.st_mtime, &parts))
        strftime(text, 40, "%a, %d %b %Y %H:%M:%S GMT", &parts);
}

static bool digest(struct cz_slice content, char tag[CZ_SHA256_TEXT + 3])
{
    struct cz_sha256 state;
    char text[CZ_SHA256_TEXT + 1];
    if (cz_sha256_start(&state, NULL))
        return false;
    cz_sha256_update(&state, content.data, content.size);
    cz_sha256_finish(&state, text);
    snprintf(tag, CZ_SHA256_TEXT + 3, "\"%.32s\"", text);
    return true;
}

/* Sends bytes that stay where they are, or 304 when the client has them. */
static enum MHD_Result send_file(struct request *request, struct cz_slice content,
                                 const char *type, bool persistent)
{
    char tag[CZ_SHA256_TEXT + 3], date[40];
    const char *known =
        MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "If-None-Match");
    bool tagged = digest(content, tag);
    bool fresh = tagged && known && strstr(known, tag);
    struct MHD_Response *response = MHD_create_response_from_buffer(
        fresh ? 0 : content.size, (void *)(uintptr_t)content.data,
        persistent ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    program_date(date);
    if (!fresh)
        MHD_add_response_header(response, "Content-Type", type);
    if (tagged)
        MHD_add_response_header(response, "ETag", tag);
    if (date[0])
        MHD_add_response_header(response, "Last-Modified", date);
    MHD_add_response_header(response, "Cache-Control", "no-cache");
    request->status = fresh ? 304 : 200;
    enum MHD_Result result =
        MHD_queue_response(request->connection, (unsigned)request->status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- The plain page ---- */

static void append_html(struct cz_buffer *out, struct cz_slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '<' || c == '>' || c == '&' || c == '"' || c == '\'')
            cz_buffer_printf(out, "&#%d;", c);
        else
            cz_buffer_append_byte(out, c);
    }
}

static void append_endpoint(struct cz_buffer *out, const struct cz_endpoint *endpoint)
{
    cz_buffer_append_text(out, "<h2>POST ");
    append_html(out, cz_slice(endpoint->route));
    cz_buffer_append_text(out, "</h2>\n");
    if (endpoint->table->description) {
        cz_buffer_append_text(out, "<p>");
        append_html(out, cz_slice(endpoint->table->description));
        cz_buffer_append_text(out, "</p>\n");
    }
    cz_buffer_append_text(out, "<table><tr><th>argument<th>type<th>default</tr>\n");
    for (size_t i = 0; i < endpoint->table->parameter_count; i++) {
        const struct cz_input *input = &endpoint->parameters[i];
        cz_buffer_append_text(out, "<tr><td>");
        append_html(out, cz_slice(input->table->name));
        cz_buffer_printf(out, "<td>%s<td><code>", cz_type_name(input->table->type));
        if (!input->required)
            append_html(out, input->fallback.text);
        cz_buffer_append_text(out, "</code></tr>\n");
    }
    cz_buffer_append_text(out, "</table>\n");
}

static enum MHD_Result send_plain_page(struct request *request)
{
    const struct cz_service *service = request->server->service;
    struct cz_buffer page = {0};
    cz_buffer_append_text(&page, "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>");
    append_html(&page, cz_slice(service->table->name));
    cz_buffer_append_text(&page, "</title>\n<style>body{font-family:sans-serif;margin:2em}"
                                 "td,th{text-align:left;vertical-align:top;padding-right:2em}"
                                 "code{white-space:pre-wrap}</style>\n<h1>");
    append_html(&page, cz_slice(service->table->name));
    cz_buffer_append_text(&page, "</h1>\n<p>This build holds no Swagger UI. The interface is "
                                 "described by <a href=\"./docs.json\">docs.json</a> (OpenAPI) and "
                                 "<a href=\"./schema.json\">schema.json</a>.</p>\n");
    for (size_t i = 0; i < service->endpoint_count; i++)
        append_endpoint(&page, &service->endpoints[i]);
    enum MHD_Result result =
        page.failed ? MHD_NO
                    : send_file(request, cz_buffer_slice(&page), content_types[0].type, false);
    cz_buffer_free(&page);
    return result;
}

enum MHD_Result cz_page_send(struct request *request, const char *url)
{
    const struct cz_embedded *file = find(url);
    if (!file)
        return send_plain_page(request);
    struct cz_slice content = cz_slice_of(file->start, (size_t)(file->end - file->start));
    return send_file(request, content, content_type(file->name), true);
}
