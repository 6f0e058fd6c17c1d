"""`Idempotency-Key`: what is sent again is answered once, and again the same."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from edge.fake_upstream import eventually
from gateway import PATIENCE_S, Answer, Chat, Provider, Running, one_provider, provider, serving
from hoosh.app import Gateway, known_types
from hoosh.config.load import load_text
from hoosh.http.exchange import Exchange, MemoryWire
from hoosh.http.idempotency import REPLY_BYTES, Idempotency
from hoosh.http.request import Limits
from hoosh.telemetry.log import QuietJournal

HI = [{"role": "user", "content": "Hi"}]
BODY = {"model": "echo", "messages": HI}
KEYS = "".join(f'[[keys]]\nname = "{name}"\ntoken = "token-of-the-{name}-key"\n' for name in ("a", "b"))
HEALTHY = "[health]\nenabled = false\n"


class Numbered(Chat):
    """Each answer is another one. `slow` answers when it may; `silent` is a failure, by the status in its prompt."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.bodies.append(json.dumps(asked).encode())
        text = f"answer {len(self.server.bodies)}"
        if asked["model"] == "slow":
            assert self.server.hung_up.wait(PATIENCE_S)
        if asked["model"] == "silent":
            self._reply(int(asked["messages"][0]["content"]), {"error": {"message": text}})
        elif asked.get("stream"):
            self._stream(asked, text)
        else:
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            self._reply(200, {"id": "x", "model": asked["model"], "choices": [choice]})


@pytest.fixture
def fake() -> Iterator[Provider]:
    with provider(Numbered) as server:
        yield server
        server.hung_up.set()


@pytest.fixture
def gateway(tmp_path: Path, fake: Provider) -> Iterator[Running]:
    with serving(tmp_path, one_provider(fake.url) + HEALTHY + KEYS) as running:
        yield running


def ask(gateway: Running, key: str, *headers: str, tenant: str = "a", path: str = "", **more: object) -> Answer:
    token = f"authorization: Bearer token-of-the-{tenant}-key"
    place = path or "/v1/chat/completions"
    return gateway.json({**BODY, **more}, token, f"idempotency-key: {key}", *headers, path=place)


def test_the_same_request_is_answered_with_the_same_bytes(gateway: Running, fake: Provider) -> None:
    first, second = ask(gateway, "k"), ask(gateway, "k", "x-request-id: mine")
    assert (first.status, second.status) == (200, 200)
    assert first.body == second.body
    assert "x-hoosh-replayed" not in first.headers
    assert (second.headers["x-hoosh-replayed"], second.headers["x-request-id"]) == ("true", "mine")
    assert first.headers["x-hoosh-provider"] == second.headers["x-hoosh-provider"]
    assert len(fake.bodies) == 1
    assert ask(gateway, "other").body != first.body


def test_a_stream_is_replayed_as_the_same_stream(gateway: Running, fake: Provider) -> None:
    first, second = (ask(gateway, "k", stream=True) for _ in range(2))
    assert first.body == second.body
    assert b"[DONE]" in first.body
    assert second.headers["content-type"].startswith("text/event-stream")
    assert len(fake.bodies) == 1


def test_openais_client_may_send_it_again(gateway: Running, fake: Provider) -> None:
    hi: Any = HI
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="token-of-the-a-key", timeout=PATIENCE_S) as client:
        head = {"Idempotency-Key": "k"}
        told = [client.chat.completions.create(model="echo", messages=hi, extra_headers=head) for _ in range(2)]
        parts = [
            list(
                client.chat.completions.create(
                    model="echo", messages=hi, stream=True, extra_headers={"Idempotency-Key": "s"}
                )
            )
            for _ in range(2)
        ]
        responses = [
            client.responses.create(model="echo", input="Hi", extra_headers={"Idempotency-Key": "r"}) for _ in range(2)
        ]
    assert told[0] == told[1]
    assert parts[0] == parts[1]
    assert responses[0].id == responses[1].id
    assert len(fake.bodies) == 3


@pytest.mark.parametrize(
    ("more", "path"),
    [({"max_tokens": 9}, ""), ({"stream": True}, ""), ({}, "/api/chat"), ({}, "/v1/chat/completions?x=1")],
)
def test_another_request_may_not_have_its_key(
    gateway: Running, fake: Provider, more: dict[str, Any], path: str
) -> None:
    ask(gateway, "k")
    refused = ask(gateway, "k", path=path, **more)
    assert refused.status == 422
    assert len(fake.bodies) == 1
    if path != "/api/chat":
        assert (refused.error["code"], refused.error["param"]) == ("idempotency_key_reused", "idempotency-key")


def test_tenants_do_not_share_keys(gateway: Running, fake: Provider) -> None:
    assert ask(gateway, "k").body != ask(gateway, "k", tenant="b").body
    assert len(fake.bodies) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\xe9", "a\tb"])
def test_a_key_that_is_none_is_refused(gateway: Running, fake: Provider, key: str) -> None:
    token = b"authorization: Bearer token-of-the-a-key\r\ncontent-type: application/json\r\nconnection: close\r\n"
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n" + token
    refused = Answer(gateway.raw(head + b"idempotency-key: %b\r\n\r\n{}" % key.encode("latin-1")))
    assert refused.status == 400
    assert fake.bodies == []
    assert ask(gateway, "x" * 255).status == 200


