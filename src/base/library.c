/* library.c - dlopen and dlsym over a table. */
#include "base/library.h"

#include <dlfcn.h>
#include <string.h>

cloze_status cz_library_open(const char *const *names, const char *package,
                             const struct cz_library_symbol *symbols, void *functions,
                             struct cloze_error *error)
{
    void *library = NULL;
    for (const char *const *name = names; !library && *name; name++)
        library = dlopen(*name, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return cz_fail(error, CLOZE_NOT_FOUND, names[0],
                       "can't be opened, but this needs it (install %s): %s", package, dlerror());
    for (; symbols->name; symbols++) {
        void *symbol = dlsym(library, symbols->name);
        if (!symbol)
            return cz_fail(error, CLOZE_UNSUPPORTED, names[0], "is too old: it has no %s",
                           symbols->name);
        memcpy((char *)functions + symbols->offset, &symbol, sizeof symbol);
    }
    return CLOZE_OK;
}
