"""The client's end of a call over ASGI (ports.Sink)."""

from collections.abc import Awaitable, Callable, Sequence

from hoosh.core.errors import HooshError
from hoosh.dialects import JSON, ClientDialect

Message = JSON
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
HeaderList = Sequence[tuple[bytes, bytes]]


class ASGISink:
    """`started`: a status is on the wire. `closed`: the reply is complete; a client that leaves now misses nothing."""

    __slots__ = ("_content_type", "_dialect", "_headers", "_request_id", "_send", "closed", "started")

    def __init__(self, send: Send, dialect: ClientDialect, request_id: str) -> None:
        self._send = send
        self._dialect = dialect
        self._request_id = request_id
        self._content_type = b"application/json"
        self._headers: HeaderList = ()
        self.started = False
        self.closed = False

    def head(self, content_type: bytes, headers: HeaderList) -> None:
        self._content_type = content_type
        self._headers = headers

    async def write(self, data: bytes) -> None:
        if not self.started:
            await self._start(200, (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def close(self, data: bytes) -> None:
        if not self.started:
            await self._start(200, (b"content-length", b"%d" % len(data)))
        self.closed = True
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def fail(self, error: HooshError) -> None:
        if self.started:
            await self.close(self._dialect.fault_frame(error, self._request_id))
            return
        self._content_type = b"application/json"
        body = self._dialect.fault(error, self._request_id)
        await self._start(error.status, (b"content-length", b"%d" % len(body)), *error_headers(error))
        await self.close(body)

    async def _start(self, status: int, *more: tuple[bytes, bytes]) -> None:
        self.started = True
        headers = [
            (b"content-type", self._content_type),
            (b"x-request-id", self._request_id.encode()),
            *self._headers,
            *more,
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})


def error_headers(error: HooshError) -> list[tuple[bytes, bytes]]:
    headers = []
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, -(-error.retry_after_s // 1))))
    if error.status == 401 and error.code == "invalid_api_key":
        headers.append((b"www-authenticate", b"Bearer"))
    if error.code == "insufficient_quota":  # the SDKs of OpenAI and Anthropic take every 429 for a passing one else
        headers.append((b"x-should-retry", b"false"))
    return headers
