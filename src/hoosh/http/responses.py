"""
`/v1/responses`: inference whose responses are kept, so that the next request need only name the last one.

A response is kept before its client is told that it is complete, and whole whatever happens to the connection then. If
the client leaves in the middle of a stream, what came until then is kept as `cancelled`; if the call fails there, as
`failed`; of a client that has been told no id, nothing is kept. In the background a response is kept from its start
on, and is `failed` if the gateway stops or dies meanwhile.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol
from urllib.parse import parse_qs

import msgspec

from hoosh.core.call import Call
from hoosh.core.errors import BadRequest, HooshError, NotFound, Overloaded, StoreFailed, TooLarge
from hoosh.core.kept import KeptResponse
from hoosh.core.principal import Principal
from hoosh.dialects import ClientDialect
from hoosh.dialects.openai_responses import DIALECT, Followed, keep
from hoosh.dialects.openai_responses.encode import error_object, response_id
from hoosh.engine.engine import Engine
from hoosh.http.exchange import Exchange
from hoosh.http.request import Limits
from hoosh.ports import Clock, Sink
from hoosh.ports import Responses as Store

log = logging.getLogger("hoosh.responses")
# Calls in the background that run at once: each may take hours.
MAX_BACKGROUND = 256
MAX_PAGE = 100
# How soon a process sees that what it runs was cancelled at another, and how long that one waits for it.
LOOK_S = 0.2
END_S = 20.0
_items = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.Encoder().encode


class UnknownResponse(NotFound):
    kind = "invalid_request_error"
    code = "response_not_found"


class UnknownPrevious(UnknownResponse):
    code = "previous_response_not_found"


class Inference(Protocol):
    """What is needed of http.inference.Inference."""

    async def admit(self, exchange: Exchange, /) -> tuple[Principal, bytes]: ...

    def call(
        self, exchange: Exchange, dialect: ClientDialect, principal: Principal, body: bytes, arrived_ns: int, /
    ) -> Call: ...

    async def serve(
        self, call: Call, dialect: ClientDialect, exchange: Exchange, over: Callable[[Sink], Sink] = ..., /
    ) -> None: ...


class _Started(msgspec.Struct, frozen=True):
    """A call whose response is to be kept."""

    call: Call
    dialect: Followed
    context: bytes
    created_s: int

    @property
    def id(self) -> str:
        return response_id(self.call.id)

    def kept(self, identity: str, response: bytes, *, running: bool = False) -> KeptResponse:
        return KeptResponse(
            id=identity,
            owner=self.call.principal.key_id,
            created_s=self.created_s,
            response=response,
            context=self.context,
            running=running,
        )


class _Keeping:
    """ports.Sink before the client's: keeps the response before it tells that there is one."""

    def __init__(self, sink: Sink, started: _Started, store: Store) -> None:
        self._sink = sink
        self._started = started
        self._store = store
        self._is_kept = False

    @property
    def started(self) -> bool:
        return self._sink.started

    def head(self, content_type: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self._sink.head(content_type, headers)

    async def write(self, data: bytes) -> None:
        await self._keep()
        await self._sink.write(data)

    async def close(self, data: bytes) -> None:
        await self._keep()
        await self._sink.close(data)

    async def fail(self, error: HooshError) -> None:
        if self.started:
            await self.rest("failed", error)
        await self._sink.fail(error)

    async def rest(self, status: str, error: HooshError | None = None) -> None:
        """The call is over; what there is of a response, if the client knows of it, is all."""
        encoding = self._started.dialect.encoding
        if encoding is not None and self.started and not self._is_kept:
            await self._put(encoding.partial(status, error))

    async def _keep(self) -> None:
        encoding = self._started.dialect.encoding
        if encoding is not None and encoding.done and not self._is_kept:
            await self._put(encoding.done)

    async def _put(self, response: bytes) -> None:
        """A client gets its answer also where it cannot be kept."""
        self._is_kept = True
        identity, _ = keep.named(response)
        try:
            await self._store.put(self._started.kept(identity, response))
        except StoreFailed as error:
            log.warning("response %s is not kept: %s", identity, error.message)


class _Unheard:
    """ports.Sink of a call in the background: nobody listens, but how it failed is known."""

    def __init__(self) -> None:
        self.started = False
        self.error: HooshError | None = None

    def head(self, content_type: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """There is no head."""

    async def write(self, data: bytes) -> None:
        """The encoder has it all."""

    async def close(self, data: bytes) -> None:
        """The encoder has it all."""

    async def fail(self, error: HooshError) -> None:
        self.error = error


class Responses:
    """The endpoints. `stop` ends what runs in the background."""

    def __init__(self, engine: Engine, inference: Inference, limits: Limits, *, clock: Clock, store: Store) -> None:
        self._engine = engine
        self._inference = inference
        self._limits = limits
        self._clock = clock
        self._store = store
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._watch: asyncio.Task[None] | None = None

    async def create(self, exchange: Exchange) -> None:
        arrived_ns = self._clock.monotonic_ns()
        principal, body = await self._inference.admit(exchange)
        wanted = keep.wishes(body)
        if wanted.background:
            self._check_background(wanted)
        sent, context = await self._resolved(principal, body, wanted)
        call = self._inference.call(exchange, DIALECT, principal, sent, arrived_ns)
        started = _Started(call, Followed(body), context, self._clock.unix_s())
        if wanted.background:
            await self._detach(started, exchange)
        elif wanted.is_kept:
            await self._serve(started, exchange)
        else:
            await self._inference.serve(call, started.dialect, exchange)

    async def show(self, exchange: Exchange) -> None:
        principal = exchange.principal
        identity, _, part = exchange.tail.partition("/")
        if part not in ("", "input_items"):
            raise NotFound(f"no such path: /v1/responses/{exchange.tail[:256]}")
        asked = parse_qs(exchange.query.decode("latin-1"))
        if asked.get("stream") == ["true"]:
            raise BadRequest("stream: a kept response is told whole, poll it without stream", param="stream")
        kept = await self._find(principal, identity)
        body = _page(kept, asked) if part else kept.response
        await exchange.reply(200, body, b"application/json", ())

    async def delete(self, exchange: Exchange) -> None:
        principal = exchange.principal
        await self._end((principal.key_id, exchange.tail))
        if not await self._store.drop(principal.key_id, exchange.tail):
            raise _unknown(exchange.tail)
        await exchange.answer({"id": exchange.tail, "object": "response", "deleted": True})

    async def cancel(self, exchange: Exchange) -> None:
        principal = exchange.principal
        identity, _, action = exchange.tail.partition("/")
        if action != "cancel":
            raise NotFound(f"no such path: /v1/responses/{exchange.tail[:256]}")
        kept = await self._find(principal, identity)
        if not keep.wishes(kept.response).background:
            raise BadRequest("only a response with background: true can be cancelled", param="response_id")
        await self._end((principal.key_id, identity))
        kept = await self._find(principal, identity)
        await exchange.reply(200, kept.response, b"application/json", ())

    async def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        for key in tuple(self._running):
            await self._end(key, StoreFailed("the gateway stopped"))

    def _check_background(self, wanted: keep.Wishes) -> None:
        if not wanted.is_kept:
            raise BadRequest("background: a response that is not stored cannot be fetched later", param="background")
        if wanted.stream:
            raise BadRequest("stream: not with background, poll the response instead", param="stream")
        if len(self._running) >= MAX_BACKGROUND:
            raise Overloaded(f"{MAX_BACKGROUND} responses run in the background already", retry_after_s=10.0)

    async def _resolved(self, principal: Principal, body: bytes, wanted: keep.Wishes) -> tuple[bytes, bytes]:
        """The body as a provider gets it, and all items that lead to the response. Raises ClientError."""
        history: list[msgspec.Raw] = []
        if previous := wanted.previous_response_id:
            kept = await self._store.get(principal.key_id, previous)
            if kept is None:
                message = f"Previous response with id '{previous[:128]}' not found."
                raise UnknownPrevious(message, param="previous_response_id")
            if kept.running:
                message = f"Response '{previous[:128]}' is still in progress."
                raise BadRequest(message, param="previous_response_id")
            history = [*_items.decode(kept.context), *keep.outputs(kept.response)]
        sent = keep.continued(body, wanted, history)
        if len(sent) > self._limits.body_limit_bytes:
            limit_bytes = self._limits.body_limit_bytes
            raise TooLarge(f"the whole conversation is larger than {limit_bytes} bytes", param="previous_response_id")
        return sent, _encode([*history, *keep.items_of(body)]) if wanted.is_kept else b"[]"

    async def _serve(self, started: _Started, exchange: Exchange) -> None:
        keeping: list[_Keeping] = []

        def over(sink: Sink) -> Sink:
            keeping.append(_Keeping(sink, started, self._store))
            return keeping[0]

        try:
            await self._inference.serve(started.call, started.dialect, exchange, over)
        finally:
            await keeping[0].rest("cancelled")

    async def _detach(self, started: _Started, exchange: Exchange) -> None:
        encoding = started.dialect.draft(started.call.request.model, started.call.id, started.created_s)
        await self._store.put(started.kept(started.id, encoding, running=True))
        key = (started.call.principal.key_id, started.id)
        self._running[key] = asyncio.create_task(self._run(started, encoding, key))
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._look_for_ends())
        await exchange.reply(200, encoding, b"application/json", ())

    async def _run(self, started: _Started, draft: bytes, key: tuple[str, str]) -> None:
        sink = _Unheard()
        response = b""
        try:
            await self._engine.serve(started.call, started.dialect, sink)
            encoding = started.dialect.encoding
            if sink.error is None and encoding is not None:
                response = keep.changed(encoding.done, id=started.id, background=True)
            else:
                response = _cut(started, draft, "failed", sink.error)
        except asyncio.CancelledError as left:
            why = StoreFailed(str(left)) if left.args else None
            response = _cut(started, draft, "failed" if why else "cancelled", why)
        finally:
            self._running.pop(key, None)
            await self._finished(started, response or _cut(started, draft, "failed", HooshError("internal error")))

    async def _finished(self, started: _Started, response: bytes) -> None:
        try:
            await self._store.put(started.kept(started.id, response))
        except StoreFailed as error:
            log.warning("response %s is not kept: %s", started.id, error.message)

    async def _end(self, key: tuple[str, str], why: HooshError | None = None) -> None:
        task = self._running.get(key)
        if task is not None:
            task.cancel(why.message) if why else task.cancel()
            await asyncio.wait([task])
        elif why is None and await self._store.end(*key):
            await self._end_elsewhere(key)

    async def _end_elsewhere(self, key: tuple[str, str]) -> None:
        """The process that runs it was asked to end it."""
        try:
            async with asyncio.timeout(END_S):
                while (kept := await self._store.get(*key)) and kept.running:  # noqa: ASYNC110 - it is far away
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise Overloaded("the worker that runs this response does not answer", retry_after_s=1.0) from None

    async def _look_for_ends(self) -> None:
        """For as long as anything runs in the background: what was cancelled at another process ends here."""
        while self._running:
            await asyncio.sleep(LOOK_S)
            try:
                keys = await self._store.ending()
            except StoreFailed as error:  # it may work again at the next look
                log.debug("which responses shall end is not known: %s", error.message)
                continue
            for key in keys:
                await self._end(key)

    async def _find(self, principal: Principal, identity: str) -> KeptResponse:
        kept = await self._store.get(principal.key_id, identity)
        if kept is None:
            raise _unknown(identity)
        return kept


def died(response: bytes) -> bytes:
    """What a response that was running becomes when its gateway has died."""
    return keep.changed(response, status="failed", error=error_object(HooshError("the gateway stopped")))


def _cut(started: _Started, draft: bytes, status: str, error: HooshError | None) -> bytes:
    """The response as far as it came."""
    encoding = started.dialect.encoding
    if encoding is not None:
        return keep.changed(encoding.partial(status, error), id=started.id, background=True)
    return keep.changed(draft, status=status, error=error_object(error) if error else None)


def _unknown(identity: str) -> UnknownResponse:
    return UnknownResponse(f"Response with id '{identity[:128]}' not found.", param="response_id")


def _page(kept: KeptResponse, asked: dict[str, list[str]]) -> bytes:
    items = keep.listed(_items.decode(kept.context), kept.id)
    if asked.get("order", ["desc"])[0] != "asc":
        items.reverse()
    after = asked.get("after", [""])[0]
    ids = [item["id"] for item in items]
    if after:
        if after not in ids:
            raise BadRequest(f"after: no item '{after[:128]}'", param="after")
        items = items[ids.index(after) + 1 :]
    limit = asked.get("limit", ["20"])[0]
    if len(limit) > len(str(MAX_PAGE)) or not limit.isdecimal() or not 1 <= int(limit) <= MAX_PAGE:
        raise BadRequest(f"limit: expected a number from 1 to {MAX_PAGE}", param="limit")
    page = items[: int(limit)]
    return _encode(
        {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": len(items) > len(page),
        }
    )
