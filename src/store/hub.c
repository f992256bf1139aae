/* hub.c - models of the Hugging Face Hub. */
#include "store/import.h"

cloze_status cz_import_from_hub(struct cz_import *import, struct cloze_error *error)
{
    return cz_fail(error, CLOZE_UNSUPPORTED, import->options->source,
                   "downloads from the Hub are not in this build yet");
}
