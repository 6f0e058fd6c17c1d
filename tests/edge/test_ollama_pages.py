"""Ollama's own clients before `hoosh serve` with an Ollama server behind it, and with models of its own."""

import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import ollama
import pytest

from gateway import PATIENCE_S, QUIET, Provider, Running, one_provider, provider, serving

DETAILS = {"format": "gguf", "family": "llama", "families": ["llama"], "parameter_size": "3B"}
LISTED = {"name": "llama3:latest", "model": "llama3:latest", "size": 7, "digest": "ab" * 32, "details": DETAILS}
PULLED: list[dict[str, Any]] = [
    {"status": "pulling manifest"},
    {"status": "pulling ab", "digest": "ab", "total": 2, "completed": 1},
]


class OllamaHandler(BaseHTTPRequestHandler):
    """The pages of a server, and one answer."""

    protocol_version = "HTTP/1.1"
    server: "OllamaServer"

    def do_GET(self) -> None:
        running = [{**LISTED, "expires_at": "2030-01-01T00:00:00Z", "size_vram": 7}]
        self._json(200, {"models": [LISTED] if self.path == "/api/tags" else running})

    def do_DELETE(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((f"{self.command} {self.path}", asked))
        if asked["model"] == "broken":
            self._json(500, {"error": "no space left on device"})
        elif asked["model"] == "endless":
            self._wait_for_the_end()
        elif self.path == "/api/pull":
            self._lines(
                [*PULLED, {"error": "digest mismatch"} if asked["model"] == "corrupt" else {"status": "success"}]
            )
        elif self.path == "/api/show":
            self._json(200, {"details": DETAILS, "capabilities": ["completion", "vision"], "model_info": {"x": 1}})
        elif self.path == "/api/delete":
            self._answer(200, b"", "text/plain")
        else:
            words = {"message": {"role": "assistant", "content": "Hello"}, "response": "Hello"}
            self._lines([{"model": asked["model"], **words, "done": True, "done_reason": "stop"}])

    def _wait_for_the_end(self) -> None:
        self.send_response(200)
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(b'{"status":"pulling manifest"}\n')
        self.connection.settimeout(PATIENCE_S)
        with contextlib.suppress(OSError):
            if self.connection.recv(1) == b"":
                self.server.hung_up.set()
        self.close_connection = True

    def _lines(self, lines: list[dict[str, Any]]) -> None:
        self._answer(200, b"".join(json.dumps(line).encode() + b"\n" for line in lines), "application/x-ndjson")

    def _json(self, status: int, value: object) -> None:
        self._answer(status, json.dumps(value).encode(), "application/json")

    def _answer(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


class OllamaServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), OllamaHandler)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.hung_up = threading.Event()


@contextlib.contextmanager
def ollama_server() -> Iterator[OllamaServer]:
    server = OllamaServer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def behind() -> Iterator[OllamaServer]:
    with ollama_server() as server:
        yield server


