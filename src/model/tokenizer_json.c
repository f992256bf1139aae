/*
 * tokenizer_json.c - tokenizer.json of the Hugging Face tokenizers library.
 *
 * The stages of the file become lists of steps; a stage that Cloze doesn't run is refused with its
 * type's name. Limits: the file's size and depth (below), tokens and merges as in tables.h.
 */
#include "model/tokenizer_build.h"

enum { LARGEST_FILE = 128 << 20, DEEPEST = 32 };

struct reader {
    struct cz_arena *arena;
    struct cz_tokenizer_tables *tables;
    struct cz_token_list list;
    struct cz_normalizer *normalizers; /* room for CZ_TOKENIZER_MAXIMUM_STEPS, like splitters */
    struct cz_splitter *splitters;
    uint32_t *prefix, *suffix;
    bool splits_bytes, decodes_bytes; /* a ByteLevel stage stands in the pre-tokenizer, decoder */
    struct cloze_error *error;
};

/* ---- Fields ---- */

static struct cz_slice text_of(const struct cz_json *object, const char *key)
{
    struct cz_slice text = {0};
    cz_json_string(cz_json_get(object, key), &text);
    return text;
}

static bool flag_of(const struct cz_json *object, const char *key, bool fallback)
{
    cz_json_bool(cz_json_get(object, key), &fallback);
    return fallback;
}

static bool is_absent(const struct cz_json *value)
{
    return !value || cz_json_is(value, CZ_JSON_NULL);
}

static cloze_status unsupported(struct reader *reader, const char *stage, const char *what,
                                struct cz_slice name)
{
    return cz_fail(reader->error, CLOZE_UNSUPPORTED, stage,
                   "the %s \"" CZ_SLICE_FORMAT "\" is not supported", what, CZ_SLICE_ARG(name));
}

static cloze_status corrupt(struct reader *reader, const char *stage, const char *message)
{
    return cz_fail(reader->error, CLOZE_CORRUPT, stage, "%s", message);
}

/* Copies into the arena. */
static cloze_status keep(struct reader *reader, struct cz_slice text, struct cz_slice *out)
{
    *out = cz_arena_slice(reader->arena, text);
    return out->data ? CLOZE_OK : cz_fail_memory(reader->error, "the tokenizer");
}

/* {"String": s} or {"Regex": s}, or a bare string */
static cloze_status read_pattern(struct reader *reader, const char *stage,
                                 const struct cz_json *pattern, struct cz_slice *out,
                                 bool *is_regex)
{
    struct cz_slice text;
    *is_regex = cz_json_string(cz_json_get(pattern, "Regex"), &text);
    if (!*is_regex && !cz_json_string(cz_json_get(pattern, "String"), &text) &&
        !cz_json_string(pattern, &text))
        return corrupt(reader, stage, "a pattern must be {\"String\": ...} or {\"Regex\": ...}");
    return keep(reader, text, out);
}

/* Calls `read` on the stage, or on each stage of a Sequence whose list is under `key`. */
static cloze_status
each_stage(struct reader *reader, const struct cz_json *stage, const char *key, unsigned depth,
           cloze_status (*read)(struct reader *, const struct cz_json *, struct cz_slice))
{
    if (is_absent(stage))
        return CLOZE_OK;
    struct cz_slice type = text_of(stage, "type");
    if (!cz_slice_is(type, "Sequence"))
        return read(reader, stage, type);
    const struct cz_json *stages = cz_json_get(stage, key);
    if (!cz_json_is(stages, CZ_JSON_ARRAY) || depth > DEEPEST)
        return corrupt(reader, key, "a Sequence without its list of stages");
    cloze_status status = CLOZE_OK;
    for (const struct cz_json *item = stages->first; item && !status; item = item->next)
        status = each_stage(reader, item, key, depth + 1, read);
    return status;
}

/* ---- Normalizer ---- */

