"""Imports from the Hugging Face Hub, against a hub on this machine."""
import hashlib
import json

import pytest

import hub_server
import tiny_model
from test_store import shares_data

ID = "Tiny-Org/Tiny-Model"


@pytest.fixture(scope="module")
def hf_files(tmp_path_factory):
    folder = tiny_model.write_hf(tmp_path_factory.mktemp("hub") / "hf")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    files["pytorch_model.bin"] = b"x" * 5000
    files["consolidated.safetensors"] = b"x" * 5000
    files["original/params.json"] = b"{}"
    files["copy.json"] = files["config.json"]  # the same content, so the same digest, twice
    return files


@pytest.fixture(scope="module")
def gguf_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gguf")
    one = tiny_model.write_gguf(folder / "one.gguf").read_bytes()
    two = tiny_model.write_gguf(folder / "two.gguf", seed=2).read_bytes()
    tiny_model.write_gguf(folder / "Set.gguf", shards=2)
    files = {"Tiny.Q4_0.gguf": one, "Tiny.Q8_0.gguf": two, "mmproj-Tiny.gguf": b"x"}
    for path in folder.glob("Set-*"):
        files[f"F32/{path.name.replace('Set', 'Tiny-F32')}"] = path.read_bytes()
    return files


@pytest.fixture
def environment(tmp_path):
    return {"CLOZE_HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "hf-home"),
            "HF_TOKEN": "", "HF_TOKEN_PATH": "", "HF_HUB_OFFLINE": "", "HF_HUB_CACHE": "",
            "no_proxy": "127.0.0.1"}


def model_folder(cloze, environment, tag):
    import pathlib
    path = cloze("models", "get", tag, "-o", "path", env=environment).stdout.strip()
    return pathlib.Path(path)


def test_takes_safetensors_and_the_small_files(cloze, hf_files, environment):
    with hub_server.serve(ID, hf_files) as hub:
        environment["HF_ENDPOINT"] = hub.address
        process = cloze("models", "import", f"hf:{ID}", env=environment)
    assert 'Model(tag="tiny-org--tiny-model:' in process.stdout
    folder = model_folder(cloze, environment, "tiny-org--tiny-model")
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.json", "copy.json", "tokenizer.json", "tokenizer_config.json",
                     "model.safetensors", "model.yaml", "SHA256SUMS"}
    assert (folder / "model.safetensors").read_bytes() == hf_files["model.safetensors"]
    manifest = json.loads(cloze("models", "get", "tiny-org--tiny-model", "-o", "json",
                                env=environment).stdout)
    assert manifest["metadata"]["model_id"] == ID
    assert manifest["metadata"]["revision"] == hub_server.COMMIT
    cloze("models", "verify", env=environment)
    home = folder.parents[2]
    assert not list((home / "cache/downloads").iterdir())


def test_continues_after_cuts_within_one_import(cloze, hf_files, environment):
    with hub_server.serve(ID, hf_files) as hub:
        environment["HF_ENDPOINT"] = hub.address
        hub.cuts = 4
        cloze("models", "import", f"hf:{ID}", env=environment)
        ranges = [headers.get("Range") for role, path, headers in hub.requests
                  if role == "cdn" and path.endswith("model.safetensors")]
    assert ranges[0] is None and ranges[1].startswith("bytes=")
    cloze("models", "verify", env=environment)


def test_continues_a_download_of_an_earlier_import(cloze, hf_files, environment):
    data = hf_files["model.safetensors"]
    with hub_server.serve(ID, hf_files) as hub:
        environment["HF_ENDPOINT"] = hub.address
        import pathlib
        downloads = pathlib.Path(environment["CLOZE_HOME"]) / "cache/downloads"
        downloads.mkdir(parents=True)
        (downloads / hashlib.sha256(data).hexdigest()).write_bytes(data[:12345])
        cloze("models", "import", f"hf:{ID}", env=environment)
        ranges = [headers.get("Range") for role, path, headers in hub.requests
                  if role == "cdn" and path.endswith("model.safetensors")]
    assert ranges == ["bytes=12345-"]


