/* kernels.c - choosing a table, and what does not depend on the instruction set. */
#include "kernels/kernels.h"

#include "base/size.h"
#include "kernels/layout.h"
#include "kernels/tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#if defined(__x86_64__)
/* CPUID leaf 1, ECX bit 29; clang 14's __builtin_cpu_supports does not know the name. */
static bool has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && c >> 29 & 1;
}

/* CPUID leaf 7, subleaf 1, EAX bit 4; the operating system saves the registers when it saves
 * AVX2's. */
static bool has_avx_vnni(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && a >> 4 & 1;
}
#endif

/* A table and whether this CPU runs it. Every instruction that a table's file may be compiled to is
 * asked for, so a CPU that lacks one takes the next table down. */
struct candidate {
    const struct cz_kernels *kernels;
    bool runs;
};

enum { MOST_TABLES = 5 };

/* Slowest first; returns how many there are. */
#if defined(__x86_64__)
static uint32_t list_tables(struct candidate list[MOST_TABLES])
{
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                  __builtin_cpu_supports("avx512vnni");
    bool bfloat = avx512 && __builtin_cpu_supports("avx512bf16");
    bool intel = __builtin_cpu_is("intel"); /* slow vdpbf16ps, see avx512_vnni.c */
    struct candidate vnni = {&cz_kernels_avx512_vnni, avx512};
    struct candidate bf16 = {&cz_kernels_avx512_bf16, bfloat};
    list[0] = (struct candidate){&cz_kernels_portable, true};
    list[1] = (struct candidate){&cz_kernels_avx2, avx2};
    list[2] = (struct candidate){&cz_kernels_avx2_vnni, avx2 && has_avx_vnni()};
    list[3] = intel ? bf16 : vnni;
    list[4] = intel ? vnni : bf16;
    return 5;
}
#elif defined(__aarch64__)
static uint32_t list_tables(struct candidate list[MOST_TABLES])
{
    list[0] = (struct candidate){&cz_kernels_portable, true};
    bool dots = getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
    list[1] = (struct candidate){&cz_kernels_neon, dots};
    list[2] = (struct candidate){&cz_kernels_neon_i8mm, dots && getauxval(AT_HWCAP2) & HWCAP2_I8MM};
    return 3;
}
#else
static uint32_t list_tables(struct candidate list[MOST_TABLES])
{
    list[0] = (struct candidate){&cz_kernels_portable, true};
    return 1;
}
#endif

const struct cz_kernels *cz_kernels_at(uint32_t index)
{
    struct candidate list[MOST_TABLES];
    uint32_t count = list_tables(list);
    for (uint32_t i = 0; i < count; i++)
        if (list[i].runs && index-- == 0)
            return list[i].kernels;
    return NULL;
}

cloze_status cz_kernels_select(const struct cz_kernels **out, struct cloze_error *error)
{
    const char *wanted = getenv("CLOZE_KERNELS");
    const struct cz_kernels *kernels;
    char names[160] = "";
    for (uint32_t i = 0; (kernels = cz_kernels_at(i)); i++) {
        if (!wanted || !*wanted || strcmp(wanted, kernels->name) == 0)
            *out = kernels;
        if (wanted && strcmp(wanted, kernels->name) == 0)
            return CLOZE_OK;
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", kernels->name);
    }
    if (wanted && *wanted)
        return cz_fail(error, CLOZE_UNSUPPORTED, "CLOZE_KERNELS",
                       "this CPU has no kernels '%s'; it has: %s", wanted, names);
    return CLOZE_OK;
}

static uint32_t padded_columns(uint32_t columns)
{
    return (uint32_t)cz_size_align(columns, CZ_BLOCK_COLUMNS);
}

size_t cz_activation_bytes(enum cz_activation kind, uint32_t columns)
{
    uint32_t padded = padded_columns(columns);
    return (size_t)padded * (kind == CZ_ACTIVATION_BF16 ? sizeof(float) : 2);
}

size_t cz_activation_offset(const struct cz_kernels *kernels, enum cz_activation kind,
                            uint32_t column)
{
    return kind == CZ_ACTIVATION_BF16 ? (size_t)column * kernels->bfloat_bytes
                                      : cz_activation_bytes(kind, column);
}

size_t cz_kv_tile_bytes(enum cz_kv_form form, uint32_t head_dim)
{
    size_t arrays = 2 * (size_t)CZ_KV_POSITIONS * head_dim * cz_kv_element_bytes(form);
    size_t scales = form == CZ_KV_FORM_INT8 ? 2 * CZ_KV_POSITIONS * sizeof(float) : 0;
    return cz_size_align(arrays + scales, CZ_PACKED_ALIGNMENT);
}

struct cz_range cz_attention_chunks(const struct cz_attention *attention)
{
    uint32_t first = attention->first_position + 1;
    first = attention->window && first > attention->window ? first - attention->window : 0;
    uint32_t last = attention->first_position + attention->rows - 1;
    return (struct cz_range){first / CZ_ATTENTION_CHUNK, last / CZ_ATTENTION_CHUNK + 1};
}

size_t cz_attention_scratch(uint32_t head_dim)
{
    return 2 * (size_t)CZ_ATTENTION_ROWS * head_dim;
}

