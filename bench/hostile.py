#!/usr/bin/env python3
"""Processor time and memory that compiling hostile schemas takes: one Markdown table.

    CLOZE_LIBRARY=build/libcloze.so python3 bench/hostile.py
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/e2e"))

from hostile import CASES, compile_apart  # noqa: E402: it lies beside the test that uses it


def main():
    print("| schema | acceptance | ms | MB | generation | ms | MB |")
    print("|---|---|--:|--:|---|--:|--:|")
    for name in CASES:
        cells = []
        for policy in ("accept", "generate"):
            code, _, seconds, megabytes = compile_apart(name, policy)
            cells += [code, f"{seconds * 1000:.1f}", f"{megabytes:.1f}"]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
