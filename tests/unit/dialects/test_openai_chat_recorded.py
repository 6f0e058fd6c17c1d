"""The Chat Completions dialect, with each provider's quirks and mends, held against the exchanges with the providers
that speak it, recorded in ../shared/wire.
"""

import json
import re
from collections.abc import Iterator

import pytest

from hoosh.core.asked import ChatRequest
from hoosh.core.errors import BadRequest
from hoosh.core.events import Event, Metered, Raw, Usage
from hoosh.dialects import JSON, PassingOn, Served, Ways
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers.registry import find
from wire_corpus import (
    Folded,
    How,
    Record,
    body_of,
    differences,
    expected,
    headers_of,
    norm,
    records,
    require_corpus,
    run_reader,
    splits,
)

SERVED = Served(id="1", created_s=1, provider="p", model="m", cost=lambda usage, audio_ms: 7)

# How many chat exchanges of each were recorded, at least.
COUNTS = {
    "openai": 139,
    "deepseek": 86,
    "mistral": 92,
    "groq": 45,
    "openrouter": 139,
    "llamacpp": 55,
    "lmstudio": 3,
    "xai": 16,
    "ollama": 28,  # its /v1; hoosh speaks Ollama's own dialect with it
    "azure": 23,
    "cerebras": 10,
    "huggingface": 6,
    "mistralrs": 2,
    "perplexity": 9,
    "together": 1,
}
# What a client is told otherwise than norm.py says, and why.
ON_PURPOSE = {
    "openai-ddtracepy-64ff3c2f": ["finish"],  # no finish_reason at all in a whole reply: it is complete, so "stop"
    "openrouter-crewai-d25d2a21": ["finish"],  # the same
    "openrouter-rubyllm-1e275535": ["reasoning"],  # told in `reasoning_details` alone
    "openai-openllmetr-ccf51c80": ["finish", "tools"],  # `function_call`, the predecessor of `tool_calls`
    "together-openllmetr-42292ab1": ["finish"],  # "eos" is "stop"
}


def ways(provider: str) -> Ways:
    kind = find(provider)
    return kind.ways if kind is not None and kind.dialect is DIALECT else Ways()


def chats(provider: str) -> list[Record]:
    require_corpus()
    found = records(provider, ("chat",))
    assert len(found) >= COUNTS[provider]
    return found


def wanted(record: Record) -> Folded:
    told = expected(record)
    assert told is not None, record["id"]
    if record["provider"] == "xai" and told.get("usage"):  # norm.py keeps the number as xAI says it
        told["usage"]["out"] += told["usage"]["reasoning"]
    return told


def counted(record: Record) -> Folded:
    """What is counted, which is more than what norm.py reads: Mistral's `num_cached_tokens`."""
    told = wanted(record)
    if record["provider"] == "mistral" and told.get("usage"):
        found = re.findall(r'"num_cached_tokens": ?(\d+)', record["response_body"])
        told["usage"]["cached"] = told["usage"]["cached"] or int([0, *found][-1])
    return told


def bodies(provider: str) -> Iterator[tuple[Record, JSON]]:
    """Requests with a model; Azure has it in the path."""
    for record in chats(provider):
        body = record["request_body"]
        if isinstance(body, dict) and body.get("model"):
            yield record, body


def asked_by(record: Record) -> ChatRequest:
    body = record["request_body"] if isinstance(record["request_body"], dict) else {}
    usage = bool((body.get("stream_options") or {}).get("include_usage"))
    n = body.get("n") or 1
    return ChatRequest(model="m", messages=(), stream=bool(record["stream"]), include_usage=usage, n=n)


@pytest.mark.parametrize("provider", COUNTS)
def test_every_request_that_the_provider_took_is_accepted(provider: str) -> None:
    refused = {}
    for record, body in bodies(provider):
        try:
            DIALECT.parse(json.dumps(body).encode())
        except BadRequest as error:
            if record["status"] < 400:
                refused[record["id"]] = error.message
    assert not refused


@pytest.mark.parametrize("provider", COUNTS)
def test_a_request_passes_on_with_every_field(provider: str) -> None:
    """Only `stream_options` is added, and what a quirk changes: Mistral's ids, made up by the recorder."""
    for record, body in bodies(provider):
        if record["status"] >= 400:
            continue
        text = json.dumps(body).encode()
        asked = DIALECT.parse(text)
        sent = json.loads(DIALECT.pass_on(asked, text, asked.model, ways(provider)).body)
        options = {**(body.get("stream_options") or {}), **({"include_usage": True} if asked.stream else {})}
        wanted = {**body, **({"stream_options": options} if options and ways(provider).stream_usage else {})}
        if provider == "mistral":
            for one in (wanted, sent):
                one["messages"] = [_without_ids(message) for message in one["messages"]]
        assert (record["id"], sent) == (record["id"], wanted)


