/*
 * service.h - a service, ready to be called: the table of cloze.h, checked and completed.
 *
 * Definitions come from service.yaml (define_yaml.c), from service.c (define_c.c) or from a program
 * that fills struct cloze_service itself. Preparing checks names, types and fallbacks once, so that
 * nothing about the definition can fail while requests are served. A prepared service is immutable
 * and may be used by any number of threads.
 */
#ifndef CZ_SERVICE_SERVICE_H
#define CZ_SERVICE_SERVICE_H

#include "base/arena.h"
#include "json/json.h"

enum {
    CZ_SERVICE_DEFAULT_TIMEOUT_S = 60,
    CZ_SERVICE_DEFAULT_CONCURRENCY = 64,
    CZ_SERVICE_DEFAULT_QUEUE = 1024,
    CZ_SERVICE_MOST_ENDPOINTS = 1000,
    CZ_SERVICE_MOST_PARAMETERS = 100,   /* of one endpoint */
    CZ_SERVICE_LARGEST_FILE = 16 << 20  /* that a definition names */
};

/* A value of an argument. `text` is NUL-terminated: the string itself, or JSON for the other
 * types. */
struct cz_argument {
    bool is_null;
    struct cz_slice text;
    int64_t integer; /* CLOZE_INT */
    double number;   /* CLOZE_INT, CLOZE_NUMBER */
    bool boolean;    /* CLOZE_BOOL */
};

struct cz_input {
    const struct cloze_parameter *table;
    bool required;               /* has no fallback */
    struct cz_argument fallback; /* of a parameter that is not required */
};

struct cz_endpoint {
    const struct cloze_endpoint *table;
    const char *route;
    struct cz_input *parameters; /* [table->parameter_count], in declared order */
};

struct cz_service {
    struct cloze_service *table;
    unsigned timeout_s, max_concurrency, max_queue; /* defaults filled in */
    struct cz_endpoint *endpoints;                  /* [endpoint_count], sorted by name */
    size_t endpoint_count;
    char *folder;          /* what fallback files are relative to */
    struct cz_arena arena; /* owns what the definition did not own already */
    void *library;         /* a loaded service.c */
};

/* Loads `path`: a folder that holds service.yaml or service.c (not both), or such a file. Made with
 * cz_service_free. */
cloze_status cz_service_load(const char *path, struct cz_service **out, struct cloze_error *error);
/* The service that serves a model as it is: one endpoint `generate` with every constraint. */
cloze_status cz_service_builtin(struct cz_service **out, struct cloze_error *error);
/* A service from the table of a program, which keeps it alive. */
cloze_status cz_service_from_table(struct cloze_service *table, const char *folder,
                                   struct cz_service **out, struct cloze_error *error);
void cz_service_free(struct cz_service *service);

/* ---- What the definitions use ---- */

/* An empty service with a copy of `folder`. */
struct cz_service *cz_service_new(const char *folder, struct cloze_error *error);
/* From the text of a service.yaml; `name` stands in errors. Not prepared. */
cloze_status cz_service_define_yaml(struct cz_service *service, struct cz_slice source,
                                    const char *name, struct cloze_error *error);
/* Compiles and loads folder/service.c. Not prepared. */
cloze_status cz_service_define_c(struct cz_service *service, const char *path,
                                 struct cloze_error *error);
cloze_status cz_service_prepare(struct cz_service *service, struct cloze_error *error);

/* The path of a file that the definition names. */
cloze_status cz_service_path(const struct cz_service *service, const char *name,
                             struct cz_buffer *path, struct cloze_error *error);

/* "string", "int", ... and back; 0 when there is no such type. */
const char *cz_type_name(enum cloze_type type);
enum cloze_type cz_type_from_name(struct cz_slice name);
/* The name nearest to `word` among a NULL-terminated list, or NULL when none is near. */
const char *cz_nearest_name(struct cz_slice word, const char *const *names);
/* [A-Za-z_][A-Za-z0-9_]*, at most 100 characters */
bool cz_is_identifier(struct cz_slice name);

#endif
