/* client.h - what `cloze call` needs of a client beyond cloze.h. */
#ifndef CZ_CLIENT_CLIENT_H
#define CZ_CLIENT_CLIENT_H

#include "json/json.h"

/* The entry of /schema.json for an endpoint, or NULL; lives as long as the client. */
const struct cz_json *cz_client_endpoint(const struct cloze_client *client, const char *name);

#endif