def test_repairs_a_damaged_part_of_an_earlier_download(cloze, hf_files, environment):
    data = hf_files["model.safetensors"]
    with hub_server.serve(ID, hf_files) as hub:
        environment["HF_ENDPOINT"] = hub.address
        import pathlib
        downloads = pathlib.Path(environment["CLOZE_HOME"]) / "cache/downloads"
        downloads.mkdir(parents=True)
        (downloads / hashlib.sha256(data).hexdigest()).write_bytes(b"?" * 1000)
        cloze("models", "import", f"hf:{ID}", env=environment)
    cloze("models", "verify", env=environment)


def test_works_without_ranges_and_redirects(cloze, hf_files, environment):
    with hub_server.serve(ID, hf_files) as hub:
        environment["HF_ENDPOINT"] = hub.address + "/"
        hub.redirect = hub.ranges = False
        hub.cuts = 2
        cloze("models", "import", f"hf:{ID}@{hub_server.COMMIT}", "tiny:v1", env=environment)
    cloze("models", "verify", "tiny:v1", env=environment)


def test_sends_the_token_to_the_endpoint_only(cloze, hf_files, environment):
    with hub_server.serve(ID, hf_files) as hub:
        hub.token = "hf_secret"
        environment |= {"HF_ENDPOINT": hub.address, "HF_TOKEN": "hf_secret"}
        cloze("models", "import", f"hf:{ID}", env=environment)
        sent = {role: {headers.get("Authorization") for where, _, headers in hub.requests
                       if where == role} for role in ("hub", "cdn")}
    assert sent == {"hub": {"Bearer hf_secret"}, "cdn": {None}}


def test_reads_the_token_from_the_file(cloze, hf_files, environment, tmp_path):
    with hub_server.serve(ID, hf_files) as hub:
        hub.token = "hf_from_file"
        (tmp_path / "hf-home").mkdir()
        (tmp_path / "hf-home/token").write_text("hf_from_file\n")
        environment["HF_ENDPOINT"] = hub.address
        cloze("models", "import", f"hf:{ID}", env=environment)


@pytest.mark.parametrize("gated,wanted", [
    (True, "/Tiny-Org/Tiny-Model and set HF_TOKEN"), (False, "if it is private, set HF_TOKEN")])
def test_says_what_to_do_when_access_is_refused(cloze, hf_files, environment, gated, wanted):
    with hub_server.serve(ID, hf_files) as hub:
        hub.token, hub.gated = "hf_other", gated
        environment["HF_ENDPOINT"] = hub.address
        process = cloze("models", "import", f"hf:{ID}", env=environment, check=False)
        if gated:
            assert f"accept its terms at {hub.address}/{ID}" in process.stderr
    assert process.returncode == 1
    assert wanted in process.stderr
    assert process.stderr.count("\n") == 1


@pytest.mark.parametrize("address,wanted", [
    ("hf:Tiny-Org/Other", "has no such repository"),
    (f"hf:{ID}@nope", "no such branch, tag or commit"),
    (f"hf:{ID}:Q4_K_M", "no such file or quantisation"),
    ("hf:a/b/c", "is not hf:ORG/NAME"),
])
def test_names_what_is_wrong_with_an_address(cloze, hf_files, environment, address, wanted):
    with hub_server.serve(ID, hf_files) as hub:
        environment["HF_ENDPOINT"] = hub.address
        process = cloze("models", "import", address, env=environment, check=False)
    assert process.returncode == 1 and wanted in process.stderr


def test_refuses_content_with_another_digest(cloze, hf_files, environment):
    with hub_server.serve(ID, hf_files) as hub:
        hub.announced["model.safetensors"] = "ab" * 32
        environment["HF_ENDPOINT"] = hub.address
        process = cloze("models", "import", f"hf:{ID}", env=environment, check=False)
    assert process.returncode == 1
    assert "the hub announces abab" in process.stderr
    assert cloze("models", "list", "-o", "json", env=environment).stdout == "[]\n"


