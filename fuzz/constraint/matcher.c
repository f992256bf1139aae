/* One of some fixed schemas, driven by random tokens, rollbacks and forks. */
#include "bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const schemas[] = {
    "{}",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"ab\":{\"$ref\":\"#\"}},"
    "\"required\":[\"a\"],\"minProperties\":2}",
    "{\"type\":\"array\",\"uniqueItems\":true,\"items\":{\"enum\":[1,1.0,\"a\",[],{}]}}",
    "{\"oneOf\":[{\"multipleOf\":3},{\"multipleOf\":5}],\"type\":\"integer\"}",
    "{\"patternProperties\":{\"^a\":{\"type\":\"string\",\"maxLength\":3}},"
    "\"additionalProperties\":{\"type\":\"null\"}}",
    "{\"type\":\"array\",\"contains\":{\"const\":3},\"maxContains\":1,\"prefixItems\":[true,false]}",
    "{\"if\":{\"required\":[\"a\"]},\"then\":{\"required\":[\"b\"]},\"unevaluatedProperties\":false}",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { COUNT = sizeof schemas / sizeof *schemas };
    static struct cz_grammar *grammars[COUNT][2];
    if (size < 1)
        return 0;
    unsigned index = data[0] % COUNT, policy = data[0] >> 7;
    struct cz_grammar_options options = {.kind = CZ_GRAMMAR_JSON_SCHEMA,
                                         .policy = (enum cz_policy)policy};
    struct cz_grammar **grammar = &grammars[index][policy];
    if (!*grammar && cz_grammar_compile(fuzz_vocab(), cz_slice(schemas[index]), &options, grammar,
                                        NULL))
        abort();
    fuzz_walk(*grammar, data + 1, size - 1);
    return 0;
}
