/*
 * document.h - the documents that are derived from a service's table.
 */
#ifndef CZ_SERVICE_DOCUMENT_H
#define CZ_SERVICE_DOCUMENT_H

#include "json/writer.h"
#include "service/service.h"

/* /schema.json, in the form that BentoML's client reads. */
cloze_status cz_document_schema(const struct cz_service *service, struct cz_buffer *out,
                                struct cloze_error *error);
/* /docs.json: OpenAPI 3.1. `auth`: calls need an API key. */
cloze_status cz_document_openapi(const struct cz_service *service, bool auth, struct cz_buffer *out,
                                 struct cloze_error *error);

/* "json_schema" -> "Json Schema" */
void cz_document_title(const char *name, char *out, size_t size);
/* A JSON Schema of a type: its members, inside an object that the caller opened. */
void cz_document_type(struct cz_json_writer *writer, enum cloze_type type);
/* A value that an argument of this kind could have, for examples. */
void cz_document_sample(struct cz_json_writer *writer, const struct cloze_parameter *table);
/* The value of a fallback as JSON. */
void cz_document_value(struct cz_json_writer *writer, enum cloze_type type,
                       const struct cz_argument *value);

#endif
