/*
 * cloze.h - the public face of libcloze: language models that answer in your schema.
 *
 * Sections, in the order in which they build on each other:
 *   1. status and errors
 *   2. the constraint engine alone (bring your own inference)
 *   3. the embedded engine
 *   4. services: typed endpoints served over HTTP
 *   5. the client
 *
 * Conventions. Every function that can fail returns a cloze_status and, where it takes a
 * `struct cloze_error *`, fills it; the pointer may be NULL. Nothing here prints, exits, aborts or
 * installs a signal handler. Strings are UTF-8; a `const char *` is NUL-terminated unless a size
 * stands beside it. Structs without a definition here are opaque.
 */
#ifndef CLOZE_H
#define CLOZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CLOZE_API __attribute__((visibility("default")))
#else
#define CLOZE_API
#endif

#define CLOZE_VERSION "0.1.0"

/* ---- 1. Status and errors ------------------------------------------------------------------- */

typedef enum cloze_status {
    CLOZE_OK = 0,
    CLOZE_INVALID,       /* an argument or an input is malformed */
    CLOZE_UNSUPPORTED,   /* well formed, but a feature that Cloze refuses by name */
    CLOZE_UNSATISFIABLE, /* a constraint that no answer can meet */
    CLOZE_LIMIT,         /* a documented limit is exceeded: size, depth, budget, fuel */
    CLOZE_NOT_FOUND,     /* a file, tag, route or key that does not exist */
    CLOZE_EXISTS,        /* what was to be created is there already */
    CLOZE_CORRUPT,       /* a file contradicts itself or its recorded digest */
    CLOZE_IO,            /* the operating system refused: open, read, write, rename, map */
    CLOZE_NETWORK,       /* a peer could not be reached or answered wrongly */
    CLOZE_DENIED,        /* authentication or permission */
    CLOZE_BUSY,          /* try again later: queue full, lock held, still loading */
    CLOZE_TIMEOUT,       /* a deadline passed */
    CLOZE_CANCELLED,     /* the caller or its client went away */
    CLOZE_MEMORY,        /* out of memory */
    CLOZE_INTERNAL       /* a defect in Cloze; please report it */
} cloze_status;

/*
 * Why something failed. `message` says what was wrong and what would be right; `where` says where,
 * in the form that fits the input: "file.gguf:1024" (byte offset), "line 3, column 7",
 * "/properties/age" (JSON Pointer), an argument's name. Both are always NUL-terminated, and cut
 * when they would not fit.
 */
struct cloze_error {
    cloze_status code;
    char where[256];
    char message[768];
};

/* The status as one lower-case word ("ok", "invalid", "unsatisfiable", ...). Never NULL. */
CLOZE_API const char *cloze_status_name(cloze_status status);

/* The library's version, equal to CLOZE_VERSION of the header it was built with. */
CLOZE_API const char *cloze_version(void);

/* ---- 2. The constraint engine alone --------------------------------------------------------- */

/*
 * For people who run the model themselves: which tokens may come next, so that the text follows a
 * JSON Schema, a regular expression, a list of choices or a grammar. Three objects:
 *
 *   vocabulary  what ids mean; immutable, shared by any number of threads
 *   grammar     one compiled constraint; immutable from outside, shared by any number of threads
 *   matcher     one sequence on its way through a grammar; one thread at a time
 *
 * A vocabulary is freed last: behind all grammars and matchers that were made with it. A grammar
 * may be freed while its matchers live. Compiling decides everything: what can't be enforced is
 * refused there, by name; after that masks and accepts can't fail. See examples/mask.
 */

struct cloze_vocab;
struct cloze_grammar;
struct cloze_matcher;

/* The tokenizer's own encoding of `text` as a part of an answer: no special tokens added, and not
 * the blank that SentencePiece puts before a whole text. Writes at most `capacity` ids and returns
 * how many there are in all. Called from any thread. */
typedef size_t cloze_encode_function(void *context, const char *text, size_t size, uint32_t *ids,
                                     size_t capacity);

