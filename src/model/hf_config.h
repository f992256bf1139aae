/*
 * hf_config.h - config.json and generation_config.json of a Hugging Face folder.
 *
 * Key names, defaults and the meaning of RoPE settings are those of transformers
 * (configuration_*.py, modeling_rope_utils.py), in its older and its v5 forms.
 */
#ifndef CZ_MODEL_HF_CONFIG_H
#define CZ_MODEL_HF_CONFIG_H

#include "model/source.h"

enum { CZ_CONFIG_LARGEST = 1 << 20, CZ_CONFIG_MOST_STOPS = 64 };

struct cz_hf_config {
    const struct cz_architecture *architecture;
    bool tied;                               /* the head is the embedding */
    uint64_t biases;                         /* role bits of the biases that the flags ask for */
    uint32_t stop_ids[CZ_CONFIG_MOST_STOPS]; /* of both files, without repetition */
    size_t stop_count;
};

/* Fills hyper, name and defaults of files->model. `generation` is NULL when the file is missing. */
cloze_status cz_hf_config_read(const struct cz_json *config, const char *path,
                               struct cz_model_files *files, struct cz_hf_config *out,
                               struct cloze_error *error);
cloze_status cz_hf_generation_read(const struct cz_json *generation, const char *path,
                                   struct cz_model_files *files, struct cz_hf_config *out,
                                   struct cloze_error *error);

#endif
