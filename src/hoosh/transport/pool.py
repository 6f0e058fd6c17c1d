"""The HTTP transport: connections kept per origin, and the exchanges on them.

Its law: a connection is in use by one exchange, or idle, or closed; giving it back never awaits, so that no
cancellation can lose it. A redirect is a reply as any other: it is never followed, so a key stays with its host.
"""

import asyncio
from types import TracebackType

from hoosh.core.errors import ConnectFailed, Reset
from hoosh.core.wire import Timeouts, WireRequest
from hoosh.transport.connection import Connection
from hoosh.transport.dial import Dialer
from hoosh.transport.head import Route, render, route
from hoosh.transport.settings import TransportSettings

_MAX_ROUTES = 1024  # base URLs come from the configuration: this bounds a mistake


class HTTPTransport:
    """Of one event loop. Idle connections are closed by one timer; the newest is used first."""

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._dialer = Dialer(settings.ca_file)
        self._routes: dict[str, Route] = {}
        self._open: set[Connection] = set()
        self._idle: dict[str, list[Connection]] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False
        self._emptied: asyncio.Future[None] | None = None

    @property
    def open_connections(self) -> int:
        """In use, idle, being made or being closed."""
        return len(self._open)

    @property
    def idle_connections(self) -> int:
        return sum(map(len, self._idle.values()))

    def exchange(self, base_url: str, request: WireRequest, timeouts: Timeouts) -> "Exchange":
        """Raises on entry, besides what the port says: ConfigError (base URL), BadRequest (path, method, headers),
        DeadlineExceeded, Idle, Truncated."""
        return Exchange(self, base_url, request, timeouts)

    async def aclose(self) -> None:
        """End every exchange and close every connection; return when the sockets are gone."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for connection in tuple(self._open):
            connection.abort()
        if self._open:
            self._emptied = asyncio.get_running_loop().create_future()
            await self._emptied

    # For exchanges

    def route(self, base_url: str) -> Route:
        way = self._routes.get(base_url)
        if way is None:
            way = route(base_url, self._settings.proxies, self._settings.user_agent)
            if len(self._routes) >= _MAX_ROUTES:
                self._routes.clear()
            self._routes[base_url] = way
        return way

    def take(self, way: Route) -> Connection | None:
        idle = self._idle.get(way.key)
        while idle:
            connection = idle.pop()
            if connection.alive:
                return connection
        return None

    async def connect(self, way: Route, timeouts: Timeouts, total_at: float) -> Connection:
        connection = Connection(way.label, way.key, self._settings, self._lost)
        self._open.add(connection)
        try:
            if not self._closed:
                await self._dialer.dial(way, connection, timeouts, total_at)
            if self._closed:
                raise ConnectFailed(f"{way.label}: the gateway stops")
        except BaseException:
            connection.abort()
            self._forget(connection)
            raise
        return connection

    def give_back(self, connection: Connection) -> None:
        if self._closed or not connection.is_reusable():
            connection.abort()
            return
        connection.rest()
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
            while idle and idle[0].idle_since + keep_s <= now + _TIMER_GRAIN_S:
                idle.pop(0).abort()
            if idle:
                oldest = min(oldest, idle[0].idle_since)
            else:
                del self._idle[key]
        if self._idle:
            self._sweep = loop.call_at(oldest + keep_s, self._close_idle)
