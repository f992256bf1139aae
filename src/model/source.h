/*
 * source.h - between the file formats and struct cz_model: named tensors as files hold them, what
 * each architecture is made of, and the binding of one to the other. Private to the model room.
 *
 * Reading a model takes three steps: a format fills the hyper-parameters and a cz_source of named
 * tensors; cz_hyper_check checks the numbers; cz_model_bind finds the tensor of every role, checks
 * its shape, and reports what is left over.
 */
#ifndef CZ_MODEL_SOURCE_H
#define CZ_MODEL_SOURCE_H

#include "base/arena.h"
#include "base/file.h"
#include "base/map.h"
#include "model/gguf.h"
#include "model/model.h"

/* Bounds of hyper-parameters: far above any model, far below what would overflow. */
enum {
    CZ_MODEL_MOST_LAYERS = 1024,
    CZ_MODEL_MOST_HEADS = 1024,
    CZ_MODEL_LARGEST_HEAD = 1024,
    CZ_MODEL_LARGEST_WIDTH = 1 << 20, /* hidden, intermediate */
    CZ_MODEL_LARGEST_VOCAB = 1 << 22,
    CZ_MODEL_LARGEST_CONTEXT = 1 << 28,
    CZ_MODEL_MOST_FILES = 1024 /* shards */
};

/* The open files and the arena that a model's tables live in; struct cz_model is its first member,
 * so that a model's `owner` is this. */
struct cz_model_files {
    struct cz_model model;
    struct cz_arena arena;
    struct cz_mapping *mappings; /* [mapping_count] in the arena */
    size_t mapping_count;
};

/* A tensor of a file; the shape is in the model's order: rows, then columns. */
struct cz_source_tensor {
    struct cz_tensor tensor;
    bool used;
};

struct cz_source {
    const char *path; /* for errors */
    struct cz_source_tensor *tensors;
    size_t count;
    struct cz_map index; /* name -> index */
};

enum cz_naming { CZ_NAMING_GGUF, CZ_NAMING_HF };

/* Bits of struct cz_architecture.roles, over enum cz_role. */
#define CZ_ROLE_BIT(role) ((uint64_t)1 << (role))
#define CZ_ATTENTION_BIASES                                                                        \
    (CZ_ROLE_BIT(CZ_ROLE_Q_BIAS) | CZ_ROLE_BIT(CZ_ROLE_K_BIAS) | CZ_ROLE_BIT(CZ_ROLE_V_BIAS))
#define CZ_MLP_BIASES                                                                              \
    (CZ_ROLE_BIT(CZ_ROLE_GATE_BIAS) | CZ_ROLE_BIT(CZ_ROLE_UP_BIAS) | CZ_ROLE_BIT(CZ_ROLE_DOWN_BIAS))

struct cz_architecture {
    const char *name;           /* canonical, as in struct cz_hyperparameters */
    const char *gguf;           /* general.architecture */
    const char *model_types[2]; /* of config.json; NULL: none */
    uint64_t roles;             /* that every model of it has, beyond the common ones */
    bool interleaved_in_gguf;   /* the converter permutes Q and K */
    bool fused;                 /* qkv and gate_up are one matrix each */
    bool tied_by_default;       /* when config.json doesn't say */
    bool norm_adds_one_in_hf;
    enum cz_activation_function activation;
};

/* By general.architecture or model_type; NULL when Cloze doesn't know it. */
const struct cz_architecture *cz_architecture_find(enum cz_naming naming, struct cz_slice name);
/* "llama, qwen2, ..." for messages */
const char *cz_architecture_names(enum cz_naming naming);

/* CLOZE_CORRUPT or CLOZE_LIMIT when a number is out of bounds or contradicts another. */
cloze_status cz_hyper_check(const struct cz_hyperparameters *hyper, const char *path,
                            struct cloze_error *error);

/* Adds a tensor; a name that is there already is CLOZE_CORRUPT. Capacity was set by source_init. */
cloze_status cz_source_init(struct cz_source *source, struct cz_arena *arena, const char *path,
                            size_t capacity, struct cloze_error *error);
cloze_status cz_source_add(struct cz_source *source, const struct cz_tensor *tensor,
                           struct cloze_error *error);
struct cz_source_tensor *cz_source_find(const struct cz_source *source, const char *name);
void cz_source_free(struct cz_source *source);

struct cz_binding {
    const struct cz_architecture *architecture;
    enum cz_naming naming;
    uint64_t required; /* roles besides those of the architecture */
    uint64_t optional; /* taken when the file has them */
};

/* Fills model->tensors and model->layers; warns of tensors that no role took. */
cloze_status cz_model_bind(struct cz_model_files *files, struct cz_source *source,
                           const struct cz_binding *binding, struct cloze_error *error);

/* Adds ids to model->stop_ids, each once; an id beyond the vocabulary is CLOZE_CORRUPT. */
cloze_status cz_model_add_stops(struct cz_model_files *files, const uint32_t *ids, size_t count,
                                const char *path, struct cloze_error *error);

/* Takes over what a tokenizer's files say: tables, chat template, ends. */
struct cz_tokenizer_source;
cloze_status cz_model_set_tokenizer(struct cz_model_files *files,
                                    const struct cz_tokenizer_source *source, const char *path,
                                    struct cloze_error *error);

/* ---- The formats ---- */

/* A GGUF file or the first of its shards. */
cloze_status cz_model_read_gguf(const char *path, struct cz_model_files *files,
                                struct cloze_error *error);
/* A folder with config.json and safetensors. */
cloze_status cz_model_read_folder(const char *folder, struct cz_model_files *files,
                                  struct cloze_error *error);

#endif
