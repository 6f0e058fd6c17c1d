"""Text that looks like the framing around it: whatever a model or a provider says, in whatever place, a client of any
dialect reads it as text. Nothing of it becomes an event, a line or a header.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import quote

import pytest

from gateway import QUIET, Chat, Running, provider, serving
from scripted import events, reply

FORGED = '{"injected": true}'
EVIL = (
    f"a\n\ndata: {FORGED}\n\nevent: injected\ndata: {FORGED}\r\n\r\ndata: {FORGED}\r\rdata: {FORGED}\n{FORGED}\n"
    f"\u2028data: {FORGED}\u2028\u2028\u2029\u0085data: {FORGED}\u0085\x0b\x0cdata: {FORGED}\x1c\x1d\x1e\x00"
    f"\r\n0\r\n\r\nHTTP/1.1 200 OK\r\ninjected: yes\r\n\r\n[DONE]\n\ndata: [DONE]\n\n\ufeff"
)
CLIENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "openai": ("/v1/chat/completions", {"messages": [{"role": "user", "content": EVIL}]}),
    "anthropic": ("/v1/messages", {"max_tokens": 9, "messages": [{"role": "user", "content": EVIL}]}),
    "responses": ("/v1/responses", {"input": EVIL}),
    "ollama": ("/api/chat", {"messages": [{"role": "user", "content": EVIL}]}),
    "gemini": ("/v1beta/models/m:{}", {"contents": [{"parts": [{"text": EVIL}]}]}),
    "completions": ("/v1/completions", {"prompt": EVIL}),
}


def said(value: Any) -> str:
    """As a provider in another language writes it: nothing escaped that need not be."""
    return json.dumps(value, ensure_ascii=False)


def openai_events(**delta: Any) -> bytes:
    head = {"id": EVIL, "model": EVIL, "system_fingerprint": EVIL, "object": "chat.completion.chunk"}
    first = {**head, "choices": [{"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": None}]}
    last = {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return events(said(first), said(last))


def openai_whole(**message: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "", **message}, "finish_reason": "stop"}
    return reply(said({"id": EVIL, "model": EVIL, "choices": [choice]}).replace(", ", ",\r\n").encode())


CALL = {"index": 0, "id": EVIL, "type": "function", "function": {"name": EVIL, "arguments": said({EVIL: EVIL})}}
SAYS: dict[str, dict[str, Any]] = {
    "content": {"content": EVIL},
    "reasoning": {"reasoning_content": EVIL, "content": "x"},
    "refusal": {"refusal": EVIL},
    "tool call": {"tool_calls": [CALL]},
    "unknown fields": {"content": "x", EVIL: EVIL},
}
FAULTS = {
    "error": reply(said({"error": {"message": EVIL, "type": EVIL, "code": EVIL, "param": EVIL}}).encode(), status=400),
    "error as text": reply(EVIL.encode(), status=500),
    "error in a stream": events(
        said({"choices": [{"index": 0, "delta": {"content": "x"}}]}), said({"error": {"message": EVIL, "type": EVIL}})
    ),
}


class Saying(Chat):
    """Answers with bytes that were made before."""

    says: ClassVar[dict[str, bytes]] = {}

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.wfile.write(self.says["next"])
        self.close_connection = True


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("injection")
    with provider(Saying) as fake:
        table = '[[providers]]\ntype = "openai"\nname = "p"\nresponses = false\nmodels = ["m"]\n'
        with serving(home, f'{QUIET}[retry]\ntries = 1\n{table}base_url = "{fake.url}"\n') as running:
            yield running


def ask(gateway: Running, upstream: bytes, client: str, *, stream: bool) -> tuple[bytes, bytes]:
    """Head and body of the answer."""
    Saying.says["next"] = upstream
    path, body = CLIENTS[client]
    if client == "gemini":
        path = path.format("streamGenerateContent?alt=sse" if stream else "generateContent")
    else:
        body = {**body, "model": "m", "stream": stream}
    data = json.dumps(body).encode()
    lines = f"POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n"
    head, _, rest = gateway.raw(f"{lines}content-length: {len(data)}\r\n\r\n".encode() + data).partition(b"\r\n\r\n")
    return head, unchunked(rest) if b"transfer-encoding: chunked" in head else rest


def unchunked(data: bytes) -> bytes:
    whole = b""
    while size := int(data[: data.index(b"\r\n")], 16):
        start = data.index(b"\r\n") + 2
        whole += data[start : start + size]
        assert data[start + size : start + size + 2] == b"\r\n"
        data = data[start + size + 2 :]
    assert data == b"0\r\n\r\n"
    return whole


def check(head: bytes, body: bytes) -> None:
    """As the strictest and the most careless readers of lines read it."""
    lines = head.decode("latin-1").split("\r\n")
    assert re.fullmatch(r"HTTP/1\.1 [0-9]{3} [A-Za-z ]*", lines[0])
    assert all(re.fullmatch(r"[a-z-]+: [\x20-\x7e]*", line) for line in lines[1:]), lines
    assert not any(line.startswith("injected") for line in lines)
    kind = next(line for line in lines if line.startswith("content-type: "))
    text = body.decode()
    for split in (re.split(r"\r\n|\n|\r", text), text.splitlines(), re.split("[\n\r\u2028\u2029\x85]", text)):
        if "event-stream" in kind:
            check_events([line for line in split if line])
        elif "ndjson" in kind:
            assert all("injected" not in json.loads(line) for line in split if line)
    if "event-stream" not in kind and "ndjson" not in kind:
        assert "injected" not in json.loads(text)


def check_events(lines: list[str]) -> None:
    for line in lines:
        field, _, value = line.partition(": ")
        assert field in ("data", "event"), line[:80]
        assert value != "injected"
        if field == "data" and value != "[DONE]":
            assert "injected" not in json.loads(value)
    assert [line for line in lines if line == "data: [DONE]"] in ([], [lines[-1]])


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("what", SAYS)
@pytest.mark.parametrize("client", CLIENTS)
def test_what_a_model_says_is_text(gateway: Running, client: str, what: str, stream: bool) -> None:
    upstream = openai_events(**SAYS[what]) if stream else openai_whole(**SAYS[what])
    head, body = ask(gateway, upstream, client, stream=stream)
    assert head.startswith(b"HTTP/1.1 200 "), (head, body[:300])
    check(head, body)
    if what == "content":
        assert json.dumps("data: " + FORGED)[1:-1].encode() in body


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("what", FAULTS)
@pytest.mark.parametrize("client", CLIENTS)
def test_what_a_provider_says_of_a_failure_is_text(gateway: Running, client: str, what: str, stream: bool) -> None:
    head, body = ask(gateway, FAULTS[what], client, stream=stream)
    check(head, body)
    assert b"[DONE]\n\n" not in body[-9:]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    "name", ["m\ninjected: yes", "m\r\n\r\nHTTP/1.1 200 OK", "m\u2028", "m\x00", "p/m\r\ninjected: x", EVIL]
)
def test_what_a_client_calls_a_model_is_no_header(gateway: Running, client: str, name: str) -> None:
    path, body = CLIENTS[client]
    if client == "gemini":
        path = path.replace("m:{}", quote(name, safe="") + ":generateContent")
    answer = gateway.json({**body, "model": name}, path=path)
    assert answer.status in (400, 404), answer.body
    assert "injected" not in answer.headers
    json.loads(answer.body)


@pytest.mark.parametrize("given", ["a\tb", "\x85injected", "é", "x" * 200, "a b", "\u2028".encode().decode("latin-1")])
def test_a_request_id_that_is_no_word_is_replaced(gateway: Running, given: str) -> None:
    head = f"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-request-id: {given}\r\n\r\n"
    said = gateway.raw(head.encode("latin-1")).partition(b"\r\n\r\n")[0]
    (shown,) = re.findall(rb"x-request-id: ([^\r]*)", said)
    assert re.fullmatch(rb"[0-9a-f]{27}", shown)
