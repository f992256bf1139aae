"""Regexes, choices, grammars and structural constraints through the public API."""
import json
import random
import re

import pytest

from libcloze import Refused, Vocab


@pytest.fixture(scope="module")
def vocab():
    return Vocab()


GBNF = r'''
# arithmetic
root  ::= (expr "=" ws term "\n")+
expr  ::= term ([-+*/] term)*
term  ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num   ::= [0-9]+ ws
ws    ::= [ \t\n]*
'''

LARK = r'''
start: value
?value: object | array | string | SIGNED_NUMBER -> number | "true" | "false" | "null"
array  : "[" [value ("," value)*] "]"
object : "{" [pair ("," pair)*] "}"
pair   : string ":" value
string : ESCAPED_STRING
%import common.ESCAPED_STRING
%import common.SIGNED_NUMBER
%import common.WS
%ignore WS
'''


@pytest.mark.parametrize("kind, source, yes, no", [
    ("regex", r"\d{3}-(?:a|b)+", ["123-ab"], ["12-a", "123-ab\n", "x123-a"]),
    ("choice", json.dumps(["yes", "no", "no.*"]), ["yes", "no", "no.*"], ["n", "nox", ""]),
    ("json_object", "", ['{"a":[1]}', "{}"], ["[]", "1"]),
    ("gbnf", GBNF, ["a=1\n", "(x +2)*y= 3\n1=1\n"], ["a=", "a=1", "(1=1\n"]),
    ("gbnf", 'root ::= "a"{2,3} | "é" [^b-d] .', ["aa", "aaa", "éax"], ["a", "aaaa", "ébx"]),
    ("gbnf", 'root ::= root "a" | "b"', ["b", "baa"], ["a", ""]),
    ("lark", LARK, ['{"a": [1, -2.5e3, true]}', " [ ] "], ["{a:1}", "[1,]"]),
    ("lark", 'start: "list" "ed" | "listen"', ["listed", "listen"], ["list"]),
    ("lark", 'start: A~2..3 "x"i\nA: "a".."c"', ["abX", "abcx"], ["ax", "abcax"]),
    ("structural", json.dumps({"until": "</think>", "then": {"schema": {"type": "integer"}}}),
     ["hm</think>12"], ["12", "hm</think>x", "</think>1</think>2"]),
    ("structural", json.dumps({"tags": [
        {"begin": "<f=a>", "schema": {"type": "object"}, "end": "</f>"},
        {"begin": "<f=b>", "regex": "[0-9]+", "end": "</f>"}], "triggers": ["<f="]}),
     ["text only", "x<f=a>{}</f> and <f=b>12</f>"], ["<f=c>", "<f=b>x</f>", "<f=a>{}"]),
])
def test_languages(vocab, kind, source, yes, no):
    grammar = vocab.compile(source, kind=kind)
    for text in yes:
        assert grammar.judge(text), text
    for text in no:
        assert not grammar.judge(text), text


@pytest.mark.parametrize("kind, source, code, part", [
    ("gbnf", "root ::= a", "invalid", "'a'"),
    ("gbnf", 'root ::= "a', "invalid", "line 1"),
    ("gbnf", "root ::= root", "unsatisfiable", ""),
    ("lark", "start: a{b}", "unsupported", "templates"),
    ("lark", "start: X\n%import python.X", "unsupported", "common"),
    ("lark", "start: /(a)\\1/", "unsupported", "back-reference"),
    ("choice", "[]", "invalid", "at least one"),
    ("choice", "[1]", "invalid", "string"),
    ("structural", "{}", "invalid", "until"),
    ("regex", "(?!)", "unsatisfiable", ""),
])
def test_refusals_name_the_place(vocab, kind, source, code, part):
    with pytest.raises(Refused) as refused:
        vocab.compile(source, kind=kind)
    assert refused.value.code == code
    assert part in refused.value.where + refused.value.message


def random_regex(chooser, depth):
    roll = chooser.random()
    if depth == 0 or roll < 0.3:
        return chooser.choice(["a", "b", ".", "[ab]", "[^a]", r"\w", r"\d", "é", " "])
    if roll < 0.55:
        return random_regex(chooser, depth - 1) + random_regex(chooser, depth - 1)
    if roll < 0.65:
        return f"(?:{random_regex(chooser, depth - 1)}|{random_regex(chooser, depth - 1)})"
    if roll < 0.8:
        return f"(?:{random_regex(chooser, depth - 1)})" + chooser.choice(["*", "+", "?", "{1,3}"])
    if roll < 0.9:
        return f"(?{chooser.choice('=!')}{random_regex(chooser, depth - 1)})"
    return chooser.choice(["^", "$", r"\b", "(?<=a)", "(?<!ab)"])


def test_regexes_agree_with_python(vocab, long_run):
    chooser = random.Random(11)
    for _ in range(20000 if long_run else 600):
        pattern = random_regex(chooser, 4)
        try:
            grammar = vocab.compile(pattern, kind="regex")
        except Refused as refused:
            assert refused.code == "unsatisfiable", (pattern, str(refused))
            grammar = None
        for _ in range(5):
            text = "".join(chooser.choice("aab_1 é") for _ in range(chooser.randrange(7)))
            expected = bool(re.fullmatch(pattern.replace("$", r"\Z"), text, re.ASCII))
            assert (grammar.judge(text) if grammar else False) == expected, (pattern, text)
