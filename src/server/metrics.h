/*
 * metrics.h - what the server counts, in Prometheus' text format.
 *
 * Requests are counted by route (unknown paths share one) and status, under the names that BentoML
 * uses. Not thread-safe: the server's mutex guards it.
 */
#ifndef CZ_SERVER_METRICS_H
#define CZ_SERVER_METRICS_H

#include "base/slice.h"

struct cz_metrics;

/* What is read at the moment of writing. */
struct cz_metrics_now {
    size_t waiting, running; /* jobs of the handler pool */
};

/* `routes` are borrowed; the first `api_count` are endpoints and start with 200 and 500 at 0. */
cloze_status cz_metrics_create(const char *service, const char *const *routes, size_t route_count,
                               size_t api_count, struct cz_metrics **out,
                               struct cloze_error *error);
void cz_metrics_free(struct cz_metrics *metrics);

void cz_metrics_begin(struct cz_metrics *metrics, size_t route);
void cz_metrics_end(struct cz_metrics *metrics, size_t route, int status, uint64_t duration_ns);
void cz_metrics_generated(struct cz_metrics *metrics, uint64_t prompt_tokens,
                          uint64_t completion_tokens, uint64_t first_token_ns);
void cz_metrics_cancelled(struct cz_metrics *metrics);
void cz_metrics_write(const struct cz_metrics *metrics, const struct cz_metrics_now *now,
                      struct cz_buffer *out);

#endif
