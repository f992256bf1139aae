/*
 * arguments.h - a request's arguments against an endpoint's table.
 *
 * Values are coerced as pydantic's lax mode does ("2" for an integer, 1 for true), so that every
 * client of BentoML keeps working; a number for a string stays an error. All problems of a request
 * are listed, each with pydantic's type, location and message.
 */
#ifndef CZ_SERVICE_ARGUMENTS_H
#define CZ_SERVICE_ARGUMENTS_H

#include "json/writer.h"
#include "service/service.h"

enum { CZ_ARGUMENTS_LARGEST_DEPTH = 200 };

struct cz_problem {
    const char *type;     /* "missing", "string_type", ... */
    const char *location; /* the argument's name, or NULL for the body as a whole */
    const char *message;  /* lives in the arena, or static */
    struct cz_problem *next;
};

struct cz_problems {
    struct cz_problem *first;
    struct cz_problem **end; /* NULL while empty */
    size_t count;
};

/*
 * Fills values[parameter_count] from a JSON body; an empty one is {}. CLOZE_INVALID when anything is
 * listed in *problems; other statuses are failures of the machine. The body has to outlive the
 * values, all else lives in the arena.
 */
cloze_status cz_arguments_from_body(const struct cz_endpoint *endpoint, struct cz_slice body,
                                    struct cz_arena *arena, struct cz_argument *values,
                                    struct cz_problems *problems, struct cloze_error *error);
/* The same from a parsed object. */
cloze_status cz_arguments_from_object(const struct cz_endpoint *endpoint,
                                      const struct cz_json *object, struct cz_arena *arena,
                                      struct cz_argument *values, struct cz_problems *problems,
                                      struct cloze_error *error);
/* One field of a form becomes a member of `object`: its value is JSON when it reads as JSON, else a
 * string. Name and value have to outlive the object. */
cloze_status cz_arguments_add_field(struct cz_json *object, struct cz_slice name,
                                    struct cz_slice value, struct cz_arena *arena,
                                    struct cloze_error *error);
/* One value for one parameter; NULL, or the problem. Used for fallbacks too. */
struct cz_problem *cz_argument_read(const struct cloze_parameter *parameter,
                                    const struct cz_json *value, struct cz_arena *arena,
                                    struct cz_argument *out);

/* {"error": "2 validation error for Input", "detail": [...]} */
void cz_problems_write(const struct cz_problems *problems, struct cz_json_writer *writer);

#endif
