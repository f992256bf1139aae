"""Schemas made to take long or much, and what compiling one takes: for a test and a benchmark."""
import json
import pathlib
import subprocess
import sys
import textwrap


def nested(count, leaf, wrap):
    for _ in range(count):
        leaf = wrap(leaf)
    return leaf


def all_of_pairs(count):
    """allOf whose branches double the possibilities each."""
    return {"allOf": [{"anyOf": [{"required": [f"a{i}"]}, {"required": [f"b{i}"]}]}
                      for i in range(count)]}


CASES = {
    "exponential allOf": json.dumps(all_of_pairs(40)),
    "60,000-fold nesting": '{"items":' * 60000 + "{}" + "}" * 60000,
    "60,000-fold not": '{"not":' * 60000 + "{}" + "}" * 60000,
    "regex bomb": json.dumps({"pattern": "^(?:(?:(?:a{1,100}){1,100}){1,100}b?)*c$"}),
    "regex alternatives": json.dumps({"pattern": "(" + "|".join(["a*" * 30] * 200) + ")$"}),
    "lookaheads": json.dumps({"pattern": "".join(f"(?=.*{chr(97 + i)})" for i in range(26)) + ".*"}),
    "states of a window": json.dumps({"pattern": "a.{30}b.{30}c"}),
    "giant bounds": json.dumps({"maxLength": 10**18, "minLength": 10**9, "maxItems": 10**18,
                                "minItems": 10**9, "minimum": -10**300, "maximum": 10**300}),
    "reference cycle": json.dumps({"$ref": "#"}),
    "reference cycle of allOf": json.dumps({"$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]},
                                                      "b": {"allOf": [{"$ref": "#/$defs/a"}]}},
                                            "$ref": "#/$defs/a"}),
    "not of itself": json.dumps({"not": {"$ref": "#"}}),
    "growing recursion": json.dumps({"type": "object", "properties": {"a": {"allOf": [
        {"$ref": "#"}, {"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}}]}}}),
    "unique items from an enum": json.dumps({
        "type": "array", "uniqueItems": True, "items": {"enum": list(range(60))}, "minItems": 50,
        "contains": {"enum": list(range(0, 60, 2))}, "minContains": 25, "maxContains": 26}),
    "unique items from objects": json.dumps({
        "type": "array", "uniqueItems": True, "minItems": 12, "contains": {"required": ["a"]},
        "items": {"enum": [{"a": i % 5, "b": i} for i in range(40)]}, "maxContains": 20}),
    "impossible unique items": json.dumps({"type": "array", "uniqueItems": True, "minItems": 30,
                                           "items": {"enum": list(range(29))}}),
    "multiples": json.dumps({"allOf": [{"multipleOf": m} for m in (7919, 7907, 7901, 7883)]}),
    "many branches": json.dumps({"oneOf": [{"properties": {f"k{i}": {"type": "integer"}}}
                                           for i in range(300)]}),
    "dependent keys": json.dumps({"dependentRequired": {f"k{i}": [f"k{(i * 7) % 40}", f"k{i + 1}"]
                                                        for i in range(40)}}),
    "patterns that overlap": json.dumps({"patternProperties": {
        f"^.*{chr(97 + i)}.*$": {"minimum": i} for i in range(24)}}),
    "unevaluated": json.dumps({"anyOf": [{"properties": {f"k{i}": True}} for i in range(40)],
                               "unevaluatedProperties": False}),
}

# In a process of its own, whose peak memory is what the schema took.
PROGRAM = textwrap.dedent("""
    import json, resource, sys, time
    sys.setrecursionlimit(100)
    from libcloze import Refused, Vocab
    source = sys.stdin.read()
    vocab = Vocab()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    try:
        grammar = vocab.compile(source, policy=sys.argv[1])
        code, message = "ok", ""
    except Refused as refused:
        code, message = refused.code, refused.message
    seconds = time.process_time() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([code, message, seconds, (after - before) / 1024]))
""")


def compile_apart(name, policy):
    """Code of the refusal or "ok", its message, processor seconds, megabytes."""
    process = subprocess.run([sys.executable, "-c", PROGRAM, policy], input=CASES[name], text=True,
                             capture_output=True, timeout=60, cwd=pathlib.Path(__file__).parent)
    if process.returncode:
        raise RuntimeError(f"{name}: {process.stderr[-2000:]}")
    return json.loads(process.stdout)
