/*
 * tag.h - names of models in the store: "name" or "name:version".
 *
 * Both parts match [a-z0-9]([-._a-z0-9]*[a-z0-9])? and have at most 63 characters, as in BentoML.
 * "latest" as a version stands for the newest one and never for a folder.
 */
#ifndef CZ_STORE_TAG_H
#define CZ_STORE_TAG_H

#include "base/slice.h"

enum { CZ_TAG_PART = 63, CZ_TAG_TEXT = 2 * CZ_TAG_PART + 2, CZ_TAG_VERSION = 16 };

struct cz_tag {
    char name[CZ_TAG_PART + 1];
    char version[CZ_TAG_PART + 1]; /* "": none given */
};

/* Upper case is lowered, with a warning in the log. */
cloze_status cz_tag_parse(const char *text, struct cz_tag *tag, struct cloze_error *error);
bool cz_tag_part_is_valid(struct cz_slice part);
/* "name" or "name:version" */
const char *cz_tag_text(const struct cz_tag *tag, char text[CZ_TAG_TEXT]);
/* A version nobody has: 48 bits of UUID time and 32 random ones in base32, as BentoML makes it. */
void cz_tag_new_version(struct cz_tag *tag);

/*
 * The name for a model that comes from `source`, the way of the guide: a hub's ORG/NAME becomes
 * "org--name"; other characters that a tag can't hold become dashes, and it is cut to 63. A file
 * name loses ".gguf", the shard ("-00001-of-00002") and the quantisation (".Q4_1"). CLOZE_INVALID
 * when nothing is left.
 */
cloze_status cz_tag_name_from(const char *source, struct cz_tag *tag, struct cloze_error *error);
/* How many characters of a GGUF file's name come before quantisation, shard and ending; where the
 * quantisation ("Q4_K_M") stands in it is told in *quant, which is empty when there is none. */
size_t cz_gguf_stem(struct cz_slice file, struct cz_slice *quant);

#endif
