"""The response cache of a real gateway, as clients, tenants and operators meet it."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from edge.fake_upstream import eventually
from gateway import PATIENCE_S, Chat, Provider, Running, one_provider, provider, serving
from hoosh.app import Gateway, known_types
from hoosh.config.load import load_text
from hoosh.http.exchange import Exchange, MemoryWire
from hoosh.telemetry.log import QuietJournal

HI = [{"role": "user", "content": "Hi"}]
BODY = {"model": "echo", "messages": HI}
ON = "[cache]\nenabled = true\n"
KEYS = "".join(f'[[keys]]\nname = "{name}"\ntoken = "token-of-the-{name}-key"\n' for name in ("a", "b"))
HELD = '[[keys]]\nname = "held"\ntoken = "token-of-the-held-key"\nmodels = ["other"]\n'


class Metered(Chat):
    """Its streams tell what they used; a whole answer of `slow` is a failure."""

    def _reply(self, status: int, value: Any) -> None:
        failed = value.get("model") == "slow"
        super()._reply(500 if failed else status, {"error": {"message": "down"}} if failed else value)

    def _stream(self, asked: dict[str, Any], text: str) -> None:
        if asked["model"] != "echo":
            super()._stream(asked, text)
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for word in text.split(" "):
            self._event(asked, {"content": f"{word} "})
        self._event(asked, {}, "stop")
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        self.wfile.write(b'data: {"id":"x","model":"echo","choices":[],"usage":%b}\n\n' % json.dumps(usage).encode())
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True


@pytest.fixture
def fake() -> Iterator[Provider]:
    with provider(Metered) as server:
        yield server


@pytest.fixture
def gateway(tmp_path: Path, fake: Provider) -> Iterator[Running]:
    with serving(tmp_path, one_provider(fake.url) + ON) as running:
        yield running


def client(gateway: Running, key: str = "any") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0, timeout=PATIENCE_S)


def ask(gateway: Running, *headers: str, **more: object) -> str:
    answer = gateway.json({**BODY, **more}, *headers)
    assert answer.status == 200, answer.body
    return answer.headers["x-hoosh-cache"]


def bearer(name: str) -> str:
    return f"authorization: Bearer token-of-the-{name}-key"


def test_openais_client_gets_the_same_answer_streamed_and_whole(gateway: Running, fake: Provider) -> None:
    words: Any = [{"role": "user", "content": "one two three four"}]
    with client(gateway) as asking:
        chat = asking.chat.completions

        def streamed() -> tuple[str, list[str], int]:
            options: Any = {"include_usage": True}
            raw = chat.with_raw_response.create(model="echo", messages=words, stream=True, stream_options=options)
            chunks = list(raw.parse())
            said = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
            used = [chunk.usage.total_tokens for chunk in chunks if chunk.usage]
            return raw.headers["x-hoosh-cache"], [word for word in said if word], used[-1]

        first, second = streamed(), streamed()
        whole = chat.with_raw_response.create(model="echo", messages=words)
        assert (first[0], second[0], whole.headers["x-hoosh-cache"]) == ("miss", "hit", "hit")
        assert first[1:] == second[1:]
        assert len(second[1]) == 4
        answer = whole.parse()
        assert answer.choices[0].message.content == "".join(second[1])
        assert answer.usage is not None
        assert answer.usage.total_tokens == 5
        assert whole.headers["x-hoosh-cost-micro-usd"] == "0"
        assert int(whole.headers["age"]) >= 0
    assert len(fake.bodies) == 1


def test_a_whole_answer_becomes_a_stream(gateway: Running, fake: Provider) -> None:
    text = "word " * 60
    words: Any = [{"role": "user", "content": text}]
    with client(gateway) as asking:
        asking.chat.completions.create(model="echo", messages=words)
        chunks = list(asking.chat.completions.create(model="echo", messages=words, stream=True))
        said = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(said) == text
    assert len([piece for piece in said if piece]) > 3
    assert len(fake.bodies) == 1


def test_each_dialect_has_answers_of_its_own(gateway: Running, fake: Provider) -> None:
    asked = {"model": "echo", "max_tokens": 9, "messages": HI}
    paths = {
        "/v1/messages": asked,
        "/v1/responses": {"model": "echo", "input": "Hi"},
        "/api/chat": {**BODY, "stream": False},
    }
    for n, (path, body) in enumerate(paths.items(), 1):
        first, second = (gateway.json(body, path=path) for _ in range(2))
        assert (first.status, second.status) == (200, 200), (path, second.body)
        assert (first.headers["x-hoosh-cache"], second.headers["x-hoosh-cache"]) == ("miss", "hit")
        assert b"Hi" in second.body
        assert len(fake.bodies) == n


def test_what_a_request_says_of_it(gateway: Running, fake: Provider) -> None:
    assert ask(gateway, "cache-control: no-store") == "off"
    assert ask(gateway) == "miss"
    assert ask(gateway, "x-hoosh-cache: off") == "off"
    assert ask(gateway, "cache-control: no-cache") == "miss"
    assert ask(gateway, "cache-control: max-age=3600") == "hit"
    assert ask(gateway, "x-hoosh-cache: read") == "hit"
    assert ask(gateway, temperature=0.5) == "off"
    assert ask(gateway, n=2) == "off"
    assert (ask(gateway, "x-hoosh-cache: on", n=2), ask(gateway, "x-hoosh-cache: on", n=2)) == ("miss", "hit")
    refused = gateway.json(BODY, "x-hoosh-cache: perhaps")
    assert (refused.status, refused.error["param"]) == (400, "x-hoosh-cache")


def test_without_a_cache_no_reply_speaks_of_one(tmp_path: Path, fake: Provider) -> None:
    with serving(tmp_path, one_provider(fake.url)) as gateway:
        assert "x-hoosh-cache" not in gateway.json(BODY).headers
        assert "x-hoosh-cache" not in gateway.json(BODY).headers
        assert gateway.ask(b"", path="/v1/cache/stats", method="GET").value == {
            "object": "cache.stats",
            "enabled": False,
        }
        assert gateway.ask(b"", path="/v1/cache", method="DELETE").error["code"] == "cache_disabled"
    assert len(fake.bodies) == 2


@pytest.mark.parametrize(("model", "status"), [("cut", 200), ("slow", 500)])
def test_what_failed_or_was_cut_is_never_kept(gateway: Running, fake: Provider, model: str, status: int) -> None:
    for n in range(1, 3):
        told = gateway.json({**BODY, "model": model, "stream": model == "cut"})
        assert told.status == status
        assert b"[DONE]" not in told.body
        assert len(fake.bodies) == n
    assert gateway.ask(b"", path="/v1/cache/stats", method="GET").value["entries"] == 0


def test_two_tenants_with_the_same_200_prompts_share_nothing(tmp_path: Path, fake: Provider) -> None:
    with serving(tmp_path, one_provider(fake.url) + ON + KEYS) as gateway:
        prompts: list[Any] = [[{"role": "user", "content": f"prompt {n}"}] for n in range(200)]
        seen: Counter[tuple[str, str]] = Counter()
        for name in ("a", "b"):
            with client(gateway, f"token-of-the-{name}-key") as asking:
                for prompt in prompts:
                    raw = asking.chat.completions.with_raw_response.create(model="echo", messages=prompt)
                    seen[name, raw.headers["x-hoosh-cache"]] += 1
        assert seen == {("a", "miss"): 200, ("b", "miss"): 200}
        assert len(fake.bodies) == 400
        assert ask(gateway, bearer("b"), messages=prompts[7]) == "hit"
        purged = gateway.ask(b"", bearer("a"), path="/v1/cache?model=ech*", method="DELETE")
        assert purged.value == {"object": "cache.purged", "purged": 200, "model": "ech*"}
        assert ask(gateway, bearer("a"), messages=prompts[7]) == "miss"
        assert ask(gateway, bearer("b"), messages=prompts[7]) == "hit"
        stats = gateway.ask(b"", bearer("a"), path="/v1/cache/stats", method="GET").value
        assert (stats["entries"], stats["process"]) == (1, {"hits": 2, "joined": 0, "misses": 401, "evictions": 0})


def test_a_key_that_may_not_use_the_model_gets_no_hit(tmp_path: Path, fake: Provider) -> None:
    with serving(tmp_path, one_provider(fake.url) + ON + 'scope = "global"\n' + KEYS + HELD) as gateway:
        assert ask(gateway, bearer("a")) == "miss"
        assert ask(gateway, bearer("b")) == "hit"
        assert gateway.json(BODY, bearer("held")).status == 403
        assert gateway.ask(b"", bearer("a"), path="/v1/cache", method="DELETE").status == 403


def test_without_keys_everybody_may_purge_what_is_everybodys(tmp_path: Path, fake: Provider) -> None:
    with serving(tmp_path, one_provider(fake.url) + ON + 'scope = "global"\n') as gateway:
        assert [ask(gateway), ask(gateway)] == ["miss", "hit"]
        assert gateway.ask(b"", path="/v1/cache", method="DELETE").value["purged"] == 1
        assert ask(gateway) == "miss"


def test_hits_leave_the_budget_as_it_is(tmp_path: Path, fake: Provider) -> None:
    """And are given also when it is used up; the ledger counts them."""
    budget = '[[budgets]]\nname = "default"\ncapacity = 60\n'
    with serving(tmp_path, one_provider(fake.url) + ON + budget) as gateway:

        def used() -> int:
            pool = gateway.ask(b"", path="/v1/tokens/pools/default", method="GET").value
            return int(pool["used"])

        assert ask(gateway, max_tokens=9) == "miss"
        before = used()
        assert before == 5
        for _ in range(20):
            assert ask(gateway, max_tokens=9) == "hit"
        assert used() == before
        assert gateway.json({**BODY, "max_tokens": 900}).status == 429
        assert ask(gateway, max_tokens=9) == "hit"
        told = gateway.ask(b"", path="/metrics", method="GET").body.decode()
        assert "hoosh_cache_hits_total 21\n" in told
        assert "hoosh_cache_misses_total 2\n" in told
        assert "hoosh_cache_entries 1\n" in told
        usage = gateway.ask(b"", path="/v1/usage?group_by=model", method="GET").body.decode()
        assert '"cache_hits":21' in usage


def test_rate_limits_count_hits(tmp_path: Path, fake: Provider) -> None:
    key = '[[keys]]\nname = "a"\ntoken = "token-of-the-a-key"\nrpm = 3\n'
    with serving(tmp_path, one_provider(fake.url) + ON + key) as gateway:
        assert [ask(gateway, bearer("a")) for _ in range(3)] == ["miss", "hit", "hit"]
        assert gateway.json(BODY, bearer("a")).status == 429


def test_workers_share_what_one_of_them_was_answered(tmp_path: Path, fake: Provider) -> None:
    """Each connection may come to another of them."""
    with serving(tmp_path, one_provider(fake.url) + ON + 'shared = "store"\n[server]\nworkers = 3\n') as gateway:
        assert ask(gateway) == "miss"
        assert {ask(gateway) for _ in range(12)} == {"hit"}
        assert len(fake.bodies) == 1
        assert gateway.ask(b"", path="/v1/cache", method="DELETE").value["purged"] == 1


class Gated(Chat):
    """Answers when it may."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.append(body)
        assert self.server.hung_up.wait(PATIENCE_S)
        choice = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        self._reply(200, {"id": "x", "model": "echo", "choices": [choice], "usage": usage})


