/*
 * cpu_step.c - the forward pass over the rows of a step, as one task of all workers.
 *
 * Per layer: norm | q, k, v | RoPE, KV write | attention | its form for o | o + residual | norm |
 * gate, up | activation | down + residual, with a barrier at each bar; then the head for the rows
 * that want logits. Loops are shared out by rows, panels or attention tiles, never along a sum, and
 * every row is computed by the same operations in the same order whatever stands beside it: its
 * result depends on its sequence alone.
 *
 * A single row needs half the barriers (is_single): every worker computes norms and the form for o
 * for itself, a KV head's keys are placed by who attends to them, and who has computed some rows of
 * gate and up activates them.
 */
#include "engine/cpu.h"

#include "base/size.h"

/* What a worker carries through a step. */
struct pass {
    struct cz_cpu_backend *backend;
    const struct cz_step *step;
    struct cz_worker *worker;
    struct cz_cpu_worker_memory *memory;
    uint32_t rows; /* all of the step, then the ones that logits are wanted of */
};

/* Rows of one KV head that one worker places in the KV memory: neighbours share cache lines. */
enum { PLACE_ROWS = 16 };

/* One item after the other, shared with the other workers. */
#define FOR_SHARE(pass, items, index)                                                              \
    for (struct cz_range range_ = {0, 0}; cz_worker_take((pass)->worker, (items), 1, &range_);)    \
        for (uint32_t index = range_.first; index < range_.end; index++)

/* ---- Checks ---- */

static cloze_status check_row(const struct cz_cpu_backend *backend, const struct cz_step *step,
                              uint32_t index, struct cloze_error *error)
{
    const struct cz_step_row *row = &step->rows[index];
    if (row->sequence >= step->sequence_count || row->token >= backend->hyper->vocab)
        return cz_fail(error, CLOZE_INVALID, NULL, "row %u has token %u of %u, sequence %u of %u",
                       index, row->token, backend->hyper->vocab, row->sequence,
                       step->sequence_count);
    if (row->position >= backend->hyper->context)
        return cz_fail(error, CLOZE_LIMIT, NULL, "position %u is past the model's context of %u",
                       row->position, backend->hyper->context);
    const struct cz_step_sequence *sequence = &step->sequences[row->sequence];
    uint32_t block = row->position / CZ_KV_BLOCK;
    if (block >= sequence->block_count)
        return cz_fail(error, CLOZE_INVALID, NULL, "position %u has no KV block", row->position);
    return CLOZE_OK;
}

static cloze_status check_step(const struct cz_cpu_backend *backend, const struct cz_step *step,
                               struct cloze_error *error)
{
    if (step->row_count > backend->options.max_rows ||
        step->logits_count > backend->options.max_logits)
        return cz_fail(error, CLOZE_LIMIT, NULL,
                       "a step of %u rows and %u logits; at most %u and %u", step->row_count,
                       step->logits_count, backend->options.max_rows, backend->options.max_logits);
    cloze_status status = CLOZE_OK;
    for (uint32_t i = 0; i < step->row_count && !status; i++)
        status = check_row(backend, step, i, error);
    for (uint32_t i = 0; i < step->sequence_count && !status; i++)
        for (uint32_t j = 0; j < step->sequences[i].block_count && !status; j++)
            if (step->sequences[i].blocks[j] >= backend->options.kv_blocks)
                status = cz_fail(error, CLOZE_INVALID, NULL, "KV block %u of %u",
                                 step->sequences[i].blocks[j], backend->options.kv_blocks);
    for (uint32_t i = 0; i < step->logits_count && !status; i++)
        if (step->logits[i].row >= step->row_count)
            status = cz_fail(error, CLOZE_INVALID, NULL, "logits wanted of row %u of %u",
                             step->logits[i].row, step->row_count);
    return status;
}

/* ---- Attention tiles ---- */

/* Query heads that one call of attention takes. */
static uint32_t heads_per_call(const struct cz_packed_hyper *hyper)
{
    uint32_t group = hyper->heads / hyper->kv_heads;
    uint32_t calls = (group + CZ_ATTENTION_ROWS - 1) / CZ_ATTENTION_ROWS;
    while (group % calls)
        calls++;
    return group / calls;
}

static bool is_past_switch(const struct cz_packed_hyper *hyper, uint32_t position)
{
    return hyper->rope.switch_at && position >= hyper->rope.switch_at;
}

