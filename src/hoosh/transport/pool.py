"""The HTTP transport: connections kept per origin, and the exchanges on them.

Its law: a connection is in use by one exchange, or idle, or closed; giving it back never awaits, so that no
cancellation can lose it. A redirect is a reply as any other: it is never followed, so a key stays with its host.
"""

import asyncio
from types import TracebackType
from typing import Self

from hoosh.core.errors import ConnectFailed, Reset
from hoosh.core.wire import Headers, Timeouts, WireRequest
from hoosh.transport.connection import TIMER_GRAIN_S, Connection
from hoosh.transport.dial import Dialer
from hoosh.transport.head import Route, head, message, route
from hoosh.transport.settings import TransportSettings

_MAX_ROUTES = 1024  # base URLs come from the configuration: this bounds a mistake
_MAX_HEADS = 1024  # a client may have headers of its own passed on


class HTTPTransport:
    """Of one event loop. Idle connections are closed by one timer; the newest is used first."""

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._dialer = Dialer(settings.ca_file)
        self._routes: dict[str, Route] = {}
        self._heads: dict[tuple[str, bytes, str, Headers], bytes] = {}
        self._open: set[Connection] = set()
        self._idle: dict[str, list[Connection]] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False
        self._emptied = asyncio.Event()

    @property
    def open_connections(self) -> int:
        """In use, idle, being made or being closed."""
        return len(self._open)

    @property
    def idle_connections(self) -> int:
        return sum(map(len, self._idle.values()))

    def exchange(self, base_url: str, request: WireRequest, timeouts: Timeouts) -> "Exchange":
        """Raises on entry, besides what the port says: ConfigError (base URL), BadRequest (path, method, headers),
        DeadlineExceeded, Idle, Truncated.
        """
        return Exchange(self, base_url, request, timeouts)

    async def aclose(self) -> None:
        """End every exchange and close every connection; return when the sockets are gone (one that is just being
        made goes when it is made, or by its connect_s).
        """
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for connection in tuple(self._open):
            connection.abort()
        if self._open:
            await self._emptied.wait()

    # For exchanges

    def route(self, base_url: str) -> Route:
        way = self._routes.get(base_url)
        if way is None:
            way = route(base_url, self._settings.proxies, self._settings.user_agent)
            if len(self._routes) >= _MAX_ROUTES:
                self._routes.clear()
            self._routes[base_url] = way
        return way

    def render(self, way: Route, base_url: str, request: WireRequest) -> bytes:
        """Heads are checked and written once: hardly anything in them ever changes. Raises: BadRequest."""
        key = (base_url, request.method, request.path, request.headers)
        lines = self._heads.get(key)
        if lines is None:
            lines = head(way, request)
            if len(self._heads) >= _MAX_HEADS:
                self._heads.clear()
            self._heads[key] = lines
        return message(lines, request)

    def take(self, way: Route) -> Connection | None:
        idle = self._idle.get(way.key)
        while idle:
            connection = idle.pop()
            if connection.alive:
                return connection
        return None

    async def connect(self, way: Route, timeouts: Timeouts, total_at: float) -> Connection:
        if self._closed:
            raise self._stopped(way)
        connection = Connection(way.label, way.key, self._settings, self._forget)
        self._open.add(connection)
        try:
            await self._dialer.dial(way, connection, timeouts, total_at)
        except BaseException:
            # Not left to connection_lost: uvloop does not call it for what is cancelled while it connects.
            connection.abort()
            self._forget(connection)
            raise
        if self._closed:
            connection.abort()
            raise self._stopped(way)
        return connection

    def _stopped(self, way: Route) -> ConnectFailed:
        return ConnectFailed(f"{way.label}: the gateway stops")

    def give_back(self, connection: Connection) -> None:
        if not connection.is_reusable():
            connection.abort()
            return
        connection.pieces.clear()
        idle = self._idle.setdefault(connection.key, [])
        idle.append(connection)
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        if len(idle) > self._settings.max_idle_per_origin:
            idle.pop(0).abort()
        if self._sweep is None:
            self._sweep = loop.call_later(self._settings.idle_keepalive_s, self._close_idle)

    def _close_idle(self) -> None:
        """The lists are in the order of `idle_since`, since the newest is at the end and goes first."""
        self._sweep = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        keep_s = self._settings.idle_keepalive_s
        oldest = now
        for key, idle in tuple(self._idle.items()):
            while idle and idle[0].idle_since + keep_s <= now + TIMER_GRAIN_S:
                idle.pop(0).abort()
            if idle:
                oldest = min(oldest, idle[0].idle_since)
            else:
                del self._idle[key]
        if self._idle:
            self._sweep = loop.call_at(oldest + keep_s, self._close_idle)

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        idle = self._idle.get(connection.key)
        if idle is not None and connection in idle:
            idle.remove(connection)
        if self._closed and not self._open:
            self._emptied.set()


class Exchange:
    """One request and its reply; entered, it is the ports.Reply."""

    __slots__ = ("_base_url", "_connection", "_request", "_timeouts", "_transport", "headers", "status")
    status: int
    headers: dict[bytes, bytes]

    def __init__(self, transport: HTTPTransport, base_url: str, request: WireRequest, timeouts: Timeouts) -> None:
        self._transport = transport
        self._base_url = base_url
        self._request = request
        self._timeouts = timeouts
        self._connection: Connection | None = None

    async def __aenter__(self) -> Self:
        transport, timeouts = self._transport, self._timeouts
        way = transport.route(self._base_url)
        data = transport.render(way, self._base_url, self._request)
        total_at = asyncio.get_running_loop().time() + timeouts.total_s
        connection = transport.take(way)
        if connection is not None:
            try:
                await connection.send(data, timeouts, total_at)
            except Reset:
                # The peer closed an idle connection while the request was on its way: the one loss that is
                # nobody's fault and is known to keep-alive, so one more try, and on a fresh connection.
                if not connection.stale:
                    raise
                connection = None
        if connection is None:
            connection = await transport.connect(way, timeouts, total_at)
            await connection.send(data, timeouts, total_at)
        self._connection = connection
        self.status = connection.status
        self.headers = connection.headers
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._transport.give_back(connection)

    async def read(self) -> bytes:
        """The next piece, b"" at the end. One reader at a time.

        Raises: Truncated, Idle, BadUpstream, DeadlineExceeded.
        """
        connection = self._connection
        if connection is None:
            raise RuntimeError("a reply is read inside its context only")
        while not connection.pieces:
            if connection.complete:
                return b""
            if connection.error is not None:
                raise connection.error
            await connection.more(self._timeouts.idle_s)
        return connection.take()
