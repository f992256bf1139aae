/*
 * schema_keyword.c - the keywords of all drafts by name.
 */
#include "constraint/schema_internal.h"

#include <stdlib.h>

static const struct {
    const char *name;
    uint8_t keyword, shape;
} KEYWORDS[] = {
    {"$id", KEY_ID, SHAPE_NONE},
    {"id", KEY_ID4, SHAPE_NONE},
    {"$schema", KEY_SCHEMA, SHAPE_NONE},
    {"$ref", KEY_REF, SHAPE_NONE},
    {"$anchor", KEY_ANCHOR, SHAPE_NONE},
    {"$dynamicRef", KEY_DYNAMIC_REF, SHAPE_NONE},
    {"$dynamicAnchor", KEY_DYNAMIC_ANCHOR, SHAPE_NONE},
    {"$recursiveRef", KEY_RECURSIVE_REF, SHAPE_NONE},
    {"$recursiveAnchor", KEY_RECURSIVE_ANCHOR, SHAPE_NONE},
    {"$vocabulary", KEY_VOCABULARY, SHAPE_NONE},
    {"$comment", KEY_COMMENT, SHAPE_NONE},
    {"$defs", KEY_DEFS, SHAPE_MAP},
    {"definitions", KEY_DEFINITIONS, SHAPE_MAP},
    {"type", KEY_TYPE, SHAPE_NONE},
    {"enum", KEY_ENUM, SHAPE_NONE},
    {"const", KEY_CONST, SHAPE_NONE},
    {"multipleOf", KEY_MULTIPLE_OF, SHAPE_NONE},
    {"maximum", KEY_MAXIMUM, SHAPE_NONE},
    {"exclusiveMaximum", KEY_EXCLUSIVE_MAXIMUM, SHAPE_NONE},
    {"minimum", KEY_MINIMUM, SHAPE_NONE},
    {"exclusiveMinimum", KEY_EXCLUSIVE_MINIMUM, SHAPE_NONE},
    {"maxLength", KEY_MAX_LENGTH, SHAPE_NONE},
    {"minLength", KEY_MIN_LENGTH, SHAPE_NONE},
    {"pattern", KEY_PATTERN, SHAPE_NONE},
    {"format", KEY_FORMAT, SHAPE_NONE},
    {"items", KEY_ITEMS, SHAPE_SCHEMA_OR_LIST},
    {"prefixItems", KEY_PREFIX_ITEMS, SHAPE_LIST},
    {"additionalItems", KEY_ADDITIONAL_ITEMS, SHAPE_SCHEMA},
    {"maxItems", KEY_MAX_ITEMS, SHAPE_NONE},
    {"minItems", KEY_MIN_ITEMS, SHAPE_NONE},
    {"uniqueItems", KEY_UNIQUE_ITEMS, SHAPE_NONE},
    {"contains", KEY_CONTAINS, SHAPE_SCHEMA},
    {"maxContains", KEY_MAX_CONTAINS, SHAPE_NONE},
    {"minContains", KEY_MIN_CONTAINS, SHAPE_NONE},
    {"unevaluatedItems", KEY_UNEVALUATED_ITEMS, SHAPE_SCHEMA},
    {"properties", KEY_PROPERTIES, SHAPE_MAP},
    {"patternProperties", KEY_PATTERN_PROPERTIES, SHAPE_MAP},
    {"additionalProperties", KEY_ADDITIONAL_PROPERTIES, SHAPE_SCHEMA},
    {"required", KEY_REQUIRED, SHAPE_NONE},
    {"propertyNames", KEY_PROPERTY_NAMES, SHAPE_SCHEMA},
    {"maxProperties", KEY_MAX_PROPERTIES, SHAPE_NONE},
    {"minProperties", KEY_MIN_PROPERTIES, SHAPE_NONE},
    {"dependencies", KEY_DEPENDENCIES, SHAPE_MAP},
    {"dependentRequired", KEY_DEPENDENT_REQUIRED, SHAPE_NONE},
    {"dependentSchemas", KEY_DEPENDENT_SCHEMAS, SHAPE_MAP},
    {"unevaluatedProperties", KEY_UNEVALUATED_PROPERTIES, SHAPE_SCHEMA},
    {"allOf", KEY_ALL_OF, SHAPE_LIST},
    {"anyOf", KEY_ANY_OF, SHAPE_LIST},
    {"oneOf", KEY_ONE_OF, SHAPE_LIST},
    {"not", KEY_NOT, SHAPE_SCHEMA},
    {"if", KEY_IF, SHAPE_SCHEMA},
    {"then", KEY_THEN, SHAPE_SCHEMA},
    {"else", KEY_ELSE, SHAPE_SCHEMA},
    {"title", KEY_ANNOTATION, SHAPE_NONE},
    {"description", KEY_ANNOTATION, SHAPE_NONE},
    {"default", KEY_ANNOTATION, SHAPE_NONE},
    {"examples", KEY_ANNOTATION, SHAPE_NONE},
    {"example", KEY_ANNOTATION, SHAPE_NONE},
    {"deprecated", KEY_ANNOTATION, SHAPE_NONE},
    {"readOnly", KEY_ANNOTATION, SHAPE_NONE},
    {"writeOnly", KEY_ANNOTATION, SHAPE_NONE},
    {"contentEncoding", KEY_ANNOTATION, SHAPE_NONE},
    {"contentMediaType", KEY_ANNOTATION, SHAPE_NONE},
    {"contentSchema", KEY_ANNOTATION, SHAPE_NONE},
};