static void cut_tiles(struct cz_cpu_backend *backend, const struct cz_step *step)
{
    const struct cz_packed_hyper *hyper = backend->hyper;
    uint32_t most = CZ_ATTENTION_ROWS / heads_per_call(hyper);
    backend->tile_count = 0;
    for (uint32_t i = 0; i < step->row_count; i++) {
        const struct cz_step_row *row = &step->rows[i], *before = row - 1;
        struct cz_cpu_tile *tile = backend->tiles + backend->tile_count - 1;
        if (i && tile->count < most && before->sequence == row->sequence &&
            before->position + 1 == row->position &&
            is_past_switch(hyper, before->position) == is_past_switch(hyper, row->position))
            tile->count++;
        else
            backend->tiles[backend->tile_count++] = (struct cz_cpu_tile){i, 1, false};
    }
}

/* Whether workers share attention by chunks of positions, and how many chunks there are at most. */
static void plan_chunks(struct cz_cpu_backend *backend, const struct cz_step *step)
{
    uint32_t calls = backend->hyper->heads / heads_per_call(backend->hyper), farthest = 0;
    uint32_t workers = cz_pool_threads(backend->pool), items = backend->tile_count * calls;
    for (uint32_t i = 0; i < step->row_count; i++)
        if (step->rows[i].position > farthest)
            farthest = step->rows[i].position;
    uint32_t chunks = farthest / CZ_ATTENTION_CHUNK + 1;
    bool shared = workers > 1 && chunks > 1 && items % workers && items < 4 * workers &&
                  items * chunks <= backend->part_count;
    backend->chunk_count = shared ? chunks : 0;
}

/* ---- Products ---- */

/* Whether each worker makes the input of products for itself, in its own memory. Norms behind a part
 * change the residual stream in place, which only one worker may do. */
static bool is_single(const struct pass *pass)
{
    const struct cz_cpu_layer *layer = pass->backend->layers;
    return pass->rows == 1 && !layer->post_attention_norm && !layer->post_ffn_norm;
}

/* Where the input of the next product is made, by enum cz_activation. */
static unsigned char *const *own_records(const struct pass *pass)
{
    return is_single(pass) ? pass->memory->records : pass->backend->records;
}

/* `values` become row `row` of a batch of `rows`, the input of `product` in the forms that its
 * matrices take; the batch begins at slot `first` of the records. */
static void put_input(const struct cz_cpu_backend *backend, const struct cz_cpu_product *product,
                      unsigned char *const *records, const float *values, uint32_t first,
                      uint32_t rows, uint32_t row)
{
    uint32_t columns = product->weights[0].columns;
    for (int kind = 0; kind < CZ_ACTIVATION_KINDS; kind++)
        if (product->needs[kind])
            backend->kernels->quantize(
                (enum cz_activation)kind, values, columns, rows, row,
                records[kind] + first * cz_activation_bytes((enum cz_activation)kind, columns));
}

/* Some columns of the only row of a batch; they begin at a multiple of a block. */
static void put_columns(const struct cz_cpu_backend *backend, const struct cz_cpu_product *product,
                        const float *values, struct cz_range columns)
{
    for (int kind = 0; kind < CZ_ACTIVATION_KINDS; kind++)
        if (product->needs[kind])
            backend->kernels->quantize(
                (enum cz_activation)kind, values + columns.first, columns.end - columns.first, 1, 0,
                backend->records[kind] + cz_activation_offset(backend->kernels,
                                                              (enum cz_activation)kind,
                                                              columns.first));
}

static struct cz_matmul matmul_of(const struct pass *pass, const struct cz_cpu_product *product,
                                  uint32_t index, unsigned char *const *records, float *out)
{
    const struct cz_packed *weights = &product->weights[index];
    return (struct cz_matmul){
        .weights = weights,
        .activations = records[cz_packed_activation(weights)],
        .rows = pass->rows,
        .out = out,
        .out_stride = weights->rows,
        .bias = product->bias[index],
    };
}

static void run_product(const struct pass *pass, const struct cz_cpu_product *product,
                        unsigned char *const *records, float *const outputs[], bool accumulate)
{
    struct cz_matmul list[3];
    for (uint32_t i = 0; i < product->count; i++) {
        list[i] = matmul_of(pass, product, i, records, outputs[i]);
        list[i].accumulate = accumulate;
    }
    cz_matmul_run(pass->backend->kernels, pass->worker, list, product->count);
    cz_worker_barrier(pass->worker);
}

