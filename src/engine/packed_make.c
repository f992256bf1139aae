/*
 * packed_make.c - makes packed files: plan the layout, convert panel by panel on all cores, then the
 * header; sync, rename.
 *
 * Work is cut into panels of 16 rows of a matrix. Each worker holds scratch memory for the codes,
 * scales and minima (or floats) of one panel, and a stream into the file. What is small (vectors,
 * multipliers) is written behind the panels. The first error stops all.
 */
#include "engine/architecture.h"
#include "engine/packed_file.h"
#include "engine/packed_stream.h"

#include "base/size.h"
#include "kernels/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* One entry and what it is made from. */
struct planned {
    struct cz_packed_entry entry;
    const struct cz_tensor *tensor; /* NULL for vectors of the hyper-parameters */
    const float *values;            /* those vectors' content */
    bool converts;                  /* a matrix whose codes are not the source's */
    uint32_t interleaved_heads;     /* heads whose rows pair neighbours; 0: rows are in order */
    uint32_t first_item;            /* panels before this entry's: index into the work */
    size_t first_multiplier;        /* of a quantised matrix's, as they stand in the file */
};

struct cz_packing {
    struct cz_model *model; /* owned */
    enum cz_quantize quantize;
    struct cz_buffer cache_folder, temporary; /* paths */
    int descriptor;                           /* of `temporary`, locked */
    struct cz_packed_hyper hyper;
    struct planned *plan;
    uint32_t planned;
    uint32_t items;      /* panels of all matrices */
    float *frequencies;  /* of all RoPE tables, and the layer flags: owned */
    float *multipliers;  /* of all quantised matrices, with the zeros behind each: owned */
    size_t multiplier_count;
    size_t data_position, size;
    size_t scratch_columns, largest_panel;
    _Atomic uint64_t checksum; /* of what has been written */
    _Atomic bool failed;
    pthread_mutex_t lock; /* guards error, and taken to write */
    struct cloze_error *error;
    cloze_status status;
    cz_packed_progress *progress;
    void *context;
    _Atomic uint64_t done; /* items */
};

/* ---- Hyper-parameters ---- */

static struct cz_packed_hyper hyper_of(const struct cz_hyperparameters *from)
{
    struct cz_packed_hyper hyper = {
        .vocab = from->vocab,
        .hidden = from->hidden,
        .intermediate = from->intermediate,
        .layers = from->layers,
        .heads = from->heads,
        .kv_heads = from->kv_heads,
        .head_dim = from->head_dim,
        .context = from->context,
        .sliding_window = from->sliding_window,
        .activation = from->activation,
        .norm_epsilon = (float)from->norm_epsilon,
        .attention_scale = (float)from->attention_scale,
        .embedding_scale = (float)from->embedding_scale,
        .attention_softcap = (float)from->attention_softcap,
        .final_softcap = (float)from->final_softcap,
        .has_local_rope = from->has_local_rope,
    };
    if (from->rope.type == CZ_ROPE_DYNAMIC) /* made to go past the context it was trained with */
        hyper.context = (uint32_t)(from->context * from->rope.factor);
    memcpy(hyper.architecture, from->architecture, sizeof hyper.architecture);
    return hyper;
}

static float layer_flags(const struct cz_hyperparameters *hyper, uint32_t layer)
{
    bool local = hyper->sliding_window && (!hyper->layer_is_local || hyper->layer_is_local[layer]);
    bool rope = !hyper->layer_has_rope || hyper->layer_has_rope[layer];
    return (float)((local ? CZ_LAYER_LOCAL : 0) + (rope ? CZ_LAYER_ROPE : 0));
}

/* ---- Plan ---- */

/* Another form for a matrix of so many bits a weight (16: floats), as the user wants it: true when
 * it has fewer bits, or is bf16. Columns that no group divides stay as they are. */
