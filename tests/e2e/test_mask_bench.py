"""`cloze bench masks` and `cloze bench suite` on the data of CLOZE_TEST_DATA, and a replay of what
they say through the public API alone."""
import json
import os
import pathlib
import random

import pytest

from libcloze import Refused, Vocab

SUITE_CORE = "json-schema-test-suite/tests"


@pytest.fixture(scope="module")
def data():
    folder = os.environ.get("CLOZE_TEST_DATA")
    if not folder:
        pytest.skip("CLOZE_TEST_DATA is not set")
    return pathlib.Path(folder)


def classify(vocab, case):
    """MaskBench's class of a schema, the end of documents checked."""
    try:
        grammar = vocab.compile(json.dumps(case["schema"], ensure_ascii=False))
    except Refused:
        return "compile_error"
    result = "passing"
    for test in case["tests"]:
        accepted = grammar.judge(json.dumps(test["data"], ensure_ascii=False))
        if accepted != test["valid"]:
            result = "valid_rejected" if test["valid"] else "invalid_accepted"
    return result


def test_the_public_api_agrees_with_the_benchmark(cloze, data, tmp_path, long_run):
    files = random.Random(1).sample(sorted((data / "maskbench").glob("*.json")),
                                    1500 if long_run else 300)
    lines = tmp_path / "lines"
    cloze("bench", "masks", "--quiet", "--per-schema", lines, *files, timeout=900)
    classes = {line["file"]: line["class"] for line in map(json.loads, lines.open())}
    vocab = Vocab()
    for path in files:
        case = json.loads(path.read_text())
        # what json.loads and json.dumps would change in the text is no matter of the schema
        assert classify(vocab, case) == classes[path.name], path.name


def test_no_invalid_instance_is_accepted(cloze, data):
    files = random.Random(2).sample(sorted((data / "maskbench").glob("*.json")), 700)
    result = json.loads(cloze("bench", "masks", "--quiet", *files, timeout=900)
                        .stdout.splitlines()[-1])
    assert result["schemas"] == len(files)
    assert result["invalid_accepted"] == result["crashes"] == result["inconsistent_masks"] == 0
    assert result["passing"] >= 0.97 * len(files)


@pytest.mark.parametrize("draft", ["draft4", "draft7", "draft2020-12"])
def test_the_official_suite_has_no_false_positive(cloze, data, draft):
    files = sorted((data / SUITE_CORE / draft).glob("*.json"))
    result = json.loads(cloze("bench", "suite", *files, timeout=600).stdout.splitlines()[-1])
    assert result["false_positive"] == 0
    total = sum(result[key] for key in ("pass", "false_positive", "false_negative",
                                        "refused_valid", "refused_invalid"))
    assert result["pass"] >= 0.97 * total, result
