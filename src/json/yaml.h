/*
 * yaml.h - YAML as a JSON tree: read into struct cz_json, written from it.
 *
 * Reading takes one document of YAML 1.1 as PyYAML's safe loader resolves plain scalars (yes/no/on/
 * off are booleans, ~ and empty are null, 0x1f and 0o17-style 017 are numbers), and JSON's spelling
 * of numbers ("1e5"). Dates and base-60 numbers stay strings. Keys are strings as written. Refused
 * by name: duplicate keys, merge keys, tags other than the core ones, keys that are not scalars,
 * infinity and NaN, several documents. Aliases are allowed while the tree with all of them expanded
 * has at most CZ_YAML_MAXIMUM_NODES nodes.
 *
 * In a tree read from YAML the member `offset` is the line, counted from 1, of a member the line of
 * its key; nothing points into the source text.
 */
#ifndef CZ_JSON_YAML_H
#define CZ_JSON_YAML_H

#include "json/json.h"

enum {
    CZ_YAML_MAXIMUM_SIZE = 16 << 20,
    CZ_YAML_MAXIMUM_DEPTH = 100,
    CZ_YAML_MAXIMUM_NODES = 1000000
};

/* An empty document is null. The error's place is "line 3, column 7". */
cloze_status cz_yaml_parse(struct cz_arena *arena, struct cz_slice source, struct cz_json **out,
                           struct cloze_error *error);

/* Appends the tree in block style as PyYAML's safe_dump(sort_keys=False) would: two blanks of
 * indent, strings quoted only where they would be read as something else, lines of 80 columns. */
cloze_status cz_yaml_write(const struct cz_json *tree, struct cz_buffer *out,
                           struct cloze_error *error);

#endif
