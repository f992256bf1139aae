"""Generation from the mask alone, with random choices, always ends and always validates; what the
matcher offers is what it accepts; rollback, fork, validate and budgets agree with plain stepping."""
import decimal
import json
import os
import pathlib
import random

import jsonschema
import jsonschema_rs
import pytest

from libcloze import END, Refused, Vocab
from schemas import Generator

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUDGET = 400
FAR = 1 << 28  # a distance that is not known
MAGNITUDE = 900  # decimal exponent of numbers that the judge is asked about
decimal.getcontext().prec = 2 * MAGNITUDE

SCHEMAS = [
    json.loads((ROOT / "examples/character/character.schema.json").read_text()),
    {"type": "object"},
    {"type": "array", "uniqueItems": True, "items": {"enum": [1, 1.0, "a", [], {}]}, "minItems": 3},
    {"type": "array", "uniqueItems": True, "minItems": 5,
     "items": {"enum": ["ab", "b", "abc", 1, 22, None, [1]]}},
    {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"$ref": "#"}}},
    {"oneOf": [{"type": "integer", "multipleOf": 3}, {"type": "integer", "multipleOf": 5}]},
    {"type": "string", "format": "date-time"},
    {"type": "object", "patternProperties": {"^x": {"type": "integer"}}, "minProperties": 2,
     "additionalProperties": False},
    {"contains": {"const": 3}, "type": "array", "maxContains": 1, "items": {"type": "integer"}},
    {"type": "object", "patternProperties": {"^[a-f]$": True}, "additionalProperties": False,
     "minProperties": 4, "dependentSchemas": {
         "a": {"anyOf": [{"required": ["c"]}, {"required": ["b"]}]}, "b": {"not": {"required": ["c"]}},
         "c": {"anyOf": [{"required": ["e"]}, {"required": ["a"]}]}, "d": {"not": {"required": ["e"]}},
         "e": {"anyOf": [{"required": ["c"]}, {"required": ["d"]}]}}},
    {"type": "number", "minimum": 0.5, "exclusiveMaximum": 2.25, "multipleOf": 0.25},
]


@pytest.fixture(scope="module")
def vocab():
    return Vocab()


def walk(grammar, choose, budget=BUDGET):
    matcher = grammar.matcher()
    matcher.set_budget(max(budget, matcher.distance()))
    for _ in range(budget * 4):
        allowed = matcher.mask()
        assert allowed, f"a dead end behind {matcher.text()!r}"
        token = choose(allowed)
        assert matcher.accept(token)
        if matcher.finished():
            return matcher.text()
    raise AssertionError(f"the walk did not end: {matcher.text()!r}")


def exact(text):
    """Whole numbers as integers, others as decimals, so that Python's arithmetic is exact."""
    number = decimal.Decimal(text)
    if not -MAGNITUDE < number.adjusted() < MAGNITUDE:
        raise OverflowError
    return int(number) if number == number.to_integral_value() else number


FORMATS = jsonschema.FormatChecker()


@FORMATS.checks("date-time")
def is_date_time(value):
    """The judge does not know RFC 3339's leap seconds: they are judged as the second before."""
    if isinstance(value, str) and value[16:19] == ":60":
        value = value[:16] + ":59" + value[19:]
    return jsonschema.FormatChecker().conforms(value, "date-time")


def refuses(judge, schema, value):
    try:
        return not judge(schema).is_valid(value)
    except Exception:  # a pattern or a reference that the judge can't do
        return False


def check_real(schema, text):
    """Real schemas have patterns and formats that one judge or the other reads in its own way: it
    takes both to call an answer wrong."""
    value, schema = json.loads(text), json.loads(json.dumps(schema, default=float))
    python = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
    assert not (refuses(lambda s: python(s, format_checker=FORMATS), schema, value) and
                refuses(lambda s: jsonschema_rs.validator_for(s, validate_formats=True), schema,
                        value)), (schema, text)


