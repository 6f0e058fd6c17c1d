"""Every recorded reply of every provider, said in Messages and read again: the same words, thoughts, calls and counts."""

from collections.abc import Iterator
from typing import Any

import pytest

from hoosh.core.asked import ChatRequest
from hoosh.core.errors import UpstreamError
from hoosh.core.events import Event, Metered, Usage
from hoosh.dialects import Encoder, Served, Translating, Ways
from hoosh.dialects.anthropic_messages import DIALECT
from hoosh.dialects.anthropic_messages.words import CALL_PROOF
from hoosh.providers.registry import find
from wire_corpus import Folded, Record, body_of, fold, headers_of, records, splits

SERVED = Served(id="1", created_s=5, provider="p", model="m")
# What the recordings call the dialect, and who spoke it.
KINDS = {"chat": "openai_chat", "messages": "anthropic_messages", "generateContent": "gemini", "ollama_chat": "ollama"}


def replies() -> Iterator[tuple[Record, list[Event]]]:
    """Of the providers that we know, in the dialect that we ask them in; what is refused or broken left out."""
    for record in records(kinds=KINDS):
        provider = find(record["provider"])
        if provider is None or provider.dialect.name != KINDS[record["kind"]] or record["status"] != 200:
            continue
        asked = ChatRequest(model="m", messages=(), stream=bool(record["stream"]), include_usage=True)
        splitter = provider.dialect.splitter(asked, headers_of(record).get(b"content-type", b""))
        decoder = Translating(splitter, provider.dialect.reader(asked, provider.ways))
        try:
            events = [event for piece in splits(body_of(record), "event") for event in decoder.feed(piece)]
            events += decoder.eof()
        except UpstreamError:
            continue
        yield record, events


def said(encoder: Encoder, events: list[Event]) -> bytes:
    used = [event.usage for event in events if isinstance(event, Metered)]
    out = b"".join(encoder.feed([event]) for event in events)
    return out + encoder.finish(used[-1] if used else Usage())


def read(body: bytes, stream: bool) -> Folded:
    asked = ChatRequest(model="m", messages=(), stream=stream)
    content_type = b"text/event-stream" if stream else b"application/json"
    decoder = Translating(DIALECT.splitter(asked, content_type), DIALECT.reader(asked, Ways()))
    return fold([*decoder.feed(body), *decoder.eof()])


def plain(folded: Folded) -> Folded:
    """Without what is said in other words: a refusal is text, a call's proof a block, and both tell how it ends."""
    kept = {name: folded[name] for name in ("reasoning", "signatures")}
    kept["redacted"] = [data for data in folded["redacted"] if not data.startswith(CALL_PROOF)]
    kept["text"] = folded["text"] + folded["refusal"]
    kept["tools"] = [(tool["name"], _unwrapped(tool["args"])) for tool in folded["tools"]]
    kept["finish"] = "tool_calls" if folded["tools"] else "stop" if folded["refusal"] else folded["finish"]
    kept["usage"] = folded["usage"] or dict.fromkeys(("in", "out", "cached", "reasoning"), 0)
    return kept


def _unwrapped(arguments: Any) -> Any:
    """Arguments that broke off are wrapped in a whole reply, where they must be an object."""
    return arguments.get("INVALID_JSON", arguments) if isinstance(arguments, dict) else arguments


@pytest.mark.parametrize("stream", [True, False])
def test_what_a_provider_said_is_what_a_messages_client_reads(stream: bool) -> None:
    asked = ChatRequest(model="m", messages=(), stream=stream)
    bad, seen = {}, 0
    for record, events in replies():
        seen += 1
        wanted, got = plain(fold(events)), plain(read(said(DIALECT.encoder(asked, SERVED), events), stream))
        if wanted["finish"] == "tool_calls" or fold(events)["refusal"]:
            got["finish"] = wanted["finish"]
        if unlike := [name for name in wanted if wanted[name] != got[name]]:
            bad[record["id"]] = [(name, wanted[name], got[name]) for name in unlike]
    assert seen > 900
    assert not bad, f"{len(bad)} of {seen} differ: {list(bad.items())[:3]}"
