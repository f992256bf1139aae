/* tables.c - the program's own tables: complete, and the texts made from them well formed. */
#include "cli/verb.h"

#include "test.h"

/* Every entry has a help text, names and letters are unique, and choices list their words. */
static void check_verb(const struct cz_verb *verb)
{
    assert_non_null(verb->summary);
    assert_true((verb->run != NULL) != (verb->verbs != NULL));
    CZ_EACH(flag, verb->flags)
    {
        assert_non_null(flag->help);
        assert_ptr_equal(cz_flag_find(verb, cz_slice(flag->name)), flag);
        if (flag->letter)
            assert_ptr_equal(cz_flag_letter(verb, flag->letter), flag);
        if (flag->kind == CZ_VALUE_CHOICE)
            assert_true(!flag->fallback || cz_choice_has(flag->value, cz_slice(flag->fallback)));
        CZ_EACH(global, cz_global_flags)
        {
            assert_string_not_equal(flag->name, global->name);
            assert_true(!flag->letter || flag->letter != global->letter);
        }
    }
    bool optional = false;
    CZ_EACH(parameter, verb->parameters)
    {
        assert_non_null(parameter->help);
        assert_true(parameter->kind != CZ_VALUE_NONE);
        assert_true(!optional || parameter->optional);
        optional = parameter->optional;
        assert_true(!parameter->repeated || !(parameter + 1)->name);
    }
    for (const struct cz_verb *const *at = verb->verbs; at && *at; at++) {
        assert_ptr_equal(cz_verb_find(verb, (*at)->name), *at);
        check_verb(*at);
    }
}

static void every_table_is_complete(void **state)
{
    (void)state;
    for (const struct cz_verb *const *at = cz_program.verbs; *at; at++)
        check_verb(*at);
}

static void every_verb_is_in_the_help_and_the_manual(void **state)
{
    (void)state;
    struct cz_buffer help = {0}, manual = {0};
    cz_help_write(&cz_program, "", &help);
    cz_man_write(&manual);
    for (const struct cz_verb *const *at = cz_program.verbs; *at; at++) {
        if ((*at)->hidden)
            continue;
        assert_non_null(strstr(help.data, (*at)->summary));
        assert_non_null(strstr(manual.data, (*at)->name));
    }
    for (const char *line = help.data; *line; line = strchrnul(line, '\n') + 1)
        assert_true(strchrnul(line, '\n') - line <= 100);
    cz_buffer_free(&help);
    cz_buffer_free(&manual);
}

static const char *complete(const char *const *words, size_t count)
{
    static struct cz_buffer out;
    cz_buffer_clear(&out);
    cz_complete_write(words, count, &out);
    return cz_buffer_text(&out);
}

static void completes_verbs_flags_and_choices(void **state)
{
    (void)state;
    const char *verb[] = {"comple"};
    assert_non_null(strstr(complete(verb, 1), "completion\tprint the"));
    const char *flag[] = {"completion", "--he"};
    assert_string_equal(complete(flag, 2), "--help\tshow help and stop\n");
    const char *choice[] = {"completion", "--quiet", ""};
    assert_string_equal(complete(choice, 3), "bash\t\nzsh\t\nfish\t\n");
    const char *past[] = {"completion", "bash", ""};
    assert_string_equal(complete(past, 3), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_table_is_complete),
        cmocka_unit_test(every_verb_is_in_the_help_and_the_manual),
        cmocka_unit_test(completes_verbs_flags_and_choices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
