/* grammar_internal.h - what matchers need of a grammar. */
#ifndef CZ_CONSTRAINT_GRAMMAR_INTERNAL_H
#define CZ_CONSTRAINT_GRAMMAR_INTERNAL_H

#include "constraint/grammar.h"
#include "constraint/machine.h"

/* schema_report.c */
cloze_status cz_schema_check_all(struct cz_machine *machine, cz_value root,
                                 struct cloze_error *error);
void cz_schema_report(struct cz_machine *machine, uint64_t compile_ns, struct cz_buffer *out);

/* Memory of the vocabulary's grammars, as of when each was last released. */
size_t cz_grammar_cache_bytes(struct cz_vocab *vocab);
struct cz_machine *cz_grammar_machine(struct cz_grammar *grammar);

#endif