@pytest.fixture(scope="module")
def fake() -> Iterator[Provider]:
    with provider() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(behind: OllamaServer, fake: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    url = f"http://127.0.0.1:{behind.server_address[1]}"
    config = f'{one_provider(fake.url)}\n[[providers]]\ntype = "ollama"\nname = "house"\nbase_url = "{url}"\n'
    with serving(tmp_path_factory.mktemp("pages"), config) as running:
        yield running


@pytest.fixture
def client(gateway: Running) -> Iterator[ollama.Client]:
    with ollama.Client(host=gateway.url, timeout=PATIENCE_S) as made:
        yield made


def test_a_servers_own_models_are_listed_in_its_own_words(client: ollama.Client) -> None:
    models = {model.model: model for model in client.list().models}
    assert set(models) == {"llama3:latest", "echo", "silent", "cut", "slow"}
    assert (models["llama3:latest"].digest, models["llama3:latest"].size) == ("ab" * 32, 7)
    assert models["llama3:latest"].details is not None
    assert models["llama3:latest"].details.parameter_size == "3B"
    assert [model.model for model in client.ps().models] == ["llama3:latest"]


def test_a_servers_own_model_is_shown_by_it(client: ollama.Client, behind: OllamaServer) -> None:
    assert client.show("llama3").capabilities == ["completion", "vision"]
    assert behind.asked[-1] == ("POST /api/show", {"model": "llama3:latest"})
    assert client.show("echo").capabilities == ["completion", "tools"]


def test_generate_reaches_the_server_as_it_was_asked(client: ollama.Client, behind: OllamaServer) -> None:
    assert client.generate(model="house/llama3:latest", prompt="def f(", suffix="return 1").response == "Hello"
    path, body = behind.asked[-1]
    assert (path, body["model"], body["suffix"]) == ("POST /api/generate", "llama3:latest", "return 1")


def test_a_server_loads_and_unloads_its_own_models(client: ollama.Client, behind: OllamaServer) -> None:
    client.generate(model="llama3", keep_alive=0)
    assert behind.asked[-1] == ("POST /api/generate", {"model": "llama3:latest", "stream": False, "keep_alive": 0})
    seen = len(behind.asked)
    assert client.generate(model="echo", keep_alive=0).done_reason == "unload"
    assert len(behind.asked) == seen


def test_pulling_is_the_servers_business(client: ollama.Client, behind: OllamaServer) -> None:
    lines = list(client.pull("house/llama3", stream=True))
    assert [line.status for line in lines] == ["pulling manifest", "pulling ab", "success"]
    assert behind.asked[-1] == ("POST /api/pull", {"model": "llama3", "stream": True})
    assert client.pull("qwen").status == "success"
    for name, words in (("broken", "no space left"), ("corrupt", "digest mismatch")):
        with pytest.raises(ollama.ResponseError, match=words):
            client.pull(name)
        with pytest.raises(ollama.ResponseError, match=words):
            list(client.pull(name, stream=True))


def test_a_client_that_leaves_ends_a_pull(gateway: Running, behind: OllamaServer) -> None:
    body = b'{"model":"endless"}'
    head = b"POST /api/pull HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE_S) as connection:
        connection.sendall(head % len(body) + body)
        got = b""
        while b"pulling manifest" not in got:
            got += connection.recv(65536)
    assert behind.hung_up.wait(PATIENCE_S)


def test_deleting_is_the_servers_business(client: ollama.Client, behind: OllamaServer) -> None:
    assert client.delete("llama3").status == "success"
    assert behind.asked[-1] == ("DELETE /api/delete", {"model": "llama3:latest"})


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"model":5}', b'{"name":""}'])
def test_a_page_that_wants_a_model_says_so(gateway: Running, body: bytes) -> None:
    for path, method in (("/api/show", "POST"), ("/api/pull", "POST"), ("/api/delete", "DELETE")):
        answer = gateway.ask(body, "content-type: application/json", path=path, method=method)
        assert answer.status == 400, path
        assert isinstance(answer.value["error"], str)


@pytest.mark.parametrize("kind", [(), ("content-type: text/plain",)])
def test_what_a_web_page_can_send_unasked_changes_nothing(
    gateway: Running, behind: OllamaServer, kind: tuple[str, ...]
) -> None:
    seen = len(behind.asked)
    for path, method in (("/api/pull", "POST"), ("/api/delete", "DELETE")):
        assert gateway.ask(b'{"model":"llama3"}', *kind, path=path, method=method).status == 415
    assert len(behind.asked) == seen


def test_version_and_greeting(gateway: Running) -> None:
    assert gateway.ask(b"", path="/api/version", method="GET").value["version"].count(".") == 2
    assert gateway.ask(b"", path="/", method="HEAD").status == 200
    assert gateway.ask(b"", path="/ollama/api/version", method="GET").status == 200


@pytest.mark.parametrize(
    ("path", "status", "shape"),
    [
        ("/api/create", 404, str),
        ("/api/tags", 405, str),
        ("/v1beta/files", 404, dict),
        ("/v1beta/models", 405, dict),
        ("/v1beta/models/echo:predict", 404, dict),
        ("/v1/models/echo:predict", 404, dict),
    ],
)
def test_what_is_not_there_is_told_in_the_callers_shape(gateway: Running, path: str, status: int, shape: type) -> None:
    answer = gateway.ask(b"{}", "content-type: application/json", path=path)
    assert answer.status == status
    assert isinstance(answer.value["error"], shape)
    if shape is dict:
        assert answer.error["status"] in ("NOT_FOUND", "UNIMPLEMENTED")


