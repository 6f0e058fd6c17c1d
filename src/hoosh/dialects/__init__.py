"""Tongues: one file is one wire format. What a client speaks (`ClientDialect`) and what a provider speaks
(`ProviderDialect`) are two faces of the same file; N dialects, not N x M translators.

This file holds what they share: the protocols, and the two ways to decode a reply. Siblings do not know each other.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from hoosh.codecs import Frame, FrameTooLarge, Splitter
from hoosh.codecs.json import JSON as JSON
from hoosh.core.asked import Operation, Request
from hoosh.core.errors import BadUpstream, HooshError, UpstreamError
from hoosh.core.events import Event, Meaning, Raw, Usage
from hoosh.core.wire import WireRequest


class Quirk(Protocol):
    """How a provider's request differs from its dialect: changes the JSON body in place."""

    def __call__(self, body: JSON, /) -> None: ...


class Mend(Protocol):
    """How a provider's reply differs from its dialect: changes one JSON payload in place, says whether it did."""

    def __call__(self, payload: JSON, /) -> bool: ...


class ForModels(msgspec.Struct, frozen=True):
    """`quirk` only where the model's name begins with `pattern`."""

    pattern: re.Pattern[str]
    quirk: Quirk

    def __call__(self, body: JSON, /) -> None:
        model = body.get("model")
        if self.concerns(msgspec.json.decode(model) if isinstance(model, msgspec.Raw) else model):
            self.quirk(body)

    def concerns(self, model: object) -> bool:
        return self.pattern.match(str(model)) is not None


class Ways(msgspec.Struct, frozen=True, kw_only=True):
    """What a dialect must know of a provider to speak with it.

    `stream_usage`: it takes `stream_options.include_usage`. `usage_each`: of several answers it tells the usage of each
    apart, in a whole reply that of the first alone. `cache_marks`: it takes Anthropic's `cache_control` in another
    dialect.
    """

    quirks: tuple[Quirk, ...] = ()
    mends: tuple[Mend, ...] = ()
    stream_usage: bool = True
    usage_each: bool = False
    cache_marks: bool = False

    def may_change(self, model: str) -> bool:
        """Whether a request for `model` has to be looked at."""
        for quirk in self.quirks:  # noqa: SIM110 - a generator costs more than the rest of this
            if type(quirk) is not ForModels or quirk.concerns(model):
                return True
        return False


def _no_time() -> int:
    return 0


def _no_cost(usage: Usage, audio_ms: int) -> None:  # noqa: ARG001
    return None


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway adds to a reply. `id` is the call's, bare: a dialect has prefixes of its own. `created_s` is
    Unix time. `cost` tells the micro-USD of a usage and of milliseconds of sound, None where that is not known.
    `input_tokens` is a guess, for those that tell it in the beginning. `first_event_ns` is how long the provider's
    first event took; `elapsed_ns` tells the time since the call arrived whenever it is asked, for dialects have no
    clock.
    """

    id: str
    created_s: int
    provider: str
    model: str
    cost: Callable[[Usage, int], int | None] = _no_cost
    input_tokens: int = 0
    first_event_ns: int = 0
    elapsed_ns: Callable[[], int] = _no_time


class Encoder(Protocol):
    """Events to the bytes of one reply in the client's dialect."""

    content_type: bytes

    def feed(self, events: Sequence[Event]) -> bytes:
        """b"" when there is nothing to say yet; a reply that is not streamed says all in `finish`."""

    def finish(self, usage: Usage) -> bytes:
        """The rest of a reply that ended well."""


class Encoders(Protocol):
    """What of a client's dialect the engine needs."""

    def encoder(self, request: Any, served: Served) -> Encoder:
        """For a request that the dialect's `parse` gave."""


class ClientDialect(Encoders, Protocol):
    """`relays` names the request headers that go on to a provider of the same dialect; lower case."""

    name: str
    relays: frozenset[bytes]

    def at(self, tail: str) -> "ClientDialect":
        """The dialect as it is spoken at a path that ends in `tail`, with the query after a "?": Gemini names model and
        method there. Raises NotFound.
        """

    def parse(self, body: bytes) -> Request:
        """Raises BadRequest naming the field (`param`)."""

    def fault(self, error: HooshError, request_id: str) -> bytes:
        """The error as a JSON body."""

    def fault_frame(self, error: HooshError, request_id: str) -> bytes:
        """The error inside a stream that has begun; nothing may follow it."""