static bool convert_shape(enum cz_quantize quantize, uint32_t role, unsigned bits,
                          struct cz_packed *shape)
{
    bool table = role == CZ_ROLE_EMBEDDING || role == CZ_ROLE_HEAD;
    unsigned wanted = quantize == CZ_QUANTIZE_Q8 ? 8 : table ? 6 : 4;
    if (quantize == CZ_QUANTIZE_KEEP || (quantize == CZ_QUANTIZE_BF16 && bits == 16))
        return false;
    if (quantize == CZ_QUANTIZE_BF16) {
        *shape = (struct cz_packed){
            .rows = shape->rows, .columns = shape->columns, .width = CZ_WIDTH_BF16};
        return true;
    }
    if (bits <= wanted || shape->columns % 16 != 0)
        return false;
    shape->width = wanted == 8 ? CZ_WIDTH_8 : wanted == 6 ? CZ_WIDTH_6 : CZ_WIDTH_4;
    shape->group = wanted == 6 || shape->columns % 32 != 0 ? 16 : 32;
    shape->has_minimum = wanted == 4;
    shape->offset = wanted == 8 ? 128 : wanted == 6 ? 32 : 0;
    shape->scales = CZ_SCALES_HALF;
    return true;
}

static cloze_status shape_of(const struct cz_packing *making, struct planned *planned,
                             struct cloze_error *error)
{
    const struct cz_tensor *tensor = planned->tensor;
    struct cz_packed_entry *entry = &planned->entry;
    const struct cz_dtype_info *info = cz_dtype_info(tensor->dtype);
    static const enum cz_width widths[9] = {[2] = CZ_WIDTH_2, [3] = CZ_WIDTH_3, [4] = CZ_WIDTH_4,
                                            [5] = CZ_WIDTH_5, [6] = CZ_WIDTH_6, [8] = CZ_WIDTH_8};
    struct cz_packed shape = {.rows = (uint32_t)tensor->shape[0],
                              .columns = (uint32_t)tensor->shape[1],
                              .width = CZ_WIDTH_BF16};
    if (tensor->shape[0] > CZ_PACKED_MAX_ROWS || tensor->shape[1] > CZ_PACKED_MAX_COLUMNS)
        return cz_fail(error, CLOZE_LIMIT, tensor->name, "is larger than %d x %d",
                       CZ_PACKED_MAX_ROWS, CZ_PACKED_MAX_COLUMNS);
    if (info->bits) {
        shape.width = info->has_table ? CZ_WIDTH_4_TABLE : widths[info->bits];
        shape.group = info->group;
        shape.has_minimum = info->has_minimum;
        shape.offset = info->has_minimum ? 0 : info->offset;
        if (info->two_levels)
            shape.scales =
                info->has_minimum && info->group == 16 ? CZ_SCALES_NIBBLES : CZ_SCALES_BYTES;
    }
    planned->converts =
        convert_shape(making->quantize, entry->role, info->bits ? info->bits : 16, &shape);
    cloze_status status = cz_packed_check(&shape, error);
    if (status) {
        cz_error_at(error, tensor->name);
        return status;
    }
    entry->rows = shape.rows;
    entry->columns = shape.columns;
    entry->width = shape.width;
    entry->group = shape.group;
    entry->has_minimum = shape.has_minimum;
    entry->offset = shape.offset;
    entry->scales = shape.scales;
    entry->size = cz_packed_size(&shape);
    return CLOZE_OK;
}

static struct cz_packed shape_of_entry(const struct cz_packed_entry *entry)
{
    return (struct cz_packed){NULL,         entry->rows,  entry->columns,
                              entry->width, entry->group, entry->has_minimum != 0,
                              entry->offset, entry->scales};
}

static struct planned *add_entry(struct cz_packing *making, uint32_t role, uint32_t layer)
{
    struct planned *planned = &making->plan[making->planned++];
    planned->entry.role = role;
    planned->entry.layer = layer;
    planned->first_item = making->items;
    return planned;
}

static void add_vector(struct cz_packing *making, uint32_t role, const float *values, uint32_t count)
{
    struct planned *planned = add_entry(making, role, 0);
    planned->values = values;
    planned->entry.rows = count;
    planned->entry.columns = 1;
    planned->entry.size = count * sizeof(float);
}

