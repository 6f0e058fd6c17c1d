"""How a call is made: on a kept connection or a new one, with retries where they are safe, closed whatever happens.

A request is sent again only if the first one was not acted on: no connection came about, or the server refused with 429
or 503 and said when to come back. A call that is `safe` is also repeated when its connection ended without a reply. The
request keeps its `x-request-id`, so that the server can tell.
"""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TypeVar

from hoosh import __version__
from hoosh.client.calls import Call
from hoosh.client.errors import APIConnectionError, APIError, APIStatusError, APITimeoutError, refusal
from hoosh.client.network import Link, Network, Untrusted
from hoosh.client.settings import Settings
from hoosh.client.types import Reply
from hoosh.client.wire import LAST_CHUNK, BadReply, ReplyParser, chunk, head

T = TypeVar("T")

MAX_IDLE_LINKS = 16
PIECE_BYTES = 64 << 10
MAX_FILE_BYTES = 1 << 62
# The first retry comes after about half a second, each further one after twice that. A server that wants to be left
# alone for longer than a minute has said no.
BACKOFF_S = 0.5
MAX_WAIT_S = 60.0


class Exchange:
    """A reply whose head is here; its body is read piece by piece."""

    def __init__(self, caller: "Caller", link: Link, parser: ReplyParser, first: bytes, request_id: str) -> None:
        self.request_id = parser.headers.get("x-request-id") or request_id
        self.reply = Reply(parser.status, parser.headers)
        self._caller = caller
        self._link: Link | None = link
        self._parser = parser
        self._waiting = first

    async def read(self) -> bytes:
        """b"" at the end of a whole body. Raises: APIConnectionError; whatever is raised, the connection is closed."""
        data, self._waiting = self._waiting, b""
        try:
            while not data and not self._parser.complete:
                data = await self._caller.more(self._open_link(), self._parser)
        except APIError as error:
            error.request_id = self.request_id
            self.close()
            raise
        except BaseException:
            self.close()
            raise
        return data

    async def whole(self) -> Reply:
        pieces = []
        while piece := await self.read():
            pieces.append(piece)
        self.close()
        return Reply(self.reply.status, self.reply.headers, b"".join(pieces))

    def _open_link(self) -> Link:
        if self._link is None:
            raise APIConnectionError("the reply was closed")
        return self._link

    def close(self) -> None:
        """The connection is kept if the reply is whole, else closed at once."""
        link, self._link = self._link, None
        if link is not None and self._parser.complete and self._parser.keep:
            self._caller.keep(link)
        elif link is not None:
            link.abort()


class Caller:
    """Connections of one gateway. Threads may share it: each takes a connection of its own (list.pop is atomic)."""

    def __init__(self, settings: Settings, network: Network) -> None:
        self.settings = settings
        self._network = network
        self._idle: list[Link] = []
        self._closed = False

    async def fetch(self, call: Call[T]) -> T:
        """Raises: APIError; OSError of a file that is to be sent."""
        exchange = await self.open(call)
        return call.read(await exchange.whole())

    async def open(self, call: Call[T]) -> Exchange:
        """Until the head of a reply that is no refusal. Raises as `fetch`."""
        headers = {
            "x-request-id": os.urandom(16).hex(),
            "user-agent": f"hoosh-python/{__version__}",
            **self.settings.headers,
            **call.headers,
        }
        attempt = 0
        while True:
            try:
                return await self._once(call, headers)
            except APIError as error:
                error.request_id = error.request_id or headers["x-request-id"]
                wait_s = self._wait_s(error, call, attempt)
                if wait_s is None:
                    raise
            await self._network.sleep(wait_s)
            attempt += 1

    async def more(self, link: Link, parser: ReplyParser) -> bytes:
        """What the next bytes bring of the body. Raises: APIConnectionError."""
        try:
            data = await link.receive()
            if data:
                return parser.feed(data)
            parser.eof()
        except TimeoutError:
            raise APITimeoutError(f"{self.settings.url} was silent for {self.settings.timeouts.read_s:g} s") from None
        except (OSError, BadReply) as error:
            raise APIConnectionError(f"{self.settings.url}: {error}") from error
        return b""

    def keep(self, link: Link) -> None:
        if len(self._idle) < MAX_IDLE_LINKS:
            self._idle.append(link)
        else:
            link.abort()
        if self._closed:
            self.close()

    def close(self) -> None:
        """Idle connections now, the others when their calls end."""
        self._closed = True
        while self._idle:
            self._idle.pop().abort()

    async def _once(self, call: Call[T], headers: Mapping[str, str]) -> Exchange:
        link = await self._connected()
        try:
            async with aclosing(self._request(call, headers)) as pieces:
                await self._send(link, pieces)
            parser, first = ReplyParser(), b""
            while not parser.headed:
                first += await self.more(link, parser)
        except BaseException:
            link.abort()
            raise
        exchange = Exchange(self, link, parser, first, headers["x-request-id"])
        if parser.status < 300:
            return exchange
        reply = await exchange.whole()
        raise refusal(reply.status, reply.headers, reply.body)

    async def _connected(self) -> Link:
        if self._closed:
            raise RuntimeError("the client is closed")
        while self._idle:
            try:
                link = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if link.is_idle():
                return link
            link.abort()
        try:
            return await self._network.connect(self.settings)
        except TimeoutError:
            message = f"cannot reach {self.settings.url} within {self.settings.timeouts.connect_s:g} s"
            raise APITimeoutError(message, sent=False, lasting=True) from None
        except OSError as error:
            lasting = isinstance(error, Untrusted)
            raise APIConnectionError(
                f"cannot reach {self.settings.url}: {error}", sent=False, lasting=lasting
            ) from error

    async def _send(self, link: Link, pieces: AsyncGenerator[bytes, None]) -> None:
        """A server that refuses closes before all is sent; its reply, which is read next, says why."""
        async for piece in pieces:
            try:
                await link.send(piece)
            except TimeoutError:
                message = f"{self.settings.url} took nothing for {self.settings.timeouts.read_s:g} s"
                raise APITimeoutError(message) from None
            except OSError:
                return

    async def _request(self, call: Call[T], headers: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        body = call.body
        if isinstance(body, bytes):
            yield head(self.settings, call.method, call.path, headers, len(body)) + body
            return
        with body.opened() as (file, size):
            yield head(self.settings, call.method, call.path, headers, body.length(size))
            frame = chunk if size is None else bytes
            yield frame(body.head)
            left = MAX_FILE_BYTES if size is None else size
            while left and (piece := await self._network.read(file, min(PIECE_BYTES, left))):
                left -= len(piece)
                yield frame(piece)
            if left and size is not None:
                raise OSError("the file has become shorter while it was sent")
            yield frame(body.tail)
            if size is None:
                yield LAST_CHUNK

    def _wait_s(self, error: APIError, call: Call[T], attempt: int) -> float | None:
        """How long until the next attempt; None if there is none."""
        if attempt >= self.settings.max_retries or not call.repeatable:
            return None
        if isinstance(error, APIStatusError):
            told_s = error.retry_after_s
            return told_s if error.status in (429, 503) and told_s is not None and told_s <= MAX_WAIT_S else None
        if not isinstance(error, APIConnectionError) or error.lasting:
            return None
        if error.sent and (not call.safe or isinstance(error, APITimeoutError)):
            return None
        return BACKOFF_S * 2.0**attempt * (0.75 + os.urandom(1)[0] / 512)
