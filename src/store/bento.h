/* bento.h - BentoML's own bundles in the same home, as far as the store must know of them. */
#ifndef CZ_STORE_BENTO_H
#define CZ_STORE_BENTO_H

#include "store/store.h"

/* Appends "name:version, …" of the bentos below <home>/bentos whose bento.yaml lists the model.
 * Bentos that can't be read are passed over. */
void cz_bentos_using(const struct cz_store *store, const struct cz_tag *tag, struct cz_buffer *out);

#endif