static uint32_t interleaved_heads(const struct cz_hyperparameters *hyper, uint32_t role)
{
    if (!hyper->qk_interleaved)
        return 0;
    if (role == CZ_ROLE_Q || role == CZ_ROLE_Q_BIAS)
        return hyper->heads;
    return role == CZ_ROLE_K || role == CZ_ROLE_K_BIAS ? hyper->kv_heads : 0;
}

static cloze_status add_tensor(struct cz_packing *making, uint32_t role, uint32_t layer,
                               struct cloze_error *error)
{
    const struct cz_hyperparameters *hyper = &making->model->hyper;
    const struct cz_tensor *tensor = cz_model_tensor(making->model, (enum cz_role)role, layer);
    if (!tensor->data || role == CZ_ROLE_ROPE_FACTORS)
        return CLOZE_OK;
    struct planned *planned = add_entry(making, role, layer);
    planned->tensor = tensor;
    planned->interleaved_heads = interleaved_heads(hyper, role);
    planned->entry.is_matrix = tensor->rank == 2;
    if (tensor->rank == 1) {
        planned->entry.rows = (uint32_t)tensor->shape[0];
        planned->entry.columns = 1;
        planned->entry.size = planned->entry.rows * sizeof(float);
        return CLOZE_OK;
    }
    cloze_status status = shape_of(making, planned, error);
    if (status)
        return status;
    struct cz_packed shape = shape_of_entry(&planned->entry);
    making->items += cz_packed_panels(&shape);
    making->scratch_columns = cz_size_max(making->scratch_columns, shape.columns);
    making->largest_panel = cz_size_max(making->largest_panel, cz_packed_panel_bytes(&shape));
    planned->first_multiplier = making->multiplier_count;
    making->multiplier_count += cz_packed_header_bytes(&shape) / sizeof(float);
    bool lookup =
        role == CZ_ROLE_EMBEDDING && cz_model_tensor(making->model, CZ_ROLE_HEAD, 0)->data;
    if (!lookup)
        making->hyper.source_bytes_per_token += tensor->size;
    return CLOZE_OK;
}

/* Frequencies of all RoPE tables and the layers' flags, in one array. */
static cloze_status plan_vectors(struct cz_packing *making, struct cloze_error *error)
{
    const struct cz_hyperparameters *from = &making->model->hyper;
    const struct cz_tensor *factors = cz_model_tensor(making->model, CZ_ROLE_ROPE_FACTORS, 0);
    uint32_t half = from->rope.dims / 2;
    uint32_t local_half = from->has_local_rope ? from->local_rope.dims / 2 : 0;
    float *divisors = calloc((size_t)half * 3 + local_half + from->layers, sizeof(float));
    if (!divisors)
        return cz_fail_memory(error, "RoPE tables");
    making->frequencies = divisors;
    float *frequencies = divisors + half, *longer = frequencies + half, *local = longer + half;
    float *flags = local + local_half;
    if (factors->data)
        cz_dtype_to_f32(factors->dtype, factors->data, half, divisors);
    cz_rope_prepare(&from->rope, factors->data ? divisors : NULL, from->context,
                    &making->hyper.rope, frequencies, longer);
    add_vector(making, CZ_PACKED_ROPE, frequencies, half);
    if (making->hyper.rope.switch_at)
        add_vector(making, CZ_PACKED_ROPE_LONG, longer, half);
    if (from->has_local_rope) {
        if (from->local_rope.type == CZ_ROPE_LONGROPE)
            return cz_fail(error, CLOZE_UNSUPPORTED, NULL,
                           "longrope on layers with a sliding window of their own");
        cz_rope_prepare(&from->local_rope, NULL, from->context, &making->hyper.local_rope, local,
                        NULL);
        add_vector(making, CZ_PACKED_ROPE_LOCAL, local, local_half);
    }
    for (uint32_t layer = 0; layer < from->layers; layer++)
        flags[layer] = layer_flags(from, layer);
    add_vector(making, CZ_PACKED_LAYER_FLAGS, flags, from->layers);
    return CLOZE_OK;
}

