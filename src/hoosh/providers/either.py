"""A provider that is asked in one dialect and may answer in another."""

from collections.abc import Sequence

import msgspec

from hoosh.codecs import Frame, Splitter
from hoosh.core.asked import ChatRequest, Operation
from hoosh.core.errors import UpstreamError
from hoosh.core.events import Meaning
from hoosh.core.wire import WireRequest
from hoosh.dialects import ListingDialect, ProviderDialect, Reader, Ways

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Either:
    """`asked`, but a reply whose first payload has the field `mark` is read as `answered`."""

    def __init__(self, asked: ListingDialect, answered: ProviderDialect, mark: str, ways: Ways) -> None:
        self.asked = asked
        self._answered = answered
        self._mark = mark
        self._ways = ways
        self.name: str = asked.name
        self.operation: Operation = asked.operation

    def render(self, request: ChatRequest, model: str, ways: Ways) -> WireRequest:
        return self.asked.render(request, model, ways)

    def pass_on(self, request: ChatRequest, body: bytes, model: str, ways: Ways) -> WireRequest:
        return self.asked.pass_on(request, body, model, ways)

    def splitter(self, request: ChatRequest, content_type: bytes) -> Splitter:
        return self.asked.splitter(request, content_type)

    def reader(self, request: ChatRequest, ways: Ways) -> Reader:
        return _Reader(self.asked.reader(request, ways), self._answered.reader(request, self._ways), self._mark)

    def refusal(self, status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamError:
        return self.asked.refusal(status, headers, body)

    def models_request(self) -> WireRequest:
        return self.asked.models_request()

    def models(self, body: bytes) -> tuple[str, ...]:
        return self.asked.models(body)


class _Reader:
    __slots__ = ("_chosen", "_mark", "_other", "_usual")

    def __init__(self, usual: Reader, other: Reader, mark: str) -> None:
        self._usual = usual
        self._other = other
        self._mark = mark
        self._chosen: Reader | None = None

    def read(self, frame: Frame) -> tuple[bytes, Sequence[Meaning]]:
        """The bytes of the other dialect are nothing to pass on to a client of the usual one."""
        if self._chosen is None:
            self._chosen = self._other if self._is_other(frame.data) else self._usual
        raw, meaning = self._chosen.read(frame)
        return (raw if self._chosen is self._usual else b""), meaning

    def end(self) -> Sequence[Meaning]:
        return (self._chosen or self._usual).end()

    def _is_other(self, data: bytes) -> bool:
        try:
            return self._mark in _fields.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