def test_1000_identical_calls_ask_once(tmp_path: Path) -> None:
    async def main(fake: Provider) -> None:
        environ = {"HOOSH_HOME": str(tmp_path)}
        config = load_text(one_provider(fake.url) + ON, None, environ, known_types())
        local = Gateway(config, environ, QuietJournal())
        await local.open()
        try:
            wires = [MemoryWire(json.dumps(BODY).encode()) for _ in range(1000)]
            head = {b"content-type": b"application/json", b"host": b"localhost"}
            asking = [local.app(Exchange("POST", "/v1/chat/completions", head, wire)) for wire in wires]
            running = [asyncio.ensure_future(one) for one in asking]
            flights = local.cache_room.cached.flights
            await eventually(lambda: [flight.readers for flight in flights.values()] == [1000])
            fake.hung_up.set()
            await asyncio.gather(*running)
            assert {wire.status for wire in wires} == {200}
            assert {json.loads(wire.said)["choices"][0]["message"]["content"] for wire in wires} == {"Hello"}
            assert len(fake.bodies) == 1
            assert not flights
        finally:
            await local.close()

    with provider(Gated) as fake:
        asyncio.run(main(fake))


def test_it_may_be_switched_while_the_gateway_runs(tmp_path: Path) -> None:
    async def main(fake: Provider) -> None:
        environ = {"HOOSH_HOME": str(tmp_path)}

        def config(*parts: str) -> Any:
            return load_text(one_provider(fake.url) + "".join(parts), None, environ, known_types())

        async def uses() -> bool:
            wire = MemoryWire(json.dumps(BODY).encode())
            asked = len(fake.bodies)
            head = {b"content-type": b"application/json", b"host": b"localhost"}
            await local.app(Exchange("POST", "/v1/chat/completions", head, wire))
            assert wire.status == 200
            return len(fake.bodies) == asked

        local = Gateway(config(), environ, QuietJournal())
        await local.open()
        try:
            assert [await uses(), await uses()] == [False, False]
            local.adopt(config(ON))
            assert [await uses(), await uses()] == [False, True]
            local.adopt(config(ON, "ttl_s = 9\n"))
            assert await uses()
            local.adopt(config())
            assert not await uses()
            local.adopt(config(ON))
            assert [await uses(), await uses()] == [False, True]
        finally:
            await local.close()

    with provider() as fake:
        asyncio.run(main(fake))


def test_the_admin_listener_purges_all(tmp_path: Path) -> None:
    async def main(fake: Provider) -> None:
        environ = {"HOOSH_HOME": str(tmp_path)}
        text = one_provider(fake.url) + ON + KEYS + '[admin]\nenabled = true\nsocket = "a.sock"\n'
        local = Gateway(load_text(text, None, environ, known_types()), environ, QuietJournal())
        await local.open()
        try:
            for name in (b"a", b"b"):
                key = {b"authorization": b"Bearer token-of-the-%b-key" % name, b"content-type": b"application/json"}
                await local.app(Exchange("POST", "/v1/chat/completions", key, MemoryWire(json.dumps(BODY).encode())))
            more = local.cache_room.admin_routes()
            app, wire = local.key_room.admin_app(local.metering, *more), MemoryWire()
            await app(Exchange("POST", "/admin/cache/purge", {}, wire))
            assert json.loads(wire.said) == {"object": "cache.purged", "purged": 2, "model": "*"}
        finally:
            await local.close()

    with provider() as fake:
        asyncio.run(main(fake))
