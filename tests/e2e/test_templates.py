"""Chat templates print byte for byte what Jinja prints with transformers' settings.

Compared are expressions and statements one by one, and whole templates (tests/data/templates and
those of others that ./check fetched) over random conversations."""
import datetime
import functools
import json
import os
import pathlib
import random
import subprocess

import jinja2
import jinja2.ext
import jinja2.sandbox
import pytest

from conftest import OUTSIDE, ROOT


class Generation(jinja2.ext.Extension):
    """transformers' {% generation %} block, which prints its body."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("body"), [], [], body).set_lineno(line)

    def body(self, caller):
        return caller()


def environment():
    def raise_exception(message):
        raise jinja2.TemplateError(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    return env


ENV = environment()


def ours(cases):
    build = pathlib.Path(os.environ.get("CLOZE", ROOT / "build/check/src/cli/cloze")).parents[2]
    lines = "".join(json.dumps({"template": t, "context": c}) + "\n" for t, c in cases)
    process = subprocess.run([build / "tests/unit/template/template-tool"], input=lines,
                             capture_output=True, text=True, check=True)
    results = [json.loads(line) for line in process.stdout.removesuffix("\n").split("\n")]
    assert len(results) == len(cases)
    return results


@functools.cache
def compiled(template):
    return ENV.from_string(template)


def jinja(template, context):
    """(text, None) or (None, exception)"""
    try:
        return compiled(template).render(**context), None
    except Exception as problem:  # whatever Python raises, the rendering failed
        return None, problem


CONTEXT = {
    "s": "Hello wörld, it's <b>", "t": "  a b  c \n", "n": 7, "f": 2.5, "neg": -3, "l": [3, 1, 2],
    "ls": ["b", "A", "c", "a"], "d": {"k": "v", "items": "X", "n": None, "b": True}, "empty": "",
    "z": 0, "none": None, "html": "<a href='x'>&\"</a>", "u": "ÀÉ straße ß", "nl": "a\nb\n\nc\n",
    "big": 123456789012345678901234567890, "nested": {"a": {"b": [10, {"c": "deep"}]}},
    "floats": [1.0, 1e16, 1e-5, 0.1, 123456.789, 1e15, -0.0, 1e300, 3.14],
    "msgs": [{"role": "user", "c": "x", "n": 2}, {"role": "assistant", "c": "y"},
             {"role": "user", "c": "z", "n": 1}]}


def test_constructs():
    """tests/data/jinja.txt holds one template after another, apart by lines of ===."""
    text = (ROOT / "tests/data/jinja.txt").read_text()
    templates = [t.removesuffix("\n") for t in text.split("===\n")]
    failures = []
    for template, result in zip(templates, ours([(t, CONTEXT) for t in templates])):
        expected, problem = jinja(template, CONTEXT)
        if (result.get("text") if problem is None else "error" in result or None) != (
                expected if problem is None else True):
            failures.append((template, expected, str(problem), result))
    assert not failures
    assert len(templates) > 250


WORDS = ["Hello", "what's", "the", "weather", "in Paris?", "\n", "  ", "<|im_end|>", "</s>", "été",
         "日本語", "👍", '{"a": 1}', "'quoted'", '"dq"', "\\n", "<think>", "</think>", "tab\there",
         "[INST]", "x<y&z", "a.b"]


class Conversations:
    def __init__(self, seed):
        self.rng = random.Random(seed)

    def maybe(self, chance):
        return self.rng.random() < chance

    def text(self, most=8):
        return " ".join(self.rng.choice(WORDS) for _ in range(self.rng.randint(0, most)))

    def tool(self):
        rng = self.rng
        properties = {}
        for _ in range(rng.randint(0, 3)):
            kind = rng.choice(["string", "integer", "number", "boolean", "array"])
            schema = {"type": kind, "description": self.text(4)}
            if kind == "array":
                schema["items"] = {"type": "string"}
            if self.maybe(.3):
                schema["default"] = rng.choice([1, 1.5, None, True, "é", 1e20, 1e-7, [1]])
            properties[rng.choice(["city", "unit", "n", "opt"])] = schema
        return {"type": "function", "function": {
            "name": rng.choice(["get_weather", "f"]), "description": self.text(5),
            "parameters": {"type": "object", "properties": properties,
                           "required": list(properties)[:1]}}}

    def call(self):
        arguments = {"city": self.rng.choice(["Paris", "O'Brien \"x\""]),
                     "n": self.rng.choice([1, 2.5, True, None, [1, 2], {"k": "v"}])}
        return {"id": self.rng.choice(["abcdefghi", "call_0"]), "type": "function",
                "function": {"name": "get_weather",
                             "arguments": self.rng.choice([arguments, json.dumps(arguments), {}])}}

    def turn(self):
        yield {"role": "user", "content": self.text() if self.maybe(.85) else
               [{"type": "text", "text": self.text()}]}
        if self.maybe(.25):
            calls = [self.call() for _ in range(self.rng.randint(1, 2))]
            yield {"role": "assistant", "content": self.rng.choice([None, "", self.text()]),
                   "tool_calls": calls}
            for call in calls:
                yield {"role": "tool", "name": "get_weather", "tool_call_id": call["id"],
                       "content": self.rng.choice([self.text(), '{"t": 21.5}'])}
        if self.maybe(.8):
            yield {"role": "assistant", "content": self.rng.choice(
                [self.text(), "<think>\nhm\n</think>\n\n" + self.text()])}

    def context(self):
        messages = [{"role": "system", "content": self.text()}] if self.maybe(.5) else []
        for _ in range(self.rng.randint(1, 4)):
            messages += self.turn()
        context = {"messages": messages, "add_generation_prompt": self.maybe(.6), "tools": None,
                   "bos_token": "<s>", "eos_token": "</s>"}
        if self.maybe(.4):
            context["tools"] = [self.tool() for _ in range(self.rng.randint(1, 3))]
        if self.maybe(.2):
            context["enable_thinking"] = self.maybe(.5)
        if self.maybe(.2):
            context["date_string"] = "26 Jul 2024"
        return context


def templates():
    """(name, text) of our own templates and of those that ./check fetched."""
    for path in sorted((ROOT / "tests/data/templates").glob("*.jinja")):
        yield path.stem, path.read_text()
    for path in sorted((OUTSIDE / "templates").glob("*/*.jinja")):
        yield f"{path.parent.name}-{path.stem}", path.read_text()
    for path in sorted((OUTSIDE / "tokenizers").glob("*/tokenizer_config.json")):
        text = json.loads(path.read_text()).get("chat_template")
        if isinstance(text, str):
            yield f"tokenizer-{path.parent.name}", text


TEMPLATES = list(templates())
REFUSED = {"axolotl-jamba": "unpacked arguments are not supported"}


def test_outside_templates_are_here():
    if not any((OUTSIDE / "templates").glob("*/*.jinja")):
        pytest.skip("the outside templates could not be fetched")


@pytest.mark.parametrize("name,template", TEMPLATES, ids=[name for name, _ in TEMPLATES])
def test_template(name, template, long_run):
    conversations = Conversations(name)
    cases = [(template, conversations.context()) for _ in range(300 if long_run else 60)]
    equal = 0
    for (_, context), result in zip(cases, ours(cases)):
        expected, problem = jinja(template, context)
        if name in REFUSED:
            assert REFUSED[name] in result["error"] and "line" in result["where"]
            equal += 1
        elif problem is None:
            assert result.get("text") == expected, (context, result)
            equal += 1
        else:
            # What Python can't serialise, such as a generator, may be printable here.
            assert "error" in result or "generator" in str(problem), (context, problem)
    assert equal > 0


def test_a_user_is_never_trusted():
    """Words of a user are outside of every trusted span, whatever the template does with them."""
    for name, template in TEMPLATES:
        conversations = Conversations(name + "trust")
        cases = [(template, conversations.context()) for _ in range(20)]
        for _, context in cases:
            for message in context["messages"]:
                if isinstance(message["content"], str):
                    message["content"] = "\u2603" + message["content"] + "\u2603"
        for result in ours(cases):
            text = result.get("text", "").encode()
            for start, end in result.get("spans", []):
                assert "\u2603".encode() not in text[start:end], name
