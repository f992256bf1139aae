"""The README's transcript is what really comes out: every command of its console blocks runs, in
order, and prints what the README shows. What differs from run to run (ids, dates, times, sizes,
rates) is compared by its form."""
import os
import re
import subprocess

import pytest
from conftest import MODEL, ROOT
from serving import serving

# What stands for itself only by form. Order matters: longer forms first.
FORMS = [
    (r"[a-z0-9]{16}\b(?<![a-z]{16})", "ID"),
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d", "DATE"),
    (r"\d+(\.\d+)? ?(ms|µs|us|s|KiB|MiB|GiB|bytes|tokens/s|tok/s)\b", "AMOUNT"),
    (r"[ \t]+", " "),
]


def blocks(text):
    """The console blocks, each a list of (command, expected output)."""
    for block in re.findall(r"^```console\n(.*?)^```", text, re.M | re.S):
        steps = []
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append([line[2:], []])
            elif not steps[-1][1] and line.startswith("> "):
                steps[-1][0] = steps[-1][0] + "\n" + line[2:]
            else:
                steps[-1][1].append(line)
        yield [(command, "\n".join(output)) for command, output in steps]


def form(text):
    for pattern, name in FORMS:
        text = re.sub(pattern, name, text)
    return text.strip()


def matches(expected, actual):
    """Equal by form; "..." stands for any text."""
    parts = [re.escape(form(part)) for part in expected.split("...")]
    return re.fullmatch(r"\s*.*\s*".join(parts), form(actual), re.S) is not None


@pytest.fixture(scope="module")
def environment(cloze, tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    os.symlink(cloze.program, folder / "cloze")
    path = f"{folder}:{ROOT}/.venv/bin:{os.environ['PATH']}"
    with serving(cloze.program, ROOT / "examples/character") as server:
        yield {"url": server.url, "env": {**os.environ, "PATH": path, "COLUMNS": "100"}}
        assert server.stop() == 0


README = list(blocks((ROOT / "README.md").read_text()))


@pytest.mark.parametrize("number", range(len(README)))
def test_console_block(environment, number):
    for command, expected in README[number]:
        command = command.replace("http://localhost:3000", environment["url"])
        command = command.replace("localhost:3000", environment["url"][len("http://"):])
        done = subprocess.run(["bash", "-c", command], cwd=ROOT, env=environment["env"], timeout=120,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        actual = done.stdout.replace(environment["url"], "http://localhost:3000")
        assert matches(expected, actual), f"$ {command}\n{actual}\n--- README says:\n{expected}"


def test_readme_has_transcripts():
    commands = [command for block in README for command, _ in block]
    assert len(commands) >= 8
    assert any(MODEL in command or "generate" in command for command in commands)
