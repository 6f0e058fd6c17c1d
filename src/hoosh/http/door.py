"""The listening side: uvicorn's HTTP/1.1 protocol with the limits that it lacks.

It bounds what a head may take (bytes and seconds, so that a half-sent head cannot hold a connection for ever) and
answers what is not HTTP with an error object. llhttp refuses two Content-Lengths, a Content-Length beside
Transfer-Encoding, bare CR and obsolete folding by itself.
"""

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from hoosh.core.errors import BadRequest, HooshError, RequestTimeout, TooLarge
from hoosh.dialects.openai_chat import DIALECT
from hoosh.http.request import LEAVING, Listeners, new_id

REASONS = {400: b"Bad Request", 408: b"Request Timeout", 431: b"Request Header Fields Too Large"}


class HeadTooLarge(TooLarge):
    status = 431
    code = "request_headers_too_large"


class DoorSettings(msgspec.Struct, frozen=True, kw_only=True):
    head_limit_bytes: int = 32 << 10
    head_timeout_s: float = 10.0
    body_timeout_s: float = 60.0

    def protocol(self) -> "Callable[..., Door]":
        """For uvicorn.Config(http=...)."""
        return partial(Door, self)


class Door(HttpToolsProtocol):
    """A request that comes in one piece, as most do, costs no timer."""

    def __init__(
        self,
        settings: DoorSettings,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        **more: object,
    ) -> None:
        super().__init__(config, server_state, app_state, **more)  # type: ignore[arg-type]
        self._settings = settings
        self._head_bytes = 0
        self._late: asyncio.TimerHandle | None = None
        self._in_head = True
        self._in_body = False
        self._refused = False
        self._listeners: Listeners = set()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._late = self.loop.call_later(self._settings.head_timeout_s, self._is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)
        for listener in tuple(self._listeners):
            listener()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        settings = self._settings
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head:
            if self._in_body and self._late is None:
                self._late = self.loop.call_later(settings.body_timeout_s, self._is_late)
        elif self._head_bytes:
            if self._head_bytes > settings.head_limit_bytes:
                self._refuse(HeadTooLarge(f"the request head is larger than {settings.head_limit_bytes} bytes"))
            elif self._late is None:
                self._late = self.loop.call_later(settings.head_timeout_s, self._is_late)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._in_body = True
        self._head_bytes = 0
        self._stop_timer()
        self.scope[LEAVING] = self._listeners  # type: ignore[literal-required]
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        self._in_body = False
        self._stop_timer()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadRequest(f"this is not a valid HTTP/1.1 request: {msg.lower().rstrip('.')}"))

    def _is_late(self) -> None:
        self._late = None
        if self._in_body and self.cycle.response_started:
            self.transport.close()  # the answer came before the whole body
            return
        what, limit_s = (
            ("body", self._settings.body_timeout_s) if self._in_body else ("head", self._settings.head_timeout_s)
        )
        self._refuse(RequestTimeout(f"the request {what} did not arrive within {limit_s:g} s"))

    def _stop_timer(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _refuse(self, error: HooshError) -> None:
        self._stop_timer()
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        call_id = new_id()
        body = DIALECT.fault(error, call_id)
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"x-request-id: %b\r\nconnection: close\r\n\r\n%b"
            % (error.status, REASONS[error.status], len(body), call_id.encode(), body)
        )
        self.transport.close()