struct cloze_vocab_options {
    uint32_t count;               /* ids are 0 .. count - 1; at most 4,194,304 */
    uint32_t logits_width;        /* masks are this wide; 0: count. At least count. */
    const char *const *tokens;    /* [count] the exact bytes that each token adds to a text */
    const size_t *sizes;          /* [count] 0: a special or unused token, never allowed as text */
    const char *const *names;     /* NULL, or [count] texts by which grammars may name special
                                     tokens ("<|im_end|>"), NULL for the others */
    const uint32_t *end_ids;      /* [end_count] tokens that end an answer */
    size_t end_count;
    cloze_encode_function *encode; /* NULL: nothing is ever forced */
    void *encode_context;          /* lives as long as the vocabulary */
    size_t cache_bytes;            /* budget for tables that fill while masking; 0: 64 MiB */
};

/* Copies all it needs from `options` but the encode function's context. */
CLOZE_API cloze_status cloze_vocab_create(const struct cloze_vocab_options *options,
                                          struct cloze_vocab **out, struct cloze_error *error);
/* From a tokenizer.json or a folder that holds one. `logits_width` as above. */
CLOZE_API cloze_status cloze_vocab_open(const char *path, uint32_t logits_width,
                                        struct cloze_vocab **out, struct cloze_error *error);
CLOZE_API void cloze_vocab_free(struct cloze_vocab *vocab); /* NULL is fine */
CLOZE_API uint32_t cloze_vocab_count(const struct cloze_vocab *vocab);
/* 32-bit words of a mask: (logits_width + 31) / 32. */
CLOZE_API size_t cloze_vocab_mask_words(const struct cloze_vocab *vocab);
/* The tokens of an answer's text, as cloze_encode_function: writes at most `capacity` and returns how many there are; 0 when the
 * vocabulary was made without an encode function. */
CLOZE_API size_t cloze_vocab_encode(const struct cloze_vocab *vocab, const char *text, size_t size,
                                    uint32_t *ids, size_t capacity);

enum cloze_constraint {
    CLOZE_JSON_SCHEMA, /* source: the schema, draft 4 to 2020-12 */
    CLOZE_JSON_OBJECT, /* any JSON object; no source */
    CLOZE_REGEX,       /* source: the expression; it matches the whole text */
    CLOZE_CHOICE,      /* source: a JSON array of strings */
    CLOZE_GBNF,        /* source: a grammar as llama.cpp writes them */
    CLOZE_LARK,        /* source: a grammar in Lark's EBNF */
    CLOZE_STRUCTURAL   /* source: a JSON object, free text with constrained parts; docs/grammars.md */
};

enum cloze_policy {
    CLOZE_GENERATE, /* declared key order, closed objects, one spelling of everything */
    CLOZE_ACCEPT    /* all that the JSON Schema standard allows */
};

enum cloze_whitespace {
    CLOZE_WHITESPACE_DEFAULT,  /* spaced to generate, flexible to accept */
    CLOZE_WHITESPACE_SPACED,   /* {"a": 1, "b": [2, 3]} */
    CLOZE_WHITESPACE_COMPACT,  /* {"a":1,"b":[2,3]} */
    CLOZE_WHITESPACE_PRETTY,   /* indented by two blanks */
    CLOZE_WHITESPACE_FLEXIBLE, /* any of these, runs bounded */
    CLOZE_WHITESPACE_ANY
};

/* A document that a remote $ref may name; both texts are read while compiling only. */
struct cloze_resource {
    const char *uri;
    const char *text;
    size_t size;
};

struct cloze_grammar_options {
    enum cloze_constraint kind;
    enum cloze_policy policy;
    enum cloze_whitespace whitespace;
    bool open_objects;     /* generation: objects that say nothing of other keys stay open */
    bool annotate_formats; /* "format" is an annotation */
    bool lenient;          /* report what can't be enforced, in place of refusing */
    const struct cloze_resource *resources;
    size_t resource_count;
};

/* Compiles; equal source and options give the same grammar again, from a cache. error->where is a
 * JSON Pointer into the schema or a line and column. CLOZE_UNSUPPORTED: a keyword or syntax that is
 * refused by name; CLOZE_UNSATISFIABLE: nothing fits; CLOZE_LIMIT: a documented limit. Any thread. */
