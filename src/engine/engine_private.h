/* engine_private.h - the parts of struct cz_engine, for engine.c, prompt.c and generation.c. */
#ifndef CZ_ENGINE_ENGINE_PRIVATE_H
#define CZ_ENGINE_ENGINE_PRIVATE_H

#include "engine/engine.h"
#include "engine/scheduler.h"
#include "model/model.h"
#include "template/template.h"
#include "tokenizer/tokenizer.h"

struct cz_engine {
    struct cz_model *model; /* owns the tokenizer's tables */
    struct cz_tokenizer *tokenizer;
    struct cz_template *template;      /* NULL: none, or see template_error */
    struct cloze_error template_error; /* code CLOZE_OK: the template is fine, or there is none */
    struct cz_vocab *vocab;
    struct cz_backend_info backend;
    struct cz_scheduler *scheduler;
    uint64_t kv_positions;
    uint32_t token_count; /* ids that tokenizer and head share */
    size_t largest_token; /* bytes */
};

/* The request's prompt as ids: template, then tokenizer. */
cloze_status cz_prompt_encode(const struct cz_engine *engine, const struct cz_request *request,
                              struct cz_ids *ids, struct cloze_error *error);

#endif
