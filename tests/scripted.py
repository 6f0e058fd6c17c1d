"""A server made of bytes, for clients that block as well as those that do not: each connection plays a script in a thread.

The n-th connection plays the n-th script, connections beyond the last play the last again. A script is a list of
replies: for each, one whole request is read and kept, then the bytes are sent. After the last the connection is held
until the client closes it (`Peer.gone`), or is closed where the script ends in CLOSE, or reset where it ends in RESET.
"""

import contextlib
import io
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

PATIENCE_S = 120.0
CLOSE = "close"
RESET = "reset"
Script = Sequence[bytes | str]


def reply(body: bytes, *headers: str, status: int = 200, content_type: str = "application/json") -> bytes:
    lines = (f"HTTP/1.1 {status} X", f"content-length: {len(body)}", f"content-type: {content_type}", *headers)
    return "\r\n".join([*lines, "", ""]).encode() + body


def events(*payloads: str, done: bool = True) -> bytes:
    """A chunked event stream; without `done` neither its terminator nor its last chunk."""
    text = "".join(f"data: {payload}\n\n" for payload in (*payloads, *(["[DONE]"] if done else []))).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n" % (len(text), text) + (b"0\r\n\r\n" if done else b"")


@dataclass
class Request:
    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Peer:
    requests: list[Request] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)


class Scripted:
    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self._scripts = scripts
        self._tls = tls
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._ended = False
        self.peers: list[Peer] = []
        self.accepted = threading.Condition()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._listening.getsockname()[1]}"

    @property
    def requests(self) -> list[Request]:
        return [request for peer in self.peers for request in peer.requests]

    def peer(self, n: int) -> Peer:
        """The n-th connection, once there is one."""
        with self.accepted:
            assert self.accepted.wait_for(lambda: len(self.peers) > n, PATIENCE_S)
        return self.peers[n]

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                if self._ended:
                    connection.close()
                    return
                connection.settimeout(PATIENCE_S)
                script = self._scripts[min(len(self.peers), len(self._scripts) - 1)]
                peer = Peer()
                self._open.append(connection)
                with self.accepted:
                    self.peers.append(peer)
                    self.accepted.notify_all()
                thread = threading.Thread(target=self._serve, args=(connection, script, peer), daemon=True)
                thread.start()
                self._threads.append(thread)

    def _serve(self, connection: socket.socket, script: Script, peer: Peer) -> None:
        with contextlib.suppress(OSError, EOFError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            _play(connection, script, peer)
        connection.close()
        peer.gone.set()

    def close(self) -> None:
        self._ended = True
        with contextlib.suppress(OSError):
            socket.create_connection(self._listening.getsockname(), 1).close()
        self._listening.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(PATIENCE_S)


def _play(connection: socket.socket, script: Script, peer: Peer) -> None:
    with connection.makefile("rb") as reading:
        for step in script:
            if step == CLOSE:
                return
            if step == RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            assert isinstance(step, bytes)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = reading.readline()
                if not line:
                    raise EOFError
                head += line
            first, *lines = head.decode("latin-1").rstrip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = (
                _chunks(reading)
                if "transfer-encoding" in headers
                else reading.read(int(headers.get("content-length", 0)))
            )
            peer.requests.append(Request(first, headers, body))
            peer.asked.set()
            connection.sendall(step)
        while reading.read(1):
            pass


def _chunks(reading: io.BufferedReader) -> bytes:
    body = b""
    while size := int(reading.readline(), 16):
        body += reading.read(size)
        reading.readline()
    reading.readline()
    return body


@contextlib.contextmanager
def scripted(*scripts: Script, tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    server = Scripted(*scripts, tls=tls)
    thread = threading.Thread(target=server.accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(PATIENCE_S)