CLOZE_API cloze_status cloze_grammar_compile(struct cloze_vocab *vocab, const char *source,
                                             size_t size,
                                             const struct cloze_grammar_options *options,
                                             struct cloze_grammar **out,
                                             struct cloze_error *error);
CLOZE_API void cloze_grammar_free(struct cloze_grammar *grammar); /* NULL is fine */
/* A JSON object: draft, what is enforced, annotations, where objects are closed. It lives as long
 * as the grammar and ends with a NUL. */
CLOZE_API const char *cloze_grammar_report(const struct cloze_grammar *grammar);

/* The tokens allowed next. Exactly one of ids (sparse, ascending) and words (dense, bit i % 32 of
 * word i / 32) is set; `count` is how many are allowed. Valid until the next call on the matcher. */
struct cloze_mask {
    const uint32_t *ids;
    const uint32_t *words;
    uint32_t count;
};

CLOZE_API cloze_status cloze_matcher_create(struct cloze_grammar *grammar,
                                            struct cloze_matcher **out, struct cloze_error *error);
/* A second matcher in the same state; the two go on independently, also in different threads. */
CLOZE_API cloze_status cloze_matcher_fork(const struct cloze_matcher *matcher,
                                          struct cloze_matcher **out, struct cloze_error *error);
CLOZE_API void cloze_matcher_reset(struct cloze_matcher *matcher); /* to the beginning */
CLOZE_API void cloze_matcher_free(struct cloze_matcher *matcher);  /* NULL is fine */

CLOZE_API struct cloze_mask cloze_matcher_mask(struct cloze_matcher *matcher);
/* The same as bits: `words` has cloze_vocab_mask_words() of them, all of which are written. */
CLOZE_API void cloze_matcher_fill(struct cloze_matcher *matcher, uint32_t *words,
                                  size_t word_count);
/* Takes the token; false, with nothing changed, when it is not allowed. Needs no mask before it. */
CLOZE_API bool cloze_matcher_accept(struct cloze_matcher *matcher, uint32_t token);
/* How many of the tokens would be accepted one after the other; nothing changes. */
CLOZE_API size_t cloze_matcher_validate(struct cloze_matcher *matcher, const uint32_t *tokens,
                                        size_t count);
/* Takes back the last `count` tokens (at most all). */
CLOZE_API void cloze_matcher_rollback(struct cloze_matcher *matcher, size_t count);
/* The tokens that must come next, spelled as the tokenizer would; 0 when there is a choice. */
CLOZE_API size_t cloze_matcher_forced(struct cloze_matcher *matcher, uint32_t *tokens,
                                      size_t capacity);
CLOZE_API bool cloze_matcher_is_accepting(struct cloze_matcher *matcher); /* a whole answer so far */
CLOZE_API bool cloze_matcher_is_finished(const struct cloze_matcher *matcher); /* an end was taken */
/* An upper bound of the tokens still needed for a whole answer, the end token included. */
CLOZE_API uint32_t cloze_matcher_distance(struct cloze_matcher *matcher);
/* From now on only tokens are allowed after which the answer can be completed within what is left
 * of `tokens`. CLOZE_LIMIT when that is less than the distance. */
CLOZE_API cloze_status cloze_matcher_set_budget(struct cloze_matcher *matcher, uint32_t tokens,
                                                struct cloze_error *error);
/* The bytes taken so far, *size of them; valid until the next call on the matcher. */
CLOZE_API const char *cloze_matcher_text(const struct cloze_matcher *matcher, size_t *size);

/* Threads that fill masks of many sequences at once. One call at a time on a batch. */
struct cloze_batch;
/* `threads` 0: as many as the machine (its affinity mask and cgroup) allows. */
CLOZE_API cloze_status cloze_batch_create(uint32_t threads, struct cloze_batch **out,
                                          struct cloze_error *error);
CLOZE_API void cloze_batch_free(struct cloze_batch *batch); /* NULL is fine */
/* Row i of `words` becomes the mask of matchers[i]; a row has `row_words` words, as many as
 * cloze_vocab_mask_words() tells. A NULL matcher's row is set to all ones. The matchers are
 * different ones and used by nobody else meanwhile. */