def test_what_is_ours_to_refuse_is_not_kept(gateway: Running, fake: Provider) -> None:
    assert ask(gateway, "k", messages="none").status == 400
    assert ask(gateway, "l", model="nobody-has-it").status == 404
    assert (ask(gateway, "k").status, ask(gateway, "l").status) == (200, 200)


@pytest.mark.parametrize(("status", "asks"), [(500, 1), (400, 1), (429, 2), (503, 2), (401, 2)])
def test_a_failure_is_kept_where_it_may_have_cost_something(
    gateway: Running, fake: Provider, status: int, asks: int
) -> None:
    prompt = [{"role": "user", "content": str(status)}]
    first, tries = ask(gateway, "k", model="silent", messages=prompt), len(fake.bodies)
    second = ask(gateway, "k", model="silent", messages=prompt)
    assert first.status == second.status
    assert len(fake.bodies) == asks * tries
    assert (first.body == second.body) == (asks == 1)


def test_a_stream_that_broke_off_is_told_as_it_was(gateway: Running, fake: Provider) -> None:
    first, second = (ask(gateway, "k", model="cut", stream=True) for _ in range(2))
    assert first.body == second.body
    assert b"[DONE]" not in first.body
    assert len(fake.bodies) == 1


def play(home: Path, fake: Provider, scene: Callable[[Gateway], Awaitable[None]]) -> None:
    async def main() -> None:
        environ = {"HOOSH_HOME": str(home)}
        local = Gateway(load_text(one_provider(fake.url), None, environ, known_types()), environ, QuietJournal())
        await local.open()
        try:
            await scene(local)
        finally:
            fake.hung_up.set()
            await local.close()

    asyncio.run(main())


def sent(local: Gateway, key: bytes = b"k", **more: object) -> tuple[MemoryWire, "asyncio.Future[None]"]:
    wire = MemoryWire(json.dumps({**BODY, "model": "slow", **more}).encode())
    head = {b"content-type": b"application/json", b"host": b"localhost", b"idempotency-key": key}
    return wire, asyncio.ensure_future(local.app(Exchange("POST", "/v1/chat/completions", head, wire)))


def test_100_at_once_ask_once(tmp_path: Path, fake: Provider) -> None:
    async def scene(local: Gateway) -> None:
        asking = [sent(local) for _ in range(100)]
        await eventually(lambda: len(fake.bodies) == 1)
        fake.hung_up.set()
        await asyncio.gather(*(task for _, task in asking))
        assert {wire.status for wire, _ in asking} == {200}
        assert len({wire.said for wire, _ in asking}) == 1
        assert len(fake.bodies) == 1

    play(tmp_path, fake, scene)


def test_the_answer_outlives_the_client_that_asked_first(tmp_path: Path, fake: Provider) -> None:
    async def scene(local: Gateway) -> None:
        _, first = sent(local)
        await eventually(lambda: len(fake.bodies) == 1)
        first.cancel()
        await asyncio.wait([first])
        wire, second = sent(local)
        fake.hung_up.set()
        await second
        assert wire.status == 200
        assert b"answer 1" in wire.said
        assert len(fake.bodies) == 1
        assert local.engine.running == 0

    play(tmp_path, fake, scene)


def test_a_real_connection_that_is_lost_is_taken_up_again(gateway: Running, fake: Provider) -> None:
    body = json.dumps({**BODY, "model": "slow"}).encode()
    token = b"authorization: Bearer token-of-the-a-key\r\ncontent-type: application/json\r\n"
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nidempotency-key: k\r\n" + token
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE_S) as first:
        first.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        while not fake.bodies:
            first.settimeout(0.01)
            with pytest.raises(TimeoutError):
                first.recv(1)
    fake.hung_up.set()
    assert b"answer 1" in ask(gateway, "k", model="slow").body
    assert len(fake.bodies) == 1


def test_what_still_runs_at_the_end_is_ended(tmp_path: Path, fake: Provider) -> None:
    async def scene(local: Gateway) -> None:
        _, first = sent(local)
        await eventually(lambda: len(fake.bodies) == 1)
        first.cancel()
        await asyncio.wait([first])
        await local.idempotency.stop()
        assert local.engine.running == 0

    play(tmp_path, fake, scene)


class Clock:
    now_s = 0

    def monotonic_ns(self) -> int:
        return 0

    def unix_s(self) -> int:
        return self.now_s


def test_what_is_kept_is_bounded_in_bytes_and_in_time() -> None:
    async def main() -> None:
        clock = Clock()
        room = Idempotency(Limits(), clock, max_bytes=3 * (REPLY_BYTES + 10))
        asked: list[bytes] = []

        async def answer(exchange: Exchange) -> None:
            asked.append(await exchange.body(Limits()))
            await exchange.reply(200, b"0123456789", b"text/plain", ())

        async def ask(key: bytes) -> bytes:
            wire = MemoryWire(b"body")
            await room.over(answer)(Exchange("POST", "/", {b"idempotency-key": key}, wire))
            return wire.said

        for key in (b"1", b"2", b"3", b"4"):
            assert await ask(key) == b"0123456789"
        assert room.kept_bytes == 3 * (REPLY_BYTES + 10)
        assert await ask(b"4") == await ask(b"2") == b"0123456789"
        assert asked == [b"body"] * 4
        await ask(b"1")
        assert len(asked) == 5
        clock.now_s = 86_400
        await ask(b"4")
        assert len(asked) == 6
        assert room.kept_bytes == REPLY_BYTES + 10

    asyncio.run(main())
