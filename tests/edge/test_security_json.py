"""Bodies that are JSON to the letter and meant to hurt: each is refused with a 400 that names the field, by a gateway that
goes on answering.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import Provider, Running, one_provider, provider, serving

JSON = "content-type: application/json"
HI = b'"model":"echo","messages":[{"role":"user","content":"x"}]'
DEEP = 100_000
TOOL = {"type": "function", "function": {"name": "f"}}
PATHS: dict[str, tuple[str, dict[str, Any]]] = {
    "openai": ("/v1/chat/completions", {"model": "echo", "messages": [{"role": "user", "content": "x"}]}),
    "anthropic": ("/v1/messages", {"model": "echo", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}),
    "responses": ("/v1/responses", {"model": "echo", "input": "x"}),
    "gemini": ("/v1beta/models/echo:generateContent", {"contents": [{"parts": [{"text": "x"}]}]}),
    "ollama": ("/api/chat", {"model": "echo", "messages": [{"role": "user", "content": "x"}], "stream": False}),
    "completions": ("/v1/completions", {"model": "echo", "prompt": "x"}),
    "embeddings": ("/v1/embeddings", {"model": "echo", "input": "x"}),
}


@pytest.fixture(scope="module")
def fake() -> Iterator[Provider]:
    with provider() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(fake: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("json"), one_provider(fake.url)) as running:
        yield running


def told(gateway: Running, body: bytes, path: str = "/v1/chat/completions") -> tuple[int, str]:
    answer = gateway.ask(body, JSON, path=path)
    return answer.status, answer.body.decode()


def resident_bytes(gateway: Running) -> int:
    """The most that the process ever had."""
    for line in Path(f"/proc/{gateway.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no VmHWM")


@pytest.mark.parametrize("dialect", PATHS)
@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
def test_a_hundred_thousand_levels_are_refused_in_every_dialect(
    gateway: Running, fake: Provider, dialect: str, opens: str, closes: str
) -> None:
    asked = len(fake.bodies)
    path, body = PATHS[dialect]
    inner = opens * DEEP + ("1" if closes == "}" else "") + closes * DEEP
    for field in ("zz", "metadata", *body):
        text = json.dumps({**body, field: "@"}).replace('"@"', inner)
        status, said = told(gateway, text.encode(), path)
        assert status == 400, said
        assert field in body or field == "metadata" or "deep" in said, said
    assert len(fake.bodies) == asked


def test_arguments_of_a_tool_that_are_nested_too_deep_are_the_clients_mistake(tmp_path: Path) -> None:
    """They are a string in OpenAI's words and an object in Anthropic's."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":' * 5000 + "1" + "}" * 5000}}
    user = {"role": "user", "content": "x"}
    body = {"model": "m", "messages": [user, {"role": "assistant", "tool_calls": [call]}, user]}
    config = '[discovery]\nenabled = false\nenv_keys = false\n[embedded]\nenabled = false\n[[providers]]\ntype = "anthropic"\n'
    with serving(tmp_path, config + 'base_url = "http://127.0.0.1:9"\nmodels = ["m"]\n') as gateway:
        answer = gateway.json(body)
    assert (answer.status, answer.error["param"]) == (400, "messages[1].tool_calls")


@pytest.mark.parametrize(
    ("field", "param"),
    [
        (b'"temperature":NaN', "body"),
        (b'"temperature":Infinity', "body"),
        (b'"zz":NaN', "body"),
        (b'"zz":-Infinity', "body"),
        (b'"temperature":1e999', "temperature"),
        (b'"seed":' + b"9" * 100_000, "seed"),
        (b'"max_tokens":' + b"9" * 100_000, "max_tokens"),
        (b'"max_tokens":1e400', "max_tokens"),
        (b'"top_p":-0.1', "top_p"),
        (b'"user":"\\ud800"', "body"),
        (b'"user":"\\udc00\\ud800"', "body"),
        (b'"user":"\xed\xa0\x80"', "body"),
        (b'"user":"\xc0\xaf"', "body"),
        (b'"user":"a\nb"', "body"),
        (b'"n":129', "n"),
        (b'"n":1000000000', "n"),
        (b'"n":0', "n"),
        (b'"tools":[' + b",".join([json.dumps(TOOL).encode()] * 513) + b"]", "tools"),
        (b",".join(b'"k%d":1' % k for k in range(1001)), "body"),
    ],
    ids=lambda value: value[:24].decode("latin-1") if isinstance(value, bytes) else value,
)
def test_what_no_number_text_or_list_may_be(gateway: Running, fake: Provider, field: bytes, param: str) -> None:
    asked = len(fake.bodies)
    answer = gateway.ask(b"{" + HI + b"," + field + b"}", JSON)
    assert (answer.status, answer.error["param"]) == (400, param), answer.body
    assert len(answer.body) < 1000
    assert len(fake.bodies) == asked