static cloze_status make_plan(struct cz_packing *making, struct cloze_error *error)
{
    const struct cz_hyperparameters *from = &making->model->hyper;
    if (!from->layers || from->layers > CZ_PACKED_MAX_LAYERS)
        return cz_fail(error, CLOZE_LIMIT, NULL, "%u layers; at least 1, at most %d can be run",
                       from->layers, CZ_PACKED_MAX_LAYERS);
    making->hyper = hyper_of(from);
    making->plan = calloc((size_t)from->layers * CZ_ROLES + CZ_PACKED_ROLES, sizeof *making->plan);
    if (!making->plan)
        return cz_fail_memory(error, "the plan of a packed model");
    cloze_status status = plan_vectors(making, error);
    for (uint32_t role = 0; role < CZ_ROLE_ATTENTION_NORM && !status; role++)
        status = add_tensor(making, role, 0, error);
    for (uint32_t layer = 0; layer < from->layers && !status; layer++)
        for (uint32_t role = CZ_ROLE_ATTENTION_NORM; role < CZ_ROLES && !status; role++)
            status = add_tensor(making, role, layer, error);
    size_t position =
        sizeof(struct cz_packed_header) + making->planned * sizeof(struct cz_packed_entry);
    making->data_position = cz_size_align(position, CZ_PACKED_ALIGNMENT);
    making->size = making->data_position;
    for (uint32_t i = 0; i < making->planned; i++) {
        making->plan[i].entry.position = making->size;
        making->size =
            cz_size_align(making->size + making->plan[i].entry.size, CZ_PACKED_ALIGNMENT);
    }
    return status;
}

/* ---- Conversion ---- */

/* The source's row for a packed one: within a head, half-split row r of d was stored at 2r when
 * r < d/2 and at 2(r - d/2) + 1 above. */
static uint32_t source_row(const struct planned *planned, uint32_t row)
{
    if (!planned->interleaved_heads)
        return row;
    uint32_t dims = planned->entry.rows / planned->interleaved_heads;
    uint32_t within = row % dims, half = dims / 2;
    return row - within + (within < half ? 2 * within : 2 * (within - half) + 1);
}

static cloze_status convert_vector(const struct cz_packing *making, const struct planned *planned,
                                   float *out, struct cloze_error *error)
{
    uint32_t count = planned->entry.rows;
    if (planned->values) {
        memcpy(out, planned->values, count * sizeof *out);
        return CLOZE_OK;
    }
    const struct cz_tensor *tensor = planned->tensor;
    const struct cz_dtype_info *info = cz_dtype_info(tensor->dtype);
    if (info->bits)
        return cz_fail(error, CLOZE_UNSUPPORTED, tensor->name, "is a quantised vector (%s)",
                       info->name);
    bool norm = planned->entry.role == CZ_ROLE_OUTPUT_NORM ||
                planned->entry.role == CZ_ROLE_ATTENTION_NORM ||
                planned->entry.role == CZ_ROLE_FFN_NORM || planned->entry.role == CZ_ROLE_Q_NORM ||
                planned->entry.role == CZ_ROLE_K_NORM ||
                planned->entry.role == CZ_ROLE_POST_ATTENTION_NORM ||
                planned->entry.role == CZ_ROLE_POST_FFN_NORM;
    float one = norm && making->model->hyper.norm_adds_one ? 1.0f : 0.0f;
    const char *data = tensor->data;
    for (uint32_t i = 0; i < count; i++) {
        float value;
        cz_dtype_to_f32(tensor->dtype, data + (size_t)source_row(planned, i) * info->block_bytes, 1,
                        &value);
        if (!isfinite(value))
            return cz_fail(error, CLOZE_CORRUPT, tensor->name, "element %u is not a finite number",
                           source_row(planned, i));
        out[i] = value + one;
    }
    return CLOZE_OK;
}

enum { STRIP_COLUMNS = 2048 }; /* taken apart at a time: stays in the first-level cache */