CLOZE_API void cloze_batch_fill(struct cloze_batch *batch, struct cloze_matcher *const *matchers,
                                uint32_t count, uint32_t *words, size_t row_words);

/* ---- 3. The embedded engine ----------------------------------------------------------------- */

/*
 * A language model inside your program:
 *
 *     struct cloze_engine *engine;
 *     struct cloze_answer *answer;
 *     struct cloze_request request = {.prompt = "Give me a character description.",
 *                                     .json_schema = schema};
 *     if (cloze_engine_open("model.gguf", NULL, &engine, &error) ||
 *         cloze_engine_ask(engine, &request, &answer, &error))
 *         ...
 *     while ((text = cloze_answer_next(answer)))
 *         fputs(text, stdout);
 *
 * An engine runs any number of requests together, from any threads. An answer with a constraint
 * always fits it and is always complete, also when max_tokens closed it.
 */
struct cloze_engine;
struct cloze_answer; /* one thread at a time, but for cloze_answer_cancel */

struct cloze_engine_options {
    const char *cache_folder; /* where packed weights are kept; NULL: $XDG_CACHE_HOME/cloze, else
                                 ~/.cache/cloze */
    unsigned threads;         /* 0: as many as affinity and cgroup allow */
    unsigned kv_tokens;       /* budget of the KV cache, of all requests together; 0: 8,192 */
    unsigned max_requests;    /* running together; 0: 64. More wait, at most 4,096 */
};

/* `model`: a GGUF file, the first of its parts, or a Hugging Face folder. The first opening packs
 * the weights into the cache. `options` may be NULL. The caller closes the engine, answers first.
 */
CLOZE_API cloze_status cloze_engine_open(const char *model,
                                         const struct cloze_engine_options *options,
                                         struct cloze_engine **out, struct cloze_error *error);
CLOZE_API void cloze_engine_close(struct cloze_engine *engine); /* NULL is fine */

/* One request. A zeroed member is its default; a prompt is all that is needed. At most one of the
 * constraints is set; none: free text. */
struct cloze_request {
    const char *prompt; /* the user's message, through the model's chat template */
    const char *system; /* a system message; NULL: none */
    bool raw;           /* the prompt is the model's input as it is */

    const char *json_schema; /* JSON text of a schema */
    bool json_object;        /* any JSON object */
    const char *regex;       /* the whole answer matches */
    const char *choices;     /* a JSON array of strings, one of which is the answer */
    const char *type;        /* "int", "float", "bool", "date", "time", "datetime" */

    bool own_sampling;  /* use the members below, not what the model's files recommend */
    double temperature; /* 0: greedy */
    double top_p, min_p;
    unsigned top_k;
    double repetition_penalty;

    bool has_seed; /* the same seed gives the same answer */
    uint64_t seed;
    unsigned max_tokens;      /* 0: 1,024, or what the context has left */
    unsigned timeout_ms;      /* 0: none */
    const char *const *stops; /* strings that end free text, NULL-terminated; NULL: none */
};

/* Prepares and queues the request; everything is copied. A constraint's error has its place (a JSON
 * Pointer, a line) in error->where. The caller closes the answer. */
CLOZE_API cloze_status cloze_engine_ask(struct cloze_engine *engine,
                                        const struct cloze_request *request,
                                        struct cloze_answer **out, struct cloze_error *error);
/* Waits for the next piece of text, whole UTF-8 characters, valid until the next call; NULL at the
 * end. */
CLOZE_API const char *cloze_answer_next(struct cloze_answer *answer);
/* Waits for the end; all of the text, valid until the answer is closed; NULL when it failed. */
CLOZE_API const char *cloze_answer_text(struct cloze_answer *answer);
/* After the end: CLOZE_OK, CLOZE_TIMEOUT, CLOZE_CANCELLED, or what went wrong. */
CLOZE_API cloze_status cloze_answer_status(const struct cloze_answer *answer,
                                           struct cloze_error *error);
