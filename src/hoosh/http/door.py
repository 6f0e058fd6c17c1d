"""The listening side: one client's HTTP/1.1 connection (RFC 9112), driven by callbacks.

Its law: a request is answered once, in order, and never by guess. What llhttp refuses (two Content-Lengths, one
beside Transfer-Encoding, bare CR, obsolete folding) and what it lets pass but two servers could read in two ways ends
the connection with an error object. Any split of the bytes gives the same answers.

Its strategy: one task for each request, no timer (one for all connections looks at their deadlines), one write for a
reply. When the client leaves, the task is cancelled at once.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum
from math import inf

import httptools
import msgspec

from hoosh.core.errors import BadRequest, HooshError, RequestTimeout, ShuttingDown
from hoosh.core.turned_away import TurnedAway
from hoosh.dialects.openai_chat import DIALECT
from hoosh.http.exchange import Exchange
from hoosh.http.framing import ALONE, MAX_HEADERS, MAX_TARGET_BYTES, excess, flaw, framing, head_too_large
from hoosh.http.head import CLOSE, date_line, path_of, render
from hoosh.http.request import new_id
from hoosh.http.routes import Watcher
from hoosh.http.turn import Turn

Application = Callable[[Exchange], Awaitable[None]]
# Unread above this, the socket is not read.
BUFFER_BYTES = 64 << 10
# Requests that a client may send ahead of their answers; after these the connection ends (RFC 9112, section 9.3.2).
MAX_WAITING = 128
# A client that was told of an error may still be sending; closing at once would reset the connection under the answer.
LINGER_S = 2.0
# How long clients have to take the last words of a server that ends.
PARTING_S = 2.0
SWEEP_S = 0.25


class DoorSettings(msgspec.Struct, frozen=True, kw_only=True):
    head_limit_bytes: int = 32 << 10
    head_timeout_s: float = 10.0
    body_timeout_s: float = 60.0
    keep_alive_s: float = 75.0


class Stage(Enum):
    """What the connection waits for."""

    HEAD = "head"
    BODY = "body"
    REPLY = "reply"
    NEXT = "next"  # request, after a reply
    CLOSE = "close"


class Door(asyncio.Protocol):
    __slots__ = (
        "_declined",
        "_doors",
        "_head_bytes",
        "_headers",
        "_held_bytes",
        "_incoming",
        "_is_deaf",
        "_is_in_head",
        "_is_paused",
        "_is_reframing",
        "_is_running",
        "_loop",
        "_parser",
        "_refusal",
        "_repeats",
        "_stage",
        "_target",
        "_task",
        "_transport",
        "_turn",
        "_waiter",
        "_waiting",
        "deadline",
        "is_lost",
        "is_slow",
    )
    _transport: asyncio.Transport
    _parser: httptools.HttpRequestParser

    def __init__(self, doors: "Doors") -> None:
        self._doors = doors
        self._loop = doors.loop
        self._turn: Turn | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: deque[Turn] = deque()
        self._refusal: HooshError | None = None  # to be told after the turns that came before it
        self._waiter: asyncio.Future[None] | None = None
        self._incoming: Turn | None = None  # whose body the parser is in
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._repeats = 0
        self._is_in_head = False
        self._head_bytes = 0
        self._held_bytes = 0
        self._is_deaf = False
        self._is_paused = False
        self._declined = b""  # how the body is framed that came beside an offer to upgrade
        self._is_reframing = False
        self._is_running = False
        self._stage = Stage.HEAD
        self.deadline = inf
        self.is_slow = False
        self.is_lost = False

    # The socket

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        self._doors.add(self)
        self.deadline = self._loop.time() + self._doors.settings.head_timeout_s

    def data_received(self, data: bytes) -> None:
        if self._incoming is None:
            self._head_bytes += len(data)
        while data and not self._is_deaf:
            try:
                self._parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as offer:
                # Declined by answering as if it had not been made (RFC 9110, section 7.8).
                self._parser = httptools.HttpRequestParser(self)
                data = data[offer.args[0] :]
                if self._declined:
                    self._reframe()
            except httptools.HttpParserCallbackError:
                raise
            except httptools.HttpParserError as error:
                self._fail_message(str(error).lower().rstrip("."))
        if self._is_in_head and self._head_bytes > self._doors.settings.head_limit_bytes:
            self._fail(self._excess() or head_too_large(self._doors.settings.head_limit_bytes))
        if self._held_bytes > BUFFER_BYTES and not self._is_paused and not self._is_deaf:
            self._is_paused = True
            self._transport.pause_reading()
        self._look_ahead()

    def eof_received(self) -> None:
        """A client that sends no more counts as gone: nearly all that do so are."""
        if self._task is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - gone is gone
        self.is_lost = True
        self._is_deaf = True
        self._waiting.clear()
        del self._parser  # it holds this object's methods: a cycle
        if self._task is None:
            self._doors.forget(self)
        elif self._turn is not None and not self._turn.ended:
            self._cancel(self._turn, self._task)

    def pause_writing(self) -> None:
        self.is_slow = True

    def resume_writing(self) -> None:
        self.is_slow = False
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            if not waiter.done():
                waiter.set_result(None)
        elif self._task is None and self._stage is not Stage.CLOSE:
            self._next()

    # For the parser

    def _reframe(self) -> None:
        """Httptools takes a body beside an offer for the next protocol's bytes. Told once more how it is framed, and
        of no offer, a new parser reads it. The JDK's client offers HTTP/2 so with its first request.
        """
        framed, self._declined = self._declined, b""
        self._is_reframing = True
        self._parser.feed_data(b"POST / HTTP/1.1\r\nhost: x\r\n%b\r\n\r\n" % framed)
        self._is_reframing = False

    def on_message_begin(self) -> None:
        if self._is_reframing:
            return
        self._is_in_head = True
        self._target = b""
        self._headers = {}
        self._repeats = 0

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_head:  # trailers carry nothing that this gateway uses
            return
        name = name.lower()
        if name not in self._headers:
            self._headers[name] = value
        elif name in ALONE:
            self._fail_message(f"more than one {name.decode()}")
        else:
            self._repeats += 1

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        suspect, self._head_bytes = self._head_bytes > self._doors.settings.head_limit_bytes, 0
        if self._is_deaf or self._is_reframing:
            return
        parser, headers = self._parser, self._headers
        if what := flaw(parser, headers):
            self._fail_message(what)
            return
        suspect = suspect or len(headers) + self._repeats > MAX_HEADERS or len(self._target) > MAX_TARGET_BYTES
        if suspect and (too_much := self._excess()):
            self._fail(too_much)
            return
        if parser.should_upgrade():
            self._declined = framing(headers)
        turn = self._incoming = Turn(self, parser.get_method(), self._target, headers)
        if parser.get_http_version() == "1.0":
            turn.modern = False
        turn.keeps = turn.modern and parser.should_keep_alive() and len(self._waiting) < MAX_WAITING - 1
        if self._task is None and not self.is_slow:
            self._begin(turn)
        else:
            self._waiting.append(turn)

    def on_body(self, body: bytes) -> None:
        if self._incoming is not None:
            self._held_bytes += len(body)
            self._incoming.put(body)

    def on_message_complete(self) -> None:
        if self._declined:  # only the head is over
            return
        turn, self._incoming = self._incoming, None
        if turn is not None:
            turn.close()
            if not turn.keeps:
                self._is_deaf = True

    # For turns

    @property
    def peer(self) -> str:
        name = self._transport.get_extra_info("peername")
        return str(name[0]) if isinstance(name, tuple) else ""

    @property
    def date(self) -> bytes:
        return self._doors.date

    @property
    def ending(self) -> bool:
        return self._doors.is_draining

    def send(self, data: bytes) -> None:
        if data and not self.is_lost:
            self._transport.write(data)

    async def drained(self) -> None:
        if self.is_slow and not self.is_lost:
            self._waiter = self._loop.create_future()
            await self._waiter

    def taken(self, size_bytes: int) -> None:
        self._held_bytes -= size_bytes
        if self._is_paused and self._held_bytes <= BUFFER_BYTES and not self.is_lost:
            self._is_paused = False
            self._transport.resume_reading()

    # For all doors

    def finish(self) -> None:
        """Close now if nothing is being answered; else the turn that runs is the last."""
        if self._task is None and self._stage is not Stage.CLOSE:
            self._close()

    def break_off(self) -> None:
        """What is being answered ends with an error, and the connection with that."""
        if self._turn is not None and self._task is not None and not self._turn.ended:
            self._cancel(self._turn, self._task)
        else:
            self._transport.abort()

    def abort(self) -> None:
        self._transport.abort()

    def is_late(self) -> None:
        """`deadline` has come."""
        self.deadline = inf
        settings = self._doors.settings
        if self._stage is Stage.HEAD:
            self._fail(RequestTimeout(f"the request head did not arrive within {settings.head_timeout_s:g} s"))
        elif self._stage is Stage.BODY:
            self._fail(RequestTimeout(f"the request body did not arrive within {settings.body_timeout_s:g} s"))
        elif self._stage is Stage.NEXT and not self.is_slow:
            self._close()
        else:
            self._transport.abort()

    # Turns, one after the other

    def _begin(self, turn: Turn) -> None:
        self._turn = turn
        self._is_running = False
        self._task = self._loop.create_task(self._run(turn))

    async def _run(self, turn: Turn) -> None:
        self._is_running = True
        path, query = path_of(turn.target)
        exchange = Exchange(turn.method.decode(), path, turn.headers, turn, query)
        try:
            await self._doors.app(exchange)
        except asyncio.CancelledError:
            if self._doors.is_over and not turn.ended and not self.is_lost:
                exchange.break_off(ShuttingDown("the gateway is shutting down", retry_after_s=1.0), DIALECT)
            raise
        finally:
            self._end(turn)

    def _cancel(self, turn: Turn, task: asyncio.Task[None]) -> None:
        """A task that is cancelled before its first step runs not even its `finally`."""
        task.cancel()
        if not self._is_running:
            self._end(turn)

    def _end(self, turn: Turn) -> None:
        self._turn = self._task = None
        turn.discard()
        if self.is_lost:
            self._doors.forget(self)
        elif not turn.ended:
            if self._refusal is None or turn.begun:  # the client must not take what it has for all of it
                self._transport.abort()
            else:
                self._refuse(self._refusal)
        elif not turn.is_last:
            self._next()
        elif turn.received and not self._waiting:
            self._close()
        else:
            self._linger()

    def _next(self) -> None:
        if self.is_slow:  # resume_writing comes back here
            pass
        elif self._waiting:
            self._begin(self._waiting.popleft())
        elif self._refusal is not None:
            self._refuse(self._refusal)
        elif self._doors.is_draining:
            self._close()
        self._look_ahead()

    def _look_ahead(self) -> None:
        """Set the deadline of what the connection waits for now, unless that has not changed."""
        turn, settings = self._turn, self._doors.settings
        if self._stage is Stage.CLOSE:
            return
        if turn is None:
            if self._is_in_head:
                self._enter(Stage.HEAD, settings.head_timeout_s)
            elif self._stage is not Stage.HEAD:
                self._enter(Stage.NEXT, settings.keep_alive_s)
        elif turn.received:
            self._enter(Stage.REPLY, inf)
        else:
            self._enter(Stage.BODY, settings.body_timeout_s)

    def _enter(self, stage: Stage, limit_s: float) -> None:
        if stage is not self._stage:
            self._stage = stage
            self.deadline = self._loop.time() + limit_s

    # Ends

    def _fail_message(self, what: str) -> None:
        self._fail(BadRequest(f"this is not a valid HTTP/1.1 request: {what}"))

    def _fail(self, error: HooshError) -> None:
        """What is coming in cannot be served, nor anything after it."""
        if self._is_deaf:
            return
        self._is_deaf = True
        self._refusal = error
        incoming, self._incoming = self._incoming, None
        if incoming is not None and incoming is self._turn and self._task is not None:
            self._cancel(incoming, self._task)  # it waits for what will not come; its end tells the client
            return
        if incoming is not None:
            self._waiting.remove(incoming)
        if self._task is None and not self._waiting:
            self._refuse(error)

    def _refuse(self, error: HooshError) -> None:
        call_id = new_id()
        self._doors.turn_away(error, call_id)
        body = DIALECT.fault(error, call_id)
        headers = ((b"content-type", b"application/json"), (b"x-request-id", call_id.encode()))
        framing = b"content-length: %d\r\n%b%b" % (len(body), CLOSE, self.date)
        self.send(render(error.status, headers, framing) + body)
        self._linger()

    def _linger(self) -> None:
        """Nothing more is said, and what still comes is thrown away until the client has read the answer and left."""
        self._is_deaf = True
        self._enter(Stage.CLOSE, LINGER_S)
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        self._transport.write_eof()

    def _close(self) -> None:
        self._is_deaf = True
        self._enter(Stage.CLOSE, inf)
        self._transport.close()

    def _excess(self) -> HooshError | None:
        """What is too much of the head, as far as it is here."""
        count = len(self._headers) + self._repeats
        return excess(self._target, self._headers, count, self._doors.settings.head_limit_bytes)


class Doors:
    """All connections of one server. `date` is the header line, of now to a quarter of a second."""

    def __init__(self, app: Application, settings: DoorSettings, watcher: Watcher | None = None) -> None:
        self.app = app
        self._watcher = watcher
        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self.is_draining = False
        self.is_over = False
        self.date = b""
        self._open: set[Door] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()

    def open(self) -> Door:
        return Door(self)

    def add(self, door: Door) -> None:
        self._open.add(door)
        if self._timer is None:
            self._sweep()

    def turn_away(self, error: HooshError, call_id: str) -> None:
        """A request that nobody could find a route for."""
        if self._watcher is not None:
            self._watcher.error("", error.code)
            away = TurnedAway(id=call_id, request_id=call_id, route="", status=error.status, code=error.code)
            self._watcher.refused(away)

    def forget(self, door: Door) -> None:
        self._open.discard(door)
        if not self._open:
            self._emptied.set()

    async def drain(self, limit_s: float) -> None:
        """Let what runs end within `limit_s`, then end it. Returns when the last connection and its task are gone."""
        self.is_draining = True
        for door in tuple(self._open):
            door.finish()
        await self._empty(limit_s)
        self.break_off()
        await self._empty(PARTING_S)
        for door in tuple(self._open):
            door.abort()
        await self._empty(None)

    def break_off(self) -> None:
        """End all that runs now."""
        self.is_over = True
        for door in tuple(self._open):
            door.break_off()

    async def _empty(self, limit_s: float | None) -> None:
        self._emptied.clear()
        if self._open:
            with suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await self._emptied.wait()

    def _sweep(self) -> None:
        """Runs for as long as there are connections."""
        self._timer = None
        if not self._open:
            return
        self.date = date_line(int(time.time()))
        now = self.loop.time()
        for door in tuple(self._open):
            if door.deadline <= now:
                door.is_late()
        self._timer = self.loop.call_later(SWEEP_S, self._sweep)
