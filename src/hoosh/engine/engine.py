"""The life of one call, top to bottom. This is the one file that knows the order.

Two commit points: the status (headers sent) and the content (first model event sent). Until the second a
failure may still be another attempt; after it a failure is told in-band and the stream ends without its
terminator. Settling is synchronous, so that no cancellation can come between.
"""

import asyncio
from contextlib import AsyncExitStack

import msgspec

from hoosh.core.call import Account, Call, Outcome
from hoosh.core.errors import (
    BadUpstream,
    ClientError,
    ConnectFailed,
    EmptyStream,
    Exhausted,
    HooshError,
    ModelGone,
    NoFirstEvent,
    UpstreamError,
)
from hoosh.core.events import Event, Usage, has_content
from hoosh.core.plan import Attempt, Plan
from hoosh.core.wire import WireRequest
from hoosh.dialects import ClientDialect, Decoder, PassingOn, Served, Tongue, Translating
from hoosh.engine.backend import Backend
from hoosh.engine.cashier import Cashier, limited
from hoosh.engine.catalog import Catalog
from hoosh.engine.limiting import Limiting
from hoosh.engine.settler import Settler
from hoosh.policy.attempts import attempts
from hoosh.policy.estimate import input_guess
from hoosh.policy.hidden_keys import hide_key
from hoosh.ports import Clock, Permit, Reply, Sink, Transport
from hoosh.providers.quirks import limit_output

# An error body longer than this says nothing more.
MAX_REFUSAL_BYTES = 64 << 10
# Events before the first content: role-only deltas, comments. More than this is not a reply.
MAX_SILENT_EVENTS = 256
# A client's thousand fields of its own must not make a head that its HTTP library refuses.
MAX_DROPPED_CHARS = 1024


class World(msgspec.Struct, frozen=True, kw_only=True):
    """The ports that the engine works through, and who acts for it at them."""

    limits: Limiting
    cashier: Cashier
    transport: Transport
    catalog: Catalog
    settler: Settler
    clock: Clock


class _Opened(msgspec.Struct, frozen=True):
    """An attempt that has shown its first content."""

    backend: Backend
    attempt: Attempt
    dropped: tuple[str, ...]
    output_tokens: int
    reply: Reply
    decoder: Decoder
    events: list[Event]
    ended: bool