enum { KNOWN = sizeof KEYWORDS / sizeof *KEYWORDS, SLOTS = 256 };

static uint32_t slot_of(struct cz_slice name)
{
    uint32_t hash = (uint32_t)name.size;
    for (size_t i = 0; i < name.size && i < 24; i++)
        hash = hash * 31 + (uint8_t)name.data[i];
    return (hash ^ hash >> 11) & (SLOTS - 1);
}

static uint8_t slots[SLOTS]; /* index of a keyword + 1 */
static uint8_t shapes[KEY_COUNT];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void fill_tables(void)
{
    for (int i = 0; i < KNOWN; i++) {
        uint32_t slot = slot_of(cz_slice(KEYWORDS[i].name));
        while (slots[slot])
            slot = (slot + 1) & (SLOTS - 1);
        slots[slot] = (uint8_t)(i + 1);
        shapes[KEYWORDS[i].keyword] = (uint8_t)KEYWORDS[i].shape;
    }
}

enum keyword cz_keyword_find(struct cz_slice name)
{
    pthread_once(&tables_once, fill_tables);
    for (uint32_t slot = slot_of(name); slots[slot]; slot = (slot + 1) & (SLOTS - 1)) {
        if (cz_slice_is(name, KEYWORDS[slots[slot] - 1].name))
            return KEYWORDS[slots[slot] - 1].keyword;
    }
    return KEY_UNKNOWN;
}

enum shape cz_keyword_shape(enum keyword keyword)
{
    pthread_once(&tables_once, fill_tables);
    return (enum shape)shapes[keyword];
}

/* Edit distance with exchanges of neighbours, in lower case, cut off above 2. */
static unsigned distance(struct cz_slice a, const char *b)
{
    enum { LONGEST = 32 };
    unsigned rows[3][LONGEST + 1];
    size_t size = strlen(b);
    if (a.size > LONGEST || size > LONGEST)
        return 3;
    for (size_t j = 0; j <= size; j++)
        rows[1][j] = (unsigned)j;
    for (size_t i = 1; i <= a.size; i++) {
        rows[2][0] = (unsigned)i;
        for (size_t j = 1; j <= size; j++) {
            bool same = (a.data[i - 1] | 32) == (b[j - 1] | 32);
            unsigned best = rows[1][j - 1] + !same;
            best = rows[1][j] + 1 < best ? rows[1][j] + 1 : best;
            best = rows[2][j - 1] + 1 < best ? rows[2][j - 1] + 1 : best;
            if (i > 1 && j > 1 && (a.data[i - 1] | 32) == (b[j - 2] | 32) &&
                (a.data[i - 2] | 32) == (b[j - 1] | 32) && rows[0][j - 2] + 1 < best)
                best = rows[0][j - 2] + 1;
            rows[2][j] = best;
        }
        memcpy(rows[0], rows[1], sizeof rows[0]);
        memcpy(rows[1], rows[2], sizeof rows[1]);
    }
    return rows[1][size];
}

const char *cz_keyword_near(struct cz_slice name)
{
    const char *best = NULL;
    unsigned nearest = name.size > 5 ? 3 : 2;
    for (int i = 0; i < KNOWN; i++) {
        unsigned edits = distance(name, KEYWORDS[i].name);
        if (edits < nearest) {
            nearest = edits;
            best = KEYWORDS[i].name;
        }
    }
    return best;
}
