"""What is fed with bytes from outside, each as a function of bytes that raises only where there is a bug.

A provider's bytes may give UpstreamError, a client's may give ClientError, and neither anything else; a decoder must
give the same for any split of its bytes, and must not keep more than it was given.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

from hoosh.codecs import Frame, FrameTooLarge, Splitter
from hoosh.codecs.ndjson import NDJSONDecoder
from hoosh.codecs.sniff import EventsOrWhole
from hoosh.codecs.sse import SSEDecoder
from hoosh.codecs.whole import WholeBody
from hoosh.core.asked import (
    ChatRequest,
    CompleteRequest,
    CountRequest,
    EmbedRequest,
    ModerationRequest,
    Operation,
    Request,
    RerankRequest,
)
from hoosh.core.errors import ClientError, UpstreamError
from hoosh.core.events import Event
from hoosh.dialects import ClientDialect, Decoder, ListingDialect, PassingOn, ProviderDialect, Translating, Ways
from hoosh.engine.backend import tongues_of
from hoosh.providers.registry import PROVIDERS

Target = Callable[[bytes], None]

_CHAT = ChatRequest(model="m", messages=())
_ASKED: dict[Operation, Request] = {
    "chat": _CHAT,
    "complete": CompleteRequest(model="m", prompts=("a", "b")),
    "embed": EmbedRequest(model="m", inputs=("a", "b")),
    "rerank": RerankRequest(model="m", query="q", documents=("a", "b")),
    "moderate": ModerationRequest(model="m", inputs=("a",)),
    "count": CountRequest(chat=_CHAT),
}
_SPLITTERS: dict[str, Callable[[], Splitter]] = {
    "sse": SSEDecoder,
    "ndjson": NDJSONDecoder,
    "sniff": EventsOrWhole,
    "whole": WholeBody,
}
_CONTENT_TYPES = (b"text/event-stream", b"application/json", b"application/x-ndjson", b"")


def targets(clients: dict[str, ClientDialect]) -> dict[str, Target]:
    """By name. `clients` are the dialects whose requests are read."""
    found: dict[str, Target] = {f"split:{name}": partial(_split, made) for name, made in _SPLITTERS.items()}
    for dialect, ways in _spoken():
        name = dialect.name
        if dialect.operation == "chat":
            for stream in (False, True):
                found[f"read:{name}:{'stream' if stream else 'whole'}"] = partial(_read, dialect, ways, stream)
        else:
            found[f"read:{name}:{dialect.operation}"] = partial(_read, dialect, ways, False)
        found[f"refusal:{name}"] = partial(_refusal, dialect)
        if hasattr(dialect, "models"):
            found[f"models:{name}"] = partial(_models, cast("ListingDialect", dialect))
    found |= {f"parse:{name}": partial(_parse, client) for name, client in clients.items()}
    return found


def _spoken() -> Iterator[tuple[ProviderDialect, Ways]]:
    """Each dialect once, with the mends of every provider that speaks it."""
    mends: dict[tuple[str, Operation], list[Any]] = {}
    dialects: dict[tuple[str, Operation], ProviderDialect] = {}
    for kind in PROVIDERS:
        for tongue in tongues_of(kind):
            spoken = (tongue.dialect.name, tongue.dialect.operation)
            dialects[spoken] = tongue.dialect
            mends.setdefault(spoken, []).extend(tongue.ways.mends)
    for spoken, dialect in dialects.items():
        yield dialect, Ways(mends=tuple(mends[spoken]))


def pieces(data: bytes) -> tuple[bytes, list[bytes]]:
    """The payload of fuzzed bytes, and it in pieces: the first two bytes say how long those are."""
    sizes, payload = data[:2] or b"\x01", data[2:]
    cut, at, k = [], 0, 0
    while at < len(payload):
        size = sizes[k % len(sizes)] + 1
        cut.append(payload[at : at + size])
        at, k = at + size, k + 1
    return payload, cut


def _split(made: Callable[[], Splitter], data: bytes) -> None:
    payload, cut = pieces(data)
    whole, parts = _frames(made(), [payload]), _frames(made(), cut)
    if whole is not None and parts is not None:
        assert [(frame.data, frame.event) for frame in whole] == [(frame.data, frame.event) for frame in parts]
        # A last event may lack its blank line, which those who are given it need.
        assert sum(len(frame.raw) for frame in parts) <= len(payload) + len(b"\n\n")


def _frames(splitter: Splitter, parts: list[bytes]) -> list[Frame] | None:
    try:
        return [frame for part in parts for frame in splitter.feed(part)] + splitter.eof()
    except FrameTooLarge:
        return None


def _read(dialect: ProviderDialect, ways: Ways, stream: bool, data: bytes) -> None:
    asked = _ASKED[dialect.operation]
    if isinstance(asked, ChatRequest):
        asked = ChatRequest(model="m", messages=(), stream=stream)
    kind = _CONTENT_TYPES[data[0] % len(_CONTENT_TYPES)] if data else b""
    payload, cut = pieces(data)
    for decoding in (Translating, PassingOn):
        whole, parts = (
            _events(decoding(dialect.splitter(asked, kind), dialect.reader(asked, ways)), given)
            for given in ([payload], cut)
        )
        assert repr(whole) == repr(parts)  # a vector may hold NaN, which equals nothing


def _events(decoder: Decoder, parts: list[bytes]) -> tuple[list[Event], str]:
    """The events, or the error's class."""
    events: list[Event] = []
    try:
        for part in parts:
            events += decoder.feed(part)
        return events + decoder.eof(), ""
    except UpstreamError as error:
        # What came before it in one piece is lost with the piece; only the error itself must be the same.
        return [], type(error).__name__


def _refusal(dialect: ProviderDialect, data: bytes) -> None:
    status = 400 + (data[0] if data else 0) % 200
    headers = {b"retry-after": data[1:9], b"content-type": b"text/html"}
    error = dialect.refusal(status, headers, data[1:])
    assert isinstance(error, UpstreamError)
    assert error.upstream_status == status
    assert len(error.message) <= len(data) + 1000


def _models(dialect: ListingDialect, data: bytes) -> None:
    try:
        assert all(isinstance(name, str) for name in dialect.models(data))
    except UpstreamError:
        return


def _parse(dialect: ClientDialect, data: bytes) -> None:
    try:
        asked = dialect.parse(data)
    except ClientError as error:
        _told(dialect, error)
        return
    for provider, ways in _spoken():
        if provider.operation != asked.operation:
            continue
        try:
            provider.render(asked, "m", ways)
        except ClientError as error:
            _told(dialect, error)


def _told(dialect: ClientDialect, error: ClientError) -> None:
    assert error.status in {400, 404, 413}
    assert dialect.fault(error, "id")
    assert dialect.fault_frame(error, "id")
