"""Clients that nobody here wrote against `cloze serve`: BentoML's, unmodified; and `cloze call`."""
import asyncio
import json

import bentoml
import jsonschema
import pytest
from bentoml.exceptions import BentoMLException, InvalidArgument, NotFound, ServiceUnavailable

from conftest import ROOT
from serving import Server, serving

EXAMPLE = ROOT / "examples/character"
SCHEMA = json.loads((EXAMPLE / "character.schema.json").read_text())


@pytest.fixture(scope="module")
def server(cloze):
    with serving(cloze.program, EXAMPLE) as server:
        yield server


@pytest.fixture
def client(server):
    with bentoml.SyncHTTPClient(server.url) as client:
        yield client


def test_snippet_of_the_guide(server):
    with bentoml.SyncHTTPClient(server.url) as client:
        response = client.generate(
            prompt="Give me a character description",
        )
    jsonschema.validate(response, SCHEMA)


def test_all_defaults(client):
    jsonschema.validate(client.generate(), SCHEMA)


def test_positional_arguments_map_by_order(client):
    schema = {"type": "object", "properties": {"x": {"const": 1}}, "required": ["x"]}
    assert client.generate("A prompt.", json.dumps(schema)) == {"x": 1}


def test_schema_as_an_object(client):
    schema = {"type": "object", "properties": {"x": {"const": "é"}}, "required": ["x"]}
    assert client.generate(json_schema=schema) == {"x": "é"}


def test_none_is_taken_where_it_is_optional(client):
    assert isinstance(client.generate(json_schema=None, max_tokens=60), dict)
    jsonschema.validate(client.generate(temperature=None, seed=None), SCHEMA)


def test_many_calls_on_one_connection(client):
    for seed in range(10):
        jsonschema.validate(client.generate(prompt="Ünïcödé", temperature=1.0, seed=seed), SCHEMA)


def test_wrong_types_raise_invalid_argument(client):
    for arguments in ({"prompt": 1}, {"prompt": None}, {"temperature": "warm"}, {"seed": 0.5},
                      {"max_tokens": 0}):
        with pytest.raises(InvalidArgument) as caught:
            client.generate(**arguments)
        assert caught.value.error_code == 400
        name = next(iter(arguments))
        assert json.loads(str(caught.value))["detail"][0]["loc"] == [name]


def test_bad_schema_raises_invalid_argument(client):
    with pytest.raises(InvalidArgument) as caught:
        client.generate(json_schema='{"type": "object", "properties": {"a": {"type": "strin"}}}')
    assert "/properties/a/type" in str(caught.value)


def test_unknown_argument_and_endpoint(client):
    with pytest.raises(TypeError):
        client.generate(nope=1)
    with pytest.raises(AttributeError):
        client.nope()
    with pytest.raises(NotFound):
        client.call("nope")


def test_async_client(server):
    async def call():
        async with bentoml.AsyncHTTPClient(server.url) as client:
            return await asyncio.gather(*(client.generate(temperature=1.0, seed=i)
                                          for i in range(4)))
    for answer in asyncio.run(call()):
        jsonschema.validate(answer, SCHEMA)


def test_client_waits_until_the_server_is_ready(cloze):
    server = Server(cloze.program, EXAMPLE)  # the model may still be loading
    try:
        with bentoml.SyncHTTPClient(server.url, server_ready_timeout=30) as client:
            assert client.is_ready()
            jsonschema.validate(client.generate(), SCHEMA)
    finally:
        server.stop()


def test_no_server_raises_service_unavailable():
    with pytest.raises(ServiceUnavailable):
        bentoml.SyncHTTPClient("http://127.0.0.1:9", server_ready_timeout=1)


def test_key_is_sent_as_token(cloze):
    with serving(cloze.program, EXAMPLE, env={"CLOZE_API_KEY": "k2"}) as server:
        with bentoml.SyncHTTPClient(server.url, token="k2") as client:
            jsonschema.validate(client.generate(), SCHEMA)
        with bentoml.SyncHTTPClient(server.url) as client:
            with pytest.raises(BentoMLException) as caught:
                client.generate()
            assert caught.value.error_code == 401


# ---- cloze call ----

def test_call_with_defaults(cloze, server):
    jsonschema.validate(json.loads(cloze("call", server.url, "generate").stdout), SCHEMA)


def test_call_with_typed_arguments(cloze, server, tmp_path):
    schema = tmp_path / "s.json"
    schema.write_text('{"type": "object", "properties": {"x": {"const": 1}}, "required": ["x"]}')
    process = cloze("call", server.url + "/", "generate", "prompt=A cat = 1", f"json_schema=@{schema}",
                    "seed=3", "temperature=0.5")
    assert json.loads(process.stdout) == {"x": 1}


@pytest.mark.parametrize("words, message", [
    (["generate", "promt=x"], "did you mean 'prompt'?"),
    (["generate", "seed=x"], "'seed' has to be JSON of the type integer"),
    (["generate", "prompt"], "arguments look like name=value"),
    (["nope"], "no such endpoint; it has: generate"),
    (["generate", "max_tokens=0"], "max_tokens: Input should be greater than or equal to 1"),
    (["generate", "json_schema={"], "json_schema"),
])
def test_call_says_what_is_wrong(cloze, server, words, message):
    process = cloze("call", server.url, *words, check=False)
    assert process.returncode == 1
    assert message in process.stderr
    assert process.stdout == ""


def test_call_without_a_server(cloze):
    process = cloze("call", "http://127.0.0.1:9", "generate", check=False)
    assert process.returncode == 1
    assert "127.0.0.1:9" in process.stderr


def test_call_of_a_real_bentoml_schema(cloze, tmp_path):
    """Upstream's own /schema.json is understood: a recorded one, served by Python."""
    import http.server
    import threading
    schema = (
        '{"name":"Outlines","type":"service","routes":[{"name":"generate","route":"/generate",'
        '"batchable":false,"input":{"properties":{"prompt":{"default":"x","title":"Prompt",'
        '"type":"string"},"n":{"title":"N","type":"integer"}},"required":["n"],"title":"Input",'
        '"type":"object"},"output":{"additionalProperties":true,"type":"object"},'
        '"is_task":false}],"paths":{"/generate":{"mounted":false}}}')

    class Handler(http.server.BaseHTTPRequestHandler):
        def reply(self, body):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.reply(schema.encode())

        def do_POST(self):
            self.reply(self.rfile.read(int(self.headers["Content-Length"])))

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as upstream:
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{upstream.server_port}"
        process = cloze("call", url, "generate", "prompt=7", "n=7")
        upstream.shutdown()
    assert json.loads(process.stdout) == {"prompt": "7", "n": 7}
