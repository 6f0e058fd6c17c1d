"""The asyncio client. A cancelled call closes its connection at once, which ends the answer at the gateway as well."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, Self, TypeVar

from hoosh.client import calls
from hoosh.client.errors import APIError
from hoosh.client.exchange import Caller
from hoosh.client.multipart import Form, Source
from hoosh.client.network import Link, Untrusted
from hoosh.client.reservation import Reservation
from hoosh.client.settings import Options, Settings, resolve
from hoosh.client.streaming import Streaming
from hoosh.client.types import (
    TIMEOUTS,
    Check,
    Completion,
    Embeddings,
    Fields,
    Health,
    Model,
    Piece,
    Pool,
    ProviderHealth,
    Released,
    Reported,
    Reserved,
    Timeouts,
    Transcript,
)
from hoosh.codecs.json import JSON

if TYPE_CHECKING:
    from ssl import SSLContext

T = TypeVar("T")

# Unread above this, the socket is not read.
BUFFER_BYTES = 256 << 10


class AsyncHooshClient:
    """As HooshClient, to be awaited. Connections belong to the event loop that opened them; on another, new ones are
    opened.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts = TIMEOUTS,
        max_retries: int = 2,
        tls: "SSLContext | None" = None,
    ) -> None:
        options = Options(
            base_url=base_url, api_key=api_key, headers=headers, timeouts=timeouts, max_retries=max_retries
        )
        self._caller = Caller(resolve(options, os.environ), LoopNetwork(tls))
        self.tokens = AsyncTokens(self._caller)

    @property
    def base_url(self) -> str:
        return self._caller.settings.url

    async def chat(
        self,
        prompt: str = "",
        *,
        system: str = "",
        messages: Sequence[Fields] = (),
        model: str | None = None,
        headers: Fields | None = None,
        **fields: object,
    ) -> Completion:
        """An answer to `messages`, or to `prompt` under `system`, or to both: system, messages, prompt.

        All else of OpenAI's request, and `pool`, goes in `fields` as it is.
        """
        body = calls.asked(model or self._caller.settings.model, calls.turns(system, messages, prompt), fields)
        return await self._caller.fetch(calls.chat(body, headers))

    def stream(
        self,
        prompt: str = "",
        *,
        system: str = "",
        messages: Sequence[Fields] = (),
        model: str | None = None,
        headers: Fields | None = None,
        **fields: object,
    ) -> "AsyncChatStream":
        """As `chat`, in pieces. Use it in an `async with`: leaving it early closes the connection."""
        body = calls.asked(model or self._caller.settings.model, calls.turns(system, messages, prompt), fields)
        return AsyncChatStream(self._caller, calls.streamed(body, headers))

    async def embeddings(
        self,
        inputs: str | Sequence[str],
        *,
        model: str | None = None,
        dimensions: int | None = None,
        **fields: object,
    ) -> Embeddings:
        body = {"model": model or self._caller.settings.model, "input": inputs, "dimensions": dimensions, **fields}
        return await self._caller.fetch(calls.embeddings(body))

    async def transcribe(
        self,
        audio: Source,
        *,
        model: str | None = None,
        language: str | None = None,
        filename: str | None = None,
        part: str = "file",
        **fields: object,
    ) -> Transcript:
        """`audio`: a path, the bytes, or an open binary file; it is sent as it is read, in a thread."""
        form = Form(audio, part, filename, {"model": model, "language": language, **fields})
        return await self._caller.fetch(calls.transcribe(form))

    async def models(self) -> tuple[Model, ...]:
        return (await self._caller.fetch(calls.models())).data

    async def model(self, name: str) -> Model:
        return await self._caller.fetch(calls.model(name))

    async def health(self) -> Health:
        return await self._caller.fetch(calls.health())

    async def is_up(self) -> bool:
        """Whether a gateway answers; never raises APIError."""
        try:
            await self.health()
        except APIError:
            return False
        return True

    async def provider_health(self) -> tuple[ProviderHealth, ...]:
        return (await self._caller.fetch(calls.provider_health())).providers

    async def get(self, path: str) -> JSON:
        """Any other endpoint."""
        return await self._caller.fetch(calls.get(path, calls.read_json))

    async def post(self, path: str, value: Fields) -> JSON:
        return await self._caller.fetch(calls.post(path, value, calls.read_json))

    async def close(self) -> None:
        self._caller.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._caller.close()


