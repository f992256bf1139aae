/* metrics.c - counters and histograms, and their text. */
#include "server/metrics.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdlib.h>

static const double bounds[] = {.005, .01, .025, .05, .1, .25, .5, 1,
                                2.5,  5,   10,   30,  60, 120, 180};
enum { BOUND_COUNT = sizeof bounds / sizeof *bounds };

static const int codes[] = {200, 304, 307, 400, 401, 404, 405, 413, 415, 429, 500, 503, 504, 0};
enum { CODE_COUNT = sizeof codes / sizeof *codes }; /* the last one: any other */

struct histogram {
    uint64_t buckets[BOUND_COUNT + 1]; /* not cumulative; the last: beyond all bounds */
    uint64_t count, sum_ns;
};

struct route {
    const char *name;
    int64_t in_progress;
    bool seen[CODE_COUNT];
    struct histogram durations[CODE_COUNT];
};

struct cz_metrics {
    const char *service;
    struct route *routes; /* [route_count] */
    size_t route_count;
    uint64_t last_request_us;
    uint64_t prompt_tokens, completion_tokens, generations, cancelled;
    struct histogram first_token;
};

cloze_status cz_metrics_create(const char *service, const char *const *routes, size_t route_count,
                               size_t api_count, struct cz_metrics **out,
                               struct cloze_error *error)
{
    struct cz_metrics *metrics = calloc(1, sizeof *metrics);
    *out = NULL;
    if (metrics)
        metrics->routes = calloc(route_count, sizeof *metrics->routes);
    if (!metrics || !metrics->routes) {
        free(metrics);
        return cz_fail_memory(error, "metrics");
    }
    metrics->service = service;
    metrics->route_count = route_count;
    for (size_t i = 0; i < route_count; i++) {
        metrics->routes[i].name = routes[i];
        for (size_t code = 0; code < CODE_COUNT; code++)
            metrics->routes[i].seen[code] =
                i < api_count && (codes[code] == 200 || codes[code] == 500);
    }
    *out = metrics;
    return CLOZE_OK;
}

void cz_metrics_free(struct cz_metrics *metrics)
{
    if (metrics)
        free(metrics->routes);
    free(metrics);
}

static void observe(struct histogram *histogram, uint64_t duration_ns)
{
    size_t bucket = 0;
    while (bucket < BOUND_COUNT && (double)duration_ns > bounds[bucket] * 1e9)
        bucket++;
    histogram->buckets[bucket]++;
    histogram->count++;
    histogram->sum_ns += duration_ns;
}

void cz_metrics_begin(struct cz_metrics *metrics, size_t route)
{
    metrics->routes[route].in_progress++;
    metrics->last_request_us = cz_clock_wall_us();
}

void cz_metrics_end(struct cz_metrics *metrics, size_t route, int status, uint64_t duration_ns)
{
    size_t code = 0;
    while (code < CODE_COUNT - 1 && codes[code] != status)
        code++;
    metrics->routes[route].in_progress--;
    metrics->routes[route].seen[code] = true;
    observe(&metrics->routes[route].durations[code], duration_ns);
}

void cz_metrics_generated(struct cz_metrics *metrics, uint64_t prompt_tokens,
                          uint64_t completion_tokens, uint64_t first_token_ns)
{
    metrics->generations++;
    metrics->prompt_tokens += prompt_tokens;
    metrics->completion_tokens += completion_tokens;
    observe(&metrics->first_token, first_token_ns);
}

void cz_metrics_cancelled(struct cz_metrics *metrics)
{
    metrics->cancelled++;
}

/* ---- Text ---- */

