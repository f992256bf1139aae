"""The engine against independent judges: random schemas and instances, Python's jsonschema and
jsonschema-rs. Where the two judges differ, the pair is left out: see KNOWN_DIFFERENCES.

5,000 pairs, with --long 100,000. Counterexamples are shrunk and printed in the form of the files in
tests/data/schemas, where they belong once they are fixed."""
import json
import os
import pathlib

import jsonschema
import jsonschema_rs
import pytest

from libcloze import Refused, Vocab
from schemas import Generator, shrink, text_of

DATA = pathlib.Path(__file__).resolve().parents[1] / "data" / "schemas"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
PAIRS_PER_SCHEMA = 10


@pytest.fixture(scope="module")
def vocab():
    return Vocab()


def judges(schema, instance):
    """The common verdict, or None where the judges differ or refuse."""
    try:
        python = jsonschema.Draft202012Validator(
            schema, format_checker=jsonschema.FormatChecker()).is_valid(instance)
        rust = jsonschema_rs.Draft202012Validator(schema, validate_formats=True).is_valid(instance)
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


def test_random_pairs(vocab, long_run):
    seed = int(os.environ.get("CLOZE_SEED", "1"))
    wanted, tried, refused, failures = (100000 if long_run else 5000), 0, 0, []
    while tried < wanted and len(failures) < 5:
        generator = Generator(seed)
        seed += 1
        schema = generator.schema()
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


def test_kept_counterexamples(vocab):
    files = sorted(DATA.glob("*.json"))
    for path in files:
        for case in json.loads(path.read_text()):
            got = verdict(vocab, case["schema"], case["data"])
            assert got == case["valid"], (path.name, case)


def test_duplicate_keys_and_nan_are_refused(vocab):
    grammar = vocab.compile("{}")
    for text in ['{"a":1,"a":2}', '{"a":1,"\\u0061":2}', "NaN", "Infinity", "[1,]", "01", "'a'",
                 '"\x01"', '"\xff']:
        assert not grammar.judge(text), text
    for text in ['{"a":1,"b":2}', "-0.0e+5", '"\\u00e9\\ud83d\\ude00"', " [ ] "]:
        assert grammar.judge(text), text