class Engine:
    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def limits(self) -> Limiting:
        return self._world.limits

    async def serve(self, call: Call, dialect: ClientDialect, sink: Sink) -> Account:
        account = Account(call)
        await self.run(account, dialect, sink)
        return account

    async def run(self, account: Account, dialect: ClientDialect, sink: Sink) -> None:
        """`account` is new, and belongs to this alone from here on; but who knows that the client left may say so."""
        call = account.call
        permit: Permit | None = None
        try:
            permit = self._world.limits.admit(call)
            account.terms = self._world.cashier.terms(call)
            plan = self._world.catalog.route(call.request.model, call.wishes, call.request.operation, call.principal)
            await self._relay(account, plan, dialect, sink)
            account.outcome = Outcome.CANCELLED if account.has_left else Outcome.OK
        except HooshError as error:
            if account.attempt is not None:
                hide_key(error, self._world.catalog.backends[account.attempt.target.provider].auth)
            account.error = error
            refused = account.attempt is None or isinstance(error, ClientError)
            account.outcome = Outcome.REJECTED if refused else Outcome.FAILED
            await sink.fail(error)
        except asyncio.CancelledError:
            account.outcome = Outcome.CANCELLED
            raise
        finally:
            self._world.settler.settle(account)  # never awaits, exactly once
            if permit is not None:
                permit.give_back(account.billed.total if account.billed else 0)  # as settling

    async def _relay(self, account: Account, plan: Plan, dialect: ClientDialect, sink: Sink) -> None:
        async with AsyncExitStack() as held:
            opened = await self._open(account, plan, held)
            encoder = dialect.encoder(account.call.request, self._served(account, opened))
            headers = self._headers(account, opened)
            sink.head(encoder.content_type, headers)
            events, ended, decoder, reply = opened.events, opened.ended, opened.decoder, opened.reply
            while True:  # content commit: no other attempt below this line
                for event in events:
                    account.observe(event)
                if account.terms.top_up:
                    await self._world.cashier.grow(account)
                if data := encoder.feed(events):
                    await sink.write(data)  # a slow client stops our reads here
                if ended:
                    break
                piece = await reply.read()
                ended = not piece
                events = decoder.feed(piece) if piece else decoder.eof()
        self._world.settler.commit(account)
        usage = account.billed or Usage()
        if not sink.started and (cost_micros := account.cost_micros(usage)) is not None:
            headers.append((b"x-hoosh-cost-micro-usd", b"%d" % cost_micros))
            sink.head(encoder.content_type, headers)
        await sink.close(encoder.finish(usage))

    async def _open(self, account: Account, plan: Plan, held: AsyncExitStack) -> _Opened:
        """Make attempts until one shows content. `held` has what the last attempt opened."""
        tries = attempts(plan)
        attempt = next(tries)
        while True:
            if attempt.delay_s:
                await asyncio.sleep(attempt.delay_s)
            backend = self._world.catalog.backends[attempt.target.provider]
            account.attempt = attempt
            try:
                opened = await self._try(account, backend, attempt, held)
            except UpstreamError as failed:
                error = failed
                hide_key(error, backend.auth)
            else:
                account.first_event_ns = self._world.clock.monotonic_ns()
                return opened
            await held.aclose()  # before the next attempt begins
            self._world.settler.absorb(account, error)
            if account.has_left:  # for nobody there is no second attempt
                raise asyncio.CancelledError
            try:
                attempt = tries.send(error)
            except StopIteration:
                raise _verdict(account, error) from error

    async def _try(self, account: Account, backend: Backend, attempt: Attempt, held: AsyncExitStack) -> _Opened:
        call, timeouts = account.call, backend.timeouts
        self._world.limits.attempt(account, backend, attempt.target.model, held)
        tongue = backend.tongue(call.request.operation, call.dialect, attempt.target.model)
        if tongue is None:  # routing asks only those that can, but not each of their models can all
            raise ModelGone(
                f"{backend.name} cannot {call.request.operation} with {attempt.target.model}", param="model"
            )
        output_tokens = await self._world.cashier.hold(account, backend)
        request = _request(call, tongue, attempt, output_tokens)
        url = backend.address(tongue, attempt.target.model)
        exchange = self._world.transport.exchange(url, backend.signed(request), timeouts)
        account.sent = True
        try:
            reply = await held.enter_async_context(exchange)
        except ConnectFailed:
            account.sent = False
            raise
        if reply.status != 200:
            account.sent = False
            raise await _refusal(backend, tongue, reply)
        decoder = _decoder(call, tongue, reply)
        events, ended = await self._first_content(decoder, reply, timeouts.first_byte_s)
        return _Opened(backend, attempt, request.dropped, output_tokens, reply, decoder, events, ended)

    async def _first_content(self, decoder: Decoder, reply: Reply, limit_s: float) -> tuple[list[Event], bool]:
        """Events up to and with the first content, and whether the reply ended with them.

        The transport bounds the wait for each piece; a provider that only sends comments is bounded here.
        """
        clock = self._world.clock
        deadline_ns = clock.monotonic_ns() + int(limit_s * 1e9)
        events: list[Event] = []
        while True:
            piece = await reply.read()
            fresh = decoder.feed(piece) if piece else decoder.eof()
            events += fresh
            if any(map(has_content, fresh)):
                return events, not piece
            if not piece:
                raise EmptyStream("the provider's reply was empty")
            if len(events) > MAX_SILENT_EVENTS:
                raise BadUpstream("the provider's reply does not begin")
            if clock.monotonic_ns() > deadline_ns:
                raise NoFirstEvent(f"no first token within {limit_s:g} s")

    def _served(self, account: Account, opened: _Opened) -> Served:
        clock, arrived_ns = self._world.clock, account.call.arrived_ns
        return Served(
            id=account.call.id,
            created_s=clock.unix_s(),
            provider=opened.backend.name,
            model=opened.attempt.target.model,
            cost=account.cost_micros,
            input_tokens=input_guess(account.call.request) if account.call.request.stream else 0,
            first_event_ns=account.first_event_ns - arrived_ns,
            elapsed_ns=lambda: clock.monotonic_ns() - arrived_ns,
        )

    def _headers(self, account: Account, opened: _Opened) -> list[tuple[bytes, bytes]]:
        total_ns = account.first_event_ns - account.call.arrived_ns
        target = opened.attempt.target
        headers = [
            (b"x-hoosh-provider", _header(target.provider)),
            (b"x-hoosh-model", _header(target.model)),
            (b"x-hoosh-attempts", b"%d" % opened.attempt.n),
            (b"server-timing", b"first-event;dur=%.2f" % (total_ns / 1e6)),
        ]
        if opened.output_tokens:
            headers.append((b"x-hoosh-max-tokens", b"%d" % opened.output_tokens))
        if opened.dropped:
            headers.append((b"x-hoosh-dropped", _header(", ".join(opened.dropped)[:MAX_DROPPED_CHARS])))
        return headers


def _request(call: Call, tongue: Tongue, attempt: Attempt, output_tokens: int) -> WireRequest:
    """`output_tokens` is the limit on each answer that its budget sets, 0 for none."""
    dialect, model, ways = tongue.dialect, attempt.target.model, tongue.ways
    if dialect.name != call.dialect:
        asked = limited(call.request, output_tokens) if output_tokens else call.request
        request = dialect.render(asked, model, ways)
        if not call.headers:
            return request
        unsaid = tuple(name.decode() for name, _ in call.headers)
        return WireRequest(request.path, request.body, request.method, request.headers, request.dropped + unsaid)
    if output_tokens:
        quirks = (limit_output(dialect.name, output_tokens), *ways.quirks)
        ways = msgspec.structs.replace(ways, quirks=quirks)
    request = dialect.pass_on(call.request, call.body, model, ways)
    if not call.headers:
        return request
    return WireRequest(request.path, request.body, request.method, request.headers + call.headers, request.dropped)


def _decoder(call: Call, tongue: Tongue, reply: Reply) -> Decoder:
    dialect, request = tongue.dialect, call.request
    splitter = dialect.splitter(request, reply.headers.get(b"content-type", b""))
    reader = dialect.reader(request, tongue.ways)
    return PassingOn(splitter, reader) if dialect.name == call.dialect else Translating(splitter, reader)


async def _refusal(backend: Backend, tongue: Tongue, reply: Reply) -> UpstreamError:
    if reply.status < 400:
        return BadUpstream(f"{backend.name} answered with status {reply.status}")
    body = b""
    while len(body) < MAX_REFUSAL_BYTES and (piece := await reply.read()):
        body += piece
    return tongue.dialect.refusal(reply.status, reply.headers, body)


def _verdict(account: Account, last: UpstreamError) -> HooshError:
    """One failure is told as it is; several are told together, as what the last one was."""
    if last.verdict == "stop" or len(account.tried) == 1:
        return last
    tried = "; ".join(f"{tried.target}: {tried.error.message}" for tried in account.tried)
    return Exhausted(f"All {len(account.tried)} attempts failed: {tried}", last)


def _header(text: str) -> bytes:
    return text.encode("latin-1", "replace") if text.isprintable() else b"?"
