/* metaschema.h - the meta-schemas of the drafts, by their URIs. Text generated from the published
 * documents (JSON Schema Organization, BSD or AFL), without their descriptions. */
#ifndef CZ_CONSTRAINT_METASCHEMA_H
#define CZ_CONSTRAINT_METASCHEMA_H

#include "base/slice.h"

struct cz_metaschema {
    const char *uri; /* without fragment */
    const char *text;
};

const struct cz_metaschema *cz_metaschema_find(struct cz_slice uri);

#endif