/* ---- A layer's stages, each for one row ---- */

static void embed(const struct pass *pass, uint32_t row)
{
    const struct cz_cpu_backend *backend = pass->backend;
    const struct cz_packed_hyper *hyper = backend->hyper;
    float *x = backend->x + (size_t)row * hyper->hidden;
    cz_packed_row(&backend->embedding, pass->step->rows[row].token, x);
    if (hyper->embedding_scale != 1.0f)
        backend->kernels->scale(x, hyper->embedding_scale, hyper->hidden);
    for (int i = 0; i < 3; i++) {
        const struct cz_rope_table *table =
            i == CZ_CPU_ROPE_LOCAL ? &hyper->local_rope : &hyper->rope;
        size_t at = (size_t)row * (table->dims / 2);
        if (backend->frequencies[i])
            cz_rope_row(table, backend->frequencies[i], pass->step->rows[row].position,
                        backend->cosine[i] + at, backend->sine[i] + at);
    }
}

/* Ends a part (attention or feed-forward) whose output stands in `sum` when it has a norm of its
 * own: x += norm(sum). Without one the last product has added to x itself. */
static void end_part(const struct pass *pass, const float *norm, uint32_t row)
{
    const struct cz_cpu_backend *backend = pass->backend;
    uint32_t hidden = backend->hyper->hidden;
    float *sum = backend->sum + (size_t)row * hidden;
    if (!norm)
        return;
    backend->kernels->rms_norm(sum, norm, hidden, backend->hyper->norm_epsilon, sum);
    backend->kernels->add(backend->x + (size_t)row * hidden, sum, hidden);
}

static void begin_part(const struct pass *pass, const float *norm,
                       const struct cz_cpu_product *product, uint32_t row)
{
    const struct cz_cpu_backend *backend = pass->backend;
    uint32_t hidden = backend->hyper->hidden;
    backend->kernels->rms_norm(backend->x + (size_t)row * hidden, norm, hidden,
                               backend->hyper->norm_epsilon, pass->memory->row);
    put_input(backend, product, own_records(pass), pass->memory->row, 0, pass->rows, row);
}

static void rotate(const struct cz_cpu_backend *backend, enum cz_cpu_rope rope, uint32_t row,
                   float *vector)
{
    uint32_t half =
        (rope == CZ_CPU_ROPE_LOCAL ? backend->hyper->local_rope.dims : backend->hyper->rope.dims) /
        2;
    backend->kernels->rope(vector, half, backend->cosine[rope] + (size_t)row * half,
                           backend->sine[rope] + (size_t)row * half);
}

static unsigned char *kv_head(const struct cz_cpu_backend *backend, uint32_t layer, uint32_t head)
{
    return backend->kv + layer * backend->layer_bytes + head * backend->head_bytes;
}

/* Norm and RoPE of one KV head and its query heads; key and value go to the KV memory. */
static void place_head(const struct pass *pass, uint32_t layer_index, uint32_t row, uint32_t head)
{
    const struct cz_cpu_backend *backend = pass->backend;
    const struct cz_packed_hyper *hyper = backend->hyper;
    const struct cz_cpu_layer *layer = &backend->layers[layer_index];
    const struct cz_step_row *at = &pass->step->rows[row];
    uint32_t dim = hyper->head_dim, group = hyper->heads / hyper->kv_heads;
    float *q = backend->q + ((size_t)row * hyper->heads + (size_t)head * group) * dim;
    float *k = backend->k + ((size_t)row * hyper->kv_heads + head) * dim;
    const float *v = backend->v + ((size_t)row * hyper->kv_heads + head) * dim;
    enum cz_cpu_rope rope = layer->is_local && hyper->has_local_rope ? CZ_CPU_ROPE_LOCAL
                            : is_past_switch(hyper, at->position)    ? CZ_CPU_ROPE_LONG
                                                                     : CZ_CPU_ROPE;
    for (uint32_t i = 0; i < group; i++) {
        if (layer->q_norm)
            backend->kernels->rms_norm(q + i * dim, layer->q_norm, dim, hyper->norm_epsilon,
                                       q + i * dim);
        if (layer->has_rope)
            rotate(backend, rope, row, q + i * dim);
    }
    if (layer->k_norm)
        backend->kernels->rms_norm(k, layer->k_norm, dim, hyper->norm_epsilon, k);
    const struct cz_step_sequence *sequence = &pass->step->sequences[at->sequence];
    unsigned char *tile = kv_head(backend, layer_index, head) +
                          sequence->blocks[at->position / CZ_KV_BLOCK] * backend->block_bytes;
    uint32_t slot = at->position % CZ_KV_BLOCK;
    if (hyper->rope.switch_at && layer->has_rope) { /* two copies of the key, see cpu.h */
        float *longer = pass->memory->row;
        memcpy(longer, k, dim * sizeof *k);
        rotate(backend, CZ_CPU_ROPE_LONG, row, longer);
        backend->kernels->kv_write(cz_cpu_kv_form(backend), dim, tile + backend->tile_bytes, slot, longer,
                                   v);
        rope = CZ_CPU_ROPE;
    }
    if (layer->has_rope)
        rotate(backend, rope, row, k);
    backend->kernels->kv_write(cz_cpu_kv_form(backend), dim, tile, slot, k, v);
}