/* After the end: "stop", "length" (max_tokens closed it) or "error". */
CLOZE_API const char *cloze_answer_finish_reason(const struct cloze_answer *answer);
CLOZE_API void cloze_answer_usage(const struct cloze_answer *answer, unsigned *prompt_tokens,
                                  unsigned *answer_tokens);
CLOZE_API void cloze_answer_cancel(struct cloze_answer *answer); /* from any thread */
CLOZE_API void cloze_answer_close(struct cloze_answer *answer);  /* NULL is fine */

/* ---- 4. Services ---------------------------------------------------------------------------- */

/*
 * A service is a table: endpoints with typed arguments and a handler each. Validation, the
 * documents (/schema.json, /docs.json), the Swagger UI and the clients' signatures are derived from
 * it. A folder with a service.c like this one is served by `cloze serve FOLDER`:
 *
 *     #include <cloze.h>
 *
 *     static cloze_status generate(struct cloze_call *call)
 *     {
 *         return cloze_generate_json(call, cloze_arg_string(call, "prompt"),
 *                                    cloze_arg_string(call, "json_schema"));
 *     }
 *
 *     CLOZE_SERVICE(Outlines, .timeout_s = 300)
 *     CLOZE_ENDPOINT(Outlines, generate, CLOZE_OBJECT,
 *                    CLOZE_STRING("prompt", .fallback = "Give me a character description."),
 *                    CLOZE_STRING("json_schema", .optional = true,
 *                                 .fallback_file = "character.schema.json"),
 *                    CLOZE_SAMPLING)
 */

enum cloze_type {
    CLOZE_STRING = 1,
    CLOZE_INT,    /* 64 bits */
    CLOZE_NUMBER, /* a double */
    CLOZE_BOOL,
    CLOZE_OBJECT, /* any JSON object */
    CLOZE_ARRAY,  /* any JSON array */
    CLOZE_JSON    /* any JSON value */
};

/* Bounds of a number, both included. */
struct cloze_range {
    bool has_minimum, has_maximum;
    double minimum, maximum;
};

/* One argument of an endpoint. All text is borrowed and lives as long as the service. */
struct cloze_parameter {
    const char *name; /* [A-Za-z_][A-Za-z0-9_]* */
    enum cloze_type type;
    const char *description;   /* NULL: none */
    bool optional;             /* null is allowed, and is the value when nothing else is given */
    const char *fallback;      /* the value when absent: text of a string, else JSON; NULL: none */
    const char *fallback_file; /* the fallback's file, relative to the service's folder */
    struct cloze_range range;  /* CLOZE_INT and CLOZE_NUMBER */
    const char *const *choices; /* CLOZE_STRING: the allowed texts, NULL-terminated; NULL: any */
    bool json_text; /* CLOZE_STRING: a JSON value is accepted too and becomes its text */
};

struct cloze_call; /* one request; lives until its handler returns, used by that thread only */

/*
 * Answers one request. It may block; each call runs on a thread of a bounded pool, several at a
 * time. It sets one result and returns CLOZE_OK, or returns another status, whose message and
 * HTTP code come from cloze_call_fail or from the Cloze function that failed.
 */
typedef cloze_status cloze_handler(struct cloze_call *call);

struct cloze_endpoint {
    const char *name;        /* [A-Za-z_][A-Za-z0-9_]* */
    const char *route;       /* NULL: "/" + name */
    const char *description; /* NULL: none */
    enum cloze_type output;
    cloze_handler *handler;
    const struct cloze_parameter *parameters; /* [parameter_count] */
    size_t parameter_count;
    const void *context; /* the handler's own: cloze_call_context */
    struct cloze_endpoint *next;
};

struct cloze_service {
    unsigned abi; /* CLOZE_SERVICE_ABI */
    const char *name;
    const char *description;  /* NULL: none */
    const char *model;        /* a tag of the model store; NULL: the default model */
    unsigned timeout_s;       /* until the first byte of an answer; 0: 60 */
    unsigned max_concurrency; /* requests in work at once; 0: 64 */
    unsigned max_queue;       /* requests that may wait beyond those; 0: 1,024 */
    double gpu;               /* declared for other platforms; Cloze computes on the CPU, says so */
    const char *gpu_type;
    struct cloze_endpoint *endpoints; /* in the order of definition */
};

