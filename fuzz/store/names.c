/* names.c - fuzz target: tags, names made from sources, members of archives, hub addresses and
 * lists of digests, all from one text. What is accepted must be safe to use as a path. */
#include "base/file.h"
#include "store/archive.h"
#include "store/checksum.h"
#include "store/hub_repository.h"
#include "store/tag.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cz_tag tag;
    struct cloze_error error;
    struct cz_hub_address address;
    struct cz_slice name;
    struct cz_checksums list;
    struct cz_buffer copy = {0};
    cz_buffer_append(&copy, data, size);
    const char *text = cz_buffer_text(&copy);
    if (cz_tag_parse(text, &tag, &error) == CLOZE_OK)
        require(cz_tag_part_is_valid(cz_slice(tag.name)) && !strstr(tag.name, "/"));
    if (cz_tag_name_from(text, &tag, &error) == CLOZE_OK)
        require(cz_tag_part_is_valid(cz_slice(tag.name)));
    require(cz_gguf_stem(cz_slice(text), &name) <= strlen(text));
    if (cz_archive_name_is_safe(text, &name))
        require(name.size == 0 || cz_path_is_safe(name));
    if (cz_hub_address_parse(text, &address, &error) == CLOZE_OK)
        require(cz_path_is_safe(cz_slice(address.id)));
    if (cz_checksums_parse(&copy, &list, &error) == CLOZE_OK) {
        for (size_t i = 0; i < list.count; i++)
            require(cz_path_is_safe(list.items[i].name));
        cz_checksums_free(&list);
    }
    cz_buffer_free(&copy);
    return 0;
}