STORED = b"weights"


def test_own_models_are_pulled_listed_and_removed(tmp_path: Path) -> None:
    entry = tmp_path / "hoosh" / "models" / "smollm2-135m"
    entry.mkdir(parents=True)
    (entry / "weights.gguf").write_bytes(STORED)
    manifest = {
        "name": "smollm2-135m",
        "size_bytes": len(STORED),
        "sha256": hashlib.sha256(STORED).hexdigest(),
        "licence": "Apache-2.0",
        "description": "Not the real one.",
    }
    (entry / "model.json").write_text(json.dumps(manifest))
    with (
        serving(tmp_path, QUIET, HOOSH_PACKAGE_INDEX="http://127.0.0.1:9/simple") as gateway,
        ollama.Client(host=gateway.url, timeout=PATIENCE_S) as client,
    ):
        assert [line.status for line in client.pull("smollm2", stream=True)][-1] == "success"
        assert client.delete("smollm2").status == "success"
        assert not entry.exists()
        with pytest.raises(ollama.ResponseError, match="cannot reach"):
            client.pull("smollm2")
        with pytest.raises(ollama.ResponseError, match="cannot reach"):
            list(client.pull("smollm2", stream=True))
        with pytest.raises(ollama.ResponseError, match="not in the store"):
            client.delete("smollm2")


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1beta/models/slow:streamGenerateContent?alt=sse", {"contents": [{"parts": [{"text": "Hi"}]}]}),
        ("/api/chat", {"model": "slow", "messages": [{"role": "user", "content": "Hi"}]}),
        ("/v1beta/models/silent:generateContent", {"contents": [{"parts": [{"text": "Hi"}]}]}),
        ("/api/generate", {"model": "silent", "prompt": "Hi"}),
    ],
)
def test_a_client_that_leaves_ends_the_providers_work(
    gateway: Running, fake: Provider, path: str, asked: dict[str, Any]
) -> None:
    fake.hung_up.clear()
    seen = len(fake.bodies)
    body = json.dumps(asked).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE_S) as connection:
        connection.sendall(head.encode() + body)
        if "silent" in path or asked.get("model") == "silent":
            assert _comes_true(lambda: len(fake.bodies) > seen)
        else:
            got = b""
            while b"Hi" not in got:
                got += connection.recv(65536)
    assert fake.hung_up.wait(PATIENCE_S)


def _comes_true(condition: Any) -> bool:
    waiting = threading.Event()
    for _ in range(int(PATIENCE_S * 100)):
        if condition():
            return True
        waiting.wait(0.01)
    return False


def test_googles_and_azures_ways_to_send_a_key(fake: Provider, tmp_path: Path) -> None:
    key = "a-token-of-good-length"
    config = f'{one_provider(fake.url)}[[keys]]\nname = "laptop"\ntoken = "{key}"\n'
    body = json.dumps({"contents": [{"parts": [{"text": "Hi"}]}]}).encode()
    path, kind = "/v1beta/models/echo:generateContent", "content-type: application/json"
    with serving(tmp_path, config) as gateway:
        for headers, query in (((f"x-goog-api-key: {key}",), ""), ((f"api-key: {key}",), ""), ((), f"?key={key}")):
            assert gateway.ask(body, kind, *headers, path=path + query).status == 200
        for headers, query in (
            (("x-goog-api-key: wrong-but-long",), ""),
            ((), ""),
            ((), "?key=wrong-but-long&alt=sse"),
        ):
            answer = gateway.ask(body, kind, *headers, path=path + query)
            assert (answer.status, answer.error["status"]) == (401, "UNAUTHENTICATED")
        refused = gateway.ask(b"{}", kind, path="/api/chat")
        assert (refused.status, type(refused.value["error"])) == (401, str)
        assert gateway.ask(b"", path="/api/tags", method="GET").status == 401
        assert key not in json.dumps(fake.headers[-1])
    log = (tmp_path / "stderr.log").read_text()
    assert key not in log
    assert "wrong-but-long" not in log
