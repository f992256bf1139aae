"""What every command shares: help, suggestions, exit statuses, completion, the manual page."""
import json
import re
import shutil
import subprocess

import pytest

import tiny_model


def commands(cloze, *path):
    """All commands below `path`, found by reading the help as a person would."""
    text = cloze(*path, "--help").stdout
    if "\nCommands:\n" not in text:
        return [path]
    block = text.split("\nCommands:\n")[1].split("\n\n")[0]
    names = [line.split()[0] for line in block.splitlines() if re.match(r"  \S", line)]
    return [found for name in names for found in commands(cloze, *path, name)]


def test_version(cloze):
    for flag in ("--version", "-v"):
        assert re.fullmatch(r"cloze \d+\.\d+\.\d+\n", cloze(flag).stdout)


def test_every_command_has_help(cloze):
    found = commands(cloze)
    for path in [("models", "import"), ("models", "list"), ("completion",), ("man",)]:
        assert path in found
    for path in [(), ("models",), *found]:
        process = cloze(*path, "--help")
        assert process.stderr == ""
        assert f"\nUsage: {' '.join(['cloze', *path])}" in process.stdout
        assert max(len(line) for line in process.stdout.splitlines()) <= 100


def test_help_explains_a_command(cloze):
    assert cloze("help").stdout == cloze("--help").stdout
    assert cloze("help", "models", "get").stdout == cloze("models", "get", "--help").stdout
    process = cloze("help", "models", "gett", check=False)
    assert process.returncode == 2 and "did you mean 'get'?" in process.stderr


def test_no_arguments_show_the_help(cloze):
    assert cloze().stdout == cloze("--help").stdout


@pytest.mark.parametrize("line,wanted", [
    ("modles", "unknown command 'modles'; did you mean 'models'?"),
    ("models lst", "did you mean 'list'?"),
    ("models list --ouput json", "unknown flag --ouput; did you mean --output?"),
    ("models list -o xml", "--output takes one of table|json|yaml, not 'xml'"),
    ("models get", "TAG is missing"),
    ("models list a b", "unexpected argument 'b'"),
    ("models", "a command is missing behind 'cloze models'"),
])
def test_a_wrong_command_line_is_two_lines_and_status_2(cloze, line, wanted):
    process = cloze(*line.split(), check=False)
    assert process.returncode == 2 and process.stdout == ""
    first, second = process.stderr.splitlines()
    assert first.startswith("Error: ") and wanted in first
    assert re.fullmatch(r"See 'cloze.* --help'\.", second)


def test_output_that_can_t_be_written_is_an_error_and_a_closed_pipe_is_none(cloze):
    with open("/dev/full", "w") as full:
        process = subprocess.run([cloze.program, "man"], stdout=full, stderr=subprocess.PIPE)
    assert process.returncode == 1 and b"No space left on device" in process.stderr
    line = f"'{cloze.program}' man | head -1 > /dev/null; echo ${{PIPESTATUS[0]}}"
    process = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert process.stdout in ("141\n", "0\n") and process.stderr == ""


def bash_completes(cloze, words, **environment):
    quoted = " ".join(f"'{word}'" for word in words)
    script = f"""
        source <('{cloze.program}' completion bash)
        COMP_WORDS=('{cloze.program}' {quoted}) COMP_CWORD={len(words)}
        _cloze; printf '%s\\n' "${{COMPREPLY[@]}}" """
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True,
                          env={"PATH": "/usr/bin:/bin", **environment}).stdout.split()


def test_bash_completes_commands_flags_choices_and_models(cloze, tmp_path):
    tiny_model.write_gguf(tmp_path / "tiny.gguf")
    environment = {"CLOZE_HOME": str(tmp_path / "home")}
    cloze("models", "import", tmp_path / "tiny.gguf", "my-model:v1", env=environment)
    assert bash_completes(cloze, ["mod"]) == ["models"]
    assert {"import", "list", "gc"} <= set(bash_completes(cloze, ["models", ""]))
    assert bash_completes(cloze, ["models", "list", "--ou"]) == ["--output"]
    assert bash_completes(cloze, ["models", "list", "-o", "j"]) == ["json"]
    assert bash_completes(cloze, ["models", "get", "my"], **environment) == ["my-model"]
    assert bash_completes(cloze, ["models", "get", "my-model:"], **environment) == ["my-model:v1"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_well_formed(cloze, shell):
    script = cloze("completion", shell).stdout
    assert f"cloze completion {shell}" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_the_manual_page_names_every_command_and_formats_cleanly(cloze):
    page = cloze("man").stdout
    assert page.startswith(".TH CLOZE 1")
    for path in commands(cloze):
        assert f".SS cloze {' '.join(path)}".replace("-", "\\-") in page
    if shutil.which("groff"):
        process = subprocess.run(["groff", "-man", "-ww", "-z"], input=page, text=True,
                                 capture_output=True)
        assert process.stderr == ""


@pytest.fixture()
def schema(tmp_path):
    path = tmp_path / "schema.json"
    path.write_text(json.dumps({
        "properties": {"name": {"type": "string", "maxLenght": 3}, "odd": {"enum": [1], "type": "null"}},
        "required": ["name"]}))
    return path


def test_schema_check_tells_what_a_person_should_know(cloze, schema):
    lines = cloze("schema", "check", schema).stdout.splitlines()
    assert lines[0].startswith("Draft 2020-12, compiled in ")
    assert "Enforced: properties, required, type, enum" in lines
    assert lines[lines.index("Unsatisfiable parts, which no answer will hold:") + 1] == "  /properties/odd"
    assert "  /properties/name/maxLenght: no keyword has this name; did you mean 'maxLength'?" in lines


def test_schema_check_tells_machines_the_same(cloze, schema):
    report = json.loads(cloze("schema", "check", schema, "-o", "json").stdout)
    assert report["closed"] == [""] and report["unsatisfiable"] == ["/properties/odd"]


@pytest.mark.parametrize("instance,accepted", [('{"name": "a", "more": 1}', True), ('{"name": 1}', False),
                                               ('{"name": "a"', False), ('{"name": "a"} {}', False)])
def test_schema_accept_judges_a_document(cloze, schema, tmp_path, instance, accepted):
    (tmp_path / "instance.json").write_text(instance + "\n")
    process = cloze("schema", "accept", schema, tmp_path / "instance.json", check=False)
    assert (process.returncode == 0) == accepted
    assert process.stdout == "accepted\n" if accepted else "not accepted" in process.stderr
