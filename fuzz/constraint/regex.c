/* Any bytes as a pattern, in both flavours; what compiles is stepped through. */
#include "constraint/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct cz_regex_options options = {.flavour = data[0] & 1 ? CZ_REGEX_PYTHON : CZ_REGEX_ECMA,
                                       .search = data[0] >> 1 & 1,
                                       .ignore_case = data[0] >> 2 & 1};
    struct cz_expr_store *store = cz_expr_store_create();
    struct cloze_error error;
    cz_expr expr;
    if (store &&
        cz_regex_parse(store, cz_slice_of(data + 1, size - 1), &options, &expr, &error) == CLOZE_OK)
        cz_expr_matches(store, expr, cz_slice_of(data + 1, size - 1));
    cz_expr_store_free(store);
    return 0;
}
