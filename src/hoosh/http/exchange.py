"""One request, and the way to answer it: what an endpoint sees of HTTP."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from hoosh.core.errors import HooshError, TooLarge
from hoosh.core.principal import NOBODY
from hoosh.dialects import ClientDialect
from hoosh.http.request import Limits, id_given, new_id, token_of

HeaderList = Sequence[tuple[bytes, bytes]]
_encode = msgspec.json.Encoder().encode


class Wire(Protocol):
    """The connection that a request came by. It knows how a reply is framed; an endpoint does not.

    A reply is `whole`, or it is `begin`, any number of `write`, and `end`. `is_slow` while the client reads more
    slowly than it is written to: then `drained` waits until it has caught up.
    """

    @property
    def is_slow(self) -> bool: ...

    @property
    def peer(self) -> str:
        """The address at the other end, "" where it has none (a UNIX socket)."""

    async def read(self) -> bytes:
        """The next piece of the request's body, b"" at its end."""

    def whole(self, status: int, headers: HeaderList, body: bytes) -> None: ...

    def begin(self, status: int, headers: HeaderList, data: bytes) -> None:
        """The head and the first piece, in one."""

    def write(self, data: bytes) -> None: ...

    def end(self, data: bytes) -> None: ...

    async def drained(self) -> None: ...


class Sink(Protocol):
    """What is needed of http.sink.ReplySink."""

    def break_off(self, error: HooshError) -> None: ...


class MemoryWire:
    """A wire that ends in this process: it brings `body`, and `status` and `said` are the reply."""

    is_slow = False
    peer = ""

    def __init__(self, body: bytes = b"") -> None:
        self._body = body
        self.status = 0
        self.said = b""

    async def read(self) -> bytes:
        body, self._body = self._body, b""
        return body

    def whole(self, status: int, headers: HeaderList, body: bytes) -> None:
        self.begin(status, headers, body)

    def begin(self, status: int, headers: HeaderList, data: bytes) -> None:  # noqa: ARG002 - only the body is wanted
        self.status = status
        self.said = data

    def write(self, data: bytes) -> None:
        self.said += data

    def end(self, data: bytes) -> None:
        self.said += data

    async def drained(self) -> None:
        """Memory is never slow."""


class Exchange:
    """`headers` has lower-case names; `path` is percent-decoded, without the query. `id` is what the client calls the
    request, `own_id` what nobody else could have chosen. `principal` is whose key it is: nobody's, who may do nothing,
    until the route was found and the key was asked for.

    The task that serves it is cancelled when the client leaves before the reply is complete.
    """

    __slots__ = (
        *("backing", "error", "headers", "id", "method", "own_id", "path", "principal", "query", "route"),
        *("sink", "tail", "tells", "token", "wire"),
    )

    def __init__(self, method: str, path: str, headers: Mapping[bytes, bytes], wire: Wire, query: bytes = b"") -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.wire = wire
        self.own_id = new_id()
        self.id = id_given(headers) or self.own_id
        self.token = token_of(headers, query)
        self.tells: Callable[[], HeaderList] | None = None  # what each reply says of its caller's limits, at that time
        self.principal = NOBODY
        self.sink: Sink | None = None  # of a call's answer, once there is one
        self.backing = ""  # what was set aside for it before, if anything
        self.tail = ""  # what a route ending in "/*" matched there
        self.route = ""  # the name of the one that was found
        self.error: HooshError | None = None  # what the client was told went wrong

    @property
    def place(self) -> str:
        """What follows the route's path, with the query."""
        return f"{self.tail}?{self.query.decode('latin-1')}" if self.query else self.tail

    async def body(self, limits: Limits) -> bytes:
        """Raises TooLarge (from the length alone where it is told). Its time is bounded by the door."""
        length = self.headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > limits.body_limit_bytes:
            raise _too_large(limits)
        parts: list[bytes] = []
        size_bytes = 0
        while piece := await self.wire.read():
            parts.append(piece)
            size_bytes += len(piece)
            if size_bytes > limits.body_limit_bytes:
                raise _too_large(limits)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def answer(self, value: object, status: int = 200) -> None:
        await self.reply(status, _encode(value), b"application/json", ())

    async def refuse(self, error: HooshError, dialect: ClientDialect, *headers: tuple[bytes, bytes]) -> None:
        self.error = error
        body = dialect.fault(error, self.id)
        await self.reply(error.status, body, b"application/json", (*error_headers(error), *headers))

    def break_off(self, error: HooshError, dialect: ClientDialect) -> None:
        """The answer ends here. Nothing awaits: who was asking is cancelled."""
        self.error = error
        if self.sink is not None:
            self.sink.break_off(error)
        else:
            headers = [*self.headed(b"application/json"), *error_headers(error)]
            self.wire.whole(error.status, headers, dialect.fault(error, self.id))

    async def reply(self, status: int, body: bytes, content_type: bytes, headers: HeaderList) -> None:
        self.wire.whole(status, [*self.headed(content_type), *headers], body)

    def headed(self, content_type: bytes) -> list[tuple[bytes, bytes]]:
        """What every reply says."""
        headers = [(b"content-type", content_type), (b"x-request-id", self.id.encode())]
        if self.tells is not None:
            headers += self.tells()
        return headers


def error_headers(error: HooshError) -> HeaderList:
    headers = []
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, -(-error.retry_after_s // 1))))
    if error.status == 401 and error.code == "invalid_api_key":
        headers.append((b"www-authenticate", b"Bearer"))
    if error.code == "insufficient_quota" or error.is_ambiguous:  # the SDKs of OpenAI and Anthropic ask again else
        headers.append((b"x-should-retry", b"false"))
    return headers


def _too_large(limits: Limits) -> TooLarge:
    return TooLarge(f"the request body is larger than {limits.body_limit_bytes} bytes", param="body")
