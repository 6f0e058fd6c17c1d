"""Limits through `hoosh serve`: what each dialect's client is told, in its own words and in headers."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import PATIENCE_S, Answer, Provider, Running, one_provider, provider, serving

HI = [{"role": "user", "content": "Hi"}]
GEMINI_HI = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
WORDS = ("limit", "remaining", "reset")
REQUESTS = {f"x-ratelimit-{word}-requests" for word in WORDS}
TOKENS = {f"x-ratelimit-{word}-tokens" for word in WORDS}
# Where each dialect is asked, and with what.
DIALECTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"model": "echo", "messages": HI}),
    "responses": ("/v1/responses", {"model": "echo", "input": "Hi", "store": False}),
    "messages": ("/v1/messages", {"model": "echo", "max_tokens": 9, "messages": HI}),
    "gemini": ("/v1beta/models/echo:generateContent", GEMINI_HI),
    "ollama": ("/api/chat", {"model": "echo", "messages": HI, "stream": False}),
}
OPENAI = {"type": "rate_limit_error", "code": "rate_limit_exceeded", "param": None}


def token(name: str) -> str:
    return f"hk-{name}-0123456789abcdef"


def key(name: str, *lines: str) -> str:
    return f'[[keys]]\nname = "{name}"\ntoken = "{token(name)}"\n' + "".join(f"{line}\n" for line in lines)


@pytest.fixture(scope="module")
def fake() -> Iterator[Provider]:
    with provider() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(fake: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = (
        one_provider(fake.url)
        + "".join(key(f"one-{name}", "rpm = 1", "tpm = 100_000") for name in DIALECTS)
        + key("free")
        + key("team", 'pool = "team"', "rpm = 100", "tpm = 100_000")
        + key("single", "concurrency = 1", "rpm = 1000")
        + key("many", "rpm = 1000", "tpm = 1_000_000")
        + '[[budgets]]\nname = "team"\nrpm = 50\ntpm = 6000\n'
        + '[[providers]]\ntype = "openai"\nname = "narrow"\nbase_url = "http://127.0.0.1:9/v1"\nmodels = ["n", "o"]\n'
        + '[[limits]]\nmodel = "o"\nprovider = "narrow"\nrpm = 1\n[retry]\ntries = 1\n'
    )
    with serving(tmp_path_factory.mktemp("limits"), config) as running:
        yield running


def ask(gateway: Running, who: str, path: str, value: object) -> Answer:
    return gateway.json(value, f"authorization: Bearer {token(who)}", path=path)


def chat(gateway: Running, who: str, **more: Any) -> Answer:
    path, value = DIALECTS["chat"]
    return ask(gateway, who, path, {**value, **more})


def told(answer: Answer) -> set[str]:
    return {name for name in answer.headers if name.startswith("x-ratelimit")}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_dialect_is_told_in_its_own_words(gateway: Running, dialect: str) -> None:
    path, value = DIALECTS[dialect]
    good = ask(gateway, f"one-{dialect}", path, value)
    assert good.status == 200, good.body
    assert told(good) == REQUESTS | TOKENS
    assert good.headers["x-ratelimit-limit-requests"] == "1"
    assert good.headers["x-ratelimit-remaining-requests"] == "0"
    assert good.headers["x-ratelimit-reset-requests"].startswith(("59.", "1m0s"))
    assert good.headers["x-ratelimit-limit-tokens"] == "100000"
    refused = ask(gateway, f"one-{dialect}", path, value)
    assert refused.status == 429
    assert told(refused) == REQUESTS | TOKENS
    assert 50 <= int(refused.headers["retry-after"]) <= 60
    assert "x-should-retry" not in refused.headers
    words = f"Rate limit reached for key 'one-{dialect}' on requests per minute (RPM): limit 1, used 1, requested 1."
    error = refused.value["error"]
    if dialect == "ollama":
        assert error.startswith(words)
        return
    assert error["message"].startswith(words)
    if dialect == "gemini":
        assert (error["code"], error["status"]) == (429, "RESOURCE_EXHAUSTED")
    elif dialect == "messages":
        assert (refused.value["type"], error["type"]) == ("error", "rate_limit_error")
    else:
        assert OPENAI.items() <= error.items()


def test_who_has_no_limit_is_told_nothing(gateway: Running) -> None:
    for answer in (chat(gateway, "free"), chat(gateway, "free", model="no-such-model")):
        assert told(answer) == set()


def test_the_tightest_limit_of_key_and_pool_is_told(gateway: Running) -> None:
    answer = chat(gateway, "team", max_tokens=3000)
    assert (answer.status, told(answer)) == (200, REQUESTS | TOKENS)
    assert answer.headers["x-ratelimit-limit-requests"] == "50"
    assert answer.headers["x-ratelimit-limit-tokens"] == "6000"
    assert 2900 < int(answer.headers["x-ratelimit-remaining-tokens"]) < 6000


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"stream": True}, 200),
        ({"model": "no-such-model"}, 404),
        ({"messages": "wrong"}, 400),
        ({"model": "narrow/n"}, 502),
    ],
)
def test_streams_and_errors_tell_it_too(gateway: Running, more: dict[str, Any], status: int) -> None:
    answer = chat(gateway, "many", **more)
    assert (answer.status, told(answer)) == (status, REQUESTS | TOKENS)


def test_a_model_at_its_limit_is_not_the_callers_fault(gateway: Running) -> None:
    first, second = (chat(gateway, "free", model="o") for _ in range(2))
    assert (first.status, second.status) == (502, 429)
    assert "model 'narrow/o' on requests per minute (RPM): limit 1, used 1, requested 1." in second.error["message"]
    assert OPENAI.items() <= second.error.items()
    assert told(second) == set()


def test_a_place_is_free_again_when_its_client_is_gone(fake: Provider, gateway: Running) -> None:
    body = json.dumps({"model": "slow", "messages": HI, "stream": True}).encode()
    head = f"POST {DIALECTS['chat'][0]} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token('single')}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    fake.hung_up.clear()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE_S) as connection:
        connection.sendall(head.encode() + body)
        got = b""
        while b'"Hi"' not in got:
            got += connection.recv(65536)
        refused = chat(gateway, "single")
        assert refused.status == 429
        assert "on calls at once (concurrency): limit 1, used 1, requested 1." in refused.error["message"]
        assert refused.headers["retry-after"] == "1"
        assert told(refused) == REQUESTS
    assert fake.hung_up.wait(PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    while chat(gateway, "single").status == 429:  # the provider may hear of it a moment before
        assert time.monotonic() < deadline


def test_without_keys_the_pool_asked_for_is_told(fake: Provider, tmp_path: Path) -> None:
    pools = (
        '[[budgets]]\nname = "default"\nrpm = 100\n[[budgets]]\nname = "open"\n[[budgets]]\nname = "low"\ntpm = 900\n'
    )
    path, value = DIALECTS["chat"]
    with serving(tmp_path, one_provider(fake.url) + pools) as running:
        assert told(running.json(value, path=path)) == REQUESTS
        assert told(running.json(value, "x-hoosh-pool: open", path=path)) == set()
        assert told(running.json(value, "x-hoosh-pool: low", path=path)) == TOKENS
