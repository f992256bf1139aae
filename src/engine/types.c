/* types.c - the constraints that the names of types stand for. */
#include "engine/engine.h"

/* A date of the Gregorian calendar, leap years included. */
#define LEAP_YEAR "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
#define DATE                                                                                       \
    "([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|"      \
    "02-(0[1-9]|1[0-9]|2[0-8]))|" LEAP_YEAR "-02-29)"
#define TIME "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"

#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

static const struct {
    const char *name;
    enum cz_grammar_kind kind;
    struct cz_slice source;
} types[] = {
    {"int", CZ_GRAMMAR_JSON_SCHEMA, TEXT("{\"type\":\"integer\"}")},
    {"float", CZ_GRAMMAR_JSON_SCHEMA, TEXT("{\"type\":\"number\"}")},
    {"bool", CZ_GRAMMAR_JSON_SCHEMA, TEXT("{\"type\":\"boolean\"}")},
    {"date", CZ_GRAMMAR_REGEX, TEXT(DATE)},
    {"time", CZ_GRAMMAR_REGEX, TEXT(TIME)},
    {"datetime", CZ_GRAMMAR_REGEX, TEXT("(" DATE ")T" TIME)},
};

cloze_status cz_constraint_of_type(struct cz_slice name, struct cz_constraint *out,
                                   struct cloze_error *error)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (!cz_slice_is(name, types[i].name))
            continue;
        *out = (struct cz_constraint){
            .set = true, .options.kind = types[i].kind, .source = types[i].source};
        return CLOZE_OK;
    }
    return cz_fail(error, CLOZE_INVALID, "type",
                   "'" CZ_SLICE_FORMAT "' is none of int, float, bool, date, time and datetime",
                   CZ_SLICE_ARG(name));
}
