/*
 * schema_internal.h - a schema's documents and how its keywords are read; for schema_*.c only.
 */
#ifndef CZ_CONSTRAINT_SCHEMA_INTERNAL_H
#define CZ_CONSTRAINT_SCHEMA_INTERNAL_H

#include "constraint/machine.h"

enum draft { DRAFT_4 = 4, DRAFT_6 = 6, DRAFT_7 = 7, DRAFT_2019 = 19, DRAFT_2020 = 20 };

/* What a $schema says. */
struct dialect {
    enum draft draft;
    uint32_t ignored;     /* vocabularies, as bits, the keywords of which are annotations */
    bool asserts_formats; /* whatever the options say */
};

/* A schema with an absolute URI of its own: a document or an $id inside one. */
struct resource {
    struct cz_slice uri; /* without fragment */
    const struct cz_json *root;
    struct cz_slice source;
    struct dialect dialect;
    bool recursive_anchor;
};

struct anchor {
    uint32_t resource;
    struct cz_slice name;
    const struct cz_json *node;
    bool dynamic;
};

/* One schema as reached: the node, its resource, and the dynamic scope where that matters. */
struct schema {
    const struct cz_json *node;
    uint32_t resource;
    uint32_t scope; /* index into scopes; 0: none */
};

/* A remark for the report. */
struct remark {
    const struct cz_json *node; /* of the schema */
    struct cz_slice keyword;
    enum { REMARK_UNKNOWN, REMARK_ANNOTATION, REMARK_IGNORED, REMARK_CLOSED, REMARK_FORMAT,
           REMARK_UNENFORCED, REMARK_NARROWED } kind;
};

struct cz_schemas {
    struct cz_arena arena;
    struct resource *resources;
    uint32_t resource_count, resource_capacity;
    struct anchor *anchors;
    uint32_t anchor_count, anchor_capacity;
    struct cz_intern schema_keys;
    struct schema *schemas;
    uint32_t schema_capacity;
    struct cz_intern scopes; /* words: resource, outer scope */
    bool dynamic;            /* some document uses $dynamicRef or $recursiveRef */
    struct remark *remarks;
    uint32_t remark_count, remark_capacity;
    const struct cz_json *current; /* node being read, for errors */
    uint32_t current_resource;
};

/* schema_dialect.c */
struct dialect cz_schema_dialect(struct cz_machine *machine, const struct cz_json *root,
                                 struct dialect outer);

/* schema_reference.c */
bool cz_schema_add_document(struct cz_machine *machine, struct cz_slice uri, struct cz_slice text,
                            enum draft fallback, uint32_t *resource, struct cloze_error *error);
/* The resource of a node below `parent`: its own when it has an $id. */
uint32_t cz_schema_resource(struct cz_machine *machine, const struct cz_json *node, uint32_t parent);
/* The schema that a $ref, $dynamicRef or $recursiveRef names; false after cz_machine_fail. */
bool cz_schema_resolve(struct cz_machine *machine, struct schema from, struct cz_slice reference,
                       bool dynamic, struct schema *out);
bool cz_schema_resolve_recursive(struct cz_machine *machine, struct schema from, struct schema *out);
uint32_t cz_schema_enter(struct cz_machine *machine, uint32_t scope, uint32_t resource);

/* schema_keyword.c */
enum keyword {
    KEY_UNKNOWN,
    KEY_ID, KEY_ID4, KEY_SCHEMA, KEY_REF, KEY_ANCHOR, KEY_DYNAMIC_REF, KEY_DYNAMIC_ANCHOR,
    KEY_RECURSIVE_REF, KEY_RECURSIVE_ANCHOR, KEY_VOCABULARY, KEY_COMMENT, KEY_DEFS, KEY_DEFINITIONS,
    KEY_TYPE, KEY_ENUM, KEY_CONST,
    KEY_MULTIPLE_OF, KEY_MAXIMUM, KEY_EXCLUSIVE_MAXIMUM, KEY_MINIMUM, KEY_EXCLUSIVE_MINIMUM,
    KEY_MAX_LENGTH, KEY_MIN_LENGTH, KEY_PATTERN, KEY_FORMAT,
    KEY_ITEMS, KEY_PREFIX_ITEMS, KEY_ADDITIONAL_ITEMS, KEY_MAX_ITEMS, KEY_MIN_ITEMS,
    KEY_UNIQUE_ITEMS, KEY_CONTAINS, KEY_MAX_CONTAINS, KEY_MIN_CONTAINS, KEY_UNEVALUATED_ITEMS,
    KEY_PROPERTIES, KEY_PATTERN_PROPERTIES, KEY_ADDITIONAL_PROPERTIES, KEY_REQUIRED,
    KEY_PROPERTY_NAMES, KEY_MAX_PROPERTIES, KEY_MIN_PROPERTIES, KEY_DEPENDENCIES,
    KEY_DEPENDENT_REQUIRED, KEY_DEPENDENT_SCHEMAS, KEY_UNEVALUATED_PROPERTIES,
    KEY_ALL_OF, KEY_ANY_OF, KEY_ONE_OF, KEY_NOT, KEY_IF, KEY_THEN, KEY_ELSE,
    KEY_ANNOTATION, /* title, description, default, examples, ... */
    KEY_COUNT
};

/* Where a keyword's value holds schemas. */
enum shape { SHAPE_NONE, SHAPE_SCHEMA, SHAPE_LIST, SHAPE_MAP, SHAPE_SCHEMA_OR_LIST };

enum keyword cz_keyword_find(struct cz_slice name);
bool cz_dialect_ignores(const struct dialect *dialect, enum keyword keyword); /* schema_dialect.c */
enum shape cz_keyword_shape(enum keyword keyword);
/* A keyword that `name` is nearly spelled like, or NULL. */
const char *cz_keyword_near(struct cz_slice name);

/* A schema's keywords, by number. */
struct fields {
    const struct cz_json *at[KEY_COUNT];
};

/* schema.c */
uint32_t cz_schema_add(struct cz_machine *machine, const struct cz_json *node, struct schema from);
cz_value cz_schema_value(struct cz_machine *machine, const struct cz_json *node, struct schema from);
void cz_schema_fail(struct cz_machine *machine, cloze_status status, struct cz_slice keyword,
                    const char *format, ...) CZ_PRINTF(4, 5);
/* "uri#/pointer/keyword", without the URI for the main document. */
void cz_schema_place(struct cz_machine *machine, const struct cz_json *node,
                     struct cz_slice keyword, struct cz_buffer *out);
void cz_schema_remark(struct cz_machine *machine, const struct cz_json *node,
                      struct cz_slice keyword, int kind);
bool cz_schema_fields(struct cz_machine *machine, const struct cz_json *node, uint32_t resource,
                      struct fields *out);
cz_expr cz_schema_pattern(struct cz_machine *machine, struct cz_slice pattern);

/* schema_object.c, schema_array.c, schema_unevaluated.c */
cz_formula cz_schema_object(struct cz_machine *machine, struct schema schema,
                            const struct fields *fields);
cz_formula cz_schema_array(struct cz_machine *machine, struct schema schema,
                           const struct fields *fields, enum draft draft);
cz_formula cz_schema_unevaluated_properties(struct cz_machine *machine, struct schema schema,
                                            const struct fields *fields);
cz_formula cz_schema_unevaluated_items(struct cz_machine *machine, struct schema schema,
                                       const struct fields *fields);
bool cz_schema_size(struct cz_machine *machine, const struct cz_json *value, uint32_t *out);

#endif
