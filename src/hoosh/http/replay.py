"""Replaying over HTTP: a server on loopback that plays every recorded provider, with its faults.

It is no door of the gateway: it holds its sockets itself, since a reply that breaks off, is reset or falls silent is
what it is for.

    /p/PROVIDER/PATH            the provider's own path      GET  /_log      what was asked, and what it got
    /f/OPTIONS/p/PROVIDER/PATH  with faults                  GET  /_records  what there is
                                                             POST /_pin      {"ids": [...]}: the next answers
                                                             POST /_reset    as at the start
"""

import asyncio
import fcntl
import logging
import re
import signal
import socket
import struct
import termios
from collections import deque
from collections.abc import Callable

import httptools
import msgspec

from hoosh.core.errors import BadRequest, Forbidden, HooshError, MethodNotAllowed, NotFound, TooLarge
from hoosh.recordings.player import Player, Seen, refusal
from hoosh.recordings.record import Record
from hoosh.recordings.script import Script

log = logging.getLogger("hoosh.replay")

OPTIONS_HEADER = b"x-replay"
MAX_BODY_BYTES = 64 << 20
_CONTROL = "/_"
_RESET_LOOKS = 1000
# A page in a browser may resolve its own name to this machine: such a request is not meant for us.
_LOCAL = re.compile(rb"(localhost|127(\.[0-9]+){3}|\[::1\])(:[0-9]+)?", re.IGNORECASE)
_encode = msgspec.json.Encoder().encode


