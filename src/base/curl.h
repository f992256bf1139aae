/*
 * curl.h - libcurl, opened at first use: a serving process doesn't carry it.
 *
 * The GnuTLS flavour is preferred (one TLS stack beside libmicrohttpd's), any other will do. Calls
 * go through the table: curl->easy_setopt(handle, CURLOPT_URL, url). Options that take a number
 * take a long (1L), as always with libcurl.
 */
#ifndef CZ_BASE_CURL_H
#define CZ_BASE_CURL_H

#include "base/error.h"

#include <curl/curl.h>

/* The functions are called without the type checks that curl.h wraps around some of them. */
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

#define CZ_CURL_FUNCTIONS(X)                                                                       \
    X(easy_init)                                                                                   \
    X(easy_cleanup) X(easy_reset) X(easy_setopt) X(easy_getinfo) X(easy_perform) X(easy_strerror)  \
        X(easy_escape) X(easy_unescape) X(free) X(slist_append) X(slist_free_all) X(url)           \
            X(url_cleanup) X(url_set) X(url_get)

struct cz_curl {
#define X(name) __typeof__(curl_##name) *name;
    CZ_CURL_FUNCTIONS(X)
#undef X
};

/* Opens and initialises the library once; from any thread. *out lives as long as the process. */
cloze_status cz_curl_open(const struct cz_curl **out, struct cloze_error *error);

#endif