def _without_ids(message: JSON) -> JSON:
    calls = [{**call, "id": ""} for call in message.get("tool_calls") or ()]
    plain = {**message, "tool_call_id": "", "tool_calls": calls}
    return {name: value for name, value in plain.items() if value is not None}


@pytest.mark.parametrize("how", ["event", "random", "byte"])
@pytest.mark.parametrize("provider", COUNTS)
def test_every_reply_means_what_it_should(provider: str, how: How) -> None:
    bad = {}
    for record in chats(provider):
        if unlike := differences(counted(record), run_reader(DIALECT, ways(provider), record, how)):
            bad[record["id"]] = unlike
    assert bad == {key: value for key, value in ON_PURPOSE.items() if key.startswith(provider)}


def through(record: Record, how: How) -> bytes:
    """What a client that speaks the same dialect is sent."""
    asked, at = asked_by(record), ways(record["provider"])
    decoder = PassingOn(DIALECT.splitter(asked, b""), DIALECT.reader(asked, at))
    encoder = DIALECT.encoder(asked, SERVED)
    sent, usage = b"", Usage(input=1, output=1, source="estimated")
    for piece in [*splits(body_of(record), how), b""]:
        events = decoder.feed(piece) if piece else decoder.eof()
        usage = next((meaning.usage for meaning in _meanings(events) if isinstance(meaning, Metered)), usage)
        sent += encoder.feed(events)
    return sent + encoder.finish(usage)


def _meanings(events: list[Event]) -> Iterator[Event]:
    for event in reversed(events):
        yield from event.events if isinstance(event, Raw) else (event,)


def is_answer(record: Record) -> bool:
    return record["status"] < 400 and not wanted(record)["error"]


@pytest.mark.parametrize("how", ["event", "random"])
@pytest.mark.parametrize("provider", COUNTS)
def test_what_passes_on_reads_the_same(provider: str, how: How) -> None:
    seen = 0
    for record in filter(is_answer, chats(provider)):
        sent = through(record, how)
        got = norm().expect({**record, "response_body": sent.decode()})
        assert got is not None
        want = wanted(record)
        if want["usage"] is None or (record["stream"] and not got["usage"]):
            want["usage"] = got["usage"] = None
        assert (record["id"], got) == (record["id"], want)
        assert sent.endswith(b"data: [DONE]\n\n") is record["stream"]
        seen += 1
    assert seen > COUNTS[provider] // 2


@pytest.mark.parametrize("provider", [name for name in COUNTS if not ways(name).mends])
def test_a_stream_passes_on_byte_for_byte(provider: str) -> None:
    """Up to the chunk that tells the usage, which is the gateway's to tell, and the end."""
    for record in filter(is_answer, chats(provider)):
        if record["stream"]:
            said, sent = _events(body_of(record)), _events(through(record, "random"))
            assert len(sent) == len(said), record["id"]
            for one, other in zip(said, sent, strict=True):
                if not _lacks_a_delta(one):
                    assert one == other or _without_usage(one) == _without_usage(other), record["id"]


def _lacks_a_delta(block: bytes) -> bool:
    """Azure's content filter speaks without one, and clients would stumble."""
    return any("delta" not in choice for choice in (_json(block) or {}).get("choices", ()))


def _events(body: bytes) -> list[bytes]:
    """Without the end, and without those that tell nothing but the usage."""
    blocks = [block for block in body.replace(b"\r\n", b"\n").split(b"\n\n") if block.strip()]
    return [block for block in blocks if not block.endswith(b"[DONE]") and (_json(block) or {}).get("choices") != []]


def _json(block: bytes) -> JSON | None:
    data = block.rpartition(b"data:")[2]
    return json.loads(data) if data.lstrip()[:1] == b"{" else None


def _without_usage(block: bytes) -> JSON:
    """Only of those that may differ: where the provider, or the gateway, tells the usage beside the last words."""
    chunk = _json(block)
    assert chunk is not None
    assert "usage" in chunk
    return {**chunk, "usage": None}


def test_refusals_have_the_recorded_status() -> None:
    seen = 0
    for provider in COUNTS:
        for record in chats(provider):
            if record["status"] >= 400:
                error = DIALECT.refusal(record["status"], headers_of(record), body_of(record))
                assert error.message
                assert (record["id"], error.status, error.upstream_status) == (record["id"], *[record["status"]] * 2)
                seen += 1
    assert seen >= 28


def test_the_recordings_hold_what_these_tests_are_about() -> None:
    """Else they could agree on nothing."""
    text = {provider: "".join(record["response_body"] or "" for record in chats(provider)) for provider in COUNTS}
    assert '"type":"thinking"' in text["mistral"]
    assert '"x_groq":{"usage"' in text["groq"]
    assert "event: error" in text["groq"]
    assert ": OPENROUTER PROCESSING" in text["openrouter"]
    assert ".gguf" in text["llamacpp"]
    assert '"tool_calls": []' in text["lmstudio"]