class Pins(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ids: list[str]


class Asking(msgspec.Struct):
    """A request as it comes in."""

    url: bytes = b""
    headers: dict[bytes, bytes] = {}
    body: list[bytes] = []
    size_bytes: int = 0
    method: str = ""
    keep_alive: bool = True


async def serve(player: Player, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Until SIGTERM or SIGINT, which end what is still being answered."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    server = ReplayServer(player)
    await server.open(listening)
    try:
        ready()
        await stopping.wait()
    finally:
        await server.aclose()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


class ReplayServer:
    def __init__(self, player: Player) -> None:
        self.player = player
        self.peers: set[Peer] = set()
        self._server: asyncio.Server | None = None

    async def open(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Peer(self), sock=listening)

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = [peer.task for peer in self.peers if peer.task is not None]
        for peer in tuple(self.peers):
            peer.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)

    def control(self, method: str, path: str, body: bytes) -> bytes:
        """Raises: HooshError."""
        wanted = {"/_log": "GET", "/_records": "GET", "/_pin": "POST", "/_reset": "POST"}.get(path)
        if wanted is None:
            raise NotFound(f"no such path: {path[:80]}; there is /_log, /_records, /_pin and /_reset")
        if method != wanted:
            raise MethodNotAllowed(f"method not allowed, use {wanted}")
        match path:
            case "/_log":
                return _encode({"log": list(self.player.log)})
            case "/_records":
                return _encode({"records": [_shown(record) for record in self.player.library.records]})
            case "/_pin":
                try:
                    self.player.pin(msgspec.json.decode(body, type=Pins).ids)
                except msgspec.DecodeError as error:
                    raise BadRequest(f'expected {{"ids": ["..."]}}: {error}', param="ids") from None
            case _:
                self.player.reset()
        return b'{"ok":true}'


class Peer(asyncio.Protocol):
    """One connection. Requests on it are answered one after the other, by one task that ends with the connection."""

    transport: asyncio.Transport

    def __init__(self, server: ReplayServer) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._asking = Asking()
        self._waiting: deque[Asking] = deque()
        self._writable = asyncio.Event()
        self._writable.set()
        self.task: asyncio.Task[None] | None = None

    # The socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream socket's
        self.transport.set_write_buffer_limits(high=0)  # a write waits until the kernel has all of it
        self._server.peers.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._server.peers.discard(self)
        if self.task is not None:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._refuse(BadRequest(f"this is not a valid HTTP/1.1 request: {error}"))

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # The parser

    def on_message_begin(self) -> None:
        self._asking = Asking()

    def on_url(self, url: bytes) -> None:
        self._asking.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._asking.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self._asking.method = self._parser.get_method().decode("ascii")
        self._asking.keep_alive = self._parser.should_keep_alive()
        if self._asking.headers.get(b"expect", b"").lower() == b"100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._asking.size_bytes += len(body)
        if self._asking.size_bytes <= MAX_BODY_BYTES:
            self._asking.body.append(body)
        else:
            self._refuse(TooLarge(f"a body of more than {MAX_BODY_BYTES} bytes"))

    def on_message_complete(self) -> None:
        self._waiting.append(self._asking)
        if (self.task is None or self.task.done()) and not self.transport.is_closing():
            self.task = asyncio.get_running_loop().create_task(self._answer_all())
            self.task.add_done_callback(self._done)

    # Answers

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a bug while replaying", exc_info=error)
            self.transport.abort()

    async def _answer_all(self) -> None:
        while self._waiting and not self.transport.is_closing():
            asking = self._waiting.popleft()
            await self._answer(asking)
            if not asking.keep_alive:
                self.transport.close()

    async def _answer(self, asking: Asking) -> None:
        seen: Seen | None = None
        try:
            target, body = asking.url.decode("latin-1"), b"".join(asking.body)
            if not _LOCAL.fullmatch(asking.headers.get(b"host", b"localhost")):
                raise Forbidden("this server answers to the names of this machine only")
            if target.startswith(_CONTROL):
                script = _page(self._server.control(asking.method, target, body))
            else:
                options = asking.headers.get(OPTIONS_HEADER, b"").decode("latin-1")
                script, seen = self._server.player.answer(asking.method, target, body, options)
        except HooshError as error:
            script = refusal(error)
        try:
            await self._play(script, seen)
        except asyncio.CancelledError:
            if seen is not None:
                seen.left = True
            raise

    async def _play(self, script: Script, seen: Seen | None) -> None:
        if script.status:
            await self._write(_head(script))
        for wait_s, piece in script.pieces:
            await asyncio.sleep(wait_s)
            await self._write(piece if script.length is not None else b"%x\r\n%b\r\n" % (len(piece), piece))
            if seen is not None:
                seen.sent_bytes += len(piece)
        if script.stop == "end":
            await self._write(b"" if script.length is not None else b"0\r\n\r\n")
        elif script.stop == "cut":
            self.transport.close()
        elif script.stop == "reset":
            await self._reset()
        else:
            await asyncio.get_running_loop().create_future()  # until the client leaves

    async def _write(self, data: bytes) -> None:
        self.transport.write(data)
        await self._writable.wait()

    async def _reset(self) -> None:
        """RST, which takes with it what the client's machine has not got yet: that is waited for, but not for ever."""
        sock = self.transport.get_extra_info("socket")
        for _ in range(_RESET_LOOKS):
            if not _unsent_bytes(sock.fileno()):
                break
            await asyncio.sleep(0.001)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _refuse(self, error: HooshError) -> None:
        if self.transport.is_closing():
            return
        script = refusal(error)
        self.transport.write(_head(script) + b"".join(piece for _, piece in script.pieces))
        self.transport.close()


def _unsent_bytes(fd: int) -> int:
    """What the other side has not acknowledged (SIOCOUTQ of tcp(7)); 0 where the system does not say."""
    try:
        (count,) = struct.unpack("i", fcntl.ioctl(fd, termios.TIOCOUTQ, b"\0" * 4))
    except OSError:
        return 0
    return int(count)


def _head(script: Script) -> bytes:
    lines = b"".join([b"%b: %b\r\n" % header for header in script.headers])
    framing = b"transfer-encoding: chunked" if script.length is None else b"content-length: %d" % script.length
    return b"HTTP/1.1 %d \r\n%b%b\r\n\r\n" % (script.status, lines, framing)


def _page(body: bytes) -> Script:
    headers = ((b"content-type", b"application/json"),)
    return Script(status=200, stop="end", headers=headers, pieces=((0.0, body),), length=len(body))


def _shown(record: Record) -> dict[str, object]:
    names = ("id", "provider", "method", "url_path", "status", "stream", "end")
    return {name: getattr(record, name) for name in names}
