/*
 * hub_http.h - talking to the Hugging Face Hub: requests with the user's token, and downloads that
 * are resumed and checked.
 *
 * The token goes only to the endpoint's own origin (scheme, host, port), never to where a redirect
 * points. Redirects lead from https to https only.
 */
#ifndef CZ_STORE_HUB_HTTP_H
#define CZ_STORE_HUB_HTTP_H

#include "base/curl.h"
#include "base/slice.h"
#include "store/import.h"

enum {
    CZ_HUB_REDIRECTS = 10,
    CZ_HUB_ATTEMPTS = 5, /* in a row without a byte of progress */
    CZ_HUB_CONNECT_S = 30,
    CZ_HUB_STALL_S = 60 /* without a byte: the connection counts as broken */
};

struct cz_hub {
    const struct cz_curl *curl;
    CURL *handle;
    char *endpoint; /* without a slash at its end; owned */
    char *token;    /* owned; NULL: none */
    const char *id; /* "org/name", for messages */
};

/* Endpoint and token from the environment: HF_ENDPOINT; HF_TOKEN, else the file HF_TOKEN_PATH, else
 * HF_HOME/token. */
cloze_status cz_hub_open(struct cz_hub *hub, const char *id, struct cloze_error *error);
void cz_hub_close(struct cz_hub *hub);

/* The folder of Hugging Face's own files: HF_HOME, else ~/.cache/huggingface. */
void cz_hub_home(struct cz_buffer *out);

/* GET <endpoint><path> into the buffer, within its maximum. */
cloze_status cz_hub_get(struct cz_hub *hub, const char *path, struct cz_buffer *body,
                        struct cloze_error *error);

/* Downloads <endpoint><path>, `size` bytes, to the open file from where it ends on; broken
 * connections are taken up again. The file has exactly `size` bytes afterwards. */
cloze_status cz_hub_download(struct cz_hub *hub, const char *path, int descriptor, uint64_t size,
                             cz_import_progress *progress, void *context, const char *what,
                             struct cloze_error *error);

#endif