static cloze_status read_normalizer(struct reader *reader, const struct cz_json *stage,
                                    struct cz_slice type)
{
    static const struct {
        const char *name;
        enum cz_normalizer_kind kind;
    } kinds[] = {{"NFC", CZ_NORMALIZE_NFC},         {"NFD", CZ_NORMALIZE_NFD},
                 {"NFKC", CZ_NORMALIZE_NFKC},       {"NFKD", CZ_NORMALIZE_NFKD},
                 {"Prepend", CZ_NORMALIZE_PREPEND}, {"Replace", CZ_NORMALIZE_REPLACE}};
    size_t found = 0;
    while (found < sizeof kinds / sizeof *kinds && !cz_slice_is(type, kinds[found].name))
        found++;
    if (found == sizeof kinds / sizeof *kinds)
        return unsupported(reader, "normalizer", "normalizer", type);
    if (reader->tables->normalizer_count == CZ_TOKENIZER_MAXIMUM_STEPS)
        return corrupt(reader, "normalizer", "too many normalizers");
    struct cz_normalizer *step = &reader->normalizers[reader->tables->normalizer_count++];
    step->kind = kinds[found].kind;
    if (step->kind == CZ_NORMALIZE_PREPEND)
        return keep(reader, text_of(stage, "prepend"), &step->content);
    if (step->kind != CZ_NORMALIZE_REPLACE)
        return CLOZE_OK;
    cloze_status status = read_pattern(reader, "normalizer", cz_json_get(stage, "pattern"),
                                       &step->pattern, &step->is_regex);
    return status ? status : keep(reader, text_of(stage, "content"), &step->content);
}

/* ---- Pre-tokenizer ---- */

static cloze_status read_behavior(struct reader *reader, const struct cz_json *stage,
                                  enum cz_split_behavior *out)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
    struct cz_slice name = text_of(stage, "behavior");
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (cz_slice_is(name, names[i])) {
            *out = (enum cz_split_behavior)i;
            return CLOZE_OK;
        }
    }
    return name.size ? unsupported(reader, "pre_tokenizer", "split behavior", name) : CLOZE_OK;
}

static cloze_status read_metaspace(struct reader *reader, const struct cz_json *stage,
                                   struct cz_splitter *step)
{
    struct cz_slice scheme = text_of(stage, "prepend_scheme");
    bool prefixes = flag_of(stage, "add_prefix_space", true); /* the older spelling */
    step->kind = CZ_SPLIT_METASPACE;
    step->split = flag_of(stage, "split", true);
    step->prepend = prefixes ? CZ_PREPEND_ALWAYS : CZ_PREPEND_NEVER;
    if (cz_slice_is(scheme, "first"))
        step->prepend = CZ_PREPEND_FIRST;
    else if (cz_slice_is(scheme, "never"))
        step->prepend = CZ_PREPEND_NEVER;
    else if (scheme.size && !cz_slice_is(scheme, "always"))
        return unsupported(reader, "pre_tokenizer", "prepend scheme", scheme);
    struct cz_slice replacement = text_of(stage, "replacement");
    return keep(reader, replacement.size ? replacement : CZ_SLICE(CZ_BLANK), &step->pattern);
}

static cloze_status read_byte_level(struct reader *reader, const struct cz_json *stage)
{
    reader->splits_bytes = true;
    uint32_t *count = &reader->tables->splitter_count;
    if (flag_of(stage, "add_prefix_space", true))
        reader->splitters[(*count)++].kind = CZ_SPLIT_PREFIX_SPACE;
    if (flag_of(stage, "use_regex", true))
        cz_add_pattern(reader->splitters, count, CZ_GPT2_PATTERN, CZ_SPLIT_ISOLATED);
    return CLOZE_OK;
}

static cloze_status read_split(struct reader *reader, const struct cz_json *stage,
                               struct cz_splitter *step)
{
    step->kind = CZ_SPLIT_PATTERN;
    step->invert = flag_of(stage, "invert", false);
    cloze_status status = read_behavior(reader, stage, &step->behavior);
    return status ? status
                  : read_pattern(reader, "pre_tokenizer", cz_json_get(stage, "pattern"),
                                 &step->pattern, &step->is_regex);
}

/* Stages that are a fixed pattern; false when `type` is none of them. */
static bool add_fixed_pattern(struct reader *reader, const struct cz_json *stage,
                              struct cz_slice type)
{
    uint32_t *count = &reader->tables->splitter_count;
    if (cz_slice_is(type, "Digits")) {
        bool individual = flag_of(stage, "individual_digits", false);
        cz_add_pattern(reader->splitters, count, "\\p{N}",
                       individual ? CZ_SPLIT_ISOLATED : CZ_SPLIT_CONTIGUOUS);
    } else if (cz_slice_is(type, "WhitespaceSplit")) {
        cz_add_pattern(reader->splitters, count, "\\s", CZ_SPLIT_REMOVED);
    } else if (cz_slice_is(type, "Whitespace")) {
        cz_add_pattern(reader->splitters, count, "\\w+|[^\\w\\s]+", CZ_SPLIT_REMOVED);
        reader->splitters[*count - 1].invert = true;
    } else {
        return false;
    }
    return true;
}