/* One worker's memory: a panel's values as floats, or a strip of it taken apart. */
struct scratch {
    float *values;
    uint8_t codes[CZ_PANEL_ROWS * STRIP_COLUMNS];
    uint16_t scales[CZ_PANEL_ROWS * STRIP_COLUMNS / 16], minima[CZ_PANEL_ROWS * STRIP_COLUMNS / 16];
    int8_t low_scales[CZ_PANEL_ROWS * STRIP_COLUMNS / 16];
    int8_t low_minima[CZ_PANEL_ROWS * STRIP_COLUMNS / 16];
};

/* `columns` columns of some rows, from where `rows` point to. */
static cloze_status pack_strip(const struct cz_packed *shape, enum cz_dtype dtype,
                               const char *const *rows, uint32_t count, size_t columns,
                               struct scratch *into, void *out, struct cloze_error *error)
{
    size_t groups = columns / shape->group;
    size_t halves = shape->scales ? columns / CZ_SPAN_COLUMNS : groups;
    for (uint32_t i = 0; i < count; i++)
        cz_dtype_to_groups(dtype, rows[i], columns,
                           (struct cz_groups){into->codes + i * columns, into->scales + i * halves,
                                              into->minima + i * halves,
                                              into->low_scales + i * groups,
                                              into->low_minima + i * groups});
    struct cz_panel_groups strip = {into->codes, into->scales, into->minima, into->low_scales,
                                    into->low_minima};
    return cz_pack_groups(shape, out, count, (uint32_t)columns, &strip, error);
}

/* Rows as their source stores them. */
static cloze_status pack_source_groups(const struct cz_packed *shape, enum cz_dtype dtype,
                                       const void *const *rows, uint32_t count,
                                       struct scratch *scratch, unsigned char *out,
                                       struct cloze_error *error)
{
    const struct cz_dtype_info *info = cz_dtype_info(dtype);
    cloze_status status = CLOZE_OK;
    for (size_t first = 0; first < shape->columns && !status; first += STRIP_COLUMNS) {
        const char *at[CZ_PANEL_ROWS];
        for (uint32_t i = 0; i < count; i++)
            at[i] = (const char *)rows[i] + first / info->block_elements * info->block_bytes;
        size_t columns = cz_size_min(shape->columns - first, STRIP_COLUMNS);
        size_t position = cz_packed_block_position(shape, (uint32_t)(first / CZ_BLOCK_COLUMNS));
        status = pack_strip(shape, dtype, at, count, columns, scratch, out + position, error);
    }
    return status;
}

static cloze_status convert_panel(const struct cz_packing *making, const struct planned *planned,
                                  uint32_t panel, struct scratch *scratch, void *out,
                                  struct cloze_error *error)
{
    const struct cz_tensor *tensor = planned->tensor;
    const struct cz_dtype_info *info = cz_dtype_info(tensor->dtype);
    struct cz_packed shape = shape_of_entry(&planned->entry);
    size_t columns = shape.columns, row_bytes = columns / info->block_elements * info->block_bytes;
    uint32_t first = panel * CZ_PANEL_ROWS;
    uint32_t rows = (uint32_t)cz_size_min(shape.rows - first, CZ_PANEL_ROWS);
    const void *row[CZ_PANEL_ROWS];
    for (uint32_t i = 0; i < rows; i++)
        row[i] = (const char *)tensor->data + source_row(planned, first + i) * row_bytes;
    cloze_status status;
    float multiplier = 1.0f;
    if (info->bits && !planned->converts) {
        status = pack_source_groups(&shape, tensor->dtype, row, rows, scratch, out, error);
    } else if (tensor->dtype == CZ_BF16 && shape.width == CZ_WIDTH_BF16) {
        status = cz_pack_bfloats(&shape, out, rows, row, error);
    } else {
        for (uint32_t i = 0; i < rows; i++)
            cz_dtype_to_f32(tensor->dtype, row[i], columns, scratch->values + i * columns);
        status = cz_pack_floats(&shape, out, rows, scratch->values, &multiplier, error);
    }
    if (shape.width != CZ_WIDTH_BF16)
        making->multipliers[planned->first_multiplier + panel] = multiplier;
    if (status)
        cz_error_at(error, tensor->name);
    return status;
}