/* Divides the rows of `sum` and puts them into `out`. */
static void finish_rows(const struct cz_kernels *kernels, const struct cz_attention *attention,
                        const struct cz_attention_part *sum, float *out, size_t out_stride)
{
    for (uint32_t row = 0; row < attention->rows; row++) {
        struct cz_attention_part of_row = *sum;
        uint32_t first = row * attention->heads;
        memmove(of_row.sum, sum->sum + first, attention->heads * sizeof(float));
        of_row.values = sum->values + (size_t)first * attention->head_dim;
        kernels->attend_finish(&of_row, attention->heads, attention->head_dim,
                               out + row * out_stride, attention->head_dim);
    }
}

void cz_attend(const struct cz_kernels *kernels, const struct cz_attention *attention,
               float *scratch, float *out, size_t out_stride)
{
    uint32_t vectors = attention->rows * attention->heads;
    struct cz_attention_part sum = {.values = scratch},
                             part = {.values =
                                         scratch + (size_t)CZ_ATTENTION_ROWS * attention->head_dim};
    struct cz_range chunks = cz_attention_chunks(attention);
    kernels->attend_chunk(attention, chunks.first, &sum);
    for (uint32_t chunk = chunks.first + 1; chunk < chunks.end; chunk++) {
        kernels->attend_chunk(attention, chunk, &part);
        kernels->attend_merge(&sum, &part, vectors, attention->head_dim);
    }
    finish_rows(kernels, attention, &sum, out, out_stride);
}

void cz_attend_parts(const struct cz_kernels *kernels, const struct cz_attention *attention,
                     struct cz_attention_part *parts, uint32_t count, float *out, size_t out_stride)
{
    uint32_t vectors = attention->rows * attention->heads;
    for (uint32_t i = 1; i < count; i++)
        kernels->attend_merge(parts, parts + i, vectors, attention->head_dim);
    finish_rows(kernels, attention, parts, out, out_stride);
}

enum {
    GRAIN_BYTES = 48 << 10, /* of weights that one worker takes at a time */
    PIECES_PER_WORKER = 4,  /* at least, so that nobody waits long for the last one */
};

/* Pairs of panels of one product: tiles are two panels high. */
static uint32_t pairs_of(const struct cz_matmul *m)
{
    return (cz_matmul_entries(m) + 1) / 2;
}

static size_t pair_bytes(const struct cz_matmul *m)
{
    return 2 * cz_packed_panel_bytes(m->weights);
}

/* How many items of so many bytes of weights are one piece. */
static uint32_t grain_of(size_t item_bytes, uint32_t items, uint32_t workers)
{
    uint32_t most = items / (workers * PIECES_PER_WORKER);
    uint32_t grain = (uint32_t)(GRAIN_BYTES / item_bytes);
    grain = grain < most ? grain : most;
    return grain ? grain : 1;
}

/* The part of `range` that lies in a product whose pairs begin at `first`; empty where none does. */
static struct cz_range entries_in(const struct cz_matmul *m, uint32_t first, struct cz_range range)
{
    uint32_t end = first + pairs_of(m);
    uint32_t from = range.first > first ? range.first : first;
    uint32_t to = range.end < end ? range.end : end;
    if (from >= to)
        return (struct cz_range){0, 0};
    return (struct cz_range){2 * (from - first), to == end ? cz_matmul_entries(m) : 2 * (to - first)};
}

void cz_matmul_run(const struct cz_kernels *kernels, struct cz_worker *worker,
                   const struct cz_matmul *list, uint32_t count)
{
    uint32_t pairs = 0;
    for (uint32_t i = 0; i < count; i++)
        pairs += pairs_of(&list[i]);
    uint32_t grain = grain_of(pair_bytes(&list[0]), pairs, worker->count);
    for (struct cz_range range; cz_worker_take(worker, pairs, grain, &range);)
        for (uint32_t i = 0, first = 0; i < count; first += pairs_of(&list[i++])) {
            struct cz_range part = entries_in(&list[i], first, range);
            if (part.end > part.first)
                kernels->matmul(&list[i], part);
        }
}

/* The rows of computed entries. */
static void hand_on(const struct cz_matmul *m, struct cz_range entries, cz_matmul_then *then,
                    void *context)
{
    uint32_t end = entries.end * CZ_PANEL_ROWS, rows = m->weights->rows;
    if (entries.end > entries.first)
        then(context, (struct cz_range){entries.first * CZ_PANEL_ROWS, end < rows ? end : rows});
}

void cz_matmul_run_pair(const struct cz_kernels *kernels, struct cz_worker *worker,
                        const struct cz_matmul pair[2], cz_matmul_then *then, void *context)
{
    uint32_t pairs = pairs_of(&pair[0]);
    size_t bytes = pair_bytes(&pair[0]) + pair_bytes(&pair[1]);
    uint32_t grain = grain_of(bytes, pairs, worker->count);
    struct cz_range done = {0, 0}; /* entries, pieces that follow each other */
    for (struct cz_range range; cz_worker_take(worker, pairs, grain, &range);) {
        struct cz_range entries = entries_in(&pair[0], 0, range);
        kernels->matmul(&pair[0], entries);
        kernels->matmul(&pair[1], entries);
        if (entries.first != done.end) {
            hand_on(&pair[0], done, then, context);
            done.first = entries.first;
        }
        done.end = entries.end;
    }
    hand_on(&pair[0], done, then, context);
}