static cloze_status read_pre_tokenizer(struct reader *reader, const struct cz_json *stage,
                                       struct cz_slice type)
{
    struct cz_tokenizer_tables *tables = reader->tables;
    if (tables->splitter_count + 2 > CZ_TOKENIZER_MAXIMUM_STEPS)
        return corrupt(reader, "pre_tokenizer", "too many pre-tokenizers");
    if (reader->splits_bytes)
        return cz_fail(reader->error, CLOZE_UNSUPPORTED, "pre_tokenizer",
                       "ByteLevel must be the last pre-tokenizer; \"" CZ_SLICE_FORMAT
                       "\" follows it",
                       CZ_SLICE_ARG(type));
    if (cz_slice_is(type, "ByteLevel"))
        return read_byte_level(reader, stage);
    if (add_fixed_pattern(reader, stage, type))
        return CLOZE_OK;
    struct cz_splitter *step = &reader->splitters[tables->splitter_count];
    cloze_status status;
    if (cz_slice_is(type, "Split")) {
        status = read_split(reader, stage, step);
    } else if (cz_slice_is(type, "Metaspace")) {
        status = read_metaspace(reader, stage, step);
    } else if (cz_slice_is(type, "Punctuation")) {
        cz_add_pattern(reader->splitters, &tables->splitter_count, "[\\p{P}!-/:-@\\[-`{-~]",
                       CZ_SPLIT_ISOLATED);
        return read_behavior(reader, stage, &step->behavior);
    } else {
        return unsupported(reader, "pre_tokenizer", "pre-tokenizer", type);
    }
    tables->splitter_count++;
    return status;
}

/* ---- Decoder ---- */

static cloze_status read_decoder_replace(struct reader *reader, const struct cz_json *stage)
{
    struct cz_slice pattern;
    bool is_regex;
    cloze_status status =
        read_pattern(reader, "decoder", cz_json_get(stage, "pattern"), &pattern, &is_regex);
    if (status)
        return status;
    if (is_regex || pattern.size == 0 || !cz_slice_is(text_of(stage, "content"), " ") ||
        reader->tables->blank.size)
        return cz_fail(reader->error, CLOZE_UNSUPPORTED, "decoder",
                       "a decoder that replaces anything but one text by a blank is not supported");
    reader->tables->blank = pattern;
    return CLOZE_OK;
}

static cloze_status read_decoder_strip(struct reader *reader, const struct cz_json *stage)
{
    int64_t start = 0, stop = 0;
    cz_json_int64(cz_json_get(stage, "start"), &start);
    cz_json_int64(cz_json_get(stage, "stop"), &stop);
    if (start != 1 || stop != 0 || !cz_slice_is(text_of(stage, "content"), " "))
        return cz_fail(reader->error, CLOZE_UNSUPPORTED, "decoder",
                       "a Strip decoder other than one blank at the start is not supported");
    reader->tables->strip_first_blank = true;
    return CLOZE_OK;
}

static cloze_status read_decoder(struct reader *reader, const struct cz_json *stage,
                                 struct cz_slice type)
{
    struct cz_tokenizer_tables *tables = reader->tables;
    if (cz_slice_is(type, "ByteLevel")) {
        reader->decodes_bytes = true;
        return CLOZE_OK;
    }
    if (cz_slice_is(type, "ByteFallback") || cz_slice_is(type, "Fuse"))
        return CLOZE_OK;
    if (cz_slice_is(type, "Replace"))
        return read_decoder_replace(reader, stage);
    if (cz_slice_is(type, "Strip"))
        return read_decoder_strip(reader, stage);
    if (!cz_slice_is(type, "Metaspace"))
        return unsupported(reader, "decoder", "decoder", type);
    struct cz_splitter step = {0};
    cloze_status status = read_metaspace(reader, stage, &step);
    tables->blank = step.pattern;
    tables->strip_first_blank = step.prepend != CZ_PREPEND_NEVER;
    return status;
}

