"""The blocking client. Threads may share one: each call has a connection of its own."""

import os
import socket
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, Self, TypeVar

from hoosh.client import calls
from hoosh.client.calls import Call
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

RECEIVE_BYTES = 64 << 10


class HooshClient:
    """`base_url` and `api_key` default to $HOOSH_URL and $HOOSH_API_KEY, the model of a call to $HOOSH_MODEL.

    `headers` go with every request: an `x-api-key` or `authorization` there takes the place of the bearer token.
    `max_retries` 0 turns retries off. `tls` replaces the system's trusted certificates.
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
        self._caller = Caller(resolve(options, os.environ), BlockingNetwork(tls))
        self.tokens = Tokens(self._caller)

    @property
    def base_url(self) -> str:
        return self._caller.settings.url

    def chat(
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
        return self._fetch(calls.chat(body, headers))

    def stream(
        self,
        prompt: str = "",
        *,
        system: str = "",
        messages: Sequence[Fields] = (),
        model: str | None = None,
        headers: Fields | None = None,
        **fields: object,
    ) -> "ChatStream":
        """As `chat`, in pieces. Use it in a `with`: leaving it early closes the connection."""
        body = calls.asked(model or self._caller.settings.model, calls.turns(system, messages, prompt), fields)
        return ChatStream(self._caller, calls.streamed(body, headers))

    def embeddings(
        self,
        inputs: str | Sequence[str],
        *,
        model: str | None = None,
        dimensions: int | None = None,
        **fields: object,
    ) -> Embeddings:
        body = {"model": model or self._caller.settings.model, "input": inputs, "dimensions": dimensions, **fields}
        return self._fetch(calls.embeddings(body))

    def transcribe(
        self,
        audio: Source,
        *,
        model: str | None = None,
        language: str | None = None,
        filename: str | None = None,
        part: str = "file",
        **fields: object,
    ) -> Transcript:
        """`audio`: a path, the bytes, or an open binary file; it is sent as it is read."""
        form = Form(audio, part, filename, {"model": model, "language": language, **fields})
        return self._fetch(calls.transcribe(form))

    def models(self) -> tuple[Model, ...]:
        return self._fetch(calls.models()).data

    def model(self, name: str) -> Model:
        return self._fetch(calls.model(name))

    def health(self) -> Health:
        return self._fetch(calls.health())

    def is_up(self) -> bool:
        """Whether a gateway answers; never raises APIError."""
        try:
            self.health()
        except APIError:
            return False
        return True

    def provider_health(self) -> tuple[ProviderHealth, ...]:
        return self._fetch(calls.provider_health()).providers

    def get(self, path: str) -> JSON:
        """Any other endpoint."""
        return self._fetch(calls.get(path, calls.read_json))

    def post(self, path: str, value: Fields) -> JSON:
        return self._fetch(calls.post(path, value, calls.read_json))

    def _fetch(self, call: Call[T]) -> T:
        return _now(self._caller.fetch(call))

    def close(self) -> None:
        self._caller.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Tokens:
    """Token pools. `fields`: what else the gateway takes, such as `project` or `ttl_seconds`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def check(self, pool: str, tokens: int, **fields: object) -> Check:
        return self._fetch(calls.check({"pool": pool, "tokens": tokens, **fields}))

    def reserve(self, pool: str, tokens: int, **fields: object) -> Reserved:
        """A refusal is an answer (`reserved` False), no error."""
        return self._fetch(calls.reserve({"pool": pool, "tokens": tokens, **fields}))

    def report(self, pool: str, **fields: object) -> Reported:
        """With `reservation_id` and `actual`, or `reserved` and `actual`, or `tokens` for use without a hold."""
        return self._fetch(calls.report({"pool": pool, **fields}))

    def release(self, pool: str, **fields: object) -> Released:
        return self._fetch(calls.release({"pool": pool, **fields}))

    def pools(self) -> tuple[Pool, ...]:
        return self._fetch(calls.pools()).pools

    def pool(self, name: str) -> Pool:
        return self._fetch(calls.pool(name))

    @contextmanager
    def reservation(self, pool: str, tokens: int, **fields: object) -> Iterator[Reservation]:
        """Hold tokens for the time of a `with`. Raises: BudgetExceededError.

        At its end what was used (`Reservation.use`) is reported; if it fails before anything was, the hold is released.
        """
        held = Reservation(pool, tokens, self.reserve(pool, tokens, **fields), fields)
        try:
            yield held
        except BaseException as error:
            try:
                self._fetch(held.settlement(failed=True))
            except APIError as second:
                error.add_note(f"and the reservation stays until it expires: {second}")
            raise
        self._fetch(held.settlement(failed=False))

    def _fetch(self, call: Call[T]) -> T:
        return _now(self._caller.fetch(call))


class ChatStream(Streaming):
    """Iterate over it for the pieces."""

    def __enter__(self) -> Self:
        _now(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Piece:
        piece = _now(self._next())
        if piece is None:
            raise StopIteration
        return piece

    def close(self) -> None:
        """Also from another thread: the one that reads gets an APIStreamError."""
        self._close()


def _now(coroutine: Coroutine[object, None, T]) -> T:
    """The result of a coroutine that never suspends, since all that it awaits at the bottom is below."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("a blocking call was suspended")


class BlockingNetwork:
    def __init__(self, tls: "SSLContext | None") -> None:
        self._tls = tls

    async def connect(self, settings: Settings) -> Link:
        timeouts = settings.timeouts
        sock = socket.create_connection((settings.host, settings.port), timeouts.connect_s)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return self._secured(sock, settings) if settings.secure else BlockingLink(sock, timeouts, BlockingIOError)
        except BaseException:
            sock.close()
            raise

    def _secured(self, sock: socket.socket, settings: Settings) -> "BlockingLink":
        import ssl  # noqa: PLC0415 - 10 ms that plain HTTP does not need

        if self._tls is None:
            self._tls = ssl.create_default_context()
        try:
            secured = self._tls.wrap_socket(sock, server_hostname=settings.host)
        except ssl.SSLError as error:
            raise Untrusted(str(error)) from error
        return BlockingLink(secured, settings.timeouts, ssl.SSLWantReadError)

    async def read(self, file: BinaryIO, size_bytes: int) -> bytes:
        return file.read(size_bytes)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - this network blocks, as its caller wants


class BlockingLink:
    """`nothing` is what reading raises when nothing has come."""

    def __init__(self, sock: socket.socket, timeouts: Timeouts, nothing: type[OSError]) -> None:
        self._sock = sock
        self._read_s = timeouts.read_s
        self._nothing = nothing
        sock.settimeout(timeouts.read_s)

    async def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    async def receive(self) -> bytes:
        return self._sock.recv(RECEIVE_BYTES)

    def is_idle(self) -> bool:
        self._sock.settimeout(0)
        try:
            self._sock.recv(1)
        except OSError as error:
            return isinstance(error, self._nothing)
        finally:
            self._sock.settimeout(self._read_s)
        return False

    def abort(self) -> None:
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)  # wakes a thread that reads; close alone does not
        self._sock.close()
