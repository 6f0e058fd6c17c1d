"""The same answer costs the same, streamed or not, from every provider that was recorded.

Each recorded answer is written anew in its dialect's two forms, whole and streamed, and read again. And where somebody
asked a provider the same twice, once streamed and once not, both must have been charged the same prompt.
"""

import json
from collections import defaultdict
from typing import Any

import pytest

from hoosh.app.prices import price_book
from hoosh.config.schema import Config
from hoosh.core.asked import ChatRequest
from hoosh.core.errors import UpstreamError
from hoosh.core.events import Event, Metered, Opened, Raw, Usage
from hoosh.core.plan import Target
from hoosh.dialects import Served, Translating, Ways
from hoosh.providers.registry import find
from matrix.stage import Tongue
from matrix.test_matrix import TONGUES
from wire_corpus import Record, body_of, headers_of, records

KINDS = {
    "chat": TONGUES["openai_chat"],
    "messages": TONGUES["anthropic_messages"],
    "generateContent": TONGUES["gemini"],
    "ollama_chat": TONGUES["ollama"],
    "responses": TONGUES["openai_responses"],
}
PROVIDERS = {
    "anthropic": 250, "azure": 20, "cerebras": 8, "deepseek": 80, "google": 300, "groq": 30, "llamacpp": 40,
    "lmstudio": 2, "mistral": 80, "ollama": 30, "openai": 200, "openrouter": 120, "vertex": 15, "xai": 40,
}  # fmt: skip


class Clock:
    def unix_s(self) -> int:
        return 1_795_000_000

    def monotonic_ns(self) -> int:
        return 0


PRICES = price_book(Config(), Clock())


def answers(provider: str) -> list[Record]:
    return [record for record in records(provider, KINDS) if record["status"] == 200]


def ways(record: Record) -> Ways:
    kind, name = find(record["provider"]), KINDS[record["kind"]].name
    return kind.ways if kind is not None and kind.dialect.name == name else Ways()


def read(tongue: Tongue, ways: Ways, body: bytes, content_type: bytes, *, stream: bool) -> list[Event]:
    asked = ChatRequest(model="m", messages=(), stream=stream)
    decoder = Translating(tongue.provider.splitter(asked, content_type), tongue.provider.reader(asked, ways))
    return decoder.feed(body) + decoder.eof()


def form(tongue: Tongue, events: list[Event], usage: Usage, *, stream: bool) -> bytes:
    asked = ChatRequest(model="m", messages=(), stream=stream, include_usage=True)
    face = tongue.heard(tongue.provider.render(asked, "m", Ways(stream_usage=True)))
    encoder = face.encoder(asked, Served(id="r1", created_s=1_700_000_000, provider="theirs", model="m"))
    return encoder.feed(events) + encoder.finish(usage)


def last_usage(events: list[Event]) -> Usage | None:
    told = [event.usage for event in events if isinstance(event, Metered)]
    return told[-1] if told else None


def model_of(events: list[Event]) -> str:
    return next((event.model for event in events if isinstance(event, Opened)), "")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_answer_costs_the_same_streamed_and_whole(provider: str) -> None:
    compared = 0
    for record in answers(provider):
        tongue, stream = KINDS[record["kind"]], bool(record["stream"])
        kind = headers_of(record).get(b"content-type", b"")
        try:
            events = read(tongue, ways(record), body_of(record), kind, stream=stream)
        except UpstreamError:
            continue
        if (usage := last_usage(events)) is None:
            continue
        assert not any(isinstance(event, Raw) for event in events)
        whole, streamed = (
            last_usage(read(tongue, ways(record), form(tongue, events, usage, stream=stream), kind, stream=stream))
            for stream, kind in ((False, b"application/json"), (True, b"text/event-stream"))
        )
        assert whole is not None
        assert whole == streamed, record["id"]
        assert (whole.input, whole.output, whole.cached) == (usage.input, usage.output, usage.cached), record["id"]
        quote = PRICES.quote(Target(provider, model_of(events) or "m"), provider)
        assert quote.cost(whole) == quote.cost(streamed), record["id"]
        compared += 1
    assert compared >= PROVIDERS[provider], compared


def test_the_same_prompt_is_charged_the_same_streamed_and_whole() -> None:
    asked: dict[str, dict[bool, list[tuple[str, Usage]]]] = defaultdict(lambda: {True: [], False: []})
    for record in answers(""):
        request: Any = record.get("request_body")
        if record["provider"] not in PROVIDERS or not isinstance(request, dict):
            continue
        if "tools" in request or "compound" in str(request.get("model")):
            continue  # the provider may have searched, and read what it found
        plain = {name: value for name, value in request.items() if name not in ("stream", "stream_options")}
        same = json.dumps([record["provider"], record["url_path"].partition(":")[0], plain], sort_keys=True)
        stream = bool(record["stream"])
        try:
            kind = headers_of(record).get(b"content-type", b"")
            events = read(KINDS[record["kind"]], ways(record), body_of(record), kind, stream=stream)
        except UpstreamError:
            continue
        if (usage := last_usage(events)) is not None:
            asked[same][stream].append((record["id"], usage))
    pairs = [(whole, streamed) for both in asked.values() for whole in both[False] for streamed in both[True]]
    different = [pair for pair in pairs if pair[0][1].input != pair[1][1].input]
    assert len(pairs) > 40
    assert different == []
