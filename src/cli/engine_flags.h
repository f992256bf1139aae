/* engine_flags.h - flags of the verbs that open a model to generate with it. */
#ifndef CZ_CLI_ENGINE_FLAGS_H
#define CZ_CLI_ENGINE_FLAGS_H

#include "cli/model_source.h"
#include "cli/verb.h"
#include "engine/engine.h"

/* For the table of a verb; read by cz_engine_flags_read. */
#define CZ_ENGINE_FLAGS                                                                            \
    {.name = "kv-memory",                                                                          \
     .kind = CZ_VALUE_TEXT,                                                                        \
     .value = "SIZE",                                                                              \
     .help = "memory for the keys and values of all running requests together, as 512M or 2G "    \
             "(default: that of 8,192 tokens)"},                                                   \
    {.name = "kv-type",                                                                            \
     .kind = CZ_VALUE_CHOICE,                                                                      \
     .value = "f16|bf16|int8",                                                                     \
     .fallback = "f16",                                                                            \
     .help = "how keys and values are kept; int8 holds nearly twice as many tokens, a little "     \
             "less exactly"},                                                                      \
    {.name = "quantize",                                                                           \
     .kind = CZ_VALUE_CHOICE,                                                                      \
     .value = "keep|q8|q4|bf16",                                                                   \
     .help = "pack the weights with 8 or 4 bits, as bf16, or as they are stored (default: as "     \
             "'models import --quantize' said, else keep)"}

/* Fills what the flags, and the model's own record of its quantisation, say. */
cloze_status cz_engine_flags_read(struct cz_arguments *arguments,
                                  const struct cz_model_source *source,
                                  struct cz_engine_options *options, struct cloze_error *error);

#endif
