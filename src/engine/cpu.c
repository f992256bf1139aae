/* cpu.c - opens the CPU backend: weights from the packed file, KV memory, the buffers of a step. */
#include "engine/cpu.h"

#include "base/log.h"
#include "base/progress.h"
#include "base/size.h"
#include "engine/identity.h"
#include "engine/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- The packed model, made when it is missing or not usable ---- */

static cloze_status open_or_make(const char *source, const char *cache_folder,
                                 enum cz_quantize quantize, bool open, cz_packed_progress *progress,
                                 void *context, struct cz_packed_model *model,
                                 struct cloze_error *error)
{
    char source_digest[CZ_SHA256_TEXT + 1], digest[CZ_SHA256_TEXT + 1];
    struct cz_buffer path = {0};
    struct cloze_error why = {0};
    cloze_status status = cz_source_digest(source, cache_folder, source_digest, error);
    if (!status)
        status = cz_packed_digest(source_digest, quantize, digest, error);
    if (!status && !cz_packed_path(&path, cache_folder, digest))
        status = cz_fail_memory(error, "a path");
    if (status)
        goto out;
    status = cz_packed_open(path.data, digest, model, &why);
    if (status) {
        if (status != CLOZE_NOT_FOUND)
            cz_log_error(CZ_LOG_WARNING, "the packed model is made again", &why);
        status =
            cz_packed_make(source, cache_folder, source_digest, quantize, progress, context, error);
        if (!status)
            status = cz_packed_open(path.data, digest, model, error);
    }
    if (!status && !open)
        cz_packed_close(model);
out:
    cz_buffer_free(&path);
    return status;
}

cloze_status cz_pack_model(const char *source, const char *cache_folder, enum cz_quantize quantize,
                           cz_pack_progress *progress, void *context, struct cloze_error *error)
{
    struct cz_packed_model model;
    return open_or_make(source, cache_folder, quantize, false, progress, context, &model, error);
}

/* ---- Weights ---- */

/* Adds a matrix to a product, checking the shape that the step relies on. */
static cloze_status add_matrix(struct cz_cpu_backend *backend, struct cz_cpu_product *product,
                               uint32_t role, uint32_t bias_role, uint32_t layer, uint32_t rows,
                               uint32_t columns, struct cloze_error *error)
{
    struct cz_packed *matrix = &product->weights[product->count];
    if (!cz_packed_matrix(&backend->packed, role, layer, matrix) || matrix->rows != rows ||
        matrix->columns != columns)
        return cz_fail(error, CLOZE_CORRUPT, NULL,
                       "the packed model lacks matrix %u of layer %u in the shape %u x %u", role,
                       layer, rows, columns);
    product->bias[product->count++] =
        bias_role ? cz_packed_vector(&backend->packed, bias_role, layer) : NULL;
    product->needs[cz_packed_activation(matrix)] = true;
    return CLOZE_OK;
}

static cloze_status load_layer(struct cz_cpu_backend *backend, uint32_t index,
                               struct cloze_error *error)
{
    const struct cz_packed_hyper *hyper = backend->hyper;
    const struct cz_packed_model *packed = &backend->packed;
    struct cz_cpu_layer *layer = &backend->layers[index];
    uint32_t heads = hyper->heads * hyper->head_dim, kv = hyper->kv_heads * hyper->head_dim;
    const struct {
        struct cz_cpu_product *product;
        uint32_t role, bias, rows, columns;
    } matrices[] = {
        {&layer->qkv, CZ_ROLE_Q, CZ_ROLE_Q_BIAS, heads, hyper->hidden},
        {&layer->qkv, CZ_ROLE_K, CZ_ROLE_K_BIAS, kv, hyper->hidden},
        {&layer->qkv, CZ_ROLE_V, CZ_ROLE_V_BIAS, kv, hyper->hidden},
        {&layer->o, CZ_ROLE_O, CZ_ROLE_O_BIAS, hyper->hidden, heads},
        {&layer->gate_up, CZ_ROLE_GATE, CZ_ROLE_GATE_BIAS, hyper->intermediate, hyper->hidden},
        {&layer->gate_up, CZ_ROLE_UP, CZ_ROLE_UP_BIAS, hyper->intermediate, hyper->hidden},
        {&layer->down, CZ_ROLE_DOWN, CZ_ROLE_DOWN_BIAS, hyper->hidden, hyper->intermediate},
    };
    cloze_status status = CLOZE_OK;
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices && !status; i++)
        status = add_matrix(backend, matrices[i].product, matrices[i].role, matrices[i].bias, index,
                            matrices[i].rows, matrices[i].columns, error);
    layer->attention_norm = cz_packed_vector(packed, CZ_ROLE_ATTENTION_NORM, index);
    layer->q_norm = cz_packed_vector(packed, CZ_ROLE_Q_NORM, index);
    layer->k_norm = cz_packed_vector(packed, CZ_ROLE_K_NORM, index);
    layer->post_attention_norm = cz_packed_vector(packed, CZ_ROLE_POST_ATTENTION_NORM, index);
    layer->ffn_norm = cz_packed_vector(packed, CZ_ROLE_FFN_NORM, index);
    layer->post_ffn_norm = cz_packed_vector(packed, CZ_ROLE_POST_FFN_NORM, index);
    uint32_t flags = (uint32_t)cz_packed_vector(packed, CZ_PACKED_LAYER_FLAGS, 0)[index];
    layer->has_rope = flags & CZ_LAYER_ROPE;
    layer->is_local = flags & CZ_LAYER_LOCAL;
    return status;
}

