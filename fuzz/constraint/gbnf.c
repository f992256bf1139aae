/* Any bytes as a GBNF grammar, and tokens, rollbacks and forks behind it. */
#include "bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_grammar(CZ_GRAMMAR_GBNF, data, size);
}
