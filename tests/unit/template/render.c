/* render.c - what templates print, whom they trust, how they fail. What they print is compared with
 * Jinja itself at length in tests/e2e. */
#include "test.h"

#include "template/template.h"

static struct cloze_error error;

static const char context_text[] =
    "{\"bos_token\": \"<s>\", \"n\": 7, \"s\": \"H\xC3\xA9llo\", \"none\": null, \"list\": [3, 1, "
    "2],"
    " \"messages\": [{\"role\": \"user\", \"content\": \"<s>hi\"},"
    "                {\"role\": \"assistant\", \"content\": \"yo\"}],"
    " \"d\": {\"b\": 1, \"a\": [1.0, true, null, \"x\\\"\"]}}";

/* Renders over the context above; *rendered is to be freed. */
static cloze_status render(const char *source, struct cz_rendered *rendered)
{
    static const char *const trusted[] = {"bos_token", NULL};
    struct cz_arena arena = {0};
    struct cz_json *context;
    struct cz_template *tmpl = NULL;
    *rendered = (struct cz_rendered){0};
    ASSERT_OK(cz_json_parse(&arena, cz_slice(context_text), NULL, &context, &error));
    cloze_status status = cz_template_compile(cz_slice(source), &tmpl, &error);
    if (!status)
        status = cz_template_render(tmpl, context, trusted, rendered, &error);
    cz_template_free(tmpl);
    cz_arena_free(&arena);
    return status;
}

static void assert_renders(const char *source, const char *expected)
{
    struct cz_rendered rendered;
    ASSERT_OK(render(source, &rendered));
    assert_string_equal(cz_buffer_text(&rendered.text), expected);
    cz_rendered_free(&rendered);
}

static void assert_fails(const char *source, cloze_status status, const char *where,
                         const char *part)
{
    struct cz_rendered rendered;
    ASSERT_FAILS(render(source, &rendered), status, part);
    assert_string_equal(error.where, where);
}

static void prints_expressions(void **state)
{
    (void)state;
    assert_renders("{{ n + 1 }} {{ n / 2 }} {{ n // 2 }} {{ -n % 3 }} {{ 2 ** 10 }}",
                   "8 3.5 3 2 1024");
    assert_renders("{{ s[1] }}{{ s[::-1] }}{{ s|upper }}{{ s|length }}", "\xC3\xA9oll\xC3\xA9HH"
                                                                         "\xC3\x89LLO5");
    assert_renders("{{ none }}|{{ missing }}|{{ missing|default('x') }}", "None||x");
    assert_renders("{{ d|tojson }}", "{\"b\": 1, \"a\": [1.0, true, null, \"x\\\"\"]}");
    assert_renders("{{ d }}", "{'b': 1, 'a': [1.0, True, None, 'x\"']}");
    assert_renders("{{ list|sort|join('-') ~ (1 if n > 8 else 2) }}", "1-2-32");
    assert_renders("{{ messages|selectattr('role', 'eq', 'user')|map(attribute='content')|first }}",
                   "<s>hi");
}

static void runs_statements(void **state)
{
    (void)state;
    assert_renders(
        "{% for i in list %}{{ loop.index }}{{ i }}{{ ',' if not loop.last }}{% endfor %}",
        "13,21,32");
    assert_renders("{% set ns = namespace(c=0) %}{% for i in list %}{% set ns.c = ns.c + i %}"
                   "{% if i == 1 %}{% break %}{% endif %}{% endfor %}{{ ns.c }}",
                   "4");
    assert_renders("{% macro m(a, b=2) %}[{{ a }}{{ b }}]{% endmacro %}{{ m(1) }}{{ m(1, b=3) }}",
                   "[12][13]");
    assert_renders("{% generation %}x{% endgeneration %}{% filter upper %}y{% endfilter %}", "xY");
    assert_renders("a\n  {% if n %}\n b\n  {% endif %}\nc\n", "a\n b\nc");
    assert_renders("a \n {{- n -}} \n b", "a7b");
}

static void spans_tell_the_template_from_the_user(void **state)
{
    (void)state;
    struct cz_rendered rendered;
    ASSERT_OK(render("{{ bos_token }}<u>{{ messages[0].content|upper }}</u>{{ 'a' ~ s[:1] ~ 'b' }}",
                     &rendered));
    assert_string_equal(cz_buffer_text(&rendered.text), "<s><u><S>HI</u>aHb");
    assert_int_equal(rendered.span_count, 3);
    assert_int_equal(rendered.spans[0].start, 0);
    assert_int_equal(rendered.spans[0].end, 6);
    assert_int_equal(rendered.spans[1].start, 11);
    assert_int_equal(rendered.spans[1].end, 16);
    assert_int_equal(rendered.spans[2].start, 17);
    assert_int_equal(rendered.spans[2].end, 18);
    cz_rendered_free(&rendered);
    ASSERT_OK(render("{{ messages|tojson }}{{ (messages[0].content + '<e>')|replace('h', '<q>') }}",
                     &rendered));
    assert_int_equal(rendered.span_count, 2); /* <q> and <e> */
    cz_rendered_free(&rendered);
}

static void failures_name_the_place(void **state)
{
    (void)state;
    assert_fails("a\n{{ missing.x.y }}", CLOZE_INVALID, "line 2, column 11", "missing");
    assert_fails("{{ s|nope }}", CLOZE_UNSUPPORTED, "line 1, column 6", "nope");
    assert_fails("{{ s is nope }}", CLOZE_UNSUPPORTED, "line 1, column 9", "nope");
    assert_fails("{% include 'x' %}", CLOZE_UNSUPPORTED, "line 1, column 4", "include");
    assert_fails("{{ raise_exception('only ' ~ n) }}", CLOZE_INVALID, "line 1, column 19",
                 "only 7");
    assert_fails("\n{% if n %}", CLOZE_INVALID, "line 2, column 9", "endif");
    assert_fails("{{ 'abc }}", CLOZE_INVALID, "line 1, column 4", "quote");
    assert_fails("{{ 1 + 'a' }}", CLOZE_INVALID, "line 1, column 6", "int and str");
    assert_fails("{{ list.append(1) }}", CLOZE_UNSUPPORTED, "line 1, column 8", "append");
}

static void limits_hold(void **state)
{
    (void)state;
    char deep[2000] = "{{ ";
    memset(deep + 3, '(', 900);
    struct cz_rendered rendered;
    ASSERT_FAILS(render(deep, &rendered), CLOZE_LIMIT, "deep");
    ASSERT_FAILS(render("{{ range(1000000) }}", &rendered), CLOZE_LIMIT, "range");
    ASSERT_FAILS(render("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", &rendered), CLOZE_LIMIT,
                 "nests");
    ASSERT_FAILS(
        render("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
               &rendered),
        CLOZE_LIMIT, "");
    ASSERT_FAILS(render("{{ 'x' * 99999999999 }}", &rendered), CLOZE_LIMIT, "grows");
    ASSERT_FAILS(render("{% set ns = namespace(v=[]) %}{% for i in range(5000) %}"
                        "{% set ns.v = [ns.v] %}{% endfor %}{{ ns.v }}",
                        &rendered),
                 CLOZE_LIMIT, "nests");
    ASSERT_FAILS(render("{{ 9223372036854775807 + 1 }}", &rendered), CLOZE_LIMIT, "64 bits");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_expressions),
        cmocka_unit_test(runs_statements),
        cmocka_unit_test(spans_tell_the_template_from_the_user),
        cmocka_unit_test(failures_name_the_place),
        cmocka_unit_test(limits_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
