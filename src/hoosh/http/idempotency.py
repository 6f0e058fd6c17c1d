"""`Idempotency-Key`: a request that is sent again is answered with the first one's reply, byte for byte.

The first with its key runs in a task of its own, which goes on if its client leaves: who sends it again wants that
answer, and not another one. Those that come meanwhile wait for its end. What is kept for later is what a provider may
have charged for: answers, also those that broke off, and failures after something was sent. A failure that cost
nothing may be tried again under the same key. All is in this process's memory.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from hoosh.core.errors import (
    BadRequest,
    CircuitOpen,
    ClientError,
    ConnectFailed,
    CredentialRefused,
    Exhausted,
    HooshError,
    OutOfCredit,
    Overloaded,
    TooDear,
    UpstreamError,
)
from hoosh.http.exchange import Exchange, HeaderList, Wire
from hoosh.http.request import Limits
from hoosh.ports import Clock

log = logging.getLogger("hoosh.idempotency")
NAME = b"idempotency-key"
MAX_CHARS = 255
KEEP_S = 86_400
# What all kept replies may take, and one of them.
MAX_BYTES = 64 << 20
MAX_REPLY_BYTES = 8 << 20
REPLY_BYTES = 1024  # beside its pieces
REPLAYED = (b"x-hoosh-replayed", b"true")
# The provider was not reached, or has said that it did nothing.
_FREE = (ConnectFailed, Overloaded, CircuitOpen, TooDear, CredentialRefused, OutOfCredit)
Endpoint = Callable[[Exchange], Awaitable[None]]


class IdempotencyKeyReused(ClientError):
    status = 422
    code = "idempotency_key_reused"


class _Reply:
    """What was told, as it was told: whole, or begun, any number of pieces, and ended."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: HeaderList = ()
        self.pieces: list[bytes] = []
        self.is_whole = False
        self.is_complete = False
        self.size_bytes = REPLY_BYTES

    def add(self, data: bytes) -> None:
        self.size_bytes += len(data)
        if self.size_bytes <= MAX_REPLY_BYTES:
            self.pieces.append(data)

    @property
    def is_all_here(self) -> bool:
        return self.is_complete and self.size_bytes <= MAX_REPLY_BYTES

    async def tell(self, exchange: Exchange) -> None:
        wire = exchange.wire
        headers = [pair for pair in self.headers if pair[0] != b"x-request-id"]
        headers += [(b"x-request-id", exchange.id.encode()), REPLAYED]
        if self.is_whole:
            wire.whole(self.status, headers, b"".join(self.pieces))
            return
        first, *rest = self.pieces
        wire.begin(self.status, headers, first)
        for piece in rest[:-1]:
            wire.write(piece)
            if wire.is_slow:
                await wire.drained()
        wire.end(rest[-1] if rest else b"")


