"""`cloze serve` as a process, with the default model: what the guide does, and what goes wrong."""
import concurrent.futures
import json
import pathlib
import shutil
import signal
import statistics
import subprocess
import time

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from conftest import ROOT
from serving import Server, serving

EXAMPLE = ROOT / "examples/character"
SCHEMA = json.loads((EXAMPLE / "character.schema.json").read_text())

# An answer that takes its time: 120 numbers.
LONG = {"type": "object", "required": ["n"], "additionalProperties": False,
        "properties": {"n": {"type": "array", "minItems": 120, "maxItems": 120,
                             "items": {"type": "integer", "minimum": 0, "maximum": 99}}}}


@pytest.fixture(scope="module")
def server(cloze):
    with serving(cloze.program, EXAMPLE) as server:
        yield server


def shell(command):
    return subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120,
                          check=True).stdout


def test_banner_names_address_swagger_ui_and_model(server):
    assert f"Outlines is served at {server.url}\n" in server.banner
    assert f"Swagger UI  {server.url}/\n" in server.banner
    assert "smollm2-135m-instruct:" in server.banner
    assert "nvidia-l4" in server.banner  # declared, not used: said


def test_curl_line_of_the_banner_gives_a_character(server):
    line = next(line for line in server.banner.splitlines() if line.startswith("  curl"))
    assert "'Content-Type: application/json'" in line
    answer = json.loads(shell(line.replace("curl", "curl -sS", 1)))
    jsonschema.validate(answer, SCHEMA)
    assert list(answer) == ["name", "age", "armor", "weapon", "strength"]


def test_curl_without_a_header_works(server):
    answer = shell(f"curl -sS {server.url}/generate -d '{{\"prompt\": \"A dwarf.\"}}'")
    jsonschema.validate(json.loads(answer), SCHEMA)


def test_empty_body_means_all_defaults(server):
    status, headers, body = server.post("/generate", b"")
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Cloze-Finish-Reason"] == "stop"
    assert headers["Server"] == "BentoML Service/Outlines"
    jsonschema.validate(json.loads(body), SCHEMA)


def test_schema_may_be_text_or_json(server):
    schema = {"type": "object", "properties": {"k": {"enum": ["a", "b"]}}, "required": ["k"]}
    for form in (schema, json.dumps(schema)):
        status, _, body = server.post("/generate", {"json_schema": form})
        assert status == 200
        assert json.loads(body)["k"] in "ab"


def test_null_schema_means_any_object(server):
    status, _, body = server.post("/generate", {"json_schema": None, "max_tokens": 60})
    assert status == 200
    assert isinstance(json.loads(body), dict)


def test_same_seed_same_bytes(server):
    call = {"temperature": 1.2, "seed": 11}
    first, second = (server.post("/generate", call)[2] for _ in range(2))
    assert first == second


def test_budget_closes_the_answer_and_says_so(server):
    schema = {"type": "object", "properties": {"t": {"type": "string"}}, "required": ["t"]}
    answers = {}
    for budget in (8, 12, 200):
        status, headers, body = server.post(
            "/generate", {"prompt": "Tell a very long story.", "json_schema": schema,
                          "max_tokens": budget})
        assert status == 200
        jsonschema.validate(json.loads(body), schema)
        answers[budget] = body, headers["X-Cloze-Finish-Reason"]
    assert answers[8][1] == "length" and answers[8][0] != answers[200][0]
    assert answers[12] == answers[200] and answers[200][1] == "stop"  # it ends by itself


@pytest.mark.parametrize("schema, place", [
    ('{"type": "object", "properties": {"a": {"type": "strin"}}}', "/properties/a/type"),
    ('{"type": "object", "properties": {"a": {"minLength": -1}}}', "/properties/a/minLength"),
    ('{"type": ', "json_schema"),
    ('{"$ref": "https://example.com/remote.json"}', "/$ref"),
])
def test_bad_schema_is_400_with_its_place(server, schema, place):
    status, _, body = server.post("/generate", {"json_schema": schema})
    assert status == 400
    answer = json.loads(body)
    assert place in answer["error"]
    assert answer["detail"][0]["loc"][0] == "json_schema"
    assert answer["detail"][0]["msg"]


def test_impossible_budget_is_400(server):
    status, _, body = server.post("/generate", {"max_tokens": 3})
    assert status == 400
    assert "token" in json.loads(body)["error"]


