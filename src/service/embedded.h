/* embedded.h - files that were put into the program when it was built (by src/embed.sh). */
#ifndef CZ_SERVICE_EMBEDDED_H
#define CZ_SERVICE_EMBEDDED_H

struct cz_embedded {
    const char *name;        /* NULL ends a table */
    const char *start, *end; /* a NUL stands at *end */
};

extern const struct cz_embedded cz_embedded_header[]; /* cloze.h, for compiling a service.c */
extern const struct cz_embedded cz_embedded_pages[];  /* the files of the Swagger UI page */

#endif
