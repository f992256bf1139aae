/* engine_flags.c - see engine_flags.h. */
#include "cli/engine_flags.h"

#include <stdlib.h>

/* "512M", "2GiB", "1.5G": powers of 1,024; a bare number is bytes. */
static bool read_size(const char *text, uint64_t *size)
{
    static const char letters[] = "KMGT";
    char *end;
    double value = strtod(text, &end);
    const char *letter = *end ? strchr(letters, *end & ~0x20) : NULL;
    if (end == text || !(value > 0) || (*end && !letter))
        return false;
    for (const char *step = letters; letter && step <= letter; step++)
        value *= 1024;
    end += letter != NULL;
    if (*end && strcmp(end, "B") != 0 && strcmp(end, "iB") != 0)
        return false;
    *size = value < 0x1p62 ? (uint64_t)value : 0;
    return *size > 0;
}

static enum cz_kv_type kv_type_of(const char *name)
{
    return strcmp(name, "int8") == 0   ? CZ_KV_INT8
           : strcmp(name, "bf16") == 0 ? CZ_KV_BF16
                                       : CZ_KV_F16;
}

cloze_status cz_engine_flags_read(struct cz_arguments *arguments,
                                  const struct cz_model_source *source,
                                  struct cz_engine_options *options, struct cloze_error *error)
{
    const char *size = cz_flag_text(arguments, "kv-memory");
    const char *quantize = cz_flag_text(arguments, "quantize");
    if (size && !read_size(size, &options->kv_bytes))
        return cz_fail_usage(arguments, error, "--kv-memory takes a size, such as 512M or 2G");
    options->cache_folder = source->store.cache;
    options->kv_type = kv_type_of(cz_flag_text(arguments, "kv-type"));
    options->quantize = source->quantize;
    if (quantize)
        cz_quantize_of(quantize, &options->quantize);
    return CLOZE_OK;
}