/* ---- The workers ---- */

static void report(struct cz_packing *making, cloze_status status, const struct cloze_error *error)
{
    pthread_mutex_lock(&making->lock);
    if (!making->failed) {
        making->status = status;
        if (making->error)
            *making->error = *error;
        making->failed = true;
    }
    pthread_mutex_unlock(&making->lock);
}

static const struct planned *planned_at(const struct cz_packing *making, uint32_t item)
{
    uint32_t low = 0, high = making->planned;
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        if (making->plan[middle].first_item <= item)
            low = middle;
        else
            high = middle;
    }
    return &making->plan[low];
}

static cloze_status convert_item(struct cz_packing *making, struct scratch *scratch,
                                 uint32_t item, bool follows, struct cz_packed_stream *stream,
                                 struct cloze_error *error)
{
    const struct planned *planned = planned_at(making, item);
    struct cz_packed shape = shape_of_entry(&planned->entry);
    uint32_t panel = item - planned->first_item;
    size_t bytes = cz_packed_panel_bytes(&shape);
    uint64_t position = planned->entry.position + cz_packed_header_bytes(&shape) + panel * bytes;
    unsigned char *out;
    cloze_status status = cz_packed_stream_place(stream, position, follows, &out, error);
    if (!status)
        status = convert_panel(making, planned, panel, scratch, out, error);
    if (!status) {
        making->checksum += cz_packed_piece_checksum(position, out, bytes);
        status = cz_packed_stream_advance(stream, bytes, error);
    }
    return status;
}

static cloze_status convert_items(struct cz_packing *making, struct cz_worker *worker,
                                  struct scratch *scratch, struct cz_packed_stream *stream,
                                  struct cloze_error *error)
{
    enum { GRAIN = 16 };
    cloze_status status = CLOZE_OK;
    uint32_t next = 0; /* behind the last one */
    for (struct cz_range range; cz_worker_take(worker, making->items, GRAIN, &range);) {
        for (uint32_t item = range.first; item < range.end && !status && !making->failed; item++) {
            status = convert_item(making, scratch, item, item == next && item, stream, error);
            next = item + 1;
        }
        making->done += range.end - range.first;
        if (making->progress && worker->index == 0)
            making->progress(making->context, making->done, making->items);
    }
    return status;
}

static void convert_task(void *context, struct cz_worker *worker)
{
    struct cz_packing *making = context;
    struct cz_packed_stream stream = {0};
    struct cloze_error error = {0};
    cloze_status status = CLOZE_OK;
    struct scratch *scratch = malloc(sizeof *scratch);
    float *values = malloc(making->scratch_columns * CZ_PANEL_ROWS * sizeof *values);
    if (!scratch || !values)
        status = cz_fail_memory(&error, "packing");
    if (!status)
        status = cz_packed_stream_open(&stream, making->descriptor, making->temporary.data,
                                       &making->lock, making->largest_panel, &error);
    if (!status) {
        scratch->values = values;
        status = convert_items(making, worker, scratch, &stream, &error);
        cloze_status end = cz_packed_stream_close(&stream, !status && !making->failed,
                                                  status ? NULL : &error);
        status = status ? status : end;
    }
    if (status)
        report(making, status, &error);
    free(values);
    free(scratch);
}

static cloze_status convert_matrices(struct cz_packing *making, struct cloze_error *error)
{
    struct cz_pool *pool = NULL;
    cloze_status status = cz_pool_create(0, &pool, error);
    if (status)
        return status;
    making->error = error;
    pthread_mutex_init(&making->lock, NULL);
    cz_pool_run(pool, convert_task, making);
    pthread_mutex_destroy(&making->lock);
    making->error = NULL;
    cz_pool_free(pool);
    return making->failed ? making->status : CLOZE_OK;
}

