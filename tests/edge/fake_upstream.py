"""A provider made of bytes: each connection plays a script, and what the client did is kept.

    async with FakeUpstream([Expect(), Send(b"HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\n\\r\\n")]) as upstream:
        ...                                  # talk to upstream.url
        assert upstream.requests[0].path == b"/v1/models"

The n-th connection plays the n-th script; connections beyond the last play the last again. At a script's end the
connection is held until it ends (`Peer.gone` is then set). Everything runs on the caller's loop.
"""

import asyncio
import socket
import ssl
import struct
import subprocess
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeAlias

import uvloop

PATIENCE_S = 60.0
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


class Raw(Protocol):
    """What this file needs of a socket: uvloop's stand-in has it as well."""

    def setsockopt(self, level: int, option: int, value: bytes, /) -> None: ...


@dataclass(frozen=True)
class Request:
    method: bytes
    path: bytes
    headers: dict[bytes, bytes]
    body: bytes
    head: bytes


@dataclass
class Peer:
    """One accepted connection. `gone`: the client has closed it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    requests: list[Request] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def unsent_bytes(self) -> int:
        return self.writer.transport.get_write_buffer_size()

    async def send(self, data: bytes) -> None:
        """Waits while the client does not read."""
        if self.writer.is_closing():
            raise ConnectionResetError
        self.writer.write(data)
        await self.writer.drain()


Action: TypeAlias = Callable[[Peer], Awaitable[None]]
Script: TypeAlias = Sequence[Action]


@dataclass(frozen=True)
class Expect:
    """Wait for one whole request and keep it."""

    async def __call__(self, peer: Peer) -> None:
        head = await peer.reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].split(b"\r\n")
        method, path, _ = first.split(b" ")
        headers = {name: value for name, _, value in (line.partition(b": ") for line in lines)}
        body = await peer.reader.readexactly(int(headers.get(b"content-length", b"0")))
        peer.requests.append(Request(method, path, headers, body, head))


@dataclass(frozen=True)
class Send:
    """All in one write; does not wait for the client to read."""

    data: bytes

    async def __call__(self, peer: Peer) -> None:
        peer.writer.write(self.data)


@dataclass(frozen=True)
class SendPieces:
    """Each piece in a write and a turn of the loop of its own, so that they (mostly) arrive apart."""

    pieces: Sequence[bytes]

    async def __call__(self, peer: Peer) -> None:
        for piece in self.pieces:
            await peer.send(piece)
            await asyncio.sleep(0)
            await asyncio.sleep(0)


@dataclass(frozen=True)
class SendForever:
    """The same piece until the client is gone, never more unsent than the transport's high-water mark."""

    data: bytes

    async def __call__(self, peer: Peer) -> None:
        while True:
            await peer.send(self.data)


@dataclass(frozen=True)
class Stall:
    """Until told."""

    until: asyncio.Event

    async def __call__(self, peer: Peer) -> None:
        await self.until.wait()


@dataclass(frozen=True)
class Tell:
    event: asyncio.Event

    async def __call__(self, peer: Peer) -> None:
        self.event.set()


@dataclass(frozen=True)
class Close:
    """FIN, after all that was written (with TLS: close_notify first)."""

    async def __call__(self, peer: Peer) -> None:
        peer.writer.close()


@dataclass(frozen=True)
class Rst:
    """What was written is on the wire, then RST."""

    async def __call__(self, peer: Peer) -> None:
        while peer.unsent_bytes:
            await asyncio.sleep(0)
        sock: Raw = peer.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.writer.transport.abort()


@dataclass(frozen=True)
class Certificates:
    """PEM files in `folder`. `server` is for the names api.test and localhost and for 127.0.0.1, `other` for
    other.test alone; `stranger` is a CA that signed neither.
    """

    folder: Path

    @property
    def ca(self) -> str:
        return str(self.folder / "ca.pem")

    @property
    def stranger(self) -> str:
        return str(self.folder / "stranger.pem")

    def for_server(self, name: str = "server") -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{name}.pem")
        context.set_alpn_protocols(["http/1.1"])
        return context


def make_certificates(folder: Path) -> Certificates:
    """By the `openssl` program."""

    def openssl(words: str) -> None:
        command = ["openssl", *words.split()]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=PATIENCE_S)

    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    for name in ("ca", "stranger"):
        usage = "-addext keyUsage=critical,keyCertSign,cRLSign"  # strict verification (CPython 3.13) wants it
        openssl(f"req -x509 {key} {usage} -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem")
    for name, names in (("server", "DNS:api.test,DNS:localhost,IP:127.0.0.1"), ("other", "DNS:other.test")):
        (folder / f"{name}.txt").write_text(f"subjectAltName={names}\nauthorityKeyIdentifier=keyid\n")
        openssl(f"req {key} -subj /CN={name} -keyout {name}.key -out {name}.csr")
        openssl(
            f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile {name}.txt -out {name}.crt"
        )
        (folder / f"{name}.pem").write_bytes(
            (folder / f"{name}.crt").read_bytes() + (folder / f"{name}.key").read_bytes()
        )
    return Certificates(folder)


class FakeUpstream:
    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self._scripts = scripts
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.peers: list[Peer] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[Request]:
        return [request for peer in self.peers for request in peer.requests]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        await _turns()  # what is being accepted becomes a peer: asyncio loses it when the server is closed meanwhile
        self._server.close()
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for peer in self.peers:
            peer.writer.transport.abort()
        await _turns()
        if error is None:
            for result in results:
                if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                    raise result

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        script = self._scripts[min(len(self.peers), len(self._scripts) - 1)]
        self.peers.append(peer)
        self._tasks.add(asyncio.ensure_future(self._play(peer, script)))

    async def _play(self, peer: Peer, script: Script) -> None:
        try:
            for action in script:
                await action(peer)
            while await peer.reader.read(1 << 16):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            peer.gone.set()


async def _turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def eventually(holds: Callable[[], bool]) -> None:
    """Turn the loop until it holds; fail after a generous while."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.001)


def run_on(loop: Callable[[], asyncio.AbstractEventLoop], main: Coroutine[object, object, None]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main)
