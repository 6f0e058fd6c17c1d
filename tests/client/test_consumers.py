"""What each known consumer of this gateway sends and reads, from their sources (read 2026-11-23): as raw bytes to a real
`hoosh serve` where the endpoint is there, and through HooshClient, which must send the same.

agnoshi and aethersafta call nothing yet but have the default address; daimon only hands out an address of the gateway.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from budget_gateway import KEY, BudgetGateway, budget_gateway
from gateway import Provider, Running, one_provider, provider, serving
from hoosh import HooshClient, Timeouts
from hoosh.client.types import ToolCall
from scripted import events, reply, scripted

SECRET = "sk-consumer-0123456789"
USER = {"role": "user", "content": "Describe this clip."}
SYSTEM = {"role": "system", "content": "You are a film editor."}
BEARER = {"authorization": f"Bearer {SECRET}"}
FORM = {"model": "base", "sample_rate": 16000, "channels": 1}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


class Sent(msgspec.Struct, frozen=True):
    """One request of a consumer: its own headers and JSON body, and the call of HooshClient that is the same."""

    consumer: str
    headers: dict[str, str]
    body: dict[str, Any]
    through: Callable[[HooshClient], object]


CHATS = (
    Sent(
        "tarang",
        BEARER,
        {"model": "llama3", "messages": [USER], "temperature": 0.3, "max_tokens": 512},
        lambda client: client.chat(USER["content"], model="llama3", temperature=0.3, max_tokens=512),
    ),
    Sent(
        "tazama",
        BEARER,
        {"model": "llama3", "messages": [SYSTEM, USER], "temperature": 0.3, "max_tokens": 1024},
        lambda client: client.chat(
            USER["content"], system=SYSTEM["content"], model="llama3", temperature=0.3, max_tokens=1024
        ),
    ),
    Sent(
        "phylax",
        {},
        {"model": "llama3", "messages": [SYSTEM, USER], "max_tokens": 512, "temperature": 0.3},
        lambda client: client.chat(messages=[SYSTEM, USER], model="llama3", max_tokens=512, temperature=0.3),
    ),
    Sent(
        "agnosai",
        BEARER,
        {"model": "llama3", "messages": [USER], "stream": False, "temperature": 0.7, "top_p": 0.9},
        lambda client: client.chat(messages=[USER], model="llama3", stream=False, temperature=0.7, top_p=0.9),
    ),
    Sent(
        "secureyeoman",
        {"x-api-key": SECRET},
        {"model": "llama3", "messages": [USER]},
        lambda client: client.chat(messages=[USER], model="llama3"),
    ),
)
chats = pytest.mark.parametrize("sent", CHATS, ids=lambda sent: sent.consumer)


@pytest.fixture(scope="module")
def fake() -> Iterator[Provider]:
    with provider() as server:
        yield server


@pytest.fixture(scope="module")
def open_gateway(fake: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = one_provider(fake.url) + '[aliases]\nllama3 = "fake/echo"\n'
    with serving(tmp_path_factory.mktemp("open"), config) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(fake: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = one_provider(fake.url) + f'[aliases]\nllama3 = "fake/echo"\n[[keys]]\nname = "all"\ntoken = "{SECRET}"\n'
    with serving(tmp_path_factory.mktemp("keyed"), config) as running:
        yield running


@pytest.fixture
def budgets() -> Iterator[BudgetGateway]:
    with budget_gateway() as server:
        yield server


# Chat


@chats
def test_a_real_gateway_answers_what_they_read(sent: Sent, gateway: Running, open_gateway: Running) -> None:
    server = gateway if sent.headers else open_gateway
    answer = server.json(sent.body, *(f"{name}: {value}" for name, value in sent.headers.items()))
    assert answer.status == 200, answer.body
    (choice,) = answer.value["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == USER["content"]
    assert answer.value["usage"]["provider"] == "fake"
    assert answer.value["usage"]["total_tokens"] == 5
    assert answer.value["model"] == "echo"


@chats
def test_the_client_sends_the_same(sent: Sent) -> None:
    with scripted([reply(b'{"choices":[]}')]) as server:
        key = SECRET if "authorization" in sent.headers else None
        own = sent.headers if key is None else None
        with HooshClient(server.url, key, headers=own) as client:
            sent.through(client)
        (request,) = server.requests
    assert request.line == "POST /v1/chat/completions HTTP/1.1"
    assert request.headers["content-type"] == "application/json"
    keys = {name: value for name, value in request.headers.items() if name in ("authorization", "x-api-key")}
    assert keys == sent.headers
    assert json.loads(request.body) == sent.body


def test_without_their_key_they_are_refused(gateway: Running) -> None:
    answer = gateway.json(CHATS[0].body)
    assert answer.status == 401
    assert set(answer.error) >= {"message", "type", "code"}


def test_agnosai_reads_cost_and_cache() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "cost_micro_usd": 42, "provider": "openai"}
    body = json.dumps({"model": "m", "choices": [], "usage": usage}).encode()
    with scripted([reply(body, "X-Hoosh-Cache: HIT")]) as server, HooshClient(server.url) as client:
        answer = client.chat("Hello")
    assert answer.usage is not None
    assert (answer.usage.cost_micro_usd, answer.usage.provider) == (42, "openai")
    assert answer.reply.headers["x-hoosh-cache"] == "HIT"


# ifran: health, and a stream of texts


def test_ifran(open_gateway: Running, gateway: Running) -> None:
    assert open_gateway.ask(b"", path="/v1/health", method="GET").status == 200
    asked = {"model": "llama3", "messages": [USER], "stream": True, "max_tokens": 64, "temperature": 0.2, "top_p": 1.0}
    answer = open_gateway.json(asked)
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line[5:].strip() for line in answer.body.decode().splitlines() if line.startswith("data:")]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    assert text == USER["content"]

    with HooshClient(open_gateway.url) as client:
        assert client.is_up()
        with client.stream(USER["content"], model="llama3", max_tokens=64, temperature=0.2, top_p=1.0) as stream:
            assert "".join(piece.text for piece in stream) == text


def test_health_needs_no_key(gateway: Running) -> None:
    with HooshClient(gateway.url) as client:
        assert client.health().status == "ok"


# thoth: an agentic loop over a stream, with tools; it leaves by Escape


def test_thoth(tmp_path: Any) -> None:
    def delta(finish: str | None = None, **fields: Any) -> str:
        return json.dumps(
            {"id": "c", "model": "t", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}
        )

    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":'}}
    rest = {"index": 0, "function": {"arguments": '"Rasht"}'}}
    first = events(
        delta(role="assistant", content=None, reasoning_content="Where? "),
        delta(tool_calls=[call]),
        delta(tool_calls=[rest]),
        delta("tool_calls"),
    )
    second = events(delta(role="assistant", content="It rains."), delta("stop"))
    with scripted([first, second]) as upstream:
        config = one_provider(f"{upstream.url}/v1").replace('"echo"', '"agent"')
        with serving(tmp_path, config) as gateway, HooshClient(gateway.url) as client:
            messages: list[dict[str, Any]] = [{"role": "user", "content": "Weather in Rasht?"}]
            with client.stream(messages=messages, model="agent", tools=[WEATHER], tool_choice="auto") as round_1:
                pieces = list(round_1)
            assert "".join(piece.reasoning for piece in pieces) == "Where? "
            assert round_1.tool_calls == (ToolCall("call_1", "weather", '{"city":"Rasht"}'),)
            assert round_1.finish_reason == "tool_calls"
            messages += [round_1.turn, {"role": "tool", "tool_call_id": "call_1", "content": "rain"}]
            with client.stream(messages=messages, model="agent", tools=[WEATHER]) as round_2:
                assert "".join(piece.text for piece in round_2) == "It rains."
        sent = [json.loads(request.body) for request in upstream.requests if request.line.startswith("POST")]
    assert sent[0]["tools"] == [WEATHER]
    assert sent[1]["messages"][1]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city":"Rasht"}'}
    assert sent[1]["messages"][2] == {"role": "tool", "tool_call_id": "call_1", "content": "rain"}


def test_thoth_lists_models(open_gateway: Running) -> None:
    rows = open_gateway.ask(b"", path="/v1/models", method="GET").value["data"]
    assert {"id", "object", "created", "owned_by"} <= rows[0].keys()
    with HooshClient(open_gateway.url) as client:
        assert [model.id for model in client.models()] == [row["id"] for row in rows]


# secureyeoman: token pools with X-API-Key, ten seconds


YEOMAN = {"project": "p", "tokens": 100, "pool": "team"}


def test_secureyeoman(budgets: BudgetGateway) -> None:
    with HooshClient(budgets.url, headers={"X-API-Key": KEY}, timeouts=Timeouts(read_s=10)) as client:
        check = client.tokens.check("team", 100, project="p")
        held = client.tokens.reserve("team", 100, project="p", pool_total=1000, period_seconds=3600)
        client.tokens.report("team", tokens=100, project="p")
        client.tokens.release("team", project="p")
        pools = client.tokens.pools()
        pool = client.tokens.pool("team")
    assert (check.allowed, check.remaining, check.pool) == (True, 1000, "team")
    assert held.reserved
    assert held.reservation_id
    assert pools[1] == pool
    assert (pool.name, pool.total, pool.used, pool.remaining) == ("team", 1000, 100, 800)
    sent = [(asked.method, asked.path, json.loads(asked.body or b"null")) for asked in budgets.asked]
    assert sent == [
        ("POST", "/v1/tokens/check", YEOMAN),
        ("POST", "/v1/tokens/reserve", {**YEOMAN, "pool_total": 1000, "period_seconds": 3600}),
        ("POST", "/v1/tokens/report", YEOMAN),
        ("POST", "/v1/tokens/release", {"project": "p", "pool": "team"}),
        ("GET", "/v1/tokens/pools", None),
        ("GET", "/v1/tokens/pools/team", None),
    ]
    assert all(asked.headers["x-api-key"] == KEY and "authorization" not in asked.headers for asked in budgets.asked)


# tarang and tazama: speech


@pytest.mark.parametrize("language", [None, "fa"])
def test_tarang_transcribes(budgets: BudgetGateway, language: str | None) -> None:
    """Its parts are expressed one to one; its path, /v1/audio/transcribe, is another name of the same endpoint."""
    pcm = b"RIFF" + bytes(1000)
    with HooshClient(budgets.url, KEY, timeouts=Timeouts(read_s=300)) as client:
        transcript = client.transcribe(pcm, filename="audio.wav", part="audio", language=language, **FORM)  # type: ignore[arg-type]
    (asked,) = budgets.asked
    assert (asked.method, asked.path) == ("POST", "/v1/transcribe")
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    form = asked.form
    assert form.pop("audio") == ("audio.wav", "audio/wav", pcm)
    texts = {name: content.decode() for name, (_, _, content) in form.items()}
    assert texts == {
        "model": "base",
        "sample_rate": "16000",
        "channels": "1",
        **({"language": language} if language else {}),
    }
    assert transcript.text
    assert transcript.language == (language or "fa")
    assert transcript.confidence == 0.9
    (segment,) = transcript.segments
    assert (segment.start, segment.end, segment.text, segment.confidence) == (0.0, 1.5, "Salam", 0.9)


# agnoshi and all others: where it is when nobody says


def test_the_default_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOOSH_URL", raising=False)
    assert HooshClient().base_url == "http://127.0.0.1:8088"
