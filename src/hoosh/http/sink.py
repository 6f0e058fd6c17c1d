"""The client's end of a call over HTTP (ports.Sink)."""

from collections.abc import Sequence

from hoosh.core.errors import HooshError
from hoosh.dialects import ClientDialect, no_odd_ends
from hoosh.http.exchange import Exchange

STREAM_HEADERS = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))


class ReplySink:
    """`started`: a status is on the wire."""

    __slots__ = ("_dialect", "_exchange", "_headers", "started")

    def __init__(self, exchange: Exchange, dialect: ClientDialect) -> None:
        self._exchange = exchange
        exchange.sink = self
        self._dialect = dialect
        self._headers: list[tuple[bytes, bytes]] = []
        self.started = False

    def head(self, content_type: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self._headers = [*self._exchange.headed(content_type), *headers]

    async def write(self, data: bytes) -> None:
        wire, data = self._exchange.wire, no_odd_ends(data)
        if self.started:
            wire.write(data)
        else:
            self.started = True
            wire.begin(200, (*self._headers, *STREAM_HEADERS), data)
        if wire.is_slow:
            await wire.drained()

    async def close(self, data: bytes) -> None:
        if self.started:
            self._exchange.wire.end(no_odd_ends(data))
        else:
            self.started = True
            self._exchange.wire.whole(200, self._headers, data)

    async def fail(self, error: HooshError) -> None:
        if self.started:
            self._tell_in_band(error)
        else:
            self.started = True
            await self._exchange.refuse(error, self._dialect)

    def break_off(self, error: HooshError) -> None:
        """As `fail`, for a call that is cancelled."""
        exchange = self._exchange
        if self.started:
            self._tell_in_band(error)
        else:
            self.started = True
            exchange.sink = None
            exchange.break_off(error, self._dialect)

    def _tell_in_band(self, error: HooshError) -> None:
        self._exchange.error = error
        self._exchange.wire.end(no_odd_ends(self._dialect.fault_frame(error, self._exchange.id)))
