/* models.h - the parts of `cloze models`, which has more verbs than fit one file. */
#ifndef CZ_CLI_MODELS_H
#define CZ_CLI_MODELS_H

#include "cli/verb.h"

extern const struct cz_verb cz_verb_models_import;
extern const struct cz_verb cz_verb_models_export;
extern const struct cz_verb cz_verb_models_verify;
extern const struct cz_verb cz_verb_models_gc;

/* A cz_import_progress whose context is a struct cz_progress. */
void cz_models_progress(void *context, const char *what, uint64_t done, uint64_t total);

#endif