static void place_rows(const struct pass *pass, uint32_t layer, uint32_t item)
{
    uint32_t heads = pass->backend->hyper->kv_heads, first = item / heads * PLACE_ROWS;
    for (uint32_t row = first; row < first + PLACE_ROWS && row < pass->rows; row++)
        place_head(pass, layer, row, item % heads);
}

/* What attention computes for one tile of rows and the query heads of one call. */
static struct cz_attention attention_of(const struct pass *pass, uint32_t layer_index,
                                        uint32_t item)
{
    const struct cz_cpu_backend *backend = pass->backend;
    const struct cz_packed_hyper *hyper = backend->hyper;
    const struct cz_cpu_layer *layer = &backend->layers[layer_index];
    uint32_t heads = heads_per_call(hyper), calls = hyper->heads / heads;
    const struct cz_cpu_tile *tile = &backend->tiles[item / calls];
    uint32_t head = item % calls * heads; /* the first query head */
    const struct cz_step_row *row = &pass->step->rows[tile->row];
    const unsigned char *tiles =
        kv_head(backend, layer_index, head / (hyper->heads / hyper->kv_heads));
    if (layer->has_rope && is_past_switch(hyper, row->position))
        tiles += backend->tile_bytes;
    size_t stride = (size_t)hyper->heads * hyper->head_dim;
    return (struct cz_attention){
        .form = cz_cpu_kv_form(backend),
        .head_dim = hyper->head_dim,
        .heads = heads,
        .rows = tile->count,
        .first_position = row->position,
        .window = layer->is_local ? hyper->sliding_window : 0,
        .scale = hyper->attention_scale,
        .cap = hyper->attention_softcap,
        .queries = backend->q + tile->row * stride + (size_t)head * hyper->head_dim,
        .query_stride = stride,
        .tiles = tiles,
        .block_stride = backend->block_bytes,
        .blocks = pass->step->sequences[row->sequence].blocks,
    };
}

static float *attended_at(const struct cz_cpu_backend *backend,
                          const struct cz_attention *attention)
{
    return backend->attended + (attention->queries - backend->q);
}

/* Few rows, far into their sequences: workers share the chunks of positions too. The parts are then
 * merged in the order in which one worker would have computed them. */
static void attend_by_chunks(const struct pass *pass, uint32_t layer, uint32_t items)
{
    const struct cz_cpu_backend *backend = pass->backend;
    uint32_t chunks = backend->chunk_count;
    FOR_SHARE (pass, items * chunks, piece) {
        struct cz_attention attention = attention_of(pass, layer, piece / chunks);
        struct cz_range range = cz_attention_chunks(&attention);
        uint32_t chunk = piece % chunks;
        if (chunk >= range.first && chunk < range.end)
            backend->kernels->attend_chunk(&attention, chunk, &backend->parts[piece]);
    }
    cz_worker_barrier(pass->worker);
    FOR_SHARE (pass, items, item) {
        struct cz_attention attention = attention_of(pass, layer, item);
        struct cz_range range = cz_attention_chunks(&attention);
        cz_attend_parts(
            backend->kernels, &attention, backend->parts + (size_t)item * chunks + range.first,
            range.end - range.first, attended_at(backend, &attention), attention.query_stride);
    }
}