def test_an_endpoint_that_is_not_there_is_one_clear_line(cloze, environment):
    environment["HF_ENDPOINT"] = "http://127.0.0.1:9"
    process = cloze("models", "import", f"hf:{ID}", env=environment, check=False)
    assert process.returncode == 1
    assert process.stderr.startswith("Error: http://127.0.0.1:9/api/models/")


@pytest.mark.parametrize("choice,wanted", [
    ("Q8_0", ["Tiny.Q8_0.gguf"]), ("q4_0", ["Tiny.Q4_0.gguf"]),
    ("Tiny.Q4_0.gguf", ["Tiny.Q4_0.gguf"]),
    ("F32", ["Tiny-F32-00001-of-00002.gguf", "Tiny-F32-00002-of-00002.gguf"])])
def test_chooses_one_gguf(cloze, gguf_files, environment, choice, wanted):
    with hub_server.serve(ID, gguf_files) as hub:
        environment["HF_ENDPOINT"] = hub.address
        cloze("models", "import", f"hf:{ID}:{choice}", env=environment)
    folder = model_folder(cloze, environment, "tiny-org--tiny-model")
    assert sorted(path.name for path in folder.glob("*.gguf")) == wanted


def test_lists_the_ggufs_when_none_is_chosen(cloze, gguf_files, environment):
    with hub_server.serve(ID, gguf_files) as hub:
        environment["HF_ENDPOINT"] = hub.address
        process = cloze("models", "import", f"hf:{ID}", env=environment, check=False)
    assert process.returncode == 1
    for name in ("Tiny.Q4_0.gguf", "Tiny.Q8_0.gguf", "F32/Tiny-F32-00001-of-00002.gguf"):
        assert name in process.stderr
    assert "mmproj" not in process.stderr and "00002-of" not in process.stderr


@pytest.fixture
def hf_cache(hf_files, tmp_path):
    """The model in a cache as Hugging Face's tools lay it out."""
    root = tmp_path / "hf-home/hub/models--Tiny-Org--Tiny-Model"
    snapshot = root / "snapshots" / hub_server.COMMIT
    (root / "blobs").mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs/main").write_text(hub_server.COMMIT)
    snapshot.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        data = hf_files[name]
        digest = (hashlib.sha256(data) if name.endswith("safetensors")
                  else hashlib.sha1(b"blob %d\0" % len(data) + data)).hexdigest()
        (root / "blobs" / digest).write_bytes(data)
        (snapshot / name).symlink_to(f"../../blobs/{digest}")
    return snapshot


def test_offline_takes_the_local_cache(cloze, hf_cache, environment):
    environment |= {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    cloze("models", "import", f"hf:{ID}", env=environment)
    cloze("models", "verify", env=environment)
    process = cloze("models", "import", "hf:Tiny-Org/Other", env=environment, check=False)
    assert process.returncode == 1 and "HF_HUB_OFFLINE is set" in process.stderr


def test_offline_finds_damage_in_the_cache(cloze, hf_cache, environment):
    environment |= {"HF_HUB_OFFLINE": "1"}
    weights = hf_cache / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.resolve().write_bytes(data)
    process = cloze("models", "import", f"hf:{ID}", env=environment, check=False)
    assert process.returncode == 1 and "model.safetensors: its digest is" in process.stderr


def test_online_downloads_only_what_the_cache_lacks(cloze, hf_cache, hf_files, environment):
    with hub_server.serve(ID, hf_files) as hub:
        environment["HF_ENDPOINT"] = hub.address
        cloze("models", "import", f"hf:{ID}", env=environment)
        fetched = {path.rsplit("/", 1)[1] for path in hub.paths("cdn")}
    assert fetched == {"tokenizer_config.json", "copy.json"}


def test_links_from_the_cache_when_asked(cloze, hf_cache, environment):
    environment["HF_HUB_OFFLINE"] = "1"
    cloze("models", "import", "--link", f"hf:{ID}", env=environment)
    folder = model_folder(cloze, environment, "tiny-org--tiny-model")
    assert shares_data((hf_cache / "model.safetensors").resolve(), folder / "model.safetensors")
    cloze("models", "verify", env=environment)
