"""The listening side: uvicorn's HTTP/1.1 protocol with the limits that it lacks.

It bounds what a head may take (bytes and seconds, so that a half-sent head cannot hold a connection for ever) and
answers what is not HTTP with an error object. llhttp refuses two Content-Lengths, a Content-Length beside
Transfer-Encoding, bare CR and obsolete folding by itself.
"""

import asyncio
from typing import Any

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


def door(header_limit_bytes: int, header_timeout_s: float) -> type[asyncio.Protocol]:
    """A protocol class for uvicorn.Config(http=...)."""

    class Door(HttpToolsProtocol):
        def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], **more: Any) -> None:
            super().__init__(config, server_state, app_state, **more)
            self._head_bytes = 0
            self._head_timer: asyncio.TimerHandle | None = None
            self._in_head = True
            self._refused = False
            self._listeners: Listeners = set()

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._head_timer = self.loop.call_later(header_timeout_s, self._head_is_late)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)
            for listener in tuple(self._listeners):
                listener()

        def data_received(self, data: bytes) -> None:
            if self._refused:
                return
            if self._in_head:
                self._head_bytes += len(data)
                if self._head_timer is None:
                    self._head_timer = self.loop.call_later(header_timeout_s, self._head_is_late)
            super().data_received(data)
            # A body that came along with its head is not a head.
            if self._in_head and self._head_bytes > header_limit_bytes and not self.transport.is_closing():
                self._refuse(HeadTooLarge(f"the request head is larger than {header_limit_bytes} bytes"))

        def on_headers_complete(self) -> None:
            self._in_head = False
            self._head_bytes = 0
            self._stop_timer()
            self.scope[LEAVING] = self._listeners  # type: ignore[literal-required]
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._in_head = True
            super().on_message_complete()

        def send_400_response(self, msg: str) -> None:
            self._refuse(BadRequest(f"this is not a valid HTTP/1.1 request: {msg.lower().rstrip('.')}"))

        def _head_is_late(self) -> None:
            self._head_timer = None
            if not self.transport.is_closing():
                self._refuse(RequestTimeout(f"the request head did not arrive within {header_timeout_s:g} s"))

        def _stop_timer(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

        def _refuse(self, error: HooshError) -> None:
            self._stop_timer()
            if self._refused:
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

    return Door
