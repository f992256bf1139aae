/*
 * packed_make.c - makes packed files: plan the layout, convert panel by panel on all cores,
 * checksum, sync, rename.
 *
 * Work is cut into panels of 16 rows of a matrix. Each worker holds scratch memory for the codes,
 * scales and minima (or floats) of one panel. The first error stops all.
 */
#include "engine/architecture.h"
#include "engine/packed_file.h"

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
#include <sys/mman.h>
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
};

struct making {
    const struct cz_model *model;
    enum cz_quantize quantize;
    struct cz_packed_hyper hyper;
    struct planned *plan;
    uint32_t planned;
    uint32_t items;      /* panels of all matrices */
    float *frequencies;  /* of all RoPE tables, and the layer flags: owned */
    unsigned char *data; /* the file, mapped for writing */
    size_t data_position, size;
    uint64_t *piece_sums; /* one per worker */
    size_t scratch_columns;
    _Atomic bool failed;
    pthread_mutex_t lock; /* guards error */
    struct cloze_error *error;
    cloze_status status;
    cz_packed_progress *progress;
    void *context;
    _Atomic uint64_t done; /* bytes of the packed file */
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

static cloze_status shape_of(const struct making *making, struct planned *planned,
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

static struct planned *add_entry(struct making *making, uint32_t role, uint32_t layer)
{
    struct planned *planned = &making->plan[making->planned++];
    planned->entry.role = role;
    planned->entry.layer = layer;
    planned->first_item = making->items;
    return planned;
}

static void add_vector(struct making *making, uint32_t role, const float *values, uint32_t count)
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

static cloze_status add_tensor(struct making *making, uint32_t role, uint32_t layer,
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
    making->items += (planned->entry.rows + CZ_PANEL_ROWS - 1) / CZ_PANEL_ROWS;
    making->scratch_columns = cz_size_max(making->scratch_columns, planned->entry.columns);
    bool lookup =
        role == CZ_ROLE_EMBEDDING && cz_model_tensor(making->model, CZ_ROLE_HEAD, 0)->data;
    if (!lookup)
        making->hyper.source_bytes_per_token += tensor->size;
    return CLOZE_OK;
}

/* Frequencies of all RoPE tables and the layers' flags, in one array. */
static cloze_status plan_vectors(struct making *making, struct cloze_error *error)
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

static cloze_status make_plan(struct making *making, struct cloze_error *error)
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

static cloze_status convert_vector(const struct making *making, const struct planned *planned,
                                   struct cloze_error *error)
{
    float *out = (float *)(void *)(making->data + planned->entry.position);
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

/* One worker's memory for a panel: its values as floats, or taken apart. */
struct scratch {
    void *memory;
    float *values;
    struct cz_groups groups;
};

static bool scratch_alloc(struct scratch *scratch, size_t columns)
{
    size_t values = (size_t)CZ_PANEL_ROWS * columns, groups = values / 16 + 1;
    scratch->memory = malloc(values * sizeof(float) + groups * 6 + values);
    if (!scratch->memory)
        return false;
    scratch->values = scratch->memory;
    scratch->groups.scales = (uint16_t *)(scratch->values + values);
    scratch->groups.minima = scratch->groups.scales + groups;
    scratch->groups.low_scales = (int8_t *)(scratch->groups.minima + groups);
    scratch->groups.low_minima = scratch->groups.low_scales + groups;
    scratch->groups.codes = (uint8_t *)(scratch->groups.low_minima + groups);
    return true;
}

static struct cz_packed shape_of_entry(const struct cz_packed_entry *entry)
{
    return (struct cz_packed){NULL,         entry->rows,  entry->columns,
                              entry->width, entry->group, entry->has_minimum != 0,
                              entry->offset, entry->scales};
}

/* Rows as their source stores them: as many as `rows` lists, one after the other. */
static cloze_status pack_source_groups(const struct cz_packed *shape, enum cz_dtype dtype,
                                       const void *const *rows, uint32_t count,
                                       const struct scratch *scratch, void *out,
                                       struct cloze_error *error)
{
    const struct cz_groups *into = &scratch->groups;
    size_t columns = shape->columns, groups = columns / shape->group;
    size_t halves = shape->scales ? columns / CZ_SPAN_COLUMNS : groups;
    for (uint32_t i = 0; i < count; i++)
        cz_dtype_to_groups(dtype, rows[i], columns,
                           (struct cz_groups){into->codes + i * columns, into->scales + i * halves,
                                              into->minima + i * halves,
                                              into->low_scales + i * groups,
                                              into->low_minima + i * groups});
    struct cz_panel_groups panel = {into->codes, into->scales, into->minima, into->low_scales,
                                    into->low_minima};
    return cz_pack_groups(shape, out, count, &panel, error);
}

static cloze_status convert_panel(const struct making *making, const struct planned *planned,
                                  uint32_t panel, const struct scratch *scratch,
                                  struct cloze_error *error)
{
    const struct cz_tensor *tensor = planned->tensor;
    const struct cz_packed_entry *entry = &planned->entry;
    const struct cz_dtype_info *info = cz_dtype_info(tensor->dtype);
    struct cz_packed shape = shape_of_entry(entry);
    unsigned char *matrix = making->data + entry->position;
    unsigned char *out =
        matrix + cz_packed_header_bytes(&shape) + panel * cz_packed_panel_bytes(&shape);
    size_t columns = entry->columns, row_bytes = columns / info->block_elements * info->block_bytes;
    uint32_t first = panel * CZ_PANEL_ROWS;
    uint32_t rows = (uint32_t)cz_size_min(entry->rows - first, CZ_PANEL_ROWS);
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
        memcpy(matrix + panel * sizeof multiplier, &multiplier, sizeof multiplier);
    if (status)
        cz_error_at(error, tensor->name);
    return status;
}

/* ---- The workers ---- */

static void report(struct making *making, cloze_status status, const struct cloze_error *error)
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

static const struct planned *planned_at(const struct making *making, uint32_t item)
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

static void convert_range(struct making *making, const struct scratch *scratch,
                          struct cz_range range)
{
    for (uint32_t item = range.first; item < range.end && !making->failed; item++) {
        struct cloze_error error = {0};
        const struct planned *planned = planned_at(making, item);
        cloze_status status =
            convert_panel(making, planned, item - planned->first_item, scratch, &error);
        if (status)
            report(making, status, &error);
    }
}

static void convert_task(void *context, struct cz_worker *worker)
{
    enum { GRAIN = 16 };
    struct making *making = context;
    struct scratch scratch = {0};
    struct cloze_error error = {0};
    if (!scratch_alloc(&scratch, making->scratch_columns)) {
        cloze_status status = cz_fail_memory(&error, "packing");
        report(making, status, &error);
    }
    for (struct cz_range range; cz_worker_take(worker, making->items, GRAIN, &range);) {
        convert_range(making, &scratch, range);
        making->done += range.end - range.first;
        if (making->progress && worker->index == 0)
            making->progress(making->context, making->done, making->items);
    }
    free(scratch.memory);
    cz_worker_barrier(worker);
    if (making->progress && worker->index == 0)
        making->progress(making->context, making->done, making->items);
    size_t bytes = making->size - making->data_position;
    uint32_t pieces = (uint32_t)((bytes + CZ_PACKED_PIECE - 1) / CZ_PACKED_PIECE);
    for (struct cz_range range; cz_worker_take(worker, pieces, GRAIN, &range);)
        for (uint64_t i = range.first; i < range.end; i++)
            making->piece_sums[worker->index] += cz_packed_piece_checksum(
                i, making->data + making->data_position + i * CZ_PACKED_PIECE,
                cz_size_min(CZ_PACKED_PIECE, bytes - i * CZ_PACKED_PIECE));
}

static cloze_status convert(struct making *making, struct cloze_error *error)
{
    struct cz_pool *pool = NULL;
    cloze_status status = cz_pool_create(0, &pool, error);
    if (status)
        return status;
    for (uint32_t i = 0; i < making->planned && !status; i++) {
        if (!making->plan[i].entry.is_matrix)
            status = convert_vector(making, &making->plan[i], error);
    }
    making->piece_sums = calloc(cz_pool_threads(pool), sizeof *making->piece_sums);
    if (!status && !making->piece_sums)
        status = cz_fail_memory(error, "packing");
    if (!status) {
        making->error = error;
        pthread_mutex_init(&making->lock, NULL);
        cz_pool_run(pool, convert_task, making);
        pthread_mutex_destroy(&making->lock);
        status = making->failed ? making->status : CLOZE_OK;
    }
    uint64_t sum = 0;
    for (uint32_t i = 0; !status && i < cz_pool_threads(pool); i++)
        sum += making->piece_sums[i];
    ((struct cz_packed_header *)(void *)making->data)->data_checksum = sum;
    cz_pool_free(pool);
    return status;
}

/* ---- The file ---- */

static void write_header(struct making *making, const char *digest)
{
    struct cz_packed_header *header = (void *)making->data;
    memcpy(header->magic, CZ_PACKED_MAGIC, sizeof header->magic);
    memcpy(header->source_digest, digest, sizeof header->source_digest);
    header->layout = cz_packed_layout();
    header->entry_count = making->planned;
    header->file_size = making->size;
    header->data_position = making->data_position;
    header->hyper = making->hyper;
    struct cz_packed_entry *entries = (void *)(header + 1);
    for (uint32_t i = 0; i < making->planned; i++)
        entries[i] = making->plan[i].entry;
    header->checksum = cz_packed_header_checksum(header);
}

static cloze_status write_file(struct making *making, int descriptor, const char *path,
                               const char *digest, struct cloze_error *error)
{
    /* Reserved and not only sized: a full disk is an error here, not a SIGBUS in the mapping. */
    errno = posix_fallocate(descriptor, 0, (off_t)making->size);
    if (errno)
        return cz_fail_errno(error, path, "reserve the space of");
    void *data = cz_file_map_open(descriptor, making->size, PROT_READ | PROT_WRITE, MAP_SHARED);
    if (data == MAP_FAILED)
        return cz_fail_errno(error, path, "map the file");
    making->data = data;
    cloze_status status = convert(making, error);
    if (!status)
        write_header(making, digest);
    munmap(data, making->size);
    if (!status && (fchmod(descriptor, 0644) != 0 || fsync(descriptor) != 0))
        status = cz_fail_errno(error, path, "sync the file");
    return status;
}

static cloze_status publish(struct making *making, const char *path, const char *digest,
                            struct cloze_error *error)
{
    struct cz_buffer folder = {0}, temporary = {0};
    cz_buffer_append(&folder, path, (size_t)(cz_path_name(path) - path));
    cz_buffer_printf(&temporary, "%s.XXXXXX", path);
    cloze_status status = cz_buffer_status(&temporary, path, error);
    if (!status)
        status = cz_buffer_status(&folder, path, error);
    if (!status)
        status = cz_file_make_folders(folder.data, error);
    int descriptor = status ? -1 : mkostemp(temporary.data, O_CLOEXEC);
    if (!status && descriptor < 0)
        status = cz_fail_errno(error, path, "create a temporary file beside");
    if (!status) {
        flock(descriptor, LOCK_EX | LOCK_NB); /* says to `models gc` that its maker lives */
        status = write_file(making, descriptor, path, digest, error);
        if (!status && rename(temporary.data, path) != 0)
            status = cz_fail_errno(error, path, "publish the file");
        if (status)
            unlink(temporary.data);
        else
            status = cz_file_fsync_folder(folder.data, error);
        close(descriptor);
    }
    cz_buffer_free(&folder);
    cz_buffer_free(&temporary);
    return status;
}

cloze_status cz_packed_make(const char *source, const char *path, const char *digest,
                            enum cz_quantize quantize, cz_packed_progress *progress, void *context,
                            struct cloze_error *error)
{
    struct making making = {.quantize = quantize, .progress = progress, .context = context};
    struct cz_model *model = NULL;
    const struct cz_architecture *architecture;
    cloze_status status = cz_model_open(source, &model, error);
    if (status)
        return status;
    making.model = model;
    status = cz_architecture_of(model->hyper.architecture, &architecture, error);
    if (!status)
        status = cz_architecture_check(architecture, model, error);
    if (!status)
        status = make_plan(&making, error);
    if (!status)
        status = publish(&making, path, digest, error);
    free(making.plan);
    free(making.frequencies);
    free(making.piece_sums);
    cz_model_close(model);
    return status;
}