/* ---- Post-processor ---- */

static cloze_status append_ids(struct reader *reader, const struct cz_json *special, uint32_t *list,
                               uint32_t *count)
{
    const struct cz_json *ids = cz_json_get(special, "ids");
    if (!cz_json_is(ids, CZ_JSON_ARRAY))
        return corrupt(reader, "post_processor", "a template names a token that has no ids");
    CZ_JSON_EACH(item, ids)
    {
        int64_t id;
        if (!cz_json_int64(item, &id) || id < 0 || id >= (int64_t)reader->list.count)
            return corrupt(reader, "post_processor", "an id is not in the vocabulary");
        if (*count == CZ_TOKENIZER_MAXIMUM_STEPS)
            return corrupt(reader, "post_processor", "too many tokens are added");
        list[(*count)++] = (uint32_t)id;
    }
    return CLOZE_OK;
}

static cloze_status read_template(struct reader *reader, const struct cz_json *stage)
{
    struct cz_tokenizer_tables *tables = reader->tables;
    const struct cz_json *single = cz_json_get(stage, "single");
    const struct cz_json *specials = cz_json_get(stage, "special_tokens");
    if (!cz_json_is(single, CZ_JSON_ARRAY))
        return corrupt(reader, "post_processor", "TemplateProcessing without \"single\"");
    bool behind = false;
    CZ_JSON_EACH(item, single)
    {
        const struct cz_json *token = cz_json_get(item, "SpecialToken");
        behind |= cz_json_get(item, "Sequence") != NULL;
        if (!token)
            continue;
        const struct cz_json *special = cz_json_get_slice(specials, text_of(token, "id"));
        cloze_status status =
            behind ? append_ids(reader, special, reader->suffix, &tables->suffix_count)
                   : append_ids(reader, special, reader->prefix, &tables->prefix_count);
        if (status)
            return status;
    }
    return CLOZE_OK;
}

static cloze_status read_post_processor(struct reader *reader, const struct cz_json *stage,
                                        struct cz_slice type)
{
    if (cz_slice_is(type, "ByteLevel")) /* changes offsets only */
        return CLOZE_OK;
    if (cz_slice_is(type, "TemplateProcessing"))
        return read_template(reader, stage);
    return unsupported(reader, "post_processor", "post-processor", type);
}

/* ---- Vocabulary ---- */

/* How many ids there are, and how many bytes of text, over vocabulary and added tokens. */
static cloze_status measure(struct reader *reader, const struct cz_json *vocab,
                            const struct cz_json *added, uint32_t *count, size_t *text_size)
{
    int64_t largest = -1, id;
    size_t entries = 0;
    *text_size = 0;
    CZ_JSON_EACH(item, vocab)
    {
        if (!cz_json_int64(item, &id) || id < 0)
            return corrupt(reader, "model.vocab", "an id is not a whole number");
        largest = id > largest ? id : largest;
        *text_size += item->key_size;
        entries++;
    }
    for (const struct cz_json *item = added ? added->first : NULL; item; item = item->next) {
        if (!cz_json_int64(cz_json_get(item, "id"), &id) || id < 0)
            return corrupt(reader, "added_tokens", "an id is not a whole number");
        largest = id > largest ? id : largest;
        *text_size += text_of(item, "content").size;
        entries++;
    }
    if (largest >= CZ_TOKENIZER_MAXIMUM_TOKENS || (size_t)largest > entries * 4 + 65536)
        return cz_fail(reader->error, CLOZE_LIMIT, "model.vocab",
                       "the largest id is %lld for %zu tokens", (long long)largest, entries);
    *count = (uint32_t)(largest + 1);
    return CLOZE_OK;
}

static cloze_status read_vocab(struct reader *reader, const struct cz_json *vocab)
{
    bool fallback = reader->tables->byte_fallback;
    cloze_status status = CLOZE_OK;
    for (const struct cz_json *item = vocab->first; item && !status; item = item->next) {
        int64_t id = -1;
        cz_json_int64(item, &id);
        struct cz_slice text = cz_json_key(item);
        enum cz_token_kind kind =
            fallback && cz_is_byte_spelling(text) ? CZ_TOKEN_BYTE : CZ_TOKEN_NORMAL;
        status = cz_token_list_set(&reader->list, (uint32_t)id, text, kind, 0, reader->error);
    }
    return status;
}

