/*
 * backend.h - the table of functions that a forward pass is made of, as the scheduler sees it.
 *
 * The scheduler owns sequences, block tables and sampling; a backend owns weights, the KV memory and
 * the arithmetic. Nothing outside a backend reads tensors or KV by pointer. The CPU is the first
 * backend. All functions are called from the engine thread only.
 */
#ifndef CZ_ENGINE_BACKEND_H
#define CZ_ENGINE_BACKEND_H

#include "base/error.h"

#include <stdbool.h>

enum { CZ_KV_BLOCK = 32 }; /* positions in one KV block */

/* One sequence of a step: where its keys and values lie. Block i holds positions
 * i * CZ_KV_BLOCK ... of all layers. */
struct cz_step_sequence {
    const uint32_t *blocks;
    uint32_t block_count;
};

/* One token to run: it is written to the KV cache at `position` and attends to all positions of its
 * sequence up to its own. Rows of one sequence stand together in ascending position. */
struct cz_step_row {
    uint32_t token;
    uint32_t position;
    uint32_t sequence; /* index into the step's sequences */
};

/* Logits wanted of one row, for the ids a mask allows: `ids` (sparse) or `words` (dense bits) or
 * neither (all). out holds `count` floats in ascending id order, for all: [vocab]. */
struct cz_step_logits {
    uint32_t row;
    const uint32_t *ids;
    const uint32_t *words;
    uint32_t count;
    float *out;
};

struct cz_step {
    const struct cz_step_sequence *sequences;
    uint32_t sequence_count;
    const struct cz_step_row *rows;
    uint32_t row_count; /* at most max_rows */
    const struct cz_step_logits *logits;
    uint32_t logits_count;
};

enum cz_kv_type { CZ_KV_F16, CZ_KV_BF16, CZ_KV_INT8, CZ_KV_F32 };

/* How matrices are packed: as their files store them, or with fewer bits (8; 4, with 6 for embedding
 * and head), which never widens any, or all as bf16. */
enum cz_quantize { CZ_QUANTIZE_KEEP, CZ_QUANTIZE_Q8, CZ_QUANTIZE_Q4, CZ_QUANTIZE_BF16 };

/* "keep", "q8", "q4", "bf16"; false: none of these. */
bool cz_quantize_of(const char *name, enum cz_quantize *out);
const char *cz_quantize_name(enum cz_quantize quantize);

struct cz_backend_options {
    uint32_t threads;     /* 0: what affinity and cgroup allow */
    uint32_t max_rows;    /* largest step */
    uint32_t max_logits;  /* most rows of one step that want logits */
    uint32_t kv_blocks;   /* size of the KV cache */
    uint64_t kv_bytes;    /* the same in bytes, of which whole blocks are used; 0: kv_blocks */
    uint64_t memory_bytes; /* weights and KV cache have to fit; 0: what the machine has */
    enum cz_kv_type kv_type;
    enum cz_quantize quantize;
};

struct cz_backend_info {
    const char *name;          /* "cpu avx512-vnni" */
    uint32_t vocab;            /* logits per row */
    uint32_t context;          /* longest sequence the model was made for */
    uint32_t threads;
    size_t weight_bytes;       /* packed */
    size_t source_bytes_per_token; /* source file's weight bytes that decoding one token reads */
    size_t kv_block_bytes;
    uint32_t kv_blocks;
};

struct cz_backend {
    const struct cz_backend_functions *functions;
};

struct cz_backend_functions {
    void (*info)(const struct cz_backend *backend, struct cz_backend_info *info);
    /* Runs all rows and fills the logits asked for. Results of a row depend on its sequence alone,
     * never on the other rows, the batch's shape or the thread count. */
    cloze_status (*step)(struct cz_backend *backend, const struct cz_step *step,
                         struct cloze_error *error);
    void (*copy_block)(struct cz_backend *backend, uint32_t from, uint32_t to);
    void (*close)(struct cz_backend *backend);
};

/* ---- The CPU backend ---- */

/* Opens the packed form of the model at `source` (a file or folder that cz_model_open takes) from
 * `cache_folder`, making it first when it is missing or stale. */
cloze_status cz_cpu_backend_open(const char *source, const char *cache_folder,
                                 const struct cz_backend_options *options, struct cz_backend **out,
                                 struct cloze_error *error);

/* Makes the packed form without opening it; progress is called with bytes done and in all. */
typedef void cz_pack_progress(void *context, uint64_t done, uint64_t total);
cloze_status cz_pack_model(const char *source, const char *cache_folder,
                           enum cz_quantize quantize, cz_pack_progress *progress, void *context,
                           struct cloze_error *error);

#endif
