/*
 * selection.h - which files of a folder, or beside a GGUF file, make up a model.
 *
 * A folder holds a model in one of three forms, looked for in this order: a folder of a store
 * (model.yaml: every file, sub-folders too); a Hugging Face folder (config.json and *.safetensors:
 * those, and the small files that describe the model and its tokenizer; weights in other formats
 * are skipped); one GGUF file, whole or in shards.
 */
#ifndef CZ_STORE_SELECTION_H
#define CZ_STORE_SELECTION_H

#include "base/arena.h"

enum { CZ_SELECTION_MAXIMUM_FILES = 10000, CZ_SELECTION_MAXIMUM_DEPTH = 16 };

enum cz_selection_form {
    CZ_SELECTION_NONE,
    CZ_SELECTION_STORE,
    CZ_SELECTION_HF,
    CZ_SELECTION_GGUF
};

struct cz_selected_file {
    const char *path; /* where it lies */
    const char *name; /* relative, what it is called in the model's folder */
    uint64_t size;
    struct cz_selected_file *next;
};

struct cz_selection {
    enum cz_selection_form form;
    const char *folder; /* the folder of a HF or store source */
    struct cz_selected_file *files;
    size_t count;
    uint64_t size_bytes;
};

/* All of it lives in the arena. `deep` looks into sub-folders too when the folder itself holds no
 * model (an unpacked archive); several models are CLOZE_INVALID, none is CLOZE_NOT_FOUND. */
cloze_status cz_select_folder(struct cz_arena *arena, const char *folder, bool deep,
                              struct cz_selection *source, struct cloze_error *error);
/* A GGUF file with all its shards. */
cloze_status cz_select_gguf(struct cz_arena *arena, const char *path, struct cz_selection *source,
                            struct cloze_error *error);

/* Whether a file of a Hugging Face repository belongs into the store beside its weights. */
bool cz_select_wants(struct cz_slice name);
/* *.safetensors, but not consolidated* (the same weights once more, in Mistral's own layout). */
bool cz_select_is_safetensors(struct cz_slice name);
/* *.gguf, but not the vision part of one (mmproj*). */
bool cz_select_is_gguf(struct cz_slice name);

#endif
