"""What the end-to-end tests share. ./check sets CLOZE (the program), CLOZE_HOME (a store that holds
the default model as smollm2-135m-instruct) and CLOZE_CHECK (--long for the big runs)."""
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = "smollm2-135m-instruct"
OUTSIDE = ROOT / ".cache/outside"  # tokenizers and chat templates of others; ./check fetches them


@pytest.fixture(scope="session")
def cloze():
    """Runs the program: cloze("models", "list") returns the finished process, text captured."""
    program = os.environ.get("CLOZE", str(ROOT / "build/check/src/cli/cloze"))

    def run(*arguments, check=True, env=None, **options):
        options.setdefault("timeout", 120)
        process = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True,
                                 env={**os.environ, **(env or {})}, **options)
        if check and process.returncode != 0:
            raise AssertionError(f"cloze {arguments}: exit {process.returncode}\n{process.stderr}")
        return process

    run.program = program
    return run


@pytest.fixture(scope="session")
def long_run():
    return os.environ.get("CLOZE_CHECK") == "--long"