static void attend_item(const struct pass *pass, uint32_t layer, uint32_t item)
{
    struct cz_attention attention = attention_of(pass, layer, item);
    cz_attend(pass->backend->kernels, &attention, pass->memory->attention,
              attended_at(pass->backend, &attention), attention.query_stride);
}

/* The only row: who places a KV head's key and value attends to them. */
static void attend_single(const struct pass *pass, uint32_t layer)
{
    const struct cz_packed_hyper *hyper = pass->backend->hyper;
    uint32_t calls = hyper->heads / hyper->kv_heads / heads_per_call(hyper);
    FOR_SHARE (pass, hyper->kv_heads, head) {
        place_head(pass, layer, 0, head);
        for (uint32_t call = 0; call < calls; call++)
            attend_item(pass, layer, head * calls + call);
    }
}

static void attend_all(const struct pass *pass, uint32_t layer, bool last)
{
    const struct cz_cpu_backend *backend = pass->backend;
    uint32_t calls = backend->hyper->heads / heads_per_call(backend->hyper);
    if (backend->chunk_count) {
        attend_by_chunks(pass, layer, backend->tile_count * calls);
        return;
    }
    FOR_SHARE (pass, backend->tile_count * calls, item) {
        if (!last || backend->tiles[item / calls].is_wanted)
            attend_item(pass, layer, item);
    }
}

/* gate = activation(gate) * up, from element `first` on. */
static void activate(const struct cz_cpu_backend *backend, size_t first, uint32_t count)
{
    float *gate = backend->gate + first;
    if (backend->hyper->activation == CZ_ACTIVATION_SILU)
        backend->kernels->silu_mul(gate, backend->up + first, count, gate);
    else
        backend->kernels->gelu_mul(gate, backend->up + first, count, gate);
}

/* ---- A layer ---- */

/* After the last layer's attention only the rows that logits are wanted of go on: they move
 * together, and pass->rows becomes their number. */
static void keep_wanted_rows(struct pass *pass)
{
    const struct cz_cpu_backend *backend = pass->backend;
    size_t hidden = backend->hyper->hidden;
    pass->rows = backend->wanted_count;
    if (pass->worker->index == 0)
        for (uint32_t i = 0; i < pass->rows; i++)
            memmove(backend->x + i * hidden, backend->x + backend->wanted[i] * hidden,
                    hidden * sizeof *backend->x);
}

static void put_attended(const struct pass *pass, const struct cz_cpu_product *product, bool last)
{
    const struct cz_cpu_backend *backend = pass->backend;
    size_t stride = product->weights[0].columns;
    if (is_single(pass)) {
        const float *values = backend->attended + (last ? backend->wanted[0] : 0) * stride;
        put_input(backend, product, pass->memory->records, values, 0, 1, 0);
        return;
    }
    FOR_SHARE (pass, pass->rows, row) {
        size_t at = last ? backend->wanted[row] : row;
        put_input(backend, product, backend->records, backend->attended + at * stride, 0,
                  pass->rows, row);
    }
    cz_worker_barrier(pass->worker);
}

static void run_attention(struct pass *pass, uint32_t index, bool last)
{
    const struct cz_cpu_backend *backend = pass->backend;
    const struct cz_cpu_layer *layer = &backend->layers[index];
    run_product(pass, &layer->qkv, own_records(pass),
                (float *[]){backend->q, backend->k, backend->v}, false);
    if (is_single(pass) && !backend->chunk_count) {
        attend_single(pass, index);
    } else {
        uint32_t pieces = (pass->rows + PLACE_ROWS - 1) / PLACE_ROWS;
        FOR_SHARE (pass, pieces * backend->hyper->kv_heads, item) {
            place_rows(pass, index, item);
        }
        cz_worker_barrier(pass->worker);
        attend_all(pass, index, last);
    }
    if (last)
        keep_wanted_rows(pass);
    cz_worker_barrier(pass->worker);
    put_attended(pass, &layer->o, last);
    bool normed = layer->post_attention_norm;
    run_product(pass, &layer->o, own_records(pass),
                (float *[]){normed ? backend->sum : backend->x}, !normed);
}

/* What activate_rows is called with. */
struct activation {
    const struct cz_cpu_backend *backend;
    const struct cz_cpu_product *product;
};

static void activate_rows(void *context, struct cz_range rows)
{
    const struct activation *activation = context;
    activate(activation->backend, rows.first, rows.end - rows.first);
    put_columns(activation->backend, activation->product, activation->backend->gate, rows);
}

