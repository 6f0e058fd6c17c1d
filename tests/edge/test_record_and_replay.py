"""`hoosh record` before providers of every dialect; then they are gone and `hoosh replay` takes their place."""

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway import PATIENCE_S, PATIENT, QUIET, Running, clean_environ, provider, running, serving
from hoosh.recordings.record import Record, read_lines

SECRET = "sk-upstream-0123456789abcdef"
HI = [{"role": "user", "content": "Hi"}]
TYPES = ("openai", "anthropic", "google", "ollama")
BASE_PATHS = {"openai": "/v1", "anthropic": "", "google": "", "ollama": ""}


def sse(*values: object, event: bool = False) -> list[bytes]:
    lines = []
    for value in values:
        name = f"event: {value['type']}\n" if event and isinstance(value, dict) else ""
        lines.append(f"{name}data: {json.dumps(value)}\n\n".encode())
    return lines


def openai(delta: Any, finish: str | None = None) -> Any:
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def gemini(text: str, **more: Any) -> Any:
    return {"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": text}]}, **more}]}


def ollama(text: str, **more: Any) -> Any:
    return {"model": "m", "message": {"role": "assistant", "content": text}, "done": False, **more}


OPENAI_USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
GEMINI_USAGE = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
OLLAMA_END = {"done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2}
MESSAGE = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "stop_reason": None}
BLOCK = {"type": "text", "text": ""}

# What each path answers: not streamed, and streamed with its content type.
REPLIES: dict[str, tuple[Any, str, list[bytes]]] = {
    "/v1/chat/completions": (
        {
            "id": "c1",
            "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Good day"}, "finish_reason": "stop"}],
            "usage": OPENAI_USAGE,
        },
        "text/event-stream",
        [
            *sse(openai({"role": "assistant", "content": "Good"}), openai({"content": " day"}), openai({}, "stop")),
            *sse({"id": "c1", "model": "m", "choices": [], "usage": OPENAI_USAGE}),
            b"data: [DONE]\n\n",
        ],
    ),
    "/v1/messages": (
        {
            **MESSAGE,
            "content": [{"type": "text", "text": "Good day"}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 3, "output_tokens": 2},
        },
        "text/event-stream",
        sse(
            {"type": "message_start", "message": {**MESSAGE, "usage": {"input_tokens": 3, "output_tokens": 1}}},
            {"type": "content_block_start", "index": 0, "content_block": BLOCK},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Good"}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " day"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
            {"type": "message_stop"},
            event=True,
        ),
    ),
    "/v1beta/models/m:generateContent": (
        gemini("Good day", finishReason="STOP") | {"usageMetadata": GEMINI_USAGE},
        "",
        [],
    ),
    "/v1beta/models/m:streamGenerateContent": (
        {},
        "text/event-stream",
        sse(gemini("Good"), gemini(" day", finishReason="STOP") | {"usageMetadata": GEMINI_USAGE}),
    ),
    "/api/chat": (
        ollama("Good day", **OLLAMA_END),
        "application/x-ndjson",
        [json.dumps(line).encode() + b"\n" for line in (ollama("Good"), ollama(" day"), ollama("", **OLLAMA_END))],
    ),
}