static cloze_status load_weights(struct cz_cpu_backend *backend, struct cloze_error *error)
{
    const struct cz_packed_hyper *hyper = backend->hyper;
    backend->layers = calloc(hyper->layers, sizeof *backend->layers);
    if (!backend->layers)
        return cz_fail_memory(error, "the layers of a model");
    struct cz_packed head;
    bool tied = !cz_packed_matrix(&backend->packed, CZ_ROLE_HEAD, 0, &head);
    cloze_status status =
        add_matrix(backend, &backend->head, tied ? CZ_ROLE_EMBEDDING : CZ_ROLE_HEAD, 0, 0,
                   hyper->vocab, hyper->hidden, error);
    if (!status &&
        (!cz_packed_matrix(&backend->packed, CZ_ROLE_EMBEDDING, 0, &backend->embedding) ||
         !cz_packed_vector(&backend->packed, CZ_PACKED_LAYER_FLAGS, 0)))
        status = cz_fail(error, CLOZE_CORRUPT, NULL, "the packed model lacks a tensor");
    backend->output_norm = cz_packed_vector(&backend->packed, CZ_ROLE_OUTPUT_NORM, 0);
    for (uint32_t i = 0; i < 3; i++)
        backend->frequencies[i] = cz_packed_vector(&backend->packed, CZ_PACKED_ROPE + i, 0);
    for (uint32_t i = 0; i < hyper->layers && !status; i++)
        status = load_layer(backend, i, error);
    return status;
}

/* ---- Memory ---- */

