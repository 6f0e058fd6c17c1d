"""Both clients before a real `hoosh serve`, and before the contract of the endpoints of pools, speech and embeddings."""

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest

import hoosh
from budget_gateway import KEY, BudgetGateway, budget_gateway
from edge.fake_upstream import Certificates, make_certificates
from either import KINDS, Kind, ask, in_turn, streamed
from gateway import Provider, Running, one_provider, provider, serving
from hoosh import AsyncHooshClient, HooshClient
from hoosh.client.types import ToolCall
from scripted import CLOSE, events, reply, scripted

pytestmark = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def fake() -> Iterator[Provider]:
    with provider() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(fake: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    budgets = '[[budgets]]\nname = "default"\ncapacity = 100000\n[[budgets]]\nname = "small"\ncapacity = 10\n'
    with serving(tmp_path_factory.mktemp("clients"), one_provider(fake.url) + budgets) as running:
        yield running


@pytest.fixture
def budgets() -> Iterator[BudgetGateway]:
    with budget_gateway() as server:
        yield server


# A real gateway


def test_chat(kind: Kind, gateway: Running, fake: Provider) -> None:
    answer = ask(
        kind,
        gateway.url,
        lambda client: client.chat(
            "Hello", system="Be short.", model="echo", temperature=0, max_tokens=7, reasoning_effort="low", top_k=3
        ),
    )
    assert (answer.text, answer.finish_reason, answer.model) == ("Hello", "stop", "echo")
    assert answer.usage.total_tokens == 5
    assert answer.usage.provider == "fake"
    assert answer.reply.headers["x-hoosh-provider"] == "fake"
    sent = json.loads(fake.bodies[-1])
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert sent["temperature"] == 0
    assert sent["max_tokens"] == 7
    assert sent["top_k"] == 3
    assert sent["reasoning_effort"] == "low"


def test_headers_of_a_call(kind: Kind, gateway: Running) -> None:
    named = {"X-Request-Id": "mine-1", "x-agent-id": "a"}
    answer = ask(kind, gateway.url, lambda client: client.chat("Hello", model="echo", headers=named))
    assert answer.reply.request_id == "mine-1"


def test_a_chat_in_pieces_is_a_stream(kind: Kind) -> None:
    with pytest.raises(ValueError, match="`stream`"):
        ask(kind, "http://127.0.0.1:9", lambda client: client.chat("Hello", stream=True))


def test_what_is_null_in_a_body_of_ones_own_stays(kind: Kind) -> None:
    with scripted([reply(b"{}")]) as server:
        ask(kind, server.url, lambda client: client.post("/v1/x", {"a": None}))
        assert json.loads(server.requests[0].body) == {"a": None}


def test_stream(kind: Kind, gateway: Running) -> None:
    pieces, stream = ask(kind, gateway.url, streamed("Good day", model="echo"))
    assert "".join(piece.text for piece in pieces) == stream.text == "Good day"
    assert stream.finish_reason == "stop"
    assert stream.usage.total_tokens > 0
    assert stream.model == "echo"
    assert stream.turn == {"role": "assistant", "content": "Good day"}
    assert stream.reply.headers["x-hoosh-provider"] == "fake"


def test_a_provider_that_breaks_off(kind: Kind, gateway: Running) -> None:
    with pytest.raises(hoosh.APIStreamError, match="ended early") as raised:
        ask(kind, gateway.url, streamed("Good day", model="cut"))
    assert raised.value.code == "upstream_error"
    assert raised.value.request_id


def test_leaving_reaches_the_provider(kind: Kind, gateway: Running, fake: Provider) -> None:
    fake.hung_up.clear()

    def leave(client: Any) -> Any:
        if isinstance(client, AsyncHooshClient):
            return aleave(client)
        with client.stream("Hello", model="slow") as stream:
            assert next(stream).text == "Hello"
        assert fake.hung_up.wait(60)
        return None

    async def aleave(client: AsyncHooshClient) -> None:
        async with client.stream("Hello", model="slow") as stream:
            assert (await anext(stream)).text == "Hello"
        assert await asyncio.to_thread(fake.hung_up.wait, 60)

    ask(kind, gateway.url, leave)


def test_models_and_health(kind: Kind, gateway: Running) -> None:
    rows, one, health, providers, up = ask(
        kind,
        gateway.url + "/v1/",
        in_turn(
            lambda c: c.models(),
            lambda c: c.model("fake/echo"),
            lambda c: c.health(),
            lambda c: c.provider_health(),
            lambda c: c.is_up(),
        ),
    )
    assert {row.id for row in rows} >= {"echo", "silent"}
    assert one.owned_by == "fake"
    assert (health.status, health.providers_configured, health.version) == ("ok", 1, hoosh.__version__)
    assert (providers[0].provider, providers[0].healthy) == ("fake", True)
    assert up is True


def test_any_other_endpoint(kind: Kind, gateway: Running) -> None:
    body = {"model": "echo", "messages": [{"role": "user", "content": "Hi"}]}
    got, posted = ask(
        kind, gateway.url, in_turn(lambda c: c.get("/v1/models"), lambda c: c.post("/v1/chat/completions", body))
    )
    assert got["object"] == "list"
    assert posted["choices"][0]["message"]["content"] == "Hi"


def test_refusals_have_types(kind: Kind, gateway: Running) -> None:
    with pytest.raises(hoosh.NotFoundError) as unknown:
        ask(kind, gateway.url, lambda client: client.chat("Hello", model="ecko"))
    assert (unknown.value.status, unknown.value.code) == (404, "model_not_found")
    assert unknown.value.request_id
    with pytest.raises(hoosh.BadRequestError) as bad:
        ask(kind, gateway.url, lambda client: client.chat("Hello", model="echo", temperature="hot"))
    assert bad.value.param == "temperature"
    with pytest.raises(hoosh.BudgetExceededError) as broke:
        ask(kind, gateway.url, lambda client: client.chat("Hello", model="echo", max_tokens=500, pool="small"))
    assert broke.value.code == "budget_exceeded"
    with pytest.raises(hoosh.NotFoundError):
        ask(kind, gateway.url, lambda client: client.get("/v1/nothing"))


# Streams of more than text


def test_tools_and_reasoning_in_a_stream(kind: Kind) -> None:
    def delta(**fields: Any) -> str:
        return json.dumps({"id": "c", "model": "m", "choices": [{"index": 0, "delta": fields, "finish_reason": None}]})

    def call(index: int, arguments: str, **fields: Any) -> Any:
        said = {"name": fields.pop("name", None), "arguments": arguments}
        return {"index": index, "id": fields.get("id"), "type": "function", "function": said}

    chunks = [
        delta(role="assistant", content=None, reasoning_content="Let me "),
        delta(reasoning_content="see.", reasoning_details=[{"type": "reasoning.text", "signature": "s"}]),
        delta(tool_calls=[call(0, '{"city"', id="a", name="weather"), call(1, "{}", id="b", name="clock")]),
        delta(tool_calls=[call(0, ':"Rasht"}')]),
        json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
        json.dumps({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}),
    ]
    with scripted([events(*chunks)]) as server:
        pieces, stream = ask(kind, server.url, streamed("Weather?"))
    assert stream.reasoning == "".join(piece.reasoning for piece in pieces) == "Let me see."
    assert stream.tool_calls == (ToolCall("a", "weather", '{"city":"Rasht"}'), ToolCall("b", "clock", "{}"))
    assert stream.finish_reason == "tool_calls"
    assert stream.usage.total_tokens == 3
    assert stream.turn == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Let me see.",
        "reasoning_details": [{"type": "reasoning.text", "signature": "s"}],
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rasht"}'}},
            {"id": "b", "type": "function", "function": {"name": "clock", "arguments": "{}"}},
        ],
    }