def test_what_is_at_the_limit_is_taken(gateway: Running) -> None:
    for more in ({"tools": [TOOL] * 512}, {"n": 128}, {f"k{k}": 1 for k in range(1000)}):
        body: dict[str, Any] = {**json.loads(b"{" + HI + b"}"), **more}
        assert gateway.json(body).status == 200, next(iter(more))


@pytest.mark.parametrize(
    ("dialect", "field", "value"),
    [
        ("anthropic", "tools", [{"name": f"f{k}", "input_schema": {"type": "object"}} for k in range(513)]),
        ("responses", "tools", [{"type": "function", "name": f"f{k}", "parameters": {}} for k in range(513)]),
        ("ollama", "tools", [TOOL] * 513),
        ("gemini", "tools", [{"functionDeclarations": [{"name": f"f{k}"} for k in range(513)]}]),
        ("gemini", "generationConfig", {"candidateCount": 129}),
        ("completions", "n", 129),
        ("openai", "messages", [{"role": "user", "content": "x"}] * 10_001),
        ("ollama", "messages", [{"role": "user", "content": "x"}] * 10_001),
        ("gemini", "contents", [{"parts": [{"text": "x"}]}] * 10_001),
        ("anthropic", "messages", [{"role": "user", "content": "x"}] * 100_001),
    ],
)
def test_the_limits_hold_in_every_dialect(
    gateway: Running, fake: Provider, dialect: str, field: str, value: object
) -> None:
    asked = len(fake.bodies)
    path, body = PATHS[dialect]
    assert gateway.json({**body, field: value}, path=path).status == 400
    assert len(fake.bodies) == asked


@pytest.mark.parametrize("dialect", PATHS)
@pytest.mark.parametrize("again", ["model", "max_tokens", "zz", "stream"])
def test_a_field_that_is_there_twice_is_refused(gateway: Running, fake: Provider, dialect: str, again: str) -> None:
    """A provider might read the other one: another model than the key may use, another limit than was paid for."""
    asked = len(fake.bodies)
    path, body = PATHS[dialect]
    one, other = {"model": ("silent", "echo"), "stream": (False, False)}.get(again, (99, 9))
    text = json.dumps({again: one, **body, again + "@": other}).replace(again + "@", again)
    status, said = told(gateway, text.encode(), path)
    assert (status, "twice" in said) == (400, True), said
    assert len(fake.bodies) == asked


@pytest.mark.parametrize("where", ["top", "nested", "strings first"])
def test_a_million_keys_are_refused_and_memory_stays_bounded(gateway: Running, where: str) -> None:
    told(gateway, b"{" + HI + b',"user":"' + b"x" * (9 << 20) + b'"}')  # a large body as such
    before = resident_bytes(gateway)
    keys = b",".join(b'"%x":1' % k for k in range(900_000))
    if where == "nested":
        keys = b'"metadata":{' + keys + b"}"
    elif where == "strings first":
        keys = b'"a":[' + b'"",' * 600_000 + b'""],' + b",".join(b'"%x":1' % k for k in range(600_000))
    status, said = told(gateway, b"{" + HI + b"," + keys + b"}")
    assert (status, json.loads(said)["error"]["param"]) == (400, "body"), said
    assert "250000 keys" in said
    assert resident_bytes(gateway) - before < 100 << 20
    assert gateway.ask(b"", path="/v1/health", method="GET").status == 200


def test_colons_in_a_text_are_not_keys(gateway: Running) -> None:
    log = "12:30:45 started\n" * 150_000
    assert gateway.json({"model": "echo", "messages": [{"role": "user", "content": log}]}).status == 200
