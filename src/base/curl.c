/* curl.c - finding libcurl. */
#include "base/curl.h"

#include "base/library.h"

#include <pthread.h>

static cloze_status open_library(struct cz_curl *curl, struct cloze_error *error)
{
    static const char *const names[] = {"libcurl-gnutls.so.4", "libcurl.so.4", NULL};
    static const struct cz_library_symbol symbols[] = {
#define X(name) {"curl_" #name, offsetof(struct cz_curl, name)},
        CZ_CURL_FUNCTIONS(X){NULL, 0}
#undef X
    };
    struct {
        __typeof__(curl_global_init) *global_init;
    } setup;
    static const struct cz_library_symbol setup_symbols[] = {{"curl_global_init", 0}, {NULL, 0}};
    cloze_status status = cz_library_open(names, "libcurl3-gnutls", setup_symbols, &setup, error);
    if (!status)
        status = cz_library_open(names, "libcurl3-gnutls", symbols, curl, error);
    if (!status && setup.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        status = cz_fail(error, CLOZE_INTERNAL, "libcurl", "could not be initialised");
    return status;
}

cloze_status cz_curl_open(const struct cz_curl **out, struct cloze_error *error)
{
    static struct cz_curl curl;
    static bool is_open;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    cloze_status status = is_open ? CLOZE_OK : open_library(&curl, error);
    is_open = !status;
    pthread_mutex_unlock(&lock);
    *out = &curl;
    return status;
}