def test_a_turn_goes_back_as_it_came(kind: Kind) -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "extra_content": {"google": 1}}]}
    first = reply(json.dumps({"choices": [{"message": message}]}).encode())
    with scripted([first]) as server:
        assert ask(kind, server.url, lambda client: client.chat("Hello")).turn == message


# Where the gateway is, and keys


def test_a_base_path_goes_before_each_path(kind: Kind) -> None:
    with scripted([reply(b'{"status":"ok"}')]) as server:
        ask(kind, server.url + "/ai/gateway/", lambda client: client.health())
        assert server.requests[0].line == "GET /ai/gateway/v1/health HTTP/1.1"
        assert "content-length" not in server.requests[0].headers


def test_the_environment_says_where_and_who(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted([reply(b'{"choices":[]}')]) as server:
        monkeypatch.setenv("HOOSH_URL", server.url)
        monkeypatch.setenv("HOOSH_API_KEY", "sk-1")
        monkeypatch.setenv("HOOSH_MODEL", "llama3")
        ask(kind, "", lambda client: client.chat("Hello"))
        assert server.requests[0].headers["authorization"] == "Bearer sk-1"
        assert json.loads(server.requests[0].body)["model"] == "llama3"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


def test_tls(kind: Kind, certificates: Certificates) -> None:
    import ssl

    trusting = ssl.create_default_context(cafile=certificates.ca)
    answer = reply(b'{"status":"ok"}')
    with scripted([answer, answer, CLOSE], [answer], tls=certificates.for_server()) as server:
        rows = ask(kind, server.url, in_turn(*[lambda c: c.health()] * 2), tls=trusting)
        assert [row.status for row in rows] == ["ok", "ok"]
        assert len(server.peers) == 1


def test_a_certificate_that_nobody_vouches_for_is_refused(kind: Kind, certificates: Certificates) -> None:
    import ssl

    for name, tls in (("server", None), ("other", ssl.create_default_context(cafile=certificates.ca))):
        with scripted([reply(b'{"status":"ok"}')], tls=certificates.for_server(name)) as server:
            with pytest.raises(hoosh.APIConnectionError, match="certificate verify failed") as raised:
                ask(kind, server.url, lambda client: client.health(), tls=tls)
            assert raised.value.lasting
            assert not server.requests
            assert len(server.peers) == 1


# Pools


def test_pools(kind: Kind, budgets: BudgetGateway) -> None:
    check, held, reported, rows, row = ask(
        kind,
        budgets.url,
        in_turn(
            lambda c: c.tokens.check("team", 400),
            lambda c: c.tokens.reserve("team", 400, ttl_seconds=60, project="p"),
            lambda c: c.tokens.report("team", tokens=30, project="p"),
            lambda c: c.tokens.pools(),
            lambda c: c.tokens.pool("team"),
        ),
        api_key=KEY,
    )
    assert (check.allowed, check.available, check.requested) == (True, 1000, 400)
    assert (held.reserved, held.available, held.expires_at) == (True, 600, 1_900_000_000)
    assert (reported.used, reported.available) == (30, 570)
    assert [pool.name for pool in rows] == ["default", "team"]
    assert (row.capacity, row.used, row.reserved, row.available) == (1000, 30, 400, 570)
    assert budgets.asked[1].value == {"pool": "team", "tokens": 400, "ttl_seconds": 60, "project": "p"}
    released = ask(
        kind, budgets.url, lambda c: c.tokens.release("team", reservation_id=held.reservation_id), api_key=KEY
    )
    assert released.available == 970


def test_pool_errors(kind: Kind, budgets: BudgetGateway) -> None:
    uses: list[Any] = [lambda c: c.tokens.check("tema", 1), lambda c: c.tokens.pool("tema")]
    for use in uses:
        with pytest.raises(hoosh.NotFoundError, match="Token pool 'tema' not found") as raised:
            ask(kind, budgets.url, use, api_key=KEY)
        assert (raised.value.code, raised.value.request_id) == ("pool_not_found", "r-1")
    with pytest.raises(hoosh.AuthenticationError):
        ask(kind, budgets.url, lambda c: c.tokens.pools(), api_key="sk-wrong")


def within(tokens: int, body: Any) -> Any:
    """`body` of a reservation of `tokens` in the pool team."""

    def use(client: Any) -> Any:
        if isinstance(client, AsyncHooshClient):
            return ause(client)
        with client.tokens.reservation("team", tokens) as held:
            body(held)
        return held

    async def ause(client: AsyncHooshClient) -> Any:
        async with client.tokens.reservation("team", tokens) as held:
            body(held)
        return held

    return use


def _fail(held: Any) -> None:
    raise KeyError("mine")


def _use_and_fail(held: Any) -> None:
    held.use(25)
    raise KeyError("mine")


def test_a_reservation_reports_what_was_used(kind: Kind, budgets: BudgetGateway) -> None:
    def twice(held: Any) -> None:
        assert sum(budgets.pools["team"].holds.values()) == 600
        held.use(100)
        held.use(hoosh.client.types.Usage(total_tokens=20))
        held.use(None)

    ask(kind, budgets.url, within(600, twice), api_key=KEY)
    assert (budgets.pools["team"].used, budgets.pools["team"].holds) == (120, {})
    ask(kind, budgets.url, within(600, lambda held: None), api_key=KEY)
    assert (budgets.pools["team"].used, budgets.pools["team"].holds) == (720, {})


def test_a_reservation_that_fails_is_released(kind: Kind, budgets: BudgetGateway) -> None:
    with pytest.raises(KeyError, match="mine"):
        ask(kind, budgets.url, within(600, _fail), api_key=KEY)
    assert (budgets.pools["team"].used, budgets.pools["team"].holds) == (0, {})
    assert budgets.asked[-1].path == "/v1/tokens/release"
    with pytest.raises(KeyError, match="mine"):
        ask(kind, budgets.url, within(600, _use_and_fail), api_key=KEY)
    assert (budgets.pools["team"].used, budgets.pools["team"].holds) == (25, {})


def test_a_reservation_that_is_refused(kind: Kind, budgets: BudgetGateway) -> None:
    with pytest.raises(hoosh.BudgetExceededError, match="pool 'team' has 1000 tokens left, 5000 were asked for"):
        ask(kind, budgets.url, within(5000, _fail), api_key=KEY)
    assert len(budgets.asked) == 1


def test_a_failure_is_not_hidden_by_a_failing_release(kind: Kind) -> None:
    held = reply(b'{"reserved":true,"available":1,"reservation_id":"h"}')
    with scripted([held, reply(b"{}", status=500)]) as server:
        with pytest.raises(KeyError, match="mine") as raised:
            ask(kind, server.url, within(1, _fail))
        assert "reservation stays until it expires" in raised.value.__notes__[0]


def test_a_gateway_without_ids_of_reservations(kind: Kind) -> None:
    script = [reply(b'{"reserved":true,"available":1}'), reply(b'{"used":0,"available":1}')]
    with scripted(script) as server:
        with pytest.raises(KeyError, match="mine"):
            ask(kind, server.url, within(9, _fail))
        assert server.requests[1].line.startswith("POST /v1/tokens/report ")
        assert json.loads(server.requests[1].body) == {"pool": "team", "reserved": 9, "actual": 0}


# Speech


class Pipe(io.RawIOBase):
    """A file that cannot be sought."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._data.read(min(size, 1000))


AUDIO = bytes(range(256)) * 1000


def test_transcribe(kind: Kind, budgets: BudgetGateway, tmp_path: Path) -> None:
    path = tmp_path / 'a "b".wav'
    path.write_bytes(AUDIO)
    standing = io.BytesIO(b"skipped" + AUDIO)
    standing.seek(7)
    fields = {"model": "base", "language": "fa", "temperature": 0.5, "timestamp_granularities": ["word"]}
    for audio in (path, str(path), AUDIO, standing, Pipe(AUDIO)):
        transcript = ask(kind, budgets.url, methodcaller("transcribe", audio, **fields), api_key=KEY)
        assert transcript.text == f"Salam ({len(AUDIO)} bytes)"
        assert (transcript.language, transcript.duration, transcript.confidence) == ("fa", 1.5, 0.9)
        assert [(one.start, one.end, one.text, one.confidence) for one in transcript.segments] == [
            (0.0, 1.5, "Salam", 0.9)
        ]
        form = budgets.asked[-1].form
        assert form["file"][2] == AUDIO
        assert {name: part[2] for name, part in form.items() if name != "file"} == {
            "model": b"base",
            "language": b"fa",
            "temperature": b"0.5",
            "timestamp_granularities[]": b"word",
        }
    assert budgets.asked[0].form["file"][:2] == ("a %22b%22.wav", "audio/wav")
    assert "transfer-encoding" in budgets.asked[-1].headers
    assert all("content-length" in asked.headers for asked in budgets.asked[:-1])
    assert not standing.closed


def test_transcripts_that_are_no_json(kind: Kind, budgets: BudgetGateway) -> None:
    got = ask(kind, budgets.url, lambda c: c.transcribe(AUDIO, response_format="srt"), api_key=KEY)
    assert got.text.startswith("1\n00:00:00,000")


def test_an_upload_is_sent_again_from_its_start_if_it_can_be(kind: Kind) -> None:
    busy, well = reply(b"{}", "retry-after: 0", status=503), reply(b'{"text":"Salam"}')
    with scripted([busy, well]) as server:
        assert ask(kind, server.url, lambda c: c.transcribe(io.BytesIO(AUDIO))).text == "Salam"
        assert server.requests[0].body == server.requests[1].body
        assert AUDIO in server.requests[1].body
    with scripted([busy, well]) as server:
        with pytest.raises(hoosh.InternalServerError):
            ask(kind, server.url, lambda c: c.transcribe(Pipe(AUDIO)))
        assert len(server.requests) == 1


def test_a_file_that_is_not_there(kind: Kind, budgets: BudgetGateway, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ask(kind, budgets.url, lambda c: c.transcribe(tmp_path / "none.wav"), api_key=KEY)


# Embeddings


def test_embeddings(kind: Kind, budgets: BudgetGateway) -> None:
    two, floats, one = ask(
        kind,
        budgets.url,
        in_turn(
            lambda c: c.embeddings(["a", "bcd"], model="minilm", dimensions=2),
            lambda c: c.embeddings(["a", "bcd"], model="minilm", dimensions=2, encoding_format="float"),
            lambda c: c.embeddings("a", model="minilm"),
        ),
        api_key=KEY,
    )
    assert two.vectors == floats.vectors == ([1.0, 1.125], [3.0, 3.125])
    assert one.vectors == ([1.0, 1.125, 1.25],)
    assert (two.model, two.usage.prompt_tokens) == ("minilm", 4)
    assert budgets.asked[0].value["encoding_format"] == "base64"
    assert "dimensions" not in budgets.asked[2].value


def test_an_embedding_that_is_no_floats(kind: Kind) -> None:
    for text in ("?", "AAA=", "AAAA"):
        body = json.dumps({"data": [{"embedding": text, "index": 0}]}).encode()
        with scripted([reply(body)]) as server, pytest.raises(hoosh.APIError, match="not base64 of floats"):
            ask(kind, server.url, lambda c: c.embeddings("a"))


# What an import costs


def test_imports_are_lazy(kind: Kind) -> None:
    name = "HooshClient" if kind == "blocking" else "AsyncHooshClient"
    code = f"import sys, hoosh; first = set(sys.modules); from hoosh import {name}; print(*first); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = (set(line.split()) for line in done.stdout.splitlines())
    assert not {"msgspec", "asyncio", "ssl", "http"} & first
    assert not {name for name in first if name.startswith("hoosh.")}
    heavy = {"uvicorn", "uvloop", "rich", "cyclopts", "http.client", "email", "hoosh.engine", "hoosh.config"}
    assert not heavy & second
    assert kind != "blocking" or not {"asyncio", "ssl"} & second


def test_both_clients_have_the_same_methods(kind: Kind) -> None:
    def names(one: type) -> set[str]:
        return {name for name in dir(one) if not name.startswith("_")}

    assert names(HooshClient) == names(AsyncHooshClient)
