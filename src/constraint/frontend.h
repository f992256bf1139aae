/*
 * frontend.h - the grammar languages: each fills a rule set (rules.h) from its source.
 *
 * error->where is "line L, column C". The grammar compiler calls cz_rules_check afterwards.
 */
#ifndef CZ_CONSTRAINT_FRONTEND_H
#define CZ_CONSTRAINT_FRONTEND_H

#include "constraint/rules.h"

cloze_status cz_gbnf_parse(struct cz_rules *rules, struct cz_slice source,
                           struct cloze_error *error);
cloze_status cz_lark_parse(struct cz_rules *rules, struct cz_slice source,
                           struct cloze_error *error);

/* Finds a special token by its text, for structural constraints that name one. */
typedef bool cz_find_token_function(void *context, struct cz_slice text, uint32_t *token);
cloze_status cz_structural_parse(struct cz_rules *rules, struct cz_slice source,
                                 cz_find_token_function *find_token, void *context,
                                 struct cloze_error *error);

#endif