static void *map_memory(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* Hands out pieces of `memory`; with memory NULL it only counts. */
struct carver {
    unsigned char *memory;
    size_t used;
};

static void *carve(struct carver *carver, size_t count, size_t size)
{
    void *piece = carver->memory ? carver->memory + carver->used : NULL;
    carver->used += cz_size_align(count * size, CZ_PACKED_ALIGNMENT);
    return piece;
}

#define CARVE(carver, count, pointer) ((pointer) = carve((carver), (count), sizeof *(pointer)))

static size_t record_bytes(const struct cz_cpu_backend *backend, enum cz_activation kind)
{
    const struct cz_packed_hyper *hyper = backend->hyper;
    uint32_t columns = hyper->hidden;
    if (columns < hyper->heads * hyper->head_dim)
        columns = hyper->heads * hyper->head_dim;
    if (columns < hyper->intermediate)
        columns = hyper->intermediate;
    return cz_activation_bytes(kind, columns);
}

static void carve_rows(struct cz_cpu_backend *backend, struct carver *carver, size_t rows)
{
    const struct cz_packed_hyper *hyper = backend->hyper;
    size_t heads = (size_t)hyper->heads * hyper->head_dim;
    size_t kv = (size_t)hyper->kv_heads * hyper->head_dim;
    CARVE(carver, rows * hyper->hidden, backend->x);
    CARVE(carver, rows * hyper->hidden, backend->sum);
    CARVE(carver, rows * heads, backend->q);
    CARVE(carver, rows * kv, backend->k);
    CARVE(carver, rows * kv, backend->v);
    CARVE(carver, rows * heads, backend->attended);
    CARVE(carver, rows * hyper->intermediate, backend->gate);
    CARVE(carver, rows * hyper->intermediate, backend->up);
    for (int i = 0; i < 3; i++) {
        uint32_t dims = i == CZ_CPU_ROPE_LOCAL ? hyper->local_rope.dims : hyper->rope.dims;
        CARVE(carver, rows * (dims / 2), backend->cosine[i]);
        CARVE(carver, rows * (dims / 2), backend->sine[i]);
    }
    CARVE(carver, rows, backend->tiles);
    CARVE(carver, rows, backend->wanted);
    CARVE(carver, rows, backend->place);
}

/* Memory for the items of attention that don't go round among the workers (plan_chunks), over the
 * longest sequence that the KV cache holds. */
static void carve_parts(struct cz_cpu_backend *backend, struct carver *carver)
{
    enum { MOST = 1 << 14 };
    size_t positions =
        cz_size_min(backend->hyper->context, (size_t)backend->options.kv_blocks * CZ_KV_BLOCK);
    size_t chunks = positions / CZ_ATTENTION_CHUNK + 1, workers = cz_pool_threads(backend->pool);
    backend->part_count = (uint32_t)cz_size_min(chunks * 4 * workers, MOST);
    CARVE(carver, backend->part_count, backend->parts);
    for (uint32_t i = 0; i < backend->part_count; i++) {
        struct cz_attention_part counted, *part = carver->memory ? &backend->parts[i] : &counted;
        CARVE(carver, (size_t)CZ_ATTENTION_ROWS * backend->hyper->head_dim, part->values);
    }
}

static void carve_all(struct cz_cpu_backend *backend, struct carver *carver)
{
    const struct cz_packed_hyper *hyper = backend->hyper;
    size_t rows = backend->options.max_rows, panels = cz_packed_panels(&backend->head.weights[0]);
    carve_rows(backend, carver, rows);
    carve_parts(backend, carver);
    size_t records = cz_size_max(rows, CZ_HEAD_GROUP);
    for (int kind = 0; kind < CZ_ACTIVATION_KINDS; kind++)
        backend->records[kind] =
            carve(carver, records, record_bytes(backend, (enum cz_activation)kind));
    CARVE(carver, CZ_HEAD_GROUP * panels * CZ_PANEL_ROWS, backend->logits);
    CARVE(carver, CZ_HEAD_GROUP * panels, backend->panels);
    CARVE(carver, backend->options.max_logits, backend->logits_order);
    CARVE(carver, cz_pool_threads(backend->pool), backend->workers);
    size_t widest = record_bytes(backend, CZ_ACTIVATION_BF16) / sizeof(uint16_t);
    for (uint32_t i = 0; i < cz_pool_threads(backend->pool); i++) {
        struct cz_cpu_worker_memory counted,
            *worker = carver->memory ? &backend->workers[i] : &counted;
        CARVE(carver, widest, worker->row);
        CARVE(carver, cz_attention_scratch(hyper->head_dim), worker->attention);
        for (int kind = 0; kind < CZ_ACTIVATION_KINDS; kind++)
            worker->records[kind] = carve(carver, 1, record_bytes(backend, (enum cz_activation)kind));
    }
}

/* How many blocks the KV cache has; weights and cache have to fit into memory. */
static cloze_status size_cache(struct cz_cpu_backend *backend, struct cloze_error *error)
{
    struct cz_backend_options *options = &backend->options;
    uint64_t limit = options->memory_bytes ? options->memory_bytes : cz_memory_limit();
    size_t weights = backend->packed.mapping.size;
    char sizes[3][CZ_SIZE_TEXT];
    if (options->kv_bytes)
        options->kv_blocks =
            (uint32_t)cz_size_min(options->kv_bytes / backend->block_bytes, 1u << 23);
    cz_size_text(backend->block_bytes, sizes[0]);
    if (!options->kv_blocks)
        return cz_fail(error, CLOZE_LIMIT, "KV cache",
                       "its smallest part, %d tokens of this model, takes %s", CZ_KV_BLOCK,
                       sizes[0]);
    bool counted = cz_size_mul(backend->block_bytes, options->kv_blocks, &backend->kv_bytes);
    if (counted && backend->kv_bytes <= limit && weights <= limit - backend->kv_bytes)
        return CLOZE_OK;
    cz_size_text(weights, sizes[0]);
    cz_size_text(counted ? backend->kv_bytes : SIZE_MAX, sizes[1]);
    cz_size_text(limit, sizes[2]);
    return cz_fail(error, CLOZE_LIMIT, "memory",
                   "the model's weights take %s and its KV cache %s, and this process may use %s",
                   sizes[0], sizes[1], sizes[2]);
}

static cloze_status allocate(struct cz_cpu_backend *backend, struct cloze_error *error)
{
    const struct cz_packed_hyper *hyper = backend->hyper;
    backend->tile_bytes = cz_kv_tile_bytes(cz_cpu_kv_form(backend), hyper->head_dim);
    backend->head_bytes = backend->tile_bytes * (hyper->rope.switch_at ? 2 : 1);
    backend->layer_bytes = backend->head_bytes * hyper->kv_heads;
    backend->block_bytes = backend->layer_bytes * hyper->layers;
    cloze_status status = size_cache(backend, error);
    if (status)
        return status;
    struct carver carver = {0};
    carve_all(backend, &carver);
    backend->memory_bytes = carver.used;
    backend->kv = map_memory(backend->kv_bytes);
    backend->memory = map_memory(backend->memory_bytes);
    if (!backend->kv || !backend->memory)
        return cz_fail_memory(error, "the KV cache and the buffers of a step");
    madvise(backend->kv, backend->kv_bytes, MADV_HUGEPAGE); /* where refused, it is only slower */
    carver = (struct carver){backend->memory, 0};
    carve_all(backend, &carver);
    return CLOZE_OK;
}

/* ---- The table's functions ---- */

static void cpu_info(const struct cz_backend *base, struct cz_backend_info *info)
{
    const struct cz_cpu_backend *backend = (const struct cz_cpu_backend *)(const void *)base;
    *info = (struct cz_backend_info){
        .name = backend->name,
        .vocab = backend->hyper->vocab,
        .context = backend->hyper->context,
        .threads = cz_pool_threads(backend->pool),
        .weight_bytes = backend->packed.mapping.size,
        .source_bytes_per_token = backend->hyper->source_bytes_per_token,
        .kv_block_bytes = backend->block_bytes,
        .kv_blocks = backend->options.kv_blocks,
    };
}

static void cpu_copy_block(struct cz_backend *base, uint32_t from, uint32_t to)
{
    struct cz_cpu_backend *backend = (struct cz_cpu_backend *)(void *)base;
    memcpy(backend->kv + to * backend->block_bytes, backend->kv + from * backend->block_bytes,
           backend->block_bytes);
}

static void cpu_close(struct cz_backend *base)
{
    struct cz_cpu_backend *backend = (struct cz_cpu_backend *)(void *)base;
    cz_pool_free(backend->pool);
    if (backend->kv)
        munmap(backend->kv, backend->kv_bytes);
    if (backend->memory)
        munmap(backend->memory, backend->memory_bytes);
    free(backend->layers);
    cz_packed_close(&backend->packed);
    free(backend);
}

static const struct cz_backend_functions functions = {
    .info = cpu_info,
    .step = cz_cpu_step,
    .copy_block = cpu_copy_block,
    .close = cpu_close,
};

static cloze_status check_options(const struct cz_backend_options *options,
                                  struct cloze_error *error)
{
    if (!options->max_rows || options->max_rows > CZ_BACKEND_MAX_ROWS || !options->max_logits ||
        options->max_logits > CZ_BACKEND_MAX_ROWS || (!options->kv_blocks && !options->kv_bytes))
        return cz_fail(error, CLOZE_INVALID, NULL,
                       "a step takes 1 to %d rows and logits, and at least one KV block",
                       CZ_BACKEND_MAX_ROWS);
    return CLOZE_OK;
}

cloze_status cz_cpu_backend_open(const char *source, const char *cache_folder,
                                 const struct cz_backend_options *options, struct cz_backend **out,
                                 struct cloze_error *error)
{
    cloze_status status = check_options(options, error);
    if (status)
        return status;
    struct cz_cpu_backend *backend = calloc(1, sizeof *backend);
    if (!backend)
        return cz_fail_memory(error, "a backend");
    backend->base.functions = &functions;
    backend->options = *options;
    status = cz_kernels_select(&backend->kernels, error);
    if (!status)
        status = cz_pool_create(options->threads, &backend->pool, error);
    if (!status)
        status = open_or_make(source, cache_folder, options->quantize, true, NULL, NULL,
                              &backend->packed, error);
    if (!status) {
        backend->hyper = backend->packed.hyper;
        snprintf(backend->name, sizeof backend->name, "cpu %s", backend->kernels->name);
        status = load_weights(backend, error);
    }
    if (!status)
        status = allocate(backend, error);
    if (status) {
        cpu_close(&backend->base);
        return status;
    }
    *out = &backend->base;
    return CLOZE_OK;
}
