"""Token ids equal to those of the tokenizers package, and texts that come back byte for byte.

Compared are the default model's vocabulary (its GGUF against the same tables in the package), a
small SentencePiece-like one made here, and those that ./check fetched. --long compares 20,000
strings each."""
import json
import os
import pathlib
import random
import subprocess
import unicodedata

import pytest
from sentencepiece import SentencePieceProcessor
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from conftest import MODEL, OUTSIDE, ROOT

BLOCKS = [(0x20, 0x7F), (0xA0, 0x17F), (0x370, 0x3FF), (0x400, 0x4FF), (0x5D0, 0x5EA),
          (0x600, 0x6FF), (0x900, 0x97F), (0x980, 0x9FF), (0xE00, 0xE7F), (0x1100, 0x11FF),
          (0x3040, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0x1F300, 0x1F6FF),
          (0x1F900, 0x1F9FF), (0x300, 0x36F), (0x2000, 0x206F), (0x2150, 0x218F), (0x1E00, 0x1EFF),
          (0xFF00, 0xFFEF), (0x10400, 0x1044F), (0x1D400, 0x1D7FF)]
EMOJI = ["👨‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "❤️", "🇩🇪", "☺️", "1️⃣"]
BLANKS = [" ", "  ", "\n", "\t", "\r\n", "\u00a0", "\u3000", "    ", "\u2028", "\x85", "\u180e",
          "\x1c", "\v", "a"]
WORDS = (ROOT / "docs/architecture.md").read_text().split(" ")


def character(rng):
    low, high = rng.choice(BLOCKS + [(0, 31), (32, 126), (0, 0xD7FF), (0xE000, 0x10FFFF)])
    return chr(rng.randint(low, high))


def make_text(rng, specials):
    def several(choices, most):
        return "".join(rng.choice(choices) for _ in range(rng.randint(1, most)))

    block = rng.choice(BLOCKS)
    first = rng.randrange(len(WORDS))
    return rng.choice([
        lambda: "".join(character(rng) for _ in range(rng.randint(0, 60))),
        lambda: "".join(chr(rng.randint(*block)) if rng.random() < .85 else " "
                        for _ in range(rng.randint(1, 80))),
        lambda: several(BLANKS, 60),
        lambda: " " * rng.randint(1, 300) + rng.choice(["", "x", "\n"]) + " " * rng.randint(0, 99),
        lambda: " ".join(WORDS[first:first + rng.randint(1, 60)]),
        lambda: several(EMOJI + [" ", "a", "Z"], 20),
        lambda: several("'sS'tTreRvEmMlLdD 'ſK0123456789.,", 50),
        lambda: several(specials + [" ", "  ", "a", "\n", "</", "<|", "hello"], 12),
        lambda: str(rng.randint(0, 10 ** rng.randint(1, 40))) + rng.choice(["", ".", "e5", "٣٤", "½"]),
        lambda: json.dumps({"name": rng.choice(WORDS), "n": rng.random()},
                           indent=rng.choice([None, 1, 2, 4])),
        lambda: unicodedata.normalize(rng.choice(["NFD", "NFC", "NFKD"]), several(
            "ÀÉîõüạ가각힣ǅǆA ", 30)),
        lambda: several("abcdefghijklmnopqrstuvwxyzABCDEFGHIJ", 400),
    ])()


def texts_for(specials, count):
    rng = random.Random(7)
    return [make_text(rng, specials) for _ in range(count)] + [
        "", "a", " ", "\n", "é" * 5000, " " * 20000, "abc " * 5000, "漢字" * 3000, "a" * 20000]


def known(text):
    """Oniguruma and PCRE2 may know different versions of Unicode: only old characters are compared."""
    return all(unicodedata.category(c) != "Cn" for c in text)


def run_tool(path, texts, *options):
    tool = pathlib.Path(os.environ.get("CLOZE", ROOT / "build/check/src/cli/cloze")).parents[2]
    process = subprocess.run([tool / "tests/unit/tokenizer/tokens-tool", path, *options],
                             input="".join(json.dumps(text) + "\n" for text in texts),
                             capture_output=True, text=True, check=True)
    lines = process.stdout.removesuffix("\n").split("\n")
    assert len(lines) == len(texts)
    return [json.loads(line) for line in lines]


def compare(path, reference, count, lossless=True):
    specials = [token.content for token in reference.get_added_tokens_decoder().values()][:40]
    texts = texts_for(specials, count)
    for options in [], ["special"]:
        reference.encode_special_tokens = not options
        for text, ours in zip(texts, run_tool(path, texts, *options)):
            if known(text):
                ids = reference.encode(text, add_special_tokens=False).ids
                assert ours["ids"] == ids, (options, text)
            if lossless and not options:
                assert ours["text"] == text


@pytest.fixture(scope="session")
def count(long_run):
    return 20000 if long_run else 1500


def default_model_file():
    home = os.environ.get("CLOZE_HOME")
    found = sorted(pathlib.Path(home).glob(f"models/{MODEL}/*/*.gguf")) if home else []
    if not found:
        pytest.skip("the default model is not in the store")
    return found[0]


def test_default_model(count, tmp_path):
    from gguf import GGUFReader
    path = default_model_file()
    fields = {key: field.contents() for key, field in GGUFReader(path).fields.items()
              if key.startswith("tokenizer.ggml.")}
    tokens, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    reference = Tokenizer(models.BPE(
        vocab={token: id for id, token in enumerate(tokens)},
        merges=[tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]))
    reference.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    reference.decoder = decoders.ByteLevel()
    reference.add_special_tokens([AddedToken(token, special=True, normalized=False)
                                  for token, kind in zip(tokens, kinds) if kind == 3])
    spelled = bytes_without_token(tokens)
    compare(path, reference, count, lossless=not spelled)
    reference.save(str(tmp_path / "tokenizer.json"))
    compare(tmp_path / "tokenizer.json", reference, count // 4, lossless=not spelled)


def bytes_without_token(tokens):
    """The default vocabulary has no token for a few bytes that UTF-8 never or hardly uses."""
    return set(pre_tokenizers.ByteLevel.alphabet()) - set(tokens)


def blank_tokenizer():
    """SentencePiece's shape, as Llama 2 and Mistral have it: U+2581 for blanks, byte fallback."""
    words = ["the", "and", "her", "in", "on", "er", "re", "th", "an"]
    vocab = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    merges = []
    vocab += ["\u2581"] + [chr(c) for c in range(33, 127)] + ["é", "漢"]

    def merge(left, right):
        merges.append((left, right))
        if left + right not in vocab:
            vocab.append(left + right)

    for pair in ["th", "he", "er", "re", "in", "an", "on", "nd"]:
        merge(pair[0], pair[1])
    merge("\u2581", "\u2581"), merge("\u2581\u2581", "\u2581\u2581")
    merge("th", "e"), merge("h", "er"), merge("an", "d")
    for word in words:
        if word in vocab:
            merge("\u2581", word)
    tokenizer = Tokenizer(models.BPE(vocab={token: id for id, token in enumerate(vocab)},
                                     merges=merges, unk_token="<unk>", fuse_unk=True,
                                     byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"),
                                                 normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(),
                                           decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False)
                                  for token in vocab[:3]])
    return tokenizer


def test_blanks_and_byte_fallback(count, tmp_path):
    path = tmp_path / "tokenizer.json"
    reference = blank_tokenizer()
    reference.save(str(path))
    compare(path, reference, count)


@pytest.mark.parametrize("name", ["llama3_1", "llama2", "mistral_nemo", "qwen3", "gemma3"])
def test_outside_vocabulary(name, count):
    path = OUTSIDE / "tokenizers" / name / "tokenizer.json"
    if not path.exists():
        pytest.skip(f"the outside tokenizer {name} could not be fetched")
    compare(path, Tokenizer.from_file(str(path)), count, lossless=name != "qwen3")  # NFC changes


def test_outside_sentencepiece_model(count):
    """Mistral-7B-v0.1's own file, against the library that made it."""
    path = OUTSIDE / "tokenizers/mistral-v1/tokenizer.model"
    if not path.exists():
        pytest.skip("the outside tokenizer mistral-v1 could not be fetched")
    reference = SentencePieceProcessor(model_file=str(path))
    texts = texts_for([], count)
    for text, ours in zip(texts, run_tool(path, texts)):
        assert ours["ids"] == reference.encode(text), text
        assert ours["text"] == text
