/* parse.c - command lines against a verb's tables. */
#include "cli/parse.h"

#include "test.h"

static const struct cz_flag flags[] = {
    {.name = "output",
     .letter = 'o',
     .kind = CZ_VALUE_CHOICE,
     .value = "table|json|yaml",
     .fallback = "table",
     .help = "format"},
    {.name = "seed", .kind = CZ_VALUE_INTEGER, .help = "seed"},
    {.name = "top-p", .kind = CZ_VALUE_NUMBER, .minimum = 0, .maximum = 1, .help = "nucleus"},
    {.name = "label", .letter = 'l', .kind = CZ_VALUE_TEXT, .repeated = true, .help = "label"},
    {.name = "force", .letter = 'f', .help = "force"},
    {.name = "yes", .letter = 'y', .help = "yes"},
    {.name = NULL},
};
static const struct cz_parameter parameters[] = {
    {.name = "SOURCE", .kind = CZ_VALUE_FILE, .help = "source"},
    {.name = "TAG", .kind = CZ_VALUE_MODEL, .optional = true, .repeated = true, .help = "tag"},
    {.name = NULL},
};
static const struct cz_verb import = {
    .name = "import", .summary = "import", .flags = flags, .parameters = parameters};
static const struct cz_verb raw = {
    .name = "raw", .summary = "raw", .parameters = parameters, .raw = true};
static const struct cz_verb *const model_verbs[] = {&import, &raw, NULL};
static const struct cz_verb models = {.name = "models", .summary = "models", .verbs = model_verbs};
static const struct cz_verb *const verbs[] = {&models, NULL};
static const struct cz_verb program = {.name = "cloze", .summary = "test", .verbs = verbs};

static struct cz_arguments arguments;
static struct cloze_error error;

/* Splits at blanks and parses. */
static cloze_status parse(const char *line)
{
    static char copy[512];
    static char *words[64];
    size_t count = 0;
    cz_arguments_free(&arguments);
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        words[count++] = word;
    return cz_arguments_parse(&arguments, &program, count, words, &error);
}

static int free_arguments(void **state)
{
    (void)state;
    cz_arguments_free(&arguments);
    return 0;
}

static void finds_sub_verb_flags_and_arguments(void **state)
{
    (void)state;
    ASSERT_OK(parse("models import --seed=7 a.gguf -ojson --top-p 0.5 t1 t2"));
    assert_string_equal(arguments.path, "models import");
    assert_ptr_equal(arguments.verb, &import);
    assert_int_equal(cz_flag_integer(&arguments, "seed"), 7);
    assert_float_equal(cz_flag_number(&arguments, "top-p"), 0.5, 0);
    assert_string_equal(cz_flag_text(&arguments, "output"), "json");
    assert_string_equal(cz_argument(&arguments, "SOURCE"), "a.gguf");
    assert_string_equal(cz_argument_each(&arguments, "TAG", 1), "t2");
    assert_null(cz_argument_each(&arguments, "TAG", 2));
}

static void gives_fallbacks_and_nulls(void **state)
{
    (void)state;
    ASSERT_OK(parse("models import a"));
    assert_string_equal(cz_flag_text(&arguments, "output"), "table");
    assert_false(cz_flag_given(&arguments, "output"));
    assert_null(cz_flag_text(&arguments, "seed"));
    assert_null(cz_argument(&arguments, "TAG"));
}

static void bundles_letters_and_repeats_flags(void **state)
{
    (void)state;
    ASSERT_OK(parse("models import -fy -la=1 -l b=2 --label c=3 -- -odd"));
    assert_true(cz_flag_given(&arguments, "force"));
    assert_true(cz_flag_given(&arguments, "yes"));
    assert_string_equal(cz_flag_each(&arguments, "label", 0), "a=1");
    assert_string_equal(cz_flag_each(&arguments, "label", 2), "c=3");
    assert_null(cz_flag_each(&arguments, "label", 3));
    assert_string_equal(cz_argument(&arguments, "SOURCE"), "-odd");
}

static void leaves_words_of_a_raw_verb_alone(void **state)
{
    (void)state;
    ASSERT_OK(parse("models raw --seed -x -- y"));
    assert_string_equal(cz_argument(&arguments, "SOURCE"), "--seed");
    assert_string_equal(cz_argument_each(&arguments, "TAG", 1), "--");
}

static void names_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *line, *part;
    } cases[] = {
        {"model", "did you mean 'models'?"},
        {"models imprt", "did you mean 'import'?"},
        {"zzz", "unknown command 'zzz'"},
        {"models import a --outptu json", "did you mean --output?"},
        {"models import a --output xml", "--output takes one of table|json|yaml, not 'xml'"},
        {"models import a --seed 1x", "--seed takes a whole number, not '1x'"},
        {"models import a --seed 99999999999999999999", "whole number"},
        {"models import a --top-p 1.5", "--top-p takes a number from 0 to 1, not '1.5'"},
        {"models import a --top-p nan", "number"},
        {"models import a --seed", "--seed needs a value"},
        {"models import a --seed 1 --seed 2", "--seed is given twice"},
        {"models import a --force=1", "--force takes no value"},
        {"models import a -z", "unknown flag -z"},
        {"models import", "SOURCE is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ASSERT_FAILS(parse(cases[i].line), CLOZE_INVALID, cases[i].part);
        assert_true(arguments.bad_usage);
    }
}

static void asks_for_no_arguments_with_help(void **state)
{
    (void)state;
    ASSERT_OK(parse("models import --help"));
    assert_true(cz_flag_given(&arguments, "help"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(finds_sub_verb_flags_and_arguments, free_arguments),
        cmocka_unit_test_teardown(gives_fallbacks_and_nulls, free_arguments),
        cmocka_unit_test_teardown(bundles_letters_and_repeats_flags, free_arguments),
        cmocka_unit_test_teardown(leaves_words_of_a_raw_verb_alone, free_arguments),
        cmocka_unit_test_teardown(names_what_is_wrong, free_arguments),
        cmocka_unit_test_teardown(asks_for_no_arguments_with_help, free_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