def check(schema, text):
    try:
        value = json.loads(text, parse_float=exact)
    except OverflowError:
        return  # a number beyond what the judge can hold
    schema = json.loads(json.dumps(schema), parse_float=exact)
    judge = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
    if not judge(schema, format_checker=FORMATS).is_valid(value):
        check_real(schema, text)  # the judge knows no 01:14:43z, and misses what 2019-09 evaluates


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda s: json.dumps(s)[:40])
@pytest.mark.parametrize("policy", ["generate", "accept"])
def test_walks_end_and_validate(vocab, schema, policy):
    grammar = vocab.compile(json.dumps(schema), policy=policy)
    for seed in range(20):
        check(schema, walk(grammar, random.Random(seed).choice))


def test_walks_over_random_schemas(vocab, long_run):
    done = refused = 0
    for seed in range(2000 if long_run else 150):
        schema = Generator(seed).document()
        try:
            grammar = vocab.compile(json.dumps(schema), policy="generate")
        except Refused as why:
            refused += why.code != "unsatisfiable"
            continue
        for i in range(3):
            check(schema, walk(grammar, random.Random(i).choice))
            done += 1
    print(f"{done} walks, {refused} schemas refused")
    assert done


def test_walks_over_maskbench_schemas_without_instances(vocab, long_run):
    data = os.environ.get("CLOZE_TEST_DATA")
    if not data:
        pytest.skip("CLOZE_TEST_DATA is not set")
    cases = [json.loads(path.read_text()) for path in pathlib.Path(data, "maskbench").glob("*.json")]
    schemas = sorted(json.dumps(case["schema"]) for case in cases if not case["tests"])
    chosen = random.Random(7).sample(schemas, min(len(schemas), 300 if long_run else 30))
    unknown = 0
    for schema in chosen:
        try:
            grammar = vocab.compile(schema, policy="generate")
        except Refused:
            continue
        if grammar.matcher().distance() > FAR:
            unknown += 1
            continue
        standard = vocab.compile(schema)
        for seed in range(20 if long_run else 4):
            text = walk(grammar, random.Random(seed).choice)
            assert standard.judge(text), (schema, text)
            check_real(json.loads(schema), text)
    assert unknown <= len(chosen) / 20  # no completion was found, so that walks could not be steered


def test_the_mask_is_what_is_accepted(vocab):
    chooser = random.Random(3)
    for schema in SCHEMAS:
        grammar = vocab.compile(json.dumps(schema))
        matcher = grammar.matcher()
        for _ in range(60):
            allowed = matcher.mask()
            assert matcher.fill() == allowed
            for token in range(257):
                fork = matcher.fork()
                assert fork.accept(token) == (token in allowed), (schema, matcher.text(), token)
            choices = [token for token in allowed if token != END]
            if not choices:
                break
            matcher.accept(chooser.choice(choices))


def test_rollback_returns_to_the_same_masks(vocab):
    chooser = random.Random(5)
    for schema in SCHEMAS:
        matcher = vocab.compile(json.dumps(schema)).matcher()
        masks = []
        for _ in range(40):
            masks.append(matcher.mask())
            choices = [token for token in masks[-1] if token != END]
            if not choices:
                break
            matcher.accept(chooser.choice(choices))
        taken = len(matcher.text())
        for back in range(taken - 1, -1, -1):
            matcher.rollback(1)
            assert matcher.mask() == masks[back]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda s: json.dumps(s)[:40])
def test_a_budget_is_kept(vocab, schema):
    grammar = vocab.compile(json.dumps(schema), policy="generate")
    shortest = grammar.matcher().distance()
    for extra in (0, 1, 7):
        matcher = grammar.matcher()
        matcher.set_budget(shortest + extra)
        count = 0
        while not matcher.finished():
            allowed = matcher.mask()
            assert allowed
            assert matcher.accept(random.Random(count).choice(allowed))
            count += 1
        assert count <= shortest + extra
    with pytest.raises(Refused):
        grammar.matcher().set_budget(0)