class _Recorder:
    """exchange.Wire before the client's, as long as there is one: has the body, and keeps the reply."""

    def __init__(self, wire: Wire, body: bytes, reply: _Reply) -> None:
        self._wire: Wire | None = wire
        self._body = body
        self._reply = reply
        self._left = asyncio.Event()
        self.peer = wire.peer

    @property
    def is_slow(self) -> bool:
        return self._wire is not None and self._wire.is_slow

    @property
    def has_left(self) -> bool:
        return self._wire is None

    def leave(self) -> None:
        """The client is gone: nobody reads, and nobody is slow."""
        self._wire = None
        self._left.set()

    async def read(self) -> bytes:
        body, self._body = self._body, b""
        return body

    def whole(self, status: int, headers: HeaderList, body: bytes) -> None:
        reply = self._reply
        reply.status, reply.headers, reply.is_whole, reply.is_complete = status, headers, True, True
        reply.add(body)
        if self._wire is not None:
            self._wire.whole(status, headers, body)

    def begin(self, status: int, headers: HeaderList, data: bytes) -> None:
        self._reply.status, self._reply.headers = status, headers
        self._reply.add(data)
        if self._wire is not None:
            self._wire.begin(status, headers, data)

    def write(self, data: bytes) -> None:
        self._reply.add(data)
        if self._wire is not None:
            self._wire.write(data)

    def end(self, data: bytes) -> None:
        self._reply.is_complete = True
        self._reply.add(data)
        if self._wire is not None:
            self._wire.end(data)

    async def drained(self) -> None:
        if self._wire is None:
            return
        waits = [asyncio.ensure_future(one) for one in (self._wire.drained(), self._left.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()


class _Entry:
    """One key of one caller. `task` while it runs."""

    def __init__(self, asked: bytes, task: "asyncio.Task[None]", reply: _Reply) -> None:
        self.asked = asked
        self.task = task
        self.reply = reply
        self.until_s = 0


class Idempotency:
    """All keys of one process, whatever the endpoint."""

    def __init__(self, limits: Limits, clock: Clock, max_bytes: int = MAX_BYTES) -> None:
        self._limits = limits
        self._clock = clock
        self._max_bytes = max_bytes
        self._running: dict[tuple[str, str], _Entry] = {}
        self._kept: OrderedDict[tuple[str, str], _Entry] = OrderedDict()  # the oldest first
        self.kept_bytes = 0

    def over(self, endpoint: Endpoint) -> Endpoint:
        async def once(exchange: Exchange) -> None:
            if NAME in exchange.headers:
                await self._serve(exchange, endpoint)
            else:
                await endpoint(exchange)

        return once

    async def stop(self) -> None:
        """Those that still run end as if their clients had left."""
        tasks = [entry.task for entry in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, exchange: Exchange, endpoint: Endpoint) -> None:
        """Raises: BadRequest, IdempotencyKeyReused, and what `endpoint` raises."""
        key = (exchange.principal.key_id, _key(exchange))
        body = await exchange.body(self._limits)
        asked = hashlib.sha256(b"\0".join((exchange.path.encode(), exchange.query, body))).digest()
        while True:
            entry = self._running.get(key) or self._find(key)
            if entry is None:
                await self._run(key, exchange, endpoint, (asked, body))
                return
            if entry.asked != asked:
                raise IdempotencyKeyReused(
                    "idempotency-key: it was used for another request before", param="idempotency-key"
                )
            if not entry.task.done():
                await asyncio.wait((entry.task,))
            if entry.reply.is_all_here:
                await entry.reply.tell(exchange)
                return
            self._forget(key, entry)

    async def _run(
        self, key: tuple[str, str], exchange: Exchange, endpoint: Endpoint, asked: tuple[bytes, bytes]
    ) -> None:
        reply, wire = _Reply(), exchange.wire
        recorder = _Recorder(wire, asked[1], reply)
        exchange.wire = recorder
        task: asyncio.Task[None] = asyncio.ensure_future(_asked(endpoint, exchange))
        entry = self._running[key] = _Entry(asked[0], task, reply)

        def over(task: "asyncio.Task[None]") -> None:
            self._forget(key, entry)
            error = None if task.cancelled() else task.exception()
            if not task.cancelled() and error is None and _is_kept(exchange, reply):
                self._keep(key, entry)
            if recorder.has_left and error is not None and not isinstance(error, HooshError):
                log.error("a request without its client broke off", exc_info=error)

        task.add_done_callback(over)
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            recorder.leave()
            raise
        exchange.wire = wire
        task.result()

    def _forget(self, key: tuple[str, str], entry: _Entry) -> None:
        """It does not run any more."""
        if self._running.get(key) is entry:
            del self._running[key]

    def _keep(self, key: tuple[str, str], entry: _Entry) -> None:
        entry.until_s = self._clock.unix_s() + KEEP_S
        self._kept[key] = entry
        self.kept_bytes += entry.reply.size_bytes
        while self.kept_bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    def _find(self, key: tuple[str, str]) -> _Entry | None:
        now_s = self._clock.unix_s()
        while self._kept and next(iter(self._kept.values())).until_s <= now_s:
            self._drop(next(iter(self._kept)))
        return self._kept.get(key)

    def _drop(self, key: tuple[str, str]) -> None:
        self.kept_bytes -= self._kept.pop(key).reply.size_bytes


async def _asked(endpoint: Endpoint, exchange: Exchange) -> None:
    await endpoint(exchange)


def _key(exchange: Exchange) -> str:
    """Raises BadRequest."""
    said = exchange.headers[NAME].decode("latin-1")
    if not 0 < len(said) <= MAX_CHARS or not said.isascii() or not said.isprintable():
        raise BadRequest(
            f"idempotency-key: expected 1 to {MAX_CHARS} printable ASCII characters", param="idempotency-key"
        )
    return said


def _is_kept(exchange: Exchange, reply: _Reply) -> bool:
    if not reply.is_complete or reply.size_bytes > MAX_REPLY_BYTES:
        return False
    error = exchange.error
    if error is None or reply.status == 200:
        return True
    if isinstance(error, Exhausted):
        error = error.__cause__ if isinstance(error.__cause__, HooshError) else error
    return isinstance(error, UpstreamError) and not isinstance(error, _FREE)