/* ---- What lies between the panels ---- */

static cloze_status write_at(const struct cz_packing *making, uint64_t position, const void *data,
                             size_t size, struct cloze_error *error)
{
    return cz_file_write_at(making->descriptor, cz_slice_of(data, size), position,
                            making->temporary.data, error);
}

static cloze_status write_vector(struct cz_packing *making, const struct planned *planned,
                                 struct cloze_error *error)
{
    const struct cz_packed_entry *entry = &planned->entry;
    float *values = malloc(entry->size);
    cloze_status status = values ? convert_vector(making, planned, values, error)
                                 : cz_fail_memory(error, "packing");
    if (!status) {
        making->checksum += cz_packed_piece_checksum(entry->position, values, entry->size);
        status = write_at(making, entry->position, values, entry->size, error);
    }
    free(values);
    return status;
}

static cloze_status write_multipliers(struct cz_packing *making, const struct planned *planned,
                                      struct cloze_error *error)
{
    const struct cz_packed_entry *entry = &planned->entry;
    struct cz_packed shape = shape_of_entry(entry);
    const float *multipliers = making->multipliers + planned->first_multiplier;
    size_t bytes = cz_packed_header_bytes(&shape);
    making->checksum += cz_packed_piece_checksum(entry->position, multipliers, bytes);
    return write_at(making, entry->position, multipliers, bytes, error);
}

static cloze_status write_header(struct cz_packing *making, const char *digest,
                                 struct cloze_error *error)
{
    size_t bytes =
        sizeof(struct cz_packed_header) + making->planned * sizeof(struct cz_packed_entry);
    struct cz_packed_header *header = calloc(1, bytes);
    if (!header)
        return cz_fail_memory(error, "packing");
    memcpy(header->magic, CZ_PACKED_MAGIC, sizeof header->magic);
    memcpy(header->source_digest, digest, sizeof header->source_digest);
    header->layout = cz_packed_layout();
    header->entry_count = making->planned;
    header->file_size = making->size;
    header->data_position = making->data_position;
    header->data_checksum = making->checksum;
    header->hyper = making->hyper;
    struct cz_packed_entry *entries = (void *)(header + 1);
    for (uint32_t i = 0; i < making->planned; i++)
        entries[i] = making->plan[i].entry;
    header->checksum = cz_packed_header_checksum(header);
    cloze_status status = write_at(making, 0, header, bytes, error);
    free(header);
    return status;
}

/* ---- The file ---- */

static cloze_status write_tensors(struct cz_packing *making, struct cloze_error *error)
{
    cloze_status status = CLOZE_OK;
    making->multipliers = calloc(making->multiplier_count + 1, sizeof *making->multipliers);
    if (!making->multipliers)
        return cz_fail_memory(error, "packing");
    /* Reserved: a full disk shows here, and the parts that are written in turn lie side by side. */
    errno = posix_fallocate(making->descriptor, 0, (off_t)making->size);
    if (errno)
        return cz_fail_errno(error, making->temporary.data, "reserve the space of");
    status = convert_matrices(making, error);
    for (uint32_t i = 0; i < making->planned && !status; i++)
        status = making->plan[i].entry.is_matrix
                     ? write_multipliers(making, &making->plan[i], error)
                     : write_vector(making, &making->plan[i], error);
    return status;
}

static cloze_status create_file(struct cz_packing *making, struct cloze_error *error)
{
    struct cz_buffer folder = {0};
    cloze_status status = cz_path_join(&folder, making->cache_folder.data, "packed")
                              ? cz_file_make_folders(folder.data, error)
                              : cz_fail_memory(error, "a path");
    cz_buffer_printf(&making->temporary, "%s/making.XXXXXX", cz_buffer_text(&folder));
    if (!status)
        status = cz_buffer_status(&making->temporary, "a path", error);
    if (!status) {
        making->descriptor = mkostemp(making->temporary.data, O_CLOEXEC);
        if (making->descriptor < 0)
            status = cz_fail_errno(error, folder.data, "create a file in");
        else
            flock(making->descriptor, LOCK_EX | LOCK_NB); /* tells `models gc` that its maker lives */
    }
    cz_buffer_free(&folder);
    return status;
}