static void run_gate_up(const struct pass *pass, const struct cz_cpu_layer *layer)
{
    const struct cz_cpu_backend *backend = pass->backend;
    uint32_t count = backend->hyper->intermediate;
    if (is_single(pass)) {
        struct activation activation = {backend, &layer->down};
        struct cz_matmul pair[2] = {
            matmul_of(pass, &layer->gate_up, 0, pass->memory->records, backend->gate),
            matmul_of(pass, &layer->gate_up, 1, pass->memory->records, backend->up)};
        cz_matmul_run_pair(backend->kernels, pass->worker, pair, activate_rows, &activation);
    } else {
        run_product(pass, &layer->gate_up, backend->records,
                    (float *[]){backend->gate, backend->up}, false);
        FOR_SHARE (pass, pass->rows, row) {
            activate(backend, (size_t)row * count, count);
            put_input(backend, &layer->down, backend->records,
                      backend->gate + (size_t)row * count, 0, pass->rows, row);
        }
    }
    cz_worker_barrier(pass->worker);
}

static void run_feed_forward(const struct pass *pass, const struct cz_cpu_layer *layer)
{
    const struct cz_cpu_backend *backend = pass->backend;
    run_gate_up(pass, layer);
    bool normed = layer->post_ffn_norm;
    run_product(pass, &layer->down, backend->records,
                (float *[]){normed ? backend->sum : backend->x}, !normed);
}

/* Ends the part before, whose norm is `before` or NULL, and makes the input of the next one. */
static void begin_rows(const struct pass *pass, const float *before, const float *norm,
                       const struct cz_cpu_product *product)
{
    if (is_single(pass)) {
        begin_part(pass, norm, product, 0);
        return;
    }
    FOR_SHARE (pass, pass->rows, row) {
        end_part(pass, before, row);
        begin_part(pass, norm, product, row);
    }
    cz_worker_barrier(pass->worker);
}

static void run_layers(struct pass *pass)
{
    const struct cz_cpu_backend *backend = pass->backend;
    uint32_t layers = backend->hyper->layers;
    FOR_SHARE (pass, pass->rows, row) {
        embed(pass, row);
    }
    cz_worker_barrier(pass->worker);
    for (uint32_t i = 0; i < layers; i++) {
        const struct cz_cpu_layer *layer = &backend->layers[i];
        begin_rows(pass, i ? backend->layers[i - 1].post_ffn_norm : NULL, layer->attention_norm,
                   &layer->qkv);
        run_attention(pass, i, i + 1 == layers);
        if (!pass->rows)
            return;
        begin_rows(pass, layer->post_attention_norm, layer->ffn_norm, &layer->gate_up);
        run_feed_forward(pass, layer);
    }
}

/* ---- The head ---- */

static uint32_t panel_bits(const struct cz_step_logits *logits, uint32_t panel)
{
    return logits->words[panel / 2] >> panel % 2 * CZ_PANEL_ROWS & 0xffff;
}

/* The panels that a mask touches, ascending, in `list` (or only their number, when list is NULL).
 */
static uint32_t list_panels(const struct cz_step_logits *logits, uint32_t panels, uint32_t *list)
{
    uint32_t count = 0, last = UINT32_MAX;
    if (logits->ids) {
        for (uint32_t i = 0; i < logits->count; i++) {
            uint32_t panel = logits->ids[i] / CZ_PANEL_ROWS;
            if (panel != last && list)
                list[count] = panel;
            count += panel != last;
            last = panel;
        }
        return count;
    }
    for (uint32_t panel = 0; panel < panels; panel++) {
        if (!logits->words || panel_bits(logits, panel)) {
            if (list)
                list[count] = panel;
            count++;
        }
    }
    return count;
}

/* Whether a request gathers panels or runs the whole head depends on its mask alone. */
static bool is_sparse(const struct cz_cpu_backend *backend, const struct cz_step_logits *logits)
{
    uint32_t panels = cz_packed_panels(&backend->head.weights[0]);
    return (logits->ids || logits->words) && list_panels(logits, panels, NULL) <= panels / 2;
}

/* Requests that need the whole head first. */
static void order_logits(struct cz_cpu_backend *backend, const struct cz_step *step)
{
    uint32_t first = 0, last = step->logits_count;
    for (uint32_t i = 0; i < step->logits_count; i++)
        backend->logits_order[is_sparse(backend, &step->logits[i]) ? --last : first++] = i;
}

