/*
 * architecture.h - the table of model architectures: one row says which tensors and which
 * activation an architecture has. The forward pass (cpu_step.c) runs whatever tensors a layer has,
 * in one order, so a new architecture is a row here, unless it computes something new.
 */
#ifndef CZ_ENGINE_ARCHITECTURE_H
#define CZ_ENGINE_ARCHITECTURE_H

#include "model/model.h"

struct cz_architecture {
    const char *name;  /* as in cz_hyperparameters */
    uint64_t required; /* bit (1 << role): every layer has it, or the model where it has one */
    uint64_t optional;
    enum cz_activation_function activation;
};

/* CLOZE_UNSUPPORTED, naming the architecture, when there is no row for it. */
cloze_status cz_architecture_of(const char *name, const struct cz_architecture **out,
                                struct cloze_error *error);

/* Whether the model has all tensors of its architecture and none that the forward pass would leave
 * out; sizes and ratios that the forward pass relies on. */
cloze_status cz_architecture_check(const struct cz_architecture *architecture,
                                   const struct cz_model *model, struct cloze_error *error);

#endif