#define CLOZE_SERVICE_ABI 1u

/* Defines the service of a service.c; once, before its endpoints. */
#define CLOZE_SERVICE(service_name, ...)                                                           \
    static struct cloze_service cloze_service_##service_name = {                                   \
        .abi = CLOZE_SERVICE_ABI, .name = #service_name, __VA_ARGS__};                             \
    extern CLOZE_API struct cloze_service *const cloze_exported_service;                           \
    CLOZE_API struct cloze_service *const cloze_exported_service = &cloze_service_##service_name;

/* Adds the endpoint `function` with an enum cloze_type as output, then its parameters. */
#define CLOZE_ENDPOINT(service_name, function, output_type, ...)                                   \
    static const struct cloze_parameter cloze_parameters_##function[] = {{0}, __VA_ARGS__};        \
    static struct cloze_endpoint cloze_endpoint_##function = {                                     \
        .name = #function,                                                                         \
        .output = (output_type),                                                                   \
        .handler = (function),                                                                     \
        .parameters = cloze_parameters_##function + 1,                                             \
        .parameter_count =                                                                         \
            sizeof cloze_parameters_##function / sizeof cloze_parameters_##function[0] - 1};       \
    __attribute__((constructor)) static void cloze_add_##function(void)                            \
    {                                                                                              \
        struct cloze_endpoint **end = &cloze_service_##service_name.endpoints;                     \
        while (*end)                                                                               \
            end = &(*end)->next;                                                                   \
        *end = &cloze_endpoint_##function;                                                         \
    }

/* Parameters: the name, then designated members of struct cloze_parameter. */
#define CLOZE_PARAMETER_(kind, ...) {.type = kind, .name = __VA_ARGS__}
#define CLOZE_STRING(...) CLOZE_PARAMETER_(CLOZE_STRING, __VA_ARGS__)
#define CLOZE_INT(...) CLOZE_PARAMETER_(CLOZE_INT, __VA_ARGS__)
#define CLOZE_NUMBER(...) CLOZE_PARAMETER_(CLOZE_NUMBER, __VA_ARGS__)
#define CLOZE_BOOL(...) CLOZE_PARAMETER_(CLOZE_BOOL, __VA_ARGS__)
#define CLOZE_OBJECT(...) CLOZE_PARAMETER_(CLOZE_OBJECT, __VA_ARGS__)
#define CLOZE_ARRAY(...) CLOZE_PARAMETER_(CLOZE_ARRAY, __VA_ARGS__)
#define CLOZE_JSON(...) CLOZE_PARAMETER_(CLOZE_JSON, __VA_ARGS__)

#define CLOZE_RANGE(low, high) {true, true, (low), (high)}
#define CLOZE_AT_LEAST(low) {true, false, (low), 0}
#define CLOZE_CHOICES(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The parameters that every generation takes; cloze_generate reads them from the call. */
#define CLOZE_SAMPLING                                                                             \
    CLOZE_NUMBER("temperature", .optional = true, .range = CLOZE_RANGE(0, 100),                    \
                 .description = "Randomness: 0 is greedy. Default: the model's own setting."),     \
    CLOZE_NUMBER("top_p", .optional = true, .range = CLOZE_RANGE(0, 1),                            \
                 .description = "Sample from the likeliest tokens of this total probability."),    \
    CLOZE_INT("seed", .optional = true,                                                            \
              .description = "The same seed gives the same answer."),                              \
    CLOZE_INT("max_tokens", .optional = true, .range = CLOZE_AT_LEAST(1),                          \
              .description = "Upper bound of the answer's tokens. Default: 1,024, or what the "    \
                             "context has left.")

/*
 * Arguments of a call: valid by their type, range and choices, fallbacks filled in. A null argument
 * reads as NULL, 0 or false. Text lives as long as the call. A name that the endpoint does not
 * declare, or another type, is a defect of the handler: the call then fails with CLOZE_INTERNAL,
 * whatever the handler returns.
 */
