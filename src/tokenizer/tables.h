/*
 * tables.h - what a tokenizer is made of, as plain tables: the model room fills them from
 * tokenizer.json, tokenizer.model or GGUF, the tokenizer room runs on them. All memory belongs to
 * whoever filled the tables and must outlive the tokenizer.
 */
#ifndef CZ_TOKENIZER_TABLES_H
#define CZ_TOKENIZER_TABLES_H

#include "base/slice.h"

struct cz_tokenizer_tables;

#endif
