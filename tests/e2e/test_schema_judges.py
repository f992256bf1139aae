"""The engine against independent judges: random schemas of several drafts and random instances,
Python's jsonschema and jsonschema-rs. Pairs on which the judges differ are left out here; what the
specification says of them is kept in tests/data/schemas/judges-differ.json.

5,000 pairs, with --long 100,000 from a seed that is printed (CLOZE_SEED repeats it). Counterexamples
are shrunk and printed in the form of the files in tests/data/schemas, where they belong once they
are fixed."""
import itertools
import json
import os
import pathlib
import random

import jsonschema
import jsonschema_rs
import pytest

from libcloze import Refused, Vocab
from schemas import Generator, shrink, text_of

DATA = pathlib.Path(__file__).resolve().parents[1] / "data" / "schemas"
PAIRS_PER_SCHEMA = 10
ITEMS = [1, "a", True, {}, {"a": 1}, {"a": 2}, {"a": 1, "b": 2}, [1], [1, 2]]


@pytest.fixture(scope="module")
def vocab():
    return Vocab()


def leaves(value):
    if isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves(item)
    else:
        yield value


def is_whole_float(value):
    return isinstance(value, float) and value == int(value)


def judges(schema, instance):
    """The common verdict, or None where the judges differ or refuse, or where draft 4 is asked
    whether 1.0 is an integer: here it is, as in later drafts."""
    if "draft-04" in str(schema) and any(map(is_whole_float, leaves(instance))):
        return None
    try:
        python = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)(
            schema, format_checker=jsonschema.FormatChecker()).is_valid(instance)
        rust = jsonschema_rs.validator_for(schema, validate_formats=True).is_valid(instance)
    except Exception:
        return None
    return python if python == rust else None


def verdict(vocab, schema, instance):
    """True, False, or the code of a refusal."""
    try:
        return vocab.compile(json.dumps(schema)).judge(text_of(instance))
    except Refused as refused:
        return refused.code


def wrong(vocab, schema, instance):
    expected = judges(schema, instance)
    got = verdict(vocab, schema, instance)
    if expected is None or got in ("unsupported", "limit"):
        return False
    return expected if got == "unsatisfiable" else got != expected


def first_seed():
    """That of ./check: the same each time, another one in each long run."""
    seed = int(os.environ.get("CLOZE_SEED", 1))
    print(f"CLOZE_SEED={seed}")
    return seed


def test_random_pairs(vocab, long_run):
    seed = first_seed()
    wanted, tried, refused, failures = (100000 if long_run else 5000), 0, 0, []
    while tried < wanted and len(failures) < 5:
        generator = Generator(seed)
        seed += 1
        schema = generator.document()
        try:
            grammar = vocab.compile(json.dumps(schema))
        except Refused as why:
            if why.code != "unsatisfiable":
                refused += 1
                continue
            grammar = None
        for _ in range(PAIRS_PER_SCHEMA):
            instance = generator.instance(schema)
            if generator.chance(0.4):
                instance = generator.mutate(instance)
            expected = judges(schema, instance)
            if expected is None:
                continue
            tried += 1
            if (grammar.judge(text_of(instance)) if grammar else False) != expected:
                pair = shrink((schema, instance), lambda pair: wrong(vocab, *pair))
                failures.append({"schema": pair[0], "data": pair[1], "valid": judges(*pair)})
                break
    print(f"{tried} pairs, {refused} schemas refused")
    assert not failures, "\n".join(json.dumps(failure, ensure_ascii=False) for failure in failures)
    assert refused < wanted / PAIRS_PER_SCHEMA / 20


def item_schema(chooser):
    return chooser.choice([
        True, {"enum": chooser.sample(ITEMS, 3)}, {"const": chooser.choice(ITEMS)},
        {"not": {"const": chooser.choice(ITEMS)}}, {"required": ["a"]},
        {"type": chooser.choice(["integer", "object", "array", "boolean"])},
        {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "additionalProperties": False}])


def array_schema(chooser, depth=2):
    """Of everything that is said of arrays, and uniqueItems most of all."""
    schema = {"uniqueItems": True} if chooser.random() < 0.6 else {}
    for _ in range(chooser.randrange(1, 4)):
        keyword = chooser.choice(["items", "prefixItems", "minItems", "maxItems", "contains", "not",
                                  "anyOf", "oneOf"])
        if keyword in ("minItems", "maxItems"):
            schema[keyword] = chooser.randrange(4)
        elif keyword == "prefixItems":
            schema[keyword] = [item_schema(chooser) for _ in range(chooser.randrange(1, 4))]
        elif keyword in ("items", "contains"):
            schema[keyword] = item_schema(chooser)
            if keyword == "contains":
                schema[chooser.choice(["minContains", "maxContains"])] = chooser.randrange(3)
        elif depth:
            schema[keyword] = (array_schema(chooser, depth - 1) if keyword == "not" else
                               [array_schema(chooser, depth - 1) for _ in range(2)])
    return schema


def test_arrays_that_remember_their_items(vocab, long_run):
    """Over all arrays of up to three items."""
    chooser = random.Random(first_seed())
    arrays = [list(items) for count in range(4) for items in itertools.product(ITEMS, repeat=count)]
    for _ in range(1000 if long_run else 100):
        schema = {"type": "array", **array_schema(chooser)}
        judge = jsonschema.Draft202012Validator(schema)
        try:
            grammar = vocab.compile(json.dumps(schema))
        except Refused as why:
            assert why.code == "unsatisfiable", (why, json.dumps(schema))
            grammar = None
        for array in chooser.sample(arrays, 40):
            got = grammar.judge(text_of(array)) if grammar else False
            assert got == judge.is_valid(array), (json.dumps(schema), array)


def test_long_arrays_of_distinct_items(vocab):
    """What one array holds does no harm to the grammar either."""
    for make in (lambda i: i * 7919 % 1009, str, lambda i: {"id": i, "name": str(i % 7)},
                 lambda i: [i, {"x": [i % 5]}]):
        grammar = vocab.compile('{"uniqueItems": true}')
        items = [make(i) for i in range(100)]
        assert grammar.judge(text_of(items))
        assert not grammar.judge(text_of(items + items[50:51]))
        assert grammar.judge(text_of(items[::-1]))


def test_kept_counterexamples(vocab):
    files = sorted(DATA.glob("*.json"))
    assert files
    for path in files:
        for case in json.loads(path.read_text()):
            got = verdict(vocab, case["schema"], case["data"])
            got = False if got == "unsatisfiable" else got
            assert got == case["valid"], (path.name, case)


def test_duplicate_keys_and_nan_are_refused(vocab):
    grammar = vocab.compile("{}")
    for text in ['{"a":1,"a":2}', '{"a":1,"\\u0061":2}', "NaN", "Infinity", "[1,]", "01", "'a'",
                 '"\x01"', '"\xff']:
        assert not grammar.judge(text), text
    for text in ['{"a":1,"b":2}', "-0.0e+5", '"\\u00e9\\ud83d\\ude00"', " [ ] "]:
        assert grammar.judge(text), text