static cloze_status read_added(struct reader *reader, const struct cz_json *added)
{
    struct cz_tokenizer_tables *tables = reader->tables;
    if (!added || added->count == 0)
        return CLOZE_OK;
    struct cz_added_token *tokens =
        CZ_ARENA_ARRAY(reader->arena, struct cz_added_token, added->count);
    if (!tokens)
        return cz_fail_memory(reader->error, "added tokens");
    CZ_JSON_EACH(item, added)
    {
        if (text_of(item, "content").size == 0) /* matches nothing */
            continue;
        struct cz_added_token *token = &tokens[tables->added_count++];
        int64_t id = -1;
        cz_json_int64(cz_json_get(item, "id"), &id);
        token->id = (uint32_t)id;
        token->special = flag_of(item, "special", false);
        token->normalized = flag_of(item, "normalized", !token->special);
        token->single_word = flag_of(item, "single_word", false);
        token->lstrip = flag_of(item, "lstrip", false);
        token->rstrip = flag_of(item, "rstrip", false);
        cloze_status status =
            cz_token_list_set(&reader->list, token->id, text_of(item, "content"),
                              token->special ? CZ_TOKEN_CONTROL : CZ_TOKEN_USER, 0, reader->error);
        if (status)
            return status;
        token->content = reader->list.tokens[token->id].text;
    }
    tables->added = tokens;
    return CLOZE_OK;
}

static cloze_status read_merges(struct reader *reader, const struct cz_json *merges)
{
    struct cz_tokenizer_tables *tables = reader->tables;
    if (!cz_json_is(merges, CZ_JSON_ARRAY) || merges->count > CZ_TOKENIZER_MAXIMUM_MERGES)
        return corrupt(reader, "model.merges", "merges must be a list, and not longer than 2^23");
    struct cz_merge *out = CZ_ARENA_ARRAY(reader->arena, struct cz_merge, merges->count);
    if (!out)
        return cz_fail_memory(reader->error, "the merges");
    cloze_status status = CLOZE_OK;
    for (const struct cz_json *item = merges->first; item && !status; item = item->next) {
        struct cz_slice left, right;
        if (cz_json_string(item, &left))
            status = cz_token_list_merge_text(&reader->list, left, &out[tables->merge_count++],
                                              reader->error);
        else if (cz_json_is(item, CZ_JSON_ARRAY) && item->count == 2 &&
                 cz_json_string(item->first, &left) && cz_json_string(item->first->next, &right))
            status = cz_token_list_merge(&reader->list, left, right, &out[tables->merge_count++],
                                         reader->error);
        else
            status = corrupt(reader, "model.merges", "a merge must be \"a b\" or [\"a\", \"b\"]");
    }
    tables->merges = out;
    return status;
}

/* Options of BPE that change the ids and that Cloze doesn't run. */
static cloze_status check_bpe(struct reader *reader, const struct cz_json *model)
{
    static const char *const refused[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++)
        if (text_of(model, refused[i]).size)
            return unsupported(reader, "model", "option", cz_slice(refused[i]));
    double dropout = 0;
    if (cz_json_double(cz_json_get(model, "dropout"), &dropout) && dropout != 0)
        return unsupported(reader, "model", "option", CZ_SLICE("dropout"));
    return CLOZE_OK;
}

static cloze_status read_unknown(struct reader *reader, const struct cz_json *model)
{
    struct cz_slice unknown = text_of(model, "unk_token");
    reader->tables->unknown_id = -1;
    if (unknown.size == 0)
        return CLOZE_OK;
    int64_t id = cz_token_list_find(&reader->list, unknown);
    if (id < 0)
        return corrupt(reader, "model.unk_token", "the unknown token is not in the vocabulary");
    reader->tables->unknown_id = id;
    reader->list.tokens[id].kind = CZ_TOKEN_UNKNOWN;
    return CLOZE_OK;
}