class Reader(Protocol):
    """What the payloads of one reply mean, one at a time and in order."""

    def read(self, frame: Frame) -> tuple[bytes, Sequence[Meaning]]:
        """The bytes to pass on to a client of the same dialect (b"" to hold them back), and what they mean.
        Raises UpstreamError when the payload is the provider's error or is not the dialect.
        """

    def end(self) -> Sequence[Meaning]:
        """The reply is over. Raises Truncated unless it was complete."""


class ProviderDialect(Protocol):
    """For one operation. Requests are of that operation's type, which the engine sees to."""

    name: str
    operation: Operation

    def render(self, request: Any, model: str, ways: Ways) -> WireRequest: ...

    def pass_on(self, request: Any, body: bytes, model: str, ways: Ways) -> WireRequest:
        """The client's own body of the same dialect, with only the model's name (and what `ways` asks) changed."""

    def splitter(self, request: Any, content_type: bytes) -> Splitter: ...

    def reader(self, request: Any, ways: Ways) -> Reader:
        """For a reply with status 200."""

    def refusal(self, status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamError:
        """For a reply with status 400 or more. Header names are lower case."""


class ListingDialect(ProviderDialect, Protocol):
    """A provider's main dialect, which also tells its models."""

    def models_request(self) -> WireRequest: ...

    def models(self, body: bytes) -> tuple[str, ...]:
        """The ids that the provider lists. Raises BadUpstream."""


class Tongue(msgspec.Struct, frozen=True, kw_only=True):
    """A dialect as one provider speaks it. `models` are globs of the models that it is for, () for all; `root` stands
    in place of the path of the provider's base URL where this API is found elsewhere.
    """

    dialect: ProviderDialect
    ways: Ways = Ways()
    models: tuple[str, ...] = ()
    root: str = ""


class Decoder(Protocol):
    def feed(self, data: bytes) -> list[Event]: ...

    def eof(self) -> list[Event]: ...


class Translating:
    """A reply in the provider's dialect becomes events. What stands before a failure in the same piece of bytes is told
    before it is raised: where the network cut the reply must not matter.
    """

    __slots__ = ("_failed", "_reader", "_splitter")

    def __init__(self, splitter: Splitter, reader: Reader) -> None:
        self._splitter = splitter
        self._reader = reader
        self._failed: UpstreamError | None = None

    def feed(self, data: bytes) -> list[Event]:
        if self._failed is not None:
            raise self._failed
        return self._read(_split(self._splitter, data))

    def eof(self) -> list[Event]:
        if self._failed is not None:
            raise self._failed
        events = self._read(self._splitter.eof())
        if self._failed is not None:
            raise self._failed
        events += self._reader.end()
        return events

    def _read(self, frames: list[Frame]) -> list[Event]:
        events: list[Event] = []
        try:
            for frame in frames:
                self._take(frame, events)
        except UpstreamError as error:
            if not events:
                raise
            self._failed = error
        return events

    def _take(self, frame: Frame, events: list[Event]) -> None:
        events += _read(self._reader, frame)[1]


class PassingOn(Translating):
    """A reply in the client's own dialect passes through as the bytes that it is, and is read on the way."""

    __slots__ = ()

    def _take(self, frame: Frame, events: list[Event]) -> None:
        data, meaning = _read(self._reader, frame)
        if data:
            events.append(Raw(data, tuple(meaning)))
        else:
            events += meaning


def one_line(data: bytes) -> bytes:
    """The same JSON text on one line, whoever splits it: a model's own text within it may have line ends between its
    tokens, and Python's `splitlines`, which many clients read lines with, ends one at three signs more.
    """
    return no_odd_ends(data.replace(b"\n", b" ").replace(b"\r", b" "))


def no_odd_ends(data: bytes) -> bytes:
    """JSON, or frames of it, without the signs that end a line for Python and for nobody else: "data: [DONE]" after one
    of them would end a stream for such a reader. They stand in texts only, and there JSON has another spelling of them.
    """
    if data.isascii():
        return data
    for sign, escaped in _LINE_ENDS:
        data = data.replace(sign, escaped)
    return data


_LINE_ENDS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))


def _split(splitter: Splitter, data: bytes) -> list[Frame]:
    try:
        return splitter.feed(data)
    except FrameTooLarge as error:
        raise BadUpstream(f"the provider sent {error}") from error


def _read(reader: Reader, frame: Frame) -> tuple[bytes, Sequence[Meaning]]:
    """What a reader has no need to look at is checked here: a client would stumble over it."""
    try:
        read = reader.read(frame)
        if not frame.data.isascii():
            frame.data.decode()
    except (UnicodeDecodeError, RecursionError) as error:
        raise BadUpstream("the provider sent what is not JSON") from error
    return read