def test_wrong_types_are_all_listed(server):
    status, _, body = server.post("/generate", {"prompt": 1, "temperature": "x", "max_tokens": 0})
    assert status == 400
    assert json.loads(body) == {
        "error": "3 validation error for Input",
        "detail": [
            {"type": "string_type", "loc": ["prompt"], "msg": "Input should be a valid string"},
            {"type": "float_parsing", "loc": ["temperature"],
             "msg": "Input should be a valid number, unable to parse string as a number"},
            {"type": "greater_than_equal", "loc": ["max_tokens"],
             "msg": "Input should be greater than or equal to 1"}]}


def test_openapi_is_valid_and_true(server):
    document = json.loads(server.get("/docs.json")[2])
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()
    operation = document["paths"]["/generate"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]
    inputs = {"$ref": "#/components/schemas/generate__Input",
              "components": document["components"]}
    jsonschema.Draft202012Validator(inputs).validate(example)
    assert set(inputs["components"]["schemas"]["generate__Input"]["properties"]) == {
        "prompt", "json_schema", "temperature", "top_p", "seed", "max_tokens"}
    status, _, body = server.post("/generate", example)
    assert status == 200
    output = operation["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(json.loads(body), output)
    error = {"$ref": "#/components/schemas/Error", "components": document["components"]}
    jsonschema.Draft202012Validator(error).validate(
        json.loads(server.post("/generate", {"prompt": 1})[2]))


def test_page_is_swagger_ui_without_third_parties(server):
    page = server.get("/")[2].decode()
    assert "swagger-ui" in page
    for name in ("swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js",
                 "swagger-initializer.js", "index.css", "favicon-32x32.png"):
        status, headers, body = server.get("/static_content/" + name)
        assert status == 200 and body and headers["ETag"] and headers["Last-Modified"]
    assert server.get("/static_content/")[0] == 404
    assert server.get("/static_content/../server.h")[0] == 404
    assert "http://" not in page and "https://" not in page


def test_two_generations_progress_together(server):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        def call(seed):
            begin = time.monotonic()
            status, _, body = server.post(
                "/generate", {"json_schema": LONG, "seed": seed, "max_tokens": 3000})
            assert status == 200 and len(json.loads(body)["n"]) == 120
            return time.monotonic() - begin
        times = sorted(pool.map(call, (1, 2)))
    assert times[0] > 0.6 * times[1]  # one after the other it would be half


def test_health_and_documents_answer_while_generating(server):
    connections = [server.send_raw("/generate", {"json_schema": LONG, "seed": i,
                                                "max_tokens": 3000})
                   for i in range(2)]
    assert server.wait_metric("cloze_calls_running", 2)
    times = []
    for path in ("/livez", "/readyz", "/metrics", "/schema.json", "/docs.json", "/") * 3:
        begin = time.monotonic()
        assert server.get(path)[0] == 200
        times.append(time.monotonic() - begin)
    assert server.metric("cloze_calls_running") == 2, "it was too quick to tell"
    for connection in connections:
        connection.close()
    assert statistics.median(times) < 0.05
    assert server.wait_metric("cloze_calls_running", 0)


def test_client_that_leaves_ends_its_generation(server):
    before = server.metric("cloze_cancelled_total")
    connection = server.send_raw("/generate", {"json_schema": LONG, "max_tokens": 3000})
    assert server.wait_metric("cloze_calls_running", 1)
    connection.close()
    assert server.wait_metric("cloze_calls_running", 0, seconds=1)
    assert server.metric("cloze_cancelled_total") == before + 1


def test_timeout_is_504_and_ends_the_generation(cloze, tmp_path):
    text = (EXAMPLE / "service.yaml").read_text().replace("timeout: 300", "timeout: 1")
    (tmp_path / "service.yaml").write_text(text)
    shutil.copy(EXAMPLE / "character.schema.json", tmp_path)
    longer = json.loads(json.dumps(LONG).replace("120", "1500"))
    with serving(cloze.program, tmp_path) as server:
        begin = time.monotonic()
        status, _, body = server.post("/generate", {"json_schema": longer, "max_tokens": 6000})
        assert status == 504
        assert json.loads(body) == {"error": "Not able to process the request in 1 seconds"}
        assert 0.9 < time.monotonic() - begin < 4
        assert server.wait_metric("cloze_calls_running", 0, seconds=1)
        assert server.get("/readyz")[0] == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_cleanly(cloze, number):
    server = Server(cloze.program, EXAMPLE).wait_ready()
    begin = time.monotonic()
    assert server.stop(number) == 0
    assert time.monotonic() - begin < 2


def test_running_call_is_finished_before_the_end(cloze):
    server = Server(cloze.program, EXAMPLE).wait_ready()
    connection = server.send_raw("/generate", {"prompt": "A knight."})
    time.sleep(0.05)
    server.process.send_signal(signal.SIGTERM)
    answer = b""
    while chunk := connection.recv(65536):
        answer += chunk
        if b"\r\n\r\n" in answer and answer.endswith(b"}"):
            break
    assert answer.startswith(b"HTTP/1.1 200")
    assert server.process.wait(timeout=20) == 0


def test_port_in_use_is_a_clear_error(cloze, server):
    process = cloze("serve", EXAMPLE, "--port", str(server.port), check=False)
    assert process.returncode == 1
    assert process.stderr == (f"Error: 127.0.0.1:{server.port}: the port is in use by another "
                              "program; choose one with --port\n")


def test_model_that_is_missing_is_a_clear_error(cloze):
    process = cloze("serve", EXAMPLE, "--model", "nowhere", "--port", "0", check=False)
    assert process.returncode == 1
    assert "nowhere" in process.stderr and "cloze models import" in process.stderr


def test_model_is_served_as_it_is(cloze):
    with serving(cloze.program, "smollm2-135m-instruct") as server:
        def ask(**arguments):
            status, _, body = server.post("/generate", arguments)
            assert status == 200, body
            return json.loads(body)
        assert ask(prompt="Red or blue?", choice=["red", "blue"]) in ("red", "blue")
        assert ask(prompt="A digit.", regex="[0-9]").isdigit()
        assert int(ask(prompt="How many legs has a cat?", type="int")) is not None
        assert isinstance(ask(prompt="Say hello.", max_tokens=8), str)
        status, _, body = server.post("/generate", {"prompt": "x", "regex": "a", "choice": ["b"]})
        assert status == 400 and b"one constraint" in body


def test_service_in_c(cloze, tmp_path):
    folder = tmp_path / "character-c"
    shutil.copytree(ROOT / "examples/character-c", folder)
    with serving(cloze.program, folder) as server:
        status, _, body = server.post("/generate", {"prompt": "Give me a character description."})
        assert status == 200
        jsonschema.validate(json.loads(body), SCHEMA)
        schema = json.loads(server.get("/schema.json")[2])
        assert list(schema["routes"][0]["input"]["properties"]) == [
            "prompt", "json_schema", "temperature", "top_p", "seed", "max_tokens"]
    # unchanged, it needs no compiler any more; changed, it does
    with serving(cloze.program, folder, env={"CC": "no-such-compiler"}):
        pass
    with (folder / "service.c").open("a") as source:
        source.write("/* changed */\n")
    process = cloze("serve", folder, "--port", "0", check=False, env={"CC": "no-such-compiler"})
    assert process.returncode == 1
    assert "needs a C compiler" in process.stderr and "no-such-compiler" in process.stderr


def test_c_that_does_not_compile_shows_the_compilers_words(cloze, tmp_path):
    (tmp_path / "service.c").write_text("#include <cloze.h>\nint x = ;\n")
    process = cloze("serve", tmp_path, "--port", "0", check=False)
    assert process.returncode == 1
    assert "does not compile" in process.stderr and "service.c:2" in process.stderr


def test_folder_with_both_kinds_is_an_error(cloze, tmp_path):
    for name in ("service.yaml", "character.schema.json"):
        shutil.copy(EXAMPLE / name, tmp_path)
    shutil.copy(ROOT / "examples/character-c/service.c", tmp_path)
    process = cloze("serve", tmp_path, "--port", "0", check=False)
    assert process.returncode == 1
    assert "holds service.yaml and service.c" in process.stderr


def test_mistake_in_yaml_is_named_with_its_line(cloze, tmp_path):
    text = (EXAMPLE / "service.yaml").read_text().replace("    generate:", "    generat:")
    (tmp_path / "service.yaml").write_text(text)
    shutil.copy(EXAMPLE / "character.schema.json", tmp_path)
    process = cloze("serve", tmp_path, "--port", "0", check=False)
    line = 1 + [line.strip() for line in text.splitlines()].index("generat:")
    assert process.returncode == 1
    assert f"service.yaml: line {line}" in process.stderr
    assert "did you mean 'generate'?" in process.stderr


def test_key_is_needed_when_set(cloze):
    with serving(cloze.program, EXAMPLE, "--api-key", "k1") as server:
        assert server.post("/generate")[0] == 401
        headers = {"Authorization": "Bearer k1", "Content-Type": "application/json"}
        assert server.request("POST", "/generate", {}, headers=headers)[0] == 200
