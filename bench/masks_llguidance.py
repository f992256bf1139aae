#!/usr/bin/env python3
"""MaskBench for Cloze and for the PyPI package llguidance, on the same schemas and machine: in turn,
each time in a fresh process, several rounds. A figure is the median of its rounds, a maximum the
smallest of them. Prints one Markdown table.

    pip install llguidance
    python3 bench/masks_llguidance.py --cloze build/src/cli/cloze --sample 700 \\
        --tokenizer tokenizer.json MASKBENCH_FOLDER

Both are timed alike: one thread, one window per token (computing the mask and taking the token),
compiling from the text of the schema, the end of a document checked. llguidance is called through
its Python binding with raw pointers, which adds some 0.5 us of interpreter to each window.
--prefix puts a command before each run, such as "chrt -f 5".
"""
import argparse
import array
import json
import pathlib
import random
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

POINTS = [("avg", None), ("p25", .25), ("p50", .5), ("p75", .75), ("p90", .9), ("p95", .95),
          ("p99", .99), ("p999", .999), ("max", 1)]
COUNTS = ["schemas", "passing", "compile_errors", "valid_rejected", "invalid_accepted", "masks"]


class LLGuidance:
    def __init__(self, tokenizer_path):
        import llguidance
        self.module = llguidance
        self.tokenizer = llguidance.LLTokenizer(pathlib.Path(tokenizer_path).read_text())
        self.words = array.array("I", bytes(4 * ((self.tokenizer.vocab_size + 31) // 32)))
        self.pointer, self.size = self.words.buffer_info()[0], 4 * len(self.words)
        self.masks, self.compiles = array.array("d"), array.array("d")
        self.classes = []

    def judge(self, case):
        schema = json.dumps(case["schema"], ensure_ascii=False)
        start = time.perf_counter_ns()
        try:
            grammar = self.module.LLMatcher.grammar_from_json_schema(schema)
            matcher = self.module.LLMatcher(self.tokenizer, grammar)
            failed = matcher.is_error()
        except Exception:
            failed = True
        spent = (time.perf_counter_ns() - start) / 1000
        if failed:
            return "compile_errors"
        self.compiles.append(spent)
        result = "passing"
        for test in case.get("tests", []):
            matcher.reset()
            text = json.dumps(test["data"], ensure_ascii=False)
            if self.feed(matcher, self.tokenizer.tokenize_str(text)) != test["valid"]:
                result = "valid_rejected" if test["valid"] else "invalid_accepted"
        return result

    def feed(self, matcher, tokens):
        fill, words = matcher.unsafe_compute_mask_ptr, self.words
        pointer, size, clock = self.pointer, self.size, time.perf_counter_ns
        for token in tokens:
            start = clock()
            fill(pointer, size)
            masked = clock()
            allowed = words[token >> 5] >> (token & 31) & 1
            if not allowed:
                self.masks.append((masked - start) / 1000)
                return False
            looked = clock()
            matcher.consume_token(token)
            self.masks.append((clock() - looked + masked - start) / 1000)
            if matcher.is_error():
                return False
        return matcher.is_accepting()

    def result(self):
        result = {key: self.classes.count(key) for key in COUNTS}
        result.update(schemas=len(self.classes), masks=len(self.masks),
                      mask_us=distribution(self.masks), compile_us=distribution(self.compiles),
                      rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return result


def distribution(values):
    values = sorted(values) or [0]
    return {name: sum(values) / len(values) if share is None else
            values[min(int(share * len(values)), len(values) - 1)] for name, share in POINTS}


def run_llguidance(tokenizer, paths):
    """In a process of its own: prints the result as one line."""
    engine = LLGuidance(tokenizer)
    for path in paths:
        engine.classes.append(engine.judge(json.loads(pathlib.Path(path).read_text())))
    print(json.dumps(engine.result()))


def commands(arguments, listing):
    """Name and command of each engine."""
    from importlib import metadata
    masks = [arguments.cloze, "bench", "masks", "--quiet", "--tokenizer", arguments.tokenizer]
    paths = listing.read_text().split("\n")
    yield "Cloze, acceptance", [*masks, *paths]
    yield "Cloze, generation", [*masks, "--policy", "generate", *paths]
    if not arguments.alone:
        yield (f"llguidance {metadata.version('llguidance')}",
               [sys.executable, __file__, "--llguidance", str(listing), "--tokenizer",
                arguments.tokenizer, "."])


def measure(command, prefix):
    process = subprocess.run([*prefix, *command], capture_output=True, text=True)
    if process.returncode:
        sys.exit(f"{command[:5]}: {process.stderr[-2000:]}")
    return json.loads(process.stdout.splitlines()[-1])


def table(names, rounds):
    def median(results, key, point=None):
        values = [result[key][point] if point else result[key] for result in results]
        return min(values) if point == "max" else statistics.median(values)

    yield "| | " + " | ".join(names) + " |"
    yield "|---|" + "--:|" * len(names)
    for key in COUNTS + ["rss_mb"]:
        yield f"| {key.replace('_', ' ').replace('rss mb', 'peak memory, MB')} | " + " | ".join(
            f"{median(results, key):,.0f}" for results in rounds) + " |"
    for key, label in (("mask_us", "mask + token, µs"), ("compile_us", "compile, µs")):
        for name, _ in POINTS:
            yield f"| {label}, {name} | " + " | ".join(
                f"{median(results, key, name):,.2f}" for results in rounds) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cloze")
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--sample", type=int, help="so many files at random; default: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prefix", default="", help="put before every command")
    parser.add_argument("--alone", action="store_true", help="without llguidance")
    parser.add_argument("--llguidance", metavar="LIST", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("folder", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.llguidance:
        return run_llguidance(arguments.tokenizer, arguments.llguidance.read_text().split("\n"))
    files = sorted(arguments.folder.glob("*.json"))
    if arguments.sample:
        files = sorted(random.Random(arguments.seed).sample(files, arguments.sample))
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listing:
        listing.write("\n".join(str(path.resolve()) for path in files))
        listing.flush()
        engines = list(commands(arguments, pathlib.Path(listing.name)))
        rounds = [[] for _ in engines]
        for number in range(arguments.rounds):
            for results, (name, command) in zip(rounds, engines):
                results.append(measure(command, shlex.split(arguments.prefix)))
                print(f"round {number + 1}: {name}", file=sys.stderr)
    print("\n".join(table([name for name, _ in engines], rounds)))


if __name__ == "__main__":
    main()
