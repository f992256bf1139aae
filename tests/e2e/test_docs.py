"""What the documents name is there: commands with their flags, scripts with theirs, files. (What the
README's commands print is test_readme's.)"""
import re

import pytest
from conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
FLAG = re.compile(r"(?<![\w-])(--[a-z][a-z-]+|-[a-z])(?![\w-])")


def code(page):
    """The pieces of a page that are set as code: spans, and the lines of blocks."""
    text = page.read_text().replace("\\\n", " ")
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S):
        yield from block.splitlines()
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    yield from re.findall(r"^    (.*)", text, re.M)
    yield from (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text))


def lines(pattern):
    for page in PAGES:
        for piece in code(page):
            match = re.match(pattern, piece.removeprefix("$ ").split("  #")[0])
            if match:
                yield page.name, match


def verbs(cloze, words):
    """The words of a line that name a command: as many as have a help of their own."""
    path = []
    for word in words:
        if not re.fullmatch("[a-z]+", word) or cloze(*path, word, "--help", check=False).returncode:
            break
        path.append(word)
    return path


def test_commands_and_their_flags(cloze):
    checked = set()
    for page, match in lines(r"cloze ((?:[a-z-]+|\.).*)"):
        command = match[1].split(" | ")[0]
        words = command.split()
        if words[0].startswith("-") or command in checked:
            continue
        checked.add(command)
        path = verbs(cloze, words)
        assert path, f"{page}: there is no `cloze {command}`"
        usage = cloze(*path, "--help").stdout
        for flag in FLAG.findall(QUOTED.sub("", command)):
            assert flag in usage, f"{page}: `cloze {command}` takes no {flag}"
    assert len(checked) > 30


def test_scripts_and_their_flags():
    checked = 0
    for page, match in lines(r"(?:python3? )?((?:bench|tests|tools)/[\w/]+\.(?:py|sh)|\./check|\./run)(.*)"):
        script = ROOT / match[1]
        assert script.is_file(), f"{page}: {match[1]}"
        checked += 1
        for flag in FLAG.findall(QUOTED.sub("", match[2])) if "|" not in match[2] else []:
            assert flag in script.read_text(), f"{page}: {match[1]} takes no {flag}"
    assert checked > 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names(page):
    text = page.read_text()
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / link).exists(), link
    for path in re.findall(r"`((?:src|docs|tests|bench|fuzz|examples|include|tools)/[\w/.-]+)`", text):
        assert (ROOT / path).exists(), path
