/*
 * manifest.h - model.yaml: what the store knows of a model, in BentoML's layout and key order.
 *
 * name, version, module, labels, options, metadata, context, signatures, api_version,
 * creation_time. Unknown keys are kept; `signatures` may be missing.
 */
#ifndef CZ_STORE_MANIFEST_H
#define CZ_STORE_MANIFEST_H

#include "store/tag.h"
#include "json/json.h"

#define CZ_MANIFEST_FILE "model.yaml"
/* The layout is that of this BentoML release, which the manifest says in its context. */
#define CZ_MANIFEST_BENTOML_VERSION "1.4.38"

struct cz_manifest {
    const struct cz_json *tree; /* the whole file, in the arena that it was read into */
    struct cz_tag tag;
    struct cz_slice module;
    uint64_t creation_us; /* since 1970, UTC */
};

/* Reads and checks the manifest in `text`, the content of a model.yaml. */
cloze_status cz_manifest_parse(struct cz_arena *arena, struct cz_slice text,
                               struct cz_manifest *manifest, struct cloze_error *error);
cloze_status cz_manifest_read(struct cz_arena *arena, const char *folder,
                              struct cz_manifest *manifest, struct cloze_error *error);

/* What a model imported by Cloze says of itself in `metadata`; empty texts and 0 are left out. */
struct cz_manifest_facts {
    const char *source;   /* "hf:org/name@main", a file's name */
    const char *model_id; /* "org/name" on the hub */
    const char *revision; /* the commit */
    const char *format, *architecture;
    const char *quantize; /* how the engine packs the weights: "q8" */
    uint64_t parameters;
};

/* Appends a new manifest for `tag`, created at `creation_us`. */
cloze_status cz_manifest_write(const struct cz_tag *tag, uint64_t creation_us,
                               const struct cz_manifest_facts *facts, struct cz_buffer *out,
                               struct cloze_error *error);
/* What the manifest says of the packed form; "keep" when nothing. */
struct cz_slice cz_manifest_quantize(const struct cz_manifest *manifest);
/* Appends an existing manifest under another tag. */
cloze_status cz_manifest_rename(const struct cz_manifest *manifest, const struct cz_tag *tag,
                                struct cz_buffer *out, struct cloze_error *error);

/* "2024-04-25T06:52:39.317038+00:00" and its kin (a blank for T, no fraction, Z or an offset, no
 * offset: UTC) as microseconds since 1970; false when it is no such time. */
bool cz_manifest_time(struct cz_slice text, uint64_t *us);

#endif
