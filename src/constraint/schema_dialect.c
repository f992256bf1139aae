/*
 * schema_dialect.c - what a $schema says: the draft, and which vocabularies are in use.
 *
 * The drafts' own meta-schemas are known by name. Any other is looked up among the documents that
 * the caller supplied: its $schema tells the draft, its $vocabulary (since 2019-09) which keywords
 * count; those of vocabularies that it leaves out are annotations.
 */
#include "constraint/schema_internal.h"

#include <string.h>

static bool named_draft(struct cz_slice uri, enum draft *out)
{
    static const struct {
        const char *part;
        enum draft draft;
    } DRAFTS[] = {{"draft-03", DRAFT_4}, {"draft-04", DRAFT_4},   {"draft-06", DRAFT_6},
                  {"draft-07", DRAFT_7}, {"2019-09", DRAFT_2019}, {"2020-12", DRAFT_2020}};
    for (size_t i = 0; i < sizeof DRAFTS / sizeof *DRAFTS; i++) {
        if (memmem(uri.data, uri.size, DRAFTS[i].part, strlen(DRAFTS[i].part))) {
            *out = DRAFTS[i].draft;
            return true;
        }
    }
    return false;
}

/* ---- Vocabularies ---- */

enum vocabulary {
    VOCABULARY_CORE = 1,
    VOCABULARY_APPLICATOR = 2,
    VOCABULARY_UNEVALUATED = 4,
    VOCABULARY_VALIDATION = 8,
    VOCABULARY_FORMAT = 16,
    VOCABULARY_ASSERTION = 32, /* formats are more than annotations */
    VOCABULARY_OTHER = 64      /* annotations */
};

/* 0: not known */
static uint32_t vocabulary_named(struct cz_slice uri)
{
    static const struct {
        const char *uri;
        uint32_t vocabularies;
    } KNOWN[] = {
        {"https://json-schema.org/draft/2019-09/vocab/core", VOCABULARY_CORE},
        {"https://json-schema.org/draft/2019-09/vocab/applicator",
         VOCABULARY_APPLICATOR | VOCABULARY_UNEVALUATED},
        {"https://json-schema.org/draft/2019-09/vocab/validation", VOCABULARY_VALIDATION},
        {"https://json-schema.org/draft/2019-09/vocab/meta-data", VOCABULARY_OTHER},
        {"https://json-schema.org/draft/2019-09/vocab/format", VOCABULARY_FORMAT},
        {"https://json-schema.org/draft/2019-09/vocab/content", VOCABULARY_OTHER},
        {"https://json-schema.org/draft/2020-12/vocab/core", VOCABULARY_CORE},
        {"https://json-schema.org/draft/2020-12/vocab/applicator", VOCABULARY_APPLICATOR},
        {"https://json-schema.org/draft/2020-12/vocab/unevaluated", VOCABULARY_UNEVALUATED},
        {"https://json-schema.org/draft/2020-12/vocab/validation", VOCABULARY_VALIDATION},
        {"https://json-schema.org/draft/2020-12/vocab/meta-data", VOCABULARY_OTHER},
        {"https://json-schema.org/draft/2020-12/vocab/format-annotation", VOCABULARY_FORMAT},
        {"https://json-schema.org/draft/2020-12/vocab/format-assertion",
         VOCABULARY_FORMAT | VOCABULARY_ASSERTION},
        {"https://json-schema.org/draft/2020-12/vocab/content", VOCABULARY_OTHER},
    };
    for (size_t i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++) {
        if (cz_slice_is(uri, KNOWN[i].uri))
            return KNOWN[i].vocabularies;
    }
    return 0;
}

static uint32_t vocabulary_of(enum keyword keyword)
{
    switch (keyword) {
    case KEY_UNEVALUATED_ITEMS:
    case KEY_UNEVALUATED_PROPERTIES:
        return VOCABULARY_UNEVALUATED;
    case KEY_FORMAT:
        return VOCABULARY_FORMAT;
    case KEY_MAX_ITEMS:
    case KEY_MIN_ITEMS:
    case KEY_UNIQUE_ITEMS:
    case KEY_MAX_CONTAINS:
    case KEY_MIN_CONTAINS:
    case KEY_REQUIRED:
    case KEY_MAX_PROPERTIES:
    case KEY_MIN_PROPERTIES:
    case KEY_DEPENDENT_REQUIRED:
        return VOCABULARY_VALIDATION;
    default:
        return keyword >= KEY_TYPE && keyword <= KEY_PATTERN       ? VOCABULARY_VALIDATION
               : keyword >= KEY_ITEMS && keyword < KEY_ANNOTATION ? VOCABULARY_APPLICATOR
                                                                  : VOCABULARY_CORE;
    }
}

bool cz_dialect_ignores(const struct dialect *dialect, enum keyword keyword)
{
    return dialect->ignored & vocabulary_of(keyword);
}

static void read_vocabularies(struct cz_machine *machine, const struct cz_json *list,
                              struct dialect *out)
{
    uint32_t used = VOCABULARY_CORE;
    CZ_JSON_EACH(member, list) {
        uint32_t known = vocabulary_named(cz_json_key(member));
        if (!known && cz_json_is(member, CZ_JSON_TRUE))
            cz_schema_fail(machine, CLOZE_UNSUPPORTED, CZ_SLICE("$schema"),
                           "its meta-schema requires the vocabulary '%.*s', which is not known",
                           CZ_SLICE_ARG(cz_json_key(member)));
        used |= known;
    }
    out->ignored = ~used;
    out->asserts_formats = used & VOCABULARY_ASSERTION;
}

/* ---- Dialects ---- */

/* A meta-schema that the caller supplied. */
static const struct cz_json *supplied(struct cz_machine *machine, struct cz_slice uri)
{
    const struct cz_json_options options = {.allow_duplicate_keys = true,
                                            .allow_lone_surrogates = true};
    for (size_t i = 0; i < machine->options.resource_count; i++) {
        const struct cz_schema_resource *given = &machine->options.resources[i];
        struct cz_json *root;
        if (cz_slice_equal(cz_slice(given->uri), uri) &&
            cz_json_parse(&machine->schemas->arena, given->text, &options, &root, NULL) == CLOZE_OK)
            return root;
    }
    return NULL;
}

struct dialect cz_schema_dialect(struct cz_machine *machine, const struct cz_json *root,
                                 struct dialect outer)
{
    struct cz_slice uri, own;
    if (!cz_json_is(root, CZ_JSON_OBJECT) || !cz_json_string(cz_json_get(root, "$schema"), &uri))
        return outer;
    struct dialect dialect = {.draft = outer.draft};
    while (uri.size && uri.data[uri.size - 1] == '#')
        uri.size--;
    const struct cz_json *meta = supplied(machine, uri);
    bool named = named_draft(uri, &dialect.draft);
    if (!named && cz_json_string(cz_json_get(meta, "$schema"), &own))
        named_draft(own, &dialect.draft);
    const struct cz_json *list = cz_json_get(meta, "$vocabulary");
    if (dialect.draft >= DRAFT_2019 && cz_json_is(list, CZ_JSON_OBJECT))
        read_vocabularies(machine, list, &dialect);
    return dialect;
}
