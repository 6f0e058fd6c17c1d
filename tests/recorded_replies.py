"""Every recorded reply of every provider as events, for those who say them again in another dialect."""

from collections.abc import Iterator

from hoosh.core.asked import ChatRequest
from hoosh.core.errors import UpstreamError
from hoosh.core.events import Event, Metered, Usage
from hoosh.dialects import Encoder, ProviderDialect, Translating, Ways
from hoosh.providers.registry import find
from wire_corpus import Folded, Record, body_of, fold, headers_of, records, splits

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
    out = b"".join([encoder.feed([event]) for event in events])
    return out + encoder.finish(used[-1] if used else Usage())


def read(dialect: ProviderDialect, body: bytes, *, stream: bool) -> Folded:
    asked = ChatRequest(model="m", messages=(), stream=stream)
    decoder = Translating(dialect.splitter(asked, b""), dialect.reader(asked, Ways()))
    return fold([*decoder.feed(body), *decoder.eof()])