static cloze_status read_model(struct reader *reader, const struct cz_json *root)
{
    struct cz_tokenizer_tables *tables = reader->tables;
    const struct cz_json *model = cz_json_get(root, "model");
    const struct cz_json *vocab = cz_json_get(model, "vocab");
    const struct cz_json *added = cz_json_get(root, "added_tokens");
    struct cz_slice type = text_of(model, "type");
    if (type.size ? !cz_slice_is(type, "BPE") : !cz_json_get(model, "merges"))
        return unsupported(reader, "model", "model", type);
    if (!cz_json_is(vocab, CZ_JSON_OBJECT) || (added && !cz_json_is(added, CZ_JSON_ARRAY)))
        return corrupt(reader, "model.vocab",
                       "the vocabulary must be an object, added_tokens a list");
    tables->kind = CZ_TOKENIZER_BPE;
    tables->byte_fallback = flag_of(model, "byte_fallback", false);
    tables->fuse_unknown = flag_of(model, "fuse_unk", false);
    tables->ignore_merges = flag_of(model, "ignore_merges", false);
    uint32_t count;
    size_t text_size;
    cloze_status status = check_bpe(reader, model);
    if (!status)
        status = measure(reader, vocab, added, &count, &text_size);
    if (!status)
        status = cz_token_list_init(&reader->list, reader->arena, count, text_size, reader->error);
    if (!status)
        status = read_vocab(reader, vocab);
    if (!status)
        status = read_merges(reader, cz_json_get(model, "merges"));
    if (!status)
        status = read_added(reader, added);
    return status ? status : read_unknown(reader, model);
}

/* ---- The whole ---- */

static cloze_status read_stages(struct reader *reader, const struct cz_json *root)
{
    cloze_status status =
        each_stage(reader, cz_json_get(root, "normalizer"), "normalizers", 0, read_normalizer);
    if (!status)
        status = each_stage(reader, cz_json_get(root, "pre_tokenizer"), "pretokenizers", 0,
                            read_pre_tokenizer);
    if (!status)
        status = each_stage(reader, cz_json_get(root, "decoder"), "decoders", 0, read_decoder);
    if (!status)
        status = each_stage(reader, cz_json_get(root, "post_processor"), "processors", 0,
                            read_post_processor);
    if (status)
        return status;
    if (reader->splits_bytes != reader->decodes_bytes)
        return cz_fail(reader->error, CLOZE_UNSUPPORTED, "decoder",
                       "pre-tokenizer and decoder must both be ByteLevel, or neither");
    reader->tables->alphabet = reader->splits_bytes ? CZ_ALPHABET_BYTES : CZ_ALPHABET_PLAIN;
    return CLOZE_OK;
}

static cloze_status read_root(struct reader *reader, const struct cz_json *root)
{
    struct cz_tokenizer_tables *tables = reader->tables;
    reader->normalizers =
        CZ_ARENA_ARRAY(reader->arena, struct cz_normalizer, CZ_TOKENIZER_MAXIMUM_STEPS);
    reader->splitters =
        CZ_ARENA_ARRAY(reader->arena, struct cz_splitter, CZ_TOKENIZER_MAXIMUM_STEPS);
    reader->prefix = CZ_ARENA_ARRAY(reader->arena, uint32_t, CZ_TOKENIZER_MAXIMUM_STEPS);
    reader->suffix = CZ_ARENA_ARRAY(reader->arena, uint32_t, CZ_TOKENIZER_MAXIMUM_STEPS);
    if (!reader->normalizers || !reader->splitters || !reader->prefix || !reader->suffix)
        return cz_fail_memory(reader->error, "the tokenizer");
    cloze_status status = read_model(reader, root);
    if (!status)
        status = read_stages(reader, root);
    tables->normalizers = reader->normalizers;
    tables->splitters = reader->splitters;
    tables->prefix_ids = reader->prefix;
    tables->suffix_ids = reader->suffix;
    tables->tokens = reader->list.tokens;
    tables->token_count = reader->list.count;
    return status;
}

cloze_status cz_tokenizer_read_json(struct cz_slice source, struct cz_arena *arena,
                                    struct cz_tokenizer_tables *tables, struct cloze_error *error)
{
    struct cz_arena trees = {0};
    struct cz_json_options options = {
        .maximum_size = LARGEST_FILE, .maximum_depth = DEEPEST, .allow_duplicate_keys = true};
    struct cz_json *root;
    *tables = (struct cz_tokenizer_tables){.unknown_id = -1, .bos_id = -1, .eos_id = -1};
    struct reader reader = {.arena = arena, .tables = tables, .error = error};
    cloze_status status = cz_json_parse(&trees, source, &options, &root, error);
    if (!status)
        status = read_root(&reader, root);
    cz_token_list_free(&reader.list);
    cz_arena_free(&trees);
    return status;
}