static void write_head(struct cz_buffer *out, const char *name, const char *type, const char *help)
{
    cz_buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* "le" as Prometheus' Python client writes it: 0.005, 1.0, +Inf */
static void write_bound(struct cz_buffer *out, size_t bucket)
{
    if (bucket == BOUND_COUNT)
        cz_buffer_append_text(out, "+Inf");
    else
        cz_buffer_printf(out, bounds[bucket] == (int)bounds[bucket] ? "%.1f" : "%g", bounds[bucket]);
}

static void write_histogram(struct cz_buffer *out, const char *name, const char *labels,
                            const struct histogram *histogram)
{
    uint64_t total = 0;
    const char *comma = labels[0] ? "," : "";
    for (size_t bucket = 0; bucket <= BOUND_COUNT; bucket++) {
        total += histogram->buckets[bucket];
        cz_buffer_printf(out, "%s_bucket{%s%sle=\"", name, labels, comma);
        write_bound(out, bucket);
        cz_buffer_printf(out, "\"} %" PRIu64 "\n", total);
    }
    const char *open = labels[0] ? "{" : "", *close = labels[0] ? "}" : "";
    cz_buffer_printf(out, "%s_sum%s%s%s %.9f\n", name, open, labels, close,
                     (double)histogram->sum_ns / 1e9);
    cz_buffer_printf(out, "%s_count%s%s%s %" PRIu64 "\n", name, open, labels, close,
                     histogram->count);
}

static void write_label_tail(const struct cz_metrics *metrics, struct cz_buffer *out)
{
    cz_buffer_printf(out,
                     "runner_name=\"%s\",service_name=\"%s\",service_version=\"not available\"",
                     metrics->service, metrics->service);
}

static void write_route_labels(const struct cz_metrics *metrics, const struct route *route,
                               size_t code, struct cz_buffer *out)
{
    cz_buffer_clear(out);
    cz_buffer_printf(out, "endpoint=\"%s\",http_response_code=\"", route->name);
    if (codes[code])
        cz_buffer_printf(out, "%d\",", codes[code]);
    else
        cz_buffer_append_text(out, "other\",");
    write_label_tail(metrics, out);
}

static void write_requests(const struct cz_metrics *metrics, struct cz_buffer *out)
{
    struct cz_buffer labels = {0};
    write_head(out, "bentoml_service_request_total", "counter", "Requests by route and status.");
    for (size_t i = 0; i < metrics->route_count; i++)
        for (size_t code = 0; code < CODE_COUNT; code++) {
            const struct route *route = &metrics->routes[i];
            if (!route->seen[code])
                continue;
            write_route_labels(metrics, route, code, &labels);
            cz_buffer_printf(out, "bentoml_service_request_total{%s} %" PRIu64 "\n",
                             cz_buffer_text(&labels), route->durations[code].count);
        }
    write_head(out, "bentoml_service_request_duration_seconds", "histogram",
               "Time from a request's start to the end of its answer.");
    for (size_t i = 0; i < metrics->route_count; i++)
        for (size_t code = 0; code < CODE_COUNT; code++) {
            const struct route *route = &metrics->routes[i];
            if (!route->durations[code].count)
                continue;
            write_route_labels(metrics, route, code, &labels);
            write_histogram(out, "bentoml_service_request_duration_seconds",
                            cz_buffer_text(&labels), &route->durations[code]);
        }
    write_head(out, "bentoml_service_request_in_progress", "gauge", "Requests being served.");
    for (size_t i = 0; i < metrics->route_count; i++) {
        cz_buffer_printf(out, "bentoml_service_request_in_progress{endpoint=\"%s\",",
                         metrics->routes[i].name);
        write_label_tail(metrics, out);
        cz_buffer_printf(out, "} %" PRId64 "\n", metrics->routes[i].in_progress);
    }
    cz_buffer_free(&labels);
}

static void write_value(struct cz_buffer *out, const char *name, const char *type, const char *help,
                        uint64_t value)
{
    write_head(out, name, type, help);
    cz_buffer_printf(out, "%s %" PRIu64 "\n", name, value);
}

void cz_metrics_write(const struct cz_metrics *metrics, const struct cz_metrics_now *now,
                      struct cz_buffer *out)
{
    write_requests(metrics, out);
    write_head(out, "bentoml_service_last_request_timestamp_seconds", "gauge",
               "When the last request came.");
    cz_buffer_append_text(out, "bentoml_service_last_request_timestamp_seconds{");
    write_label_tail(metrics, out);
    cz_buffer_printf(out, "} %.6f\n", (double)metrics->last_request_us / 1e6);
    write_value(out, "cloze_queue_depth", "gauge", "Calls that wait for a handler.", now->waiting);
    write_value(out, "cloze_calls_running", "gauge", "Calls whose handler runs.", now->running);
    write_value(out, "cloze_cancelled_total", "counter",
                "Calls that were stopped: the client left, or the timeout passed.",
                metrics->cancelled);
    write_value(out, "cloze_generations_total", "counter", "Generated answers.",
                metrics->generations);
    write_value(out, "cloze_prompt_tokens_total", "counter", "Tokens of prompts.",
                metrics->prompt_tokens);
    write_value(out, "cloze_completion_tokens_total", "counter", "Tokens of answers.",
                metrics->completion_tokens);
    write_head(out, "cloze_first_token_seconds", "histogram",
               "Time from a call to its first token.");
    write_histogram(out, "cloze_first_token_seconds", "", &metrics->first_token);
}
