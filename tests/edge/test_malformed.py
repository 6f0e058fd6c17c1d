"""What is wrong with a request is said in an error object with a documented status, over real sockets."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import Answer, Running, one_provider, provider, serving

LIMITS = "[server]\nheader_timeout_s = 1.0\nbody_timeout_s = 1.0\n"
HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home: Path = tmp_path_factory.mktemp("malformed")
    with provider() as fake, serving(home, LIMITS + one_provider(fake.url)) as running:
        yield running


def chat(**fields: object) -> bytes:
    return json.dumps({"model": "echo", "messages": HI, **fields}).encode()


BODIES = {
    "empty": (b"", 400, "body", "the request body is empty"),
    "bad JSON": (b'{"model": "echo", ', 400, "body", "not valid JSON"),
    "trailing bytes": (chat() + b"}", 400, "body", "not valid JSON"),
    "invalid UTF-8": (chat().replace(b"Hi", b"\xff\xfe"), 400, "body", "not valid UTF-8 (byte"),
    "not an object": (b"[1, 2]", 400, "body", "expected object"),
    "nested too deep": (b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "body", "nested too deep"),
    "model missing": (json.dumps({"messages": HI}).encode(), 400, "model", "model field is required"),
    "model is a number": (chat(model=7), 400, "model", "expected string"),
    "model of 300 characters": (chat(model="m" * 300), 400, "model", "invalid model name"),
    "model with a control character": (chat(model="a\nb"), 400, "model", "invalid model name"),
    "unknown model": (chat(model="ecko"), 404, "model", "Did you mean echo"),
    "messages missing": (b'{"model": "echo"}', 400, "messages", "messages array is required"),
    "messages empty": (chat(messages=[]), 400, "messages", "messages array is empty"),
    "messages a string": (chat(messages="hi"), 400, "messages", "expected array, got string"),
    "too many messages": (chat(messages=HI * 10_001), 400, "messages", "Too many messages: 10001 (max 10000)"),
    "unknown role": (chat(messages=[{"role": "wizard", "content": "x"}]), 400, "messages[0].role", "unknown role"),
    "content null": (chat(messages=[{"role": "user", "content": None}]), 400, "messages[0].content", "got null"),
    "temperature": (chat(temperature=2.5), 400, "temperature", "temperature must be between 0.0 and 2.0, got 2.5"),
    "temperature a string": (chat(temperature="hot"), 400, "temperature", "got string"),
    "top_p": (chat(top_p=-1), 400, "top_p", "top_p must be between 0.0 and 1.0, got -1"),
    "max_tokens": (chat(max_tokens=0), 400, "max_tokens", "max_tokens must be greater than 0"),
    "unknown pool": (chat(pool="nobody"), 400, "pool", "Token pool 'nobody' does not exist"),
    "tool result without id": (
        chat(messages=[{"role": "tool", "content": "x"}]),
        400,
        "messages[0].tool_call_id",
        "is required",
    ),
}


def check(answer: Answer, status: int, param: str | None, words: str) -> None:
    assert answer.status == status, answer.body
    assert set(answer.error) == {"message", "type", "param", "code", "request_id"}
    assert words in answer.error["message"]
    assert answer.error["param"] == param
    assert answer.error["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("name", BODIES)
def test_a_malformed_body(gateway: Running, name: str) -> None:
    body, status, param, words = BODIES[name]
    check(gateway.ask(body, "content-type: application/json"), status, param, words)


def test_key_order_does_not_matter(gateway: Running) -> None:
    fields = {"model": "echo", "messages": HI, "stream": False}
    for order in itertools.permutations(fields):
        assert gateway.json({name: fields[name] for name in order}).status == 200


def test_null_content_beside_tool_calls_is_well_formed(gateway: Running) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    asked = {"role": "assistant", "content": None, "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": "c", "content": "done"}
    assert gateway.json({"model": "echo", "messages": [*HI, asked, result]}).status == 200


def test_eleven_megabytes_are_refused_by_their_length_alone(gateway: Running) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 11534336\r\n\r\n"
    check(Answer(gateway.raw(head + b"x")), 413, "body", "larger than 10485760 bytes")


def test_eleven_megabytes_in_chunks_are_refused_too(gateway: Running) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    chunk = b"80000\r\n" + b" " * 0x80000 + b"\r\n"
    check(Answer(gateway.raw(head + chunk * 21)), 413, "body", "larger than 10485760 bytes")


def test_a_slow_body(gateway: Running) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 99\r\n\r\n{"
    check(Answer(gateway.raw(head)), 408, None, "the request body did not arrive within 1 s")


def test_half_a_head(gateway: Running) -> None:
    check(
        Answer(gateway.raw(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx-ha")),
        408,
        None,
        "head did not arrive",
    )


def test_a_connection_that_says_nothing(gateway: Running) -> None:
    assert gateway.raw(b"").startswith(b"HTTP/1.1 408 ")


def test_a_head_that_is_too_large(gateway: Running) -> None:
    head = b"GET /v1/health HTTP/1.1\r\nhost: localhost\r\nx-big: " + b"a" * 40_000
    check(Answer(gateway.raw(head)), 431, None, "head is larger than 32768 bytes")


@pytest.mark.parametrize(
    "lines",
    [
        b"content-length: 2\r\ncontent-length: 3",
        b"content-length: 2\r\ntransfer-encoding: chunked",
        b"transfer-encoding: xchunked",
        b"content-length: -1",
        b"content-length: 2x",
        b"no colon",
        b"x: a\x00b",
    ],
)
def test_ambiguous_framing(gateway: Running, lines: bytes) -> None:
    data = gateway.raw(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n" + lines + b"\r\n\r\n{}")
    assert data.count(b"HTTP/1.1 4") == 1
    check(Answer(data), 400, None, "not a valid HTTP/1.1 request")


def test_garbage_instead_of_http(gateway: Running) -> None:
    check(Answer(gateway.raw(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")), 400, None, "not a valid HTTP/1.1 request")


def test_a_form_is_refused(gateway: Running) -> None:
    answer = gateway.ask(chat(), "content-type: application/x-www-form-urlencoded")
    check(answer, 415, None, "application/json")


def test_a_compressed_body_is_refused(gateway: Running) -> None:
    answer = gateway.ask(chat(), "content-type: application/json", "content-encoding: gzip")
    check(answer, 415, None, "without content-encoding")


def test_an_unknown_path_and_a_wrong_method(gateway: Running) -> None:
    check(gateway.ask(b"", path="/v1/nothing", method="GET"), 404, None, "no such path")
    answer = gateway.ask(b"", method="GET")
    check(answer, 405, None, "use POST")
    assert answer.headers["allow"] == "POST"


def test_an_unknown_model_by_its_page(gateway: Running) -> None:
    check(gateway.ask(b"", path="/v1/models/ecko", method="GET"), 404, "model", "Did you mean echo")


def test_the_gateway_answers_after_all_of_it(gateway: Running) -> None:
    assert gateway.json({"model": "echo", "messages": HI}).status == 200
    assert gateway.ask(b"", path="/v1/health", method="GET").value["status"] == "ok"
