"""Forced runs are spelled as the tokenizer itself would: over the walks of many schemas, the tokens
of the whole text equal the tokenizer's own encoding of it. Needs tokenizer.json files:
tokenizers/*/tokenizer.json in CLOZE_TEST_DATA."""
import json
import os
import pathlib
import random

import pytest
from tokenizers import Tokenizer

from libcloze import Refused, Vocab
from schemas import Generator, text_of

WANTED = 10000


def paths():
    data = pathlib.Path(os.environ.get("CLOZE_TEST_DATA", "/nonexistent"))
    return sorted(map(str, data.glob("tokenizers/*/tokenizer.json")))


@pytest.mark.skipif(not paths(), reason="CLOZE_TEST_DATA has no tokenizers")
@pytest.mark.parametrize("path", paths())
def test_forced_runs_are_canonical(path, long_run):
    tokenizer, vocab = Tokenizer.from_file(path), Vocab(path)
    wanted = (WANTED if long_run else 500) // max(len(paths()), 1)
    runs, seed, wrong = 0, 0, []
    while runs < wanted:
        seed += 1
        generator = Generator(seed)
        schema = generator.schema()
        try:
            matcher = vocab.compile(json.dumps(schema), policy="generate").matcher()
        except Refused:
            continue
        runs += follow(matcher, tokenizer, random.Random(seed), wrong)
    assert not wrong, wrong[:3]


def follow(matcher, tokenizer, chooser, wrong):
    """Takes forced tokens where there are some, else a token of a random canonical answer."""
    taken, runs = [], 0
    matcher.set_budget(matcher.distance() + 60)
    while not matcher.finished():
        forced = matcher.forced()
        if forced:
            runs += 1
            assert matcher.validate(forced) == len(forced)
            for token in forced:
                assert matcher.accept(token)
            taken += forced
            text = tokenizer.decode(taken, skip_special_tokens=False)
            own = tokenizer.encode(text, add_special_tokens=False).ids
            if own[:len(taken)] != taken and not matcher.finished():
                wrong.append((matcher.text(), taken, own))
        else:
            allowed = matcher.mask()
            if not allowed and matcher.accepting():
                break  # a tokenizer.json does not say which token ends an answer
            token = chooser.choice(allowed)
            assert matcher.accept(token)
            taken.append(token)
            text = tokenizer.decode(taken, skip_special_tokens=False)
            if tokenizer.encode(text, add_special_tokens=False).ids != taken:
                break  # the choice itself was not canonical: this walk says nothing more
    return runs
