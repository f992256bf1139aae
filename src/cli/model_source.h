/* model_source.h - the model that a verb works on: a path, or a tag of the store. */
#ifndef CZ_CLI_MODEL_SOURCE_H
#define CZ_CLI_MODEL_SOURCE_H

#include "engine/backend.h"
#include "store/store.h"

/* The tag that is used when none is named: what ./run imports. */
#define CZ_DEFAULT_MODEL "smollm2-135m-instruct"

struct cz_model_source {
    struct cz_store store;
    char *path;             /* owned: a file or folder for cz_engine_open */
    enum cz_quantize quantize; /* as the model's record says */
    char name[CZ_TAG_TEXT]; /* for the eye: the tag, or the file's name */
};

/* `wanted`: a path (with a slash or ending in .gguf), a tag, or NULL for the default. The store is
 * opened in any case, for its cache. Close it also after a failure. */
cloze_status cz_model_source_open(const char *wanted, struct cz_model_source *source,
                                  struct cloze_error *error);
void cz_model_source_close(struct cz_model_source *source);

#endif