static void packing_free(struct cz_packing *making)
{
    if (making->descriptor >= 0) {
        unlink(making->temporary.data); /* gone already where it was published */
        close(making->descriptor);
    }
    cz_buffer_free(&making->temporary);
    cz_buffer_free(&making->cache_folder);
    free(making->plan);
    free(making->frequencies);
    free(making->multipliers);
    cz_model_close(making->model);
    free(making);
}

cloze_status cz_packing_begin(const char *source, const char *cache_folder,
                              enum cz_quantize quantize, cz_packed_progress *progress,
                              void *context, struct cz_packing **out, struct cloze_error *error)
{
    const struct cz_architecture *architecture;
    struct cz_packing *making = calloc(1, sizeof *making);
    *out = NULL;
    if (!making)
        return cz_fail_memory(error, "packing");
    making->descriptor = -1;
    making->quantize = quantize;
    making->progress = progress;
    making->context = context;
    cz_buffer_append_text(&making->cache_folder, cache_folder);
    cloze_status status = cz_buffer_status(&making->cache_folder, "a path", error);
    if (!status)
        status = cz_model_open(source, &making->model, error);
    if (!status)
        status = cz_architecture_of(making->model->hyper.architecture, &architecture, error);
    if (!status)
        status = cz_architecture_check(architecture, making->model, error);
    if (!status)
        status = make_plan(making, error);
    if (!status)
        status = create_file(making, error);
    if (!status)
        status = write_tensors(making, error);
    if (status)
        packing_free(making);
    else
        *out = making;
    return status;
}

static cloze_status publish(struct cz_packing *making, const char *digest,
                            struct cloze_error *error)
{
    struct cz_buffer path = {0}, folder = {0};
    cloze_status status = CLOZE_OK;
    if (!cz_packed_path(&path, making->cache_folder.data, digest) ||
        !cz_path_join(&folder, making->cache_folder.data, "packed"))
        status = cz_fail_memory(error, "a path");
    if (!status)
        status = write_header(making, digest, error);
    if (!status && (fchmod(making->descriptor, 0644) != 0 || fsync(making->descriptor) != 0))
        status = cz_fail_errno(error, making->temporary.data, "sync the file");
    if (!status && rename(making->temporary.data, path.data) != 0)
        status = cz_fail_errno(error, path.data, "publish the file");
    if (!status)
        status = cz_file_fsync_folder(folder.data, error);
    cz_buffer_free(&path);
    cz_buffer_free(&folder);
    return status;
}

/* Whether the cache has a usable packed form with this digest. */
static bool is_made(const struct cz_packing *making, const char *digest)
{
    struct cz_buffer path = {0};
    struct cz_packed_model model = {0};
    bool made = cz_packed_path(&path, making->cache_folder.data, digest) &&
                cz_packed_open(path.data, digest, &model, NULL) == CLOZE_OK;
    if (made)
        cz_packed_close(&model);
    cz_buffer_free(&path);
    return made;
}

cloze_status cz_packing_end(struct cz_packing *making, const char *source_digest,
                            struct cloze_error *error)
{
    char digest[CZ_SHA256_TEXT + 1];
    cloze_status status = CLOZE_OK;
    if (source_digest)
        status = cz_packed_digest(source_digest, making->quantize, digest, error);
    if (!status && source_digest && !is_made(making, digest))
        status = publish(making, digest, error);
    packing_free(making);
    return status;
}

cloze_status cz_packed_make(const char *source, const char *cache_folder, const char *source_digest,
                            enum cz_quantize quantize, cz_packed_progress *progress, void *context,
                            struct cloze_error *error)
{
    struct cz_packing *packing;
    cloze_status status =
        cz_packing_begin(source, cache_folder, quantize, progress, context, &packing, error);
    return status ? status : cz_packing_end(packing, source_digest, error);
}
