#!/usr/bin/env python3
"""MaskBench for Cloze and for the PyPI package llguidance, on the same schemas and machine,
interleaved: parts of the files go to one, then to the other, so that noise of the machine meets
both. Writes one Markdown table.

    pip install llguidance tokenizers
    python3 bench/masks_llguidance.py --cloze build/src/cli/cloze \\
        --tokenizer tokenizer.json MASKBENCH_FOLDER > table.md

llguidance is called through its Python binding with raw pointers; each window holds one mask and
one token, and about 0.5 us of interpreter, which the table says. It counts the end of the document
as Cloze does.
"""
import argparse
import array
import json
import pathlib
import subprocess
import sys
import time

PARTS = 10
POINTS = [("avg", None), ("p25", .25), ("p50", .5), ("p75", .75), ("p90", .9), ("p95", .95),
          ("p99", .99), ("p999", .999), ("max", 1)]


class LLGuidance:
    def __init__(self, tokenizer_path):
        import llguidance
        self.module = llguidance
        self.name = "llguidance " + __import__("importlib.metadata").metadata.version("llguidance")
        self.tokenizer = llguidance.LLTokenizer(pathlib.Path(tokenizer_path).read_text())
        self.words = array.array("I", bytes(4 * ((self.tokenizer.vocab_size + 31) // 32)))
        self.pointer, self.size = self.words.buffer_info()[0], 4 * len(self.words)
        self.masks, self.compiles = array.array("d"), array.array("d")
        self.classes = {}

    def run(self, files):
        for path in files:
            case = json.loads(path.read_text())
            self.classes[path.name] = self.judge(case)

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
            return "compile_error"
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

    def numbers(self, values):
        values = sorted(values)
        return {name: sum(values) / len(values) if share is None else
                values[min(int(share * len(values)), len(values) - 1)] for name, share in POINTS}

    def result(self):
        counts = list(self.classes.values())
        return {"schemas": len(counts), "passing": counts.count("passing"),
                "compile_errors": counts.count("compile_error"),
                "valid_rejected": counts.count("valid_rejected"),
                "invalid_accepted": counts.count("invalid_accepted"), "masks": len(self.masks),
                "mask_us": self.numbers(self.masks), "compile_us": self.numbers(self.compiles)}


class Cloze:
    """One process a part; percentiles of the parts are averaged by their number of masks, the
    maximum is the largest."""

    def __init__(self, program, tokenizer, policy):
        self.program, self.tokenizer, self.policy = program, tokenizer, policy
        self.name = f"Cloze, {policy}"
        self.parts = []

    def run(self, files):
        process = subprocess.run([self.program, "bench", "masks", "--quiet", "--tokenizer",
                                  self.tokenizer, "--policy", self.policy, *map(str, files)],
                                 capture_output=True, text=True, check=True)
        self.parts.append(json.loads(process.stdout.splitlines()[-1]))

    def result(self):
        total = {key: sum(part[key] for part in self.parts)
                 for key in ("schemas", "passing", "compile_errors", "valid_rejected",
                             "invalid_accepted", "masks")}
        for key, weight in (("mask_us", "masks"), ("compile_us", "schemas")):
            total[key] = {name: sum(part[key][name] * part[weight] for part in self.parts) /
                          total[weight] for name, _ in POINTS}
            total[key]["max"] = max(part[key]["max"] for part in self.parts)
        return total


def table(engines):
    results = [engine.result() for engine in engines]
    yield "| | " + " | ".join(engine.name for engine in engines) + " |"
    yield "|---|" + "--:|" * len(engines)
    for key in ("schemas", "passing", "compile_errors", "valid_rejected", "invalid_accepted",
                "masks"):
        yield f"| {key.replace('_', ' ')} | " + " | ".join(
            f"{result[key]:,}" for result in results) + " |"
    for key, label in (("mask_us", "mask + token, µs"), ("compile_us", "compile, µs")):
        for name, _ in POINTS:
            yield f"| {label}, {name} | " + " | ".join(
                f"{result[key][name]:,.2f}" for result in results) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cloze", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--every", type=int, default=1, help="take every n-th file")
    parser.add_argument("folder", type=pathlib.Path)
    arguments = parser.parse_args()
    files = sorted(arguments.folder.glob("*.json"))[::arguments.every]
    engines = [Cloze(arguments.cloze, arguments.tokenizer, "accept"),
               Cloze(arguments.cloze, arguments.tokenizer, "generate"),
               LLGuidance(arguments.tokenizer)]
    for part in range(PARTS):
        for engine in engines:
            engine.run(files[part::PARTS])
        print(f"part {part + 1} of {PARTS}", file=sys.stderr)
    print("\n".join(table(engines)))


if __name__ == "__main__":
    main()