class World(BaseHTTPRequestHandler):
    """Every provider, at one address. Asked to refuse, it repeats the key that it was shown."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._all(404, b'{"error":{"message":"no list here"}}')

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        path = self.path.partition("?")[0]
        whole, kind, pieces = REPLIES[path]
        if asked.get("stream") or "streamGenerate" in path:
            self._stream(kind, pieces)
        elif "refuse" in str(asked):
            key = self.headers.get("authorization", "")
            self._all(400, json.dumps({"error": {"message": f"I refuse {key}", "type": "x"}}).encode())
        else:
            self._all(200, json.dumps(whole).encode())

    def _stream(self, kind: str, pieces: list[bytes]) -> None:
        self._head(200, kind, "transfer-encoding", "chunked")
        for piece in [*pieces, b""]:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.flush()

    def _all(self, status: int, body: bytes) -> None:
        self._head(status, "application/json", "content-length", str(len(body)))
        self.wfile.write(body)

    def _head(self, status: int, kind: str, *framing: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("x-request-id", "req-7")
        self.send_header("set-cookie", "cookie-canary=1")
        self.send_header("openai-organization", "organization-canary")
        self.send_header(*framing)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


@contextmanager
def world() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), World)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def one(kind: str, url: str, name: str = "", more: str = "") -> str:
    return (
        f'[[providers]]\ntype = "{kind}"\nname = "{name or kind}"\nbase_url = "{url}{BASE_PATHS[kind]}"\n'
        f'api_key = "{SECRET}"\nmodels = ["m"]\n{more}'
    )


def configuration(*tables: str) -> str:
    return "\n".join((QUIET, PATIENT, "[retry]\nbase_delay_s = 0.0\nambiguous = 'always'\n", *tables))


def replayed(url: str, kind: str, options: str = "", name: str = "", more: str = "") -> str:
    return one(kind, f"{url}{options and '/f/'}{options}/p/{kind}", name, more)


def write(home: Path, text: str) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    path = home / "hoosh.toml"
    path.write_text(text)
    return path


def asked(kind: str, *, stream: bool, text: str = "Hi") -> dict[str, Any]:
    body: dict[str, Any] = {"model": f"{kind}/m", "messages": [{"role": "user", "content": text}]}
    return {**body, "stream": True, "stream_options": {"include_usage": True}} if stream else body


def answer_of(gateway: Running, body: dict[str, Any]) -> bytes:
    """The body, without what the gateway makes anew for every call: an id and the time."""
    answer = gateway.json(body)
    assert answer.status == 200, answer.body
    whole = unchunked(answer.body) if "transfer-encoding" in answer.headers else answer.body
    return re.sub(rb'"chatcmpl-[0-9a-f]+"', b'"ID"', re.sub(rb'"created":\d+', b'"created":0', whole))


def unchunked(data: bytes) -> bytes:
    whole = b""
    while size := int(data.partition(b"\r\n")[0], 16):
        data = data.partition(b"\r\n")[2]
        whole, data = whole + data[:size], data[size + 2 :]
    return whole


def read(path: Path) -> list[Record]:
    return read_lines(str(path), path.read_bytes().splitlines(keepends=True))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[tuple[str, bool], bytes]]:
    """A recording of a session with each provider, and what the client got."""
    home = tmp_path_factory.mktemp("record")
    file, answers = home / "traffic.jsonl", {}
    with world() as url:
        config = write(home, configuration(*(one(kind, url) for kind in TYPES)))
        with running(home, "record", str(file), "--port", "0", "--config", str(config)) as gateway:
            assert f"recording to {file}" in gateway.banner
            for kind in TYPES:
                for stream in (False, True):
                    answers[kind, stream] = answer_of(gateway, asked(kind, stream=stream))
            refused = gateway.json(asked("openai", stream=False, text=f"refuse {SECRET}"))
            assert refused.status == 400
    return file, answers


@pytest.fixture(scope="module")
def replaying(recorded: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("replaying")
    with running(home, "replay", str(recorded[0]), "--port", "0", "--chunk", "byte") as server:
        yield server


def test_the_answers_are_the_same_byte_for_byte(
    recorded: tuple[Path, dict[tuple[str, bool], bytes]], replaying: Running, tmp_path: Path
) -> None:
    for kind in TYPES:
        assert f"  {kind:12} {replaying.url}/p/{kind}{BASE_PATHS[kind]}  " in replaying.banner
    with serving(tmp_path, configuration(*(replayed(replaying.url, kind) for kind in TYPES))) as gateway:
        for (kind, stream), before in recorded[1].items():
            assert b"Good" in before
            for _ in range(2):
                assert answer_of(gateway, asked(kind, stream=stream)) == before, (kind, stream)


def test_what_is_in_the_file(recorded: tuple[Path, Any]) -> None:
    posts = [record for record in read(recorded[0]) if record.method == "POST"]
    assert [record.provider for record in posts] == [kind for kind in TYPES for _ in (0, 1)] + ["openai"]
    assert [record.stream for record in posts] == [False, True] * 4 + [False]
    assert {record.end for record in posts} == {"complete"}
    assert {record.response_headers["x-request-id"] for record in posts} == {"req-7"}
    streamed = next(record for record in posts if record.stream)
    assert streamed.response == b"".join(REPLIES["/v1/chat/completions"][2])
    assert sum(size for _, size in streamed.pieces) == len(streamed.response)
    assert posts[4].url_path == "/v1beta/models/m:generateContent"
    assert posts[5].url_path == "/v1beta/models/m:streamGenerateContent?alt=sse"


def test_no_secret_is_in_the_file(recorded: tuple[Path, Any]) -> None:
    data = recorded[0].read_bytes()
    assert b"I refuse ****" in data
    for secret in (SECRET.encode(), b"0123456789abcdef", b"cookie-canary", b"organization-canary"):
        assert secret not in data


FAULTS = {
    "cut": (502, "upstream_error"),
    "reset": (502, "upstream_error"),
    "cut=10": (502, "upstream_error"),
    "reset=10": (502, "upstream_error"),
    "stall": (504, "timeout"),
    "stall=10": (504, "timeout"),
    "status=500": (500, "upstream_error"),
    "status=503": (503, "overloaded"),
    "status=429,retry-after=60": (429, "rate_limit_exceeded"),
}
LATE = ("cut", "reset", "stall")
IMPATIENT = "first_byte_timeout_s = {}\nidle_timeout_s = 1.0\n"


@pytest.fixture(scope="module")
def troubled(
    recorded: tuple[Path, Any], replaying: Running, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """One provider for each fault of each kind; those of LATE strike before the second word."""
    tables = []
    for kind in TYPES:
        stream = next(record.response for record in read(recorded[0]) if record.provider == kind and record.stream)
        for n, options in enumerate(FAULTS):
            more = IMPATIENT.format(1.0) if "stall" in options else ""
            tables.append(replayed(replaying.url, kind, options, f"{kind}-{n}", more))
        for fault in LATE:
            more = IMPATIENT.format(60.0) if fault == "stall" else ""
            options = f"{fault}={stream.index(b' day')}"
            tables.append(replayed(replaying.url, kind, options, f"{kind}-{fault}", more))
    with serving(tmp_path_factory.mktemp("troubled"), configuration(*tables)) as gateway:
        yield gateway


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("options", FAULTS)
@pytest.mark.parametrize("stream", [False, True])
def test_each_fault_reaches_the_client_as_the_right_error(
    kind: str, options: str, stream: bool, troubled: Running
) -> None:
    answer = troubled.json(asked(f"{kind}-{list(FAULTS).index(options)}", stream=stream))
    assert (answer.status, answer.error["code"]) == FAULTS[options], answer.body
    assert answer.headers.get("retry-after") == ("60" if "retry-after" in options else None)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("fault", LATE)
def test_a_fault_after_the_first_words_is_an_error_in_the_stream(kind: str, fault: str, troubled: Running) -> None:
    answer = troubled.json(asked(f"{kind}-{fault}", stream=True))
    assert answer.status == 200
    assert b"Good" in answer.body
    assert b" day" not in answer.body
    assert b"[DONE]" not in answer.body
    code = "timeout" if fault == "stall" else "upstream_error"
    assert f'"code":"{code}"'.encode() in answer.body


def test_a_fault_of_the_first_request_only_is_healed_by_another_attempt(replaying: Running, tmp_path: Path) -> None:
    # A reset on a connection that was idle would be taken for the end of keep-alive: that one comes first.
    names = {"reset,first=1": "broken", "status=503,first=1": "refused"}
    tables = [replayed(replaying.url, "openai", options, name) for options, name in names.items()]
    with serving(tmp_path, configuration(*tables)) as gateway:
        for name in names.values():
            answer = gateway.json(asked(name, stream=True))
            assert (answer.status, answer.headers["x-hoosh-attempts"]) == (200, "2"), name


def test_what_is_not_recorded_is_an_error_that_says_so(replaying: Running, tmp_path: Path) -> None:
    with serving(tmp_path, configuration(replayed(replaying.url, "openai"))) as gateway:
        answer = gateway.json(asked("openai", stream=False, text="Something else"))
        assert answer.status == 404
        assert "which differs in messages" in answer.error["message"]


def test_a_client_that_leaves_while_its_answer_is_recorded(tmp_path: Path) -> None:
    file = tmp_path / "traffic.jsonl"
    with provider() as fake:
        config = write(
            tmp_path, f'{QUIET}[[providers]]\ntype = "openai"\nname = "fake"\nbase_url = "{fake.url}"\nmodels = ["*"]\n'
        )
        with running(tmp_path, "record", str(file), "--port", "0", "--config", str(config)) as gateway:
            body = json.dumps({"model": "slow", "messages": HI, "stream": True}).encode()
            head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
            with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE_S) as connection:
                connection.sendall(head % len(body) + body)
                got = b""
                while b"Hi" not in got:
                    got += connection.recv(65536)
            assert fake.hung_up.wait(PATIENCE_S)
            assert gateway.json({"model": "echo", "messages": HI}).status == 200
    left, after = (record for record in read(file) if record.method == "POST")
    assert (left.end, left.is_whole, b"Hi" in left.response) == ("aborted", False, True)
    assert after.end == "complete"


def test_a_place_that_cannot_be_recorded_to_is_one_line(tmp_path: Path) -> None:
    config = write(tmp_path, QUIET)
    command = [sys.executable, "-m", "hoosh", "record", "no/such.jsonl", "--port", "0", "--config", str(config)]
    done = subprocess.run(command, cwd=tmp_path, env=clean_environ(tmp_path), capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "hoosh: cannot record to no/such.jsonl: No such file or directory\n"
