"""Forced runs are spelled as the tokenizer itself would: random answers to random schemas are walked
token by token in the tokenizer's own encoding of the whole answer, and every forced run on the way
has to be what that encoding says. The judge is the `tokenizers` package, with the tokenizer.json files
that ./check fetched."""
import itertools
import json
import pathlib
import random
import unicodedata

import pytest
from tokenizers import Tokenizer

from conftest import OUTSIDE, ROOT
from libcloze import Refused, Vocab
from schemas import Generator

WANTED = 4000  # runs of one vocabulary in the long mode
EXAMPLE = ROOT / "examples/character/character.schema.json"


def paths():
    return sorted(map(str, (OUTSIDE / "tokenizers").glob("*/tokenizer.json")))


def judge_of(path):
    """The tokenizer in mid-text: without the blank that SentencePiece puts before a whole text."""
    spec = json.loads(pathlib.Path(path).read_text())
    normalizer = spec.get("normalizer") or {}
    steps = normalizer.get("normalizers", [])
    normalizer["normalizers"] = [step for step in steps if step["type"] != "Prepend"]
    if (spec.get("pre_tokenizer") or {}).get("type") == "Metaspace":
        spec["pre_tokenizer"]["prepend_scheme"] = "never"
    return Tokenizer.from_str(json.dumps(spec))


@pytest.fixture(scope="module")
def byte_vocab():
    return Vocab()


NAMES = ["name", "id", "first name", "größe", "is_valid", "x-y", "a", "URL", "naïve", "名前",
         "createdAt", "temperature2", "__typename", "it's", "a\"b", "\t", "😀 mood", "1st", ""]
WORDS = NAMES + ["North", "north-east", "in progress", "12:30", "é", "San Francisco", "C++", "true"]


def record(chooser, depth):
    """What people ask for: an object of named members, most of them required."""
    names = chooser.sample(NAMES, chooser.randrange(1, 6))
    return {"type": "object", "required": [name for name in names if chooser.random() < 0.8],
            "properties": {name: member(chooser, depth) for name in names}}


def member(chooser, depth):
    return chooser.choice([
        lambda: {"type": "string", "maxLength": chooser.randrange(1, 20)},
        lambda: {"type": chooser.choice(["integer", "number", "boolean", "null"])},
        lambda: {"enum": chooser.sample(WORDS, chooser.randrange(1, 5))},
        lambda: {"const": {chooser.choice(NAMES): chooser.choice(WORDS), "n": [1, 2.5, None]}},
        lambda: {"type": "string", "format": chooser.choice(["date", "uuid", "time"])},
        lambda: {"type": "string", "pattern": "^(SKU|item)-[0-9]{3} \\(new\\)$"},
        lambda: {"type": "array", "maxItems": 3, "items": member(chooser, 0)},
        lambda: record(chooser, depth - 1) if depth else {"type": "boolean"},
    ])()


def schemas():
    """Without end: records, and every third the random keywords of other tests."""
    yield json.loads(EXAMPLE.read_text())
    for seed in itertools.count():
        yield Generator(seed).schema(1) if seed % 3 == 0 else record(random.Random(seed), 2)


def answer(grammar, chooser):
    """A random answer, mostly of plain letters, written byte by byte."""
    matcher = grammar.matcher()
    matcher.set_budget(matcher.distance() + 60)
    while not matcher.finished():
        allowed = matcher.mask()
        letters = [token for token in allowed if chr(token).isalnum() or token in b' "']
        assert matcher.accept(chooser.choice(letters if letters and chooser.random() < 0.9
                                             else allowed))
    return matcher.text().decode()


def walk(grammar, own, text):
    """How many forced runs there were on the way through the tokens, and how many tokens in them."""
    matcher, at, runs, tokens = grammar.matcher(), 0, 0, 0
    while at < len(own):
        forced = matcher.forced()
        assert forced == own[at:at + len(forced)], (text, matcher.text(), forced, own[at:])
        assert matcher.validate(forced) == len(forced)
        runs += bool(forced)
        tokens += len(forced)
        for token in forced or own[at:at + 1]:
            assert matcher.accept(token), (text, matcher.text(), token)
            at += 1
    assert matcher.accepting()
    return runs, tokens


@pytest.mark.skipif(not paths(), reason="the outside tokenizers could not be fetched")
@pytest.mark.parametrize("path", paths(), ids=lambda path: pathlib.Path(path).parent.name)
def test_forced_runs_are_canonical(path, byte_vocab, long_run):
    judge, vocab = judge_of(path), Vocab(path)
    runs, forced, tokens, chooser = 0, 0, 0, random.Random(1)
    for schema in schemas():
        try:
            bytewise = byte_vocab.compile(json.dumps(schema), policy="generate")
        except Refused:
            continue
        grammar = vocab.compile(json.dumps(schema), policy="generate")
        for _ in range(3):
            text = answer(bytewise, chooser)
            if unicodedata.normalize("NFC", text) != text:
                continue  # Qwen's tokenizer would encode another text
            own = judge.encode(text, add_special_tokens=False).ids
            found = walk(grammar, own, text)
            runs, forced, tokens = runs + found[0], forced + found[1], tokens + len(own)
        if runs >= (WANTED if long_run else 300):
            break
    print(f"{runs} forced runs, {forced} of {tokens} tokens")