/* Which rows go through the last layer to its end, and where they stand then. */
static void list_wanted(struct cz_cpu_backend *backend, const struct cz_step *step)
{
    enum { UNWANTED, WANTED };
    memset(backend->place, UNWANTED, step->row_count * sizeof *backend->place);
    for (uint32_t i = 0; i < step->logits_count; i++)
        backend->place[step->logits[i].row] = WANTED;
    for (uint32_t i = 0; i < backend->tile_count; i++) {
        struct cz_cpu_tile *tile = &backend->tiles[i];
        tile->is_wanted = false;
        for (uint32_t row = tile->row; row < tile->row + tile->count; row++)
            tile->is_wanted |= backend->place[row] == WANTED;
    }
    backend->wanted_count = 0;
    for (uint32_t row = 0; row < step->row_count; row++) {
        if (backend->place[row] == UNWANTED)
            continue;
        backend->place[row] = backend->wanted_count;
        backend->wanted[backend->wanted_count++] = row;
    }
}

/* Slots 0..dense-1 are one batch, every other slot is a batch of its own. */
static void begin_head(const struct pass *pass, uint32_t slot, uint32_t dense,
                       const struct cz_step_logits *logits)
{
    const struct cz_cpu_backend *backend = pass->backend;
    uint32_t hidden = backend->hyper->hidden, last = backend->hyper->layers - 1;
    const float *norm = backend->layers[last].post_ffn_norm;
    float *row = pass->memory->row;
    size_t at = (size_t)backend->place[logits->row] * hidden;
    const float *x = backend->x + at;
    if (norm) { /* as end_part, but rows may be asked for twice */
        backend->kernels->rms_norm(backend->sum + at, norm, hidden, backend->hyper->norm_epsilon,
                                   row);
        backend->kernels->add(row, x, hidden);
        x = row;
    }
    backend->kernels->rms_norm(x, backend->output_norm, hidden, backend->hyper->norm_epsilon, row);
    if (slot < dense)
        put_input(backend, &backend->head, backend->records, row, 0, dense, slot);
    else
        put_input(backend, &backend->head, backend->records, row, slot, 1, 0);
}

static uint32_t plan_head(const struct pass *pass, const uint32_t *order, uint32_t count,
                          struct cz_matmul list[CZ_HEAD_GROUP], bool sparse[CZ_HEAD_GROUP])
{
    const struct cz_cpu_backend *backend = pass->backend;
    const struct cz_packed *weights = &backend->head.weights[0];
    enum cz_activation kind = cz_packed_activation(weights);
    uint32_t panels = cz_packed_panels(weights), products = 0;
    size_t stride = (size_t)panels * CZ_PANEL_ROWS;
    for (uint32_t slot = 0; slot < count; slot++) {
        const struct cz_step_logits *logits = &pass->step->logits[order[slot]];
        sparse[slot] = is_sparse(backend, logits);
        if (slot && !sparse[slot]) { /* joins the first one */
            list[0].rows++;
            continue;
        }
        list[products++] = (struct cz_matmul){
            .weights = weights,
            .activations =
                backend->records[kind] + slot * cz_activation_bytes(kind, weights->columns),
            .rows = 1,
            .out = backend->logits + slot * stride,
            .out_stride = stride,
            .panels = sparse[slot] ? backend->panels + (size_t)slot * panels : NULL,
        };
    }
    return products;
}

/* Copies the allowed logits from computed panels, whose ids ascend, to the request's memory. */
static void end_sparse(const struct cz_step_logits *logits, const uint32_t *panels, uint32_t count,
                       const float *computed)
{
    float *out = logits->out;
    if (logits->ids) {
        for (uint32_t i = 0, j = 0; i < logits->count; i++) {
            j += i && logits->ids[i] / CZ_PANEL_ROWS != logits->ids[i - 1] / CZ_PANEL_ROWS;
            *out++ = computed[j * CZ_PANEL_ROWS + logits->ids[i] % CZ_PANEL_ROWS];
        }
        return;
    }
    for (uint32_t j = 0; j < count; j++)
        for (uint32_t bits = panel_bits(logits, panels[j]); bits; bits &= bits - 1)
            *out++ = computed[j * CZ_PANEL_ROWS + (uint32_t)__builtin_ctz(bits)];
}

