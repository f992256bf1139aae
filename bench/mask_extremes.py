#!/usr/bin/env python3
"""Compile and mask times of schemas at the edges of what users bring, for Cloze and for the PyPI
package llguidance: each in a fresh process, several rounds in turn, medians. Prints one Markdown
table.

    pip install llguidance
    python3 bench/mask_extremes.py --cloze build/src/cli/cloze --tokenizer tokenizer.json \\
        [--maskbench MASKBENCH_FOLDER]

The schemas are made here, with an instance each that is fed token by token; the Kubernetes ones are
the largest of MaskBench's. Timed as in masks_llguidance.py.
"""
import argparse
import json
import pathlib
import shlex
import statistics
import sys
import tempfile

from masks_llguidance import LLGuidance, measure

ROOT = pathlib.Path(__file__).resolve().parents[1]
WORDS = ["amber", "basalt", "cedar", "delta", "ember", "fjord", "garnet", "heron", "indigo", "jade"]


def word(number):
    """A different text for every number."""
    return "-".join([WORDS[int(digit)] for digit in str(number)])


def character():
    schema = json.loads((ROOT / "examples/character/character.schema.json").read_text())
    return schema, {"name": "Thorgrim", "age": 41, "armor": "plate", "weapon": "axe",
                    "strength": 18}


def text(longest):
    return {"type": "string", "maxLength": longest}, ("a quiet evening by the river " * 20)[:longest]


def tool(number):
    name = word(number)
    properties = {f"{WORDS[i]}_{kind}": {"type": kind, "description": f"{kind} of {name}"}
                  for i, kind in enumerate(["string", "integer", "boolean", "number"])}
    return {"type": "object", "additionalProperties": False, "required": ["name", "arguments"],
            "properties": {"name": {"const": name},
                           "arguments": {"type": "object", "properties": properties,
                                         "required": list(properties)[:2],
                                         "additionalProperties": False}}}


def tools(count):
    return ({"anyOf": [tool(number) for number in range(count)]},
            {"name": word(count - 7), "arguments": {"amber_string": "north", "basalt_integer": 12}})


def deep(levels):
    """Definitions that contain each other, and a document as deep."""
    tree = {"type": "object", "additionalProperties": False, "required": ["name"],
            "properties": {"name": {"type": "string"},
                           "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}
    instance = {"name": "leaf"}
    for _ in range(levels):
        instance = {"name": "node", "children": [instance]}
    return {"$ref": "#/$defs/tree", "$defs": {"tree": tree}}, instance


def branches(count):
    kinds = [{"type": "object", "required": [word(number)],
              "properties": {"note": {"type": "string"}, word(number): {"type": "integer"}}}
             for number in range(count)]
    return {"anyOf": kinds}, {"note": "one of many", word(count // 2): 5}


def some_object():
    return {"type": "object"}, {"a": {"b": [1, 2.5, None, "text"]}, "c": "more text", "d": True}


def cases(maskbench):
    yield ("the guide's Character", *character())
    for power in range(7):
        yield (f"`maxLength` {10 ** power:,}", *text(10 ** power))
    enum = [word(number) for number in range(5000)]
    yield "enum of 5,000 strings", {"enum": enum}, enum[4321]
    yield ("400 tool schemas", *tools(400))
    yield ("recursion, 100 deep", *deep(100))
    yield ("`{\"type\": \"object\"}`", *some_object())
    yield ("`anyOf` of 30 objects", *branches(30))
    yield ("`anyOf` of 300 objects", *branches(300))
    if maskbench:
        yield from kubernetes(maskbench)


def kubernetes(folder):
    """The largest three of those that have an instance of some length."""
    found = 0
    for path in sorted(folder.glob("Kubernetes*.json"), key=lambda path: -path.stat().st_size):
        case = json.loads(path.read_text())
        valid = [json.dumps(test["data"]) for test in case["tests"] if test["valid"]]
        longest = max(valid, key=len, default="")
        if len(longest) > 200 and found < 3:
            found += 1
            yield (f"Kubernetes, {len(json.dumps(case['schema'])) // 1000} kB", case["schema"],
                   json.loads(longest))


def write_case(path, schema, *instances):
    tests = [{"description": "", "valid": True, "data": instance} for instance in instances]
    path.write_text(json.dumps({"schema": schema, "tests": tests}, ensure_ascii=False))


def run_llguidance(tokenizer, path):
    engine = LLGuidance(tokenizer)
    engine.classes.append(engine.judge(json.loads(path.read_text())))
    print(json.dumps(engine.result()))


def cell(results):
    """Compile and p99 mask, medians; what went wrong where something did."""
    if results[0]["compile_errors"]:
        return "refused | "
    if results[0]["valid_rejected"]:
        return "valid rejected | "
    return " | ".join(f"{statistics.median(result[key][point] for result in results):,.1f}"
                      for key, point in (("compile_us", "avg"), ("mask_us", "p99")))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cloze")
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--maskbench", type=pathlib.Path)
    parser.add_argument("--policy", default="generate", choices=["generate", "accept"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prefix", default="", help="put before every command")
    parser.add_argument("--alone", action="store_true", help="without llguidance")
    parser.add_argument("--llguidance", metavar="FILE", type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.llguidance:
        return run_llguidance(arguments.tokenizer, arguments.llguidance)
    print("| schema | Cloze compile, µs | mask p99, µs | llguidance compile, µs | mask p99, µs |")
    print("|---|--:|--:|--:|--:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, *case) in enumerate(cases(arguments.maskbench)):
            path = pathlib.Path(folder, f"{number}.json")
            write_case(path, *case)
            commands = [[arguments.cloze, "bench", "masks", "--quiet", "--policy", arguments.policy,
                         "--tokenizer", arguments.tokenizer, path]]
            if not arguments.alone:
                commands.append([sys.executable, __file__, "--tokenizer", arguments.tokenizer,
                                 "--llguidance", path])
            results = [[] for _ in commands]
            for _ in range(arguments.rounds):
                for measured, command in zip(results, commands):
                    measured.append(measure(command, shlex.split(arguments.prefix)))
            print(f"| {name} | " + " | ".join(map(cell, results)) + " |", flush=True)


if __name__ == "__main__":
    main()
