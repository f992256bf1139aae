/*
 * complete.c - shell completion. The program itself knows the candidates; the scripts for bash, zsh
 * and fish only ask it ("cloze complete -- WORDS") and show the answer, so that they never go
 * stale.
 */
#include "cli/verb.h"

#include "store/store.h"

struct completion {
    const struct cz_verb *verb;
    const struct cz_flag *pending; /* the flag whose value comes next */
    size_t positional;
    bool only_positional;
};

static void follow_word(struct completion *completion, const char *word)
{
    if (completion->pending) {
        completion->pending = NULL;
        return;
    }
    if (completion->only_positional || word[0] != '-' || !word[1]) {
        const struct cz_verb *verb =
            completion->only_positional ? NULL : cz_verb_find(completion->verb, word);
        if (verb)
            completion->verb = verb;
        else
            completion->positional++;
        return;
    }
    if (strcmp(word, "--") == 0) {
        completion->only_positional = true;
        return;
    }
    if (strchr(word, '='))
        return;
    const struct cz_flag *flag = word[1] == '-' ? cz_flag_find(completion->verb, cz_slice(word + 2))
                                                : cz_flag_letter(completion->verb, word[1]);
    if (flag && flag->kind != CZ_VALUE_NONE && (word[1] == '-' || !word[2]))
        completion->pending = flag;
}

static void offer(const char *candidate, const char *help, const char *begun, struct cz_buffer *out)
{
    if (strncmp(candidate, begun, strlen(begun)) == 0)
        cz_buffer_printf(out, "%s\t%s\n", candidate, help);
}

static void offer_choices(const char *choices, const char *begun, struct cz_buffer *out)
{
    while (choices) {
        const char *end = strchrnul(choices, '|');
        struct cz_buffer word = {0};
        cz_buffer_append(&word, choices, (size_t)(end - choices));
        offer(cz_buffer_text(&word), "", begun, out);
        cz_buffer_free(&word);
        choices = *end ? end + 1 : NULL;
    }
}

static bool is_listed(const struct cz_store_list *list, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (strcmp(list->entries[i].tag.name, list->entries[index].tag.name) == 0)
            return true;
    }
    return false;
}

/* Names of the store's models; behind a colon whole tags. */
static void offer_models(const char *begun, struct cz_buffer *out)
{
    struct cz_store store;
    struct cz_store_list list = {0};
    bool whole = strchr(begun, ':') != NULL;
    if (cz_store_open(NULL, &store, NULL) != CLOZE_OK)
        return;
    cz_store_list(&store, NULL, &list, NULL);
    for (size_t i = 0; i < list.count; i++) {
        char tag[CZ_TAG_TEXT];
        const struct cz_tag *known = &list.entries[i].tag;
        if (whole || !is_listed(&list, i))
            offer(whole ? cz_tag_text(known, tag) : known->name, "", begun, out);
    }
    cz_store_list_free(&list);
    cz_store_close(&store);
}

static void offer_value(enum cz_value_kind kind, const char *choices, const char *begun,
                        struct cz_buffer *out)
{
    switch (kind) {
    case CZ_VALUE_FILE:
        cz_buffer_append_text(out, ":files\n");
        break;
    case CZ_VALUE_FOLDER:
        cz_buffer_append_text(out, ":folders\n");
        break;
    case CZ_VALUE_CHOICE:
        offer_choices(choices, begun, out);
        break;
    case CZ_VALUE_MODEL:
        offer_models(begun, out);
        break;
    default:
        break;
    }
}

static void offer_flags(const struct cz_flag *flags, const char *begun, struct cz_buffer *out)
{
    CZ_EACH(flag, flags)
    {
        struct cz_buffer word = {0};
        cz_buffer_printf(&word, "--%s", flag->name);
        offer(cz_buffer_text(&word), flag->help, begun, out);
        cz_buffer_free(&word);
    }
}

static void offer_parameter(const struct completion *completion, const char *begun,
                            struct cz_buffer *out)
{
    size_t index = 0;
    CZ_EACH(parameter, completion->verb->parameters)
    {
        if (index++ == completion->positional || parameter->repeated) {
            offer_value(parameter->kind, parameter->value, begun, out);
            return;
        }
    }
}

void cz_complete_write(const char *const *words, size_t count, struct cz_buffer *out)
{
    struct completion completion = {.verb = &cz_program};
    for (size_t i = 0; i + 1 < count; i++)
        follow_word(&completion, words[i]);
    const char *begun = count ? words[count - 1] : "";
    if (completion.pending) {
        offer_value(completion.pending->kind, completion.pending->value, begun, out);
        return;
    }
    if (begun[0] == '-' && !completion.only_positional) {
        offer_flags(completion.verb->flags, begun, out);
        offer_flags(cz_global_flags, begun, out);
        return;
    }
    for (const struct cz_verb *const *at = completion.verb->verbs; at && *at; at++) {
        if (!(*at)->hidden)
            offer((*at)->name, (*at)->summary, begun, out);
    }
    offer_parameter(&completion, begun, out);
}

