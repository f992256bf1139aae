/* packed_file.c - opens and checks packed files. Nothing of a file is used before it was checked.
 */
#include "engine/packed_file.h"

#include "base/size.h"

#include <stdlib.h>

uint32_t cz_packed_layout(void)
{
    return CZ_PACKED_FILE_VERSION << 16 | CZ_PACKED_VERSION;
}

static const char *const quantize_names[] = {"keep", "q8", "q4", "bf16"};

const char *cz_quantize_name(enum cz_quantize quantize)
{
    return quantize_names[quantize];
}

bool cz_quantize_of(const char *name, enum cz_quantize *out)
{
    for (unsigned i = 0; i < sizeof quantize_names / sizeof *quantize_names; i++) {
        if (strcmp(name, quantize_names[i]) == 0) {
            *out = (enum cz_quantize)i;
            return true;
        }
    }
    return false;
}

cloze_status cz_packed_digest(const char *source_digest, enum cz_quantize quantize,
                              char digest[CZ_SHA256_TEXT + 1], struct cloze_error *error)
{
    struct cz_sha256 hash;
    if (quantize == CZ_QUANTIZE_KEEP) {
        memmove(digest, source_digest, CZ_SHA256_TEXT + 1);
        return CLOZE_OK;
    }
    cloze_status status = cz_sha256_start(&hash, error);
    if (status)
        return status;
    cz_sha256_update(&hash, source_digest, CZ_SHA256_TEXT);
    cz_sha256_update(&hash, cz_quantize_name(quantize), strlen(cz_quantize_name(quantize)));
    cz_sha256_finish(&hash, digest);
    return CLOZE_OK;
}

const char *cz_packed_path(struct cz_buffer *buffer, const char *cache_folder, const char *digest)
{
    cz_buffer_clear(buffer);
    cz_buffer_printf(buffer, "%s/packed/%s-%u.%u.cloze", cache_folder, digest,
                     (unsigned)CZ_PACKED_FILE_VERSION, (unsigned)CZ_PACKED_VERSION);
    return buffer->failed ? NULL : buffer->data;
}

/* ---- Checksum: eight lanes of multiply and xor over 64-bit words ---- */

#define MIX 0x9e3779b97f4a7c15u

static uint64_t finish_word(uint64_t value)
{
    value ^= value >> 29;
    value *= 0xbf58476d1ce4e5b9u;
    return value ^ value >> 32;
}

enum { LANES = 8, STEP = LANES * 8 };

static inline void mix_step(uint64_t lanes[LANES], const unsigned char *bytes)
{
    uint64_t words[LANES];
    memcpy(words, bytes, sizeof words);
    for (int i = 0; i < LANES; i++)
        lanes[i] = (lanes[i] ^ words[i]) * MIX + (lanes[i] >> 47);
}

static uint64_t checksum(uint64_t seed, const void *data, size_t size)
{
    uint64_t lanes[LANES], sum = 0;
    unsigned char last[STEP] = {0};
    const unsigned char *bytes = data, *end = bytes + size / STEP * STEP;
    for (int i = 0; i < LANES; i++)
        lanes[i] = finish_word(seed + (uint64_t)i * MIX);
    for (; bytes < end; bytes += STEP)
        mix_step(lanes, bytes);
    if (size % STEP) {
        memcpy(last, bytes, size % STEP);
        mix_step(lanes, last);
    }
    for (int i = 0; i < LANES; i++)
        sum = finish_word(sum + lanes[i]) * MIX;
    return sum;
}

uint64_t cz_packed_header_checksum(const struct cz_packed_header *header)
{
    struct cz_packed_header copy = *header;
    copy.checksum = 0;
    uint64_t sum = checksum(1, &copy, sizeof copy);
    return checksum(sum, header + 1, header->entry_count * sizeof(struct cz_packed_entry));
}

uint64_t cz_packed_piece_checksum(uint64_t position, const void *data, size_t size)
{
    return checksum(position * MIX + size, data, size);
}

/* ---- Opening ---- */

static cloze_status corrupt(struct cloze_error *error, const char *path, const char *what)
{
    return cz_fail(error, CLOZE_CORRUPT, path, "is not a usable packed model: %s", what);
}

static cloze_status check_header(const struct cz_mapping *mapping, const char *path,
                                 const char *digest, struct cloze_error *error)
{
    const struct cz_packed_header *header = (const void *)mapping->data;
    if (mapping->size < sizeof *header || memcmp(header->magic, CZ_PACKED_MAGIC, 8) != 0)
        return corrupt(error, path, "it does not begin like one");
    if (header->layout != cz_packed_layout())
        return corrupt(error, path, "another version of Cloze made it");
    if (memcmp(header->source_digest, digest, CZ_SHA256_TEXT) != 0)
        return corrupt(error, path, "it was made from another model");
    if (header->file_size != mapping->size)
        return corrupt(error, path, "its size is not the recorded one");
    if (header->entry_count > (mapping->size - sizeof *header) / sizeof(struct cz_packed_entry))
        return corrupt(error, path, "its directory is larger than the file");
    if (header->data_position > mapping->size)
        return corrupt(error, path, "its tensors lie outside the file");
    if (header->checksum != cz_packed_header_checksum(header))
        return corrupt(error, path, "its header is damaged");
    if (!header->hyper.layers || header->hyper.layers > CZ_PACKED_MAX_LAYERS)
        return corrupt(error, path, "its number of layers is out of range");
    return CLOZE_OK;
}

