"""What `generate` and `serve` say of memory and weights: KV budgets, KV types, quantised forms, and
clear errors where something does not fit."""
import json
import re
import urllib.request

import pytest
import yaml

import serving
import tiny_model


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("CLOZE_HOME", str(tmp_path / "home"))
    return tiny_model.write_hf(tmp_path / "tiny")


def generate(cloze, model, *arguments, tokens=30, **options):
    return cloze("generate", "abc", "--raw", "-m", model, "--seed", "1", "-t", "1", "-n", tokens,
                 "--regex", "[a-z]{25}", *arguments, **options)


@pytest.mark.parametrize("tokens,size,wanted", [
    (200, "1M", "the prompt of 3 tokens leaves 125 in the model's context of 128"),
    (62, "10K", "leaves 61 in the KV cache of 64"),
    (30, "100", "its smallest part, 32 tokens of this model, takes 4.00 KiB"),
    (30, "900T", "this process may use"),
])
def test_what_does_not_fit_is_named(cloze, model, tokens, size, wanted):
    process = generate(cloze, model, "--kv-memory", size, tokens=tokens, check=False)
    assert process.returncode == 1 and wanted in process.stderr
    assert len(process.stderr.splitlines()) == 1


@pytest.mark.parametrize("size", ["lots", "-5M", "0", "12Q", "1GX"])
def test_a_wrong_size_is_a_wrong_command_line(cloze, model, size):
    process = generate(cloze, model, f"--kv-memory={size}", check=False)
    assert process.returncode == 2 and "such as 512M" in process.stderr


def test_a_prompt_longer_than_the_context_is_refused(cloze, model):
    process = cloze("generate", "abc" * 60, "--raw", "-m", model, check=False)
    assert process.returncode == 1
    assert "180 tokens" in process.stderr and "context of 128" in process.stderr


def test_kv_types_and_budgets_answer(cloze, model):
    plain = generate(cloze, model).stdout
    assert generate(cloze, model, "--kv-memory", "1M").stdout == plain
    assert generate(cloze, model, "--kv-type", "bf16").stdout
    assert generate(cloze, model, "--kv-type", "int8", "--kv-memory", "0.5MiB").stdout


def test_a_model_can_be_imported_quantised(cloze, model, tmp_path):
    cloze("models", "import", model, "tiny:keep")
    cloze("models", "import", model, "tiny:small", "--quantize", "q4")
    record = next((tmp_path / "home/models/tiny/small").glob("model.yaml")).read_text()
    assert yaml.safe_load(record)["metadata"]["quantize"] == "q4"
    folder = tmp_path / "home/cache/packed"
    small, whole = sorted(folder.iterdir(), key=lambda path: path.stat().st_size)
    assert small.stat().st_size < whole.stat().st_size / 2

    def used(tag, *arguments):
        for path in folder.iterdir():
            path.unlink()
        assert generate(cloze, tag, *arguments).stdout
        return list(folder.iterdir())

    assert used("tiny:small") == [small] and used("tiny:keep") == [whole]
    assert used("tiny:small", "--quantize", "keep") == [whole]
    assert used("tiny:keep", "--quantize", "q4") == [small]
    cloze("models", "gc")
    assert list(folder.iterdir()) == [small]
    data = bytearray(small.read_bytes())
    data[-700] ^= 1
    small.write_bytes(data)
    process = cloze("models", "verify", check=False)
    assert process.returncode == 1 and "tensors are damaged" in process.stdout + process.stderr


def test_serve_takes_the_same_flags(cloze, model):
    with serving.serving(cloze.program, model, "--kv-type", "int8", "--kv-memory", "64K") as server:
        body = json.dumps({"prompt": "abc", "max_tokens": 1000}).encode()
        request = urllib.request.Request(server.url + "/generate", body,
                                         {"Content-Type": "application/json"})
        with pytest.raises(urllib.error.HTTPError) as failure:
            urllib.request.urlopen(request)
        assert failure.value.code == 400
        assert re.search(r"context of 128", failure.value.read().decode())
