/* The service of the guide in C. Serve it with `cloze serve examples/character-c`. */
#include <cloze.h>

static cloze_status generate(struct cloze_call *call)
{
    return cloze_generate_json(call, cloze_arg_string(call, "prompt"),
                               cloze_arg_string(call, "json_schema"));
}

CLOZE_SERVICE(Outlines, .description = "Characters for a game, by a JSON Schema.",
              .timeout_s = 300, .gpu = 1, .gpu_type = "nvidia-l4")
CLOZE_ENDPOINT(Outlines, generate, CLOZE_OBJECT,
               CLOZE_STRING("prompt", .fallback = "Give me a character description.",
                            .description = "What to ask the model for."),
               CLOZE_STRING("json_schema", .optional = true, .json_text = true,
                            .fallback_file = "character.schema.json",
                            .description = "A JSON Schema that the answer follows."),
               CLOZE_SAMPLING)
