"""One HTTP/1.1 connection to a provider (RFC 9112): one exchange at a time, driven by callbacks.

Its law: a reply is whole, or it ends in an error that says how it ended. Nothing is decompressed, nothing is
repaired: bytes that the strict parser refuses end the connection. Any split of the bytes gives the same reply.

Its strategy, since every token of every stream passes here: no task, one future per wait, and one timer per
connection that is left to run and looks at the deadlines only when it fires.
"""

import asyncio
import socket
from collections.abc import Callable
from math import inf

import httptools

from hoosh.core.errors import BadUpstream, DeadlineExceeded, HooshError, Idle, NoFirstEvent, Reset, Truncated
from hoosh.core.wire import Timeouts
from hoosh.transport.settings import TransportSettings

BUFFER_BYTES = 256 << 10  # unread above this, the socket is not read
TIMER_GRAIN_S = 0.002  # a loop that counts in milliseconds may fire a timer that much early
_TCP_KEEPALIVE_S = 60
_NO_TIMEOUTS = Timeouts()


class Connection(asyncio.Protocol):
    """`label` names the host in messages; `key` is the pool's; `on_lost` is called once, when the socket is gone.

    Of the exchange: `headed` once status and headers are there, `pieces` not read yet, `complete` at the reply's
    good end, `error` at its bad one (pieces that came before it are still good). `alive` until the connection
    ends or must not be used again. `stale`: a reused connection that the peer had closed before it answered.
    """

    __slots__ = (
        "_active",
        "_barren_bytes",
        "_buffered_bytes",
        "_head_bytes",
        "_interim",
        "_keep",
        "_loop",
        "_on_lost",
        "_parser",
        "_paused",
        "_received_bytes",
        "_replied",
        "_reused",
        "_settings",
        "_timeouts",
        "_timer",
        "_timer_at",
        "_total_at",
        "_transport",
        "_until_eof",
        "_wait_until",
        "_waiter",
        "alive",
        "complete",
        "error",
        "headed",
        "headers",
        "idle_since",
        "key",
        "label",
        "pieces",
        "stale",
        "status",
    )
    _transport: asyncio.Transport
    _parser: httptools.HttpResponseParser

    def __init__(
        self, label: str, key: str, settings: TransportSettings, on_lost: Callable[["Connection"], None]
    ) -> None:
        self.label = label
        self.key = key
        self.alive = False
        self.stale = False
        self.idle_since = 0.0
        self._settings = settings
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._paused = False
        self._reused = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._waiter: asyncio.Future[None] | None = None
        self._prepare(_NO_TIMEOUTS, inf)
        self._active = False

    def _prepare(self, timeouts: Timeouts, total_at: float) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.pieces: list[bytes] = []
        self.headed = False
        self.complete = False
        self.error: HooshError | None = None
        self._active = True
        self._replied = False
        self._interim = False
        self._keep = False
        self._until_eof = False
        self._head_bytes = 0
        self._barren_bytes = 0
        self._buffered_bytes = 0
        self._received_bytes = 0
        self._timeouts = timeouts
        self._total_at = total_at
        self._wait_until = inf

    # The exchange

    async def send(self, request: bytes, timeouts: Timeouts, total_at: float) -> None:
        """Send head and body; return when the reply's head is here. Whatever else happens, the connection is aborted.

        The wait for the first byte begins when the request is handed to the socket.
        Raises: Reset, NoFirstEvent, Idle, DeadlineExceeded, Truncated, BadUpstream.
        """
        self._prepare(timeouts, total_at)
        try:
            self._transport.write(request)
            wait_s = timeouts.first_byte_s
            while not self.headed and self.error is None:
                await self.more(wait_s)
                if self._replied:
                    wait_s = timeouts.idle_s
        except BaseException:
            self.abort()
            raise
        if self.error is not None and not self.headed:
            raise self.error
        self._reused = True

    def more(self, wait_s: float) -> asyncio.Future[None]:
        """Done when something came, or the exchange ended, or failed after `wait_s` of silence."""
        until = self._wait_until = min(self._loop.time() + wait_s, self._total_at)
        if self._timer_at > until:
            self._arm(until)
        waiter = self._waiter = self._loop.create_future()
        return waiter

    def take(self) -> bytes:
        """All pieces that wait, joined."""
        pieces = self.pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._buffered_bytes = 0
        if self._paused:
            self._paused = False
            if self.alive:
                self._transport.resume_reading()
        return data

    def is_reusable(self) -> bool:
        return self.complete and self._keep and self.alive and not self._transport.get_write_buffer_size()

    def abort(self) -> None:
        """Close at once, whatever the state."""
        self.alive = False
        if hasattr(self, "_transport"):
            self._transport.abort()

    # The socket

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self.alive = True
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _TCP_KEEPALIVE_S)

    def data_received(self, data: bytes) -> None:
        if not self._active:  # nobody asked for it, so nothing after it can be trusted
            self.abort()
            return
        self._replied = True
        received_bytes = self._received_bytes
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._keep = False
            if self._active:
                self._fail(
                    BadUpstream(f"{self.label}: its reply is not HTTP/1.1: {error}", upstream_status=self.status)
                )
        if self._active:
            if self._received_bytes == received_bytes:
                self._barren_bytes += len(data)
                if self._barren_bytes > 2 * self._settings.max_header_bytes:
                    self._refuse("too many bytes without content")
            else:
                self._barren_bytes = 0
                if self._buffered_bytes > BUFFER_BYTES and not self._paused:
                    self._paused = True
                    self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        if self._active:
            if self._until_eof and self.headed:
                self._end()
                self._wake()
            else:
                self._break(None)
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.alive = False
        if self._active:
            self._break(exc)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if hasattr(self, "_parser"):
            del self._parser  # it holds this object's methods: a cycle
            self._on_lost(self)

    # The parser

    def on_message_begin(self) -> None:
        if self.complete:  # a second reply to one request
            self._keep = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.headed or not self._active:  # trailers carry nothing that a provider's API uses
            return
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > self._settings.max_header_bytes:
            self._refuse(f"a head of more than {self._settings.max_header_bytes} bytes")
            return
        name = name.lower()
        value = value.rstrip(b" \t")
        known = self.headers.get(name)
        self.headers[name] = value if known is None else b"%b, %b" % (known, value)

    def on_headers_complete(self) -> None:
        if self.headed or not self._active:
            return
        parser = self._parser
        status = self.status = parser.get_status_code()
        if status < 200:
            self._interim = True
            if status < 100 or status == 101:
                self._refuse("a status that nobody asked for")
            return
        headers = self.headers
        if headers.get(b"content-encoding", b"identity").lower() not in (b"identity", b""):
            self._refuse("a content-encoding, though identity was asked for")
            return
        chunked = headers.get(b"transfer-encoding")
        if chunked is not None and chunked.lower() != b"chunked":
            self._refuse("a transfer-encoding other than chunked")
            return
        self._keep = parser.should_keep_alive()
        if not self._keep and parser.get_http_version() not in ("1.0", "1.1"):
            self._refuse("a version other than HTTP/1.0 and 1.1")
            return
        self._until_eof = chunked is None and b"content-length" not in headers
        self.headed = True

    def on_body(self, body: bytes) -> None:
        if not self._active:
            return
        size = len(body)
        self._received_bytes += size
        if self._received_bytes > self._settings.max_reply_bytes:
            self._refuse(f"a reply of more than {self._settings.max_reply_bytes} bytes")
            return
        self._buffered_bytes += size
        self.pieces.append(body)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
            self.headers = {}
        elif self._active:
            self._end()

    # Ends and deadlines

    def _end(self) -> None:
        self.complete = True
        self._active = False

    def _fail(self, error: HooshError) -> None:
        self.error = error
        self._active = False
        self.abort()
        self._wake()

    def _refuse(self, what: str) -> None:
        self._fail(BadUpstream(f"{self.label}: its reply has {what}", upstream_status=self.status))

    def _break(self, exc: Exception | None) -> None:
        if self._replied:
            self._fail(
                Truncated(f"{self.label}: the connection ended in the middle of its reply", upstream_status=self.status)
            )
            return
        self.stale = self._reused and (exc is None or isinstance(exc, ConnectionError))
        self._fail(Reset(f"{self.label}: the connection ended before a reply"))

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = inf
        if not self._active:
            return
        now = self._loop.time() + TIMER_GRAIN_S
        waiting = self._waiter is not None and not self._waiter.done()
        if now >= self._total_at:
            self._fail(DeadlineExceeded(f"{self.label}: its reply was not over when the time was"))
        elif waiting and now >= self._wait_until:
            self._fail(self._silence())
        else:
            self._arm(self._wait_until if waiting else self._total_at)

    def _silence(self) -> HooshError:
        if self._replied:
            return Idle(f"{self.label}: nothing came for {self._timeouts.idle_s:g} s", upstream_status=self.status)
        return NoFirstEvent(f"{self.label}: no reply within {self._timeouts.first_byte_s:g} s")
