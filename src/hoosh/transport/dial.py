"""A new connection: TCP, a proxy's tunnel where one is set, TLS. Verification cannot be switched off.

Cancelled at any await, it leaves no socket behind. Its errors say which step failed, and of an address never
more than the host.
"""

import asyncio
import os
import re
import socket
import ssl

from hoosh.core.errors import ConfigError, ConnectFailed, DeadlineExceeded
from hoosh.core.wire import Timeouts
from hoosh.transport.connection import Connection
from hoosh.transport.head import Route
from hoosh.transport.proxy import Proxy

_MAX_TUNNEL_HEAD_BYTES = 16 << 10
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]")


class Dialer:
    """Makes the TLS context at the first need (reading the system's roots takes milliseconds), and once."""

    def __init__(self, ca_file: str) -> None:
        self._ca_file = ca_file
        self._made: ssl.SSLContext | None = None

    async def dial(self, way: Route, connection: Connection, timeouts: Timeouts, total_at: float) -> None:
        """Hand an open transport to `connection`. Raises: ConnectFailed, DeadlineExceeded, ConfigError (ca_file)."""
        now = asyncio.get_running_loop().time()
        limit_at = min(now + timeouts.connect_s, total_at)
        where = way.label if way.proxy is None else f"{way.label} (by its proxy)"
        try:
            async with asyncio.timeout_at(limit_at) as limit:
                await self._reach(way, connection)
        except OSError as error:  # TimeoutError is one, too
            if not limit.expired():
                raise ConnectFailed(f"{where}: {_reason(error)}") from error
            if limit_at == total_at:
                raise DeadlineExceeded(f"{where}: the time was over before it was connected") from None
            raise ConnectFailed(f"{where}: not connected within {timeouts.connect_s:g} s") from None

    async def _reach(self, way: Route, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        origin, proxy = way.origin, way.proxy
        near = origin if proxy is None else proxy.origin
        near_tls = self._context() if near.secure else None
        if proxy is None or not origin.secure:
            await loop.create_connection(lambda: connection, near.host, near.port, ssl=near_tls)
            return
        tunnel = Tunnel(loop)
        outer, _ = await loop.create_connection(lambda: tunnel, near.host, near.port, ssl=near_tls)
        try:
            outer.write(_connect_head(origin.hostport, proxy))
            await tunnel.opened
            inner = await self._inner(way, outer, tunnel, connection)
        except BaseException:
            outer.abort()
            raise
        connection.connection_made(inner)

    async def _inner(
        self, way: Route, outer: asyncio.Transport, tunnel: "Tunnel", connection: Connection
    ) -> asyncio.Transport:
        if tunnel.refusal:
            raise ConnectFailed(f"{way.label}: {tunnel.refusal}")
        loop = asyncio.get_running_loop()
        inner = await loop.start_tls(outer, connection, self._context(), server_hostname=way.origin.host)
        if inner is None:
            raise ConnectionResetError
        return inner

    def _context(self) -> ssl.SSLContext:
        if self._made is None:
            context = ssl.create_default_context()
            context.set_alpn_protocols(["http/1.1"])
            if self._ca_file:
                try:
                    context.load_verify_locations(self._ca_file)
                except OSError as error:  # ssl.SSLError is one, too
                    raise ConfigError(f"{self._ca_file}: not a file of PEM certificates") from error
            self._made = context
        return self._made


class Tunnel(asyncio.Protocol):
    """A proxy's answer to CONNECT (RFC 9110, section 9.3.6). Once `opened` is done, `refusal` is "" or says why not."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.opened: asyncio.Future[None] = loop.create_future()
        self.refusal = ""
        self._head = b""

    def data_received(self, data: bytes) -> None:
        self._head += data
        _, end, rest = self._head.partition(b"\r\n\r\n")
        status = _STATUS_LINE.match(self._head)
        if end and status is not None and status[1].startswith(b"2") and not rest:
            self._done("")
        elif end and status is not None and not status[1].startswith(b"2"):
            self._done(f"the proxy answered {status[1].decode()}")
        elif end or len(self._head) > _MAX_TUNNEL_HEAD_BYTES:
            self._done("the proxy did not answer CONNECT in HTTP")

    def connection_lost(self, _: Exception | None) -> None:
        self._done("the proxy closed the connection")

    def _done(self, refusal: str) -> None:
        if not self.opened.done():
            self.refusal = refusal
            self.opened.set_result(None)


def _connect_head(hostport: str, proxy: Proxy) -> bytes:
    authorization = b"proxy-authorization: %b\r\n" % proxy.authorization if proxy.authorization else b""
    target = hostport.encode("ascii")
    return b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (target, target, authorization)


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason}"
    if isinstance(error, socket.gaierror):
        return "its name was not resolved"
    if error.errno is not None:
        return os.strerror(error.errno).lower()
    if isinstance(error, ConnectionError):
        return "it closed the connection during the TLS handshake"
    return "not reachable"
