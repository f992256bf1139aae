/* service.c - fuzz target: a definition that is accepted gives documents that are JSON. */
#include "service/document.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_json(struct cz_buffer *text)
{
    struct cz_arena arena = {0};
    struct cz_json *tree;
    if (cz_json_parse(&arena, cz_buffer_slice(text), NULL, &tree, NULL) != CLOZE_OK)
        abort();
    cz_arena_free(&arena);
    cz_buffer_clear(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cloze_error error;
    struct cz_buffer text = {0};
    struct cz_service *service = cz_service_new("fuzz/corpus", &error);
    if (!service)
        return 0;
    if (cz_service_define_yaml(service, cz_slice_of(data, size), "service.yaml", &error) ==
            CLOZE_OK &&
        cz_service_prepare(service, &error) == CLOZE_OK) {
        if (cz_document_schema(service, &text, &error) == CLOZE_OK)
            check_json(&text);
        if (cz_document_openapi(service, size & 1, &text, &error) == CLOZE_OK)
            check_json(&text);
    }
    cz_buffer_free(&text);
    cz_service_free(service);
    return 0;
}
