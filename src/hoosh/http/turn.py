"""One request's turn on a connection: its body as it comes in, its reply as it goes out (exchange.Wire)."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from hoosh.http.exchange import HeaderList
from hoosh.http.head import CHUNKED, CLOSE, CONTINUE, LAST_CHUNK, chunk, render


class Line(Protocol):
    """What a turn needs of its connection. `date` is a header line; `ending`: no turn may follow this one."""

    @property
    def is_slow(self) -> bool: ...

    @property
    def peer(self) -> str: ...

    @property
    def date(self) -> bytes: ...

    @property
    def ending(self) -> bool: ...

    def send(self, data: bytes) -> None: ...

    async def drained(self) -> None: ...

    def taken(self, size_bytes: int) -> None:
        """So much of what waited here is off the connection's hands."""


class Turn:
    """`modern`: the client speaks HTTP/1.1. `keeps`: it would go on after this turn. `received`: the request is all
    here. `begun` and `ended` tell of the reply.

    A reply that comes before the request is all here is the connection's last: nobody could say where the next
    request begins.
    """

    __slots__ = (
        "_chunked",
        "_expects",
        "_line",
        "_pieces",
        "_waiter",
        "begun",
        "ended",
        "headers",
        "keeps",
        "method",
        "modern",
        "received",
        "target",
    )

    def __init__(self, line: Line, method: bytes, target: bytes, headers: Mapping[bytes, bytes]) -> None:
        self._line = line
        self.method = method
        self.target = target
        self.headers = headers
        self.modern = True
        self.keeps = True
        self.received = False
        self.begun = False
        self.ended = False
        self._chunked = False
        self._expects = b"expect" in headers
        self._pieces: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None

    @property
    def peer(self) -> str:
        return self._line.peer

    @property
    def is_slow(self) -> bool:
        return self._line.is_slow

    @property
    def is_last(self) -> bool:
        return not self.keeps or not self.received or self._line.ending

    # What comes

    def put(self, data: bytes) -> None:
        self._pieces.append(data)
        self._wake()

    def close(self) -> None:
        self.received = True
        self._wake()

    async def read(self) -> bytes:
        pieces = self._pieces
        if not pieces and not self.received:
            await self._more()
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._line.taken(len(data))
        return data

    def discard(self) -> None:
        """Nobody will read the rest."""
        if self._pieces:
            self._line.taken(sum(map(len, self._pieces)))
            self._pieces.clear()

    async def _more(self) -> None:
        if self._expects and self.modern and self.headers[b"expect"].lower() == b"100-continue":
            self._line.send(CONTINUE)
        self._expects = False
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # What goes

    def whole(self, status: int, headers: HeaderList, body: bytes) -> None:
        head = self._head(status, headers, b"content-length: %d\r\n" % len(body))
        self.ended = True
        self._line.send(head if self.method == b"HEAD" else head + body)

    def begin(self, status: int, headers: HeaderList, data: bytes) -> None:
        if self.modern:
            self._chunked = True
            head = self._head(status, headers, CHUNKED)
        else:
            self.keeps = False  # HTTP/1.0: the reply's end is the connection's
            head = self._head(status, headers, b"")
        self._line.send(head + self._framed(data))

    def write(self, data: bytes) -> None:
        self._line.send(self._framed(data))

    def end(self, data: bytes) -> None:
        self.ended = True
        framed = self._framed(data)
        self._line.send(framed + LAST_CHUNK if self._chunked and self.method != b"HEAD" else framed)

    async def drained(self) -> None:
        await self._line.drained()

    def _head(self, status: int, headers: HeaderList, framing: bytes) -> bytes:
        if self.begun:
            raise RuntimeError("a second reply to one request")
        self.begun = True
        line = self._line
        return render(status, headers, framing + CLOSE + line.date if self.is_last else framing + line.date)

    def _framed(self, data: bytes) -> bytes:
        if self.method == b"HEAD" or not data:
            return b""
        return chunk(data) if self._chunked else data