/* Copies x[i] of the bits i that are set; returns the place behind them. Most words of a dense mask
 * have most bits set, here and there: without branches that is three times as fast. */
static float *copy_allowed(const float *x, uint32_t bits, float *out)
{
    if (!bits)
        return out;
    uint32_t last = 31 - (uint32_t)__builtin_clz(bits);
    for (uint32_t i = 0; i < last; i++) {
        *out = x[i];
        out += bits >> i & 1;
    }
    *out = x[last];
    return out + 1;
}

static void end_dense(const struct cz_step_logits *logits, uint32_t vocab, const float *computed)
{
    float *out = logits->out;
    if (!logits->ids && !logits->words) {
        memcpy(out, computed, vocab * sizeof *out);
        return;
    }
    for (uint32_t i = 0; logits->ids && i < logits->count; i++)
        *out++ = computed[logits->ids[i]];
    for (uint32_t base = 0; logits->words && base < vocab; base += 32)
        out = copy_allowed(computed + base, logits->words[base / 32], out);
}

static void run_head_group(const struct pass *pass, const uint32_t *order, uint32_t count)
{
    const struct cz_cpu_backend *backend = pass->backend;
    struct cz_matmul list[CZ_HEAD_GROUP];
    bool sparse[CZ_HEAD_GROUP];
    uint32_t panels = cz_packed_panels(&backend->head.weights[0]), panel_counts[CZ_HEAD_GROUP];
    uint32_t products = plan_head(pass, order, count, list, sparse);
    FOR_SHARE (pass, count, slot) {
        const struct cz_step_logits *logits = &pass->step->logits[order[slot]];
        begin_head(pass, slot, sparse[0] ? 0 : list[0].rows, logits);
        if (sparse[slot])
            list_panels(logits, panels, backend->panels + (size_t)slot * panels);
    }
    for (uint32_t slot = 0; slot < count; slot++)
        panel_counts[slot] =
            sparse[slot] ? list_panels(&pass->step->logits[order[slot]], panels, NULL) : panels;
    for (uint32_t i = 0; i < products; i++)
        if (list[i].panels)
            list[i].panel_count = panel_counts[(size_t)(list[i].panels - backend->panels) / panels];
    cz_worker_barrier(pass->worker);
    cz_matmul_run(backend->kernels, pass->worker, list, products);
    cz_worker_barrier(pass->worker);
    size_t stride = (size_t)panels * CZ_PANEL_ROWS;
    FOR_SHARE (pass, count, slot) {
        const struct cz_step_logits *logits = &pass->step->logits[order[slot]];
        float *computed = backend->logits + slot * stride;
        if (backend->hyper->final_softcap != 0)
            backend->kernels->softcap(computed, backend->hyper->final_softcap,
                                      panel_counts[slot] * CZ_PANEL_ROWS);
        if (sparse[slot])
            end_sparse(logits, backend->panels + (size_t)slot * panels, panel_counts[slot],
                       computed);
        else
            end_dense(logits, backend->hyper->vocab, computed);
    }
    cz_worker_barrier(pass->worker);
}

/* ---- The step ---- */

struct task {
    struct cz_cpu_backend *backend;
    const struct cz_step *step;
};

static void step_task(void *context, struct cz_worker *worker)
{
    const struct task *task = context;
    struct pass pass = {task->backend, task->step, worker, &task->backend->workers[worker->index],
                        task->step->row_count};
    if (pass.rows)
        run_layers(&pass);
    for (uint32_t first = 0; first < task->step->logits_count; first += CZ_HEAD_GROUP)
        run_head_group(&pass, task->backend->logits_order + first,
                       (uint32_t)cz_size_min(CZ_HEAD_GROUP, task->step->logits_count - first));
}

cloze_status cz_cpu_step(struct cz_backend *base, const struct cz_step *step,
                         struct cloze_error *error)
{
    struct cz_cpu_backend *backend = (struct cz_cpu_backend *)(void *)base;
    cloze_status status = check_step(backend, step, error);
    if (status)
        return status;
    cut_tiles(backend, step);
    plan_chunks(backend, step);
    order_logits(backend, step);
    list_wanted(backend, step);
    struct task task = {backend, step};
    cz_pool_run(backend->pool, step_task, &task);
    return CLOZE_OK;
}
