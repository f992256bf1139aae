/* fake_backend.c - see fake_backend.h. */
#include "fake_backend.h"

#include <string.h>
#include <unistd.h>

static void info(const struct cz_backend *backend, struct cz_backend_info *out)
{
    (void)backend;
    *out = (struct cz_backend_info){.name = "fake",
                                    .vocab = FAKE_VOCAB,
                                    .context = FAKE_CONTEXT,
                                    .threads = 1,
                                    .weight_bytes = 1,
                                    .kv_block_bytes = 128};
}

static uint64_t hash_row(const struct fake_backend *fake, const struct cz_step *step,
                         const struct cz_step_row *row)
{
    const uint32_t *blocks = step->sequences[row->sequence].blocks;
    uint64_t hash = 1;
    for (uint32_t i = 0; i <= row->position; i++)
        hash = fake_hash(hash, fake->kv[blocks[i / CZ_KV_BLOCK]][i % CZ_KV_BLOCK]);
    return hash;
}

static void fill(const struct cz_step_logits *ask, uint64_t hash)
{
    uint32_t at = 0;
    for (uint32_t id = 0; id < FAKE_VOCAB; id++) {
        bool wanted = ask->ids     ? at < ask->count && ask->ids[at] == id
                      : ask->words ? ask->words[id / 32] >> id % 32 & 1
                                   : true;
        if (wanted)
            ask->out[at++] = fake_logit(hash, id);
    }
}

static cloze_status step_rows(struct cz_backend *backend, const struct cz_step *step,
                              struct cloze_error *error)
{
    struct fake_backend *fake = (struct fake_backend *)backend;
    fake->steps++;
    fake->rows += step->row_count;
    if (step->row_count > fake->largest_step)
        fake->largest_step = step->row_count;
    if (fake->delay_us)
        usleep(fake->delay_us);
    if (fake->fails)
        return cz_fail(error, CLOZE_INTERNAL, "fake", "the backend failed as told");
    for (uint32_t i = 0; i < step->row_count; i++) {
        const struct cz_step_row *row = &step->rows[i];
        const struct cz_step_sequence *sequence = &step->sequences[row->sequence];
        if (i && step->rows[i - 1].sequence == row->sequence &&
            step->rows[i - 1].position + 1 != row->position)
            fake->broken = true;
        if (row->position / CZ_KV_BLOCK >= sequence->block_count)
            fake->broken = true;
        else
            fake->kv[sequence->blocks[row->position / CZ_KV_BLOCK]][row->position % CZ_KV_BLOCK] =
                row->token;
    }
    for (uint32_t i = 0; i < step->logits_count && !fake->broken; i++)
        fill(&step->logits[i], hash_row(fake, step, &step->rows[step->logits[i].row]));
    return CLOZE_OK;
}

static void copy_block(struct cz_backend *backend, uint32_t from, uint32_t to)
{
    struct fake_backend *fake = (struct fake_backend *)backend;
    memcpy(fake->kv[to], fake->kv[from], sizeof fake->kv[to]);
}

static void close_backend(struct cz_backend *backend)
{
    ((struct fake_backend *)backend)->closed = true;
}

void fake_backend_init(struct fake_backend *fake)
{
    static const struct cz_backend_functions functions = {info, step_rows, copy_block,
                                                          close_backend};
    memset(fake, 0, sizeof *fake);
    memset(fake->kv, 0xEE, sizeof fake->kv);
    fake->base.functions = &functions;
}
