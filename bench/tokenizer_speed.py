#!/usr/bin/env python3
"""MB/s of encoding, Cloze against the tokenizers package, on one thread each, interleaved.

    bench/tokenizer_speed.py TOKENIZER_JSON TEXT_FILE... [--tool PATH] [--rounds N]

Prints the median of each and their ratio. Both encode the same texts in chunks of 20,000
characters; opening the vocabulary is not counted."""
import argparse
import json
import pathlib
import re
import statistics
import subprocess
import time

from tokenizers import Tokenizer

ROOT = pathlib.Path(__file__).resolve().parents[1]


def chunks(files):
    text = "".join(pathlib.Path(file).read_text() for file in files)
    return [text[at:at + 20000] for at in range(0, len(text), 20000)]


def ours(tool, path, lines):
    process = subprocess.run([tool, path, "time"], input=lines, capture_output=True, text=True,
                             check=True)
    return float(re.search(r": ([\d.]+) MB/s", process.stderr).group(1))


def theirs(tokenizer, texts, size):
    start = time.process_time()
    for text in texts:
        tokenizer.encode(text, add_special_tokens=False)
    return size / 1e6 / (time.process_time() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("vocabulary")
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--tool", default=ROOT / "build/check/tests/unit/tokenizer/tokens-tool")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    texts = chunks(arguments.texts)
    size = sum(len(text.encode()) for text in texts)
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    tokenizer = Tokenizer.from_file(arguments.vocabulary)
    pairs = [(ours(arguments.tool, arguments.vocabulary, lines), theirs(tokenizer, texts, size))
             for _ in range(arguments.rounds)]
    print(f"cloze      {statistics.median(a for a, _ in pairs):7.1f} MB/s")
    print(f"tokenizers {statistics.median(b for _, b in pairs):7.1f} MB/s")
    print(f"ratio      {statistics.median(a / b for a, b in pairs):7.2f}")


if __name__ == "__main__":
    main()
