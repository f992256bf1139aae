"""Hostile constraints end in an answer or a named error, in little memory. How long that takes is
what bench/hostile.py tells."""
import pytest

from hostile import CASES, compile_apart

MEGABYTES = 64
NAMED = {"ok", "unsatisfiable", "limit", "unsupported", "invalid"}


@pytest.mark.parametrize("policy", ["accept", "generate"])
@pytest.mark.parametrize("name", CASES)
def test_hostile_schemas(name, policy):
    code, message, _, megabytes = compile_apart(name, policy)
    assert code in NAMED, (code, message)
    assert code == "ok" or message
    assert megabytes < MEGABYTES, (megabytes, code, message)