static cloze_status run_complete(struct cz_arguments *arguments, struct cloze_error *error)
{
    const char *words[256];
    size_t count = 0;
    for (const char *word; count < 256 && (word = cz_argument_each(arguments, "WORDS", count));)
        words[count++] = word;
    struct cz_buffer out = {0};
    cz_complete_write(words, count, &out);
    cloze_status status = cz_buffer_status(&out, "completion", error);
    fputs(cz_buffer_text(&out), stdout);
    cz_buffer_free(&out);
    return status;
}

static const struct cz_parameter complete_parameters[] = {
    {.name = "WORDS",
     .help = "the command line so far",
     .kind = CZ_VALUE_TEXT,
     .optional = true,
     .repeated = true},
    {.name = NULL},
};

const struct cz_verb cz_verb_complete = {
    .name = "complete",
    .summary = "list what may follow on a command line, for the completion scripts",
    .parameters = complete_parameters,
    .run = run_complete,
    .hidden = true,
    .raw = true,
};

static const char bash_script[] =
    "# bash completion for cloze: source <(cloze completion bash)\n"
    "COMP_WORDBREAKS=${COMP_WORDBREAKS//:} # tags hold colons\n"
    "_cloze() {\n"
    "    local words=(\"${COMP_WORDS[@]:1:COMP_CWORD}\") line\n"
    "    COMPREPLY=()\n"
    "    while IFS= read -r line; do\n"
    "        case $line in\n"
    "        :files) compopt -o filenames\n"
    "            COMPREPLY+=($(compgen -f -- \"${COMP_WORDS[COMP_CWORD]}\")) ;;\n"
    "        :folders) compopt -o filenames\n"
    "            COMPREPLY+=($(compgen -d -- \"${COMP_WORDS[COMP_CWORD]}\")) ;;\n"
    "        *) COMPREPLY+=(\"${line%%$'\\t'*}\") ;;\n"
    "        esac\n"
    "    done < <(\"${COMP_WORDS[0]}\" complete \"${words[@]}\" 2>/dev/null)\n"
    "}\n"
    "complete -F _cloze cloze\n";

static const char zsh_script[] =
    "#compdef cloze\n"
    "# zsh completion for cloze: source <(cloze completion zsh)\n"
    "_cloze() {\n"
    "    local -a candidates\n"
    "    local line\n"
    "    while IFS= read -r line; do\n"
    "        case $line in\n"
    "        :files) _files ;;\n"
    "        :folders) _files -/ ;;\n"
    "        *) candidates+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\") ;;\n"
    "        esac\n"
    "    done < <(\"${words[1]}\" complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)\n"
    "    (( ${#candidates} )) && _describe cloze candidates\n"
    "}\n"
    "compdef _cloze cloze\n"
    "# Autoloaded from a folder of functions, this file is its own first call.\n"
    "[[ ${funcstack[1]} == _cloze ]] && _cloze\n"
    "true\n";

static const char fish_script[] = "# fish completion for cloze: cloze completion fish | source\n"
                                  "function __cloze_complete\n"
                                  "    set -l words (commandline -opc) (commandline -ct)\n"
                                  "    for line in ($words[1] complete $words[2..-1] 2>/dev/null)\n"
                                  "        switch $line\n"
                                  "            case ':files'\n"
                                  "                __fish_complete_path (commandline -ct)\n"
                                  "            case ':folders'\n"
                                  "                __fish_complete_directories (commandline -ct)\n"
                                  "            case '*'\n"
                                  "                echo $line\n"
                                  "        end\n"
                                  "    end\n"
                                  "end\n"
                                  "complete -c cloze -f -a '(__cloze_complete)'\n";

static cloze_status run_completion(struct cz_arguments *arguments, struct cloze_error *error)
{
    (void)error;
    const char *shell = cz_argument(arguments, "SHELL");
    const char *script = strcmp(shell, "bash") == 0  ? bash_script
                         : strcmp(shell, "zsh") == 0 ? zsh_script
                                                     : fish_script;
    fputs(script, stdout);
    return CLOZE_OK;
}

static const struct cz_parameter completion_parameters[] = {
    {.name = "SHELL",
     .help = "bash, zsh or fish",
     .kind = CZ_VALUE_CHOICE,
     .value = "bash|zsh|fish"},
    {.name = NULL},
};

static const struct cz_example completion_examples[] = {
    {"source <(cloze completion bash)", "In ~/.bashrc"},
    {"source <(cloze completion zsh)", "In ~/.zshrc, behind compinit"},
    {"cloze completion fish | source", "In ~/.config/fish/config.fish"},
    {NULL, NULL},
};

const struct cz_verb cz_verb_completion = {
    .name = "completion",
    .summary = "print the completion script of a shell",
    .parameters = completion_parameters,
    .examples = completion_examples,
    .run = run_completion,
};
