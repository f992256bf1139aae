/*
 * tokens_tool.c - a tokenizer on standard input and output, for the tests that compare it with
 * others: one JSON string a line in, one line {"ids": [...], "text": decoded} out.
 *
 *   tokens-tool PATH [special] [add] [time]
 *
 * PATH is a GGUF file, a tokenizer.json, a tokenizer.model or a folder. "special" recognises
 * special tokens in the text, "add" puts BOS and EOS around it, "time" prints figures to standard
 * error.
 */
#include "base/clock.h"
#include "base/file.h"
#include "model/gguf.h"
#include "model/tokenizer_build.h"
#include "tokenizer/tokenizer.h"
#include "json/writer.h"

#include <stdio.h>
#include <stdlib.h>

struct tool {
    struct cz_arena arena;
    struct cz_mapping file;
    struct cz_tokenizer_source source;
    struct cz_tokenizer *tokenizer;
    struct cz_encode_options options;
    bool times;
    uint64_t encode_ns, bytes, ids;
    struct cloze_error error;
};

static cloze_status read_file(struct tool *tool, const char *path)
{
    cloze_status status = cz_file_map(path, &tool->file, &tool->error);
    if (status)
        return status;
    struct cz_slice bytes = {tool->file.data, tool->file.size};
    struct cz_slice name = cz_slice(path);
    if (cz_slice_ends_with(name, ".json"))
        return cz_tokenizer_read_json(bytes, &tool->arena, &tool->source.tables, &tool->error);
    if (cz_slice_ends_with(name, ".model"))
        return cz_tokenizer_read_sentencepiece(bytes, NULL, &tool->arena, &tool->source.tables,
                                               &tool->error);
    struct cz_gguf gguf;
    status = cz_gguf_parse(bytes, path, &tool->arena, &gguf, &tool->error);
    if (status)
        return status;
    status = cz_tokenizer_source_gguf(&gguf, &tool->arena, &tool->source, &tool->error);
    cz_gguf_free(&gguf);
    return status;
}

static cloze_status open_tokenizer(struct tool *tool, const char *path)
{
    uint64_t start = cz_clock_ns();
    cloze_status status =
        cz_file_is_folder(path)
            ? cz_tokenizer_source_folder(path, &tool->arena, &tool->source, &tool->error)
            : read_file(tool, path);
    uint64_t read = cz_clock_ns();
    if (!status)
        status = cz_tokenizer_create(&tool->source.tables, &tool->tokenizer, &tool->error);
    if (tool->times)
        fprintf(stderr, "read %.1f ms, create %.1f ms, arena %.1f MB\n",
                (double)(read - start) / 1e6, (double)(cz_clock_ns() - read) / 1e6,
                (double)tool->arena.total / 1e6);
    return status;
}

static cloze_status encode_line(struct tool *tool, struct cz_slice line)
{
    struct cz_arena tree = {0};
    struct cz_json *value;
    struct cz_ids ids = {0};
    struct cz_buffer text = {0}, out = {0};
    struct cz_slice input = {0};
    cloze_status status = cz_json_parse(&tree, line, NULL, &value, &tool->error);
    if (!status && !cz_json_string(value, &input))
        status = cz_fail(&tool->error, CLOZE_INVALID, "line", "not a JSON string");
    uint64_t start = cz_clock_ns();
    if (!status)
        status = cz_tokenizer_encode(tool->tokenizer, input, &tool->options, &ids, &tool->error);
    tool->encode_ns += cz_clock_ns() - start;
    tool->bytes += input.size;
    tool->ids += ids.count;
    if (!status)
        status =
            cz_tokenizer_decode(tool->tokenizer, ids.ids, ids.count, true, &text, &tool->error);
    if (!status) {
        struct cz_json_writer writer = {.out = &out, .style = CZ_JSON_COMPACT};
        cz_json_begin_object(&writer);
        cz_json_write_key(&writer, "ids");
        cz_json_begin_array(&writer);
        for (size_t i = 0; i < ids.count; i++)
            cz_json_write_int(&writer, ids.ids[i]);
        cz_json_end_array(&writer);
        cz_json_write_key(&writer, "text");
        cz_json_write_slice(&writer, cz_buffer_slice(&text));
        cz_json_end_object(&writer);
        puts(cz_buffer_text(&out));
    }
    cz_ids_free(&ids);
    cz_buffer_free(&text);
    cz_buffer_free(&out);
    cz_arena_free(&tree);
    return status;
}

static cloze_status encode_lines(struct tool *tool)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    cloze_status status = CLOZE_OK;
    while (!status && (size = getline(&line, &capacity, stdin)) > 0)
        status = encode_line(tool, cz_slice_of(line, (size_t)size));
    free(line);
    if (tool->times)
        fprintf(stderr, "%.1f MB in %.1f ms: %.1f MB/s, %.2f million tokens/s\n",
                (double)tool->bytes / 1e6, (double)tool->encode_ns / 1e6,
                (double)tool->bytes * 1e3 / (double)tool->encode_ns,
                (double)tool->ids * 1e3 / (double)tool->encode_ns);
    return status;
}

int main(int count, char **arguments)
{
    struct tool tool = {0};
    for (int i = 2; i < count; i++) {
        tool.options.parse_special |= strcmp(arguments[i], "special") == 0;
        tool.options.add_special |= strcmp(arguments[i], "add") == 0;
        tool.times |= strcmp(arguments[i], "time") == 0;
    }
    cloze_status status = count < 2 ? cz_fail(&tool.error, CLOZE_INVALID, "arguments",
                                              "tokens-tool PATH [special] [add] [time]")
                                    : open_tokenizer(&tool, arguments[1]);
    if (!status)
        status = encode_lines(&tool);
    if (status)
        fprintf(stderr, "Error: %s: %s\n", tool.error.where, tool.error.message);
    cz_tokenizer_free(tool.tokenizer);
    cz_file_unmap(&tool.file);
    cz_arena_free(&tool.arena);
    return status != CLOZE_OK;
}