static struct cz_packed matrix_of(const struct cz_packed_model *model,
                                  const struct cz_packed_entry *entry)
{
    return (struct cz_packed){
        .data = (const unsigned char *)model->mapping.data + entry->position,
        .rows = entry->rows,
        .columns = entry->columns,
        .width = (enum cz_width)entry->width,
        .group = entry->group,
        .has_minimum = entry->has_minimum != 0,
        .offset = entry->offset,
        .scales = (enum cz_scales)entry->scales,
    };
}

static cloze_status check_entry(const struct cz_packed_model *model,
                                const struct cz_packed_entry *entry, const char *path,
                                struct cloze_error *error)
{
    uint64_t end = model->mapping.size;
    if (entry->role >= CZ_PACKED_ROLES || entry->layer >= model->hyper->layers)
        return corrupt(error, path, "its directory names an unknown tensor");
    if (entry->position % CZ_PACKED_ALIGNMENT || entry->position > end ||
        entry->size > end - entry->position)
        return corrupt(error, path, "a tensor lies outside the file");
    uint64_t size = (uint64_t)entry->rows * sizeof(float);
    if (entry->is_matrix) {
        struct cz_packed matrix = matrix_of(model, entry);
        cloze_status status = cz_packed_check(&matrix, error);
        if (status)
            return status;
        size = cz_packed_size(&matrix);
    }
    if (size != entry->size)
        return corrupt(error, path, "a tensor's size does not fit its shape");
    return CLOZE_OK;
}

static cloze_status index_entries(struct cz_packed_model *model, const char *path,
                                  struct cloze_error *error)
{
    model->index = calloc(model->hyper->layers, sizeof *model->index);
    if (!model->index)
        return cz_fail_memory(error, "the directory of a packed model");
    for (uint32_t i = 0; i < model->header->entry_count; i++) {
        const struct cz_packed_entry *entry = &model->entries[i];
        cloze_status status = check_entry(model, entry, path, error);
        if (status)
            return status;
        model->index[entry->layer][entry->role] = i + 1;
    }
    return CLOZE_OK;
}

cloze_status cz_packed_open(const char *path, const char *digest, struct cz_packed_model *model,
                            struct cloze_error *error)
{
    *model = (struct cz_packed_model){0};
    cloze_status status = cz_file_map(path, &model->mapping, error);
    if (!status)
        status = check_header(&model->mapping, path, digest, error);
    if (!status) {
        model->header = (const void *)model->mapping.data;
        model->hyper = &model->header->hyper;
        model->entries = (const void *)(model->header + 1);
        status = index_entries(model, path, error);
    }
    if (status)
        cz_packed_close(model);
    return status;
}

void cz_packed_close(struct cz_packed_model *model)
{
    free(model->index);
    cz_file_unmap(&model->mapping);
    *model = (struct cz_packed_model){0};
}

static uint64_t entry_checksum(const struct cz_packed_model *model,
                               const struct cz_packed_entry *entry)
{
    uint64_t position = entry->position, sum = 0;
    const char *data = model->mapping.data;
    if (!entry->is_matrix)
        return cz_packed_piece_checksum(position, data + position, entry->size);
    struct cz_packed matrix = matrix_of(model, entry);
    size_t header = cz_packed_header_bytes(&matrix), bytes = cz_packed_panel_bytes(&matrix);
    sum = cz_packed_piece_checksum(position, data + position, header);
    position += header;
    for (uint32_t panel = 0; panel < cz_packed_panels(&matrix); panel++, position += bytes)
        sum += cz_packed_piece_checksum(position, data + position, bytes);
    return sum;
}

cloze_status cz_packed_verify(const struct cz_packed_model *model, const char *path,
                              struct cloze_error *error)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < model->header->entry_count; i++)
        sum += entry_checksum(model, &model->entries[i]);
    return sum == model->header->data_checksum ? CLOZE_OK
                                               : corrupt(error, path, "its tensors are damaged");
}

bool cz_packed_matrix(const struct cz_packed_model *model, uint32_t role, uint32_t layer,
                      struct cz_packed *out)
{
    uint32_t index = model->index[layer][role];
    if (!index || !model->entries[index - 1].is_matrix)
        return false;
    *out = matrix_of(model, &model->entries[index - 1]);
    return true;
}

const float *cz_packed_vector(const struct cz_packed_model *model, uint32_t role, uint32_t layer)
{
    uint32_t index = model->index[layer][role];
    if (!index || model->entries[index - 1].is_matrix)
        return NULL;
    return (const float *)(const void *)(model->mapping.data + model->entries[index - 1].position);
}