class AsyncTokens:
    """Token pools. `fields`: what else the gateway takes, such as `project` or `ttl_seconds`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def check(self, pool: str, tokens: int, **fields: object) -> Check:
        return await self._caller.fetch(calls.check({"pool": pool, "tokens": tokens, **fields}))

    async def reserve(self, pool: str, tokens: int, **fields: object) -> Reserved:
        """A refusal is an answer (`reserved` False), no error."""
        return await self._caller.fetch(calls.reserve({"pool": pool, "tokens": tokens, **fields}))

    async def report(self, pool: str, **fields: object) -> Reported:
        """With `reservation_id` and `actual`, or `reserved` and `actual`, or `tokens` for use without a hold."""
        return await self._caller.fetch(calls.report({"pool": pool, **fields}))

    async def release(self, pool: str, **fields: object) -> Released:
        return await self._caller.fetch(calls.release({"pool": pool, **fields}))

    async def pools(self) -> tuple[Pool, ...]:
        return (await self._caller.fetch(calls.pools())).pools

    async def pool(self, name: str) -> Pool:
        return await self._caller.fetch(calls.pool(name))

    @asynccontextmanager
    async def reservation(self, pool: str, tokens: int, **fields: object) -> AsyncIterator[Reservation]:
        """Hold tokens for the time of an `async with`. Raises: BudgetExceededError.

        At its end what was used (`Reservation.use`) is reported; if it fails before anything was, the hold is released.
        """
        held = Reservation(pool, tokens, await self.reserve(pool, tokens, **fields), fields)
        try:
            yield held
        except BaseException as error:
            try:
                await self._caller.fetch(held.settlement(failed=True))
            except APIError as second:
                error.add_note(f"and the reservation stays until it expires: {second}")
            raise
        await self._caller.fetch(held.settlement(failed=False))


class AsyncChatStream(Streaming):
    """Iterate over it with `async for` for the pieces."""

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Piece:
        piece = await self._next()
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def close(self) -> None:
        self._close()


class LoopNetwork:
    def __init__(self, tls: "SSLContext | None") -> None:
        self._tls = tls

    async def connect(self, settings: Settings) -> Link:
        tls = self._context() if settings.secure else None
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(settings.timeouts.connect_s):
            try:
                _, link = await loop.create_connection(
                    lambda: LoopLink(loop, settings.timeouts.read_s),
                    settings.host,
                    settings.port,
                    ssl=tls,
                    server_hostname=settings.host if tls else None,
                )
            except OSError as error:
                if tls is not None and _is_tls(error):
                    raise Untrusted(str(error)) from error
                raise
        return link

    async def read(self, file: BinaryIO, size_bytes: int) -> bytes:
        return await asyncio.to_thread(file.read, size_bytes)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def _context(self) -> "SSLContext":
        import ssl  # noqa: PLC0415 - plain HTTP does not need it

        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


def _is_tls(error: OSError) -> bool:
    import ssl  # noqa: PLC0415

    return isinstance(error, ssl.SSLError)


class LoopLink(asyncio.Protocol):
    _transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, read_s: float) -> None:
        self._loop = loop
        self._read_s = read_s
        self._waiting = bytearray()
        self._ended = False
        self._error: Exception | None = None
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    # Link

    async def send(self, data: bytes) -> None:
        self._check()
        self._transport.write(data)
        async with asyncio.timeout(self._read_s):
            await self._writable.wait()
        self._check()

    async def receive(self) -> bytes:
        async with asyncio.timeout(self._read_s):
            while not (self._waiting or self._ended):
                self._changed.clear()
                await self._changed.wait()
        if not self._waiting:
            self._check()
        data = bytes(self._waiting)
        self._waiting.clear()
        if not self._ended:
            self._transport.resume_reading()
        return data

    def is_idle(self) -> bool:
        return not self._ended and not self._waiting and self._loop is asyncio.get_running_loop()

    def abort(self) -> None:
        self._ended = True
        self._changed.set()
        with suppress(RuntimeError):  # its loop is closed
            self._transport.abort()

    def _check(self) -> None:
        if isinstance(self._error, OSError):
            raise self._error

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport  # uvloop's is no subclass of asyncio's, so it cannot be asked what it is

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        self._changed.set()
        if len(self._waiting) > BUFFER_BYTES:
            self._transport.pause_reading()

    def eof_received(self) -> None:
        self._ended = True
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._error = exc
        self._changed.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()
