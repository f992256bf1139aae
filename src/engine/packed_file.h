/*
 * packed_file.h - a model's weights as the kernels want them, in one mapped cache file.
 *
 *   cache_folder/packed/<digest>-<layout>.cloze
 *
 *   header | entry[entry_count] | tensors, each at a multiple of 64
 *
 * The header holds all that the forward pass needs besides tensors, so that a packed model opens
 * without its source. Matrices have the layout of kernels/packed.h, vectors are float32. All
 * integers are little-endian, like everything on the machines that Cloze runs on. The layout number
 * changes whenever header, entries or the kernels' layout do; a file with another number, another
 * digest, a wrong size or a header that its checksum denies is made again, never read.
 *
 * Files are made under a temporary name, synced and renamed; once there, they never change.
 */
#ifndef CZ_ENGINE_PACKED_FILE_H
#define CZ_ENGINE_PACKED_FILE_H

#include "base/digest.h"
#include "base/file.h"
#include "engine/backend.h"
#include "engine/rope.h"
#include "kernels/packed.h"

enum {
    CZ_PACKED_FILE_VERSION = 2,
    CZ_PACKED_MAX_LAYERS = 4096,
};

/* Vectors that come from the hyper-parameters, numbered behind the tensors' roles. */
enum cz_packed_role {
    CZ_PACKED_ROPE = CZ_ROLES, /* [dims / 2] frequencies */
    CZ_PACKED_ROPE_LONG,       /* [dims / 2] for positions past hyper.rope.switch_at */
    CZ_PACKED_ROPE_LOCAL,      /* [dims / 2] for layers with a window, where they differ */
    CZ_PACKED_LAYER_FLAGS,     /* [layers] sums of cz_layer_flags, as floats */
    CZ_PACKED_ROLES
};

enum cz_layer_flags { CZ_LAYER_LOCAL = 1, CZ_LAYER_ROPE = 2 };

/* What the forward pass reads of the hyper-parameters. Stored in the file as it is. */
struct cz_packed_hyper {
    char architecture[32];
    uint32_t vocab, hidden, intermediate, layers, heads, kv_heads, head_dim, context;
    uint32_t sliding_window; /* of the layers flagged local; 0: none */
    uint32_t activation;     /* enum cz_activation */
    float norm_epsilon, attention_scale, embedding_scale;
    float attention_softcap, final_softcap; /* 0: none */
    uint32_t has_local_rope;
    struct cz_rope_table rope, local_rope;
    uint64_t source_bytes_per_token; /* of the source's matrices that decoding one token reads */
};

struct cz_packed_header {
    char magic[8];   /* CZ_PACKED_MAGIC */
    uint32_t layout; /* cz_packed_layout() */
    uint32_t entry_count;
    char source_digest[CZ_SHA256_TEXT];
    uint64_t file_size;
    uint64_t data_position; /* of the first tensor; a multiple of 64 */
    uint64_t data_checksum; /* of all tensors: the sum over their pieces */
    uint64_t checksum;      /* of header (this field 0) and entries */
    struct cz_packed_hyper hyper;
};

#define CZ_PACKED_MAGIC "CLOZE\r\n\x1a"

struct cz_packed_entry {
    uint32_t role; /* enum cz_role or cz_packed_role */
    uint32_t layer;
    uint32_t is_matrix;
    uint32_t rows, columns;                     /* a vector has columns 1 */
    uint32_t width, group, has_minimum, offset; /* of matrices */
    uint32_t scales; /* enum cz_scales, of matrices */
    uint64_t position, size; /* bytes in the file */
};

/* A packed model, opened: immutable, any number of threads may read it. */
struct cz_packed_model {
    struct cz_mapping mapping;
    const struct cz_packed_header *header;
    const struct cz_packed_hyper *hyper;
    const struct cz_packed_entry *entries;
    /* Index of the entry + 1 by layer and role, 0 when absent; model-wide roles are in layer 0. */
    uint32_t (*index)[CZ_PACKED_ROLES]; /* owned */
};

/* The layout number that this program reads and writes. */
uint32_t cz_packed_layout(void);

/* The digest of a source (identity.h) that is packed in this way: the source's own for what is kept
 * as it is. */
cloze_status cz_packed_digest(const char *source_digest, enum cz_quantize quantize,
                              char digest[CZ_SHA256_TEXT + 1], struct cloze_error *error);

/* The packed file's path for a digest, as the buffer's content. */
const char *cz_packed_path(struct cz_buffer *buffer, const char *cache_folder, const char *digest);

/* Maps the file and checks all but the tensors' content. CLOZE_CORRUPT when it is not the packed
 * form of `digest` in this program's layout; CLOZE_NOT_FOUND when it is not there. */
cloze_status cz_packed_open(const char *path, const char *digest, struct cz_packed_model *model,
                            struct cloze_error *error);
void cz_packed_close(struct cz_packed_model *model);

/* Reads everything and compares it with the data checksum. */
cloze_status cz_packed_verify(const struct cz_packed_model *model, const char *path,
                              struct cloze_error *error);

/* The matrix of a role; false when the model has none. */
bool cz_packed_matrix(const struct cz_packed_model *model, uint32_t role, uint32_t layer,
                      struct cz_packed *out);
/* The vector of a role, NULL when the model has none. */
const float *cz_packed_vector(const struct cz_packed_model *model, uint32_t role, uint32_t layer);

/* Checksum of header (with checksum 0) and entries, which follow one another in memory. */
uint64_t cz_packed_header_checksum(const struct cz_packed_header *header);
/* Checksum of the piece at `position` of the file: a vector, a panel of a matrix, or all multipliers of
 * one. Those of all pieces add up to data_checksum. It detects damage, not forgery. */
uint64_t cz_packed_piece_checksum(uint64_t position, const void *data, size_t size);

/* Writes the packed form of the model at `source` to the cache, on all cores. */
typedef void cz_packed_progress(void *context, uint64_t done, uint64_t total);
cloze_status cz_packed_make(const char *source, const char *cache_folder, const char *source_digest,
                            enum cz_quantize quantize, cz_packed_progress *progress, void *context,
                            struct cloze_error *error);

/* The same in two halves, where the source's digest is known only later: the first converts all tensors
 * into a temporary file, the second publishes it, unless there is one with this digest already; with
 * NULL it gives the packing up. It frees the packing either way. */
struct cz_packing;
cloze_status cz_packing_begin(const char *source, const char *cache_folder,
                              enum cz_quantize quantize, cz_packed_progress *progress,
                              void *context, struct cz_packing **out, struct cloze_error *error);
cloze_status cz_packing_end(struct cz_packing *packing, const char *source_digest,
                            struct cloze_error *error);

#endif
