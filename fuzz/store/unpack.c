/* unpack.c - fuzz target: archives. Nothing may appear outside the folder, and no link in it. */
#include "base/file.h"
#include "store/archive.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int refuse_links(const char *path, const struct stat *info, int kind, struct FTW *position)
{
    (void)path, (void)info, (void)position;
    if (kind == FTW_SL || kind == FTW_SLN)
        abort();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char folder[] = "/dev/shm/cloze-fuzz-XXXXXX", inner[64], path[64], marker[64];
    int descriptor = memfd_create("archive", 0);
    if (descriptor < 0 || write(descriptor, data, size) != (ssize_t)size || !mkdtemp(folder))
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    snprintf(inner, sizeof inner, "%s/inner", folder);
    snprintf(marker, sizeof marker, "%s/evil", folder);
    struct cloze_error error;
    if (cz_file_make_folders(inner, &error) != CLOZE_OK)
        abort();
    cz_archive_unpack(path, inner, NULL, NULL, &error);
    nftw(inner, refuse_links, 8, FTW_PHYS);
    if (cz_file_exists(marker))
        abort();
    cz_file_remove_tree(folder, NULL);
    close(descriptor);
    return 0;
}
