"""Recording: a transport that hands each exchange through as it is, and writes down what went by.

The exchange never waits for the recording: what goes by is gathered in memory up to a limit, and one thread makes it
a line and writes it. A line goes out in one write to a file opened for appending, so that several writers do not mix.
Only the file's owner may read it: prompts and answers are in it, keys are not (recordings.scrub).
"""

import asyncio
import logging
import os
import secrets
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import msgspec

from hoosh.core.errors import ConfigError, HooshError
from hoosh.core.wire import Timeouts, WireRequest
from hoosh.ports import Clock, Reply, Transport
from hoosh.recordings import scrub
from hoosh.recordings.match import value_of, wants_stream
from hoosh.recordings.record import NULL, End, Record, base64_text, json_or_none, text_or_none, to_line

log = logging.getLogger("hoosh.record")

LIMIT_BYTES = 8 << 20  # of one reply
MAX_PIECES = 100_000  # of one reply; what comes after them counts to the last
HELD_BYTES = 64 << 20  # of all exchanges that are under way or wait for the disk
_TAPE_BYTES = 1024  # what an exchange without any body takes
_STREAMS = ("text/event-stream", "application/x-ndjson")


class Tape(msgspec.Struct, kw_only=True):
    """One exchange, as it goes by. `pieces` are waits in nanoseconds and sizes."""

    provider: str
    base_url: str
    request: WireRequest
    time_ms: int
    at_ns: int
    limit_bytes: int
    status: int = 0
    headers: dict[bytes, bytes] = {}
    data: list[bytes] = []
    size_bytes: int = 0
    pieces: list[tuple[int, int]] = []
    end: End = "aborted"
    cut: bool = False
    error: str = ""

    def room_for(self, piece: bytes) -> bytes:
        """What of it is to be kept: nothing after the first byte that was not."""
        return b"" if self.cut else piece[: self.limit_bytes - self.size_bytes]

    def note(self, piece: bytes, now_ns: int) -> None:
        self.data.append(piece)
        self.size_bytes += len(piece)
        if len(self.pieces) < MAX_PIECES:
            self.pieces.append((now_ns - self.at_ns, len(piece)))
        else:
            wait_ns, size = self.pieces[-1]
            self.pieces[-1] = (wait_ns, size + len(piece))
        self.at_ns = now_ns

    @property
    def held_bytes(self) -> int:
        return self.size_bytes + len(self.request.body) + _TAPE_BYTES

    def fail(self, error: BaseException) -> None:
        """A cancel and the like leave it aborted."""
        if isinstance(error, HooshError):
            self.end = "truncated" if self.status else "failed"
            self.error = type(error).__name__

    def record(self) -> Record:
        """Without secrets."""
        request = self.request
        hidden = scrub.secrets_in(request.headers)
        base_url, host = scrub.address(self.base_url)
        path = scrub.path_and_query(request.path)
        asked, said = scrub.mask(request.body, hidden), scrub.mask(b"".join(self.data), hidden)
        asked_json, said_text = json_or_none(asked) if asked else None, text_or_none(said)
        headers = scrub.response_headers(self.headers)
        kind = headers.get("content-type", "").partition(";")[0].strip()
        return Record(
            id=f"{self.provider}-{secrets.token_hex(6)}",
            provider=self.provider,
            url_path=urlsplit(base_url).path + path,
            status=self.status,
            method=request.method.decode("ascii"),
            time_ms=self.time_ms,
            base_url=base_url,
            host=host,
            request_headers=scrub.request_headers(request.headers),
            request_body=asked_json or NULL,
            request_body_base64=base64_text(asked) if asked and asked_json is None else None,
            response_headers=headers,
            response_body=said_text,
            response_body_base64=base64_text(said) if said_text is None else None,
            stream=kind in _STREAMS or (self.status == 200 and wants_stream(path, value_of(asked))),
            pieces=tuple((wait_ns // 1000, size) for wait_ns, size in self.pieces),
            end=self.end,
            cut=self.cut,
            error=self.error,
        )


class RecordingFile:
    """`lost` counts exchanges that there was no memory or no disk for. Raises ConfigError if it cannot be written."""

    def __init__(self, path: Path, limit_bytes: int = HELD_BYTES) -> None:
        self._fd = _open(path)
        self._thread = ThreadPoolExecutor(1, "hoosh-record")
        self._lock = threading.Lock()
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._torn = False
        self._closed = False
        self.path = path
        self.written = 0
        self.lost = 0

    def begin(self, tape: Tape) -> bool:
        """False where it must go unrecorded. What has begun must be `put`."""
        if self._hold(tape.held_bytes):
            return True
        self._lose("too much is under way, or the disk is slower than the traffic")
        return False

    def keep(self, tape: Tape, piece: bytes, now_ns: int) -> None:
        """Note the piece, or so much of it as there is room for."""
        kept = tape.room_for(piece)
        if not self._hold(len(kept)):
            kept = b""
        if kept:
            tape.note(kept, now_ns)
        if len(kept) < len(piece):
            tape.cut = True

    def put(self, tape: Tape) -> None:
        """Never waits."""
        if self._closed:
            self._lose("the recording has ended")
        else:
            self._thread.submit(self._write, tape)

    async def aclose(self) -> None:
        """Waits for what is queued; what is put after this is lost."""
        self._closed = True
        await asyncio.to_thread(self._thread.shutdown)
        os.close(self._fd)
        log.info("%d exchanges recorded to %s, %d lost", self.written, self.path, self.lost)

    def _write(self, tape: Tape) -> None:
        line = to_line(tape.record())
        data = b"\n" + line if self._torn else line
        try:
            while data:  # more than one write only where the disk is full or a signal came
                self._torn = True
                data = data[os.write(self._fd, data) :]
            self._torn = False
            self.written += 1
        except OSError as error:
            self._lose(str(error.strerror))
        self._hold(-tape.held_bytes)

    def _hold(self, size: int) -> bool:
        with self._lock:
            fits = self._held_bytes + size <= self._limit_bytes
            if fits:
                self._held_bytes += size
        return fits

    def _lose(self, why: str) -> None:
        with self._lock:
            self.lost += 1
            count = self.lost
        if count & (count - 1) == 0:  # the first, and then ever more seldom
            log.warning("%d exchanges not recorded: %s", count, why)


def _open(path: Path) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    try:
        fd = os.open(path, flags, 0o600)
    except OSError as error:
        raise ConfigError(f"cannot record to {path}: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ConfigError(f"cannot record to {path}: it is not a file")
    if hasattr(os, "fchmod"):  # it may have been there, and readable by others; Windows has no such bits
        os.fchmod(fd, 0o600)
    return fd


class RecordingTransport:
    """ports.Transport. `name_of` says which provider a request below a base URL goes to; "" leaves it unrecorded."""

    def __init__(
        self,
        inner: Transport,
        file: RecordingFile,
        name_of: Callable[[str, WireRequest], str],
        clock: Clock,
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        self._inner = inner
        self._file = file
        self._name_of = name_of
        self._clock = clock
        self._limit_bytes = limit_bytes

    def exchange(self, base_url: str, request: WireRequest, timeouts: Timeouts) -> AbstractAsyncContextManager[Reply]:
        inner = self._inner.exchange(base_url, request, timeouts)
        provider = self._name_of(base_url, request)
        if not provider:
            return inner
        tape = Tape(
            provider=provider,
            base_url=base_url,
            request=request,
            time_ms=self._clock.unix_s() * 1000,
            at_ns=self._clock.monotonic_ns(),
            limit_bytes=self._limit_bytes,
        )
        return _Taped(inner, tape, self._file, self._clock) if self._file.begin(tape) else inner


class _Taped:
    """An exchange that is recorded; entered, it is the ports.Reply. It adds no await to what it wraps."""

    __slots__ = ("_clock", "_file", "_inner", "_reply", "_tape", "headers", "status")
    status: int
    headers: dict[bytes, bytes]

    def __init__(
        self, inner: AbstractAsyncContextManager[Reply], tape: Tape, file: RecordingFile, clock: Clock
    ) -> None:
        self._inner = inner
        self._tape = tape
        self._file = file
        self._clock = clock

    async def __aenter__(self) -> Self:
        tape = self._tape
        try:
            reply = self._reply = await self._inner.__aenter__()
        except BaseException as error:
            tape.fail(error)
            self._file.put(tape)
            raise
        self.status = tape.status = reply.status
        self.headers = tape.headers = reply.headers
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._file.put(self._tape)
        return await self._inner.__aexit__(kind, error, trace)

    async def read(self) -> bytes:
        try:
            piece = await self._reply.read()
        except BaseException as error:
            self._tape.fail(error)
            raise
        if piece:
            self._file.keep(self._tape, piece, self._clock.monotonic_ns())
        else:
            self._tape.end = "complete"
        return piece