CLOZE_API const char *cloze_arg_string(struct cloze_call *call, const char *name);
CLOZE_API int64_t cloze_arg_int(struct cloze_call *call, const char *name);
CLOZE_API double cloze_arg_number(struct cloze_call *call, const char *name); /* also of an int */
CLOZE_API bool cloze_arg_bool(struct cloze_call *call, const char *name);
/* Any argument as JSON text. */
CLOZE_API const char *cloze_arg_json(struct cloze_call *call, const char *name);
CLOZE_API bool cloze_arg_is_null(struct cloze_call *call, const char *name);

/* The endpoint's `context`. */
CLOZE_API const void *cloze_call_context(const struct cloze_call *call);
/* Whether the client left or the deadline passed: a long handler should return then. */
CLOZE_API bool cloze_call_is_cancelled(const struct cloze_call *call);

/* Results; the text is copied and the last one counts. CLOZE_INTERNAL when the value does not have
 * the endpoint's output type. */
CLOZE_API cloze_status cloze_return_string(struct cloze_call *call, const char *text);
CLOZE_API cloze_status cloze_return_int(struct cloze_call *call, int64_t value);
CLOZE_API cloze_status cloze_return_number(struct cloze_call *call, double value);
CLOZE_API cloze_status cloze_return_bool(struct cloze_call *call, bool value);
CLOZE_API cloze_status cloze_return_json(struct cloze_call *call, const char *json);

/* Refuses the call: `http_status` 400..599 and a message for the client (5xx: for the log only).
 * Returns a status for the handler to return. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
CLOZE_API cloze_status
cloze_call_fail(struct cloze_call *call, int http_status, const char *format, ...);

/* What to generate. At most one of the constraints is set; none: free text. */
struct cloze_generation {
    const char *prompt;      /* the user's message, through the model's chat template */
    bool raw;                /* the prompt is the model's input as it is */
    const char *system;      /* a system message; NULL: none */
    const char *json_schema; /* JSON text of a schema */
    bool json_object;        /* any JSON object */
    const char *regex;       /* the whole answer matches */
    const char *choices;     /* a JSON array of strings, one of which is the answer */
    const char *type;        /* "int", "float", "bool", "date", ... */
};

/* Generates an answer and makes it the call's result. Temperature, top_p, seed and max_tokens are
 * the call's arguments of those names, where the endpoint declares them. */
CLOZE_API cloze_status cloze_generate(struct cloze_call *call,
                                      const struct cloze_generation *generation);
/* The same by a schema; NULL: any JSON object. */
CLOZE_API cloze_status cloze_generate_json(struct cloze_call *call, const char *prompt,
                                           const char *json_schema);
/* Free text as the call's result. */
CLOZE_API cloze_status cloze_generate_text(struct cloze_call *call, const char *prompt);
/* Generates without setting the result: *text is owned by the call and lives as long. */
CLOZE_API cloze_status cloze_generate_into(struct cloze_call *call,
                                           const struct cloze_generation *generation,
                                           const char **text);

/* ---- 5. The client -------------------------------------------------------------------------- */

/* A Cloze or BentoML service at a URL. One thread at a time. */
struct cloze_client;

struct cloze_client_options {
    const char *api_key; /* sent as "Authorization: Bearer"; NULL: none */
    unsigned timeout_s;  /* of one call; 0: 600 */
};

/* Reads the service's /schema.json. `url` is "http://host:port", with a path where the service has
 * one; `options` may be NULL. The caller closes the client. */
CLOZE_API cloze_status cloze_client_open(const char *url, const struct cloze_client_options *options,
                                         struct cloze_client **out, struct cloze_error *error);
CLOZE_API void cloze_client_close(struct cloze_client *client);
/* The service's /schema.json; lives as long as the client. */
CLOZE_API const char *cloze_client_schema(const struct cloze_client *client);

/* Calls an endpoint with a JSON object of arguments (NULL: none). *answer is the body, owned by the
 * client, valid until its next call; also set, when the service refused, to the refusal's body.
 * *http_status may be NULL. */
CLOZE_API cloze_status cloze_client_call(struct cloze_client *client, const char *endpoint,
                                         const char *arguments, const char **answer,
                                         int *http_status, struct cloze_error *error);

#ifdef __cplusplus
}
#endif

#endif
